/*
 * match.c
 *	  A record against a rule set.
 *
 * The record drives: each of its fields is looked up once among the fields
 * that rules ask for.  Predicates and rules are marked with the number of
 * the call, so nothing has to be cleared between records.
 */
#include "internal.h"
#include "../utf8.h"

#include <stdlib.h>

sl_matcher *
sl_matcher_new(sl_arena *arena, const sl_ruleset *set)
{
	sl_matcher *m = sl_alloc0(arena, sizeof(*m));

	m->set = set;
	m->set_at = sl_alloc0(arena, (set->n_predicates + 1) * sizeof(uint32_t));
	m->seen_at = sl_alloc0(arena, (set->n_rules + 1) * sizeof(uint32_t));
	m->candidates = sl_alloc(arena, (set->n_rules + 1) * sizeof(uint32_t));
	m->matches = sl_alloc(arena, (set->n_rules + 1) * sizeof(uint32_t));
	return m;
}

size_t
sl_matcher_candidates(const sl_matcher *m, const uint32_t **rules)
{
	*rules = m->candidates;
	return m->n_candidates;
}

static void
add_candidate(sl_matcher *m, uint32_t rule)
{
	if (m->seen_at[rule] != m->epoch)
	{
		m->seen_at[rule] = m->epoch;
		m->candidates[m->n_candidates++] = rule;
	}
}

static void
set_predicate(sl_matcher *m, uint32_t id)
{
	const ids *rules = &m->set->triggers[id];

	if (m->set_at[id] == m->epoch)
		return;
	m->set_at[id] = m->epoch;
	for (uint32_t i = 0; i < rules->n; i++)
		add_candidate(m, rules->v[i]);
}

static void
find_value(sl_matcher *m, const value_table *table, sl_str text)
{
	uint32_t at;

	if (table->n == 0)
		return;
	at = (uint32_t) sl_hash(text, 0) & table->mask;
	for (; table->slots[at]; at = (at + 1) & table->mask)
	{
		uint32_t id = table->slots[at] - 1;

		if (sl_str_eq(m->set->predicates[id]->text, text))
			set_predicate(m, id);
	}
}

static bool
pattern_true(const sl_predicate *p, sl_str s)
{
	switch (p->op)
	{
		case SL_OP_CONTAINS:
			return p->text.n == 0 || memmem(s.p, s.n, p->text.p, p->text.n) != NULL;
		case SL_OP_STARTSWITH:
			return s.n >= p->text.n && memcmp(s.p, p->text.p, p->text.n) == 0;
		case SL_OP_ENDSWITH:
			return s.n >= p->text.n && memcmp(s.p + s.n - p->text.n, p->text.p, p->text.n) == 0;
		case SL_OP_GLOB:
			return sl_glob(p->text, s);
		default:
			return false;
	}
}

static void
try_patterns(sl_matcher *m, const ids *patterns, sl_str s)
{
	for (uint32_t i = 0; i < patterns->n; i++)
	{
		uint32_t id = patterns->v[i];

		if (m->set_at[id] != m->epoch && pattern_true(m->set->predicates[id], s))
			set_predicate(m, id);
	}
}

