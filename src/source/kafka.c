/*
 * kafka.c
 *	  The source that is a Kafka topic: the one file that uses librdkafka's
 *	  consumer.
 *
 * Where a worker is in the topic is told by stacklens_internal.positions,
 * whose rows move in the transaction of their effects.  Kafka's own committed
 * offsets follow, so that lag tools tell the truth, each with a tag:
 *
 *		sl1:INCARNATION:TERM:OFFSET
 *
 * When partitions are assigned, the committed offsets are asked for first:
 *
 *		our tag, and its OFFSET is the committed one	the table holds
 *		our tag with another OFFSET, or no tag			somebody reset the group:
 *														that offset is stored, then
 *														committed with the tag, and
 *														only then read from
 *		another incarnation, or a later term			another database's group:
 *														nothing is read
 *		nothing committed								the table holds; without a
 *														row the source starts
 *
 * Before the group is joined at all, its tags are looked at: joining disturbs
 * whoever owns it.  Then an assignment goes through stages:
 *
 *		UNCHECKED → NONE → (COMMITTING) → COMMITTED → READING
 *
 * The committed offsets are asked for with the consumer's own call, which
 * waits for a second at most, and not with the administrator's, whose answer
 * would arrive in the loop: that one keeps to the group's coordinator of old
 * when there is another (librdkafka 2.0.2).
 *
 * A topic that was deleted and made again is another one, though it has the
 * name; this version of Kafka's protocol doesn't tell.  So a partition is read
 * from the last message before its position, whose time must be what it was
 * when that message was judged; where Kafka has it no longer, there is no
 * telling.
 *
 * Rebalance callbacks only note what librdkafka wants; it waits for our
 * assign().  A reset's commit carries the number of the rebalance that it
 * belongs to: an answer to an older one is passed over.
 *
 * Everything of librdkafka's arrives by one queue, whose descriptor wakes the
 * worker's loop; replies to commits by a second.  Its threads start with all
 * signals blocked.
 */
#include "source/source.h"

#include "bgworker/crash.h"
#include "bgworker/worker.h"
#include "core/utf8.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ms */
#define COMMIT_EVERY 200
#define ASK_EVERY 500
#define REFUSED_ASK_EVERY 60000
#define TROUBLE_LASTS 20000
#define CLOSE_DEADLINE 2000
#define ASK_TIMEOUT 1000

typedef enum stage
{
	UNCHECKED,	/* whose group is it? */
	NONE,		/* nothing is assigned */
	COMMITTING, /* an adopted reset is being committed */
	COMMITTED,	/* ready to be assigned */
	READING
} stage;

/* What tells a message from another one at its place. */
typedef struct message_id
{
	int64 offset; /* -1 where none is known */
	int64 timestamp;
} message_id;

static const message_id no_message = {-1, -1};

/* How far a partition has been read. */
typedef struct place
{
	int64 next;
	int64 watermark; /* ns: the event time that it has come to */
	message_id last; /* the last message before next */
} place;

typedef struct partition
{
	int32 id;
	place at;				 /* judged, or sent, up to here */
	place taken;			 /* and this with the batch in hand */
	place settled;			 /* what may be stored: where at is, unless what was sent isn't answered yet */
	int64 stored;			 /* what the table says */
	int64 committed;		 /* what Kafka was told last */
	int64 first;			 /* where a source without a position starts; -1 unknown */
	char *tag;				 /* committed metadata, while being asked */
	bool out_of_range;		 /* Kafka has no longer what comes next */
	int64 assigned;			 /* where reading began */
	rd_kafka_queue_t *queue; /* its own, where messages may be left waiting */
	bool verify;			 /* it is read again: is it the one that was judged? */
	bool anew;				 /* it isn't */
	int64 active_at;		 /* by sl_now_ms, when there were messages */
} partition;

/* Where all partitions were at some time: what a shipper has read, and is to be told to settle. */
struct sl_mark
{
	intptr_t rebalances;
	int n;
	place v[FLEXIBLE_ARRAY_MEMBER];
};

typedef struct kafka
{
	sl_source source;
	char *name;
	const char *sink; /* "" for an evaluator */
	char *topic;
	char *group;
	char *owner; /* of the positions: this process, this start */
	char *incarnation;
	char *adopted; /* the incarnation that a restored dump came from, or "" */
	int term;
	bool start_latest;
	bool holds_back;  /* a shipper: messages wait in their partitions' queues until there is room for them */
	int next_queue;	  /* which of them is looked at first */
	int64 checked_at; /* by sl_now_ms: whether positions are still ours */
	sl_ranges wanted; /* partitions; none: all */
	sl_format format;

	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	rd_kafka_queue_t *replies;
	int wake_fd;

	stage stage;
	rd_kafka_topic_partition_list_t *offered; /* by the rebalance callback */
	bool revoked;
	partition *partitions;
	int n_partitions;

	rd_kafka_message_t **messages; /* of the batch in hand */
	size_t n_messages;
	size_t first; /* those before it belong to the batch before */
	size_t used;
	int64 stored_at; /* these by sl_now_ms */
	int64 committed_at;
	int64 ask_after; /* a question that failed is not repeated before */
	int64 trouble_at;
	intptr_t rebalances; /* how many there were; commits of resets carry it */
	bool changed;		 /* partitions moved since they were stored */
	bool again;			 /* what is assigned is to be assigned again, once this batch is settled */
	int64 idle_at;		 /* when an empty batch was given last */
	char trouble[500];	 /* what librdkafka last complained of */
	bool trouble_vague;	 /* only that there is no connection */
	bool scram;			 /* logs in by it */
	bool no_partition;	 /* the topic has none of those wanted */
	bool no_topic;		 /* there is none of this name; told once, until there is */
} kafka;

static void
woken(void *arg, int fd, uint32 events)
{
	uint64 count;

	/* drained; what it tells is looked at by the next poll */
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		elog(LOG, "could not read an eventfd: %m");
}

/* Callbacks: they run within our own calls, but under librdkafka's frames: note, never throw. */

static void
rebalance_cb(rd_kafka_t *client, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list, void *arg)
{
	kafka *k = arg;

	if (k->offered)
		rd_kafka_topic_partition_list_destroy(k->offered);
	k->offered = NULL;
	k->revoked = true;
	k->rebalances++;
	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		k->offered = rd_kafka_topic_partition_list_copy(list);
}

static void complain(kafka *k, const char *format, ...) pg_attribute_printf(2, 3);

static void
complain(kafka *k, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(k->trouble, sizeof(k->trouble), format, args);
	va_end(args);
	k->trouble_at = sl_now_ms();
	k->trouble_vague = false;
}

/* advice: what to do about it, or NULL. */
static void
complain_with(kafka *k, const char *advice, const char *what, const char *said)
{
	if (advice)
		complain(k, "%s (%s: %s)", advice, what, said);
	else
		complain(k, "%s: %s", what, said);
}

/* What to do about an error of librdkafka's own. */
static const char *
advice_of(int err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
			return "the broker refuses the login: check sasl.mechanism, sasl.username and what sasl.password refers to";
		case RD_KAFKA_RESP_ERR__SSL:
			return "no TLS with the broker: check security.protocol, ssl.ca.pem and the broker's name";
		case RD_KAFKA_RESP_ERR__RESOLVE:
			return "the broker's name leads nowhere: check brokers";
		case RD_KAFKA_RESP_ERR__TRANSPORT:
		case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		case RD_KAFKA_RESP_ERR__TIMED_OUT:
			return "no broker can be reached: check brokers, the network, and that the port speaks security.protocol";
		default:
			return NULL;
	}
}

