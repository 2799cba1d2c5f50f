# SigmaHQ's public rules on Windows process creations: stacklens-rule against rsigma, on the same events in the same run.
#
#   SIGMA_RULES=path/of/a/clone perl bench/rules/run.pl
#
# EVENTS (60000), SEED (1) and ROUNDS (3) may be set; RSIGMA is rsigma's path, else it is looked for in PATH. Each round
# runs every measurement once, ours and rsigma's in turn, each with an empty file of events (that is loading) and with
# the events, whose cost is the CPU time less the median of loading; what is printed are medians. Matches go to /dev/null
# while time is taken; they are compared in a run of their own before. See ../README.md.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Find qw(find);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin;

my $n = $ENV{EVENTS} // 60_000;
my $seed = $ENV{SEED} // 1;
my $rounds = $ENV{ROUNDS} // 3;
my @folders = qw(rules rules-emerging-threats rules-threat-hunting rules-compliance rules-dfir rules-placeholder);

my $ours = "$FindBin::Bin/../../stacklens-rule";
-x $ours or die "error: stacklens-rule is not built; run make stacklens-rule\n";
my $sigma = $ENV{SIGMA_RULES} or die "error: SIGMA_RULES is not set; let it be the path of a clone of SigmaHQ's rules\n";
-d "$sigma/rules" or die "error: there are no rules in \"$sigma\"\n";
my ($rsigma) = grep { defined && -x && !-d } $ENV{RSIGMA}, $ENV{RSIGMA} ? () : map { "$_/rsigma" } split /:/, $ENV{PATH};
die "error: RSIGMA=$ENV{RSIGMA} can't be run\n" if $ENV{RSIGMA} && !$rsigma;
my $version = $rsigma ? (split ' ', `"$rsigma" --version`)[1] : undef;

my $dir = tempdir(CLEANUP => 1);
my ($events, $none, $placeholders) = ("$dir/events.ndjson", "$dir/none.ndjson", "$dir/placeholders.json");
$| = 1;

sub shell { my ($command) = @_; system($command) == 0 or die "error: this failed: $command\n"; return }
sub slurp { my ($path) = @_; open my $f, '<', $path or die "error: could not open \"$path\": $!\n"; local $/ = undef; return <$f> }
sub spew { my ($path, $text) = @_; open my $f, '>', $path or die "error: could not open \"$path\": $!\n"; print {$f} $text; close $f or die "error: could not write \"$path\": $!\n"; return }
sub median { my @s = sort { $a <=> $b } @_; return $s[ @s / 2 ] }
sub grouped { my $s = sprintf '%.0f', $_[0]; 1 while $s =~ s/^(\d+)(\d{3})/$1,$2/; return $s }

sub copy_rules
{
	my ($to, @paths) = @_;
	for my $path (@paths)
	{
		make_path(dirname("$to/$path"));
		copy("$sigma/$path", "$to/$path") or die "error: could not copy \"$sigma/$path\": $!\n";
	}
	return $to;
}

# Rules of Windows process creations first, then the others, each in order of path; k of them in equal steps. So a
# sample holds as large a share of the rules that can be true as the whole does.
sub sample { my ($k, @paths) = @_; return map { $paths[ int($_ * @paths / $k) ] } 0 .. $k - 1 }

# Runs a command; CPU seconds, elapsed seconds, KB and exit status. Its output goes to $out, errors to "$dir/err".
sub measure
{
	my ($out, @command) = @_;
	open my $stdout, '>&', \*STDOUT or die $!;
	open my $stderr, '>&', \*STDERR or die $!;
	open STDOUT, '>', $out or die "error: could not open \"$out\": $!\n";
	open STDERR, '>', "$dir/err" or die $!;
	my $failed = system("$dir/measure", "$dir/measured", @command);
	open STDOUT, '>&', $stdout or die $!;
	open STDERR, '>&', $stderr or die $!;
	my ($cpu, $elapsed, $kb, $status) = $failed ? (0, 0, 0, -1) : split ' ', slurp("$dir/measured");
	# ours exits with 1 if a rule was refused, which is counted elsewhere
	die "error: @command failed:\n", slurp("$dir/err") if $status != 0 && !($command[0] eq $ours && $status == 1 << 8);
	return { cpu => $cpu, elapsed => $elapsed, kb => $kb };
}

sub ours_command { my ($rules, $file) = @_; return ($ours, 'eval', '--no-logsource', '--placeholders', $placeholders, '--rules', $rules, '--events', $file) }
sub rsigma_command { my ($rules, $file, @more) = @_; return ($rsigma, 'engine', 'eval', '-r', $rules, '-e', "\@$file", @more) }

