/*
 * rules.c
 *	  Rules between SQL and core: reading texts, and the compiled set of the
 *	  enabled ones, which is kept until the rules' version changes.
 *
 * The maintainer compiles, and publishes the set as an image under the
 * version that it was made of; the other workers only load it.  A session
 * that finds no image of the rules that it sees (they changed in its own
 * transaction, or there are no workers) compiles for itself.
 */
#include "stacklens.h"

#include "catalog/pg_type.h"
#include "core/match/explain.h"
#include "core/rule/logsources.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "stats/shared.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

PG_FUNCTION_INFO_V1(stacklens_read_rules);
PG_FUNCTION_INFO_V1(stacklens_match);
PG_FUNCTION_INFO_V1(stacklens_explain);
PG_FUNCTION_INFO_V1(stacklens_builtin_logsources);
PG_FUNCTION_INFO_V1(stacklens_check_logsource);
PG_FUNCTION_INFO_V1(stacklens_check_placeholder);

/* How long a worker waits for the maintainer's image before it compiles itself, in µs. */
#define PATIENCE 10000000

/* A text of the current result. */
static sl_str
spi_text(uint64 row, int column, sl_arena *arena)
{
	return sl_column(arena, SPI_tuptable->vals[row], column);
}

static uint64
query(const char *sql)
{
	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%.60s\"", sql);
	return SPI_processed;
}

sl_definitions *
sl_definitions_current(sl_arena *arena)
{
	sl_definitions *definitions = sl_definitions_new(arena);
	sl_error err = {0};
	uint64 n;

	/* a row of the user's stands in the place of the built-in one; without a detection, it means nothing */
	n = query("SELECT DISTINCT ON (category, product, service) category, product, service, detection::text"
			  " FROM stacklens.logsources ORDER BY category, product, service, builtin");
	for (uint64 i = 0; i < n; i++)
	{
		sl_str detection = spi_text(i, 4, arena);

		if (detection.p && !sl_definitions_add_logsource(definitions, spi_text(i, 1, arena), spi_text(i, 2, arena),
														 spi_text(i, 3, arena), detection, &err))
			ereport(WARNING, (errmsg("a row of stacklens.logsources is left out: %s", err.message)));
	}
	n = query("SELECT name, values::text FROM stacklens.placeholders");
	for (uint64 i = 0; i < n; i++)
	{
		sl_documents documents = {0};
		sl_str values = spi_text(i, 2, arena);

		if (!sl_read_json(values.p, values.n, arena, &documents, &err) ||
			!sl_definitions_add_placeholder(definitions, spi_text(i, 1, arena), documents.v[0], &err))
			ereport(WARNING, (errmsg("a row of stacklens.placeholders is left out: %s", err.message)));
	}
	return definitions;
}

static Datum
text_datum(sl_str s, bool *isnull)
{
	*isnull = s.p == NULL;
	return s.p ? PointerGetDatum(cstring_to_text_with_len(s.p, (int) s.n)) : (Datum) 0;
}

static Datum
message_datum(const char *s, bool *isnull)
{
	return text_datum((sl_str){s[0] ? s : NULL, strlen(s)}, isnull);
}

/* Columns of read_rules. */
enum
{
	NAME,
	ID,
	TITLE,
	KIND,
	SEVERITY,
	ISSUE_CODE,
	LOGSOURCE,
	DEFINITION,
	SQLSTATE,
	ERROR_TEXT,
	DETAIL,
	HINT,
	LINE,
	COL,
	COLUMNS
};

