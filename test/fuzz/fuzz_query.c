/*
 * fuzz_query.c
 *	  A search of people's: read or refused, within its limits, with a place
 *	  that is in the text.
 */
#include "fuzz.h"

#include "../../src/core/search/query.h"

static int
count(const sl_query *q, int depth)
{
	int n = 1;

	/* a group, what it joins, and NOT */
	CHECK(depth <= 3 * SL_QUERY_DEPTH + 3);
	CHECK((q->kind == SL_QUERY_AND || q->kind == SL_QUERY_OR) == (q->first != NULL && q->first->next != NULL));
	CHECK(q->kind != SL_QUERY_EXISTS || q->field.n > 0);
	CHECK(q->kind != SL_QUERY_TERM || q->value.n > 0);
	for (const sl_query *part = q->first; part; part = part->next)
		n += count(part, depth + 1);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	sl_arena *arena = fuzz_arena();
	char *copy = malloc(n + 1);
	sl_query *query;
	sl_error err;

	memcpy(copy, data, n);
	if (sl_utf8_valid(copy, n))
	{
		if (sl_query_read((sl_str){copy, n}, arena, &query, &err))
			CHECK(count(query, 0) <= SL_QUERY_PARTS);
		else
			CHECK(err.message[0] && err.hint[0] && err.col >= 1 && (size_t) err.col <= n + 1);
	}
	free(copy);
	return 0;
}
