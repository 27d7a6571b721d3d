#!/usr/bin/env bash
# Sets a Google Cloud project up for claimcheck: APIs, accounts and their roles,
# queues, database, secrets, scheduler. It can be run again at any time: it keeps
# what exists and creates what is missing. docs/teardown.md removes it all.
#
#   deploy/setup.sh --project my-project --region europe-west1 --dry-run
#
# --help lists the options. deploy/terraform does the same with Terraform.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/lib/gcloud.sh
. "$here/lib/gcloud.sh"

usage() {
	cat <<'TEXT'
usage: deploy/setup.sh --project PROJECT --region REGION [options]

  --platform cloud-run|app-engine  where the server runs; cloud-run unless given
  --service NAME             name of the service, and the prefix of all other names; claimcheck
  --queues NAME,NAME…        the queues of your tasks; default. The Cloud Tasks queue for "default" is
                             named like the service, the others are named like the queue
  --shards NAME=N,NAME=N…    N more Cloud Tasks queues, 2 to 200, for each of these queues
  --database-url-file FILE   a file that holds the URL of an existing database; without it the script
                             creates a Cloud SQL instance, which takes minutes and costs money
  --sql-tier TIER            machine type of that instance; db-custom-1-3840
  --purge-days DAYS          after how many days finished tasks are deleted; 30
  --no-doctor                do not grant the role to read the queues' settings, which only
                             "server doctor" needs; a role that was granted stays
  --dry-run                  print every command for an empty project, and run none
TEXT
}

project='' region='' platform=cloud-run service=claimcheck queues=default shards='' doctor=yes url_file='' tier=db-custom-1-3840 purge_days='' dry_run=''
while [ $# -gt 0 ]; do
	case $1 in
	--dry-run) dry_run=yes ;;
	--no-doctor) doctor='' ;;
	--help | -h)
		usage
		exit 0
		;;
	--project | --region | --platform | --service | --queues | --shards | --database-url-file | --sql-tier | --purge-days)
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in
		--project) project=$2 ;;
		--region) region=$2 ;;
		--platform) platform=$2 ;;
		--service) service=$2 ;;
		--queues) queues=$2 ;;
		--shards) shards=$2 ;;
		--database-url-file) url_file=$2 ;;
		--sql-tier) tier=$2 ;;
		--purge-days) purge_days=$2 ;;
		esac
		shift
		;;
	*) die "unknown option $1 (--help lists them)" ;;
	esac
	shift
done

# All options are checked before the first command, by Google Cloud's own rules.
check --project "$project" '[a-z][a-z0-9-]{4,28}[a-z0-9]' "a project ID such as my-project"
check --region "$region" '[a-z]+-[a-z]+[0-9]+' "a region such as europe-west1"
check --platform "$platform" 'cloud-run|app-engine' "cloud-run or app-engine"
check --service "$service" '[a-z][a-z0-9-]{0,20}[a-z0-9]' "2 to 22 lower-case letters, digits and hyphens, a letter first"
check --queues "$queues" '[A-Za-z0-9-]{1,100}(,[A-Za-z0-9-]{1,100})*' "queue names of letters, digits and hyphens with commas between"
check --shards "$shards" '|[A-Za-z0-9-]{1,96}=[0-9]+(,[A-Za-z0-9-]{1,96}=[0-9]+)*' "names of queues with numbers, such as emails=4,reports=2"
check --sql-tier "$tier" '[a-z0-9-]+' "a machine such as db-custom-1-3840"
check --purge-days "$purge_days" '[0-9]{0,5}' "a number of days"

# cloud_queue prints the Cloud Tasks queue of a task queue. The name "default"
# belongs to App Engine, so that "default" gets the name of the service.
cloud_queue() {
	if [ "$1" = default ]; then echo "$service"; else echo "$1"; fi
}

# A queue that is sharded keeps its first Cloud Tasks queue, which still delivers
# the tasks that it holds.
IFS=, read -r -a task_queues <<<"$queues"
queue_names=() aliases=''
for name in "${task_queues[@]}"; do
	queue_names+=("$(cloud_queue "$name")")
	[[ $name != default || ,$shards, = *,default=* ]] || aliases=default=$service
