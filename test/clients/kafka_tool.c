/*
 * kafka_tool.c
 *	  What tests ask of a Kafka broker, without the second and a half that a Java tool takes to start.
 *
 * Output is one record a line, fields separated by tabs. Exit status: 0 done, 1 the broker or the time-out said
 * no, 2 wrong usage.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT 512 /* room for librdkafka's error texts */
#define MAX_OPTIONS 64

static const char usage[] =
	"usage: kafka_tool COMMAND -b BROKERS [OPTION]...\n"
	"  ping                                   exit 0 when a broker answers\n"
	"  create-topic -t TOPIC [-n PARTITIONS] [--config K=V]...\n"
	"  delete-topic -t TOPIC\n"
	"  add-partitions -t TOPIC -n TOTAL\n"
	"  delete-records -t TOPIC -p PARTITION -o BEFORE_OFFSET\n"
	"  produce -t TOPIC [-p PARTITION] [-f FILE] [--format lines|length-prefixed] [--header K=V]...\n"
	"          [--key KEY] [--timestamp MS] [--compression CODEC] [--rate PER_SECOND] [--transaction commit|abort]\n"
	"          (length-prefixed: 4 bytes, big-endian, then so many bytes; ffffffff is a null value)\n"
	"          prints the number delivered\n"
	"  consume -t TOPIC [-p PARTITION] [-o OFFSET] [-n MAX]   partition, offset, key, value; to the present end\n"
	"  end-offsets -t TOPIC                   partition, low, high\n"
	"  leaders -t TOPIC                       partition, the id of its leader (-1: none)\n"
	"  committed -g GROUP -t TOPIC            partition, offset (-1: none), metadata\n"
	"  commit -g GROUP -t TOPIC -p PARTITION -o OFFSET [--metadata TEXT]\n"
	"  group -g GROUP                         state, number of members; then client, host, consumer id a member\n"
	"all: [-X LIBRDKAFKA_PROPERTY=VALUE]... [--timeout MS] (10000)\n";

static struct
{
	const char *brokers, *topic, *group, *file, *key, *metadata;
	int partition;	/* -1: any, or all */
	int number;		/* -n; -1: not given */
	int64_t offset; /* -1: not given */
	int64_t timestamp;
	int timeout;
	double rate;
	bool length_prefixed, transaction, abort;
	char *properties[MAX_OPTIONS], *headers[MAX_OPTIONS], *configs[MAX_OPTIONS];
	int nproperties, nheaders, nconfigs;
} opt = {.partition = -1, .number = -1, .offset = -1, .timeout = 10000};

/*
 * Ends at once: exit() would tear down what librdkafka's threads still use, and destroying the clients first
 * takes longer and gains nothing.
 */
static void __attribute__((noreturn))
finish(int status)
{
	if (fflush(stdout) != 0 && status == 0)
		status = 1;
	_exit(status);
}

static void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void
fail(int status, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("kafka_tool: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	finish(status);
}

static void
need(const char *value, const char *option)
{
	if (value == NULL)
		fail(2, "%s is missing\n%s", option, usage);
}

static void
check(rd_kafka_resp_err_t err, const char *what)
{
	if (err)
		fail(1, "%s: %s", what, rd_kafka_err2str(err));
}

static void
check_error(const rd_kafka_error_t *error, const char *what)
{
	if (error)
		fail(1, "%s: %s", what, rd_kafka_error_string(error));
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[TEXT];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		fail(2, "%s", text);
}

/* Splits K=V in place and returns V. */
static char *
split(char *pair)
{
	char *equals = strchr(pair, '=');

	if (equals == NULL)
		fail(2, "'%s' has no '='", pair);
	*equals = '\0';
	return equals + 1;
}

static rd_kafka_conf_t *
new_conf(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	set(conf, "bootstrap.servers", opt.brokers);
	/* A broker that has just been started or killed is the usual case here; the exit status tells enough. */
	set(conf, "log_level", "2");
	set(conf, "reconnect.backoff.max.ms", "500");
	for (int i = 0; i < opt.nproperties; i++)
	{
		char *value = split(opt.properties[i]);

		set(conf, opt.properties[i], value);
	}
	return conf;
}

static rd_kafka_t *
new_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	char text[TEXT];
	rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));

	if (rk == NULL)
		fail(2, "%s", text);
	return rk;
}