/* document: the refused rule, for its name; NULL where the text itself is refused. */
static void
put_error(ReturnSetInfo *rsinfo, const sl_error *err, const sl_node *document)
{
	const sl_node *name = sl_node_get(document, "name");
	Datum values[COLUMNS] = {0};
	bool nulls[COLUMNS];

	memset(nulls, true, sizeof(nulls));
	if (!name)
		name = sl_node_get(document, "title");
	if (name && name->kind == SL_SCALAR)
		values[NAME] = text_datum(name->text, &nulls[NAME]);
	values[SQLSTATE] = message_datum(err->sqlstate, &nulls[SQLSTATE]);
	values[ERROR_TEXT] = message_datum(err->message, &nulls[ERROR_TEXT]);
	values[DETAIL] = message_datum(err->detail, &nulls[DETAIL]);
	values[HINT] = message_datum(err->hint, &nulls[HINT]);
	values[LINE] = Int32GetDatum(err->line);
	values[COL] = Int32GetDatum(err->col);
	nulls[LINE] = nulls[COL] = err->line == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_rule(ReturnSetInfo *rsinfo, const sl_rule *rule, sl_arena *arena)
{
	Datum values[COLUMNS] = {0};
	bool nulls[COLUMNS];
	sl_buf definition;

	memset(nulls, true, sizeof(nulls));
	sl_buf_init(&definition, arena, 1024);
	sl_node_json(&definition, rule->definition);
	values[NAME] = text_datum(rule->name, &nulls[NAME]);
	if (rule->id.p)
	{
		values[ID] = sl_uuid(rule->id);
		nulls[ID] = false;
	}
	values[TITLE] = text_datum(rule->title, &nulls[TITLE]);
	values[KIND] = message_datum(sl_rule_kind_name[rule->kind], &nulls[KIND]);
	values[SEVERITY] = message_datum(sl_severity_name[rule->severity], &nulls[SEVERITY]);
	values[ISSUE_CODE] = text_datum(rule->issue_code, &nulls[ISSUE_CODE]);
	if (rule->logsource_unknown)
		values[LOGSOURCE] = text_datum(rule->logsource, &nulls[LOGSOURCE]);
	values[DEFINITION] = text_datum((sl_str){definition.p, definition.n}, &nulls[DEFINITION]);
	values[LINE] = Int32GetDatum(rule->definition->line);
	values[COL] = Int32GetDatum(rule->definition->col);
	nulls[LINE] = nulls[COL] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A rule of a document, or why it is refused. */
typedef struct read_rule
{
	sl_rule *rule;
	const sl_node *document;
	sl_error err;
} read_rule;

typedef struct link_context
{
	read_rule *read;
	size_t n;
} link_context;

static void
note_link(void *arg, sl_rule *rule, const sl_error *err)
{
	link_context *c = arg;

	for (size_t i = 0; i < c->n; i++)
		if (c->read[i].rule == rule)
			c->read[i].err = *err;
}

/*
 * Rules that name others: are they there, in the document or in the database?
 * Of what is stored, detections are only known by their names.
 */
static void
link_read(read_rule *read, size_t n, const sl_definitions *definitions, sl_arena *arena)
{
	link_context context = {read, n};
	sl_rule **all;
	size_t count = 0;
	uint64 stored;
	bool names_others = false;

	for (size_t i = 0; i < n; i++)
		names_others |= read[i].rule && read[i].rule->kind != SL_DETECTION;
	if (!names_others)
		return;
	stored = query("SELECT r.id::text, r.name, COALESCE(r.definition ->> 'name', r.definition ->> 'title', r.name),"
				   " CASE r.kind WHEN 'correlation' THEN r.definition::text END FROM stacklens_internal.rules r WHERE r.kind <> 'filter' AND r.enabled");
	all = sl_alloc(arena, (stored + n + 1) * sizeof(sl_rule *));
	for (size_t i = 0; i < n; i++)
		if (read[i].rule)
			all[count++] = read[i].rule;
	for (uint64 i = 0; i < stored; i++)
	{
		sl_str id = spi_text(i, 1, arena),
			   name = spi_text(i, 3, arena),
			   definition = spi_text(i, 4, arena);
		sl_rule *rule = NULL;
		bool replaced = false;

		for (size_t k = 0; k < n && !replaced; k++)
			replaced = read[k].rule && (read[k].rule->id.p ? sl_str_eq(read[k].rule->id, id) : sl_str_eq(read[k].rule->name, name));
		if (replaced)
			continue;
		if (definition.p)
		{
			sl_documents documents = {0};
			sl_error err;

			if (sl_read_json(definition.p, definition.n, arena, &documents, &err))
				rule = sl_rule_read(documents.v[0], definitions, arena, &err);
		}
		if (!rule)
		{
			rule = sl_alloc0(arena, sizeof(*rule));
			rule->name = name;
		}
		rule->id = id;
		rule->stored_name = spi_text(i, 2, arena);
		all[count++] = rule;
	}
	sl_rules_link(all, count, arena, note_link, &context);
}

/* read_rules(document text) → a row for each rule, read or refused. */
Datum
stacklens_read_rules(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	text *document = PG_GETARG_TEXT_PP(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	sl_documents documents = {0},
				 rules = {0};
	sl_definitions *definitions;
	read_rule *read;
	sl_error err;
	bool whole;

	InitMaterializedSRF(fcinfo, 0);
	sl_server_arena(&arena);
	arena.limit = 0; /* bounded by the document's own limits */
	SPI_connect();
	definitions = sl_definitions_current(&arena);
	whole = sl_read_documents(VARDATA_ANY(document), VARSIZE_ANY_EXHDR(document), &arena, &documents, &err);
	if (!whole)
		put_error(rsinfo, &err, NULL);
	for (size_t i = 0; i < documents.n; i++)
		sl_rule_documents(documents.v[i], &arena, &rules);
	read = sl_alloc0(&arena, (rules.n + 1) * sizeof(*read));
	for (size_t i = 0; i < rules.n; i++)
	{
		read[i].document = rules.v[i];
		read[i].rule = sl_rule_read(rules.v[i], definitions, &arena, &read[i].err);
	}
	link_read(read, rules.n, definitions, &arena);
	SPI_finish();
	for (size_t i = 0; i < rules.n; i++)
		if (read[i].rule && !read[i].rule->broken)
			put_rule(rsinfo, read[i].rule, &arena);
		else
			put_error(rsinfo, &read[i].err, read[i].document);
	if (whole && rules.n == 0)
	{
		sl_fail(&err, SL_SYNTAX, "document holds no rule");
		err.line = err.col = 0;
		put_error(rsinfo, &err, NULL);
	}
	return (Datum) 0;
}

static sl_rule *
read_stored(uint64 row, const sl_definitions *definitions, sl_arena *arena, sl_error *err)
{
	sl_str definition = spi_text(row, 3, arena);
	sl_documents documents = {0};
	sl_rule *rule = NULL;

	if (sl_read_json(definition.p, definition.n, arena, &documents, err))
		rule = sl_rule_read(documents.v[0], definitions, arena, err);
	if (rule)
	{
		rule->id = spi_text(row, 1, arena);
		rule->stored_name = spi_text(row, 2, arena);
	}
	return rule;
}

#define RULE_COLUMNS "SELECT id::text, name, definition::text FROM stacklens_internal.rules "

sl_rule *
sl_rule_stored(const char *name, const sl_definitions *definitions, sl_arena *arena)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(name)};
	sl_rule *rule;
	sl_error err;

	if (SPI_execute_with_args(RULE_COLUMNS "WHERE name = $1", 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a rule");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("rule \"%s\" does not exist", name),
				 errhint("SELECT name FROM stacklens.rules; lists them.")));
	rule = read_stored(0, definitions, arena, &err);
	if (!rule)
		sl_ereport(&err);
	return rule;
}

