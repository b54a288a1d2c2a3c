"""What varies in a message, taken out, so that two reports of one problem read the same.

Stateless: the same text gives the same result in every process and on every host, which a learning
parser cannot promise. General masks only: what one program calls its things is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

MAX_CHARACTERS = 2048
"""How much of a text is read; what differs after it is the same problem."""

# Every repetition below is over one character class, or over groups that start with a character
# that the class before them cannot take, and the long ones start only where nothing like them
# stands before: so that no text makes the search go back far, or twice.
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
_END = r"(?![\w]|[.:,]\w)"  # of a number that is whole; a sentence may end with it
# After a verb or an arrow, in brackets, or first of all; "500 rows" are no status.
_VERBS = (
    "answered",
    "gave",
    "got",
    "received",
    "replied",
    "responded",
    "returned",
    "returns",
    "with",
)
_ANSWERED = f"(?i:{'|'.join(_VERBS)})"
_COUNTED = r"(?!\ (?:[a-z]+[b-hj-rtv-z]s|ms|s|of)(?!\w))"  # by things in the plural

_SOURCES = ("java", "scala", "py", "go", "js", "ts", "kt", "rb", "cs", "rs", "php", "cpp")
_NO_SOURCE = "".join([rf"(?<!\.{one})" for one in _SOURCES])  # a file's line is no host's port

_PATTERN = rf"""(?x)
    (?<!\w)(?=[^\s,;)])(?:
    # What tells problems apart; the first look spares most words the rest.
      (?=["'(\[1-5A-Zacdeghilmprstuw→-])(?P<keep>
        ["']?\[(?:Errno|WinError)\ -?\d{{1,6}}\]
      | (?=["']?[HhSsEeRrCcFf])["']?(?i:(?:http[\ _]?)?status|http(?:error)?|hresult|smtp|ftp|signal
          |sqlstate|err(?:no|or)?|exit(?:[\ _-]?status)?|rc|ret|response
          |(?:(?:status|exit|return|error|response)[\ _-]?)?code)
        (?:["']?\ ?[:=]\ ?|\ (?:is\ |of\ |was\ )?|-)["'(\[]?
        (?:-?\d{{1,10}}{_END}{_COUNTED}|0x{_HEX}{{1,8}}(?!\w)|[0-9A-Z]{{5}}(?!\w))
      | \(\d{{3,5}}(?=,\ b?["'])
      | \((?=\d+[A-Z])[0-9A-Z]{{5}}\)
      | (?i:SQLSTATE)\[[0-9A-Za-z]{{1,5}}\]
      | (?=[AaGgRrWw→-])(?:{_ANSWERED}\ |->\ |→\ )[45]\d\d{_END}{_COUNTED}
      | \([45]\d\d\) | \[[45]\d\d\] | \A[45]\d\d(?=:\ )
      | [1-5]\d\d(?=\ {_REASON})
      | (?:ORA|TNS|PLS|RMAN|IMP|EXP|OCI|DPI|DPY)-\d{{4,5}}(?!\w)
      | E\d{{3,5}}(?!\w)
      | (?=[UuSsIiLlAaCc])(?i:utf|sha|iso-8859|latin|aes|cp)-\d{{1,3}}(?!\w)
      | (?=[PpLl])(?i:python|lib[a-z]{{1,12}})\d\.\d{{1,2}}(?![\w.])
      | HTTP/\d(?:\.\d)?(?:"?\ \d{{3}}(?!\w))?
      | (?P<q>["'])(?:event|(?:short_)?message|msg|text|err|error|detail|reason|code|type)(?P=q):
        \ ?["']
      | (?=[EeMmDdRr])(?i:event|message|msg|err|error|detail|reason)=["']
      | (?:[A-Z]\w{{0,60}}(?:Error|Exception|Failure|Timeout|Warning)\()+(?:-?\d{{1,6}},\ )?
        b?["'](?=[\[<]?[\w.]{{1,60}},?\ )
      | ["'][A-Za-z_]\w{{0,40}}["'](?=:)
      )
    | (?P<request>["']?(?P<method>{_METHOD}\ )(?:/|https?:)[^\s"']*
      (?:\ HTTP/[\d.]{{1,3}})?["']?(?P<status>[\ :]{{1,2}}\d{{3}}(?!\w))?)
    # Who or where, by the name in front of it.
    | (?P<value>(?P<key>(?=\w{{1,32}}=)(?i:\w*(?:host|login|account|client|peer|session|token)
        (?:name|id)?=)
        |(?i:user\ {{1,2}}|(?:password|log[io]n)\ for\ )(?=[\w.-]{{1,64}}\ (?:(?:from|by)\ |\[))
        )[^\s"',;&()\[\]{{}}<>]+)
    | (?P<date>(?=[MTWFSJAOND\d])(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{{0,6}},?\ )?
        (?:{_MONTH}\ {{1,2}}\d{{1,2}}|\d{{1,2}}\ {_MONTH})(?:,?\ \d{{4}})?(?!\w)
        (?:\ {_CLOCK}(?:\ [A-Z]{{2,5}})?(?:\ \d{{4}})?)?)
    | (?P<hex>0[xX]{_HEX}+
        |(?=\d*[a-fA-F])(?:{_HEX}{{8,}}|(?=[a-fA-F]*\d){_HEX}{{6,7}})(?![\w-]))
    # A plain word needs no further look.
    | (?![^\W\d_]+(?:[\ ,;]|\Z))(?:
      (?P<url>[A-Za-z][A-Za-z0-9+.-]{{1,15}}://[^\s"'<>]*[^\s"'<>.,;:)\]}}])
    | (?P<str>[bu]?(?:"[^"\n]*"|'(?:[^'\n]|(?<=\w)'(?=\w))*'(?!\w)|“[^“”\n]*”|«[^«»\n]*»))
    | (?P<email>(?<![\w.+-])[\w.+-]{{1,64}}@[\w-]+(?:\.[\w-]+)+)
    | (?P<uuid>{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!\w))
    | (?P<time>
        \d{{4}}(?P<time_sep>[-/.])\d{{1,2}}(?P=time_sep)\d{{1,2}}(?:[T:\ ,]\ ?{_CLOCK})?(?!\w)
      | \d{{1,2}}[/.-](?:\d{{1,2}}|{_MONTH})[/.-]\d{{4}}(?:[:\ ]{_CLOCK})?(?!\w|\.\d)
      | {_CLOCK}(?![\w:])
      )
    | (?P<ip>
        \d{{1,5}}(?:\.\d{{1,5}}){{3}}(?:[:/]\d{{1,5}})?(?![\w.])(?:\ \([\w.-]{{0,64}}\))?
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
        {_NO_SOURCE}:\d{{2,5}}(?![\w.])
      ))
    | (?P<num>(?:\d{{1,9}}[dhm]){{1,3}}\d{{1,9}}(?:\.\d{{1,9}})?[mn]?s(?!\w)  # 1h2m3.5s
      |[+-]?\d+(?:[.,:]\d+)*(?:[eE][+-]?\d{{1,3}})?(?:\ ?{_UNIT}|\ ?%)?(?!\w))
    | (?P<id>(?<![\w-])(?=[^\W\d]*[-_~\d])\w[\w~-]*(?<![~-]))
    ))
    """

_WORD_WITH_DIGITS = (
    # Names of techniques, not of things.
    "(?i:(?:sha|md|rsa|aes|crc|utf|latin|base|u?int|float|ipv|http|oauth|tls|mp|python|py|sqlite"
    "|psycopg|urllib|boto|jinja)[0-9]{1,4}|utf8mb4|s3|ec2|h2|x86(?:_64)?|x64|amd64|arm64|k8s|i18n"
    "|l10n|log4j|neo4j|p[59][05])"
    "|[A-Z][A-Za-z]*[a-z0-9][0-9][A-Za-z]+"  # Slf4jLogger, OAuth2Session
    "|[1-5]xx"
)
_DIGIT = re.compile(r"\d")
# Where it matters which digit it is, and not only that it is one; with 0 for all of them.
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TELLING_DIGIT = (  # looks from a digit on, which is found in no time
    rf"0(?:[xX]|00(?:\ {_REASON}|(?<=\A000):|(?<=[(\[]000)[)\]]|(?<=[>→]\ 000)|(?i:"
    rf"{'|'.join([rf'(?<={verb} 000)' for verb in _VERBS])}))"
    r"|(?i:(?<=utf0)mb0|(?<=ec0)|(?<=[sh]0)|(?<=x0)0(?:_00)?|(?<=amd0)0|(?<=arm0)0|(?<=k0)s"
    r"|(?<=[il]0)0n|(?<=(?:log|neo)0)j|(?<=p0)0)(?!\w))"
)
# Scripts that set few spaces or none, with their marks: each letter of theirs ends a word.
_UNSPACED = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\uff01-\uff0f\uff1a-\uff20]"
)


_Part = tuple[int, int, str]
"""Start and end of what stays of a text, and what stands after it for what does not."""

# One thing that is written in two ways.
_PLACEHOLDERS = {"date": "<time>", "hex": "<num>"}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # At the first use: a program that has nothing to tell does not wait for it.
    return re.compile(pattern)


def mask(text: str) -> str:
    """Return ``text`` with what varies from one report to the next replaced by placeholders.

    URLs, e-mail addresses, UUIDs, dates and times, network addresses, paths, hosts with a port,
    quoted strings, numbers (also hexadecimal) with or without a unit, and identifiers with digits
    become ``<url>``, ``<email>`` and so on; so does whom or where ``host=``, ``session=`` and their
    like, ``user ... from`` and ``password for ... from``, name. Codes that tell problems apart
    stay: ``[Errno 28]``, ``HTTP 500``, ``status 502``, ``exit code 2``, ``ORA-00942``, the method
    and status of a request line.
    Only the first 2,048 characters are read and returned, in time linear in them.
    """
    text = text[:MAX_CHARACTERS]
    shape = text.encode("utf-8", "surrogatepass").translate(_ZEROS)
    parts = _parts_of_shape(shape) or _parts(text)
    return "".join([text[start:end] + said for start, end, said in parts])


@lru_cache(maxsize=1024)
def _parts_of_shape(shape: bytes) -> Sequence[_Part]:
    """Return the parts of every text that is `shape` with other digits; none: that is not sure.

    The texts of a flood differ in their digits, most of them, and are searched once for all.
    """
    text = shape.decode("utf-8", "surrogatepass")
    if _compiled(_TELLING_DIGIT).search(text):
        return ()
    parts = _parts(text)
    masked = "".join([text[start:end] + said for start, end, said in parts])
    return parts if "0" in masked else ((0, 0, masked),)


@lru_cache(maxsize=1024)
def _parts(text: str) -> Sequence[_Part]:
    parts: list[_Part] = []
    at = 0
    # One character for one, so that all stays in its place.
    spaced = text if text.isascii() else _compiled(_UNSPACED).sub(";", text)
    for found in _compiled(_PATTERN).finditer(spaced):
        parts.append((at, found.start(), ""))
        parts += _parts_of(found)
        at = found.end()
    return (*parts, (at, len(text), ""))


def _parts_of(found: re.Match[str]) -> list[_Part]:
    kind = str(found.lastgroup)
    start, end = found.span()
    if kind == "request":
        return [(*found.span("method"), "<path>"), (*found.span("status"), "")]
    if kind == "value":
        key = found.group("key").rstrip()  # a second space, as before a name that is blank
        space = " " if key != found.group("key") else ""
        return [(start, start + len(key), f"{space}<value>")]
    is_word = kind == "id" and (
        _compiled(_WORD_WITH_DIGITS).fullmatch(found.group()) or not _DIGIT.search(found.group())
    )
    if kind == "keep" or is_word:
        return [(start, end, "")]
    return [(start, start, _PLACEHOLDERS.get(kind, f"<{kind}>"))]
