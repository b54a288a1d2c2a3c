"""What the library costs a program that logs nothing: import, set-up, exit."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

from benchmarks import handlers
from benchmarks.progress import say
from benchmarks.report import Check, Result, Table, cost, times
from benchmarks.service import NOWHERE, TOKEN, USER, service
from benchmarks.timing import Effort, Series, interleaved, loop

IMPORT_TARGET = 0.65
ATTACH_TARGET = 1.0  # ms
EXIT_TARGET = 5.0  # ms

WHY = (
    "The time goes into many small modules: their patterns, and the dataclasses of the larger "
    "values, for which Python writes and compiles methods."
)
BASE = "import requests, pythonjsonlogger.json"
OURS = "import pushover_logging"
ATTACHED = f"""
import logging, pushover_logging
handler = pushover_logging.PushoverHandler(token={TOKEN!r}, user={USER!r}, api_url={{url!r}})
logging.getLogger().addHandler(handler)
"""
SENT = 'logging.error("Cannot reach the database")\nhandler.flush()\n'
# Registered before all others, and so called after them: after logging's and this library's own.
FIRST = """
import atexit, time
began = []
atexit.register(lambda: print(time.perf_counter() - began[0], began[1]))
"""
LAST = "import threading\nbegan += [time.perf_counter(), threading.active_count()]\n"


def ended(program: str) -> tuple[float, int]:
    """Return the seconds that a program's exit hooks take, and its threads when they begin."""
    command = [sys.executable, "-c", FIRST + program + LAST]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, threads = done.stdout.split()
    return float(seconds), int(threads)


def imported(program: str) -> None:
    """Run a program to its end; compiled modules are kept, as those of installed packages are."""
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", program], check=True, env=environ)


def import_times() -> str:
    """Return the microseconds of each module that ours adds, by Python's own account."""
    command = [sys.executable, "-X", "importtime", "-c", f"{BASE}\nprint()\n{OURS}"]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    lines = [line.partition(":")[2].split("|") for line in done.stderr.splitlines()[1:]]
    own = [(int(us), name.strip()) for us, _, name in lines if is_own(name.strip())]
    top = sorted(own, reverse=True)[:12]
    return "\n".join(
        [
            f"{sum(us for us, _ in own):6} us in all {len(own)} modules of its own",
            *[f"{us:6} us {name}" for us, name in top],
        ]
    )


def own_modules() -> int:
    """Return how many of its own modules the package's import compiles and runs."""
    program = f"import sys\n{OURS}\nprint(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return sum(map(is_own, done.stdout.split()))


def is_own(module: str) -> bool:
    """Return whether a module is the package or in it."""
    return module.partition(".")[0] == "pushover_logging"


def run(effort: Effort) -> Result:
    """Measure imports in new processes, set-up in this one, and exits in new ones."""
    result = Result("9. A program that logs nothing")
    programs = {"pass": "pass", BASE: BASE, OURS: OURS}
    imports = interleaved({name: loop(lambda it=it: imported(it)) for name, it in programs.items()},
                          effort)  # fmt: skip
    what = "import, of its two dependencies' import"
    result.checks.append(cost(what, imports[OURS], imports[BASE], IMPORT_TARGET))
    result.tables.append(times(imports, what="a process"))
    modules = result.details["modules of its own"] = own_modules()
    result.tables.append(Table([OURS, ""], [["modules of its own", str(modules)]]))
    attach = loop(_attached)
    series = interleaved({"attach": attach}, effort)["attach"]
    milliseconds = Series(tuple(1e3 * one for one in series.values))
    low_high = milliseconds.spread
    result.checks.append(
        Check("a handler made and attached", milliseconds.median, ATTACH_TARGET, "ms",
              spread=low_high)
    )  # fmt: skip
    if not result.is_met:
        result.profile, result.why = import_times(), WHY
    _exits(effort, result)
    gc.collect()
    return result


def _attached() -> None:
    handlers.logger_with(handlers.handler_to(NOWHERE))


def _exits(effort: Effort, result: Result) -> None:
    with service() as inbox:
        attached = ATTACHED.format(url=inbox.url)
        programs = {
            "imports logging": "import logging\n",
            "attaches the handler": attached,
            "attaches, and has sent one": attached + SENT,
        }
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        started = 0
        for number in range(effort.of(20, 3)):
            say(f"exit {number + 1}")
            for name, program in programs.items():
                took, threads = ended(program)
                seconds[name].append(took)
                started += (threads - 1) * (name == "attaches the handler")
    timed = {name: Series(tuple(each)) for name, each in seconds.items()}
    base, *rest = timed.values()
    added = max(1e3 * (one.median - base.median) for one in rest)
    result.checks.append(Check("exit with an empty queue adds", added, EXIT_TARGET, "ms"))
    result.checks.append(Check("threads of a program that logs nothing", started, 0, "threads"))
    result.tables.append(times(timed, what="exit hooks"))
