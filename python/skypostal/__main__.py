"""The command `skypostal`, which is `python -m skypostal` too."""

from __future__ import annotations

import sys

from skypostal._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