static bool
number_of(const sl_value *value, double *number)
{
	char digits[64];
	char *end;
	sl_str s;

	switch (value->type)
	{
		case SL_INT:
			*number = (double) value->u.i;
			return true;
		case SL_DOUBLE:
			*number = value->u.d;
			return *number == *number;
		case SL_STRING:
			s = value->u.s;
			if (s.n == 0 || s.n >= sizeof(digits) ||
				!((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '-' || s.p[0] == '+' || s.p[0] == '.'))
				return false;
			memcpy(digits, s.p, s.n);
			digits[s.n] = '\0';
			/* strtod would take 0x10, inf and nan, which are no numbers of Sigma's */
			if (strspn(digits, "0123456789+-.eE") != s.n)
				return false;
			*number = strtod(digits, &end);
			return *end == '\0';
		default:
			return false;
	}
}

/* Marks the bounds that x satisfies: one side of a sorted list. */
static void
try_bounds(sl_matcher *m, const field *f, double x)
{
	for (int k = 0; k < 4; k++)
	{
		const ids *bounds = &f->bounds[k];
		uint32_t lo = 0,
				 hi = bounds->n;
		/* lt and gte turn true where bound > x begins, resp. ends */
		bool strict = k == SL_OP_LT - SL_OP_LT || k == SL_OP_GTE - SL_OP_LT;

		while (lo < hi)
		{
			uint32_t mid = (lo + hi) / 2;
			double bound = m->set->predicates[bounds->v[mid]]->number;

			if (strict ? bound > x : bound >= x)
				hi = mid;
			else
				lo = mid + 1;
		}
		if (k <= SL_OP_LTE - SL_OP_LT)
			for (uint32_t i = lo; i < bounds->n; i++)
				set_predicate(m, bounds->v[i]);
		else
			for (uint32_t i = 0; i < lo; i++)
				set_predicate(m, bounds->v[i]);
	}
}

static void
try_value(sl_matcher *m, const field *f, const sl_value *value, sl_arena *scratch)
{
	sl_str text,
		folded;
	double number;

	if (f->exists)
		set_predicate(m, f->exists - 1);
	if (value->type == SL_NULL)
		return;
	if (f->not_null)
		set_predicate(m, f->not_null - 1);
	if (f->folded.n || f->cased.n || f->patterns.n || f->cased_patterns.n)
	{
		text = sl_value_text(scratch, value);
		if (f->folded.n || f->patterns.n)
		{
			folded = sl_fold(scratch, text);
			find_value(m, &f->folded, folded);
			try_patterns(m, &f->patterns, folded);
		}
		find_value(m, &f->cased, text);
		try_patterns(m, &f->cased_patterns, text);
	}
	if ((f->bounds[0].n || f->bounds[1].n || f->bounds[2].n || f->bounds[3].n) &&
		number_of(value, &number))
		try_bounds(m, f, number);
}

static void
try_keywords(sl_matcher *m, const sl_value *value, sl_arena *scratch)
{
	sl_str text,
		folded;

	if (value->type == SL_NULL)
		return;
	text = sl_value_text(scratch, value);
	folded = sl_fold(scratch, text);
	for (uint32_t i = 0; i < m->set->keywords.n; i++)
	{
		uint32_t id = m->set->keywords.v[i];
		const sl_predicate *p = m->set->predicates[id];

		if (m->set_at[id] != m->epoch && pattern_true(p, p->cased ? text : folded))
			set_predicate(m, id);
	}
}

/* A time, as records show it; which is its field + 1, or 0. */
static void
try_time(sl_matcher *m, uint32_t which, int64_t ns, sl_arena *scratch)
{
	if (which && ns)
	{
		char *when = sl_alloc(scratch, 64);
		sl_value value = {.type = SL_STRING};

		sl_format_timestamp(when, ns);
		value.u.s = (sl_str){when, strlen(when)};
		try_value(m, &m->set->fields[which - 1], &value, scratch);
	}
}

static const field *
find_field(const sl_ruleset *set, sl_str name, bool resource)
{
	uint32_t at;

	if (set->n_fields == 0)
		return NULL;
	at = (uint32_t) sl_hash(name, resource) & set->field_table.mask;
	for (; set->field_table.slots[at]; at = (at + 1) & set->field_table.mask)
	{
		const field *f = &set->fields[set->field_table.slots[at] - 1];

		if (f->resource == resource && sl_str_eq(f->name, name))
			return f;
	}
	return NULL;
}

static void
try_fields(sl_matcher *m, const sl_fields *fields, bool resource, sl_arena *scratch)
{
	for (uint32_t i = 0; i < fields->n; i++)
	{
		const sl_field *from = &fields->v[i];
		const field *f = NULL;

		if (resource && m->set->any_resource)
			f = find_field(m->set, from->name, true);
		else if (!resource)
		{
			/* a second spelling of a known name stays among the attributes */
			f = find_field(m->set, sl_field_name(from->name), false);
			/* an object "resource" in plain JSON is asked for like a resource */
			if (!f && m->set->any_resource && sl_str_starts(from->name, "resource."))
				f = find_field(m->set, (sl_str){from->name.p + 9, from->name.n - 9}, true);
		}
		if (f)
			try_value(m, f, &from->value, scratch);
		if (m->set->keywords.n)
			try_keywords(m, &from->value, scratch);
	}
}

static bool
expr_true(const sl_matcher *m, uint32_t id)
{
	const expr *e = &m->set->exprs[id];
	const uint32_t *children = m->set->children.v + e->first;

	switch (e->kind)
	{
		case SL_EXPR_PREDICATE:
			return m->set_at[e->predicate] == m->epoch;
		case SL_EXPR_NOT:
			return !expr_true(m, children[0]);
		case SL_EXPR_AND:
			for (uint32_t i = 0; i < e->n; i++)
				if (!expr_true(m, children[i]))
					return false;
			return true;
		case SL_EXPR_OR:
			for (uint32_t i = 0; i < e->n; i++)
				if (expr_true(m, children[i]))
					return true;
			return false;
	}
	return false;
}

static int
ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a,
			 y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

size_t
sl_match(sl_matcher *m, const sl_record *record, sl_arena *scratch, const uint32_t **rules)
{
	const sl_ruleset *set = m->set;
	size_t n = 0;

	if (++m->epoch == 0)
	{
		/* the number has come round: forget all marks */
		memset(m->set_at, 0, set->n_predicates * sizeof(uint32_t));
		memset(m->seen_at, 0, set->n_rules * sizeof(uint32_t));
		m->epoch = 1;
	}
	m->n_candidates = 0;
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (record->text[i].p && (set->known[i] || set->keywords.n))
		{
			sl_value value = {.type = SL_STRING, .u.s = record->text[i]};

			if (set->known[i])
				try_value(m, &set->fields[set->known[i] - 1], &value, scratch);
			if (set->keywords.n)
				try_keywords(m, &value, scratch);
		}
	if (set->severity && record->severity)
	{
		sl_value value = {.type = SL_INT, .u.i = record->severity};

		try_value(m, &set->fields[set->severity - 1], &value, scratch);
	}
	try_time(m, set->timestamp, record->timestamp, scratch);
	try_time(m, set->observed, record->observed, scratch);
	try_fields(m, &record->attributes, false, scratch);
	if (record->resource && (set->any_resource || set->keywords.n))
		try_fields(m, &record->resource->fields, true, scratch);
	for (uint32_t i = 0; i < set->always.n; i++)
		add_candidate(m, set->always.v[i]);

	for (size_t i = 0; i < m->n_candidates; i++)
		if (expr_true(m, set->roots[m->candidates[i]]))
			m->matches[n++] = m->candidates[i];
	if (n > 1)
		qsort(m->matches, n, sizeof(uint32_t), ascending);
	*rules = m->matches;
	return n;
}
