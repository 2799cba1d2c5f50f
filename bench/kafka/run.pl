# The evaluator on a real topic against a bare librdkafka consumer of the same topic: messages per CPU second of the
# process (all its threads), in turns, medians. See ../README.md.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Bench qw(build_bench_kafka cpu_of median);
use StackLens::Cache qw(poll_for);
use StackLens::Kafka;
use StackLens::Server;

my $n = $ENV{MESSAGES} // 1_000_000;
my $rounds = $ENV{ROUNDS} // 3;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $tool = build_bench_kafka($dir);

my $kafka = StackLens::Kafka->new(dir => $dir, heap => ['-Xmx1g']);
my $server = StackLens::Server->new('bench', conf => "shared_buffers = 256MB\n");
# ten rules, none of which is true: what an evaluator does nearly all the time
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"error_code\": \"E$_\", \"message|contains\": \"no such text $_\"}')") for 1 .. 5;
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"service\": \"checkout\", \"http.status|gte\": 600}')") for 6;
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"message|contains\": [\"out of memory $_\", \"disk full $_\"]}')") for 7 .. 10;


diag "$n messages a topic, $rounds rounds";
for my $format (qw(otlp_proto json))
{
	system($tool, 'make', $format, $n, "$dir/messages") == 0 or die;
	$kafka->create_topic($format, partitions => 1);
	system($kafka->produce_command($format, '--format', 'length-prefixed', '-f', "$dir/messages", '-p', 0, '--timeout', 300_000)) == 0 or die;
	unlink "$dir/messages";
	my (@bare, @ours);
	for my $round (1 .. $rounds)
	{
		my $cpu = `$tool bare @{[ $kafka->bootstrap ]} $format $n`;
		push @bare, $n / $cpu;
		my $name = "$format-$round";
		$server->sql("SELECT stacklens.create_kafka_source('$name', '@{[ $kafka->bootstrap ]}', '$format', group_id => '$name', format => '$format')");
		my $pid = poll_for('an evaluator', 30, sub { $server->sql("SELECT pid FROM stacklens.stat_workers WHERE source = '$name' AND state = 'running'") });
		$server->wait_for('the end of the topic', "SELECT records FROM stacklens.stat_sources WHERE name = '$name'", is => $n, seconds => 120);
		push @ours, $n / cpu_of($pid);
		$server->sql("SELECT stacklens.drop_source('$name')");
		diag sprintf "%s round %d: bare %.2f M, evaluator %.2f M messages per CPU second\n", $format, $round, $bare[-1] / 1e6, $ours[-1] / 1e6;
	}
	diag sprintf "%-10s  bare %.2f M/s  evaluator %.2f M/s  ratio %.2f\n", $format, median(@bare) / 1e6, median(@ours) / 1e6, median(@ours) / median(@bare);
}
ok(1, 'measured');
done_testing();
