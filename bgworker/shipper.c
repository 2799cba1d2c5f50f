/*
 * shipper.c
 *	  Sends the records of one source to one sink, each once in effect.
 *
 * What is read becomes documents in a shipment; shipments are on their way
 * side by side, within a budget of memory, and come back in any order.  Each
 * remembers where the source was when it was closed.  The position moves over
 * the settled prefix only: to where the oldest shipment that isn't back yet
 * begins.  So a crash sends some documents again, under the same ids.
 *
 *		read → the open shipment → handed over → finished → settled
 *
 * Documents that the sink refused for good are set aside in the transaction
 * that moves the position past them.  No transaction is open while anything
 * is on its way.
 */
#include "worker.h"

#include "alert/alert.h"
#include "bgworker/crash.h"
#include "sink/sink.h"
#include "source/source.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* ms */
#define LINGER 200		/* how long a shipment waits to be filled while others are on their way */
#define STORE_EVERY 200 /* positions without dead letters */
#define LOOK_EVERY 1000 /* for documents that are to be sent again */

/* Documents that are sent again at a time. */
#define AGAIN_MOST 500

/* After a crash, units that are read one by one. */
#define CAREFUL_UNITS (2 * SL_BATCH_RECORDS)

static sl_source *source;
static sl_sink *sink;
static sl_document_origin origin;
static sl_arena origin_arena;
static sl_arena batch_arena;
static bool undo; /* the last batch failed */
static size_t careful;

static sl_shipment *oldest; /* all that is not settled, the open one last */
static sl_shipment *newest;
static sl_shipment *spare; /* to be used again */
static sl_shipment *again; /* documents that are sent again, if there are any: no part of the source's order */
static int64 stored_at;
static int64 looked_at;

/* Shipments ------------------------------------------------------------------ */

static sl_shipment *
new_shipment(void)
{
	sl_shipment *s = spare;
	sl_arena arena = {0};

	if (s)
	{
		spare = s->next;
		arena = s->arena;
	}
	else
		s = MemoryContextAlloc(TopMemoryContext, sizeof(*s));
	memset(s, 0, sizeof(*s));
	s->arena = arena;
	sl_server_arena(&s->arena);
	s->arena.limit = 0; /* the budget of all bounds it */
	sl_buf_init(&s->body, &s->arena, 2 * sink->wanted_bytes + 65536);
	s->since = sl_now_ms();
	return s;
}

void
sl_shipment_item(sl_shipment *shipment, size_t start)
{
	SL_ROOM(&shipment->arena, shipment->items, shipment->n, shipment->room, 512);
	shipment->items[shipment->n++] = (sl_item){start, shipment->body.n};
}

sl_refusal *
sl_shipment_refuse(sl_shipment *shipment, const char *p, size_t n, const char *why, ...)
{
	sl_refusal *refusal = sl_alloc0(&shipment->arena, sizeof(*refusal));
	va_list args;

	refusal->document = sl_str_copy(&shipment->arena, p, n);
	va_start(args, why);
	sl_format_text(refusal->reason, sizeof(refusal->reason), why, args);
	va_end(args);
	refusal->next = shipment->refused;
	shipment->refused = refusal;
	shipment->n_refused++;
	return refusal;
}

/* The one at the end of the queue that takes documents. */
static sl_shipment *
open_shipment(void)
{
	sl_shipment *s;

	if (newest && !newest->handed_over)
		return newest;
	s = new_shipment();
	if (newest)
		newest->next = s;
	else
		oldest = s;
	newest = s;
	return s;
}

static void
put_away(sl_shipment *s)
{
	if (s->mark)
		source->free_mark(source, s->mark);
	s->mark = NULL;
	/* what a huge document made it hold is given back */
	if (s->arena.held > 4 * sink->wanted_bytes + 1024 * 1024)
		sl_arena_reset(&s->arena);
	s->next = spare;
	spare = s;
}

static void
take_out_oldest(void)
{
	sl_shipment *s = oldest;

	oldest = s->next;
	if (!oldest)
		newest = NULL;
	put_away(s);
}

/* What was read of partitions that are others' now is theirs to send. */
static void
drop_stale(void)
{
	sl_shipment *kept = NULL,
				*last = NULL;

	for (sl_shipment *s = oldest, *next; s; s = next)
	{
		next = s->next;
		s->next = NULL;
		if (s->mark && !source->is_current(source, s->mark))
		{
			if (s->handed_over && !s->finished)
				sink->recall(sink, s);
			put_away(s);
			continue;
		}
		if (last)
			last->next = s;
		else
			kept = s;
		last = s;
	}
	oldest = kept;
	newest = last;
}

