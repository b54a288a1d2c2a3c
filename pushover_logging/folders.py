"""Where the user's own files are, and what is a folder."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def state_folder() -> Path:
    """Return the folder for what outlives a process: systemd's, else the user's."""
    own = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if own:
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pushover-logging"
    return (
        Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "pushover-logging"
    )


def is_folder(path: Path) -> bool:
    """Tell whether ``path`` is a folder; ValueError for what the system can have no file of."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False  # what is not there yet, or not open to us yet, can be later
    except OSError as error:
        raise ValueError(error.strerror) from error
