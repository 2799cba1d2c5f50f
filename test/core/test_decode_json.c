/*
 * test_decode_json.c
 *	  Plain JSON and text to records.
 */
#include "tap.h"
#include "../../src/core/decode/decode.h"

#include <time.h>

static sl_records records;
static sl_error err;

/* Decodes a copy of exactly its size, so that reading past it is caught. */
static bool
decode_n(sl_format format, const char *data, size_t n)
{
	sl_arena *arena = tap_arena();
	char *copy = malloc(n ? n : 1);
	char *kept;
	bool done;

	memcpy(copy, data, n);
	memset(&records, 0, sizeof(records));
	done = sl_decode(format, copy, n, arena, &records, &err);
	/* JSON's records point into the decoder's own copy; text's into ours */
	if (format == SL_TEXT && done && records.v[0].text[SL_MESSAGE].n)
	{
		kept = (char *) sl_str_copy(arena, records.v[0].text[SL_MESSAGE].p, records.v[0].text[SL_MESSAGE].n).p;
		records.v[0].text[SL_MESSAGE].p = kept;
	}
	free(copy);
	if (!done && records.n)
		printf("Bail out! a refused message left records\n"), exit(1);
	return done;
}

static bool
decode(const char *data)
{
	return decode_n(SL_JSON, data, strlen(data));
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
is_record(const char *data, const char *want, const char *what)
{
	if (decode(data))
		is(json(0), want, "%s", what);
	else
		ok(false, "%s: %s", what, err.message);
}

static void
is_refused(const char *data, const char *message, int line, int col)
{
	bool done = decode(data);

	ok(!done && strstr(err.message, message) && err.line == line && err.col == col,
	   "refused: %.60s", data);
	if (done || !strstr(err.message, message) || err.line != line || err.col != col)
		printf("# got %d:%d %s\n", err.line, err.col, done ? "accepted" : err.message);
}

static void
test_shapes(void)
{
	is_record("{\"message\":\"m\",\"level\":\"error\",\"n\":1}",
			  "{\"severity_number\":17,\"level\":\"error\",\"message\":\"m\",\"attributes\":{\"n\":1}}", "an object");
	is_record(" \n{}\n ", "{\"attributes\":{}}", "an empty object");
	is_record("\xEF\xBB\xBF{\"a\":1}", "{\"attributes\":{\"a\":1}}", "after a byte order mark");
	is_record("{\"a\":{\"b\":{\"c\":1},\"d\":[]},\"e\":{}}", "{\"attributes\":{\"a.b.c\":1,\"a.d\":null,\"e\":null}}", "nested objects are paths");
	is_record("{\"a\":[1,\"x\",null,true,[2.5]]}", "{\"attributes\":{\"a\":[1,\"x\",null,true,2.5]}}", "an array is several values");
	is_record("{\"a\":[{\"b\":1},{\"b\":2,\"c\":3}]}", "{\"attributes\":{\"a.b\":[1,2],\"a.c\":[3]}}", "an array of objects");
	is_record("{\"a\":1,\"a\":2}", "{\"attributes\":{\"a\":[1,2]}}", "a key that stands twice");
	is_record("{\"a.b\":1,\"a\":{\"b\":2}}", "{\"attributes\":{\"a.b\":[1,2]}}", "a dotted key");
	is_record("{\"service.name\":\"s\",\"service\":{\"name\":\"t\"}}", "{\"service\":\"s\",\"attributes\":{\"service.name\":\"t\"}}", "a known name");
	is_record("{\"service\":{\"name\":\"t\"}}", "{\"service\":\"t\",\"attributes\":{}}", "a known path");
	is_record("{\"message\":[\"a\",\"b\"]}", "{\"attributes\":{\"message\":[\"a\",\"b\"]}}", "an array fills no slot");
	is_record("{\"timestamp\":\"2025-01-02T03:04:05Z\",\"ts\":5}",
			  "{\"timestamp\":\"2025-01-02T03:04:05.000000Z\",\"attributes\":{\"ts\":5}}", "a second time stays a field");
	is_record("{\"\":{\"\":1}}", "{\"message\":\"1\",\"attributes\":{}}", "empty names");

	ok(decode("[{\"a\":1},{\"a\":2} , {}]") && records.n == 3, "an array of objects");
	ok(decode("[]") && records.n == 0, "an empty array");
	ok(decode("{\"a\":1}\n\n {\"a\":2}\r\n{\"a\":3}") && records.n == 3, "one object a line");
	is(json(2), "{\"attributes\":{\"a\":3}}", "the last of them");
	ok(decode("{\"a\":\"\\n}{\"}\n{\"b\":\"[\"}\n") && records.n == 2, "lines with brackets in strings");
}

static void
test_strings(void)
{
	is_record("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\u20AC\\ud83d\\ude00\"}",
			  "{\"attributes\":{\"a\":\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"}}", "every escape");
	is_record("{\"k\\u0065y\\n\":1}", "{\"attributes\":{\"key\\n\":1}}", "an escape in a key");
	is_record("{\"a\":\"x\\u0000\"}", "{\"attributes\":{\"a\":\"x\xEF\xBF\xBD\",\"stacklens.note\":[\"text repaired\"]}}", "NUL");
	is_record("{\"a\":\"\\ud800\"}", "{\"attributes\":{\"a\":\"\xEF\xBF\xBD\",\"stacklens.note\":[\"text repaired\"]}}", "a lone surrogate");
	is_record("{\"a\":\"\\ud800\\ud800\\udc00\"}", "{\"attributes\":{\"a\":\"\xEF\xBF\xBD\xF0\x90\x80\x80\",\"stacklens.note\":[\"text repaired\"]}}", "a lone one before a pair");
	is_record("{\"a\":\"\\udc00\\u0041\"}", "{\"attributes\":{\"a\":\"\xEF\xBF\xBD"
											"A\",\"stacklens.note\":[\"text repaired\"]}}",
			  "a low one alone");
	is_record("{\"a\":\"\xFF\xC3\",\"b\":\"\xC3\xA4\"}",
			  "{\"attributes\":{\"a\":\"\xEF\xBF\xBD\xEF\xBF\xBD\",\"b\":\"\xC3\xA4\",\"stacklens.note\":[\"text repaired\"]}}", "invalid UTF-8");
	ok(decode("{\"a\":1}\n{\"b\":\"\xFF\"}") && records.n == 2 && records.v[1].notes == SL_NOTE_TEXT, "and on the second line");
	ok(decode_n(SL_JSON, "{\"a\":\"x\0y\"}", 11) == false, "a NUL byte in a string is refused");

	/* a string ends at every distance from the eight-byte steps, and the input right after it */
	for (size_t n = 0; n < 70; n++)
	{
		char buf[128];
		sl_str want;

		memset(buf, 'x', sizeof(buf));
		memcpy(buf, "{\"a\":\"", 6);
		memcpy(buf + 6 + n, "\"}", 2);
		want = sl_strf(tap_arena(), "{\"attributes\":{\"a\":\"%.*s\"}}", (int) n, buf + 6);
		if (!decode_n(SL_JSON, buf, 8 + n) || !sl_str_eq(json(0), want))
			printf("Bail out! string of %zu bytes\n", n), exit(1);
	}
	ok(true, "strings of every length to 70");
}

