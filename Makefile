# make demo   see one update happen, from Python and from C, against a local stand-in
# make develop  an editable install from an unoptimised build, for the next three
# make test-rust    the Rust tests; one of them: make test-rust ARGS=name
# make test-python  the tests of the package; some of them: make test-python ARGS="-k proxy"
# make test-c       the tests of the C and the C++ face; some of them: make test-c ARGS="-k header"
# make lint   format, clippy, ruff and mypy
# make test   check everything, on the wheel
# make wheel  the Python wheel, in build/wheels
# make docs   the documentation's site, in site
# make soak   20,000 calls through a server that fails at random: every outcome must be true
# make memcheck  the C tests under valgrind, which it needs
# make test-toolchains  the tests that need more tools: see tests/debian-packages.txt
# make tsan   64 threads under ThreadSanitizer, which is part of make test-toolchains
# make test-pythons  the tests that need another CPython than the one that runs the rest
# make test-latest   make test in build/latest, with the newest versions of all that is locked
# make lock   write the lock files anew: *requirements.txt from *requirements.in
# make test-engines  update_batch on Ray Data and Spark, which needs Java
# make fuzz   60 s of each fuzzer; needs cargo-fuzz and a nightly toolchain
# make bench  this library beside its peers, for docs/benchmarks.md; needs benches/debian-packages.txt.
#             A short run, which leaves docs/ alone: make bench ROUNDS=1 CALLS=200 LANGUAGES=Python,C
# make instructions  counts the instructions of a call anew, for the test that compares with them
# make instructions-parts  what part of a call from C takes how many
# make header write include/skypostal.h anew from src/capi
# make man    write skypostal.1 anew from the parsers of python/skypostal/_cli
# make release    what users install, for every platform, into build/release; then tries it
# make c-library  the C library, into build
# make install    the C library and all that belongs to it, below PREFIX; staged below DESTDIR
# make uninstall  remove what make install put there
# make clean  remove what was built
#
# Everything but make install stays in this folder: .venv, target and build.

PYTHON ?= python3
CC ?= cc
CARGO ?= cargo
INSTALL ?= install
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR ?= $(PREFIX)/share
DOCDIR ?= $(DATADIR)/doc/skypostal
MANDIR ?= $(DATADIR)/man
# Loopback is where the sandbox listens; a proxy has no business there.
export NO_PROXY := 127.0.0.1,localhost,$(NO_PROXY)
export no_proxy := $(NO_PROXY)

VENV := .venv
# Where an environment has its programs, and what Windows adds to their names.
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
EXE := .exe
else
BIN := $(VENV)/bin
endif
VENV_PYTHON := $(BIN)/python$(EXE)
RUST_SOURCES := Cargo.toml Cargo.lock build.rs cbindgen.toml pyproject.toml $(shell find src -type f)
SOURCES := $(RUST_SOURCES) README.md $(shell find python -name '*.py' -o -name '*.pyi' -o -name py.typed)
# The wheel, installed, and what its tests need.
TESTED := $(VENV)/installed $(VENV)/requirements
# Lists that people write stand in *.in, with reasons; `make lock` writes the .txt beside each.
LOCKS := tests/requirements tests/engines-requirements benches/requirements release/requirements
PYTHONS := 3.9 3.10 3.11 3.12 3.13 3.14 3.15
UV := uv==0.13.9
# Each lock names all that its packages depend on, so that pip has nothing to choose.
PIP_INSTALL := install --quiet --disable-pip-version-check --no-deps
# For an isolated build: pip before 25.3 reads the first, the ones from 25.3 on the second.
LOCKED_BUILD := PIP_CONSTRAINT=tests/requirements.txt PIP_BUILD_CONSTRAINT=tests/requirements.txt
# The newest clippy that was tried is that of Rust 1.95. What a newer one finds is shown and fails nothing.
CLIPPY_FAILS := $(CARGO) --version | awk '{ split($$2, v, "."); if (v[2] + 0 <= 95) print "-D warnings" }'
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# How the system calls the shared library: as cargo builds it and programs link it, as programs load it,
# and the file that both names lead to.
SYSTEM := $(shell uname -s)
MAJOR := $(firstword $(subst ., ,$(VERSION)))
ifeq ($(SYSTEM),Darwin)
SO := libskypostal.dylib
SONAME := libskypostal.$(MAJOR).dylib
SHARED := libskypostal.$(VERSION).dylib
ORIGIN := @loader_path
# What a program needs beside the static library, as `rustc --print=native-static-libs` says.
STATIC_LIBS := -framework Security -framework SystemConfiguration -framework CoreFoundation -liconv
else
SO := libskypostal.so
SONAME := $(SO).$(MAJOR)
SHARED := $(SO).$(VERSION)
ORIGIN := $$ORIGIN
STATIC_LIBS := -lutil -lrt -lpthread -lm -ldl
endif
C_FLAGS := -std=c89 -pedantic-errors -Wall -Wextra -Werror -Iinclude

