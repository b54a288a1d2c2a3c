"""How long after the logging call the request arrives: an idle process, a warm connection."""

from __future__ import annotations

import multiprocessing
import socketserver
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection

import requests

from benchmarks import handlers
from benchmarks.progress import say
from benchmarks.report import Result, check, times
from benchmarks.service import TOKEN, USER
from benchmarks.timing import Effort, Series, profiled, ratio

TARGET = 1.3
OURS, BARE = "pushover_logging", "a bare session.post"
IDLE = 0.03  # seconds between two messages
TEXT = "Cannot reach the database for customer 1043"


class _Arrivals(BaseHTTPRequestHandler):
    """Notes when a request's first line is there: the inbox does only once it has read it all."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pipe: Connection

    def do_POST(self) -> None:
        """Answer as the service does."""
        at = time.perf_counter()  # the same clock in all processes of a machine
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"status":1,"request":"1"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.pipe.send(at)

    def log_request(self, *_: object) -> None:
        """Say nothing."""


def _serve(pipe: Connection) -> None:
    _Arrivals.pipe = pipe
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Arrivals) as server:
        server.daemon_threads = True
        pipe.send(server.server_address[1])
        server.serve_forever()


@contextmanager
def arrivals() -> Iterator[tuple[str, Connection]]:
    """Run the service that notes arrivals: its address, and a pipe of seconds."""
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(its,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}", mine
    finally:
        process.terminate()
        process.join()


def run(effort: Effort) -> Result:
    """Send in turns."""
    result = Result("6. From the logging call to the request's arrival")
    count = effort.of(200, 40)
    waits: dict[str, list[float]] = {BARE: [], OURS: []}
    with arrivals() as (url, pipe), handlers.ours(url, throttle=False) as log:
        body = _body(log, TEXT)
        with requests.Session() as session:
            address = f"{url}/1/messages.json"
            sends = {
                BARE: lambda: session.post(address, data=body, timeout=10),
                OURS: lambda: log.error(TEXT),
            }
            for number in range(count + 1):
                say(f"message {number + 1} of {count}")
                for name, send in sends.items():
                    time.sleep(IDLE)
                    start = time.perf_counter()
                    send()
                    waits[name].append(pipe.recv() - start)
        timed = {
            name: Series(tuple(each[1:])) for name, each in waits.items()
        }  # the first connects
        of_bare = ratio(timed[OURS], Series((timed[BARE].median,) * count))
        result.checks.append(check("median: of a bare session.post", of_bare, TARGET))
        result.tables.append(times(timed, what="until it arrives"))
        if not result.is_met:
            with handlers.still(throttle=False) as still:
                result.profile = profiled(partial(_logged, still))
    return result


def _body(log: handlers.logging.Logger, text: str) -> dict[str, object]:
    record = log.makeRecord(log.name, 40, __file__, 1, text, (), None, "pay")
    message = log.handlers[0].message(record)  # type: ignore[attr-defined]
    shown = {"message": message.message, "title": message.title, "priority": message.priority}
    return {"token": TOKEN, "user": USER, **shown, "timestamp": message.timestamp}


def _logged(log: handlers.logging.Logger, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        log.error(TEXT)
    return time.perf_counter() - start
