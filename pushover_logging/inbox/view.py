"""A message as the page shows it: plain data, and the only HTML that is let through, sanitized."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import nh3

from pushover_logging.inbox import rules
from pushover_logging.inbox.history import Kept

# https://pushover.net/api#html, and the two that browsers know for b and i.
_TAGS = {"b", "i", "u", "strong", "em", "font", "a", "br"}
_SCHEMES = {"http", "https", "mailto", "tel"}
_COLOR = re.compile(r"#[0-9A-Fa-f]{3,8}|[A-Za-z]{3,20}")
# The first bytes of each kind of picture that the page shows, whatever the sender calls it.
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
_SHOWN = (
    "title",
    "message",
    "url",
    "url_title",
    "device",
    "sound",
    "tags",
    "timestamp",
    "ttl",
    "monospace",
)


def shown(kept: Kept, now: float) -> dict[str, Any]:
    """Return what the page is told of a message; ``now`` is Unix time."""
    message = kept.message
    clear = message.get("decrypted") or {}
    fields = {name: clear.get(name) or message.get(name, "") for name in _SHOWN}
    is_html = message.get("html") == "1"
    kind = picture_type(kept.picture)
    return {
        **fields,
        "number": kept.number,
        "priority": rules.PRIORITIES[message.get("priority") or "0"],
        "html": sanitized(str(fields["message"])) if is_html else None,
        "link": safe_link(str(fields["url"])),
        "received": message["received"],
        "encrypted": _encryption(message),
        "attachment": message["attachment"],
        "picture": f"/inbox/messages/{kept.number}/picture" if kind else None,
        "emergency": _emergency(kept, now),
    }


def sanitized(html: str) -> str:
    """Return a message's HTML with nothing but Pushover's tags, and links that are safe."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "font": {"color"}},
        attribute_filter=_attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def safe_link(url: str) -> str | None:
    """Return a URL that may be clicked; None for a script, a file, or what is no URL."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or (parts.scheme in {"http", "https"} and not parts.netloc):
        return None
    return url.strip()


def picture_type(data: bytes) -> str | None:
    """Return a picture's MIME type by its bytes; None for anything that the page does not show."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for head, kind in _PICTURES.items() if data.startswith(head)), None)


def _attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "font":
        return value if _COLOR.fullmatch(value) else None
    # A relative link would lead back into the inbox itself.
    return safe_link(value) if name == "href" else value


def _encryption(message: dict[str, Any]) -> str | None:
    if message.get("encrypted") != "1":
        return None
    if "decrypted" not in message:
        return "no key"
    return "decrypted" if message["decrypted"] is not None else "wrong key"


def _emergency(kept: Kept, now: float) -> dict[str, Any] | None:
    receipt = kept.receipt
    if receipt is None:
        return None
    return {
        "receipt": receipt.receipt,
        "retry": receipt.retry,
        "sent": receipt.sent,
        "expires": receipt.expires_at,
        "active": receipt.is_active(now),
        "acknowledged": receipt.acknowledged_at,
        "by": receipt.acknowledged_by,
        "device": receipt.acknowledged_by_device,
        "cancelled": receipt.cancelled_at,
        "called_back": receipt.called_back_at,
        "callback": receipt.callback,
        "shown": receipt.shown(now),
    }
