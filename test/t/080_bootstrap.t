# What a newcomer types: bootstrap.sh up, health, psql, logs, down; the runbook's own commands; dump, drop, restore.

use strict;
use warnings;

use IPC::Run ();
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use StackLens::Cache qw(free_port poll_for test_folder);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $script = test_folder() . '/../compose/bootstrap.sh';
my ($port, $otlp) = (free_port(), free_port());
@ENV{qw(STACKLENS_STATE STACKLENS_PORT STACKLENS_OTLP_PORT)} = ("$dir/state", $port, $otlp);
delete @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)};

# → (exit status, stdout, stderr)
sub run_it
{
	my ($command, $input) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run($command, '<', \($input // ''), '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	return ($? >> 8, $out, $err);
}
sub bootstrap { my ($arguments, $input) = @_; return run_it([ $script, @$arguments ], $input) }
sub shell { my ($command) = @_; return run_it([ 'bash', '-c', $command ]) }
sub psql { my ($query) = @_; my (undef, $out) = bootstrap([ 'psql', '-At', '-c', $query ]); chomp $out; return $out }
END { local $?; system("$script down -v >/dev/null 2>&1") if $script }

# --- before ---
my ($status, $out, $err) = bootstrap(['health']);
is($status, 1, 'health before up: exit status 1');
like($out, qr/postgresql \| critical/, 'and says what is missing');
($status, $out, $err) = bootstrap([]);
is($status, 2, 'without a command: how to use it');
($status, $out, $err) = bootstrap([ 'up', '--full' ]);
isnt($status, 0, 'up --full is refused');
like($err, qr/not in this version/, 'with the reason');

# --- up, twice ---
my $start = time();
($status, $out, $err) = bootstrap(['up']);
is($status, 0, 'up') or BAIL_OUT($out . $err);
cmp_ok(time() - $start, '<', 90, 'in less than 90 s');
like($out, qr/==> cluster in.*==> start PostgreSQL.*rule PRICE_MISSING: created.*StackLens is ready.*http:\/\/localhost:$port\//s, 'it shows what it does, and where things are');
my $pids = psql('SELECT pg_postmaster_start_time()');
$start = time();
($status, $out, $err) = bootstrap(['up']);
is("$status$err", 0, 'a second up');
cmp_ok(time() - $start, '<', 10, 'in less than 10 s');
unlike($out, qr/cluster|start|database/, 'starts nothing');
is(psql('SELECT pg_postmaster_start_time()'), $pids, 'and changes nothing');
($status, $out) = bootstrap(['health']);
is($status, 0, 'health: exit status 0');
like($out, qr/ workers\s+\| ok .* gateway\s+\| ok /s, 'with every part');

# --- the runbook's commands ---
(undef, $out) = shell(qq(curl -s -X POST http://localhost:$port/api/ingest/log -H "Content-Type: application/json" -d '{
       "timestamp": "2025-01-15T10:30:45.123Z",
       "service": "order-service",
       "level": "error",
       "message": "Price is missing",
       "error_code": "PRICE_MISSING",
       "action": "create_order"
     }'));
is(decode_json($out)->{accepted}, 1, "the runbook's test log");
my $alerts = poll_for('its alert', 2, sub { my (undef, $o) = shell("curl -s http://localhost:$port/admin/alerts?limit=1"); my $a = decode_json($o); @$a && $a });
is("$alerts->[0]{issue_code} $alerts->[0]{severity}", 'PRICE_MISSING high', 'is an alert within 2 s');
is(psql("SELECT issue_code, COUNT(*) as count FROM alerts WHERE created_at > NOW() - INTERVAL '1 hour' GROUP BY issue_code;"), 'PRICE_MISSING|1', "and the runbook's query, unqualified, finds exactly one");
(undef, $out, $err) = bootstrap([ 'psql', '-c', 'CREATE TABLE IF NOT EXISTS alerts (id UUID PRIMARY KEY, issue_code VARCHAR(64), severity VARCHAR(16), message TEXT, created_at TIMESTAMP DEFAULT NOW());' ]);
like($err, qr/NOTICE:  relation "alerts" already exists, skipping/, "its CREATE TABLE is a NOTICE");
(undef, $out) = shell(qq(curl -s -m 5 -i -N -H "Upgrade: websocket" -H "Connection: Upgrade" http://localhost:$port/ws/alerts));
like($out, qr/^HTTP\/1.1 101 Switching Protocols/, 'its probe of the WebSocket: 101');
(undef, $out) = shell(qq(curl -s -o /dev/null -w '%{http_code}' -X POST http://localhost:$otlp/v1/logs -H "Content-Type: application/json" -d '{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1000000", "body": {"stringValue": "test log"}}]}]}]}'));
is($out, 200, 'its OTLP test log: 200');
(undef, $out) = shell(qq(curl -s -i -X OPTIONS http://localhost:$otlp));
like($out, qr/^HTTP\/1.1 204 /, 'its OPTIONS: 204');
(undef, $out) = shell("curl -s http://localhost:$port/metrics");
like($out, qr/# EOF/, 'its metrics');
(undef, $out) = shell('jq -r ".rules[].name" ' . test_folder() . '/../compose/config/rules/alert-rules.json');
like($out, qr/PRICE_MISSING/, 'its jq of the rules');

# --- psql: arguments, standard input and exit status as they are ---
($status, $out, $err) = bootstrap([ 'psql', '-At', '-v', 'ON_ERROR_STOP=1' ], "SELECT 40 + 2;\n");
is("$status|$out|$err", "0|42\n|", 'psql reads standard input and prints nothing of its own');
($status) = bootstrap([ 'psql', '-v', 'ON_ERROR_STOP=1', '-c', 'SELECT 1/0' ]);
is($status, 1, 'and gives its exit status');

# --- logs ---
my $log = '';
my $follow = IPC::Run::start([ $script, 'logs', 'gateway' ], '>', \$log, '2>', \$err);
poll_for('the log', 10, sub { $follow->pump_nb; $log =~ /listening on/ });
$follow->kill_kill;
pass('logs follows a part by name');
($status, $out, $err) = bootstrap([ 'logs', 'kafka' ]);
like("$status $err", qr/^[1-9].*there is no part "kafka".*it is postgres.*or gateway/s, 'a part that is not there');

# --- a crash of everything, and up again ---
my $postmaster = (split /\n/, PostgreSQL::Test::Utils::slurp_file("$dir/state/data/postmaster.pid"))[0];
my $run = psql('SHOW unix_socket_directories');
chomp(my $gateway = PostgreSQL::Test::Utils::slurp_file("$run/gateway.pid"));
kill 'KILL', $postmaster, $gateway;
($status) = bootstrap(['health']);
is($status, 1, 'after a crash, health fails');
($status, $out, $err) = bootstrap(['up']);
is($status, 0, 'and up repairs') or diag($out . $err);
like($out, qr/==> start PostgreSQL.*==> start the gateway/s, 'what was not running');
is(psql('SELECT count(*) FROM alerts'), 1, 'the data is as it was');
kill 'KILL', do { chomp(my $p = PostgreSQL::Test::Utils::slurp_file("$run/gateway.pid")); $p };
($status, $out) = bootstrap(['up']);
unlike($out, qr/start PostgreSQL/, 'a dead gateway alone is started alone');

# a rule that was dropped stays dropped
psql("SELECT drop_rule('OUT_OF_MEMORY')");

# --- dump, drop, restore: by pg_dump and psql alone ---
psql(q{SELECT create_kafka_source('orders', 'localhost:1', 'otel-logs')});
psql(q{INSERT INTO stacklens_internal.positions (source, topic, partition, next_offset) VALUES ('orders', 'otel-logs', 0, 77)});
psql(q{SELECT ingest('{"service": "cart", "error_code": "PRICE_MISSING"}')});
poll_for('the second alert', 10, sub { psql('SELECT count(*) FROM alerts') eq '2' });
psql(q{SELECT acknowledge_alert(id, 'mine') FROM alerts WHERE service = 'cart'});
my $everything = q{SELECT md5(string_agg(t::text, E'\n' ORDER BY t::text)) FROM (SELECT to_jsonb(a) FROM alerts a UNION ALL SELECT to_jsonb(r) FROM rules r
	UNION ALL SELECT to_jsonb(s) FROM alert_samples s UNION ALL SELECT jsonb_build_array(p.source, p.partition, p.next_offset) FROM positions p) t};
my $before = psql($everything);
my $incarnation = psql('SELECT id FROM stacklens_internal.incarnation');
my $conninfo = "host=$run user=stacklens dbname=stacklens";
($status, $out, $err) = shell("pg_dump '$conninfo' > $dir/backup.sql");
is("$status$err", 0, 'pg_dump, without a warning');
my $admin = "psql -X -q -v ON_ERROR_STOP=1 'host=$run user=stacklens dbname=postgres'";
($status, $out, $err) = shell("$admin -c 'DROP DATABASE stacklens WITH (FORCE)' && $admin -c 'CREATE DATABASE stacklens'");
is("$status$err", 0, 'drop and make the database');
($status, $out, $err) = bootstrap([ 'psql', '-q', '-v', 'ON_ERROR_STOP=1' ], PostgreSQL::Test::Utils::slurp_file("$dir/backup.sql"));
is("$status$err", 0, 'restore, without an error');
is(psql($everything), $before, 'rules, alerts, samples and positions are the same');
isnt(psql('SELECT id FROM stacklens_internal.incarnation'), $incarnation, 'but it is another database');
poll_for('its workers', 30, sub { psql(q{SELECT status FROM health() WHERE part = 'workers'}) eq 'ok' });
is(psql(q{SELECT count(*) FROM stat_workers WHERE source = 'orders'}), 0, 'whose sources are inert');
like(psql(q{SELECT status, hint FROM health() WHERE part = 'restored copy'}), qr/^warning\|These sources and sinks come from a dump.*adopt_restore/, 'health() says why');
psql(q{SELECT ingest('{"service": "cart", "error_code": "PRICE_MISSING"}')});
poll_for('a count that goes on', 10, sub { psql(q{SELECT count FROM alerts WHERE service = 'cart' AND status = 'acknowledged'}) eq '2' });
pass('a match after the restore counts on the same alert');
is(psql('SELECT adopt_restore()'), 1, 'adopt_restore() takes them over');
poll_for('its evaluator', 10, sub { psql(q{SELECT count(*) FROM stat_workers WHERE source = 'orders' AND pid IS NOT NULL}) eq '1' });
pass('and they are read');
(undef, $out) = shell("curl -s http://localhost:$port/admin/alerts");
is(scalar @{ decode_json($out) }, 2, 'the gateway has found its way back');

# --- down ---
($status, $out, $err) = bootstrap(['up']);
is(psql(q{SELECT count(*) FROM rules WHERE name = 'OUT_OF_MEMORY'}), 0, 'up never imports rules again');
($status, $out, $err) = bootstrap(['down']);
is("$status$err", 0, 'down');
ok(-e "$dir/state/data/PG_VERSION", 'data stays');
ok(!-e "$dir/state/data/postmaster.pid", 'nothing runs');
($status, $out, $err) = bootstrap(['up']);
is(psql('SELECT count(*) FROM alerts'), 2, 'and is there after up');
($status, $out, $err) = bootstrap([ 'down', '-v' ]);
is($status, 0, 'down -v');
ok(!-e "$dir/state", 'removes the data');
done_testing();
