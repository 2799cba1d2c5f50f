/*
 * sigma.c
 *	  A document to a rule: Sigma 2.1's keys, its detections, and the keys
 *	  under "stacklens:"; and the short form, which is spelled out first.
 *
 * Whatever is not understood is refused by name, never passed over: a rule
 * that means less than it says is worse than none.
 */
#include "rule.h"
#include "../utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

const char *const sl_op_name[] = {"equals", "contains", "startswith", "endswith", "matches",
								  "lt", "lte", "gt", "gte", "exists", "is not null"};

const char *const sl_severity_name[] = {"informational", "low", "medium", "high", "critical"};

bool
sl_severity_from_name(sl_str name, sl_severity *severity)
{
	for (int i = 0; i < 5; i++)
		if (sl_str_is(name, sl_severity_name[i]))
		{
			*severity = (sl_severity) i;
			return true;
		}
	return false;
}

sl_expr *
sl_expr_new(sl_arena *arena, sl_expr_kind kind)
{
	sl_expr *expr = sl_alloc0(arena, sizeof(*expr));

	expr->kind = kind;
	expr->weight = 1;
	return expr;
}

void
sl_expr_add(sl_arena *arena, sl_expr *parent, sl_expr *child)
{
	if (parent->n == parent->cap)
	{
		size_t cap = parent->cap ? parent->cap * 2 : 4;
		sl_expr **children = sl_alloc(arena, cap * sizeof(sl_expr *));

		if (parent->n)
			memcpy(children, parent->children, parent->n * sizeof(sl_expr *));
		parent->children = children;
		parent->cap = cap;
	}
	parent->children[parent->n++] = child;
	parent->weight += child->weight;
}

typedef struct reader
{
	sl_arena *arena;
	sl_error *err;
	size_t predicates;
} reader;

static bool
fail_entry(reader *r, const sl_entry *entry, const char *sqlstate, const char *message)
{
	return sl_fail_at(r->err, entry->line, entry->col, sqlstate, message, SL_STR_FMT(entry->key));
}

/* Modifiers of Sigma 2.1 that this version doesn't have yet. */
static const char *const later_modifiers[] = {"re", "i", "m", "s", "base64", "base64offset", "wide",
											  "utf16", "utf16le", "utf16be", "windash", "cidr", "fieldref", "neq", "minute", "hour", "day",
											  "week", "month", "year", "expand", NULL};

typedef struct modifiers
{
	bool before; /* contains, endswith */
	bool after;	 /* contains, startswith */
	bool all;
	bool cased;
	bool exists;
	bool compare;
	sl_op comparison;
} modifiers;

static bool
read_modifiers(reader *r, const sl_entry *entry, sl_str *field, modifiers *m)
{
	sl_str key = entry->key;
	const char *bar = memchr(key.p, '|', key.n);
	size_t at = bar ? (size_t) (bar - key.p) : key.n;

	memset(m, 0, sizeof(*m));
	*field = (sl_str){key.p, at};
	while (at < key.n)
	{
		sl_str name = {key.p + at + 1, 0};
		const char *next = memchr(name.p, '|', key.n - at - 1);

		name.n = next ? (size_t) (next - name.p) : key.n - at - 1;
		at += 1 + name.n;
		if (sl_str_is(name, "contains"))
			m->before = m->after = true;
		else if (sl_str_is(name, "startswith"))
			m->after = true;
		else if (sl_str_is(name, "endswith"))
			m->before = true;
		else if (sl_str_is(name, "all"))
			m->all = true;
		else if (sl_str_is(name, "cased"))
			m->cased = true;
		else if (sl_str_is(name, "exists"))
			m->exists = true;
		else if (sl_str_is(name, "lt") || sl_str_is(name, "lte") ||
				 sl_str_is(name, "gt") || sl_str_is(name, "gte"))
		{
			if (m->compare)
				return fail_entry(r, entry, SL_SYNTAX, "field \"%.*s\" has two comparisons");
			m->compare = true;
			m->comparison = sl_str_is(name, "lt") ? SL_OP_LT : sl_str_is(name, "lte") ? SL_OP_LTE
														   : sl_str_is(name, "gt")	  ? SL_OP_GT
																					  : SL_OP_GTE;
		}
		else
		{
			int col = sl_text_col(entry->col, entry->text_col, key, (size_t) (name.p - key.p));

			for (const char *const *later = later_modifiers; *later; later++)
				if (sl_str_is(name, *later))
				{
					sl_fail_at(r->err, entry->line, col, SL_NOT_SUPPORTED,
							   "modifier \"%s\" is not supported by this version", *later);
					sl_error_hint(r->err, "Supported are contains, startswith, endswith, all, cased, exists, lt, lte, gt, gte.");
					return false;
				}
			sl_fail_at(r->err, entry->line, col, SL_SYNTAX, "unknown modifier \"%.*s\"", SL_STR_FMT(name));
			sl_error_hint(r->err, "Supported are contains, startswith, endswith, all, cased, exists, lt, lte, gt, gte.");
			return false;
		}
	}
	if ((m->compare || m->exists) && (m->before || m->after || m->cased || m->all || (m->compare && m->exists)))
	{
		fail_entry(r, entry, SL_SYNTAX, "modifiers of \"%.*s\" exclude one another");
		sl_error_hint(r->err, "exists and the comparisons lt, lte, gt, gte stand alone.");
		return false;
	}
	if (field->n == 0 && (!bar || m->compare || m->exists))
	{
		fail_entry(r, entry, SL_SYNTAX, "key \"%.*s\" names no field");
		sl_error_hint(r->err, "To search the whole record, write \"|all\" or a list of texts.");
		return false;
	}
	return true;
}

