/*
 * bench_kafka.c
 *	  The peer of the evaluator's benchmark, and its messages.
 *
 *		bench_kafka make otlp_proto|json N FILE		N messages, each with 4 bytes of length before it
 *		bench_kafka bare BROKERS TOPIC N			reads N messages and drops them; prints its CPU seconds
 *
 * "bare" is the least that a consumer on librdkafka can do: batches from the
 * consumer's queue, each message destroyed.
 */
#include "../../test/core/encode.h"

#include <librdkafka/rdkafka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void
out_of_memory(sl_arena *a, size_t wanted)
{
	(void) a;
	(void) wanted;
	exit(2);
}

static void
add_text(sl_arena *a, sl_buf *record, const char *key, const char *value)
{
	sl_buf v = otlp_text(a, value),
		   pair = otlp_pair(a, key, &v);

	pb_message(record, 6, &pair);
}

/* One record, 8 attributes, about 340 bytes. */
static sl_buf
make_proto(sl_arena *a, int i)
{
	sl_buf record = pb_new(a),
		   value,
		   pair,
		   resource,
		   logs = pb_new(a),
		   scope;
	char id[32];

	snprintf(id, sizeof(id), "req-%08x", i);
	pb_fixed64(&record, 1, 1748781296789000000 + (uint64_t) i);
	pb_number(&record, 2, 17);
	pb_text(&record, 3, "ERROR");
	value = otlp_text(a, "payment provider answered 503 after 3 attempts");
	pb_message(&record, 5, &value);
	add_text(a, &record, "error_code", "PAYMENT_UNAVAILABLE");
	add_text(a, &record, "request_id", id);
	add_text(a, &record, "http.method", "POST");
	add_text(a, &record, "http.path", "/api/v2/orders");
	add_text(a, &record, "http.status", "502");
	add_text(a, &record, "duration_ms", "1843");
	add_text(a, &record, "user_id", "4711");
	add_text(a, &record, "region", "eu-west");
	pb_bytes(&record, 9, "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36", 16);
	pb_bytes(&record, 10, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
	pb_fixed64(&record, 11, 1748781296790000000);
	value = otlp_text(a, "checkout");
	pair = otlp_pair(a, "service.name", &value);
	resource = otlp_wrap(a, 1, &pair);
	pb_message(&logs, 1, &resource);
	scope = otlp_wrap(a, 2, &record);
	pb_message(&logs, 2, &scope);
	return otlp_wrap(a, 1, &logs);
}

static sl_buf
make_json(sl_arena *a, int i)
{
	sl_buf out;

	sl_buf_init(&out, a, 512);
	sl_buf_printf(&out, "{\"timestamp\":\"2025-06-01T12:34:56.789Z\",\"level\":\"ERROR\",\"service\":\"checkout\","
						"\"message\":\"payment provider answered 503 after 3 attempts\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
						"\"span_id\":\"00f067aa0ba902b7\",\"request_id\":\"req-%08x\",\"error_code\":\"PAYMENT_UNAVAILABLE\","
						"\"http\":{\"method\":\"POST\",\"path\":\"/api/orders\",\"status\":502,\"duration_ms\":1843.7},"
						"\"user_id\":4711,\"retry\":true,\"tags\":[\"eu\"]}",
				  i);
	return out;
}

static int
make(int argc, char **argv)
{
	sl_arena arena;
	FILE *out;
	int n;

	if (argc != 3 || !(out = fopen(argv[2], "wb")))
		return 2;
	n = atoi(argv[1]);
	sl_arena_init(&arena, 0, out_of_memory);
	for (int i = 0; i < n; i++)
	{
		sl_buf message;
		uint32_t length;

		sl_arena_reset(&arena);
		message = strcmp(argv[0], "json") == 0 ? make_json(&arena, i) : make_proto(&arena, i);
		length = htonl((uint32_t) message.n);
		fwrite(&length, 4, 1, out);
		fwrite(message.p, message.n, 1, out);
	}
	return fclose(out) != 0;
}

static int
bare(int argc, char **argv)
{
	static rd_kafka_message_t *messages[10000];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_queue_t *queue;
	rd_kafka_t *client;
	struct rusage usage;
	char reason[300];
	long left;

	if (argc != 3)
		return 2;
	left = atol(argv[2]);
	rd_kafka_conf_set(conf, "bootstrap.servers", argv[0], reason, sizeof(reason));
	rd_kafka_conf_set(conf, "group.id", "bare", reason, sizeof(reason));
	rd_kafka_conf_set(conf, "isolation.level", "read_committed", reason, sizeof(reason));
	rd_kafka_conf_set(conf, "enable.auto.commit", "false", reason, sizeof(reason));
	client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof(reason));
	if (!client)
		return 2;
	rd_kafka_poll_set_consumer(client);
	rd_kafka_topic_partition_list_add(list, argv[1], 0)->offset = 0;
	rd_kafka_assign(client, list);
	queue = rd_kafka_queue_get_consumer(client);
	while (left > 0)
	{
		ssize_t n = rd_kafka_consume_batch_queue(queue, 100, messages, 10000);

		for (ssize_t i = 0; i < n; i++)
		{
			left -= messages[i]->err == 0;
			rd_kafka_message_destroy(messages[i]);
		}
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("%.3f\n", (double) usage.ru_utime.tv_sec + (double) usage.ru_utime.tv_usec / 1e6 +
						 (double) usage.ru_stime.tv_sec + (double) usage.ru_stime.tv_usec / 1e6);
	fflush(stdout);
	_exit(0);
}

int
main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "make") == 0)
		return make(argc - 2, argv + 2);
	if (argc > 2 && strcmp(argv[1], "bare") == 0)
		return bare(argc - 2, argv + 2);
	fputs("usage: bench_kafka make otlp_proto|json N FILE | bare BROKERS TOPIC N\n", stderr);
	return 2;
}
