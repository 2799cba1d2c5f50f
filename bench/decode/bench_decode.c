/*
 * bench_decode.c
 *	  How many log records a CPU second decodes: ours against protobuf-c,
 *	  jansson and simdjson alone, on identical messages in one run.
 *
 * The readers take turns, round after round, so that a machine whose speed
 * changes slows all of them; the medians of the rounds are printed.
 */
#include "bench.h"
#include "logs.pb-c.h"
#include "../../src/core/decode/decode.h"
#include "../../test/core/encode.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 15
#define BATCH 500 /* messages before an arena is reset, as a worker does */

static sl_arena arena;
static char *json; /* with room to read past its end */
static size_t json_n;
static sl_buf proto;
static volatile uint64_t sink;

static void
out_of_memory(sl_arena *a, size_t wanted)
{
	fprintf(stderr, "out of memory: %zu + %zu bytes\n", a->held, wanted);
	exit(1);
}

static void
die(const char *what)
{
	fprintf(stderr, "bench_decode: %s\n", what);
	exit(1);
}

/* 395 bytes, as services write them. */
static void
make_json(sl_arena *a)
{
	static const char text[] =
		"{\"timestamp\":\"2025-06-01T12:34:56.789Z\",\"level\":\"ERROR\",\"service\":\"checkout\","
		"\"message\":\"payment provider answered 503 after 3 attempts\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
		"\"span_id\":\"00f067aa0ba902b7\",\"request_id\":\"req-8f3a2c91\",\"error_code\":\"PAYMENT_UNAVAILABLE\","
		"\"http\":{\"method\":\"POST\",\"path\":\"/api/orders\",\"status\":502,\"duration_ms\":1843.7},"
		"\"user_id\":4711,\"retry\":true,\"tags\":[\"eu\"]}";

	json_n = sizeof(text) - 1;
	json = sl_alloc0(a, json_n + 256);
	memcpy(json, text, json_n);
}

static void
add_text(sl_arena *a, sl_buf *record, const char *key, const char *value)
{
	sl_buf v = otlp_text(a, value),
		   pair = otlp_pair(a, key, &v);

	pb_message(record, 6, &pair);
}

static void
add_int(sl_arena *a, sl_buf *record, const char *key, int64_t value)
{
	sl_buf v = pb_new(a),
		   pair;

	pb_number(&v, 3, (uint64_t) value);
	pair = otlp_pair(a, key, &v);
	pb_message(record, 6, &pair);
}

/* About 325 bytes, 8 attributes, one record a message. */
static void
make_proto(sl_arena *a)
{
	sl_buf record = pb_new(a),
		   value,
		   pair,
		   resource,
		   logs = pb_new(a),
		   scope;

	pb_fixed64(&record, 1, 1748781296789000000);
	pb_number(&record, 2, 17);
	pb_text(&record, 3, "ERROR");
	value = otlp_text(a, "payment provider answered 503 after 3 attempts");
	pb_message(&record, 5, &value);
	add_text(a, &record, "error_code", "PAYMENT_UNAVAILABLE");
	add_text(a, &record, "request_id", "req-8f3a2c91");
	add_text(a, &record, "http.method", "POST");
	add_text(a, &record, "http.path", "/api/v2/orders");
	add_int(a, &record, "http.status", 502);
	add_int(a, &record, "duration_ms", 1843);
	add_int(a, &record, "user_id", 4711);
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
	proto = otlp_wrap(a, 1, &logs);
}

/* Ours. */
static uint64_t
read_ours(sl_format format, const char *data, size_t n)
{
	static int batch;
	sl_records records = {0};
	sl_error err;

	if (++batch % BATCH == 0)
		sl_arena_reset(&arena);
	if (!sl_decode(format, data, n, &arena, &records, &err))
		die(err.message);
	return records.v[0].attributes.n + records.v[0].text[SL_MESSAGE].n;
}

static uint64_t
run_our_json(void)
{
	return read_ours(SL_JSON, json, json_n);
}

static uint64_t
run_our_proto(void)
{
	return read_ours(SL_OTLP_PROTO, proto.p, proto.n);
}

/* protobuf-c, with our arena as its allocator: unpacking only. */
static void *
arena_alloc(void *data, size_t n)
{
	return sl_alloc(data, n);
}

static void
arena_free(void *data, void *p)
{
	(void) data, (void) p;
}