static rd_kafka_t *
new_consumer(const char *group)
{
	rd_kafka_conf_t *conf = new_conf();

	set(conf, "group.id", group);
	set(conf, "enable.auto.commit", "false");
	set(conf, "enable.partition.eof", "true");
	set(conf, "auto.offset.reset", "earliest");
	set(conf, "fetch.wait.max.ms", "10"); /* the end is known once the broker has waited for more in vain */
	return new_client(RD_KAFKA_CONSUMER, conf);
}

static int
one_of(const char *value, const char *first, const char *second)
{
	if (strcmp(value, first) != 0 && strcmp(value, second) != 0)
		fail(2, "'%s' is neither %s nor %s", value, first, second);
	return strcmp(value, second) == 0;
}

/* The partitions of -t, or the one of -p, with no offset set. */
static rd_kafka_topic_partition_list_t *
partitions(rd_kafka_t *rk)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	const rd_kafka_metadata_t *metadata;
	rd_kafka_topic_t *topic;

	need(opt.topic, "-t");
	if (opt.partition >= 0)
	{
		rd_kafka_topic_partition_list_add(list, opt.topic, opt.partition);
		return list;
	}
	topic = rd_kafka_topic_new(rk, opt.topic, NULL);
	check(rd_kafka_metadata(rk, 0, topic, &metadata, opt.timeout), "metadata");
	check(metadata->topics[0].err, opt.topic);
	for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
		rd_kafka_topic_partition_list_add(list, opt.topic, i);
	return list;
}

static void
ping(void)
{
	rd_kafka_t *rk = new_client(RD_KAFKA_PRODUCER, new_conf());
	const rd_kafka_metadata_t *metadata;

	check(rd_kafka_metadata(rk, 0, NULL, &metadata, opt.timeout), "metadata");
	if (metadata->broker_cnt == 0)
		fail(1, "no broker is up yet");
}

/* --- administration --- */

/* Waits for the one answer; the caller looks at its parts. */
static rd_kafka_event_t *
answer(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, opt.timeout);

	if (event == NULL)
		fail(1, "no answer in %d ms", opt.timeout);
	if (rd_kafka_event_error(event))
		fail(1, "%s", rd_kafka_event_error_string(event));
	return event;
}

static void
administer(const char *command)
{
	rd_kafka_t *rk = new_client(RD_KAFKA_PRODUCER, new_conf());
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	const rd_kafka_topic_result_t **topics = NULL;
	char text[TEXT];
	size_t n = 0;

	if (strcmp(command, "group") == 0)
	{
		const rd_kafka_ConsumerGroupDescription_t *group;

		need(opt.group, "-g");
		rd_kafka_DescribeConsumerGroups(rk, &opt.group, 1, NULL, queue);
		group = rd_kafka_DescribeConsumerGroups_result_groups(
			rd_kafka_event_DescribeConsumerGroups_result(answer(queue)), &n)[0];
		check_error(rd_kafka_ConsumerGroupDescription_error(group), opt.group);
		n = rd_kafka_ConsumerGroupDescription_member_count(group);
		printf("%s\t%zu\n", rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group)), n);
		for (size_t i = 0; i < n; i++)
		{
			const rd_kafka_MemberDescription_t *member = rd_kafka_ConsumerGroupDescription_member(group, i);

			printf("%s\t%s\t%s\n", rd_kafka_MemberDescription_client_id(member),
				   rd_kafka_MemberDescription_host(member), rd_kafka_MemberDescription_consumer_id(member));
		}
		return;
	}

	need(opt.topic, "-t");
	if (strcmp(command, "create-topic") == 0)
	{
		rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(opt.topic, opt.number < 0 ? 1 : opt.number, -1,
														   text, sizeof(text));

		if (topic == NULL)
			fail(2, "%s", text);
		for (int i = 0; i < opt.nconfigs; i++)
		{
			char *value = split(opt.configs[i]);

			check(rd_kafka_NewTopic_set_config(topic, opt.configs[i], value), opt.configs[i]);
		}
		rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
		topics = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer(queue)), &n);
	}
	else if (strcmp(command, "delete-topic") == 0)
	{
		rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(opt.topic);

		rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
		topics = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(answer(queue)), &n);
	}
	else if (strcmp(command, "add-partitions") == 0)
	{
		rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(opt.topic, opt.number < 0 ? 0 : opt.number,
																	text, sizeof(text));

		if (more == NULL)
			fail(2, "%s", text);
		rd_kafka_CreatePartitions(rk, &more, 1, NULL, queue);
		topics = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(answer(queue)), &n);
	}
	else /* delete-records */
	{
		rd_kafka_topic_partition_list_t *list = partitions(rk);
		rd_kafka_DeleteRecords_t *records;
		const rd_kafka_topic_partition_list_t *done;

		for (int i = 0; i < list->cnt; i++)
			list->elems[i].offset = opt.offset < 0 ? RD_KAFKA_OFFSET_END : opt.offset;
		records = rd_kafka_DeleteRecords_new(list);
		rd_kafka_DeleteRecords(rk, &records, 1, NULL, queue);
		done = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(answer(queue)));
		for (int i = 0; i < done->cnt; i++)
			check(done->elems[i].err, opt.topic);
	}

	for (size_t i = 0; i < n; i++)
		if (rd_kafka_topic_result_error(topics[i]))
			fail(1, "%s: %s", rd_kafka_topic_result_name(topics[i]), rd_kafka_topic_result_error_string(topics[i]));
}

