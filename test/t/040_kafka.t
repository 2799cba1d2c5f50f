# A real broker: records become alerts, positions move with their effects, Kafka's group follows with our tag,
# resets from outside are adopted once, and what can't be decoded is set aside.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Kafka;
use StackLens::Server;

my $kafka = StackLens::Kafka->new(dir => PostgreSQL::Test::Utils::tempdir());
$kafka->create_topic('otel-logs', partitions => 3);
my $server = StackLens::Server->new('kafka');
$server->sql(q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high')});

sub record { my ($service, $n) = @_; return qq({"service": "$service", "error_code": "PRICE_MISSING", "message": "no price", "n": $n}) }
sub count_of { my ($service) = @_; return $server->sql("SELECT COALESCE(sum(count), 0) FROM stacklens.alerts WHERE service = '$service'") }
sub drained
{
	my $ends = $kafka->end_offsets('otel-logs');
	for my $partition (sort keys %$ends)
	{
		$server->wait_for("partition $partition", "SELECT next_offset FROM stacklens.positions WHERE partition = $partition", is => $ends->{$partition});
	}
	return;
}

# --- records that were there before the source ---
$kafka->produce('otel-logs', [ map { record('early', $_) } 1 .. 50 ], partition => 0);
is($server->sql("SELECT stacklens.create_kafka_source('orders', '" . $kafka->bootstrap . "', 'otel-logs')"), 'orders', 'a source is made');
$server->wait_for('the early records', q{SELECT sum(count) FROM stacklens.alerts WHERE service = 'early'}, is => 50);
pass('records from before the source are judged: it starts at the earliest');

# --- several partitions, and what the views say ---
$kafka->produce('otel-logs', [ map { record("live$_", $_) } 0 .. 9 ], partition => $_) for 0 .. 2;
$server->wait_for('live alerts', q{SELECT count(*) || '/' || sum(count) FROM stacklens.alerts WHERE service LIKE 'live%'}, is => '10/30');
drained();
is($server->sql(q{SELECT string_agg(partition || ':' || next_offset || ':' || lag, ' ' ORDER BY partition) FROM stacklens.positions}),
	'0:60:0 1:10:0 2:10:0', 'positions stand at the ends, without lag');
is($server->sql(q{SELECT state, lag, records, matches FROM stacklens.stat_sources WHERE name = 'orders'}), 'running|0|80|80', 'stat_sources counts');

# --- Kafka's own view: the offsets, with our tag ---
$server->wait_for('the tag', 'SELECT true');
my $tagged = StackLens::Cache::poll_for('committed offsets', 20, sub {
	my $committed = $kafka->committed('stacklens-consumer', 'otel-logs');
	return ($committed->{0}{offset} // -1) == 60 && $committed;
});
my ($incarnation, $term) = split /\|/, $server->sql('SELECT id, term FROM stacklens_internal.incarnation');
is($tagged->{0}{metadata}, "sl1:$incarnation:$term:60", 'the committed offset carries our tag');
my ($group) = grep { $_->{PARTITION} == 0 } $kafka->group_describe('stacklens-consumer');
is($group->{LAG}, 0, "Kafka's own tool sees no lag");

# --- what can't be decoded ---
$kafka->produce('otel-logs', [ "\xFF\xFEnot text", record('after-poison', 1) ], partition => 1);
$server->wait_for('the record after the poison', q{SELECT count(*) FROM stacklens.alerts WHERE service = 'after-poison'}, is => 1);
is($server->sql(q{SELECT origin ->> 'source', origin ->> 'topic', origin ->> 'partition', origin ->> 'offset', encode(payload, 'hex'), sqlstate FROM stacklens.dead_letters}),
	'orders|otel-logs|1|10|fffe' . unpack('H*', 'not text') . '|22P02', 'a dead letter has bytes, origin and reason');
like($server->sql(q{SELECT reason FROM stacklens.dead_letters}), qr/neither an OTLP request, nor JSON, nor UTF-8 text/, 'and says why');
is($server->sql(q{SELECT status FROM stacklens.health() WHERE part = 'dead letters'}), 'warning', 'health() points at it');

# --- a reset from outside is adopted, once ---
my $before = count_of('early');
$server->sql(q{SELECT stacklens.pause_source('orders')});
StackLens::Cache::poll_for('the group to be empty', 30, sub { ($kafka->group_state('stacklens-consumer'))[0] =~ /Empty|Dead/ });
pass('a paused source leaves its group');
$kafka->reset_offsets('stacklens-consumer', 'otel-logs', 'to-earliest');
my $log = $server->log_position;
$server->sql(q{SELECT stacklens.resume_source('orders')});
$server->wait_for('the reset', q{SELECT sum(count) FROM stacklens.alerts WHERE service = 'early'}, is => 2 * $before);
drained();
like($server->log_text($log), qr/offset of topic "otel-logs" partition 0 was reset from outside/, 'the log tells of the reset');
$log = $server->log_position;
my $pid = $server->sql(q{SELECT pid FROM stacklens.stat_workers WHERE source = 'orders'});
$server->sql("SELECT pg_terminate_backend($pid)");
$server->wait_for('another evaluator', "SELECT pid <> $pid FROM stacklens.stat_workers WHERE source = 'orders' AND state = 'running'");
$kafka->produce('otel-logs', [ record('after-reset', 1) ], partition => 0);
$server->wait_for('a record after that', q{SELECT count(*) FROM stacklens.alerts WHERE service = 'after-reset'}, is => 1);
is(count_of('early'), 2 * $before, 'a restart afterwards repeats nothing');
unlike($server->log_text($log), qr/reset from outside/, 'and sees no reset');
my $live = q{SELECT sum(count) FROM stacklens.alerts WHERE service LIKE 'live%'};
for my $reset ([ 0, 'to-offset', 50 ], [ 2, 'to-datetime', '2000-01-01T00:00:00.000' ])
{
	my ($partition, @how) = @$reset;
	drained();
	$server->sql(q{SELECT stacklens.pause_source('orders')});
	StackLens::Cache::poll_for('the group to be empty', 30, sub { ($kafka->group_state('stacklens-consumer'))[0] =~ /Empty|Dead/ });
	my $was = $server->sql($live);
	$kafka->reset_offsets('stacklens-consumer', "otel-logs:$partition", @how);
	$server->sql(q{SELECT stacklens.resume_source('orders')});
	ok($server->wait_for("a reset @how", $live, is => $was + 10), "a reset of one partition $how[0]");
}

# --- the position decides, not what Kafka was told ---
drained();
$server->sql(q{SELECT stacklens.pause_source('orders')});
StackLens::Cache::poll_for('the group to be empty', 30, sub { ($kafka->group_state('stacklens-consumer'))[0] =~ /Empty|Dead/ });
$kafka->commit('stacklens-consumer', 'otel-logs', 0, 3, "sl1:$incarnation:$term:3");
$server->sql(q{SELECT stacklens.resume_source('orders')});
$kafka->produce('otel-logs', [ record('after-stale', 1) ], partition => 0);
$server->wait_for('a record after that', q{SELECT count(*) FROM stacklens.alerts WHERE service = 'after-stale'}, is => 1);
is(count_of('early'), 2 * $before, 'an older offset with our own tag does not turn the clock back');

# --- a group of another database is not touched ---
$server->sql(q{SELECT stacklens.drop_source('orders')});
$server->wait_for('the evaluator to leave', q{SELECT NOT EXISTS (SELECT FROM stacklens.stat_workers WHERE source = 'orders' AND pid IS NOT NULL)});
$kafka->commit('foreign', 'otel-logs', $_, 0, "sl1:00000000-0000-0000-0000-000000000001:1:0") for 0 .. 2;
$server->sql("SELECT stacklens.create_kafka_source('foreign', '" . $kafka->bootstrap . "', 'otel-logs', group_id => 'foreign')");
$server->wait_for('the refusal', q{SELECT last_error LIKE 'group "foreign" belongs to another%' FROM stacklens.stat_sources WHERE name = 'foreign'});
is($server->sql(q{SELECT count(*) FROM stacklens.positions}), 0, 'nothing was read');
is(($kafka->group_state('foreign'))[1] // 0, 0, 'and the group was not joined');
like($server->sql(q{SELECT hint FROM stacklens.health() WHERE part = 'kafka lag'}), qr/belongs to another StackLens database/, 'health() says so');
$server->sql(q{SELECT stacklens.drop_source('foreign')});

# --- OTLP in protobuf, and start => latest ---
$kafka->create_topic('late', partitions => 1);
$kafka->produce('late', [ record('too-early', 1) ]);
$server->sql("SELECT stacklens.create_kafka_source('late', '" . $kafka->bootstrap . "', 'late', group_id => 'late', start => 'latest')");
$server->wait_for('its position', q{SELECT next_offset FROM stacklens.positions WHERE source = 'late'}, is => 1);
# resource_logs { scope_logs { log_records { body: "p", attributes { error_code: PRICE_MISSING } } } }
sub field { my ($n, $bytes) = @_; return chr($n << 3 | 2) . chr(length $bytes) . $bytes }
my $otlp = field(1, field(1, field(1, field(1, 'service.name') . field(2, field(1, 'proto'))))
	. field(2, field(2, field(5, field(1, 'p')) . field(6, field(1, 'error_code') . field(2, field(1, 'PRICE_MISSING'))))));
$kafka->produce('late', [ $otlp ]);
$server->wait_for('an OTLP record', q{SELECT count(*) FROM stacklens.alerts WHERE service = 'proto'}, is => 1);
is(count_of('too-early'), 0, 'a source that starts at the latest passes over what was there');

# --- what Kafka deleted before it was read is a gap, and told ---
$kafka->create_topic('short', partitions => 2);
$kafka->produce('short', [ map { record('kept', $_) } 1 .. 5 ], partition => $_) for 0, 1;
$server->sql("SELECT stacklens.create_kafka_source('short', '" . $kafka->bootstrap . "', 'short', group_id => 'short')");
$server->wait_for('both partitions', q{SELECT sum(next_offset) FROM stacklens.positions WHERE source = 'short'}, is => 10);
$server->sql(q{SELECT stacklens.pause_source('short')});
StackLens::Cache::poll_for('the group to be empty', 30, sub { ($kafka->group_state('short'))[0] =~ /Empty|Dead/ });
$kafka->produce('short', [ map { record('deleted', $_) } 1 .. 20 ], partition => 0);
$kafka->delete_records('short', 0, 20);
$server->sql(q{SELECT stacklens.resume_source('short')});
$kafka->produce('short', [ record('other-partition', 1) ], partition => 1);
$server->wait_for('the rest', q{SELECT count FROM stacklens.alerts WHERE service = 'deleted'}, is => 5);
is($server->sql(q{SELECT source, topic, partition, from_offset, to_offset FROM stacklens.gaps}), 'short|short|0|5|20', 'a gap has its place and size');
$server->wait_for('the other partition', q{SELECT count FROM stacklens.alerts WHERE service = 'other-partition'}, is => 1);
is($server->sql(q{SELECT status FROM stacklens.health() WHERE part = 'gaps'}), 'warning', 'and health() points at it');

# --- a restored dump that was adopted goes on in its group ---
$server->sql(q{SELECT stacklens.pause_source('short')});
StackLens::Cache::poll_for('the group to be empty', 30, sub { ($kafka->group_state('short'))[0] =~ /Empty|Dead/ });
$server->sql(q{UPDATE stacklens_internal.incarnation SET id = gen_random_uuid()});
is($server->sql(q{SELECT stacklens.adopt_restore() > 0}), 't', 'adopt_restore()');
$server->sql(q{SELECT stacklens.resume_source('short')});
$kafka->produce('short', [ record('after-adoption', 1) ], partition => 0);
$server->wait_for('a record after it', q{SELECT count FROM stacklens.alerts WHERE service = 'after-adoption'}, is => 1);
is(count_of('deleted') . count_of('kept'), '510', 'nothing is read twice');

# --- a source that is paused in the middle of its work leaves its group at once ---
$kafka->create_topic('busy', partitions => 1);
$kafka->produce('busy', [ map { qq({"n": $_, "message": "nothing of note"}) } 1 .. 300_000 ]);
$server->sql("SELECT stacklens.create_kafka_source('busy', '" . $kafka->bootstrap . "', 'busy', group_id => 'busy')");
$server->wait_for('it to be at work', q{SELECT records > 0 FROM stacklens.stat_sources WHERE name = 'busy'});
my $start = time();
$server->sql(q{SELECT stacklens.pause_source('busy')});
StackLens::Cache::poll_for('the group to be empty', 60, sub { ($kafka->group_state('busy'))[0] =~ /Empty|Dead/ });
cmp_ok(time() - $start, '<', 20, 'a busy source leaves its group when it is paused, before its session times out');

# --- two evaluators that meet in the groups of one correlation: each event counts once ---
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Step
name: step
detection: {s: {kind: step}, condition: s}
---
title: Steps
correlation: {type: event_count, rules: [step], group-by: [host], timespan: 1d, condition: {gte: 100}}
stacklens: {after: slide}
')});
for my $round (0 .. 9)
{
	$kafka->produce('late', [ map { my $host = $_ % 3; qq({"kind": "step", "host": "h$host"}) } 1 .. 60 ]);
	$server->sql("SELECT stacklens.ingest(jsonb_build_object('kind', 'step', 'host', 'h' || n % 3)) FROM generate_series(1, 60) n");
}
$server->wait_for('all of the firings', q{SELECT string_agg(count::text, ' ') FROM stacklens.alerts WHERE rule = 'Steps'}, is => '301 301 301');
is($server->sql(q{SELECT count(DISTINCT source) FROM stacklens.stat_workers WHERE kind = 'evaluator' AND pid IS NOT NULL AND source IN ('inbox', 'late')}), 2, 'two evaluators count to 400 in each of three groups, in whatever order');

# --- options ---
like($server->error_of("SELECT stacklens.create_kafka_source('x', 'b:1', 't', options => '{\"plugin.library.paths\": \"/x.so\"}')"),
	qr/option "plugin.library.paths" of a Kafka source is not allowed.*HINT:  Allowed are: .*session.timeout.ms/s, 'options are an allowed list');
like($server->error_of("SELECT stacklens.create_kafka_source('x', 'b:1', 't', options => '{\"session.timeout.ms\": \"soon\"}')"),
	qr/22023: invalid value "soon" of option "session.timeout.ms"/, 'with values that librdkafka takes');
is($server->sql(q{SELECT count(*) FROM stacklens.sources WHERE name = 'x'}), 0, 'nothing was made of these');

# --- keys, headers, tombstones, transactions ---
$server->sql(q{SELECT stacklens.create_rule('keyed', match => '{"messaging.kafka.message.key": "k1", "kafka.header.tenant": "blue"}')});
$kafka->produce('late', [ '{"service": "with-key"}', undef ], key => 'k1', headers => { tenant => 'blue' });
$server->wait_for('a rule of key and header', q{SELECT string_agg(rule || ' ' || service || ' ' || count, ', ') FROM stacklens.alerts WHERE service = 'with-key'}, is => 'keyed with-key 1');
is($server->sql(q{SELECT record -> 'attributes' ->> 'kafka.header.tenant' FROM stacklens.alert_samples s JOIN stacklens.alerts a ON a.id = s.alert_id WHERE a.rule = 'keyed'}), 'blue', 'key and headers are attributes');
$kafka->produce('late', [ record('committed', 1), record('committed', 2) ], transaction => 'commit');
$kafka->produce('late', [ record('aborted', 1) ], transaction => 'abort');
$server->wait_for('what was committed', q{SELECT count FROM stacklens.alerts WHERE service = 'committed'}, is => 2);
$server->wait_for('the end of the topic', q{SELECT next_offset || ' ' || lag FROM stacklens.positions WHERE source = 'late'}, is => $kafka->end_offsets('late')->{0} . ' 0');
is(count_of('aborted'), 0, 'what was aborted is not read, and leaves no lag');
is($server->sql(q{SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'source' = 'late'}), 0, 'a tombstone is no dead letter');

# --- a source is changed while it is read ---
my $was = $server->sql(q{SELECT next_offset FROM stacklens.positions WHERE source = 'late'});
is($server->sql(q{SELECT stacklens.alter_source('late', format => 'json', options => '{"session.timeout.ms": 7000}')}), 'late', 'a source is changed');
$kafka->produce('late', [ 'no JSON', record('altered', 1) ]);
$server->wait_for('a record under the new settings', q{SELECT count FROM stacklens.alerts WHERE service = 'altered'}, is => 1);
is($server->sql(q{SELECT next_offset FROM stacklens.positions WHERE source = 'late'}), $was + 2, 'it goes on where it was');
is($server->sql(q{SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'source' = 'late'}), 1, 'in the new format');
$server->sql(q{SELECT stacklens.alter_source('late', group_id => 'late-2')});
$kafka->produce('late', [ record('regrouped', 1) ]);
$server->wait_for('a record in the new group', q{SELECT count FROM stacklens.alerts WHERE service = 'regrouped'}, is => 1);
is($server->sql(q{SELECT next_offset FROM stacklens.positions WHERE source = 'late'}), $was + 3, 'another group: the table says where');
$kafka->create_topic('later', partitions => 1);
$server->sql(q{SELECT stacklens.alter_source('late', topic => 'later')});
$server->wait_for('its position', q{SELECT count(*) FROM stacklens.positions WHERE topic = 'later'}, is => 1);
$kafka->produce('later', [ record('later', 1) ]);
$server->wait_for('a record of another topic', q{SELECT count FROM stacklens.alerts WHERE service = 'later'}, is => 1);
is($server->sql(q{SELECT string_agg(topic || ' ' || COALESCE(lag::text, '-'), ', ' ORDER BY topic) FROM stacklens.positions WHERE source = 'late'}), 'late -, later 0', 'another topic: the old one is no lag');
$server->sql(q{SELECT stacklens.alter_source('late', topic => 'late')});
$server->wait_for('its evaluator', q{SELECT owner IS NOT NULL FROM stacklens.positions WHERE source = 'late' AND topic = 'late'});
like($server->error_of(q{SELECT stacklens.alter_source('late', format => 'xml')}), qr/22023: unknown log format "xml"/, 'what can not be made can not be altered to');
like($server->error_of(q{SELECT stacklens.alter_source('nothing')}), qr/42704: source "nothing" does not exist/, 'nor what is not there');

# --- the broker away and back ---
$kafka->kill9;
$server->wait_for('the complaint', q{SELECT status IS NOT NULL FROM stacklens.stat_sources WHERE name = 'late'});
is($server->sql(q{SELECT stacklens.ingest('{"service": "inbox-meanwhile", "error_code": "PRICE_MISSING"}') > 0}), 't', 'the inbox takes records meanwhile');
$server->wait_for('its alert', q{SELECT count(*) FROM stacklens.alerts WHERE service = 'inbox-meanwhile'}, is => 1);
$kafka->start;
$server->wait_for('the complaint to end', q{SELECT status IS NULL FROM stacklens.stat_sources WHERE name = 'late'}, seconds => 90);
pass('a complaint ends when its reason does, without a record');
$kafka->produce('late', [ record('after-outage', 1) ]);
$server->wait_for('the first record after the outage', q{SELECT count(*) FROM stacklens.alerts WHERE service = 'after-outage'}, is => 1);
pass('the source goes on when the broker is back');

done_testing();
