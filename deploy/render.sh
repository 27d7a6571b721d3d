#!/usr/bin/env bash
# Prints a manifest with its placeholders filled in:
#
#   deploy/render.sh service.yaml SERVICE=claimcheck IMAGE=… > filled-in.yaml
#
# A placeholder that is left over, and a value that the file has no place for, are
# errors: a manifest is never printed in part.
set -euo pipefail

die() {
	echo "render.sh: $*" >&2
	exit 1
}

# fill TEXT PLACEHOLDER VALUE replaces a placeholder everywhere.
fill() {
	local rest=$1 done=
	while [[ $rest == *"$2"* ]]; do
		done+=${rest%%"$2"*}$3
		rest=${rest#*"$2"}
	done
	printf '%s' "$done$rest"
}

[ $# -ge 1 ] || die "usage: deploy/render.sh FILE NAME=VALUE…"
[ -r "$1" ] || die "$1 cannot be read"
text=$(cat "$1")
file=$1
shift
# Comments may speak of placeholders.
# shellcheck disable=SC2001 # a line at a time
code=$(sed 's/^[[:space:]]*#.*//' <<<"$text")
for pair in "$@"; do
	name=${pair%%=*} value=${pair#*=}
	[[ $pair =~ ^[A-Z][A-Z_]*= ]] || die "$pair is not NAME=VALUE"
	case $value in
	*[$'\n\r\'"\\']*) die "the value of $name must not have quotes, backslashes or line breaks" ;;
	*"\${"*) die "the value of $name must not have a placeholder" ;;
	esac
	[[ $code == *"\${$name}"* ]] || die "$file has no place for $name"
	text=$(fill "$text" "\${$name}" "$value")
	code=$(fill "$code" "\${$name}" "$value")
done
left=$(grep -oE '\$\{[A-Z][A-Z_]*\}' <<<"$code" | sort -u | tr '\n' ' ' || true)
[ -z "$left" ] || die "$file still needs: ${left% }"
printf '%s\n' "$text"
