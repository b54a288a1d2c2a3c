"""The control API, for tests in any language; and rubbish at every endpoint."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pushover_logging.inbox as inbox_package
from pushover_logging.inbox import Inbox
from pushover_logging.inbox.app import create_app
from pushover_logging.inbox.rules import EXAMPLE_TOKEN, EXAMPLE_USER

KEYS = {"token": EXAMPLE_TOKEN, "user": EXAMPLE_USER}
TIMEOUT = 10
OPENAPI = Path(inbox_package.__file__).parent / "static" / "openapi.json"


def call(inbox, method, path, **options):
    return requests.request(method, f"{inbox.url}{path}", timeout=TIMEOUT, **options)


def send(inbox, **fields):
    body = {**KEYS, "message": "m", **fields}
    return call(inbox, "POST", "/1/messages.json", data=body).json()


def test_messages_are_waited_for(inbox):
    """The answer comes once there are as many as asked for."""
    answers = []
    path = "/inbox/messages?count=2&timeout=10"
    waiting = threading.Thread(target=lambda: answers.append(call(inbox, "GET", path)))
    send(inbox, title="one")
    waiting.start()
    send(inbox, title="two")
    waiting.join(TIMEOUT)
    assert [200] == [answer.status_code for answer in answers]
    assert ["one", "two"] == [message["title"] for message in answers[0].json()]


def test_messages_that_do_not_arrive_are_a_408(inbox):
    """After the timeout a 408 lists what arrived instead."""
    send(inbox, title="one")
    answer = call(inbox, "GET", "/inbox/messages?count=2&timeout=0.01")
    assert 408 == answer.status_code
    assert "1 of 2 messages arrived within 0.01 s: ['one']" in answer.json()["errors"][0]
    assert ["one"] == [message["title"] for message in answer.json()["messages"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("GET", "/inbox/messages?count=many", None, "count: 'many' is not a whole number"),
        ("GET", "/inbox/messages?count=-1", None, "count: '-1' is not a whole number from 0"),
        ("GET", "/inbox/messages?timeout=61", None, "timeout: '61' is not a number from 0 to 60"),
        ("GET", "/inbox/older?before=x", None, "before: 'x' is not a whole number"),
        ("PUT", "/inbox/quota", {"limit": 1.5}, "limit: 1.5 is not a whole number"),
        ("PUT", "/inbox/quota", [], "the body is not a JSON object"),
        ("PUT", "/inbox/refused", {"a": 1}, "refused: {'a': 1} is not a list of texts"),
        ("PUT", "/inbox/refused", [1], "refused: [1] is not a list of texts"),
        ("PUT", "/inbox/users/u", {"devices": []}, "user: 'u' is not 30"),
        ("PUT", "/inbox/groups/g", {"members": []}, "group: 'g' is not 30"),
        ("POST", "/inbox/clock", {"advance": "soon"}, "advance: 'soon' is not a number"),
        ("POST", "/inbox/clock", {"advance": True}, "advance: True is not a number"),
        ("POST", "/inbox/clock", {"speed": 0}, "speed: 0.0 is not above 0"),
        ("POST", "/inbox/receipts/r/acknowledge", {"by": 1}, "by: 1 is not a text"),
        ("POST", "/inbox/faults", {"headers": {"a b": "c"}}, "headers: "),
    ],
)
def test_what_cannot_be_is_refused(inbox, method, path, body, text):
    """A 400 names what was wrong, what was given, and what it takes."""
    answer = call(inbox, method, path, json=body)
    assert 400 == answer.status_code
    assert text in answer.json()["errors"][0]


def test_emergency_is_acknowledged_over_http(inbox):
    """By its user on its device, or as given; an unknown receipt is a 404."""
    times = {"priority": "2", "retry": "30", "expire": "60"}
    one, two = (send(inbox, **times)["receipt"] for _ in range(2))
    assert 204 == call(inbox, "POST", f"/inbox/receipts/{one}/acknowledge").status_code
    told = {"by": "u" * 30, "device": "ipad"}
    call(inbox, "POST", f"/inbox/receipts/{two}/acknowledge", json=told)
    names = ("acknowledged_by", "acknowledged_by_device")
    states = [
        call(inbox, "GET", f"/1/receipts/{each}.json", params=KEYS).json() for each in (one, two)
    ]
    assert [(EXAMPLE_USER, "phone"), ("u" * 30, "ipad")] == [
        tuple(each[name] for name in names) for each in states
    ]
    assert 404 == call(inbox, "POST", "/inbox/receipts/x/acknowledge").status_code


def test_state_is_set_and_reset_over_http(inbox):
    """Quota, keys, clock and what is refused; a reset takes it all back."""
    group, refused = "g" * 30, "r" * 30
    set_to = {"limit": 100, "remaining": 50, "reset": 4_000_000_000}
    assert set_to == call(inbox, "PUT", "/inbox/quota", json=set_to).json()
    assert 204 == call(inbox, "PUT", "/inbox/refused", json=[refused]).status_code
    call(inbox, "PUT", f"/inbox/users/{EXAMPLE_USER}", json={"devices": ["pixel"]})
    call(inbox, "PUT", f"/inbox/groups/{group}", json={"members": ["m" * 30] * 3})
    assert (
        60 == call(inbox, "POST", "/inbox/clock", json={"speed": 60, "advance": 5}).json()["speed"]
    )
    assert 0 == send(inbox, user=refused)["status"]
    assert 1 == send(inbox, user=group)["status"]
    assert 47 == call(inbox, "GET", "/inbox/quota").json()["remaining"]
    inbox.fail_with(500)
    assert 204 == call(inbox, "POST", "/inbox/reset").status_code
    assert 1 == call(inbox, "GET", "/inbox/clock").json()["speed"]
    assert 1 == send(inbox, user=refused)["status"]
    assert 9_999 == call(inbox, "GET", "/inbox/quota").json()["remaining"]
    assert (1, set()) == (len(inbox.messages), inbox.refused)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "http://["}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_pages_of_other_sites_are_kept_out(inbox, headers):
    """What another site's page sends from the same browser neither reads nor changes anything."""
    send(inbox)
    for method, path in (("DELETE", "/inbox/messages"), ("GET", "/inbox/older")):
        assert 403 == call(inbox, method, path, headers=headers).status_code
    assert 200 == call(inbox, "GET", "/", headers=headers).status_code
    own = {"Origin": inbox.url, "Sec-Fetch-Site": "same-origin"}
    assert 200 == call(inbox, "GET", "/inbox/older", headers=own).status_code
    assert 1 == len(inbox.messages)


