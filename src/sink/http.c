/*
 * http.c
 *	  The one file that knows libcurl.
 *
 * A pool is a multi handle.  In a worker its sockets are watched by the
 * worker's loop, and its timer is the loop's; a session drives it itself and
 * stays interruptible.
 *
 * Callbacks run under libcurl's frames: they note, and never throw.  Threads
 * that resolve names start with all signals blocked.  Redirects aren't
 * followed, proxies of the environment aren't used, and link-local addresses
 * aren't connected to, whatever name led there.
 */
#include "sink/http.h"

#include "bgworker/worker.h"

#include "miscadmin.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECT_TIMEOUT 5000L
/* ms between looks at interrupts */
#define WAIT_SLICE 50

struct sl_http_pool
{
	CURLM *multi;
	const sl_http_server *server;
	bool in_loop;
	int64 timer_at; /* by sl_now_ms; -1: none */
};

static void
block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
}

static void
socket_event(void *arg, int fd, uint32 events)
{
	sl_http_pool *pool = arg;
	int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			   (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
	int running;
	sigset_t old;

	block_signals(&old);
	curl_multi_socket_action(pool->multi, fd, what, &running);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static int
socket_cb(CURL *easy, curl_socket_t fd, int what, void *arg, void *ignored)
{
	uint32 events = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? EPOLLIN : 0) |
					(what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? EPOLLOUT : 0);

	(void) sl_loop_watch(fd, events, socket_event, arg);
	return 0;
}

static int
timer_cb(CURLM *multi, long ms, void *arg)
{
	((sl_http_pool *) arg)->timer_at = ms < 0 ? -1 : sl_now_ms() + ms;
	return 0;
}

static size_t
write_cb(char *p, size_t size, size_t n, void *arg)
{
	sl_http *http = arg;

	n *= size;
	if (http->n + n > http->most)
		return 0; /* CURLE_WRITE_ERROR */
	if (http->n + n + 1 > http->room)
	{
		size_t room = Max(2 * http->room, http->n + n + 1);
		char *larger = realloc(http->answer, room);

		if (!larger)
			return 0;
		http->answer = larger;
		http->room = room;
	}
	memcpy(http->answer + http->n, p, n);
	http->n += n;
	http->answer[http->n] = '\0';
	return n;
}

static bool
is_link_local(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 16) == 0xA9FE;
	if (address->sa_family == AF_INET6)
	{
		const struct in6_addr *in = &((const struct sockaddr_in6 *) address)->sin6_addr;

		return IN6_IS_ADDR_LINKLOCAL(in) || (IN6_IS_ADDR_V4MAPPED(in) && in->s6_addr[12] == 0xA9 && in->s6_addr[13] == 0xFE);
	}
	return false;
}

static curl_socket_t
open_socket_cb(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	if (is_link_local(&address->addr))
	{
		((sl_http *) arg)->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

sl_http_pool *
sl_http_pool_new(const sl_http_server *server, bool in_loop)
{
	static bool ready;
	sl_http_pool *pool = calloc(1, sizeof(*pool));
	sigset_t old;

	block_signals(&old);
	if (!ready)
		ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (pool && ready)
		pool->multi = curl_multi_init();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!pool || !pool->multi)
	{
		free(pool);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not start libcurl")));
	}
	pool->server = server;
	pool->in_loop = in_loop;
	pool->timer_at = -1;
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, 16L);
	curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	if (in_loop)
	{
		curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, socket_cb);
		curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
		curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, timer_cb);
		curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
	}
	return pool;
}

void
sl_http_pool_free(sl_http_pool *pool)
{
	curl_multi_cleanup(pool->multi);
	free(pool);
}

sl_http *
sl_http_new(sl_http_pool *pool)
{
	sl_http *http = calloc(1, sizeof(*http));

	if (http)
	{
		http->easy = curl_easy_init();
		http->answer = calloc(1, 1);
		http->room = 1;
	}
	if (!http || !http->easy || !http->answer)
	{
		free(http);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not make a request of libcurl's")));
	}
	http->pool = pool;
	return http;
}

void
sl_http_free(sl_http *http)
{
	sl_http_cancel(http);
	curl_easy_cleanup(http->easy);
	curl_slist_free_all(http->headers);
	free(http->answer);
	free(http);
}

