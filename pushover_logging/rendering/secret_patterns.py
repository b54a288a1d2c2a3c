"""What secrets look like: the words, prefixes and patterns that `redaction` searches for.

The prefixes and lengths of keys are from the rules of gitleaks (MIT, https://gitleaks.io) and of
detect-secrets (Apache-2.0). Each pattern hides its groups. Every repetition is bounded or over a
class that the next part cannot match, so that no text makes the search slow.
"""

# A value; its closing quote is not part of it.
_QUOTED = r"""(?:"(?:[^"\\\n]|\\.){0,4096}|'(?:[^'\\\n]|\\.){0,4096})"""
_PART = r"""[^\s\0"'&,;)\]}>]+"""
# A separator is part of a value if neither a space nor the next name follows it.
_MORE = rf"[&,;)\]}}>]{{1,8}}+(?=[A-Za-z0-9!$%*^#@?+~])(?![\w.-]{{1,32}}[=:]){_PART}"
_SIMPLE = rf"""(?!["']){_PART}(?:{_MORE}){{0,64}}"""
_MIXED = r"(?=[\w.+/=~!$%*^?#@-]{0,64}\d)[\w.+/=~!$%*^?#@-]{8,4096}"  # what no sentence contains
# A list, an object or a mapping around the value.
_WITHIN = r"(?:(?:[\w.]{0,64}[(\[{]){1,2}(?=b?[\"'])(?:[\"']\w{0,32}[\"']:\s?)?)?+"
# No value, or a state in place of one.
_NOTHING = (
    r"""(?!b?["']?(?:(?:none|null|nil|true|false|undefined)\b|\*{2,64}(?![^\s"',;&)\]}])"""
    r"""|%s\b|\{\w{0,32}\}|[\[<(]?(?:redacted|filtered|hidden|masked)\b"""
    r"|(?:expired|invalid|missing|required|unset|rejected|absent|present)(?![\w-])"
    r"|[)\]}]{1,3}(?![^\s.,:;])|[\"'](?![^\s,:;)\]}])))"
)
# Source code that computes the value, or a type.
_SOURCE = (
    r"(?!await\s|(?:optional|annotated|union)\[|[\w.]{1,64}\(\)"
    r"|(?:str|bytes|int|secret(?:str|bytes))\b(?:\s?\|\s?none)?(?:[,)]|\s?=)"
    r"|[a-z_]\w{0,32}(?:\.\w{1,32}){1,4}\((?![\"'])"
    r"|[a-z_][\w.]{0,64}\((?:[a-z_][\w.]{0,32}[=,)]|\.\.\.|\s|\Z)"
    r"|[\w.]{0,64}(?:env|get|load|read|fetch|input)\w{0,32}\("
    r"|[a-z_][\w.]{0,64}\[(?:b?[\"'][\w.-]{1,64}[\"']|\d{1,4}|[a-z_]\w{0,32})\](?![^\s.,)\]])"
    r"|(?:(?:[a-z_]\w{0,32}\.){1,4}\w{0,32}(?:pass(?:word|wd|phrase)|pwd|secret|token|key)"
    r"|(?:pass(?:word|wd|phrase)|pwd|secret|client_secret)(?=[,)])"
    r"|(?:\w{0,32}_)?(?:token|key|session|sig(?:nature)?|credentials?|auth|cookie))"
    r"(?=[\s,)\]}]|\Z))"
)
# Words that follow a name in plain language, and words that make a sentence of a value.
_WORDS = (
    r"(?!(?:a|an|and|are|at|be|by|can(?:not)?|changed|contains?|could|denied|did|does|empty|ensure"
    r"|enter|error|expected|expired|failed|failure|field|for|from|has|have|in|incorrect|invalid|is"
    r"|it|may|minimum|mismatch|missing|must|needs?|no|none|not|null|of|ok|on|only|or|please|reset"
    r"|requires?|required|should|string|that|the|this|to|too|unknown|unset|updated?|use|value|was"
    r"|were|will|with|wrong|yes|you|your|zu|nicht|fehlt|falsch|incorrect[ao]|inv[aá]lid[ao]"
    r"|invalide|requis|manquant|debe|obligatori[ao])(?![^\s.,;:!?)\]}\"']))"
)
_SENTENCE = (
    r"""(?!b?["'][a-z][a-z' ]{0,80}\b(?:are|be|can|cannot|does|do|have|has|invalid|is|may|must"""
    r"""|not|required|should|too|was)\b)"""
)

_UUID = r"[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}"

# Names are searched in a text as `redaction._fold` makes it: in lower case, with "_" for "-",
# a space for a quote, "0" for a digit, and "?" for what Latin-1 lacks.
_END = (
    r"s?(?:_?0{1,3}|_?(?:str|text|value|new|old|confirm(?:ation)?|again|plain|base00|b00)"
    r"|_(?:prod|live|test|dev|staging|primary|secondary|default|current|raw))?_?(?![a-z0_])"
)


def _words(*words: str, behind: str = "(?<![a-z]{})", then: str = "") -> str:
    """Return a pattern of the ``words``, each after ``behind`` and before ``then``.

    Each begins with its first letter, and not with a look behind it: most places have another.
    """
    return "|".join(f"{word[0]}{behind.format(word[0])}{word[1:]}{then}" for word in words)


