"""What is taken out of a text before it is stored or sent, and what stays."""

import itertools
import json
import math
import re
import string
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushover_logging import ConfigurationError
from pushover_logging.rendering import redaction
from pushover_logging.rendering import secret_patterns as patterns
from pushover_logging.rendering.redaction import Redaction, names_secret, redacted

SECRET = "s3cr3tS3cr3t"


@pytest.mark.parametrize("text", [
    f"postgres://app:{SECRET}@db/orders", f"https://u:a@{SECRET}@host/x",
    f"Authorization: Bearer {SECRET}", f"{{'Authorization': 'Basic {SECRET}', 'a': 1}}",
    f"proxy-authorization: Digest a, b={SECRET}", f"Cookie: session={SECRET}; a=b",
    f"got bearer {SECRET}.x", f"password={SECRET}&x=1", f"db_password: {SECRET}",
    f'{{"password": "x {SECRET} y"}}', f"api_key='{SECRET}'", f"AWS_SECRET_ACCESS_KEY={SECRET}",
    f"token: {SECRET}", f"client-secret = {SECRET}", f'pwd="{SECRET}', f"passwd=b'{SECRET}'",
    f"https://{SECRET}abcdefgh@host/x", f"mysqldump --password {SECRET} shop",
    f"run --api-token '{SECRET} x'", f"got eyJhbGciOiJI.{SECRET}.x-y_z",
    f"id_token eyJhbGciOiJI.{SECRET}.",
    f'password: "{SECRET}"', f"api_key:  '{SECRET}'", f"password  =  {SECRET}",
    f'"password":  "{SECRET}"', f'{{"password": ["{SECRET}"]}}', f"password=SecretStr('{SECRET}')",
    f'{{\\"password\\": \\"{SECRET}\\"}}', f"{{'DB_PASS': '{SECRET}'}}", f"REDIS_AUTH={SECRET}",
    f"GET /a?X-Amz-Signature={SECRET}", f"GET /a?sig={SECRET}&b=1", f"GET /a?q=1&key={SECRET}",
])  # fmt: skip
def test_default_set_hides(text):
    """Passwords in URLs, Authorization values and common pairs: the secret goes, the rest stays."""
    hidden = Redaction()(text)
    assert (False, True) == (SECRET in hidden, "***" in hidden)
    assert text.partition(SECRET)[0].split(" ")[0].rstrip("'") in hidden or "@" in text


@pytest.mark.parametrize("text", [
    "http://x:80/a@b", "https://host/path?q=1", "Authorization failed for ann",
    "the bearer of news", "token expired", "tokens: 512", "max_tokens=100",
    "Unexpected token: }", "password reset failed", "no such key: colour", "secret santa",
    "ssh://deploy@host", "https://ann-of-the-office@host",
    "--token --verbose", "eyJustAWord", "KeyError: 'price'", "connect to db-7:5432 timed out",
    "Bearer token missing", "pass=5 fail=2", "Unexpected token: 'if'", "key=colour", "sig=4",
])  # fmt: skip
def test_default_set_leaves(text):
    """Text that only looks like it stays as it is."""
    assert text == Redaction()(text)


# The patterns look around, so that many of the examples fit them no more.
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(st.data())
def test_no_name_is_passed_over(data):
    """Each name contains a sign, so that its text is looked at."""
    name = data.draw(st.from_regex(re.compile(patterns.NAMES, re.ASCII)))
    assert any(sign in name for sign in patterns.NAME_SIGNS), name


def test_every_sign_is_looked_for():
    """What a text is searched for first covers the signs of names and of each kind."""
    signs = {*patterns.NAME_SIGNS, *(sign for signs, _ in patterns.KINDS for sign in signs)}
    texts = {sign: f"x{sign}x".encode("latin-1") for sign in signs}
    assert [] == [sign for sign in signs if not redaction._sign().search(texts[sign])]


def test_known_lines_are_few_and_hide_nothing():
    """A line without a secret is known, apart from its digits; so many, and no long one."""
    hide = Redaction()
    letters = [*string.ascii_lowercase][:15]
    for words in itertools.product(letters, repeat=3):
        hide(f"row {' '.join(words)}\nline 2")
    hide("a " * redaction._MAX_LINE)
    assert 0 < len(redaction._clean_lines) <= redaction._MAX_LINES
    assert max(map(len, redaction._clean_lines)) <= redaction._MAX_LINE
    assert "row 5" == hide("row 5")
    assert "row 6\npassword=***" == hide("row 6\npassword=hunter2")


