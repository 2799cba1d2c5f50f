/*
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, in one place.
 */
#ifndef SL_COMPAT_H
#define SL_COMPAT_H

#include "postgres.h"

#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

/* 17: a wait event set belongs to a resource owner; NULL lives as long as the process. */
#if PG_VERSION_NUM >= 170000
#define sl_create_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define sl_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
#endif

/* 17: waits are named. */
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#define sl_wait_event(name) WaitEventExtensionNew(name)
#else
#define sl_wait_event(name) ((void) (name), PG_WAIT_EXTENSION)
#endif

/* 18: functions that don't return say so in front. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn _Noreturn
#endif

#endif							/* SL_COMPAT_H */
