"""What the tests share: the inbox, a clock that they move, a handler that they drive."""

import ipaddress
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pushover_logging import PushoverHandler
from pushover_logging.clock import Clock
from pushover_logging.delivery import lifecycle

pytest_plugins = ["pushover_logging.pytest_plugin", "pytester"]

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
# For a program that coverage.py would harm: its lock is not made for a fork in the middle of
# another thread's work, and its tracing makes a signal's handler slower than the next signal.
UNMEASURED = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
# No test cuts the power: where there is room, their files wait for no disk. Read by `tmp_path`.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


class Mute:
    """An argument that has no text."""

    def __str__(self):
        raise RuntimeError("no text today")


class FakeClock(Clock):
    """Stands still until a test moves it; starts no thread: the test steps the sender itself."""

    def __init__(self):
        self.now = 1000.0
        self.wall = time.time() - self.now

    def monotonic(self):
        return self.now

    def time(self):
        return self.wall + self.now

    def uniform(self, low, high):
        return (low + high) / 2

    def start_thread(self, target, name):
        return None


class Driven:
    """A handler on a fake clock, with the real client against the real inbox."""

    def __init__(self, inbox, clock=None, **options):
        self.clock = clock or FakeClock()
        self.inbox = inbox
        given = {"token": TOKEN, "user": USER, "api_url": inbox.url, "host": "web-1", "level": 0}
        self.handler = PushoverHandler(**{**given, **options}, clock=self.clock)
        self.log = logging.Logger("shop")
        self.log.addHandler(self.handler)

    @property
    def thread(self):
        return self.handler._pipeline.thread

    def settle(self):
        """Do all that is to be done now; return the seconds until the next thing."""
        while (wait := self.thread.step()) <= 0:
            pass
        return wait

    def advance(self, seconds):
        """Let time pass, doing each thing when it is due."""
        end = self.clock.now + seconds
        while self.clock.now + (wait := self.settle()) <= end:
            self.clock.now += wait
        self.clock.now = end
        self.settle()

    def end(self):
        """Check the counters, and leave nothing open: CPython 3.13 warns of what is."""
        stats = self.handler.stats()
        drop(self.handler)
        assert adds_up(stats), stats

    @property
    def titles(self):
        return [one["title"] for one in self.inbox.messages]


def drop(handler):
    """Forget what a handler still has to send, and leave nothing open."""
    pipeline = handler._pipeline
    if pipeline is None:
        return
    lifecycle.unregister(pipeline.thread)
    handler._pipeline = None
    pipeline._client.close()
    file = getattr(pipeline.outbox, "file", None)
    if file is not None:
        pipeline.sender.resign()
        file.close()


def adds_up(stats):
    """Say whether the promise of the counters holds."""
    ended = stats.sent + stats.suppressed + stats.rejected + stats.dropped + stats.failed
    return stats.records == ended + stats.pending and stats.pending >= 0


@pytest.fixture
def inbox(pushover_inbox):
    return pushover_inbox


