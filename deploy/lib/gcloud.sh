# shellcheck shell=bash
# shellcheck disable=SC2154 # dry_run, in and project belong to the script
# How deploy/setup.sh and deploy/alerts.sh call gcloud: a resource that exists is
# not created again, every change is printed before it is made, and the first
# command that fails ends the script. With $dry_run gcloud is never called.

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# check OPTION VALUE PATTERN DESCRIPTION ends the script unless the whole value matches.
check() {
	[[ $2 =~ ^($3)$ ]] || die "$1 must be $4, not '$2'"
}

# Commands are printed to the script's own output, also from within $(…).
exec 3>&1

# show prints a command in a form that can be pasted.
show() {
	local word line=
	for word in "$@"; do
		if [[ ! $word =~ ^[A-Za-z0-9_./:=@,%+-]+$ ]]; then word="'${word//\'/\'\\\'\'}'"; fi
		line+="$word "
	done
	printf '%s\n' "${line% }"
}

# change runs a gcloud command that changes something.
change() {
	show gcloud "$@" >&3
	[ -z "$dry_run" ] || return 0
	gcloud "$@" --quiet >/dev/null ||
		die "this command failed: $(show gcloud "$@"). Fix what gcloud reports above and run the script again: it continues where it stopped"
	changes=$((changes + 1))
}

# ask prints the output of a gcloud command that changes nothing. A failure is an
# error; it never counts as an empty answer.
ask() {
	gcloud "$@" --quiet || die "this command failed: $(show gcloud "$@"). Does this account have the roles to set the project up (roles/owner is enough)?"
}

# lacks NAME COMMAND… reports whether no line of a gcloud command's output equals
# NAME. In a dry run everything is lacking.
lacks() {
	local name=$1 lines
	shift
	[ -z "$dry_run" ] || return 0
	lines=$(ask "$@") || exit 1
	! grep -Fxq -- "$name" <<<"$lines"
}

# bind ROLE ACCOUNT GROUP… -- RESOURCE FLAGS… grants a role on one resource to a
# service account, unless it has it without a condition. The policy is filtered
# here: `gcloud storage buckets get-iam-policy` has no --filter.
bind() {
	local role=$1 member=serviceAccount:$2 group=()
	shift 2
	while [ "$1" != -- ]; do
		group+=("$1")
		shift
	done
	shift
	if lacks "$role $member " "${group[@]}" get-iam-policy "$@" --flatten='bindings[].members' \
		--format='value[separator=" "](bindings.role,bindings.members,bindings.condition.expression)'; then
		# Where a policy has conditions, gcloud requires an answer to whether this
		# binding has one.
		if [ "${group[0]}" = projects ]; then set -- "$@" --condition=None; fi
		change "${group[@]}" add-iam-policy-binding "$@" --member="$member" --role="$role"
	fi
}

# random prints a secret of 48 characters.
random() { od -An -vtx1 -N24 /dev/urandom | tr -d ' \n'; }

# secret NAME FUNCTION stores the value that a function leaves in $value in Secret
# Manager, unless the secret has a version. The value goes through a pipe: other users
# of the machine can read arguments.
secret() {
	local name=$1 versions value=
	if lacks "$name" secrets list "${in[@]}" --format='value(name.basename())'; then
		change secrets create "$name" "${in[@]}" --replication-policy=automatic
	fi
	if [ -z "$dry_run" ]; then
		versions=$(ask secrets versions list "$name" "${in[@]}" --filter=state=ENABLED --limit=1 --format='value(name)') || exit 1
		[ -z "$versions" ] || return 0
	fi
	"$2"
	change secrets versions add "$name" "${in[@]}" --data-file=- < <(printf %s "$value")
}

# account NAME DESCRIPTION creates a service account.
account() {
	local email=$1@$project.iam.gserviceaccount.com
	if lacks "$email" iam service-accounts list "${in[@]}" --format='value(email)'; then
		change iam service-accounts create "$1" "${in[@]}" --display-name="$2"
		# A new account takes a while to be visible everywhere, and the next
		# commands grant roles to it.
		[ -n "$dry_run" ] || sleep "${SETUP_PAUSE:-10}"
	fi
}
