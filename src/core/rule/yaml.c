/*
 * yaml.c
 *	  YAML to trees, through libyaml's events: the one file that includes
 *	  its header.
 *
 * Plain scalars get their types by YAML 1.2's core schema.  An alias shares
 * the node that it names and is counted with that node's whole size, so a
 * document can't grow by aliases of aliases; one that stands within its own
 * anchor is refused.
 */
#include "../node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

typedef struct anchor
{
	struct anchor *next;
	sl_str		name;
	sl_node    *node;
	size_t		weight;			/* values below it; 0 while it is open */
} anchor;

typedef struct reader
{
	yaml_parser_t parser;
	sl_arena   *arena;
	sl_error   *err;
	anchor	   *anchors;
	size_t		count;			/* values so far, aliases counted in full */
} reader;

static bool
fail_mark(reader *r, yaml_mark_t mark, const char *sqlstate, const char *what)
{
	return sl_fail_at(r->err, (int) mark.line + 1, (int) mark.column + 1, sqlstate,
					  "invalid YAML: %s", what);
}

static bool
next_event(reader *r, yaml_event_t *event)
{
	yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(p, event))
		return true;
	if (p->error == YAML_MEMORY_ERROR)
		return sl_fail(r->err, "53200", "out of memory");
	fail_mark(r, p->error == YAML_READER_ERROR ? p->mark : p->problem_mark, SL_SYNTAX,
			  p->problem ? p->problem : "syntax error");
	if (p->context)
		sl_error_detail(r->err, "%s that began at line %zu, column %zu.", p->context,
						p->context_mark.line + 1, p->context_mark.column + 1);
	return false;
}

static bool
is_one_of(sl_str s, const char *const *words)
{
	for (; *words; words++)
		if (sl_str_is(s, *words))
			return true;
	return false;
}

/* What a plain scalar means by the core schema. */
static void
resolve_plain(sl_str s, sl_value *value)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	static const char *const infinities[] = {".inf", ".Inf", ".INF", "+.inf", NULL};
	static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
	char		digits[64];
	char	   *end;
	size_t		i = 0;
	bool		integer = true;

	value->type = SL_STRING;
	value->u.s = s;
	if (is_one_of(s, nulls))
		value->type = SL_NULL;
	else if (is_one_of(s, trues) || is_one_of(s, falses))
	{
		value->type = SL_BOOL;
		value->u.b = is_one_of(s, trues);
	}
	else if (is_one_of(s, infinities) || is_one_of(s, nans))
	{
		value->type = SL_DOUBLE;
		value->u.d = is_one_of(s, nans) ? NAN : INFINITY;
	}
	if (value->type != SL_STRING || s.n == 0 || s.n >= sizeof(digits))
		return;

	memcpy(digits, s.p, s.n);
	digits[s.n] = '\0';
	if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'o') && s.n > 2 && s.n < 20)
	{
		long long	number;

		for (size_t k = 2; k < s.n; k++)
			if (!(digits[k] >= '0' && digits[k] <= (digits[1] == 'o' ? '7' : '9')) &&
				!(digits[1] == 'x' && ((digits[k] | 32) >= 'a' && (digits[k] | 32) <= 'f')))
				return;
		errno = 0;
		number = strtoll(digits + 2, &end, digits[1] == 'x' ? 16 : 8);
		if (*end == '\0' && errno == 0)
		{
			value->type = SL_INT;
			value->u.i = number;
		}
		return;
	}
	if (digits[i] == '-' || digits[i] == '+')
		i++;
	if (!((digits[i] >= '0' && digits[i] <= '9') ||
		  (digits[i] == '.' && digits[i + 1] >= '0' && digits[i + 1] <= '9')))
		return;
	for (size_t k = i; k < s.n; k++)
	{
		if (digits[k] == '.' || digits[k] == 'e' || digits[k] == 'E')
			integer = false;
		else if (!((digits[k] >= '0' && digits[k] <= '9') ||
				   ((digits[k] == '-' || digits[k] == '+') && k > 0 && (digits[k - 1] | 32) == 'e')))
			return;
	}
	errno = 0;
	if (integer)
	{
		long long	number = strtoll(digits, &end, 10);

		if (*end == '\0' && errno == 0)
		{
			value->type = SL_INT;
			value->u.i = number;
		}
	}
	else
	{
		double		number = strtod(digits, &end);

		if (*end == '\0' && isfinite(number))
		{
			value->type = SL_DOUBLE;
			value->u.d = number;
		}
	}
}

static anchor *
add_anchor(reader *r, const yaml_char_t *name, sl_node *node)
{
	anchor	   *a;

	if (!name)
		return NULL;
	a = sl_alloc0(r->arena, sizeof(*a));
	a->name = sl_str_copy(r->arena, (const char *) name, strlen((const char *) name));
	a->node = node;
	a->next = r->anchors;
	r->anchors = a;
	return a;
}

static bool read_node(reader *r, yaml_event_t *event, int depth, sl_node **out);