# Each rule's matches: a bit for each event.
sub our_matches
{
	my ($rules) = @_;
	my (%found, %title);
	measure("$dir/out", ours_command($rules, $events));
	slurp("$dir/err") =~ /\b$n events, \d+ matches, 0 events refused/ or die "error: not all events were read:\n", slurp("$dir/err");
	open my $f, '<', "$dir/out" or die $!;
	while (<$f>)
	{
		next if !/^\{/; # a rule refused
		/^\{"event":(\d+),"rule_id":"((?:[^"\\]|\\.)*)","rule":"((?:[^"\\]|\\.)*)"/ or die "error: not a match: $_";
		vec($found{ lc $2 } //= '', $1, 1) = 1;
		$title{ lc $2 } = $3;
	}
	unlink "$dir/out";
	return (\%found, \%title);
}

# rsigma doesn't number events; it can repeat them, and ProcessGuid tells them apart.
sub rsigma_matches
{
	my ($rules) = @_;
	my (%found, %title, %line);
	open my $f, '<', $events or die $!;
	while (<$f>)
	{
		/"ProcessGuid":"([^"]+)"/;
		$line{$1} = $.;
	}
	close $f;
	# through a pipe: it is 1.7 KB a match
	open $f, '-|', rsigma_command($rules, $events, '--quiet', '--include-event') or die "error: could not run \"$rsigma\": $!\n";
	while (<$f>)
	{
		my ($title) = /"rule_title":"((?:[^"\\]|\\.)*)"/ or die "error: not a match: $_";
		my ($id) = /"rule_id":"([^"]*)"/;
		my ($guid) = /"event":\{.*"ProcessGuid":"([^"]+)"/ or die "error: no event: $_";
		$id = lc($id // $title);
		vec($found{$id} //= '', $line{$guid}, 1) = 1;
		$title{$id} = $title;
	}
	close $f or die "error: rsigma failed\n";
	return (\%found, \%title);
}

