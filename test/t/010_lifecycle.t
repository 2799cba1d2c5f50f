# Workers and the commands that concern them: start, restart, reload, DROP and ALTER EXTENSION, DROP and RENAME
# DATABASE, shutdown, a standby's promotion; and that an operator's open transaction stops nobody.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use StackLens::Cache qw(poll_for);
use StackLens::Server;

my $price = q(SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high'));
my $one = sub { my ($service) = @_; return qq(SELECT stacklens.ingest('{"service": "$service", "error_code": "PRICE_MISSING"}')) };
my $seen = sub { my ($service) = @_; return "SELECT COALESCE(sum(count), 0) FROM stacklens.alerts WHERE service = '$service'" };

# --- without preloading ---
{
	my $server = StackLens::Server->new('bare', extension => 0, conf => "shared_preload_libraries = ''\n");
	$server->node->safe_psql('postgres', 'CREATE DATABASE stacklens');
	$server->sql('CREATE EXTENSION stacklens');
	pass('CREATE EXTENSION works without preloading');
	like($server->error_of("SELECT stacklens.create_kafka_source('s', 'b:1', 't')"),
		qr/55000: a Kafka source needs background workers, and stacklens is not preloaded\nHINT:  Set shared_preload_libraries = 'stacklens' and stacklens.database = 'stacklens'/,
		'what needs workers says what to set');
	is($server->sql(q{SELECT status FROM stacklens.health() WHERE part = 'workers'}), 'critical', 'and so does health()');
	$server->sql($price);
	is($server->sql(q{SELECT name FROM stacklens.match_rules('{"error_code": "price_missing"}')}), 'PRICE_MISSING', 'rules can be asked');
	$server->node->append_conf('postgresql.conf', "shared_preload_libraries = 'stacklens'\n");
	$server->sql($one->('before'));
	$server->node->restart;
	$server->wait_for_workers;
	$server->wait_for('what was ingested before', $seen->('before'), is => 1);
	pass('once preloaded, what lay in the inbox is judged');
	$server->node->append_conf('postgresql.conf', "stacklens.database = ''\n");
	$server->node->restart;
	is($server->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stacklens%'}), 0, 'an empty stacklens.database means no workers');
	$server->node->stop;
}

my $server = StackLens::Server->new('main', standby => 1);
$server->sql($price);
is($server->sql(q{SELECT string_agg(backend_type, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'stacklens%'}),
	'stacklens evaluator, stacklens launcher, stacklens maintainer, stacklens notifier', 'workers by name in pg_stat_activity');

# --- pg_terminate_backend ---
for my $kind (qw(evaluator notifier maintainer launcher))
{
	my $pid = $server->worker_pid($kind);
	my $start = time();
	$server->sql("SELECT pg_terminate_backend($pid)");
	$server->wait_for("another $kind", "SELECT pid <> $pid FROM stacklens.stat_workers WHERE kind = '$kind' AND state = 'running'");
	cmp_ok(time() - $start, '<', 10, "a terminated $kind comes back");
}
$server->sql($one->('after-terminate'));
$server->wait_for('an alert afterwards', $seen->('after-terminate'), is => 1);

# --- reload, and why records match or don't ---
$server->node->append_conf('postgresql.conf', "stacklens.debug = all\n");
my $log = $server->log_position;
$server->node->reload;
$server->wait_for('the reload', "SELECT current_setting('stacklens.debug')", is => 'all');
poll_for('words in the log', 30, sub {
	$server->sql($one->('debug'));
	$server->sql(q{SELECT stacklens.ingest('{"service": "debug", "message": "quiet"}')});
	my $text = $server->log_text($log);
	return $text =~ /LOG:  rule "PRICE_MISSING" matched a record of inbox: alert high/ && $text =~ /LOG:  no rule match for a record of inbox/;
});
pass('stacklens.debug says why, after a reload');
$server->node->append_conf('postgresql.conf', "stacklens.debug = off\n");
$server->node->reload;

# --- an operator's open transactions ---
{
	my $session = $server->node->background_psql('stacklens');
	$session->query_safe("BEGIN; SELECT stacklens.acknowledge_alert(id) FROM stacklens.alerts WHERE service = 'after-terminate';");
	$server->sql($one->('after-terminate'));
	$server->wait_for('the count, beside an open acknowledgement', $seen->('after-terminate'), is => 2);
	$server->sql($one->('beside'));
	$server->wait_for('another alert beside it', $seen->('beside'), is => 1);
	pass('an open acknowledgement stops no evaluator');
	$session->query_safe('COMMIT; BEGIN; INSERT INTO stacklens.logs (service, error_code) VALUES (\'slow\', \'PRICE_MISSING\');');
	$server->sql($one->('fast'));
	$server->wait_for('a commit that overtakes', $seen->('fast'), is => 1);
	is($server->sql($seen->('slow')), 0, 'what is not committed is not judged');
	$session->query_safe('COMMIT;');
	$server->wait_for('the one that was overtaken', $seen->('slow'), is => 1);
	pass('a writer that commits late is not missed');
	$session->query_safe('BEGIN; LOCK TABLE stacklens_internal.inbox_position;');
	$server->sql($one->('locked'));
	$server->wait_for('the complaint', q{SELECT last_error LIKE '55P03%' FROM stacklens.stat_workers WHERE kind = 'evaluator'});
	$session->query_safe('ROLLBACK;');
	$server->wait_for('the record after it', $seen->('locked'), is => 1);
	pass('a locked table is not waited for, and the batch not lost');
	$session->quit;
}
$server->sql(q{BEGIN; INSERT INTO stacklens.logs (service, error_code) VALUES ('prepared', 'PRICE_MISSING'); SAVEPOINT a;
	INSERT INTO stacklens.logs (service, error_code) VALUES ('undone', 'PRICE_MISSING'); ROLLBACK TO a;
	INSERT INTO stacklens.logs (service, error_code) VALUES ('subtransaction', 'PRICE_MISSING'); COMMIT;});
$server->wait_for('rows of subtransactions', q{SELECT string_agg(service, ' ' ORDER BY service) FROM stacklens.alerts WHERE service IN ('prepared', 'undone', 'subtransaction')},
	is => 'prepared subtransaction');

# --- who may not drop it stops nobody ---
$server->sql('CREATE ROLE nobody LOGIN');
{
	my $session = $server->node->background_psql('stacklens', on_error_stop => 0);
	$session->query('SET SESSION AUTHORIZATION nobody; BEGIN; SAVEPOINT s; DROP EXTENSION stacklens; ROLLBACK TO s; ALTER DATABASE stacklens RENAME TO x; ROLLBACK TO s;');
	$server->sql($one->('unstopped'));
	$server->wait_for('an alert beside it', $seen->('unstopped'), is => 1);
	pass('a command that is not permitted does not stop the workers');
	$session->query('ROLLBACK; RESET SESSION AUTHORIZATION; BEGIN; SAVEPOINT s; DROP EXTENSION stacklens; ROLLBACK TO s;');
	$server->wait_for_workers;
	pass('nor does one that was rolled back to a savepoint, once it is');
	$session->quit;
}

# --- DROP EXTENSION: undone, done, made again ---
$server->sql('BEGIN; DROP EXTENSION stacklens; ROLLBACK;');
$server->wait_for_workers;
$server->sql($one->('after-rollback'));
$server->wait_for('an alert', $seen->('after-rollback'), is => 1);
pass('a DROP EXTENSION that is rolled back leaves all as it was');
$log = $server->log_position;
$server->sql('DROP EXTENSION stacklens');
is($server->sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'stacklens (evaluator|notifier)'}), 0, 'DROP EXTENSION: its workers have left');
$server->sql('CREATE EXTENSION stacklens');
$server->wait_for_workers;
$server->sql($price);
$server->sql($one->('again'));
$server->wait_for('an alert', $seen->('again'), is => 1);
pass('CREATE EXTENSION again: they are back, without a restart');
unlike($server->log_text($log), qr/FATAL|PANIC/, 'and nobody died of it');

# --- ALTER EXTENSION, and a library of another version ---
my $pids = $server->sql(q{SELECT string_agg(pid::text, ' ' ORDER BY kind) FROM stacklens.stat_workers WHERE kind <> 'launcher'});
$server->sql('ALTER EXTENSION stacklens UPDATE');
$server->wait_for('new workers', qq{SELECT string_agg(pid::text, ' ' ORDER BY kind) <> '$pids' AND count(*) = 3 FROM stacklens.stat_workers WHERE kind <> 'launcher' AND state = 'running'});
pass('ALTER EXTENSION UPDATE: workers leave before and come back after');
$server->sql(q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'stacklens'});
$server->sql("SELECT pg_terminate_backend(" . $server->worker_pid('evaluator') . ")");
$server->wait_for('the evaluator to leave', q{SELECT state = 'stopped' AND status LIKE 'extension is version 0.0.9, library is version%' FROM stacklens.stat_workers WHERE kind = 'evaluator'});
like($server->sql(q{SELECT hint FROM stacklens.health() WHERE part = 'workers'}), qr/run ALTER EXTENSION stacklens UPDATE, or install/, 'health() says what to do about versions that differ');
$server->sql(q{UPDATE pg_extension SET extversion = stacklens_internal.library_version() WHERE extname = 'stacklens'});
$server->sql('ALTER EXTENSION stacklens UPDATE');
$server->wait_for_workers;

