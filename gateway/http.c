/*
 * http.c
 *	  Requests: from libwebsockets' callbacks to a route's SQL and back.
 *
 * A session is one connection.  Its request is read whole, checked (who
 * asks: Host and Origin), turned into a statement, and answered when that
 * returns.  Without tokens, being let in rests on Host (a page that rebinds
 * its name to 127.0.0.1 still says its own name) and on Origin.
 */
#include "gateway.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>

#define PATH_MAX_BYTES 512
#define ARGUMENT_MAX 1024

static const char security_headers[] =
	"content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
	"x-content-type-options: nosniff\r\n"
	"referrer-policy: no-referrer\r\n";

typedef struct file
{
	char name[64];
	const char *type;
	char *p;
	size_t n;
} file;

static file files[64];
static int n_files;

typedef struct session
{
	struct lws *wsi;
	bool websocket;
	feed_client feed;

	/* the request */
	const route *route;
	char id[64];
	char content_type[128];
	char origin[256]; /* empty unless allowed */
	bool gzip;
	bool is_chunked;
	size_t body_left;  /* of a body whose length was told */
	bool passing_over; /* answered; the rest of the body is read and forgotten */
	bool body_done;
	chunked chunks;
	bytes body;
	db_call *call;

	/* the answer */
	int status;
	const char *type;
	bool close; /* after it */
	bool headers_sent;
	bool answering;
	bool head;
	bytes out;
	size_t sent;
	char allow[64];
} session;

size_t
http_session_size(void)
{
	return sizeof(session);
}

static const char *
type_of(const char *name)
{
	static const char *const types[][2] = {
		{".html", "text/html; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"}, {".css", "text/css; charset=utf-8"}, {".svg", "image/svg+xml"}, {".json", "application/json"}, {".png", "image/png"}};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(dot, types[i][0]) == 0)
			return types[i][1];
	return NULL;
}

/* Files that say @VERSION@ get ours: the number stands in one place. */
static void
set_version(bytes *content)
{
	static const char mark[] = "@VERSION@";
	char *at = content->p ? strstr(content->p, mark) : NULL;
	bytes out = {0};

	if (!at)
		return;
	bytes_add(&out, content->p, (size_t) (at - content->p));
	bytes_addf(&out, "%s", SL_VERSION);
	bytes_add(&out, at + sizeof(mark) - 1, content->n - (size_t) (at - content->p) - (sizeof(mark) - 1));
	bytes_free(content);
	*content = out;
}

/* The page's files are few and small: they are held in memory. */
bool
http_load_ui(void)
{
	DIR *dir = opendir(opt.ui);
	struct dirent *entry;

	if (!dir)
	{
		note("could not open the admin page's folder \"%s\"; say --ui DIR", opt.ui);
		return false;
	}
	while ((entry = readdir(dir)) != NULL && n_files < (int) (sizeof(files) / sizeof(files[0])))
	{
		const char *type = type_of(entry->d_name);
		char path[4096];
		FILE *in;
		bytes content = {0};
		char chunk[8192];
		size_t n;

		if (!type || strlen(entry->d_name) >= sizeof(files[0].name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", opt.ui, entry->d_name);
		in = fopen(path, "rb");
		if (!in)
			continue;
		while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
			bytes_add(&content, chunk, n);
		fclose(in);
		set_version(&content);
		strcpy(files[n_files].name, entry->d_name);
		files[n_files].type = type;
		files[n_files].p = content.p;
		files[n_files++].n = content.n;
	}
	closedir(dir);
	return true;
}

/* False when it is longer than out; an absent one is empty. */
static bool
header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
	out[0] = '\0';
	return lws_hdr_total_length(wsi, token) <= 0 || lws_hdr_copy(wsi, out, (int) size, token) > 0;
}

static bool
is_loopback_name(const char *host, size_t n)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

	for (int i = 0; i < 3; i++)
		if (strlen(names[i]) == n && strncasecmp(host, names[i], n) == 0)
			return true;
	return n > 4 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") >= n;
}

static size_t
host_length(const char *host)
{
	if (host[0] == '[')
		return strcspn(host, "]") + 1;
	return strcspn(host, ":/");
}

/* Does a name with an optional port, and nothing else, say this machine? */
static bool
is_loopback(const char *host)
{
	size_t n = host_length(host);
	const char *rest = host + n;

	if (*rest == ':')
		rest += 1 + strspn(rest + 1, "0123456789");
	return *rest == '\0' && is_loopback_name(host, n);
}

