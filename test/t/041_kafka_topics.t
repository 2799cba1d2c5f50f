# Topics as they are in the wild: compressed messages, a topic that was deleted and made again, one that two databases
# share by its partitions.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(cached poll_for);
use StackLens::Kafka;
use StackLens::Server;

my $kafka = StackLens::Kafka->new(dir => PostgreSQL::Test::Utils::tempdir());
my $server = StackLens::Server->new('topics');
my $rule = q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high')};
$server->sql($rule);
sub record { my ($service, $n) = @_; return qq({"service": "$service", "error_code": "PRICE_MISSING", "n": $n}) }
sub wait_for_count { my ($where, $service, $n) = @_; return $where->wait_for("records of $service", "SELECT sum(count) FROM stacklens.alerts WHERE service = '$service'", is => $n) }
sub left { my ($group) = @_; return poll_for("group $group to be empty", 30, sub { ($kafka->group_state($group))[0] =~ /Empty|Dead/ }) }

# --- compression ---
$kafka->create_topic('codecs', partitions => 1);
$server->sql("SELECT stacklens.create_kafka_source('codecs', '" . $kafka->bootstrap . "', 'codecs', group_id => 'codecs')");
for my $codec (qw(none gzip snappy lz4 zstd))
{
	$kafka->produce('codecs', [ map { record($codec, $_) } 1 .. 50 ], compression => $codec);
	ok(wait_for_count($server, $codec, 50), "messages compressed by $codec");
}
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'and none is a dead letter');

# --- formats: as a source says, and as their bytes say ---
my $otlp_json = '{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "SERVICE"}}]}, "scopeLogs": [{"logRecords": [{"body": {"stringValue": "no price"}}, {"body": {"stringValue": "no price"}}]}]}]}';
$server->sql(q{SELECT stacklens.create_rule('no price', match => '{"message": "no price"}')});
for my $case ([ otlp_json => $otlp_json, 2 ], [ json => qq({"message": "no price", "service": "SERVICE"}\n{"message": "no price", "service": "SERVICE"}), 2 ], [ text => 'no price', 1 ])
{
	my ($format, $bytes, $n) = @$case;
	for my $said ($format, 'auto')
	{
		my $name = "$format-as-$said";
		$kafka->create_topic($name, partitions => 1);
		$server->sql("SELECT stacklens.create_kafka_source('$name', '" . $kafka->bootstrap . "', '$name', group_id => '$name', format => '$said')");
		$kafka->produce($name, [ $bytes =~ s/SERVICE/$name/gr ]);
		ok($server->wait_for($name, qq{SELECT sum(a.count) FROM stacklens.alerts a WHERE a.rule = 'no price' AND } . ($format eq 'text' ? 'a.service IS NULL' : "a.service = '$name'"), is => $format eq 'text' && $said eq 'auto' ? 2 * $n : $n), "$format, said to be $said");
		$server->sql("SELECT stacklens.drop_source('$name')");
	}
}
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'without a dead letter');

# --- records of Kafka in logs: kept there, and judged once ---
$kafka->create_topic('stored', partitions => 1);
$server->sql("SELECT stacklens.create_kafka_source('stored', '" . $kafka->bootstrap . "', 'stored', group_id => 'stored', store => true)");
$kafka->produce('stored', [ "\xFF\xFE", record('stored', 1), '{"service": "stored", "message": "of no note", "timestamp": "2026-01-02T03:04:05Z", "n": 2}', record('stored', 3) ], headers => { tenant => 'blue' });
wait_for_count($server, 'stored', 2);
is($server->sql(q{SELECT string_agg(concat_ws(' ', l.service, l.error_code, l.source, l.attributes ->> 'n', l.attributes ->> 'kafka.header.tenant'), ', ' ORDER BY l.id) FROM stacklens.logs l}),
	'stored PRICE_MISSING stored 1 blue, stored stored 2 blue, stored PRICE_MISSING stored 3 blue', 'a source that stores keeps its records in logs');
