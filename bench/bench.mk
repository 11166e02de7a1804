# The rig's own programs. `make bench` measures the floors; BENCH='memory --requests 10000' chooses another part and its options.
bench: build/bench/null_responder

build/bench/%: bench/%.c build/release.flags | packages-build
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE= $(RELEASE_CFLAGS) $(RELEASE_LDFLAGS) $(EXTRA_CFLAGS) -o $@ $<