static void
refuse_link(void *arg, sl_rule *rule, const sl_error *err)
{
	if (rule == arg)
		sl_ereport(err);
}

/* Does a filter name the rule? */
static bool
filters(const sl_rule *filter, const sl_rule *rule)
{
	for (size_t i = 0; i < filter->n_targets; i++)
		if (sl_rule_is_called(rule, filter->targets[i]))
			return true;
	return false;
}

sl_ruleset *
sl_rules_with(sl_rule *rule, const sl_definitions *definitions, bool others, sl_arena *arena, size_t *tried)
{
	sl_ruleset *set = sl_ruleset_new(arena);
	uint64 n = query(RULE_COLUMNS "WHERE enabled ORDER BY name");

	for (uint64 i = 0; i < n; i++)
	{
		sl_error err;
		sl_rule *other = read_stored(i, definitions, arena, &err);

		if (!other || (rule->id.p && sl_str_eq(other->id, rule->id)) || sl_str_eq(other->name, rule->name))
			continue;
		if (other->kind == SL_FILTER && filters(other, rule))
		{
			/* those that name other rules, too, would find them missing */
			if (!others)
			{
				other->targets = &rule->name;
				other->n_targets = 1;
			}
			sl_ruleset_add(set, other);
		}
		else if (others)
			sl_ruleset_add(set, other);
	}
	*tried = sl_ruleset_size(set);
	sl_ruleset_add(set, rule);
	sl_ruleset_finish(set, refuse_link, rule);
	return set;
}

/* Rules that are left out, and why. */
typedef struct left_out
{
	sl_arena *arena;
	sl_buf json;
} left_out;

