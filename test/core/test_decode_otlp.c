/*
 * test_decode_otlp.c
 *	  OTLP logs requests, in protobuf and in JSON.
 */
#include "tap.h"
#include "encode.h"
#include "../../src/core/decode/decode.h"

#include <time.h>

static sl_records records;
static sl_error err;

/*
 * Decodes a copy of exactly its size, so that reading past its end is
 * caught.  It stays until the next call: records point into it.
 */
static bool
decode(sl_format format, const char *data, size_t n)
{
	static char *copy;
	bool done;

	free(copy);
	copy = malloc(n ? n : 1);
	memcpy(copy, data, n);
	memset(&records, 0, sizeof(records));
	done = sl_decode(format, copy, n, tap_arena(), &records, &err);
	if (!done && records.n)
		printf("Bail out! a refused message left records\n"), exit(1);
	if (!done && n == 0)
		free(copy), copy = NULL;
	return done;
}

static bool
proto(const sl_buf *b)
{
	return decode(SL_OTLP_PROTO, b->p, b->n);
}

static sl_str
json(size_t i)
{
	sl_buf out;

	sl_buf_init(&out, tap_arena(), 16);
	if (i < records.n)
		sl_record_json(&out, &records.v[i]);
	return B(&out);
}

static void
is_proto(const sl_buf *record, const char *want, const char *what)
{
	sl_buf request = otlp_request(tap_arena(), record);

	if (proto(&request))
		is(json(0), want, "protobuf: %s", what);
	else
		ok(false, "protobuf: %s: %s", what, err.message);
}

/* One record's members, in JSON. */
static void
is_json(const char *members, const char *want, const char *what)
{
	sl_str data = sl_strf(tap_arena(), "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{%s}]}]}]}", members);

	if (decode(SL_OTLP_JSON, data.p, data.n))
		is(json(0), want, "JSON: %s", what);
	else
		ok(false, "JSON: %s: %s", what, err.message);
}

static void
add_pair(sl_buf *record, const char *key, const sl_buf *value)
{
	sl_buf pair = otlp_pair(tap_arena(), key, value);

	pb_message(record, 6, &pair);
}

