# pg_upgrade from 15 to 18: rules, alerts, logs and places are as they were, and what came meanwhile is judged once.

use strict;
use warnings;

use File::Path qw(make_path);
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(cached poll_for test_folder);
use StackLens::Kafka;
use StackLens::Server;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $new_install = cached('pgserver', 'postgres') . '/18';
sub run { my (@command) = @_; my $out = ''; my $ok = IPC::Run::run(\@command, '<', \undef, '>&', \$out); return ($ok, $out) }

# --- the extension for 18 ---
my $top = test_folder() . '/..';
make_path("$dir/build");
my ($ok, $out) = run('sh', '-c', "cd '$top' && tar -c --exclude='*.o' Makefile stacklens.control sql src bgworker gateway | tar -x -C '$dir/build'");
$ok or die $out;
($ok, $out) = run('sh', '-c', "make -s -j2 -C '$dir/build' stacklens.so PG_CONFIG='$new_install/bin/pg_config' && make -s -C '$dir/build' install-extension PG_CONFIG='$new_install/bin/pg_config'");
ok($ok, 'the extension is built for PostgreSQL 18') or diag($out);

# --- a server of 15, with something in it ---
my $kafka = StackLens::Kafka->new(dir => $dir);
$kafka->create_topic('otel-logs', partitions => 2);
my $old = StackLens::Server->new('old');
sub record { my ($service, $n) = @_; return qq({"service": "$service", "error_code": "PRICE_MISSING", "n": $n}) }
$old->sql(q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high')});
$old->sql(q{SELECT name FROM stacklens.import_rules('
title: Many
correlation: {type: event_count, rules: [PRICE_MISSING], group-by: [service], timespan: 1d, condition: {gte: 4}, generate: true}
stacklens: {after: slide}
')});
$old->sql("SELECT stacklens.create_kafka_source('orders', '" . $kafka->bootstrap . "', 'otel-logs')");
$kafka->produce('otel-logs', [ map { record('kafka', $_) } 1 .. 3 ], partition => $_) for 0, 1;
$old->sql("SELECT stacklens.ingest('" . record('inbox', $_) . "')") for 1 .. 3;
$old->wait_for('the alerts', q{SELECT string_agg(service || ' ' || count, ', ' ORDER BY service) FROM stacklens.alerts WHERE rule = 'PRICE_MISSING'}, is => 'inbox 3, kafka 6');
my $id = $old->sql(q{SELECT stacklens.comment_alert(id, 'looked at') IS NULL, id FROM stacklens.alerts WHERE service = 'inbox'}) =~ s/.*\|//r;
$old->wait_for('the feed', q{SELECT NOT EXISTS (SELECT FROM stacklens_internal.changes)});
my $contents = q{SELECT jsonb_agg(to_jsonb(a) - 'epoch' ORDER BY a.id) FROM stacklens.alerts a};
my $rules = q{SELECT stacklens.export_rules()};
my ($incarnation, $epoch) = split /\|/, $old->sql('SELECT id, stacklens_internal.epoch() FROM stacklens_internal.incarnation');
# what nobody judges before the upgrade: rows, and messages
$old->node->append_conf('postgresql.conf', "stacklens.database = ''\n");
$old->node->restart;
my @before = ($old->sql($contents), $old->sql($rules), $old->sql(q{SELECT count(*) FROM stacklens.logs}));
$old->sql("SELECT stacklens.ingest('" . record('inbox', $_) . "')") for 4 .. 5;
$kafka->produce('otel-logs', [ record('kafka', $_) ], partition => 1) for 1 .. 4;
# A later minor release of 15 notes a version at each column, which an earlier one of 18 refuses: not ours to mend
if ($old->sql(q{SELECT bool_or(attoptions::text LIKE '%pg_attver%') FROM pg_attribute}) eq 't')
{
	note('columns without pg_attver, which this PostgreSQL 18 does not know');
	$old->node->safe_psql($_, q{SET allow_system_table_mods = on; UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '%pg_attver%'}) for qw(postgres template1 stacklens);
}
$old->node->stop;

# --- pg_upgrade ---
my $node = PostgreSQL::Test::Cluster->new('new', install_path => $new_install);
$node->init(extra => [ '-E', 'UTF8', '--locale=C.UTF-8', '--no-data-checksums' ]);
make_path("$dir/upgrade");
my $upgrade = sub {
	my (@more) = @_;
	my $output = '';
	my $done = IPC::Run::run([ "$new_install/bin/pg_upgrade", '--no-sync', '-b', $old->node->config_data('--bindir'), '-B', "$new_install/bin", '-d', $old->node->data_dir, '-D', $node->data_dir,
			'-p', $old->node->port, '-P', $node->port, '-s', $node->host, @more ], '<', \undef, '>&', \$output, init => sub { chdir "$dir/upgrade" or die });
	return ($done, $output);
};
($ok, $out) = $upgrade->('--check');
ok($ok, 'pg_upgrade --check is content') or diag($out);
($ok, $out) = $upgrade->();
ok($ok, 'pg_upgrade') or diag($out);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'stacklens'\nmax_worker_processes = 16\nstacklens.database = ''\n");
$node->start;
my $new = bless { node => $node, name => 'new', environment => {} }, 'StackLens::Server';
like($new->sql('SHOW server_version'), qr/^18/, 'it runs on PostgreSQL 18');
is($new->sql($contents), $before[0], 'the alerts are as they were');
is($new->sql($rules), $before[1], 'and the rules');
is($new->sql(q{SELECT count(*) FROM stacklens.logs}), $before[2] + 2, 'and the logs, with those nobody has judged');
is($new->sql(q{SELECT id FROM stacklens_internal.incarnation}), $incarnation, 'it is the same database');
is($new->sql(q{SELECT count(*) FROM pg_inherits i WHERE i.inhparent = 'stacklens.logs'::regclass AND NOT EXISTS (
	SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.inhrelid AND d.deptype = 'e')}), 0, "whose log partitions are the extension's");

# --- and it goes on ---
$node->append_conf('postgresql.conf', "stacklens.database = 'stacklens'\n");
$node->restart;
$new->wait_for_workers(5);
$new->wait_for('what came meanwhile', q{SELECT string_agg(service || ' ' || count, ', ' ORDER BY service) FROM stacklens.alerts WHERE rule = 'PRICE_MISSING'}, is => 'inbox 5, kafka 10');
$new->sql("SELECT stacklens.ingest('" . record('inbox', 6) . "')");
$kafka->produce('otel-logs', [ record('kafka', 11) ], partition => 0);
$new->wait_for('what comes after', q{SELECT string_agg(service || ' ' || count, ', ' ORDER BY service) FROM stacklens.alerts WHERE rule = 'PRICE_MISSING'}, is => 'inbox 6, kafka 11');
pass('what came before, meanwhile and after was judged once');
$new->wait_for('the correlation', q{SELECT string_agg(group_values ->> 'service' || ' ' || count, ', ' ORDER BY group_values ->> 'service') FROM stacklens.alerts WHERE rule = 'Many'}, is => 'inbox 3, kafka 8');
pass('a correlation goes on from its states');
is($new->sql(q{SELECT term FROM stacklens_internal.incarnation}), 2, 'the term is the next');
unlike($new->log_text, qr/reset from outside/, 'Kafka sees the same owner');
is($new->sql(qq{SELECT status || ' ' || (SELECT comment FROM stacklens.alert_comments WHERE alert_id = '$id') FROM stacklens.alerts WHERE id = '$id'}), 'open looked at', 'an alert is the one it was');
$node->stop;

done_testing();
