/*
 * search.c
 *	  Searching what was shipped: a query of people's in Elasticsearch's own
 *	  language, and asking the server, a page at a time.
 *
 * Attributes are of one type there, whose values are texts: ranges of numbers
 * and patterns can't be asked of them.  Such a part asks for more than it
 * should (whatever has the attribute); then the query is not exact, and its
 * condition in SQL is tried on what was found.
 */
#include "sink/elasticsearch.h"

#include "core/search/query.h"
#include "core/sink/bulk.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(stacklens_search_dsl);
PG_FUNCTION_INFO_V1(stacklens_search_page);
PG_FUNCTION_INFO_V1(stacklens_search_end);

#define ANSWER_MOST ((size_t) 256 * 1024 * 1024)

typedef struct field
{
	enum
	{
		KEYWORD,
		MESSAGE,
		NUMBER,
		TIME,
		FLAT,	/* an attribute */
		MISSING /* in no document */
	} kind;
	sl_str name;
} field;

static field
field_of(sl_arena *arena, sl_str name)
{
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (sl_str_is(name, sl_known_name[i]))
			return (field){i == SL_MESSAGE ? MESSAGE : KEYWORD, name};
	if (sl_str_is(name, "source"))
		return (field){KEYWORD, name};
	if (sl_str_is(name, "severity_number"))
		return (field){NUMBER, name};
	if (sl_str_is(name, "timestamp") || sl_str_is(name, "observed_timestamp"))
		return (field){TIME, name};
	if (sl_str_is(name, "id") || sl_str_is(name, "arrived_at"))
		return (field){MISSING, name};
	if (sl_str_starts(name, "resource."))
		return (field){FLAT, name};
	return (field){FLAT, sl_strf(arena, "attributes.%.*s", (int) name.n, name.p)};
}

static void
put_pair(sl_buf *out, const char *kind, sl_str name, const char *key, sl_str value)
{
	sl_buf_printf(out, "{\"%s\":{", kind);
	sl_buf_json_string(out, name);
	sl_buf_printf(out, ":{\"%s\":", key);
	sl_buf_json_string(out, value);
	sl_buf_puts(out, "}}}");
}

