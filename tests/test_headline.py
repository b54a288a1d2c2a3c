"""Which words of an exception's text are its headline, and which name a host."""

import logging
import time

import pytest

from pushover_logging import PushoverFormatter
from pushover_logging.identity.fingerprint import fingerprint
from pushover_logging.identity.headline import (
    address_in,
    address_in_text,
    error_words,
    given_text,
    headline,
    json_words,
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
    # several arguments, and one that is a sentence
    "('refund failed', 5)": "refund failed, 5",
    '("can\'t refund", 5)': "can't refund, 5",
    "('no_stock', 5)": "no_stock, 5",
    "('alice', 5)": "('alice', 5)",
    "(1062, 'duplicate')": "(1062, 'duplicate')",
    "'Field \"price\" does not exist in schema'": 'Field "price" does not exist in schema',
    "'price'": "'price'",
    "'John Smith'": "'John Smith'",
    "'a' is not one of 'b'": "'a' is not one of 'b'",
    # what forms and schemas complain of: marshmallow, Django, Django REST framework
    "{'amount': ['Not a valid integer.'], 'name': ['Too long.']}": "amount: Not a valid integer.",
    "{'lines': {1: {'sku': ['Missing data.']}}}": "lines.1.sku: Missing data.",
    '{"amount":["Not a valid integer."]}': "amount: Not a valid integer.",
    "[{}, {'sku': [ErrorDetail(string='This may not be blank.', code='blank')]}]": (
        "sku: This may not be blank."
    ),
    "['It is not an even number.']": "It is not an even number.",
    "['web-1', 'web-2']": "['web-1', 'web-2']",
    "{'code': 'no_stock', 'order': 5}": "{'code': 'no_stock', 'order': 5}",
    # a page or a document in place of an answer
    "API error 502: <html>\r\n<head><title>502 Bad Gateway</title></head>": (
        "API error 502: 502 Bad Gateway"
    ),
    '<?xml version="1.0"?>\n<Error><Code>A1</Code><Message>Access Denied</Message></Error>': (
        "Access Denied"
    ),
    "<!DOCTYPE html>\n<p>gone": "<!DOCTYPE html>",
    # a status above the answer's body, as clients have it that OpenAPI's generator makes
    '(409)\nReason: Conflict\nHTTP body: {"message":"pods \\"web-1\\" exist","code":409}': (
        '(409) pods "web-1" exist'
    ),
    "(404)\nReason: Not Found": "(404) Reason: Not Found",
    # what stands before the words
    "Message: no such element": "no such element",
    "Message: \nStacktrace:\n#0 0x55d0 <unknown>": "",
    "An error occurred (NoSuchKey) when calling GetObject": "(NoSuchKey) when calling GetObject",
    "Request req_abc1: Your card was declined.": "Your card was declined.",
}


@pytest.mark.parametrize("text", HEADLINES)
def test_headline(text):
    """The first line; a heading with the line that says more; no library's links."""
    assert HEADLINES[text] == headline(text)[0]


def test_rest_of_a_text_stays():
    """The lines after the first, without a library's links."""
    noise = "  For further information visit https://errors.pydantic.dev/2/v/missing"
    assert ("no price", ["  for order 5"]) == headline(f"no price\n  for order 5\n{noise}")


def test_what_is_left_out_before_the_words_stands_below():
    """A request's number is what a service's support asks for."""
    text = "Request req_abc1: Your card was declined."
    assert ("Your card was declined.", [text]) == headline(text)


QUOTED = {
    "BadParameter(\"'x' is not valid\")": "BadParameter: 'x' is not valid",
    "<ValidationError: \"'x' is not of type 'integer'\">": (
        "ValidationError: 'x' is not of type 'integer'"
    ),
    "Conversion('no number\\n\\nLINE 1: select', 5)": "Conversion: no number",
    "KeyError('alice')": "KeyError('alice')",
    "1 validation error for Order\namount\n  is missing": (
        "amount: is missing (1 validation error for Order)"
    ),
    "disk (full)": "disk (full)",
    "no price": "no price",
}


@pytest.mark.parametrize("text", QUOTED)
def test_error_that_a_message_quotes(text):
    """Its text or its repr; of a name alone nothing is known."""
    assert QUOTED[text] == error_words(text)


JSON = {
    "Error code: 400 - {'error': {'type': 'x', 'message': \"can't\"}}": (
        "Error code: 400 -", "can't"
    ),
    '500 Server Error ("{"message":"driver\\nfailed"}")': ("500 Server Error", "driver failed"),
    "{'error': 'db down', 'trace': 5}": ("", "db down"),
    "{'code': 'no_stock'}": ("", ""),
    "message": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize("text", JSON)
def test_words_of_json(text):
    """Whichever field has them."""
    assert JSON[text] == json_words(text)


class Silent(Exception):
    """An exception that hands nothing on to its base class."""

    def __init__(self, message):
        super().__init__()
        self.message = message


class SilentlyWrapped(Exception):
    """An exception whose text is empty, whatever it was given."""

    def __str__(self):
        return ""


def test_text_of_an_exception_without_one():
    """Its ``message``, or the exception that it was given."""
    given = [ValueError("a"), Silent("no stock"), RuntimeError(TimeoutError()), Silent(5)]
    given += [SilentlyWrapped(SilentlyWrapped(OSError("no disk"))), ValueError(), Silent(" ")]
    texts = ["a", "no stock", "TimeoutError", "", "SilentlyWrapped: OSError: no disk", "", ""]
    assert texts == list(map(given_text, given))


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
    "arguments": "('" + "\\'" * 8_000,
    "repr": "E('" + "\\'" * 8_000 + ")",
    "strings": "{'" + "'a': " * 4_000,
    "keys": "{" + "a: " * 6_000,
    "complaints": "{'a': [" + "'" * 10_000,
    "json": '{"error": "' * 2_000,
    "pages": "<html" * 4_000 + "<title> " * 2_000,
    "request": "Request " + "1" * 16_000,
    "names": "A" * 16_000 + ")",
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
    "Can't connect to MySQL server on 'db-7.example' ([Errno 111])": "db-7.example",
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
    failed = ValueError()
    failed.result = Failed("no command")  # invoke's, and fabric's
    assert "no command" == last_error_line(failed)


def test_package_of_a_compiled_source():
    """Cython names a source as it was where the package was built."""
    assert "lxml" == package_of("src/lxml/etree.pyx")
