"""What secrets look like: the words, prefixes and patterns that `redaction` searches for.

The prefixes and lengths of keys are from the rules of gitleaks (MIT, https://gitleaks.io) and of
detect-secrets (Apache-2.0). Each pattern hides its groups. Every repetition is bounded or over a
class that the next part cannot match, so that no text makes the search slow.
"""

# A value; its closing quote is not part of it.
_QUOTED = r"""(?:"(?:[^"\\\n]|\\.){0,4096}|'(?:[^'\\\n]|\\.){0,4096})"""
_SIMPLE = r"""(?!["'])[^\s\0"'&,;)\]}>]+"""
_MIXED = r"(?=[\w.+/=~-]{0,64}\d)[\w.+/=~-]{8,4096}"  # what plain language does not contain
# A list, an object or a mapping around the value.
_WITHIN = r"(?:(?:[\w.]{0,64}[(\[{]){1,2}(?=b?[\"'])(?:[\"']\w{0,32}[\"']:\s?)?)?+"
_NOTHING = (
    r"""(?!b?["']?(?:(?:none|null|nil|true|false|undefined)\b|\*{2,64}(?![^\s"',;&)\]}])"""
    r"""|%s\b|\{\w{0,32}\}|[\w.]{1,64}\(\)|[\[<(]?(?:redacted|filtered|hidden|masked)\b))"""
)
# Words that follow a name in plain language, and words that make a sentence of a value.
_WORDS = (
    r"(?!(?:a|an|and|are|at|be|by|can(?:not)?|changed|contains?|could|denied|did|does|empty|ensure"
    r"|enter|error|expected|expired|failed|failure|field|for|from|has|have|in|incorrect|invalid|is"
    r"|it|may|minimum|mismatch|missing|must|needs?|no|none|not|null|of|ok|on|only|or|please|reset"
    r"|required|should|string|that|the|this|to|too|unknown|unset|updated?|use|value|was|were|will"
    r"|with|wrong|yes|you|your)(?![^\s.,;:!?)\]}\"']))"
)
_SENTENCE = (
    r"""(?!b?["'][a-z][a-z' ]{0,80}\b(?:are|be|can|cannot|does|do|have|has|invalid|is|may|must"""
    r"""|not|required|should|too|was)\b)"""
)

# Names are searched in a text as `redaction._fold` makes it: in lower case, with "_" for "-",
# a space for a quote, "0" for a digit, and "?" for what Latin-1 lacks.
_END = r"s?(?:_?0{1,3}|_?(?:str|text|value|new|old|confirm(?:ation)?|again))?(?![a-z0_])"
_PASSWORD = (
    r"(?:(?:password|passwort|passphrase|passcode|(?<![a-z])passe|pwd|kennwort|contrase[ñn]a"
    r"|wachtwoord|adgangskode|lösenord|salasana|jelsz[óo]|has[?l]o|senha|geheim(?:nis)?"
    r"|(?<!palabra )(?<![a-z])clave(?! (?:primaria|for|dupl))|parola|\?ifre"
    r"|(?<=_)passwd|passwd(?!:)|(?<![a-z])(?:pw|psk|mdp|heslo|sifre)|(?<=_)pass)"
    rf"{_END}|(?<![a-z])(?:storepass|keypass))"
)
_CODE = (  # a number, mostly
    r"(?:(?<![a-z])(?:t?otp|cv[vc]0?|pin(?![ =:]{1,3}0{1,2}(?![a-z0])))(?:[ _]?(?:code|number))?"
    r"|(?:(?<![a-z])(?:0fa|mfa|sms)|verification|security|confirmation|one[ _]time|authenticator"
    r"|recovery|your)[ _](?:pass)?(?:code|password)|(?:zugangs|best(?:ä|ae)tigungs|sicherheits)code"
    rf"|código de (?:verificación|acceso|seguridad)|code de (?:vérification|sécurité)){_END}"
)
# Keys of databases and caches, which no secret stands behind.
_PLAIN_KEYS = (
    "primary", "foreign", "cache", "sort", "partition", "routing", "public", "unique", "composite",
    "idempotency", "group", "row", "lookup", "dict", "duplicate", "object", "email", "such",
)  # fmt: skip
_PLAIN_KEY = "".join(rf"(?<!{word}_)" for word in _PLAIN_KEYS)
_TOKEN = (
    r"(?:(?:secret(?:o|_?(?:access_?)?key)?|credential|(?<![a-z])cred"
    r"|(?:api|access|private|encryption|signing|auth|account|ssh|subscription)[_ ]?key"
    rf"|private_?key_?id|(?<=[a-z0]_){_PLAIN_KEY}key|(?<=_)auth|signature"
    r"|sess(?:ion)?_?id|(?<![a-z])session(?:_?key)?|connect\.sid|saml_?re(?:sponse|quest)"
    rf"|code_verifier|client_assertion|(?<![a-z])(?:salt|nonce)(?!=0{{1,20}}(?![a-z0]))){_END}"
    r"|(?<!ken )(?<!next)(?<!(?:next|page)[ _])token(?:_?0{1,2}|_(?:str|text|value))?(?![a-z0_])"
    r"|passwd(?=:)|(?<![a-z_])pass(?!: test|[ =:]{1,3}0{1,5}(?![a-z0]))(?![a-z0_]))"
)
_HEADER = r"(?:authorization|(?:set_)?cookie|x_api_key|x_auth_token)"
_QUERY = r"(?<=[?&])(?:key|sig|code(?!=0{1,3}(?![a-z0]))|auth|app_?id|hmac)(?==)"
NAMES = (
    rf"(?P<header>{_HEADER})|(?P<code>{_CODE})|(?P<password>{_PASSWORD})|(?P<token>{_TOKEN})"
    rf"|(?P<query>{_QUERY})"
)
FIELD_NAME = rf"(?:{_HEADER}|{_CODE}|{_PASSWORD}|{_TOKEN}|(?<![a-z])(?:auth|hmac|app_?id))$"
"""The name of a field that holds a secret; folded."""

