# Taking logs in without Kafka: COPY into stacklens.logs and ingest(jsonb[]), against COPY into a plain table of the
# same columns; what each index of the logs costs then, and what it gives to a search. See README.md.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Server;

my $n = $ENV{RECORDS} // 500_000;
my $rounds = $ENV{ROUNDS} // 3;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $server = StackLens::Server->new('inbox', conf => "shared_buffers = 1GB\nmax_wal_size = 8GB\ncheckpoint_timeout = 1h\nautovacuum = off\n");
$server->sql(q{SELECT stacklens.create_rule('rare', match => '{"error_code": "NEVER"}')});
my $hertz = `getconf CLK_TCK`;
chomp $hertz;
my $columns = 'timestamp, service, severity_number, level, message, trace_id, span_id, request_id, error_code, attributes';
# a day of 40 services, one error in fifty, a trace of five records
$server->sql(qq{
	CREATE FUNCTION cpu() RETURNS float LANGUAGE sql AS \$\$ SELECT (split_part(s, ' ', 14)::float + split_part(s, ' ', 15)::float) / $hertz
		FROM regexp_replace(pg_read_file('/proc/self/stat'), '\\(.*\\)', 'x') AS s \$\$;
	CREATE UNLOGGED TABLE made AS SELECT date_trunc('day', now()) + n * interval '1 day' / $n AS timestamp, CASE WHEN n % 50000 = 0 THEN 'rare' ELSE 'service-' || (n * 37) % 40 END AS service,
		CASE WHEN n % 50 = 0 THEN 17 WHEN n % 10 = 0 THEN 13 ELSE 9 END::smallint AS severity_number,
		CASE WHEN n % 50 = 0 THEN 'error' WHEN n % 10 = 0 THEN 'warn' ELSE 'info' END AS level,
		'request ' || md5(n::text) || ' for ' || (ARRAY['checkout', 'basket', 'search', 'login', 'payment'])[1 + n % 5] || ' took ' || n % 1000 || ' ms in '
			|| (ARRAY['Amsterdam', 'Berlin', 'Chicago', 'Dublin'])[1 + n % 4] || CASE WHEN n % 5000 = 0 THEN ' and was refused by the provider' ELSE '' END AS message,
		md5((n / 5)::text) AS trace_id, left(md5(n::text), 16) AS span_id, NULL::text AS request_id,
		CASE WHEN n % 50 = 0 THEN 'E' || n % 7 END AS error_code,
		jsonb_build_object('http.method', 'GET', 'http.route', '/api/v1/items/' || n % 300, 'http.status_code', 200 + n % 3, 'host', 'h' || n % 12) AS attributes
		FROM generate_series(1, $n) n;
	COPY made ($columns) TO '$dir/records';
	CREATE TABLE plain (LIKE stacklens.logs INCLUDING DEFAULTS);
	CREATE TABLE bodies AS SELECT array_agg((to_jsonb(m) || m.attributes) - '{attributes,nth}'::text[] ORDER BY m.timestamp) AS records
		FROM (SELECT *, row_number() OVER (ORDER BY made.timestamp) AS nth FROM made) m GROUP BY nth / 1000;});

# Records per CPU second of the session, and a second.
sub measure
{
	my ($what) = @_;
	my ($cpu, $wall) = split /\|/, $server->sql("CREATE TEMP TABLE t AS SELECT cpu() AS cpu, clock_timestamp() AS at;\n$what;\nSELECT cpu() - t.cpu, extract(epoch FROM clock_timestamp() - t.at) FROM t;") =~ s/.*\n//sr;
	return ($n / $cpu, $n / $wall);
}
sub median { my @s = sort { $a <=> $b } @_; return $s[ @s / 2 ] }
sub empty { $server->sql('TRUNCATE plain; TRUNCATE stacklens.logs; CHECKPOINT'); return }

my %ways = (
	'COPY, plain table' => "COPY plain ($columns) FROM '$dir/records'",
	'COPY stacklens.logs' => "COPY stacklens.logs ($columns) FROM '$dir/records'",
	'ingest(jsonb[]), 1,000 each' => 'SELECT count(stacklens.ingest(records)) FROM bodies');
my %rate;
for my $round (1 .. $rounds)
{
	for my $way (sort keys %ways)
	{
		empty();
		my ($cpu, $wall) = measure($ways{$way});
		push @{ $rate{$way}{cpu} }, $cpu;
		push @{ $rate{$way}{wall} }, $wall;
	}
}
my $plain = median(@{ $rate{'COPY, plain table'}{cpu} });
diag sprintf '%-30s %8.0f records per CPU second (%.2f of plain), %8.0f a second', $_, median(@{ $rate{$_}{cpu} }), median(@{ $rate{$_}{cpu} }) / $plain, median(@{ $rate{$_}{wall} }) for sort keys %ways;

# each index alone, on the plain table
my %indexes = (
	'(timestamp)' => '(timestamp)', '(service, timestamp)' => '(service, timestamp)', '(service)' => '(service)',
	'(timestamp) of errors' => '(timestamp) WHERE severity_number >= 17', '(trace_id)' => '(trace_id) WHERE trace_id IS NOT NULL',
	'(xid, id)' => '(xid, id)', 'timestamp, brin' => 'USING brin (timestamp)', q{text, gin} => q{USING gin (to_tsvector('simple', message))});
for my $name (sort keys %indexes)
{
	empty();
	$server->sql("CREATE INDEX i ON plain $indexes{$name}");
	my ($cpu) = measure($ways{'COPY, plain table'});
	diag sprintf 'index %-24s costs %5.2f µs a record, %4.0f bytes', $name, 1e6 / $cpu - 1e6 / $plain, $server->sql(q{SELECT pg_relation_size('i')}) / $n;
	$server->sql('DROP INDEX i');
}

empty();
$server->sql($ways{'COPY stacklens.logs'});
$server->sql('VACUUM ANALYZE stacklens.logs');
my $one_trace = $server->sql(qq{SELECT md5(($n / 10)::text)});
my %searches = (
	'the newest 100' => 'true', 'the newest 100 of a service' => q{service = 'service-7'}, 'a service that is rare' => q{service = 'rare'},
	'the newest 100 errors' => 'severity_number >= 17', q{a service's errors} => q{service = 'service-20' AND severity_number >= 17},
	'one trace' => qq{trace_id = '$one_trace'}, 'a text of one hour' => q{timestamp >= date_trunc('day', now()) + interval '12 h' AND timestamp < date_trunc('day', now()) + interval '13 h' AND message ILIKE '%refused by%'},
	'a text of the day' => q{message ILIKE '%refused by%'});
for my $name (sort keys %searches)
{
	my $plan = $server->sql("SET jit = off; EXPLAIN (ANALYZE, TIMING OFF, SUMMARY) SELECT * FROM stacklens.logs WHERE $searches{$name} ORDER BY timestamp DESC LIMIT 100");
	my ($ms) = $plan =~ /Execution Time: ([\d.]+)/;
	my %used = map { $_ => 1 } $plan =~ /using (\w+)|on (\w+_idx\w*)|(Seq Scan) on logs_\d+_\d+_\d+/g;
	delete $used{$_} for grep { !defined || $_ eq '' } keys %used;
	diag sprintf '%-28s %8.1f ms', $name, $ms;
}
ok(1, 'measured');
done_testing();
