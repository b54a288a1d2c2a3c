"""A message's image: from whatever a program has to bytes, and down to what the API takes.

Pillow and matplotlib are looked for, never needed: an object of theirs says that they are there.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import weakref
from base64 import b64decode
from typing import Any

from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import ATTACHMENT_LIMIT

LARGEST = 32 * 1024 * 1024
"""Bytes that are read of an image: what is larger is left out."""

TOO_LARGE = "the attachment is left out: over 5 MiB"
_TAKES = "takes an image: a path, bytes, a file, a PIL image or a matplotlib figure"
_LONG_TEXT = ATTACHMENT_LIMIT * 4 // 3  # what the API takes, as Base64
_FIELDS = ("attachment", "attachment_base64", "attachment_type")
_SCALES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})  # modes that a PNG knows
_QUALITY = 85  # of a JPEG: no difference is seen on a phone
_TYPES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"(?s)RIFF.{4}WEBP", "image/webp"),
    (rb"(?s).{4}ftyp(?:heic|heix|mif1|msf1)", "image/heic"),
    (rb"(?s).{4}ftypavi[fs]", "image/avif"),
    (rb"II\*\x00|MM\x00\*", "image/tiff"),
    (rb"(?s)BM.{12}[\x0c\x28\x6c\x7c]\x00\x00\x00", "image/bmp"),
)


class OversizedImage:
    """An image that is too large, until the thread that sends has scaled it down."""

    __slots__ = ("__weakref__", "data")

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data


class Attachments:
    """Reads images as they come with records.

    One that is too large waits at a time: a storm of them must not fill the memory. Two threads at
    once may let a second one wait, no more.
    """

    def __init__(self) -> None:
        self._waiting: weakref.ref[OversizedImage] | None = None

    def taken(self, fields: dict[str, Any]) -> tuple[str, OversizedImage | None]:
        """Turn the image in Message ``fields`` to bytes with their type.

        Returns what is to be told of one that is left out, and one that is too large.
        """
        given, typed = fields.get("attachment"), fields.get("attachment_base64")
        try:
            if given is not None and typed is None:
                fields["attachment"] = _read(given)
            elif given is None and isinstance(typed, str) and len(typed) > _LONG_TEXT:
                fields["attachment"] = _decoded(fields.pop("attachment_base64"))
            else:
                return "", None
        except ConfigurationError as error:
            _leave_out(fields)
            warn("a message field is left out: %s", error)
            return "the attachment is left out: it cannot be read", None
        data = fields["attachment"]
        if fields.get("attachment_type") is None:
            fields["attachment_type"] = kind = type_of(data)
            if kind is None and not isinstance(given, (bytes, bytearray, memoryview)):
                _leave_out(fields)
                return "the attachment is left out: no image", None
        if len(data) <= ATTACHMENT_LIMIT:
            return "", None
        _leave_out(fields)
        return self._too_large(data)

    def _too_large(self, data: bytes) -> tuple[str, OversizedImage | None]:
        waits = self._waiting is not None and self._waiting() is not None
        if waits or len(data) > LARGEST:
            return TOO_LARGE, None
        original = OversizedImage(data)
        self._waiting = weakref.ref(original)
        return "", original


def type_of(data: bytes) -> str | None:
    """Return an image's MIME type by its first bytes, None for what is no image."""
    return next((kind for pattern, kind in _TYPES if re.match(pattern, data)), None)


def scaled(data: bytes) -> bytes | None:
    """Return an image as a JPEG of at most 5 MiB, None without Pillow or for what it cannot read.

    Slow: for the thread that sends.
    """
    try:
        from PIL import Image  # noqa: PLC0415  no dependency

        with Image.open(io.BytesIO(data)) as opened:
            image: Any = _opaque(Image, opened)
        for scale in _SCALES:
            size = tuple(max(1, int(side * scale)) for side in image.size)
            smaller = image if scale == 1 else image.resize(size)
            found = _saved(smaller.save, format="JPEG", quality=_QUALITY)
            if len(found) <= ATTACHMENT_LIMIT:
                return found
    except Exception:  # noqa: BLE001  not there, or any fault of a broken image
        return None
    return None


def _opaque(module: Any, image: Any) -> Any:  # noqa: ANN401  Pillow's
    """Return an image as JPEG can have it: on white where it is transparent."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = module.new("RGBA", image.size, "white")
    return module.alpha_composite(white, image).convert("RGB")


def _read(given: Any) -> bytes:  # noqa: ANN401  whatever the program gave
    try:
        if isinstance(given, (bytes, bytearray, memoryview)):
            data: Any = bytes(given)
        else:
            data = _contents(given)
    except Exception as error:
        msg = f"attachment: got {type(given).__name__} ({type(error).__name__}), {_TAKES}"
        raise ConfigurationError(msg, option="attachment") from error
    if not isinstance(data, bytes) or not data:
        msg = f"attachment: got {type(given).__name__} without bytes, {_TAKES}"
        raise ConfigurationError(msg, option="attachment")
    return data


def _contents(given: Any) -> Any:  # noqa: ANN401  as above; bytes, if it does as it should
    if isinstance(given, (str, os.PathLike)):
        return _file(given)
    if _is_made_by("PIL.Image", "Image", given):
        image = given if given.mode in _PNG else given.convert("RGB")
        return _saved(image.save, format="PNG")
    if _is_made_by("matplotlib.figure", "Figure", given):
        return _saved(given.savefig, format="png")
    return _from_start(given)


def _file(path: str | os.PathLike[str]) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  a pipe would be waited for
        msg = "not a file"
        raise OSError(msg)
    with open(path, "rb") as file:  # noqa: PTH123  any kind of path
        return file.read(LARGEST + 1)


def _from_start(file: Any) -> Any:  # noqa: ANN401  an object with `read`
    if not (hasattr(file, "seekable") and file.seekable()):
        return file.read(LARGEST + 1)
    before = file.tell()
    file.seek(0)
    try:
        return file.read(LARGEST + 1)
    finally:
        file.seek(before)


def _is_made_by(module: str, name: str, given: object) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and issubclass(type(given), kind)


def _saved(save: Any, **options: object) -> bytes:  # noqa: ANN401  of an image or a figure
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text[: 2 * LARGEST], validate=True)
    except ValueError as error:
        msg = "attachment_base64: takes an image as Base64 text"
        raise ConfigurationError(msg, option="attachment_base64") from error


def _leave_out(fields: dict[str, Any]) -> None:
    for name in _FIELDS:
        fields.pop(name, None)
