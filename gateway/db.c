/*
 * db.c
 *	  PostgreSQL without waiting: a few connections in libwebsockets' loop.
 *
 * Connection 0 also LISTENs.  A lost connection is made again with a pause
 * that doubles up to 2 s; calls wait for that, but not longer than
 * PATIENCE.  A call whose connection is lost while it runs is answered with
 * NULL: whether it was done can't be known.
 *
 * libwebsockets closes what it has adopted, so it is given a duplicate of
 * libpq's descriptor.
 */
#include "gateway.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 4
#define PATIENCE 5 /* s */
#define MAX_WAITING 1000

struct db_call
{
	db_call *next;
	char *sql;
	int n;
	char *values[DB_PARAMS];
	int lengths[DB_PARAMS];
	int formats[DB_PARAMS];
	Oid types[DB_PARAMS];
	db_done done;
	void *arg;
	time_t since;
};

typedef struct connection
{
	PGconn *pg;
	struct lws *wsi;
	bool ready;
	bool busy;						  /* a statement is not yet answered to its end */
	bool prepared;					  /* its settings, and LISTEN, have been answered */
	PostgresPollingStatusType wanted; /* what PQconnectPoll waits for */
	db_call *call;
	int pause_ms;
	time_t connecting_since;
	lws_sorted_usec_list_t timer;
	lws_sorted_usec_list_t flush_timer;
} connection;

static connection connections[CONNECTIONS];
static struct lws_vhost *vhost;
static db_call *first_call,
	**last_call = &first_call;
static db_call *lost_calls;
static int waiting;
static lws_sorted_usec_list_t patience,
	lost_timer;
static char trouble[300] = "not connected yet";
static char told[300]; /* what of it is in the log */

static void connect_soon(connection *c);
static void give_work(void);

static void
free_call(db_call *call)
{
	free(call->sql);
	for (int i = 0; i < call->n; i++)
		free(call->values[i]);
	free(call);
}

static void
finish(db_call *call, const PGresult *result)
{
	if (call->done)
		call->done(call->arg, result);
	free_call(call);
}

bool
db_is_up(void)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (connections[i].ready)
			return true;
	return false;
}

const char *
db_trouble(void)
{
	return trouble;
}

/* Later, so that no call is answered while it is still being submitted. */
static void
on_lost(lws_sorted_usec_list_t *timer)
{
	(void) timer;
	while (lost_calls)
	{
		db_call *call = lost_calls;

		lost_calls = call->next;
		finish(call, NULL);
	}
}

static void
lose(connection *c)
{
	db_call *call = c->call;
	const char *message = c->pg ? PQerrorMessage(c->pg) : "";
	struct lws *wsi = c->wsi;
	bool was_up = db_is_up();

	if (*message)
	{
		snprintf(trouble, sizeof(trouble), "%.*s", (int) strcspn(message, "\n"), message);
		cut_utf8(trouble, sizeof(trouble));
	}
	c->call = NULL;
	c->wsi = NULL;
	if (c->pg)
		PQfinish(c->pg);
	c->pg = NULL;
	c->ready = c->prepared = c->busy = false;
	if ((was_up && !db_is_up()) || (!db_is_up() && strcmp(told, trouble) != 0))
	{
		snprintf(told, sizeof(told), "%s", trouble);
		note("PostgreSQL can't be reached: %s", trouble);
	}
	if (wsi)
		lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
	c->pause_ms = c->pause_ms ? (c->pause_ms * 2 > 2000 ? 2000 : c->pause_ms * 2) : 50;
	connect_soon(c);
	if (call)
	{
		call->next = lost_calls;
		lost_calls = call;
		lws_sul_schedule(context, 0, &lost_timer, on_lost, 1);
	}
}

static void
on_flush(lws_sorted_usec_list_t *timer)
{
	connection *c = lws_container_of(timer, connection, flush_timer);

	if (c->wsi)
		lws_callback_on_writable(c->wsi);
}

/*
 * Sends what libpq still holds.  The wish to be called when more can be
 * written goes by a timer: expressed within the callback for it, as here, it
 * would be forgotten when that returns.
 */
