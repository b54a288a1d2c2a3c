"""Eight processes share one outbox file while everything around them fails at random.

`python -m benchmarks soak --minutes 30 --seed 1` prints its seed and figures; its status is 1 if a
record was lost, came twice without a reason, or if memory, threads or descriptors grew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.soak_places import RedisServer, TlsFront, failing_disk, small_disk
from pushover_logging import PushoverHandler
from pushover_logging.clock import Clock
from pushover_logging.inbox.server import Inbox

chance = random.Random()  # noqa: S311  which faults come when is no secret
PROCESSES = 8
SPARED = 2  # processes that live to the end, and are measured
PAUSE = (0.3, 1.5)  # seconds between two records of a process
QUIET = 120.0  # seconds at the end, without faults, in which all must arrive
MAX_JUMP = 7200.0  # seconds by which the wall clock jumps
MORE_MEMORY = 20 * 1024  # KiB that a process may have more at the end than after a fifth
FOREIGN = 403, 407, 408, 421, 425, 451  # answers of proxies


class JumpingClock(Clock):
    """The system's clock, moved by what a file says."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def time(self) -> float:  # type: ignore[override]
        """Return the time, moved."""
        with contextlib.suppress(OSError, ValueError):
            return time.time() + float(self._path.read_text(encoding="utf-8"))
        return time.time()