static sl_expr *
new_predicate(reader *r, const sl_node *where, sl_str field, sl_op op)
{
	sl_expr *expr = sl_expr_new(r->arena, SL_EXPR_PREDICATE);

	if (++r->predicates > SL_RULE_MAX_PREDICATES)
	{
		sl_fail_at(r->err, where->line, where->col, SL_LIMIT_EXCEEDED,
				   "rule has more than %d values", SL_RULE_MAX_PREDICATES);
		return NULL;
	}
	expr->predicate = sl_alloc0(r->arena, sizeof(sl_predicate));
	expr->predicate->field = field;
	expr->predicate->op = op;
	return expr;
}

static sl_expr *
negate(reader *r, sl_expr *child)
{
	sl_expr *expr;

	if (!child)
		return NULL;
	expr = sl_expr_new(r->arena, SL_EXPR_NOT);
	sl_expr_add(r->arena, expr, child);
	return expr;
}

/* One value of one field (of the whole record, where the field is empty). */
static sl_expr *
read_value(reader *r, const sl_entry *entry, sl_str field, const modifiers *m, const sl_node *value)
{
	sl_expr *expr;
	sl_str text;

	if (value->kind != SL_SCALAR)
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX,
				   "value of \"%.*s\" is %s", SL_STR_FMT(entry->key), sl_node_describe(value));
		sl_error_hint(r->err, "A field takes a text, a number, a boolean, null, or a list of these.");
		return NULL;
	}
	if (m->exists)
	{
		if (value->value.type != SL_BOOL)
		{
			sl_fail_at(r->err, value->line, value->col, SL_SYNTAX,
					   "\"exists\" takes true or false, not %s", sl_node_describe(value));
			return NULL;
		}
		expr = new_predicate(r, value, field, SL_OP_EXISTS);
		return value->value.u.b ? expr : negate(r, expr);
	}
	if (m->compare)
	{
		if (value->value.type != SL_INT && value->value.type != SL_DOUBLE)
		{
			sl_fail_at(r->err, value->line, value->col, SL_SYNTAX,
					   "\"%s\" compares with a number, not with %s", sl_op_name[m->comparison],
					   sl_node_describe(value));
			return NULL;
		}
		expr = new_predicate(r, value, field, m->comparison);
		if (expr)
			expr->predicate->number = value->value.type == SL_INT ? (double) value->value.u.i : value->value.u.d;
		return expr;
	}
	if (value->value.type == SL_NULL)
	{
		if (m->before || m->after || field.n == 0)
		{
			sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "null can't be searched for in text");
			return NULL;
		}
		return negate(r, new_predicate(r, value, field, SL_OP_NOT_NULL));
	}
	if (value->value.type == SL_STRING && value->text.n == 0 && (m->before || m->after || field.n == 0))
	{
		sl_fail_at(r->err, value->line, value->col, SL_SYNTAX, "empty text is part of any text");
		return NULL;
	}
	expr = new_predicate(r, value, field, SL_OP_EQUALS);
	if (!expr)
		return NULL;
	/* booleans and numbers compare by the text that records show for them */
	text = sl_value_text(r->arena, &value->value);
	if (value->value.type != SL_STRING && field.n > 0 && !m->before && !m->after)
		expr->predicate->text = text;
	else
		sl_pattern_read(r->arena, text, m->before || field.n == 0, m->after || field.n == 0,
						m->cased, expr->predicate);
	expr->predicate->keyword = field.n == 0;
	return expr;
}

