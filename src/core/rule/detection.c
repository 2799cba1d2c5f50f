/*
 * detection.c
 *	  Selections: fields with modifiers and their values, to predicates.
 *
 * Modifiers work from left to right.  Those that change a text (wildcards,
 * encodings, placeholders) turn each value into one or more globs, of which
 * one must match; the others say which test is made.
 */
#include "reader.h"
#include "../decode/decode.h"

#include <stdio.h>

const char *const sl_op_name[] = {"equals", "contains", "startswith", "endswith", "matches",
								  "lt", "lte", "gt", "gte", "exists", "is not null", "re", "cidr", "fieldref", "time"};

typedef enum modifier_kind
{
	M_CONTAINS,
	M_STARTSWITH,
	M_ENDSWITH,
	M_WINDASH,
	M_BASE64,
	M_BASE64OFFSET,
	M_WIDE,
	M_UTF16LE,
	M_UTF16BE,
	M_UTF16,
	M_EXPAND,
	M_RE,
	M_I,
	M_M,
	M_S,
	M_CIDR,
	M_FIELDREF,
	M_LT,
	M_LTE,
	M_GT,
	M_GTE,
	M_TIME_PARTS, /* SL_MINUTE and on */
	M_EXISTS = M_TIME_PARTS + SL_YEAR + 1,
	M_CASED,
	M_ALL,
	M_NEQ,
	MODIFIERS
} modifier_kind;

/* Which may stand together. */
enum
{
	AFFIX = 1,
	ENCODE = 2,
	EXPAND = 4,
	RE = 8,
	RE_FLAG = 16,
	CIDR = 32,
	FIELDREF = 64,
	COMPARE = 128,
	TIME = 256,
	EXISTS = 512,
	CASED = 1024,
	ALL = 2048,
	NEQ = 4096
};

static const struct
{
	const char *name;
	unsigned group;
	unsigned with;
} modifiers[MODIFIERS] = {
#define TEXT_WITH (AFFIX | ENCODE | EXPAND | CASED | ALL | NEQ)
	[M_CONTAINS] = {"contains", AFFIX, TEXT_WITH | RE | RE_FLAG | FIELDREF},
	[M_STARTSWITH] = {"startswith", AFFIX, TEXT_WITH | RE | RE_FLAG | FIELDREF},
	[M_ENDSWITH] = {"endswith", AFFIX, TEXT_WITH | RE | RE_FLAG | FIELDREF},
	[M_WINDASH] = {"windash", ENCODE, TEXT_WITH},
	[M_BASE64] = {"base64", ENCODE, TEXT_WITH},
	[M_BASE64OFFSET] = {"base64offset", ENCODE, TEXT_WITH},
	[M_WIDE] = {"wide", ENCODE, TEXT_WITH},
	[M_UTF16LE] = {"utf16le", ENCODE, TEXT_WITH},
	[M_UTF16BE] = {"utf16be", ENCODE, TEXT_WITH},
	[M_UTF16] = {"utf16", ENCODE, TEXT_WITH},
	[M_EXPAND] = {"expand", EXPAND, TEXT_WITH | CIDR},
	[M_RE] = {"re", RE, AFFIX | RE_FLAG | CASED | ALL | NEQ},
	[M_I] = {"i", RE_FLAG, AFFIX | RE | RE_FLAG | ALL | NEQ},
	[M_M] = {"m", RE_FLAG, AFFIX | RE | RE_FLAG | CASED | ALL | NEQ},
	[M_S] = {"s", RE_FLAG, AFFIX | RE | RE_FLAG | CASED | ALL | NEQ},
	[M_CIDR] = {"cidr", CIDR, EXPAND | ALL | NEQ},
	[M_FIELDREF] = {"fieldref", FIELDREF, AFFIX | CASED | ALL | NEQ},
	[M_LT] = {"lt", COMPARE, TIME},
	[M_LTE] = {"lte", COMPARE, TIME},
	[M_GT] = {"gt", COMPARE, TIME},
	[M_GTE] = {"gte", COMPARE, TIME},
	[M_TIME_PARTS +
		SL_MINUTE] = {"minute", TIME, COMPARE | ALL | NEQ},
	[M_TIME_PARTS +
		SL_HOUR] = {"hour", TIME, COMPARE | ALL | NEQ},
	[M_TIME_PARTS +
		SL_DAY] = {"day", TIME, COMPARE | ALL | NEQ},
	[M_TIME_PARTS +
		SL_WEEK] = {"week", TIME, COMPARE | ALL | NEQ},
	[M_TIME_PARTS +
		SL_MONTH] = {"month", TIME, COMPARE | ALL | NEQ},
	[M_TIME_PARTS +
		SL_YEAR] = {"year", TIME, COMPARE | ALL | NEQ},
	[M_EXISTS] = {"exists", EXISTS, 0},
	[M_CASED] = {"cased", CASED, TEXT_WITH | RE | RE_FLAG | FIELDREF},
	[M_ALL] = {"all", ALL, AFFIX | ENCODE | EXPAND | RE | RE_FLAG | CIDR | FIELDREF | TIME | CASED | NEQ},
	[M_NEQ] = {"neq", NEQ, AFFIX | ENCODE | EXPAND | RE | RE_FLAG | CIDR | FIELDREF | TIME | CASED | ALL},
};

