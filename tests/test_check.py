"""``pushover-logging check``: what is wrong, and how to fix it."""

import contextlib
import json
import multiprocessing
import sqlite3
import time

import pytest
from conftest import TOKEN, USER

pytestmark = pytest.mark.process
GROUP = "gznej3rKEVAvPUxu9vvNnqpmZpokzF"
OTHER = "uOtherzpo4DXghDmr9QzzfQu27cmVR"
ENV = "PUSHOVER_"
POOLS = [
    "pools           ok: workers do not inherit logging that is set up under __main__: give a pool "
    "initializer=pushover_logging.install_in_worker",
]
if multiprocessing.get_all_start_methods()[0] == "fork":  # on Linux until Python 3.13
    POOLS = []


def checked(command, *options, **environ):
    """Run it with --json; return the status, the failed checks by name, and the output."""
    status, out, err = command.run("check", "--json", *options, **environ)
    assert b"" == err
    found = json.loads(out)
    assert found["ok"] == (status == 0)
    assert TOKEN not in out.decode()
    assert USER not in out.decode()
    wrong = {one["name"]: one for one in found["checks"] if not one["ok"]}
    assert all(one["fix"] for one in wrong.values())
    return status, wrong, found


def only(wrong, name):
    """Return the text and the fix of the one thing that is wrong."""
    assert {name} == wrong.keys()
    return wrong[name]["text"], wrong[name]["fix"]


def test_all_is_well(command, inbox):
    """A line for each thing that was looked at; status 0; nothing is sent."""
    inbox.set_devices(USER, ["pixel", "ipad"])
    inbox.set_quota(limit=10_000, remaining=9998, reset=int(time.time()) + 6 * 86_400 + 60)
    status, out, err = command.run("check", "--device", "ipad", "--sound", "siren")
    assert (0, b"") == (status, err)
    assert out.decode().splitlines() == [
        "token           ok: accepted by the service",
        *POOLS,
        "user            ok: known, devices: pixel, ipad",
        "device          ok: ipad",
        "sound           ok: siren",
        "quota           ok: 9,998 of 10,000 messages left, reset in 6 days",
    ]
    assert [] == inbox.attempts


def test_output_for_programs_is_json(command, inbox):
    """As JSON: every check, the devices, the sounds and the quota."""
    reset = int(time.time()) + 1000
    inbox.set_quota(limit=500, remaining=20, reset=reset)
    status, _, found = checked(command)
    assert (0, ["phone"]) == (status, found["devices"])
    assert {"limit": 500, "remaining": 20, "reset": reset} == found["quota"]
    assert "siren" in found["sounds"]
    names = [name for name in ("token", "pools", "user", "quota") if POOLS or name != "pools"]
    assert names == [one["name"] for one in found["checks"]]


def test_push_is_sent_on_request(command, inbox):
    """To the device, with the sound."""
    options = ["--send", "--device", "phone", "--sound", "siren"]
    status, _, found = checked(command, *options)
    (push,) = inbox.messages
    assert (0, "message") == (status, found["checks"][-1]["name"])
    assert ("It works.", "phone", "siren") == (push["message"], push["device"], push["sound"])


@pytest.mark.parametrize("name", ["token", "user"])
def test_missing_variable(command, inbox, name):
    """Named, with where to get its value; the service is not asked."""
    status, wrong, _ = checked(command, **{f"{ENV}{name.upper()}": None})
    said, fix = only(wrong, name)
    assert 1 == status
    assert f"set PUSHOVER_{name.upper()} or PUSHOVER_{name.upper()}_FILE" in said
    assert "https://pushover.net" in fix
    assert not any(one.requests for one in inbox.connections)


def test_both_variables_missing(command):
    """Both are reported at once."""
    status, wrong, _ = checked(command, PUSHOVER_TOKEN=None, PUSHOVER_USER=None)
    assert (1, {"token", "user"}) == (status, wrong.keys())


@pytest.mark.parametrize("name", ["token", "user"])
def test_wrong_shape(command, inbox, name):
    """Reported without a request, and without showing the value."""
    value = "q" * 31
    status, wrong, found = checked(command, **{f"{ENV}{name.upper()}": value})
    said, fix = only(wrong, name)
    assert 1 == status
    assert said.startswith("got *** (31 characters), takes ")
    assert f"PUSHOVER_{name.upper()}" in fix
    assert value not in json.dumps(found)
    assert not any(one.requests for one in inbox.connections)


def test_refused_token(command, inbox):
    """In the service's words; that it is not the user key is the commonest fix."""
    inbox.refused.add(TOKEN)
    status, wrong, _ = checked(command)
    said, fix = only(wrong, "token")
    assert 1 == status
    assert said.startswith("refused: application token is invalid")
    assert "https://pushover.net/apps" in fix
    assert "not the user key" in fix


