/*
 * inbox.c
 *	  The source that is a table: stacklens.logs.
 *
 * A row carries the id of the transaction that wrote it, so a batch can be
 * "what this snapshot sees and the one before didn't": writers need no lock
 * and no order among themselves, and one that commits late is not missed.
 * Such a difference is read in pages, by (xid, id).  The place is therefore
 * (from snapshot, to snapshot, last xid, last id).
 *
 * Rows of the difference are those of transactions that began at or after
 * the old snapshot's xmax, and of those that were in progress in it; both are
 * ranges of the index on (xid, id).
 */
#include "source/source.h"

#include "access/xact.h"
#include "bgworker/crash.h"
#include "bgworker/worker.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#define FETCH 256
/* Commits within this time are taken together, in ms. */
#define COALESCE 5

/* How soon a shipper looks again; it has time. */
#define SHIPPER_COALESCE 50

typedef struct place
{
	Datum from; /* pg_snapshot */
	Datum to;
	uint64 last_xid;
	int64 last_id;
	bool exhausted;	 /* all of the difference was read */
	int64 watermark; /* ns */
} place;

struct sl_mark
{
	place at;
	uint64 records; /* read up to there */
};

typedef struct inbox
{
	sl_source source;
	const char *sink; /* "" for the evaluator */
	place at;		  /* of what is committed, stored or not; a shipper's: of what was read */
	place next;		  /* of the batch in hand */
	sl_mark settled;  /* a shipper's: what is to be stored */
	uint64 read;	  /* its records so far */
	int64 revision;	  /* of the stored place */
	bool dirty;		  /* at is not stored */
	uint64 records;	  /* judged since it was stored */
	int64 stored_at;  /* these by sl_now_ms */
	int64 taken_at;
	int64 active_at; /* when there were records */
} inbox;

#define PAGE_QUERY(condition)                                                                                              \
	"SELECT " SL_LOG_COLUMNS " FROM ("                                                                                     \
	"(SELECT * FROM stacklens.logs WHERE xid >= pg_catalog.pg_snapshot_xmax($1) AND xid < pg_catalog.pg_snapshot_xmax($2)" \
	" AND (xid, id) > ($3, $4) AND pg_catalog.pg_visible_in_snapshot(xid, $2)" condition " ORDER BY xid, id LIMIT $5)"     \
	" UNION ALL "                                                                                                          \
	"(SELECT * FROM stacklens.logs WHERE xid = ANY (ARRAY(SELECT pg_catalog.pg_snapshot_xip($1)))"                         \
	" AND (xid, id) > ($3, $4) AND pg_catalog.pg_visible_in_snapshot(xid, $2)" condition " ORDER BY xid, id LIMIT $5)"     \
	") page ORDER BY xid, id LIMIT $5"

static const char page_query[] = PAGE_QUERY("");

/* By a scalar, which is looked up row by row: a join could lose the order, and read all before it gives the first. */
static const char shipper_page_query[] = PAGE_QUERY(" AND (SELECT s.id FROM stacklens_internal.logs_shipped s WHERE s.id = logs.id) IS NULL");

enum
{
	XID = 1,
	ID,
	TIMESTAMP,
	OBSERVED,
	ARRIVED,
	SEVERITY,
	LEVEL,
	MESSAGE,
	SERVICE,
	TRACE,
	SPAN,
	REQUEST,
	ERROR_CODE,
	ATTRIBUTES,
	RESOURCE
};

/* Snapshots outlive transactions. */
static Datum
keep(Datum snapshot)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Datum copy = datumCopy(snapshot, false, -1);

	MemoryContextSwitchTo(old);
	return copy;
}

static void
free_snapshot(Datum *snapshot, Datum unless)
{
	if (*snapshot != unless && DatumGetPointer(*snapshot))
		pfree(DatumGetPointer(*snapshot));
}

static uint64
snapshot_xmax(Datum snapshot)
{
	return U64FromFullTransactionId(DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmax, snapshot)));
}

/* For lag: everything below this transaction id has been judged. */
static void
show_place(const place *p)
{
	pg_atomic_write_u64(&sl_my_slot->place, p->exhausted ? snapshot_xmax(p->to) : p->last_xid);
}

static bool
inbox_poll(sl_source *source, sl_batch *batch, int *wait_ms)
{
	inbox *in = (inbox *) source;
	int64 now = sl_now_ms();
	int64 since = now - in->taken_at;
	int coalesce = in->sink[0] ? SHIPPER_COALESCE : COALESCE;

	*wait_ms = 1000;
	if (batch->room == 0)
		return false;
	if (in->at.exhausted && since < coalesce)
	{
		*wait_ms = (int) (coalesce - since);
		return false;
	}
	in->taken_at = now;
	return true;
}