_PAIR = (
    r"""(?:["'\])]{0,3}\s{0,2}(?:[=-]>|:=|={1,3})\s{0,2}|["']\s{1,2}value=|["']\s{0,2}:\s{0,2})"""
    rf"(?:{_WITHIN}{_NOTHING}{_SENTENCE}(?:[bn](?=[\"']))?({_QUOTED}|{_SIMPLE}))"
)
_TUPLE = rf"""["'],\s?b?(?!["'][a-z_ ]{{1,32}}["'])({_QUOTED})["'][)\]]"""
_ESCAPED = (  # JSON in JSON
    r"""\\{1,8}(?:["']|u0022)\s?[:,=]>?\s?\\{1,8}(?:["']|u0022)([^"'\\\n]{1,4096})"""
)
_PERCENT = (
    r"(?:%(?:25){0,2}22)?%(?:25){0,2}3[ad](?:%(?:25){0,2}22)?"
    r"((?:(?!%(?:25){0,2}2[26])[^\s\"'&<>]){1,4096})"
)
_ELEMENT = (
    r"(?:\s[\w:.-]{1,32}=[^<>\n]{0,256})?(?:>|&gt;)"
    r"(?:<!\[CDATA\[)?((?:[^<>&\n]++|&(?!lt;)){1,64}+)>?(?:<|&lt;)/"
)
_IS = (
    r"""\s(?:provided|given|used|value|is|was|ist|lautet|es|est)\s?:?\s["']?"""
    rf"((?=[\w.+/=~-]{{0,64}}[a-z]){_MIXED})"
)
PYDANTIC = (  # below the name of a field; an extra has all of it on one line
    r"(?i)[^\s\\]{0,64}(?:\\{1,4}n|[\0\s]){1,10}[^\n\[]{0,200}+\[type=\w{1,64}, input_value="
    r"""([^\n]{1,4096}?)(?=["']?, input_type=|\n|\Z)"""
    r"""|["']\s?,?\s?[)\]][^{}\n]{0,250}?["']input["']:\s?"""
    rf"({_QUOTED}|[^\s,}}]{{1,4096}})"
)
"""What follows the name of a field that pydantic refused; it contains ``input``."""
_COMMON = (_PAIR, _TUPLE, _ESCAPED, _PERCENT, _ELEMENT, _IS)
_HEADER_VALUE = (
    r"""\s?[:=]\s?+(digest\s[^\r\n']{1,4096})|"""
    rf"""["']\s{{0,2}}[:,=]\s{{0,2}}(?!b?["'][a-z-]{{1,24}}["'])b?({_QUOTED})"""
    rf"""|\s?[:=]\s?+(?!["']){_WORDS}([^\r\n"']{{1,4096}})"""
)
# Plain language continues after a colon or a space as well: a value has to look like a secret.
_PASSWORD_VALUES = (
    *_COMMON,
    (
        r"(?:\s(?:for|of|f\xfcr|pour|para)\s[^\s:]{1,64})?"
        rf"\s?:[ \t]{{0,2}}{_NOTHING}{_SENTENCE}{_WORDS}({_QUOTED}|{_SIMPLE})"
    ),
    rf"""\s["'«„“]\s?{_WORDS}([^"'\s«»“”]{{1,256}})(?=\s?["'»“”])""",
    rf"\s((?=[\w.+/=~-]{{0,64}}[a-z]){_MIXED})",
)
_TOKEN_VALUES = (
    *_COMMON,
    rf"""\s?:\s{{0,2}}{_NOTHING}{_SENTENCE}((?=.[^"'\n]{{7}}){_QUOTED}|{_MIXED})""",
    r"""\s["']((?=[^"'\s]{0,64}\d)[^"'\s]{8,256})(?=["'])""",
    (
        r"\s((?=[\w.+/=~-]{0,64}\d)(?=[\w.+/=~-]{0,64}(?-i:[a-z]))(?=[\w.+/=~-]{0,64}(?-i:[A-Z]))"
        r"[\w.+/=~-]{16,4096})"
    ),
)
_CODE_VALUES = (
    *_PASSWORD_VALUES,
    r"""(?:\s?[:#]|\s(?:is|was|ist|es|est):?)?\s["']?(\d{4,12}|\d{3}[ -]\d{3})(?![\w.:/])""",
    r"""\s["']?((?=[A-Z\d]{0,11}\d)(?=\d{0,11}[A-Z])(?-i:[A-Z\d]{4,12}))(?![\w.:/])""",
)
VALUES = {
    "header": f"(?i){_HEADER_VALUE}",
    "code": f"(?i){'|'.join(_CODE_VALUES)}",
    "password": f"(?i){'|'.join(_PASSWORD_VALUES)}",
    "token": f"(?i){'|'.join(_TOKEN_VALUES)}",
    "query": f"(?i)={_NOTHING}({_SIMPLE})",
}
"""What follows a name of each kind, with the value as its group."""
OPTION = r"(?<![\w-])--?[\w-]{0,32}\Z"
"""What stands before a name that is a command's option."""
OPTION_VALUE = rf"""(?i)(?:\s{{1,2}}|["'],\s?){_WORDS}({_QUOTED}|(?!["'-])[^\s\0"']{{1,4096}})"""

