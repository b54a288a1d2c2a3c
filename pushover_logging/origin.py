"""What a record's problem may become one with others by: its call site, or its root exception."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import PurePath

from pushover_logging.fingerprint import call_site_key, explicit, in_app_frame, root_cause_key
from pushover_logging.throttle.problem import Origin


def origin_of(record: logging.LogRecord, key: str, by: Sequence[str] = ()) -> Origin | None:
    """Return the origin of ``record``, whose fingerprint is ``key``; None for most."""
    group = call_site_key(record, key, by)
    if group is not None:
        return Origin(group, f"{PurePath(record.pathname).name}:{record.lineno}")
    group = root_cause_key(record, key, by)
    if group is None:
        return None
    info = record.exc_info
    found = in_app_frame(info[2]) if isinstance(info, tuple) else None
    return Origin(group, found.function if found else record.funcName or record.name)


def resolved_key(record: logging.LogRecord, name: object, by: Sequence[str] = ()) -> str:
    """Return the fingerprint that a record gave the ``name`` whose problem this one resolves."""
    return explicit(name, [str(getattr(record, field, "")) for field in by])
