"""Token and user key are in the request's body and nowhere else."""

import io
import logging
import pickle
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