static void
send_more(connection *c)
{
	int left = PQflush(c->pg);

	if (left < 0)
		lose(c);
	else if (left > 0)
		lws_sul_schedule(context, 0, &c->flush_timer, on_flush, 1);
}

static void
start_call(connection *c, db_call *call)
{
	c->call = call;
	c->busy = true;
	/* binary only for what came with a length */
	if (!PQsendQueryParams(c->pg, call->sql, call->n, call->types, (const char *const *) call->values,
						   call->lengths, call->formats, 0))
		lose(c);
	else
		send_more(c);
}

static void
give_work(void)
{
	for (int i = 0; i < CONNECTIONS && first_call; i++)
	{
		connection *c = &connections[i];
		db_call *call = first_call;

		if (!c->ready || c->busy || !c->prepared)
			continue;
		first_call = call->next;
		if (!first_call)
			last_call = &first_call;
		waiting--;
		start_call(c, call);
	}
}

/* Reads what has arrived; answers are handed on. */
static void
receive(connection *c)
{
	PGnotify *notify;
	PGresult *result;
	bool notified = false;

	if (!PQconsumeInput(c->pg))
	{
		lose(c);
		return;
	}
	while ((notify = PQnotifies(c->pg)) != NULL)
	{
		notified = true;
		PQfreemem(notify);
	}
	while (c->pg && !PQisBusy(c->pg))
	{
		result = PQgetResult(c->pg);
		if (!result)
		{
			c->busy = false;
			if (!c->prepared)
			{
				c->prepared = true;
				notified = c == &connections[0];
			}
			if (c->call)
				free_call(c->call);
			c->call = NULL;
			break;
		}
		if (c->call)
		{
			db_call *call = c->call;
			db_done done = call->done;

			/* the first result is the answer; what may follow is the end */
			call->done = NULL;
			if (done)
				done(call->arg, result);
		}
		else if (!c->prepared)
		{
			if (PQresultStatus(result) != PGRES_COMMAND_OK)
				note("could not prepare a connection: %s", PQresultErrorMessage(result));
		}
		PQclear(result);
	}
	if (c->pg && PQstatus(c->pg) == CONNECTION_BAD)
	{
		lose(c);
		return;
	}
	if (notified)
		feed_notified();
	give_work();
}

/* What a server says by the way is in its own log. */
static void
on_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

static void
connected(connection *c)
{
	bool was_up = db_is_up();
	lws_sock_file_fd_type fd;

	PQsetnonblocking(c->pg, 1);
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	fd.filefd = (lws_filefd_type) (long long) dup(PQsocket(c->pg));
	c->wsi = fd.filefd < 0 ? NULL : lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "db", NULL);
	if (!c->wsi)
	{
		lose(c);
		return;
	}
	c->ready = true;
	c->pause_ms = 0;
	c->busy = true;
	snprintf(trouble, sizeof(trouble), "no connection is free");
	told[0] = '\0';
	if (!was_up)
		note("connected to PostgreSQL");
	/* a statement that takes longer is not waited for by who asked (57014 is 503) */
	if (!PQsendQuery(c->pg, c == &connections[0] ? "SET statement_timeout = '15s'; LISTEN stacklens_feed"
												 : "SET statement_timeout = '15s'"))
		lose(c);
	else
		send_more(c);
}

static bool
ready_to_poll(const connection *c)
{
	struct pollfd socket = {.fd = PQsocket(c->pg), .events = c->wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT};

	return socket.fd < 0 || poll(&socket, 1, 0) > 0;
}

