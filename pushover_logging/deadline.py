"""An HTTP answer that ends in time, however slowly a server drips it.

A socket's timeout begins anew with each byte: a head of one byte at a time would take for ever.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import socket
import time
from http import HTTPStatus
from typing import Any

from requests.adapters import HTTPAdapter


class TimelyAdapter(HTTPAdapter):
    """Gives an answer the read timeout for its first byte, and once more for all the rest."""

    _pool: Any = None  # the one that is used: all requests go to one address

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  urllib3's
        """Return the pool that requests would, its connections' answers with a deadline."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if kind.response_class is not _Response:
            pool.ConnectionCls = type(kind.__name__, (kind,), {"response_class": _Response})
        self._pool = pool
        return pool

    def close(self) -> None:
        """Close the connections also at the process's end, when urllib3's finalizers are over."""
        super().close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  http.client's
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Timely(self.fp, sock))

    def begin(self) -> None:
        """Pass over each head that announces the answer, as 103 does; http.client knows 100."""
        super().begin()
        while self.status < HTTPStatus.OK:  # https://www.rfc-editor.org/rfc/rfc9110#section-15.2
            self.headers = None  # type: ignore[assignment]
            super().begin()


class _Timely(io.RawIOBase):
    """What ``file`` brings from its first byte on, within the timeout of its socket ``sock``."""

    def __init__(self, file: io.BufferedReader, sock: socket.socket) -> None:
        self._file, self._sock, self._seconds = file, sock, sock.gettimeout() or math.inf
        self._deadline = math.inf

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  io's own
        """Read what is there. Raises TimeoutError after the deadline."""
        if self._deadline < math.inf:
            left = self._deadline - time.monotonic()
            if left <= 0:
                msg = "the answer came too slowly"
                raise TimeoutError(msg)
            self._sock.settimeout(left)
        size = self._file.readinto1(buffer)
        self._deadline = min(self._deadline, time.monotonic() + self._seconds)
        return size

    def close(self) -> None:
        """Close both; the connection may go on."""
        self._file.close()
        if self._deadline < math.inf:
            with contextlib.suppress(OSError):  # it was closed
                self._sock.settimeout(self._seconds)
        super().close()
