"""What a fingerprint costs.

python benchmarks/fingerprint.py

Prints the median and the fastest and slowest of several rounds: for a typical new message, a
repeated one, each rule's repeated record, a new call site, and the slowest of many inputs of 100 kB
that are made to be slow.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from pushover_logging.identity import masking, source
from pushover_logging.identity.fingerprint import fingerprint

ROUNDS = 7
TYPICAL = "Payment {} of user {} failed after 3 tries: connection to 10.0.0.7:5432 timed out"
ATOMS = (
    *"'\"a1.:/-_@ =[(\\é+,%\n",
    *("“", "a1", "x=", "user ", "GET /", "://", "0x", "Mon ", "1:", "a.", "//", "a/", "host="),
    *("'a", "a'", "status ", "1-", "1/", "::", "12:", ".com", "::1", "a1::", 'File "', "E1"),
)


def record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    """Return a record at ERROR."""
    values = {"name": "shop.cart", "levelno": logging.ERROR, "msg": message, "args": args}
    return logging.makeLogRecord({**values, **fields})


def show(name: str, seconds: list[float]) -> None:
    """Print one row, in microseconds."""
    low, middle, high = (1e6 * f(seconds) for f in (min, median, max))
    print(f"{name:44}{middle:10.2f} us   ({low:.2f} to {high:.2f})")


def repeated(function: Callable[[], object], times: int = 20_000) -> list[float]:
    """Return the seconds of one call, for each round."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            function()
        rounds.append((time.perf_counter() - start) / times)
    return rounds


def raised() -> logging.LogRecord:
    """Return a record with an exception."""
    try:
        {}["price"]
    except KeyError:
        return record("payment failed", exc_info=sys.exc_info())


def logged(errors: int, number: int) -> list[logging.LogRecord]:
    """Return records of f-strings, no two alike, with no, one or many errors in them."""
    records: list[logging.LogRecord] = []
    log = logging.Logger("shop.cart")
    log.addHandler(handler := logging.Handler())
    handler.emit = records.append
    for n in range(number):
        if errors:
            error = f"row {n}" if errors > 1 else "[Errno 111] Connection refused"
            log.error(f"Payment {n} of user {n * 7} failed after 3 tries: {error}")  # noqa: G004
        else:
            log.error(f"Payment {n} of user {n * 7} failed after 3 tries: timed out")  # noqa: G004
    return records


def each_once(records: list[logging.LogRecord]) -> list[float]:
    """Return the processor's seconds for a record, in rounds of records that are not yet known."""
    fingerprint(records[0])
    rounds = []
    size = len(records) // ROUNDS
    for number in range(ROUNDS):
        batch = records[number * size : (number + 1) * size]
        start = time.thread_time()
        for one in batch:
            fingerprint(one)
        rounds.append((time.thread_time() - start) / size)
    return rounds


def new_call_sites() -> list[float]:
    """Return the processor's seconds for a new call site, of many of the standard library."""
    sites = []
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        lines = path.read_text(encoding="utf-8").split("\n")
        found = [n for n, line in enumerate(lines, 1) if re.search(r"raise \w+\(", line)]
        sites += [(str(path), number) for number in found]
    seconds = []
    for filename, number in random.Random(4).sample(sites, 1000):  # noqa: S311  not a secret
        start = time.thread_time()
        source.match_template(filename, number, "text")
        seconds.append(time.thread_time() - start)
    return seconds


def forget() -> None:
    """Forget all texts, and all that are like them."""
    masking._parts.cache_clear()  # noqa: SLF001
    masking._parts_of_shape.cache_clear()  # noqa: SLF001


def first(text: str) -> float:
    """Return the seconds that masking a text takes for the first time; the best of two."""
    seconds = []
    for _ in range(2):
        forget()
        start = time.perf_counter()
        masking.mask(text)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def adversarial() -> list[tuple[float, str]]:
    """Return inputs of 100 kB, slowest first: each pair of atoms, and a thousand longer ones."""
    chosen = random.Random(4)  # noqa: S311 - not a secret
    units = [*ATOMS, *map("".join, itertools.product(ATOMS, repeat=2))]
    units += ["".join(chosen.choices(ATOMS, k=chosen.randint(3, 6))) for _ in range(1000)]
    return sorted(((first((unit * 100_000)[:100_000]), unit) for unit in units), reverse=True)


def main() -> None:
    """Print all figures."""
    texts = [TYPICAL.format(n, n * 7) for n in range(20_000)]
    news = []
    for _ in range(ROUNDS):
        forget()
        start = time.perf_counter()
        for text in texts:
            masking.mask(text)
        news.append((time.perf_counter() - start) / len(texts))
    show("mask, typical message, never seen", news)
    show("mask, repeated text", repeated(lambda: masking.mask(texts[0])))
    templated, plain, failed = record(TYPICAL, 1, 2), record(texts[0]), raised()
    show("fingerprint, template and args, repeated", repeated(lambda: fingerprint(templated)))
    show("fingerprint, text, repeated", repeated(lambda: fingerprint(plain)))
    show("fingerprint, exception, repeated", repeated(lambda: fingerprint(failed)))
    show("fingerprint, f-string, each a new text", each_once(logged(0, 20_000)))
    show("fingerprint, f-string with a known error", each_once(logged(1, 20_000)))
    show("fingerprint, f-string with a new error", each_once(logged(2, 20_000)))
    *_, tenth = quantiles(news := new_call_sites(), n=10)
    print(f"a new call site: median {1e3 * median(news):.2f} ms, 90 % of them under "
          f"{1e3 * tenth:.2f} ms, slowest {1e3 * max(news):.2f} ms")  # fmt: skip
    slow = adversarial()
    print(f"slowest of {len(slow)} adversarial inputs of 100 kB:")
    for seconds, unit in slow[:5]:
        print(f"  {1e3 * seconds:6.2f} ms   {unit!r}, repeated")


if __name__ == "__main__":
    main()
