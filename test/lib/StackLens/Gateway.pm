package StackLens::Gateway;

# A stacklens-gateway of the test's own, and HTTP with it.

use strict;
use warnings;

use File::Temp ();
use HTTP::Tiny;
use JSON::PP qw(decode_json encode_json);
use POSIX qw(:sys_wait_h);
use StackLens::Cache qw(free_port poll_for test_folder);

# Options: connstr (required), args => [...].
sub new
{
	my ($class, %option) = @_;
	my $self = bless { port => free_port(), otlp_port => free_port(), log => File::Temp->new, http => HTTP::Tiny->new(timeout => 30), %option }, $class;
	$self->start;
	return $self;
}

sub binary { return $ENV{STACKLENS_GATEWAY} || test_folder() . '/../stacklens-gateway' }

sub start
{
	my ($self) = @_;
	my $pid = fork() // die "fork: $!\n";
	if ($pid == 0)
	{
		open STDOUT, '>>', $self->{log}->filename or die;
		open STDERR, '>&', \*STDOUT or die;
		exec('setpriv', '--pdeathsig', 'KILL', binary(), '--database', $self->{connstr}, '--port', $self->{port},
			'--otlp-port', $self->{otlp_port}, '--ui', test_folder() . '/../gateway/ui', @{ $self->{args} // [] }) or die "exec: $!";
	}
	$self->{pid} = $pid;
	poll_for('the gateway', 20, sub { $self->{http}->get($self->url('/health'))->{status} == 200 });
	return;
}

sub url { my ($self, $path) = @_; return "http://127.0.0.1:$self->{port}$path" }
sub ws_url { my ($self, $query) = @_; return "ws://127.0.0.1:$self->{port}/ws/alerts" . ($query // '') }
sub otlp_url { return "http://127.0.0.1:$_[0]{otlp_port}/v1/logs" }
sub log_text { return PostgreSQL::Test::Utils::slurp_file($_[0]{log}->filename) }

# → (status, decoded body or text, response)
sub get
{
	my ($self, $path, %headers) = @_;
	return _read($self->{http}->get($self->url($path), { headers => \%headers }));
}

sub post
{
	my ($self, $path, $body, %headers) = @_;
	$headers{'Content-Type'} //= 'application/json';
	return _read($self->{http}->post($path =~ /^http/ ? $path : $self->url($path), { content => $body, headers => \%headers }));
}

sub _read
{
	my ($response) = @_;
	my $type = $response->{headers}{'content-type'} // '';
	my $body = $response->{content};
	$body = JSON::PP->new->utf8->allow_nonref->decode($body) if $type =~ /json/ && length $body;
	return ($response->{status}, $body, $response);
}

sub kill9 { my ($self) = @_; kill 'KILL', $self->{pid}; waitpid $self->{pid}, 0; delete $self->{pid}; return }

# Asks it to stop; gives its exit status, or 128 and the signal that ended it.
sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	local $?;
	kill 'TERM', $self->{pid};
	poll_for('the gateway to stop', 10, sub { waitpid($self->{pid}, WNOHANG) != 0 });
	delete $self->{pid};
	return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	if ($self->{pid}) { kill 'KILL', $self->{pid}; waitpid $self->{pid}, 0 }
	return;
}

1;
