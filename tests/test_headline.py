"""Which words of an exception's text are its headline, and which name a host."""

import logging
import time

import pytest

from pushover_logging import PushoverFormatter
from pushover_logging.identity.fingerprint import fingerprint
from pushover_logging.identity.headline import (
    address_in,
    address_in_text,
    headline,
    last_error_line,
    names_nothing,
)
from pushover_logging.identity.tracebacks import package_of

HEADLINES = {
    "": "",
    " \n ": "",
    "no price": "no price",
    "\n  no price  \nfor order 5": "no price",
    "Message: \n\nno such element": "no such element",
    "Message:": "Message:",
    "{\n  'amount': 'missing'\n}": "'amount': 'missing'",
    "Errors:\nline 3\nreason = no price": "reason = no price",
    "Multiple attempts failed. All failures were:\n- host: 'db-7'\n- no": (
        "Multiple attempts failed. All failures were: - host: 'db-7'"
    ),
    "failed validating <order/>:\n\nReason: tag missing\n\nSchema:": (
        "failed validating <order/>: Reason: tag missing"
    ),
    "2 faults:\namount:\n  is missing": "2 faults: amount: is missing",
    "2 faults:\namount\nrate": "2 faults: amount",
    "Choices are:\n--\n5": "Choices are:",
    "1 validation error for Order\namount\n  field required (type=value_error.missing)": (
        "amount: field required (1 validation error for Order)"
    ),
    "5 is not of type 'string'\n\nFailed validating 'type' in schema['properties']['orders']:\n"
    "    {'type': 'string'}\n\nOn instance['orders'][0]['paid by']:\n    5": (
        "5 is not of type 'string' (orders.0.paid by)"
    ),
    "5 is long\n\nFailed validating 'maxItems' in schema:\n\nOn instance:\n    5": "5 is long",
    "while scanning a simple key\n  in \"a\", line 1\ncould not find expected ':'": (
        "could not find expected ':' (while scanning a simple key)"
    ),
    'while parsing a node\n  in "a", line 1': "while parsing a node",
    "<_Rendezvous of RPC that terminated with:\n\tstatus = StatusCode.CANCELLED\n>": "CANCELLED",
    "<_Rendezvous of RPC that terminated with:\n>": "<_Rendezvous of RPC that terminated with:",
    "gone; For documentation on this error, please visit: https://selenium.example/x": "gone",
    "(Background on this error at: https://sqlalche.me/e/20/e3q8)\nlost": "lost",
    "see https://shop.example/order/5": "see https://shop.example/order/5",
}


@pytest.mark.parametrize("text", HEADLINES)
def test_headline(text):
    """The first line; a heading with the line that says more; no library's links."""
    assert HEADLINES[text] == headline(text)[0]


def test_rest_of_a_text_stays():
    """The lines after the first, without a library's links."""
    noise = "  For further information visit https://errors.pydantic.dev/2/v/missing"
    assert ("no price", ["  for order 5"]) == headline(f"no price\n  for order 5\n{noise}")


HEADER = "Traceback (most recent call last):\n"
SLOW = {
    "spaces": " " * 16_000 + "http",
    "colons": "a:\n" * 8_000,
    "words": "read connect " * 2_000,
    "addresses": "to " + "a.b-" * 5_000,
    "errors": '{"event": "x", "exception": "' + "Error" * 10_000 + '"}',
    "bars": "|" * 100_000 + HEADER + "x",
    "headers": f'web-1 | {HEADER}web-1 |   File "a.py", line 3, in x\n' * 3_000 + "E: x",
    "quotes": "\n" * 100_000 + f'x"""\n{HEADER}E: x',
    "frames": HEADER + '  File "' * 10_000,
}


