"""SIGTERM, as from `docker stop`, systemd or a pool: what was logged arrives, counts included."""

import os
import re
import signal
import sys
import time
from collections import Counter

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGTERM to catch"),
]

OUTBOXES = pytest.mark.parametrize("kept", ["", "outbox.sqlite"], ids=["memory", "file"])
METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
MADE = {
    "install": "handler = pushover_logging.install({})",
    "option": (
        "handler = pushover_logging.PushoverHandler(terminate=True, {})\n"
        "logging.getLogger().addHandler(handler)"
    ),
}


RECORDS = ("failed", "boom happened", "of the child")
BUSY = "is busy"  # a slow disk under many tests: memory takes over, and nothing is lost


def titles(inbox):
    return Counter(push["title"] for push in inbox.messages)


def own(err):
    """Return what a program wrote on stderr but for the records, which `install` shows there."""
    return "\n".join(line for line in err.splitlines() if not line.endswith((*RECORDS, BUSY)))


def waiting(made, options="", before="", after=""):
    """Return a program that logs an error six times over, and waits to be ended."""
    return f"""
import atexit, logging, os, signal, sys, threading, time
import pushover_logging
{before}
{made.format(options)}
for _ in range(6):
    logging.getLogger("shop").error("payment failed")
{after}
atexit.register(print, "atexit", flush=True)
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("finally", flush=True)
"""


def end(running, number=signal.SIGTERM):
    """Send it the signal once it waits; return its status, what it wrote, and the time it took."""
    assert "ready\n" == running.stdout.readline()
    began = time.monotonic()
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    return running.returncode, out, err, time.monotonic() - began


@OUTBOXES
@pytest.mark.parametrize("made", MADE)
def test_sigterm_delivers_and_ends_by_the_signal(program, inbox, made, kept):
    """The push, and the count; then the same death, in which no `finally` or atexit runs."""
    inbox.fail_with(delay=0.5, times=1)
    running = program.start(waiting(MADE[made]), PUSHOVER_OUTBOX=kept)
    code, out, err, took = end(running)
    assert (-signal.SIGTERM, "") == (code, out)
    assert ["5 more: payment failed", "payment failed"] == sorted(titles(inbox)), err
    assert took < 5


def test_sigterm_and_a_service_that_hangs(program, inbox):
    """It ends within the deadline all the same, and what is lost is said."""
    inbox.fail_with(hang=True, times=None)
    running = program.start(waiting(MADE["install"], "close_timeout=1"))
    code, out, err, took = end(running)
    assert (-signal.SIGTERM, "") == (code, out)
    assert "was not sent within 1 s" in err
    assert 1 <= took < 2


def test_second_sigterm_during_the_flush(program, inbox):
    """`timeout` and process groups send it twice: the push still arrives."""
    inbox.fail_with(delay=1, times=1)
    running = program.start(waiting(MADE["install"]))
    assert "ready\n" == running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    assert (-signal.SIGTERM, "") == (running.returncode, out), err
    assert 2 == len(inbox.messages)


def test_sigterm_in_the_middle_of_a_call(program, inbox):
    """Whatever the main thread does at that moment, also with a lock in its hand: it arrives."""
    for _ in range(5):
        running = program.start(
            waiting(
                MADE["install"],
                after="""
print("ready", flush=True)
while True:
    logging.getLogger("shop").error("payment failed")
""",
            )
        )
        code, _, err, took = end(running)
        assert -signal.SIGTERM == code, err
        assert took < 4
        assert "was not sent" not in err
        assert "more: payment failed" in inbox.messages[-1]["title"]
        inbox.clear()


def test_sigterm_that_comes_before_a_forks_child_runs(program, inbox):
    """CPython drops what comes then: a pool that is left at once waited for its worker for ever."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("only Linux lets a test keep the child off the processor")
    code, out, err = program.run("""
        import os, signal, time
        from pushover_logging import PushoverHandler

        handler = PushoverHandler(terminate=True)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        for _ in range(50):
            child = os.fork()
            if child == 0:
                time.sleep(5)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            print(os.waitpid(child, 0)[1], flush=True)
        """)
    assert (0, [str(int(signal.SIGTERM))] * 50) == (code, out.split()), err


# It is called as the signal's handler is; the signal itself is blocked.
BLOCKED = """
import logging, signal, sys, threading
from pushover_logging import PushoverHandler
logging.getLogger().addHandler(PushoverHandler(terminate=True))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
def end():
    signal.getsignal(signal.SIGTERM)(signal.SIGTERM, sys._getframe())
class Text:
    def __str__(self):
        end()
        return "boom happened"
def refuse(self):
    raise RuntimeError("can't start new thread")