.PHONY: demo develop test-rust test-python test-c lint test wheel docs soak memcheck test-toolchains tsan \
	fuzz test-engines test-pythons test-latest lock bench instructions instructions-parts header clean \
	tools lint-tools test-tools bench-tools c-library man install uninstall

demo: tools $(VENV)/installed c-library build/update
	@$(VENV_PYTHON) examples/demo.py build/update

# The tests of the wheel itself are in test_package.py.
test: test-tools lint test-rust $(TESTED)
	$(VENV_PYTHON) -m pytest
	$(VENV_PYTHON) -m pytest -m "wheel and not pythons" tests/packaging

PYTHON_CODE := python tests examples benches release docs/*.py
lint: lint-tools $(VENV)/requirements
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --features capi,python -- $$($(CLIPPY_FAILS))
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/mypy python examples tests release

# The inner loop. A file or folder of tests in ARGS stands in place of the folders here.
ARGS ?=
these_tests = $(VENV_PYTHON) -m pytest $(if $(filter tests/%,$(ARGS)),,$(1)) $(ARGS)
test-rust: tools
	$(CARGO) test --locked --features capi $(ARGS)

test-python: $(VENV)/develop
	$(call these_tests,tests/python tests/cli tests/sandbox) --python-only

test-c: $(VENV)/develop
	$(call these_tests,tests/c tests/cpp)

docs: $(TESTED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

soak: tools $(VENV)/installed
	$(VENV_PYTHON) tests/support/soak.py

memcheck: test-tools $(TESTED)
	@$(call has,valgrind) || $(call missing,valgrind,Run: apt-get install valgrind)
	$(VENV_PYTHON) -m pytest -m memcheck

test-toolchains: test-tools $(TESTED)
	$(VENV_PYTHON) -m pytest -m toolchains

tsan: test-tools $(TESTED)
	$(VENV_PYTHON) -m pytest -m toolchains tests/c/test_thread_sanitizer.py

test-pythons: test-tools $(TESTED)
	$(VENV_PYTHON) -m pytest -m pythons

# In a copy of the work tree, whose own lock files are written anew.
LATEST := build/latest
test-latest: test-tools
	rm -rf $(LATEST)
	mkdir -p $(LATEST)
	git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C $(LATEST)
	git -C $(LATEST) init --quiet
	git -C $(LATEST) add --all
	cd $(LATEST) && CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback $(CARGO) update
	$(MAKE) -C $(LATEST) lock
	$(MAKE) -C $(LATEST) test

# Of each version that is locked there must be a wheel for each Python. Of pyspark there is none at all.
lock: tools
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip $(PIP_INSTALL) $(UV)
	for lock in $(LOCKS); do \
		build/lock/bin/uv pip compile --quiet --universal --python-version 3.9 --upgrade \
			--annotation-style line --custom-compile-command "make lock" $$lock.in -o $$lock.txt || exit 1; \
		for version in $(PYTHONS); do \
			build/lock/bin/uv pip install --quiet --dry-run --no-deps --only-binary :all: \
				--no-binary pyspark --python-version $$version --target build/lock/none \
				-r $$lock.txt || exit 1; done; done

test-engines: tools build/wheels/built
	@java --version 2>/dev/null | awk '{ split($$2, v, "."); exit v[1] + 0 < 17 }' || \
		$(call needs,Java 17 or newer for Spark,java,Run: apt-get install default-jdk-headless)
	$(PYTHON) -m venv build/engines
	build/engines/bin/pip $(PIP_INSTALL) -r tests/engines-requirements.txt
	build/engines/bin/pip $(PIP_INSTALL) --force-reinstall build/wheels/*.whl
	build/engines/bin/python -m pytest -m engines tests/python/test_engines.py

fuzz:
	@$(CARGO) +nightly --version >/dev/null 2>&1 || \
		$(call missing,a nightly toolchain,Run: rustup toolchain install nightly)
	@$(CARGO) fuzz --version >/dev/null 2>&1 || \
		$(call missing,cargo-fuzz,Run: cargo install cargo-fuzz)
	for target in response update capi; do \
		$(CARGO) +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done

BENCH := build/bench
LANGUAGES := Python,C,Rust
C_PEERS := $(addprefix $(BENCH)/c/,skypostal libcurl-yyjson libcurl-cjson socket)
FOR_BENCH := Run: apt-get install $$(sed 's/\#.*//' benches/debian-packages.txt)
bench: bench-tools $(BENCH)/venv/installed $(C_PEERS) $(if $(findstring Rust,$(LANGUAGES)),$(BENCH)/rust/built)
	$(BENCH)/venv/bin/python benches/bench.py --languages $(LANGUAGES) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(CALLS),--calls $(CALLS))

