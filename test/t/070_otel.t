# Real OpenTelemetry SDKs (JavaScript over JSON and protobuf, with and without gzip; Python) send to /v1/logs.

use strict;
use warnings;

use IPC::Run ();
use Test::More;

use StackLens::Cache qw(cached test_folder);
use StackLens::Server;

my $server = StackLens::Server->new('otel');
$server->sql(q{SELECT stacklens.create_rule('SDK', match => '{"error_code": "E42"}', severity => 'critical')});
my $gateway = $server->gateway;

my %senders = (
	'JavaScript, JSON' => [ 'node', test_folder() . '/clients/node/otel_http_json.mjs' ],
	'JavaScript, protobuf' => [ 'node', test_folder() . '/clients/node/otel_http_proto.mjs' ],
	'Python, protobuf' => [ cached('python') . '/bin/python', test_folder() . '/clients/python/otel_proto.py' ],
);
for my $name (sort keys %senders)
{
	for my $gzip ('', '--gzip')
	{
		my $service = lc("$name$gzip") =~ s/\W+/-/gr;
		my ($out, $err);
		my $ok = IPC::Run::run([ @{ $senders{$name} }, $gateway->otlp_url, '--count', 120, '--service', $service, '--severity', 'ERROR',
			'--message', 'from an SDK', '--error-code', 'E42', '--attribute', 'cart.size=3', $gzip ? '--gzip' : () ], '>', \$out, '2>', \$err);
		ok($ok, "$name $gzip: the exporter reports success") or diag($err);
		$server->wait_for('its alert', "SELECT sum(count) FROM stacklens.alerts WHERE service = '$service'", is => 120);
		is($server->sql("SELECT count(*), min(severity_number), min(level), min(message), min(attributes ->> 'cart.size') FROM stacklens.logs WHERE service = '$service'"),
			'120|17|ERROR|from an SDK|3', "$name $gzip: each record is stored and judged");
	}
}
is($gateway->stop, 0, 'the gateway stops');
$server->node->stop;
done_testing();
