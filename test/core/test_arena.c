/*
 * test_arena.c
 *	  The arena, growing strings, JSON strings and error texts.
 */
#include "tap.h"
#include "../../src/core/utf8.h"

#include <setjmp.h>

static jmp_buf jump;
static size_t wanted_then;

static void
jump_out(sl_arena *arena, size_t wanted)
{
	(void) arena;
	wanted_then = wanted;
	longjmp(jump, 1);
}

static void
count_up(void *what)
{
	(*(int *) what)++;
}

static void
test_blocks(void)
{
	sl_arena arena;
	char *first,
		*p;
	size_t held;
	bool aligned = true;

	sl_arena_init(&arena, 0, tap_out_of_memory);
	first = sl_alloc(&arena, 1);
	for (size_t size = 0; size < 300; size++)
	{
		p = sl_alloc(&arena, size);
		aligned = aligned && (uintptr_t) p % 16 == 0;
		memset(p, 0xAA, size);
	}
	ok(aligned, "memory is aligned to 16 bytes");
	for (int i = 0; i < 100; i++)
		memset(sl_alloc(&arena, 100000), 0x55, 100000);
	ok(arena.held >= 100 * 100000, "held counts the blocks");
	sl_arena_reset(&arena);
	ok(arena.held > 0 && arena.held <= 1024 * 1024, "a reset keeps one block");
	held = arena.held;
	sl_alloc(&arena, 1000);
	ok(arena.held == held, "and fills it again without asking for more");
	memset(sl_alloc(&arena, 5 * 1024 * 1024), 1, 5 * 1024 * 1024);
	sl_arena_reset(&arena);
	is_int(arena.held, 0, "a block above the usual size isn't kept");
	sl_arena_free(&arena);
	sl_arena_free(&arena);
	is_int(arena.held, 0, "freed, twice");
	(void) first;
}

static void
test_limit(void)
{
	sl_arena arena;
	int runs = 0;

	sl_arena_init(&arena, 256 * 1024, jump_out);
	if (setjmp(jump) == 0)
	{
		for (;;)
			sl_alloc(&arena, 1000);
	}
	ok(arena.held <= 256 * 1024 && wanted_then == 1000, "the limit holds and the hook is told what was wanted");
	sl_arena_reset(&arena);
	wanted_then = 0;
	if (setjmp(jump) == 0)
		sl_alloc(&arena, SIZE_MAX - 5);
	ok(wanted_then == SIZE_MAX - 5, "a size that overflows is out of memory");

	sl_arena_on_reset(&arena, count_up, &runs);
	if (setjmp(jump) == 0)
		sl_alloc(&arena, 1024 * 1024);
	is_int(runs, 0, "nothing is given back while the arena lives");
	sl_arena_reset(&arena);
	sl_arena_reset(&arena);
	is_int(runs, 1, "a reset gives back what hangs on the arena, once");
	sl_arena_on_reset(&arena, count_up, &runs);
	sl_arena_on_reset(&arena, count_up, &runs);
	sl_arena_free(&arena);
	is_int(runs, 3, "so does freeing it");
}

static void
test_buf(void)
{
	sl_arena *arena = tap_arena();
	sl_buf buf;
	size_t n = 0;

	sl_buf_init(&buf, arena, 0);
	is(B(&buf), "", "a new string is empty");
	for (int i = 0; i < 1000; i++)
	{
		sl_buf_putc(&buf, 'x');
		sl_buf_puts(&buf, "yz");
		sl_buf_printf(&buf, "%d", 7);
		n += 4;
	}
	ok(buf.n == n && buf.p[n] == '\0' && strlen(buf.p) == n && buf.p[n - 1] == '7', "it grows");
	is(sl_strf(arena, "%s-%03d", "a", 5), "a-005", "sl_strf");
	is(sl_str_copy(arena, NULL, 0), "", "a copy of nothing");

	sl_buf_init(&buf, arena, 16);
	sl_buf_json_string(&buf, S("a\"b\\c\n\r\t\x01\x1f\x7f\xC3\xA4"));
	is(B(&buf), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\x7f\xC3\xA4\"", "JSON string");
	sl_buf_init(&buf, arena, 16);
	sl_buf_json_string(&buf, (sl_str){NULL, 0});
	is(B(&buf), "\"\"", "JSON string of nothing");
}

static void
test_errors(void)
{
	sl_error err = {0};
	char long_text[2000];
	bool whole = true;

	ok(!sl_fail(&err, SL_SYNTAX, "no %s", "way"), "sl_fail is false");
	is(S(err.message), "no way", "its message");
	sl_error_detail(&err, "d%d", 1);
	sl_error_hint(&err, "h%d", 2);
	ok(strcmp(err.detail, "d1") == 0 && strcmp(err.hint, "h2") == 0, "detail and hint");
	sl_fail(&err, SL_SYNTAX, "again");
	ok(err.detail[0] == '\0' && err.hint[0] == '\0', "the next failure forgets them");

	/* a message that is cut must stay UTF-8: clients get it */
	for (int shift = 0; shift < 4; shift++)
	{
		memset(long_text, 'x', sizeof(long_text));
		for (size_t i = (size_t) shift; i + 4 < sizeof(long_text) - 1; i += 4)
			memcpy(long_text + i, "\xF0\x9F\x98\x80", 4);
		long_text[sizeof(long_text) - 1] = '\0';
		sl_fail(&err, SL_SYNTAX, "%s", long_text);
		sl_error_detail(&err, "%s", long_text);
		sl_error_hint(&err, "%.*s", SL_STR_FMT(S(long_text)));
		whole = whole && sl_utf8_valid(err.message, strlen(err.message)) &&
				sl_utf8_valid(err.detail, strlen(err.detail)) &&
				sl_utf8_valid(err.hint, strlen(err.hint)) && strlen(err.message) > 300;
	}
	ok(whole, "texts that are too long are cut between characters");
}

int
main(void)
{
	test_blocks();
	test_limit();
	test_buf();
	test_errors();
	sl_arena_free(tap_arena());
	return tap_done();
}
