/*
 * stacklens.c
 *	  Module entry and settings.
 */
#include "stacklens.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include <limits.h>

PG_MODULE_MAGIC;

char *sl_database;
int sl_work_mem = 65536;
int sl_max_groups = 1000000;
int sl_workers = 1;

/* Read by SQL. */
static int max_new_alerts;
static int log_retention_size;
static struct
{
	const char *name;
	const char *what;
	int minutes;
} retentions[] = {
	{"stacklens.log_retention", "How long stacklens.logs keeps records.", 7 * 24 * 60},
	{"stacklens.alert_retention", "How long resolved alerts are kept.", 90 * 24 * 60},
	{"stacklens.dead_letter_retention", "How long dead letters are kept.", 90 * 24 * 60},
	{"stacklens.feed_retention", "How long changes are kept in stacklens.alert_feed.", 24 * 60},
};
int sl_debug = SL_DEBUG_OFF;

static const struct config_enum_entry debug_options[] = {
	{"off", SL_DEBUG_OFF, false},
	{"match", SL_DEBUG_MATCH, false},
	{"all", SL_DEBUG_ALL, false},
	{NULL, 0, false}};

void _PG_init(void);

/*
 * A setting of the postmaster's can only be made while preloading.  The
 * prefix is reserved only then, too: otherwise a server that has the setting
 * but not the library in shared_preload_libraries would drop the setting
 * with a message that misleads.
 */
static void
settings_init(void)
{
	DefineCustomIntVariable("stacklens.work_mem",
							"Memory that one worker, or one call, may use for log records.",
							NULL, &sl_work_mem, 65536, 16384, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("stacklens.workers",
							"Evaluators of each Kafka source: its partitions are shared among them.",
							"The inbox has one.", &sl_workers, 1, 1, 32,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("stacklens.max_correlation_groups",
							"Groups that one correlation may keep; records of further ones don't count in it.",
							NULL, &sl_max_groups, 1000000, 1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("stacklens.secret_env",
							   "Environment variables that secrets may come from; * at the end stands for the rest of a name.",
							   NULL, &sl_secret_env, "JIRA_TOKEN, STACKLENS_SECRET_*", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("stacklens.secret_hosts",
							   "Hosts that secrets may be sent to; * at an end stands for any.",
							   NULL, &sl_secret_hosts, "*", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("stacklens.secrets_directory",
							   "Folder of files that hold secrets.",
							   NULL, &sl_secrets_directory, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("stacklens.max_new_alerts",
							"Alerts that one rule may open in a minute; one more counts what would open others.",
							NULL, &max_new_alerts, 10000, 1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	for (int i = 0; i < lengthof(retentions); i++)
		DefineCustomIntVariable(retentions[i].name, retentions[i].what, "0 keeps them for ever.",
								&retentions[i].minutes, retentions[i].minutes, 0, INT_MAX,
								PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("stacklens.log_retention_size",
							"Size of stacklens.logs above which its oldest days are deleted.",
							"0: no size is too large.  Today's logs are kept.", &log_retention_size, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomEnumVariable("stacklens.debug",
							 "Says in the server's log why records match rules, or don't.",
							 "\"match\" logs each match, \"all\" also the records that match no rule.",
							 &sl_debug, SL_DEBUG_OFF, debug_options, PGC_SUSET, 0, NULL, NULL, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomStringVariable("stacklens.database",
							   "The database whose logs are evaluated.",
							   "Empty means that no background worker runs.",
							   &sl_database, "stacklens", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("stacklens");
}

void
_PG_init(void)
{
	settings_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	sl_shared_init();
	sl_utility_init();
	sl_launcher_init();
}

bool
sl_has_workers(void)
{
	char *name;
	bool result;

	if (!sl_database || sl_database[0] == '\0')
		return false;
	name = get_database_name(MyDatabaseId);
	result = name && strcmp(name, sl_database) == 0;
	if (name)
		pfree(name);
	return result;
}

void
sl_require_workers(const char *what)
{
	char *name = get_database_name(MyDatabaseId);

	if (!sl_database)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs background workers, and stacklens is not preloaded", what),
				 errhint("Set shared_preload_libraries = 'stacklens' and stacklens.database = '%s' in postgresql.conf, and restart the server.", name)));
	if (!sl_has_workers())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs background workers, and this server runs them elsewhere", what),
				 sl_database[0]
					 ? errdetail("stacklens.database is \"%s\", this database is \"%s\".", sl_database, name)
					 : errdetail("stacklens.database is empty: no worker runs."),
				 errhint("Set stacklens.database = '%s' in postgresql.conf, and restart the server.", name)));
}

PG_FUNCTION_INFO_V1(stacklens_library_version);

/* library_version() → the version that this library was built as. */
Datum
stacklens_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(SL_VERSION));
}

PG_FUNCTION_INFO_V1(stacklens_require_workers);

/* require_workers(what text): an error unless this database has workers. */
Datum
stacklens_require_workers(PG_FUNCTION_ARGS)
{
	sl_require_workers(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}
