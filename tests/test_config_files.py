"""The same options from code, JSON, YAML and INI: every one arrives, every wrong one is named."""

import json
import logging
import logging.config
import math
import re
from pathlib import Path

import pytest

from pushover_logging import ConfigurationError, PushoverFormatter, PushoverHandler, config

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
OPTIONS = {
    "token": TOKEN, "user": USER, "device": "phone", "sound": "bike",
    "levels": {"ERROR": {"priority": "emergency", "sound": "siren"}},
    "url": "https://logs.example/{name}?q={message}", "url_title": "Logs of {name}", "ttl": 600,
    "retry": 45, "expire": 900, "tags": "shop,db", "callback": "https://logs.example/ack",
    "html": True, "monospace": False, "host": "web-7",
    "title": "{message}", "style": "{", "extras": ["customer"],
    "body": "<b>{name}</b>\n{extras}\n{levelname} · {name} · {host}",
    "throttle": {"windows": [60, 120], "group_by": ["customer"]}, "capacity": 50, "max_age": "1h",
    "close_timeout": 4, "timeout": [2, 3], "redact": ["card [0-9]+"], "outbox": "auto",
}  # fmt: skip
EXPECTED = {
    "token": TOKEN, "user": USER, "device": "phone", "sound": "siren", "priority": "2",
    "url": "https://logs.example/shop?q=Disk%20%2Fsrv%20%26%20more%20is%20full",
    "url_title": "Logs of shop", "ttl": "600", "retry": "45", "expire": "900", "tags": "shop,db",
    "callback": "https://logs.example/ack", "html": "1", "title": "Disk /srv & more is full",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


def _check(inbox, root):
    logging.getLogger("shop").error("Disk %s is full", "/srv & more", extra={"customer": 7, "n": 1})
    (push,) = inbox.wait_for(1)
    assert EXPECTED == {key: push[key] for key in EXPECTED}
    assert "monospace" not in push
    assert "<b>shop</b><br>customer: 7<br>ERROR · shop · web-7" == push["message"]
    (handler,) = (one for one in root.handlers if isinstance(one, PushoverHandler))
    assert logging.ERROR == handler.level


def _dictionary(inbox):
    phone = {"class": "pushover_logging.PushoverHandler", "level": "ERROR", **OPTIONS}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"phone": {**phone, "api_url": inbox.url}},
        "root": {"level": "DEBUG", "handlers": ["phone"]},
    }


def test_every_option_from_json(inbox, root, tmp_path):
    """dictConfig from a JSON file."""
    file = tmp_path / "logging.json"
    file.write_text(json.dumps(_dictionary(inbox)))
    logging.config.dictConfig(json.loads(file.read_text()))
    _check(inbox, root)


def test_every_option_from_yaml(inbox, root, tmp_path):
    """dictConfig from a YAML file."""
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra test")
    file = tmp_path / "logging.yaml"
    file.write_text(yaml.safe_dump(_dictionary(inbox)))
    logging.config.dictConfig(yaml.safe_load(file.read_text()))
    _check(inbox, root)


def test_every_option_from_ini(inbox, root, tmp_path):
    """fileConfig from an INI file."""
    file = tmp_path / "logging.ini"
    kwargs = repr({**OPTIONS, "api_url": inbox.url}).replace("%", "%%")
    file.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=phone\n[formatters]\nkeys=\n"
        "[logger_root]\nlevel=DEBUG\nhandlers=phone\n"
        "[handler_phone]\nclass=pushover_logging.PushoverHandler\nlevel=ERROR\nargs=()\n"
        f"kwargs={kwargs}\n"
    )
    logging.config.fileConfig(file, disable_existing_loggers=False)
    _check(inbox, root)


def test_every_option_from_toml(inbox, root, tmp_path):
    """dictConfig from a TOML file."""
    tomllib = pytest.importorskip("tomllib", reason="TOML came into Python with 3.11")
    file = tmp_path / "logging.toml"
    file.write_text(_toml(_dictionary(inbox)))
    logging.config.dictConfig(tomllib.loads(file.read_text()))
    _check(inbox, root)


def _toml(table, name=""):
    """Write a dictionary as TOML: its values, which JSON writes alike, and then its tables."""
    values = [f"{key} = {json.dumps(one)}" for key, one in table.items() if type(one) is not dict]
    text = "\n".join([f"[{name}]" if name else "", *values, ""])
    for key, one in table.items():
        if isinstance(one, dict):
            text += _toml(one, f"{name}.{key}" if name else key)
    return text


