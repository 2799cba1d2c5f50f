# The chaos test finds what it is there to find: with positions that are committed before the effects of their records,
# by a patch of the evaluator made here, it reports losses.

use strict;
use warnings;

use File::Path qw(make_path);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

use StackLens::Cache qw(test_folder);

my $top = test_folder() . '/..';
my $dir = PostgreSQL::Test::Utils::tempdir() . '/patched';
make_path($dir);
sub run { my (@command) = @_; my $out = ''; my $ok = IPC::Run::run(\@command, '<', \undef, '>&', \$out); return ($ok, $out) }

my ($ok, $out) = run('sh', '-c', "cd '$top' && tar -c --exclude='*.o' Makefile stacklens.control sql src bgworker | tar -x -C '$dir'");
$ok or die $out;
my $evaluator = "$dir/bgworker/evaluator.c";
my $source = PostgreSQL::Test::Utils::slurp_file($evaluator);
ok($source =~ s/(\tstored = source->settle\(source, batch, effects\);\n)/$1\tif (stored)\n\t{\n\t\tsl_commit();\n\t\tsl_begin();\n\t}\n/, 'the evaluator is patched');
open my $f, '>', $evaluator or die $!;
print $f $source;
close $f;
($ok, $out) = run('make', '-s', '-C', $dir, 'stacklens.so', 'PG_CONFIG=' . ($ENV{PG_CONFIG} // 'pg_config'));
ok($ok, 'and built') or diag($out);

# whatever is drawn, evaluators are killed in the middle of their work
local $ENV{STACKLENS_LIBRARY} = "$dir/stacklens";
local $ENV{STACKLENS_FAULT} = 'evaluator';
local $ENV{STACKLENS_FAULTS} = 15;
local $ENV{STACKLENS_PATIENCE} = 15;
# a cluster of its own beside this test's
local $ENV{TESTDATADIR} = "$dir/data";
local $ENV{TESTLOGDIR} = "$dir/log";
local $ENV{TESTDIR} = $dir;
($ok, $out) = run($^X, (map { "-I$_" } split /:/, $ENV{PERL5LIB} // ''), "$top/test/t/050_chaos.t");
like($out, qr/^ok \d+ - the producer delivered all its messages/m, 'the chaos test ran with it');
my $log = PostgreSQL::Test::Utils::slurp_file("$dir/tmp_check/log/regress_log_050_chaos");
ok(!$ok, 'and fails');
like($out . $log, qr/^not ok \d+ - .*once|^waited for the (?:inbox to be read|messages|correlation)/m, 'since records were lost or doubled') or diag($out . $log);

done_testing();
