/*
 * test_document.c
 *	  Records as documents, their ids and indices, and what is answered to
 *	  them.
 */
#include "tap.h"

#include "../../src/core/decode/decode.h"
#include "../../src/core/sink/bulk.h"
#include "../../src/core/sink/document.h"

#define DAY ((int64_t) 86400 * 1000000000)

static const char *
document_of(const char *json, int64_t arrived)
{
	sl_records records = {0};
	sl_document_origin origin;
	sl_error err;
	sl_buf out;

	if (!sl_decode(SL_JSON, json, strlen(json), tap_arena(), &records, &err))
		return "refused";
	sl_document_origin_init(&origin, tap_arena(), "i", "a \"source\"", "t");
	sl_buf_init(&out, tap_arena(), 16);
	sl_document_json(&out, &origin, &records.v[0], arrived);
	return out.p;
}

static void
documents(void)
{
	is(S(document_of("{\"message\": \"m\"}", DAY)), "{\"timestamp\":\"1970-01-02T00:00:00.000000Z\",\"message\":\"m\",\"attributes\":{},\"source\":\"a \\\"source\\\"\"}",
	   "without a time of its own it has that of its arrival");
	is(S(document_of("{\"timestamp\": \"2025-01-15T10:30:45.123Z\", \"level\": \"error\", \"service\": \"s\"}", DAY)),
	   "{\"timestamp\":\"2025-01-15T10:30:45.123000Z\",\"severity_number\":17,\"level\":\"error\",\"service\":\"s\",\"attributes\":{},\"source\":\"a \\\"source\\\"\"}",
	   "known names stand at the top");
	is(S(document_of("{\"a\": 1, \"a.b\": [1, \"x\", null], \"n\": null, \"one\": [2]}", DAY)),
	   "{\"timestamp\":\"1970-01-02T00:00:00.000000Z\",\"attributes\":{\"a\":1,\"a.b\":[1,\"x\",null],\"n\":null,\"one\":[2]},\"source\":\"a \\\"source\\\"\"}",
	   "attributes by their dotted names");
	is(S(document_of("{\"o\": [{\"x\": 1, \"y\": 2}, {\"x\": 3}]}", DAY)),
	   "{\"timestamp\":\"1970-01-02T00:00:00.000000Z\",\"attributes\":{\"o.x\":[1,3],\"o.y\":[2]},\"source\":\"a \\\"source\\\"\"}",
	   "values of one name are one array, wherever they stand");
}