_PASSWORD = (
    r"(?:(?:password(?:_?hash)?|passwort|passphrase|passord|pwd|kennwort|contrase(?:[ñn]|ny)a"
    r"|wachtwoord|adgangskode|kodeord|lösenord|salasana|jelsz[óo]|has[?l]o|senha|geheim(?:nis)?"
    r"|lozinka|kata[ _]sandi|parola(?: d ordine)?|\?ifre|motdepasse|security[ _]answer|passwd(?!:)|"
    + _words(
        *("passe", "pw", "bindpw", "rootpw", "psk", "mdp", "heslo", "sifre", "pswd", "psw"), "passw"
    )
    + "|"
    + _words("passwd", "pass", behind="(?<=_{})")
    + r"|c(?<!palabra c)(?<![a-z]c)lave(?: secreta| privada| de acceso)?(?! (?:primaria|for|dupl)))"
    + rf"{_END}|{_words('storepass', 'keypass', 'sshpass(?==)')})"
)
_CODE = (  # a number, mostly
    "(?:(?:passcode|[0m]fa[ _]token|"
    + _words(
        *("otp", "totp", "puk", "cv[vc]0?", "pin(?![ =:]{1,3}0{1,2}(?![a-z0]))"),
        then="(?:[ _]?(?:code|number|seed))?",
    )
    + "|"
    + _words("0fa", "mfa", "sms", then="[ _](?:pass)?(?:code|password)")
    + "|"
    + _words(
        *("verification", "security", "confirmation", "recovery", "backup", "one[ _]time", "login"),
        *("access", "authenticator", "your"),
        behind="",
        then="[ _](?:pass)?(?:code|password)",
    )
    + r"|authentication(?<!message.authentication)[ _](?:pass)?(?:code|password)|"
    + _words(
        "verification", "security", "confirmation", "recovery", "backup", behind="", then="code"
    )
    + "|"
    + _words("zugangs", "best(?:ä|ae)tigungs", "sicherheits", behind="", then="code")
    + r"|código de (?:verificación|acceso|seguridad)|code de (?:vérification|sécurité))"
    + rf"{_END})"
)
# Keys of databases and caches, which no secret stands behind.
_PLAIN_KEYS = (
    "primary", "foreign", "cache", "sort", "partition", "routing", "public", "unique", "composite",
    "idempotency", "group", "row", "lookup", "dict", "duplicate", "object", "email", "such",
)  # fmt: skip
_PLAIN_KEY = "".join(rf"(?<!{word}_k)" for word in _PLAIN_KEYS)
_TOKEN = (
    r"(?:(?:secret(?:o|_?(?:string|binary)|_?(?:access_?)?key)?|credential|signature|connect\.sid"
    r"|private_?key_?id|sess(?:ion)?_?id|saml_?re(?:sponse|quest)|code_verifier|client_assertion"
    rf"|k(?<=[a-z0]_k){_PLAIN_KEY}ey|a(?<=_a)uth|"
    + _words(
        *("api", "access", "private", "encryption", "signing", "auth", "account", "ssh", "shared"),
        *("subscription", "master", "license", "function", "deploy", "storage", "instrumentation"),
        *("consumer", "application"),
        behind="",
        then="[_ ]?key",
    )
    + "|"
    + _words("server", "admin", "app", "aes", "hmac", "fernet", "webhook", behind="", then=" key")
    + "|"
    + _words("cred", "session(?:[ _]?key|[ _]cookie)?")
    + "|"
    + _words("salt", "nonce", then="(?!=0{1,20}(?![a-z0]))")
    + rf"){_END}"
    r"|t(?<!ken t)(?<!nextt)(?<!(?:next|page)[ _]t)oken(?:_?0{1,2}|_(?:str|text|value))?(?![a-z0_])"
    r"|passwd(?=:)|p(?<![a-z_]p)ass(?!: test|[ =:]{1,3}0{1,5}(?![a-z0]))(?![a-z0_]))"
)
_HEADER = r"(?:authorization|(?:set_)?cookie|x_api_key|x_auth_token)"
_QUERY = _words(
    *("key", "sig", "sign", "code(?!=0{1,3}(?![a-z0]))", "auth", "app_?id", "hmac", "jwt"),
    "policy",
    behind="(?<=[?&]{})",
    then="(?==)",
)
# Names of much else besides: what follows has to look like a key.
_OPAQUE = _words("auth", "sid", "jwt", "client_key_data", then="(?= ?[:=])")
NAMES = (
    rf"(?P<header>{_HEADER})|(?P<code>{_CODE})|(?P<password>{_PASSWORD})|(?P<token>{_TOKEN})"
    rf"|(?P<query>{_QUERY})|(?P<opaque>{_OPAQUE})"
)
FIELD_NAME = rf"(?:{_HEADER}|{_CODE}|{_PASSWORD}|{_TOKEN}|(?<![a-z])(?:auth|hmac|app_?id))$"
"""The name of a field that holds a secret; folded."""