void
sl_http_cancel(sl_http *http)
{
	if (http->running)
		curl_multi_remove_handle(http->pool->multi, http->easy);
	http->running = false;
}

static void
set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.data = (void *) pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};

	curl_easy_setopt(easy, option, &blob);
}

static void
add_header(sl_http *http, const char *name, const char *value)
{
	char *line = psprintf("%s: %s", name, value);
	struct curl_slist *list = curl_slist_append(http->headers, line);

	/* it may have been a secret */
	explicit_bzero(line, strlen(line));
	pfree(line);
	if (list)
		http->headers = list;
}

static void
set_tls(CURL *easy, const sl_http_server *server)
{
	if (server->ca)
		set_blob(easy, CURLOPT_CAINFO_BLOB, server->ca);
	if (server->certificate)
	{
		set_blob(easy, CURLOPT_SSLCERT_BLOB, server->certificate);
		curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
	}
	if (server->key)
	{
		set_blob(easy, CURLOPT_SSLKEY_BLOB, server->key);
		curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
	}
}

void
sl_http_start(sl_http *http, int url, const char *method, const char *path, const char *content_type,
			  const char *body, size_t n, bool gzip, size_t most)
{
	const sl_http_server *server = http->pool->server;
	CURL *easy = http->easy;
	char *address = psprintf("%s%s", server->urls[url], path);
	sigset_t old;

	Assert(!http->running);
	curl_easy_reset(easy); /* connections stay */
	curl_slist_free_all(http->headers);
	http->headers = NULL;
	http->done = http->address_refused = false;
	http->n = 0;
	http->answer[0] = '\0';
	http->status = 0;
	http->most = most;
	http->trouble[0] = '\0';
	if (server->authorization)
		add_header(http, "Authorization", server->authorization);
	if (content_type)
		add_header(http, "Content-Type", content_type);
	if (gzip)
		add_header(http, "Content-Encoding", "gzip");
	add_header(http, "Accept", "application/json");
	/* nothing is asked for before the body is sent */
	add_header(http, "Expect", "");
	curl_easy_setopt(easy, CURLOPT_URL, address);
	pfree(address);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "stacklens/" SL_VERSION);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 2L * server->timeout_ms);
	/* also while the first byte of an answer is waited for */
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long) Max(1, server->timeout_ms / 1000));
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket_cb);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_cb);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, http);
	if (body)
	{
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) n);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
	set_tls(easy, server);
	block_signals(&old);
	http->running = curl_multi_add_handle(http->pool->multi, easy) == CURLM_OK;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!http->running)
	{
		http->done = true;
		http->failure = SL_HTTP_UNREACHABLE;
		strlcpy(http->trouble, "libcurl takes no request", sizeof(http->trouble));
	}
}

static void
finish(sl_http *http, CURLcode code)
{
	curl_easy_getinfo(http->easy, CURLINFO_TOTAL_TIME, &http->seconds);
	if (code == CURLE_OK)
		curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &http->status);
	else
	{
		http->n = 0;
		http->answer[0] = '\0';
	}
	strlcpy(http->trouble, code ? curl_easy_strerror(code) : "", sizeof(http->trouble));
	switch (code)
	{
		case CURLE_OK:
			http->failure = SL_HTTP_ANSWERED;
			break;
		case CURLE_OPERATION_TIMEDOUT:
			http->failure = SL_HTTP_TIMED_OUT;
			break;
		case CURLE_WRITE_ERROR:
			http->failure = SL_HTTP_TOO_LONG;
			break;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			http->failure = SL_HTTP_UNTRUSTED;
			break;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			http->failure = SL_HTTP_UNREACHABLE;
			break;
		default:
			http->failure = SL_HTTP_CUT_OFF;
			break;
	}
	if (http->address_refused)
		strlcpy(http->trouble, "its address is link-local, which is refused", sizeof(http->trouble));
	curl_multi_remove_handle(http->pool->multi, http->easy);
	http->running = false;
	http->done = true;
}

static void
collect(sl_http_pool *pool)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
		if (message->msg == CURLMSG_DONE)
		{
			sl_http *http;

			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &http);
			finish(http, message->data.result);
		}
}

