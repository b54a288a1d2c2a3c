"""`pushover-logging init`: from two keys to the first push, on a terminal and without one."""

import contextlib
import os
import re
import select
import stat
import time

import pytest
from conftest import TOKEN, USER, Command

from pushover_logging import config
from pushover_logging.cli import main
from pushover_logging.inbox import Inbox

pytestmark = pytest.mark.process
pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
PROMPTS = {"token": "API token (not shown): ", "user": "user key (not shown): "}
LOAD = "set -a; . ./.env; set +a; "


@pytest.fixture
def inbox():
    """Strict, as the service is: it knows one token and one user."""
    with Inbox(strict=True) as running:
        running.set_devices(USER, ["pixel", "ipad"])
        yield running


@pytest.fixture
def unset(tmp_path, inbox):
    command = Command(tmp_path, inbox)
    del command.environ["PUSHOVER_TOKEN"], command.environ["PUSHOVER_USER"]
    return command


def talk(command, *answers, options=()):
    """Answer each prompt on a terminal; return the status and all that stood there."""
    how = command.options({})
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover  it becomes the command
        os.chdir(how["cwd"])
        os.execve(command.PATH, [command.PATH, "init", *options], how["env"])
    shown, left, end = "", list(answers), time.monotonic() + 60
    with contextlib.suppress(OSError):  # the terminal's other end is closed
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                data = os.read(terminal, 4096)
                if not data:
                    break
                shown += data.decode()
                if shown.endswith("(not shown): ") and left:
                    os.write(terminal, f"{left.pop(0)}\n".encode())
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert [] == left, shown
    return os.waitstatus_to_exitcode(status), shown.replace("\r\n", "\n")


def test_two_keys_to_the_first_push(unset, inbox, tmp_path):
    """It asks, checks, writes .env for the owner alone, sends, and names the next command."""
    status, shown = talk(unset, TOKEN, USER)
    assert 0 == status, shown
    assert "https://pushover.net/apps/build" in shown
    assert "The service accepts both keys; devices: pixel, ipad." in shown
    assert shown.endswith(f"Next: {LOAD}pushover-logging check\n")
    assert not [key for key in (TOKEN, USER) if key in shown]
    env = tmp_path / ".env"
    assert 0o600 == stat.S_IMODE(env.stat().st_mode)
    expected = [f"{name}={value}" for name, value in inbox.environ.items()]
    assert sorted(expected) == sorted(env.read_text().splitlines())
    assert ["It works: pushover-logging can reach you."] == [
        one["message"] for one in inbox.messages
    ]
    assert [".env"] == [one.name for one in tmp_path.iterdir() if one.is_file()]


MISTAKES = {
    "empty": ("", "it is empty"),
    "e-mail": ("ann@shop.example", "it is an e-mail address, not a key"),
    "quotes inside": (f"{TOKEN[:9]}'{TOKEN[9:]}", "it has quotes in it"),
    "spaces": (f"{TOKEN[:9]} {TOKEN[9:]}", "it has spaces in it"),
    "truncated": (TOKEN[:-3], "it is too short: 27 characters, and a key has 30"),
    "too long": (TOKEN * 2, "it is too long: 60 characters, and a key has 30"),
    "other characters": (f"{TOKEN[:-1]}-", "it has characters other than A-Z, a-z, 0-9"),
}


def test_each_mistake_is_named_and_asked_again(unset, inbox):
    """For both keys, and nothing wrong reaches the service."""
    wrong = [text for text, _ in MISTAKES.values()]
    status, shown = talk(unset, *wrong, TOKEN, *wrong, USER)
    assert 0 == status, shown
    for _, words in MISTAKES.values():
        assert 1 == shown.count(f"That is not the API token: {words}"), words
        assert 1 == shown.count(f"That is not the user key: {words}"), words
    assert not any(text in shown for text in [*filter(None, wrong), TOKEN, USER])
    assert [200] == [attempt.status for attempt in inbox.attempts]


def test_quotes_and_spaces_around_a_key_are_left_out(unset, tmp_path):
    """As they come with a line of a file."""
    status, shown = talk(
        unset,
        f'  "{TOKEN}" ',
        f"\N{LEFT DOUBLE QUOTATION MARK}{USER}\N{RIGHT DOUBLE QUOTATION MARK}",
    )
    assert (0, 2) == (status, shown.count("The quotes around the key are left out.")), shown
    assert f"PUSHOVER_TOKEN={TOKEN}\n" in (tmp_path / ".env").read_text()


def test_swapped_keys_are_put_right(unset, tmp_path):
    """The service refuses them, and accepts them the other way round."""
    status, shown = talk(unset, USER, TOKEN)
    assert (0, 1) == (status, shown.count("The two keys were swapped")), shown
    assert f"PUSHOVER_TOKEN={TOKEN}\nPUSHOVER_USER={USER}\n" in (tmp_path / ".env").read_text()


def test_keys_that_the_service_does_not_know_are_asked_again(unset):
    """In the service's words; each alone."""
    status, shown = talk(unset, "a" * 30, "u" * 30, TOKEN, USER)
    assert 0 == status, shown
    assert "The service refuses the API token: application token is invalid" in shown
    assert "The service refuses the user key: user key is invalid" in shown


def test_end_of_input_and_silence_of_the_service(unset, inbox, tmp_path):
    """Ctrl-D ends it as Ctrl-C does; without an answer of the service nothing is written."""
    assert 130 == talk(unset, "\x04")[0]
    inbox.fail_with(503, path="/1/users")
    status, shown = talk(unset, TOKEN, USER)
    assert (75, False) == (status, (tmp_path / ".env").exists()), shown


