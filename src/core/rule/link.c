/*
 * link.c
 *	  Rules that name rules: correlations and filters find theirs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* qsort_r */
#endif

#include "correlation.h"

#include <stdlib.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct linker
{
	sl_rule **rules;
	size_t n;
	sl_arena *arena;
	uint32_t *slots; /* of rules by id, name and stored name; rule + 1 */
	uint32_t mask;
	void (*report)(void *arg, sl_rule *rule, const sl_error *err);
	void *arg;
} linker;

static void
complain(linker *l, sl_rule *rule, const sl_error *err)
{
	rule->broken = true;
	l->report(l->arg, rule, err);
}

bool
sl_rule_is_called(const sl_rule *rule, sl_str name)
{
	return (rule->id.p && rule->id.n == name.n && strncasecmp(rule->id.p, name.p, 36) == 0) ||
		   sl_str_eq(rule->name, name) || (rule->stored_name.p && sl_str_eq(rule->stored_name, name));
}

static uint64_t
hash_name(sl_str name)
{
	char lower[36];

	/* ids mind no case; a name that looks like one only shares its slot */
	if (name.n != 36)
		return XXH3_64bits(name.p, name.n);
	for (int i = 0; i < 36; i++)
		lower[i] = (char) (name.p[i] | 0x20);
	return XXH3_64bits(lower, 36);
}

static void
add_name(linker *l, sl_str name, uint32_t rule)
{
	uint32_t at = (uint32_t) hash_name(name) & l->mask;

	while (l->slots[at])
		at = (at + 1) & l->mask;
	l->slots[at] = rule + 1;
}

/* The rule so named; n when there is none, n + 1 when there are two. */
static size_t
find(const linker *l, sl_str name)
{
	uint32_t at = (uint32_t) hash_name(name) & l->mask;
	size_t found = l->n;

	for (; l->slots[at]; at = (at + 1) & l->mask)
	{
		uint32_t rule = l->slots[at] - 1;

		if (!sl_rule_is_called(l->rules[rule], name) || rule == found)
			continue;
		if (found < l->n)
			return l->n + 1;
		found = rule;
	}
	return found;
}

/* The rule that has an id, whatever else is called like that; n when there is none. */
static size_t
find_id(const linker *l, sl_str id)
{
	for (uint32_t at = (uint32_t) hash_name(id) & l->mask; l->slots[at]; at = (at + 1) & l->mask)
		if (l->rules[l->slots[at] - 1]->id.p && sl_str_eq(l->rules[l->slots[at] - 1]->id, id))
			return l->slots[at] - 1;
	return l->n;
}

/* Two rules with one id: the first keeps it. */
static void
find_names(linker *l)
{
	uint32_t size = 16;

	while (size < l->n * 8)
		size *= 2;
	l->mask = size - 1;
	l->slots = sl_alloc0(l->arena, size * sizeof(uint32_t));
	for (size_t i = 0; i < l->n; i++)
	{
		sl_rule *rule = l->rules[i];

		rule->broken = false;
		rule->alerts = rule->kind != SL_FILTER;
		if (rule->id.p)
		{
			size_t other = find_id(l, rule->id);

			if (other < l->n)
			{
				sl_error err = {0};
				const sl_node *node = sl_node_get(rule->definition, "id");

				sl_fail_at(&err, node ? node->line : 0, node ? node->col : 0, SL_DUPLICATE_OBJECT,
						   "id %.*s is already that of rule \"%.*s\"", SL_STR_FMT(rule->id), SL_STR_FMT(l->rules[other]->name));
				sl_error_hint(&err, "Give each rule an id of its own.");
				complain(l, rule, &err);
				continue;
			}
			add_name(l, rule->id, (uint32_t) i);
		}
		add_name(l, rule->name, (uint32_t) i);
		if (rule->stored_name.p && !sl_str_eq(rule->stored_name, rule->name))
			add_name(l, rule->stored_name, (uint32_t) i);
	}
}

/* The rule that the nth name under "rules" means, or n with a complaint. */
static size_t
resolve(linker *l, sl_rule *rule, const char *section, sl_str name, size_t nth)
{
	const sl_node *list = sl_node_get(sl_node_get(rule->definition, section), "rules");
	const sl_node *where = list && list->kind == SL_LIST && nth < list->n ? list->entries[nth].value : list;
	size_t found = find(l, name);
	sl_error err = {0};

	if (found < l->n && l->rules[found] != rule && l->rules[found]->kind != SL_FILTER && !l->rules[found]->broken &&
		(rule->kind == SL_CORRELATION || l->rules[found]->kind == SL_DETECTION))
		return found;
	sl_fail_at(&err, where ? where->line : 0, where ? where->col : 0, SL_UNDEFINED_OBJECT,
			   found > l->n				 ? "%s names rule \"%.*s\", and there are two of that name"
			   : found == l->n			 ? "%s names rule \"%.*s\", which is not there"
			   : l->rules[found] == rule ? "%s names itself, \"%.*s\""
			   : l->rules[found]->broken ? "%s names rule \"%.*s\", which is left out itself"
										 : "%s names \"%.*s\", which is of another kind",
			   section, SL_STR_FMT(name));
	sl_error_hint(&err, found > l->n	? "Name it by its id."
						: found == l->n ? "Import that rule, too (and enable it), or mend the name."
										: "A correlation names detections and correlations, a filter detections.");
	complain(l, rule, &err);
	return l->n;
}