static void
ids(void)
{
	sl_document_origin a,
		b;
	sl_place place = {.partition = 1, .number = 2, .arrived = 3, .index = 0};
	char seen[8][SL_DOCUMENT_ID + 1];
	int n = 0,
		equal = 0;

	sl_document_origin_init(&a, tap_arena(), "i", "s", "t");
	sl_document_origin_init(&b, tap_arena(), "i", "s t", "");
	sl_document_id(seen[n++], &a, &place);
	sl_document_id(seen[n++], &b, &place);
	place.index = 1;
	sl_document_id(seen[n++], &a, &place);
	place.number = 3;
	sl_document_id(seen[n++], &a, &place);
	place.partition = 2;
	sl_document_id(seen[n++], &a, &place);
	place.arrived = 4;
	sl_document_id(seen[n++], &a, &place);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			equal += strcmp(seen[i], seen[k]) == 0;
	ok(equal == 0, "ids differ by source, partition, offset, time and index");
	place = (sl_place){.partition = 1, .number = 2, .arrived = 3, .index = 0};
	sl_document_id(seen[7], &a, &place);
	is(S(seen[7]), seen[0], "and by nothing else");
	ok(strspn(seen[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == SL_DOCUMENT_ID, "they are letters that need no escape");
	/* a document that was sent before an update is the same after it */
	is(S(seen[0]), "g6cjgDHm2SwT68XnYKVmAB", "and are what they were in earlier versions");
}

static bool
accepts(const char *pattern)
{
	sl_error err;

	return sl_index_pattern_check((sl_str){pattern, strlen(pattern)}, &err);
}

static void
indices(void)
{
	static const char *const wrong[] = {"", "-x", "_x", "Upper", "a b", "a/b", "a,b", "a%", "a%H", "a-%Y", "a-%Y.%m", "%Y.%m.%d", "a*", ".x", "\xc3\xa9"};
	char name[SL_INDEX_MAX + 1],
		wildcard[SL_INDEX_MAX + 2];
	int64_t day = 0;
	sl_record record = {0};
	int accepted = 0;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		accepted += accepts(wrong[i]);
	ok(accepted == 0, "names that are none are refused");
	ok(accepts("stacklens-logs-%Y.%m.%d") && accepts("logs") && accepts("l-%d-%m-%Y-x"), "others aren't");
	sl_index_name(name, "stacklens-logs-%Y.%m.%d", 19723);
	is(S(name), "stacklens-logs-2024.01.01", "a day's index");
	ok(sl_index_day("stacklens-logs-%Y.%m.%d", name, &day) && day == 19723, "and its day");
	ok(!sl_index_day("stacklens-logs-%Y.%m.%d", "stacklens-logs-2024.02.30", &day) && !sl_index_day("stacklens-logs-%Y.%m.%d", "stacklens-logs-2024.01.01-copy", &day) &&
		   !sl_index_day("stacklens-logs-%Y.%m.%d", "stacklens-logs-2024.1.1", &day) && !sl_index_day("logs", "logs", &day),
	   "what isn't a day's index has none");
	sl_index_wildcard(wildcard, "stacklens-logs-%Y.%m.%d");
	is(S(wildcard), "stacklens-logs-*", "all of them");
	sl_index_wildcard(wildcard, "logs");
	is(S(wildcard), "logs", "or the only one");

	record.timestamp = 100 * DAY + 5;
	ok(sl_document_day(&record, 101 * DAY, 30) == 100, "a record belongs to its own day");
	ok(sl_document_day(&record, 131 * DAY, 30) == 131, "unless that is long before it arrived");
	ok(sl_document_day(&record, 98 * DAY, 30) == 98, "or after");
	ok(sl_document_day(&record, 99 * DAY + 10, 30) == 100, "but for a clock that is fast by a day");
	record.timestamp = 0;
	record.observed = 7 * DAY;
	ok(sl_document_day(&record, 8 * DAY, 30) == 7, "by the time when it was seen, where it has no other");
}

static void
answers(void)
{
	static const struct
	{
		const char *item;
		sl_verdict verdict;
		const char *what;
	} cases[] = {
		{"{\"create\":{\"status\":201}}", SL_INDEXED, "created"},
		{"{\"create\":{\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"x\"}}}", SL_INDEXED, "there already"},
		{"{\"create\":{\"status\":429,\"error\":{\"type\":\"es_rejected_execution_exception\",\"reason\":\"x\"}}}", SL_RETRY, "queue full"},
		{"{\"create\":{\"status\":503,\"error\":{\"type\":\"unavailable_shards_exception\",\"reason\":\"x\"}}}", SL_RETRY, "red"},
		{"{\"create\":{\"status\":403,\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"x\"}}}", SL_RETRY, "blocked"},
		{"{\"create\":{\"status\":403,\"error\":{\"type\":\"security_exception\",\"reason\":\"x\"}}}", SL_FORBIDDEN, "forbidden"},
		{"{\"create\":{\"status\":400,\"error\":{\"type\":\"validation_exception\",\"reason\":\"this action would add [2] shards, but this cluster currently has [1]/[1] maximum normal shards open;\"}}}", SL_RETRY, "no shard left"},
		{"{\"create\":{\"status\":400,\"error\":{\"type\":\"document_parsing_exception\",\"reason\":\"x\"}}}", SL_REFUSED, "a mapping that conflicts"},
		{"{\"create\":{\"status\":404,\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"x\"}}}", SL_REFUSED, "no index"},
		{"{\"create\":{\"status\":500}}", SL_RETRY, "a fault of the server's"}};
	static const char *const none[] = {"", "{}", "[]", "{\"items\":{}}", "{\"items\":[]}", "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}]}",
									   "{\"items\":[{\"create\":{\"status\":\"201\"}}]}", "{\"items\":[{}]}", "{\"items\":[{\"create\":{\"status\":201}}", "<html>", "{\"error\":\"x\"}"};
	static const char refusal[] = "{\"error\":{\"type\":\"t\",\"reason\":\"r\",\"caused_by\":{\"reason\":\"because\"}},\"status\":400}";
	sl_bulk_item items[100];
	sl_error err;
	char text[200];
	int read = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		sl_str answer = sl_strf(tap_arena(), "{\"took\":1,\"items\":[%s]}", cases[i].item);

		ok(sl_bulk_read(answer.p, answer.n, tap_arena(), items, 1, &err) && items[0].verdict == cases[i].verdict, "%s", cases[i].what);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		read += sl_bulk_read(none[i], strlen(none[i]), tap_arena(), items, 1, &err);
	ok(read == 0, "what is no answer, or of another number of documents, is none");
	memset(items, 0, sizeof(items));
	for (int i = 0; i < 100; i++)
		items[i] = (sl_bulk_item){.verdict = i < 51 ? SL_REFUSED : SL_INDEXED, .type = i % 50 ? SL_STR("mapping") : SL_STR("other")};
	ok(sl_bulk_common_refusal(items, 100).n == 0, "49 of 100 for one reason are no common refusal");
	for (int i = 0; i < 3; i++)
		items[60 + i] = (sl_bulk_item){.verdict = SL_REFUSED, .type = SL_STR("mapping")};
	ok(sl_str_is(sl_bulk_common_refusal(items, 100), "mapping"), "52 are");
	ok(sl_bulk_common_refusal(items + 1, 10).n == 0, "ten of ten are too few to say");
	sl_bulk_error(refusal, strlen(refusal), tap_arena(), text, sizeof(text));
	is(S(text), "t: r: because", "what a request's error says");
	sl_bulk_error("<html>", 6, tap_arena(), text, sizeof(text));
	is(S(text), "", "nothing, where it says nothing that we read");
}

int
main(void)
{
	documents();
	ids();
	indices();
	answers();
	return tap_done();
}
