"""message_view: a message as the page shows it, as plain data and sanitized HTML."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import nh3

from pushover_logging.inbox import rules
from pushover_logging.inbox.history import StoredMessage
from pushover_logging.inbox.receipts import EmergencyReceipt

# https://pushover.net/api#html, and strong and em, which are like b and i.
_TAGS = {"b", "i", "u", "strong", "em", "font", "a", "br"}
_SCHEMES = {"http", "https", "mailto", "tel"}
_COLOR = re.compile(r"#[0-9A-Fa-f]{3,8}|[A-Za-z]{3,20}")
# The first bytes of the pictures that the page shows; their declared type does not matter.
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
_FIELDS = (
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


def message_view(message: StoredMessage, now: float) -> dict[str, Any]:
    """Return a message as the page shows it; ``now`` is Unix time."""
    fields = message.fields
    decrypted = fields.get("decrypted") or {}
    shown = {name: decrypted.get(name) or fields.get(name, "") for name in _FIELDS}
    is_html = fields.get("html") == "1"
    kind = picture_type(message.picture)
    return {
        **shown,
        "number": message.number,
        "priority": rules.PRIORITIES[fields.get("priority") or "0"],
        "html": sanitize(str(shown["message"])) if is_html else None,
        "link": safe_link(str(shown["url"])),
        "received": fields["received"],
        "unknown": message.unknown,
        "encrypted": _encryption(fields),
        "attachment": fields["attachment"],
        "picture": f"/inbox/messages/{message.number}/picture" if kind else None,
        "emergency": _emergency(message.receipt, now),
        "to": [f"{key[:4]}…{key[-3:]}" for key in rules.users_of(fields)],
    }


def sanitize(html: str) -> str:
    """Return a message's HTML with Pushover's tags and safe links only."""
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href"}, "font": {"color"}},
        attribute_filter=_filter_attribute,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def safe_link(url: str) -> str | None:
    """Return a URL that is safe to click; None for a script, a file, or an invalid URL."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or (parts.scheme in {"http", "https"} and not parts.netloc):
        return None
    return url.strip()


def picture_type(data: bytes) -> str | None:
    """Return the MIME type by a picture's content; None if the page does not show it."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for head, kind in _PICTURES.items() if data.startswith(head)), None)


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "font":
        return value if _COLOR.fullmatch(value) else None
    # A relative link would lead into the inbox itself.
    return safe_link(value) if name == "href" else value


def _encryption(fields: dict[str, Any]) -> str | None:
    if fields.get("encrypted") != "1":
        return None
    if "decrypted" not in fields:
        return "no key"
    return "decrypted" if fields["decrypted"] is not None else "wrong key"


def _emergency(receipt: EmergencyReceipt | None, now: float) -> dict[str, Any] | None:
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
        "shown": receipt.times_shown(now),
    }
