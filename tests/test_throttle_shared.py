"""One throttle for several processes: an outbox's file, and a real Redis."""

import json
import logging
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack, closing, suppress

import pytest
from conftest import PATIENT

fcntl = pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("crowd")]

STORM = """
    import logging, sys, time
    from pushover_logging import PushoverHandler

    throttle, outbox, count, seconds, start = sys.argv[1:6]
    handler = PushoverHandler(
        throttle={"windows": [3, 60], "store": throttle or None}, outbox=outbox or None,
        close_timeout=30,
    )
    log = logging.Logger("shop")
    log.addHandler(handler)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(seconds)
    for number in range(int(count)):
        log.error("Cannot connect to %s", "db-7")
        time.sleep(max(0, end - time.monotonic()) / (int(count) - number) / 2)
    print("logged", flush=True)
    sys.stdin.readline()
    handler.close()
    stats = handler.stats()
    print(stats.records, stats.sent + stats.suppressed, stats.pending, flush=True)
"""


@pytest.fixture
def storm(program, tmp_path):
    """Start processes that log at once; a line lets each go on."""
    with ExitStack() as stack:

        def start(number, *, store="", outbox="", count=1000, seconds=1.0, patient=False):
            path = program.path((PATIENT if patient else "") + textwrap.dedent(STORM))
            given = [store, outbox, str(count), str(seconds), "0"]
            processes = []
            for _ in range(number):
                process = subprocess.Popen(
                    [sys.executable, str(path), *given], env=program.environ, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )  # fmt: skip
                stack.callback(end, process)
                processes.append(process)
            for process in processes:
                assert "ready\n" == process.stdout.readline()
            return processes

        def end(process):
            process.kill()
            process.communicate(timeout=10)

        yield start


def go(processes, answer=None):
    for process in processes:
        with suppress(BrokenPipeError):
            process.stdin.write("\n")
            process.stdin.flush()
    lines = [process.stdout.readline() for process in processes]
    if answer is not None:
        assert [answer] * len(processes) == lines
    return lines


@pytest.fixture(params=["file", "redis"])
def place(request, tmp_path):
    if request.param == "file":
        return {"outbox": str(tmp_path / "outbox.sqlite")}
    return {"store": request.getfixturevalue("redis").url}


def test_eight_processes_report_one_problem_once(place, storm, inbox):
    """8 x 1,000 equal errors within a second: one FIRST, one SUMMARY of exactly the rest."""
    processes = storm(8, **place)
    go(processes, "logged\n")
    inbox.wait_for(2, timeout=30)
    go(processes, "1000 1000 0\n")
    assert ["Cannot connect to db-7", "7999 more: Cannot connect to db-7"] == [
        push["title"] for push in inbox.messages
    ]
    assert "8 processes on web-1" in inbox.messages[1]["message"]


def test_storm_is_muted_listed_and_unmuted_from_a_shell(place, storm, inbox, command):
    """Eight live processes: nothing is sent until `unmute`, and each record is counted once."""
    ((name, where),) = place.items()
    options = f"--{name}", where
    processes = storm(8, **place, seconds=3.0, patient=True)
    environ = {"PUSHOVER_OUTBOX": place.get("outbox"), "PUSHOVER_THROTTLE": place.get("store")}
    muted = command.run("mute", "--for", "5m", **environ)
    assert (0, b"", True) == (muted[0], muted[2], b"all problems: muted until " in muted[1])
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    deadline = time.monotonic() + 30
    found = []
    while not found and time.monotonic() < deadline:
        status, out, err = command.run("problems", "--json", *options)
        assert (0, b"") == (status, err)
        found = json.loads(out)
    assert ["muted"] == [problem["state"] for problem in found]
    assert [] == inbox.messages
    assert (0, b"unmuted\n", b"") == command.run("unmute", *options)
    assert ["logged\n"] * 8 == [process.stdout.readline() for process in processes]
    go(processes, "1000 1000 0\n")
    assert re.fullmatch(r"Muted for [\d.]+ s: \d+ of 1 problem", inbox.messages[0]["title"])
    (problem,) = json.loads(command.run("problems", "--json", "--all", *options)[1])
    assert ("ERROR", 8000) == (problem["level"], problem["count"])
    # With a file, the last process reports the rest; with Redis, it waits for the window's end.
    assert counted(inbox) == 8000 or ("store" in place and counted(inbox) < 8000)


