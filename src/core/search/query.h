/*
 * query.h
 *	  What a person types to find logs: a subset of Lucene's syntax.
 *
 *		error_code:PRICE_MISSING AND service:order-*
 *		"connection refused" -level:debug http.status_code:[500 TO 599]
 *
 * Words beside one another must all be found, as with AND.  docs/search.md
 * has the whole of it.  What of Lucene's is left out (~, ^, /…/) is refused:
 * nothing means something else here than there.
 */
#ifndef SL_QUERY_H
#define SL_QUERY_H

#include "../arena.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef enum sl_query_kind
	{
		SL_QUERY_ALL, /* every record: * or nothing */
		SL_QUERY_AND, /* of all parts */
		SL_QUERY_OR,
		SL_QUERY_NOT,	  /* of the first part */
		SL_QUERY_TERM,	  /* value */
		SL_QUERY_PHRASE,  /* value, as one text */
		SL_QUERY_PATTERN, /* value with * and ?; what stands behind \ is itself */
		SL_QUERY_RANGE,	  /* low, high */
		SL_QUERY_EXISTS	  /* the field has a value */
	} sl_query_kind;

	/* An end of a range; no text: none. */
	typedef struct sl_query_end
	{
		sl_str text;
		bool included;
	} sl_query_end;

	typedef struct sl_query
	{
		sl_query_kind kind;
		sl_str field; /* empty: where a word may stand */
		sl_str value;
		sl_query_end low;
		sl_query_end high;
		struct sl_query *first; /* parts */
		struct sl_query *next;	/* in the list that it is part of */
	} sl_query;

	/* Parts in one query, and how deep they may be in one another. */
#define SL_QUERY_PARTS 1000
#define SL_QUERY_DEPTH 100

	/*
	 * Reads a query; false and why (err->col counts characters) when it isn't
	 * one.  The text must be UTF-8 and live as long as the result.
	 */
	extern bool sl_query_read(sl_str text, sl_arena *arena, sl_query **result, sl_error *err);

#ifdef __cplusplus
}
#endif
#endif /* SL_QUERY_H */