class Shop:
    """What an ``ext://`` names."""

    SOUND, USER, WINDOW, CARD = "siren", "uAnotherKeyOfThirtyCharacters1", 90, "card [0-9]+"


def test_values_that_a_configuration_names_elsewhere(inbox, root):
    """``ext://`` and ``cfg://``, in mappings and lists within an option as well."""
    config = _dictionary(inbox)
    shop = f"ext://{__name__}.Shop"
    config["people"] = {"on_call": Shop.USER, "by": ["customer", {"name": "region"}]}
    config["handlers"]["phone"].update(
        level="INFO",
        levels={
            "INFO": {"priority": "high", "sound": f"{shop}.SOUND", "user": "cfg://people.on_call"},
        },
        throttle={
            "windows": [f"{shop}.WINDOW"], "group_by": ["cfg://people.by[0]", "cfg://people.by[1].name"],
        },
        redact=[f"{shop}.CARD"],
    )  # fmt: skip
    logging.config.dictConfig(config)
    log = logging.getLogger("shop")
    for region in ("north", "south", "south"):
        log.info("card 4242 was declined", extra={"customer": 7, "region": region})
    pushes = inbox.wait_for(2)
    (handler,) = (one for one in root.handlers if isinstance(one, PushoverHandler))
    assert 1 == handler.stats().suppressed
    assert [("siren", Shop.USER, "1", "*** was declined")] * 2 == [
        tuple(push[name] for name in ("sound", "user", "priority", "title")) for push in pushes
    ]
    assert (Shop.WINDOW,) == handler._settings.rules.windows


def test_values_of_a_formatter_that_a_configuration_names_elsewhere(inbox, root):
    """Within its lists and mappings too."""
    config = _dictionary(inbox)
    config["names"] = {"service": "payments", "field": "who"}
    config["handlers"]["phone"].update(formatter="push", html=False)
    config["formatters"] = {
        "push": {
            "()": "pushover_logging.PushoverFormatter",
            "static_fields": {"service": "cfg://names.service"},
            "rename_fields": {"customer": "cfg://names.field"},
            "extras": ["cfg://names.field", "service"],
        }
    }
    logging.config.dictConfig(config)
    logging.getLogger("shop").error("boom", extra={"customer": 7, "other": 8})
    lines = inbox.wait_for(1)[0]["message"].splitlines()
    assert {"service: payments", "who: 7"} == {line for line in lines if ": " in line}


def test_incremental_configuration_changes_the_level(inbox, root):
    """It touches nothing else of a handler that is there; records go on as before."""
    config = _dictionary(inbox)
    logging.config.dictConfig(config)
    (handler,) = (one for one in root.handlers if isinstance(one, PushoverHandler))
    change = {"version": 1, "incremental": True, "handlers": {"phone": {"level": "CRITICAL"}}}
    logging.config.dictConfig(change)
    logging.getLogger("shop").error("boom happened")
    logging.getLogger("shop").critical("it gets worse")
    assert ["it gets worse"] == [push["title"] for push in inbox.wait_for(1)]
    assert handler in root.handlers
    assert logging.CRITICAL == handler.level


@pytest.mark.process
def test_outbox_from_the_environment_alone(program, inbox, tmp_path):
    """Two processes with the store share the problem: one first push, and one count at the end."""
    source = """
        import logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler())
        logging.error("Cannot connect to %s", "db-7")
        """
    for _ in range(2):
        assert (0, "", "") == program.run(source, PUSHOVER_OUTBOX="outbox.sqlite")
    assert ["Cannot connect to db-7", "1 more: Cannot connect to db-7"] == [
        push["title"] for push in inbox.messages
    ]
    assert (tmp_path / "outbox.sqlite").exists()


@pytest.mark.process
def test_redis_from_the_environment_alone(program, inbox, redis):
    """Three hosts that name it share the problem, without a line of code."""
    source = """
        import logging
        from pushover_logging import install
        install()
        logging.error("Cannot connect to %s", "db-7")
        """
    for host in ("web-1", "web-2", "web-3"):
        status = program.run(source, PUSHOVER_THROTTLE=redis.url, PUSHOVER_HOST=host)
        assert (0, "", "Cannot connect to db-7\n") == status
    (push,) = inbox.messages
    assert push["message"].endswith("ERROR · root · web-1")


