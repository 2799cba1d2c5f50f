# Correlations: LIVE groups (a million), then RECORDS records over a thousand of them that spread over an
# hour of event time; the same records before there is a correlation say what is the detection's and the inbox's
# share. Per phase: elapsed time, CPU seconds of the evaluator, WAL, and the table's size. See README.md.

use strict;
use warnings;

use POSIX ();
use Test::More;
use Time::HiRes qw(time);

use StackLens::Server;

my $groups = $ENV{LIVE} // 1_000_000;
my $records = $ENV{RECORDS} // 500_000;
my $hot = 1000;
my $server = StackLens::Server->new('correlation', conf => <<'CONF');
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum_naptime = 5s
CONF
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Base
name: base
detection: {s: {kind: base}, condition: s}
')});

sub cpu_of
{
	my $pid = $server->worker_pid('evaluator');
	open my $in, '<', "/proc/$pid/stat" or die;
	my @field = split / /, <$in> =~ s/.*\) //r;
	return ($field[11] + $field[12]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

# Records whose event times begin so many hours ago; each of n records of user (n mod groups), over so many seconds.
sub run
{
	my ($what, $n, $users, $seconds, $hours_ago) = @_;
	my $sql = sub { return $server->sql($_[0]) };
	my $lsn = $sql->('SELECT pg_current_wal_lsn()');
	my $cpu = cpu_of();
	my $start = time();
	# in pieces, so that the evaluator works beside the writer
	for my $piece (0 .. 9)
	{
		my ($from, $to) = map { int($n * $_ / 10) } $piece, $piece + 1;
		$sql->("INSERT INTO stacklens.logs (timestamp, service, attributes)
			SELECT now() - interval '$hours_ago hours' + g * interval '$seconds seconds' / $n, 's', jsonb_build_object('kind', 'base', 'user', g % $users)
			FROM generate_series($from, $to - 1) g");
	}
	$server->wait_for("the records of $what", 'SELECT stacklens_internal.inbox_lag() = 0', seconds => 1800);
	my $took = time() - $start;
	$cpu = cpu_of() - $cpu;
	my $wal = $sql->("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '$lsn')");
	my ($live, $size) = split /\|/, $sql->(q{SELECT count(*), pg_total_relation_size('stacklens_internal.correlation_states') FROM stacklens_internal.correlation_states});
	diag(sprintf "%-44s %9d records %7.1f s %6.1f CPU s %8d records/CPU s %6.0f bytes of WAL/record %9d groups %6.0f MB", $what, $n, $took, $cpu,
		$n / ($cpu || 1), $wal / $n, $live, $size / 1e6);
	return ($cpu / $n, $wal / $n);
}

my ($base_cpu, $base_wal) = run('the detection alone', $records, $hot, 3600, 6);
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Counted
name: counted
correlation: {type: event_count, rules: [base], group-by: [user], timespan: 5m, condition: {gte: 50}}
')});
my ($first_cpu, $first_wal) = run("$groups groups, each new", $groups, $groups, 60, 4);
my ($cpu, $wal) = run("an hour of $hot hot groups", $records, $hot, 3600, 3);
diag(sprintf "of the correlation alone: %.1f us of CPU and %.0f bytes of WAL a record; a new group: %.1f us, %.0f bytes", ($cpu - $base_cpu) * 1e6,
	$wal - $base_wal, ($first_cpu - $base_cpu) * 1e6, $first_wal - $base_wal);
