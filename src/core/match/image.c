/*
 * image.c
 *	  A finished rule set as bytes.
 *
 * The image is what the set's structures are in memory, one after the other,
 * with offsets where pointers stand, and a list of where those are: loading
 * is a copy and an addition for each.  So an image is only good for the very
 * build that made it, which its header tells.
 */
#include "internal.h"

#define MAGIC UINT64_C(0x31474d494c534c53)

/* Raised when structures or their meaning change. */
#define FORMAT 3

typedef struct header
{
	uint64_t magic;
	uint64_t build;
	uint64_t checksum; /* of all that follows the header */
	uint64_t bytes;	   /* of the structures; the set stands first */
	uint64_t pointers; /* their number; the list stands after the structures */
	uint64_t spare;
} header;

static uint64_t
build_number(void)
{
	const uint64_t sizes[] = {FORMAT, sizeof(sl_ruleset), sizeof(sl_rule), sizeof(sl_correlation), sizeof(sl_predicate),
							  sizeof(field), sizeof(step), sizeof(test), sizeof(scanner), sizeof(text_index), sizeof(void *)};

	return XXH3_64bits(sizes, sizeof(sizes)) ^ XXH3_64bits(SL_VERSION, sizeof(SL_VERSION));
}

typedef struct writer
{
	sl_buf out;
	ids pointers; /* offsets, in words */
} writer;

/* Appends a structure; its offset. */
static size_t
put(writer *w, const void *p, size_t n)
{
	static const char zeros[16];
	size_t at;

	sl_buf_add(&w->out, zeros, (16 - w->out.n % 16) % 16);
	at = w->out.n;
	if (n)
		sl_buf_add(&w->out, p, n);
	return at;
}

/* The pointer at an offset is to point to another. */
static void
point(writer *w, size_t at, size_t to)
{
	memcpy(w->out.p + at, &to, sizeof(to));
	sl_ids_add(w->out.arena, &w->pointers, (uint32_t) (at / sizeof(void *)));
}

/* The pointer at an offset is to point to n bytes at p; NULL stays NULL. */
static size_t
put_block(writer *w, size_t at, const void *p, size_t n)
{
	size_t to;

	if (!p)
	{
		memset(w->out.p + at, 0, sizeof(void *));
		return 0;
	}
	to = put(w, p, n);
	point(w, at, to);
	return to;
}

#define AT(base, type, member) ((base) + offsetof(type, member))

static size_t
put_str(writer *w, size_t at, sl_str s)
{
	return put_block(w, AT(at, sl_str, p), s.p, s.n);
}

static void
put_strs(writer *w, size_t at, const sl_str *v, size_t n)
{
	size_t to = put_block(w, at, v, n * sizeof(sl_str));

	for (size_t i = 0; v && i < n; i++)
		put_str(w, to + i * sizeof(sl_str), v[i]);
}

static void
put_ids(writer *w, size_t at, const ids *list)
{
	put_block(w, AT(at, ids, v), list->n ? list->v : NULL, list->n * sizeof(uint32_t));
}

static void
put_idss(writer *w, size_t at, const ids *v, size_t n)
{
	size_t to = put_block(w, at, v, n * sizeof(ids));

	for (size_t i = 0; v && i < n; i++)
		put_ids(w, to + i * sizeof(ids), &v[i]);
}

static void
put_table(writer *w, size_t at, const value_table *table)
{
	put_block(w, AT(at, value_table, slots), table->slots, ((size_t) table->mask + 1) * sizeof(uint32_t));
}

static void
put_affixes(writer *w, size_t at, const affix_table *table)
{
	put_block(w, AT(at, affix_table, slots), table->slots, ((size_t) table->mask + 1) * sizeof(affix));
}

static void
put_scanner(writer *w, size_t at, const scanner *s)
{
	put_strs(w, AT(at, scanner, patterns), s->patterns, s->n);
	put_idss(w, AT(at, scanner, owners), s->owners, s->n);
	put_block(w, AT(at, scanner, table.slots), NULL, 0);
	put_block(w, AT(at, scanner, grams.map), s->grams.map, (UINT64_C(1) << s->grams.bits) / 8);
	put_block(w, AT(at, scanner, grams.sure), s->grams.sure, (UINT64_C(4) << s->grams.bits) / 8);
	put_block(w, AT(at, scanner, grams.pairs), s->grams.pairs, 65536 / 8);
	put_block(w, AT(at, scanner, grams.anchors), s->grams.anchors, s->n * sizeof(anchor));
	put_block(w, AT(at, scanner, grams.first), s->grams.first, ((UINT64_C(1) << s->grams.bits >> 4) + 1) * sizeof(uint32_t));
	put_block(w, AT(at, scanner, grams.short_first), s->grams.short_first, 257 * sizeof(uint32_t));
}

