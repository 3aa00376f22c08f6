"""The hook of PyInstaller for ``skypostal``."""

# The native module imports these by name, so that no analysis of the program finds them.
hiddenimports = ["skypostal._preload", "skypostal.errors"]
