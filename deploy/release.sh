#!/usr/bin/env bash
# The steps of a release to Cloud Run, in the order of cloudbuild.yaml; each can
# also be run by hand:
#
#   deploy/release.sh migrate     brings the schema up to date, with a Cloud Run job
#   deploy/release.sh candidate   creates the new revision, without traffic
#   deploy/release.sh smoke       checks that it works
#   deploy/release.sh traffic     gives it the traffic
#
# The environment gives PROJECT_ID, PROJECT_NUMBER, REGION, SERVICE, IMAGE, QUEUES
# (comma-separated); QUEUE_ALIASES, which is default=SERVICE unless set; and, unless
# the database is elsewhere, CLOUD_SQL_INSTANCE.
#
# The first release applies service.yaml. Later ones change the image only, so that
# traffic tags stay, and settings made with `gcloud run services update`, too;
# MANIFEST=apply applies service.yaml again.
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
case ${MANIFEST:=keep} in
keep | apply) ;;
*) die "MANIFEST must be keep or apply, not $MANIFEST" ;;
esac
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

exists() {
	local services
	services=$(gcloud run services list "${where[@]}" --format='value(metadata.name)') || die "the services could not be listed"
	grep -Fxq -- "$SERVICE" <<<"$services"
}

# live prints a field of the service.
live() {
	gcloud run services describe "$SERVICE" "${where[@]}" --format="value($1)" || die "$1 of the service could not be read"
}

# traffic_lines prints the service's traffic as "REVISION,PERCENT,TAG" lines.
traffic_lines() {
	gcloud run services describe "$SERVICE" "${where[@]}" --flatten='status.traffic[]' \
		--format='csv[no-heading](status.traffic.revisionName,status.traffic.percent,status.traffic.tag)' ||
		die "the service's traffic could not be read"
}

# rendered prints service.yaml for this release, up to its traffic.
rendered() {
	local values without=cloudsql-instances
	values=(SERVICE="$SERVICE" IMAGE="$1" QUEUES="${QUEUES:?QUEUES is not set}" MANIFEST_HASH="$2"
		QUEUE_ALIASES="${QUEUE_ALIASES:-default=$SERVICE}"
		RUNTIME_ACCOUNT="$runtime" INVOKER_ACCOUNT="$invoker" SERVICE_URL="https://$host")
	if [ -n "${CLOUD_SQL_INSTANCE:-}" ]; then
		values+=(CLOUD_SQL_INSTANCE="$CLOUD_SQL_INSTANCE")
		without='^$'
	fi
	"$here/render.sh" <(grep -v -- "$without" "$here/../service.yaml") "${values[@]}" | sed '/^  traffic:/,$d'
}

# manifest TRAFFIC HASH prints service.yaml with the traffic that the revisions have
# and every tag where it is; "candidate" moves to the new revision.
manifest() {
	local revision percent tag
	rendered "$IMAGE" "$2"
	echo '  traffic:'
	while IFS=, read -r revision percent tag; do
		[ "$tag" != candidate ] || tag=
		if [ -z "$revision" ] || [ "${percent:-0}$tag" = 0 ]; then continue; fi
		printf '    - revisionName: %s\n      percent: %s\n' "$revision" "${percent:-0}"
		[ -z "$tag" ] || printf '      tag: %s\n' "$tag"
	done <<<"$1"
	printf '    - latestRevision: true\n      percent: %s\n      tag: candidate\n' "$([ -n "$1" ] && echo 0 || echo 100)"
}

# replace applies service.yaml.
replace() {
	local file
	file=$(mktemp)
	# shellcheck disable=SC2064 # the name as it is now
	trap "rm -f '$file'" EXIT
	manifest "$@" >"$file"
	gcloud run services replace "$file" "${where[@]}"
}

candidate() {
	local hash applied=
	: "${IMAGE:?IMAGE is not set}"
	hash=$(rendered IMAGE HASH | sha256sum | cut -c 1-16)
	if ! exists; then
		replace '' "$hash"
		return
	fi
	applied=$(live metadata.labels.claimcheck-manifest) || exit 1
	if [ -z "$applied" ] || [ "$MANIFEST" = apply ]; then
		local lines
		lines=$(traffic_lines) || exit 1
		replace "$lines" "$hash"
		return
	fi
	[ "$applied" = "$hash" ] || cat <<-TEXT
		service.yaml, or a value in it, has changed since it was last applied to the service. This release changes the
		image only. MANIFEST=apply (in Cloud Build: _MANIFEST=apply) applies service.yaml; it keeps the traffic and the
		tags, and drops other settings that service.yaml does not have.
	TEXT
	gcloud run services update "$SERVICE" "${where[@]}" --image="$IMAGE" --no-traffic --tag=candidate
}

smoke() {
	local token
	# The audience is the URL of the service: Cloud Run accepts no tag's URL.
	token=$("$here/token.sh" "$invoker" "https://$host")
	TOKEN=$token "$here/smoke.sh" "${CANDIDATE_URL:-https://candidate---$host}"
}

# traffic sends everything to the candidate. As long as that is the latest revision,
# the traffic follows the latest one, so that `gcloud run services update` takes
# effect at once.
traffic() {
	local latest lines
	latest=$(live status.latestCreatedRevisionName) || exit 1
	lines=$(traffic_lines) || exit 1
	if grep -Eq "^$latest,[0-9]*,candidate\$" <<<"$lines"; then
		gcloud run services update-traffic "$SERVICE" "${where[@]}" --to-latest
	else
		echo "$latest is newer than the candidate: the traffic is pinned to the candidate"
		gcloud run services update-traffic "$SERVICE" "${where[@]}" --to-tags=candidate=100
	fi
}

case ${1:-} in
migrate | candidate | smoke | traffic) "$1" ;;
*) die "usage: deploy/release.sh migrate|candidate|smoke|traffic" ;;
esac