static sl_str
column(sl_batch *batch, HeapTuple tuple, int number)
{
	sl_str s = sl_column(batch->arena, tuple, number);

	batch->bytes += s.n;
	return s;
}

static bool
has_column(HeapTuple tuple, int number)
{
	bool isnull;

	(void) SPI_getbinval(tuple, SPI_tuptable->tupdesc, number, &isnull);
	return !isnull;
}

static int64
time_column(HeapTuple tuple, int number)
{
	bool isnull;
	Datum value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, number, &isnull);

	return isnull ? 0 : sl_nanoseconds(DatumGetTimestampTz(value));
}

static void
read_fields(sl_batch *batch, HeapTuple tuple, int number, sl_fields *fields)
{
	sl_str json = column(batch, tuple, number);
	sl_error err;

	/* jsonb is well-formed; what may fail is its depth */
	if (json.n > 2 && !sl_decode_fields(json.p, json.n, batch->arena, fields, &err))
		sl_ereport(&err);
}

void
sl_log_row(sl_batch *batch, HeapTuple tuple)
{
	static const struct
	{
		int column;
		sl_known slot;
	} texts[] = {
		{LEVEL, SL_LEVEL}, {MESSAGE, SL_MESSAGE}, {SERVICE, SL_SERVICE}, {TRACE, SL_TRACE_ID}, {SPAN, SL_SPAN_ID}, {REQUEST, SL_REQUEST_ID}, {ERROR_CODE, SL_ERROR_CODE}};
	sl_record *record = sl_records_add(batch->arena, &batch->records);
	bool isnull;
	Datum severity = SPI_getbinval(tuple, SPI_tuptable->tupdesc, SEVERITY, &isnull);

	record->timestamp = time_column(tuple, TIMESTAMP);
	record->observed = time_column(tuple, OBSERVED);
	if (!record->timestamp && !record->observed)
		record->observed = time_column(tuple, ARRIVED);
	if (!isnull && DatumGetInt16(severity) >= 1 && DatumGetInt16(severity) <= 24)
		record->severity = DatumGetInt16(severity);
	for (int i = 0; i < lengthof(texts); i++)
		record->text[texts[i].slot] = column(batch, tuple, texts[i].column);
	read_fields(batch, tuple, ATTRIBUTES, &record->attributes);
	if (has_column(tuple, RESOURCE))
	{
		record->resource = sl_alloc0(batch->arena, sizeof(sl_resource));
		read_fields(batch, tuple, RESOURCE, &record->resource->fields);
	}
	sl_record_finish(batch->arena, record);
}

static int64
row_id(HeapTuple tuple)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, ID, &isnull));
}

static uint64
row_xid(HeapTuple tuple)
{
	bool isnull;

	return U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, XID, &isnull)));
}

/* It is in logs: its transaction and id tell where. */
static const char *
origin_of(sl_batch *batch, HeapTuple tuple)
{
	return sl_strf(batch->arena, "{\"source\": \"inbox\", \"id\": %lld, \"xid\": \"%llu\"}", (long long) row_id(tuple), (unsigned long long) row_xid(tuple)).p;
}

/* Is it one that workers crashed at?  Then it is a dead letter. */
static bool
was_fatal(sl_batch *batch, HeapTuple tuple)
{
	char place[64];
	sl_error why;

	if (batch->limit > 1)
		return false;
	batch->origin = origin_of(batch, tuple);
	/* sent again, it is another one */
	snprintf(place, sizeof(place), "inbox/%lld/%llu", (long long) row_id(tuple), (unsigned long long) row_xid(tuple));
	if (!sl_crash_enter(place, &why))
		return false;
	sl_batch_dead(batch, "", 0, batch->origin, NULL, &why);
	return true;
}

/*
 * Reads a row, unless it is beyond what the batch's memory holds: then the
 * batch ends before it.  One that is too much for an empty batch, or can't be
 * read at all, is set aside.
 */
static bool
take_row(sl_batch *batch, HeapTuple tuple, bool *full)
{
	MemoryContext context = CurrentMemoryContext;
	size_t before = batch->records.n;
	volatile bool taken = true;

	if (was_fatal(batch, tuple))
		return true;
	PG_TRY();
	{
		sl_log_row(batch, tuple);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!sl_is_data_error(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		batch->records.n = before;
		taken = false;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_PROGRAM_LIMIT_EXCEEDED && before > 0)
			*full = true;
		else
		{
			sl_error reason;

			batch->arena->limit = 0;
			reason = sl_error_from(batch->arena, error);
			sl_batch_dead(batch, "", 0, origin_of(batch, tuple), NULL, &reason);
			taken = true;
			*full = true;
		}
		FreeErrorData(error);
	}
	PG_END_TRY();
	return taken;
}