static void
test_numbers(void)
{
	is_record("{\"a\":[0,-0,-1,9223372036854775807,-9223372036854775808]}",
			  "{\"attributes\":{\"a\":[0,0,-1,9223372036854775807,-9223372036854775808]}}", "integers");
	is_record("{\"a\":[0.5,-1.5e3,1E-2,4104.0,1e400]}",
			  "{\"attributes\":{\"a\":[0.5,-1500,0.01,4104,\"1e400\"],\"stacklens.note\":[\"number out of range\"]}}", "doubles");
	is_record("{\"a\":[9223372036854775808,18446744073709551616,-9223372036854775809]}",
			  "{\"attributes\":{\"a\":[\"9223372036854775808\",\"18446744073709551616\",\"-9223372036854775809\"],"
			  "\"stacklens.note\":[\"number out of range\"]}}",
			  "integers beyond 64 bits keep their digits");
	static const char *const bad[] = {"01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "1_0", "--1", "1 2", "tru", "nul", "falsey", "truee"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		sl_str data = sl_strf(tap_arena(), "{\"a\":%s}", bad[i]);

		ok(!decode(data.p) && !decode(sl_strf(tap_arena(), "[{\"b\":[%s]}]", bad[i]).p), "no value: %s", bad[i]);
	}
}

