"""One call, one answer: what the client sends, reads and raises."""

import socket
import threading

import pytest

from pushover_logging import Message, PushoverClient, QuotaError, RejectedError, TemporaryError

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"


def test_send_returns_the_services_word(inbox):
    """The request's id, an emergency's receipt, and the quota of the answer's headers."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    assert None is client.send(Message(message="x")).receipt
    sent = client.send(Message(message="x", priority=2))
    assert inbox.messages[1]["request"] == sent.request
    assert 30 == len(sent.receipt)
    assert 9998 == client.quota.remaining
    client.close()
    client.close()


def test_one_connection_serves_all(inbox):
    """Message after message goes over the same kept-alive connection."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    for _ in range(3):
        client.send(Message(message="x"))
    assert 1 == len({attempt.connection for attempt in inbox.attempts})
    client.close()


def test_picture_goes_along(inbox):
    """As bytes in a multipart body, or as Base64 text."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    client.send(Message(message="x", attachment=b"12345", attachment_type="image/png"))
    client.send(Message(message="x", attachment_base64="MTIz", attachment_type="image/gif"))
    client.close()
    pictures = [push["attachment"] for push in inbox.messages]
    assert [("image/png", 5), ("image/gif", 3)] == [(one["type"], one["size"]) for one in pictures]


def test_failures_are_ours(inbox):
    """Each answer has its exception, with what a caller needs as attributes."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    inbox.refused.add(TOKEN)
    with pytest.raises(RejectedError) as rejected:
        client.send(Message(message="x"))
    assert (400, {"token"}) == (rejected.value.status, rejected.value.parameters)
    inbox.refused.clear()
    inbox.fail_with(500, "")
    with pytest.raises(TemporaryError):
        client.send(Message(message="x"))
    inbox.fail_with(429, "{}", {"X-Limit-App-Reset": "soon", "Retry-After": "7"})
    with pytest.raises(QuotaError) as quota:
        client.send(Message(message="x"))
    assert 7 == quota.value.wait
    client.close()


def test_endless_answer_is_cut(inbox):
    """No more than 64 KiB of an answer is read."""
    client = PushoverClient(TOKEN, USER, api_url=inbox.url)
    inbox.fail_with(200, "x" * 1_000_000)
    with pytest.raises(TemporaryError, match="not its JSON"):
        client.send(Message(message="x"))
    client.close()


def test_dripping_answer_ends_at_its_deadline():
    """An answer of a byte at a time does not hold the sender longer than the read timeout."""
    done = threading.Event()

    def drip(server):
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not done.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        client = PushoverClient(
            TOKEN, USER, api_url=f"http://127.0.0.1:{server.getsockname()[1]}", timeout=(1, 0.3)
        )
        with pytest.raises(TemporaryError) as caught:
            client.send(Message(message="x"))
        assert caught.value.timed_out
        done.set()
        thread.join(10)
        client.close()