/* What one key asks: "field|contains|all". */
typedef struct field_test
{
	const sl_entry *entry;
	sl_str field; /* empty: the whole record */
	modifier_kind kinds[MODIFIERS];
	size_t n;
	unsigned groups;
	modifier_kind test; /* M_RE … M_EXISTS, or M_CONTAINS for text */
	uint8_t flags;		/* of M_RE */
	uint8_t how;		/* of M_FIELDREF and times: an sl_op */
	bool cased;
} field_test;

/* Most ways to write one value (windash: five to the number of its flags). */
#define MAX_ALTERNATIVES 3125

static bool
fail_modifier(sl_reader *r, const sl_entry *entry, sl_str name, const char *sqlstate, const char *format)
{
	int col = sl_text_col(entry->col, entry->text_col, entry->key, (size_t) (name.p - entry->key.p));

	return sl_fail_at(r->err, entry->line, col, sqlstate, format, SL_STR_FMT(name));
}

static bool
add_modifier(sl_reader *r, const sl_entry *entry, sl_str name, field_test *t)
{
	modifier_kind kind = 0;

	while (kind < MODIFIERS && !sl_str_is(name, modifiers[kind].name))
		kind++;
	if (kind == MODIFIERS)
	{
		sl_buf known;

		sl_buf_init(&known, r->arena, 256);
		for (kind = 0; kind < MODIFIERS; kind++)
			sl_buf_printf(&known, "%s%s", kind ? ", " : "", modifiers[kind].name);
		fail_modifier(r, entry, name, SL_SYNTAX, "unknown modifier \"%.*s\"");
		sl_error_hint(r->err, "Sigma 2.1 has: %s.", known.p);
		return false;
	}
	for (size_t i = 0; i < t->n; i++)
	{
		if (t->kinds[i] == kind)
			return fail_modifier(r, entry, name, SL_SYNTAX, "modifier \"%.*s\" stands twice");
		if (!(modifiers[kind].with & modifiers[t->kinds[i]].group) ||
			(modifiers[kind].group == modifiers[t->kinds[i]].group && (modifiers[kind].group & (COMPARE | TIME))))
		{
			fail_modifier(r, entry, name, SL_SYNTAX, "modifier \"%.*s\" can't stand here");
			sl_error_detail(r->err, "\"%s\" and \"%s\" exclude one another.", modifiers[t->kinds[i]].name, modifiers[kind].name);
			return false;
		}
	}
	if (modifiers[kind].group == RE_FLAG && !(t->groups & RE))
	{
		fail_modifier(r, entry, name, SL_SYNTAX, "modifier \"%.*s\" needs \"re\" before it");
		sl_error_hint(r->err, "Write field|re|%s.", modifiers[kind].name);
		return false;
	}
	if (modifiers[kind].group == COMPARE && t->n > 0 && !(t->groups & TIME))
		return fail_modifier(r, entry, name, SL_SYNTAX, "modifier \"%.*s\" can't stand here");
	t->kinds[t->n++] = kind;
	t->groups |= modifiers[kind].group;
	return true;
}

