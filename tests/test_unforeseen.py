"""What other libraries put around a request fails after the service has accepted it."""

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import logging
from pushover_logging import PushoverHandler
handler = PushoverHandler(throttle=False, {options})
logging.getLogger().addHandler(handler)
{wrap}
logging.error("boom happened")
handler.flush(20)
stats = handler.stats()
print(stats.sent, stats.rejected, stats.pending, stats.possible_duplicates)
"""

# What the instrumentations of requests, urllib3 and http.client do, with a hook that fails.
SESSION = """
import requests
def wrap(send):
    def wrapped(*args, **options):
        response = send(*args, **options)
        {fail}
        return response
    return wrapped
requests.Session.send = wrap(requests.Session.send)
"""
ADAPTER = SESSION.replace("requests.Session.send", "requests.adapters.HTTPAdapter.send")
POOL = SESSION.replace("import requests", "import urllib3").replace(
    "requests.Session.send", "urllib3.connectionpool.HTTPConnectionPool.urlopen"
)
CONNECTION = SESSION.replace("import requests", "import http.client").replace(
    "requests.Session.send", "http.client.HTTPConnection.getresponse"
)
REQUEST = CONNECTION.replace(
    "http.client.HTTPConnection.getresponse", "urllib3.connection.HTTPConnection.request"
).replace("import http.client", "import urllib3.connection")
WRAPS = {
    "session": SESSION, "adapter": ADAPTER, "pool": POOL, "answer": CONNECTION, "request": REQUEST
}  # fmt: skip


@pytest.mark.parametrize("options", ["", "outbox='outbox.sqlite'"], ids=["memory", "file"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_hook_that_always_fails_after_the_answer(program, inbox, wrap, options):
    """If the service has answered, that counts; else there is one duplicate, which is counted."""
    source = WRAPS[wrap].format(fail="raise KeyError('trace')")
    code, out, err = program.run(PROGRAM.format(wrap=source, options=options))
    assert 0 == code, err
    if wrap in {"answer", "request"}:  # urllib3 has closed it
        assert "0 1 0 1\n" == out, err
        assert 2 == len(inbox.messages)
    else:
        assert ("1 0 0 0\n", "") == (out, err)
        assert 1 == len(inbox.messages)


@pytest.mark.parametrize("wrap", WRAPS)
def test_hook_that_fails_before_the_request(program, inbox, wrap):
    """Nothing can have arrived: it is sent once that is over, and is no possible duplicate."""
    fail = "if not failed: failed.append(True); raise KeyError('trace')"
    source = "failed = []\n" + WRAPS[wrap].format(fail="pass").replace(
        "        response =", f"        {fail}\n        response ="
    )
    if wrap == "answer":  # when it is asked for, all is sent
        source = source.replace("getresponse", "connect")
    code, out, err = program.run(PROGRAM.format(wrap=source, options=""))
    assert (0, "1 0 0 0\n") == (code, out), err
    assert 1 == len(inbox.messages)


@pytest.mark.parametrize("options", ["", "outbox='outbox.sqlite'"], ids=["memory", "file"])
def test_cassette_of_vcr_records(program, inbox, options, tmp_path):
    """Its answers are no http.client.HTTPResponse: they are read as that would be."""
    pytest.importorskip("vcr", reason="vcrpy comes with the extra test")
    wrap = "import vcr; vcr.VCR(record_mode='all').use_cassette('tape.yaml').__enter__()"
    code, out, err = program.run(PROGRAM.format(wrap=wrap, options=options))
    assert (0, "1 0 0 0\n") == (code, out), err
    assert 1 == len(inbox.messages)


def test_cassette_of_vcr_that_knows_the_answer(program, inbox):
    """The second program is answered from the tape, as in a test suite."""
    pytest.importorskip("vcr", reason="vcrpy comes with the extra test")
    wrap = (
        "import vcr; tape = vcr.VCR(record_mode='once', match_on=['method', 'uri'])"
        ".use_cassette('tape.yaml'); tape.__enter__()"
    )
    for _ in range(2):
        source = PROGRAM.format(wrap=wrap, options="")
        code, out, err = program.run(source + "tape.__exit__(None, None, None)")
        assert (0, "1 0 0 0\n") == (code, out), err
    assert 1 == len(inbox.messages)
