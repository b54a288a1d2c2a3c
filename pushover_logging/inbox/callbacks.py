"""Tells a program that its emergency was acknowledged, as the service does; on this machine alone.

https://pushover.net/api/receipts#callback
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

TIMEOUT = 5.0


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine; names other than ``localhost`` do not."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (
            host == "localhost" or ipaddress.ip_address(host).is_loopback
        )
    except ValueError:
        return False


def call_back(url: str, fields: Mapping[str, str]) -> bool:
    """POST the acknowledgement; return whether the program answered with a 2xx."""
    if not is_loopback(url):
        return False
    with requests.Session() as session:
        session.trust_env = False  # a proxy is not this machine
        try:
            # The body stays unread: the status is all that is asked for.
            with session.post(
                url, data=fields, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as answer:
                return answer.ok and not answer.is_redirect
        except (requests.RequestException, ValueError):
            return False