/*
 * Is a request's Host one of ours?  A page whose name was rebound to this
 * machine still says its own, so this also holds where the network is trusted.
 */
static bool
host_allowed(struct lws *wsi)
{
	char host[256];
	size_t n;

	if (!header(wsi, WSI_TOKEN_HOST, host, sizeof(host)))
		return false;
	if (is_loopback(host))
		return true;
	n = host_length(host);
	for (int i = 0; i < opt.n_hosts; i++)
		if (strlen(opt.hosts[i]) == n && strncasecmp(host, opt.hosts[i], n) == 0)
			return true;
	return false;
}

/*
 * A browser's page may ask when it came from here, or from another program
 * of this machine's; programs that aren't browsers send no Origin.
 */
static bool
origin_allowed(struct lws *wsi, char *origin, size_t size)
{
	char host[256];
	const char *at;

	if (!header(wsi, WSI_TOKEN_ORIGIN, origin, size))
		return false;
	if (origin[0] == '\0')
		return true;
	if (strncmp(origin, "http://", 7) != 0 && strncmp(origin, "https://", 8) != 0)
		return false;
	at = strstr(origin, "://") + 3;
	return is_loopback(at) || (header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) && strcasecmp(at, host) == 0);
}

static bool
is_otlp_proto(const session *s)
{
	return strncasecmp(s->content_type, "application/x-protobuf", 22) == 0;
}

static void
answer(session *s, int status, const char *type)
{
	s->status = status;
	s->type = type;
	s->answering = true;
	lws_rx_flow_control(s->wsi, 1);
	lws_callback_on_writable(s->wsi);
}

static void
fail(session *s, int status, const char *detail, const char *hint, const char *sqlstate)
{
	bytes_free(&s->out);
	if (s->route && s->route->kind == ROUTE_OTLP)
	{
		bool proto = is_otlp_proto(s);
		/* INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE, INTERNAL */
		int code = status == 413 ? 8 : status == 503 ? 14
								   : status >= 500	 ? 13
													 : 3;

		otlp_status_body(&s->out, proto, code, detail);
		answer(s, status, proto ? "application/x-protobuf" : "application/json");
		return;
	}
	problem_body(&s->out, status, detail, hint, sqlstate);
	answer(s, status, "application/problem+json");
}

/* A class of SQLSTATE to HTTP. */
static int
status_of(const char *sqlstate)
{
	if (strcmp(sqlstate, "54000") == 0)
		return 413;
	/* 42601: in a text of the user's, a search or a rule */
	if (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "54", 2) == 0 || strcmp(sqlstate, "42601") == 0)
		return 400;
	if (strcmp(sqlstate, "P0002") == 0 || strcmp(sqlstate, "42704") == 0)
		return 404;
	if (strcmp(sqlstate, "55000") == 0)
		return 409;
	if (strcmp(sqlstate, "42501") == 0)
		return 403;
	if (strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "57", 2) == 0 ||
		strncmp(sqlstate, "40", 2) == 0 || strcmp(sqlstate, "55P03") == 0)
		return 503;
	return 500;
}

/* /health when PostgreSQL can't tell its own. */
static void
unhealthy(session *s, const char *hint)
{
	bytes_addf(&s->out, "{\"status\":\"critical\",\"parts\":[{\"part\":\"postgresql\",\"status\":\"critical\",\"hint\":");
	bytes_json(&s->out, hint);
	bytes_addf(&s->out, "}]}\n");
	answer(s, 503, "application/json");
}

static void
fail_sql(session *s, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	char text[700];
	int status = sqlstate ? status_of(sqlstate) : 503;

	if (status >= 500)
		note("%s %s: %s", s->route->method, s->route->path, message ? message : "unknown error");
	snprintf(text, sizeof(text), "%s%s%s", message ? message : "unknown error", detail ? ": " : "", detail ? detail : "");
	cut_utf8(text, sizeof(text));
	if (s->route->kind == ROUTE_HEALTH)
	{
		unhealthy(s, text);
		return;
	}
	fail(s, status, text, PQresultErrorField(result, PG_DIAG_MESSAGE_HINT), sqlstate);
}

static void
answer_otlp(session *s, long rejected, const char *message)
{
	bool proto = is_otlp_proto(s);

	otlp_response_body(&s->out, proto, rejected, message);
	answer(s, 200, proto ? "application/x-protobuf" : "application/json");
}