@pytest.mark.parametrize(("signs", "pattern"), [
    (signs, pattern) for signs, found in patterns.KINDS for pattern in found
])  # fmt: skip
@few
@given(data=st.data())
def test_no_pattern_is_passed_over(signs, pattern, data):
    """Whatever one of the default patterns hides has a sign, so that it is looked at."""
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII)))
    found = [sign for sign in signs if sign in redaction._fold(text)]
    assert found or text == redaction._hide_all([pattern], text)


@pytest.mark.parametrize("pattern", patterns.LONG_KINDS)
@few
@given(data=st.data())
def test_no_key_is_passed_over(pattern, data):
    """Whatever fits the pattern of a key has a long word."""
    wider = re.sub(r"\(\?=[^()]*\)", "", pattern)  # hardly any example would fit
    text = data.draw(st.from_regex(re.compile(wider, re.ASCII)))
    found = re.search(r"(?a)[\w-]{20}", text) or "/" in text or "+" in text
    assert found or text == redaction._hide_all([pattern], text)


def test_patterns_are_added():
    """As text or compiled: where one has groups these are hidden, else the whole match."""
    hide = Redaction([r"card (\d+)-(\d+)", re.compile("ann|bob")])
    assert "card ***-*** of ***, password=***" == hide("card 12-34 of ann, password=x")
    assert "*** x" == Redaction("y+")("yyy x")
    assert "***!" == Redaction("((a)b)")("ab!")


@pytest.mark.parametrize(("pattern", "text", "hidden"), [
    (r"card (\d+)-(\d+)", "x card 12-34 y", "x card ***-*** y"), ("(a)b", "ab", "***b"),
    ("((a)b)-(c)", "x ab-c!", "x ***-***!"), ("(a)?b", "x b", "x ***"),
    (None, "x pwd='a b' y", "x pwd='***' y"), (None, 'x pwd="a b" y', 'x pwd="***" y'),
])  # fmt: skip
def test_what_is_hidden_of_a_match(pattern, text, hidden):
    """Its groups, each once, wherever it stands; a quote in front of a value stays."""
    assert hidden == Redaction(pattern)(text)


def test_switched_off_but_for_its_own():
    """Without patterns the handler's own secrets are hidden all the same."""
    assert "password=x ***" == Redaction(option=False, secrets=["KEY", None, ""])("password=x KEY")
    assert "password=***" == Redaction(option=True)("password=x")


@pytest.mark.parametrize(("wrong", "given"), [
    (5, "5"), ("(", "'(' ("), ([b"x"], "b'x' ("), (["a", 5], "5 ("), ({"a": 1}, "{'a': 1}"),
    ("(password=x", "'(password=***' ("),
])  # fmt: skip
def test_what_is_no_pattern_is_refused(wrong, given):
    """Reported at construction: what was given, why it is none, and what it takes."""
    with pytest.raises(ConfigurationError) as caught:
        Redaction(wrong)
    assert str(caught.value).startswith(f"redact: got {given}")
    takes = ", takes False, or regular expressions, as text or compiled"
    assert (takes, "redact") == (str(caught.value)[-len(takes) :], caught.value.option)


class Unprintable:
    """Its text cannot be had."""

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(("value", "text"), [
    (5, "5"), ("password=x", "'password=***'"), ("x" * 158, f"'{'x' * 158}'"),
    ("x" * 159, f"'{'x' * 158}…"), (Unprintable(), "a Unprintable"),
])  # fmt: skip
def test_value_is_shown_in_one_line_without_secrets(value, text):
    """As Python writes it, in at most 160 characters; one that cannot be written by its type."""
    assert text == redacted(value)


def test_only_the_start_of_a_text_is_looked_at():
    """What comes after 16,384 characters could not be sent."""
    assert "x" * 16_384 == Redaction()("x" * 16_385)