/* --- producing --- */

static long delivered;
static long failed;

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	if (!message->err)
		delivered++;
	else if (failed++ == 0)
		fprintf(stderr, "kafka_tool: not delivered: %s\n", rd_kafka_err2str(message->err));
}

/* The next message, in a buffer that the next call reuses. False at the end of the file. */
static bool
next_message(FILE *in, char **buffer, size_t *room, void **value, size_t *length)
{
	if (opt.length_prefixed)
	{
		uint32_t prefix;
		size_t got = fread(&prefix, 1, sizeof(prefix), in);

		if (got == 0)
			return false;
		prefix = ntohl(prefix);
		*value = NULL;
		*length = 0;
		if (got == sizeof(prefix) && prefix == UINT32_MAX)
			return true;
		if (got == sizeof(prefix) && *room < (size_t) prefix + 1)
			*buffer = realloc(*buffer, *room = (size_t) prefix + 1);
		if (got != sizeof(prefix) || fread(*buffer, 1, prefix, in) != prefix)
			fail(2, "the input ends inside a message");
		*value = *buffer;
		*length = prefix;
	}
	else
	{
		ssize_t got = getline(buffer, room, in);

		if (got < 0)
			return false;
		if (got > 0 && (*buffer)[got - 1] == '\n')
			got--;
		*value = *buffer;
		*length = (size_t) got;
	}
	return true;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
produce(void)
{
	rd_kafka_conf_t *conf = new_conf();
	rd_kafka_t *rk;
	FILE *in = opt.file ? fopen(opt.file, "rb") : stdin;
	char *header_values[MAX_OPTIONS];
	char *buffer = NULL;
	size_t room = 0,
		   length;
	void *value;
	double start;
	long sent = 0;

	need(opt.topic, "-t");
	if (in == NULL)
		fail(2, "%s: %s", opt.file, strerror(errno));
	for (int i = 0; i < opt.nheaders; i++)
		header_values[i] = split(opt.headers[i]);
	set(conf, "linger.ms", "5");
	set(conf, "enable.idempotence", "true"); /* a retry must not put a message there twice */
	if (opt.transaction)
		set(conf, "transactional.id", "kafka_tool");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = new_client(RD_KAFKA_PRODUCER, conf);
	if (opt.transaction)
	{
		check_error(rd_kafka_init_transactions(rk, opt.timeout), "init_transactions");
		check_error(rd_kafka_begin_transaction(rk), "begin_transaction");
	}

	start = now();
	while (next_message(in, &buffer, &room, &value, &length))
	{
		for (;;)
		{
			rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t) opt.nheaders);
			rd_kafka_resp_err_t err;

			for (int i = 0; i < opt.nheaders; i++)
				rd_kafka_header_add(headers, opt.headers[i], -1, header_values[i], -1);
			err = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(opt.topic), RD_KAFKA_V_PARTITION(opt.partition),
									RD_KAFKA_V_VALUE(value, length),
									RD_KAFKA_V_KEY(opt.key, opt.key ? strlen(opt.key) : 0),
									RD_KAFKA_V_TIMESTAMP(opt.timestamp), RD_KAFKA_V_HEADERS(headers),
									RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
			if (!err)
				break;
			rd_kafka_headers_destroy(headers);
			if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
				check(err, "produce");
			rd_kafka_poll(rk, 100);
		}
		sent++;
		rd_kafka_poll(rk, 0);
		if (opt.rate > 0)
			for (double wait; (wait = start + (double) sent / opt.rate - now()) > 0;)
				rd_kafka_poll(rk, (int) (wait * 1000) + 1);
	}
	if (rd_kafka_flush(rk, opt.timeout) && failed == 0)
		fail(1, "%ld of %ld messages delivered in %d ms", delivered, sent, opt.timeout);
	if (opt.abort)
		check_error(rd_kafka_abort_transaction(rk, opt.timeout), "abort_transaction");
	else if (opt.transaction)
		check_error(rd_kafka_commit_transaction(rk, opt.timeout), "commit_transaction");
	printf("%ld\n", delivered);
	if (failed > 0)
		fail(1, "%ld of %ld messages not delivered", failed, sent);
}

