/*
 * alert.c
 *	  Matches of a batch to alerts.
 *
 * A batch may hold ten thousand matches of one rule: they are joined in
 * memory first, by rule and group values, and go to SQL as one row each.
 * That row's fingerprint is SHA-256 over the rule's id and the values: values
 * are the sender's to choose, so it must not be possible to make two
 * collide.
 */
#include "alert/alert.h"

#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "common/cryptohash.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Bytes of an alert's message, and of a sample record's JSON. */
#define MESSAGE_MAX 2000
#define SAMPLE_MAX 65536

/* What one statement is given; then another begins. */
#define STATEMENT_BYTES ((size_t) 4 * 1024 * 1024)

typedef struct group
{
	struct group *next; /* of the same hash slot */
	uint32_t rule;
	size_t nth;							  /* in the order in which the batch met them */
	sl_str *values;						  /* p == NULL where missing */
	const sl_record *records[SL_SAMPLES]; /* the first ones */
	int64 times[SL_SAMPLES];
	int n_records;
	int64 count;
	int64 first_seen;
	int64 last_seen;
	char fingerprint[33];
} group;

#define SLOTS 1024

struct sl_matches
{
	sl_arena *arena;
	const sl_rules *rules;
	group **groups;
	size_t n;
	size_t cap;
	group *slots[SLOTS];
};

sl_matches *
sl_matches_new(sl_arena *arena, const sl_rules *rules)
{
	sl_matches *m = sl_alloc0(arena, sizeof(*m));

	m->arena = arena;
	m->rules = rules;
	return m;
}

static group *
find_group(sl_matches *m, uint32_t rule, sl_str *values)
{
	const sl_rule *r = sl_ruleset_rule(m->rules->set, rule);
	uint64_t hash = rule;
	group *g;

	for (size_t i = 0; i < r->n_group_by; i++)
		hash = XXH3_64bits_withSeed(values[i].p, values[i].n, hash + (values[i].p != NULL));
	for (g = m->slots[hash % SLOTS]; g; g = g->next)
	{
		bool same = g->rule == rule;

		for (size_t i = 0; i < r->n_group_by && same; i++)
			same = (g->values[i].p != NULL) == (values[i].p != NULL) && sl_str_eq(g->values[i], values[i]);
		if (same)
			return g;
	}
	g = sl_alloc0(m->arena, sizeof(*g));
	g->rule = rule;
	g->values = values;
	g->next = m->slots[hash % SLOTS];
	m->slots[hash % SLOTS] = g;
	SL_ROOM(m->arena, m->groups, m->n, m->cap, 64);
	g->nth = m->n;
	m->groups[m->n++] = g;
	return g;
}

void
sl_matches_add_group(void *matches, uint32_t rule, sl_str *values, const sl_record *record, int64 at)
{
	sl_matches *m = matches;
	group *g = find_group(m, rule, values);

	if (record && g->n_records < SL_SAMPLES)
	{
		g->records[g->n_records] = record;
		g->times[g->n_records++] = at;
	}
	if (g->count == 0 || at < g->first_seen)
		g->first_seen = at;
	if (g->count == 0 || at > g->last_seen)
		g->last_seen = at;
	g->count++;
}

void
sl_matches_add(sl_matches *m, uint32_t rule, const sl_record *record)
{
	const sl_rule *r = sl_ruleset_rule(m->rules->set, rule);
	sl_str *values = sl_alloc(m->arena, (r->n_group_by + 1) * sizeof(sl_str));

	for (size_t i = 0; i < r->n_group_by; i++)
		values[i] = sl_record_text(m->arena, record, r->group_by[i]);
	sl_matches_add_group(m, rule, values, record, record->timestamp ? record->timestamp : record->observed);
}

static void
hash_update(pg_cryptohash_ctx *hash, const void *p, size_t n)
{
	if (pg_cryptohash_update(hash, p, n) < 0)
		elog(ERROR, "could not compute a fingerprint");
}

void
sl_group_key(const sl_rule *rule, const sl_str *values, unsigned char *key)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	uint8 sum[PG_SHA256_DIGEST_LENGTH];

	if (!hash || pg_cryptohash_init(hash) < 0)
		elog(ERROR, "could not compute a fingerprint");
	hash_update(hash, rule->id.p, 36);
	for (size_t i = 0; i < rule->n_group_by; i++)
	{
		/* the length keeps neighbours apart, and an empty text from a missing one */
		int64 n = values[i].p ? (int64) values[i].n : -1;

		hash_update(hash, &n, sizeof(n));
		hash_update(hash, values[i].p, values[i].n);
	}
	if (pg_cryptohash_final(hash, sum, sizeof(sum)) < 0)
		elog(ERROR, "could not compute a fingerprint");
	pg_cryptohash_free(hash);
	memcpy(key, sum, 16);
}

