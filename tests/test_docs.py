"""What README and docs/ say is true: each code block runs, and does what stands beside it."""

import configparser
import logging.config
import re
import time
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
CONFIGURATION = DOCS / "configuration.md"
PAGES = sorted(DOCS.glob("**/*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = [
    "python3 -m venv .venv && .venv/bin/pip install '.[inbox]' && .venv/bin/pushover-logging demo",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
]


def blocks(kind, page=README):
    text = page.read_text(encoding="utf-8")
    return [body for name, body in BLOCK.findall(text) if name == kind]


def python_blocks():
    """Each Python block of docs/, named by its page and its number there."""
    for page in PAGES:
        found = BLOCK.findall(page.read_text(encoding="utf-8"))
        programs = [body for kind, body in found if kind == "python"]
        for number, body in enumerate(programs, 1):
            yield pytest.param(body, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_every_block_is_of_a_known_kind(page):
    """A block of a new kind needs a test of its own."""
    kinds = {kind for kind, _ in BLOCK.findall(page.read_text(encoding="utf-8"))}
    assert set() == kinds - {"ini", "python", "sh", "text", "yaml", "json", "toml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_page_names_the_next_one(page):
    """No page is an end; those with a list of pages are one step themselves."""
    text = page.read_text(encoding="utf-8")
    assert "{toctree}" in text or re.search(r"^(Next: |## Next$)", text, re.MULTILINE)


BANNED = {  # words that may not come back into what people read, and the reason of each
    r"\b(tell|tells|told)\b": "a program reports, sends or counts",
    r"\b(whoever|somebody|whom)\b": "a process or a caller is not a person",
    r"(?<![Tt]here )\bis no (?!longer\b)": "the idiom is: is not a",
    r"\bwhere (it|there|they|a|the) \w+ (is|are|has|have)\b": "a condition begins with if",
    r"\b(hears?|heard) of\b": "a process reads or receives",
    r"\bx\d+ more\b": "a push reads: 3 more",
    r"\bcame 2 times\b": "a push reads: came twice",
}


@pytest.mark.parametrize("word", BANNED)
def test_words_that_may_not_come_back(word):
    """Plain words alone, in README, CHANGELOG, docs and examples."""
    root = README.parent
    pages = [README, root / "CHANGELOG.md", *PAGES, *root.glob("examples/**/*.py")]
    texts = {page.relative_to(root): page.read_text(encoding="utf-8") for page in pages}
    found = {
        f"{page}:{number}"
        for page, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(word, line)
    }
    assert set() == found, BANNED[word]


@pytest.mark.process
@pytest.mark.parametrize("source", [*python_blocks()])
def test_python_block_of_a_page_runs(program, source):
    """As a program of its own that is pointed at an inbox, without a word on stderr of ours."""
    code, _, err = program.run(source)
    assert 0 == code, err
    assert "pushover_logging" not in err


def test_commands_are_the_newcomers_own():
    """The two set-up commands, word for word, and the one to install; `.ci/run` runs them."""
    assert ["pip install pushover-logging\n", *(f"{one}\n" for one in COMMANDS)] == blocks("sh")


@pytest.fixture
def project():
    root = README.parent
    if not (root / ".github").exists():
        pytest.skip("how the project is worked on is not part of the package")
    return root


def test_who_contributes_finds_the_same_command_and_files(project):
    """CONTRIBUTING has the README's own command, and what it and SECURITY name is there."""
    text = (project / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [f"{COMMANDS[1]}\n"] == blocks("sh", project / "CONTRIBUTING.md")
    pages = text + (project / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:bash )?([\w./-]+\.(?:md|cfg)|\.ci/run)`", pages))
    assert {"CHANGELOG.md", ".ci/run", "docs/architecture.md"} <= named
    assert [] == [name for name in named if not (project / name).is_file()]


def test_each_promised_python_has_its_run(project):
    """The workflow calls `.ci/run` on the versions that the metadata names, and on no other."""
    workflow = (project / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    metadata = (project / "setup.cfg").read_text(encoding="utf-8")
    (matrix,) = re.findall(r"python: \[(.+)\]", workflow)
    promised = re.findall(r"Python :: (3\.\d+)$", metadata, re.MULTILINE)
    assert promised == [version.strip(' "') for version in matrix.split(",")]
    assert "- run: bash .ci/run\n" in workflow


@pytest.mark.process
def test_example_ends_with_exactly_one_push(program, inbox):
    """The README's example as a program of its own: its last line logs, and the phone shows it."""
    code, _, err = program.run(blocks("python")[0])
    assert 0 == code, err
    (push,) = inbox.messages
    assert "Cannot reach db-7" == push["title"]
    assert "0" == push["priority"]
    assert abs(int(push["timestamp"]) - time.time()) < 60
    shown = f"{push['title']}\n{push['message']}\n"
    place = re.compile(r"\S+/\w+\.py:")
    assert place.sub("F:", blocks("text")[0]) == place.sub("F:", shown)


@pytest.mark.process
def test_tutorial_shows_the_titles_that_come(program, inbox):
    """One error, then three hundred of them: what the page shows is what the phone gets."""
    tutorial = DOCS / "tutorial.md"
    for source, shown in zip(blocks("python", tutorial), blocks("text", tutorial), strict=True):
        before = len(inbox.messages)
        code, _, err = program.run(source)
        assert 0 == code, err
        titles = [push["title"] for push in inbox.messages[before:]]
        assert titles == shown.splitlines()[: len(titles)]


@pytest.mark.process
@pytest.mark.parametrize("number", [1, 2])
def test_python_block_configures(program, inbox, number):
    """What the block sets up takes an error to the phone, and to the console."""
    last = "import logging\nlogging.getLogger('shop').error('boom happened')\n"
    code, _, err = program.run(blocks("python")[number] + last)
    assert 0 == code, err
    assert re.fullmatch(r"(ERROR:shop:)?boom happened\n", err)
    assert ["boom happened"] == [push["title"] for push in inbox.messages]


@pytest.fixture
def pointed(inbox, monkeypatch, root):
    for name, value in inbox.environ.items():
        monkeypatch.setenv(name, value)
    handlers, root.handlers = root.handlers, []
    yield inbox
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers


@pytest.mark.parametrize("kind", ["yaml", "json", "toml"])
def test_block_of_the_page_on_configuration_configures(pointed, root, kind):
    """The same handler from each kind of file."""
    loads = {"yaml": ("yaml", "safe_load"), "json": ("json", "loads"), "toml": ("tomllib", "loads")}
    module, name = loads[kind]
    load = getattr(pytest.importorskip(module, reason=f"there is no {module} here"), name)
    (text,) = blocks(kind, CONFIGURATION)
    logging.config.dictConfig(load(text))
    root.critical("boom happened")
    sound = {"yaml": "siren", "json": None, "toml": "siren"}[kind]
    assert sound == pointed.wait_for(1)[0].get("sound")
    assert logging.WARNING == root.handlers[0].level


def test_ini_block_configures(pointed, root):
    """The file of the INI block."""
    parser = configparser.ConfigParser()
    parser.read_string(blocks("ini", CONFIGURATION)[0])
    logging.config.fileConfig(parser, disable_existing_loggers=False)
    root.critical("boom happened")
    assert "2" == pointed.wait_for(1)[0]["priority"]
