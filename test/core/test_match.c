/*
 * test_match.c
 *	  Records against rule sets: by hand, and against a naive evaluator.
 */
#include "tap.h"
#include "../../src/core/decode/decode.h"
#include "../../src/core/match/ruleset.h"
#include "../../src/core/utf8.h"

#include <time.h>

static sl_error err;

static sl_rule *
read_rule(const char *text, size_t n)
{
	sl_documents documents = {0};
	sl_rule *rule;

	if (!sl_read_documents(text, n, tap_arena(), &documents, &err) || documents.n != 1 ||
		!(rule = sl_rule_read(documents.v[0], tap_arena(), &err)))
	{
		printf("Bail out! %s at %d:%d of %.*s\n", err.message, err.line, err.col, SL_STR_FMT(((sl_str){text, n})));
		exit(1);
	}
	return rule;
}

/* A rule of one selection, in JSON, under the condition "s". */
static sl_rule *
selection(const char *json)
{
	sl_str text = sl_strf(tap_arena(), "{\"title\":\"t\",\"detection\":{\"s\":%s,\"condition\":\"s\"}}", json);

	return read_rule(text.p, text.n);
}

static sl_record *
read_record(const char *json)
{
	sl_records records = {0};
	bool otlp = strncmp(json, "{\"resourceLogs\"", 15) == 0;

	if (!sl_decode(otlp ? SL_OTLP_JSON : SL_JSON, json, strlen(json), tap_arena(), &records, &err) || records.n != 1)
	{
		printf("Bail out! %s in %s\n", err.message, json);
		exit(1);
	}
	return &records.v[0];
}

static bool
matches(const char *rule, const char *record)
{
	sl_ruleset *set = sl_ruleset_new(tap_arena());
	sl_matcher *matcher;
	const uint32_t *found;

	sl_ruleset_add(set, selection(rule));
	sl_ruleset_finish(set);
	matcher = sl_matcher_new(tap_arena(), set);
	return sl_match(matcher, read_record(record), tap_arena(), &found) == 1;
}

#define yes(rule, record) ok(matches(rule, record), "%s is true of %s", rule, record)
#define no(rule, record) ok(!matches(rule, record), "%s isn't true of %s", rule, record)

