/*
 * elasticsearch.c
 *	  The sink that is an Elasticsearch or an OpenSearch: bulks of documents,
 *	  its index template, and the age of its indices.
 *
 * Before anything is sent, the server is asked who it is, and the template
 * put in place:
 *
 *		ASK_SERVER → ASK_TEMPLATE → (PUT_TEMPLATE → SEE_TEMPLATE) → READY
 *
 * A template that somebody changed is left alone; whether it was is told by
 * what the server showed when we had put it there.
 *
 * Documents are created under their ids: one that is there already (409) is
 * done.  A shipment goes out as one request, or as several one after another
 * where it is larger than the server likes.  What the server can't take now
 * stays in the shipment and is sent again: after a pause that grows with each
 * failure in a row, to the next of the sink's URLs, and one request at a time
 * until one succeeds.
 */
#include "sink/elasticsearch.h"
#include "sink/sink.h"

#include "bgworker/worker.h"
#include "core/node.h"
#include "core/sink/bulk.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>

/* ms */
#define PAUSE_MIN 100
#define PAUSE_MAX 10000
#define KEEP_ORDER 3600000

/* Bytes of a request: at first, and within which bounds it adapts. */
#define BULK_FIRST (1024 * 1024)
#define BULK_LEAST (64 * 1024)
#define BULK_MOST (8 * 1024 * 1024)

/* Seconds that an answer may take before requests become smaller, and below which they grow. */
#define SLOW 2.0
#define FAST 0.5

#define ANSWER_MOST(n) (1024 * 1024 + (n) *4096)

/* Answers to other questions. */
#define OTHER_MOST (4 * 1024 * 1024)

#define BULK_PATH "/_bulk?timeout=30s&filter_path=items.*.status,items.*.error"

#define SHIPMENTS_MOST 32

typedef enum stage
{
	ASK_SERVER,
	ASK_TEMPLATE,
	PUT_TEMPLATE,
	SEE_TEMPLATE,
	READY,
	LIST_INDICES, /* these two come back to READY */
	DELETE_INDEX
} stage;

typedef struct request
{
	sl_http *http;
	sl_shipment *carries; /* NULL: free */
	int url;
	size_t n;	  /* its first so many items */
	size_t bytes; /* of their text */
	char *zipped;
	size_t zipped_room;
} request;

typedef struct es_sink
{
	sl_sink sink;
	sl_elasticsearch *es;
	sl_http_pool *pool;
	stage stage;
	bool opensearch;
	int url;
	int failures; /* in a row */
	int64 paused_until;
	int width; /* requests at a time */
	int successes;
	size_t bulk; /* bytes of a request */
	bool gzip;
	sl_shipment *shipments[SHIPMENTS_MOST]; /* handed over, in that order */
	int n_shipments;
	request requests[SHIPMENTS_MOST];
	sl_arena arena;	  /* for one answer */
	sl_http *control; /* questions beside bulks */
	int64 control_after;
	char *control_body;
	char **old; /* indices to be deleted */
	int n_old;
	int64 ordered_at;

	int64 day; /* whose index this is */
	char index[SL_INDEX_MAX + 1];
} es_sink;

static void alarm_of(es_sink *s, const char *format, ...) pg_attribute_printf(2, 3);

static void
alarm_of(es_sink *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	sl_format_text(s->sink.alarm, sizeof(s->sink.alarm), format, args);
	va_end(args);
}

/* Nothing is sent for a while; jittered, so that workers that failed together don't return together. */
static void
pause_for(es_sink *s, int ms)
{
	s->paused_until = sl_now_ms() + ms / 2 + random() % (ms / 2 + 1);
}

static void
failed(es_sink *s)
{
	pause_for(s, (int) Min(PAUSE_MAX, (int64) PAUSE_MIN << Min(s->failures, 10)));
	s->failures++;
	s->successes = 0;
	s->width = Max(1, s->width / 2);
}

/* What only a person can mend is asked again at once a while only. */
static void
stopped(es_sink *s)
{
	failed(s);
	pause_for(s, PAUSE_MAX);
}

static void
next_url(es_sink *s)
{
	s->url = (s->url + 1) % s->es->server.n_urls;
}

