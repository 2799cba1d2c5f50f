/*
 * source.h
 *	  Where records come from, as evaluators and shippers see it.
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
 *
 * A shipper sends on what it reads, and may have many batches on their way:
 *
 *		poll, take, settled		 as above, but that nothing is stored
 *		mark					 then: where the source is with this batch
 *		is_current				 does a mark still speak of what we read?
 *		reach					 all up to a mark is answered
 *		store, stored			 within a transaction, and after it: what was
 *								 reached
 */
#ifndef SL_SOURCE_H
#define SL_SOURCE_H

#include "core/sink/document.h"
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
	size_t limit;			/* messages, or rows, that poll and take may give */
	size_t room;			/* and bytes of them, at which they stop; 0: none */
	size_t units;			/* and have given */
	struct sl_unit *places; /* and where each came from, where they are asked for */
	size_t places_room;
	bool with_places;
	const char *origin;	 /* where limit is 1: that one's, a JSON object; */
	const char *payload; /* and its bytes, where it isn't in logs */
	const char *headers; /* and its headers, or NULL */
	size_t payload_n;
	int64 watermark; /* ns: how far the source has come, with this batch or by waiting */
} sl_batch;

/* A message or a row: its records begin at this one, and end where the next one's do. */
typedef struct sl_unit
{
	size_t first;
	sl_place place;
} sl_unit;

/* Counts one more, whose records begin at first. */
extern void sl_batch_unit(sl_batch *batch, size_t first, sl_place place);

/* What an idle source's watermark stays behind the clock, and when it is idle, in ms. */
#define SL_IDLE 30000

/*
 * How far a record brings a watermark: to its time, but not into the future,
 * for one wrong clock would make all others late.
 */
extern int64 sl_watermark(int64 watermark, const sl_record *record, int64 now);

/* The wall clock in ns, for those. */
extern int64 sl_now_ns(void);

typedef struct sl_mark sl_mark;

typedef struct sl_source
{
	const char *name;
	const char *topic; /* NULL for the inbox */
	const char *note;  /* what its worker's status says while the source has nothing to say; or NULL */
	bool stores;	   /* its records are kept in stacklens.logs, too */

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

	/* A shipper's. */
	sl_mark *(*mark)(struct sl_source *source);
	bool (*is_current)(struct sl_source *source, const sl_mark *mark);
	void (*reach)(struct sl_source *source, const sl_mark *mark);
	bool (*store)(struct sl_source *source); /* false: nothing was to be stored */
	void (*stored)(struct sl_source *source);
	void (*free_mark)(struct sl_source *source, sl_mark *mark);
} sl_source;

/* sink: whose shipper reads, "" for an evaluator; both names must stay. */
extern sl_source *sl_inbox_open(const char *sink);
extern sl_source *sl_kafka_open(const char *name, const char *sink);

/* A shipper's consumer group is the source's with this behind. */
#define SL_SHIPPER_GROUP "-shipper"

/* sqlstate of a document that a sink refused (fdw_reply_handle: it is the other side's word). */
#define SL_REFUSED_BY_SINK "HV00L"

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
