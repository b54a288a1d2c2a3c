"""What the stand-in knows of its keys: the quota, users with devices, groups, and sounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules

# https://pushover.net/api#limits: what a free account may send in a month.
DEFAULT_LIMIT = 10_000
# Far above any plan; a limit is a header's number.
MAX_LIMIT = 10**12
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


class Account:
    """One account and all who can be written to; ``now`` gives Unix time.

    Any well-shaped token, user or group key is known unless ``refused`` has it. Not thread-safe:
    the store's lock is over it.
    """

    def __init__(self, refused: set[str], now: Callable[[], float]) -> None:
        self.refused = refused
        self._refused_as_made = frozenset(refused)
        self._now = now
        self._devices: dict[str, tuple[str, ...]] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._limit = self._remaining = DEFAULT_LIMIT
        self._reset = rules.next_reset(now())

    @property
    def exceeded_limit(self) -> int | None:
        """The limit where the quota is used up, else None."""
        self._renew()
        return self._limit if self._remaining <= 0 else None

    @property
    def quota(self) -> dict[str, int]:
        """The month's ``limit``, the ``remaining`` of it, the Unix time of its ``reset``."""
        self._renew()
        return {"limit": self._limit, "remaining": self._remaining, "reset": self._reset}

    def set_quota(
        self, limit: int | None = None, remaining: int | None = None, reset: float | None = None
    ) -> None:
        """Set what is not None; ConfigurationError for what no quota can be."""
        for name, number in (("limit", limit), ("remaining", remaining), ("reset", reset)):
            if number is not None and not -MAX_LIMIT <= number <= MAX_LIMIT:
                text = f"{name}: {number} is not from -{MAX_LIMIT} to {MAX_LIMIT}"
                raise ConfigurationError(text)
        self._limit = self._limit if limit is None else limit
        self._remaining = self._remaining if remaining is None else remaining
        self._reset = self._reset if reset is None else int(reset)

    def spend(self, users: Collection[str]) -> None:
        """Take one of the quota for each user, and for each member of a group."""
        self._remaining -= sum(len(self._groups.get(user, (user,))) for user in users)

    def set_devices(self, user: str, devices: Collection[str]) -> None:
        """Give a user devices of these names."""
        _check_key("user", user)
        for device in devices:
            if not rules.DEVICE.fullmatch(device):
                text = f"device: {device!r} is no name of 1 to 25 of A-Z a-z 0-9 _ -"
                raise ConfigurationError(text)
        self._devices[user] = tuple(devices)

    def set_group(self, group: str, members: Collection[str]) -> None:
        """Make a key a group's, with the user keys of its members."""
        _check_key("group", group)
        for member in members:
            _check_key("member", member)
        self._groups[group] = tuple(members)

    def validate(self, user: str, device: str) -> rules.Refusal:
        """Answer ``POST /1/users/validate.json``; returns status and body."""
        if not rules.KEY.fullmatch(user) or user in self.refused:
            return rules.refusal({"user": "invalid"}, "user key is invalid")
        is_group = user in self._groups
        devices = () if is_group else self._devices.get(user, DEFAULT_DEVICES)
        if device and not is_group and device not in devices:
            # The service's words on an unknown device are not known.
            blamed = {"device": "invalid for this user"}
            return rules.refusal(blamed, "device name is not valid for this user")
        licenses = [] if is_group else ["Android"]
        told = {"group": int(is_group), "devices": list(devices), "licenses": licenses}
        return rules.success(told)

    def headers(self) -> Mapping[str, str]:
        """Return the headers that stand on each answer."""
        self._renew()
        return {
            "Content-Type": "application/json",
            "X-Limit-App-Limit": str(self._limit),
            "X-Limit-App-Remaining": str(self._remaining),
            "X-Limit-App-Reset": str(self._reset),
        }

    def forget(self) -> None:
        """Forget devices, groups, what was sent of the quota, and refuse what it did at first."""
        self._devices.clear()
        self._groups.clear()
        self.refused.clear()
        self.refused.update(self._refused_as_made)
        self._limit = self._remaining = DEFAULT_LIMIT
        self._reset = rules.next_reset(self._now())

    def _renew(self) -> None:
        if self._now() >= self._reset:
            self._remaining = self._limit
            self._reset = rules.next_reset(self._now())


def _check_key(name: str, key: str) -> None:
    if not rules.KEY.fullmatch(key):
        text = f"{name}: {key!r} is not 30 of A-Z a-z 0-9"
        raise ConfigurationError(text)