/* Documents ------------------------------------------------------------------ */

/*
 * Who we say we are was not believed: the secret may be another by now.  It
 * is read again before the next request; FATAL where it can't be.  Where more
 * than that has changed, a shipper with all of it is about to take our place.
 */
static void
renew_authorization(es_sink *s)
{
	MemoryContext context = CurrentMemoryContext;
	const sl_http_server *server = &s->es->server,
						 *now;
	bool same;

	if (!server->authorization)
		return;
	sl_begin();
	MemoryContextSwitchTo(context);
	now = &sl_elasticsearch_load(s->es->name, FATAL)->server;
	sl_commit();
	MemoryContextSwitchTo(context);
	same = now->authorization && now->n_urls == server->n_urls;
	for (int i = 0; same && i < server->n_urls; i++)
		same = strcmp(now->urls[i], server->urls[i]) == 0;
	if (!same)
		return;
	pfree(s->es->server.authorization);
	s->es->server.authorization = MemoryContextStrdup(TopMemoryContext, now->authorization);
}

static void
add(sl_sink *sink, sl_shipment *shipment, const sl_document_origin *origin, const sl_record *record, const sl_place *place)
{
	es_sink *s = (es_sink *) sink;
	sl_buf *body = &shipment->body;
	size_t start = body->n;
	int64 day = sl_document_day(record, place->arrived, s->es->retention ? s->es->retention : SL_DOCUMENT_KEEP);
	char id[SL_DOCUMENT_ID + 1];

	if (day != s->day)
	{
		sl_index_name(s->index, s->es->index, day);
		s->day = day;
	}
	sl_document_id(id, origin, place);
	sl_buf_puts(body, "{\"create\":{\"_index\":\"");
	sl_buf_puts(body, s->index);
	sl_buf_puts(body, "\",\"_id\":\"");
	sl_buf_add(body, id, SL_DOCUMENT_ID);
	sl_buf_puts(body, "\"}}\n");
	sl_document_json(body, origin, record, place->arrived);
	sl_buf_putc(body, '\n');
	sl_shipment_item(shipment, start);
}

static void
add_again(sl_sink *sink, sl_shipment *shipment, sl_str document)
{
	size_t start = shipment->body.n;

	sl_buf_add(&shipment->body, document.p, document.n);
	sl_shipment_item(shipment, start);
}

static void
hand_over(sl_sink *sink, sl_shipment *shipment)
{
	es_sink *s = (es_sink *) sink;

	Assert(s->n_shipments < SHIPMENTS_MOST);
	shipment->handed_over = true;
	s->shipments[s->n_shipments++] = shipment;
}

static request *
request_of(es_sink *s, sl_shipment *shipment)
{
	for (int i = 0; i < SHIPMENTS_MOST; i++)
		if (s->requests[i].carries == shipment)
			return &s->requests[i];
	return NULL;
}

static void
forget(es_sink *s, sl_shipment *shipment)
{
	for (int i = 0; i < s->n_shipments; i++)
		if (s->shipments[i] == shipment)
		{
			/* in order: the oldest are sent first */
			memmove(&s->shipments[i], &s->shipments[i + 1], (s->n_shipments - i - 1) * sizeof(sl_shipment *));
			s->n_shipments--;
			return;
		}
}

static void
recall(sl_sink *sink, sl_shipment *shipment)
{
	es_sink *s = (es_sink *) sink;
	request *r = request_of(s, shipment);

	if (r)
	{
		sl_http_cancel(r->http);
		r->carries = NULL;
	}
	forget(s, shipment);
}

/* Requests ------------------------------------------------------------------- */

static bool
zip(request *r, const char *body, size_t n, size_t *zipped)
{
	z_stream z = {0};
	size_t most;

	/* 16: gzip's frame; the fastest level: it is the network that is to be spared */
	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	most = deflateBound(&z, n);
	if (most > r->zipped_room)
	{
		free(r->zipped);
		r->zipped = malloc(most);
		r->zipped_room = r->zipped ? most : 0;
	}
	z.next_in = (unsigned char *) body;
	z.avail_in = (unsigned) n;
	z.next_out = (unsigned char *) r->zipped;
	z.avail_out = (unsigned) r->zipped_room;
	if (!r->zipped || deflate(&z, Z_FINISH) != Z_STREAM_END)
	{
		deflateEnd(&z);
		return false;
	}
	*zipped = z.total_out;
	deflateEnd(&z);
	return true;
}

