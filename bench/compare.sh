#!/usr/bin/env bash
# Compares the micro-benchmarks of a revision with those of the working tree:
#
#   bench/compare.sh REVISION
#
# Both are compiled first and then run in turn, so that what happens to the
# machine meanwhile happens to both; benchstat says which differences are more
# than noise. COUNT (6) is how often, BENCH (.) a regular expression of names,
# TIME (1s) how long each benchmark runs, as -benchtime takes it.
set -euo pipefail
base=${1:?usage: bench/compare.sh REVISION}
count=${COUNT:-6} bench=${BENCH:-.} time=${TIME:-1s}
head=$(cd "$(dirname "$0")/.." && pwd)
git -C "$head" rev-parse --verify --quiet "$base^{commit}" >/dev/null || { echo "there is no revision $base" >&2; exit 2; }

work=$(mktemp -d)
trap 'git -C "$head" worktree remove --force "$work/base"; rm -rf "$work"' EXIT
git -C "$head" worktree add --quiet --detach "$work/base" "$base"
# The benchmarks of the hot path are the same on both sides: those of the tree.
rm -rf "$work/base/bench"
mkdir -p "$work/base/bench/internal"
cp "$head/bench/go.mod" "$head/bench/go.sum" "$work/base/bench/"
cp -r "$head/bench/internal/micro" "$work/base/bench/internal/"

# Files bench_test.go of other packages are the tree's too, where they compile.
bench_file() { # package
	[ -e "$head/$1/bench_test.go" ] && [ -d "$work/base/$1" ] || return 0
	local old=$work/bench_test.go
	rm -f "$old"
	[ ! -e "$work/base/$1/bench_test.go" ] || cp "$work/base/$1/bench_test.go" "$old"
	cp "$head/$1/bench_test.go" "$work/base/$1/"
	(cd "$work/base" && go vet "./$1" >/dev/null 2>&1) && return 0
	rm "$work/base/$1/bench_test.go"
	[ ! -e "$old" ] || mv "$old" "$work/base/$1/bench_test.go"
}

# Each test program stands beside the directory that it must run in.
compile() { # side, tree, module, package
	local binary=$work/$1-${3//\//_}-${4//\//_}.test
	(cd "$2/$3" && go test -c -o "$binary" "./$4") || return 1
	[ -e "$binary" ] || return 1 # the package has no tests there
	echo "$2/$3/$4 $binary" >>"$work/$1.programs"
}
packages=$(cd "$head" && git grep -l '^func Benchmark' -- '*_test.go' ':!bench' | xargs -r -n 1 dirname | sort -u)
for package in $packages bench:internal/micro; do
	module=. path=$package
	case $package in bench:*) module=bench path=${package#bench:} ;; esac
	[ "$module" = bench ] || bench_file "$path"
	if ! compile base "$work/base" "$module" "$path"; then
		echo "left out: $path does not compile in $base" >&2
		continue
	fi
	compile head "$head" "$module" "$path"
done

run() { # side
	local dir binary
	while read -r dir binary; do
		(cd "$dir" && "$binary" -test.run '^$' -test.bench "$bench" -test.benchmem -test.benchtime "$time") >>"$work/$1.txt"
	done <"$work/$1.programs"
}
for ((i = 1; i <= count; i++)); do
	echo "run $i of $count" >&2
	if ((i % 2)); then run base; run head; else run head; run base; fi
done
cd "$head/bench"
go tool benchstat "$base=$work/base.txt" "tree=$work/head.txt"
