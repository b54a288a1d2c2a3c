"""``run --ping``: start and end of a job at a service outside, which harms the job in no way."""

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import pytest
from conftest import TOKEN

pytest.importorskip("fcntl", reason="run is not for Windows")
pytestmark = [pytest.mark.process, pytest.mark.xdist_group("crowd")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
HANG, DRIP = None, b""
NAME = ["--name", "backup"]


class Watcher:
    """A service on a raw socket: it notes each request, and answers as the test says."""

    def __init__(self, *, is_open=True):
        self.requests = []  # path and body
        self.answers = {}  # by the end of the path; a list is used up
        self.noted = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._open = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/uuid"
        if is_open:
            self.open()
        else:  # one that is not taken, and the system lets no other in
            self._open.append(socket.create_connection(self._listener.getsockname()))

    def open(self):
        """Take connections from now on."""
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return  # what begins TLS here gives up
            data += part
            if data[:1] == b"\x16":
                connection.sendall(OK)
                connection.close()
                return
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while len(body) < length:
            body += connection.recv(65536)
        path = head.split()[1].decode()
        with self.noted:
            self.requests.append((path, body.decode()))
            self.noted.notify_all()
        answer = self.answers.get(path.removeprefix("/uuid"), OK)
        answer = answer.pop(0) if isinstance(answer, list) else answer
        with suppress(OSError):  # the client has given up, or the test is over
            while answer is DRIP:
                connection.sendall(b"x")
                time.sleep(1)
            if answer is not HANG:
                connection.sendall(answer)
                connection.close()

    def wait_for(self, number):
        with self.noted:
            assert self.noted.wait_for(lambda: len(self.requests) >= number, 30)

    @property
    def paths(self):
        return [path for path, _ in self.requests]

    def close(self):
        self._listener.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def watcher():
    made = Watcher()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("script", "status", "end"),
    [("exit 0", 0, ""), ("exit 3", 3, "/3"), ("kill -9 $$", 137, "/137")],
)
def test_start_and_end_are_reported(command, watcher, script, status, end):
    """With the exit status and the end of the output, its secrets masked."""
    script = f"echo password=hunter2 {TOKEN}; echo done >&2; {script}"
    assert status == command.run("run", *NAME, "--ping", watcher.url, "--", "sh", "-c", script)[0]
    start, (path, body) = watcher.requests
    assert (("/uuid/start", ""), f"/uuid{end}") == (start, path)
    assert ["done", "password=*** ***"] == sorted(body.splitlines())


def test_command_that_is_not_found_fails(command, watcher):
    """It has not started, and has no exit status of its own."""
    assert 127 == command.run("run", "--ping", f"{watcher.url}/?a=b", "--", "no-such-program")[0]
    assert ["/uuid/fail?a=b"] == watcher.paths


def test_without_an_account_the_ping_is_sent(command, watcher):
    """Whoever has no Pushover account, or has made a mistake there."""
    command.run("run", "--ping", watcher.url, "--", "false", PUSHOVER_TOKEN="off")
    command.run("run", "--ping", watcher.url, "--", "false", PUSHOVER_TOKEN=None)
    assert ["/uuid/start", "/uuid/1"] * 2 == watcher.paths


def test_long_output_is_its_last_8_kib(command, watcher):
    """Whole lines of it."""
    script = "for n in range(5000): print('line', n, 'ä')"
    command.run("run", "--ping", watcher.url, "--", sys.executable, "-c", script)
    body = watcher.requests[-1][1]
    assert body.startswith("line ")
    assert body.endswith("\nline 4999 ä")
    assert 3000 < len(body.encode()) <= 8192


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.mark.parametrize("answer", [HANG, DRIP])
def test_start_that_hangs_keeps_nothing_waiting(command, watcher, answer):
    """The job runs meanwhile; the end is reported after it, in order, within seconds."""
    watcher.answers["/start"] = answer
    options = ["run", "--ping", watcher.url, "--", "sh", "-c", "read line; echo $line; exit 3"]
    with command.start(*options, **PIPES) as process:
        watcher.wait_for(1)
        out, err = process.communicate(b"done\n", timeout=60)
    assert (3, b"done\n", b"") == (process.returncode, out, err)
    assert ["/uuid/start", "/uuid/3"] == watcher.paths


