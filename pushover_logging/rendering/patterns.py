"""Finds regular expressions of users that a short text makes slow, before a logging call does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

# The work doubles with each character of some of these patterns, and is the cube of their number
# for others: what takes so long for so few takes seconds or years for a record's text.
_MAX_SECONDS = 0.01
_MAX_LENGTH = 256
_TRIES = 3  # a pause of the interpreter, to collect garbage for example, is not the pattern's
_MAX_UNITS = 32
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]", re.DOTALL)
_QUANTIFIER = re.compile(r"(?:[*+]|\{\d*,?\d*\})[?+]?")


def is_slow(pattern: re.Pattern[str]) -> bool:
    """Return True if ``pattern``, or a group that it repeats, is slow with a text of its letters.

    Not each slow pattern is found: that would take a proof.
    """
    letters = dict.fromkeys(f"a0 {pattern.pattern}")
    units = [*letters, *re.findall(r"[^\W_]{2,}", pattern.pattern)][:_MAX_UNITS]
    return any(_takes_long(each, unit) for each in _parts(pattern) for unit in units)


def _parts(pattern: re.Pattern[str]) -> Iterator[re.Pattern[str]]:
    """Yield the pattern, and each repeated group with what makes the rest of it fail."""
    yield pattern
    source, opened = pattern.pattern, []
    for token in _TOKEN.finditer(source):
        if token.group() == "(":
            opened.append(token.start())
        elif token.group() == ")" and opened:
            group = opened.pop()
            found = _QUANTIFIER.match(source, token.end())
            if found and found.end() < len(source):
                try:
                    yield re.compile(f"{source[group : found.end()]}(?!)", pattern.flags)
                except re.error:  # it refers to another group
                    continue


def _takes_long(pattern: re.Pattern[str], unit: str) -> bool:
    length = 1
    while length <= _MAX_LENGTH:
        text = (unit * length)[:length] + "\0"
        if all(_seconds(pattern, text) > _MAX_SECONDS for _ in range(_TRIES)):
            return True
        length += max(1, length // 8)
    return False


def _seconds(pattern: re.Pattern[str], text: str) -> float:
    began = time.thread_time()  # not of the others on this machine
    pattern.search(text)
    return time.thread_time() - began
