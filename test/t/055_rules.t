# Rules in a server: every example of docs/rules.md, a folder imported through psql, the compiled set that
# workers load, changes under load, correlations of live records, and what is refused.

use strict;
use warnings;

use File::Path qw(make_path);
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(cached test_folder);
use StackLens::Server;

my $server = StackLens::Server->new('rules');
$server->wait_for_workers(4);

sub in_db { my ($db, $query) = @_; return $server->node->safe_psql($db, $query) }
sub quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# --- the reference: each block of rules with the records that follow it ---
my $top = test_folder() . '/..';
open my $in, '<:utf8', "$top/docs/rules.md" or die "rules.md: $!";
my $page = do { local $/; <$in> };
close $in;
my ($examples, $checked) = (0, 0);
my %seen;
while ($page =~ /^```yaml\n(.*?)^```\n```json\n(.*?)^```\n/msg)
{
	my ($rules, $records) = ($1, $2);
	my $db = 'reference' . ++$examples;
	in_db('postgres', "CREATE DATABASE $db");
	in_db($db, 'CREATE EXTENSION stacklens');
	$seen{$1} = 1 while $rules =~ /\|(\w+)/g;
	$seen{$1} = 1 while $rules =~ /type: (\w+)/g;
	utf8::encode(my $text = $rules);
	my $imported = in_db($db, "SELECT name || '/' || kind FROM stacklens.import_rules(" . quote($text) . ") WHERE error IS NULL");
	is(in_db($db, "SELECT count(*) FROM stacklens.import_rules(" . quote($text) . ") WHERE status <> 'unchanged'"), 0,
		"example $examples is taken, and is the same when it is imported again");
	my @rules = grep { !m{/filter$} } split /\n/, $imported;
	my ($tested, $kind) = $rules[-1] =~ m{(.*)/(.*)};
	my %fires;
	for my $line (split /\n/, $records)
	{
		my ($json, $mark) = $line =~ m{^(\{.*\})(?:\s*// (.*))?$} or die "a record: $line";
		utf8::encode($json);
		if ($kind eq 'detection')
		{
			is(in_db($db, "SELECT stacklens.test_rule(" . quote($tested) . ", " . quote($json) . ")"), $mark eq 'true' ? 't' : 'f',
				"$tested: $json is $mark");
			$checked++;
			next;
		}
		in_db($db, "SELECT stacklens.ingest(" . quote($json) . ")");
		my ($at) = $json =~ /"timestamp": "([^"]+)"/;
		next if !$mark;
		my @names = $mark =~ /fires: (.*)/ ? split(/, /, $1) : ($tested);
		push @{ $fires{$_} }, $at for @names;
	}
	for my $rule ($kind eq 'correlation' ? sort keys %fires : ())
	{
		is(in_db($db, q{SELECT string_agg(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ' ' ORDER BY at) FROM stacklens.backtest_rule(}
					. quote($rule) . ')'), join(' ', @{ $fires{$rule} }), "$rule fires where it says so");
		$checked++;
	}
	in_db('postgres', "DROP DATABASE $db");
}
ok($examples > 15 && $checked > 50, "$examples examples, $checked assertions");
for my $modifier (qw(contains startswith endswith all cased exists neq lt gte re i cidr fieldref wide base64offset windash hour day))
{
	ok($seen{$modifier}, "$modifier has an example");
}

# --- the short form's schema is true of what we ship, and false of what the reader refuses ---
my $python = cached('python') . '/bin/python';
my $validate = 'import json, sys, jsonschema; jsonschema.validate(json.load(sys.stdin), json.load(open(sys.argv[1])))';
my $schema = "$top/docs/alert-rules.schema.json";
my $shipped = PostgreSQL::Test::Utils::slurp_file("$top/compose/config/rules/alert-rules.json");
ok(IPC::Run::run([ $python, '-c', $validate, $schema ], '<', \$shipped), 'alert-rules.json is what its schema says');
for my $bad ('{"rules": [{"name": "x"}]}', '{"rules": [{"name": "x", "match": {"a": []}}]}', '{"rules": [{"name": "x", "match": {"a": 1}, "severity": "urgent"}]}',
	'{"rules": [{"name": "x", "match": {"a": {"b": 1}}}]}')
{
	ok(!IPC::Run::run([ $python, '-c', $validate, $schema ], '<', \$bad, '2>', \my $why), "the schema refuses $bad");
	is($server->sql('SELECT string_agg(status, \' \') FROM stacklens.import_rules(' . quote($bad) . ')'), 'rejected', 'and so does the server');
}

# --- a folder through psql: correlations find what they name, whatever the order of files ---
my $dir = PostgreSQL::Test::Utils::tempdir();
make_path("$dir/rules/b");
sub put { my ($name, $text) = @_; open my $out, '>', "$dir/rules/$name" or die; print $out $text; close $out; }
put('a_chain.yml', "title: chain\ncorrelation: {type: temporal, rules: [burst], timespan: 1h, generate: true}\n");
put('a_correlation.yml', "title: Burst\nname: burst\nlevel: high\ncorrelation: {type: event_count, rules: [base], group-by: [host], timespan: 1h, condition: {gte: 3}, generate: true}\n");
put('a_filter.yml', "title: not test\nfilter: {rules: [base], selection: {env: test}, condition: not selection}\n");
put('b/base.yaml', "title: Base\nname: base\ndetection: {s: {kind: base}, condition: s}\n");
put('bad.yml', "title: Bad\ndetection:\n  s:\n    a|re: '('\n  condition: s\n");
put('broken.yml', "title: [\n");
my ($sql, $err) = ('', '');
IPC::Run::run([ $ENV{STACKLENS_RULE} || "$top/stacklens-rule", 'import', "$dir/rules" ], '>', \$sql, '2>', \$err);
is($err, '', 'import writes SQL');
my ($shown, $noise);
$server->node->psql('stacklens', $sql, stdout => \$shown, stderr => \$noise, extra_params => [ '-P', 'format=aligned', '-P', 'tuples_only=off' ]);
like($shown, qr/created\s*\|\s*4/, 'four rules are created');
like($shown, qr{rules/bad\.yml:4:13: error: regular expression does not compile: missing closing parenthesis}, 'a bad one is told with its place');
like($shown, qr{rules/broken\.yml:\d+:\d+: error: }, 'so is a file that is no YAML');
is($server->sql("SELECT string_agg(name || ' ' || kind, ', ' ORDER BY name) FROM stacklens.rules"),
	'base detection, burst correlation, chain correlation, not test filter', 'the others are there');
is($server->sql("SELECT DISTINCT origin LIKE '%rules/b/base.yaml' FROM stacklens.rules WHERE name = 'base'"), 't', 'with where they come from');

# --- live: detections, the filter, a correlation and its chain ---
sub ingest { $server->sql("SELECT count(stacklens.ingest(jsonb_build_object('kind', 'base', 'host', 'h', 'env', '$_[1]', 'n', n))) FROM generate_series(1, $_[0]) n") }
ingest(2, 'prod');
ingest(5, 'test');
ingest(1, 'prod');
ok($server->wait_for('a detection with its filter, a correlation, and one of it', "SELECT string_agg(rule || ':' || count, ' ' ORDER BY rule) FROM stacklens.alerts", is => 'base:3 burst:1 chain:1'), 'a detection with its filter, a correlation, and one of it');
is($server->sql("SELECT group_values || jsonb_build_object('severity', severity, 'message', message) FROM stacklens.alerts WHERE rule = 'burst'"),
	'{"host": "h", "message": "Burst", "severity": "high"}', 'the correlation\'s alert is its own');
ok($server->wait_for('stat_rules counts', "SELECT matches || ' ' || (evaluations >= matches) FROM stacklens.stat_rules WHERE name = 'base'", is => '3 true'), 'stat_rules counts');

# --- the compiled set: published by the maintainer, found again after a restart ---
ok($server->wait_for('the set is published', 'SELECT count(*) FROM stacklens_internal.compiled_rules c, stacklens_internal.rules_version v WHERE c.version = v.version || \'/\' || v.xmin', is => '1'), 'the set is published');
my $made = $server->sql('SELECT at FROM stacklens_internal.compiled_rules');
$server->node->restart;
$server->wait_for_workers(4);
ingest(1, 'prod');
ok($server->wait_for('after a restart records are judged', "SELECT count FROM stacklens.alerts WHERE rule = 'base'", is => '4'), 'after a restart records are judged');
is($server->sql('SELECT at FROM stacklens_internal.compiled_rules'), $made, 'by the same image');
$server->sql("UPDATE stacklens_internal.compiled_rules SET image = set_byte(image, 200, 255 - get_byte(image, 200))");
$server->node->restart;
$server->wait_for_workers(4);
ingest(1, 'prod');
ok($server->wait_for('a damaged image is made again', "SELECT count FROM stacklens.alerts WHERE rule = 'base'", is => '5'), 'a damaged image is made again');
isnt($server->sql('SELECT at FROM stacklens_internal.compiled_rules'), $made, 'it is another one');

# --- rules change while records come: each record is judged by the rules of its time ---
$server->sql("SELECT stacklens.create_rule('other' || n, match => jsonb_build_object('x|contains', 'some text ' || n)) FROM generate_series(1, 300) n");
for my $round (1 .. 10)
{
	$server->sql("SELECT name FROM stacklens.import_rules(" . quote(qq({"title": "round", "detection": {"s": {"round": $round}, "condition": "s"}, "stacklens": {"suppress": {"by": ["round"]}}})) . ")");
	$server->sql("SELECT count(stacklens.ingest(jsonb_build_object('round', $round, 'n', n))) FROM generate_series(1, 50) n");
}
ok($server->wait_for('ten rules, one after the other, lose no record', "SELECT count(*) || ' ' || sum(count) FROM stacklens.alerts WHERE rule = 'round'", is => '10 500'), 'ten rules, one after the other, lose no record');

# --- what can't be linked any more is left out, and says so; the rest goes on ---
$server->sql("SELECT stacklens.disable_rule('base')");
ok($server->wait_for('what names a disabled rule is left out', "SELECT string_agg(name, ' ' ORDER BY name) FROM stacklens.rules WHERE error LIKE '%names rule%'", is => 'burst chain not test'), 'what names a disabled rule is left out');
$server->sql("SELECT stacklens.enable_rule('base')");
ok($server->wait_for('and comes back with it', 'SELECT count(*) FROM stacklens.rules WHERE error IS NOT NULL', is => '0'), 'and comes back with it');

# --- time: a heartbeat that stops, seen by the watermark ---
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Beat
name: beat
detection: {s: {kind: beat}, condition: s}
---
title: Silence
correlation: {type: absence, rules: [beat], group-by: [host], timespan: 1m}
')});
$server->sql(q{SELECT stacklens.ingest(jsonb_build_object('kind', 'beat', 'host', h, 'timestamp', now() - s * interval '1 second'))
	FROM (VALUES ('a', 90), ('b', 50), ('b', 10)) v (h, s)});
$server->sql(q{SELECT stacklens.ingest('{"kind": "other"}')});
$server->wait_for('a silence', "SELECT string_agg(group_values ->> 'host', ' ') FROM stacklens.alerts WHERE rule = 'Silence'", is => 'a');
pass('a heartbeat that is missing, and none of one that beats');
is($server->sql("SELECT sum(count) FROM stacklens.alerts WHERE rule = 'Silence'"), 1, 'once');

# --- a batch that is repeated after a crash counts once ---
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Tick
name: tick
detection: {s: {kind: tick}, condition: s}
---
title: Ticks
correlation: {type: event_count, rules: [tick], group-by: [host], timespan: 1d, condition: {gte: 100}}
')});
for my $round (1 .. 10)
{
	$server->sql("SELECT count(stacklens.ingest(jsonb_build_object('kind', 'tick', 'host', n % 3))) FROM generate_series(1, 300) n");
	$server->sql("SELECT pg_terminate_backend(pid) FROM stacklens.stat_workers WHERE kind = 'evaluator'") if $round % 2;
}
ok($server->wait_for('1,000 events of each of three hosts fire ten times, with the evaluator killed five times', "SELECT string_agg(count::text, ' ') FROM stacklens.alerts WHERE rule = 'Ticks'", is => '10 10 10'), '1,000 events of each of three hosts fire ten times, with the evaluator killed five times');

# --- a correlation keeps so many groups, and says so ---
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Hit
name: hit
detection: {s: {kind: hit}, condition: s}
---
title: Hits
correlation: {type: event_count, rules: [hit], group-by: [client], timespan: 1h, condition: {gte: 2}}
')});
sub hits { my ($from, $to) = @_; $server->sql("SELECT count(stacklens.ingest(jsonb_build_object('kind', 'hit', 'client', n))) FROM generate_series($from, $to) n") }
my $groups = "SELECT groups || ' ' || refused || ' ' || late FROM stacklens.stat_correlations WHERE name = 'Hits'";
$server->sql('ALTER SYSTEM SET stacklens.max_correlation_groups = 20');
$server->sql('SELECT pg_reload_conf()');
$server->wait_for('the setting', 'SHOW stacklens.max_correlation_groups', is => '20');
hits(1, 20);
ok($server->wait_for('as many groups as may be', $groups, is => '20 0 0'), 'as many groups as may be');
hits(21, 30);
ok($server->wait_for('more are refused', $groups, is => '20 10 0'), 'more are refused, and counted');
hits(5, 5);
ok($server->wait_for('what is there goes on', "SELECT string_agg(group_values ->> 'client', ' ') FROM stacklens.alerts WHERE rule = 'Hits'", is => '5'), 'what is there goes on');
is($server->sql("SELECT value || ' ' || status || ' ' || warning FROM stacklens.health() WHERE part = 'correlations'"), 'Hits warning 20 groups', 'health() says so');
$server->sql(q{SELECT stacklens.ingest('{"kind": "hit", "client": "6", "timestamp": "2020-01-01T00:00:00Z"}')});
ok($server->wait_for('a late record', $groups, is => '20 10 1'), 'a record that is too late is counted as that');
$server->sql("SELECT stacklens_internal.sum_correlation_counts()");
is($server->sql($groups), '20 10 1', 'also when the counts are summed');
is($server->sql("SELECT stacklens_internal.expire_correlations(9e18::bigint, 1000000) >= 20"), 't', 'groups that have expired');
is($server->sql($groups), '0 10 1', 'are no longer counted');
$server->sql('ALTER SYSTEM RESET stacklens.max_correlation_groups');
$server->sql('SELECT pg_reload_conf()');

# --- a dump keeps rules, what they mean, who changed them, and where correlations are ---
$server->sql(q{INSERT INTO stacklens.placeholders VALUES ('admins', '["root"]'); INSERT INTO stacklens.logsources (product, detection) VALUES ('shop', '{"service": "shop"}')});
my $kept = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM (SELECT to_jsonb(r) - 'error' FROM stacklens.rules r UNION ALL SELECT to_jsonb(h) FROM stacklens.rule_history h
	UNION ALL SELECT to_jsonb(l) FROM stacklens.logsources l UNION ALL SELECT to_jsonb(p) FROM stacklens.placeholders p
	UNION ALL SELECT to_jsonb(s) FROM stacklens_internal.correlation_states s) u (t)};
