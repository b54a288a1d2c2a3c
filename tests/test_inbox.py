"""The inbox answers as the recorded service does, and injects the faults that a test asks for."""

from __future__ import annotations

import base64
import builtins
import importlib
import json
import re
import socket
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from pushover_logging import Message, PushoverClient
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import Inbox, rules
from pushover_logging.inbox.account import InboxAccount
from pushover_logging.inbox.rules import EXAMPLE_TOKEN, EXAMPLE_USER
from pushover_logging.inbox.store import IncomingMessage, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"token": EXAMPLE_TOKEN, "user": EXAMPLE_USER}
OTHER_USER = "u" * 30
TIMEOUT = 10


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


def post(inbox: Inbox, session: requests.Session, **fields: str) -> requests.Response:
    body = {**KEYS, "message": "disk full", **fields}
    return session.post(f"{inbox.url}/1/messages.json", data=body, timeout=TIMEOUT)


def without_request(answer: requests.Response) -> str:
    """Return the body's text with the request's id, a UUID, taken out."""
    request = answer.json()["request"]
    assert request == str(uuid.UUID(request))
    return answer.text.replace(request, "ID")


# Word for word from the recorded answers; each with what brings it about.
RECORDED = [
    (
        {"token": "short"},
        '{"token":"invalid","errors":["application token is invalid, see https://pushover.net/api"]'
        ',"status":0,"request":"ID"}',
    ),
    (
        {"user": "nobody"},
        '{"user":"invalid","errors":["user identifier is not a valid user, group, or subscribed '
        'user key, see https://pushover.net/api#identifiers"],"status":0,"request":"ID"}',
    ),
    (
        {"message": " \n"},
        '{"message":"cannot be blank","errors":["message cannot be blank"],"status":0,'
        '"request":"ID"}',
    ),
    (
        {"html": "1", "monospace": "1"},
        '{"html":"cannot be set with monospace","monospace":"cannot be set with html",'
        '"errors":["html and monospace are mutually exclusive"],"status":0,"request":"ID"}',
    ),
    (
        {"priority": "3"},
        '{"priority":"is invalid, can only be -2, -1, 0, 1, or 2","errors":["priority is invalid, '
        'see https://pushover.net/api#priority"],"status":0,"request":"ID"}',
    ),
    (
        {"priority": "2"},
        '{"expire":"must be supplied with priority=2","errors":["expire must be supplied with '
        'priority=2"],"status":0,"request":"ID"}',
    ),
    (
        {"priority": "2", "expire": "60", "retry": "29"},
        '{"retry":"is too small, must be at least 30 seconds","errors":["retry is invalid"],'
        '"status":0,"request":"ID"}',
    ),
]


@pytest.mark.parametrize(("fields", "body"), RECORDED)
def test_recorded_refusals_are_answered_word_for_word(
    inbox: Inbox, session: requests.Session, fields: dict[str, str], body: str
) -> None:
    """A refusal has the service's own body, to the order of its keys."""
    answer = post(inbox, session, **fields)
    assert (400, body) == (answer.status_code, without_request(answer))
    assert [] == inbox.messages
    assert [400] == [attempt.status for attempt in inbox.attempts]


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"user": ",".join(["u" * 30] * 51)}, "user"),
        ({"user": f"{EXAMPLE_USER}, {OTHER_USER}"}, "user"),
        ({"message": "m" * 1025}, "message"),
        ({"title": "t" * 251}, "title"),
        ({"url": "u" * 513}, "url"),
        ({"url_title": "u" * 101}, "url_title"),
        ({"priority": "2", "expire": "60"}, "retry"),
        ({"priority": "2", "expire": "60", "retry": "soon"}, "retry"),
        ({"priority": "2", "expire": "10801", "retry": "30"}, "expire"),
        ({"priority": "2", "expire": "0", "retry": "30"}, "expire"),
        ({"priority": "2", "expire": "late", "retry": "30"}, "expire"),
        ({"ttl": "0"}, "ttl"),
        ({"ttl": "1.5"}, "ttl"),
        ({"timestamp": "abc"}, "timestamp"),
        ({"timestamp": "-1"}, "timestamp"),
        ({"attachment_base64": "no!"}, "attachment_base64"),
        ({"attachment_base64": "\u00e9"}, "attachment_base64"),
        ({"attachment_base64": "A" * 6_990_512}, "attachment_base64"),
    ],
)
def test_what_the_documentation_forbids_is_refused(fields: dict[str, str], blamed: str) -> None:
    """If no answer is recorded, it is a 400 that names the field, in the recorded style."""
    refusal = rules.check({**KEYS, "message": "m", **fields})
    assert refusal is not None
    status, body = refusal
    assert (400, [blamed, "errors", "status", "request"]) == (status, list(body))


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "\U0001f525" * 1024, "title": "t" * 250, "url": "u" * 512},
        {"user": ",".join(["u" * 30] * 50)},
        {"html": "1", "monospace": "0"},
        {"priority": "-2", "ttl": "1"},
        {"priority": ""},
        {"priority": "2", "expire": "10800", "retry": "30", "ttl": "0"},
        {"attachment_base64": base64.b64encode(b"x" * 5_242_880).decode()},
    ],
)
def test_what_the_documentation_allows_is_accepted(fields: dict[str, str]) -> None:
    """Each limit itself is still allowed."""
    assert None is rules.check({**KEYS, "message": "m", **fields})


