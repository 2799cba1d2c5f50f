#!/usr/bin/perl
# Writes fold_table.h: Unicode's simple case folding (statuses C and S) of
# every code point above ASCII, from the tables that Perl ships.
# Usage: perl gen_fold.pl > fold_table.h
use strict;
use warnings;
use Unicode::UCD qw(prop_invmap);

my ($list, $map, $format, $default) = prop_invmap('Simple_Case_Folding');
my @pairs;
for my $i (0 .. $#$list) {
	next if !defined $map->[$i] || ref $map->[$i] || $map->[$i] eq $default || $map->[$i] == 0;
	my $end = $i < $#$list ? $list->[$i + 1] : $list->[$i] + 1;
	for my $cp ($list->[$i] .. $end - 1) {
		push @pairs, [ $cp, $map->[$i] + $cp - $list->[$i] ] if $cp > 127;
	}
}
print "/* Made by gen_fold.pl from Unicode ", Unicode::UCD::UnicodeVersion(), "; do not edit. */\n";
print "static const uint32_t fold_table[][2] = {\n";
printf "\t{0x%04X, 0x%04X},\n", @$_ for @pairs;
print "};\n";
