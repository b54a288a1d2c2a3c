"""Answers that are not the service's own: of proxies, of portals, and of broken connections."""

import contextlib
import gzip
import re
import socket
import ssl
import threading
import tracemalloc
import zlib

import pytest

from pushover_logging import Message, PushoverClient, RejectedError, TemporaryError

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
PAGE = "<html><h1>Access denied</h1>errors status 0</html>"


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
@pytest.mark.parametrize(("status", "body"), [
    *((status, PAGE) for status in (400, 401, 403, 404, 405, 407, 408, 413, 421, 425, 451)),
    (403, "{}"), (403, "[]"), (403, '{"status":0}'), (403, '{"errors":["blocked"]}'),
    (403, '{"status":0,"errors":[]}'), (403, '{"status":0,"errors":"blocked"}'),
    (403, '{"status":"error","errors":["blocked"]}'), (404, '{"status":404,"errors":["no"]}'),
    (403, '{"status":1}'), (200, '{"status":0}'), (200, '{"status":2,"errors":["no"]}'),
])  # fmt: skip
def test_refusal_of_others_costs_a_retry_and_no_message(drive, status, body):
    """Only the service's own JSON is a rejection: status 0 with errors."""
    driven = drive()
    driven.inbox.fail_with(status, body)
    driven.log.error("boom happened")
    driven.advance(4.9)
    assert 1 == len(driven.inbox.attempts)
    driven.advance(10)
    stats = driven.handler.stats()
    assert (1, 0, 2) == (stats.sent, stats.rejected, len(driven.inbox.attempts))


def test_refusal_of_others_says_what_it_was(inbox):
    """Its status is an attribute, and a page is not taken for the service's words."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    inbox.fail_with(451, PAGE)
    with pytest.raises(TemporaryError) as caught:
        client.send(Message(message="x"))
    client.close()
    assert ("the service answered 451 with a body that is not its JSON", 451, False) == (
        str(caught.value), caught.value.status, caught.value.may_have_arrived
    )  # fmt: skip


@pytest.mark.parametrize("image", [
    {"attachment": b"\x89PNG\r\n\x1a\n" + bytes(3 * 2**20)},
    {"attachment_base64": "iVBORw0KGgo=", "attachment_type": "image/png"},
], ids=["bytes", "base64"])  # fmt: skip
def test_attachment_that_a_server_cannot_take_is_left_out(drive, image):
    """A 5xx twice in a row can be the image's fault: once more without it."""
    driven = drive()
    driven.inbox.fail_with(502, PAGE, times=2)
    driven.log.error("boom happened", extra={"pushover": image})
    driven.advance(100)
    (push,) = driven.inbox.messages
    assert push["message"].endswith("(the attachment could not be sent)")
    assert (3, None) == (len(driven.inbox.attempts), push["attachment"])


@contextlib.contextmanager
def server_of(answer, context=None):
    """Yield the port of a server; ``answer`` gets the plain socket, and that of TLS, if any."""
    heads = []

    def serve():
        plain, _ = server.accept()
        plain.settimeout(10)
        with plain, contextlib.suppress(OSError):
            connection = plain
            if context is not None:
                connection = context.wrap_socket(plain, server_side=True)
            with connection.makefile("rb") as came:
                head = b"".join(iter(came.readline, b"\r\n"))
                came.read(int(re.search(rb"Content-Length: (\d+)", head)[1]))
            heads.append(head)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heads
        thread.join(10)
        assert not thread.is_alive()


def answer_with(body, encoding):
    """Return an answer's bytes."""
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


ACCEPTED = b'{"status":1,"request":"r"}'


