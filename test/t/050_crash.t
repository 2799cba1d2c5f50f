# Twenty crashes under load: kill -9 of the evaluator, of the postmaster and of the broker, drawn by a seed
# (STACKLENS_SEED repeats a run). Each record of the inbox and of the topic is counted once, each alert opened
# once, and the feed has no holes.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(poll_for);
use StackLens::Kafka;
use StackLens::Server;

my $seed = $ENV{STACKLENS_SEED} // time();
srand($seed);
note("STACKLENS_SEED=$seed");

my $dir = PostgreSQL::Test::Utils::tempdir();
my $kafka = StackLens::Kafka->new(dir => $dir);
$kafka->create_topic('load', partitions => 3);
my $server = StackLens::Server->new('crash');
# every record of its own number is an alert of its own: lost ones and doubled ones can't cancel out
$server->sql(q{SELECT name FROM stacklens.import_rules($$
title: each
level: low
detection: {s: {kind: load}, condition: s}
stacklens: {suppress: {by: [n]}}
---
title: all
detection: {s: {kind: load}, condition: s}
$$) WHERE status <> 'created'});
$server->sql("SELECT stacklens.create_kafka_source('load', '" . $kafka->bootstrap . "', 'load', options => '{\"session.timeout.ms\": 6000}')");
$server->wait_for_workers(5);

# --- load: a producer of numbered messages, and a writer whose commits are known ---
my $messages = 30_000;
my $file = "$dir/messages";
open my $out, '>', $file or die;
print $out qq({"kind": "load", "service": "kafka", "n": "k$_"}\n) for 1 .. $messages;
close $out;
my ($producer_out, $producer_err) = ('', '');
my $producer = IPC::Run::start([ $kafka->produce_command('load', '-f', $file, '--rate', 700, '--timeout', 300_000) ], '>', \$producer_out, '2>', \$producer_err);

my $ingested = 0;
my %maybe;
sub ingest
{
	my ($number) = @_;
	my $values = join ', ', map { my $n = $ingested + $_; qq('{"kind": "load", "service": "inbox", "n": "i$n"}') } 1 .. $number;
	my ($status) = $server->node->psql('stacklens', "SELECT stacklens.ingest(ARRAY[$values]::jsonb[])");
	# whether an unanswered commit happened is not known: the table tells, at the end
	$maybe{$ingested + $_} = 1 for grep { $status != 0 } 1 .. $number;
	$ingested += $number;
	return $status == 0;
}

my %faults = (evaluator => 0, postmaster => 0, broker => 0);
for my $round (1 .. 20)
{
	my $kind = $round <= 3 ? (qw(evaluator postmaster broker))[$round - 1] : (qw(evaluator evaluator evaluator postmaster postmaster broker))[ rand 6 ];
	$faults{$kind}++;
	# something is under way when it strikes, and it strikes at any point of it
	ingest(1 + int rand 200) for 1 .. 3;
	if ($kind eq 'broker')
	{
		$kafka->kill9;
		ingest(50);
		$kafka->start;
	}
	elsif ($kind eq 'evaluator')
	{
		my ($status, $pid) = $server->node->psql('stacklens', q{SELECT pid FROM stacklens.stat_workers WHERE kind = 'evaluator' ORDER BY random() LIMIT 1});
		kill 'KILL', $pid if $status == 0 && $pid;
		poll_for('the server after a crash of a worker', 60, sub { ingest(10) });
	}
	else
	{
		$server->crash;
	}
}
note(join ', ', map { "$_: $faults{$_}" } sort keys %faults);

$producer->finish;
is($producer_out, "$messages\n", 'the producer delivered all its messages') or diag($producer_out . $producer_err);
my $ends = $kafka->end_offsets('load');
my $in_topic = 0;
$in_topic += $_ for values %$ends;
$server->wait_for('the topic to be read to its ends', 'SELECT sum(next_offset) FROM stacklens.positions', is => $in_topic, seconds => 120);
my $in_table = $server->sql(q{SELECT count(*) FROM stacklens.logs});
cmp_ok($in_table, '>=', $ingested - keys %maybe, 'the inbox holds what was committed');
$server->wait_for('the inbox to be read', q{SELECT sum(count) FROM stacklens.alerts WHERE rule = 'all' AND service = 'inbox'}, is => $in_table, seconds => 120);

is($server->sql(q{SELECT sum(count) FROM stacklens.alerts WHERE rule = 'all' AND service = 'kafka'}), $in_topic, 'each message of the topic was counted once');
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'each' AND service = 'kafka'}), $messages, 'each number is an alert');
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'each' AND count <> 1}), $in_topic - $messages, 'of one record');
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'each' AND service = 'inbox'}), $in_table, 'each row of the inbox, too');
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'all'}), 2, 'and two alerts count all of them');
$server->wait_for('the feed', q{SELECT NOT EXISTS (SELECT FROM stacklens_internal.changes)});
is($server->sql(q{SELECT count(*) = max(seq) AND min(seq) = 1 FROM stacklens.alert_feed}), 't', 'the feed has no holes');
is($server->sql(q{SELECT count(*) FROM (SELECT alert_id FROM stacklens.alert_feed WHERE change = 'opened' GROUP BY alert_id HAVING count(*) <> 1) t}), 0, 'each alert was opened once');
is($server->sql(q{SELECT count(*) FROM stacklens.dead_letters}), 0, 'nothing was set aside');
is($server->sql(q{SELECT count(*) FROM pg_prepared_xacts}) . $server->sql(q{SELECT count(*) FROM pg_replication_slots}), '00', 'nothing is left over');
$server->node->stop;
done_testing();
