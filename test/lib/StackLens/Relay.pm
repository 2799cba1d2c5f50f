package StackLens::Relay;

# A network that can be cut, between clients and servers of this machine: test/clients/relay.c.
#
#	my $relay = StackLens::Relay->new(3);
#	...                                # servers that advertise $relay->addresses
#	$relay->start('127.0.0.1:9092', ...);
#	$relay->cut;                       # connections stay, nothing gets through
#	$relay->mend;
#	$relay->drop;                      # all connections are reset

use strict;
use warnings;

use StackLens::Cache qw(cache free_port test_folder);

sub new
{
	my ($class, $number) = @_;
	my $tool = cache() . '/bin/relay';
	system('make', '-s', '-C', test_folder() . '/clients', 'BUILD=' . cache() . '/bin', $tool) == 0 or die "could not build $tool\n";
	return bless { tool => $tool, ports => [ map { free_port() } 1 .. $number ], owner => $$ }, $class;
}

sub addresses { return map { "127.0.0.1:$_" } @{ $_[0]{ports} }; }

sub start
{
	my ($self, @targets) = @_;
	$self->{targets} = \@targets;
	my @ports = map { ($self->{ports}[$_], $targets[$_] =~ s/.*://r) } 0 .. $#targets;
	$self->{pid} = open($self->{out}, '-|', $self->{tool}, @ports) or die "$self->{tool}: $!";
	(readline($self->{out}) // '') eq "ready\n" or die "the relay did not start\n";
	return $self;
}

sub cut { my ($self) = @_; kill 'STOP', $self->{pid}; return; }
sub mend { my ($self) = @_; kill 'CONT', $self->{pid}; return; }
sub drop { my ($self) = @_; $self->stop; return $self->start(@{ $self->{targets} }); }

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'KILL', $self->{pid};
	delete $self->{pid};
	close $self->{out};    # waits for it
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);
	$self->stop if $self->{owner} == $$;
	return;
}

1;
