# The admin page in a real Chromium: an alert appears without reload and soon, is filtered, opened, acknowledged,
# resolved; log text is only ever text; the connection's state is shown while PostgreSQL is away.

use strict;
use warnings;

use File::Temp ();
use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use StackLens::Browser;
use StackLens::Cache qw(poll_for);
use StackLens::Server;

my $server = StackLens::Server->new('browser');
$server->sql(q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}', severity => 'high')});
$server->sql(q{SELECT stacklens.create_rule('NOISE', match => '{"kind": "noise"}', severity => 'low')});
my $gateway = $server->gateway;
# a short path: Chromium keeps sockets there
my $profile = File::Temp->newdir;
my $browser = StackLens::Browser->new(dir => "$profile");
my $shots = $ENV{STACKLENS_SCREENSHOTS};

$browser->goto($gateway->url('/'));
$browser->waitFor('#connection[data-state="live"]');
like($browser->text('#try'), qr/PRICE_MISSING/, 'with no alerts it shows what to try');
$browser->screenshot("$shots/empty.png") if $shots;

my $start = time();
is(($gateway->post('/api/ingest/log', $StackLens::Server::PRICE_MISSING))[0], 202, "the runbook's log is accepted");
$browser->waitFor('[data-alert-id][data-severity="high"][data-status="open"]', { timeout => 10_000 });
my $took = time() - $start;
note(sprintf 'an open page showed the alert after %.0f ms', $took * 1000);
cmp_ok($took, '<', 2, 'and on an open page within 2 s, without reload');
is($browser->count('[data-alert-id]'), 1, 'exactly one');
like($browser->text('[data-alert-id]'), qr/PRICE_MISSING/, 'by its code');

# filter by severity
$gateway->post('/api/ingest/log', encode_json({ service => 'noisy', kind => 'noise', message => 'hum' }));
$browser->waitFor('[data-alert-id][data-severity="low"]');
$browser->click('[data-filter-severity="high"]');
poll_for('the filter', 10, sub { $browser->count('[data-alert-id]') == 1 });
is($browser->attribute('[data-alert-id]', 'data-severity'), 'high', 'filtered by severity');
$browser->click('[data-filter-severity="high"]');

# the text of a log is text
my $evil = q{<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>};
$gateway->post('/api/ingest/log', encode_json({ service => $evil, error_code => 'PRICE_MISSING', message => $evil }));
poll_for('the hostile alert', 10, sub { $browser->count('[data-alert-id]') == 3 });
is($browser->count('main img, main script'), 0, 'markup in a log stays text');
unlike($browser->title, qr/owned/, 'and runs nothing');

# detail, acknowledge, resolve
my $id = $server->sql(q{SELECT id FROM stacklens.alerts WHERE service = 'order-service'});
$browser->click(qq([data-alert-id="$id"] a));
$browser->waitFor('#detail .sample');
like($browser->text('#detail'), qr/create_order/, 'the detail shows the sample record');
$browser->waitFor('#logs .sample');
like($browser->text('#logs'), qr/order-service\s+error\s+Price is missing/, 'and the logs around the alert');
$browser->screenshot("$shots/detail.png") if $shots;
$browser->click('#acknowledge');
$browser->waitFor(qq([data-alert-id="$id"][data-status="acknowledged"]));
is($server->sql("SELECT status FROM stacklens.alerts WHERE id = '$id'"), 'acknowledged', 'acknowledged in the page is acknowledged in the table');
$browser->click('#resolve');
$server->wait_for('the resolution', "SELECT status FROM stacklens.alerts WHERE id = '$id'", is => 'resolved');
pass('and resolved');
$browser->press('Escape');

# somebody else's change arrives, too
$server->sql(q{SELECT stacklens.acknowledge_alert(id) FROM stacklens.alerts WHERE service = 'noisy'});
$browser->waitFor('[data-alert-id][data-severity="low"][data-status="acknowledged"]');
pass('what psql changes is seen at once');

# PostgreSQL restarts: the page stays, and hears of what comes after
$server->node->restart;
$server->wait_for_workers;
$server->sql(q{SELECT stacklens.ingest('{"service": "after-restart", "error_code": "PRICE_MISSING"}')});
poll_for('the alert after the restart', 30, sub { $browser->text('main') =~ /after-restart/ });
pass('after a restart of PostgreSQL the page goes on');

# the gateway restarts: the page says that it is offline, comes back, and misses nothing
$gateway->stop;
$browser->waitFor('#connection[data-state="offline"]', { timeout => 30_000 });
$server->sql(q{SELECT stacklens.ingest('{"service": "meanwhile", "error_code": "PRICE_MISSING"}')});
$gateway->start;
$browser->waitFor('#connection[data-state="live"]', { timeout => 30_000 });
poll_for('the alert of the meantime', 30, sub { $browser->text('main') =~ /meanwhile/ });
pass('after a restart of the gateway it misses nothing');
my @errors = grep { !/net::ERR_CONNECTION_REFUSED|WebSocket connection/ } @{ $browser->errors };
is(join("\n", map { ref $_ ? encode_json($_) : $_ } @errors), '', 'no error on the console');
$browser->close;
done_testing();
