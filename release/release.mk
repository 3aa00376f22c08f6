# make release: builds what users install into build/release, and tries it. release/ is the program that
# builds, tests/release are the trials. PLATFORMS="linux-x86_64 windows-x86_64" builds some of
# release/platforms.py; LTO=off leaves link-time optimisation out, for a quick try.
PLATFORMS ?=
LTO ?= fat
RELEASE_TOOLS := build/release-tools

.PHONY: release release-build release-test

release: release-build
	$(MAKE) release-test

release-build: tools $(RELEASE_TOOLS)/installed
	@PATH="$(CURDIR)/$(RELEASE_TOOLS)/bin:$$PATH" $(RELEASE_TOOLS)/bin/python -m release --lto $(LTO) $(PLATFORMS)

# Tries what is in build/release and builds nothing there.
release-test: test-tools $(TESTED)
	$(VENV_PYTHON) -m pytest -m release tests/release $(ARGS)

$(RELEASE_TOOLS)/installed: release/requirements.txt
	$(PYTHON) -m venv --clear $(RELEASE_TOOLS)
	$(RELEASE_TOOLS)/bin/pip $(PIP_INSTALL) -r release/requirements.txt
	@touch $@
