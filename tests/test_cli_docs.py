"""docs/cli.md and ``--help`` are whole: each command, each option, and examples that can be run."""

import re
import shlex
from pathlib import Path

import pytest

from pushover_logging.cli import parser

PAGE = (Path(__file__).parent.parent / "docs/cli.md").read_text(encoding="utf-8")
COMMANDS = [
    "init", "send", "run", "jobs", "overdue", "check", "inbox", "demo", "outbox", "problems",
    "mute", "unmute", "redact",
]  # fmt: skip
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def helped(command, *arguments):
    """Return the help of the installed command."""
    status, out, err = command.run(*arguments, "--help", COLUMNS="200")
    assert (0, b"") == (status, err)
    return out.decode()


def examples_in(text):
    """Yield the arguments of each example that begins with the command, alone or after a pipe."""
    for line in text.splitlines():
        found = re.search(r"(?:^|\| | {2})(pushover-logging .*)$", line)
        if found and "COMMAND" not in line:
            words = shlex.split(found.group(1))
            yield words[1 : words.index("|") if "|" in words else None]


@pytest.mark.process
def test_every_command_has_its_section(command):
    """What the installed command offers, in its order, in docs/cli.md too."""
    offered = re.findall(r"^ {4}(\w+) ", helped(command), re.MULTILINE)
    assert COMMANDS == offered
    assert COMMANDS == list(SECTIONS)


@pytest.mark.process
@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_its_section(command, name):
    """And none that there is not."""
    text = helped(command, name)
    offered = set(re.findall(r"--[a-z][a-z0-9-]*", text.partition("\nexamples:")[0])) - {"--help"}
    told = set(re.findall(r"`(--[a-z][a-z0-9-]*)", SECTIONS[name]))
    assert offered == told
    arguments = re.findall(r"^ {2}(TEXT|COMMAND|FILE|path)\b", text, re.MULTILINE)
    assert not [word for word in arguments if word.upper() not in SECTIONS[name].upper()]


@pytest.mark.process
@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_statuses(command, name):
    """Each can be read by the command as it stands."""
    text = helped(command, name)
    found = list(examples_in(text))
    assert found
    assert "\nexit status: 0 " in text or "\nexit status: the command's own" in text
    for arguments in found:
        assert parser().parse_args(arguments).func


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_the_page_can_be_read(name):
    """As they stand there."""
    found = list(examples_in(SECTIONS[name]))
    assert found
    for arguments in found:
        assert name == parser().parse_args(arguments).func.__module__.rpartition(".")[2]


def test_commands_of_the_pages_about_jobs_can_be_read():
    """In a shell, a crontab, a unit and a pod, as they stand there."""
    docs = Path(__file__).parent.parent / "docs"
    named = set()
    for page in ("jobs.md", "howto/cron.md", "howto/systemd.md"):
        text = (docs / page).read_text(encoding="utf-8").replace(">/dev/null", "")
        text = re.sub(r"command: \[(.*)\]", lambda found: found[1].replace(",", ""), text)
        for line in re.findall(r"(?m)^(?!.*`).*?\bpushover-logging (.+)$", text):
            named.add(parser().parse_args(shlex.split(line)).func.__module__.rpartition(".")[2])
    assert {"run", "jobs", "overdue", "send"} == named


@pytest.mark.parametrize(
    ("name", "actions"), [("outbox", ["list", "retry", "purge"]), ("jobs", ["list", "forget"])]
)
def test_actions_are_documented(name, actions):
    """Each of them."""
    assert actions == re.findall(r"^\| `(\w+)(?: NAME)?` \|", SECTIONS[name], re.MULTILINE)
