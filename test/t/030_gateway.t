# The gateway: ingest, OTLP, alerts, errors, the WebSocket feed with places and gaps, a slow client, PostgreSQL away.

use strict;
use warnings;

use Compress::Zlib ();
use IO::Select;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP qw(decode_json encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use StackLens::Cache qw(cached poll_for test_folder);
use StackLens::Server;

my $server = StackLens::Server->new('gateway');
$server->sql(q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high')});
$server->sql(q{SELECT stacklens.create_rule('BULK', match => '{"kind": "bulk"}', severity => 'low')});
my $gateway = $server->gateway(args => [ '--max-body', 1_000_000 ]);
my ($status, $body, $response);

# --- health, page, metrics ---
($status, $body) = $gateway->get('/health');
is("$status $body->{status}", '200 ok', '/health');
is((grep { $_->{part} eq 'workers' } @{ $body->{parts} })[0]{status}, 'ok', 'with every part');
($status, $body, $response) = $gateway->get('/');
like($body, qr/<!doctype html>/i, 'the admin page');
like($response->{headers}{'content-security-policy'}, qr/default-src 'none'; script-src 'self'/, 'with a policy that knows no inline script');
($status, $body) = $gateway->get('/metrics');
like($body, qr/^stacklens_alerts\{status="open"\} 0\n.*^# EOF\n/ms, '/metrics');
($status, $body) = $gateway->get('/openapi.json');
is($body->{openapi}, '3.1.0', '/openapi.json');

# --- the runbook's log, and how soon it is an alert ---
($status, $body) = $gateway->post('/api/ingest/log', $StackLens::Server::PRICE_MISSING);
is($status, 202, 'the log is accepted');
my $alert = poll_for('the alert', 10, sub { (($gateway->get('/admin/alerts?limit=1'))[1])->[0] });
is("$alert->{issue_code} $alert->{severity} $alert->{service} $alert->{count}", 'PRICE_MISSING high order-service 1', 'and is an alert');

# --- from an alert to its logs, and searching them ---
$gateway->post('/api/ingest/log', q([{"timestamp": "2025-01-15T10:31:00Z", "service": "order-service", "message": "beside it"}, {"timestamp": "2025-01-15T10:30:45Z", "service": "elsewhere", "message": "not of it", "n": 7}]));
($status, $body) = $gateway->get("/admin/alerts/$alert->{id}/logs");
is($status . ' ' . join(', ', map { $_->{message} } @$body), '200 beside it, Price is missing', 'the logs of an alert');
is(($gateway->get('/admin/alerts/00000000-0000-0000-0000-000000000001/logs'))[0], 404, 'of none: 404');
($status, $body) = $gateway->get('/admin/logs?q=' . 'n%3A%3E5%20AND%20NOT%20service%3Aorder-*');
is($status . ' ' . join(', ', map { $_->{message} } @$body), '200 not of it', 'logs that a query finds');
($status, $body) = $gateway->get('/admin/logs?limit=2');
is(scalar @$body, 2, 'the newest of them');
($status, $body) = $gateway->get('/admin/logs?q=n%3A%5B1%20TO');
is("$status $body->{detail}", '400 a range lacks an end: At character 8 of the query.', 'a query that is none: 400, with the place') or diag(explain($body));
is(scalar @{ ($gateway->get('/admin/alerts'))[1] }, 1, 'exactly one');
($status, $body) = $gateway->get("/admin/alerts/$alert->{id}");
is($body->{samples}[0]{record}{attributes}{action}, 'create_order', 'with its sample record');
for my $query ("severity=high,critical", qw(severity=high status=open service=order-service rule=PRICE_MISSING q=price since=2020-01-01T00:00:00Z))
{
	is(scalar @{ ($gateway->get("/admin/alerts?$query"))[1] }, 1, "found by $query");
}
for my $query (qw(severity=low status=resolved service=x rule=x q=nothing%20here since=2100-01-01T00:00:00Z limit=0))
{
	is(scalar @{ ($gateway->get("/admin/alerts?$query"))[1] }, 0, "not found by $query");
}
($status, $body) = $gateway->get('/admin/rules');
is(join(' ', map { $_->{name} } @$body), 'BULK PRICE_MISSING', '/admin/rules');

# --- forms of ingest ---
is(($gateway->post('/api/ingest/log', '[{"message": "a"}, {"message": "b"}]'))[1]{accepted}, 2, 'an array');
is(($gateway->post('/api/ingest/log', qq({"message": "a"}\n{"message": "b"}\n{"message": "c"}\n), 'Content-Type' => 'application/x-ndjson'))[1]{accepted}, 3, 'NDJSON');
is(($gateway->post('/api/ingest/log', Compress::Zlib::memGzip('{"message": "zipped"}'), 'Content-Encoding' => 'gzip'))[1]{accepted}, 1, 'gzip');
is($gateway->{http}->post($gateway->url('/api/ingest/log'), { headers => { 'Content-Type' => 'application/json' }, content => do { my @parts = ('{"mess', 'age": "chunk', 'ed"}'); sub { shift @parts } } })->{status}, 202, 'a chunked body');
is($server->sql(q{SELECT count(*) FROM stacklens.logs WHERE message IN ('zipped', 'chunked')}), 2, 'each is stored');

# --- what is refused, with which status; each a problem, and nothing stored ---
my $before = $server->sql('SELECT count(*) FROM stacklens.logs');
my @refused = (
	[ 'not JSON', 400, 'nonsense' ],
	[ 'an empty body', 400, '' ],
	[ 'a text', 400, '"text"' ],
	[ 'an array with a number', 400, '[{"a": 1}, 2]' ],
	[ 'half an object', 400, '{"a": ' ],
	[ 'a bad line after a good one', 400, qq({"a": 1}\n{"b"\n) ],
	[ '10,000 levels', 400, '{"a": ' . ('[' x 10_000) . (']' x 10_000) . '}' ],
	[ 'a body over the limit', 413, '{"a": "' . ('x' x 1_100_000) . '"}' ],
	[ 'a bomb', 413, Compress::Zlib::memGzip('{"a": "' . ('x' x 50_000_000) . '"}'), 'Content-Encoding' => 'gzip' ],
	[ 'something behind gzip', 400, Compress::Zlib::memGzip('{"a": 1}') . 'and more', 'Content-Encoding' => 'gzip' ],
	[ 'an Origin that fills any buffer', 403, '{"a": 1}', Origin => 'https://' . ('a' x 60 . '.') x 5 . 'example' ],
	[ 'broken gzip', 400, "\x1f\x8b\x08nonsense", 'Content-Encoding' => 'gzip' ],
	[ 'another encoding', 415, '{}', 'Content-Encoding' => 'br' ],
	[ 'another type', 415, '<a/>', 'Content-Type' => 'text/xml' ],
	[ 'a page of another origin', 403, '{"a": 1}', Origin => 'https://evil.example' ],
);
for my $case (@refused)
{
	my ($what, $expected, $content, %headers) = @$case;
	($status, $body, $response) = $gateway->post('/api/ingest/log', $content, %headers);
	is($status, $expected, "$what: $expected");
	like($response->{headers}{'content-type'} // '', qr{^application/problem\+json}, "$what: a problem");
	is(ref $body && $body->{status}, $expected, "$what: that says so") if $response->{headers}{'content-type'};
}
is($server->sql('SELECT count(*) FROM stacklens.logs'), $before, 'nothing of these was stored');
is(($gateway->{http}->request('POST', $gateway->url('/api/ingest/log'), { content => '{"a": 1}', headers => { 'Content-Type' => 'application/json', Origin => 'http://localhost:5173' } }))->{headers}{'access-control-allow-origin'},
	'http://localhost:5173', 'a page of this machine may');

is(($gateway->post('/api/ingest/log', Compress::Zlib::memGzip(qq({"message": "m1"}\n)) . Compress::Zlib::memGzip('{"message": "m2"}'), 'Content-Encoding' => 'gzip', 'Content-Type' => 'application/x-ndjson'))[1]{accepted},
	2, 'gzip of two members: both');

# what is sent raw, and the status lines of what comes back
sub raw
{
	my ($text) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}, Timeout => 10) or die;
	print $s $text =~ s/\n/\r\n/gr;
	my $all = '';
	my $select = IO::Select->new($s);
	while ($select->can_read($all =~ /\r\n\r\n/ ? 0.5 : 10)) { sysread($s, $all, 65536, length $all) or last }
	return join ' ', $all =~ m{^HTTP/1\.1 (\d+)}mg;
}
my $host = "Host: localhost\n";
is(raw("GET /admin/rules HTTP/1.1\n${host}Content-Length: 1\n\nx"), '200', 'a GET with a body');
is(raw("GET /health HTTP/1.1\n${host}Content-Length: 5\n\nhello"), '200', 'and of /health');
like(raw("GET /admin/rules HTTP/1.1\n$host\nPOST /api/ingest/log HTTP/1.1\n${host}Content-Type: application/json\nContent-Length: 2\n\n{}"), qr/^200/, 'a POST pipelined behind a GET');
is(raw("GET /admin/rules HTTP/1.1\n$host\n"), '200', 'after which the gateway still serves');
for my $length ('abc', '0x2', '+2', '-1', '-18446744073709551615', '99999999999999999999')
{
	is(raw("POST /api/ingest/log HTTP/1.1\n${host}Content-Type: application/json\nContent-Length: $length\n\n{}"), '400', "Content-Length: $length");
}
is(raw("POST /api/ingest/log HTTP/1.1\n${host}Content-Type: application/json\nContent-Length: 3\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n"), '400', 'a length and chunks');
is(raw("POST /api/ingest/log HTTP/1.1\n${host}Content-Type: application/json\nExpect: 100-continue\nContent-Length: 2\n\n{}"), '100 202', 'Expect: 100-continue');
is(raw("GET /ws/alerts HTTP/1.1\n${host}Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Protocol: db\n\n"), '', 'a protocol of the inside is not upgraded to');
is(($gateway->get('/admin/alerts?q=' . ('a' x 2000) . '&limit=1'))[0], 400, 'an argument that is too long: 400');
is($server->sql(q{SELECT count(*) FROM stacklens.logs WHERE message LIKE 'm_'}), 2, 'nothing else was stored');
# a client that leaves while its query waits costs nothing
{
	my $session = $server->node->background_psql('stacklens');
	$session->query_safe('BEGIN; LOCK TABLE stacklens_internal.alerts IN ACCESS EXCLUSIVE MODE;');
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) or die;
	print $s "GET /admin/alerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
	$server->wait_for('the query to wait', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%gateway_alerts%' AND pid <> pg_backend_pid()}, is => 1);
	close $s;
	my $cpu = sub { my @f = split ' ', PostgreSQL::Test::Utils::slurp_file("/proc/$gateway->{pid}/stat"); return $f[13] + $f[14] };
	my ($before, $until) = ($cpu->(), time() + 1);
	poll_for('a second', 5, sub { time() > $until });
	cmp_ok($cpu->() - $before, '<', 30, 'a client that left while its query waits: no spinning');
	is(($gateway->get('/admin/rules'))[0], 200, 'and others are served meanwhile');
	$session->query_safe('ROLLBACK;');
	$session->quit;
}

# 100 MB are refused by their length, before they are sent
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) or die;
print $socket "POST /api/ingest/log HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n";
like(scalar <$socket>, qr{^HTTP/1.1 413 }, '100 MB: 413 at once');
close $socket;

# who asks
$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) or die;
print $socket "GET /admin/alerts HTTP/1.1\r\nHost: rebound.example:$gateway->{port}\r\n\r\n";
like(scalar <$socket>, qr{^HTTP/1.1 421 }, 'another Host (a rebound name): 421');
close $socket;
{
	my $other = $server->gateway(args => [ '--trust-network', '--allow-host', 'logs.example' ]);
	for my $case ([ 'logs.example', 200 ], [ "LOGS.example:$other->{port}", 200 ], [ 'rebound.example', 421 ], [ 'logs.example.evil', 421 ], [ 'localhost', 200 ])
	{
		my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $other->{port}) or die;
		print $s "GET /admin/rules HTTP/1.1\r\nHost: $case->[0]\r\n\r\n";
		like(scalar <$s>, qr{^HTTP/1.1 $case->[1] }, "--trust-network and --allow-host: Host $case->[0] is $case->[1]");
	}
}
is(($gateway->get('/nothing'))[0], 404, 'nothing there: 404');
($status, $body, $response) = $gateway->post('/health', '{}');
is("$status $response->{headers}{allow}", '405 GET', 'another method: 405, with Allow');
is(($gateway->get('/admin/alerts/5'))[0], 400, 'an id that is none: 400');
is(($gateway->get('/admin/alerts/00000000-0000-0000-0000-000000000000'))[0], 404, 'an alert that is not there: 404');
is(($gateway->get('/admin/alerts?limit=many'))[0], 400, 'a limit that is no number: 400');
is(($gateway->post("/admin/alerts/$alert->{id}/acknowledge", '[]'))[0], 400, 'a note that is none: 400');