@pytest.mark.parametrize("path", ["/", "/inbox/messages", "/inbox/older"])
def test_name_of_another_site_that_leads_here_is_no_way_in(inbox, path):
    """As after a DNS rebinding: the browser takes its page for one of that site."""
    headers = {"Host": f"evil.example:{inbox.port}"}
    assert 403 == call(inbox, "GET", path, headers=headers).status_code
    for own in ("localhost", "127.0.0.1", "[::1]"):
        headers = {"Host": f"{own}:{inbox.port}"}
        assert 200 == call(inbox, "GET", path, headers=headers).status_code


def test_page_and_raw_and_picture_are_guarded(inbox):
    """Each has the policy; a raw request is plain text, a picture is one by its bytes alone."""
    kinds = [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF1234WEBPVP8 ", b"\xff\xd8\xff", b"<svg/>"]
    for data in kinds:
        files = {"attachment": ("<svg>", data, "image/svg+xml")}
        call(inbox, "POST", "/1/messages.json", data={**KEYS, "message": "m"}, files=files)
    paths = [f"/inbox/messages/{number}/picture" for number in range(1, 7)]
    answers = [call(inbox, "GET", path) for path in (*paths, "/", "/inbox/messages/1/raw")]
    found = [answer.headers["Content-Type"] for answer in answers[:4]]
    assert ["image/png", "image/gif", "image/webp", "image/jpeg"] == found
    assert [404, 404] == [answer.status_code for answer in answers[4:6]]
    assert kinds[0] == answers[0].content
    assert "text/plain; charset=utf-8" == answers[-1].headers["Content-Type"]
    assert answers[-1].text.startswith("POST /1/messages.json HTTP/1.1\r\nHost: 127.0.0.1")
    assert b"PNG" in answers[-1].content
    assert 1 == len({answer.headers.get("Content-Security-Policy") for answer in answers[-2:]})
    assert "script-src 'self'" in answers[-1].headers["Content-Security-Policy"]


def test_long_request_is_cut_where_it_is_shown(inbox):
    """The raw request has the head, the beginning of the body, and the size of the rest."""
    send(inbox, attachment_base64="A" * 100_000)
    raw = call(inbox, "GET", "/inbox/messages/1/raw").text
    assert (len(raw) < 34_000, raw.endswith(" bytes more]")) == (True, True)


def open_operations(inbox):
    document = call(inbox, "GET", "/inbox/static/openapi.json").json()
    return document, [
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    ]


def test_openapi_file_names_every_route(inbox):
    """The file that the inbox serves and the routes that it has are the same."""
    routes = {
        (method, "".join("{" + part.split(":")[-1].replace(">", "}") if number else part
                         for number, part in enumerate(rule.rule.split("<"))))
        for rule in create_app(inbox._state).url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }  # fmt: skip
    assert routes == set(open_operations(inbox)[1])


RUBBISH = st.text() | st.integers() | st.booleans() | st.none() | st.floats() | st.just("1")
VALUES = st.recursive(
    RUBBISH, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
)
WORDS = """token user message title priority retry expire ttl device html monospace timestamp url
attachment_base64 encrypted tags callback status body headers delay times match path limit remaining
reset devices members speed count timeout before text by"""
NAMES = st.sampled_from(WORDS.split())
TYPES = st.sampled_from(["application/json", "multipart/form-data; boundary=x", "", "a/b"])
FIELDS = st.dictionaries(NAMES | st.text(max_size=5), VALUES, max_size=6)


OPERATIONS = [
    (method, path)
    for path, methods in json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"].items()
    for method in methods
]


@pytest.fixture
def app(inbox):
    return create_app(inbox._state).test_client()


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_rubbish_is_never_the_services_fault(inbox, app, data):
    """Whatever comes at an endpoint of the OpenAPI file, the answer is below 500."""
    method, path = data.draw(st.sampled_from(OPERATIONS))
    parts = st.sampled_from(["1", EXAMPLE_TOKEN, "-1", "9" * 30]) | st.text(min_size=1, max_size=9)
    for name in ("receipt", "tag", "number", "user", "group", "name"):
        path = path.replace("{" + name + "}", requests.utils.quote(data.draw(parts), safe=""))
    fields = data.draw(FIELDS | FIELDS.map(lambda each: {**KEYS, "message": "m", **each}))
    kind = data.draw(st.sampled_from(["json", "form", "multipart", "query", "bytes"]))
    plain = {name: str(value).encode("utf-8", "replace").decode() for name, value in fields.items()}
    options = {
        "json": {"json": data.draw(st.just(fields) | VALUES)},
        "form": {"data": plain},
        "multipart": {"data": plain, "content_type": "multipart/form-data"},
        "query": {"query_string": plain},
        "bytes": {
            "data": data.draw(st.binary()),
            "content_type": data.draw(TYPES),
        },
    }[kind]
    if path == "/inbox/messages":
        options["query_string"] = {"count": data.draw(st.text(max_size=3)), "timeout": "0"}
    answer = app.open(path, method=method.upper(), buffered=False, **options)
    assert answer.status_code < 500
    answer.close()
    inbox.clear_faults()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /1/messages.json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n",
        b"POST /1/messages.json HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nrubbish\r\n",
        b"POST /1/messages.json HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"POST /1/messages.json HTTP/1.1\r\nContent-Type: multipart/form-data\r\n"
        b"Content-Length: 3\r\n\r\nabc",
        b"POST /1/messages.json HTTP/1.1\r\nContent-Length: soon\r\n\r\n",
        b"POST /1/messages.json HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
        b"POST /inbox/clock HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
        b"POST /1/messages.json HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
        b"GET /%ff%00/../.. HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET //[ HTTP/1.1\r\n\r\n",
        b"GET /inbox/static/../server.py HTTP/1.1\r\n\r\n",
        b"GET /inbox/events?x HTTP/1.1\r\nHost: [\r\nLast-Event-ID: \xff.\xb2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\xffb:99999999\r\n\r\n",
        b"PUT /inbox/refused HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 60000\r\n\r\n" + b"[" * 60_000,
        b"BREW / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ],
)
def test_rubbish_on_the_wire_is_never_the_services_fault(inbox, request_bytes, capfd):
    """A malformed request gets a status below 500 or is closed, and prints nothing."""
    with socket.create_connection(("127.0.0.1", inbox.port), TIMEOUT) as peer:
        peer.sendall(request_bytes)
        peer.shutdown(socket.SHUT_WR)
        status = peer.makefile("rb").readline()
    assert not status.startswith(b"HTTP/1.1 5")
    assert 1 == send(inbox)["status"]
    assert ("", "") == capfd.readouterr()


