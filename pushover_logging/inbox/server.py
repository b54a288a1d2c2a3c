"""The stand-in service as an object: a real HTTP server on this machine, for a test or a person."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox.app import MAX_BODY_BYTES, create_app
from pushover_logging.inbox.store import Attempt, Match, Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

# The example token and user key of https://pushover.net/api: well shaped, and nobody's secret.
EXAMPLE_TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"  # noqa: S105
EXAMPLE_USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"

HIGHEST_PORT = 65_535

# How soon the server notices that it is to close, and how long closing may take; in seconds.
_POLL_INTERVAL = 0.05
_CLOSE_TIMEOUT = 5.0


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm and delayed acknowledgement together cost 40 ms an answer on loopback.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        # In place of Werkzeug's, which closes each connection and, to do that cleanly, reads on
        # after the answer: on a connection that stays open, that is the next request.
        # (``Expect: 100-continue`` was answered by http.server, before this.)
        self.environ = environ = self.make_environ()
        length = environ.get("CONTENT_LENGTH") or "0"
        # What the application leaves unread would be taken for the next request, so the body is
        # read here; a connection whose body is too large, or has no length, is closed instead.
        chunked = "wsgi.input_terminated" in environ
        drained = not chunked and length.isdecimal() and int(length) <= MAX_BODY_BYTES
        if drained:
            environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(length)))
        response = Response.from_app(self.server.app, environ, buffered=True)
        self.send_response(response.status_code, response.status.partition(" ")[2])
        for name, value in response.headers:
            self.send_header(name, value)
        if not drained:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.get_data())

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - Werkzeug's name
        """Say nothing: the page and the attempts tell what came."""


class _Server(ThreadedWSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, store: Store) -> None:
        # Shared by the accepting thread and one thread a connection.
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, create_app(store), _Handler, fd=listener.fileno())

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - socketserver's signature
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """End the connections that clients keep open, and the ones whose requests hang."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # The client was first.
                    connection.shutdown(socket.SHUT_RDWR)


class Inbox:
    """A stand-in for the Pushover service on ``host`` and ``port`` (0: one that is free).

    A context manager that serves from its entry to its exit. ``refused`` are tokens and user keys
    that it refuses although they are well shaped; the set may be changed at any time. After
    ``close``, ``start`` serves on the same port again and still knows what came before.
    Raises ConfigurationError for a number that is no port.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, refused: set[str] | None = None
    ) -> None:
        if not 0 <= port <= HIGHEST_PORT:
            text = f"port: {port} is not from 0 to {HIGHEST_PORT}"
            raise ConfigurationError(text)
        self.host = host
        self.port = port
        self._store = Store(refused)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Begin to serve, in a daemon thread; no effect on an inbox that does.

        Raises ConfigurationError where the address cannot be used.
        """
        if self._server is not None:
            return self
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        except OSError as error:
            text = f"the inbox cannot listen on {self.host} port {self.port}: {error}"
            raise ConfigurationError(text) from error
        with listener:
            self._server = _Server(listener, self._store)
        self.port = self._server.port
        self._store.open()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_POLL_INTERVAL,),
            name="pushover-inbox",
            daemon=True,
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving and end all connections, also those whose requests hang; within 5 s."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.shutdown()
        server.drop_connections()
        self._store.close()
        thread.join(_CLOSE_TIMEOUT)

    @property
    def url(self) -> str:
        """The service's address, without a slash at its end; with port 0 known once started."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that point a program at this inbox."""
        return {
            "PUSHOVER_API_URL": self.url,
            "PUSHOVER_TOKEN": EXAMPLE_TOKEN,
            "PUSHOVER_USER": EXAMPLE_USER,
        }

    @property
    def refused(self) -> set[str]:
        """The tokens and user keys to refuse; change it in place."""
        return self._store.refused

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The accepted messages, oldest first, copied; at most the last 10,000.

        Each has its fields as text, as they were received, and ``received`` (Unix time),
        ``request`` (the answer's id), ``attachment`` (name, type, size in bytes; or None).
        """
        return self._store.messages

    @property
    def attempts(self) -> list[Attempt]:
        """All requests to send a message, oldest first; at most the last 10,000."""
        return self._store.attempts

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the messages once there are ``count``; AssertionError after ``timeout`` s."""
        return self._store.wait_for(count, timeout)

    def set_quota(
        self, *, limit: int | None = None, remaining: int | None = None, reset: float | None = None
    ) -> None:
        """Set messages a month, messages left, Unix time of the reset; None leaves one as it is."""
        self._store.set_quota(limit=limit, remaining=remaining, reset=reset)

    def fail_with(  # noqa: PLR0913 - as Store.fail_with
        self,
        status: int | None = None,
        body: str | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        delay: float = 0.0,
        hang: bool = False,
        times: int | None = 1,
        match: Match | None = None,
    ) -> None:
        """Queue a fault for the next ``times`` requests (None: until cleared) that ``match``.

        ``status``, ``body`` and ``headers`` replace the answer, ``delay`` (seconds) comes before
        it and alone makes the service slow, ``hang`` never answers. See ``Store.fail_with``.
        """
        self._store.fail_with(
            status, body, headers, delay=delay, hang=hang, times=times, match=match
        )

    def clear_faults(self) -> None:
        """Forget the queued faults."""
        self._store.clear_faults()

    def clear(self) -> None:
        """Forget messages and attempts; quota, faults and what is refused stay."""
        self._store.clear()
