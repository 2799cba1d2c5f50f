/*
 * worker.h
 *	  What the background workers share: start, error handling, event loop.
 */
#ifndef SL_WORKER_H
#define SL_WORKER_H

#include "stats/shared.h"

/* Entry points (bgw_function_name). */
extern PGDLLEXPORT void sl_launcher_main(Datum arg);
extern PGDLLEXPORT void sl_maintainer_main(Datum arg);
extern PGDLLEXPORT void sl_notifier_main(Datum arg);
extern PGDLLEXPORT void sl_evaluator_main(Datum arg);
extern PGDLLEXPORT void sl_shipper_main(Datum arg);

/*
 * Attaches to the slot that arg names, connects to stacklens.database and
 * checks that the extension is there in this library's version; leaves
 * quietly where one of these fails.
 */
extern void sl_worker_start(Datum arg, sl_kind kind);

/*
 * Runs step() for ever: it does what there is to do and returns how many ms
 * may pass until the next call, unless something happens before.  An error
 * is noted, its transaction aborted, and step() called again after a pause.
 * On shutdown the process ends; what is to be done then is registered with
 * before_shmem_exit.
 */
pg_noreturn extern void sl_worker_run(int (*step)(void));

/* A transaction with SPI and a snapshot. */
extern void sl_begin(void);
extern void sl_commit(void);

/* Commits without waiting for the log's flush: for what may be lost. */
extern void sl_commit_lazily(void);

/* Runs one statement without parameters within it; gives the row count. */
extern uint64 sl_execute(const char *sql, bool read_only);

/* What the worker is doing, for stat_workers; "" = its work. */
extern void sl_worker_status(const char *format, ...) pg_attribute_printf(1, 2);

/* Notes an error in the slot, for stat_workers and health(). */
extern void sl_worker_error(const char *format, ...) pg_attribute_printf(1, 2);

/* Event loop (loop.c). */
extern void sl_loop_init(void);

/*
 * Has callback called from sl_loop_wait when fd can be read or written
 * (events: EPOLLIN, EPOLLOUT; what of them there is, it is told); with other
 * events for one that is watched already, 0 to watch it no longer.  False
 * where so many can't be watched.
 */
typedef void (*sl_loop_callback)(void *arg, int fd, uint32 events);
extern bool sl_loop_watch(int fd, uint32 events, sl_loop_callback callback, void *arg);

/*
 * Waits for the latch, a descriptor, or so many ms; serves reloads.  False
 * when the process shall end.
 */
extern bool sl_loop_wait(int timeout_ms);

/*
 * Event time (ns) that all sources have come to, but for one worker's part
 * (NULL: all of them); within a transaction.
 */
extern int64 sl_watermark_of_all(const sl_slot *except);

/* ms of a clock that never steps, for intervals. */
extern int64 sl_now_ms(void);

/* True once the process shall end: to be asked in long work between waits. */
extern bool sl_shutdown_requested(void);

/* An evaluator or a shipper that the maintainer wants to run. */
typedef struct sl_wish
{
	sl_kind kind;
	const char *source;
	const char *sink; /* shippers: where to; else "" */
	int nth;		  /* of the source's evaluators */
	int64 version;	  /* of the settings of source and sink; another one starts the worker anew */
} sl_wish;

/* What the maintainer wants to run (launcher.c): a notifier, and these. */
extern void sl_publish_wanted(int n, const sl_wish *wishes);

#endif /* SL_WORKER_H */
