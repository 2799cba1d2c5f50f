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
	sl_str name;
	sl_node *node;
	size_t weight; /* values below it; 0 while it is open */
} anchor;

/*
 * Lives in the arena: what libyaml holds hangs on the parser and on the one
 * event in hand, and is given back also when memory runs out half-way.
 */
typedef struct reader
{
	yaml_parser_t parser;
	yaml_event_t event;
	sl_arena *arena;
	sl_error *err;
	anchor *anchors;
	size_t n_anchors;
	size_t count; /* values so far, aliases counted in full */
} reader;

/* Anchors of a document: more than rules need, and aliases search them all. */
#define MAX_ANCHORS 1000

static bool
fail_mark(reader *r, yaml_mark_t mark, const char *sqlstate, const char *what)
{
	return sl_fail_at(r->err, (int) mark.line + 1, (int) mark.column + 1, sqlstate,
					  "invalid YAML: %s", what);
}

/* Puts the next event into r->event, in place of the last one. */
static bool
next_event(reader *r)
{
	yaml_parser_t *p = &r->parser;

	yaml_event_delete(&r->event);
	if (yaml_parser_parse(p, &r->event))
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

/*
 * What a plain scalar means by the core schema; but .inf and .nan stay text,
 * as JSON has no word for them and no rule compares with them.
 */
static void
resolve_plain(sl_str s, sl_value *value)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	char digits[64];
	char *end;
	size_t i = 0;
	bool integer = true;

	value->type = SL_STRING;
	value->u.s = s;
	if (is_one_of(s, nulls))
		value->type = SL_NULL;
	else if (is_one_of(s, trues) || is_one_of(s, falses))
	{
		value->type = SL_BOOL;
		value->u.b = is_one_of(s, trues);
	}
	if (value->type != SL_STRING || s.n == 0 || s.n >= sizeof(digits))
		return;

	memcpy(digits, s.p, s.n);
	digits[s.n] = '\0';
	if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'o') && s.n > 2 && s.n < 20)
	{
		long long number;

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
		long long number = strtoll(digits, &end, 10);

		if (*end == '\0' && errno == 0)
		{
			value->type = SL_INT;
			value->u.i = number;
		}
	}
	else
	{
		double number = strtod(digits, &end);

		if (*end == '\0' && isfinite(number))
		{
			value->type = SL_DOUBLE;
			value->u.d = number;
		}
	}
}

/* *out is NULL where there is no name. */
static bool
add_anchor(reader *r, const yaml_char_t *name, sl_node *node, anchor **out)
{
	anchor *a;

	*out = NULL;
	if (!name)
		return true;
	if (++r->n_anchors > MAX_ANCHORS)
		return sl_fail_at(r->err, node->line, node->col, SL_TOO_COMPLEX,
						  "rule document has more than %d anchors", MAX_ANCHORS);
	a = sl_alloc0(r->arena, sizeof(*a));
	a->name = sl_str_copy(r->arena, (const char *) name, strlen((const char *) name));
	a->node = node;
	a->next = r->anchors;
	r->anchors = a;
	*out = a;
	return true;
}

static bool read_node(reader *r, int depth, sl_node **out);

static bool
read_alias(reader *r, sl_node **out)
{
	const char *name = (const char *) r->event.data.alias.anchor;
	yaml_mark_t mark = r->event.start_mark;

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
		sl_node *child,
			*key = NULL;
		yaml_mark_t at;

		if (!next_event(r))
			return false;
		if (r->event.type == end_type)
			return true;
		at = r->event.start_mark;
		if (node->kind == SL_MAP)
		{
			if (!read_node(r, depth + 1, &key))
				return false;
			if (key->kind != SL_SCALAR)
				return fail_mark(r, at, SL_SYNTAX, "a key is not plain text");
			if (!next_event(r))
				return false;
		}
		if (!read_node(r, depth + 1, &child))
			return false;
		if (!key)
			sl_node_add(r->arena, node, (sl_str){NULL, 0}, child->line, child->col, child);
		else if (!sl_node_add_key(r->arena, node, key->text, (int) at.line + 1, (int) at.column + 1,
								  child, r->err))
			return false;
		else
			node->entries[node->n - 1].text_col = key->text_col;
	}
}

/* Where a scalar's text begins, if it stands on one line just as it reads. */
static int
text_col(const yaml_event_t *event, sl_str text)
{
	size_t written = event->end_mark.column - event->start_mark.column,
		   quotes = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? 0 : 2,
		   characters = 0;

	for (size_t i = 0; i < text.n; i++)
		characters += ((unsigned char) text.p[i] & 0xC0) != 0x80;
	if (event->start_mark.line != event->end_mark.line || written != characters + quotes)
		return 0;
	return (int) (event->start_mark.column + 1 + quotes / 2);
}

/* The node that r->event begins, to the event that ends it. */
static bool
read_node(reader *r, int depth, sl_node **out)
{
	const yaml_event_t *event = &r->event;
	int line = (int) event->start_mark.line + 1,
		col = (int) event->start_mark.column + 1;
	size_t before = r->count++;
	anchor *a = NULL;
	sl_node *node;

	if (depth > SL_NODE_MAX_DEPTH)
		return sl_fail_at(r->err, line, col, SL_TOO_COMPLEX,
						  "rule document is nested deeper than %d levels", SL_NODE_MAX_DEPTH);
	switch (event->type)
	{
		case YAML_ALIAS_EVENT:
			if (!read_alias(r, out))
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
			node->text_col = text_col(event, node->text);
			if (!add_anchor(r, event->data.scalar.anchor, node, &a))
				return false;
			*out = node;
			break;
		case YAML_SEQUENCE_START_EVENT:
			*out = node = sl_node_new(r->arena, SL_LIST, line, col);
			if (!add_anchor(r, event->data.sequence_start.anchor, node, &a) ||
				!read_children(r, node, YAML_SEQUENCE_END_EVENT, depth))
				return false;
			break;
		case YAML_MAPPING_START_EVENT:
			*out = node = sl_node_new(r->arena, SL_MAP, line, col);
			if (!add_anchor(r, event->data.mapping_start.anchor, node, &a) ||
				!read_children(r, node, YAML_MAPPING_END_EVENT, depth))
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

/* Both deletions leave zeroes behind, so that doing it again does nothing. */
static void
release(void *what)
{
	reader *r = what;

	yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
}

bool
sl_read_yaml(const char *text, size_t n, sl_arena *arena, sl_documents *documents, sl_error *err)
{
	reader *r = sl_alloc0(arena, sizeof(*r));
	bool ok = true,
		 done = false;

	r->arena = arena;
	r->err = err;
	sl_arena_on_reset(arena, release, r);
	if (!yaml_parser_initialize(&r->parser))
		return sl_fail(err, "53200", "out of memory");
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *) text, n);
	while (ok && !done)
	{
		sl_node *root = NULL;

		if (!(ok = next_event(r)))
			break;
		switch (r->event.type)
		{
			case YAML_STREAM_START_EVENT:
			case YAML_DOCUMENT_END_EVENT:
				break;
			case YAML_DOCUMENT_START_EVENT:
				r->anchors = NULL;
				r->n_anchors = 0;
				break;
			case YAML_STREAM_END_EVENT:
				done = true;
				break;
			default:
				ok = read_node(r, 1, &root);
				/* an empty document (a stray ---) is no rule */
				if (ok && !(root->kind == SL_SCALAR && root->value.type == SL_NULL))
					sl_documents_add(arena, documents, root);
				break;
		}
	}
	release(r);
	return ok;
}
