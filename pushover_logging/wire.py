"""What a connection brings: an answer within bounds, or a failure, and what that failure means."""

from __future__ import annotations

import time

import requests
from urllib3.exceptions import NewConnectionError

ANSWER_LIMIT = 64 * 1024


def is_unconnected(error: Exception) -> bool:
    """Tell whether no connection was made, so that nothing can have arrived."""
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.SSLError)):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)  # its name was not found, too


def read(response: requests.Response, seconds: float) -> bytes:
    """Read the answer's body: at most ``ANSWER_LIMIT`` bytes, for at most ``seconds``."""
    deadline = time.monotonic() + seconds
    body = b""
    while len(body) < ANSWER_LIMIT:
        part = response.raw.read1(ANSWER_LIMIT, decode_content=True)
        if not part:
            break
        body += part
        if time.monotonic() > deadline:
            msg = "the answer came too slowly"
            raise TimeoutError(msg)
    return body