/* In the order in which records are judged; by the clock where there are none. */
static void
move_watermark(inbox *in, sl_batch *batch)
{
	int64 now = sl_now_ns();

	for (size_t i = 0; i < batch->records.n; i++)
	{
		in->next.watermark = sl_watermark(in->next.watermark, &batch->records.v[i], now);
		batch->records.v[i].watermark = in->next.watermark;
	}
	if (batch->records.n > 0 || in->active_at == 0)
		in->active_at = sl_now_ms();
	else if (in->next.exhausted && sl_now_ms() - in->active_at > SL_IDLE)
		in->next.watermark = Max(in->next.watermark, now - (int64) SL_IDLE * 1000000);
	batch->watermark = in->next.watermark;
}

static void
inbox_take(sl_source *source, sl_batch *batch)
{
	static SPIPlanPtr plan;
	inbox *in = (inbox *) source;
	Datum values[5];
	Portal portal;
	bool full = false;

	if (!plan)
	{
		Oid types[5] = {PG_SNAPSHOTOID, PG_SNAPSHOTOID, XID8OID, INT8OID, INT8OID};

		plan = sl_prepare(in->sink[0] ? shipper_page_query : page_query, 5, types);
	}
	in->next = in->at;
	if (in->at.exhausted)
	{
		bool isnull;

		sl_execute("SELECT pg_catalog.pg_current_snapshot()", true);
		in->next.from = in->at.to;
		in->next.to = keep(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		in->next.last_xid = 0;
		in->next.last_id = 0;
	}
	values[0] = in->next.from;
	values[1] = in->next.to;
	values[2] = FullTransactionIdGetDatum(FullTransactionIdFromU64(in->next.last_xid));
	values[3] = Int64GetDatum(in->next.last_id);
	values[4] = Int64GetDatum((int64) batch->limit);
	portal = SPI_cursor_open(NULL, plan, values, NULL, true);
	while (!full)
	{
		SPI_cursor_fetch(portal, true, FETCH);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed && !full; i++)
		{
			HeapTuple tuple = SPI_tuptable->vals[i];

			size_t before = batch->records.n;

			if (!take_row(batch, tuple, &full))
				break;
			sl_batch_unit(batch, before, (sl_place){.number = row_id(tuple), .arrived = time_column(tuple, ARRIVED)});
			in->next.last_xid = row_xid(tuple);
			in->next.last_id = row_id(tuple);
			full = full || batch->bytes >= batch->room;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	in->next.exhausted = !full && batch->units < batch->limit;
	move_watermark(in, batch);
}

static void
store_place(inbox *in, const place *to, uint64 records)
{
	static SPIPlanPtr plan;
	Datum values[9];

	if (!plan)
	{
		Oid types[9] = {PG_SNAPSHOTOID, PG_SNAPSHOTOID, XID8OID, INT8OID, BOOLOID, INT8OID, INT8OID, INT8OID, TEXTOID};

		plan = sl_prepare("UPDATE stacklens_internal.inbox_position SET from_snapshot = $1, to_snapshot = $2,"
						  " last_xid = $3, last_id = $4, exhausted = $5, records = records + $6,"
						  " updated_at = pg_catalog.clock_timestamp(), revision = revision + 1, watermark = $8 WHERE revision = $7 AND sink = $9",
						  9, types);
	}
	values[0] = to->from;
	values[1] = to->to;
	values[2] = FullTransactionIdGetDatum(FullTransactionIdFromU64(to->last_xid));
	values[3] = Int64GetDatum(to->last_id);
	values[4] = BoolGetDatum(to->exhausted);
	values[5] = Int64GetDatum((int64) records);
	values[6] = Int64GetDatum(in->revision);
	values[7] = Int64GetDatum(to->watermark);
	values[8] = CStringGetTextDatum(in->sink);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_UPDATE || SPI_processed != 1)
		ereport(in->sink[0] ? FATAL : ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("position of the inbox was moved by somebody else")));
}