done
if [ -n "$shards" ]; then
	IFS=, read -r -a spread <<<"$shards"
	for each in "${spread[@]}"; do
		name=${each%=*} n=${each#*=}
		[[ ,$queues, = *,"$name",* ]] || die "--shards: $name is not one of --queues"
		[[ $n =~ ^[1-9][0-9]{0,2}$ && $n -ge 2 && $n -le 200 ]] || die "--shards: $name must have 2 to 200 shards, not $n"
		for ((i = 0; i < n; i++)); do
			queue_names+=("$(cloud_queue "$name")-$i")
			aliases+=${aliases:+,}$name=$(cloud_queue "$name")-$i
		done
	done
fi
double=$(printf '%s\n' "${queue_names[@]}" | sort | uniq -d | head -n 1)
[ -z "$double" ] || die "--queues and --shards: the Cloud Tasks queue $double would be used twice"
if [ -n "$url_file" ]; then
	[ -s "$url_file" ] || die "--database-url-file: $url_file cannot be read, or is empty"
	[ "$platform" = cloud-run ] || die "--database-url-file is for Cloud Run: App Engine has no secrets; set DATABASE_URL in app.yaml"
fi
[ -z "$purge_days" ] || [ "$platform" = cloud-run ] || die "--purge-days is for Cloud Run: on App Engine cron.yaml says how many days"
[ -n "$dry_run" ] || command -v gcloud >/dev/null || die "gcloud is not installed: https://cloud.google.com/sdk/docs/install"

in=(--project="$project")
changes=0
runtime=$service-run@$project.iam.gserviceaccount.com
invoker=$service-invoker@$project.iam.gserviceaccount.com
builder=$service-build@$project.iam.gserviceaccount.com
sql=$service-db
bucket=gs://$project-$service-build
number=PROJECT_NUMBER
[ -n "$dry_run" ] || number=$(ask projects describe "$project" --format='value(projectNumber)') || exit 1
url=https://$service-$number.$region.run.app

apis() {
	local api enabled='' missing=()
	[ -n "$dry_run" ] || enabled=$(ask services list --enabled "${in[@]}" --format='value(config.name)') || exit 1
	for api in "$@"; do
		grep -Fxq -- "$api.googleapis.com" <<<"$enabled" || missing+=("$api.googleapis.com")
	done
	[ ${#missing[@]} -eq 0 ] || change services enable "${missing[@]}" "${in[@]}"
}

accounts() {
	account "$service-run" "claimcheck: the server"
	account "$service-invoker" "claimcheck: calls the server, for Cloud Tasks and Cloud Scheduler"
	# Cloud Tasks signs the server's tasks as the invoker.
	bind roles/iam.serviceAccountUser "$runtime" iam service-accounts -- "$invoker" "${in[@]}"
}

# The row counts the attempts, so the queue must never drop a task; the server
# relies on a backoff of at most 300 s. The rates of an existing queue stay.
retry=(--max-attempts=-1 --max-retry-duration=0s --min-backoff=5s --max-backoff=300s --max-doublings=6)
rates=(--max-dispatches-per-second=500 --max-concurrent-dispatches=500)
retry_fields='value[separator=","](retryConfig.maxAttempts,retryConfig.minBackoff,retryConfig.maxBackoff,retryConfig.maxDoublings,retryConfig.maxRetryDuration)'

make_queues() {
	local queue at settings
	for queue in "${queue_names[@]}"; do
		at=("$queue" "${in[@]}" --location="$region")
		if lacks "$queue" tasks queues list "${in[@]}" --location="$region" --format='value(name.basename())'; then
			change tasks queues create "${at[@]}" "${retry[@]}" "${rates[@]}"
		else
			settings=$(ask tasks queues describe "${at[@]}" --format="$retry_fields") || exit 1
			case $settings in
			-1,5s,300s,6, | -1,5s,300s,6,0s) ;; # gcloud does not show an unlimited duration
			*) change tasks queues update "${at[@]}" "${retry[@]}" ;;
			esac
		fi
		bind roles/cloudtasks.enqueuer "$runtime" tasks queues -- "${at[@]}"
		[ -z "$doctor" ] || bind roles/cloudtasks.viewer "$runtime" tasks queues -- "${at[@]}"
	done
}

make_database() {
	local at=("${in[@]}" --instance="$sql")
	if lacks "$sql" sql instances list "${in[@]}" --format='value(name)'; then
		change sql instances create "$sql" "${in[@]}" --region="$region" --edition=enterprise --database-version=POSTGRES_16 \
			--tier="$tier" --storage-auto-increase --backup --enable-point-in-time-recovery \
			--database-flags=max_connections=100,cloudsql.iam_authentication=on --deletion-protection
	fi
	if lacks claimcheck sql databases list "${at[@]}" --format='value(name)'; then
		change sql databases create claimcheck "${at[@]}"
	fi
	bind roles/cloudsql.client "$runtime" projects -- "$project"
	if [ "$platform" = app-engine ]; then
		bind roles/cloudsql.instanceUser "$runtime" projects -- "$project"
		if lacks "${runtime%.gserviceaccount.com}" sql users list "${at[@]}" --format='value(name)'; then
			change sql users create "${runtime%.gserviceaccount.com}" "${at[@]}" --type=cloud_iam_service_account
		fi
	fi
}

# database_url creates the database's user and leaves the URL with its password in
# $value; only the secret stores it. It runs only while the secret has no version.
database_url() {
	local at=("${in[@]}" --instance="$sql") password=
	if [ -n "$url_file" ]; then
		value=$(tr -d ' \r\n' <"$url_file")
		return
	fi
	password=$(random)
	if lacks claimcheck sql users list "${at[@]}" --format='value(name)'; then
		change sql users create claimcheck "${at[@]}" --flags-file=<(printf -- '--password: %s\n' "$password")
	else
		change sql users set-password claimcheck "${at[@]}" --flags-file=<(printf -- '--password: %s\n' "$password")
	fi
	value="postgres://claimcheck:$password@/claimcheck?host=/cloudsql/$project:$region:$sql"
}

admin_token() {
	value=$(random)
}

make_secrets() {
	secret "$service-database-url" database_url
	secret "$service-admin-token" admin_token
	local name
	for name in "$service-database-url" "$service-admin-token"; do
		bind roles/secretmanager.secretAccessor "$runtime" secrets -- "$name" "${in[@]}"
	done
}

# The service is created once with Google's sample image and the account with the
# fewest roles, because roles need a service to be granted on. The first release
# replaces all of it.
make_service() {
	local at=("$service" "${in[@]}" --region="$region")
	if lacks "$service" run services list "${in[@]}" --region="$region" --format='value(metadata.name)'; then
		change run deploy "${at[@]}" --image=us-docker.pkg.dev/cloudrun/container/hello --no-allow-unauthenticated \
			--service-account="$invoker" --max-instances=1
	fi
	bind roles/run.invoker "$invoker" run services -- "${at[@]}"
}

make_jobs() {
	job "$service-sweep" '* * * * *' /tasks/sweep/ '{}'
	job "$service-tick" '* * * * *' /tasks/tick/ '{"ahead":"60s"}'
	job "$service-purge" '17 3 * * *' /tasks/purge/ "{\"days\":${purge_days:-30}}"
	[ -z "$purge_days" ] || keep_for "$service-purge" "{\"days\":$purge_days}"
}

# keep_for sets the body of a job that existed before.
keep_for() {
	[ -z "$dry_run" ] || return 0
	local body at=("${in[@]}" --location="$region")
	body=$(ask scheduler jobs describe "$1" "${at[@]}" --format='value(httpTarget.body)') || exit 1
	[ "$(base64 -d <<<"$body")" = "$2" ] || change scheduler jobs update http "$1" "${at[@]}" --message-body="$2"
}

job() {
	lacks "$1" scheduler jobs list "${in[@]}" --location="$region" --format='value(name.basename())' || return 0
	change scheduler jobs create http "$1" "${in[@]}" --location="$region" --schedule="$2" --time-zone=Etc/UTC \
		--uri="$url$3" --http-method=POST --headers=Content-Type=application/json --message-body="$4" \
		--oidc-service-account-email="$invoker" --oidc-token-audience="$url" --attempt-deadline=600s
}

make_build() {
	account "$service-build" "claimcheck: builds and releases the server"
	local repository=("$service" "${in[@]}" --location="$region")
	if lacks "$service" artifacts repositories list "${in[@]}" --location="$region" --format='value(name.basename())'; then
		change artifacts repositories create "${repository[@]}" --repository-format=docker
	fi
	if lacks "${bucket#gs://}" storage buckets list "${in[@]}" --format='value(name)'; then
		change storage buckets create "$bucket" "${in[@]}" --location="$region" --uniform-bucket-level-access --public-access-prevention
	fi
	bind roles/artifactregistry.writer "$builder" artifacts repositories -- "${repository[@]}"
	bind roles/storage.objectViewer "$builder" storage buckets -- "$bucket"
	bind roles/logging.logWriter "$builder" projects -- "$project"
	bind roles/run.developer "$builder" projects -- "$project"
	# It deploys revisions that run as the server, and calls them as the invoker.
	bind roles/iam.serviceAccountUser "$builder" iam service-accounts -- "$runtime" "${in[@]}"
	bind roles/iam.serviceAccountOpenIdTokenCreator "$builder" iam service-accounts -- "$invoker" "${in[@]}"
}

if [ "$platform" = cloud-run ]; then
	apis iam iamcredentials cloudtasks cloudscheduler secretmanager run artifactregistry cloudbuild sqladmin sql-component
	accounts
	make_queues
	[ -n "$url_file" ] || make_database
	make_secrets
	make_service
	make_jobs
	make_build
else
	apis iam iamcredentials cloudtasks sqladmin sql-component appengine cloudbuild
	accounts
	make_queues
	make_database
fi
echo "# the server's settings: TASKS_QUEUES=$queues${aliases:+ TASKS_QUEUE_ALIASES=$aliases}"
if [ -n "$dry_run" ]; then
	echo "# nothing was run"
elif [ "$changes" -eq 0 ]; then
	echo "everything exists already; nothing was changed"
else
	echo "done: $changes changes"
fi
