# Sourced by test/run and bench/run, in a tree whose root is $here: where the TAP modules and PostgreSQL 15 are.
pg_bin=/usr/lib/postgresql/15/bin
pgxs=/usr/lib/postgresql/15/lib/pgxs/src
export PERL5LIB="$here/test/lib:$pgxs/test/perl" PG_REGRESS="$pgxs/test/regress/pg_regress" PATH="$pg_bin:$PATH"
export TESTDIR="$here/test/tmp/tap" TESTDATADIR="$here/test/tmp/tap/data" TESTLOGDIR="$here/test/tmp/tap/log"
mkdir -p "$TESTDIR"
