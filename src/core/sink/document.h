/*
 * document.h
 *	  A record as the document that a search engine keeps.
 *
 *		{"timestamp": …, "observed_timestamp": …, "severity_number": …, "level": …,
 *		 "message": …, "service": …, …, "attributes": {…}, "resource": {…},
 *		 "source": …}
 *
 * Its id follows from where the record came from, so that one that is sent
 * twice is one document; the index from its time.
 */
#ifndef SL_DOCUMENT_H
#define SL_DOCUMENT_H

#include "../record.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/* Where a record came from. */
	typedef struct sl_place
	{
		int32_t partition;
		int64_t number;	 /* offset of its message, id of its row */
		int64_t arrived; /* ns since 1970: when Kafka, or the inbox, took it in */
		uint32_t index;	 /* among the records of its message, from 0 */
	} sl_place;

	/* What the records of one source have in common. */
	typedef struct sl_document_origin
	{
		uint64_t seed[2];
		sl_str source; /* its name as a JSON string */
	} sl_document_origin;

#define SL_DOCUMENT_ID 22 /* characters */

	/* topic: "" for a source without one.  The arena must outlive the result. */
	extern void sl_document_origin_init(sl_document_origin *origin, sl_arena *arena, const char *incarnation,
										const char *source, const char *topic);

	/* The id, and a NUL. */
	extern void sl_document_id(char id[SL_DOCUMENT_ID + 1], const sl_document_origin *origin, const sl_place *place);

	extern void sl_document_json(sl_buf *out, const sl_document_origin *origin, const sl_record *record, int64_t arrived);

	/*
	 * Names of indices: a text in which %Y, %m and %d stand for parts of a day
	 * (UTC).
	 */
#define SL_INDEX_MAX 255

	extern bool sl_index_pattern_check(sl_str pattern, sl_error *err);

	/* days since 1970; the name ends with a NUL.  The pattern was checked. */
	extern void sl_index_name(char name[SL_INDEX_MAX + 1], const char *pattern, int64_t day);

	/* Does it name a day?  If not, all documents go to one index (or a data stream). */
	extern bool sl_index_pattern_has_day(const char *pattern);

	/* The day of an index that the pattern gave its name; false where it isn't one. */
	extern bool sl_index_day(const char *pattern, const char *name, int64_t *day);

	/* What its indices have in common at their beginning, with * for the rest. */
	extern void sl_index_wildcard(char wildcard[SL_INDEX_MAX + 2], const char *pattern);

	/*
	 * The day whose index a record belongs to: its own, where that lies within
	 * [arrival - keep, arrival + 1 day], else that of its arrival: a wrong
	 * clock makes no thousand indices.  keep: days.
	 */
	extern int64_t sl_document_day(const sl_record *record, int64_t arrived, int keep);

#ifdef __cplusplus
}
#endif
#endif /* SL_DOCUMENT_H */