static bool
read_modifiers(sl_reader *r, const sl_entry *entry, field_test *t)
{
	sl_str key = entry->key;
	const char *bar = memchr(key.p, '|', key.n);
	size_t at = bar ? (size_t) (bar - key.p) : key.n;

	memset(t, 0, sizeof(*t));
	t->entry = entry;
	t->field = (sl_str){key.p, at};
	while (at < key.n)
	{
		sl_str name = {key.p + at + 1, 0};
		const char *next = memchr(name.p, '|', key.n - at - 1);

		name.n = next ? (size_t) (next - name.p) : key.n - at - 1;
		at += 1 + name.n;
		if (!add_modifier(r, entry, name, t))
			return false;
	}
	t->test = M_CONTAINS;
	t->how = SL_OP_EQUALS;
	for (size_t i = 0; i < t->n; i++)
	{
		modifier_kind kind = t->kinds[i];

		if (kind >= M_TIME_PARTS && kind <= M_EXISTS)
			t->test = kind;
		else if (kind == M_RE || kind == M_CIDR || kind == M_FIELDREF)
			t->test = kind;
		else if (modifiers[kind].group == RE_FLAG)
			t->flags |= kind == M_I ? SL_REGEX_IGNORE_CASE : kind == M_M ? SL_REGEX_MULTILINE
																		 : SL_REGEX_DOTALL;
		else if (modifiers[kind].group == COMPARE)
		{
			t->how = (uint8_t) (SL_OP_LT + (kind - M_LT));
			if (!(t->groups & TIME))
				t->test = kind;
		}
		else if (kind == M_CASED)
			t->cased = true;
	}
	if (t->groups & FIELDREF)
	{
		bool before = false,
			 after = false;

		for (size_t i = 0; i < t->n; i++)
		{
			before |= t->kinds[i] == M_CONTAINS || t->kinds[i] == M_ENDSWITH;
			after |= t->kinds[i] == M_CONTAINS || t->kinds[i] == M_STARTSWITH;
		}
		t->how = before && after ? SL_OP_CONTAINS : before ? SL_OP_ENDSWITH
												: after	   ? SL_OP_STARTSWITH
														   : SL_OP_EQUALS;
	}
	if (t->field.n == 0 && (!bar || (t->groups & (CIDR | FIELDREF | COMPARE | TIME | EXISTS))))
	{
		sl_fail_entry(r, entry, SL_SYNTAX, "key \"%.*s\" names no field");
		sl_error_hint(r->err, "To search the whole record, write \"|all\" or a list of texts.");
		return false;
	}
	return true;
}

static sl_expr *
new_predicate(sl_reader *r, const sl_node *where, const field_test *t, sl_op op)
{
	sl_expr *expr = sl_expr_new(r->arena, SL_EXPR_PREDICATE);

	if (++r->predicates > SL_RULE_MAX_PREDICATES)
	{
		sl_fail_at(r->err, where->line, where->col, SL_LIMIT_EXCEEDED,
				   "rule has more than %d values", SL_RULE_MAX_PREDICATES);
		return NULL;
	}
	expr->predicate = sl_alloc0(r->arena, sizeof(sl_predicate));
	expr->predicate->field = t->field;
	expr->predicate->keyword = t->field.n == 0;
	expr->predicate->op = op;
	return expr;
}

static sl_expr *
negate(sl_reader *r, sl_expr *child)
{
	sl_expr *expr;

	if (!child)
		return NULL;
	expr = sl_expr_new(r->arena, SL_EXPR_NOT);
	sl_expr_add(r->arena, expr, child);
	return expr;
}

/* The globs that a value has become so far. */
typedef struct globs
{
	sl_str *v;
	size_t n;
	size_t cap;
	bool bytes; /* UTF-16: no text before base64 makes it one */
} globs;

static bool
too_many(sl_reader *r, const sl_node *value)
{
	sl_fail_at(r->err, value->line, value->col, SL_TOO_COMPLEX, "value stands for too many texts");
	sl_error_detail(r->err, "Its modifiers make more than %d of it.", MAX_ALTERNATIVES);
	sl_error_hint(r->err, "With windash each flag multiplies by five: search for the flags one by one, with \"all\".");
	return false;
}

