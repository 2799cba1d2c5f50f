/*
 * search.c
 *	  A query of people's as a condition on stacklens.logs.
 *
 * No text of a query becomes part of the SQL: the condition names places in
 * an array of parameters, $1.  Words are looked for in messages as words,
 * without regard to case; all other fields are compared whole.
 */
#include "stacklens.h"

#include "core/search/query.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(stacklens_search_condition);

typedef struct writer
{
	StringInfoData sql;
	Datum *parameters;
	int n;
	int room;
} writer;

static const char *const text_columns[] = {"service", "level", "message", "trace_id", "span_id", "request_id", "error_code", "source"};
static const char *const number_columns[] = {"id", "severity_number"};
static const char *const time_columns[] = {"timestamp", "observed_timestamp", "arrived_at"};

/* Where a word may stand that was typed without a field, beside the message. */
static const char *const word_columns[] = {"service", "level", "error_code", "trace_id", "request_id"};

static const char *
one_of(sl_str name, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (sl_str_is(name, list[i]))
			return list[i];
	return NULL;
}

static void
put_parameter(writer *w, const char *p, size_t n)
{
	if (w->n == w->room)
	{
		w->room = Max(16, 2 * w->room);
		w->parameters = w->parameters ? repalloc(w->parameters, w->room * sizeof(Datum)) : palloc(w->room * sizeof(Datum));
	}
	w->parameters[w->n++] = PointerGetDatum(cstring_to_text_with_len(p, (int) n));
	appendStringInfo(&w->sql, "($1)[%d]", w->n);
}

