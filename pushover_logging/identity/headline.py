"""Which words of an exception say what went wrong, if its first line does not."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from urllib.parse import urlsplit

_MAX_TEXT = 16_384  # characters of an exception's text that are read
_MAX_LINES = 40
_ERROR_LINES = 4096  # characters at the end of a command's stderr

# What libraries add to each of their errors.
_NOISE = re.compile(
    r"(?i)\s{0,9}[(;]?\s{0,9}(?:for (?:further|more) information,? (?:visit|see|check)"
    r"|for documentation on this error, please visit|background on this error at):?\s{1,9}https?://\S+"
)
_GRPC = re.compile(r"<\w+ of RPC that terminated with:")
_GRPC_FIELD = re.compile(r'\s*(status|details) = (?:StatusCode\.)?"?(.*?)"?$')
_VALIDATION = re.compile(r"\d+ validation errors?(?: for .+|:)")
_VALIDATION_DETAIL = re.compile(  # an item of pydantic's `errors()`, as FastAPI shows it
    r"\{'type': '\w+', 'loc': \((?P<loc>[^()]*)\), "
    r"'msg': (?P<quote>['\"])(?P<msg>.*?)(?P=quote)[,}]"
)
_VALIDATION_END = re.compile(r" [\[(]type=.*$")
_INSTANCE = re.compile(r"(?m)^On instance((?:\[[^\]\n]{1,64}\])+):$")  # of jsonschema
_ITEM = re.compile(r"[^\]\['\"]+")
_WHILE = re.compile(r"while (?:scanning|parsing|constructing|composing) .+")
_EMPTY_HEADING = re.compile(
    r"(?i)(?:message|errors?|details?|reason|exception|failed|failure):?|\W*"
)
_LETTERS = re.compile(r"[^\W\d_]{3}")
_FIELD = re.compile(r"(?i)(?:details?|reason|message|error|cause)\s*[=:]\s*\S")

_CODE = re.compile(r"\[(?:Errno|WinError) -?\d+\]|\[SSL[^\]]*\]|\(_ssl\.c:\d+\)")
_NAMING = re.compile(r"[\d'\"/\\@]|\w[.:]\w")
_NAMES_NOTHING = re.compile(
    r"(?i)(?:the )?(?:(?:read|write|connect|connection|operation|request|handshake|socket|pool"
    r"|query|response) )*(?:timed out|time-?out)(?: error| reading from socket)?"
    r"|connection (?:was )?(?:refused|reset|aborted|closed|lost)(?: by \w+(?: \w+)?)?"
    r"|remote end closed connection without response"
    r"|server disconnected(?: without sending a response)?|all connection attempts failed"
    r"|name or service not known|temporary failure in name resolution"
    r"|nodename nor servname provided, or not known|no address associated with hostname"
)
_ADDRESS = re.compile(
    r"host='(?P<host>[^']+)', port=(?P<port>\d+)"  # urllib3, requests
    r"|\"(?P<server>[\w.:-]+)\"(?: \([\w.:]+\))?, port (?P<at>\d+)"  # PostgreSQL
    r"|(?P<url>\bhttps?://[^\s'\"<>]+)"
    r"|\b(?:to|host|at|with|from|on) (?P<both>(?:[\w.-]+|\[[\da-fA-F:]+\]):\d{1,5})(?!\w|[.:]\w)"
)
_PORTS = {"http": 80, "https": 443}


def headline(text: str) -> tuple[str, list[str]]:
    """Return what an exception's text says, on one line, and its further lines.

    It is the first line; if that is a heading (``1 validation error for Order``, a line that ends
    in a colon, ``Message:``), the next line with a word joins it; so does the place in a document
    that jsonschema refuses. What libraries add to each of their errors is left out.
    """
    lines = []
    for line in text[:_MAX_TEXT].splitlines():
        kept = _NOISE.sub("", line) if "http" in line else line
        if kept.strip() and (kept is line or kept.strip(" ();.")):
            lines.append(kept.rstrip())
    if not lines:
        return "", []
    first, rest = lines[0].strip(), lines[1:]
    if _GRPC.fullmatch(first):
        found = {match[1]: match[2] for match in map(_GRPC_FIELD.match, rest) if match}
        words = ": ".join(found[name] for name in ("status", "details") if found.get(name))
        return words or first, [line for line in rest if "debug_error_string" in line]
    if rest and (place := _INSTANCE.search(text, 0, _MAX_TEXT)):
        return f"{first} ({'.'.join(_ITEM.findall(place[1]))})", rest
    joined = _joined(first, rest[:_MAX_LINES]) if rest else None
    return joined or first, rest


def _joined(first: str, rest: Sequence[str]) -> str | None:
    """Return a heading together with the line that says more; None if ``first`` is no heading."""
    if _VALIDATION.fullmatch(first):
        return f"{_VALIDATION_END.sub('', _with_complaint(rest))} ({first.rstrip(':')})"
    if _WHILE.fullmatch(first):
        unindented = next((line for line in rest if not line.startswith(" ")), "")
        return f"{unindented} ({first})" if unindented else None
    is_empty = _EMPTY_HEADING.fullmatch(first)
    if not is_empty and not first.endswith(":"):
        return None
    worded = [number for number, line in enumerate(rest) if _LETTERS.search(line)]
    named = (number for number in worded if _FIELD.match(rest[number].strip()))
    best = next(named, worded[0] if worded else None)
    if best is None:
        return None
    more = _with_complaint(rest[best:])
    return more if is_empty else f"{first} {more}"


def _with_complaint(lines: Sequence[str]) -> str:
    """Return the first line; if it is a field's name, together with the indented one below it."""
    first = lines[0].strip()
    if detail := _VALIDATION_DETAIL.match(first):
        location = re.findall(r"\w+", detail["loc"])
        return f"{'.'.join(location)}: {detail['msg']}"
    below = lines[1] if len(lines) > 1 else ""
    indentation = len(lines[0]) - len(lines[0].lstrip())
    if " " in first or len(below) - len(below.lstrip()) <= indentation:
        return first
    return f"{first.rstrip(':')}: {below.strip()}"