static void
test_refusals(void)
{
	char *deep;

	is_refused("", "message is empty", 0, 0);
	is_refused("   ", "no value", 1, 4);
	is_refused("5", "neither an object nor an array of objects", 1, 1);
	is_refused("\"text\"", "neither an object", 1, 1);
	is_refused("\n null", "neither an object", 2, 2);
	is_refused("[1]", "neither an object", 1, 2);
	is_refused("[{},[]]", "neither an object", 1, 5);
	is_refused("plain text", "", 1, 1);
	is_refused("{\"a\":\"x", "a string is not closed", 1, 8);
	is_refused(" {\"a\":1", "not closed", 1, 2);
	is_refused("{\"a\":1} {}", "something follows the value", 1, 9);
	is_refused("{\"a\":\n \"\\q\"}", "unknown escape", 2, 4);
	is_refused("{\"\xC3\xA4\":\"\\u12g4\"}", "malformed \\u escape", 1, 9);
	is_refused("{\"a\":1}\n5", "neither an object", 2, 1);
	is_refused("{\"a\":1}\n\n{\"b\":1\n", "not closed", 3, 1);
	ok(!decode("{\"a\":1}\n{\"b\":}") && !decode("{\"a\":1}\n{\"b\":1") && !decode("{\"a\":1} {\"b\":1}"), "a bad line refuses the whole");
	ok(!decode("{\"a\" 1}") && !decode("{a:1}") && !decode("{\"a\":1,}") && !decode("[{},]") && !decode("{,}") &&
		   !decode("{\"a\":[1 2]}") && !decode("{\"a\":[,]}") && !decode("{\"a\":\"\t\"}") && !decode("{\\\"a\":1}") && !decode("{\"a\":[}]"),
	   "malformed");

	/* depth: the object is level 1, the number within the arrays the last */
	deep = malloc(2 * 1024 * 1024 + 16);
	for (int levels = 125; levels < 129; levels++)
	{
		strcpy(deep, "{\"a\":");
		memset(deep + 5, '[', (size_t) levels);
		deep[5 + levels] = '1';
		memset(deep + 6 + levels, ']', (size_t) levels);
		strcpy(deep + 6 + 2 * levels, "}");
		is_int(decode(deep), levels + 2 <= SL_MAX_DEPTH, "a number within %d arrays", levels);
	}
	ok(strcmp(err.sqlstate, SL_TOO_COMPLEX) == 0 && strstr(err.message, "128 levels"), "too deep has its own error");
	memset(deep, '[', 1024 * 1024);
	ok(!decode_n(SL_JSON, deep, 1024 * 1024), "1 MB of [");
	strcpy(deep, "{\"a\":");
	memset(deep + 5, '[', 1024 * 1024);
	memset(deep + 5 + 1024 * 1024, ']', 1024 * 1024);
	strcpy(deep + 5 + 2 * 1024 * 1024, "}");
	ok(!decode(deep) && strcmp(err.sqlstate, SL_TOO_COMPLEX) == 0, "1 MB of nested arrays");
	for (size_t i = 0; i < 1024 * 1024; i += 4)
		memcpy(deep + i, "{\"\":", 4);
	ok(!decode_n(SL_JSON, deep, 1024 * 1024), "1 MB of nested objects");
	free(deep);
	{
		char *huge = calloc(1, SL_MAX_MESSAGE + 1);

		ok(!sl_decode(SL_JSON, huge, SL_MAX_MESSAGE + 1, tap_arena(), &records, &err) &&
			   strcmp(err.sqlstate, SL_LIMIT_EXCEEDED) == 0,
		   "a message over the limit");
		free(huge);
	}
}