is($server->sql(q{SELECT timestamp = '2026-01-02T03:04:05Z' FROM stacklens.logs WHERE message = 'of no note'}), 't', 'by their own time');
is($server->sql(q{SELECT count(*) FROM stacklens.backtest_rule('PRICE_MISSING') WHERE record ->> 'service' = 'stored'}), 2, 'where a backtest finds them');
$server->sql(q{SELECT stacklens.ingest('{"service": "inbox", "error_code": "PRICE_MISSING"}')});
wait_for_count($server, 'inbox', 1);
is($server->sql(q{SELECT sum(count) FROM stacklens.alerts WHERE service = 'stored'}) . $server->sql(q{SELECT lag FROM stacklens.stat_sources WHERE name = 'inbox'}), '20', 'the inbox does not judge them again');
$server->sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.message = 'refused' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22023'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON stacklens.logs FOR EACH ROW EXECUTE FUNCTION refuse();});
$kafka->produce('stored', [ '{"service": "stored", "error_code": "PRICE_MISSING", "message": "refused"}', record('stored', 4) ]);
wait_for_count($server, 'stored', 3);
is($server->sql(q{SELECT string_agg(d.sqlstate, ' ' ORDER BY d.id) FROM stacklens.dead_letters d WHERE d.origin ->> 'source' = 'stored'}), '22P02 22023', 'one that the table refuses is set aside, and the others go on');
$server->sql(q{SELECT stacklens.alter_source('stored', store => false)});
$kafka->produce('stored', [ record('stored', 5) ]);
wait_for_count($server, 'stored', 4);
is($server->sql(q{SELECT count(*) FROM stacklens.logs WHERE source = 'stored'}), 4, 'until it is told not to');
$server->sql(q{SELECT stacklens.discard('{"source": "stored"}'::jsonb); DROP TRIGGER refuse ON stacklens.logs;});
$server->sql(q{SELECT stacklens.drop_source('stored')});

# --- a topic made anew, with more messages than were read of the old one ---
$kafka->create_topic('anew', partitions => 2);
$kafka->produce('anew', [ map { record('old', $_) } 1 .. 5 ], partition => $_) for 0, 1;
$server->sql("SELECT stacklens.create_kafka_source('anew', '" . $kafka->bootstrap . "', 'anew', group_id => 'anew', options => '{\"session.timeout.ms\": 6000}')");
wait_for_count($server, 'old', 10);
$server->wait_for('positions', q{SELECT sum(next_offset) FROM stacklens.positions WHERE source = 'anew'}, is => 10);
$server->sql(q{SELECT stacklens.pause_source('anew')});
left('anew');
# partition 1 is as it was
my $log = $server->log_position;
$server->sql(q{SELECT stacklens.resume_source('anew')});
$kafka->produce('anew', [ record('same', 1) ], partition => $_) for 0, 1;
wait_for_count($server, 'same', 2);
is($server->sql(q{SELECT sum(count) FROM stacklens.alerts WHERE service = 'old'}), 10, 'a topic that is the same goes on where it was');
unlike($server->log_text($log), qr/made anew/, 'which needs no word');
$server->wait_for('positions', q{SELECT sum(next_offset) FROM stacklens.positions WHERE source = 'anew'}, is => 12);
$server->sql(q{SELECT stacklens.pause_source('anew')});
left('anew');
$kafka->delete_topic('anew');
poll_for('the topic to be gone', 30, sub { !eval { $kafka->end_offsets('anew') } });
$kafka->create_topic('anew', partitions => 2);
$kafka->produce('anew', [ map { record('new', $_) } 1 .. 8 ], partition => 0);
$kafka->produce('anew', [ map { record('new', $_) } 1 .. 3 ], partition => 1);
$server->sql(q{SELECT stacklens.resume_source('anew')});
ok(wait_for_count($server, 'new', 11), 'a topic made anew is read from its start, whether it has more messages now or fewer');
is($server->sql(q{SELECT string_agg(partition || ' ' || from_offset || ' ' || to_offset || ' ' || reason, ', ' ORDER BY partition) FROM stacklens.gaps WHERE source = 'anew'}),
	'0 6 0 the topic was made anew, 1 6 0 the topic was made anew', 'which is told');
