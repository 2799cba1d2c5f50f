/*
 * correlation.c
 *	  Correlation states between tables and core.
 *
 * A state is a row under (the rule's definition, the group's values), both as
 * hashes, with chunks of older events beside it.  The rows of a batch are made
 * and locked in the order of their keys, so that evaluators that meet in the
 * same groups take turns instead of deadlocking; those of correlations that
 * name correlations come after those that they name.
 */
#include "alert/correlation.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/correlate/correlate.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* States of one statement; due ones of one batch. */
#define PAGE 2000

/* The events of one record, in one group. */
typedef struct step
{
	struct step *next;
	uint64 seq;				 /* which record of the batch led to it */
	const sl_record *record; /* that one; NULL: none, time alone */
	int64 watermark;
	size_t n;
	sl_event events[];
} step;

typedef struct cgroup
{
	struct cgroup *next; /* of the same hash slot */
	uint32_t rule;		 /* the correlation */
	sl_str *values;
	pg_uuid_t key;
	step *first;
	step *last;
	bool written;
	bool refused; /* there are too many of its rule's */
	int64 due;	  /* stored; SL_NEVER */
	sl_group state;
} cgroup;

#define SLOTS 4096

/* What a batch adds to stat_correlations. */
typedef struct counts
{
	int64 groups;
	int64 late;
	int64 dropped;
	int64 refused;
} counts;

/* How long it may be believed how many groups a rule has. */
#define BELIEVE_MS 1000

struct sl_correlations
{
	sl_arena *arena;
	const sl_rules *rules;
	sl_firing firing;
	void *arg;
	cgroup **groups;
	size_t n;
	size_t cap;
	cgroup *slots[SLOTS];
	int64 watermark;
	uint32_t depth; /* of the longest chain */
	int64 now;
	uint64 seq;				 /* records so far */
	const sl_record *record; /* whose events are being applied, as with these: */
	uint64 current_seq;
	int64 current_watermark;
	cgroup *current;
	counts *counts; /* by rule */
};

static const sl_correlation *
correlation_of(const sl_correlations *cs, uint32_t rule)
{
	return sl_ruleset_rule(cs->rules->set, rule)->correlation;
}

sl_correlations *
sl_correlations_new(sl_arena *arena, const sl_rules *rules, sl_firing firing, void *arg)
{
	sl_correlations *cs = sl_alloc0(arena, sizeof(*cs));

	cs->arena = arena;
	cs->rules = rules;
	for (uint32_t i = 0; i < sl_ruleset_size(rules->set); i++)
		if (correlation_of(cs, i))
			cs->depth = Max(cs->depth, correlation_of(cs, i)->depth);
	cs->now = sl_now_ns();
	cs->counts = sl_alloc0(arena, (sl_ruleset_size(rules->set) + 1) * sizeof(*cs->counts));
	cs->firing = firing;
	cs->arg = arg;
	return cs;
}

/* The group of these values, which is made where there is none yet. */
static cgroup *
find_group(sl_correlations *cs, uint32_t rule, sl_str *values)
{
	size_t n = correlation_of(cs, rule)->n_group_by;
	uint64 hash = rule;
	cgroup *g;

	for (size_t i = 0; i < n; i++)
		hash = XXH3_64bits_withSeed(values[i].p, values[i].n, hash);
	for (g = cs->slots[hash % SLOTS]; g; g = g->next)
	{
		bool same = g->rule == rule;

		for (size_t i = 0; i < n && same; i++)
			same = sl_str_eq(g->values[i], values[i]);
		if (same)
			return g;
	}
	g = sl_alloc0(cs->arena, sizeof(*g));
	g->rule = rule;
	/* groups may outlive the record that they were met with */
	for (size_t i = 0; i < n; i++)
		values[i] = sl_str_copy(cs->arena, values[i].p, values[i].n);
	g->values = values;
	g->due = SL_NEVER;
	sl_group_key(sl_ruleset_rule(cs->rules->set, rule), values, g->key.data);
	g->next = cs->slots[hash % SLOTS];
	cs->slots[hash % SLOTS] = g;
	SL_ROOM(cs->arena, cs->groups, cs->n, cs->cap, 64);
	cs->groups[cs->n++] = g;
	return g;
}

