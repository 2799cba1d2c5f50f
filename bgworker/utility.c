/*
 * utility.c
 *	  Commands before which every worker must have left.
 *
 * DROP DATABASE would refuse or (with FORCE) kill, RENAME and TEMPLATE use
 * would refuse, and DROP or ALTER EXTENSION would wait for locks or pull the
 * ground from under a batch.  So a hold is taken first: workers leave, none
 * is started until the command's transaction has ended.
 */
#include "worker.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/guc.h"

/* How long a worker may take to leave before the command goes on without it, in ms. */
#define PATIENCE 10000

static ProcessUtility_hook_type previous_hook;
static bool holding;
static SubTransactionId held_in; /* the subtransaction that took the hold */

static void
release(void)
{
	if (!holding)
		return;
	holding = false;
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	sl_shared_state->holds--;
	/* the database or the extension may be gone now, or back */
	sl_shared_state->look_for_extension = true;
	LWLockRelease(sl_shared_state->lock);
	sl_wake(SL_LAUNCHER);
}

static void
release_at_exit(int code, Datum arg)
{
	release();
}

static void
release_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		release();
}

/* A command that failed within a savepoint holds nobody any longer. */
static void
release_at_subabort(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && holding && subid == held_in)
		release();
	else if (event == SUBXACT_EVENT_COMMIT_SUB && holding && subid == held_in)
		held_in = parent;
}

/* Tells all workers to leave; the number that haven't yet. */
static int
dismiss(bool signal)
{
	int left = 0;

	LWLockAcquire(sl_shared_state->lock, LW_SHARED);
	for (int i = 1; i < SL_SLOTS; i++)
	{
		pid_t pid = sl_shared_state->slots[i].pid;

		if (pid && pid != MyProcPid)
		{
			left++;
			if (signal)
				kill(pid, SIGTERM);
		}
	}
	LWLockRelease(sl_shared_state->lock);
	return left;
}

static void
hold(void)
{
	static bool registered;

	if (holding)
		return;
	if (!registered)
	{
		before_shmem_exit(release_at_exit, (Datum) 0);
		registered = true;
	}
	LWLockAcquire(sl_shared_state->lock, LW_EXCLUSIVE);
	sl_shared_state->holds++;
	holding = true;
	held_in = GetCurrentSubTransactionId();
	LWLockRelease(sl_shared_state->lock);
	dismiss(true);
	for (int waited = 0; dismiss(false) > 0 && waited < PATIENCE; waited += 10)
	{
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Is it the database of the workers, and may this user do such things to it?
 * Who may not is told so by the command itself, and stops nobody.
 */
static bool
ours(const char *database)
{
	Oid oid;

	if (!database || strcmp(database, sl_database) != 0)
		return false;
	oid = get_database_oid(database, true);
	/* one that is about to get our name is anybody's */
	return !OidIsValid(oid) || sl_owns_database(oid);
}

static bool
owns_extension(void)
{
	Oid oid = get_extension_oid("stacklens", true);

	return OidIsValid(oid) && sl_owns_extension(oid);
}

static bool
wants_hold(Node *statement)
{
	ListCell *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ours(((DropdbStmt *) statement)->dbname);
		case T_RenameStmt:
			/* also to our name: once that is done the launcher looks for the extension */
			return ((RenameStmt *) statement)->renameType == OBJECT_DATABASE &&
				   (ours(((RenameStmt *) statement)->subname) || ours(((RenameStmt *) statement)->newname));
		case T_CreatedbStmt:
			if (ours(((CreatedbStmt *) statement)->dbname))
				return true;
			foreach (cell, ((CreatedbStmt *) statement)->options)
			{
				DefElem *option = lfirst_node(DefElem, cell);

				if (strcmp(option->defname, "template") == 0 && option->arg && ours(defGetString(option)))
					return true;
			}
			return false;
		case T_AlterDatabaseStmt:
			if (!ours(((AlterDatabaseStmt *) statement)->dbname))
				return false;
			foreach (cell, ((AlterDatabaseStmt *) statement)->options)
				if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
					return true;
			return false;
		case T_DropStmt:
			if (((DropStmt *) statement)->removeType != OBJECT_EXTENSION || !sl_has_workers())
				return false;
			foreach (cell, ((DropStmt *) statement)->objects)
				if (strcmp(strVal(lfirst(cell)), "stacklens") == 0)
					return owns_extension();
			return false;
		case T_AlterExtensionStmt:
			return strcmp(((AlterExtensionStmt *) statement)->extname, "stacklens") == 0 && sl_has_workers() && owns_extension();
		default:
			return false;
	}
}

static void
utility_hook(PlannedStmt *statement, const char *query, bool read_only_tree, ProcessUtilityContext context,
			 ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion)
{
	if (sl_shared_state && IsTransactionState() && wants_hold(statement->utilityStmt))
		hold();
	if (previous_hook)
		previous_hook(statement, query, read_only_tree, context, params, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, query, read_only_tree, context, params, environment, receiver, completion);
}

void
sl_utility_init(void)
{
	if (sl_database[0] == '\0')
		return;
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	RegisterXactCallback(release_at_end, NULL);
	RegisterSubXactCallback(release_at_subabort, NULL);
}
