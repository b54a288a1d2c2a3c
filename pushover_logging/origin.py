"""What a record asks of the throttle: which problem it is of, and what that may become one with."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pushover_logging.fingerprint import (
    call_site_key,
    explicit,
    fingerprint,
    in_app_frame,
    own,
    root_cause_key,
)
from pushover_logging.throttle.problem import Origin


class Asked(NamedTuple):
    """A record's fingerprint, None to pass the throttle by; a newcomer's origin; what it ends."""

    key: str | None = None
    origin: Origin | None = None
    resolves: object = None


def asked_of(record: logging.LogRecord, by: Sequence[str], knows: Callable[[str], bool]) -> Asked:
    """Return what ``record`` asks; only where nobody ``knows`` its fingerprint, its origin.

    Raises what the record's own arguments raise.
    """
    given = own(record)
    if given.get("throttle") is False:
        return Asked()
    resolves = given.get("resolves")
    if resolves is not None:
        key = explicit(resolves, [str(getattr(record, field, "")) for field in by])
        return Asked(key, None, resolves)
    key = fingerprint(record, by)
    return Asked(key, None if knows(key) else origin_of(record, key, by))


def call_of(record: logging.LogRecord) -> tuple[object, ...] | None:
    """Return what names a plain record's fingerprint, None where that takes a closer look.

    Plain is a WARNING or worse without an exception and without words of its own for us, whose
    message is a text.
    """
    if (
        record.levelno < logging.WARNING
        or record.exc_info
        or record.exc_text
        or type(record.msg) is not str
        or "pushover" in record.__dict__
    ):
        return None
    if record.args:
        return (record.name, record.msg)
    return (record.name, record.msg, record.module, record.funcName)


def origin_of(record: logging.LogRecord, key: str, by: Sequence[str] = ()) -> Origin | None:
    """Return the origin of ``record``, whose fingerprint is ``key``; None for most."""
    group = call_site_key(record, key, by)
    if group is not None:
        name = os.path.basename(record.pathname)  # noqa: PTH119  a tenth of a Path's cost
        return Origin(group, f"{name}:{record.lineno}")
    group = root_cause_key(record, key, by)
    if group is None:
        return None
    info = record.exc_info
    found = in_app_frame(info[2]) if isinstance(info, tuple) else None
    return Origin(group, found.function if found else record.funcName or record.name)
