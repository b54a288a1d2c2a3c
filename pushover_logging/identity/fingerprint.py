"""The fingerprint of a record, the key that says which problem it reports, and its groups.

Keys are stateless: the same record gives the same key in every process and on every host. A key
that is too fine lets a flood through; one that is too coarse hides a problem behind another, which
is worse.
"""

from __future__ import annotations

import builtins
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from types import TracebackType
from typing import Any, NamedTuple

from pushover_logging.identity import tracebacks
from pushover_logging.identity.headline import (
    address_in,
    address_in_text,
    error_words,
    given_text,
    headline,
    last_error_line,
    names_nothing,
)
from pushover_logging.identity.masking import MAX_CHARACTERS, mask
from pushover_logging.identity.record_parts import (
    ID_DIGITS,
    JOB,
    RecordParts,
    carries_exception,
    has_exception,
    message_text,
    pushover_extra,
    read_record,
)
from pushover_logging.identity.source import (
    ERROR_ALONE,
    Match,
    match_template,
    raise_site,
    t_string,
)
from pushover_logging.rendering.text import first_line

# Each key starts with its rule, so that keys of two rules are never equal.
EXPLICIT = "explicit:"
NEWS = "news:"
EXCEPTION = "exception:"
TEMPLATE = "template:"
TEXT = "text:"
# These two start the key of a group, which several fingerprints share.
CALL_SITE = "call site:"
ROOT_CAUSE = "root cause:"

_PLACEHOLDER = re.compile(
    r"%(?:\(\w*\))?[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z%]|\{\w*(?:[.\[!:][^{}]*)?\}"
)
_HTTP_STATUS = re.compile(r"[45]\d\d")
_THREE_LETTERS = re.compile(r"[^\W\d_]{3}")
_Texts = tuple[str, ...]


class GroupKey(NamedTuple):
    """What several fingerprints share: a call site or a root exception."""

    group: str  # the key; it starts with `CALL_SITE` or `ROOT_CAUSE`
    place: str  # what the group's summary shows
    site: str = ""  # the key of a second group: the call site of a root exception


class RecordKeys(NamedTuple):
    """The keys that the throttle needs for one record."""

    key: str | None = None  # the fingerprint; None if the record bypasses the throttle
    group: GroupKey | None = None  # the group of a fingerprint that is not yet known
    resolves: object = None  # the explicit fingerprint of the problem that the record ends
    parts: RecordParts | None = None  # what was read of the record on the way


def record_keys(
    record: logging.LogRecord, group_by: Sequence[str], is_known: Callable[[str], bool]
) -> RecordKeys:
    """Return the keys of ``record``, with its group only if its fingerprint is not ``is_known``."""
    extra = pushover_extra(record)
    if extra.get("throttle") is False:
        return RecordKeys()
    values = _values(record, group_by) if group_by else ()
    resolves = extra.get("resolves")
    if resolves is not None:
        return RecordKeys(explicit(resolves, values), None, resolves)
    parts = _read_parts(record, extra)
    key = _fingerprint(record, extra, values, parts)
    group = None if is_known(key) else group_key(record, key, group_by, parts)
    return RecordKeys(key, group, None, parts)


def call_key(record: logging.LogRecord) -> tuple[object, ...] | None:
    """Return a cheap key that determines the fingerprint of a plain record; None for others.

    A plain record is at WARNING or above, has a str as its message, and has neither an exception,
    also among its arguments, nor a ``pushover`` mapping.
    """
    message, args = record.msg, record.args
    if record.levelno < logging.WARNING or record.exc_info or record.exc_text:
        return None
    if type(message) is not str or hasattr(record, "pushover"):
        return None
    if args:
        return None if has_exception(args) else (record.name, message)
    return (
        record.name, message, record.pathname, record.lineno, record.module, record.funcName,
    )  # fmt: skip


