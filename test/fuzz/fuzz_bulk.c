/*
 * fuzz_bulk.c
 *	  What a server answers to a bulk: read as so many items, or refused. And
 *	  its records as documents, which must be JSON.
 */
#include "fuzz.h"

#include "../../src/core/decode/decode.h"
#include "../../src/core/node.h"
#include "../../src/core/sink/bulk.h"
#include "../../src/core/sink/document.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	sl_arena *arena = fuzz_arena();
	sl_bulk_item items[3];
	sl_records records = {0};
	sl_document_origin origin;
	sl_error err;
	char text[100];

	if (sl_bulk_read((const char *) data, n, arena, items, 3, &err))
		for (int i = 0; i < 3; i++)
			CHECK(items[i].verdict <= SL_REFUSED && (items[i].verdict != SL_REFUSED || (items[i].status >= 400 && items[i].status < 500)) &&
				  (items[i].verdict != SL_INDEXED || (items[i].status >= 200 && items[i].status < 300) || items[i].status == 409));
	sl_bulk_error((const char *) data, n, arena, text, sizeof(text));
	CHECK(strlen(text) < sizeof(text));
	if (!sl_decode(SL_AUTO, (const char *) data, n, arena, &records, &err))
		return 0;
	sl_document_origin_init(&origin, arena, "incarnation", "source \"x\"", "topic");
	for (size_t i = 0; i < records.n && i < 20; i++)
	{
		sl_documents documents = {0};
		sl_buf json;

		sl_buf_init(&json, arena, 64);
		sl_document_json(&json, &origin, &records.v[i], 1);
		CHECK(memchr(json.p, '\n', json.n) == NULL);
		CHECK(json.n > SL_DOCUMENT_MAX || sl_read_json(json.p, json.n, arena, &documents, &err) || strcmp(err.sqlstate, SL_SYNTAX) != 0);
	}
	return 0;
}