static void
got_result(void *arg, const PGresult *result)
{
	session *s = arg;
	const char *value;

	s->call = NULL;
	if (!result)
	{
		if (s->route->kind == ROUTE_HEALTH)
		{
			unhealthy(s, db_trouble());
			return;
		}
		fail(s, 503, "PostgreSQL can't be reached", "Try again in a moment.", NULL);
		return;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
	{
		fail_sql(s, result);
		return;
	}
	value = PQgetvalue(result, 0, 0);
	if (s->route->kind == ROUTE_OTLP)
	{
		answer_otlp(s, strtol(value, NULL, 10), PQgetvalue(result, 0, 1));
		return;
	}
	bytes_add(&s->out, value, (size_t) PQgetlength(result, 0, 0));
	if (s->route->kind == ROUTE_TEXT)
		answer(s, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8");
	else
	{
		bytes_add(&s->out, "\n", 1);
		answer(s, s->route->kind == ROUTE_INGEST ? 202 : s->route->kind == ROUTE_HEALTH && strstr(value, "\"status\": \"critical\"") ? 503
																																	 : 200,
			   "application/json");
	}
}

/* The request is whole: to SQL with it. */
static void
run(session *s, const char *const *arguments)
{
	const char *values[DB_PARAMS] = {0};
	size_t lengths[DB_PARAMS];
	int n = 0;
	bytes plain = {0};
	bool too_large;

	for (int i = 0; i < DB_PARAMS; i++)
		lengths[i] = SIZE_MAX;
	if (s->id[0])
		values[n++] = s->id;
	if (s->gzip && s->body.n)
	{
		if (!body_inflate(s->body.p, s->body.n, opt.max_body, &plain, &too_large))
		{
			bytes_free(&plain);
			if (too_large)
				fail(s, 413, "the body is too large once decompressed", "Send fewer records at a time, or raise --max-body.", NULL);
			else
				fail(s, 400, "the body is not valid gzip", NULL, NULL);
			return;
		}
		bytes_free(&s->body);
		s->body = plain;
	}
	if (s->route->body)
	{
		values[n] = s->body.p ? s->body.p : "";
		lengths[n++] = s->body.n;
	}
	if (s->route->kind == ROUTE_OTLP)
		values[n++] = s->content_type;
	for (int i = 0; s->route->query[i]; i++)
		values[n++] = arguments[i];
	s->call = db_submit(s->route->sql, n, values, lengths, got_result, s);
	/* until it is answered nothing is read: libwebsockets would spin on what arrives */
	if (s->call)
		lws_rx_flow_control(s->wsi, 0);
	else
		fail(s, 503, "too many requests are waiting", "Try again in a moment.", NULL);
	bytes_free(&s->body);
}

static bool
content_type_ok(session *s)
{
	static const char *const ingest[] = {"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", NULL};
	static const char *const otlp[] = {"application/json", "application/x-protobuf", NULL};
	static const char *const json[] = {"application/json", NULL};
	const char *const *allowed = s->route->kind == ROUTE_OTLP ? otlp : s->route->kind == ROUTE_INGEST ? ingest
																									  : json;
	size_t n = strcspn(s->content_type, "; ");

	for (; *allowed; allowed++)
		if (strlen(*allowed) == n && strncasecmp(*allowed, s->content_type, n) == 0)
			return true;
	/* a change without a body needs no type */
	return n == 0 && s->route->kind == ROUTE_JSON;
}

static void
serve_file(session *s, const char *path)
{
	const char *name = strcmp(path, "/") == 0 ? "index.html" : path + 1;

	for (int i = 0; i < n_files; i++)
		if (strcmp(files[i].name, name) == 0)
		{
			bytes_add(&s->out, files[i].p, files[i].n);
			answer(s, 200, files[i].type);
			return;
		}
	fail(s, 404, "there is nothing at this path", "GET / is the admin page; /openapi.json lists the rest.", NULL);
}

/* Clears what a kept-alive connection's last request left. */
static void
reset(session *s, struct lws *wsi)
{
	struct lws *keep = wsi;

	if (s->call)
		db_forget(s->call);
	bytes_free(&s->body);
	bytes_free(&s->out);
	memset(s, 0, sizeof(*s));
	s->wsi = keep;
}

static const char *
method_of(struct lws *wsi)
{
	static const struct
	{
		enum lws_token_indexes token;
		const char *name;
	} methods[] = {
		{WSI_TOKEN_GET_URI, "GET"}, {WSI_TOKEN_POST_URI, "POST"}, {WSI_TOKEN_OPTIONS_URI, "OPTIONS"}, {WSI_TOKEN_HEAD_URI, "HEAD"}, {WSI_TOKEN_PUT_URI, "PUT"}, {WSI_TOKEN_PATCH_URI, "PATCH"}, {WSI_TOKEN_DELETE_URI, "DELETE"}};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (lws_hdr_total_length(wsi, methods[i].token) > 0)
			return methods[i].name;
	return "";
}

/* An argument of the query; empty where it is missing; false when it is too long. */
static bool
argument(struct lws *wsi, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);
	int length;

	out[0] = '\0';
	for (int i = 0; (length = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i)) > 0; i++)
	{
		char fragment[ARGUMENT_MAX + 32];

		if ((size_t) length >= sizeof(fragment) ||
			lws_hdr_copy_fragment(wsi, fragment, sizeof(fragment), WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
			return false;
		if (strncmp(fragment, name, n) != 0 || fragment[n] != '=')
			continue;
		if (strlen(fragment + n + 1) >= size)
			return false;
		strcpy(out, fragment + n + 1);
		return true;
	}
	return true;
}

/* The arguments of the query that a route wants; false at one that is too long. */
static bool
read_arguments(session *s, struct lws *wsi, char buffers[][ARGUMENT_MAX], const char **arguments)
{
	for (int i = 0; s->route->query[i]; i++)
	{
		if (!argument(wsi, s->route->query[i], buffers[i], ARGUMENT_MAX))
			return false;
		arguments[i] = buffers[i][0] ? buffers[i] : NULL;
	}
	return true;
}

static void
begin_body(session *s, struct lws *wsi)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	char text[128];
	char coding[32];
	char digits[32];
	unsigned long long length;

	/* how much comes is the first question: what is not sure is not read on from */
	if (!header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, coding, sizeof(coding)) ||
		!header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, digits, sizeof(digits)) ||
		(coding[0] && (strcasecmp(coding, "chunked") != 0 || digits[0])) ||
		strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 15)
	{
		s->close = true;
		fail(s, 400, "Content-Length or Transfer-Encoding makes no sense", "Send a length, or chunks.", NULL);
		return;
	}
	if (!header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, s->content_type, sizeof(s->content_type)))
		strcpy(s->content_type, "?");
	if (!header(wsi, WSI_TOKEN_HTTP_CONTENT_ENCODING, text, sizeof(text)))
		strcpy(text, "?");
	s->gzip = strcasecmp(text, "gzip") == 0 || strcasecmp(text, "deflate") == 0;
	if (text[0] && !s->gzip && strcasecmp(text, "identity") != 0)
	{
		s->close = true;
		fail(s, 415, "the body's encoding is not known", "Send it as it is, or with gzip.", NULL);
		return;
	}
	if (!content_type_ok(s))
	{
		s->close = true;
		fail(s, 415, "the body's content type is not one that is taken here",
			 s->route->kind == ROUTE_OTLP ? "Send application/json or application/x-protobuf." : "Send application/json.", NULL);
		return;
	}
	s->is_chunked = coding[0] != '\0';
	length = strtoull(digits, NULL, 10);
	s->body_left = (size_t) length;
	if (length > opt.max_body)
	{
		s->close = true;
		snprintf(text, sizeof(text), "the body is larger than %zu bytes", opt.max_body);
		fail(s, 413, text, "Send fewer records at a time, or raise --max-body.", NULL);
		return;
	}
	/* libwebsockets doesn't see where a body of chunks, or of no length, ends */
	if (s->is_chunked || !digits[0])
		s->close = true;
	if (header(wsi, WSI_TOKEN_HTTP_EXPECT, text, sizeof(text)) && strcasecmp(text, "100-continue") == 0)
	{
		unsigned char buffer[LWS_PRE + sizeof(go_on)];

		memcpy(buffer + LWS_PRE, go_on, sizeof(go_on) - 1);
		lws_write(wsi, buffer + LWS_PRE, sizeof(go_on) - 1, LWS_WRITE_HTTP_HEADERS);
	}
	if (!s->is_chunked && length == 0)
	{
		s->body_done = true;
		run(s, NULL);
	}
}