# --- OTLP ---
my $otlp = '{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1000000", "body": {"stringValue": "test log"}}]}]}]}';
($status, $body) = $gateway->post($gateway->otlp_url, $otlp);
is("$status " . encode_json($body), '200 {}', "the runbook's OTLP test log, on 4318's stand-in");
($status, $body) = $gateway->post('/v1/logs', '{"resourceLogs": 5}');
is("$status $body->{code}", '400 3', 'what is not OTLP: 400 with a google.rpc.Status');
($status, $body, $response) = $gateway->post('/v1/logs', "\x0a\x05\x12", 'Content-Type' => 'application/x-protobuf');
is($status, 400, 'a truncated protobuf: 400');
is($response->{headers}{'content-type'}, 'application/x-protobuf', 'in its own type');
like($body, qr/^\x08\x03\x12.message is not an OTLP logs request in protobuf/s, 'as a google.rpc.Status');
($status, $body) = $gateway->post('/v1/logs', '', 'Content-Type' => 'application/x-protobuf');
is("$status '$body'", "200 ''", 'an empty request is one');
my $deep = '{"stringValue": "bottom"}';
$deep = qq({"arrayValue": {"values": [$deep]}}) for 1 .. 200;
($status, $body) = $gateway->post('/v1/logs', qq({"resourceLogs": [{"scopeLogs": [{"logRecords": [
	{"body": {"stringValue": "shallow 1"}}, {"body": {"stringValue": "deep"}, "attributes": [{"key": "a", "value": $deep}]}, {"body": {"stringValue": "shallow 2"}}]}]}]}));
