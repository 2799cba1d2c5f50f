-- Roles, comments, sources, and what needs workers.
\set SHOW_CONTEXT never
\pset null '∅'

SELECT * FROM stacklens.create_roles();
SELECT count(*) FROM stacklens.create_roles();

CREATE ROLE regress_reader LOGIN IN ROLE stacklens_reader;
CREATE ROLE regress_operator LOGIN IN ROLE stacklens_operator;
CREATE ROLE regress_admin LOGIN IN ROLE stacklens_admin;
CREATE ROLE regress_ingest LOGIN IN ROLE stacklens_ingest;
CREATE ROLE regress_nobody LOGIN;
SELECT id AS shop FROM stacklens.alerts WHERE service = 'shop' \gset

SET SESSION AUTHORIZATION regress_nobody;
SELECT count(*) FROM stacklens.alerts;
SELECT stacklens.ingest('{"message": "x"}');
SET SESSION AUTHORIZATION regress_ingest;
SELECT stacklens.ingest('{"message": "x"}') > 0 AS taken;
SELECT count(*) FROM stacklens.alerts;
SET SESSION AUTHORIZATION regress_reader;
SELECT count(*) > 0 AS reads FROM stacklens.alerts;
SELECT count(*) > 0 AS reads FROM stacklens.health();
SELECT count(*) > 0 AS reads FROM stacklens.stat_workers;
SELECT count(*) > 0 AS reads FROM stacklens.stat_sources;
SELECT state, lag >= 0 AS lag FROM stacklens.stat_sources;
SELECT count(*) AS reads FROM stacklens.gaps;
SELECT count(*) AS reads FROM stacklens.sources;
SELECT name FROM stacklens.match_rules('{"error_code": "PRICE_MISSING"}');
SELECT stacklens.metrics() LIKE '%stacklens_alerts{status="open"}%# EOF%' AS metrics;
SELECT stacklens.acknowledge_alert(:'shop');
SELECT * FROM stacklens_internal.rules;
SET SESSION AUTHORIZATION regress_operator;
SELECT stacklens.acknowledge_alert(:'shop');
SELECT acknowledged_by FROM stacklens.alerts WHERE service = 'shop';
SELECT stacklens.create_rule('x', match => '{"a": 1}');
SET SESSION AUTHORIZATION regress_admin;
SELECT stacklens.create_rule('x', match => '{"a": 1}') IS NOT NULL AS made;
SELECT stacklens.drop_rule('x');
RESET SESSION AUTHORIZATION;

-- sources: what is refused
SELECT stacklens.create_kafka_source('', 'b:1', 't');
SELECT stacklens.create_kafka_source('inbox', 'b:1', 't');
SELECT stacklens.create_kafka_source('s', 'b:1', 't', format => 'xml');
SELECT stacklens.create_kafka_source('s', 'b:1', 't', start => 'middle');
SELECT stacklens.create_kafka_source('s', 'user:password@b:1', 't');
SELECT stacklens.create_kafka_source('s', 'b:1', 't', options => '[]');
SELECT stacklens.create_kafka_source('s', 'b:1', 't', options => '{"group.id": "x"}');
SELECT stacklens.create_kafka_source('s', 'b:1', 't', options => '{"fetch.min.bytes": {}}');
SELECT stacklens.create_kafka_source('s', 'b:1', 't', options => '{"fetch.min.bytes": -7}');
SELECT stacklens.pause_source('s');
SELECT stacklens.drop_source('s');
SELECT count(*) FROM stacklens.sources;

-- every public object says what it is
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'stacklens'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'stacklens'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
-- and PUBLIC may call none of them
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('stacklens'::regnamespace, 'stacklens_internal'::regnamespace)
	AND has_function_privilege('regress_nobody', p.oid, 'EXECUTE') ORDER BY 1;

-- a database without workers: all works that needs none, the rest says what to set
SELECT current_database() AS main \gset
CREATE DATABASE regress_ascii TEMPLATE template0 ENCODING 'SQL_ASCII';
\c regress_ascii
\set SHOW_CONTEXT never
CREATE EXTENSION stacklens;
\c :main
DROP DATABASE regress_ascii;
CREATE DATABASE regress_other TEMPLATE template0 ENCODING 'UTF8';
\c regress_other
\set SHOW_CONTEXT never
SET client_min_messages = error;
CREATE EXTENSION stacklens;
SELECT stacklens.create_rule('x', match => '{"a": 1}') IS NOT NULL AS made;
SELECT name FROM stacklens.match_rules('{"a": 1}');
RESET client_min_messages;
SELECT stacklens.ingest('{"a": 1}') > 0 AS taken;
SELECT stacklens.create_kafka_source('s', 'b:1', 't');
SELECT part, status, hint FROM stacklens.health() WHERE part = 'workers';
\c :main
DROP DATABASE regress_other;
DROP ROLE regress_reader, regress_operator, regress_admin, regress_ingest, regress_nobody;