/* A time as people write it, in the session's zone, as the server reads it. */
static sl_str
time_text(sl_arena *arena, sl_str text)
{
	Datum at = DirectFunctionCall3(timestamptz_in, CStringGetDatum(pnstrdup(text.p, text.n)), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	char when[64];

	sl_format_timestamp(when, sl_nanoseconds(DatumGetTimestampTz(at)));
	return sl_strf(arena, "%s", when);
}

/* Is "abc*" all that a pattern asks for?  Then the beginning, without what hides characters. */
static bool
is_prefix(sl_arena *arena, sl_str pattern, sl_str *prefix)
{
	sl_buf text;

	sl_buf_init(&text, arena, pattern.n + 1);
	for (size_t i = 0; i < pattern.n; i++)
	{
		char c = pattern.p[i];

		if (c == '?' || (c == '*' && i + 1 < pattern.n))
			return false;
		if (c == '*')
			break;
		if (c == '\\' && i + 1 < pattern.n)
			c = pattern.p[++i];
		sl_buf_putc(&text, c);
	}
	*prefix = (sl_str){text.p, text.n};
	return true;
}

/* Has a document the field?  Of attributes, that is any value's beginning. */
static void
put_exists(sl_buf *out, const field *f)
{
	if (f->kind == FLAT)
		put_pair(out, "prefix", f->name, "value", SL_STR(""));
	else if (f->kind == MISSING)
		sl_buf_puts(out, "{\"match_none\":{}}");
	else
	{
		sl_buf_puts(out, "{\"exists\":{\"field\":");
		sl_buf_json_string(out, f->name);
		sl_buf_puts(out, "}}");
	}
}

/* Words of a message one after the other, some of which are patterns. */
static void
put_message_pattern(sl_buf *out, sl_arena *arena, sl_str pattern)
{
	const char *comma = "";

	sl_buf_puts(out, "{\"intervals\":{\"message\":{\"all_of\":{\"ordered\":true,\"max_gaps\":0,\"intervals\":[");
	for (size_t i = 0; i < pattern.n;)
	{
		size_t from = i;
		sl_str word;

		while (i < pattern.n && pattern.p[i] != ' ')
			i++;
		word = (sl_str){pattern.p + from, i - from};
		if (word.n > 0)
		{
			sl_buf_printf(out, "%s{\"wildcard\":{\"pattern\":", comma);
			/* the analyzer's words are lower-case */
			sl_buf_json_string(out, sl_strf(arena, "%s", asc_tolower(word.p, word.n)));
			sl_buf_puts(out, "}}");
			comma = ",";
		}
		while (i < pattern.n && pattern.p[i] == ' ')
			i++;
	}
	sl_buf_puts(out, "]}}}}");
}

/* A value, or a pattern; false where it asks for more than it should. */
static bool
put_value(sl_buf *out, sl_arena *arena, const field *f, const sl_query *q)
{
	sl_str prefix;

	if (f->kind == MESSAGE && q->kind != SL_QUERY_PATTERN)
		put_pair(out, "match_phrase", f->name, "query", q->value);
	else if (f->kind == MESSAGE)
		put_message_pattern(out, arena, q->value);
	else if (f->kind == MISSING)
		sl_buf_puts(out, "{\"match_none\":{}}");
	else if (f->kind == TIME && q->kind != SL_QUERY_PATTERN)
		put_pair(out, "term", f->name, "value", time_text(arena, q->value));
	else if (q->kind != SL_QUERY_PATTERN && f->kind != NUMBER)
		put_pair(out, "term", f->name, "value", q->value);
	else if (q->kind == SL_QUERY_PATTERN && f->kind == FLAT && is_prefix(arena, q->value, &prefix))
		put_pair(out, "prefix", f->name, "value", prefix);
	else if (q->kind == SL_QUERY_PATTERN && f->kind == KEYWORD)
		put_pair(out, "wildcard", f->name, "value", q->value);
	else if (f->kind == NUMBER && q->kind != SL_QUERY_PATTERN && q->value.n < 4 && strspn(pnstrdup(q->value.p, q->value.n), "0123456789") == q->value.n)
		put_pair(out, "term", f->name, "value", q->value);
	else
	{
		put_exists(out, f);
		return false;
	}
	return true;
}

static void
put_end(sl_buf *out, sl_arena *arena, const char *name, const sl_query_end *end, const char **comma, bool time)
{
	if (!end->text.p)
		return;
	sl_buf_printf(out, "%s\"%s%s\":", *comma, name, end->included ? "e" : "");
	sl_buf_json_string(out, time ? time_text(arena, end->text) : end->text);
	*comma = ",";
}

static bool
put_range(sl_buf *out, sl_arena *arena, const field *f, const sl_query *q)
{
	const char *comma = "";

	/* texts are compared as texts there, too, but numbers among them would be as well */
	if (f->kind != TIME)
	{
		put_exists(out, f);
		return false;
	}
	sl_buf_puts(out, "{\"range\":{");
	sl_buf_json_string(out, f->name);
	sl_buf_puts(out, ":{");
	put_end(out, arena, "gt", &q->low, &comma, true);
	put_end(out, arena, "lt", &q->high, &comma, true);
	sl_buf_puts(out, "}}}");
	return true;
}

/* A word that was typed without a field. */
static bool
put_word(sl_buf *out, sl_arena *arena, const sl_query *q)
{
	static const char *const names[] = {"message", "service", "level", "error_code", "trace_id", "request_id"};
	bool exact = true;

	sl_buf_puts(out, "{\"bool\":{\"should\":[");
	for (int i = 0; i < lengthof(names); i++)
	{
		field f = field_of(arena, (sl_str){names[i], strlen(names[i])});

		if (i > 0)
			sl_buf_putc(out, ',');
		exact = put_value(out, arena, &f, q) && exact;
	}
	sl_buf_puts(out, "],\"minimum_should_match\":1}}");
	return exact;
}

/* Parts are at most SL_QUERY_DEPTH deep.  False where more is found than is asked for. */
static bool
put_query(sl_buf *out, sl_arena *arena, const sl_query *q)
{
	field f = q->field.n > 0 ? field_of(arena, q->field) : (field){MISSING, q->field};
	bool exact = true;
	size_t from = out->n;

	switch (q->kind)
	{
		case SL_QUERY_ALL:
			sl_buf_puts(out, "{\"match_all\":{}}");
			return true;
		case SL_QUERY_NOT:
			sl_buf_puts(out, "{\"bool\":{\"must_not\":[");
			if (put_query(out, arena, q->first))
			{
				sl_buf_puts(out, "]}}");
				return true;
			}
			/* what is not in more than was asked for would be too little */
			out->n = from;
			sl_buf_puts(out, "{\"match_all\":{}}");
			return false;
		case SL_QUERY_AND:
		case SL_QUERY_OR:
			sl_buf_puts(out, q->kind == SL_QUERY_AND ? "{\"bool\":{\"filter\":[" : "{\"bool\":{\"should\":[");
			for (const sl_query *part = q->first; part; part = part->next)
			{
				if (part != q->first)
					sl_buf_putc(out, ',');
				exact = put_query(out, arena, part) && exact;
			}
			sl_buf_puts(out, q->kind == SL_QUERY_AND ? "]}}" : "],\"minimum_should_match\":1}}");
			return exact;
		case SL_QUERY_EXISTS:
			put_exists(out, &f);
			return true;
		case SL_QUERY_RANGE:
			return put_range(out, arena, &f, q);
		default:
			return q->field.n == 0 ? put_word(out, arena, q) : put_value(out, arena, &f, q);
	}
}

/* search_dsl(query text) → the query in Elasticsearch's language, and whether it finds no more than it should. */
Datum
stacklens_search_dsl(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	sl_query *q;
	sl_buf out;
	Datum result[2];
	bool nulls[2] = {0};
	TupleDesc desc;

	q = sl_query_argument(PG_GETARG_TEXT_PP(0), &arena);
	sl_buf_init(&out, &arena, 1024);
	result[1] = BoolGetDatum(put_query(&out, &arena, q));
	result[0] = PointerGetDatum(cstring_to_text_with_len(out.p, (int) out.n));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, result, nulls)));
}

