"""Levels: thresholds over the defaults, each checked when it is set."""

import pytest

from pushover_logging import ConfigurationError
from pushover_logging.levels import Levels, level_number


def test_overrides_are_laid_over_the_defaults():
    """A level that is given keeps the others' defaults; names and numbers mean the same."""
    levels = Levels({"CRITICAL": {"sound": "siren"}, 25: "low", "35": 1, "error": "emergency"})
    assert {"priority": 1, "sound": "siren"} == levels.fields(50)
    assert [-1, 1, 2, -2] == [levels.fields(number)["priority"] for number in (29, 36, 40, 1)]


@pytest.mark.parametrize("wrong", [
    {"LOUD": 1}, {"ERROR": "urgent"}, {"ERROR": {"colour": "red"}}, {"ERROR": {"ttl": 0}},
    ["ERROR"], {True: 1}, {"ERROR": 3},
])  # fmt: skip
def test_wrong_level_is_named(wrong):
    """A level that logging does not know, and a wrong field of one, are ConfigurationErrors."""
    with pytest.raises(ConfigurationError, match="level"):
        Levels(wrong)


def test_level_numbers():
    """Names in any case, numbers, and numbers as text."""
    assert [40, 40, 40] == [level_number(given) for given in ("error", 40, " 40 ")]