def test_formatter_from_a_configuration(inbox, root):
    """A PushoverFormatter with python-json-logger's options takes the handler's host."""
    config = _dictionary(inbox)
    config["handlers"]["phone"].update(formatter="push", html=False, throttle=False)
    for name in ("title", "body", "style", "extras"):
        del config["handlers"]["phone"][name]
    config["formatters"] = {
        "push": {
            "()": "pushover_logging.PushoverFormatter",
            "static_fields": {"service": "payments"},
            "rename_fields": {"customer": "who"},
            "reserved_attrs": ["secret"],
        }
    }
    config["formatters"]["push"].pop("reserved_attrs")
    logging.config.dictConfig(config)
    logging.getLogger("shop").error("boom", extra={"customer": 7})
    (push,) = inbox.wait_for(1)
    lines = push["message"].splitlines()
    assert ["service: payments", "who: 7", "ERROR · shop · web-7"] == lines[1:]


def test_environment_alone(inbox, monkeypatch, tmp_path):
    """Token and user from variables, or from the files that variables name."""
    secret = tmp_path / "token"
    secret.write_text(f"\ufeff{TOKEN}\n", encoding="utf-8")  # as some editors begin a file
    monkeypatch.setenv("PUSHOVER_TOKEN_FILE", str(secret))
    monkeypatch.setenv("PUSHOVER_USER", USER)
    monkeypatch.setenv("PUSHOVER_API_URL", inbox.url + "/")
    monkeypatch.setenv("PUSHOVER_THROTTLE", "off")
    monkeypatch.setenv("PUSHOVER_HOST", "db-9")
    handler = PushoverHandler()
    for _ in range(2):
        handler.handle(logging.makeLogRecord({"msg": "boom", "levelno": 40, "levelname": "ERROR"}))
    assert "db-9" in inbox.wait_for(2)[1]["message"]
    handler.close()


def test_host_of_a_container_is_not_shown(monkeypatch):
    """A hexadecimal name has no meaning for a reader."""
    monkeypatch.setattr("socket.gethostname", lambda: "0123456789ab")
    assert None is PushoverHandler(token=TOKEN, user=USER)._default_formatter.host
    monkeypatch.setenv("PUSHOVER_HOST", "deadbeefcafe")  # somebody wants it
    assert "deadbeefcafe" == PushoverHandler(token=TOKEN, user=USER)._default_formatter.host


@pytest.mark.parametrize("off", ["off", "OFF"])
def test_off_switches_the_handler_off(monkeypatch, caplog, off):
    """PUSHOVER_TOKEN=off: nothing is sent, nothing fails, and it is reported."""
    monkeypatch.setenv("PUSHOVER_TOKEN", off)
    handler = PushoverHandler()
    record = logging.makeLogRecord({"msg": "boom", "levelno": 40})
    handler.handle(record)
    handler.emit(record)
    assert handler.flush()
    handler.close()
    assert 0 == handler.stats().records
    assert "nothing is sent" in caplog.text
    assert repr(handler).endswith("off>")