/* Asking ------------------------------------------------------------------------ */

/* An answer to a request, as text; each of the sink's URLs is tried. */
static text *
ask(const char *sink, const char *method, const char *path, const char *index_path, const char *body, bool in_any_case)
{
	static sl_arena arena;
	MemoryContext context = CurrentMemoryContext;
	sl_elasticsearch *es;
	sl_http_pool *pool;
	sl_http *volatile http = NULL;
	text *volatile answer = NULL;
	char trouble[512] = "";
	const char *volatile target = path;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	MemoryContextSwitchTo(context);
	es = sl_elasticsearch_load(sink, ERROR);
	SPI_finish();
	MemoryContextSwitchTo(context);
	if (index_path)
	{
		char wildcard[SL_INDEX_MAX + 2];

		sl_index_wildcard(wildcard, es->index);
		target = psprintf(index_path, wildcard);
	}
	pool = sl_http_pool_new(&es->server, false);
	PG_TRY();
	{
		http = sl_http_new(pool);
		for (int url = 0; url < es->server.n_urls && !answer; url++)
		{
			sl_http_start(http, url, method, target, "application/json", body, strlen(body), false, ANSWER_MOST);
			sl_http_wait(http);
			sl_http_describe(http, &es->server, url, trouble, sizeof(trouble));
			if (http->status == 200)
				answer = cstring_to_text_with_len(http->answer, (int) http->n);
			else if (http->status == 400)
			{
				/* the query's fault */
				sl_server_arena(&arena);
				sl_bulk_error(http->answer, http->n, &arena, trouble, sizeof(trouble));
				break;
			}
		}
	}
	PG_FINALLY();
	{
		if (http)
			sl_http_free(http);
		sl_http_pool_free(pool);
	}
	PG_END_TRY();
	if (!answer && !in_any_case)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR), errmsg("sink \"%s\" did not answer the search", sink), errdetail("%s", trouble),
				 errhint("SELECT * FROM stacklens.stat_sinks; tells how it is.")));
	return answer;
}

/* search_page(sink text, body text, first boolean) → the first page of a search that keeps its place, or the next one. */
Datum
stacklens_search_page(PG_FUNCTION_ARGS)
{
	char *sink = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *body = text_to_cstring(PG_GETARG_TEXT_PP(1));

	PG_RETURN_TEXT_P(PG_GETARG_BOOL(2) ? ask(sink, "POST", NULL, "/%s/_search?scroll=1m&ignore_unavailable=true&allow_no_indices=true&filter_path=_scroll_id,hits.hits._source,error", body, false)
									   : ask(sink, "POST", "/_search/scroll?filter_path=_scroll_id,hits.hits._source", NULL, body, false));
}

/* search_end(sink text, body text): gives the place of a search up, which ends by itself otherwise. */
Datum
stacklens_search_end(PG_FUNCTION_ARGS)
{
	(void) ask(text_to_cstring(PG_GETARG_TEXT_PP(0)), "DELETE", "/_search/scroll", NULL, text_to_cstring(PG_GETARG_TEXT_PP(1)), true);
	PG_RETURN_VOID();
}