def test_accepted_message_is_answered_and_kept(inbox: Inbox, session: requests.Session) -> None:
    """Success has the service's body and quota headers, and the message has all its fields."""
    before = time.time()
    answer = post(inbox, session, title="db-1", sound="siren")
    assert (200, '{"status":1,"request":"ID"}') == (answer.status_code, without_request(answer))
    assert "10000" == answer.headers["X-Limit-App-Limit"]
    assert "9999" == answer.headers["X-Limit-App-Remaining"]
    assert time.time() < int(answer.headers["X-Limit-App-Reset"]) < time.time() + 32 * 86_400
    (message,) = inbox.messages
    assert before <= message.pop("received") <= time.time()
    sent = {**KEYS, "message": "disk full", "title": "db-1", "sound": "siren"}
    assert {**sent, "request": answer.json()["request"], "attachment": None} == message


def test_emergency_has_a_receipt(inbox: Inbox, session: requests.Session) -> None:
    """At priority 2 the answer also has a receipt of 30 characters."""
    answer = post(inbox, session, priority="2", retry="30", expire="60").json()
    assert ["status", "request", "receipt"] == list(answer)
    assert re.fullmatch("[A-Za-z0-9]{30}", answer["receipt"])


def test_refused_keys_are_refused(session: requests.Session) -> None:
    """A well-formed token or user in `refused` is invalid."""
    with Inbox(refused={EXAMPLE_TOKEN}) as inbox:
        token = post(inbox, session).json()
        inbox.refused.clear()
        inbox.refused.add(OTHER_USER)
        user = post(inbox, session, user=f"{EXAMPLE_USER},{OTHER_USER}").json()
    assert ("invalid", "invalid") == (token["token"], user["user"])


def test_used_up_quota_is_answered_as_recorded(inbox: Inbox, session: requests.Session) -> None:
    """A message costs one for each user; with nothing left it is 429 without Retry-After."""
    inbox.set_quota(limit=7500, remaining=1, reset=4_000_000_000)
    first = post(inbox, session, user=f"{EXAMPLE_USER},{OTHER_USER}")
    assert (200, "-1") == (first.status_code, first.headers["X-Limit-App-Remaining"])
    answer = post(inbox, session)
    body = (
        '{"token":"invalid","errors":["application has exceeded current limit of 7500 messages"],'
        '"status":0,"request":"ID"}'
    )
    assert (429, body) == (answer.status_code, without_request(answer))
    assert "7500" == answer.headers["X-Limit-App-Limit"]
    assert "4000000000" == answer.headers["X-Limit-App-Reset"]
    assert "Retry-After" not in answer.headers


def test_quota_is_whole_again_after_its_reset() -> None:
    """At the reset, 00:00 US Central on the 1st, a used-up quota is whole again."""
    now = [1_764_000_000.0]  # 2025-11-24
    account = InboxAccount(set(), lambda: now[0])
    account.set_quota(limit=5)
    account.set_quota(remaining=0)
    assert 5 == account.exceeded_limit
    assert "1764568800" == account.headers()["X-Limit-App-Reset"]
    now[0] = 1_764_568_800.0
    assert None is account.exceeded_limit
    account.spend(["u"])
    assert {"limit": 5, "remaining": 4, "reset": 1_767_247_200} == account.quota


