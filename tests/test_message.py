"""A Message that exists is one that the service takes."""

import base64
import pickle

import pytest

from pushover_logging import ConfigurationError, Message

IMAGE = base64.b64encode(b"\x89PNG").decode()


@pytest.mark.parametrize(("field", "fields"), [
    ("message", {"message": " \n"}),
    ("message", {"message": "x" * 1025}),
    ("message", {"message": None}),
    ("message", {"message": "\ud800"}),
    ("title", {"title": "x" * 251}),
    ("title", {"title": 5}),
    ("url", {"url": "x" * 513}),
    ("url_title", {"url_title": "x" * 101}),
    ("priority", {"priority": 3}),
    ("priority", {"priority": True}),
    ("priority", {"priority": "urgent"}),
    ("user", {"user": "short"}),
    ("user", {"user": 7}),
    ("user", {"user": ",".join(["u" * 30] * 51)}),
    ("device", {"device": "no spaces"}),
    ("sound", {"sound": 1}),
    ("message", {"message": "x" * 1_000_000}),
    ("message", {"message": b"x" * 100}),
    ("timestamp", {"timestamp": -1}),
    ("ttl", {"ttl": 0}),
    ("ttl", {"ttl": 1.5}),
    ("retry", {"priority": 2, "retry": 29}),
    ("expire", {"priority": 2, "expire": 10_801}),
    ("callback", {"callback": "ftp://example.org"}),
    ("callback", {"callback": "http://["}),
    ("html", {"html": True, "monospace": True}),
    ("html", {"html": "yes"}),
    ("monospace", {"monospace": 1}),
    ("attachment", {"attachment": "text"}),
    ("attachment", {"attachment": b""}),
    ("attachment", {"attachment": b"x" * 5_242_881}),
    ("attachment", {"attachment": b"x", "attachment_base64": IMAGE}),
    ("attachment_base64", {"attachment_base64": "?", "attachment_type": "image/png"}),
    ("attachment_base64", {"attachment_base64": "", "attachment_type": "image/png"}),
    ("attachment_base64", {"attachment_base64": IMAGE}),
    ("attachment_type", {"attachment": b"1", "attachment_type": 5}),
])  # fmt: skip
def test_wrong_field_is_named(field, fields):
    """Each wrong value is a ConfigurationError that names its field."""
    with pytest.raises(ConfigurationError) as caught:
        Message(**{"message": "hello", **fields})
    assert field == caught.value.option
    assert str(caught.value).startswith(f"{field}: ")


def test_limits_are_inside():
    """The longest of everything is taken."""
    message = Message(
        message="x" * 1024, title="x" * 250, url="x" * 512, url_title="x" * 100, ttl=1,
        device=["a" * 25, "b"], tags=("x", "y"), callback="https://example.org/ack",
        user=",".join(["u" * 30] * 50), attachment_base64=IMAGE, attachment_type="image/png",
    )  # fmt: skip
    assert ("a" * 25 + ",b", "x,y") == (message.device, message.tags)


def test_emergency_has_retry_and_expire():
    """Priority 2, by name too, takes 60 and 3600 unless said."""
    message = Message(message="x", priority="Emergency")
    assert (2, 60, 3600) == (message.priority, message.retry, message.expire)


def test_repr_shows_no_user():
    """A user key is in no repr, and a Message outlives pickling."""
    message = Message(message="x", user="u" * 30)
    assert "u" * 30 not in repr(message)
    assert message == pickle.loads(pickle.dumps(message))
