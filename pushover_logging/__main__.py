"""Runs the command as ``python -m pushover_logging``; Python requires this file for that."""

from __future__ import annotations

import sys

from pushover_logging.cli import main

if __name__ == "__main__":
    sys.exit(main())
