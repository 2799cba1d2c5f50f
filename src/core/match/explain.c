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

/* A value of the record, by the name that rules call it. */
typedef struct named
{
	sl_str name;
	sl_str folded; /* the name */
	sl_value value;
} named;

/* What the record says of a field that the rule asks for. */
typedef struct facts
{
	bool known;
	size_t n;		/* values of that name */
	sl_str values;	/* shown */
	sl_str similar; /* where there are none: a field of a name like it */
	sl_str *cased;	/* the texts of the values, and folded; made when first needed */
	sl_str *folded;
} facts;

typedef struct explainer
{
	sl_matcher *matcher;
	const sl_ruleset *set;
	const sl_record *record;
	named *values;
	size_t n_values;
	size_t cap_values;
	facts *fields;	/* by the set's fields */
	uint8_t *truth; /* by the set's exprs: 0 unknown, 1 false, 2 true */
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

static void
add_named(explainer *x, sl_str name, sl_value value)
{
	SL_ROOM(x->arena, x->values, x->n_values, x->cap_values, 64);
	x->values[x->n_values++] = (named){name, sl_fold(x->arena, name), value};
}

static void
add_time(explainer *x, const char *name, int64_t ns)
{
	char when[64];

	if (!ns)
		return;
	sl_format_timestamp(when, ns);
	add_named(x, (sl_str){name, strlen(name)}, (sl_value){.type = SL_STRING, .u.s = sl_str_copy(x->arena, when, strlen(when))});
}

/* All of a record's values that are fields by name. */
static void
name_values(explainer *x)
{
	const sl_record *r = x->record;

	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (r->text[i].p)
			add_named(x, (sl_str){sl_known_name[i], strlen(sl_known_name[i])}, (sl_value){.type = SL_STRING, .u.s = r->text[i]});
	add_time(x, "timestamp", r->timestamp);
	add_time(x, "observed_timestamp", r->observed);
	if (r->severity)
		add_named(x, SL_STR("severity_number"), (sl_value){.type = SL_INT, .u.i = r->severity});
	for (uint32_t i = 0; i < r->attributes.n; i++)
	{
		sl_str name = sl_event_field_name(x->arena, r->attributes.v[i].name);

		add_named(x, sl_field_name(name.p ? name : r->attributes.v[i].name), r->attributes.v[i].value);
	}
	for (uint32_t i = 0; r->resource && i < r->resource->fields.n; i++)
		add_named(x, sl_strf(x->arena, "resource.%.*s", SL_STR_FMT(r->resource->fields.v[i].name)), r->resource->fields.v[i].value);
}

#define FAR 3

/* Edits between two short names, both folded; FAR or more is not counted. */
static size_t
edits_between(sl_str a, sl_str b)
{
	size_t row[65];

	if (sl_str_eq(a, b))
		return 0;
	if (a.n > 64 || b.n > 64 || a.n < 4 || a.n + 2 < b.n || b.n + 2 < a.n)
		return FAR;
	for (size_t k = 0; k <= b.n; k++)
		row[k] = k;
	for (size_t i = 1; i <= a.n; i++)
	{
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= b.n; k++)
		{
			size_t above = row[k],
				   best = diagonal + (a.p[i - 1] != b.p[k - 1]);

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

/* Is the shorter one the other's beginning or end, where a word of the name begins or ends? */
static bool
is_part_of(sl_str a, sl_str b)
{
	if (a.n > b.n)
		return is_part_of(b, a);
	if (a.n < 3 || a.n == b.n)
		return false;
	return (memcmp(a.p, b.p, a.n) == 0 && strchr("._-", b.p[a.n])) ||
		   (memcmp(a.p, b.p + b.n - a.n, a.n) == 0 && strchr("._-", b.p[b.n - a.n - 1]));
}

/* How far a name is from the one that the rule asks for. */
static size_t
distance_of(sl_str name, sl_str wanted)
{
	size_t edits = edits_between(name, wanted);

	return edits > 1 && is_part_of(name, wanted) ? 1 : edits;
}

static const facts *
facts_of(explainer *x, uint32_t field, sl_str name)
{
	facts *f = &x->fields[field];
	size_t nearest = FAR;
	sl_str folded;
	sl_buf shown;

	if (f->known)
		return f;
	f->known = true;
	folded = sl_fold(x->arena, name);
	sl_buf_init(&shown, x->arena, 64);
	for (size_t i = 0; i < x->n_values; i++)
	{
		const named *v = &x->values[i];

		if (sl_str_eq(v->name, name))
		{
			if (f->n++ < 5)
			{
				if (shown.n)
					sl_buf_puts(&shown, ", ");
				put_value(&shown, &v->value, x->arena);
			}
		}
		else if (f->n == 0)
		{
			size_t distance = distance_of(v->folded, folded);

			if (distance < nearest)
			{
				nearest = distance;
				f->similar = v->name;
			}
		}
	}
	if (f->n > 5)
		sl_buf_printf(&shown, " and %zu more", f->n - 5);
	if (f->n == 0)
		sl_buf_puts(&shown, "missing");
	if (f->n == 0 && f->similar.p)
		sl_buf_printf(&shown, "; the record has \"%.*s\"", SL_STR_FMT(f->similar));
	f->values = (sl_str){shown.p, shown.n};
	return f;
}

/* Would a test that minds case be true if it didn't? */
static bool
true_but_for_case(explainer *x, const sl_predicate *p, uint32_t field)
{
	facts *f = &x->fields[field];
	sl_regex_scratch *scratch;
	sl_regex *regex;
	sl_error err;
	size_t offset;
	bool found = false;

	if (!p->cased || p->op > SL_OP_REGEX || (p->op == SL_OP_REGEX && (p->how & SL_REGEX_IGNORE_CASE)) || f->n == 0)
		return false;
	if (!f->cased)
	{
		size_t n = 0;

		f->cased = sl_alloc0(x->arena, f->n * sizeof(sl_str));
		f->folded = sl_alloc0(x->arena, f->n * sizeof(sl_str));
		for (size_t i = 0; i < x->n_values; i++)
			if (sl_str_eq(x->values[i].name, sl_field_name(p->field)) && x->values[i].value.type != SL_NULL)
			{
				f->cased[n] = sl_value_text(x->arena, &x->values[i].value);
				f->folded[n] = sl_fold(x->arena, f->cased[n]);
				n++;
			}
		f->n = n;
	}
	if (p->op < SL_OP_REGEX)
	{
		sl_str wanted = sl_fold_glob(x->arena, p->text);

		for (size_t i = 0; i < f->n && !found; i++)
			found = sl_text_relates(p->op, f->folded[i], wanted);
		return found;
	}
	regex = sl_regex_new(p->text, p->how | SL_REGEX_IGNORE_CASE, &err, &offset);
	scratch = sl_regex_scratch_new();
	for (size_t i = 0; regex && scratch && i < f->n && !found; i++)
		found = sl_regex_search(regex, scratch, f->cased[i]) == SL_REGEX_FOUND;
	sl_regex_free(regex);
	sl_regex_scratch_free(scratch);
	return found;
}

static void
explain_predicate(explainer *x, const sl_predicate *p, uint32_t field, sl_explained *node)
{
	const facts *f;
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
	f = facts_of(x, field, sl_field_name(p->field));
	node->actual = f->values;
	if (!node->result && true_but_for_case(x, p, field))
		node->actual = sl_strf(x->arena, "%.*s; equal but for case", SL_STR_FMT(f->values));
}

/* Each part is asked once, however many parts it is part of. */
static bool
is_true(explainer *x, const sl_expr *expr, uint32_t id)
{
	const struct expr *e = &x->set->exprs[id];
	bool result = e->kind == SL_EXPR_AND;

	if (x->truth[id])
		return x->truth[id] == 2;
	if (e->kind == SL_EXPR_PREDICATE)
		result = sl_matcher_predicate(x->matcher, e->predicate);
	else if (e->kind == SL_EXPR_NOT)
		result = !is_true(x, expr->children[0], sl_ruleset_expr(x->set, expr->children[0]));
	else
		for (size_t i = 0; i < expr->n && result == (e->kind == SL_EXPR_AND); i++)
			result = is_true(x, expr->children[i], sl_ruleset_expr(x->set, expr->children[i]));
	x->truth[id] = result ? 2 : 1;
	return result;
}

static void
walk(explainer *x, const sl_expr *expr, int depth)
{
	static const char *const kinds[] = {"test", "and", "or", "not"};
	uint32_t id = sl_ruleset_expr(x->set, expr);
	sl_explained node = {.depth = depth, .result = is_true(x, expr, id)};

	if (expr->kind == SL_EXPR_PREDICATE)
		explain_predicate(x, expr->predicate, x->set->tests[x->set->exprs[id].predicate].field, &node);
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
	x.fields = sl_alloc0(arena, (set->n_fields + 1) * sizeof(*x.fields));
	x.truth = sl_alloc0(arena, set->n_exprs + 1);
	name_values(&x);
	sl_match(x.matcher, record, arena, &found);
	walk(&x, rule->condition, 0);
}
