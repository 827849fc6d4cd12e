"""LimitRange: the resources that it gives to containers, and the pods and claims that it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.schemas import canonical_quantity
from airflow_k8s_bigdata.localkube.store import Object

_ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = dict[str, str]


def default_limit_range(limit_range: Object) -> None:
    """Defaults of a LimitRange: a container gets the maximum as its limit, its limit or the minimum as its request."""
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        default: Amounts = dict(item.get("max") or {}) | (item.get("default") or {})
        request: Amounts = dict(item.get("min") or {}) | default | (item.get("defaultRequest") or {})
        item.update({key: value for key, value in (("default", default), ("defaultRequest", request)) if value})


def give_defaults(limit_range: Object, pod: Object) -> None:
    """Fill in the resources that containers leave open, and note it in the pod's annotation as Kubernetes does."""
    limits: Amounts = {}
    requests: Amounts = {}
    for item in _items(limit_range, "Container"):
        limits |= item.get("default") or {}
        requests |= item.get("defaultRequest") or {}
    notes: list[str] = []
    for kind, what in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(kind) or ():
            resources = container.setdefault("resources", {})
            for field, word, amounts in (("requests", "request", requests), ("limits", "limit", limits)):
                lacking = sorted(amounts.keys() - (resources.get(field) or {}).keys())
                if lacking:
                    resources.setdefault(field, {}).update((name, amounts[name]) for name in lacking)
                    notes.append(f"{', '.join(lacking)} {word} for {what} {container.get('name', '')}")
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def pod_breaches(limit_range: Object, pod: Object) -> list[str]:
    """How a pod breaks a LimitRange, in the LimitRanger's words; each once."""
    spec = pod["spec"]
    found: list[str] = []
    for item in _items(limit_range, "Container"):
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            found += _breaches(item, container.get("resources") or {})
    for item in _items(limit_range, "Pod"):
        found += _breaches(item, {kind: pod_total(spec, kind) for kind in ("requests", "limits")})
    return list(dict.fromkeys(found))


def claim_breaches(limit_range: Object, claim: Object) -> list[str]:
    """How a claim breaks a LimitRange. Only what it requests counts."""
    given = {"requests": ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}}
    found: list[str] = []
    for item in _items(limit_range, "PersistentVolumeClaim"):
        found += _minimum(item, given)
        for name, most in (item.get("max") or {}).items():
            head = f"maximum {name} usage per PersistentVolumeClaim is {most}"
            amount = given["requests"].get(name)
            if amount is None:
                found.append(f"{head}.  No request is specified")
            elif parse_quantity(amount) > parse_quantity(most):
                found.append(f"{head}, but request is {amount}")
    return list(dict.fromkeys(found))


def together(breaches: list[str]) -> str:
    """Several breaches as one sentence, as Go shows a list of errors."""
    return breaches[0] if len(breaches) == 1 else "[" + ", ".join(breaches) + "]"


def _items(limit_range: Object, kind: str) -> Iterator[Object]:
    limits: Iterable[Object] = (limit_range.get("spec") or {}).get("limits") or ()
    return (item for item in limits if item.get("type") == kind)


def _breaches(item: Object, resources: Object) -> Iterator[str]:
    yield from _minimum(item, resources)
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    what = item["type"]
    for name, most in (item.get("max") or {}).items():
        head = f"maximum {name} usage per {what} is {most}"
        if name not in limits:
            yield f"{head}.  No limit is specified"
        elif parse_quantity(limits[name]) > parse_quantity(most):
            yield f"{head}, but limit is {limits[name]}"
        elif name in requests and parse_quantity(requests[name]) > parse_quantity(most):
            yield f"{head}, but request is {requests[name]}"
    for name, most in (item.get("maxLimitRequestRatio") or {}).items():
        head = f"{name} max limit to request ratio per {what} is {most}"
        request, limit = (parse_quantity(amounts.get(name, 0)) for amounts in (requests, limits))
        if not request:
            yield f"{head}, but no request is specified or request is 0"
        elif not limit:
            yield f"{head}, but no limit is specified or limit is 0"
        elif limit / request > parse_quantity(most):
            yield f"{head}, but provided ratio is {limit / request:.6f}"


def _minimum(item: Object, resources: Object) -> Iterator[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, least in (item.get("min") or {}).items():
        head = f"minimum {name} usage per {item['type']} is {least}"
        if name not in requests:
            yield f"{head}.  No request is specified"
        elif parse_quantity(requests[name]) < parse_quantity(least):
            yield f"{head}, but request is {requests[name]}"
        elif name in limits and parse_quantity(limits[name]) < parse_quantity(least):
            yield f"{head}, but limit is {limits[name]}"


def pod_total(spec: Object, kind: str) -> Amounts:
    """What a pod as a whole requests or may use: its containers and sidecars together, or more for an init container.

    Each sum is written with the suffixes of its first amount: 512Mi and 512Mi are 1Gi, not 1073741824.
    """
    running, sidecars, starting = _Sum(), _Sum(), _Sum()
    for container in spec.get("containers") or ():
        running.add(_amounts(container, kind))
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, kind)
        if container.get("restartPolicy") == "Always":
            running.add(amounts)
            sidecars.add(amounts)
            starting.at_least(sidecars.shown())
        else:
            beside = _Sum(sidecars)
            beside.add(amounts)
            starting.at_least(beside.shown())
    running.at_least(starting.shown())
    return running.shown()


def _amounts(container: Object, kind: str) -> Amounts:
    return (container.get("resources") or {}).get(kind) or {}


class _Sum:
    """Quantities by resource, each with the family of suffixes that it was begun with."""

    def __init__(self, start: _Sum | None = None) -> None:
        self._numbers: dict[str, Decimal] = dict(start._numbers) if start else {}
        self._binary: dict[str, bool] = dict(start._binary) if start else {}

    def add(self, amounts: Amounts) -> None:
        for name, amount in amounts.items():
            self._binary.setdefault(name, str(amount).endswith("i"))
            self._numbers[name] = self._numbers.get(name, Decimal(0)) + parse_quantity(amount)

    def at_least(self, amounts: Amounts) -> None:
        for name, amount in amounts.items():
            if name not in self._numbers or parse_quantity(amount) > self._numbers[name]:
                self._binary[name] = str(amount).endswith("i")
                self._numbers[name] = parse_quantity(amount)

    def shown(self) -> Amounts:
        return {name: self._text(name) for name in self._numbers}

    def _text(self, name: str) -> str:
        number = self._numbers[name]
        if self._binary[name] and number >= 1024 and number % 1024 == 0:
            return canonical_quantity(f"{int(number) // 1024}Ki")
        return canonical_quantity(f"{number.normalize():f}")
