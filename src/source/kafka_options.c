/*
 * kafka_options.c
 *	  The options of librdkafka that a source may have.
 *
 * A list of what is allowed, not of what is forbidden: some options run code
 * or read files of the server's (plugin.library.paths, ssl.engine.location,
 * sasl.kerberos.kinit.cmd, every *.location), others belong to us
 * (group.id, enable.auto.commit, isolation.level), and new ones come with
 * each version.  Passwords and keys are secrets (secret.c): a table holds
 * only where they are.
 */
#include "source/source.h"

#include "bgworker/worker.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include <librdkafka/rdkafka.h>

PG_FUNCTION_INFO_V1(stacklens_check_kafka_option);
PG_FUNCTION_INFO_V1(stacklens_kafka_options);
PG_FUNCTION_INFO_V1(stacklens_reads_partition);

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
	SL_PARTITIONS, /* ours */
	"queued.min.messages",
	"receive.message.max.bytes",
	"reconnect.backoff.max.ms",
	"reconnect.backoff.ms",
	"session.timeout.ms",
	"socket.connection.setup.timeout.ms",
	"socket.keepalive.enable",
	"sasl.mechanism",
	"sasl.mechanisms",
	"sasl.username",
	"security.protocol",
	"socket.timeout.ms",
	"ssl.ca.pem",
	"ssl.certificate.pem",
	"ssl.endpoint.identification.algorithm",
	"topic.metadata.refresh.interval.ms",
};

/* These hold a reference to a secret, never it. */
static const char *const secrets[] = {"sasl.password", "ssl.key.password", "ssl.key.pem"};

static bool
is_one_of(const char *name, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool
is_secret(const char *name)
{
	return is_one_of(name, secrets, lengthof(secrets));
}

bool
sl_kafka_option_allowed(const char *name)
{
	return is_one_of(name, allowed, lengthof(allowed)) || is_secret(name);
}

/* Certificates may be long, and stand in a file as secrets do. */
static bool
is_reference(const char *name, const char *value)
{
	return is_secret(name) ||
		   (strncmp(name, "ssl.c", 5) == 0 && (strncmp(value, "file:", 5) == 0 || strncmp(value, "env:", 4) == 0));
}

const char *
sl_kafka_option_value(const char *name, const char *value, const char *brokers)
{
	sl_error err = {0};
	char *secret;

	if (!is_reference(name, value))
		return value;
	secret = !is_secret(name) || sl_secret_may_go_to(brokers, &err) ? sl_secret_resolve(value, &err) : NULL;
	if (!secret)
	{
		sl_worker_error("option \"%s\": %s. %s", name, err.message, err.hint);
		ereport(FATAL,
				(errcode(sl_sqlstate(&err)), errmsg("option \"%s\": %s", name, err.message), err.hint[0] ? errhint("%s", err.hint) : 0));
	}
	return secret;
}

/*
 * Reads "0-3,7": ranges of partitions, both ends included.  False when it is
 * no such list.
 */
bool
sl_ranges_read(const char *text, sl_ranges *to)
{
	to->n = 0;
	for (const char *s = text;; s++)
	{
		long ends[2];
		char *end;

		for (int i = 0; i < 2; i++)
		{
			if (*s < '0' || *s > '9')
				return false;
			errno = 0;
			ends[i] = strtol(s, &end, 10);
			if (errno || ends[i] > INT32_MAX)
				return false;
			s = end;
			if (i == 0 && *s != '-')
			{
				ends[1] = ends[0];
				break;
			}
			s += i == 0;
		}
		if (ends[1] < ends[0] || to->n == lengthof(to->v))
			return false;
		to->v[to->n].from = (int32) ends[0];
		to->v[to->n++].to = (int32) ends[1];
		if (*s == '\0')
			return true;
		if (*s != ',')
			return false;
	}
}

/* Is it one of them?  No ranges: any is. */
bool
sl_ranges_hold(const sl_ranges *ranges, int32 partition)
{
	for (int i = 0; i < ranges->n; i++)
		if (partition >= ranges->v[i].from && partition <= ranges->v[i].to)
			return true;
	return ranges->n == 0;
}

/* SASL by password; others run programs or ask for tokens. */
static bool
mechanism_allowed(const char *value)
{
	static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"};

	return is_one_of(value, mechanisms, lengthof(mechanisms));
}

char *
sl_kafka_options(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(allowed); i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", allowed[i]);
	for (int i = 0; i < lengthof(secrets); i++)
		appendStringInfo(&names, ", %s", secrets[i]);
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
	if (strcmp(name, SL_PARTITIONS) == 0)
	{
		sl_ranges ranges;

		if (!sl_ranges_read(value, &ranges))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value \"%s\" of option \"%s\"", value, name),
					 errhint("It is a list of at most %d ranges of partitions, like \"0-3,7\".", (int) lengthof(ranges.v))));
		PG_RETURN_VOID();
	}
	if (is_reference(name, value))
	{
		sl_error err = {0};

		if (!sl_secret_check(value, &err))
			ereport(ERROR,
					(errcode(sl_sqlstate(&err)), errmsg("option \"%s\": %s", name, err.message), errhint("%s", err.hint),
					 /* the statement may hold the secret */
					 errhidestmt(true), errhidecontext(true)));
		PG_RETURN_VOID();
	}
	if (strncmp(name, "sasl.mechanism", 14) == 0 && !mechanism_allowed(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("SASL mechanism \"%s\" is not supported", value),
				 errhint("It is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512.")));
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

/* kafka_options() → each of librdkafka's options that a source may have, as it lists them itself. */
Datum
stacklens_kafka_options(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	size_t n;
	const char **all = rd_kafka_conf_dump(conf, &n);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (size_t i = 0; i < n; i += 2)
		if (sl_kafka_option_allowed(all[i]))
		{
			Datum value = CStringGetTextDatum(all[i]);
			bool isnull = false;

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
		}
	rd_kafka_conf_dump_free(all, n);
	rd_kafka_conf_destroy(conf);
	return (Datum) 0;
}

/* reads_partition(options jsonb, partition int): does a source of these options read it? */
Datum
stacklens_reads_partition(PG_FUNCTION_ARGS)
{
	Jsonb *options = PG_GETARG_JSONB_P(0);
	JsonbValue found;
	JsonbValue *value;
	sl_ranges ranges = {0};

	if (!JB_ROOT_IS_OBJECT(options))
		PG_RETURN_BOOL(true);
	value = getKeyJsonValueFromContainer(&options->root, SL_PARTITIONS, strlen(SL_PARTITIONS), &found);
	if (value && value->type == jbvString)
		(void) sl_ranges_read(pnstrdup(value->val.string.val, value->val.string.len), &ranges);
	/* one partition may be given as a number */
	else if (value && value->type == jbvNumeric)
		(void) sl_ranges_read(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))), &ranges);
	PG_RETURN_BOOL(sl_ranges_hold(&ranges, PG_GETARG_INT32(1)));
}
