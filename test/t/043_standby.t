# A standby that lost the last second of its primary is promoted: what came by Kafka is read again and is in its tables
# once, what came by the inbox is lost with the primary's WAL, and the old primary, started by mistake, reads nothing.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(poll_for);
use StackLens::Kafka;
use StackLens::Server;

my $kafka = StackLens::Kafka->new(dir => PostgreSQL::Test::Utils::tempdir());
$kafka->create_topic('otel-logs', partitions => 2);
my $primary = StackLens::Server->new('primary', standby => 1);
sub record { my ($service, $n) = @_; return qq({"service": "$service", "error_code": "PRICE_MISSING", "n": $n}) }
sub counts { my ($where) = @_; return $where->sql(q{SELECT string_agg(service || ' ' || count, ', ' ORDER BY service) FROM stacklens.alerts}) }
$primary->sql(q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high')});
$primary->sql("SELECT stacklens.create_kafka_source('orders', '" . $kafka->bootstrap . "', 'otel-logs', options => '{\"session.timeout.ms\": 6000}')");
$kafka->produce('otel-logs', [ map { record('before', $_) } 1 .. 50 ], partition => $_) for 0, 1;
$primary->sql(q{SELECT stacklens.ingest('{"service": "inbox-before", "error_code": "PRICE_MISSING"}')});
$primary->wait_for('what came before', q{SELECT sum(count) FROM stacklens.alerts}, is => 101);
$primary->node->backup('base');
my $node = PostgreSQL::Test::Cluster->new('standby');
$node->init_from_backup($primary->node, 'base', has_streaming => 1);
$node->start;
my $standby = bless { node => $node, name => 'standby', environment => {} }, 'StackLens::Server';
$primary->node->wait_for_catchup($node);
my $epoch = $primary->sql('SELECT stacklens_internal.epoch()');

# --- the last second: the primary goes on, and nobody hears of it ---
$standby->sql(q{ALTER SYSTEM SET primary_conninfo = ''});
$standby->sql('SELECT pg_reload_conf()');
$primary->wait_for('the standby to be alone', q{SELECT count(*) FROM pg_stat_replication}, is => 0);
$kafka->produce('otel-logs', [ map { record('last-second', $_) } 1 .. 30 ], partition => $_) for 0, 1;
$primary->sql(q{SELECT stacklens.ingest('{"service": "inbox-last-second", "error_code": "PRICE_MISSING"}')});
$primary->wait_for('the last second', q{SELECT sum(count) FROM stacklens.alerts}, is => 162);
poll_for('Kafka to be told', 20, sub { my $c = $kafka->committed('stacklens-consumer', 'otel-logs'); $c->{0}{offset} == 80 && $c->{1}{offset} == 80 });
$primary->node->stop('immediate');

# --- promotion ---
is(counts($standby), 'before 100, inbox-before 1', 'the standby knows nothing of the last second');
$node->promote;
$standby->wait_for_workers(5);
$standby->wait_for('the positions', q{SELECT sum(next_offset) FROM stacklens.positions}, is => 160);
is(counts($standby), 'before 100, inbox-before 1, last-second 60', 'promoted, it has read what it missed from Kafka, once; the inbox of that second is lost');
$kafka->produce('otel-logs', [ map { record('after', $_) } 1 .. 10 ], partition => $_) for 0, 1;
$standby->sql(q{SELECT stacklens.ingest('{"service": "inbox-after", "error_code": "PRICE_MISSING"}')});
$standby->wait_for('what comes after', q{SELECT count(*) FROM stacklens.alerts WHERE service LIKE '%after'}, is => 2);
$standby->wait_for('the positions', q{SELECT sum(next_offset) FROM stacklens.positions}, is => 180);
is(counts($standby), 'after 20, before 100, inbox-after 1, inbox-before 1, last-second 60', 'and goes on');
unlike($standby->log_text, qr/reset from outside/, 'Kafka, which was further, is no reset');
isnt($standby->sql('SELECT stacklens_internal.epoch()'), $epoch, 'the feed has another epoch');
$standby->wait_for('the feed', q{SELECT NOT EXISTS (SELECT FROM stacklens_internal.changes)});
is($standby->sql(q{SELECT min(seq) || ' ' || (count(*) = max(seq)) FROM stacklens.alert_feed WHERE epoch = stacklens_internal.epoch()}), '1 true', 'from 1, without holes');
is($standby->sql(q{SELECT count(*) FROM (SELECT alert_id FROM stacklens.alert_feed WHERE change = 'opened' GROUP BY alert_id HAVING count(*) > 1) t}), 0, 'no alert is opened twice in it');
my ($incarnation) = $standby->sql('SELECT id FROM stacklens_internal.incarnation');
poll_for('the tag', 20, sub { ($kafka->committed('stacklens-consumer', 'otel-logs')->{0}{metadata} // '') =~ /^sl1:\Q$incarnation\E:2:90$/ });
pass('the group is that of the second term');

# --- the old primary, by mistake ---
$primary->node->start;
$primary->wait_for('a refusal', q{SELECT last_error LIKE 'group "stacklens-consumer" belongs to another%' FROM stacklens.stat_sources WHERE name = 'orders'});
$kafka->produce('otel-logs', [ record('much-later', 1) ], partition => 0);
$standby->wait_for('a record after that', q{SELECT count FROM stacklens.alerts WHERE service = 'much-later'}, is => 1);
is($primary->sql(q{SELECT count(*) FROM stacklens.alerts WHERE service IN ('after', 'much-later')}), 0, 'an old primary that is started again leaves the group to its successor');

done_testing();
