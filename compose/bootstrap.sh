#!/usr/bin/env bash
# StackLens on this machine, with PostgreSQL alone: build, install, start, look, stop.
#
#	compose/bootstrap.sh up                 install what is missing, build, start; again: repair
#	compose/bootstrap.sh health             a table of parts; exit status 1 when one is critical
#	compose/bootstrap.sh logs [postgres|gateway]
#	compose/bootstrap.sh psql [ARGUMENTS]   psql on the database stacklens
#	compose/bootstrap.sh down [-v]          stop; -v removes the data too
#
# STACKLENS_PORT (3001) and STACKLENS_OTLP_PORT (4318) move the ports, STACKLENS_STATE the folder of the cluster.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clone=$(dirname "$here")
port=${STACKLENS_PORT:-3001}
otlp_port=${STACKLENS_OTLP_PORT:-4318}
pg_config=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
[ -x "$pg_config" ] || pg_config=$(command -v pg_config || echo /usr/lib/postgresql/15/bin/pg_config)
step=

say() { printf '%s\n' "$*"; }
begin() { step=$1; say "==> $1"; }
die() { printf 'error: %s\n' "$1" >&2; [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2; exit 1; }
trap 'status=$?; [ $status = 0 ] || [ -z "$step" ] || { echo "error: this step failed: $step" >&2; [ ! -s "${output:-/dev/null}" ] || { echo "its last lines, of $output:" >&2; tail -n 15 "$output" >&2; }; echo "hint: mend what it says, then run the same command again; what is done already is not done twice" >&2; }' EXIT

# --- who runs the servers, and where they live ---

if [ "$(id -u)" = 0 ]; then
	server_user=stacklens
	as_root() { "$@"; }
	as_server() { (cd / && exec runuser -u "$server_user" -- "$@"); }
else
	server_user=$(id -un)
	as_root() { sudo "$@"; }
	as_server() { (cd / && exec "$@"); }
fi

reachable() { as_server test -x "$1" 2>/dev/null; }

find_state() {
	if [ -n "${STACKLENS_STATE:-}" ]; then
		state=$STACKLENS_STATE
	elif [ -d "$here/.stacklens" ] && reachable "$here/.stacklens"; then
		state=$here/.stacklens
	elif [ "$server_user" = stacklens ] && ! reachable "$here"; then
		state=/var/lib/stacklens
	else
		state=$here/.stacklens
	fi
	data=$state/data
	run=$state/run
	# a socket's path may have 107 bytes
	if [ ${#run} -gt 80 ]; then
		run=/tmp/stacklens-$(printf '%s' "$state" | cksum | cut -d' ' -f1)
	fi
	logs=$state/log
}

bin() { "$pg_config" --bindir; }
conninfo() { echo "host=$run dbname=stacklens user=stacklens"; }
sql() { as_server "$(bin)/psql" -X -q -At -v ON_ERROR_STOP=1 "$(conninfo)" "$@"; }
# Is a process there, and more than a dead one that its parent hasn't seen yet?
alive() {						# PID NAME
	local is
	is=$(ps -o stat=,comm= -p "${1:-0}" 2>/dev/null) || return 1
	case "$is" in
		Z*) return 1 ;;
		*" $2"*) return 0 ;;
		*) return 1 ;;
	esac
}
postgres_runs() { alive "$(as_server head -n 1 "$data/postmaster.pid" 2>/dev/null)" postgres; }
gateway_pid() {
	local pid
	pid=$(as_server cat "$run/gateway.pid" 2>/dev/null) || return 1
	alive "$pid" stacklens-gatew && echo "$pid"
}
wait_until() {					# SECONDS COMMAND…
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.1
	done
}

# --- up ---

install_packages() {
	[ -z "${STACKLENS_SKIP_DEPS:-}" ] || return 0
	begin "packages"
	"$here/install-deps.sh" || exit 1
	pg_config=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
}

build() {
	begin "build"
	output=$(mktemp)
	make -C "$clone" -j2 PG_CONFIG="$pg_config" >"$output" 2>&1
	rm -f "$output"
	output=
}

make_user() {
	[ "$(id -u)" = 0 ] || return 0
	id stacklens >/dev/null 2>&1 || useradd --system --home-dir /var/lib/stacklens --shell /usr/sbin/nologin stacklens
}