static void
test_by_hand(void)
{
	/* numbers and strings compare across types */
	yes("{\"f\":4104}", "{\"f\":4104}");
	yes("{\"f\":4104}", "{\"f\":4104.0}");
	yes("{\"f\":4104}", "{\"f\":\"4104\"}");
	yes("{\"f\":\"4104\"}", "{\"f\":4104}");
	yes("{\"f\":\"4104\"}", "{\"f\":4104.0}");
	yes("{\"f\":4104.0}", "{\"f\":4104}");
	yes("{\"f\":true}", "{\"f\":\"TRUE\"}");
	yes("{\"f\":\"true\"}", "{\"f\":true}");
	yes("{\"f\":100000000000000000}", "{\"f\":1e17}");
	yes("{\"f\":0}", "{\"f\":-0.0}");
	no("{\"f\":4104}", "{\"f\":4104.5}");
	no("{\"f\":1}", "{\"f\":true}");
	no("{\"f\":4104}", "{\"F\":4104}");
	yes("{\"f|contains\":\"10\"}", "{\"f\":4104}");
	yes("{\"f|gt\":5}", "{\"f\":5.5}");
	yes("{\"f|gt\":5}", "{\"f\":\"6e0\"}");
	yes("{\"f|gte\":5}", "{\"f\":5}");
	yes("{\"f|lt\":-1}", "{\"f\":\"-2\"}");
	yes("{\"f|lte\":5}", "{\"f\":5}");
	no("{\"f|gt\":5}", "{\"f\":5}");
	no("{\"f|lt\":5}", "{\"f\":5}");
	no("{\"f|gt\":5}", "{\"f\":\"six\"}");
	no("{\"f|gt\":5}", "{\"f\":\"0x10\"}");
	no("{\"f|gt\":5}", "{\"f\":\"inf\"}");
	no("{\"f|gt\":5}", "{\"f\":\"\"}");
	no("{\"f|gt\":5}", "{\"f\":true}");
	no("{\"f|lt\":5}", "{}");

	/* case */
	yes("{\"f\":\"abc\"}", "{\"f\":\"ABC\"}");
	yes("{\"f\":\"\\u212A\\u00C4\"}", "{\"f\":\"k\\u00e4\"}");
	no("{\"f\":\"\\u0130\"}", "{\"f\":\"i\"}");
	no("{\"f|cased\":\"abc\"}", "{\"f\":\"ABC\"}");
	yes("{\"f|cased\":\"aBc\"}", "{\"f\":\"aBc\"}");
	yes("{\"f|cased|contains\":\"B\"}", "{\"f\":\"aBc\"}");
	no("{\"f|cased|contains\":\"b\"}", "{\"f\":\"aBc\"}");

	/* whole values, patterns */
	no("{\"f\":\"ab\"}", "{\"f\":\"abc\"}");
	yes("{\"f\":\"a?c\"}", "{\"f\":\"a\\u00e4c\"}");
	no("{\"f\":\"a?c\"}", "{\"f\":\"ac\"}");
	yes("{\"f\":\"*a*b*\"}", "{\"f\":\"xxaxxbxx\"}");
	no("{\"f\":\"*a*b*\"}", "{\"f\":\"xxbxxaxx\"}");
	yes("{\"f\":\"C:\\\\\\\\*\\\\x.exe\"}", "{\"f\":\"c:\\\\dir\\\\x.EXE\"}");
	yes("{\"f\":\"a\\\\*b\"}", "{\"f\":\"a*b\"}");
	no("{\"f\":\"a\\\\*b\"}", "{\"f\":\"axb\"}");
	yes("{\"f\":\"*\"}", "{\"f\":\"\"}");
	no("{\"f\":\"*\"}", "{\"f\":null}");
	no("{\"f\":\"*\"}", "{}");

	/* nothing, null, empty */
	yes("{\"f\":null}", "{}");
	yes("{\"f\":null}", "{\"f\":null}");
	no("{\"f\":null}", "{\"f\":\"\"}");
	no("{\"f\":null}", "{\"f\":[null,1]}");
	yes("{\"f\":\"\"}", "{\"f\":\"\"}");
	no("{\"f\":\"\"}", "{}");
	no("{\"f\":\"\"}", "{\"f\":null}");
	yes("{\"f|exists\":true}", "{\"f\":null}");
	no("{\"f|exists\":true}", "{}");
	yes("{\"f|exists\":false}", "{}");
	no("{\"f|exists\":false}", "{\"f\":[]}");
	yes("{\"level|exists\":true}", "{\"severity_number\":9}");

	/* several values: one is enough */
	yes("{\"f\":2}", "{\"f\":[1,2,3]}");
	no("{\"f\":4}", "{\"f\":[1,2,3]}");
	yes("{\"f|all\":[1,3]}", "{\"f\":[1,2,3]}");
	no("{\"f|all\":[1,4]}", "{\"f\":[1,2,3]}");
	yes("{\"f.g\":2}", "{\"f\":[{\"g\":1},{\"g\":2}]}");
	yes("{\"f|gt\":2}", "{\"f\":[1,2,3]}");

	/* known names by any spelling, also where a second one stayed behind */
	yes("{\"msg\":\"m\"}", "{\"body\":\"m\"}");
	yes("{\"message\":\"n\"}", "{\"message\":\"m\",\"msg\":\"n\"}");
	yes("{\"severityText\":\"warn\"}", "{\"level\":\"WARN\"}");
	yes("{\"severity_number|gte\":17}", "{\"level\":\"error\"}");
	yes("{\"service.name\":\"s\"}", "{\"service\":\"s\"}");
	yes("{\"timestamp|startswith\":\"2025-01-02T03\"}", "{\"ts\":\"2025-01-02T03:04:05Z\"}");
	yes("{\"@timestamp|contains\":\"04:05\"}", "{\"time\":\"2025-01-02T03:04:05Z\"}");
	yes("{\"ts\":\"never\"}", "{\"ts\":\"never\"}");
	yes("{\"observed_timestamp|exists\":true}", "{\"observed_timestamp\":1700000000}");
	no("{\"observed_timestamp|exists\":true}", "{\"timestamp\":1700000000}");

	/* resources */
	yes("{\"resource.host\":\"h\"}", "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"host\",\"value\":{\"stringValue\":\"H\"}}]},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}");
	no("{\"host\":\"h\"}", "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"host\",\"value\":{\"stringValue\":\"H\"}}]},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}");
	yes("{\"service\":\"s\",\"resource.service.name\":\"s\"}", "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s\"}}]},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}");
	yes("{\"resource.host\":\"h\"}", "{\"resource\":{\"host\":\"h\"}}");
	no("{\"resource.host\":\"h\"}", "{\"host\":\"h\"}");

	/* keywords */
	yes("[\"needle\"]", "{\"message\":\"a NEEDLE here\"}");
	yes("[\"needle\"]", "{\"x\":{\"y\":[\"no\",\"needles\"]}}");
	yes("[\"needle\"]", "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"needle\"}}]},\"scopeLogs\":[{\"logRecords\":[{}]}]}]}");
	no("[\"needle\"]", "{\"needle\":\"x\"}");
	yes("[41]", "{\"x\":4104}");
	yes("[\"a*b\"]", "{\"x\":\"xxaxxbxx\"}");
	yes("{\"|all\":[\"one\",\"two\"]}", "{\"x\":\"one\",\"y\":\"two\"}");
	no("{\"|all\":[\"one\",\"two\"]}", "{\"x\":\"one\"}");
	no("{\"|cased\":[\"One\"]}", "{\"x\":\"one\"}");
}