/* Why a connection ended says more than that it did. */
static bool
is_vague(int err)
{
	return err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || err == RD_KAFKA_RESP_ERR__TIMED_OUT;
}

static void
error_cb(rd_kafka_t *client, int err, const char *reason, void *arg)
{
	kafka *k = arg;
	const char *advice = advice_of(err);

	if (is_vague(err) && k->trouble[0] && !k->trouble_vague && sl_now_ms() - k->trouble_at < TROUBLE_LASTS)
		return;
	/* it sends a wrong nonce, which brokers up to 3.9 pass over */
	if (err == RD_KAFKA_RESP_ERR__AUTHENTICATION && k->scram && rd_kafka_version() < 0x020601ff)
		advice = "the broker refuses the login: librdkafka before 2.6.1 can't log in by SCRAM to Kafka 4 and later, take SASL/PLAIN over TLS;"
				 " with older brokers check sasl.username and what sasl.password refers to";
	complain_with(k, advice, rd_kafka_err2name(err), reason);
	k->trouble_vague = is_vague(err);
}

static void
log_cb(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	/* what matters comes by error_cb, and is seen in stat_workers */
	(void) client;
	(void) level;
	(void) facility;
	(void) text;
}

static partition *
find_partition(kafka *k, int32 id)
{
	for (int i = 0; i < k->n_partitions; i++)
		if (k->partitions[i].id == id)
			return &k->partitions[i];
	return NULL;
}

static void
drop_messages(kafka *k)
{
	for (size_t i = k->first; i < k->n_messages; i++)
		rd_kafka_message_destroy(k->messages[i]);
	k->n_messages = k->first = k->used = 0;
}

static void
forget_partitions(kafka *k)
{
	drop_messages(k);
	for (int i = 0; i < k->n_partitions; i++)
	{
		if (k->partitions[i].tag)
			free(k->partitions[i].tag);
		if (k->partitions[i].queue)
			rd_kafka_queue_destroy(k->partitions[i].queue);
	}
	if (k->partitions)
		pfree(k->partitions);
	k->partitions = NULL;
	k->n_partitions = 0;
	k->changed = false;
	/* a group that isn't joined stays so, whatever is revoked late */
	if (k->stage > NONE)
		k->stage = NONE;
}

/* A list of our partitions with offsets and tags, for a commit. */
static rd_kafka_topic_partition_list_t *
tagged_list(kafka *k)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(k->n_partitions);

	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];
		rd_kafka_topic_partition_t *to;
		char tag[128];

		if (p->stored < 0 || p->stored == p->committed)
			continue;
		to = rd_kafka_topic_partition_list_add(list, k->topic, p->id);
		to->offset = p->stored;
		snprintf(tag, sizeof(tag), "sl1:%s:%d:%lld", k->incarnation, k->term, (long long) p->stored);
		to->metadata = strdup(tag);
		to->metadata_size = to->metadata ? strlen(tag) : 0;
	}
	return list;
}

/* Tells Kafka what is stored; nothing depends on the answer. */
static void
commit_offsets(kafka *k)
{
	rd_kafka_topic_partition_list_t *list = tagged_list(k);

	if (list->cnt > 0 && rd_kafka_commit(k->client, list, 1) == RD_KAFKA_RESP_ERR_NO_ERROR)
		for (int i = 0; i < k->n_partitions; i++)
			k->partitions[i].committed = k->partitions[i].stored;
	rd_kafka_topic_partition_list_destroy(list);
	k->committed_at = sl_now_ms();
}

/* Where a partition is for the table: with the batch in hand, or as far as what was sent is answered. */
static const place *
to_be_stored(const kafka *k, const partition *p)
{
	return k->holds_back ? &p->settled : &p->taken;
}

/*
 * Stores where all partitions are, within a transaction.  A row that isn't
 * where we left it, or isn't ours any more, means that another worker reads
 * this partition: then nothing of this transaction may stay.
 */
