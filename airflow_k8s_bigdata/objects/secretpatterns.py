"""The expressions by which secrets are found, and RE2, which reads them: its time grows with the text alone."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

# Pieces of expressions. Everything is matched as bytes, a character each, so that no input is too odd.
_STEM = (
    r"(?:pass(?:word|wd|phrase|code|_|-|\b|[0-9])|passw|[a-z]pass\b|pwd|psw\b|\bpw\b|\botp\b|secret|token|key|cred|auth\b"
    r"|_auth|authorization|[a-z]auth|\bsig|_sig|signature|\bsas\b|_sas|sastoken|sassig|\bpat\b|_pat\b|\bpin\b|_pin\b"
    r"|cookie|bearer|jwt|sessid|sessionid)"
)
_QUOTE = r"(?:\\*[\"'`]|&quot;|&#34;|&#39;|%22|%27|\\+u0022)"
_ASSIGN = r"(?:=>|->|:=|==|=|:|\\+=|\\+:|%3[dDaA]|\\+u003[dDaA])"
_NAME = rf"(?:[\w.\-]*{_STEM}[\w.\-]*)"
_BINDS = rf"({_QUOTE}?\]?(?:[ \t]|%20|\+)*{_ASSIGN}(?:[ \t]|%20)*(?:[|>][\-+]?\n[ \t]+)?|{_QUOTE}?,[ \t]*)"
ASSIGNED = rf"(?i)({_NAME}){_BINDS}"
SPACED = (
    r"(?i)\b((?:pass(?:word|wd|phrase|code)|pwd)[\"']?(?:\s+is)?[ \t]+|identified[ \t]+by[ \t]+"
    rf"|(?:spark|hadoop|fs|hive|kafka|javax)\.{_NAME}[ \t]+)"
)
FLAG = r"(?i)(?:^|[\s\"'\[(,`=])(-{1,2}[a-z][\w.\-]*)(\\*[\"']?,?[ \t]+(?:-[ \t]+)?\\*[\"']?)"
FLAG_HINT = rf"(?i)(?:^|[\s\"'\[(,`=])-{{1,2}}(?:[\w.\-]*{_STEM}[\w.\-]*|p|u|user|a|proxy-user|pw)(?:\\*[\"']?,?[ \t]+)"
PAIR = (
    rf"(?i)(?:name|key|property)(?:{_QUOTE})?[ \t]*(?:=|:|>)[ \t]*(?:{_QUOTE})?({_NAME})"
    rf"(?:(?:{_QUOTE})?[,;]?|</\w+>)\s*(?:{_QUOTE}|<)?(?:value|val)(?:{_QUOTE})?[ \t]*(?:=|:|>)[ \t]*"
)
XML = rf"(?i)<(?:\w+:)?({_NAME})(?:\s[^<>]{{0,200}})?>"
URL = r"([A-Za-z][A-Za-z0-9+.\-]{0,30}(?:\\?:(?:\\?/){2}|(?i:%3a%2f%2f)))([^\s\"'<>`|]*@)[\w\[.\-*%]"
URL_ENCODED = r"(?i)%3a%2f%2f[\w.\-]{0,64}%3a([^\s\"'<>&]{1,200}?)%40"
BARE = r"(?:^|[\s\"'(=,\[>])([\w.\-]{1,64}):([^\s:@/\"'<>(),\[\]{}=]{4,200})@([\w.\-]{1,200})"
THIN = r"(?i)(?:thin|oci8?|kprb|sqlplus|rman|expdp|impdp|sqlldr)[: ](?:[^\s/@]{1,60})/(\"[^\"\n]+\"|[^\s@\"]+)@"
CURL = r"[^\s:\"']{1,64}:([^\s\"']+)"
SCHEMED = r"(?i)\b(?:bearer|basic|apikey|negotiate|sharedkey|sharedkeylite)(?:[ \t]+|%20|\+)([\w.~+/=:\-%]{8,})"
HEADER = (
    r"(?i)\b((?:proxy-)?authorization|x-vault-token|(?:set-)?cookie2?)"
    rf"({_QUOTE}?[ \t]*(?:=>|->|=|:|,)[ \t]*\[?(?:{_QUOTE})?)"
)
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

TRIGGER = "|".join(
    f"(?:{part})"
    for part in (
        ASSIGNED,
        SPACED,
        FLAG_HINT,
        XML,
        PAIR,
        URL,
        URL_ENCODED,
        BARE,
        THIN,
        SCHEMED,
        HEADER,
        TOKENS,
    )
)


LITERALS = 64 * 1024
"""Bytes of known secrets that are looked for at once."""


@cache
def expression(pattern: str) -> Any:
    """The pattern, compiled: for bytes, each a character."""
    return _compiled(pattern.encode())


def _compiled(pattern: bytes) -> Any:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = 32 << 20
    return re2.compile(pattern, options)


@lru_cache(maxsize=64)
def any_of(literals: tuple[bytes, ...]) -> Any:
    """An expression for any of them; None if they are too long for one."""
    import re2

    if sum(map(len, literals)) > LITERALS:
        return None
    return _compiled(b"|".join(map(re2.escape, literals)))
