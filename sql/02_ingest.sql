-- Log records in: forms, what is mended with a note, what is refused.
\set SHOW_CONTEXT never
\pset null '∅'

SELECT stacklens.ingest('{"timestamp": "2025-01-15T10:30:45.123Z", "service": "order-service", "level": "error", "message": "Price is missing", "error_code": "PRICE_MISSING", "action": "create_order"}') > 0 AS taken;
SELECT timestamp AT TIME ZONE 'UTC' AS timestamp, service, severity_number, level, message, error_code, attributes, resource, source FROM stacklens.logs;
TRUNCATE stacklens.logs;

SELECT cardinality(stacklens.ingest(ARRAY['{"message": "a"}', '{"message": "b"}']::jsonb[])) AS taken;
SELECT stacklens.ingest('{"message": "c"}'::jsonb) > 0 AS taken;
SELECT stacklens.ingest('[]'::jsonb);
SELECT stacklens.ingest('{"a": '::text);
SELECT stacklens.ingest(ARRAY['{"message": "d"}', '5']::jsonb[]);
SELECT message FROM stacklens.logs ORDER BY 1;
TRUNCATE stacklens.logs;

-- kept, with a note of what was not good
SELECT stacklens.ingest('{"timestamp": "yesterday", "message": "m", "severity_number": 77}') > 0 AS taken;
SELECT timestamp = arrived_at AS arrival, attributes FROM stacklens.logs;
TRUNCATE stacklens.logs;
SELECT stacklens_internal.ingest(convert_to('{"message": "nul \u0000 lone \ud800 end", "big": 123456789012345678901234567890}', 'UTF8'), 'json') IS NOT NULL AS taken;
SELECT stacklens_internal.ingest('\x7b226d657373616765223a22ff227d', 'json') IS NOT NULL AS taken;
SELECT message, attributes FROM stacklens.logs ORDER BY message;
TRUNCATE stacklens.logs;

-- nested objects are dotted paths, arrays multi-valued
SELECT stacklens.ingest('{"http": {"status": 500, "path": "/x"}, "tags": ["a", "b"], "empty": {}}') > 0 AS taken;
SELECT attributes FROM stacklens.logs;
TRUNCATE stacklens.logs;

-- refused
SELECT stacklens_internal.ingest('', 'json');
SELECT stacklens_internal.ingest('not json', 'json');
SELECT stacklens_internal.ingest('"text"', 'json');
SELECT stacklens_internal.ingest('[{"a": 1}, 2]', 'json');
SELECT stacklens_internal.ingest('{"a": 1} {"b": ', 'json');
SELECT stacklens_internal.ingest(convert_to('{"a": ' || repeat('[', 10000) || repeat(']', 10000) || '}', 'UTF8'), 'json');
SELECT stacklens_internal.ingest('{"a": 1}', 'xml');
SELECT count(*) FROM stacklens.logs;

-- newline-delimited, and an array
SELECT cardinality(stacklens_internal.ingest(E'{"message": "1"}\n\n{"message": "2"}\n', 'json')) AS taken;
SELECT cardinality(stacklens_internal.ingest('[{"message": "3"}, {"message": "4"}]', 'json')) AS taken;
SELECT cardinality(stacklens_internal.ingest('[]', 'json')) AS taken;
TRUNCATE stacklens.logs;

-- OTLP
SELECT * FROM stacklens.ingest_otlp('{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}, "scopeLogs": [{"logRecords": [{"timeUnixNano": "1736937045123000000", "severityNumber": 17, "body": {"stringValue": "test log"}, "attributes": [{"key": "error_code", "value": {"stringValue": "E1"}}, {"key": "n", "value": {"intValue": "5"}}], "traceId": "5B8EFFF798038103D269B633813FC60C"}]}]}]}', 'application/json; charset=utf-8');
SELECT timestamp AT TIME ZONE 'UTC' AS timestamp, service, severity_number, level, message, trace_id, error_code, attributes, resource FROM stacklens.logs;
SELECT * FROM stacklens.ingest_otlp('', 'application/x-protobuf');
SELECT * FROM stacklens.ingest_otlp('\x0a', 'application/x-protobuf');
SELECT * FROM stacklens.ingest_otlp('{}', 'text/plain');
SELECT * FROM stacklens.ingest_otlp('{"logs": []}', 'application/json');
TRUNCATE stacklens.logs;

-- COPY and INSERT: defaults fill the rest
COPY stacklens.logs (service, message) FROM STDIN;
cart	copied
\.
INSERT INTO stacklens.logs (service, level, message) VALUES ('cart', 'warn', 'inserted');
SELECT service, level, message, source, timestamp = arrived_at AS now FROM stacklens.logs ORDER BY message;
TRUNCATE stacklens.logs;