static void
set_fingerprint(const sl_matches *m, group *g)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char key[16];

	sl_group_key(sl_ruleset_rule(m->rules->set, g->rule), g->values, key);
	for (int i = 0; i < 16; i++)
	{
		g->fingerprint[2 * i] = digits[key[i] >> 4];
		g->fingerprint[2 * i + 1] = digits[key[i] & 15];
	}
}

/* s cut at a character's end, with an ellipsis. */
static sl_str
cut(sl_arena *arena, sl_str s, size_t max)
{
	sl_buf buf;

	if (s.n <= max)
		return s;
	s.n = max;
	while (s.n > 0 && ((unsigned char) s.p[s.n] & 0xC0) == 0x80)
		s.n--;
	sl_buf_init(&buf, arena, s.n + 4);
	sl_buf_add(&buf, s.p, s.n);
	sl_buf_puts(&buf, "…");
	return (sl_str){buf.p, buf.n};
}

static void
put_time(sl_buf *out, const char *name, int64 ns)
{
	char when[64];

	sl_format_timestamp(when, ns);
	sl_buf_printf(out, "\"%s\":\"%s\"", name, when);
}

static size_t
fields_size(const sl_fields *fields)
{
	size_t size = 0;

	for (uint32_t i = 0; i < fields->n; i++)
		size += fields->v[i].name.n + 16 +
				(fields->v[i].value.type == SL_STRING ? fields->v[i].value.u.s.n : 0);
	return size;
}

/* A sample: the record as JSON, or what is small of one that is huge. */
static void
put_sample(sl_buf *out, const sl_record *record, int64 at)
{
	size_t size = fields_size(&record->attributes) + (record->resource ? fields_size(&record->resource->fields) : 0);

	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		size += record->text[i].n;
	sl_buf_putc(out, '{');
	put_time(out, "at", at);
	sl_buf_puts(out, ",\"record\":");
	if (size <= SAMPLE_MAX)
		sl_record_json(out, record);
	else
	{
		sl_record small = *record;
		sl_value note = {.type = SL_INT, .u.i = (int64_t) size};

		for (int i = 0; i < SL_KNOWN_TEXTS; i++)
			small.text[i] = cut(out->arena, small.text[i], MESSAGE_MAX);
		small.attributes = (sl_fields){0};
		small.resource = NULL;
		*sl_fields_add(out->arena, &small.attributes, SL_STR("stacklens.cut_from_bytes")) = note;
		sl_record_json(out, &small);
	}
	sl_buf_putc(out, '}');
}

void
sl_group_values_json(sl_buf *out, const sl_rule *rule, const sl_str *values)
{
	sl_buf_putc(out, '{');
	for (size_t i = 0; i < rule->n_group_by; i++)
	{
		if (i > 0)
			sl_buf_putc(out, ',');
		sl_buf_json_string(out, rule->group_by[i]);
		sl_buf_putc(out, ':');
		if (values[i].p)
			sl_buf_json_string(out, cut(out->arena, values[i], MESSAGE_MAX));
		else
			sl_buf_puts(out, "null");
	}
	sl_buf_putc(out, '}');
}

