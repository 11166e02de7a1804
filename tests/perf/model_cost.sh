#!/bin/bash
# What the model costs over the raw path: instructions (callgrind) from a result of the 50 agents, twelve columns, to JSON. The
# model's figure holds the check of the result's columns, the raw one the making of the keys: all that a query's answer needs. Fails
# when the model path takes more than 1.05 of the raw path. Instructions, not time: a busy machine gives the same figures.
set -eu -o pipefail
cd "$(dirname "$0")/../.."

limit=1.05
dir=build/perf
mkdir -p "$dir"
${CC:-gcc} -std=gnu11 -O2 -g -D_GNU_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE -pie -iquote src -I/usr/include/postgresql \
	-o "$dir/model_cost" tests/perf/model_cost.c src/body.c src/json.c src/rows.c src/model.c src/agent.c -lpq

# Prints the instructions that one rendering took.
instructions() {
	local out="$dir/callgrind.$1"
	shift
	LD_BIND_NOW=1 valgrind --tool=callgrind --collect-atstart=no "${@/#/--toggle-collect=}" --callgrind-out-file="$out" \
		"$dir/model_cost" "${out##*.}" tests/data/agents.csv >"$dir/rows" 2>"$dir/valgrind.log" ||
		{
			cat "$dir/valgrind.log" >&2
			return 1
		}
	awk '/^summary:/ { print $2 }' "$out"
}

raw=$(instructions raw rows_render)
model=$(instructions model model_check_result model_render)
rows=$(cat "$dir/rows")
awk -v raw="$raw" -v model="$model" -v rows="$rows" -v limit="$limit" 'BEGIN {
	if (raw < 1000 || model < 1000 || rows != 50) {
		print "model_cost: nothing was measured" > "/dev/stderr"
		exit 1
	}
	printf "raw path:   %d instructions, %.0f a row\n", raw, raw / rows
	printf "model path: %d instructions, %.0f a row\n", model, model / rows
	printf "model / raw: %.3f (at most %s)\n", model / raw, limit
	bad = model / raw > limit
	printf "%d passed, %d failed\n", !bad, bad
	exit bad
}'