def fingerprint(record: logging.LogRecord, group_by: Sequence[str] = ()) -> str:
    """Return the key of the problem that ``record`` reports: ASCII, at most 42 characters.

    The first rule that applies makes the key: a ``fingerprint`` in the record's ``pushover``
    mapping; below WARNING, the rendered text; with an exception, wherever the record has it
    (`read_record`), its types, place and text; with a template that contains a word, the template;
    else the masked text. The template is the one that ``logging`` was given with args, else the one
    in the source of the call or of the ``raise``.

    ``group_by`` names record attributes whose values are part of the key under every rule; a
    missing one counts as "". Raises what the record's own objects raise.
    """
    values, extra = _values(record, group_by) if group_by else (), pushover_extra(record)
    return _fingerprint(record, extra, values, _read_parts(record, extra))


def _read_parts(record: logging.LogRecord, extra: Mapping[str, Any]) -> RecordParts | None:
    """Return the parts of a record that may have an exception; None if its key needs none."""
    if record.exc_info or record.exc_text or carries_exception(record):
        is_needed = record.levelno >= logging.WARNING and extra.get("fingerprint") is None
        return read_record(record) if is_needed else None
    return None


def _fingerprint(
    record: logging.LogRecord,
    extra: Mapping[str, Any],
    values: _Texts,
    parts: RecordParts | None,
) -> str:
    if extra and (name := extra.get("fingerprint")) is not None:
        return explicit(name, values)
    if record.levelno < logging.WARNING:
        return _key(NEWS, str(record.name), message_text(record), *values)
    if parts is not None:
        key = _exception_key(record, parts, values)
        if key:
            return key
    if record.args:
        key = _template_key(str(record.name), str(record.msg)[:MAX_CHARACTERS], values)
        if key:
            return key
    return _text_key(record, parts, values)


def explicit(name: object, values: Sequence[str] = ()) -> str:
    """Return the key of a fingerprint that the program chose, and its ``group_by`` values.

    With values it ends in the digits with which the key of the name alone begins, so that the name
    can mean all of them.
    """
    text = str(name)
    rule = JOB if text.startswith(JOB) else EXPLICIT
    if not values:
        return _key(rule, text)
    of_name = _known_key(rule, text).removeprefix(rule)
    return _key(rule, text, *values)[:-ID_DIGITS] + of_name[:ID_DIGITS]


def _values(record: logging.LogRecord, group_by: Sequence[str]) -> _Texts:
    return tuple([str(getattr(record, name, "")) for name in group_by])


def _exception_key(record: logging.LogRecord, parts: RecordParts, values: _Texts) -> str | None:
    """Return the key of the record's exception; None if it has none."""
    if parts.exceptions:
        causes, contexts = tracebacks.split_chain(parts.exceptions[0])
        chain = [*causes, *contexts]
        if any(map(tracebacks.subexceptions, chain)):
            values = (*_member_keys(chain), *values)
        for other in parts.exceptions[1:]:
            values = (_qualified_name(other), mask(_words(other)), *values)
        fixed, said = _exception_parts(chain, causes[-1], _traceback_of(parts))
        head = _exception_head(record, parts, _as_text(chain[0]))
        return _known_key(EXCEPTION, head, *fixed, said, *values)
    if parts.exc_text:
        head = _exception_head(record, parts, tracebacks.exception_line(parts.exc_text))
        return _key(EXCEPTION, head, *_text_exception_parts(parts.exc_text), *values)
    return None


def _exception_head(record: logging.LogRecord, parts: RecordParts, exception: str) -> str:
    """Return the template of the text that was logged with an exception, else its mask."""
    if parts.fields:
        return _known_mask(_head(parts)[:MAX_CHARACTERS])
    if record.args:
        return _given_template(parts.template[:MAX_CHARACTERS])
    if parts.exceptions and record.msg is parts.exceptions[0]:
        return ""  # which says nothing else
    return _template_or_mask(_match(record, parts.text), parts.text, exception)


@lru_cache(maxsize=1024)
def _given_template(template: str) -> str:
    return template if _has_word(template) else mask(template)


