// The page's only script: it shows what the stream of events tells, as text and nothing else.
// The one HTML that goes in is a message's own, sanitized by the server.
"use strict";

const MOST_CARDS = 1000; // older ones come back when the reader asks for them
const byId = (id) => document.getElementById(id);
const list = byId("list");
const cards = new Map(); // number -> {card, message}, as shown, newest first
let clock = { server: 0, here: 0, speed: 1 };
let stream = null;
let retry = null;
let total = 0;

const ICONS = {
  emergency: "M12 3 2.5 20h19L12 3zM12 10v4M12 17.2v.1",
  high: "M12 4v10M12 19v.1",
  normal: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4",
  low: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4",
  lowest: "M6 16V11a6 6 0 0 1 9-5.200M18 12v4l1.500 2h-15M3 3l18 18",
  sound: "M9 18V5l10-2v13M9 18a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM19 16a3 3 0 1 1-6 0 3 3 0 0 1 6 0z",
  device: "M7 2.500h10v19H7zM11 18.500h2",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  timer: "M12 7v5l3 2M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18z",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
};

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function button(className, text, action) {
  const made = make("button", className, text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

// Times: the inbox's clock may be faster than ours.
const now = () => clock.server + ((performance.now() - clock.here) / 1000) * clock.speed;

function day(date) {
  const today = new Date(now() * 1000);
  return date.toDateString() === today.toDateString() ? {} : { day: "numeric", month: "short" };
}

function clockTime(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "";
  return date.toLocaleString("en-GB", { ...day(date), hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function span(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(left / 3600), Math.floor(left / 60) % 60];
  if (hours > 47) return `${Math.floor(hours / 24)} days`;
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}

// One message's card, from top to bottom.
function cardOf(message) {
  const card = make("article", `card ${message.priority}`);
  card.tabIndex = 0;
  card.dataset.number = message.number;
  card.setAttribute("aria-labelledby", `title-${message.number}`);
  const badge = make("div", "badge", icon(message.priority));
  const content = make(
    "div", "", head(message), text(message), notice(message), picture(message), link(message),
    emergency(message), foot(message, card),
  );
  card.append(badge, content);
  return card;
}

function head(message) {
  const title = make("h2", "", message.title || "Untitled application");
  title.id = `title-${message.number}`;
  title.dir = "auto";
  const sent = /^\d{1,11}$/.test(message.timestamp) ? Number(message.timestamp) : message.received;
  const time = make("time", "", clockTime(sent));
  time.dateTime = new Date(sent * 1000).toISOString();
  time.title = `sent ${clockTime(sent)}, received ${clockTime(message.received)}`;
  message.sent = sent;
  return make("header", "", title, time);
}

function text(message) {
  const kind = message.html !== null ? "html" : message.monospace === "1" ? "mono" : "plain";
  const body = make("div", `text ${kind}`);
  body.dir = "auto";
  if (message.html === null) body.textContent = message.message;
  else body.append(...new DOMParser().parseFromString(message.html, "text/html").body.childNodes);
  const lines = message.message.split(/\n|<br/i).length;
  if (lines <= 12 && message.message.length <= 900) return body;
  body.classList.add("long");
  const toggle = button("plain-button", "Show all", () => {
    const long = body.classList.toggle("long");
    toggle.textContent = long ? "Show all" : "Show less";
    toggle.setAttribute("aria-expanded", String(!long));
  });
  toggle.setAttribute("aria-expanded", "false");
  return make("div", "", body, toggle);
}

function notice(message) {
  const texts = {
    "no key": "Encrypted: start the inbox with PUSHOVER_ENCRYPTION_KEY to read it.",
    "wrong key": "Encrypted with another key than the inbox has.",
  };
  return texts[message.encrypted] ? make("p", "notice", texts[message.encrypted]) : null;
}

function picture(message) {
  if (!message.picture) return null;
  const image = make("img", "picture");
  image.src = message.picture;
  image.loading = "lazy";
  image.alt = `Attachment ${message.attachment.name}`.trim();
  return image;
}

function link(message) {
  if (!message.url) return null;
  if (!message.link) return make("p", "link", icon("link"), make("span", "", message.url));
  const anchor = make("a", "", message.url_title || message.url);
  anchor.href = message.link;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  anchor.dir = "auto";
  anchor.title = anchor.href;
  return make("p", "link", icon("link"), anchor);
}

function emergency(message) {
  const told = message.emergency;
  if (!told) return null;
  const panel = make("div", "emergency-panel");
  const words = make("span", "words");
  panel.append(words);
  if (told.active) {
    panel.append(button("strong-button acknowledge", "Acknowledge", () => acknowledge(message)));
  }
  return panel;
}

function emergencyWords(told) {
  if (told.acknowledged) {
    const called = told.called_back ? ", called back" : "";
    return `Acknowledged at ${clockTime(told.acknowledged)} on ${told.device}${called}`;
  }
  if (told.cancelled) return `Cancelled at ${clockTime(told.cancelled)}`;
  if (now() >= told.expires) return `Gave up at ${clockTime(told.expires)}: nobody acknowledged`;
  const shown = 1 + Math.min(50, Math.floor(Math.max(0, now() - told.sent) / told.retry));
  const times = shown === 1 ? "once" : `${shown} times`;
  return `Repeats every ${told.retry} s · shown ${times} · gives up in ${span(told.expires - now())}`;
}

function chip(name, words, className = "") {
  return make("span", className, name ? icon(name) : null, words);
}

function foot(message, card) {
  const chips = make("div", "chips");
  if (message.priority !== "normal") {
    chips.append(chip("", message.priority[0].toUpperCase() + message.priority.slice(1), "tone"));
  }
  if (message.emergency) chips.append(chip("", `to ${message.to.join(", ")}`, "to"));
  const doubt = (name, words) => message.unknown.includes(name) ? ` (unknown: ${words})` : "";
  if (message.sound) chips.append(chip("sound", message.sound + doubt("sound", "the default plays")));
  if (message.device) chips.append(chip("device", message.device + doubt("device", "sent to all")));
  if (message.encrypted === "decrypted") chips.append(chip("lock", "end to end encrypted"));
  if (message.attachment && !message.picture) {
    chips.append(chip("file", `${message.attachment.name || "attachment"} (${message.attachment.size} bytes)`));
  }
  if (message.tags) chips.append(chip("", `tags ${message.tags}`));
  if (Math.abs(message.received - message.sent) >= 2) {
    chips.append(chip("", `received ${clockTime(message.received)}`));
  }
  if (/^\d{1,11}$/.test(message.ttl) && !message.emergency) chips.append(chip("timer", make("span", "ttl")));
  const raw = button("plain-button raw-button", "Raw", () => toggleRaw(card, message));
  raw.setAttribute("aria-expanded", "false");
  raw.setAttribute("aria-label", "Raw request");
  return make("div", "foot", chips, raw);
}

async function toggleRaw(card, message) {
  const shown = card.querySelector(".raw");
  card.querySelector(".raw-button").setAttribute("aria-expanded", String(!shown));
  if (shown) return void shown.remove();
  const raw = make("pre", "raw", "…");
  raw.tabIndex = 0;
  raw.setAttribute("aria-label", "Raw request");
  card.append(raw);
  const answer = await fetch(`/inbox/messages/${message.number}/raw`).catch(() => null);
  raw.textContent = answer && answer.ok ? await answer.text() : "The inbox does not have it any more.";
}

function acknowledge(message) {
  fetch(`/inbox/receipts/${message.emergency.receipt}/acknowledge`, { method: "POST" }).catch(() => {});
}

// What a second changes: countdowns.
function tick({ card, message }) {
  const told = message.emergency;
  if (told) {
    const active = !told.acknowledged && now() < told.expires;
    const panel = card.querySelector(".emergency-panel");
    const words = emergencyWords(told);
    if (panel.firstChild.textContent !== words) panel.firstChild.textContent = words;
    panel.classList.toggle("over", !active);
    panel.classList.toggle("done", Boolean(told.acknowledged));
    card.classList.toggle("active", active);
    if (!active) panel.querySelector("button")?.remove();
  }
  const ttl = card.querySelector(".ttl");
  if (ttl) {
    const left = message.received + Number(message.ttl) - now();
    ttl.textContent = left > 0 ? `disappears in ${span(left)}` : "gone from the phone";
    card.classList.toggle("gone", left <= 0);
  }
}

// Puts a message where it belongs: what is new on top, what changed in its place.
function show(message, isNew) {
  const before = cards.get(message.number);
  const card = cardOf(message);
  const entry = { card, message };
  cards.set(message.number, entry);
  if (before) {
    const focused = before.card.contains(document.activeElement);
    const raw = before.card.querySelector(".raw");
    if (raw) {
      card.append(raw);
      card.querySelector(".raw-button").setAttribute("aria-expanded", "true");
    }
    before.card.replaceWith(card);
    if (focused) card.focus({ preventScroll: true });
  } else if (isNew) {
    card.classList.add("new");
    list.prepend(card);
  } else list.append(card);
  tick(entry);
}

function remove(entry) {
  entry.card.remove();
  cards.delete(entry.message.number);
}

function take(told, isReset) {
  clock = { server: told.now, here: performance.now(), speed: told.speed };
  total = told.total;
  if (isReset) {
    list.replaceChildren();
    cards.clear();
    byId("more").hidden = !told.more;
  }
  for (const message of told.messages) show(message, !isReset);
  for (const entry of [...cards.values()]) if (entry.message.number < told.first) remove(entry);
  if (cards.size > MOST_CARDS) {
    const numbers = [...cards.keys()].sort((one, two) => two - one);
    for (const number of numbers.slice(MOST_CARDS)) remove(cards.get(number));
    byId("more").hidden = false;
  }
  if (!isReset && told.messages.length) {
    const newest = told.messages[told.messages.length - 1];
    byId("news").textContent = `${newest.priority} message: ${newest.title || newest.message}`;
  }
  frame(told.quota);
}

function frame(quota) {
  const { text: words, priority } = wanted();
  const isFiltered = Boolean(words || priority);
  const amount = `${total.toLocaleString("en")} message${total === 1 ? "" : "s"}`;
  const of = byId("more").hidden ? `${cards.size} of ${amount}` : `filtered, of ${amount}`;
  byId("count").textContent = isFiltered ? of : amount;
  document.title = total ? `(${total}) Inbox` : "Inbox";
  byId("clear").disabled = !total;
  byId("empty").hidden = cards.size > 0;
  byId("empty-title").textContent = isFiltered && total ? "No message matches" : "Nothing yet";
  byId("empty-text").textContent = isFiltered && total
    ? "Change the search or the priorities."
    : "This is a Pushover service on your own machine. What a program sends here appears by itself.";
  byId("first").hidden = isFiltered && total > 0;
  byId("connect").hidden = !total; // the first steps have the same lines
  if (!quota) return;
  byId("quota").max = Math.max(1, quota.limit);
  byId("quota").value = Math.max(0, quota.remaining);
  byId("quota-text").textContent = `${quota.remaining.toLocaleString("en")} of ${quota.limit.toLocaleString("en")} left`;
}

// The stream: it lives on by itself after a break, and tells what was missed.
function wanted() {
  const pressed = [...document.querySelectorAll('[aria-pressed="true"]')];
  return { text: byId("text").value.trim(), priority: pressed.map((one) => one.dataset.priority).join(",") };
}

function say(state, words) {
  byId("state").dataset.state = state;
  byId("state").textContent = words;
  list.setAttribute("aria-busy", String(state !== "live"));
}

function listen() {
  clearTimeout(retry);
  stream?.close();
  stream = new EventSource(`/inbox/events?${new URLSearchParams(wanted())}`);
  const opened = stream;
  opened.addEventListener("open", () => say("live", "Live"));
  opened.addEventListener("reset", (event) => take(JSON.parse(event.data), true));
  opened.addEventListener("changes", (event) => take(JSON.parse(event.data), false));
  opened.addEventListener("error", () => {
    say("lost", "Reconnecting");
    if (opened.readyState === EventSource.CLOSED) retry = setTimeout(listen, 1000);
  });
}

let loading = false;
async function older() {
  if (loading || byId("more").hidden) return;
  loading = true;
  const last = Math.min(...cards.keys());
  const query = new URLSearchParams({ ...wanted(), before: String(last) });
  const asked = stream;
  try {
    const answer = await fetch(`/inbox/older?${query}`);
    const told = await answer.json();
    if (asked === stream && Math.min(...cards.keys()) === last) {
      for (const message of told.messages) show(message, false);
      byId("more").hidden = !told.more;
      frame(null);
    }
  } catch {
    loading = false;
    return; // the button stays: the reader may ask again
  }
  loading = false;
  if (byId("more").getBoundingClientRect().top < innerHeight) older();
}

// The keyboard.
function move(step) {
  const shown = [...list.children];
  const here = shown.indexOf(document.activeElement.closest?.(".card"));
  const next = shown[here < 0 ? 0 : Math.min(Math.max(here + step, 0), shown.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("sure").open) return;
  const search = byId("text");
  if (document.activeElement === search) {
    if (event.key === "Escape") {
      search.value = "";
      search.blur();
      listen();
    }
    return;
  }
  const card = document.activeElement.closest?.(".card");
  const actions = {
    j: () => move(1),
    k: () => move(-1),
    "/": () => search.focus(),
    a: () => card?.querySelector(".acknowledge")?.click(),
    r: () => card?.querySelector(".raw-button")?.click(),
  };
  if (card === document.activeElement && card) {
    Object.assign(actions, { PageDown: actions.j, PageUp: actions.k });
  }
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

let pause = null;
byId("text").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(listen, 150);
});
byId("priorities").addEventListener("click", (event) => {
  const pressed = event.target.closest("button");
  if (!pressed) return;
  pressed.setAttribute("aria-pressed", String(pressed.getAttribute("aria-pressed") !== "true"));
  listen();
});
byId("clear").addEventListener("click", () => byId("sure").showModal());
byId("sure").addEventListener("close", () => {
  if (byId("sure").returnValue === "yes") fetch("/inbox/messages", { method: "DELETE" }).catch(() => {});
  byId("sure").returnValue = "";
});
for (const copy of document.querySelectorAll(".copy")) {
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(copy.dataset.lines).textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
}
byId("more").addEventListener("click", older);
new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) older(); }, { rootMargin: "600px" })
  .observe(byId("more"));
document.addEventListener("keydown", press);
if (matchMedia("(max-width: 60rem)").matches) document.querySelector(".connect").open = false;
setInterval(() => cards.forEach((entry) => { if (entry.message.emergency || entry.message.ttl) tick(entry); }), 1000);
listen();