_KEY = (
    r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|(?=[\w-]{20})(?:sk-|[sr]k_(?:live|test|prod)_|whsec_|gh[oprsu]_|github_pat_|gl(?:[a-z]{2,5})-"
    r"|xox[a-z](?:\.xox[bp])?-|xapp-|hf_|api_org_|npm_|pypi-|AIza|shp(?:at|ca|pa|ss)_|do[opr]_v1_"
    r"|sntry[su]_|gl(?:sa|c)_|pplx-|gsk_|xai-|rubygems_|xkeysib-|lin_api_|ntn_|pul-|dapi"
    r"|sq0[a-z]{3}-|EAA[A-Z]|AGE-SECRET-KEY-1|PMAK-|pscale_[a-z]{2,5}_|GOCSPX-|LTAI|SK|key-|sha256~)"
    r"(?=[\w-]{0,32}(?:\d|[a-z][A-Z]))[\w-]{12,4096}"
    r"|(?:SG|hv[sbr]|dp\.[a-z]{2,5}|ya29)\.[\w-]{20,4096}(?:\.[\w-]{1,4096})?"
    r"|[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,38}"  # a Discord bot
    r"|\d{6,12}(?::|%3A)[\w-]{30,64}"  # a Telegram bot, after "bot" in a URL
)
_WEBHOOK = (
    r"/(?:services/(?=T\w{6,16}/B)|(?:web)?hooks?(?:b2)?/(?:catch/)?|with/key/|workflows/(?=T\w))"
    r"((?=[\w@./-]{0,256}\d)(?=(?:[\w@.-]{0,128}/){0,6}[\w-]{20})[\w@./-]{1,512})"
)
_JWT = r"(?<![\w.-])eyJ[\w-]{8,4096}\.[\w-]{0,4096}\.[\w-]{0,4096}(?:\.[\w-]{1,4096}){0,2}"
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
    r"(?!(?:(?<=http://)|(?<=https://))[^\s:/@]{0,256}:\d{1,5}(?:[/?#]|$))(?:[^\s:/@]{0,256}:"
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
    (r"net use", rf"net use{_NEXT}{_SEPARATOR}(?![*/])"),
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
    r"""(?:[ "']-[uU]|--(?:proxy-)?user)(?:\s{1,2}|=|["'],\s?)?["']?[^\s:%"'/]{1,128}[:%]"""
    r"""(?!\d{1,6}\b)([^\s"']{1,256})"""
)
_STDIN = (
    r"""(?:\becho\s["']?(?:[\w.-]{1,32}:)?([^\s"'|]{1,256})["']?\s?\|\s?(?:sudo\s)?\w{0,2}passwd"""
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
_BEARER = r"(?i:\b(?:bearer|basic)\s{1,2}((?=[\w.~+/-]{0,64}\d)[\w.~+/-]{8,4096}={0,2}))"
_OTHER_ALPHABETS = (  # "password", and what follows it in ASCII
    r"""(?:密码|密碼|口令|验证码|パスワード|暗証番号|비밀번호|пароль|κωδικός|סיסמה|كلمة المرور"""
    r"""|รหัสผ่าน)["']?\s?[:\uff1a=为為是]?\s?["']?([!#-&(-~]{4,256})"""
)
_AUTH = (
    rf"""(?i:auth=?|\blogin|\bcredentials?)\(["'][^"'\n]{{0,256}}["'],\s?({_QUOTED})"""
    r"|\bAUTH\s(?:\w{1,32}\s)?(?!(?:CRAM|DIGEST|SCRAM)-|XOAUTH2)"
    rf"({_MIXED})"
    r"|(?i:\blogin|\bcredentials?)(?:\s[\w.@+-]{1,64}:|:\s?)(?=[\w.+/=~-]{0,64}[a-z])"
    rf"(?=[\w.+/=~-]{{0,64}}[A-Z])(?![\w.+-]{{1,64}}/)({_MIXED})"
)
_PHRASE = (
    r"(?i:mnemonic|(?:seed|recovery|backup|wallet)[ _-]?phrase)[\"']?\s?[:=]?\s?[\"']?"
    r"((?:[a-z]{3,8}\s){5,23}[a-z]{3,8})"
)
_BOUND = r"\[parameters: ([^\n]*[^\n\]])|(?i:failing row contains )\(([^\n]*[^\n)])"

NAME_SIGNS = (
    *("pass", "secret", "cred", "token", "key", "auth", "cookie", "sess", "signature", "pw"),
    *("kennw", "pin", "otp", "psk", "cvv", "cvc", "contrase", "clave", "senha", "salasana", "mdp"),
    *("lösenord", "wachtw", "adgangsk", "jelsz", "parola", "geheim", "fa code", "fa_code"),
    *("sms", "tion code", "tion_code", "rity code", "rity_code", "very code", "very_code"),
    *("time code", "time_code", "your code", "your_code", "gscode", "itscode", "digo de"),
    *("code de ", "haslo", "heslo", "sifre", "salt", "nonce", "t.sid", "saml", "code_verifier"),
    *("client_assertion", "?", "&"),
)
"""Every name contains one of these, folded."""
KINDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("://",), (_USER_INFO, _APPRISE)),
    (("eyj",), (_JWT,)),
    (("private key",), (_PEM,)),
    (("bearer", "basic"), (_BEARER,)),
    (("auth", "login", "credential"), (_AUTH,)),
    (("?",), (_OTHER_ALPHABETS,)),
    (
        (*(f" _{letter}" for letter in "abcehknpuwx_"), " /p:", "sqlplus", "sqlldr", "mpdp", "xpdp",
         "rman ", "kinit", "rabbitmqctl", "wpa_", "net use", "vault "),
        (TOOLS,),
    ),
    ((" _u", "_user"), (_USER,)),
    (("passwd",), (_STDIN,)),
    (("@",), (_ORACLE,)),
    (("identified", "password(", "pragma"), (_SQL,)),
    (("mnemonic", "phrase"), (_PHRASE,)),
    (("[parameters", "failing row"), (_BOUND,)),
    (("0000 0000", "0000_0000", "0000000000000"), (CARD,)),
)  # fmt: skip
"""Signs, of which every match of the patterns contains one (folded as names are), and patterns."""
LONG_WORD = 20
LONG_KINDS = (rf"(?<![A-Za-z0-9])(?:bot)?({_KEY})", _WEBHOOK, _PEM_LINE)
"""Patterns that match only a text with so many of ``A-Za-z0-9_-`` in a row."""
