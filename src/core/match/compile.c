/*
 * compile.c
 *	  Rules to a rule set.
 */
#include "internal.h"

#include <stdlib.h>

void
sl_ids_add(sl_arena *arena, ids *list, uint32_t id)
{
	if (list->n == list->cap)
	{
		uint32_t cap = list->cap ? list->cap * 2 : 4;
		uint32_t *v = sl_alloc(arena, cap * sizeof(uint32_t));

		if (list->n)
			memcpy(v, list->v, list->n * sizeof(uint32_t));
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = id;
}

sl_ruleset *
sl_ruleset_new(sl_arena *arena)
{
	sl_ruleset *set = sl_alloc0(arena, sizeof(*set));

	set->arena = arena;
	return set;
}

size_t
sl_ruleset_size(const sl_ruleset *set)
{
	return set->n_rules;
}

sl_rule *
sl_ruleset_rule(const sl_ruleset *set, size_t i)
{
	return set->rules[i];
}

/* Makes room for one more; old slots are placed again by their hashes. */
static void
grow_table(sl_arena *arena, value_table *table, uint64_t (*hash_of)(const void *set, uint32_t id),
		   const void *set)
{
	uint32_t *old = table->slots;
	uint32_t old_size = table->slots ? table->mask + 1 : 0;
	uint32_t size = old_size ? old_size * 2 : 8;

	if (table->slots && (table->n + 1) * 2 <= old_size)
		return;
	table->slots = sl_alloc0(arena, size * sizeof(uint32_t));
	table->mask = size - 1;
	for (uint32_t i = 0; i < old_size; i++)
	{
		uint32_t at;

		if (!old[i])
			continue;
		at = (uint32_t) hash_of(set, old[i] - 1) & table->mask;
		while (table->slots[at])
			at = (at + 1) & table->mask;
		table->slots[at] = old[i];
	}
}

static uint64_t
field_hash(const void *set, uint32_t id)
{
	const field *f = &((const sl_ruleset *) set)->fields[id];

	return sl_hash(f->name, f->resource);
}

static uint64_t
text_hash(const void *set, uint32_t id)
{
	return sl_hash(((const sl_ruleset *) set)->predicates[id]->text, 0);
}

static uint64_t
predicate_hash_of(const sl_predicate *p)
{
	uint64_t bits;

	memcpy(&bits, &p->number, sizeof(bits));
	return sl_hash(p->text, sl_hash(sl_field_name(p->field), bits + (uint64_t) p->op * 4 + p->cased * 2u + p->keyword));
}

static uint64_t
predicate_hash(const void *set, uint32_t id)
{
	return predicate_hash_of(((const sl_ruleset *) set)->predicates[id]);
}

/*
 * The field that a rule's name means.  All spellings of a known name are one
 * field; the times and "severity_number" stand beside the texts.
 */
static uint32_t
intern_field(sl_ruleset *set, sl_str name)
{
	int known = sl_known_slot(name);
	bool resource = sl_str_starts(name, "resource.");
	uint32_t at;
	field *f;

	name = sl_field_name(name);
	if (resource)
	{
		name.p += 9;
		name.n -= 9;
		set->any_resource = true;
	}
	grow_table(set->arena, &set->field_table, field_hash, set);
	at = (uint32_t) sl_hash(name, resource) & set->field_table.mask;
	for (; set->field_table.slots[at]; at = (at + 1) & set->field_table.mask)
	{
		f = &set->fields[set->field_table.slots[at] - 1];
		if (f->resource == resource && sl_str_eq(f->name, name))
			return set->field_table.slots[at] - 1;
	}
	if (set->n_fields == set->cap_fields)
	{
		uint32_t cap = set->cap_fields ? set->cap_fields * 2 : 16;
		field *fields = sl_alloc(set->arena, cap * sizeof(field));

		if (set->n_fields)
			memcpy(fields, set->fields, set->n_fields * sizeof(field));
		set->fields = fields;
		set->cap_fields = cap;
	}
	f = &set->fields[set->n_fields];
	memset(f, 0, sizeof(*f));
	f->name = name;
	f->resource = resource;
	set->field_table.slots[at] = ++set->n_fields;
	set->field_table.n++;
	if (known >= 0)
		set->known[known] = set->n_fields;
	else if (sl_str_is(name, "timestamp") && !resource)
		set->timestamp = set->n_fields;
	else if (sl_str_is(name, "observed_timestamp") && !resource)
		set->observed = set->n_fields;
	else if (sl_str_is(name, "severity_number") && !resource)
		set->severity = set->n_fields;
	return set->n_fields - 1;
}

static void
add_value(sl_ruleset *set, value_table *table, uint32_t id)
{
	uint32_t at;

	grow_table(set->arena, table, text_hash, set);
	at = (uint32_t) text_hash(set, id) & table->mask;
	while (table->slots[at])
		at = (at + 1) & table->mask;
	table->slots[at] = id + 1;
	table->n++;
}

/* Puts a new predicate where records will find it. */
static void
place_predicate(sl_ruleset *set, const sl_predicate *p, uint32_t id)
{
	field *f;
	uint32_t at;

	if (p->keyword)
	{
		sl_ids_add(set->arena, &set->keywords, id);
		return;
	}
	/* in two steps: interning may move the array */
	at = intern_field(set, p->field);
	f = &set->fields[at];
	switch (p->op)
	{
		case SL_OP_EQUALS:
			add_value(set, p->cased ? &f->cased : &f->folded, id);
			break;
		case SL_OP_CONTAINS:
		case SL_OP_STARTSWITH:
		case SL_OP_ENDSWITH:
		case SL_OP_GLOB:
			sl_ids_add(set->arena, p->cased ? &f->cased_patterns : &f->patterns, id);
			break;
		case SL_OP_LT:
		case SL_OP_LTE:
		case SL_OP_GT:
		case SL_OP_GTE:
			sl_ids_add(set->arena, &f->bounds[p->op - SL_OP_LT], id);
			break;
		case SL_OP_EXISTS:
			f->exists = id + 1;
			break;
		case SL_OP_NOT_NULL:
			f->not_null = id + 1;
			break;
	}
}

static uint32_t
intern_predicate(sl_ruleset *set, sl_predicate *p)
{
	uint32_t at;

	grow_table(set->arena, &set->predicate_table, predicate_hash, set);
	at = (uint32_t) predicate_hash_of(p) & set->predicate_table.mask;
	for (; set->predicate_table.slots[at]; at = (at + 1) & set->predicate_table.mask)
	{
		const sl_predicate *q = set->predicates[set->predicate_table.slots[at] - 1];

		if (q->op == p->op && q->cased == p->cased && q->keyword == p->keyword &&
			q->number == p->number && sl_str_eq(sl_field_name(q->field), sl_field_name(p->field)) &&
			sl_str_eq(q->text, p->text))
			return set->predicate_table.slots[at] - 1;
	}
	if (set->n_predicates == set->cap_predicates)
	{
		uint32_t cap = set->cap_predicates ? set->cap_predicates * 2 : 64;
		sl_predicate **v = sl_alloc(set->arena, cap * sizeof(*v));

		if (set->n_predicates)
			memcpy(v, set->predicates, set->n_predicates * sizeof(*v));
		set->predicates = v;
		set->cap_predicates = cap;
	}
	set->predicates[set->n_predicates++] = p;
	set->predicate_table.slots[at] = set->n_predicates;
	set->predicate_table.n++;
	place_predicate(set, p, set->n_predicates - 1);
	return set->n_predicates - 1;
}

static uint32_t
compile_expr(sl_ruleset *set, const sl_expr *from)
{
	expr e = {.kind = from->kind, .n = (uint32_t) from->n};

	if (from->kind == SL_EXPR_PREDICATE)
		e.predicate = intern_predicate(set, from->predicate);
	else
	{
		/* operands first, so that theirs stand together afterwards */
		uint32_t *operands = sl_alloc(set->arena, from->n * sizeof(uint32_t));

		for (size_t i = 0; i < from->n; i++)
			operands[i] = compile_expr(set, from->children[i]);
		e.first = set->children.n;
		for (size_t i = 0; i < from->n; i++)
			sl_ids_add(set->arena, &set->children, operands[i]);
	}
	if (set->n_exprs == set->cap_exprs)
	{
		uint32_t cap = set->cap_exprs ? set->cap_exprs * 2 : 64;
		expr *v = sl_alloc(set->arena, cap * sizeof(expr));

		if (set->n_exprs)
			memcpy(v, set->exprs, set->n_exprs * sizeof(expr));
		set->exprs = v;
		set->cap_exprs = cap;
	}
	set->exprs[set->n_exprs] = e;
	return set->n_exprs++;
}

void
sl_ruleset_add(sl_ruleset *set, sl_rule *rule)
{
	if (set->n_rules == set->cap_rules)
	{
		size_t cap = set->cap_rules ? set->cap_rules * 2 : 16;
		sl_rule **rules = sl_alloc(set->arena, cap * sizeof(*rules));
		uint32_t *roots = sl_alloc(set->arena, cap * sizeof(*roots));

		if (set->n_rules)
		{
			memcpy(rules, set->rules, set->n_rules * sizeof(*rules));
			memcpy(roots, set->roots, set->n_rules * sizeof(*roots));
		}
		set->rules = rules;
		set->roots = roots;
		set->cap_rules = cap;
	}
	set->rules[set->n_rules] = rule;
	set->roots[set->n_rules++] = compile_expr(set, rule->condition);
}

/* How often a predicate is likely true, as a rank: lower is rarer. */
static unsigned
rank_of(const sl_predicate *p)
{
	if (p->keyword)
		return 4;
	switch (p->op)
	{
		case SL_OP_EQUALS:
			return 1;
		case SL_OP_STARTSWITH:
		case SL_OP_ENDSWITH:
			return 2;
		case SL_OP_CONTAINS:
			return p->text.n < 3 ? 8 : 3;
		case SL_OP_GLOB:
			return 3;
		case SL_OP_EXISTS:
		case SL_OP_NOT_NULL:
			return 10;
		default:
			return 6;
	}
}

/*
 * Collects the triggers of an expression into out (when not NULL) and says
 * what they cost; 0 if the expression can be true without any.
 */
static unsigned long
triggers_of(const sl_ruleset *set, uint32_t id, sl_arena *arena, ids *out)
{
	const expr *e = &set->exprs[id];
	unsigned long cost,
		total = 0;
	uint32_t best = 0;

	switch (e->kind)
	{
		case SL_EXPR_PREDICATE:
			if (out)
				sl_ids_add(arena, out, e->predicate);
			/* a square, so that one common predicate outweighs several rare ones */
			cost = rank_of(set->predicates[e->predicate]);
			return cost * cost;
		case SL_EXPR_NOT:
			return 0;
		case SL_EXPR_OR:
			for (uint32_t i = 0; i < e->n; i++)
			{
				cost = triggers_of(set, set->children.v[e->first + i], arena, out);
				if (cost == 0)
					return 0;
				total += cost;
			}
			return total;
		case SL_EXPR_AND:
			for (uint32_t i = 0; i < e->n; i++)
			{
				cost = triggers_of(set, set->children.v[e->first + i], arena, NULL);
				if (cost && (!total || cost < total))
				{
					total = cost;
					best = i;
				}
			}
			if (total && out)
				triggers_of(set, set->children.v[e->first + best], arena, out);
			return total;
	}
	return 0;
}

static int
by_bound(const void *a, const void *b, void *context)
{
	const sl_ruleset *set = context;
	double x = set->predicates[*(const uint32_t *) a]->number,
		   y = set->predicates[*(const uint32_t *) b]->number;

	return x < y ? -1 : x > y;
}

void
sl_ruleset_finish(sl_ruleset *set)
{
	set->triggers = sl_alloc0(set->arena, (set->n_predicates + 1) * sizeof(ids));
	for (size_t i = 0; i < set->n_rules; i++)
	{
		ids found = {0};

		if (triggers_of(set, set->roots[i], set->arena, NULL) == 0)
		{
			sl_ids_add(set->arena, &set->always, (uint32_t) i);
			continue;
		}
		triggers_of(set, set->roots[i], set->arena, &found);
		for (uint32_t k = 0; k < found.n; k++)
		{
			ids *list = &set->triggers[found.v[k]];

			if (list->n == 0 || list->v[list->n - 1] != i)
				sl_ids_add(set->arena, list, (uint32_t) i);
		}
	}
	for (uint32_t i = 0; i < set->n_fields; i++)
		for (int k = 0; k < 4; k++)
			if (set->fields[i].bounds[k].n > 1)
				qsort_r(set->fields[i].bounds[k].v, set->fields[i].bounds[k].n,
						sizeof(uint32_t), by_bound, set);
}
