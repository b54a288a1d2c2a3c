"""The service at its worst: what is sent again, when, and what is never sent again."""

import contextlib
import http.server
import itertools
import logging
import socket
import ssl
import threading
import time
from email.utils import formatdate

import pytest
import requests

from pushover_logging.message import ATTACHMENT_LIMIT

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"


@pytest.mark.parametrize(
    ("retry_after", "low", "high"),
    [
        ("30", 30, 30),
        ("1", 5, 5),
        ("-7", 60, 60),
        ("soon", 60, 60),
        ("", 60, 60),
        ("nan", 60, 60),
        ("1000000000", 3600, 3600),
        (120, 100, 121),
        (-120, 60, 60),
        ("Tue, 99 Foo 2026 99:99:99 GMT", 60, 60),
    ],
)
def test_429_without_a_reset_waits_as_told_within_reason(drive, retry_after, low, high):
    """Seconds, a date, garbage, negative, endless: clamped, and nothing is sent before."""
    driven = drive()
    if isinstance(retry_after, int):  # a date so many seconds ahead, by the real clock
        retry_after = formatdate(time.time() + retry_after)
    driven.inbox.fail_with(429, headers={"Retry-After": retry_after})
    driven.log.error("boom happened")
    driven.settle()
    driven.advance(low - 2)
    assert 1 == len(driven.inbox.attempts)
    driven.advance(high - low + 4)
    assert ["boom happened"] == driven.titles


@pytest.mark.parametrize(("blamed", "user"), [("token", None), ("user", None)])
def test_refused_credential_is_probed_ever_more_rarely_until_it_is_put_right(drive, blamed, user):
    """One probe after 10 min, then doubling; put right, all goes out, the most urgent first."""
    driven = drive(throttle=False)
    secret = driven.inbox.environ[f"PUSHOVER_{blamed.upper()}"]
    driven.inbox.refused.add(secret)
    driven.log.error("first error")
    driven.log.warning("a warning")
    driven.log.critical("a critical")
    driven.log.error("second error")
    driven.settle()
    tries = [1]
    for wait in (600, 1200, 2400):
        driven.advance(wait - 5)
        assert tries[-1] == len(driven.inbox.attempts)
        driven.advance(5)
        tries.append(len(driven.inbox.attempts))
    assert [1, 2, 3, 4] == tries
    driven.inbox.refused.clear()
    driven.advance(4800)
    assert ["a critical", "first error", "second error", "a warning"] == driven.titles


@pytest.mark.parametrize("drive", ["memory"], indirect=True)  # the waits are the sender's
def test_1000_failing_tries_never_come_closer_than_5_seconds(drive):
    """With 1,000 Messages waiting and every kind of passing fault."""
    driven = drive(throttle=False)
    faults = [
        {"status": 500}, {"status": 502, "body": "<html>"}, {"status": 302}, {"status": 418 + 100},
        {"reset": True}, {"body": "{"}, {"status": 599},
    ]  # fmt: skip
    for number in range(1000):
        driven.log.error("trouble %d", number)
    tried = []
    send = driven.handler._pipeline._client.send

    def watched(message):
        tried.append(driven.clock.now)
        driven.inbox.fail_with(**faults[len(tried) % len(faults)])
        return send(message)

    driven.handler._pipeline._client.send = watched
    while len(tried) < 1000:
        driven.clock.now += max(driven.handler._pipeline.thread.step(), 0.001)
        if len(tried) % 100 == 99:  # a newcomer brings no try forward
            driven.log.critical("newcomer")
    gaps = [after - before for before, after in itertools.pairwise(tried)]
    assert min(gaps) >= 5
    assert [] == driven.titles


def test_redirect_is_not_followed(drive):
    """The token is sent to no address that an answer names; the Message waits."""
    driven = drive()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        port = elsewhere.getsockname()[1]
        location = {"Location": f"http://127.0.0.1:{port}/1/messages.json"}
        for status in (301, 302, 303, 307, 308):
            driven.inbox.fail_with(status, headers=location)
        driven.log.error("boom happened")
        for _ in range(6):
            driven.advance(301)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert 6 == len(driven.inbox.attempts)
    assert ["boom happened"] == driven.titles


