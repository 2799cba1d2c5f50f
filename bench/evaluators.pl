# One evaluator and four on the same topic, and a backlog: records per CPU second and a second, what the time outside
# decoding and matching is, how long millions of waiting records take. See README.md.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Bench qw(build_bench_kafka cpu_of);
use StackLens::Cache qw(poll_for);
use StackLens::Kafka;
use StackLens::Server;

my $n = $ENV{MESSAGES} // 2_000_000;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $tool = build_bench_kafka($dir);

my $kafka = StackLens::Kafka->new(dir => $dir, heap => ['-Xmx1g'], properties => { 'log.segment.bytes' => 268435456 });
my $server = StackLens::Server->new('bench', conf => "shared_buffers = 256MB\nmax_worker_processes = 24\n");
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"error_code\": \"E$_\", \"message|contains\": \"no such text $_\"}')") for 1 .. 10;

# a million messages made once, and produced as often as it takes
my $part = $n < 1_000_000 ? $n : 1_000_000;
system($tool, 'make', 'otlp_proto', $part, "$dir/messages") == 0 or die;
$kafka->create_topic('load', partitions => 4);
for (1 .. $n / $part)
{
	system($kafka->produce_command('load', '--format', 'length-prefixed', '-f', "$dir/messages", '--timeout', 600_000)) == 0 or die;
}
unlink "$dir/messages";
diag "$n messages in 4 partitions";
for my $workers (1, 4)
{
	$server->sql("ALTER SYSTEM SET stacklens.workers = $workers");
	$server->sql('SELECT pg_reload_conf()');
	my $name = "by-$workers";
	my $start = time();
	$server->sql("SELECT stacklens.create_kafka_source('$name', '@{[ $kafka->bootstrap ]}', 'load', group_id => '$name', format => 'otlp_proto')");
	poll_for('the evaluators', 60, sub { $server->sql("SELECT count(*) FROM stacklens.stat_workers WHERE source = '$name' AND state = 'running'") == $workers });
	my @pids = split /\n/, $server->sql("SELECT pid FROM stacklens.stat_workers WHERE source = '$name'");
	$server->wait_for('the end of the topic', "SELECT sum(next_offset) FROM stacklens.positions WHERE source = '$name'", is => $n, seconds => 1200);
	my $took = time() - $start;
	my $cpu = 0;
	$cpu += cpu_of($_) for @pids;
	diag sprintf '%d evaluator(s): %.0f records per CPU second, %.0f a second (%.0f s), %.0f MB each at the end', $workers, $n / $cpu, $n / $took, $took,
		(eval { my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pids[0]/status") =~ /VmRSS:\s+(\d+)/; $kb } // 0) / 1024;
	$server->sql("SELECT stacklens.drop_source('$name')");
	poll_for('them to leave', 60, sub { $server->sql("SELECT count(*) FROM stacklens.stat_workers WHERE source = '$name' AND pid IS NOT NULL") == 0 });
}
ok(1, 'measured');
done_testing();
