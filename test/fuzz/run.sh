#!/bin/sh
# Runs fuzz targets on copies of their corpora and says in TAP how they fared.
#   run.sh SECONDS TARGET...            shared out between them
#   run.sh --alone SECONDS TARGET       all for one, going on where the last run ended
cd "$(dirname "$0")" || exit 1
alone=
[ "$1" = --alone ] && alone=1 && shift
seconds=$1
shift
each=$((seconds / $#))
[ "$each" -ge 1 ] || each=1
n=0
failed=0
echo "1..$#"
for target; do
	n=$((n + 1))
	copy=build/corpus/$target
	[ -n "$alone" ] || rm -rf "$copy"
	mkdir -p "$copy"
	cp corpus/"$target"/* "$copy"/ || exit 1
	dict=json.dict
	case "$target" in fuzz_rule) dict=rule.dict ;; fuzz_query) dict=query.dict ;; esac
	# deepest input of 16 kB: the oracles recurse without a limit
	if build/"$target" -max_total_time=$each -max_len=16384 -rss_limit_mb=2048 -timeout=10 \
		-dict=$dict -artifact_prefix=build/ -print_final_stats=1 -verbosity=1 "$copy" >build/"$target".log 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' build/"$target".log)
		echo "ok $n - $target: $runs runs"
	else
		failed=1
		echo "not ok $n - $target"
		tail -60 build/"$target".log | sed 's/^/# /'
	fi
done
exit $failed
