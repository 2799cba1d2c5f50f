/*
 * correlation.c
 *	  The key "correlation" of a rule: Sigma's types and ours.
 */
#include "correlation.h"
#include "reader.h"

#include <math.h>

const char *const sl_correlation_type_name[] = {"event_count", "value_count", "temporal", "temporal_ordered",
												"value_sum", "value_avg", "value_percentile", "value_median",
												"absence", "spike", "new_value", "value_change", "ratio"};

static const char *const bound_names[] = {"gt", "gte", "lt", "lte", "eq", "neq"};

#define SECOND INT64_C(1000000000)
#define DEFAULT_LATENESS (300 * SECOND)
#define DEFAULT_HISTORY (30 * 86400 * SECOND)

/* What each type's condition may and must hold. */
enum
{
	BOUNDS = 1,
	FIELD = 2,
	MUST_FIELD = 4,
	MUST_BOUNDS = 8,
	MUST_TIMESPAN = 16
};

static const unsigned type_wants[] = {
	[SL_EVENT_COUNT] = BOUNDS | MUST_BOUNDS | MUST_TIMESPAN,
	[SL_VALUE_COUNT] = BOUNDS | MUST_BOUNDS | FIELD | MUST_FIELD | MUST_TIMESPAN,
	[SL_TEMPORAL] = BOUNDS | MUST_TIMESPAN,
	[SL_TEMPORAL_ORDERED] = MUST_TIMESPAN,
	[SL_VALUE_SUM] = BOUNDS | MUST_BOUNDS | FIELD | MUST_FIELD | MUST_TIMESPAN,
	[SL_VALUE_AVG] = BOUNDS | MUST_BOUNDS | FIELD | MUST_FIELD | MUST_TIMESPAN,
	[SL_VALUE_PERCENTILE] = BOUNDS | MUST_BOUNDS | FIELD | MUST_FIELD | MUST_TIMESPAN,
	[SL_VALUE_MEDIAN] = BOUNDS | MUST_BOUNDS | FIELD | MUST_FIELD | MUST_TIMESPAN,
	[SL_ABSENCE] = MUST_TIMESPAN,
	[SL_SPIKE] = MUST_TIMESPAN,
	[SL_NEW_VALUE] = FIELD | MUST_FIELD | MUST_TIMESPAN,
	[SL_VALUE_CHANGE] = FIELD | MUST_FIELD,
	[SL_RATIO] = BOUNDS | MUST_BOUNDS | MUST_TIMESPAN,
};

static bool
read_type(sl_reader *r, const sl_node *map, sl_correlation *c)
{
	sl_str type = {0};
	const sl_node *node = sl_node_get(map, "type");
	size_t i = 0;

	if (!sl_read_text(r, map, "type", 64, &type))
		return false;
	while (i <= SL_RATIO && !sl_str_is(type, sl_correlation_type_name[i]))
		i++;
	if (i > SL_RATIO)
	{
		sl_buf known;

		sl_buf_init(&known, r->arena, 256);
		for (i = 0; i <= SL_RATIO; i++)
			sl_buf_printf(&known, "%s%s", i ? ", " : "", sl_correlation_type_name[i]);
		sl_fail_at(r->err, node ? node->line : map->line, node ? node->col : map->col, SL_SYNTAX,
				   type.p ? "unknown correlation type \"%.*s\"" : "correlation has no type%.*s", SL_STR_FMT(type));
		sl_error_hint(r->err, "It is one of %s.", known.p);
		return false;
	}
	c->type = (sl_correlation_type) i;
	return true;
}

static bool
read_aliases(sl_reader *r, const sl_node *map, sl_correlation *c)
{
	sl_node *aliases = sl_node_get(map, "aliases");

	if (!aliases)
		return true;
	if (aliases->kind != SL_MAP || aliases->n > SL_CORRELATION_MAX_FIELDS)
		return sl_fail_at(r->err, aliases->line, aliases->col, SL_SYNTAX, "\"aliases\" is not a map of up to %d names",
						  SL_CORRELATION_MAX_FIELDS);
	c->aliases = sl_alloc(r->arena, (aliases->n * SL_CORRELATION_MAX_RULES + 1) * sizeof(sl_alias));
	for (size_t i = 0; i < aliases->n; i++)
	{
		const sl_entry *alias = &aliases->entries[i];

		if (alias->value->kind != SL_MAP || alias->value->n == 0 || alias->value->n > SL_CORRELATION_MAX_RULES)
		{
			sl_fail_entry(r, alias, SL_SYNTAX, "alias \"%.*s\" is not a map of rules to their fields");
			sl_error_hint(r->err, "Write \"name: {rule_a: source.ip, rule_b: client.ip}\".");
			return false;
		}
		for (size_t k = 0; k < alias->value->n; k++)
		{
			const sl_entry *entry = &alias->value->entries[k];
			bool named = false;

			if (entry->value->kind != SL_SCALAR || entry->value->text.n == 0)
				return sl_fail_entry(r, entry, SL_SYNTAX, "field that an alias has in rule \"%.*s\" is not a name");
			for (size_t n = 0; n < c->n_rules; n++)
				named |= sl_str_eq(c->rules[n], entry->key);
			if (!named)
			{
				sl_fail_entry(r, entry, SL_SYNTAX, "alias names rule \"%.*s\", which is not among this correlation's");
				sl_error_hint(r->err, "Name rules as they are under \"rules\".");
				return false;
			}
			c->aliases[c->n_aliases++] = (sl_alias){alias->key, entry->key, sl_text_of(entry->value)};
		}
	}
	return true;
}

