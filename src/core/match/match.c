/*
 * match.c
 *	  A record against a rule set.
 *
 * The record drives: each of its fields is looked up once among the fields
 * that rules ask for.  Predicates and rules are marked with the number of
 * the call, so nothing has to be cleared between records.  Only predicates
 * that trigger rules are looked for in all records; the others are tested
 * when a rule that was triggered depends on them, once for a record.
 */
#include "internal.h"
#include "../utf8.h"

#include <stdlib.h>
#include <time.h>

/* One in so many records is timed. */
#define SAMPLE 64

/* From this record on, values are remembered. */
#define RECALL_FROM 16

static void
free_matcher(void *what)
{
	sl_matcher *m = what;

	for (uint32_t i = 0; m->regexes && i < m->set->n_predicates; i++)
		sl_regex_free(m->regexes[i]);
	m->regexes = NULL;
	sl_regex_scratch_free(m->search);
	m->search = NULL;
	free(m->recall);
	m->recall = NULL;
}

sl_matcher *
sl_matcher_new(sl_arena *arena, const sl_ruleset *set)
{
	sl_matcher *m = sl_alloc0(arena, sizeof(*m));
	size_t predicates = (set->n_predicates + 1) * sizeof(uint32_t),
		   fields = (set->n_fields + 1) * sizeof(uint32_t),
		   rules = (set->n_rules + 1) * sizeof(uint32_t);

	m->set = set;
	m->tested = sl_alloc0(arena, predicates);
	m->field_at = sl_alloc0(arena, fields);
	m->first = sl_alloc(arena, fields);
	m->seen_at = sl_alloc0(arena, rules);
	m->candidates = sl_alloc(arena, rules);
	m->matches = sl_alloc(arena, rules);
	m->costs = sl_alloc0(arena, (set->n_rules + 1) * sizeof(*m->costs));
	sl_arena_on_reset(arena, free_matcher, m);
	for (uint32_t i = 0; i < set->n_predicates && !m->regexes; i++)
		if (set->predicates[i]->op == SL_OP_REGEX)
			m->regexes = sl_alloc0(arena, (set->n_predicates + 1) * sizeof(void *));
	if (m->regexes && !(m->search = sl_regex_scratch_new()))
		arena->out_of_memory(arena, 0);
	return m;
}

size_t
sl_matcher_candidates(const sl_matcher *m, const uint32_t **rules)
{
	*rules = m->candidates;
	return m->n_candidates;
}

sl_rule_cost *
sl_matcher_costs(sl_matcher *m)
{
	return m->costs;
}

static void
add_candidate(sl_matcher *m, uint32_t rule)
{
	if (m->seen_at[rule] != m->epoch)
	{
		m->seen_at[rule] = m->epoch;
		m->candidates[m->n_candidates++] = rule;
		/* by the time it is looked at, it will be near */
		__builtin_prefetch(&m->set->steps[m->set->programs[rule]]);
		__builtin_prefetch((const char *) &m->set->steps[m->set->programs[rule]] + 64);
		__builtin_prefetch(&m->costs[rule], 1);
	}
}

static void
add_candidates(sl_matcher *m, uint32_t id)
{
	const ids *rules = &m->set->triggers[id];

	for (uint32_t i = 0; i < rules->n; i++)
		add_candidate(m, rules->v[i]);
}

/* A predicate may be true of the value that is looked at. */
static void
trigger(sl_matcher *m, uint32_t id)
{
	if (m->noting)
		sl_recall_mark(m->noting, id, false);
	add_candidates(m, id);
}

static void
trigger_all(sl_matcher *m, const ids *predicates)
{
	for (uint32_t i = 0; i < predicates->n; i++)
		trigger(m, predicates->v[i]);
}

/* It is true. */
static void
set_predicate(sl_matcher *m, uint32_t id)
{
	if (m->noting)
		sl_recall_mark(m->noting, id, true);
	if (m->tested[id] == 2 * m->epoch + 1)
		return;
	m->tested[id] = 2 * m->epoch + 1;
	add_candidates(m, id);
}

static sl_str
text_of(sl_matcher *m, entry *e)
{
	if (!e->text.p)
	{
		e->text = sl_value_text(m->scratch, e->value);
		if (!e->text.p)
			e->text.p = "";
	}
	return e->text;
}

static sl_str
folded_of(sl_matcher *m, entry *e)
{
	if (!e->folded.p)
		e->folded = sl_fold(m->scratch, text_of(m, e));
	return e->folded;
}

