/*
 * explain.c
 *	  A rule and a record, node by node.
 *
 * The answer comes from the matcher itself, on a set of this rule alone; what
 * stands here puts it in words, and looks for what came near.
 */
#include "explain.h"
#include "internal.h"
#include "../utf8.h"

/* Bytes of a record's value that are shown. */
#define SHOWN 200

typedef struct explainer
{
	sl_matcher *matcher;
	const sl_ruleset *set;
	const sl_record *record;
	sl_arena *arena;
	void (*each)(void *arg, const sl_explained *node);
	void *arg;
} explainer;

static void
put_value(sl_buf *out, const sl_value *value, sl_arena *arena)
{
	sl_str text = sl_value_text(arena, value);
	size_t n = sl_utf8_cut(text.p ? text.p : "", text.n, SHOWN);

	if (value->type == SL_NULL)
		sl_buf_puts(out, "null");
	else if (value->type != SL_STRING)
		sl_buf_add(out, text.p, n);
	else
		sl_buf_json_string(out, (sl_str){text.p, n});
	if (n < text.n)
		sl_buf_puts(out, "…");
}

/* Calls for each of a record's values that are fields by name. */
static void
each_field(const explainer *x, void (*call)(void *arg, sl_str name, const sl_value *value), void *arg)
{
	const sl_record *r = x->record;
	static const struct
	{
		const char *name;
		size_t offset;
	} times[] = {{"timestamp", offsetof(sl_record, timestamp)}, {"observed_timestamp", offsetof(sl_record, observed)}};

	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (r->text[i].p)
		{
			sl_value value = {.type = SL_STRING, .u.s = r->text[i]};

			call(arg, (sl_str){sl_known_name[i], strlen(sl_known_name[i])}, &value);
		}
	for (int i = 0; i < 2; i++)
	{
		int64_t ns = *(const int64_t *) (const void *) ((const char *) r + times[i].offset);
		char when[64];
		sl_value value = {.type = SL_STRING};

		if (!ns)
			continue;
		sl_format_timestamp(when, ns);
		value.u.s = sl_str_copy(x->arena, when, strlen(when));
		call(arg, (sl_str){times[i].name, strlen(times[i].name)}, &value);
	}
	if (r->severity)
	{
		sl_value value = {.type = SL_INT, .u.i = r->severity};

		call(arg, SL_STR("severity_number"), &value);
	}
	for (uint32_t i = 0; i < r->attributes.n; i++)
	{
		sl_str name = sl_event_field_name(x->arena, r->attributes.v[i].name);

		call(arg, sl_field_name(name.p ? name : r->attributes.v[i].name), &r->attributes.v[i].value);
	}
	for (uint32_t i = 0; r->resource && i < r->resource->fields.n; i++)
	{
		sl_str name = r->resource->fields.v[i].name;

		call(arg, sl_strf(x->arena, "resource.%.*s", SL_STR_FMT(name)), &r->resource->fields.v[i].value);
	}
}

typedef struct search
{
	const explainer *x;
	sl_str name; /* as records have it */
	sl_buf values;
	size_t n;
	sl_str similar; /* a field of a name like it */
	size_t distance;
	sl_str other_case; /* a value that is equal but for case */
	const sl_predicate *p;
} search;

static bool
same_folded(sl_arena *arena, sl_str a, sl_str b)
{
	return sl_str_eq(sl_fold(arena, a), sl_fold(arena, b));
}

/* Edits between two short names; more than 2 is not counted. */
static size_t
distance_of(sl_arena *arena, sl_str a, sl_str b)
{
	size_t row[65];

	if (same_folded(arena, a, b))
		return 0;
	if (a.n > 64 || b.n > 64 || a.n < 4 || a.n + 2 < b.n || b.n + 2 < a.n)
		return 3;
	for (size_t k = 0; k <= b.n; k++)
		row[k] = k;
	for (size_t i = 1; i <= a.n; i++)
	{
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= b.n; k++)
		{
			size_t above = row[k],
				   best = diagonal + ((a.p[i - 1] | 0x20) != (b.p[k - 1] | 0x20));

			if (above + 1 < best)
				best = above + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
			diagonal = above;
		}
	}
	return row[b.n];
}