# --- the database itself ---
my $super = sub { return $server->node->safe_psql('postgres', $_[0]) };
$super->('ALTER DATABASE stacklens RENAME TO elsewhere');
is($super->(q{SELECT count(*) FROM pg_stat_activity WHERE datname IN ('stacklens', 'elsewhere')}), 0, 'RENAME: nobody is connected');
$super->('ALTER DATABASE elsewhere RENAME TO stacklens');
$server->wait_for_workers;
pass('and renamed back it runs again');
$super->('CREATE DATABASE copied TEMPLATE stacklens');
$server->wait_for_workers;
pass('it can be a template');
$super->('DROP DATABASE copied');
my $start = time();
$super->('DROP DATABASE stacklens');
cmp_ok(time() - $start, '<', 10, 'DROP DATABASE does not wait for workers that stay');
$super->('CREATE DATABASE stacklens');
$server->sql('CREATE EXTENSION stacklens');
$server->wait_for_workers;
$super->('DROP DATABASE stacklens WITH (FORCE)');
$super->('CREATE DATABASE stacklens');
$server->sql('CREATE EXTENSION stacklens');
$server->wait_for_workers;
$server->sql($price);
$server->sql($one->('reborn'));
$server->wait_for('an alert', $seen->('reborn'), is => 1);
pass('DROP DATABASE WITH (FORCE), and a new one');

