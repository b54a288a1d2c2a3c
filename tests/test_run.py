"""``pushover-logging run``: a job runs as it would by itself, and failures send pushes."""

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from conftest import TOKEN, USER

from pushover_logging import PushoverClient
from pushover_logging.cli import main
from pushover_logging.clock import DURATION

fcntl = pytest.importorskip("fcntl", reason="run is not for Windows")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")
pytestmark = pytest.mark.process
PIPE = subprocess.PIPE
LATER = """
import sys
from pushover_logging.cli import main
from pushover_logging.clock import Clock

class Later(Clock):
    def time(self):
        return super().time() + float(sys.argv[1])

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], clock=Later()))
"""


def titles(inbox):
    return [push["title"] for push in inbox.messages]


def said(process, size=None, seconds=30):
    """Read a line of its output, or so many bytes; what is not there in time is a failure."""
    text = b""
    while not text.endswith(b"\n") if size is None else len(text) < size:
        assert select.select([process.stdout], [], [], seconds)[0], text
        part = os.read(process.stdout.fileno(), 1)
        if not part:
            break
        text += part
    return text


class Cron:
    """Runs a job every so often, each time as a process of its own, on a clock that it sets."""

    def __init__(self, command, inbox):
        self.command = command
        self.inbox = inbox
        self.path = command.directory / "later.py"
        self.path.write_text(LATER, encoding="utf-8")

    def run(self, minute, *arguments):
        """Run the command at this minute; return its status and what is new on the phone."""
        before = len(self.inbox.messages)
        start = [sys.executable, str(self.path), str(60 * minute), "run", *arguments]
        done = subprocess.run(
            start, capture_output=True, check=False, timeout=60, **self.command.options({})
        )
        assert b"" == done.stderr
        return done.returncode, titles(self.inbox)[before:]


@pytest.fixture
def cron(command, inbox):
    return Cron(command, inbox)


def test_job_that_fails_for_four_hours(cron, inbox):
    """Every ten minutes 24 failures, then a success: the first, again, two counts, fine again.

    Another job sends the counts soon after they are due: before the next failure, which counts too.
    """
    name = ["--name", "sync", "--"]
    failing = [*name, "sh", "-c", "echo no route to nas; exit 3"]
    other = ["--name", "other", "true"]
    told = {}
    for minute in sorted([*range(0, 240, 10), 26, 86]):
        status, new = cron.run(minute, *(other if minute % 10 else failing))
        assert (0 if minute % 10 else 3) == status
        if new:
            told[minute] = new
    failed = "sync failed: exit status 3"
    assert {
        0: [failed],
        10: [f"Again: {failed}"],
        26: [f"1 more: {failed}"],
        86: [f"6 more: {failed}"],
    } == told
    assert (0, ["Resolved: sync"]) == cron.run(240, *name, "true")
    assert "Fine again.\nIt lasted 4 h and came 24 times." == inbox.messages[-1]["message"]
    assert ["0", "0", "-1", "-1", "-1"] == [push["priority"] for push in inbox.messages]
    assert (0, []) == cron.run(250, *name, "true")
    assert (3, [failed]) == cron.run(260, *name, "sh", "-c", "exit 3")


def test_job_of_every_night_is_fine_again_too(cron, inbox):
    """However seldom it runs: two failures a month apart, and the next success, are one story."""
    name, month = ["--name", "backup", "--"], 31 * 24 * 60
    cron.run(0, *name, "false")
    assert (1, ["Again: backup failed: exit status 1"]) == cron.run(month, *name, "false")
    assert (0, ["Resolved: backup"]) == cron.run(2 * month, *name, "true")
    assert inbox.messages[-1]["message"].endswith("It lasted 62 days and came twice.")
    cron.run(2 * month, *name, "false")
    assert (0, ["Resolved: backup"]) == cron.run(5 * month, *name, "true")


def test_counts_that_are_due_are_sent_by_any_next_run(cron):
    """Of another job as well, and of one that succeeds."""
    name = ["--name", "sync", "--"]
    for minute in (0, 1, 2):
        cron.run(minute, *name, "false")
    assert (0, ["2 more: sync failed: exit status 1"]) == cron.run(6, "--name", "other", "true")