int
sl_http_step(sl_http_pool *pool)
{
	int running;

	if (pool->timer_at >= 0 && sl_now_ms() >= pool->timer_at)
	{
		sigset_t old;

		pool->timer_at = -1;
		block_signals(&old);
		curl_multi_socket_action(pool->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	collect(pool);
	return pool->timer_at < 0 ? 1000 : (int) Min(1000, Max(0, pool->timer_at - sl_now_ms()));
}

void
sl_http_wait(sl_http *http)
{
	while (!http->done)
	{
		int running;
		sigset_t old;

		block_signals(&old);
		curl_multi_perform(http->pool->multi, &running);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		collect(http->pool);
		if (http->done)
			break;
		CHECK_FOR_INTERRUPTS();
		curl_multi_poll(http->pool->multi, NULL, 0, WAIT_SLICE, NULL);
	}
}

void
sl_http_describe(const sl_http *http, const sl_http_server *server, int url, char *text, size_t size)
{
	static const char *const advice[] = {
		[SL_HTTP_UNREACHABLE] = "can't be reached: check the url, and that the server runs",
		[SL_HTTP_UNTRUSTED] = "is not trusted over TLS: check the options ca, certificate and key, and the name in the url",
		[SL_HTTP_TIMED_OUT] = "does not answer in time: look at its load, or raise the option timeout",
		[SL_HTTP_CUT_OFF] = "ended the connection, or does not speak HTTP there",
		[SL_HTTP_TOO_LONG] = "answers with more than there is to say: is this the right server?"};

	text[0] = '\0';
	if (http->failure != SL_HTTP_ANSWERED)
		snprintf(text, size, "%s %s (%s)", server->urls[url], advice[http->failure], http->trouble);
	else if (http->status == 401 || http->status == 403)
		snprintf(text, size, "%s refuses us (HTTP %ld): check the options username, password and api_key, and the rights that they give", server->urls[url], http->status);
	else if (http->status >= 300 && http->status < 400)
		snprintf(text, size, "%s redirects elsewhere (HTTP %ld), which is not followed: give the url that it leads to", server->urls[url], http->status);
	else if (http->status < 200 || http->status >= 400)
		snprintf(text, size, "%s answers HTTP %ld", server->urls[url], http->status);
}

bool
sl_http_url_check(const char *url, sl_error *err)
{
	CURLU *parts = curl_url();
	char *scheme = NULL,
		 *user = NULL,
		 *password = NULL,
		 *host = NULL,
		 *query = NULL,
		 *fragment = NULL;
	bool ok = false;

	if (!parts)
		return sl_fail(err, "53200", "out of memory");
	if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK || curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK || host[0] == '\0' || strchr(url, ' '))
	{
		/* it may hold a password: it isn't repeated */
		sl_fail(err, SL_INVALID_PARAMETER, "this is no URL");
		sl_error_hint(err, "It is like http://localhost:9200, or several of them with commas between.");
	}
	else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK || curl_url_get(parts, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
	{
		sl_fail(err, SL_INVALID_PARAMETER, "a URL must not hold a user or a password");
		sl_error_hint(err, "Use the options username and password, or api_key; the latter two refer to secrets.");
	}
	else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
	{
		sl_fail(err, SL_INVALID_PARAMETER, "a URL can't begin with \"%s:\"", scheme);
		sl_error_hint(err, "It begins with http: or https:.");
	}
	else if (curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK || curl_url_get(parts, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
	{
		sl_fail(err, SL_INVALID_PARAMETER, "a URL of a server has no \"%c\"", query ? '?' : '#');
		sl_error_hint(err, "It is like http://localhost:9200.");
	}
	else
	{
		struct sockaddr_in in = {.sin_family = AF_INET};
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
		char bare[64] = "";

		/* [fe80::1] */
		if (host[0] == '[')
			strlcpy(bare, host + 1, Min(sizeof(bare), strlen(host) - 1));
		if ((inet_pton(AF_INET, host, &in.sin_addr) == 1 && is_link_local((struct sockaddr *) &in)) ||
			(bare[0] && inet_pton(AF_INET6, bare, &in6.sin6_addr) == 1 && is_link_local((struct sockaddr *) &in6)))
		{
			sl_fail(err, SL_INVALID_PARAMETER, "host \"%s\" is link-local", host);
			sl_error_hint(err, "Such addresses are where clouds keep their machines' secrets; give another address of the server.");
		}
		else
			ok = true;
	}
	curl_free(scheme);
	curl_free(user);
	curl_free(password);
	curl_free(host);
	curl_free(query);
	curl_free(fragment);
	curl_url_cleanup(parts);
	return ok;
}
