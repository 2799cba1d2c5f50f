/*
 * encode.c
 *	  What encoding modifiers make of a value: base64 in its three offsets,
 *	  UTF-16, and the dashes of Windows' command lines.
 */
#include "reader.h"
#include "../decode/decode.h"
#include "../utf8.h"

/* Without the characters that neighbours of the value have a part in. */
void
sl_encode_base64_offsets(sl_arena *arena, sl_str s, sl_str out[3])
{
	static const size_t from_start[] = {0, 2, 3},
						from_end[] = {0, 3, 2};

	for (size_t i = 0; i < 3; i++)
	{
		char *shifted = sl_alloc(arena, s.n + i + 1);
		sl_str encoded;
		size_t cut = from_start[i] + from_end[(s.n + i) % 3];

		memset(shifted, ' ', i);
		if (s.n)
			memcpy(shifted + i, s.p, s.n);
		encoded = sl_base64(arena, (const unsigned char *) shifted, s.n + i);
		out[i] = (sl_str){encoded.p + from_start[i], encoded.n > cut ? encoded.n - cut : 0};
	}
}

sl_str
sl_encode_utf16(sl_arena *arena, sl_str s, bool big_endian, bool mark)
{
	char *out = sl_alloc(arena, s.n * 2 + 4);
	size_t n = 0;

	if (mark)
	{
		out[n++] = (char) (big_endian ? 0xFE : 0xFF);
		out[n++] = (char) (big_endian ? 0xFF : 0xFE);
	}
	for (size_t i = 0; i < s.n;)
	{
		int len;
		uint32_t cp = sl_utf8_get(s.p + i, s.n - i, &len);
		uint32_t units[2] = {cp, 0};
		int n_units = 1;

		i += (size_t) len;
		if (cp >= 0x10000)
		{
			units[0] = 0xD800 + ((cp - 0x10000) >> 10);
			units[1] = 0xDC00 + (cp & 0x3FF);
			n_units = 2;
		}
		for (int k = 0; k < n_units; k++)
		{
			out[n++] = (char) (big_endian ? units[k] >> 8 : units[k] & 0xFF);
			out[n++] = (char) (big_endian ? units[k] & 0xFF : units[k] >> 8);
		}
	}
	return (sl_str){out, n};
}

static bool
word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		   ((unsigned char) c >= 0x80 && c != SL_ANY_RUN && c != SL_ANY_ONE);
}

size_t
sl_windash(sl_arena *arena, sl_str glob, size_t max, sl_str **out)
{
	static const sl_str dashes[] = {{"-", 1}, {"/", 1}, {"–", 3}, {"—", 3}, {"―", 3}};
	size_t *at = sl_alloc(arena, (glob.n + 1) * sizeof(size_t));
	size_t flags = 0,
		   total = 1;

	for (size_t i = 0; i + 1 < glob.n; i++)
		if ((glob.p[i] == '-' || glob.p[i] == '/') && word_byte(glob.p[i + 1]) &&
			(i == 0 || !word_byte(glob.p[i - 1])))
		{
			at[flags++] = i;
			if (total <= max)
				total *= 5;
		}
	if (total > max)
		return total;
	*out = sl_alloc(arena, total * sizeof(sl_str));
	for (size_t k = 0; k < total; k++)
	{
		sl_buf text;
		size_t from = 0,
			   digits = k;

		sl_buf_init(&text, arena, glob.n + flags * 2 + 1);
		for (size_t f = 0; f < flags; f++)
		{
			sl_buf_add(&text, glob.p + from, at[f] - from);
			sl_buf_add(&text, dashes[digits % 5].p, dashes[digits % 5].n);
			digits /= 5;
			from = at[f] + 1;
		}
		sl_buf_add(&text, glob.p + from, glob.n - from);
		(*out)[k] = (sl_str){text.p, text.n};
	}
	return total;
}
