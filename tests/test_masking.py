"""What varies is masked, what tells problems apart is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushover_logging.identity import masking
from pushover_logging.identity.masking import MAX_CHARACTERS, mask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET of https://a.example/x?y=1, twice", "GET of <url>, twice"),
        ("6.1.7601.17514 replaces 6.1.1.0", "<num> replaces <ip>"),
        ("on 01.05.2024.", "on <time>."),
        ("core~31bf38~amd64~~6.1.1.0 is missing", "<id>.<num> is missing"),
        ("net-core~31bf38~amd64~~6.1.7601.17514 is missing", "<id>.<num> is missing"),
        ("core~extra of 5~10 jobs", "core~extra of <num>~<num> jobs"),
        ("by arn:aws:iam::123456789012:user/x, twice", "by <url>, twice"),
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
        ('constraint "users_email_key" fails', 'constraint "users_email_key" fails'),
        (
            "(1062, \"Entry 'a@b.c' for key 'users.email'\")",
            "(1062, \"Entry <str> for key 'users.email'\")",
        ),
        ("unexpected argument 'x'; user 'ann'", "unexpected argument 'x'; user <str>"),
        ("took 3.5 s", "took <num>"),
        ("took 250ms", "took <num>"),
        ("disk at 93%", "disk at <num>"),
        ("User 500 failed", "User <num> failed"),
        ("1,000 rows, -5 left", "<num> rows, <num> left"),
        ("db-7 web_12 blk_123 blk_-123", "<id> <id> <id> <id>"),
        ("mask ffffffff or 0x1f or 31", "mask <num> or <num> or <num>"),
        ("from 10.0.0.7 (mail.example.at)", "from <ip>"),
        ("from 10.0.0.7 ()", "from <ip>"),
        ("node1 and db7 and worker12", "<id> and <id> and <id>"),
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
        "x86_64 ipv6 utf8mb4 k8s python3.11 libssl1.1",
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


# What other systems log, written from their formats and not copied from their logs.  Two of the
# lists found a fault of the masks: a long number with decimals (mac), and the path "/" (django).
SYSTEMS = {
    "bgl cache": [
        "instruction cache parity error corrected",
    ],
    "bgl edram": [
        "4 ddr errors(s) detected and corrected on rank 0, symbol 12, bit 3",
        "17 ddr errors(s) detected and corrected on rank 1, symbol 2, bit 0",
    ],
    "bgl core": [
        "generating core.2275",
        "generating core.862",
    ],
    "bgl ciod": [
        (
            "ciod: failed to read message prefix on control stream (CioStream socket to 172"
            ".16.96.116:33569"
        ),
        (
            "ciod: failed to read message prefix on control stream (CioStream socket to 172"
            ".16.96.11:3356"
        ),
    ],
    "bgl iar": [
        "iar 00106570 dear 00245110",
        "iar 0010db2c dear 0ff3fab0",
    ],
    "hpc": [
        "PSU status ( on on )",
    ],
    "hpc link": [
        "Link error on broadcast tree Interconnect-0T00:00:0:0",
        "Link error on broadcast tree Interconnect-1T02:04:3:1",
    ],
    "zk conn": [
        "Received connection request /10.10.34.11:45307",
        "Received connection request /10.10.34.13:37177",
    ],
    "zk sess": [
        "Client attempting to establish new session at /10.10.34.19:33442",
        "Client attempting to establish new session at /10.10.34.11:52310",
    ],
    "zk expire": [
        "Expiring session 0x14f05578bd80018, timeout of 10000ms exceeded",
        "Expiring session 0x24f05578bd80001, timeout of 20000ms exceeded",
    ],
    "zk broken": [
        "Connection broken for id 188978561024, my id = 1, error =",
        "Connection broken for id 2, my id = 3, error =",
    ],
    "proxifier close": [
        "proxy.cse.cuhk.edu.hk:5070 close, 0 bytes sent, 0 bytes received, lifetime 00:01",
        "proxy.cse.cuhk.edu.hk:5070 close, 403 bytes sent, 426 bytes received, lifetime 12:01",
    ],
    "openstack vm": [
        "[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started (Lifecycle Event)",
        "[instance: 0e7b1f5c-fe1a-409b-b8cc-1e88b294cd1d] VM Started (Lifecycle Event)",
    ],
    "openstack spawn": [
        (
            "[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] Took 20.58 seconds to spawn t"
            "he instance on the hypervisor."
        ),
        (
            "[instance: c9000564-fe1a-409b-b8cc-1e88b294cd1d] Took 19 seconds to spawn the "
            "instance on the hypervisor."
        ),
    ],
    "healthapp": [
        "onStandStepChanged 3579",
        "onStandStepChanged 12",
    ],
    "mac": [
        (
            "ARPT: 620701.011328: wl0: wl_update_tcpkeep_seq: Original Seq: 3226706533, Ack"
            ": 3871687177, Win size: 4096"
        ),
        "ARPT: 6.0: wl0: wl_update_tcpkeep_seq: Original Seq: 1, Ack: 38, Win size: 40",
    ],
    "thunderbird crond": [
        "(root) CMD (run-parts /etc/cron.hourly)",
        "(root) CMD (run-parts /etc/cron.daily)",
    ],
    "django 404": [
        "Not Found: /cart/12/",
        "Not Found: /favicon.ico",
    ],
    "django 500": [
        "Internal Server Error: /api/v1/orders/77",
        "Internal Server Error: /",
    ],
    "nginx refused": [
        (
            "2024/05/01 10:11:12 [error] 31#31: *1 connect() failed (111: Connection refuse"
            "d) while connecting to upstream, client: 10.0.0.1, server: shop.example.com, r"
            'equest: "GET /x HTTP/1.1", upstream: "http://10.0.0.2:80/x", host: "shop.examp'
            'le.com"'
        ),
        (
            "2024/05/02 11:11:12 [error] 32#32: *88 connect() failed (111: Connection refus"
            "ed) while connecting to upstream, client: 10.0.0.9, server: shop.example.com, "
            'request: "GET /y?z=1 HTTP/1.1", upstream: "http://10.0.0.3:80/y", host: "shop.'
            'example.com"'
        ),
    ],
    "nginx timeout": [
        (
            "2024/05/01 10:11:12 [error] 31#31: *1 connect() failed (110: Connection timed "
            "out) while connecting to upstream, client: 10.0.0.1, server: shop.example.com,"
            ' request: "GET /x HTTP/1.1", upstream: "http://10.0.0.2:80/x", host: "shop.exa'
            'mple.com"'
        ),
    ],
    "nginx get 500": [
        '10.0.0.1 - - [01/May/2024:10:11:12 +0000] "GET /a HTTP/1.1" 500 12 "-" "curl/8"',
        (
            '10.0.0.2 - - [02/May/2024:10:11:12 +0000] "GET /b/7 HTTP/1.1" 500 9912 "-" "Mo'
            'zilla/5.0 (X11)"'
        ),
    ],
    "nginx post 500": [
        '10.0.0.1 - - [01/May/2024:10:11:12 +0000] "POST /a HTTP/1.1" 500 12 "-" "curl/8"',
    ],
    "nginx get 502": [
        '10.0.0.1 - - [01/May/2024:10:11:12 +0000] "GET /a HTTP/1.1" 502 12 "-" "curl/8"',
    ],
    "pg dup": [
        'duplicate key value violates unique constraint "users_email_key"',
    ],
    "pg fk": [
        'insert on table violates foreign key constraint "orders_user_fk"',
    ],
    "pg auth": [
        'password authentication failed for user "app"',
        'password authentication failed for user "admin"',
    ],
    "pg slow": [
        "duration: 1234.567 ms  statement: SELECT",
        "duration: 2.1 ms  statement: SELECT",
    ],
    "pg slots": [
        "remaining connection slots are reserved for non-replication superuser connections",
    ],
    "celery": [
        (
            "Task shop.tasks.charge[6ba7b810-9dad-11d1-80b4-00c04fd430c8] raised unexpected"
            ": ValueError('x')"
        ),
        (
            "Task shop.tasks.charge[7ba7b810-9dad-11d1-80b4-00c04fd430c8] raised unexpected"
            ": ValueError('yy')"
        ),
    ],
    "celery other": [
        (
            "Task shop.tasks.refund[6ba7b810-9dad-11d1-80b4-00c04fd430c8] raised unexpected"
            ": ValueError('x')"
        ),
    ],
    "docker": [
        "Container 3f4e8a9b12cd failed to exit within 10s of signal 15 - using the force",
        "Container 9a4e8a9b12cd failed to exit within 10s of signal 15 - using the force",
    ],
    "k8s": [
        (
            "Back-off restarting failed container=web pod=web-7d4b9c6f5-x2x8z_default(6ba7b"
            "810-9dad-11d1-80b4-00c04fd430c8)"
        ),
        (
            "Back-off restarting failed container=web pod=web-7d4b9c6f5-9k2mn_default(7ba7b"
            "810-9dad-11d1-80b4-00c04fd430c8)"
        ),
    ],
    "redis": [
        "Error 111 connecting to redis:6379. Connection refused.",
    ],
    "redis2": [
        "Error 110 connecting to redis:6379. Connection timed out.",
    ],
    "urllib3": [
        (
            "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded wi"
            "th url: /v1/x (Caused by NewConnectionError('<urllib3.connection.HTTPSConnecti"
            "on object at 0x7f12>: Failed'))"
        ),
        (
            "HTTPSConnectionPool(host='api.example.org', port=443): Max retries exceeded wi"
            "th url: /v1/yy/7 (Caused by NewConnectionError('<urllib3.connection.HTTPSConne"
            "ction object at 0x7f1a>: Failed'))"
        ),
    ],
    "mysql dup": [
        "(1062, \"Duplicate entry '7' for key 'x'\")",
    ],
    "mysql gone": [
        "(2013, 'Lost connection to MySQL server during query')",
    ],
}


def test_other_systems_are_grouped_too() -> None:
    """Each list is one problem, and no two lists are the same one."""
    masked = {name: {mask(line) for line in lines} for name, lines in SYSTEMS.items()}
    split = [name for name, masks in masked.items() if len(masks) > 1]
    assert ([], len(SYSTEMS)) == (split, len(set().union(*masked.values())))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("HTTP 500", "HTTP 503"),
        ("status: 404", "status: 410"),
        ("statusCode=502", "statusCode=504"),
        ('{"status": 500, "id": 7}', '{"status": 503, "id": 7}'),
        ("request failed with 500", "request failed with 503"),
        ("upstream returned 502", "upstream returned 504"),
        ("[Errno 28] No space left on device", "[Errno 13] Permission denied"),
        ("[Errno 28]", "[Errno 13]"),
        ("'price' is undefined", "'amount' is undefined"),
        ("name 'price' is not defined", "name 'amount' is not defined"),
        ("'price' is a required property", "'amount' is a required property"),
        ("write failed: ENOSPC", "write failed: EACCES"),
        ("errno=28", "errno=13"),
        ("exited with code 1", "exited with code 137"),
        ("exit status 1", "exit status 2"),
        ("rc=1", "rc=2"),
        ("killed by signal 9", "killed by signal 11"),
        ("SQLSTATE[42S02]", "SQLSTATE[23000]"),
        ("ERROR: 42P01: x", "ERROR: 23505: x"),
        ("code 23505", "code 23503"),
        ("ORA-00942: x", "ORA-12541: x"),
        ("error 0x80070005", "error 0x80070002"),
        ("(1062, 'x')", "(2013, 'x')"),
        ("capture failed", "refund failed"),
        ("capture of order 7 failed", "refund of order 7 failed"),
        ('"GET /x HTTP/1.1"', '"POST /x HTTP/1.1"'),
        ('"GET /x HTTP/1.1" 500 7', '"GET /x HTTP/1.1" 502 7'),
        ("GET /x timed out", "DELETE /x timed out"),
        ("no sha256 of it", "no sha512 of it"),
        ("it is not utf8", "it is not utf16"),
        ("no ipv4 route", "no ipv6 route"),
        ("python3.11 is missing", "python3.12 is missing"),
        ("user=root", "user=guest"),
        ("waiting for lock from 10.0.0.1", "waiting for reply from 10.0.0.1"),
        ("It failed: HTTP 500.", "It failed: HTTP 503."),
        ("exit status 1.", "exit status 2."),
        ("killed by signal 9: no core", "killed by signal 6: no core"),
        ("HTTP 500 was the answer", "HTTP 503 was the answer"),
        ("failed: '[Errno 28] No space'", "failed: '[Errno 28] Permission'"),
        ("<Response [500]>", "<Response [503]>"),
        ("no luck (500)", "no luck (503)"),
        ("/charges -> 500", "/charges -> 503"),
        ("500: billing", "503: billing"),
        ("HTTPError: 500", "HTTPError: 503"),
        ("it answered 500", "it answered 503"),
        ("exit 1", "exit 2"),
        ("err=5", "err=7"),
        ("SMTP 550", "SMTP 421"),
        ("HRESULT 0x80070005", "HRESULT 0x80070020"),
        ("Deadlock (40P01)", "Deadlock (55P03)"),
        ("OSError(28, 'No space left')", "OSError(13, 'Permission denied')"),
        ("RuntimeError('disk full')", "RuntimeError('no such host')"),
        ('OperationalError(2003, "Can\'t connect")', 'OperationalError(2003, "Can\'t resolve")'),
        ("TypeError('Order.__init__() lacks it')", "TypeError('Order.__init__() got it')"),
        ("<FormError: 'price is missing'>", "<FormError: 'price is negative'>"),
        (
            "(Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: "
            "Failed to connect: [Errno 111] Connection refused'))",
            "(Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: "
            "Failed to connect: [Errno -2] Name or service not known'))",
        ),
        ("psycopg2.errors.UniqueViolation", "psycopg2.errors.DeadlockDetected"),
        ('event="disk full"', 'event="permission denied"'),
        ("level=error msg='disk full'", "level=error msg='no such host'"),
        ('{"short_message": "disk full"}', '{"short_message": "no such host"}'),
        ("at com.shop.A.b(A.java:12)", "at com.shop.B.b(B.java:12)"),
        ("订单1处理失败", "订单1支付失败"),
        ("注文12の処理に失敗", "注文12の返金に失敗"),
        ("주문1가 실패", "결제1가 실패"),
    ],
)
def test_different_problems_stay_apart(one: str, two: str) -> None:
    """A masked difference between two problems would hide one behind the other."""
    assert mask(one) != mask(two)


@pytest.mark.parametrize("text", [
    "Query returned {} rows, expected 1", "got {} bytes", "Error: {} rows could not be read",
    "responded {} ms late", "Error {} of 1000 in the batch", "Invoice INV-10{} is stuck",
    "Order ORD-12{}: no stock", "订单{}处理失败", "用户{}支付失败：余额{}不足",
    "注文{}の処理に失敗", "주문{}가 실패", "写入/data/{}/x失败", "ไม่พบผู้ใช้{}ในระบบ",
    "ValueError('x{}')", "done in 5m{}s", "at com.shop.A.b(A.java:{})", "Lost the signal: {} times",
])  # fmt: skip
def test_number_that_counts_or_names_is_no_code(text: str) -> None:
    """However much it looks like a status: each of these is one problem."""
    assert 1 == len({mask(text.replace("{}", str(number))) for number in (404, 432, 500, 503, 512)})


@given(
    number=st.integers(), text=st.text(alphabet=st.sampled_from("abc .,:'\"/=([-1"), max_size=40)
)
def test_one_number_is_as_good_as_another(number: int, text: str) -> None:
    """Whatever stands in front of it, a number among words says nothing."""
    assert mask(f"{text} order {number} lost") == mask(f"{text} order 7 lost")


# Each digit that matters in some mask, beside one in its place that does not.
PIECES = """
0 7 12 503 404 600 95 2024 0x 1x 0x1f s3 s4 ec2 ec3 h2 x86 x86_64 x64 x46 amd64 arm64 k8s k1s i18n
l10n log4j neo4j p50 p95 p99 utf8mb4 utf9mb1 4xx 9xx HTTP/1.1 [Errno status code with got user
order error returned (404) [503] 500: -> → answered gave replied 10.0.0.7
:5432 a1b2 GET /x host= sha256 sha1 é １ - _ : . ' " ] ( ,
"""
DIGITS = str.maketrans("0123456789", "9785461230")


@given(
    st.lists(
        st.sampled_from([*PIECES.split(), " ", "  ", " Not Found", " Bad Gateway", "\n"]),
        max_size=12,
    ).map("".join)
)
def test_mask_of_a_text_never_depends_on_another(text: str) -> None:
    """What was learnt of one text holds for those that differ in their digits alone."""
    assert_learnt(text.translate(DIGITS), text)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        *[("s4", "s3"), ("ec3", "ec2"), ("h3", "h2"), ("x96", "x86"), ("x96_64", "x86_64")],
        *[("x46", "x64"), ("amd46", "amd64"), ("arm46", "arm64"), ("k7s", "k8s")],
        *[("i81n", "i18n"), ("l01n", "l10n"), ("log5j", "log4j"), ("neo5j", "neo4j")],
        *[("p96", "p95"), ("utf9mb1", "utf8mb4"), ("9xx", "4xx"), ("1x1f", "0x1f")],
        *[("with 604", "with 404"), ("got 604", "got 404"), ("returned 604", "returned 404")],
        *[("responded 604", "responded 404"), ("904 Not Found", "404 Not Found")],
        *[
            ("answered 604", "answered 404"),
            ("gave 604", "gave 404"),
            ("replied 604", "replied 404"),
        ],
        *[("received 604", "received 404"), ("returns 604", "returns 404"), ("(604)", "(404)")],
        *[("[604]", "[404]"), ("604: x", "404: x"), ("-> 604", "-> 404"), ("→ 604", "→ 404")],
    ],
)
def test_digit_that_matters_is_looked_at(first: str, then: str) -> None:
    """A name, a status or a prefix is told from what only looks like it, whichever came first."""
    assert_learnt(first, then)
    assert_learnt(then, first)


def assert_learnt(first: str, then: str) -> None:
    """The mask of a text is the same after another one as it is alone."""
    masking._parts_of_shape.cache_clear()
    mask(first)
    assert masking._join(then, masking._parts(then)) == mask(then)


@given(st.text(max_size=300))
def test_any_text_has_a_mask(text: str) -> None:
    """Nothing raises, and a word without hexadecimal digits is what it is."""
    letters = "".join(each for each in text if each.isalpha() and each not in "abcdefABCDEF")
    assert (True, letters) == (isinstance(mask(text), str), mask(letters))


def test_quoted_word_before_a_colon_is_a_key_inside_braces_alone():
    """The name of a host is none; the fields of JSON are, also on lines of their own."""
    assert mask("Cannot connect to 'db7': timed out") == mask("Cannot connect to 'db8': timed out")
    for text in ("{'%s': 5}", '{"a": 5, "%s": 7}', '{"a": 5,"%s":7}', '{\n  "%s": 5\n}'):
        assert mask(text % "name") != mask(text % "size")


def test_length_of_a_list_does_not_matter():
    """One item or many have one mask; lists of different kinds differ."""
    assert mask("lost [1]") == mask("lost [1, 2, 3]")
    assert mask("web-1, web-2 are down") == mask("web-7 are down")
    assert mask("['a', 'b'] is lost") == mask("['c'] is lost") != mask("[1] is lost")