_PAIR = (
    r"""(?:["'\])]{0,3}(?:\s?:\s?(?:str|bytes|secret(?:str|bytes))(?:\s?\|\s?none)?)?"""
    r"""\s{0,20}(?:[=-]>|:=|={1,3}+)\s{0,2}|["']\s{1,2}(?:value|content)=|["']\s{0,2}:\s{0,2})"""
    rf"(?:{_SOURCE}{_WITHIN}{_NOTHING}{_SENTENCE}(?:[bnru]{{1,2}}(?=[\"']))?(?:''(?=')|\"\"(?=\"))?"
    rf"({_QUOTED}|\{{[^{{}}\n\"']{{1,256}}\}}|{_SIMPLE}))"
)
_SEVERAL = (  # a list, or an object that is all about the secret
    rf"""["']?\s{{0,2}}[:=]\s{{0,2}}(?:[(\[]{_NOTHING}{_SENTENCE}b?"""
    rf"""({_QUOTED}["'](?:,\s?b?{_QUOTED}["']){{1,16}})(?=[)\]])"""
    r"""|(\{(?=[^{}\n]{0,256}["']\s?:\s?b?["'])[^{}\n]{1,1024})(?=\}))"""
)
_ENTITY = (  # HTML that is escaped
    r"(?:&(?:quot|apos|#x?\d{2});)?\s?[:=]\s?&(?:quot|apos|#x?\d{2});([^\s&]{1,256})"
)
_BESIDE = (  # the name is itself a value or an index, and the secret follows
    r"""(?i:["',\s]{1,20}(?:\w{1,32}["']?\s?:\s?["']?\w{1,32}["',\s]{1,20})?value["']?\s?[:=]\s?"""
    rf"""{_SOURCE}{_NOTHING}({_QUOTED}|{_SIMPLE})|["']\]:\s{{1,8}}({_QUOTED})"""
    r"""|(?:["']>|</(?:name|key)>\s{0,8}<(?:value|string)>)([^<>]{1,256})"""
    r"""(?=</(?:entry|field|item|key|param|prop|property|setting|string|value|var)\b)"""
    r"""|["'](?:\r?\n|\0){2}([^\r\n\0]{1,256}))"""
)
_BLOCK = r"\s?:\s?(?:![\w-]{1,32}\s)?[|>][+-]?\d?\s{0,2}\n\s{1,32}([^\n]{1,256})"  # of YAML
_TUPLE = rf"""["'],\s?b?(?!["'][a-z_ ]{{1,32}}["'])({_QUOTED})["'][)\]]"""
_ESCAPED = (  # JSON in JSON
    r"""\\{1,8}(?:["']|u0022|x22)\s?[:,=]>?\s?\\{1,8}(?:["']|u0022|x22)([^"'\\\n]{1,4096})"""
)
_PERCENT = (
    r"(?:%(?:25){0,2}22|\+)?%(?:25){0,2}3[ad](?:\+|%(?:25){0,2}20)?(?:%(?:25){0,2}22)?"
    r"((?:(?!%(?:25){0,2}2[26])[^\s\"'&<>]){1,4096})"
)
_ELEMENT = (
    r"(?:\s[\w:.-]{1,32}=[^<>\n]{0,256})?(?:>|&gt;)"
    r"(?:<!\[CDATA\[)?((?:[^<>&\n]++|&(?!lt;)){1,64}+)>?(?:<|&lt;)/"
)
_FOR = r"(?:\s(?:for|of|für|pour|para|von|de|da)\s[^\s:]{1,64})?"
_IS = (
    rf"(?:{_FOR}\s\(?(?:you\s)?(?:provided|entered|given|used|got|value|is|was|ist|lautet|es|est|é"
    r"|(?:set|changed)\sto)\s?[:,]?"
    r"""|:\sinvalid\s[\w ]{1,32}:)\s["']?"""
    rf"((?=[\w.+/=~-]{{0,64}}[a-z]){_MIXED})"
)
PYDANTIC = (  # below the name of a field; an extra has all of it on one line
    r"(?i)[^\s\\]{0,64}(?:\\{1,4}n|[\0\s]){1,10}[^\n\[]{0,200}+\[type=\w{1,64}, input_value="
    r"""([^\n]{1,4096}?)(?=["']?, input_type=|\n|\Z)"""
    r"""|["']\s?,?\s?[)\]][^{}\n]{0,250}?["']input["']:\s?"""
    rf"({_QUOTED}|[^\s,}}]{{1,4096}})"
)
"""What follows the name of a field that pydantic refused; it contains ``input``."""
_COMMON = (
    f"{_SEVERAL}|{_BLOCK}|{_PAIR}|{_TUPLE}|{_ESCAPED}|{_PERCENT}|{_ELEMENT}|{_ENTITY}|{_BESIDE}"
    f"|{_IS}"
)
_HEADER_VALUE = (
    r"""\s?[:=]\s?+([\w-]{2,32}\s[\w-]{1,32}=[^\r\n']{1,4096})|"""
    rf"""["']\s{{0,2}}[:,=]\s{{0,2}}(?!b?["'][a-z-]{{1,24}}["'])b?({_QUOTED})"""
    rf"""|\s?[:=]\s?+(?!["']){_WORDS}([^\r\n"']{{1,4096}})"""
)
# Plain language continues after a colon or a space as well: a value has to look like a secret.
_PASSWORD_VALUE = (
    rf"{_FOR}[ \t]{{0,20}}:[ \t]{{0,20}}(?:!{{1,2}}[\w/-]{{1,32}}\s)?(?!\d{{1,2}}\s[a-z])"
    rf"{_SOURCE}{_WITHIN}{_NOTHING}{_SENTENCE}{_WORDS}({_QUOTED}|{_SIMPLE})"
    rf"""|\s["'«„“]\s?{_WORDS}([^"'\s«»“”]{{1,256}})(?=\s?["'»“”])"""
    rf"""|\s[^\s\d:"']{{1,20}}:\s["']?((?=[\w.+/=~-]{{0,64}}[a-z]){_MIXED})"""
    rf"|\s(?:\|\s{{1,4}})?((?=[^\s]{{0,64}}[a-z]){_MIXED})"
)
_TOKEN_VALUE = (
    rf"""\s?:\s{{0,2}}{_NOTHING}{_SENTENCE}b?((?=.[^"'\n]{{7}}){_QUOTED}|{_MIXED})"""
    r"""|\s["']((?=[^"'\s]{0,64}\d)[^"'\s]{8,256})(?=["'])"""
    r"|\s((?=[\w.+/=~-]{0,64}\d)(?=[\w.+/=~-]{0,64}(?-i:[a-z]))(?=[\w.+/=~-]{0,64}(?-i:[A-Z]))"
    r"[\w.+/=~-]{16,4096}|(?=[a-z]{0,24}\d)(?-i:[a-z\d]{24,128})(?!\w)"
    rf"|{_UUID}"
    r"|(?=[A-Z]{0,8}\d|[A-Z]{0,8}-[A-Z]{0,8}\d)(?-i:[A-Z\d]{4,8}(?:-[A-Z\d]{4,8}){2,6}))"
)
_NUMBER = (
    r"""(?:["']?\s?[:#=]|\s(?:is|was|ist|lautet|es|est):?)?\s["']?"""
    r"""(\d{4,12}(?:,\s\d{4,12}){0,16}|\d{3}[ -]\d{3})(?![\w:/]|\.\w)"""
)
_CAPITALS = r"""\s["']?((?=[A-Z\d]{0,11}\d)(?=\d{0,11}[A-Z])(?-i:[A-Z\d]{4,12}))(?![\w.:/])"""
_OPAQUE_VALUE = (
    r"""["']?\s?[:=]\s?["']?(?!S-\d|(?-i:[A-Z]{2})[\da-f]{32}|[./])"""
    r"((?=[\w.+/=~%-]{0,64}\d)[\w.+/=~%-]{16,4096}+(?!\())"
)
VALUES = {
    "header": f"(?i){_HEADER_VALUE}",
    "code": f"(?i){_NUMBER}|{_COMMON}|{_PASSWORD_VALUE}|{_CAPITALS}",
    "password": f"(?i){_COMMON}|{_PASSWORD_VALUE}",
    "token": f"(?i){_COMMON}|{_TOKEN_VALUE}",
    "query": f"(?i)={_NOTHING}({_SIMPLE})",
    "opaque": f"(?i){_OPAQUE_VALUE}",
}
"""What follows a name of each kind, with the value as its group."""
OPTION = r"(?<![\w-])--?[\w-]{0,32}\Z"
"""What stands before a name that is a command's option."""
_METAVAR = (  # of a usage text
    r"(?!(?-i:[A-Z_]{0,16}(?:TOKEN|PASSWORD|PASS|PASSPHRASE|SECRET|KEY|TEXT|STRING|VALUE|FILE|PATH)"
    r"(?![^\s\]|])))"
)
OPTION_VALUE = (
    rf"""(?i)(?:\s{{1,2}}(?:<<<\s?)?|["'],\s?){_WORDS}{_METAVAR}"""
    rf"""({_QUOTED}|(?!["'-])[^\s\0"']{{1,4096}})"""
)