static bool
inbox_settle(sl_source *source, sl_batch *batch, bool effects)
{
	inbox *in = (inbox *) source;

	/* an idle inbox writes nothing */
	if (!effects && ((batch->records.n == 0 && !in->dirty) || sl_now_ms() - in->stored_at < SL_STORE_EVERY))
		return false;
	store_place(in, &in->next, in->records + batch->records.n);
	return true;
}

static bool
inbox_settled(sl_source *source, sl_batch *batch, bool stored)
{
	inbox *in = (inbox *) source;

	/* from is either what it was, or what to was */
	free_snapshot(&in->at.from, in->next.from);
	if (in->at.to != in->next.from)
		free_snapshot(&in->at.to, in->next.to);
	in->at = in->next;
	if (stored)
	{
		in->revision++;
		in->stored_at = sl_now_ms();
		in->records = 0;
		in->dirty = false;
	}
	else if (in->sink[0])
		in->read += batch->records.n;
	else if (batch->records.n > 0)
	{
		in->dirty = true;
		in->records += batch->records.n;
	}
	if (in->sink[0] == '\0')
		show_place(&in->at);
	return !in->at.exhausted;
}

static void
inbox_undo(sl_source *source)
{
	inbox *in = (inbox *) source;

	if (in->next.to != in->at.to)
		free_snapshot(&in->next.to, in->at.to);
	in->next = in->at;
}

/* A shipper's ------------------------------------------------------------- */

static sl_mark *
inbox_mark(sl_source *source)
{
	inbox *in = (inbox *) source;
	sl_mark *mark = MemoryContextAlloc(TopMemoryContext, sizeof(sl_mark));

	mark->at = in->at;
	mark->at.from = keep(in->at.from);
	mark->at.to = keep(in->at.to);
	mark->records = in->read;
	return mark;
}

static void
inbox_free_mark(sl_source *source, sl_mark *mark)
{
	pfree(DatumGetPointer(mark->at.from));
	pfree(DatumGetPointer(mark->at.to));
	pfree(mark);
}

static bool
inbox_is_current(sl_source *source, const sl_mark *mark)
{
	return true;
}

static void
inbox_reach(sl_source *source, const sl_mark *mark)
{
	inbox *in = (inbox *) source;

	if (in->settled.at.from)
	{
		pfree(DatumGetPointer(in->settled.at.from));
		pfree(DatumGetPointer(in->settled.at.to));
	}
	/* looks that found nothing needn't be stored */
	in->dirty |= mark->records != in->settled.records || !mark->at.exhausted;
	in->settled = *mark;
	in->settled.at.from = keep(mark->at.from);
	in->settled.at.to = keep(mark->at.to);
	show_place(&in->settled.at);
}

static bool
inbox_store(sl_source *source)
{
	inbox *in = (inbox *) source;

	if (!in->dirty)
		return false;
	store_place(in, &in->settled.at, in->settled.records - in->records);
	return true;
}

static void
inbox_stored(sl_source *source)
{
	inbox *in = (inbox *) source;

	in->revision++;
	in->records = in->settled.records;
	in->dirty = false;
}

static void
load(inbox *in)
{
	HeapTuple tuple;
	TupleDesc desc;
	bool isnull;
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(in->sink)};

	sl_begin();
	if (SPI_execute_with_args("SELECT from_snapshot, to_snapshot, last_xid, last_id, exhausted, revision, watermark FROM stacklens_internal.inbox_position WHERE sink = $1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "the inbox has no position");
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	in->at.from = keep(SPI_getbinval(tuple, desc, 1, &isnull));
	in->at.to = keep(SPI_getbinval(tuple, desc, 2, &isnull));
	in->at.last_xid = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, desc, 3, &isnull)));
	in->at.last_id = DatumGetInt64(SPI_getbinval(tuple, desc, 4, &isnull));
	in->at.exhausted = DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull));
	in->revision = DatumGetInt64(SPI_getbinval(tuple, desc, 6, &isnull));
	in->at.watermark = DatumGetInt64(SPI_getbinval(tuple, desc, 7, &isnull));
	if (isnull)
		in->at.watermark = PG_INT64_MIN;
	sl_commit();
	in->next = in->at;
	show_place(&in->at);
}

sl_source *
sl_inbox_open(const char *sink)
{
	static inbox in;

	in.source = (sl_source){
		.name = "inbox", .poll = inbox_poll, .take = inbox_take, .settle = inbox_settle, .settled = inbox_settled, .undo = inbox_undo, .mark = inbox_mark, .is_current = inbox_is_current, .reach = inbox_reach, .store = inbox_store, .stored = inbox_stored, .free_mark = inbox_free_mark};
	in.sink = sink;
	load(&in);
	return &in.source;
}