/* The values that are counted, summed or compared; false where the record lacks them. */
static bool
event_values(sl_correlations *cs, const sl_correlation *c, const sl_record *record, sl_event *e)
{
	for (size_t i = 0; i < c->n_fields; i++)
	{
		sl_str text = record ? sl_record_text(cs->arena, record, c->fields[i]) : (sl_str){0};
		sl_value value = {.type = SL_STRING, .u.s = text};

		if (!text.p)
			return false;
		if (c->type >= SL_VALUE_SUM && c->type <= SL_VALUE_MEDIAN && !sl_value_number(&value, &e->number))
			return false;
		e->value = XXH3_64bits_withSeed(text.p, text.n, e->value + 1);
	}
	return true;
}

static void
add_event(sl_correlations *cs, uint32_t rule, sl_str *values, const sl_record *record, uint64 seq, int64 watermark, const sl_event *e)
{
	const sl_correlation *c = correlation_of(cs, rule);
	bool each_rule = c->type == SL_TEMPORAL || c->type == SL_TEMPORAL_ORDERED || c->type == SL_RATIO;
	cgroup *g = find_group(cs, rule, values);
	step **at = &g->first;
	step *s = g->last;

	/* what fired comes after the records that stand here already, so it goes to its place among them */
	if (s && s->seq <= seq)
		at = &g->last->next;
	else
		for (s = NULL; *at && (*at)->seq <= seq; at = &(*at)->next)
			s = *at;
	/* one record that several of the rules are true of */
	if (s && s->record == record && record && s->seq == seq && s->events[0].at == e->at && s->n < c->n_rules)
	{
		if (each_rule)
			s->events[s->n++] = *e;
		return;
	}
	s = sl_alloc(cs->arena, sizeof(*s) + c->n_rules * sizeof(sl_event));
	s->next = *at;
	s->seq = seq;
	s->record = record;
	s->watermark = watermark;
	s->n = 1;
	s->events[0] = *e;
	*at = s;
	if (!s->next)
		g->last = s;
}

/* What a record that a rule is true of means to a correlation. */
typedef struct feeding
{
	sl_correlations *cs;
	const sl_record *record;
	int64 at;
	uint64 seq;
	int64 watermark;
	const sl_rule *from;  /* a correlation that fired, or NULL */
	const sl_str *values; /* its group's */
} feeding;

/* A field of what fired: one of its group-by values, else the record's. */
static sl_str
field_of(const feeding *f, sl_str name)
{
	for (size_t i = 0; f->from && i < f->from->n_group_by; i++)
		if (sl_str_eq(f->from->group_by[i], name))
			return f->values[i];
	return f->record ? sl_record_text(f->cs->arena, f->record, name) : (sl_str){0};
}

static void
feed(void *arg, uint32_t correlation, uint32_t nth)
{
	const feeding *f = arg;
	const sl_correlation *c = correlation_of(f->cs, correlation);
	sl_str *values = sl_alloc(f->cs->arena, (c->n_group_by + 1) * sizeof(sl_str));
	sl_event e = {.at = f->at, .nth = (uint8_t) nth};

	for (size_t i = 0; i < c->n_group_by; i++)
	{
		values[i] = field_of(f, c->group_fields[nth * c->n_group_by + i]);
		/* a record that lacks a group-by field doesn't count */
		if (!values[i].p)
			return;
	}
	if (event_values(f->cs, c, f->record, &e))
		add_event(f->cs, correlation, values, f->record, f->seq, f->watermark, &e);
}

void
sl_correlations_add(sl_correlations *cs, const sl_record *record, const uint32_t *found, size_t n)
{
	feeding f = {.cs = cs, .record = record, .seq = ++cs->seq, .watermark = record->watermark, .at = record->timestamp ? record->timestamp : record->observed};

	/* a clock that is ahead would make all that follows late */
	f.at = Min(f.at, cs->now);

	for (size_t i = 0; i < n; i++)
		sl_ruleset_feeds(cs->rules->set, found[i], feed, &f);
}