def _head(parts: RecordParts) -> str:
    """Return what the program said of an exception; of a structured message also its fields."""
    return f"{parts.template} {parts.fields}" if parts.fields else parts.template


def _traceback_of(parts: RecordParts) -> TracebackType | None:
    tb = parts.traceback
    return tb if isinstance(tb, TracebackType) else parts.exceptions[0].__traceback__


def _exception_parts(
    chain: list[BaseException], root: BaseException, tb: TracebackType | None
) -> tuple[_Texts, str]:
    """Return the types of a chain with its places, and what its first and its root say."""
    # The place of the logged exception, not of the root, whose traceback can end in a library.
    places = _place_parts(tb)
    for exc in {id(exc): exc for exc in (chain[0], chain[-1])}.values():
        inner = tracebacks.inner_tracebacks(exc)
        if inner:  # another process's, or another machine's
            places += _inner_parts(inner[0])
    said = _said_by(chain[0], tb, places[2])
    if root is not chain[0]:
        said = f"{said}\0{_said_by(root, root.__traceback__)}"
    return (*map(_qualified_name, chain), *places), said


def _said_by(exc: BaseException, tb: TracebackType | None, code: str | None = None) -> str:
    """Return the template of an exception's text by its ``raise``, else its words, masked.

    ``code`` is the text of its in-app line, if that is known. The key of a KeyError stays if it is
    written there (``row["price"]``).
    """
    text = _as_text(exc)
    filename, lineno = raise_site(tb)
    given = _unquoted(exc, text)
    found = match_template(filename, lineno, given, is_raise=True) if filename else None
    if found is None and given is not text:  # the repr of a KeyError's key
        code = _place_parts(tb)[2] if code is None else code
        if _is_named(text, code):
            return text
    return _template_or_mask(found, text if found else _words(exc))


def _is_named(key: str, code: str) -> bool:
    """Return True if the repr of a key is written in a line of code, in either kind of quotes."""
    return key in code or key.replace("'", '"') in code


def _unquoted(exc: BaseException, text: str) -> str:
    """Return the text that an exception was given; a KeyError's own is the repr of that."""
    given = exc.args[0] if type(exc).__str__ is KeyError.__str__ and exc.args else text
    return given if isinstance(given, str) else text


def _template_or_mask(found: Match | None, text: str, known: str = "") -> str:
    """Return a template, with the masked errors in it that are not part of ``known``; else a mask.

    An error in the text that is logged with an exception is mostly that exception.
    """
    if found is None:
        return _known_mask(text[:MAX_CHARACTERS])
    template, errors = found
    for error in errors:
        text = error[:MAX_CHARACTERS]
        if not known or first_line(text) not in known[:MAX_CHARACTERS]:
            template += f"\0{_masked_line(text)}"
    return template


@lru_cache(maxsize=1024)
def _masked_line(text: str) -> str:
    return text if _HTTP_STATUS.fullmatch(text) else mask(error_words(text))


def _match(record: logging.LogRecord, text: str) -> Match | None:
    """Return the template of a record's text that the program formatted itself."""
    if type(record.msg) is str:
        return match_template(record.pathname, record.lineno, text)
    return t_string(record.msg) or match_template(record.pathname, record.lineno, text)


def _place_parts(tb: TracebackType | None) -> _Texts:
    # The text of a line, unlike its number, stays the same when lines above it change.
    frame = tracebacks.in_app_frame(tb)
    return (frame.module, frame.function, frame.code) if frame else ("", "", "")


def _inner_parts(parsed: tracebacks.ParsedTraceback) -> _Texts:
    place = _frame_parts(parsed)
    return (*place, _mask_line(_parsed_words(parsed), place[2]))


def _frame_parts(parsed: tracebacks.ParsedTraceback) -> _Texts:
    frame = tracebacks.in_app_place(parsed.frames)
    return (_file_name(frame.filename), frame.function, frame.code) if frame else ("", "", "")