static void
leave_out(left_out *out, sl_str id, sl_str name, const sl_error *err)
{
	/* it was checked when it was stored; the others go on */
	ereport(WARNING,
			(errmsg("rule \"%.*s\" is left out: %s", SL_STR_FMT(name), err->message),
			 errhint("%s", err->hint[0] ? err->hint : "Import it again, or drop it.")));
	sl_buf_puts(&out->json, out->json.n ? "," : "{");
	sl_buf_json_string(&out->json, id);
	sl_buf_putc(&out->json, ':');
	sl_buf_json_string(&out->json, (sl_str){err->message, strlen(err->message)});
}

static void
report_left_out(void *arg, sl_rule *rule, const sl_error *err)
{
	leave_out(arg, rule->id, rule->stored_name, err);
}

static sl_ruleset *
compile(sl_arena *arena, left_out *out)
{
	sl_definitions *definitions = sl_definitions_current(arena);
	sl_ruleset *set = sl_ruleset_new(arena);
	uint64 n = query(RULE_COLUMNS "WHERE enabled ORDER BY name");

	sl_buf_init(&out->json, arena, 64);
	for (uint64 i = 0; i < n; i++)
	{
		sl_error err;
		sl_rule *rule = read_stored(i, definitions, arena, &err);

		if (rule)
			sl_ruleset_add(set, rule);
		else
			leave_out(out, spi_text(i, 1, arena), spi_text(i, 2, arena), &err);
	}
	sl_ruleset_finish(set, report_left_out, out);
	if (out->json.n)
		sl_buf_putc(&out->json, '}');
	return set;
}

