#!/usr/bin/env bash
# Installs what building and running StackLens needs, from Debian 12's packages. Needs root or sudo; does
# nothing where all is there already.
set -euo pipefail

packages=(gcc g++ make perl libc6-dev
	postgresql-15 postgresql-client-15 postgresql-server-dev-15 libpq-dev
	librdkafka-dev libcurl4-openssl-dev libsimdjson-dev libyaml-dev libpcre2-dev libxxhash-dev libwebsockets-dev zlib1g-dev
	curl jq procps)

missing=()
if command -v dpkg-query >/dev/null; then
	for package in "${packages[@]}"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
	done
	[ ${#missing[@]} -eq 0 ] && exit 0
fi

. /etc/os-release 2>/dev/null || true
if [ "${ID:-}" != debian ] || [ "${VERSION_ID:-}" != 12 ]; then
	{
		echo "error: this is ${PRETTY_NAME:-not Debian}; packages are installed by themselves on Debian 12 only"
		echo "hint: install the counterparts of these, then run this again with STACKLENS_SKIP_DEPS=1:"
		printf '  %s\n' "${packages[@]}"
	} >&2
	exit 1
fi

if [ "$(id -u)" = 0 ]; then
	sudo=()
elif command -v sudo >/dev/null; then
	sudo=(sudo)
else
	{
		echo "error: packages are missing, and neither root nor sudo is at hand"
		echo "hint: as root: apt-get install ${missing[*]}"
	} >&2
	exit 1
fi

echo "installing ${missing[*]}"
# the server's package would otherwise start a cluster on port 5432
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	"${sudo[@]}" mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
"${sudo[@]}" apt-get update -q
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
