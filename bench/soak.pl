# A quarter of an hour under load, with the topic's retention on: memory of each worker, sizes of tables, dead rows and
# WAL, each ten seconds; at the end the slope of the second half. MINUTES, RATE (records a second). See README.md.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use StackLens::Cache qw(poll_for);
use StackLens::Kafka;
use StackLens::Server;

my $minutes = $ENV{MINUTES} // 15;
my $rate = $ENV{RATE} // 20_000;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $kafka = StackLens::Kafka->new(dir => $dir, heap => ['-Xmx512m'], properties => { 'log.retention.check.interval.ms' => 10_000 });
$kafka->create_topic('load', partitions => 4, config => { 'retention.ms' => 60_000, 'segment.bytes' => 67_108_864 });
my $server = StackLens::Server->new('soak', conf => "shared_buffers = 256MB\nmax_wal_size = 1GB\nstacklens.workers = 2\nmax_worker_processes = 24\nautovacuum_naptime = 10s\n");
# what an alerting system has: rules that match little, one that matches often, a correlation by service
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"error_code\": \"E$_\", \"message|contains\": \"no such text $_\"}')") for 1 .. 10;
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: refused
name: refused
detection: {s: {error_code: REFUSED}, condition: s}
stacklens: {suppress: {by: [service]}}
---
title: many refused
correlation: {type: event_count, rules: [refused], group-by: [service], timespan: 1m, condition: {gte: 50}, generate: true}
')});
$server->sql("SELECT stacklens.create_kafka_source('load', '" . $kafka->bootstrap . "', 'load')");
$server->wait_for_workers(6);
open my $file, '>', "$dir/messages" or die;
for my $n (1 .. $rate)
{
	my $code = $n % 200 ? '' : ', "error_code": "REFUSED"';
	print $file qq({"service": "s@{[ $n % 50 ]}", "level": "info", "message": "payment provider answered in $n ms", "http.route": "/pay/$n", "host": "h@{[ $n % 7 ]}"$code}\n);
}
close $file;
# the same second again and again
my ($out, $err) = ('', '');
my $seconds = $minutes * 60;
my $producer = IPC::Run::start([ 'sh', '-c', "for i in \$(seq 1 $seconds); do \"\$@\" || exit 1; done", 'sh', $kafka->produce_command('load', '-f', "$dir/messages", '--rate', $rate, '--timeout', 60_000) ], '>', \$out, '2>', \$err);

my (@rows, %memory);
my $start = time();
while (time() - $start < $minutes * 60)
{
	my $at = time() - $start;
	for my $line (split /\n/, $server->sql(q{SELECT concat_ws(' ', kind, source), pid FROM stacklens.stat_workers WHERE pid IS NOT NULL}))
	{
		my ($worker, $pid) = split /\|/, $line;
		my ($kb) = (eval { PostgreSQL::Test::Utils::slurp_file("/proc/$pid/smaps_rollup") } // '') =~ /^Private_Dirty:\s+(\d+)/m or next;
		push @{ $memory{"$worker $pid"} }, [ $at, $kb ];
	}
	push @rows, [ $at, split /\|/, $server->sql(q{SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), pg_database_size(current_database()),
		(SELECT sum(next_offset) FROM stacklens.positions), (SELECT sum(lag) FROM stacklens.positions),
		(SELECT sum(n_dead_tup) FROM pg_stat_user_tables), (SELECT sum(count) FROM stacklens.alerts)}) ];
	diag sprintf '%4d s: %.0f MB, %d records judged, lag %d, %d dead rows, %d matches in alerts', $at, $rows[-1][2] / 1e6, @{ $rows[-1] }[3 .. 6] if @rows % 6 == 1;
	sleep(10);
}
# least squares over the second half, per hour
sub slope
{
	my (@points) = @_;
	@points = @points[ @points / 2 .. $#points ];
	my ($x, $y) = (0, 0);
	($x, $y) = ($x + $_->[0] / @points, $y + $_->[1] / @points) for @points;
	my ($above, $below) = (0, 0);
	($above, $below) = ($above + ($_->[0] - $x) * ($_->[1] - $y), $below + ($_->[0] - $x)**2) for @points;
	return $below ? 3600 * $above / $below : 0;
}
diag sprintf '%-28s private memory %6.1f MB, slope %+.2f MB an hour', $_, $memory{$_}[-1][1] / 1024, slope(@{ $memory{$_} }) / 1024 for sort keys %memory;
my ($first, $last) = @rows[ @rows / 2, -1 ];
my $records = $last->[3] - $first->[3];
diag sprintf 'second half: %.0f records a second, %.2f bytes of WAL a record, database %+.1f MB, at most %d dead rows, most lag %d',
	$records / ($last->[0] - $first->[0]), ($last->[1] - $first->[1]) / $records, ($last->[2] - $first->[2]) / 1e6,
	(sort { $b <=> $a } map { $_->[5] } @rows)[0], (sort { $b <=> $a } map { $_->[4] } @rows[ @rows / 2 .. $#rows ])[0];
eval { $producer->kill_kill };
is($server->sql('SELECT count(*) FROM stacklens.gaps'), 0, 'nothing was deleted before it was read');
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'nothing was set aside');
is(scalar keys %memory, 6, 'no worker was started again');
done_testing();