def work(folder: Path, name: str) -> None:
    """Log numbered records until there is a file ``stop``; then write the counters."""
    chance.seed(name)
    options: dict[str, Any] = {
        "outbox": folder / "disk" / "outbox.sqlite",
        "clock": JumpingClock(folder / "jump"),
        "terminate": True,
        "level": 0,
    }
    if int(name[1:]) % 2:  # the others count in the file
        options["throttle"] = {"store": os.environ["SOAK_REDIS"]}
    handler = PushoverHandler(**options)
    log = logging.Logger("soak")
    log.addHandler(handler)
    emitted = os.open(folder / f"{name}.emitted", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number, longest = 0, 0.0
    while not (folder / "stop").exists():
        number += 1
        began = time.monotonic()
        log.error("%s %d", name, number, extra={"pushover": {"throttle": False}})
        longest = max(longest, time.monotonic() - began)
        outbox = handler._pipeline.outbox  # noqa: SLF001
        kept = "memory" if len(outbox.memory) or outbox._inserting else "file"  # noqa: SLF001
        os.write(emitted, f"{name} {number}\t{kept}\n".encode())
        log.error("the same problem of all")
        if number % 10 == 0:  # what frees other programs' locks
            PushoverHandler(**options).close()
            with contextlib.suppress(OSError, shutil.Error), tempfile.TemporaryDirectory() as copy:
                shutil.copytree(folder / "disk", copy, dirs_exist_ok=True)
        time.sleep(chance.uniform(*PAUSE))
    is_done = handler.flush(QUIET)
    found = handler.stats()
    stats = found._asdict() | {"quota": None, "dropped_by": dict(found.dropped_by)}
    stats |= {"is_done": is_done, "longest": longest}
    (folder / f"{name}.stats").write_text(json.dumps(stats), encoding="utf-8")


class Soak:
    """The processes, the service and what happens to them."""

    def __init__(self, folder: Path, inbox: Inbox, seed: int) -> None:
        self.folder, self.inbox, self.random = folder, inbox, random.Random(seed)  # noqa: S311  as above
        self.disk = folder / "disk"
        self.file, self.lock = self.disk / "outbox.sqlite", self.disk / "outbox.sqlite.lock"
        self.redis, self.tls = RedisServer(folder), TlsFront(inbox.port, folder)
        self.environ = {
            **os.environ, **inbox.environ, **failing_disk(folder),
            "PUSHOVER_API_URL": self.tls.url, "REQUESTS_CA_BUNDLE": str(self.tls.certificate),
            "SOAK_REDIS": self.redis.url,
        }  # fmt: skip
        self.emptied: set[str] = set()
        self.arrived: dict[str, str] = {}
        self.happened: Counter[str] = Counter()
        self.killed: set[str] = set()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.figures: dict[str, dict[str, int]] = {}
        self.started = 0
        for _ in range(PROCESSES):
            self.start()

    def start(self) -> None:
        """Start a process."""
        self.started += 1
        name = f"p{self.started}"
        command = [sys.executable, "-m", "benchmarks.soak", str(self.folder), name]
        with (self.folder / f"{name}.err").open("wb") as err:
            self.running[name] = subprocess.Popen(command, env=self.environ, stderr=err)

    def victim(self) -> str:
        """Return a process that may be ended or stopped."""
        return self.random.choice(list(self.running)[SPARED:])

    def happen(self) -> None:
        """Let something go wrong."""
        faults = [
            self.fail, self.fail, self.fail, self.kill, self.stop, self.terminate, self.fill_disk,
            self.jump, self.spoil_row, self.delete_lock, self.replace_lock, self.empty_file,
            self.fail_disk, self.break_tls, self.stop_redis, self.empty_redis,
        ]  # fmt: skip
        self.random.choice(faults)()

    def fail(self) -> None:
        """Let the service fail in one of many ways."""
        name, fault = self.random.choice(
            [
                ("503", {"status": 503, "times": 2}),
                (
                    "another's 4xx",
                    {"status": self.random.choice(FOREIGN), "body": "<html>no</html>"},
                ),
                ("reset", {"reset": True}),
                (
                    "compressed answer",
                    {"status": 502, "body": "no", "headers": {"Content-Encoding": "gzip"}},
                ),
                ("hang", {"hang": True}),
                ("slow", {"delay": 2.0}),
                ("lost answer", {"lost": True}),
            ]
        )
        self.happened[name] += 1
        self.inbox.fail_with(**fault)

    def kill(self) -> None:
        """End a process by SIGKILL, and start another."""
        self.end(signal.SIGKILL, "SIGKILL")

    def terminate(self) -> None:
        """End a process by SIGTERM, and start another."""
        self.end(signal.SIGTERM, "SIGTERM")

    def end(self, number: int, name: str) -> None:
        """End a process, and start another."""
        victim = self.victim()
        process = self.running.pop(victim)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        self.happened[name] += 1
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            self.happened["did not end by SIGTERM"] += 1
            process.kill()
            process.wait()
        self.killed.add(victim)
        self.start()

    def stop(self) -> None:
        """Stop a process for up to 25 s."""
        process = self.running[self.victim()]
        process.send_signal(signal.SIGSTOP)
        self.happened["SIGSTOP"] += 1
        wake = lambda: process.poll() is None and process.send_signal(signal.SIGCONT)  # noqa: E731
        self.for_up_to(25, wake)

    def fill_disk(self) -> None:
        """Leave no room on the disk for up to 10 s, if it is one of its own."""
        if not self.disk.is_mount():
            return
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        self.happened["disk full"] += 1
        self.for_up_to(10, lambda: filler.unlink(missing_ok=True))

    def jump(self) -> None:
        """Set the wall clock of all processes."""
        self.happened["clock jump"] += 1
        new = self.folder / "new"
        new.write_text(str(self.random.uniform(-MAX_JUMP, MAX_JUMP)), encoding="utf-8")
        new.replace(self.folder / "jump")

    def spoil_row(self) -> None:
        """Write a row into the file that is no Message."""
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(self.file, timeout=1)) as file,
            file,
        ):
            file.execute(
                "INSERT INTO message (id, account, emitter, priority, put_at, payload) "
                "SELECT ?, account, 0, 2, 'never', ? FROM leader",
                (f"bad {self.random.random()}", "[" * 100_000),
            )
            self.happened["bad row"] += 1

    def delete_lock(self) -> None:
        """Delete the file's locks."""
        self.happened["lock deleted"] += 1
        self.lock.unlink(missing_ok=True)

    def replace_lock(self) -> None:
        """Put a link to another's file in place of the file's locks for up to 10 s."""
        self.happened["lock deleted"] += 1
        self.happened["lock replaced"] += 1
        victim = self.folder / "victim"
        victim.write_text("victim", encoding="utf-8")
        self.lock.unlink(missing_ok=True)
        self.lock.symlink_to(victim)
        self.for_up_to(10, lambda: self.lock.is_symlink() and self.lock.unlink())

    def empty_file(self) -> None:
        """Empty the file in place, with all that waits in it."""
        with (
            contextlib.suppress(sqlite3.Error, OSError),
            contextlib.closing(sqlite3.connect(self.file, timeout=1)) as file,
        ):
            file.execute("BEGIN EXCLUSIVE")
            rows = file.execute("SELECT json_extract(payload, '$.message.title') FROM message "
                                "WHERE outcome IS NULL AND json_valid(payload)")  # fmt: skip
            self.emptied.update(title for (title,) in rows)
            os.truncate(self.file, 0)
            self.happened["file emptied"] += 1

    def fail_disk(self) -> None:
        """Let each sync take 2 s more for up to 10 s, or each read fail for up to 0.3 s."""
        name, most = self.random.choice([("slow", 10.0), ("unreadable", 0.3)])
        fault = self.folder / name
        fault.touch()
        self.happened[f"disk {name}"] += 1
        self.for_up_to(most, lambda: fault.unlink(missing_ok=True))

    def break_tls(self) -> None:
        """End a connection in the middle of TLS, when the service has accepted a message."""
        self.happened["TLS broken"] += 1
        self.tls.break_next()

    def stop_redis(self) -> None:
        """Let Redis answer nothing for up to 10 s."""
        self.happened["Redis stopped"] += 1
        self.redis.stop()
        self.for_up_to(10, self.redis.go_on)

    def empty_redis(self) -> None:
        """Kill Redis, and start an empty one up to 5 s later."""
        self.happened["Redis killed"] += 1
        self.redis.end()
        self.for_up_to(5, self.redis.start)

    def for_up_to(self, most: float, undo: Callable[[], object]) -> None:
        """Undo a fault after a random time."""
        self.later.append((time.monotonic() + self.random.uniform(0.1, most), undo))

    def look(self) -> None:
        """Collect what has arrived, and undo what was to last until now."""
        for message in self.inbox.messages:
            self.arrived[message["request"]] = message["title"]
        now = time.monotonic()
        for at, undo in [found for found in self.later if found[0] <= now]:
            undo()
            self.later.remove((at, undo))

    def measure(self) -> dict[str, dict[str, int]]:
        """Return memory (KiB), threads and descriptors of the processes that are spared."""
        found = {}
        for name in list(self.running)[:SPARED]:
            place = Path("/proc", str(self.running[name].pid))
            status = (place / "status").read_text(encoding="ascii")
            values = dict(line.split(":\t", 1) for line in status.splitlines())
            found[name] = {
                "memory": int(values["VmRSS"].split()[0]),
                "threads": int(values["Threads"]),
                "descriptors": len(list((place / "fd").iterdir())),
            }
        return found

    def has_begun(self) -> bool:
        """Return True once the processes that are spared have sent something."""
        return all(f"p{number} 9" in self.arrived.values() for number in range(1, SPARED + 1))

    def run(self, seconds: float) -> None:
        """Let things go wrong for so long."""
        begin = time.monotonic()
        while (spent := time.monotonic() - begin) < seconds:
            if not self.figures and spent > seconds / 5 and self.has_begun():
                self.figures = self.measure()
            self.look()
            self.happen()
            time.sleep(self.random.uniform(0.5, 3))

    def finish(self) -> list[str]:
        """End all faults, let all arrive, and return what is wrong."""
        self.inbox.clear_faults()
        for _, undo in self.later:
            undo()
        after = self.measure()
        (self.folder / "stop").touch()
        for process in self.running.values():
            process.wait(2 * QUIET)
        self.look()
        return [*self.wrong_records(), *self.wrong_counters(), *grown(self.figures, after)]

    def wrong_records(self) -> list[str]:
        """Return which records were lost, or came too often."""
        titles = Counter(self.arrived.values())
        emitted = [
            line.split("\t")
            for file in self.folder.glob("*.emitted")
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
        missing = [(title, kept) for title, kept in emitted if not titles[title]]
        lost = [
            title
            for title, kept in missing
            if title not in self.emptied and (kept == "file" or title.split()[0] not in self.killed)
        ]
        twice = sum(titles[title] - 1 for title, _ in emitted if titles[title])
        reasons = ("SIGKILL", "SIGSTOP", "lost answer", "lock deleted", "TLS broken")
        most = sum(self.happened[reason] for reason in reasons)
        print(f"{len(emitted)} records, {len(lost)} lost, {twice} twice (at most {most} may be)")
        print(f"{len(missing) - len(lost)} were only in the memory of a process that was ended")
        print("; ".join(f"{name}: {number}" for name, number in sorted(self.happened.items())))
        wrong = [f"lost: {', '.join(lost)}"] if lost else []
        wrong += ["too many came twice"] if twice > most else []
        wrong += ["SIGTERM did not end one"] if self.happened["did not end by SIGTERM"] else []
        victim = self.folder / "victim"
        if victim.exists() and victim.read_text(encoding="utf-8") != "victim":
            wrong.append("the file to which a lock was linked was changed")
        return wrong

    def wrong_counters(self) -> list[str]:
        """Return which processes have counters that do not add up."""
        wrong, longest, adopted = [], 0.0, 0
        for name in self.running:
            try:
                stats = json.loads((self.folder / f"{name}.stats").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                wrong.append(f"{name} failed: {(self.folder / f'{name}.err').read_text()[-2000:]}")
                continue
            longest = max(longest, stats["longest"])
            outcomes = ("sent", "suppressed", "rejected", "dropped", "failed", "pending")
            adds_up = stats["records"] == sum(stats[outcome] for outcome in outcomes)
            # Without its lock a process counts as gone: another sends its records, and counts none.
            adopted += stats["dropped_by"].pop("file lost", 0)
            bad = stats["pending"] or stats["dropped_by"] or stats["failed"] or stats["rejected"]
            if bad or not (adds_up and stats["is_done"]):
                wrong.append(f"{name}: {stats}")
        if adopted and not (self.happened["lock deleted"] or self.happened["file emptied"]):
            wrong.append(f"{adopted} records count as lost with the file")
        print(f"the longest call: {longest * 1000:.0f} ms; {adopted} counted as lost with the file")
        return wrong


def grown(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> list[str]:
    """Return which figures of a process have grown."""
    print(f"after a fifth: {before}; at the end: {after}")
    more = {"memory": MORE_MEMORY, "threads": 2, "descriptors": 4}
    return [
        f"{name}: {what} from {value} to {after[name][what]}"
        for name, values in before.items()
        for what, value in values.items()
        if after[name][what] > value + more[what]
    ]


def main(arguments: list[str]) -> int:
    """Run; return 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=chance.randrange(10**6))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory() as name, Inbox() as inbox:
        folder = Path(name)
        inbox.set_quota(limit=10**7, remaining=10**7)
        with small_disk(folder / "disk"):
            soak = Soak(folder, inbox, options.seed)
            try:
                soak.run(60 * options.minutes)
                wrong = soak.finish()
            finally:
                for process in soak.running.values():
                    process.kill()
                soak.redis.end()
    print("\n".join(wrong) or "nothing is wrong")
    return bool(wrong)


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2])