@pytest.mark.parametrize(("option", "wrong"), [
    ("token", "short"), ("token", 5), ("user", "u" * 29), ("level", "LOUD"), ("level", 1.5),
    ("levels", {"ERROR": "urgent"}), ("levels", {"ERROR": {"nope": 1}}), ("levels", 3),
    ("device", "a b"), ("device", 5), ("device", {"a": 1}), ("levels", {"LOUD": 1}),
    ("sound", 4), ("url", "x" * 600), ("ttl", 0), ("ttl", -5), ("retry", 29),
    ("expire", 10_801), ("tags", 5), ("callback", "nowhere"), ("html", "yes"), ("host", 5),
    ("throttle", "http://me:secret@localhost"), ("outbox", 5), ("outbox", "/"),
    ("title", "\ud800"), ("api_url", "https://h/?"), ("api_url", "https://h/#"),
    ("title", ""), ("title", "%(name"), ("title", "100%"), ("title", "%s"), ("title", "%(x)q"),
    ("body", 5), ("body", "%d"), ("style", "!"), ("style", 5), ("extras", "order"),
    ("extras", [5]),
    ("encryption_key", "0" * 63), ("redact", 5), ("redact", "("), ("redact", [b"x"]),
    ("capacity", 0), ("trail", -1), ("trail_level", "LOUD"),
    ("max_age", "long"), ("close_timeout", -1), ("timeout", 0),
    ("timeout", (1, 2, 3)), ("timeout", float("nan")), ("api_url", "http://example.org"),
    ("api_url", "nowhere"), ("api_url", 5), ("api_url", "https://me:secret@example.org"),
    ("user", 5), ("user", ["u" * 29]), ("callback", "http://["), ("outbox", "a\0b"),
    ("outbox", "x" * 300), ("outbox", "\ud800"), ("throttle", {"group_by": 5}),
    ("throttle", {"group_by": [5]}), ("throttle", {"group_by": {"customer"}}),
    ("throttle", {"windows": "123"}), ("throttle", math.inf),
    pytest.param("throttle", 9**999, id="throttle-endless"),
    ("throttle", {"store": "redis://["}), ("throttle", {"store": 5}),
    ("throttle", {"store": "redis://:secret@h", "bye": 1}),
    ("throttle", "redis:/:secret@h"), ("api_url", "http://localhost:99999"),
    ("api_url", "https://["), ("api_url", "https://me:secret@h:x"), ("api_url", "https://h/#a"),
    ("close_timeout", 1e300), ("timeout", 1e300), ("level", "redis://:secret@h"),
])  # fmt: skip
def test_wrong_option_is_named(option, wrong):
    """A ConfigurationError at construction names the option and shows no secret."""
    given = {"token": TOKEN, "user": USER, option: wrong}
    with pytest.raises(ConfigurationError) as caught:
        PushoverHandler(**given)
    assert option == caught.value.option
    assert option in str(caught.value)
    for secret in (TOKEN, USER, "secret", "0" * 64, "u" * 29):
        assert secret not in str(caught.value)


def test_wrong_address_is_shown_with_its_port():
    """An inbox that was not started has the port 0."""
    with pytest.raises(ConfigurationError, match=r"got 'http://127\.0\.0\.1:0', takes an https"):
        PushoverHandler(token=TOKEN, user=USER, api_url="http://127.0.0.1:0")


class Silent:
    """What raises where it is asked for its text."""

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() | {"level", "encryption_key"}))
def test_value_without_a_text_is_named_as_well(option):
    """An object's own fault does not hide which option is wrong."""
    given = {"token": TOKEN, "user": USER, option: [Silent()]}
    with pytest.raises(ConfigurationError, match=f"^{option}: ") as caught:
        PushoverHandler(**given)
    assert option == caught.value.option


def test_long_value_is_a_line():
    """What an error shows of a value ends where a line does."""
    with pytest.raises(ConfigurationError) as caught:
        PushoverHandler(token=TOKEN, user=USER, extras="x" * 100_000)
    assert len(str(caught.value)) < 300


def test_html_excludes_monospace():
    """Two ways to show a text that contradict each other are refused."""
    with pytest.raises(ConfigurationError, match="monospace"):
        PushoverHandler(token=TOKEN, user=USER, html=True, monospace=True)


def test_missing_credentials_name_the_variables(monkeypatch):
    """Without a token the error names the variables; a missing file is an error too."""
    with pytest.raises(ConfigurationError, match="PUSHOVER_TOKEN or PUSHOVER_TOKEN_FILE"):
        PushoverHandler(user=USER)
    monkeypatch.setenv("PUSHOVER_USER_FILE", "/does/not/exist")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PushoverHandler(token=TOKEN)


def test_every_option_is_documented():
    """The table of options has each option of the handler, and no other."""
    code = PushoverHandler.__init__.__code__
    options = set(code.co_varnames[1 : 1 + code.co_kwonlyargcount])
    page = (Path(__file__).parent.parent / "docs" / "options.md").read_text(encoding="utf-8")
    table = page.partition("One record can set")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert options == {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_formatter_takes_the_place_of_one_in_an_ini(inbox):
    """fileConfig hands a formatter its format, date format and style by position."""
    formatter = PushoverFormatter(None, None, "%")
    record = logging.makeLogRecord({"msg": {"event": "paid", "sum": 5}, "levelno": 40})
    assert "paid" == formatter.message(record).title
    assert "sum: 5" in formatter.format(record)


def test_secrets_to_mask_are_the_handlers_own():
    """All keys, the encryption key in either case; nothing that is not a key."""
    key = "ab" * 32
    found = config.Credentials(TOKEN, f"{USER},{USER}", key).secrets()
    assert [TOKEN, USER, USER, key, key.upper()] == found
    assert [] == config.Credentials("short", "short").secrets()