static void
store_positions(kafka *k)
{
	static SPIPlanPtr plan;
	Datum *ids = palloc(k->n_partitions * sizeof(Datum)),
		  *old = palloc(k->n_partitions * sizeof(Datum)),
		  *new = palloc(k->n_partitions * sizeof(Datum)),
		  *high = palloc(k->n_partitions * sizeof(Datum)),
		  *watermarks = palloc(k->n_partitions * sizeof(Datum)),
		  *last = palloc(k->n_partitions * sizeof(Datum)),
		  *times = palloc(k->n_partitions * sizeof(Datum));
	Datum values[11];
	int n = 0;

	if (!plan)
	{
		Oid types[11] = {TEXTOID, TEXTOID, TEXTOID, INT4ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID};

		plan = sl_prepare("WITH mine AS (SELECT p.partition, m.next, m.high, m.watermark, m.last, m.time FROM stacklens_internal.positions p"
						  " JOIN unnest($4, $5, $6, $7, $8, $9, $10) AS m (partition, old, next, high, watermark, last, time) ON m.partition = p.partition AND m.old = p.next_offset"
						  " WHERE p.source = $1 AND p.topic = $2 AND p.sink = $11 AND p.owner = $3 ORDER BY p.partition FOR UPDATE OF p)"
						  " UPDATE stacklens_internal.positions p SET next_offset = m.next, high_watermark = m.high, watermark = m.watermark,"
						  " last_offset = m.last, last_timestamp = m.time, updated_at = pg_catalog.clock_timestamp()"
						  " FROM mine m WHERE p.source = $1 AND p.topic = $2 AND p.sink = $11 AND p.partition = m.partition",
						  11, types);
	}
	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];
		const place *to = to_be_stored(k, p);
		int64_t low,
			end;

		if (to->next == p->stored)
			continue;
		if (rd_kafka_get_watermark_offsets(k->client, k->topic, p->id, &low, &end) != RD_KAFKA_RESP_ERR_NO_ERROR || end < to->next)
			end = to->next;
		ids[n] = Int32GetDatum(p->id);
		old[n] = Int64GetDatum(p->stored);
		new[n] = Int64GetDatum(to->next);
		watermarks[n] = Int64GetDatum(to->watermark);
		last[n] = Int64GetDatum(to->last.offset);
		times[n] = Int64GetDatum(to->last.timestamp);
		high[n++] = Int64GetDatum(end);
	}
	if (n == 0)
		return;
	values[0] = CStringGetTextDatum(k->name);
	values[1] = CStringGetTextDatum(k->topic);
	values[2] = CStringGetTextDatum(k->owner);
	values[3] = PointerGetDatum(construct_array(ids, n, INT4OID, 4, true, TYPALIGN_INT));
	values[4] = PointerGetDatum(construct_array(old, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[5] = PointerGetDatum(construct_array(new, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[6] = PointerGetDatum(construct_array(high, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[7] = PointerGetDatum(construct_array(watermarks, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[8] = PointerGetDatum(construct_array(last, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[9] = PointerGetDatum(construct_array(times, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[10] = CStringGetTextDatum(k->sink);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not store positions");
	if (SPI_processed != (uint64) n)
		ereport(FATAL,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("positions of Kafka source \"%s\" were moved by somebody else", k->name),
				 errdetail("%d of %d partitions are where this worker left them; it starts anew.", (int) SPI_processed, n)));
}

static void
stored_positions(kafka *k)
{
	for (int i = 0; i < k->n_partitions; i++)
		k->partitions[i].stored = k->partitions[i].settled.next;
	k->stored_at = sl_now_ms();
	k->changed = false;
}

/* Lets go of all partitions, within a transaction: they are nobody's until they are assigned anew. */
static void
disown_positions(kafka *k)
{
	Oid types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[4] = {CStringGetTextDatum(k->name), CStringGetTextDatum(k->topic), CStringGetTextDatum(k->owner), CStringGetTextDatum(k->sink)};

	if (SPI_execute_with_args("UPDATE stacklens_internal.positions SET owner = NULL, updated_at = pg_catalog.clock_timestamp()"
							  " WHERE source = $1 AND topic = $2 AND owner = $3 AND sink = $4",
							  4, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not let go of positions");
}

/* Nothing is taken beyond what is judged, or sent. */
static void
take_none(kafka *k)
{
	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];

		p->taken = p->at;
	}
}

/* Stores progress that had no effects, in a transaction of its own. */
static void
store_progress(kafka *k, bool disown)
{
	take_none(k);
	sl_begin();
	store_positions(k);
	if (disown)
		disown_positions(k);
	sl_commit_lazily();
	stored_positions(k);
	if (disown)
		pg_atomic_fetch_add_u64(&sl_shared_state->handovers, 1);
}

/* Complains of an error, unless what is known already says more. */
static void
complain_of(kafka *k, const char *what, rd_kafka_resp_err_t err)
{
	bool vague = is_vague(err) || err == RD_KAFKA_RESP_ERR__WAIT_COORD;

	if (vague && k->trouble[0] && !k->trouble_vague && sl_now_ms() - k->trouble_at < TROUBLE_LASTS)
		return;
	complain_with(k, advice_of(err), what, rd_kafka_err2str(err));
	k->trouble_vague = vague;
}

/*
 * Puts the group's committed offsets and tags into a list; false when the
 * broker doesn't say.  Waits for it: not to be called within a transaction.
 */
static bool
ask_committed(kafka *k, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t err = rd_kafka_committed(k->client, list, ASK_TIMEOUT);

	k->ask_after = sl_now_ms() + ASK_EVERY;
	for (int i = 0; i < list->cnt && !err; i++)
		err = list->elems[i].err;
	if (err)
		complain_of(k, "could not read the group's offsets", err);
	return !err;
}

/*
 * The topic's partitions, none where it isn't there; NULL when the broker
 * doesn't say.  Waits for it.
 */
static rd_kafka_topic_partition_list_t *
topic_partitions(kafka *k)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(k->client, k->topic, NULL);
	rd_kafka_topic_partition_list_t *list;
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = topic ? rd_kafka_metadata(k->client, 0, topic, &metadata, ASK_TIMEOUT) : rd_kafka_last_error();

	if (topic)
		rd_kafka_topic_destroy(topic);
	if (err)
	{
		complain_of(k, "could not read the topic's partitions", err);
		return NULL;
	}
	err = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_NO_ERROR;
	if (err && err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
	{
		complain_of(k, "could not read the topic's partitions", err);
		rd_kafka_metadata_destroy(metadata);
		return NULL;
	}
	list = rd_kafka_topic_partition_list_new(8);
	for (int i = 0; metadata->topic_cnt == 1 && i < metadata->topics[0].partition_cnt; i++)
		rd_kafka_topic_partition_list_add(list, k->topic, metadata->topics[0].partitions[i].id);
	rd_kafka_metadata_destroy(metadata);
	return list;
}

/*
 * Where a source that has no position starts; false when the broker doesn't
 * say.  Waits for the broker: not to be called within a transaction.
 */
static bool
first_offset(kafka *k, partition *p)
{
	int64_t low,
		high;
	rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(k->client, k->topic, p->id, &low, &high, ASK_TIMEOUT);

	if (err)
	{
		complain_of(k, "could not read where the topic starts", err);
		return false;
	}
	p->first = k->start_latest ? high : low;
	return true;
}

/* Reads "sl1:INCARNATION:TERM:OFFSET"; false if it is not ours to read. */
static bool
read_tag(const char *tag, char incarnation[37], int *term, int64 *offset)
{
	long long value;
	int used = 0;

	if (!tag || strncmp(tag, "sl1:", 4) != 0 || strlen(tag) < 42 || tag[40] != ':')
		return false;
	memcpy(incarnation, tag + 4, 36);
	incarnation[36] = '\0';
	if (sscanf(tag + 41, "%d:%lld%n", term, &value, &used) != 2 || tag[41 + used] != '\0')
		return false;
	*offset = value;
	return true;
}

/* Does a tag say that another database, or a later life of this one, owns the group? */
static bool
is_foreign(const kafka *k, const char *incarnation, int term)
{
	if (strcmp(incarnation, k->incarnation) == 0)
		return term > k->term;
	/* the database that this one was restored from, and has taken over */
	return strcmp(incarnation, k->adopted) != 0;
}

static bool
has_foreign_tag(const kafka *k, const rd_kafka_topic_partition_list_t *list)
{
	bool foreign = false;

	for (int i = 0; i < list->cnt && !foreign; i++)
	{
		const rd_kafka_topic_partition_t *from = &list->elems[i];
		char *tag = from->metadata_size > 0 ? strndup(from->metadata, from->metadata_size) : NULL;
		char incarnation[37];
		int term;
		int64 offset;

		foreign = tag && read_tag(tag, incarnation, &term, &offset) && is_foreign(k, incarnation, term);
		free(tag);
	}
	return foreign;
}

/* Decides where a partition starts, of a group that is ours. */
static void
decide_position(kafka *k, partition *p, int64 committed)
{
	char incarnation[37];
	int term;
	int64 tagged;
	bool ours = read_tag(p->tag, incarnation, &term, &tagged);

	if (committed >= 0 && (!ours || tagged != committed))
	{
		/* a reset, or a group that others began: it says where to go on */
		if (p->stored >= 0)
			ereport(LOG,
					(errmsg("offset of topic \"%s\" partition %d was reset from outside", k->topic, p->id),
					 errdetail("Kafka source \"%s\" goes on at offset %lld instead of %lld.",
							   k->name, (long long) committed, (long long) p->stored)));
		p->at.next = committed;
		p->at.last = no_message;
		p->committed = -1; /* until it is committed with the tag */
		return;
	}
	/* the group is that of a sink which was dropped: another one begins anew */
	if (k->holds_back && p->stored < 0)
		committed = -1;
	p->committed = committed;
	p->at.next = p->stored >= 0 ? p->stored : committed >= 0 ? committed
															 : p->first;
}

static void
load_stored(kafka *k)
{
	Oid types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum values[3] = {CStringGetTextDatum(k->name), CStringGetTextDatum(k->topic), CStringGetTextDatum(k->sink)};

	if (SPI_execute_with_args("SELECT partition, next_offset, watermark, COALESCE(last_offset, -1), COALESCE(last_timestamp, -1) FROM stacklens_internal.positions"
							  " WHERE source = $1 AND topic = $2 AND sink = $3 ORDER BY partition FOR UPDATE",
							  3, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read positions");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		partition *p = find_partition(k, DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));

		if (!p)
			continue;
		p->stored = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		p->at.watermark = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull));
		if (isnull)
			p->at.watermark = PG_INT64_MIN;
		p->at.last.offset = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 4, &isnull));
		p->at.last.timestamp = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 5, &isnull));
	}
}

static void
own_positions(kafka *k)
{
	Oid types[6] = {TEXTOID, TEXTOID, TEXTOID, INT4OID, INT8OID, TEXTOID};

	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];
		Datum values[6] = {
			CStringGetTextDatum(k->name), CStringGetTextDatum(k->topic), CStringGetTextDatum(k->owner),
			Int32GetDatum(p->id), Int64GetDatum(p->at.next), CStringGetTextDatum(k->sink)};

		if (SPI_execute_with_args("INSERT INTO stacklens_internal.positions AS p (source, topic, partition, next_offset, owner, sink)"
								  " VALUES ($1, $2, $4, $5, $3, $6) ON CONFLICT (source, topic, partition, sink) DO UPDATE"
								  " SET next_offset = excluded.next_offset, owner = excluded.owner,"
								  " last_offset = CASE WHEN p.next_offset = excluded.next_offset THEN p.last_offset END,"
								  " updated_at = pg_catalog.clock_timestamp()",
								  6, types, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not take the positions over");
	}
}

/* A reset of the source's group moves its shippers, too: what is to be judged again is to be found again. */
static void
reset_shippers(kafka *k, const partition *p)
{
	Oid types[4] = {TEXTOID, TEXTOID, INT4OID, INT8OID};
	Datum values[4] = {CStringGetTextDatum(k->name), CStringGetTextDatum(k->topic), Int32GetDatum(p->id), Int64GetDatum(p->at.next)};

	if (SPI_execute_with_args("UPDATE stacklens_internal.positions SET next_offset = $4, last_offset = NULL, last_timestamp = NULL"
							  " WHERE source = $1 AND topic = $2 AND partition = $3 AND sink <> ''",
							  4, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not reset the positions of shippers");
}

/*
 * Time stands still at what these partitions have come to; said before the
 * table names us as their owner (see wait_for_others).
 */
static void
hold_time(kafka *k)
{
	int64 lowest = (int64) pg_atomic_read_u64(&sl_my_slot->watermark);

	for (int i = 0; i < k->n_partitions; i++)
		lowest = Min(lowest, k->partitions[i].at.watermark);
	pg_atomic_write_u64(&sl_my_slot->watermark, (uint64) lowest);
}

static int
by_partition(const void *a, const void *b)
{
	return ((const partition *) a)->id - ((const partition *) b)->id;
}

/*
 * Has a partition's messages wait in a queue of its own, so that the consumer's
 * queue, which keeps us in the group, can be served while there is no room for
 * them.  Said before it is assigned, it holds for whatever comes after.
 */
static void
hold_back(kafka *k, partition *p)
{
	static const uint64 one = 1;

	p->queue = rd_kafka_queue_get_partition(k->client, k->topic, p->id);
	if (!p->queue)
		ereport(ERROR, (errcode(ERRCODE_FDW_ERROR), errmsg("could not get the queue of partition %d of topic \"%s\"", p->id, k->topic)));
	rd_kafka_queue_forward(p->queue, NULL);
	rd_kafka_queue_io_event_enable(p->queue, k->wake_fd, &one, sizeof(one));
}

static void
assign_partitions(kafka *k)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(k->n_partitions);
	rd_kafka_resp_err_t err;

	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];

		p->verify = p->at.last.offset >= 0 && p->at.last.offset < p->at.next && p->at.last.timestamp >= 0;
		p->assigned = p->verify ? p->at.last.offset : p->at.next;
		rd_kafka_topic_partition_list_add(list, k->topic, p->id)->offset = p->assigned;
		p->active_at = sl_now_ms();
		if (k->holds_back && !p->queue)
			hold_back(k, p);
	}
	/* what was fetched by the assignment before may be of another topic of this name, or out of order */
	drop_messages(k);
	err = rd_kafka_assign(k->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (err)
		ereport(ERROR, (errcode(ERRCODE_FDW_ERROR), errmsg("could not assign partitions of topic \"%s\": %s", k->topic, rd_kafka_err2str(err))));
	k->stage = READING;
	k->no_topic = false;
	k->trouble[0] = '\0';
}

/* Is all that was given answered? */
static bool
all_settled(const kafka *k)
{
	for (int i = 0; i < k->n_partitions; i++)
		if (k->partitions[i].settled.next != k->partitions[i].at.next)
			return false;
	return true;
}

static bool
has_gap(const kafka *k)
{
	for (int i = 0; i < k->n_partitions; i++)
		if (k->partitions[i].out_of_range || k->partitions[i].anew)
			return true;
	return false;
}

/*
 * A partition whose next offset Kafka has no longer (its retention was
 * faster), or that was made anew: what is missing is recorded as a gap, and
 * reading goes on at the first offset that is there.
 */
static void
fill_gaps(kafka *k)
{
	Oid types[6] = {TEXTOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTOID};

	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];
		int64_t low,
			high,
			from = p->at.next;
		rd_kafka_resp_err_t err;
		Datum values[6];

		/* what is on its way is answered first: nothing more is read meanwhile (has_gap) */
		if (!(p->out_of_range || p->anew) || sl_now_ms() < k->ask_after || !all_settled(k))
			continue;
		k->ask_after = sl_now_ms() + ASK_EVERY;
		err = rd_kafka_query_watermark_offsets(k->client, k->topic, p->id, &low, &high, ASK_TIMEOUT);
		if (err)
		{
			complain(k, "offset %lld of partition %d is out of range: %s", (long long) from, p->id, rd_kafka_err2str(err));
			continue;
		}
		if (low == from)
		{
			/* only what is before it is gone */
			p->out_of_range = p->anew = false;
			p->at.last = p->settled.last = no_message;
			drop_messages(k);
			k->stage = COMMITTED;
			return;
		}
		/* a topic that was made anew: it is read from its start */
		values[0] = CStringGetTextDatum(k->name);
		values[1] = CStringGetTextDatum(k->topic);
		values[2] = Int32GetDatum(p->id);
		values[3] = Int64GetDatum(from);
		values[4] = Int64GetDatum(low);
		values[5] = CStringGetTextDatum(k->sink);
		ereport(LOG,
				(low > from ? errmsg("topic \"%s\" partition %d has no offset %lld any more", k->topic, p->id, (long long) from)
							: errmsg("topic \"%s\" partition %d was made anew", k->topic, p->id),
				 errdetail("Kafka source \"%s\" goes on at offset %lld; stacklens.gaps keeps what was missed.", k->name, (long long) low)));
		take_none(k);
		p->taken.next = low;
		p->taken.last = no_message;
		if (k->holds_back)
			p->settled = p->taken;
		sl_begin();
		store_positions(k);
		if (SPI_execute_with_args("INSERT INTO stacklens_internal.gaps (source, topic, partition, from_offset, to_offset, reason, sink)"
								  " VALUES ($1, $2, $3, $4, $5, CASE WHEN $5 > $4 THEN 'deleted by Kafka''s retention' ELSE 'the topic was made anew' END, $6)",
								  6, types, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not record a gap");
		sl_commit();
		p->at = p->settled = p->taken;
		p->out_of_range = p->anew = false;
		stored_positions(k);
		drop_messages(k);
		k->stage = COMMITTED; /* assigned again, with the new offset */
		return;
	}
}

static void
refuse_group(kafka *k)
{
	complain(k, "group \"%s\" belongs to another StackLens database", k->group);
	sl_worker_error("group \"%s\" belongs to another StackLens database; give source \"%s\" a group_id of its own", k->group, k->name);
	k->stage = UNCHECKED;
	k->ask_after = sl_now_ms() + REFUSED_ASK_EVERY;
}

/* Has the topic a partition that this source reads?  True also where the broker doesn't say. */
static bool
topic_has_wanted(kafka *k)
{
	rd_kafka_topic_partition_list_t *list = topic_partitions(k);
	bool found = !list;

	for (int i = 0; list && i < list->cnt && !found; i++)
		found = sl_ranges_hold(&k->wanted, list->elems[i].partition);
	if (list)
		rd_kafka_topic_partition_list_destroy(list);
	return found;
}

/* Takes the committed offsets over; false when it isn't known where a partition without one starts. */
static bool
take_offsets(kafka *k, const rd_kafka_topic_partition_list_t *list)
{
	bool known = true;

	k->partitions = MemoryContextAllocZero(TopMemoryContext, Max(list->cnt, 1) * sizeof(partition));
	k->n_partitions = list->cnt;
	for (int i = 0; i < list->cnt; i++)
	{
		const rd_kafka_topic_partition_t *from = &list->elems[i];
		partition *p = &k->partitions[i];

		p->id = from->partition;
		p->stored = p->first = -1;
		p->at.last = no_message;
		p->at.watermark = PG_INT64_MIN;
		p->committed = from->offset;
		if ((from->offset < 0 || k->holds_back) && known)
			known = first_offset(k, p);
		if (from->metadata_size > 0)
			p->tag = strndup(from->metadata, from->metadata_size);
	}
	qsort(k->partitions, k->n_partitions, sizeof(partition), by_partition);
	return known;
}

/* Finds out where the partitions that were offered start: stage NONE → COMMITTING or COMMITTED. */
static void
find_positions(kafka *k)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(k->offered);
	bool adopted = false,
		 foreign = false,
		 known;

	forget_partitions(k);
	known = ask_committed(k, list);
	foreign = known && has_foreign_tag(k, list);
	/* the others are another database's */
	for (int i = list->cnt; i-- > 0;)
		if (!sl_ranges_hold(&k->wanted, list->elems[i].partition))
			rd_kafka_topic_partition_list_del_by_idx(list, i);
	if (known && list->cnt == 0)
		k->no_partition = !topic_has_wanted(k);
	else
		k->no_partition = false;
	known = known && !foreign && take_offsets(k, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (known)
	{
		sl_begin();
		load_stored(k);
		for (int i = 0; i < k->n_partitions; i++)
		{
			partition *p = &k->partitions[i];
			int64 committed = p->committed;

			decide_position(k, p, committed);
			if (committed >= 0 && p->committed < 0)
			{
				adopted = true;
				if (p->stored >= 0 && !k->holds_back)
					reset_shippers(k, p);
			}
		}
		hold_time(k);
		own_positions(k);
		sl_commit();
	}
	if (foreign)
	{
		/* another database has taken it since we looked */
		forget_partitions(k);
		rd_kafka_assign(k->client, NULL);
		rd_kafka_unsubscribe(k->client);
		refuse_group(k);
		return;
	}
	if (!known)
	{
		forget_partitions(k); /* and asked again */
		return;
	}
	for (int i = 0; i < k->n_partitions; i++)
	{
		k->partitions[i].taken = k->partitions[i].settled = k->partitions[i].at;
		k->partitions[i].stored = k->partitions[i].at.next;
		free(k->partitions[i].tag);
		k->partitions[i].tag = NULL;
	}
	k->stored_at = sl_now_ms();
	if (adopted)
	{
		rd_kafka_topic_partition_list_t *commit = tagged_list(k);

		rd_kafka_commit_queue(k->client, commit, k->replies, NULL, (void *) k->rebalances);
		rd_kafka_topic_partition_list_destroy(commit);
		k->stage = COMMITTING;
	}
	else
		k->stage = COMMITTED;
}

/* Looks at the group's tags before it is joined: stage UNCHECKED → NONE, if it isn't another's. */
static void
check_owner(kafka *k)
{
	rd_kafka_topic_partition_list_t *list = topic_partitions(k);
	rd_kafka_resp_err_t err;
	bool known = list && (list->cnt == 0 || ask_committed(k, list)),
		 foreign = false;

	k->ask_after = sl_now_ms() + ASK_EVERY;
	foreign = known && has_foreign_tag(k, list);
	if (list)
		rd_kafka_topic_partition_list_destroy(list);
	if (foreign)
		refuse_group(k);
	if (foreign || !known)
		return;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, k->topic, RD_KAFKA_PARTITION_UA);
	err = rd_kafka_subscribe(k->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (err)
		complain(k, "could not subscribe to topic \"%s\": %s", k->topic, rd_kafka_err2str(err));
	else
		k->stage = NONE;
}

/* The answer to the commit of a reset: stage COMMITTING → COMMITTED. */
static void
serve_reply(kafka *k, rd_kafka_event_t *event)
{
	/* asked for an assignment that is gone? */
	if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_OFFSET_COMMIT || k->stage != COMMITTING ||
		(intptr_t) rd_kafka_event_opaque(event) != k->rebalances)
		return;
	if (rd_kafka_event_error(event))
	{
		/* the group may be rebalancing: ask again from the start */
		complain(k, "could not commit an adopted reset: %s", rd_kafka_event_error_string(event));
		forget_partitions(k);
		return;
	}
	for (int i = 0; i < k->n_partitions; i++)
		k->partitions[i].committed = k->partitions[i].stored;
	k->stage = COMMITTED;
}

/* Does what rebalances and replies ask for. */
static void
serve(kafka *k)
{
	rd_kafka_topic_partition_list_t *topic;
	rd_kafka_event_t *event;

	if (k->revoked)
	{
		drop_messages(k); /* not judged yet: whoever gets the partition reads them */
		if (k->n_partitions > 0 && k->stage > NONE)
		{
			bool reading = k->stage == READING;

			store_progress(k, true);
			if (reading)
				commit_offsets(k);
		}
		forget_partitions(k);
		if (!k->offered)
			rd_kafka_assign(k->client, NULL);
		/* last: what an error above left undone is done by the next step */
		k->revoked = false;
	}
	while ((event = rd_kafka_queue_poll(k->replies, 0)) != NULL)
	{
		serve_reply(k, event);
		rd_kafka_event_destroy(event);
	}
	/* more workers than partitions: this one has none to speak for */
	if (k->offered && k->offered->cnt == 0 && k->stage == NONE)
	{
		rd_kafka_assign(k->client, k->offered);
		rd_kafka_topic_partition_list_destroy(k->offered);
		k->offered = NULL;
		k->stage = READING;
		topic = topic_partitions(k);
		k->no_topic = topic && topic->cnt == 0;
		if (topic)
			rd_kafka_topic_partition_list_destroy(topic);
	}
	if (k->stage == UNCHECKED && sl_now_ms() >= k->ask_after)
		check_owner(k);
	if (k->stage == NONE && k->offered && sl_now_ms() >= k->ask_after)
		find_positions(k);
	if (k->stage == COMMITTED)
		assign_partitions(k);
	if (k->stage == READING)
		fill_gaps(k);
	if (k->stage == READING && k->again)
		k->stage = COMMITTED;
	k->again = false;
}

static void
show_status(kafka *k)
{
	static const char *const words[] = {"reaching the broker", "joining the group", "committing a reset", "starting to read"};

	/* librdkafka repeats its complaints while there is reason to */
	if (k->stage == READING && k->trouble[0] && sl_now_ms() - k->trouble_at > TROUBLE_LASTS)
		k->trouble[0] = '\0';
	if (k->no_topic)
		sl_worker_status("topic \"%s\" is not there: make it, or check its name", k->topic);
	else if (k->no_partition)
		sl_worker_status("topic \"%s\" has none of the partitions that this source reads: check its option \"" SL_PARTITIONS "\"", k->topic);
	else if (k->trouble[0])
		sl_worker_status("%s", k->trouble);
	else if (k->stage != READING)
		sl_worker_status("%s", words[k->stage]);
	else
		sl_worker_status("%s", k->source.note ? k->source.note : "");
}

/* Where a message came from, as a JSON object; taken: records of it that were judged, though it is a dead letter. */
static const char *
origin_of(kafka *k, sl_batch *batch, const rd_kafka_message_t *message, size_t taken)
{
	rd_kafka_timestamp_type_t type;
	sl_buf origin;

	sl_buf_init(&origin, batch->arena, 256);
	sl_buf_puts(&origin, "{\"source\":");
	sl_buf_json_string(&origin, (sl_str){k->name, strlen(k->name)});
	sl_buf_puts(&origin, ",\"topic\":");
	sl_buf_json_string(&origin, (sl_str){k->topic, strlen(k->topic)});
	sl_buf_printf(&origin, ",\"partition\":%d,\"offset\":%lld,\"timestamp_ms\":%lld", message->partition,
				  (long long) message->offset, (long long) rd_kafka_message_timestamp(message, &type));
	if (taken > 0)
		sl_buf_printf(&origin, ",\"taken\":%zu", taken);
	sl_buf_putc(&origin, '}');
	return origin.p;
}

/*
 * A message's key and headers, called as OpenTelemetry calls them: attributes
 * of its records.
 */
static void
read_headers(sl_arena *arena, const rd_kafka_message_t *message, sl_fields *fields)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t n;

	if (message->key)
		*sl_fields_add(arena, fields, SL_STR("messaging.kafka.message.key")) =
			(sl_value){.type = SL_STRING, .u.s = sl_utf8_repair(arena, message->key, message->key_len)};
	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &n) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
	{
		sl_str clean = sl_utf8_repair(arena, name, strlen(name));
		sl_value v = {.type = SL_NULL};

		if (value)
			v = (sl_value){.type = SL_STRING, .u.s = sl_utf8_repair(arena, value, n)};
		*sl_fields_add(arena, fields, sl_strf(arena, "kafka.header.%.*s", SL_STR_FMT(clean))) = v;
	}
}

/* The same for a dead letter: a JSON object, or NULL. */
static const char *
headers_of(sl_batch *batch, const rd_kafka_message_t *message)
{
	sl_fields fields = {0};
	sl_buf json;

	read_headers(batch->arena, message, &fields);
	if (fields.n == 0)
		return NULL;
	sl_buf_init(&json, batch->arena, 256);
	sl_fields_json(&json, &fields, 0);
	sl_buf_putc(&json, '\0');
	return json.p;
}

static void
add_headers(sl_batch *batch, size_t from, const rd_kafka_message_t *message)
{
	sl_fields fields = {0};

	read_headers(batch->arena, message, &fields);
	for (size_t i = from; fields.n > 0 && i < batch->records.n; i++)
		for (uint32_t k = 0; k < fields.n; k++)
			*sl_fields_add(batch->arena, &batch->records.v[i].attributes, fields.v[k].name) = fields.v[k].value;
}

/* Is it one that workers crashed at?  Then it is a dead letter. */
static bool
was_fatal(kafka *k, sl_batch *batch, const rd_kafka_message_t *message)
{
	char place[300];
	sl_error why;

	if (batch->limit > 1)
		return false;
	batch->origin = origin_of(k, batch, message, 0);
	batch->payload = message->payload;
	batch->payload_n = message->len;
	batch->headers = headers_of(batch, message);
	snprintf(place, sizeof(place), "%s/%d/%lld", k->topic, message->partition, (long long) message->offset);
	if (!sl_crash_enter(place, &why))
		return false;
	sl_batch_dead(batch, message->payload, message->len, batch->origin, batch->headers, &why);
	return true;
}

/*
 * The message as records, or as a dead letter.  False when it is beyond what
 * is left of the batch's memory: it begins the next one.
 */
static bool
decode(kafka *k, sl_batch *batch, const rd_kafka_message_t *message)
{
	MemoryContext context = CurrentMemoryContext;
	const sl_records before = batch->records;
	volatile bool ok = true,
				  fits = true;
	rd_kafka_timestamp_type_t type;
	sl_error err;

	PG_TRY();
	{
		ok = sl_decode(k->format, message->payload, message->len, batch->arena, &batch->records, &err);
		if (ok)
			add_headers(batch, before.n, message);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
		ok = false;
		fits = before.n == 0 && batch->n_dead == 0;
		sl_fail(&err, SL_LIMIT_EXCEEDED, "%s", error->message);
		/* room for what is said of it; the batch ends here */
		batch->arena->limit = 0;
		batch->bytes = batch->room;
		FreeErrorData(error);
	}
	PG_END_TRY();
	if (ok)
	{
		/* Kafka's own time is when the message was taken in */
		for (size_t i = before.n; i < batch->records.n; i++)
			if (!batch->records.v[i].timestamp && !batch->records.v[i].observed)
				batch->records.v[i].observed = Max(rd_kafka_message_timestamp(message, &type), 0) * 1000000;
		/* some of its records could not be taken: the message is kept, and says so */
		if (batch->records.refused == before.refused)
			return true;
		err = *batch->records.refusal;
		sl_error_detail(&err, "Of its records, %zu were refused and %zu taken.",
						batch->records.refused - before.refused, batch->records.n - before.n);
	}
	else
		sl_records_restore(&batch->records, &before);
	if (fits)
		sl_batch_dead(batch, message->payload, message->len, origin_of(k, batch, message, batch->records.n - before.n), headers_of(batch, message), &err);
	return fits;
}

/*
 * How far the source has come: as its slowest partition.  One that has been
 * quiet for a while and has nothing waiting isn't waited for.
 */
static int64
lowest_watermark(kafka *k, const partition *except, int64 now)
{
	int64 lowest = PG_INT64_MAX;

	for (int i = 0; i < k->n_partitions; i++)
	{
		partition *p = &k->partitions[i];
		int64_t low,
			end;

		if (p == except)
			continue;
		/* where the end isn't known, something may be waiting */
		if (now - p->active_at > SL_IDLE &&
			rd_kafka_get_watermark_offsets(k->client, k->topic, p->id, &low, &end) == RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0 && end <= p->taken.next)
			continue;
		lowest = Min(lowest, p->taken.watermark);
	}
	if (k->n_partitions == 0)
		return k->stage == READING ? PG_INT64_MAX : PG_INT64_MIN;
	return lowest < PG_INT64_MAX || except ? lowest : sl_now_ns() - (int64) SL_IDLE * 1000000;
}

/* A message's records, in the order in which they are judged. */
static void
move_watermark(kafka *k, partition *p, sl_batch *batch, size_t from, int64 now_ns, int64 now_ms)
{
	int64 others = lowest_watermark(k, p, now_ms);

	p->active_at = now_ms;
	for (size_t i = from; i < batch->records.n; i++)
	{
		p->taken.watermark = sl_watermark(p->taken.watermark, &batch->records.v[i], now_ns);
		batch->records.v[i].watermark = Min(others, p->taken.watermark);
	}
}

/* Messages that aren't one, and say something of the topic. */
static void
note_errors(kafka *k)
{
	for (size_t i = 0; i < k->n_messages; i++)
		if (k->messages[i]->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
			k->no_topic = true;
}

static size_t
consume(rd_kafka_queue_t *queue, rd_kafka_message_t **to, size_t room)
{
	ssize_t n = rd_kafka_consume_batch_queue(queue, 0, to, room);

	return n > 0 ? (size_t) n : 0;
}

/*
 * A shipper's consumer queue has nothing but what concerns the group as a
 * whole.  It is served also while there is no room: that keeps us in the group.
 */
static void
serve_group(kafka *k)
{
	rd_kafka_message_t *some[16];
	size_t n = consume(k->queue, some, lengthof(some));

	for (size_t i = 0; i < n; i++)
		if (k->n_messages < SL_BATCH_RECORDS && some[i]->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
			k->messages[k->n_messages++] = some[i];
		else
		{
			if (some[i]->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
				k->no_topic = true;
			rd_kafka_message_destroy(some[i]);
		}
}

/* room: may messages be had, or only what the group has to say? */
static void
fetch(kafka *k, bool room)
{
	bool left = k->n_messages > 0; /* by an undone or a full batch */

	if (!left)
		k->first = k->used = 0;
	if (k->holds_back)
		serve_group(k);
	else if (!left)
		k->n_messages = consume(k->queue, k->messages, SL_BATCH_RECORDS);
	if (left)
		return;
	/* one partition after another, each first in turn */
	for (int i = 0; room && k->stage == READING && i < k->n_partitions && k->n_messages < SL_BATCH_RECORDS; i++)
	{
		partition *p = &k->partitions[(k->next_queue + i) % k->n_partitions];

		if (p->queue)
			k->n_messages += consume(p->queue, k->messages + k->n_messages, SL_BATCH_RECORDS - k->n_messages);
	}
	k->next_queue = k->n_partitions ? (k->next_queue + 1) % k->n_partitions : 0;
	note_errors(k);
}

/*
 * Were positions moved under a shipper's feet, by a reset of the source's
 * group?  Then they are found again.
 */
static void
check_positions(kafka *k)
{
	Oid types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum values[4];
	bool moved = false;

	if (!k->holds_back || k->stage != READING || sl_now_ms() - k->checked_at < 1000)
		return;
	k->checked_at = sl_now_ms();
	sl_begin();
	values[0] = CStringGetTextDatum(k->name);
	values[1] = CStringGetTextDatum(k->topic);
	values[2] = CStringGetTextDatum(k->sink);
	values[3] = CStringGetTextDatum(k->owner);
	if (SPI_execute_with_args("SELECT partition, next_offset FROM stacklens_internal.positions WHERE source = $1 AND topic = $2 AND sink = $3 AND owner = $4",
							  4, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read positions");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		partition *p = find_partition(k, DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));

		moved |= p && p->stored != DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	sl_commit();
	if (!moved)
		return;
	k->rebalances++; /* what is on its way moves nothing any more */
	forget_partitions(k);
	k->ask_after = 0;
}

static bool
kafka_poll(sl_source *source, sl_batch *batch, int *wait_ms)
{
	kafka *k = (kafka *) source;
	bool again = false;
	int64 now_ns = sl_now_ns(), /* asked once: a batch takes some ms */
		now_ms = sl_now_ms();

	check_positions(k);
	fetch(k, batch->room > 0 && !has_gap(k));
	serve(k);
	show_status(k);
	*wait_ms = k->stage == READING ? 1000 : 100;
	if (k->stage != READING)
	{
		if (k->n_messages > 0)
			drop_messages(k); /* left over from an assignment that is gone */
		return false;
	}
	take_none(k);
	k->used = k->first;
	while (k->used < k->n_messages && batch->bytes < batch->room && batch->records.n < SL_BATCH_RECORDS && batch->units < batch->limit)
	{
		rd_kafka_message_t *message = k->messages[k->used];
		partition *p = find_partition(k, message->partition);
		rd_kafka_timestamp_type_t type;

		if (message->err)
		{
			if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && p)
			{
				/* one of an assignment before this one says nothing, but has stopped the partition: it is assigned again */
				if (message->offset == p->assigned || message->offset == p->taken.next)
					p->out_of_range = true;
				else
					again = true;
			}
			/* its end, past what a compaction or a transaction left nothing of */
			else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && p)
			{
				if (message->offset >= p->at.next && p->verify)
					p->verify = false; /* the message to compare is gone */
				if (message->offset > p->taken.next && !p->verify && !p->anew)
					p->taken.next = message->offset;
			}
			else
				complain(k, "%s", rd_kafka_message_errstr(message));
			k->used++;
			continue;
		}
		if (p && p->verify)
		{
			p->verify = false;
			p->anew = message->offset == p->at.last.offset && rd_kafka_message_timestamp(message, &type) != p->at.last.timestamp;
		}
		if (p && !p->anew && message->offset >= p->taken.next)
		{
			size_t before = batch->records.n;

			/* a tombstone says that a key is gone: there is no log in it */
			if (message->payload && !was_fatal(k, batch, message) && !decode(k, batch, message))
				break;
			sl_batch_unit(batch, before, (sl_place){.partition = p->id, .number = message->offset, .arrived = Max(rd_kafka_message_timestamp(message, &type), 0) * 1000000});
			if (!k->holds_back)
				move_watermark(k, p, batch, before, now_ns, now_ms);
			batch->bytes += message->len;
			p->taken.next = message->offset + 1;
			p->taken.last = (message_id){message->offset, rd_kafka_message_timestamp(message, &type)};
			k->trouble[0] = '\0';
		}
		k->used++;
	}
	batch->watermark = lowest_watermark(k, NULL, now_ms);
	k->again = again;
	if (k->used > k->first)
		return true;
	/* idle: what moved is stored and told */
	if (k->changed && !k->holds_back)
		store_progress(k, false);
	if (sl_now_ms() - k->committed_at > COMMIT_EVERY)
		commit_offsets(k);
	if (k->holds_back)
		return false;
	/* time goes on: a batch without records, for what is due */
	if (sl_now_ms() - k->idle_at < 1000)
		return false;
	k->idle_at = sl_now_ms();
	return true;
}

/* The records are there already: poll has decoded them, outside the transaction. */
static void
kafka_take(sl_source *source, sl_batch *batch)
{
	(void) source;
	(void) batch;
}

static bool
kafka_settle(sl_source *source, sl_batch *batch, bool effects)
{
	kafka *k = (kafka *) source;

	if (!effects && sl_now_ms() - k->stored_at < SL_STORE_EVERY)
		return false;
	store_positions(k);
	return true;
}

static bool
kafka_settled(sl_source *source, sl_batch *batch, bool stored)
{
	kafka *k = (kafka *) source;

	bool moved = k->used > k->first;

	for (int i = 0; i < k->n_partitions; i++)
	{
		k->partitions[i].at = k->partitions[i].taken;
		if (!k->holds_back)
			k->partitions[i].settled = k->partitions[i].at;
	}
	for (size_t i = k->first; i < k->used; i++)
		rd_kafka_message_destroy(k->messages[i]);
	k->first = k->used;
	if (k->first == k->n_messages)
		k->first = k->used = k->n_messages = 0;
	k->changed |= moved && !k->holds_back;
	if (stored)
	{
		stored_positions(k);
		if (sl_now_ms() - k->committed_at > COMMIT_EVERY)
			commit_offsets(k);
	}
	return moved; /* there may be more: ask at once */
}

static void
kafka_undo(sl_source *source)
{
	kafka *k = (kafka *) source;

	k->used = k->first; /* the same messages again */
}

/* A shipper's ------------------------------------------------------------- */

static sl_mark *
kafka_mark(sl_source *source)
{
	kafka *k = (kafka *) source;
	sl_mark *mark = MemoryContextAlloc(TopMemoryContext, offsetof(sl_mark, v) + Max(k->n_partitions, 1) * sizeof(place));

	mark->rebalances = k->rebalances;
	mark->n = k->n_partitions;
	for (int i = 0; i < k->n_partitions; i++)
		mark->v[i] = k->partitions[i].at;
	return mark;
}

static bool
kafka_is_current(sl_source *source, const sl_mark *mark)
{
	kafka *k = (kafka *) source;

	return mark->rebalances == k->rebalances && k->stage >= COMMITTED && mark->n == k->n_partitions;
}

static void
kafka_reach(sl_source *source, const sl_mark *mark)
{
	kafka *k = (kafka *) source;

	for (int i = 0; i < k->n_partitions; i++)
	{
		k->changed |= k->partitions[i].settled.next != mark->v[i].next;
		k->partitions[i].settled = mark->v[i];
	}
}

static bool
kafka_store(sl_source *source)
{
	kafka *k = (kafka *) source;

	if (!k->changed)
		return false;
	store_positions(k);
	return true;
}

static void
kafka_stored(sl_source *source)
{
	kafka *k = (kafka *) source;

	stored_positions(k);
	if (sl_now_ms() - k->committed_at > COMMIT_EVERY)
		commit_offsets(k);
}

static void
kafka_free_mark(sl_source *source, sl_mark *mark)
{
	pfree(mark);
}

/*
 * Leaves the group, so that others needn't wait for the session to time out.
 * Progress that isn't stored had no effects: it is not waited for.
 */
static void
leave_group(int code, Datum arg)
{
	kafka *k = (kafka *) DatumGetPointer(arg);
	int64 deadline = sl_now_ms() + CLOSE_DEADLINE;
	rd_kafka_error_t *error;

	drop_messages(k);
	if (k->stage == READING)
		commit_offsets(k);
	error = rd_kafka_consumer_close_queue(k->client, k->queue);
	if (error)
		rd_kafka_error_destroy(error);
	while (!rd_kafka_consumer_closed(k->client) && sl_now_ms() < deadline)
	{
		fetch(k, false);
		drop_messages(k);
		if (k->revoked)
		{
			k->revoked = false;
			rd_kafka_assign(k->client, NULL);
		}
		pg_usleep(5000);
	}
	/* the client itself is left to the end of the process: destroying it may wait */
}

static void
set_option(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char reason[300];

	if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
		ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("Kafka option \"%s\": %s", name, reason)));
}

/* Reads the source's row; sets the options that are the user's. */
static void
load_source(kafka *k, rd_kafka_conf_t *conf)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(k->name)};
	MemoryContext context = CurrentMemoryContext;
	HeapTuple tuple;
	TupleDesc desc;
	char *format,
		*brokers;
	sl_str name;

	sl_begin();
	if (SPI_execute_with_args("SELECT s.brokers, s.topic, s.group_id, s.format, s.start, i.id::pg_catalog.text, i.term,"
							  " COALESCE(s.adopted_from::pg_catalog.text, ''), s.store"
							  " FROM stacklens_internal.sources s, stacklens_internal.incarnation i WHERE s.name = $1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		ereport(FATAL, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("Kafka source \"%s\" does not exist", k->name)));
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	brokers = SPI_getvalue(tuple, desc, 1);
	set_option(conf, "bootstrap.servers", brokers);
	k->topic = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(tuple, desc, 2));
	k->group = MemoryContextStrdup(TopMemoryContext, psprintf("%s%s", SPI_getvalue(tuple, desc, 3), k->holds_back ? SL_SHIPPER_GROUP : ""));
	k->source.topic = k->topic;
	format = SPI_getvalue(tuple, desc, 4);
	name = (sl_str){format, strlen(format)};
	if (!sl_format_from_name(name, &k->format))
		elog(FATAL, "unknown format \"%s\"", format);
	k->start_latest = strcmp(SPI_getvalue(tuple, desc, 5), "latest") == 0;
	k->incarnation = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(tuple, desc, 6));
	k->term = pg_strtoint32(SPI_getvalue(tuple, desc, 7));
	k->adopted = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(tuple, desc, 8));
	k->source.stores = strcmp(SPI_getvalue(tuple, desc, 9), "t") == 0;
	k->owner = MemoryContextStrdup(TopMemoryContext, sl_owner_name(sl_my_slot));
	if (SPI_execute_with_args("SELECT o.key, o.value FROM stacklens_internal.sources s, pg_catalog.jsonb_each_text(s.options) o"
							  " WHERE s.name = $1",
							  1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the options of a source");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *option = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		/* checked when it was stored, and again: a table can be restored from anywhere */
		if (!sl_kafka_option_allowed(option))
			ereport(FATAL, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("option \"%s\" of a Kafka source is not allowed", option)));
		k->scram = k->scram || (strncmp(option, "sasl.mechanism", 14) == 0 && strncmp(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), "SCRAM", 5) == 0);
		if (strcmp(option, SL_PARTITIONS) == 0)
		{
			if (!sl_ranges_read(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), &k->wanted))
				ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("option \"%s\" of Kafka source \"%s\" is no list of partitions", option, k->name)));
			continue;
		}
		set_option(conf, option, sl_kafka_option_value(option, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), brokers));
	}
	sl_commit();
	MemoryContextSwitchTo(context);
}

