"""A process that dies of a signal is reported once, by the next one that starts."""

import faulthandler
import importlib
import os
import re
import signal
import sys

import pytest
from conftest import TOKEN, USER

from pushover_logging import ConfigurationError, install

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no outbox"),
]

START = """
import ctypes, os, signal, sys, time
import pushover_logging
handler = pushover_logging.install(outbox="outbox.sqlite", crashes=True)

def crash(order):
    {}

"""
SEGMENTATION_FAULT = "ctypes.string_at(0)"
# A core file has no use here.
NO_CORE = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"


def files(program):
    return [path for path in program.directory.iterdir() if ".crash-" in path.name]


def run(program, then, how=SEGMENTATION_FAULT):
    code, _, err = program.run(NO_CORE + START.format(how) + then)
    return code, err


@pytest.mark.parametrize(("how", "number", "name"), [
    (SEGMENTATION_FAULT, signal.SIGSEGV, "Segmentation fault"),
    ("os.abort()", signal.SIGABRT, "Aborted"),
])  # fmt: skip
def test_crash_is_reported_once_by_the_next_process(program, inbox, how, number, name):
    """CRITICAL, with the frames, the time and the number of the dead; no file is left behind."""
    assert -number == run(program, "crash(17)", how)[0]
    (left,) = files(program)
    assert [] == inbox.messages
    assert (0, "") == run(program, "")
    assert (0, "") == run(program, "")
    (push,) = inbox.messages
    assert (f"Fatal Python error: {name}", "1") == (push["title"], push["priority"])
    process, place, *frames, level = push["message"].split("\n")
    pid = left.name.rpartition(".crash-")[2].partition("-")[0]
    assert re.fullmatch(rf"Process {pid} died at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", process)
    assert re.fullmatch(r"crash, .*program1\.py:8", place)
    assert any("<module>" in frame for frame in frames)
    assert "CRITICAL · root · web-1" == level
    assert [] == files(program)


def test_file_of_a_living_process_is_left_alone(program, inbox):
    """Also while another one starts and ends beside it; its own crash is reported later."""
    started = (
        NO_CORE + START.format(SEGMENTATION_FAULT) + "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    with program.start(started) as living:
        assert "ready\n" == living.stdout.readline()
        (own,) = files(program)
        assert 0 == run(program, "")[0]
        assert [own] == files(program)
        living.send_signal(signal.SIGABRT)
        living.wait(30)
    assert 0 == run(program, "")[0]
    assert ["Fatal Python error: Aborted"] == [push["title"] for push in inbox.messages]
    assert [] == files(program)


@pytest.mark.parametrize("start", [
    "child = os.fork()\nif child == 0:\n    crash(17)\nos.waitpid(child, 0)",
    "import multiprocessing\n"
    "for target in (crash, abs):\n"
    "    child = multiprocessing.get_context('fork').Process(target=target, args=(17,))\n"
    "    child.start()\n    child.join()",
])  # fmt: skip
def test_crash_of_a_child(program, inbox, start):
    """It has a file of its own, which is gone if it ends well; the parent's is not touched."""
    assert 0 == run(program, start)[0]
    assert 1 == len(files(program))
    assert 0 == run(program, "")[0]
    assert ["Fatal Python error: Segmentation fault"] == [push["title"] for push in inbox.messages]
    assert [] == files(program)


def test_child_without_a_file_goes_on(program):
    """If none can be made, its crash is written nowhere."""
    then = """
import shutil
from pathlib import Path
from pushover_logging import crashes
def refused(outbox):
    raise PermissionError
crashes._create = refused
child = os.fork()
if child == 0:
    os._exit(3)
assert 3 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
    assert (0, "") == run(program, then)
    assert [] == files(program)


def test_installed_again(program):
    """As in a notebook: the file before is gone, and a crash is reported once."""
    then = 'pushover_logging.install(outbox="outbox.sqlite", crashes=True)\n'
    then += "import pathlib\nassert 1 == len(list(pathlib.Path().glob('*.crash-*')))"
    assert (0, "") == run(program, then)
    assert [] == files(program)


def test_killed_process_is_no_crash(program, inbox):
    """Its file is empty, and removed by the next one."""
    assert -signal.SIGKILL == run(program, "os.kill(os.getpid(), signal.SIGKILL)")[0]
    assert 1 == len(files(program))
    assert (0, "") == run(program, "")
    assert ([], []) == (inbox.messages, files(program))


def test_another_process_is_faster(tmp_path, monkeypatch):
    """Between any two calls: a crash is reported once, and a new file that is taken is replaced."""
    crashes = importlib.import_module("pushover_logging.crashes")
    flock, path, reported = crashes.fcntl.flock, tmp_path / "outbox.sqlite.crash-1-ab", []

    def late(descriptor, how):
        monkeypatch.setattr(crashes.fcntl, "flock", flock)
        for found in tmp_path.iterdir():
            found.unlink()
        flock(descriptor, how)

    crashes._report(path, reported.append)
    path.write_text("Fatal Python error: Aborted\n")
    monkeypatch.setattr(crashes.fcntl, "flock", late)
    crashes._report(path, reported.append)
    assert [] == reported
    monkeypatch.setattr(crashes.fcntl, "flock", late)
    made, descriptor = crashes._create(tmp_path / "outbox.sqlite")
    os.close(descriptor)
    assert [made] == list(tmp_path.iterdir())


def test_needs_an_outbox(root):
    """The report has to outlive the process; nothing is installed without it."""
    before = list(root.handlers)
    with pytest.raises(ConfigurationError, match="crashes: got True, takes an outbox"):
        install(token=TOKEN, user=USER, crashes=True)
    with pytest.raises(ConfigurationError, match="crashes"):
        install(token=TOKEN, user=USER, crashes="yes")
    assert before == root.handlers


def test_off_with_the_handler(root):
    """Where nothing is sent, nothing is written."""
    enabled = faulthandler.is_enabled()
    root.removeHandler(install(token="off", crashes=True))
    assert enabled == faulthandler.is_enabled()