static void
on_fire(void *arg, int64_t at, double actual)
{
	sl_correlations *cs = arg;
	cgroup *g = cs->current;
	const sl_rule *rule = sl_ruleset_rule(cs->rules->set, g->rule);
	feeding f = {.cs = cs, .record = cs->record, .seq = cs->current_seq, .watermark = Min(cs->current_watermark, at), .at = at, .from = rule, .values = g->values};

	sl_matcher_costs(cs->rules->matcher)[g->rule].matches++;
	if (rule->alerts)
		cs->firing(cs->arg, g->rule, g->values, cs->record, at);
	sl_ruleset_feeds(cs->rules->set, g->rule, feed, &f);
}

static ArrayType *
array_of(Datum *values, bool *nulls, size_t n, Oid type)
{
	int dims[1] = {(int) n},
		bounds[1] = {1};
	int16 size;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &size, &by_value, &align);
	return construct_md_array(values, nulls, 1, dims, bounds, type, size, by_value, align);
}

static const pg_uuid_t *
rule_key(const sl_correlations *cs, uint32_t rule)
{
	return (const pg_uuid_t *) correlation_of(cs, rule)->key;
}

static int
by_key(const void *a, const void *b, void *arg)
{
	const cgroup *x = *(cgroup *const *) a,
				 *y = *(cgroup *const *) b;
	int order = memcmp(rule_key(arg, x->rule), rule_key(arg, y->rule), 16);

	return order ? order : memcmp(&x->key, &y->key, 16);
}

static void
run(SPIPlanPtr plan, Datum *values, int expected)
{
	if (SPI_execute_plan(plan, values, NULL, false, 0) != expected)
		elog(ERROR, "could not read or write correlation states");
}

static int64
int8_column(uint64 row, int number, int64 missing)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull);

	return isnull ? missing : DatumGetInt64(value);
}

static void
keys_of(const sl_correlations *cs, cgroup **groups, size_t n, Datum *rules, Datum *keys)
{
	for (size_t i = 0; i < n; i++)
	{
		rules[i] = UUIDPGetDatum((pg_uuid_t *) rule_key(cs, groups[i]->rule));
		keys[i] = UUIDPGetDatum(&groups[i]->key);
	}
}

/* How many groups a rule has, as of a moment ago. */
typedef struct known_groups
{
	pg_uuid_t rule_key;
	int64 n;
} known_groups;

static known_groups *
groups_of(const pg_uuid_t *key)
{
	static HTAB *known;
	static TimestampTz at;
	static SPIPlanPtr plan;
	TimestampTz now = GetCurrentTimestamp();
	known_groups *entry;
	bool found;

	if (!known || TimestampDifferenceExceeds(at, now, BELIEVE_MS))
	{
		HASHCTL info = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(known_groups)};

		if (known)
			hash_destroy(known);
		known = hash_create("correlations", 64, &info, HASH_ELEM | HASH_BLOBS);
		at = now;
		if (!plan)
			plan = sl_prepare("SELECT rule_key, sum(groups)::bigint FROM stacklens_internal.correlation_counts GROUP BY rule_key", 0, NULL);
		run(plan, NULL, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool isnull;

			entry = hash_search(known, DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)), HASH_ENTER, &found);
			entry->n = int8_column(i, 2, 0);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	entry = hash_search(known, key, HASH_ENTER, &found);
	if (!found)
		entry->n = 0;
	return entry;
}

/* Makes the rows of groups that are new, as far as their rules may have more. */
static void
make_rows(sl_correlations *cs, cgroup **groups, size_t n, Datum *values)
{
	static SPIPlanPtr plan;
	SPITupleTable *made;
	uint64 n_made;

	if (!plan)
	{
		Oid types[5] = {UUIDARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TEXTARRAYOID, BOOLARRAYOID};

		plan = sl_prepare("INSERT INTO stacklens_internal.correlation_states (rule_key, group_key, rule_id, group_values)"
						  " SELECT u.rule_key, u.group_key, u.rule_id, u.group_values"
						  " FROM unnest($1, $2, $3, $4, $5) u (rule_key, group_key, rule_id, group_values, may) WHERE u.may"
						  " ON CONFLICT DO NOTHING RETURNING rule_key",
						  5, types);
	}
	run(plan, values, SPI_OK_INSERT_RETURNING);
	made = SPI_tuptable;
	n_made = SPI_processed;
	for (uint64 i = 0, k = 0; i < n_made; i++)
	{
		bool isnull;
		const pg_uuid_t *key = DatumGetUUIDP(SPI_getbinval(made->vals[i], made->tupdesc, 1, &isnull));

		/* both in the order of their keys */
		while (memcmp(rule_key(cs, groups[k]->rule), key, 16) != 0)
			if (++k == n)
				elog(ERROR, "a correlation state was made that nobody asked for");
		cs->counts[groups[k]->rule].groups++;
		groups_of(key)->n++;
	}
	SPI_freetuptable(made);
}

