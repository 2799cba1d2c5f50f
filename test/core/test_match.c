/*
 * test_match.c
 *	  Records against rule sets, by hand; test_differential.c has the rest.
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
		!(rule = sl_rule_read(documents.v[0], NULL, tap_arena(), &err)))
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
	sl_ruleset_finish(set, NULL, NULL);
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
	sl_ruleset_finish(set, NULL, NULL);
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
	sl_ruleset_finish(set, NULL, NULL);
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
	sl_ruleset_finish(set, NULL, NULL);
	matcher = sl_matcher_new(tap_arena(), set);
	is_int(count_matches(matcher, "{\"f\":50}"), 49 + 50 + 50 + 51, "bounds on both sides");
	is_int(count_matches(matcher, "{\"f\":-1}"), 200, "below all");
	is_int(count_matches(matcher, "{\"f\":1000}"), 200, "above all");
	is_int(count_matches(matcher, "{\"f\":50.5}"), 49 + 49 + 51 + 51, "between");
}

/* An expression is true where PCRE2 says so, whatever looked for it first. */
static void
test_expressions(void)
{
	static const struct
	{
		const char *rule;
		const char *record;
	} cases[] = {
		{"{\"f|re\":\"caf\\\\\xC3\xA9?s\"}", "{\"f\":\"cafs\"}"},
		{"{\"f|re\":\"caf\\\\\xC3\xA9?s\"}", "{\"f\":\"caf\xC3\xA9s\"}"},
		{"{\"f|re\":\"\\\\N{U+41}bc\"}", "{\"f\":\"Abc\"}"},
		{"{\"f|re\":\"(?<*x)foo|(?>bar)\"}", "{\"f\":\"xfoo\"}"},
		{"{\"f|re\":\"[[:alpha:]{99}]z\"}", "{\"f\":\"9z\"}"},
		{"{\"f|re\":\"\\\\p{Han}\"}", "{\"f\":\"\xE3\x80\x81\"}"},
		{"{\"f|re\":\"\\\\p{L}+x\"}", "{\"f\":\"\xD5\xA0x\"}"},
		{"{\"f|re|i\":\"^[\xD0\xB0-\xD1\x8F]+$\"}", "{\"f\":\"\xE1\xB2\x80\"}"},
		{"{\"f|re\":\"(*UCP)\\\\w\"}", "{\"f\":\"\xD5\xA0\"}"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(matches(cases[i].rule, cases[i].record), "%s is true of %s", cases[i].rule, cases[i].record);
}

/* Literals as long as a record may be. */
static void
test_long_literals(void)
{
	static const struct
	{
		size_t n;
		size_t at; /* of what is rare in them */
	} cases[] = {{32900, 32800}, {40000, 39990}, {50000, 40000}, {65539, 40000}, {70000, 65000}, {70000, 10}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *text = sl_alloc(tap_arena(), cases[i].n + 1);

		memset(text, 'e', cases[i].n);
		memcpy(text + cases[i].at, "QZXJ", 4);
		text[cases[i].n] = '\0';
		ok(matches(sl_strf(tap_arena(), "{\"f|contains\":[\"%s\",\"x1\",\"x2\"]}", text).p, sl_strf(tap_arena(), "{\"f\":\"pre %s post\"}", text).p),
		   "a literal of %zu bytes, rare at %zu", cases[i].n, cases[i].at);
	}
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
	sl_ruleset_finish(set, NULL, NULL);
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

/* What is remembered of values is what is found of them: in each field its own, also of those with more than is kept. */
static void
test_repeated(void)
{
	sl_ruleset *set = sl_ruleset_new(tap_arena());
	sl_matcher *matcher;
	const uint32_t *found;
	char text[129] = {0};
	int wrong = 0;

	memset(text, 'a', 128);
	for (int i = 0; i < 552; i++)
		sl_ruleset_add(set, selection(i == 100 ? "{\"f|contains\":\"a?a?a?a\"}" : sl_strf(tap_arena(), "{\"f|contains\":\"a?%c?%c?%c\"}", 'b' + i % 20, 'b' + i / 20 % 20, 'b' + i / 400).p));
	sl_ruleset_add(set, selection("{\"g\":\"same\"}"));
	sl_ruleset_add(set, selection("{\"h|endswith\":\"ame\",\"g\":null}"));
	sl_ruleset_add(set, selection("{\"k|re\":\"^S\"}"));
	sl_ruleset_finish(set, NULL, NULL);
	matcher = sl_matcher_new(tap_arena(), set);
	for (int i = 0; i < 40; i++)
		wrong += sl_match(matcher, read_record(sl_strf(tap_arena(), "{\"f\":\"%s\"}", text).p), tap_arena(), &found) != 1 || found[0] != 100;
	is_int(wrong, 0, "a value of which much is true, over and over");
	for (int i = 0; i < 40; i++)
		wrong += sl_match(matcher, read_record(i % 2 ? "{\"g\":\"same\",\"h\":\"x\"}" : "{\"g\":null,\"h\":\"same\"}"), tap_arena(), &found) != 1 || found[0] != (i % 2 ? 552u : 553u);
	is_int(wrong, 0, "the same value in two fields");
	for (int i = 0; i < 40; i++)
		wrong += sl_match(matcher, read_record(i % 2 ? "{\"k\":\"Same\"}" : "{\"k\":\"same\"}"), tap_arena(), &found) != (size_t) (i % 2);
	is_int(wrong, 0, "and in another case");
	/* more than it remembers, and all of them again */
	for (int i = 0; i < 6000; i++)
		wrong += sl_match(matcher, read_record(sl_strf(tap_arena(), "{\"h\":\"%d%s\",\"g\":null}", i % 3000, i % 3 ? "" : "ame").p), tap_arena(), &found) != (size_t) (i % 3 == 0);
	is_int(wrong, 0, "and thousands of them");
	sl_arena_reset(tap_arena());
}

/* Each filter of a rule narrows it; many take no more than their number. */
static void
test_filters(void)
{
	sl_ruleset *set = sl_ruleset_new(tap_arena());
	sl_matcher *matcher;
	const uint32_t *found;
	const char *base = "{\"title\":\"base\",\"detection\":{\"s\":{\"a\":1},\"condition\":\"s\"}}";
	int missed = 0;

	sl_ruleset_add(set, read_rule(base, strlen(base)));
	for (int i = 0; i < 20000; i++)
	{
		sl_str text = sl_strf(tap_arena(), "{\"title\":\"f%d\",\"filter\":{\"rules\":[\"base\"],\"s\":{\"u\":\"x%d\"},\"condition\":\"not s\"}}", i, i);

		sl_ruleset_add(set, read_rule(text.p, text.n));
	}
	sl_ruleset_finish(set, NULL, NULL);
	matcher = sl_matcher_new(tap_arena(), set);
	is_int(sl_match(matcher, read_record("{\"a\":1,\"u\":\"x\"}"), tap_arena(), &found), 1, "a record that no filter names");
	for (int i = 0; i < 20000; i += 997)
		missed += sl_match(matcher, read_record(sl_strf(tap_arena(), "{\"a\":1,\"u\":\"x%d\"}", i).p), tap_arena(), &found) != 0;
	is_int(missed, 0, "and those that one of 20,000 does");
	sl_arena_reset(tap_arena());
}

/*
 * Searches that grow with the square of a text, or worse, are given up; what
 * grows with the text alone isn't.
 */
#define TEN "(\\w|a)(\\w|a)(\\w|a)(\\w|a)(\\w|a)(\\w|a)(\\w|a)(\\w|a)(\\w|a)(\\w|a)"

static void
test_budget(void)
{
	static const struct
	{
		const char *re;
		const char *unit; /* the text: this over and over, then the end */
		size_t n;
		const char *end;
		sl_regex_result result;
	} cases[] = {
		{"\\d+ error", "7", 100000, " rx", SL_REGEX_GIVEN_UP},
		{"\\d+ error", "7", 2000, " rx", SL_REGEX_ABSENT},
		{"\\d+ error", "7", 100000, " error", SL_REGEX_FOUND},
		{"(\\d+)+x", "7", 60, " x", SL_REGEX_GIVEN_UP},
		{"(\\d+)+x", "7", 2000, "x", SL_REGEX_FOUND},
		{"(?:(?:\\d?){17})x", "7", 10000, " x", SL_REGEX_GIVEN_UP},
		{"(.+)\\1x", "ab", 1000000, " x", SL_REGEX_GIVEN_UP},
		{"\\d{50000,}x", "7", 1000000, " x", SL_REGEX_GIVEN_UP},
		{"\\d{50000,}x", "7", 1000000, "x", SL_REGEX_FOUND},
		{"\\w+ error", "some words ", 1000000, "and none: rx", SL_REGEX_ABSENT},
		{"\\w+ error", "some words ", 1000000, "word error", SL_REGEX_FOUND},
		{"(?:[a-z]+:)+\\d", "abc:", 2000, " 5", SL_REGEX_ABSENT},
		{"^" TEN TEN TEN "-", "a", 40, "-", SL_REGEX_GIVEN_UP},
		{"(?=a\\X++).(?=a\\X++).(?=a\\X++).(?=a\\X++).(?=a\\X++).c", "a", 2000, "", SL_REGEX_ABSENT},
		{"(?1)s|(a*+)", "k", 3, "", SL_REGEX_FOUND},
		{"x.{200}y|[0-9a-f]{32}", "0123456789abcdef g ", 1000000, "", SL_REGEX_ABSENT},
	};
	static const char *const words[] = {"absent", "found", "given up"};
	sl_regex_scratch *scratch = sl_regex_scratch_new();
	sl_ruleset *set = sl_ruleset_new(tap_arena());
	sl_record record = {0};
	sl_matcher *matcher;
	const uint32_t *found;
	char *text;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t n = cases[i].n + strlen(cases[i].end),
			   unit = strlen(cases[i].unit),
			   offset;
		sl_regex *regex = sl_regex_new((sl_str){cases[i].re, strlen(cases[i].re)}, 0, &err, &offset);
		sl_regex_result result;

		text = malloc(n);
		for (size_t k = 0; k < cases[i].n; k++)
			text[k] = cases[i].unit[k % unit];
		memcpy(text + cases[i].n, cases[i].end, strlen(cases[i].end));
		result = sl_regex_search(regex, scratch, (sl_str){text, n});
		ok(result == cases[i].result, "%s is %s in %zu bytes", cases[i].re, words[result], n);
		sl_regex_free(regex);
		free(text);
	}
	sl_regex_scratch_free(scratch);

	/* and is counted */
	sl_ruleset_add(set, selection("{\"f|re\":\"\\\\d+ error\"}"));
	sl_ruleset_finish(set, NULL, NULL);
	matcher = sl_matcher_new(tap_arena(), set);
	text = malloc(100000);
	memset(text, '7', 100000);
	memcpy(text, "an error ", 9);
	memcpy(text + 99997, " rx", 3);
	*sl_fields_add(tap_arena(), &record.attributes, S("f")) = (sl_value){.type = SL_STRING, .u.s = {text, 100000}};
	for (int i = 0; i < 2; i++)
		is_int(sl_match(matcher, &record, tap_arena(), &found), 0, "a search given up is no match");
	is_int(sl_matcher_costs(matcher)[0].limited, 2, "and is counted");
	free(text);
	sl_arena_reset(tap_arena());
}

int
main(void)
{
	test_by_hand();
	sl_arena_reset(tap_arena());
	test_sets();
	sl_arena_reset(tap_arena());
	test_expressions();
	test_long_literals();
	sl_arena_reset(tap_arena());
	test_hostile();
	test_repeated();
	test_filters();
	test_budget();
	sl_arena_free(tap_arena());
	return tap_done();
}
