#!/usr/bin/env bash
# Creates the alerting policies and the dashboard of deploy/telemetry in a Google
# Cloud project. It can be run again at any time and does not change what exists: to
# update a policy, delete it first. It works before the server has written its first metric.
#
#   deploy/alerts.sh --project my-project --dry-run
#
# --help lists the options.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/lib/gcloud.sh
. "$here/lib/gcloud.sh"

usage() {
	cat <<'TEXT'
usage: deploy/alerts.sh --project PROJECT [options]

  --channel CHANNEL  notification channel of the policies, as
                     "gcloud beta monitoring channels list" shows its name:
                     projects/PROJECT/notificationChannels/NUMBER; may be repeated
  --dry-run          print every command for an empty project, and run none

Without a channel the policies open incidents and notify no one.
TEXT
}

project='' dry_run='' channels=()
while [ $# -gt 0 ]; do
	case $1 in
	--dry-run) dry_run=yes ;;
	--help | -h)
		usage
		exit 0
		;;
	--project | --channel)
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in
		--project) project=$2 ;;
		--channel) channels+=("$2") ;;
		esac
		shift
		;;
	*) die "unknown option $1 (--help lists them)" ;;
	esac
	shift
done
check --project "$project" '[a-z][a-z0-9-]{4,28}[a-z0-9]' "a project ID such as my-project"
for channel in "${channels[@]}"; do
	check --channel "$channel" 'projects/[a-z0-9-]+/notificationChannels/[0-9]+' "a channel such as projects/my-project/notificationChannels/123"
done
[ -n "$dry_run" ] || command -v gcloud >/dev/null || die "gcloud is not installed: https://cloud.google.com/sdk/docs/install"

in=(--project="$project")
changes=0
notify=()
[ ${#channels[@]} -eq 0 ] || notify=(--notification-channels="$(IFS=, && echo "${channels[*]}")")

# The commands for policies exist in the alpha release track only.
policies=''
[ -n "$dry_run" ] || policies=$(ask alpha monitoring policies list "${in[@]}" --format='value(displayName)') || exit 1
for file in "$here"/telemetry/alerts/*.json; do
	name=$(sed -nE 's/^  "displayName": "([^"]+)".*/\1/p' "$file")
	grep -Fxq -- "$name" <<<"$policies" || change alpha monitoring policies create "${in[@]}" --policy-from-file="$file" "${notify[@]}"
done

file=$here/telemetry/dashboard.json
name=$(sed -nE 's/^  "displayName": "([^"]+)".*/\1/p' "$file")
if lacks "$name" monitoring dashboards list "${in[@]}" --format='value(displayName)'; then
	change monitoring dashboards create "${in[@]}" --config-from-file="$file"
fi

if [ -n "$dry_run" ]; then
	echo "# nothing was run"
elif [ "$changes" -eq 0 ]; then
	echo "everything exists already; nothing was changed"
else
	echo "done: $changes changes"
fi
