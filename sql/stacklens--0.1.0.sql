-- StackLens 0.1.0
--
-- Schema stacklens is what users call and read; stacklens_internal is ours.
-- Functions that change something run with their owner's rights and a fixed
-- search_path: roles are given the functions, not the tables.

\echo Use "CREATE EXTENSION stacklens" to load this file. \quit

DO $$
BEGIN
	IF current_setting('server_encoding') <> 'UTF8' THEN
		RAISE EXCEPTION 'stacklens needs a database whose encoding is UTF8'
			USING ERRCODE = 'feature_not_supported',
				  DETAIL = format('This one is %s.', current_setting('server_encoding')),
				  HINT = 'Create one with CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
END
$$;

CREATE SCHEMA stacklens;
CREATE SCHEMA stacklens_internal;
COMMENT ON SCHEMA stacklens IS 'Log alerting: what users call and read';
COMMENT ON SCHEMA stacklens_internal IS 'Private to the extension stacklens';

-- Who this database is -------------------------------------------------------
-- Not dumped, so a restored copy gets its own; pg_upgrade and physical copies
-- keep it, and the maintainer raises the term where the server is another.

CREATE TABLE stacklens_internal.incarnation (
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	term int NOT NULL DEFAULT 1,
	system_identifier text,
	timeline int
);
INSERT INTO stacklens_internal.incarnation DEFAULT VALUES;

CREATE FUNCTION stacklens_internal.incarnation() RETURNS uuid LANGUAGE sql STABLE
	RETURN (SELECT i.id FROM stacklens_internal.incarnation i);
CREATE FUNCTION stacklens_internal.epoch() RETURNS text LANGUAGE sql STABLE
	RETURN (SELECT replace(left(i.id::text, 13), '-', '') || '.' || i.term FROM stacklens_internal.incarnation i);
COMMENT ON FUNCTION stacklens_internal.epoch IS 'Names the run of feed numbers: another one after a restore or a promotion';

CREATE FUNCTION stacklens_internal.library_version() RETURNS text
	AS 'MODULE_PATHNAME', 'stacklens_library_version' LANGUAGE C STABLE STRICT;
