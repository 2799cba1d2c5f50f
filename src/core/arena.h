/*
 * arena.h
 *	  The memory of src/core: a bump allocator that is reset as a whole.
 *
 * Whoever owns an arena says what happens when memory runs out: the hook is
 * called and must not return (the server raises an error, a command line
 * tool exits).  So no caller in core tests an allocation for NULL.
 */
#ifndef SL_ARENA_H
#define SL_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C"
{
#endif

	typedef struct sl_arena_block sl_arena_block;

	/* What must be given back when the arena is: a foreign library's memory. */
	typedef struct sl_cleanup
	{
		struct sl_cleanup *next;
		void (*run)(void *what);
		void *what;
	} sl_cleanup;

	typedef struct sl_arena
	{
		sl_arena_block *head; /* the block that is being filled */
		char *next;			  /* first free byte of it */
		char *end;			  /* one past its last byte */
		size_t held;		  /* bytes obtained from malloc */
		size_t limit;		  /* refuse to hold more than this; 0 = none */
		sl_cleanup *cleanups;
		void (*out_of_memory)(struct sl_arena *arena, size_t wanted);
	} sl_arena;

	/* A slice of bytes; never NUL terminated unless its maker says so. */
	typedef struct sl_str
	{
		const char *p;
		size_t n;
	} sl_str;

#define SL_STR(literal) ((sl_str){(literal), sizeof(literal) - 1})
#define SL_STR_FMT(s) (int) ((s).n > 1000 ? 1000 : (s).n), (s).p

	extern void sl_arena_init(sl_arena *arena, size_t limit,
							  void (*out_of_memory)(sl_arena *arena, size_t wanted));
	extern void sl_arena_reset(sl_arena *arena);
	extern void sl_arena_free(sl_arena *arena);
	extern void *sl_arena_grow(sl_arena *arena, size_t size);

	/*
 * Has run(what) called when the arena is reset or freed, so that what a
 * library holds isn't lost when the out_of_memory hook jumps over its user.
 * It is called in any case: run must bear it when the work is done already.
 */
	extern void sl_arena_on_reset(sl_arena *arena, void (*run)(void *what), void *what);

	/* Uninitialised memory, aligned for any object. */
	static inline void *
	sl_alloc(sl_arena *arena, size_t size)
	{
		size_t rounded = (size + 15) & ~(size_t) 15;

		if (rounded >= size && (size_t) (arena->end - arena->next) >= rounded)
		{
			void *p = arena->next;

			arena->next += rounded;
			return p;
		}
		return sl_arena_grow(arena, size);
	}

	static inline void *
	sl_alloc0(sl_arena *arena, size_t size)
	{
		return memset(sl_alloc(arena, size), 0, size);
	}

	/* An array as a larger one of size bytes, of which the first used are copied. */
	static inline void *
	sl_array_copy(sl_arena *arena, const void *v, size_t used, size_t size)
	{
		void *larger = sl_alloc(arena, size);

		if (used)
			memcpy(larger, v, used);
		return larger;
	}

/*
 * Makes room for one more in an array v of n elements, of cap that are
 * allocated: twice as many, at least so many.  The old one stays in the arena.
 */
#define SL_ROOM(arena, v, n, cap, least)                                                          \
	do                                                                                            \
	{                                                                                             \
		if ((n) == (cap))                                                                         \
		{                                                                                         \
			(cap) = (cap) ? (cap) *2 : (least);                                                   \
			(v) = sl_array_copy((arena), (v), (n) * sizeof(*(v)), (size_t) (cap) * sizeof(*(v))); \
		}                                                                                         \
	} while (0)

	static inline bool
	sl_str_eq(sl_str a, sl_str b)
	{
		return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
	}

	static inline bool
	sl_str_is(sl_str a, const char *literal)
	{
		size_t n = strlen(literal);

		return a.n == n && memcmp(a.p, literal, n) == 0;
	}

	static inline bool
	sl_str_starts(sl_str a, const char *literal)
	{
		size_t n = strlen(literal);

		return a.n >= n && memcmp(a.p, literal, n) == 0;
	}

	extern sl_str sl_str_copy(sl_arena *arena, const char *p, size_t n);
	extern sl_str sl_strf(sl_arena *arena, const char *format, ...)
		__attribute__((format(printf, 2, 3)));

	/* A string that grows; always NUL terminated. */
	typedef struct sl_buf
	{
		sl_arena *arena;
		char *p;
		size_t n;
		size_t cap;
	} sl_buf;

	extern void sl_buf_init(sl_buf *buf, sl_arena *arena, size_t cap);
	extern void sl_buf_reserve(sl_buf *buf, size_t more);
	extern void sl_buf_add(sl_buf *buf, const char *p, size_t n);
	extern void sl_buf_puts(sl_buf *buf, const char *s);
	extern void sl_buf_printf(sl_buf *buf, const char *format, ...)
		__attribute__((format(printf, 2, 3)));
	extern void sl_buf_json_string(sl_buf *buf, sl_str s);

	static inline void
	sl_buf_putc(sl_buf *buf, char c)
	{
		if (buf->n + 1 >= buf->cap)
			sl_buf_reserve(buf, 1);
		buf->p[buf->n++] = c;
		buf->p[buf->n] = '\0';
	}

	/*
 * What went wrong, in the words a user sees.  The one place that turns it
 * into ereport is src/error.c; command line tools print it.
 */
	typedef struct sl_error
	{
		const char *sqlstate; /* five characters, static */
		char message[320];
		char detail[320];
		char hint[320];
		int line; /* from 1; 0 = unknown */
		int col;  /* from 1, in characters */
	} sl_error;

	/* vsnprintf that leaves no half character at the end of what it had to cut. */
	extern void sl_format_text(char *out, size_t size, const char *format, va_list args)
		__attribute__((format(printf, 3, 0)));

	/* Always false, so that callers can "return sl_fail(...)". */
	extern bool sl_fail(sl_error *err, const char *sqlstate, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	extern void sl_error_detail(sl_error *err, const char *format, ...)
		__attribute__((format(printf, 2, 3)));
	extern void sl_error_hint(sl_error *err, const char *format, ...)
		__attribute__((format(printf, 2, 3)));

#define SL_SYNTAX "42601"
#define SL_INVALID_PARAMETER "22023"
#define SL_INVALID_TEXT "22P02"
#define SL_NOT_SUPPORTED "0A000"
#define SL_TOO_COMPLEX "54001"
#define SL_LIMIT_EXCEEDED "54000"
#define SL_DUPLICATE_OBJECT "42710"
#define SL_UNDEFINED_OBJECT "42704"

#ifdef __cplusplus
}
#endif
#endif /* SL_ARENA_H */