def test_json_body_is_read(inbox: Inbox, session: requests.Session) -> None:
    """A JSON body is taken as a form is; numbers and booleans become their text."""
    body = {**KEYS, "message": "m", "priority": 1, "html": True, "title": None}
    url = f"{inbox.url}/1/messages.json"
    assert 200 == session.post(url, json=body, timeout=TIMEOUT).status_code
    (message,) = inbox.messages
    assert ("1", "1", False) == (message["priority"], message["html"], "title" in message)


@pytest.mark.parametrize("body", ["[1]", "{"])
def test_json_that_is_no_object_has_no_token(
    inbox: Inbox, session: requests.Session, body: str
) -> None:
    """A JSON body that is broken, or no object, is refused for its missing token."""
    headers = {"Content-Type": "application/json"}
    url = f"{inbox.url}/1/messages.json"
    answer = session.post(url, data=body, headers=headers, timeout=TIMEOUT)
    assert (400, "invalid") == (answer.status_code, answer.json()["token"])


def test_attachments_are_described(inbox: Inbox, session: requests.Session) -> None:
    """A multipart file and a Base64 text are kept as name, type and size."""
    url = f"{inbox.url}/1/messages.json"
    files = {"attachment": ("plot.png", b"12345", "image/png")}
    session.post(url, data={**KEYS, "message": "m"}, files=files, timeout=TIMEOUT)
    post(inbox, session, attachment_base64="MTIz", attachment_type="image/gif")
    described = [message["attachment"] for message in inbox.messages]
    assert [
        {"name": "plot.png", "type": "image/png", "size": 5},
        {"name": "", "type": "image/gif", "size": 3},
    ] == described


def test_attachment_over_the_limit_is_refused(inbox: Inbox, session: requests.Session) -> None:
    """A file one byte over 5,242,880 is refused."""
    files = {"attachment": ("plot.png", b"x" * 5_242_881, "image/png")}
    body = {**KEYS, "message": "m"}
    url = f"{inbox.url}/1/messages.json"
    answer = session.post(url, data=body, files=files, timeout=TIMEOUT)
    assert (400, ["attachment is too large"]) == (answer.status_code, answer.json()["errors"])


def test_one_connection_serves_many_requests(inbox: Inbox, session: requests.Session) -> None:
    """A connection stays open, whatever was answered on it."""
    for fields in ({}, {"token": "bad"}, {}):
        post(inbox, session, **fields)
    assert 1 == len({attempt.connection for attempt in inbox.attempts})
    assert [200, 400, 200] == [attempt.status for attempt in inbox.attempts]


def test_body_of_unknown_length_ends_its_connection(
    inbox: Inbox, session: requests.Session
) -> None:
    """A chunked request is answered, and its connection closed."""
    answer = session.post(f"{inbox.url}/1/messages.json", data=iter([b"x"]), timeout=TIMEOUT)
    assert (400, "close") == (answer.status_code, answer.headers["Connection"])


def test_client_may_ask_before_it_sends_its_body(inbox: Inbox) -> None:
    """``Expect: 100-continue`` is answered before the body is read."""
    head = b"POST /1/messages.json HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", inbox.port), TIMEOUT) as client:
        client.sendall(head + b"Content-Length: 1\r\n\r\n")
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == client.recv(100)
        client.sendall(b"x")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_body_that_is_too_large_is_refused_unread(inbox: Inbox) -> None:
    """A body over 16 MiB is a 413, and its connection closed."""
    head = b"POST /1/messages.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16777217\r\n"
    kind = b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    with socket.create_connection(("127.0.0.1", inbox.port), TIMEOUT) as client:
        client.sendall(head + kind)
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_fault_is_answered_instead(inbox: Inbox, session: requests.Session) -> None:
    """A fault's status, body and headers go out, once, and nothing is accepted."""
    inbox.fail_with(503, "<html>", {"Retry-After": "7"})
    answer = post(inbox, session)
    assert (503, "<html>", "7") == (answer.status_code, answer.text, answer.headers["Retry-After"])
    assert "X-Limit-App-Limit" not in answer.headers
    assert [] == inbox.messages
    assert 200 == post(inbox, session).status_code
    assert [503, 200] == [attempt.status for attempt in inbox.attempts]


