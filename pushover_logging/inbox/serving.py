"""The stand-in's HTTP server: Werkzeug's, with connections that are kept, logged and broken."""

from __future__ import annotations

import io
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from pushover_logging.inbox.connections import ConnectionLog
from pushover_logging.inbox.faults import Fault, Faults

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Room for the largest attachment as percent-encoded Base64, with everything else.
MAX_BODY_BYTES = 16 * 1024 * 1024
API = "/1/"
# A list in the WSGI environment, where the application leaves the fault that the server is to play.
FAULTS = "pushover_logging.inbox.faults"


class Handler(WSGIRequestHandler):
    """Answers the requests of one connection, on a thread of its own."""

    server: Server
    environ: dict[str, Any]
    close_connection: bool
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm and delayed acknowledgement together cost 40 ms an answer on loopback.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request.

        In place of Werkzeug's, which closes each connection and, to do that cleanly, reads on after
        the answer: on a connection that stays open, that is the next request.
        (``Expect: 100-continue`` was answered by http.server, before this.)
        """
        if self.path.startswith(API):
            self.server.log_of_connections.requested(self.connection)
        try:
            self.environ = environ = self.make_environ()
        except ValueError:  # An address that is none.
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        played: list[Fault] = []
        environ[FAULTS] = played
        drained = self._read_body(environ)
        with Response.from_app(self.server.app, environ) as response:
            self._answer(response, played[0] if played else Fault(), drained=drained)

    def _answer(self, response: Response, fault: Fault, *, drained: bool) -> None:
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
        """Read the body; return whether that is done, so that the next request can be read.

        What the application leaves unread would be taken for the next request, so the body is read
        here; a connection whose body is too large, or has no length, is closed instead.
        """
        length = environ.get("CONTENT_LENGTH") or "0"
        chunked = "wsgi.input_terminated" in environ
        drained = not chunked and length.isdecimal() and int(length) <= MAX_BODY_BYTES
        if drained:
            environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(length)))
        return drained

    def _stream(self, response: Response) -> None:
        """Send events as they come, until the page or the inbox closes."""
        try:
            for event in response.response:
                self.wfile.write(event)  # type: ignore[arg-type]
        except OSError:
            return  # The page is gone.

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
        """Say nothing; Werkzeug's raises for an address that is none."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - Werkzeug's name
        """Say nothing: the page and the attempts tell what came."""


class Server(ThreadedWSGIServer):
    """Serves ``app`` on ``listener``, one daemon thread a connection."""

    daemon_threads = True

    def __init__(
        self, listener: socket.socket, app: WSGIApplication, faults: Faults, log: ConnectionLog
    ) -> None:
        self.faults = faults
        self.log_of_connections = log
        # Each connection's own thread adds it and takes it out: a set's single steps are atomic.
        self.to_reset: set[socket.socket] = set()
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, Handler, fd=listener.fileno())

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and log it."""
        connection, address = super().get_request()
        self.log_of_connections.opened(connection, address)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - socketserver's signature
        """End a connection: as a client expects it, or with a reset."""
        self.log_of_connections.closed(request)
        if request not in self.to_reset:
            super().shutdown_request(request)
            return
        self.to_reset.discard(request)
        # Lingering for no time makes the system send a reset in place of an orderly end.
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_request(request)
