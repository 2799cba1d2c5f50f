#!/bin/bash
# Installs the Debian packages that only the tests need. Root, or a user with sudo. Runs again harmlessly:
# when everything is there, apt isn't asked at all.
set -euo pipefail

say() { echo "test/deps/install.sh: $*"; }

# What the tests use, as "package" or "command:package" (nothing to do when that command is already there,
# from wherever: a hand-installed node or JDK is fine).
wanted=(
	postgresql-15 postgresql-server-dev-15    # servers, and the TAP modules that PGXS ships
	libipc-run-perl                           # PostgreSQL::Test::* is built on it
	java:openjdk-17-jre-headless mvn:maven    # Kafka, Elasticsearch and OpenSearch
	gcc:gcc make:make pkg-config:pkg-config
	librdkafka-dev                            # test/clients/kafka_tool.c
	chromium                                  # the admin page, driven by playwright-core
	node:nodejs npm:npm                       # OpenTelemetry and WebSocket clients
	python3:python3 python3-venv              # second, independent clients
	clang-format:clang-format                 # make format
	clang:clang libclang-rt-14-dev            # libFuzzer and the sanitizers
	protoc-c:protobuf-c-compiler libprotobuf-c-dev libjansson-dev   # oracles for our own decoders
	openssl:openssl                           # certificates for a broker that asks for TLS
	lsof:lsof jq:jq curl:curl unzip:unzip xz:xz-utils procps util-linux
)

have_package() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

distribution=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}" || true)
if [ "$distribution" != 'debian 12' ]; then
	say "knows only Debian 12; this is '${distribution:-unknown}'. Install these (Debian's names) by hand:" >&2
	printf '  %s\n' "${wanted[@]#*:}" >&2
	exit 1
fi

missing=()
for entry in "${wanted[@]}"; do
	package=${entry#*:}
	if [ "$entry" != "$package" ] && command -v "${entry%%:*}" >/dev/null; then continue; fi
	have_package "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
	say 'everything is installed already'
	exit 0
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { say "needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
	sudo=(sudo)
fi

# Debian's PostgreSQL would start a cluster on port 5432 at once; the tests make their own.
conf=/etc/postgresql-common/createcluster.conf
if ! have_package postgresql-15 && ! grep -qs '^create_main_cluster *= *false' "$conf"; then
	say "writing create_main_cluster = false to $conf"
	"${sudo[@]}" mkdir -p "${conf%/*}"
	echo 'create_main_cluster = false' | "${sudo[@]}" tee -a "$conf" >/dev/null
fi

say "installing ${missing[*]}"
# The time-out waits for another apt's lock. confold keeps the file written above.
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300
	-o Dpkg::Options::=--force-confold)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
say 'done'
