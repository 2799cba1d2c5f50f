/*
 * evaluator.c
 *	  Judges the records of one source: the heart of the extension.
 *
 * A batch is decoded, judged by the rules that are in force in its
 * transaction, and its effects are written together with the position: so a
 * crash at any point repeats the batch from the start, or not at all.
 *
 * Memory: one arena for the batch, one for what its effects need, and one
 * that is reset with each record.  The first two are reset at the start of a
 * batch, and nowhere else.
 */
#include "worker.h"

#include "alert/correlation.h"
#include "bgworker/crash.h"
#include "source/source.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

static sl_source *source;
static bool undo; /* the last batch failed */

static sl_arena batch_arena;
static sl_arena effects_arena;
static sl_arena record_arena;
static sl_arena apart_arena; /* the effects of records that are judged apart */

/* Records shown in the log are cut to this. */
#define DEBUG_RECORD 1000

/* Says in the server's log what became of a record. */
static void
explain(const sl_rules *rules, const sl_record *record, const uint32_t *found, size_t n)
{
	sl_buf json;

	if (sl_debug == SL_DEBUG_OFF || (n == 0 && sl_debug != SL_DEBUG_ALL))
		return;
	sl_buf_init(&json, &record_arena, 1024);
	sl_record_json(&json, record);
	for (size_t i = 0; i < n; i++)
		ereport(LOG,
				(errmsg("rule \"%.*s\" matched a record of %s: alert %s", SL_STR_FMT(sl_ruleset_rule(rules->set, found[i])->stored_name), source->name,
						sl_severity_name[sl_ruleset_rule(rules->set, found[i])->severity]),
				 errdetail("Record: %.*s", (int) Min(json.n, DEBUG_RECORD), json.p),
				 errhidestmt(true), errhidecontext(true)));
	if (n == 0)
	{
		const uint32_t *looked_at;
		size_t n_looked = sl_matcher_candidates(rules->matcher, &looked_at);
		sl_buf why;

		sl_buf_init(&why, &record_arena, 256);
		if (n_looked == 0)
			sl_buf_printf(&why, "None of the %zu enabled rules asks for a value that the record has.", sl_ruleset_size(rules->set));
		else
			sl_buf_puts(&why, "A part of these was true, but not the whole condition: ");
		for (size_t i = 0; i < Min(n_looked, 10); i++)
			sl_buf_printf(&why, "%s\"%.*s\"", i ? ", " : "", SL_STR_FMT(sl_ruleset_rule(rules->set, looked_at[i])->stored_name));
		if (n_looked > 10)
			sl_buf_printf(&why, " and %zu more", n_looked - 10);
		ereport(LOG,
				(errmsg("no rule match for a record of %s", source->name),
				 errdetail("%s Record: %.*s", why.p, (int) Min(json.n, DEBUG_RECORD), json.p),
				 errhidestmt(true), errhidecontext(true)));
	}
}

/* Between additions to rule_stats, in ms. */
#define STATS_EVERY 5000

static void
store_costs(sl_rules *rules)
{
	static int64 stored_at;

	if (sl_now_ms() - stored_at < STATS_EVERY)
		return;
	stored_at = sl_now_ms();
	sl_begin();
	sl_rules_store_costs(rules);
	sl_commit_lazily();
}

static size_t
judge_record(const sl_rules *rules, const sl_record *record, sl_matches *matches, sl_correlations *correlations)
{
	const uint32_t *found;
	size_t n;

	sl_arena_reset(&record_arena);
	n = sl_match(rules->matcher, record, &record_arena, &found);
	for (size_t k = 0; k < n; k++)
		if (sl_ruleset_rule(rules->set, found[k])->alerts)
			sl_matches_add(matches, found[k], record);
	if (n > 0)
		sl_correlations_add(correlations, record, found, n);
	if (sl_debug != SL_DEBUG_OFF)
		explain(rules, record, found, n);
	return n;
}

