/*
 * test_record.c
 *	  Records: known names, times, severities, numbers as text, JSON.
 */
#include "tap.h"
#include "../../src/core/record.h"
#include "../../src/core/utf8.h"

static sl_value
text(const char *s)
{
	return (sl_value){.type = SL_STRING, .u.s = S(s)};
}

static sl_value
number(int64_t i)
{
	return (sl_value){.type = SL_INT, .u.i = i};
}

static sl_value
real(double d)
{
	return (sl_value){.type = SL_DOUBLE, .u.d = d};
}

static void
set(sl_record *r, const char *name, sl_value value)
{
	sl_record_set(tap_arena(), r, S(name), value);
}

static sl_str
json(const sl_record *r)
{
	sl_buf out;

	sl_buf_init(&out, tap_arena(), 16);
	sl_record_json(&out, r);
	return (sl_str){out.p, out.n};
}

static void
time_is(const char *s, const char *want)
{
	int64_t ns;
	char buf[64] = "refused";

	if (sl_parse_timestamp(S(s), &ns))
		sl_format_timestamp(buf, ns);
	is(S(buf), want, "time \"%s\"", s);
}

static void
epoch_is(sl_value value, const char *want)
{
	sl_record r = {0};
	char buf[64] = "refused";

	set(&r, "timestamp", value);
	if (r.timestamp)
		sl_format_timestamp(buf, r.timestamp);
	else
		ok(r.notes == SL_NOTE_TIMESTAMP && r.attributes.n == 1, "it is noted and kept");
	is(S(buf), want, "epoch %.*s", SL_STR_FMT(sl_value_text(tap_arena(), &value)));
}