static bool
read_number(sl_reader *r, const sl_entry *entry, double lowest, double *number)
{
	const sl_value *value = &entry->value->value;

	if (entry->value->kind != SL_SCALAR || (value->type != SL_INT && value->type != SL_DOUBLE))
		return sl_fail_at(r->err, entry->value->line, entry->value->col, SL_SYNTAX, "\"%.*s\" takes a number, not %s",
						  SL_STR_FMT(entry->key), sl_node_describe(entry->value));
	*number = value->type == SL_INT ? (double) value->u.i : value->u.d;
	if (!isfinite(*number) || *number < lowest)
		return sl_fail_at(r->err, entry->value->line, entry->value->col, SL_INVALID_PARAMETER,
						  "\"%.*s\" is less than %g", SL_STR_FMT(entry->key), lowest);
	return true;
}

static bool
refuse_key(sl_reader *r, const sl_entry *entry, const sl_correlation *c)
{
	sl_fail_at(r->err, entry->line, entry->col, SL_SYNTAX, "condition of \"%s\" has no \"%.*s\"",
			   sl_correlation_type_name[c->type], SL_STR_FMT(entry->key));
	sl_error_hint(r->err, "docs/rules.md says what each type's condition holds.");
	return false;
}

/* One entry of the condition's map. */
static bool
read_condition_key(sl_reader *r, const sl_entry *entry, sl_correlation *c)
{
	double lowest = c->type >= SL_VALUE_SUM && c->type <= SL_VALUE_MEDIAN ? -HUGE_VAL : 0;

	for (size_t op = 0; op < 6; op++)
		if (sl_str_is(entry->key, bound_names[op]))
		{
			if (!(type_wants[c->type] & BOUNDS))
				return refuse_key(r, entry, c);
			if (c->n_bounds == 2)
				return sl_fail_entry(r, entry, SL_SYNTAX, "\"%.*s\" is a third bound: two make a range");
			c->bounds[c->n_bounds].op = op;
			return read_number(r, entry, lowest, &c->bounds[c->n_bounds++].number);
		}
	if (sl_str_is(entry->key, "field") && (type_wants[c->type] & FIELD))
		return sl_read_texts(r, entry, c->type == SL_VALUE_COUNT || c->type >= SL_ABSENCE ? SL_CORRELATION_MAX_FIELDS : 1,
							 &c->fields, &c->n_fields);
	if (sl_str_is(entry->key, "percentile") && c->type == SL_VALUE_PERCENTILE)
	{
		if (!read_number(r, entry, 0, &c->percentile))
			return false;
		return c->percentile <= 100 || sl_fail_entry(r, entry, SL_INVALID_PARAMETER, "\"%.*s\" is more than 100");
	}
	if (sl_str_is(entry->key, "min") && c->type == SL_ABSENCE)
		return read_number(r, entry, 1, &c->min) &&
			   (c->min <= 1000 || sl_fail_entry(r, entry, SL_INVALID_PARAMETER, "\"%.*s\" is more than 1000"));
	if (sl_str_is(entry->key, "height") && c->type == SL_SPIKE)
		return read_number(r, entry, 1, &c->height);
	if (sl_str_is(entry->key, "min_reference") && c->type == SL_SPIKE)
		return read_number(r, entry, 0, &c->min_reference);
	if (sl_str_is(entry->key, "direction") && c->type == SL_SPIKE)
	{
		static const char *const names[] = {"up", "down", "both"};

		for (int i = 0; i < 3; i++)
			if (entry->value->kind == SL_SCALAR && sl_str_is(entry->value->text, names[i]))
			{
				c->direction = (sl_direction) i;
				return true;
			}
		return sl_fail_entry(r, entry, SL_INVALID_PARAMETER, "\"%.*s\" is one of up, down, both");
	}
	if (sl_str_is(entry->key, "history") && (c->type == SL_NEW_VALUE || c->type == SL_ABSENCE))
	{
		sl_node one = {.kind = SL_MAP, .entries = (sl_entry *) entry, .n = 1};

		return sl_read_timespan(r, &one, "history", &c->history);
	}
	return refuse_key(r, entry, c);
}

