# A broker that asks for TLS and a login: what works, and that what doesn't is told apart. Secrets are in no table, view,
# log or dump.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Kafka;
use StackLens::Server;

my $dir = PostgreSQL::Test::Utils::tempdir();
sub openssl { my @arguments = @_; my $out = ''; IPC::Run::run([ 'openssl', @arguments ], '<', \undef, '>&', \$out) or die "openssl @arguments: $out"; return }
sub slurp { my ($path) = @_; return PostgreSQL::Test::Utils::slurp_file($path) }
sub spew { my ($path, $text) = @_; open my $f, '>', $path or die "$path: $!"; print $f $text; close $f; return }
for my $ca (qw(ca other))
{
	openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj), "/CN=$ca", '-keyout', "$dir/$ca.key", '-out', "$dir/$ca.pem");
}
openssl(qw(req -newkey rsa:2048 -nodes -subj /CN=broker -keyout), "$dir/broker.key", '-out', "$dir/broker.csr");
spew("$dir/san", "subjectAltName=IP:127.0.0.1\n");
openssl('x509', '-req', '-in', "$dir/broker.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', 2, '-extfile', "$dir/san", '-out', "$dir/broker.pem");
openssl('pkcs8', '-topk8', '-nocrypt', '-in', "$dir/broker.key", '-out', "$dir/broker.p8");
spew("$dir/keystore.pem", slurp("$dir/broker.p8") . slurp("$dir/broker.pem"));

my $plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="plain-secret-1";';
my $scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
my $kafka = StackLens::Kafka->new(
	dir => $dir,
	listeners => { LOGIN => 'SASL_PLAINTEXT', TLS => 'SSL', BOTH => 'SASL_SSL' },
	scram => { bob => 'scram-secret-2' },
	properties => {
		'sasl.enabled.mechanisms' => 'PLAIN,SCRAM-SHA-256',
		(map { ("listener.name.$_.plain.sasl.jaas.config" => $plain, "listener.name.$_.scram-sha-256.sasl.jaas.config" => $scram) } qw(login both)),
		'ssl.keystore.type' => 'PEM',
		'ssl.keystore.location' => "$dir/keystore.pem",
	});
$kafka->create_topic('secured', partitions => 1);

mkdir "$dir/secrets" or die;
spew("$dir/secrets/alice", "plain-secret-1\n");
spew("$dir/secrets/bob", "scram-secret-2\n");
spew("$dir/secrets/wrong", "not-the-secret-3\n");
spew("$dir/secrets/ca.pem", slurp("$dir/ca.pem"));
symlink '/etc/passwd', "$dir/secrets/link";
$ENV{STACKLENS_SECRET_ALICE} = 'plain-secret-1';
my $server = StackLens::Server->new('login', conf => "stacklens.secrets_directory = '$dir/secrets'\nmax_worker_processes = 24\n");
$server->sql(q{SELECT stacklens.create_rule('any', match => '{"kind": "secured"}')});

my $made = 0;
sub source
{
	my ($listener, $topic, %options) = @_;
	my $name = 's' . ++$made;
	my $json = join ', ', map { my $value = $options{$_}; $value =~ s/\n/\\n/g; qq("$_": "$value") } sort keys %options;
	$server->sql("SELECT stacklens.create_kafka_source('$name', '" . ($listener =~ /:/ ? $listener : $kafka->listener($listener)) . "', '$topic', group_id => '$name', options => '{$json}')");
	return $name;
}
sub reads { my ($name, $what) = @_; ok($server->wait_for($what, "SELECT next_offset FROM stacklens.positions WHERE source = '$name'", is => 1), $what); $server->sql("SELECT stacklens.drop_source('$name')"); return }
sub says
{
	my ($name, $pattern, $what) = @_;
	ok($server->wait_for($what, "SELECT concat_ws(' ', status, last_error) ~ '$pattern' FROM stacklens.stat_sources WHERE name = '$name'"), $what)
		or diag($server->sql("SELECT status, last_error FROM stacklens.stat_sources WHERE name = '$name'"));
	# a worker that starts anew runs for a moment
	ok($server->wait_for('health()', q{SELECT count(*) > 0 FROM stacklens.health() WHERE part IN ('kafka lag', 'workers') AND status <> 'ok'}), 'health() shows it');
	$server->sql("SELECT stacklens.drop_source('$name')");
	return;
}
$kafka->produce('secured', ['{"kind": "secured"}']);

# --- what works ---
reads(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'env:STACKLENS_SECRET_ALICE'),
	'SASL/PLAIN, with a password from the environment');
reads(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:alice'),
	'and with one from a file');
reads(source('TLS', 'secured', 'security.protocol' => 'SSL', 'ssl.ca.pem' => slurp("$dir/ca.pem")), 'TLS, with an authority of our own');
reads(source('BOTH', 'secured', 'security.protocol' => 'SASL_SSL', 'ssl.ca.pem' => 'file:ca.pem', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:alice'),
	'both, and the authority from a file');
# librdkafka before 2.6.1 (Debian 12 has 2.0.2) can't with Kafka 4: then it says so
my $scram_source = source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'SCRAM-SHA-256', 'sasl.username' => 'bob', 'sasl.password' => 'file:bob');
my ($major, $minor, $patch) = `pkg-config --modversion rdkafka` =~ /^(\d+)\.(\d+)\.(\d+)/;
if ($major * 10000 + $minor * 100 + $patch >= 20601) { reads($scram_source, 'SASL/SCRAM') }
else { says($scram_source, 'before 2.6.1 can.t log in by SCRAM to Kafka 4', 'SASL/SCRAM: this librdkafka can not with Kafka 4, and that is said') }
# and can with those before
my $older = StackLens::Kafka->new(
	dir => $dir,
	part => 'kafka3',
	listeners => { LOGIN => 'SASL_PLAINTEXT' },
	scram => { bob => 'scram-secret-2' },
	properties => { 'sasl.enabled.mechanisms' => 'SCRAM-SHA-256', 'listener.name.login.scram-sha-256.sasl.jaas.config' => $scram });