is($status, 200, 'a record that is nested too deep among others: 200');
is($body->{partialSuccess}{rejectedLogRecords}, '1', 'with a partial success');
like($body->{partialSuccess}{errorMessage}, qr/nested deeper than 128 levels/, 'that says why');
is($server->sql(q{SELECT string_agg(message, ', ' ORDER BY message) FROM stacklens.logs WHERE message LIKE 'shallow%' OR message = 'deep'}), 'shallow 1, shallow 2', 'the others are stored');
$response = $gateway->{http}->request('OPTIONS', $gateway->otlp_url, { headers => { Origin => 'http://localhost:8080', 'Access-Control-Request-Method' => 'POST' } });
is("$response->{status} $response->{headers}{'access-control-allow-origin'}", '204 http://localhost:8080', 'preflight');

# --- acknowledge, resolve ---
($status, $body) = $gateway->post("/admin/alerts/$alert->{id}/acknowledge", '{"note": "on it"}');
is("$status $body->{status}", '200 acknowledged', 'acknowledge');
($status, $body) = $gateway->post("/admin/alerts/$alert->{id}/resolve", '');
is("$status $body->{status}", '200 resolved', 'resolve, without a body');
is(($gateway->post("/admin/alerts/$alert->{id}/acknowledge", '{}'))[0], 409, 'acknowledging what is resolved: 409');