sl_source *
sl_kafka_open(const char *name, const char *sink)
{
	static kafka k;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[300];
	char kbytes[32];
	sigset_t all,
		old;

	k.source = (sl_source){
		.name = name, .poll = kafka_poll, .take = kafka_take, .settle = kafka_settle, .settled = kafka_settled, .undo = kafka_undo, .mark = kafka_mark, .is_current = kafka_is_current, .reach = kafka_reach, .store = kafka_store, .stored = kafka_stored, .free_mark = kafka_free_mark};
	k.sink = sink;
	k.holds_back = sink[0] != '\0';
	k.name = MemoryContextStrdup(TopMemoryContext, name);
	/* how soon added partitions are seen; a source may say otherwise */
	set_option(conf, "topic.metadata.refresh.interval.ms", "10000");
	load_source(&k, conf);
	set_option(conf, "group.id", k.group);
	set_option(conf, "enable.auto.commit", "false");
	set_option(conf, "enable.auto.offset.store", "false");
	set_option(conf, "auto.offset.reset", "error");
	set_option(conf, "isolation.level", "read_committed");
	set_option(conf, "enable.partition.eof", "true");
	/* one by one: where a source reads a range of partitions, each of its evaluators gets some */
	set_option(conf, "partition.assignment.strategy", "roundrobin");
	set_option(conf, "log.queue", "true");
	snprintf(kbytes, sizeof(kbytes), "%d", Max(1024, sl_work_mem / 4));
	set_option(conf, "queued.max.messages.kbytes", kbytes);
	/* a queue that was full is filled again at once; versions before 2.2.0 wait for a second, and don't know the option */
	(void) rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", NULL, 0);
	rd_kafka_conf_set_opaque(conf, &k);
	rd_kafka_conf_set_rebalance_cb(conf, rebalance_cb);
	rd_kafka_conf_set_error_cb(conf, error_cb);
	rd_kafka_conf_set_log_cb(conf, log_cb);
	k.messages = MemoryContextAlloc(TopMemoryContext, SL_BATCH_RECORDS * sizeof(rd_kafka_message_t *));

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	k.client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!k.client)
		ereport(FATAL, (errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION), errmsg("could not make a Kafka consumer: %s", reason)));
	rd_kafka_poll_set_consumer(k.client);
	rd_kafka_set_log_queue(k.client, NULL);
	k.queue = rd_kafka_queue_get_consumer(k.client);
	k.replies = rd_kafka_queue_new(k.client);
	k.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (k.wake_fd < 0)
		ereport(FATAL, (errcode_for_socket_access(), errmsg("could not create an eventfd: %m")));
	{
		static const uint64 one = 1;

		rd_kafka_queue_io_event_enable(k.queue, k.wake_fd, &one, sizeof(one));
		rd_kafka_queue_io_event_enable(k.replies, k.wake_fd, &one, sizeof(one));
	}
	if (!sl_loop_watch(k.wake_fd, EPOLLIN, woken, &k))
		ereport(FATAL, (errcode_for_socket_access(), errmsg("could not watch an eventfd: %m")));
	/* however the process ends, also in the middle of its work */
	before_shmem_exit(leave_group, PointerGetDatum(&k));
	return &k.source;
}