$older->create_topic('secured', partitions => 1);
$older->produce('secured', ['{"kind": "secured"}']);
reads(source($older->listener('LOGIN'), 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'SCRAM-SHA-256', 'sasl.username' => 'bob', 'sasl.password' => 'file:bob'),
	'SASL/SCRAM, with a broker that takes it');
says(source($older->listener('LOGIN'), 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'SCRAM-SHA-256', 'sasl.username' => 'bob', 'sasl.password' => 'file:wrong'),
	'the broker refuses the login', 'and with a wrong password not');
$older->stop;

# --- what doesn't, and why ---
says(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:wrong'),
	'the broker refuses the login: check sasl.mechanism', 'a wrong password');
says(source('TLS', 'secured', 'security.protocol' => 'SSL', 'ssl.ca.pem' => slurp("$dir/other.pem")), 'no TLS with the broker: check security.protocol, ssl.ca.pem', 'an authority that did not sign the broker');
says(source('127.0.0.1:1', 'secured'), 'no broker can be reached: check brokers', 'a broker that is not there');
says(source('127.0.0.1:1', 'secured'), 'no broker can be reached: check brokers.*could not read the topic', 'also where it was asked for');
says(source('nowhere.invalid:9092', 'secured'), 'name leads nowhere|no broker can be reached', 'a name that leads nowhere');
says(source($kafka->bootstrap, 'no-such-topic'), 'topic "no-such-topic" is not there', 'a topic that is not there');
says(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:missing'),
	'secret "file:missing" is no file that the server can read', 'a secret that is not there');
says(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:link'),
	'secret "file:link" is no file that the server can read', 'a link is no secret');

# --- secrets go to listed hosts only ---
$server->sql(q{ALTER SYSTEM SET stacklens.secret_hosts = '*.example.com, 10.0.0.*'});
$server->sql('SELECT pg_reload_conf()');
says(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:alice'),
	'secrets may not be sent to host "127.0.0.1"', 'a host that is not listed gets no secret');
$server->sql(q{ALTER SYSTEM SET stacklens.secret_hosts = '127.0.0.*'});
$server->sql('SELECT pg_reload_conf()');
reads(source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'PLAIN', 'sasl.username' => 'alice', 'sasl.password' => 'file:alice'),
	'one that is does');

# --- what is refused at once ---
sub refused { my ($options, $pattern, $what) = @_; like($server->error_of("SELECT stacklens.create_kafka_source('x', 'b:1', 't', options => '$options')"), $pattern, $what); return }
refused('{"sasl.password": "hunter2"}', qr/22023: option "sasl.password": a secret is written as a reference, not as itself.*HINT:  Write env:NAME/s, 'a secret itself');
unlike($server->error_of(q{SELECT stacklens.create_kafka_source('x', 'b:1', 't', options => '{"sasl.password": "hunter2"}')}) =~ s/LINE 1.*//sr, qr/hunter2/, 'which the error does not repeat');
refused('{"sasl.password": "env:PATH"}', qr/environment variable "PATH" is not one that secrets may come from.*STACKLENS_SECRET_\*/s, 'a variable that is not listed');
refused('{"sasl.password": "file:../x"}', qr/a secret's file is named without a path/, 'a path');
refused('{"sasl.mechanism": "GSSAPI"}', qr/SASL mechanism "GSSAPI" is not supported.*SCRAM-SHA-512/s, 'a mechanism that runs programs');
refused('{"ssl.ca.location": "/etc/passwd"}', qr/option "ssl.ca.location" of a Kafka source is not allowed/, 'a path of the server');

# --- of all options that librdkafka has, those that are allowed neither run code nor read files ---
my @all = split /\n/, $server->sql('SELECT o FROM stacklens_internal.kafka_options() o');
cmp_ok(scalar @all, '>', 25, 'options are listed');
is(join(' ', grep { /location|command|cmd|plugin|kinit|engine|keystore|oauth|debug|_cb$|opaque|group\.|auto\.|isolation|assignment/ } @all), '', 'and none of them is one of these');

# --- secrets are nowhere ---
source('LOGIN', 'secured', 'security.protocol' => 'SASL_PLAINTEXT', 'sasl.mechanism' => 'SCRAM-SHA-256', 'sasl.username' => 'bob', 'sasl.password' => 'file:bob');
$server->node->command_ok([ 'pg_dump', '-f', "$dir/dump", $server->node->connstr('stacklens') ], 'a dump');
unlike(slurp("$dir/dump") . $server->log_text . $server->sql('TABLE stacklens.sources') . $server->sql('SELECT * FROM pg_stat_activity'), qr/plain-secret|scram-secret|not-the-secret/, 'no secret is in a dump, the log or a view');

done_testing();