# --- the runbook's probe of the WebSocket ---
$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) or die;
print $socket "GET /ws/alerts HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
my $answer = join '', <$socket>;
like($answer, qr{^HTTP/1.1 101 Switching Protocols\r\n}, "the runbook's probe sees 101, and the connection ends");

# --- the feed, through two clients that are not ours ---
my $node = [ 'node', test_folder() . '/clients/node/ws_client.mjs' ];
my $python = [ cached('python') . '/bin/python', test_folder() . '/clients/python/ws_client.py' ];
sub listen_with
{
	my ($client, $query, $count) = @_;
	my $run = { out => '', err => '' };
	$run->{h} = IPC::Run::start([ @$client, $gateway->ws_url($query), '--count', $count, '--timeout', 60_000 ], '>', \$run->{out}, '2>', \$run->{err});
	poll_for('the hello', 30, sub { $run->{h}->pump_nb; $run->{out} =~ /hello/ });
	return $run;
}
sub messages_of
{
	my ($run) = @_;
	$run->{h}->finish or die "the client failed: $run->{err}\n";
	return map { my $m = decode_json($_)->{message}; ref $m ? $m : decode_json($m) } split /\n/, $run->{out};
}
sub ingest_services { my (@services) = @_; return $gateway->post('/api/ingest/log', encode_json([ map { { service => $_, error_code => 'PRICE_MISSING' } } @services ])) }

my @runs = (listen_with($node, '', 2), listen_with($python, '', 2));
my $sent = time();
ingest_services('ws-1');
ingest_services('ws-2');
my @heard = map { [ messages_of($_) ] } @runs;
for my $heard (@heard)
{
	my ($hello, @changes) = @$heard;
	ok($hello->{hello}{epoch}, 'a hello first');
	is(join(' ', map { "$_->{change}:$_->{alert}{service}" } @changes), 'opened:ws-1 opened:ws-2', 'then each change, in order');
	is($changes[1]{seq}, $hello->{hello}{seq} + 2, 'numbered without holes');
}
my $place = "$heard[0][2]{epoch}:$heard[0][2]{seq}";
cmp_ok(time() - $sent, '<', 10, 'soon');