install_files() {
	local changed=
	cmp -s "$clone/stacklens.so" "$("$pg_config" --pkglibdir)/stacklens.so" || changed=1
	cmp -s "$clone/stacklens-gateway" "$(bin)/stacklens-gateway" || changed=1
	for file in "$clone"/sql/stacklens--*.sql "$clone/stacklens.control"; do
		cmp -s "$file" "$("$pg_config" --sharedir)/extension/$(basename "$file")" || changed=1
	done
	for file in "$clone"/gateway/ui/*; do
		cmp -s "$file" "$("$pg_config" --sharedir)/stacklens/ui/$(basename "$file")" || changed=1
	done
	[ -n "$changed" ] || return 0
	begin "install"
	# a running server keeps the library that it has loaded: it must be started anew
	stop_gateway
	if [ -d "$data" ] && postgres_runs; then
		stop_postgres
	fi
	output=$(mktemp)
	as_root make -C "$clone" install PG_CONFIG="$pg_config" >"$output" 2>&1
	rm -f "$output"
	output=
}

make_cluster() {
	if ! as_server test -e "$data/PG_VERSION"; then
		begin "cluster in $state"
		if [ "$(id -u)" = 0 ]; then
			install -d -o stacklens -m 700 "$state" "$run" "$logs"
		else
			mkdir -p -m 700 "$state" "$run" "$logs" 2>/dev/null || die "could not make $state" "say STACKLENS_STATE=DIR for a folder that you may write"
		fi
		output=$logs/initdb.log
		as_server bash -c "'$(bin)/initdb' -D '$data.new' -U stacklens -A peer -E UTF8 --locale=C.UTF-8 >'$output' 2>&1"
		as_server tee -a "$data.new/postgresql.conf" >/dev/null <<-CONF

			# StackLens
			shared_preload_libraries = 'stacklens'
			stacklens.database = 'stacklens'
			listen_addresses = ''
			unix_socket_directories = '$run'
			max_worker_processes = 16
		CONF
		as_server tee "$data.new/pg_hba.conf" >/dev/null <<-CONF
			# by the socket only, and only for those named in pg_ident.conf
			local  all          all  peer  map=stacklens
			local  replication  all  peer  map=stacklens
		CONF
		printf 'stacklens  %s  stacklens\n' "$server_user" root | as_server tee "$data.new/pg_ident.conf" >/dev/null
		as_server mv "$data.new" "$data"
		output=
	fi
	# a socket's folder in /tmp may have been swept away
	as_server mkdir -p -m 700 "$run"
}

# After a crash, workers of the dead postmaster may hold its memory for a moment: then it is tried again.
try_start_postgres() {
	as_server "$(bin)/pg_ctl" -w -t 60 -D "$data" -l "$logs/postgres.log" start >/dev/null 2>&1
}

start_postgres() {
	postgres_runs && return 0
	begin "start PostgreSQL"
	output=$logs/postgres.log
	wait_until 40 try_start_postgres || exit 1
	output=
}

make_database() {
	if [ "$(as_server "$(bin)/psql" -X -At "host=$run dbname=postgres user=stacklens" -c "SELECT count(*) FROM pg_database WHERE datname = 'stacklens'")" = 0 ]; then
		begin "database stacklens"
		# made under another name first: it is there with its rules, or not at all
		as_server "$(bin)/psql" -X -q -v ON_ERROR_STOP=1 "host=$run dbname=postgres user=stacklens" \
			-c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS stacklens_new' -c 'CREATE DATABASE stacklens_new' >/dev/null
		as_server "$(bin)/psql" -X -q -v ON_ERROR_STOP=1 "host=$run dbname=stacklens_new user=stacklens" -c 'CREATE EXTENSION stacklens' >/dev/null
		{
			echo "SELECT name, status, error FROM stacklens.import_rules(\$stacklens_rules\$"
			cat "$here/config/rules/alert-rules.json"
			echo "\$stacklens_rules\$, origin => 'alert-rules.json');"
		} | as_server "$(bin)/psql" -X -q -v ON_ERROR_STOP=1 "host=$run dbname=stacklens_new user=stacklens" -At -F ': ' | sed 's/^/    rule /; s/: $//'
		as_server "$(bin)/psql" -X -q -v ON_ERROR_STOP=1 "host=$run dbname=postgres user=stacklens" \
			-c 'ALTER DATABASE stacklens_new RENAME TO stacklens' >/dev/null
	fi
	local version
	version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$clone/stacklens.control")
	if [ "$(sql -c 'SELECT stacklens.version()')" != "$version" ]; then
		begin "extension to version $version"
		sql -c 'ALTER EXTENSION stacklens UPDATE'
	fi
}

start_gateway() {
	gateway_pid >/dev/null && return 0
	begin "start the gateway"
	local arguments=(--database "$(conninfo)" --port "$port")
	if port_taken "$port"; then
		die "port $port is taken" "stop what listens there (lsof -i :$port), or say STACKLENS_PORT=N"
	fi
	if port_taken "$otlp_port"; then
		say "    port $otlp_port is taken: OTLP is received on $port only"
	else
		arguments+=(--otlp-port "$otlp_port")
	fi
	output=$logs/gateway.log
	as_server bash -c 'umask 077; setsid "$0" "${@:3}" >>"$1" 2>&1 </dev/null & echo $! >"$2"' \
		"$(bin)/stacklens-gateway" "$logs/gateway.log" "$run/gateway.pid" "${arguments[@]}"
	wait_until 10 gateway_answers || exit 1
	output=
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
gateway_answers() { curl -s -o /dev/null -m 5 "http://127.0.0.1:$port/health"; }
workers_run() { [ "$(sql -c "SELECT status FROM stacklens.health() WHERE part = 'workers'" 2>/dev/null)" = ok ]; }

up() {
	case "${1:-}" in
		'') ;;
		--full) die "up --full, the stack with Kafka and Elasticsearch, is not in this version" "up alone needs neither; a Kafka of your own: SELECT stacklens.create_kafka_source(…)" ;;
		*) die "unknown argument \"$1\" of up" "bootstrap.sh up" ;;
	esac
	install_packages
	make_user
	find_state
	build
	install_files
	make_cluster
	start_postgres
	make_database
	start_gateway
	if ! workers_run; then
		begin "workers"
		wait_until 40 workers_run || die "the background workers did not start" "$0 logs postgres"
	fi
	step=
	cat <<-READY

		StackLens is ready.
		  admin page   http://localhost:$port/
		  psql         $0 psql
		  health       $0 health
		  a first log  curl -X POST http://localhost:$port/api/ingest/log -H "Content-Type: application/json" \\
		                 -d '{"timestamp": "2025-01-15T10:30:45.123Z", "service": "order-service", "level": "error",
		                      "message": "Price is missing", "error_code": "PRICE_MISSING", "action": "create_order"}'
		               curl http://localhost:$port/admin/alerts?limit=1 | jq .
	READY
}

# --- health, logs, psql, down ---

health() {
	step=
	if [ ! -x "$(bin 2>/dev/null)/psql" ] || ! reachable "$data" || ! postgres_runs; then
		say "    part    |  status  | hint"
		say "------------+----------+---------------------------"
		say " postgresql | critical | $0 up"
		exit 1
	fi
	local gateway
	if gateway_pid >/dev/null && gateway_answers; then
		gateway="'gateway', 'ok', 'http://localhost:$port', NULL"
	else
		gateway="'gateway', 'critical', NULL, '$0 up'"
	fi
	local query="SELECT part, status, value, hint FROM stacklens.health() UNION ALL SELECT $gateway"
	as_server "$(bin)/psql" -X -q -P footer=off "$(conninfo)" -c "$query"
	[ "$(sql -c "SELECT count(*) FROM ($query) h WHERE status = 'critical'")" = 0 ]
}

logs() {
	local files=()
	case "${1:-}" in
		'') files=("$logs/postgres.log" "$logs/gateway.log") ;;
		postgres | gateway) files=("$logs/$1.log") ;;
		*) die "there is no part \"$1\"" "it is postgres (with the workers) or gateway" ;;
	esac
	step=
	as_server test -e "${files[0]}" || die "there are no logs yet" "$0 up"
	as_server tail -n 50 -F "${files[@]}"
}

gateway_gone() { ! gateway_pid >/dev/null; }

stop_gateway() {
	local pid
	pid=$(gateway_pid) || return 0
	as_server kill "$pid" 2>/dev/null || return 0
	wait_until 10 gateway_gone || as_server kill -9 "$pid" 2>/dev/null || true
}

stop_postgres() { as_server "$(bin)/pg_ctl" -w -t 60 -D "$data" -m fast stop >/dev/null; }

down() {
	case "${1:-}" in
		'' | -v) ;;
		--timeout) shift 2; set -- "" ;;
		*) die "unknown argument \"$1\" of down" "down, or down -v to remove the data" ;;
	esac
	if reachable "$state"; then
		begin "stop the gateway"
		stop_gateway
		if postgres_runs; then
			begin "stop PostgreSQL"
			output=$logs/postgres.log
			stop_postgres
			output=
		fi
		if [ "${1:-}" = -v ]; then
			begin "remove $state"
			rm -rf "$state" "$run"
		fi
	fi
	step=
	say "StackLens is stopped."
}

command=${1:-}
[ $# -eq 0 ] || shift
case "$command" in
	up) up "$@" ;;
	psql)
		trap - EXIT
		find_state
		if [ "$(id -u)" = 0 ]; then
			# psql would complain of a folder that the server's user can't enter
			reachable "$PWD" || cd /
			exec runuser -u "$server_user" -- "$(bin)/psql" "$(conninfo)" "$@"
		fi
		exec "$(bin)/psql" "$(conninfo)" "$@"
		;;
	health | logs | down)
		find_state
		"$command" "$@"
		;;
	*)
		trap - EXIT
		sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
		[ "$command" = help ] || [ "$command" = --help ] || exit 2
		;;
esac
