"""The library's errors.

::

    PushoverError
    ├── ConfigurationError   (also a ValueError) an option or a Message field is not valid
    └── DeliveryError        a Message was not accepted
        ├── TemporaryError   a temporary fault; retry later
        ├── QuotaError       the monthly quota or the rate is used up; retry after the reset
        └── RejectedError    the service refuses the request; do not repeat it unchanged
"""

from __future__ import annotations


class PushoverError(Exception):
    """The base class of all errors of this library."""


class ConfigurationError(PushoverError, ValueError):
    """An option, or a field of a Message, has an invalid value.

    The text has the name, the value (secrets masked) and the valid values. ``option`` is the name
    alone, None if more than one option is involved.
    """

    def __init__(self, text: str, *, option: str | None = None) -> None:
        super().__init__(text)
        self.option = option


def invalid(given: str, name: str, takes: str) -> ConfigurationError:
    """Return the error of an option or a field; ``given`` shows the value, without secrets."""
    return ConfigurationError(f"{name}: got {given}, takes {takes}", option=name.partition(":")[0])


class DeliveryError(PushoverError):
    """A Message was not accepted; the subclass shows what to do next."""


class TemporaryError(DeliveryError):
    """A 5xx, no response, or a response of another server: retry, after 5 s or more.

    ``timed_out`` is True if the response did not come in time. ``may_have_arrived`` is True if the
    request was sent but no response came: the service might have delivered it, and a retry can be a
    duplicate. ``is_unforeseen`` is True if the network was not the cause, but for example a hook of
    `requests`, which can fail again. ``status`` is the HTTP status of the response, None if there
    was none.
    """

    def __init__(
        self,
        text: str,
        *,
        timed_out: bool = False,
        may_have_arrived: bool = False,
        is_unforeseen: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(text)
        self.timed_out = timed_out
        self.may_have_arrived = may_have_arrived
        self.is_unforeseen = is_unforeseen
        self.status = status


class QuotaError(DeliveryError):
    """A 429: send nothing for ``wait`` seconds."""

    def __init__(self, text: str, *, wait: float = 60.0) -> None:
        super().__init__(text)
        self.wait = wait


class RejectedError(DeliveryError):
    """The service refused the request: do not send it again unchanged.

    ``parameters`` are the names of the invalid parameters in the response (``token``, ``user``,
    ``attachment``, ...), ``errors`` the service's own messages, ``status`` the HTTP status.
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


class Unreachable(Exception):  # noqa: N818  a state, which the sender answers; no user sees it
    """The outbox's file or the shared store cannot be used."""
