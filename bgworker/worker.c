/*
 * worker.c
 *	  The life of a worker: attach, connect, step and wait, leave.
 */
#include "worker.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include <unistd.h>

/* How long the steps of one kind may be retried in place, in ms. */
#define RETRY_MIN 100
#define RETRY_MAX 5000

static bool leave_stopped; /* not to be started again by itself */

/*
 * Runs last of what is run at exit: libraries left threads that their own
 * exit handlers would race with.
 */
static void
exit_now(int code, Datum arg)
{
	_exit(code);
}

static void
detach(int code, Datum arg)
{
	sl_slot *slot = sl_my_slot;

	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->latch = NULL;
	slot->state = leave_stopped ? SL_STOPPED : SL_WAITING;
	slot->start_after = 0;
	if (code != 0)
		slot->failures++;
	LWLockRelease(sl_shared_state->lock);
	/* its partitions are nobody's */
	pg_atomic_fetch_add_u64(&sl_shared_state->handovers, 1);
	sl_wake(SL_LAUNCHER);
}

static void
attach(Datum arg, sl_kind kind)
{
	int index = DatumGetInt32(arg) & 0xFF;
	uint32 generation = DatumGetUInt32(arg) >> 8;
	sl_slot *slot = &sl_shared_state->slots[index];
	bool ok;

	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	ok = sl_shared_state->holds == 0 && slot->kind == kind && slot->wanted && slot->pid == 0 &&
		 (slot->generation & 0xFFFFFF) == generation;
	if (ok)
	{
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		slot->state = SL_RUNNING;
		slot->status[0] = '\0';
		slot->start_after = 0;
		if (slot->started_at)
			slot->restarts++;
		slot->started_at = GetCurrentTimestamp();
	}
	LWLockRelease(sl_shared_state->lock);
	if (!ok)
		proc_exit(0);
	sl_my_slot = slot;
	before_shmem_exit(detach, (Datum) 0);
}

/* Leaves for good, until a CREATE or ALTER EXTENSION wakes the launcher. */
static void
stop_because(const char *reason)
{
	sl_worker_status("%s", reason);
	leave_stopped = true;
	proc_exit(0);
}

static void
check_extension(void)
{
	char *version = NULL;

	sl_begin();
	if (sl_execute("SELECT extversion FROM pg_extension WHERE extname = 'stacklens'", true) == 1)
		version = MemoryContextStrdup(TopMemoryContext,
									  SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	sl_commit();
	if (!version)
		stop_because("the extension is not in this database");
	if (strcmp(version, SL_VERSION) != 0)
	{
		char reason[200];

		snprintf(reason, sizeof(reason), "extension is version %s, library is version %s", version, SL_VERSION);
		ereport(LOG,
				(errmsg("stacklens %s leaves: %s", sl_kind_name[sl_my_slot->kind], reason),
				 errhint("Run ALTER EXTENSION stacklens UPDATE, or install the matching library and restart.")));
		stop_because(reason);
	}
	pfree(version);
}

void
sl_worker_start(Datum arg, sl_kind kind)
{
	on_proc_exit(exit_now, (Datum) 0);
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	attach(arg, kind);
	BackgroundWorkerInitializeConnection(sl_database, NULL, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	/* never wait for what an idle session holds; a statement of ours is short */
	SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
#if PG_VERSION_NUM >= 170000
	SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
#endif
	SetConfigOption("jit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	sl_loop_init();
	check_extension();
}

void
sl_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, sl_kind_name[sl_my_slot->kind]);
}

void
sl_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
sl_commit_lazily(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE, GUC_ACTION_LOCAL, true, 0, false);
	sl_commit();
}