static size_t
looked_at(const sl_matcher *matcher)
{
	const uint32_t *rules;

	return sl_matcher_candidates(matcher, &rules);
}

static size_t
count_matches(sl_matcher *matcher, const char *record)
{
	const uint32_t *found;

	return sl_match(matcher, read_record(record), tap_arena(), &found);
}

/* What is looked at, and what is shared. */
static void
test_sets(void)
{
	sl_ruleset *set = sl_ruleset_new(tap_arena());
	sl_matcher *matcher;
	const uint32_t *found;
	static const char never[] = "{\"title\":\"never\",\"detection\":{\"s\":{\"f\":1},\"condition\":\"not s\"}}";

	sl_ruleset_add(set, selection("{\"msg|exists\":true}")); /* 0 */
	sl_ruleset_add(set, selection("{\"message|exists\":true}"));
	sl_ruleset_add(set, selection("{\"body\":\"x\"}"));
	sl_ruleset_add(set, selection("{\"message\":\"X\"}"));
	sl_ruleset_add(set, selection("{\"msg\":null}"));
	sl_ruleset_add(set, selection("{\"message\":null}")); /* 5 */
	sl_ruleset_add(set, read_rule(never, strlen(never)));
	for (int i = 0; i < 1000; i++)
		sl_ruleset_add(set, selection(sl_strf(tap_arena(), "{\"id\":\"v%d\",\"message|contains\":\"x\"}", i).p));
	sl_ruleset_finish(set);
	matcher = sl_matcher_new(tap_arena(), set);
	is_int(sl_ruleset_size(set), 1007, "rules of a set");
	is_int(sl_match(matcher, read_record("{\"message\":\"x\",\"f\":1}"), tap_arena(), &found), 4,
		   "equal predicates of two spellings are one");
	ok(found[0] == 0 && found[1] == 1 && found[2] == 2 && found[3] == 3, "rules come in order");
	is_int(looked_at(matcher), 7, "rules without a hit aren't looked at");
	is_int(count_matches(matcher, "{}"), 3, "rules that need no predicate are: null, null, not");
	is_int(looked_at(matcher), 3, "and nothing else");
	is_int(count_matches(matcher, "{\"id\":\"V7\",\"message\":\"axb\",\"f\":1}"), 3, "a rule among a thousand");
	is_int(looked_at(matcher), 6, "is found by its rarest predicate");
	for (int i = 0; i < 1000; i++)
		if (count_matches(matcher, "{}") != 3 || count_matches(matcher, "{\"message\":\"x\"}") != 5)
			printf("Bail out! marks of one record are seen by the next\n"), exit(1);
	ok(true, "nothing of a record is left for the next");

	set = sl_ruleset_new(tap_arena());
	sl_ruleset_finish(set);
	matcher = sl_matcher_new(tap_arena(), set);
	is_int(count_matches(matcher, "{\"a\":1}"), 0, "an empty set");

	/* bounds, many, in no order */
	set = sl_ruleset_new(tap_arena());
	for (int i = 0; i < 100; i++)
	{
		int n = i * 37 % 100;

		sl_ruleset_add(set, selection(sl_strf(tap_arena(), "{\"f|lt\":%d}", n).p));
		sl_ruleset_add(set, selection(sl_strf(tap_arena(), "{\"f|lte\":%d}", n).p));
		sl_ruleset_add(set, selection(sl_strf(tap_arena(), "{\"f|gt\":%d}", n).p));
		sl_ruleset_add(set, selection(sl_strf(tap_arena(), "{\"f|gte\":%d}", n).p));
	}
	sl_ruleset_finish(set);
	matcher = sl_matcher_new(tap_arena(), set);
	is_int(count_matches(matcher, "{\"f\":50}"), 49 + 50 + 50 + 51, "bounds on both sides");
	is_int(count_matches(matcher, "{\"f\":-1}"), 200, "below all");
	is_int(count_matches(matcher, "{\"f\":1000}"), 200, "above all");
	is_int(count_matches(matcher, "{\"f\":50.5}"), 49 + 49 + 51 + 51, "between");
}

