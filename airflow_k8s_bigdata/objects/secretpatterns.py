"""The expressions by which secrets are found.

RE2 reads whole batches of a log: one automaton tells which lines are worth a closer look, at a nanosecond a byte. These
lines are read by Python's expressions, which take less for each find. Repetitions in them end soon or give nothing back
(`{1,200}+`), so that whatever a driver prints takes time in proportion to its length.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_QUOTE = r"(?:\\*[\"'`]|&quot;|&#34;|&#39;|%22|%27|\\+u0022)"
_SETTINGS = "(?:spark|hadoop|fs|hive|kafka|javax)"
_SCHEMES = "(?:bearer|basic|apikey|negotiate|sharedkey|sharedkeylite)"
_TOOLS = "(?:thin|oci8?|kprb|sqlplus|rman|expdp|impdp|sqlldr)"
_HEADERS = "(?:(?:proxy-)?authorization|x-vault-token|(?:set-)?cookie2?)"

# Of Python, for lines in lower case, as bytes.
_STEM = (  # each begins with a letter, by which the search is several times as fast
    r"(?:p(?:ass(?:w|phrase|code|[_\-0-9]|\b)|wd|sw\b|w\b(?<!\wpw)|at\b(?<![^\W_]pat)|in\b(?<![^\W_]pin))|token|key|jwt"
    r"|otp\b(?<!\wotp)|c(?:red|ookie)|auth(?:\b|orization|(?<=_auth)|(?<=[a-z]auth))|s(?:ecret|ess(?:ion)?id"
    r"|ig(?:nature|(?<!\wsig)|(?<=_sig)|(?<=sassig))|as(?:token|(?<=_sas)|\b(?<!\wsas)))|bearer)"
)
_NAME = r"([\w.\-]{1,200}+)"
ASSIGNED = (
    rf"{_STEM}[\w.\-]{{0,200}}+({_QUOTE}?\]?(?:[ \t]|%20|\+)*+(?:(?<=-)>|=>|->|:=|==|=|:|\\++[=:]|%3[da]|\\++u003[da])"
    rf"(?:[ \t]|%20)*+(?:[|>][\-+]?\n[ \t]+)?|{_QUOTE}?,[ \t]*+|[ \t]++)"
)
SPACED = r"p(?<!\wp)(?:ass(?:word|wd|phrase|code)|wd)[\"']?(?:\s++is)?[ \t]++|i(?<!\wi)dentified[ \t]++by[ \t]++"
FLAG = r"(-(?<![^\s\"'\[(,`=]-)-?[a-z][\w.\-]{0,200}+)(\\*+[\"']?,?[ \t]++(?:-[ \t]++)?\\*+[\"']?)"
PAIR = (
    rf"(?:name|key|property)(?:{_QUOTE})?[ \t]*+[=:>][ \t]*+(?:{_QUOTE})?{_NAME}"
    rf"(?:(?:{_QUOTE})?[,;]?|</\w{{1,40}}+>)\s*+(?:{_QUOTE}|<)?val(?:ue)?(?:{_QUOTE})?[ \t]*+[=:>][ \t]*+"
)
XML = rf"<(?:\w{{1,40}}+:)?{_NAME}(?:\s[^<>]{{0,200}}+)?>"
URL = r":(?:\\?/){2}"
URL_ENCODED = r"%3a%2f%2f[\w.\-]{0,64}+%3a((?:[^\s\"'<>&%@]|%(?!40)){1,200}+)(?:%40|@)"
BARE = r":([^\s:@/\"'<>(),\[\]{}=]{4,200}+)@([\w.\-]{1,200}+)"
THIN = rf"{_TOOLS}[: ][^\s/@]{{1,60}}+/(\"[^\"\n]{{1,200}}+\"|[^\s@\"]{{1,200}}+)@"
CURL = r"[^\s:\"']{1,64}:([^\s\"']+)"
SCHEMED = rf"{_SCHEMES}(?:[ \t]++|%20|\+)([\w.~+/=:\-%]{{8,}}+)"
HEADER = (
    r"(a(?<!\wa)uthorization|c(?<!\wc)ookie2?|x(?<!\wx)-vault-token)"
    rf"({_QUOTE}?[ \t]*+(?:=>|->|=|:|,)[ \t]*+\[?(?:{_QUOTE})?)"
)

# Of RE2, for whole texts.
BEGIN = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
END = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_GAP = r"(?:\s|\\+[nrt]|[\"'+,|>#*]|\\+u000[aAdD])*"
KEY_BODY = (
    rf"(?:{_GAP}(?:[A-Za-z0-9+/=]{{24,}}|(?:Proc-Type|DEK-Info|Version|Comment|Hash):[^\n\\]{{0,100}}))*"
    rf"(?:(?:{_GAP}=?[A-Za-z0-9+/]{{1,70}}={{0,2}}){{0,2}}{_GAP}-----END)?"
)
TOKENS = "|".join(
    (
        r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA|ANPA|ABIA|ACCA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}",
        r"\bgl(?:pat|ptt|dt|rt|cbt|oas|soat|ft|imt|agent|feat)-[\w\-]{16,}",
        r"\bxox[abceoprs](?:\.xox[bp])?-[\w\-]{10,}|\bxapp-\d-[\w\-]{10,}",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]{16,}",
        r"\bAIza[\w\-]{30,}|\bya29\.[\w\-.]{16,}|\bGOCSPX-[\w\-]{16,}|\b1//0[\w\-]{24,}",
        r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|\bwhsec_[A-Za-z0-9+/=]{16,}",
        r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w\-]{16,}|\brubygems_[0-9a-f]{40,}|\bdckr_(?:pat|oat)_[\w\-]{16,}",
        r"\bdapi[0-9a-f]{32}(?:-\d)?|\bdk(?:ea|se)[0-9a-f]{32}",
        r"\bhv[sbr]\.[\w\-]{16,}|\b[A-Za-z0-9]{14}\.atlasv1\.[\w\-=]{40,}",
        r"\beyJ[\w\-]{8,}\.[\w\-]{4,}(?:\.[\w\-]*){0,3}",
        r"\bSG\.[\w\-]{16,}\.[\w\-]{16,}|\bkey-[0-9a-f]{32}\b|\bSK[0-9a-f]{32}\b|\bxkeysib-[0-9a-f]{40,}[\w\-]*",
        r"\bsk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_\-]*[0-9][A-Za-z0-9_\-]{15,}|\bhf_[A-Za-z]{30,}|\bgsk_[A-Za-z0-9]{40,}",
        r"\bdo[opr]_v1_[0-9a-f]{40,}|\bshp(?:at|ss|ca|pa)_[0-9a-fA-F]{24,}|\blin_api_\w{20,}|\bfig[dou]_[\w\-]{20,}",
        r"\bPMAK-[0-9a-f]{20,}-[0-9a-f]{20,}|\bATATT3x[\w\-=]{20,}|\bATBB\w{20,}|\bdp\.(?:pt|st|ct|sa)\.[\w.\-]{20,}",
        r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}|\bNRAK-[A-Z0-9]{20,}|\bgl(?:c|sa)_[\w+/=]{24,}|\bsntry[su]_[\w+/=\-]{24,}",
        r"\b\d{8,10}:AA[\w\-]{30,}|\bAKCp[A-Za-z0-9]{10,}|\bpul-[0-9a-f]{40}\b|\bLTAI[A-Za-z0-9]{12,24}\b|\bEAAA[\w\-]{40,}",
        r"\bdsapi[0-9a-f]{32}|\bCFPAT-[\w\-]{30,}|\bNRII-[\w\-]{20,}|\bsqp_[0-9a-f]{40}|\bvault:v\d+:[\w+/=]{16,}",
    )
)
_STEM_ANYWHERE = (
    r"(?:pass(?:w|phrase|code|_|-|\b|[0-9])|pwd|psw\b|\bpw\b|\botp\b|secret|token|key|cred|auth\b|_auth|authorization"
    r"|[a-z]auth|\bsig|_sig|signature|\bsas\b|_sas|sastoken|sassig|\bpat\b|_pat\b|\bpin\b|_pin\b|cookie|bearer|jwt"
    r"|sess(?:ion)?id)"
)
_REST = r"[\w.\-]*"
_HINTS = (
    rf"{_STEM_ANYWHERE}{_REST}(?:{_QUOTE}?\]?(?:[ \t]|%20|\+)*(?:->|:=|=|:|\\+[=:]|%3[da]|\\+u003[da])"
    r"(?:[ \t]*[|>][\-+]?\n[ \t]+[^\s])?"
    rf"|{_QUOTE},)",
    rf"\({_REST}{_STEM_ANYWHERE}{_REST},",
    r"\b(?:pass(?:word|wd|phrase|code)|pwd)[\"']?(?:\s+is)?[ \t]+[^\s]",
    r"\bidentified[ \t]+by[ \t]",
    rf"\b{_SETTINGS}\.{_REST}{_STEM_ANYWHERE}{_REST}[ \t]",
    rf"(?:^|[\s\"'\[(,`=])-{{1,2}}(?:{_REST}{_STEM_ANYWHERE}{_REST}|p|u|user|a|proxy-user|pw)(?:\\*[\"']?,?[ \t])",
    rf"{_STEM_ANYWHERE}{_REST}(?:{_QUOTE}?[,;]?|</\w+>)\s*(?:{_QUOTE}|<)?val(?:ue)?(?:{_QUOTE})?[ \t]*[=:>]",
    rf"<(?:\w+:)?{_REST}{_STEM_ANYWHERE}{_REST}(?:\s[^<>\n]*)?>",
    r"(?::(?:\\?/){2}|%3a%2f%2f)[^\s\"'<>`|]*(?:@|%40)[\w\[.\-*%]",
    r"[\w.\-]:[^\s:@/\"'<>(),\[\]{}=]+@[\w.\-]",
    rf"{_TOOLS}[: ][^\s/@]+/(?:\"[^\"\n]+\"|[^\s@\"]+)@",
    rf"\b{_SCHEMES}(?:[ \t]+|%20|\+)[\w.~+/=:\-%]{{8}}",
    rf"\b{_HEADERS}{_QUOTE}?[ \t]*(?:=>|->|=|:|,)",
)
TRIGGER = "|".join([*(f"(?i:{hint})" for hint in _HINTS), TOKENS])
"""What lines have that may hold a secret."""

LITERALS = 64 * 1024
"""Bytes of known secrets that are looked for at once."""


@cache
def expression(pattern: str) -> re.Pattern[bytes]:
    """Python's expression, made when it is first needed."""
    return re.compile(pattern.encode())


@cache
def automaton(pattern: str) -> Any:
    """RE2's expression: for bytes, each a character."""
    return _compiled(pattern.encode())


def any_of(literals: tuple[bytes, ...]) -> Any:
    """RE2's expression for any of them; None if they are too long for one."""
    import re2  # type: ignore[import-untyped]

    if sum(map(len, literals)) > LITERALS:
        return None
    return _compiled(b"|".join(map(re2.escape, literals)))


def _compiled(pattern: bytes) -> Any:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 8 << 20
    return re2.compile(pattern, options)
