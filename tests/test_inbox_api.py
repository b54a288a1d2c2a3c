"""The other calls of the API: emergencies, keys, quota, sounds, and encrypted messages."""

from __future__ import annotations

import http.server
import threading
from urllib.parse import parse_qs

import pytest
import requests

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import Inbox, emergencies
from pushover_logging.inbox.clock import MAX_AHEAD_SECONDS, SpeedableClock
from pushover_logging.inbox.receipts import EmergencyReceipt
from pushover_logging.inbox.rules import EXAMPLE_TOKEN, EXAMPLE_USER

KEYS = {"token": EXAMPLE_TOKEN, "user": EXAMPLE_USER}
TOKEN = {"token": EXAMPLE_TOKEN}
GROUP = "g" * 30
TIMEOUT = 10
EMERGENCY = {"message": "down", "priority": "2", "retry": "60", "expire": "600"}


@pytest.fixture
def inbox(pushover_inbox):
    return pushover_inbox


def post(inbox, path, **fields):
    return requests.post(f"{inbox.url}/1/{path}", data={**TOKEN, **fields}, timeout=TIMEOUT)


def get(inbox, path, **query):
    return requests.get(f"{inbox.url}/1/{path}", params={**TOKEN, **query}, timeout=TIMEOUT)


def emergency(inbox, **fields):
    """Send an emergency; return its receipt."""
    return post(inbox, "messages.json", **{**KEYS, **EMERGENCY, **fields}).json()["receipt"]


def state(inbox, receipt):
    told = get(inbox, f"receipts/{receipt}.json").json()
    del told["request"]
    return told


def test_emergency_repeats_until_it_expires(inbox):
    """The receipt shows each repeat, and in the end that it was not acknowledged."""
    receipt = emergency(inbox)
    sent = int(inbox.messages[0]["received"])
    told = state(inbox, receipt)
    assert ["status", "acknowledged", "acknowledged_at", "acknowledged_by",
            "acknowledged_by_device", "last_delivered_at", "expired", "expires_at",
            "called_back", "called_back_at"] == list(told)  # fmt: skip
    assert (1, 0, 0, "", "") == tuple(told.values())[:5]
    assert (sent, 0, sent + 600) == tuple(told.values())[5:8]
    inbox.advance(125)
    assert (sent + 120, 0) == tuple(state(inbox, receipt).values())[5:7]
    inbox.advance(600)
    assert (sent + 540, 1, sent + 600, 0, 0) == tuple(state(inbox, receipt).values())[5:]
    inbox.acknowledge(receipt)
    assert 0 == state(inbox, receipt)["acknowledged"]


def test_emergency_repeats_no_more_than_fifty_times():
    """However long it may last."""
    receipt = EmergencyReceipt("r", "t", sent=0.0, retry=30, expire=10_800)
    assert [1, 1, 2, 51, 51] == [receipt.times_shown(now) for now in (0, 29, 30, 1_500, 20_000)]


def test_acknowledged_emergency_is_over(inbox):
    """By which user, on which device and when; a second acknowledgement changes nothing."""
    receipt = emergency(inbox, device="pixel")
    inbox.advance(61)
    inbox.acknowledge(receipt)
    told = state(inbox, receipt)
    assert (1, EXAMPLE_USER, "pixel", 0) == (
        told["acknowledged"],
        told["acknowledged_by"],
        told["acknowledged_by_device"],
        told["expired"],
    )
    assert 61 <= told["acknowledged_at"] - int(inbox.messages[0]["received"]) <= 63
    inbox.advance(700)
    inbox.acknowledge(receipt, by="u" * 30)
    assert told == state(inbox, receipt)


def test_unknown_receipt_is_refused(inbox):
    """No receipt, and the receipt of another application, are a 404; here a LookupError."""
    receipt = emergency(inbox)
    answers = [
        get(inbox, "receipts/nobody.json"),
        get(inbox, f"receipts/{receipt}.json", token="t" * 30),
        post(inbox, "receipts/nobody/cancel.json"),
    ]
    assert [404] * 3 == [answer.status_code for answer in answers]
    assert {"not found"} == {answer.json()["receipt"] for answer in answers}
    with pytest.raises(LookupError, match="nobody"):
        inbox.acknowledge("nobody")


