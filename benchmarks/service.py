"""The service that all are pointed at: the inbox, in a process of its own, over its HTTP calls."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"  # noqa: S105  the one of Pushover's documentation
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
NOWHERE = "http://127.0.0.1:9"
"""An address for handlers that are not to send."""


class Service:
    """The inbox at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._calls = requests.Session()

    def fail_with(self, **fault: object) -> None:
        """Play a fault at every message until `reset`; see docs/inbox.md."""
        self._call("POST", "faults", json={"times": None, **fault}).raise_for_status()

    def reset(self) -> None:
        """Have it as new."""
        self._call("POST", "reset").raise_for_status()
        self._call("PUT", "quota", json={"limit": 10**9, "remaining": 10**9}).raise_for_status()

    def messages(self, count: int = 0) -> list[dict[str, Any]]:
        """Return what it has accepted, once there are ``count``."""
        return list(self._call("GET", f"messages?count={count}&timeout=60").json())

    def count(self) -> int:
        """Return how many requests it got, as its last 10,000 go."""
        return len(self._call("GET", "attempts").json())

    def spent(self) -> int:
        """Return how many messages it has accepted."""
        quota = self._call("GET", "quota").json()
        return int(quota["limit"]) - int(quota["remaining"])

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:  # noqa: ANN401
        return self._calls.request(method, f"{self.url}/inbox/{path}", timeout=70, **more)


@contextmanager
def service() -> Iterator[Service]:
    """Run an inbox."""
    command = [sys.executable, "-m", "pushover_logging", "inbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            url = next(word for word in line.split() if word.startswith("http"))
            one = Service(url)
            one.reset()
            yield one
        finally:
            process.terminate()
            time.sleep(0)