$server->node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", $server->node->connstr('stacklens') ], 'a dump');
in_db('postgres', 'CREATE DATABASE restored');
$server->node->command_ok([ 'pg_restore', '-d', $server->node->connstr('restored'), "$dir/dump" ], 'is restored');
# the silence goes on being counted in the original
my $frozen = $kept =~ s/UNION ALL SELECT to_jsonb\(s\).*? s\)/)/sr;
is(in_db('restored', $frozen), $server->sql($frozen), 'with the same rules, history, log sources and placeholders');
is(in_db('restored', 'SELECT count(*) FROM stacklens_internal.correlation_states'), $server->sql('SELECT count(*) FROM stacklens_internal.correlation_states'), 'and states');
is(in_db('restored', q{SELECT name FROM stacklens.match_rules('{"kind": "base"}')}), 'base', 'which work');

# --- a backtest can be watched, and ended ---
$server->sql("SELECT count(stacklens.ingest(jsonb_build_object('kind', 'bulk', 'n', n))) FROM generate_series(1, 20000) n");
my $pid_file = "$dir/pid";
my $watched = q({"title": "watched", "detection": {"s": {"kind": "bulk", "message|re": "x"}, "condition": "s"}});
my $long = IPC::Run::start([ 'psql', '-X', '-At', '-d', $server->node->connstr('stacklens'),
		'-c', "SELECT count(*) FROM generate_series(1, 1000) g, LATERAL stacklens.backtest_rule(replace('$watched', 'x', 'x' || g)::jsonb)" ],
	'>', \my $long_out, '2>', \my $long_err);
ok($server->wait_for('a backtest shows its progress', "SELECT count(*) FROM stacklens.stat_progress_backtest WHERE rule = 'watched' AND records > 0", is => '1'), 'a backtest shows its progress');
$server->sql("SELECT pg_cancel_backend(pid) FROM stacklens.stat_progress_backtest");
$long->finish;
like($long_err, qr/canceling statement due to user request/, 'and is ended by a cancel');
is($server->sql('SELECT count(*) FROM stacklens.stat_progress_backtest'), 0, 'which leaves nothing behind');

done_testing();