"""


def test_first_process_of_a_container(program, inbox):
    """The default action does nothing to it, as to one that blocks the signal: it ends as well."""
    code, _, err = program.run(f"{BLOCKED}\nlogging.error('boom happened')\nend()")
    assert (128 + signal.SIGTERM, "") == (code, err)
    assert {"boom happened": 1} == titles(inbox)


def test_signal_in_the_middle_of_a_call_comes_again(program, inbox):
    """After the call, which goes on: the record is sent."""
    after = "import time; time.sleep(0.1); print(signal.SIGTERM in signal.sigpending())"
    code, out, err = program.run(f"{BLOCKED}\nlogging.error('%s', Text())\n{after}")
    assert (0, "True\n", "") == (code, out, err)
    assert {"boom happened": 1} == titles(inbox)


def test_signal_in_the_middle_of_a_call_where_no_thread_starts(program):
    """It ends at once, within the deadline."""
    source = f"{BLOCKED}\nthreading.Thread.start = refuse\nlogging.error('%s', Text())"
    code, _, _ = program.run(source)
    assert 128 + signal.SIGTERM == code
    assert program.seconds < 10


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "kept SIG_IGN"),
        ("signal.signal(signal.SIGTERM, signal.default_int_handler)", "kept default_int_handler"),
        ("", "changed"),
    ],
    ids=["ignored", "own", "default"],
)
@pytest.mark.parametrize("made", MADE)
def test_handler_of_the_program_is_not_replaced(program, made, before, expected):
    """Only the default action is; SIGINT and SIGHUP are never touched."""
    source = f"""
import logging, signal
import pushover_logging
{before}
names = "SIGTERM", "SIGINT", "SIGHUP"
held = {{name: signal.getsignal(getattr(signal, name)) for name in names}}
{MADE[made].format("")}
now = {{name: signal.getsignal(getattr(signal, name)) for name in names}}
term = held.pop("SIGTERM")
changed = now.pop("SIGTERM") is not term
assert held == now
print("changed" if changed else f"kept {{term.name if hasattr(term, 'name') else term.__name__}}")
"""
    code, out, err = program.run(source)
    assert (0, f"{expected}\n", "") == (code, out, err)


def test_plain_handler_leaves_the_signal_alone(program):
    """Without `terminate` nothing of the process is changed."""
    code, out, err = program.run(
        """
        import signal
        from pushover_logging import PushoverHandler
        PushoverHandler()
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        """
    )
    assert (0, "True\n", "") == (code, out, err)


def test_handler_made_in_another_thread(program, inbox):
    """Only the main thread may set a signal's handler: all else works."""
    code, _, err = program.run(
        """
        import logging, signal, threading
        import pushover_logging
        def work():
            pushover_logging.install()
            logging.error("boom happened")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        """
    )
    assert (0, "") == (code, own(err))
    assert {"boom happened": 1} == titles(inbox)


def test_handler_that_the_program_sets_later_is_its_own(program, inbox):
    """A server's own shutdown runs as it always did."""
    after = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"
    code, out, _, _ = end(program.start(waiting(MADE["install"], after=after)))
    assert (3, "finally\natexit\n") == (code, out)
    assert 2 == len(inbox.messages)


