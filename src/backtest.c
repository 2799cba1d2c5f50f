/*
 * backtest.c
 *	  backtest_rule(): what a rule would have found in the logs that are kept.
 *
 * Logs are read in the order of their own time, so what correlations find is
 * what they find when nothing comes late.
 */
#include "stacklens.h"

#include "alert/correlation.h"
#include "source/source.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(stacklens_backtest);
PG_FUNCTION_INFO_V1(stacklens_backtests);

/* Rows that are fetched, and judged, together. */
#define FETCH 500

typedef struct backtest
{
	ReturnSetInfo *rsinfo;
	sl_rules rules;
	size_t tried; /* the rule's number */
	sl_correlations *correlations;
	sl_arena *rows; /* of what is fetched together */
	sl_backtest *progress;
	int64 watermark;
} backtest;

static void
put_found(void *arg, uint32_t number, sl_str *values, const sl_record *record, int64 at)
{
	backtest *b = arg;
	const sl_rule *rule = sl_ruleset_rule(b->rules.set, number);
	Datum columns[3] = {0};
	bool nulls[3] = {false, record == NULL, false};
	sl_buf json;

	if (number != b->tried)
		return;
	columns[0] = TimestampTzGetDatum(sl_timestamptz(at));
	if (record)
	{
		sl_buf_init(&json, b->rows, 1024);
		sl_record_json(&json, record);
		columns[1] = PointerGetDatum(cstring_to_text_with_len(json.p, (int) json.n));
	}
	sl_buf_init(&json, b->rows, 64);
	sl_group_values_json(&json, rule, values);
	columns[2] = PointerGetDatum(cstring_to_text_with_len(json.p, (int) json.n));
	tuplestore_putvalues(b->rsinfo->setResult, b->rsinfo->setDesc, columns, nulls);
	for (int i = 0; i < 3; i++)
		if (i > 0 && !nulls[i])
			pfree(DatumGetPointer(columns[i]));
	if (b->progress)
		pg_atomic_fetch_add_u64(&b->progress->found, 1);
}

static void
judge(backtest *b, sl_record *record)
{
	const sl_rule *rule = sl_ruleset_rule(b->rules.set, b->tried);
	int64 at = record->timestamp ? record->timestamp : record->observed;
	const uint32_t *found;
	size_t n = sl_match(b->rules.matcher, record, b->rows, &found);

	b->watermark = record->watermark = Max(b->watermark, at);
	if (rule->kind == SL_CORRELATION)
		sl_correlations_add(b->correlations, record, found, n);
	else
		for (size_t i = 0; i < n; i++)
			if (found[i] == b->tried)
			{
				sl_str *values = sl_alloc(b->rows, (rule->n_group_by + 1) * sizeof(sl_str));

				for (size_t k = 0; k < rule->n_group_by; k++)
					values[k] = sl_record_text(b->rows, record, rule->group_by[k]);
				put_found(b, found[i], values, record, at);
			}
}