@pytest.mark.parametrize("location", ["http://[", "http://web-1/\xff"])
def test_redirect_to_no_address_is_a_fault_that_passes(drive, location):
    """Nobody looks at where it leads: the Message waits, and the sender lives."""

    class Moved(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(302)
            self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Moved) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            driven = drive(api_url=f"http://127.0.0.1:{server.server_port}")
            driven.log.error("boom happened")
            driven.settle()
        finally:
            server.shutdown()
            thread.join()
    stats = driven.handler.stats()
    assert (1, True) == (stats.pending, "answered 302" in stats.last_error)


def waits_after(driven, api_url):
    """Log one error to a service that cannot be reached; return how long the sender then waits."""
    one = driven(api_url=api_url, timeout=0.5)
    one.log.error("boom happened")
    while (wait := one.handler._pipeline.thread.step()) <= 0:
        pass
    if wait < 5:  # a look at the file comes first
        wait = one.handler._pipeline.sender._retry.pause()
    assert 1 == one.handler.stats().pending
    assert "no answer from" in one.handler.stats().last_error
    return wait


def test_name_that_cannot_be_resolved_is_tried_again(drive, monkeypatch):
    """DNS that fails is a passing fault."""

    def refuse(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert waits_after(drive, "https://nowhere.invalid") >= 5


def test_service_whose_certificate_nobody_knows_is_tried_again(drive, certificate):
    """TLS that fails is a passing fault, and nothing was sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert waits_after(drive, f"https://localhost:{server.server_port}") >= 5
        finally:
            server.shutdown()
            thread.join()
    assert [] == got


@pytest.mark.parametrize("status", [200, 302, 500])
def test_dripping_answer_ends_at_its_deadline(handler_for, inbox, status):
    """A byte now and then is no answer: given up in time, then sent again later."""
    headers = {"Location": inbox.url}
    inbox.fail_with(status, {"status": 1, "request": "x" * 60}, headers, drip=0.1)
    handler = handler_for(timeout=(1, 0.5), close_timeout=0.1)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("boom happened")
    deadline = time.monotonic() + 10
    while handler.stats().last_error is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "no answer" in handler.stats().last_error
    assert 1 == handler.stats().pending


@contextlib.contextmanager
def slow_link(port, rate):
    """Forward one connection at a time to ``port``, ``rate`` bytes a second on the way there."""
    done = threading.Event()

    def forward(source, target, seconds_a_byte):
        with contextlib.suppress(OSError):
            while part := source.recv(16_384):
                target.sendall(part)
                time.sleep(len(part) * seconds_a_byte)

    def serve(listener):
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = listener.accept()
                with near, socket.create_connection(("127.0.0.1", port)) as far:
                    back = threading.Thread(target=forward, args=(far, near, 0))
                    back.start()
                    forward(near, far, 1 / rate)
                    far.shutdown(socket.SHUT_RDWR)
                    back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        done.set()
        thread.join()


@pytest.mark.process
def test_largest_picture_over_a_slow_link_arrives(handler_for, inbox):
    """5 MiB over 1 Mbit/s take 42 s, four times the limit for an answer: sent, and once."""
    picture = bytes(ATTACHMENT_LIMIT)
    with slow_link(inbox.port, rate=125_000) as port:
        handler = handler_for(api_url=f"http://127.0.0.1:{port}", throttle=False, close_timeout=60)
        log = logging.Logger("shop")
        log.addHandler(handler)
        log.error("boom happened", extra={"pushover": {"attachment": picture}})
        (push,) = inbox.wait_for(1, timeout=120)
        assert len(picture) == push["attachment"]["size"]
        assert handler.flush(10)
        handler._pipeline._client.close()
    assert 1 == len(inbox.attempts)


def test_answer_that_is_lost_is_asked_for_again(drive, caplog):
    """The service took it and the answer did not arrive: sent again, a possible duplicate."""
    driven = drive()
    driven.inbox.fail_with(lost=True)
    driven.log.error("boom happened")
    driven.advance(100)
    assert ["boom happened", "boom happened"] == driven.titles
    stats = driven.handler.stats()
    assert (1, 1, 1) == (stats.records, stats.sent, stats.possible_duplicates)


def test_connection_that_was_refused_makes_no_duplicate(drive):
    """Where nothing can have arrived, nothing can be there twice."""
    driven = drive()
    driven.inbox.fail_with(500)
    driven.log.error("boom happened")
    driven.advance(100)
    assert 0 == driven.handler.stats().possible_duplicates
    assert requests.get(driven.inbox.url, timeout=5).ok
