"""Whether a name says that its value is secret, and whether a value can be one.

Both are asked: `token=4096`, `spark.security.credentials.hive.enabled=false` and `Invalid key: customer_id` have a name
that looks secret and nothing to hide.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from itertools import pairwise

SHORTEST_SECRET = 4
"""A value shorter than this is hidden only where its name stands before it: elsewhere it would tear holes in texts."""


class Strength(enum.IntEnum):
    """How much a name says about its value."""

    NONE = 0
    KEY = 1
    """`key` alone: of a map, a table, a partition. Its value is secret only if it looks made by chance."""
    WEAK = 2
    """Secret if the value does not look like a word, a number, a path or a name: `token`, `auth`, `sig`."""
    STRONG = 3
    """Secret unless the value can't be one: `client_secret`, `apiKey`, `accessToken`."""
    PASSWORD = 4
    """Secret if it is but a number or a word, too."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PASSWORD = re.compile(
    r".*(?:password|passwd|passphrase|passcode)s?|pwds?|pass|psw|pw|pin|otp"
    r"|(?:store|key|trust|db|user|sql|pg|my|root|admin|ssh|redis|mongo|ldap|smtp|mail|ftp|proxy|cert|ssl|truststore"
    r"|keystore|mysql|postgres|oracle)(?:pass|pwd)"
)
_STRONG = re.compile(
    r"(?:api|access|secret|private|account|shared|master|encryption|signing|auth)keys?|.+secrets?|secretkey|.+token|"
    r"apitoken|jsessionid|phpsessid|sessid|connectionsecret"
)
_WEAK = re.compile(
    r"tokens?|secrets?|auth|authorization|creds?|credentials?|sig|signature|sas|pat|cookies?|bearer|jwt|.+tokens"
)
# What makes the word "key" that of a lock.
_LOCKS = _words(
    """
    api access secret private account storage shared master encryption signing signature service auth ssh rsa aes
    hmac crypto client license subscription app application consumer session sas deploy admin function functions ssl
    tls webhook pem primary_access
    """
)
# What makes "token" or "secret" one of texts, of pages or of Kubernetes.
_HARMLESS_PAIRS = frozenset(
    {
        *(("image", "pull"), ("pull", "secrets"), ("pull", "secret"), ("key", "ref"), ("max", "tokens")),
        *(("unexpected", "token"), ("next", "token"), ("invalid", "token"), ("parse", "token"), ("lex", "token")),
    }
)
_KEYS_OF_DATA = _words(
    """
    item primary foreign partition sort row hash group cache join routing object config conf map public index lookup
    idempotency record message dict bucket column natural surrogate composite unique cluster shuffle topic host
    """
)
_HARMLESS_ENDS = _words(
    """
    encryption enabled enable disabled disable provider providers type types file files path paths dir directory
    folder location max min size length len count limit limits interval timeout ttl expiry expires expiration expire
    expired mechanism mechanisms algorithm algorithms alg class classes classname name names url uri urls endpoint
    host hosts hostname port version format mode required policy prefix suffix column columns field fields index ref
    refs reference issuer scope scopes renewer lifetime period seconds secs sec ms millis minutes hours days bits
    bit alias manager factory strategy method methods rotation age used remaining budget threads pool attempts
    retries level usage header headers regex pattern error errors exception exceptions warning warnings invalid
    created updated valid status state present serializer deserializer encoder decoder iterations cipher time times
    date handler resolver validator generator service server kind source sources num number total distribution spec
    schema template supported allowed needed renewal refresh check verifier callback audience authority realm domain
    protocol protocols user users username group groups role roles store keystore truststore rule rules conf order
    range space distance cardinality lookup
    """
)
_ENDS_OF_SECRETS = (("secret", "id"), ("key", "id"))
"""Pairs that end in `id` and are hidden: Vault's secret id, AWS' access key id."""


@lru_cache(maxsize=4096)
def strength(name: str) -> Strength:
    """How much the name of a variable, conf key, flag, header or argument says about its value."""
    words = [word.lower() for word in _WORDS.findall(name[-200:])]
    if not words or words[-1] in _HARMLESS_ENDS:
        return Strength.NONE
    pairs = list(pairwise(words))
    if any(pair in _HARMLESS_PAIRS for pair in pairs):
        return Strength.NONE
    if words[-1] in ("key", "keys") and pairs and pairs[-1][0] in _KEYS_OF_DATA:
        return Strength.NONE
    locked = any(first in _LOCKS and second in ("key", "keys") for first, second in pairs)
    if words[-1] == "id" and not (pairs and pairs[-1] in _ENDS_OF_SECRETS and (locked or "secret" in words)):
        return Strength.NONE
    found = max(_of_word(word, alone=len(words) == 1) for word in words)
    return max(found, Strength.STRONG) if locked else found


def _of_word(word: str, *, alone: bool) -> Strength:
    if _PASSWORD.fullmatch(word):
        return Strength.PASSWORD
    if _STRONG.fullmatch(word):
        return Strength.STRONG
    if _WEAK.fullmatch(word):
        return Strength.STRONG if word in ("secret", "token", "bearer", "jwt") and not alone else Strength.WEAK
    return Strength.KEY if word in ("key", "keys") else Strength.NONE


def secret_name(name: str) -> bool:
    """Whether a variable, conf key or argument of that name holds a secret, by the look of it."""
    return strength(name) > Strength.KEY


# Values

_NO_SECRETS = _words(
    """
    true false yes no on off none null nil undefined unset empty default required optional missing invalid incorrect
    expired unknown wrong enabled disabled allowed denied hidden redacted masked present absent set changed valid
    string str int bool boolean object bytes text simple plain basic bearer digest negotiate kerberos ldap oauth
    oauth2 oidc jwt saml iam ssl tls sasl file env environment class secret secrets password passwords passphrase
    token tokens key keys credential credentials auth authentication authorization for from in is was must may
    should can cannot not and or the a an of to with by at as if failed failure error exception username user root
    anonymous guest n/a na
    """
)
_PLACEHOLDER = re.compile(
    r"(?:[\w\-]+[ =]){0,2}\*+(?:\(redacted\))?|\*+\W.*|<[^<>]*>|\[[\w ]*\]|\((?:redacted|hidden|none)\)"
    r"|\$\{[^}]*\}?|\{\{.*|\$[A-Z_][A-Z0-9_]*|\$\(.*|%\(?\w*\)?[sdr]|[xX]{3,}|[.…]+|[\-_#=+|/\\:;,!?~]+"
    r"|present_but_redacted|REDACTED.*|<?hidden.*",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"[+\-]?(?:0x[0-9a-f]{1,8}|\d[\d_,.]*(?:e[+\-]?\d+)?)L?\s*(?:[kmgtp]i?b?|bytes|bits?|b|[munμ]?s|min|h|d|%)?",
    re.IGNORECASE,
)
_MOMENT = re.compile(r"\d{2,4}[-/]\d\d[-/]\d\d(?:[T ].*)?|\d\d?:\d\d(?::\d\d.*)?|\d{1,5}(?::\d{1,5})+")
_VERSION = re.compile(r"v?\d+(?:\.\d+)+(?:[\-+.][A-Za-z0-9.]{1,16})?")
_ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|[A-Za-z][\w\-]*(?:\.[\w\-]+)*)(?::\d{1,5})(?:/\S*)?")
_DOTTED = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Za-z_$][\w$]*(?:[@#$][\w$]*)?")
_CLASS = re.compile(r"(?:[a-z_]\w*\.){2,}[A-Za-z_$][\w$]*(?:[@#$][\w$]*)?|(?:[a-z]\w*\.)+[A-Z][A-Za-z]*")
_URL = re.compile(r"[A-Za-z][\w+.\-]{0,30}:/{1,3}(?!/)[^\s]*|(?:file|classpath|local|hdfs):\S*")
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][a-z0-9._\-=*]*[A-Za-z]?[a-z0-9._\-=*]*)+")
_ROOTED = re.compile(
    r"/(?:etc|var|opt|tmp|mnt|home|usr|run|data|dev|app|srv|root|proc|user|secrets?|vault|keys?)(?:/.*)?"
)
_WORD = re.compile(r"[A-Za-z]+(?:[_\-.:/ ][A-Za-z]+)*\.?")
_IDENTIFIER = re.compile(
    r"(?:application|appattempt|attempt|job|task|container|stage|executor|exec|part|rdd|broadcast|shuffle|driver|spark|batch"
    r"|pod|node|table|row|user|customer|order|col|column|id|step|run|dag|group|topic|partition|worker|host)[-_]?\d[\w\-]*",
    re.IGNORECASE,
)
_CALL = re.compile(r"[A-Za-z_][\w.]*\(")
_CHANGES = re.compile(r"[a-z][A-Z]")


def can_be_secret(value: str, known: Strength, *, told: bool = True) -> bool:
    """Whether a value can be the secret that a name of that strength speaks of.

    :param told: whether it is bound to the name by more than a colon and a blank, as prose has them.
    """
    plain = value.strip()
    if known == Strength.NONE or (known == Strength.KEY and not _is_made_by_chance(plain)):
        return False
    if known in (Strength.WEAK, Strength.STRONG) and (len(plain) < SHORTEST_SECRET or plain.isdigit()):
        return False
    if _is_nothing(plain):
        return False
    if known in (Strength.KEY, Strength.PASSWORD):
        number = known == Strength.PASSWORD and len(plain) < SHORTEST_SECRET and _NUMBER.fullmatch(plain)
        return not (number or _MOMENT.fullmatch(plain) or (known == Strength.KEY and _DOTTED.fullmatch(plain)))
    if any(form.fullmatch(plain) for form in (_NUMBER, _MOMENT, _VERSION)):
        return False
    return (known == Strength.STRONG and told) or _looks_secret(plain, told=told)


def _is_nothing(value: str) -> bool:
    """Whether it says that there is no value, or where one is found."""
    if not value or value.lower().rstrip(".") in _NO_SECRETS or _PLACEHOLDER.fullmatch(value):
        return True
    return bool(_CLASS.fullmatch(value)) or is_place(value) or _is_code(value)


def can_be_known(value: str, known: Strength) -> bool:
    """Whether a value may be hidden wherever it stands: not a word or a number that other lines need."""
    plain = value.strip()
    if not can_be_secret(plain, known) or len(plain) < SHORTEST_SECRET:
        return False
    if plain.isdigit():
        return len(plain) > 5
    if plain.isalpha():
        return len(plain) > 7
    return len(plain) > 5 or (any(map(str.isdigit, plain)) and any(map(str.isalpha, plain)))


def is_place(value: str) -> bool:
    """Whether it is a path, or a URL (what a URL holds of secrets is found in it)."""
    if "/" not in value and "\\" not in value and ":" not in value:
        return False
    return bool(_URL.fullmatch(value) or _ROOTED.fullmatch(value) or _PATH.fullmatch(value))


def is_word(value: str) -> bool:
    """Whether it is made of words as people or programs name things, not of random letters."""
    return _WORD.fullmatch(value) is not None and not (len(value) > 15 and len(_CHANGES.findall(value)) > 3)


def _is_code(value: str) -> bool:
    """Whether it is a program's way to a value: `conn.password`, `self.token`."""
    return _DOTTED.fullmatch(value) is not None and strength(value.rpartition(".")[2]) > Strength.KEY


def _looks_secret(value: str, *, told: bool) -> bool:
    if (
        _CALL.match(value)
        or is_word(value)
        or _DOTTED.fullmatch(value)
        or _ADDRESS.fullmatch(value)
        or _IDENTIFIER.fullmatch(value)
    ):
        return False
    return len(value) >= (6 if told else 8)


def _is_made_by_chance(value: str) -> bool:
    cases = value != value.lower() and value != value.upper()
    return len(value) > 15 and cases and " " not in value and any(map(value.__contains__, "0123456789"))