static void
put_field(writer *w, size_t at, const field *f)
{
	put_str(w, AT(at, field, name), f->name);
	for (int i = 0; i < 2; i++)
	{
		const text_index *index = &f->text[i];
		size_t base = AT(at, field, text) + (size_t) i * sizeof(text_index);

		put_table(w, AT(base, text_index, equals), &index->equals);
		put_affixes(w, AT(base, text_index, begins), &index->begins);
		put_affixes(w, AT(base, text_index, ends), &index->ends);
		put_scanner(w, AT(base, text_index, parts), &index->parts);
	}
	put_ids(w, AT(at, field, present), &f->present);
	for (int i = 0; i < 4; i++)
		put_ids(w, AT(at, field, bounds) + (size_t) i * sizeof(ids), &f->bounds[i]);
	put_table(w, AT(at, field, networks), &f->networks);
}

static void
put_correlation(writer *w, size_t at, const sl_correlation *c)
{
	size_t to;

	put_strs(w, AT(at, sl_correlation, rules), c->rules, c->n_rules);
	put_strs(w, AT(at, sl_correlation, group_by), c->group_by, c->n_group_by);
	to = put_block(w, AT(at, sl_correlation, aliases), c->aliases, c->n_aliases * sizeof(sl_alias));
	for (size_t i = 0; i < c->n_aliases; i++)
	{
		put_str(w, AT(to + i * sizeof(sl_alias), sl_alias, name), c->aliases[i].name);
		put_str(w, AT(to + i * sizeof(sl_alias), sl_alias, rule), c->aliases[i].rule);
		put_str(w, AT(to + i * sizeof(sl_alias), sl_alias, field), c->aliases[i].field);
	}
	put_strs(w, AT(at, sl_correlation, fields), c->fields, c->n_fields);
	put_block(w, AT(at, sl_correlation, rule_index), c->rule_index, c->n_rules * sizeof(uint32_t));
	put_strs(w, AT(at, sl_correlation, group_fields), c->group_fields, c->group_fields ? c->n_rules * c->n_group_by : 0);
}

/* Without what only its author and explain_rule need. */
static void
put_rule(writer *w, size_t at, const sl_rule *rule)
{
	size_t to;

	put_str(w, AT(at, sl_rule, name), rule->name);
	put_str(w, AT(at, sl_rule, id), rule->id);
	put_str(w, AT(at, sl_rule, title), rule->title);
	put_str(w, AT(at, sl_rule, issue_code), rule->issue_code);
	put_str(w, AT(at, sl_rule, message), rule->message);
	put_strs(w, AT(at, sl_rule, group_by), rule->group_by, rule->n_group_by);
	put_str(w, AT(at, sl_rule, labels), rule->labels);
	put_str(w, AT(at, sl_rule, logsource), rule->logsource);
	put_str(w, AT(at, sl_rule, stored_name), rule->stored_name);
	put_block(w, AT(at, sl_rule, condition), NULL, 0);
	put_block(w, AT(at, sl_rule, targets), NULL, 0);
	put_block(w, AT(at, sl_rule, target_index), NULL, 0);
	put_block(w, AT(at, sl_rule, definition), NULL, 0);
	to = put_block(w, AT(at, sl_rule, correlation), rule->correlation, sizeof(sl_correlation));
	if (rule->correlation)
		put_correlation(w, to, rule->correlation);
}

