"""The inbox's page in a real browser: live, by keyboard, and deaf to what messages try."""

from __future__ import annotations

import base64
import shutil

import pytest
import requests

from pushover_logging.inbox import Inbox
from pushover_logging.inbox.rules import EXAMPLE_TOKEN, EXAMPLE_USER
from pushover_logging.inbox.store import IncomingMessage

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright comes with the extra test"
)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),  # one browser for all of them
    pytest.mark.skipif(BROWSER is None, reason="Debian's chromium is not installed"),
]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEYS = {"token": EXAMPLE_TOKEN, "user": EXAMPLE_USER}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SECOND = "gznej3rKEVAvPUxu9vvNnqpmZpokzF"  # the key of a group
WIDTHS = [390, 1440]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def inbox():
    with Inbox() as running:
        yield running


@pytest.fixture
def open_page(browser, inbox):
    """Open the page; at the end nothing must have run, failed, or been asked of anybody else."""
    opened, faults = [], []

    def noted(request):
        if not request.url.startswith((inbox.url, "data:", "blob:")):
            faults.append(request.url)

    def open_at(width=1440, height=900, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", noted)
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(inbox.url)
        page.wait_for_selector("#state[data-state=live]")
        opened.append(context)
        return page

    yield open_at
    for context in opened:
        context.close()
    assert [] == faults


def send(inbox, files=None, **fields):
    body = {**KEYS, "message": "m", **fields}
    answer = requests.post(f"{inbox.url}/1/messages.json", data=body, files=files, timeout=10)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def titles(page):
    return page.locator(".card h2").all_text_contents()  # drawn yet or not


def wait_for_cards(page, count):
    page.wait_for_function("count => document.querySelectorAll('.card').length === count",
                           arg=count)  # fmt: skip


def fill(inbox, count):
    """Put messages into the inbox without the wire."""
    inbox.set_quota(limit=100_000, remaining=100_000)
    for number in range(count):
        sent = IncomingMessage({**KEYS, "message": f"text {number}", "title": f"number {number}"})
        inbox._store.judge(inbox._store.begin(sent), sent)


def test_message_arrives_by_itself(inbox, open_page):
    """Without a reload, the newest on top, and the page's title counts."""
    page = open_page()
    assert page.locator("#empty").is_visible()
    assert page.locator("#connect").is_hidden()
    lines = page.locator("#first-environ").inner_text().splitlines()
    assert [f"export {name}={value}" for name, value in inbox.environ.items()] == lines
    wide = "element => element.scrollWidth > element.clientWidth"
    assert not any(page.locator(".lines").nth(number).evaluate(wide) for number in range(4))
    assert "pushover-logging" in page.locator("#empty a").inner_text()
    inbox.set_devices(KEYS["user"], ["pixel"])
    send(inbox, title="one", sound="moo", device="nokia")
    send(inbox, title="two", priority="1", sound="siren", device="pixel")
    wait_for_cards(page, 2)
    assert ["two", "one"] == titles(page)
    assert "(2) Inbox" == page.title()
    assert ["High", "siren", "pixel"] == page.locator(".card.high .chips span").all_inner_texts()
    unknown = page.locator(".card.normal .chips span").all_inner_texts()
    assert ["moo (unknown: the default plays)", "nokia (unknown: sent to all)"] == unknown
    assert page.locator("#empty").is_hidden()
    assert page.locator("#connect").is_visible()


def test_page_catches_up_after_a_break(inbox, open_page):
    """A server that goes and comes back: what came meanwhile is there, nothing twice."""
    page = open_page()
    send(inbox, title="before")
    wait_for_cards(page, 1)
    inbox.close()
    page.wait_for_selector("#state[data-state=lost]")
    fill(inbox, 2)
    inbox.start()
    wait_for_cards(page, 3)
    send(inbox, title="after")
    wait_for_cards(page, 4)
    assert ["after", "number 1", "number 0", "before"] == titles(page)


def test_page_follows_another_server_on_the_same_port(inbox, open_page):
    """A new process that knows nothing of the old one's messages: the page shows the new one's."""
    page = open_page()
    send(inbox, title="old")
    wait_for_cards(page, 1)
    inbox.close()
    with Inbox(port=inbox.port) as other:
        fill(other, 2)
        page.wait_for_function("() => document.querySelector('.card h2')?.innerText === 'number 1'")
        assert ["number 1", "number 0"] == titles(page)


def test_emergency_is_acknowledged(inbox, open_page):
    """It repeats until the button is pressed; then the receipt is acknowledged, also in the API."""
    page = open_page()
    receipt = send(inbox, title="down", priority="2", retry="30", expire="600")["receipt"]
    panel = page.locator(".emergency-panel")
    panel.get_by_text("Repeats every 30 s · shown once").wait_for()
    page.get_by_role("button", name="Acknowledge").click()
    panel.get_by_text("Acknowledged at").wait_for()
    assert 0 == page.get_by_role("button", name="Acknowledge").count()
    url = f"{inbox.url}/1/receipts/{receipt}.json"
    state = requests.get(url, params=KEYS, timeout=10).json()
    assert (1, EXAMPLE_USER) == (state["acknowledged"], state["acknowledged_by"])


def test_emergency_names_who_gets_it(inbox, open_page):
    """So that an escalation can be told from the emergency before it."""
    page = open_page()
    send(inbox, title="down", priority="2", retry="30", expire="600")
    send(inbox, title="still down", priority="2", retry="30", expire="600", user=SECOND)
    page.get_by_text("to gzne…kzF").wait_for()
    page.get_by_text(f"to {EXAMPLE_USER[:4]}…{EXAMPLE_USER[-3:]}").wait_for()


def test_countdowns_end(inbox, open_page):
    """A message with a ttl goes from the phone, an emergency gives up: on a faster clock."""
    requests.post(f"{inbox.url}/inbox/clock", json={"speed": 60}, timeout=10)
    page = open_page()
    send(inbox, title="brief", ttl="60")
    send(inbox, title="down", priority="2", retry="30", expire="60")
    page.get_by_text("disappears in").wait_for()
    page.get_by_text("gone from the phone").wait_for()
    page.get_by_text("nobody acknowledged").wait_for()
    assert 0 == page.get_by_role("button", name="Acknowledge").count()


def test_messages_are_filtered(inbox, open_page):
    """By priority and by text; what arrives is filtered too; the filter gone, all are back."""
    for number in range(-1, 2):
        send(inbox, title=f"number {number}", priority=str(number), message="Straße")
    page = open_page()
    wait_for_cards(page, 3)
    page.get_by_role("button", name="High").click()
    wait_for_cards(page, 1)
    send(inbox, title="late", priority="1")
    send(inbox, title="quiet", priority="-1")
    wait_for_cards(page, 2)
    assert ["late", "number 1"] == titles(page)
    page.get_by_role("button", name="High").click()
    page.get_by_placeholder("Search").fill("STRASSE")
    wait_for_cards(page, 3)
    page.get_by_placeholder("Search").fill("nowhere")
    page.get_by_text("No message matches").wait_for()
    page.keyboard.press("Escape")
    wait_for_cards(page, 5)


def test_raw_request_is_one_click_away(inbox, open_page):
    """The request as it came, in the card, and away again."""
    send(inbox, title="one & two")
    page = open_page()
    page.get_by_role("button", name="Raw request").click()
    page.get_by_text("POST /1/messages.json HTTP/1.1").wait_for()
    assert "title=one+%26+two" in page.locator(".raw").inner_text()
    page.get_by_role("button", name="Raw request").click()
    assert 0 == page.locator(".raw").count()


def test_picture_and_link_and_kinds_of_text(inbox, open_page):
    """A picture is shown, a link is one, HTML and monospace look as they are."""
    send(inbox, html="1", message="<b>bold</b><br><font color='#f00'>red</font>",
         url="https://shop.example/", url_title="The shop")  # fmt: skip
    send(inbox, monospace="1", message="a  b\n c")
    send(inbox, files={"attachment": ("dot.png", PNG, "image/png")})
    page = open_page()
    wait_for_cards(page, 3)
    page.wait_for_function("() => document.querySelector('.picture').naturalWidth === 1")
    assert "Attachment dot.png" == page.locator(".picture").get_attribute("alt")
    anchor = page.get_by_role("link", name="The shop")
    assert "https://shop.example/" == anchor.get_attribute("href")
    assert "noopener noreferrer nofollow" == anchor.get_attribute("rel")
    assert "bold" == page.locator(".text b").inner_text()
    assert "rgb(255, 0, 0)" == page.locator(".text font").evaluate("e => getComputedStyle(e).color")
    assert "a  b\n c" == page.locator(".text.mono").inner_text()


def test_keyboard_alone_is_enough(inbox, open_page):
    """Tab reaches all in the order of the page; the keys do what the page documents."""
    send(inbox, title="down", priority="2", retry="30", expire="600")
    send(inbox, title="newer")
    page = open_page()
    wait_for_cards(page, 2)
    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert ["Skip to the messages", "pushover-logging", "clear", "text", "Emergency", "High",
            "Normal", "Low", "Lowest"] == order[:9]  # fmt: skip
    page.keyboard.press("j")
    focused = "document.activeElement.querySelector('h2')?.innerText"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    assert "newer" == page.evaluate(focused)
    assert "solid" == page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("j")
    assert "down" == page.evaluate(focused)
    page.keyboard.press("a")
    page.get_by_text("Acknowledged at").wait_for()
    assert "down" == page.evaluate(focused)
    page.keyboard.press("r")
    page.locator(".raw").wait_for()
    page.keyboard.press("k")
    assert "newer" == page.evaluate(focused)
    page.keyboard.press("/")
    assert "text" == page.evaluate("document.activeElement.id")
    page.keyboard.type("down")
    wait_for_cards(page, 1)


def test_inbox_is_cleared_after_a_question(inbox, open_page):
    """Kept on the first answer, cleared on the second."""
    send(inbox)
    page = open_page()
    wait_for_cards(page, 1)
    for answer, left in (("Keep them", 1), ("Clear", 0)):
        page.locator("#clear").click()
        page.locator("#sure").get_by_role("button", name=answer).click()
        page.locator("#sure").wait_for(state="hidden")
        wait_for_cards(page, left)
    assert [] == inbox.messages


def test_ten_thousand_messages_stay_quick(inbox, open_page):
    """The page holds a part, and gets more as the reader scrolls; a filter finds the oldest."""
    fill(inbox, 10_000)
    page = open_page()
    page.wait_for_function("() => document.querySelectorAll('.card').length >= 50")
    assert "10,000 messages" == page.locator("#count").inner_text()
    assert page.locator(".card").count() <= 200
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("() => document.querySelectorAll('.card').length >= 100")
    spent = page.evaluate(
        "() => { const begin = performance.now(); document.querySelector('.card').focus();"
        " document.body.getBoundingClientRect(); return performance.now() - begin }"
    )
    assert spent < 500
    page.get_by_placeholder("Search").fill("number 77")
    page.wait_for_function("() => document.querySelector('.card h2')?.innerText === 'number 7799'")
    send(inbox, title="number 77 again")
    page.wait_for_function(
        "() => document.querySelector('.card h2')?.innerText === 'number 77 again'"
    )


HUGE = "W" * 1024
RTL = "\u202e"
HOSTILE = [
    {"message": "<script>alert(1)</script>", "html": "1"},
    {"message": "<script>alert(1)</script>"},
    {"message": "<img src=x onerror=alert(1)>", "html": "1"},
    {"message": "<img src=https://evil.example/x.png>", "html": "1"},
    {"message": "<b onclick=alert(1) onmouseover=alert(1)>b</b>", "html": "1"},
    {"message": "<a href=javascript:alert(1)>click</a>", "html": "1"},
    {"message": "<a href=' java\nscript:alert(1)'>click</a>", "html": "1"},
    {"message": "<a href=data:text/html,<script>alert(1)</script>>click</a>", "html": "1"},
    {"message": "<a href=//evil.example>click</a>", "html": "1"},
    {"message": "<a href=/inbox/messages>click</a>", "html": "1"},
    {"message": "m", "url": "javascript:alert(1)", "url_title": "<b>click</b>"},
    {"message": "m", "url": "JaVaScRiPt:alert(1)//http://"},
    {"message": "m", "url": "vbscript:x"},
    {"message": "m", "url": "file:///etc/passwd"},
    {"message": "m", "url": "https://[", "url_title": "t"},
    {"message": "</div></article></main><b>outside", "html": "1"},
    {"message": "<b><i><u><font color='red;background:url(//evil.example)'>x", "html": "1"},
    {"message": "<style>*{display:none!important}</style>s", "html": "1"},
    {"message": "<svg onload=alert(1)><a xlink:href=javascript:alert(1)>x</a></svg>", "html": "1"},
    {"message": "<svg><style><img src=x onerror=alert(1)></style></svg>", "html": "1"},
    {"message": "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>", "html": "1"},
    {"message": "<iframe src=https://evil.example></iframe><object data=x>", "html": "1"},
    {"message": "<form action=//evil.example><input autofocus onfocus=alert(1)>", "html": "1"},
    {"message": "<meta http-equiv=refresh content='0;url=//evil.example'>m", "html": "1"},
    {"message": "<base href=//evil.example><link rel=stylesheet href=//evil>m", "html": "1"},
    {"message": "<p style='position:fixed;inset:0'>over all</p>", "html": "1"},
    {"message": HUGE, "title": "T" * 250, "url": "https://u.example/" + "u" * 490},
    {"message": "\n" * 1000 + "end", "title": "\u0301" * 250},
    {"message": f"{RTL}txet desrever", "title": f"{RTL}eltit", "url": f"https://x/{RTL}gpj"},
    {"message": f"{RTL}<b>{RTL}x", "html": "1", "device": "d" * 25, "sound": RTL + "s" * 900},
    {"message": "${alert(1)} {{7*7}} %s \x00\x08\x1b[31m", "title": "\u2028\ufeff", "tags": "<b>"},
    {"message": "z" + "\u0335\u0321" * 500, "timestamp": "9" * 11, "ttl": "9" * 18},
]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_messages_do_nothing(inbox, open_page, width):
    """Nothing runs, nothing leaves the page, no card breaks out of its place."""
    page = open_page(width)
    for fields in HOSTILE:
        send(inbox, **fields)
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    send(inbox, files={"attachment": ('"><script>alert(1)</script>', svg, "image/svg+xml")})
    wait_for_cards(page, len(HOSTILE) + 1)
    page.evaluate("document.querySelectorAll('.text a').forEach(a => a.dataset.seen = a.href)")
    links = page.locator(".card a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert all(link is None or link.startswith("https://") for link in links), links
    assert not [link for link in links if link and "evil" in link]
    tags = "script, style, img:not(.picture), iframe, object, form, input, meta, base, link, math"
    assert 0 == page.locator(f".card :is({tags})").count()
    attributes = page.evaluate(
        "() => [...document.querySelectorAll('.card *')].flatMap(e => [...e.attributes])"
        ".map(a => a.name).filter(n => n.startsWith('on') || n === 'style')"
    )
    assert [] == attributes
    page.locator(".card b, .card font").first.click(force=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#list").bounding_box()
    for card in page.locator(".card").all():
        inside = card.bounding_box()
        assert box["x"] - 1 <= inside["x"]
        assert inside["x"] + inside["width"] <= box["x"] + box["width"] + 1
        assert inside["height"] < 1000


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const layers = (element) => element ? [...layers(element.parentElement), element] : [];
  const paint = (color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); };
  const light = () => {
    const part = (c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.checkVisibility()) continue;
    if (element.closest(".hidden, .skip, noscript, :disabled")) continue;
    paint("white");
    for (const one of layers(element)) paint(getComputedStyle(one).backgroundColor);
    const back = light();
    paint(getComputedStyle(element).color);
    const [low, high] = [back, light()].sort((a, b) => a - b);
    const ratio = (high + .05) / (low + .05);
    if (ratio < 4.5) bad.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_text_is_readable_and_controls_are_named(inbox, open_page, width, scheme):
    """All text has a contrast of 4.5 to 1; each control has a name; each picture a text."""
    page = open_page(width, scheme=scheme)
    page.locator("#first").wait_for()
    assert [] == page.evaluate(CONTRASTS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for priority in ("-2", "-1", "0", "1"):
        send(inbox, title="t", priority=priority, sound="s", url="https://x.example/", ttl="99")
    send(inbox, title="t", priority="2", retry="30", expire="600")
    done = send(inbox, title="t", priority="2", retry="30", expire="600")["receipt"]
    inbox.acknowledge(done)
    send(inbox, encrypted="1")
    wait_for_cards(page, 7)
    page.locator(".raw-button").first.click()
    page.emulate_media(reduced_motion="reduce")
    assert [] == page.evaluate(CONTRASTS)
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, input, a, progress, article, pre')].filter("
        "e => !(e.textContent?.trim() || e.getAttribute('aria-label') || e.labels?.length"
        " || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML)"
    )
    assert [] == nameless
    assert 0 == page.locator("img:not([alt])").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