@pytest.mark.parametrize(("body", "encoding"), [
    (gzip.compress(ACCEPTED, mtime=0), "gzip"), (gzip.compress(ACCEPTED, mtime=0), "X-GZIP"),
    (zlib.compress(ACCEPTED), "deflate"), (ACCEPTED, "identity"), (ACCEPTED, "gzip"),
], ids=["gzip", "x-gzip", "deflate", "identity", "untrue"])  # fmt: skip
def test_compressed_answer_is_read_although_none_was_asked_for(body, encoding):
    """What was accepted is not sent again because of a proxy that compresses everything."""
    with server_of(lambda connection: connection.sendall(answer_with(body, encoding))) as (
        port, heads,
    ):  # fmt: skip
        client = PushoverClient(TOKEN, USER, api_url=f"http://127.0.0.1:{port}")
        assert "r" == client.send(Message(message="x")).request
        client.close()
    assert b"Accept-Encoding: identity\r\n" in heads[0]
    assert 1 == heads[0].count(b"Accept-Encoding")


@pytest.mark.parametrize("layers", [1, 2])
def test_answer_that_grows_when_it_is_decoded_is_cut(layers):
    """No more than 64 KiB are decoded, whichever urllib3 is installed."""
    bomb = bytes(50_000_000)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    encoding = ", ".join(["gzip"] * layers)
    with server_of(lambda connection: connection.sendall(answer_with(bomb, encoding))) as (port, _):
        client = PushoverClient(TOKEN, USER, api_url=f"http://127.0.0.1:{port}")
        tracemalloc.start()
        try:
            with pytest.raises(TemporaryError, match="not its JSON"):
                client.send(Message(message="x"))
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
        client.close()


def broken_record(connection):
    """Send bytes that are no TLS, beneath it."""
    with socket.socket(fileno=connection.detach()) as plain:
        plain.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")


def end_without_a_word(connection):
    """End the connection without TLS's own end."""
    socket.socket(fileno=connection.detach()).close()


@pytest.mark.parametrize("trust", ["nobody", "old"])
def test_tls_that_fails_before_the_request_sent_nothing(certificate, monkeypatch, trust):
    """A certificate that nobody knows, a version that is too old: no possible duplicate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if trust == "old":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        context.set_ciphers("PSK")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with server_of(lambda _: None, context) as (port, heads):
        client = PushoverClient(TOKEN, USER, api_url=f"https://localhost:{port}", timeout=(5, 5))
        with pytest.raises(TemporaryError) as caught:
            client.send(Message(message="x"))
        client.close()
    assert ([], False) == (heads, caught.value.may_have_arrived)


@contextlib.contextmanager
def no_proxy():
    yield ""


@contextlib.contextmanager
def proxy():
    """Yield the URL of a proxy that passes bytes on, for one connection."""

    def pump(source, target):
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                target.sendall(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        came, _ = server.accept()
        came.settimeout(10)
        with came, came.makefile("rb") as lines:
            asked = b"".join(iter(lines.readline, b"\r\n"))
            port = int(re.search(rb"CONNECT localhost:(\d+)", asked)[1])
            with socket.create_connection(("127.0.0.1", port)) as target:
                came.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=pump, args=(target, came))
                back.start()
                pump(came, target)
                back.join(10)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("end", [broken_record, end_without_a_word])
@pytest.mark.parametrize("way", [no_proxy, proxy])
def test_tls_that_breaks_after_the_request_leaves_open_whether_it_arrived(
    certificate, monkeypatch, end, way
):
    """The service has read all of it: the next try can be a duplicate.

    Behind a proxy urllib3 takes a reset then for a proxy that was never reached.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    monkeypatch.setenv("no_proxy", "")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with server_of(end, context) as (port, heads), way() as between:
        monkeypatch.setenv("https_proxy", between)
        client = PushoverClient(TOKEN, USER, api_url=f"https://localhost:{port}", timeout=(5, 5))
        with pytest.raises(TemporaryError) as caught:
            client.send(Message(message="x"))
        client.close()
    assert 1 == len(heads)
    assert caught.value.may_have_arrived


def test_words_of_the_service_itself_are_a_rejection(inbox):
    """With each status below 500 that it uses."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    for status in (200, 400, 403, 404, 413):
        inbox.fail_with(status, {"status": 0, "errors": ["no such thing"]})
        with pytest.raises(RejectedError, match="no such thing"):
            client.send(Message(message="x"))
    client.close()
