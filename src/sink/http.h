/*
 * http.h
 *	  Requests over HTTP that nobody waits for.  http.c is the one file that
 *	  knows libcurl.
 */
#ifndef SL_HTTP_H
#define SL_HTTP_H

#include "stacklens.h"

/* A server, or several that are one (a cluster's nodes), and as whom we ask. */
typedef struct sl_http_server
{
	int n_urls;
	char **urls;		 /* without a slash at the end */
	char *authorization; /* value of that header, or NULL */
	char *ca;			 /* PEM, or NULL: this machine's own */
	char *certificate;	 /* PEM of ours, or NULL */
	char *key;
	int timeout_ms; /* without any progress; twice that for all of a request */
} sl_http_server;

typedef struct sl_http_pool sl_http_pool;

typedef enum sl_http_failure
{
	SL_HTTP_ANSWERED,
	SL_HTTP_UNREACHABLE,
	SL_HTTP_UNTRUSTED, /* no TLS, or with somebody else */
	SL_HTTP_TIMED_OUT,
	SL_HTTP_CUT_OFF,
	SL_HTTP_TOO_LONG /* the answer */
} sl_http_failure;

/* A request; it may be used for one after another, which keeps its connection. */
typedef struct sl_http
{
	sl_http_pool *pool;
	void *easy;
	void *headers;
	bool running;
	bool done; /* and what follows is there */
	sl_http_failure failure;
	long status;  /* 0 unless it was answered, wholly */
	char *answer; /* likewise empty; ends with a NUL; the next request overwrites it */
	size_t n;
	size_t room;
	size_t most; /* longer answers are a failure */
	double seconds;
	bool address_refused;
	char trouble[256]; /* of CURL's, in case of a failure */
} sl_http;

/* in_loop: driven by the worker's loop; else by sl_http_wait. */
extern sl_http_pool *sl_http_pool_new(const sl_http_server *server, bool in_loop);
extern void sl_http_pool_free(sl_http_pool *pool);

extern sl_http *sl_http_new(sl_http_pool *pool);
extern void sl_http_free(sl_http *http);

/*
 * Begins a request to one of the server's URLs.  The body must stay as it is
 * until it is done; gzip: it is compressed so.  most: bytes of the answer.
 */
extern void sl_http_start(sl_http *http, int url, const char *method, const char *path,
						  const char *content_type, const char *body, size_t n, bool gzip, size_t most);
extern void sl_http_cancel(sl_http *http);

/* Moves all requests of a pool of the loop's on; gives the ms until it wants to be called again. */
extern int sl_http_step(sl_http_pool *pool);

/* Waits for a request of another pool; it can be interrupted. */
extern void sl_http_wait(sl_http *http);

/* What became of a request that is done, for people: "" where it was answered with 2xx. */
extern void sl_http_describe(const sl_http *http, const sl_http_server *server, int url, char *text, size_t size);

/*
 * An address of a server: http or https, a host, perhaps a port and a path.
 * Without a user or a password, and not link-local (where clouds keep their
 * machines' secrets).
 */
extern bool sl_http_url_check(const char *url, sl_error *err);

#endif /* SL_HTTP_H */
