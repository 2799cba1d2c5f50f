/*
 * rules.c
 *	  Rules between SQL and core: reading texts, and the compiled set of the
 *	  enabled ones, which is kept until the rules' version changes.
 */
#include "stacklens.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(stacklens_read_rules);
PG_FUNCTION_INFO_V1(stacklens_match);

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

/* document: the refused rule, for its name; NULL where the text itself is refused. */
static void
put_error(ReturnSetInfo *rsinfo, const sl_error *err, const sl_node *document)
{
	const sl_node *name = sl_node_get(document, "name");
	Datum values[13] = {0};
	bool nulls[13];

	memset(nulls, true, sizeof(nulls));
	if (!name)
		name = sl_node_get(document, "title");
	if (name && name->kind == SL_SCALAR)
		values[0] = text_datum(name->text, &nulls[0]);
	values[7] = message_datum(err->sqlstate, &nulls[7]);
	values[8] = message_datum(err->message, &nulls[8]);
	values[9] = message_datum(err->detail, &nulls[9]);
	values[10] = message_datum(err->hint, &nulls[10]);
	values[11] = Int32GetDatum(err->line);
	values[12] = Int32GetDatum(err->col);
	nulls[11] = nulls[12] = err->line == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_rule(ReturnSetInfo *rsinfo, const sl_rule *rule, sl_arena *arena)
{
	Datum values[13] = {0};
	bool nulls[13];
	sl_buf definition;

	memset(nulls, true, sizeof(nulls));
	sl_buf_init(&definition, arena, 1024);
	sl_node_json(&definition, rule->definition);
	values[0] = text_datum(rule->name, &nulls[0]);
	if (rule->id.p)
	{
		values[1] = DirectFunctionCall1(uuid_in, CStringGetDatum(pnstrdup(rule->id.p, rule->id.n)));
		nulls[1] = false;
	}
	values[2] = text_datum(rule->title, &nulls[2]);
	values[3] = message_datum(sl_severity_name[rule->severity], &nulls[3]);
	values[4] = text_datum(rule->issue_code, &nulls[4]);
	values[5] = text_datum(rule->logsource, &nulls[5]);
	values[6] = text_datum((sl_str){definition.p, definition.n}, &nulls[6]);
	values[11] = Int32GetDatum(rule->definition->line);
	values[12] = Int32GetDatum(rule->definition->col);
	nulls[11] = nulls[12] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
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
	sl_error err;
	bool whole;

	InitMaterializedSRF(fcinfo, 0);
	sl_server_arena(&arena);
	whole = sl_read_documents(VARDATA_ANY(document), VARSIZE_ANY_EXHDR(document), &arena, &documents, &err);
	if (!whole)
		put_error(rsinfo, &err, NULL);
	for (size_t i = 0; i < documents.n; i++)
		sl_rule_documents(documents.v[i], &arena, &rules);
	for (size_t i = 0; i < rules.n; i++)
	{
		sl_rule *rule = sl_rule_read(rules.v[i], &arena, &err);

		if (rule)
			put_rule(rsinfo, rule, &arena);
		else
			put_error(rsinfo, &err, rules.v[i]);
	}
	if (whole && rules.n == 0)
	{
		sl_fail(&err, SL_SYNTAX, "document holds no rule");
		err.line = err.col = 0;
		put_error(rsinfo, &err, NULL);
	}
	return (Datum) 0;
}

static void
load_rules(sl_rules *rules, sl_arena *arena)
{
	uint64 n;

	if (SPI_execute("SELECT id::text, name, definition::text FROM stacklens_internal.rules WHERE enabled ORDER BY name",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read rules");
	n = SPI_processed;
	rules->set = sl_ruleset_new(arena);
	rules->rows = sl_alloc0(arena, (n + 1) * sizeof(sl_rule_row));
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		char *id = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1);
		char *name = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		char *definition = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3);
		sl_documents documents = {0};
		sl_error err;
		sl_rule *rule = NULL;
		sl_rule_row *row;

		if (sl_read_json(definition, strlen(definition), arena, &documents, &err))
			rule = sl_rule_read(documents.v[0], arena, &err);
		if (!rule)
		{
			/* it was checked when it was stored; the others go on */
			ereport(WARNING,
					(errmsg("rule \"%s\" is left out: %s", name, err.message),
					 errhint("Import it again, or drop it.")));
			continue;
		}
		row = &rules->rows[sl_ruleset_size(rules->set)];
		strlcpy(row->id, id, sizeof(row->id));
		row->name = (char *) sl_str_copy(arena, name, strlen(name)).p;
		sl_ruleset_add(rules->set, rule);
	}
	sl_ruleset_finish(rules->set);
	rules->matcher = sl_matcher_new(arena, rules->set);
}

sl_rules *
sl_rules_current(void)
{
	static sl_arena arena;
	static sl_rules rules;
	static char current[64];
	char *version;

	/* with xmin: a version that was rolled back is given again */
	if (SPI_execute("SELECT version || '/' || xmin FROM stacklens_internal.rules_version", true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the version of the rules");
	version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (strcmp(version, current) == 0)
		return &rules;
	current[0] = '\0';
	sl_server_arena(&arena);
	arena.limit = 0;
	load_rules(&rules, &arena);
	strlcpy(current, version, sizeof(current));
	return &rules;
}

/* match(record text) → ids of the enabled rules that are true of it. */
Datum
stacklens_match(PG_FUNCTION_ARGS)
{
	static sl_arena arena;
	text *text_record = PG_GETARG_TEXT_PP(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	sl_records records = {0};
	sl_rules *rules;
	sl_error err;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	sl_server_arena(&arena);
	if (!sl_decode(SL_JSON, VARDATA_ANY(text_record), VARSIZE_ANY_EXHDR(text_record), &arena, &records, &err))
		sl_ereport(&err);
	SPI_connect();
	rules = sl_rules_current();
	SPI_finish();
	for (size_t i = 0; i < records.n; i++)
	{
		const uint32_t *found;
		size_t n = sl_match(rules->matcher, &records.v[i], &arena, &found);

		for (size_t k = 0; k < n; k++)
		{
			Datum value = DirectFunctionCall1(uuid_in, CStringGetDatum(rules->rows[found[k]].id));
			bool isnull = false;

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
		}
	}
	return (Datum) 0;
}