/*
 * How many units are taken at a time.  A batch that fails for its data is
 * tried again by halves, down to the one that does it; then with twice as
 * many each time.
 */
static size_t limit = SL_BATCH_RECORDS;

/* After a crash, units that are taken one by one. */
#define CAREFUL_UNITS (2 * SL_BATCH_RECORDS)
static size_t careful;

/* And as long as this process lives, each batch is stored, so that another crash starts near to where it was. */
static bool wary;

static void
grow_limit(size_t units)
{
	careful -= Min(careful, units);
	if (careful == 0)
		limit = Min(limit * 2, SL_BATCH_RECORDS);
}

/* A record as a dead letter: the unit that it is part of, and its place in there. */
static void
set_aside(sl_batch *batch, size_t i, const ErrorData *error)
{
	sl_error reason;
	sl_buf origin;

	batch->arena->limit = 0;
	sl_buf_init(&origin, batch->arena, 256);
	sl_buf_add(&origin, batch->origin, strlen(batch->origin) - 1);
	sl_buf_printf(&origin, ",\"record\":%zu}", i);
	reason = sl_error_from(batch->arena, error);
	sl_batch_dead(batch, batch->payload ? batch->payload : "", batch->payload_n, origin.p, batch->headers, &reason);
}

/*
 * Some records with all that follows from them, or nothing of it: then why.
 * What isn't the fault of data is thrown on, once the subtransaction is over.
 */
static ErrorData *
judge_apart(const sl_rules *rules, sl_batch *batch, size_t from, size_t to, size_t *found)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile failed = NULL;
	volatile size_t n = 0;

	sl_server_arena(&apart_arena);
	apart_arena.limit = 0;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		sl_matches *matches = sl_matches_new(&apart_arena, rules);
		sl_correlations *correlations = sl_correlations_new(&apart_arena, rules, sl_matches_add_group, matches);

		for (size_t i = from; i < to; i++)
			n += judge_record(rules, &batch->records.v[i], matches, correlations);
		sl_correlations_now(correlations, batch->records.v[to - 1].watermark);
		sl_correlations_store(correlations);
		sl_matches_store(matches);
		if (source->stores)
			sl_logs_store(&batch->records, from, to, source->name, NULL);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		failed = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!failed)
		*found += n;
	else if (!sl_is_data_error(failed->sqlerrcode))
		ReThrowError(failed);
	return failed;
}

/* One unit: all of its records at once, and only where that fails each by itself. */
static size_t
judge_unit(const sl_rules *rules, sl_batch *batch)
{
	size_t found = 0;

	if (batch->records.n == 0 || !judge_apart(rules, batch, 0, batch->records.n, &found))
		return found;
	for (size_t i = 0; i < batch->records.n; i++)
	{
		ErrorData *failed = judge_apart(rules, batch, i, i + 1, &found);

		if (failed)
		{
			set_aside(batch, i, failed);
			FreeErrorData(failed);
		}
	}
	return found;
}

/*
 * Correlations count the records of all sources, so time goes no faster than
 * the slowest of them.  What this one has come to is told once it is sure.
 */
static int64 reached;

static void
wait_for_others(sl_batch *batch)
{
	int64 others = sl_watermark_of_all(sl_my_slot);

	reached = batch->watermark;
	batch->watermark = Min(Min(batch->watermark, others), sl_now_ns());
	for (size_t i = 0; i < batch->records.n; i++)
		batch->records.v[i].watermark = Min(batch->records.v[i].watermark, others);
}