/*
 * Makes the rows of new groups, locks all, and reads them.  Gives how many
 * there are, at the front; of the others, their rules may have no more.
 */
static size_t
load(sl_correlations *cs, cgroup **groups, size_t n)
{
	static SPIPlanPtr lock,
		chunks;
	Datum *rules = palloc(n * sizeof(Datum)),
		  *keys = palloc(n * sizeof(Datum)),
		  *ids = palloc(n * sizeof(Datum)),
		  *texts = palloc(n * sizeof(Datum)),
		  *may = palloc(n * sizeof(Datum)),
		  values[5];
	size_t with_chunks = 0,
		   kept = 0;

	if (!lock)
	{
		Oid types[2] = {UUIDARRAYOID, UUIDARRAYOID};

		lock = sl_prepare("SELECT u.n, s.state, s.due FROM unnest($1, $2) WITH ORDINALITY AS u (rule_key, group_key, n)"
						  " JOIN stacklens_internal.correlation_states s ON s.rule_key = u.rule_key AND s.group_key = u.group_key"
						  " ORDER BY u.n FOR UPDATE OF s",
						  2, types);
		chunks = sl_prepare("SELECT u.n, c.number, c.events FROM unnest($1, $2) WITH ORDINALITY AS u (rule_key, group_key, n)"
							" JOIN stacklens_internal.correlation_chunks c ON c.rule_key = u.rule_key AND c.group_key = u.group_key",
							2, types);
	}
	keys_of(cs, groups, n, rules, keys);
	for (size_t i = 0; i < n; i++)
	{
		const sl_rule *rule = sl_ruleset_rule(cs->rules->set, groups[i]->rule);
		sl_buf json;

		ids[i] = sl_uuid(rule->id);
		sl_buf_init(&json, cs->arena, 64);
		sl_buf_putc(&json, '[');
		for (size_t k = 0; k < rule->n_group_by; k++)
		{
			if (k > 0)
				sl_buf_putc(&json, ',');
			sl_buf_json_string(&json, groups[i]->values[k]);
		}
		sl_buf_putc(&json, ']');
		texts[i] = CStringGetTextDatum(json.p);
		may[i] = BoolGetDatum(groups_of(rule_key(cs, groups[i]->rule))->n < sl_max_groups);
	}
	values[0] = PointerGetDatum(array_of(rules, NULL, n, UUIDOID));
	values[1] = PointerGetDatum(array_of(keys, NULL, n, UUIDOID));
	values[2] = PointerGetDatum(array_of(ids, NULL, n, UUIDOID));
	values[3] = PointerGetDatum(array_of(texts, NULL, n, TEXTOID));
	values[4] = PointerGetDatum(array_of(may, NULL, n, BOOLOID));
	/* a row that is being deleted is neither made nor locked: then once more */
	for (int attempt = 0;; attempt++)
	{
		size_t unmade = 0;

		make_rows(cs, groups, n, values);
		run(lock, values, SPI_OK_SELECT);
		for (size_t i = 0; i < n; i++)
			groups[i]->refused = true;
		for (uint64 i = 0; i < SPI_processed; i++)
			groups[int8_column(i, 1, 1) - 1]->refused = false;
		for (size_t i = 0; i < n; i++)
			unmade += groups[i]->refused && DatumGetBool(may[i]);
		if (unmade == 0)
			break;
		if (attempt == 10)
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("correlation states are deleted while they are used")));
		SPI_freetuptable(SPI_tuptable);
	}
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		cgroup *g = groups[int8_column(i, 1, 1) - 1];
		sl_str header = sl_column(cs->arena, SPI_tuptable->vals[i], 2);

		g->due = int8_column(i, 3, SL_NEVER);
		sl_group_init(&g->state, correlation_of(cs, g->rule), cs->arena, on_fire, cs);
		if (header.p && !sl_group_load(&g->state, header))
			sl_group_init(&g->state, correlation_of(cs, g->rule), cs->arena, on_fire, cs);
		else if (header.p && sl_group_has_chunks(header))
			with_chunks++;
	}
	SPI_freetuptable(SPI_tuptable);
	if (with_chunks > 0)
	{
		run(chunks, values, SPI_OK_SELECT);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			cgroup *g = groups[int8_column(i, 1, 1) - 1];
			bool isnull;
			int32 number = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));

			(void) sl_group_load_chunk(&g->state, (uint32_t) number, sl_column(cs->arena, SPI_tuptable->vals[i], 3));
		}
		SPI_freetuptable(SPI_tuptable);
		for (size_t i = 0; i < n; i++)
			if (!groups[i]->refused)
				sl_group_loaded(&groups[i]->state);
	}
	for (size_t i = 0; i < n; i++)
		if (!groups[i]->refused)
			groups[kept++] = groups[i];
		else
			for (const step *s = groups[i]->first; s; s = s->next)
				cs->counts[groups[i]->rule].refused++;
	return kept;
}

