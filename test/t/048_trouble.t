# Records that can't be judged: a batch that fails for its data is taken apart down to the record, one that crashes
# a worker is found by its second crash, and what was set aside is sent again, once, or deleted.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(poll_for test_folder);
use StackLens::Kafka;
use StackLens::Server;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $kafka = StackLens::Kafka->new(dir => $dir);
$kafka->create_topic('trouble', partitions => 2);
my $full_disk = "$dir/full_disk";
my $server = StackLens::Server->new('trouble', full_disk => $full_disk);
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Each
name: each
detection: {s: {kind: m}, condition: s}
stacklens: {suppress: {by: [n]}}
---
title: Many
correlation: {type: event_count, rules: [each], timespan: 1d, condition: {gte: 1}, generate: true}
stacklens: {after: slide}
')});
$server->sql("SELECT stacklens.create_kafka_source('trouble', '" . $kafka->bootstrap . "', 'trouble', options => '{\"session.timeout.ms\": 6000}')");
my $alerts = q{SELECT count(*) || '/' || sum(count) FROM stacklens.alerts WHERE rule = 'each'};
my $firings = q{SELECT count FROM stacklens.alerts WHERE rule = 'Many'};

# --- a table refuses what some of the records lead to ---
$server->sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	RAISE EXCEPTION 'no message like "%"', NEW.message USING ERRCODE = 'string_data_right_truncation'; END$$});
$server->sql(q{CREATE TRIGGER refuse BEFORE INSERT ON stacklens_internal.alerts FOR EACH ROW WHEN (NEW.message = 'bad') EXECUTE FUNCTION refuse()});
my $log = $server->log_position;
$server->sql(q{SELECT count(stacklens.ingest(jsonb_build_object('kind', 'm', 'n', n, 'message', CASE WHEN n IN (7, 400, 401) THEN 'bad' ELSE 'good' END))) FROM generate_series(1, 1000) n});
ok($server->wait_for('the good ones', $alerts, is => '997/997'), 'three records of a thousand are refused, the others are judged');
is($server->sql(q{SELECT string_agg(sqlstate || ' ' || reason || ' ' || (l.attributes ->> 'n') || ' ' || (origin ->> 'source'), ', ' ORDER BY d.id)
	FROM stacklens.dead_letters d JOIN stacklens.logs l ON l.id = (origin ->> 'id')::bigint}),
	join(', ', map { qq(22001 no message like "bad" $_ inbox) } 7, 400, 401), 'they are dead letters, with what was said of each');
is($server->sql($firings), 997, 'nothing of them is left in a correlation');
like($server->log_text($log), qr/ERROR:  no message like "bad"/, 'the log says so');

# --- the same from Kafka: one message of many records ---
$server->sql(q{SELECT stacklens.create_rule('keyed', match => '{"messaging.kafka.message.key": "some key", "n": 2003}')});
$kafka->produce('trouble', [ '[' . join(',', map { my $text = $_ == 2003 ? 'bad' : 'good'; qq({"kind": "m", "n": $_, "message": "$text"}) } 2001 .. 2005) . ']', "\xFF\xFE" ], partition => 0, key => 'some key');
$kafka->produce('trouble', [ map { qq({"kind": "m", "n": $_, "message": "good"}) } 2006 .. 2100 ], partition => 1);
ok($server->wait_for('those of Kafka', $alerts, is => '1096/1096'), 'one record of a message is set aside, not its neighbours');
is($server->sql(q{SELECT origin ->> 'offset', origin ->> 'record', convert_from(payload, 'UTF8')::jsonb -> (origin ->> 'record')::int ->> 'n' FROM stacklens.dead_letters WHERE origin ->> 'source' = 'trouble' AND sqlstate = '22001'}),
	'0|2|2003', 'with its place in the message');
ok($server->wait_for('a dead letter of what is no text', q{SELECT count(*) FROM stacklens.dead_letters WHERE sqlstate = '22P02'}, is => 1), 'bytes that are nothing are another dead letter');

# --- sent again ---
is($server->sql(q{SELECT stacklens.redrive('{"source": "inbox"}'::jsonb)}), 3, 'three are sent again');
ok($server->wait_for('them to come back', q{SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'source' = 'inbox'}, is => 3), 'and come back, as nothing was mended');
$server->sql('DROP TRIGGER refuse ON stacklens_internal.alerts');
is($server->sql(q{SELECT stacklens.redrive(array_agg(id)) FROM stacklens.dead_letters WHERE sqlstate = '22001'}), 4, 'mended, four are sent again');
ok($server->wait_for('all of them', $alerts, is => '1100/1100'), 'and judged once');
is($server->sql($firings), 1100, 'in the correlation, too');
ok($server->wait_for('the key', q{SELECT count FROM stacklens.alerts WHERE rule = 'keyed'}, is => 1), 'with the key of its message');
my ($status, $out, $err) = $server->node->psql('stacklens', q{SELECT stacklens.redrive('{"sqlstate": "22P02"}'::jsonb)});
is($out, 0, 'what still is nothing stays');
like($err, qr/WARNING:  dead letter \d+ stays: payload is neither|WARNING:  dead letter \d+ stays: .*neither an OTLP request/, 'with a warning that says why');
like($server->error_of(q{SELECT stacklens.discard('{}'::jsonb)}), qr/22023: a filter of dead letters is a JSON object that is not empty.*HINT:/s, 'an empty filter deletes nothing');
is($server->sql(q{SELECT stacklens.discard('{"sqlstate": "22P02"}'::jsonb)}), 1, 'it is deleted');
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'and nothing is left');