# --- a standby, and its promotion ---
$server->node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($server->node, 'base', has_streaming => 1);
$standby->start;
$server->sql($one->('replicated'));
$server->wait_for('an alert', $seen->('replicated'), is => 1);
my ($epoch) = $server->sql('SELECT stacklens_internal.epoch()');
$server->node->wait_for_catchup($standby);
is($standby->safe_psql('stacklens', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stacklens%'}), 0, 'a standby has no workers');
is($standby->safe_psql('stacklens', $seen->('replicated')), 1, 'but its alerts can be read');

# fast shutdown in the middle of work
my $load = $server->node->background_psql('stacklens');
$load->query_safe(q{INSERT INTO stacklens.logs (service, error_code) SELECT 'bulk', 'PRICE_MISSING' FROM generate_series(1, 20000);});
$load->quit;
$start = time();
$server->node->stop('fast');
cmp_ok(time() - $start, '<', 15, 'a fast shutdown in the middle of a batch is fast');

my $promoted = bless { node => $standby, name => 'standby' }, 'StackLens::Server';
$standby->promote;
$promoted->wait_for_workers;
$promoted->sql($one->('promoted'));
$promoted->wait_for('an alert', $seen->('promoted'), is => 1);
is($promoted->sql($seen->('replicated')), 1, 'promotion: no alert is doubled');
is($promoted->sql('SELECT term FROM stacklens_internal.incarnation'), 2, 'and the term is raised');
isnt($promoted->sql('SELECT stacklens_internal.epoch()'), $epoch, 'so that the feed has another epoch');
$promoted->wait_for('a feed from 1', q{SELECT min(seq) = 1 FROM stacklens.alert_feed WHERE epoch = stacklens_internal.epoch()});
$standby->stop;

$server->node->start;
$server->wait_for_workers;
$server->wait_for('all of the bulk', $seen->('bulk'), is => 20000);
pass('after the shutdown each record was counted once');

# --- too few worker slots ---
$server->node->append_conf('postgresql.conf', "max_worker_processes = 3\n");
$log = $server->log_position;
$server->node->restart;
poll_for('the warning', 30, sub { $server->log_text($log) =~ /WARNING:  no background worker slot is free for stacklens's \w+.*?HINT:  Raise max_worker_processes \(now 3\)/s });
pass('too few slots: a warning with the number');
$server->node->stop;

done_testing();
