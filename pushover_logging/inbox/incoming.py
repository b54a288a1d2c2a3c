"""IncomingRequest: the fields, the attachment and the raw bytes of a request to the API."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from pushover_logging.inbox import rules
from pushover_logging.inbox.history import MAX_RAW_BYTES

# Far more than the fields of a message need, and than Base64 has escapes: 5 MiB as a form has about
# 220,000. Each costs time to read.
_MAX_SIGNS = {b"&": 10_000, b",": 10_000, b":": 10_000, b"[": 10_000, b"%": 500_000}
_OMITTED = b"\n[... %d bytes more]"


class IncomingRequest:
    """One request; ``request`` is Flask's, its body not read yet."""

    def __init__(self, request: Request) -> None:
        self._request = request
        # The server keeps the whole body in memory, for Werkzeug's parsers and for `raw`.
        stream = request.environ["wsgi.input"]
        self._body = stream.getvalue() if isinstance(stream, io.BytesIO) else b""

    @cached_property
    def fields(self) -> dict[str, str]:
        """The fields of the query, overridden by those of the body (form, multipart or JSON).

        Raises RequestEntityTooLarge for a flood of fields, which is not read.
        """
        is_multipart = self._request.mimetype == "multipart/form-data"  # Werkzeug limits its parts
        if not is_multipart and any(self._body.count(s) > n for s, n in _MAX_SIGNS.items()):
            raise RequestEntityTooLarge
        return {**_texts(self._request.args), **(self._json or _texts(self._request.form))}

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
        return _texts({name: value for name, value in body.items() if value is not None})

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
        """The request line, the headers and the beginning of the body, as received."""
        request = self._request
        target = request.environ.get("REQUEST_URI") or request.full_path.rstrip("?")
        protocol = request.environ.get("SERVER_PROTOCOL", "")
        lines = [f"{request.method} {target} {protocol}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        head = "\r\n".join(lines).encode("utf-8", "replace")
        body, omitted = self._body[:MAX_RAW_BYTES], len(self._body) - MAX_RAW_BYTES
        return head + b"\r\n\r\n" + body + (_OMITTED % omitted if omitted > 0 else b"")


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    # JSON's true is the form's 1. A lone surrogate cannot be encoded, so it is replaced.
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "replace").decode("utf-8")
