"""A secret that real libraries put into their errors reaches no phone, no file and no Redis."""

import http.server
import importlib
import json
import secrets
import subprocess
import threading
from contextlib import closing

import pytest
import requests
from conftest import Driven

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")


def library(name):
    """Return a library that comes with the extra test-libraries."""
    return pytest.importorskip(name, reason=f"{name} comes with the extra test-libraries")


READ = {
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1),
    b"set": lambda client, key: client.smembers(key),
}


class Refusing(http.server.BaseHTTPRequestHandler):
    """Refuses each key as the OpenAI API does: it repeats the key."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        text = f"Incorrect API key provided: {key}. You can find your API key at https://x.example."
        body = json.dumps({"error": {"message": text, "code": "invalid_api_key"}}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture
def refusing():
    """The URL of a service that refuses each key."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def reported(inbox, redis, tmp_path):
    """Log the exception of a function in each way; return the pushes, and all that was stored."""
    path = tmp_path / "own.sqlite"
    url = "https://logs.example/?q={message}"
    driven = Driven(inbox, outbox=path, throttle=redis.url, url=url)

    def report(fail, *exceptions):
        log = driven.log
        try:
            fail()
        except exceptions as error:
            log.exception("It failed")
            log.error("It failed: %s", error)
            log.error("It failed with %r", error, extra={"error_text": str(error)})
            log.error("It failed", extra={"errors": [str(error)]})
            log.error(error)
        file = b"".join(each.read_bytes() for each in tmp_path.glob("own.sqlite*"))
        driven.settle()
        with closing(importlib.import_module("redis").Redis(port=redis.port)) as client:
            items = [READ[client.type(key)](client, key) for key in client.scan_iter()]
        assert inbox.messages
        assert b"It failed" in file
        assert items
        return json.dumps([inbox.messages, str(file), str(items)], default=str)

    yield report
    driven.end()


def assert_hidden(secret, texts, shown):
    assert secret not in texts
    assert shown in texts


def test_requests_with_a_token_in_the_url(reported, free_port):
    """A call of Telegram's API that cannot connect."""
    token = f"{secrets.randbelow(9 * 10**9) + 10**9}:AA{secrets.token_urlsafe(25)[:33]}"
    url = f"http://127.0.0.1:{free_port}/bot{token}/sendMessage"
    found = reported(lambda: requests.get(url, timeout=5), requests.ConnectionError)
    assert_hidden(token[-20:], found, "/bot***/sendMessage")


def test_pydantic_with_a_password(reported):
    """A model refuses a password, and shows it; in one exception's text of several lines too."""
    pydantic = library("pydantic")
    model = pydantic.create_model("Login", name=str, password=(str, pydantic.Field(min_length=30)))
    password = secrets.token_urlsafe(12)
    found = reported(lambda: model(name="ann", password=password), pydantic.ValidationError)
    assert_hidden(password, found, "input_type=str")


def test_sqlalchemy_with_parameters(reported):
    """An IntegrityError has the statement's parameters, of which any may be a secret."""
    sqlalchemy = library("sqlalchemy")
    secret = secrets.token_urlsafe(12)
    engine = sqlalchemy.create_engine("sqlite://")

    def insert_twice():
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE users (name PRIMARY KEY, hash)"))
            insert = sqlalchemy.text("INSERT INTO users VALUES (:name, :hash)")
            for _ in range(2):
                connection.execute(insert, {"name": "ann", "hash": secret})

    found = reported(insert_twice, sqlalchemy.exc.IntegrityError)
    engine.dispose()
    assert_hidden(secret, found, "[parameters: ***]")


@pytest.mark.process
@pytest.mark.parametrize("shell", [False, True])
def test_subprocess_with_a_password(reported, tmp_path, shell):
    """A mysqldump that fails: its command is in the error, as a list or as a text."""
    program = tmp_path / "mysqldump"
    program.write_text("#!/bin/sh\nexit 2\n", encoding="utf-8")
    program.chmod(0o755)
    password = secrets.token_urlsafe(12)
    words = [str(program), "-uroot", f"-p{password}", "shop"]
    command = " ".join(words) if shell else words
    run = subprocess.run
    found = reported(lambda: run(command, check=True, shell=shell), subprocess.CalledProcessError)
    assert_hidden(password, found, "returned non-zero exit status 2")


def test_openai_with_a_wrong_key(reported, refusing):
    """The service repeats the key, and the library puts that into its error."""
    openai = library("openai")
    key = f"sk-proj-{secrets.token_urlsafe(60)}"
    client = openai.OpenAI(api_key=key, base_url=refusing, max_retries=0)
    with closing(client):
        found = reported(lambda: client.embeddings.create(model="x", input="y"),
                         openai.AuthenticationError)  # fmt: skip
    assert_hidden(key[-40:], found, "Incorrect API key provided: ***")