def test_fault_body_may_be_a_mapping(inbox: Inbox, session: requests.Session) -> None:
    """A mapping goes out as JSON; without a status it is 200."""
    inbox.fail_with(body={"status": 0})
    answer = post(inbox, session)
    sent = (answer.status_code, answer.headers["Content-Type"], answer.text)
    assert (200, "application/json", '{"status":0}') == sent


def test_faults_last_and_match_as_given(inbox: Inbox, session: requests.Session) -> None:
    """A fault is for so many requests that match; one without an end lasts until cleared."""
    inbox.fail_with(500, times=2, match=lambda fields: fields.get("title") == "a")
    inbox.fail_with(502, times=None, match=lambda fields: len(fields) > len(KEYS) + 1)
    titles = [{"title": "a"}, {}, {"title": "b"}, {"title": "a"}, {"title": "a"}]
    statuses = [post(inbox, session, **title).status_code for title in titles]
    assert [500, 200, 502, 500, 502] == statuses
    inbox.clear_faults()
    assert 200 == post(inbox, session, title="a").status_code


@pytest.mark.parametrize("wrong", [{"times": 0}, {"delay": -1.0}])
def test_impossible_fault_is_refused(inbox: Inbox, wrong: dict[str, Any]) -> None:
    """A fault that could never be played is an error at once."""
    with pytest.raises(ConfigurationError, match="times >= 1"):
        inbox.fail_with(500, **wrong)


@pytest.mark.parametrize("status", [None, 500])
def test_delay_comes_before_the_answer(
    inbox: Inbox, session: requests.Session, status: int | None
) -> None:
    """A delay holds a fault's answer back; alone it makes the service slow, which still accepts."""
    inbox.fail_with(status, delay=0.2)
    before = time.monotonic()
    answer = post(inbox, session)
    assert time.monotonic() - before >= 0.2
    assert (status or 200, status is None) == (answer.status_code, inbox.messages != [])


@pytest.mark.parametrize("fault", [{"hang": True}, {"delay": 60.0}, {"delay": 60.0, "status": 500}])
def test_closing_ends_what_hangs(fault: dict[str, Any]) -> None:
    """Close takes no notice of requests that hang; they get no answer and leave no message."""
    inbox = Inbox().start()
    ended = threading.Event()

    def send() -> None:
        with requests.Session() as session, pytest.raises(requests.ConnectionError):
            post(inbox, session)
        ended.set()

    came = threading.Event()
    inbox.fail_with(**fault, match=lambda _fields: came.set() is None)
    threading.Thread(target=send, daemon=True).start()
    assert came.wait(TIMEOUT)
    before = time.monotonic()
    inbox.close()
    assert time.monotonic() - before < 2
    assert ended.wait(TIMEOUT)
    assert [] == inbox.messages


def test_close_ends_kept_connections_and_start_serves_again(session: requests.Session) -> None:
    """After close no request is served; start uses the same port and keeps all messages."""
    inbox = Inbox().start()
    assert inbox is inbox.start()
    url = inbox.url
    with socket.create_connection(("127.0.0.1", inbox.port), TIMEOUT) as kept:
        post(inbox, session)
        inbox.close()
        inbox.close()
        assert b"" == kept.recv(1)
    with pytest.raises(requests.ConnectionError):
        post(inbox, session)
    with inbox:
        post(inbox, session)
    assert (url, 2) == (inbox.url, len(inbox.messages))