/*
 * The naive evaluator: every value of a field is compared with every
 * predicate, as the specification says, with functions of its own.
 */
typedef struct item
{
	char name[40];
	sl_value value;
	bool apart; /* a time or number of the record itself: no keyword is looked for in it */
} item;

static item items[200];
static int n_items;

static const char *
plain_name(const char *name)
{
	static const char *const same[][2] = {
		{"severity", "level"},
		{"severity_text", "level"},
		{"severityText", "level"},
		{"msg", "message"},
		{"body", "message"},
		{"service.name", "service"},
		{"errorCode", "error_code"},
		{"ts", "timestamp"},
		{"time", "timestamp"},
		{"@timestamp", "timestamp"},
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (strcmp(name, same[i][0]) == 0)
			return same[i][1];
	return name;
}

static void
add_item(const char *prefix, sl_str name, sl_value value)
{
	char full[40];

	snprintf(full, sizeof(full), "%s%.*s", prefix, SL_STR_FMT(name));
	strcpy(items[n_items].name, plain_name(full));
	items[n_items].apart = false;
	items[n_items++].value = value;
}

static void
add_apart(const char *name, sl_value value)
{
	add_item("", S(name), value);
	items[n_items - 1].apart = true;
}

static void
list_items(const sl_record *r)
{
	static char when[2][64];

	n_items = 0;
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (r->text[i].p)
			add_item("", S(sl_known_name[i]), (sl_value){.type = SL_STRING, .u.s = r->text[i]});
	if (r->severity)
		add_apart("severity_number", (sl_value){.type = SL_INT, .u.i = r->severity});
	if (r->timestamp)
	{
		sl_format_timestamp(when[0], r->timestamp);
		add_apart("timestamp", (sl_value){.type = SL_STRING, .u.s = S(when[0])});
	}
	if (r->observed)
	{
		sl_format_timestamp(when[1], r->observed);
		add_apart("observed_timestamp", (sl_value){.type = SL_STRING, .u.s = S(when[1])});
	}
	for (uint32_t i = 0; i < r->attributes.n; i++)
		add_item("", r->attributes.v[i].name, r->attributes.v[i].value);
	if (r->resource)
		for (uint32_t i = 0; i < r->resource->fields.n; i++)
			add_item("resource.", r->resource->fields.v[i].name, r->resource->fields.v[i].value);
}

/* The characters of a text, folded for the few letters that the pools use. */
static int
characters(sl_str s, bool fold, uint32_t *out)
{
	int n = 0;

	for (size_t i = 0; i < s.n;)
	{
		int len = 1;
		uint32_t c = (unsigned char) s.p[i];

		if (s.p[i] == SL_ANY_RUN || s.p[i] == SL_ANY_ONE)
			c += 0x1000000;
		else
			c = sl_utf8_get(s.p + i, s.n - i, &len);
		if (fold && c >= 'A' && c <= 'Z')
			c += 32;
		if (fold && c == 0xC4)
			c = 0xE4;
		if (fold && c == 0x212A)
			c = 'k';
		out[n++] = c;
		i += (size_t) len;
	}
	return n;
}

static bool
glob(const uint32_t *g, int ng, const uint32_t *s, int ns)
{
	if (ng == 0)
		return ns == 0;
	if (g[0] == 0x1000000 + (unsigned char) SL_ANY_RUN)
		return glob(g + 1, ng - 1, s, ns) || (ns > 0 && glob(g, ng, s + 1, ns - 1));
	return ns > 0 && (g[0] == s[0] || g[0] == 0x1000000 + (unsigned char) SL_ANY_ONE) && glob(g + 1, ng - 1, s + 1, ns - 1);
}

static bool
text_true(const sl_predicate *p, const sl_value *v)
{
	uint32_t g[300],
		s[300];
	char number[64];
	sl_str text = v->u.s;
	int ng = 0,
		n;

	if (v->type == SL_INT)
		text = (sl_str){number, (size_t) snprintf(number, sizeof(number), "%lld", (long long) v->u.i)};
	else if (v->type == SL_DOUBLE)
		text = (sl_str){number, (size_t) snprintf(number, sizeof(number), "%g", v->u.d)};
	else if (v->type == SL_BOOL)
		text = S(v->u.b ? "true" : "false");
	if (p->op == SL_OP_CONTAINS || p->op == SL_OP_ENDSWITH)
		g[ng++] = 0x1000000 + (unsigned char) SL_ANY_RUN;
	n = characters(p->text, false, g + ng);
	ng += n;
	if (p->op == SL_OP_CONTAINS || p->op == SL_OP_STARTSWITH)
		g[ng++] = 0x1000000 + (unsigned char) SL_ANY_RUN;
	n = characters(text, !p->cased, s);
	return glob(g, ng, s, n);
}

static bool
number_true(const sl_predicate *p, const sl_value *v)
{
	double x;
	char digits[64],
		*end;

	if (v->type == SL_INT)
		x = (double) v->u.i;
	else if (v->type == SL_DOUBLE)
		x = v->u.d;
	else if (v->type == SL_STRING && v->u.s.n > 0 && v->u.s.n < sizeof(digits))
	{
		memcpy(digits, v->u.s.p, v->u.s.n);
		digits[v->u.s.n] = '\0';
		if (strpbrk(digits, "xXnN \t") || strchr(digits, 'i'))
			return false;
		x = strtod(digits, &end);
		if (*end)
			return false;
	}
	else
		return false;
	return p->op == SL_OP_LT ? x < p->number : p->op == SL_OP_LTE ? x <= p->number
										   : p->op == SL_OP_GT	  ? x > p->number
																  : x >= p->number;
}

static bool
predicate_true(const sl_predicate *p)
{
	char field[40];
	const char *name;

	snprintf(field, sizeof(field), "%.*s", SL_STR_FMT(p->field));
	name = plain_name(field);
	for (int i = 0; i < n_items; i++)
	{
		const sl_value *v = &items[i].value;

		if (!p->keyword && strcmp(items[i].name, name) != 0)
			continue;
		if (p->keyword && items[i].apart)
			continue;
		if (p->op == SL_OP_EXISTS)
			return true;
		if (v->type == SL_NULL)
			continue;
		if (p->op == SL_OP_NOT_NULL)
			return true;
		if (p->op >= SL_OP_LT && p->op <= SL_OP_GTE ? number_true(p, v) : text_true(p, v))
			return true;
	}
	return false;
}

static bool
expr_true(const sl_expr *e)
{
	switch (e->kind)
	{
		case SL_EXPR_PREDICATE:
			return predicate_true(e->predicate);
		case SL_EXPR_NOT:
			return !expr_true(e->children[0]);
		case SL_EXPR_AND:
			for (size_t i = 0; i < e->n; i++)
				if (!expr_true(e->children[i]))
					return false;
			return true;
		case SL_EXPR_OR:
			for (size_t i = 0; i < e->n; i++)
				if (expr_true(e->children[i]))
					return true;
			return false;
	}
	return false;
}

static uint64_t seed;

static int
below(int n)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return (int) ((seed >> 11) % (uint64_t) n);
}

