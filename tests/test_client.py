"""One call, one answer: what the client sends, reads and raises."""

import contextlib
import math
import re
import socket
import threading
import time

import pytest
import requests

from pushover_logging import (
    ConfigurationError,
    Message,
    PushoverClient,
    Quota,
    QuotaError,
    Receipt,
    RejectedError,
    TemporaryError,
    Validation,
)
from pushover_logging.api import transport

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
GROUP = "gznej3rKEVAvPUxu9vvNnqpmZpokzF"


@pytest.fixture
def client(inbox):
    made = PushoverClient(TOKEN, USER, api_url=inbox.url)
    yield made
    made.close()


def test_send_returns_the_services_word(inbox):
    """The request's id, an emergency's receipt, and the quota of the answer's headers."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    assert None is client.send(Message(message="x")).receipt
    sent = client.send(Message(message="x", priority=2))
    assert inbox.messages[1]["request"] == sent.request
    assert 30 == len(sent.receipt)
    assert 9998 == client.quota.remaining
    client.close()
    client.close()


def test_one_connection_serves_all(inbox):
    """Message after message goes over the same kept-alive connection."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    for _ in range(3):
        client.send(Message(message="x"))
    assert 1 == len({attempt.connection for attempt in inbox.attempts})
    client.close()


def test_picture_goes_along(inbox):
    """As bytes in a multipart body, or as Base64 text."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    client.send(Message(message="x", attachment=b"12345", attachment_type="image/png"))
    client.send(Message(message="x", attachment_base64="MTIz", attachment_type="image/gif"))
    client.close()
    pictures = [push["attachment"] for push in inbox.messages]
    assert [("image/png", 5), ("image/gif", 3)] == [(one["type"], one["size"]) for one in pictures]


def test_failures_are_ours(inbox):
    """Each answer has its exception, with what a caller needs as attributes."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    inbox.refused.add(TOKEN)
    with pytest.raises(RejectedError) as rejected:
        client.send(Message(message="x"))
    assert (400, {"token"}) == (rejected.value.status, rejected.value.parameters)
    inbox.refused.clear()
    inbox.fail_with(500, "")
    with pytest.raises(TemporaryError):
        client.send(Message(message="x"))
    inbox.fail_with(429, "{}", {"X-Limit-App-Reset": "soon", "Retry-After": "7"})
    with pytest.raises(QuotaError) as quota:
        client.send(Message(message="x"))
    assert 7 == quota.value.wait
    client.close()


def test_endless_answer_is_cut(inbox):
    """No more than 64 KiB of an answer is read."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    inbox.fail_with(200, "x" * 1_000_000)
    with pytest.raises(TemporaryError, match="not its JSON"):
        client.send(Message(message="x"))
    client.close()


ACCEPTED = b'HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{"status":1,"request":"r"}'


def request_on(connection):
    """Read one request to its end; return its head."""
    with connection.makefile("rb") as came:
        head = b"".join(iter(came.readline, b"\r\n"))
        came.read(int(re.search(rb"Content-Length: (\d+)", head)[1]))
    return head


@contextlib.contextmanager
def service_of(answer):
    """Yield the port of a server; ``answer`` gets its one connection, a first request read."""

    def serve():
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            request_on(connection)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def fault_of_a_drip(first, drop, address="http://127.0.0.1:{}"):
    """Return what a send ends with where the answer is ``first`` and ever more of ``drop``."""
    done = threading.Event()

    def drip(connection):
        connection.sendall(first)
        for _ in range(100):  # 5 s: without a deadline the test fails, and does not hang
            connection.sendall(drop)
            if done.wait(0.05):
                break

    with service_of(drip) as port:
        client = PushoverClient(TOKEN, USER, api_url=address.format(port), timeout=(1, 0.2))
        with pytest.raises(TemporaryError) as caught:
            client.send(Message(message="x"))
        done.set()
    client.close()
    return caught.value


@pytest.mark.parametrize(("first", "drop"), [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    (b"HTTP/1.1 200 OK\r\nX-Filler: ", b"x"),
    (b"HTTP/1.1 2", b"0"),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
], ids=["body", "header", "status", "continue", "hints", "chunks"])  # fmt: skip
def test_dripping_answer_ends_at_its_deadline(first, drop):
    """An answer of a byte at a time does not hold the sender for much longer than the timeout."""
    fault = fault_of_a_drip(first, drop)
    assert (True, True) == (fault.timed_out, fault.may_have_arrived)


def test_deadline_does_not_begin_anew_with_what_comes():
    """The rest has the timeout once, from the first byte on, also where it stops in the middle."""
    done = threading.Event()

    def stop(connection):
        for part in (b"HTTP/1.1 200", b" OK\r\n"):
            connection.sendall(part)
            done.wait(0.9)
        done.wait(5)

    with service_of(stop) as port:
        client = PushoverClient(TOKEN, USER, api_url=f"http://127.0.0.1:{port}", timeout=(1, 1.2))
        began = time.monotonic()
        with pytest.raises(TemporaryError):
            client.send(Message(message="x"))
        assert time.monotonic() - began < 1.8  # not 0.9 and another 1.2
        done.set()
    client.close()


@pytest.mark.parametrize("wrong", [0, -1, "5", True, (5,), (1, 2, 3), (1, None), 1e300, math.nan])
def test_timeout_that_cannot_be_is_refused(wrong):
    """At once, not at the first call."""
    with pytest.raises(ConfigurationError, match=r"timeout: got .*, takes seconds"):
        PushoverClient(TOKEN, USER, timeout=wrong)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:0{}", "  http://127.0.0.1:{} ", "HTTP://127.0.0.1:{}"]
)
def test_deadline_holds_however_the_address_is_written(address):
    """Also where requests puts it into another form."""
    assert fault_of_a_drip(b"HTTP/1.1 200 OK\r\nX-Filler: ", b"x", address).timed_out


@pytest.mark.parametrize("before", [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
], ids=["continue", "hints"])  # fmt: skip
def test_head_that_announces_the_answer_is_passed_over(before):
    """What was accepted is not sent again for a 103 that came first."""
    with service_of(lambda connection: connection.sendall(before + ACCEPTED)) as port:
        client = PushoverClient(TOKEN, USER, api_url=f"http://127.0.0.1:{port}")
        assert "r" == client.send(Message(message="x")).request
    client.close()


def test_cookies_are_not_sent_back():
    """Those of a portal would make each request longer than the one before."""
    heads = []

    def answer(connection):
        connection.sendall(
            b"HTTP/1.1 500 No\r\nSet-Cookie: seen=yes; Path=/\r\nContent-Length: 0\r\n\r\n"
        )
        heads.append(request_on(connection))
        connection.sendall(ACCEPTED)

    with service_of(answer) as port:
        client = PushoverClient(TOKEN, USER, api_url=f"http://127.0.0.1:{port}")
        with pytest.raises(TemporaryError):
            client.send(Message(message="x"))
        client.send(Message(message="x"))
    client.close()
    assert [False] == [b"Cookie" in head for head in heads]


def test_proxy_that_refuses_has_passed_nothing_on(monkeypatch, free_port):
    """That try is no possible duplicate."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("no_proxy", "")
    client = PushoverClient(TOKEN, USER, api_url="https://api.example", timeout=(1, 1))
    with pytest.raises(TemporaryError) as caught:
        client.send(Message(message="x"))
    assert not caught.value.may_have_arrived