/* The placeholder that begins at an offset: its values and its end; NULL: none does. */
static const sl_node *
placeholder_at(sl_reader *r, const sl_node *value, sl_str glob, size_t at, size_t *end)
{
	const char *close = glob.p[at] == '%' ? memchr(glob.p + at + 1, '%', glob.n - at - 1) : NULL;
	sl_str name = {glob.p + at + 1, close ? (size_t) (close - glob.p) - at - 1 : 0};
	const sl_node *values;

	if (name.n == 0)
		return NULL;
	*end = at + name.n + 2;
	values = r->definitions ? sl_definitions_placeholder(r->definitions, name) : NULL;
	if (!values)
	{
		sl_fail_at(r->err, value->line, value->col, SL_UNDEFINED_OBJECT,
				   "placeholder \"%.*s\" is not defined", SL_STR_FMT(name));
		sl_error_hint(r->err, "Add a row to stacklens.placeholders (offline: --placeholders FILE), then import the rule again.");
	}
	return values;
}

/* Is the character at i escaped, or an escape, so that no placeholder begins there? */
static bool
escapes(sl_str written, size_t i)
{
	return written.p[i] == '\\' && i + 1 < written.n && (written.p[i + 1] == '\\' || written.p[i + 1] == '%');
}

/*
 * Replaces %name% by each of its values; "\%" is a plain percent sign.  Takes
 * the text as written, gives globs.
 */
static bool
expand(sl_reader *r, const sl_node *value, globs *g)
{
	sl_str written = g->v[0];
	sl_str *made;
	size_t total = 1,
		   end;

	for (size_t i = 0; i < written.n; i++)
	{
		const sl_node *values;

		if (escapes(written, i))
			i++;
		else if ((values = placeholder_at(r, value, written, i, &end)))
		{
			total *= values->kind == SL_LIST ? values->n : 1;
			g->n = 0;
			if (total > MAX_ALTERNATIVES)
				return too_many(r, value);
			i = end - 1;
		}
		else if (r->err->message[0])
			return false;
	}
	if (g->n > 0)
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "value holds no placeholder to expand");
		sl_error_hint(r->err, "A placeholder is a name between percent signs: %%Servers%%.");
		return false;
	}
	made = sl_alloc(r->arena, total * sizeof(sl_str));
	for (size_t k = 0; k < total; k++)
	{
		size_t digits = k;
		sl_buf text,
			plain;

		sl_buf_init(&text, r->arena, written.n + 16);
		sl_buf_init(&plain, r->arena, written.n + 1);
		for (size_t i = 0; i <= written.n; i++)
		{
			bool pair = i < written.n && escapes(written, i);
			const sl_node *values = i < written.n && !pair ? placeholder_at(r, value, written, i, &end) : NULL;

			if (values || i == written.n)
			{
				sl_str before = sl_glob_read(r->arena, (sl_str){plain.p, plain.n});

				sl_buf_add(&text, before.p, before.n);
				plain.n = 0;
			}
			if (values)
			{
				size_t n = values->kind == SL_LIST ? values->n : 1;
				const sl_node *item = values->kind == SL_LIST ? values->entries[digits % n].value : values;
				sl_str one = sl_glob_read(r->arena, item->text);

				sl_buf_add(&text, one.p, one.n);
				digits /= n;
				i = end - 1;
			}
			else if (pair)
			{
				if (written.p[i + 1] == '\\')
					sl_buf_putc(&plain, '\\');
				sl_buf_putc(&plain, written.p[++i]);
			}
			else if (i < written.n)
				sl_buf_putc(&plain, written.p[i]);
		}
		made[k] = (sl_str){text.p, text.n};
	}
	g->v = made;
	g->n = total;
	return true;
}