/* Work and memory must follow the input's size. */
static void
test_hostile(void)
{
	sl_arena *arena = tap_arena();
	sl_buf buf;
	clock_t start = clock();

	/* many small members under one huge name */
	sl_arena_reset(arena);
	sl_buf_init(&buf, arena, 1024 * 1024);
	sl_buf_puts(&buf, "{\"");
	for (int i = 0; i < 500000; i++)
		sl_buf_putc(&buf, 'k');
	sl_buf_puts(&buf, "\":{\"a\":0");
	for (int i = 0; i < 80000; i++)
		sl_buf_puts(&buf, ",\"a\":1");
	sl_buf_puts(&buf, "}}");
	ok(decode_n(SL_JSON, buf.p, buf.n) && records.v[0].attributes.n == 80001, "80,001 members under a name of 500 kB");
	ok(arena->held < 64 * 1024 * 1024, "a long name isn't copied for each");
	sl_arena_reset(arena);

	/* a name at the limit, cut between characters */
	sl_buf_init(&buf, arena, 1024);
	sl_buf_puts(&buf, "{\"");
	for (int i = 0; i < 505; i++)
		sl_buf_putc(&buf, 'k');
	sl_buf_puts(&buf, "\":{\"\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\":{\"x\":1},\"b\":{\"ccccccccccccc\":{\"d\":2}}}}");
	ok(decode_n(SL_JSON, buf.p, buf.n) && records.v[0].attributes.v[0].name.n == 512 &&
		   records.v[0].attributes.v[1].name.n == 512 &&
		   memcmp(records.v[0].attributes.v[0].name.p + 504, "k.\xC3\xA4\xC3\xA4\xC3\xA4", 8) == 0,
	   "a path is cut at 512 bytes");

	sl_arena_reset(arena);
	sl_buf_init(&buf, arena, 1024 * 1024);
	sl_buf_puts(&buf, "{\"a0\":0");
	for (int i = 1; i < 100000; i++)
		sl_buf_printf(&buf, ",\"a%d\":%d", i, i);
	sl_buf_puts(&buf, "}");
	ok(decode_n(SL_JSON, buf.p, buf.n) && records.v[0].attributes.n == 100000, "100,000 keys");
	ok(json(0).n > 1000000, "and shown");

	sl_arena_reset(arena);
	sl_buf_init(&buf, arena, 1024 * 1024);
	sl_buf_puts(&buf, "{\"a\":[0");
	for (int i = 1; i < 500000; i++)
		sl_buf_puts(&buf, ",1");
	sl_buf_puts(&buf, "]}");
	ok(decode_n(SL_JSON, buf.p, buf.n) && records.v[0].attributes.n == 500000, "500,000 elements");

	sl_arena_reset(arena);
	sl_buf_init(&buf, arena, 1024 * 1024);
	for (int i = 0; i < 100000; i++)
		sl_buf_puts(&buf, "{\"a\":1}\n");
	ok(decode_n(SL_JSON, buf.p, buf.n) && records.n == 100000, "100,000 lines");
	sl_arena_reset(arena);
	ok((clock() - start) / CLOCKS_PER_SEC < 15, "all that in seconds");
}

/* A message cut at every byte is refused, or (lines) taken; nothing is read past its end. */
static void
test_truncation(void)
{
	static const char full[] = "{\"message\":\"a\\u00e4b\",\"n\":[1,2.5e3,null,true],\"o\":{\"p\":\"\xC3\xA4\"},\"timestamp\":\"2025-01-02T03:04:05Z\"}";
	int taken = 0;

	for (size_t n = 1; n < sizeof(full) - 1; n++)
		taken += decode_n(SL_JSON, full, n);
	is_int(taken, 0, "a message cut anywhere is refused");
	ok(decode(full), "the whole of it isn't");
}

static void
test_text(void)
{
	ok(decode_n(SL_TEXT, "one line\r\n", 10) && records.n == 1, "text is one record");
	is(records.v[0].text[SL_MESSAGE], "one line", "without its line's end");
	ok(decode_n(SL_TEXT, "\n", 1) && records.n == 1 && records.v[0].text[SL_MESSAGE].n == 0, "an empty line");
	ok(decode_n(SL_TEXT, "a\xFF", 2) && records.v[0].notes == SL_NOTE_TEXT, "what isn't UTF-8 is mended");
	ok(!decode_n(SL_TEXT, "", 0), "nothing is refused");
}

static void
test_fields(void)
{
	sl_arena *arena = tap_arena();
	sl_fields fields = {0};
	sl_buf out;
	static const char data[] = "{\"message\":\"m\",\"service\":{\"name\":1},\"l\":[1,2]}";

	memset(&err, 0, sizeof(err));
	sl_buf_init(&out, arena, 16);
	if (ok(sl_decode_fields(data, strlen(data), arena, &fields, &err), "fields of an object"))
		sl_fields_json(&out, &fields, 0);
	is(B(&out), "{\"l\":[1,2],\"message\":\"m\",\"service.name\":1}", "known names are names like others");
	ok(!sl_decode_fields("{\"a\":1,", 7, arena, &fields, &err) && fields.n == 4, "a failure adds none");
}

int
main(void)
{
	test_shapes();
	test_strings();
	test_numbers();
	test_refusals();
	test_hostile();
	test_truncation();
	test_text();
	test_fields();
	sl_arena_free(tap_arena());
	return tap_done();
}