# --- a full disk is not the record's fault ---
my $log_before = $server->log_position;
$server->sql(q{SELECT stacklens.create_rule('panic', match => '{"kind": "panic"}')});
$server->sql(q{CREATE FUNCTION write_much() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.message = 'panic' THEN FOR i IN 1 .. 50 LOOP PERFORM pg_switch_wal(); PERFORM pg_logical_emit_message(false, 'x', 'y'); END LOOP; END IF;
	RETURN NEW; END $$;
	CREATE TRIGGER write_much BEFORE INSERT ON stacklens_internal.alerts FOR EACH ROW EXECUTE FUNCTION write_much();});
open my $flag, '>', $full_disk or die;
close $flag;
$server->sql(q{SELECT stacklens.ingest('{"kind": "panic", "message": "panic"}')});
poll_for('the panic', 60, sub { $server->log_text($log_before) =~ /PANIC:  could not write to file "pg_wal/ });
unlink $full_disk;
poll_for('the end', 60, sub { $server->start_again if !$server->alive; ($server->try_sql('SELECT 1'))[0] == 0 });
ok($server->wait_for('its alert', q{SELECT sum(count) FROM stacklens.alerts WHERE rule = 'panic'}, is => 1), 'a record at which the server ran out of disk is judged, once');
unlike($server->log_text($log_before), qr/judged one by one/, 'and suspected of nothing');
$server->sql('DROP TRIGGER write_much ON stacklens_internal.alerts');

# --- a record that crashes a worker ---
my $include = `pg_config --includedir-server`;
chomp $include;
IPC::Run::run([ 'cc', '-shared', '-fPIC', "-I$include", '-o', "$dir/crash_module.so", test_folder() . '/lib/crash_module.c' ]) or die "cc failed\n";
$server->sql("CREATE FUNCTION crash() RETURNS trigger LANGUAGE c AS '$dir/crash_module', 'crash'");
$server->sql(q{CREATE TRIGGER crash BEFORE INSERT ON stacklens_internal.alerts FOR EACH ROW WHEN (NEW.message = 'crash') EXECUTE FUNCTION crash()});
$log = $server->log_position;
$server->sql(q{SELECT count(stacklens.ingest(jsonb_build_object('kind', 'm', 'n', n, 'message', CASE n WHEN 3100 THEN 'crash' ELSE 'good' END))) FROM generate_series(3001, 3200) n});
ok($server->wait_for('the dead letter', q{SELECT count(*) FROM stacklens.dead_letters WHERE sqlstate = '57P02'}, is => 1), 'a record that crashes a worker is set aside');
ok($server->wait_for('the others', $alerts, is => '1299/1299'), 'the others are judged once');
is(scalar(my @crashes = $server->log_text($log) =~ /was terminated by signal 11/g), 3, 'after three crashes: of a batch, and twice of the record');
is($server->sql(q{SELECT d.origin ->> 'source', l.attributes ->> 'n' FROM stacklens.dead_letters d JOIN stacklens.logs l ON l.id = (d.origin ->> 'id')::bigint}), 'inbox|3100', 'it is named');
is($server->sql(q{SELECT status FROM stacklens.health() WHERE part = 'crashes'}), 'warning', 'health() names it');
$kafka->produce('trouble', [ map { my $text = $_ == 4100 ? 'crash' : 'good'; qq({"kind": "m", "n": $_, "message": "$text"}) } 4001 .. 4200 ], partition => 0);
ok($server->wait_for('the dead letter', q{SELECT origin ->> 'topic' FROM stacklens.dead_letters WHERE sqlstate = '57P02' AND origin ->> 'source' = 'trouble'}, is => 'trouble', seconds => 120), 'of Kafka likewise');
ok($server->wait_for('the others', $alerts, is => '1498/1498'), 'the others are judged once');
like($server->sql(q{SELECT convert_from(payload, 'UTF8') FROM stacklens.dead_letters WHERE origin ->> 'source' = 'trouble'}), qr/"n": 4100/, 'with its bytes');
$server->sql('DROP TRIGGER crash ON stacklens_internal.alerts');
is($server->sql(q{SELECT stacklens.redrive('{"sqlstate": "57P02"}'::jsonb)}), 2, 'mended, both are sent again');
ok($server->wait_for('both', $alerts, is => '1500/1500'), 'and judged once');

# --- kill -9 is not the record's fault ---
for my $round (1 .. 3)
{
	$server->sql(qq{SELECT count(stacklens.ingest(jsonb_build_object('kind', 'm', 'n', 5000 + $round, 'message', 'good')))});
	my $killed = $server->worker_pid('evaluator');
	kill 'KILL', $killed;
	# the server answers for a moment still, before it sees that one of its own is gone
	poll_for('the server to have started anew', 60, sub { my ($status, $new) = $server->try_sql("SELECT bool_and(pid <> $killed) FROM stacklens.stat_workers WHERE kind = 'evaluator'"); $status == 0 && $new eq 't' });
}
ok($server->wait_for('all', $alerts, is => '1503/1503'), 'kill -9 sets nothing aside');
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'nothing at all');

done_testing();
