/*
 * fuzz_json.c
 *	  Plain JSON, with jansson as the oracle of what is JSON.
 *
 * Allowed differences: we mend invalid UTF-8, lone surrogates and \u0000,
 * keep numbers out of range as their digits (both noted in the record), take
 * one object a line and a byte order mark, and refuse what isn't an object
 * or an array of objects, and what is nested too deep.  Bytes of NUL are not
 * compared: jansson passes over one that follows a number.
 */
#include "fuzz.h"

#include <jansson.h>

static bool
holds_records(const json_t *root)
{
	if (json_is_object(root))
		return true;
	if (!json_is_array(root))
		return false;
	for (size_t i = 0; i < json_array_size(root); i++)
		if (!json_is_object(json_array_get(root, i)))
			return false;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	sl_arena *arena = fuzz_arena();
	sl_records records = {0};
	sl_error err;
	char *copy;
	bool done = fuzz_decode(SL_JSON, data, n, arena, &records, &err, &copy);
	json_error_t json_error;
	bool ask = !memchr(copy, '\0', n);
	json_t *root = ask ? json_loadb(copy, n, JSON_DECODE_ANY, &json_error) : NULL;
	uint32_t notes = 0;

	if (done)
		check_records(arena, &records);
	for (size_t i = 0; i < records.n; i++)
		notes |= records.v[i].notes;
	if (root && holds_records(root))
		CHECK(done || strcmp(err.sqlstate, SL_TOO_COMPLEX) == 0);
	if (root && holds_records(root) && done)
		CHECK(records.n == (json_is_object(root) ? 1 : json_array_size(root)));
	if (ask && done && !root && !(notes & (SL_NOTE_TEXT | SL_NOTE_NUMBER)) && !memchr(copy, '\n', n) &&
		!(n >= 3 && memcmp(copy, "\xEF\xBB\xBF", 3) == 0))
	{
		fprintf(stderr, "jansson says: %s\n", json_error.text);
		CHECK(root);
	}
	json_decref(root);
	free(copy);
	return 0;
}