#define PICK(pool) pool[below((int) (sizeof(pool) / sizeof(pool[0])))]

static const char *const fields[] = {"a", "a", "b.c", "list", "list", "level", "severity", "message", "msg", "service",
									 "service.name", "error_code", "resource.x", "resource.y", "severity_number", "timestamp", "ts"};
static const char *const texts[] = {"", "a", "A", "ab", "aB", "abc", "b", "ba", "k", "\xE2\x84\xAA", "\xC3\xA4", "\xC3\x84"
																												 "b",
									"a*b", "*a", "b*",
									"*b*", "a?c", "?", "*", "a\\\\*b", "\\\\?", "5", "5.5", "-1", "4104", "true", "error", "WARN", "2025*", "a**c", "*a?b*", "\\\\\\\\"};
static const char *const numbers[] = {"0", "1", "5", "5.0", "5.5", "-1", "4104", "17", "13", "100"};
static const char *const values[] = {"", "a", "A", "ab", "AB", "abc", "aXb", "xaybz", "b", "bab", "k", "K", "\xE2\x84\xAA", "\xC3\xA4", "\xC3\x84"
																																		"B",
									 "a*b", "?", "\\", "5", "5.5", "-1", "4104", "4104.0", "true", "error", "WARN", "a\xC3\xA4"
																													"c",
									 "6e0", "-"};