# Letters and digits that alternate as in no word, nor in words with hyphens and a number.
_CHANGES = r"(?:(?>[\w./-]{0,32}?(?:[A-Za-z]\d|\d[A-Za-z]|[a-z][A-Z])){2}|[\w-]{0,16}?\d{6})"
# What a key begins with, in words of at least 20 characters.
_PREFIXES = (
    "sk-", "sk_(?:live|test|prod)_", "rk_(?:live|test|prod)_", "whsec_", "gh[oprsu]_",
    "github_pat_", "gl(?:[a-z]{2,5})-", "GR1348941", "hf_", "api_org_", "npm_", "pypi-", "AIza",
    "shp(?:at|ca|pa|ss)_", "do[opr]_v1_", "sntryu_", "glsa_", "pplx-", "gsk_", "xai-", "rubygems_",
    "xkeysib-", "xsmtpsib-", "lin_(?:api|oauth)_", "ntn_", "pul-", "dapi", "sq0[a-z]{3}-",
    "sq[aup]_", "EAA[A-Za-z]", "IGQ[A-Z]", "AGE-SECRET-KEY-1", "PMAK-", "pscale_[a-z]{2,5}_",
    "GOCSPX-", "LTAI", "SK", "key-", "sha256~", "fig[a-z]_", "sbp_", "sb_secret_",
    "sgp_", "dckr_[a-z]{3}_", "CCIP[A-Z]{2}_", "bk[a-z]{2}_", "CFPAT-", "CLOJARS_", "tskey-",
    "tvly-", "pcsk_", "nvapi-", "ph[xs]_", "lsv2_", "rootly_", "shippo_", "duffel_", "fio-u-",
    "FLWSECK", "EZ[AT]K", "rdme_", "tk-us-", "tfp_", "HRKU-", "rzp_(?:live|test)_",
    "pdl_(?:live|sdbx)_", "vc[a-z]_", "nfp_", "pnu_", "AKCp", "cmVmd", "A21AA", "AQVN", "y[0-3]_",
    "xprv", "signkey-", "ory_[a-z]{2,3}_", "llx-", "jina_", "e2b_", "sess-", "cf[au]t_",
    r"pat-[a-z]{2}\d-", "key_live_", "sm_[aps]at_", "aio_", "4b1d",
)  # fmt: skip
# The same, if no hyphen or underscore follows: many words begin like these.
_SOLID = (
    "ico-", "NR[A-Z]{2}-", "r8_", "rnd_", "fc-", "sk_", "secret_", r"re_\w{8}_", "cio", "oy2",
    "p8e-", "c[ks]_", "tr_(?:dev|prod)_",
)  # fmt: skip
_BASE64 = (
    "glc_", "sntrys_", "ABSK", "ops_eyJ", "fm[12][ar]?_", "LS0tLS1CRUdJTi", "AT(?:AT|CT)T3",
    "AT(?:BB|OA)", "AQE", "bedrock-api-key-",
)  # fmt: skip


