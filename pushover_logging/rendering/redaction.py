"""Removes secrets from texts before they are stored, sent or shown in an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import invalid
from pushover_logging.rendering.patterns import is_slow

HIDDEN = "***"
MAX_CHARS = 16_384
"""Characters of a text that are searched and kept; the rest is too long to be sent anyway."""
MAX_OWN_CHARS = 2048
"""The same where the program has patterns of its own, whose work no one bounds."""
_MAX_VALUE = 160  # characters of a value that an error shows

# Every repetition is bounded, or over a class that the next part cannot match, and each pattern
# starts with a rare word or sign: no text makes the search slow.
_NAME = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|credentials?"
    r"|(?:api|access|private|encryption|signing|auth|account)[_-]?key|apikey|(?<!ken )token"
    r"|session[_-]?id|jwt|signature|(?<=_)(?:pass|auth)|(?<=[?&])(?:key|sig))"
)
_QUOTED = r"""(?:"(?:[^"\\\n]|\\.){0,4096}|'(?:[^'\\\n]|\\.){0,4096})"""
_IN_URL = r"(?<=://)(?:[^\s:/@]{0,256}:(?P<a>[^\s/]{1,256})|(?P<h>[^\s:/@]{20,256}))(?=@)"
_HEADER = (
    r"(?i:(?:authorization|(?:set-)?cookie|x-api-key|x-auth-token)"
    rf"""(?:["']\s{{0,2}}[:,=]\s{{0,2}}b?(?P<b>{_QUOTED})|\s?[:=]\s?(?!["'])(?P<c>[^\r\n"']{{1,4096}})))"""
)
_BEARER = r"(?i:\bbearer\s{1,2}(?P<d>[\w.~+/-]{8,4096}={0,2}))"
_WITHIN = r"(?:(?:[\w.]{0,64}[(\[]){1,2}(?=b?[\"']))?"  # a list or an object around the value
_PAIR = (
    rf"(?i:{_NAME}(?:[\"']?\s{{0,2}}=\s{{0,2}}|[\"']\s{{0,2}}[:,]\s{{0,2}}){_WITHIN}b?"
    rf"(?P<e>{_QUOTED}|(?![\"'])[^\s\"'&,;)\]}}>]+))"
)
_ESCAPED = rf"""(?i:{_NAME}\\["']\s?[:,]\s?\\["'](?P<k>[^"'\\\n]{{1,4096}}))"""  # JSON in JSON
_OPTION = rf"(?i:(?<![\w-])--[\w-]{{0,32}}{_NAME}\s(?P<i>{_QUOTED}|(?![\"'-])[^\s\"']+))"
_JWT = r"(?<![\w.-])(?P<j>eyJ[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{0,4096})"
# Plain language continues after a colon as well: only a value that looks like a secret is hidden.
_COLON = (
    r"(?i:(?:pass(?:word|wd|phrase|code)|pwd):\s{0,2}(?P<f>[^\s\"'&,;)\]}]+)"
    rf"|{_NAME}:\s{{0,2}}(?P<l>(?=.[^\"'\n]{{6}}){_QUOTED})"
    rf"|{_NAME}:\s{{0,2}}(?P<g>(?=[\w.+/=~-]{{0,64}}\d)[\w.+/=~-]{{8,4096}}))"
)
_PATTERNS = (_IN_URL, _HEADER, _BEARER, _PAIR, _ESCAPED, _OPTION, _JWT, _COLON)


@cache
def _default_patterns() -> tuple[re.Pattern[str], ...]:
    # At first use: the import of the package stays fast.
    return tuple(map(re.compile, _PATTERNS))


# Every match of a pattern contains one of these; finding them costs a tenth of a search.
_SIGNS = (
    *("://", "pass", "pwd", "secret", "credential", "key", "token", "session", "jwt"),
    *("authorization", "cookie", "x-auth-token", "bearer", "eyj"),
    *("signature", "_auth", "?sig", "&sig"),
    *("\u017f", "\u0131", "\u0307"),  # which a pattern matches as an s or an i
)


def _can_match(text: str) -> bool:
    lower = text.lower()
    for sign in _SIGNS:  # noqa: SIM110  half the cost of any(), on the path of each record
        if sign in lower:
            return True
    return False


# Not `tokens`, which a language model counts.
_SECRET_NAME = (
    rf"(?i:{_NAME}(?:(?<!token)s)?(?:_?\d{{1,2}}|_(?:str|text|value))?|authorization|cookie)$"
)


def describe_secret(secret: object) -> str:
    """Return the type and length of a secret for an error text; ``secret`` can be any object."""
    if isinstance(secret, str):
        return f"{HIDDEN} ({len(secret)} characters)"
    return f"{HIDDEN} (a {type(secret).__name__})"


def redacted(value: object) -> str:
    """Return the repr of any ``value`` for an error text: short, without secrets, or its type."""
    try:
        text = hide_keys(_DEFAULT(repr(value)))
    except Exception:  # noqa: BLE001  any code of the program
        return f"a {type(value).__name__}"
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"


def hide_keys(text: str) -> str:
    """Return ``text`` without anything that looks like https://pushover.net/api#identifiers."""
    return re.sub(r"(?<![A-Za-z0-9])[A-Za-z0-9]{30}(?![A-Za-z0-9])", HIDDEN, text)


