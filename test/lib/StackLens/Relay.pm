package StackLens::Relay;

# A network that can be cut: a process that hands bytes on between clients and servers.
#
#	my $relay = StackLens::Relay->new(3);
#	...                                # servers that advertise $relay->addresses
#	$relay->start('127.0.0.1:9092', ...);
#	$relay->cut;                       # connections stay, nothing gets through
#	$relay->mend;
#	$relay->drop;                      # all connections are reset

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket ();

use StackLens::Cache qw(free_port);

# What is read of a side before the other has taken it.
my $most = 1 << 18;

sub new
{
	my ($class, $number) = @_;
	return bless { ports => [ map { free_port() } 1 .. $number ], owner => $$ }, $class;
}

sub addresses { return map { "127.0.0.1:$_" } @{ $_[0]{ports} }; }

sub start
{
	my ($self, @targets) = @_;
	my @listeners = map {
		IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $_, Listen => 128, ReuseAddr => 1, Blocking => 0) or die "relay: port $_: $!"
	} @{ $self->{ports} };
	$self->{targets} = \@targets;
	$self->{pid} = fork() // die "fork: $!";
	if (!$self->{pid})
	{
		local $SIG{PIPE} = 'IGNORE';
		my $parent = $self->{owner};
		eval { _run($parent, \@listeners, \@targets) };
		POSIX::_exit(0);
	}
	close $_ for @listeners;
	return $self;
}

sub cut { my ($self) = @_; kill 'STOP', $self->{pid}; return; }
sub mend { my ($self) = @_; kill 'CONT', $self->{pid}; return; }

sub drop
{
	my ($self) = @_;
	$self->stop;
	return $self->start(@{ $self->{targets} });
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);
	$self->stop if $self->{owner} == $$;
	return;
}

# Until the test's process is gone.
sub _run
{
	my ($parent, $listeners, $targets) = @_;
	my (%peer, %pending);    # by file number: the other side, and bytes that it hasn't taken
	my ($readers, $writers) = (IO::Select->new(@$listeners), IO::Select->new);
	my %target = map { (fileno $listeners->[$_] => $targets->[$_]) } 0 .. $#$listeners;
	my $forget = sub {
		for my $socket (@_)
		{
			$readers->remove($socket);
			$writers->remove($socket);
			delete @$_{ fileno $socket } for \%peer, \%pending;
		}
		close $_ for @_;
	};
	while (getppid() == $parent)
	{
		my ($readable, $writable) = IO::Select->select($readers, $writers, undef, 1);
		for my $socket (@{ $writable // [] })
		{
			my $to = fileno $socket;
			next unless defined $to && $peer{$to};
			my $n = syswrite $socket, $pending{$to};
			if (!defined $n) { $forget->($socket, $peer{$to}) unless $!{EAGAIN} || $!{EINTR}; next; }
			substr($pending{$to}, 0, $n, '');
			$writers->remove($socket) if $pending{$to} eq '';
			$readers->add($peer{$to}) if length $pending{$to} < $most;
		}
		for my $socket (@{ $readable // [] })
		{
			my $from = fileno $socket;
			next unless defined $from;
			if (my $address = $target{$from})
			{
				my $client = $socket->accept or next;
				my $server = IO::Socket::INET->new(PeerAddr => $address) or do { close $client; next };
				for my $pair ([ $client, $server ], [ $server, $client ])
				{
					$pair->[0]->blocking(0);
					setsockopt $pair->[0], Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1;
					($peer{ fileno $pair->[0] }, $pending{ fileno $pair->[0] }) = ($pair->[1], '');
					$readers->add($pair->[0]);
				}
				next;
			}
			my $other = $peer{$from} or next;
			my $n = sysread $socket, my $bytes, 65536;
			next if !defined $n && ($!{EAGAIN} || $!{EINTR});
			if (!$n) { $forget->($socket, $other); next; }
			my $to = fileno $other;
			$pending{$to} .= $bytes;
			$writers->add($other);
			$readers->remove($socket) if length $pending{$to} >= $most;
		}
	}
	return;
}

1;