static bool
read_alias(reader *r, yaml_event_t *event, sl_node **out)
{
	const char *name = (const char *) event->data.alias.anchor;
	yaml_mark_t mark = event->start_mark;

	for (anchor *a = r->anchors; a; a = a->next)
	{
		if (!sl_str_is(a->name, name))
			continue;
		if (a->weight == 0)
			return fail_mark(r, mark, SL_SYNTAX, "an anchor refers to itself");
		r->count += a->weight;
		*out = a->node;
		return true;
	}
	return fail_mark(r, mark, SL_SYNTAX, "an alias names an anchor that is not there");
}

/* The items of a list or the keys and values of a map, to its end. */
static bool
read_children(reader *r, sl_node *node, yaml_event_type_t end_type, int depth)
{
	for (;;)
	{
		yaml_event_t event;
		sl_node    *child,
				   *key = NULL;
		bool		ok;

		if (!next_event(r, &event))
			return false;
		if (event.type == end_type)
		{
			yaml_event_delete(&event);
			return true;
		}
		if (node->kind == SL_MAP)
		{
			ok = read_node(r, &event, depth + 1, &key);
			if (ok && key->kind != SL_SCALAR)
				ok = fail_mark(r, event.start_mark, SL_SYNTAX, "a key is not plain text");
			yaml_event_delete(&event);
			if (!ok || !next_event(r, &event))
				return false;
		}
		ok = read_node(r, &event, depth + 1, &child);
		yaml_event_delete(&event);
		if (!ok)
			return false;
		if (!key)
			sl_node_add(r->arena, node, (sl_str) {NULL, 0}, child->line, child->col, child);
		else if (!sl_node_add_key(r->arena, node, key->text, key->line, key->col, child, r->err))
			return false;
	}
}

static bool
read_node(reader *r, yaml_event_t *event, int depth, sl_node **out)
{
	int			line = (int) event->start_mark.line + 1,
				col = (int) event->start_mark.column + 1;
	size_t		before = r->count++;
	anchor	   *a = NULL;
	sl_node    *node;

	if (depth > SL_NODE_MAX_DEPTH)
		return sl_fail_at(r->err, line, col, SL_TOO_COMPLEX,
						  "rule document is nested deeper than %d levels", SL_NODE_MAX_DEPTH);
	switch (event->type)
	{
		case YAML_ALIAS_EVENT:
			if (!read_alias(r, event, out))
				return false;
			break;
		case YAML_SCALAR_EVENT:
			node = sl_node_new(r->arena, SL_SCALAR, line, col);
			node->text = sl_str_copy(r->arena, (const char *) event->data.scalar.value,
									 event->data.scalar.length);
			if (memchr(node->text.p, '\0', node->text.n))
				return sl_fail_at(r->err, line, col, SL_INVALID_TEXT, "text holds a NUL");
			if (event->data.scalar.plain_implicit)
				resolve_plain(node->text, &node->value);
			else
			{
				node->value.type = SL_STRING;
				node->value.u.s = node->text;
			}
			a = add_anchor(r, event->data.scalar.anchor, node);
			*out = node;
			break;
		case YAML_SEQUENCE_START_EVENT:
			*out = node = sl_node_new(r->arena, SL_LIST, line, col);
			a = add_anchor(r, event->data.sequence_start.anchor, node);
			if (!read_children(r, node, YAML_SEQUENCE_END_EVENT, depth))
				return false;
			break;
		case YAML_MAPPING_START_EVENT:
			*out = node = sl_node_new(r->arena, SL_MAP, line, col);
			a = add_anchor(r, event->data.mapping_start.anchor, node);
			if (!read_children(r, node, YAML_MAPPING_END_EVENT, depth))
				return false;
			break;
		default:
			return sl_fail_at(r->err, line, col, SL_SYNTAX, "invalid YAML: a value is missing");
	}
	if (r->count > SL_NODE_MAX_NODES)
		return sl_fail_at(r->err, line, col, SL_TOO_COMPLEX,
						  "rule document has more than %d values", SL_NODE_MAX_NODES);
	if (a)
		a->weight = r->count - before;
	return true;
}

bool
sl_read_yaml(const char *text, size_t n, sl_arena *arena, sl_documents *documents, sl_error *err)
{
	reader		r = {.arena = arena,.err = err};
	bool		ok = true,
				done = false;

	if (!yaml_parser_initialize(&r.parser))
		return sl_fail(err, "53200", "out of memory");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *) text, n);
	while (ok && !done)
	{
		yaml_event_t event;
		sl_node    *root = NULL;

		if (!(ok = next_event(&r, &event)))
			break;
		switch (event.type)
		{
			case YAML_STREAM_START_EVENT:
			case YAML_DOCUMENT_END_EVENT:
				break;
			case YAML_DOCUMENT_START_EVENT:
				r.anchors = NULL;
				break;
			case YAML_STREAM_END_EVENT:
				done = true;
				break;
			default:
				ok = read_node(&r, &event, 1, &root);
				/* an empty document (a stray ---) is no rule */
				if (ok && !(root->kind == SL_SCALAR && root->value.type == SL_NULL))
					sl_documents_add(arena, documents, root);
				break;
		}
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&r.parser);
	return ok;
}
