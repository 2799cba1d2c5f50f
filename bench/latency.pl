# From ingest to WebSocket: a record's own time, taken when it is sent, against the time at which a client that is not
# ours receives the alert that it opened. Each record is an alert of its own. See README.md.

use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run ();
use JSON::PP qw(decode_json encode_json);
use PostgreSQL::Test::Utils;
use Socket ();
use Test::More;
use Time::HiRes qw(sleep time);

use StackLens::Cache qw(poll_for test_folder);
use StackLens::Server;

my $rate = $ENV{RATE} // 1000;
my $seconds = $ENV{SECONDS} // 10;
my $server = StackLens::Server->new('latency', conf => "shared_buffers = 256MB\nmax_worker_processes = 24\n");
$server->sql(q{SELECT stacklens.create_rule('watched', match => '{"watched": true}')});
# a sink that is there, or is away, changes nothing for alerts
$server->sql("SELECT stacklens.create_elasticsearch_sink('bench', '$ENV{SINK}')") if $ENV{SINK};
my $gateway = $server->gateway;
my ($out, $err) = ('', '');
# every hundredth record is watched; all are judged
my $watched = $rate * $seconds / 100;
my $client = IPC::Run::start([ 'node', test_folder() . '/clients/node/ws_client.mjs', $gateway->ws_url, '--count', $watched, '--timeout', 120_000 ], '>', \$out, '2>', \$err);
poll_for('the hello', 30, sub { $client->pump_nb; $out =~ /hello/ });

# in one write each: a header and a body apart would wait for one another's acknowledgement
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) or die;
setsockopt $socket, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1;
sub post
{
	my ($body) = @_;
	my $answer = '';
	syswrite $socket, "POST /api/ingest/log HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
	sysread $socket, $answer, 65536, length $answer or die "the gateway has gone\n" until $answer =~ /\}\s*$/;
	die "ingest: $answer\n" unless $answer =~ /^HTTP\S+ 202/;
	return;
}

# ten requests a second would batch too kindly: one request carries 10 ms of records
my $start = time();
my $n = 0;
while ($n < $rate * $seconds)
{
	my @records;
	for (1 .. $rate / 100)
	{
		$n++;
		push @records, { service => "s$n", message => 'payment provider answered 503', n => $n, watched => $n % 100 == 0 ? JSON::PP::true : JSON::PP::false, sent => time() };
	}
	post(encode_json(\@records));
	my $ahead = $start + $n / $rate - time();
	sleep($ahead) if $ahead > 0;
}
my $took = time() - $start;
$client->finish or die "the client: $err\n";
my %sent = map { split /\|/ } split /\n/, $server->sql(q{SELECT service, attributes ->> 'sent' FROM stacklens.logs WHERE attributes -> 'watched' = 'true'});
my @ms;
for (split /\n/, $out)
{
	my $line = decode_json($_);
	my $message = ref $line->{message} ? $line->{message} : decode_json($line->{message});
	next unless ($message->{change} // '') eq 'opened';
	push @ms, $line->{at} - 1000 * $sent{ $message->{alert}{service} };
}
@ms = sort { $a <=> $b } @ms;
diag sprintf '%d records/s asked, %.0f sent: %d alerts, p50 %.1f ms, p99 %.1f ms, most %.1f ms', $rate, $n / $took, scalar @ms, $ms[ @ms / 2 ], $ms[ @ms * 0.99 ], $ms[-1];
is(scalar @ms, $watched, 'each alert was received');
done_testing();