static bool
is_word_byte(unsigned char c)
{
	return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A regular expression that finds a text as words: what is between them counts for nothing. */
static void
put_words(writer *w, sl_str text, bool pattern)
{
	StringInfoData re;
	bool between = false,
		 any = false;

	initStringInfo(&re);
	for (size_t i = 0; i < text.n; i++)
	{
		unsigned char c = (unsigned char) text.p[i];
		bool wild = pattern && (c == '*' || c == '?');

		if (pattern && c == '\\' && i + 1 < text.n)
			c = (unsigned char) text.p[++i];
		if (!wild && !is_word_byte(c))
		{
			between = any;
			continue;
		}
		if (between)
			appendStringInfoString(&re, "\\M\\W+\\m");
		else if (!any)
			appendStringInfoString(&re, "\\m");
		between = false;
		any = true;
		if (wild)
			appendStringInfoString(&re, c == '*' ? "\\w*" : "\\w");
		else
			appendStringInfoChar(&re, (char) c);
	}
	if (any)
		appendStringInfoString(&re, "\\M");
	appendStringInfoString(&w->sql, "l.message ~* ");
	if (any)
		put_parameter(w, re.data, re.len);
	else
	{
		/* without a word in it, it is found as it stands */
		resetStringInfo(&re);
		appendStringInfoString(&re, "***=");
		appendBinaryStringInfo(&re, text.p, (int) text.n);
		put_parameter(w, re.data, re.len);
	}
}

/* A pattern of LIKE's. */
static void
put_like(writer *w, sl_str text)
{
	StringInfoData like;

	initStringInfo(&like);
	for (size_t i = 0; i < text.n; i++)
	{
		char c = text.p[i];

		if (c == '*' || c == '?')
		{
			appendStringInfoChar(&like, c == '*' ? '%' : '_');
			continue;
		}
		if (c == '\\' && i + 1 < text.n)
			c = text.p[++i];
		if (c == '%' || c == '_' || c == '\\')
			appendStringInfoChar(&like, '\\');
		appendStringInfoChar(&like, c);
	}
	put_parameter(w, like.data, like.len);
}

/* The values of a field that isn't a column, as an array of texts. */
static void
put_values(writer *w, sl_str field)
{
	static const sl_str resource = {"resource.", 9};
	bool of_resource = field.n > resource.n && memcmp(field.p, resource.p, resource.n) == 0;

	appendStringInfo(&w->sql, "stacklens_internal.log_values(l.%s, ", of_resource ? "resource" : "attributes");
	if (of_resource)
		put_parameter(w, field.p + resource.n, field.n - resource.n);
	else
		put_parameter(w, field.p, field.n);
	appendStringInfoString(&w->sql, ")");
}

/* Is it a number, as numeric takes it and a person writes it? */
static bool
is_number(sl_str s)
{
	size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');
	size_t digits = 0,
		   points = 0;

	for (; i < s.n; i++)
		if (s.p[i] >= '0' && s.p[i] <= '9')
			digits++;
		else if (s.p[i] == '.')
			points++;
		else
			return false;
	return digits > 0 && digits < 1000 && points <= 1;
}

static void
put_end(writer *w, const char *value, const sl_query_end *end, bool low, const char *type)
{
	if (end->text.p == NULL)
		return;
	appendStringInfo(&w->sql, " AND %s %s%s ", value, low ? ">" : "<", end->included ? "=" : "");
	put_parameter(w, end->text.p, end->text.n);
	appendStringInfoString(&w->sql, type);
}

static void
put_range(writer *w, const sl_query *q)
{
	const char *column = one_of(q->field, time_columns, lengthof(time_columns));
	const char *number = one_of(q->field, number_columns, lengthof(number_columns));
	const char *text = one_of(q->field, text_columns, lengthof(text_columns));
	bool numbers = (!q->low.text.p || is_number(q->low.text)) && (!q->high.text.p || is_number(q->high.text));
	const char *value,
		*type;

	if (number && !numbers)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("field \"%s\" is a number, which an end of the range isn't", number)));
	if (column || number)
	{
		type = column ? "::pg_catalog.timestamptz" : "::pg_catalog.numeric";
		value = psprintf("l.%s", column ? column : number);
		appendStringInfo(&w->sql, "(%s IS NOT NULL", value);
	}
	else
	{
		/* what is no number is not within numbers; texts go by their characters */
		type = numbers ? "::pg_catalog.numeric" : " COLLATE \"C\"";
		value = numbers ? "stacklens_internal.number_of(v)" : "v";
		appendStringInfoString(&w->sql, "EXISTS (SELECT FROM pg_catalog.unnest(");
		if (text)
			appendStringInfo(&w->sql, "ARRAY[l.%s]", text);
		else
			put_values(w, q->field);
		appendStringInfo(&w->sql, ") AS v WHERE %s IS NOT NULL", value);
	}
	put_end(w, value, &q->low, true, type);
	put_end(w, value, &q->high, false, type);
	appendStringInfoString(&w->sql, ")");
}

static void
put_word(writer *w, const sl_query *q)
{
	appendStringInfoString(&w->sql, "(");
	put_words(w, q->value, q->kind == SL_QUERY_PATTERN);
	for (int i = 0; i < lengthof(word_columns); i++)
	{
		appendStringInfo(&w->sql, " OR l.%s %s ", word_columns[i], q->kind == SL_QUERY_PATTERN ? "LIKE" : "=");
		if (q->kind == SL_QUERY_PATTERN)
			put_like(w, q->value);
		else
			put_parameter(w, q->value.p, q->value.n);
	}
	appendStringInfoString(&w->sql, ")");
}