def _one_of(words: tuple[str, ...]) -> str:
    """Return a pattern of the ``words``, by their first letters: most places have none of these."""
    found: dict[str, list[str]] = {}
    for word in words:
        found.setdefault(word[0], []).append(word[1:])
    parts = (f"{first}(?:{'|'.join(rest)})" for first, rest in found.items())
    return f"(?:{'|'.join(parts)})"


_KEY = (
    r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}(?![A-Za-z0-9])"
    rf"|(?=[\w-]{{20}}){_one_of(_PREFIXES)}(?={_CHANGES})[\w-]{{12,4096}}"
    r"|x(?:ox[a-z](?:\.xox[bp])?|app)-(?=[\w-]{0,32}\d)[\w-]{16,4096}"  # Slack
    rf"|{_one_of(_SOLID)}(?=[A-Za-z]{{0,48}}\d)[A-Za-z0-9]{{24,512}}"
    rf"|{_one_of(_BASE64)}(?=[\w+/-]{{0,64}}\d)[\w+/-]{{20,4096}}=*[\w+/-]{{0,64}}"
    rf"|(?:sdk|api|access-[a-z]{{4,12}})-{_UUID}"
    r"|(?:SG|hv[sbr]|dp\.[a-z]{2,5}(?:\.[a-z]{2,8})?|ya29|sl(?:\.u)?|[ps]k(?=\.eyJ)|dt0[a-z]\d\d|vk1\.a|mfa)"
    r"\.[\w-]{20,4096}(?:\.[\w-]{1,4096})?"
    r"|s\.(?=[A-Za-z]{0,24}\d)(?=[a-z\d]{0,24}[A-Z])[A-Za-z0-9]{24}(?!\w)"  # an older one of Vault
    r"|[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,38}"  # a Discord bot
    r"|\d{6,12}(?::|%3A)[\w-]{30,64}"  # a Telegram bot, after "bot" in a URL
    r"|\d{1,2}/\d{13,19}(?:/\d{13,19})?:[\da-f]{32}"  # Asana
    r"|[14]//?0[\w-]{40,512}"  # Google's refresh tokens and codes
    r"|v1\.0-[\da-f]{24}-[\da-f]{64,146}"  # Cloudflare
    r"|[\w~.]{3}\dQ~[\w~.-]{31,34}"  # Microsoft Entra
    r"|(?=[A-Za-z0-9]{14})(?:pat[A-Za-z0-9]{14}\.[\da-f]{64}"  # Airtable
    r"|[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"
    r"|[\da-f]{36}NRAL|[\da-f]{32}-(?:us\d{1,2}(?!\w)|[\da-f]{8}-[\da-f]{8}(?!\w)))"
    r"|access_token\$[a-z]{4,10}\$[a-z\d]{16}\$[\da-f]{32}"  # Braintree
)
_WEBHOOK = (
    r"/(?:services/(?=T\w{6,16}/B)|(?:web)?hooks?(?:b2)?/(?:catch/)?|with/key/"
    r"|(?:workflows|triggers)/(?=T\w)|ical/[\w%.@-]{1,128}/private-"
    r"|(?:(?:password[_-]?)?reset(?:[_-]?password)?(?:/confirm)?|activat(?:e|ion)"
    r"|verif(?:y|ication)|confirm(?:ation)?|invit(?:e|ation)s?|unsubscribe|magic(?:[_-]?link)?"
    rf"|integration|input)(?:[_-][a-z]{{3,12}})?/(?={_CHANGES})"
    r"|(?<=infura\.io/)v3/|(?<=alchemy\.com/)v2/|(?<=hc-ping\.com/)|(?<=quiknode\.pro/)"
    r"|(?<=\.make\.com/)|(?<=day\.app/))"
    r"((?=[\w@./-]{0,256}\d)(?=(?:[\w@.-]{0,128}/){0,6}[\w-]{20})[\w@./-]{1,512})"
)
_JWT = (  # and what is cut from one, or signed by Django
    r"(?<![\w.-])eyJ(?:[\w-]{8,4096}(?:\.[\w-]{0,4096}\.[\w-]{0,4096}(?:\.[\w-]{1,4096}){0,2}"
    r"|\.eyJ[\w-]{0,4096}|:[\w-]{4,8}:[\w-]{27,64})|[\w-]{32,4096})"
)
_HASH = (  # of a password, as crypt, Django and Werkzeug write it
    r"((?:\$(?:2[aby]\$\d\d|[156]|y(?=\$j)|argon2i?d?\$v=\d\d)"
    r"|(?:pbkdf2|scrypt)[_:$][\w:]{0,32}\d)\$[\w./$=,+-]{20,256})"
)
_PEM = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"((?:[^-\0]|-(?!----)){20,16384})"
)
# In the text of an exception, each line of a PEM block stands alone.
_PEM_LINE = (
    r"(?m:^(?=[^\n]{0,64}[A-Z])(?=[^\n]{0,64}[a-z])(?=[^\n]{0,64}\d)[A-Za-z0-9+/]{60,76}={0,2}$)"
)
_USER_INFO = (
    r"://(?=[^\s@]{0,256}@)(?!\[)"
    r"(?!(?:(?<=http://)|(?<=https://))[^\s:/@]{0,256}:\d{1,5}(?:[/?#]|$))(?:(?:((?=[^\s:/@]{0,64}\d)[^\s:/@]{32,256})|[^\s:/@]{0,256}):"
    r"""([^\s?"'<>]{1,256}(?<!/)(?=@)|[^\s"'<>]{1,256}(?=@))|([^\s:/@]{20,256})(?=@))"""
)
_APPRISE = (  # the schemes of https://github.com/caronc/apprise that carry nothing but tokens
    r"(?i:\b(?:tgram|discord|slack|msteams|workflows?|ifttt|pover|pbul|pushed|prowl|join|spush"
    r"|gotifys?|ntfys?|mmosts?|rockets?|sendgrid|mailgun|twilio|wxteams|webex|ryver|flock|guilded"
    r"|revolt|zulip|pagerduty|opsgenie|signl4|simplepush|sns|ses|vonage|nexmo|plivo|lametric"
    r""")://([^\s"'<>]{1,1024}))"""
)
# The command lines of tools. A separator is a space, or what stands between two items of a list.
_SEPARATOR = r"""(?:\s{1,2}|["'],\s?)"""
_NEXT = rf"{_SEPARATOR}[\"']?[^\s\"',]{{1,256}}"
_ARGUMENT = rf"({_QUOTED}|(?![\"'-])[^\s\"',]{{1,256}})"
_FLAG = r"(?<=[ \"'])-"
_TOOLS = (  # their names, and what stands before a password
    (r"mysql[\w-]{0,16}|mariadb[\w-]{0,16}|7z[arz]?|(?:un)?rar", rf"{_FLAG}h?p"),
    (
        r"""sshpass|user(?:add|mod)|mongo[a-z]{0,8}|(?:docker|podman|helm|az|oc)["', ]{1,4}login""",
        rf"{_FLAG}p{_SEPARATOR}?",
    ),
    (r"(?:un)?zip(?:cloak)?|ipmitool|bcp|[iot]sql|sqlcmd", rf"{_FLAG}P{_SEPARATOR}?"),
    (r"ldap[a-z]{3,8}", rf"{_FLAG}w{_SEPARATOR}?"),
    (r"redis-cli", rf"{_FLAG}a{_SEPARATOR}?"),
    (r"plink|pscp|psftp|putty", rf"{_FLAG}pw{_SEPARATOR}"),
    (r"ssh-keygen", rf"{_FLAG}[PN]{_SEPARATOR}?"),
    (r"snmp[a-z]{3,10}", rf"{_FLAG}[cAX]{_SEPARATOR}?"),
    (r"openssl", rf"{_FLAG}[kK]{_SEPARATOR}"),
    (r"sendemail|swaks", rf"{_FLAG}[xa]p{_SEPARATOR}"),
    (r"https?", rf"{_FLAG}a{_SEPARATOR}?[\"']?[^\s:\"']{{1,128}}:"),
    (r"lftp", rf"{_FLAG}u{_SEPARATOR}?[\"']?[^\s,]{{1,128}},"),
    (r"qpdf", rf"{_FLAG}-encrypt{_SEPARATOR}"),
    (r"kubectl", rf"{_FLAG}-from-literal[= ][\"']?[^=\s]{{1,128}}="),
    (r"xfreerdp|wfreerdp", r"(?<=[ \"'])/p:"),
    (r"sqlplus|sqlldr|impdp|expdp|rman", r"(?<=[ \"'])[\w$#]{1,64}/"),
    (
        r"htpasswd",
        rf"{_FLAG}(?:(?=\w{{0,8}}n)\w{{1,8}}|(?=\w{{0,8}}b)\w{{1,8}}{_NEXT}){_NEXT}{_SEPARATOR}",
    ),
    (
        "kinit",
        (
            rf"kinit{_SEPARATOR}[\"']?[^\s\"',-][^\s\"',]{{0,255}}{_SEPARATOR}"
            r"(?=[^\s,]{8})(?=[^\s,]{0,64}\d)"
        ),
    ),
    (r"rabbitmqctl", rf"(?:add_user|change_password|authenticate_user){_NEXT}{_SEPARATOR}"),
    (r"vault", rf"(?<=[ \"'])login{_SEPARATOR}"),
    (r"net use", rf"net use(?:{_NEXT}){{1,3}}?{_SEPARATOR}(?![*/\\]|[A-Z]:)"),
    (r"wpa_passphrase|net user", rf"(?:wpa_passphrase|net user){_NEXT}{_SEPARATOR}(?!/)"),
    (  # of any other tool, -p is a password beside a user, but not a port
        r"""-[uU][^\s"',:=]{0,64}|--?user(?:name)?""",
        rf"{_FLAG}(?:[pP]|pw){_SEPARATOR}?(?![\d.:]{{1,64}}(?![^\s\"',]))",
    ),
)
TOOLS = (
    r"(?<![\w.-])(?:"
    + "|".join(rf"(?P<t{number}>{names})" for number, (names, _) in enumerate(_TOOLS))
    + r")(?=[ \"'=])[^\n|;]{0,300}"
)
BEFORE_PASSWORD = {f"t{number}": flag + _ARGUMENT for number, (_, flag) in enumerate(_TOOLS)}
"""What hides the passwords in a match of `TOOLS`, by the name of its group."""
_USER = (
    r"""(?:[ "']-[uU]|--(?:proxy-)?user)(?:\s{1,2}|=|["'],\s?)?["']?(?:[\w.-]{1,32}[/\\]{1,2})?"""
    r"""[^\s:%"'/]{1,128}[:%]"""
    r"""(?!\d{1,6}\b)([^\s"']{1,256})"""
)
_STDIN = (
    r"""(?:\becho\s["']?(?:[\w.-]{1,32}:)?([^\s"'|]{1,256})["']?\s?\|\s?(?:(?:sudo\s)?\w{0,2}passwd|[^\n|]{1,128}--password-stdin)"""
    r"""|passwd(?:\s--stdin)?\s?<<<\s?["']?(?:[\w.-]{1,32}:)?([^\s"']{1,256}))"""
)
_ORACLE = (
    r"(?:(?:thin|oci8?):[\w$#.-]{1,64}/([^\s\"']{1,256})(?=@)"
    r"|(?<![\w/.@:-])[\w$#]{1,30}/([^\s/@\"']{4,64})(?=@(?://)?[\w.-]{1,253}:\d{2,5}(?!\w)))"
)
_SQL = (
    r"(?:\bIDENTIFIED|(?i:\buser\s\S{1,64}\sidentified))(?i:\s(?:by|with\s\w{1,32}\s(?:as|by)))"
    rf"\s(?i:(?:password|values)\s)?({_QUOTED}|[^\s\"';,]{{1,256}})"
    rf"|(?i:\bpassword\(\s?({_QUOTED})(?=[\"']\s?\))"
    rf"|\bpragma\s(?:hex)?(?:re)?key\s?=\s?({_QUOTED}))"
)
CARD = (
    r"(?<![\w.+/-])([2-6]\d{3}(?:\d{9,15}|(?: \d{4}){2} \d{1,7}|(?:-\d{4}){2}-\d{1,7})"
    r"|3[47]\d\d[ -]\d{6}[ -]\d{5})(?![\w-])"
)
_BEARER = (
    r"(?i:\b(?:bearer|basic(?=\s{1,2}(?-i:[a-z\d+/]{0,24}[A-Z]))):?\s{1,2}"
    r"((?=[\w.~+/-]{0,64}\d)[\w.~+/-]{8,4096}={0,2}))"
)
_OTHER_ALPHABETS = (  # "password", "secret" or "code", and what follows it in ASCII
    r"""(?:密码|密碼|口令|验证码|驗證碼|密钥|密鑰|令牌|パスワード|暗証番号|秘密鍵|비밀번호|암호|Пароль|пароль"""
    r"""|Κωδικός|κωδικός|סיסמה|كلمة المرور|كلمة السر|รหัสผ่าน|Mật khẩu|mật khẩu|पासवर्ड)"""
    r"""(?:错误|不正确|无效|\s[^\s:=]{1,24}(?=[:=]))?["']?\s?[:\uff1a=为為是は]?\s?["'「]?([!#-&(-~]{4,256})"""
)
_AUTH = (
    r"""(?i:auth=?|\blogin|\bcredentials?|authenticate|pw_set|sign_?in|_bind(?:_s)?)\(["'][^"'\n]{0,256}["'],\s?"""
    rf"({_QUOTED})"
    r"|\bAUTH\s(?:\w{1,32}\s)?(?!(?:CRAM|DIGEST|SCRAM)-|XOAUTH2)"
    rf"({_MIXED})"
    r"|(?i:\blogin|\bcredentials?)(?::?\s[\w.@+-]{1,64}:|:\s?)(?=[^\s]{0,64}[a-z])"
    rf"(?![\w.+-]{{1,64}}/|\d{{4}}-)(?=[^\s]{{0,64}}(?:[A-Z]|[!$%*^]))({_MIXED})"
    rf"|\bLOGIN\s[\w.@+\"-]{{1,64}}\s\"?({_MIXED})"
)
_OF_YOURS = (
    r"(?i)\b((?:[A-Z]-)?\d{4,8}|\d{3}[ -]\d{3}) is your (?:[\w-]{1,32} ){0,4}"
    r"(?:code|pin|otp|password)\b"
)
_INSERTED = (  # the values of columns, one of them named like a secret
    r"(?i)\binto\s[^\s()]{1,128}\s?\([^()]{0,512}(?:pass|pwd|secret|token|api_?key)[^()]{0,512}\)"
    r"\s{0,4}values\s{0,4}\((?=[^\n]{0,512}['\"])([^\n]{1,4096})"
)
_DUPLICATE = (
    r"(?i)duplicate entry '([^'\n]{1,1024})' for key '"
    r"[^'\n]{0,128}(?:pass|pwd|secret|token|api_?key|session)\w{0,32}'"
)
_SECRET_TYPE = rf"Sec(?:ret(?:Str|Bytes)\(|ureString\s)b?(?![\"'][*\"'])({_QUOTED})"
_PHRASE = (
    r"(?i:mnemonic|(?:seed|recovery|backup|wallet)[ _-]?phrase|wallet[ _-]?seed)"
    r"[\"']?\s?[:=]?\s?[\"']?((?:[a-z]{3,8}\s){5,23}[a-z]{3,8})"
)
_BOUND = r"\[parameters: ([^\n]*[^\n\]])|(?i:failing row contains )\(([^\n]*[^\n)])"

