/*
 * correlate.h
 *	  What correlations do with events: one group's state, and its judging.
 *
 * A group is what one correlation remembers of one set of group-by values.
 * Its events stand in order of time; ties in an order that doesn't depend on
 * their arrival.  An event is judged with the window that ends with it: those
 * not later than it, and less than a timespan older.  A late event changes
 * the windows of those after it, so they are judged again, and fire then if
 * they haven't: for counts that only grow, what fires is therefore a matter of
 * the events alone, not of the order in which they came.
 *
 * All time is event time.  The watermark that is given with each event tells
 * how far the source has come: events older than it by more than the lateness
 * don't count, and windows that end before it have emptied.
 */
#ifndef SL_CORRELATE_H
#define SL_CORRELATE_H

#include "../rule/correlation.h"

/* Most events (or known values) that a group keeps; the oldest go first. */
#define SL_GROUP_MAX_EVENTS 10000

#define SL_NEVER INT64_MAX

typedef struct sl_event
{
	int64_t at;		/* ns since 1970 */
	uint64_t value; /* hash of the values that are counted or compared */
	double number;	/* value that is summed */
	uint32_t chunk; /* which part of the stored state holds it */
	uint32_t order; /* its place in there, while it is loaded */
	uint8_t nth;	/* below 64: which of the correlation's rules matched */
	bool fired;
} sl_event;

/* A part of the stored state, see sl_group_save. */
typedef struct sl_chunk
{
	uint32_t number;
	bool dirty;
	sl_str bytes; /* what is to be stored; n == 0: nothing any more */
} sl_chunk;

typedef struct sl_group
{
	sl_arena *arena;
	const sl_correlation *correlation;
	sl_event *events;
	size_t n;
	size_t cap;
	int64_t since;	 /* time of the first event ever; SL_NEVER before it */
	int64_t latest;	 /* of the latest */
	int64_t fired;	 /* of the latest firing that others depend on; INT64_MIN: none */
	int64_t reset;	 /* events before it were used up by a firing; INT64_MIN: none */
	int64_t emptied; /* of the latest empty window that was judged; INT64_MIN: none */
	uint64_t late;	 /* events that came too late to count */
	uint64_t overflow;
	uint32_t tail; /* number of the chunk that stands in the header */
	sl_chunk *chunks;
	size_t n_chunks;
	size_t cap_chunks;

	/* called for each firing */
	void (*fire)(void *arg, int64_t at, double actual);
	void *arg;
} sl_group;

/* The order in which events of a group stand. */
extern bool sl_event_before(const sl_event *a, const sl_event *b);

/* Clears what the correlation's type has no use for, so that ties are the same however they are stored. */
extern void sl_event_forget(const sl_correlation *correlation, sl_event *event);

/* An empty group. */
extern void sl_group_init(sl_group *group, const sl_correlation *correlation, sl_arena *arena,
						  void (*fire)(void *arg, int64_t at, double actual), void *arg);

/*
 * Takes the events of one record (more than one where it matches several of
 * the rules), all of the same time, under the source's watermark.
 */
extern void sl_group_add(sl_group *group, const sl_event *events, size_t n, int64_t watermark);

/* Does what is due up to a watermark. */
extern void sl_group_advance(sl_group *group, int64_t watermark);

/* The watermark at which there is something to do without a new event; SL_NEVER. */
extern int64_t sl_group_due(const sl_group *group);

/* The watermark from which on the group is as if it had never been; SL_NEVER. */
extern int64_t sl_group_expires(const sl_group *group);

/*
 * The state as bytes: a header with the latest events, and chunks of older
 * ones, which seldom change.  Saving gives the header and fills chunks: those
 * that are dirty have to be stored, or deleted where they are empty.
 */
extern sl_str sl_group_save(sl_group *group);

/* Back from those; false where the bytes are none of ours. */
extern bool sl_group_load(sl_group *group, sl_str header);
extern bool sl_group_load_chunk(sl_group *group, uint32_t number, sl_str bytes);
extern void sl_group_loaded(sl_group *group);

/* Are there chunks beside a header? */
extern bool sl_group_has_chunks(sl_str header);

#endif /* SL_CORRELATE_H */
