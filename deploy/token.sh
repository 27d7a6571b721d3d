#!/usr/bin/env bash
# Prints an OIDC token of a service account, as the account that gcloud is logged
# in with:
#
#   TOKEN=$(deploy/token.sh claimcheck-invoker@my-project.iam.gserviceaccount.com https://claimcheck-123.europe-west1.run.app)
#
# The caller needs roles/iam.serviceAccountOpenIdTokenCreator on the service
# account. `gcloud auth print-identity-token --impersonate-service-account` needs
# more: it asks for an access token of the account first.
set -euo pipefail

die() {
	echo "token.sh: $*" >&2
	exit 1
}

[ $# = 2 ] || die "usage: deploy/token.sh SERVICE-ACCOUNT AUDIENCE"
[[ $1 =~ ^[a-z0-9.-]+@[a-z0-9.-]+$ ]] || die "the service account must be an e-mail address, not '$1'"
[[ $2 =~ ^https?://[A-Za-z0-9.:/_-]+$ ]] || die "the audience must be a URL, not '$2'"
url=${IAMCREDENTIALS_URL:-https://iamcredentials.googleapis.com}/v1/projects/-/serviceAccounts/$1:generateIdToken

own=$(gcloud auth print-access-token --quiet) || die "gcloud has no access token; run: gcloud auth login"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
# The token goes through a file descriptor: other users of the machine can read
# arguments.
status=$(curl -sS -m 60 -o "$answer" -w '%{http_code}' -X POST "$url" \
	-K <(printf 'header = "Authorization: Bearer %s"\n' "$own") \
	-H 'Content-Type: application/json' -d "{\"audience\":\"$2\",\"includeEmail\":true}") || die "$url does not answer"
case $status in
200) ;;
403) die "the IAM Credentials API refuses a token of $1: the account that gcloud is logged in with needs roles/iam.serviceAccountOpenIdTokenCreator on it (a grant takes a minute), and the API must be enabled: $(head -c 1000 "$answer")" ;;
404) die "there is no service account $1: $(head -c 1000 "$answer")" ;;
*) die "the IAM Credentials API answers $status: $(head -c 1000 "$answer")" ;;
esac
token=$(sed -nE 's/.*"token": ?"([^"]+)".*/\1/p' "$answer")
[ -n "$token" ] || die "the answer of the IAM Credentials API has no token"
printf '%s\n' "$token"