static void
test_times(void)
{
	sl_arena *arena = tap_arena();
	int wrong = 0;

	time_is("2025-01-02T03:04:05Z", "2025-01-02T03:04:05.000000Z");
	time_is("2025-01-02 03:04:05.123456789+02:00", "2025-01-02T01:04:05.123456Z");
	time_is("2025-01-02t03:04:05,5z", "2025-01-02T03:04:05.500000Z");
	time_is("2025-01-02T03:04-0530", "2025-01-02T08:34:00.000000Z");
	time_is("2025-01-02T03:04:05+01", "2025-01-02T02:04:05.000000Z");
	time_is("2025-01-02", "2025-01-02T00:00:00.000000Z");
	time_is("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z");
	time_is("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z");
	time_is("2000-02-29T12:00:00.0000000000001Z", "2000-02-29T12:00:00.000000Z");
	time_is("2261-12-31T23:59:59.999999999Z", "2261-12-31T23:59:59.999999Z");
	static const char *const bad[] = {"", "2025", "2025-13-01", "2025-00-01", "2025-01-32", "2025-02-29",
									  "2100-02-29", "2025-01-02T", "2025-01-02T3:04:05Z", "2025-01-02T24:00:00Z", "2025-01-02T03:60:05Z",
									  "2025-01-02T03:04:61Z", "2025-01-02T03:04:05.Z", "2025-01-02T03:04:05Zx", "2025-01-02T03:04:05+",
									  "2025-01-02T03:04:05+16:00", "2025-01-02T03:04:05+01:60", "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z",
									  "1970-01-01T00:00:00+01:00", "1970-01-01T00:00:00Z", "20250102T030405Z", "\xEF\xBC\x92"
																											   "025-01-02"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		time_is(bad[i], "refused");

	/* a text that is cut anywhere is refused or read, never read past */
	for (size_t n = 0; n <= 32; n++)
	{
		static const char full[] = "2025-01-02T03:04:05.123456+02:00";
		char *cut = malloc(n + 1);
		int64_t ns;

		memcpy(cut, full, n);
		cut = realloc(cut, n ? n : 1);
		sl_parse_timestamp((sl_str){cut, n}, &ns);
		free(cut);
	}
	/* every day of three centuries, there and back */
	for (int64_t day = 1; day < 106000; day++)
	{
		char buf[64];
		int64_t ns = 0;

		sl_format_timestamp(buf, day * 86400 * 1000000000);
		if (!sl_parse_timestamp(S(buf), &ns) || ns != day * 86400 * 1000000000)
			wrong++;
	}
	is_int(wrong, 0, "every day until 2260 is written and read back");

	epoch_is(number(1700000000), "2023-11-14T22:13:20.000000Z");
	epoch_is(number(1700000000123), "2023-11-14T22:13:20.123000Z");
	epoch_is(number(1700000000123457), "2023-11-14T22:13:20.123457Z");
	epoch_is(number(1700000000123457001), "2023-11-14T22:13:20.123457Z");
	epoch_is(real(1700000000.123), "2023-11-14T22:13:20.123000Z");
	epoch_is(real(1700000000123.457), "2023-11-14T22:13:20.123457Z");
	epoch_is(text("1700000000.123"), "2023-11-14T22:13:20.123000Z");
	epoch_is(text("1700000000123457999"), "2023-11-14T22:13:20.123457Z");
	epoch_is(text("1.7e9"), "2023-11-14T22:13:20.000000Z");
	epoch_is(number(0), "refused");
	epoch_is(number(-5), "refused");
	epoch_is(number(99999999999), "refused");
	epoch_is(number(INT64_MAX), "2262-04-11T23:47:16.854775Z");
	epoch_is(real(1e300), "refused");
	epoch_is(real(1e-300), "refused");
	epoch_is(text("inf"), "refused");
	epoch_is(text("0x6553f100"), "refused");
	epoch_is(text(" 1700000000"), "refused");
	epoch_is(text("99999999999999999999999"), "refused");
	epoch_is(text("yesterday"), "refused");
	epoch_is((sl_value){.type = SL_BOOL, .u.b = true}, "refused");
	sl_arena_reset(arena);
}

static void
test_severities(void)
{
	static const struct
	{
		const char *text;
		int severity;
	} cases[] = {
		{"TRACE", 1},
		{"debug", 5},
		{"Info", 9},
		{"information", 9},
		{"notice", 10},
		{"WARN", 13},
		{"Warning", 13},
		{"error", 17},
		{"ERR", 17},
		{"ERROR2", 18},
		{"error4", 20},
		{"TRACE4", 4},
		{"critical", 18},
		{"FATAL", 21},
		{"fatal3", 23},
		{"panic", 21},
		{"emerg", 21},
		{"alert", 19},
		{"", 0},
		{"2", 0},
		{"ERROR5", 0},
		{"ERROR1", 0},
		{"errors", 0},
		{"none", 0},
		{"17", 0},
	};
	static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
	bool right = true;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(sl_severity_of(S(cases[i].text)), cases[i].severity, "severity of \"%s\"", cases[i].text);
	for (int i = 1; i <= 24; i++)
		right = right && strcmp(sl_level_of(i), names[(i - 1) / 4]) == 0;
	ok(right, "the level of each number");
	ok(!*sl_level_of(0) && !*sl_level_of(25) && !*sl_level_of(-1), "and of none");
}

static void
test_set(void)
{
	sl_arena *arena = tap_arena();
	sl_record r = {0};
	sl_resource resource = {0};

	set(&r, "msg", text("one"));
	set(&r, "message", text("two"));
	set(&r, "severityText", text("warn"));
	set(&r, "errorCode", number(42));
	set(&r, "a.b", real(1.5));
	set(&r, "", text("no name"));
	set(&r, "service", (sl_value){.type = SL_NULL});
	is(r.text[SL_MESSAGE], "one", "the first spelling wins");
	is(r.text[SL_ERROR_CODE], "42", "a number in a text slot is text");
	ok(!r.text[SL_SERVICE].p && r.attributes.n == 4, "null fills no slot");
	is(sl_record_text(arena, &r, S("message")), "one", "asked by name");
	is(sl_record_text(arena, &r, S("msg")), "one", "and by another spelling");
	is(sl_record_text(arena, &r, S("a.b")), "1.5", "an attribute");
	is(sl_record_text(arena, &r, S("service")), NULL, "what is missing");
	is(sl_record_text(arena, &r, S("resource.x")), NULL, "what has no resource");

	*sl_fields_add(arena, &resource.fields, S("x")) = number(1);
	*sl_fields_add(arena, &resource.fields, S("service.name")) = text("shop");
	*sl_fields_add(arena, &resource.fields, S("service.name")) = text("second");
	sl_resource_finish(&resource);
	r.resource = &resource;
	sl_record_finish(arena, &r);
	is(r.text[SL_SERVICE], "shop", "the service comes from the resource");
	is_int(r.severity, 13, "the number comes from the level");
	is(sl_record_text(arena, &r, S("resource.x")), "1", "a resource's attribute");

	r = (sl_record){0};
	set(&r, "severity_number", number(17));
	set(&r, "severity_number", number(3));
	sl_record_finish(arena, &r);
	ok(r.severity == 17 && r.attributes.n == 1, "a second severity number doesn't replace the first");
	is(r.text[SL_LEVEL], "ERROR", "the level comes from the number");
	r = (sl_record){0};
	set(&r, "severity_number", number(99));
	ok(r.severity == 0 && r.notes == SL_NOTE_SEVERITY && r.attributes.n == 1, "a number that is none is noted and kept");

	/* fields of the format outrank attributes, wherever those stood */
	r = (sl_record){.timestamp = 5, .severity = 9};
	r.text[SL_MESSAGE] = S("body");
	*sl_fields_add(arena, &r.attributes, S("message")) = text("attribute");
	*sl_fields_add(arena, &r.attributes, S("level")) = text("odd");
	*sl_fields_add(arena, &r.attributes, S("k")) = text("v");
	*sl_fields_add(arena, &r.attributes, S("timestamp")) = text("2025-01-02T03:04:05Z");
	sl_record_promote(arena, &r);
	is(json(&r), "{\"timestamp\":\"1970-01-01T00:00:00.000000Z\",\"severity_number\":9,\"level\":\"odd\",\"message\":\"body\","
				 "\"attributes\":{\"k\":\"v\",\"message\":\"attribute\",\"timestamp\":\"2025-01-02T03:04:05Z\"}}",
	   "promotion fills free slots only");

	is(sl_field_name(S("msg")), "message", "a field's name: a spelling");
	is(sl_field_name(S("@timestamp")), "timestamp", "a time's");
	is(sl_field_name(S("anything.else")), "anything.else", "any other's");
	is(sl_field_name(S("")), "", "none");
}

static sl_str
as_text(sl_value v)
{
	return sl_value_text(tap_arena(), &v);
}

static void
test_text(void)
{
	is(as_text(number(INT64_MIN)), "-9223372036854775808", "the least integer");
	is(as_text(real(4104.0)), "4104", "4104.0 reads as 4104");
	is(as_text(real(100000000000000000.0)), "100000000000000000", "1e17 reads as the integer it equals");
	is(as_text(real(-0.0)), "0", "there is one zero");
	is(as_text(real(0.1)), "0.1", "0.1");
	is(as_text(real(1.0 / 3)), "0.3333333333333333", "a third, shortest form that reads back");
	is(as_text(real(1e300)), "1e+300", "1e300");
	is(as_text(real(1e19)), "1e+19", "above 64 bits");
	is(as_text(real(__builtin_nan(""))), "NaN", "no number");
	is(as_text(real(-__builtin_inf())), "-Infinity", "minus infinity");
	is(as_text((sl_value){.type = SL_BOOL, .u.b = false}), "false", "false");
	is(as_text((sl_value){.type = SL_NULL}), "", "null");
}

static void
test_json(void)
{
	sl_arena *arena = tap_arena();
	sl_record r = {0};
	sl_resource resource = {0};
	sl_value v;

	is(json(&r), "{\"attributes\":{}}", "an empty record");
	set(&r, "z", real(__builtin_inf()));
	set(&r, "z2", real(2.5));
	set(&r, "b", (sl_value){.type = SL_BOOL, .u.b = true});
	set(&r, "n", (sl_value){.type = SL_NULL});
	v = number(1);
	v.element = true;
	set(&r, "one", v);
	set(&r, "list", v);
	set(&r, "other", text("between"));
	v = text("two");
	v.element = true;
	set(&r, "list", v);
	set(&r, "twice", number(1));
	set(&r, "twice", number(2));
	r.notes = SL_NOTE_TEXT | SL_NOTE_ID;
	r.resource = &resource;
	*sl_fields_add(arena, &resource.fields, S("host")) = text("h\"1");
	r.timestamp = 1700000000123456789;
	r.observed = 1700000001000000000;
	is(json(&r), "{\"timestamp\":\"2023-11-14T22:13:20.123456Z\",\"observed_timestamp\":\"2023-11-14T22:13:21.000000Z\","
				 "\"attributes\":{\"b\":true,\"list\":[1,\"two\"],\"n\":null,\"one\":[1],\"other\":\"between\","
				 "\"twice\":[1,2],\"z\":\"Infinity\",\"z2\":2.5,"
				 "\"stacklens.note\":[\"text repaired\",\"trace or span id ignored\"]},\"resource\":{\"host\":\"h\\\"1\"}}",
	   "all at once: sorted, arrays joined");
	r = (sl_record){.notes = 31};
	is(json(&r), "{\"attributes\":{\"stacklens.note\":[\"text repaired\",\"timestamp ignored\",\"number out of range\","
				 "\"severity number ignored\",\"trace or span id ignored\"]}}",
	   "every note");
}

int
main(void)
{
	test_times();
	test_severities();
	test_set();
	test_text();
	test_json();
	sl_arena_free(tap_arena());
	return tap_done();
}
