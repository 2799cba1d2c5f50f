/*
 * definitions.c
 *	  What rules mean beyond their own text: log sources and placeholders.
 */
#include "logsources.h"
#include "reader.h"

#include <ctype.h>
#include <stdio.h>

typedef struct logsource_row
{
	sl_str columns[3]; /* category, product, service; p == NULL: any */
	sl_expr *expr;
} logsource_row;

struct sl_definitions
{
	sl_arena *arena;
	logsource_row *rows;
	size_t n_rows;
	size_t cap_rows;
	sl_node *placeholders;
};

sl_definitions *
sl_definitions_new(sl_arena *arena)
{
	sl_definitions *d = sl_alloc0(arena, sizeof(*d));

	d->arena = arena;
	d->placeholders = sl_node_new(arena, SL_MAP, 0, 0);
	return d;
}

static sl_str
lower(sl_arena *arena, sl_str s)
{
	sl_str copy;

	if (!s.p)
		return s;
	copy = sl_str_copy(arena, s.p, s.n);
	for (size_t i = 0; i < copy.n; i++)
		((char *) copy.p)[i] = (char) tolower((unsigned char) copy.p[i]);
	return copy;
}

bool
sl_definitions_add_logsource(sl_definitions *d, sl_str category, sl_str product, sl_str service,
							 sl_str detection, sl_error *err)
{
	static const sl_entry where = {.key = {"detection", 9}};
	sl_reader r = {.arena = d->arena, .err = err};
	sl_documents documents = {0};
	logsource_row row = {.columns = {lower(d->arena, category), lower(d->arena, product), lower(d->arena, service)}};

	memset(err, 0, sizeof(*err));
	if (!category.p && !product.p && !service.p)
		return sl_fail(err, SL_INVALID_PARAMETER, "a log source has a category, a product or a service");
	if (!sl_read_json(detection.p, detection.n, d->arena, &documents, err))
		return false;
	row.expr = sl_selection_read(&r, &where, documents.v[0]);
	if (!row.expr)
		return false;
	row.expr->name = SL_STR("log source");
	SL_ROOM(d->arena, d->rows, d->n_rows, d->cap_rows, 64);
	d->rows[d->n_rows++] = row;
	return true;
}

void
sl_definitions_add_builtin(sl_definitions *d)
{
	sl_error err;

	for (size_t i = 0; i < sl_n_logsources; i++)
	{
		const sl_logsource *l = &sl_logsources[i];
		sl_str columns[3] = {{l->category, l->category ? strlen(l->category) : 0},
							 {l->product, l->product ? strlen(l->product) : 0},
							 {l->service, l->service ? strlen(l->service) : 0}};

		/* a test reads them all: none of them is refused */
		sl_definitions_add_logsource(d, columns[0], columns[1], columns[2],
									 (sl_str){l->detection, strlen(l->detection)}, &err);
	}
}

bool
sl_definitions_add_placeholder(sl_definitions *d, sl_str name, const sl_node *values, sl_error *err)
{
	size_t n = values->kind == SL_LIST ? values->n : 1;

	for (size_t i = 0; i < n; i++)
	{
		const sl_node *value = values->kind == SL_LIST ? values->entries[i].value : values;

		if (value->kind != SL_SCALAR || value->value.type == SL_NULL)
		{
			sl_fail_at(err, value->line, value->col, SL_SYNTAX, "value of placeholder \"%.*s\" is %s", SL_STR_FMT(name),
					   sl_node_describe(value));
			sl_error_hint(err, "It is a text, or a list of texts.");
			return false;
		}
	}
	if (n == 0 || name.n == 0)
		return sl_fail_at(err, values->line, values->col, SL_SYNTAX, "placeholder \"%.*s\" has no %s", SL_STR_FMT(name),
						  n ? "name" : "values");
	return sl_node_add_key(d->arena, d->placeholders, sl_str_copy(d->arena, name.p, name.n), values->line, values->col,
						   (sl_node *) values, err);
}

const sl_node *
sl_definitions_placeholder(const sl_definitions *d, sl_str name)
{
	for (size_t i = 0; i < d->placeholders->n; i++)
		if (sl_str_eq(d->placeholders->entries[i].key, name))
			return d->placeholders->entries[i].value;
	return NULL;
}

void
sl_logsource_apply(sl_reader *r, sl_str category, sl_str product, sl_str service, sl_rule *rule)
{
	sl_str given[3] = {lower(r->arena, category), lower(r->arena, product), lower(r->arena, service)};
	sl_expr *both = sl_expr_new(r->arena, SL_EXPR_AND);

	for (size_t i = 0; r->definitions && i < r->definitions->n_rows; i++)
	{
		const logsource_row *row = &r->definitions->rows[i];
		bool fits = true;

		for (int k = 0; k < 3; k++)
			fits &= !row->columns[k].p || (given[k].p && sl_str_eq(row->columns[k], given[k]));
		if (fits)
			sl_expr_add(r->arena, both, row->expr);
	}
	rule->logsource_unknown = both->n == 0;
	if (both->n > 0)
	{
		sl_expr_add(r->arena, both, rule->condition);
		rule->condition = both;
	}
}