def test_unknown_user(command, inbox):
    """The token is well, and so is what else there is to look at."""
    inbox.refused.add(USER)
    status, wrong, found = checked(command)
    said, fix = only(wrong, "user")
    assert (1, "refused: user key is invalid") == (status, said)
    assert "PUSHOVER_USER" in fix
    assert ["token", "user", "quota"] == [
        one["name"] for one in found["checks"] if one["name"] != "pools"
    ]


def test_one_of_several_users_is_unknown(command, inbox):
    """It is named by its position, not by its key; devices are not checked."""
    inbox.set_group(GROUP, [USER])
    inbox.refused.add(OTHER)
    users = f"{USER},{OTHER},{GROUP}"
    status, wrong, found = checked(command, "--device", "phone", PUSHOVER_USER=users)
    said, _ = only(wrong, "user")
    assert (1, "refused 2 of 3: user key is invalid") == (status, said)
    told = [one["text"] for one in found["checks"]]
    assert "known 3 of 3, a group" in told
    assert "not checked: the service returns devices of a single user only" in told


def test_unknown_device(command, inbox):
    """Those that there are are named."""
    inbox.set_devices(USER, ["pixel", "ipad"])
    status, wrong, _ = checked(command, "--device", "pixel,nokia", "--send")
    expected = "the user has no device nokia", "use one of pixel, ipad; or none, for all devices"
    assert (1, expected) == (status, only(wrong, "device"))
    assert [] == inbox.messages


def test_unknown_sound(command):
    """Those that there are are named."""
    status, wrong, _ = checked(command, "--sound", "moo")
    said, fix = only(wrong, "sound")
    assert (1, "there is no sound moo") == (status, said)
    assert fix.startswith("use one of alien, bike, ")


@pytest.mark.parametrize("remaining", [0, -1])
def test_no_quota_left(command, inbox, remaining):
    """How long that will last."""
    inbox.set_quota(limit=500, remaining=remaining, reset=int(time.time()) + 2 * 86_400 + 60)
    status, wrong, found = checked(command, "--send")
    said, fix = only(wrong, "quota")
    assert (1, "0 of 500 messages left, reset in 2 days") == (status, said)
    assert fix.endswith("nothing is delivered for 2 days")
    assert remaining == found["quota"]["remaining"]
    assert [] == inbox.attempts


def test_too_many_questions(command, inbox):
    """A 429 is reported with its delay."""
    inbox.fail_with(429, headers={"Retry-After": "120"}, path="/1/users")
    status, wrong, _ = checked(command)
    said, fix = only(wrong, "quota")
    assert (1, True) == (status, "429" in said)
    assert fix.endswith("for 2 min")


def test_service_unreachable(command, free_port):
    """Which address it was; what to look at."""
    url = f"http://127.0.0.1:{free_port}"
    status, wrong, _ = checked(command, PUSHOVER_API_URL=url)
    said, fix = only(wrong, "service")
    assert (1, f"no answer from {url}: ConnectionError") == (status, said)
    assert "HTTPS_PROXY" in fix


def test_address_of_something_else_is_no_matter_of_the_user(command, inbox):
    """A page that is not there: neither is the token known to be right, nor the user wrong."""
    inbox.fail_with(404, "Not Found", path="/1/", times=None)
    status, wrong, found = checked(command)
    said, fix = only(wrong, "service")
    assert (1, True) == (status, "404" in said)
    assert "PUSHOVER_API_URL" in fix
    assert "token" not in [one["name"] for one in found["checks"] if one["ok"]]


def test_malformed_device_is_a_failed_check(command, inbox):
    """With several users, whose devices are not compared."""
    users = ",".join([USER, USER[::-1]])
    status, wrong, _ = checked(command, "--device", "bad name!", "--send", PUSHOVER_USER=users)
    said, _ = only(wrong, "device")
    assert (1, True) == (status, "got 'bad name!'" in said)
    assert [] == inbox.messages


def test_name_with_a_line_of_its_own_is_one_line(command, inbox):
    """A newline in an answer does not forge a check."""
    body = '{"status":1,"group":0,"devices":["phone\\nquota           ok: lots"]}'
    inbox.fail_with(200, body, path="/1/users")
    _, out, _ = command.run("check")
    assert 1 == sum(line.startswith(b"quota") for line in out.splitlines())


def test_push_that_is_refused(command, inbox):
    """The service's error is reported."""
    inbox.fail_with(400, '{"message":"bad","errors":["no such words"],"status":0}')
    status, wrong, _ = checked(command, "--send")
    said, _ = only(wrong, "service")
    assert (1, True) == (status, said.endswith("no such words"))


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("API_URL", "http://pushover.example", "api_url"),
        ("ENCRYPTION_KEY", "12", "encryption_key"),
        ("THROTTLE", "sometimes", "throttle"),
        ("THROTTLE", "redis://h:pw@:x/a", "throttle"),
        ("THROTTLE", "redis://h/?socket_timeout=soon", "throttle"),
        ("OUTBOX", "/", "outbox"),
        ("TOKEN", "off", "token"),
        ("TOKEN_FILE", "nowhere", "token"),
    ],
)
def test_other_variables_are_checked(command, variable, value, name):
    """A value that the handler would refuse, or that switches it off, is reported."""
    without = {"PUSHOVER_TOKEN": None} if variable == "TOKEN_FILE" else {}
    status, wrong, _ = checked(command, **{**without, f"{ENV}{variable}": value})
    assert (1, {name}) == (status, wrong.keys())


