"""Reads end-to-end encrypted fields where the inbox was started with the key."""

from __future__ import annotations

import re
from collections.abc import Callable

from pushover_logging.exceptions import ConfigurationError

_KEY = re.compile(r"[0-9A-Fa-f]{64}")


def decrypter(key: str) -> Callable[[str], str]:
    """Return a function that turns an encrypted field into its text, or raises ValueError.

    Raises ConfigurationError for what is not 64 hexadecimal digits, never quoting it, and where
    the extra is missing that decrypts.
    """
    if not _KEY.fullmatch(key):
        text = f"encryption_key: {len(key)} characters are not 64 hexadecimal digits"
        raise ConfigurationError(text)
    # Only here: an inbox without a key does without the extra.
    from pushover_logging.api.encryption import decrypt  # noqa: PLC0415

    binary = bytes.fromhex(key)
    return lambda field: decrypt(field, binary)
