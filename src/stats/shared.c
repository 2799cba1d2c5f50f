/*
 * shared.c
 *	  Shared memory of the workers, waking them, and the views of them.
 */
#include "stats/shared.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(stacklens_wake);
PG_FUNCTION_INFO_V1(stacklens_logs_arrived);
PG_FUNCTION_INFO_V1(stacklens_workers);

const char *const sl_kind_name[] = {"launcher", "maintainer", "notifier", "evaluator", "shipper"};
static const char *const state_name[] = {"free", "stopped", "waiting", "starting", "running", "retrying"};

sl_shared *sl_shared_state;
sl_slot *sl_my_slot;

static uint32 wake_at_commit; /* a bit for each kind */

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

static void
request_hook(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(sl_shared)));
	RequestNamedLWLockTranche("stacklens", 1);
}

static void
startup_hook(void)
{
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	sl_shared_state = ShmemInitStruct("stacklens", sizeof(sl_shared), &found);
	if (!found)
	{
		memset(sl_shared_state, 0, sizeof(sl_shared));
		sl_shared_state->lock = &(GetNamedLWLockTranche("stacklens"))->lock;
		pg_atomic_init_u64(&sl_shared_state->handovers, 0);
		for (int i = 0; i < SL_SLOTS; i++)
		{
			sl_slot *slot = &sl_shared_state->slots[i];

			pg_atomic_init_u64(&slot->records, 0);
			pg_atomic_init_u64(&slot->bytes, 0);
			pg_atomic_init_u64(&slot->batches, 0);
			pg_atomic_init_u64(&slot->matches, 0);
			pg_atomic_init_u64(&slot->dead_letters, 0);
			pg_atomic_init_u64(&slot->last_batch_at, 0);
			pg_atomic_init_u64(&slot->retries, 0);
			pg_atomic_init_u64(&slot->in_flight, 0);
			pg_atomic_init_u64(&slot->latency, 0);
			pg_atomic_init_u64(&slot->oldest, 0);
			pg_atomic_init_u64(&slot->place, 0);
			pg_atomic_init_u64(&slot->watermark, (uint64) PG_INT64_MIN);
		}
		for (int i = 0; i < SL_BACKTESTS; i++)
		{
			sl_backtest *b = &sl_shared_state->backtests[i];

			pg_atomic_init_u64(&b->at, 0);
			pg_atomic_init_u64(&b->records, 0);
			pg_atomic_init_u64(&b->found, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
xact_callback(XactEvent event, void *arg)
{
	uint32 kinds = wake_at_commit;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	wake_at_commit = 0;
	/* a prepared transaction is seen by the workers' look each second */
	if (event == XACT_EVENT_COMMIT)
	{
		if (sl_shared_state && (kinds & (1u << SL_LAUNCHER)))
			sl_shared_state->look_for_extension = true;
		for (int kind = 0; kinds; kind++, kinds >>= 1)
			if (kinds & 1)
				sl_wake((sl_kind) kind);
	}
}

void
sl_shared_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_hook;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_hook;
	RegisterXactCallback(xact_callback, NULL);
}

void
sl_wake(sl_kind kind)
{
	if (!sl_shared_state)
		return;
	LWLockAcquire(sl_shared_state->lock, LW_SHARED);
	for (int i = 0; i < SL_SLOTS; i++)
	{
		sl_slot *slot = &sl_shared_state->slots[i];

		if (slot->kind == kind && slot->pid && slot->latch)
			SetLatch(slot->latch);
	}
	LWLockRelease(sl_shared_state->lock);
}

void
sl_wake_at_commit(sl_kind kind)
{
	wake_at_commit |= 1u << kind;
}

int64
sl_lowest_watermark(const sl_slot *except)
{
	int64 lowest = PG_INT64_MAX;

	LWLockAcquire(sl_shared_state->lock, LW_SHARED);
	for (int i = 0; i < SL_SLOTS; i++)
	{
		sl_slot *slot = &sl_shared_state->slots[i];

		if (slot != except && slot->state != SL_FREE && (slot->wanted || slot->pid) && slot->kind == SL_EVALUATOR)
			lowest = Min(lowest, (int64) pg_atomic_read_u64(&slot->watermark));
	}
	LWLockRelease(sl_shared_state->lock);
	return lowest;
}

char *
sl_owner_name(const sl_slot *slot)
{
	return psprintf("%d/%lld", (int) slot->pid, (long long) slot->started_at);
}

Datum
sl_running_owners(void)
{
	Datum names[SL_SLOTS];
	int n = 0;

	LWLockAcquire(sl_shared_state->lock, LW_SHARED);
	for (int i = 0; i < SL_SLOTS; i++)
		if (sl_shared_state->slots[i].kind == SL_EVALUATOR && sl_shared_state->slots[i].pid)
			names[n++] = CStringGetTextDatum(sl_owner_name(&sl_shared_state->slots[i]));
	LWLockRelease(sl_shared_state->lock);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

void
sl_slot_text(sl_slot *slot, char *field, const char *s)
{
	int n = pg_mbcliplen(s, (int) strlen(s), SL_ERROR_MAX - 1);

	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	memcpy(field, s, n);
	field[n] = '\0';
	if (field == slot->last_error)
		slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(sl_shared_state->lock);
}

/* wake(kind text): workers of a kind look for work once this commits. */
Datum
stacklens_wake(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!sl_has_workers())
		PG_RETURN_VOID();
	for (int kind = 0; kind < lengthof(sl_kind_name); kind++)
		if (strcmp(name, sl_kind_name[kind]) == 0)
		{
			sl_wake_at_commit((sl_kind) kind);
			PG_RETURN_VOID();
		}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind of worker \"%s\"", name)));
}