def test_receipt_is_forgotten_after_a_week(inbox):
    """As in the documentation."""
    receipt = emergency(inbox)
    inbox.advance(7 * 86_400 - 60)
    assert 1 == state(inbox, receipt)["expired"]
    inbox.advance(60)
    assert 404 == get(inbox, f"receipts/{receipt}.json").status_code


def test_reset_is_back_to_how_it_was_made():
    """Refused keys and speed are those of the making."""
    with Inbox(refused={EXAMPLE_TOKEN}, speed=60) as inbox:
        inbox.refused.clear()
        inbox._state.clock.set_speed(1)
        inbox.reset()
        assert ({EXAMPLE_TOKEN}, 60) == (inbox.refused, inbox._state.clock.speed)


def test_emergency_is_cancelled(inbox):
    """Cancelled, it is over at once, and stays as it was."""
    receipt = emergency(inbox)
    inbox.advance(10)
    assert 1 == post(inbox, f"receipts/{receipt}/cancel.json").json()["status"]
    told = state(inbox, receipt)
    assert (0, 1) == (told["acknowledged"], told["expired"])
    assert 10 <= told["expires_at"] - int(inbox.messages[0]["received"]) <= 12
    post(inbox, f"receipts/{receipt}/cancel.json")
    assert told == state(inbox, receipt)


def test_emergencies_are_cancelled_by_tag(inbox):
    """Those of this application with that tag, and no others."""
    receipts = [
        emergency(inbox, tags="shop,db-7"),
        emergency(inbox, tags="db-71"),
        emergency(inbox, tags="db-7", token="t" * 30),
        emergency(inbox),
    ]
    answer = post(inbox, "receipts/cancel_by_tag/db-7.json").json()
    assert (1, 1) == (answer["status"], answer["canceled"])
    assert [1, 0, 0] == [state(inbox, receipts[number])["expired"] for number in (0, 1, 3)]
    other = get(inbox, f"receipts/{receipts[2]}.json", token="t" * 30).json()
    assert 0 == other["expired"]


class Called(http.server.BaseHTTPRequestHandler):
    """A program that wants to be called back."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.bodies.append({name: values[0] for name, values in parse_qs(body).items()})
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        return None


@pytest.fixture
def program():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Called) as server:
        server.bodies, server.status = [], 200
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(TIMEOUT)


def test_acknowledgement_calls_back(inbox, program):
    """The program gets the documented fields, and the receipt shows that it was called."""
    receipt = emergency(inbox, callback=f"http://127.0.0.1:{program.server_port}/ack")
    inbox.acknowledge(receipt, device="pixel")
    with inbox._store.changed:
        assert inbox._store.changed.wait_for(lambda: state_of(inbox).called_back_at, TIMEOUT)
    (body,) = program.bodies
    assert {
        "receipt": receipt,
        "acknowledged": "1",
        "acknowledged_at": body["acknowledged_at"],
        "acknowledged_by": EXAMPLE_USER,
        "acknowledged_by_device": "pixel",
    } == body
    assert 1 == state(inbox, receipt)["called_back"]


def state_of(inbox):
    return inbox._store.history.emergencies()[0].receipt


@pytest.mark.parametrize("status", [302, 500])
def test_callback_that_fails_was_none(program, status):
    """Neither a redirect, which is not followed, nor an error counts."""
    program.status = status
    url = f"http://127.0.0.1:{program.server_port}/"
    assert False is emergencies.call_back(url, {})
    assert 1 == len(program.bodies)


def test_callback_without_a_listener_is_not_called():
    """An address without a listener, or on another machine, counts as not called."""
    assert False is emergencies.call_back("http://127.0.0.1:9/", {})
    for url in ("https://shop.example/", "http://[::2]/", "http://[/", "ftp://localhost", ""):
        assert False is emergencies.call_back(url, {}), url
    assert emergencies.is_loopback("https://localhost/")


def test_refused_callback_changes_nothing(inbox):
    """If the callback fails, the emergency stays acknowledged."""
    receipt = emergency(inbox, callback="http://127.0.0.1:9/")
    before = set(threading.enumerate())
    inbox.acknowledge(receipt)
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT)
    told = state(inbox, receipt)
    assert (1, 0) == (told["acknowledged"], told["called_back"])


def test_callback_of_a_forgotten_message_is_forgotten(inbox, program):
    """An inbox that was cleared meanwhile has nothing to note."""
    receipt = emergency(inbox, callback=f"http://127.0.0.1:{program.server_port}/")
    before = set(threading.enumerate())
    with inbox._store.changed:
        inbox.acknowledge(receipt)
        inbox.clear()
    for thread in set(threading.enumerate()) - before - {None}:
        if thread.daemon and "_call_back" in thread.name:
            thread.join(TIMEOUT)
    assert [] == inbox.messages


def test_user_is_validated(inbox):
    """The answer has a user's devices and licenses, or that it is a group; errors are recorded."""
    inbox.set_devices(EXAMPLE_USER, ["pixel", "ipad"])
    inbox.set_group(GROUP, ["a" * 30, "b" * 30])
    told = [
        post(inbox, "users/validate.json", **{"user": user, **more}).json()
        for user, more in (
            (EXAMPLE_USER, {}),
            ("x" * 30, {"device": "phone"}),
            (GROUP, {}),
            (EXAMPLE_USER, {"device": "phone"}),
        )
    ]
    kept = ("status", "group", "devices", "licenses")
    assert [
        [1, 0, ["pixel", "ipad"], ["Android"]],
        [1, 0, ["phone"], ["Android"]],
        [1, 1, [], []],
    ] == [[each[name] for name in kept] for each in told[:3]]
    assert ["device name is not valid for this user"] == told[3]["errors"]


