package StackLens::Server;

# A PostgreSQL of the test's own with stacklens preloaded, and its gateway.
#
#	my $server = StackLens::Server->new('main');
#	$server->sql('SELECT …');                      # on database stacklens
#	$server->wait_for('an alert', 'SELECT EXISTS (SELECT FROM stacklens.alerts)');
#	my $gateway = $server->gateway;                # StackLens::Gateway

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Test::More ();

use StackLens::Cache qw(cache poll_for test_folder);
use StackLens::Gateway;

our $PRICE_MISSING = q({"timestamp": "2025-01-15T10:30:45.123Z", "service": "order-service", "level": "error",)
  . q( "message": "Price is missing", "error_code": "PRICE_MISSING", "action": "create_order"});

# Options: conf (more of postgresql.conf), extension => 0, standby => 1 (allow replicas), full_disk => the
# name of a file (while it exists, the volume of pg_wal is full). STACKLENS_LIBRARY in the
# environment is another library than the installed one (its path without .so).
sub new
{
	my ($class, $name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => $option{standby}, extra => [ '-E', 'UTF8', '--locale=C.UTF-8' ]);
	my $library = $ENV{STACKLENS_LIBRARY};
	$node->append_conf('postgresql.conf', "dynamic_library_path = '" . ($library =~ s{/[^/]*$}{}r) . ":\$libdir'\n") if $library;
	$node->append_conf('postgresql.conf', <<"CONF" . ($option{conf} // ''));
shared_preload_libraries = '${\($library // 'stacklens')}'
log_min_messages = info
log_statement = none
max_worker_processes = 16
fsync = on
restart_after_crash = on
CONF
	my $self = bless { node => $node, name => $name, environment => {} }, $class;
	$self->_fill_disk($option{full_disk}) if $option{full_disk};
	$self->start;
	unless (defined $option{extension} && !$option{extension})
	{
		$node->safe_psql('postgres', 'CREATE DATABASE stacklens');
		$self->sql('CREATE EXTENSION stacklens');
		$self->wait_for_workers;
	}
	return $self;
}

sub node { return $_[0]{node} }
sub sql { my ($self, $query, %option) = @_; return $self->{node}->safe_psql('stacklens', $query, %option) }

# As psql of the test's server: (status, output, error). A server that ends while psql is still being told what to ask
# is a failed statement, not the end of the test.
sub try_sql
{
	my ($self, $query) = @_;
	my ($status, $output, $error);
	eval { ($status, $output, $error) = $self->{node}->psql('stacklens', $query); 1 } or return (2, '', $@);
	return ($status, $output, $error);
}

# The whole of what psql says of a statement that fails; dies if it doesn't.
sub error_of
{
	my ($self, $query) = @_;
	my ($status, undef, $error) = $self->{node}->psql('stacklens', "\\set VERBOSITY verbose\n$query");
	die "should have failed: $query\n" if $status == 0;
	return $error;
}

# Polls until a query's result is what is expected (default t); a server that is away is waited for.
sub wait_for
{
	my ($self, $what, $query, %option) = @_;
	my $expected = $option{is} // 't';
	my ($status, $got, $error);
	my $ok = eval {
		poll_for($what, $option{seconds} // 60, sub {
			($status, $got, $error) = $self->try_sql($query);
			return $status == 0 && $got eq $expected;
		});
	};
	return 1 if $ok;
	# what a person would look at next
	for my $state ('SELECT kind, source, pid, state, status, last_error FROM stacklens.stat_workers', 'SELECT * FROM stacklens.positions')
	{
		my (undef, $rows) = $self->try_sql($state);
		Test::More::note($rows);
	}
	die "waited for $what: expected '$expected', got '" . ($got // '') . "' " . ($error // '') . "\n";
}

sub wait_for_workers
{
	my ($self, $number) = @_;
	return $self->wait_for('workers', "SELECT count(*) FROM stacklens.stat_workers WHERE state = 'running' AND pid IS NOT NULL",
		is => $number // 4);
}

sub _fill_disk
{
	my ($self, $flag) = @_;
	my $library = cache() . '/bin/full_disk.so';
	system('make', '-s', '-C', test_folder() . '/clients', 'BUILD=' . cache() . '/bin', $library) == 0 or die "could not build $library\n";
	$self->{environment} = { LD_PRELOAD => $library, STACKLENS_FULL_DISK => $flag };
	return;
}

# kill -9 of the postmaster, and a start: orphans must have left before the memory can be had again.
sub crash
{
	my ($self) = @_;
	$self->{node}->kill9;
	return $self->start_again;
}

sub start
{
	my ($self, @arguments) = @_;
	local @ENV{ keys %{ $self->{environment} } } = values %{ $self->{environment} };
	return $self->{node}->start(@arguments);
}

sub alive { my ($self) = @_; return $self->{node}{_pid} && kill 0, $self->{node}{_pid}; }

# After its postmaster ended, by whomever.
sub start_again
{
	my ($self) = @_;
	poll_for('a start', 60, sub { delete $self->{node}{_pid}; $self->start(fail_ok => 1) });
	return;
}

sub worker_pid
{
	my ($self, $kind) = @_;
	return $self->sql("SELECT pid FROM stacklens.stat_workers WHERE kind = '$kind' ORDER BY source LIMIT 1");
}

# The server's log since a position (default: all of it), and the position now.
sub log_text
{
	my ($self, $from) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile);
	return substr($log, $from // 0);
}
sub log_position { return -s $_[0]{node}->logfile }

# A gateway of this server's; stopped when the object goes.
sub gateway
{
	my ($self, %option) = @_;
	return StackLens::Gateway->new(connstr => $self->{node}->connstr('stacklens'), %option);
}

1;