uint64
sl_execute(const char *sql, bool read_only)
{
	int result = SPI_execute(sql, read_only, 0);

	if (result < 0)
		elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

void
sl_worker_status(const char *format, ...)
{
	char text[SL_ERROR_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (strcmp(text, sl_my_slot->status) != 0)
		sl_slot_text(sl_my_slot, sl_my_slot->status, text);
}

void
sl_worker_error(const char *format, ...)
{
	char text[SL_ERROR_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sl_slot_text(sl_my_slot, sl_my_slot->last_error, text);
}

static void
set_state(sl_state state)
{
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	sl_my_slot->state = state;
	LWLockRelease(sl_shared_state->lock);
}

/*
 * One step; on error the pause that it asks for, negative.  *gone: what it
 * works on isn't there, so perhaps the extension isn't.
 */
static int
try_step(int (*step)(void), int failures, MemoryContext context, bool *gone)
{
	volatile int wait = 0;

	PG_TRY();
	{
		wait = step();
	}
	PG_CATCH();
	{
		ErrorData *error;
		int pause = RETRY_MIN << Min(failures, 6);

		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		error = CopyErrorData();
		EmitErrorReport();
		AbortOutOfAnyTransaction();
		FlushErrorState();
		sl_worker_error("%s: %s%s%s", unpack_sql_state(error->sqlerrcode), error->message,
						error->detail ? "; " : "", error->detail ? error->detail : "");
		*gone = error->sqlerrcode == ERRCODE_UNDEFINED_TABLE || error->sqlerrcode == ERRCODE_UNDEFINED_FUNCTION ||
				error->sqlerrcode == ERRCODE_UNDEFINED_SCHEMA;
		FreeErrorData(error);
		RESUME_INTERRUPTS();
		pause = Min(pause, RETRY_MAX);
		/* jittered, so that workers that failed together don't return together */
		wait = -(pause / 2 + (int) (random() % (pause / 2 + 1)));
	}
	PG_END_TRY();
	return wait;
}

void
sl_worker_run(int (*step)(void))
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "stacklens worker", ALLOCSET_DEFAULT_SIZES);
	int failures = 0;
	bool go_on = true;

	while (go_on)
	{
		int wait;
		bool gone = false;

		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		wait = try_step(step, failures, context, &gone);
		if (gone)
			check_extension();
		if (wait < 0)
		{
			int64 until = sl_now_ms() - wait;

			failures++;
			set_state(SL_RETRYING);
			while (go_on && sl_now_ms() < until)
				go_on = sl_loop_wait((int) Max(1, until - sl_now_ms()));
			continue;
		}
		if (failures > 0 || sl_my_slot->failures > 0)
		{
			failures = 0;
			sl_my_slot->failures = 0;
			set_state(SL_RUNNING);
		}
		go_on = sl_loop_wait(wait);
	}
	proc_exit(0);
}

/*
 * Partitions that are nobody's, between two owners, with what waits in them:
 * no slot speaks for those.  One that was left long ago is not waited for.
 */
static int64
ownerless_watermark(void)
{
	static SPIPlanPtr plan;
	Datum value = sl_running_owners();
	bool isnull;

	if (!plan)
	{
		Oid types[1] = {TEXTARRAYOID};

		plan = sl_prepare("SELECT min(COALESCE(p.watermark, -9223372036854775808)) FROM stacklens_internal.positions p"
						  " JOIN stacklens_internal.sources s ON s.name = p.source AND s.topic = p.topic"
						  " JOIN stacklens_internal.incarnation i ON i.id = s.incarnation"
						  " WHERE p.sink = '' AND NOT s.paused AND stacklens_internal.reads_partition(s.options, p.partition) AND (p.owner IS NULL OR p.owner <> ALL ($1))"
						  " AND p.updated_at > pg_catalog.clock_timestamp() - CASE WHEN p.next_offset >= p.high_watermark"
						  " THEN interval '30 seconds' ELSE interval '5 minutes' END",
						  1, types);
	}
	/* by a snapshot of now: what was let go of since the transaction began counts */
	if (SPI_execute_plan(plan, &value, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read watermarks");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? PG_INT64_MAX : DatumGetInt64(value);
}

/*
 * What all sources have come to, but for one worker's part; ns.  Within a
 * transaction.
 */
int64
sl_watermark_of_all(const sl_slot *except)
{
	static uint64 seen = PG_UINT64_MAX;
	static bool ownerless;
	int64 lowest = sl_lowest_watermark(except);
	uint64 handovers = pg_atomic_read_u64(&sl_shared_state->handovers);

	/* whoever owns a partition now has said so before the table does: so the slots are read once more */
	if (handovers != seen || ownerless)
	{
		int64 between = ownerless_watermark();

		ownerless = between != PG_INT64_MAX;
		seen = handovers;
		lowest = Min(Min(lowest, between), sl_lowest_watermark(except));
	}
	return lowest;
}
