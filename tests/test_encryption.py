"""End-to-end encryption: by the service's rules, as others implement them."""

import base64
import gzip
import subprocess
import sys

import pytest
from apprise import AppriseAsset
from apprise.plugins.pushover import NotifyPushover
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from pushover_logging import PushoverClient
from pushover_logging.api.encryption import (
    decrypt,
    encrypt,
    encrypt_parameters,
    encrypted_length,
    parse_key,
)
from pushover_logging.exceptions import ConfigurationError

HAN = "".join(map(chr, range(0x4E00, 0x9000)))  # text that hardly gets shorter in a gzip
HEX = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
KEY = bytes(range(32))
TEXTS = ["x", "Disk full on db-7", "数据库连接失败 " * 40, "🤷🏽‍♀️\n", "a" * 1024, ""]


def openssl(*args, given):
    return subprocess.run(
        ["openssl", *args], input=given, capture_output=True, check=True, timeout=30
    ).stdout


@pytest.mark.process
@pytest.mark.parametrize("text", TEXTS)
def test_openssl_reads_it(text):
    """The command line of openssl checks the MAC and finds the gzip of the text."""
    raw = base64.b64decode(encrypt(text, KEY))
    iv, ciphertext, mac = raw[:16], raw[16:-32], raw[-32:]
    told = openssl(
        "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{HEX}", "-binary",
        given=iv + ciphertext,
    )  # fmt: skip
    assert mac == told
    packed = openssl("enc", "-d", "-aes-256-cbc", "-K", HEX, "-iv", iv.hex(), given=ciphertext)
    assert text == gzip.decompress(packed).decode()


@pytest.fixture
def apprise():
    return NotifyPushover(
        user_key="u" * 30, token="a" * 30, encryption_key=HEX, asset=AppriseAsset()
    )


@pytest.mark.parametrize("text", TEXTS)
def test_what_apprise_encrypts_is_read(apprise, text):
    """Another implementation's fields decrypt with ours."""
    assert text == decrypt(apprise._encrypt_field(text, KEY), KEY)


def test_made_by_the_rules_of_apprise(apprise):
    """Ours has the parts, the order and the MAC of the other implementation's."""
    raw = base64.b64decode(encrypt("Disk full", KEY))
    mac = HMAC(KEY, hashes.SHA256())
    mac.update(raw[:-32])
    try:
        mac.verify(raw[-32:])
    except InvalidSignature:
        pytest.fail("the MAC is not over IV and ciphertext")
    theirs = base64.b64decode(apprise._encrypt_field("Disk full", KEY))
    assert len(theirs) == len(raw)


@pytest.mark.parametrize("text", TEXTS)
def test_length_is_known_before(text):
    """What a text becomes can be reckoned without encrypting it, and is never twice the same."""
    once, again = encrypt(text, KEY), encrypt(text, KEY)
    assert [encrypted_length(text)] * 2 == [len(once), len(again)]
    assert once != again
    assert text == decrypt(once, KEY)


def test_shortest_is_longer_than_a_link_title_may_be():
    """Why `url_title` is never sent along: the service takes 100 characters of it."""
    assert 108 == encrypted_length("")


def encrypted_bytes(content):
    """Encrypt what is not a gzip, with a MAC that is right."""
    whole = encrypt("x", KEY)
    raw = base64.b64decode(whole)
    iv = raw[:16]
    body = openssl("enc", "-aes-256-cbc", "-K", HEX, "-iv", iv.hex(), given=content)
    mac = HMAC(KEY, hashes.SHA256())
    mac.update(iv + body)
    return base64.b64encode(iv + body + mac.finalize()).decode()


@pytest.mark.parametrize("field", [
    "", "plain text", "AAAA", *(base64.b64encode(bytes(size)).decode() for size in (65, 80)),
    encrypt("x", bytes(32)), encrypt("x", KEY)[:-4] + "AAA=", encrypt("x", KEY)[4:], "é",
    encrypted_bytes(b"no gzip"), encrypted_bytes(gzip.compress(b"\xff")),
    encrypted_bytes(gzip.compress(b"x")[:-9]),
    encrypted_bytes(gzip.compress(b"x")[:10] + b"\x07" * 20),
], ids=[str(number) for number in range(13)])  # fmt: skip
def test_what_was_not_made_with_the_key_is_refused(field):
    """Damaged, of another key, no gzip, no text: a ValueError each, and no other error."""
    with pytest.raises(ValueError, match=r".") as caught:
        decrypt(field, KEY)
    assert not isinstance(caught.value, ConfigurationError)


def test_key_is_read():
    """64 hexadecimal digits in either case, with the newline that a file ends with."""
    assert [KEY, KEY] == [parse_key(HEX), parse_key(f"{HEX}\n")]


@pytest.mark.parametrize("wrong", ["", "abc", HEX[:-1], HEX + "0", "g" * 64, 7, HEX.encode()])
def test_wrong_key_is_refused_and_not_shown(wrong):
    """The error names the option and what it takes, and shows nothing of what it got."""
    with pytest.raises(ConfigurationError, match="64 hexadecimal") as caught:
        parse_key(wrong)
    assert "encryption_key" == caught.value.option
    assert not wrong or str(wrong) not in str(caught.value)


def test_missing_package_names_the_extra(monkeypatch):
    """Without `cryptography` the error names the extra to install."""
    monkeypatch.delitem(sys.modules, "pushover_logging.api.encryption")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'pushover-logging\[encryption\]'"):
        __import__("pushover_logging.api.encryption")


@pytest.mark.parametrize("options", [{}, {"html": True}, {"monospace": True}])
@pytest.mark.parametrize(
    "text", ["Disk full", "数据库连接失败<&" * 999, "".join(map(chr, range(0x4E00, 0x9000)))]
)
def test_push_is_encrypted(drive, text, options):
    """Title and message are read with the key alone, each within its limit, the last line there."""
    driven = drive(encryption_key=HEX, url="https://x.example/1", url_title="Look", **options)
    driven.log.error(text)
    driven.settle()
    (push,) = driven.inbox.messages
    assert "1" == push["encrypted"]
    assert text[:5] == decrypt(push["title"], KEY)[:5]
    assert decrypt(push["message"], KEY).endswith("ERROR · shop · web-1")
    assert "https://x.example/1" == decrypt(push["url"], KEY)
    assert "url_title" not in push


def test_what_cannot_fit_is_cut_or_left_out():
    """A Message that is too long is truncated as HTML, loses its link, and gets a title."""
    noise = "".join(map(chr, range(0x4E00, 0x4E00 + 500)))
    values = {"message": f"<b>{noise}</b>", "html": 1, "url": f"https://x.example/{noise[:480]}"}
    sent = encrypt_parameters(values, KEY)
    assert decrypt(sent["message"], KEY).endswith("…</b>")
    assert (True, False) == (len(sent["message"]) <= 1024, "url" in sent)
    assert len(sent["title"]) <= 250


def test_other_key_is_another_account():
    """No process without the key sends what waits, in a shared file, to be encrypted."""
    keys = [None, HEX, HEX.lower(), "0" * 64]
    accounts = [PushoverClient("a" * 30, "u" * 30, encryption_key=key).account for key in keys]
    assert (3, accounts[1]) == (len(set(accounts)), accounts[2])