static int
begin_request(session *s, struct lws *wsi, const char *path_in, size_t path_len)
{
	static char buffers[DB_PARAMS][ARGUMENT_MAX];
	const char *arguments[DB_PARAMS] = {0};
	const char *method = method_of(wsi);
	char path[PATH_MAX_BYTES];
	bool known;

	reset(s, wsi);
	if (path_len >= sizeof(path))
	{
		s->close = true;
		fail(s, 404, "the path is too long", NULL, NULL);
		return 0;
	}
	memcpy(path, path_in, path_len);
	path[path_len] = '\0';
	s->close = strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0 && strcmp(method, "OPTIONS") != 0;
	if (!host_allowed(wsi))
	{
		s->close = true;
		fail(s, 421, "this Host is not served", "Use http://localhost or http://127.0.0.1, or start the gateway with --allow-host.", NULL);
		return 0;
	}
	if (!origin_allowed(wsi, s->origin, sizeof(s->origin)))
	{
		s->origin[0] = '\0';
		s->close = true;
		fail(s, 403, "pages of this origin may not ask", NULL, NULL);
		return 0;
	}
	if (strcmp(method, "OPTIONS") == 0)
	{
		answer(s, 204, NULL);
		return 0;
	}
	s->head = strcmp(method, "HEAD") == 0;
	s->route = route_find(s->head ? "GET" : method, path, s->id, sizeof(s->id), &known);
	if (!s->route)
	{
		if (known)
		{
			s->close = true;
			snprintf(s->allow, sizeof(s->allow), "%s", strcmp(method, "POST") == 0 ? "GET" : "POST");
			fail(s, 405, "this path knows another method", NULL, NULL);
		}
		else if (strcmp(method, "GET") == 0 || s->head)
			serve_file(s, path);
		else
		{
			s->close = true;
			fail(s, 404, "there is nothing at this path", NULL, NULL);
		}
		return 0;
	}
	if (s->route->body)
	{
		begin_body(s, wsi);
		return 0;
	}
	s->body_done = true; /* one that comes all the same is passed over */
	if (!read_arguments(s, wsi, buffers, arguments))
		fail(s, 400, "an argument is too long", NULL, NULL);
	else
		run(s, arguments);
	return 0;
}