def test_first_failure_of_each_job_of_a_night_is_reported(cron):
    """Thirty an hour, however close together; beyond that a digest names them, by the next run."""
    for number in range(30):
        told = [f"job {number} failed: exit status 1"]
        assert (1, told) == cron.run(number / 30, "--name", f"job {number}", "--", "false")
    for number in (30, 31):
        assert (1, []) == cron.run(1, "--name", f"job {number}", "--", "false")
    assert (1, []) == cron.run(1.5, "--name", "job 31", "--", "false")
    status, new = cron.run(4, "--name", "other", "--", "true")
    assert (0, 1) == (status, len(new))
    assert {"job 30", "job 31"} == set(re.findall(r"job \d+", cron.inbox.messages[-1]["message"]))


def test_failure_is_reported_with_the_end_of_its_output(command, inbox):
    """How it ended is the title; how long it took, where, and its last lines are under it."""
    script = "echo first; echo second >&2; exit 3"
    status, out, err = command.run("run", "--name", "backup", "--", "sh", "-c", script)
    assert (3, b"first\n", b"second\n") == (status, out, err)
    (push,) = inbox.messages
    assert ("backup failed: exit status 3", "0") == (push["title"], push["priority"])
    head, *lines = push["message"].splitlines()
    assert re.fullmatch(r"after [\d.]+ s on web-1", head)
    assert ["first", "second"] == sorted(lines)


def test_success_sends_nothing(command, inbox, tmp_path):
    """Nothing is sent, and no file is made."""
    assert (0, b"fine\n", b"") == command.run("run", "--", "echo", "fine")
    assert [] == inbox.attempts
    assert [] == [path for path in tmp_path.rglob("*") if path.suffix == ".sqlite"]


def test_always_reports_each_run(command, inbox):
    """`--always`: also a success, quietly, and each failure at once."""
    options = ["--always", "--name", "job", "--"]
    for program in ("true", "true", "false", "false"):
        command.run("run", *options, program)
    fine, failed = ("job succeeded", "-1"), ("job failed: exit status 1", "0")
    told = [(push["title"], push["priority"]) for push in inbox.messages]
    assert [fine, fine, failed, failed] == told


def test_overrun_is_reported_while_the_job_runs(command, inbox):
    """`--longer-than`: a job that hangs is reported; the next run in time resolves it."""
    options = ["--longer-than", "1", "--name", "job", "--"]
    with command.start("run", *options, "cat", stdin=PIPE) as process:
        (push,) = inbox.wait_for(1)
        assert None is process.poll()
        process.stdin.close()
        assert 0 == process.wait(60)
    assert re.fullmatch(r"job still runs after [\d.]+ s", push["title"])
    assert 0 == command.run("run", *options, "true")[0]
    assert ["Resolved: job (too long)"] == titles(inbox)[1:]


def test_options_apply_to_the_alerts(command, inbox):
    """Priority, device and sound of a failure; the command only where it is asked for."""
    options = ["--priority", "high", "--device", "phone", "--sound", "siren", "--show-command"]
    command.run("run", *options, "--", "sh", "-c", "exit 1 # top secret")
    command.run("run", "--", "sh", "-c", "exit 1 # nothing shown")
    shown, hidden = inbox.messages
    assert ("1", "phone", "siren") == (shown["priority"], shown["device"], shown["sound"])
    assert "$ sh -c 'exit 1 # top secret'" == shown["message"].splitlines()[1]
    assert "nothing shown" not in f"{hidden}"


def test_jobs_without_a_name_are_different_problems(command, inbox):
    """By their whole command, though only the program's name is shown."""
    for number in (1, 2, 1):
        command.run("run", "--", "sh", "-c", f"exit {number}")
    assert ["sh failed: exit status 1", "sh failed: exit status 2"] == titles(inbox)


def test_secrets_of_the_output_are_masked(command, inbox):
    """Passwords, our own keys, and half of a line, which may be half of a secret."""
    long = "x" * 20_000
    script = f"""
        print("password=hunter2 {TOKEN} {USER}")
        print("fine " + "{long}" + " token=abc")
        print("the end", end="")
        raise SystemExit(1)
        """
    command.run("run", "--", sys.executable, "-c", textwrap.dedent(script))
    message = inbox.messages[0]["message"]
    assert message.endswith("\nthe end")
    assert not [word for word in ("hunter2", TOKEN, USER, "xxx") if word in message]
    script = f"print('password=hunter2 {TOKEN} {USER}'); raise SystemExit(1)"
    command.run("run", "--", sys.executable, "-c", script)
    message = inbox.messages[1]["message"]
    assert message.endswith("\npassword=*** *** ***")


