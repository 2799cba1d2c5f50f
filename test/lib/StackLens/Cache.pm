package StackLens::Cache;

# Where test/deps/fetch.sh put things, and where this repository's test folder is.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(test_folder cache cached free_port poll_for);

# The repository's test folder.
sub test_folder { return dirname(dirname(dirname(abs_path(__FILE__)))); }

sub cache { return $ENV{STACKLENS_TEST_CACHE} || test_folder() . '/.cache'; }

# The folder of one part of the cache; dies, saying what to run, when it isn't whole.
sub cached
{
	my ($part, $argument) = @_;
	my $folder = cache() . "/$part";
	die "$folder is missing or not whole: run test/deps/fetch.sh " . ($argument // $part) . "\n"
	  unless -e "$folder/.stamp";
	return $folder;
}

# A TCP port on 127.0.0.1 that nothing listens on, below the range that the kernel gives to outgoing
# connections: a server that is stopped and started again gets its port back.
my %given;

sub free_port
{
	for (1 .. 200)
	{
		my $port = 10_240 + int(rand(22_000));
		next if $given{$port}++;
		my $socket = IO::Socket::INET->new(
			LocalAddr => '127.0.0.1',
			LocalPort => $port,
			Listen => 1,
			ReuseAddr => 1) or next;
		close $socket;
		return $port;
	}
	die "found no free port\n";
}

# Calls $check until it returns something true, and returns that; dies after $seconds.
# 	poll_for('the broker', 30, sub { ... });
sub poll_for
{
	my ($what, $seconds, $check) = @_;
	my $deadline = time() + $seconds;
	for (my $pause = 0.01;; $pause = $pause < 0.2 ? $pause * 1.5 : 0.2)
	{
		my $result = $check->();
		return $result if $result;
		die "gave up waiting for $what after $seconds s\n" if time() > $deadline;
		sleep($pause);
	}
}

1;