# resuming at a place: what came meanwhile, then what comes
ingest_services(map { "meanwhile-$_" } 1 .. 3);
$server->wait_for('their feed', q{SELECT count(*) FROM stacklens.alert_feed WHERE alert ->> 'service' LIKE 'meanwhile-%' AND change = 'opened'}, is => 3);
my $run = listen_with($node, "?since=$place", 4);
ingest_services('now');
my (undef, @changes) = messages_of($run);
is(join(' ', map { $_->{alert}{service} } grep { $_->{change} eq 'opened' } @changes), 'meanwhile-1 meanwhile-2 meanwhile-3 now', 'a client resumes at its place');
is($changes[0]{seq}, (split /:/, $place)[1] + 1, 'and misses nothing');

# a place of another database, and one from the future
my (undef, $gap) = do { my $r = listen_with($node, '?since=00000000:5', 1); poll_for('the gap', 20, sub { $r->{h}->pump_nb; $r->{out} =~ /gap/ }); my @l = map { decode_json($_)->{message} } split /\n/, $r->{out}; $r->{h}->kill_kill; map { ref $_ ? $_ : decode_json($_) } @l };
ok($gap->{gap}, 'a place of another feed: a gap is told');
# what the table has no more
my ($epoch, $latest) = split /\|/, $server->sql('SELECT epoch, max(seq) FROM stacklens.alert_feed GROUP BY epoch');
$server->sql('DELETE FROM stacklens.alert_feed WHERE seq <= 2');
$gateway->stop;
$gateway->start;
$run = listen_with($node, "?since=$epoch:0", $latest - 2);
(undef, $gap, @changes) = messages_of($run);
is("$gap->{gap}{from}-$gap->{gap}{to}", '1-2', 'what is no longer kept: a gap with its numbers');
is($changes[0]{seq}, 3, 'then what is');

# --- a client that reads nothing is cut, and the others don't wait for it ---
my $lazy = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->{port}) or die;
setsockopt $lazy, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), pack('i', 4096);
print $lazy "GET /ws/alerts HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
like(scalar <$lazy>, qr/101/, 'a client that will read nothing');
$run = listen_with($node, '', 10_000);
for my $batch (0 .. 9)
{
	$gateway->post('/api/ingest/log', encode_json([ map { { service => "bulk-$batch-$_", kind => 'bulk', message => 'x' x 400 } } 1 .. 1000 ]));
}
my @bulk = grep { $_->{change} eq 'opened' } messages_of($run);
is(scalar @bulk, 10_000, 'one that reads gets all of ten thousand');
poll_for('the cut', 60, sub {
	my $state = `ss -Htn state established '( sport = :$gateway->{port} )' 2>/dev/null`;
	my $port = $lazy->sockport;
	return $state !~ /:$port\b/;
});
pass('one that does not is cut');
is(($gateway->get('/health'))[0], 200, 'the gateway is well');

# --- PostgreSQL restarts: clients stay, nothing is missed ---
$run = listen_with($node, '', 2);
ingest_services('before-restart');
poll_for('the first', 30, sub { $run->{h}->pump_nb; $run->{out} =~ /before-restart/ });
$server->node->stop('immediate');
is(($gateway->get('/health'))[0], 503, 'PostgreSQL away: /health is 503');
($status, $body, $response) = ingest_services('lost?');
is("$status $response->{headers}{'retry-after'}", '503 1', 'and ingest is 503, with Retry-After');
$server->node->start;
$server->wait_for_workers;
$server->sql(q{SELECT stacklens.ingest('{"service": "after-restart", "error_code": "PRICE_MISSING"}')});
(undef, @changes) = messages_of($run);
is($changes[1]{alert}{service}, 'after-restart', 'the same client hears of what comes after');
is($changes[1]{seq}, $changes[0]{seq} + 1, 'without a hole');
is(($gateway->get('/health'))[0], 200, 'and all is well again');

# --- options ---
my ($ok, $err) = (IPC::Run::run([ StackLens::Gateway::binary(), '--listen', '0.0.0.0' ], '>', \my $out, '2>', \my $error), '');
ok(!$ok, 'it listens on no other address');
like($error, qr/is not loopback, and there are no tokens/, 'and says why');
is($gateway->stop, 0, 'it stops when asked');
$server->node->stop;
done_testing();