/* --- reading --- */

static void
consume(void)
{
	rd_kafka_t *rk = new_consumer("kafka_tool");
	rd_kafka_topic_partition_list_t *list = partitions(rk);
	int left = list->cnt;
	int printed = 0;

	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = opt.offset < 0 ? RD_KAFKA_OFFSET_BEGINNING : opt.offset;
	check(rd_kafka_assign(rk, list), "assign");
	while (left > 0 && printed != opt.number)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, opt.timeout);

		if (message == NULL)
			fail(1, "no message in %d ms", opt.timeout);
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			left--;
		else
		{
			check(message->err, "consume");
			printf("%" PRId32 "\t%" PRId64 "\t%.*s\t", message->partition, message->offset,
				   (int) message->key_len, message->key ? (const char *) message->key : "");
			fwrite(message->payload, 1, message->len, stdout);
			putchar('\n');
			printed++;
		}
		rd_kafka_message_destroy(message);
	}
}

static void
end_offsets(void)
{
	rd_kafka_t *rk = new_client(RD_KAFKA_PRODUCER, new_conf());
	rd_kafka_topic_partition_list_t *list = partitions(rk);

	for (int i = 0; i < list->cnt; i++)
	{
		int64_t low,
			high;

		check(rd_kafka_query_watermark_offsets(rk, opt.topic, list->elems[i].partition, &low, &high, opt.timeout),
			  "offsets");
		printf("%" PRId32 "\t%" PRId64 "\t%" PRId64 "\n", list->elems[i].partition, low, high);
	}
}

static void
leaders(void)
{
	rd_kafka_t *rk = new_client(RD_KAFKA_PRODUCER, new_conf());
	const rd_kafka_metadata_t *metadata;

	need(opt.topic, "-t");
	check(rd_kafka_metadata(rk, false, rd_kafka_topic_new(rk, opt.topic, NULL), &metadata, opt.timeout), "metadata");
	for (int i = 0; metadata->topic_cnt == 1 && i < metadata->topics[0].partition_cnt; i++)
		printf("%" PRId32 "\t%" PRId32 "\n", metadata->topics[0].partitions[i].id, metadata->topics[0].partitions[i].leader);
}

static void
committed(void)
{
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;

	need(opt.group, "-g");
	rk = new_consumer(opt.group); /* never subscribes, so the group doesn't rebalance */
	list = partitions(rk);
	check(rd_kafka_committed(rk, list, opt.timeout), "committed");
	for (int i = 0; i < list->cnt; i++)
	{
		rd_kafka_topic_partition_t *p = &list->elems[i];

		check(p->err, "committed");
		printf("%" PRId32 "\t%" PRId64 "\t%.*s\n", p->partition, p->offset < 0 ? -1 : p->offset,
			   (int) p->metadata_size, p->metadata ? (char *) p->metadata : "");
	}
}

