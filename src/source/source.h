/*
 * source.h
 *	  Where records come from, as the evaluator sees it.
 *
 * A batch goes through these calls:
 *
 *		poll	 outside a transaction: fetches what is there, without waiting
 *		take	 within the batch's transaction: gives the records
 *		settle	 within it: moves the position; locks come in this order, and
 *				 positions are the first
 *		settled	 after the commit: tells the outside
 *
 * An error rolls the transaction back and calls undo; the next poll gives
 * the same records again.  Positions of batches without effects may stay in
 * memory for a second: judging such records twice changes nothing.
 */
#ifndef SL_SOURCE_H
#define SL_SOURCE_H

#include "stats/shared.h"

/* A message that could not be decoded. */
typedef struct sl_dead_letter
{
	const char *payload;
	size_t n;
	const char *origin;	 /* a JSON object */
	const char *headers; /* likewise, or NULL: attributes that its records have beside their own */
	sl_error error;
	struct sl_dead_letter *next;
} sl_dead_letter;

typedef struct sl_batch
{
	sl_arena *arena;	/* holds all of this; reset between batches */
	sl_records records; /* where no time is known, observed is the arrival */
	sl_dead_letter *dead;
	size_t n_dead;
	size_t bytes;
	size_t limit;		 /* messages, or rows, that poll and take may give */
	size_t units;		 /* and have given */
	const char *origin;	 /* where limit is 1: that one's, a JSON object; */
	const char *payload; /* and its bytes, where it isn't in logs */
	const char *headers; /* and its headers, or NULL */
	size_t payload_n;
	int64 watermark; /* ns: how far the source has come, with this batch or by waiting */
} sl_batch;

/* What an idle source's watermark stays behind the clock, and when it is idle, in ms. */
#define SL_IDLE 30000

/*
 * How far a record brings a watermark: to its time, but not into the future,
 * for one wrong clock would make all others late.
 */
extern int64 sl_watermark(int64 watermark, const sl_record *record, int64 now);

/* The wall clock in ns, for those. */
extern int64 sl_now_ns(void);

typedef struct sl_source
{
	const char *name;
	bool stores; /* its records are kept in stacklens.logs, too */

	/* True when take may find something; *wait_ms gets when to ask again, at the latest. */
	bool (*poll)(struct sl_source *source, sl_batch *batch, int *wait_ms);
	void (*take)(struct sl_source *source, sl_batch *batch);

	/*
	 * Moves the stored position past the batch.  Without effects it may be
	 * put off, and false returned.
	 */
	bool (*settle)(struct sl_source *source, sl_batch *batch, bool effects);

	/* stored: what settle returned.  True when more is there already. */
	bool (*settled)(struct sl_source *source, sl_batch *batch, bool stored);
	void (*undo)(struct sl_source *source);
} sl_source;

extern sl_source *sl_inbox_open(void);
extern sl_source *sl_kafka_open(const char *name);

/* How long a position without effects may stay unstored, in ms. */
#define SL_STORE_EVERY 1000

/* Records of one batch, and bytes of its messages. */
#define SL_BATCH_RECORDS 1000
#define SL_BATCH_BYTES ((size_t) sl_work_mem * 1024 / 4)

/* Columns of stacklens.logs that make a record, and a row of them to one. */
#define SL_LOG_COLUMNS                                                                                        \
	"xid, id, timestamp, observed_timestamp, arrived_at, severity_number, level, message, service, trace_id," \
	" span_id, request_id, error_code, attributes::text, resource::text"
extern void sl_log_row(sl_batch *batch, struct HeapTupleData *tuple);

/* Adds a message that can't be decoded; payload must live as long as the batch. */
extern void sl_batch_dead(sl_batch *batch, const char *payload, size_t n, const char *origin, const char *headers,
						  const sl_error *error);

/* Is an option of librdkafka's one that a source may have? (kafka_options.c) */
/*
 * The option that is ours: which of a topic's partitions a source reads.  The
 * rest is another database's, with a group of its own.
 */
#define SL_PARTITIONS "partitions"

typedef struct sl_ranges
{
	int n;
	struct
	{
		int32 from;
		int32 to; /* included */
	} v[64];
} sl_ranges;

extern bool sl_ranges_read(const char *text, sl_ranges *to);
extern bool sl_ranges_hold(const sl_ranges *ranges, int32 partition);

extern bool sl_kafka_option_allowed(const char *name);

/*
 * What librdkafka is given for an option: its value, or the secret that it
 * refers to; FATAL where there is none, or these brokers may not have it.
 */
extern const char *sl_kafka_option_value(const char *name, const char *value, const char *brokers);

/* The names of those, for a hint. */
extern char *sl_kafka_options(void);

#endif /* SL_SOURCE_H */
