# Faults under load, drawn by a seed: kill -9 of every kind of worker, of the postmaster, of the broker that leads a
# partition and of all three brokers, evaluators frozen and a network cut for longer than Kafka waits, a full disk below
# the WAL, a storm of rebalances, changed rules, an operator's open transaction, a reset by Kafka's own tool, and of the
# Elasticsearch that all is shipped to. Each record of the inbox and of the topic is counted once (once more where a reset
# said so), by detections and by a correlation, and is a document once; each alert is opened once, the feed has no holes,
# and nothing is left over.
#
#	STACKLENS_SEED=…      repeats a run
#	STACKLENS_FAULTS=200  (20) is what "make chaos" does
#	STACKLENS_FAULT=…     only faults of one kind

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(poll_for);
use StackLens::Elasticsearch;
use StackLens::KafkaCluster;
use StackLens::Relay;
use StackLens::Server;

my $seed = $ENV{STACKLENS_SEED} // time();
srand($seed);
note("STACKLENS_SEED=$seed");

my $dir = PostgreSQL::Test::Utils::tempdir();
my $relay = StackLens::Relay->new(3);
my $kafka = StackLens::KafkaCluster->new(dir => $dir, relayed => [ $relay->addresses ]);
$relay->start($kafka->relay_targets);
$kafka->create_topic('load', partitions => 3);
my $full_disk = "$dir/full_disk";
my $server = StackLens::Server->new('chaos',
	full_disk => $full_disk,
	conf => "cluster_name = chaos\nmax_wal_size = 64MB\nmin_wal_size = 32MB\nstacklens.workers = 2\nstacklens.max_new_alerts = 1000000\nmax_worker_processes = 24\n");
# every record of its own number is an alert of its own: lost ones and doubled ones can't cancel out
$server->sql(q{SELECT name FROM stacklens.import_rules($$
title: each
level: low
detection: {s: {kind: load}, condition: s}
stacklens: {suppress: {by: [n]}}
---
title: all
detection: {s: {kind: load}, condition: s}
---
title: counted
correlation: {type: event_count, rules: [all], group-by: [service], timespan: 7d, condition: {gte: 1}, generate: true}
stacklens: {after: slide, lateness: 1d}
$$) WHERE status <> 'created'});
$server->sql("SELECT stacklens.create_kafka_source('load', '" . join(',', $relay->addresses) . "', 'load', options => '{\"session.timeout.ms\": 6000}', store => true)");
my $es = StackLens::Elasticsearch->new(dir => $dir);
$server->sql("SELECT stacklens.create_elasticsearch_sink('documents', '" . $es->url . "', options => '{\"replicas\": 0}')");
my $workers = 8;
$server->wait_for_workers($workers);

# --- load: a producer of numbered messages, and a writer whose commits are known ---
my $patience = $ENV{STACKLENS_PATIENCE} // 120;
my $wanted_faults = $ENV{STACKLENS_FAULTS} // 20;
my $messages = 1500 * $wanted_faults;
my $file = "$dir/messages";
open my $out, '>', $file or die;
print $out qq({"kind": "load", "service": "kafka", "n": "k$_"}\n) for 1 .. $messages;
close $out;
my ($producer_out, $producer_err) = ('', '');
my $producer = IPC::Run::start([ $kafka->produce_command('load', '-f', $file, '--rate', 700, '--timeout', 900_000) ], '>', \$producer_out, '2>', \$producer_err);

my $ingested = 0;
my %maybe;
sub ingest
{
	my ($number) = @_;
	my $values = join ', ', map { my $n = $ingested + $_; qq('{"kind": "load", "service": "inbox", "n": "i$n"}') } 1 .. $number;
	my ($status) = $server->try_sql("SELECT stacklens.ingest(ARRAY[$values]::jsonb[])");
	# whether an unanswered commit happened is not known: the table tells, at the end
	$maybe{$ingested + $_} = 1 for grep { $status != 0 } 1 .. $number;
	$ingested += $number;
	return $status == 0;
}

sub pid_of { my ($kind) = @_; my ($status, $pid) = $server->try_sql("SELECT pid FROM stacklens.stat_workers WHERE kind = '$kind' AND pid IS NOT NULL ORDER BY random() LIMIT 1"); return $status == 0 && $pid ? $pid : undef }
sub kill_worker
{
	my ($kind) = @_;
	my $pid = pid_of($kind);
	kill 'KILL', $pid if $pid;
	poll_for("the server after a crash of the $kind", 60, sub { ingest(10) });
	return;
}
sub set { my ($name, $value) = @_; $server->try_sql("ALTER SYSTEM SET $name = $value"); $server->try_sql('SELECT pg_reload_conf()'); return }

# Records that a reset has judged again.
my $again = 0;

sub work_for { my ($seconds) = @_; my $until = time() + $seconds; ingest(5) while time() < $until; return }

