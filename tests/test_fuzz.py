"""Input from outside, of any shape: records, the service's answers, a file that others damaged."""

import logging

import pytest
from conftest import TOKEN, USER, Driven, drop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pushover_logging import DeliveryError, Message, PushoverClient
from pushover_logging.identity.fingerprint import fingerprint

LEVELS = st.sampled_from([logging.INFO, logging.ERROR])
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LIMITS = [f"X-Limit-App-{name}" for name in ("Limit", "Remaining", "Reset")]
HEADERS = st.dictionaries(
    st.sampled_from([*LIMITS, "Retry-After", "Location"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    | st.integers(-(10**400), 10**400).map(str),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [
    "status", "request", "errors", "user", "token", "receipt", "limit", "remaining", "reset",
    "devices", "licenses", "group", "sounds", "acknowledged", "expires_at", "canceled",
]  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(NAMES), JSON)
CALLS = [
    lambda client: client.send(Message(message="x")), PushoverClient.validate,
    PushoverClient.limits, PushoverClient.sounds, lambda client: client.receipt("r"),
    lambda client: client.cancel("r"), lambda client: client.cancel_by_tag("db"),
]  # fmt: skip


@given(level=LEVELS, text=st.text(max_size=3000), args=st.tuples() | st.tuples(st.text()))
@SETTINGS
def test_any_text_has_a_fingerprint(level, text, args):
    """Only what `%` itself refuses is an error, as it is for `logging`."""
    record = logging.LogRecord("shop", level, __file__, 1, text, args, None)
    try:
        record.getMessage()
    except (TypeError, ValueError):
        return
    key = fingerprint(record)
    assert key == fingerprint(record)


@given(
    call=st.sampled_from(CALLS),
    status=st.integers(200, 599) | st.just(200),
    body=BODIES | BODIES.map(lambda body: {**body, "status": 1}) | st.text(max_size=200),
    headers=HEADERS,
)
@SETTINGS
def test_any_answer_is_success_or_an_error_of_ours(inbox, call, status, body, headers):
    """Whatever the service says to any call, and it brings no secret into the error."""
    inbox.reset()
    inbox.fail_with(status, body, headers, path="/1/")
    client = PushoverClient(token=TOKEN, user=USER, api_url=inbox.url)
    try:
        call(client)
        said = ""
        assert (200, 1) == (status, body["status"])
    except DeliveryError as error:
        said = f"{error!r} {error}"
    finally:
        client.close()
    assert [] == [secret for secret in (TOKEN, USER) if secret in said]


@pytest.fixture
def file(inbox, tmp_path):
    """An outbox's file with three rows that wait, as a process that was killed leaves it."""
    path = tmp_path / "outbox.sqlite"
    driven = Driven(inbox, outbox=path)
    for name in ("disk", "database", "queue"):
        driven.log.error("No %s", name)
    drop(driven.handler)
    return path


@given(
    damage=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1),
    end=st.integers(0, 2**20),
)
@example(damage=[(482_761, 128)], end=32_769)  # a name in the schema that is no UTF-8
@settings(SETTINGS, max_examples=25)
def test_any_damage_costs_no_new_record(inbox, tmp_path_factory, file, damage, end):
    """Bytes changed anywhere, the file cut anywhere: what is logged after it arrives."""
    inbox.reset()
    path = tmp_path_factory.mktemp("damaged") / "outbox.sqlite"
    content = bytearray(file.read_bytes())
    for at, value in damage:
        content[at % len(content)] = value
    path.write_bytes(content[: max(1, end % (2 * len(content)))])
    driven = Driven(inbox, outbox=path)
    driven.log.critical("After the damage")
    driven.advance(120)
    assert "After the damage" in driven.titles
    driven.end()