$server->wait_for('positions', q{SELECT sum(next_offset) FROM stacklens.positions WHERE source = 'anew'}, is => 11);
# what is gone before the position is no gap
$kafka->produce('anew', [ record('more', 1) ], partition => 0);
wait_for_count($server, 'more', 1);
$server->wait_for('positions', q{SELECT sum(next_offset) FROM stacklens.positions WHERE source = 'anew'}, is => 12);
$server->sql(q{SELECT stacklens.pause_source('anew')});
left('anew');
$kafka->delete_records('anew', 0, 9);
$server->sql(q{SELECT stacklens.resume_source('anew')});
$kafka->produce('anew', [ record('after-deletion', 1) ], partition => 0);
ok(wait_for_count($server, 'after-deletion', 1), 'records deleted after they were judged stop nothing');
is($server->sql(q{SELECT count(*) FROM stacklens.gaps WHERE source = 'anew'}), 2, 'and are no gap');

# one that is written in transactions, whose markers stand behind the last message
$kafka->create_topic('marked', partitions => 1);
$kafka->produce('marked', [ map { record('marked-old', $_) } 1 .. 5 ], transaction => 'commit');
$server->sql("SELECT stacklens.create_kafka_source('marked', '" . $kafka->bootstrap . "', 'marked', group_id => 'marked', options => '{\"session.timeout.ms\": 6000}')");
wait_for_count($server, 'marked-old', 5);
$server->wait_for('the marker', q{SELECT next_offset || ' ' || lag FROM stacklens.positions WHERE source = 'marked'}, is => '6 0');
$server->sql(q{SELECT stacklens.pause_source('marked')});
left('marked');
$server->sql(q{SELECT stacklens.resume_source('marked')});
$kafka->produce('marked', [ record('marked-same', 1) ], transaction => 'commit');
wait_for_count($server, 'marked-same', 1);
is($server->sql(q{SELECT sum(count) FROM stacklens.alerts WHERE service = 'marked-old'}), 5, 'a topic of transactions goes on where it was');
$server->wait_for('the marker', q{SELECT next_offset FROM stacklens.positions WHERE source = 'marked'}, is => 8);
$server->sql(q{SELECT stacklens.pause_source('marked')});
left('marked');
$kafka->delete_topic('marked');
poll_for('the topic to be gone', 30, sub { !eval { $kafka->end_offsets('marked') } });
$kafka->create_topic('marked', partitions => 1);
$kafka->produce('marked', [ map { record('marked-new', $_) } 1 .. 20 ]);
$server->sql(q{SELECT stacklens.resume_source('marked')});
ok(wait_for_count($server, 'marked-new', 20), 'and when it was made anew, from its start');

