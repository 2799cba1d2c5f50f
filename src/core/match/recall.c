/*
 * recall.c
 *	  Values that records repeat.
 *
 * What looking at a value finds depends on nothing but its field and its
 * text, and most of what a record says (who, where, which program) was said
 * by another a moment ago.  So a matcher remembers which predicates short
 * values made true, with their folded text, in a table of fixed size in which
 * the new push out the old.  Fields that don't repeat themselves are hardly
 * asked again.
 */
#include "internal.h"

#include <stdlib.h>

#define SLOTS 1024

struct sl_recall
{
	recalled slots[SLOTS];
};

sl_recall *
sl_recall_new(void)
{
	/* so that what is asked for first of a slot lies in one line of the cache */
	sl_recall *recall = aligned_alloc(64, sizeof(sl_recall));

	return recall ? memset(recall, 0, sizeof(sl_recall)) : NULL;
}

/* Has a value's memory fetched: its hash for sl_recall_find, or 0: such values aren't remembered. */
uint64_t
sl_recall_ask(const sl_recall *recall, const field *f, bool keywords, sl_str text)
{
	uint64_t hash;

	if (text.n == 0 || text.n > RECALL_TEXT)
		return 0;
	hash = sl_hash(text, (uint64_t) (uintptr_t) f + keywords);
	__builtin_prefetch(&recall->slots[hash % SLOTS]);
	__builtin_prefetch(recall->slots[hash % SLOTS].text);
	return hash;
}

/*
 * Where a value's memory is, or may be made: then its text is another's, or
 * it has none yet, and sl_recall_keep tells that it is good.  NULL: what is
 * there is in use.
 */
recalled *
sl_recall_find(sl_recall *recall, uint64_t hash, const field *f, bool keywords, sl_str text, uint32_t epoch)
{
	recalled *r = &recall->slots[hash % SLOTS];

	for (int i = 0; i < 2; i++)
	{
		recalled *one = &recall->slots[(hash ^ (uint64_t) i) % SLOTS];

		if (one->used && one->hash == hash && one->field == f && one->keywords == keywords && one->n == text.n &&
			memcmp(one->text, text.p, text.n) == 0)
		{
			one->used = epoch;
			one->known = true;
			return one;
		}
		if (one->used < r->used)
			r = one;
	}
	if (r->used == epoch)
		return NULL;
	r->known = false;
	r->used = 0;
	r->hash = hash;
	r->field = f;
	r->keywords = keywords;
	r->n = (uint16_t) text.n;
	r->n_marks = 0;
	r->has_pairs = false;
	return r;
}

/* Another predicate, of which the value tells: it is true (exact), or may be. */
void
sl_recall_mark(recalled *r, uint32_t predicate, bool exact)
{
	uint32_t mark = predicate * 2 + exact;

	if (r->n_marks > RECALL_MARKS)
		return; /* too many: it won't be kept */
	for (int i = 0; i < r->n_marks; i++)
		if (r->marks[i] == mark)
			return;
	if (r->n_marks < RECALL_MARKS)
		r->marks[r->n_marks] = mark;
	r->n_marks++;
}

/* All is noted: from now on it is known.  folded: p == NULL where nobody asked. */
void
sl_recall_keep(recalled *r, sl_str text, sl_str folded, uint32_t epoch)
{
	if (r->n_marks > RECALL_MARKS || folded.n > RECALL_TEXT)
		return;
	memcpy(r->text, text.p, text.n);
	r->is_folded = folded.p != NULL;
	r->n_folded = (uint16_t) folded.n;
	if (folded.n)
		memcpy(r->folded, folded.p, folded.n);
	r->used = epoch;
}
