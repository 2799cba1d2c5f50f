# An OpenSearch that asks who we are: rights that are missing, taken away, given back; a password that changes.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(poll_for);
use StackLens::Elasticsearch;
use StackLens::Server;

my $dir = PostgreSQL::Test::Utils::tempdir();
mkdir "$dir/secrets";
my $es = StackLens::Elasticsearch->new(dir => $dir, kind => 'opensearch_security');
my $server = StackLens::Server->new('rights', conf => "stacklens.secrets_directory = '$dir/secrets'\n");

sub secret { my ($text) = @_; open my $file, '>', "$dir/secrets/password" or die; print $file $text; close $file; return }
sub security { my ($method, $what, $body) = @_; return $es->request($method, "/_plugins/_security/api/$what", $body) }
my @index;
sub role { my (@cluster) = @_; return security(PUT => 'roles/shipper', { cluster_permissions => [@cluster], index_permissions => [ { index_patterns => ['stacklens-logs-*'], allowed_actions => [qw(create_index crud), @index] } ] }) }
sub user { my ($password, @roles) = @_; return security(PUT => 'internalusers/shipper', { password => $password, opendistro_security_roles => \@roles }) }

my $ingested = 0;
sub ingest { my ($n) = @_; $server->sql("SELECT count(stacklens.ingest(jsonb_build_object('message', 'number ' || i))) FROM generate_series(1, $n) i"); $ingested += $n; return }
sub arrived
{
	my ($what) = @_;
	my $count;
	eval { poll_for("$ingested documents", 60, sub { ($count = $es->count) == $ingested }) };
	is($count, $ingested, $what);
	return;
}
sub told { my ($pattern, $what) = @_; ok($server->wait_for($what, "SELECT status ~ '$pattern' FROM stacklens.stat_sinks WHERE name = 'logs'", seconds => 60), $what); return }
sub no_alarm { $server->wait_for('the alarm to end', q{SELECT status IS NULL FROM stacklens.stat_sinks WHERE name = 'logs'}, seconds => 60); return }

my @rights = qw(cluster_composite_ops cluster:monitor/nodes/info);
role(@rights);
user('Quiet-Meadow-3141-fox', 'shipper');
secret("Loud-Mountain-2718-owl\n");
ingest(10);
$server->sql(qq{SELECT stacklens.create_elasticsearch_sink('logs', '@{[ $es->url ]}', options => '{"username": "shipper", "password": "file:password"}')});
told('refuses us .HTTP 401', 'a wrong password is told');
is($server->sql(q{SELECT status FROM stacklens.health() WHERE part = 'elasticsearch'}) =~ /warning|critical/ ? 1 : 0, 1, 'health() says so');
secret("Quiet-Meadow-3141-fox\n");
told('could not see index template "stacklens-logs".*run PUT http\S+/_index_template/stacklens-logs with what .* gives', 'mended in its file, it gets in; without the right to see the template, it says what to do');
role(@rights, 'indices:admin/index_template/get');
told('could not install index template "stacklens-logs".*run PUT http', 'and without the right to install it');
$es->request('PUT', '/_index_template/stacklens-logs', $server->sql(q{SELECT stacklens.sink_template('logs', true)}));
no_alarm();
arrived('put there by hand as it says, all arrives');

user('Loud-Mountain-2718-owl', 'shipper');
ingest(20);
told('refuses us .HTTP 401', 'a password that changed is told');
secret("Loud-Mountain-2718-owl\n");
no_alarm();
arrived('and read anew from its file');

user('Loud-Mountain-2718-owl');
ingest(30);
told('refuses us .HTTP 403|no right to write', 'rights that were taken away are told');
like($server->error_of(q{SELECT * FROM stacklens.search('number')}), qr/HTTP 403/, 'of a search, too');
user('Loud-Mountain-2718-owl', 'shipper');
no_alarm();
arrived('given back, all arrives');
is($server->sql(q{SELECT count(*) FROM stacklens.search('number')}), $ingested, 'and is found');
is($server->sql('SELECT count(*) FROM stacklens.dead_letters'), 0, 'nothing was set aside');

$es->request('PUT', '/stacklens-logs-2020.01.01', undef);
$server->sql(q{SELECT stacklens.alter_sink('logs', options => '{"username": "shipper", "password": "file:password", "retention": 30}')});
ok(eval { poll_for('the message', 30, sub { $server->log_text =~ /sink "logs" could not list indices older than its option retention: .*HTTP 403/ }) }, 'without the right to, that is told');
@index = qw(indices:admin/aliases/get indices:admin/delete);
role(@rights, 'cluster_manage_index_templates');
$server->sql(q{SELECT stacklens.pause_sink('logs')});
$server->sql(q{SELECT stacklens.resume_sink('logs')});
ok(eval { poll_for('an old index to be deleted', 30, sub { !grep { $_->{index} eq 'stacklens-logs-2020.01.01' } @{ $es->request('GET', '/_cat/indices/stacklens-logs-*?format=json') } }) },
	'the rights that the manual names are enough for retention');
done_testing();
