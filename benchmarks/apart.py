"""Work in a process of its own, which can be ended whatever it does."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def apart(function: Callable[..., T], *args: Any, limit: float = 300.0) -> T | None:  # noqa: ANN401
    """Return what ``function`` returns in a new process; None after ``limit`` seconds."""
    with _pool(1) as pool:  # ends it at the end
        return _within(pool.apply_async(function, args), limit)


def together(function: Callable[..., T], given: Sequence[tuple[Any, ...]], limit: float) -> list[T]:
    """Return what ``function`` returns of each of ``given``, in as many processes at once."""
    with _pool(len(given)) as pool:
        results = [pool.apply_async(function, args) for args in given]
        return [one for each in results if (one := _within(each, limit)) is not None]


def _pool(number: int) -> multiprocessing.pool.Pool:
    return multiprocessing.get_context("spawn").Pool(number, _be_quiet)


def _be_quiet() -> None:
    """Keep what handlers say of a service that hangs out of the figures."""
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  to the end


def _within(result: multiprocessing.pool.AsyncResult[T], limit: float) -> T | None:
    try:
        return result.get(limit)
    except multiprocessing.TimeoutError:
        return None