static void
random_value(sl_buf *out, bool number)
{
	int kind = below(12);

	if (number || kind < 2)
		sl_buf_puts(out, PICK(numbers));
	else if (kind == 2)
		sl_buf_puts(out, below(2) ? "true" : "false");
	else
		sl_buf_printf(out, "\"%s\"", PICK(texts));
}

static void
random_list(sl_buf *out, bool number, bool null)
{
	int n = below(3) ? 1 : 1 + below(3);

	sl_buf_puts(out, n > 1 ? "[" : "");
	for (int i = 0; i < n; i++)
	{
		sl_buf_puts(out, i ? "," : "");
		if (null && below(8) == 0)
			sl_buf_puts(out, "null");
		else
			random_value(out, number);
	}
	sl_buf_puts(out, n > 1 ? "]" : "");
}

static void
random_map(sl_buf *out)
{
	static const char *const modifiers[] = {"contains", "startswith", "endswith", "contains|all", "cased", "cased|contains", "all"};
	int n = 1 + below(3);

	sl_buf_putc(out, '{');
	for (int i = 0; i < n; i++)
	{
		int kind = below(10);

		/* a key of its own for each: modifiers make it differ */
		sl_buf_printf(out, "%s\"%s", i ? "," : "", fields[(below(6) * 3 + i) % 17]);
		if (kind == 0)
			sl_buf_printf(out, "|exists\":%s", below(2) ? "true" : "false");
		else if (kind < 3)
		{
			static const char *const comparisons[] = {"lt", "lte", "gt", "gte"};

			sl_buf_printf(out, "|%s\":", PICK(comparisons));
			random_list(out, true, false);
		}
		else if (kind < 7)
		{
			sl_buf_puts(out, "\":");
			random_list(out, false, true);
		}
		else
		{
			sl_buf_printf(out, "|%s\":", PICK(modifiers));
			random_list(out, false, false);
		}
	}
	sl_buf_putc(out, '}');
}

