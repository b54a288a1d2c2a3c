"""Replace what varies in a message, so that two reports of one problem get one fingerprint.

Stateless, unlike a learning log parser: a text has the same mask in every process and on every
host. The masks are general and know no program's own names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

MAX_CHARACTERS = 2048
"""Characters of a text that are read; a difference after them does not make another problem."""

# Linear time: every repetition below is over one character class, or over groups that start with a
# character outside the class before them, and the long ones start only after a different character.
# No text makes the search backtrack far.
_METHOD = "(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE)"
_REASON = (
    r"(?:Client\ Error|Server\ Error|Bad\ Request|Unauthorized|Forbidden|Not\ Found|Conflict"
    r"|Too\ Many|Unprocessable|Internal\ Server|Not\ Implemented|Bad\ Gateway"
    r"|Service\ Unavail|Gateway\ Time)"
)
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:\ ?(?:Z|[AP]M|UTC|GMT|[+-]\d\d:?\d\d))?"
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_UNIT = (
    "(?:[num\u00b5\u03bc]?s|secs?|seconds?|milliseconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?"
    "|[kKMGTP]i?[Bb]?|[Bb]|bytes?|[kMG]?Hz|[KMGT]?[Bb]ps|[KMGT]i?B/s)"
)
_HEX = "[0-9a-fA-F]"
_END = r"(?![\w]|[.:,]\w)"  # of a whole number, also at the end of a sentence
# A number after one of these is a status.
_VERBS = ("answered", "gave", "got", "received", "replied", "responded", "returned", "returns",
          "with")  # fmt: skip
_ANSWERED = f"(?i:{'|'.join(_VERBS)})"
_NOT_COUNT = r"(?!\ (?:[a-z]+[b-hj-rtv-z]s|ms|s|of)(?!\w))"  # "500 rows" is not a status

# What these name is part of a program or of its database, unlike most of what is quoted.
_PARTS_OF_CODE = (
    r"argument|attribute|column|constraint|field|for\ key|index|module(?:\ named)?|parameter"
    r"|relation|table"
)

_SOURCES = ("java", "scala", "py", "go", "js", "ts", "kt", "rb", "cs", "rs", "php", "cpp")
_NOT_SOURCE = "".join([rf"(?<!\.{suffix})" for suffix in _SOURCES])  # a file's line is not a port

_PATTERN = rf"""(?x)
    (?<!\w)(?=[^\s,;)])(?:
    # What distinguishes problems is kept; the first lookahead skips most words.
      (?=["'(\[1-5A-Zacdefghilmprstuw→-])(?P<keep>
        ["']?\[(?:Errno|WinError)\ -?\d{{1,6}}\]
      | (?=["']?[HhSsEeRrCcFf])["']?(?i:(?:http[\ _]?)?status|http(?:error)?|hresult|smtp|ftp|signal
          |sqlstate|err(?:no|or)?|exit(?:[\ _-]?status)?|rc|ret|response
          |(?:(?:status|exit|return|error|response)[\ _-]?)?code)
        (?:["']?\ ?[:=]\ ?|\ (?:is\ |of\ |was\ )?|-)["'(\[]?
        (?:-?\d{{1,10}}{_END}{_NOT_COUNT}|0x{_HEX}{{1,8}}(?!\w)|[0-9A-Z]{{5}}(?!\w))
      | \(\d{{3,5}},\ b?["']
      | \((?=\d+[A-Z])[0-9A-Z]{{5}}\)
      | (?i:SQLSTATE)\[[0-9A-Za-z]{{1,5}}\]
      | (?=[AaGgRrWw→-])(?:{_ANSWERED}\ |->\ |→\ )[45]\d\d{_END}{_NOT_COUNT}
      | \([45]\d\d\) | \[[45]\d\d\] | \A[45]\d\d(?=:\ )
      | [1-5]\d\d(?=\ {_REASON})
      | (?=[AaCcFfIiMmPpRrTt])(?i:{_PARTS_OF_CODE})\ ["'`][A-Za-z_][A-Za-z_.]{{0,63}}["'`](?!\w)
      | ["'][A-Za-z_][A-Za-z_.]{{0,63}}["'](?=\ is\ (?:undefined|not\ defined|a\ required)(?!\w))
      | (?:ORA|TNS|PLS|RMAN|IMP|EXP|OCI|DPI|DPY)-\d{{4,5}}(?!\w)
      | E\d{{3,5}}(?!\w)
      | (?=[UuSsIiLlAaCc])(?i:utf|sha|iso-8859|latin|aes|cp)-\d{{1,3}}(?!\w)
      | (?=[PpLl])(?i:python|lib[a-z]{{1,12}})\d\.\d{{1,2}}(?![\w.])
      | HTTP/\d(?:\.\d)?(?:"?\ \d{{3}}(?!\w))?
      | (?P<q>["'])(?:event|(?:short_)?message|msg|text|err|error|detail|reason|code|type)(?P=q):
        \ ?["']
      | (?=[EeMmDdRr])(?i:event|message|msg|err|error|detail|reason)=["']
      | (?:[A-Z]\w{{0,60}}(?:Error|Exception|Failure|Timeout|Warning)\()+(?:-?\d{{1,6}},\ )?
        b?["'](?=[\[<]?[\w.]{{1,60}}(?:\(\)|'\w{{1,9}})?,?\ )
      | (?<=<)[A-Z]\w{{0,60}}(?:Error|Exception):\ ["'](?=\S{{1,60}}\ )
      | (?:(?<=[{{,])|(?<=[{{,]\s)|(?<=\ \ ))["'][A-Za-z_]\w{{0,40}}["'](?=:)  # a key of JSON
      )
    | (?P<request>["']?(?P<method>{_METHOD}\ )(?:/|https?:)[^\s"']*
      (?:\ HTTP/[\d.]{{1,3}})?["']?(?P<status>[\ :]{{1,2}}\d{{3}}(?!\w))?)
    | (?P<date>(?=[MTWFSJAOND\d])(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},?\ )?
        (?:{_MONTH}\ {{1,2}}\d{{1,2}}|\d{{1,2}}\ {_MONTH})(?:,?\ \d{{4}})?(?!\w)
        (?:\ {_CLOCK}(?:\ [A-Z]{{2,5}})?(?:\ \d{{4}})?)?)
    | (?P<hex>0[xX]{_HEX}+
        |(?=\d*[a-fA-F])(?:{_HEX}{{8,}}|(?=[a-fA-F]*\d){_HEX}{{6,7}})(?![\w-]))
    # A plain word matches none of the rest.
    | (?![^\W\d_]+(?:[\ ,;]|\Z))(?:
      (?P<url>(?:[A-Za-z][A-Za-z0-9+.-]{{1,15}}://|arn:)[^\s"'<>]*[^\s"'<>.,;:)\]}}])
    | (?P<str>[bu]?(?:"[^"\n]*"|'(?:[^'\n]|(?<=\w)'(?=\w))*'(?!\w)|“[^“”\n]*”|«[^«»\n]*»))
    | (?P<email>(?<![\w.+-])[\w.+-]{{1,64}}@[\w-]+(?:\.[\w-]+)+)
    | (?P<uuid>{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!\w))
    | (?P<time>
        \d{{4}}(?P<time_sep>[-/.])\d{{1,2}}(?P=time_sep)\d{{1,2}}(?:[T:\ ,]\ ?{_CLOCK})?(?!\w)
      | \d{{1,2}}[/.-](?:\d{{1,2}}|{_MONTH})[/.-]\d{{4}}(?:[:\ ]{_CLOCK})?(?!\w|\.\d)
      | {_CLOCK}(?![\w:])
      )
    | (?P<ip>
        \d{{1,3}}(?:\.\d{{1,3}}){{3}}(?:[:/]\d{{1,5}})?(?![\w.])(?:\ \([\w.-]{{0,64}}\))?
      | (?:{_HEX}{{2}}[:-]){{5}}{_HEX}{{2}}(?!\w)
      | (?<!:)\[?(?=[0-9a-fA-F:]{{0,39}}\d)(?:{_HEX}{{0,4}}:){{2,7}}{_HEX}{{0,4}}
        (?:\]:\d{{1,5}})?(?![\w:])
      )
    | (?P<path>
        (?:[A-Za-z]:|\\)[\\/][^\s"'<>|*?:,;)\]}}]+
      | (?:~|\.{{1,2}})?/[\w.@%+~=-][^\s"'<>|*?:,;)\]}}]*
      | /\Z
      | (?<![\w./-])[\w.-]{{1,64}}(?:/[\w.@%+~=-]+){{2,}}
      )(?::\d{{1,6}}(?!\w))?
    | (?P<host>(?<![\w.-])(?:
        [A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:(?<=\.com)|(?<=\.net)|(?<=\.org)|(?<=\.edu)|(?<=\.local)
        |(?<=\.internal))(?::\d{{1,5}})?(?![\w.])
      | (?=[A-Za-z-]*\d)[\w-]+(?:\.[A-Za-z][\w-]*)+\.[a-z][\w-]*(?::\d{{1,5}})?(?![\w.])
      | (?:localhost|[A-Za-z][\w-]*(?:\.[\w-]+)+|(?=[A-Za-z]+[\d-])[A-Za-z][\w-]*)
        {_NOT_SOURCE}:\d{{2,5}}(?![\w.])
      ))
    | (?P<num>(?:\d{{1,9}}[dhm]){{1,3}}\d{{1,9}}(?:\.\d{{1,9}})?[mn]?s(?!\w)  # 1h2m3.5s
      |[+-]?\d+(?:[.,:]\d+)*(?:[eE][+-]?\d{{1,3}})?(?:\ ?{_UNIT}|\ ?%)?(?!\w))
    | (?P<id>(?<![\w-])(?=[^\W\d]*[-_~\d])\w[\w~-]*(?<![~-]))
    ))
    """

_WORD_WITH_DIGITS = (
    # Names of technologies, not of instances.
    "(?i:(?:sha|md|rsa|aes|crc|utf|latin|base|u?int|float|ipv|http|oauth|tls|mp|python|py|sqlite"
    "|psycopg|urllib|boto|jinja)[0-9]{1,4}|utf8mb4|s3|ec2|h2|x86(?:_64)?|x64|amd64|arm64|k8s|i18n"
    "|l10n|log4j|neo4j|p[59][05])"
    "|[A-Z][A-Za-z]*[a-z0-9][0-9][A-Za-z]+"  # Slf4jLogger, OAuth2Session
    "|[1-5]xx"
)
_DIGIT = re.compile(r"\d")
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
# Finds, in a text whose digits are all 0, a digit whose value can change the mask.
_SIGNIFICANT_DIGIT = (  # each alternative starts with a digit, which makes the search fast
    rf"0(?:[xX]|00(?:\ {_REASON}|(?<=\A000):|(?<=[(\[]000)[)\]]|(?<=[>→]\ 000)|(?i:"
    rf"{'|'.join([rf'(?<={verb} 000)' for verb in _VERBS])}))"
    r"|(?i:(?<=utf0)mb0|(?<=ec0)|(?<=[sh]0)|(?<=x0)0(?:_00)?|(?<=amd0)0|(?<=arm0)0|(?<=k0)s"
    r"|(?<=[il]0)0n|(?<=(?:log|neo)0)j|(?<=p0)0)(?!\w))"
)
# Scripts with few spaces or none, and their punctuation: each of their letters ends a word.
_UNSPACED = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\uff01-\uff0f\uff1a-\uff20]"
)
_LIST = r"(<\w+>)(?:, \1)+"  # how many things there are does not distinguish problems
# Groups of the pattern that share a placeholder with another.
_PLACEHOLDERS = {"date": "<time>", "hex": "<num>"}

_Part = tuple[int, int, str]
"""Start and end of a kept part of the text, and the placeholder after it."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # At first use: the import of the package stays fast.
    return re.compile(pattern)


def mask(text: str) -> str:
    """Return ``text`` with everything that varies between reports replaced by placeholders.

    URLs, e-mail addresses, UUIDs, dates and times, network addresses, paths, hosts with a port,
    quoted strings, numbers (also hexadecimal) with or without a unit, and identifiers with digits
    become ``<url>``, ``<email>`` and so on. Codes that distinguish problems stay: ``[Errno 28]``,
    ``HTTP 500``, ``status 502``, ``exit code 2``, ``ORA-00942``, the method and status of a request
    line. A list has the mask of one of its items.
    Only the first 2,048 characters are read and returned, in time linear in their number.
    """
    text = text[:MAX_CHARACTERS]
    found = _parts_of_shape(text.encode("utf-8", "surrogatepass").translate(_ZEROS))
    masked = found if isinstance(found, str) else _join(text, found or _parts(text))
    return _compiled(_LIST).sub(r"\1", masked) if ">, <" in masked else masked


def _join(text: str, parts: Sequence[_Part]) -> str:
    masked = ""
    for start, end, placeholder in parts:
        masked += text[start:end] + placeholder
    return masked


@lru_cache(maxsize=1024)
def _parts_of_shape(shape: bytes) -> Sequence[_Part] | str:
    """Return the parts of every text that differs from ``shape`` only in its digits.

    Empty if the digits can matter; the mask itself if it has no digits. Most texts of a flood
    differ only in their digits, so that one search serves them all.
    """
    text = shape.decode("utf-8", "surrogatepass")
    if _compiled(_SIGNIFICANT_DIGIT).search(text):
        return ()
    parts = _parts(text)
    masked = _join(text, parts)
    return parts if "0" in masked else masked


@lru_cache(maxsize=1024)
def _parts(text: str) -> Sequence[_Part]:
    parts: list[_Part] = []
    position = 0
    # Each character is replaced by one character, so that positions stay the same.
    spaced = text if text.isascii() else _compiled(_UNSPACED).sub(";", text)
    for match in _compiled(_PATTERN).finditer(spaced):
        kind = str(match.lastgroup)
        if kind == "request":
            parts.append((position, match.start(), f"{match['method']}<path>"))
            position = match.start("status") if match["status"] else match.end()
        elif kind != "keep" and not (kind == "id" and _is_word(match.group())):
            parts.append((position, match.start(), _PLACEHOLDERS.get(kind, f"<{kind}>")))
            position = match.end()
    return (*parts, (position, len(text), ""))


def _is_word(text: str) -> bool:
    return bool(_compiled(_WORD_WITH_DIGITS).fullmatch(text)) or not _DIGIT.search(text)
