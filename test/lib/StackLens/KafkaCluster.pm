package StackLens::KafkaCluster;

# Three real brokers, each also a controller, that keep three copies of every message: one may be lost.
#
#	my $kafka = StackLens::KafkaCluster->new(dir => $tmp);
#	my $broker = $kafka->leader('logs', 0);
#	$broker->kill9; ...; $broker->start;
#
# Topics, messages and groups as with StackLens::Kafka. Options: dir; relayed => [ three addresses ] makes a listener
# beside, whose clients are sent there (StackLens::Relay); relay_targets() are the brokers behind them.

use strict;
use warnings;

use parent 'StackLens::Kafka';

use File::Path qw(make_path);

use StackLens::Cache qw(free_port);

my $size = 3;

sub new
{
	my ($class, %options) = @_;
	my @controllers = map { free_port() } 1 .. $size;
	my @nodes;
	for my $number (1 .. $size)
	{
		make_path("$options{dir}/broker$number");
		push @nodes, StackLens::Kafka->new(
			dir => "$options{dir}/broker$number",
			node => $number,
			controllers => \@controllers,
			heap => [ '-Xms96m', '-Xmx320m' ],
			$options{relayed} ? (listeners => { RELAYED => 'PLAINTEXT' }, advertised => { RELAYED => $options{relayed}[ $number - 1 ] }) : (),
			properties => {
				'default.replication.factor' => $size,
				'min.insync.replicas' => $size - 1,
				'offsets.topic.replication.factor' => $size,
				'transaction.state.log.replication.factor' => $size,
				'transaction.state.log.min.isr' => $size - 1,
			},
			start => 0);
	}
	# what is asked of a cluster, any broker answers
	my $self = bless { %{ $nodes[0] }, nodes => \@nodes }, $class;
	$self->{dir} = $options{dir};
	return $self->start;
}

sub bootstrap { my ($self) = @_; return join ',', map { $_->bootstrap } @{ $self->{nodes} }; }
sub relay_targets { my ($self) = @_; return map { $_->listener('RELAYED') } @{ $self->{nodes} }; }

# All of them that don't run; returns when each answers.
sub start
{
	my ($self) = @_;
	my @down = grep { !$_->pid } @{ $self->{nodes} };
	$_->launch for @down;
	$_->wait_for_start for @down;
	return $self;
}

sub kill9 { my ($self) = @_; $_->kill9 for @{ $self->{nodes} }; return $self; }

# The broker that leads a partition now; undef while there is none.
sub leader
{
	my ($self, $topic, $partition) = @_;
	my %leader = map { split /\t/ } split /\n/, $self->tool('leaders', '-t' => $topic);
	my $number = $leader{$partition} // -1;
	return $number > 0 ? $self->{nodes}[ $number - 1 ] : undef;
}

sub DESTROY { return; }    # each broker ends with its own object

1;