static void
put_group(const sl_matches *m, const group *g, sl_buf *out)
{
	const sl_rule *r = sl_ruleset_rule(m->rules->set, g->rule);
	const sl_record *first = g->n_records ? g->records[0] : NULL;
	/* one record tells a detection's story, but not a correlation's */
	sl_str message = r->message.p													 ? r->message
					 : r->kind == SL_DETECTION && first && first->text[SL_MESSAGE].n ? first->text[SL_MESSAGE]
																					 : r->title;

	sl_buf_printf(out, "{\"fingerprint\":\"%s\",\"nth\":%zu,\"rule_id\":\"%.36s\",\"severity\":\"%s\",\"n\":%lld,",
				  g->fingerprint, g->nth, r->id.p, sl_severity_name[r->severity], (long long) g->count);
	put_time(out, "first_seen", g->first_seen);
	sl_buf_putc(out, ',');
	put_time(out, "last_seen", g->last_seen);
	sl_buf_puts(out, ",\"rule\":");
	sl_buf_json_string(out, r->stored_name);
	sl_buf_puts(out, ",\"issue_code\":");
	sl_buf_json_string(out, r->issue_code);
	sl_buf_puts(out, ",\"message\":");
	sl_buf_json_string(out, cut(out->arena, message, MESSAGE_MAX));
	if (r->resolve_after)
		sl_buf_printf(out, ",\"resolve_after\":\"%.3f s\"", (double) r->resolve_after / 1e9);
	if (first && first->text[SL_SERVICE].p)
	{
		sl_buf_puts(out, ",\"service\":");
		sl_buf_json_string(out, cut(out->arena, first->text[SL_SERVICE], MESSAGE_MAX));
	}
	sl_buf_puts(out, ",\"labels\":");
	sl_buf_add(out, r->labels.p, r->labels.n);
	sl_buf_puts(out, ",\"group_values\":");
	sl_group_values_json(out, r, g->values);
	sl_buf_puts(out, ",\"samples\":[");
	for (int i = 0; i < g->n_records; i++)
	{
		if (i > 0)
			sl_buf_putc(out, ',');
		put_sample(out, g->records[i], g->times[i]);
	}
	sl_buf_puts(out, "]}");
}

static int
by_fingerprint(const void *a, const void *b)
{
	return strcmp((*(group *const *) a)->fingerprint, (*(group *const *) b)->fingerprint);
}

static void
raise_alerts(sl_buf *json)
{
	static SPIPlanPtr plan;
	Datum value;

	if (!plan)
	{
		Oid types[1] = {TEXTOID};

		plan = sl_prepare("SELECT stacklens_internal.raise_alerts($1::pg_catalog.jsonb)", 1, types);
	}
	sl_buf_putc(json, ']');
	value = PointerGetDatum(cstring_to_text_with_len(json->p, (int) json->n));
	if (SPI_execute_plan(plan, &value, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not raise alerts");
	pfree(DatumGetPointer(value));
	json->n = 0;
}

void
sl_matches_store(sl_matches *m)
{
	sl_buf json;

	if (m->n == 0)
		return;
	for (size_t i = 0; i < m->n; i++)
		set_fingerprint(m, m->groups[i]);
	qsort(m->groups, m->n, sizeof(group *), by_fingerprint);
	sl_buf_init(&json, m->arena, 4096);
	for (size_t i = 0; i < m->n; i++)
	{
		sl_buf_putc(&json, json.n ? ',' : '[');
		put_group(m, m->groups[i], &json);
		if (json.n > STATEMENT_BYTES)
			raise_alerts(&json);
	}
	if (json.n)
		raise_alerts(&json);
}

void
sl_batch_unit(sl_batch *batch, size_t first, sl_place place)
{
	if (batch->with_places)
	{
		SL_ROOM(batch->arena, batch->places, batch->units, batch->places_room, 256);
		batch->places[batch->units] = (sl_unit){first, place};
	}
	batch->units++;
}

void
sl_batch_dead(sl_batch *batch, const char *payload, size_t n, const char *origin, const char *headers, const sl_error *error)
{
	sl_dead_letter *letter = sl_alloc(batch->arena, sizeof(*letter));

	*letter = (sl_dead_letter){.payload = payload, .n = n, .origin = origin, .headers = headers, .error = *error, .next = batch->dead};
	batch->dead = letter;
	batch->n_dead++;
}

void
sl_dead_letters_store(const sl_batch *batch)
{
	static SPIPlanPtr plan;

	if (!plan)
	{
		Oid types[5] = {TEXTOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID};

		plan = sl_prepare("INSERT INTO stacklens.dead_letters (origin, reason, sqlstate, payload, headers)"
						  " VALUES ($1::pg_catalog.jsonb, $2, $3, $4, NULLIF($5, '')::pg_catalog.jsonb)",
						  5, types);
	}
	for (const sl_dead_letter *letter = batch->dead; letter; letter = letter->next)
	{
		Datum values[5];
		char *reason = letter->error.detail[0]
						   ? psprintf("%s (%s)", letter->error.message, letter->error.detail)
						   : pstrdup(letter->error.message);

		values[0] = CStringGetTextDatum(letter->origin);
		values[1] = CStringGetTextDatum(reason);
		values[2] = CStringGetTextDatum(letter->error.sqlstate);
		values[3] = sl_bytea(letter->payload, letter->n);
		values[4] = CStringGetTextDatum(letter->headers ? letter->headers : "");
		if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not store a dead letter");
		pfree(DatumGetPointer(values[3]));
	}
}
