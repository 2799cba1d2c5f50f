/*
 * query.c
 *	  See query.h: a descent through
 *
 *		either	 = all { OR all }
 *		all		 = one { [AND] one }
 *		one		 = { NOT | - | ! | + } [field :] value
 *		value	 = ( either ) | [low TO high] | {low TO high} | >= end | "phrase" | word
 */
#include "query.h"

#include "../utf8.h"

typedef struct reader
{
	sl_arena *arena;
	sl_error *err;
	const char *start;
	const char *p;
	const char *end;
	int parts;
	int depth;
} reader;

static sl_query *read_either(reader *r, sl_str field);

static bool
fail(reader *r, const char *at, const char *message, const char *hint)
{
	sl_fail(r->err, SL_SYNTAX, "%s", message);
	sl_error_hint(r->err, "%s", hint);
	r->err->line = 1;
	r->err->col = 1;
	for (const char *s = r->start; s < at; s += sl_utf8_len((unsigned char) *s))
		r->err->col++;
	sl_error_detail(r->err, "At character %d of the query.", r->err->col);
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_space(reader *r)
{
	while (r->p < r->end && is_space(*r->p))
		r->p++;
}

static sl_query *
new_query(reader *r, sl_query_kind kind, sl_str field)
{
	sl_query *q;

	if (++r->parts > SL_QUERY_PARTS)
	{
		fail(r, r->p, "the query has too many parts", "A query has at most 1,000.");
		r->err->sqlstate = "54001";
		return NULL;
	}
	q = sl_alloc(r->arena, sizeof(sl_query));
	*q = (sl_query){.kind = kind, .field = field};
	return q;
}

/* Does a word of this name stand here, by itself?  It is taken, then. */
static bool
take_word(reader *r, const char *word)
{
	size_t n = strlen(word);
	const char *after = r->p + n;

	if ((size_t) (r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return false;
	if (after < r->end && !is_space(*after) && *after != '(')
		return false;
	r->p = after;
	return true;
}

static bool
take_sign(reader *r, const char *sign)
{
	size_t n = strlen(sign);

	if ((size_t) (r->end - r->p) < n || memcmp(r->p, sign, n) != 0)
		return false;
	r->p += n;
	return true;
}

static bool
ends_word(char c)
{
	return is_space(c) || c == '(' || c == ')' || c == '"' || c == '[' || c == ']' || c == '{' || c == '}';
}

/*
 * A word: to the next space or bracket; for a field's name, to its colon, too.
 * In raw, what stands behind \ keeps it.
 */
static sl_str
read_word(reader *r, bool name, bool raw, bool *wild)
{
	char *out = sl_alloc(r->arena, (size_t) (r->end - r->p) + 1);
	size_t n = 0;

	*wild = false;
	while (r->p < r->end && !ends_word(*r->p) && !(name && *r->p == ':'))
	{
		if (*r->p == '\\' && r->p + 1 < r->end)
		{
			if (raw)
				out[n++] = '\\';
			r->p++;
		}
		else if (*r->p == '*' || *r->p == '?')
			*wild = true;
		out[n++] = *r->p++;
	}
	return (sl_str){out, n};
}

static bool
read_quoted(reader *r, sl_str *result)
{
	const char *at = r->p++;
	char *out = sl_alloc(r->arena, (size_t) (r->end - r->p) + 1);
	size_t n = 0;

	while (r->p < r->end && *r->p != '"')
	{
		if (*r->p == '\\' && r->p + 1 < r->end)
			r->p++;
		out[n++] = *r->p++;
	}
	if (r->p == r->end)
		return fail(r, at, "the quotation has no end", "Close it with \", or write \\\" for one that is part of the text.");
	r->p++;
	*result = (sl_str){out, n};
	return true;
}

/* An end of a range; "*" is none. */
static bool
read_end(reader *r, sl_query_end *end)
{
	bool wild;

	skip_space(r);
	if (r->p < r->end && *r->p == '"')
		return read_quoted(r, &end->text);
	end->text = read_word(r, false, false, &wild);
	if (end->text.n == 0)
		return fail(r, r->p, "a range lacks an end", "Write [1 TO 5], {1 TO 5} for one without its ends, or * for no end.");
	if (sl_str_is(end->text, "*"))
		end->text = (sl_str){0};
	return true;
}

static sl_query *
read_range(reader *r, sl_str field)
{
	static const char hint[] = "Write [1 TO 5], {1 TO 5} for one without its ends, or * for no end.";
	sl_query *q = new_query(r, SL_QUERY_RANGE, field);
	const char *at = r->p;

	if (!q)
		return NULL;
	q->low.included = *r->p++ == '[';
	if (!read_end(r, &q->low))
		return NULL;
	skip_space(r);
	if (!take_word(r, "TO"))
		return fail(r, r->p, "a range lacks TO", hint), NULL;
	if (!read_end(r, &q->high))
		return NULL;
	skip_space(r);
	if (r->p == r->end || (*r->p != ']' && *r->p != '}'))
		return fail(r, at, "a range is not closed", hint), NULL;
	q->high.included = *r->p++ == ']';
	return q;
}

static sl_query *
read_comparison(reader *r, sl_str field)
{
	sl_query *q = new_query(r, SL_QUERY_RANGE, field);
	bool above = *r->p++ == '>';
	sl_query_end *end;

	if (!q)
		return NULL;
	end = above ? &q->low : &q->high;
	end->included = take_sign(r, "=");
	return read_end(r, end) ? q : NULL;
}

static sl_query *
read_group(reader *r, sl_str field)
{
	const char *at = r->p++;
	sl_query *q;

	if (++r->depth > SL_QUERY_DEPTH)
	{
		fail(r, at, "the query is nested too deep", "Parts may be 100 deep in one another.");
		r->err->sqlstate = "54001";
		return NULL;
	}
	q = read_either(r, field);
	if (!q)
		return NULL;
	skip_space(r);
	if (r->p == r->end || *r->p != ')')
		return fail(r, at, "the parenthesis is not closed", "Write ) behind the last part, or \\( for one that is part of a word."), NULL;
	r->p++;
	r->depth--;
	return q;
}

/* ~ and ^ behind a word or a phrase mean something to Lucene. */
static bool
refuse_suffix(reader *r, const char *from)
{
	const char *s = r->p;

	while (s > from && ((s[-1] >= '0' && s[-1] <= '9') || s[-1] == '.'))
		s--;
	if (s > from + 1 && (s[-1] == '~' || s[-1] == '^') && s[-2] != '\\')
		return fail(r, s - 1, s[-1] == '~' ? "words that are like another can't be searched for" : "parts of a query can't be weighed",
					s[-1] == '~' ? "Use * and ?; \\~ is the character." : "The newest logs come first; \\^ is the character.");
	return true;
}

static sl_query *
read_value(reader *r, sl_str field)
{
	const char *at = r->p;
	bool wild;
	sl_query *q;

	if (r->p == r->end)
		return fail(r, at, "a value is missing", "Write field:value; \\: is the character."), NULL;
	if (*r->p == '(')
		return read_group(r, field);
	if (*r->p == '[' || *r->p == '{')
	{
		if (field.n == 0)
			return fail(r, at, "a range needs a field", "Write http.status_code:[500 TO 599]."), NULL;
		return read_range(r, field);
	}
	if ((*r->p == '>' || *r->p == '<') && field.n > 0)
		return read_comparison(r, field);
	if (*r->p == '/')
	{
		const char *s = r->p + 1;

		while (s < r->end && *s != '/' && !is_space(*s))
			s++;
		if (s < r->end && *s == '/' && s > r->p + 1 && (s + 1 == r->end || ends_word(s[1])))
			return fail(r, at, "regular expressions can't be searched for", "Use * and ?, or a quotation for a path: \"/api/\"."), NULL;
	}
	q = new_query(r, SL_QUERY_TERM, field);
	if (!q)
		return NULL;
	if (*r->p == '"')
	{
		q->kind = SL_QUERY_PHRASE;
		if (!read_quoted(r, &q->value))
			return NULL;
		if (r->p < r->end && (*r->p == '~' || *r->p == '^'))
			return fail(r, r->p, "a phrase has nothing behind it", "Words near one another can't be searched for: join them by AND."), NULL;
		return q;
	}
	q->value = read_word(r, false, false, &wild);
	if (q->value.n == 0)
		return fail(r, at, "a word is missing", "Write a word, \"a phrase\" or field:value."), NULL;
	if (!refuse_suffix(r, at))
		return NULL;
	if (wild)
	{
		r->p = at;
		q->value = read_word(r, false, true, &wild);
		q->kind = sl_str_is(q->value, "*") ? (field.n > 0 ? SL_QUERY_EXISTS : SL_QUERY_ALL) : SL_QUERY_PATTERN;
	}
	return q;
}

/* A field's name and its colon, if that is what comes. */
static bool
take_field(reader *r, sl_str *field)
{
	const char *at = r->p;
	bool wild;
	sl_str name = read_word(r, true, false, &wild);

	if (name.n > 0 && !wild && r->p < r->end && *r->p == ':')
	{
		r->p++;
		*field = name;
		return true;
	}
	r->p = at;
	return false;
}

static sl_query *
read_one(reader *r, sl_str field)
{
	bool negated = false;
	sl_query *q,
		*not ;
	const char *at;

	skip_space(r);
	at = r->p;
	for (;;)
	{
		if (take_word(r, "NOT") || (r->p + 1 < r->end && !is_space(r->p[1]) && (take_sign(r, "-") || take_sign(r, "!"))))
			negated = !negated;
		else if (r->p + 1 < r->end && !is_space(r->p[1]) && take_sign(r, "+"))
			continue;
		else
			break;
		skip_space(r);
	}
	if (r->p == r->end)
		return fail(r, at, "a part of the query is missing", "Behind AND, OR and NOT stands a word, \"a phrase\" or field:value."), NULL;
	(void) take_field(r, &field);
	if (sl_str_is(field, "_exists_"))
	{
		bool wild;

		q = new_query(r, SL_QUERY_EXISTS, read_word(r, false, false, &wild));
		if (q && q->field.n == 0)
			return fail(r, r->p, "_exists_ lacks a field", "Write _exists_:trace_id."), NULL;
	}
	else
		q = read_value(r, field);
	if (!q || !negated)
		return q;
	not = new_query(r, SL_QUERY_NOT, (sl_str){0});
	if (not )
		not ->first = q;
	return not ;
}

/* Parts that are joined by one word; a single one is itself. */
static sl_query *
join(reader *r, sl_query_kind kind, sl_query *first)
{
	sl_query *q;

	if (!first || !first->next)
		return first;
	q = new_query(r, kind, (sl_str){0});
	if (q)
		q->first = first;
	return q;
}

static bool
at_or(reader *r)
{
	const char *at = r->p;
	bool found = take_word(r, "OR") || take_sign(r, "||");

	r->p = at;
	return found;
}

static sl_query *
read_all(reader *r, sl_str field)
{
	sl_query *first = NULL,
			 **last = &first;

	for (;;)
	{
		*last = read_one(r, field);
		if (!*last)
			return NULL;
		last = &(*last)->next;
		skip_space(r);
		if (take_word(r, "AND") || take_sign(r, "&&"))
			continue;
		if (r->p == r->end || *r->p == ')' || at_or(r))
			return join(r, SL_QUERY_AND, first);
	}
}

static sl_query *
read_either(reader *r, sl_str field)
{
	sl_query *first = NULL,
			 **last = &first;

	do
	{
		*last = read_all(r, field);
		if (!*last)
			return NULL;
		last = &(*last)->next;
		skip_space(r);
	} while (take_word(r, "OR") || take_sign(r, "||"));
	return join(r, SL_QUERY_OR, first);
}

bool
sl_query_read(sl_str text, sl_arena *arena, sl_query **result, sl_error *err)
{
	reader r = {.arena = arena, .err = err, .start = text.p, .p = text.p, .end = text.p + text.n};

	memset(err, 0, sizeof(*err));
	skip_space(&r);
	if (r.p == r.end)
	{
		*result = new_query(&r, SL_QUERY_ALL, (sl_str){0});
		return true;
	}
	*result = read_either(&r, (sl_str){0});
	if (!*result)
		return false;
	skip_space(&r);
	if (r.p < r.end)
		return fail(&r, r.p, "there is no parenthesis to close", "\\) is the character.");
	return true;
}
