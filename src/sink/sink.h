/*
 * sink.h
 *	  Where records are sent to, as the shipper sees it.
 *
 * The shipper collects documents in shipments and hands these over; they are
 * on their way side by side, and come back finished in any order: each
 * document of them is there, or was refused for good and lies in the
 * shipment's list.  What can be tried again the sink tries by itself, for as
 * long as it takes.
 *
 * A second kind of destination implements these five functions.
 */
#ifndef SL_SINK_H
#define SL_SINK_H

#include "source/source.h"

typedef struct sl_item
{
	size_t start; /* in the body */
	size_t end;
} sl_item;

/* A document that will never be taken. */
typedef struct sl_refusal
{
	struct sl_refusal *next;
	sl_str document; /* what was sent, with its action before it */
	int status;
	const char *origin;	  /* a message that the shipper could not read: where it came from (then document is all of it), */
	const char *headers;  /* its headers, or NULL, */
	const char *sqlstate; /* and why */
	char reason[400];
} sl_refusal;

typedef struct sl_shipment
{
	struct sl_shipment *next;
	sl_mark *mark; /* the shipper's: where its source was then; NULL: documents that are sent again */
	bool handed_over;
	bool finished;
	int64 since; /* by sl_now_ms: when its first document came */

	sl_arena arena; /* all that is below; reset when it is used again */
	sl_buf body;
	sl_item *items; /* in the order of the body; those that are done are taken out */
	size_t n;
	size_t room;
	sl_refusal *refused;
	size_t n_refused;
	struct
	{
		size_t body;
		size_t items;
		sl_refusal *refused;
		size_t n_refused;
	} whole;	  /* the shipper's: as far as it goes with its mark */
	int64 *again; /* ids of documents that are sent again */
	size_t n_again;
} sl_shipment;

typedef struct sl_sink
{
	const char *name;

	/* Adds a record's document. */
	void (*add)(struct sl_sink *sink, sl_shipment *shipment, const sl_document_origin *origin, const sl_record *record, const sl_place *place);

	/* Adds a document that was refused once, as it was sent then. */
	void (*add_again)(struct sl_sink *sink, sl_shipment *shipment, sl_str document);

	/* Takes a shipment over; it is sent when work says so. */
	void (*hand_over)(struct sl_sink *sink, sl_shipment *shipment);

	/* Gives up on it: it will be sent by others. */
	void (*recall)(struct sl_sink *sink, sl_shipment *shipment);

	/* Moves all on; gives the ms until it wants to be called again. */
	int (*work)(struct sl_sink *sink);

	/* For the shipper: bytes that a shipment should have, and shipments that can be under way. */
	size_t wanted_bytes;
	int wanted_shipments;
	char alarm[SL_ERROR_MAX]; /* why it gets on badly, or not at all; "" */
} sl_sink;

/* Reads the sink's row and secrets; FATAL where they can't be used. */
extern sl_sink *sl_elasticsearch_open(const char *name);

/* For sinks (shipper.c): what was added to the body from start on is a document. */
extern void sl_shipment_item(sl_shipment *shipment, size_t start);

/* Notes, of a copy of its bytes, that a document will never be taken; why is cut to fit. */
extern sl_refusal *sl_shipment_refuse(sl_shipment *shipment, const char *p, size_t n, const char *why, ...) pg_attribute_printf(4, 5);

#endif /* SL_SINK_H */