/* One modifier on one text, which becomes one or more. */
static bool
transform(sl_reader *r, const sl_node *value, modifier_kind kind, sl_str text, bool bytes, sl_str **out, size_t *n)
{
	*out = sl_alloc(r->arena, 3 * sizeof(sl_str));
	*n = 1;
	/* in UTF-16, any byte is only itself */
	if (kind != M_WINDASH && modifiers[kind].group == ENCODE && !bytes && sl_glob_has_wildcards(text))
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "wildcards can't be encoded by \"%s\"", modifiers[kind].name);
		sl_error_hint(r->err, "Put contains, startswith and endswith after the encoding; write \\* for a literal asterisk.");
		return false;
	}
	switch (kind)
	{
		case M_CONTAINS:
			**out = sl_glob_widen(r->arena, text, true, true);
			return true;
		case M_STARTSWITH:
			**out = sl_glob_widen(r->arena, text, false, true);
			return true;
		case M_ENDSWITH:
			**out = sl_glob_widen(r->arena, text, true, false);
			return true;
		case M_WINDASH:
			*n = sl_windash(r->arena, text, MAX_ALTERNATIVES, out);
			return *n <= MAX_ALTERNATIVES || too_many(r, value);
		case M_BASE64:
			**out = sl_base64(r->arena, (const unsigned char *) text.p, text.n);
			return true;
		case M_BASE64OFFSET:
			sl_encode_base64_offsets(r->arena, text, *out);
			*n = 3;
			for (int i = 0; i < 3; i++)
				if ((*out)[i].n == 0)
				{
					sl_fail_at(r->err, value->line, value->col, SL_SYNTAX,
							   "value is too short for \"base64offset\"");
					sl_error_hint(r->err, "Of fewer than three bytes nothing remains the same in every offset.");
					return false;
				}
			return true;
		case M_WIDE:
		case M_UTF16LE:
		case M_UTF16BE:
		case M_UTF16:
			**out = sl_encode_utf16(r->arena, text, kind == M_UTF16BE, kind == M_UTF16);
			return true;
		default:
			**out = text;
			return true;
	}
}

static bool
apply_modifiers(sl_reader *r, const field_test *t, const sl_node *value, globs *g)
{
	/* placeholders stand in the text as it is written: wherever "expand" stands, it comes first */
	if ((t->groups & EXPAND) && !expand(r, value, g))
		return false;
	for (size_t i = 0; i < t->n; i++)
	{
		modifier_kind kind = t->kinds[i];
		globs next = {0};

		if (!(modifiers[kind].group & (AFFIX | ENCODE)))
			continue;
		if (g->bytes && kind != M_BASE64 && kind != M_BASE64OFFSET)
			break; /* refused below */
		for (size_t k = 0; k < g->n; k++)
		{
			sl_str *made;
			size_t n;

			if (!transform(r, value, kind, g->v[k], g->bytes, &made, &n))
				return false;
			if (next.n + n > MAX_ALTERNATIVES)
				return too_many(r, value);
			/* each may become another number of texts: "-a" five, "-a -b" twenty-five */
			for (size_t one = 0; one < n; one++)
			{
				SL_ROOM(r->arena, next.v, next.n, next.cap, n);
				next.v[next.n++] = made[one];
			}
		}
		g->v = next.v;
		g->n = next.n;
		g->cap = next.cap;
		if (kind == M_BASE64 || kind == M_BASE64OFFSET)
			g->bytes = false;
		else if (kind >= M_WIDE && kind <= M_UTF16)
			g->bytes = true;
	}
	if (g->bytes)
	{
		sl_fail_entry(r, t->entry, SL_SYNTAX, "\"%.*s\" searches text for UTF-16");
		sl_error_detail(r->err, "The text of records is UTF-8 without NUL: no record could ever match.");
		sl_error_hint(r->err, "Encode it further: wide|base64offset|contains.");
		return false;
	}
	return true;
}

/* Text, numbers and booleans: the tests that compare texts. */
static sl_expr *
read_text_value(sl_reader *r, const field_test *t, const sl_node *value)
{
	bool keyword = t->field.n == 0;
	sl_str text = sl_value_text(r->arena, &value->value);
	sl_str plain;
	globs g = {.v = &plain, .n = 1};
	sl_expr *either = NULL,
			*expr = NULL;

	if (text.n == 0 && keyword)
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "empty text is part of any text");
		return NULL;
	}
	/* where placeholders stand, "\\%" still has to be told from "\\\\%" */
	plain = t->groups & EXPAND ? text : sl_glob_read(r->arena, text);
	if (!apply_modifiers(r, t, value, &g))
		return NULL;
	for (size_t i = 0; i < g.n; i++)
	{
		sl_str glob = keyword ? sl_glob_widen(r->arena, g.v[i], true, true) : g.v[i];

		expr = new_predicate(r, value, t, SL_OP_EQUALS);
		if (!expr)
			return NULL;
		sl_glob_classify(r->arena, glob, t->cased, expr->predicate);
		if (g.n > 1)
		{
			if (!either)
				either = sl_expr_new(r->arena, SL_EXPR_OR);
			sl_expr_add(r->arena, either, expr);
		}
	}
	return either ? either : expr;
}

