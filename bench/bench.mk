# The rig's own programs. `make bench` measures the floors; BENCH='memory --requests 10000' chooses another part and its options.
bench: build/bench/null_responder build/bench/pace build/bench/delay_proxy

build/bench/%: bench/%.c build/release.flags | packages-build
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= $(RELEASE_CFLAGS) $(RELEASE_LDFLAGS) $(EXTRA_CFLAGS) -o $@ $<

# pace, the load generator, and the variant that its tests run.
PACE_SOURCES := $(patsubst bench/pace/%.c,%,$(wildcard bench/pace/*.c))
PACE_LIBS := -ljansson -lm
PACE := $(if $(SANITIZE),build/san/bench/pace,build/bench/pace)
export PACE

build/release/pace/%.o: bench/pace/%.c build/release.flags | packages-build
	@mkdir -p $(@D)
	$(call compile,$(RELEASE_CFLAGS))
build/bench/pace: $(PACE_SOURCES:%=build/release/pace/%.o)
	@mkdir -p $(@D)
	$(call link,$(RELEASE_CFLAGS) $(RELEASE_LDFLAGS) $(EXTRA_CFLAGS),$^ $(PACE_LIBS))

$(T)/bench-pace/%.o: bench/pace/%.c $(T).flags | packages-build
	@mkdir -p $(@D)
	$(call compile,$(TEST_CFLAGS))
build/san/bench/pace: $(PACE_SOURCES:%=build/san/bench-pace/%.o)
	@mkdir -p $(@D)
	$(call link,$(TEST_CFLAGS) $(TEST_LDFLAGS),$^ $(PACE_LIBS))

# Its tests: a program each; what else is in their folder is linked to all of them, but serve.c, a server to try pace with.
PACE_TESTS := $(patsubst tests/pace/%.c,$(T)/pace/%,$(wildcard tests/pace/test_*.c))
PACE_TEST_HELPERS := $(patsubst tests/%.c,$(T)/%.o,$(filter-out tests/pace/test_% tests/pace/serve.c,$(wildcard tests/pace/*.c)))
test-files: $(PACE) $(PACE_TESTS)

$(T)/pace/%.o: tests/pace/%.c $(T).flags | packages-test
	@mkdir -p $(@D)
	$(call compile,$(TEST_CFLAGS) -iquote bench/pace -iquote tests/unit)
$(PACE_TESTS): $(T)/pace/%: $(T)/pace/%.o $(PACE_TEST_HELPERS) $(patsubst %,$(T)/bench-pace/%.o,$(filter-out main,$(PACE_SOURCES)))
	$(call link,$(TEST_CFLAGS) $(TEST_LDFLAGS),$^ $(TEST_LIBS) $(PACE_LIBS))
$(T)/pace/serve: $(T)/pace/serve.o $(T)/pace/server.o
	$(call link,$(TEST_CFLAGS) $(TEST_LDFLAGS),$^ $(TEST_LIBS) $(PACE_LIBS))

-include $(wildcard build/release/pace/*.d $(T)/bench-pace/*.d)
