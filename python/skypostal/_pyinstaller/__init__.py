"""Tells PyInstaller what a program with this package needs: entry point ``pyinstaller40``."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """Returns the folder of the hooks."""
    return [os.path.dirname(__file__)]
