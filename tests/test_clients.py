"""Clients that know nothing of this project, as they come from PyPI, pointed at the inbox.

Each is told the base URL in the way that it offers: a constant or an attribute. Nothing else of
them is touched.
"""

from __future__ import annotations

import base64
import functools

import pytest

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import Inbox
from pushover_logging.inbox.rules import EXAMPLE_TOKEN, EXAMPLE_USER

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BAD_TOKEN = "x" * 30
# What the clients' own code warns of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")
importorskip = functools.partial(pytest.importorskip, reason="comes with the extra test")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "plot.png"
    path.write_bytes(PNG)
    return path


@pytest.fixture
def inbox(pushover_inbox):
    pushover_inbox.refused.add(BAD_TOKEN)
    return pushover_inbox


@pytest.fixture
def api(inbox):
    return f"{inbox.url}/1/"


class TestApprise:
    """The plugin of apprise, which notifies a hundred services."""

    @pytest.fixture
    def apprise(self, api, monkeypatch):
        apprise = importorskip("apprise")
        plugin = importorskip("apprise.plugins.pushover").NotifyPushover
        monkeypatch.setattr(plugin, "notify_url", f"{api}messages.json")
        # Its own pause between two requests.
        monkeypatch.setattr(plugin, "request_rate_per_sec", 0)
        return apprise

    def send(self, apprise, body="disk full", query="", token=EXAMPLE_TOKEN, **more):
        sender = apprise.Apprise()
        assert sender.add(f"pover://{EXAMPLE_USER}@{token}/{query}")
        return sender.notify(body=body, title="db-1", **more)

    def test_sends(self, apprise, inbox, picture):
        """A message, one with a picture, an emergency."""
        assert self.send(apprise)
        assert self.send(apprise, attach=str(picture))
        assert self.send(apprise, query="?priority=emergency&sound=siren")
        plain, pictured, emergency = inbox.messages
        assert ("db-1", "disk full") == (plain["title"], plain["message"])
        assert len(PNG) == pictured["attachment"]["size"]
        assert ("2", "siren") == (emergency["priority"], emergency["sound"])
        assert 30 == len(emergency["receipt"])

    def test_reports_errors(self, apprise, inbox):
        """A refused token fails its call."""
        assert not self.send(apprise, token=BAD_TOKEN)
        assert [400] == [attempt.status for attempt in inbox.attempts]

    def test_encrypts_as_this_project_reads(self, apprise, monkeypatch):
        """Two implementations that never met agree."""
        importorskip("pushover_logging.api.encryption", exc_type=ConfigurationError)
        key = "0123456789abcdef" * 4
        with Inbox(encryption_key=key) as inbox:
            plugin = apprise.plugins.pushover.NotifyPushover
            monkeypatch.setattr(plugin, "notify_url", f"{inbox.url}/1/messages.json")
            assert self.send(apprise, query=f"?key={key}")
            (message,) = inbox.messages
        assert "disk full" not in message["message"]
        assert "disk full" == message["decrypted"]["message"]


class TestNotifiers:
    """The provider of notifiers."""

    @pytest.fixture
    def pushover(self, api, monkeypatch):
        notifiers = importorskip("notifiers")
        module = importorskip("notifiers.providers.pushover")
        monkeypatch.setattr(module.PushoverMixin, "base_url", api)
        provider = notifiers.get_notifier("pushover")
        return functools.partial(provider.notify, token=EXAMPLE_TOKEN, user=EXAMPLE_USER), provider

    def test_sends(self, pushover, inbox, picture):
        """A message, one with a picture, an emergency."""
        notify, _ = pushover
        assert notify(message="disk full", title="db-1").ok
        assert notify(message="m", attachment=str(picture)).ok
        answer = notify(message="down", priority=2, retry=30, expire=60)
        assert answer.response.json()["receipt"] == inbox.messages[2]["receipt"]
        assert "db-1" == inbox.messages[0]["title"]
        assert len(PNG) == inbox.messages[1]["attachment"]["size"]

    def test_asks(self, pushover, inbox):
        """For the limits and the sounds."""
        provider = pushover[1]
        limits = provider.limits(token=EXAMPLE_TOKEN)
        assert (10_000, 10_000) == (limits["limit"], limits["remaining"])
        assert "siren" in provider.sounds(token=EXAMPLE_TOKEN)

    def test_reports_errors(self, pushover):
        """A refused token and a blank message, in the service's words."""
        notify, _ = pushover
        refused = notify(message="m", token=BAD_TOKEN)
        assert ["application token is invalid, see https://pushover.net/api"] == refused.errors
        assert ["message cannot be blank"] == notify(message=" ").errors