/* Gives the ms until there may be more, 0 when there is. */
static int
evaluate(sl_batch *batch, int wait_ms)
{
	sl_rules *rules;
	sl_matches *matches;
	sl_correlations *correlations;
	size_t found = 0;
	bool effects,
		pending,
		stored = false;

	sl_begin();
	rules = sl_rules_current();
	if (!rules)
	{
		sl_commit();
		sl_worker_status("waits for the rules to be compiled");
		return 50;
	}
	sl_worker_status("%s", "");
	source->take(source, batch);
	wait_for_others(batch);
	matches = sl_matches_new(&effects_arena, rules);
	correlations = sl_correlations_new(&effects_arena, rules, sl_matches_add_group, matches);
	if (limit == 1)
	{
		/* it writes as it goes; positions are locked first, and a crash is to find us here again */
		stored = source->settle(source, batch, true);
		found = judge_unit(rules, batch);
	}
	else
		for (size_t i = 0; i < batch->records.n; i++)
			found += judge_record(rules, &batch->records.v[i], matches, correlations);
	pending = sl_correlations_pending(correlations, batch->watermark);
	effects = found > 0 || batch->n_dead > 0 || pending || limit == 1 || wary || (source->stores && batch->records.n > 0);
	if (limit > 1)
		stored = source->settle(source, batch, effects);
	if (batch->n_dead > 0)
		sl_dead_letters_store(batch);
	if (pending)
		sl_correlations_store(correlations);
	sl_matches_store(matches);
	if (source->stores && limit > 1)
		sl_logs_store(&batch->records, 0, batch->records.n, source->name, NULL);
	/* what a commit runs into is no record's doing */
	sl_crash_leave();
	if (effects)
		sl_commit();
	else
		sl_commit_lazily();

	if (batch->records.n > 0 || batch->n_dead > 0)
	{
		pg_atomic_fetch_add_u64(&sl_my_slot->records, batch->records.n);
		pg_atomic_fetch_add_u64(&sl_my_slot->bytes, batch->bytes);
		pg_atomic_fetch_add_u64(&sl_my_slot->matches, found);
		pg_atomic_fetch_add_u64(&sl_my_slot->dead_letters, batch->n_dead);
		pg_atomic_fetch_add_u64(&sl_my_slot->batches, 1);
		pg_atomic_write_u64(&sl_my_slot->last_batch_at, (uint64) GetCurrentTimestamp());
	}
	pg_atomic_write_u64(&sl_my_slot->watermark, (uint64) reached);
	if (source->settled(source, batch, stored))
		wait_ms = 0;
	store_costs(rules);
	return wait_ms;
}

static int
step(void)
{
	MemoryContext context = CurrentMemoryContext;
	sl_batch batch = {.arena = &batch_arena, .limit = limit, .room = SL_BATCH_BYTES};
	volatile int wait_ms = 1000;
	int wait = 1000;

	sl_server_arena(&batch_arena);
	sl_server_arena(&effects_arena);
	sl_server_arena(&record_arena);
	/* bounded by the batch's bytes and by the size of a statement instead */
	effects_arena.limit = record_arena.limit = 0;
	if (undo)
	{
		source->undo(source);
		undo = false;
	}
	if (!source->poll(source, &batch, &wait))
		return wait;
	undo = true;
	PG_TRY();
	{
		wait_ms = evaluate(&batch, wait);
		grow_limit(batch.units);
		undo = false;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		sl_crash_leave();
		/* where records were tried one by one, it is no fault of theirs */
		if (!sl_is_data_error(geterrcode()) || limit == 1)
			PG_RE_THROW();
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortOutOfAnyTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		limit = Max(batch.units / 2, 1);
		wait_ms = 0;
	}
	PG_END_TRY();
	return wait_ms;
}

void
sl_evaluator_main(Datum arg)
{
	sl_worker_start(arg, SL_EVALUATOR);
	if (strcmp(sl_my_slot->source, "inbox") == 0)
		source = sl_inbox_open("");
	else
		source = sl_kafka_open(sl_my_slot->source, "");
	if (sl_crash_init(sl_my_slot->source))
	{
		careful = CAREFUL_UNITS;
		limit = 1;
		wary = true;
	}
	sl_worker_run(step);
}