@pytest.mark.parametrize("key", [None, "0123456789abcdef" * 4])
def test_end_of_long_output_is_sent(command, inbox, key):
    """The last lines that fit, whole ones, encrypted or not."""
    if key:
        pytest.importorskip("cryptography")
        command.environ["PUSHOVER_ENCRYPTION_KEY"] = key
    inbox.reset()
    script = "import random, sys\nfor n in range(5000): print(n, random.random())\nsys.exit(1)"
    _, out, _ = command.run("run", "--", sys.executable, "-c", script)
    (push,) = inbox.messages
    message = push["message"]
    assert len(message) <= 1024
    if key:
        from pushover_logging.api.encryption import decrypt

        message = decrypt(message, bytes.fromhex(key))
    _, dots, *lines = message.splitlines()
    assert "…" == dots
    assert out.decode().splitlines()[-len(lines) :] == lines
    assert len(message) > (400 if key else 900)


def test_one_endless_line_is_no_reason_to_say_nothing(command, inbox):
    """It may be half of a secret, so it is not shown; that it failed is."""
    script = "print('x' * 100_000); raise SystemExit(1)"
    command.run("run", "--", sys.executable, "-c", script)
    assert 1 == len(inbox.messages[0]["message"].splitlines())


@pytest.mark.parametrize("status", [1, 2, 126, 127, 128, 255])
def test_status_is_the_commands(command, status):
    """Whatever it is."""
    assert (status, b"", b"") == command.run("run", "--", "sh", "-c", f"exit {status}")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_command_that_is_killed(command, inbox, name):
    """128 and the signal's number, as a shell has it; the push names it."""
    number = signal.Signals[name]
    assert 128 + number == command.run("run", "--", "sh", "-c", f"kill -{number} $$")[0]
    assert [f"sh was killed by {name}"] == titles(inbox)


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no real-time signals here")
def test_signal_without_a_name(command, inbox):
    """A real-time one has none."""
    number = signal.SIGRTMIN + 3
    assert 128 + number == command.run("run", "--", "sh", "-c", f"kill -{number} $$")[0]
    assert [f"sh was killed by signal {int(number)}"] == titles(inbox)


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("no-such-program", 127, "command not found"),
        ("/etc/passwd", 126, "cannot be executed (Permission denied)"),
        ("/etc/passwd/x", 126, "cannot be executed (Not a directory)"),
    ],
)
def test_command_that_cannot_be_started(command, inbox, program, status, words):
    """The status that a shell gives, one line on stderr, and a push."""
    told = command.run("run", "--", program, "secret")
    assert (status, b"", f"pushover-logging: {program}: {words}\n".encode()) == told
    assert [f"{Path(program).name} failed: {words}"] == titles(inbox)


def test_input_and_bytes_go_through(command):
    """stdin is the command's own; what it writes comes out byte by byte, on its own stream."""
    data = bytes(range(256)) * 5000
    script = "cat; printf '\\377\\000' >&2"
    assert (0, data, b"\xff\x00") == command.run("run", "--", "sh", "-c", script, stdin=data)


def test_arguments_are_passed_as_they_are(command):
    """A second -- is the command's; so is an option behind the command."""
    script = 'for one in "$@"; do echo "[$one]"; done'
    expected = b"[--name]\n[--]\n[]\n[a b]\n"
    words = ["sh", "-c", script, "sh", "--name", "--", "", "a b"]
    assert (0, expected, b"") == command.run("run", "--", *words)
    assert (0, expected, b"") == command.run("run", *words)


def test_order_is_kept_where_both_streams_are_one(command):
    """As in `job >log 2>&1`, and under cron: what was written first comes first."""
    script = "import os\nfor n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    with command.start(
        "run", "--", sys.executable, "-c", script, stdout=PIPE, stderr=subprocess.STDOUT
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert [*range(2000)] == [int(line) for line in out.splitlines()]


