# The test harness tested: a real broker, the clients and the browser, without StackLens. Run as an ordinary
# user after test/deps/fetch.sh:
#	prove test/lib/t

use strict;
use warnings;

use File::Basename qw(basename dirname);
use lib dirname(__FILE__) . '/..';

use File::Temp ();
use IO::Socket::INET;
use IPC::Run ();
use POSIX ();
use Test::More;

use StackLens::Browser;
use StackLens::Cache qw(cached test_folder free_port);
use StackLens::Kafka;
use StackLens::KafkaCluster;
use StackLens::Relay;

my $dir = File::Temp->newdir;
my $clients = test_folder() . '/clients';

# --- Kafka ---

my $kafka = StackLens::Kafka->new(dir => "$dir");
like($kafka->bootstrap, qr/^127\.0\.0\.1:\d+$/, 'a broker answers');

$kafka->create_topic('logs', partitions => 3);
is($kafka->produce('logs', [ map { qq({"n":$_}) } 1 .. 1000 ], partition => 1), 1000, '1,000 messages delivered');
is_deeply($kafka->end_offsets('logs'), { 0 => 0, 1 => 1000, 2 => 0 }, 'end offsets');

# What a line can't hold, and what travels beside a message.
$kafka->produce('logs', [ "two\tfields", undef, '' ],
	partition => 2, key => 'k', headers => { a => 'b=c' }, compression => 'zstd');
is_deeply(
	[ map { $_->{value} } $kafka->consume('logs', '-p', 2) ],
	[ "two\tfields", '', '' ],
	'any bytes, a null value, an empty one');

open my $lines, '>', "$dir/lines" or die $!;
print $lines "line $_\n" for 1 .. 10;
close $lines;
is($kafka->produce('logs', "$dir/lines", partition => 0), 10, 'a file, a message a line');
is(($kafka->consume('logs', '-p', 0))[9]{value}, 'line 10', 'without the line end');
$kafka->delete_records('logs', 0, 4);
is_deeply($kafka->start_offsets('logs'), { 0 => 4, 1 => 0, 2 => 0 }, 'records deleted as by retention');
eval { $kafka->produce('nosuch', ['x'], timeout => 1000) };
like($@, qr/delivered/, 'what is not delivered is an error');

is_deeply($kafka->committed('group', 'logs'), {}, 'a group that is unknown has committed nothing');
$kafka->commit('group', 'logs', 1, 400, 'some metadata');
is_deeply(
	$kafka->committed('group', 'logs'),
	{ 1 => { offset => 400, metadata => 'some metadata' } },
	'a committed offset and its metadata');
is_deeply([ $kafka->group_state('group') ], [ 'Empty', 0 ], 'the group has no members');
$kafka->reset_offsets('group', 'logs:1', 'to-offset', 7);
is($kafka->committed('group', 'logs')->{1}{offset}, 7, "reset by Kafka's own tool to an offset");
$kafka->reset_offsets('group', 'logs', 'to-earliest');
is($kafka->committed('group', 'logs')->{0}{offset}, 4, '... and to the earliest');
my ($row) = grep { $_->{PARTITION} == 1 } $kafka->group_describe('group');
is("$row->{'CURRENT-OFFSET'} $row->{LAG}", '0 1000', "the group in Kafka's own words");

$kafka->kill9;
ok(!$kafka->pid, 'the broker is killed');
$kafka->start;
is($kafka->end_offsets('logs')->{1}, 1000, 'a killed broker comes back with its messages');
is($kafka->committed('group', 'logs')->{0}{offset}, 4, '... and its offsets');
my $pid = $kafka->pid;
undef $kafka;
ok(!kill(0, $pid), 'a broker ends with its object');

# --- the browser ---

open my $page, '>', "$dir/page.html" or die $!;
print $page <<'HTML';
<!doctype html><title>A page</title><h1>Alerts</h1>
<input id="name"><button onclick="later()">Go</button><ul></ul>
<script>
function later() {
  setTimeout(() => { document.querySelector('ul').innerHTML = '<li>' + document.getElementById('name').value + '<li>x' }, 50)
  console.error('a complaint')
}
</script>
HTML
close $page;

my $browser = StackLens::Browser->new(dir => "$dir");
$browser->goto("file://$dir/page.html");
is($browser->title, 'A page', 'the browser shows a page');
is($browser->text('h1'), 'Alerts', 'text');
$browser->fill('#name', "caf\x{e9}");
$browser->click('button');
$browser->waitForText('li', "caf\x{e9}");
is($browser->count('li'), 2, 'what the click made');
is($browser->evaluate('1 + 1'), 2, 'evaluate');
is_deeply($browser->errors, ['console: a complaint'], "the page's own errors");
eval { $browser->waitFor('#nosuch', { timeout => 100 }) };
like($@, qr/waitFor: .*Timeout/, 'a wait has an end');
$browser->screenshot("$dir/page.png");
ok(-s "$dir/page.png", 'a screenshot');
$browser->close;

