/*
 * options.c
 *	  The options of a sink: their names, their values, and reading them back.
 */
#include "sink/elasticsearch.h"

#include "bgworker/worker.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(stacklens_check_sink_option);
PG_FUNCTION_INFO_V1(stacklens_check_sink_url);
PG_FUNCTION_INFO_V1(stacklens_check_sink_index);

typedef enum kind
{
	TEXT_OPTION,
	NUMBER,
	CHOICE,
	PEM,	/* a certificate, or a reference to one */
	SECRET, /* a reference */
	SOURCES /* checked in SQL */
} kind;

static const struct option
{
	const char *name;
	kind kind;
	int least, most;
	const char *choices[4];
} options[] = {
	{"api_key", SECRET},
	{"ca", PEM},
	{"certificate", PEM},
	{"compression", CHOICE, 0, 0, {"auto", "gzip", "none"}},
	{"concurrency", NUMBER, 1, 16},
	{"key", SECRET},
	{"on_mass_refusal", CHOICE, 0, 0, {"stop", "set_aside"}},
	{"password", SECRET},
	{"refresh_interval", TEXT_OPTION},
	{"replicas", NUMBER, 0, 100},
	{"retention", NUMBER, 0, 36500},
	{"sources", SOURCES},
	{"template", CHOICE, 0, 0, {"install", "leave"}},
	{"timeout", NUMBER, 1, 3600},
	{"username", TEXT_OPTION},
};

static const struct option *
find_option(const char *name)
{
	for (int i = 0; i < lengthof(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static char *
option_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(options); i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", options[i].name);
	return names.data;
}

static bool
is_reference(const char *value)
{
	return strncmp(value, "env:", 4) == 0 || strncmp(value, "file:", 5) == 0;
}

/* A time as Elasticsearch writes it: 30s, 1m, -1. */
static bool
is_interval(const char *value)
{
	size_t digits = strspn(value, "0123456789");

	return strcmp(value, "-1") == 0 ||
		   (digits > 0 && digits < 10 && (strcmp(value + digits, "s") == 0 || strcmp(value + digits, "ms") == 0 || strcmp(value + digits, "m") == 0));
}

static void
refuse_value(const char *name, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value \"%s\" of option \"%s\"", value, name), errhint("%s", hint)));
}

/* check_sink_option(name text, value text): an error unless a sink can have it. */
Datum
stacklens_check_sink_option(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *value = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const struct option *o = find_option(name);
	sl_error err = {0};
	char *end;
	long number;
	bool ok = false;

	if (!o)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("a sink has no option \"%s\"", name), errhint("There are: %s.", option_names())));
	switch (o->kind)
	{
		case SECRET:
			ok = true;
			break;
		case PEM:
			if (!is_reference(value) && strncmp(value, "-----BEGIN", 10) != 0)
				refuse_value(name, "…", "It is a certificate in PEM, or file:NAME or env:NAME that holds one.");
			ok = !is_reference(value);
			break;
		case NUMBER:
			errno = 0;
			number = strtol(value, &end, 10);
			if (errno || *end || end == value || number < o->least || number > o->most)
				refuse_value(name, value, psprintf("It is a number from %d to %d.", o->least, o->most));
			PG_RETURN_VOID();
		case CHOICE:
			for (int i = 0; i < lengthof(o->choices) && o->choices[i]; i++)
				ok |= strcmp(value, o->choices[i]) == 0;
			if (!ok)
				refuse_value(name, value,
							 psprintf("It is one of: %s, %s%s%s.", o->choices[0], o->choices[1], o->choices[2] ? ", " : "", o->choices[2] ? o->choices[2] : ""));
			PG_RETURN_VOID();
		case TEXT_OPTION:
			if (strcmp(name, "refresh_interval") == 0 && !is_interval(value))
				refuse_value(name, value, "It is a time like 30s, or -1 for never.");
			PG_RETURN_VOID();
		case SOURCES:
			PG_RETURN_VOID();
	}
	if (o->kind == SECRET || !ok)
		if (!sl_secret_check(value, &err))
			ereport(ERROR,
					(errcode(sl_sqlstate(&err)), errmsg("option \"%s\": %s", name, err.message), errhint("%s", err.hint),
					 /* the statement may hold the secret */
					 errhidestmt(true), errhidecontext(true)));
	PG_RETURN_VOID();
}

/* check_sink_url(url text): an error unless it is one, or several with commas between. */
Datum
stacklens_check_sink_url(PG_FUNCTION_ARGS)
{
	char *list = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *rest,
		*url = strtok_r(list, ", ", &rest);
	sl_error err = {0};

	do
	{
		if (!sl_http_url_check(url ? url : "", &err))
			ereport(ERROR,
					(errcode(sl_sqlstate(&err)), errmsg("%s", err.message), errhint("%s", err.hint), errhidestmt(true), errhidecontext(true)));
	} while (url && (url = strtok_r(NULL, ", ", &rest)) != NULL);
	PG_RETURN_VOID();
}

/* check_sink_index(pattern text): an error unless it names indices. */
Datum
stacklens_check_sink_index(PG_FUNCTION_ARGS)
{
	text *pattern = PG_GETARG_TEXT_PP(0);
	sl_error err = {0};

	if (!sl_index_pattern_check((sl_str){VARDATA_ANY(pattern), VARSIZE_ANY_EXHDR(pattern)}, &err))
		sl_ereport(&err);
	PG_RETURN_VOID();
}