static sl_expr *
read_regex(sl_reader *r, const field_test *t, const sl_node *value)
{
	sl_expr *expr;
	size_t offset;
	sl_regex *regex;

	if (value->text.n == 0)
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "an empty regular expression is found in any text");
		return NULL;
	}
	regex = sl_regex_new(value->text, t->flags, r->err, &offset);
	if (!regex)
	{
		r->err->line = value->line;
		r->err->col = sl_text_col(value->col, value->text_col, value->text, offset);
		return NULL;
	}
	sl_regex_free(regex);
	expr = new_predicate(r, value, t, SL_OP_REGEX);
	if (expr)
	{
		expr->predicate->text = value->text;
		expr->predicate->how = t->flags;
		expr->predicate->cased = true;
	}
	return expr;
}

static sl_expr *
read_cidr(sl_reader *r, const field_test *t, const sl_node *value)
{
	sl_str plain = value->text;
	globs g = {.v = &plain, .n = 1};
	sl_expr *either = sl_expr_new(r->arena, SL_EXPR_OR);

	if (!apply_modifiers(r, t, value, &g))
		return NULL;
	for (size_t i = 0; i < g.n; i++)
	{
		int bits;
		sl_address network;
		sl_expr *expr;

		if (!sl_network_read(g.v[i], &network, &bits))
		{
			sl_fail_at(r->err, value->line, value->col, SL_INVALID_TEXT, "\"%.*s\" is not a network", SL_STR_FMT(g.v[i]));
			sl_error_hint(r->err, "Write 10.0.0.0/8 or fe80::/10.");
			return NULL;
		}
		expr = new_predicate(r, value, t, SL_OP_CIDR);
		if (!expr)
			return NULL;
		expr->predicate->network = network;
		expr->predicate->how = (uint8_t) bits;
		expr->predicate->text = g.v[i];
		sl_expr_add(r->arena, either, expr);
	}
	return either->n == 1 ? either->children[0] : either;
}

static bool
read_number(sl_reader *r, const field_test *t, const sl_node *value, double *number)
{
	if (value->value.type == SL_INT)
		*number = (double) value->value.u.i;
	else if (value->value.type == SL_DOUBLE)
		*number = value->value.u.d;
	else
		return sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "\"%.*s\" compares with a number, not with %s",
						  SL_STR_FMT(t->entry->key), sl_node_describe(value));
	return true;
}

static sl_expr *
read_time_part(sl_reader *r, const field_test *t, const sl_node *value)
{
	static const int lowest[] = {0, 0, 1, 1, 1, 1},
					 highest[] = {59, 23, 31, 53, 12, 9999};
	sl_time_part part = (sl_time_part) (t->test - M_TIME_PARTS);
	double number = 0;
	sl_expr *expr;

	if (!read_number(r, t, value, &number))
		return NULL;
	if (number != (double) (int) number || number < lowest[part] || number > highest[part])
	{
		sl_fail_at(r->err, value->line, value->col, SL_INVALID_PARAMETER, "\"%.*s\" is no %s",
				   SL_STR_FMT(value->text), sl_time_part_name[part]);
		sl_error_hint(r->err, "It is a whole number from %d to %d.", lowest[part], highest[part]);
		return NULL;
	}
	expr = new_predicate(r, value, t, SL_OP_TIME_PART);
	if (expr)
	{
		expr->predicate->part = part;
		expr->predicate->how = t->how;
		expr->predicate->number = number;
	}
	return expr;
}

static sl_expr *
read_fieldref(sl_reader *r, const field_test *t, const sl_node *value)
{
	sl_expr *expr;

	if (value->value.type != SL_STRING || value->text.n == 0)
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "\"%.*s\" takes the name of a field, not %s",
				   SL_STR_FMT(t->entry->key), value->text.n ? sl_node_describe(value) : "empty text");
		return NULL;
	}
	expr = new_predicate(r, value, t, SL_OP_FIELDREF);
	if (expr)
	{
		expr->predicate->text = value->text;
		expr->predicate->how = t->how;
		expr->predicate->cased = t->cased;
	}
	return expr;
}