# An operator's transaction that is left open until another takes its place.
my ($operator, $operator_in, $operator_out, $operator_err);
sub leave_operator
{
	return if !$operator;
	$operator_in .= "ROLLBACK;\n\\q\n";
	eval { $operator->finish; 1 } or eval { $operator->kill_kill };
	$operator = undef;
	return;
}

my @faults = (
	[ evaluator => sub { kill_worker('evaluator') } ],
	[ postmaster => sub { $server->crash } ],
	[ leader => sub {
			my $broker = eval { $kafka->leader('load', int rand 3) } or return;
			$broker->kill9;
			ingest(50);
			$kafka->start;
		} ],
	[ brokers => sub { $kafka->kill9; ingest(50); $kafka->start } ],
	[ network => sub {
			# longer than the group waits for its members, or all at once
			if (rand() < 0.3) { $relay->drop; return }
			$relay->cut;
			work_for(8);
			$relay->mend;
		} ],
	[ disk => sub {
			open my $flag, '>', $full_disk or die;
			close $flag;
			# until a segment can't be made, which is a panic
			my $until = time() + 20;
			while (time() < $until && $server->alive) { ingest(50); $server->try_sql('SELECT pg_switch_wal()') }
			unlink $full_disk;
		} ],
	[ shipper => sub { kill_worker('shipper') } ],
	[ elasticsearch => sub { $es->kill9; work_for(3); $es->start } ],
	[ notifier => sub { kill_worker('notifier') } ],
	[ maintainer => sub { kill_worker('maintainer') } ],
	[ launcher => sub { kill_worker('launcher') } ],
	[ terminated => sub { $server->try_sql(q{SELECT pg_terminate_backend(pid) FROM stacklens.stat_workers WHERE pid IS NOT NULL ORDER BY random() LIMIT 2}) } ],
	# longer than Kafka waits for it: its partitions are another's when it comes back
	[ frozen => sub {
			my $pid = pid_of(rand() < 0.7 ? 'evaluator' : 'shipper') or return;
			kill 'STOP', $pid;
			work_for(8);
			kill 'CONT', $pid;
		} ],
	[ rebalance => sub {
			for (1 .. 1 + int rand 4) { set('stacklens.workers', 1 + int rand 4); work_for(0.5) }
		} ],
	# by Kafka's own tool, some messages back; what the table says then and what Kafka says now is the difference
	[ reset => sub {
			poll_for('a pause', 60, sub { ($server->try_sql(q{SELECT stacklens.pause_source('load')}))[0] == 0 });
			poll_for('the group to be empty', 60, sub { ingest(5); eval { ($kafka->group_state('stacklens-consumer'))[0] =~ /Empty|Dead/ } });
			# an evaluator that was frozen may be about to be thrown out: it stores nothing of ours any more
			poll_for('the evaluators to leave', 60, sub { my ($status, $n) = $server->try_sql(q{SELECT count(*) FROM stacklens.stat_workers WHERE source = 'load' AND pid IS NOT NULL}); $status == 0 && $n == 0 });
			my $back = -1 - int rand 300;
			# of those that something was read of
			my $from = poll_for('offsets', 60, sub { eval { $kafka->committed('stacklens-consumer', 'load') } });
			my $which = join ',', sort keys %$from;
			$which ne '' && poll_for('a reset', 60, sub { eval { $kafka->reset_offsets('stacklens-consumer', "load:$which", 'shift-by', $back) } || do { note($@ =~ s/\n.*//sr); 0 } });
			my $committed = $kafka->committed('stacklens-consumer', 'load');
			my %stored = map { split /\|/ } split /\n/, poll_for('positions', 60, sub { my ($status, $rows) = $server->try_sql(q{SELECT partition, next_offset FROM stacklens.positions WHERE source = 'load'}); $status == 0 && $rows });
			for my $partition (grep { $committed->{$_} } keys %stored)
			{
				# a reset before this one that nobody has adopted yet (its offset has no tag of ours) is counted already
				my $was = $from->{$partition};
				my $pending = $was && ($was->{metadata} // '') !~ /:$was->{offset}$/;
				$again += ($pending ? $was->{offset} : $stored{$partition}) - $committed->{$partition}{offset};
			}
			poll_for('to go on', 60, sub { ($server->try_sql(q{SELECT stacklens.resume_source('load')}))[0] == 0 });
		} ],
	[ rule => sub { $server->try_sql(q{SELECT name FROM stacklens.import_rules('{"name": "other", "match": {"x": } . int(rand 1000) . q{}}')}) } ],
	[ operator => sub {
			leave_operator();
			($operator_in, $operator_out, $operator_err) = ("BEGIN;\nSELECT stacklens.acknowledge_alert(id) FROM stacklens.alerts WHERE rule = 'all';\n", '', '');
			$operator = IPC::Run::start([ 'psql', '-X', '-At', '-d', $server->node->connstr('stacklens') ], '<', \$operator_in, '>', \$operator_out, '2>', \$operator_err);
			my $until = time() + 10;
			eval { $operator->pump_nb; select undef, undef, undef, 0.05 } while $operator_out !~ /acknowledged/ && $operator_err eq '' && time() < $until;
		} ],
);
@faults = grep { $_->[0] eq $ENV{STACKLENS_FAULT} } @faults if $ENV{STACKLENS_FAULT};
my %faults;
for my $round (0 .. $wanted_faults - 1)
{
	# each once, then as they are drawn
	my ($kind, $strike) = @{ $faults[ $round < @faults ? $round : rand @faults ] };
	$faults{$kind}++;
	# something is under way when it strikes, and it strikes at any point of it
	ingest(1 + int rand 200) for 1 .. 3;
	$strike->();
	# one that can't even write its WAL ends altogether: then it is started as an administrator would
	$server->start_again if !$server->alive;
	poll_for("the server after $kind", 60, sub { ingest(10) });
}
leave_operator();
set('stacklens.workers', 2);
note(join ', ', map { "$_: $faults{$_}" } sort keys %faults);

$producer->finish;
is($producer_out, "$messages\n", 'the producer delivered all its messages') or diag($producer_out . $producer_err);
my $ends = $kafka->end_offsets('load');
my $in_topic = 0;
$in_topic += $_ for values %$ends;
$server->wait_for('the topic to be read to its ends', 'SELECT sum(next_offset) FROM stacklens.positions', is => $in_topic, seconds => $patience);
my $in_table = $server->sql(q{SELECT count(*) FROM stacklens.logs WHERE source = 'inbox'});
cmp_ok($in_table, '>=', $ingested - keys %maybe, 'the inbox holds what was committed');
$server->wait_for('the inbox to be read', q{SELECT sum(count) FROM stacklens.alerts WHERE rule = 'all' AND service = 'inbox'}, is => $in_table, seconds => $patience);

# a reset may not have been adopted yet
ok($server->wait_for('the messages', q{SELECT sum(count) FROM stacklens.alerts WHERE rule = 'all' AND service = 'kafka'}, is => $in_topic + $again, seconds => $patience),
	"each message of the topic was counted once, $again once more");
is($server->sql(q{SELECT count(*) FROM stacklens.logs WHERE source = 'load'}), $in_topic + $again, 'and kept in logs as often');
my %counted = (inbox => $in_table, kafka => $in_topic + $again);
for my $service (sort keys %counted)
{
	ok($server->wait_for("the correlation of $service", "SELECT count FROM stacklens.alerts WHERE rule = 'counted' AND group_values ->> 'service' = '$service'", is => $counted{$service}, seconds => $patience),
		"a correlation counted each record of $service once");
}
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'each' AND service = 'kafka'}), $messages, 'each number is an alert');
is($server->sql(q{SELECT sum(count) FROM stacklens.alerts WHERE rule = 'each' AND service = 'kafka'}), $in_topic + $again, 'of one record');
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'each' AND service = 'inbox'}), $in_table, 'each row of the inbox, too');
is($server->sql(q{SELECT count(*) FROM stacklens.alerts WHERE rule = 'all'}), 2, 'and two alerts count all of them');
$server->wait_for('the feed', q{SELECT NOT EXISTS (SELECT FROM stacklens_internal.changes)});
is($server->sql(q{SELECT count(*) = max(seq) AND min(seq) = 1 FROM stacklens.alert_feed}), 't', 'the feed has no holes');
is($server->sql(q{SELECT count(*) FROM (SELECT alert_id FROM stacklens.alert_feed WHERE change = 'opened' GROUP BY alert_id HAVING count(*) <> 1) t}), 0, 'each alert was opened once');
my $documents = 0;
ok(eval { poll_for('the documents', $patience, sub { ($documents = $es->count) == $in_table + $in_topic }) }, 'each record is a document, once') or diag("$documents documents, $in_table and $in_topic records");
is($server->sql(q{SELECT count(*) FROM stacklens.dead_letters}), 0, 'nothing was set aside');
is($server->sql(q{SELECT count(*) FROM pg_prepared_xacts}) . $server->sql(q{SELECT count(*) FROM pg_replication_slots}), '00', 'nothing is left over');
is($server->sql(q{SELECT count(*) FROM stacklens.gaps}), 0, 'and nothing was passed over');
$server->wait_for_workers($workers);
is(processes(), $workers, 'as many workers as there are to be');
$server->node->stop;
is(processes(), 0, 'and none that its server left behind');
done_testing();

# Workers of this test's server, as the kernel knows them.
sub processes
{
	my $n = 0;
	for my $file (glob '/proc/[0-9]*/cmdline')
	{
		my $line = eval { PostgreSQL::Test::Utils::slurp_file($file) } // '';
		$n++ if $line =~ /^postgres: chaos: stacklens /;
	}
	return $n;
}