def test_invalid_user_is_answered_as_recorded(inbox):
    """To the order of the keys, for a bad shape and for a key that is refused."""
    inbox.refused.add("x" * 30)
    for user in ("", "x" * 30):
        answer = post(inbox, "users/validate.json", user=user)
        text = answer.text.replace(answer.json()["request"], "ID")
        body = '{"user":"invalid","errors":["user key is invalid"],"status":0,"request":"ID"}'
        assert (400, body) == (answer.status_code, text)


def test_group_costs_one_for_each_member(inbox):
    """The limits and the headers of each answer have what is left."""
    inbox.set_group(GROUP, ["a" * 30, "b" * 30, "c" * 30])
    post(inbox, "messages.json", user=f"{GROUP},{EXAMPLE_USER}", message="m")
    answer = get(inbox, "apps/limits.json")
    told = answer.json()
    assert (10_000, 9_996, 1) == (told["limit"], told["remaining"], told["status"])
    assert str(told["reset"]) == answer.headers["X-Limit-App-Reset"]
    assert "9996" == answer.headers["X-Limit-App-Remaining"]


def test_sounds_are_listed(inbox):
    """The documentation's 23, by name."""
    told = get(inbox, "sounds.json").json()
    assert (23, "Space Alarm") == (len(told["sounds"]), told["sounds"]["spacealarm"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "apps/limits.json"),
        ("GET", "sounds.json"),
        ("GET", "receipts/r.json"),
        ("POST", "users/validate.json"),
        ("POST", "receipts/r/cancel.json"),
        ("POST", "receipts/cancel_by_tag/t.json"),
    ],
)
def test_each_call_needs_a_token(inbox, method, path):
    """Without one, and with one that is refused, the recorded answer."""
    inbox.refused.add("t" * 30)
    for query in ({}, {"token": "t" * 30}):
        url = f"{inbox.url}/1/{path}"
        answer = requests.request(method, url, params=query, timeout=TIMEOUT)
        assert (400, "invalid") == (answer.status_code, answer.json()["token"])


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "messages.json", 405), ("POST", "glances.json", 404)]
)
def test_what_no_route_takes_is_answered_in_the_services_shape(inbox, method, path, status):
    """JSON with status 0 and the errors; a wrong method names the right one."""
    answer = requests.request(method, f"{inbox.url}/1/{path}", timeout=TIMEOUT)
    assert (status, 0, ["errors", "status", "request"]) == (
        answer.status_code,
        answer.json()["status"],
        list(answer.json()),
    )
    assert ("POST" in answer.headers.get("Allow", "")) == (status == 405)