def test_user_is_validated(client, inbox):
    """A user has devices; for a group the service returns none."""
    inbox.set_devices(USER, ["pixel", "ipad"])
    inbox.set_group(GROUP, [USER])
    known = Validation(group=False, devices=("pixel", "ipad"), licenses=("Android",))
    assert known == client.validate()
    assert known == client.validate(USER, "ipad")
    assert Validation(group=True) == client.validate(GROUP)


def test_unknown_user_and_device_are_refused(client, inbox):
    """The parameter that the service blames is named."""
    with pytest.raises(RejectedError) as device:
        client.validate(device="nokia")
    inbox.refused.add(USER)
    with pytest.raises(RejectedError) as user:
        client.validate()
    assert ({"device"}, {"user"}) == (device.value.parameters, user.value.parameters)


@pytest.mark.parametrize("user", ["", "short", f"{USER},{GROUP}", 5])
def test_only_one_well_shaped_key_is_validated(client, inbox, user):
    """Any other value is refused at once, masked, and without a request."""
    with pytest.raises(ConfigurationError, match=r"user: got \*\*\*") as caught:
        client.validate(user)
    assert USER not in str(caught.value)
    assert 0 == sum(connection.requests for connection in inbox.connections)


def test_limits_are_the_accounts(client, inbox):
    """The month's number, what is left and when it is renewed; kept as the client's quota."""
    reset = int(time.time()) + 1000
    inbox.set_quota(limit=500, remaining=-1, reset=reset)
    assert Quota(500, -1, reset) == client.limits()
    assert Quota(500, -1, reset) == client.quota


def test_sounds_are_names_with_descriptions(client):
    """As the service lists them."""
    sounds = client.sounds()
    assert ("Siren", "None (silent)") == (sounds["siren"], sounds["none"])


def test_receipt_is_the_state_of_an_emergency(client, inbox):
    """It repeats until it is acknowledged; what has not happened is None, and no key is shown."""
    receipt = client.send(Message(message="x", priority=2)).receipt
    before = client.receipt(receipt)
    assert (False, None, None, False) == (
        before.acknowledged, before.acknowledged_at, before.acknowledged_by, before.expired
    )  # fmt: skip
    assert 3600 == before.expires_at - before.last_delivered_at
    inbox.acknowledge(receipt, by=USER, device="pixel")
    after = client.receipt(receipt)
    assert after == Receipt(
        acknowledged=True,
        acknowledged_at=after.acknowledged_at,
        acknowledged_by=USER,
        acknowledged_by_device="pixel",
        last_delivered_at=before.last_delivered_at,
        expired=False,
        expires_at=before.expires_at,
        called_back=False,
        called_back_at=None,
    )
    assert abs(after.acknowledged_at - time.time()) < 60
    assert USER not in repr(after)