@pytest.mark.parametrize("kind", SLOW)
def test_no_text_is_slow(kind):
    """Whatever a record says: within half a second of CPU time, which is far more than it takes."""
    started = time.process_time()
    for exc_info in (None, (ValueError, ValueError(SLOW[kind]), None)):
        made = logging.makeLogRecord(
            {"msg": SLOW[kind], "levelno": logging.ERROR, "exc_info": exc_info, "created": 5.0}
        )
        assert fingerprint(made)
        assert PushoverFormatter().message(made).title
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(("args", "text"), [
    (5, "5 failed"), (("a",), "a failed"), ([5], "[5] failed"), ({"a": 1}, "{'a': 1} failed"),
])  # fmt: skip
def test_arguments_of_any_kind(args, text):
    """What came over a socket has whatever its sender put there."""
    made = logging.makeLogRecord({"msg": "%s failed", "args": args, "levelno": logging.ERROR})
    assert text == PushoverFormatter().message(made).title
    assert fingerprint(made)


NOTHING = [
    "", "timed out", "Timeout", "The read operation timed out", "Connection refused.",
    "Connection reset by peer", "[Errno 111] Connection refused", "No route to host",
    "Remote end closed connection without response", "Timeout reading from socket",
    "[Errno -2] Name or service not known", "Server disconnected", "connection timeout",
]  # fmt: skip
SOMETHING = [
    "port 5432", "[Errno 2] No such file or directory: '/srv/a'", "gateway is down",
    "Connect call failed ('10.0.0.7', 5432)", "db-7: timed out", "no price",
]  # fmt: skip


@pytest.mark.parametrize("text", NOTHING + SOMETHING)
def test_line_that_names_nothing(text):
    """What any failure of its kind says, whatever its type."""
    assert (text in NOTHING) == names_nothing(text, is_os_error=False)


def test_line_of_an_os_error_names_a_thing_or_nothing():
    """An address, a path or a number is something; other words are the system's own."""
    ssl = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1000)"
    assert [True, True, False] == [
        names_nothing(text, is_os_error=True) for text in ("some words", ssl, "port 5432")
    ]


ADDRESSES = {
    "HTTPConnectionPool(host='db.example', port=80): Max retries exceeded": "db.example:80",
    'connection to server at "db-7" (10.0.0.7), port 5432 failed': "db-7:5432",
    "Error 111 connecting to localhost:6379. Connection refused.": "localhost:6379",
    "Cannot connect to host [::1]:80 ssl:default": "[::1]:80",
    "Connection timeout to host https://api.example.com/pay?a=b": "api.example.com:443",
    "https:// and http://user:pass@db.example:8080/x": "db.example:8080",
    "http://[ and http://db.example:99999/": "",
    "failed at 12:30:05 in api.py:42": "",
    "no price": "",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_address_of_a_text(text):
    """Host and port as clients write them; neither a time nor a line's number."""
    assert ADDRESSES[text] == address_in_text(text)


class Refused(Exception):
    """An exception with a request, as httpx's."""

    def __init__(self, url):
        self._url = url

    @property
    def request(self):
        if self._url is None:
            raise RuntimeError("no request")
        return self

    @property
    def url(self):
        return self._url


def test_address_of_exceptions():
    """The first that has one, in its request or its words."""
    chain = [Refused(None), Refused("https://api.example.com/"), ValueError("to db-7:80")]
    assert "api.example.com:443" == address_in(chain, str)
    assert "db-7:80" == address_in([Refused("x"), chain[2]], str)
    assert "" == address_in(chain[:1], str)


class Failed(Exception):
    """An exception of a command."""

    def __init__(self, stderr):
        self._stderr = stderr

    @property
    def stderr(self):
        if self._stderr is None:
            raise RuntimeError("not read")
        return self._stderr


def test_last_line_of_stderr():
    """As text or bytes; anything else is none."""
    given = ["a\nb\n", b"a\n\xff", "", b"", 5, None]
    assert ["b", "\ufffd", "", "", "", ""] == [last_error_line(Failed(each)) for each in given]
    assert "" == last_error_line(ValueError())


def test_package_of_a_compiled_source():
    """Cython names a source as it was where the package was built."""
    assert "lxml" == package_of("src/lxml/etree.pyx")