static size_t
bytes_held(int *handed_over)
{
	size_t bytes = 0;

	*handed_over = 0;
	for (const sl_shipment *s = oldest; s; s = s->next)
	{
		bytes += s->body.n;
		*handed_over += s->handed_over && !s->finished;
	}
	return bytes;
}

/* Settling --------------------------------------------------------------------- */

/* A refused document as a dead letter: the action that it was sent with tells its index and id. */
static void
set_aside(sl_batch *letters, const sl_refusal *refusal)
{
	static const char before[] = "{\"create\":";
	sl_error err = {0};
	sl_buf where;
	const char *line = memchr(refusal->document.p, '\n', refusal->document.n);

	sl_buf_init(&where, letters->arena, 256);
	sl_buf_puts(&where, "{\"sink\":");
	sl_buf_json_string(&where, (sl_str){sink->name, strlen(sink->name)});
	sl_buf_puts(&where, ",\"source\":");
	sl_buf_json_string(&where, (sl_str){source->name, strlen(source->name)});
	sl_buf_printf(&where, ",\"status\":%d", refusal->status);
	if (line && line - refusal->document.p > (ptrdiff_t) sizeof(before))
	{
		sl_buf_puts(&where, ",\"document\":");
		sl_buf_add(&where, refusal->document.p + sizeof(before) - 1, line - 1 - (refusal->document.p + sizeof(before) - 1));
	}
	sl_buf_putc(&where, '}');
	sl_fail(&err, SL_REFUSED_BY_SINK, "%s", refusal->reason);
	sl_batch_dead(letters, refusal->document.p, refusal->document.n, where.p, NULL, &err);
}

/*
 * A message that could not be read is the evaluators' to set aside, who judge
 * it with the same settings.  Unless they have been past it, with other ones,
 * and have not: then it is ours.
 */
