#!/bin/sh
# stacklens-rule: exit status, where errors are said to be, what eval prints.
cd "$(dirname "$0")" || exit 1
tool=$PWD/build/stacklens-rule
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
n=0
failed=0

ok() # status description
{
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
		sed 's/^/# out: /' out
		sed 's/^/# err: /' err
	fi
}

run() # wanted status, description, arguments
{
	wanted=$1 what=$2
	shift 2
	"$tool" "$@" >out 2>err
	[ $? -eq "$wanted" ]
	ok $? "$what: exit status $wanted"
}

out_is() # text
{
	[ "$(cat out)" = "$1" ]
	ok $? "its output"
}

err_has() # text
{
	grep -qF -- "$1" err
	ok $? "it says $1"
}

mkdir -p rules/b/.hidden rules/a
cat >rules/a/one.yml <<'E'
title: One
id: 0A1B2C3D-0000-4000-8000-000000000001
level: high
detection:
    s:
        message|contains: fail
    condition: s
---
title: Two
detection:
    s:
        n|gt: 5
    condition: s
E
cat >rules/b/three.json <<'E'
{"rules": [{"name": "Three \"3\"", "match": {"error_code": "E3"}, "severity": "low"}]}
E
cp rules/a/one.yml rules/b/four.txt
echo 'title: [' >rules/b/.hidden/five.yml
ln -s .. rules/b/loop

run 0 "check of a folder" check rules
out_is ""
err_has "3 rules in 2 files, 0 errors"

cat >bad.yml <<'E'
title: Bad
detection:
    s:
        f|contain: x
    condition: s
---
title: Good
detection:
    s: {f: 1}
    condition: s
---
title: Bad too
detection:
    s: {f: 1}
    condition: s and other
---
title: [cut
E
run 1 "check of bad rules" check bad.yml
out_is "bad.yml:18:1: error: invalid YAML: did not find expected ',' or ']'
    while parsing a flow sequence that began at line 17, column 8.
bad.yml:4:11: error: unknown modifier \"contain\"
    hint: Sigma 2.1 has: contains, startswith, endswith, windash, base64, base64offset, wide, utf16le, utf16be, utf16, expand, re, i, m, s, cidr, fieldref, lt, lte, gt, gte, minute, hour, day, week, month, year, exists, cased, all, neq.
bad.yml:15:22: error: condition names selection \"other\", which is not there
    hint: The rule's selections are: s."
err_has "1 rules in 1 files, 3 errors"

printf '{"title": "t",\n "detection": {"s": {"f|ree": 1}, "condition": "s"}}' >bad.json
run 1 "check of bad JSON rules" check bad.json rules/a
grep -q '^bad.json:2:25: error: unknown modifier "ree"$' out
ok $? "the error's place in JSON"
err_has "2 rules in 2 files, 1 errors"

run 1 "check of a file that isn't there" check nowhere.yml
err_has "could not open \"nowhere.yml\": No such file"
: >empty.yml
run 0 "check of an empty file" check empty.yml
err_has "0 rules in 1 files, 0 errors"
run 2 "check of nothing" check
err_has "usage:"
run 2 "no command"
run 2 "an unknown command" frobnicate
run 0 "help" --help
grep -q '^usage: stacklens-rule check' out
ok $? "help goes to standard output"

cat >events.ndjson <<'E'
{"message":"it FAILED","n":6}

{"message":"fine","n":"5"}
[{"error_code":"e3"},{"n":7.5}]
{"broken":
{"message":"failure"}
E
run 1 "eval with an event that is broken" eval --rules rules --events events.ndjson --no-logsource
out_is '{"event":1,"rule_id":"0a1b2c3d-0000-4000-8000-000000000001","rule":"One","severity":"high"}
{"event":1,"rule_id":"Two","rule":"Two","severity":"medium"}
{"event":4,"rule_id":"Three \"3\"","rule":"Three \"3\"","severity":"low"}
{"event":4,"rule_id":"Two","rule":"Two","severity":"medium"}
{"event":6,"rule_id":"0a1b2c3d-0000-4000-8000-000000000001","rule":"One","severity":"high"}'
err_has "events.ndjson:5: error:"
err_has "3 rules, 5 events, 5 matches, 1 events refused"

printf '{"n":9}' | "$tool" eval --rules rules/a --rules rules/b --events - --threads 1 >out 2>err
ok $? "eval of standard input, a last line without an end"
out_is '{"event":1,"rule_id":"Two","rule":"Two","severity":"medium"}'
run 1 "eval with a bad rule" eval --rules bad.yml --events /dev/null
grep -q '^bad.yml:4:11: error:' err
ok $? "says where it is bad"
run 2 "eval without events" eval --rules rules
run 2 "eval without rules" eval --events events.ndjson
run 2 "eval with an unknown option" eval --rules rules --events events.ndjson --fast
run 2 "eval of events that aren't there" eval --rules rules --events nowhere
err_has "could not open \"nowhere\""
run 1 "eval of a folder as events" eval --rules rules --events rules
err_has "could not read \"rules\""
if [ -c /dev/full ]; then
	"$tool" eval --rules rules --events events.ndjson >/dev/full 2>err
	[ $? -eq 2 ]
	ok $? "a full disk is exit status 2"
	err_has "could not write"
fi

printf '{"message":"all is well","n":1}' >event.json
run 0 "explain" explain --rule rules/a --event event.json
grep -q '^false  *test message' out
ok $? "tells of each part whether it is true"
run 2 "explain without an event" explain --rule rules/a
printf 'title: P\ndetection: {s: {a|expand: "%%who%%"}, condition: s}\n' >expand.yml
run 1 "check of a placeholder that isn't defined" check expand.yml
grep -q 'placeholder "who" is not defined' out
ok $? "names it"
printf 'who: [me, you]\n' >placeholders.yml
run 0 "check with placeholders" check --placeholders placeholders.yml expand.yml
run 0 "import" import expand.yml
grep -q 'stacklens.import_rules(.rules.title: P' out
ok $? "writes SQL, and leaves it to the server to judge"
run 2 "import of nothing" import

echo "1..$n"
exit $failed
