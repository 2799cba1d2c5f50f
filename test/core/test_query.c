/*
 * test_query.c
 *	  Queries as people type them, written out again part by part.
 */
#include "tap.h"
#include "../../src/core/search/query.h"

static void
out_of_memory(sl_arena *arena, size_t wanted)
{
	(void) arena;
	fprintf(stderr, "no room for %zu bytes\n", wanted);
	exit(1);
}

static void
write_query(char *out, size_t size, const sl_query *q)
{
	size_t n = strlen(out);

#define PUT(...) (n += (size_t) snprintf(out + n, size - n, __VA_ARGS__))
	if (q->field.n)
		PUT("%.*s:", SL_STR_FMT(q->field));
	switch (q->kind)
	{
		case SL_QUERY_ALL:
			PUT("all");
			break;
		case SL_QUERY_TERM:
			PUT("%.*s", SL_STR_FMT(q->value));
			break;
		case SL_QUERY_PHRASE:
			PUT("\"%.*s\"", SL_STR_FMT(q->value));
			break;
		case SL_QUERY_PATTERN:
			PUT("<%.*s>", SL_STR_FMT(q->value));
			break;
		case SL_QUERY_EXISTS:
			PUT("is there");
			break;
		case SL_QUERY_RANGE:
			PUT("%c%.*s..%.*s%c", q->low.included ? '[' : '{', SL_STR_FMT(q->low.text), SL_STR_FMT(q->high.text), q->high.included ? ']' : '}');
			break;
		default:
			PUT("%s(", q->kind == SL_QUERY_AND ? "and" : q->kind == SL_QUERY_OR ? "or"
																				: "not");
			for (const sl_query *part = q->first; part; part = part->next)
			{
				write_query(out, size, part);
				n = strlen(out);
				if (part->next)
					PUT(" ");
			}
			PUT(")");
	}
}

static void
reads(const char *text, const char *want)
{
	sl_arena arena;
	sl_error err;
	sl_query *q;
	char got[4096] = "";

	sl_arena_init(&arena, 0, out_of_memory);
	if (sl_query_read((sl_str){text, strlen(text)}, &arena, &q, &err))
		write_query(got, sizeof(got), q);
	else
		snprintf(got, sizeof(got), "%d: %s", err.col, err.message);
	is(((sl_str){got, strlen(got)}), want, "%.60s", text);
	sl_arena_free(&arena);
}

static void
many(const char *before, const char *middle, const char *after, int times, const char *want)
{
	size_t n = strlen(before),
		   m = strlen(after);
	char *text = malloc((n + m) * (size_t) times + strlen(middle) + 1),
		 *p = text;

	for (int i = 0; i < times; i++, p += n)
		memcpy(p, before, n);
	p = stpcpy(p, middle);
	for (int i = 0; i < times; i++, p += m)
		memcpy(p, after, m);
	*p = '\0';
	reads(text, want);
	free(text);
}

int
main(void)
{
	reads("", "all");
	reads("  *  ", "all");
	reads("price", "price");
	reads("price missing", "and(price missing)");
	reads("price AND missing", "and(price missing)");
	reads("price && missing || gone", "or(and(price missing) gone)");
	reads("a OR b c OR d", "or(a and(b c) d)");
	reads("(a OR b) c", "and(or(a b) c)");
	reads("error_code:PRICE_MISSING AND service:order-*", "and(error_code:PRICE_MISSING service:<order-*>)");
	reads("\"connection refused\" -level:debug", "and(\"connection refused\" not(level:debug))");
	reads("NOT NOT a", "a");
	reads("!a +b - c", "and(not(a) b - c)");
	reads("NOT (a b)", "not(and(a b))");
	reads("http.status_code:[500 TO 599]", "http.status_code:[500..599]");
	reads("n:{1 TO *}", "n:{1..}");
	reads("n:[1 TO 5}", "n:[1..5}");
	reads("n:>=5 n:<7", "and(n:[5..} n:{..7})");
	reads("timestamp:[\"2026-01-01 00:00\" TO 2026-01-02T10:00:00Z]", "timestamp:[2026-01-01 00:00..2026-01-02T10:00:00Z]");
	reads("service:(a OR \"b c\" d*)", "or(service:a and(service:\"b c\" service:<d*>))");
	reads("_exists_:trace_id trace_id:*", "and(trace_id:is there trace_id:is there)");
	reads("host:a:b", "host:a:b");
	reads("path:/api/v1", "path:/api/v1");
	reads("a\\:b", "a:b");
	reads("a\\*b*", "<a\\*b*>");
	reads("a\\*b", "a*b");
	reads("\"a \\\" b\"", "\"a \" b\"");
	reads("ANDROID NOTE ORDER", "and(ANDROID NOTE ORDER)");
	reads("field\\ name:x", "field name:x");
	reads("grüße:größe", "grüße:größe");

	reads("a AND", "6: a part of the query is missing");
	reads("OR a", "and(OR a)");
	reads("(a", "1: the parenthesis is not closed");
	reads("a)", "2: there is no parenthesis to close");
	reads("\"a", "1: the quotation has no end");
	reads("ü \"a", "3: the quotation has no end");
	reads("a:", "3: a value is missing");
	reads("a: b", "3: a word is missing");
	reads("()", "2: a word is missing");
	reads("[1 TO 5]", "1: a range needs a field");
	reads("a:[1 5]", "6: a range lacks TO");
	reads("a:[1 TO 5", "3: a range is not closed");
	reads("a:[ TO 5]", "8: a range lacks TO");
	reads("a:>", "4: a range lacks an end");
	reads("pric~", "5: words that are like another can't be searched for");
	reads("pric~2", "5: words that are like another can't be searched for");
	reads("price^3", "6: parts of a query can't be weighed");
	reads("\"a b\"~3", "6: a phrase has nothing behind it");
	reads("/john/", "1: regular expressions can't be searched for");
	reads("_exists_:", "10: _exists_ lacks a field");
	many("(", "a", ")", 100, "a");
	many("(", "a", ")", 101, "101: the query is nested too deep");
	many("a ", "a", "", 1000, "2001: the query has too many parts");
	return tap_done();
}
