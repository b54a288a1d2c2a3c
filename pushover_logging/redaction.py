"""Secrets stay secret: how a secret is shown, and how it is taken out of a text."""

from __future__ import annotations

from collections.abc import Iterable

HIDDEN = "***"


def masked(secret: object) -> str:
    """Describe a secret for an error text without showing any of it.

    ``secret`` is whatever was given in its place; the answer tells its type and length alone.
    """
    if isinstance(secret, str):
        return f"{HIDDEN} ({len(secret)} characters)"
    return f"{HIDDEN} (a {type(secret).__name__})"


def without(text: str, secrets: Iterable[str | None]) -> str:
    """Return ``text`` with the ``secrets`` replaced; None and empty ones are passed over."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return text