bench-tools: tools
	@$(call at_least,$(PYTHON),3,11) || $(call needs,Python 3.11 or newer for its peers,$(PYTHON),$(FOR_PYTHON))

$(BENCH)/venv/installed: benches/requirements.txt build/wheels/built
	$(PYTHON) -m venv $(BENCH)/venv
	$(BENCH)/venv/bin/pip $(PIP_INSTALL) -r benches/requirements.txt
	$(BENCH)/venv/bin/pip $(PIP_INSTALL) --force-reinstall build/wheels/*.whl
	@touch $@

# Debian 12 has no package of yyjson; the source of its Python module holds the library's two files.
$(BENCH)/yyjson/yyjson.c: | $(BENCH)/venv/installed
	$(BENCH)/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
		--dest $(@D) yyjson==4.0.6
	tar -xzf $(@D)/yyjson-4.0.6.tar.gz -C $(@D) --touch --strip-components 2 --wildcards '*/yyjson.[ch]'

$(BENCH)/c/skypostal: FROM = -Iinclude benches/c/skypostal.c -Lbuild -lskypostal -Wl,-rpath,'$(ORIGIN)/../..'
$(BENCH)/c/libcurl-yyjson: FROM = -DYYJSON -I$(BENCH)/yyjson benches/c/libcurl.c $(BENCH)/yyjson/yyjson.c \
	$$(pkg-config --cflags --libs libcurl)
