"""Pushover's end-to-end encryption: https://pushover.net/api#e2ee.

gzip, AES-256-CBC with PKCS7 padding and a random IV, HMAC-SHA256 over IV and ciphertext with the
same key, Base64 of all three. Import this module only if a key is configured: it raises
ConfigurationError if the package `cryptography` is missing.
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

from pushover_logging.exceptions import ConfigurationError, invalid
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
_BLOCK = 16  # bytes: the block of AES, and its IV
_MAC = 32  # bytes: SHA-256
_PADDING = PKCS7(8 * _BLOCK)


def parse_key(text: object) -> bytes:
    """Return the 32 bytes of a key that is given as 64 hexadecimal digits.

    Raises ConfigurationError, which does not show the value.
    """
    if isinstance(text, str) and _KEY.fullmatch(text.strip()):
        return bytes.fromhex(text)
    raise invalid(describe_secret(text), "encryption_key", "64 hexadecimal digits (256 bits)")


def encrypt(text: str, key: bytes) -> str:
    """Return ``text`` as an encrypted parameter: ASCII, `encrypted_length` characters.

    ``key`` has 32 bytes. Each call uses a new random IV.
    """
    iv = os.urandom(_BLOCK)
    padder, encryptor = _PADDING.padder(), Cipher(AES256(key), CBC(iv)).encryptor()
    padded = padder.update(_compress(text)) + padder.finalize()
    ciphertext = iv + encryptor.update(padded) + encryptor.finalize()
    mac = hmac.digest(key, ciphertext, hashlib.sha256)
    return base64.b64encode(ciphertext + mac).decode("ascii")


def decrypt(parameter: str, key: bytes) -> str:
    """Return the text of an encrypted parameter.

    Raises ValueError if ``parameter`` is damaged or was encrypted with another key.
    """
    raw = base64.b64decode(parameter, validate=True)
    ciphertext, mac = raw[:-_MAC], raw[-_MAC:]
    if len(ciphertext) < 2 * _BLOCK or len(ciphertext) % _BLOCK:
        msg = "not an encrypted parameter: invalid length"
        raise ValueError(msg)
    if not hmac.compare_digest(mac, hmac.digest(key, ciphertext, hashlib.sha256)):
        msg = "encrypted with another key, or damaged"
        raise ValueError(msg)
    decryptor = Cipher(AES256(key), CBC(ciphertext[:_BLOCK])).decryptor()
    padded = decryptor.update(ciphertext[_BLOCK:]) + decryptor.finalize()
    unpadder = _PADDING.unpadder()
    try:
        return gzip.decompress(unpadder.update(padded) + unpadder.finalize()).decode()
    except (OSError, EOFError, zlib.error) as error:
        msg = "the decrypted data is not gzip"
        raise ValueError(msg) from error


def encrypted_length(text: str) -> int:
    """Return the length of ``encrypt(text, key)`` in characters; the key does not matter."""
    padded = (len(_compress(text)) // _BLOCK + 1) * _BLOCK
    return -(-(_BLOCK + padded + _MAC) // 3) * 4


def encrypt_parameters(parameters: dict[str, Any], key: bytes) -> dict[str, Any]:
    """Return a message's parameters with encrypted texts, each within its limit.

    Texts that are too long are truncated as they would be unencrypted. A title is always set:
    without one the API adds an unencrypted title, which no device can decrypt. ``url_title``
    is dropped, because the shortest encrypted text exceeds its limit, and so is a ``url`` that does
    not fit.
    """
    shorten = shortener(markup=bool(parameters.get("html")))
    text = parameters["message"]
    title = parameters.get("title") or first_line(text)
    result = {
        **parameters,
        "message": encrypt(_fitted(text, MESSAGE_LIMIT, shorten), key),
        "title": encrypt(_fitted(title, TITLE_LIMIT, truncate), key),
        "encrypted": 1,
    }
    result.pop("url_title", None)
    url = result.pop("url", None)
    if url is not None and encrypted_length(url) <= URL_LIMIT:
        result["url"] = encrypt(url, key)
    return result


def _fitted(text: str, limit: int, shorten: Callable[[str, int], str]) -> str:
    """Return as much of ``text`` as fits into ``limit`` characters when encrypted."""

    def fits(size: int) -> bool:
        return encrypted_length(shorten(text, size)) <= limit

    if encrypted_length(text) <= limit:
        return text
    return shorten(text, largest_fitting(len(text), fits))


def _compress(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)
