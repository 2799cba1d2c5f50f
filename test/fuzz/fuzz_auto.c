/*
 * fuzz_auto.c
 *	  Any bytes, by "auto"; and as text, which takes all of them.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	sl_arena *arena = fuzz_arena();
	sl_records records = {0},
			   text = {0};
	sl_error err;
	char *copy;
	bool done = fuzz_decode(SL_AUTO, data, n, arena, &records, &err, &copy);

	if (done)
		check_records(arena, &records);
	else
		CHECK(n == 0 || !sl_utf8_valid(copy, n));
	CHECK(sl_decode(SL_TEXT, copy, n, arena, &text, &err) == (n > 0));
	check_records(arena, &text);
	free(copy);
	return 0;
}
