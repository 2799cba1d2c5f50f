/*
 * feed.c
 *	  Changes of alerts to WebSocket clients.
 *
 * The table alert_feed is the truth.  The gateway reads it from what it read
 * last, when it is notified and by a timer, into one ring that all clients
 * share; a client is a number in it.  One that asks for more than the ring
 * holds, or falls behind it, is served from the table until it has caught
 * up.  One that takes nothing for STUCK seconds is cut: it comes back with its
 * place and misses nothing.
 *
 * PostgreSQL may go away and come back: the place stays.  Where it comes back
 * as another (a restore, a promotion), its epoch tells, and clients are told.
 */
#include "gateway.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define RING 8192 /* messages; a power of two */
#define PAGE 500
#define STUCK 30	 /* s */
#define LOOK_EVERY 1 /* s */

typedef struct message
{
	char *p; /* with LWS_PRE bytes before it */
	size_t n;
} message;

static message ring[RING];
static char epoch[64];
static int64_t head; /* the next number to come; ring holds [tail, head) */
static int64_t tail;
static bool known; /* epoch and head have been read */
static bool reading;
static bool again; /* notified while reading */

static feed_client *clients;
static lws_sorted_usec_list_t look;

static void read_feed(void);

static void
set_message(message *m, const char *text, size_t n)
{
	free(m->p);
	m->p = malloc(LWS_PRE + n);
	m->n = m->p ? n : 0;
	if (m->p)
		memcpy(m->p + LWS_PRE, text, n);
}

static void
push(int64_t seq, const char *text, size_t n)
{
	if (seq != head)
	{
		/* the table's numbers are dense; a hole means that it was trimmed */
		head = tail = seq;
	}
	if (head - tail == RING)
		tail++;
	set_message(&ring[head % RING], text, n);
	head++;
}

/* Another database's feed begins, or ours for the first time. */
static void
begin(const char *new_epoch, int64_t latest)
{
	bool first = !known;

	snprintf(epoch, sizeof(epoch), "%s", new_epoch);
	head = tail = latest + 1;
	known = true;
	for (feed_client *c = clients; c; c = c->next)
	{
		if (!first)
		{
			bytes_free(&c->gap);
			bytes_addf(&c->gap, "{\"gap\":{\"reason\":\"the database is another one than before\"}}");
			c->greeted = false;
			c->since_epoch[0] = '\0';
		}
		lws_callback_on_writable(c->wsi);
	}
}

static void
got_feed(void *arg, const PGresult *result)
{
	int rows;
	int64_t latest;
	int pushed = 0;

	(void) arg;
	reading = false;
	if (!result || PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) < 1)
	{
		if (result)
			note("could not read the feed: %s", PQresultErrorMessage(result));
		return; /* the timer tries again */
	}
	rows = PQntuples(result);
	latest = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
	if (!known || strcmp(epoch, PQgetvalue(result, 0, 0)) != 0)
	{
		begin(PQgetvalue(result, 0, 0), latest);
		return;
	}
	for (int i = 0; i < rows && !PQgetisnull(result, i, 3); i++, pushed++)
		push(strtoll(PQgetvalue(result, i, 3), NULL, 10), PQgetvalue(result, i, 4), (size_t) PQgetlength(result, i, 4));
	if (pushed > 0)
		for (feed_client *c = clients; c; c = c->next)
		{
			if (!c->stuck_since)
				c->stuck_since = time(NULL);
			lws_callback_on_writable(c->wsi);
		}
	if (pushed == PAGE || again)
		read_feed();
}

static void
read_feed(void)
{
	char seq[32],
		page[16];
	const char *values[3] = {known ? epoch : "", seq, page};

	if (reading)
	{
		again = true;
		return;
	}
	again = false;
	snprintf(seq, sizeof(seq), "%" PRId64, head - 1);
	snprintf(page, sizeof(page), "%d", PAGE);
	reading = db_submit("SELECT epoch, latest, oldest, seq, message FROM stacklens_internal.feed_since($1, $2, $3)",
						3, values, NULL, got_feed, NULL) != NULL;
}

void
feed_notified(void)
{
	read_feed();
}

/* Looks without being told, and for clients that take nothing. */
static void
on_look(lws_sorted_usec_list_t *timer)
{
	time_t now = time(NULL);

	if (db_is_up())
		read_feed();
	for (feed_client *c = clients; c; c = c->next)
		if (c->greeted && !c->reading && c->next_seq < tail && !c->backlog.n)
			lws_callback_on_writable(c->wsi);
		else if (!c->cut && c->stuck_since && now - c->stuck_since > STUCK)
		{
			c->cut = true;
			lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
		}
	lws_sul_schedule(context, 0, timer, on_look, LOOK_EVERY * LWS_US_PER_SEC);
}

void
feed_start(void)
{
	on_look(&look);
}

void
feed_add(feed_client *c, struct lws *wsi, const char *since)
{
	const char *colon = strrchr(since, ':');

	memset(c, 0, sizeof(*c));
	c->wsi = wsi;
	if (*since)
	{
		size_t n = colon ? (size_t) (colon - since) : 0;
		size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

		/* what is no place is one of another feed */
		if (n > 0 && n < sizeof(c->since_epoch) && digits > 0 && digits < 19 && colon[1 + digits] == '\0')
		{
			memcpy(c->since_epoch, since, n);
			c->next_seq = strtoll(colon + 1, NULL, 10) + 1;
		}
		else
			strcpy(c->since_epoch, "?");
	}
	c->next = clients;
	clients = c;
	lws_callback_on_writable(wsi);
}