def test_emergency_is_cancelled_by_its_receipt(client):
    """It repeats no more; an unknown receipt is refused."""
    receipt = client.send(Message(message="x", priority=2)).receipt
    client.cancel(receipt)
    assert client.receipt(receipt).expired
    for call in (client.cancel, client.receipt):
        with pytest.raises(RejectedError, match="receipt not found") as caught:
            call("r" * 30)
        assert 404 == caught.value.status


def test_emergencies_are_cancelled_by_their_tag(client):
    """All with the tag and no others are cancelled and counted; a tag can be any text."""
    tagged = [
        client.send(Message(message="x", priority=2, tags=tags)).receipt
        for tags in ("shop/1 ?,db", "shop/1 ?", "other")
    ]
    assert (2, 0) == (client.cancel_by_tag("shop/1 ?"), client.cancel_by_tag("nobody's"))
    assert [True, True, False] == [client.receipt(one).expired for one in tagged]


CALLS = {
    "validate": (lambda client: client.validate(), "/1/users"),
    "limits": (lambda client: client.limits(), "/1/apps"),
    "sounds": (lambda client: client.sounds(), "/1/sounds"),
    "receipt": (lambda client: client.receipt("r" * 30), "/1/receipts"),
    "cancel": (lambda client: client.cancel("r" * 30), "/1/receipts"),
    "cancel_by_tag": (lambda client: client.cancel_by_tag("db"), "/1/receipts"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_fails_in_the_same_ways(client, inbox, name):
    """A refusal, a fault that passes, too many requests, no answer, a redirect: as `send` does."""
    call, path = CALLS[name]
    failures = []
    for fault in (
        {"status": 400, "body": '{"token":"invalid","errors":["no token"],"status":0}'},
        {"status": 500, "body": "{}"},
        {"status": 200, "body": "[]"},
        {"status": 302, "body": "{}", "headers": {"Location": inbox.url}},
        {"status": 429, "headers": {"Retry-After": "7"}},
        {"reset": True},
    ):
        inbox.fail_with(path=path, **fault)
        with pytest.raises((RejectedError, TemporaryError, QuotaError)) as caught:
            call(client)
        failures.append(type(caught.value))
    assert [RejectedError, *[TemporaryError] * 3, QuotaError, TemporaryError] == failures


@pytest.mark.parametrize("body", [
    '{"status":1}', '{"status":1,"limit":"many","remaining":[],"reset":0}',
    '{"status":1,"limit":1e999,"remaining":1,"reset":1}',
    '{"status":1,"limit":1,"remaining":1,"reset":NaN}',
])  # fmt: skip
def test_limits_that_are_no_numbers_are_a_passing_fault(client, inbox, body):
    """Nothing is made up."""
    inbox.fail_with(200, body, path="/1/apps")
    with pytest.raises(TemporaryError, match="no limits"):
        client.limits()


def test_odd_answers_are_read_as_far_as_they_go(client, inbox):
    """What is missing or of another type is left out, and raises nothing."""
    inbox.fail_with(200, '{"status":1,"devices":"all","sounds":[1]}', path="/1/", times=3)
    assert Validation(group=False) == client.validate()
    assert {} == client.sounds()
    assert not client.receipt("r" * 30).acknowledged
    odd = (
        '{"status":1,"acknowledged_at":1e999,"expires_at":NaN,"called_back_at":-5,"canceled":1e999}'
    )
    inbox.fail_with(200, odd, path="/1/", times=2)
    receipt = client.receipt("r" * 30)
    assert [None] * 3 == [receipt.acknowledged_at, receipt.expires_at, receipt.called_back_at]
    assert 0 == client.cancel_by_tag("db")
    inbox.fail_with(200, "[" * 60_000, path="/1/")
    with pytest.raises(TemporaryError):
        client.sounds()


def test_proxy_of_the_environment_is_used(monkeypatch):
    """For the service; an answer that does not come is a fault that passes."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        client = PushoverClient(TOKEN, USER, api_url="https://api.example", timeout=(0.3, 0.2))
        with pytest.raises(TemporaryError):
            client.send(Message(message="Hello"))
        with proxy.accept()[0] as came:
            assert came.recv(1000).startswith(b"CONNECT api.example:443 ")
        client.close()
        monkeypatch.setenv("no_proxy", "api.example")
        assert {} == transport._Connection("https://api.example")._session.proxies


def test_nothing_of_the_environment_comes_between_a_program_and_its_inbox(
    client, inbox, free_port, monkeypatch, tmp_path
):
    """No proxy sees what is sent in the clear, and no password of a .netrc goes along."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ann password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("no_proxy", "")
    client.send(Message(message="Hello"))
    came = requests.get(
        f"{inbox.url}/inbox/messages/1/raw", proxies={"http": "", "all": ""}, timeout=10
    )
    assert "Hello" in came.text
    assert "Authorization" not in came.text
