/*
 * tap.h
 *	  The little that the unit tests share: TAP lines, and text to arenas.
 *
 * A test is a plain program; include this once.
 */
#ifndef SL_TAP_H
#define SL_TAP_H

#include "../../src/core/arena.h"

#include <stdio.h>
#include <stdlib.h>

static int tap_count;
static int tap_failed;

#define ok(condition, ...) tap_ok((condition), __FILE__, __LINE__, __VA_ARGS__)
#define is(got, want, ...) tap_is((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) tap_is_int((long long) (got), (long long) (want), __FILE__, __LINE__, __VA_ARGS__)

static inline bool
tap_ok(bool condition, const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", condition ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!condition)
	{
		tap_failed++;
		printf("# failed at %s:%d\n", file, line);
	}
	return condition;
}

static inline bool
tap_is(sl_str got, const char *want, const char *file, int line, const char *format, ...)
{
	bool same = want ? got.p && sl_str_is(got, want) : !got.p;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!tap_ok(same, file, line, "%s", text))
		printf("# got \"%.*s\", wanted \"%s\"\n", SL_STR_FMT(got), want ? want : "(nothing)");
	return same;
}

static inline bool
tap_is_int(long long got, long long want, const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!tap_ok(got == want, file, line, "%s", text))
		printf("# got %lld, wanted %lld\n", got, want);
	return got == want;
}

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

static inline sl_str
S(const char *s)
{
	return (sl_str){s, strlen(s)};
}

static inline sl_str
B(const sl_buf *buf)
{
	return (sl_str){buf->p, buf->n};
}

static inline void
tap_out_of_memory(sl_arena *arena, size_t wanted)
{
	printf("Bail out! out of memory: %zu held, %zu wanted\n", arena->held, wanted);
	exit(1);
}

/* The one arena of a test; what must see a limit makes its own. */
static inline sl_arena *
tap_arena(void)
{
	static sl_arena arena;

	if (!arena.out_of_memory)
		sl_arena_init(&arena, (size_t) 2 * 1024 * 1024 * 1024, tap_out_of_memory);
	return &arena;
}

#endif /* SL_TAP_H */