def _member_keys(chain: Sequence[BaseException]) -> list[str]:
    """Return the keys of the members of a chain's groups, whose own text often says nothing."""
    members = [exc for link in chain for exc in tracebacks.flatten_group(link) if exc is not link]
    keys = set()
    for exc in members:
        causes, contexts = tracebacks.split_chain(exc)
        fixed, said = _exception_parts([*causes, *contexts], causes[-1], exc.__traceback__)
        keys.add(_key("", *fixed, said))
    return sorted(keys)


def _text_exception_parts(text: str) -> _Texts:
    text = tracebacks.both_ends(text)
    place, line = tracebacks.text_place_parts(text), _text_words(tracebacks.exception_text(text))
    said: _Texts = (_mask_line(line, place[2]),)
    if '"""\n' in text:
        for root in tracebacks.parse_tracebacks(text)[:1]:
            said += _inner_parts(root)
    elif tracebacks.CAUSE_LINE in text:
        root_text = tracebacks.exception_text(text.partition(tracebacks.CAUSE_LINE)[0])
        said += (mask(_text_words(root_text)),)
    return *place, *said


def _mask_line(line: str, code: str) -> str:
    """Mask the last line of a traceback, but the key of a KeyError that its code names."""
    name, _, key = line.partition(": ")
    return line if name == "KeyError" and key[:1] == "'" and _is_named(key, code) else mask(line)


def _as_text(exc: BaseException) -> str:
    try:
        return given_text(exc)
    except Exception:  # noqa: BLE001  any code of the program; the type alone has to do
        return ""


def _text_words(text: str) -> str:
    """Return what the lines of an exception in a traceback's text say, on one line."""
    name, colon, words = text.partition(": ")
    if "\n" in name:
        return first_line(text)
    return f"{name}{colon}{headline(words)[0]}"


def _parsed_words(parsed: tracebacks.ParsedTraceback) -> str:
    return _text_words("\n".join([parsed.line, *parsed.remarks]))


def _words(exc: BaseException) -> str:
    """Return what an exception says, on one line, with the last line of a command's stderr."""
    text = headline(_as_text(exc))[0]
    error_line = last_error_line(exc)
    return f"{text}: {error_line}" if error_line else text


def _qualified_name(exc: BaseException) -> str:
    """Return the name of an exception's type as a traceback shows it."""
    kind = type(exc)
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


@lru_cache(maxsize=1024)  # a suppressed duplicate costs no more than this look-up
def _template_key(name: str, template: str, values: _Texts) -> str | None:
    """Return the key of a template that contains a word; None for one like "%s: %s"."""
    return _key(TEMPLATE, name, template, *values) if _has_word(template) else None


def _has_word(template: str) -> bool:
    return _THREE_LETTERS.search(_PLACEHOLDER.sub(" ", template)) is not None


def _text_key(record: logging.LogRecord, parts: RecordParts | None, values: _Texts) -> str:
    text = message_text(record) if parts is None else _head(parts._replace(template=parts.text))
    if (
        parts is None and record.args and tracebacks.TRACEBACK in text
    ):  # of an argument that is no str
        key = _exception_key(record, read_record(record), values)
        if key:
            return key
    found = _match(record, text)
    place = str(record.name), str(record.module), str(record.funcName)
    if found and found[0] == ERROR_ALONE:
        return _known_key(TEXT, *place, _masked_line(text[:MAX_CHARACTERS]), *values)
    if found:
        # An error's text is free, and args that make the text are not part of `call_key`.
        rule = TEXT if found[1] or record.args else TEMPLATE
        return _known_key(rule, str(record.name), _template_or_mask(found, text), *values)
    return _known_key(TEXT, *place, _known_mask(text[:MAX_CHARACTERS]), *values)


