"""The fields of a link to the source line: ``path``, ``line`` and ``commit`` of a URL template."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pushover_logging.identity.tracebacks import Frame, is_in_app

LINK_FIELDS = frozenset({"path", "line", "commit"})
COMMIT_VARIABLES = (  # of build services and hosts, in the order in which they are asked
    "GIT_COMMIT", "SOURCE_VERSION", "HEROKU_SLUG_COMMIT", "RENDER_GIT_COMMIT",
    "RAILWAY_GIT_COMMIT_SHA", "VERCEL_GIT_COMMIT_SHA", "GITHUB_SHA", "CI_COMMIT_SHA", "K_REVISION",
)  # fmt: skip
_REPOSITORIES = (".git", ".hg", ".svn")


class SourceLink(NamedTuple):
    """Where the program's source is; ``root`` None: found for each file, ``commit`` None: unknown.

    A file is relative to the folder of the version control that it is in, else to the working
    directory. Without a ``root`` it must exist: the path inside a zip file is in no repository.
    """

    root: Path | None = None
    commit: str | None = None

    def field(self, name: str, frame: Frame | None) -> str:
        """Return a field for an in-app frame. Raises KeyError if it is unknown."""
        if name == "commit":
            found = self.commit
        elif frame is None or not is_in_app(frame.filename):
            found = None
        elif name == "line":
            found = str(frame.lineno) if frame.lineno else None
        else:
            found = self._path(frame.filename)
        if found is None:
            raise KeyError(name)
        return found

    def _path(self, filename: str) -> str | None:
        """Return a file's path below the root, with slashes; None for any other file."""
        try:
            path = Path(filename).resolve()
            root = self.root
            if root is None and path.is_file():
                root = _repository(path.parent) or Path.cwd()
            if root is None or root == Path(root.anchor):
                return None
            return path.relative_to(root.resolve()).as_posix()
        except (OSError, ValueError, RuntimeError):  # outside the root, or no working directory
            return None


@lru_cache(maxsize=256)
def _repository(folder: Path) -> Path | None:
    """Return the folder of the version control that ``folder`` is in."""
    for parent in (folder, *folder.parents):
        if any(os.path.lexists(parent / name) for name in _REPOSITORIES):
            return parent
    return None