def test_output_comes_at_once(command):
    """While the command runs, not at its end."""
    script = "echo first; read line; echo $line"
    with command.start("run", "--", "sh", "-c", script, stdin=PIPE, stdout=PIPE) as process:
        assert b"first\n" == said(process)
        out, _ = process.communicate(b"second\n", timeout=60)
    assert (0, b"second\n") == (process.returncode, out)


def test_large_output_stays_flat_in_memory(command, inbox):
    """A gigabyte goes through whole, in no more memory than a kilobyte takes, but for a little."""
    peaks = []
    for size in (1024, 2**30):
        script = f"head -c {size} /dev/zero; exit 1"
        with command.start("run", "--", "sh", "-c", script, stdout=PIPE) as process:
            came = 0
            while part := os.read(process.stdout.fileno(), 2**20):
                came += len(part)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert (1, size) == (process.returncode, came)
        peaks.append(usage.ru_maxrss)
    assert peaks[1] - peaks[0] < 8 * 1024 * (1 if sys.platform == "linux" else 1024)
    assert 2 == len(inbox.messages)


def test_reader_that_leaves_ends_the_command(command):
    """`pushover-logging run -- yes | head -1`: it is killed by SIGPIPE, as without us."""
    with command.start("run", "--", "yes", stdout=PIPE) as process:
        assert b"y\n" == said(process)
        process.stdout.close()
        assert 128 + signal.SIGPIPE == process.wait(60)


def test_stream_that_is_non_blocking(command):
    """A reader that is slow loses nothing."""
    near, far = os.pipe()
    os.set_blocking(far, False)
    script = "head -c 1000000 /dev/zero"
    with command.start("run", "--", "sh", "-c", script, stdout=far) as process:
        os.close(far)
        waiting, deadline = 0, time.monotonic() + 30
        while not waiting or waiting != held(near):  # it is full, and does not get fuller
            assert time.monotonic() < deadline
            waiting = held(near)
            time.sleep(0.3)
        came = 0
        while part := os.read(near, 2**20):
            came += len(part)
        assert (0, 1_000_000) == (process.wait(60), came)
    os.close(near)


def held(pipe):
    """Return how many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize(
    ("script", "statuses"), [("echo hi", {1}), ("echo hi; exit 7", {7}), ("exec yes", {1, 141})]
)
def test_output_that_cannot_be_written_is_a_failure(command, inbox, script, statuses):
    """A backup into a full disk is none, though the command itself knows nothing of it."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        start = command.start(
            "run", "--name", "backup", "--", "sh", "-c", script, stdout=full, stderr=PIPE
        )
        with start as process:
            words = "its output could not be written (No space left on device)"
            assert f"pushover-logging: {words}\n".encode() == process.communicate(timeout=60)[1]
    assert process.returncode in statuses
    assert [f"backup failed: {words}"] == titles(inbox)


def test_long_name_leaves_room_for_how_it_ended(command, inbox):
    """And is one line."""
    command.run("run", "--name", "back\nup " * 60, "--", "false")
    (title,) = titles(inbox)
    assert title.startswith("back up back up")
    assert title.endswith("… failed: exit status 1")
    assert 250 >= len(title)


def test_closed_streams(command, inbox):
    """Without stdout, stderr and stdin the job runs, and the failure is reported."""
    path = command.directory / "ran"
    line = f"exec {command.PATH} run --name job -- sh -c 'echo >{path}; exit 4' <&- >&- 2>&-"
    done = subprocess.run(["sh", "-c", line], check=False, timeout=60, **command.options({}))
    assert (4, True) == (done.returncode, path.exists())
    assert ["job failed: exit status 4"] == titles(inbox)


def test_what_a_command_leaves_running_is_not_waited_for(command):
    """A daemon that keeps the output open; its output within two seconds is still copied."""
    script = "(echo early; sleep 0.3; echo late; exec sleep 100) & exit 0"
    began = time.monotonic()
    arguments = ["run", "--", "sh", "-c", script]
    with command.start(*arguments, stdout=PIPE, start_new_session=True) as process:
        out = said(process, 11)
        assert (0, b"early\nlate\n") == (process.wait(60), out)
        assert time.monotonic() - began < 30
        os.killpg(process.pid, signal.SIGKILL)


