package StackLens::Bench;

# What benchmarks have in common: the tool that makes messages, a process's CPU time, medians.

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils ();

use StackLens::Cache qw(test_folder);

our @EXPORT_OK = qw(build_bench_kafka cpu_of median);

my $hertz;

# Builds bench/kafka/bench_kafka.c into a folder; gives its path.
sub build_bench_kafka
{
	my ($dir) = @_;
	my $source = test_folder() . '/../bench/kafka/bench_kafka.c';
	my $core = test_folder() . '/../src/core';
	system("gcc -O2 -D_GNU_SOURCE -std=gnu11 -o $dir/bench_kafka $source $core/arena.c $core/utf8.c -lrdkafka -lm") == 0
	  or die "could not build $source";
	return "$dir/bench_kafka";
}

# CPU seconds of a process, all its threads.
sub cpu_of
{
	my ($pid) = @_;
	$hertz //= `getconf CLK_TCK`;
	my @f = split ' ', (PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr);
	return ($f[11] + $f[12]) / $hertz;
}

sub median { my @s = sort { $a <=> $b } @_; return $s[ @s / 2 ] }

1;
