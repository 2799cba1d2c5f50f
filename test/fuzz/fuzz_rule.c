/*
 * fuzz_rule.c
 *	  Rule documents, as far as matching: every rule that is taken must read
 *	  again from the JSON that is stored of it, and mean the same.
 */
#include "fuzz.h"
#include "../../src/core/match/explain.h"

static void
same_expr(const sl_expr *a, const sl_expr *b)
{
	CHECK(a->kind == b->kind && a->n == b->n && a->weight == b->weight);
	if (a->kind == SL_EXPR_PREDICATE)
	{
		const sl_predicate *p = a->predicate,
						   *q = b->predicate;

		CHECK(p->op == q->op && p->cased == q->cased && p->keyword == q->keyword && p->number == q->number);
		CHECK(sl_str_eq(p->field, q->field) && sl_str_eq(p->text, q->text));
	}
	for (size_t i = 0; i < a->n; i++)
		same_expr(a->children[i], b->children[i]);
}

/* Log sources, and placeholders a and b. */
static const sl_definitions *
definitions(void)
{
	static sl_arena arena;
	static sl_definitions *made;
	sl_error err;

	if (!made)
	{
		static const char values[] = "{\"a\":[\"x*\",\"y\"],\"b\":\"1\"}";
		sl_documents documents = {0};

		sl_arena_init(&arena, 0, fuzz_out_of_memory);
		made = sl_definitions_new(&arena);
		sl_definitions_add_builtin(made);
		CHECK(sl_read_json(values, sizeof(values) - 1, &arena, &documents, &err));
		for (size_t i = 0; i < 2; i++)
			CHECK(sl_definitions_add_placeholder(made, documents.v[0]->entries[i].key, documents.v[0]->entries[i].value, &err));
	}
	return made;
}

static void
read_again(sl_arena *arena, const sl_rule *rule)
{
	sl_documents documents = {0};
	sl_error err = {0};
	sl_buf stored;
	sl_rule *again;

	sl_buf_init(&stored, arena, 256);
	sl_node_json(&stored, rule->definition);
	CHECK(sl_utf8_valid(stored.p, stored.n));
	if (!sl_read_json(stored.p, stored.n, arena, &documents, &err) ||
		!(again = sl_rule_read(documents.v[0], definitions(), arena, &err)))
	{
		fprintf(stderr, "%s in %s\n", err.message, stored.p);
		abort();
	}
	CHECK(sl_str_eq(rule->name, again->name) && rule->severity == again->severity);
	CHECK(rule->kind == again->kind && (rule->condition != NULL) == (again->condition != NULL));
	if (rule->condition)
		same_expr(rule->condition, again->condition);
}

static void
link_error(void *arg, sl_rule *rule, const sl_error *err)
{
	(void) arg;
	CHECK(rule->broken);
	check_error(err);
}

static void
explained(void *arg, const sl_explained *node)
{
	(void) arg;
	CHECK(sl_utf8_valid(node->node.p, node->node.n));
	CHECK(!node->actual.p || sl_utf8_valid(node->actual.p, node->actual.n));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const events[] = {
		"{}",
		"{\"message\":\"a B c\",\"level\":\"error\",\"f\":[1,\"x\",null],\"g\":4104.0,\"resource\":{\"h\":\"v\"}}",
		"{\"timestamp\":\"2025-01-02T03:04:05Z\",\"s\":\"\",\"EventID\":\"1\",\"CommandLine\":\"C:\\\\a\\\\b.exe -x\"}",
	};
	sl_arena *arena = fuzz_arena();
	sl_documents documents = {0},
				 rules = {0};
	sl_ruleset *set = sl_ruleset_new(arena);
	sl_ruleset *loaded;
	sl_matcher *matcher,
		*second;
	sl_error err;
	char *copy = malloc(n ? n : 1);

	memcpy(copy, data, n);
	if (!sl_read_documents(copy, n, arena, &documents, &err))
	{
		check_error(&err);
		CHECK(err.line >= 0 && err.col >= 0);
	}
	for (size_t i = 0; i < documents.n; i++)
		sl_rule_documents(documents.v[i], arena, &rules);
	for (size_t i = 0; i < rules.n; i++)
	{
		sl_rule *rule = sl_rule_read(rules.v[i], definitions(), arena, &err);

		if (!rule)
		{
			check_error(&err);
			CHECK(err.line > 0 && err.col > 0);
			continue;
		}
		read_again(arena, rule);
		sl_ruleset_add(set, rule);
	}
	sl_ruleset_finish(set, link_error, NULL);
	loaded = sl_ruleset_load(sl_ruleset_save(set, arena), arena);
	CHECK(loaded);
	matcher = sl_matcher_new(arena, set);
	second = sl_matcher_new(arena, loaded);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
	{
		sl_records records = {0};
		const uint32_t *found,
			*again;
		size_t n_found;

		CHECK(sl_decode(SL_JSON, events[i], strlen(events[i]), arena, &records, &err));
		n_found = sl_match(matcher, &records.v[0], arena, &found);
		CHECK(n_found <= sl_ruleset_size(set));
		CHECK(n_found == sl_match(second, &records.v[0], arena, &again));
		CHECK(n_found == 0 || memcmp(found, again, n_found * sizeof(*found)) == 0);
		if (rules.n == 1 && sl_ruleset_size(set) == 1 && sl_ruleset_rule(set, 0)->condition)
			sl_explain(sl_ruleset_rule(set, 0), &records.v[0], arena, explained, NULL);
	}
	free(copy);
	return 0;
}
