/*
 * shared.h
 *	  Shared memory: a slot for each worker, with its state and counters.
 *
 * One LWLock guards what slots are for (kind, source, wanted, pid).  Counters
 * are written by the slot's worker alone and read without the lock: a torn
 * read of a counter misleads nobody for long.
 */
#ifndef SL_SHARED_H
#define SL_SHARED_H

#include "stacklens.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define SL_SLOTS 64
#define SL_ERROR_MAX 512

typedef enum sl_kind
{
	SL_LAUNCHER,
	SL_MAINTAINER,
	SL_NOTIFIER,
	SL_EVALUATOR,
	SL_SHIPPER
} sl_kind;

extern const char *const sl_kind_name[];

typedef enum sl_state
{
	SL_FREE,	 /* the slot is nobody's */
	SL_STOPPED,	 /* not running, and not to be started */
	SL_WAITING,	 /* to be started when its time comes */
	SL_STARTING, /* asked of the postmaster */
	SL_RUNNING,
	SL_RETRYING /* running, and waiting after an error */
} sl_state;

typedef struct sl_slot
{
	sl_kind kind;
	sl_state state;
	bool wanted;
	char source[NAMEDATALEN]; /* evaluators and shippers: the source's name */
	char sink[NAMEDATALEN];	  /* shippers: where to */
	int32 nth;				  /* and which of its evaluators this one is, from 0 */
	int64 version;			  /* of the source's settings */
	uint32 generation;		  /* a worker of an older one must not attach */
	pid_t pid;				  /* 0 when no process */
	Latch *latch;
	TimestampTz started_at;
	TimestampTz start_after;   /* SL_WAITING: not before */
	int32 failures;			   /* in a row, for the backoff */
	int32 restarts;			   /* since the server started */
	char status[SL_ERROR_MAX]; /* what it does or waits for; empty = its work */
	char last_error[SL_ERROR_MAX];
	TimestampTz last_error_at;

	/* counters, since the slot was made */
	pg_atomic_uint64 records; /* shippers: documents that are there */
	pg_atomic_uint64 bytes;	  /* shippers: as sent */
	pg_atomic_uint64 batches; /* shippers: requests */
	pg_atomic_uint64 matches;
	pg_atomic_uint64 dead_letters;
	pg_atomic_uint64 last_batch_at;
	pg_atomic_uint64 retries;	/* shippers: documents that were to be sent again */
	pg_atomic_uint64 in_flight; /* shippers: requests on their way */
	pg_atomic_uint64 latency;	/* shippers: µs that the last request took */
	pg_atomic_uint64 oldest;	/* shippers: since when the oldest document that isn't there waits; 0: none */
	pg_atomic_uint64 place;		/* inbox: first transaction id not yet judged */
	pg_atomic_uint64 watermark; /* evaluators: event time, ns; PG_INT64_MIN: none yet */
} sl_slot;

/* A running backtest_rule(). */
typedef struct sl_backtest
{
	pid_t pid; /* 0: free */
	Oid database;
	char rule[NAMEDATALEN];
	TimestampTz since;
	TimestampTz until;
	pg_atomic_uint64 at; /* log time that it has come to */
	pg_atomic_uint64 records;
	pg_atomic_uint64 found;
} sl_backtest;

#define SL_BACKTESTS 16

typedef struct sl_shared
{
	LWLock *lock;
	int holds;				 /* utility commands that want no worker to run */
	bool look_for_extension; /* the launcher may try a maintainer now */

	/*
	 * Raised whenever a partition's owner lets go of it: before it says that
	 * it has come further than that partition has.
	 */
	pg_atomic_uint64 handovers;
	sl_slot slots[SL_SLOTS]; /* 0: the launcher, 1: the maintainer */
	sl_backtest backtests[SL_BACKTESTS];
} sl_shared;

/* NULL where the library is not preloaded. */
extern sl_shared *sl_shared_state;

/* Sets the latches of all running workers of a kind. */
extern void sl_wake(sl_kind kind);

/* The same when the current transaction commits. */
extern void sl_wake_at_commit(sl_kind kind);

/*
 * How far all sources that are to be read, or are being left, have come, but for one's own slot
 * (or NULL): the lowest of their watermarks.  PG_INT64_MAX where there is no
 * other, PG_INT64_MIN while one of them hasn't said.
 */
extern int64 sl_lowest_watermark(const sl_slot *except);

/*
 * Who owns positions: a worker by this start of its process.  The names of
 * the evaluators that run, as a text[].
 */
extern char *sl_owner_name(const sl_slot *slot);
extern Datum sl_running_owners(void);

/* Fills a slot's text under the lock; s is cut to fit. */
extern void sl_slot_text(sl_slot *slot, char *field, const char *s);

/* The slot of the running worker of this process, or NULL. */
extern sl_slot *sl_my_slot;

#endif /* SL_SHARED_H */