static void
send(es_sink *s, sl_shipment *shipment)
{
	request *r = request_of(s, NULL);
	const sl_item *items = shipment->items;
	const char *body = shipment->body.p + items[0].start;
	size_t n = 1,
		   bytes,
		   zipped;
	bool gzip;

	while (n < shipment->n && items[n].end - items[0].start <= s->bulk)
		n++;
	bytes = items[n - 1].end - items[0].start;
	if (!r->http)
		r->http = sl_http_new(s->pool);
	r->carries = shipment;
	r->n = n;
	r->bytes = bytes;
	r->url = s->url;
	gzip = s->gzip && zip(r, body, bytes, &zipped);
	sl_http_start(r->http, r->url, "POST", BULK_PATH, "application/x-ndjson", gzip ? r->zipped : body, gzip ? zipped : bytes, gzip, ANSWER_MOST(n));
	pg_atomic_fetch_add_u64(&sl_my_slot->batches, 1);
	pg_atomic_fetch_add_u64(&sl_my_slot->bytes, gzip ? zipped : bytes);
}

/* Answers -------------------------------------------------------------------- */

static void
refuse(es_sink *s, sl_shipment *shipment, const sl_item *item, int status, sl_str type, sl_str reason)
{
	sl_refusal *refusal = sl_shipment_refuse(shipment, shipment->body.p + item->start, item->end - item->start,
											 "%s refused the document (HTTP %d)%s%.*s%s%.*s", s->opensearch ? "OpenSearch" : "Elasticsearch",
											 status, type.n ? ": " : "", SL_STR_FMT(type), reason.n ? ": " : "", SL_STR_FMT(reason));

	refusal->status = status;
}

/* Takes the items that are done out; those that are to be sent again are moved up to the ones that weren't sent yet. */
static void
keep(sl_shipment *shipment, size_t sent, const bool *again)
{
	size_t at = shipment->items[sent - 1].end,
		   kept = sent;

	for (size_t i = sent; i-- > 0;)
	{
		sl_item item = shipment->items[i];
		size_t length = item.end - item.start;

		if (!again[i])
			continue;
		at -= length;
		memmove(shipment->body.p + at, shipment->body.p + item.start, length);
		shipment->items[--kept] = (sl_item){at, at + length};
	}
	memmove(shipment->items, shipment->items + kept, (shipment->n - kept) * sizeof(sl_item));
	shipment->n -= kept;
}

/* A server whose queues are full may have room for less. */
static void
be_smaller(es_sink *s)
{
	s->bulk = Max(BULK_LEAST, s->bulk / 2);
}

static void
succeeded(es_sink *s, const request *r, double seconds)
{
	s->failures = 0;
	s->paused_until = 0;
	s->sink.alarm[0] = '\0';
	/* as large as the server takes in good time */
	if (seconds > SLOW)
		s->bulk = Max(BULK_LEAST, s->bulk / 4 * 3);
	else if (seconds < FAST && r->bytes > s->bulk / 4 * 3)
		s->bulk = Min(BULK_MOST, s->bulk / 2 * 3);
	if (++s->successes % 4 == 0)
		s->width = Min(s->es->concurrency, s->width + 1);
}

