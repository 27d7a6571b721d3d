#!/usr/bin/env bash
# Checks the protocol's model (queue/model) with Spin: the whole model must hold,
# and without any one guard it must fail, for the reason that the guard is there
# for. Installs Spin from Debian's packages when that is possible; otherwise says
# what to install.
set -euo pipefail
model=$(cd "$(dirname "$0")/../queue/model" && pwd)

missing=()
command -v spin >/dev/null || missing+=(spin)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then
	sudo=()
	[ "$(id -u)" = 0 ] || sudo=(sudo -n)
	if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
		echo "installing ${missing[*]} with apt-get"
		export DEBIAN_FRONTEND=noninteractive
		"${sudo[@]}" apt-get update -qq
		"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	else
		echo "the model needs: ${missing[*]}" >&2
		echo "install them (Debian: apt-get install ${missing[*]}; elsewhere: https://spinroot.com and a C compiler called gcc)" >&2
		exit 1
	fi
fi

# One run a line: its name, whether it looks for a broken assertion (safety) or
# for an endless execution (liveness), the property that it must violate, and its
# macros.
runs='
nothing,liveness liveness none -DFAULTS=2
nothing,safety safety none -DFAULTS=3
nothing,three-workers safety none -DFAULTS=1 -DWORKERS=3
NO_FINISH_FENCE safety lost_claim_wrote
NO_RETRY_FENCE safety lost_claim_wrote
NO_RELEASE_FENCE safety lost_claim_wrote
NO_HEARTBEAT_FENCE safety lost_claim_wrote
ATTEMPT_NUMBER_AS_FENCE safety lost_claim_wrote
NO_LEASE_CHECK safety live_claim_robbed
NO_ATTEMPT_LIMIT safety attempts_exceeded
NO_DURABLE_LAST safety last_attempt_repeated
STALE_SWEEPER safety final_row_changed
KEEP_CLAIM_ID safety foreign_end_taken_for_own
NO_REPEAT safety own_end_denied
FINISH_OUTSIDE_TX safety ledger_wrong
CREATE_FIRST safety message_before_row
NO_409 safety message_thrown_away
NO_503 safety message_thrown_away
NO_SWEEPER liveness every_row_ends -DFAULTS=1
NO_REDISPATCH liveness every_row_ends -DFAULTS=1
NO_RECLAIM liveness every_row_ends -DFAULTS=1
'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check does one run and leaves a line of the table in its directory.
check() {
	local name=$1 kind=$2 want=$3 dir=$4
	shift 4
	local compile=(-w -DMEMLIM=2000) run=(-m1000000) found=none states seconds verdict=ok
	[ "$want" = none ] || set -- "-D$name" "$@"
	if [ "$kind" = liveness ]; then
		set -- -DLIVENESS "$@"
		compile+=(-DNFAIR=3)
		[ "$want" != none ] || compile+=(-O2) # takes the compiler longer than the other runs take
		run+=(-a -f)
	else
		compile+=(-DSAFETY)
	fi
	mkdir -p "$dir" && cd "$dir"
	spin "$@" -a "$model/protocol.pml" >spin.log 2>&1
	gcc "${compile[@]}" -o pan pan.c
	TIMEFORMAT=%U
	seconds=$({ time ./pan "${run[@]}" >pan.log 2>&1; } 2>&1) # of CPU: the machine may be busy
	if grep -q 'acceptance cycle' pan.log; then
		found=every_row_ends
	elif grep -q '^pan:1:' pan.log; then
		found=$(sed -n 's/^pan:1: assertion violated *!(\([a-z_]*\)).*/\1/p; s/^pan:1: \(invalid end state\).*/\1/p' pan.log)
	elif grep -qE 'Search not completed|max search depth|MEMLIM bound' pan.log; then
		found=unfinished
	fi
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)
	[ "$found" = "$want" ] && [ -n "$states" ] || verdict="WRONG: must be $want"
	printf '%-28s %-26s %10s %8.2f  %s\n' "$name" "$found" "$states" "$seconds" "$verdict" >line
}
export -f check
export model

n=0
while read -r name kind want flags; do
	[ -n "$name" ] || continue
	n=$((n + 1))
	echo "$name $kind $want $work/$(printf '%02d' $n)${flags:+ $flags}" # a blank at the end would join lines
done <<<"$runs" | xargs -P 2 -L 1 bash -euo pipefail -c 'check "$@"' check

printf '%-28s %-26s %10s %8s\n' 'guard removed' 'property violated' states 'CPU s'
cat "$work"/*/line
! grep -q WRONG "$work"/*/line
