/*
 * elasticsearch.h
 *	  A sink's settings, and what both the shipper and a search need to ask
 *	  its server.
 */
#ifndef SL_ELASTICSEARCH_H
#define SL_ELASTICSEARCH_H

#include "sink/http.h"

#include "core/sink/document.h"

typedef struct sl_elasticsearch
{
	char *name;
	sl_http_server server;
	char *index;			/* a pattern */
	int retention;			/* days that indices are kept; 0: for ever */
	char *replicas;			/* or NULL */
	char *refresh_interval; /* or NULL */
	int concurrency;		/* requests at a time */
	bool template;			/* may we install it? */
	bool set_aside;			/* refused documents are set aside, also when they are most of a bulk */
	enum
	{
		SL_GZIP_AUTO,
		SL_GZIP_ON,
		SL_GZIP_OFF
	} compression;
} sl_elasticsearch;

/* Days that a record's time may be before its arrival, where indices are kept for ever. */
#define SL_DOCUMENT_KEEP 30

/*
 * Reads a sink of that name, and resolves its secrets, into the current
 * memory context; within a transaction with SPI.  An error of this level
 * where it can't be used.
 */
extern sl_elasticsearch *sl_elasticsearch_load(const char *name, int elevel);

/* The same without what secrets and certificates are for. */
extern sl_elasticsearch *sl_elasticsearch_settings(const char *name, int elevel);

#endif /* SL_ELASTICSEARCH_H */
