"""The image of a Message: read from what the program has, and scaled to what the API accepts.

Pillow and matplotlib are optional: an object of theirs shows that they are installed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import weakref
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import invalid
from pushover_logging.message import ATTACHMENT_LIMIT

MAX_BYTES = 32 * 1024 * 1024  # larger images are dropped, and no more of a file is read

TOO_LARGE = "the attachment is left out: over 5 MiB"
_TAKES = "an image: a path, bytes, a file, a PIL image or a matplotlib figure"
_BASE64_LIMIT = ATTACHMENT_LIMIT * 4 // 3  # characters
_FIELDS = ("attachment", "attachment_base64", "attachment_type")
_SCALES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_JPEG_QUALITY = 85  # no visible difference on a phone
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"(?s)RIFF.{4}WEBP", "image/webp"),
    (rb"(?s).{4}ftyp(?:heic|heix|mif1|msf1)", "image/heic"),
    (rb"(?s).{4}ftypavi[fs]", "image/avif"),
    (rb"II\*\x00|MM\x00\*", "image/tiff"),
    (rb"(?s)BM.{12}[\x0c\x28\x6c\x7c]\x00\x00\x00", "image/bmp"),
)


@dataclass(slots=True, weakref_slot=True, eq=False)
class OversizedImage:
    """An image that the sending thread has yet to scale down."""

    data: bytes


class Attachments:
    """Reads the images of records.

    At most one oversized image waits at a time, two if threads race: a flood fills no memory.
    """

    def __init__(self) -> None:
        self._waiting: weakref.ref[OversizedImage] | None = None

    def load(self, fields: dict[str, Any]) -> tuple[str, OversizedImage | None]:
        """Replace the image in Message ``fields`` by its bytes and their type.

        Returns a note for the body if the image is dropped, and the image if it is oversized.
        """
        source, encoded = fields.get("attachment"), fields.get("attachment_base64")
        try:
            if source is not None and encoded is None:
                data = fields["attachment"] = _read(source)
            elif source is None and isinstance(encoded, str) and len(encoded) > _BASE64_LIMIT:
                data = b64decode(fields.pop("attachment_base64")[: 2 * MAX_BYTES], validate=True)
                fields["attachment"] = data
            else:
                return "", None
        except ValueError as error:  # of either kind
            why = "attachment_base64: takes an image as Base64 text" if source is None else error
            _drop_image(fields)
            warn("a message field is left out: %s", why)
            return "the attachment is left out: it cannot be read", None
        if fields.get("attachment_type") is None:
            fields["attachment_type"] = kind = image_type(data)
            if kind is None and not isinstance(source, (bytes, bytearray, memoryview)):
                _drop_image(fields)
                return "the attachment is left out: no image", None
        if len(data) <= ATTACHMENT_LIMIT:
            return "", None
        _drop_image(fields)
        if len(data) > MAX_BYTES or (self._waiting is not None and self._waiting() is not None):
            return TOO_LARGE, None
        image = OversizedImage(data)
        self._waiting = weakref.ref(image)
        return "", image


def _drop_image(fields: dict[str, Any]) -> None:
    for name in _FIELDS:
        fields.pop(name, None)


def image_type(data: bytes) -> str | None:
    """Return the MIME type of an image by its first bytes; None if it is not an image."""
    return next((kind for pattern, kind in _SIGNATURES if re.match(pattern, data)), None)


def scaled(data: bytes) -> bytes | None:
    """Return an image as a JPEG of at most 5 MiB, slowly; None if Pillow is absent or fails."""
    with suppress(Exception):  # Pillow is missing, or the image is broken in any way
        from PIL import Image  # noqa: PLC0415  optional

        with Image.open(io.BytesIO(data)) as opened:
            image: Any = opened
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")  # behind the transparent parts
                image = Image.alpha_composite(white, image)
            image = image.convert("RGB")
        for scale in _SCALES:
            size = tuple(max(1, int(side * scale)) for side in image.size)
            resized = image if scale == 1 else image.resize(size)
            jpeg = _saved(resized.save, format="JPEG", quality=_JPEG_QUALITY)
            if len(jpeg) <= ATTACHMENT_LIMIT:
                return jpeg
    return None


def _read(source: Any) -> bytes:  # noqa: ANN401  anything that a program can set
    try:
        data = _contents(source)
    except Exception as error:
        given = f"{type(source).__name__} ({type(error).__name__})"
        raise invalid(given, "attachment", _TAKES) from error
    if not isinstance(data, bytes) or not data:
        given = f"{type(source).__name__} without bytes"
        raise invalid(given, "attachment", _TAKES)
    return data


def _contents(source: Any) -> Any:  # noqa: ANN401  bytes, unless a file returns something else
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        if not stat.S_ISREG(os.stat(source).st_mode):  # noqa: PTH116  reading a pipe would block
            msg = "not a file"
            raise OSError(msg)
        with open(source, "rb") as file:  # noqa: PTH123  any kind of path
            return file.read(MAX_BYTES + 1)
    if _is_instance_of("PIL.Image", "Image", source):
        image = source if source.mode in _PNG_MODES else source.convert("RGB")
        return _saved(image.save, format="PNG")
    if _is_instance_of("matplotlib.figure", "Figure", source):
        return _saved(source.savefig, format="png")
    if not (hasattr(source, "seekable") and source.seekable()):
        return source.read(MAX_BYTES + 1)
    position = source.tell()
    source.seek(0)
    try:
        return source.read(MAX_BYTES + 1)
    finally:
        source.seek(position)


def _is_instance_of(module: str, name: str, value: object) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and issubclass(type(value), kind)


def _saved(save: Any, **options: object) -> bytes:  # noqa: ANN401  of an image or a figure
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()
