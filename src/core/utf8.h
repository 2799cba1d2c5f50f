/*
 * utf8.h
 *	  UTF-8: validity, repair, simple case folding.
 */
#ifndef SL_UTF8_H
#define SL_UTF8_H

#include "arena.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/* True when s is valid UTF-8 and holds no NUL, so that text can hold it. */
	extern bool sl_utf8_valid(const char *p, size_t n);

	/* s with each invalid sequence and each NUL replaced by U+FFFD. */
	extern sl_str sl_utf8_repair(sl_arena *arena, const char *p, size_t n);

	/* The most bytes of p[0 .. n), up to limit, that don't end within a character. */
	extern size_t sl_utf8_cut(const char *p, size_t n, size_t limit);

	/* Decodes one code point of valid UTF-8 at p; *len gets its bytes. */
	extern uint32_t sl_utf8_get(const char *p, size_t n, int *len);

	/* Encodes cp at p (4 bytes of room); returns the bytes written. */
	extern int sl_utf8_put(char *p, uint32_t cp);

	/* s folded for comparison without regard to case; s itself if nothing changes. */
	extern sl_str sl_fold(sl_arena *arena, sl_str s);

	/* Bytes of the character that starts with this byte. */
	static inline int
	sl_utf8_len(unsigned char c)
	{
		return c < 0x80 ? 1 : c < 0xE0 ? 2
						  : c < 0xF0   ? 3
									   : 4;
	}

#ifdef __cplusplus
}
#endif
#endif /* SL_UTF8_H */