static void
judge_items(es_sink *s, request *r, sl_bulk_item *items)
{
	sl_shipment *shipment = r->carries;
	bool *again = sl_alloc0(&s->arena, r->n);
	sl_str common = sl_bulk_common_refusal(items, r->n);
	const sl_bulk_item *because = NULL;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
	{
		sl_bulk_item *item = &items[i];
		bool held = item->verdict == SL_REFUSED && common.n && !s->es->set_aside;

		if (item->verdict == SL_RETRY || item->verdict == SL_FORBIDDEN || held)
		{
			again[i] = true;
			n++;
			if (!because || (held && sl_str_eq(item->type, common)))
				because = item;
		}
		else if (item->verdict == SL_REFUSED)
			refuse(s, shipment, &shipment->items[i], item->status, item->type, item->reason);
	}
	pg_atomic_fetch_add_u64(&sl_my_slot->records, r->n - n);
	pg_atomic_fetch_add_u64(&sl_my_slot->retries, n);
	keep(shipment, r->n, again);
	if (n == 0)
	{
		succeeded(s, r, r->http->seconds);
		return;
	}
	/* others first: it may be one index that can't be written */
	forget(s, shipment);
	s->shipments[s->n_shipments++] = shipment;
	if (because->verdict == SL_RETRY)
		failed(s);
	else
		stopped(s);
	if (because->status == 429)
		be_smaller(s);
	alarm_of(s, "%s %zu of %zu documents (HTTP %d %.*s: %.*s)%s",
			 because->verdict == SL_RETRY ? "the server can't take" : because->verdict == SL_FORBIDDEN ? "we have no right to write"
																									   : "the server refuses",
			 n, r->n, because->status, SL_STR_FMT(because->type), (int) Min(because->reason.n, 200), because->reason.p,
			 because->verdict == SL_REFUSED ? "; so many are hardly the documents' fault: mend the index, or set the option on_mass_refusal to set_aside" : "");
}

/* What the server's own words are cut to. */
#define SAID_MAX 256

/* Why a request failed, and what the server said of it; where we weren't believed, the secret is read again. */
static void
explain_failure(es_sink *s, const sl_http *http, int url, char text[SL_ERROR_MAX], char said[SAID_MAX])
{
	sl_http_describe(http, &s->es->server, url, text, SL_ERROR_MAX);
	sl_bulk_error(http->answer, http->n, &s->arena, said, SAID_MAX);
	if (http->status == 401)
		renew_authorization(s);
}

/* A request as a whole that wasn't answered as it should be. */
static void
judge_failure(es_sink *s, request *r)
{
	sl_shipment *shipment = r->carries;
	char text[SL_ERROR_MAX],
		said[SAID_MAX];
	long status = r->http->status;

	pg_atomic_fetch_add_u64(&sl_my_slot->retries, r->n);
	if (status == 413)
	{
		if (r->n == 1)
		{
			bool again = false;

			refuse(s, shipment, &shipment->items[0], 413, SL_STR(""), SL_STR("it is larger than the server takes (http.max_content_length)"));
			keep(shipment, 1, &again);
		}
		else
			s->bulk = Max(1, r->bytes / 2);
		return;
	}
	explain_failure(s, r->http, r->url, text, said);
	alarm_of(s, "%s%s%s", text, said[0] ? ": " : "", said);
	if (status >= 300 && status != 429 && status < 500)
		stopped(s);
	else
		failed(s);
	if (status == 429)
		be_smaller(s);
	next_url(s);
}

static void
take_answer(es_sink *s, request *r)
{
	sl_shipment *shipment = r->carries;
	sl_bulk_item *items;
	sl_error err;

	sl_server_arena(&s->arena);
	s->arena.limit = 0; /* the answer is bounded */
	pg_atomic_write_u64(&sl_my_slot->latency, (uint64) (r->http->seconds * 1e6));
	if (r->http->status != 200)
		judge_failure(s, r);
	else
	{
		items = sl_alloc(&s->arena, r->n * sizeof(*items));
		if (sl_bulk_read(r->http->answer, r->http->n, &s->arena, items, r->n, &err))
			judge_items(s, r, items);
		else
		{
			alarm_of(s, "%s does not answer as Elasticsearch or OpenSearch do: %s", s->es->server.urls[r->url], err.message);
			pg_atomic_fetch_add_u64(&sl_my_slot->retries, r->n);
			failed(s);
			next_url(s);
		}
	}
	r->carries = NULL;
	if (shipment->n == 0)
	{
		forget(s, shipment);
		shipment->finished = true;
	}
}

/* The template --------------------------------------------------------------- */

static const char keyword[] =
	"{\"type\":\"keyword\",\"ignore_above\":8191,\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":8191}}}";

/*
 * The index template: each known name by its own type; attributes, whose names
 * and types are the senders', by one type for all of them, so that no two
 * records can conflict.
 */
