"""Keys and passwords: key blocks, tokens that show their issuer, and values set to such a name.

A token is looked for by its first letters (`ghp_`, `AKIA`), which costs prose nothing. A name such
as `api_key` or 密码 counts only where a value is assigned to it, and the value must not be code,
a word of prose or a place to fill in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memlm.prepare.evidence import Candidate, Strength

_LONGEST_KEY = 1 << 16
_KEY_BEGINS = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
_KEY_BODY = re.compile(r"(?:\\[nr]|[A-Za-z0-9+/=:,. \t\r\n-])*")
_PUTTY_BEGINS = "PuTTY-User-Key-File-"

# Written from the issuers' own descriptions. Each begins with fixed letters, which `re` looks for
# ten times faster than for anything else; what may stand before them is therefore asked later.
_TOKENS = [
    re.compile(rf"{whole}(?![0-9A-Za-z_])")
    for whole in (
        r"A(?:KIA|SIA)[0-9A-Z]{16}",  # Amazon
        r"AIza[0-9A-Za-z_-]{35}",  # Google
        r"AKID[0-9A-Za-z]{32}",  # Tencent Cloud
        r"GOCSPX-[0-9A-Za-z_-]{20,}",  # Google
        r"LTAI[0-9A-Za-z]{12,20}",  # Alibaba Cloud
        r"SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",  # SendGrid
        r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
        r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}",  # JSON Web Token
        r"gh[opusr]_[0-9A-Za-z]{36,}",  # GitHub
        r"github_pat_[0-9A-Za-z_]{50,}",
        r"glpat-[0-9A-Za-z_-]{20,}",  # GitLab
        r"hf_[0-9A-Za-z]{30,}",  # Hugging Face
        r"hooks\.slack\.com/services/[0-9A-Za-z/]{20,}",  # Slack
        r"npm_[0-9A-Za-z]{36}",
        r"pypi-[0-9A-Za-z_-]{50,}",
        r"rk_(?:live|test)_[0-9A-Za-z]{16,}",  # Stripe
        r"sk-(?:proj-|ant-|svcacct-)?[0-9A-Za-z_-]{32,}",  # OpenAI and those who follow it
        r"sk_(?:live|test)_[0-9A-Za-z]{16,}",
        r"whsec_[0-9A-Za-z+/=]{24,}",
        r"xox[abeoprs]-[0-9A-Za-z-]{10,}",  # Slack
        r"ya29\.[0-9A-Za-z_-]{20,}",  # Google
    )
]
# crypt(3): hashes of passwords, which are guessed at leisure by those who have them.
_PASSWORD_HASH = re.compile(
    r"\$(?:2[abxy]\$[0-9]{2}\$[./0-9A-Za-z]{53}"
    r"|(?:1|apr1)\$[^\s$:]{1,16}\$[./0-9A-Za-z]{22}"
    r"|5\$(?:rounds=[0-9]{1,9}\$)?[^\s$:]{1,16}\$[./0-9A-Za-z]{43}"
    r"|6\$(?:rounds=[0-9]{1,9}\$)?[^\s$:]{1,16}\$[./0-9A-Za-z]{86}"
    r")(?![./0-9A-Za-z])"
)
_INSIDE_WORD = re.compile("[0-9A-Za-z_]")
_LOGIN = re.compile(r"://[^\s/:\"'<>]{0,256}:([^\s/\"'<>]{1,256})@")

# The end of a name that holds a secret, as text, code and settings write it. People choose words
# for passwords; machines do not for keys, and `"token": "word"` is common in data about language.
_PASSWORD_NAME = re.compile(
    r"(?i)(?:password|passwd|passwort|passphrase|pwd|(?<![A-Za-z])pass|(?-i:(?<=[a-z])Pass)"
    r"|密码|密碼|口令)\Z"
)
_KEY_NAME = re.compile(
    r"(?i)(?:(?<![A-Za-z])(?:auth|secret|token|credential|pw)|(?-i:(?<=[a-z])(?:Auth|Secret|Token))"
    r"|authtoken|encryptedusername|(?:api|access|secret|private|client|auth|app|master|encryption)[_-]?key|key_base"
    r"|密钥|密鑰|令牌|秘钥)\Z"
)
_LONGEST_NAME = 48
# The last letter of every name above, or what may stand between it and the sign, goes before.
_SIGN = re.compile(r"""[:=：＝>](?<=[sSwWhHtTnNlLdDeEyY码碼令钥鑰"'`\] \t].)""")
_GAP = "\"'`] \t"
_ENDINGS = (  # of the names above, in lower case: asked first, because it is fast
    *("password", "passwd", "passwort", "passphrase", "pwd", "pass", "auth", "secret", "token"),
    *("credential", "pw", "key", "key_base", "encryptedusername"),
    *("密码", "密碼", "口令", "密钥", "密鑰", "令牌", "秘钥"),
)
_QUOTED = re.compile(r"""[ \t]{0,8}(?:b|r|u)?(["'`])(?P<secret>[^"'`\n]{1,512})\1""")
_BARE = re.compile(r"""[ \t]{0,8}(?P<secret>[^\s"'`<>,;)\]}\u2e80-\U0003ffff]{1,512})""")
_IN_TAGS = re.compile(r"(?P<secret>[^<>\n]{1,512})</")
# netrc and its like: a name, a space, a value, and nothing after it on the line.
_NETRC = re.compile(r"""passw(?:or)?d[ \t]+(?:"([^"\n]{1,128})"|([^\s"]{1,128}))[ \t]*(?=\n|\Z)""")
# .pgpass: host:port:database:user:password.
_PGPASS = re.compile(r":(?:[0-9]{2,5}|\*):[^\s:]{1,64}:[^\s:]{1,64}:([^\s:]{4,128})(?=\n|\Z)")
# Said in a sentence rather than set.
_SPOKEN = re.compile(r"(?:[pP]assword is ?:? |密码[是为])([^\s\"'\u2e80-\U0003ffff]{6,64})")
_LINE_START = re.compile(
    r"""(?:^|\n)[ \t]*(?:export[ \t]+|set[ \t]+|-[ \t]+|//\S*:)?["']?[\w.-]*\Z"""
)
_NO_SECRET = re.compile(
    r"(?i)(?:true|false|null|none|nil|undefined|yes|no|on|off|string|str|int|bytes|bool|object|"
    r"required|optional|varchar.*|text|x{3,}|\*+|\.{2,}|-+|_+|env|prompt|default|empty|"
    r"your[-_ ].*|my[-_].*|<.*|\$.*|%.*|\{.*|\[.*|.*\[[A-Z_]+_[0-9]+\].*|"
    r"\(.*|&.*|@.*|=.*|[0-9]{1,3})"
)
_CODE = re.compile(
    r"[\w.]+[(\[{]|(?:self|this|os|process|config|settings|request|args)\.|.*\$\{|.*->"
)
_RUN = re.compile(r"""[^\s"'`<>,;)\]}\u2e80-\U0003ffff]+""")  # as long as a value can be, see _BARE
_FEWEST_SIGNS, _FEWEST_IN_PROSE = 4, 6


def find_private_keys(text: str) -> Iterator[Candidate]:
    """Yield the private keys of a text, from the first mark of their block to the last."""
    reached = 0
    while match := _KEY_BEGINS.search(text, reached):
        last = f"-----END {match.group(1)}-----"
        end = text.find(last, match.end(), match.end() + _LONGEST_KEY)
        if end < 0:  # cut short: as far as it looks like one
            body = _KEY_BODY.match(text, match.end(), match.end() + _LONGEST_KEY)
            assert body  # it may be empty
            reached = body.end()
        else:
            reached = end + len(last)
        yield Candidate(Strength.ENCLOSED, match.start(), reached, "private_key")
    start = text.find(_PUTTY_BEGINS)
    while start >= 0:
        last_line = text.find("Private-MAC:", start, start + _LONGEST_KEY)
        if last_line < 0:
            return
        end = text.find("\n", last_line)
        end = len(text) if end < 0 else end
        yield Candidate(Strength.ENCLOSED, start, end, "private_key")
        start = text.find(_PUTTY_BEGINS, end)


def find_tokens(text: str) -> Iterator[Candidate]:
    """Yield the tokens, password hashes and passwords in web addresses that show what they are."""
    for rule in _TOKENS:
        for match in rule.finditer(text):
            if not _INSIDE_WORD.match(text[match.start() - 1 : match.start()]):
                yield Candidate(Strength.MARKED, *match.span(), "access_token")
    for match in _PASSWORD_HASH.finditer(text):
        yield Candidate(Strength.MARKED, *match.span(), "access_token")
    if "://" in text:
        for match in _LOGIN.finditer(text):
            if not _NO_SECRET.fullmatch(match.group(1)):
                yield Candidate(Strength.ENCLOSED, *match.span(1), "access_token")


def find_assigned(text: str) -> Iterator[Candidate]:
    """Yield the values that names of secrets are set to: `password=...`, `"apiKey": "..."`."""
    for sign in _SIGN.finditer(text):
        found = _value_at(text, sign.start())
        if found:
            yield Candidate(Strength.ASSIGNED, *found, "access_token")
    for match in _NETRC.finditer(text):
        quoted, bare = match.groups()
        if quoted is not None or _is_mixed(bare):
            yield Candidate(Strength.ASSIGNED, *match.span(match.lastindex or 0), "access_token")
    for match in _PGPASS.finditer(text):
        if not _NO_SECRET.fullmatch(match.group(1)):
            yield Candidate(Strength.ASSIGNED, *match.span(1), "access_token")
    for match in _SPOKEN.finditer(text):
        if _is_mixed(match.group(1)):
            yield Candidate(Strength.ASSIGNED, *match.span(1), "access_token")


def find_same_secrets(text: str, known: set[str]) -> Iterator[Candidate]:
    """Yield where a known secret stands without its name; a word of letters may be just a word."""
    known = {secret for secret in known if _is_mixed(secret)}
    if known:
        for match in _RUN.finditer(text):
            if match.group() in known:
                yield Candidate(Strength.ASSIGNED, *match.span(), "access_token")


def _value_at(text: str, sign: int) -> tuple[int, int] | None:
    """Return the secret that the sign at this place assigns, if the name before it is of one."""
    first = max(0, sign - _LONGEST_NAME)
    name = text[first:sign]
    if text[sign] == ">":
        name = name.rpartition("<")[2].split(" ", maxsplit=1)[0]
    name = name.rstrip(_GAP)
    if not name.lower().endswith(_ENDINGS):
        return None
    is_password = _PASSWORD_NAME.search(name) is not None
    if not is_password and _KEY_NAME.search(name) is None:
        return None
    after = sign + 1 + (text[sign + 1 : sign + 2] == ">")
    if text[sign] == ">":
        value = _IN_TAGS.match(text, after)
    else:
        value = _QUOTED.match(text, after) or _BARE.match(text, after)
    if value is None:
        return None
    secret = value.group("secret")
    if _NO_SECRET.fullmatch(secret) or _CODE.match(secret):
        return None
    is_setting = text[sign] == "=" and _LINE_START.search(text[max(0, first - 80) : first] + name)
    may_be_word = value.re is not _BARE or is_setting
    fewest = _FEWEST_SIGNS if may_be_word else _FEWEST_IN_PROSE
    if len(secret) >= fewest and (_is_mixed(secret) or (is_password and may_be_word)):
        return value.span("secret")
    return None


def _is_mixed(value: str) -> bool:
    """Return whether a value is no word: it has digits beside its letters or signs."""
    has_digit = any(sign in "0123456789" for sign in value)
    return has_digit and not value.isdecimal() and len(value) >= _FEWEST_SIGNS