def last_error_line(exc: BaseException) -> str:
    """Return the last line of the ``stderr`` that an exception of a command has; "" without."""
    try:
        text: object = getattr(exc, "stderr", None)
    except Exception:  # noqa: BLE001  a property of the program
        return ""
    if isinstance(text, bytes):
        text = text[-_ERROR_LINES:].decode(errors="replace")
    if not isinstance(text, str):
        return ""
    return text[-_ERROR_LINES:].rstrip().rpartition("\n")[2].strip()


def names_nothing(text: str, *, is_os_error: bool) -> bool:
    """Return True if a line says only what any failure of its kind says: ``timed out``.

    ``is_os_error``: its type is one of the operating system's, of which a line that names no
    address, path or number says nothing more.
    """
    words = _CODE.sub("", text).strip(" .:")
    if not words or _NAMES_NOTHING.fullmatch(words) or words.lower() in _os_texts():
        return True
    return is_os_error and not _NAMING.search(words)


@cache
def _os_texts() -> frozenset[str]:
    return frozenset(os.strerror(code).lower() for code in errno.errorcode)


def address_in(exceptions: Iterable[BaseException], text_of: Callable[[BaseException], str]) -> str:
    """Return ``host:port`` of the first exception that has an address; "" if none has.

    ``text_of`` returns an exception's text. A request's URL, as httpx keeps it, counts as well.
    """
    for exc in exceptions:
        try:
            url = str(getattr(getattr(exc, "request", None), "url", ""))
        except Exception:  # noqa: BLE001  a property that raises if there is no request
            url = ""
        found = _host_and_port(url) or address_in_text(text_of(exc))
        if found:
            return found
    return ""


def address_in_text(text: str) -> str:
    """Return ``host:port`` of the first address that an error of a client names; "" without."""
    for found in _ADDRESS.finditer(text[:_MAX_TEXT]):
        if found["url"]:
            address = _host_and_port(found["url"])
        elif found["both"]:
            address = found["both"]
        else:
            address = f"{found['host'] or found['server']}:{found['port'] or found['at']}"
        if address:
            return address
    return ""


def _host_and_port(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.hostname}:{port}" if parts.hostname and port else ""