def test_page_follows_a_flood(inbox):
    """Of 240 messages over two connections none is missing, and the stream has the newest."""
    events = requests.get(f"{inbox.url}/inbox/events", stream=True, timeout=TIMEOUT)

    def flood(name):
        with requests.Session() as session:
            for number in range(120):
                body = {**KEYS, "message": f"{name} {number}"}
                session.post(f"{inbox.url}/1/messages.json", data=body, timeout=TIMEOUT)

    senders = [threading.Thread(target=flood, args=(name,)) for name in ("a", "b")]
    for sender in senders:
        sender.start()
    told = 0
    with events:
        for line in events.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                shown = json.loads(line[6:])
                assert len(shown["messages"]) <= 100
                told = max([told, *(message["number"] for message in shown["messages"])])
            if told == 240:
                break
    for sender in senders:
        sender.join(TIMEOUT)
    sent = {f"{name} {number}" for name in ("a", "b") for number in range(120)}
    assert sent == {message["message"] for message in inbox.messages}


def test_page_gets_safe_html_and_links(inbox):
    """What the page may put in as HTML, and what may be clicked; all else is text."""
    hostile = "<b onclick=x>b</b><script>x</script><font color='red;x'>f</font>"
    send(inbox, message=f"{hostile}<a href='/x'>a</a><a href='https://x.example'>a</a>", html="1")
    for url in ("https://x.example/", "javascript:alert(1)", "https:", "https://[", ""):
        send(inbox, url=url)
    send(inbox, priority="2", retry="30", expire="60", encrypted="1")
    told = call(inbox, "GET", "/inbox/older").json()["messages"][::-1]
    wanted = ('href="https://x.example"', 'rel="noopener noreferrer nofollow"', 'target="_blank"')
    assert "<b>b</b><font>f</font>" in told[0]["html"]
    assert all(part in told[0]["html"] for part in wanted)
    assert 'href="/x"' not in told[0]["html"]
    assert [None, "https://x.example/", None, None, None, None, None] == [
        message["link"] for message in told
    ]
    assert (True, "no key") == (told[-1]["emergency"]["active"], told[-1]["encrypted"])


def test_older_messages_are_filtered(inbox):
    """By priorities, by text in any case, and in lots of fifty with a word on whether more are."""
    for number in range(120):
        send(inbox, title=f"Number {number}", priority=str(number % 2))
    asked = [
        call(inbox, "GET", f"/inbox/older?{query}").json()
        for query in ("priority=high,nothing", "text=nUMBER 11", "before=11&text=Number", "text=-")
    ]
    assert [(50, True), (11, False), (10, False), (0, False)] == [
        (len(each["messages"]), each["more"]) for each in asked
    ]
    assert {"high"} == {message["priority"] for message in asked[0]["messages"]}


def test_stream_ends_with_the_inbox():
    """An open page does not keep the inbox from closing; its stream ends."""
    with Inbox() as inbox:
        events = requests.get(f"{inbox.url}/inbox/events", stream=True, timeout=TIMEOUT)
        lines = events.iter_lines(chunk_size=1)
        assert b"retry: 1000" == next(lines)
        send(inbox)
        assert next(line for line in lines if line.startswith(b"id: "))
        fault = threading.Timer(0.3, inbox.close)
        fault.start()
        list(lines)
    fault.join(TIMEOUT)
    events.close()
