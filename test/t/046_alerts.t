# Alerts over time: how many a rule may open, what resolves by itself, who looks after them, and what is kept how long.

use strict;
use warnings;

use IPC::Run ();
use Test::More;
use Time::HiRes ();

use StackLens::Server;

my $server = StackLens::Server->new('alerts');
sub set { my ($name, $value) = @_; $server->sql("ALTER SYSTEM SET $name = $value"); $server->sql('SELECT pg_reload_conf()'); $server->wait_for($name, "SELECT setting = '$value' FROM pg_settings WHERE name = '$name'"); return }

# --- a sender that makes up values ---
$server->sql(q{SELECT name FROM stacklens.import_rules('{"name": "each", "match": {"kind": "m"}, "suppress": {"by": ["n"]}}')});
set('stacklens.max_new_alerts', 50);
sub ingest { my ($from, $to) = @_; return $server->sql("SELECT count(stacklens.ingest(jsonb_build_object('kind', 'm', 'n', n))) FROM generate_series($from, $to) n") }
my $alerts = q{SELECT count(*) || '/' || sum(count) FROM stacklens.alerts WHERE rule = 'each'};
ingest(1, 200);
ok($server->wait_for('two hundred', $alerts, is => '51/200'), 'two hundred values open fifty alerts, and one more for the rest');
is($server->sql(q{SELECT count, message FROM stacklens.alerts WHERE rule = 'each' AND group_values = '{}'}),
	'150|Rule each opened 50 alerts within a minute; what would open more is counted here', 'which says so');
ingest(1, 200);
ok($server->wait_for('again', $alerts, is => '51/400'), 'what is open goes on being counted');
$server->sql(q{UPDATE stacklens_internal.alerts SET created_at = created_at - interval '2 minutes'});
ingest(201, 220);
ok($server->wait_for('a minute later', $alerts, is => '71/420'), 'a minute later there are new ones');
is($server->sql(q{SELECT count(*) FROM stacklens.alert_samples s JOIN stacklens.alerts a ON a.id = s.alert_id WHERE a.group_values = '{}'}), 0, 'the one for the rest keeps no samples');
set('stacklens.max_new_alerts', 10000);

# --- without a match for so long, in event time ---
$server->sql(q{SELECT name FROM stacklens.import_rules('{"name": "quiet", "match": {"kind": "q"}, "resolve_after": "5m", "suppress": {"by": []}}')});
$server->sql(q{SELECT stacklens.ingest(jsonb_build_object('kind', 'q', 'timestamp', now() - interval '10 minutes'))});
ok($server->wait_for('an alert that resolves', q{SELECT status || ' ' || COALESCE(resolved_by, '') FROM stacklens.alerts WHERE rule = 'quiet'}, is => 'resolved stacklens'), 'an alert resolves when time has gone on without a match');
ok($server->wait_for('the feed', q{SELECT string_agg(change, ' ' ORDER BY seq) FROM stacklens.alert_feed f WHERE f.alert ->> 'rule' = 'quiet'}, is => 'opened resolved'), 'the feed tells');
$server->sql(q{SELECT stacklens.ingest('{"kind": "q"}')});
ok($server->wait_for('another', q{SELECT count(*) || ' ' || count(previous_id) FROM stacklens.alerts WHERE rule = 'quiet'}, is => '2 1'), 'the next match opens another, which names it');
my $id = $server->sql(q{SELECT id FROM stacklens.alerts WHERE rule = 'quiet' AND status = 'open'});
like($server->sql(q{SELECT error FROM stacklens.import_rules('{"name": "bad", "match": {"a": 1}, "resolve_after": "soon"}')}), qr/^"resolve_after" is no timespan: "soon"/, 'a time that is none is refused');

