# Several evaluators of one source: its partitions are shared among them, and whatever is moved, added, ended or
# reset while records come, each record is judged once.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Kafka;
use StackLens::Server;

my $partitions = 8;
my $kafka = StackLens::Kafka->new(dir => PostgreSQL::Test::Utils::tempdir());
$kafka->create_topic('many', partitions => $partitions);
my $server = StackLens::Server->new('evaluators', conf => "stacklens.workers = 4\nmax_worker_processes = 24\n");
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Hit
name: hit
detection: {s: {kind: hit}, condition: s}
---
title: Hits
correlation: {type: event_count, rules: [hit], group-by: [service], timespan: 7d, condition: {gte: 100}, generate: true}
stacklens: {after: slide, lateness: 1d}
')});

my ($produced, %expected) = (0);
sub produce
{
	my ($n) = @_;
	for my $partition (0 .. $partitions - 1)
	{
		my @records;
		for (1 .. $n)
		{
			my $service = 's' . $produced++ % 5;
			push @records, qq({"kind": "hit", "service": "$service", "n": $produced});
			$expected{$service}++;
		}
		$kafka->produce('many', \@records, partition => $partition);
	}
	return;
}
sub set { my ($name, $value) = @_; $server->sql("ALTER SYSTEM SET $name = $value"); $server->sql('SELECT pg_reload_conf()'); return }
sub owners { return 'SELECT count(DISTINCT owner) || \' of \' || count(*) FROM stacklens.positions WHERE owner IS NOT NULL' }
sub judged_once
{
	my ($what) = @_;
	my $want = join ' ', map { "$_:$expected{$_}" } sort keys %expected;
	ok($server->wait_for($what, q{SELECT string_agg(service || ':' || count, ' ' ORDER BY service) FROM stacklens.alerts WHERE rule = 'hit'}, is => $want), $what);
	is($server->sql(q{SELECT sum(lag) FROM stacklens.positions}), 0, 'and none is left');
	return;
}

# --- partitions are shared ---
$server->sql("SELECT stacklens.create_kafka_source('many', '" . $kafka->bootstrap . "', 'many', options => '{\"session.timeout.ms\": 6000}')");
ok($server->wait_for('four evaluators', owners(), is => '4 of 8'), 'four evaluators share eight partitions');
is($server->sql(q{SELECT evaluators, state FROM stacklens.stat_sources WHERE name = 'many'}), '4|running', 'stat_sources counts them');
produce(100);
judged_once('eight hundred records');

# --- fewer and more of them, while records come ---
for my $workers (2, 6, 1, 10)
{
	produce(30);
	set('stacklens.workers', $workers);
	produce(30);
}
ok($server->wait_for('as many as partitions', owners(), is => '8 of 8'), 'more evaluators than partitions: some have none');
produce(10);
judged_once('with two, six, one and ten evaluators in turn');
is($server->sql(q{SELECT evaluators FROM stacklens.stat_sources WHERE name = 'many'}), 10, 'ten of them run');

# --- time goes on, though two of them have no partition ---
$server->sql(q{SELECT name FROM stacklens.import_rules('
title: Beat
name: beat
detection: {s: {kind: beat}, condition: s}
---
title: Silence
correlation: {type: absence, rules: [beat], timespan: 1m}
')});
$server->sql(q{SELECT stacklens.ingest(jsonb_build_object('kind', 'beat', 'timestamp', now() - interval '90 seconds'))});
produce(1);
ok($server->wait_for('a silence', q{SELECT count FROM stacklens.alerts WHERE rule = 'Silence'}, is => 1), 'time goes on, though two of them have no partition');

# --- evaluators end while records come ---
set('stacklens.workers', 3);
for my $round (1 .. 6)
{
	produce(20);
	$server->sql(q{SELECT pg_terminate_backend(pid) FROM stacklens.stat_workers WHERE kind = 'evaluator' AND source = 'many' AND pid IS NOT NULL ORDER BY random() LIMIT 1});
}
judged_once('with evaluators terminated');
produce(20);
$server->crash;
produce(20);
judged_once('with the server killed');

# --- partitions are added ---
$kafka->add_partitions('many', 12);
$partitions = 12;
produce(20);
judged_once('with partitions added');
is($server->sql('SELECT count(*) FROM stacklens.positions'), 12, 'which have positions of their own');

# --- a correlation over all of them counted each once ---
my $firings = join ' ', map { "$_:" . ($expected{$_} - 99) } sort keys %expected;
ok($server->wait_for('the correlation', q{SELECT string_agg(group_values ->> 'service' || ':' || count, ' ' ORDER BY group_values ->> 'service') FROM stacklens.alerts WHERE rule = 'Hits'}, is => $firings),
	'a correlation over all partitions fired for each record from the hundredth');

done_testing();