$(BENCH)/c/libcurl-cjson: FROM = benches/c/libcurl.c $$(pkg-config --cflags --libs libcurl libcjson)
$(BENCH)/c/socket: FROM = benches/c/socket.c
$(C_PEERS): $(wildcard benches/c/*) $(BENCH)/yyjson/yyjson.c build/$(SHARED)
	@PATH=$$PATH:/usr/sbin; $(call has,nginx) || $(call missing,nginx,$(FOR_BENCH))
	@$(call has,pkg-config) || $(call missing,pkg-config,$(FOR_BENCH))
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 -Wall -Wextra -Werror -pthread benches/c/worker.c $(FROM) -o $@

$(BENCH)/rust/built: $(SOURCES) benches/rust/Cargo.toml benches/rust/Cargo.lock $(wildcard benches/rust/src/*)
	$(CARGO) build --locked --release --manifest-path benches/rust/Cargo.toml --target-dir $(@D)
	@touch $@

instructions: $(TESTED) build/calls
	$(VENV_PYTHON) tests/support/instructions.py write build/calls

# With the lines of the source in the library, and in a folder of its own.
PARTS := target/parts/release
instructions-parts: $(TESTED) build/calls
	CARGO_PROFILE_RELEASE_DEBUG=line-tables-only $(CARGO) rustc --locked --release \
		--target-dir target/parts --lib --features capi --crate-type cdylib
	ln -sf $(SO) $(PARTS)/$(SONAME)
	LD_LIBRARY_PATH=$(PARTS) $(VENV_PYTHON) tests/support/instructions.py parts build/calls

man: $(VENV)/develop
	$(VENV_PYTHON) -m release.man_page

header:
	@$(CARGO_IS_NEW)
	SKYPOSTAL_WRITE_HEADER=1 $(CARGO) test --locked --features capi --lib header

clean:
	rm -rf target build site $(VENV)

# The library that a C program links. Without a Rust library beside the two, cargo optimises across all
# crates. In the static one, names of Rust's own are made local, so that a program may link another;
# as older compilers write them, too. Those of compiler_builtins' objects are for one another.
# `make release` sets the next five for other platforms: where the library is put, the command that builds
# it, where that leaves it, and the platform's tools.
C_LIBRARY := build
CARGO_RUSTC = $(CARGO) rustc
BUILT := target/release
OBJCOPY := objcopy
STRIP := strip
ifeq ($(SYSTEM),Darwin)
# Apple has no objcopy. There a program can link one static library of Rust.
LOCALIZE := cp
STRIP_SHARED = $(STRIP) -x
else
LOCALIZE = $(OBJCOPY) --strip-debug --wildcard --localize-symbol='rust_*' --localize-symbol='_R*' \
	--localize-symbol='_ZN*' --localize-symbol='!_ZN17compiler_builtins*'
# The names that tests/c/valgrind.supp needs to recognise what Rust keeps of the main thread.
STRIP_SHARED = $(STRIP) --wildcard -K '*6thread*6Thread3new*' -K '*7current12init_current*'
endif
c-library: $(C_LIBRARY)/$(SHARED)
$(C_LIBRARY)/$(SHARED): Cargo.toml Cargo.lock build.rs cbindgen.toml $(shell find src -name '*.rs')
	@$(CARGO_IS_NEW)
	$(CARGO_RUSTC) --locked --release --target-dir target --lib --features capi \
		--crate-type cdylib,staticlib
	@mkdir -p $(C_LIBRARY)
	@$(LOCALIZE) $(BUILT)/libskypostal.a $(C_LIBRARY)/libskypostal.a
	@ln -sf $(SHARED) $(C_LIBRARY)/$(SONAME)
	@ln -sf $(SHARED) $(C_LIBRARY)/$(SO)
	@$(STRIP_SHARED) -o $@ $(BUILT)/$(SO)

build/calls: tests/c/calls.c include/skypostal.h build/$(SHARED)
	$(CC) -std=c99 -D_POSIX_C_SOURCE=200809L -Iinclude $< -o $@ -Lbuild -lskypostal -lpthread \
		-Wl,--enable-new-dtags,-rpath,'$(ORIGIN)'

build/update: examples/update.c include/skypostal.h build/$(SHARED)
	$(CC) $(C_FLAGS) $< -o $@ -Lbuild -lskypostal -Wl,-rpath,'$(ORIGIN)'

# What is installed names its paths as seen from itself, so that the whole can be moved. A space in
# one gets a backslash, for pkg-config and CMake, and another for the sed that writes it there.
HEADERS := $(wildcard include/*.h include/*.hpp)
LICENSES := $(wildcard LICENSE-*)
INCLUDE_TO := $(DESTDIR)$(INCLUDEDIR)
LIB_TO := $(DESTDIR)$(LIBDIR)
CMAKE_DIR := $(DATADIR)/cmake/skypostal
CMAKE_TO := $(DESTDIR)$(CMAKE_DIR)
SHARE_TO := $(DESTDIR)$(DATADIR)/skypostal
MAN_TO := $(DESTDIR)$(MANDIR)/man1
DOC_TO := $(DESTDIR)$(DOCDIR)
# The path from the first folder to the second, by their names alone.
RELATIVE := awk 'function whole(path, parts,   n, i, m) { \
		n = split((path ~ /^\// ? "" : ENVIRON["PWD"] "/") path, given, "/"); \
		for (i = 1; i <= n; i++) \
			if (given[i] == "..") m -= (m > 0); \
			else if (given[i] != "" && given[i] != ".") parts[++m] = given[i]; \
		return m + 0 } \
	BEGIN { n = whole(ARGV[1], from); m = whole(ARGV[2], to); \
		while (i < n && i < m && from[i + 1] == to[i + 1]) i++; \
		for (j = i + 1; j <= n; j++) path = path "/.."; \
		for (j = i + 1; j <= m; j++) path = path "/" to[j]; \
		print path == "" ? "." : substr(path, 2) }'
seen_from = $$($(RELATIVE) "$(1)" "$(2)" | sed 's/ /\\\\ /g')

install: c-library
	$(INSTALL) -d "$(INCLUDE_TO)" "$(LIB_TO)/pkgconfig" "$(CMAKE_TO)" "$(SHARE_TO)" "$(MAN_TO)" "$(DOC_TO)"
	$(INSTALL) -m 644 $(HEADERS) "$(INCLUDE_TO)"
	$(INSTALL) -m 755 $(C_LIBRARY)/$(SHARED) "$(LIB_TO)"
	ln -sf $(SHARED) "$(LIB_TO)/$(SONAME)"
	ln -sf $(SHARED) "$(LIB_TO)/$(SO)"
	$(INSTALL) -m 644 $(C_LIBRARY)/libskypostal.a "$(LIB_TO)"
	@sed -e 's|@VERSION@|$(VERSION)|' -e 's|@STATIC_LIBS@|$(STATIC_LIBS)|' \
		-e "s|@PREFIX@|$(call seen_from,$(LIBDIR)/pkgconfig,$(PREFIX))|" \
		-e "s|@LIBDIR@|$(call seen_from,$(PREFIX),$(LIBDIR))|" \
		-e "s|@INCLUDEDIR@|$(call seen_from,$(PREFIX),$(INCLUDEDIR))|" skypostal.pc.in \
		> "$(LIB_TO)/pkgconfig/skypostal.pc"
	@sed -e "/^set(_skypostal_include/s|\.\..*|$(call seen_from,$(CMAKE_DIR),$(INCLUDEDIR)))|" \
		-e "/^set(_skypostal_folders/s|\.\..*|$(call seen_from,$(CMAKE_DIR),$(LIBDIR)))|" \
		cmake/skypostal-config.cmake > "$(CMAKE_TO)/skypostal-config.cmake"
	@chmod 644 "$(LIB_TO)/pkgconfig/skypostal.pc" "$(CMAKE_TO)/skypostal-config.cmake"
	$(INSTALL) -m 644 cmake/skypostal-config-version.cmake "$(CMAKE_TO)"
	$(INSTALL) -m 644 valgrind.supp "$(SHARE_TO)"
	$(INSTALL) -m 644 skypostal.1 "$(MAN_TO)"
	$(INSTALL) -m 644 $(LICENSES) "$(DOC_TO)"

uninstall:
	rm -f $(addprefix "$(INCLUDE_TO)"/,$(notdir $(HEADERS))) \
		$(addprefix "$(LIB_TO)"/,$(SO) $(SONAME) $(SHARED) libskypostal.a pkgconfig/skypostal.pc) \
		$(addprefix "$(CMAKE_TO)"/,$(notdir $(wildcard cmake/*.cmake))) \
		"$(SHARE_TO)"/valgrind.supp "$(MAN_TO)"/skypostal.1 $(addprefix "$(DOC_TO)"/,$(LICENSES))
	@rmdir "$(CMAKE_TO)" "$(SHARE_TO)" "$(DOC_TO)" 2>/dev/null || true

# Without --clear, what an earlier Python left there would count as installed.
$(VENV_PYTHON): | tools
	$(PYTHON) -m venv --clear $(VENV)

# Its tag says which glibc it needs, and maturin refuses to write one that is not true.
wheel: tools build/wheels/built
build/wheels/built: $(VENV_PYTHON) $(SOURCES) tests/requirements.txt
	rm -rf build/wheels
	$(LOCKED_BUILD) $(VENV_PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheels . \
		--config-settings=build-args="--compatibility pypi"
	@touch $@

# Of the two ways to install, each takes the place of the other.
$(VENV)/installed: build/wheels/built
	$(VENV_PYTHON) -m pip $(PIP_INSTALL) --force-reinstall build/wheels/*.whl
	@rm -f $(VENV)/develop
	@touch $@

develop: $(VENV)/develop
$(VENV)/develop: $(RUST_SOURCES) $(VENV)/requirements
	$(BIN)/maturin develop --quiet --profile dev --features python
	@rm -f $(VENV)/installed
	@touch $@

$(VENV)/requirements: tests/requirements.txt | $(VENV_PYTHON)
	$(VENV_PYTHON) -m pip $(PIP_INSTALL) -r tests/requirements.txt
	@touch $@

# What must be there beforehand. For what is missing or too old, one line says what is needed, what was
# found, and which command helps.
found = $$(command -v $(1) >/dev/null && $(1) --version 2>&1 | head -n 1 || echo none)
needs = { echo "skypostal needs $(1) (found: $(call found,$(2))). $(3)" >&2; exit 1; }
missing = { echo "skypostal needs $(1), which is missing. $(2)" >&2; exit 1; }
has = command -v $(1) >/dev/null
at_least = $(1) --version 2>/dev/null | awk '{ split($$2, v, "."); \
	new = v[1] + 0 > $(2) || v[1] == $(2) && v[2] + 0 >= $(3) } END { exit !new }'
RUSTUP := See 'Build' in README.md for how to get rustup
FOR_CARGO := Debian 13: apt-get install cargo. Elsewhere: rustup update stable && rustup default stable. $(RUSTUP).
FOR_RUSTFMT := Debian 13: apt-get install rustfmt. Elsewhere: rustup component add rustfmt.
FOR_CLIPPY := Debian 13: apt-get install rust-clippy. Elsewhere: rustup component add clippy.
FOR_PYTHON := Name another one: make PYTHON=python3.13. Debian 13: apt-get install python3-venv.
CARGO_IS_NEW = $(call at_least,$(CARGO),1,85) || $(call needs,cargo 1.85 or newer,$(CARGO),$(FOR_CARGO))
tools:
	@$(call has,$(CC)) || $(call missing,a C compiler,Run: apt-get install gcc)
	@$(CARGO_IS_NEW)
	@$(call at_least,$(PYTHON),3,9) || $(call needs,Python 3.9 or newer,$(PYTHON),$(FOR_PYTHON))
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		$(call missing,Python's venv with pip,Run: apt-get install python3-venv)

test-tools: lint-tools
	@$(call has,git) || $(call missing,git,Run: apt-get install git)
	@$(call has,$(CXX)) || $(call missing,a C++ compiler,Run: apt-get install g++)

lint-tools: tools
	@$(CARGO) fmt --version >/dev/null 2>&1 || $(call missing,rustfmt,$(FOR_RUSTFMT))
	@$(CARGO) clippy --version >/dev/null 2>&1 || $(call missing,clippy,$(FOR_CLIPPY))

include release/release.mk