@pytest.mark.parametrize("text", [
    "password={}", "Authorization: Bearer {}", "[parameters: ('{}',)]", "ya29.{}",
])  # fmt: skip
def test_long_secret_is_hidden_whole(text):
    """However long it is."""
    assert "s3cr3t" not in Redaction()(text.replace("{}", "s3cr3t" * 600))


def test_names_of_secrets():
    """A field is hidden by its name, whatever its value looks like."""
    named = ["password", "db_token", "Authorization", "db_pass", "api_keys", "password2",
             "secret_value"]  # fmt: skip
    assert all(map(names_secret, named))
    assert not any(map(names_secret, ["price", "tokens", "compass", "password_age", "author"]))


PARTS = ["a", "://", "://a:", "password", "password=", "authorization: ", 'authorization"', "p",
         "bearer ", "token: ", "token:a-", 'password="\\', "secret_access_", "://:@", "cookie:",
         "api_", "\\", "Bearer aaaaaaaa", '"password": "', "token:aaaa", "=", "'", " ",
         "--", "--token ", " --a", "eyJ", "eyJaaaaaaaa.", "://aaaaaaaaaaaaaaaaaaaa", "password=a(",
         'token: "', "?sig=", 'pwd\\": \\"',
         "pw ", "pin=", "a_key ", "password\n", "password>", "password a=", "password%3D",
         "password is ", "password='a is ", 'password": [', "password'), ", "password', '",
         "://:/@", "://a:b/@ ", "tgram://", "/hooks/", "/hooks/1", "/services/T1234567/B",
         "mysql ", "mysql -p", "sshpass ", "redis-cli x ", "docker login ", "mariadb -u ", " -u a:",
         "kinit a ", "login a:", "login:", "password input ", "auth=('", "[parameters: ]",
         "failing row contains (", "4242 4242 ", "4", "sk-", "sk-1", "12345678:",
         "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "\u5bc6\u7801",
         "key-", "sk-sk-", "a1-", "/reset/", "/ical/a", "$0$", "pbkdf2:a", "1 is your a ",
         "into a(pwd", "values into ", 'password: ["a",', 'password": {"', "password: |\n ",
         "password value", "password=a,", "password: a.", "password for a ", "sid=", "echo a | ",
         "otp 1234, ", "token AAAA1-", "net use a "]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("end", ["", "a" * 8000, "\\" * 8000, "@"])
def test_no_text_makes_it_slow(part, end):
    """All defaults over the 16 KiB of a text that are read: the work of a few plain searches."""
    text = (part * 16_384)[: 16_384 - len(end)] + end + (part * 10**6)[: 10**6]
    plain, hide = re.compile("[a-z]{0,128}!"), Redaction()
    searched, hidden = math.inf, math.inf
    for _ in range(5):
        began = time.thread_time()  # not of the others on this machine
        plain.search("a" * 16_384)
        middle = time.thread_time()
        hide(text)
        searched = min(searched, middle - began)
        hidden = min(hidden, time.thread_time() - middle)
        if hidden < 8 * searched:
            break
    assert hidden < 8 * searched, hidden / searched  # 20 ms where a search takes 2.5


def test_record_is_redacted_before_it_is_stored(drive):
    """Title, message, extras, traceback and url: neither the outbox nor the service sees it."""
    driven = drive(url="https://logs.example/?q={message}", redact=[r"card \d+"])
    try:
        raise ValueError(f"password={SECRET}")
    except ValueError:
        driven.log.exception("card 4242 token: %s", SECRET, extra={"api": f"pwd={SECRET}"})
    stored = json.dumps([str(one) for one in (driven.handler.stats(),)])
    driven.settle()
    (push,) = driven.inbox.messages
    assert SECRET not in str(push) + stored
    assert "4242" not in str(push)


def test_key_in_the_lines_of_an_exception_is_hidden(drive):
    """Each line of a PEM block stands alone in a traceback."""
    driven = drive()
    lines = [f"{SECRET * 4}{number}xYz0123456789" for number in range(3)]
    block = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])
    try:
        raise ValueError(f"Cannot read {block}")
    except ValueError:
        driven.log.exception("It failed")
    driven.settle()
    (push,) = driven.inbox.messages
    assert SECRET not in str(push)
    assert push["message"].count("***") >= len(lines)
