"""What an admitted record costs its caller to format, beside sentry-sdk in the same run.

    pip install sentry-sdk && python benchmarks/format.py

Four handlings are timed in turn, so that what else the machine does falls on each alike: the
Message that PushoverHandler makes of a record, and what sentry-sdk's EventHandler does with it
when its transport throws the event away; without an exception, and with one of 20 frames. Shown are
the medians of the rounds with their quartiles in microseconds, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import sentry_sdk
from sentry_sdk.integrations.logging import EventHandler
from sentry_sdk.transport import Transport

from pushover_logging import PushoverHandler

FRAMES = 20
TARGETS = {"plain": 1 / 2, "exception": 1.0}


class Nowhere(Transport):
    """Takes what would be sent, and forgets it."""

    def capture_envelope(self, envelope: object) -> None:
        """Do nothing."""


def fall(depth: int) -> None:
    """Fail ``depth`` calls further down."""
    if depth > 1:
        fall(depth - 1)
    else:
        msg = "card 4242 was declined"
        raise ValueError(msg)


def records() -> dict[str, Callable[[], logging.LogRecord]]:
    """Return what makes a fresh record of each kind: a handler may keep words in one."""
    try:
        fall(FRAMES - 1)
    except ValueError as error:
        info = type(error), error, error.__traceback__
    made = logging.getLogger("payments").makeRecord

    def plain() -> logging.LogRecord:
        return made("payments", 40, __file__, 7, "Order %s failed", ("A-1042",), None, "charge")

    def exception() -> logging.LogRecord:
        return made("payments", 40, __file__, 7, "Order %s failed", ("A-1042",), info, "charge")

    return {"plain": plain, "exception": exception}


def timed(handle: Callable[[logging.LogRecord], object], given: list[logging.LogRecord]) -> float:
    """Return microseconds a record."""
    began = time.perf_counter()
    for record in given:
        handle(record)
    return (time.perf_counter() - began) / len(given) * 1e6


def main() -> None:
    """Time both in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--records", type=int, default=20, help="of each kind in a round")
    options = parser.parse_args()
    sentry_sdk.init(dsn="http://key@localhost/1", transport=Nowhere)
    ours = PushoverHandler(token="a" * 30, user="u" * 30, host="web-1", api_url="http://localhost")
    handlers = {"pushover_logging": ours.message, "sentry-sdk": EventHandler().emit}
    for kind, make in records().items():
        found: dict[str, list[float]] = {name: [] for name in handlers}
        for _ in range(options.rounds):
            for name, handle in handlers.items():
                found[name].append(timed(handle, [make() for _ in range(options.records)]))
        for name, times in found.items():
            low, middle, high = statistics.quantiles(times)
            print(f"{kind:<10} {name:<17} {middle:8.1f} us  ({low:.1f} to {high:.1f})")
        mine, theirs = (statistics.median(times) for times in found.values())
        print(f"{kind:<10} ratio {mine / theirs:.2f}, target under {TARGETS[kind]:.2f}\n")


if __name__ == "__main__":
    main()
