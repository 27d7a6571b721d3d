#!/usr/bin/env bash
# Checks that a revision works, before it gets traffic:
#
#   TOKEN=… deploy/smoke.sh https://candidate---claimcheck-123.europe-west1.run.app
#
# A request without a token must be refused, the database must answer, and a task
# must take the whole path: stored, dispatched to Cloud Tasks, claimed, run, finished.
# The token is an OIDC token of the account that Cloud Tasks signs as; deploy/token.sh
# prints one.
set -euo pipefail

url=${1:?"usage: TOKEN=… deploy/smoke.sh URL"}
: "${TOKEN:?TOKEN is not set: an OIDC token of the account that Cloud Tasks signs as}"
body=$(mktemp)
trap 'rm -f "$body"' EXIT

die() {
	echo "smoke: $*" >&2
	exit 1
}

# call METHOD PATH [BODY] leaves the answer in $body and its status in $status. The
# token goes through a file descriptor: other users of the machine can read arguments.
call() {
	status=$(curl -sS -m 60 -o "$body" -w '%{http_code}' -X "$1" "$url$2" \
		-K <(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN") \
		-H 'Content-Type: application/json' ${3:+-d "$3"}) || die "$1 $url$2: no answer"
}

# expect WANTED… ends the script unless the last call had one of these statuses.
expect() {
	local wanted
	for wanted in "$@"; do [ "$status" != "$wanted" ] || return 0; done
	die "expected $*, got $status: $(head -c 500 "$body")"
}

anonymous=$(curl -sS -m 60 -o /dev/null -w '%{http_code}' "$url/health/live") || die "$url: no answer"
case $anonymous in
401 | 403) echo "a request without a token is refused ($anonymous)" ;;
*) die "a request without a token got $anonymous: the service is public. With OIDC_TRUST_PLATFORM anyone can forge a token: remove allUsers from the service's roles/run.invoker" ;;
esac

call GET /health/ready
expect 200
echo "the database answers"

# Every program that package server runs knows this task, which does nothing.
call POST /tasks/enqueue/ '{"task":"claimcheck.probe"}'
expect 201
id=$(grep -oE '"id": ?"[0-9a-f-]{36}"' "$body" | head -n 1 | grep -oE '[0-9a-f-]{36}') || die "no task in: $(head -c 500 "$body")"
if grep -q '"dispatch_error"' "$body"; then die "stored, but Cloud Tasks refused it: $(head -c 1000 "$body")"; fi
echo "task $id is stored and dispatched to Cloud Tasks"

# This revision runs it, unless the delivery of Cloud Tasks was faster.
call POST "/tasks/execute/$id/?fail_on_error=true"
expect 200 409
for _ in $(seq 30); do
	call GET "/tasks/result/$id/"
	expect 200
	if grep -q '"SUCCESSFUL"' "$body"; then
		echo "task $id succeeded"
		exit 0
	fi
	sleep 1
done
die "task $id did not succeed within 30 s: $(head -c 1000 "$body")"