CREATE FUNCTION stacklens_internal.require_workers(what text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_require_workers' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.wake(worker text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_wake' LANGUAGE C STRICT;
COMMENT ON FUNCTION stacklens_internal.wake IS 'Workers of a kind look for work once the transaction commits';

-- Who acts: the role that was SET, else who logged in.
CREATE FUNCTION stacklens_internal.actor() RETURNS text LANGUAGE sql STABLE
	RETURN CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END;

CREATE FUNCTION stacklens.version() RETURNS text LANGUAGE sql STABLE
	RETURN (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'stacklens');
COMMENT ON FUNCTION stacklens.version IS 'The version of the extension in this database';

-- Rules ----------------------------------------------------------------------

CREATE TABLE stacklens_internal.rules (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	name text NOT NULL UNIQUE,
	title text NOT NULL,
	kind text NOT NULL DEFAULT 'detection',
	enabled boolean NOT NULL DEFAULT true,
	severity text NOT NULL,
	issue_code text NOT NULL,
	definition jsonb NOT NULL,
	origin text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	error text					-- why the compiled set does without it
);
-- Raised by every change of what rules mean: what tells workers to load them again.
CREATE TABLE stacklens_internal.rules_version (version bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO stacklens_internal.rules_version VALUES (1);
-- The maintainer's: the enabled rules in the form that workers load.
CREATE TABLE stacklens_internal.compiled_rules (
	version text NOT NULL,
	image bytea NOT NULL,
	at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE stacklens_internal.compiled_rules ALTER image SET STORAGE EXTERNAL;

CREATE VIEW stacklens.rules AS
	SELECT r.name, r.id, r.title, r.kind, r.enabled, r.severity, r.issue_code, r.definition,
		   r.origin, r.created_at, r.updated_at, r.error
	FROM stacklens_internal.rules r;
COMMENT ON VIEW stacklens.rules IS 'Detections, correlations and filters; "error" says why an enabled one is left out';

CREATE TABLE stacklens_internal.rule_history (
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	actor text NOT NULL,
	rule_id uuid NOT NULL,
	rule text NOT NULL,
	change text NOT NULL,
	definition jsonb
);
CREATE INDEX rule_history_rule ON stacklens_internal.rule_history (rule, at);
CREATE VIEW stacklens.rule_history AS
	SELECT h.at, h.rule, h.change, h.actor, h.definition, h.rule_id FROM stacklens_internal.rule_history h;
COMMENT ON VIEW stacklens.rule_history IS 'Who changed which rule when: created, replaced, enabled, disabled, dropped; with the definition that it had then';

CREATE FUNCTION stacklens_internal.note_rule(rule stacklens_internal.rules, change text) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	INSERT INTO stacklens_internal.rule_history (actor, rule_id, rule, change, definition)
	VALUES (stacklens_internal.actor(), rule.id, rule.name, change, rule.definition);
END;

CREATE FUNCTION stacklens_internal.rules_changed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE stacklens_internal.rules_version SET version = version + 1;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN NULL;
END
$$;
CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OF id, name, enabled, definition OR DELETE OR TRUNCATE ON stacklens_internal.rules
	FOR EACH STATEMENT EXECUTE FUNCTION stacklens_internal.rules_changed();

-- What rules mean beyond their text.  A row of the user's takes the place of the
-- built-in one of the same columns; without a detection, it constrains nothing.
CREATE FUNCTION stacklens_internal.builtin_logsources(OUT category text, OUT product text, OUT service text, OUT detection text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'stacklens_builtin_logsources' LANGUAGE C IMMUTABLE;
CREATE FUNCTION stacklens_internal.check_logsource(detection text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'stacklens_check_logsource' LANGUAGE C STRICT IMMUTABLE;
CREATE FUNCTION stacklens_internal.check_placeholder(name text, "values" text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'stacklens_check_placeholder' LANGUAGE C STRICT IMMUTABLE;
CREATE TABLE stacklens.logsources (
	category text,
	product text,
	service text,
	detection jsonb CHECK (stacklens_internal.check_logsource(detection::text)),
	builtin boolean NOT NULL DEFAULT false,
	CHECK (num_nonnulls(category, product, service) > 0),
	UNIQUE NULLS NOT DISTINCT (category, product, service, builtin)
);
INSERT INTO stacklens.logsources (category, product, service, detection, builtin)
	SELECT l.category, l.product, l.service, l.detection::jsonb, true FROM stacklens_internal.builtin_logsources() l;
COMMENT ON TABLE stacklens.logsources IS 'Which records a rule''s logsource means: the selections of all rows whose columns (NULL: any) it has. Add rows of your own';
CREATE TABLE stacklens.placeholders (
	name text PRIMARY KEY,
	"values" jsonb NOT NULL,
	CHECK (stacklens_internal.check_placeholder(name, "values"::text))
);
COMMENT ON TABLE stacklens.placeholders IS 'What %name% stands for in values with the modifier expand: a text, or a list of texts';
CREATE TRIGGER logsources_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON stacklens.logsources
	FOR EACH STATEMENT EXECUTE FUNCTION stacklens_internal.rules_changed();
CREATE TRIGGER placeholders_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON stacklens.placeholders
	FOR EACH STATEMENT EXECUTE FUNCTION stacklens_internal.rules_changed();

CREATE FUNCTION stacklens_internal.read_rules(document text, OUT name text, OUT id uuid, OUT title text, OUT kind text,
	OUT severity text, OUT issue_code text, OUT logsource text, OUT definition text, OUT sqlstate text,
	OUT error text, OUT detail text, OUT hint text, OUT line int, OUT col int) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_read_rules' LANGUAGE C STRICT STABLE;
COMMENT ON FUNCTION stacklens_internal.read_rules IS 'A row for each rule of a YAML or JSON text: read, or refused with the reason and its place';

CREATE FUNCTION stacklens_internal.logsource_notice(name text, logsource text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF logsource IS NOT NULL THEN
		RAISE NOTICE 'log source "%" of rule "%" constrains nothing', logsource, name
			USING DETAIL = 'No row of stacklens.logsources fits it: the rule is tried on every record.',
				  HINT = 'INSERT INTO stacklens.logsources (category, product, service, detection) … tells which records it means.';
	END IF;
END
$$;

CREATE FUNCTION stacklens.import_rules(document text, origin text DEFAULT NULL)
RETURNS TABLE (name text, id uuid, kind text, status text, error text, line int, col int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	r record;
	old stacklens_internal.rules;
	new stacklens_internal.rules;
	def jsonb;
	rule_name text;
	seen uuid[] := '{}';
BEGIN
	IF document IS NULL THEN
		RAISE EXCEPTION 'there is no document to import' USING ERRCODE = 'null_value_not_allowed',
			HINT = 'Give the text of one or more rules, in YAML or JSON.';
	END IF;
	FOR r IN SELECT * FROM stacklens_internal.read_rules(document) LOOP
		kind := r.kind;
		line := r.line;
		col := r.col;
		IF r.error IS NOT NULL THEN
			name := r.name;
			id := r.id;
			status := 'rejected';
			error := concat_ws(' ', r.error || '.', r.detail, r.hint);
			RETURN NEXT;
			CONTINUE;
		END IF;
		def := r.definition::jsonb;
		rule_name := r.name;
		SELECT * INTO old FROM stacklens_internal.rules t WHERE t.id = r.id;
		IF NOT FOUND THEN
			SELECT * INTO old FROM stacklens_internal.rules t WHERE t.name = r.name;
			IF FOUND AND r.id IS NOT NULL AND (old.definition ->> 'id') IS NOT NULL THEN
				-- another rule of the same title: told apart by its id
				rule_name := r.name || ' (' || left(r.id::text, 8) || ')';
				old := NULL;
			END IF;
		END IF;
		error := NULL;
		IF old.id = ANY (seen) THEN
			name := r.name;
			id := old.id;
			status := 'rejected';
			error := format('The document holds two rules with the %s. Give each a name and an id of its own.',
				CASE WHEN r.id = old.id THEN 'id ' || r.id ELSE 'name "' || r.name || '"' END);
			RETURN NEXT;
			CONTINUE;
		ELSIF old.id IS NULL THEN
			INSERT INTO stacklens_internal.rules AS t (id, name, title, kind, severity, issue_code, definition, origin)
			VALUES (COALESCE(r.id, gen_random_uuid()), rule_name, r.title, r.kind, r.severity, r.issue_code, def, origin)
			RETURNING * INTO new;
			status := 'created';
			PERFORM stacklens_internal.logsource_notice(rule_name, r.logsource);
		ELSIF old.definition = def AND old.severity = r.severity AND old.issue_code = r.issue_code THEN
			new := old;
			status := 'unchanged';
		ELSE
			UPDATE stacklens_internal.rules t SET title = r.title, kind = r.kind, severity = r.severity,
				issue_code = r.issue_code, definition = def, origin = COALESCE(import_rules.origin, t.origin), updated_at = now()
			WHERE t.id = old.id RETURNING * INTO new;
			status := 'replaced';
		END IF;
		IF status <> 'unchanged' THEN
			PERFORM stacklens_internal.note_rule(new, status);
		END IF;
		name := new.name;
		id := new.id;
		seen := seen || id;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION stacklens.import_rules IS 'Stores the rules of a YAML or JSON text; a row for each says what became of it, and a bad one does not stop the rest';

CREATE FUNCTION stacklens.export_rules() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT E'[\n' || COALESCE(string_agg(r.definition::text, E',\n' ORDER BY r.name) || E'\n', '') || ']' FROM stacklens_internal.rules r;
END;
COMMENT ON FUNCTION stacklens.export_rules IS 'The definitions of all rules as a JSON list, a rule a line, for import_rules()';

CREATE FUNCTION stacklens.create_rule(name text, match jsonb, severity text DEFAULT 'medium',
	issue_code text DEFAULT NULL, message text DEFAULT NULL, enabled boolean DEFAULT true)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	short jsonb := jsonb_strip_nulls(jsonb_build_object('name', name, 'severity', severity,
		'issue_code', issue_code, 'message', message)) || jsonb_build_object('match', match);
	r record;
	new stacklens_internal.rules;
BEGIN
	IF name IS NULL OR match IS NULL OR severity IS NULL OR enabled IS NULL THEN
		RAISE EXCEPTION 'a rule needs a name and a match' USING ERRCODE = 'null_value_not_allowed',
			HINT = 'For example: SELECT stacklens.create_rule(''PRICE_MISSING'', match => ''{"error_code": "PRICE_MISSING"}'');';
	END IF;
	SELECT * INTO STRICT r FROM stacklens_internal.read_rules(short::text);
	IF r.error IS NOT NULL THEN
		RAISE EXCEPTION '%', r.error USING ERRCODE = r.sqlstate,
			DETAIL = concat_ws(' ', format('In rule "%s".', left(name, 60)), r.detail),
			HINT = COALESCE(r.hint, 'docs/rules.md says what a rule may hold.');
	END IF;
	INSERT INTO stacklens_internal.rules AS t (name, title, severity, issue_code, definition, enabled)
	VALUES (r.name, r.title, r.severity, r.issue_code, r.definition::jsonb, enabled)
	ON CONFLICT DO NOTHING RETURNING * INTO new;
	IF new.id IS NULL THEN
		RAISE EXCEPTION 'rule "%" already exists', name USING ERRCODE = 'duplicate_object',
			HINT = 'Drop it first with stacklens.drop_rule(), or replace it with stacklens.import_rules().';
	END IF;
	PERFORM stacklens_internal.note_rule(new, 'created');
	RETURN new.id;
END
$$;
COMMENT ON FUNCTION stacklens.create_rule IS 'Makes a rule of one Sigma selection (a map of fields to values, or a list of maps); gives its id';

-- Correlations and filters that name a rule, by its id or one of its names.
CREATE FUNCTION stacklens_internal.dependents(rule stacklens_internal.rules) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT string_agg(d.kind || ' "' || d.name || '"', ', ' ORDER BY d.name) FROM stacklens_internal.rules d
	WHERE d.id <> rule.id AND lower((d.definition -> d.kind -> 'rules')::text)::jsonb
		?| ARRAY[rule.id::text, lower(rule.name), lower(rule.definition ->> 'name'), lower(rule.title)];
END;

CREATE FUNCTION stacklens_internal.switch_rule(name text, enabled boolean) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	old stacklens_internal.rules;
BEGIN
	SELECT * INTO old FROM stacklens_internal.rules r WHERE r.name = name FOR UPDATE;
	IF old.id IS NULL THEN
		RAISE EXCEPTION 'rule "%" does not exist', name USING ERRCODE = 'undefined_object',
			HINT = 'SELECT name FROM stacklens.rules; lists them.';
	END IF;
	IF old.enabled <> enabled THEN
		IF NOT enabled AND stacklens_internal.dependents(old) IS NOT NULL THEN
			RAISE NOTICE 'rule "%" is named by others, which are left out while it is disabled', name
				USING DETAIL = stacklens_internal.dependents(old);
		END IF;
		UPDATE stacklens_internal.rules r SET enabled = switch_rule.enabled, updated_at = now() WHERE r.id = old.id;
		PERFORM stacklens_internal.note_rule(old, CASE WHEN enabled THEN 'enabled' ELSE 'disabled' END);
	END IF;
	RETURN name;
END
$$;
CREATE FUNCTION stacklens.enable_rule(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.switch_rule(name, true);
CREATE FUNCTION stacklens.disable_rule(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.switch_rule(name, false);
CREATE FUNCTION stacklens.drop_rule(name text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	old stacklens_internal.rules;
BEGIN
	SELECT * INTO old FROM stacklens_internal.rules r WHERE r.name = name FOR UPDATE;
	IF old.id IS NULL THEN
		RAISE EXCEPTION 'rule "%" does not exist', name USING ERRCODE = 'undefined_object',
			HINT = 'SELECT name FROM stacklens.rules; lists them.';
	END IF;
	IF stacklens_internal.dependents(old) IS NOT NULL THEN
		RAISE EXCEPTION 'rule "%" is named by other rules', name USING ERRCODE = 'dependent_objects_still_exist',
			DETAIL = stacklens_internal.dependents(old), HINT = 'Drop those first, or import them without it.';
	END IF;
	DELETE FROM stacklens_internal.rules r WHERE r.id = old.id;
	DELETE FROM stacklens_internal.rule_stats s WHERE s.rule_id = old.id;
	PERFORM stacklens_internal.note_rule(old, 'dropped');
	RETURN name;
END
$$;
COMMENT ON FUNCTION stacklens.enable_rule IS 'Lets a rule judge records again; gives its name';
COMMENT ON FUNCTION stacklens.disable_rule IS 'Keeps a rule, without letting it judge records; gives its name';
COMMENT ON FUNCTION stacklens.drop_rule IS 'Removes a rule; its alerts stay; gives its name';

CREATE FUNCTION stacklens_internal.match(record text) RETURNS SETOF uuid
	AS 'MODULE_PATHNAME', 'stacklens_match' LANGUAGE C STRICT STABLE;
CREATE FUNCTION stacklens.match_rules(record jsonb) RETURNS TABLE (name text, id uuid, severity text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT r.name, r.id, r.severity FROM stacklens_internal.rules r
	WHERE r.id IN (SELECT m.id FROM stacklens_internal.match(record::text) AS m (id)) ORDER BY 1;
END;
COMMENT ON FUNCTION stacklens.match_rules IS 'The enabled detections that are true of a record; stores nothing';

CREATE FUNCTION stacklens_internal.explain(rule text, record text, OUT depth int, OUT node text, OUT field text,
	OUT operator text, OUT expected text, OUT actual text, OUT result boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_explain' LANGUAGE C STRICT STABLE;
CREATE FUNCTION stacklens.explain_rule(rule text, record jsonb)
RETURNS TABLE (depth int, node text, field text, operator text, expected text, actual text, result boolean)
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 20
BEGIN ATOMIC
	SELECT e.depth, repeat('  ', e.depth) || e.node, e.field, e.operator, e.expected, e.actual, e.result
	FROM stacklens_internal.explain(rule, record::text) e;
END;
COMMENT ON FUNCTION stacklens.explain_rule IS 'A line for each part of a detection: what it expects, what the record has, whether it is true; and what came near';
CREATE FUNCTION stacklens.test_rule(rule text, record jsonb) RETURNS boolean
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN (SELECT bool_and(e.result) FROM stacklens_internal.explain(rule, record::text) e WHERE e.depth = 0);
COMMENT ON FUNCTION stacklens.test_rule IS 'Is a detection (with the filters that name it) true of a record? Disabled ones are tested, too';

-- backtest_rule() and its progress stand below the logs that they read.

-- Evaluators add to it every few seconds.
CREATE TABLE stacklens_internal.rule_stats (
	rule_id uuid PRIMARY KEY,
	matches bigint NOT NULL DEFAULT 0,
	last_match timestamptz,
	evaluations bigint NOT NULL DEFAULT 0,
	limited bigint NOT NULL DEFAULT 0,
	nanoseconds bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE VIEW stacklens.stat_rules AS
	SELECT r.name, COALESCE(s.matches, 0) AS matches, s.last_match, COALESCE(s.evaluations, 0) AS evaluations,
		   COALESCE(s.nanoseconds, 0) / 1000 AS microseconds, COALESCE(s.limited, 0) AS limited
	FROM stacklens_internal.rules r LEFT JOIN stacklens_internal.rule_stats s ON s.rule_id = r.id;
COMMENT ON VIEW stacklens.stat_rules IS 'What each rule found and cost: matches, how often it had to be looked at, time for that (sampled), and regular expressions given up at their limit';

-- Logs -----------------------------------------------------------------------
-- The inbox: partitioned by arrival, and each row with the transaction that
-- wrote it, from which the evaluator knows what it has not seen.

CREATE SEQUENCE stacklens_internal.logs_id_seq CACHE 32;
CREATE TABLE stacklens.logs (
	id bigint NOT NULL DEFAULT nextval('stacklens_internal.logs_id_seq'),
	timestamp timestamptz NOT NULL DEFAULT now(),
	observed_timestamp timestamptz,
	service text,
	severity_number smallint,
	level text,
	message text,
	trace_id text,
	span_id text,
	request_id text,
	error_code text,
	attributes jsonb NOT NULL DEFAULT '{}',
	resource jsonb,
	source text NOT NULL DEFAULT 'inbox',
	arrived_at timestamptz NOT NULL DEFAULT now(),
	xid xid8 NOT NULL DEFAULT pg_current_xact_id()
) PARTITION BY RANGE (arrived_at);
CREATE INDEX logs_xid_id ON stacklens.logs (xid, id);
CREATE INDEX logs_timestamp ON stacklens.logs (timestamp);
-- Others cost more than they give (bench/inbox.pl): a frequent service, a text of some hours are found by time.
CREATE INDEX logs_errors ON stacklens.logs (timestamp) WHERE severity_number >= 17;
CREATE INDEX logs_service ON stacklens.logs (service);
CREATE INDEX logs_trace_id ON stacklens.logs (trace_id) WHERE trace_id IS NOT NULL;
-- for a clock that jumps; it stays empty otherwise
CREATE TABLE stacklens_internal.logs_default PARTITION OF stacklens.logs DEFAULT;
COMMENT ON TABLE stacklens.logs IS 'Log records: the inbox of those taken in without Kafka, and those of Kafka sources that store them. INSERT and COPY work; defaults fill what is left out';

CREATE FUNCTION stacklens_internal.logs_arrived() RETURNS trigger
	AS 'MODULE_PATHNAME', 'stacklens_logs_arrived' LANGUAGE C;
CREATE TRIGGER logs_arrived AFTER INSERT ON stacklens.logs
	FOR EACH STATEMENT EXECUTE FUNCTION stacklens_internal.logs_arrived();

-- Attaching, not CREATE … PARTITION OF, which would lock out readers.  A
-- partition that can't be had now (a lock, rows of a jumped clock) is tried
-- again in an hour, and there are seven days of them ahead.
CREATE FUNCTION stacklens_internal.make_log_partitions(join_extension boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	day date;
	partition text;
BEGIN
	FOR i IN 0 .. 7 LOOP
		day := current_date + i;
		partition := 'logs_' || to_char(day, 'YYYY_MM_DD');
		CONTINUE WHEN to_regclass('stacklens_internal.' || partition) IS NOT NULL;
		BEGIN
			EXECUTE format('CREATE TABLE stacklens_internal.%I (LIKE stacklens.logs INCLUDING DEFAULTS)', partition);
			EXECUTE format('ALTER TABLE stacklens.logs ATTACH PARTITION stacklens_internal.%I FOR VALUES FROM (%L) TO (%L)',
				partition, day, day + 1);
			IF join_extension THEN
				-- so that dumps leave it out
				EXECUTE format('ALTER EXTENSION stacklens ADD TABLE stacklens_internal.%I', partition);
			END IF;
		EXCEPTION WHEN lock_not_available OR check_violation THEN
			RAISE WARNING 'could not make log partition "%": %', partition, SQLERRM;
		END;
	END LOOP;
END
$$;
SELECT stacklens_internal.make_log_partitions(join_extension => false);

CREATE FUNCTION stacklens_internal.ingest_message(body bytea, format text, OUT ids bigint[], OUT refused bigint, OUT reason text)
	AS 'MODULE_PATHNAME', 'stacklens_ingest' LANGUAGE C STRICT;
COMMENT ON FUNCTION stacklens_internal.ingest_message(bytea, text) IS 'Stores the records of one message; OTLP''s may be refused one by one, those of other formats all or none';
CREATE FUNCTION stacklens_internal.ingest_message(body bytea, format text, nth int, OUT ids bigint[], OUT refused bigint, OUT reason text)
	AS 'MODULE_PATHNAME', 'stacklens_ingest' LANGUAGE C STRICT;
COMMENT ON FUNCTION stacklens_internal.ingest_message(bytea, text, int) IS 'Stores one of them alone, counted from 0';
CREATE FUNCTION stacklens_internal.ingest(body bytea, format text) RETURNS bigint[] LANGUAGE sql STRICT
	RETURN (SELECT m.ids FROM stacklens_internal.ingest_message(body, format) m);

CREATE FUNCTION stacklens.ingest(record jsonb) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF record IS NULL OR jsonb_typeof(record) <> 'object' THEN
		RAISE EXCEPTION 'a record is a JSON object, not %', COALESCE(jsonb_typeof(record), 'null')
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Several records go to stacklens.ingest(jsonb[]).';
	END IF;
	RETURN (stacklens_internal.ingest(convert_to(record::text, 'UTF8'), 'json'))[1];
END
$$;
-- Beside the one for jsonb, so that a plain literal finds its way.
CREATE FUNCTION stacklens.ingest(record text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens.ingest(record::jsonb);
CREATE FUNCTION stacklens.ingest(records jsonb[]) RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	bad text;
BEGIN
	IF COALESCE(cardinality(records), 0) = 0 THEN
		RETURN '{}';
	END IF;
	SELECT COALESCE(jsonb_typeof(r), 'null') INTO bad FROM unnest(records) AS r WHERE COALESCE(jsonb_typeof(r), 'null') <> 'object' LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'a record is a JSON object, not %', bad USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN stacklens_internal.ingest(convert_to(to_jsonb(records)::text, 'UTF8'), 'json');
END
$$;
COMMENT ON FUNCTION stacklens.ingest(jsonb) IS 'Takes in one log record; gives its id';
COMMENT ON FUNCTION stacklens.ingest(text) IS 'Takes in one log record, given as the text of a JSON object; gives its id';
COMMENT ON FUNCTION stacklens.ingest(jsonb[]) IS 'Takes in log records, all or none; gives their ids';

CREATE FUNCTION stacklens.ingest_otlp(body bytea, content_type text, OUT accepted bigint, OUT rejected bigint, OUT message text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	kind text := lower(trim(split_part(content_type, ';', 1)));
BEGIN
	rejected := 0;
	IF kind IS NULL OR kind NOT IN ('application/json', 'application/x-protobuf') THEN
		RAISE EXCEPTION 'content type "%" is not one of OTLP''s', content_type USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Send application/json or application/x-protobuf.';
	END IF;
	IF kind = 'application/x-protobuf' AND length(body) = 0 THEN
		accepted := 0;			-- a request without records is a request
	ELSE
		SELECT cardinality(m.ids), m.refused, m.reason INTO accepted, rejected, message
		FROM stacklens_internal.ingest_message(body, CASE kind WHEN 'application/json' THEN 'otlp_json' ELSE 'otlp_proto' END) m;
	END IF;
END
$$;
COMMENT ON FUNCTION stacklens.ingest_otlp IS 'Takes in an OTLP ExportLogsServiceRequest (JSON or protobuf, by content type); a record that can''t be taken is counted in rejected, with the reason';

CREATE FUNCTION stacklens_internal.backtest(rule text, definition text, since timestamptz, until timestamptz,
	OUT at timestamptz, OUT record text, OUT group_values text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_backtest' LANGUAGE C STABLE;
CREATE FUNCTION stacklens.backtest_rule(rule text, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (at timestamptz, record jsonb, group_values jsonb) LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT b.at, b.record::jsonb, b.group_values::jsonb FROM stacklens_internal.backtest(rule, NULL, since, until) b;
END;
CREATE FUNCTION stacklens.backtest_rule(definition jsonb, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (at timestamptz, record jsonb, group_values jsonb) LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT b.at, b.record::jsonb, b.group_values::jsonb FROM stacklens_internal.backtest(NULL, definition::text, since, until) b;
END;
COMMENT ON FUNCTION stacklens.backtest_rule(text, timestamptz, timestamptz) IS 'When a stored rule would have matched (or fired) on the retained logs of a time; raises nothing';
COMMENT ON FUNCTION stacklens.backtest_rule(jsonb, timestamptz, timestamptz) IS 'The same for a rule that isn''t stored yet, as the JSON of its definition or of the short form';
CREATE FUNCTION stacklens_internal.backtests(OUT pid int, OUT rule text, OUT since timestamptz, OUT until timestamptz,
	OUT at timestamptz, OUT records bigint, OUT found bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_backtests' LANGUAGE C STABLE;
CREATE VIEW stacklens.stat_progress_backtest AS
	SELECT b.pid, b.rule, b.since, b.until, b.at, b.records, b.found FROM stacklens_internal.backtests() b;
COMMENT ON VIEW stacklens.stat_progress_backtest IS 'Running backtest_rule() calls: the log time that each has come to, records read, found so far';

-- Searching the logs ---------------------------------------------------------

-- The values of a field among attributes: named by its dotted path, or so in nested objects.
CREATE FUNCTION stacklens_internal.log_values(fields jsonb, name text) RETURNS text[] LANGUAGE sql IMMUTABLE
	RETURN (SELECT CASE jsonb_typeof(v.value) WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(v.value)) WHEN 'null' THEN '{}'
			ELSE ARRAY[v.value #>> '{}'] END
		FROM (SELECT COALESCE(fields -> name, fields #> string_to_array(name, '.')) AS value) v WHERE v.value IS NOT NULL);
CREATE FUNCTION stacklens_internal.number_of(value text) RETURNS numeric LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN value ~ '^[-+]?(\d{1,200}\.?\d{0,200}|\.\d{1,200})(e[-+]?\d{1,3})?$' THEN value::numeric END;
CREATE FUNCTION stacklens_internal.search_condition(query text, OUT condition text, OUT parameters text[])
	AS 'MODULE_PATHNAME', 'stacklens_search_condition' LANGUAGE C STRICT IMMUTABLE;

-- The evaluator's place in the inbox, and each shipper's: rows that to_snapshot sees and
-- from_snapshot doesn't, after (last_xid, last_id).
CREATE TABLE stacklens_internal.inbox_position (
	sink text PRIMARY KEY DEFAULT '',	-- whose shipper; '': the evaluator
	from_snapshot pg_snapshot NOT NULL,
	to_snapshot pg_snapshot NOT NULL,
	last_xid xid8 NOT NULL,
	last_id bigint NOT NULL,
	exhausted boolean NOT NULL,
	records bigint NOT NULL DEFAULT 0,
	updated_at timestamptz NOT NULL DEFAULT now(),
	revision bigint NOT NULL DEFAULT 0,
	watermark bigint			-- event time, ns since 1970
) WITH (fillfactor = 50);
INSERT INTO stacklens_internal.inbox_position VALUES ('', pg_current_snapshot(), pg_current_snapshot(), '0', 0, true);

CREATE TABLE stacklens.dead_letters (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	origin jsonb NOT NULL,
	reason text NOT NULL,
	sqlstate text NOT NULL,
	payload bytea,
	headers jsonb
);
-- Logs that redrive() put into the inbox to be judged; as documents, shippers of their own source have them.
CREATE TABLE stacklens_internal.logs_shipped (
	id bigint PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE stacklens.dead_letters IS 'What could not be decoded or judged: its bytes, where it came from and why';

-- Sends one dead letter through the inbox again; gives why not, or NULL.
CREATE FUNCTION stacklens_internal.redrive_one(letter stacklens.dead_letters) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	format text;
	stored bigint[];
	refused bigint;
	why text;
BEGIN
	IF letter.origin ? 'sink' THEN
		IF letter.origin ->> 'source' <> 'inbox' AND NOT EXISTS (SELECT FROM stacklens_internal.sources s WHERE s.name = letter.origin ->> 'source')
			OR NOT EXISTS (SELECT FROM stacklens_internal.sinks k WHERE k.name = letter.origin ->> 'sink'
				AND stacklens_internal.ships(k.options, letter.origin ->> 'source')) THEN
			RETURN format('no sink "%s" ships source "%s" any more', letter.origin ->> 'sink', letter.origin ->> 'source');
		END IF;
		INSERT INTO stacklens_internal.documents_again (sink, source, document)
		VALUES (letter.origin ->> 'sink', letter.origin ->> 'source', letter.payload);
		PERFORM stacklens_internal.wake('shipper');
		RETURN NULL;
	ELSIF letter.origin ? 'shipper' THEN
		RETURN 'it was judged when it came; to have it shipped, reset the offset of the group with -shipper behind to it';
	ELSIF letter.origin ? 'taken' THEN
		RETURN format('%s of its records were judged when it came, and would be twice', letter.origin ->> 'taken');
	ELSIF letter.origin ->> 'source' = 'inbox' THEN
		-- the row is there: it is as if it came now
		UPDATE stacklens.logs l SET xid = pg_current_xact_id()
		WHERE l.xid = (letter.origin ->> 'xid')::xid8 AND l.id = (letter.origin ->> 'id')::bigint;
		RETURN CASE WHEN NOT FOUND THEN format('log %s is not kept any more', letter.origin ->> 'id') END;
	END IF;
	BEGIN
		SELECT COALESCE(max(s.format), 'auto') INTO format FROM stacklens_internal.sources s WHERE s.name = letter.origin ->> 'source';
		IF letter.origin ? 'record' THEN
			SELECT m.ids, 0 INTO stored, refused
			FROM stacklens_internal.ingest_message(letter.payload, format, (letter.origin ->> 'record')::int) m;
			INSERT INTO stacklens_internal.logs_shipped (id) SELECT unnest(stored);
		ELSE
			SELECT m.ids, m.refused, m.reason INTO stored, refused, why FROM stacklens_internal.ingest_message(letter.payload, format) m;
		END IF;
		IF refused > 0 THEN
			RAISE EXCEPTION '%', why USING ERRCODE = 'data_exception';
		END IF;
	EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
		RETURN SQLERRM;
	END;
	-- what the message had beside its bytes; its own time, where it says none, is when Kafka took it in
	UPDATE stacklens.logs l SET source = COALESCE(letter.origin ->> 'source', l.source),
		attributes = l.attributes || COALESCE(letter.headers, '{}'),
		timestamp = CASE WHEN l.timestamp = now() AND l.observed_timestamp IS NULL AND letter.origin ? 'timestamp_ms'
			THEN to_timestamp((letter.origin ->> 'timestamp_ms')::bigint / 1000.0) ELSE l.timestamp END
	WHERE l.xid = pg_current_xact_id() AND l.id = ANY (stored);
	RETURN NULL;
END
$$;
CREATE FUNCTION stacklens_internal.matching_dead_letters(filter jsonb) RETURNS bigint[] LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF filter IS NULL OR jsonb_typeof(filter) <> 'object' OR filter = '{}' THEN
		RAISE EXCEPTION 'a filter of dead letters is a JSON object that is not empty' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'It holds values of origin, and sqlstate: {"source": "orders", "sqlstate": "22P02"}.';
	END IF;
	RETURN (SELECT COALESCE(array_agg(d.id ORDER BY d.id), '{}') FROM stacklens.dead_letters d
		WHERE d.origin @> (filter - 'sqlstate') AND COALESCE(d.sqlstate = filter ->> 'sqlstate', true));
END
$$;
CREATE FUNCTION stacklens.redrive(ids bigint[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	letter stacklens.dead_letters;
	why text;
	n bigint := 0;
BEGIN
	FOR letter IN SELECT * FROM stacklens.dead_letters d WHERE d.id = ANY (ids) ORDER BY d.id FOR UPDATE LOOP
		why := stacklens_internal.redrive_one(letter);
		IF why IS NULL THEN
			DELETE FROM stacklens.dead_letters d WHERE d.id = letter.id;
			n := n + 1;
		ELSE
			RAISE WARNING 'dead letter % stays: %', letter.id, why;
		END IF;
	END LOOP;
	RETURN n;
END
$$;
CREATE FUNCTION stacklens.redrive(filter jsonb) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN stacklens.redrive(stacklens_internal.matching_dead_letters(filter));
CREATE FUNCTION stacklens.discard(ids bigint[]) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH gone AS (DELETE FROM stacklens.dead_letters d WHERE d.id = ANY (ids) RETURNING d.id) SELECT count(*) FROM gone;
END;
CREATE FUNCTION stacklens.discard(filter jsonb) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN stacklens.discard(stacklens_internal.matching_dead_letters(filter));
COMMENT ON FUNCTION stacklens.redrive(bigint[]) IS 'Sends dead letters through the inbox again, to be judged once, and documents to their sink; gives how many. One that still can''t be taken stays, with a warning that says why';
COMMENT ON FUNCTION stacklens.redrive(jsonb) IS 'The same for all whose origin holds these values, and whose sqlstate is this one if it is given';
COMMENT ON FUNCTION stacklens.discard(bigint[]) IS 'Deletes dead letters; gives how many';
COMMENT ON FUNCTION stacklens.discard(jsonb) IS 'Deletes all dead letters whose origin holds these values, and whose sqlstate is this one if it is given; gives how many';

-- Sources --------------------------------------------------------------------

CREATE TABLE stacklens_internal.sources (
	name text PRIMARY KEY CHECK (name <> 'inbox' AND length(name) BETWEEN 1 AND 63),
	brokers text NOT NULL,
	topic text NOT NULL,
	group_id text NOT NULL,
	format text NOT NULL,
	start text NOT NULL,
	options jsonb NOT NULL,
	paused boolean NOT NULL DEFAULT false,
	version bigint NOT NULL DEFAULT 1,
	incarnation uuid NOT NULL,
	store boolean NOT NULL DEFAULT false,	-- records are kept in stacklens.logs, too
	identity uuid NOT NULL,		-- part of the ids of its documents: the incarnation that it was made under, whatever becomes of it
	adopted_from uuid,			-- the database that a restored dump came from: its tags in Kafka are ours
	created_at timestamptz NOT NULL DEFAULT now()
);
-- What Kafka had deleted before it was read.
CREATE TABLE stacklens_internal.gaps (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	source text NOT NULL,
	topic text NOT NULL,
	partition int NOT NULL,
	from_offset bigint NOT NULL,
	to_offset bigint NOT NULL,
	reason text NOT NULL,
	sink text NOT NULL DEFAULT ''		-- whose shipper missed it; '': the evaluators
);
-- Moved in the transaction of the effects; see src/source/kafka.c.
CREATE TABLE stacklens_internal.positions (
	source text NOT NULL,
	topic text NOT NULL,
	partition int NOT NULL,
	next_offset bigint NOT NULL,
	high_watermark bigint,
	owner text,
	updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	watermark bigint,			-- event time, ns since 1970
	last_offset bigint,			-- the last message before next_offset, and Kafka's time of it, ms since 1970
	last_timestamp bigint,
	sink text NOT NULL DEFAULT '',		-- whose shipper's; '': the evaluators'
	PRIMARY KEY (source, topic, partition, sink)
) WITH (fillfactor = 50);

-- Does a source of these options read it?
CREATE FUNCTION stacklens_internal.reads_partition(options jsonb, partition int) RETURNS boolean
	AS 'MODULE_PATHNAME', 'stacklens_reads_partition' LANGUAGE C STRICT IMMUTABLE;

CREATE FUNCTION stacklens_internal.check_kafka_option(name text, value text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_check_kafka_option' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.kafka_options() RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'stacklens_kafka_options' LANGUAGE C STRICT;
COMMENT ON FUNCTION stacklens_internal.kafka_options IS 'All options that the librdkafka in use has and that a source may have';

-- What a source's settings may be, whoever makes or changes them.
CREATE FUNCTION stacklens_internal.check_source(source stacklens_internal.sources) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	o record;
BEGIN
	IF source.name IS NULL OR source.brokers IS NULL OR source.topic IS NULL OR source.group_id IS NULL OR source.format IS NULL
		OR source.options IS NULL OR source.start IS NULL
		OR '' IN (trim(source.name), trim(source.brokers), trim(source.topic), trim(source.group_id)) THEN
		RAISE EXCEPTION 'a Kafka source needs a name, brokers, a topic and a group_id' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'For example: SELECT stacklens.create_kafka_source(''orders'', ''localhost:9092'', ''otel-logs'');';
	END IF;
	IF source.name = 'inbox' OR octet_length(source.name) > 63 THEN
		RAISE EXCEPTION 'a source can''t be named "%"', source.name USING ERRCODE = 'invalid_parameter_value',
			HINT = 'A name has at most 63 bytes, and "inbox" is the table stacklens.logs.';
	END IF;
	IF source.format NOT IN ('auto', 'otlp_proto', 'otlp_json', 'json', 'text') THEN
		RAISE EXCEPTION 'unknown log format "%"', source.format USING ERRCODE = 'invalid_parameter_value',
			HINT = 'It is one of auto, otlp_proto, otlp_json, json, text.';
	END IF;
	IF source.start NOT IN ('earliest', 'latest') THEN
		RAISE EXCEPTION 'a source can''t start at "%"', source.start USING ERRCODE = 'invalid_parameter_value',
			HINT = 'It starts at earliest or latest.';
	END IF;
	IF source.brokers ~ '@' THEN
		RAISE EXCEPTION 'brokers must not hold a password' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Brokers are a list like host1:9092,host2:9092.';
	END IF;
	IF jsonb_typeof(source.options) <> 'object' THEN
		RAISE EXCEPTION 'options are a JSON object, not %', jsonb_typeof(source.options) USING ERRCODE = 'invalid_parameter_value',
			HINT = 'For example: {"session.timeout.ms": 10000}.';
	END IF;
	-- members of one group that read different parts of a topic would leave some of it unread
	IF EXISTS (SELECT FROM stacklens_internal.sources s WHERE s.name <> source.name AND s.brokers = source.brokers
		AND s.topic = source.topic AND s.group_id = source.group_id) THEN
		RAISE EXCEPTION 'another source reads topic "%" in group "%"', source.topic, source.group_id USING ERRCODE = 'duplicate_object',
			HINT = 'Give this one a group_id of its own; stacklens.workers is how many evaluators share a source.';
	END IF;
	IF (SELECT count(*) FROM stacklens_internal.sinks k WHERE stacklens_internal.ships(k.options, source.name)) > 1 THEN
		RAISE EXCEPTION 'more than one sink would ship source "%"', source.name USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'A Kafka source has one sink: tell the sinks apart by their option sources first.';
	END IF;
	FOR o IN SELECT * FROM jsonb_each(source.options) LOOP
		IF jsonb_typeof(o.value) NOT IN ('string', 'number', 'boolean') THEN
			RAISE EXCEPTION 'value of option "%" is %', o.key, jsonb_typeof(o.value) USING ERRCODE = 'invalid_parameter_value',
				HINT = 'An option takes a text, a number or a boolean.';
		END IF;
		PERFORM stacklens_internal.check_kafka_option(o.key, o.value #>> '{}');
	END LOOP;
END
$$;

CREATE FUNCTION stacklens.create_kafka_source(name text, brokers text, topic text,
	group_id text DEFAULT 'stacklens-consumer', format text DEFAULT 'auto', options jsonb DEFAULT '{}',
	start text DEFAULT 'earliest', store boolean DEFAULT false)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	source stacklens_internal.sources;
BEGIN
	PERFORM stacklens_internal.require_workers('a Kafka source');
	source.name := name;
	source.brokers := brokers;
	source.topic := topic;
	source.group_id := group_id;
	source.format := format;
	source.options := options;
	source.start := start;
	PERFORM stacklens_internal.check_source(source);
	INSERT INTO stacklens_internal.sources (name, brokers, topic, group_id, format, options, start, store, incarnation, identity)
	VALUES (name, brokers, topic, group_id, format, options, start, COALESCE(store, false), stacklens_internal.incarnation(), stacklens_internal.incarnation())
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'source "%" already exists', name USING ERRCODE = 'duplicate_object',
			HINT = 'SELECT * FROM stacklens.sources; shows it.';
	END IF;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN name;
END
$$;
COMMENT ON FUNCTION stacklens.create_kafka_source IS 'Has a worker read log records from a Kafka topic; options are librdkafka''s, of an allowed list; store keeps the records in stacklens.logs, too; gives its name';

CREATE FUNCTION stacklens_internal.change_source(name text, paused boolean) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	UPDATE stacklens_internal.sources s SET paused = change_source.paused, version = version + 1 WHERE s.name = name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'source "%" does not exist', name USING ERRCODE = 'undefined_object',
			HINT = 'SELECT name FROM stacklens.sources; lists them.';
	END IF;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN name;
END
$$;
CREATE FUNCTION stacklens.pause_source(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.change_source(name, true);
CREATE FUNCTION stacklens.resume_source(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.change_source(name, false);
CREATE FUNCTION stacklens.drop_source(name text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM stacklens_internal.change_source(name, true);
	DELETE FROM stacklens_internal.sources s WHERE s.name = name;
	DELETE FROM stacklens_internal.positions p WHERE p.source = name;
	RETURN name;
END
$$;
CREATE FUNCTION stacklens.alter_source(name text, brokers text DEFAULT NULL, topic text DEFAULT NULL, group_id text DEFAULT NULL,
	format text DEFAULT NULL, options jsonb DEFAULT NULL, store boolean DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	source stacklens_internal.sources;
BEGIN
	SELECT * INTO source FROM stacklens_internal.sources s WHERE s.name = name FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'source "%" does not exist', name USING ERRCODE = 'undefined_object',
			HINT = 'SELECT name FROM stacklens.sources; lists them.';
	END IF;
	source.brokers := COALESCE(brokers, source.brokers);
	source.topic := COALESCE(topic, source.topic);
	source.group_id := COALESCE(group_id, source.group_id);
	source.format := COALESCE(format, source.format);
	source.options := COALESCE(options, source.options);
	PERFORM stacklens_internal.check_source(source);
	UPDATE stacklens_internal.sources s SET brokers = source.brokers, topic = source.topic, group_id = source.group_id,
		format = source.format, options = source.options, store = COALESCE(alter_source.store, s.store), version = s.version + 1
	WHERE s.name = name;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN name;
END
$$;
COMMENT ON FUNCTION stacklens.alter_source IS 'Changes what is given of a source; its evaluators start anew with it, where they were; gives its name';
COMMENT ON FUNCTION stacklens.pause_source IS 'Has a source''s worker leave its consumer group; positions stay; gives its name';
COMMENT ON FUNCTION stacklens.resume_source IS 'Lets a paused source go on where it was; gives its name';
COMMENT ON FUNCTION stacklens.drop_source IS 'Removes a source and its positions; alerts stay; gives its name';

CREATE VIEW stacklens.sources AS
	SELECT s.name, 'kafka'::text AS kind, s.brokers, s.topic, s.group_id, s.format, s.start, s.options, s.store, s.paused,
		   s.incarnation <> stacklens_internal.incarnation() AS restored, s.created_at
	FROM stacklens_internal.sources s;
COMMENT ON VIEW stacklens.sources IS 'Where records come from, besides the inbox; "restored" ones wait for adopt_restore()';

CREATE VIEW stacklens.positions AS
	SELECT p.source, p.topic, p.partition, p.next_offset, p.high_watermark,
		   CASE WHEN s.topic = p.topic AND stacklens_internal.reads_partition(s.options, p.partition) THEN greatest(p.high_watermark - p.next_offset, 0) END AS lag, p.owner, p.updated_at
	FROM stacklens_internal.positions p LEFT JOIN stacklens_internal.sources s ON s.name = p.source WHERE p.sink = '';
COMMENT ON VIEW stacklens.positions IS 'How far each partition of a Kafka topic has been evaluated; without lag where the source reads it no longer';

CREATE VIEW stacklens.gaps AS
	SELECT g.at, g.source, g.topic, g.partition, g.from_offset, g.to_offset, g.reason, NULLIF(g.sink, '') AS sink FROM stacklens_internal.gaps g;
COMMENT ON VIEW stacklens.gaps IS 'What a source could not read, or could not send to a sink, because it was deleted before: offsets from (inclusive) and to (exclusive)';

-- Sinks ------------------------------------------------------------------------

CREATE SEQUENCE stacklens_internal.sinks_version;	-- a sink that is dropped and made again is another one
CREATE TABLE stacklens_internal.sinks (
	name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
	kind text NOT NULL DEFAULT 'elasticsearch',
	url text NOT NULL,
	index text NOT NULL,
	options jsonb NOT NULL,
	paused boolean NOT NULL DEFAULT false,
	version bigint NOT NULL DEFAULT nextval('stacklens_internal.sinks_version'),
	incarnation uuid NOT NULL,
	template_seen text,			-- what the server showed when we had installed our index template
	created_at timestamptz NOT NULL DEFAULT now()
);
-- Documents that a sink refused, and that redrive() wants to be sent again.
CREATE TABLE stacklens_internal.documents_again (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sink text NOT NULL,
	source text NOT NULL,
	document bytea NOT NULL
);

CREATE FUNCTION stacklens_internal.check_sink_option(name text, value text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_check_sink_option' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.check_sink_url(url text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_check_sink_url' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.check_sink_index(pattern text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_check_sink_index' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.sink_template(name text, opensearch boolean) RETURNS text
	AS 'MODULE_PATHNAME', 'stacklens_sink_template' LANGUAGE C STRICT STABLE;

-- Does a sink of these options ship the source?
CREATE FUNCTION stacklens_internal.ships(options jsonb, source text) RETURNS boolean LANGUAGE sql IMMUTABLE
	RETURN COALESCE(options -> 'sources' ? source, true);

-- Each source of each sink that is to be shipped now.
CREATE VIEW stacklens_internal.wanted_shippers AS
	SELECT s.name AS source, k.name AS sink, k.version + s.version AS version
	FROM stacklens_internal.sinks k JOIN stacklens_internal.incarnation i ON i.id = k.incarnation
	JOIN (SELECT 'inbox' AS name, 0 AS version, NULL::uuid AS incarnation, false AS paused
		UNION ALL SELECT s.name, s.version, s.incarnation, s.paused FROM stacklens_internal.sources s) s
		ON stacklens_internal.ships(k.options, s.name)
	WHERE NOT k.paused AND NOT s.paused AND COALESCE(s.incarnation = i.id, true) ORDER BY k.name, s.name;

-- What a sink's settings may be, whoever makes or changes them.
CREATE FUNCTION stacklens_internal.check_sink(sink stacklens_internal.sinks) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	o record;
	other text;
BEGIN
	IF sink.name IS NULL OR sink.url IS NULL OR sink.index IS NULL OR sink.options IS NULL OR '' IN (trim(sink.name), trim(sink.url)) THEN
		RAISE EXCEPTION 'an Elasticsearch sink needs a name and a url' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'For example: SELECT stacklens.create_elasticsearch_sink(''logs'', ''http://localhost:9200'');';
	END IF;
	IF octet_length(sink.name) > 63 THEN
		RAISE EXCEPTION 'a sink can''t be named "%"', sink.name USING ERRCODE = 'invalid_parameter_value', HINT = 'A name has at most 63 bytes.';
	END IF;
	PERFORM stacklens_internal.check_sink_url(sink.url);
	PERFORM stacklens_internal.check_sink_index(sink.index);
	IF jsonb_typeof(sink.options) <> 'object' THEN
		RAISE EXCEPTION 'options are a JSON object, not %', jsonb_typeof(sink.options) USING ERRCODE = 'invalid_parameter_value',
			HINT = 'For example: {"username": "stacklens", "password": "env:STACKLENS_SECRET_ES"}.';
	END IF;
	FOR o IN SELECT * FROM jsonb_each(sink.options) LOOP
		IF o.key = 'sources' THEN
			IF jsonb_typeof(o.value) <> 'array' OR jsonb_array_length(o.value) = 0 OR EXISTS (SELECT FROM jsonb_array_elements(o.value) v WHERE jsonb_typeof(v) <> 'string') THEN
				RAISE EXCEPTION 'option "sources" is a list of names' USING ERRCODE = 'invalid_parameter_value',
					HINT = 'For example: ["inbox", "orders"]; without the option all are shipped.';
			END IF;
			SELECT string_agg(n, ', ') INTO other FROM jsonb_array_elements_text(o.value) n
			WHERE n <> 'inbox' AND NOT EXISTS (SELECT FROM stacklens_internal.sources s WHERE s.name = n);
			IF other IS NOT NULL THEN
				RAISE EXCEPTION 'option "sources" names what is no source: %', other USING ERRCODE = 'undefined_object',
					HINT = 'SELECT name FROM stacklens.sources; lists them; the table stacklens.logs is "inbox".';
			END IF;
		ELSIF jsonb_typeof(o.value) NOT IN ('string', 'number', 'boolean') THEN
			RAISE EXCEPTION 'value of option "%" is %', o.key, jsonb_typeof(o.value) USING ERRCODE = 'invalid_parameter_value',
				HINT = 'An option takes a text or a number.';
		END IF;
		PERFORM stacklens_internal.check_sink_option(o.key, o.value #>> '{}');
	END LOOP;
	IF sink.options ? 'api_key' AND sink.options ?| ARRAY['username', 'password'] THEN
		RAISE EXCEPTION 'a sink logs in with an api_key, or with username and password' USING ERRCODE = 'invalid_parameter_value';
	ELSIF sink.options ? 'password' AND NOT sink.options ? 'username' THEN
		RAISE EXCEPTION 'a password needs a username' USING ERRCODE = 'invalid_parameter_value';
	ELSIF sink.options ? 'certificate' <> sink.options ? 'key' THEN
		RAISE EXCEPTION 'a certificate needs its key, and a key its certificate' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	-- members of one consumer group would share the topic's partitions
	SELECT k.name INTO other FROM stacklens_internal.sinks k WHERE k.name <> sink.name
		AND EXISTS (SELECT FROM stacklens_internal.sources s
			WHERE stacklens_internal.ships(k.options, s.name) AND stacklens_internal.ships(sink.options, s.name));
	IF other IS NOT NULL THEN
		RAISE EXCEPTION 'sink "%" ships the same Kafka source', other USING ERRCODE = 'duplicate_object',
			HINT = 'A Kafka source has one sink: tell them apart by the option sources. For a second copy, make a second source with a group_id of its own.';
	END IF;
END
$$;

CREATE FUNCTION stacklens.create_elasticsearch_sink(name text, url text, index text DEFAULT 'stacklens-logs-%Y.%m.%d', options jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	sink stacklens_internal.sinks;
BEGIN
	PERFORM stacklens_internal.require_workers('a sink');
	sink.name := name;
	sink.url := url;
	sink.index := index;
	sink.options := options;
	PERFORM stacklens_internal.check_sink(sink);
	INSERT INTO stacklens_internal.sinks (name, url, index, options, incarnation)
	VALUES (name, url, index, options, stacklens_internal.incarnation())
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'sink "%" already exists', name USING ERRCODE = 'duplicate_object',
			HINT = 'SELECT * FROM stacklens.sinks; shows it.';
	END IF;
	-- all that the inbox still has
	INSERT INTO stacklens_internal.inbox_position (sink, from_snapshot, to_snapshot, last_xid, last_id, exhausted, revision)
	VALUES (name, '1:1:', '1:1:', '0', 0, true, nextval('stacklens_internal.sinks_version') * 1000000000);
	PERFORM stacklens_internal.wake('maintainer');
	RETURN name;
END
$$;
CREATE FUNCTION stacklens_internal.change_sink(name text, paused boolean) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	UPDATE stacklens_internal.sinks k SET paused = change_sink.paused, version = nextval('stacklens_internal.sinks_version') WHERE k.name = name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'sink "%" does not exist', name USING ERRCODE = 'undefined_object',
			HINT = 'SELECT name FROM stacklens.sinks; lists them.';
	END IF;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN name;
END
$$;
CREATE FUNCTION stacklens.pause_sink(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.change_sink(name, true);
CREATE FUNCTION stacklens.resume_sink(name text) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.change_sink(name, false);
CREATE FUNCTION stacklens.drop_sink(name text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM stacklens_internal.change_sink(name, true);
	DELETE FROM stacklens_internal.sinks k WHERE k.name = name;
	DELETE FROM stacklens_internal.positions p WHERE p.sink = name;
	DELETE FROM stacklens_internal.inbox_position p WHERE p.sink = name;
	DELETE FROM stacklens_internal.documents_again d WHERE d.sink = name;
	RETURN name;
END
$$;
CREATE FUNCTION stacklens.alter_sink(name text, url text DEFAULT NULL, index text DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	sink stacklens_internal.sinks;
BEGIN
	SELECT * INTO sink FROM stacklens_internal.sinks k WHERE k.name = name FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'sink "%" does not exist', name USING ERRCODE = 'undefined_object',
			HINT = 'SELECT name FROM stacklens.sinks; lists them.';
	END IF;
	sink.url := COALESCE(url, sink.url);
	sink.index := COALESCE(index, sink.index);
	sink.options := COALESCE(options, sink.options);
	PERFORM stacklens_internal.check_sink(sink);
	UPDATE stacklens_internal.sinks k SET url = sink.url, index = sink.index, options = sink.options, version = nextval('stacklens_internal.sinks_version')
	WHERE k.name = name;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN name;
END
$$;
CREATE FUNCTION stacklens.ship_inbox_again(sink text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	-- another version: the shipper starts anew, and doesn't write over this
	PERFORM stacklens_internal.change_sink(sink, (SELECT k.paused FROM stacklens_internal.sinks k WHERE k.name = sink));
	UPDATE stacklens_internal.inbox_position p SET from_snapshot = '1:1:', to_snapshot = '1:1:', last_xid = '0', last_id = 0,
		exhausted = true, revision = p.revision + 1 WHERE p.sink = sink;
	RETURN sink;
END
$$;
CREATE FUNCTION stacklens.sink_template(name text, opensearch boolean DEFAULT false) RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.sink_template(name, opensearch)::jsonb;
COMMENT ON FUNCTION stacklens.create_elasticsearch_sink IS 'Has workers ship every log record to an Elasticsearch or OpenSearch: url (several with commas between are one cluster), index (daily by %Y, %m, %d), options as docs/elasticsearch.md lists them; gives its name';
COMMENT ON FUNCTION stacklens.alter_sink IS 'Changes what is given of a sink; its shippers start anew with it, where they were; gives its name';
COMMENT ON FUNCTION stacklens.pause_sink IS 'Has a sink''s shippers stop; positions stay; gives its name';
COMMENT ON FUNCTION stacklens.resume_sink IS 'Lets a paused sink go on where it was; gives its name';
COMMENT ON FUNCTION stacklens.drop_sink IS 'Removes a sink and its positions; what it shipped stays where it is; gives its name';
COMMENT ON FUNCTION stacklens.ship_inbox_again IS 'Has all that stacklens.logs keeps of the inbox shipped again: documents that are there stay as they are; gives the sink''s name';
COMMENT ON FUNCTION stacklens.sink_template IS 'The index template of a sink, as its shipper installs it: for whoever must do that by hand';

CREATE VIEW stacklens.sinks AS
	SELECT k.name, k.kind, k.url, k.index, k.options, k.paused, k.incarnation <> stacklens_internal.incarnation() AS restored, k.created_at
	FROM stacklens_internal.sinks k;
COMMENT ON VIEW stacklens.sinks IS 'Where records are shipped to; "restored" ones wait for adopt_restore()';
CREATE VIEW stacklens.sink_positions AS
	SELECT p.sink, p.source, p.topic, p.partition, p.next_offset, p.high_watermark, greatest(p.high_watermark - p.next_offset, 0) AS lag, p.owner, p.updated_at
	FROM stacklens_internal.positions p WHERE p.sink <> '';
COMMENT ON VIEW stacklens.sink_positions IS 'How far each partition of a Kafka topic has been shipped: all before next_offset is in the sink, or set aside';

-- Searching ------------------------------------------------------------------

-- The sink that searches ask; NULL: none, stacklens.logs is searched.
CREATE FUNCTION stacklens_internal.sink_to_search() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	RETURN (SELECT k.name FROM stacklens_internal.sinks k WHERE NOT k.paused AND k.incarnation = stacklens_internal.incarnation() ORDER BY k.created_at, k.name LIMIT 1);
CREATE FUNCTION stacklens_internal.search_dsl(query text, OUT dsl text, OUT exact boolean)
	AS 'MODULE_PATHNAME', 'stacklens_search_dsl' LANGUAGE C STRICT STABLE;
CREATE FUNCTION stacklens_internal.search_page(sink text, body text, first boolean) RETURNS text
	AS 'MODULE_PATHNAME', 'stacklens_search_page' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.search_end(sink text, body text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_search_end' LANGUAGE C STRICT;

-- A page after another, as long as more is wanted: a condition on rows l leaves out what the server found beyond the query.
CREATE FUNCTION stacklens_internal.search_sink(sink text, dsl jsonb, condition text, parameters text[], since timestamptz, until timestamptz, max_rows int)
RETURNS TABLE (id bigint, "timestamp" timestamptz, observed_timestamp timestamptz, service text, severity_number smallint, level text,
	message text, trace_id text, span_id text, request_id text, error_code text, attributes jsonb, resource jsonb, source text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	page jsonb;
	hits jsonb;
	remaining int := max_rows;
	found bigint;
	range jsonb := '{}';
	size int := least(greatest(max_rows, 1), 1000);
BEGIN
	IF max_rows = 0 THEN
		RETURN;
	END IF;
	IF isfinite(since) THEN
		range := range || jsonb_build_object('gte', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
	END IF;
	IF isfinite(until) THEN
		range := range || jsonb_build_object('lt', to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
	END IF;
	page := stacklens_internal.search_page(sink, jsonb_build_object('size', CASE WHEN condition IS NULL THEN size ELSE 1000 END,
		'query', jsonb_build_object('bool', jsonb_build_object('filter', jsonb_build_array(dsl) || CASE range WHEN '{}' THEN '[]'
			ELSE jsonb_build_array(jsonb_build_object('range', jsonb_build_object('timestamp', range))) END)),
		'sort', jsonb_build_array(jsonb_build_object('timestamp', '{"order": "desc", "unmapped_type": "date"}'::jsonb)))::text, true)::jsonb;
	LOOP
		hits := page -> 'hits' -> 'hits';
		EXIT WHEN hits IS NULL OR jsonb_array_length(hits) = 0;
		RETURN QUERY EXECUTE 'SELECT l.id, l.timestamp, l.observed_timestamp, l.service, l.severity_number, l.level, l.message, l.trace_id,'
			' l.span_id, l.request_id, l.error_code, l.attributes, l.resource, l.source FROM jsonb_array_elements($2) WITH ORDINALITY h (hit, nth),'
			' LATERAL (SELECT NULL::bigint AS id, r.*, NULL::timestamptz AS arrived_at FROM jsonb_to_record(h.hit -> ''_source'') r ("timestamp" timestamptz, observed_timestamp timestamptz,'
			' service text, severity_number smallint, level text, message text, trace_id text, span_id text, request_id text, error_code text,'
			' attributes jsonb, resource jsonb, source text)) l WHERE ' || COALESCE(condition, 'true') || ' ORDER BY h.nth LIMIT $3'
			USING parameters, hits, remaining;
		GET DIAGNOSTICS found = ROW_COUNT;
		remaining := remaining - found;
		EXIT WHEN remaining <= 0;
		page := stacklens_internal.search_page(sink, jsonb_build_object('scroll', '1m', 'scroll_id', page ->> '_scroll_id')::text, false)::jsonb;
	END LOOP;
	IF page ? '_scroll_id' THEN
		PERFORM stacklens_internal.search_end(sink, jsonb_build_object('scroll_id', page ->> '_scroll_id')::text);
	END IF;
END
$$;

CREATE FUNCTION stacklens.search(query text, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity',
	max_rows int DEFAULT 100)
RETURNS TABLE (id bigint, "timestamp" timestamptz, observed_timestamp timestamptz, service text, severity_number smallint, level text,
	message text, trace_id text, span_id text, request_id text, error_code text, attributes jsonb, resource jsonb, source text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	asked record;
	sink text := stacklens_internal.sink_to_search();
BEGIN
	IF query IS NULL OR since IS NULL OR until IS NULL OR max_rows IS NULL OR max_rows < 0 THEN
		RAISE EXCEPTION 'a search needs a query, times and a number of rows' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'For example: SELECT * FROM stacklens.search(''error_code:PRICE_MISSING AND service:order-*'', since => now() - ''1 hour''::interval);';
	END IF;
	IF sink IS NOT NULL THEN
		SELECT * INTO STRICT asked FROM stacklens_internal.search_condition(query), stacklens_internal.search_dsl(query);
		RETURN QUERY SELECT * FROM stacklens_internal.search_sink(sink, asked.dsl::jsonb,
			CASE WHEN NOT asked.exact THEN asked.condition END, asked.parameters, since, until, max_rows);
		RETURN;
	END IF;
	SELECT * INTO STRICT asked FROM stacklens_internal.search_condition(query);
	RETURN QUERY EXECUTE 'SELECT l.id, l.timestamp, l.observed_timestamp, l.service, l.severity_number, l.level, l.message, l.trace_id,'
		' l.span_id, l.request_id, l.error_code, l.attributes, l.resource, l.source FROM stacklens.logs l'
		' WHERE l.timestamp >= $2 AND l.timestamp < $3 AND ' || asked.condition || ' ORDER BY l.timestamp DESC, l.id DESC LIMIT $4'
		USING asked.parameters, since, until, max_rows;
END
$$;
COMMENT ON FUNCTION stacklens.search(text, timestamptz, timestamptz, int) IS 'Log records that a query (a subset of Lucene''s syntax: docs/search.md) is true of, from since (inclusive) to until (exclusive), newest first: from the sink, if there is one, else from stacklens.logs';

CREATE FUNCTION stacklens.search(query jsonb, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity',
	max_rows int DEFAULT 100)
RETURNS TABLE (id bigint, "timestamp" timestamptz, observed_timestamp timestamptz, service text, severity_number smallint, level text,
	message text, trace_id text, span_id text, request_id text, error_code text, attributes jsonb, resource jsonb, source text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	sink text := stacklens_internal.sink_to_search();
BEGIN
	IF query IS NULL OR since IS NULL OR until IS NULL OR max_rows IS NULL OR max_rows < 0 THEN
		RAISE EXCEPTION 'a search needs a query, times and a number of rows' USING ERRCODE = 'invalid_parameter_value';
	ELSIF sink IS NULL THEN
		RAISE EXCEPTION 'a query in Elasticsearch''s language needs a sink' USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Give the query as text, as docs/search.md describes it, or make a sink with stacklens.create_elasticsearch_sink().';
	END IF;
	RETURN QUERY SELECT * FROM stacklens_internal.search_sink(sink, query, NULL, NULL, since, until, max_rows);
END
$$;
COMMENT ON FUNCTION stacklens.search(jsonb, timestamptz, timestamptz, int) IS 'Log records that a query in Elasticsearch''s own language is true of; needs a sink';

-- Correlations -----------------------------------------------------------------
-- A row for each group of each correlation, small and without an index on what
-- changes; events that don't fit stand in chunks that seldom do.  Times are
-- event time, in ns since 1970.

CREATE TABLE stacklens_internal.correlation_states (
	rule_key uuid NOT NULL,		-- a hash of the definition: another one begins anew
	group_key uuid NOT NULL,
	rule_id uuid NOT NULL,
	group_values text NOT NULL,
	state bytea,
	due bigint,					-- at this watermark there is something to do
	expires bigint,				-- at this one it is as if it had never been
	PRIMARY KEY (rule_key, group_key)
) WITH (fillfactor = 50);
ALTER TABLE stacklens_internal.correlation_states ALTER state SET STORAGE PLAIN;
CREATE INDEX correlation_states_due ON stacklens_internal.correlation_states (due) WHERE due IS NOT NULL;
CREATE TABLE stacklens_internal.correlation_chunks (
	rule_key uuid NOT NULL,
	group_key uuid NOT NULL,
	number int NOT NULL,
	events bytea NOT NULL,
	PRIMARY KEY (rule_key, group_key, number)
);
ALTER TABLE stacklens_internal.correlation_chunks ALTER events SET STORAGE EXTERNAL;	-- late events may make one large

-- What evaluators and the maintainer have to say of a correlation's groups, one row after the
-- other, so that none waits for another's; summed now and then.
CREATE TABLE stacklens_internal.correlation_counts (
	rule_key uuid NOT NULL,
	rule_id uuid NOT NULL,
	groups bigint NOT NULL,		-- made, less those forgotten
	late bigint NOT NULL,		-- records that came too late to count
	dropped bigint NOT NULL,	-- events of one group beyond the most that it keeps
	refused bigint NOT NULL,	-- records of groups beyond the most that the correlation keeps
	at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX correlation_counts_rule ON stacklens_internal.correlation_counts (rule_key);

CREATE FUNCTION stacklens_internal.sum_correlation_counts() RETURNS void LANGUAGE sql
BEGIN ATOMIC
	WITH old AS (DELETE FROM stacklens_internal.correlation_counts RETURNING *)
	INSERT INTO stacklens_internal.correlation_counts (rule_key, rule_id, groups, late, dropped, refused, at)
	SELECT o.rule_key, o.rule_id, sum(o.groups), sum(o.late), sum(o.dropped), sum(o.refused),
		COALESCE(max(o.at) FILTER (WHERE o.refused > 0), max(o.at))
	FROM old o GROUP BY o.rule_key, o.rule_id;
END;

CREATE VIEW stacklens.stat_correlations AS
	SELECT r.name, COALESCE(sum(c.groups), 0)::bigint AS groups, current_setting('stacklens.max_correlation_groups', true)::bigint AS max_groups,
		COALESCE(sum(c.late), 0)::bigint AS late, COALESCE(sum(c.dropped), 0)::bigint AS dropped, COALESCE(sum(c.refused), 0)::bigint AS refused,
		max(c.at) FILTER (WHERE c.refused > 0) AS last_refused
	FROM stacklens_internal.rules r LEFT JOIN stacklens_internal.correlation_counts c ON c.rule_id = r.id
	WHERE r.kind = 'correlation' GROUP BY r.name;
COMMENT ON VIEW stacklens.stat_correlations IS 'Groups that each correlation keeps, and records that do not count in it: late (beyond the lateness), dropped (one group has too many events), refused (the correlation has too many groups)';

-- Forgets groups that are as if they had never been, now that all sources have come to a
-- watermark; gives how many.
CREATE FUNCTION stacklens_internal.expire_correlations(watermark bigint, most int) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n bigint;
BEGIN
	WITH old AS (
		SELECT s.rule_key, s.group_key FROM stacklens_internal.correlation_states s
		WHERE s.expires < watermark LIMIT most FOR UPDATE SKIP LOCKED
	), chunks AS (
		DELETE FROM stacklens_internal.correlation_chunks c USING old o WHERE c.rule_key = o.rule_key AND c.group_key = o.group_key
	), forgotten AS (
		DELETE FROM stacklens_internal.correlation_states s USING old o WHERE s.rule_key = o.rule_key AND s.group_key = o.group_key
		RETURNING s.rule_key, s.rule_id
	), counted AS (
		INSERT INTO stacklens_internal.correlation_counts (rule_key, rule_id, groups, late, dropped, refused)
		SELECT f.rule_key, f.rule_id, -count(*), 0, 0, 0 FROM forgotten f GROUP BY f.rule_key, f.rule_id
	)
	SELECT count(*) INTO n FROM forgotten;
	RETURN n;
END
$$;

-- Alerts ---------------------------------------------------------------------
-- What operators change and what evaluators count are different rows, so that
-- an operator's open transaction stops no evaluator.

CREATE TABLE stacklens_internal.alerts (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	fingerprint text NOT NULL,
	rule_id uuid NOT NULL,
	rule text NOT NULL,
	issue_code text NOT NULL,
	severity text NOT NULL,
	message text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'resolved')),
	service text,
	labels jsonb NOT NULL DEFAULT '{}',
	group_values jsonb NOT NULL DEFAULT '{}',
	acknowledged_by text,
	acknowledged_at timestamptz,
	assignee text,
	resolved_by text,
	resolved_at timestamptz,
	note text,
	previous_id uuid,
	resolve_after interval		-- without a match, in event time
);
CREATE UNIQUE INDEX alerts_open ON stacklens_internal.alerts (fingerprint) WHERE status <> 'resolved';
CREATE INDEX alerts_fingerprint ON stacklens_internal.alerts (fingerprint, created_at);
CREATE INDEX alerts_created ON stacklens_internal.alerts (created_at);
CREATE INDEX alerts_resolved ON stacklens_internal.alerts (resolved_at) WHERE status = 'resolved';
CREATE INDEX alerts_to_resolve ON stacklens_internal.alerts (id) WHERE status <> 'resolved' AND resolve_after IS NOT NULL;
CREATE TABLE stacklens_internal.alert_tallies (
	alert_id uuid PRIMARY KEY,
	count bigint NOT NULL,
	first_seen timestamptz NOT NULL,
	last_seen timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE stacklens.alert_samples (
	alert_id uuid NOT NULL,
	at timestamptz NOT NULL,
	record jsonb NOT NULL
);
CREATE INDEX alert_samples_alert ON stacklens.alert_samples (alert_id);
COMMENT ON TABLE stacklens.alert_samples IS 'The first records of each alert, at most ten';
CREATE TABLE stacklens.alert_comments (
	alert_id uuid NOT NULL,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	author text NOT NULL,
	comment text NOT NULL
);
CREATE INDEX alert_comments_alert ON stacklens.alert_comments (alert_id);
COMMENT ON TABLE stacklens.alert_comments IS 'What people said of alerts';

CREATE VIEW stacklens.alerts AS
	SELECT a.id, a.issue_code, a.severity, a.message, a.created_at, a.status, t.count, t.first_seen, t.last_seen,
		   a.service, a.rule, a.fingerprint, a.labels, a.group_values, a.acknowledged_by, a.acknowledged_at,
		   a.assignee, a.resolved_by, a.resolved_at, false AS silenced, NULL::text AS jira_issue_key, a.previous_id
	FROM stacklens_internal.alerts a JOIN stacklens_internal.alert_tallies t ON t.alert_id = a.id;
COMMENT ON VIEW stacklens.alerts IS 'Alerts: one open one for each fingerprint (rule and group values)';

-- Changes wait here, unnumbered, until the notifier numbers them: nobody else
-- waits for a counter.
CREATE TABLE stacklens_internal.changes (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	alert_id uuid NOT NULL,
	change text NOT NULL
);
CREATE TABLE stacklens.alert_feed (
	epoch text NOT NULL,
	seq bigint NOT NULL,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	alert_id uuid NOT NULL,
	change text NOT NULL,
	alert jsonb NOT NULL,
	PRIMARY KEY (epoch, seq)
);
CREATE TABLE stacklens_internal.feed_state (epoch text NOT NULL, seq bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO stacklens_internal.feed_state VALUES ('', 0);
COMMENT ON TABLE stacklens.alert_feed IS 'Every change of an alert, numbered without holes in the order of their commits';

-- Values are the sender's to choose: a rule opens so many alerts in a minute, and what would
-- open further ones is counted by one alert more.  About: evaluators don't wait for each other.
CREATE FUNCTION stacklens_internal.cap_new_alerts(matches jsonb) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	most bigint := current_setting('stacklens.max_new_alerts')::bigint;
	since timestamptz := clock_timestamp() - interval '1 minute';
	recent bigint;
	result jsonb;
BEGIN
	SELECT count(*) INTO recent FROM (SELECT FROM stacklens_internal.alerts a WHERE a.created_at > since LIMIT most) a;
	IF recent + jsonb_array_length(matches) <= most THEN
		RETURN matches;
	END IF;
	WITH m AS MATERIALIZED (
		SELECT e.value AS match, r.* FROM jsonb_array_elements(matches) e, jsonb_to_record(e.value)
			AS r (fingerprint text, nth bigint, rule_id uuid, rule text, n bigint, first_seen timestamptz, last_seen timestamptz)
	), opened AS MATERIALIZED (
		SELECT a.rule_id, count(*) AS n FROM stacklens_internal.alerts a WHERE a.created_at > since GROUP BY a.rule_id
	), placed AS MATERIALIZED (
		SELECT m.*, m.fresh AND COALESCE(o.n, 0) + row_number() OVER (PARTITION BY m.rule_id, m.fresh ORDER BY m.nth) > most AS beyond
		FROM (SELECT m.*, NOT EXISTS (SELECT FROM stacklens_internal.alerts a WHERE a.fingerprint = m.fingerprint AND a.status <> 'resolved') AS fresh
			FROM m) m LEFT JOIN opened o ON o.rule_id = m.rule_id
	), many AS (
		SELECT (array_agg(p.match ORDER BY p.nth))[1] || jsonb_build_object(
			'fingerprint', md5('too many alerts of ' || p.rule_id), 'n', sum(p.n), 'first_seen', min(p.first_seen), 'last_seen', max(p.last_seen),
			'message', format('Rule %s opened %s alerts within a minute; what would open more is counted here', p.rule, most),
			'group_values', '{}'::jsonb, 'samples', '[]'::jsonb) AS match
		FROM placed p WHERE p.beyond GROUP BY p.rule_id, p.rule
	)
	SELECT jsonb_agg(t.match) INTO result FROM (
		SELECT p.match FROM placed p WHERE NOT p.beyond
		UNION ALL SELECT o.match - 'service' FROM many o) t;
	RETURN result;
END
$$;

-- One row of matches: {fingerprint, nth (its place in the batch), rule_id, rule, issue_code, severity,
-- message, service, labels, group_values, resolve_after, n, first_seen, last_seen, samples}.
-- Open alerts are read by MVCC and only tallies are locked, in the order of
-- their ids.  An alert that somebody opens or resolves in between is met by
-- trying again.
CREATE FUNCTION stacklens_internal.raise_alerts(matches jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	rest jsonb := stacklens_internal.cap_new_alerts(matches);
BEGIN
	FOR attempt IN 1 .. 10 LOOP
		-- those that may just now be resolved for their quiet: either they wait for us, or we for them
		PERFORM FROM stacklens_internal.alerts a
		WHERE a.resolve_after IS NOT NULL AND a.status <> 'resolved'
			AND a.fingerprint IN (SELECT e.value ->> 'fingerprint' FROM jsonb_array_elements(rest) e WHERE e.value ? 'resolve_after')
		ORDER BY a.id FOR KEY SHARE;
		INSERT INTO stacklens_internal.alerts (fingerprint, rule_id, rule, issue_code, severity, message, service, labels,
			group_values, resolve_after, previous_id)
		SELECT m.fingerprint, m.rule_id, m.rule, m.issue_code, m.severity, m.message, m.service, m.labels, m.group_values, m.resolve_after,
			(SELECT a.id FROM stacklens_internal.alerts a WHERE a.fingerprint = m.fingerprint ORDER BY a.created_at DESC LIMIT 1)
		FROM jsonb_to_recordset(rest) AS m (fingerprint text, rule_id uuid, rule text, issue_code text, severity text,
			message text, service text, labels jsonb, group_values jsonb, resolve_after interval)
		WHERE NOT EXISTS (SELECT FROM stacklens_internal.alerts a WHERE a.fingerprint = m.fingerprint AND a.status <> 'resolved')
		ORDER BY m.fingerprint
		ON CONFLICT (fingerprint) WHERE status <> 'resolved' DO NOTHING;

		WITH m AS MATERIALIZED (
			SELECT e.value AS match, r.* FROM jsonb_array_elements(rest) e, jsonb_to_record(e.value)
				AS r (fingerprint text, nth bigint, n bigint, first_seen timestamptz, last_seen timestamptz, samples jsonb)
		), hit AS MATERIALIZED (
			SELECT a.id, m.* FROM m JOIN stacklens_internal.alerts a ON a.fingerprint = m.fingerprint AND a.status <> 'resolved'
		), tally AS (
			INSERT INTO stacklens_internal.alert_tallies AS t (alert_id, count, first_seen, last_seen)
			SELECT h.id, h.n, h.first_seen, h.last_seen FROM hit h ORDER BY h.id
			ON CONFLICT (alert_id) DO UPDATE SET count = t.count + excluded.count,
				first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)
			RETURNING t.alert_id, t.count
		), sampled AS (
			INSERT INTO stacklens.alert_samples (alert_id, at, record)
			SELECT t.alert_id, (s.value ->> 'at')::timestamptz, s.value -> 'record'
			FROM tally t JOIN hit h ON h.id = t.alert_id, jsonb_array_elements(h.samples) WITH ORDINALITY AS s (value, nth)
			WHERE s.nth <= 10 - (t.count - h.n)
		), changed AS (
			INSERT INTO stacklens_internal.changes (alert_id, change)
			SELECT t.alert_id, CASE WHEN t.count = h.n THEN 'opened' ELSE 'updated' END
			FROM tally t JOIN hit h ON h.id = t.alert_id ORDER BY h.nth
		)
		SELECT jsonb_agg(m.match) INTO rest FROM m WHERE NOT EXISTS (SELECT FROM hit h WHERE h.fingerprint = m.fingerprint);
		IF rest IS NULL THEN
			PERFORM stacklens_internal.wake('notifier');
			RETURN;
		END IF;
	END LOOP;
	RAISE EXCEPTION 'alerts are opened and resolved faster than they can be counted' USING ERRCODE = 'serialization_failure';
END
$$;

-- Numbers what has been committed and tells listeners; the notifier alone
-- calls it.  "updated" is left for later unless asked for.
CREATE FUNCTION stacklens_internal.publish(with_updated boolean, OUT published bigint, OUT remaining bigint) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	last bigint;
	this_epoch text := stacklens_internal.epoch();
BEGIN
	published := 0;
	IF EXISTS (SELECT FROM stacklens_internal.changes c WHERE with_updated OR c.change <> 'updated') THEN
		SELECT CASE f.epoch WHEN this_epoch THEN f.seq ELSE 0 END INTO STRICT last FROM stacklens_internal.feed_state f;
		WITH taken AS (
			DELETE FROM stacklens_internal.changes c WHERE with_updated OR c.change <> 'updated'
			RETURNING c.id, c.alert_id, c.change
		), once AS (
			SELECT min(t.id) AS id, t.alert_id, t.change FROM taken t
			GROUP BY t.alert_id, t.change, CASE WHEN t.change <> 'updated' THEN t.id END
		)
		INSERT INTO stacklens.alert_feed (epoch, seq, alert_id, change, alert)
		SELECT this_epoch, last + row_number() OVER (ORDER BY o.id), o.alert_id, o.change, to_jsonb(a)
		FROM once o JOIN stacklens.alerts a ON a.id = o.alert_id;
		GET DIAGNOSTICS published = ROW_COUNT;
		IF published > 0 THEN
			UPDATE stacklens_internal.feed_state SET epoch = this_epoch, seq = last + published;
			PERFORM pg_notify('stacklens_feed', this_epoch || ':' || (last + published));
		END IF;
	END IF;
	SELECT count(*) INTO remaining FROM (SELECT FROM stacklens_internal.changes LIMIT 1) c;
END
$$;

CREATE FUNCTION stacklens_internal.note_change(id uuid, change text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO stacklens_internal.changes (alert_id, change) VALUES (id, change);
	PERFORM stacklens_internal.wake('notifier');
END
$$;
CREATE FUNCTION stacklens_internal.refuse_alert(id uuid) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'alert % does not exist', COALESCE(id::text, 'null') USING ERRCODE = 'no_data_found',
		HINT = 'SELECT id, issue_code FROM stacklens.alerts; lists them.';
END
$$;
CREATE FUNCTION stacklens_internal.change_alert(id uuid, new_status text, note text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	old text;
BEGIN
	SELECT a.status INTO old FROM stacklens_internal.alerts a WHERE a.id = id FOR NO KEY UPDATE;
	IF old IS NULL THEN
		PERFORM stacklens_internal.refuse_alert(id);
	END IF;
	IF old = 'resolved' AND new_status <> 'resolved' THEN
		RAISE EXCEPTION 'alert % is resolved already', id USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'The next match of its rule opens a new alert.';
	END IF;
	IF old <> new_status THEN
		UPDATE stacklens_internal.alerts a SET status = new_status, note = COALESCE(change_alert.note, a.note),
			acknowledged_by = CASE new_status WHEN 'acknowledged' THEN stacklens_internal.actor() ELSE a.acknowledged_by END,
			acknowledged_at = CASE new_status WHEN 'acknowledged' THEN clock_timestamp() ELSE a.acknowledged_at END,
			resolved_by = CASE new_status WHEN 'resolved' THEN stacklens_internal.actor() ELSE a.resolved_by END,
			resolved_at = CASE new_status WHEN 'resolved' THEN clock_timestamp() ELSE a.resolved_at END
		WHERE a.id = id;
		PERFORM stacklens_internal.note_change(id, new_status);
	END IF;
	RETURN new_status;
END
$$;
CREATE FUNCTION stacklens.acknowledge_alert(id uuid, note text DEFAULT NULL) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.change_alert(id, 'acknowledged', note);
CREATE FUNCTION stacklens.resolve_alert(id uuid, note text DEFAULT NULL) RETURNS text LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp RETURN stacklens_internal.change_alert(id, 'resolved', note);
CREATE FUNCTION stacklens.assign_alert(id uuid, assignee text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	old text;
BEGIN
	IF octet_length(assignee) > 200 THEN
		RAISE EXCEPTION 'an assignee has at most 200 bytes' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	SELECT COALESCE(a.assignee, '') INTO old FROM stacklens_internal.alerts a WHERE a.id = id FOR NO KEY UPDATE;
	IF old IS NULL THEN
		PERFORM stacklens_internal.refuse_alert(id);
	END IF;
	IF old <> COALESCE(assignee, '') THEN
		UPDATE stacklens_internal.alerts a SET assignee = NULLIF(assign_alert.assignee, '') WHERE a.id = id;
		PERFORM stacklens_internal.note_change(id, 'assigned');
	END IF;
	RETURN NULLIF(assignee, '');
END
$$;
CREATE FUNCTION stacklens.comment_alert(id uuid, comment text) RETURNS timestamptz LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	result timestamptz;
BEGIN
	IF comment IS NULL OR trim(comment) = '' OR octet_length(comment) > 10000 THEN
		RAISE EXCEPTION 'a comment is text of at most 10,000 bytes, and not empty' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM FROM stacklens_internal.alerts a WHERE a.id = id;
	IF NOT FOUND THEN
		PERFORM stacklens_internal.refuse_alert(id);
	END IF;
	INSERT INTO stacklens.alert_comments (alert_id, author, comment) VALUES (id, stacklens_internal.actor(), comment)
	RETURNING at INTO result;
	PERFORM stacklens_internal.note_change(id, 'commented');
	RETURN result;
END
$$;
CREATE FUNCTION stacklens.alert_logs(alert_id uuid, max_rows int DEFAULT 100)
RETURNS TABLE (id bigint, "timestamp" timestamptz, observed_timestamp timestamptz, service text, severity_number smallint, level text,
	message text, trace_id text, span_id text, request_id text, error_code text, attributes jsonb, resource jsonb, source text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	alert record;
	traces text[];
	requests text[];
	sink text := stacklens_internal.sink_to_search();
	of_trace jsonb;
	around jsonb;
	n bigint;
BEGIN
	SELECT a.service, a.first_seen, a.last_seen INTO alert FROM stacklens.alerts a WHERE a.id = alert_logs.alert_id;
	IF NOT FOUND THEN
		PERFORM stacklens_internal.refuse_alert(alert_logs.alert_id);
	END IF;
	SELECT array_remove(array_agg(DISTINCT s.record ->> 'trace_id'), NULL), array_remove(array_agg(DISTINCT s.record ->> 'request_id'), NULL)
	INTO traces, requests FROM stacklens.alert_samples s WHERE s.alert_id = alert_logs.alert_id;
	-- whatever has its traces; of the minutes around it, what has its requests or is its service's
	IF sink IS NOT NULL THEN
		of_trace := jsonb_build_object('terms', jsonb_build_object('trace_id', COALESCE(to_jsonb(traces), '[]')));
		around := jsonb_build_object('bool', jsonb_build_object('minimum_should_match', 1, 'must_not', jsonb_build_array(of_trace),
			'should', jsonb_build_array(jsonb_build_object('terms', jsonb_build_object('request_id', COALESCE(to_jsonb(requests), '[]'))))
				|| CASE WHEN alert.service IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_build_object('term', jsonb_build_object('service', alert.service))) END));
		RETURN QUERY SELECT * FROM stacklens_internal.search_sink(sink, of_trace, NULL, NULL, '-infinity', 'infinity', alert_logs.max_rows);
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN QUERY SELECT * FROM stacklens_internal.search_sink(sink, around, NULL, NULL, alert.first_seen - interval '5 minutes',
			alert.last_seen + interval '5 minutes 1 microsecond', (alert_logs.max_rows - n)::int) l
			ORDER BY COALESCE(l.request_id = ANY (requests), false) DESC, l.timestamp DESC;
		RETURN;
	END IF;
	RETURN QUERY
	SELECT l.id, l.timestamp, l.observed_timestamp, l.service, l.severity_number, l.level, l.message, l.trace_id,
		l.span_id, l.request_id, l.error_code, l.attributes, l.resource, l.source
	FROM stacklens.logs l
	WHERE l.trace_id = ANY (traces)
		OR (l.timestamp BETWEEN alert.first_seen - interval '5 minutes' AND alert.last_seen + interval '5 minutes'
			AND (l.request_id = ANY (requests) OR l.service = alert.service))
	ORDER BY COALESCE(l.trace_id = ANY (traces), false) DESC, COALESCE(l.request_id = ANY (requests), false) DESC, l.timestamp DESC, l.id DESC
	LIMIT alert_logs.max_rows;
END
$$;
COMMENT ON FUNCTION stacklens.alert_logs IS 'Log records that belong to an alert: first those of its samples'' traces, then of their requests, then of its service from five minutes before it to five after; each newest first';

COMMENT ON FUNCTION stacklens.assign_alert IS 'Says who looks after an alert (NULL: nobody); gives the name';
COMMENT ON FUNCTION stacklens.comment_alert IS 'Adds a comment to an alert; gives its time';

-- Alerts whose rules say so, and that had no match for that long, now that all sources have come
-- to a watermark (ns).  One that an operator holds is looked at again.
CREATE FUNCTION stacklens_internal.resolve_quiet_alerts(watermark bigint) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n bigint;
BEGIN
	WITH quiet AS (
		SELECT a.id FROM stacklens_internal.alerts a JOIN stacklens_internal.alert_tallies t ON t.alert_id = a.id
		WHERE a.status <> 'resolved' AND a.resolve_after IS NOT NULL
			-- a clock that is ahead keeps nothing open
			AND least(t.last_seen, now()) + a.resolve_after <= to_timestamp(watermark / 1000000000.0)
		ORDER BY a.id LIMIT 1000 FOR UPDATE OF a SKIP LOCKED
	), done AS (
		UPDATE stacklens_internal.alerts a SET status = 'resolved', resolved_by = 'stacklens', resolved_at = clock_timestamp()
		FROM quiet q WHERE a.id = q.id RETURNING a.id
	)
	INSERT INTO stacklens_internal.changes (alert_id, change) SELECT d.id, 'resolved' FROM done d;
	GET DIAGNOSTICS n = ROW_COUNT;
	IF n > 0 THEN
		PERFORM stacklens_internal.wake('notifier');
	END IF;
	RETURN n;
END
$$;

-- Retention ------------------------------------------------------------------

-- A setting that is a time, in minutes; NULL: kept for ever.
CREATE FUNCTION stacklens_internal.retention(setting text) RETURNS interval LANGUAGE sql STABLE
	RETURN (SELECT NULLIF(s.setting::int, 0) * interval '1 minute' FROM pg_settings s WHERE s.name = retention.setting);

-- Deletes a part of what is kept no longer; gives whether there is more.
CREATE FUNCTION stacklens_internal.forget_old() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	alerts bigint;
	changes bigint;
	letters bigint;
BEGIN
	WITH old AS (
		SELECT a.id FROM stacklens_internal.alerts a
		WHERE a.status = 'resolved' AND a.resolved_at < now() - stacklens_internal.retention('stacklens.alert_retention')
		LIMIT 5000 FOR UPDATE SKIP LOCKED
	), gone AS (
		DELETE FROM stacklens_internal.alerts a USING old o WHERE a.id = o.id RETURNING a.id
	), tallies AS (
		DELETE FROM stacklens_internal.alert_tallies t USING gone g WHERE t.alert_id = g.id
	), samples AS (
		DELETE FROM stacklens.alert_samples s USING gone g WHERE s.alert_id = g.id
	), comments AS (
		DELETE FROM stacklens.alert_comments c USING gone g WHERE c.alert_id = g.id
	)
	SELECT count(*) INTO alerts FROM gone;
	-- in order of seq, so that what is left has no holes
	WITH old AS (
		SELECT f.epoch, f.seq FROM (SELECT * FROM stacklens.alert_feed ORDER BY epoch, seq LIMIT 10000) f
		WHERE f.at < now() - stacklens_internal.retention('stacklens.feed_retention')
	)
	DELETE FROM stacklens.alert_feed f USING old o WHERE f.epoch = o.epoch AND f.seq = o.seq;
	GET DIAGNOSTICS changes = ROW_COUNT;
	DELETE FROM stacklens.dead_letters d WHERE d.id IN (
		SELECT o.id FROM (SELECT l.id, l.at FROM stacklens.dead_letters l ORDER BY l.id LIMIT 1000) o
		WHERE o.at < now() - stacklens_internal.retention('stacklens.dead_letter_retention'));
	GET DIAGNOSTICS letters = ROW_COUNT;
	RETURN alerts = 5000 OR changes = 10000 OR letters = 1000;
END
$$;

-- Days of logs that are kept no longer, by age or by the size of all.  A day is emptied first, which
-- needs nobody but its readers to be away, and is dropped when the parent can be had at once: writers
-- are never kept waiting.  What wasn't judged yet is a gap.
CREATE FUNCTION stacklens_internal.forget_logs() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	keep interval := stacklens_internal.retention('stacklens.log_retention');
	most bigint := current_setting('stacklens.log_retention_size')::bigint * 1048576;
	total bigint := 0;
	day record;
	gap record;
	sink record;
BEGIN
	-- the newest first: those beyond the size are the oldest
	FOR day IN
		SELECT c.oid::regclass AS partition, to_date(substr(c.relname, 6), 'YYYY_MM_DD') AS date, pg_total_relation_size(c.oid) AS size
		FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE i.inhparent = 'stacklens.logs'::regclass AND c.relname ~ '^logs_\d{4}_\d\d_\d\d$' ORDER BY 2 DESC
	LOOP
		total := total + day.size;
		CONTINUE WHEN day.date >= current_date OR NOT COALESCE(day.date + 1 <= now() - keep OR (most > 0 AND total > most), false);
		BEGIN
			EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', day.partition);
			EXECUTE format('SELECT min(l.id) AS first, max(l.id) AS last FROM %s l WHERE l.xid >= stacklens_internal.inbox_place()',
				day.partition) INTO gap;
			IF gap.first IS NOT NULL THEN
				INSERT INTO stacklens_internal.gaps (source, topic, partition, from_offset, to_offset, reason)
				VALUES ('inbox', 'logs', 0, gap.first, gap.last + 1, 'deleted by log retention before it was judged');
			END IF;
			FOR sink IN SELECT p.sink AS name, stacklens_internal.inbox_place(p.sink) AS place FROM stacklens_internal.inbox_position p
				JOIN stacklens_internal.sinks k ON k.name = p.sink WHERE stacklens_internal.ships(k.options, 'inbox')
			LOOP
				EXECUTE format('SELECT min(l.id) AS first, max(l.id) AS last FROM %s l WHERE l.xid >= $1', day.partition) INTO gap USING sink.place;
				IF gap.first IS NOT NULL THEN
					INSERT INTO stacklens_internal.gaps (source, topic, partition, from_offset, to_offset, reason, sink)
					VALUES ('inbox', 'logs', 0, gap.first, gap.last + 1, 'deleted by log retention before it was shipped', sink.name);
				END IF;
			END LOOP;
			EXECUTE format('TRUNCATE %s', day.partition);
		EXCEPTION WHEN lock_not_available THEN
			CONTINUE;			-- somebody reads it: in the next round
		END;
		BEGIN
			LOCK TABLE stacklens.logs IN ACCESS EXCLUSIVE MODE NOWAIT;
			EXECUTE format('ALTER EXTENSION stacklens DROP TABLE %s', day.partition);
			EXECUTE format('DROP TABLE %s', day.partition);
		EXCEPTION WHEN lock_not_available THEN
			CONTINUE;			-- empty, it harms nobody
		END;
	END LOOP;
	-- those of days that are gone
	DELETE FROM stacklens_internal.logs_shipped s WHERE s.at < (SELECT min(to_date(substr(c.relname, 6), 'YYYY_MM_DD'))
		FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE i.inhparent = 'stacklens.logs'::regclass AND c.relname ~ '^logs_\d{4}_\d\d_\d\d$');
END
$$;

COMMENT ON FUNCTION stacklens.acknowledge_alert IS 'Says that somebody looks after an alert; gives its new status';
COMMENT ON FUNCTION stacklens.resolve_alert IS 'Closes an alert: the next match opens a new one; gives its new status';

-- State ----------------------------------------------------------------------

CREATE FUNCTION stacklens_internal.workers(OUT kind text, OUT source text, OUT pid int, OUT state text, OUT status text,
	OUT started_at timestamptz, OUT restarts int, OUT last_error text, OUT last_error_at timestamptz, OUT records bigint,
	OUT bytes bigint, OUT batches bigint, OUT matches bigint, OUT dead_letters bigint, OUT last_batch_at timestamptz,
	OUT place bigint, OUT sink text, OUT retries bigint, OUT in_flight bigint, OUT latency bigint, OUT oldest timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_workers' LANGUAGE C VOLATILE;

CREATE VIEW stacklens.stat_workers AS
	SELECT w.kind, w.source, w.pid, w.state, w.status, w.started_at, w.restarts, w.last_error, w.last_error_at, w.sink
	FROM stacklens_internal.workers() w;
COMMENT ON VIEW stacklens.stat_workers IS 'The background workers: state, what they wait for, and the last error of each';

-- Transactions below it are judged, or shipped to a sink: as the worker says, which the table follows within a second.
CREATE FUNCTION stacklens_internal.inbox_place(sink text DEFAULT '') RETURNS xid8 LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT COALESCE(
		(SELECT w.place::text::xid8 FROM stacklens_internal.workers() w
			WHERE w.kind = CASE inbox_place.sink WHEN '' THEN 'evaluator' ELSE 'shipper' END AND w.source = 'inbox'
				AND COALESCE(w.sink, '') = inbox_place.sink AND w.pid IS NOT NULL),
		(SELECT CASE WHEN p.exhausted THEN pg_snapshot_xmax(p.to_snapshot) ELSE p.last_xid END FROM stacklens_internal.inbox_position p
			WHERE p.sink = inbox_place.sink));
END;
-- A message that a shipper could not read: see bgworker/shipper.c.
CREATE FUNCTION stacklens_internal.set_message_aside(sink text, origin jsonb, reason text, sqlstate text, payload bytea, headers jsonb)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	INSERT INTO stacklens.dead_letters (origin, reason, sqlstate, payload, headers)
	SELECT origin || jsonb_build_object('shipper', sink), reason, sqlstate, payload, headers
	WHERE (sqlstate = '57P02' OR (origin ->> 'xid')::xid8 < stacklens_internal.inbox_place()
			OR EXISTS (SELECT FROM stacklens_internal.positions p WHERE p.sink = '' AND p.source = origin ->> 'source' AND p.topic = origin ->> 'topic'
				AND p.partition = (origin ->> 'partition')::int AND p.next_offset > (origin ->> 'offset')::bigint))
		AND NOT EXISTS (SELECT FROM stacklens.dead_letters d WHERE d.origin @> (set_message_aside.origin - ARRAY['taken', 'record', 'timestamp_ms']));
END;

CREATE FUNCTION stacklens_internal.inbox_lag(sink text DEFAULT '') RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	place xid8 := stacklens_internal.inbox_place(sink);
	result bigint;
BEGIN
	-- enough to tell ok from warning and critical
	SELECT count(*) INTO result FROM (SELECT FROM stacklens.logs l WHERE l.xid >= place LIMIT 100000) t;
	RETURN result;
END
$$;
COMMENT ON FUNCTION stacklens_internal.inbox_lag IS 'Records of the inbox that are not yet judged, or shipped to a sink, up to 100,000';

CREATE VIEW stacklens.stat_sources AS
	SELECT n.name, n.kind, COALESCE(w.state, CASE WHEN n.restored THEN 'restored' WHEN n.paused THEN 'paused' ELSE 'stopped' END) AS state, w.status,
		   COALESCE(w.records, 0) AS records, COALESCE(w.bytes, 0) AS bytes, COALESCE(w.batches, 0) AS batches,
		   COALESCE(w.matches, 0) AS matches, COALESCE(w.dead_letters, 0) AS dead_letters, w.last_batch_at,
		   CASE n.kind WHEN 'inbox' THEN stacklens_internal.inbox_lag()
			ELSE (SELECT sum(p.lag)::bigint FROM stacklens.positions p WHERE p.source = n.name) END AS lag,
		   w.last_error, w.last_error_at, COALESCE(w.evaluators, 0) AS evaluators
	FROM (SELECT 'inbox'::text AS name, 'inbox'::text AS kind, false AS paused, false AS restored
		UNION ALL SELECT s.name, s.kind, s.paused, s.restored FROM stacklens.sources s) n
	LEFT JOIN (
		SELECT w.source,
			(array_agg(w.state ORDER BY array_position(ARRAY['retrying', 'stopped', 'waiting', 'starting'], w.state)))[1] AS state,
			string_agg(DISTINCT w.status, '; ') AS status, sum(w.records)::bigint AS records, sum(w.bytes)::bigint AS bytes,
			sum(w.batches)::bigint AS batches, sum(w.matches)::bigint AS matches, sum(w.dead_letters)::bigint AS dead_letters,
			max(w.last_batch_at) AS last_batch_at,
			(array_agg(w.last_error ORDER BY w.last_error_at DESC NULLS LAST))[1] AS last_error,
			max(w.last_error_at) AS last_error_at, count(w.pid) AS evaluators
		FROM stacklens_internal.workers() w WHERE w.kind = 'evaluator' GROUP BY w.source) w ON w.source = n.name;
CREATE VIEW stacklens.stat_sinks AS
	SELECT k.name, s.name AS source,
		   COALESCE(w.state, CASE WHEN k.restored THEN 'restored' WHEN k.paused OR s.paused THEN 'paused' ELSE 'stopped' END) AS state, w.status,
		   COALESCE(w.records, 0) AS documents, COALESCE(w.bytes, 0) AS bytes, COALESCE(w.batches, 0) AS requests, COALESCE(w.retries, 0) AS retries,
		   COALESCE(w.dead_letters, 0) AS rejected, COALESCE(w.in_flight, 0) AS in_flight, round(w.latency / 1000.0, 1) AS latency_ms,
		   CASE s.name WHEN 'inbox' THEN stacklens_internal.inbox_lag(k.name)
			ELSE (SELECT sum(greatest(greatest(p.high_watermark, e.high_watermark) - p.next_offset, 0))::bigint FROM stacklens.sink_positions p
				LEFT JOIN stacklens.positions e USING (source, topic, partition)
				WHERE p.sink = k.name AND p.source = s.name AND p.topic = s.topic) END AS lag,
		   w.oldest AS waiting_since, w.last_error, w.last_error_at
	FROM stacklens.sinks k
	JOIN (SELECT 'inbox'::text AS name, false AS paused, NULL::text AS topic UNION ALL SELECT s.name, s.paused, s.topic FROM stacklens.sources s) s
		ON stacklens_internal.ships(k.options, s.name)
	LEFT JOIN stacklens_internal.workers() w ON w.kind = 'shipper' AND w.sink = k.name AND w.source = s.name;
COMMENT ON VIEW stacklens.stat_sinks IS 'What each source of a sink shipped since its worker was made: documents that are there, bytes sent, documents sent again, set aside (rejected), time of the last request, records not there yet (lag), since when the oldest of them waits';
COMMENT ON VIEW stacklens.stat_sources IS 'What each source gave since its evaluators were made: records, matches, lag, the last error of the worst off';

CREATE FUNCTION stacklens.health() RETURNS TABLE (part text, status text, value text, warning text, critical text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n bigint;
	most bigint;
	down text;
	workers int;
BEGIN
	part := 'postgresql'; status := 'ok'; value := split_part(current_setting('server_version'), ' ', 1);
	RETURN NEXT;

	SELECT count(*) FILTER (WHERE w.pid IS NOT NULL AND w.state = 'running'),
		string_agg(concat_ws(': ', w.kind || COALESCE(' of ' || w.source, ''), w.state, w.status, w.last_error), '; ')
			FILTER (WHERE w.pid IS NULL OR w.state <> 'running'), count(*)
	INTO workers, down, n FROM stacklens_internal.workers() w;
	part := 'workers'; value := workers || ' running'; status := 'ok';
	IF stacklens_internal.library_version() <> stacklens.version() THEN
		status := 'critical';
		hint := format('The library is version %s, the extension %s: run ALTER EXTENSION stacklens UPDATE, or install the matching library and restart the server.',
			stacklens_internal.library_version(), stacklens.version());
	ELSIF n = 0 THEN
		status := 'critical';
		hint := format('Set shared_preload_libraries = ''stacklens'' and stacklens.database = ''%s'' in postgresql.conf, and restart the server.',
			current_database());
	ELSIF down IS NOT NULL THEN
		status := 'critical'; hint := down;
	ELSIF workers < 4 THEN
		status := 'critical'; hint := 'Workers are being started; the server''s log says why if they stay away.';
	END IF;
	RETURN NEXT;

	SELECT count(*) INTO n FROM stacklens_internal.rules r WHERE r.enabled;
	part := 'rules'; value := n || ' enabled'; warning := '0'; critical := NULL; hint := NULL;
	status := CASE n WHEN 0 THEN 'warning' ELSE 'ok' END;
	IF n = 0 THEN hint := 'SELECT stacklens.create_rule(…) makes the first.'; END IF;
	RETURN NEXT;

	n := stacklens_internal.inbox_lag();
	part := 'inbox lag'; value := n::text; warning := '> 100'; critical := '> 1000';
	status := CASE WHEN n > 1000 THEN 'critical' WHEN n > 100 THEN 'warning' ELSE 'ok' END;
	hint := CASE WHEN n > 100 THEN 'SELECT * FROM stacklens.stat_sources; shows whether the evaluator gets on.' END;
	RETURN NEXT;

	part := 'kafka lag'; value := NULL; hint := NULL; status := 'off';
	IF EXISTS (SELECT FROM stacklens_internal.sources) THEN
		SELECT COALESCE(sum(p.lag), 0) INTO n FROM stacklens.positions p;
		SELECT string_agg(format('source %s: %s', s.name, s.status), '; ') INTO down
		FROM stacklens.stat_sources s WHERE s.kind = 'kafka' AND s.status IS NOT NULL;
		value := n::text;
		status := CASE WHEN n > 1000 THEN 'critical' WHEN n > 100 OR down IS NOT NULL THEN 'warning' ELSE 'ok' END;
		hint := COALESCE(down, CASE WHEN n > 100 THEN 'SELECT * FROM stacklens.positions; shows where.' END);
	END IF;
	RETURN NEXT;

	SELECT string_agg(c.name, ', ' ORDER BY c.name), max(c.max_groups) INTO down, most FROM stacklens.stat_correlations c
	WHERE c.last_refused > now() - interval '1 day' OR c.groups >= c.max_groups;
	IF down IS NOT NULL THEN
		part := 'correlations'; value := down; status := 'warning'; warning := format('%s groups', most); critical := NULL;
		hint := 'So many groups are kept for each, and records of further ones do not count: SELECT * FROM stacklens.stat_correlations; says more. Group by fewer values, shorten the timespan, or raise stacklens.max_correlation_groups.';
		RETURN NEXT;
	END IF;

	SELECT string_agg(s.name, ', ') INTO down FROM (SELECT s.name, s.restored FROM stacklens.sources s UNION ALL SELECT k.name, k.restored FROM stacklens.sinks k) s
	WHERE s.restored;
	IF down IS NOT NULL THEN
		part := 'restored copy'; value := down; status := 'warning'; warning := NULL; critical := NULL;
		hint := 'These sources and sinks come from a dump of another database and are not used. SELECT stacklens.adopt_restore(); takes them over, once the other has stopped.';
		RETURN NEXT;
	END IF;

	SELECT count(*) INTO n FROM stacklens.gaps g WHERE g.at > now() - interval '1 day';
	IF n > 0 THEN
		part := 'gaps'; value := n || ' in 24 h'; status := 'warning'; warning := '> 0'; critical := NULL;
		hint := 'Records were deleted before they were read: SELECT * FROM stacklens.gaps; tells which. Raise the topic''s, or the log''s, retention.';
		RETURN NEXT;
	END IF;

	SELECT count(*) INTO n FROM stacklens.dead_letters;
	part := 'dead letters'; value := n::text; warning := '> 0'; critical := NULL;
	status := CASE n WHEN 0 THEN 'ok' ELSE 'warning' END;
	hint := CASE WHEN n > 0 THEN 'SELECT id, origin, reason FROM stacklens.dead_letters; says why; redrive() sends them again, discard() deletes them.' END;
	RETURN NEXT;

	SELECT string_agg(d.id::text, ', ' ORDER BY d.id) INTO down FROM stacklens.dead_letters d WHERE d.sqlstate = '57P02';
	IF down IS NOT NULL THEN
		part := 'crashes'; value := down; status := 'warning'; warning := NULL; critical := NULL;
		hint := 'These dead letters crashed workers, twice each, and were set aside. Report the bug with their payload and the server''s log.';
		RETURN NEXT;
	END IF;

	SELECT count(*) INTO n FROM pg_stat_activity a WHERE a.backend_type = 'client backend';
	most := current_setting('max_connections')::int;
	part := 'connections'; value := n || ' of ' || most; warning := '> 80 %'; critical := '> 95 %';
	status := CASE WHEN n > most * 0.95 THEN 'critical' WHEN n > most * 0.8 THEN 'warning' ELSE 'ok' END;
	hint := CASE WHEN n > most * 0.8 THEN 'Close idle sessions, or raise max_connections.' END;
	RETURN NEXT;

	part := 'elasticsearch'; status := 'off'; value := NULL; warning := NULL; critical := NULL; hint := NULL;
	IF EXISTS (SELECT FROM stacklens_internal.sinks k WHERE k.incarnation = stacklens_internal.incarnation()) THEN
		SELECT string_agg(format('sink %s, %s: %s', s.name, s.source, COALESCE(s.status, s.last_error, s.state)), '; ')
				FILTER (WHERE s.status IS NOT NULL OR s.state NOT IN ('running', 'paused', 'restored')),
			COALESCE(max(greatest(s.latency_ms, 1000 * extract(epoch FROM clock_timestamp() - s.waiting_since)))::bigint, 0)
		INTO down, n FROM stacklens.stat_sinks s;
		value := n || ' ms'; warning := '> 1 s'; critical := '> 5 s';
		status := CASE WHEN n > 5000 THEN 'critical' WHEN n > 1000 OR down IS NOT NULL THEN 'warning' ELSE 'ok' END;
		hint := COALESCE(down, CASE WHEN n > 1000 THEN 'Indexing is slow: SELECT * FROM stacklens.stat_sinks; and the cluster''s own health tell more.' END);
	END IF;
	RETURN NEXT;
	warning := NULL; critical := NULL; hint := NULL; value := NULL; status := 'off';
	part := 'jira';
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION stacklens.health IS 'Each part: ok, warning, critical or off, with the runbook''s thresholds and what to do';

-- A family of OpenMetrics: its lines, or none where it has no sample.
CREATE FUNCTION stacklens_internal.metric(name text, type text, help text, samples text[]) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
	RETURN format(E'# TYPE %1$s %2$s\n# HELP %1$s %3$s\n', name, type, help)
		|| (SELECT string_agg(name || CASE type WHEN 'counter' THEN '_total' ELSE '' END || s, E'\n') FROM unnest(samples) AS s) || E'\n';
CREATE FUNCTION stacklens.metrics() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH source AS MATERIALIZED (
		SELECT format('{source=%s} ', to_json(s.name)) AS label, s.* FROM stacklens.stat_sources s
	), sink AS MATERIALIZED (
		SELECT format('{sink=%s,source=%s} ', to_json(k.name), to_json(k.source)) AS label, k.* FROM stacklens.stat_sinks k
	), place AS MATERIALIZED (
		SELECT format('{source=%s,topic=%s,partition="%s"} ', to_json(p.source), to_json(p.topic), p.partition) AS label, p.*
		FROM stacklens.positions p WHERE p.lag IS NOT NULL
	), worker AS MATERIALIZED (
		SELECT format('{kind=%s,source=%s} ', to_json(w.kind), to_json(COALESCE(w.source, ''))) AS label,
			count(w.pid) FILTER (WHERE w.state = 'running') AS running, sum(w.restarts) AS restarts
		FROM stacklens_internal.workers() w GROUP BY w.kind, w.source
	)
	SELECT concat(
		stacklens_internal.metric('stacklens_alerts', 'gauge', 'Alerts by status.',
			(SELECT array_agg(format('{status="%s"} %s', s.name, (SELECT count(*) FROM stacklens_internal.alerts a WHERE a.status = s.name)))
				FROM unnest(ARRAY['open', 'acknowledged', 'resolved']) AS s (name))),
		stacklens_internal.metric('stacklens_rules', 'gauge', 'Rules that judge records.',
			ARRAY[' ' || (SELECT count(*) FROM stacklens_internal.rules r WHERE r.enabled)]),
		stacklens_internal.metric('stacklens_rules_left_out', 'gauge', 'Enabled rules that could not be compiled.',
			ARRAY[' ' || (SELECT count(*) FROM stacklens_internal.rules r WHERE r.enabled AND r.error IS NOT NULL)]),
		stacklens_internal.metric('stacklens_source_records', 'counter', 'Records judged since the workers were made.',
			(SELECT array_agg(label || s.records ORDER BY s.name) FROM source s)),
		stacklens_internal.metric('stacklens_source_bytes', 'counter', 'Bytes of messages read since the workers were made.',
			(SELECT array_agg(label || s.bytes ORDER BY s.name) FROM source s)),
		stacklens_internal.metric('stacklens_source_batches', 'counter', 'Transactions of records judged since the workers were made.',
			(SELECT array_agg(label || s.batches ORDER BY s.name) FROM source s)),
		stacklens_internal.metric('stacklens_source_matches', 'counter', 'Matches of rules since the workers were made.',
			(SELECT array_agg(label || s.matches ORDER BY s.name) FROM source s)),
		stacklens_internal.metric('stacklens_source_dead_letters', 'counter', 'Records set aside since the workers were made.',
			(SELECT array_agg(label || s.dead_letters ORDER BY s.name) FROM source s)),
		stacklens_internal.metric('stacklens_source_lag', 'gauge', 'Records not judged yet.',
			(SELECT array_agg(label || COALESCE(s.lag, 0) ORDER BY s.name) FROM source s)),
		stacklens_internal.metric('stacklens_partition_lag', 'gauge', 'Records of a partition not judged yet.',
			(SELECT array_agg(label || p.lag ORDER BY p.source, p.topic, p.partition) FROM place p)),
		stacklens_internal.metric('stacklens_partition_next_offset', 'gauge', 'The offset of a partition that is judged next.',
			(SELECT array_agg(label || p.next_offset ORDER BY p.source, p.topic, p.partition) FROM place p)),
		stacklens_internal.metric('stacklens_sink_documents', 'counter', 'Documents shipped since the workers were made.',
			(SELECT array_agg(label || k.documents ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_sink_bytes', 'counter', 'Bytes of requests sent since the workers were made.',
			(SELECT array_agg(label || k.bytes ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_sink_requests', 'counter', 'Requests sent since the workers were made.',
			(SELECT array_agg(label || k.requests ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_sink_retries', 'counter', 'Documents that were to be sent again since the workers were made.',
			(SELECT array_agg(label || k.retries ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_sink_rejected', 'counter', 'Documents set aside since the workers were made.',
			(SELECT array_agg(label || k.rejected ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_sink_in_flight', 'gauge', 'Requests on their way.',
			(SELECT array_agg(label || k.in_flight ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_sink_latency_seconds', 'gauge', 'Time that the last request took.',
			(SELECT array_agg(label || k.latency_ms / 1000 ORDER BY label) FROM sink k WHERE k.latency_ms IS NOT NULL)),
		stacklens_internal.metric('stacklens_sink_lag', 'gauge', 'Records not shipped yet.',
			(SELECT array_agg(label || COALESCE(k.lag, 0) ORDER BY label) FROM sink k)),
		stacklens_internal.metric('stacklens_workers', 'gauge', 'Background workers that run.',
			(SELECT array_agg(label || w.running ORDER BY label) FROM worker w)),
		stacklens_internal.metric('stacklens_worker_restarts', 'counter', 'How often workers were started again.',
			(SELECT array_agg(label || w.restarts ORDER BY label) FROM worker w)),
		stacklens_internal.metric('stacklens_dead_letters', 'gauge', 'Records set aside that wait for redrive or discard.',
			ARRAY[' ' || (SELECT count(*) FROM stacklens.dead_letters)]),
		stacklens_internal.metric('stacklens_gaps', 'gauge', 'Stretches of sources that were deleted before they were judged.',
			ARRAY[' ' || (SELECT count(*) FROM stacklens_internal.gaps)]),
		stacklens_internal.metric('stacklens_correlation_groups', 'gauge', 'Groups that a correlation keeps.',
			(SELECT array_agg(format('{rule=%s} %s', to_json(c.name), c.groups) ORDER BY c.name) FROM stacklens.stat_correlations c)),
		stacklens_internal.metric('stacklens_connections', 'gauge', 'Client connections of the server.',
			ARRAY[' ' || (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend')]),
		stacklens_internal.metric('stacklens_connections_limit', 'gauge', 'The server''s max_connections.',
			ARRAY[' ' || current_setting('max_connections')]),
		E'# EOF\n');
END;
COMMENT ON FUNCTION stacklens.metrics IS 'Counters and gauges as OpenMetrics text';

CREATE FUNCTION stacklens.adopt_restore() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n bigint;
	sinks bigint;
BEGIN
	PERFORM stacklens_internal.require_workers('taking over a restored copy');
	UPDATE stacklens_internal.sources s SET incarnation = stacklens_internal.incarnation(), adopted_from = s.incarnation,
		version = s.version + 1
	WHERE s.incarnation <> stacklens_internal.incarnation();
	GET DIAGNOSTICS n = ROW_COUNT;
	UPDATE stacklens_internal.sinks k SET incarnation = stacklens_internal.incarnation(), version = nextval('stacklens_internal.sinks_version')
	WHERE k.incarnation <> stacklens_internal.incarnation();
	GET DIAGNOSTICS sinks = ROW_COUNT;
	-- logs aren't dumped: what the inbox has came since
	INSERT INTO stacklens_internal.inbox_position (sink, from_snapshot, to_snapshot, last_xid, last_id, exhausted)
	SELECT k.name, '1:1:', '1:1:', '0', 0, true FROM stacklens_internal.sinks k ON CONFLICT DO NOTHING;
	PERFORM stacklens_internal.wake('maintainer');
	RETURN n + sinks;
END
$$;
COMMENT ON FUNCTION stacklens.adopt_restore IS 'Lets the sources and sinks of a restored dump be used by this database; gives their number';

-- What the gateway's routes call ----------------------------------------------
-- Each gives the body of the answer; the gateway adds nothing to it.

CREATE FUNCTION stacklens_internal.gateway_health() RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT jsonb_build_object('status', CASE WHEN bool_or(h.status = 'critical') THEN 'critical'
			WHEN bool_or(h.status = 'warning') THEN 'warning' ELSE 'ok' END,
		'parts', jsonb_agg(jsonb_strip_nulls(to_jsonb(h)))) FROM stacklens.health() h;
END;
CREATE FUNCTION stacklens_internal.gateway_ingest(body bytea) RETURNS jsonb LANGUAGE sql
	RETURN jsonb_build_object('accepted', cardinality(stacklens_internal.ingest(body, 'json')));
CREATE FUNCTION stacklens_internal.gateway_alerts(max_rows int, since timestamptz, wanted_status text, wanted_severity text,
	wanted_service text, wanted_rule text, q text) RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY t.created_at DESC, t.id), '[]') FROM (
		SELECT * FROM stacklens.alerts a
		WHERE (since IS NULL OR a.created_at >= since) AND (wanted_status IS NULL OR a.status = ANY (string_to_array(wanted_status, ',')))
			AND (wanted_severity IS NULL OR a.severity = ANY (string_to_array(wanted_severity, ',')))
			AND (wanted_service IS NULL OR a.service = wanted_service) AND (wanted_rule IS NULL OR a.rule = wanted_rule)
			AND (q IS NULL OR strpos(lower(concat_ws(' ', a.message, a.issue_code, a.service, a.rule)), lower(q)) > 0)
		ORDER BY a.created_at DESC, a.id LIMIT least(greatest(COALESCE(max_rows, 100), 0), 5000)) t;
END;
CREATE FUNCTION stacklens_internal.gateway_alert(wanted uuid) RETURNS jsonb LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	result jsonb;
BEGIN
	SELECT to_jsonb(a) || jsonb_build_object('samples', (SELECT COALESCE(jsonb_agg(jsonb_build_object('at', s.at, 'record', s.record)
		ORDER BY s.at), '[]') FROM stacklens.alert_samples s WHERE s.alert_id = a.id),
		'comments', (SELECT COALESCE(jsonb_agg(jsonb_build_object('at', c.at, 'author', c.author, 'comment', c.comment) ORDER BY c.at), '[]')
			FROM stacklens.alert_comments c WHERE c.alert_id = a.id))
	INTO result FROM stacklens.alerts a WHERE a.id = wanted;
	IF result IS NULL THEN
		RAISE EXCEPTION 'alert % does not exist', wanted USING ERRCODE = 'no_data_found';
	END IF;
	RETURN result;
END
$$;
-- {"name": "text"}: the one value that a request's body holds.
CREATE FUNCTION stacklens_internal.gateway_value(body bytea, name text, needed boolean DEFAULT true) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	request jsonb := CASE WHEN length(body) = 0 THEN '{}' ELSE convert_from(body, 'UTF8')::jsonb END;
BEGIN
	IF jsonb_typeof(request) <> 'object' OR COALESCE(jsonb_typeof(request -> name) NOT IN ('string', 'null'), needed) THEN
		RAISE EXCEPTION 'the body is not {"%": "text"}', name USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN request ->> name;
END
$$;
CREATE FUNCTION stacklens_internal.gateway_change(wanted uuid, new_status text, body bytea) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM stacklens_internal.change_alert(wanted, new_status, NULLIF(stacklens_internal.gateway_value(body, 'note', needed => false), ''));
	RETURN stacklens_internal.gateway_alert(wanted);
END
$$;
CREATE FUNCTION stacklens_internal.gateway_assign(wanted uuid, body bytea) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM stacklens.assign_alert(wanted, stacklens_internal.gateway_value(body, 'assignee'));
	RETURN stacklens_internal.gateway_alert(wanted);
END
$$;
CREATE FUNCTION stacklens_internal.gateway_comment(wanted uuid, body bytea) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM stacklens.comment_alert(wanted, stacklens_internal.gateway_value(body, 'comment'));
	RETURN stacklens_internal.gateway_alert(wanted);
END
$$;
CREATE FUNCTION stacklens_internal.gateway_logs(q text, since timestamptz, until timestamptz, max_rows int) RETURNS jsonb LANGUAGE sql
	RETURN (SELECT COALESCE(jsonb_agg(to_jsonb(l) ORDER BY l.timestamp DESC, l.id DESC), '[]')
		FROM stacklens.search(COALESCE(q, ''), COALESCE(since, '-infinity'), COALESCE(until, 'infinity'), least(greatest(COALESCE(max_rows, 100), 0), 5000)) l);
CREATE FUNCTION stacklens_internal.gateway_alert_logs(wanted uuid, max_rows int) RETURNS jsonb LANGUAGE sql
	RETURN (SELECT COALESCE(jsonb_agg(to_jsonb(l)), '[]') FROM stacklens.alert_logs(wanted, least(greatest(COALESCE(max_rows, 100), 0), 5000)) l);
CREATE FUNCTION stacklens_internal.gateway_rules() RETURNS jsonb LANGUAGE sql STABLE
	RETURN (SELECT COALESCE(jsonb_agg(to_jsonb(r) ORDER BY r.name), '[]') FROM stacklens.rules r);

-- The feed after a place.  Always one row at least: epoch, latest and oldest
-- number, and, where there are changes, each one's number and message.
CREATE FUNCTION stacklens_internal.feed_since(since_epoch text, since_seq bigint, max_rows int)
RETURNS TABLE (epoch text, latest bigint, oldest bigint, seq bigint, message text) LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH place AS (
		SELECT e.epoch, CASE f.epoch WHEN e.epoch THEN f.seq ELSE 0 END AS latest
		FROM stacklens_internal.epoch() AS e (epoch), stacklens_internal.feed_state f
	)
	SELECT p.epoch, p.latest, COALESCE((SELECT min(f.seq) FROM stacklens.alert_feed f WHERE f.epoch = p.epoch), p.latest + 1),
		f.seq, jsonb_build_object('epoch', f.epoch, 'seq', f.seq, 'change', f.change, 'alert', f.alert)::text
	FROM place p LEFT JOIN LATERAL (SELECT * FROM stacklens.alert_feed g
		WHERE p.epoch = since_epoch AND g.epoch = p.epoch AND g.seq > since_seq ORDER BY g.seq LIMIT max_rows) f ON true
	ORDER BY f.seq;
END;

-- Rights -----------------------------------------------------------------------

CREATE FUNCTION stacklens.create_roles() RETURNS SETOF text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
	role text;
BEGIN
	FOREACH role IN ARRAY ARRAY['stacklens_reader', 'stacklens_operator', 'stacklens_admin', 'stacklens_ingest'] LOOP
		IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
			EXECUTE format('CREATE ROLE %I', role);
		END IF;
		EXECUTE format('GRANT USAGE ON SCHEMA stacklens TO %I', role);
		EXECUTE format('GRANT EXECUTE ON FUNCTION stacklens.version() TO %I', role);
		RETURN NEXT role;
	END LOOP;
	GRANT stacklens_reader TO stacklens_operator;
	GRANT stacklens_operator TO stacklens_admin;
	GRANT SELECT ON stacklens.rules, stacklens.logs, stacklens.dead_letters, stacklens.sources, stacklens.positions, stacklens.alerts,
		stacklens.alert_samples, stacklens.alert_comments, stacklens.alert_feed, stacklens.stat_workers, stacklens.stat_sources, stacklens.gaps,
		stacklens.sinks, stacklens.sink_positions, stacklens.stat_sinks,
		stacklens.logsources, stacklens.placeholders, stacklens.rule_history, stacklens.stat_rules, stacklens.stat_correlations,
		stacklens.stat_progress_backtest TO stacklens_reader;
	GRANT INSERT, UPDATE, DELETE ON stacklens.logsources, stacklens.placeholders TO stacklens_admin;
	-- called by views with the rights of whoever asks
	GRANT EXECUTE ON FUNCTION stacklens_internal.workers(), stacklens_internal.inbox_lag(text), stacklens_internal.ships(jsonb, text), stacklens_internal.incarnation(), stacklens_internal.reads_partition(jsonb, int),
		stacklens_internal.backtests() TO stacklens_reader;
	GRANT EXECUTE ON FUNCTION stacklens.search(text, timestamptz, timestamptz, int), stacklens.alert_logs(uuid, int),
		stacklens.health(), stacklens.metrics(), stacklens.match_rules(jsonb),
		stacklens.explain_rule(text, jsonb), stacklens.test_rule(text, jsonb), stacklens.export_rules(),
		stacklens.backtest_rule(text, timestamptz, timestamptz), stacklens.backtest_rule(jsonb, timestamptz, timestamptz) TO stacklens_reader;
	GRANT EXECUTE ON FUNCTION stacklens.acknowledge_alert(uuid, text), stacklens.resolve_alert(uuid, text),
		stacklens.assign_alert(uuid, text), stacklens.comment_alert(uuid, text) TO stacklens_operator;
	GRANT EXECUTE ON FUNCTION stacklens.create_rule(text, jsonb, text, text, text, boolean), stacklens.import_rules(text, text),
		stacklens.enable_rule(text), stacklens.disable_rule(text), stacklens.drop_rule(text),
		stacklens.create_kafka_source(text, text, text, text, text, jsonb, text, boolean), stacklens.pause_source(text),
		stacklens.alter_source(text, text, text, text, text, jsonb, boolean),
		stacklens.redrive(bigint[]), stacklens.redrive(jsonb), stacklens.discard(bigint[]), stacklens.discard(jsonb),
		stacklens.resume_source(text), stacklens.drop_source(text), stacklens.adopt_restore(),
		stacklens.create_elasticsearch_sink(text, text, text, jsonb), stacklens.alter_sink(text, text, text, jsonb), stacklens.pause_sink(text),
		stacklens.resume_sink(text), stacklens.drop_sink(text), stacklens.ship_inbox_again(text), stacklens.sink_template(text, boolean),
		-- its queries can ask for more than logs
		stacklens.search(jsonb, timestamptz, timestamptz, int) TO stacklens_admin;
	GRANT EXECUTE ON FUNCTION stacklens.ingest(jsonb), stacklens.ingest(text), stacklens.ingest(jsonb[]), stacklens.ingest_otlp(bytea, text) TO stacklens_ingest;
END
$$;
COMMENT ON FUNCTION stacklens.create_roles IS 'Makes the roles stacklens_reader, _operator, _admin and _ingest where they are missing, and grants them their rights; gives their names';

REVOKE ALL ON SCHEMA stacklens_internal FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA stacklens, stacklens_internal FROM PUBLIC;

-- What a dump keeps: all but logs, feed, changes, incarnation and the compiled rules.
SELECT pg_extension_config_dump('stacklens_internal.rules', '');
SELECT pg_extension_config_dump('stacklens_internal.rule_history', '');
SELECT pg_extension_config_dump('stacklens_internal.rule_stats', '');
SELECT pg_extension_config_dump('stacklens_internal.correlation_states', '');
SELECT pg_extension_config_dump('stacklens_internal.correlation_chunks', '');
SELECT pg_extension_config_dump('stacklens_internal.correlation_counts', '');
SELECT pg_extension_config_dump('stacklens.logsources', 'WHERE NOT builtin');
SELECT pg_extension_config_dump('stacklens.placeholders', '');
SELECT pg_extension_config_dump('stacklens_internal.sources', '');
SELECT pg_extension_config_dump('stacklens_internal.positions', '');
SELECT pg_extension_config_dump('stacklens_internal.sinks', '');
SELECT pg_extension_config_dump('stacklens_internal.sinks_version', '');
SELECT pg_extension_config_dump('stacklens_internal.logs_shipped', '');
SELECT pg_extension_config_dump('stacklens_internal.documents_again', '');
SELECT pg_extension_config_dump('stacklens_internal.documents_again_id_seq', '');
SELECT pg_extension_config_dump('stacklens_internal.gaps', '');
SELECT pg_extension_config_dump('stacklens_internal.gaps_id_seq', '');
SELECT pg_extension_config_dump('stacklens_internal.alerts', '');
SELECT pg_extension_config_dump('stacklens_internal.alert_tallies', '');
SELECT pg_extension_config_dump('stacklens.alert_samples', '');
SELECT pg_extension_config_dump('stacklens.alert_comments', '');
SELECT pg_extension_config_dump('stacklens.dead_letters', '');
SELECT pg_extension_config_dump('stacklens.dead_letters_id_seq', '');
SELECT pg_extension_config_dump('stacklens_internal.changes_id_seq', '');
SELECT pg_extension_config_dump('stacklens_internal.logs_id_seq', '');

SELECT stacklens_internal.wake('launcher');
