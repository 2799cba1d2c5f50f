-- Searching the logs: the query language, its errors, an alert's logs.
CREATE EXTENSION IF NOT EXISTS stacklens;
\pset null -
TRUNCATE stacklens.logs;
INSERT INTO stacklens.logs (timestamp, service, level, severity_number, message, trace_id, request_id, error_code, attributes, resource) VALUES
	('2026-01-15 10:00Z', 'order-service', 'error', 17, 'Price is missing', 't1', 'r1', 'PRICE_MISSING', '{"n": 5, "http.status_code": 503, "tags": ["red", "blue"]}', '{"host.name": "web01"}'),
	('2026-01-15 10:01Z', 'order-worker', 'info', 9, 'connection refused by 10.0.0.7:5432', 't1', 'r2', NULL, '{"n": "12", "nested": {"deep": "x"}}', '{"host.name": "web02"}'),
	('2026-01-15 10:02Z', 'checkout', 'warn', 13, 'pricelist of 100% loaded; connection was not refused', 't2', 'r1', NULL, '{"n": "many", "path": "/api/v1"}', NULL),
	('2026-01-15 10:03Z', 'checkout', 'debug', 5, NULL, NULL, NULL, 'E_1', '{"n": -3.5, "a:b": "c"}', NULL),
	('2026-01-15 10:04Z', 'größe', 'error', 17, 'Größe überschritten', 't3', NULL, NULL, '{}', NULL);
-- the minutes of what is found, or why not
CREATE FUNCTION found(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
	hint text;
BEGIN
	SELECT COALESCE(string_agg(to_char(s.timestamp AT TIME ZONE 'UTC', 'FMMI'), ' ' ORDER BY s.timestamp), '') INTO result FROM stacklens.search(query) s;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, NULLIF(detail, ''), NULLIF(hint, ''));
END
$$;
SELECT query, found(query) FROM unnest(ARRAY[
	'', '*', 'price', 'PRICE', 'pric*', 'pric?', 'PRICE_MISSING', 'checkout', '"connection refused"', 'connection refused',
	'connection -"not refused"', '"10.0.0.7"', '100%', '%', 'größe',
	'error_code:PRICE_MISSING AND service:order-*', 'service:order', 'service:order-?orker', 'error_code:E_1', 'error_code:E*', 'error_code:E\*',
	'level:(error OR warn)', 'NOT level:error', '-error_code:PRICE_MISSING', '!_exists_:message', '_exists_:n', 'trace_id:*', 'resource.host.name:web0?',
	'tags:blue', 'tags:green', 'tags:r*', 'nested.deep:x', 'a\:b:c', 'path:/api/v1', 'path:"/api/v1"',
	'n:5', 'n:[5 TO 12]', 'n:{5 TO 12]', 'n:>=5', 'n:<0', 'n:[* TO 0]', 'n:[many TO more]', 'http.status_code:[500 TO 599]', 'severity_number:>=13', 'severity_number:17',
	'timestamp:["2026-01-15 10:01Z" TO "2026-01-15 10:02Z"]', 'timestamp:>2026-01-15T10:03:00Z', 'message:*', 'message:refused', 'source:inbox AND NOT (level:error OR level:info)',
	'a OR service:checkout b OR level:debug']) AS query;
SELECT left(query, 30) AS query, found(query) FROM unnest(ARRAY[
	'a AND', '(a', 'a)', '"a', 'a:', '[1 TO 5]', 'n:[1 5]', 'n:[1 TO 5', 'price~', 'price^2', '/joh?n/', 'severity_number:[a TO 5]',
	'timestamp:[soon TO *]', 'timestamp:soon', repeat('(', 101) || 'a', repeat('a ', 1001)]) AS query;
SELECT found($$service:'; DROP TABLE stacklens.logs; --$$), found($$x'y:"'); SELECT 1; --"$$), found('service:\'), found('\');
SELECT id IS NOT NULL AS id, timestamp = '2026-01-15 10:01Z' AS newest, service, source, attributes FROM stacklens.search('t1', max_rows => 1);
SELECT count(*) FROM stacklens.search('*', since => '2026-01-15 10:01Z', until => '2026-01-15 10:03Z');
SELECT * FROM stacklens.search(NULL);
SELECT * FROM stacklens.search('*', max_rows => -1);
SELECT * FROM stacklens.alert_logs('00000000-0000-0000-0000-000000000001');
DROP FUNCTION found(text);
