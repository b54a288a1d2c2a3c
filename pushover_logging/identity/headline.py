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
_STATUS = re.compile(r"\W*\d{1,6}\W*")
_NAME = re.compile(r"[\w.-][\w .-]*")
_STACK = re.compile(r"(?i)stack ?trace:?")
# Before the words. What it names, which is shown below, is group 1.
_PREAMBLE = re.compile(r"Message: (?=\S)|An error occurred (?=\()|Request (\w{1,64}): (?=\S)")
_LETTERS = re.compile(r"[^\W\d_]{3}")
_STRING = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\""""
_ARGUMENTS = re.compile(rf"\((?:{_STRING})(, .+)\)")  # of an exception with several
_REPR = re.compile(rf"(?s)<?([\w.]{{1,100}})(?:\(|: )(?:{_STRING})(.*)[)>]")
_ONE_STRING = re.compile(r"""\[?(?:'([^'\\]*)'|"([^"\\]*)")\]?""")
_TWO_WORDS = re.compile(r"[^\W\d_][ _][^\W\d_]")
_SENTENCE = re.compile(r"(?:\S+ ){3}")
_COMPLAINT = re.compile(  # the errors of a form or a schema: lists of texts, by field
    r"\[?(?:\{\}, )*\{(?P<path>(?:['\"]?[\w.-][\w .-]{0,63}['\"]?: ?\{?)+)"
    r"\[(?:\w+\(string=)?(?P<quote>['\"])(?P<complaint>.+?)(?P=quote)[,\])]"
)
_OPENING = frozenset("([{'\"")
_CLOSING = frozenset(")>")
_MARKUP = re.compile(r"(?i)<(?:!doctype|html|\?xml)\b")
_MARKUP_WORDS = re.compile(r"(?i)<(?:title|h1|message|faultstring)>\s{0,9}([^<\s][^<]{0,200})")
_JSON = re.compile(r"\{\s?['\"]")
_JSON_WORDS = re.compile(
    r"(?i)['\"](?:(?:error_?|err_?)?(?:message|msg)|error_description|detail|error|reason|title)"
    rf"['\"]: ?(?:{_STRING})"
)
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
    r"|\b(?:host|server)(?: on)? '(?P<name>[\w-]+(?:\.[\w-]+)*)'"  # MySQL
    r"|\b(?:to|host|at|with|from|on) (?P<both>(?:[\w.-]+|\[[\da-fA-F:]+\]):\d{1,5})(?!\w|[.:]\w)"
)
_PORTS = {"http": 80, "https": 443}


def headline(text: str) -> tuple[str, list[str]]:
    """Return what an exception's text says, on one line, and its further lines.

    It is the first line; if that is a heading (``1 validation error for Order``, a line that ends
    in a colon, ``Message:``, a status), the next line with a word joins it; so does the place in a
    document that jsonschema refuses. Of a page it is the heading, of a structure its first words.
    What libraries add to each of their errors is left out.
    """
    lines = []
    for line in text[:_MAX_TEXT].splitlines():
        kept = _NOISE.sub("", line) if "http" in line else line
        if kept.strip() and (kept is line or kept.strip(" ();.")):
            lines.append(kept.rstrip())
    if not lines:
        return "", []
    first, rest = lines[0].strip(), lines[1:]
    if preamble := _PREAMBLE.match(first):
        rest = lines if preamble[1] else rest
        first = first[preamble.end() :]
    if first[:1] == "<" and _GRPC.fullmatch(first):
        found = {match[1]: match[2] for match in map(_GRPC_FIELD.match, rest) if match}
        words = ": ".join(found[name] for name in ("status", "details") if found.get(name))
        return words or first, [line for line in rest if "debug_error_string" in line]
    if rest and (place := _INSTANCE.search(text, 0, _MAX_TEXT)):
        return f"{first} ({'.'.join(_ITEM.findall(place[1]))})", rest
    said = _unwrapped(first, text)
    if said is None and rest:
        said = _joined(first, rest[:_MAX_LINES])
    return first if said is None else said, rest