def test_port_in_use_is_an_error(inbox: Inbox) -> None:
    """A port in use is a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {inbox.port}"):
        Inbox(port=inbox.port).start()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_number_that_is_no_port_is_an_error(port: int) -> None:
    """A number that is no port is refused at construction."""
    with pytest.raises(ConfigurationError, match=f"port: {port} is not from 0 to 65535"):
        Inbox(port=port)


def test_inbox_serves_ipv6(session: requests.Session) -> None:
    """An IPv6 address is served, and stands in brackets in the URL."""
    with Inbox(host="::1") as inbox:
        assert f"http://[::1]:{inbox.port}" == inbox.url
        assert 200 == post(inbox, session).status_code


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "[::1]")]
)
def test_inbox_on_every_address_names_the_one_of_this_machine(host: str, reached: str) -> None:
    """The URL in `environ` is accepted by a client and leads to the inbox."""
    with Inbox(host=host) as inbox:
        assert f"http://{reached}:{inbox.port}" == inbox.environ["PUSHOVER_API_URL"]
        client = PushoverClient(EXAMPLE_TOKEN, EXAMPLE_USER, api_url=inbox.url)
        client.send(Message(message="Hello"))
        client.close()
        assert ["Hello"] == [push["message"] for push in inbox.messages]


def test_wait_for_returns_when_the_messages_are_there(inbox: Inbox) -> None:
    """It blocks until as many messages came as are asked for."""

    def send() -> None:
        with requests.Session() as session:
            post(inbox, session, title="one")
            post(inbox, session, title="two")

    # The messages are there before their answers are: the inbox stays until the client is done.
    client = threading.Thread(target=send)
    client.start()
    assert ["one", "two"] == [message["title"] for message in inbox.wait_for(2)]
    client.join(TIMEOUT)


def test_wait_for_reports_what_arrived_instead(inbox: Inbox, session: requests.Session) -> None:
    """Too few messages are an error that lists the titles and the answers given."""
    post(inbox, session, title="one")
    post(inbox, session)
    post(inbox, session, token="bad")
    with pytest.raises(AssertionError) as caught:
        inbox.wait_for(3, timeout=0.01)
    assert (
        "2 of 3 messages arrived within 0.01 s: ['one', 'disk full']; "
        "requests were answered with [200, 200, 400]"
    ) == str(caught.value)


def test_environ_points_a_program_at_the_inbox(inbox: Inbox) -> None:
    """The three variables name the address and the documentation's example keys."""
    assert {
        "PUSHOVER_API_URL": f"http://127.0.0.1:{inbox.port}",
        "PUSHOVER_TOKEN": EXAMPLE_TOKEN,
        "PUSHOVER_USER": EXAMPLE_USER,
    } == inbox.environ


def test_messages_are_listed_and_cleared_over_http(inbox: Inbox, session: requests.Session) -> None:
    """``GET /inbox/messages`` is what ``messages`` is, and DELETE empties it."""
    post(inbox, session)
    url = f"{inbox.url}/inbox/messages"
    assert inbox.messages == session.get(url, timeout=TIMEOUT).json()
    assert 204 == session.delete(url, timeout=TIMEOUT).status_code
    assert ([], []) == (inbox.messages, inbox.attempts)


def test_messages_are_copies(inbox: Inbox, session: requests.Session) -> None:
    """What a test does to a message does not change the inbox."""
    post(inbox, session)
    inbox.messages[0].clear()
    assert "disk full" == inbox.messages[0]["message"]
    inbox.clear()
    assert [] == inbox.messages


@pytest.mark.parametrize(
    ("missing", "error", "text"),
    [
        ("flask", ConfigurationError, "pip install 'pushover-logging[inbox]'"),
        ("requests_of_nobody", ModuleNotFoundError, "requests_of_nobody"),
    ],
)
def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, error: type[Exception], text: str
) -> None:
    """Without Flask the error names the extra; for another missing module it is not changed."""
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pushover_logging.inbox.server":
            raise ModuleNotFoundError(name=missing) from None
        return real(name, *args, **kwargs)

    module = sys.modules["pushover_logging.inbox"]
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(error) as caught:
        importlib.reload(module)
    assert text in str(caught.value) + str(getattr(caught.value, "name", ""))
    monkeypatch.undo()


@pytest.mark.parametrize(("name", "bound"), [("MAX_MESSAGES", 2), ("MAX_BYTES", 300)])
def test_store_keeps_no_more_than_it_promises(
    monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    """Messages and attempts are bounded, by number and by size: the oldest go first."""
    monkeypatch.setattr(f"pushover_logging.inbox.history.{name}", bound)
    store = Store()
    for text, priority in (("0", "1"), ("1", "2"), ("2", "2"), ("3", "2")):
        fields = {"message": text, "priority": priority, "retry": "30", "expire": "60"}
        message = IncomingMessage({**KEYS, **fields})
        store.judge(store.begin(message), message)
    assert ["2", "3"] == [message["message"] for message in store.messages]
    assert 2 == len(store.history.emergencies())
    assert 2 == len(store.attempts) or name == "MAX_BYTES"
    assert json.loads(rules.compact_json(store.messages)) == store.messages
