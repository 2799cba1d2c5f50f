# StackLens: the extension (PGXS), the gateway, and the command line tool.
#
#   make              build all three
#   make install      install them (PG_CONFIG says for which server)
#   make test         the whole suite, against real servers (installs what only tests need)
#   make chaos        two hundred faults under load (ten minutes); test/t/050_chaos.t
#   make installcheck pg_regress on a server of its own
#   make deps         install what building needs (Debian)
#   make stacklens-rule   the command line tool alone, without a server's headers
#   make format       the code's layout, by clang-format

STACKLENS_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" stacklens.control)

CORE_C = src/core/arena.o src/core/utf8.o src/core/record.o src/core/node.o \
	src/core/decode/decode.o src/core/decode/otlp_proto.o \
	src/core/rule/sigma.o src/core/rule/detection.o src/core/rule/condition.o src/core/rule/value.o \
	src/core/rule/encode.o src/core/rule/regex.o src/core/rule/literals.o src/core/rule/yaml.o src/core/rule/correlation.o \
	src/core/rule/definitions.o src/core/rule/logsources.o src/core/rule/link.o \
	src/core/match/compile.o src/core/match/grams.o src/core/match/recall.o src/core/match/match.o src/core/match/image.o \
	src/core/match/explain.o src/core/search/query.o src/core/sink/document.o src/core/sink/bulk.o src/core/correlate/correlate.o src/core/correlate/state.o
CORE = $(CORE_C) src/core/decode/json.o
CORE_LIBS = -lsimdjson -lyaml -lpcre2-8 -lstdc++ -lm

MODULE_big = stacklens
EXTENSION = stacklens
DATA = sql/stacklens--$(STACKLENS_VERSION).sql
OBJS = $(CORE) \
	src/stacklens.o src/error.o src/secret.o src/spi.o src/rules.o src/backtest.o src/search.o src/ingest.o \
	src/source/inbox.o src/source/kafka.o src/source/kafka_options.o src/source/watermark.o \
	src/sink/http.o src/sink/options.o src/sink/elasticsearch.o src/sink/search.o \
	src/alert/alert.o src/alert/correlation.o src/stats/shared.o \
	bgworker/loop.o bgworker/launcher.o bgworker/worker.o bgworker/maintainer.o \
	bgworker/notifier.o bgworker/evaluator.o bgworker/shipper.o bgworker/crash.o bgworker/utility.o

WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
PG_CPPFLAGS = -I$(CURDIR)/src -I$(CURDIR) -DSL_VERSION='"$(STACKLENS_VERSION)"'
PG_CFLAGS = $(WARNINGS) -Wno-declaration-after-statement -fno-semantic-interposition
PG_CXXFLAGS = $(WARNINGS) -std=c++17 -O2 -fno-exceptions -fno-rtti -fno-semantic-interposition
# calls within the library are not looked up by name
SHLIB_LINK = -Wl,-Bsymbolic-functions $(CORE_LIBS) -lrdkafka -lcurl -lz

REGRESS = $(notdir $(basename $(wildcard sql/[0-9]*.sql)))
REGRESS_OPTS = --inputdir=. --temp-instance=$(CURDIR)/tmp_check --temp-config=test/regress.conf \
	--encoding=UTF8 --no-locale
EXTRA_CLEAN = stacklens-rule stacklens-gateway tmp_check test/tmp results src/cli/*.o gateway/*.o

# the hot path: -O3 is worth 10-20 % there (bench/decode)
$(CORE): private override CFLAGS += -O3
$(CORE): private override CXXFLAGS += -O3

# Goals that need no server's headers stand before PGXS is asked for.
STANDALONE = deps format stacklens-rule stacklens-gateway test chaos
ifneq ($(filter $(STANDALONE),$(MAKECMDGOALS)),)
ifeq ($(filter-out $(STANDALONE),$(MAKECMDGOALS)),)
NO_PGXS = 1
endif
endif

ifndef NO_PGXS
PG_CONFIG ?= pg_config
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
# what later servers were built with and gcc 12 doesn't know
override CFLAGS := $(filter-out -Wmissing-variable-declarations,$(CFLAGS))
# and an option that g++ 12 doesn't know
override CXXFLAGS := $(filter-out -fexcess-precision=standard,$(CXXFLAGS))

all: stacklens-rule stacklens-gateway

install: install-programs
install-programs: stacklens-rule stacklens-gateway
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(UI_DIRECTORY)'
	$(INSTALL_PROGRAM) stacklens-rule stacklens-gateway '$(DESTDIR)$(bindir)/'
	$(INSTALL_DATA) gateway/ui/*.* '$(DESTDIR)$(UI_DIRECTORY)/'
# the extension alone
install-extension: stacklens.so
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)' '$(DESTDIR)$(datadir)/extension'
	$(INSTALL_SHLIB) stacklens.so '$(DESTDIR)$(pkglibdir)/'
	$(INSTALL_DATA) stacklens.control $(DATA) '$(DESTDIR)$(datadir)/extension/'
.PHONY: install-programs install-extension
else
CC ?= gcc
CXX ?= g++
CFLAGS ?= -O2 -g
# as PGXS compiles them, so that either way gives objects that the other can link
CFLAGS += -std=gnu11 -fPIC -fno-semantic-interposition $(WARNINGS)
CXXFLAGS ?= -O2 -g
CXXFLAGS += -fPIC $(PG_CXXFLAGS)
CPPFLAGS += -D_GNU_SOURCE -DSL_VERSION='"$(STACKLENS_VERSION)"'
endif

# json.cpp is the only C++; simdjson is fast only when it is optimised
RULE_OBJS = src/cli/stacklens-rule.o $(CORE)
stacklens-rule: $(RULE_OBJS)
	$(CC) $(CFLAGS) -o $@ $(RULE_OBJS) $(CORE_LIBS)

GATEWAY_OBJS = gateway/main.o gateway/db.o gateway/http.o gateway/feed.o gateway/routes.o gateway/body.o
GATEWAY_LIBS = -lwebsockets -lpq -lz
stacklens-gateway: $(GATEWAY_OBJS)
	$(CC) $(CFLAGS) -o $@ $(GATEWAY_OBJS) $(GATEWAY_LIBS)

$(OBJS) $(RULE_OBJS): $(wildcard src/*.h src/*/*.h src/core/*/*.h bgworker/*.h) stacklens.control
$(GATEWAY_OBJS): $(wildcard gateway/*.h) stacklens.control
gateway/%.o: gateway/%.c
	$(CC) $(CFLAGS) $(GATEWAY_CPPFLAGS) -c -o $@ $<
GATEWAY_CPPFLAGS = -D_GNU_SOURCE -DSL_VERSION='"$(STACKLENS_VERSION)"' -DUI_DIRECTORY='"$(UI_DIRECTORY)"' \
	-I$(shell $(PG_CONFIG) --includedir)
UI_DIRECTORY = $(shell $(PG_CONFIG) --sharedir)/stacklens/ui
PG_CONFIG ?= pg_config

deps:
	compose/install-deps.sh

test:
	test/run

chaos:
	STACKLENS_FAULTS=$${STACKLENS_FAULTS:-200} test/run chaos

format:
	find src bgworker gateway test bench \( -name '*.c' -o -name '*.h' -o -name '*.cpp' \) \
		-not -name fold_table.h -not -path '*/build/*' -not -path '*/.cache/*' | xargs clang-format -i

.PHONY: deps test chaos format
