#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, from Debian's packages
# when that is possible; otherwise says exactly what to install.
set -euo pipefail

missing=()

# The race detector needs a C compiler.
command -v gcc >/dev/null || command -v clang >/dev/null || missing+=(gcc libc6-dev)

# PostgreSQL's server programs are outside PATH on Debian. Tests start a private
# server from them, unless CLAIMCHECK_TEST_POSTGRES names one to use.
has_postgres() {
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}
[ -n "${CLAIMCHECK_TEST_POSTGRES:-}" ] || has_postgres || missing+=(postgresql)

[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then
	sudo=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	sudo=(sudo -n)
else
	sudo=(false)
fi
if command -v apt-get >/dev/null && [ "${sudo[0]:-}" != false ]; then
	echo "installing ${missing[*]} with apt-get"
	export DEBIAN_FRONTEND=noninteractive
	"${sudo[@]}" apt-get update -qq
	# Debian would start a system-wide PostgreSQL; the tests start their own.
	"${sudo[@]}" mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] ||
		echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
	"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
	echo "the tests need: ${missing[*]}" >&2
	echo "install them (Debian: apt-get install ${missing[*]}), or name a PostgreSQL superuser URL in CLAIMCHECK_TEST_POSTGRES" >&2
	exit 1
fi