/* A request with one of everything. */
static sl_buf
full_request(void)
{
	sl_arena *arena = tap_arena();
	sl_buf record = pb_new(arena),
		   value,
		   inner,
		   list,
		   resource_logs,
		   scope_logs,
		   scope = pb_new(arena),
		   resource;

	pb_fixed64(&record, 1, 1700000000123456789);
	pb_fixed64(&record, 11, 1700000001000000000);
	pb_number(&record, 2, 17);
	pb_text(&record, 3, "Error");
	value = otlp_text(arena, "it \xC3\xA4 failed");
	pb_message(&record, 5, &value);
	value = pb_new(arena);
	pb_number(&value, 3, (uint64_t) -5);
	add_pair(&record, "int", &value);
	value = pb_new(arena);
	pb_number(&value, 2, 1);
	add_pair(&record, "bool", &value);
	value = pb_new(arena);
	pb_fixed64(&value, 4, 0x4004000000000000);
	add_pair(&record, "double", &value);
	value = pb_new(arena);
	pb_bytes(&value, 7, "\x00\xFF\x10", 3);
	add_pair(&record, "bytes", &value);
	list = pb_new(arena);
	value = otlp_text(arena, "a");
	pb_message(&list, 1, &value);
	value = otlp_text(arena, "b");
	pb_message(&list, 1, &value);
	value = otlp_wrap(arena, 5, &list);
	add_pair(&record, "list", &value);
	inner = otlp_text(arena, "deep");
	inner = otlp_pair(arena, "k", &inner);
	list = otlp_wrap(arena, 1, &inner);
	value = otlp_wrap(arena, 6, &list);
	add_pair(&record, "map", &value);
	value = pb_new(arena);
	add_pair(&record, "none", &value);
	value = otlp_text(arena, "E42");
	add_pair(&record, "error_code", &value);
	pb_number(&record, 7, 3);
	pb_fixed32(&record, 8, 1);
	pb_bytes(&record, 9, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xA0", 16);
	pb_bytes(&record, 10, "\x01\x02\x03\x04\x05\x06\x07\xFF", 8);
	pb_text(&record, 12, "exploded");
	pb_text(&record, 99, "unknown");
	pb_fixed64(&record, 100, 7);

	pb_text(&scope, 1, "lib");
	pb_text(&scope, 2, "1.0");
	scope_logs = pb_new(arena);
	pb_message(&scope_logs, 1, &scope);
	pb_message(&scope_logs, 2, &record);
	pb_text(&scope_logs, 3, "schema");
	value = otlp_text(arena, "shop");
	inner = otlp_pair(arena, "service.name", &value);
	resource = otlp_wrap(arena, 1, &inner);
	pb_number(&resource, 2, 4);
	resource_logs = pb_new(arena);
	/* the resource after its records, which protobuf allows */
	pb_message(&resource_logs, 2, &scope_logs);
	pb_message(&resource_logs, 1, &resource);
	pb_text(&resource_logs, 3, "schema");
	return otlp_wrap(arena, 1, &resource_logs);
}

static const char full_json[] =
	"{\"timestamp\":\"2023-11-14T22:13:20.123456Z\",\"observed_timestamp\":\"2023-11-14T22:13:21.000000Z\","
	"\"severity_number\":17,\"level\":\"Error\",\"message\":\"it \xC3\xA4 failed\",\"service\":\"shop\","
	"\"trace_id\":\"0102030405060708090a0b0c0d0e0fa0\",\"span_id\":\"01020304050607ff\",\"error_code\":\"E42\","
	"\"attributes\":{\"bool\":true,\"bytes\":\"AP8Q\",\"double\":2.5,\"event.name\":\"exploded\",\"int\":-5,"
	"\"list\":[\"a\",\"b\"],\"map.k\":\"deep\",\"none\":null,\"otel.scope.name\":\"lib\"},"
	"\"resource\":{\"service.name\":\"shop\"}}";

static void
test_full(void)
{
	sl_buf request = full_request();
	static const char in_json[] =
		"{\"unknown\":{\"x\":[1,{}]},\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{"
		"\"attributes\":[{\"key\":\"int\",\"value\":{\"intValue\":\"-5\"}},{\"value\":{\"boolValue\":true},\"key\":\"bool\"},"
		"{\"key\":\"double\",\"value\":{\"doubleValue\":2.5}},{\"key\":\"bytes\",\"value\":{\"bytesValue\":\"AP8Q\"}},"
		"{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"stringValue\":\"b\"}]}}},"
		"{\"key\":\"map\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"deep\"}}]}}},"
		"{\"key\":\"none\",\"value\":{}},{\"key\":\"error_code\",\"value\":{\"stringValue\":\"E42\"}}],"
		"\"body\":{\"stringValue\":\"it \\u00e4 failed\"},\"droppedAttributesCount\":3,\"flags\":1,"
		"\"traceId\":\"0102030405060708090A0B0C0D0E0FA0\",\"spanId\":\"01020304050607ff\",\"eventName\":\"exploded\","
		"\"timeUnixNano\":\"1700000000123456789\",\"observedTimeUnixNano\":1700000001000000000,"
		"\"severityNumber\":17,\"severityText\":\"Error\",\"unknown\":[[{\"key\":1}]]}],\"scope\":{\"version\":\"1\",\"name\":\"lib\"},"
		"\"schemaUrl\":\"schema\"}],\"resource\":{\"droppedAttributesCount\":4,\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]}}]}";

	ok(proto(&request) && records.n == 1, "protobuf: a full request");
	is(json(0), full_json, "and its record");
	ok(decode(SL_OTLP_JSON, in_json, strlen(in_json)) && records.n == 1, "JSON: a full request, keys in any order");
	is(json(0), full_json, "and the same record");
}

/* No cut and no length that lies makes the decoder read what isn't there. */
static void
test_lies(void)
{
	sl_buf request = full_request();
	char *copy = malloc(request.n + 16);
	int taken = 0,
		crashed = 0;

	for (size_t n = 1; n < request.n; n++)
	{
		if (decode(SL_OTLP_PROTO, request.p, n))
			taken++;
		else if (!strstr(err.message, "protobuf") || !strstr(err.detail, "byte"))
			crashed++;
	}
	is_int(taken, 0, "protobuf: a request cut at any byte is refused");
	is_int(crashed, 0, "with the byte at which");
	/* every byte with every value: any answer but a crash */
	for (size_t at = 0; at < request.n; at++)
	{
		for (int value = 0; value < 256; value++)
		{
			memcpy(copy, request.p, request.n);
			copy[at] = (char) value;
			decode(SL_OTLP_PROTO, copy, request.n);
		}
		sl_arena_reset(tap_arena());
		request = full_request();
	}
	ok(true, "every byte set to every value is survived");
	/* lengths of up to 64 bits in place of each byte */
	for (size_t at = 0; at < request.n; at++)
	{
		memcpy(copy, request.p, at);
		memcpy(copy + at, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10);
		if (request.n > at + 1)
			memcpy(copy + at + 10, request.p + at + 1, request.n - at - 1 > 6 ? 6 : request.n - at - 1);
		decode(SL_OTLP_PROTO, copy, at + 10 + (request.n - at - 1 > 6 ? 6 : request.n - at - 1));
	}
	ok(true, "and so is the greatest length in place of each byte");
	free(copy);
	ok(!decode(SL_OTLP_PROTO, "\x00\x00", 2) && !decode(SL_OTLP_PROTO, "\x0B\x0C", 2) &&
		   !decode(SL_OTLP_PROTO, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00", 12),
	   "field 0, groups, endless tags are refused");
	ok(decode(SL_OTLP_PROTO, "\x0A\x00", 2) && records.n == 0, "an empty ResourceLogs is no record");
	ok(decode(SL_OTLP_PROTO, "\x10\x05\x1D\x01\x02\x03\x04", 7) && records.n == 0, "unknown fields only");
	ok(!decode(SL_OTLP_PROTO, "", 0), "an empty message is refused");
}

static void
test_values(void)
{
	sl_arena *arena = tap_arena();
	sl_buf record = pb_new(arena),
		   value,
		   list;

	is_proto(&record, "{\"attributes\":{},\"resource\":{}}", "an empty record");
	pb_number(&record, 2, 25);
	pb_fixed64(&record, 1, UINT64_MAX);
	pb_bytes(&record, 9, "abc", 3);
	pb_bytes(&record, 10, "\0\0\0\0\0\0\0\0", 8);
	value = pb_new(arena);
	pb_bytes(&value, 1, "a\0\xFF", 3);
	pb_message(&record, 5, &value);
	is_proto(&record, "{\"message\":\"a\xEF\xBF\xBD\xEF\xBF\xBD\",\"attributes\":{\"stacklens.note\":"
					  "[\"text repaired\",\"timestamp ignored\",\"severity number ignored\",\"trace or span id ignored\"]},\"resource\":{}}",
			 "what is out of range is noted");

	record = pb_new(arena);
	value = otlp_text(arena, "first");
	pb_number(&value, 3, 7);
	pb_number(&value, 2, 0);
	add_pair(&record, "last", &value);
	is_proto(&record, "{\"attributes\":{\"last\":false},\"resource\":{}}", "of several values the last counts");

	/* fields of another wire type are unknown fields */
	record = pb_new(arena);
	pb_number(&record, 1, 5);
	pb_text(&record, 2, "x");
	pb_number(&record, 5, 5);
	pb_fixed32(&record, 6, 5);
	pb_number(&record, 9, 5);
	is_proto(&record, "{\"attributes\":{},\"resource\":{}}", "wrong wire types");

	/* an attribute never takes the place of a field of the record's own */
	record = pb_new(arena);
	value = otlp_text(arena, "attribute");
	add_pair(&record, "message", &value);
	add_pair(&record, "level", &value);
	add_pair(&record, "trace_id", &value);
	add_pair(&record, "span_id", &value);
	pb_text(&record, 3, "INFO");
	value = otlp_text(arena, "body");
	pb_message(&record, 5, &value);
	pb_bytes(&record, 9, "0123456789abcdef", 16);
	is_proto(&record, "{\"severity_number\":9,\"level\":\"INFO\",\"message\":\"body\",\"trace_id\":\"30313233343536373839616263646566\","
					  "\"span_id\":\"attribute\",\"attributes\":{\"level\":\"attribute\",\"message\":\"attribute\",\"trace_id\":\"attribute\"},\"resource\":{}}",
			 "fields come before attributes");

	/* a body that is a map, a list, nothing */
	record = pb_new(arena);
	value = otlp_text(arena, "hello");
	list = pb_new(arena);
	value = otlp_pair(arena, "msg", &value);
	pb_message(&list, 1, &value);
	value = otlp_text(arena, "v");
	value = otlp_pair(arena, "k", &value);
	pb_message(&list, 1, &value);
	value = otlp_wrap(arena, 6, &list);
	pb_message(&record, 5, &value);
	is_proto(&record, "{\"message\":\"hello\",\"attributes\":{\"k\":\"v\"},\"resource\":{}}", "a body that is a map");
	record = pb_new(arena);
	list = pb_new(arena);
	value = otlp_text(arena, "a");
	pb_message(&list, 1, &value);
	value = otlp_wrap(arena, 5, &list);
	pb_message(&record, 5, &value);
	is_proto(&record, "{\"attributes\":{\"message\":[\"a\"]},\"resource\":{}}", "a body that is a list");
	record = pb_new(arena);
	value = pb_new(arena);
	pb_message(&record, 5, &value);
	pb_text(&record, 6, "");
	is_proto(&record, "{\"attributes\":{\"message\":[null,null]},\"resource\":{}}", "a body and an attribute that are empty");

	is_json("", "{\"attributes\":{},\"resource\":{}}", "an empty record");
	is_json("\"body\":{\"stringValue\":\"b\"},\"attributes\":[{\"key\":\"message\",\"value\":{\"stringValue\":\"a\"}}]",
			"{\"message\":\"b\",\"attributes\":{\"message\":\"a\"},\"resource\":{}}", "body before attributes");
	is_json("\"attributes\":[{\"key\":\"message\",\"value\":{\"stringValue\":\"a\"}},{\"key\":\"timestamp\",\"value\":{\"intValue\":5}}],"
			"\"timeUnixNano\":1700000000000000000,\"body\":{\"stringValue\":\"b\"}",
			"{\"timestamp\":\"2023-11-14T22:13:20.000000Z\",\"message\":\"b\",\"attributes\":{\"message\":\"a\",\"timestamp\":5},\"resource\":{}}", "body after attributes");
	is_json("\"body\":{\"kvlistValue\":{\"values\":[{\"key\":\"msg\",\"value\":{\"stringValue\":\"m\"}}]}}",
			"{\"message\":\"m\",\"attributes\":{},\"resource\":{}}", "a body that is a map");
	is_json("\"body\":{\"arrayValue\":{\"values\":[{\"intValue\":1},{\"intValue\":\"2\"}]}}",
			"{\"attributes\":{\"message\":[1,2]},\"resource\":{}}", "a body that is a list");
	is_json("\"body\":null,\"attributes\":null,\"traceId\":\"\",\"timeUnixNano\":null,\"severityNumber\":0,\"severityText\":\"\"",
			"{\"attributes\":{},\"resource\":{}}", "null and empty");
	is_json("\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"9223372036854775807\"}},{\"key\":\"b\",\"value\":{\"intValue\":-9223372036854775808}},"
			"{\"key\":\"c\",\"value\":{\"intValue\":\"9223372036854775808\"}},{\"key\":\"d\",\"value\":{\"intValue\":\"x\"}},{\"key\":\"e\"}]",
			"{\"attributes\":{\"a\":9223372036854775807,\"b\":-9223372036854775808,\"c\":\"9223372036854775808\",\"d\":\"x\",\"e\":null,"
			"\"stacklens.note\":[\"number out of range\"]},\"resource\":{}}",
			"64-bit integers as text and as number");
	is_json("\"timeUnixNano\":\"-1\"", "{\"attributes\":{\"stacklens.note\":[\"timestamp ignored\"]},\"resource\":{}}", "a negative time");
	is_json("\"timeUnixNano\":\" 18446744073709551615\"", "{\"attributes\":{\"stacklens.note\":[\"timestamp ignored\"]},\"resource\":{}}", "a time with a space");
	is_json("\"timeUnixNano\":18446744073709551615", "{\"attributes\":{\"stacklens.note\":[\"timestamp ignored\",\"number out of range\"]},\"resource\":{}}", "a time beyond 63 bits");
	is_json("\"timeUnixNano\":1.7e18", "{\"timestamp\":\"2023-11-14T22:13:20.000000Z\",\"attributes\":{},\"resource\":{}}", "a time as a double");
	is_json("\"traceId\":\"xyz\",\"spanId\":\"00000000000000000\"", "{\"attributes\":{\"stacklens.note\":[\"trace or span id ignored\"]},\"resource\":{}}", "ids that are none");
	is_json("\"traceId\":\"00000000000000000000000000000000\"", "{\"attributes\":{},\"resource\":{}}", "the id of zeroes is none");
	is_json("\"severityNumber\":25", "{\"attributes\":{\"stacklens.note\":[\"severity number ignored\"]},\"resource\":{}}", "severity 25");
	is_json("\"severityText\":\"fatal\"", "{\"severity_number\":21,\"level\":\"fatal\",\"attributes\":{},\"resource\":{}}", "the text decides on the number");
	is_json("\"severityNumber\":10", "{\"severity_number\":10,\"level\":\"INFO\",\"attributes\":{},\"resource\":{}}", "and the other way round");
}

static void
test_shapes(void)
{
	static const char *const bad[] = {"{}", "[]", "5", "{\"resourceLogs\":5}", "{\"resourceLogs\":[5]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":{}}]}", "{\"resourceLogs\":[{\"resource\":[]}]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":\"text\"}]}]}]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[{\"value\":{}}]}]}]}]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[{\"key\":5}]}]}]}]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[{\"key\":\"k\",\"value\":5}]}]}]}]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":{}}]}]}]}",
									  "{\"resourceLogs\":[{\"scopeLogs\":[{\"scope\":7}]}]}",
									  "{\"resourceLogs\":[]", "{\"resourceLogs\":[]}x", "{\"resourceLogs\":[]}{\"resourceLogs\":[]}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!decode(SL_OTLP_JSON, bad[i], strlen(bad[i])), "JSON: refused: %s", bad[i]);
	ok(decode(SL_OTLP_JSON, "{\"resourceLogs\":null}", 21) && records.n == 0, "JSON: null stands for an empty list");
	ok(decode(SL_OTLP_JSON, "{\"resourceLogs\":[]}", 19) && records.n == 0, "JSON: no records");
}

