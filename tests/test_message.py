"""A Message that exists is one that the service takes."""

import base64
import pickle

import pytest

from pushover_logging import ConfigurationError, Message
from pushover_logging.clock import DURATION

IMAGE = base64.b64encode(b"\x89PNG").decode()


TEXT = "takes a text that is not blank"
PRIORITY = "takes -2 to 2 or one of lowest, low, normal, high, emergency"
USER = "takes a key, 30 of A-Z, a-z, 0-9, or up to 50 of them joined by commas"
DEVICE = "takes names of 1 to 25 of A-Z, a-z, 0-9, _ and -, joined by commas"
URL = "takes an http or https URL"
SIZE = "takes 1 to 5242880 bytes"
PNG = "image/png"


@pytest.mark.parametrize(("said", "fields"), [
    (f"message: got ' \\n', {TEXT}", {"message": " \n"}),
    (f"message: got None, {TEXT}", {"message": None}),
    (f"message: got b'xx', {TEXT}", {"message": b"xx"}),
    ("message: got 1025 characters, takes at most 1024", {"message": "x" * 1025}),
    ("message: got 1000000 characters, takes at most 1024", {"message": "x" * 1_000_000}),
    ("message: got '\\ud800', takes text without lone surrogates, which UTF-8 cannot encode",
     {"message": "\ud800"}),
    ("title: got 251 characters, takes at most 250", {"title": "x" * 251}),
    ("title: got 5, takes a text", {"title": 5}),
    ("url: got 513 characters, takes at most 512", {"url": "x" * 513}),
    ("url_title: got 101 characters, takes at most 100", {"url_title": "x" * 101}),
    (f"priority: got 3, {PRIORITY}", {"priority": 3}),
    (f"priority: got -3, {PRIORITY}", {"priority": -3}),
    (f"priority: got True, {PRIORITY}", {"priority": True}),
    (f"priority: got 'urgent', {PRIORITY}", {"priority": "urgent"}),
    (f"user: got *** (5 characters), {USER}", {"user": "short"}),
    (f"user: got *** (a int), {USER}", {"user": 7}),
    (f"user: got *** (1580 characters), {USER}", {"user": ",".join(["u" * 30] * 51)}),
    (f"device: got 'no spaces', {DEVICE}", {"device": "no spaces"}),
    ("device: got 5, takes a text", {"device": 5}),
    ("device: got 519 characters, takes at most 512", {"device": ["x" * 25] * 20}),
    ("tags: got 513 characters, takes at most 512", {"tags": "x" * 513}),
    ("sound: got 1, takes a text", {"sound": 1}),
    ("sound: got 513 characters, takes at most 512", {"sound": "x" * 513}),
    ("timestamp: got -1, takes 0 or more seconds", {"timestamp": -1}),
    ("ttl: got 0, takes 1 or more seconds", {"ttl": 0}),
    ("ttl: got 1.5, takes whole seconds, 1 or more", {"ttl": 1.5}),
    ("ttl: got True, takes whole seconds, 1 or more", {"ttl": True}),
    ("retry: got 29, takes 30 or more seconds", {"priority": 2, "retry": 29}),
    ("expire: got 0, takes 1 to 10800 seconds", {"priority": 2, "expire": 0}),
    ("expire: got 10801, takes 1 to 10800 seconds", {"priority": 2, "expire": 10_801}),
    (f"ttl: got '1.5s', takes {DURATION}", {"ttl": "1.5s"}),
    ("expire: got 10801, takes 1 to 10800 seconds", {"priority": 2, "expire": "3h1s"}),
    (f"expire: got 'long', takes {DURATION}", {"priority": 2, "expire": "long"}),
    ("timestamp: got '5m', takes whole seconds, 0 or more", {"timestamp": "5m"}),
    (f"callback: got 'ftp://example.org', {URL}", {"callback": "ftp://example.org"}),
    (f"callback: got 'http://[', {URL}", {"callback": "http://["}),
    ("callback: got 513 characters, takes at most 512", {"callback": "x" * 513}),
    ("html: got True, takes False if monospace is set: they exclude each other",
     {"html": True, "monospace": True}),
    ("html: got 'yes', takes True or False", {"html": "yes"}),
    ("monospace: got 1, takes True or False", {"monospace": 1}),
    ("attachment: got a str, takes an image's bytes", {"attachment": "text"}),
    ("attachment: got a int, takes an image's bytes",
     {"attachment": 5, "attachment_base64": IMAGE}),
    (f"attachment: got 0 bytes, {SIZE}", {"attachment": b""}),
    (f"attachment: got 5242881 bytes, {SIZE}", {"attachment": b"x" * 5_242_881}),
    ("attachment: got 1 bytes, takes nothing if attachment_base64 is set: a message has one "
     "image", {"attachment": b"x", "attachment_base64": IMAGE}),
    ("attachment_base64: takes an image as Base64 text",
     {"attachment_base64": "?", "attachment_type": PNG}),
    ("attachment_base64: takes an image as Base64 text",
     {"attachment_base64": IMAGE + "\n", "attachment_type": PNG}),
    (f"attachment_base64: got 0 bytes, {SIZE}", {"attachment_base64": "", "attachment_type": PNG}),
    ("attachment_base64: got no attachment_type, takes its MIME type as well",
     {"attachment_base64": IMAGE}),
    ("attachment_type: got 5, takes a text", {"attachment": b"1", "attachment_type": 5}),
    ("attachment_type: got 513 characters, takes at most 512",
     {"attachment": b"1", "attachment_type": "x" * 513}),
])  # fmt: skip
def test_wrong_field_is_named(said, fields):
    """Each wrong value is a ConfigurationError: its field, what was given, what it takes."""
    with pytest.raises(ConfigurationError) as caught:
        Message(**{"message": "hello", **fields})
    assert said == str(caught.value)
    assert said.partition(":")[0] == caught.value.option


