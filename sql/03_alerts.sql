-- From log to alert to feed, with the real workers.
\set SHOW_CONTEXT never
\pset null '∅'

-- Polls until a condition holds; says what was waited for in vain.
CREATE FUNCTION wait_for(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	holds boolean;
	give_up timestamptz := clock_timestamp() + '60 s';
BEGIN
	LOOP
		EXECUTE 'SELECT ' || condition INTO holds;
		IF holds THEN RETURN 'ok'; END IF;
		IF clock_timestamp() > give_up THEN RETURN 'in vain: ' || condition; END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
CREATE FUNCTION wait_for_records() RETURNS text LANGUAGE sql AS
	$$ SELECT wait_for('(SELECT lag = 0 AND state = ''running'' FROM stacklens.stat_sources WHERE name = ''inbox'')') $$;

SELECT wait_for('(SELECT count(*) = 4 FROM stacklens.stat_workers WHERE state = ''running'')');
SELECT kind, source, state, status, last_error FROM stacklens.stat_workers ORDER BY kind;
SELECT stacklens.create_rule('price', match => '{"error_code": "PRICE_MISSING"}', severity => 'high', issue_code => 'PRICE', message => 'a price is missing') IS NOT NULL AS made;

-- one alert for a service, whatever the number of records
SELECT stacklens.ingest(array_agg(jsonb_build_object('timestamp', '2025-01-15T10:00:00Z'::timestamptz + i * '1 s'::interval, 'service', 'cart',
	'error_code', 'PRICE_MISSING', 'n', i))) IS NOT NULL AS taken FROM generate_series(1, 25) i;
SELECT wait_for('(SELECT count = 25 FROM stacklens.alerts)');
SELECT issue_code, severity, message, status, count, first_seen AT TIME ZONE 'UTC' AS first_seen, last_seen AT TIME ZONE 'UTC' AS last_seen,
	service, rule, group_values, silenced, jira_issue_key, previous_id FROM stacklens.alerts;
SELECT count(*), min(record -> 'attributes' ->> 'n') AS n FROM stacklens.alert_samples;
SELECT stacklens.ingest('{"service": "cart", "error_code": "PRICE_MISSING", "timestamp": "2025-01-15T09:00:00Z"}') > 0 AS taken;
SELECT wait_for('(SELECT count = 26 FROM stacklens.alerts)');
SELECT first_seen AT TIME ZONE 'UTC' AS first_seen, last_seen AT TIME ZONE 'UTC' AS last_seen FROM stacklens.alerts;
SELECT count(*) FROM stacklens.alert_samples;

-- another service: another alert; none at all: a group of its own
SELECT stacklens.ingest('{"service": "shop", "error_code": "PRICE_MISSING"}') > 0 AS taken;
SELECT stacklens.ingest('{"error_code": "PRICE_MISSING"}') > 0 AS taken;
SELECT wait_for('(SELECT count(*) = 3 FROM stacklens.alerts)');
SELECT service, group_values, count FROM stacklens.alerts ORDER BY service;

-- operators
SELECT id AS cart FROM stacklens.alerts WHERE service = 'cart' \gset
SELECT stacklens.acknowledge_alert(:'cart', 'looking');
SELECT status, acknowledged_by = session_user AS by_me, acknowledged_at IS NOT NULL AS at FROM stacklens.alerts WHERE service = 'cart';
SELECT stacklens.ingest('{"service": "cart", "error_code": "PRICE_MISSING"}') > 0 AS taken;
SELECT wait_for('(SELECT count = 27 AND status = ''acknowledged'' FROM stacklens.alerts WHERE service = ''cart'')');
SELECT stacklens.resolve_alert(:'cart');
SELECT stacklens.resolve_alert(:'cart');
\set VERBOSITY sqlstate
SELECT stacklens.acknowledge_alert(:'cart');
\set VERBOSITY default
SELECT stacklens.acknowledge_alert('00000000-0000-0000-0000-000000000000');
SELECT stacklens.acknowledge_alert(NULL);
-- a match after that opens a new one, which names the old
SELECT stacklens.ingest('{"service": "cart", "error_code": "PRICE_MISSING"}') > 0 AS taken;
SELECT wait_for('(SELECT count(*) = 2 FROM stacklens.alerts WHERE service = ''cart'')');
SELECT status, count, previous_id = :'cart' AS names_the_old FROM stacklens.alerts WHERE service = 'cart' ORDER BY created_at;

-- the feed: every change, numbered without holes, each alert opened once
SELECT wait_for('NOT EXISTS (SELECT FROM stacklens_internal.changes)');
SELECT count(*) = max(seq) AND min(seq) = 1 AS dense FROM stacklens.alert_feed;
SELECT alert ->> 'service' AS service, change, count(*) FROM stacklens.alert_feed WHERE change <> 'updated' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) > 0 AS updated FROM stacklens.alert_feed WHERE change = 'updated';

-- a rule is in force for what is ingested after its commit; and no longer, once it is dropped
SELECT stacklens.create_rule('new', match => '{"message|startswith": "new"}') IS NOT NULL AS made;
SELECT stacklens.ingest('{"service": "n", "message": "newest"}') > 0 AS taken;
SELECT wait_for('EXISTS (SELECT FROM stacklens.alerts WHERE rule = ''new'')');
SELECT stacklens.drop_rule('new');
SELECT stacklens.ingest('{"service": "n2", "message": "newest"}') > 0 AS taken;
SELECT stacklens.ingest('{"service": "n3", "error_code": "PRICE_MISSING"}') > 0 AS taken;
SELECT wait_for('EXISTS (SELECT FROM stacklens.alerts WHERE service = ''n3'')');
SELECT count(*) FROM stacklens.alerts WHERE rule = 'new';

-- suppress.by, labels, and values that could be taken for one another
SELECT name, status FROM stacklens.import_rules($$
title: by two
detection: {s: {kind: two}, condition: s}
stacklens:
  suppress: {by: [a, b]}
  labels: {team: core}
$$);
SELECT cardinality(stacklens.ingest(ARRAY['{"kind": "two", "a": "xy", "b": ""}', '{"kind": "two", "a": "x", "b": "y"}', '{"kind": "two", "a": "xy"}', '{"kind": "two", "a": "xy", "b": ""}']::jsonb[])) AS taken;
SELECT wait_for('(SELECT sum(count) = 4 FROM stacklens.alerts WHERE rule = ''by two'')');
SELECT group_values, count, labels FROM stacklens.alerts WHERE rule = 'by two' ORDER BY group_values::text;

-- an operator's open transaction does not stop the evaluator (two sessions: see test/t), nor does a huge record
SELECT stacklens.ingest(jsonb_build_object('service', 'huge', 'error_code', 'PRICE_MISSING', 'message', repeat('ä', 2000000))) > 0 AS taken;
SELECT wait_for('EXISTS (SELECT FROM stacklens.alerts WHERE service = ''huge'')');
SELECT length(message) FROM stacklens.alerts WHERE service = 'huge';
SELECT length(record ->> 'message') < 2100 AS cut, record -> 'attributes' FROM stacklens.alert_samples s JOIN stacklens.alerts a ON a.id = s.alert_id WHERE service = 'huge';
SELECT wait_for_records();
SELECT part, status FROM stacklens.health() WHERE part NOT IN ('connections');