/* Arrays within arrays, so many levels: a value in each. */
static sl_buf
nested_request(int levels)
{
	sl_arena *arena = tap_arena();
	sl_buf value = otlp_text(arena, "x"),
		   record = pb_new(arena);

	for (int i = 1; i < levels; i++)
	{
		value = otlp_wrap(arena, 1, &value);
		value = otlp_wrap(arena, 5, &value);
	}
	add_pair(&record, "a", &value);
	return otlp_request(arena, &record);
}

static void
test_depth(void)
{
	sl_arena *arena = tap_arena();
	sl_buf request;
	sl_buf text;

	request = nested_request(SL_MAX_DEPTH);
	ok(proto(&request) && records.n == 1, "protobuf: %d levels", SL_MAX_DEPTH);
	request = nested_request(SL_MAX_DEPTH + 1);
	ok(proto(&request) && records.n == 0 && records.refused == 1, "protobuf: one more is refused");
	ok(records.refused == 1 && strcmp(records.refusal->sqlstate, SL_TOO_COMPLEX) == 0, "protobuf: and the reason kept");
	request = nested_request(2000);
	ok(proto(&request) && records.n == 0 && records.refused == 1, "protobuf: 2,000 levels");
	sl_arena_reset(arena);

	for (int levels = SL_MAX_DEPTH; levels <= 20000; levels = levels == SL_MAX_DEPTH ? levels + 1 : levels * 150)
	{
		sl_buf_init(&text, arena, 1024);
		sl_buf_puts(&text, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":9},{\"body\":");
		for (int i = 1; i < levels; i++)
			sl_buf_puts(&text, "{\"arrayValue\":{\"values\":[");
		sl_buf_puts(&text, "{\"stringValue\":\"x\"}");
		for (int i = 1; i < levels; i++)
			sl_buf_puts(&text, "]}}");
		sl_buf_puts(&text, "},{\"severityNumber\":17}]}]}]}");
		ok(decode(SL_OTLP_JSON, text.p, text.n), "JSON: %d levels between two good records", levels);
		ok(records.n == (levels == SL_MAX_DEPTH ? 3 : 2) && records.refused == (levels != SL_MAX_DEPTH) &&
			   records.v[records.n - 1].severity == 17,
		   "JSON: the good ones are taken");
	}
	sl_arena_reset(arena);
}

