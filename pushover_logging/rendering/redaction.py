"""Removes secrets from texts before they are stored, sent or shown in an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import chain
from string import ascii_letters, digits

from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import invalid
from pushover_logging.rendering import secret_patterns as patterns
from pushover_logging.rendering.patterns import is_slow

HIDDEN = "***"
_QUOTES = ("'", '"', "`", "\u2018", "\u201c")
MAX_CHARS = 16_384
"""Characters of a text that are searched and kept; the rest is too long to be sent anyway."""
MAX_OWN_CHARS = 2048
"""The same where the program has patterns of its own, and nothing bounds their work."""
_MAX_VALUE = 160  # characters of a value that an error shows
_MAX_NAME = 64  # characters of a field's name; what makes it a secret is at its end
_MAX_OPTION = 34  # characters of an option's name before the word that makes it a secret

# Bytes of Latin-1: how `secret_patterns` writes names and signs, and words of keys as "a".
_SAME = str.maketrans("123456789-\"'", "000000000_  ")
_FOLD = bytes(range(256)).decode("latin-1").lower().translate(_SAME).encode("latin-1")
_RARE_FIRST = "?&[@qzxjkvbwp_gyfcmu/:(dlhsrniotae0 "  # the characters of texts
_MAX_LINE = 256
_MAX_LINES = 2048
# Folded lines that no pattern matches. Any thread reads and adds to it, without a lock: at worst, a
# line is searched again. A fork's child keeps what is there.
_clean_lines: set[bytes] = set()
_IN_WORD = bytes(97 if chr(code) in f"{ascii_letters}{digits}-_" else 32 for code in range(256))
_LONG_WORD = b"a" * patterns.LONG_WORD


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # At first use: the import of the package stays fast. Any thread fills this cache and the one
    # below, without a lock: at worst, two compute the same. A fork's child keeps what is there.
    return re.compile(pattern, re.ASCII)


def _fold(text: str) -> str:
    """Return ``text``, as long as it is, as `secret_patterns` describes it."""
    return text.encode("latin-1", "replace").translate(_FOLD).decode("latin-1")


@cache
def _sign() -> re.Pattern[bytes]:
    """Return the pattern of all signs, each found by one letter: few letters, and rare ones.

    At every other letter of a text the search only passes by.
    """
    found: dict[str, list[str]] = {}
    signs = {*patterns.NAME_SIGNS, *chain.from_iterable(signs for signs, _ in patterns.KINDS)}
    # A sign with another in it is found by that.
    signs -= {sign for sign in signs for other in signs if other in sign and other != sign}
    letters = {sign: sorted(sign, key=_RARE_FIRST.find) for sign in signs}
    # Those that have only frequent letters choose first, and the others share these if they can.
    for sign in sorted(signs, key=lambda sign: (-_RARE_FIRST.find(letters[sign][0]), sign)):
        letter = next((each for each in letters[sign] if each in found), letters[sign][0])
        before, _, after = sign.partition(letter)
        behind = f"(?<={re.escape(sign)})" if before else ""
        found.setdefault(letter, []).append(re.escape(after) + behind)
    parts = (f"{re.escape(letter)}(?:{'|'.join(rest)})" for letter, rest in found.items())
    return re.compile("|".join(parts).encode("latin-1"))


def _is_clean(folded: bytes) -> bool:
    """Return True if no default pattern can match a text, which most texts show at once.

    Problems repeat their lines, apart from the digits.
    """
    lines = folded.split(b"\n")
    if _clean_lines.issuperset(lines):
        return True
    for line in lines:
        if line not in _clean_lines:
            if _sign().search(line) or _has_long_word(line):
                return False
            if len(_clean_lines) >= _MAX_LINES:
                _clean_lines.clear()
            if len(line) <= _MAX_LINE:
                _clean_lines.add(line)
    return True


def _has_long_word(raw: bytes) -> bool:
    return raw.translate(_IN_WORD).find(_LONG_WORD) >= 0


def _without_known(text: str) -> str:
    """Return ``text`` without what the default patterns match."""
    raw = text.encode("latin-1", "replace")
    folded = raw.translate(_FOLD)
    if _is_clean(folded):
        return text
    text = _without_signed(text, folded.decode("latin-1"))
    return _hide_all(patterns.LONG_KINDS, text) if _has_long_word(raw) else text


def _without_signed(text: str, folded: str) -> str:
    """Return ``text`` without what those patterns match that have a sign in it."""
    if any(sign in folded for sign in patterns.NAME_SIGNS):
        text = _without_named(text, folded)
    for signs, found in patterns.KINDS:
        if any(sign in folded for sign in signs):
            text = _hide_all(found, text)
    return text


def _hide_all(found: Iterable[str], text: str) -> str:
    for pattern in found:
        text = _compiled(pattern).sub(_SPECIAL.get(pattern, _hide), text)
    return text


def _without_named(text: str, folded: str) -> str:
    """Return ``text`` without the values that follow the name of a secret."""
    parts, position, has_input = [], 0, "input" in folded
    for name in _compiled(patterns.NAMES).finditer(folded):
        start, end = name.span()
        if start < position:
            continue  # inside a value that is hidden
        value = _compiled(patterns.VALUES[str(name.lastgroup)]).match(text, end)
        if value is None and has_input:
            value = _compiled(patterns.PYDANTIC).match(text, end)
        if value is None and text[end : end + 1] in {" ", '"', "'"}:
            before = text[max(position, start - _MAX_OPTION) : start]
            if "-" in before and _compiled(patterns.OPTION).search(before):
                value = _compiled(patterns.OPTION_VALUE).match(text, end)
        if value is not None:
            parts += [text[position : value.start()], _hide(value)]
            position = value.end()
    return "".join([*parts, text[position:]])


def describe_secret(secret: object) -> str:
    """Return the type and length of a secret for an error text; ``secret`` can be any object."""
    if isinstance(secret, str):
        quoted = ", quotes included: remove them" if secret.strip()[:1] in _QUOTES else ""
        return f"{HIDDEN} ({len(secret)} characters{quoted})"
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
    return _ends_in_secret_name(name[-_MAX_NAME:])


@lru_cache(maxsize=512)
def _ends_in_secret_name(name: str) -> bool:
    return _compiled(patterns.FIELD_NAME).search(_fold(name)) is not None


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
        self._added = () if option is None or isinstance(option, bool) else _compile_added(option)
        self.max_chars: int = MAX_OWN_CHARS if self._added else MAX_CHARS

    def __call__(self, text: str) -> str:
        """Return the first `max_chars` characters of ``text`` without its secrets."""
        text = text[: self.max_chars]
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if self._use_defaults:
            text = _without_known(text)
        for pattern in self._added:
            text = pattern.sub(_hide, text)
        return text


_DEFAULT = Redaction()


def _compile_added(option: object) -> tuple[re.Pattern[str], ...]:
    given = [option] if isinstance(option, (str, re.Pattern)) else plain(option)
    takes = "False, or regular expressions, as text or compiled"
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise invalid(redacted(option), "redact", takes)
    compiled = []
    for pattern in given:
        try:
            compiled.append(re.compile(pattern))
            compiled[-1].sub("", "")  # a pattern of bytes would fail at the first alert
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            got = f"{redacted(pattern)} ({error})"
            raise invalid(got, "redact", takes) from error
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


def _hide_card(match: re.Match[str]) -> str:
    """Hide a number with the right check digit (ISO/IEC 7812-1)."""
    reversed_digits = [int(char) for char in reversed(match.group()) if char.isdigit()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in reversed_digits[1::2])  # noqa: PLR2004
    is_card = (sum(reversed_digits[::2]) + sum(doubled)) % 10 == 0
    return _hide(match) if is_card else match.group()


def _hide_argument(match: re.Match[str]) -> str:
    """Hide the passwords in a command line."""
    return _compiled(patterns.BEFORE_PASSWORD[str(match.lastgroup)]).sub(_hide, match.group())


_SPECIAL = {patterns.CARD: _hide_card, patterns.TOOLS: _hide_argument}
