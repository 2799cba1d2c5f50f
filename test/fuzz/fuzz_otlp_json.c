/*
 * fuzz_otlp_json.c
 *	  OTLP's JSON encoding.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	sl_arena *arena = fuzz_arena();
	sl_records records = {0};
	sl_error err;
	char *copy;

	if (fuzz_decode(SL_OTLP_JSON, data, n, arena, &records, &err, &copy))
		check_records(arena, &records);
	free(copy);
	return 0;
}
