-- Rules that are asked: why, why not, and what they would have found.
\set SHOW_CONTEXT never
CREATE DATABASE asking ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c asking
SET client_min_messages = warning;
CREATE EXTENSION stacklens;
RESET client_min_messages;
SELECT name, kind, status FROM stacklens.import_rules($$
title: Failed login
name: failed
detection: {s: {event: login_failed}, condition: s}
---
title: Guessing
name: guessing
level: high
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 5m, condition: {gte: 3}}
---
title: Not the scanner
filter: {rules: [failed], s: {user: scanner}, condition: not s}
$$);
-- filters are part of the answer
SELECT node, field, operator, expected, actual, result FROM stacklens.explain_rule('failed', '{"event": "LOGIN_FAILED", "user": "scanner"}');
SELECT stacklens.test_rule('failed', '{"event": "login_failed", "user": "eve"}'), stacklens.test_rule('failed', '{"event": "login_failed", "user": "scanner"}');
-- what came near
SELECT stacklens.create_rule('near', match => '{"User": "eve", "host|cased": "Web", "n|gte": 5, "duration": 7, "path|re": "^/API"}') IS NOT NULL;
SELECT node, field, operator, expected, actual, result FROM stacklens.explain_rule('near', '{"user": "eve", "host": "web", "n": 4, "duration_ms": 7, "path": "/api"}');
-- backtests: of a detection, a correlation, and rules that aren't stored
SET client_min_messages = error;
SELECT count(stacklens.ingest(r)) FROM (SELECT jsonb_build_object('event', 'login_failed', 'user', u,
	'timestamp', '2026-11-24T10:00:00Z'::timestamptz + m * interval '1 minute') FROM (VALUES ('eve', 0), ('bob', 1), ('eve', 2), ('eve', 4), ('bob', 9), ('scanner', 3)) v (u, m)) t (r);
RESET client_min_messages;
SET timezone = 'UTC';
SELECT at, record -> 'attributes' ->> 'user' AS "user", group_values FROM stacklens.backtest_rule('failed', since => '2026-11-24 10:02', until => '2026-11-24 10:09');
SELECT at, group_values FROM stacklens.backtest_rule('guessing');
SELECT at FROM stacklens.backtest_rule('{"name": "new", "match": {"user|startswith": "b"}}'::jsonb);
SELECT at, group_values FROM stacklens.backtest_rule('{"title": "new", "correlation": {"type": "value_count", "rules": ["failed"], "timespan": "5m", "condition": {"field": "user", "gte": 2}}}'::jsonb);
SELECT * FROM stacklens.backtest_rule('nothing');
SELECT * FROM stacklens.backtest_rule('Not the scanner');
SELECT * FROM stacklens.backtest_rule('{"title": "new", "correlation": {"type": "value_count", "rules": ["nothing"], "timespan": "5m", "condition": {"field": "user", "gte": 2}}}'::jsonb);
SELECT * FROM stacklens.stat_progress_backtest;
-- what doesn't fit a question
SELECT * FROM stacklens.explain_rule('guessing', '{}');
SELECT stacklens.test_rule('nothing', '{}');
SELECT stacklens.test_rule('failed', '[]');
-- rules that others name
SELECT stacklens.drop_rule('failed');
SELECT stacklens.disable_rule('failed');
SELECT stacklens.enable_rule('failed');
SELECT stacklens.drop_rule('guessing'), stacklens.drop_rule('Not the scanner');
SELECT stacklens.drop_rule('failed');
SELECT rule, change FROM stacklens.rule_history ORDER BY at;
-- out and in again
SELECT status, count(*) FROM stacklens.import_rules(stacklens.export_rules()) GROUP BY 1;
-- what rules mean beyond their text
INSERT INTO stacklens.logsources (product, detection) VALUES ('shop', '{"service|startwith": "shop-"}');
INSERT INTO stacklens.logsources (detection) VALUES ('{"a": "b"}');
INSERT INTO stacklens.placeholders VALUES ('admins', '{"a": "b"}');
SELECT name, status, error FROM stacklens.import_rules('{"title": "Shop", "logsource": {"product": "shop"}, "detection": {"s": {"user|expand": "%admins%"}, "condition": "s"}}');
INSERT INTO stacklens.placeholders VALUES ('admins', '["root", "adm*"]');
SELECT name, status, error FROM stacklens.import_rules('{"title": "Shop", "logsource": {"product": "shop"}, "detection": {"s": {"user|expand": "%admins%"}, "condition": "s"}}');
SELECT name FROM stacklens.match_rules('{"user": "Admin"}');
INSERT INTO stacklens.logsources (product, detection) VALUES ('shop', '{"service|startswith": "shop-"}');
SELECT name FROM stacklens.match_rules('{"user": "Admin"}');
SELECT name FROM stacklens.match_rules('{"user": "Admin", "service": "shop-1"}');
-- the user's row comes before the built-in one
SELECT name, status FROM stacklens.import_rules('{"title": "Started", "logsource": {"product": "windows", "category": "process_creation"}, "detection": {"s": {"Image|endswith": ".exe"}, "condition": "s"}}');
SELECT name FROM stacklens.match_rules('{"Image": "a.exe"}');
INSERT INTO stacklens.logsources (product, category) VALUES ('windows', 'process_creation');
SELECT name FROM stacklens.match_rules('{"Image": "a.exe"}');
\c contrib_regression
DROP DATABASE asking;