static sl_expr *
read_field(reader *r, const sl_entry *entry)
{
	const sl_node *value = entry->value;
	sl_str field;
	modifiers m;
	sl_expr *expr;

	if (!read_modifiers(r, entry, &field, &m))
		return NULL;
	if (value->kind != SL_LIST)
		return read_value(r, entry, field, &m, value);
	if (value->n == 0)
	{
		fail_entry(r, entry, SL_SYNTAX, "list of values of \"%.*s\" is empty");
		return NULL;
	}
	expr = sl_expr_new(r->arena, m.all ? SL_EXPR_AND : SL_EXPR_OR);
	for (size_t i = 0; i < value->n; i++)
	{
		sl_expr *child = read_value(r, entry, field, &m, value->entries[i].value);

		if (!child)
			return NULL;
		sl_expr_add(r->arena, expr, child);
	}
	return expr;
}

/* Map = and; list = or; plain values = keywords. */
static sl_expr *
read_selection(reader *r, const sl_entry *entry, const sl_node *node)
{
	static const sl_entry keyword = {.key = {"keywords", 8}};
	modifiers none = {0};
	sl_expr *expr;

	if (node->kind != SL_SCALAR && node->n == 0)
	{
		sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "selection \"%.*s\" is empty", SL_STR_FMT(entry->key));
		return NULL;
	}
	if (node->kind == SL_MAP)
	{
		expr = sl_expr_new(r->arena, SL_EXPR_AND);
		for (size_t i = 0; i < node->n; i++)
		{
			sl_expr *child = read_field(r, &node->entries[i]);

			if (!child)
				return NULL;
			sl_expr_add(r->arena, expr, child);
		}
		return expr;
	}
	if (node->kind == SL_LIST)
	{
		expr = sl_expr_new(r->arena, SL_EXPR_OR);
		for (size_t i = 0; i < node->n; i++)
		{
			const sl_node *item = node->entries[i].value;
			sl_expr *child;

			if (item->kind == SL_LIST)
			{
				sl_fail_at(r->err, item->line, item->col, SL_SYNTAX,
						   "selection \"%.*s\" holds a list within a list", SL_STR_FMT(entry->key));
				return NULL;
			}
			child = read_selection(r, entry, item);
			if (!child)
				return NULL;
			sl_expr_add(r->arena, expr, child);
		}
		return expr;
	}
	return read_value(r, &keyword, SL_STR(""), &none, node);
}

static bool
read_detection(reader *r, const sl_entry *detection, sl_rule *rule)
{
	const sl_node *map = detection->value;
	const sl_node *condition = NULL;
	sl_selections selections = {0};

	if (map->kind != SL_MAP)
	{
		sl_fail_at(r->err, map->line, map->col, SL_SYNTAX, "\"detection\" is %s", sl_node_describe(map));
		sl_error_hint(r->err, "It is a map of selections and a condition.");
		return false;
	}
	selections.names = sl_alloc(r->arena, (map->n + 1) * sizeof(sl_str));
	selections.exprs = sl_alloc(r->arena, (map->n + 1) * sizeof(sl_expr *));
	for (size_t i = 0; i < map->n; i++)
	{
		const sl_entry *entry = &map->entries[i];

		if (sl_str_is(entry->key, "condition"))
		{
			condition = entry->value;
			continue;
		}
		if (sl_str_is(entry->key, "timeframe"))
		{
			fail_entry(r, entry, SL_NOT_SUPPORTED, "\"%.*s\" under \"detection\" belongs to the aggregations that Sigma has dropped");
			sl_error_hint(r->err, "Write a correlation rule with a timespan.");
			return false;
		}
		if (entry->key.n == 0)
			return fail_entry(r, entry, SL_SYNTAX, "a selection has no name%.*s");
		selections.names[selections.n] = entry->key;
		selections.exprs[selections.n] = read_selection(r, entry, entry->value);
		if (!selections.exprs[selections.n++])
			return false;
	}
	if (!condition)
	{
		sl_fail_at(r->err, detection->line, detection->col, SL_SYNTAX, "detection has no condition");
		sl_error_hint(r->err, "Add \"condition: selection\", with the name of a selection.");
		return false;
	}
	if (condition->kind == SL_LIST && condition->n > 0)
	{
		rule->condition = sl_expr_new(r->arena, SL_EXPR_OR);
		for (size_t i = 0; i < condition->n; i++)
		{
			const sl_node *item = condition->entries[i].value;
			sl_expr *child;

			if (item->kind != SL_SCALAR || item->value.type != SL_STRING)
				return sl_fail_at(r->err, item->line, item->col, SL_SYNTAX,
								  "a condition is text, not %s", sl_node_describe(item));
			child = sl_condition_read(item, &selections, r->arena, r->err);
			if (!child)
				return false;
			sl_expr_add(r->arena, rule->condition, child);
		}
		return true;
	}
	if (condition->kind != SL_SCALAR || condition->value.type != SL_STRING)
		return sl_fail_at(r->err, condition->line, condition->col, SL_SYNTAX,
						  "a condition is text, not %s", sl_node_describe(condition));
	rule->condition = sl_condition_read(condition, &selections, r->arena, r->err);
	return rule->condition != NULL;
}