static void
commit(void)
{
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *list;

	need(opt.group, "-g");
	if (opt.offset < 0)
		need(NULL, "-o");
	rk = new_consumer(opt.group);
	list = partitions(rk);
	for (int i = 0; i < list->cnt; i++)
	{
		list->elems[i].offset = opt.offset;
		if (opt.metadata)
		{
			list->elems[i].metadata = strdup(opt.metadata);
			list->elems[i].metadata_size = strlen(opt.metadata);
		}
	}
	check(rd_kafka_commit(rk, list, false), "commit");
}

static void
push(char **list, int *n, char *value)
{
	if (*n == MAX_OPTIONS)
		fail(2, "too many options");
	list[(*n)++] = value;
}

int
main(int argc, char **argv)
{
	static const struct option names[] = {
		{"header", required_argument, NULL, 'H'},
		{"config", required_argument, NULL, 'C'},
		{"format", required_argument, NULL, 'F'},
		{"key", required_argument, NULL, 'k'},
		{"metadata", required_argument, NULL, 'm'},
		{"timestamp", required_argument, NULL, 'T'},
		{"compression", required_argument, NULL, 'z'},
		{"rate", required_argument, NULL, 'r'},
		{"transaction", required_argument, NULL, 'x'},
		{"timeout", required_argument, NULL, 'W'},
		{NULL, 0, NULL, 0}};
	static const struct
	{
		const char *name;
		void (*run)(void);
	} commands[] = {
		{"ping", ping},
		{"produce", produce},
		{"consume", consume},
		{"end-offsets", end_offsets},
		{"leaders", leaders},
		{"committed", committed},
		{"commit", commit},
		{"create-topic", NULL},
		{"delete-topic", NULL},
		{"add-partitions", NULL},
		{"delete-records", NULL},
		{"group", NULL},
	};
	const char *command = argc > 1 ? argv[1] : "";
	char *property;
	int c;

	optind = 2;
	while (argc > 1 && (c = getopt_long(argc, argv, "b:t:g:p:f:n:o:X:", names, NULL)) != -1)
		switch (c)
		{
			case 'b':
				opt.brokers = optarg;
				break;
			case 't':
				opt.topic = optarg;
				break;
			case 'g':
				opt.group = optarg;
				break;
			case 'p':
				opt.partition = atoi(optarg);
				break;
			case 'f':
				opt.file = optarg;
				break;
			case 'n':
				opt.number = atoi(optarg);
				break;
			case 'o':
				opt.offset = atoll(optarg);
				break;
			case 'X':
				push(opt.properties, &opt.nproperties, optarg);
				break;
			case 'H':
				push(opt.headers, &opt.nheaders, optarg);
				break;
			case 'C':
				push(opt.configs, &opt.nconfigs, optarg);
				break;
			case 'F':
				opt.length_prefixed = one_of(optarg, "lines", "length-prefixed") == 1;
				break;
			case 'k':
				opt.key = optarg;
				break;
			case 'm':
				opt.metadata = optarg;
				break;
			case 'T':
				opt.timestamp = atoll(optarg);
				break;
			case 'r':
				opt.rate = atof(optarg);
				break;
			case 'x':
				opt.abort = one_of(optarg, "commit", "abort") == 1;
				opt.transaction = true;
				break;
			case 'W':
				opt.timeout = atoi(optarg);
				break;
			case 'z':
				if (asprintf(&property, "compression.codec=%s", optarg) > 0)
					push(opt.properties, &opt.nproperties, property);
				break;
			default:
				fail(2, "wrong option\n%s", usage);
		}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(command, commands[i].name) == 0)
		{
			need(opt.brokers, "-b");
			if (commands[i].run)
				commands[i].run();
			else
				administer(command);
			finish(0);
		}
	fail(2, "no such command: '%s'\n%s", command, usage);
}
