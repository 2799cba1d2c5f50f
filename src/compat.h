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

/* 16: owners of objects are asked for in one way. */
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 160000
#define sl_owns_database(oid) object_ownercheck(DatabaseRelationId, (oid), GetUserId())
#define sl_owns_extension(oid) object_ownercheck(ExtensionRelationId, (oid), GetUserId())
#else
#define sl_owns_database(oid) pg_database_ownercheck((oid), GetUserId())
#define sl_owns_extension(oid) pg_extension_ownercheck((oid), GetUserId())
#endif

/* 18: functions that don't return say so in front. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn _Noreturn
#endif

#endif /* SL_COMPAT_H */
