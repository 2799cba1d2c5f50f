/*
 * compile.c
 *	  Rules to a rule set.
 */
#include "internal.h"

#include <stdlib.h>

void
sl_ids_add(sl_arena *arena, ids *list, uint32_t id)
{
	SL_ROOM(arena, list->v, list->n, list->cap, 4);
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

/* Adds what isn't there yet. */
static void
table_add(sl_ruleset *set, value_table *table, uint64_t (*hash_of)(const void *set, uint32_t id), uint32_t id)
{
	uint32_t at;

	grow_table(set->arena, table, hash_of, set);
	at = (uint32_t) hash_of(set, id) & table->mask;
	while (table->slots[at])
		at = (at + 1) & table->mask;
	table->slots[at] = id + 1;
	table->n++;
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
	return sl_hash(p->text, sl_hash(sl_field_name(p->field), bits + (uint64_t) p->op * 4 + p->cased * 2u + p->keyword + ((uint64_t) p->how << 8) + ((uint64_t) p->part << 16)));
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
	SL_ROOM(set->arena, set->fields, set->n_fields, set->cap_fields, 16);
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
put_affix(affix_table *table, affix one)
{
	uint32_t at = sl_affix_slot(one.key, one.len) & table->mask;

	while (table->slots[at].id)
		at = (at + 1) & table->mask;
	table->slots[at] = one;
}

static void
add_affix(sl_ruleset *set, affix_table *table, uint32_t id, bool end)
{
	sl_str text = set->predicates[id]->text;
	size_t len = text.n < AFFIX_KEY ? text.n : AFFIX_KEY;

	if ((table->n + 1) * 2 > table->mask)
	{
		affix *old = table->slots;
		uint32_t size = old ? table->mask + 1 : 0;

		table->mask = size ? size * 2 - 1 : 7;
		table->slots = sl_alloc0(set->arena, ((size_t) table->mask + 1) * sizeof(affix));
		for (uint32_t i = 0; i < size; i++)
			if (old[i].id)
				put_affix(table, old[i]);
	}
	put_affix(table, (affix){.key = sl_affix_key(text, len, end), .id = id + 1, .len = (uint32_t) len});
	table->n++;
	table->lengths |= 1u << len;
}

/* The longest run of a glob without wildcards. */
static sl_str
longest_piece(sl_str glob)
{
	sl_str best = {glob.p, 0};
	size_t from = 0;

	for (size_t i = 0; i <= glob.n; i++)
		if (i == glob.n || glob.p[i] == SL_ANY_RUN || glob.p[i] == SL_ANY_ONE)
		{
			if (i - from > best.n)
				best = (sl_str){glob.p + from, i - from};
			from = i + 1;
		}
	return best;
}

static uint64_t
network_hash(const void *set, uint32_t id)
{
	const sl_predicate *p = ((const sl_ruleset *) set)->predicates[id];

	return sl_network_hash(&p->network, p->how);
}

static void
add_network(sl_ruleset *set, field *f, uint32_t id)
{
	const sl_predicate *p = set->predicates[id];

	table_add(set, &f->networks, network_hash, id);
	f->prefixes[p->how / 32] |= 1u << p->how % 32;
}

static uint32_t
field_of(sl_ruleset *set, const sl_predicate *p)
{
	if (!p->keyword)
		return intern_field(set, p->field);
	if (!set->anywhere)
	{
		/* never found by its name: no attribute's begins with a NUL */
		uint32_t at = intern_field(set, (sl_str){"\0", 1});

		set->anywhere = at + 1;
	}
	return set->anywhere - 1;
}

/* A literal that is looked for in a field. */
static void
place_literal(sl_ruleset *set, field *f, bool cased, sl_str literal, uint32_t id)
{
	sl_scanner_add(set->arena, &f->text[cased].parts, literal, id);
	f->text[cased].any = true;
}

/*
 * Literals of which one stands, folded, wherever an expression is found, and
 * which tell something; 0: there are none.
 */
static size_t
telling_literals(sl_arena *arena, const sl_predicate *p, sl_str *literals)
{
	size_t n = sl_regex_literals(arena, p->text, literals);

	for (size_t i = 0; i < n; i++)
		/* a letter or a blank is nearly everywhere, a backquote isn't */
		if (literals[i].n == 0 || (literals[i].n == 1 && sl_byte_cost(literals[i].p[0]) > 0))
			return 0;
	return n;
}

/* Where a literal of it shows, or wherever there is text. */
static void
place_regex(sl_ruleset *set, field *f, const sl_predicate *p, uint32_t id)
{
	sl_str literals[SL_REGEX_LITERALS];
	size_t n = telling_literals(set->arena, p, literals);

	for (size_t i = 0; i < n; i++)
		place_literal(set, f, false, literals[i], id);
	if (n == 0)
		sl_ids_add(set->arena, &f->present, id);
}

/* Puts a predicate that triggers rules where records will find it. */
static void
place_trigger(sl_ruleset *set, uint32_t id)
{
	const sl_predicate *p = set->predicates[id];
	field *f = &set->fields[set->tests[id].field];
	text_index *text = &f->text[p->cased];
	sl_str piece;

	set->tests[id].exact = true;
	if (p->op <= SL_OP_GLOB)
		text->any = true;
	switch (p->op)
	{
		case SL_OP_EQUALS:
			table_add(set, &text->equals, text_hash, id);
			return;
		case SL_OP_STARTSWITH:
			add_affix(set, &text->begins, id, false);
			return;
		case SL_OP_ENDSWITH:
			add_affix(set, &text->ends, id, true);
			return;
		case SL_OP_CONTAINS:
			if (p->text.n == 0)
				break;
			place_literal(set, f, p->cased, p->text, id);
			return;
		case SL_OP_CIDR:
			add_network(set, f, id);
			return;
		case SL_OP_LT:
		case SL_OP_LTE:
		case SL_OP_GT:
		case SL_OP_GTE:
			sl_ids_add(set->arena, &f->bounds[p->op - SL_OP_LT], id);
			return;
		case SL_OP_GLOB:
			piece = longest_piece(p->text);
			set->tests[id].exact = false;
			if (piece.n == 0)
				break;
			place_literal(set, f, p->cased, piece, id);
			return;
		case SL_OP_REGEX:
			set->tests[id].exact = false;
			place_regex(set, f, p, id);
			return;
		default:
			break;
	}
	set->tests[id].exact = false;
	sl_ids_add(set->arena, &f->present, id);
}

bool
sl_same_predicate(const sl_predicate *a, const sl_predicate *b)
{
	return a->op == b->op && a->cased == b->cased && a->keyword == b->keyword && a->how == b->how && a->part == b->part &&
		   a->number == b->number && sl_str_eq(sl_field_name(a->field), sl_field_name(b->field)) && sl_str_eq(a->text, b->text);
}

/* The two pairs of a literal, and the byte, that other texts have least likely. */
static void
choose_pairs(sl_str literal, test *t)
{
	uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
	uint16_t *pairs = t->pairs;

	for (size_t i = 1; i < literal.n && i <= UINT16_MAX; i++)
		if (sl_byte_cost(literal.p[i]) < sl_byte_cost(literal.p[t->rare]))
			t->rare = (uint16_t) i;
	for (size_t i = 0; i + 2 <= literal.n; i++)
	{
		uint64_t cost = sl_pair_cost(literal.p + i);
		uint16_t pair = (uint16_t) sl_pair_hash(literal.p + i);

		if (cost < best[0])
		{
			best[1] = best[0];
			pairs[1] = pairs[0];
			best[0] = cost;
			pairs[0] = pair;
		}
		else if (cost < best[1] && pair != pairs[0])
		{
			best[1] = cost;
			pairs[1] = pair;
		}
	}
}

static uint32_t
intern_predicate(sl_ruleset *set, sl_predicate *p)
{
	uint32_t at,
		cap;
	test place;
	sl_str literals[SL_REGEX_LITERALS];

	grow_table(set->arena, &set->predicate_table, predicate_hash, set);
	at = (uint32_t) predicate_hash_of(p) & set->predicate_table.mask;
	for (; set->predicate_table.slots[at]; at = (at + 1) & set->predicate_table.mask)
		if (sl_same_predicate(set->predicates[set->predicate_table.slots[at] - 1], p))
			return set->predicate_table.slots[at] - 1;
	cap = set->cap_predicates;
	SL_ROOM(set->arena, set->tests, set->n_predicates, cap, 64);
	SL_ROOM(set->arena, set->predicates, set->n_predicates, set->cap_predicates, 64);
	set->predicates[set->n_predicates++] = p;
	set->predicate_table.slots[at] = set->n_predicates;
	set->predicate_table.n++;
	place = (test){.text = p->text, .op = (uint8_t) p->op, .cased = p->cased, .field = field_of(set, p), .other = p->op == SL_OP_FIELDREF ? intern_field(set, p->text) : 0};
	if (p->op == SL_OP_CONTAINS || p->op == SL_OP_GLOB)
		choose_pairs(longest_piece(p->text), &place);
	/* no need to search for an expression where the one literal that it has isn't */
	if (p->op == SL_OP_REGEX && sl_regex_literals(set->arena, p->text, literals) == 1)
		choose_pairs(literals[0], &place);
	set->tests[set->n_predicates - 1] = place;
	return set->n_predicates - 1;
}

/* Selections and log sources are shared by many rules: each is compiled once. */
struct made
{
	const sl_expr *from;
	uint32_t id;
};

static struct made *
find_made(const sl_ruleset *set, const sl_expr *from)
{
	uint64_t hash = ((uint64_t) (uintptr_t) from >> 4) * UINT64_C(0x9E3779B97F4A7C15);
	uint32_t at = (uint32_t) (hash >> 32) & set->made_mask;

	while (set->made[at].from && set->made[at].from != from)
		at = (at + 1) & set->made_mask;
	return &set->made[at];
}

uint32_t
sl_ruleset_expr(const sl_ruleset *set, const sl_expr *from)
{
	return find_made(set, from)->id;
}

static void
grow_made(sl_ruleset *set)
{
	struct made *old = set->made;
	uint32_t size = old ? set->made_mask + 1 : 0;

	if (old && set->n_made * 2 < size)
		return;
	set->made_mask = size ? size * 2 - 1 : 255;
	set->made = sl_alloc0(set->arena, ((size_t) set->made_mask + 1) * sizeof(*set->made));
	for (uint32_t i = 0; i < size; i++)
		if (old[i].from)
			*find_made(set, old[i].from) = old[i];
}

static uint32_t
add_expr(sl_ruleset *set, expr e)
{
	SL_ROOM(set->arena, set->exprs, set->n_exprs, set->cap_exprs, 64);
	set->exprs[set->n_exprs] = e;
	return set->n_exprs++;
}

static uint32_t
compile_expr(sl_ruleset *set, const sl_expr *from)
{
	expr e = {.kind = from->kind, .n = (uint32_t) from->n};
	struct made *made;

	grow_made(set);
	made = find_made(set, from);
	if (made->from)
		return made->id;
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
	made = find_made(set, from);
	set->n_made++;
	made->from = from;
	made->id = add_expr(set, e);
	return made->id;
}

void
sl_ruleset_add(sl_ruleset *set, sl_rule *rule)
{
	SL_ROOM(set->arena, set->rules, set->n_rules, set->cap_rules, 16);
	set->rules[set->n_rules++] = rule;
}

/* Values that say little wherever they stand. */
static bool
commonplace(sl_str text)
{
	static const char *const values[] = {"microsoft corporation", "medium", "high", "low", "system", "info", "error", "warning",
										 "true", "false", "success", "failure", "allow", "deny", "get", "post", "windows", "linux"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (sl_str_is(text, values[i]))
			return true;
	return false;
}

/*
 * How often a predicate is likely true, as a guess to compare with others:
 * short pieces are common, and so is what many rules ask for.
 */
static uint64_t
guess_of(sl_arena *arena, const sl_predicate *p)
{
	static const uint64_t parts[] = {400, 200, 100, 50, 24, 16, 12, 10},
						  affixes[] = {100, 100, 80, 60, 40, 12, 10, 8};
	sl_str literals[SL_REGEX_LITERALS],
		piece;
	size_t n = p->text.n,
		   count,
		   least;

	switch (p->op)
	{
		case SL_OP_EQUALS:
			return commonplace(p->text) ? 3000 : n < 4 ? 20
													   : 6;
		case SL_OP_STARTSWITH:
		case SL_OP_ENDSWITH:
			return sl_is_commonplace(p->text) ? 300 : n < 8 ? affixes[n]
															: 6;
		case SL_OP_GLOB:
		case SL_OP_CONTAINS:
			piece = longest_piece(p->text);
			return sl_is_commonplace(piece) || commonplace(piece) ? 300 : piece.n < 8 ? parts[piece.n]
																					  : 8;
		case SL_OP_REGEX:
			/* one that a literal doesn't announce is dear to look for */
			least = 8;
			count = telling_literals(arena, p, literals);
			for (size_t i = 0; i < count; i++)
				least = literals[i].n < least ? literals[i].n : least;
			return count == 0 ? 400 : least < 8 ? parts[least] + 30
												: 40;
		case SL_OP_CIDR:
			return 20;
		case SL_OP_EXISTS:
		case SL_OP_NOT_NULL:
		case SL_OP_FIELDREF:
		case SL_OP_TIME_PART:
			return 400;
		default:
			return 120;
	}
}

static void
guess_all(sl_ruleset *set)
{
	set->guesses = sl_alloc(set->arena, (set->n_predicates + 1) * sizeof(uint64_t));
	for (uint32_t i = 0; i < set->n_predicates; i++)
		set->guesses[i] = guess_of(set->arena, set->predicates[i]);
}

/* The binary logarithm, for what shouldn't weigh in proportion. */
static uint64_t
magnitude(uint32_t n)
{
	return n ? 32 - (uint64_t) __builtin_clz(n) : 0;
}

static uint64_t
frequency_of(const sl_ruleset *set, uint32_t id)
{
	/* what many rules ask is common */
	return set->guesses[id] * (16 + set->owners[id]);
}

/* How likely an expression is true, to put what isn't first: an "and" ends there. */
static uint64_t
rank_of(const sl_ruleset *set, uint32_t id)
{
	const expr *e = &set->exprs[id];
	uint64_t rank = e->kind == SL_EXPR_AND ? UINT64_MAX : 0;

	if (e->kind == SL_EXPR_PREDICATE)
	{
		uint32_t p = e->predicate;

		/* dear ones last, be they ever so rare */
		return set->guesses[p] * (16 + magnitude(set->owners[p])) + (set->tests[p].op == SL_OP_REGEX ? 100000 : 0);
	}
	if (e->kind == SL_EXPR_NOT)
		return 200000;
	for (uint32_t i = 0; i < e->n; i++)
	{
		uint64_t one = rank_of(set, set->children.v[e->first + i]);

		if (e->kind == SL_EXPR_OR)
			rank += one;
		else if (one < rank)
			rank = one;
	}
	return rank;
}

typedef struct ranked
{
	uint64_t rank;
	uint32_t child;
} ranked;

static int
by_rank(const void *a, const void *b)
{
	const ranked *x = a,
				 *y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank ? 1
								: x->child < y->child ? -1
													  : x->child > y->child;
}

static void
sort_operands(sl_ruleset *set)
{
	for (uint32_t i = 0; i < set->n_exprs; i++)
	{
		const expr *e = &set->exprs[i];
		uint32_t *children;
		ranked *order;

		if (e->kind != SL_EXPR_AND || e->n < 2)
			continue;
		children = set->children.v + e->first;
		order = sl_alloc(set->arena, e->n * sizeof(ranked));
		for (uint32_t k = 0; k < e->n; k++)
			order[k] = (ranked){rank_of(set, children[k]), children[k]};
		qsort(order, e->n, sizeof(ranked), by_rank);
		for (uint32_t k = 0; k < e->n; k++)
			children[k] = order[k].child;
	}
}

/*
 * Collects the triggers of an expression into out (when not NULL) and says
 * what they cost; 0 if the expression can be true without any.
 */
static uint64_t
triggers_of(const sl_ruleset *set, uint32_t id, sl_arena *arena, ids *out)
{
	const expr *e = &set->exprs[id];
	uint64_t cost,
		total = 0;
	uint32_t best = 0;

	switch (e->kind)
	{
		case SL_EXPR_PREDICATE:
			if (out)
				sl_ids_add(arena, out, e->predicate);
			return frequency_of(set, e->predicate);
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

/* Marks the predicates of an expression as used by one rule more. */
static void
count_owners(sl_ruleset *set, uint32_t id, uint32_t *counted, uint32_t rule)
{
	const expr *e = &set->exprs[id];

	if (counted[id] == rule + 1)
		return;
	counted[id] = rule + 1;
	if (e->kind == SL_EXPR_PREDICATE)
		set->owners[e->predicate]++;
	for (uint32_t i = 0; i < e->n; i++)
		count_owners(set, set->children.v[e->first + i], counted, rule);
}

static int
by_bound(const void *a, const void *b, void *context)
{
	const sl_ruleset *set = context;
	double x = set->predicates[*(const uint32_t *) a]->number,
		   y = set->predicates[*(const uint32_t *) b]->number;

	return x < y ? -1 : x > y;
}

/* Predicates of an expression that compare texts as a whole, or their ends. */
static void
mark_texts(const sl_ruleset *set, uint32_t id, bool *marked)
{
	const expr *e = &set->exprs[id];

	if (e->kind == SL_EXPR_PREDICATE)
	{
		uint8_t op = set->tests[e->predicate].op;

		marked[e->predicate] |= op == SL_OP_EQUALS || op == SL_OP_STARTSWITH || op == SL_OP_ENDSWITH;
	}
	for (uint32_t i = 0; i < e->n; i++)
		mark_texts(set, set->children.v[e->first + i], marked);
}

static void
finish_fields(sl_ruleset *set)
{
	bool *asked = sl_alloc0(set->arena, set->n_predicates + 1);

	/* what is asked of every record is found in a table sooner than tested, most of all where values repeat */
	for (uint32_t i = 0; i < set->always.n; i++)
		mark_texts(set, set->roots[set->always.v[i]], asked);
	for (uint32_t i = 0; i < set->n_predicates; i++)
		if (set->triggers[i].n > 0 || asked[i])
			place_trigger(set, i);
	for (uint32_t i = 0; i < set->n_fields; i++)
	{
		field *f = &set->fields[i];

		for (int k = 0; k < 4; k++)
			if (f->bounds[k].n > 1)
				qsort_r(f->bounds[k].v, f->bounds[k].n, sizeof(uint32_t), by_bound, set);
		for (int k = 0; k < 2; k++)
			sl_scanner_finish(set->arena, &f->text[k].parts);
	}
	for (uint32_t i = 0; set->anywhere && i < set->n_fields; i++)
		for (int k = 0; k < 2; k++)
			sl_scanner_join(&set->fields[i].text[k].parts, &set->fields[set->anywhere - 1].text[k].parts);
}

/* The conditions of filters narrow the rules that they name: all of a rule's in one "and". */
static void
apply_filters(sl_ruleset *set)
{
	ids *filters = sl_alloc0(set->arena, (set->n_rules + 1) * sizeof(ids));

	for (uint32_t i = 0; i < set->n_rules; i++)
	{
		const sl_rule *filter = set->rules[i];

		if (filter->kind != SL_FILTER || filter->broken)
			continue;
		for (size_t k = 0; k < filter->n_targets; k++)
			if (set->roots[filter->target_index[k]] != NO_ROOT)
				sl_ids_add(set->arena, &filters[filter->target_index[k]], compile_expr(set, filter->condition));
	}
	for (uint32_t i = 0; i < set->n_rules; i++)
	{
		expr all = {.kind = SL_EXPR_AND, .first = set->children.n, .n = filters[i].n + 1};

		if (filters[i].n == 0)
			continue;
		sl_ids_add(set->arena, &set->children, set->roots[i]);
		for (uint32_t k = 0; k < filters[i].n; k++)
			sl_ids_add(set->arena, &set->children, filters[i].v[k]);
		set->roots[i] = add_expr(set, all);
	}
}

static void
add_feed(sl_arena *arena, feeds *list, feed one)
{
	SL_ROOM(arena, list->v, list->n, list->cap, 2);
	list->v[list->n++] = one;
}

static void
ignore_report(void *arg, sl_rule *rule, const sl_error *err)
{
	(void) arg;
	(void) rule;
	(void) err;
}

/* A part that several rules share, and that is larger than this, is written once. */
#define SMALL_PART 16

/* once: by expression, where it stands + 1. */
static void
emit(sl_ruleset *set, uint32_t id, uint32_t *once)
{
	static const uint8_t ops[] = {0, STEP_AND, STEP_OR, STEP_NOT};
	const expr *e = &set->exprs[id];
	uint32_t at = set->n_steps;

	SL_ROOM(set->arena, set->steps, set->n_steps, set->cap_steps, 256);
	set->steps[set->n_steps++] = (step){.size = 1};
	if (once[id])
		set->steps[at] = (step){.t.op = STEP_SAME, .predicate = once[id] - 1, .size = 1};
	else if (e->kind == SL_EXPR_PREDICATE)
		set->steps[at] = (step){.t = set->tests[e->predicate], .predicate = e->predicate, .size = 1};
	else
	{
		for (uint32_t i = 0; i < e->n; i++)
			emit(set, set->children.v[e->first + i], once);
		set->steps[at] = (step){.t.op = ops[e->kind], .size = set->n_steps - at};
		if (set->steps[at].size > SMALL_PART)
			once[id] = at + 1;
	}
}

static void
emit_all(sl_ruleset *set)
{
	uint32_t *once = sl_alloc0(set->arena, (set->n_exprs + 1) * sizeof(uint32_t));

	set->programs = sl_alloc(set->arena, (set->n_rules + 1) * sizeof(uint32_t));
	for (uint32_t i = 0; i < set->n_rules; i++)
	{
		set->programs[i] = set->roots[i] == NO_ROOT ? NO_ROOT : set->n_steps;
		if (set->roots[i] != NO_ROOT)
			emit(set, set->roots[i], once);
	}
}

void
sl_ruleset_finish(sl_ruleset *set, void (*report)(void *arg, sl_rule *rule, const sl_error *err), void *arg)
{
	uint32_t n = (uint32_t) set->n_rules;
	uint32_t *counted;

	sl_rules_link(set->rules, n, set->arena, report ? report : ignore_report, arg);
	set->roots = sl_alloc(set->arena, (n + 1) * sizeof(uint32_t));
	set->feeds = sl_alloc0(set->arena, (n + 1) * sizeof(feeds));
	for (uint32_t i = 0; i < n; i++)
	{
		const sl_rule *rule = set->rules[i];
		const sl_correlation *c = rule->correlation;

		set->roots[i] = rule->kind == SL_DETECTION && !rule->broken ? compile_expr(set, rule->condition) : NO_ROOT;
		for (uint32_t k = 0; c && !rule->broken && k < c->n_rules; k++)
			add_feed(set->arena, &set->feeds[c->rule_index[k]], (feed){i, k});
	}
	apply_filters(set);

	guess_all(set);
	set->owners = sl_alloc0(set->arena, (set->n_predicates + 1) * sizeof(uint32_t));
	counted = sl_alloc0(set->arena, (set->n_exprs + 1) * sizeof(uint32_t));
	for (uint32_t i = 0; i < n; i++)
		if (set->roots[i] != NO_ROOT)
			count_owners(set, set->roots[i], counted, i);
	set->triggers = sl_alloc0(set->arena, (set->n_predicates + 1) * sizeof(ids));
	for (uint32_t i = 0; i < n; i++)
	{
		ids found = {0};

		if (set->roots[i] == NO_ROOT)
			continue;
		if (triggers_of(set, set->roots[i], set->arena, NULL) == 0)
		{
			sl_ids_add(set->arena, &set->always, i);
			continue;
		}
		triggers_of(set, set->roots[i], set->arena, &found);
		for (uint32_t k = 0; k < found.n; k++)
		{
			ids *list = &set->triggers[found.v[k]];

			if (list->n == 0 || list->v[list->n - 1] != i)
				sl_ids_add(set->arena, list, i);
		}
	}
	sort_operands(set);
	finish_fields(set);
	emit_all(set);
}

void
sl_ruleset_feeds(const sl_ruleset *set, size_t rule,
				 void (*each)(void *arg, uint32_t correlation, uint32_t nth), void *arg)
{
	const feeds *list = &set->feeds[rule];

	for (uint32_t i = 0; i < list->n; i++)
		each(arg, list->v[i].correlation, list->v[i].nth);
}
