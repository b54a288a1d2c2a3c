"""Exceptions that nobody caught, where no excepthook of Python's is asked: each arrives once."""

import os
import sys

import pytest
from test_examples import needs

pytestmark = pytest.mark.process

HEAD = "import pushover_logging\npushover_logging.install()\n"


def told(inbox):
    return [(push["title"], push["priority"]) for push in inbox.messages]


def test_cell_of_a_kernel(program, inbox, monkeypatch):
    """A real Jupyter kernel: what fails is shown as before, and reported once a problem."""
    needs("jupyter_client", "ipykernel")
    from jupyter_client.manager import start_new_kernel

    environ = {**program.environ, "PYTHONWARNINGS": "", "IPYTHONDIR": str(program.directory)}
    manager, client = start_new_kernel(env=environ, cwd=str(program.directory))
    shown = []

    def output(message):
        if message["msg_type"] == "error":
            shown.append(message["content"]["ename"])

    try:
        run = [HEAD, HEAD, "def rate():\n    return {}['rate']\nrate()", "rate(", "1 + 1",
               "raise KeyboardInterrupt", "import logging\nlogging.info('x')\nhandler = 1",
               "pushover_logging.install().flush()"]  # fmt: skip
        for cell in run:
            client.execute_interactive(cell, timeout=60, output_hook=output)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert ["KeyError", "SyntaxError", "KeyboardInterrupt"] == [
        name.replace("_IncompleteInputError", "SyntaxError") for name in shown
    ]
    pushes = {title.partition(":")[0]: priority for title, priority in told(inbox)}
    assert 2 == len(inbox.messages), told(inbox)
    assert "1" == pushes["KeyError"]
    (push,) = [push for push in inbox.messages if push["title"] == "KeyError: 'rate'"]
    assert "Uncaught exception in cell 3" == push["message"].split("\n")[0]


def test_cell_of_ipython(program, inbox):
    """A real IPython, whose own words stay as they were."""
    needs("IPython")
    environ = {"IPYTHONDIR": str(program.directory), "PYTHONWARNINGS": ""}
    outs = []
    for first in ("", HEAD):
        path = program.path(first + "x = 1\n")
        command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor",
                   "--simple-prompt", "-c", f"%run -i {path}\n1 / 0"]  # fmt: skip
        with program.start_command(command, **environ) as process:
            outs.append("".join(process.communicate(timeout=60)))
    before, after = outs
    assert 1 == before.count("division by zero") == after.count("division by zero")
    assert [("ZeroDivisionError: division by zero", "1")] == told(inbox)


def test_exception_that_cannot_be_raised(program, inbox):
    """Of a `__del__`: ERROR, because the program goes on; shown as before, and counted."""
    code, _, err = program.run(
        HEAD + "class Cursor:\n"
        "    def __del__(self):\n"
        "        raise ValueError('closed twice')\n"
        "for _ in range(3):\n"
        "    Cursor()\n"
    )
    assert (0, 3) == (code, err.count("\nValueError: closed twice"))
    title = "ValueError: closed twice"
    assert [(title, "0"), (f"x2 more: {title}", "-2")] == sorted(told(inbox))
    (push,) = [push for push in inbox.messages if push["priority"] == "0"]
    assert "Uncaught exception in Cursor.__del__" == push["message"].split("\n")[0]


METHODS = ["fork", "spawn", "forkserver"] if hasattr(os, "fork") else ["spawn"]
PROCESS = """
import multiprocessing, sys
import pushover_logging

def work(how):
    if multiprocessing.get_start_method() != "fork":
        pushover_logging.install()
    if how == "fail":
        raise ValueError("no rate")
    sys.exit(3)

if __name__ == "__main__":
    multiprocessing.set_start_method("{}")
    pushover_logging.install()
    for how in ("fail", "exit"):
        process = multiprocessing.Process(target=work, args=(how,), name=how)
        process.start()
        process.join()
        print(process.exitcode)
"""


@pytest.mark.parametrize("method", METHODS)
def test_exception_that_leaves_a_process(program, inbox, method):
    """It is reported there, once, whatever starts the process; shown as before."""
    code, out, err = program.run(PROCESS.format(method))
    assert (0, "1\n3\n") == (code, out), err
    assert 1 == err.count("\nValueError: no rate")
    assert [("ValueError: no rate", "1")] == told(inbox)
    assert "Uncaught exception in process fail" == inbox.messages[0]["message"].split("\n")[0]


FUTURES = """
import asyncio, sys
import pushover_logging
from concurrent.futures import {pool} as Pool

def work(how):
    if how:
        raise ValueError(how)

async def main(pool):
    await asyncio.gather(
        asyncio.get_running_loop().run_in_executor(pool, work, "asked by asyncio"),
        return_exceptions=True,
    )

if __name__ == "__main__":
    pushover_logging.install(futures={futures})
    pushover_logging.install(futures={futures})
    with Pool(1) as pool:
        pool.submit(work, "not asked")
        asked = pool.submit(work, "asked")
        try:
            asked.result()
        except ValueError:
            pass
        del asked
        read = pool.submit(work, "read")
        assert read.exception(10)
        asyncio.run(main(pool))
        pool.submit(work, "")
        waits = pool.submit(__import__("time").sleep, 0.3)
        try:
            waits.result(0.01)
        except TimeoutError:
            pass
"""


@pytest.mark.parametrize("pool", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
@pytest.mark.parametrize("futures", [True, False])
def test_future_that_nobody_asks(program, inbox, pool, futures):
    """With ``futures=True`` alone, and of those alone whose exception nobody has seen."""
    code, _, err = program.run(FUTURES.format(pool=pool, futures=futures))
    assert (0, "") == (code, err)
    assert ([("ValueError: not asked", "1")] if futures else []) == told(inbox)


def test_what_the_collector_finds_has_no_trail(program, inbox):
    """It runs in the middle of anything."""
    code, _, _ = program.run(
        "import logging, pushover_logging\n"
        "pushover_logging.install(trail_level='INFO')\n"
        "logging.info('of another request')\n"
        "class Cursor:\n"
        "    def __del__(self):\n"
        "        raise ValueError('closed twice')\n"
        "Cursor()\n"
        "logging.error('Card declined')\n"
    )
    assert 0 == code
    has_trail = {push["title"]: "of another request" in push["message"] for push in inbox.messages}
    assert {"ValueError: closed twice": False, "Card declined": True} == has_trail
