"""Builds what users install, for each platform, into build/release: `make release`."""
