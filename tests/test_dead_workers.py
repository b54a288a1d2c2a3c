"""What a dead worker left in the outbox is sent by those that live, though none of them logs."""

import os
import signal
import sys
import time
from collections import Counter

import pytest
import requests

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork and no outbox"),
]


def titles(inbox):
    return Counter(push["title"] for push in inbox.messages)


# A child's first try fails, and it is gone before the next.
PROGRAM = """
import logging, os, signal, sys, time
from pushover_logging import PushoverHandler
handler = PushoverHandler(throttle=False, outbox="outbox.sqlite")
log = logging.getLogger()
log.addHandler(handler)
{before}
def die():
    log.error("of the dead")
    while handler.stats().last_error is None:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
child = os.fork()
if child == 0:
    die()
os.waitpid(child, 0)
print("dead", flush=True)
{after}
"""


def start(program, before="", after=""):
    running = program.start(PROGRAM.format(before=before, after=after))
    assert "dead\n" == running.stdout.readline()
    return running, time.monotonic()


def finish(running):
    out, err = running.communicate(timeout=30)
    assert (0, "") == (running.returncode, err)
    return out


def test_parent_that_only_ends(program, inbox):
    """It never logged, and started no thread: the exit looks once."""
    inbox.fail_with(503)
    running, began = start(program)
    finish(running)
    assert {"of the dead": 1} == titles(inbox)
    assert time.monotonic() - began < 5


def test_parent_that_flushes(program, inbox):
    """`flush` is True only once nothing is left that this process could send."""
    inbox.fail_with(503)
    running, _ = start(program, after="assert handler.flush(10); print('sent', flush=True); "
                                      "time.sleep(60)")  # fmt: skip
    assert "sent\n" == running.stdout.readline()
    running.kill()
    running.communicate()
    assert {"of the dead": 1} == titles(inbox)


def test_next_child_that_only_waits(program, inbox):
    """A server forks a new worker in the place of a dead one: that one looks when it is forked."""
    inbox.fail_with(503)
    after = """
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
os._exit(0)
"""
    running, began = start(program, after=after)
    child = int(running.stdout.readline())
    try:
        inbox.wait_for(1)
        assert time.monotonic() - began < 5
    finally:
        os.kill(child, signal.SIGKILL)
        running.communicate()
    assert {"of the dead": 1} == titles(inbox)


@pytest.mark.parametrize("rest", [0.0, 4.0], ids=["at once", "after a rest"])
def test_living_process_that_has_a_thread(program, inbox, rest):
    """It looks at least every 2 s, and logs nothing more itself."""
    before = f"log.error('of the parent'); assert handler.flush(10); time.sleep({rest})"
    inbox.fail_with(503, match=lambda fields: fields["title"] == "of the dead")
    running, began = start(program, before=before, after="time.sleep(60)")
    try:
        inbox.wait_for(2)
        assert time.monotonic() - began < 5
    finally:
        running.kill()
        running.communicate()
    assert {"of the dead": 1, "of the parent": 1} == titles(inbox)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_parent_of_a_pool_drains_at_its_exit(program, inbox, method):
    """Whichever way a worker came by its handler; this process has one of its own."""
    inbox.fail_with(503)
    code, _, err = program.run(
        f"""
        import logging, multiprocessing, os, signal, time
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from pushover_logging import PushoverHandler

        def configure():
            global handler
            handler = PushoverHandler(throttle=False, outbox="outbox.sqlite")
            logging.getLogger().handlers[:] = [handler]

        def work():
            logging.error("of the worker")
            while handler.stats().last_error is None:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

        if __name__ == "__main__":
            configure()
            context = multiprocessing.get_context("{method}")
            with ProcessPoolExecutor(1, mp_context=context, initializer=configure) as pool:
                try:
                    pool.submit(work).result()
                except BrokenProcessPool:
                    pass
        """
    )
    assert (0, "") == (code, err)
    assert {"of the worker": 1} == titles(inbox)


APP = """
import logging, os, signal, time
from pushover_logging import PushoverHandler

handler = PushoverHandler(throttle=False)
logging.getLogger("shop").addHandler(handler)

def app(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        logging.getLogger("shop").error("of the dead")
        while handler.stats().last_error is None:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_worker_of_gunicorn(program, inbox, preload, tmp_path, free_port):
    """The worker that takes its place sends what it left; no request comes any more."""
    pytest.importorskip("gunicorn", reason="gunicorn comes with the extra test")
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    inbox.fail_with(503)
    bind = f"--bind=127.0.0.1:{free_port}"
    command = [sys.executable, "-m", "gunicorn", *preload, "--workers=1", bind, "shop:app"]
    outbox = {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite")}
    with program.serve(command, free_port, cwd=tmp_path, **outbox):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{free_port}/die", timeout=20)
        began = time.monotonic()
        inbox.wait_for(1)
        assert time.monotonic() - began < 8
    assert {"of the dead": 1} == titles(inbox)
