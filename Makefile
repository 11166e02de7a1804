# agents-fcgi: the only entry point. `make help` lists the targets; what takes more than a line lives in scripts.

PORT ?= 8004
LISTEN ?= 127.0.0.1
WORKERS ?= 16
PREFIX ?= /usr/local
# Everything that the scripts read travels by environment; DATABASE_URL never appears in a recipe, so in no command line either.
export PORT ADMIN_PORT LISTEN WORKERS DATABASE_URL RUN_DIR OPTIONS ACCESS_LOG SANITIZE VALGRIND DB_ROLE DB_NAME WERROR
# What `make bench` reads.
export BENCH PROFILE SCENARIOS PEERS NAME RESUME A B

CC := gcc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wundef -Wformat=2
ifeq ($(CI),true)
WERROR ?= 1
endif
ifneq ($(filter-out 0,$(WERROR)),)
WARNINGS += -Werror
endif
CPPFLAGS := -iquote src -iquote build/gen -I/usr/include/postgresql -D_GNU_SOURCE=
LIBS := -lfcgi -lev -ljansson -lxxhash -lpq -lpthread -lm
TEST_LIBS := -lcheck_pic -lsubunit -lrt -lcurl

HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
RELEASE_CFLAGS := -O2 -g -flto=auto $(HARDENING)
TEST_CFLAGS := -O2 -g $(HARDENING)
RELEASE_LDFLAGS := -pie -Wl,-z,relro,-z,now
TEST_LDFLAGS := -pie

# The variant under test: its objects, the worker that the test stack runs, and the folder of the test programs.
ifeq ($(SANITIZE),)
T := build/test
WORKER := build/agents-fcgi
else
T := build/san
WORKER := build/san/agents-fcgi
TEST_CFLAGS := -O1 -g -fPIE -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
TEST_LDFLAGS := -pie -fsanitize=$(SANITIZE)
endif

# Under valgrind run the programs of the variant without sanitizers. No other target may seem to have done that.
ifneq ($(filter-out 0,$(VALGRIND)),)
VALGRIND_PACKAGES := valgrind
ifneq ($(SANITIZE),)
$(error VALGRIND=$(VALGRIND) and SANITIZE=$(SANITIZE): valgrind runs no instrumented program; leave one of them out)
endif
ifeq ($(MAKELEVEL),0)
ifneq ($(filter-out test test-unit test-http test-pace test-programs packages-test,$(or $(MAKECMDGOALS),help)),)
$(error VALGRIND=$(VALGRIND): only for make test, test-unit, test-http and test-pace; what else there is does not run under valgrind)
endif
endif
endif