def test_limits_are_inside():
    """The longest of everything is taken."""
    message = Message(
        message="x" * 1024, title="x" * 250, url="x" * 512, url_title="x" * 100, ttl=1,
        device=["a" * 25, "b"], tags=("x", "y"), callback="https://example.org/ack",
        user=",".join(["u" * 30] * 50), attachment_base64=IMAGE, attachment_type="image/png",
    )  # fmt: skip
    assert ("a" * 25 + ",b", "x,y") == (message.device, message.tags)


@pytest.mark.parametrize("fields", [
    {"timestamp": 0, "ttl": 1}, {"priority": 2, "retry": 30, "expire": 1}, {"priority": -2},
    {"priority": 2, "expire": 10_800}, {"callback": "http://example.org/ack"},
    {"attachment": b"x"}, {"attachment": b"x" * 5_242_880},
])  # fmt: skip
def test_outermost_values_are_inside(fields):
    """The smallest of everything is taken as it is, and the largest of numbers and images."""
    message = Message(message="x", **fields)
    assert fields == {name: getattr(message, name) for name in fields}


def test_durations_can_be_texts():
    """As people write them; the request has whole seconds."""
    message = Message(message="x", priority=2, retry="90s", expire="1h30m", ttl="2d")
    assert (90, 5400, 172_800) == (message.retry, message.expire, message.ttl)
    assert {int} == set(map(type, (message.retry, message.expire, message.ttl)))


def test_emergency_has_retry_and_expire():
    """Priority 2, by name too, takes 60 and 3600 unless said."""
    message = Message(message="x", priority="Emergency")
    assert (2, 60, 3600) == (message.priority, message.retry, message.expire)


def test_priority_may_be_given_by_its_name():
    """As the apps show them; what says nothing of it is normal, and plain text."""
    names = ["lowest", "Low", " normal ", "HIGH", "emergency"]
    assert [-2, -1, 0, 1, 2] == [Message(message="x", priority=name).priority for name in names]
    plain = Message(message="x")
    assert (0, False, False) == (plain.priority, plain.html, plain.monospace)


def test_repr_shows_no_user():
    """A user key is in no repr, nor is a whole image, and a Message outlives pickling."""
    message = Message(message="x", user="u" * 30)
    assert "u" * 30 not in repr(message)
    assert message == pickle.loads(pickle.dumps(message))
    images = {"attachment": b"PNG"}, {"attachment_base64": IMAGE, "attachment_type": "image/png"}
    for fields in images:
        shown = repr(Message(message="x", **fields))
        assert not any(one in shown for one in ("b'PNG'", IMAGE))