/* Work must follow the input's size, whatever it repeats. */
static void
test_hostile(void)
{
	sl_arena *arena = tap_arena();
	sl_buf record = pb_new(arena),
		   scope = pb_new(arena),
		   logs = pb_new(arena),
		   resource = pb_new(arena),
		   value = otlp_text(arena, "v"),
		   pair = otlp_pair(arena, "k", &value);
	sl_buf request;
	clock_t start = clock();

	for (int i = 0; i < 10000; i++)
		add_pair(&record, "some.key", &value);
	request = otlp_request(arena, &record);
	ok(proto(&request) && records.v[0].attributes.n == 10000, "a record of 10,000 attributes");

	sl_buf_init(&record, arena, 16);
	for (int i = 0; i < 100000; i++)
	{
		pb_text(&scope, 1, "n");
		pb_message(&logs, 2, &record);
		pb_message(&resource, 1, &pair);
	}
	pb_message(&logs, 1, &scope);
	request = pb_new(arena);
	pb_message(&request, 2, &logs);
	pb_message(&request, 1, &resource);
	request = otlp_wrap(arena, 1, &request);
	ok(proto(&request) && records.n == 100000 && records.v[99999].attributes.n == 1 &&
		   records.v[0].resource->fields.n == 100000,
	   "100,000 records under a resource and a scope of 100,000 fields");
	ok((clock() - start) / CLOCKS_PER_SEC < 10, "in seconds");
	sl_arena_reset(arena);
}

int
main(void)
{
	test_full();
	test_lies();
	test_values();
	test_shapes();
	test_depth();
	test_hostile();
	decode(SL_OTLP_PROTO, "", 0);
	sl_arena_free(tap_arena());
	return tap_done();
}