@pytest.fixture
def driver(inbox):
    """Make driven handlers; at the end their counters must add up."""
    made = []

    def make(**options):
        made.append(Driven(inbox, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(params=["memory", "file"])
def drive(driver, request, tmp_path):
    """Make driven handlers, over each kind of outbox."""
    kept = {} if request.param == "memory" else {"outbox": tmp_path / "outbox.sqlite"}
    return lambda **options: driver(**{**kept, **options})


@pytest.fixture
def handler_for(inbox):
    """Make real handlers, with their threads; closed, and their counters checked, at the end."""
    made = []

    def make(**options):
        given = {"token": TOKEN, "user": USER, "api_url": inbox.url, "host": "web-1", "level": 0}
        made.append(PushoverHandler(**{**given, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert adds_up(one.stats()), one.stats()
        pipeline = one._pipeline
        inbox.clear_faults()
        with pipeline._lock:  # what a test left behind must not reach the next one's inbox
            for queue in pipeline.sender._memory._queues.values():
                pipeline.counters.pending -= len(queue)
                queue.clear()
            if pipeline.sender._file is not None:
                pipeline.counters.pending = 0
        pipeline.thread.request_close()
        thread = pipeline.thread.thread
        drop(one)
        if thread is not None:
            pipeline.thread._wakeup.set()
            thread.join(20)


# On the first line of a program: tests compare its stderr with what the library reports there.
# Without this filter, stderr also shows the program's own records, as it does without the library;
# test_program_setup.py and test_install.py check those, with a first line of their own. It is not a
# function, which would keep the program's globals alive until the interpreter's very end.
QUIET = "import logging; logging.lastResort.addFilter(logging.Filter('pushover_logging'))"


# At the start of a program: however slow the machine is, its processes do not decide alone.
PATIENT = """
import contextlib
from pushover_logging.outbox import sqlite
from pushover_logging.storage import sqlite_file

sqlite.CALL_PATIENCE = sqlite_file.PATIENCE = 60.0
sqlite_file.SqliteFile.run.__defaults__ = (60.0,)
with contextlib.suppress(ValueError):  # the extra is missing
    from pushover_logging.throttle import redis

    redis.PATIENCE, redis._TRIES = 60.0, 1000
"""


class Program:
    """A Python program of its own, its environment pointed at an inbox."""

    first_line = QUIET

    def __init__(self, directory, inbox):
        self.directory = directory
        self.environ = {**os.environ, **inbox.environ, "PUSHOVER_HOST": "web-1"}
        # CPython 3.12 and later warn of each fork beside a thread: here it is what is tested.
        self.environ["PYTHONWARNINGS"] = "ignore:This process:DeprecationWarning"
        self.seconds = 0.0
        self.written = 0
        self.said = ""

    def path(self, source):
        """Write the program to a file of its own."""
        self.written += 1
        path = Path(self.directory, f"program{self.written}.py")
        source = textwrap.dedent(source)
        between = "" if source.startswith("\n") else "; "
        path.write_text(f"{self.first_line}{between}{source}", encoding="utf-8")
        return path

    def start(self, source, **environ):
        return self.start_command([sys.executable, str(self.path(source))], **environ)

    def start_command(self, command, cwd=None, stdin=subprocess.DEVNULL, **environ):
        return subprocess.Popen(
            command,
            cwd=cwd or self.directory,
            env={**self.environ, **environ},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def as_first_process(self, path, patience):
        """Run a script as the first process of a namespace, as in a container.

        Yields it; after the block it gets SIGTERM, and has ``patience`` seconds.
        """
        namespace = ["unshare", "--pid", "--fork"]
        if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode:
            pytest.skip("there is no unshare here, or it is not allowed")
        running = self.start_command([*namespace, "--kill-child", sys.executable, str(path)])
        try:
            yield running
            children = ["ps", "--ppid", str(running.pid), "-o", "pid="]
            (child,) = subprocess.run(children, capture_output=True, check=True).stdout.split()
            os.kill(int(child), signal.SIGTERM)
            running.communicate(timeout=patience)
        finally:
            running.kill()
            running.wait()

    @contextmanager
    def serve(self, command, port=None, cwd=None, **environ):
        """Run a server until the block ends, then ask it to stop, as its init system would.

        What it says goes to a file: nobody reads a pipe while it serves.
        """
        self.written += 1
        with Path(self.directory, f"said{self.written}.txt").open("w+", encoding="utf-8") as said:
            server = subprocess.Popen(
                command, cwd=cwd or self.directory, env={**self.environ, **environ},
                stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                if port is not None:
                    await_listener(port)
                yield server
            finally:
                server.send_signal(signal.SIGTERM)
                try:
                    server.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()
                    raise
                said.seek(0)
                self.said = said.read()

    def run(self, source, timeout=60, **environ):
        """Run it to its end; return its status, what it said on stdout and on stderr."""
        began = time.monotonic()
        with self.start(source, **environ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        self.seconds = time.monotonic() - began
        return process.returncode, out, err


@pytest.fixture
def program(tmp_path, inbox):
    return Program(tmp_path, inbox)


class Command:
    """The installed `pushover-logging`, in a home of its own, pointed at an inbox."""

    PATH = str(Path(sys.executable).with_name("pushover-logging"))

    def __init__(self, directory, inbox):
        self.directory = directory
        self.environ = {**os.environ, **inbox.environ, "PUSHOVER_HOST": "web-1"}
        self.environ.update(HOME=str(directory), PYTHONPATH=str(Path(__file__).parent.parent))
        for name in ("PYTHONWARNINGS", "XDG_STATE_HOME", "STATE_DIRECTORY"):
            self.environ.pop(name, None)

    def options(self, environ):
        """Return what starts it there; a variable that is None is taken out."""
        given = {**self.environ, **environ}
        env = {name: value for name, value in given.items() if value is not None}
        return {"cwd": self.directory, "env": env}

    def run(self, *arguments, stdin=b"", **environ):
        """Run it to its end; return its status, and the bytes of stdout and stderr."""
        command = [self.PATH, *map(str, arguments)]
        how = self.options(environ)
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, timeout=60, **how
        )
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def start(self, *arguments, **how):
        """Start it for a block, at whose end it is gone."""
        command = [self.PATH, *map(str, arguments)]
        with subprocess.Popen(command, bufsize=0, **self.options({}), **how) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def command(tmp_path, inbox):
    return Command(tmp_path, inbox)


def unused_port():
    """Return a port of this machine that nobody listens on.

    Not one that the system gives to whoever asks for any: tests run beside this one.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture
def free_port():
    """A port of this machine that nobody listens on."""
    return unused_port()


def await_listener(port):
    """Wait until a server that was just started takes connections; at most 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")


class RedisServer:
    """A redis-server of its own."""

    def __init__(self, directory):
        self.port = unused_port()
        self.directory = directory
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", str(self.directory)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        pytest.fail("redis-server does not start")

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)


def _redis_in(directory):
    pytest.importorskip("redis", reason="redis comes with the extra redis")
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here")
    server = RedisServer(directory)
    yield server
    server.stop()


@pytest.fixture
def redis(tmp_path):
    """A Redis of the test's own, on a free port."""
    yield from _redis_in(tmp_path)


@pytest.fixture(scope="session")
def common_redis(tmp_path_factory):
    """A Redis for tests that empty it first and let it live."""
    yield from _redis_in(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def stores_of(request, tmp_path, monkeypatch):
    """Make places of a kind where problems may live, on a clock that the test moves."""
    from stores import Stores

    made = []

    def make(kind):
        server = request.getfixturevalue("common_redis") if kind == "redis" else None
        if kind == "file":
            pytest.importorskip("fcntl", reason="Windows has no outbox in a file")
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Stores(kind, folder, server, monkeypatch))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["memory", "file", "redis"])
def stores(stores_of, request):
    return stores_of(request.param)


@pytest.fixture
def start_driven(stores, inbox):
    """Start handlers of a `Driven` class, processes that share a state; memory has one alone."""
    made = []

    def start(kind, **options):
        if made and not stores.is_shared:
            pytest.skip("memory has one process")
        made.append(kind(inbox, clock=stores.clock, **{**stores.options(), **options}))
        return made[-1]

    yield start
    for one in made:
        throttle = one.handler._pipeline and one.handler._pipeline.sender.shared
        if stores.kind == "redis" and throttle is not None:
            throttle.store.close()
        one.end()


@pytest.fixture(params=["file", "redis"])
def shared(stores_of, request):
    """Those that several processes share."""
    return stores_of(request.param)


@pytest.fixture
def redis_stores(stores_of):
    return stores_of("redis")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """The paths of a certificate for localhost and of its key."""
    names = [tmp_path_factory.mktemp("tls") / name for name in ("cert.pem", "key.pem")]
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-out", names[0], "-keyout", names[1]],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is not here")
    return names


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 128 KiB, which only root may make."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def root():
    """The root logger, as it was once the test is over."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield root
    root.setLevel(before[0])
    for handler in set(root.handlers) - set(before[1]):
        root.removeHandler(handler)
        handler.close()


@pytest.fixture(autouse=True)
def _heard_signals():
    """What a shell's background job or nohup ignores, the programs that tests start are to hear.

    A test that calls `run` in this process ends with more of them ignored: each is put back.
    """
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    usual = {
        "SIGINT": signal.default_int_handler,
        "SIGQUIT": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,
        "SIGTERM": signal.SIG_DFL,
    }
    for name, how in usual.items():
        if before.get(number := getattr(signal, name, None)) is signal.SIG_IGN:
            signal.signal(number, how)
    yield
    for number, how in before.items():
        if signal.getsignal(number) is not how:
            signal.signal(number, how)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("TOKEN", "USER", "TOKEN_FILE", "USER_FILE", "API_URL", "THROTTLE", "HOST",
                 "OUTBOX", "ENCRYPTION_KEY", "ENCRYPTION_KEY_FILE"):  # fmt: skip
        monkeypatch.delenv(f"PUSHOVER_{name}", raising=False)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            assert ipaddress.ip_address(address[0]).is_loopback, address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