/* Rows to be written to the table of chunks, or deleted from it. */
typedef struct chunk_rows
{
	Datum *rules;
	Datum *keys;
	Datum *numbers;
	Datum *events;
	size_t n;
	size_t cap;
} chunk_rows;

static void
add_chunk(chunk_rows *rows, Datum rule, Datum key, const sl_chunk *chunk)
{
	if (rows->n == rows->cap)
	{
		rows->cap = rows->cap ? rows->cap * 2 : 64;
		rows->rules = rows->rules ? repalloc(rows->rules, rows->cap * sizeof(Datum)) : palloc(rows->cap * sizeof(Datum));
		rows->keys = rows->keys ? repalloc(rows->keys, rows->cap * sizeof(Datum)) : palloc(rows->cap * sizeof(Datum));
		rows->numbers = rows->numbers ? repalloc(rows->numbers, rows->cap * sizeof(Datum)) : palloc(rows->cap * sizeof(Datum));
		rows->events = rows->events ? repalloc(rows->events, rows->cap * sizeof(Datum)) : palloc(rows->cap * sizeof(Datum));
	}
	rows->rules[rows->n] = rule;
	rows->keys[rows->n] = key;
	rows->numbers[rows->n] = Int32GetDatum((int32) chunk->number);
	rows->events[rows->n++] = sl_bytea(chunk->bytes.p, chunk->bytes.n);
}

static void
write_chunks(SPIPlanPtr plan, const chunk_rows *rows, int expected)
{
	Datum values[4];

	if (rows->n == 0)
		return;
	values[0] = PointerGetDatum(array_of(rows->rules, NULL, rows->n, UUIDOID));
	values[1] = PointerGetDatum(array_of(rows->keys, NULL, rows->n, UUIDOID));
	values[2] = PointerGetDatum(array_of(rows->numbers, NULL, rows->n, INT4OID));
	values[3] = PointerGetDatum(array_of(rows->events, NULL, rows->n, BYTEAOID));
	run(plan, values, expected);
}