static int
take_body(session *s, const char *p, size_t n)
{
	int done = 0;

	s->body_left -= n < s->body_left ? n : s->body_left;
	/* refused already: what is still sent is passed over, so that the answer can be read */
	if (s->passing_over)
		return s->body_left == 0 ? -1 : 0;
	if (s->answering || s->body_done || !s->route)
		return 0;
	if (s->is_chunked)
		done = chunked_take(&s->chunks, p, n, &s->body);
	else if (!bytes_add(&s->body, p, n))
		done = -1;
	if (done < 0)
		fail(s, 400, "the body's chunks are malformed", NULL, NULL);
	else if (s->body.n > opt.max_body)
	{
		s->close = true;
		fail(s, 413, "the body is too large", "Send fewer records at a time, or raise --max-body.", NULL);
	}
	else if (done > 0)
	{
		s->body_done = true;
		run(s, NULL);
	}
	return 0;
}

static int
send_headers(session *s)
{
	static unsigned char buffer[LWS_PRE + 4096];
	char *p = (char *) buffer + LWS_PRE;
	size_t room = sizeof(buffer) - LWS_PRE;
	int n = snprintf(p, room, "HTTP/1.1 %d %s\r\nserver: stacklens\r\ncontent-length: %zu\r\ncache-control: no-cache\r\n%s",
					 s->status, status_text(s->status), s->out.n, security_headers);

	if (s->type)
		n += snprintf(p + n, room - n, "content-type: %s\r\n", s->type);
	if (s->allow[0])
		n += snprintf(p + n, room - n, "allow: %s\r\n", s->allow);
	if (s->status == 503)
		n += snprintf(p + n, room - n, "retry-after: 1\r\n");
	if (s->origin[0])
		n += snprintf(p + n, room - n, "access-control-allow-origin: %s\r\nvary: origin\r\n", s->origin);
	if (s->status == 204)
		n += snprintf(p + n, room - n, "access-control-allow-methods: GET, POST, OPTIONS\r\n"
									   "access-control-allow-headers: content-type, content-encoding, x-requested-with, user-agent\r\n"
									   "access-control-max-age: 600\r\nallow: GET, POST, OPTIONS\r\n");
	n += snprintf(p + n, room - n, "connection: %s\r\n\r\n", s->close ? "close" : "keep-alive");
	s->headers_sent = true;
	return lws_write(s->wsi, buffer + LWS_PRE, (size_t) n, LWS_WRITE_HTTP_HEADERS) < n ? -1 : 0;
}