sub bits { my ($set) = @_; return unpack '%32b*', $set // '' }
sub total { my ($found) = @_; my $t = 0; $t += bits($_) for values %$found; return $t }

# What one has and the other hasn't, the largest differences first.
sub compare
{
	my ($our_found, $our_title, $their_found, $their_title) = @_;
	my %ids = map { $_ => 1 } keys %$our_found, keys %$their_found;
	my @differences;
	for my $id (sort keys %ids)
	{
		my ($a, $b) = map { my $set = $_->{$id} // ''; $set . "\0" x ($n / 8 + 1 - length $set) } $our_found, $their_found;
		my $differ = $a ^ $b;
		my $count = bits($differ) or next;
		push @differences, { id => $id, title => $our_title->{$id} // $their_title->{$id}, ours => bits($a & $differ), theirs => bits($b & $differ), count => $count, line => index(unpack('b*', $differ), '1') };
	}
	return sort { $b->{count} <=> $a->{count} || $a->{id} cmp $b->{id} } @differences;
}

shell("cc -O2 -D_GNU_SOURCE -std=gnu11 -o '$dir/measure' '$FindBin::Bin/measure.c'");
shell("'$^X' '$FindBin::Bin/events.pl' $n $seed >'$events'");
spew($none, '');

my @files;
find({ no_chdir => 1, wanted => sub { push @files, substr($_, 1 + length $sigma) if /\.yml$/ && -f } }, grep { -d } map { "$sigma/$_" } @folders);
my %first = map { my $text = slurp("$sigma/$_"); $_ => $text =~ /^\s+category:\s*process_creation\s*$/m && $text =~ /^\s+product:\s*windows\s*$/m ? 0 : 1 } @files;
@files = sort { $first{$a} <=> $first{$b} || $a cmp $b } @files;
# rsigma takes the value of a placeholder from the event's field of that name; ours, where there is none, from a file.
# None of these events has such a field, and none has these values.
my %placeholders = map { my $text = slurp("$sigma/$_"); $text =~ /\|expand\b/ ? map { $_ => 1 } $text =~ /%([\w-]+)%/g : () } @files;
spew($placeholders, '{' . join(', ', map { "\"$_\": \"no value of $_\"" } sort keys %placeholders) . "}\n");
my $all = copy_rules("$dir/all", @files);
my %some = map { $_ => copy_rules("$dir/$_", sample($_, @files)) } grep { $_ < @files } 10, 375;

printf "%s rule files, %s of Windows process creations; %s events of %s bytes; rounds: %d\n", grouped(scalar @files), grouped(scalar grep { !$_ } values %first), grouped($n), grouped((-s $events) / $n), $rounds;
print $rsigma ? "rsigma $version\n" : "rsigma is neither in PATH nor named by RSIGMA; what concerns it is left out.\n";

my @goals;
sub goal { my ($text, $value, $met) = @_; push @goals, sprintf "%-46s %-24s %s\n", $text, $value, $met ? 'PASS' : 'MISSED'; return }

# All compile?
measure("$dir/out", $ours, 'check', '--placeholders', $placeholders, $all);
my ($compiled, $rejected) = slurp("$dir/err") =~ /(\d+) rules in \d+ files, (\d+) errors/ or die "error: no summary of stacklens-rule check\n";
goal('all rules compile', "$compiled, $rejected rejected", $rejected == 0 && $compiled >= @files);
if ($rejected)
{
	print "\nRejected, at most 10:\n";
	my @errors = grep { /: error: / } split /\n/, slurp("$dir/out");
	print '  ', s/^\Q$all\E\///r, "\n" for splice @errors, 0, 10;
}
if ($rsigma)
{
	measure("$dir/out", rsigma_command($all, $none, '--no-stats'));
	print "rsigma says: ", s/\Q$all\E/the folder of rules/r, "\n" for split /\n/, slurp("$dir/err");
}

# The same matches?
my ($our_found, $our_title) = our_matches($all);
my ($their_found, $their_title) = $rsigma ? rsigma_matches($all) : ({}, {});
my @differences = $rsigma ? compare($our_found, $our_title, $their_found, $their_title) : ();
if (@differences)
{
	printf "\n%d rules differ; at most 10 of them (matches of only ours, of only rsigma, first such event):\n", scalar @differences;
	printf "  %6d %6d  line %-6d %s %s\n", @$_{qw(ours theirs line id title)} for @differences > 10 ? @differences[ 0 .. 9 ] : @differences;
}

# Time and memory
my %runs;
my @what = ([ 'ours', \&ours_command, $all ], $rsigma ? [ 'rsigma', \&rsigma_command, $all, '--quiet' ] : (), map { [ $_, \&ours_command, $some{$_} ] } sort { $a <=> $b } keys %some);
for my $round (1 .. $rounds)
{
	for (@what)
	{
		my ($name, $command, $rules, @more) = @$_;
		my $load = measure('/dev/null', $command->($rules, $none, @more));
		my $full = measure('/dev/null', $command->($rules, $events, @more));
		push @{ $runs{$name} }, { load => $load->{elapsed}, load_cpu => $load->{cpu}, loaded_mb => $load->{kb} / 1024, mb => $full->{kb} / 1024, cpu => $full->{cpu} };
	}
	printf "round %d, CPU seconds of loading and of all: %s\n", $round, join ', ', map { sprintf '%s %.2f %.2f', /^\d/ ? "$_ rules" : $_, @{ $runs{$_}[-1] }{qw(load_cpu cpu)} } map { $_->[0] } @what;
}
for my $name (keys %runs)
{
	my $load = middle($name, 'load_cpu');
	for my $run (@{ $runs{$name} })
	{
		$run->{cost} = ($run->{cpu} - $load) / $n;
		die "error: $n events cost less than loading varies; let EVENTS be more\n" if $run->{cost} <= 0;
	}
}
sub middle { my ($name, $key) = @_; return median(map { $_->{$key} } @{ $runs{$name} }) }
sub against { my ($name, $other) = @_; return median(map { $runs{$name}[$_]{cost} / $runs{$other}[$_]{cost} } 0 .. $rounds - 1) }

printf "\n%-30s %12s %12s\n", '', 'ours', $rsigma ? 'rsigma' : '';
sub row { my ($text, $value) = @_; printf "%-30s %12s %12s\n", $text, map { $_ eq 'rsigma' && !$rsigma ? '' : $value->($_) } 'ours', 'rsigma'; return }
row('loading, elapsed', sub { sprintf '%.2f s', middle($_, 'load') });
row('loading, CPU', sub { sprintf '%.2f s', middle($_, 'load_cpu') });
row('peak memory, no event', sub { sprintf '%.0f MB', middle($_, 'loaded_mb') });
row('peak memory', sub { sprintf '%.0f MB', middle($_, 'mb') });
row('records per CPU second', sub { grouped(1 / middle($_, 'cost')) });
row('matches', sub { grouped(total($_ eq 'ours' ? $our_found : $their_found)) });
row('rules that matched', sub { scalar keys %{ $_ eq 'ours' ? $our_found : $their_found } });
print "\n";
printf "%-30s %9.2f %ss a record\n", "$_->[1] rules", 1e6 * middle($_->[0], 'cost'), "\xc2\xb5" for (map { [ $_, $_ ] } sort { $a <=> $b } keys %some), [ 'ours', scalar @files ];

goal('loading < 3 s', sprintf('%.2f s', middle('ours', 'load')), middle('ours', 'load') < 3);
goal('memory < 64 MB', sprintf('%.0f MB', middle('ours', 'mb')), middle('ours', 'mb') < 64);
goal('>= 100,000 records per CPU second', grouped(1 / middle('ours', 'cost')), middle('ours', 'cost') <= 1e-5);
if ($rsigma)
{
	goal('>= 10 times rsigma', sprintf('%.1f', against('rsigma', 'ours')), against('rsigma', 'ours') >= 10);
	goal("the same matches as rsigma", @differences ? @differences . ' rules differ' : grouped(total($our_found)), !@differences);
}
goal('cost of all rules <= 10 times that of 10', sprintf('%.1f', against('ours', 10)), against('ours', 10) <= 10) if $some{10};
goal('cost of all rules <= 2 times that of 375', sprintf('%.2f', against('ours', 375)), against('ours', 375) <= 2) if $some{375};
print "\n", @goals;
