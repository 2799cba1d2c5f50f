/*
 * scan.c
 *	  One pass over a text for many patterns.
 *
 * Literals are searched for as bytes (grams.c): folding was done before, over
 * Unicode, which no scanner's own way to ignore case equals.  For regular
 * expressions in which no literal shows, Vectorscan tells where they may be
 * found; PCRE2 has the last word, so that they mean the same wherever they
 * are run.
 *
 * They are scanned for in streaming mode, each text as a stream of its own: in
 * block mode, Vectorscan 5.4.9 misses matches at the end of texts of 16 to 69
 * bytes where a database holds more than one expression.
 */
#include "internal.h"

#include <hs/hs.h>
#include <stdlib.h>

static void
free_database(void *what)
{
	hs_database_t **hs = what;

	if (*hs)
		hs_free_database(*hs);
	*hs = NULL;
}

static uint64_t
pattern_hash(sl_str pattern, uint32_t flags)
{
	return sl_hash(pattern, flags);
}

static void
grow_patterns(sl_arena *arena, scanner *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : 8;

	s->patterns = sl_array_copy(arena, s->patterns, s->n * sizeof(sl_str), cap * sizeof(sl_str));
	s->flags = sl_array_copy(arena, s->flags, s->n * sizeof(uint32_t), cap * sizeof(uint32_t));
	s->owners = sl_array_copy(arena, s->owners, s->n * sizeof(ids), cap * sizeof(ids));
	s->cap = cap;
	/* places all of them again, in a table that stays half empty */
	s->table.mask = cap * 4 - 1;
	s->table.slots = sl_alloc0(arena, cap * 4 * sizeof(uint32_t));
	for (uint32_t i = 0; i < s->n; i++)
	{
		uint32_t at = (uint32_t) pattern_hash(s->patterns[i], s->flags[i]) & s->table.mask;

		while (s->table.slots[at])
			at = (at + 1) & s->table.mask;
		s->table.slots[at] = i + 1;
	}
}

void
sl_scanner_add(sl_arena *arena, scanner *s, sl_str pattern, uint32_t flags, uint32_t owner)
{
	uint32_t at;

	if (s->n == s->cap)
		grow_patterns(arena, s);
	at = (uint32_t) pattern_hash(pattern, flags) & s->table.mask;
	for (; s->table.slots[at]; at = (at + 1) & s->table.mask)
	{
		uint32_t i = s->table.slots[at] - 1;

		if (s->flags[i] == flags && sl_str_eq(s->patterns[i], pattern))
		{
			sl_ids_add(arena, &s->owners[i], owner);
			return;
		}
	}
	s->patterns[s->n] = pattern;
	s->flags[s->n] = flags;
	s->owners[s->n] = (ids){0};
	sl_ids_add(arena, &s->owners[s->n], owner);
	s->table.slots[at] = ++s->n;
}

static void
drop_pattern(sl_arena *arena, scanner *s, uint32_t i, ids *rest)
{
	for (uint32_t k = 0; k < s->owners[i].n; k++)
		sl_ids_add(arena, rest, s->owners[i].v[k]);
	s->n--;
	memmove(s->patterns + i, s->patterns + i + 1, (s->n - i) * sizeof(sl_str));
	memmove(s->flags + i, s->flags + i + 1, (s->n - i) * sizeof(uint32_t));
	memmove(s->owners + i, s->owners + i + 1, (s->n - i) * sizeof(ids));
}

static unsigned
regex_flags(uint32_t flags)
{
	return HS_FLAG_PREFILTER | HS_FLAG_UTF8 | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY |
		   (flags & SL_REGEX_IGNORE_CASE ? HS_FLAG_CASELESS : 0) |
		   (flags & SL_REGEX_MULTILINE ? HS_FLAG_MULTILINE : 0) |
		   (flags & SL_REGEX_DOTALL ? HS_FLAG_DOTALL : 0);
}

/* Counted repetitions beyond this cost the scanner more than they tell it. */
#define MAX_COUNT 32

/* "{150}", "{2,200}" → "{32,}", "{2,}"; *i is at the brace, and moves to its end. */
static void
relax_count(sl_buf *out, sl_str e, size_t *i)
{
	size_t at = *i + 1,
		   bounds[2] = {0, 0};
	int n = 0;

	for (; at < e.n && ((e.p[at] >= '0' && e.p[at] <= '9') || (e.p[at] == ',' && n == 0)); at++)
		if (e.p[at] == ',')
			n++;
		else if (bounds[n] < 100000)
			bounds[n] = bounds[n] * 10 + (size_t) (e.p[at] - '0');
	if (at == *i + 1 || at == e.n || e.p[at] != '}' || (bounds[0] <= MAX_COUNT && bounds[1] <= MAX_COUNT))
		sl_buf_putc(out, '{');
	else
	{
		sl_buf_printf(out, "{%zu,}", bounds[0] < MAX_COUNT ? bounds[0] : (size_t) MAX_COUNT);
		*i = at;
	}
}

/*
 * The expression with large counts relaxed: what it matches is matched still.
 * Where something looks around, that need not be so: such ones stay.
 */