static void
put_field(writer *w, const sl_query *q)
{
	const char *column = one_of(q->field, text_columns, lengthof(text_columns));
	const char *other = one_of(q->field, number_columns, lengthof(number_columns));
	bool like = q->kind == SL_QUERY_PATTERN;

	if (!other)
		other = one_of(q->field, time_columns, lengthof(time_columns));
	if (column && strcmp(column, "message") == 0)
	{
		put_words(w, q->value, like);
		return;
	}
	if (!column && !other)
	{
		if (like)
		{
			appendStringInfoString(&w->sql, "EXISTS (SELECT FROM pg_catalog.unnest(");
			put_values(w, q->field);
			appendStringInfoString(&w->sql, ") AS v WHERE v LIKE ");
			put_like(w, q->value);
			appendStringInfoString(&w->sql, ")");
			return;
		}
		put_parameter(w, q->value.p, q->value.n);
		appendStringInfoString(&w->sql, " = ANY (");
		put_values(w, q->field);
		appendStringInfoString(&w->sql, ")");
		return;
	}
	if (other && !like && one_of(q->field, time_columns, lengthof(time_columns)))
	{
		appendStringInfo(&w->sql, "l.%s = ", other);
		put_parameter(w, q->value.p, q->value.n);
		appendStringInfoString(&w->sql, "::pg_catalog.timestamptz");
		return;
	}
	appendStringInfo(&w->sql, column ? "l.%s %s " : "l.%s::pg_catalog.text %s ", column ? column : other, like ? "LIKE" : "=");
	if (like)
		put_like(w, q->value);
	else
		put_parameter(w, q->value.p, q->value.n);
}

static void
put_exists(writer *w, sl_str field)
{
	const char *column = one_of(field, text_columns, lengthof(text_columns));

	if (!column)
		column = one_of(field, number_columns, lengthof(number_columns));
	if (!column)
		column = one_of(field, time_columns, lengthof(time_columns));
	if (column)
	{
		appendStringInfo(&w->sql, "l.%s IS NOT NULL", column);
		return;
	}
	appendStringInfoString(&w->sql, "pg_catalog.cardinality(");
	put_values(w, field);
	appendStringInfoString(&w->sql, ") > 0");
}

/* Parts are at most SL_QUERY_DEPTH deep. */
static void
put_query(writer *w, const sl_query *q)
{
	switch (q->kind)
	{
		case SL_QUERY_ALL:
			appendStringInfoString(&w->sql, "true");
			break;
		case SL_QUERY_NOT:
			/* a field that isn't there hasn't the value */
			appendStringInfoString(&w->sql, "COALESCE(NOT ");
			put_query(w, q->first);
			appendStringInfoString(&w->sql, ", true)");
			break;
		case SL_QUERY_AND:
		case SL_QUERY_OR:
			appendStringInfoString(&w->sql, "(");
			for (const sl_query *part = q->first; part; part = part->next)
			{
				put_query(w, part);
				if (part->next)
					appendStringInfoString(&w->sql, q->kind == SL_QUERY_AND ? " AND " : " OR ");
			}
			appendStringInfoString(&w->sql, ")");
			break;
		case SL_QUERY_EXISTS:
			put_exists(w, q->field);
			break;
		case SL_QUERY_RANGE:
			put_range(w, q);
			break;
		default:
			if (q->field.n == 0)
				put_word(w, q);
			else
			{
				appendStringInfoString(&w->sql, "(");
				put_field(w, q);
				appendStringInfoString(&w->sql, ")");
			}
	}
}

sl_query *
sl_query_argument(text *query, sl_arena *arena)
{
	sl_query *q;
	sl_error err;

	sl_server_arena(arena);
	if (!sl_query_read((sl_str){VARDATA_ANY(query), VARSIZE_ANY_EXHDR(query)}, arena, &q, &err))
		sl_ereport(&err);
	return q;
}

/* search_condition(query text) → SQL on a row l of stacklens.logs, and the array that is its $1. */
Datum
stacklens_search_condition(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	sl_query *q;
	writer w = {0};
	Datum result[2];
	bool nulls[2] = {0};
	TupleDesc desc;

	q = sl_query_argument(PG_GETARG_TEXT_PP(0), &arena);
	initStringInfo(&w.sql);
	put_query(&w, q);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result[0] = CStringGetTextDatum(w.sql.data);
	result[1] = PointerGetDatum(construct_array(w.parameters, w.n, TEXTOID, -1, false, TYPALIGN_INT));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, result, nulls)));
}