void
feed_remove(feed_client *c)
{
	for (feed_client **p = &clients; *p; p = &(*p)->next)
		if (*p == c)
		{
			*p = c->next;
			break;
		}
	db_forget(c->call);
	bytes_free(&c->backlog);
	bytes_free(&c->gap);
}

/* A page of the table for one client. */
static void
got_backlog(void *arg, const PGresult *result)
{
	feed_client *c = arg;
	int64_t oldest;

	c->call = NULL;
	c->reading = false;
	if (!result || PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) < 1)
		return; /* asked again by the timer */
	oldest = strtoll(PQgetvalue(result, 0, 2), NULL, 10);
	if (c->next_seq < oldest)
	{
		bytes_addf(&c->gap, "{\"gap\":{\"epoch\":\"%s\",\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"reason\":\"these changes are no longer kept\"}}",
				   epoch, c->next_seq, oldest - 1);
		c->next_seq = oldest;
	}
	for (int i = 0; i < PQntuples(result) && !PQgetisnull(result, i, 3); i++)
	{
		size_t n = (size_t) PQgetlength(result, i, 4);

		bytes_add(&c->backlog, &n, sizeof(n));
		bytes_add(&c->backlog, PQgetvalue(result, i, 4), n);
		c->next_seq = strtoll(PQgetvalue(result, i, 3), NULL, 10) + 1;
	}
	lws_callback_on_writable(c->wsi);
}

static void
read_backlog(feed_client *c)
{
	char seq[32],
		page[16];
	const char *values[3] = {epoch, seq, page};

	snprintf(seq, sizeof(seq), "%" PRId64, c->next_seq - 1);
	snprintf(page, sizeof(page), "%d", PAGE);
	c->call = db_submit("SELECT epoch, latest, oldest, seq, message FROM stacklens_internal.feed_since($1, $2, $3)",
						3, values, NULL, got_backlog, c);
	c->reading = c->call != NULL;
}

static int
send_text(feed_client *c, const char *text, size_t n)
{
	unsigned char *buf = malloc(LWS_PRE + n);
	int written;

	if (!buf)
		return -1;
	memcpy(buf + LWS_PRE, text, n);
	written = lws_write(c->wsi, buf + LWS_PRE, n, LWS_WRITE_TEXT);
	free(buf);
	return written < (int) n ? -1 : 0;
}

static int
greet(feed_client *c)
{
	char hello[160];
	int n;

	if (c->since_epoch[0] && strcmp(c->since_epoch, epoch) == 0 && c->next_seq <= head)
		; /* goes on where it was */
	else
	{
		if (c->since_epoch[0] && !c->gap.n)
			bytes_addf(&c->gap, "{\"gap\":{\"reason\":\"the place asked for is not of this database's feed\"}}");
		c->next_seq = head;
	}
	c->greeted = true;
	n = snprintf(hello, sizeof(hello), "{\"hello\":{\"epoch\":\"%s\",\"seq\":%" PRId64 "}}", epoch, head - 1);
	return send_text(c, hello, (size_t) n);
}

/* Writes one message; 1 when there is more, 0 when there is not, -1 to close. */
static int
write_one(feed_client *c)
{
	int result = 0;

	if (!c->greeted)
		result = greet(c);
	else if (c->gap.n)
	{
		result = send_text(c, c->gap.p, c->gap.n);
		bytes_free(&c->gap);
	}
	else if (c->backlog.n)
	{
		size_t n;

		memcpy(&n, c->backlog.p + c->sent, sizeof(n));
		result = send_text(c, c->backlog.p + c->sent + sizeof(n), n);
		c->sent += sizeof(n) + n;
		if (c->sent == c->backlog.n)
		{
			bytes_free(&c->backlog);
			c->sent = 0;
		}
	}
	else if (c->reading || c->next_seq >= head)
		return 0;
	else if (c->next_seq < tail)
	{
		if (!c->call)
			read_backlog(c);
		return c->reading ? 0 : -1; /* too much is being asked: come back later */
	}
	else
	{
		message *m = &ring[c->next_seq % RING];

		if (m->n && lws_write(c->wsi, (unsigned char *) m->p + LWS_PRE, m->n, LWS_WRITE_TEXT) < (int) m->n)
			result = -1;
		c->next_seq++;
	}
	if (result == 0 && (c->gap.n || c->backlog.n || c->next_seq < head))
		return 1;
	return result;
}

/* As much as the socket takes now. */
int
feed_write(feed_client *c)
{
	int result = 1;

	c->stuck_since = 0;
	if (c->cut)
		return -1;
	if (!known)
		return 0;
	while (result > 0 && !lws_send_pipe_choked(c->wsi))
		result = write_one(c);
	if (result > 0)
	{
		c->stuck_since = time(NULL);
		lws_callback_on_writable(c->wsi);
	}
	return result < 0 ? -1 : 0;
}