/* With xmin: a version that was rolled back is given again. */
static char *
current_version(void)
{
	if (query("SELECT version || '/' || xmin FROM stacklens_internal.rules_version") != 1)
		elog(ERROR, "could not read the version of the rules");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* The published image of a version; NULL where there is none, or it doesn't load. */
static sl_ruleset *
load_image(const char *version, sl_arena *arena)
{
	Oid types[1] = {TEXTOID};
	Datum values[1] = {CStringGetTextDatum(version)};
	bool isnull;
	bytea *image;

	if (SPI_execute_with_args("SELECT image FROM stacklens_internal.compiled_rules WHERE version = $1", 1, types, values,
							  NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the compiled rules");
	if (SPI_processed == 0)
		return NULL;
	image = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return sl_ruleset_load((sl_str){VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image)}, arena);
}

sl_rules *
sl_rules_current(void)
{
	static sl_arena arena;
	static sl_rules rules;
	static char current[64];
	static TimestampTz waiting_since;
	char *version = current_version();
	left_out out = {.arena = &arena};

	if (strcmp(version, current) == 0)
		return &rules;
	current[0] = '\0';
	sl_server_arena(&arena);
	arena.limit = 0;
	rules.set = load_image(version, &arena);
	if (!rules.set && sl_my_slot)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (waiting_since == 0)
			waiting_since = now;
		if (now - waiting_since < PATIENCE)
			return NULL;
	}
	if (!rules.set)
	{
		sl_arena_reset(&arena);
		rules.set = compile(&arena, &out);
	}
	waiting_since = 0;
	rules.matcher = sl_matcher_new(&arena, rules.set);
	strlcpy(current, version, sizeof(current));
	return &rules;
}

void
sl_rules_store_costs(sl_rules *rules)
{
	size_t n = sl_ruleset_size(rules->set),
		   used = 0;
	sl_rule_cost *costs = sl_matcher_costs(rules->matcher);
	Datum *columns[5],
		values[5];
	Oid types[5] = {UUIDARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID};

	for (int k = 0; k < 5; k++)
		columns[k] = palloc((n + 1) * sizeof(Datum));
	for (size_t i = 0; i < n; i++)
	{
		sl_str id = sl_ruleset_rule(rules->set, i)->id;

		if (costs[i].evaluations == 0 && costs[i].matches == 0)
			continue;
		columns[0][used] = sl_uuid(id);
		columns[1][used] = Int64GetDatum((int64) costs[i].matches);
		columns[2][used] = Int64GetDatum((int64) costs[i].evaluations);
		columns[3][used] = Int64GetDatum((int64) costs[i].limited);
		columns[4][used++] = Int64GetDatum((int64) costs[i].ns);
	}
	if (used == 0)
		return;
	values[0] = PointerGetDatum(construct_array(columns[0], (int) used, UUIDOID, 16, false, TYPALIGN_CHAR));
	for (int k = 1; k < 5; k++)
		values[k] = PointerGetDatum(construct_array(columns[k], (int) used, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	if (SPI_execute_with_args("INSERT INTO stacklens_internal.rule_stats AS s (rule_id, matches, last_match, evaluations, limited, nanoseconds)"
							  " SELECT u.id, u.matches, CASE WHEN u.matches > 0 THEN pg_catalog.now() END, u.evaluations, u.limited, u.ns"
							  " FROM unnest($1, $2, $3, $4, $5) AS u (id, matches, evaluations, limited, ns) ORDER BY u.id"
							  " ON CONFLICT (rule_id) DO UPDATE SET matches = s.matches + excluded.matches,"
							  " last_match = COALESCE(excluded.last_match, s.last_match), evaluations = s.evaluations + excluded.evaluations,"
							  " limited = s.limited + excluded.limited, nanoseconds = s.nanoseconds + excluded.nanoseconds",
							  5, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store what rules cost");
	memset(costs, 0, n * sizeof(*costs));
}

/* States of correlations that are gone, or count something else now. */
static void
forget_states(const sl_ruleset *set)
{
	Datum *keys = palloc((sl_ruleset_size(set) + 1) * sizeof(Datum));
	int n = 0;
	Oid types[1] = {UUIDARRAYOID};
	Datum values[1];

	for (size_t i = 0; i < sl_ruleset_size(set); i++)
		if (sl_ruleset_rule(set, i)->correlation && !sl_ruleset_rule(set, i)->broken)
			keys[n++] = UUIDPGetDatum((pg_uuid_t *) sl_ruleset_rule(set, i)->correlation->key);
	values[0] = PointerGetDatum(construct_array(keys, n, UUIDOID, 16, false, TYPALIGN_CHAR));
	if (SPI_execute_with_args("DELETE FROM stacklens_internal.correlation_states WHERE rule_key <> ALL ($1)", 1, types, values,
							  NULL, false, 0) != SPI_OK_DELETE ||
		SPI_execute_with_args("DELETE FROM stacklens_internal.correlation_chunks WHERE rule_key <> ALL ($1)", 1, types, values,
							  NULL, false, 0) != SPI_OK_DELETE ||
		SPI_execute_with_args("DELETE FROM stacklens_internal.correlation_counts WHERE rule_key <> ALL ($1)", 1, types, values,
							  NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not forget correlation states");
}

void
sl_rules_publish(void)
{
	static sl_arena arena;
	static char published[64];
	char *version = pstrdup(current_version());
	Oid types[2] = {TEXTOID, BYTEAOID};
	Datum values[2] = {CStringGetTextDatum(version)};
	left_out out = {.arena = &arena};
	sl_str image;

	if (strcmp(version, published) == 0)
		return;
	sl_server_arena(&arena);
	arena.limit = 0;
	if (!load_image(version, &arena))
	{
		sl_ruleset *set;

		sl_arena_reset(&arena);
		set = compile(&arena, &out);
		image = sl_ruleset_save(set, &arena);
		values[1] = sl_bytea(image.p, image.n);
		if (SPI_execute("DELETE FROM stacklens_internal.compiled_rules", false, 0) != SPI_OK_DELETE ||
			SPI_execute_with_args("INSERT INTO stacklens_internal.compiled_rules (version, image) VALUES ($1, $2)", 2, types,
								  values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not store the compiled rules");
		values[0] = CStringGetTextDatum(out.json.n ? out.json.p : "{}");
		if (SPI_execute_with_args("UPDATE stacklens_internal.rules r SET error = $1::pg_catalog.jsonb ->> r.id::text"
								  " WHERE r.error IS DISTINCT FROM $1::pg_catalog.jsonb ->> r.id::text",
								  1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not note the rules that are left out");
		forget_states(set);
		sl_wake_at_commit(SL_EVALUATOR);
	}
	sl_arena_reset(&arena);
#ifdef __GLIBC__
	/* what compiling took is much, and is wanted again with the next change only */
	malloc_trim(0);
#endif
	strlcpy(published, version, sizeof(published));
}

/* Decodes the one record, or the records, that an argument holds. */
static void
read_records(text *json, sl_arena *arena, sl_records *records)
{
	sl_error err;

	if (!sl_decode(SL_JSON, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), arena, records, &err))
		sl_ereport(&err);
}

/* match(record text) → ids of the enabled detections that are true of it. */
Datum
stacklens_match(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	sl_records records = {0};
	sl_rules *rules;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	sl_server_arena(&arena);
	read_records(PG_GETARG_TEXT_PP(0), &arena, &records);
	SPI_connect();
	rules = sl_rules_current();
	SPI_finish();
	for (size_t i = 0; i < records.n; i++)
	{
		const uint32_t *found;
		size_t n = sl_match(rules->matcher, &records.v[i], &arena, &found);

		for (size_t k = 0; k < n; k++)
		{
			sl_str id = sl_ruleset_rule(rules->set, found[k])->id;
			Datum value = sl_uuid(id);
			bool isnull = false;

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
		}
	}
	return (Datum) 0;
}

static void
put_explained(void *arg, const sl_explained *node)
{
	ReturnSetInfo *rsinfo = arg;
	Datum values[7];
	bool nulls[7] = {0};

	CHECK_FOR_INTERRUPTS();
	values[0] = Int32GetDatum(node->depth);
	values[1] = text_datum(node->node, &nulls[1]);
	values[2] = text_datum(node->field, &nulls[2]);
	values[3] = text_datum((sl_str){node->op, node->op ? strlen(node->op) : 0}, &nulls[3]);
	values[4] = text_datum(node->expected, &nulls[4]);
	values[5] = text_datum(node->actual, &nulls[5]);
	values[6] = BoolGetDatum(node->result);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* explain(rule text, record text): the rule's nodes, then those of its filters. */
Datum
stacklens_explain(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	sl_definitions *definitions;
	sl_records records = {0};
	sl_rule *rule;
	sl_rule **list;
	size_t n = 1;
	uint64 found;

	InitMaterializedSRF(fcinfo, 0);
	sl_server_arena(&arena);
	read_records(PG_GETARG_TEXT_PP(1), &arena, &records);
	SPI_connect();
	definitions = sl_definitions_current(&arena);
	rule = sl_rule_stored(name, definitions, &arena);
	if (rule->kind == SL_CORRELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("rule \"%s\" is a correlation: one record doesn't decide it", name),
				 errhint("Ask about the rules that it names, or see what it would have done: SELECT * FROM stacklens.backtest_rule(%s);",
						 quote_literal_cstr(name))));
	found = query(RULE_COLUMNS "WHERE enabled AND kind = 'filter' ORDER BY name");
	list = sl_alloc(&arena, (found + 1) * sizeof(*list));
	list[0] = rule;
	for (uint64 i = 0; i < found; i++)
	{
		sl_error err;
		sl_rule *filter = read_stored(i, definitions, &arena, &err);

		if (filter && rule->kind == SL_DETECTION && filters(filter, rule))
		{
			filter->condition->name = sl_strf(&arena, "filter %.*s", SL_STR_FMT(filter->stored_name));
			list[n++] = filter;
		}
	}
	SPI_finish();
	for (size_t k = 0; k < records.n; k++)
		for (size_t i = 0; i < n; i++)
			sl_explain(list[i], &records.v[k], &arena, put_explained, rsinfo);
	return (Datum) 0;
}

/* builtin_logsources() → category, product, service, detection. */
Datum
stacklens_builtin_logsources(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < sl_n_logsources; i++)
	{
		const sl_logsource *l = &sl_logsources[i];
		const char *texts[4] = {l->category, l->product, l->service, l->detection};
		Datum values[4];
		bool nulls[4];

		for (int k = 0; k < 4; k++)
			values[k] = text_datum((sl_str){texts[k], texts[k] ? strlen(texts[k]) : 0}, &nulls[k]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* check_logsource(detection text): true, or an error that says why not. */
Datum
stacklens_check_logsource(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	text *detection = PG_GETARG_TEXT_PP(0);
	sl_error err = {0};

	sl_server_arena(&arena);
	if (!sl_definitions_add_logsource(sl_definitions_new(&arena), SL_STR("x"), (sl_str){0}, (sl_str){0},
									  (sl_str){VARDATA_ANY(detection), VARSIZE_ANY_EXHDR(detection)}, &err))
		sl_ereport(&err);
	PG_RETURN_BOOL(true);
}

/* check_placeholder(name text, values text): likewise. */
Datum
stacklens_check_placeholder(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	text *name = PG_GETARG_TEXT_PP(0),
		 *values = PG_GETARG_TEXT_PP(1);
	sl_documents documents = {0};
	sl_error err = {0};

	sl_server_arena(&arena);
	if (!sl_read_json(VARDATA_ANY(values), VARSIZE_ANY_EXHDR(values), &arena, &documents, &err) ||
		!sl_definitions_add_placeholder(sl_definitions_new(&arena), (sl_str){VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)},
										documents.v[0], &err))
		sl_ereport(&err);
	PG_RETURN_BOOL(true);
}
