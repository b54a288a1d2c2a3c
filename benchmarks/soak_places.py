"""What stands around the soak's processes: a small disk that fails, TLS, and a Redis."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """Have a disk of 32 MiB, if this process may mount one."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    try:
        is_mounted = not subprocess.run(mount, check=False, capture_output=True).returncode
    except FileNotFoundError:
        is_mounted = False
    print("the disk fills" if is_mounted else "the disk does not fill: only root may mount one")
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607


def failing_disk(folder: Path) -> dict[str, str]:
    """Return the environment of a disk that fails while there is such a file in ``folder``."""
    library, source = folder / "disk.so", Path(__file__).with_name("soak_disk.c")
    compiler = shutil.which("cc")
    if compiler is None:
        print("the disk is never slow and never fails: there is no C compiler")
        return {}
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SOAK_FAULTS": str(folder)}


class TlsFront:
    """TLS as localhost in front of ``port``, in a thread; ``url`` leads to it.

    `break_next` ends the connection of the next answer, which nobody gets.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self.certificate, key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",  # noqa: S607
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-out", self.certificate, "-keyout", key],
            check=True, capture_output=True,
        )  # fmt: skip
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._port, self._is_to_break = port, False
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{listener.getsockname()[1]}"
        threading.Thread(target=asyncio.run, args=(self._run(listener),), daemon=True).start()

    def break_next(self) -> None:
        """Lose the next answer."""
        self._is_to_break = True

    async def _run(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._serve, sock=listener, ssl=self._context)
        await server.serve_forever()

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far, forth = await asyncio.open_connection("127.0.0.1", self._port)
            answers = asyncio.create_task(self._copy(far, back, are_answers=True))
            await self._copy(near, forth, are_answers=False)
            await answers

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, are_answers: bool
    ) -> None:
        with contextlib.closing(target), contextlib.suppress(OSError):
            while part := await source.read(65_536):
                if are_answers and self._is_to_break:
                    self._is_to_break = False
                    target.transport.abort()
                    return
                target.write(part)
                await target.drain()


class RedisServer:
    """A Redis that keeps nothing on disk, and that can be stopped and replaced by an empty one."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", "",  # noqa: S607
             "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), 1),
            ):
                return
            time.sleep(0.05)
        raise TimeoutError

    def stop(self) -> None:
        """Stop it; it answers again after `go_on`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it, with all that it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