/* One value of one field (of the whole record, where the field is empty). */
static sl_expr *
read_value(sl_reader *r, const field_test *t, const sl_node *value)
{
	sl_expr *expr;

	if (value->kind != SL_SCALAR)
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX,
				   "value of \"%.*s\" is %s", SL_STR_FMT(t->entry->key), sl_node_describe(value));
		sl_error_hint(r->err, "A field takes a text, a number, a boolean, null, or a list of these.");
		return NULL;
	}
	if (t->test == M_EXISTS)
	{
		if (value->value.type != SL_BOOL)
		{
			sl_fail_at(r->err, value->line, value->col, SL_SYNTAX,
					   "\"exists\" takes true or false, not %s", sl_node_describe(value));
			return NULL;
		}
		expr = new_predicate(r, value, t, SL_OP_EXISTS);
		return value->value.u.b ? expr : negate(r, expr);
	}
	if (t->test >= M_LT && t->test <= M_GTE)
	{
		double number = 0;

		if (!read_number(r, t, value, &number))
			return NULL;
		expr = new_predicate(r, value, t, (sl_op) t->how);
		if (expr)
			expr->predicate->number = number;
		return expr;
	}
	if (value->value.type == SL_NULL)
	{
		if (t->field.n == 0 || (t->groups & ~(unsigned) (ALL | NEQ)))
		{
			sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "null can't be searched for in text");
			return NULL;
		}
		return negate(r, new_predicate(r, value, t, SL_OP_NOT_NULL));
	}
	switch (t->test)
	{
		case M_RE:
			return read_regex(r, t, value);
		case M_CIDR:
			return read_cidr(r, t, value);
		case M_FIELDREF:
			return read_fieldref(r, t, value);
		case M_CONTAINS:
			return read_text_value(r, t, value);
		default:
			return read_time_part(r, t, value);
	}
}

/* "neq": there, and none of the values. */
static sl_expr *
differs(sl_reader *r, const field_test *t, const sl_node *where, sl_expr *equal)
{
	sl_expr *both,
		*present;

	if (!equal || !(t->groups & NEQ))
		return equal;
	equal = negate(r, equal);
	if (t->field.n == 0)
		return equal;
	present = new_predicate(r, where, t, SL_OP_NOT_NULL);
	if (!present)
		return NULL;
	both = sl_expr_new(r->arena, SL_EXPR_AND);
	sl_expr_add(r->arena, both, present);
	sl_expr_add(r->arena, both, equal);
	return both;
}

static sl_expr *
read_field(sl_reader *r, const sl_entry *entry)
{
	const sl_node *value = entry->value;
	field_test t;
	sl_expr *expr;

	if (!read_modifiers(r, entry, &t))
		return NULL;
	if (value->kind != SL_LIST)
		return differs(r, &t, value, read_value(r, &t, value));
	if (value->n == 0)
	{
		sl_fail_entry(r, entry, SL_SYNTAX, "list of values of \"%.*s\" is empty");
		return NULL;
	}
	expr = sl_expr_new(r->arena, (t.groups & ALL) && !(t.groups & NEQ) ? SL_EXPR_AND : SL_EXPR_OR);
	for (size_t i = 0; i < value->n; i++)
	{
		sl_expr *child = read_value(r, &t, value->entries[i].value);

		if (!child)
			return NULL;
		sl_expr_add(r->arena, expr, child);
	}
	return differs(r, &t, value, expr);
}

/* Map = and; list = or; plain values = keywords. */
sl_expr *
sl_selection_read(sl_reader *r, const sl_entry *entry, const sl_node *node)
{
	static const sl_entry keyword = {.key = {"keywords", 8}};
	field_test whole_record = {.entry = &keyword, .test = M_CONTAINS};
	sl_expr *expr;

	if (node->kind == SL_SCALAR)
		return read_value(r, &whole_record, node);
	if (node->n == 0)
	{
		sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "selection \"%.*s\" is empty", SL_STR_FMT(entry->key));
		return NULL;
	}
	expr = sl_expr_new(r->arena, node->kind == SL_MAP ? SL_EXPR_AND : SL_EXPR_OR);
	for (size_t i = 0; i < node->n; i++)
	{
		const sl_node *item = node->entries[i].value;
		sl_expr *child;

		if (node->kind == SL_LIST && item->kind == SL_LIST)
		{
			sl_fail_at(r->err, item->line, item->col, SL_SYNTAX,
					   "selection \"%.*s\" holds a list within a list", SL_STR_FMT(entry->key));
			return NULL;
		}
		child = node->kind == SL_MAP ? read_field(r, &node->entries[i]) : sl_selection_read(r, entry, item);
		if (!child)
			return NULL;
		sl_expr_add(r->arena, expr, child);
	}
	return expr;
}