static int
write_answer(session *s)
{
	static unsigned char buffer[LWS_PRE + 16384];
	size_t n;

	if (!s->answering)
		return 0;
	if (!s->headers_sent)
	{
		/*
		 * Requests that were sent before this one was answered are buffered,
		 * and libwebsockets 4.1 gets lost in a body among them: they are to be
		 * sent again on another connection.
		 */
		if (lws_service_adjust_timeout(context, 1, 0) == 0)
			s->close = true;
		if (send_headers(s) < 0)
			return -1;
		if (s->out.n == 0 || s->head)
			goto done;
		lws_callback_on_writable(s->wsi);
		return 0;
	}
	n = s->out.n - s->sent;
	if (n > sizeof(buffer) - LWS_PRE)
		n = sizeof(buffer) - LWS_PRE;
	memcpy(buffer + LWS_PRE, s->out.p + s->sent, n);
	s->sent += n;
	if (lws_write(s->wsi, buffer + LWS_PRE, n, s->sent == s->out.n ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int) n)
		return -1;
	if (s->sent < s->out.n)
	{
		lws_callback_on_writable(s->wsi);
		return 0;
	}
done:
	if (s->close && s->body_left > 0)
	{
		s->answering = false;
		s->passing_over = true;
		return 0;
	}
	{
		bool close = s->close;
		struct lws *wsi = s->wsi;

		reset(s, wsi);
		return close || lws_http_transaction_completed(wsi) ? -1 : 0;
	}
}

/*
 * An upgrade.  The runbook's probe sends no Sec-WebSocket-Key: it is told
 * that there is a WebSocket here, and let go.
 */
static int
confirm_upgrade(struct lws *wsi, const char *to)
{
	static const char probe[] = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
	unsigned char buffer[LWS_PRE + sizeof(probe)];
	char text[256];

	/* one protocol, of one version; "db" is for PostgreSQL's sockets alone */
	if (strcasecmp(to, "websocket") != 0 || lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0 ||
		!header(wsi, WSI_TOKEN_VERSION, text, sizeof(text)) || (text[0] && strcmp(text, "13") != 0) ||
		!header(wsi, WSI_TOKEN_GET_URI, text, sizeof(text)) || strcmp(text, "/ws/alerts") != 0 ||
		!host_allowed(wsi) || !origin_allowed(wsi, text, sizeof(text)))
	{
		lws_return_http_status(wsi, HTTP_STATUS_FORBIDDEN, "");
		return 1;
	}
	if (lws_hdr_total_length(wsi, WSI_TOKEN_KEY) > 0)
		return 0;
	memcpy(buffer + LWS_PRE, probe, sizeof(probe) - 1);
	lws_write(wsi, buffer + LWS_PRE, sizeof(probe) - 1, LWS_WRITE_HTTP_HEADERS);
	return -1;
}

int
http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	session *s = user;
	char buffer[160];

	switch (reason)
	{
		case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
			/* the last descriptors are PostgreSQL's: without any, accept would spin */
			return (long) (lws_sockfd_type) (long long) in >= max_descriptors - 32 ? -1 : 0;
		case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
			return confirm_upgrade(wsi, in);
		case LWS_CALLBACK_HTTP:
			return begin_request(s, wsi, in, len);
		case LWS_CALLBACK_HTTP_BODY:
			return take_body(s, in, len);
		case LWS_CALLBACK_HTTP_BODY_COMPLETION:
			if (s->route && !s->answering && !s->body_done && !s->is_chunked)
			{
				s->body_done = true;
				run(s, NULL);
			}
			return 0;
		case LWS_CALLBACK_HTTP_WRITEABLE:
			return write_answer(s);
		case LWS_CALLBACK_CLOSED_HTTP:
		case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
			if (s)
				reset(s, wsi);
			return 0;
		case LWS_CALLBACK_ESTABLISHED:
			memset(s, 0, sizeof(*s));
			s->wsi = wsi;
			s->websocket = true;
			/* a place that is too long is none of ours: "?:0" is answered with a gap */
			feed_add(&s->feed, wsi, argument(wsi, "since", buffer, sizeof(buffer)) ? buffer : "?:0");
			return 0;
		case LWS_CALLBACK_SERVER_WRITEABLE:
			return feed_write(&s->feed);
		case LWS_CALLBACK_CLOSED:
			if (s->websocket)
				feed_remove(&s->feed);
			s->websocket = false;
			return 0;
		case LWS_CALLBACK_RECEIVE:
			return 0; /* clients have nothing to say */
		default:
			return 0;
	}
}
