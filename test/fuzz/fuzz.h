/*
 * fuzz.h
 *	  What the fuzz targets share: a limited arena, and what must hold of every record.
 */
#ifndef SL_FUZZ_H
#define SL_FUZZ_H

#include "../../src/core/decode/decode.h"
#include "../../src/core/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* Inputs are small (run.sh): an arena that grows past this is a finding. */
#define FUZZ_MEMORY ((size_t) 256 * 1024 * 1024)

#define CHECK(condition)                                                            \
	do                                                                              \
	{                                                                               \
		if (!(condition))                                                           \
		{                                                                           \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                           \
	} while (0)

static inline void
fuzz_out_of_memory(sl_arena *arena, size_t wanted)
{
	fprintf(stderr, "%zu bytes are held, %zu more were wanted\n", arena->held, wanted);
	abort();
}

static inline sl_arena *
fuzz_arena(void)
{
	static sl_arena arena;

	if (!arena.out_of_memory)
		sl_arena_init(&arena, FUZZ_MEMORY, fuzz_out_of_memory);
	sl_arena_reset(&arena);
	return &arena;
}

static inline void
check_error(const sl_error *err)
{
	CHECK(err->sqlstate && strlen(err->sqlstate) == 5 && err->message[0]);
	CHECK(sl_utf8_valid(err->message, strlen(err->message)));
	CHECK(sl_utf8_valid(err->detail, strlen(err->detail)));
	CHECK(sl_utf8_valid(err->hint, strlen(err->hint)));
}

/* A record is shown as JSON that is UTF-8 and that reads as one record. */
static inline void
check_records(sl_arena *arena, const sl_records *records)
{
	for (size_t i = 0; i < records->n; i++)
	{
		const sl_record *record = &records->v[i];
		sl_records again = {0};
		sl_error err;
		sl_buf shown;

		CHECK(record->severity >= 0 && record->severity <= 24);
		CHECK(record->timestamp >= 0 && record->observed >= 0);
		sl_buf_init(&shown, arena, 256);
		sl_record_json(&shown, record);
		CHECK(sl_utf8_valid(shown.p, shown.n));
		CHECK(sl_decode(SL_JSON, shown.p, shown.n, arena, &again, &err) && again.n == 1);
	}
}

/* Decodes a copy of exactly its size, so that reading past it is caught. */
static inline bool
fuzz_decode(sl_format format, const uint8_t *data, size_t n, sl_arena *arena,
			sl_records *records, sl_error *err, char **copy)
{
	bool done;

	*copy = malloc(n ? n : 1);
	memcpy(*copy, data, n);
	done = sl_decode(format, *copy, n, arena, records, err);
	if (!done)
	{
		CHECK(records->n == 0);
		check_error(err);
	}
	return done;
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif /* SL_FUZZ_H */
