/*
 * arena.c
 *	  Arena, growing string and error text of src/core.
 *
 * Blocks double from 64 kB to 1 MB; a reset keeps the newest block, so a
 * worker in its steady state calls malloc no more.
 */
#include "arena.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>

struct sl_arena_block
{
	sl_arena_block *older;
	size_t size; /* of the whole block, this header included */
};

#define BLOCK_HEADER ((sizeof(sl_arena_block) + 15) & ~(size_t) 15)
#define BLOCK_MIN ((size_t) 64 * 1024)
#define BLOCK_MAX ((size_t) 1024 * 1024)

void
sl_arena_init(sl_arena *arena, size_t limit,
			  void (*out_of_memory)(sl_arena *arena, size_t wanted))
{
	memset(arena, 0, sizeof(*arena));
	arena->limit = limit;
	arena->out_of_memory = out_of_memory;
}

static void
free_blocks(sl_arena *arena, sl_arena_block *block)
{
	while (block)
	{
		sl_arena_block *older = block->older;

		arena->held -= block->size;
		free(block);
		block = older;
	}
}

void
sl_arena_on_reset(sl_arena *arena, void (*run)(void *what), void *what)
{
	sl_cleanup *cleanup = sl_alloc(arena, sizeof(*cleanup));

	*cleanup = (sl_cleanup){arena->cleanups, run, what};
	arena->cleanups = cleanup;
}

static void
run_cleanups(sl_arena *arena)
{
	for (; arena->cleanups; arena->cleanups = arena->cleanups->next)
		arena->cleanups->run(arena->cleanups->what);
}

void
sl_arena_reset(sl_arena *arena)
{
	sl_arena_block *keep = arena->head;

	run_cleanups(arena);
	if (keep && keep->size > BLOCK_MAX)
	{
		sl_arena_free(arena);
		return;
	}
	if (keep)
	{
		free_blocks(arena, keep->older);
		keep->older = NULL;
		arena->next = (char *) keep + BLOCK_HEADER;
		arena->end = (char *) keep + keep->size;
	}
}

void
sl_arena_free(sl_arena *arena)
{
	run_cleanups(arena);
	free_blocks(arena, arena->head);
	arena->head = NULL;
	arena->next = arena->end = NULL;
}

static void
no_memory(sl_arena *arena, size_t wanted)
{
	if (arena->out_of_memory)
		arena->out_of_memory(arena, wanted);
	abort();
}

/* The slow half of sl_alloc: takes a new block. */
void *
sl_arena_grow(sl_arena *arena, size_t size)
{
	size_t rounded = (size + 15) & ~(size_t) 15;
	size_t block_size = arena->head ? arena->head->size * 2 : BLOCK_MIN;
	sl_arena_block *block;
	char *p;

	if (rounded < size || rounded > SIZE_MAX / 2)
		no_memory(arena, size);
	if (block_size > BLOCK_MAX)
		block_size = BLOCK_MAX;
	if (block_size < rounded + BLOCK_HEADER)
		block_size = rounded + BLOCK_HEADER;
	if (arena->limit && arena->held + block_size > arena->limit)
		no_memory(arena, size);
	block = malloc(block_size);
	if (!block)
		no_memory(arena, size);
	block->size = block_size;
	block->older = arena->head;
	arena->head = block;
	arena->held += block_size;
	p = (char *) block + BLOCK_HEADER;
	arena->next = p + rounded;
	arena->end = (char *) block + block_size;
	return p;
}

sl_str
sl_str_copy(sl_arena *arena, const char *p, size_t n)
{
	char *copy = sl_alloc(arena, n + 1);

	if (n)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return (sl_str){copy, n};
}

sl_str
sl_strf(sl_arena *arena, const char *format, ...)
{
	va_list args;
	char probe[1];
	int n;
	char *p;

	va_start(args, format);
	n = vsnprintf(probe, sizeof(probe), format, args);
	va_end(args);
	p = sl_alloc(arena, (size_t) n + 1);
	va_start(args, format);
	vsnprintf(p, (size_t) n + 1, format, args);
	va_end(args);
	return (sl_str){p, (size_t) n};
}

