\echo Use "CREATE EXTENSION stacklens" to load this file. \quit

DO $$
BEGIN
	IF current_setting('server_encoding') <> 'UTF8' THEN
		RAISE EXCEPTION 'stacklens needs a database whose encoding is UTF8'
			USING ERRCODE = 'feature_not_supported',
				  HINT = 'Create one with CREATE DATABASE … ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
END
$$;

CREATE SCHEMA stacklens;
CREATE SCHEMA stacklens_internal;
COMMENT ON SCHEMA stacklens IS 'Log alerting: what users call and read';
COMMENT ON SCHEMA stacklens_internal IS 'Private to the extension stacklens';

-- Who this database is: not dumped, so a restored copy gets its own.
CREATE TABLE stacklens_internal.incarnation (id uuid NOT NULL DEFAULT gen_random_uuid(), term int NOT NULL DEFAULT 1);
INSERT INTO stacklens_internal.incarnation DEFAULT VALUES;

CREATE FUNCTION stacklens_internal.epoch() RETURNS text LANGUAGE sql STABLE
RETURN (SELECT replace(left(id::text, 13), '-', '') || '.' || term FROM stacklens_internal.incarnation);

-- Rules ---------------------------------------------------------------------

CREATE TABLE stacklens_internal.rules (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	name text NOT NULL UNIQUE,
	title text NOT NULL,
	enabled boolean NOT NULL DEFAULT true,
	severity text NOT NULL,
	issue_code text NOT NULL,
	definition jsonb NOT NULL,
	origin text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
-- Raised by every change of a rule; what tells workers to read them again.
CREATE TABLE stacklens_internal.rules_version (version bigint NOT NULL);
INSERT INTO stacklens_internal.rules_version VALUES (1);

CREATE VIEW stacklens.rules AS
	SELECT name, id, title, 'detection'::text AS kind, enabled, severity, issue_code, definition,
		   origin, created_at, updated_at, NULL::text AS error
	FROM stacklens_internal.rules;
COMMENT ON VIEW stacklens.rules IS 'The rules that every record is judged by';

CREATE FUNCTION stacklens_internal.wake(worker text) RETURNS void
	AS 'MODULE_PATHNAME', 'stacklens_wake' LANGUAGE C STRICT;
CREATE FUNCTION stacklens_internal.read_rules(document text, OUT name text, OUT id uuid, OUT title text,
	OUT severity text, OUT issue_code text, OUT logsource text, OUT definition text, OUT sqlstate text,
	OUT error text, OUT detail text, OUT hint text, OUT line int, OUT col int) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_read_rules' LANGUAGE C STRICT STABLE;
COMMENT ON FUNCTION stacklens_internal.read_rules IS 'A row for each rule of a YAML or JSON text: read, or refused with the reason and its place';

CREATE FUNCTION stacklens_internal.rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE stacklens_internal.rules_version SET version = version + 1;
	RETURN NULL;
END
$$;
CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON stacklens_internal.rules
	FOR EACH STATEMENT EXECUTE FUNCTION stacklens_internal.rules_changed();

CREATE FUNCTION stacklens.import_rules(document text, origin text DEFAULT NULL)
RETURNS TABLE (name text, id uuid, kind text, status text, error text, line int, col int)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	r record;
	old stacklens_internal.rules;
	def jsonb;
	rule_name text;
BEGIN
	FOR r IN SELECT * FROM stacklens_internal.read_rules(document) LOOP
		IF r.error IS NOT NULL THEN
			RETURN QUERY SELECT r.name, r.id, 'detection'::text, 'rejected'::text,
				r.error || COALESCE(' (' || r.hint || ')', ''), r.line, r.col;
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
		IF old.id IS NULL THEN
			INSERT INTO stacklens_internal.rules (id, name, title, severity, issue_code, definition, origin)
			VALUES (COALESCE(r.id, gen_random_uuid()), rule_name, r.title, r.severity, r.issue_code, def, origin)
			RETURNING rules.id INTO r.id;
			RETURN QUERY SELECT rule_name, r.id, 'detection'::text, 'created'::text, NULL::text, r.line, r.col;
		ELSIF old.definition = def AND old.severity = r.severity AND old.issue_code = r.issue_code THEN
			RETURN QUERY SELECT old.name, old.id, 'detection'::text, 'unchanged'::text, NULL::text, r.line, r.col;
		ELSE
			UPDATE stacklens_internal.rules t SET title = r.title, severity = r.severity,
				issue_code = r.issue_code, definition = def, updated_at = now()
			WHERE t.id = old.id;
			RETURN QUERY SELECT old.name, old.id, 'detection'::text, 'replaced'::text, NULL::text, r.line, r.col;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION stacklens.import_rules IS 'Stores the rules of a YAML or JSON text; a bad one is reported and does not stop the rest';

CREATE FUNCTION stacklens.create_rule(name text, match jsonb, severity text DEFAULT 'medium',
	issue_code text DEFAULT NULL, message text DEFAULT NULL, enabled boolean DEFAULT true)
RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	short jsonb := jsonb_strip_nulls(jsonb_build_object('name', name, 'severity', severity,
		'issue_code', issue_code, 'message', message)) || jsonb_build_object('match', match);
	r record;
	result uuid;
BEGIN
	IF name IS NULL OR match IS NULL THEN
		RAISE EXCEPTION 'a rule needs a name and a match' USING ERRCODE = 'null_value_not_allowed',
			HINT = 'For example: SELECT stacklens.create_rule(''PRICE_MISSING'', match => ''{"error_code": "PRICE_MISSING"}'');';
	END IF;
	SELECT * INTO STRICT r FROM stacklens_internal.read_rules(short::text);
	IF r.error IS NOT NULL THEN
		RAISE EXCEPTION '%', r.error USING ERRCODE = r.sqlstate,
			DETAIL = COALESCE(r.detail, format('In rule "%s".', name)), HINT = COALESCE(r.hint, '');
	END IF;
	INSERT INTO stacklens_internal.rules AS t (name, title, severity, issue_code, definition, enabled)
	VALUES (r.name, r.title, r.severity, r.issue_code, r.definition::jsonb, enabled)
	ON CONFLICT DO NOTHING RETURNING t.id INTO result;
	IF result IS NULL THEN
		RAISE EXCEPTION 'rule "%" already exists', name USING ERRCODE = 'duplicate_object',
			HINT = 'Drop it first with SELECT stacklens.drop_rule(…), or replace it with stacklens.import_rules().';
	END IF;
	RETURN result;
END
$$;
COMMENT ON FUNCTION stacklens.create_rule(text, jsonb, text, text, text, boolean) IS 'Makes a rule of one Sigma selection; gives its id';

CREATE FUNCTION stacklens_internal.no_rule(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'rule "%" does not exist', name USING ERRCODE = 'undefined_object',
		HINT = 'SELECT name FROM stacklens.rules lists them.';
END
$$;
CREATE FUNCTION stacklens.enable_rule(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE stacklens_internal.rules r SET enabled = true, updated_at = now() WHERE r.name = enable_rule.name;
	IF NOT FOUND THEN PERFORM stacklens_internal.no_rule(name); END IF;
END
$$;
CREATE FUNCTION stacklens.disable_rule(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE stacklens_internal.rules r SET enabled = false, updated_at = now() WHERE r.name = disable_rule.name;
	IF NOT FOUND THEN PERFORM stacklens_internal.no_rule(name); END IF;
END
$$;
CREATE FUNCTION stacklens.drop_rule(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM stacklens_internal.rules r WHERE r.name = drop_rule.name;
	IF NOT FOUND THEN PERFORM stacklens_internal.no_rule(name); END IF;
END
$$;
COMMENT ON FUNCTION stacklens.enable_rule IS 'Lets a rule judge records again';
COMMENT ON FUNCTION stacklens.disable_rule IS 'Keeps a rule, without letting it judge records';
COMMENT ON FUNCTION stacklens.drop_rule IS 'Removes a rule; its alerts stay';

CREATE FUNCTION stacklens_internal.match(record text) RETURNS SETOF uuid
	AS 'MODULE_PATHNAME', 'stacklens_match' LANGUAGE C STRICT STABLE;
CREATE FUNCTION stacklens.match_rules(record jsonb) RETURNS TABLE (name text, id uuid, severity text)
LANGUAGE sql STABLE AS $$
	SELECT r.name, r.id, r.severity FROM stacklens_internal.rules r
	WHERE r.id IN (SELECT stacklens_internal.match(record::text)) ORDER BY 1
$$;
COMMENT ON FUNCTION stacklens.match_rules IS 'The enabled rules that are true of a record; stores nothing';

-- Logs ----------------------------------------------------------------------

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
CREATE TABLE stacklens_internal.logs_default PARTITION OF stacklens.logs DEFAULT;
COMMENT ON TABLE stacklens.logs IS 'Log records taken in without Kafka: the evaluator''s inbox, and what search reads';

CREATE FUNCTION stacklens_internal.logs_arrived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM stacklens_internal.wake('evaluator');
	RETURN NULL;
END
$$;
CREATE TRIGGER logs_arrived AFTER INSERT ON stacklens.logs
	FOR EACH STATEMENT EXECUTE FUNCTION stacklens_internal.logs_arrived();

CREATE FUNCTION stacklens_internal.ingest(body bytea, format text) RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'stacklens_ingest' LANGUAGE C STRICT;
COMMENT ON FUNCTION stacklens_internal.ingest IS 'Stores the records of one message, all or none; gives their ids';

CREATE FUNCTION stacklens.ingest(record jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	IF jsonb_typeof(record) <> 'object' THEN
		RAISE EXCEPTION 'a record is a JSON object, not %', jsonb_typeof(record) USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN (stacklens_internal.ingest(convert_to(record::text, 'UTF8'), 'json'))[1];
END
$$;
CREATE FUNCTION stacklens.ingest(records jsonb[]) RETURNS bigint[] LANGUAGE sql AS $$
	SELECT array_agg(stacklens.ingest(r) ORDER BY n) FROM unnest(records) WITH ORDINALITY AS t (r, n)
$$;
COMMENT ON FUNCTION stacklens.ingest(jsonb) IS 'Takes in one log record; gives its id';
COMMENT ON FUNCTION stacklens.ingest(jsonb[]) IS 'Takes in log records, all or none; gives their ids';

CREATE FUNCTION stacklens.ingest_otlp(body bytea, content_type text, OUT accepted bigint, OUT rejected bigint, OUT message text)
LANGUAGE plpgsql AS $$
DECLARE
	kind text := split_part(content_type, ';', 1);
BEGIN
	rejected := 0;
	IF kind NOT IN ('application/json', 'application/x-protobuf') THEN
		RAISE EXCEPTION 'content type "%" is not one of OTLP''s', content_type USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Send application/json or application/x-protobuf.';
	END IF;
	IF kind = 'application/x-protobuf' AND length(body) = 0 THEN
		accepted := 0;			-- a request without records is a request
	ELSE
		accepted := COALESCE(array_length(stacklens_internal.ingest(body,
			CASE kind WHEN 'application/json' THEN 'otlp_json' ELSE 'otlp_proto' END), 1), 0);
	END IF;
END
$$;
COMMENT ON FUNCTION stacklens.ingest_otlp IS 'Takes in an OTLP ExportLogsServiceRequest, whole or not at all';

-- The evaluator's place in the inbox: rows that to_snapshot sees and
-- from_snapshot doesn't, after (last_xid, last_id).
CREATE TABLE stacklens_internal.inbox_position (
	from_snapshot pg_snapshot NOT NULL,
	to_snapshot pg_snapshot NOT NULL,
	last_xid xid8 NOT NULL,
	last_id bigint NOT NULL,
	exhausted boolean NOT NULL,
	records bigint NOT NULL DEFAULT 0,
	updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO stacklens_internal.inbox_position VALUES (pg_current_snapshot(), pg_current_snapshot(), '0', 0, true);

CREATE FUNCTION stacklens_internal.inbox_take(max_rows int)
RETURNS TABLE (id bigint, at timestamptz, record text, resource text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	p stacklens_internal.inbox_position;
	r record;
	n int := 0;
BEGIN
	SELECT * INTO STRICT p FROM stacklens_internal.inbox_position;
	IF p.exhausted THEN
		p.from_snapshot := p.to_snapshot;
		p.to_snapshot := pg_current_snapshot();
		p.last_xid := '0';
		p.last_id := 0;
	END IF;
	FOR r IN
		SELECT * FROM (
			(SELECT l.* FROM stacklens.logs l
			 WHERE l.xid >= pg_snapshot_xmax(p.from_snapshot) AND l.xid < pg_snapshot_xmax(p.to_snapshot)
				AND (l.xid, l.id) > (p.last_xid, p.last_id) AND pg_visible_in_snapshot(l.xid, p.to_snapshot)
			 ORDER BY l.xid, l.id LIMIT max_rows)
			UNION ALL
			(SELECT l.* FROM stacklens.logs l
			 WHERE l.xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.from_snapshot)))
				AND (l.xid, l.id) > (p.last_xid, p.last_id) AND pg_visible_in_snapshot(l.xid, p.to_snapshot)
			 ORDER BY l.xid, l.id LIMIT max_rows)
		) page ORDER BY xid, id LIMIT max_rows
	LOOP
		n := n + 1;
		p.last_xid := r.xid;
		p.last_id := r.id;
		id := r.id;
		at := r.timestamp;
		record := (r.attributes || jsonb_strip_nulls(jsonb_build_object('service', r.service, 'level', r.level,
			'message', r.message, 'trace_id', r.trace_id, 'span_id', r.span_id, 'request_id', r.request_id,
			'error_code', r.error_code, 'severity_number', r.severity_number)))::text;
		resource := r.resource::text;
		RETURN NEXT;
	END LOOP;
	IF n > 0 OR NOT p.exhausted THEN
		UPDATE stacklens_internal.inbox_position SET from_snapshot = p.from_snapshot, to_snapshot = p.to_snapshot,
			last_xid = p.last_xid, last_id = p.last_id, exhausted = n < max_rows,
			records = records + n, updated_at = clock_timestamp();
	END IF;
END
$$;

CREATE TABLE stacklens.dead_letters (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT now(),
	origin jsonb NOT NULL,
	reason text NOT NULL,
	sqlstate text NOT NULL,
	payload bytea,
	headers jsonb
);
COMMENT ON TABLE stacklens.dead_letters IS 'What could not be decoded or judged: its bytes, where it came from and why';

-- Alerts --------------------------------------------------------------------
-- What operators change and what evaluators count are different rows, so
-- that an operator's open transaction stops no evaluator.

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
	previous_id uuid
);
CREATE UNIQUE INDEX alerts_open ON stacklens_internal.alerts (fingerprint) WHERE status <> 'resolved';
CREATE INDEX alerts_fingerprint ON stacklens_internal.alerts (fingerprint, created_at);
CREATE INDEX alerts_created ON stacklens_internal.alerts (created_at);
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
COMMENT ON TABLE stacklens.alert_samples IS 'The records that opened an alert, at most ten of each';

CREATE VIEW stacklens.alerts AS
	SELECT a.id, a.issue_code, a.severity, a.message, a.created_at, a.status, t.count, t.first_seen, t.last_seen,
		   a.service, a.rule, a.fingerprint, a.labels, a.group_values, a.acknowledged_by, a.acknowledged_at,
		   a.assignee, a.resolved_by, a.resolved_at, false AS silenced, NULL::text AS jira_issue_key, a.previous_id
	FROM stacklens_internal.alerts a JOIN stacklens_internal.alert_tallies t ON t.alert_id = a.id;
COMMENT ON VIEW stacklens.alerts IS 'Alerts, one open one for each fingerprint (rule and group)';

-- Changes wait here until the notifier numbers them: nobody else waits for a counter.
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
CREATE TABLE stacklens_internal.feed_state (seq bigint NOT NULL);
INSERT INTO stacklens_internal.feed_state VALUES (0);
COMMENT ON TABLE stacklens.alert_feed IS 'Every change of an alert, densely numbered in the order of their commits';

CREATE FUNCTION stacklens_internal.raise_alerts(matches jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	m record;
	open_id uuid;
BEGIN
	FOR m IN SELECT * FROM jsonb_to_recordset(matches) AS t (fingerprint text, rule_id uuid, rule text,
		issue_code text, severity text, message text, service text, labels jsonb, group_values jsonb,
		n bigint, first_seen timestamptz, last_seen timestamptz, samples jsonb) ORDER BY fingerprint
	LOOP
		-- by MVCC and without a lock: an operator's open transaction is not waited for
		SELECT id INTO open_id FROM stacklens_internal.alerts a
		WHERE a.fingerprint = m.fingerprint AND a.status <> 'resolved';
		IF open_id IS NULL THEN
			INSERT INTO stacklens_internal.alerts (fingerprint, rule_id, rule, issue_code, severity, message, service, labels,
				group_values, previous_id)
			VALUES (m.fingerprint, m.rule_id, m.rule, m.issue_code, m.severity, m.message, m.service,
				COALESCE(m.labels, '{}'), m.group_values,
				(SELECT a.id FROM stacklens_internal.alerts a WHERE a.fingerprint = m.fingerprint ORDER BY created_at DESC LIMIT 1))
			RETURNING id INTO open_id;
			INSERT INTO stacklens_internal.alert_tallies VALUES (open_id, m.n, m.first_seen, m.last_seen);
			INSERT INTO stacklens.alert_samples SELECT open_id, (s ->> 'at')::timestamptz, s -> 'record'
				FROM jsonb_array_elements(m.samples) s;
			INSERT INTO stacklens_internal.changes (alert_id, change) VALUES (open_id, 'opened');
		ELSE
			UPDATE stacklens_internal.alert_tallies t SET count = t.count + m.n,
				first_seen = least(t.first_seen, m.first_seen), last_seen = greatest(t.last_seen, m.last_seen)
			WHERE t.alert_id = open_id;
			INSERT INTO stacklens_internal.changes (alert_id, change) VALUES (open_id, 'updated');
		END IF;
	END LOOP;
	PERFORM stacklens_internal.wake('notifier');
END
$$;

-- Numbers what has been committed and tells listeners; the notifier alone calls it.
CREATE FUNCTION stacklens_internal.publish(with_updated boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	last bigint;
	n bigint;
	this_epoch text := stacklens_internal.epoch();
BEGIN
	IF NOT EXISTS (SELECT FROM stacklens_internal.changes WHERE with_updated OR change <> 'updated') THEN
		RETURN 0;
	END IF;
	SELECT seq INTO last FROM stacklens_internal.feed_state;
	WITH taken AS (
		DELETE FROM stacklens_internal.changes WHERE with_updated OR change <> 'updated' RETURNING id, alert_id, change
	), once AS (
		SELECT min(id) AS id, alert_id, change FROM taken GROUP BY alert_id, change, CASE WHEN change <> 'updated' THEN id END
	)
	INSERT INTO stacklens.alert_feed (epoch, seq, alert_id, change, alert)
	SELECT this_epoch, last + row_number() OVER (ORDER BY o.id), o.alert_id, o.change, to_jsonb(a)
	FROM once o JOIN stacklens.alerts a ON a.id = o.alert_id;
	GET DIAGNOSTICS n = ROW_COUNT;
	IF n > 0 THEN
		UPDATE stacklens_internal.feed_state SET seq = last + n;
		PERFORM pg_notify('stacklens_feed', this_epoch || ':' || (last + n));
	END IF;
	RETURN n;
END
$$;

CREATE FUNCTION stacklens_internal.change_alert(id uuid, new_status text, note text, change text) RETURNS jsonb LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	old text;
BEGIN
	SELECT a.status INTO old FROM stacklens_internal.alerts a WHERE a.id = id FOR NO KEY UPDATE;
	IF old IS NULL THEN
		RAISE EXCEPTION 'alert % does not exist', id USING ERRCODE = 'no_data_found',
			HINT = 'SELECT id, issue_code FROM stacklens.alerts lists them.';
	END IF;
	IF old = 'resolved' AND new_status <> 'resolved' THEN
		RAISE EXCEPTION 'alert % is resolved already', id USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'A new match will open a new alert.';
	END IF;
	IF old <> new_status THEN
		UPDATE stacklens_internal.alerts a SET status = new_status, note = COALESCE(change_alert.note, a.note),
			acknowledged_by = CASE change WHEN 'acknowledged' THEN session_user::text ELSE a.acknowledged_by END,
			acknowledged_at = CASE change WHEN 'acknowledged' THEN now() ELSE a.acknowledged_at END,
			resolved_by = CASE change WHEN 'resolved' THEN session_user::text ELSE a.resolved_by END,
			resolved_at = CASE change WHEN 'resolved' THEN now() ELSE a.resolved_at END
		WHERE a.id = id;
		INSERT INTO stacklens_internal.changes (alert_id, change) VALUES (id, change);
		PERFORM stacklens_internal.wake('notifier');
	END IF;
	RETURN (SELECT to_jsonb(a) FROM stacklens.alerts a WHERE a.id = id);
END
$$;
CREATE FUNCTION stacklens.acknowledge_alert(id uuid, note text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ SELECT stacklens_internal.change_alert(id, 'acknowledged', note, 'acknowledged') $$;
CREATE FUNCTION stacklens.resolve_alert(id uuid, note text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ SELECT stacklens_internal.change_alert(id, 'resolved', note, 'resolved') $$;
COMMENT ON FUNCTION stacklens.acknowledge_alert IS 'Says that somebody looks after an alert';
COMMENT ON FUNCTION stacklens.resolve_alert IS 'Closes an alert; the next match opens a new one';

-- State ---------------------------------------------------------------------

CREATE FUNCTION stacklens_internal.workers(OUT kind text, OUT pid int, OUT state text, OUT started_at timestamptz,
	OUT restarts int, OUT last_error text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'stacklens_workers' LANGUAGE C;
CREATE VIEW stacklens.stat_workers AS SELECT * FROM stacklens_internal.workers();
COMMENT ON VIEW stacklens.stat_workers IS 'The background workers: state, and the last error of each';

CREATE FUNCTION stacklens.version() RETURNS text LANGUAGE sql STABLE AS
	$$ SELECT extversion FROM pg_extension WHERE extname = 'stacklens' $$;
COMMENT ON FUNCTION stacklens.version IS 'The version of the extension in this database';

CREATE FUNCTION stacklens.health() RETURNS TABLE (part text, status text, value text, warning text, critical text, hint text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	lag bigint;
	position stacklens_internal.inbox_position;
	down text;
BEGIN
	part := 'postgresql'; status := 'ok'; value := current_setting('server_version');
	RETURN NEXT;
	SELECT string_agg(w.kind || COALESCE(': ' || w.last_error, ''), '; ') INTO down FROM stacklens.stat_workers w WHERE w.state <> 'running';
	part := 'workers'; value := (SELECT count(*) FROM stacklens.stat_workers w WHERE w.state = 'running')::text || ' running';
	status := 'ok';
	IF NOT EXISTS (SELECT FROM stacklens.stat_workers) THEN
		status := 'critical';
		hint := 'Set shared_preload_libraries = ''stacklens'' and stacklens.database, and restart the server.';
	ELSIF down IS NOT NULL THEN
		status := 'critical'; hint := 'Not running: ' || down;
	END IF;
	RETURN NEXT;
	SELECT * INTO position FROM stacklens_internal.inbox_position;
	SELECT count(*) INTO lag FROM (SELECT FROM stacklens.logs l
		WHERE l.xid >= pg_snapshot_xmax(position.to_snapshot) LIMIT 1001) t;
	part := 'inbox lag'; value := lag::text; warning := '100'; critical := '1000'; hint := NULL;
	status := CASE WHEN lag > 1000 THEN 'critical' WHEN lag > 100 THEN 'warning' ELSE 'ok' END;
	RETURN NEXT;
	part := 'dead letters'; value := (SELECT count(*) FROM stacklens.dead_letters)::text; warning := '0'; critical := NULL;
	status := CASE WHEN value = '0' THEN 'ok' ELSE 'warning' END;
	hint := CASE WHEN value <> '0' THEN 'SELECT id, origin, reason FROM stacklens.dead_letters says why.' END;
	RETURN NEXT;
	part := 'kafka'; value := NULL; status := 'off'; warning := NULL; hint := NULL;
	RETURN NEXT;
	part := 'elasticsearch';
	RETURN NEXT;
	part := 'jira';
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION stacklens.health IS 'Each part with its state and what to do; thresholds are the runbook''s';

-- What the gateway's routes call --------------------------------------------

CREATE FUNCTION stacklens_internal.gateway_health() RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT jsonb_build_object('status', CASE WHEN bool_or(status = 'critical') THEN 'critical'
			WHEN bool_or(status = 'warning') THEN 'warning' ELSE 'ok' END,
		'parts', jsonb_agg(jsonb_strip_nulls(to_jsonb(h)))) FROM stacklens.health() h
$$;
CREATE FUNCTION stacklens_internal.gateway_ingest(body bytea, content_type text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('accepted', COALESCE(array_length(stacklens_internal.ingest(body, 'json'), 1), 0))
$$;
CREATE FUNCTION stacklens_internal.gateway_alerts(max_rows int, since timestamptz, wanted_status text, wanted_severity text,
	wanted_service text, wanted_rule text, q text) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY t.created_at DESC, t.id), '[]') FROM (
		SELECT * FROM stacklens.alerts a
		WHERE (since IS NULL OR a.created_at >= since) AND (wanted_status IS NULL OR a.status = wanted_status)
			AND (wanted_severity IS NULL OR a.severity = wanted_severity)
			AND (wanted_service IS NULL OR a.service = wanted_service) AND (wanted_rule IS NULL OR a.rule = wanted_rule)
			AND (q IS NULL OR position(lower(q) IN lower(concat_ws(' ', a.message, a.issue_code, a.service, a.rule))) > 0)
		ORDER BY a.created_at DESC, a.id LIMIT least(greatest(COALESCE(max_rows, 100), 0), 1000)) t
$$;
CREATE FUNCTION stacklens_internal.gateway_alert(wanted uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
	SELECT to_jsonb(a) || jsonb_build_object('samples', (SELECT COALESCE(jsonb_agg(jsonb_build_object('at', s.at, 'record', s.record)
		ORDER BY s.at), '[]') FROM stacklens.alert_samples s WHERE s.alert_id = a.id)) FROM stacklens.alerts a WHERE a.id = wanted
$$;
CREATE FUNCTION stacklens_internal.gateway_acknowledge(id uuid, body text) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT stacklens_internal.change_alert(id, 'acknowledged', body::jsonb ->> 'note', 'acknowledged') $$;
CREATE FUNCTION stacklens_internal.gateway_resolve(id uuid, body text) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT stacklens_internal.change_alert(id, 'resolved', body::jsonb ->> 'note', 'resolved') $$;
CREATE FUNCTION stacklens_internal.gateway_rules() RETURNS jsonb LANGUAGE sql STABLE AS
	$$ SELECT COALESCE(jsonb_agg(to_jsonb(r) ORDER BY r.name), '[]') FROM stacklens.rules r $$;
CREATE FUNCTION stacklens_internal.gateway_metrics() RETURNS text LANGUAGE sql STABLE AS $$
	SELECT format(E'# TYPE stacklens_alerts gauge\n%s# TYPE stacklens_inbox_records counter\nstacklens_inbox_records_total %s\n# EOF\n',
		(SELECT string_agg(format(E'stacklens_alerts{status="%s"} %s\n', s, (SELECT count(*) FROM stacklens_internal.alerts a WHERE a.status = s)), '')
		 FROM unnest(ARRAY['open', 'acknowledged', 'resolved']) s), (SELECT records FROM stacklens_internal.inbox_position))
$$;
CREATE FUNCTION stacklens_internal.feed_since(since_epoch text, since_seq bigint, max_rows int)
RETURNS TABLE (epoch text, latest bigint, oldest bigint, seq bigint, message text) LANGUAGE sql STABLE AS $$
	WITH place AS (
		SELECT stacklens_internal.epoch() AS epoch, (SELECT s.seq FROM stacklens_internal.feed_state s) AS latest
	)
	SELECT p.epoch, p.latest, COALESCE((SELECT min(f.seq) FROM stacklens.alert_feed f WHERE f.epoch = p.epoch), p.latest + 1),
		f.seq, jsonb_build_object('epoch', f.epoch, 'seq', f.seq, 'change', f.change, 'alert', f.alert)::text
	FROM place p LEFT JOIN LATERAL (SELECT * FROM stacklens.alert_feed g
		WHERE p.epoch = since_epoch AND g.epoch = p.epoch AND g.seq > since_seq ORDER BY g.seq LIMIT max_rows) f ON true
	ORDER BY f.seq
$$;

-- What a dump keeps: all but logs, feed, changes and incarnation.
SELECT pg_extension_config_dump('stacklens_internal.rules', ''), pg_extension_config_dump('stacklens_internal.alerts', ''),
	pg_extension_config_dump('stacklens_internal.alert_tallies', ''), pg_extension_config_dump('stacklens.alert_samples', ''),
	pg_extension_config_dump('stacklens.dead_letters', ''), pg_extension_config_dump('stacklens.dead_letters_id_seq', ''),
	pg_extension_config_dump('stacklens_internal.logs_id_seq', '');

REVOKE ALL ON SCHEMA stacklens_internal FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA stacklens, stacklens_internal FROM PUBLIC;
SELECT stacklens_internal.wake('launcher');
