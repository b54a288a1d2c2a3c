"""The faults that the inbox plays, seen from the client's end of the wire."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import Inbox
from pushover_logging.inbox.connections import ClientConnection, ConnectionLog, most_open
from pushover_logging.inbox.rules import EXAMPLE_TOKEN, EXAMPLE_USER

KEYS = {"token": EXAMPLE_TOKEN, "user": EXAMPLE_USER}
TIMEOUT = 10


def post(inbox, **fields):
    """Send a message over a connection of its own."""
    body = {**KEYS, "message": "disk full", **fields}
    return requests.post(f"{inbox.url}/1/messages.json", data=body, timeout=TIMEOUT)


def raw_post(inbox):
    """Send a message; return the open socket."""
    body = f"token={EXAMPLE_TOKEN}&user={EXAMPLE_USER}&message=m"
    peer = socket.create_connection(("127.0.0.1", inbox.port), TIMEOUT)
    kind = "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded"
    head = f"POST /1/messages.json HTTP/1.1\r\n{kind}\r\nContent-Length: {len(body)}"
    peer.sendall(f"{head}\r\n\r\n{body}".encode())
    return peer


def test_reset_breaks_the_connection_and_accepts_nothing(inbox):
    """The client sees a TCP reset, not an orderly end; nothing is accepted."""
    inbox.fail_with(reset=True)
    with raw_post(inbox) as peer, pytest.raises(ConnectionResetError):
        peer.recv(1)
    assert ([], [0]) == (inbox.messages, [attempt.status for attempt in inbox.attempts])
    assert 200 == post(inbox).status_code


def test_lost_answer_was_accepted(inbox):
    """The message is kept, then the connection ends without a byte of an answer."""
    inbox.fail_with(lost=True)
    with raw_post(inbox) as peer:
        assert b"" == peer.recv(1)
    assert (1, [0]) == (len(inbox.messages), [attempt.status for attempt in inbox.attempts])


@pytest.mark.parametrize("status", [None, 500])
def test_drip_sends_the_body_byte_by_byte(inbox, status):
    """The head comes at once, each byte of the body after the interval; the answer is whole."""
    inbox.fail_with(status, "0123456789" if status else None, drip=0.01)
    before = time.monotonic()
    answer = post(inbox)
    spent = time.monotonic() - before
    assert (status or 200) == answer.status_code
    assert spent >= 0.01 * len(answer.content) > 0


def test_closing_ends_a_drip():
    """An inbox that closes does not wait for a body that drips."""
    with Inbox() as inbox:
        inbox.fail_with(200, "slow", drip=60)
        peer = raw_post(inbox)
        assert peer.recv(10).startswith(b"HTTP/1.1 2")
        before = time.monotonic()
    assert time.monotonic() - before < 5
    peer.close()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"drip": -1}, "drip >= 0"),
        ({"status": 99}, "status: 99 is not from 200 to 599"),
        ({"hang": True, "reset": True}, "only one of hang"),
        ({"lost": True, "status": 200}, "only one of hang"),
        ({"lost": True, "body": "x"}, "only one of hang"),
    ],
)
def test_contradictory_fault_is_refused(inbox, wrong, text):
    """What could never be played is an error at once."""
    with pytest.raises(ConfigurationError, match=text):
        inbox.fail_with(**wrong)


def test_faults_are_injected_over_http(inbox):
    """The control API takes the same faults, with a match by what a field contains."""
    faults = f"{inbox.url}/inbox/faults"
    asked = {"status": 503, "body": {"status": 0}, "times": None, "match": {"title": "db-1"}}
    assert 204 == requests.post(faults, json=asked, timeout=TIMEOUT).status_code
    assert [200, 503, 503] == [
        post(inbox, title=title).status_code for title in ("db-2", "db-1", "on db-1 now")
    ]
    assert 204 == requests.delete(faults, timeout=TIMEOUT).status_code
    assert 200 == post(inbox, title="db-1").status_code
    attempts = requests.get(f"{inbox.url}/inbox/attempts", timeout=TIMEOUT).json()
    assert [200, 503, 503, 200] == [attempt["status"] for attempt in attempts]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "the body is not a JSON object"),
        ({"statut": 500}, "'statut': a fault has status, body"),
        ({"status": "500"}, "status: '500' is not int"),
        ({"delay": True}, "delay: True is not int or float"),
        ({"times": 0}, "times >= 1"),
    ],
)
def test_impossible_fault_over_http_is_refused(inbox, body, text):
    """A 400 names the wrong parameter."""
    answer = requests.post(f"{inbox.url}/inbox/faults", data=json.dumps(body), timeout=TIMEOUT,
                           headers={"Content-Type": "application/json"})  # fmt: skip
    assert 400 == answer.status_code
    assert text in answer.json()["errors"][0]


def test_connections_are_logged(inbox):
    """Each connection with its address, its times and its API requests; the page's have none."""
    url = f"{inbox.url}/1/messages.json"
    with requests.Session() as one, requests.Session() as two:
        for session in (one, one, two):
            session.post(url, data=KEYS, timeout=TIMEOUT)
        requests.get(inbox.url, timeout=TIMEOUT)
        open_now = [each for each in inbox.connections if each.requests]
        listed = requests.get(f"{inbox.url}/inbox/connections", timeout=TIMEOUT).json()
    assert [(2, None), (1, None)] == [(each.requests, each.closed) for each in open_now]
    assert [2, 1] == [each["requests"] for each in listed if each["requests"]]
    assert 2 == inbox.most_open
    first, second = (each for each in inbox.connections if each.requests)
    assert first.opened < second.opened <= first.closed
    inbox.clear()
    assert 0 == inbox.most_open