def counted(inbox):
    """Return how many records the summaries report."""
    titles = " ".join(push["title"] for push in inbox.messages)
    return sum(map(int, re.findall(r"(\d+) (?:of 1 problem|more)", titles)))


def test_processes_that_end_at_once_leave_no_count_unreported(storm, inbox, tmp_path):
    """The exit digest of a host, as when its server stops: the last process reports everything."""
    processes = storm(4, outbox=str(tmp_path / "outbox.sqlite"), count=25, seconds=0.1)
    go(processes, "logged\n")
    go(processes, "25 25 0\n")
    assert ["Cannot connect to db-7", "99 more: Cannot connect to db-7"] == [
        push["title"] for push in inbox.messages
    ]


TROUBLE = """
    import logging, sys, time
    from pushover_logging import PushoverHandler
    from pushover_logging.delivery import sender

    sender._STORE_RETRY = 1.0
    handler = PushoverHandler(throttle={"windows": [5, 60], "store": sys.argv[1]})
    log = logging.Logger("shop")
    log.addHandler(handler)
    # What the first push of a process imports and compiles is no matter of Redis.
    handler.message(log.makeRecord("shop", 40, __file__, 1, "Cannot connect", (), None))
    print("ready", flush=True)
    slowest, late, number = 0, 0, 0  # late: what a busy machine takes for itself
    for line in sys.stdin:
        began = time.monotonic()
        while time.monotonic() < began + float(line):
            before = time.monotonic()
            log.error("Cannot connect to %s", "db-7")
            after = time.monotonic()
            time.sleep(0.01)
            slowest = max(slowest, after - before)
            late = max(late, time.monotonic() - after - 0.01)
            number += 1
        print(number, slowest, late, flush=True)
    handler.close()
"""


@pytest.mark.parametrize("trouble", ["stopped", "hung", "restarted empty", "emptied"])
def test_redis_that_goes_away_harms_no_logging_call(redis, program, inbox, trouble):
    """Each process reports the problem at most once; counts are merged when Redis is back.

    What an emptied Redis had taken is handed over again.
    """
    path = program.path(TROUBLE)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(path), redis.url], env=program.environ, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for _ in range(4)
        ]  # fmt: skip
        for process in processes:
            stack.callback(process.kill)
            assert "ready\n" == process.stdout.readline()
        if trouble == "hung":
            redis.process.send_signal(signal.SIGSTOP)
        elif trouble == "stopped":
            redis.stop()
        say(processes, 1.5)
        if trouble == "hung":
            redis.process.send_signal(signal.SIGCONT)
        elif trouble == "stopped":
            redis.start()
        elif trouble == "emptied":
            subprocess.run(
                ["redis-cli", "-p", str(redis.port), "FLUSHALL"], check=True, capture_output=True
            )
        else:
            redis.stop()
            redis.start()
        numbers = say(processes, 1)
        firsts = [push for push in inbox.messages if " more: " not in push["title"]]
        assert 1 <= len(firsts) <= 4
        away = [push for push in firsts if "duplicates are possible" in push["message"]]
        assert (len(firsts) if trouble in {"stopped", "hung"} else 0) == len(away)
        end = time.monotonic() + 15
        while reported(inbox) < sum(numbers) and time.monotonic() < end:
            time.sleep(0.05)
        for process in processes:
            process.stdin.close()
            process.wait(30)
    assert sum(numbers) == reported(inbox)


def reported(inbox):
    """Return how many records the pushes report."""
    counts = [push["title"].partition(" more")[0] for push in inbox.messages]
    return sum(int(count) if count.isdecimal() else 1 for count in counts)


def say(processes, seconds):
    for process in processes:
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
    lines = [process.stdout.readline().split() for process in processes]
    assert all(float(slowest) < 0.2 + float(late) for _, slowest, late in lines), lines
    return [int(number) for number, *_ in lines]


def test_process_that_ends_leaves_its_count_to_another(redis, handler_for, program, inbox):
    """13: with Redis no exit digest reports the count; another process does when it is due."""
    other = handler_for(throttle={"store": redis.url, "windows": [3, 60]})
    other.handle(logging.makeLogRecord({"levelno": 40, "msg": "Another problem"}))
    code, _, err = program.run(f"""
        import logging
        from pushover_logging import PushoverHandler

        handler = PushoverHandler(throttle={{"store": "{redis.url}", "windows": [3, 60]}})
        log = logging.Logger("shop")
        log.addHandler(handler)
        log.error("Cannot connect to %s", "db-7")
        assert handler.flush(10)
        for _ in range(5):
            log.error("Cannot connect to %s", "db-7")
        handler.close()
    """)
    assert (0, "") == (code, err)
    titles = [push["title"] for push in inbox.wait_for(3, timeout=20)]
    assert [
        "Another problem",
        "Cannot connect to db-7",
        "5 more: Cannot connect to db-7",
    ] == titles


