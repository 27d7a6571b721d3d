#!/usr/bin/env bash
# The steps of a release to Cloud Run, in the order in which cloudbuild.yaml takes
# them; each can be taken by hand too:
#
#   deploy/release.sh migrate     brings the schema up to date, as a Cloud Run job
#   deploy/release.sh candidate   makes the new revision, without traffic
#   deploy/release.sh smoke       asks it whether it works
#   deploy/release.sh traffic     gives it the traffic
#
# The environment says what and where: PROJECT_ID, PROJECT_NUMBER, REGION, SERVICE,
# IMAGE, QUEUES (comma-separated) and, unless the database is elsewhere,
# CLOUD_SQL_INSTANCE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

die() {
	echo "release.sh: $*" >&2
	exit 1
}

for name in PROJECT_ID PROJECT_NUMBER REGION SERVICE; do
	[ -n "${!name:-}" ] || die "$name is not set"
done
[[ $PROJECT_NUMBER =~ ^[0-9]+$ ]] || die "PROJECT_NUMBER must be the project's number, not $PROJECT_NUMBER"
runtime=$SERVICE-run@$PROJECT_ID.iam.gserviceaccount.com
invoker=$SERVICE-invoker@$PROJECT_ID.iam.gserviceaccount.com
host=$SERVICE-$PROJECT_NUMBER.$REGION.run.app
where=(--project="$PROJECT_ID" --region="$REGION" --quiet)

migrate() {
	: "${IMAGE:?IMAGE is not set}"
	gcloud run jobs deploy "$SERVICE-migrate" "${where[@]}" --image="$IMAGE" --args=migrate \
		--service-account="$runtime" --set-secrets="DATABASE_URL=$SERVICE-database-url:latest" \
		${CLOUD_SQL_INSTANCE:+--set-cloudsql-instances="$CLOUD_SQL_INSTANCE"} \
		--max-retries=0 --task-timeout=15m --execute-now --wait
}

# serving prints the revisions that have traffic, as "REVISION,PERCENT" lines;
# nothing when there is no such service yet.
serving() {
	local services traffic
	services=$(gcloud run services list "${where[@]}" --format='value(metadata.name)') || return
	grep -Fxq -- "$SERVICE" <<<"$services" || return 0
	traffic=$(gcloud run services describe "$SERVICE" "${where[@]}" --flatten='status.traffic[]' \
		--format='csv[no-heading](status.traffic.revisionName,status.traffic.percent)') || return
	grep -E ',[1-9][0-9]*$' <<<"$traffic" || true
}

# manifest prints service.yaml for this release. Its traffic stays with the
# revisions that have it; the new one is reached by the tag "candidate" only.
manifest() {
	local lines values without=cloudsql-instances
	lines=$(serving) || die "which revisions have the traffic could not be found out"
	values=(SERVICE="$SERVICE" IMAGE="${IMAGE:?IMAGE is not set}" QUEUES="${QUEUES:?QUEUES is not set}"
		RUNTIME_ACCOUNT="$runtime" INVOKER_ACCOUNT="$invoker" SERVICE_URL="https://$host")
	if [ -n "${CLOUD_SQL_INSTANCE:-}" ]; then
		values+=(CLOUD_SQL_INSTANCE="$CLOUD_SQL_INSTANCE")
		without='^$'
	fi
	"$here/render.sh" <(grep -v -- "$without" "$here/../service.yaml") "${values[@]}" | sed '/^  traffic:/,$d'
	echo '  traffic:'
	local revision percent
	while IFS=, read -r revision percent; do
		[ -n "$revision" ] || continue
		printf '    - revisionName: %s\n      percent: %s\n' "$revision" "$percent"
	done <<<"$lines"
	printf '    - latestRevision: true\n      percent: %s\n      tag: candidate\n' "$([ -n "$lines" ] && echo 0 || echo 100)"
}

candidate() {
	local file
	file=$(mktemp)
	# shellcheck disable=SC2064 # the name as it is now
	trap "rm -f '$file'" EXIT
	manifest >"$file"
	gcloud run services replace "$file" "${where[@]}"
}

smoke() {
	local token
	# The audience is the service's own URL: Cloud Run accepts no tag's.
	token=$(gcloud auth print-identity-token --impersonate-service-account="$invoker" \
		--audiences="https://$host" --include-email --quiet)
	TOKEN=$token "$here/smoke.sh" "${CANDIDATE_URL:-https://candidate---$host}"
}

traffic() {
	gcloud run services update-traffic "$SERVICE" "${where[@]}" --to-tags=candidate=100
}

case ${1:-} in
migrate | candidate | smoke | traffic) "$1" ;;
*) die "usage: deploy/release.sh migrate|candidate|smoke|traffic" ;;
esac
