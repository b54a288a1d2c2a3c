"""What is installed: its name, what it needs, what it ships, and that importing it does nothing."""

from __future__ import annotations

import configparser
import importlib.metadata
import importlib.resources
import inspect
import json
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib  # pytest brings it there
import zipfile
from pathlib import Path

import pytest

import pushover_logging
from pushover_logging.cli import main

ROOT = Path(__file__).resolve().parent.parent
NAME = "pushover-logging"
# Names that no plain import may load: an extra's, and what only an outbox on disk needs.
OPTIONAL = {"flask", "nh3", "redis", "cryptography", "sqlite3"}
TIMEOUT = 30

# urllib3 tries a loopback socket for IPv6 when it is imported: the dependencies come first, so that
# what the hook sees is ours.
FRESH_IMPORT = """
import json, sys, threading
before = set(sys.modules)
import requests, pythonjsonlogger.json
seen = []
watched = ("socket.", "sqlite3.", "subprocess.", "_thread.start", "os.fork")
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(watched) else None)
import pushover_logging
print(json.dumps({
    "events": seen,
    "threads": threading.active_count(),
    "modules": sorted({name.split(".")[0] for name in set(sys.modules) - before}),
}))
"""


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read_string((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    return parser


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def distribution():
    return importlib.metadata.distribution(NAME)


@pytest.fixture(scope="module")
def fresh_import():
    """What a new process saw while it imported the package."""
    command = [sys.executable, "-c", FRESH_IMPORT]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    return json.loads(done.stdout)


def required(distribution, extra=None):
    """Return the names that the distribution, or one of its extras alone, needs."""
    names = set()
    for line in distribution.requires:
        requirement, _, marker = line.partition(";")
        found = re.search(r"extra == ['\"](.+?)['\"]", marker)
        if (found.group(1) if found else None) == extra:
            names.add(re.match(r"[\w.-]+", requirement).group().lower())
    return names


def test_setup_cfg_holds_what_ships_alone(setup_cfg):
    """How it is built and checked never stands in setup.cfg."""
    assert {"metadata", "options"} == {name.split(".")[0] for name in setup_cfg.sections()}


def test_pyproject_holds_how_it_is_built_and_checked_alone(pyproject):
    """What ships never stands in pyproject.toml, so no key can stand in both."""
    assert {"build-system", "tool"} == set(pyproject)
    assert "setuptools" not in pyproject["tool"]


def test_name_and_license(distribution):
    """The index shows the name that the README gives to pip, and the license in SPDX's words."""
    metadata = distribution.metadata
    assert (NAME, "MIT") == (metadata["Name"], metadata["License-Expression"])


def test_version_is_the_changelogs_newest(distribution):
    """No version is released of which its users are not told."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert newest.group(1) == distribution.version


def test_core_needs_few_packages(distribution):
    """Whoever installs it gets requests with what it brings, and python-json-logger."""
    brought = {"idna", "urllib3"}  # named for their lower bounds
    assert {"requests", "python-json-logger", *brought} == required(distribution)


def test_extras(distribution):
    """An extra is there from the day that something uses it."""
    extras = set(distribution.metadata.get_all("Provides-Extra"))
    assert {"docs", "encryption", "inbox", "redis", "test", "test-libraries"} == extras


def test_inbox_extra_brings_its_framework(distribution):
    """The demo's one command installs all that the demo needs."""
    assert {"flask", "nh3", "werkzeug"} == required(distribution, "inbox")


def test_encryption_extra_brings_cryptography(distribution):
    """What the error names is what helps."""
    assert {"cryptography"} == required(distribution, "encryption")


@pytest.mark.parametrize("extra", ["encryption", "inbox"])
def test_test_extra_brings_the_others(distribution, extra):
    """The tests' one command installs all that the tests need."""
    assert required(distribution, extra) < required(distribution, "test")


def test_python_versions(distribution):
    """The oldest Python that pip lets through is the oldest that is named, and is checked."""
    named = re.findall(
        r":: (3\.\d+)$", "\n".join(distribution.metadata.get_all("Classifier")), re.MULTILINE
    )
    assert ["3.11", "3.12", "3.13", "3.14", "3.15"] == named
    assert f">={named[0]}" == distribution.metadata["Requires-Python"]


def test_ruff_checks_for_the_oldest_python(distribution, pyproject):
    """No syntax is let through that the oldest Python does not have."""
    oldest = distribution.metadata["Requires-Python"].removeprefix(">=")
    assert f"py{oldest.replace('.', '')}" == pyproject["tool"]["ruff"]["target-version"]


def test_command_is_installed():
    """`pushover-logging` is the command line's own entry."""
    [command] = importlib.metadata.entry_points(group="console_scripts", name=NAME)
    assert main is command.load()


@pytest.mark.parametrize(
    "name", ["py.typed", "inbox/templates/inbox.html", "inbox/static/inbox.js"]
)
def test_data_is_shipped(name):
    """Type checkers see the types, and the inbox finds its page."""
    assert importlib.resources.files("pushover_logging").joinpath(name).is_file()


@pytest.mark.process
def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    """What pip unpacks: each file of the package, what tells of it, and no test or script."""
    if not (ROOT / "pushover_logging").exists():
        pytest.skip("made from the source tree alone")
    copied = tmp_path / "source"
    copied.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copied)
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "pushover_logging", copied / "pushover_logging", ignore=unwanted)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "-w", str(tmp_path), str(copied)], capture_output=True, timeout=120, check=True
    )
    [wheel] = tmp_path.glob("*.whl")
    package = copied / "pushover_logging"
    files = {str(one.relative_to(copied)) for one in package.rglob("*") if one.is_file()}
    told = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"]
    info = f"pushover_logging-{importlib.metadata.version(NAME)}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert files | {f"{info}/{name}" for name in told} == set(archive.namelist())


