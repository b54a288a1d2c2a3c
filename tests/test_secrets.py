"""Token and user key are in the request's body and nowhere else."""

import io
import logging
import os
import pickle
import socket
import traceback

import pytest

from pushover_logging import (
    ConfigurationError,
    DeliveryError,
    Message,
    PushoverClient,
    PushoverFormatter,
    PushoverHandler,
    config,
)
from pushover_logging.rendering.redaction import describe_secret, without

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
ANSWERS = [
    (200, '{"status":1,"request":"x"}', {}),
    (400, f'{{"token":"{TOKEN}","errors":["{TOKEN} of {USER} is invalid"],"status":0}}', {}),
    (400, f'{{"{USER}":"invalid","errors":["no {USER}"],"status":0}}', {}),
    (429, "{}", {"Retry-After": TOKEN}),
    (500, TOKEN, {}),
    (502, "<html>", {}),
    (200, '{"status":0}', {}),
    (200, "{", {}),
    (302, "", {"Location": f"http://127.0.0.1/{TOKEN}"}),
]


@pytest.mark.parametrize(("status", "body", "headers"), ANSWERS)
def test_no_answer_brings_a_secret_out(drive, caplog, capfd, status, body, headers):
    """Whatever the service says: not in repr, str, stats, errors, stderr, or root at DEBUG."""
    caplog.set_level(logging.DEBUG)
    driven = drive()
    driven.inbox.fail_with(status, body, headers)
    driven.log.error("boom happened")
    driven.settle()
    handler = driven.handler
    shown = [repr(handler), str(handler.stats()), repr(handler._pipeline._client), caplog.text]
    shown += [*capfd.readouterr(), *(repr(record.__dict__) for record in caplog.records)]
    client = PushoverClient(TOKEN, USER, api_url=driven.inbox.url)
    driven.inbox.fail_with(status, body, headers)
    try:
        client.send(Message(message="x"))
    except DeliveryError as error:
        stream = io.StringIO()
        traceback.print_exc(file=stream)
        again = pickle.loads(pickle.dumps(error))
        shown += [stream.getvalue(), repr(error), repr(pickle.dumps(error)), repr(vars(again))]
    client.close()
    for text in shown:
        assert TOKEN not in text
        assert USER not in text


def test_formatter_of_two_handlers_hides_the_secrets_of_each(drive):
    """And signs as each: what one lacks it takes from the handler it formats for."""
    shared, other = PushoverFormatter(), "aOtherOtherOtherOtherOtherOthe"
    first, second = drive(host="web-1"), drive(token=other, host="web-2")
    for one in (first, second):
        one.handler.setFormatter(shared)
    second.log.error("The token is %s", other)
    second.settle()
    (push,) = second.inbox.messages
    assert "The token is ***" == push["title"]
    assert push["message"].endswith("web-2")
    assert (None, None) == (shared.host, shared.redaction)


def test_unreachable_service_shows_no_secret():
    """The library's own exceptions below ours keep no request."""
    client = PushoverClient(TOKEN, USER, api_url="http://127.0.0.1:9")
    with pytest.raises(DeliveryError) as caught:
        client.send(Message(message="x"))
    assert None is caught.value.__cause__.request
    client.close()


GETS = {
    "limits": PushoverClient.limits,
    "sounds": PushoverClient.sounds,
    "receipt": lambda client: client.receipt("r" * 30),
}


@pytest.mark.parametrize("call", GETS.values(), ids=GETS)
@pytest.mark.parametrize("fault", [{}, {"status": 500}, {"reset": True}, {"hang": True}], ids=str)
def test_token_in_an_address_is_in_no_log_and_no_error(inbox, caplog, call, fault):
    """Three calls take it there, by the service's rules: urllib3's DEBUG log shows none of it."""
    caplog.set_level(logging.DEBUG)
    if fault:
        inbox.fail_with(path="/1/", **fault)
    client = PushoverClient(TOKEN, USER, api_url=inbox.url, timeout=(0.3, 0.3))
    shown = []
    try:
        call(client)
    except DeliveryError as error:
        stream = io.StringIO()
        traceback.print_exc(file=stream)
        shown = [stream.getvalue(), repr(error), repr(error.__context__), repr(pickle.dumps(error))]
    client.close()
    shown += [caplog.text, *(repr(record.__dict__) for record in caplog.records)]
    assert caplog.records
    assert not [text for text in shown if TOKEN in text or USER in text]


def test_masked_shows_nothing():
    """A secret is described by its length or its type alone."""
    assert ["*** (3 characters)", "*** (a int)"] == [describe_secret("abc"), describe_secret(5)]
    assert "a *** b" == without("a secret b", ["secret", None, ""])


OTHERS = ("a" * 15 + "B" * 15, "c" * 15 + "D" * 15)


def test_key_of_anybody_is_in_no_error(drive, caplog):
    """Of one of several users, and of a record's own, which the service says back."""
    driven = drive(user=",".join([USER, OTHERS[0]]))
    errors = [f"users {USER}, {OTHERS[0]}\r\n\x1b[31m and {OTHERS[1]} are odd"]
    driven.inbox.fail_with(400, {"message": "no", "errors": errors, "status": 0})
    driven.log.error("boom happened", extra={"pushover": {"user": OTHERS[1]}})
    driven.settle()
    said = caplog.text + str(driven.handler.stats().last_error)
    assert "are odd" in said
    assert [] == [one for one in (USER, *OTHERS, "\x1b", "\r") if one in said]