void
sl_buf_init(sl_buf *buf, sl_arena *arena, size_t cap)
{
	buf->arena = arena;
	buf->cap = cap < 16 ? 16 : cap;
	buf->p = sl_alloc(arena, buf->cap);
	buf->n = 0;
	buf->p[0] = '\0';
}

void
sl_buf_reserve(sl_buf *buf, size_t more)
{
	size_t cap = buf->cap;
	char *p;

	if (buf->n + more + 1 <= cap)
		return;
	while (cap < buf->n + more + 1)
		cap *= 2;
	p = sl_alloc(buf->arena, cap);
	memcpy(p, buf->p, buf->n + 1);
	buf->p = p;
	buf->cap = cap;
}

void
sl_buf_add(sl_buf *buf, const char *p, size_t n)
{
	if (n == 0)
		return;
	sl_buf_reserve(buf, n);
	memcpy(buf->p + buf->n, p, n);
	buf->n += n;
	buf->p[buf->n] = '\0';
}

void
sl_buf_puts(sl_buf *buf, const char *s)
{
	sl_buf_add(buf, s, strlen(s));
}

void
sl_buf_printf(sl_buf *buf, const char *format, ...)
{
	va_list args;
	char probe[1];
	int n;

	va_start(args, format);
	n = vsnprintf(probe, sizeof(probe), format, args);
	va_end(args);
	sl_buf_reserve(buf, (size_t) n);
	va_start(args, format);
	vsnprintf(buf->p + buf->n, (size_t) n + 1, format, args);
	va_end(args);
	buf->n += (size_t) n;
}

/* Appends s as a JSON string.  s is valid UTF-8 without NUL (see utf8.h). */
/* A multiple of sixteen bytes that JSON takes as they are. */
static size_t
plain_bytes(const char *p, size_t n)
{
	size_t i = 0;
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'),
				  backslash = _mm_set1_epi8('\\'),
				  control = _mm_set1_epi8(0x1f);

	for (; n - i >= 16; i += 16)
	{
		__m128i bytes = _mm_loadu_si128((const __m128i *) (p + i));
		__m128i special = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
									   _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));

		if (_mm_movemask_epi8(special))
			break;
	}
#endif
	return i;
}

void
sl_buf_json_string(sl_buf *buf, sl_str s)
{
	static const char hex[] = "0123456789abcdef";
	size_t i,
		from = 0;

	sl_buf_reserve(buf, s.n + 2);
	sl_buf_putc(buf, '"');
	for (i = 0; i < s.n; i++)
	{
		unsigned char c;

		i += plain_bytes(s.p + i, s.n - i);
		if (i == s.n)
			break;
		c = (unsigned char) s.p[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		sl_buf_add(buf, s.p + from, i - from);
		from = i + 1;
		sl_buf_putc(buf, '\\');
		switch (c)
		{
			case '"':
			case '\\':
				sl_buf_putc(buf, (char) c);
				break;
			case '\n':
				sl_buf_putc(buf, 'n');
				break;
			case '\r':
				sl_buf_putc(buf, 'r');
				break;
			case '\t':
				sl_buf_putc(buf, 't');
				break;
			default:
				sl_buf_add(buf, "u00", 3);
				sl_buf_putc(buf, hex[c >> 4]);
				sl_buf_putc(buf, hex[c & 15]);
				break;
		}
	}
	sl_buf_add(buf, s.p + from, s.n - from);
	sl_buf_putc(buf, '"');
}

void
sl_format_text(char *out, size_t size, const char *format, va_list args)
{
	int n = vsnprintf(out, size, format, args);

	if (n >= (int) size)
		out[sl_utf8_cut(out, size - 1, size - 2)] = '\0';
}

bool
sl_fail(sl_error *err, const char *sqlstate, const char *format, ...)
{
	va_list args;

	err->sqlstate = sqlstate;
	err->detail[0] = err->hint[0] = '\0';
	va_start(args, format);
	sl_format_text(err->message, sizeof(err->message), format, args);
	va_end(args);
	return false;
}

void
sl_error_detail(sl_error *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	sl_format_text(err->detail, sizeof(err->detail), format, args);
	va_end(args);
}

void
sl_error_hint(sl_error *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	sl_format_text(err->hint, sizeof(err->hint), format, args);
	va_end(args);
}
