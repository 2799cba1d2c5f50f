/*
 * launcher.c
 *	  Starts the workers that are wanted, and starts them again.
 *
 * See README.md beside this file for the states.  The launcher is connected
 * to no database: it reads pg_database alone, to wait for the database
 * instead of having workers fail.
 */
#include "worker.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define MAINTAINER_SLOT 1
#define NOTIFIER_SLOT 2
#define FIRST_EVALUATOR 3 /* or shipper */

/* ms */
#define BACKOFF_MIN 50
#define BACKOFF_MAX 5000
#define START_TIMEOUT 30000
#define LOOK_AGAIN 60000

static const char *const main_function[] = {"sl_launcher_main", "sl_maintainer_main", "sl_notifier_main", "sl_evaluator_main", "sl_shipper_main"};

static BackgroundWorkerHandle *handles[SL_SLOTS];
static bool warned_full;

void
sl_launcher_init(void)
{
	BackgroundWorker worker = {0};

	if (sl_database[0] == '\0' || IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "stacklens", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, main_function[SL_LAUNCHER], sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "stacklens launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "stacklens launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static bool
is_wished(const sl_slot *slot, const sl_wish *wish)
{
	return slot->kind == wish->kind && strcmp(slot->source, wish->source) == 0 && strcmp(slot->sink, wish->sink) == 0 && slot->nth == wish->nth;
}

/* Makes a slot wanted; under the lock. */
static void
want(int index, const sl_wish *wish)
{
	sl_slot *slot = &sl_shared_state->slots[index];

	if (slot->state == SL_FREE || !is_wished(slot, wish))
	{
		slot->kind = wish->kind;
		strlcpy(slot->source, wish->source, sizeof(slot->source));
		strlcpy(slot->sink, wish->sink, sizeof(slot->sink));
		slot->nth = wish->nth;
		slot->state = SL_WAITING;
		slot->status[0] = slot->last_error[0] = '\0';
		slot->last_error_at = slot->start_after = slot->started_at = 0;
		slot->failures = slot->restarts = 0;
		slot->version = wish->version;
		pg_atomic_write_u64(&slot->retries, 0);
		pg_atomic_write_u64(&slot->in_flight, 0);
		pg_atomic_write_u64(&slot->latency, 0);
		pg_atomic_write_u64(&slot->oldest, 0);
		pg_atomic_write_u64(&slot->records, 0);
		pg_atomic_write_u64(&slot->bytes, 0);
		pg_atomic_write_u64(&slot->batches, 0);
		pg_atomic_write_u64(&slot->matches, 0);
		pg_atomic_write_u64(&slot->dead_letters, 0);
		pg_atomic_write_u64(&slot->last_batch_at, 0);
		pg_atomic_write_u64(&slot->place, 0);
		pg_atomic_write_u64(&slot->watermark, (uint64) PG_INT64_MIN);
	}
	else if (slot->state == SL_STOPPED && slot->pid == 0)
		slot->state = SL_WAITING;
	/* a source's new settings: its worker leaves and is started with them */
	if (slot->version != wish->version)
	{
		slot->version = wish->version;
		if (slot->pid)
			kill(slot->pid, SIGTERM);
	}
	slot->wanted = true;
}

/*
 * The maintainer's wish: a notifier, and these evaluators and shippers.  Others are told to
 * leave.
 */
void
sl_publish_wanted(int n, const sl_wish *wishes)
{
	int missing = 0;

	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	want(NOTIFIER_SLOT, &(sl_wish){.kind = SL_NOTIFIER, .source = "", .sink = ""});
	for (int i = FIRST_EVALUATOR; i < SL_SLOTS; i++)
	{
		sl_slot *slot = &sl_shared_state->slots[i];
		bool keep = false;

		for (int k = 0; k < n && !keep; k++)
			keep = is_wished(slot, &wishes[k]);
		if (keep || slot->state == SL_FREE)
			continue;
		slot->wanted = false;
		if (slot->pid)
			kill(slot->pid, SIGTERM);
		else if (slot->state != SL_STARTING)
			slot->state = SL_FREE;
	}
	for (int k = 0; k < n; k++)
	{
		int at = 0;

		for (int i = FIRST_EVALUATOR; i < SL_SLOTS; i++)
		{
			sl_slot *slot = &sl_shared_state->slots[i];

			if (slot->state != SL_FREE && is_wished(slot, &wishes[k]))
			{
				at = i;
				break;
			}
			if (slot->state == SL_FREE && at == 0)
				at = i;
		}
		if (at)
			want(at, &wishes[k]);
		else
			missing++;
	}
	LWLockRelease(sl_shared_state->lock);
	if (missing > 0)
		ereport(WARNING,
				(errmsg("%d evaluators and shippers are wanted, and there is room for %d", n, n - missing),
				 errhint("Lower stacklens.workers (now %d), or pause sources or sinks.", sl_workers)));
	sl_wake(SL_LAUNCHER);
}

/* By a scan: without a database, indexes of shared catalogs may not be known yet. */
static bool
database_exists(void)
{
	bool found = false;
	Relation databases;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	databases = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(databases, 0, NULL);
	while (!found && (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		found = strcmp(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datname), sl_database) == 0;
	table_endscan(scan);
	table_close(databases, AccessShareLock);
	CommitTransactionCommand();
	return found;
}

static bool
start(int index)
{
	sl_slot *slot = &sl_shared_state->slots[index];
	BackgroundWorker worker = {0};
	bool ok;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "stacklens", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, main_function[slot->kind], sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "stacklens %s", sl_kind_name[slot->kind]);
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "stacklens %s%s%.40s%s%.30s", sl_kind_name[slot->kind],
			 slot->source[0] ? " of " : "", slot->source, slot->sink[0] ? " to " : "", slot->sink);
	if (slot->nth > 0)
		snprintf(worker.bgw_name + strlen(worker.bgw_name), sizeof(worker.bgw_name) - strlen(worker.bgw_name), " (%d)", slot->nth + 1);
	worker.bgw_main_arg = UInt32GetDatum((slot->generation & 0xFFFFFF) << 8 | (uint32) index);
	worker.bgw_notify_pid = MyProcPid;
	if (handles[index])
		pfree(handles[index]);
	handles[index] = NULL;
	ok = RegisterDynamicBackgroundWorker(&worker, &handles[index]);
	if (!ok && !warned_full)
		ereport(WARNING,
				(errmsg("no background worker slot is free for stacklens's %s", sl_kind_name[slot->kind]),
				 errhint("Raise max_worker_processes (now %d) by 4, by %d more for each Kafka source, and by one for each source of each sink; then restart the server.",
						 max_worker_processes, sl_workers)));
	warned_full = !ok;
	return ok;
}

/* ms to wait before the next start of a worker that failed so often. */
static int
backoff(int failures)
{
	int ms = failures == 0 ? 0 : Min(BACKOFF_MAX, BACKOFF_MIN << Min(failures, 8));

	return ms / 2 + (ms ? (int) (random() % (ms / 2 + 1)) : 0);
}

/*
 * Brings the slots forward; gives the ms until the next must be looked at.
 * The lock is not held while the postmaster is asked.
 */
static int
look_at_slots(void)
{
	int next = LOOK_AGAIN;

	for (int i = 1; i < SL_SLOTS; i++)
	{
		sl_slot *slot = &sl_shared_state->slots[i];
		TimestampTz now = GetCurrentTimestamp();
		bool go = false;
		pid_t ignored;

		LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
		/* asked for, and ended before it could attach */
		if (slot->state == SL_STARTING && slot->pid == 0 &&
			(handles[i] ? GetBackgroundWorkerPid(handles[i], &ignored) == BGWH_STOPPED
						: TimestampDifferenceExceeds(slot->start_after, now, START_TIMEOUT)))
		{
			slot->state = SL_WAITING;
			slot->start_after = 0;
			if (sl_shared_state->holds == 0)
				slot->failures++;
		}
		if (slot->state == SL_WAITING && !slot->wanted)
			slot->state = SL_FREE;
		if (slot->state == SL_WAITING && slot->start_after == 0)
			slot->start_after = TimestampTzPlusMilliseconds(now, backoff(slot->failures));
		if (slot->state == SL_WAITING && sl_shared_state->holds == 0)
		{
			if (now >= slot->start_after)
			{
				go = true;
				slot->state = SL_STARTING;
				slot->start_after = now;
				slot->generation++;
			}
			else
				next = Min(next, (int) TimestampDifferenceMilliseconds(now, slot->start_after) + 1);
		}
		else if (slot->state == SL_RUNNING)
			slot->start_after = 0;
		LWLockRelease(sl_shared_state->lock);
		if (go && !start(i))
		{
			LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
			slot->state = SL_WAITING;
			slot->start_after = TimestampTzPlusMilliseconds(now, BACKOFF_MAX);
			LWLockRelease(sl_shared_state->lock);
			next = Min(next, BACKOFF_MAX);
		}
		else if (go)
			next = Min(next, 1000);
	}
	return next;
}

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	sl_shared_state->slots[0].pid = 0;
	sl_shared_state->slots[0].latch = NULL;
	sl_shared_state->slots[0].state = SL_WAITING;
	LWLockRelease(sl_shared_state->lock);
}

