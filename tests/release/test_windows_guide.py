"""What docs/c-windows.md shows is what happens."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from pathlib import Path

import pytest
from code_blocks import code_blocks
from project import ROOT
from windows_library import WindowsLibrary

from skypostal.sandbox import CUSTOMER_KEY, Sandbox

pytestmark = pytest.mark.release
