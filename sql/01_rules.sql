-- Rules: made, refused with reason and place, imported, switched, asked.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION stacklens;
RESET client_min_messages;

SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high') IS NOT NULL AS made;
SELECT name, title, kind, enabled, severity, issue_code, definition, error FROM stacklens.rules;

-- what is refused, and how
SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}');
SELECT stacklens.create_rule('X', match => '{"error_code|contain": "PRICE"}');
SELECT stacklens.create_rule('X', match => '{"error_code|re": "PRICE(.*"}');
SELECT stacklens.create_rule('X', match => '{"a": "b"}', severity => 'urgent');
SELECT stacklens.create_rule('X', match => '{}');
SELECT stacklens.create_rule('X', match => '{"a": {"b": 1}}');
SELECT stacklens.create_rule('X', match => '{"a|gt": "b"}');
SELECT stacklens.create_rule('X', match => NULL);
SELECT stacklens.create_rule(repeat('x', 300), match => '{"a": 1}');
SELECT count(*) FROM stacklens.rules;

-- a document of several: the bad ones are reported, the good ones stored
SELECT name, status, error, line, col FROM stacklens.import_rules($$
title: Disk full
level: critical
detection:
  selection:
    message|contains: 'No space left'
  condition: selection
stacklens:
  issue_code: DISK_FULL
  labels:
    team: storage
---
title: Bad condition
detection:
  selection:
    a: 1
  condition: selection and others
---
title: Bad modifier
detection:
  selection:
    a|startwith: x
  condition: selection
---
title: Unknown field
detektion: {}
---
title: A filter
filter: {}
---
title: Needs a log source
logsource:
  product: windows
detection:
  sel:
    EventID: 4688
  condition: sel
$$, origin => 'test');
SELECT name, severity, issue_code, origin FROM stacklens.rules ORDER BY name;

-- again: unchanged; changed: replaced; twice in one document: rejected
SELECT name, status FROM stacklens.import_rules('{"name": "short", "match": {"a": 1}}');
SELECT name, status FROM stacklens.import_rules('{"name": "short", "match": {"a": 1}}');
SELECT name, status FROM stacklens.import_rules('{"name": "short", "match": {"a": 2}}');
SELECT name, status, error FROM stacklens.import_rules('{"rules": [{"name": "twice", "match": {"a": 1}}, {"name": "twice", "match": {"a": 2}}]}');

-- texts that are no rules
SELECT status, error, line, col FROM stacklens.import_rules('');
SELECT status, error, line, col FROM stacklens.import_rules(E'title: x\n  detection: [');
SELECT status, error, line, col FROM stacklens.import_rules('{"title": "x", "detection": }');
SELECT status, error, line, col FROM stacklens.import_rules(E'a: &x\n  b: *x\n');
SELECT status, error, line, col FROM stacklens.import_rules(repeat('[', 1000000));
SELECT status, error, line, col FROM stacklens.import_rules('x: ' || repeat('[', 1000000));
SELECT status, error, line, col FROM stacklens.import_rules('title: x' || E'\ntitle: y\n');
SELECT * FROM stacklens.import_rules(NULL);

-- which rules are true of a record
SELECT name, severity FROM stacklens.match_rules('{"error_code": "price_missing", "message": "no space left on device", "a": "2"}');
SELECT stacklens.disable_rule('PRICE_MISSING');
SELECT name FROM stacklens.match_rules('{"error_code": "PRICE_MISSING"}');
SELECT stacklens.enable_rule('PRICE_MISSING');
SELECT name FROM stacklens.match_rules('{"error_code": "PRICE_MISSING"}');
SELECT stacklens.drop_rule('short');
SELECT stacklens.drop_rule('short');
SELECT stacklens.enable_rule('nobody');
SELECT name FROM stacklens.match_rules('[1]');

-- values, wildcards, numbers, null, exists, keywords
SELECT name, status FROM stacklens.import_rules($$
title: t01 wildcard
detection: {s: {f: 'a*c?'}, condition: s}
---
title: t02 cased
detection: {s: {f|cased: 'Abcd'}, condition: s}
---
title: t03 number
detection: {s: {n|gte: 10, n|lt: 20}, condition: s}
---
title: t04 null
detection: {s: {gone: null}, k: {f: abcd}, condition: s and k}
---
title: t05 exists
detection: {s: {gone|exists: true}, condition: s}
---
title: t06 keywords
detection: {keywords: ['needle', 'pin'], condition: keywords}
---
title: t07 all
detection: {s: {f|contains|all: ['b', 'c']}, condition: s}
---
title: t08 of
detection: {s1: {x: 1}, s2: {x: 2}, _s3: {f: abcd}, condition: 1 of them or all of s*}
---
title: t09 not
detection: {s: {f: abcd}, other: {n: 5}, condition: s and not other}
---
title: t10 list of maps
detection: {s: [{x: 1}, {f: abcd, n: 5}], condition: s}
$$) WHERE status <> 'created';
SELECT string_agg(left(name, 3), ' ') FROM stacklens.match_rules('{"f": "ABCD"}');
SELECT string_agg(left(name, 3), ' ') FROM stacklens.match_rules('{"f": "Abcd", "n": 5}');
SELECT string_agg(left(name, 3), ' ') FROM stacklens.match_rules('{"n": "12.5", "x": [3, 2]}');
SELECT string_agg(left(name, 3), ' ') FROM stacklens.match_rules('{"gone": null, "message": "a Needle in the hay"}');

-- a transaction that fails leaves no rule and no change of version
SELECT version FROM stacklens_internal.rules_version \gset
BEGIN;
SELECT stacklens.create_rule('rolled back', match => '{"a": 1}') IS NOT NULL AS made;
SELECT count(*) FROM stacklens.match_rules('{"a": 1}');
ROLLBACK;
SELECT count(*) FROM stacklens.match_rules('{"a": 1}');
SELECT version = :version AS same FROM stacklens_internal.rules_version;
SELECT count(stacklens.drop_rule(name)) > 0 AS dropped FROM stacklens.rules;