static void
random_condition(sl_buf *out, int n, int depth)
{
	static const char *const quantified[] = {"1 of them", "all of them", "any of s*", "all of s*", "1 of s0*"};
	int kind = depth > 3 ? 0 : below(8);

	if (kind < 3)
		sl_buf_printf(out, "s%d", below(n));
	else if (kind == 3)
		sl_buf_puts(out, PICK(quantified));
	else if (kind == 4)
	{
		sl_buf_puts(out, "not ");
		random_condition(out, n, depth + 2);
	}
	else
	{
		sl_buf_puts(out, "(");
		random_condition(out, n, depth + 1);
		sl_buf_puts(out, below(2) ? " and " : " or ");
		random_condition(out, n, depth + 1);
		sl_buf_puts(out, ")");
	}
}

static void
random_rule(sl_buf *out)
{
	int n = 1 + below(3);

	sl_buf_puts(out, "{\"title\":\"t\",\"detection\":{");
	for (int i = 0; i < n; i++)
	{
		int kind = below(8);

		sl_buf_printf(out, "\"s%d\":", i);
		if (kind == 0)
		{
			sl_buf_puts(out, "[");
			random_value(out, false);
			sl_buf_puts(out, ",");
			random_value(out, false);
			sl_buf_puts(out, "]");
		}
		else if (kind == 1)
		{
			sl_buf_puts(out, "[");
			random_map(out);
			sl_buf_puts(out, ",");
			random_map(out);
			sl_buf_puts(out, "]");
		}
		else
			random_map(out);
		sl_buf_puts(out, ",");
	}
	sl_buf_puts(out, "\"condition\":\"");
	random_condition(out, n, 0);
	sl_buf_puts(out, "\"}}");
}

static sl_value
random_scalar(void)
{
	int kind = below(10);

	if (kind == 0)
		return (sl_value){.type = SL_NULL};
	if (kind == 1)
		return (sl_value){.type = SL_BOOL, .u.b = below(2)};
	if (kind < 4)
		return (sl_value){.type = SL_INT, .u.i = atoi(PICK(numbers))};
	if (kind == 4)
		return (sl_value){.type = SL_DOUBLE, .u.d = atof(PICK(numbers))};
	return (sl_value){.type = SL_STRING, .u.s = S(PICK(values))};
}

static sl_record
random_record(sl_arena *arena)
{
	sl_record r = {0};
	int n = below(8);

	for (int i = 0; i < n; i++)
	{
		const char *name = PICK(fields);

		if (strcmp(name, "list") == 0)
			for (int k = below(4); k > 0; k--)
			{
				sl_value v = random_scalar();

				v.element = true;
				sl_record_set(arena, &r, S(name), v);
			}
		else
			sl_record_set(arena, &r, S(name), random_scalar());
	}
	if (below(2))
	{
		r.resource = sl_alloc0(arena, sizeof(sl_resource));
		for (int i = below(3); i > 0; i--)
			*sl_fields_add(arena, &r.resource->fields, S(below(2) ? "x" : "y")) = random_scalar();
	}
	sl_record_finish(arena, &r);
	return r;
}

