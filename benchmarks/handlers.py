"""Ours and what people use instead, each set up as its own documentation says.

Each is a context manager that yields a logger; after it nothing of it runs. Where a peer knows only
the real service's address, that constant is set to the inbox's, and nothing else of it is touched,
but for the one pause that `apprise` says.
"""

from __future__ import annotations

import http.client
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from logging.handlers import QueueHandler, QueueListener
from typing import Any
from urllib.parse import urlsplit

from benchmarks.service import NOWHERE, TOKEN, USER
from pushover_logging import PushoverHandler
from pushover_logging.clock import Clock
from pushover_logging.delivery import lifecycle

Opened = AbstractContextManager[Any]
"""What opens a logger: anything with the methods of `logging.Logger` that are called."""


def logger_with(handler: logging.Handler) -> logging.Logger:
    """Return a logger that has one handler and no parent."""
    log = logging.Logger("shop.cart", logging.ERROR)
    log.addHandler(handler)
    return log


class Still(Clock):
    """The real time, but no sender: for what a logging call costs, and nothing beside it."""

    def start_thread(self, target: Callable[[], None], name: str) -> None:  # noqa: ARG002
        """Have the sender take a thread that is alive, and not its own, for the one that runs."""
        target.__self__.thread = threading.main_thread()


def handler_to(url: str, **options: Any) -> PushoverHandler:  # noqa: ANN401
    """Return our handler, pointed at ``url``."""
    return PushoverHandler(token=TOKEN, user=USER, api_url=url, host="web-1", **options)


def unsent(handler: PushoverHandler) -> None:
    """Have a handler begin anew, as a fork's child does; nothing waits for what it has to send."""
    if handler._pipeline is not None:  # noqa: SLF001  no program needs that
        lifecycle.unregister(handler._pipeline.thread)  # noqa: SLF001
    handler.after_fork()


@contextmanager
def ours(url: str = NOWHERE, **options: Any) -> Iterator[logging.Logger]:  # noqa: ANN401
    """Open our handler; its end waits for nothing."""
    handler = handler_to(url, close_timeout=0.0, **options)
    yield logger_with(handler)
    handler.close()


@contextmanager
def still(**options: Any) -> Iterator[logging.Logger]:  # noqa: ANN401
    """Open ours without its sender."""
    with ours(clock=Still(), **options) as log:
        yield log
        unsent(log.handlers[0])  # type: ignore[arg-type]


@contextmanager
def null() -> Iterator[logging.Logger]:
    """Open the standard library's handler that does nothing: what logging itself costs."""
    yield logger_with(logging.NullHandler())


class _LookUp(logging.Handler):
    """Counts in a dictionary, and does nothing else: the least that can be done."""

    seen: dict[str, int]

    def emit(self, record: logging.LogRecord) -> None:
        """Count."""
        self.seen[record.msg] += 1


@contextmanager
def look_up(*known: str) -> Iterator[logging.Logger]:
    """Open a handler that is one look-up in a dictionary."""
    handler = _LookUp()
    handler.seen = dict.fromkeys(known, 0)
    yield logger_with(handler)


@contextmanager
def queue_handler() -> Iterator[logging.Logger]:
    """Open a QueueHandler that nobody listens to, on the queue of the documentation's example."""
    yield logger_with(QueueHandler(queue.Queue(-1)))


@contextmanager
def listened(target: logging.Handler | None = None) -> Iterator[logging.Logger]:
    """Open a QueueHandler whose QueueListener has ``target``, by default one that does nothing."""
    waiting: queue.Queue[Any] = queue.Queue(-1)
    listener = QueueListener(waiting, target or logging.NullHandler())
    listener.start()
    log = logger_with(QueueHandler(waiting))
    yield log
    with waiting.mutex:
        waiting.queue.clear()
    stopped = threading.Thread(target=listener.stop, daemon=True)  # it may be sending still
    stopped.start()
    stopped.join(1.0)


@contextmanager
def sentry() -> Iterator[logging.Logger]:
    """Open sentry-sdk's EventHandler with a transport that sends nothing."""
    import sentry_sdk  # noqa: PLC0415  each peer only where it is measured
    from sentry_sdk.integrations.logging import EventHandler, LoggingIntegration  # noqa: PLC0415
    from sentry_sdk.transport import Transport  # noqa: PLC0415

    class Nowhere(Transport):
        def capture_envelope(self, envelope: object) -> None:
            """Take it."""

    # As its documentation sets it up, less the integration that would report each record twice.
    sentry_sdk.init(
        "https://key@sentry.invalid/1",
        transport=Nowhere,
        disabled_integrations=[LoggingIntegration()],
    )
    yield logger_with(EventHandler())
    sentry_sdk.get_client().close(timeout=0)


@contextmanager
def logstash() -> Iterator[logging.Logger]:
    """Open python-logstash-async with its memory cache and a transport that sends nothing."""
    from logstash_async.handler import AsynchronousLogstashHandler  # noqa: PLC0415

    class Nowhere:
        def send(self, events: object, *, use_logging: bool) -> None:
            """Take them."""

        def close(self) -> None:
            """Close nothing."""

    handler = AsynchronousLogstashHandler("127.0.0.1", 9, None, transport=Nowhere())
    yield logger_with(handler)
    handler.close()


def notifiers_handler(url: str) -> logging.Handler:
    """Return the handler of notifiers."""
    from notifiers.logging import NotificationHandler  # noqa: PLC0415
    from notifiers.providers import pushover  # noqa: PLC0415

    pushover.PushoverMixin.base_url = f"{url}/1/"
    return NotificationHandler("pushover", defaults={"token": TOKEN, "user": USER})


@contextmanager
def notifiers(url: str) -> Iterator[logging.Logger]:
    """Open notifiers' handler, which sends in the logging call."""
    yield logger_with(notifiers_handler(url))


def notifiers_behind_a_queue(url: str) -> Opened:
    """Open notifiers' handler behind a QueueListener, as the logging cookbook does."""
    return listened(notifiers_handler(url))


@contextmanager
def apprise(url: str) -> Iterator[logging.Logger]:
    """Open apprise in a handler, which sends in the logging call.

    Its own pause of 5.5 s between two requests, which the call would sleep, is left out.
    """
    import apprise as peer  # noqa: PLC0415
    from apprise.plugins.pushover import NotifyPushover  # noqa: PLC0415

    NotifyPushover.notify_url = f"{url}/1/messages.json"
    NotifyPushover.request_rate_per_sec = 0
    services = peer.Apprise()
    services.add(f"pover://{USER}@{TOKEN}")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            services.notify(title=record.levelname, body=self.format(record))

    yield logger_with(Handler())


@contextmanager
def logbook(url: str) -> Iterator[Any]:
    """Open Logbook's handler, which sends in the logging call and does not read the answer."""
    import logbook as peer  # noqa: PLC0415
    from logbook import notifiers as module  # noqa: PLC0415

    class Connection(http.client.HTTPConnection):
        def __init__(self, _: str) -> None:
            super().__init__(urlsplit(url).netloc)

    class Client:
        HTTPSConnection = Connection

    module.http_client = Client
    handler = module.PushoverHandler("shop", apikey=TOKEN, userkey=USER)
    with handler.applicationbound():
        yield peer.Logger("shop.cart")


SENDING: dict[str, Callable[[str], Opened]] = {
    "pushover_logging": partial(ours, throttle=False, level=logging.ERROR),
    "notifiers": notifiers,
    "apprise": apprise,
    "Logbook": logbook,
    "QueueListener, notifiers": notifiers_behind_a_queue,
}
"""All that send, by name; each is opened with the service's address."""