/* Reading them back ---------------------------------------------------------- */

typedef struct login
{
	const char *username;
	const char *password;
	const char *api_key;
} login;

static char *
resolve(const char *option, const char *reference, const char *urls, int elevel)
{
	sl_error err = {0};
	char *secret = sl_secret_may_go_to(urls, &err) ? sl_secret_resolve(reference, &err) : NULL;

	if (!secret)
	{
		if (sl_my_slot)
			sl_worker_error("option \"%s\": %s. %s", option, err.message, err.hint);
		ereport(elevel,
				(errcode(sl_sqlstate(&err)), errmsg("option \"%s\": %s", option, err.message), err.hint[0] ? errhint("%s", err.hint) : 0));
	}
	return secret;
}

static char *
authorization(const login *l)
{
	if (l->api_key)
		return psprintf("ApiKey %s", l->api_key);
	if (l->username)
	{
		char *plain = psprintf("%s:%s", l->username, l->password ? l->password : "");
		int n = (int) strlen(plain);
		char *encoded = palloc0(pg_b64_enc_len(n) + 1);

		if (pg_b64_encode((const void *) plain, n, encoded, pg_b64_enc_len(n)) < 0)
			elog(ERROR, "could not encode a login");
		return psprintf("Basic %s", encoded);
	}
	return NULL;
}

static void
take_option(sl_elasticsearch *es, login *l, const char *name, char *value, const char *urls, int elevel)
{
	if (strcmp(name, "username") == 0)
		l->username = value;
	else if (strcmp(name, "password") == 0)
		l->password = resolve(name, value, urls, elevel);
	else if (strcmp(name, "api_key") == 0)
		l->api_key = resolve(name, value, urls, elevel);
	else if (strcmp(name, "ca") == 0)
		es->server.ca = is_reference(value) ? resolve(name, value, urls, elevel) : value;
	else if (strcmp(name, "certificate") == 0)
		es->server.certificate = is_reference(value) ? resolve(name, value, urls, elevel) : value;
	else if (strcmp(name, "key") == 0)
		es->server.key = resolve(name, value, urls, elevel);
	else if (strcmp(name, "timeout") == 0)
		es->server.timeout_ms = atoi(value) * 1000;
	else if (strcmp(name, "retention") == 0)
		es->retention = atoi(value);
	else if (strcmp(name, "replicas") == 0)
		es->replicas = psprintf("%d", atoi(value));
	else if (strcmp(name, "refresh_interval") == 0)
		es->refresh_interval = value;
	else if (strcmp(name, "concurrency") == 0)
		es->concurrency = Min(16, Max(1, atoi(value)));
	else if (strcmp(name, "template") == 0)
		es->template = strcmp(value, "leave") != 0;
	else if (strcmp(name, "on_mass_refusal") == 0)
		es->set_aside = strcmp(value, "set_aside") == 0;
	else if (strcmp(name, "compression") == 0)
		es->compression = strcmp(value, "gzip") == 0 ? SL_GZIP_ON : strcmp(value, "none") == 0 ? SL_GZIP_OFF
																							   : SL_GZIP_AUTO;
}

static void
split_urls(sl_http_server *server, char *urls)
{
	char *rest;

	server->urls = palloc(strlen(urls) * sizeof(char *) + sizeof(char *));
	for (char *url = strtok_r(urls, ", ", &rest); url; url = strtok_r(NULL, ", ", &rest))
	{
		sl_error err = {0};

		/* checked when it was stored, and again: a table can be restored from anywhere */
		if (!sl_http_url_check(url, &err))
			ereport(FATAL, (errcode(sl_sqlstate(&err)), errmsg("url of a sink: %s", err.message)));
		while (url[0] && url[strlen(url) - 1] == '/')
			url[strlen(url) - 1] = '\0';
		server->urls[server->n_urls++] = url;
	}
}

static sl_elasticsearch *
load(const char *name, bool with_secrets, int elevel)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(name)};
	MemoryContext context = CurrentMemoryContext,
				  spi;
	sl_elasticsearch *es = palloc0(sizeof(*es));
	login l = {0};
	char *urls;

	es->name = pstrdup(name);
	es->server.timeout_ms = 60000;
	es->concurrency = 4;
	es->template = true;
	if (SPI_execute_with_args("SELECT url, index FROM stacklens_internal.sinks WHERE name = $1", 1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		ereport(elevel, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("sink \"%s\" does not exist", name)));
	urls = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	urls = MemoryContextStrdup(context, urls);
	es->index = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	if (SPI_execute_with_args("SELECT o.key, o.value FROM stacklens_internal.sinks s, pg_catalog.jsonb_each_text(s.options) o"
							  " WHERE s.name = $1",
							  1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the options of a sink");
	spi = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *option = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		const struct option *o = find_option(option);

		if (o && (with_secrets || (o->kind != SECRET && o->kind != PEM)))
			take_option(es, &l, option, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), urls, elevel);
	}
	es->server.authorization = authorization(&l);
	split_urls(&es->server, urls);
	MemoryContextSwitchTo(spi);
	return es;
}

sl_elasticsearch *
sl_elasticsearch_load(const char *name, int elevel)
{
	return load(name, true, elevel);
}

sl_elasticsearch *
sl_elasticsearch_settings(const char *name, int elevel)
{
	return load(name, false, elevel);
}