static void
test_differential(void)
{
	const char *env = getenv("SL_SEED");
	uint64_t first = env ? strtoull(env, NULL, 10) : 20260101;
	size_t pairs = 0,
		   hits = 0,
		   wrong = 0,
		   refused = 0,
		   evaluated = 0;

	seed = first * 0x9E3779B97F4A7C15ULL + 1;
	printf("# SL_SEED=%llu\n", (unsigned long long) first);
	for (int round = 0; round < 200; round++)
	{
		sl_arena *arena = tap_arena();
		sl_arena scratch;
		sl_ruleset *set = sl_ruleset_new(arena);
		sl_matcher *matcher;
		sl_buf written[25];

		sl_arena_init(&scratch, 0, tap_out_of_memory);
		while (sl_ruleset_size(set) < 25)
		{
			sl_documents documents = {0};
			sl_buf *text = &written[sl_ruleset_size(set)];
			sl_rule *rule;

			sl_buf_init(text, arena, 256);
			random_rule(text);
			/* what is random may name a key twice, or search for nothing: no rule */
			if (!sl_read_documents(text->p, text->n, arena, &documents, &err) ||
				!(rule = sl_rule_read(documents.v[0], arena, &err)))
			{
				if (!strstr(err.message, "stands twice") && !strstr(err.message, "empty text"))
					printf("Bail out! %s: %s\n", err.message, text->p), exit(1);
				refused++;
				continue;
			}
			sl_ruleset_add(set, rule);
		}
		sl_ruleset_finish(set);
		matcher = sl_matcher_new(arena, set);
		for (int k = 0; k < 40; k++)
		{
			sl_record record = random_record(arena);
			const uint32_t *found;
			size_t n,
				at = 0;

			sl_arena_reset(&scratch);
			n = sl_match(matcher, &record, &scratch, &found);
			evaluated += looked_at(matcher);
			list_items(&record);
			for (size_t i = 0; i < sl_ruleset_size(set); i++)
			{
				bool got = at < n && found[at] == i;
				bool want = expr_true(sl_ruleset_rule(set, i)->condition);

				at += got;
				hits += got;
				pairs++;
				if (got != want && wrong++ < 5)
				{
					sl_buf shown;

					sl_buf_init(&shown, arena, 256);
					sl_record_json(&shown, &record);
					printf("# %s where %s is right: %s\n# of %s\n", got ? "true" : "false", want ? "true" : "false",
						   written[i].p, shown.p);
				}
			}
		}
		sl_arena_free(&scratch);
		sl_arena_reset(arena);
	}
	is_int(wrong, 0, "%zu pairs of rule and record agree with the naive evaluator", pairs);
	ok(pairs >= 100000 && hits > pairs / 20 && hits < pairs / 2, "%zu are true, %zu were looked at, %zu rules refused", hits, evaluated, refused);
}

/* What one record can cost. */
static void
test_hostile(void)
{
	sl_arena *arena = tap_arena();
	sl_ruleset *set = sl_ruleset_new(arena);
	sl_matcher *matcher;
	sl_record record = {0};
	const uint32_t *found;
	clock_t start = clock();
	char *long_text = malloc(1024 * 1024);

	sl_ruleset_add(set, selection("{\"f\":\"*a*a*a*a*a*a*b\"}"));
	sl_ruleset_add(set, selection("{\"f|contains\":[\"aaaaaaaaaaaaaaab\",\"a?b\"]}"));
	sl_ruleset_add(set, selection("[\"nowhere\"]"));
	sl_ruleset_finish(set);
	matcher = sl_matcher_new(arena, set);
	memset(long_text, 'a', 1024 * 1024);
	*sl_fields_add(arena, &record.attributes, S("f")) = (sl_value){.type = SL_STRING, .u.s = {long_text, 1024 * 1024}};
	for (int i = 0; i < 10000; i++)
		*sl_fields_add(arena, &record.attributes, S("f")) = (sl_value){.type = SL_INT, .u.i = i};
	is_int(sl_match(matcher, &record, arena, &found), 0, "1 MB of a, and 10,000 attributes");
	ok((clock() - start) / CLOCKS_PER_SEC < 5, "in seconds");
	free(long_text);
	sl_arena_reset(arena);
}

int
main(void)
{
	test_by_hand();
	sl_arena_reset(tap_arena());
	test_sets();
	sl_arena_reset(tap_arena());
	test_differential();
	test_hostile();
	sl_arena_free(tap_arena());
	return tap_done();
}
