"""A push's link leads to the source line, and shows no path outside of the program's source."""

import importlib
import logging
import shutil
import subprocess
import sys
import zipapp

import pytest
from conftest import TOKEN, USER

from pushover_logging import ConfigurationError, PushoverHandler
from pushover_logging.rendering.link import COMMIT_VARIABLES

SOURCE = "def fail():\n    raise ValueError('bad')\n"
URL = "https://github.com/me/shop/blob/{commit}/{path}#L{line}"


@pytest.fixture(autouse=True)
def _no_commit(monkeypatch):
    for name in COMMIT_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def link_of(handler_for, monkeypatch, tmp_path):
    """Return the link of a push about the error of a module that is imported from ``place``."""
    monkeypatch.chdir(tmp_path)

    def link(place, name, **options):
        monkeypatch.syspath_prepend(str(place))
        monkeypatch.delitem(sys.modules, name, raising=False)
        try:
            importlib.import_module(name).fail()
        except ValueError:
            info = sys.exc_info()
        record = logging.LogRecord("shop", 40, __file__, 1, "Cannot pay", (), info)
        given = {"url": URL, "url_title": "{path}:{line}", "commit": "v1.2", **options}
        message = handler_for(**given).message(record)
        sys.modules.pop(name)
        return message.url, message.url_title

    return link


def write(place, text=SOURCE):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def test_file_of_a_checkout(link_of, tmp_path):
    """Relative to its repository, wherever the program runs; slashes stay, the rest is quoted."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    root = tmp_path / "checkout"
    write(root / "src dir" / "pay_git.py")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert (
        "https://github.com/me/shop/blob/v1.2/src%20dir/pay_git.py#L2", "src dir/pay_git.py:2",
    ) == link_of(root / "src dir", "pay_git")  # fmt: skip


def test_file_of_no_checkout(link_of, tmp_path):
    """Relative to the working directory, as in a container; a namespace package is a folder."""
    write(tmp_path / "shop_space" / "pay.py")
    expected = "https://github.com/me/shop/blob/v1.2/shop_space/pay.py#L2"
    assert (expected, "shop_space/pay.py:2") == link_of(tmp_path, "shop_space.pay")


def test_file_below_a_given_root(link_of, tmp_path):
    """Also inside a zip file, which without that is no source."""
    write(tmp_path / "app" / "pay_zip.py")
    write(tmp_path / "app" / "__main__.py", "")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    expected = "https://github.com/me/shop/blob/v1.2/pay_zip.py#L2"
    place = tmp_path / "app.pyz"
    assert (expected, "pay_zip.py:2") == link_of(place, "pay_zip", source_root=str(place))
    assert (None, None) == link_of(place, "pay_zip")


def test_no_path_outside_the_root(link_of, tmp_path, monkeypatch):
    """Neither beside it, nor below the root of all files."""
    write(tmp_path / "pay_other.py")
    (tmp_path / "root").mkdir()
    assert (None, None) == link_of(tmp_path, "pay_other", source_root=tmp_path / "root")
    monkeypatch.chdir("/")
    assert (None, None) == link_of(tmp_path, "pay_other")


def test_no_path_of_an_installed_package(handler_for, tmp_path, monkeypatch):
    """Its source is elsewhere, though a virtual environment is often inside a checkout."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages" / "pay.py"
    write(path)
    record = logging.LogRecord("shop", 40, str(path), 1, "Cannot pay", (), None)
    assert handler_for(url="https://x.example/{path}#L{line}").message(record).url is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
def test_working_directory_that_is_gone(link_of, tmp_path, monkeypatch):
    """It costs the link, not the push."""
    write(tmp_path / "pay_gone.py")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert (None, None) == link_of(tmp_path, "pay_gone")


def test_field_that_is_missing_gives_no_link(handler_for):
    """A commit that nobody knows, a line of no file, a field that the record does not have."""
    record = logging.LogRecord("shop", 40, "", 0, "Cannot pay", (), None)
    for field in ("commit", "path", "line", "nothing"):
        message = handler_for(url=f"https://x.example/{{{field}}}", url_title="More")
        assert (None, None) == (message.message(record).url, message.message(record).url_title)


def test_line_and_commit_of_a_record(handler_for, monkeypatch):
    """Without an exception the place is the logging call's; the commit is the host's."""
    monkeypatch.setenv("GIT_COMMIT", "")
    monkeypatch.setenv("RENDER_GIT_COMMIT", "abc123")
    monkeypatch.setenv("K_REVISION", "shop-00007")
    record = logging.LogRecord("shop", 40, __file__, 17, "Cannot pay", (), None)
    message = handler_for(url="https://x.example/{commit}/{path}#L{line}").message(record)
    assert "https://x.example/abc123/tests/test_link.py#L17" == message.url


@pytest.mark.parametrize("option", [{"source_root": 5}, {"source_root": ""}, {"commit": ""}])
def test_option_that_cannot_be(option):
    """The error names it."""
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        PushoverHandler(token=TOKEN, user=USER, **option)