NAME_SIGNS = (
    *("pass", "secret", "cred", "token", "key", "auth", "cookie", "sess", "signature", "pw"),
    *("kennw", "pin", "otp", "psk", "cvv", "cvc", "contrase", "clave", "senha", "salasana", "mdp"),
    *("lösenord", "wachtw", "adgangsk", "jelsz", "parola", "geheim", "fa code", "fa_code"),
    *("sms", "tion code", "tion_code", "rity code", "rity_code", "very code", "very_code"),
    *("time code", "time_code", "your code", "your_code", "gscode", "itscode", "digo de"),
    *("code de ", "haslo", "heslo", "sifre", "salt", "nonce", "t.sid", "saml", "code_verifier"),
    *("client_assertion", "sid=", "sid =", "sid:", "sid :", "jwt", "client_key_data", "psw"),
    *("login code", "login_code", "access code", "access_code", "ckup code", "ckup_code", "puk"),
    *("tioncode", "ritycode", "verycode", "ckupcode", "rity answer", "rity_answer", "lozinka"),
    *("kodeord", "sandi", "?", "&"),
)
"""Every name contains one of these, folded."""
KINDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("://",), (_USER_INFO, _APPRISE)),
    (("eyj",), (_JWT,)),
    (("private key",), (_PEM,)),
    (("0$", "$y$j"), (_HASH,)),
    (("secretstr", "secretbytes", "securestring"), (_SECRET_TYPE,)),
    (("is your",), (_OF_YOURS,)),
    (("values",), (_INSERTED,)),
    (("duplicate entry",), (_DUPLICATE,)),
    (("bearer", "basic"), (_BEARER,)),
    (("auth", "login", "credential", "pw_set", "signin", "sign_in", "_bind"), (_AUTH,)),
    (("requirepass", "masterauth"), (r"\b(?:requirepass|masterauth)\s([^\s\"']{1,256})",)),
    (("?",), (_OTHER_ALPHABETS,)),
    (
        (*(f" _{letter}" for letter in "abcehknpuwx_"), " /p:", "sqlplus", "sqlldr", "mpdp", "xpdp",
         "rman ", "kinit", "rabbitmqctl", "wpa_", "net use", "vault "),
        (TOOLS,),
    ),
    ((" _u", "_user"), (_USER,)),
    (("passwd", "password_stdin"), (_STDIN,)),
    (("@",), (_ORACLE,)),
    (("identified", "password(", "pragma"), (_SQL,)),
    (("mnemonic", "phrase", "wallet"), (_PHRASE,)),
    (("[parameters", "failing row"), (_BOUND,)),
    (("0000 0000", "0000_0000", "0000000000000"), (CARD,)),
)  # fmt: skip
"""Signs, of which every match of the patterns contains one (folded as names are), and patterns."""
LONG_WORD = 20
LONG_KINDS = (rf"(?<![A-Za-z0-9])(?=[^\s\"'<>]{{20}})(?:bot)?({_KEY})", _WEBHOOK, _PEM_LINE)
"""Patterns that match only a text with so many of ``A-Za-z0-9_-`` in a row."""