@pytest.mark.parametrize("name", [
    "device", "level", "levels", "throttle", "callback", "extras", "timeout", "capacity", "style",
    "html", "tags", "ttl", "redact", "outbox", "api_url", "url",
])  # fmt: skip
def test_key_in_the_wrong_option_is_not_said(name):
    """An easy slip: the error names the option, and says that it got something else."""
    said = []
    for given in (f"{TOKEN} {USER}", [TOKEN], {TOKEN: USER}, {"DEBUG": {TOKEN: 1}}):
        try:
            PushoverHandler(**{"token": TOKEN, "user": USER, name: given})
        except ConfigurationError as error:
            said.append(str(error))
    assert said
    assert [] == [one for one in (TOKEN, USER) if one in str(said)]


def test_token_in_place_of_its_files_name_is_not_said(monkeypatch):
    """PUSHOVER_TOKEN_FILE=<the token>: the error names the variable."""
    monkeypatch.delenv("PUSHOVER_TOKEN", raising=False)
    monkeypatch.setenv("PUSHOVER_TOKEN_FILE", TOKEN)
    with pytest.raises(ConfigurationError, match="PUSHOVER_TOKEN_FILE names") as caught:
        PushoverHandler(user=USER)
    assert TOKEN not in str(caught.value)


def test_credentials_show_nothing():
    """Not in a debugger's frame, nor in an error's text that names them."""
    found = config.credentials(TOKEN, USER)
    assert "Credentials(***)" == f"{found}" == repr(found)


KEY = "0123456789abcdef" * 4


def frames_of(error):
    """Yield the frames of an exception and of all that led to it."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        pending += [one.__cause__, one.__context__]
        yield from (frame for frame, _ in traceback.walk_tb(one.__traceback__))


def shown_in_frames(error):
    """Return what an error report with local variables would show of the secrets."""
    own = [frame for frame in frames_of(error) if frame.f_code.co_filename != __file__]
    assert own
    texts = [repr(value) for frame in own for value in frame.f_locals.values()]
    return [text for text in texts if TOKEN in text or USER in text or KEY in text]


CALLS = {
    **GETS,
    "send": lambda client: client.send(Message(message="x", priority=2)),
    "image": lambda client: client.send(Message(message="x", attachment=b"x")),
    "validate": PushoverClient.validate,
    "cancel": lambda client: client.cancel("r" * 30),
    "cancel_by_tag": lambda client: client.cancel_by_tag("db"),
}
FAULTS = {
    "refused": {"status": 400, "body": {"status": 0, "errors": [TOKEN], USER: "no"}},
    "quota": {"status": 429}, "page": {"status": 502, "body": TOKEN}, "reset": {"reset": True},
    "hang": {"hang": True}, "odd": {"status": 200, "body": "[" * 60_000},
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_no_frame_of_a_failed_call_shows_a_secret(inbox, name):
    """Error reports contain the local variables of each frame, also of requests and urllib3."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url, timeout=(0.3, 0.3), encryption_key=KEY)
    for fault in FAULTS.values():
        inbox.fail_with(path="/1/", **fault)
        with pytest.raises(DeliveryError) as caught:
            CALLS[name](client)
        assert [] == shown_in_frames(caught.value)
    client.close()


class Interrupt(BaseException):
    """What a signal's handler raises, in the middle of anything."""


@pytest.mark.parametrize("name", CALLS)
def test_no_frame_of_an_interrupted_call_shows_a_secret(inbox, name, monkeypatch):
    """A fault that nobody foresaw is reported too, with where it was."""

    def interrupt(self, _):
        self.close()
        raise Interrupt

    client = PushoverClient(TOKEN, USER, api_url=inbox.url, encryption_key=KEY)
    monkeypatch.setattr(socket.socket, "connect", interrupt)
    with pytest.raises(Interrupt) as caught:
        CALLS[name](client)
    assert [] == shown_in_frames(caught.value)
    assert interrupt.__name__ == traceback.extract_tb(caught.value.__traceback__)[-1].name


@pytest.mark.parametrize("wrong", [
    {"user": "short"}, {"token": "short"}, {"api_url": "http://x"}, {"timeout": 0},
    {"encryption_key": "0" * 63},
], ids=lambda wrong: next(iter(wrong)))  # fmt: skip
def test_no_frame_of_a_refused_client_shows_a_secret(wrong):
    """One wrong argument, and the others are right."""
    with pytest.raises(ConfigurationError) as caught:
        PushoverClient(**{"token": TOKEN, "user": USER, "encryption_key": KEY, **wrong})
    assert [] == shown_in_frames(caught.value)


def test_frames_of_the_program_are_its_own(inbox):
    """A call within an except block leaves that exception as it is."""

    def fail(value):
        raise KeyError(value)

    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    inbox.fail_with(500)
    try:
        fail("kept")
    except KeyError as error:
        with pytest.raises(DeliveryError):
            client.send(Message(message="x"))
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert "kept" == frames[-1].f_locals["value"]
    client.close()


@pytest.mark.parametrize("kind", [PushoverHandler, PushoverClient])
def test_half_made_object_has_a_repr(kind):
    """As in an error report about its own constructor."""
    assert kind.__name__ in repr(kind.__new__(kind))


def test_encryption_key_is_read_from_a_file(monkeypatch, tmp_path):
    """As token and user; an empty file is an error, and not a way to send in the clear."""
    path = tmp_path / "key"
    monkeypatch.setenv("PUSHOVER_ENCRYPTION_KEY_FILE", os.fspath(path))
    path.write_text(f"{KEY}\n")
    assert KEY == config.encryption_key(None)
    path.write_text("\n")
    with pytest.raises(ConfigurationError, match="encryption_key: got"):
        config.encryption_key(None)
    path.unlink()
    with pytest.raises(ConfigurationError, match="encryption_key: PUSHOVER_ENCRYPTION_KEY_FILE"):
        config.encryption_key(None)
