"""A request to the API as it came: its fields as text, its attachment, and its raw bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property

from flask import Request

from pushover_logging.inbox import rules
from pushover_logging.inbox.history import RAW_BYTES

_CUT = b"\n[... %d bytes more]"


class Received:
    """One request; ``request`` is Flask's, its body not yet read."""

    def __init__(self, request: Request) -> None:
        self._request = request
        # The server has the whole body in memory; it is read twice, by Werkzeug's parsers and here.
        stream = request.environ["wsgi.input"]
        self._body = stream.getvalue() if isinstance(stream, io.BytesIO) else b""

    @cached_property
    def fields(self) -> dict[str, str]:
        """The fields of the query and the body, the body's first: form, multipart or JSON."""
        return {**_plain(self._request.args), **(self._json or _plain(self._request.form))}

    @property
    def _json(self) -> dict[str, str]:
        if not self._request.is_json:
            return {}
        try:
            body = self._request.get_json(silent=True)
        except RecursionError:
            return {}
        if not isinstance(body, dict):
            return {}
        return {_text(name): _text(value) for name, value in body.items() if value is not None}

    @property
    def attachment(self) -> rules.Attachment | None:
        """The file of a multipart body."""
        file = self._request.files.get("attachment")
        if file is None:
            return None
        data = file.read()
        return rules.Attachment(_text(file.filename or ""), file.mimetype, len(data), data)

    @property
    def raw(self) -> bytes:
        """The request's line, its headers and the beginning of its body, as they came."""
        request = self._request
        target = request.environ.get("REQUEST_URI") or request.full_path.rstrip("?")
        protocol = request.environ.get("SERVER_PROTOCOL", "")
        lines = [f"{request.method} {target} {protocol}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join(lines).encode("utf-8", "replace")
        body, more = self._body[:RAW_BYTES], len(self._body) - RAW_BYTES
        return head + b"\r\n\r\n" + body + (_CUT % more if more > 0 else b"")


def _plain(values: Mapping[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    # JSON's true stands for the form's 1; half of a surrogate pair is no character.
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "replace").decode("utf-8")
