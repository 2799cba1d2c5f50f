/*
 * stacklens.c
 *	  Module entry and settings.
 */
#include "stacklens.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

char	   *sl_database;
int			sl_work_mem = 65536;
int			sl_debug = SL_DEBUG_OFF;

static const struct config_enum_entry debug_options[] = {
	{"off", SL_DEBUG_OFF, false},
	{"match", SL_DEBUG_MATCH, false},
	{"all", SL_DEBUG_ALL, false},
	{NULL, 0, false}
};

void		_PG_init(void);

static void
settings_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		DefineCustomStringVariable("stacklens.database",
								   "The database whose logs are evaluated.",
								   "Empty means that no background worker runs.",
								   &sl_database, "stacklens", PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("stacklens.work_mem",
							"Memory that one worker or call may use for records.",
							NULL, &sl_work_mem, 65536, 16384, MAX_KILOBYTES,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomEnumVariable("stacklens.debug",
							 "Logs why records match rules, or don't.",
							 "match logs matches, all also the records that match no rule.",
							 &sl_debug, SL_DEBUG_OFF, debug_options, PGC_SUSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("stacklens");
}

void
_PG_init(void)
{
	settings_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	sl_shmem_init();
	sl_utility_init();
	sl_launcher_init();
}