static void
read_logs(backtest *b, TimestampTz since, TimestampTz until)
{
	Oid types[2] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[2] = {TimestampTzGetDatum(since), TimestampTzGetDatum(until)};
	Portal portal = SPI_cursor_open_with_args(NULL,
											  "SELECT " SL_LOG_COLUMNS " FROM stacklens.logs WHERE timestamp >= $1 AND timestamp < $2 ORDER BY timestamp, id",
											  2, types, values, NULL, true, 0);

	for (;;)
	{
		sl_batch batch = {.arena = b->rows};

		SPI_cursor_fetch(portal, true, FETCH);
		if (SPI_processed == 0)
			break;
		sl_server_arena(b->rows);
		b->rows->limit = 0; /* bounded by the number of rows */
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			sl_log_row(&batch, SPI_tuptable->vals[i]);
		}
		/* only now: the list of records moves while it grows */
		for (size_t i = 0; i < batch.records.n; i++)
			judge(b, &batch.records.v[i]);
		sl_correlations_run(b->correlations, b->watermark);
		if (b->progress)
		{
			pg_atomic_fetch_add_u64(&b->progress->records, batch.records.n);
			pg_atomic_write_u64(&b->progress->at, (uint64) sl_timestamptz(b->watermark));
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

static void
end_progress(int code, Datum arg)
{
	sl_backtest *progress = (sl_backtest *) DatumGetPointer(arg);

	if (!progress)
		return;
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	progress->pid = 0;
	LWLockRelease(sl_shared_state->lock);
}

/* NULL where there is no shared memory, or no room in it. */
static sl_backtest *
begin_progress(const sl_rule *rule, TimestampTz since, TimestampTz until)
{
	sl_backtest *free = NULL;

	if (!sl_shared_state)
		return NULL;
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SL_BACKTESTS && !free; i++)
		if (sl_shared_state->backtests[i].pid == 0)
			free = &sl_shared_state->backtests[i];
	if (free)
	{
		free->pid = MyProcPid;
		free->database = MyDatabaseId;
		snprintf(free->rule, sizeof(free->rule), "%.*s", (int) Min(rule->name.n, NAMEDATALEN - 1), rule->name.p);
		free->since = since;
		free->until = until;
		pg_atomic_write_u64(&free->at, (uint64) since);
		pg_atomic_write_u64(&free->records, 0);
		pg_atomic_write_u64(&free->found, 0);
	}
	LWLockRelease(sl_shared_state->lock);
	return free;
}

/* backtest(rule text, definition text, since, until): one of the first two is NULL. */
Datum
stacklens_backtest(PG_FUNCTION_ARGS)
{
	static sl_arena arena,
		rows;
	backtest b = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo, .rows = &rows, .watermark = PG_INT64_MIN};
	TimestampTz since = PG_GETARG_TIMESTAMPTZ(2),
				until = PG_GETARG_TIMESTAMPTZ(3);
	sl_definitions *definitions;
	sl_rule *rule;

	InitMaterializedSRF(fcinfo, 0);
	sl_server_arena(&arena);
	sl_server_arena(&rows);
	arena.limit = (size_t) maintenance_work_mem * 1024 * 4;
	SPI_connect();
	definitions = sl_definitions_current(&arena);
	if (!PG_ARGISNULL(0))
		rule = sl_rule_stored(text_to_cstring(PG_GETARG_TEXT_PP(0)), definitions, &arena);
	else
	{
		text *definition = PG_GETARG_TEXT_PP(1);
		sl_documents documents = {0};
		sl_error err;

		if (!sl_read_json(VARDATA_ANY(definition), VARSIZE_ANY_EXHDR(definition), &arena, &documents, &err) ||
			!(rule = sl_rule_read(documents.v[0], definitions, &arena, &err)))
			sl_ereport(&err);
		/* what has been stored has both */
		if (!rule->id.p)
			rule->id = SL_STR("00000000-0000-0000-0000-000000000000");
		rule->stored_name = rule->name;
	}
	if (rule->kind == SL_FILTER)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("rule \"%.*s\" is a filter", SL_STR_FMT(rule->name)),
				 errhint("Test the rules that it narrows.")));
	b.rules.set = sl_rules_with(rule, definitions, rule->kind == SL_CORRELATION, &arena, &b.tried);
	rule->alerts = true;
	b.rules.matcher = sl_matcher_new(&arena, b.rules.set);
	b.correlations = sl_correlations_new(&arena, &b.rules, put_found, &b);
	b.progress = begin_progress(rule, since, until);
	PG_ENSURE_ERROR_CLEANUP(end_progress, PointerGetDatum(b.progress));
	{
		read_logs(&b, since, until);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_progress, PointerGetDatum(b.progress));
	end_progress(0, PointerGetDatum(b.progress));
	SPI_finish();
	sl_arena_reset(&arena);
	sl_arena_reset(&rows);
	return (Datum) 0;
}

/* backtests() → a row for each that runs in this database. */
Datum
stacklens_backtests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; sl_shared_state && i < SL_BACKTESTS; i++)
	{
		sl_backtest *b = &sl_shared_state->backtests[i];
		Datum values[7];
		bool nulls[7] = {0};
		bool running;
		char rule[NAMEDATALEN];

		LWLockAcquire(sl_shared_state->lock, LW_SHARED);
		running = b->pid != 0 && b->database == MyDatabaseId;
		values[0] = Int32GetDatum((int32) b->pid);
		strlcpy(rule, b->rule, sizeof(rule));
		values[2] = TimestampTzGetDatum(b->since);
		values[3] = TimestampTzGetDatum(b->until);
		LWLockRelease(sl_shared_state->lock);
		if (!running)
			continue;
		values[1] = CStringGetTextDatum(rule);
		values[4] = TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64(&b->at));
		values[5] = Int64GetDatum((int64) pg_atomic_read_u64(&b->records));
		values[6] = Int64GetDatum((int64) pg_atomic_read_u64(&b->found));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
