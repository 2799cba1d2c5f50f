/*
 * loop.c
 *	  The one place where workers wait.
 *
 * A WaitEventSet can't forget members, and libraries open and close sockets
 * as they like.  So it has three for good: the process's latch, the
 * postmaster's death, and a private epoll descriptor, which holds whatever
 * the libraries want watched.
 *
 * SIGTERM is the server's own handler, so that it also ends a statement that
 * runs long; here its flag is looked at first, so that a worker that waits
 * leaves without a message.
 */
#include "worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

typedef struct watch
{
	int fd;
	sl_loop_callback callback;
	void *arg;
} watch;

#define MAX_WATCHES 64

static WaitEventSet *wait_set;
static int epoll_fd = -1;
static watch watches[MAX_WATCHES];
static uint32 wait_event;

void
sl_loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		ereport(ERROR, (errcode_for_socket_access(), errmsg("could not create an epoll descriptor: %m")));
	for (int i = 0; i < MAX_WATCHES; i++)
		watches[i].fd = -1;
	wait_set = sl_create_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, epoll_fd, NULL, NULL);
	wait_event = sl_wait_event("StacklensWorkerMain");
}

bool
sl_loop_watch(int fd, uint32 events, sl_loop_callback callback, void *arg)
{
	int at = -1;
	struct epoll_event event = {.events = events};

	for (int i = 0; i < MAX_WATCHES; i++)
	{
		if (watches[i].fd == fd)
		{
			at = i;
			break;
		}
		if (watches[i].fd == -1 && at < 0)
			at = i;
	}
	if (at < 0)
		return events == 0;
	event.data.u32 = (uint32) at;
	if (events == 0)
	{
		/* closed already, it has left by itself */
		if (watches[at].fd == fd)
			(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
		watches[at].fd = -1;
		return true;
	}
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		return false;
	watches[at] = (watch){fd, callback, arg};
	return true;
}

int64
sl_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool
sl_shutdown_requested(void)
{
	return ProcDiePending || ShutdownRequestPending;
}

bool
sl_loop_wait(int timeout_ms)
{
	WaitEvent occurred;
	struct epoll_event events[MAX_WATCHES];
	int n;

	Assert(!IsTransactionState());
	if (sl_shutdown_requested())
		return false;
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	WaitEventSetWait(wait_set, timeout_ms, &occurred, 1, wait_event);
	ResetLatch(MyLatch);
	if (sl_shutdown_requested())
		return false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	n = epoll_wait(epoll_fd, events, MAX_WATCHES, 0);
	for (int i = 0; i < n; i++)
	{
		watch *w = &watches[events[i].data.u32];

		/* one before it may have closed it */
		if (w->fd != -1)
			w->callback(w->arg, w->fd, events[i].events);
	}
	return true;
}