def test_fault_may_be_meant_for_any_call(inbox):
    """By what its path begins with; a lost answer and a delay, too."""
    inbox.fail_with(503, path="/1/apps")
    inbox.fail_with(lost=True, path="/1/")
    assert [503] == [get(inbox, "apps/limits.json").status_code]
    with pytest.raises(requests.ConnectionError):
        get(inbox, "sounds.json")
    assert 200 == get(inbox, "sounds.json").status_code


@pytest.mark.parametrize(("device", "status"), [("a,b_1-", 200), ("a b", 400), ("d" * 26, 400)])
def test_device_that_can_be_none_is_refused(inbox, device, status):
    """A name has its shape; with several users none is looked at."""
    assert status == post(inbox, "messages.json", **KEYS, message="m", device=device).status_code
    users = f"{EXAMPLE_USER},{GROUP}"
    assert 200 == post(inbox, "messages.json", user=users, message="m", device=device).status_code


def test_fields_may_stand_in_the_query(inbox):
    """As the service takes them; the body's come first."""
    url = f"{inbox.url}/1/messages.json?message=query&title=query"
    requests.post(url, data={**KEYS, "message": "body"}, timeout=TIMEOUT)
    (message,) = inbox.messages
    assert ("body", "query") == (message["message"], message["title"])


def test_half_a_character_is_none(inbox):
    """Half of a surrogate pair becomes a question mark: it could be written nowhere."""
    body = {**KEYS, "message": "\ud800", "priority": 0}
    assert (
        200 == requests.post(f"{inbox.url}/1/messages.json", json=body, timeout=TIMEOUT).status_code
    )
    assert "?" == inbox.messages[0]["message"]


def test_clock_is_sped_up_and_moved():
    """Time passes at the speed, jumps ahead, and is the real one after a reset."""
    real = [100.0]
    clock = SpeedableClock(60, wall=lambda: 5000.0 + real[0], monotonic=lambda: real[0])
    assert 5100.0 == clock.time()
    real[0] += 2
    assert (5220.0, 60) == (clock.time(), clock.speed)
    clock.set_speed(1)
    clock.advance(10)
    real[0] += 1
    assert 5231.0 == clock.time()
    clock.reset()
    assert (5103.0, 60) == (clock.time(), clock.speed)


def test_impossible_time_is_refused(inbox):
    """A speed of nothing, a jump back, a jump beyond a century, also by small steps."""
    for speed in (0, -1, float("nan"), 2_000_000):
        with pytest.raises(ConfigurationError, match="speed: "):
            Inbox(speed=speed)
    for seconds in (-1, float("inf")):
        with pytest.raises(ConfigurationError, match="advance: "):
            inbox.advance(seconds)
    inbox.advance(MAX_AHEAD_SECONDS - 10)
    with pytest.raises(ConfigurationError, match="century"):
        inbox.advance(20)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda inbox: inbox.set_quota(limit=10**13), "limit: 10000000000000 is not"),
        (lambda inbox: inbox.set_devices("u", []), "user: 'u' is not 30"),
        (lambda inbox: inbox.set_devices(EXAMPLE_USER, ["a b"]), "device: 'a b'"),
        (lambda inbox: inbox.set_group("g", []), "group: 'g' is not 30"),
        (lambda inbox: inbox.set_group(GROUP, ["m"]), "member: 'm' is not 30"),
    ],
)
def test_impossible_account_is_refused(inbox, change, text):
    """The error names what was wrong."""
    with pytest.raises(ConfigurationError, match=text):
        change(inbox)


KEY = "0123456789abcdef" * 4


