"""The inbox's HTTP server: Werkzeug's, with persistent connections, their log, and faults."""

from __future__ import annotations

import io
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from pushover_logging.inbox.connections import ConnectionLog
from pushover_logging.inbox.faults import FaultQueue, InjectedFault

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Enough for the largest attachment as percent-encoded Base64, and all other fields.
MAX_BODY_BYTES = 16 * 1024 * 1024
IDLE_TIMEOUT = 60.0  # seconds; then a connection on which nothing comes or goes is closed
API = "/1/"
# The key of a list in the WSGI environment: the application adds the fault that applies here.
FAULTS = "pushover_logging.inbox.faults"


class RequestHandler(WSGIRequestHandler):
    """Answers the requests of one connection in its own thread."""

    server: InboxServer
    environ: dict[str, Any]
    close_connection: bool
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm with delayed acknowledgements costs 40 ms per answer on loopback.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request.

        Werkzeug's method closes each connection and first reads what is left on it; on a persistent
        connection that would be the next request. (http.server has answered ``Expect:
        100-continue`` before.)
        """
        if self.path.startswith(API):
            self.server.connection_log.requested(self.connection)
        try:
            self.environ = environ = self.make_environ()
        except ValueError:  # an invalid URL
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        faults: list[InjectedFault] = []
        environ[FAULTS] = faults
        drained = self._read_body(environ)
        with Response.from_app(self.server.app, environ) as response:
            self._answer(response, faults[0] if faults else InjectedFault(), drained=drained)

    def _answer(self, response: Response, fault: InjectedFault, *, drained: bool) -> None:
        if fault.hang or fault.reset or fault.lost:
            self.close_connection = True
            if fault.reset:
                self.server.to_reset.add(self.connection)
            return
        self.send_response(response.status_code, response.status.partition(" ")[2])
        for name, value in response.headers:
            self.send_header(name, value)
        if not drained:
            self.send_header("Connection", "close")
        if response.mimetype == "text/event-stream":
            self.close_connection = True
            self.end_headers()
            self._stream(response)
            return
        self.end_headers()
        self._send(response.get_data(), fault.drip)

    def _read_body(self, environ: dict[str, Any]) -> bool:
        """Read the body, and return True if the connection can be used for another request.

        A body that the application does not read would be taken for the next request, so it is read
        here. If it is too large or has no length, the connection is closed instead.
        """
        length = environ.get("CONTENT_LENGTH") or "0"
        chunked = "wsgi.input_terminated" in environ
        drained = not chunked and length.isdecimal() and int(length) <= MAX_BODY_BYTES
        if drained:
            environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(length)))
        return drained

    def _stream(self, response: Response) -> None:
        """Send events as they occur, until the page or the inbox closes."""
        try:
            for event in response.response:
                self.wfile.write(event)  # type: ignore[arg-type]
        except OSError:
            return  # the page was closed

    def _send(self, body: bytes, drip: float) -> None:
        if not drip:
            self.wfile.write(body)
            return
        for number in range(len(body)):
            if self.server.faults.wait(drip):
                self.close_connection = True
                return
            self.wfile.write(body[number : number + 1])

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing; Werkzeug's method raises for an invalid URL."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - Werkzeug's name
        """Log nothing: the page and the attempts show all requests."""


class InboxServer(ThreadedWSGIServer):
    """Serves ``app`` on ``listener`` with one daemon thread per connection."""

    daemon_threads = True

    def __init__(
        self, listener: socket.socket, app: WSGIApplication, faults: FaultQueue, log: ConnectionLog
    ) -> None:
        self.faults = faults
        self.connection_log = log
        # A connection's own thread adds and removes it; operations of a set are atomic.
        self.to_reset: set[socket.socket] = set()
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, RequestHandler, fd=listener.fileno())

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and log it."""
        connection, address = super().get_request()
        connection.settimeout(IDLE_TIMEOUT)
        self.connection_log.opened(connection, address)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """End a connection normally, or with a TCP reset if the fault asks for it."""
        self.connection_log.closed(request)
        if request not in self.to_reset:
            super().shutdown_request(request)
            return
        self.to_reset.discard(request)
        # With a linger time of 0 the system sends a reset.
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_request(request)