# --- a topic that two databases share ---
my $other = StackLens::Server->new('other');
$other->sql($rule);
$kafka->create_topic('shared', partitions => 4);
my $make = sub { my ($partitions) = @_; return "SELECT stacklens.create_kafka_source('shared', '" . $kafka->bootstrap . "', 'shared', group_id => '$partitions', options => '{\"partitions\": \"$partitions\"}')" };
$server->sql($make->('0-1,3'));
$other->sql($make->('2'));
$kafka->produce('shared', [ map { record("part$_", $_) } 1 .. 10 ], partition => $_) for 0 .. 3;
$server->wait_for('three partitions', q{SELECT sum(count) FROM stacklens.alerts WHERE service LIKE 'part%'}, is => 30);
$other->wait_for('the other', q{SELECT sum(count) FROM stacklens.alerts WHERE service LIKE 'part%'}, is => 10);
is($server->sql(q{SELECT string_agg(partition || ':' || next_offset || ':' || lag, ' ' ORDER BY partition) FROM stacklens.positions WHERE source = 'shared'}), '0:10:0 1:10:0 3:10:0', 'each reads its partitions');
is($other->sql(q{SELECT string_agg(partition || ':' || next_offset || ':' || lag, ' ') FROM stacklens.positions}), '2:10:0', 'and no others');
$other->sql(q{SELECT stacklens.alter_source('shared', options => '{"partitions": 1}')});
$other->wait_for('another partition', q{SELECT string_agg(partition || ':' || next_offset || ':' || COALESCE(lag::text, '-'), ' ' ORDER BY partition) FROM stacklens.positions WHERE partition = 2 OR next_offset = 10}, is => '1:10:0 2:10:-');
pass('what it reads no longer has no lag');
# evaluators of one source share a range of partitions evenly
$server->sql(q{ALTER SYSTEM SET stacklens.workers = 2});
$server->sql('SELECT pg_reload_conf()');
$server->sql(q{SELECT stacklens.alter_source('shared', options => '{"partitions": "0-1"}')});
$server->wait_for('two owners', q{SELECT count(DISTINCT owner) FROM stacklens.positions WHERE source = 'shared' AND partition <= 1}, is => 2);
pass('a range of partitions is shared among the evaluators');
$server->sql(q{SELECT stacklens.alter_source('shared', options => '{"partitions": "7"}')});
$server->wait_for('the complaint', q{SELECT status LIKE 'topic "shared" has none of the partitions%' FROM stacklens.stat_sources WHERE name = 'shared'});
pass('partitions that are not there are told');
like($server->error_of("SELECT stacklens.create_kafka_source('twin', '" . $kafka->bootstrap . "', 'codecs', group_id => 'codecs')"),
	qr/42710: another source reads topic "codecs" in group "codecs".*HINT:  Give this one a group_id of its own/s, 'two sources of one group would leave some of it unread');
for my $bad ('', 'x', '3-1', '1-', '-1', '1,', '1;2', '99999999999')
{
	like($server->error_of("SELECT stacklens.create_kafka_source('bad', 'b:1', 't', options => '{\"partitions\": \"$bad\"}')"),
		qr/22023: invalid value "\Q$bad\E" of option "partitions".*HINT:  It is a list of at most 64 ranges/s, "partitions \"$bad\" are refused");
}

# --- metrics, by OpenMetrics' own reader ---
my $name = q{a "quoted" \\ name};
$server->sql(qq{SELECT stacklens.create_kafka_source('$name', '} . $kafka->bootstrap . q{', 'codecs', group_id => 'quoted')});
$server->wait_for('its positions', qq{SELECT sum(next_offset) FROM stacklens.positions WHERE source = '$name'}, is => 250);
my ($families, $complaint) = ('', '');
my $metrics = $server->sql(q{SELECT stacklens.metrics()});
my $read = q{import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
for f in read(sys.stdin.read()):
    for s in f.samples: print(s.name, sorted(s.labels.items()), int(s.value))};
ok(IPC::Run::run([ cached('python') . '/bin/python', '-c', $read ], '<', \$metrics, '>', \$families, '2>', \$complaint), 'metrics() is OpenMetrics') or diag($complaint);
like($families, qr/^stacklens_partition_lag \[\('partition', '0'\), \('source', 'codecs'\), \('topic', 'codecs'\)\] 0$/m, 'with the lag of each partition');
like($families, qr/^stacklens_source_records_total \[\('source', 'a "quoted" \\\\ name'\)\] 250$/m, 'whatever a source is called');
like($families, qr/^stacklens_workers \[\('kind', 'evaluator'\), \('source', 'codecs'\)\] 2$/m, 'and its workers');
like($families, qr/^stacklens_gaps \[\] 3$/m, 'and gaps');

done_testing();