static void
see_field(void *arg, sl_str name, const sl_value *value)
{
	search *s = arg;
	const char *dot;
	size_t distance;

	if (sl_str_eq(name, s->name))
	{
		if (s->n++ < 5)
		{
			if (s->values.n)
				sl_buf_puts(&s->values, ", ");
			put_value(&s->values, value, s->x->arena);
		}
		if (s->p->cased && s->p->op <= SL_OP_ENDSWITH && value->type == SL_STRING &&
			memmem(sl_fold(s->x->arena, value->u.s).p, sl_fold(s->x->arena, value->u.s).n,
				   sl_fold(s->x->arena, s->p->text).p, sl_fold(s->x->arena, s->p->text).n))
			s->other_case = value->u.s;
		return;
	}
	distance = distance_of(s->x->arena, name, s->name);
	/* a.b.name is like name */
	dot = memrchr(name.p, '.', name.n);
	if (distance > 1 && dot && sl_str_eq((sl_str){dot + 1, name.n - (size_t) (dot + 1 - name.p)}, s->name))
		distance = 1;
	if (distance < s->distance)
	{
		s->distance = distance;
		s->similar = name;
	}
}

static void
explain_predicate(explainer *x, const sl_predicate *p, sl_explained *node)
{
	search s = {.x = x, .name = sl_field_name(p->field), .distance = 3, .p = p};
	sl_buf expected;

	sl_buf_init(&expected, x->arena, 64);
	sl_predicate_describe(&expected, p);
	node->node = SL_STR("test");
	node->field = p->keyword ? SL_STR("(any field)") : p->field;
	node->op = sl_op_name[p->op];
	if (expected.n)
		node->expected = (sl_str){expected.p, expected.n};
	if (p->keyword)
		return;
	sl_buf_init(&s.values, x->arena, 64);
	each_field(x, see_field, &s);
	if (s.n > 5)
		sl_buf_printf(&s.values, " and %zu more", s.n - 5);
	if (s.n == 0)
		sl_buf_puts(&s.values, "missing");
	if (s.n == 0 && s.similar.p)
		sl_buf_printf(&s.values, "; the record has \"%.*s\"", SL_STR_FMT(s.similar));
	if (!node->result && s.other_case.p)
		sl_buf_puts(&s.values, "; equal but for case");
	node->actual = (sl_str){s.values.p, s.values.n};
}

static uint32_t
predicate_number(const sl_ruleset *set, const sl_predicate *p)
{
	uint32_t i = 0;

	while (set->predicates[i] != p && !sl_same_predicate(set->predicates[i], p))
		i++;
	return i;
}

static bool
is_true(explainer *x, const sl_expr *expr)
{
	switch (expr->kind)
	{
		case SL_EXPR_PREDICATE:
			return sl_matcher_predicate(x->matcher, predicate_number(x->set, expr->predicate));
		case SL_EXPR_NOT:
			return !is_true(x, expr->children[0]);
		default:
			for (size_t i = 0; i < expr->n; i++)
				if (is_true(x, expr->children[i]) != (expr->kind == SL_EXPR_AND))
					return expr->kind == SL_EXPR_OR;
			return expr->kind == SL_EXPR_AND;
	}
}

static void
walk(explainer *x, const sl_expr *expr, int depth)
{
	static const char *const kinds[] = {"test", "and", "or", "not"};
	sl_explained node = {.depth = depth, .result = is_true(x, expr)};

	if (expr->kind == SL_EXPR_PREDICATE)
		explain_predicate(x, expr->predicate, &node);
	else
		node.node = (sl_str){kinds[expr->kind], strlen(kinds[expr->kind])};
	if (expr->name.p)
		node.node = expr->kind == SL_EXPR_PREDICATE ? expr->name
													: sl_strf(x->arena, "%.*s: %s", SL_STR_FMT(expr->name), kinds[expr->kind]);
	x->each(x->arg, &node);
	for (size_t i = 0; i < expr->n; i++)
		walk(x, expr->children[i], depth + 1);
}

void
sl_explain(sl_rule *rule, const sl_record *record, sl_arena *arena,
		   void (*each)(void *arg, const sl_explained *node), void *arg)
{
	explainer x = {.record = record, .arena = arena, .each = each, .arg = arg};
	sl_ruleset *set = sl_ruleset_new(arena);
	sl_rule alone = *rule;
	const uint32_t *found;

	alone.kind = SL_DETECTION; /* a filter's condition is explained like one */
	sl_ruleset_add(set, &alone);
	sl_ruleset_finish(set, NULL, NULL);
	x.set = set;
	x.matcher = sl_matcher_new(arena, set);
	sl_match(x.matcher, record, arena, &found);
	walk(&x, rule->condition, 0);
}
