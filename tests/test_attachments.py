"""The image of a message: from whatever a program has, down to what the API takes."""

import base64
import io
import os
import sys

import pytest

from pushover_logging import PushoverFormatter
from pushover_logging.message import ATTACHMENT_LIMIT
from pushover_logging.rendering.attachments import MAX_BYTES, Attachments, image_type, scaled

Image = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra test")


def picture(kind="PNG", mode="RGB", size=(4, 3)):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format=kind)
    return buffer.getvalue()


PNG = picture()


def noise(mode="RGB", side=1500):
    """An image that no format makes small."""
    data = os.urandom(side * side * len(Image.new(mode, (1, 1)).getbands()))
    return Image.frombytes(mode, (side, side), data)


def saved(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def sent(driven, given, **fields):
    driven.log.error("Disk is full", extra={"pushover": {"attachment": given, **fields}})
    driven.settle()
    return driven.inbox.messages[-1]


@pytest.mark.parametrize(
    "kind", ["path", "text path", "bytes", "bytearray", "view", "file", "read"]
)
def test_image_from_whatever_a_program_has(drive, tmp_path, kind):
    """A path, bytes, or a file, read from its start and left where it stood; its type is found."""
    path = tmp_path / "plot"
    path.write_bytes(PNG)
    stream = io.BytesIO(PNG)
    stream.seek(5)
    given = {
        "path": path, "text path": str(path), "bytes": PNG, "bytearray": bytearray(PNG),
        "view": memoryview(PNG), "file": stream, "read": Pipe(PNG),
    }[kind]  # fmt: skip
    push = sent(drive(), given)
    assert (len(PNG), "image/png") == (push["attachment"]["size"], push["attachment"]["type"])
    assert 5 == stream.tell()


class Pipe:
    """A file that can only be read."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "F", "1"])
def test_pil_image(drive, mode):
    """An image of Pillow's in any mode is a PNG."""
    push = sent(drive(), Image.new(mode, (4, 3)))
    assert "image/png" == push["attachment"]["type"]


def test_matplotlib_figure(drive):
    """A figure is drawn where the record is made."""
    figure = pytest.importorskip("matplotlib.figure", reason="it comes with the extra test")
    shown = figure.Figure()
    shown.subplots().plot([1, 2, 3])
    assert "image/png" == sent(drive(), shown)["attachment"]["type"]


def test_base64_with_its_type(drive):
    """As the API has them."""
    text = base64.b64encode(PNG).decode()
    driven = drive()
    fields = {"attachment_base64": text, "attachment_type": "image/png"}
    driven.log.error("Disk is full", extra={"pushover": fields})
    driven.settle()
    assert len(PNG) == driven.inbox.messages[-1]["attachment"]["size"]


@pytest.mark.parametrize(("data", "expected"), [
    (PNG, "image/png"), (picture("JPEG"), "image/jpeg"), (picture("GIF"), "image/gif"),
    (picture("WEBP"), "image/webp"), (picture("BMP"), "image/bmp"), (picture("TIFF"), "image/tiff"),
    (b"\0\0\0\x18ftypheic", "image/heic"), (b"\0\0\0\x18ftypavif", "image/avif"),
    (b"", None), (b"BM is a text", None), (b"%PDF-1.7", None),
])  # fmt: skip
def test_type_is_found_by_the_content(data, expected):
    """By its first bytes, whatever its name."""
    assert expected == image_type(data)


@pytest.mark.parametrize("given", [
    "/does/not/exist.png", "/", 5, io.StringIO("text"), b"", io.BytesIO(), object(),
])  # fmt: skip
def test_what_cannot_be_read_costs_the_image_alone(given, caplog):
    """The alert goes out and says so, in html as well."""
    made = record()
    for fields, end in (({}, "\n(the"), ({"html": True}, "<br>(the")):
        message = PushoverFormatter().message(made, {"attachment": given, **fields})
        assert message.message.endswith(f"{end} attachment is left out: it cannot be read)")
        assert None is message.attachment
    assert "left out: attachment" in caplog.text


def record():
    import logging

    return logging.makeLogRecord({"msg": "Disk is full", "levelname": "ERROR", "levelno": 40})


def test_file_that_is_no_image_is_not_sent(tmp_path):
    """A path to something else, perhaps a log, is left out; bytes are the program's own."""
    path = tmp_path / "app.png"
    path.write_text("password: hunter2")
    message = PushoverFormatter().message(record(), {"attachment": path})
    assert message.message.endswith("(the attachment is left out: no image)")
    kept = PushoverFormatter().message(record(), {"attachment": b"something new"})
    assert (b"something new", None) == (kept.attachment, kept.attachment_type)
    typed = PushoverFormatter().message(
        record(), {"attachment": path, "attachment_type": "image/new"}
    )
    assert "image/new" == typed.attachment_type


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_image_over_the_limit_is_scaled_down_by_the_sender(drive, mode):
    """Over 5 MiB: a JPEG that the API takes, made where the sending is done, in each outbox."""
    driven = drive()
    large = saved(noise(mode))
    assert len(large) > ATTACHMENT_LIMIT
    push = sent(driven, large)
    assert "image/jpeg" == push["attachment"]["type"]
    assert 0 < push["attachment"]["size"] <= ATTACHMENT_LIMIT
    assert "left out" not in push["message"]
    text = base64.b64encode(large).decode()
    fields = {"attachment_base64": text, "attachment_type": "image/png"}
    driven.log.error("Disk is still full", extra={"pushover": fields})
    driven.settle()
    assert "image/jpeg" == driven.inbox.messages[-1]["attachment"]["type"]


def test_image_over_the_limit_without_pillow(drive, monkeypatch):
    """It is left out, and the text says so."""
    large = saved(noise())
    monkeypatch.setitem(sys.modules, "PIL", None)
    push = sent(drive(), large)
    assert None is push["attachment"]
    assert push["message"].endswith("\n(the attachment is left out: over 5 MiB)")


def test_image_larger_than_can_be_kept(caplog):
    """What would fill the memory is left out at once; so is a second one while the first waits."""
    reads = Attachments()
    fields = {"attachment": b"\xff\xd8\xff" + bytes(MAX_BYTES)}
    assert ("the attachment is left out: over 5 MiB", None) == reads.load(fields)
    large = b"\xff\xd8\xff" + bytes(ATTACHMENT_LIMIT)
    note, original = reads.load({"attachment": large})
    assert ("", large) == (note, original.data)
    assert ("the attachment is left out: over 5 MiB", None) == reads.load({"attachment": large})
    del original
    assert "" == reads.load({"attachment": large})[0]


def test_broken_base64_over_the_limit(caplog):
    """It costs the image alone."""
    fields = {"attachment_base64": "!" * (2 * ATTACHMENT_LIMIT), "attachment_type": "image/png"}
    assert "left out" in Attachments().load(fields)[0]
    assert {} == fields


def test_what_is_no_image_cannot_be_scaled():
    """Whatever it holds, and however broken."""
    assert [None, None] == [scaled(b"no image"), scaled(PNG[:20])]


def test_image_that_stays_too_large_is_left_out(monkeypatch):
    """Where no scale helps."""
    monkeypatch.setattr("pushover_logging.rendering.attachments.ATTACHMENT_LIMIT", 10)
    assert None is scaled(PNG)


def test_palette_with_transparency_is_laid_on_white():
    """A JPEG has no transparency: what was clear is white, not black."""
    image = Image.new("P", (4, 4))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=0)
    found = Image.open(io.BytesIO(scaled(buffer.getvalue())))
    assert min(found.convert("L").tobytes()) > 250
