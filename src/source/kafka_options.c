/*
 * kafka_options.c
 *	  The options of librdkafka that a source may have.
 *
 * A list of what is allowed, not of what is forbidden: some options run code
 * or read files of the server's (plugin.library.paths, ssl.engine.location,
 * sasl.kerberos.kinit.cmd, every *.location), others belong to us
 * (group.id, enable.auto.commit, isolation.level), and new ones come with
 * each version.  Those for TLS and SASL need secrets and are not here yet.
 */
#include "source/source.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include <librdkafka/rdkafka.h>

PG_FUNCTION_INFO_V1(stacklens_check_kafka_option);

static const char *const allowed[] = {
	"broker.address.family",
	"broker.address.ttl",
	"check.crcs",
	"client.id",
	"client.rack",
	"connections.max.idle.ms",
	"fetch.error.backoff.ms",
	"fetch.max.bytes",
	"fetch.message.max.bytes",
	"fetch.min.bytes",
	"fetch.wait.max.ms",
	"heartbeat.interval.ms",
	"max.partition.fetch.bytes",
	"max.poll.interval.ms",
	"metadata.max.age.ms",
	"queued.min.messages",
	"receive.message.max.bytes",
	"reconnect.backoff.max.ms",
	"reconnect.backoff.ms",
	"session.timeout.ms",
	"socket.connection.setup.timeout.ms",
	"socket.keepalive.enable",
	"socket.timeout.ms",
	"topic.metadata.refresh.interval.ms",
};

bool
sl_kafka_option_allowed(const char *name)
{
	for (int i = 0; i < lengthof(allowed); i++)
		if (strcmp(name, allowed[i]) == 0)
			return true;
	return false;
}

char *
sl_kafka_options(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(allowed); i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", allowed[i]);
	return names.data;
}

/* check_kafka_option(name text, value text): an error unless librdkafka takes it. */
Datum
stacklens_check_kafka_option(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *value = text_to_cstring(PG_GETARG_TEXT_PP(1));
	rd_kafka_conf_t *conf;
	rd_kafka_conf_res_t result;
	char reason[300];

	if (!sl_kafka_option_allowed(name))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" of a Kafka source is not allowed", name),
				 errhint("Allowed are: %s.", sl_kafka_options())));
	conf = rd_kafka_conf_new();
	result = rd_kafka_conf_set(conf, name, value, reason, sizeof(reason));
	rd_kafka_conf_destroy(conf);
	reason[strcspn(reason, "\n")] = '\0';
	if (result != RD_KAFKA_CONF_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value \"%s\" of option \"%s\"", value, name),
				 errdetail("librdkafka says: %s", reason)));
	PG_RETURN_VOID();
}