SQL := $(wildcard sql/queries/*.sql)
SOURCES := $(patsubst src/%.c,%,$(wildcard src/*.c)) sql
MODULES := $(filter-out main,$(SOURCES))
# A .c file with a main is a program; the others in its folder are linked to each program there.
programs = $(patsubst %.c,%,$(shell grep -l '^int main\>' $(wildcard tests/$(1)/*.c) /dev/null))
UNIT := $(call programs,unit)
HTTP := $(call programs,http)
UNIT_HELPERS := $(filter-out $(UNIT),$(patsubst %.c,%,$(wildcard tests/unit/*.c)))
HTTP_HELPERS := $(filter-out $(HTTP),$(patsubst %.c,%,$(wildcard tests/http/*.c)))
TEST_PROGRAMS := $(patsubst tests/%,$(T)/%,$(UNIT) $(HTTP))
export TEST_BUILD := $(T)
# For the system tests: tests/system/run --help says what they do.
export TESTS SYSTEM_SECONDS INJECTIONS SOAK_SECONDS SEED STRICT_TIMES
export WORKER

# Makes that run at once in this folder take turns.
locked = @mkdir -p build && flock build/.lock $(MAKE) --no-print-directory $(1)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo '  variables: PORT=8004 ADMIN_PORT=(PORT + 1000) LISTEN=127.0.0.1 WORKERS=16 DATABASE_URL= RUN_DIR= OPTIONS='
	@echo '             ACCESS_LOG=off|on SANITIZE=address,undefined VALGRIND=1 DESTDIR= PREFIX=/usr/local'

.PHONY: build
build: packages-build ## the worker: build/agents-fcgi
	$(call locked,build-files)
.PHONY: build-files
build-files: $(WORKER) build/db-load

.PHONY: run start stop status upgrade
run: packages build ## everything, in the foreground, on port 8004; Ctrl-C stops it
	@deploy/local/run
start: packages build ## the same in the background
	@deploy/local/start
stop: ## stop what start or run has started
	@deploy/local/stop
upgrade: packages build ## the workers of what start or run has started, one by one, by the one just built
	@deploy/local/upgrade $(WORKER)
status: ## what runs, and whether it is ready
	@deploy/local/status

.PHONY: db-load
db-load: packages build/db-load ## schema and seed into the empty database of DATABASE_URL
	@build/db-load sql/schema.sql sql/seed.sql

.PHONY: test test-unit test-http test-stack test-pace test-bench test-programs
test: test-programs ## unit, HTTP, stack and load generator tests, beside a running stack; SANITIZE=address,undefined for an instrumented worker; VALGRIND=1
	@tests/run unit http stack pace
test-unit: test-programs ## unit tests only
	@tests/run unit
test-http: test-programs ## HTTP tests only
	@tests/run http
test-stack: test-programs ## tests of this interface only
	@tests/run stack
test-pace: test-programs ## tests of the load generator only
	@tests/run pace
test-bench: packages-bench test-programs build/bench/null_responder build/bench/delay_proxy ## tests of the benchmark rig only
	@tests/run bench
test-programs: packages-test
	$(call locked,test-files)
.PHONY: test-system
test-system: test-programs build/test/system/hang.so ## faults injected under load; TESTS='kill-worker upgrade', INJECTIONS=20, SYSTEM_SECONDS=20
	@tests/system/run
.PHONY: test-files
test-files: $(WORKER) build/db-load $(TEST_PROGRAMS)

# What `make lint` shows to promtool.
.PHONY: test-metrics
test-metrics:
	$(call locked,build/test/unit/test_status)

.PHONY: lint fuzz bench bench-compare
lint: packages-lint build/gen/sql.h ## format, static analysis, shell scripts
	@tests/lint/run
fuzz: packages-fuzz build/gen/sql.h ## fuzz the parsers
	@tests/fuzz/run
bench: packages-bench build ## measure beside peers and limits; PROFILE=smoke|quick|full SCENARIOS= PEERS= NAME= RESUME=1; the report is its last line
	@bench/run
bench-compare: packages-bench ## two results of it side by side: A=NAME B=NAME
	@bench/compare "$$A" "$$B"

# Where it goes, below DESTDIR. The folders of a running system are not below PREFIX.
UNITDIR ?= $(PREFIX)/lib/systemd/system
LIBDIR ?= $(PREFIX)/lib/agents-fcgi
SHAREDIR := $(PREFIX)/share/agents-fcgi
DOCDIR := $(PREFIX)/share/doc/agents-fcgi
CONFIG ?= /etc/agents-fcgi.conf
RUNDIR ?= /run/agents-fcgi
STATEDIR ?= /var/lib/agents-fcgi
WEB_GROUP ?= www-data
deployed = sed -e 's|@SBINDIR@|$(PREFIX)/sbin|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@CONFIG@|$(CONFIG)|g' -e 's|@RUNDIR@|$(RUNDIR)|g' \
	-e 's|@STATEDIR@|$(STATEDIR)|g' -e 's|@WEB_GROUP@|$(WEB_GROUP)|g'

.PHONY: install
install: build ## DESTDIR= PREFIX=/usr/local; deploy/README.md says how to go on
	install -d '$(DESTDIR)$(PREFIX)/sbin' '$(DESTDIR)$(SHAREDIR)/sql/queries' '$(DESTDIR)$(SHAREDIR)/nginx/public.d' \
		'$(DESTDIR)$(SHAREDIR)/monitoring' '$(DESTDIR)$(DOCDIR)' \
		'$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(LIBDIR)' '$(DESTDIR)$(PREFIX)/lib/sysusers.d' '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d' \
		'$(DESTDIR)$(PREFIX)/share/man/man8' '$(DESTDIR)$(PREFIX)/share/man/man5'
	install -m 0755 build/agents-fcgi '$(DESTDIR)$(PREFIX)/sbin/agents-fcgi'
	install -m 0644 sql/schema.sql sql/seed.sql '$(DESTDIR)$(SHAREDIR)/sql'
	install -m 0644 $(SQL) '$(DESTDIR)$(SHAREDIR)/sql/queries'
	install -m 0644 $(wildcard nginx/*.in nginx/*.conf) '$(DESTDIR)$(SHAREDIR)/nginx'
	install -m 0755 nginx/render '$(DESTDIR)$(SHAREDIR)/nginx'
	install -m 0644 LICENSE $(wildcard README.md CHANGELOG.md) '$(DESTDIR)$(DOCDIR)'
	install -m 0644 deploy/man/agents-fcgi.8 '$(DESTDIR)$(PREFIX)/share/man/man8'
	install -m 0644 deploy/man/agents-fcgi.conf.5 '$(DESTDIR)$(PREFIX)/share/man/man5'
	deploy/sample-config build/agents-fcgi >'$(DESTDIR)$(SHAREDIR)/agents-fcgi.conf'
	install -m 0644 deploy/systemd/agents-fcgi.default '$(DESTDIR)$(SHAREDIR)/agents-fcgi.default'
	$(deployed) deploy/systemd/agents-fcgi.service.in >'$(DESTDIR)$(UNITDIR)/agents-fcgi.service'
	$(deployed) deploy/systemd/agents-fcgi.sysusers.in >'$(DESTDIR)$(PREFIX)/lib/sysusers.d/agents-fcgi.conf'
	$(deployed) deploy/systemd/agents-fcgi.tmpfiles.in >'$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/agents-fcgi.conf'
	$(deployed) -e '/^# shellcheck source=/d' -e '/^\. .*upgrade\.bash"$$/{r deploy/upgrade.bash' -e 'd;}' deploy/systemd/upgrade.in \
		>'$(DESTDIR)$(LIBDIR)/upgrade'
	chmod 0755 '$(DESTDIR)$(LIBDIR)/upgrade'
	install -m 0644 $(wildcard deploy/nginx/*.conf deploy/nginx/*.logrotate) '$(DESTDIR)$(SHAREDIR)/nginx'
	install -m 0644 $(wildcard deploy/nginx/public.d/*) '$(DESTDIR)$(SHAREDIR)/nginx/public.d'
	install -m 0644 $(wildcard deploy/monitoring/*) '$(DESTDIR)$(SHAREDIR)/monitoring'
	install -m 0644 deploy/README.md '$(DESTDIR)$(DOCDIR)/OPERATIONS.md'

# The load generator and its page. The tree of the Debian package has no bench/: a host that serves has no use for it.
ifneq ($(wildcard bench/pace/main.c),)
.PHONY: install-pace
install: install-pace
install-pace: build/bench/pace
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/man/man1'
	install -m 0755 build/bench/pace '$(DESTDIR)$(PREFIX)/bin/pace'
	install -m 0644 bench/pace/pace.1 '$(DESTDIR)$(PREFIX)/share/man/man1'
endif

.PHONY: deb test-deb
deb: packages-deb ## a Debian package, in build/deb; its name is the last line
	@deploy/debian/build
test-deb: packages-deb ## that package in a Debian of its own: installed, serving, upgraded, purged; as root, takes minutes
	@tests/deb/run

# Each is a look at dpkg's list when nothing is missing.
.PHONY: packages packages-build packages-test packages-lint packages-fuzz packages-deb packages-bench
packages: ## install what build and run need
	@deploy/local/packages build run
packages-build:
	@deploy/local/packages build
packages-test:
	@deploy/local/packages build run test $(VALGRIND_PACKAGES)
packages-lint:
	@deploy/local/packages build test lint
packages-fuzz:
	@deploy/local/packages build fuzz
packages-deb:
	@deploy/local/packages build deb
packages-bench:
	@deploy/local/packages build run bench

.PHONY: clean
clean: ## remove build/
	rm -rf build

# Compiling. Packages come first, but their being checked again rebuilds nothing.
build/gen/sql.c build/gen/sql.h &: sql/embed $(SQL)
	@sql/embed build/gen $(SQL)

# What objects were made with; rewritten only when it differs, so that a change of flags rebuilds.
.PHONY: FORCE
build/%.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS_$(*F)) $(LDFLAGS_$(*F))' | sed 's/-Werror//' | cmp -s - $@ || \
		echo '$(CC) $(CPPFLAGS) $(CFLAGS_$(*F)) $(LDFLAGS_$(*F))' | sed 's/-Werror//' >$@
CFLAGS_release := $(RELEASE_CFLAGS)
LDFLAGS_release := $(RELEASE_LDFLAGS)
CFLAGS_$(notdir $(T)) := $(TEST_CFLAGS)
LDFLAGS_$(notdir $(T)) := $(TEST_LDFLAGS)

# Commands are shown with V=1.
Q := $(if $(filter-out 0,$(V)),,@)
define compile
@echo '  CC   $<'
$(Q)$(CC) -std=gnu11 $(WARNINGS) $(CPPFLAGS) $(1) $(EXTRA_CFLAGS) -MMD -MP -c -o $@ $<
endef
define link
@echo '  LINK $@'
$(Q)$(CC) $(1) -o $@ $(2)
endef

build/release/%.o: src/%.c build/release.flags | packages-build build/gen/sql.h
	@mkdir -p $(@D)
	$(call compile,$(RELEASE_CFLAGS))
build/release/%.o: build/gen/%.c build/release.flags | packages-build
	@mkdir -p $(@D)
	$(call compile,$(RELEASE_CFLAGS))
build/agents-fcgi: $(SOURCES:%=build/release/%.o)
	$(call link,$(RELEASE_CFLAGS) $(RELEASE_LDFLAGS) $(EXTRA_CFLAGS),$^ $(LIBS))

build/release/db-load.o: deploy/local/db-load.c build/release.flags | packages-build
	@mkdir -p $(@D)
	$(call compile,$(RELEASE_CFLAGS))
build/db-load: build/release/db-load.o
	$(call link,$(RELEASE_CFLAGS) $(RELEASE_LDFLAGS),$^ -lpq)

$(T)/%.o: src/%.c $(T).flags | packages-build build/gen/sql.h
	@mkdir -p $(@D)
	$(call compile,$(TEST_CFLAGS))
$(T)/%.o: build/gen/%.c $(T).flags | packages-build
	@mkdir -p $(@D)
	$(call compile,$(TEST_CFLAGS))
$(T)/%.o: tests/%.c $(T).flags | packages-test build/gen/sql.h
	@mkdir -p $(@D)
	$(call compile,$(TEST_CFLAGS) -iquote tests/$(firstword $(subst /, ,$*)))
$(T)/libagents.a: $(MODULES:%=$(T)/%.o)
	@rm -f $@
	$(Q)ar rcs $@ $^
build/san/agents-fcgi: $(SOURCES:%=build/san/%.o)
	$(call link,$(TEST_CFLAGS) $(TEST_LDFLAGS),$^ $(LIBS))

build/test/system/hang.so: tests/system/hang.c | packages-test
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= -O2 -fPIC -shared -o $@ $<

# A line `/* wrap: recv sendmsg */` in a test has the linker send those calls to __wrap_recv and __wrap_sendmsg.
wraps = $(addprefix -Wl$(comma)--wrap=,$(shell sed -n 's@^/\* wrap: \(.*\) \*/$$@\1@p' tests/$*.c))
comma := ,
link_test = $(call link,$(TEST_CFLAGS) $(TEST_LDFLAGS) $(wraps),$(filter %.o,$^) $(T)/libagents.a $(TEST_LIBS) $(LIBS))
$(patsubst tests/%,$(T)/%,$(UNIT)): $(T)/%: $(T)/%.o $(UNIT_HELPERS:tests/%=$(T)/%.o) $(T)/libagents.a
	$(link_test)
$(patsubst tests/%,$(T)/%,$(HTTP)): $(T)/%: $(T)/%.o $(HTTP_HELPERS:tests/%=$(T)/%.o) $(T)/libagents.a
	$(link_test)

-include tests/fuzz/fuzz.mk bench/bench.mk
-include $(wildcard build/release/*.d $(T)/*.d $(T)/*/*.d)
