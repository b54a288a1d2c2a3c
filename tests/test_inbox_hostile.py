"""The inbox and those who are not its users: pages of other sites, names of others, floods."""

import base64
import json
import os
import socket
import struct
import threading
import time

import pytest
import requests

from pushover_logging.inbox import Inbox, connections, emergencies, http_server

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
MESSAGE = {"token": TOKEN, "user": USER, "message": "Hello"}
CALLS = [
    ("POST", "/1/messages.json"), ("POST", "/1/users/validate.json"), ("GET", "/1/sounds.json"),
    ("GET", "/1/apps/limits.json"), ("GET", "/1/receipts/x.json"),
    ("POST", "/1/receipts/x/cancel.json"), ("POST", "/1/receipts/cancel_by_tag/x.json"),
    ("DELETE", "/inbox/messages"),
]  # fmt: skip


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://["},
    {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}, {"Host": "evil.example"}, {"Host": "evil.example:{port}"},
    {"Host": "localhost.evil.example:{port}"},
], ids=str)  # fmt: skip
def test_pages_of_other_sites_reach_no_call(inbox, headers):
    """Neither what they send, nor what a name of theirs that leads here sends, is a call."""
    headers = {name: text.format(port=inbox.port) for name, text in headers.items()}
    for method, path in CALLS:
        answer = requests.request(
            method, inbox.url + path, data=MESSAGE, headers=headers, timeout=10
        )
        assert (403, 0) == (answer.status_code, answer.json().get("status", 0)), path
        assert ["pages of other sites have no access"] == answer.json()["errors"]
    assert ([], []) == (inbox.messages, inbox.attempts)


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, {"Host": "localhost:{port}"}])
def test_programs_and_the_own_page_reach_all(inbox, headers):
    """A program has no origin; the page has the inbox's own."""
    headers = {name: text.format(port=inbox.port) for name, text in headers.items()}
    own = {"Origin": inbox.url, "Sec-Fetch-Site": "same-origin"}
    for given in (headers, own):
        answer = requests.post(
            f"{inbox.url}/1/messages.json", data=MESSAGE, headers=given, timeout=10
        )
        assert 1 == answer.json()["status"]


@pytest.mark.parametrize("url", [
    "http://localhost:{}/", "http://localhost:{}/a b?c=d", "http://127.0.0.1:{}",
])  # fmt: skip
def test_callback_is_judged_by_where_the_connection_leads(monkeypatch, url):
    """A name or an address that is this machine's in the text alone gets nothing."""
    reached = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve():
            with server.accept()[0] as came:
                came.settimeout(5)
                reached.append(b"")
                while b"receipt=r" not in reached[-1] and (part := came.recv(65_536)):
                    reached[-1] += part
                if reached[-1]:
                    came.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        class Elsewhere(socket.socket):
            def getpeername(self):
                return ("192.0.2.1", port)

        for kind, expected in ((Elsewhere, False), (socket.socket, True)):
            thread = threading.Thread(target=serve)
            thread.start()
            with monkeypatch.context() as patched:
                patched.setattr(socket, "socket", kind)
                assert expected is emergencies.call_back(url.format(port), {"receipt": "r"})
            thread.join(10)
    assert b"" == reached[0]
    assert b"receipt=r" in reached[1]


@pytest.mark.parametrize("url", [
    "http://127.0.0.1\\@192.0.2.1:9/", "http://192.0.2.1#@127.0.0.1/", "http://127.1:9/",
    "http://0x7f000001:9/", "http://2130706433:9/", "http://localhost.:9/", "http://localhost:99999",
    "http://127.0.0.1 /", "http://[::ffff:192.0.2.1]:9/", "http://0.0.0.0:9/", "https://localhost:9",
    "http://127.0.0.1\t:9/", "http://localhost:9/\r\nX: y", "http://u:p@localhost:9/",
])  # fmt: skip
def test_callback_of_any_shape_is_a_failure_at_most(url):
    """None raises, and none is sent to another machine."""
    assert not emergencies.call_back(url, {"receipt": "r"})


HEAD = b"POST /1/messages.json HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("sent", [
    b"", HEAD[:40], HEAD, HEAD + b"Content-Length: 100\r\n\r\nabc", b"GET /x HTTP/1.1\r\n\r\n",
], ids=["nothing", "half a line", "half a head", "half a body", "a request"])  # fmt: skip
def test_idle_connection_ends(monkeypatch, sent):
    """Whatever a client has sent, it holds no thread for ever."""
    monkeypatch.setattr(http_server, "IDLE_TIMEOUT", 0.3)
    with Inbox() as inbox:
        with socket.create_connection(("127.0.0.1", inbox.port), 10) as client:
            client.sendall(sent)
            while client.recv(65_536):
                pass
        assert [] == inbox.messages


def test_connection_that_is_looked_at_keeps_no_one_waiting():
    """Whether a client has left is seen at once, also of one that says nothing."""
    with Inbox() as inbox, socket.create_connection(("127.0.0.1", inbox.port), 10):
        deadline = time.monotonic() + 10
        while not inbox.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
        assert [None] == [one.closed for one in inbox.connections]
        assert time.monotonic() - began < 1


def test_connection_that_its_thread_has_closed_is_closed():
    """Also if it was closed at this moment, and if its client has reset it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        with peer:
            peer.settimeout(5)
            assert not connections._is_closed(peer)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert connections._is_closed(peer)
    assert connections._is_closed(peer)


def test_deep_json_is_no_message(inbox):
    """Too deep for Python, and too small for a flood."""
    answer = requests.post(
        f"{inbox.url}/1/messages.json", data=b"[" * 9_000,
        headers={"Content-Type": "application/json"}, timeout=10,
    )  # fmt: skip
    assert (400, 0) == (answer.status_code, answer.json()["status"])


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
FLOODS = {
    "equal fields": (FORM, lambda: b"a=b&" * 4_000_000),
    "fields": (FORM, lambda: "&".join(f"a{number}=b" for number in range(1_500_000)).encode()),
    "escapes": (FORM, lambda: b"message=" + b"%41" * 5_000_000),
    "keys": (JSON, lambda: json.dumps({f"a{number}": 1 for number in range(1_000_000)}).encode()),
    "numbers": (JSON, lambda: b'{"message":[' + b"1," * 7_000_000 + b"1]}"),
    "lists": (JSON, lambda: b'{"message":' + b"[" * 8_000_000 + b"]" * 8_000_000 + b"}"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood_of_fields_is_refused_at_once(inbox, name):
    """Up to 16 MiB of what no message has; an attachment of 5 MiB in any encoding is read."""
    kind, make = FLOODS[name]
    body = make()
    began = time.process_time()
    answer = requests.post(
        f"{inbox.url}/1/messages.json", data=body, headers={"Content-Type": kind}, timeout=60
    )
    assert time.process_time() - began < 1.5  # 6 to 12 s where it is parsed
    assert (413, 0) == (answer.status_code, answer.json()["status"])


@pytest.mark.parametrize("how", ["data", "json"])
def test_largest_attachment_is_no_flood(inbox, how):
    """As Base64 with many escapes, in a form or in JSON."""
    text = base64.b64encode(os.urandom(5 * 2**20)).decode()
    fields = {**MESSAGE, "attachment_base64": text, "attachment_type": "image/png"}
    answer = requests.post(f"{inbox.url}/1/messages.json", **{how: fields}, timeout=60)
    assert 1 == answer.json()["status"], answer.text