def test_uvicorn_with_installed_handler(program, inbox, free_port, tmp_path):
    """It gives the signal on to the handler before it, after its own shutdown."""
    pytest.importorskip("uvicorn", reason="uvicorn comes with the extra test")
    (tmp_path / "shop.py").write_text(
        "import logging, pushover_logging\n"
        "pushover_logging.install()\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b''})\n"
        "logging.error('boom happened')\n"
        "logging.error('boom happened')\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "uvicorn", f"--port={free_port}", "--lifespan=off", "shop:app"]
    with program.serve(command, free_port, cwd=tmp_path) as server:
        pass
    assert -signal.SIGTERM == server.returncode
    assert ["1 more: boom happened", "boom happened"] == sorted(titles(inbox))


def test_forked_child_and_its_parent(program, inbox):
    """Each delivers its own."""
    before = """
def children():
    child = os.fork()
    if child == 0:
        logging.error("of the child")
        time.sleep(60)
    return child
"""
    after = """
child = children()
time.sleep(0.5)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.stderr, flush=True)
"""
    inbox.fail_with(delay=1, times=None)
    code, _, err, _ = end(program.start(waiting(MADE["install"], before=before, after=after)))
    assert (-signal.SIGTERM, "-15") == (code, own(err))
    assert {"payment failed", "5 more: payment failed", "of the child"} == set(titles(inbox))


def test_program_that_it_starts_dies_as_ever(program):
    """A signal's handler does not outlive `exec`."""
    after = 'os.execvp("sh", ["sh", "-c", "echo ready; exec sleep 60"])'
    code, out, _, took = end(program.start(waiting(MADE["install"], after=after)))
    assert (-signal.SIGTERM, "") == (code, out)
    assert took < 20


POOL = """
import logging, multiprocessing, sys, time
import pushover_logging

def configure():
    logging.getLogger().addHandler(pushover_logging.PushoverHandler())

def work(number):
    for _ in range(3):
        logging.error("task %d failed", number)

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    options = dict(initializer={made})
    if {inherited}:
        {made}()
        options = dict()
    with context.Pool(2, **options) as pool:
        pool.map(work, range(4))
"""
MADE_IN_POOLS = pytest.mark.parametrize(
    "made", ["configure", "pushover_logging.install_in_worker"], ids=["plain", "install"]
)


@OUTBOXES
@METHODS
@MADE_IN_POOLS
def test_pool_that_is_left_by_with(program, inbox, method, made, kept):
    """`with Pool()` ends the workers by SIGTERM: what each logged arrives, and its counts."""
    inbox.fail_with(delay=0.3, times=None)
    source = POOL.format(made=made, method=method, inherited=False)
    code, _, err = program.run(source, PUSHOVER_OUTBOX=kept)
    assert 0 == code, err
    assert "" == own(err)
    assert 12 == occurrences(inbox), [push["title"] for push in inbox.messages]


@OUTBOXES
@MADE_IN_POOLS
def test_pool_that_inherits_the_handler(program, inbox, made, kept):
    """By fork, a worker has its parent's handler."""
    inbox.fail_with(delay=0.3, times=None)
    source = POOL.format(made=made, method="fork", inherited=True)
    code, _, err = program.run(source, PUSHOVER_OUTBOX=kept)
    assert 0 == code, err
    assert "" == own(err)
    assert 12 == occurrences(inbox), [push["title"] for push in inbox.messages]


def occurrences(inbox):
    """Return how many records all pushes together report: they are one problem."""
    counts = [re.match(r"(\d+) more", push["title"]) for push in inbox.messages]
    return sum(int(count[1]) if count else 1 for count in counts)


@METHODS
def test_terminated_process(program, inbox, method):
    """`Process.terminate` ends a child in the middle of its work, by the signal."""
    inbox.fail_with(delay=0.5, times=1)
    code, out, err = program.run(
        f"""
        import logging, multiprocessing, time
        from pushover_logging import PushoverHandler
        def work(ready):
            logging.getLogger().addHandler(PushoverHandler())
            logging.error("boom happened")
            ready.set()
            time.sleep(60)
        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            ready = context.Event()
            child = context.Process(target=work, args=(ready,))
            child.start()
            ready.wait()
            child.terminate()
            child.join()
            print(child.exitcode)
        """
    )
    assert (0, "-15\n", "") == (code, out, err)
    assert {"boom happened": 1} == titles(inbox)


MISSED = """
import logging, multiprocessing, os, signal, threading, time
from pushover_logging import PushoverHandler

def work(ready, forks):
    logging.getLogger().addHandler(PushoverHandler())
    logging.error("boom happened")
    if forks and (child := os.fork()):  # which has a thread and a pipe of its own
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGTERM)
    if forks:
        logging.error("of the child")
    def miss():
        time.sleep(0.3)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Thread(target=miss).start()
    time.sleep(60)

if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work, args=(None, {forks}))
    child.start()
    child.join()
    print(child.exitcode)
"""


@pytest.mark.parametrize("forks", [False, True])
def test_signal_that_the_main_thread_misses(program, inbox, forks):
    """Another thread gets it, as if it had come just before a call that blocks: all the same."""
    code, out, err = program.run(MISSED.format(forks=forks))
    assert (0, "0\n" if forks else "-15\n", "") == (code, out, err)
    assert program.seconds < 30
    assert {"boom happened", "of the child"} >= set(titles(inbox))
    assert ("of the child" if forks else "boom happened") in titles(inbox)


@pytest.mark.parametrize("is_first", [True, False])
def test_event_loop_of_a_pool_worker_keeps_its_own_descriptor(program, inbox, is_first):
    """It wakes its thread by that; also in a fork's child, whose parent has the library's own."""
    set_own = "signal.set_wakeup_fd(own.fileno())"
    code, out, err = program.run(
        f"""
        import logging, multiprocessing, os, signal, socket
        from pushover_logging import PushoverHandler
        own, other = socket.socketpair()
        own.setblocking(False)
        def work():
            logging.getLogger().addHandler(PushoverHandler())
            {set_own if is_first else ""}
            logging.error("boom happened")
            {"" if is_first else set_own}
            if (child := os.fork()) == 0:
                os._exit(signal.set_wakeup_fd(-1) != own.fileno())
            print(os.waitpid(child, 0)[1], signal.set_wakeup_fd(-1) == own.fileno(), flush=True)
        if __name__ == "__main__":
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
        """
    )
    assert (0, "0 True\n", "") == (code, out, err)
    assert {"boom happened": 1} == titles(inbox)


def test_docker_stop(program, inbox):
    """As its namespace's first process a default action would do nothing: it ends all the same."""
    path = program.path(waiting(MADE["install"]))
    with program.as_first_process(path, patience=30) as running:
        assert "ready\n" == running.stdout.readline()
    assert ["5 more: payment failed", "payment failed"] == sorted(titles(inbox))
