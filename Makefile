# make build     the programs, optimised: .build/release and, for eicectl and what belongs to it, .build-static/release
# make demo      the main job, visible, against the emulator: ssh and scp into a "private instance"
# make test      installs what it needs, builds, passes every test (FILTER=Name runs some of them)
# make sanitize  all tests and the programs they run under the thread and the address sanitizer (SANITIZERS=thread for one, FILTER=Name,
#                UNIT_TESTS=1 for those that run no program, BUILD_ONLY=1)
# make fuzz      SECONDS=600   the parsers under libFuzzer and the address sanitizer (TARGET=frames for one of them)
# make soak      SECONDS=1800   mixed traffic with a fault every ten seconds, and what became of each session
# make trust     all that tries what may go wrong, and a line a figure (two hours and a half)
# make autobahn  AUTOBAHN=PATH   the Autobahn test suite against wsecho, with the wstest at that path
# make lint      formatting, shell scripts, imports, what the programs link, the systemd units
# make bench     measures release builds and prints tables (SCENARIO="first-byte scale" some of them, JSON=1 as JSON)
# make install   PREFIX=/usr/local DESTDIR=    (after `make build`)
# make deb       .build/packages/eiced_VERSION_amd64.deb
# make deps      the Debian packages that building and testing need, as far as they are missing (make deps-build: building alone)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PREFIX ?= /usr/local
DESTDIR ?=
FILTER ?=
UNIT_TESTS ?=
BUILD_ONLY ?=
SCENARIO ?=
JSON ?=

# An import that Package.swift does not bring in is an error; scripts/lint-targets.sh compares exactly.
SWIFT_FLAGS := --explicit-target-dependency-import-check error
SWIFT_BUILD := swift build $(SWIFT_FLAGS)
# What is installed has Swift's libraries in itself, and does not look for others beside it.
SWIFT_RELEASE := $(SWIFT_BUILD) -c release --static-swift-stdlib --disable-local-rpath

# eicectl starts once for each `ssh`, so it is one static file that starts in a millisecond, and all that `proxy` does without is in
# a second one, eicectl-commands, which it becomes (docs/decisions/0019-eicectl-is-two-programs.md). They have a scratch path of
# their own because their flags would otherwise rebuild what the daemon is made of. They are loaded at a random place as every program
# is (static-pie). Optimised for size, and functions that came out alike folded: together that keeps the larger one below 16 MB, and
# they start as fast.
STATIC_SCRATCH := .build-static
STATIC_EICECTL := $(CURDIR)/$(STATIC_SCRATCH)/release/eicectl
RELEASE := $(CURDIR)/.build/release
STRIPPED := $(CURDIR)/.build/stripped

.PHONY: build build-daemon build-eicectl build-tests test sanitize fuzz soak trust autobahn bench lint demo install deb deps deps-build clean
.NOTPARALLEL:

build: build-daemon build-eicectl

build-daemon: deps-build
	$(SWIFT_RELEASE) --product eiced
	$(SWIFT_RELEASE) --product eice-emulator
	scripts/hardening.sh $(RELEASE)/eiced $(RELEASE)/eice-emulator

build-eicectl: deps-build
	for program in eicectl eicectl-commands; do \
	    $(SWIFT_RELEASE) -Xswiftc -static-executable -Xswiftc -Xclang-linker -Xswiftc -static-pie \
	        -Xswiftc -Osize -Xlinker --icf=all \
	        --scratch-path $(STATIC_SCRATCH) --product $$program || exit; \
	done
	scripts/hardening.sh $(STATIC_EICECTL) $(STATIC_EICECTL)-commands

build-tests: deps
	$(SWIFT_BUILD) --build-tests

# The tests raise their own limits (Tests/CTestProcess), so that a plain `swift test` works too.
test: deps build-eicectl build-tests
	code=0; EICED_TEST_EICECTL=$(STATIC_EICECTL) \
	    EICED_TEST_PYTHON="$$(scripts/test-python.sh $(CURDIR)/.build/test-python)" \
	    EICED_TEST_PACKAGE=$(PACKAGE) \
	    swift test --skip-build --disable-xctest \
	    $(if $(FILTER),--filter '$(FILTER)') 2>&1 | tee .build/test.log || code=$$?; \
	    scripts/test-summary.sh .build/test.log || code=1; \
	    exit $$code

# Each sanitizer has a scratch path of its own; a report of any process fails the run.
sanitize: deps
	BUILD_ONLY='$(BUILD_ONLY)' FILTER='$(FILTER)' UNIT_TESTS='$(UNIT_TESTS)' scripts/sanitize.sh $(or $(SANITIZERS),thread address)

# Each target of Tests/Fuzz for so many seconds under the address sanitizer.
fuzz: deps
	scripts/fuzz.sh $(or $(SECONDS),600) $(TARGET)

# Release builds, as they are installed.
soak: build
	EICED_BENCHMARKS=1 $(SWIFT_RELEASE) --product eiced-soak
	EICED_TEST_EICECTL=$(STATIC_EICECTL) $(RELEASE)/eiced-soak --seconds $(or $(SECONDS),1800)

trust: deps
	scripts/trust.sh

# Autobahn's own test suite against wsecho, over ws and wss; needs a Python 2.7 that has it.
autobahn: deps
	$(SWIFT_BUILD) -c release --product wsecho
	scripts/autobahn.sh $(RELEASE)/wsecho $(AUTOBAHN)

# eicectl stripped, as it is installed.
bench: build
	scripts/install-dependencies.sh bench
	EICED_BENCHMARKS=1 $(SWIFT_RELEASE) --product eiced-bench
	mkdir -p $(STRIPPED)
	for program in eicectl eicectl-commands; do strip -o $(STRIPPED)/$$program $(dir $(STATIC_EICECTL))$$program; done
	EICED_TEST_EICECTL=$(STRIPPED)/eicectl $(RELEASE)/eiced-bench $(if $(JSON),--json) $(SCENARIO)

lint: deps
	swift format lint --strict --configuration .swift-format -r Package.swift Sources Benchmarks Tests
	$(SWIFT_BUILD)
	scripts/lint-targets.sh
	scripts/lint.sh

demo: deps build
	scripts/demo.sh $(RELEASE)/eiced $(STATIC_EICECTL) $(RELEASE)/eice-emulator

PACKAGE = $(wildcard $(CURDIR)/.build/packages/eiced_$(shell scripts/version.sh)_$(shell dpkg --print-architecture).deb)
PROGRAMS := $(RELEASE)/eiced $(STATIC_EICECTL) $(RELEASE)/eice-emulator

install:
	scripts/install.sh $(PROGRAMS) $(PREFIX) $(DESTDIR)

deb: deps build
	scripts/package.sh $(PROGRAMS) .build/packages

deps:
	@scripts/install-dependencies.sh test

deps-build:
	@scripts/install-dependencies.sh build

clean:
	rm -rf .build .build-fuzz .build-thread .build-address $(STATIC_SCRATCH)
