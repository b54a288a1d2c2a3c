"""Where problems live, on a clock that the test moves: one interface for tests of all three."""

import contextlib
import threading

from conftest import FakeClock

from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.rules import Rules
from pushover_logging.throttle.store import MemoryStore
from pushover_logging.throttle.throttle import Throttle

KINDS = ("memory", "file", "redis")


class RedisClock(FakeClock):
    """A fake clock that Redis follows, once its scripts read `NOW` instead of their own time."""

    NOW = "{redis.call('GET', 'clock:s'), redis.call('GET', 'clock:us')}"

    def __init__(self, client):
        self._client = client
        super().__init__()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in {"now", "wall"} and hasattr(self, "wall"):
            self.write()

    def parts(self):
        return divmod(round(self.time() * 1e6), 10**6)

    def write(self):
        seconds, rest = self.parts()
        self._client.mset({"clock:s": seconds, "clock:us": rest})


class Stores:
    """Makes throttles, each like another process's, over one store of a ``kind``."""

    def __init__(self, kind, folder, server=None, monkeypatch=None):
        self.kind = kind
        self.path = folder / "outbox.sqlite"
        self.server = server
        self._made = contextlib.ExitStack()
        self.clock = FakeClock()
        if server is not None:
            import redis

            from pushover_logging.throttle import redis as scripts

            self.client = self._made.enter_context(redis.Redis.from_url(server.url))
            self.client.flushall()
            self.clock = RedisClock(self.client)
            monkeypatch.setattr(redis.Redis, "time", lambda _: self.clock.parts())
            for name in ("LOAD", "COMMIT", "ADD"):
                text = getattr(scripts, name).replace("redis.call('TIME')", RedisClock.NOW)
                monkeypatch.setattr(scripts, name, text)
        self.clock.wall = float(int(self.clock.wall))  # Redis keeps six digits of a second

    @property
    def is_shared(self):
        return self.kind != "memory"

    def options(self):
        """Return the options of a handler whose problems live there."""
        if self.kind == "redis":
            return {"throttle": {"store": self.server.url}}
        return {"outbox": self.path} if self.kind == "file" else {}

    def throttle(self, account="1", **rules):
        """Return a throttle of a process that has just started."""
        rules = Rules(**rules)
        if self.kind == "memory":
            return Throttle(MemoryStore(self.clock), rules, is_shared=False)
        if self.kind == "file":
            from pushover_logging.outbox.sqlite import FileOutbox
            from pushover_logging.throttle.sqlite import SqliteStore

            lock = threading.RLock()
            outbox = FileOutbox(
                self.path, account, MemoryOutbox(lock), lock, self.clock, has_throttle=True
            )
            self._made.callback(outbox.file.close)
            return Throttle(SqliteStore(outbox, account, self.clock), rules, is_shared=True)
        from pushover_logging.throttle.redis import RedisThrottle

        made = RedisThrottle(self.server.url, account, rules)
        self._made.callback(made.store._redis.close)
        return made

    def damage(self, throttle, name, text):
        """Write over an item, as another program might."""
        if self.kind == "file":
            update = "UPDATE item SET value = ? WHERE name = ?"
            file = throttle.store._outbox.file
            file.run(lambda connection: connection.execute(update, (text, name)))
        else:
            self.client.hset(f"{throttle.store._prefix}{name}", "item", text)

    def empty(self):
        """Lose all that Redis keeps, as after a restart."""
        self.client.flushall()
        self.clock.write()

    def close(self):
        self._made.close()
