/*
 * test_decode_auto.c
 *	  Which format "auto" takes a message for.
 */
#include "tap.h"
#include "encode.h"
#include "../../src/core/decode/decode.h"

static sl_records records;
static sl_error err;

static bool
decode(const char *data, size_t n)
{
	memset(&records, 0, sizeof(records));
	return sl_decode(SL_AUTO, data, n, tap_arena(), &records, &err);
}

static void
is_message(const char *data, size_t n, size_t count, const char *message, const char *what)
{
	if (!decode(data, n) || records.n != count)
		ok(false, "%s: %s (%zu records)", what, err.message, records.n);
	else
		is(records.v[0].text[SL_MESSAGE], message, "%s", what);
}

#define message_of(data, count, message, what) is_message(data, sizeof(data) - 1, count, message, what)

int
main(void)
{
	sl_arena *arena = tap_arena();
	sl_buf record = pb_new(arena),
		   body = otlp_text(arena, "from otlp"),
		   request;
	sl_format format;
	char newline[128];

	pb_message(&record, 5, &body);
	request = otlp_request(arena, &record);
	is_message(request.p, request.n, 1, "from otlp", "a request in protobuf");
	is_message(request.p, request.n - 1, 1, "\n\x11\x12\x0f\x12\r*\x0b\n\tfrom otl", "a request that is cut is text, if it reads as such");
	sl_buf_putc(&request, '\xFF');
	ok(!decode(request.p, request.n) && strcmp(err.sqlstate, SL_INVALID_TEXT) == 0 && err.hint[0],
	   "and is refused if it doesn't");

	message_of("{\"message\":\"m\"}", 1, "m", "JSON");
	message_of(" \t\r\n{\"message\":\"m\"}", 1, "m", "JSON after white space");
	message_of("\n{\"message\":\"m\"}", 1, "m", "JSON after a newline, which is protobuf's first byte");
	message_of("\xEF\xBB\xBF{\"message\":\"m\"}", 1, "m", "JSON after a byte order mark");
	message_of("[{\"message\":\"m\"},{}]", 2, "m", "an array");
	message_of("{\"message\":\"m\"}\n{\"message\":\"n\"}\n", 2, "m", "lines of JSON");
	message_of("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"b\"}}]}]}]}", 1, "b", "a request in JSON");
	message_of(" { \"resourceLogs\" : [{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"b\"}}]}]}]}", 1, "b", "with spaces");
	message_of("{\"resourceLogsX\":1,\"message\":\"m\"}", 1, "m", "a name that only begins like a request's");
	message_of("{\"message\":", 1, "{\"message\":", "JSON that is cut is text");
	message_of("[warn] text", 1, "[warn] text", "a bracket doesn't make JSON");
	message_of("plain \xC3\xA4\n", 1, "plain \xC3\xA4", "text");
	message_of("5", 1, "5", "a number alone is text");
	message_of("\n", 1, "", "a newline is an empty line");
	ok(!decode("\xFF\xFE", 2) && !decode("", 0), "neither");
	ok(!decode("a\0b", 3), "text with a NUL isn't text");

	/* a newline, then spaces: a ResourceLogs of unknown fields */
	memset(newline, ' ', sizeof(newline));
	newline[0] = '\n';
	newline[1] = 0x20;
	ok(decode(newline, 34) && records.n == 0, "what reads as both is a request");

	ok(sl_format_from_name(S("otlp_proto"), &format) && format == SL_OTLP_PROTO &&
		   sl_format_from_name(S("auto"), &format) && format == SL_AUTO &&
		   !sl_format_from_name(S("otlp"), &format) && !sl_format_from_name(S(""), &format),
	   "formats by name");
	sl_arena_free(arena);
	return tap_done();
}
