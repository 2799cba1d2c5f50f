# A sink whose server misbehaves, over real HTTP: nothing counts as shipped that isn't, each trouble is told apart, and
# what ends ends by itself. And what a sink can't be.

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(free_port poll_for test_folder);
use StackLens::Server;

my $dir = PostgreSQL::Test::Utils::tempdir();
mkdir "$dir/secrets";
my $server = StackLens::Server->new('sinks', conf => "max_worker_processes = 24\nstacklens.secrets_directory = '$dir/secrets'\n");
sub write_file { my ($name, $text) = @_; open my $file, '>', $name or die "$name: $!"; print $file $text; close $file; return }
write_file("$dir/secrets/password", "s3cret-word\n");

my @servers;
END { local $?; kill 'KILL', @servers if @servers; }

sub fault_server
{
	my @certificate = @_;
	my $port = free_port();
	my $pid = fork() // die;
	if (!$pid)
	{
		exec 'setpriv', '--pdeathsig', 'KILL', 'python3', test_folder() . '/clients/fault_server.py', $port, @certificate;
	}
	push @servers, $pid;
	my $url = (@certificate ? 'https' : 'http') . "://localhost:$port";
	poll_for('the fault server', 30, sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });
	return $url;
}

my $http = HTTP::Tiny->new(timeout => 20);
my $url = fault_server();
sub told { return decode_json($http->get("$url/$_[0]")->{content}) }
sub fault { $http->post("$url/fault?$_[0]") ; return }
my $ingested = 0;
sub ingest
{
	my ($n, $more) = @_;
	$server->sql("SELECT stacklens.ingest(array_agg(jsonb_build_object('n', $ingested + i" . ($more // '') . "))) FROM generate_series(1, $n) i");
	$ingested += $n;
	return;
}
sub arrived { my ($what) = @_; my $ids; eval { poll_for($what, 60, sub { ($ids = told('documents')->{ids}) == $ingested }) }; is($ids, $ingested, $what); return }
sub status { my ($pattern, $what, $sink) = @_; ok($server->wait_for($what, "SELECT count(*) > 0 FROM stacklens.stat_sinks WHERE name = '" . ($sink // 'faulty') . "' AND status ~ '$pattern'", seconds => 60), $what); return }

# --- what a sink can't be ---
for my $wrong (
	[ q('x', 'nowhere at all'), qr/22023: this is no URL.*HINT/s ],
	[ q('x', 'ftp://localhost'), qr/a URL can't begin with "ftp:"/ ],
	[ q('x', 'http://elastic:word@localhost:9200'), qr/must not hold a user or a password/ ],
	[ q('x', 'http://169.254.169.254'), qr/is link-local/ ],
	[ q('x', 'http://[fe80::1]:9200'), qr/is link-local/ ],
	[ q('x', 'http://localhost?x=1'), qr/has no "\?"/ ],
	[ q('x', 'http://good:9200,'), undef ],
	[ q('x', ''), qr/needs a name and a url/ ],
	[ q('x', 'http://localhost', 'Logs'), qr/index can't hold "L"/ ],
	[ q('x', 'http://localhost', 'logs-%H'), qr/followed by Y, m or d/ ],
	[ q('x', 'http://localhost', 'logs-%Y'), qr/but not all/ ],
	[ q('x', 'http://localhost', '_logs'), qr/begins with a letter/ ],
	[ q('x', 'http://localhost', options => '{"passwort": "x"}'), qr/HV00D: a sink has no option "passwort".*There are: api_key/s ],
	[ q('x', 'http://localhost', options => '{"username": "u", "password": "hunter2"}'), qr/a secret is written as a reference/ ],
	[ q('x', 'http://localhost', options => '{"password": "env:STACKLENS_SECRET_X"}'), qr/a password needs a username/ ],
	[ q('x', 'http://localhost', options => '{"concurrency": 99}'), qr/It is a number from 1 to 16/ ],
	[ q('x', 'http://localhost', options => '{"compression": "zip"}'), qr/It is one of: auto, gzip, none/ ],
	[ q('x', 'http://localhost', options => '{"sources": ["nothing"]}'), qr/names what is no source: nothing/ ],
	[ q('x', 'http://localhost', options => '{"ca": "/etc/passwd"}'), qr/certificate in PEM/ ],
	[ q('x', 'http://localhost', options => '[]'), qr/options are a JSON object/ ])
{
	my ($arguments, $pattern) = @$wrong;
	next unless $pattern;
	my $error = $server->error_of("SELECT stacklens.create_elasticsearch_sink($arguments)");
	like($error, $pattern, "refused: $arguments");
	unlike($error, qr/hunter2.*hunter2/s, 'without telling more of a secret than psql itself') if $arguments =~ /hunter2/;
}
unlike($server->log_text(0), qr/hunter2/, 'a secret typed by mistake is not in the log');
like($server->error_of(q{SELECT stacklens.drop_sink('nothing')}), qr/42704: sink "nothing" does not exist/, 'what is not there can not be dropped');

# --- faults, each told apart; nothing is lost, nothing set aside ---
$server->sql("SELECT stacklens.create_elasticsearch_sink('faulty', '$url', options => '{\"timeout\": 2, \"username\": \"u\", \"password\": \"file:password\", \"compression\": \"gzip\"}')");
ingest(100);
arrived('a hundred documents');
is((grep { $_->{path} eq '/_bulk' } @{ told('requests') })[0]{authorization}, 'Basic dTpzM2NyZXQtd29yZA==', 'with the password that the secret is');
is((grep { $_->{path} eq '/_bulk' } @{ told('requests') })[0]{encoding}, 'gzip', 'compressed where that was asked for');
for my $fault (
	[ redirect => 'redirects elsewhere' ], [ html => 'does not answer as Elasticsearch' ], [ fewer => 'the answer speaks of \d+ documents' ],
	[ truncated => 'ended the connection' ], [ half => 'does not answer as Elasticsearch' ], [ endless => 'answers with more' ], [ reset => 'ended the connection' ],
	[ silent => 'does not answer in time' ], [ 401 => 'refuses us .HTTP 401' ], [ 403 => 'refuses us .HTTP 403' ], [ forbidden => 'no right to write' ],
	[ 429 => 'HTTP 429' ], [ 500 => 'HTTP 500' ], [ 503 => 'HTTP 503' ], [ 400 => 'HTTP 400' ], [ 404 => 'HTTP 404' ])
{
	my ($mode, $pattern) = @$fault;
	fault($mode);
	ingest(50);
	status($pattern, "$mode is told");
	is(told('documents')->{ids}, $ingested - 50, 'nothing counts as shipped');
	fault('none');
	arrived("after $mode all arrives");
	ok($server->wait_for('the end of the alarm', q{SELECT count(*) FROM stacklens.stat_sinks WHERE status IS NOT NULL}, is => 0), 'and the alarm ends');
}
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'nothing was set aside');
fault('refuse-one');
ingest(30, q{, 'bad', CASE WHEN i = 7 THEN true END});
$server->wait_for('the dead letter', q{SELECT count(*) FROM stacklens.dead_letters}, is => 1);
like($server->sql(q{SELECT reason || ' ' || convert_from(payload, 'UTF8') FROM stacklens.dead_letters}), qr/refused the document \(HTTP 400\): told_to: it was told to .*"bad":true/s, 'one that is refused is set aside, with its bytes');
fault('none');
is($server->sql(q{SELECT stacklens.redrive('{"sink": "faulty"}'::jsonb)}), 1, 'and can be sent again');
arrived('which it is');
ok($server->wait_for('its place to be forgotten', 'SELECT count(*) FROM stacklens_internal.documents_again', is => 0), 'once');

# --- a search that waits for an answer can be cancelled ---
my $options = '"username": "u", "password": "file:password", "compression": "gzip"';
$server->sql("SELECT stacklens.alter_sink('faulty', options => '{\"timeout\": 300, $options}')");
fault('silent');
like($server->error_of(q{SET statement_timeout = '1s'; SELECT * FROM stacklens.search('x')}), qr/57014: canceling statement due to statement timeout/, 'a search that waits for an answer can be cancelled');
fault('none');
$server->sql("SELECT stacklens.alter_sink('faulty', options => '{\"timeout\": 2, $options}')");

# --- several URLs: the second where the first is away ---
$server->sql("SELECT stacklens.alter_sink('faulty', url => 'http://127.0.0.1:" . free_port() . ",$url')");
ingest(10);
arrived('the second of two URLs');
# its place follows within a fraction of a second
$server->wait_for('the place', q{SELECT records FROM stacklens_internal.inbox_position WHERE sink = 'faulty'}, is => $ingested);
$server->sql(q{SELECT stacklens.pause_sink('faulty')});
$server->wait_for('the shipper to leave', q{SELECT count(*) FROM stacklens.stat_workers WHERE kind = 'shipper' AND pid IS NOT NULL}, is => 0);
ingest(10);
is($server->sql(q{SELECT state || lag FROM stacklens.stat_sinks}), 'paused10', 'paused, its lag grows');
$server->sql(q{SELECT stacklens.resume_sink('faulty')});
arrived('resumed, it goes on');

# --- a restored dump ships nothing by itself ---
$server->wait_for('the place', q{SELECT records FROM stacklens_internal.inbox_position WHERE sink = 'faulty'}, is => $ingested);
$server->sql(q{UPDATE stacklens_internal.incarnation SET id = gen_random_uuid()});
$server->sql(q{DELETE FROM stacklens_internal.inbox_position WHERE sink <> ''});
$server->sql(q{SELECT stacklens_internal.wake('maintainer')});
ok($server->wait_for('the shipper to leave', q{SELECT state = 'restored' FROM stacklens.stat_sinks}), 'restored, it waits');
is($server->sql(q{SELECT value FROM stacklens.health() WHERE part = 'restored copy'}), 'faulty', 'and health() says so');
$server->sql('DELETE FROM stacklens.logs');    # a dump has none
is($server->sql(q{SELECT stacklens.adopt_restore()}), 1, 'until it is adopted');
ingest(10);
arrived('then it goes on');

# --- the template that may not be installed ---
$server->sql(q{SELECT stacklens.pause_sink('faulty')});
fault('template-403');
$server->sql(q{SELECT stacklens.resume_sink('faulty')});
status('could not install index template.*sink_template', 'a template that we may not install is told, with what to do');
like($server->sql(q{SELECT stacklens.sink_template('faulty')}), qr/"index_patterns": \["stacklens-logs-\*"\]/, 'and can be had');
$server->sql("SELECT stacklens.alter_sink('faulty', options => '{\"timeout\": 2, \"template\": \"leave\"}')");
ingest(10);
arrived('or done without');
fault('none');

# --- alerts don't wait for it ---
$server->sql(q{SELECT stacklens.create_rule('R', match => '{"error_code": "R"}')});
fault('silent');
ingest(10, q{, 'error_code', 'R'});
ok($server->wait_for('the alert', q{SELECT count(*) FROM stacklens.alerts}, is => 1, seconds => 3), 'an alert comes while the sink is silent');
fault('none');
arrived('and the documents later');

# --- TLS: another's name, another's CA, then the right ones ---
system(qq{cd $dir && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca 2>/dev/null}
	  . join('', map { qq{ && openssl req -newkey rsa:2048 -nodes -keyout $_.key -out $_.csr -subj /CN=$_ 2>/dev/null && printf 'subjectAltName=DNS:$_' >$_.ext && openssl x509 -req -in $_.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $_.ext -out $_.pem 2>/dev/null} } qw(localhost elsewhere client))) == 0 or die;
my %tls = map { ($_ => fault_server("$dir/$_.pem", "$dir/$_.key")) } qw(localhost elsewhere);
system("cp $dir/ca.pem $dir/secrets/ca") == 0 or die;
$server->sql(q{SELECT stacklens.drop_sink('faulty')});
$server->sql("SELECT stacklens.create_elasticsearch_sink('tls', '$tls{localhost}')");
status('is not trusted over TLS', 'a certificate of an unknown CA is told', 'tls');
$server->sql("SELECT stacklens.alter_sink('tls', url => '$tls{elsewhere}', options => '{\"ca\": \"file:ca\"}')");
status('is not trusted over TLS', 'a certificate of another name is told', 'tls');
$server->sql("SELECT stacklens.alter_sink('tls', url => '$tls{localhost}')");
ok($server->wait_for('documents over TLS', q{SELECT documents > 0 AND lag = 0 AND status IS NULL FROM stacklens.stat_sinks}, seconds => 30), 'with the right CA and name all is shipped');
my $strict = fault_server("$dir/localhost.pem", "$dir/localhost.key", "$dir/ca.pem");
system("cp $dir/client.key $dir/secrets/client_key && cp $dir/client.pem $dir/secrets/client") == 0 or die;
$server->sql("SELECT stacklens.alter_sink('tls', url => '$strict')");
ingest(5);
status('TLS|ended the connection', 'a server that asks for a certificate does not let us in without', 'tls');
$server->sql("SELECT stacklens.alter_sink('tls', options => '{\"ca\": \"file:ca\", \"certificate\": \"file:client\", \"key\": \"file:client_key\"}')");
ok($server->wait_for('documents over TLS', q{SELECT lag = 0 AND status IS NULL FROM stacklens.stat_sinks}, seconds => 30), 'with one of its CA it does');
$server->sql(qq{SELECT stacklens.alter_sink('tls', url => '@{[ $url =~ s/http/https/r ]}')});
status('TLS|ended the connection', 'a server without TLS is told', 'tls');

# --- an API key ---
write_file("$dir/secrets/api_key", "aWQ6a2V5\n");
$server->sql("SELECT stacklens.alter_sink('tls', url => '$url', options => '{\"api_key\": \"file:api_key\"}')");
ingest(5);
ok($server->wait_for('documents by an API key', q{SELECT lag = 0 AND status IS NULL FROM stacklens.stat_sinks}, seconds => 30), 'by an API key');
is((grep { $_->{path} =~ m{^/_bulk} } @{ told('requests') })[-1]{authorization}, 'ApiKey aWQ6a2V5', 'which the secret is');

# --- secrets may be sent to some hosts only, and files may be missing ---
$server->sql(q{ALTER SYSTEM SET stacklens.secret_hosts = 'search.example'});
$server->sql('SELECT pg_reload_conf()');
$server->sql("SELECT stacklens.alter_sink('tls', url => '$url', options => '{\"username\": \"u\", \"password\": \"file:password\"}')");
ok($server->wait_for('the refusal', q{SELECT last_error ~ 'secrets may not be sent to host "localhost"' FROM stacklens.stat_sinks}), 'a secret is not sent to a host that is not listed');
$server->sql(q{ALTER SYSTEM RESET stacklens.secret_hosts});
$server->sql('SELECT pg_reload_conf()');
unlike($server->log_text(0), qr/s3cret-word/, 'and is in no log');

# --- two sinks and one Kafka source ---
$server->sql(q{SELECT stacklens.create_kafka_source('k', 'localhost:1', 't')});
like($server->error_of(qq{SELECT stacklens.create_elasticsearch_sink('second', '$url')}), qr/42710: sink "tls" ships the same Kafka source/, 'a Kafka source has one sink');
$server->sql(qq{SELECT stacklens.create_elasticsearch_sink('second', '$url', options => '{"sources": ["inbox"]}')});
ok($server->wait_for('both', q{SELECT count(*) FROM stacklens.stat_sinks WHERE name = 'second' AND documents > 0}, is => 1), 'the inbox may have two');

done_testing();
