/*
 * gateway.h
 *	  What the parts of the gateway know of one another.
 *
 * One process, one thread, one loop (libwebsockets'), no state that outlives
 * it.  PostgreSQL's sockets sit in the same loop.  The gateway decides
 * nothing: a route is a method, a path and an SQL call whose result is the
 * body.
 */
#ifndef SL_GATEWAY_H
#define SL_GATEWAY_H

#include <libpq-fe.h>
#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALLOWED_HOSTS 8

typedef struct options
{
	const char *database; /* libpq's conninfo */
	const char *listen;	  /* address */
	int port;
	int otlp_port;					  /* 0: none */
	const char *ui;					  /* folder of the page's files */
	size_t max_body;				  /* bytes, also after decompression */
	bool trust_network;				  /* something else guards the port: listen on any address */
	const char *hosts[ALLOWED_HOSTS]; /* names beside loopback's that a Host may say */
	int n_hosts;
} options;

extern options opt;
extern struct lws_context *context;
extern long max_descriptors;

/* Bytes that grow; p is NUL terminated, and NULL while empty. */
typedef struct bytes
{
	char *p;
	size_t n;
	size_t cap;
} bytes;

extern bool bytes_add(bytes *b, const void *p, size_t n);
extern bool bytes_addf(bytes *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern void bytes_json(bytes *b, const char *s);
extern void bytes_free(bytes *b);

/* Text that a fixed buffer may have cut: back to the end of a whole character. */
extern void cut_utf8(char *text, size_t size);

extern void note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* db.c: statements without waiting. */

#define DB_PARAMS 8

typedef struct db_call db_call;

/* result NULL: PostgreSQL can't be reached, or was lost before it answered. */
typedef void (*db_done)(void *arg, const PGresult *result);

/* Text parameters; lengths[i] other than SIZE_MAX sends values[i] as binary bytea.  Copied. */
extern db_call *db_submit(const char *sql, int n, const char *const *values, const size_t *lengths,
						  db_done done, void *arg);

/* done is not called any more. */
extern void db_forget(db_call *call);

extern void db_start(struct lws_vhost *vhost);
extern void db_stop(void);
extern bool db_is_up(void);
extern const char *db_trouble(void);

/* The callback of libwebsockets' protocol for PostgreSQL's sockets. */
extern int db_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* feed.c: changes of alerts, to all WebSocket clients. */

typedef struct feed_client
{
	struct feed_client *next;
	struct lws *wsi;
	char since_epoch[64]; /* as asked for; empty: from now on */
	int64_t next_seq;	  /* the next to be sent */
	bool greeted;
	bool reading; /* of the table, what the ring has no more */
	bool cut;
	db_call *call;
	bytes backlog;		/* messages read from the table, each with a length before it */
	size_t sent;		/* of the backlog */
	bytes gap;			/* to be sent before anything else */
	time_t stuck_since; /* 0 unless something waits to be written */
} feed_client;

extern void feed_start(void);
extern void feed_notified(void); /* NOTIFY, a timer, or a new connection */
extern void feed_add(feed_client *client, struct lws *wsi, const char *since);
extern void feed_remove(feed_client *client);

/* Writes what is due; -1 to close the connection. */
extern int feed_write(feed_client *client);

/* body.c: encodings of requests and answers. */

/* Undoes gzip or deflate; false if it is malformed or larger than limit (*too_large). */
extern bool body_inflate(const char *p, size_t n, size_t limit, bytes *out, bool *too_large);

/* Decodes HTTP's chunked framing as it arrives. */
typedef struct chunked
{
	int state;
	size_t left;
} chunked;

/* 1: whole, 0: more is to come, -1: malformed. */
extern int chunked_take(chunked *c, const char *p, size_t n, bytes *out);

extern void problem_body(bytes *out, int status, const char *detail, const char *hint, const char *sqlstate);
extern void otlp_status_body(bytes *out, bool proto, int grpc_code, const char *message);
extern void otlp_response_body(bytes *out, bool proto, long rejected, const char *message);
extern const char *status_text(int status);

/* routes.c */

typedef enum route_kind
{
	ROUTE_JSON, /* the result's only value is the body */
	ROUTE_TEXT,
	ROUTE_HEALTH, /* 503 when it says critical */
	ROUTE_INGEST, /* 202 */
	ROUTE_OTLP
} route_kind;

typedef struct route
{
	const char *method;
	const char *path; /* {id} stands for one segment */
	route_kind kind;
	bool body;				  /* $1 (or $2 after {id}) is the body */
	const char *const *query; /* names of query arguments, in order */
	const char *sql;
} route;

/* NULL with *known when the path is known with another method. */
extern const route *route_find(const char *method, const char *path, char *id, size_t id_size, bool *known);

/* http.c */

extern int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
extern size_t http_session_size(void);
extern bool http_load_ui(void);

#endif /* SL_GATEWAY_H */