static void
link_filter(linker *l, sl_rule *rule)
{
	rule->target_index = sl_alloc(l->arena, (rule->n_targets + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < rule->n_targets && !rule->broken; i++)
		rule->target_index[i] = (uint32_t) resolve(l, rule, "filter", rule->targets[i], i);
}

/* In a circle by way of a rule, or too long. */
static void
refuse_chain(linker *l, sl_rule *rule, const sl_str *circle)
{
	sl_error err = {0};

	sl_fail_at(&err, rule->definition ? rule->definition->line : 0, rule->definition ? rule->definition->col : 0,
			   SL_INVALID_PARAMETER, "correlation \"%.*s\" is part of a %s", SL_STR_FMT(rule->name),
			   circle ? "cycle" : "chain that is too long");
	if (circle)
		sl_error_detail(&err, "It names \"%.*s\", which comes to depend on it.", SL_STR_FMT(*circle));
	else
		sl_error_detail(&err, "%d correlations may follow one another.", SL_CORRELATION_MAX_DEPTH);
	complain(l, rule, &err);
}

/* depths: 0 = not looked at, UINT32_MAX = being looked at. */
static void
link_correlation(linker *l, uint32_t at, uint32_t *depths, int level)
{
	sl_rule *rule = l->rules[at];
	sl_correlation *c = rule->correlation;
	uint32_t depth = 1;

	depths[at] = UINT32_MAX;
	c->rule_index = sl_alloc0(l->arena, c->n_rules * sizeof(uint32_t));
	c->group_fields = sl_alloc0(l->arena, (c->n_rules * c->n_group_by + 1) * sizeof(sl_str));
	for (size_t i = 0; i < c->n_rules; i++)
	{
		size_t found = find(l, c->rules[i]);

		if (found < l->n && l->rules[found]->kind == SL_CORRELATION && l->rules[found] != rule)
		{
			bool cycle = depths[found] == UINT32_MAX;

			if (cycle || level > SL_CORRELATION_MAX_DEPTH)
			{
				refuse_chain(l, rule, cycle ? &c->rules[i] : NULL);
				break;
			}
			if (depths[found] == 0)
				link_correlation(l, (uint32_t) found, depths, level + 1);
			if (depths[found] + 1 > depth)
				depth = depths[found] + 1;
		}
		found = resolve(l, rule, "correlation", c->rules[i], i);
		if (found == l->n)
			break;
		c->rule_index[i] = (uint32_t) found;
		for (size_t k = 0; k < c->n_group_by; k++)
		{
			sl_str field = c->group_by[k];

			for (size_t a = 0; a < c->n_aliases; a++)
				if (sl_str_eq(c->aliases[a].name, field) && sl_str_eq(c->aliases[a].rule, c->rules[i]))
				{
					field = c->aliases[a].field;
					break;
				}
			c->group_fields[i * c->n_group_by + k] = field;
		}
	}
	if (depth > SL_CORRELATION_MAX_DEPTH && !rule->broken)
		refuse_chain(l, rule, NULL);
	c->depth = depth;
	depths[at] = depth;
}

void
sl_rules_link(sl_rule **rules, size_t n, sl_arena *arena,
			  void (*report)(void *arg, sl_rule *rule, const sl_error *err), void *arg)
{
	linker l = {.rules = rules, .n = n, .arena = arena, .report = report, .arg = arg};
	uint32_t *depths = sl_alloc0(arena, (n + 1) * sizeof(uint32_t));

	find_names(&l);
	for (size_t i = 0; i < n; i++)
		if (rules[i]->kind == SL_FILTER && !rules[i]->broken)
			link_filter(&l, rules[i]);
		else if (rules[i]->kind == SL_CORRELATION && !rules[i]->broken && depths[i] == 0)
			link_correlation(&l, (uint32_t) i, depths, 1);

	/* what a correlation names raises no alert, unless one of them says so */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n; i++)
		{
			const sl_correlation *c = rules[i]->correlation;

			if (!c || rules[i]->broken || c->generate != (pass == 1))
				continue;
			for (size_t k = 0; k < c->n_rules; k++)
				rules[c->rule_index[k]]->alerts = c->generate;
		}
}
