#!/usr/bin/env bash
# Pins the base images of the Dockerfile by digest: asks each image's registry for
# the digest of the tag and writes FROM IMAGE:TAG@DIGEST. Dependabot
# (.github/dependabot.yml) updates digests from then on.
set -euo pipefail
file=${1:-$(cd "$(dirname "$0")/.." && pwd)/Dockerfile}

die() {
	echo "pin-images.sh: $*" >&2
	exit 1
}

# digest REGISTRY REPOSITORY TAG prints the digest of the image index.
digest() {
	local base=https://$1 token='' headers
	# Tests have a registry on loopback.
	case $1 in 127.0.0.1:*) base=http://$1 ;; esac
	if [ "$1" = registry-1.docker.io ]; then
		token=$(curl -fsS -m 60 "https://auth.docker.io/token?service=registry.docker.io&scope=repository:$2:pull" |
			sed -nE 's/.*"token": ?"([^"]+)".*/\1/p') || die "auth.docker.io gives no token for $2"
	fi
	headers=$(curl -fsSI -m 60 "$base/v2/$2/manifests/$3" ${token:+-H "Authorization: Bearer $token"} \
		-H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json') ||
		die "$1 does not have $2:$3"
	tr -d '\r' <<<"$headers" | sed -nE 's/^docker-content-digest: (sha256:[0-9a-f]{64})$/\1/Ip' | head -n 1
}

pinned=$(cat "$file")
images=$(sed -nE 's/^FROM ([^ ]+).*/\1/p' "$file")
[ -n "$images" ] || die "$file has no FROM"
while read -r image; do
	name=${image%%@*}
	registry=registry-1.docker.io repository=${name%:*} tag=${name##*:}
	[ "$repository" != "$name" ] || die "$image has no tag"
	if [[ ${name%%/*} == *[.:]* ]]; then
		registry=${name%%/*} repository=${repository#*/}
	elif [[ $name != */* ]]; then
		repository=library/$repository
	fi
	found=$(digest "$registry" "$repository" "$tag")
	[ -n "$found" ] || die "$registry gives no digest of $repository:$tag"
	echo "$name@$found"
	pinned=${pinned//"FROM $image"/"FROM $name@$found"}
done <<<"$images"
printf '%s\n' "$pinned" >"$file"