static void
put_set(writer *w, const sl_ruleset *set)
{
	size_t at = put(w, set, sizeof(*set)),
		   tests,
		   steps,
		   to;
	size_t *texts = sl_alloc(w->out.arena, (set->n_predicates + 1) * sizeof(size_t)); /* where each predicate's stands */

	put_block(w, AT(at, sl_ruleset, arena), NULL, 0);
	to = put_block(w, AT(at, sl_ruleset, rules), set->rules, set->n_rules * sizeof(sl_rule *));
	for (size_t i = 0; i < set->n_rules; i++)
	{
		size_t rule = put_block(w, to + i * sizeof(void *), set->rules[i], sizeof(sl_rule));

		put_rule(w, rule, set->rules[i]);
	}
	steps = put_block(w, AT(at, sl_ruleset, steps), set->steps, set->n_steps * sizeof(step));
	put_block(w, AT(at, sl_ruleset, programs), set->programs, set->n_rules * sizeof(uint32_t));
	to = put_block(w, AT(at, sl_ruleset, feeds), set->feeds, set->n_rules * sizeof(feeds));
	for (size_t i = 0; i < set->n_rules; i++)
		put_block(w, AT(to + i * sizeof(feeds), feeds, v), set->feeds[i].v, set->feeds[i].n * sizeof(feed));
	tests = put_block(w, AT(at, sl_ruleset, tests), set->tests, set->n_predicates * sizeof(test));
	to = put_block(w, AT(at, sl_ruleset, predicates), set->predicates, set->n_predicates * sizeof(sl_predicate *));
	for (size_t i = 0; i < set->n_predicates; i++)
	{
		size_t p = put_block(w, to + i * sizeof(void *), set->predicates[i], sizeof(sl_predicate));

		put_str(w, AT(p, sl_predicate, field), set->predicates[i]->field);
		texts[i] = put_str(w, AT(p, sl_predicate, text), set->predicates[i]->text);
		if (texts[i])
			point(w, AT(tests + i * sizeof(test), test, text.p), texts[i]);
	}
	for (size_t i = 0; i < set->n_steps; i++)
		if (set->steps[i].t.op < STEP_AND && texts[set->steps[i].predicate])
			point(w, AT(steps + i * sizeof(step), step, t.text.p), texts[set->steps[i].predicate]);
	to = put_block(w, AT(at, sl_ruleset, fields), set->fields, set->n_fields * sizeof(field));
	for (size_t i = 0; i < set->n_fields; i++)
		put_field(w, to + i * sizeof(field), &set->fields[i]);
	put_table(w, AT(at, sl_ruleset, field_table), &set->field_table);
	put_idss(w, AT(at, sl_ruleset, triggers), set->triggers, set->n_predicates);
	put_ids(w, AT(at, sl_ruleset, always), &set->always);
	put_block(w, AT(at, sl_ruleset, exprs), NULL, 0);
	put_block(w, AT(at, sl_ruleset, children.v), NULL, 0);
	put_block(w, AT(at, sl_ruleset, roots), NULL, 0);
	put_block(w, AT(at, sl_ruleset, predicate_table.slots), NULL, 0);
	put_block(w, AT(at, sl_ruleset, made), NULL, 0);
	put_block(w, AT(at, sl_ruleset, guesses), NULL, 0);
	put_block(w, AT(at, sl_ruleset, owners), NULL, 0);
}

sl_str
sl_ruleset_save(const sl_ruleset *set, sl_arena *arena)
{
	writer w = {0};
	header h = {.magic = MAGIC, .build = build_number()};

	sl_buf_init(&w.out, arena, 1024 * 1024);
	put(&w, &h, sizeof(h));
	put_set(&w, set);
	put(&w, NULL, 0);
	h.bytes = w.out.n - sizeof(h);
	h.pointers = w.pointers.n;
	sl_buf_add(&w.out, (const char *) w.pointers.v, w.pointers.n * sizeof(uint32_t));
	h.checksum = XXH3_64bits(w.out.p + sizeof(h), w.out.n - sizeof(h));
	memcpy(w.out.p, &h, sizeof(h));
	return (sl_str){w.out.p, w.out.n};
}

sl_ruleset *
sl_ruleset_load(sl_str image, sl_arena *arena)
{
	header h;
	char *base;
	sl_ruleset *set;

	if (image.n < sizeof(h))
		return NULL;
	memcpy(&h, image.p, sizeof(h));
	if (h.magic != MAGIC || h.build != build_number() || h.bytes > image.n || h.bytes < sizeof(sl_ruleset) ||
		h.pointers > image.n || sizeof(h) + h.bytes + h.pointers * sizeof(uint32_t) != image.n ||
		h.checksum != XXH3_64bits(image.p + sizeof(h), image.n - sizeof(h)))
		return NULL;
	/* offsets count from the header, which needs no copy */
	base = (char *) sl_alloc(arena, h.bytes) - sizeof(h);
	memcpy(base + sizeof(h), image.p + sizeof(h), h.bytes);
	for (uint64_t i = 0; i < h.pointers; i++)
	{
		uint32_t word;
		char **at;

		memcpy(&word, image.p + sizeof(h) + h.bytes + i * sizeof(word), sizeof(word));
		at = (char **) (void *) (base + (size_t) word * sizeof(void *));
		*at = base + (size_t) *at;
	}
	set = (sl_ruleset *) (void *) (base + sizeof(h));
	set->arena = arena;
	return set;
}