static void
set_message_aside(const sl_refusal *refusal)
{
	Oid types[6] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID};
	Datum values[6] = {CStringGetTextDatum(sink->name), CStringGetTextDatum(refusal->origin), CStringGetTextDatum(refusal->reason),
					   CStringGetTextDatum(refusal->sqlstate), sl_bytea(refusal->document.p, refusal->document.n),
					   CStringGetTextDatum(refusal->headers ? refusal->headers : "")};

	if (SPI_execute_with_args("SELECT stacklens_internal.set_message_aside($1, $2::pg_catalog.jsonb, $3, $4, $5, NULLIF($6, '')::pg_catalog.jsonb)",
							  6, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not set a message aside");
}

static void
delete_again(const sl_shipment *s)
{
	Oid types[1] = {INT8ARRAYOID};
	Datum *ids = palloc(s->n_again * sizeof(Datum));
	Datum values[1];

	for (size_t i = 0; i < s->n_again; i++)
		ids[i] = Int64GetDatum(s->again[i]);
	values[0] = PointerGetDatum(construct_array(ids, (int) s->n_again, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	if (SPI_execute_with_args("DELETE FROM stacklens_internal.documents_again WHERE id = ANY ($1)", 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not forget documents that were sent again");
}

/* Stores what was reached, and ends the transaction. */
static void
store_reached(void (*commit)(void))
{
	bool stored = source->store(source);

	commit();
	if (stored)
		source->stored(source);
	stored_at = sl_now_ms();
}

/* A finished shipment's dead letters, with the position after it. */
static void
settle_with_letters(sl_shipment *s)
{
	sl_batch letters = {.arena = &batch_arena};

	sl_server_arena(&batch_arena);
	batch_arena.limit = 0;
	for (const sl_refusal *refusal = s->refused; refusal; refusal = refusal->next)
		if (!refusal->origin)
			set_aside(&letters, refusal);
	sl_begin();
	for (const sl_refusal *refusal = s->refused; refusal; refusal = refusal->next)
		if (refusal->origin)
			set_message_aside(refusal);
	if (s->n_again > 0)
		delete_again(s);
	sl_dead_letters_store(&letters);
	if (s->mark)
		source->reach(source, s->mark);
	store_reached(sl_commit);
	pg_atomic_fetch_add_u64(&sl_my_slot->dead_letters, letters.n_dead);
}

static void
settle(void)
{
	while (oldest && oldest->finished)
	{
		if (oldest->n_refused > 0)
			settle_with_letters(oldest);
		else if (oldest->mark) /* none: an error came between, and its documents are read again */
			source->reach(source, oldest->mark);
		take_out_oldest();
	}
	if (again && again->finished)
	{
		settle_with_letters(again);
		put_away(again);
		again = NULL;
		looked_at = 0; /* there may be more */
	}
	if (sl_now_ms() - stored_at >= STORE_EVERY)
	{
		sl_begin();
		store_reached(sl_commit_lazily);
	}
	pg_atomic_write_u64(&sl_my_slot->oldest, oldest ? (uint64) (GetCurrentTimestamp() - (sl_now_ms() - oldest->since) * 1000) : 0);
}

/* Reading ---------------------------------------------------------------------- */

static void
add_documents(sl_shipment *s, const sl_batch *batch)
{
	for (size_t unit = 0; unit < batch->units; unit++)
	{
		size_t end = unit + 1 < batch->units ? batch->places[unit + 1].first : batch->records.n;
		sl_place place = batch->places[unit].place;

		for (size_t i = batch->places[unit].first; i < end; i++)
		{
			sink->add(sink, s, &origin, &batch->records.v[i], &place);
			place.index++;
		}
	}
	for (const sl_dead_letter *letter = batch->dead; letter; letter = letter->next)
	{
		sl_refusal *refusal = sl_shipment_refuse(s, letter->payload, letter->n, "%s", letter->error.message);

		refusal->origin = sl_str_copy(&s->arena, letter->origin, strlen(letter->origin) + 1).p;
		if (letter->headers)
			refusal->headers = sl_str_copy(&s->arena, letter->headers, strlen(letter->headers) + 1).p;
		refusal->sqlstate = sl_str_copy(&s->arena, letter->error.sqlstate, 6).p;
	}
}

static void
take_mark(sl_shipment *s)
{
	sl_mark *mark = source->mark(source);

	if (s && s->mark)
		source->free_mark(source, s->mark);
	if (s)
	{
		s->mark = mark;
		s->whole.body = s->body.n;
		s->whole.items = s->n;
		s->whole.refused = s->refused;
		s->whole.n_refused = s->n_refused;
	}
	else
	{
		/* nothing is on its way: it is reached */
		source->reach(source, mark);
		source->free_mark(source, mark);
	}
}

/* What an error left half done is taken back: it is read again. */
static void
take_back(void)
{
	sl_shipment *s = newest;

	source->undo(source);
	if (!s || s->handed_over)
		return;
	s->body.n = s->whole.body;
	s->n = s->whole.items;
	s->refused = s->whole.refused;
	s->n_refused = s->whole.n_refused;
}

/* Reads a batch, if there is room for one; false when there was nothing. */
static bool
read_batch(bool room, int *wait_ms)
{
	sl_batch batch = {.arena = &batch_arena, .limit = careful ? 1 : SL_BATCH_RECORDS, .with_places = true};
	bool found;

	if (room)
		batch.room = Min(SL_BATCH_BYTES, sink->wanted_bytes);
	sl_server_arena(&batch_arena);
	if (undo)
		take_back();
	undo = true;
	found = source->poll(source, &batch, wait_ms);
	drop_stale();
	if (found)
	{
		/* rows are read in a transaction; messages are there already */
		if (!source->topic)
		{
			sl_begin();
			source->take(source, &batch);
			sl_commit_lazily();
		}
		if (batch.records.n > 0 || batch.n_dead > 0)
			add_documents(open_shipment(), &batch);
		sl_crash_leave();
		careful -= Min(careful, batch.units);
		found = source->settled(source, &batch, false);
		/* an empty one belongs to what was read before it */
		take_mark(newest);
		if (batch.records.n > 0)
			pg_atomic_write_u64(&sl_my_slot->last_batch_at, (uint64) GetCurrentTimestamp());
	}
	undo = false;
	return found;
}

/* Documents that redrive() wants to be sent again. */
static void
read_again(void)
{
	static sl_shipment *half; /* an error came between */
	Oid types[4] = {TEXTOID, TEXTOID, INT4OID, INT8OID};
	Datum values[4];

	if (again || sl_now_ms() - looked_at < LOOK_EVERY)
		return;
	looked_at = sl_now_ms();
	if (half)
		put_away(half);
	half = NULL;
	sl_begin();
	values[0] = CStringGetTextDatum(sink->name);
	values[1] = CStringGetTextDatum(source->name);
	values[2] = Int32GetDatum(AGAIN_MOST);
	values[3] = Int64GetDatum((int64) sink->wanted_bytes);
	if (SPI_execute_with_args("SELECT a.id, a.document FROM (SELECT d.id, d.document, sum(octet_length(d.document)) OVER (ORDER BY d.id) - octet_length(d.document) AS before"
							  " FROM stacklens_internal.documents_again d WHERE d.sink = $1 AND d.source = $2 ORDER BY d.id LIMIT $3) a WHERE a.before < $4 ORDER BY a.id",
							  4, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read documents that are to be sent again");
	if (SPI_processed > 0)
	{
		half = new_shipment();
		half->again = sl_alloc(&half->arena, SPI_processed * sizeof(int64));
	}
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		sink->add_again(sink, half, sl_column(&half->arena, SPI_tuptable->vals[i], 2));
		half->again[half->n_again++] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	sl_commit();
	again = half;
	half = NULL;
}

/* The loop ----------------------------------------------------------------------- */

/* Gives to the sink what is large enough, has waited long enough, or needn't wait. */
static int
hand_over(void)
{
	int handed_over;
	int wait = 1000;

	(void) bytes_held(&handed_over);
	if (newest && !newest->handed_over)
	{
		int64 age = sl_now_ms() - newest->since;

		if (handed_over == 0 || newest->body.n >= sink->wanted_bytes || age >= LINGER)
		{
			if (newest->n == 0)
			{
				/* nothing to send: only what was set aside, or nothing at all */
				newest->handed_over = newest->finished = true;
				wait = 0;
			}
			else
				sink->hand_over(sink, newest);
		}
		else
			wait = (int) (LINGER - age);
	}
	if (again && !again->handed_over)
		sink->hand_over(sink, again);
	return wait;
}

static int
step(void)
{
	MemoryContext context = CurrentMemoryContext;
	int wait = 1000,
		wait_source = 1000;
	int handed_over;
	size_t held;

	settle();
	MemoryContextSwitchTo(context);
	read_again();
	MemoryContextSwitchTo(context);
	held = bytes_held(&handed_over);
	source->note = sink->alarm;
	if (!source->topic)
		sl_worker_status("%s", sink->alarm);
	if (read_batch(handed_over < sink->wanted_shipments && held < (size_t) sl_work_mem * 1024 / 2, &wait_source))
		wait = 0;
	MemoryContextSwitchTo(context);
	wait = Min(wait, wait_source);
	wait = Min(wait, hand_over());
	wait = Min(wait, sink->work(sink));
	MemoryContextSwitchTo(context);
	/* an answer may have come at once */
	if ((oldest && oldest->finished) || (again && again->finished))
		wait = 0;
	return wait;
}

void
sl_shipper_main(Datum arg)
{
	Oid types[1] = {TEXTOID};
	Datum values[1];
	char *incarnation;

	sl_worker_start(arg, SL_SHIPPER);
	/* sockets are to be written to after the other end is gone: that is an error, no signal */
	pqsignal(SIGPIPE, SIG_IGN);
	sink = sl_elasticsearch_open(sl_my_slot->sink);
	if (strcmp(sl_my_slot->source, "inbox") == 0)
		source = sl_inbox_open(sl_my_slot->sink);
	else
		source = sl_kafka_open(sl_my_slot->source, sl_my_slot->sink);
	sl_begin();
	/* a restored copy goes on under the ids that its sources had */
	values[0] = CStringGetTextDatum(source->name);
	if (SPI_execute_with_args("SELECT COALESCE((SELECT s.identity FROM stacklens_internal.sources s WHERE s.name = $1), i.id)::pg_catalog.text"
							  " FROM stacklens_internal.incarnation i",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "there is no incarnation");
	incarnation = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	sl_server_arena(&origin_arena);
	sl_document_origin_init(&origin, &origin_arena, incarnation, source->name, source->topic ? source->topic : "");
	sl_commit();
	if (sl_crash_init(psprintf("%s > %s", source->name, sink->name)))
		careful = CAREFUL_UNITS;
	sl_worker_run(step);
}
