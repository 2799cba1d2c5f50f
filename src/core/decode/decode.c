/*
 * decode.c
 *	  Choosing a decoder, and what decoders share.
 */
#include "decode.h"
#include "../utf8.h"

static const struct
{
	const char *name;
	sl_format format;
} formats[] = {
	{"auto", SL_AUTO},
	{"otlp_proto", SL_OTLP_PROTO},
	{"otlp_json", SL_OTLP_JSON},
	{"json", SL_JSON},
	{"text", SL_TEXT},
};

bool
sl_format_from_name(sl_str name, sl_format *format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (sl_str_is(name, formats[i].name))
		{
			*format = formats[i].format;
			return true;
		}
	return false;
}

/*
 * auto: what parses wholly as an export request is that (its first byte,
 * 0x0A, would pass for white space in JSON); then JSON; then UTF-8 text.
 */
static bool
decode_auto(const char *data, size_t n, sl_arena *arena, sl_records *records, sl_error *err)
{
	size_t i = n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;

	if (data[0] == 0x0A && sl_decode_otlp_proto(data, n, arena, records, err))
		return true;
	while (i < n && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r'))
		i++;
	if (i < n && (data[i] == '{' || data[i] == '[') &&
		sl_decode_json(data, n, false, true, arena, records, err))
		return true;
	if (!sl_utf8_valid(data, n))
	{
		sl_fail(err, SL_INVALID_TEXT, "message is neither an OTLP request, nor JSON, nor UTF-8 text");
		sl_error_hint(err, "Name the source's format (otlp_proto, otlp_json, json, text) for a message that says more.");
		return false;
	}
	return sl_decode_text(data, n, arena, records, err);
}

bool
sl_decode(sl_format format, const char *data, size_t n,
		  sl_arena *arena, sl_records *records, sl_error *err)
{
	const sl_records before = *records;
	bool ok = false;

	memset(err, 0, sizeof(*err));
	if (n == 0)
		return sl_fail(err, SL_INVALID_TEXT, "message is empty");
	if (n > SL_MAX_MESSAGE)
	{
		sl_fail(err, SL_LIMIT_EXCEEDED, "message of %zu bytes is too large", n);
		sl_error_detail(err, "The limit is %zu bytes.", SL_MAX_MESSAGE);
		return false;
	}
	switch (format)
	{
		case SL_AUTO:
			ok = decode_auto(data, n, arena, records, err);
			break;
		case SL_OTLP_PROTO:
			ok = sl_decode_otlp_proto(data, n, arena, records, err);
			break;
		case SL_OTLP_JSON:
			ok = sl_decode_json(data, n, true, false, arena, records, err);
			break;
		case SL_JSON:
			ok = sl_decode_json(data, n, false, false, arena, records, err);
			break;
		case SL_TEXT:
			ok = sl_decode_text(data, n, arena, records, err);
			break;
	}
	if (!ok)
		sl_records_restore(records, &before);
	return ok;
}

bool
sl_decode_text(const char *data, size_t n, sl_arena *arena, sl_records *records, sl_error *err)
{
	sl_record *record = sl_records_add(arena, records);

	(void) err;
	/* a line's end is not part of its message */
	while (n > 0 && (data[n - 1] == '\n' || data[n - 1] == '\r'))
		n--;
	record->text[SL_MESSAGE] = sl_take_text(arena, data, n, &record->notes);
	return true;
}

sl_str
sl_take_text(sl_arena *arena, const char *p, size_t n, uint32_t *notes)
{
	if (sl_utf8_valid(p, n))
		return (sl_str){p, n};
	*notes |= SL_NOTE_TEXT;
	return sl_utf8_repair(arena, p, n);
}

sl_str
sl_hex(sl_arena *arena, const unsigned char *p, size_t n)
{
	static const char digit[] = "0123456789abcdef";
	char *out = sl_alloc(arena, n * 2 + 1);

	for (size_t i = 0; i < n; i++)
	{
		out[2 * i] = digit[p[i] >> 4];
		out[2 * i + 1] = digit[p[i] & 15];
	}
	return (sl_str){out, n * 2};
}

sl_str
sl_base64(sl_arena *arena, const unsigned char *p, size_t n)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = sl_alloc(arena, (n + 2) / 3 * 4 + 1);
	size_t o = 0;

	for (size_t i = 0; i < n; i += 3)
	{
		uint32_t w = (uint32_t) p[i] << 16 |
					 (i + 1 < n ? (uint32_t) p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		out[o++] = digit[w >> 18];
		out[o++] = digit[w >> 12 & 63];
		out[o++] = i + 1 < n ? digit[w >> 6 & 63] : '=';
		out[o++] = i + 2 < n ? digit[w & 63] : '=';
	}
	return (sl_str){out, o};
}

sl_str
sl_join_path(sl_arena *arena, sl_str path, sl_str name)
{
	char *p;

	if (path.n == 0)
		return name;
	/* a path that is full already isn't even copied: a first name may be of any length */
	if (path.n + 1 >= SL_MAX_PATH)
		return path;
	name.n = sl_utf8_cut(name.p, name.n, SL_MAX_PATH - path.n - 1);
	p = sl_alloc(arena, path.n + 1 + name.n);
	memcpy(p, path.p, path.n);
	p[path.n] = '.';
	memcpy(p + path.n + 1, name.p, name.n);
	return (sl_str){p, path.n + 1 + name.n};
}