class TestPushoverComplete:
    """pushover_complete, which has every call."""

    @pytest.fixture
    def module(self, api, monkeypatch):
        module = importorskip("pushover_complete.pushover_api")
        monkeypatch.setattr(module, "PUSHOVER_API_URL", api)
        return module

    def test_every_call(self, module, inbox, picture):
        """Send, picture, emergency with its receipt, cancel, validate, sounds."""
        client = module.PushoverAPI(EXAMPLE_TOKEN)
        client.send_message(EXAMPLE_USER, "disk full", title="db-1")
        with picture.open("rb") as opened:
            client.send_message(EXAMPLE_USER, "m", image=opened)
        receipt = client.send_message(EXAMPLE_USER, "down", priority=2, retry=30, expire=60)[
            "receipt"
        ]
        assert 0 == client.check_receipt(receipt)["acknowledged"]
        inbox.acknowledge(receipt)
        assert EXAMPLE_USER == client.check_receipt(receipt)["acknowledged_by"]
        assert 1 == client.cancel_receipt(receipt)["status"]
        assert ["phone"] == client.validate(EXAMPLE_USER)["devices"]
        assert "Siren" == client.get_sounds()["siren"]
        assert len(PNG) == inbox.messages[1]["attachment"]["size"]

    def test_reports_errors(self, module):
        """Bad token, bad user, blank message, unknown receipt: its exception with our words."""
        error = importorskip("pushover_complete.error").BadAPIRequestError
        client = module.PushoverAPI(EXAMPLE_TOKEN)
        for call, words in (
            (lambda: module.PushoverAPI(BAD_TOKEN).send_message(EXAMPLE_USER, "m"), "token"),
            (lambda: client.validate("nobody"), "user key is invalid"),
            (lambda: client.send_message(EXAMPLE_USER, " "), "message cannot be blank"),
            (lambda: client.check_receipt("nobody"), "receipt not found"),
        ):
            with pytest.raises(error, match=words):
                call()


class TestChump:
    """chump, with objects for applications, users and messages."""

    @pytest.fixture
    def chump(self, api, monkeypatch):
        chump = importorskip("chump")
        monkeypatch.setattr(chump, "ENDPOINT", api)
        return chump

    def test_every_call(self, chump, inbox):
        """Validate, sounds, send, emergency with its receipt, limits from the headers, cancel."""
        application = chump.Application(EXAMPLE_TOKEN)
        assert application.is_authenticated
        assert "siren" in application.sounds
        user = application.get_user(EXAMPLE_USER)
        assert (True, {"phone"}) == (user.is_authenticated, set(user.devices))
        assert user.send_message("disk full", title="db-1").is_sent
        emergency = user.send_message("down", priority=chump.EMERGENCY, retry=30, expire=60)
        assert (10_000, 9_998) == (application.limit, application.remaining)
        inbox.acknowledge(inbox.messages[1]["receipt"])
        emergency.poll()
        assert emergency.is_acknowledged
        assert EXAMPLE_USER == emergency.acknowledged_by.token

    def test_reports_errors(self, chump):
        """A refused token is not authenticated, a bad message is its exception."""
        assert not chump.Application(BAD_TOKEN).is_authenticated
        user = chump.Application(EXAMPLE_TOKEN).get_user(EXAMPLE_USER)
        blank = user.send_message(" ")
        assert (False, ["message cannot be blank"]) == (blank.is_sent, blank.error.errors)


class TestPushovernet:
    """pushovernet, of this year."""

    @pytest.fixture
    def module(self, inbox, monkeypatch):
        module = importorskip("pushovernet.client")
        monkeypatch.setattr(module, "BASE_URL", inbox.url)
        return module

    def test_every_call(self, module, inbox, picture):
        """Send, picture, emergency with its receipt, cancel, validate, sounds, limits."""
        with module.PushoverClient(token=EXAMPLE_TOKEN, user_key=EXAMPLE_USER) as client:
            client.send_message("disk full", title="db-1", attachment=picture)
            receipt = client.send_message("down", priority=2, retry=30, expire=60).receipt
            assert (10_000, 9_998) == (client.rate_limits.limit, client.rate_limits.remaining)
            inbox.acknowledge(receipt)
            assert EXAMPLE_USER == client.get_receipt(receipt).acknowledged_by
            assert 1 == client.cancel_receipt(receipt)["status"]
            assert 1 == client.cancel_receipt_by_tag("db-1")["status"]
            assert ["phone"] == client.validate_user().devices
            assert "Siren" == client.list_sounds()["siren"]
            assert 9_998 == client.get_limits().remaining
        assert len(PNG) == inbox.messages[0]["attachment"]["size"]

    def test_reports_errors(self, module, inbox):
        """A refused token, a blank message, and a quota that is used up."""
        errors = importorskip("pushovernet.exceptions")
        with (
            module.PushoverClient(token=BAD_TOKEN, user_key=EXAMPLE_USER) as client,
            pytest.raises(errors.PushoverAPIError, match="application token is invalid"),
        ):
            client.send_message("m")
        with module.PushoverClient(token=EXAMPLE_TOKEN, user_key=EXAMPLE_USER) as client:
            with pytest.raises(errors.PushoverAPIError, match="message cannot be blank"):
                client.send_message(" ")
            inbox.set_quota(remaining=0)
            with pytest.raises(errors.PushoverRateLimitError):
                client.send_message("m")
