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

# A transaction pooler, which is often used in front of PostgreSQL.
{ command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; } || missing+=(pgbouncer)

# MariaDB likewise. Some tests stop and crash a server, so that these programs
# are needed even if CLAIMCHECK_TEST_MYSQL names one.
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
{ has mariadbd && has mariadb-install-db; } || missing+=(mariadb-server)

# The admin's pages are tested in a real browser.
has_browser() {
	local name
	for name in chromium chromium-browser google-chrome google-chrome-stable; do
		! command -v "$name" >/dev/null || return 0
	done
	return 1
}
has_browser || missing+=(chromium)

# The scripts for Google Cloud are checked, and run: they call curl.
command -v shellcheck >/dev/null || missing+=(shellcheck)
command -v curl >/dev/null || missing+=(curl)

# Completion scripts are tried in the shells that they are for.
command -v zsh >/dev/null || missing+=(zsh)
command -v fish >/dev/null || missing+=(fish)

# The clients of docs/http.md, which use the standard libraries only: no npm, no pip.
python3 -c 'import json, ssl, urllib.request' 2>/dev/null || missing+=(python3)
node -e 'fetch' 2>/dev/null || missing+=(nodejs)

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
	# The same for MariaDB: nothing that apt-get installs here is started, now or
	# when the machine boots.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
		"${sudo[@]}" chmod +x "$policy"
		trap '"${sudo[@]}" rm -f "$policy"' EXIT
	fi
	"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	case " ${missing[*]} " in *" mariadb-server "*)
		! command -v systemctl >/dev/null || "${sudo[@]}" systemctl disable --quiet mariadb 2>/dev/null || true ;;
	esac
else
	echo "the tests need: ${missing[*]}" >&2
	echo "install them (Debian: apt-get install ${missing[*]}), or name a PostgreSQL superuser URL in CLAIMCHECK_TEST_POSTGRES" >&2
	exit 1
fi