def group_key(
    record: logging.LogRecord,
    key: str,
    group_by: Sequence[str] = (),
    parts: RecordParts | None = None,
) -> GroupKey | None:
    """Return the group of ``record``, whose fingerprint is ``key``; None for most records.

    The masked texts of one file and line are a group, because a text that no mask fits can give any
    number of keys from one call; so are the exceptions of one type from one line. The exceptions of
    one root cause are a group as well.
    """
    values = _values(record, group_by) if group_by else ()
    if key.startswith(TEXT):
        group = _key(CALL_SITE, str(record.pathname), str(record.lineno), *values)
        return GroupKey(group, f"{_file_name(str(record.pathname))}:{record.lineno}")
    if not key.startswith(EXCEPTION):
        return None
    parts = parts or read_record(record)
    place, function = _exception_site(parts)
    if not any(place[1:]):
        place = (*place, str(record.pathname), str(record.lineno))
    site = _key(CALL_SITE, *place, *values)
    cause, name = _root_cause(parts), function or str(record.funcName or record.name)
    if cause is None:
        return GroupKey(site, name)
    return GroupKey(_key(ROOT_CAUSE, *cause, *values), name, site)


def _exception_site(parts: RecordParts) -> tuple[_Texts, str]:
    """Return the type and place of the logged exception, and the function's name."""
    if parts.exceptions:
        place = _place_parts(_traceback_of(parts))
        inner = tracebacks.inner_tracebacks(tracebacks.root_cause(parts.exceptions[0]))
        if inner:
            return (_qualified_name(parts.exceptions[0]), *_frame_parts(inner[0])), place[1]
        return (_qualified_name(parts.exceptions[0]), *place), place[1]
    text = tracebacks.both_ends(parts.exc_text)
    place = tracebacks.text_place_parts(text)
    return (tracebacks.exception_line(text).partition(":")[0], *place), ""


def _root_cause(parts: RecordParts) -> _Texts | None:
    """Return the type and the masked words of the root exception, if that is a cause.

    One dead database causes many failures, but each KeyError or timeout is a problem of its own.
    """
    if not parts.exceptions:
        parsed = tracebacks.parse_tracebacks(tracebacks.both_ends(parts.exc_text))
        return _parsed_cause([each for each in parsed if each.line])
    causes, _ = tracebacks.split_chain(parts.exceptions[0])
    root = causes[-1]
    if not tracebacks.subexceptions(root):
        return _cause(causes)
    members = map(tracebacks.split_chain, tracebacks.flatten_group(root))
    found = {_cause(member) for member, _ in members}
    return found.pop() if len(found) == 1 else None


def _cause(chain: list[BaseException]) -> _Texts | None:
    root = chain[-1]
    inner = tracebacks.inner_tracebacks(root)
    if inner:
        return _parsed_cause(inner)
    is_pythons = type(root).__module__ in {"builtins", tracebacks.ASYNCIO}
    is_os_error = isinstance(root, OSError)
    if is_pythons and not is_os_error:
        return None
    words = _words(root)
    if not names_nothing(words, is_os_error=is_os_error):
        return _qualified_name(root), mask(words)
    address = address_in(reversed(chain), _words)
    return (_qualified_name(root), mask(words), address) if address else None


def _parsed_cause(parsed: Sequence[tracebacks.ParsedTraceback]) -> _Texts | None:
    """Return the `_cause` of a chain by its text, the root first."""
    if not parsed:
        return None
    name, _, words = _parsed_words(parsed[0]).partition(": ")
    is_os_error = tracebacks.is_os_error(name)
    is_pythons = hasattr(builtins, name) or name.startswith(f"{tracebacks.ASYNCIO}.")
    if is_pythons and not is_os_error:
        return None
    if not names_nothing(words, is_os_error=is_os_error):
        return name, mask(words)
    address = next(filter(None, (address_in_text(each.line) for each in parsed)), "")
    return (name, mask(words), address) if address else None


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _key(rule: str, *parts: str) -> str:
    # The length in front of each part keeps different lists of parts different.
    joined = ""
    for part in parts:
        joined += f"{len(part)}:{part}"
    return rule + blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# A problem that continues repeats its texts.
_known_mask = lru_cache(maxsize=1024)(mask)
_known_key = lru_cache(maxsize=1024)(_key)