def public_callables():
    """Each public class and function, and each public method of a class that is ours."""
    for name in pushover_logging.__all__:
        one = getattr(pushover_logging, name)
        yield pytest.param(one, id=name)
        for method, value in vars(one).items() if isinstance(one, type) else ():
            if inspect.isfunction(value) and not method.startswith("_"):
                yield pytest.param(value, id=f"{name}.{method}")


# What the standard library's documentation of `logging.Handler` says.
USUAL = {"self", "record", "fmt", "kwargs"}


@pytest.mark.parametrize("one", [*public_callables()])
def test_public_docstring_says_what_is_given_and_what_comes_back(one):
    """A sentence first; each argument is named. docs/options.md has the options of the handler."""
    text = inspect.getdoc(one) or ""
    assert re.match(r"[A-Z0-9`].*?[.:](\s|$)", text, re.DOTALL)
    elsewhere = one is pushover_logging.PushoverHandler or (
        isinstance(one, type) and issubclass(one, Exception)
    )
    arguments = [] if elsewhere else inspect.signature(one).parameters
    assert [] == [name for name in arguments if name not in {*USUAL, *re.findall(r"\w+", text)}]


def test_public_names_resolve():
    """Each name of the public API is there, named once, in order."""
    names = pushover_logging.__all__
    assert [] == [name for name in names if not hasattr(pushover_logging, name)]
    assert sorted(set(names)) == names


@pytest.mark.process
def test_import_starts_nothing(fresh_import):
    """Importing the package starts no thread or process and opens no socket."""
    assert ([], 1) == (fresh_import["events"], fresh_import["threads"])


@pytest.mark.process
def test_import_loads_no_extra(fresh_import):
    """Importing the package loads nothing that only an extra or an option needs."""
    assert "pushover_logging" in fresh_import["modules"]
    assert set() == OPTIONAL & set(fresh_import["modules"])


@pytest.mark.process
def test_requests_comes_with_the_first_handler():
    """A program that imports the package and sends nothing pays nothing for its HTTP client."""
    program = """
        import sys, pushover_logging
        print("requests" in sys.modules)
        pushover_logging.PushoverHandler(token="a" * 30, user="u" * 30)
        print("requests" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert ["False", "True"] == done.stdout.split()
