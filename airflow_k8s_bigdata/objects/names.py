"""What Kubernetes accepts as a name, a label or a label value, and how to make one from any text."""

from __future__ import annotations

import hashlib
import re

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NOT_IN_VALUE = re.compile(r"^[^a-zA-Z0-9]*|[^a-zA-Z0-9_.\-]|[^a-zA-Z0-9]*$")


def is_dns_subdomain(name: str) -> bool:
    """Whether the API accepts it as the name of a pod, config map, secret or claim (RFC 1123, at most 253)."""
    return len(name) <= 253 and DNS_SUBDOMAIN.fullmatch(name) is not None


def is_dns_label(name: str) -> bool:
    """Whether the API accepts it as the name of a namespace, container, volume or port (RFC 1123, at most 63)."""
    return DNS_LABEL.fullmatch(name) is not None


def is_service_name(name: str) -> bool:
    """Whether the API accepts it as the name of a service (RFC 1035: as a DNS label, starting with a letter)."""
    return is_dns_label(name) and name[0].isalpha()


def is_qualified_name(key: str) -> bool:
    """Whether the API accepts it as a label or annotation key: `name` or `dns.subdomain/name`."""
    prefix, slash, name = key.rpartition("/")
    return (not slash or is_dns_subdomain(prefix)) and _NAME_PART.fullmatch(name) is not None


def is_label_value(value: str) -> bool:
    """Whether the API accepts it as a label value: empty, or at most 63 of letters, digits, `-`, `_`, `.`."""
    return value == "" or _NAME_PART.fullmatch(value) is not None


def label_value(text: str) -> str:
    """A valid label value for any text, equal to the text where that is one already.

    The result is what Airflow's own Kubernetes provider makes of it (cncf.kubernetes `make_safe_label_value`), so that
    `kubectl -l dag_id=...` selects the pods of either.
    """
    safe = _NOT_IN_VALUE.sub("", text)
    if len(safe) > 63 or safe != text:
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:9]
        safe = safe[: 63 - len(digest) - 1] + "-" + digest
    return safe if is_label_value(safe) else safe.strip("-_.")