# --- senders and listeners ---

# Takes any request and answers 200 with an empty body, which OTLP reads as success.
my $sink = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10) or die "listen: $!";
my $server = fork() // die "fork: $!";
if (!$server)
{
	while (my $client = $sink->accept)
	{
		my ($length, $chunked, $body) = (0, 0);
		while (my $line = <$client>)
		{
			$length = $1 if $line =~ /^content-length:\s*(\d+)/i;
			$chunked = 1 if $line =~ /^transfer-encoding:\s*chunked/i;    # Node's exporter, when it compresses
			last if $line eq "\r\n";
		}
		read $client, $body, $length;
		while ($chunked)
		{
			my $size = hex(<$client> =~ s/\s+//r);
			read $client, $body, $size + 2;
			last if $size == 0;
		}
		print $client "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		close $client;
	}
	POSIX::_exit(0);
}
my $url = 'http://127.0.0.1:' . $sink->sockport . '/v1/logs';
my $closed = free_port();
my $python = cached('python') . '/bin/python';

my %senders = (
	'otel_http_json.mjs' => [ 'node', "$clients/node/otel_http_json.mjs" ],
	'otel_http_proto.mjs' => [ 'node', "$clients/node/otel_http_proto.mjs" ],
	'otel_proto.py' => [ $python, "$clients/python/otel_proto.py" ]);
for my $name (sort keys %senders)
{
	my ($output, $error);
	IPC::Run::run([ @{ $senders{$name} }, $url, '--count', 20, '--gzip' ], '>', \$output, '2>', \$error);
	is($? >> 8, 0, "$name: success") or diag $error;
	is($output, "20\n", "$name: all records sent");
}
my $ignored;
IPC::Run::run([ @{ $senders{'otel_http_json.mjs'} }, "http://127.0.0.1:$closed/", '--timeout', 500 ],
	'>&', \$ignored);
is($? >> 8, 1, 'no server, no success');

for my $command ([ 'node', "$clients/node/ws_client.mjs" ], [ $python, "$clients/python/ws_client.py" ])
{
	IPC::Run::run([ @$command, "ws://127.0.0.1:$closed/ws/alerts", '--timeout', 2000 ], '>&', \$ignored);
	is($? >> 8, 3, "$command->[1]: refused" =~ s{.*/}{}r);
}
kill 'TERM', $server;
waitpid $server, 0;

# --- three brokers behind a network that can be cut ---

my $relay = StackLens::Relay->new(3);
my $cluster = StackLens::KafkaCluster->new(dir => "$dir", relayed => [ $relay->addresses ]);
$relay->start($cluster->relay_targets);
$cluster->create_topic('kept', partitions => 1);
is($cluster->produce('kept', [ 1 .. 10 ]), 10, 'a cluster takes messages');
my $leader = $cluster->leader('kept', 0);
$leader->kill9;
is($cluster->produce('kept', [ 11 .. 20 ], timeout => 60_000), 10, 'and goes on without the leader');
isnt($cluster->leader('kept', 0)->port, $leader->port, 'under another');
$cluster->start;
my @through = ('consume', '-b', join(',', $relay->addresses), '-t', 'kept');
my $tool = ($cluster->produce_command('kept'))[0];
my $got;
ok(IPC::Run::run([ $tool, @through ], '>', \$got, '2>', \$ignored), 'a consumer through the relay');
is(scalar(() = $got =~ /\n/g), 20, 'reads all of it');
$relay->cut;
ok(!IPC::Run::run([ $tool, @through, '--timeout', 1000 ], '>', \$got, '2>', \$ignored), 'a cut network gives nothing');
$relay->mend;
$relay->drop;
ok(IPC::Run::run([ $tool, @through ], '>', \$got, '2>', \$ignored), 'a mended one does');

# --- what the docs name as a test is one ---

for my $page (glob test_folder() . '/../docs/*.md')
{
	open my $file, '<', $page or die "$page: $!";
	local $/;
	my %named = map { $_ => 1 } <$file> =~ m{`(test/[\w/.-]+|bench/[\w/.-]+)`}g;
	ok(-e test_folder() . "/../$_", basename($page) . " names $_") for sort keys %named;
}

done_testing();
