/*
 * crash_module.c
 *	  A trigger function that crashes the process that runs it, as a fault in
 *	  our own code would.
 */
#include "postgres.h"

#include "fmgr.h"

#include <signal.h>

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(crash);

Datum
crash(PG_FUNCTION_ARGS)
{
	raise(SIGSEGV);
	PG_RETURN_NULL();
}