static bool
read_condition(sl_reader *r, const sl_node *map, sl_correlation *c)
{
	const sl_node *condition = sl_node_get(map, "condition");
	unsigned wants = type_wants[c->type];

	if (condition && condition->kind != SL_MAP)
	{
		sl_fail_at(r->err, condition->line, condition->col, SL_SYNTAX, "a correlation's condition is a map, not %s",
				   sl_node_describe(condition));
		sl_error_hint(r->err, "Write, for example, \"gte: 10\".");
		return false;
	}
	for (size_t i = 0; condition && i < condition->n; i++)
		if (!read_condition_key(r, &condition->entries[i], c))
			return false;
	if (!condition)
		condition = map;
	if ((wants & MUST_BOUNDS) && c->n_bounds == 0)
	{
		sl_fail_at(r->err, condition->line, condition->col, SL_SYNTAX, "condition of \"%s\" compares with nothing",
				   sl_correlation_type_name[c->type]);
		sl_error_hint(r->err, "Add gt, gte, lt, lte, eq or neq with a number, for example \"gte: 10\".");
		return false;
	}
	if ((wants & MUST_FIELD) && c->n_fields == 0)
	{
		sl_fail_at(r->err, condition->line, condition->col, SL_SYNTAX, "condition of \"%s\" names no field",
				   sl_correlation_type_name[c->type]);
		sl_error_hint(r->err, "Add \"field:\" with the name of the field whose values are meant.");
		return false;
	}
	if (c->type == SL_SPIKE && c->height == 0)
	{
		sl_fail_at(r->err, condition->line, condition->col, SL_SYNTAX, "condition of \"spike\" has no height");
		sl_error_hint(r->err, "\"height: 3\" fires at three times the window before.");
		return false;
	}
	if (c->history < c->timespan && sl_node_get(condition, "history"))
		return sl_fail_entry(r, sl_node_entry(condition, "history"), SL_INVALID_PARAMETER, "\"%.*s\" is shorter than the timespan");
	return true;
}

bool
sl_correlation_read(sl_reader *r, const sl_entry *entry, sl_rule *rule)
{
	static const char *const known[] = {"type", "rules", "aliases", "group-by", "timespan", "condition", "generate", NULL};
	const sl_node *map = entry->value;
	const sl_entry *list;
	const sl_node *generate;
	sl_correlation *c = sl_alloc0(r->arena, sizeof(*c));

	rule->correlation = c;
	c->lateness = DEFAULT_LATENESS;
	c->history = DEFAULT_HISTORY;
	c->percentile = 50;
	c->min = 1;
	c->min_reference = 1;
	if (map->kind != SL_MAP)
		return sl_fail_at(r->err, map->line, map->col, SL_SYNTAX, "\"correlation\" is %s, not a map", sl_node_describe(map));
	if (!sl_refuse_unknown(r, map, " under \"correlation\"", known) || !read_type(r, map, c))
		return false;
	list = sl_node_entry(map, "rules");
	if (!list)
	{
		sl_fail_entry(r, entry, SL_SYNTAX, "\"%.*s\" names no rules");
		sl_error_hint(r->err, "Add \"rules:\" with a list of names or ids.");
		return false;
	}
	if (!sl_read_texts(r, list, SL_CORRELATION_MAX_RULES, &c->rules, &c->n_rules))
		return false;
	if (c->type == SL_RATIO && c->n_rules != 2)
	{
		sl_fail_entry(r, list, SL_SYNTAX, "\"%.*s\" of a ratio are two: whose matches, and of whose they are a share");
		return false;
	}
	list = sl_node_entry(map, "group-by");
	if (list && !sl_read_texts(r, list, SL_CORRELATION_MAX_FIELDS, &c->group_by, &c->n_group_by))
		return false;
	if (!read_aliases(r, map, c) || !sl_read_timespan(r, map, "timespan", &c->timespan))
		return false;
	if ((type_wants[c->type] & MUST_TIMESPAN) && c->timespan == 0)
	{
		sl_fail_entry(r, entry, SL_SYNTAX, "\"%.*s\" has no timespan");
		sl_error_hint(r->err, "Add \"timespan: 5m\".");
		return false;
	}
	generate = sl_node_get(map, "generate");
	if (generate)
	{
		if (generate->kind != SL_SCALAR || generate->value.type != SL_BOOL)
			return sl_fail_at(r->err, generate->line, generate->col, SL_SYNTAX, "\"generate\" is true or false");
		c->generate = generate->value.u.b;
	}
	return read_condition(r, map, c);
}

bool
sl_correlation_read_ours(sl_reader *r, const sl_node *map, sl_rule *rule)
{
	sl_correlation *c = rule->correlation;
	sl_str after = SL_STR("reset");
	const sl_entry *entry = sl_node_entry(map, "after");

	if (!c)
	{
		if (!entry)
			entry = sl_node_entry(map, "lateness");
		return !entry || sl_fail_entry(r, entry, SL_SYNTAX, "\"%.*s\" is for correlations only");
	}
	if (!sl_read_timespan(r, map, "lateness", &c->lateness) || !sl_read_text(r, map, "after", 16, &after))
		return false;
	c->slide = sl_str_is(after, "slide");
	if (!c->slide && !sl_str_is(after, "reset"))
	{
		sl_fail_entry(r, entry, SL_INVALID_PARAMETER, "\"%.*s\" is either reset or slide");
		sl_error_hint(r->err, "reset: the count starts over after firing; slide: it goes on.");
		return false;
	}
	return true;
}
