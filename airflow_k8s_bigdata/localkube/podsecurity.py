"""The Pod Security Standards: what a namespace's labels `pod-security.kubernetes.io/...` forbid a pod.

A namespace may `enforce` a level, and `warn` by another; `audit` writes to an audit log, which localkube has not.
The checks are in podsecuritychecks.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_k8s_bigdata.localkube.podsecuritychecks import BASELINE, RESTRICTED, Found
from airflow_k8s_bigdata.localkube.statuses import Cause, bad_value
from airflow_k8s_bigdata.localkube.store import Object

_PREFIX = "pod-security.kubernetes.io/"
_LEVELS = ["privileged", "baseline", "restricted"]
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_NEWEST = 1 << 31
_WORKLOADS = {"deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch"}


@dataclass(frozen=True, slots=True)
class Policy:
    """A level and the minor version whose rules count: `latest` is the newest."""

    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def minor(self) -> int:
        """The version's number after `v1.`."""
        return _NEWEST if self.version == "latest" else int(self.version.removeprefix("v1."))

    def violations(self, meta: Object, spec: Object) -> list[Found]:
        """What the policy forbids about a pod: for each check that fails its reason and the details."""
        if self.level == "privileged":
            return []
        checks = dict(BASELINE)
        if self.level == "restricted":
            for name, check in RESTRICTED.items():
                if self.minor >= check.since:
                    checks.pop(check.instead_of, None)
                    checks[name] = check
        found = (check.run(self.minor, meta, spec) for check in checks.values() if self.minor >= check.since)
        return [each for each in found if each]


def policies(labels: Object) -> tuple[Policy, Policy, list[Cause]]:
    """What a namespace enforces and what it warns by, and what is wrong with its labels.

    A level that is none is `restricted` where it is enforced, and no level where it warns.
    """
    causes: list[Cause] = []
    levels: dict[str, str] = {}
    versions: dict[str, str] = {}
    for mode in ("enforce", "audit", "warn"):
        label = f"{_PREFIX}{mode}"
        if label in labels:
            levels[mode] = labels[label]
            if labels[label] not in _LEVELS:
                levels[mode] = "restricted" if mode == "enforce" else "privileged"
                detail = f"must be one of {', '.join(_LEVELS)}"
                causes.append(bad_value(f"metadata.labels[{label}]", labels[label], detail))
        label = f"{label}-version"
        if label in labels:
            versions[mode] = labels[label]
            if labels[label] != "latest" and not _VERSION.fullmatch(labels[label]):
                versions[mode] = "latest"
                causes.append(bad_value(f"metadata.labels[{label}]", labels[label], 'must be "latest" or "v1.x"'))
    enforced = Policy(levels.get("enforce", "privileged"), versions.get("enforce", "latest"))
    warned = Policy(levels.get("warn", "privileged"), versions.get("warn", "latest"))
    valid = labels.get(f"{_PREFIX}enforce") == enforced.level
    if "warn" not in levels and valid and enforced.level != "privileged":
        warned = Policy(enforced.level, versions.get("warn", enforced.version))
    return enforced, warned, causes


def refusal(namespace: Object, pod: Object) -> str:
    """Why a namespace does not take a pod, "" when it does."""
    enforced, _, _ = policies(namespace["metadata"].get("labels") or {})
    found = enforced.violations(pod["metadata"], pod["spec"])
    return f'violates PodSecurity "{enforced}": {_told(found)}' if found else ""


def warning(namespace: Object, key: str, obj: Object) -> str:
    """The warning that a namespace has for a pod or for a workload's template; "" when there is none."""
    if key == "pods":
        template = obj
    elif key in _WORKLOADS:
        template = (obj.get("spec") or {}).get("template") or {}
    elif key == "cronjobs.batch":
        job = (obj.get("spec") or {}).get("jobTemplate") or {}
        template = (job.get("spec") or {}).get("template") or {}
    elif key == "podtemplates":
        template = obj.get("template") or {}
    else:
        return ""
    _, warned, _ = policies(namespace["metadata"].get("labels") or {})
    found = warned.violations(template.get("metadata") or {}, template.get("spec") or {})
    return f'would violate PodSecurity "{warned}": {_told(found)}' if found else ""


def changed_namespace(new: Object, old: Object, pods: Iterable[Object]) -> list[str]:
    """The warnings about the pods of a namespace that comes to enforce more than before."""
    (after, _, _), (before, _, _) = (policies(each["metadata"].get("labels") or {}) for each in (new, old))
    relaxed = after.version == before.version and _LEVELS.index(after.level) <= _LEVELS.index(before.level)
    if after == before or after.level == "privileged" or relaxed:
        return []
    names: dict[str, list[str]] = {}
    for pod in pods:
        found = after.violations(pod["metadata"], pod["spec"])
        if found:
            names.setdefault(", ".join(reason for reason, _ in found), []).append(pod["metadata"]["name"])
    if not names:
        return []
    name = new["metadata"]["name"]
    head = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{after}"'
    return [head, *sorted(f"{_pods(each)}: {reasons}" for reasons, each in names.items())]


def _pods(names: list[str]) -> str:
    first, more = min(names), len(names) - 1
    return first if not more else f"{first} (and {more} other {'pod' if more == 1 else 'pods'})"


def _told(found: list[Found]) -> str:
    return ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in found)