TRAPS = """
import os, signal, sys, time
def come(number, frame):
    os.write(1, f"{signal.Signals(number).name}\\n".encode())  # print may be interrupted by itself
    if number in {signal.SIGTERM, signal.SIGINT}:
        sys.exit(5)
for one in sys.argv[1:]:
    signal.signal(getattr(signal, one), come)
os.write(1, b"ready\\n")
while True:
    time.sleep(0.01)
"""


def start_trap(command, *names, **how):
    arguments = ["run", "--name", "job", "--", sys.executable, "-c", TRAPS, *names]
    return command.start(*arguments, stdout=PIPE, **how)


def test_signals_reach_the_command(command, inbox):
    """Each once, and its own answer to it is the end."""
    names = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGTERM"]
    with start_trap(command, *names) as process:
        assert b"ready\n" == said(process)
        for name in names:
            process.send_signal(signal.Signals[name])
            assert f"{name}\n".encode() == said(process)
        assert (5, b"") == (process.wait(60), said(process))
    assert ["job failed: exit status 5"] == titles(inbox)


def test_signal_that_comes_before_the_command_is_its_own(program):
    """It is forwarded as soon as the command has started."""
    code, out, err = program.run(
        """
        import os, signal
        from pushover_logging.cli.child import Child
        class Early(Child):
            def _ends(self):
                os.kill(os.getpid(), signal.SIGTERM)
                return super()._ends()
        child = Early(["sleep", "100"], os.environ, lambda part: None)
        child.start()
        print(child.wait())
        """
    )
    assert (0, "-15\n", "") == (code, out, err)


def test_windows_has_none_of_it(monkeypatch, capsys):
    """The error is one line."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert 2 == main(["run", "--", "dir"])
    assert "pushover-logging: run: not on Windows\n" == capsys.readouterr().err


def test_no_signal_is_slept_through(command):
    """Each of 500 arrives while the command does nothing else that could wake us."""
    with start_trap(command, "SIGUSR1", "SIGTERM") as process:
        assert b"ready\n" == said(process)
        for _ in range(500):
            process.send_signal(signal.SIGUSR1)
            assert b"SIGUSR1\n" == said(process)
        process.send_signal(signal.SIGTERM)
        assert 5 == process.wait(60)


def test_interruption_sends_nothing(command, inbox):
    """Without a terminal SIGINT is passed on; a user who interrupts a job needs no alert."""
    with start_trap(command, "SIGINT") as process:
        assert b"ready\n" == said(process)
        process.send_signal(signal.SIGINT)
        assert (5, b"SIGINT\n") == (process.wait(60), said(process))
    assert [] == inbox.messages


def test_ignored_signals_stay_ignored(command):
    """As under nohup, or behind & in a script: for us and for the command."""
    ignore = "trap '' HUP INT; exec"
    script = "import signal; print([signal.getsignal(n) == signal.SIG_IGN for n in (1, 2, 15)])"
    line = f'{ignore} {command.PATH} run -- {sys.executable} -c "{script}"'
    done = subprocess.run(
        ["sh", "-c", line], check=False, timeout=60, capture_output=True, **command.options({})
    )
    assert b"[True, True, False]\n" == done.stdout


def test_command_keeps_descriptors_that_it_is_given(command):
    """A lock that is held by an open file, as `flock` makes it, is the command's too."""
    near, far = os.pipe()
    os.set_inheritable(far, True)
    script = f"import os; os.write({far}, b'hello')"
    arguments = ["run", "--", sys.executable, "-c", script]
    with command.start(*arguments, pass_fds=[far]) as process:
        os.close(far)
        assert (0, b"hello") == (process.wait(60), os.read(near, 100))
    os.close(near)


