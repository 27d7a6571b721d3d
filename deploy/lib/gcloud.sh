# shellcheck shell=bash
# shellcheck disable=SC2154 # dry_run, in and project are the script's
# What deploy/setup.sh says to gcloud, and how: nothing is made that is there
# already, every change is shown before it is made, and the first refusal ends
# the script. With $dry_run nothing is called at all.

die() {
	echo "setup.sh: $*" >&2
	exit 1
}

# What is shown goes to where the script's output goes, also from within $(…).
exec 3>&1

# show prints a command as it would be typed.
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
		die "this was refused: $(show gcloud "$@"). Mend what gcloud says above and run the script again: it goes on where it stopped"
	changes=$((changes + 1))
}

# ask prints what a gcloud command that changes nothing answers. A refusal is an
# error, and not taken for "there is none".
ask() {
	gcloud "$@" --quiet || die "this was refused: $(show gcloud "$@"). Does this account have the roles to set the project up (roles/owner will do)?"
}

# lacks NAME COMMAND… says whether NAME is not among the lines that a gcloud
# command answers. In a dry run everything lacks.
lacks() {
	local name=$1 lines
	shift
	[ -z "$dry_run" ] || return 0
	lines=$(ask "$@") || exit 1
	! grep -Fxq -- "$name" <<<"$lines"
}

# bind ROLE ACCOUNT GROUP… -- RESOURCE FLAGS… gives a service account a role on
# one resource, unless it has it.
bind() {
	local role=$1 member=serviceAccount:$2 group=()
	shift 2
	while [ "$1" != -- ]; do
		group+=("$1")
		shift
	done
	shift
	if lacks "$role" "${group[@]}" get-iam-policy "$@" --flatten='bindings[].members' \
		--filter="bindings.members=$member AND bindings.role=$role" --format='value(bindings.role)'; then
		# Policies with conditions ask for one otherwise.
		if [ "${group[0]}" = projects ]; then set -- "$@" --condition=None; fi
		change "${group[@]}" add-iam-policy-binding "$@" --member="$member" --role="$role"
	fi
}

# random prints a secret of 48 characters.
random() { od -An -vtx1 -N24 /dev/urandom | tr -d ' \n'; }

# secret NAME VALUE-COMMAND… puts what a command prints into Secret Manager,
# unless the secret has a version. It goes through a pipe: arguments can be seen
# by others.
secret() {
	local name=$1 versions value=
	shift
	if lacks "$name" secrets list "${in[@]}" --format='value(name.basename())'; then
		change secrets create "$name" "${in[@]}" --replication-policy=automatic
	fi
	if [ -z "$dry_run" ]; then
		versions=$(ask secrets versions list "$name" "${in[@]}" --filter=state=ENABLED --limit=1 --format='value(name)') || exit 1
		[ -z "$versions" ] || return 0
	fi
	value=$("$@") || exit 1
	change secrets versions add "$name" "${in[@]}" --data-file=- < <(printf %s "$value")
}

# account NAME DESCRIPTION makes a service account.
account() {
	local email=$1@$project.iam.gserviceaccount.com
	if lacks "$email" iam service-accounts list "${in[@]}" --format='value(email)'; then
		change iam service-accounts create "$1" "${in[@]}" --display-name="$2"
		# A new account is not known everywhere at once, and the next commands
		# give it roles.
		[ -n "$dry_run" ] || sleep "${SETUP_PAUSE:-10}"
	fi
}