static void
save(sl_correlations *cs, cgroup **groups, size_t n)
{
	static SPIPlanPtr update,
		put,
		drop;
	Datum *rules = palloc(n * sizeof(Datum)),
		  *keys = palloc(n * sizeof(Datum)),
		  *states = palloc(n * sizeof(Datum)),
		  *dues = palloc(n * sizeof(Datum)),
		  *expire = palloc(n * sizeof(Datum)),
		  values[5];
	bool *no_due = palloc(n * sizeof(bool)),
		 *never = palloc(n * sizeof(bool));
	chunk_rows stored = {0},
			   dropped = {0};

	if (!update)
	{
		Oid types[5] = {UUIDARRAYOID, UUIDARRAYOID, BYTEAARRAYOID, INT8ARRAYOID, INT8ARRAYOID};
		Oid chunk_types[4] = {UUIDARRAYOID, UUIDARRAYOID, INT4ARRAYOID, BYTEAARRAYOID};

		update = sl_prepare("UPDATE stacklens_internal.correlation_states s SET state = u.state, due = u.due, expires = u.expires"
							" FROM unnest($1, $2, $3, $4, $5) AS u (rule_key, group_key, state, due, expires)"
							" WHERE s.rule_key = u.rule_key AND s.group_key = u.group_key",
							5, types);
		put = sl_prepare("INSERT INTO stacklens_internal.correlation_chunks AS c (rule_key, group_key, number, events)"
						 " SELECT u.* FROM unnest($1, $2, $3, $4) u"
						 " ON CONFLICT (rule_key, group_key, number) DO UPDATE SET events = excluded.events",
						 4, chunk_types);
		drop = sl_prepare("DELETE FROM stacklens_internal.correlation_chunks c"
						  " USING unnest($1, $2, $3) AS u (rule_key, group_key, number)"
						  " WHERE c.rule_key = u.rule_key AND c.group_key = u.group_key AND c.number = u.number",
						  4, chunk_types);
	}
	keys_of(cs, groups, n, rules, keys);
	for (size_t i = 0; i < n; i++)
	{
		cgroup *g = groups[i];
		sl_str header = sl_group_save(&g->state);
		int64 due = sl_group_due(&g->state),
			  expires = sl_group_expires(&g->state);

		/* looked at too early does no harm; a due that stays spares the index */
		if (g->due <= due && g->due > cs->watermark)
			due = g->due;
		states[i] = sl_bytea(header.p, header.n);
		dues[i] = Int64GetDatum(due);
		no_due[i] = due == SL_NEVER;
		expire[i] = Int64GetDatum(expires);
		never[i] = expires == SL_NEVER;
		for (size_t k = 0; k < g->state.n_chunks; k++)
			if (g->state.chunks[k].dirty)
				add_chunk(g->state.chunks[k].bytes.n ? &stored : &dropped, rules[i], keys[i], &g->state.chunks[k]);
	}
	values[0] = PointerGetDatum(array_of(rules, NULL, n, UUIDOID));
	values[1] = PointerGetDatum(array_of(keys, NULL, n, UUIDOID));
	values[2] = PointerGetDatum(array_of(states, NULL, n, BYTEAOID));
	values[3] = PointerGetDatum(array_of(dues, no_due, n, INT8OID));
	values[4] = PointerGetDatum(array_of(expire, never, n, INT8OID));
	run(update, values, SPI_OK_UPDATE);
	write_chunks(put, &stored, SPI_OK_INSERT);
	write_chunks(drop, &dropped, SPI_OK_DELETE);
}

/* Rows are only added: no evaluator waits for another's. */
static void
write_counts(sl_correlations *cs)
{
	static SPIPlanPtr plan;

	if (!plan)
	{
		Oid types[6] = {UUIDOID, UUIDOID, INT8OID, INT8OID, INT8OID, INT8OID};

		plan = sl_prepare("INSERT INTO stacklens_internal.correlation_counts (rule_key, rule_id, groups, late, dropped, refused)"
						  " VALUES ($1, $2, $3, $4, $5, $6)",
						  6, types);
	}
	for (uint32_t i = 0; i < sl_ruleset_size(cs->rules->set); i++)
	{
		const counts *c = &cs->counts[i];
		Datum values[6] = {0};

		if (!c->groups && !c->late && !c->dropped && !c->refused)
			continue;
		values[0] = UUIDPGetDatum((pg_uuid_t *) rule_key(cs, i));
		values[1] = sl_uuid(sl_ruleset_rule(cs->rules->set, i)->id);
		values[2] = Int64GetDatum(c->groups);
		values[3] = Int64GetDatum(c->late);
		values[4] = Int64GetDatum(c->dropped);
		values[5] = Int64GetDatum(c->refused);
		run(plan, values, SPI_OK_INSERT);
	}
}

static void
apply(sl_correlations *cs, cgroup *g)
{
	int64 late = (int64) g->state.late,
		  dropped = (int64) g->state.overflow;

	cs->current = g;
	for (const step *s = g->first; s; s = s->next)
	{
		cs->current_seq = s->seq;
		cs->current_watermark = s->watermark;
		/* what time brings comes first, and is not the record's doing */
		cs->record = NULL;
		sl_group_advance(&g->state, s->watermark);
		cs->record = s->record;
		sl_matcher_costs(cs->rules->matcher)[g->rule].evaluations++;
		sl_group_add(&g->state, s->events, s->n, s->watermark);
	}
	cs->record = NULL;
	cs->current_seq = PG_UINT64_MAX;
	cs->current_watermark = cs->watermark;
	sl_group_advance(&g->state, cs->watermark);
	cs->counts[g->rule].late += (int64) g->state.late - late;
	cs->counts[g->rule].dropped += (int64) g->state.overflow - dropped;
	g->first = g->last = NULL;
}