# Makes the terminal that it is given its own, as a shell's login does, and becomes the command.
LOGIN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal with the command in its foreground, as a shell would start it."""

    def __init__(self, command, *arguments):
        self.shown = b""
        self.near, far = pty.openpty()
        self.resize(24, 80)
        start = [sys.executable, "-c", LOGIN, command.PATH, *arguments]
        streams = {"stdin": far, "stdout": far, "stderr": far}
        self.process = subprocess.Popen(
            start, start_new_session=True, **streams, **command.options({})
        )
        os.close(far)

    def resize(self, rows, columns):
        size = rows.to_bytes(2, sys.byteorder) + columns.to_bytes(2, sys.byteorder) + bytes(4)
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, size)

    def read_until(self, text, seconds=30):
        """Read what is shown until that is there."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert select.select([self.near], [], [], max(0, deadline - time.monotonic()))[0]
            self.shown += os.read(self.near, 4096)

    def type(self, text):
        os.write(self.near, text)

    def end(self):
        """Read to the end; return the status."""
        try:
            while part := os.read(self.near, 4096):
                self.shown += part
        except OSError:
            pass  # Linux: nobody has the other end any more
        os.close(self.near)
        return self.process.wait(60)


def test_on_a_terminal_the_command_has_one(command, inbox):
    """For its output as for its input: it may use colours, and knows how wide it is."""
    script = """
        import os, sys
        input()
        print([os.isatty(n) for n in range(3)], os.get_terminal_size(1).columns)
        print("wrong", file=sys.stderr)
        sys.exit(3)
        """
    terminal = Terminal(
        command, "run", "--name", "job", "--", sys.executable, "-c", textwrap.dedent(script)
    )
    terminal.resize(24, 123)
    terminal.type(b"\n")
    assert 3 == terminal.end()
    assert b"\r\n[True, True, True] 123\r\nwrong\r\n" == terminal.shown
    assert inbox.messages[0]["message"].endswith("[True, True, True] 123\nwrong")


def test_nothing_is_lost_on_a_terminal(command):
    """However fast it comes, and though the command has ended by then."""
    script = "print('\\n'.join(map(str, range(50_000))))"
    terminal = Terminal(command, "run", "--", sys.executable, "-c", script)
    assert 0 == terminal.end()
    assert [*range(50_000)] == [int(line) for line in terminal.shown.splitlines()]


def test_window_that_changes_is_followed(command):
    """The command's own terminal gets the new size."""
    script = """
        import os, signal, time
        signal.signal(signal.SIGWINCH, lambda *_: None)
        print("ready", flush=True)
        while os.get_terminal_size(1).columns != 44:
            time.sleep(0.01)
        """
    terminal = Terminal(command, "run", "--", sys.executable, "-c", textwrap.dedent(script))
    terminal.read_until(b"ready")
    terminal.resize(24, 44)
    assert 0 == terminal.end()


def test_ctrl_c_reaches_the_command_once(command, inbox):
    """The terminal sends it to both; the command's end is ours, and nothing is sent."""
    script = """
        import signal, sys, time
        came = []
        signal.signal(signal.SIGINT, lambda *_: came.append(1))
        print("ready", flush=True)
        while not came:
            time.sleep(0.01)
        time.sleep(0.3)
        print("came", len(came))
        sys.exit(9)
        """
    terminal = Terminal(command, "run", "--", sys.executable, "-c", textwrap.dedent(script))
    terminal.read_until(b"ready")
    terminal.type(b"\x03")
    assert 9 == terminal.end()
    assert terminal.shown.endswith(b"came 1\r\n")
    assert [] == inbox.messages


def test_ctrl_c_without_a_trap_ends_both(command, inbox):
    """Status 130, no traceback, no push."""
    terminal = Terminal(command, "run", "--", "sh", "-c", "echo ready; exec sleep 100")
    terminal.read_until(b"ready")
    terminal.type(b"\x03")
    assert 130 == terminal.end()
    assert b"ready\r\n^C" == terminal.shown
    assert [] == inbox.messages


def test_user_who_waits_gets_a_notice_and_can_interrupt(command, inbox, tmp_path):
    """While the push is being sent Ctrl-C ends it at once; it waits in the outbox, and is sent."""
    inbox.fail_with(hang=True)
    terminal = Terminal(command, "run", "--name", "job", "--", "false")
    terminal.read_until(b"pushover-logging: still sending, for a few seconds at most\r\n")
    began = time.monotonic()
    terminal.type(b"\x03")
    assert -signal.SIGINT == terminal.end()
    assert time.monotonic() - began < 3
    assert b"Traceback" not in terminal.shown
    assert 0 == command.run("run", "--name", "other", "true")[0]
    assert ["job failed: exit status 1"] == titles(inbox)