/* Puts the entry noted last before the others of a field; the one after it, + 1. */
static uint32_t
chain(sl_matcher *m, uint32_t field)
{
	uint32_t next = m->field_at[field] == m->epoch ? m->first[field] : 0;

	m->field_at[field] = m->epoch;
	m->first[field] = m->n_entries;
	return next;
}

/*
 * Notes a value.  f: the field that rules ask for, or NULL where only
 * keywords matter.  What a record says is searched for those, not its times
 * and numbers.
 */
static void
note(sl_matcher *m, const field *f, const sl_value *value, bool keywords, int8_t *repeats)
{
	entry *e;

	keywords = keywords && m->set->anywhere && value->type != SL_NULL;
	if (!f && !keywords)
		return;
	SL_ROOM(m->scratch, m->entries, m->n_entries, m->cap_entries, 64);
	e = &m->entries[m->n_entries++];
	*e = (entry){.field = f, .keywords = keywords, .value = value, .repeats = repeats};
	if (f)
		e->next = chain(m, (uint32_t) (f - m->set->fields));
	if (keywords)
		e->next_anywhere = chain(m, m->set->anywhere - 1);
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

		if (sl_str_eq(m->set->tests[id].text, text))
			set_predicate(m, id);
	}
}

static bool
has_affix(sl_str text, sl_str affix, bool end)
{
	return text.n >= affix.n && memcmp(end ? text.p + text.n - affix.n : text.p, affix.p, affix.n) == 0;
}

static void
find_affixes(sl_matcher *m, const affix_table *table, sl_str text, bool end)
{
	size_t most = text.n < AFFIX_KEY ? text.n : AFFIX_KEY;

	for (uint32_t lengths = table->lengths & ((2u << most) - 1); lengths; lengths &= lengths - 1)
	{
		size_t len = (size_t) __builtin_ctz(lengths);
		uint64_t key = sl_affix_key(text, len, end);

		for (uint32_t at = sl_affix_slot(key, len) & table->mask; table->slots[at].id; at = (at + 1) & table->mask)
		{
			const affix *a = &table->slots[at];

			if (a->key == key && a->len == len &&
				(len < AFFIX_KEY || has_affix(text, m->set->tests[a->id - 1].text, end)))
				set_predicate(m, a->id - 1);
		}
	}
}

static void
found(void *arg, const scanner *s, uint32_t pattern)
{
	sl_matcher *m = arg;
	const ids *owners = &s->owners[pattern];

	for (uint32_t i = 0; i < owners->n; i++)
		if (m->set->tests[owners->v[i]].exact)
			set_predicate(m, owners->v[i]);
		else
			trigger(m, owners->v[i]);
}