def test_connections_one_after_the_other_are_one_at_a_time(inbox):
    """A client that closes before it connects again never had two, however fast it is."""
    for _ in range(50):
        with raw_post(inbox) as peer:
            peer.recv(1000)
    assert (1, 50) == (inbox.most_open, len([each for each in inbox.connections if each.requests]))


def test_busy_connections_do_not_delay_others(inbox):
    """Clients that ask without a pause on connections they keep, and 300 that come and go."""
    done = threading.Event()

    def ask():
        with requests.Session() as session:
            while not done.is_set():
                session.get(f"{inbox.url}/1/sounds.json", timeout=TIMEOUT)

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for _ in range(300):
                socket.create_connection(("127.0.0.1", inbox.port), timeout=TIMEOUT).close()
        finally:
            done.set()
        assert [None, None] == [each.result() for each in asking]


def test_most_open_counts_the_overlap():
    """The end of one in the moment of the next one's beginning is no overlap."""
    times = [(1, 3), (2, None), (3, 4), (5, 6)]
    connections = [ClientConnection(("", 0), opened, closed, 1) for opened, closed in times]
    assert 2 == most_open(connections)
    assert 0 == most_open([ClientConnection(("", 0), 1.0)])


def test_fault_with_headers_alone_is_answered_with_200(inbox):
    """Headers without a status are an answer, too."""
    inbox.fail_with(headers={"X-Limit-App-Remaining": "many"})
    answer = post(inbox)
    assert (200, "many", "") == (
        answer.status_code,
        answer.headers["X-Limit-App-Remaining"],
        answer.text,
    )


def test_connection_that_broke_has_ended():
    """A connection that the client reset is closed, although its thread has not read of it yet."""
    log = ConnectionLog()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        peer, address = listener.accept()
        log.opened(peer, address)
        log.requested(peer)
        assert [None] == [one.closed for one in log.connections]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        (noticed,) = log.connections
        log.closed(peer)
        log.closed(peer)
        peer.close()
    assert noticed.closed is not None
    assert [noticed] == log.connections