/* Statement trigger of logs: the evaluator looks once this commits. */
Datum
stacklens_logs_arrived(PG_FUNCTION_ARGS)
{
	static bool warned;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("not called as a trigger")));
	if (sl_has_workers())
	{
		sl_wake_at_commit(SL_EVALUATOR);
		sl_wake_at_commit(SL_SHIPPER);
	}
	else if (!warned)
	{
		warned = true;
		ereport(WARNING,
				(errmsg("log records are stored, but no background worker evaluates them"),
				 errhint("Set shared_preload_libraries = 'stacklens' and stacklens.database = '%s' in postgresql.conf, and restart the server.",
						 get_database_name(MyDatabaseId))));
	}
	return PointerGetDatum(NULL);
}

static Datum
text_or_null(const char *s, bool *isnull)
{
	*isnull = s[0] == '\0';
	return *isnull ? (Datum) 0 : CStringGetTextDatum(s);
}

/* A number, or a time: 0 says that there is none. */
static Datum
count_or_null(pg_atomic_uint64 *count, bool *isnull)
{
	int64 value = (int64) pg_atomic_read_u64(count);

	*isnull = value == 0;
	return Int64GetDatum(value);
}

/* workers() → a row for each slot in use; see the view stat_workers. */
Datum
stacklens_workers(PG_FUNCTION_ARGS)
{
	enum
	{
		KIND,
		SOURCE,
		PID,
		STATE,
		STATUS,
		STARTED,
		RESTARTS,
		ERROR_TEXT,
		ERROR_AT,
		RECORDS,
		BYTES,
		BATCHES,
		MATCHES,
		DEAD,
		LAST_BATCH,
		PLACE,
		SINK,
		RETRIES,
		IN_FLIGHT,
		LATENCY,
		OLDEST,
		COLUMNS
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	sl_slot *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (!sl_has_workers())
		return (Datum) 0;
	/* a copy, so that the lock isn't held while tuples are made */
	copy = palloc(sizeof(sl_shared_state->slots));
	LWLockAcquire(sl_shared_state->lock, LW_SHARED);
	memcpy(copy, sl_shared_state->slots, sizeof(sl_shared_state->slots));
	LWLockRelease(sl_shared_state->lock);
	for (int i = 0; i < SL_SLOTS; i++)
	{
		sl_slot *slot = &copy[i];
		Datum values[COLUMNS] = {0};
		bool nulls[COLUMNS] = {0};

		if (slot->state == SL_FREE)
			continue;
		values[KIND] = CStringGetTextDatum(sl_kind_name[slot->kind]);
		values[SOURCE] = text_or_null(slot->source, &nulls[SOURCE]);
		values[PID] = Int32GetDatum((int32) slot->pid);
		nulls[PID] = slot->pid == 0;
		values[STATE] = CStringGetTextDatum(state_name[slot->state]);
		values[STATUS] = text_or_null(slot->status, &nulls[STATUS]);
		values[STARTED] = TimestampTzGetDatum(slot->started_at);
		nulls[STARTED] = slot->started_at == 0;
		values[RESTARTS] = Int32GetDatum(slot->restarts);
		values[ERROR_TEXT] = text_or_null(slot->last_error, &nulls[ERROR_TEXT]);
		values[ERROR_AT] = TimestampTzGetDatum(slot->last_error_at);
		nulls[ERROR_AT] = slot->last_error_at == 0;
		values[RECORDS] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->records));
		values[BYTES] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->bytes));
		values[BATCHES] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->batches));
		values[MATCHES] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->matches));
		values[DEAD] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->dead_letters));
		values[LAST_BATCH] = count_or_null(&slot->last_batch_at, &nulls[LAST_BATCH]);
		values[PLACE] = count_or_null(&slot->place, &nulls[PLACE]);
		values[SINK] = text_or_null(slot->sink, &nulls[SINK]);
		values[RETRIES] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->retries));
		values[IN_FLIGHT] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->in_flight));
		values[LATENCY] = count_or_null(&slot->latency, &nulls[LATENCY]);
		values[OLDEST] = count_or_null(&slot->oldest, &nulls[OLDEST]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
