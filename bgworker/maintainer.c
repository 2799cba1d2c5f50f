/*
 * maintainer.c
 *	  Decides which workers are wanted, and keeps the tables in order.
 *
 * First of all it makes sure of who this database is: the term is raised
 * where the server is another one than before (a promoted standby, a copy,
 * an upgraded cluster), and only then other workers are asked for.
 */
#include "worker.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Between looks at partitions to come, and at what is kept no longer, in ms. */
#define KEEP_ORDER 3600000
#define FORGET_EVERY 60000

static TimestampTz kept_order_at;
static TimestampTz forgot_at;

static void
settle_term(void)
{
	static bool settled;
	Oid types[2] = {TEXTOID, INT4OID};
	Datum values[2];
	char system[32];

	if (settled)
		return;
	snprintf(system, sizeof(system), UINT64_FORMAT, GetSystemIdentifier());
	values[0] = CStringGetTextDatum(system);
	values[1] = Int32GetDatum((int32) GetWALInsertionTimeLine());
	sl_begin();
	if (SPI_execute_with_args("UPDATE stacklens_internal.incarnation SET"
							  " term = term + (system_identifier IS NOT NULL)::int, system_identifier = $1, timeline = $2"
							  " WHERE (system_identifier, timeline) IS DISTINCT FROM ($1, $2)",
							  2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not settle the term");
	sl_commit();
	settled = true;
}

/* The sources that are to be evaluated, and shipped; those of another incarnation are inert, and so are sinks. */
static void
publish_wanted(void)
{
	sl_wish *wishes;
	uint64 sources;
	int n = 0,
		evaluators;
	bool isnull;

	sl_begin();
	sources = sl_execute("SELECT s.name, s.version FROM stacklens_internal.sources s"
						 " JOIN stacklens_internal.incarnation i ON i.id = s.incarnation"
						 " WHERE NOT s.paused ORDER BY s.name",
						 true);
	evaluators = (int) sources * sl_workers + 1;
	wishes = palloc(evaluators * sizeof(sl_wish));
	wishes[n++] = (sl_wish){.kind = SL_EVALUATOR, .source = "inbox", .sink = ""};
	/* the first of each source before the second of any */
	for (int nth = 0; nth < sl_workers; nth++)
		for (uint64 i = 0; i < sources; i++)
			wishes[n++] = (sl_wish){
				.kind = SL_EVALUATOR,
				.source = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
				.sink = "",
				.nth = nth,
				.version = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull))};
	sources = sl_execute("SELECT w.source, w.sink, w.version FROM stacklens_internal.wanted_shippers w", true);
	wishes = repalloc(wishes, (n + sources) * sizeof(sl_wish));
	for (uint64 i = 0; i < sources; i++)
		wishes[n++] = (sl_wish){
			.kind = SL_SHIPPER,
			.source = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
			.sink = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2),
			.version = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull))};
	sl_publish_wanted(n, wishes);
	sl_commit();
}

static bool
has_row(const char *sql)
{
	bool result;

	sl_begin();
	result = sl_execute(sql, false) > 0;
	sl_commit();
	return result;
}

/* The same with what all sources have come to for %s; false while some source hasn't come to where it was. */
static bool
has_row_by_now(const char *format)
{
	int64 watermark;
	char number[32];
	char *sql;
	bool result;

	sl_begin();
	watermark = sl_watermark_of_all(NULL);
	sl_commit();
	if (watermark == PG_INT64_MIN || watermark == PG_INT64_MAX)
		return false;
	snprintf(number, sizeof(number), INT64_FORMAT, watermark);
	/* between transactions what is allocated stays, if it isn't given back */
	sql = psprintf(format, number);
	result = has_row(sql);
	pfree(sql);
	return result;
}

static int
step(void)
{
	bool more = false,
		 watch;
	TimestampTz now = GetCurrentTimestamp();

	settle_term();
	publish_wanted();
	sl_begin();
	sl_rules_publish();
	sl_commit();
	if (kept_order_at == 0 || TimestampDifferenceExceeds(kept_order_at, now, KEEP_ORDER))
	{
		(void) has_row("SELECT stacklens_internal.make_log_partitions()");
		kept_order_at = now;
	}
	if (forgot_at == 0 || TimestampDifferenceExceeds(forgot_at, now, FORGET_EVERY))
	{
		(void) has_row("SELECT stacklens_internal.forget_logs()");
		(void) has_row("SELECT stacklens_internal.sum_correlation_counts()");
		/* in small steps, so that no lock is held for long */
		more = has_row("SELECT FROM stacklens_internal.forget_old() f WHERE f") |
			   /* correlation states that no window can reach */
			   has_row_by_now("SELECT FROM stacklens_internal.expire_correlations(%s, 10000) n WHERE n = 10000");
		if (!more)
			forgot_at = now;
	}
	watch = has_row("SELECT FROM stacklens_internal.alerts WHERE status <> 'resolved' AND resolve_after IS NOT NULL LIMIT 1");
	if (watch)
		(void) has_row_by_now("SELECT stacklens_internal.resolve_quiet_alerts(%s)");
	return more ? 10 : watch ? 1000
							 : 5000;
}

void
sl_maintainer_main(Datum arg)
{
	sl_worker_start(arg, SL_MAINTAINER);
	sl_worker_run(step);
}