static sl_str
relax(sl_arena *arena, sl_str e)
{
	sl_buf out;
	bool in_class = false;

	sl_buf_init(&out, arena, e.n + 16);
	for (size_t i = 0; i < e.n; i++)
	{
		/* "[:alpha:]" within a class has a bracket that doesn't end it */
		if (e.p[i] == '[' && i + 1 < e.n && e.p[i + 1] == ':')
			return e;
		if (e.p[i] == '\\' && i + 1 < e.n)
		{
			if (e.p[i + 1] == 'Q')
				return e;
			sl_buf_putc(&out, e.p[i++]);
		}
		else if (in_class)
			in_class = e.p[i] != ']';
		else if (e.p[i] == '[')
		{
			/* a bracket that stands first is one of the class */
			in_class = true;
			sl_buf_putc(&out, e.p[i]);
			if (i + 1 < e.n && e.p[i + 1] == '^')
				sl_buf_putc(&out, e.p[++i]);
			if (i + 1 < e.n && e.p[i + 1] == ']')
				sl_buf_putc(&out, e.p[++i]);
			continue;
		}
		else if (e.p[i] == '(' && i + 2 < e.n && e.p[i + 1] == '?' && memchr("=!<#", e.p[i + 2], 4))
			return e;
		else if (e.p[i] == '{')
		{
			relax_count(&out, e, &i);
			continue;
		}
		sl_buf_putc(&out, e.p[i]);
	}
	return (sl_str){out.p, out.n};
}

/* False: the pattern at *bad (or all, where that is n) can't be compiled. */
static bool
compile(const scanner *s, sl_arena *arena, hs_database_t **hs, uint32_t *bad)
{
	const char **texts = sl_alloc(arena, s->n * sizeof(char *));
	unsigned *flags = sl_alloc(arena, s->n * sizeof(unsigned));
	unsigned *numbers = sl_alloc(arena, s->n * sizeof(unsigned));
	hs_compile_error_t *error = NULL;
	hs_error_t result;

	for (uint32_t i = 0; i < s->n; i++)
	{
		sl_str relaxed = relax(arena, s->patterns[i]);

		numbers[i] = i;
		/* they are taken up to their NUL */
		texts[i] = sl_str_copy(arena, relaxed.p, relaxed.n).p;
		flags[i] = regex_flags(s->flags[i]);
	}
	result = hs_compile_multi(texts, flags, numbers, s->n, HS_MODE_STREAM, NULL, hs, &error);
	if (result == HS_SUCCESS)
		return true;
	*bad = error && error->expression >= 0 && (uint32_t) error->expression < s->n ? (uint32_t) error->expression : s->n;
	hs_free_compile_error(error);
	return false;
}

void
sl_scanner_finish(sl_arena *arena, scanner *s, ids *rest)
{
	hs_database_t *hs = NULL;
	char *bytes = NULL;
	size_t n = 0;
	uint32_t bad = UINT32_MAX;

	s->table = (value_table){0};
	if (!s->regex)
	{
		if (s->n > 0)
			sl_grams_build(arena, s);
		return;
	}
	/* together they may be too much, or one of them */
	while (s->n > 0 && (hs_valid_platform() != HS_SUCCESS || !compile(s, arena, &hs, &bad)))
		drop_pattern(arena, s, !hs && bad < s->n ? bad : s->n - 1, rest);
	if (!hs)
		return;
	if (hs_serialize_database(hs, &bytes, &n) == HS_SUCCESS)
	{
		s->database = sl_str_copy(arena, bytes, n);
		free(bytes);
	}
	hs_free_database(hs);
}

bool
sl_scanner_open(sl_arena *arena, scanner *s)
{
	hs_database_t **hs;

	s->hs = NULL;
	if (s->database.n == 0)
		return true;
	hs = sl_alloc0(arena, sizeof(*hs));
	sl_arena_on_reset(arena, free_database, hs);
	if (hs_deserialize_database(s->database.p, s->database.n, hs) != HS_SUCCESS)
		return false;
	s->hs = *hs;
	return true;
}

bool
sl_scanner_scratch(const scanner *s, hs_scratch_t **scratch)
{
	return !s->hs || hs_alloc_scratch(s->hs, scratch) == HS_SUCCESS;
}

void
sl_scratch_free(hs_scratch_t *scratch)
{
	hs_free_scratch(scratch);
}

typedef struct listener
{
	const scanner *s;
	found_fn found;
	void *arg;
} listener;

static int
on_match(unsigned int id, unsigned long long from, unsigned long long to, unsigned int flags, void *context)
{
	const listener *l = context;

	(void) from;
	(void) to;
	(void) flags;
	l->found(l->arg, l->s, id);
	return 0;
}

void
sl_scan(const scanner *s, hs_scratch_t *scratch, sl_str text, found_fn found, void *arg)
{
	listener l = {s, found, arg};
	hs_stream_t *stream;

	if (s->hs && hs_open_stream(s->hs, 0, &stream) == HS_SUCCESS)
	{
		hs_scan_stream(stream, text.p, (unsigned) text.n, 0, scratch, on_match, &l);
		/* closing tells of what is only known at the end */
		hs_close_stream(stream, scratch, on_match, &l);
	}
	else
		/* no memory: each of them may be there */
		for (uint32_t i = 0; i < s->n; i++)
			found(arg, s, i);
}