static void
put_template(sl_buf *out, const sl_elasticsearch *es, bool opensearch)
{
	const char *flat = opensearch ? "{\"type\":\"flat_object\"}" : "{\"type\":\"flattened\",\"ignore_above\":8191}";
	char wildcard[SL_INDEX_MAX + 2];
	size_t from;
	uint64 hash;

	sl_index_wildcard(wildcard, es->index);
	sl_buf_puts(out, "{\"index_patterns\":[");
	sl_buf_json_string(out, (sl_str){wildcard, strlen(wildcard)});
	sl_buf_puts(out, "],\"priority\":100,");
	from = out->n;
	sl_buf_puts(out, "\"template\":{\"settings\":{\"index\":{\"number_of_shards\":1,");
	if (es->replicas)
		sl_buf_printf(out, "\"number_of_replicas\":%s", es->replicas);
	else
		sl_buf_puts(out, "\"auto_expand_replicas\":\"0-1\"");
	if (es->refresh_interval)
	{
		sl_buf_puts(out, ",\"refresh_interval\":");
		sl_buf_json_string(out, (sl_str){es->refresh_interval, strlen(es->refresh_interval)});
	}
	sl_buf_puts(out, ",\"mapping\":{\"total_fields\":{\"limit\":1000}}}},\"mappings\":{\"dynamic_templates\":[{\"strings\":{\"match_mapping_type\":\"string\",\"mapping\":");
	sl_buf_puts(out, keyword);
	sl_buf_puts(out, "}}],\"properties\":{\"timestamp\":{\"type\":\"date\"},\"observed_timestamp\":{\"type\":\"date\"},\"severity_number\":{\"type\":\"byte\"},\"message\":{\"type\":\"text\"}");
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (i != SL_MESSAGE)
			sl_buf_printf(out, ",\"%s\":%s", sl_known_name[i], keyword);
	sl_buf_printf(out, ",\"source\":%s,\"attributes\":%s,\"resource\":%s}}}", keyword, flat, flat);
	hash = XXH3_64bits(out->p + from, out->n - from);
	sl_buf_printf(out, ",\"_meta\":{\"managed_by\":\"stacklens\",\"stacklens\":\"%016llx\"}}", (unsigned long long) hash);
}

/* "stacklens-logs" of "stacklens-logs-%Y.%m.%d". */
static char *
template_name(const sl_elasticsearch *es)
{
	char *name = pnstrdup(es->index, strcspn(es->index, "%"));
	size_t n = strlen(name);

	while (n > 1 && strchr("-._", name[n - 1]))
		name[--n] = '\0';
	return name;
}

static void
ask(es_sink *s, const char *method, const char *path, const char *body)
{
	sl_http_start(s->control, s->url, method, path, body ? "application/json" : NULL, body, body ? strlen(body) : 0, false, OTHER_MOST);
}

static char *
template_path(es_sink *s)
{
	return psprintf("/_index_template/%s", template_name(s->es));
}

static char *
our_template(es_sink *s)
{
	sl_buf out;

	sl_buf_init(&out, &s->arena, 4096);
	put_template(&out, s->es, s->opensearch);
	return out.p;
}

static const sl_node *
read_answer(es_sink *s)
{
	sl_documents documents = {0};
	sl_error ignored;

	if (!sl_read_json(s->control->answer, s->control->n, &s->arena, &documents, &ignored))
		return NULL;
	return documents.v[0];
}

static const sl_node *
at(const sl_node *node, const char *name)
{
	if (node && node->kind == SL_LIST)
		node = node->n > 0 ? node->entries[0].value : NULL;
	return node && node->kind == SL_MAP ? sl_node_get(node, name) : NULL;
}

/* What tells a template from another one, as the server shows it. */
static char *
seen_hash(es_sink *s, const sl_node *template)
{
	sl_buf json;

	sl_buf_init(&json, &s->arena, 4096);
	sl_node_json(&json, template);
	return psprintf("%016llx", (unsigned long long) XXH3_64bits(json.p, json.n));
}

