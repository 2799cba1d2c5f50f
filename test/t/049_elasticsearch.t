# Every record is a document of a real Elasticsearch and of a real OpenSearch, once, whatever is killed meanwhile; what
# the server can't take now is sent again, what it never will is set aside. And the runbook's requests.
#
#	STACKLENS_SEARCH=opensearch3   only against this one: OpenSearch 3, which needs Java 21 (Debian 12 has 17) and
#	                               test/deps/fetch.sh opensearch3; or elasticsearch, or opensearch
#	STACKLENS_DOCUMENTS=20000      so many through Kafka

use strict;
use warnings;

use Encode ();
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(poll_for test_folder);
use StackLens::Elasticsearch;
use StackLens::Kafka;
use StackLens::Server;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $kafka = StackLens::Kafka->new(dir => $dir);
my $server = StackLens::Server->new('shipping', conf => "max_worker_processes = 24\n");
$server->sql(q{SELECT stacklens.create_rule('PRICE_MISSING', match => '{"error_code": "PRICE_MISSING"}')});
my @kinds = $ENV{STACKLENS_SEARCH} // qw(elasticsearch opensearch);
for my $kind (@kinds) { subtest $kind => sub { run($kind) }; }
done_testing();

my ($es, $sink, $topic);

sub sink_stat { return $server->sql("SELECT $_[0] FROM stacklens.stat_sinks WHERE name = '$sink' AND source = '" . ($_[1] // 'inbox') . "'") }

sub wait_for_status
{
	my ($what, $pattern, %option) = @_;
	return $server->wait_for($what, "SELECT count(*) > 0 FROM stacklens.stat_workers WHERE sink = '$sink' AND status ~ '$pattern'", %option);
}

sub wait_for_count
{
	my ($expected, $query, $seconds) = @_;
	my $count;
	eval { poll_for("$expected documents", $seconds // 120, sub { ($count = $es->count('stacklens-logs-*', $query)) == $expected }) };
	is($count, $expected, "$expected documents");
	return;
}

sub letters { return $server->sql("SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'sink' = '$sink'" . ($_[0] ? " AND reason ~ '$_[0]'" : '')) }

sub wait_for_letters
{
	my ($n, $pattern) = @_;
	$server->wait_for('dead letters', "SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'sink' = '$sink' AND reason ~ '$pattern'", is => $n, seconds => 60);
	return;
}

sub settled { $server->wait_for('all to be shipped', "SELECT bool_and(lag = 0 AND waiting_since IS NULL) FROM stacklens.stat_sinks WHERE name = '$sink'", seconds => 120) }

sub run
{
	my ($kind) = @_;
	$sink = $kind;
	$es = StackLens::Elasticsearch->new(dir => $dir, kind => $kind,
		settings => { 'http.max_content_length' => '12mb', 'indexing_pressure.memory.limit' => '30mb' });
	$topic = "ship-$kind";
	$server->sql('DELETE FROM stacklens.logs');
	$server->sql("SELECT stacklens.discard(array_agg(id)) FROM stacklens.dead_letters");
	$server->sql("SELECT stacklens.create_elasticsearch_sink('$sink', '@{[ $es->url ]}', options => '{\"sources\": [\"inbox\"]}')");
	embedded();
	judged();
	kept();
	from_kafka();
	runbook();
	made_anew();
	$server->sql("SELECT stacklens.drop_sink('$sink')");
	$server->sql("SELECT stacklens.drop_source('$topic')");
	$es->stop;
	done_testing();
	return;
}

# --- without Kafka: awkward records, field by field ---
sub embedded
{
	my %fields = map { ("f$_" => $_) } 1 .. 5000;
	my @records = (
		{ n => 1, message => 'plain', service => 'orders', level => 'error', error_code => 'PRICE_MISSING', trace_id => '0af7651916cd43dd8448eb211c80319c' },
		{ n => 2, message => 'x' x 10_000_000 },
		{ n => 3, %fields },
		{ n => 4, 'a' => 1, 'a.b' => 2, 'a.b.c' => [ 1, 'two', JSON::PP::true ] },
		{ n => 5, '' => 'empty', ' ' => 'blank', '.' => 'dot', 'x..y' => 1, 'z.' => 2 },
		{ n => 6, _id => 'not the id', _source => 'nor this', _index => 'x', index => { _index => 'y' } },
		{ n => 7, map { (join('.', map { "d$_" } 1 .. 40) => 'deep') } 1 },
		{ n => 8, timestamp => 'no date at all', observed_timestamp => '9999-99-99' },
		{ n => 9, timestamp => '1999-12-31T23:59:59Z', message => 'of another century' },
		{ n => 10, message => "quotes \" and \\ and \n lines and \x{1F600}", text => "\x{1} control" });
	# numbers beyond 64 bits, as they are written
	my @texts = (map({ JSON::PP->new->canonical->encode($_) } @records), q({"n": 11, "big": 123456789012345678901234567890, "huge": 1e308, "small": -0.000001}), q({"n": 12, "a": {"b": "text where a number was"}, "a.b.c": {"d": 1}}));
	$server->sql('SELECT stacklens.ingest(r::text) FROM (VALUES ' . join(',', map { "(\$json\$$_\$json\$)" } @texts) . ') AS v (r)');
	wait_for_count(scalar @texts);
	is(letters(), 0, 'nothing is set aside');
	# as the table has them, so the index has them
	my %document = map { ($_->{_source}{attributes}{n} => $_) } @{ $es->hits({ match_all => {} }) };
	my $json = JSON::PP->new->canonical->allow_nonref;
	my @differences;
	for my $row (split /\n/, $server->sql(q{SELECT json_build_object('n', l.attributes -> 'n', 'timestamp', to_char(l.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'service', l.service,
		'level', l.level, 'message', l.message, 'error_code', l.error_code, 'trace_id', l.trace_id, 'severity_number', l.severity_number, 'source', l.source, 'attributes', l.attributes)
		FROM stacklens.logs l}))
	{
		my $expected = decode_json(Encode::encode_utf8(Encode::decode_utf8($row, Encode::FB_DEFAULT)));
		my $source = $document{ $expected->{n} }{_source};
		for my $field (qw(service level message error_code trace_id severity_number source attributes))
		{
			my ($want, $got) = map { $json->encode($_->{$field}) } $expected, $source;
			push @differences, "$expected->{n} $field: " . substr($want, 0, 100) . ' but ' . substr($got, 0, 100) if $want ne $got && $expected->{n} != 11;
		}
		my ($day, $time) = ($source->{timestamp} // '') =~ /^(\S+)T(\d\d:\d\d:\d\d)/;
		push @differences, "$expected->{n} timestamp: $expected->{timestamp} but $source->{timestamp}" unless $expected->{timestamp} =~ /^${day}T$time/;
	}
	is_deeply(\@differences, [], 'documents are the rows, field by field');
	like($document{9}{_index}, qr/^stacklens-logs-20[2-9]\d\.\d\d\.\d\d$/, 'a clock of another century makes no index of it');
	is(scalar(@{ $es->hits({ term => { 'attributes.a.b' => '2' } }) }), 1, 'a.b is found beside a');
	is(scalar(@{ $es->hits({ term => { 'service.keyword' => 'orders' } }) }), 1, 'and so are fields of the runbook');

	searches();

	# again: each is there already
	$server->sql("SELECT stacklens.ship_inbox_again('$sink')");
	$server->wait_for('the second round', "SELECT documents >= 12 AND lag = 0 FROM stacklens.stat_sinks WHERE name = '$sink'");
	settled();
	wait_for_count(scalar @texts);
	is(letters(), 0, 'what is sent again is no conflict');
	return;
}

# --- the same query asked of the sink and of the table ---
sub searches
{
	my @queries = ('', 'plain', 'message:plain', '"and lines"', 'service:orders AND error_code:PRICE_*', 'level:error', '-level:error', 'a:1', 'a.b:2', 'a.b.c:two', 'n:[3 TO 5]', 'n:>=9',
		'NOT n:[1 TO 8]', 'n:1?', 'text:*control', '_exists_:trace_id', '_exists_:a', 'NOT _exists_:a', 'timestamp:[1999-01-01 TO 2000-01-01]', 'severity_number:17', 'severity_number:[17 TO *]',
		'service:orde?s', '(a:1 OR level:error) -n:1', 'huge:[1e300 TO *]', 'cent*', 'message:"of another"', 'id:1', 'source:inbox', 'service:[o TO p]');
	my $found = sub { return join "\n", map { my $q = $_; "$q: " . $server->sql("SELECT string_agg(attributes ->> 'n', ',' ORDER BY (attributes ->> 'n')::int) FROM stacklens.search(\$q\$$q\$q\$)") } @queries };
	my $sink_says = $found->();
	$server->sql("SELECT stacklens.pause_sink('$sink')");
	is($sink_says, $found->() =~ s/^id:1: \K.*$//mr, 'the sink finds what the table would');
	$server->sql("SELECT stacklens.resume_sink('$sink')");
	is($server->sql(q{SELECT count(*) FROM stacklens.search('{"term": {"service": "orders"}}'::jsonb)}), 1, "a query in the server's own language");
	is($server->sql(q{SELECT (s.message, s.level, s.severity_number, s.trace_id, s.attributes, s.source) = (l.message, l.level, l.severity_number, l.trace_id, l.attributes, l.source)
		FROM stacklens.search('plain') s, stacklens.logs l WHERE l.message = 'plain'}), 't', 'a row as the table has it');
	my ($status, undef, $error) = $server->try_sql(q{SELECT * FROM stacklens.search('{"nonsense": {}}'::jsonb)});
	like($error, qr/did not answer the search.*unknown query.*nonsense/s, 'a query that it does not know is an error');
	is($server->sql(q{SELECT count(*) FROM stacklens.alert_logs((SELECT id FROM stacklens.alerts WHERE rule = 'PRICE_MISSING' LIMIT 1))}) >= 1 ? 1 : 0, 1, "an alert's logs come from it");
	return;
}

# --- what a server answers, item by item ---
sub judged
{
	# one that is larger than it takes
	my $before = $es->count;
	$server->sql(q{SELECT stacklens.ingest(jsonb_build_object('message', repeat('x', 13000000), 'n', 'large'))});
	$server->sql(q{SELECT count(stacklens.ingest(jsonb_build_object('message', repeat('y', 100000), 'n', 'many'))) FROM generate_series(1, 80)});
	wait_for_letters(1, 'larger than the server takes');
	wait_for_count($before + 80);
	like($server->sql("SELECT reason || ' ' || origin FROM stacklens.dead_letters WHERE origin ->> 'sink' = '$sink'"),
		qr/HTTP 413.*"index|HTTP 413.*"_index"/s, 'a dead letter says why, and of which index');
	$server->sql("SELECT stacklens.discard(jsonb_build_object('sink', '$sink'))");

	# a mapping that conflicts: few are set aside, and sent again once it is mended
	my $day = strftime_utc(time - 86400);
	$es->request('PUT', "/stacklens-logs-$day", { mappings => { properties => { service => { type => 'integer' } } } });
	my $at = $server->sql("SELECT now() - interval '1 day'");
	$before = $es->count;
	$server->sql("SELECT stacklens.ingest(jsonb_build_object('timestamp', '$at', 'service', s, 'n', 'conflict')) FROM (VALUES ('no number'), ('17')) AS v (s)");
	wait_for_letters(1, 'failed to parse|document_parsing');
	wait_for_count($before + 1);
	$es->request('DELETE', "/stacklens-logs-$day");
	is($server->sql("SELECT stacklens.redrive(jsonb_build_object('sink', '$sink'))"), 1, 'it is sent again');
	wait_for_count(1, { term => { 'service.keyword' => 'no number' } });
	is(letters(), 0, 'and is no dead letter any more');

	# most of a bulk refused: not the documents' fault
	$day = strftime_utc(time - 2 * 86400);
	$es->request('PUT', "/stacklens-logs-$day", { mappings => { properties => { service => { type => 'integer' } } } });
	$at = $server->sql("SELECT now() - interval '2 days'");
	$server->sql("SELECT stacklens.ingest(array_agg(jsonb_build_object('timestamp', '$at', 'service', 'no number', 'n', 'mass'))) FROM generate_series(1, 100)");
	wait_for_status('the alarm', 'so many are hardly');
	is(letters(), 0, 'nothing is set aside');
	is($server->sql("SELECT status FROM stacklens.health() WHERE part = 'elasticsearch'") =~ /warning|critical/ ? 1 : 0, 1, 'health() says so');
	$es->request('DELETE', "/stacklens-logs-$day");
	wait_for_count(100, { term => { 'attributes.n' => 'mass' } });

	# a write block, a closed index, a red one, no shard left
	my $today = strftime_utc(time);
	$es->request('PUT', "/stacklens-logs-$today/_settings", { 'index.blocks.write' => JSON::PP::true });
	$server->sql(q{SELECT stacklens.ingest('{"n": "blocked"}'::jsonb)});
	wait_for_status('the alarm', 'cluster_block');
	$es->request('PUT', "/stacklens-logs-$today/_settings", { 'index.blocks.write' => undef });
	wait_for_count(1, { term => { 'attributes.n' => 'blocked' } });

	$es->request('PUT', "/stacklens-logs-$today/_settings", { 'index.blocks.read_only_allow_delete' => JSON::PP::true });
	$server->sql(q{SELECT stacklens.ingest('{"n": "full disk"}'::jsonb)});
	wait_for_status('the alarm', 'cluster_block');
	$es->request('PUT', "/stacklens-logs-$today/_settings", { 'index.blocks.read_only_allow_delete' => undef });
	wait_for_count(1, { term => { 'attributes.n' => 'full disk' } });

	$day = strftime_utc(time - 3 * 86400);
	$at = $server->sql("SELECT now() - interval '3 days'");
	$es->request('PUT', "/stacklens-logs-$day", undef);
	$es->request('POST', "/stacklens-logs-$day/_close", undef);
	$server->sql("SELECT stacklens.ingest(jsonb_build_object('timestamp', '$at', 'n', 'closed'))");
	wait_for_letters(1, 'closed');
	$es->request('POST', "/stacklens-logs-$day/_open", undef);
	$server->sql("SELECT stacklens.redrive(jsonb_build_object('sink', '$sink'))");
	wait_for_count(1, { term => { 'attributes.n' => 'closed' } });

	$day = strftime_utc(time - 4 * 86400);
	$at = $server->sql("SELECT now() - interval '4 days'");
	$es->request('PUT', '/_cluster/settings', { persistent => { 'cluster.max_shards_per_node' => 1 } });
	$server->sql("SELECT stacklens.ingest(jsonb_build_object('timestamp', '$at', 'n', 'no shard'))");
	wait_for_status('the alarm', 'shards open');
	$es->request('PUT', '/_cluster/settings', { persistent => { 'cluster.max_shards_per_node' => undef } });
	wait_for_count(1, { term => { 'attributes.n' => 'no shard' } });

	$day = strftime_utc(time - 5 * 86400);
	$at = $server->sql("SELECT now() - interval '5 days'");
	$es->request('PUT', "/stacklens-logs-$day?wait_for_active_shards=0", { settings => { 'index.routing.allocation.require._name' => 'nobody' } });
	$server->sql("SELECT stacklens.ingest(jsonb_build_object('timestamp', '$at', 'n', 'red'))");
	wait_for_status('the alarm', 'HTTP 503', seconds => 60);
	$es->request('PUT', "/stacklens-logs-$day/_settings", { 'index.routing.allocation.require._name' => undef });
	wait_for_count(1, { term => { 'attributes.n' => 'red' } });
	is(letters(), 0, 'none of them is set aside');

	# room for little at a time: smaller bulks
	$es->change('indexing_pressure.memory.limit' => '400kb');
	my $retries = sink_stat('retries');
	$server->sql(q{SELECT count(stacklens.ingest(jsonb_build_object('n', 'pressed', 'message', repeat('z', 500)))) FROM generate_series(1, 4000)});
	wait_for_count(4000, { term => { 'attributes.n' => 'pressed' } });
	cmp_ok(sink_stat('retries'), '>', $retries, 'after its 429s');
	is(letters(), 0, 'without a dead letter');
	$es->change('indexing_pressure.memory.limit' => '30mb');
	return;
}

# --- the template follows the sink's options, unless somebody changed it; old indices are deleted ---
sub kept
{
	my $template = sub { $es->request('GET', '/_index_template/stacklens-logs')->{index_templates}[0]{index_template} };
	my $options = sub { my ($more) = @_; $server->sql("SELECT stacklens.alter_sink('$sink', options => '{\"sources\": [\"inbox\"]$more}')"); $server->wait_for('the shipper', "SELECT state = 'running' AND status IS NULL FROM stacklens.stat_sinks WHERE name = '$sink'") };
	is($template->()->{template}{settings}{index}{auto_expand_replicas}, '0-1', 'the template is in place');
	$options->(', "replicas": 0, "refresh_interval": "30s"');
	ok(poll_for('the template', 30, sub { ($template->()->{template}{settings}{index}{refresh_interval} // '') eq '30s' }), 'and follows the options');
	my $changed = $template->();
	$changed->{template}{settings}{index}{refresh_interval} = '17s';
	$es->request('PUT', '/_index_template/stacklens-logs', $changed);
	my $log = $server->log_position;
	$options->(', "refresh_interval": "31s"');
	ok(poll_for('the message', 30, sub { $server->log_text($log) =~ /index template "stacklens-logs" of sink "$sink" is not StackLens's own, and is left/ }), 'one that somebody changed is left');
	is($template->()->{template}{settings}{index}{refresh_interval}, '17s', 'as it is');
	$es->request('DELETE', '/_index_template/stacklens-logs', undef);
	$es->request('PUT', "/stacklens-logs-$_", undef) for '2020.01.01', '2020.01.02-copy', '2020.13.01';
	$options->(', "retention": 30');
	poll_for('an old index to be deleted', 30, sub { !grep { $_->{index} eq 'stacklens-logs-2020.01.01' } @{ $es->request('GET', '/_cat/indices/stacklens-logs-*?format=json') } });
	is(scalar(grep { $_->{index} =~ /2020/ } @{ $es->request('GET', '/_cat/indices/stacklens-logs-*?format=json') }), 2, 'others of like names are not');
	$es->request('DELETE', "/stacklens-logs-$_", undef) for '2020.01.02-copy', '2020.13.01';
	$options->('');
	return;
}

sub strftime_utc { return POSIX::strftime('%Y.%m.%d', gmtime $_[0]) }

# --- from Kafka: each once, whatever is killed ---
sub from_kafka
{
	my $n = $ENV{STACKLENS_DOCUMENTS} // ($sink eq 'elasticsearch' ? 100_000 : 20_000);
	$kafka->create_topic($topic, partitions => 3);
	$server->sql("SELECT stacklens.create_kafka_source('$topic', '" . $kafka->bootstrap . "', '$topic', group_id => 'group-$topic', options => '{\"session.timeout.ms\": 6000, \"max.poll.interval.ms\": 6000}')");
	$server->sql("SELECT stacklens.alter_sink('$sink', options => '{}')");
	my $file = "$dir/messages";
	open my $out, '>', $file or die;
	print $out qq({"service": "kafka", "n": $_, "message": "message number $_", "level": "info"}\n) for 1 .. $n;
	print $out "\xFF\xFE no text\n";
	close $out;
	my ($printed, $error) = ('', '');
	my $producer = IPC::Run::start([ $kafka->produce_command($topic, '-f', $file, '--rate', $n / 20, '--timeout', 200_000) ], '<', \undef, '>', \$printed, '2>', \$error);
	my $pid = sub { $server->sql("SELECT pid FROM stacklens.stat_workers WHERE kind = 'shipper' AND source = '$topic' AND pid IS NOT NULL") };
	my $some = sub { my ($part) = @_; poll_for("a part of the documents", 120, sub { $es->count('stacklens-logs-*', { term => { 'service.keyword' => 'kafka' } }) > $n * $part }) };
	$some->(0.1);
	my $killed = poll_for('a shipper', 60, $pid);
	kill 'KILL', $killed;
	$server->wait_for('the server', 'SELECT true', seconds => 60);
	$some->(0.3);
	my $owner = sub { $server->sql("SELECT string_agg(DISTINCT owner, ' ') FROM stacklens.sink_positions WHERE source = '$topic'") };
	my $before;
	poll_for('the new shipper to have all partitions', 60, sub { my $now = $pid->(); ($before = $owner->()) =~ m{^$now/\d+$} });
	$es->kill9;
	$server->sql(q{SELECT stacklens.ingest('{"error_code": "PRICE_MISSING", "message": "while it is down"}'::jsonb)});
	my $alerts = $server->sql('SELECT count(*) FROM stacklens.alerts');
	ok($alerts > 0, 'alerting goes on while it is down');
	wait_for_status('the alarm', 'reached');
	poll_for('longer than Kafka waits for who does not ask', 30, sub { $server->sql("SELECT clock_timestamp() - waiting_since > '8 s' FROM stacklens.stat_sinks WHERE name = '$sink' AND source = '$topic'") eq 't' });
	$es->start;
	$some->(0.5);
	is($owner->(), $before, 'the group was kept all the while');
	$kafka->kill9;
	$kafka->start;
	$some->(0.7);
	$killed = poll_for('a shipper', 60, $pid);
	kill 'KILL', $killed;
	IPC::Run::finish($producer);
	$server->wait_for('the end of the topic', "SELECT sum(next_offset) FROM stacklens.sink_positions WHERE sink = '$sink' AND source = '$topic'", is => $n + 1, seconds => 180);
	wait_for_count($n, { term => { 'service.keyword' => 'kafka' } });
	is(letters(), 0, 'nothing was set aside by the shipper');
	is($server->sql("SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'source' = '$topic'"), 1, 'and what is no text once by the evaluator');
	is($server->sql(q{SELECT count(*), count(DISTINCT attributes ->> 'n') FROM stacklens.search('service:kafka', max_rows => 12345)}), '12345|12345', 'a search goes on past ten thousand rows');
	my @sample = map { 1 + int rand $n } 1 .. 20;
	my %found = map { ($_->{_source}{attributes}{n} => $_->{_source}) } @{ $es->hits({ terms => { 'attributes.n' => [ map { "$_" } @sample ] } }) };
	is_deeply([ map { $found{$_}{message} } @sample ], [ map { "message number $_" } @sample ], 'twenty of them are what they were');

	# a record whose alert could not be stored: judged again, it is no second document
	$server->sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no such message' USING ERRCODE = 'data_exception'; END$$});
	$server->sql("CREATE TRIGGER refuse BEFORE INSERT ON stacklens_internal.alerts FOR EACH ROW WHEN (NEW.message = 'refused-$sink') EXECUTE FUNCTION refuse()");
	$kafka->produce($topic, [qq({"error_code": "PRICE_MISSING", "message": "refused-$sink", "service": "refused-$sink"})]);
	$server->wait_for('the dead letter', "SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'source' = '$topic' AND origin ? 'record'", is => 1, seconds => 60);
	wait_for_count(1, { term => { 'service.keyword' => "refused-$sink" } });
	$server->sql('DROP TRIGGER refuse ON stacklens_internal.alerts; DROP FUNCTION refuse');
	is($server->sql("SELECT stacklens.redrive(array_agg(id)) FROM stacklens.dead_letters WHERE origin ? 'record'"), 1, 'a record that could not be judged is redriven');
	$server->wait_for('the alert', "SELECT count(*) FROM stacklens.alerts WHERE message = 'refused-$sink'", is => 1, seconds => 60);
	$server->sql(q{SELECT stacklens.ingest('{"n": "after the redriven"}'::jsonb)});
	wait_for_count(1, { term => { 'attributes.n' => 'after the redriven' } });
	is($es->count('stacklens-logs-*', { term => { 'service.keyword' => "refused-$sink" } }), 1, 'and stays one document');
	ok($server->wait_for('the alarms to end', 'SELECT count(*) FROM stacklens.stat_sinks WHERE status IS NOT NULL', is => 0), 'no alarm is left');
	like($server->sql('SELECT stacklens.metrics()'), qr/stacklens_sink_documents_total\{sink="$sink",source="$topic"\} \d+/, 'metrics count documents');
	return;
}

# --- a sink that is dropped and made again begins anew; a message that only the shipper can't read is set aside ---
sub made_anew
{
	my ($n) = split /\n/, $server->sql("SELECT sum(next_offset) - 1 FROM stacklens.positions WHERE source = '$topic'");
	is($es->count, 0, 'an empty cluster');
	is($server->sql(q{SELECT count(*) FROM stacklens.search('')}), 0, 'has nothing to be found');
	$server->sql("SELECT stacklens.drop_sink('$sink')");
	$server->sql("SELECT stacklens.create_elasticsearch_sink('$sink', '@{[ $es->url ]}', options => '{\"sources\": [\"$topic\"]}')");
	wait_for_count($n);
	$server->sql("SELECT stacklens.pause_sink('$sink')");
	$kafka->produce($topic, ['{"n": "late"}']);
	$server->wait_for('the evaluator', "SELECT sum(next_offset) FROM stacklens.positions WHERE source = '$topic'", is => $n + 2);
	$server->sql("SELECT stacklens.alter_source('$topic', format => 'otlp_proto')");
	$server->sql("SELECT stacklens.resume_sink('$sink')");
	ok($server->wait_for('the dead letter', "SELECT count(*) FROM stacklens.dead_letters WHERE origin ->> 'shipper' = '$sink' AND payload = '{\"n\": \"late\"}'", is => 1, seconds => 60), 'what evaluators took, and the shipper can not read, is set aside');
	is($server->sql("SELECT stacklens.redrive(jsonb_build_object('shipper', '$sink'))"), 0, 'it would be judged twice if it were sent again');
	$server->sql("SELECT stacklens.discard(jsonb_build_object('shipper', '$sink'))");
	return;
}

# --- the runbook, section 3 and its examples ---
sub runbook
{
	my $n = $es->count('stacklens-logs-*', { term => { 'service.keyword' => 'kafka' } });
	my $template = { index_patterns => ['stacklens-logs-*'], template => { settings => { number_of_shards => 1, number_of_replicas => 0 },
		mappings => { properties => { timestamp => { type => 'date' }, service => { type => 'keyword' }, level => { type => 'keyword' }, message => { type => 'text' },
		trace_id => { type => 'keyword' }, request_id => { type => 'keyword' } } } } };
	$server->sql(q{SELECT stacklens.ingest('{"error_code": "PRICE_MISSING", "service": "order-service", "n": "runbook"}'::jsonb)});
	wait_for_count(1, { term => { 'attributes.n' => 'runbook' } });
	is(scalar(grep { $_->{_source}{attributes}{n} // '' eq 'runbook' } @{ $es->hits({ bool => { must => [ { term => { 'error_code.keyword' => 'PRICE_MISSING' } }, { range => { timestamp => { gte => 'now-1h' } } } ] } }) }) > 0 ? 1 : 0, 1,
		'PRICE_MISSING errors of the last hour');
	my $by = $es->request('POST', '/stacklens-logs-*/_search', { query => { range => { timestamp => { gte => 'now-24h' } } }, aggs => { by_service => { terms => { field => 'service.keyword', size => 100 } } }, size => 0 });
	my ($kafka_logs) = grep { $_->{key} eq 'kafka' } @{ $by->{aggregations}{by_service}{buckets} };
	is($kafka_logs->{doc_count}, $n, 'logs by service');

	# a snapshot, and what was shipped after it is shipped again
	my $repository = "$es->{dir}/repo";
	$es->request('PUT', '/_snapshot/backup', { type => 'fs', settings => { location => $repository } });
	$es->request('PUT', '/_snapshot/backup/snap1?wait_for_completion=true', undef);

	# everything deleted, the group reset: all of it again, once; the runbook's own template stays beside
	$server->sql("SELECT stacklens.pause_source('$topic')");
	poll_for('the indices to be gone', 30, sub { $es->request('DELETE', "/$_->{index}", undef, lenient => 1) for @{ $es->request('GET', '/_cat/indices/stacklens-logs-*?format=json') }; $es->count == 0 });
	$es->request('PUT', '/_index_template/stacklens-logs', $template);
	poll_for('the group to be empty', 60, sub { $kafka->group_state("group-$topic") =~ /empty/i });
	$kafka->reset_offsets("group-$topic", $topic, 'to-earliest');
	$server->sql("SELECT stacklens.resume_source('$topic')");
	wait_for_count($n, { term => { 'service' => 'kafka' } }, 180);
	settled();
	wait_for_count($n, { term => { 'service' => 'kafka' } });
	ok(!exists $es->request('GET', '/_index_template/stacklens-logs')->{index_templates}[0]{index_template}{_meta}, 'a template that a user put there stays');

	# the snapshot brought back: what is there is not doubled
	$es->request('DELETE', "/$_->{index}", undef) for @{ $es->request('GET', '/_cat/indices/stacklens-logs-*?format=json') };
	$es->request('POST', '/_snapshot/backup/snap1/_restore?wait_for_completion=true', { indices => 'stacklens-logs-*' });
	$server->sql("SELECT stacklens.ship_inbox_again('$sink')");
	settled();
	wait_for_count($n, { term => { 'service.keyword' => 'kafka' } });
	is($es->count('stacklens-logs-*', { term => { 'attributes.n' => 'runbook' } }), 1, 'a restored snapshot goes on without doubles');
	$es->request('DELETE', "/$_->{index}", undef) for @{ $es->request('GET', '/_cat/indices/stacklens-logs-*?format=json') };
	return;
}