def test_user_who_waits_long_enough_gets_the_status(command, inbox):
    """What is sent late is sent all the same."""
    inbox.fail_with(delay=2)
    terminal = Terminal(command, "run", "--name", "job", "--", "sh", "-c", "exit 3")
    assert 3 == terminal.end()
    line = b"pushover-logging: still sending, for a few seconds at most\r\n"
    assert line == terminal.shown
    assert ["job failed: exit status 3"] == titles(inbox)


def test_unreachable_service_changes_no_status(command, inbox, free_port):
    """A push that was not sent stays in the outbox, with a warning; the next run sends it."""
    away = {"PUSHOVER_API_URL": f"http://127.0.0.1:{free_port}"}
    status, out, err = command.run("run", "--name", "job", "--", "sh", "-c", "exit 3", **away)
    assert (3, b"") == (status, out)
    said = b"pushover_logging: 1 message was not sent, and left in the outbox: no answer from "
    assert err.startswith(said)
    assert (0, b"", b"") == command.run("run", "--name", "other", "--", "true")
    assert ["job failed: exit status 3"] == titles(inbox)


def test_emergency_is_cancelled_by_the_run_that_succeeds(command, inbox):
    """`--priority emergency` repeats until it is acknowledged, or until the job succeeds."""
    options = ["--priority", "emergency", "--name", "job", "--"]
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    command.run("run", *options, "false")
    receipt = inbox.messages[0]["receipt"]
    before = client.receipt(receipt).expired
    assert (0, b"", b"") == command.run("run", *options, "true")
    assert (False, True) == (before, client.receipt(receipt).expired)
    client.close()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PUSHOVER_TOKEN": None}, "token: none was given"),
        ({"PUSHOVER_USER": "short"}, "user: got *** (5 characters)"),
        ({"PUSHOVER_OUTBOX": "/"}, "outbox: got '/'"),
        ({"PUSHOVER_THROTTLE": "http://nas"}, "throttle: store: got 'http://nas', takes"),
    ],
)
def test_set_up_that_is_wrong_does_not_stop_the_job(command, environ, said):
    """The job runs, and one line reports that no alerts can be sent."""
    for number in (0, 3):
        script = f"echo done; exit {number}"
        for options, what in (
            (["--longer-than", "1m39s"], "no alerts can be sent"),
            (["--name", "a", "--every", "1d"], "no deadline is set"),
        ):
            status, out, err = command.run("run", *options, "--", "sh", "-c", script, **environ)
            assert (number, b"done\n", 1) == (status, out, err.count(b"\n"))
            assert err.decode().startswith(f"pushover-logging: {what}: {said}")


def test_switched_off_it_is_silent(command, inbox):
    """PUSHOVER_TOKEN=off: a job is a job."""
    assert (1, b"", b"") == command.run("run", "--", "false", PUSHOVER_TOKEN="off")
    assert [] == inbox.attempts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "run: no command was given"),
        (["--"], "run: no command was given"),
        (["--every", "1d"], "every: got 1 day, needs --name, which the push shows\n"),
        (["--name", "a", "--grace", "1h"], "grace: got 1 h, needs --every\n"),
        (["--priority", "9"], "priority: got 9"),
    ],
)
def test_option_that_is_wrong_runs_nothing(command, tmp_path, arguments, said):
    """Status 2, one line."""
    if not said.endswith("given"):
        arguments = [*arguments, "--", "touch", "ran"]
    status, out, err = command.run("run", *arguments)
    assert (2, b"", 1) == (status, out, err.count(b"\n"))
    assert err.decode().startswith(f"pushover-logging: {said}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--store", "http://nas", "got 'http://nas', takes a redis://, rediss:// or unix:// URL"),
        ("--store", "redis://:pw@h:x/0", "got *** (17 characters), takes a redis://, "),
        ("--outbox", ".", "got '.', takes the path of a file, not of a folder"),
        ("--every", "-5m", f"got '-5m', takes {DURATION}, 1 or more, at most 366d"),
    ],
)
def test_value_that_cannot_be_right_runs_nothing(command, tmp_path, option, given, said):
    """Of an option; the same in the environment is a warning, since the job must run."""
    options = ["--name", "a", "--every", "1d", option, given, "--", "touch", "ran"]
    status, out, err = command.run("run", *options)
    assert (2, b"", 1) == (status, out, err.count(b"\n"))
    assert err.decode().startswith(f"pushover-logging run: argument {option}: {said}")
    assert not (tmp_path / "ran").exists()
    if option != "--every":
        status, _, err = command.run("overdue", option, given)
        assert (2, True) == (status, f"argument {option}: {said}" in err.decode())


