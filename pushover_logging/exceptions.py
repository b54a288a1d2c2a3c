"""What can go wrong, in one place, as a tree.

::

    PushoverError
    ├── ConfigurationError   (also a ValueError) an option or a Message field that cannot work
    └── DeliveryError        a Message was not accepted
        ├── TemporaryError   a passing fault: the same again later
        ├── QuotaError       the month's quota, or the rate, is used up: nothing until the reset
        └── RejectedError    the service refuses this input: never the same again
"""

from __future__ import annotations


class PushoverError(Exception):
    """The root of all errors of this library."""


class ConfigurationError(PushoverError, ValueError):
    """An option, or a field of a Message, has a value that cannot work.

    The text names it, what it got (secrets masked) and what it takes.
    ``option`` is its bare name, None where no single one is at fault.
    """

    def __init__(self, text: str, *, option: str | None = None) -> None:
        super().__init__(text)
        self.option = option


class DeliveryError(PushoverError):
    """A Message was not accepted; the subclass says what a friendly client does next."""


class TemporaryError(DeliveryError):
    """5xx, no answer, or one that cannot be read: the same again, no sooner than after 5 s.

    ``timed_out`` tells that the answer did not come in time, ``may_have_arrived`` that the request
    was on its way and no answer to it came: to send it again may tell a person twice.
    """

    def __init__(
        self, text: str, *, timed_out: bool = False, may_have_arrived: bool = False
    ) -> None:
        super().__init__(text)
        self.timed_out = timed_out
        self.may_have_arrived = may_have_arrived


class QuotaError(DeliveryError):
    """429: nothing may be sent for ``wait`` seconds."""

    def __init__(self, text: str, *, wait: float = 60.0) -> None:
        super().__init__(text)
        self.wait = wait


class RejectedError(DeliveryError):
    """A 4xx, or a status other than 1: this input will never work.

    ``parameters`` are the names that the answer blames (``token``, ``user``, ``attachment``, ...),
    ``errors`` the service's own sentences, ``status`` the HTTP status.
    """

    def __init__(
        self,
        text: str,
        *,
        parameters: frozenset[str] = frozenset(),
        errors: tuple[str, ...] = (),
        status: int = 400,
    ) -> None:
        super().__init__(text)
        self.parameters = parameters
        self.errors = errors
        self.status = status