/* The groups of one depth that have something to do, by key. */
static cgroup **
groups_of_depth(sl_correlations *cs, uint32_t depth, size_t *n)
{
	cgroup **groups = palloc((cs->n + 1) * sizeof(*groups));

	*n = 0;
	for (size_t i = 0; i < cs->n; i++)
		if (correlation_of(cs, cs->groups[i]->rule)->depth == depth && !cs->groups[i]->written)
			groups[(*n)++] = cs->groups[i];
	qsort_arg(groups, *n, sizeof(*groups), by_key, cs);
	return groups;
}

void
sl_correlations_store(sl_correlations *cs)
{
	if (cs->n == 0)
		return;
	for (uint32_t depth = 1; depth <= cs->depth; depth++)
	{
		size_t n;
		cgroup **groups = groups_of_depth(cs, depth, &n);

		for (size_t from = 0; from < n; from += PAGE)
		{
			size_t page = Min(n - from, PAGE),
				   kept;

			for (size_t i = from; i < from + page; i++)
				groups[i]->written = true;
			kept = load(cs, groups + from, page);
			for (size_t i = from; i < from + kept; i++)
				apply(cs, groups[i]);
			if (kept > 0)
				save(cs, groups + from, kept);
		}
	}
	write_counts(cs);
}

void
sl_correlations_run(sl_correlations *cs, int64 watermark)
{
	cs->watermark = watermark;
	for (uint32_t depth = 1; depth <= cs->depth; depth++)
	{
		size_t n;
		cgroup **groups = groups_of_depth(cs, depth, &n);

		for (size_t i = 0; i < n; i++)
		{
			if (!groups[i]->state.arena)
				sl_group_init(&groups[i]->state, correlation_of(cs, groups[i]->rule), cs->arena, on_fire, cs);
			apply(cs, groups[i]);
		}
		pfree(groups);
	}
}

/* The correlation that a stored state belongs to. */
static bool
find_rule(const sl_correlations *cs, const pg_uuid_t *key, uint32_t *rule)
{
	size_t n = sl_ruleset_size(cs->rules->set);

	for (*rule = 0; *rule < n; (*rule)++)
		if (correlation_of(cs, *rule) && !sl_ruleset_rule(cs->rules->set, *rule)->broken && memcmp(rule_key(cs, *rule), key, 16) == 0)
			return true;
	return false;
}

void
sl_correlations_now(sl_correlations *cs, int64 watermark)
{
	cs->watermark = watermark;
}

bool
sl_correlations_pending(sl_correlations *cs, int64 watermark)
{
	static SPIPlanPtr plan;
	Datum values[2];

	cs->watermark = watermark;
	if (!plan)
	{
		Oid types[2] = {INT8OID, INT8OID};

		plan = sl_prepare("SELECT rule_key, group_values FROM stacklens_internal.correlation_states WHERE due <= $1 ORDER BY due LIMIT $2", 2, types);
	}
	values[0] = Int64GetDatum(watermark);
	values[1] = Int64GetDatum(PAGE);
	if (SPI_execute_plan(plan, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for due correlation states");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		pg_uuid_t *key = DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		sl_str json = sl_column(cs->arena, SPI_tuptable->vals[i], 2);
		sl_documents documents = {0};
		sl_error err;
		sl_str *group_values;
		uint32_t rule;

		if (!find_rule(cs, key, &rule) || !sl_read_json(json.p, json.n, cs->arena, &documents, &err) ||
			documents.v[0]->n != correlation_of(cs, rule)->n_group_by)
			continue;
		group_values = sl_alloc(cs->arena, (documents.v[0]->n + 1) * sizeof(sl_str));
		for (size_t k = 0; k < documents.v[0]->n; k++)
			group_values[k] = documents.v[0]->entries[k].value->text;
		find_group(cs, rule, group_values);
	}
	SPI_freetuptable(SPI_tuptable);
	return cs->n > 0;
}
