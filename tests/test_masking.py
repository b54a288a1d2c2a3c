"""What varies is masked, what tells problems apart is kept."""

from __future__ import annotations

import pytest

from pushover_logging.masking import MAX_CHARACTERS, mask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET of https://a.example/x?y=1, twice", "GET of <url>, twice"),
        ("mail to jo.doe+x@mail.example.com!", "mail to <email>!"),
        ("job 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "job <uuid>"),
        ("at 2024-05-01T10:11:12.123Z", "at <time>"),
        ("at 2024-05-01 10:11:12,123", "at <time>"),
        ("at 01/May/2024:10:11:12 +0000", "at <time>"),
        ("since 10:11:12", "since <time>"),
        ("on Mon Jan  5 10:11:12 2024", "on <time>"),
        ("from 10.0.0.7", "from <ip>"),
        ("from 10.0.0.7:5432", "from <ip>"),
        ("from fe80::1", "from <ip>"),
        ("from [::1]:80", "from <ip>"),
        ("to localhost:5432", "to <host>"),
        ("to db.example.com:5432", "to <host>"),
        ("open /var/log/x.log", "open <path>"),
        ("open C:\\logs\\x.log", "open <path>"),
        ("open data/2024/x.csv", "open <path>"),
        ("at 0x7f3a12", "at <num>"),
        ("commit 9f86d08", "commit <num>"),
        ("column 'first name' missing", "column <str> missing"),
        ('column "first name" missing', "column <str> missing"),
        ("value 'don't' refused", "value <str> refused"),
        ("took 3.5 s", "took <num>"),
        ("took 250ms", "took <num>"),
        ("disk at 93%", "disk at <num>"),
        ("User 500 failed", "User <num> failed"),
        ("1,000 rows, -5 left", "<num> rows, <num> left"),
        ("db-7 web_12 blk_123 blk_-123", "<id> <id> <id> <id>"),
        ("mask ffffffff or 0x1f or 31", "mask <num> or <num> or <num>"),
        ("from 10.0.0.7 (mail.example.at)", "from <ip>"),
        ("from 10.0.0.7 ()", "from <ip>"),
        ("bad login of user root from 10.0.0.7", "bad login of user <value> from <ip>"),
        ("rhost=a.b dbhost=c hostname=d", "rhost=<value> dbhost=<value> hostname=<value>"),
        ("node1 and db7 and worker12", "<id> and <id> and <id>"),
        ("session=abcdef gone", "session=<value> gone"),
        ("POST /orders/7 503", "POST <path> 503"),
        ("POST /orders/7 timed out", "POST <path> timed out"),
        ('10.0.0.7 "GET /x HTTP/1.1" 500 12', "<ip> GET <path> 500 <num>"),
        ('{"event": "db down", "id": 7}', '{"event": "db down", "id": <num>}'),
    ],
)
def test_what_varies_is_masked(text: str, expected: str) -> None:
    """What differs from one report of a problem to the next becomes a placeholder."""
    assert expected == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Errno 28] No space left on device",
        "[WinError 5] Access is denied",
        "HTTP 500",
        "HTTP 503",
        "status 502",
        "status code 404",
        "status_code=404",
        "exit code 2",
        "non-zero exit status 1",
        "500 Server Error",
        "502 Bad Gateway",
        "ORA-00942: no such table",
        "E11000 duplicate key",
        "it's broken and that's bad",
        "sha256 utf8 s3 db UTF-8 MD5 Slf4jLogger OAuth2Session",
        "pre-commit failed in my_function and/or elsewhere",
        "std::vector is empty",
    ],
)
def test_what_tells_problems_apart_is_kept(text: str) -> None:
    """Codes, words that happen to have digits, and apostrophes stay as they are."""
    assert text == mask(text)


UNITS = [*'a1.:@/[\\"“', "::", "a.", "a-", "1:", "'a", "/a", "a/"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("tail", ["", "!", "\n", "x@"])
def test_only_the_start_is_read(unit: str, tail: str) -> None:
    """100 kB of anything cost what their first 2,048 characters cost."""
    text = unit * 100_000 + tail
    assert mask(text[:MAX_CHARACTERS]) == mask(text)


def test_masking_is_stateless() -> None:
    """What was masked before does not change what comes out."""
    before = mask("order 7 lost")
    mask("order seven lost")
    assert before == mask("order 8 lost")
