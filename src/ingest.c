/*
 * ingest.c
 *	  Messages into the inbox: decoded, then stored, all records or none.
 */
#include "stacklens.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(stacklens_ingest);

#define COLUMNS 13

/* An inbox's record, and one that was judged where it came from: of no transaction that the inbox waits for. */
static const char insert_log[] =
	"INSERT INTO stacklens.logs (timestamp, observed_timestamp, service, severity_number, level, message,"
	" trace_id, span_id, request_id, error_code, attributes, resource, source) VALUES"
	" ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13) RETURNING id";
static const char insert_judged_log[] =
	"INSERT INTO stacklens.logs (timestamp, observed_timestamp, service, severity_number, level, message,"
	" trace_id, span_id, request_id, error_code, attributes, resource, source, xid) VALUES"
	" ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13, '0') RETURNING id";

#define EPOCH_OFFSET ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

TimestampTz
sl_timestamptz(int64 ns)
{
	return ns / 1000 - EPOCH_OFFSET;
}

/* 0 for what 64 bits of ns don't hold, infinity included: no time at all. */
int64
sl_nanoseconds(TimestampTz at)
{
	if (at > PG_INT64_MAX / 1000 - EPOCH_OFFSET || at < -EPOCH_OFFSET)
		return 0;
	return (at + EPOCH_OFFSET) * 1000;
}

static void
put_text(Datum *values, char *nulls, int i, sl_str s)
{
	nulls[i] = s.p ? ' ' : 'n';
	if (s.p)
		values[i] = PointerGetDatum(cstring_to_text_with_len(s.p, (int) s.n));
}

static int64
store(SPIPlanPtr plan, const sl_record *record, Datum source, sl_arena *arena)
{
	Datum values[COLUMNS] = {0};
	char nulls[COLUMNS + 1] = "             ";
	int64 when = record->timestamp ? record->timestamp : record->observed;
	sl_buf json;
	bool isnull;
	int64 id;

	values[0] = TimestampTzGetDatum(when ? sl_timestamptz(when) : GetCurrentTransactionStartTimestamp());
	nulls[1] = record->observed ? ' ' : 'n';
	values[1] = TimestampTzGetDatum(sl_timestamptz(record->observed));
	put_text(values, nulls, 2, record->text[SL_SERVICE]);
	nulls[3] = record->severity ? ' ' : 'n';
	values[3] = Int16GetDatum((int16) record->severity);
	put_text(values, nulls, 4, record->text[SL_LEVEL]);
	put_text(values, nulls, 5, record->text[SL_MESSAGE]);
	put_text(values, nulls, 6, record->text[SL_TRACE_ID]);
	put_text(values, nulls, 7, record->text[SL_SPAN_ID]);
	put_text(values, nulls, 8, record->text[SL_REQUEST_ID]);
	put_text(values, nulls, 9, record->text[SL_ERROR_CODE]);
	sl_buf_init(&json, arena, 512);
	sl_fields_json(&json, &record->attributes, record->notes);
	put_text(values, nulls, 10, (sl_str){json.p, json.n});
	nulls[11] = 'n';
	if (record->resource)
	{
		sl_buf_init(&json, arena, 256);
		sl_fields_json(&json, &record->resource->fields, 0);
		put_text(values, nulls, 11, (sl_str){json.p, json.n});
	}
	values[12] = source;
	if (SPI_execute_plan(plan, values, nulls, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not store a log record");
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return id;
}

void
sl_logs_store(const sl_records *records, size_t from, size_t to, const char *judged_by, Datum *ids)
{
	static sl_arena arena;
	static SPIPlanPtr plans[2];
	SPIPlanPtr *plan = &plans[judged_by != NULL];
	Datum source = CStringGetTextDatum(judged_by ? judged_by : "inbox");
	MemoryContext context,
		old;

	if (!*plan)
	{
		Oid types[COLUMNS] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT2OID, TEXTOID, TEXTOID,
							  TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};

		*plan = sl_prepare(judged_by ? insert_judged_log : insert_log, COLUMNS, types);
	}
	sl_server_arena(&arena);
	/* what a row needs is given back before the next: a message may hold 100,000 */
	context = AllocSetContextCreate(CurrentMemoryContext, "stacklens row", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	for (size_t i = from; i < to; i++)
	{
		int64 id = store(*plan, &records->v[i], source, &arena);

		if (ids)
			ids[i - from] = Int64GetDatum(id);
		MemoryContextReset(context);
		sl_arena_reset(&arena);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ingest_message(body bytea, format text [, nth int]) → ids of the stored records, how many were refused, and why. */
Datum
stacklens_ingest(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	bytea *body = PG_GETARG_BYTEA_PP(0);
	text *name = PG_GETARG_TEXT_PP(1);
	sl_records records = {0};
	size_t first = 0;
	sl_format format;
	sl_error err;
	Datum *stored;
	Datum result[3] = {0};
	bool nulls[3] = {0};
	TupleDesc desc;

	if (!sl_format_from_name((sl_str){VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)}, &format))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown log format \"%s\"", text_to_cstring(name)),
				 errhint("It is one of auto, otlp_proto, otlp_json, json, text.")));
	sl_server_arena(&arena);
	if (!sl_decode(format, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), &arena, &records, &err))
		sl_ereport(&err);
	if (PG_NARGS() > 2)
	{
		first = (size_t) PG_GETARG_INT32(2);
		if (first >= records.n)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the message has %zu records, not a record %zu", records.n, first)));
		records.n = first + 1;
	}
	stored = palloc((records.n + 1) * sizeof(Datum));
	SPI_connect();
	sl_logs_store(&records, first, records.n, NULL, stored);
	SPI_finish();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result[0] = PointerGetDatum(construct_array(stored, (int) (records.n - first), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	result[1] = Int64GetDatum((int64) records.refused);
	nulls[2] = records.refused == 0;
	if (records.refused > 0)
		result[2] = CStringGetTextDatum(records.refusal->message);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, result, nulls)));
}
