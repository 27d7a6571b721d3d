#!/usr/bin/env bash
# The whole path on one machine: the server in cloudtasks mode on an embedded
# database, a fake Cloud Tasks that delivers over HTTP with its own tokens,
# and two tasks, of which one fails twice before it succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
pids=()
cleanup() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap cleanup EXIT

# wait_for FILE TEXT waits until a log contains the text, or fails after 10 s.
wait_for() {
	for _ in $(seq 100); do
		grep -q "$2" "$1" && return
		sleep 0.1
	done
	echo "this did not start:" >&2
	cat "$1" >&2
	exit 1
}

echo "building"
go build -o "$dir" ./cmd/server ./cloudtasks/cloudtaskstest/cmd/cloudtasks-emulator

grpc=127.0.0.1:${EMULATOR_PORT:-8123} http=127.0.0.1:${EMULATOR_HTTP_PORT:-8124} listen=127.0.0.1:${SERVER_PORT:-8080}
"$dir/cloudtasks-emulator" --listen "$grpc" --http "$http" >"$dir/emulator.log" 2>&1 &
pids+=($!)
wait_for "$dir/emulator.log" CLOUD_TASKS_EMULATOR_HOST

export CLOUD_TASKS_EMULATOR_HOST=$grpc OIDC_ISSUER="http://$http" OIDC_CERTS_URL="http://$http/certs"
export CLOUD_TASKS_PROJECT=demo CLOUD_TASKS_LOCATION=europe-west1 DATABASE_URL="sqlite:$dir/demo.db"
export TASK_HANDLER_URL="http://$listen/tasks/execute/{task_id}/"
export OIDC_SERVICE_ACCOUNT_EMAIL=tasks@demo.iam.gserviceaccount.com TASK_API_TOKEN=demo-token
"$dir/server" --listen "$listen" --migrate >"$dir/server.log" 2>&1 &
pids+=($!)
wait_for "$dir/server.log" "claimcheck is ready"

for task in '{"task":"demo.echo","args":{"hello":"cloud"}}' '{"task":"demo.flaky","args":{"failures":2}}'; do
	echo
	echo "enqueue $task"
	id=$(curl -fsS -X POST "http://$listen/tasks/enqueue/" -H "Authorization: Bearer $TASK_API_TOKEN" -d "$task" |
		sed 's/.*"id":"\([^"]*\)".*/\1/')
	for _ in $(seq 200); do
		result=$(curl -fsS "http://$listen/tasks/result/$id/" -H "Authorization: Bearer $TASK_API_TOKEN")
		case $result in *SUCCESSFUL* | *FAILED*) break ;; esac
		sleep 0.1
	done
	echo "$result"
	case $result in *SUCCESSFUL*) ;; *) exit 1 ;; esac
done

echo
echo "a delivery without a token: $(curl -sS -X POST "http://$listen/tasks/execute/$id/")"
echo
echo "the server's log:"
cat "$dir/server.log"