static void
try_text(sl_matcher *m, const text_index *index, sl_str text)
{
	find_value(m, &index->equals, text);
	find_affixes(m, &index->begins, text, false);
	find_affixes(m, &index->ends, text, true);
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
try_networks(sl_matcher *m, const field *f, sl_str text)
{
	sl_address address;

	if (!sl_address_read(text, &address))
		return;
	for (int bits = 0; bits <= 128; bits++)
	{
		sl_address network;

		if (!(f->prefixes[bits / 32] >> bits % 32 & 1))
			continue;
		network = sl_network_of(&address, bits);
		for (uint32_t at = (uint32_t) sl_network_hash(&network, bits) & f->networks.mask; f->networks.slots[at];
			 at = (at + 1) & f->networks.mask)
		{
			uint32_t id = f->networks.slots[at] - 1;
			const sl_predicate *p = m->set->predicates[id];

			if (p->how == bits && memcmp(p->network.bytes, network.bytes, 16) == 0)
				set_predicate(m, id);
		}
	}
}

static void
try_entry(sl_matcher *m, const field *f, entry *e)
{
	double number;

	trigger_all(m, &f->present);
	if (e->value->type == SL_NULL)
		return;
	if (f->text[0].any)
		try_text(m, &f->text[0], folded_of(m, e));
	if (f->text[1].any)
		try_text(m, &f->text[1], text_of(m, e));
	if (f->networks.n)
		try_networks(m, f, text_of(m, e));
	if ((f->bounds[0].n || f->bounds[1].n || f->bounds[2].n || f->bounds[3].n) &&
		sl_value_number(e->value, &number))
		try_bounds(m, f, number);
}

/* Literals that rules look for in a field, and in all of them; either may be NULL. */
static void
try_parts(sl_matcher *m, const field *f, const field *anywhere, entry *e, bool cased)
{
	const scanner *a = f && f->text[cased].parts.n ? &f->text[cased].parts : NULL,
				  *b = anywhere && anywhere->text[cased].parts.n ? &anywhere->text[cased].parts : NULL;

	if (a || b)
		sl_scan(a, b, cased ? text_of(m, e) : folded_of(m, e), found, m);
}

/* Looks for what triggers rules in a value; anywhere: what keywords ask. */
static void
look_up(sl_matcher *m, const field *anywhere, entry *e)
{
	if (e->field)
		try_entry(m, e->field, e);
	if (e->value->type == SL_NULL)
		return;
	try_parts(m, e->field, anywhere, e, false);
	try_parts(m, e->field, anywhere, e, true);
}

/* How far a place in records is ahead of not repeating itself; below FORGET, it is only tried now and then. */
#define MOST_REPEATS 100
#define FORGET (-20)
#define NOW_AND_THEN 64

/* What was found of the value the last time. */
static void
replay(sl_matcher *m, entry *e, recalled *r)
{
	/* one time that it is there makes up for three that it isn't */
	*e->repeats = (int8_t) (*e->repeats < MOST_REPEATS ? *e->repeats + 3 : MOST_REPEATS);
	for (int i = 0; i < r->n_marks; i++)
		if (r->marks[i] & 1)
			set_predicate(m, r->marks[i] / 2);
		else
			trigger(m, r->marks[i] / 2);
	if (r->is_folded)
		e->folded = (sl_str){r->folded, r->n_folded};
	e->recalled = r;
}

/* Asks for the memory of a value that may repeat; by the time it is looked at, it will be near. */
static void
ask_memory(sl_matcher *m, entry *e)
{
	if (m->recall && e->repeats && e->value->type == SL_STRING && (*e->repeats >= FORGET || m->epoch % NOW_AND_THEN == 0))
		e->hash = sl_recall_ask(m->recall, e->field, e->keywords, e->value->u.s);
}

static void
try_entries(sl_matcher *m)
{
	const field *all = m->set->anywhere ? &m->set->fields[m->set->anywhere - 1] : NULL;

	for (uint32_t i = 0; i < m->n_entries; i++)
		ask_memory(m, &m->entries[i]);
	for (uint32_t i = 0; i < m->n_entries; i++)
	{
		entry *e = &m->entries[i];
		recalled *r = e->hash ? sl_recall_find(m->recall, e->hash, e->field, e->keywords, e->value->u.s, m->epoch) : NULL;

		if (r && r->known)
		{
			replay(m, e, r);
			continue;
		}
		m->noting = r;
		look_up(m, e->keywords ? all : NULL, e);
		m->noting = NULL;
		if (r)
		{
			*e->repeats = (int8_t) (*e->repeats > FORGET ? *e->repeats - 1 : FORGET - 1);
			sl_recall_keep(r, e->value->u.s, e->folded, m->epoch);
			e->recalled = r->used ? r : NULL;
		}
	}
	if (all && m->field_at[m->set->anywhere - 1] == m->epoch)
		trigger_all(m, &all->present);
}

/* A time, as records show it; which is its field + 1, or 0. */
static void
try_time(sl_matcher *m, uint32_t which, int64_t ns)
{
	if (which && ns)
	{
		char *when = sl_alloc(m->scratch, 64);
		sl_value *value = sl_alloc0(m->scratch, sizeof(*value));

		sl_format_timestamp(when, ns);
		value->type = SL_STRING;
		value->u.s = (sl_str){when, strlen(when)};
		note(m, &m->set->fields[which - 1], value, false, NULL);
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

/*
 * A Windows event that was XML once: Sigma knows Event.EventData.Image as
 * Image, Event.System.Provider.#attributes.Name as Provider_Name, a name with
 * spaces without them, and what stands in UserData without its envelope.
 */
sl_str
sl_event_field_name(sl_arena *arena, sl_str name)
{
	static const char *const sections[] = {"Event.EventData.", "Event.System.", "Event.UserData."};
	static const char attributes[] = ".#attributes.";

	for (int i = 0; i < 3; i++)
	{
		size_t n = strlen(sections[i]);
		sl_str rest = {name.p + n, name.n - n};
		const char *at;
		char *out;

		if (!sl_str_starts(name, sections[i]))
			continue;
		if (i == 2 && (at = memchr(rest.p, '.', rest.n)))
			rest = (sl_str){at + 1, rest.n - (size_t) (at + 1 - rest.p)};
		at = memmem(rest.p, rest.n, attributes, sizeof(attributes) - 1);
		if (!at && !memchr(rest.p, ' ', rest.n))
			return rest;
		out = sl_alloc(arena, rest.n + 1);
		n = 0;
		for (const char *p = rest.p; p < rest.p + rest.n; p++)
			if (p == at)
			{
				out[n++] = '_';
				p += sizeof(attributes) - 2;
			}
			else if (*p != ' ')
				out[n++] = *p;
		return (sl_str){out, n};
	}
	return (sl_str){0};
}

/* The field that rules know an attribute (or one of the resource's) by; NULL: none asks for it. */
static const field *
field_of(sl_matcher *m, sl_str name, bool resource)
{
	const field *f;

	if (resource)
		return m->set->any_resource ? find_field(m->set, name, true) : NULL;
	/* a second spelling of a known name stays among the attributes */
	f = find_field(m->set, sl_field_name(name), false);
	/* an object "resource" in plain JSON is asked for like a resource */
	if (!f && m->set->any_resource && sl_str_starts(name, "resource."))
		f = find_field(m->set, (sl_str){name.p + 9, name.n - 9}, true);
	if (!f && name.n > 13 && memcmp(name.p, "Event.", 6) == 0)
	{
		sl_str event = sl_event_field_name(m->scratch, name);

		f = event.p ? find_field(m->set, sl_field_name(event), false) : NULL;
	}
	return f;
}

static void
try_fields(sl_matcher *m, const sl_fields *fields, bool resource)
{
	for (uint32_t i = 0; i < fields->n; i++)
	{
		const sl_field *from = &fields->v[i];
		guess *g = !resource && i < GUESSES ? &m->guesses[i] : NULL;
		const field *f;

		if (g && g->n == from->name.n && g->n && memcmp(g->name, from->name.p, g->n) == 0)
			f = g->field;
		else
		{
			f = field_of(m, from->name, resource);
			if (g && from->name.n <= sizeof(g->name))
			{
				g->n = (uint8_t) from->name.n;
				g->repeats = 0;
				memcpy(g->name, from->name.p, from->name.n);
				g->field = f;
			}
		}
		note(m, f, &from->value, true, g ? &g->repeats : NULL);
	}
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

static bool
regex_true(sl_matcher *m, uint32_t id, sl_str text)
{
	const sl_predicate *p = m->set->predicates[id];
	uint64_t start = now_ns();
	sl_regex_result result;

	if (!m->regexes[id])
	{
		sl_error err;
		size_t offset;

		m->regexes[id] = sl_regex_new(p->text, p->how, &err, &offset);
		if (!m->regexes[id])
			return false; /* out of memory: it did compile before */
	}
	result = sl_regex_search(m->regexes[id], m->search, text);
	m->costs[m->current].limited += result == SL_REGEX_GIVEN_UP;
	m->costs[m->current].ns += now_ns() - start;
	return result == SL_REGEX_FOUND;
}

static bool
compare(sl_op op, double x, double y)
{
	switch (op)
	{
		case SL_OP_LT:
			return x < y;
		case SL_OP_LTE:
			return x <= y;
		case SL_OP_GT:
			return x > y;
		case SL_OP_GTE:
			return x >= y;
		default:
			return x == y;
	}
}

static bool
time_true(const sl_predicate *p, const sl_value *value)
{
	int64_t ns;
	double number;
	bool known = false;

	if (value->type == SL_INT)
		known = sl_epoch_timestamp_int(value->u.i, &ns);
	else if (value->type == SL_DOUBLE)
		known = sl_epoch_timestamp(value->u.d, &ns);
	else if (value->type == SL_STRING)
		known = sl_parse_timestamp(value->u.s, &ns) || (sl_value_number(value, &number) && sl_epoch_timestamp(number, &ns));
	return known && compare((sl_op) p->how, sl_time_part_of(ns, p->part), p->number);
}

bool
sl_text_relates(sl_op how, sl_str text, sl_str other)
{
	switch (how)
	{
		case SL_OP_CONTAINS:
			return other.n == 0 || memmem(text.p, text.n, other.p, other.n) != NULL;
		case SL_OP_STARTSWITH:
			return has_affix(text, other, false);
		case SL_OP_ENDSWITH:
			return has_affix(text, other, true);
		case SL_OP_GLOB:
			return sl_glob(other, text);
		default:
			return sl_str_eq(text, other);
	}
}

/* Is the value related to any of the field that the predicate refers to? */
static bool
reference_true(sl_matcher *m, uint32_t id, entry *e)
{
	const sl_predicate *p = m->set->predicates[id];
	uint32_t other = m->set->tests[id].other;

	if (m->field_at[other] != m->epoch)
		return false;
	for (uint32_t i = m->first[other]; i; i = m->entries[i - 1].next)
	{
		entry *o = &m->entries[i - 1];

		if (o->value->type != SL_NULL &&
			sl_text_relates((sl_op) p->how, p->cased ? text_of(m, e) : folded_of(m, e), p->cased ? text_of(m, o) : folded_of(m, o)))
			return true;
	}
	return false;
}

/* May a literal with these pairs stand in the text, which is folded, or cased? */
static bool
may_hold(sl_matcher *m, entry *e, const test *t, bool cased, sl_str text)
{
	uint64_t *map = e->pairs[cased];

	if (!map && !cased && e->recalled && e->recalled->has_pairs)
		map = e->pairs[0] = e->recalled->pairs;
	if (!map)
	{
		if (!cased && e->recalled)
		{
			e->recalled->has_pairs = true;
			map = memset(e->recalled->pairs, 0, PAIR_BITS / 8);
		}
		else
			map = sl_alloc0(m->scratch, PAIR_BITS / 8);
		e->pairs[cased] = map;
		map[0] = 1;
		for (size_t i = 0; i + 2 <= text.n; i++)
		{
			uint32_t pair = sl_pair_hash(text.p + i);

			map[pair / 64] |= UINT64_C(1) << pair % 64;
		}
	}
	return (map[t->pairs[0] / 64] >> t->pairs[0] % 64 & map[t->pairs[1] / 64] >> t->pairs[1] % 64 & 1) != 0;
}

/*
 * Is a literal in a text?  By its rarest byte; where that is there over and
 * over, by an algorithm that doesn't mind.
 */
static bool
holds(sl_str text, sl_str literal, size_t rare)
{
	const char *from = text.p + rare;
	size_t left = text.n - literal.n + 1; /* places where it may be */

	if (literal.n == 0 || text.n < literal.n)
		return literal.n == 0;
	for (int tries = 0; tries < 16; tries++)
	{
		const char *at = memchr(from, literal.p[rare], left);

		if (!at)
			return false;
		if (memcmp(at - rare, literal.p, literal.n) == 0)
			return true;
		left -= (size_t) (at + 1 - from);
		from = at + 1;
	}
	return memmem(from - rare, left + literal.n - 1, literal.p, literal.n) != NULL;
}

/* Is a predicate true of one value? */
static bool
entry_true(sl_matcher *m, uint32_t id, const test *t, entry *e)
{
	const sl_predicate *p;
	sl_address address;
	double number;

	if (t->op == SL_OP_EXISTS || e->value->type == SL_NULL)
		return t->op == SL_OP_EXISTS;
	if (t->op <= SL_OP_GLOB)
	{
		sl_str text = t->cased ? text_of(m, e) : folded_of(m, e);

		if ((t->op == SL_OP_CONTAINS || t->op == SL_OP_GLOB) && !may_hold(m, e, t, t->cased, text))
			return false;
		return t->op == SL_OP_CONTAINS ? holds(text, t->text, t->rare) : sl_text_relates((sl_op) t->op, text, t->text);
	}
	p = m->set->predicates[id];
	switch (p->op)
	{
		case SL_OP_LT:
		case SL_OP_LTE:
		case SL_OP_GT:
		case SL_OP_GTE:
			return sl_value_number(e->value, &number) && compare(p->op, number, p->number);
		case SL_OP_NOT_NULL:
			return true;
		case SL_OP_REGEX:
			return may_hold(m, e, t, false, folded_of(m, e)) && regex_true(m, id, text_of(m, e));
		case SL_OP_CIDR:
			if (!sl_address_read(text_of(m, e), &address))
				return false;
			address = sl_network_of(&address, p->how);
			return memcmp(address.bytes, p->network.bytes, 16) == 0;
		case SL_OP_FIELDREF:
			return reference_true(m, id, e);
		case SL_OP_TIME_PART:
			return time_true(p, e->value);
		default:
			return false;
	}
}

static bool
test_predicate(sl_matcher *m, uint32_t id, const test *t)
{
	m->tested[id] = 2 * m->epoch;
	for (uint32_t i = m->first[t->field]; i; i = t->field == m->set->anywhere - 1 ? m->entries[i - 1].next_anywhere : m->entries[i - 1].next)
		if (entry_true(m, id, t, &m->entries[i - 1]))
		{
			m->tested[id]++;
			return true;
		}
	return false;
}

static inline bool
predicate_true(sl_matcher *m, uint32_t id, const test *t)
{
	uint32_t known = m->tested[id];

	if (known / 2 == m->epoch)
		return known & 1;
	return !t->exact && m->field_at[t->field] == m->epoch && test_predicate(m, id, t);
}

bool
sl_matcher_predicate(sl_matcher *m, uint32_t id)
{
	return predicate_true(m, id, &m->set->tests[id]);
}

static bool
step_true(sl_matcher *m, const step *s)
{
	const step *end = s + s->size;

	switch (s->t.op)
	{
		case STEP_AND:
			for (s++; s < end; s += s->size)
				if (!step_true(m, s))
					return false;
			return true;
		case STEP_OR:
			for (s++; s < end; s += s->size)
				if (step_true(m, s))
					return true;
			return false;
		case STEP_NOT:
			return !step_true(m, s + 1);
		case STEP_SAME:
			return step_true(m, &m->set->steps[s->predicate]);
		default:
			return predicate_true(m, s->predicate, &s->t);
	}
}

static int
ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a,
			 y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

static void
sort(uint32_t *v, size_t n)
{
	if (n > 16)
		qsort(v, n, sizeof(*v), ascending);
	else
		for (size_t i = 1; i < n; i++)
			for (size_t k = i; k > 0 && v[k - 1] > v[k]; k--)
			{
				uint32_t swap = v[k];

				v[k] = v[k - 1];
				v[k - 1] = swap;
			}
}

static void
begin(sl_matcher *m, sl_arena *scratch)
{
	if (++m->epoch == UINT32_MAX / 2)
	{
		/* the number has come round: forget all marks */
		memset(m->tested, 0, m->set->n_predicates * sizeof(uint32_t));
		memset(m->field_at, 0, m->set->n_fields * sizeof(uint32_t));
		memset(m->seen_at, 0, m->set->n_rules * sizeof(uint32_t));
		free(m->recall);
		m->recall = NULL;
		m->epoch = 1;
	}
	m->scratch = scratch;
	/* it pays where many records come */
	if (!m->recall && m->epoch == RECALL_FROM)
		m->recall = sl_recall_new();
	m->n_candidates = 0;
	m->entries = NULL;
	m->n_entries = m->cap_entries = 0;
}

/* Looks at one rule, and keeps account of it. */
static bool
look_at(sl_matcher *m, uint32_t rule)
{
	sl_rule_cost *cost = &m->costs[rule];
	bool timed = m->epoch % SAMPLE == 0;
	uint64_t start = timed ? now_ns() : 0,
			 before = cost->ns;
	bool result;

	m->current = rule;
	result = step_true(m, &m->set->steps[m->set->programs[rule]]);
	cost->evaluations++;
	cost->matches += result;
	/* regular expressions were accounted for already */
	if (timed)
		cost->ns = before + (now_ns() - start - (cost->ns - before)) * SAMPLE + (cost->ns - before);
	return result;
}

size_t
sl_match(sl_matcher *m, const sl_record *record, sl_arena *scratch, const uint32_t **rules)
{
	const sl_ruleset *set = m->set;
	size_t n = 0;

	begin(m, scratch);
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (record->text[i].p && (set->known[i] || set->anywhere))
		{
			m->known[i] = (sl_value){.type = SL_STRING, .u.s = record->text[i]};
			note(m, set->known[i] ? &set->fields[set->known[i] - 1] : NULL, &m->known[i], true, &m->repeats[i]);
		}
	if (record->severity && set->severity)
	{
		m->severity = (sl_value){.type = SL_INT, .u.i = record->severity};
		note(m, &set->fields[set->severity - 1], &m->severity, false, NULL);
	}
	try_time(m, set->timestamp, record->timestamp);
	try_time(m, set->observed, record->observed);
	try_fields(m, &record->attributes, false);
	if (record->resource && (set->any_resource || set->anywhere))
		try_fields(m, &record->resource->fields, true);
	try_entries(m);
	for (uint32_t i = 0; i < set->always.n; i++)
		add_candidate(m, set->always.v[i]);

	for (size_t i = 0; i < m->n_candidates; i++)
		if (look_at(m, m->candidates[i]))
			m->matches[n++] = m->candidates[i];
	sort(m->matches, n);
	*rules = m->matches;
	return n;
}
