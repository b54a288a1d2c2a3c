"""Levels: thresholds over the defaults, each checked when it is set."""

import pytest

from pushover_logging import ConfigurationError
from pushover_logging.levels import Levels, level_number


def test_overrides_are_laid_over_the_defaults():
    """A level that is given keeps the others' defaults; names and numbers mean the same."""
    levels = Levels({"CRITICAL": {"sound": "siren"}, 25: "low", "35": 1, "error": "emergency"})
    assert {"priority": 1, "sound": "siren"} == levels.fields(50)
    assert [-1, 1, 2, -2] == [levels.fields(number)["priority"] for number in (29, 36, 40, 1)]


def test_new_threshold_is_as_the_one_below_it():
    """But for what it is given itself; the defaults' own thresholds stay as they are."""
    levels = Levels({60: {"sound": "siren"}, 41: {"ttl": 60}, "ERROR": {"priority": "high"}})
    assert {"priority": 1, "sound": "siren"} == levels.fields(60)
    assert [{"priority": 1, "ttl": 60}, {"priority": 1}] == [levels.fields(41), levels.fields(50)]


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