/* Drives a connection's start, by a timer: it is rare, and quick. */
static void
on_timer(lws_sorted_usec_list_t *timer)
{
	connection *c = lws_container_of(timer, connection, timer);

	if (!c->pg)
	{
		char info[2000];

		snprintf(info, sizeof(info), "%s fallback_application_name=stacklens-gateway connect_timeout=5", opt.database);
		/* a URI can't be added to; it stands for itself */
		c->pg = PQconnectStart(strstr(opt.database, "://") ? opt.database : info);
		c->connecting_since = time(NULL);
		c->wanted = PGRES_POLLING_WRITING;
		if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD)
		{
			lose(c);
			return;
		}
	}
	/* asked too early, libpq would wait */
	if (!ready_to_poll(c))
	{
		if (time(NULL) - c->connecting_since > PATIENCE)
			lose(c);
		else
			lws_sul_schedule(context, 0, &c->timer, on_timer, 5 * LWS_US_PER_MS);
		return;
	}
	switch (c->wanted = PQconnectPoll(c->pg))
	{
		case PGRES_POLLING_OK:
			connected(c);
			return;
		case PGRES_POLLING_FAILED:
			lose(c);
			return;
		default:
			if (time(NULL) - c->connecting_since > PATIENCE)
				lose(c);
			else
				lws_sul_schedule(context, 0, &c->timer, on_timer, 5 * LWS_US_PER_MS);
	}
}

static void
connect_soon(connection *c)
{
	lws_sul_schedule(context, 0, &c->timer, on_timer, (c->pause_ms ? c->pause_ms : 1) * LWS_US_PER_MS);
}

/* Calls that have waited too long for a connection are given up. */
static void
on_patience(lws_sorted_usec_list_t *timer)
{
	time_t now = time(NULL);

	while (first_call && now - first_call->since >= PATIENCE)
	{
		db_call *call = first_call;

		first_call = call->next;
		if (!first_call)
			last_call = &first_call;
		waiting--;
		finish(call, NULL);
	}
	lws_sul_schedule(context, 0, timer, on_patience, LWS_US_PER_SEC);
}

void
db_start(struct lws_vhost *of)
{
	vhost = of;
	for (int i = 0; i < CONNECTIONS; i++)
		connect_soon(&connections[i]);
	on_patience(&patience);
}

void
db_stop(void)
{
	for (int i = 0; i < CONNECTIONS; i++)
	{
		PQfinish(connections[i].pg);
		connections[i].pg = NULL;
		connections[i].wsi = NULL;
	}
}

db_call *
db_submit(const char *sql, int n, const char *const *values, const size_t *lengths, db_done done, void *arg)
{
	db_call *call;

	if (waiting >= MAX_WAITING || !(call = calloc(1, sizeof(*call))))
		return NULL;
	call->sql = strdup(sql);
	call->n = n;
	for (int i = 0; i < n; i++)
	{
		if (!values[i])
			continue;
		if (lengths && lengths[i] != SIZE_MAX)
		{
			call->values[i] = malloc(lengths[i] + 1);
			if (call->values[i] && lengths[i])
				memcpy(call->values[i], values[i], lengths[i]);
			call->lengths[i] = (int) lengths[i];
			call->formats[i] = 1;
			call->types[i] = 17; /* bytea */
		}
		else
			call->values[i] = strdup(values[i]);
	}
	call->done = done;
	call->arg = arg;
	call->since = time(NULL);
	*last_call = call;
	last_call = &call->next;
	waiting++;
	give_work();
	return call;
}

void
db_forget(db_call *call)
{
	if (call)
		call->done = NULL;
}

int
db_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	connection *c = NULL;

	(void) user;
	(void) in;
	(void) len;
	for (int i = 0; i < CONNECTIONS; i++)
		if (connections[i].wsi == wsi)
			c = &connections[i];
	switch (reason)
	{
		case LWS_CALLBACK_RAW_RX_FILE:
			if (!c)
				return -1;
			receive(c);
			/* the connection may be gone now, and this descriptor with it */
			return c->wsi == wsi ? 0 : -1;
		case LWS_CALLBACK_RAW_WRITEABLE_FILE:
			if (!c)
				return -1;
			send_more(c);
			return c->wsi == wsi ? 0 : -1;
		case LWS_CALLBACK_RAW_CLOSE_FILE:
			if (c)
			{
				c->wsi = NULL;
				lose(c);
			}
			return 0;
		default:
			return 0;
	}
}