def slow(port, seconds):
    """Listen in front of ``port``, and pass on what comes ``seconds`` later; return where."""
    front = socket.create_server(("127.0.0.1", 0))

    def carry(source, target, wait):
        with suppress(OSError):
            while part := source.recv(65_536):
                time.sleep(wait)
                target.sendall(part)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve():
        with suppress(OSError):
            while True:
                near, far = front.accept()[0], socket.create_connection(("127.0.0.1", port))
                for pair in ((near, far, seconds), (far, near, 0)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return front


def test_slow_redis_keeps_no_call_waiting_for_the_file(redis, handler_for, inbox, tmp_path, caplog):
    """It is asked outside of the file's transactions: each call's insert goes through at once."""
    with slow(redis.port, 0.1) as front:
        store = f"redis://127.0.0.1:{front.getsockname()[1]}/0"
        handler = handler_for(throttle={"store": store}, outbox=tmp_path / "outbox.sqlite")
        log = logging.Logger("shop")
        log.addHandler(handler)
        for name in "abcdefghi":
            log.error("%s is down", name, extra={"pushover": {"fingerprint": name}})
            time.sleep(0.25)
        assert handler.flush(30)
    assert "memory takes over" not in caplog.text  # as it does after a quarter of a second
    assert 9 == handler.stats().sent


def test_file_that_is_away_leaves_redis_to_decide(redis, handler_for, inbox, tmp_path):
    """From memory as well, a problem that another host has reported is not reported again."""
    path = tmp_path / "outbox.sqlite"
    handlers = [handler_for(throttle=redis.url, outbox=path), handler_for(throttle=redis.url)]
    logs = [logging.Logger("shop") for _ in handlers]
    for log, handler in zip(logs, handlers, strict=True):
        log.addHandler(handler)
    logs[0].error("before")
    inbox.wait_for(1)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for log in logs:
            log.error("meanwhile")
            assert log.handlers[0].flush(10) or log is logs[0]
        other.execute("ROLLBACK")
    assert ["before", "meanwhile"] == [push["title"] for push in inbox.messages]


def test_outbox_on_each_host_and_redis_between_them(redis, handler_for, inbox, tmp_path):
    """Who does not send for the account hears what became of its Message all the same."""
    logs = []
    for name in ("first", "second"):
        log = logging.Logger(name)
        log.addHandler(handler_for(outbox=tmp_path / "outbox.sqlite", throttle=redis.url))
        logs.append(log)
    for number, log in enumerate(logs, start=1):
        log.error("Cannot reach the %s", log.name)
        inbox.wait_for(number)
    assert [True, True] == [log.handlers[0].flush(10) for log in logs]
    assert [(1, 1), (1, 1)] == [(one.records, one.sent)
                                for one in (log.handlers[0].stats() for log in logs)]  # fmt: skip


@pytest.mark.process
def test_redis_that_is_away_at_the_exit(redis, program, inbox):
    """What it was not given is in the digest; of what it has, stderr says how much there may be."""
    source = f"""
    import logging, sys
    from pushover_logging import PushoverHandler
    handler = PushoverHandler(throttle={{"store": {redis.url!r}}})
    logging.getLogger().addHandler(handler)
    for _ in range(4):
        logging.error("disk is full")
    while handler._pipeline.dedup.has_counts():
        pass
    handler.flush(10)
    print("counted", flush=True)
    sys.stdin.readline()
    for _ in range(3):
        logging.error("net is down")
    """
    path = program.path(source)
    command = [sys.executable, str(path)]
    with subprocess.Popen(
        command, env=program.environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert "counted\n" == running.stdout.readline()
        redis.stop()
        _, err = running.communicate("go\n", timeout=30)
    assert 0 == running.returncode, err
    assert "pushover_logging: up to 3 counted records not reported: Redis" in err
    titles = [push["title"] for push in inbox.messages]
    assert ["disk is full", "net is down", "2 more: net is down"] == titles