def test_file_that_was_never_an_outbox_is_reported(command, tmp_path):
    """A file named by mistake is not changed."""
    notes = tmp_path / "notes"
    notes.write_text("what I wrote down")
    status, wrong, _ = checked(command, PUSHOVER_OUTBOX=str(notes))
    said, fix = only(wrong, "outbox")
    assert (1, True, True) == (status, "not an outbox file" in said, "PUSHOVER_OUTBOX" in fix)
    assert ["notes"] == [one.name for one in tmp_path.iterdir() if one.is_file()]


def test_outbox_that_is_in_use_is_not_reported(command, tmp_path):
    """Nobody can read it just now, and that says nothing against it."""
    path = tmp_path / "outbox.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE message (id)")
        other.execute("BEGIN EXCLUSIVE")
        status, wrong, _ = checked(command, PUSHOVER_OUTBOX=str(path))
    assert (0, {}) == (status, wrong)


def test_fix_stands_under_what_is_wrong(command, inbox):
    """In the text output; control characters of an answer do not reach the terminal."""
    body = '{"user":"invalid","errors":["no \\u001b[31mred"],"status":0}'
    inbox.fail_with(400, body, path="/1/users")
    status, out, _ = command.run("check")
    wrong = [number for number, line in enumerate(out.splitlines()) if b"WRONG" in line]
    assert (1, 1, False) == (status, len(wrong), b"\x1b" in out)
    assert out.splitlines()[wrong[0] + 1].startswith(b"                fix: set PUSHOVER_USER")


SET_UP = """
import logging, logging.config
from pushover_logging import PushoverHandler
print("a program may print")
log = logging.getLogger("shop")
"""
PROGRAMS = {
    "twice": (
        "log.addHandler(PushoverHandler())\nlogging.getLogger().addHandler(PushoverHandler())",
        "records of the logger shop reach the same phone twice",
    ),
    "basicConfig": (
        "logging.getLogger().addHandler(PushoverHandler())\nlogging.basicConfig(level='INFO')",
        "basicConfig did nothing, because root has a PushoverHandler",
    ),
    "disabled": (
        "logging.config.dictConfig({'version': 1, 'root': {'handlers': ['phone']}, 'handlers': "
        "{'phone': {'class': 'pushover_logging.PushoverHandler'}}})",
        "the records of disabled loggers are lost: ",
    ),
    "reported by the program itself, too": (
        "log.disabled = True\nlogging.getLogger().addHandler(PushoverHandler())\n"
        "logging.warning('below the level')",
        "the records of disabled loggers are lost: shop",
    ),
    "key": (
        "log.addHandler(PushoverHandler())\n"
        "def f(): log.error('x', extra={'pushover': {'sond': 'siren', 'sound': 'siren'}})",
        "settings, line 7: the pushover extra of a record has the unknown key 'sond'",
    ),
    "mapping": (
        "log.addHandler(PushoverHandler())\n"
        "def f(): log.error('x', extra={'pushover': 'siren', 'pushover_': 1, **{}})\n"
        "def g(): log.error('x', extra={'pushover': None, 'other': {'pushover': 1}})",
        "settings, line 7: the pushover extra of a record has a str, not a mapping",
    ),
    "none": ("", "no logger has a PushoverHandler"),
    "error": ("1 / 0", "settings cannot be imported: ZeroDivisionError('division by zero')"),
    "option": (
        "PushoverHandler(level='loud')",
        "settings cannot be imported: level: got 'loud', takes ",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_set_up_of_a_program_is_checked(command, tmp_path, inbox, name):
    """With --import, each mistake is named, with its fix, and nothing is sent."""
    source, expected = PROGRAMS[name]
    (tmp_path / "settings.py").write_text(SET_UP + source)
    status, out, err = command.run("check", "--import", "settings", "--json")
    wrong = [one for one in json.loads(out)["checks"] if not one["ok"]]
    assert (1, ["logging"]) == (status, [one["name"] for one in wrong]), (out, err)
    assert wrong[0]["text"].startswith(expected)
    assert wrong[0]["fix"]
    assert [] == inbox.attempts


def test_set_up_that_is_well_is_reported(command, tmp_path):
    """A package whose module logs nothing, and one without a source."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("import sys\nsys.modules['shop.x'] = sys\n")
    handler = "logging.getLogger().addHandler(PushoverHandler())"
    (tmp_path / "shop" / "settings.py").write_text(SET_UP + handler)
    status, out, _ = command.run("check", "--import", "shop.settings")
    line = b"logging         ok: the logging that shop.settings sets up is right"
    assert (0, True) == (status, line in out.splitlines()), out
