"""A program that closes all descriptors, as daemons do: what took their numbers is left alone."""

import sys

import pytest
from conftest import TOKEN, USER

from pushover_logging import Message, PushoverClient
from pushover_logging.api import transport

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

OUTBOXES = pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])

CLOSING = """
    import gc, logging, os, socket, time
    from pushover_logging import PushoverHandler
    handler = PushoverHandler(throttle=False)
    logging.getLogger().addHandler(handler)
    logging.error("boom before")
    assert handler.flush(20)
    {wait}
    closed = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]
    {close}
    taken = {take}
    def identity(number):
        found = os.fstat(number)
        return found.st_dev, found.st_ino
    before = {{number: identity(number) for number in taken}}
    assert set(taken) >= set(closed[:2]), (taken, closed)
    logging.error("boom after")
    assert handler.flush(20), handler.stats()
    logging.getLogger().removeHandler(handler)
    handler.close()
    stats = handler.stats()
    del handler
    gc.collect()
    time.sleep(0.2)
    for number, was in before.items():
        assert identity(number) == was, "another's descriptor was closed"
    {look}
    assert stats.sent == stats.records == 2, stats
    """
TAKERS = {
    "files": (
        "[os.open(f'file{n}', os.O_RDWR | os.O_CREAT) for n in range(40)]",
        "assert not any(os.path.getsize(f'file{n}') for n in range(40)), 'written into'",
    ),
    "sockets": (
        "sum([[each.detach() for each in socket.socketpair()] for _ in range(20)], [])",
        """
    for number in taken:
        with socket.socket(fileno=number) as mine:
            mine.setblocking(False)
            try:
                assert not mine.recv(9), "written into"
            except BlockingIOError:
                pass
            mine.detach()
        """.strip(),
    ),
}
CLOSERS = {
    "closerange": "os.closerange(3, 256)",
    "one by one": "[os.close(number) for number in closed if os.path.exists(f'/dev/fd/{number}')]",
}


@OUTBOXES
@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("closer", CLOSERS)
def test_what_took_the_numbers_is_neither_closed_nor_written_into(
    program, inbox, outbox, taker, closer
):
    """Files or sockets of the program; what is logged after it arrives, once."""
    take, look = TAKERS[taker]
    source = CLOSING.format(wait="", close=CLOSERS[closer], take=take, look=look)
    code, _, err = program.run(source, PUSHOVER_OUTBOX=outbox)
    assert (0, "") == (code, err)
    assert ["boom before", "boom after"] == [push["title"] for push in inbox.messages]


@OUTBOXES
def test_daemon_that_was_configured_before_it_detached(program, inbox, outbox, tmp_path):
    """python-daemon forks twice and closes every descriptor: its errors arrive, and are said."""
    pytest.importorskip("daemon", reason="python-daemon comes with the extra test")
    code, _, err = program.run(
        """
        import logging, os
        import daemon
        from pushover_logging import PushoverHandler
        handler = PushoverHandler()
        logging.getLogger().addHandler(handler)
        logging.error("boom before")
        assert handler.flush(20)
        with daemon.DaemonContext(working_directory=os.getcwd(), stderr=open("said.txt", "w")):
            logging.error("boom inside")
            numbers = [os.open(f"file{n}", os.O_RDWR | os.O_CREAT) for n in range(20)]
            logging.critical("worse inside")
            assert handler.flush(20)
            for number in numbers:
                os.write(number, b"mine")
            done = open("done.txt", "w")
        """,
        PUSHOVER_OUTBOX=outbox,
    )
    assert (0, "") == (code, err)
    inbox.wait_for(3, timeout=20)
    assert {"boom before", "boom inside", "worse inside"} == {
        push["title"] for push in inbox.messages
    }
    assert "" == (tmp_path / "said.txt").read_text()


def test_copy_of_the_folder_frees_no_lock(program, inbox, tmp_path):
    """A backup within the process reads the outbox's files: no other process leads meanwhile."""
    inbox.fail_with(delay=3, times=1)
    leader = program.start(
        """
        import logging, shutil, time
        from pushover_logging import PushoverHandler
        handler = PushoverHandler(outbox="kept/outbox.sqlite", throttle=False, close_timeout=30)
        logging.getLogger().addHandler(handler)
        logging.error("of the leader")
        time.sleep(0.5)
        shutil.copytree("kept", "backup")
        print("copied", flush=True)
        """
    )
    assert "copied\n" == leader.stdout.readline()
    code, _, err = program.run(
        """
        import logging, time
        from pushover_logging import PushoverHandler
        handler = PushoverHandler(outbox="kept/outbox.sqlite", throttle=False, close_timeout=30)
        logging.getLogger().addHandler(handler)
        logging.error("of another")
        """
    )
    _, said = leader.communicate(timeout=60)
    assert (0, "", 0, "") == (code, err, leader.returncode, said)
    assert ["of the leader", "of another"] == [push["title"] for push in inbox.messages]
    assert 1 == inbox.most_open


def test_closed_connection_is_no_concern_of_a_forks_child(inbox):
    """It closes what the parent has open, and nothing of what is closed already."""
    client, others = PushoverClient(TOKEN, USER, api_url=inbox.url), set(transport._CONNECTIONS)
    client.send(Message(message="first"))
    (connection,) = set(transport._CONNECTIONS) - others
    connection.close()
    transport.after_fork_in_child()
    assert set() == set(transport._CONNECTIONS)
    client.send(Message(message="second"))
    client.close()
    assert ["first", "second"] == [push["message"] for push in inbox.messages]


ROUNDS = """
import gc, logging, os, time
from pushover_logging import PushoverHandler
def work(number):
    handler = PushoverHandler(throttle=False, outbox=f"outbox{number % 10}.sqlite")
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("boom happened")
    assert handler.flush(20)
    log.removeHandler(handler)
    handler.close()
def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
before = descriptors()
for number in range(1000):
    work(number)
end = time.monotonic() + 20
while descriptors() > before and time.monotonic() < end:
    time.sleep(0.1)  # a writer without work ends, and closes its file
print(descriptors() - before)
"""


def test_thousand_handlers_that_are_gone_leave_no_descriptor(program, inbox):
    """Each was used, with an outbox, closed and collected."""
    assert (0, "0\n", "") == program.run(ROUNDS, timeout=120)
    assert 1000 == len(inbox.messages)
