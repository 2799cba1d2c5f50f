/*
 * bulk.h
 *	  What Elasticsearch and OpenSearch answer to a bulk of documents, item by
 *	  item.
 */
#ifndef SL_BULK_H
#define SL_BULK_H

#include "../arena.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef enum sl_verdict
	{
		SL_INDEXED,	  /* it is there, now or since an earlier try */
		SL_RETRY,	  /* not now: the cluster's doing */
		SL_FORBIDDEN, /* not with these rights: the same again, once they are given */
		SL_REFUSED	  /* never: the document's doing */
	} sl_verdict;

	typedef struct sl_bulk_item
	{
		sl_verdict verdict;
		int status;
		sl_str type;   /* of the error; empty where there is none */
		sl_str reason; /* with its causes */
	} sl_bulk_item;

	/*
	 * Reads the answer to a bulk of n documents; false where it isn't one, or
	 * doesn't speak of as many.  Texts are in the arena.
	 */
	extern bool sl_bulk_read(const char *answer, size_t length, sl_arena *arena, sl_bulk_item *items, size_t n, sl_error *err);

	/* What the error of a request as a whole says, cut to fit; "" where it says nothing. */
	extern void sl_bulk_error(const char *answer, size_t length, sl_arena *arena, char *text, size_t size);

	/* The error type that more than half of many items were refused for; empty where there is none. */
	extern sl_str sl_bulk_common_refusal(const sl_bulk_item *items, size_t n);

	/* Fewer refused documents than these are set aside, however large a part they are. */
#define SL_BULK_MANY 20

#ifdef __cplusplus
}
#endif
#endif /* SL_BULK_H */
