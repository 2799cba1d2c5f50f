# From Kafka to an Elasticsearch that keeps nothing: documents per CPU second of the process (all its threads), against
# rsyslog, in turns; and to a real one: what part of the time the shipper waits for it. See README.md.

use strict;
use warnings;

use HTTP::Tiny;
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Bench qw(build_bench_kafka cpu_of median);
use StackLens::Cache qw(free_port poll_for test_folder);
use StackLens::Elasticsearch;
use StackLens::Kafka;
use StackLens::Server;

my $n = $ENV{MESSAGES} // 1_000_000;
my $rounds = $ENV{ROUNDS} // 3;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $bench = test_folder() . '/../bench';
my $tool = build_bench_kafka($dir);
system("gcc -O2 -D_GNU_SOURCE -std=gnu11 -pthread -o $dir/null $bench/sink/null_elasticsearch.c") == 0 or die;

my @children;
sub child { my $pid = fork() // die; if (!$pid) { open STDOUT, '>', "$dir/out.$$"; open STDERR, '>&', \*STDOUT; exec 'setpriv', '--pdeathsig', 'KILL', @_ } push @children, $pid; return $pid }
END { local $?; kill 'KILL', @children if @children }
my $http = HTTP::Tiny->new;
sub null_server
{
	my $port = free_port();
	child("$dir/null", $port);
	poll_for('the null server', 10, sub { $http->get("http://127.0.0.1:$port/documents")->{success} });
	return $port;
}
sub documents { return $http->get("http://127.0.0.1:$_[0]/documents")->{content} }

my $kafka = StackLens::Kafka->new(dir => $dir, heap => ['-Xmx1g'], properties => { 'log.segment.bytes' => 268435456 });
my $server = StackLens::Server->new('bench', conf => "shared_buffers = 256MB\nmax_worker_processes = 24\n");
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"error_code\": \"E$_\", \"message|contains\": \"no such text $_\"}')") for 1 .. 5;
$server->sql("SELECT stacklens.create_rule('rule $_', match => '{\"message|contains\": [\"out of memory $_\", \"disk full $_\"]}')") for 6 .. 10;
system($tool, 'make', 'json', $n, "$dir/messages") == 0 or die;
$kafka->create_topic('json', partitions => 1);
system($kafka->produce_command('json', '--format', 'length-prefixed', '-f', "$dir/messages", '-p', 0, '--timeout', 600_000)) == 0 or die;
unlink "$dir/messages";
diag "$n messages of JSON, $rounds rounds";

sub rsyslog
{
	my ($which, $round) = @_;
	my $port = null_server();
	my $conf = PostgreSQL::Test::Utils::slurp_file("$bench/peers/rsyslog-$which.conf");
	mkdir my $work = "$dir/rsyslog-$which-$round";
	my %value = (DIR => $work, TOPIC => 'json', BROKER => $kafka->bootstrap, GROUP => "rsyslog-$which-$round", PORT => $port);
	$conf =~ s/\@([A-Z]+)\@/$value{$1}/g;
	open my $file, '>', "$work/conf" or die;
	print $file $conf;
	close $file;
	my $pid = child('/usr/sbin/rsyslogd', '-n', '-f', "$work/conf", '-i', "$work/pid");
	poll_for('all documents', 120, sub { documents($port) >= $n });
	my $rate = $n / cpu_of($pid);
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return $rate;
}

# documents per CPU second of the shipper, and of it and the evaluator together
sub ours
{
	my ($round) = @_;
	my $port = null_server();
	$server->sql("SELECT stacklens.create_elasticsearch_sink('null', 'http://127.0.0.1:$port')");
	$server->sql("SELECT stacklens.create_kafka_source('s$round', '@{[ $kafka->bootstrap ]}', 'json', group_id => 's$round', format => 'json')");
	my %pid;
	for my $kind (qw(shipper evaluator)) { $pid{$kind} = poll_for("the $kind", 30, sub { $server->sql("SELECT pid FROM stacklens.stat_workers WHERE kind = '$kind' AND source = 's$round' AND state = 'running'") }) }
	poll_for('all documents', 120, sub { documents($port) >= $n });
	$server->wait_for('the end of the topic', "SELECT records FROM stacklens.stat_sources WHERE name = 's$round'", is => $n, seconds => 120);
	my ($shipper, $evaluator) = map { cpu_of($pid{$_}) } qw(shipper evaluator);
	$server->sql("SELECT stacklens.drop_sink('null')");
	$server->sql("SELECT stacklens.drop_source('s$round')");
	return ($n / $shipper, $n / ($shipper + $evaluator));
}

my (@shipper, @both, %peer);
for my $round (1 .. $rounds)
{
	my ($shipper, $both) = ours($round);
	push @shipper, $shipper;
	push @both, $both;
	push @{ $peer{$_} }, rsyslog($_, $round) for qw(match pass);
	diag sprintf 'round %d: shipper %.0f k, with the evaluator %.0f k; rsyslog matching %.0f k, passing %.0f k documents per CPU second',
	  $round, map { $_ / 1e3 } $shipper, $both, $peer{match}[-1], $peer{pass}[-1];
}
diag sprintf 'shipper %.0f k: %.2f of rsyslog that passes bytes through, %.2f of one that parses and matches; with the evaluator %.0f k: %.2f of the latter',
  median(@shipper) / 1e3, median(@shipper) / median(@{ $peer{pass} }), median(@shipper) / median(@{ $peer{match} }), median(@both) / 1e3, median(@both) / median(@{ $peer{match} });

# --- a real one: is the shipper ever the brake? ---
my $es = StackLens::Elasticsearch->new(dir => $dir, heap => '1g');
my $part = $ENV{REAL} // 300_000;
$server->sql("SELECT stacklens.create_elasticsearch_sink('es', '@{[ $es->url ]}')");
my $start = time();
$server->sql("SELECT stacklens.create_kafka_source('real', '@{[ $kafka->bootstrap ]}', 'json', group_id => 'real', format => 'json')");
my $pid = poll_for('the shipper', 30, sub { $server->sql("SELECT pid FROM stacklens.stat_workers WHERE kind = 'shipper' AND source = 'real' AND state = 'running'") });
$server->wait_for('a part of the documents', "SELECT documents >= $part FROM stacklens.stat_sinks WHERE source = 'real'", seconds => 600);
my ($took, $cpu) = (time() - $start, cpu_of($pid));
my $documents = $server->sql("SELECT documents FROM stacklens.stat_sinks WHERE source = 'real'");
diag sprintf 'Elasticsearch: %d documents in %d s, the shipper works for %.1f s: %.0f %% of the time it waits', $documents, $took, $cpu, 100 * (1 - $cpu / $took);
ok(1, 'measured');
done_testing();
