#!/usr/bin/env bash
# Runs the two commands of the README, go run ./cmd/server with a first task and
# make test, on a bare Debian: debootstrap's minbase with ca-certificates, git, make
# and this machine's Go, and nothing else. It tests the last commit, not the work
# tree. Needs root (for chroot) and about 8 GB of disk; takes a quarter of an hour
# or more on two cores.
#
#   tools/fresh.sh [COMMAND…]      COMMAND replaces make test
#
# FRESH_SUITE chooses the release (bookworm), FRESH_DIR keeps the system in that
# directory and uses it again.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
suite=${FRESH_SUITE:-bookworm}

die() {
	echo "fresh: $*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || die "needs root, for chroot: run sudo $0"
goroot=$(go env GOROOT) || die "go is not in PATH"
if ! command -v debootstrap >/dev/null; then
	command -v apt-get >/dev/null || die "install debootstrap"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi

if [ -n "${FRESH_DIR:-}" ]; then
	root=$FRESH_DIR
	mkdir -p "$root"
else
	root=$(mktemp -d)
	trap 'rm -rf --one-file-system "$root"' EXIT
fi

if [ ! -e "$root/.complete" ]; then
	echo "fresh: making a bare Debian $suite"
	debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$root" >"$root.log" 2>&1 ||
		{ tail -n 20 "$root.log" >&2; die "debootstrap failed: $root.log"; }
	rm -f "$root.log"
	# The machine's own certificate authorities, for a network that has one.
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
	mkdir -p "$root/usr/local"
	cp -a "$goroot" "$root/usr/local/go"
	touch "$root/.complete"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
rm -rf "$root/root/claimcheck"
git clone -q --no-hardlinks "$top" "$root/root/claimcheck"

cat >"$root/root/inside.sh" <<'INSIDE'
set -euo pipefail
cd /root/claimcheck
echo "fresh: go run ./cmd/server, and a first task"
go run ./cmd/server >/root/server.log 2>&1 &
server=$!
for _ in $(seq 600); do
	grep -q 'claimcheck is ready' /root/server.log && break
	kill -0 "$server" 2>/dev/null || break
	sleep 0.5
done
grep -q 'claimcheck is ready' /root/server.log || { cat /root/server.log >&2; exit 1; }
go run ./cmd/server enqueue demo.echo '{"hello":"world"}' --wait | tee /root/result
grep -q hello /root/result
kill "$server"
wait "$server" || true
echo "fresh: $*"
"$@"
INSIDE

[ $# -gt 0 ] || set -- make test
# A process namespace, so that nothing survives; a mount namespace, so that
# nothing stays mounted.
# shellcheck disable=SC2016 # expanded by the inner shell
unshare --mount --pid --fork --kill-child bash -euo pipefail -c '
	root=$1
	shift
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	mount -t tmpfs shm "$root/dev/shm"
	mount -t tmpfs tmp "$root/tmp"
	exec chroot "$root" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 CI="${CI:-}" \
		GOPROXY="${GOPROXY:-https://proxy.golang.org,direct}" PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		bash /root/inside.sh "$@"
' bash "$root" "$@"
echo "fresh: passed"
