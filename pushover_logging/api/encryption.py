"""Pushover's end-to-end encryption: what the service and the wire cannot read.

By https://pushover.net/api#e2ee: gzip, AES-256-CBC with PKCS7 padding under a random IV,
HMAC-SHA256 over IV and ciphertext with the same key, Base64 of all three. This module needs the
package `cryptography`, so whoever asks for encryption without it learns that at once.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import os
import re
import zlib
from collections.abc import Callable
from typing import Any

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import MESSAGE_LIMIT, TITLE_LIMIT, URL_LIMIT
from pushover_logging.rendering.redaction import describe_secret
from pushover_logging.rendering.text import first_line, largest_fitting, shortener, truncate

try:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.padding import PKCS7
except ImportError as _error:
    _MISSING = (
        "encryption_key: encryption needs the package cryptography; "
        "pip install 'pushover-logging[encryption]'"
    )
    raise ConfigurationError(_MISSING, option="encryption_key") from _error

_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_BLOCK = 16  # bytes: AES's block, and so the IV
_MAC = 32  # bytes: SHA-256
_PADDING = PKCS7(8 * _BLOCK)


def key_of(text: object) -> bytes:
    """Return the key that 64 hexadecimal digits say, as the account's devices have it.

    Raises ConfigurationError for anything else, which shows none of it.
    """
    if isinstance(text, str) and _KEY.fullmatch(text.strip()):
        return bytes.fromhex(text)
    msg = f"encryption_key: got {describe_secret(text)}, takes 64 hexadecimal digits (256 bits)"
    raise ConfigurationError(msg, option="encryption_key")


def encrypted(text: str, key: bytes) -> str:
    """Return ``text`` as one encrypted parameter; each call takes a new random IV.

    ``key`` has 32 bytes. What comes back is ASCII, see `encrypted_length`.
    """
    iv = os.urandom(_BLOCK)
    padder, encryptor = _PADDING.padder(), Cipher(AES256(key), CBC(iv)).encryptor()
    padded = padder.update(_packed(text)) + padder.finalize()
    encrypt_parameters = iv + encryptor.update(padded) + encryptor.finalize()
    return base64.b64encode(encrypt_parameters + _mac(encrypt_parameters, key)).decode("ascii")


def decrypted(field: str, key: bytes) -> str:
    """Return the text of one encrypted parameter.

    Raises ValueError where ``field`` was not made with this ``key``, or is damaged.
    """
    raw = base64.b64decode(field, validate=True)
    encrypt_parameters, mac = raw[:-_MAC], raw[-_MAC:]
    if len(encrypt_parameters) < 2 * _BLOCK or len(encrypt_parameters) % _BLOCK:
        msg = "not an encrypted parameter: its length cannot be"
        raise ValueError(msg)
    if not hmac.compare_digest(mac, _mac(encrypt_parameters, key)):
        msg = "encrypted with another key, or damaged"
        raise ValueError(msg)
    decryptor = Cipher(AES256(key), CBC(encrypt_parameters[:_BLOCK])).decryptor()
    padded = decryptor.update(encrypt_parameters[_BLOCK:]) + decryptor.finalize()
    unpadder = _PADDING.unpadder()
    try:
        return gzip.decompress(unpadder.update(padded) + unpadder.finalize()).decode()
    except (OSError, EOFError, zlib.error) as error:
        msg = "what was encrypted is no gzip"
        raise ValueError(msg) from error


def encrypted_length(text: str) -> int:
    """Return how many characters `encrypted` makes of ``text``; it depends on nothing else."""
    padded = (len(_packed(text)) // _BLOCK + 1) * _BLOCK
    return -(-(_BLOCK + padded + _MAC) // 3) * 4


def encrypt_parameters(parameters: dict[str, Any], key: bytes) -> dict[str, Any]:
    """Return the parameters of a message with its texts encrypted, each within its limit.

    What is too long is cut as it would be in the clear. A title is always there: for a missing one
    the service fills in plain text, which no device can decrypt. ``url_title`` is left out: the
    shortest encrypted text is longer than it may be; so is a ``url`` that does not fit.
    """
    short = shortener(markup=bool(parameters.get("html")))
    text = parameters["message"]
    title = parameters.get("title") or first_line(text)
    values = {
        **parameters,
        "message": encrypted(_fitted(text, MESSAGE_LIMIT, short), key),
        "title": encrypted(_fitted(title, TITLE_LIMIT, truncate), key),
        "encrypted": 1,
    }
    values.pop("url_title", None)
    url = values.pop("url", None)
    if url is not None and encrypted_length(url) <= URL_LIMIT:
        values["url"] = encrypted(url, key)
    return values


def _fitted(text: str, limit: int, short: Callable[[str, int], str]) -> str:
    if encrypted_length(text) <= limit:
        return text
    return short(
        text, largest_fitting(len(text), lambda size: encrypted_length(short(text, size)) <= limit)
    )


def _packed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def _mac(encrypt_parameters: bytes, key: bytes) -> bytes:
    return hmac.digest(key, encrypt_parameters, hashlib.sha256)
