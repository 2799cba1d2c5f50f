/*
 * grams.c
 *	  One pass over a text for thousands of literals.
 *
 * Each literal is found by four of its bytes, those that the fewest others
 * share.  The scan looks at every four bytes of the text: a bitmap, small
 * enough for the nearest cache, tells nearly always that they are nobody's;
 * else a table tells whose they may be, and the whole literal is compared.
 * Literals of two and three bytes are found by their first two, single bytes
 * by themselves.
 *
 * Vectorscan would do as much, and expressions too; but its version 5.4.9
 * doesn't see single bytes at the end of texts of over 64 on processors with
 * AVX-512, and its literal databases take longer to build.
 */
#include "internal.h"

#include <stdlib.h>

static inline uint32_t
load4(const char *p)
{
	uint32_t w;

	memcpy(&w, p, 4);
	return w;
}

static inline uint64_t
load8(const char *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	return w;
}

static inline uint32_t
load2(const char *p)
{
	uint16_t w;

	memcpy(&w, p, 2);
	return w;
}

/* Its low bits tell slots: as many as a table has. */
static inline uint32_t
gram_hash(uint32_t gram)
{
	return (uint32_t) (gram * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static inline uint32_t
slot_of(const gram_table *g, uint32_t hash)
{
	return hash & ((UINT32_C(1) << g->bits) - 1);
}

/* Of the second look, which few grams that are nobody's survive: by four times as many bits, and mostly eight bytes. */
static inline uint32_t
sure_hash(uint64_t bytes, uint32_t bits)
{
	return (uint32_t) ((bytes ^ bytes >> 29) * UINT64_C(0xC2B2AE3D27D4EB4F) >> (62 - bits));
}

static inline bool
bit(const uint64_t *map, uint32_t at)
{
	return map[at / 64] >> at % 64 & 1;
}

static void
set_bit(uint64_t *map, uint32_t at)
{
	map[at / 64] |= UINT64_C(1) << at % 64;
}

static void
grow_patterns(sl_arena *arena, scanner *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : 8;

	s->patterns = sl_array_copy(arena, s->patterns, s->n * sizeof(sl_str), cap * sizeof(sl_str));
	s->owners = sl_array_copy(arena, s->owners, s->n * sizeof(ids), cap * sizeof(ids));
	s->cap = cap;
	/* places all of them again, in a table that stays half empty */
	s->table.mask = cap * 4 - 1;
	s->table.slots = sl_alloc0(arena, cap * 4 * sizeof(uint32_t));
	for (uint32_t i = 0; i < s->n; i++)
	{
		uint32_t at = (uint32_t) sl_hash(s->patterns[i], 0) & s->table.mask;

		while (s->table.slots[at])
			at = (at + 1) & s->table.mask;
		s->table.slots[at] = i + 1;
	}
}

void
sl_scanner_add(sl_arena *arena, scanner *s, sl_str pattern, uint32_t owner)
{
	uint32_t at;

	if (s->n == s->cap)
		grow_patterns(arena, s);
	at = (uint32_t) sl_hash(pattern, 0) & s->table.mask;
	for (; s->table.slots[at]; at = (at + 1) & s->table.mask)
	{
		uint32_t i = s->table.slots[at] - 1;

		if (sl_str_eq(s->patterns[i], pattern))
		{
			sl_ids_add(arena, &s->owners[i], owner);
			return;
		}
	}
	s->patterns[s->n] = pattern;
	s->owners[s->n] = (ids){0};
	sl_ids_add(arena, &s->owners[s->n], owner);
	s->table.slots[at] = ++s->n;
}

static int
by_slot(const void *a, const void *b)
{
	const anchor *x = a,
				 *y = b;

	if (x->is_short != y->is_short)
		return x->is_short - y->is_short;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return x->pattern < y->pattern ? -1 : x->pattern > y->pattern;
}

/* How many literals hold each gram: a table of counts by hash, which may lump a few. */
static uint32_t *
count_grams(sl_arena *arena, const scanner *s)
{
	uint32_t *counts = sl_alloc0(arena, sizeof(uint32_t) * (UINT16_MAX + 1));

	for (uint32_t i = 0; i < s->n; i++)
		for (size_t k = 0; k + 4 <= s->patterns[i].n; k++)
			counts[gram_hash(load4(s->patterns[i].p + k)) & UINT16_MAX]++;
	return counts;
}

/* What is part of every other text of some systems, and so tells little. */
bool
sl_is_commonplace(sl_str text)
{
	static const char everywhere[] =
		"\"c:\\windows\\system32\\syswow64\\ c:\\program files (x86)\\common files\\microsoft\\ c:\\users\\public\\"
		"appdata\\local\\temp\\ appdata\\roaming\\ programdata\\ .exe\" .exe -.exe /.dll .com https://www. http:// "
		"powershell.exe cmd.exe /c svchost.exe -k error failed exception service request message /usr/bin/ /var/log/ /home/ "
		"null true false user name file path process local host";

	return memmem(everywhere, sizeof(everywhere) - 1, text.p, text.n) != NULL;
}

/*
 * How often a gram is likely met: in how many literals it is, what of common
 * letters it is made of, and whether it is part of what every other text of
 * some systems holds.
 */
static uint64_t
letters_cost(const char *p, int n)
{
	static const char common[] = " .-/\\:_\"=etaoinsrlcdpmu01";
	uint64_t cost = 0;

	for (int i = 0; i < n; i++)
		cost += strchr(common, p[i]) ? 8 : 0;
	return cost;
}

uint64_t
sl_byte_cost(char c)
{
	/* the most frequent last */
	static const char frequent[] = "zqjkyvgbhf=_\"\t9876543210:/-uwx.pmldacrntiose\\ ";
	const char *at = c ? strchr(frequent, c) : NULL;

	return at ? (uint64_t) (at - frequent) + 1 : 0;
}

uint64_t
sl_pair_cost(const char *p)
{
	return letters_cost(p, 2);
}

static uint64_t
gram_cost(uint32_t count, const char *p)
{
	uint64_t cost = (uint64_t) count * 4 + letters_cost(p, 4);

	if (sl_is_commonplace((sl_str){p, 4}))
		cost += 10000;
	return cost;
}

void
sl_scanner_finish(sl_arena *arena, scanner *s)
{
	gram_table *g = &s->grams;
	uint32_t *counts;

	s->table = (value_table){0};
	if (s->n == 0)
		return;
	for (uint32_t i = 0; i < s->n; i++)
		(s->patterns[i].n >= 4 ? &g->n_long : &g->n_short)[0]++;
	/* many bits for each, so that few grams are taken for one by chance; up to 16 kB, since those of several fields share the nearest cache */
	for (g->bits = 10; g->bits < 17 && UINT32_C(1) << g->bits < g->n_long * 32; g->bits++)
		;
	g->map = sl_alloc0(arena, (UINT32_C(1) << g->bits) / 8);
	g->sure = sl_alloc0(arena, (UINT32_C(4) << g->bits) / 8);
	g->pairs = g->n_short ? sl_alloc0(arena, 65536 / 8) : NULL;
	g->anchors = sl_alloc0(arena, (s->n + 1) * sizeof(anchor));
	counts = count_grams(arena, s);
	for (uint32_t i = 0; i < s->n; i++)
	{
		sl_str text = s->patterns[i];
		anchor *a = &g->anchors[i];
		uint64_t best = UINT64_MAX;

		a->pattern = i;
		a->is_short = text.n < 4;
		if (text.n < 4)
		{
			a->slot = text.n == 1 ? UINT32_MAX : load2(text.p);
			/* one byte: any byte may follow it */
			for (uint32_t second = 0; second < (text.n == 1 ? 256u : 1u); second++)
			{
				char pair[2] = {text.p[0], text.n == 1 ? (char) second : text.p[1]};

				set_bit(g->pairs, load2(pair));
			}
			continue;
		}
		for (size_t k = 0; k + (text.n < 8 ? 4 : 8) <= text.n && k < INT16_MAX; k++)
		{
			uint64_t cost = gram_cost(counts[gram_hash(load4(text.p + k)) & UINT16_MAX], text.p + k);

			if (cost < best)
			{
				best = cost;
				a->offset = (uint16_t) k;
			}
		}
		a->gram = load4(text.p + a->offset);
		a->slot = slot_of(g, gram_hash(a->gram));
		/* the four bytes at the far end are looked at before the whole is */
		a->far = (int16_t) (a->offset * 2u + 4 > text.n ? -(int) a->offset
														: (int) (text.n < INT16_MAX ? text.n : INT16_MAX) - 4 - a->offset);
		a->far_gram = load4(text.p + a->offset + a->far);
		set_bit(g->map, a->slot);
		set_bit(g->sure, sure_hash(text.n < 8 ? a->gram : load8(text.p + a->offset), g->bits));
	}
	qsort(g->anchors, s->n, sizeof(anchor), by_slot);
	/* where each slot's anchors begin: by a prefix of its bits */
	g->first = sl_alloc0(arena, ((UINT32_C(1) << (g->bits - 4)) + 1) * sizeof(uint32_t));
	for (uint32_t i = 0, at = 0; i <= UINT32_C(1) << (g->bits - 4); i++)
	{
		while (at < g->n_long && g->anchors[at].slot >> 4 < i)
			at++;
		g->first[i] = at;
	}
	g->short_first = g->n_short ? sl_alloc0(arena, 257 * sizeof(uint32_t)) : NULL;
	for (uint32_t i = 0, at = 0; g->n_short && i <= 256; i++)
	{
		while (at < g->n_short && g->anchors[g->n_long + at].slot >> 8 < i)
			at++;
		g->short_first[i] = at;
	}
}

/* Literals whose gram may stand at an offset of the text. */
static void
try_gram(const scanner *s, sl_str text, size_t at, found_fn found, void *arg)
{
	const gram_table *g = &s->grams;
	uint32_t gram = load4(text.p + at),
			 slot = slot_of(g, gram_hash(gram));

	if (!bit(g->sure, sure_hash(gram, g->bits)) &&
		(at + 8 > text.n || !bit(g->sure, sure_hash(load8(text.p + at), g->bits))))
		return;
	for (uint32_t i = g->first[slot >> 4]; i < g->first[(slot >> 4) + 1]; i++)
	{
		const anchor *a = &g->anchors[i];
		sl_str literal;

		if (a->gram != gram || at < a->offset || at + 4 + (size_t) (a->far > 0 ? a->far : 0) > text.n ||
			load4(text.p + at + a->far) != a->far_gram)
			continue;
		literal = s->patterns[a->pattern];
		if (at - a->offset + literal.n <= text.n && memcmp(text.p + at - a->offset, literal.p, literal.n) == 0)
			found(arg, s, a->pattern);
	}
}

/* Literals of two and three bytes, by their pair, and those of one. */
static void
try_short(const scanner *s, sl_str text, size_t at, found_fn found, void *arg)
{
	const gram_table *g = &s->grams;
	const anchor *anchors = g->anchors + g->n_long;

	if (g->n_short == 0)
		return;
	if (at + 2 <= text.n)
	{
		uint32_t pair = load2(text.p + at);

		for (uint32_t i = g->short_first[pair >> 8]; i < g->short_first[(pair >> 8) + 1]; i++)
		{
			sl_str literal;

			if (anchors[i].slot != pair)
				continue;
			literal = s->patterns[anchors[i].pattern];
			if (literal.n == 2 || (at + 3 <= text.n && literal.p[2] == text.p[at + 2]))
				found(arg, s, anchors[i].pattern);
		}
	}
	for (uint32_t i = g->short_first[256]; i < g->n_short; i++)
		if (s->patterns[anchors[i].pattern].p[0] == text.p[at])
			found(arg, s, anchors[i].pattern);
}

void
sl_scanner_join(scanner *a, const scanner *b)
{
	/* a's pairs announce those of both, so that one look is enough */
	for (size_t i = 0; a->grams.pairs && b->grams.pairs && i < 65536 / 64; i++)
		a->grams.pairs[i] |= b->grams.pairs[i];
}

/* Where there is but one scanner, b is a. */
static inline __attribute__((always_inline)) void
scan(const scanner *a, const scanner *b, bool has_short, sl_str text, found_fn found, void *arg)
{
	/* nothing that is called changes these, which the compiler can't know */
	const uint64_t *map_a = a->grams.map,
				   *map_b = b->grams.map,
				   *pairs = a->grams.pairs ? a->grams.pairs : b->grams.pairs;
	const uint32_t mask_a = (UINT32_C(1) << a->grams.bits) - 1,
				   mask_b = (UINT32_C(1) << b->grams.bits) - 1;
	size_t i = 0;

	for (; i + 4 <= text.n; i++)
	{
		uint32_t gram = load4(text.p + i),
				 hash = gram_hash(gram);

		if (bit(map_a, hash & mask_a))
			try_gram(a, text, i, found, arg);
		if (a != b && bit(map_b, hash & mask_b))
			try_gram(b, text, i, found, arg);
		if (has_short && bit(pairs, load2(text.p + i)))
		{
			try_short(a, text, i, found, arg);
			if (a != b)
				try_short(b, text, i, found, arg);
		}
	}
	for (; has_short && i < text.n; i++)
	{
		try_short(a, text, i, found, arg);
		if (a != b)
			try_short(b, text, i, found, arg);
	}
}

void
sl_scan(const scanner *a, const scanner *b, sl_str text, found_fn found, void *arg)
{
	if (!a)
		a = b;
	if (!b)
		b = a;
	if (!a->grams.pairs && !b->grams.pairs)
		a == b ? scan(a, a, false, text, found, arg) : scan(a, b, false, text, found, arg);
	else
		a == b ? scan(a, a, true, text, found, arg) : scan(a, b, true, text, found, arg);
}