def test_empty_option_is_the_default(command, tmp_path):
    """As of a variable that is not set: --outbox "$OUTBOX"."""
    options = ["--name", "a", "--every", "1d", "--outbox", "", "--store", ""]
    assert (0, b"", b"") == command.run("run", *options, "--", "true")
    assert 1 == len([*tmp_path.rglob("*.sqlite")])


def test_signal_after_the_command_ends_the_wait_for_output(command):
    """Of a process that it left running; the status is the command's, and the alert is sent."""
    left = (
        "while kill -0 $$; do sleep 0.05; done 2>&-; echo gone; while echo on; do sleep 0.1; done"
    )
    with command.start("run", "--", "sh", "-c", f"({left}) & exit 3", stdout=PIPE) as process:
        assert b"gone\n" == said(process)
        process.send_signal(signal.SIGTERM)
        assert 3 == process.wait(60)


@pytest.mark.parametrize(
    ("given", "takes"),
    [
        (" \n", "a text that is not blank"),
        ("backup (did not run)", "a text that does not end in (did not run) or (too long)"),
        ("backup  (too long)", "a text that does not end in (did not run) or (too long)"),
    ],
)
def test_name_that_is_refused_runs_nothing(command, tmp_path, given, takes):
    """Its pushes would not show what failed, or another job's late or slow run has this name."""
    status, _, err = command.run("run", "--name", given, "--", "touch", "ran")
    assert (2, 1) == (status, err.count(b"\n"))
    assert f"argument --name: got {given!r}, takes {takes}" in err.decode()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("given", ["0", "nan", "1h30", "367d", "1.5h", " 5s"])
@pytest.mark.parametrize("option", ["--longer-than", "--every", "--grace"])
def test_duration_that_is_wrong_runs_nothing(command, tmp_path, option, given):
    """The line shows what was given, and what is taken; a job without grace can say so."""
    options = ["--name", "job", "--every", "1d", option, given, "--", "touch", "ran"]
    status, out, err = command.run("run", *options)
    if (option, given) == ("--grace", "0"):
        assert (0, b"", b"", True) == (status, out, err, (tmp_path / "ran").exists())
        return
    takes = f"takes {DURATION}, {0 if option == '--grace' else 1} or more, at most 366d"
    assert (2, b"", 1) == (status, out, err.count(b"\n"))
    assert f"argument {option}: got '{given}', {takes}" in err.decode()
    assert not (tmp_path / "ran").exists()


def test_outbox_is_where_it_is_configured(command, tmp_path):
    """An option, or PUSHOVER_OUTBOX, else the user's state folder."""
    command.run("run", "--outbox", "here.sqlite", "--", "false")
    command.run("run", "--", "false", PUSHOVER_OUTBOX="there.sqlite")
    command.run("run", "--", "false")
    found = {path.name for path in tmp_path.rglob("*.sqlite")}
    assert {"here.sqlite", "there.sqlite"} < found
    assert 3 == len(found)


@pytest.mark.parametrize("options", [(), ("--pass-credentials",)])
def test_command_has_the_credentials_only_if_that_is_asked_for(command, inbox, options):
    """A job and what it starts need none; the alert of its failure does."""
    key = "0123456789abcdef" * 4
    status, out, _ = command.run(
        "run", "--name", "env", *options, "--", "sh", "-c", "env; exit 3",
        PUSHOVER_ENCRYPTION_KEY=key,
    )  # fmt: skip
    assert 3 == status
    passed = [secret in out for secret in (TOKEN.encode(), USER.encode(), key.encode())]
    assert [bool(options)] * 3 == passed
    assert b"PUSHOVER_API_URL=" in out
    assert 1 == len(inbox.wait_for(1))