/*
 * A scalar whose text is meant, whatever YAML takes it for: 1.10 stays 1.10,
 * also in the definition that is stored.
 */
static sl_str
text_of(sl_node *node)
{
	node->value.type = SL_STRING;
	node->value.u.s = node->text;
	return node->text;
}

/* Text under a key; where it is missing *out stays as it is. */
static bool
read_text(reader *r, const sl_node *map, const char *key, size_t limit, sl_str *out)
{
	sl_node *node = sl_node_get(map, key);

	if (!node || (node->kind == SL_SCALAR && node->value.type == SL_NULL))
		return true;
	if (node->kind != SL_SCALAR || node->text.n == 0)
	{
		sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "\"%s\" is %s where text is expected", key,
				   node->kind == SL_SCALAR ? "empty" : sl_node_describe(node));
		return false;
	}
	if (node->text.n > limit)
		return sl_fail_at(r->err, node->line, node->col, SL_LIMIT_EXCEEDED,
						  "\"%s\" is longer than %zu bytes", key, limit);
	*out = text_of(node);
	return true;
}

static bool
read_uuid(reader *r, const sl_node *map, sl_str *out)
{
	const sl_node *node = sl_node_get(map, "id");
	char *id;
	size_t n = 0;

	if (!node)
		return true;
	id = sl_alloc(r->arena, 37);
	for (size_t i = 0; i < node->text.n && n < 36; i++)
		id[n++] = (char) tolower((unsigned char) node->text.p[i]);
	for (size_t i = 0; i < n; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? id[i] != '-' : !isxdigit((unsigned char) id[i]))
			n = 0;
	if (n != 36 || node->text.n != 36)
	{
		sl_fail_at(r->err, node->line, node->col, SL_INVALID_TEXT,
				   "\"id\" is not a UUID: \"%.*s\"", SL_STR_FMT(node->text));
		return false;
	}
	*out = (sl_str){id, 36};
	return true;
}

static bool
refuse_unknown(reader *r, const sl_node *map, const char *where, const char *const *known)
{
	for (size_t i = 0; i < map->n; i++)
	{
		const sl_entry *entry = &map->entries[i];
		const char *const *name = known;

		while (*name && !sl_str_is(entry->key, *name))
			name++;
		if (!*name)
		{
			sl_buf names;

			sl_buf_init(&names, r->arena, 256);
			for (name = known; *name; name++)
				sl_buf_printf(&names, "%s%s", name == known ? "" : ", ", *name);
			sl_fail_at(r->err, entry->line, entry->col, SL_SYNTAX, "unknown field \"%.*s\"%s",
					   SL_STR_FMT(entry->key), where);
			sl_error_hint(r->err, "Known are: %s.", names.p);
			return false;
		}
	}
	return true;
}