def test_encrypted_message_is_read_with_the_key():
    """As it came in its fields, in the clear beside them; None where the key is another."""
    encryption = pytest.importorskip("pushover_logging.api.encryption", exc_type=ConfigurationError)
    sealed, other = (encryption.encrypt("secret", bytes.fromhex(key)) for key in (KEY, "9" * 64))
    with Inbox(encryption_key=KEY) as inbox:
        post(inbox, "messages.json", **KEYS, message=sealed, title=sealed, encrypted="1")
        post(inbox, "messages.json", **KEYS, message=other, encrypted="1")
        long = post(inbox, "messages.json", **KEYS, message=sealed * 10, encrypted="1")
        assert KEY == inbox.environ["PUSHOVER_ENCRYPTION_KEY"]
        first, second = inbox.messages
        shown = requests.get(f"{inbox.url}/inbox/older", timeout=TIMEOUT).json()["messages"]
    assert 400 == long.status_code
    assert (sealed, {"message": "secret", "title": "secret"}) == (
        first["message"],
        first["decrypted"],
    )
    assert None is second["decrypted"]
    assert [("wrong key", other), ("decrypted", "secret")] == [
        (each["encrypted"], each["message"]) for each in shown
    ]


def test_bad_encryption_key_is_refused_unquoted():
    """The error shows the key's length, not the key."""
    with pytest.raises(
        ConfigurationError, match=r"encryption_key: got \*\*\* \(6 characters\)"
    ) as caught:
        Inbox(encryption_key="secret")
    assert "secret" not in str(caught.value)


@pytest.fixture
def strict():
    with Inbox(strict=True) as running:
        yield running


def test_strict_inbox_takes_its_own_keys_alone(strict):
    """Another token or user is refused as the service does; a user or group that was set is not."""
    other = "b" * 30
    assert 200 == post(strict, "messages.json", **KEYS, message="m").status_code
    for wrong, key in (("token", other), ("user", other), ("user", EXAMPLE_TOKEN)):
        answer = post(strict, "messages.json", **{**KEYS, wrong: key}, message="m")
        assert (400, "invalid") == (answer.status_code, answer.json()[wrong])
        answer = post(strict, "users/validate.json", **{**KEYS, wrong: key})
        assert (400, "invalid") == (answer.status_code, answer.json()[wrong])
    strict.set_devices(other, ["pixel"])
    strict.set_group(GROUP, [other])
    users = {"token": EXAMPLE_TOKEN, "user": f"{EXAMPLE_USER},{other},{GROUP}", "message": "m"}
    assert 200 == post(strict, "messages.json", **users).status_code


def test_swapped_keys_are_refused(inbox):
    """Its own user key is no token and its own token no user, also if it is not strict."""
    swapped = {"token": EXAMPLE_USER, "user": EXAMPLE_TOKEN, "message": "m"}
    refused = [post(inbox, "messages.json", **{**swapped, **part}).json() for part in ({}, TOKEN)]
    assert ["invalid"] * 2 == [refused[0].get("token"), refused[1].get("user")]
    inbox.set_devices("b" * 30, ["pixel"])
    assert (
        400 == post(inbox, "messages.json", **{**KEYS, "token": "b" * 30}, message="m").status_code
    )


@pytest.mark.parametrize("path", ["groups.json", "groups/x/add_user.json", "glances.json",
                                  "subscriptions/migrate.json"])  # fmt: skip
def test_what_is_not_served_is_said_to_be(inbox, path):
    """A 404, which a client does not try again, in the API's own shape."""
    answer = post(inbox, path)
    assert (404, 0) == (answer.status_code, answer.json()["status"])
    assert answer.json()["errors"][0].startswith("not served here: the inbox serves messages, ")


@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_multipart_body_is_read_without_its_last_line_end(inbox, end):
    """Some clients end the body at the last boundary."""
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % pair
        for pair in ((b"token", EXAMPLE_TOKEN.encode()), (b"user", EXAMPLE_USER.encode()),
                     (b"message", b"hello"))
    )  # fmt: skip
    answer = requests.post(
        f"{inbox.url}/1/messages.json", data=parts + b"--b--" + end, timeout=TIMEOUT,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )  # fmt: skip
    assert (200, "hello") == (answer.status_code, inbox.messages[0]["message"])