static void
remember_template(es_sink *s, const char *hash)
{
	Oid types[2] = {TEXTOID, TEXTOID};
	Datum values[2];

	sl_begin();
	values[0] = CStringGetTextDatum(s->es->name);
	values[1] = CStringGetTextDatum(hash);
	if (SPI_execute_with_args("UPDATE stacklens_internal.sinks SET template_seen = $2 WHERE name = $1", 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not remember the template");
	sl_commit();
}

static bool
is_remembered(es_sink *s, const char *hash)
{
	Oid types[2] = {TEXTOID, TEXTOID};
	Datum values[2];
	bool found;

	sl_begin();
	values[0] = CStringGetTextDatum(s->es->name);
	values[1] = CStringGetTextDatum(hash);
	found = SPI_execute_with_args("SELECT FROM stacklens_internal.sinks WHERE name = $1 AND template_seen = $2", 2, types, values, NULL, true, 0) == SPI_OK_SELECT &&
			SPI_processed > 0;
	sl_commit();
	return found;
}

/* The server's template of our name: ours as it should be, ours of old, or somebody's. */
static stage
judge_template(es_sink *s)
{
	const sl_node *template = at(at(read_answer(s), "index_templates"), "index_template");
	const sl_node *mark = at(at(template, "_meta"), "stacklens");
	char *ours = our_template(s);

	if (!template)
		return PUT_TEMPLATE;
	if (mark && mark->kind == SL_SCALAR && mark->text.n == 16 && strstr(ours, psprintf("\"stacklens\":\"%.16s\"", mark->text.p)))
		return READY;
	if (is_remembered(s, seen_hash(s, template)))
		return PUT_TEMPLATE;
	ereport(LOG,
			(errmsg("index template \"%s\" of sink \"%s\" is not StackLens's own, and is left as it is", template_name(s->es), s->es->name),
			 errdetail("Attributes of log records may conflict under it."),
			 errhint("To have ours, delete it: DELETE /_index_template/%s. It is put in place when the sink is resumed.", template_name(s->es))));
	return READY;
}

/* Old indices ---------------------------------------------------------------- */

static void
forget_old(es_sink *s)
{
	while (s->n_old > 0)
		pfree(s->old[--s->n_old]);
	if (s->old)
		pfree(s->old);
	s->old = NULL;
}

/* The answer to _cat/indices: those older than the retention are to be deleted. */
static void
find_old(es_sink *s)
{
	const sl_node *list = read_answer(s);
	int64 today = sl_now_ns() / ((int64) 86400 * 1000000000);

	forget_old(s);
	if (!list || list->kind != SL_MAP)
		return;
	/* they outlive this answer */
	s->old = MemoryContextAlloc(TopMemoryContext, (list->n + 1) * sizeof(char *));
	for (size_t i = 0; i < list->n; i++)
	{
		sl_str name = list->entries[i].key;
		int64 day;
		char *text;

		if (name.n > SL_INDEX_MAX)
			continue;
		text = strndup(name.p, name.n);
		if (text && sl_index_day(s->es->index, text, &day) && day < today - s->es->retention)
			s->old[s->n_old++] = MemoryContextStrdup(TopMemoryContext, text);
		free(text);
	}
}

/* Control: one question after another ------------------------------------------ */

static void
start_control(es_sink *s)
{
	char wildcard[SL_INDEX_MAX + 2];

	switch (s->stage)
	{
		case ASK_SERVER:
			ask(s, "GET", "/_nodes?filter_path=nodes.*.version,nodes.*.build_flavor", NULL);
			break;
		case ASK_TEMPLATE:
		case SEE_TEMPLATE:
			ask(s, "GET", template_path(s), NULL);
			break;
		case PUT_TEMPLATE:
			if (s->control_body)
				pfree(s->control_body);
			sl_server_arena(&s->arena);
			s->control_body = MemoryContextStrdup(TopMemoryContext, our_template(s));
			ask(s, "PUT", template_path(s), s->control_body);
			break;
		case LIST_INDICES:
			sl_index_wildcard(wildcard, s->es->index);
			ask(s, "GET", psprintf("/%s/_alias?expand_wildcards=open,closed", wildcard), NULL);
			break;
		case DELETE_INDEX:
			ask(s, "DELETE", psprintf("/%s", s->old[s->n_old - 1]), NULL);
			break;
		case READY:
			break;
	}
}

/* Who answers?  False where it is neither of the two. */
static bool
judge_server(es_sink *s)
{
	const sl_node *nodes = at(read_answer(s), "nodes");
	const sl_node *node = nodes && nodes->kind == SL_MAP && nodes->n > 0 ? nodes->entries[0].value : NULL;
	const sl_node *version = at(node, "version");

	if (!version || version->kind != SL_SCALAR)
		return false;
	/* only Elasticsearch has flavors; its versions before 7 aren't served */
	s->opensearch = !at(node, "build_flavor") && version->text.n > 0 && version->text.p[0] < '7' && version->text.p[1] == '.';
	return true;
}

static void
control_failed(es_sink *s, const char *what)
{
	char text[SL_ERROR_MAX],
		said[SAID_MAX];

	explain_failure(s, s->control, s->url, text, said);
	if (text[0])
		alarm_of(s, "%s%s%s%s%s", what, what[0] ? ": " : "", text, said[0] ? ": " : "", said);
	else
		alarm_of(s, "%s does not answer as Elasticsearch or OpenSearch do", s->es->server.urls[s->url]);
	failed(s);
	next_url(s);
	s->control_after = s->paused_until;
	if (s->stage == SEE_TEMPLATE)
		s->stage = ASK_TEMPLATE;
}

/* Old indices stay: what is shipped isn't held up by that, and it is tried again in an hour. */
static void
keeping_failed(es_sink *s, const char *what)
{
	char text[SL_ERROR_MAX],
		said[SAID_MAX];

	explain_failure(s, s->control, s->url, text, said);
	ereport(WARNING, (errmsg("sink \"%s\" could not %s indices older than its option retention: %s%s%s", s->es->name, what, text, said[0] ? ": " : "", said)));
}

/* What somebody may do whom the server lets. */
static char *
by_hand(es_sink *s)
{
	return psprintf("run PUT %s%s with what SELECT stacklens.sink_template('%s', %s) gives", s->es->server.urls[s->url], template_path(s),
					s->es->name, s->opensearch ? "true" : "false");
}

static void
take_control(es_sink *s)
{
	bool ok = s->control->status == 200;
	bool absent = s->control->status == 404;
	bool starting = s->stage < READY;

	s->control->done = false;
	sl_server_arena(&s->arena);
	s->arena.limit = 0;
	switch (s->stage)
	{
		case ASK_SERVER:
			if (!ok || !judge_server(s))
			{
				control_failed(s, "");
				return;
			}
			s->stage = s->es->template ? ASK_TEMPLATE : READY;
			break;
		case ASK_TEMPLATE:
			if (!ok && !absent)
			{
				control_failed(s, psprintf("could not see index template \"%s\": give us the right to it, or %s, and set the option template to leave", template_name(s->es), by_hand(s)));
				return;
			}
			s->stage = absent ? PUT_TEMPLATE : judge_template(s);
			break;
		case PUT_TEMPLATE:
			if (!ok)
			{
				control_failed(s, psprintf("could not install index template \"%s\": give us the right to it, or %s", template_name(s->es), by_hand(s)));
				s->stage = ASK_TEMPLATE;
				return;
			}
			s->stage = SEE_TEMPLATE;
			break;
		case SEE_TEMPLATE:
			if (!ok)
			{
				control_failed(s, "could not see the index template");
				return;
			}
			remember_template(s, seen_hash(s, at(at(read_answer(s), "index_templates"), "index_template")));
			s->stage = READY;
			break;
		case LIST_INDICES:
			if (ok)
				find_old(s);
			else
				keeping_failed(s, "list");
			s->stage = ok && s->n_old > 0 ? DELETE_INDEX : READY;
			break;
		case DELETE_INDEX:
			if (ok)
				ereport(LOG, (errmsg("sink \"%s\" deleted index \"%s\"", s->es->name, s->old[s->n_old - 1]),
							  errdetail("Its option retention is %d days.", s->es->retention)));
			/* another source's shipper may have been there before */
			else if (!absent)
				keeping_failed(s, "delete");
			pfree(s->old[--s->n_old]);
			if (s->n_old == 0 || !(ok || absent))
			{
				forget_old(s); /* what is left is found again */
				s->stage = READY;
			}
			break;
		case READY:
			break;
	}
	if (starting && s->stage == READY && s->failures > 0)
	{
		s->failures = 0;
		s->paused_until = 0;
		s->sink.alarm[0] = '\0';
	}
}

static void
control(es_sink *s)
{
	int64 now = sl_now_ms();

	if (s->control->done)
		take_control(s);
	if (s->stage == READY && s->es->retention > 0 && sl_index_pattern_has_day(s->es->index) && (s->ordered_at == 0 || now - s->ordered_at > KEEP_ORDER))
	{
		s->ordered_at = now;
		s->stage = LIST_INDICES;
	}
	if (s->stage != READY && !s->control->running && !s->control->done && now >= s->control_after)
		start_control(s);
}

static int
work(sl_sink *sink)
{
	es_sink *s = (es_sink *) sink;
	int running = 0;
	int wait = sl_http_step(s->pool);
	int64 now;

	control(s);
	for (int i = 0; i < SHIPMENTS_MOST; i++)
	{
		if (s->requests[i].carries && s->requests[i].http->done)
			take_answer(s, &s->requests[i]);
		running += s->requests[i].carries != NULL;
	}
	now = sl_now_ms();
	if (s->stage >= READY)
		for (int i = 0; i < s->n_shipments && running < s->width && now >= s->paused_until && (s->failures == 0 || running == 0); i++)
			if (!request_of(s, s->shipments[i]))
			{
				send(s, s->shipments[i]);
				running++;
			}
	/* what was just begun may be done at once */
	wait = Min(wait, sl_http_step(s->pool));
	if (s->paused_until > now)
		wait = Min(wait, (int) (s->paused_until - now));
	sink->wanted_bytes = s->bulk;
	sink->wanted_shipments = s->es->concurrency + 1;
	pg_atomic_write_u64(&sl_my_slot->in_flight, (uint64) running);
	return wait;
}

/* Does what the server is sent leave this machine? */
static bool
is_remote(const char *url)
{
	const char *host = strstr(url, "://") + 3;

	return strncmp(host, "localhost", 9) != 0 && strncmp(host, "127.", 4) != 0 && strncmp(host, "[::1]", 5) != 0;
}

sl_sink *
sl_elasticsearch_open(const char *name)
{
	static es_sink s;
	MemoryContext context = CurrentMemoryContext;

	sl_begin();
	MemoryContextSwitchTo(TopMemoryContext);
	s.es = sl_elasticsearch_load(name, FATAL);
	MemoryContextSwitchTo(context);
	sl_commit();
	MemoryContextSwitchTo(context);
	s.sink = (sl_sink){.name = s.es->name, .add = add, .add_again = add_again, .hand_over = hand_over, .recall = recall, .work = work, .wanted_bytes = BULK_FIRST, .wanted_shipments = 2};
	s.bulk = BULK_FIRST;
	s.width = Min(2, s.es->concurrency);
	s.gzip = s.es->compression == SL_GZIP_ON || (s.es->compression == SL_GZIP_AUTO && is_remote(s.es->server.urls[0]));
	s.day = PG_INT64_MIN;
	s.pool = sl_http_pool_new(&s.es->server, true);
	s.control = sl_http_new(s.pool);
	return &s.sink;
}

PG_FUNCTION_INFO_V1(stacklens_sink_template);

/* sink_template(name text, opensearch boolean) → the index template of a sink, as JSON. */
Datum
stacklens_sink_template(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	sl_elasticsearch *es;
	sl_buf out;
	MemoryContext context = CurrentMemoryContext;

	sl_server_arena(&arena);
	SPI_connect();
	MemoryContextSwitchTo(context);
	es = sl_elasticsearch_settings(text_to_cstring(PG_GETARG_TEXT_PP(0)), ERROR);
	SPI_finish();
	sl_buf_init(&out, &arena, 4096);
	put_template(&out, es, PG_GETARG_BOOL(1));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.p, (int) out.n));
}