static bool
read_stacklens(reader *r, const sl_node *map, sl_rule *rule)
{
	static const char *const known[] = {"issue_code", "message", "suppress", "labels", NULL};
	static const char *const known_suppress[] = {"by", NULL};
	static const char *const later[] = {"resolve_after", "channels", "lateness", "after", NULL};
	const sl_node *suppress,
		*by = NULL;

	if (map->kind != SL_MAP)
		return sl_fail_at(r->err, map->line, map->col, SL_SYNTAX, "\"stacklens\" is %s, not a map", sl_node_describe(map));
	for (const char *const *name = later; *name; name++)
	{
		const sl_entry *entry = sl_node_entry(map, *name);

		if (entry)
			return fail_entry(r, entry, SL_NOT_SUPPORTED, "\"%.*s\" is not supported by this version");
	}
	if (!refuse_unknown(r, map, " under \"stacklens\"", known) ||
		!read_text(r, map, "issue_code", 64, &rule->issue_code) ||
		!read_text(r, map, "message", 1000, &rule->message))
		return false;
	rule->labels = sl_node_get(map, "labels");
	if (rule->labels)
	{
		if (rule->labels->kind != SL_MAP)
			return sl_fail_at(r->err, rule->labels->line, rule->labels->col, SL_SYNTAX,
							  "\"labels\" is %s, not a map", sl_node_describe(rule->labels));
		for (size_t i = 0; i < rule->labels->n; i++)
			if (rule->labels->entries[i].value->kind != SL_SCALAR)
				return fail_entry(r, &rule->labels->entries[i], SL_SYNTAX, "label \"%.*s\" is not plain text");
	}
	suppress = sl_node_get(map, "suppress");
	if (!suppress)
		return true;
	if (suppress->kind != SL_MAP)
		return sl_fail_at(r->err, suppress->line, suppress->col, SL_SYNTAX,
						  "\"suppress\" is %s, not a map", sl_node_describe(suppress));
	if (sl_node_entry(suppress, "for"))
		return fail_entry(r, sl_node_entry(suppress, "for"), SL_NOT_SUPPORTED,
						  "\"%.*s\" under \"suppress\" is not supported by this version");
	if (!refuse_unknown(r, suppress, " under \"suppress\"", known_suppress))
		return false;
	by = sl_node_get(suppress, "by");
	if (!by || by->kind != SL_LIST || by->n > 16)
		return sl_fail_at(r->err, suppress->line, suppress->col, SL_SYNTAX,
						  "\"by\" under \"suppress\" is not a list of up to 16 field names");
	rule->group_by = sl_alloc(r->arena, (by->n + 1) * sizeof(sl_str));
	rule->n_group_by = 0;
	for (size_t i = 0; i < by->n; i++)
	{
		sl_node *item = by->entries[i].value;

		if (item->kind != SL_SCALAR || item->value.type == SL_NULL || item->text.n == 0)
			return sl_fail_at(r->err, item->line, item->col, SL_SYNTAX, "a name under \"by\" is not text");
		rule->group_by[rule->n_group_by++] = text_of(item);
	}
	return true;
}

static bool
read_logsource(reader *r, const sl_node *node, sl_rule *rule)
{
	static const char *const known[] = {"category", "product", "service", "definition", NULL};
	sl_str category = {"*", 1},
		   product = {"*", 1},
		   service = {"*", 1};

	if (!node)
		return true;
	if (node->kind != SL_MAP)
		return sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "\"logsource\" is %s, not a map", sl_node_describe(node));
	if (!refuse_unknown(r, node, " under \"logsource\"", known) ||
		!read_text(r, node, "category", 200, &category) ||
		!read_text(r, node, "product", 200, &product) ||
		!read_text(r, node, "service", 200, &service))
		return false;
	rule->logsource = sl_strf(r->arena, "%.*s/%.*s/%.*s", SL_STR_FMT(category), SL_STR_FMT(product), SL_STR_FMT(service));
	return true;
}

static sl_node *
text_node(sl_arena *arena, const sl_node *where, sl_str text)
{
	sl_node *node = sl_node_new(arena, SL_SCALAR, where->line, where->col);

	node->value.type = SL_STRING;
	node->value.u.s = node->text = text;
	return node;
}

/* {"name", "match", …} to the Sigma rule that it is short for. */
static sl_node *
spell_out(reader *r, sl_node *short_form)
{
	static const char *const known[] = {"name", "id", "match", "severity", "issue_code", "message",
										"description", "labels", "suppress", NULL};
	sl_arena *arena = r->arena;
	const sl_entry *match = sl_node_entry(short_form, "match");
	sl_node *rule = sl_node_new(arena, SL_MAP, short_form->line, short_form->col);
	sl_node *detection = sl_node_new(arena, SL_MAP, match->line, match->col);
	sl_node *ours = sl_node_new(arena, SL_MAP, short_form->line, short_form->col);

	if (!refuse_unknown(r, short_form, "", known))
		return NULL;
	for (size_t i = 0; i < short_form->n; i++)
	{
		const sl_entry *entry = &short_form->entries[i];
		sl_node *into = rule;
		sl_str key = entry->key;

		if (sl_str_is(key, "match"))
			continue;
		if (sl_str_is(key, "severity"))
			key = SL_STR("level");
		else if (sl_str_is(key, "issue_code") || sl_str_is(key, "message") ||
				 sl_str_is(key, "labels") || sl_str_is(key, "suppress"))
			into = ours;
		sl_node_add(arena, into, key, entry->line, entry->col, entry->value);
		if (sl_str_is(key, "name"))
			sl_node_add(arena, rule, SL_STR("title"), entry->line, entry->col, entry->value);
	}
	sl_node_add(arena, detection, SL_STR("selection"), match->line, match->col, match->value);
	sl_node_add(arena, detection, SL_STR("condition"), match->line, match->col,
				text_node(arena, match->value, SL_STR("selection")));
	sl_node_add(arena, rule, SL_STR("detection"), match->line, match->col, detection);
	if (ours->n)
		sl_node_add(arena, rule, SL_STR("stacklens"), ours->line, ours->col, ours);
	return rule;
}

