package StackLens::Browser;

# Chromium for a test: a thin wrapper over test/clients/node/browser.mjs.
#
#	my $browser = StackLens::Browser->new(dir => $tmp);
#	$browser->goto($url);
#	$browser->waitFor('#alerts tr');
#	is($browser->text('h1'), 'Alerts');
#
# Every command dies with Playwright's words when it fails. A last argument { timeout => ms } is taken by all
# that wait (10 s unless told).

use strict;
use warnings;

use Carp qw(croak);
use File::Path qw(make_path);
use IO::Select;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(time);

use StackLens::Cache qw(test_folder cached poll_for);

my $json = JSON::PP->new->utf8->allow_nonref;

# The commands and the names of their arguments, in order.
my %commands = (
	goto => ['url'],
	reload => [],
	waitFor => ['selector'],
	waitForText => [qw(selector text)],
	text => ['selector'],
	texts => ['selector'],
	attribute => [qw(selector name)],
	count => ['selector'],
	click => ['selector'],
	fill => [qw(selector value)],
	select => [qw(selector value)],
	press => ['key'],
	evaluate => ['script'],
	resize => [qw(width height)],
	screenshot => ['path'],
	title => [],
	url => [],
	errors => [],
);
for my $name (keys %commands)
{
	no strict 'refs';    ## no critic: one method a command
	*{$name} = sub {
		my ($self, @values) = @_;
		my $options = ref $values[-1] eq 'HASH' ? pop @values : {};
		croak "$name: wants (@{$commands{$name}})" unless @values == @{ $commands{$name} };
		my %command = (do => $name, %$options);
		@command{ @{ $commands{$name} } } = @values;
		return $self->_ask(\%command);
	};
}

# dir: a folder that exists. Returns when the browser is up.
sub new
{
	my ($class, %options) = @_;
	my $dir = ($options{dir} // croak 'dir is missing') . "/browser$$-" . int(rand(1e6));
	cached('node');
	make_path("$dir/home", "$dir/profile");
	pipe my $in, my $to or die "pipe: $!";
	pipe my $from, my $out or die "pipe: $!";
	my $pid = fork() // die "fork: $!";
	if (!$pid)
	{
		close $to;
		close $from;
		@ENV{qw(HOME XDG_CONFIG_HOME XDG_CACHE_HOME TMPDIR)} = ("$dir/home", "$dir/home", "$dir/home", "$dir/home");
		setpgrp;    # Chromium is many processes; they end together
		open STDIN, '<&', $in
		  and open STDOUT, '>&', $out
		  and open STDERR, '>>', "$dir/browser.log"
		  and exec 'node', test_folder() . '/clients/node/browser.mjs', "$dir/profile";
		POSIX::_exit(127);
	}
	$to->autoflush(1);
	my $self = bless { pid => $pid, to => $to, from => $from, log => "$dir/browser.log", owner => $$, buffer => '' },
	  $class;
	$self->{version} = $self->_answer(60);
	return $self;
}

sub version { return $_[0]{version}; }

sub close    ## no critic: the natural name
{
	my ($self) = @_;
	return unless $self->{pid};
	eval { $self->_ask({ do => 'close' }) };
	$self->_end;
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@, $!);
	$self->_end if $self->{owner} == $$;
}

sub _end
{
	my ($self) = @_;
	return unless $self->{pid};
	CORE::close $self->{to};    # browser.mjs ends at the end of its input
	eval { poll_for('the browser to end', 5, sub { waitpid($self->{pid}, WNOHANG) == $self->{pid} }) };
	kill 'KILL', -$self->{pid};
	waitpid $self->{pid}, 0;
	delete $self->{pid};
	return;
}

sub _ask
{
	my ($self, $command) = @_;
	croak 'the browser has ended' unless $self->{pid};
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{to} } $json->encode($command) . "\n";
	# Playwright keeps the time-out; ours is for a browser that hangs.
	my $value = eval { $self->_answer(30 + ($command->{timeout} // 10_000) / 1000) };
	croak "$command->{do}: $@" if $@;
	return $value;
}

sub _answer
{
	my ($self, $seconds) = @_;
	my $deadline = time() + $seconds;
	my $select = IO::Select->new($self->{from});
	while ($self->{buffer} !~ /\n/)
	{
		my $left = $deadline - time();
		die "no answer from the browser in $seconds s\n" unless $left > 0 && $select->can_read($left);
		if (!sysread $self->{from}, $self->{buffer}, 65_536, length $self->{buffer})
		{
			open my $log, '<', $self->{log};
			die 'the browser has ended: ', $log ? <$log> : (), "\n";
		}
	}
	$self->{buffer} =~ s/^(.*)\n//;
	my $answer = $json->decode($1);
	die "$answer->{error}\n" unless $answer->{ok};
	return $answer->{value};
}

1;
