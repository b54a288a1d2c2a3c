"""Green threads: a handler that is older than the monkey-patch neither stops the process nor fails.

gunicorn patches each worker after it has loaded a preloaded application.
"""

import contextlib
import importlib.util
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter

import pytest
import requests

pytestmark = [
    pytest.mark.process,
    pytest.mark.xdist_group("crowd"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no gunicorn"),
]

PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all(); from gevent import spawn",
    "eventlet": "import eventlet; eventlet.monkey_patch(); from eventlet import spawn",
}
QUIET = {"PYTHONWARNINGS": "ignore"}  # both libraries warn: of a late patch, of their own age

LIBRARIES = pytest.mark.parametrize("library", PATCHES)
OUTBOXES = pytest.mark.parametrize("kept", ["memory", "file"])


@pytest.fixture
def outbox(kept, tmp_path):
    """The environment that says where Messages wait."""
    return {} if kept == "memory" else {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite")}


@pytest.fixture(autouse=True)
def _has_library(request):
    library = request.getfixturevalue("library")
    if importlib.util.find_spec(library) is None:  # an import here would change this process
        pytest.skip(f"{library} comes with the extra test")


def titles(inbox):
    return Counter(push["title"] for push in inbox.messages)


def own(err):
    """Return what a program wrote on stderr, but for what eventlet says of a late patch."""
    return "".join(line for line in err.splitlines() if "RLock(s) were not greened" not in line)


# Three handlers, more than may send at once; a heart beats on while they wait for the service.
PROGRAM = """
import logging, sys, time
from pushover_logging import PushoverHandler
handlers = [PushoverHandler(throttle=False, close_timeout=20, device=name) for name in "abc"]
for handler in handlers:
    logging.getLogger().addHandler(handler)
{patch}
beats = [time.perf_counter()]
def beat():
    while True:
        time.sleep(0.01)
        beats.append(time.perf_counter())
spawn(beat)
time.sleep(0.05)
logging.error("first")
time.sleep(3)  # the senders rest by then
logging.error("second")
assert all(handler.flush(20) for handler in handlers)
time.sleep(0.3)
beats.append(time.perf_counter())
print(max(after - before for before, after in zip(beats, beats[1:])))
logging.error("at exit")
"""


@LIBRARIES
@OUTBOXES
def test_patch_after_the_handlers(program, inbox, library, outbox):
    """All is delivered, once by each handler, and no green thread stands still meanwhile."""
    inbox.fail_with(delay=1, times=None)
    code, out, err = program.run(PROGRAM.format(patch=PATCHES[library]), **outbox, **QUIET)
    assert (0, "") == (code, own(err))
    assert dict.fromkeys(["first", "second", "at exit"], 3) == titles(inbox)
    assert float(out) < 0.8


@LIBRARIES
@OUTBOXES
def test_patch_after_the_first_record(program, inbox, library, outbox):
    """The threads are there by then, and send; others of the new kind take over: all arrives."""
    inbox.fail_with(delay=1, times=None)
    before, after = PROGRAM.split("{patch}")
    source = f"""{before}
logging.error("before")
time.sleep(0.5)  # it is being sent
{PATCHES[library]}
{after}"""
    code, out, err = program.run(source, **outbox, **QUIET)
    assert (0, "") == (code, own(err))
    assert dict.fromkeys(["before", "first", "second", "at exit"], 3) == titles(inbox)
    assert float(out) < 0.8


APP = """
import logging, time
from pushover_logging import PushoverHandler

for _ in range(3):
    logging.getLogger("shop").addHandler(PushoverHandler(throttle=False, close_timeout=20))

def app(environ, start_response):
    if environ["QUERY_STRING"]:
        logging.getLogger("shop").error("request %s", environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""


@LIBRARIES
@OUTBOXES
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_gunicorn_with_green_workers(program, inbox, library, outbox, preload, tmp_path, free_port):
    """An error a request; the workers answer on while the service is slow; then SIGTERM."""
    if importlib.util.find_spec(f"gunicorn.workers.g{library}") is None:
        pytest.skip(f"this gunicorn has no workers of {library}")
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    inbox.fail_with(delay=1, times=None)
    bind = f"--bind=127.0.0.1:{free_port}"
    command = [sys.executable, "-m", "gunicorn", "-k", library, *preload, "--workers=1", bind]
    with program.serve([*command, "shop:app"], free_port, cwd=tmp_path, **outbox, **QUIET):
        for number in range(6):
            assert requests.get(f"http://127.0.0.1:{free_port}/?{number}", timeout=10).ok
            answer = requests.get(f"http://127.0.0.1:{free_port}/", timeout=10)
            assert answer.elapsed.total_seconds() < 0.8
    assert {f"request {n}": 3 for n in range(6)} == titles(inbox), program.said
    assert "pushover_logging" not in program.said


@contextlib.contextmanager
def tls_in_front_of(port, folder):
    """Serve TLS as localhost, and hand each connection on to ``port``; yields (port, certificate).

    It has threads of its own: the program under test is another process.
    """
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem",
         "-out", "cert.pem"],
        cwd=folder, check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is not here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def forward(source, target):
        with contextlib.suppress(OSError), target:
            while part := source.recv(16_384):
                target.sendall(part)

    def serve(near):
        with contextlib.suppress(OSError), context.wrap_socket(near, server_side=True) as secure:
            far = socket.create_connection(("127.0.0.1", port))
            back = threading.Thread(target=forward, args=(far, secure), daemon=True)
            back.start()
            forward(secure, far)
            back.join()

    def accept(listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=serve, args=(near,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1], folder / "cert.pem"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@LIBRARIES
def test_patch_after_the_handlers_over_tls(program, inbox, library, tmp_path):
    """Also the classes of `ssl` are others after the patch; the real service has TLS."""
    inbox.fail_with(delay=1, times=None)
    with tls_in_front_of(inbox.port, tmp_path) as (port, certificate):
        code, out, err = program.run(
            PROGRAM.format(patch=PATCHES[library]),
            PUSHOVER_API_URL=f"https://localhost:{port}",
            REQUESTS_CA_BUNDLE=str(certificate),
            **QUIET,
        )
    assert (0, "") == (code, own(err))
    assert dict.fromkeys(["first", "second", "at exit"], 3) == titles(inbox)
    assert float(out) < 0.8
