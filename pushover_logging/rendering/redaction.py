"""Secrets stay secret: how a secret is shown, and how it is taken out of a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import ConfigurationError

HIDDEN = "***"
_LONGEST = 160  # characters of a value that an error shows: it stays a line
MAX_CHARS = 16_384
"""Characters of a text that are looked at; what comes after could not be sent."""

# Every repetition is bounded, or over a class that the next part cannot take, and each pattern
# starts at a word or a sign that is rare: no text makes the search slow.
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
_WITHIN = r"(?:(?:[\w.]{0,64}[(\[]){1,2}(?=b?[\"']))?"  # a list, or an object, around the value
_PAIR = (
    rf"(?i:{_NAME}(?:[\"']?\s{{0,2}}=\s{{0,2}}|[\"']\s{{0,2}}[:,]\s{{0,2}}){_WITHIN}b?"
    rf"(?P<e>{_QUOTED}|(?![\"'])[^\s\"'&,;)\]}}>]+))"
)
_ESCAPED = rf"""(?i:{_NAME}\\["']\s?[:,]\s?\\["'](?P<k>[^"'\\\n]{{1,4096}}))"""  # JSON in JSON
_OPTION = rf"(?i:(?<![\w-])--[\w-]{{0,32}}{_NAME}\s(?P<i>{_QUOTED}|(?![\"'-])[^\s\"']+))"
_JWT = r"(?<![\w.-])(?P<j>eyJ[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{0,4096})"
# After a colon plain language goes on as well: only what looks like a secret is one.
_COLON = (
    r"(?i:(?:pass(?:word|wd|phrase|code)|pwd):\s{0,2}(?P<f>[^\s\"'&,;)\]}]+)"
    rf"|{_NAME}:\s{{0,2}}(?P<l>(?=.[^\"'\n]{{6}}){_QUOTED})"
    rf"|{_NAME}:\s{{0,2}}(?P<g>(?=[\w.+/=~-]{{0,64}}\d)[\w.+/=~-]{{8,4096}}))"
)


_PATTERNS = (_IN_URL, _HEADER, _BEARER, _PAIR, _ESCAPED, _OPTION, _JWT, _COLON)


@cache
def _defaults() -> tuple[re.Pattern[str], ...]:
    # A program that has nothing to tell does not wait for them.
    return tuple(re.compile(one) for one in _PATTERNS)


# Each of the patterns needs one of these; to look for them costs a tenth of looking for those.
_SIGNS = (
    *("://", "pass", "pwd", "secret", "credential", "key", "token", "session", "jwt"),
    *("authorization", "cookie", "x-auth-token", "bearer", "eyj"),
    *("signature", "_auth", "?sig", "&sig"),
    *("\u017f", "\u0131", "\u0307"),  # of letters that a pattern takes for an s or an i
)


def _may_hold_some(text: str) -> bool:
    small = text.lower()
    for sign in _SIGNS:  # noqa: SIM110  half the cost of any(): on each admitted record's way
        if sign in small:
            return True
    return False


@cache
def _secret_name() -> re.Pattern[str]:
    # Not `tokens`: of those a language model counts.
    return re.compile(
        rf"(?i:{_NAME}(?:(?<!token)s)?(?:_?\d{{1,2}}|_(?:str|text|value))?|authorization|cookie)$"
    )


def describe_secret(secret: object) -> str:
    """Describe a secret for an error text without showing any of it.

    ``secret`` is whatever was given in its place; the answer tells its type and length alone.
    """
    if isinstance(secret, str):
        return f"{HIDDEN} ({len(secret)} characters)"
    return f"{HIDDEN} (a {type(secret).__name__})"


def redacted(value: object) -> str:
    """Return any ``value`` for an error text: as Python writes it, cut short, without secrets.

    One that raises where it is asked for its text is shown by its type.
    """
    try:
        text = hide_keys(_AS_EVER(repr(value)))
    except Exception:  # noqa: BLE001  any code of the program's
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def hide_keys(text: str) -> str:
    """Return ``text`` without whatever has the shape of a token, a user key or a group's.

    https://pushover.net/api#identifiers
    """
    return re.sub(r"(?<![A-Za-z0-9])[A-Za-z0-9]{30}(?![A-Za-z0-9])", HIDDEN, text)


def without(text: str, secrets: Iterable[str | None]) -> str:
    """Return ``text`` with the ``secrets`` replaced; None and empty ones are passed over."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return text


def names_secret(name: str) -> bool:
    """Tell whether what a field of this name holds is a secret, whatever it looks like."""
    return _secret_name().search(name) is not None


class Redaction:
    """What is taken out of each text before it is stored or sent.

    ``option`` is None or True (the default patterns), False (none), or one or several patterns
    that are added to the defaults: regular expressions, as text or compiled; where one has groups,
    the groups are hidden, else the whole match. ``secrets`` are hidden always. Raises
    ConfigurationError for what is no pattern.
    """

    def __init__(self, option: object = None, secrets: Iterable[str | None] = ()) -> None:
        self._secrets = tuple(one for one in secrets if one)
        self._by_default = option is not False
        plain = option is None or isinstance(option, bool)
        self._more = () if plain else tuple(_compiled(option))

    def __call__(self, text: str) -> str:
        """Return the first 16,384 characters of ``text`` with its secrets replaced by ``***``."""
        text = without(text[:MAX_CHARS], self._secrets)
        defaults = _defaults() if self._by_default and _may_hold_some(text) else ()
        for pattern in (*defaults, *self._more):
            text = pattern.sub(_hidden, text)
        return text


_AS_EVER = Redaction()


def _compiled(option: object) -> list[re.Pattern[str]]:
    given = [option] if isinstance(option, (str, re.Pattern)) else plain(option)
    takes = "takes False, or regular expressions, as text or compiled"
    if not isinstance(given, (list, tuple, set, frozenset)):
        msg = f"redact: got {redacted(option)}, {takes}"
        raise ConfigurationError(msg, option="redact")
    patterns = []
    for one in given:
        try:
            pattern = re.compile(one)
            pattern.sub("", "")  # one for bytes would fail at the first alert
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            msg = f"redact: got {redacted(one)} ({error}), {takes}"
            raise ConfigurationError(msg, option="redact") from error
        patterns.append(pattern)
    return patterns


def _hidden(found: re.Match[str]) -> str:
    whole, start = found.group(), found.start()
    spans = [found.span(number) for number in range(1, found.re.groups + 1)]
    spans = sorted((span for span in spans if span[0] >= 0), key=lambda span: (span[0], -span[1]))
    if not spans:
        return HIDDEN
    parts, position = [], 0
    for low, high in spans:
        if low - start < position:
            continue  # inside a group that is hidden already
        quote = whole[low - start : low - start + 1]
        parts += [whole[position : low - start], quote if quote in {'"', "'"} else "", HIDDEN]
        position = high - start
    return "".join([*parts, whole[position:]])