void
sl_launcher_main(Datum arg)
{
	sl_slot *slot = &sl_shared_state->slots[0];
	TimestampTz last_look = 0;

	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	slot->kind = SL_LAUNCHER;
	slot->state = SL_RUNNING;
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	if (slot->started_at)
		slot->restarts++;
	slot->started_at = GetCurrentTimestamp();
	LWLockRelease(sl_shared_state->lock);
	before_shmem_exit(launcher_detach, (Datum) 0);
	sl_my_slot = slot;
	sl_loop_init();

	for (;;)
	{
		sl_slot *maintainer = &sl_shared_state->slots[MAINTAINER_SLOT];
		TimestampTz now = GetCurrentTimestamp();
		bool look;
		int next;

		LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
		look = sl_shared_state->look_for_extension || last_look == 0 ||
			   TimestampDifferenceExceeds(last_look, now, LOOK_AGAIN);
		/* whoever holds ends with a commit or an abort, which wakes us */
		look = look && sl_shared_state->holds == 0 && maintainer->pid == 0;
		if (look)
			sl_shared_state->look_for_extension = false;
		LWLockRelease(sl_shared_state->lock);
		if (look)
		{
			bool exists = database_exists();

			last_look = now;
			LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
			if (exists)
				want(MAINTAINER_SLOT, &(sl_wish){.kind = SL_MAINTAINER, .source = "", .sink = ""});
			else
				for (int i = 1; i < SL_SLOTS; i++)
					sl_shared_state->slots[i].wanted = false;
			LWLockRelease(sl_shared_state->lock);
			sl_worker_status(exists ? "%s" : "waiting for database \"%s\"", exists ? "" : sl_database);
		}
		next = look_at_slots();
		if (!sl_loop_wait(next))
			break;
	}
	/* 1: the postmaster starts another after pg_terminate_backend, none at shutdown */
	proc_exit(1);
}
