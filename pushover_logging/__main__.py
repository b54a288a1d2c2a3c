"""Run as ``python -m pushover_logging`` where the command is not on the path."""

from __future__ import annotations

import sys

from pushover_logging.cli import main

if __name__ == "__main__":
    sys.exit(main())
