/*
 * utf8.c
 *	  UTF-8: validity, repair, simple case folding.
 */
#include "utf8.h"

#include "fold_table.h"

/*
 * Length of the valid sequence at p, or 0.  Overlong forms, surrogates and
 * what lies above U+10FFFF are invalid; NUL is too (text can't hold it).
 */
static inline int
valid_sequence(const unsigned char *p, size_t n)
{
	unsigned char c = p[0];

	if (c < 0x80)
		return c != 0;
	if (c < 0xC2)
		return 0;
	if (c < 0xE0)
		return n >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
	if (c < 0xF0)
	{
		if (n < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80)
			return 0;
		if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F))
			return 0;
		return 3;
	}
	if (c < 0xF5)
	{
		if (n < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80)
			return 0;
		if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F))
			return 0;
		return 4;
	}
	return 0;
}

/* Bytes of ASCII without NUL at the front of p. */
static inline size_t
ascii_run(const char *p, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		uint64_t w;

		memcpy(&w, p + i, 8);
		/* a high bit, or a zero byte */
		if ((w | (w - 0x0101010101010101ULL)) & 0x8080808080808080ULL)
			break;
	}
	while (i < n && (unsigned char) (p[i] - 1) < 0x7F)
		i++;
	return i;
}

bool
sl_utf8_valid(const char *p, size_t n)
{
	size_t i = 0;

	for (;;)
	{
		int len;

		i += ascii_run(p + i, n - i);
		if (i == n)
			return true;
		len = valid_sequence((const unsigned char *) p + i, n - i);
		if (len == 0)
			return false;
		i += (size_t) len;
	}
}

sl_str
sl_utf8_repair(sl_arena *arena, const char *p, size_t n)
{
	sl_buf out;
	size_t i = 0;

	sl_buf_init(&out, arena, n + n / 8 + 16);
	while (i < n)
	{
		size_t run = ascii_run(p + i, n - i);
		int len;

		sl_buf_add(&out, p + i, run);
		i += run;
		if (i == n)
			break;
		len = valid_sequence((const unsigned char *) p + i, n - i);
		if (len)
			sl_buf_add(&out, p + i, (size_t) len);
		else
			sl_buf_add(&out, "\xEF\xBF\xBD", 3);
		i += len ? (size_t) len : 1;
	}
	return (sl_str){out.p, out.n};
}

size_t
sl_utf8_cut(const char *p, size_t n, size_t limit)
{
	if (n <= limit)
		return n;
	while (limit > 0 && ((unsigned char) p[limit] & 0xC0) == 0x80)
		limit--;
	return limit;
}

uint32_t
sl_utf8_get(const char *p, size_t n, int *len)
{
	const unsigned char *u = (const unsigned char *) p;

	*len = valid_sequence(u, n);
	switch (*len)
	{
		case 1:
			return u[0];
		case 2:
			return (uint32_t) (u[0] & 0x1F) << 6 | (u[1] & 0x3F);
		case 3:
			return (uint32_t) (u[0] & 0x0F) << 12 | (uint32_t) (u[1] & 0x3F) << 6 | (u[2] & 0x3F);
		case 4:
			return (uint32_t) (u[0] & 0x07) << 18 | (uint32_t) (u[1] & 0x3F) << 12 |
				   (uint32_t) (u[2] & 0x3F) << 6 | (u[3] & 0x3F);
		default:
			*len = 1;
			return 0xFFFD;
	}
}

int
sl_utf8_put(char *p, uint32_t cp)
{
	if (cp < 0x80)
	{
		p[0] = (char) cp;
		return 1;
	}
	if (cp < 0x800)
	{
		p[0] = (char) (0xC0 | cp >> 6);
		p[1] = (char) (0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000)
	{
		p[0] = (char) (0xE0 | cp >> 12);
		p[1] = (char) (0x80 | (cp >> 6 & 0x3F));
		p[2] = (char) (0x80 | (cp & 0x3F));
		return 3;
	}
	p[0] = (char) (0xF0 | cp >> 18);
	p[1] = (char) (0x80 | (cp >> 12 & 0x3F));
	p[2] = (char) (0x80 | (cp >> 6 & 0x3F));
	p[3] = (char) (0x80 | (cp & 0x3F));
	return 4;
}

static uint32_t
fold_code_point(uint32_t cp)
{
	size_t lo = 0,
		   hi = sizeof(fold_table) / sizeof(fold_table[0]);

	while (lo < hi)
	{
		size_t mid = (lo + hi) / 2;

		if (fold_table[mid][0] == cp)
			return fold_table[mid][1];
		if (fold_table[mid][0] < cp)
			lo = mid + 1;
		else
			hi = mid;
	}
	return cp;
}

/* Sixteen bytes at a time; the compiler makes of it what the machine has. */
typedef unsigned char lane __attribute__((vector_size(16)));

/* Folds a block; false, and nothing done, where it isn't ASCII. */
static inline bool
fold_block(char *out, const char *p)
{
	lane w;
	uint64_t half[2];

	memcpy(&w, p, sizeof(w));
	memcpy(half, &w, sizeof(half));
	if ((half[0] | half[1]) & UINT64_C(0x8080808080808080))
		return false;
	w |= (lane) (w - 'A' < 26) & 0x20;
	memcpy(out, &w, sizeof(w));
	return true;
}

/* Folds ASCII; how far it came: to the end, or the first byte that is none. */
static size_t
fold_ascii(char *out, const char *p, size_t n)
{
	size_t i = 0;

	while (i + sizeof(lane) <= n && fold_block(out + i, p + i))
		i += sizeof(lane);
	/* the rest once more with some before it, to be a block */
	if (i < n && n >= sizeof(lane) && i + sizeof(lane) > n && fold_block(out + n - sizeof(lane), p + n - sizeof(lane)))
		return n;
	for (; i < n && (unsigned char) p[i] < 0x80; i++)
		out[i] = (char) (p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
	return i;
}

/* Is it lower-case ASCII already? */
static bool
is_folded(sl_str s)
{
	size_t i = 0;

	for (; i + sizeof(lane) <= s.n; i += sizeof(lane))
	{
		lane w;
		uint64_t half[2];

		memcpy(&w, s.p + i, sizeof(w));
		w = (w & 0x80) | (lane) (w - 'A' < 26);
		memcpy(half, &w, sizeof(half));
		if (half[0] | half[1])
			return false;
	}
	for (; i < s.n; i++)
		if ((unsigned char) s.p[i] >= 0x80 || (s.p[i] >= 'A' && s.p[i] <= 'Z'))
			return false;
	return true;
}

sl_str
sl_fold(sl_arena *arena, sl_str s)
{
	char *out;
	size_t i,
		n;

	if (is_folded(s))
		return s;
	out = sl_alloc(arena, s.n);
	i = n = fold_ascii(out, s.p, s.n);
	if (i < s.n)
	{
		/* folding makes at most 3 bytes of 2 (U+023A) */
		char *ascii = out;

		out = sl_alloc(arena, s.n * 2 + 4);
		memcpy(out, ascii, i);
	}
	while (i < s.n)
	{
		size_t ascii;
		int len;
		uint32_t cp = sl_utf8_get(s.p + i, s.n - i, &len);

		/* a byte that is no UTF-8 stays: U+FFFD for it would outgrow out */
		if (len == 1)
			out[n++] = s.p[i];
		else
			n += (size_t) sl_utf8_put(out + n, fold_code_point(cp));
		i += (size_t) len;
		ascii = fold_ascii(out + n, s.p + i, s.n - i);
		n += ascii;
		i += ascii;
	}
	return (sl_str){out, n};
}
