/*
 * test_utf8.c
 *	  Validity, repair, folding.
 */
#include "tap.h"
#include "../../src/core/utf8.h"

static bool
valid(const char *s)
{
	return sl_utf8_valid(s, strlen(s));
}

/* Validity as the standard's table has it, to check the clever one against. */
static bool
plain_valid(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n;)
	{
		uint32_t cp = p[i];
		size_t len = cp < 0x80 ? 1 : cp < 0xC0 ? 0
								 : cp < 0xE0   ? 2
								 : cp < 0xF0   ? 3
								 : cp < 0xF8   ? 4
											   : 0;

		if (len == 0 || i + len > n || cp == 0)
			return false;
		if (len > 1)
			cp &= 0x7Fu >> len;
		for (size_t k = 1; k < len; k++)
		{
			if ((p[i + k] & 0xC0) != 0x80)
				return false;
			cp = cp << 6 | (p[i + k] & 0x3F);
		}
		if ((len == 2 && cp < 0x80) || (len == 3 && cp < 0x800) || (len == 4 && cp < 0x10000) ||
			cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
			return false;
		i += len;
	}
	return true;
}

static void
test_valid(void)
{
	uint64_t random = 88172645463325252ULL;
	int wrong = 0;

	ok(valid("") && valid("plain") && valid("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"), "1 to 4 bytes are valid");
	ok(!valid("\xC0\xAF") && !valid("\xE0\x80\xAF") && !valid("\xF0\x80\x80\xAF"), "overlong forms aren't");
	ok(!valid("\xED\xA0\x80") && !valid("\xED\xBF\xBF") && valid("\xED\x9F\xBF"), "surrogates aren't");
	ok(!valid("\xF4\x90\x80\x80") && valid("\xF4\x8F\xBF\xBF") && !valid("\xF5\x80\x80\x80"), "nor is what lies above U+10FFFF");
	ok(!valid("\x80") && !valid("a\xC3") && !valid("a\xE2\x82") && !valid("a\xF0\x9F\x98"), "nor broken sequences");
	ok(!sl_utf8_valid("a\0b", 3) && !sl_utf8_valid("12345678\0", 9) && !sl_utf8_valid("1234567\0x", 9),
	   "nor a NUL, wherever it stands");
	for (int round = 0; round < 200000; round++)
	{
		unsigned char bytes[24];
		size_t n = 0;

		/* mostly ASCII, so that the eight-byte steps are taken too */
		do
		{
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			bytes[n++] = (random & 7) ? (unsigned char) (0x20 + (random >> 8) % 0x5F) : (unsigned char) (random >> 8);
		} while (n < sizeof(bytes) && (random >> 40) % 12);
		if (sl_utf8_valid((char *) bytes, n) != plain_valid(bytes, n))
			wrong++;
	}
	is_int(wrong, 0, "200,000 random strings are judged as the standard judges them");
}

static void
test_repair(void)
{
	sl_arena *arena = tap_arena();
	char all[512];
	sl_str s;

	is(sl_utf8_repair(arena, "a\0b\xFFz", 5), "a\xEF\xBF\xBD"
											  "b\xEF\xBF\xBDz",
	   "NUL and a bad byte become U+FFFD");
	is(sl_utf8_repair(arena, "\xE2\x82", 2), "\xEF\xBF\xBD\xEF\xBF\xBD", "a broken end too");
	is(sl_utf8_repair(arena, "\xC3\xA4", 2), "\xC3\xA4", "what is valid stays");
	is(sl_utf8_repair(arena, "", 0), "", "nothing stays nothing");
	for (int i = 0; i < 512; i++)
		all[i] = (char) (i / 2);
	s = sl_utf8_repair(arena, all, sizeof(all));
	ok(sl_utf8_valid(s.p, s.n), "every byte can be mended");
}

static void
test_code_points(void)
{
	int wrong = 0;

	for (uint32_t cp = 1; cp < 0x110000; cp++)
	{
		char p[4];
		int n,
			len;

		if (cp >= 0xD800 && cp < 0xE000)
			continue;
		n = sl_utf8_put(p, cp);
		if (!sl_utf8_valid(p, (size_t) n) || sl_utf8_get(p, (size_t) n, &len) != cp || len != n ||
			sl_utf8_len((unsigned char) p[0]) != n)
			wrong++;
	}
	is_int(wrong, 0, "every code point survives encoding and decoding");
	is_int(sl_utf8_cut("a\xC3\xA4", 3, 2), 1, "a cut falls between characters");
	is_int(sl_utf8_cut("a\xC3\xA4", 3, 3), 3, "what fits isn't cut");
	is_int(sl_utf8_cut("\xC3\xA4", 2, 1), 0, "the first character may be too much");
}

#define folds_to(from, to, what) is(sl_fold(tap_arena(), S(from)), to, what)

static void
test_fold(void)
{
	sl_arena *arena = tap_arena();
	sl_str lower = S("lower 123");
	int grown = 0;

	ok(sl_fold(arena, lower).p == lower.p, "lower-case ASCII isn't copied");
	folds_to("ABC xyz 09 [`{", "abc xyz 09 [`{", "ASCII");
	folds_to("\xE2\x84\xAA", "k", "the Kelvin sign is k");
	folds_to("\xE2\x84\xAB", "\xC3\xA5", "the Angstrom sign is \xC3\xA5");
	folds_to("\xC4\xB0", "\xC4\xB0", "I with a dot is not i");
	folds_to("\xC4\xB1", "\xC4\xB1", "nor is i without one");
	folds_to("\xC3\x84", "\xC3\xA4", "A umlaut is a umlaut");
	folds_to("\xCE\xA3\xCF\x82", "\xCF\x83\xCF\x83", "all sigmas are one");
	folds_to("\xC3\x9F", "\xC3\x9F", "sharp s stays: simple folding never lengthens");
	folds_to("\xE1\xBA\x9E", "\xC3\x9F", "capital sharp s is the small one");
	folds_to("\xC8\xBA", "\xE2\xB1\xA5", "U+023A grows from 2 bytes to 3");
	folds_to("\xF0\x90\x90\x80", "\xF0\x90\x90\xA8", "Deseret, 4 bytes");
	folds_to("aA\xC3\x84", "aa\xC3\xA4", "mixed");
	for (uint32_t cp = 1; cp < 0x110000; cp++)
	{
		char p[4];
		int n = sl_utf8_put(p, cp);
		sl_str once = sl_fold(arena, (sl_str){p, (size_t) n});
		sl_str twice = sl_fold(arena, once);

		if (!sl_str_eq(once, twice) || once.n > 2 * (size_t) n)
			grown++;
		if (cp % 4096 == 0)
			sl_arena_reset(arena);
	}
	is_int(grown, 0, "folding twice is folding once, and never doubles a character");
	/* only valid text comes here; what doesn't must do no harm */
	{
		char bad[600];

		memset(bad, 0xFF, sizeof(bad));
		bad[0] = 'A';
		lower = sl_fold(arena, (sl_str){bad, sizeof(bad)});
		is_int(lower.n, sizeof(bad), "bytes that are no UTF-8 stay");
	}
}

int
main(void)
{
	test_valid();
	test_repair();
	test_code_points();
	test_fold();
	sl_arena_free(tap_arena());
	return tap_done();
}