def without(text: str, secrets: Iterable[str | None]) -> str:
    """Return ``text`` with each of the ``secrets`` hidden; None and "" are ignored."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return text


def names_secret(name: str) -> bool:
    """Return True if a field of this name holds a secret, whatever its value looks like."""
    return re.search(_SECRET_NAME, name) is not None


class Redaction:
    """Replaces the secrets in a text by ``***``.

    ``option`` is None or True (the default patterns), False (no patterns), or patterns to add to
    the defaults: a regular expression or several, as text or compiled. If a pattern has groups,
    only these are hidden, else the whole match. ``secrets`` are always hidden. Raises
    ConfigurationError if ``option`` is anything else, or if a pattern is seen to be slow.
    """

    def __init__(self, option: object = None, secrets: Iterable[str | None] = ()) -> None:
        self._secrets = tuple(secret for secret in secrets if secret)
        self._use_defaults = option is not False
        self._added = () if option is None or isinstance(option, bool) else _compiled(option)
        self.max_chars: int = MAX_OWN_CHARS if self._added else MAX_CHARS

    def __call__(self, text: str) -> str:
        """Return the first `max_chars` characters of ``text`` without its secrets."""
        text = text[: self.max_chars]
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        defaults = _default_patterns() if self._use_defaults and _can_match(text) else ()
        for pattern in (*defaults, *self._added):
            text = pattern.sub(_hide, text)
        return text


_DEFAULT = Redaction()


def _compiled(option: object) -> tuple[re.Pattern[str], ...]:
    patterns = [option] if isinstance(option, (str, re.Pattern)) else plain(option)
    takes = "False, or regular expressions, as text or compiled"
    if not isinstance(patterns, (list, tuple, set, frozenset)):
        raise invalid(redacted(option), "redact", takes)
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
            compiled[-1].sub("", "")  # a pattern of bytes would fail at the first alert
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            given = f"{redacted(pattern)} ({error})"
            raise invalid(given, "redact", takes) from error
        if is_slow(compiled[-1]):
            given = f"{redacted(pattern)} (a short text can make it slow)"
            raise invalid(given, "redact", takes)
    return tuple(compiled)


def _hide(match: re.Match[str]) -> str:
    whole, start = match.group(), match.start()
    spans = [match.span(number) for number in range(1, match.re.groups + 1)]
    spans = sorted((span for span in spans if span[0] >= 0), key=lambda span: (span[0], -span[1]))
    if not spans:
        return HIDDEN
    parts, position = [], 0
    for low, high in spans:
        if low - start < position:
            continue  # inside a group that is already hidden
        quote = whole[low - start : low - start + 1]
        parts += [whole[position : low - start], quote if quote in {'"', "'"} else "", HIDDEN]
        position = high - start
    return "".join([*parts, whole[position:]])