def _unwrapped(line: str, text: str) -> str | None:
    """Return the words of a first line that is a structure; None if it is none that is known.

    That is the markup of a page, an exception's arguments, one string, or the complaints of a form.
    """
    if "<" in line and (markup := _MARKUP.search(line)):
        heading = _MARKUP_WORDS.search(text, 0, _MAX_TEXT)
        return line[: markup.start()] + heading[1].strip() if heading else None
    if line[:1] not in _OPENING:
        return None
    if found := _ARGUMENTS.fullmatch(line):
        words = _string(found[1], found[2]).replace("\n", " ")
        return f"{words}{found[3]}" if _TWO_WORDS.search(words) else None
    if found := _ONE_STRING.fullmatch(line):
        words = found[1] or found[2] or ""
        return words if _SENTENCE.match(words) else None
    if found := _COMPLAINT.match(line):
        return f"{'.'.join(_NAME.findall(found['path']))}: {found['complaint']}"
    return None


def _string(single: str | None, double: str | None) -> str:
    """Return what stands between the quotes of a Python string."""
    text = single if single is not None else double or ""
    if "\\" not in text:
        return text
    return text.replace("\\n", "\n").replace("\\'", "'").replace('\\"', '"')


def _joined(first: str, rest: Sequence[str]) -> str | None:
    """Return a heading together with the line that says more; None if ``first`` is no heading."""
    if _VALIDATION.fullmatch(first):
        return f"{_VALIDATION_END.sub('', _with_complaint(rest))} ({first.rstrip(':')})"
    if _WHILE.fullmatch(first):
        unindented = next((line for line in rest if not line.startswith(" ")), "")
        return f"{unindented} ({first})" if unindented else None
    if _STATUS.fullmatch(first):
        said = (json_words(line)[1] for line in rest)
        more = next(filter(None, said), None) or _telling_line(rest)
        return f"{first} {more}" if more else None
    is_empty = _EMPTY_HEADING.fullmatch(first)
    if not is_empty and not first.endswith(":"):
        return None
    if is_empty and _STACK.fullmatch(rest[0].strip()):
        return ""
    more = _telling_line(rest)
    return more if is_empty or not more else f"{first} {more}"


def _telling_line(lines: Sequence[str]) -> str | None:
    """Return the line below a heading that says most."""
    worded = [number for number, line in enumerate(lines) if _LETTERS.search(line)]
    named = (number for number in worded if _FIELD.match(lines[number].strip()))
    best = next(named, worded[0] if worded else None)
    return None if best is None else _with_complaint(lines[best:])


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


def error_words(text: str) -> str:
    """Return the `headline` of an error that a message quotes, which can be its ``repr``."""
    is_plain = text[-1:] not in _CLOSING and text[:1] not in _OPENING and "<" not in text
    if is_plain and text.isprintable():
        return text.strip()  # one line of words, as most are
    found = _REPR.fullmatch(text)
    if found and _TWO_WORDS.search(words := _string(found[2], found[3])):
        text = f"{found[1]}: {words}{found[4]}"
    return headline(text)[0]


def json_words(line: str) -> tuple[str, str]:
    """Return what stands before the JSON in a line, and what that says; two times "" without."""
    start = _JSON.search(line)
    found = _JSON_WORDS.search(line, start.start()) if start else None
    if not start or not found:
        return "", ""
    words = _string(found[1], found[2]).replace("\n", " ").strip()
    return line[: start.start()].rstrip(' ("'), words


def given_text(exc: BaseException) -> str:
    """Return an exception's text; of one without, what it was given. Raises what its str() raises.

    That is its ``message``, or another exception, which may have no text either.
    """
    text = str(exc)
    if text.strip():
        return text
    message: object = getattr(exc, "message", None)
    if isinstance(message, str) and message.strip():
        return message
    inner = exc.args[0] if exc.args else None
    if not isinstance(inner, BaseException) or inner is exc:
        return ""
    kind, text = type(inner).__qualname__, given_text(inner)
    return f"{kind}: {text}" if text else kind


def last_error_line(exc: BaseException) -> str:
    """Return the last line of the ``stderr`` that an exception of a command has; "" without.

    It is the exception's own, or that of its ``result``.
    """
    try:
        text: object = getattr(exc, "stderr", None) or getattr(
            getattr(exc, "result", None), "stderr", None
        )
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
        elif found["both"] or found["name"]:
            address = found["both"] or found["name"]
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