def test_job_starts_before_anything_connects(command):
    """The service takes no connection until the job has written: the job waits for none."""
    watcher = Watcher(is_open=False)
    options = ["run", "--ping", watcher.url, "--", "sh", "-c", "echo begun; read line"]
    with closing(watcher), command.start(*options, **PIPES) as process:
        assert b"begun\n" == process.stdout.readline()
        watcher.open()
        watcher.wait_for(1)
        process.communicate(b"done\n", timeout=60)
    assert ["/uuid/start", "/uuid"] == watcher.paths


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_signal_during_the_last_ping_changes_no_status(command, watcher, name):
    """The job has ended: the waiting ends too, with the status that the job had."""
    watcher.answers |= {"/3": HANG, "": HANG}
    for status, end in ((3, "/3"), (0, "")):
        script = f"exit {status}"
        with command.start("run", "--ping", watcher.url, "--", "sh", "-c", script) as process:
            watcher.wait_for(len(watcher.requests) // 2 * 2 + 2)
            assert f"/uuid{end}" == watcher.paths[-1]
            while process.poll() is None:  # it may record the end of the job yet
                process.send_signal(signal.Signals[name])
                time.sleep(0.05)
        assert status == process.returncode


def test_server_error_is_tried_again(command, watcher):
    """Three times in all; a start only while the job runs."""
    error = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    watcher.answers |= {"/start": error, "": [error, error, OK]}
    assert (0, b"", b"") == command.run("run", "--ping", watcher.url, "--", "true")
    assert ["/uuid/start", *["/uuid"] * 3] == watcher.paths
    watcher.answers |= {"/start": OK, "/4": [error, error, error]}
    status, _, err = command.run("run", "--ping", watcher.url, "--", "sh", "-c", "exit 4")
    assert (4, b"pushover-logging: the ping to 127.0.0.1 failed: HTTP 500\n") == (status, err)


def test_redirect_is_not_followed(command, watcher):
    """It could lead the URL, which is a secret, to another host; nor is a 404 repeated."""
    there = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    watcher.answers |= {"/start": there, "": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"}
    status, _, err = command.run("run", "--ping", watcher.url, "--", "sleep", "2")
    lines = [f"pushover-logging: the ping to 127.0.0.1 failed: HTTP {n}\n" for n in (302, 404)]
    assert (0, "".join(lines)) == (status, err.decode())
    assert ["/uuid/start", "/uuid"] == watcher.paths


@pytest.mark.parametrize("trouble", ["refused", "tls"])
def test_service_that_cannot_be_reached_changes_no_status(command, watcher, free_port, trouble):
    """One line on stderr, without the URL."""
    url = f"http://127.0.0.1:{free_port}/uuid"
    if trouble == "tls":
        url = watcher.url.replace("http:", "https:")
    status, out, err = command.run("run", "--ping", url, "--", "sh", "-c", "echo done; exit 5")
    assert (5, b"done\n") == (status, out)
    assert err.startswith(b"pushover-logging: the ping to 127.0.0.1 failed: ")
    assert (1, False) == (err.count(b"\n"), b"uuid" in err)
    assert [] == watcher.paths


@pytest.mark.parametrize("answer", [HANG, DRIP])
def test_end_that_hangs_is_given_up(command, watcher, answer):
    """After three tries of 5 s, or 18 s of an answer that drips; the status is the job's."""
    watcher.answers[""] = answer
    began = time.monotonic()
    status, _, err = command.run("run", "--ping", watcher.url, "--", "true")
    assert (0, b"pushover-logging: the ping to 127.0.0.1 failed: ") == (status, err[:48])
    assert 15 <= time.monotonic() - began < 40


@pytest.mark.parametrize(
    "given",
    [
        "ftp://x/", "nowhere", "http://", "http://h:99999/", "http://[", "http://h/my uuid",
        " http://h/uuid", "http://h/uuid\n", "http://h/<uuid>", "'http://h/uuid'",
    ],
)  # fmt: skip
def test_url_that_is_wrong_runs_nothing(command, tmp_path, given):
    """Its length is shown, and not the URL, which may be a secret."""
    status, _, err = command.run("run", "--ping", given, "--", "touch", "ran")
    assert (2, 1) == (status, err.count(b"\n"))
    assert f"argument --ping: got *** ({len(given)} characters".encode() in err
    assert b"), takes an http or https URL without spaces (see --help)" in err
    assert not (tmp_path / "ran").exists()
