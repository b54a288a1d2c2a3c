"""InboxAccount: the quota, users with their devices, groups, and the list of sounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules

# https://pushover.net/api#limits: messages a month of a free account.
DEFAULT_LIMIT = 10_000
MAX_LIMIT = 10**12  # far above any plan
DEFAULT_DEVICES = ("phone",)
# https://pushover.net/api#sounds
SOUNDS = {
    "pushover": "Pushover (default)",
    "bike": "Bike",
    "bugle": "Bugle",
    "cashregister": "Cash Register",
    "classical": "Classical",
    "cosmic": "Cosmic",
    "falling": "Falling",
    "gamelan": "Gamelan",
    "incoming": "Incoming",
    "intermission": "Intermission",
    "magic": "Magic",
    "mechanical": "Mechanical",
    "pianobar": "Piano Bar",
    "siren": "Siren",
    "spacealarm": "Space Alarm",
    "tugboat": "Tug Boat",
    "alien": "Alien Alarm (long)",
    "climb": "Climb (long)",
    "persistent": "Persistent (long)",
    "echo": "Pushover Echo (long)",
    "updown": "Up Down (long)",
    "vibrate": "Vibrate Only",
    "none": "None (silent)",
}


class InboxAccount:
    """One Pushover account, and the users and groups that it can send to.

    Each well-formed token, user or group key is valid, except those in ``refused``, and its own
    user key as a token or its own token as a user. If it is ``strict``, its own token is the only
    one, and its own user and those that were set are the only users and groups. ``now`` returns
    Unix time. Not thread-safe: the caller holds the store's lock.
    """

    def __init__(
        self, refused: set[str], now: Callable[[], float], *, strict: bool = False
    ) -> None:
        self.refused = refused
        self._strict = strict
        self._initially_refused = frozenset(refused)
        self._now = now
        self._devices: dict[str, tuple[str, ...]] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._limit = self._remaining = DEFAULT_LIMIT
        self._reset = rules.next_reset(now())

    @property
    def exceeded_limit(self) -> int | None:
        """The limit if the quota is used up, else None."""
        self._start_new_month()
        return self._limit if self._remaining <= 0 else None

    @property
    def quota(self) -> dict[str, int]:
        """The month's ``limit``, how many are ``remaining``, and the Unix time of the ``reset``."""
        self._start_new_month()
        return {"limit": self._limit, "remaining": self._remaining, "reset": self._reset}

    def set_quota(
        self, limit: int | None = None, remaining: int | None = None, reset: float | None = None
    ) -> None:
        """Set the values that are not None. Raises ConfigurationError if one is out of range."""
        for name, number in (("limit", limit), ("remaining", remaining), ("reset", reset)):
            if number is not None and not -MAX_LIMIT <= number <= MAX_LIMIT:
                text = f"{name}: {number} is not from -{MAX_LIMIT} to {MAX_LIMIT}"
                raise ConfigurationError(text)
        self._limit = self._limit if limit is None else limit
        self._remaining = self._remaining if remaining is None else remaining
        self._reset = self._reset if reset is None else int(reset)

    def spend(self, users: Collection[str]) -> None:
        """Count one message for each user, and for each member of a group."""
        self._remaining -= sum(len(self._groups.get(user, (user,))) for user in users)

    def set_devices(self, user: str, devices: Collection[str]) -> None:
        """Set the names of a user's devices."""
        _check_key("user", user)
        for device in devices:
            if not rules.DEVICE.fullmatch(device):
                text = f"device: {device!r} is not 1 to 25 of A-Z a-z 0-9 _ -"
                raise ConfigurationError(text)
        self._devices[user] = tuple(devices)

    def set_group(self, group: str, members: Collection[str]) -> None:
        """Make ``group`` the key of a group with these user keys."""
        _check_key("group", group)
        for member in members:
            _check_key("member", member)
        self._groups[group] = tuple(members)

    def takes_token(self, token: str) -> bool:
        """Return True if a token is valid."""
        if not rules.is_key(token) or token in self.refused:
            return False
        return token == rules.EXAMPLE_TOKEN or not (self._strict or self._is_own_user(token))

    def takes_user(self, user: str) -> bool:
        """Return True if a user or group key is valid."""
        if not rules.is_key(user) or user in self.refused:
            return False
        return self._is_own_user(user) or not (self._strict or user == rules.EXAMPLE_TOKEN)

    def _is_own_user(self, key: str) -> bool:
        return key == rules.EXAMPLE_USER or key in self._devices or key in self._groups

    def unknown(self, fields: Mapping[str, str]) -> tuple[str, ...]:
        """Return which of a message's ``sound`` and ``device`` the account does not have.

        The service accepts both: it plays the default sound, and sends to all devices.
        """
        users, device = rules.users_of(fields), fields.get("device", "")
        devices = self._devices.get(users[0], DEFAULT_DEVICES)
        is_one = len(users) == 1 and users[0] not in self._groups
        found = []
        if fields.get("sound", "") not in {"", *SOUNDS}:
            found.append("sound")
        if device and is_one and not set(device.split(",")) <= set(devices):
            found.append("device")
        return tuple(found)

    def validate(self, user: str, device: str) -> rules.ApiAnswer:
        """Answer ``POST /1/users/validate.json``."""
        if not self.takes_user(user):
            return rules.refusal({"user": "invalid"}, "user key is invalid")
        is_group = user in self._groups
        devices = () if is_group else self._devices.get(user, DEFAULT_DEVICES)
        if device and not is_group and device not in devices:
            # The service's error text for an unknown device is not known.
            problems = {"device": "invalid for this user"}
            return rules.refusal(problems, "device name is not valid for this user")
        licenses = [] if is_group else ["Android"]
        group = int(is_group)
        return rules.success({"group": group, "devices": list(devices), "licenses": licenses})

    def headers(self) -> Mapping[str, str]:
        """Return the headers of every API answer."""
        self._start_new_month()
        return {
            "Content-Type": "application/json",
            "X-Limit-App-Limit": str(self._limit),
            "X-Limit-App-Remaining": str(self._remaining),
            "X-Limit-App-Reset": str(self._reset),
        }

    def reset(self) -> None:
        """Restore the initial quota and refused keys, and remove all devices and groups."""
        self._devices.clear()
        self._groups.clear()
        self.refused.clear()
        self.refused.update(self._initially_refused)
        self._limit = self._remaining = DEFAULT_LIMIT
        self._reset = rules.next_reset(self._now())

    def _start_new_month(self) -> None:
        if self._now() >= self._reset:
            self._remaining = self._limit
            self._reset = rules.next_reset(self._now())


def _check_key(name: str, key: str) -> None:
    if not rules.KEY.fullmatch(key):
        text = f"{name}: {key!r} is not 30 of A-Z a-z 0-9"
        raise ConfigurationError(text)
