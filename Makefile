# Short verbs; each does its own set-up. What they do is in tests/support/.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.PHONY: build demo picture test how-long ready compiled tools sweep fuzz hermes versions image bench lint clean

GW := target/hermes-gw
# Any stable cargo will do for everyday work; build brings Debian's where there is none.
CARGO := $(shell command -v cargo || echo /usr/bin/cargo)
# The tests that boot a container.
LIVE := status truth watch health doctor logs boot stagger live lifecycle links registration crashes shutdown standby wire tree runtime \
    capabilities owners sweep race
# Those that are about either layout, run in the user tree.
LAYOUTS := status truth watch health doctor logs boot stagger crashes faults intents lifecycle links live registration shutdown standby wire runtime \
    capabilities owners sweep
# One crate of all tests, each area a module.
SUITE = HERMES_GW=$(CURDIR)/$(GW) RUST_TEST_THREADS=$(THREADS) $(CARGO) test --locked --no-fail-fast --test suite --
USER_TREE = HERMES_GW_TEST_TREE=user $(SUITE) $(LAYOUTS:%=%::) \
    $(ALIKE:%=--skip %)
# The layout is nothing to these, and they take long.
ALIKE := next_to_nothing faults::when_any_change sweep::without_a_supervisor
# Containers wait most of the time, so there are more of them than there are cores.
THREADS = $(shell echo $$((2 * $$(nproc) + 4)))
TOOLS := s6 execline strace util-linux bsdutils procps jq tzdata
# What reads the completions and the man page.
READERS := bash-completion zsh fish mandoc
# What the bench has beside s6.
PEERS := runit supervisor

build:
	tests/support/build.sh

demo: build
	tests/support/packages.sh $(TOOLS)
	@echo "demo: what makes the container is compiled now, the first time for about two minutes"
	HERMES_GW=$(CURDIR)/$(GW) $(CARGO) run --locked --example demo

# What README.md shows at its top, drawn anew.
picture: build
	tests/support/packages.sh $(TOOLS)
	HERMES_GW=$(CURDIR)/$(GW) $(CARGO) run --locked --example demo -- tests/support/terminal.svg

# The shells are the machine's, and do not fit the libraries of another suite.
test: LAYOUTS += completion
test: how-long
	$(MAKE) --jobs=3 ready
	@echo "test 1 of 3: units"
	code=0; $(CARGO) test --locked --no-fail-fast --lib || code=1; \
	    echo "test 2 of 3: all areas, PID 1's scandir"; \
	    echo "test 3 of 3, at the same time: the areas that either layout is about, the user tree"; \
	    { $(USER_TREE) 2>&1 | sed -u 's/^/user tree: /'; } & \
	    $(SUITE) || code=1; wait $$! || code=1; exit $$code

how-long:
	@echo "test: compiles program and tests at once, some three minutes the first time; then runs three"
	@echo "parts, some five minutes on two cores. A line comes with each test that ends. One that fails"
	@echo "keeps no other from running; the failures of each part stand at its end."

# What test needs: most of it keeps one core busy, or none.
ready: build lint compiled tools

compiled:
	$(CARGO) test --locked --no-run --lib --test suite

tools:
	tests/support/packages.sh $(TOOLS) $(READERS)
	tests/support/hermes.sh

# Where this is the cargo, it comes with what build installs.
ifeq ($(CARGO),/usr/bin/cargo)
lint compiled: build
endif

# Every changing verb killed, failed and cut short at each of its system calls, offline and in both
# layouts, and thousands of rounds of a race against hermes; test has a sample of both. Hours:
# HERMES_GW_SWEEP=N tries one point in N.
sweep: build
	tests/support/packages.sh $(TOOLS)
	export HERMES_GW_SWEEP=$${HERMES_GW_SWEEP:-1} HERMES_GW_RACE=5000; code=0; \
	    $(SUITE) sweep:: race:: --nocapture || code=1; \
	    HERMES_GW_TEST_TREE=user $(SUITE) sweep::under_s6 --nocapture || code=1; exit $$code

# Each target of tests/fuzz for a minute; FUZZ and FUZZ_SECONDS choose others. make test runs
# them over their corpora alone.
FUZZ := $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_SECONDS := 60
fuzz:
	tests/support/packages.sh g++ dash bash tzdata
	tests/support/hermes.sh
	tests/support/fuzz.sh $(CARGO) $(FUZZ_SECONDS) $(FUZZ)

# Real Hermes Agent, from PyPI, and its Python layer beside us on made-up homes; also a part
# of test, where it can be had.
hermes: build
	tests/support/packages.sh $(TOOLS)
	tests/support/hermes.sh
	$(SUITE) hermes:: differential::

# The container tests again, in both layouts, on the s6 of other Debian suites.
versions: build
	tests/support/packages.sh $(TOOLS) debian-archive-keyring
	code=0; for suite in trixie sid; do \
	    tests/support/s6.sh $$suite && export HERMES_GW_S6=$(CURDIR)/target/s6/$$suite || exit 1; \
	    $(SUITE) $(LIVE:%=%::) || code=1; $(USER_TREE) || code=1; \
	done; exit $$code

# The Dockerfile, by a real Docker engine that is stopped afterwards, and containers of it.
image: build
	tests/support/packages.sh docker.io debootstrap util-linux
	tests/support/packages.sh podman runc catatonit uidmap || : # podman.sh says what it lacks
	HERMES_GW=$(CURDIR)/$(GW) HERMES_GW_IMAGE=hermes-gw-demo tests/support/engine.sh \
	    sh -ec 'tests/support/docker.sh; for tree in root user; do \
	        export HERMES_GW_TEST_TREE=$$tree; $(CARGO) test --locked --test suite image::; \
        for user in root rootless; do tests/support/podman.sh $$user $$HERMES_GW_IMAGE \
            $(CARGO) test --locked --test suite image::a_pod; done; done'

# The run-time verbs beside those of s6, runit and supervisor, and a boot beside a C program that
# makes the same files. PARTS=scale: the user tree with 2,000 gateways beside one of bare slots, and
# whose processor time it takes (a minute or two, 3 GB; PARTS='scale 500': with 500).
bench: build
	tests/support/packages.sh $(TOOLS)
	tests/support/packages.sh $(PEERS) || : # it says which it lacks
	HERMES_GW=$(CURDIR)/$(GW) $(CARGO) run --quiet --locked --example bench -- $(PARTS)

lint:
	tests/support/lint.sh $(CARGO)

clean:
	rm -rf target
