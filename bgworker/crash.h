/*
 * crash.h
 *	  Which record a worker was at when it crashed.
 *
 * A crash of a worker restarts the whole server, and the same record would
 * crash the next one.  So a handler of the signals that a program's own fault
 * raises (SIGSEGV, SIGBUS, SIGILL, SIGABRT; kill -9, the OOM killer and
 * a full disk don't count) writes where the worker was to a file of the source's, and lets the
 * signal do what it does.  Whoever reads the source next goes one record at a
 * time for a while, so that a second crash names its record; a record that was
 * named twice is set aside.
 */
#ifndef SL_CRASH_H
#define SL_CRASH_H

#include "stacklens.h"

/* Opens the source's file and sets the handlers; true where workers crashed a short time ago. */
extern bool sl_crash_init(const char *source);

/*
 * Notes the unit that a worker takes alone, before it is decoded, for the case
 * that it crashes there.  True when workers crashed there twice: then it is not
 * to be touched, and *why gets what is to be said of it.
 */
extern bool sl_crash_enter(const char *place, sl_error *why);

/* It is at none any more, or takes many at once. */
extern void sl_crash_leave(void);

#endif /* SL_CRASH_H */