sl_rule *
sl_rule_read(sl_node *document, sl_arena *arena, sl_error *err)
{
	static const char *const known[] = {"title", "id", "name", "related", "taxonomy", "status",
										"description", "license", "references", "author", "date", "modified", "logsource",
										"detection", "fields", "falsepositives", "level", "tags", "scope", "stacklens",
										"regression_tests_path", "simulation", NULL};
	static const sl_str by_service[] = {{"service", 7}};
	reader r = {.arena = arena, .err = err};
	sl_rule *rule = sl_alloc0(arena, sizeof(*rule));
	const sl_entry *entry;
	sl_str level = SL_STR("medium");

	memset(err, 0, sizeof(*err));
	if (document->kind != SL_MAP)
	{
		sl_fail_at(err, document->line, document->col, SL_SYNTAX, "a rule is a map, not %s", sl_node_describe(document));
		return NULL;
	}
	if ((entry = sl_node_entry(document, "correlation")) || (entry = sl_node_entry(document, "filter")))
	{
		fail_entry(&r, entry, SL_NOT_SUPPORTED, "rules with \"%.*s\" are not supported by this version");
		return NULL;
	}
	if (sl_node_entry(document, "match") && !sl_node_entry(document, "detection"))
	{
		document = spell_out(&r, document);
		if (!document)
			return NULL;
	}
	rule->definition = document;
	if (!refuse_unknown(&r, document, " of a rule", known))
		return NULL;
	if (!read_text(&r, document, "title", 256, &rule->title) ||
		!read_text(&r, document, "name", 256, &rule->name) ||
		!read_uuid(&r, document, &rule->id) ||
		!read_text(&r, document, "level", 32, &level) ||
		!read_logsource(&r, sl_node_get(document, "logsource"), rule))
		return NULL;
	if (!rule->name.p)
		rule->name = rule->title;
	if (!rule->name.p)
	{
		sl_fail_at(err, document->line, document->col, SL_SYNTAX, "rule has neither a title nor a name");
		return NULL;
	}
	if (!rule->title.p)
		rule->title = rule->name;
	if (!sl_severity_from_name(level, &rule->severity))
	{
		const sl_node *node = sl_node_get(document, "level");

		sl_fail_at(err, node->line, node->col, SL_INVALID_PARAMETER, "unknown severity \"%.*s\"", SL_STR_FMT(level));
		sl_error_hint(err, "It is one of informational, low, medium, high, critical.");
		return NULL;
	}
	rule->group_by = (sl_str *) by_service;
	rule->n_group_by = 1;
	entry = sl_node_entry(document, "stacklens");
	if (entry && !read_stacklens(&r, entry->value, rule))
		return NULL;
	if (!rule->issue_code.p)
	{
		rule->issue_code = rule->name;
		rule->issue_code.n = sl_utf8_cut(rule->name.p, rule->name.n, 64);
	}
	entry = sl_node_entry(document, "detection");
	if (!entry)
	{
		sl_fail_at(err, document->line, document->col, SL_SYNTAX, "rule \"%.*s\" has no detection", SL_STR_FMT(rule->name));
		return NULL;
	}
	return read_detection(&r, entry, rule) ? rule : NULL;
}

void
sl_rule_documents(sl_node *document, sl_arena *arena, sl_documents *rules)
{
	sl_node *list = document->kind == SL_LIST ? document : sl_node_get(document, "rules");

	if (!list || list->kind != SL_LIST || (list != document && sl_node_get(document, "detection")))
	{
		sl_documents_add(arena, rules, document);
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		sl_documents_add(arena, rules, list->entries[i].value);
}