static uint64_t
run_protobuf_c(void)
{
	static int batch;
	static ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
	Oracle__Request *request;

	if (++batch % BATCH == 0)
		sl_arena_reset(&arena);
	request = oracle__request__unpack(&allocator, proto.n, (const uint8_t *) proto.p);
	if (!request)
		die("protobuf-c refuses the message");
	return request->resource_logs[0]->scope_logs[0]->log_records[0]->n_attributes;
}

/* jansson: the tree, and every key and value of it. */
static uint64_t
walk_jansson(json_t *v)
{
	uint64_t sum = 0;
	const char *key;
	json_t *item;
	size_t i;

	switch (json_typeof(v))
	{
		case JSON_OBJECT:
			json_object_foreach(v, key, item)
				sum += strlen(key) + walk_jansson(item);
			return sum;
		case JSON_ARRAY:
			json_array_foreach(v, i, item)
				sum += walk_jansson(item);
			return sum;
		case JSON_STRING:
			return json_string_length(v) + (unsigned char) json_string_value(v)[0];
		case JSON_INTEGER:
			return (uint64_t) json_integer_value(v);
		case JSON_REAL:
			return (uint64_t) json_real_value(v);
		default:
			return json_is_true(v);
	}
}

static uint64_t
run_jansson(void)
{
	json_t *root = json_loadb(json, json_n, 0, NULL);
	uint64_t sum;

	if (!root)
		die("jansson refuses the message");
	sum = walk_jansson(root);
	json_decref(root);
	return sum;
}

static uint64_t
run_simdjson(void)
{
	return read_simdjson(json, json_n);
}

typedef struct reader
{
	const char *name;
	uint64_t (*run)(void);
	int messages; /* a round */
	double rates[ROUNDS];
	double median;
} reader;

static double
cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
ascending(const void *a, const void *b)
{
	double x = *(const double *) a,
		   y = *(const double *) b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	reader readers[] = {
		{.name = "JSON: ours, to records", .run = run_our_json, .messages = 200000},
		{.name = "JSON: simdjson alone", .run = run_simdjson, .messages = 200000},
		{.name = "JSON: jansson", .run = run_jansson, .messages = 20000},
		{.name = "OTLP: ours, to records", .run = run_our_proto, .messages = 200000},
		{.name = "OTLP: protobuf-c, arena", .run = run_protobuf_c, .messages = 100000},
	};
	int n = (int) (sizeof(readers) / sizeof(readers[0]));
	sl_arena messages;

	/* for profilers: one reader, by its number */
	if (argc > 1 && atoi(argv[1]) >= 0 && atoi(argv[1]) < n)
	{
		readers[0] = readers[atoi(argv[1])];
		n = 1;
	}
	sl_arena_init(&messages, 0, out_of_memory);
	sl_arena_init(&arena, 0, out_of_memory);
	make_json(&messages);
	make_proto(&messages);
	printf("JSON log of %zu bytes, OTLP log of %zu bytes; %d rounds\n\n", json_n, proto.n, ROUNDS);
	for (int round = -1; round < ROUNDS; round++) /* the first warms up */
		for (int i = 0; i < n; i++)
		{
			double start = cpu_seconds();
			uint64_t sum = 0;

			for (int k = 0; k < readers[i].messages; k++)
				sum += readers[i].run();
			sink = sum;
			if (round >= 0)
				readers[i].rates[round] = readers[i].messages / (cpu_seconds() - start);
			sl_arena_reset(&arena);
		}
	printf("%-26s %22s %16s\n", "", "records per CPU second", "ns per record");
	for (int i = 0; i < n; i++)
	{
		qsort(readers[i].rates, ROUNDS, sizeof(double), ascending);
		readers[i].median = readers[i].rates[ROUNDS / 2];
		printf("%-26s %20.2f M %16.0f\n", readers[i].name, readers[i].median / 1e6, 1e9 / readers[i].median);
	}
	if (n > 1)
	{
		printf("\nJSON: ours / jansson        %6.1f   (goal 15)\n", readers[0].median / readers[2].median);
		printf("JSON: ours / simdjson alone %6.2f   (goal 0.5)\n", readers[0].median / readers[1].median);
		printf("OTLP: ours / protobuf-c     %6.1f   (goal: above 2)\n", readers[3].median / readers[4].median);
	}
	sl_arena_free(&arena);
	sl_arena_free(&messages);
	return 0;
}