# --- people ---
is($server->sql("SELECT stacklens.assign_alert('$id', 'anna')"), 'anna', 'assigned');
$server->sql("SELECT stacklens.assign_alert('$id', 'anna')");
ok($server->sql("SELECT stacklens.comment_alert('$id', 'it is the switch') IS NOT NULL"), 'commented');
is($server->sql("SELECT assignee FROM stacklens.alerts WHERE id = '$id'"), 'anna', 'alerts show who');
is($server->sql("SELECT author = session_user, comment FROM stacklens.alert_comments WHERE alert_id = '$id'"), 't|it is the switch', 'and what was said');
ok($server->wait_for('the feed', qq{SELECT string_agg(change, ' ' ORDER BY seq) FROM stacklens.alert_feed WHERE alert_id = '$id'}, is => 'opened assigned commented'), 'the feed tells once of each');
like($server->error_of("SELECT stacklens.assign_alert(gen_random_uuid(), 'anna')"), qr/P0002: alert \S+ does not exist.*HINT:/s, 'an alert that is not there');
like($server->error_of("SELECT stacklens.comment_alert('$id', ' ')"), qr/22023: a comment is text/, 'a comment that says nothing');
my $gateway = $server->gateway;
my ($status, $body) = $gateway->post("/admin/alerts/$id/assign", '{"assignee": null}');
is($status . ($body->{assignee} // 'nobody'), '200nobody', 'over HTTP, too');
($status, $body) = $gateway->post("/admin/alerts/$id/comment", '{"comment": "no, the router"}');
is($status . join('|', map { $_->{comment} } @{ $body->{comments} }), '200it is the switch|no, the router', 'comments are part of an alert');
is(($gateway->post("/admin/alerts/$id/comment", '{}'))[0], 400, 'a comment that is none: 400');

# --- an operator's open transaction holds nothing up ---
$server->sql(q{SELECT stacklens.create_rule('BESIDE', match => '{"kind": "BESIDE"}')});
my $psql = IPC::Run::start([ 'psql', '-X', '-At', '-d', $server->node->connstr('stacklens') ], '<', \my $in, '>', \my $out, '2>', \my $err);
$in = "BEGIN; SELECT stacklens.acknowledge_alert('$id');\n";
$psql->pump until $out =~ /acknowledged/;
$server->sql(q{SELECT stacklens.ingest('{"kind": "q"}')});
ok($server->wait_for('a match meanwhile', qq{SELECT count FROM stacklens.alerts WHERE id = '$id'}, is => 2), 'matches of an alert that an open transaction acknowledges are counted');
# others go on as ever, however long it takes: STACKLENS_HOLD seconds
my $slowest = 0;
my $hold = time() + ($ENV{STACKLENS_HOLD} // 3);
for (my $n = 1; time() < $hold; $n++)
{
	my $from = Time::HiRes::time();
	$server->sql(qq{SELECT stacklens.ingest('{"service": "beside-$n", "kind": "BESIDE"}')});
	$server->wait_for('an alert beside it', qq{SELECT count FROM stacklens.alerts WHERE service = 'beside-$n'}, is => 1);
	$slowest = Time::HiRes::time() - $from if Time::HiRes::time() - $from > $slowest;
}
cmp_ok($slowest, '<', 5, 'and no other alert waits for it') and note(sprintf 'the slowest of them: %.0f ms', 1000 * $slowest);
ingest(301, 310);
ok($server->wait_for('others', $alerts, is => '81/430'), 'and other alerts opened');
$in = "ROLLBACK;\n\\q\n";
$psql->finish;

# --- what is kept how long ---
$server->sql(q{UPDATE stacklens_internal.alerts SET resolved_at = now() - interval '91 days' WHERE rule = 'quiet' AND status = 'resolved'});
my $old = $server->sql(q{SELECT id FROM stacklens.alerts WHERE rule = 'quiet' AND status = 'resolved'});
$server->sql(q{UPDATE stacklens.alert_feed SET at = now() - interval '25 hours' WHERE seq <= 10});
is($server->sql('SELECT stacklens_internal.forget_old()'), 'f', 'what is old is forgotten');
is($server->sql("SELECT (SELECT count(*) FROM stacklens.alerts WHERE id = '$old') + (SELECT count(*) FROM stacklens_internal.alert_tallies WHERE alert_id = '$old') + (SELECT count(*) FROM stacklens.alert_samples WHERE alert_id = '$old')"), 0, 'a resolved alert with all of it');
is($server->sql('SELECT min(seq) FROM stacklens.alert_feed'), 11, 'and the beginning of the feed');
sub make_day
{
	my ($day) = @_;
	$server->sql(qq{CREATE TABLE stacklens_internal.logs_$day (LIKE stacklens.logs INCLUDING DEFAULTS);
		ALTER TABLE stacklens.logs ATTACH PARTITION stacklens_internal.logs_$day FOR VALUES FROM (to_date('$day', 'YYYY_MM_DD')) TO (to_date('$day', 'YYYY_MM_DD') + 1);
		ALTER EXTENSION stacklens ADD TABLE stacklens_internal.logs_$day;
		INSERT INTO stacklens.logs (message, arrived_at) SELECT 'old ' || n, to_date('$day', 'YYYY_MM_DD') FROM generate_series(1, 5) n});
	return;
}
make_day($_) for qw(2020_01_01 2020_01_02);
$server->wait_for('them to be judged', 'SELECT stacklens_internal.inbox_lag()', is => 0);
$psql = IPC::Run::start([ 'psql', '-X', '-At', '-d', $server->node->connstr('stacklens') ], '<', \$in, '>', \$out, '2>', \$err);
($in, $out) = ("BEGIN; SELECT count(*) FROM stacklens_internal.logs_2020_01_01;\n", '');
$psql->pump until $out =~ /5/;
$server->sql('SELECT stacklens_internal.forget_logs()');
is($server->sql(q{SELECT count(*) FROM stacklens.logs WHERE arrived_at < '2020-01-02'}) . $server->sql(q{SELECT count(*) FROM stacklens.logs WHERE arrived_at >= '2020-01-02' AND arrived_at < '2021-01-01'}), '50', 'a day that is read is left, another is emptied');
$in = "ROLLBACK;\n\\q\n";
$psql->finish;
$server->sql('SELECT stacklens_internal.forget_logs()');
is($server->sql(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'logs_2020%'}), 0, 'then both are gone');
is($server->sql('SELECT count(*) FROM stacklens.gaps'), 0, 'nothing of them was left unjudged');
$server->sql(q{BEGIN; CREATE TABLE stacklens_internal.logs_2020_01_03 (LIKE stacklens.logs INCLUDING DEFAULTS);
	ALTER TABLE stacklens.logs ATTACH PARTITION stacklens_internal.logs_2020_01_03 FOR VALUES FROM ('2020-01-03') TO ('2020-01-04');
	ALTER EXTENSION stacklens ADD TABLE stacklens_internal.logs_2020_01_03;
	INSERT INTO stacklens.logs (message, arrived_at) SELECT 'old ' || n, '2020-01-03' FROM generate_series(1, 5) n;
	SELECT stacklens_internal.forget_logs(); COMMIT});
is($server->sql(q{SELECT source, to_offset - from_offset, reason FROM stacklens.gaps}), 'inbox|5|deleted by log retention before it was judged', 'what was is a gap');

done_testing();
