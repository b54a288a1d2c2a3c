"""Patterns of the program's own: a slow one is refused, or has little text to be slow with."""

import time

import pytest

from pushover_logging import ConfigurationError, PushoverHandler
from pushover_logging.rendering.redaction import Redaction


@pytest.mark.parametrize("pattern", [
    "(a+)+$", "(a*)*b", r"(\w+\s?)*$", r"card:(\d+)+;", "(a|aa)+$", "(x+x+)+y", "(?:[a-z]+,?)+!",
    "a*a*a*a*b", "(.*a){20}b", r"password=(\S+)+!", r"(?i)KEY=(\S*\S*)*;", "(ab|abab)+c",
    r"x[)(](\w|\w\d)+;", "(?P<word>[a-z]+)*9",
])  # fmt: skip
def test_slow_pattern_is_refused(pattern):
    """At construction, by its name, and within a second."""
    began = time.thread_time()
    with pytest.raises(ConfigurationError, match=r"redact: got .*a short text can make it slow"):
        PushoverHandler(token="a" * 30, user="u" * 30, redact=["card", pattern])
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("pattern", [
    r"card (\d+)-(\d+)", r"(\w+\.)+com", "(?:[a-z]+-)+[a-z]+", r"\w+@\w+\.\w+", r"\s+$",
    r"(?:\d{4}[- ]?){3}\d{4}", r"-----BEGIN[\s\S]*?-----END", "ann|bob", r"(\d)\1+", "((a)b)",
    r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b", "([^,]*,){3}", r"(\()+\[", "(a+)++$", "a{2,5}",
    r"(?P<q>['\"])(?:(?!(?P=q)).)*(?P=q)", r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}",
])  # fmt: skip
def test_pattern_that_is_not_slow_is_taken(pattern):
    """Repetitions within repetitions too, if they cannot stand for each other."""
    Redaction(pattern)


def test_own_pattern_gets_no_more_text_than_two_kibibytes():
    """What comes after it is not kept, as it is not searched."""
    assert 2048 == len(Redaction("never")("x" * 16_384))
    assert "x" * 2045 + "***" == Redaction("y+")("x" * 2045 + "y" * 5000)


def test_lines_after_the_limit_are_searched_by_themselves(drive):
    """A traceback of more than that has none of its lines cut, nor any with its secret."""
    driven = drive(redact=r"card \d+")
    text = "Traceback (most recent call last):\n" + "".join(
        f'  File "/srv/shop/{"x" * 120}.py", line {n}, in pay\n    card 4242\n' for n in range(60)
    )
    driven.log.error("boom", extra={"note": "card 1234"}, stack_info=False)
    record = driven.log.makeRecord("shop", 40, "pay.py", 7, "boom", (), None)
    record.exc_text = f"{text}ValueError: card 9999 is refused"
    driven.log.handle(record)
    driven.settle()
    assert "ValueError: *** is refused" == driven.titles[-1]
    assert not [one for one in driven.inbox.messages if "card" in one["message"]]
    assert "pay, " in driven.inbox.messages[-1]["message"]