static bool
is_condition_text(sl_reader *r, const sl_node *node)
{
	return (node->kind == SL_SCALAR && node->value.type == SL_STRING) ||
		   sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "a condition is text, not %s", sl_node_describe(node));
}

sl_expr *
sl_detection_read(sl_reader *r, const sl_entry *detection, const char *const *other_keys)
{
	const sl_node *map = detection->value;
	const sl_node *condition = NULL;
	sl_selections selections = {0};
	sl_expr *either;

	if (map->kind != SL_MAP)
	{
		sl_fail_at(r->err, map->line, map->col, SL_SYNTAX, "\"%.*s\" is %s", SL_STR_FMT(detection->key), sl_node_describe(map));
		sl_error_hint(r->err, "It is a map of selections and a condition.");
		return NULL;
	}
	selections.names = sl_alloc(r->arena, (map->n + 1) * sizeof(sl_str));
	selections.exprs = sl_alloc(r->arena, (map->n + 1) * sizeof(sl_expr *));
	for (size_t i = 0; i < map->n; i++)
	{
		const sl_entry *entry = &map->entries[i];
		const char *const *other = other_keys;

		while (*other && !sl_str_is(entry->key, *other))
			other++;
		if (*other)
			continue;
		if (sl_str_is(entry->key, "condition"))
		{
			condition = entry->value;
			continue;
		}
		if (sl_str_is(entry->key, "timeframe"))
		{
			sl_fail_entry(r, entry, SL_NOT_SUPPORTED, "\"%.*s\" under \"detection\" belongs to the aggregations that Sigma has dropped");
			sl_error_hint(r->err, "Write a correlation rule with a timespan.");
			return NULL;
		}
		if (entry->key.n == 0)
		{
			sl_fail_entry(r, entry, SL_SYNTAX, "a selection has no name%.*s");
			return NULL;
		}
		selections.names[selections.n] = entry->key;
		selections.exprs[selections.n] = sl_selection_read(r, entry, entry->value);
		if (!selections.exprs[selections.n])
			return NULL;
		selections.exprs[selections.n++]->name = sl_strf(r->arena, "selection %.*s", SL_STR_FMT(entry->key));
	}
	if (!condition)
	{
		sl_fail_at(r->err, detection->line, detection->col, SL_SYNTAX, "%.*s has no condition", SL_STR_FMT(detection->key));
		sl_error_hint(r->err, "Add \"condition: selection\", with the name of a selection.");
		return NULL;
	}
	if (condition->kind != SL_LIST || condition->n == 0)
		return is_condition_text(r, condition) ? sl_condition_read(condition, &selections, r->arena, r->err) : NULL;
	either = sl_expr_new(r->arena, SL_EXPR_OR);
	for (size_t i = 0; i < condition->n; i++)
	{
		const sl_node *item = condition->entries[i].value;
		sl_expr *child = is_condition_text(r, item) ? sl_condition_read(item, &selections, r->arena, r->err) : NULL;

		if (!child)
			return NULL;
		sl_expr_add(r->arena, either, child);
	}
	return either;
}

static void
put_text(sl_buf *out, sl_str text)
{
	sl_buf_putc(out, '"');
	for (size_t i = 0; i < text.n; i++)
		sl_buf_putc(out, text.p[i] == SL_ANY_RUN ? '*' : text.p[i] == SL_ANY_ONE ? '?'
																				 : text.p[i]);
	sl_buf_putc(out, '"');
}

void
sl_predicate_describe(sl_buf *out, const sl_predicate *p)
{
	switch (p->op)
	{
		case SL_OP_LT:
		case SL_OP_LTE:
		case SL_OP_GT:
		case SL_OP_GTE:
			sl_buf_printf(out, "%.15g", p->number);
			break;
		case SL_OP_EXISTS:
		case SL_OP_NOT_NULL:
			break;
		case SL_OP_TIME_PART:
			sl_buf_printf(out, "%s %s %.15g", sl_time_part_name[p->part], sl_op_name[p->how], p->number);
			break;
		case SL_OP_FIELDREF:
			sl_buf_printf(out, "%s ", sl_op_name[p->how]);
			put_text(out, p->text);
			break;
		default:
			put_text(out, p->text);
	}
}
