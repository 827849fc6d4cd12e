"""What an error of the Kubernetes API means for a run: the same categories as those of its pods."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.objects.diagnosis import Diagnosis, diagnose

_ADMISSION = re.compile(
    r"admission webhook|denied the request|admission plugin|violates PodSecurity|is forbidden: (?!User)"
)
_QUOTA = re.compile(r"exceeded quota: .*")

# The order matters: subclasses come before their bases.
_BY_KIND: tuple[tuple[type[errors.ClusterError], str], ...] = (
    (errors.QuotaExceeded, "quota-exceeded"),
    (errors.Forbidden, "not-permitted"),
    (errors.Unauthorized, "not-authenticated"),
    (errors.NotFound, "namespace-missing"),
    (errors.Invalid, "object-invalid"),
)


def refused(error: errors.ClusterError, *, secrets: Iterable[str] = ()) -> Diagnosis:
    """The diagnosis of a request that failed.

    :param secrets: values that must not be shown, see `redaction.redact`: admission plugins like to quote the object.
    """
    category = next((word for kind, word in _BY_KIND if isinstance(error, kind)), "api-trouble")
    # Webhooks answer with 403 or 400, as they like.
    if category in {"not-permitted", "object-invalid"} and _ADMISSION.search(error.message):
        category = "admission-refused"
    quota = _QUOTA.search(error.message)
    summary = quota[0] if category == "quota-exceeded" and quota else error.message
    where = f"{error.action}: " if error.action else ""
    evidence = (f"HTTP {error.status} {error.reason}: {error.message}",) if error.status else (error.message,)
    return diagnose(category, f"{where}{summary}", evidence, secrets=secrets)