def test_file_keeps_its_other_lines_and_git_ignores_it(unset, inbox, tmp_path):
    """Once, also if it is there already."""
    (tmp_path / ".env").write_text("DEBUG=1\nPUSHOVER_TOKEN=old\n")
    (tmp_path / ".env").chmod(0o644)
    (tmp_path / ".gitignore").write_text("*.pyc")
    for told in (True, False):
        status, out, err = unset.run("init", "--non-interactive", **inbox.environ)
        assert (0, b"", told) == (status, out, b".env is now in .gitignore" in err), err
    assert "*.pyc\n.env\n" == (tmp_path / ".gitignore").read_text()
    lines = (tmp_path / ".env").read_text().splitlines()
    assert ["DEBUG=1", f"PUSHOVER_TOKEN={TOKEN}", f"PUSHOVER_USER={USER}"] == lines[:3]
    assert 0o600 == stat.S_IMODE((tmp_path / ".env").stat().st_mode)


@pytest.mark.parametrize("form", ["shell", "docker", "systemd"])
def test_lines_are_printed(unset, inbox, tmp_path, form):
    """With nothing else on stdout, and no file."""
    status, out, err = unset.run("init", "--non-interactive", "--print", form, **inbox.environ)
    assert (0, []) == (status, list(tmp_path.iterdir())), err
    start = "export " if form == "shell" else ""
    for name, value in inbox.environ.items():
        assert f"{start}{name}={value}" in out.decode().splitlines()
    assert err.decode().endswith("Next: pushover-logging check\n")


WITHOUT = {
    "missing": ({"PUSHOVER_USER": None}, 2, "user: none was given"),
    "quotes": ({"PUSHOVER_TOKEN": f"'{TOKEN}'"}, 2, "token: it has quotes in it; leave them out"),
    "swapped": ({"PUSHOVER_TOKEN": USER, "PUSHOVER_USER": TOKEN}, 2, "they are swapped"),
    "unknown user": ({"PUSHOVER_USER": "u" * 30}, 1, "user key is invalid"),
    "unknown token": ({"PUSHOVER_TOKEN": "a" * 30}, 1, "application token is invalid"),
    "one key twice": ({"PUSHOVER_TOKEN": "a" * 30, "PUSHOVER_USER": "a" * 30}, 1, "is invalid"),
    "two users": (
        {"PUSHOVER_TOKEN": "a" * 30, "PUSHOVER_USER": f"{USER},{USER}"}, 1, "token is invalid",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_terminal_a_mistake_is_an_error(unset, inbox, tmp_path, name):
    """One line, the status that other commands have, and no file."""
    environ, expected, words = WITHOUT[name]
    given = {**inbox.environ, **environ}
    status, out, err = unset.run("init", "--non-interactive", **given)
    assert (expected, b"", 1) == (status, out, err.count(b"\n")), err
    assert words in err.decode()
    assert not (tmp_path / ".env").exists()


def test_without_a_terminal_it_asks_nothing(unset):
    """It names the option that asks nothing."""
    status, _, err = unset.run("init")
    assert (2, True) == (status, b"use --non-interactive" in err)


def test_group_and_no_device(unset, inbox):
    """What the service answers is shown."""
    group = "g" * 30
    inbox.set_group(group, [USER])
    given = {**inbox.environ, "PUSHOVER_USER": f"{USER},{group}"}
    _, _, err = unset.run("init", "--non-interactive", **given)
    assert b"both keys; devices: pixel, ipad; a group.\n" in err
    inbox.set_devices(USER, [])
    _, _, err = unset.run("init", "--non-interactive", **inbox.environ)
    assert b"both keys; there is no active device.\n" in err


@pytest.mark.parametrize("content", [b"\xff", None])
def test_file_that_cannot_be_written(unset, inbox, tmp_path, content):
    """A line, and a status of its own; nothing is sent."""
    env = tmp_path / ".env"
    if content is None:
        env.mkdir()
    else:
        env.write_bytes(content)
    status, _, err = unset.run("init", "--non-interactive", **inbox.environ)
    assert (2, []) == (status, inbox.attempts)
    assert re.search(rb"\.env cannot be written \((Is a directory|it is not UTF-8)\)", err), err


def test_next_command_loads_the_file(unset, inbox, tmp_path):
    """A shell reads the lines as they stand."""
    unset.run("init", "--non-interactive", **inbox.environ)
    script = f"{LOAD}'{unset.PATH}' send 'from a shell'"
    assert 0 == os.system(f"cd '{tmp_path}' && {script}")
    assert "from a shell" == inbox.messages[-1]["message"]


def test_address_of_the_real_service_is_not_written(inbox, tmp_path, monkeypatch):
    """It is where every program sends without a variable; here the inbox stands in for it."""
    monkeypatch.setattr(config, "API_URL", inbox.url)
    monkeypatch.setenv("PUSHOVER_TOKEN", TOKEN)
    monkeypatch.setenv("PUSHOVER_USER", USER)
    monkeypatch.chdir(tmp_path)
    assert 0 == main(["init", "--non-interactive"])
    text = (tmp_path / ".env").read_text()
    assert f"PUSHOVER_TOKEN={TOKEN}\nPUSHOVER_USER={USER}\n" == text
    assert 1 == len(inbox.messages)
