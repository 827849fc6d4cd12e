"""Whose an object is: its owners, and theirs. Spark's executors may be a StatefulSet's or a Deployment's, which is its
driver's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import paths

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api, Object


def references(obj: Object) -> list[dict[str, Any]]:
    """The object's own owner references."""
    return list(obj["metadata"].get("ownerReferences") or ())


def above(obj: Object, known: Mapping[str, Object]) -> Iterator[dict[str, Any]]:
    """Every owner reference from the object upwards, as far as the owners are known.

    :param known: objects by uid.
    """
    waiting, seen = references(obj), set[str]()
    while waiting:
        reference = waiting.pop()
        if reference["uid"] in seen:
            continue
        seen.add(reference["uid"])
        yield reference
        waiting += references(known[reference["uid"]]) if reference["uid"] in known else []


def is_driverless(obj: Object, known: Mapping[str, Object]) -> bool:
    """Whether all that is above an object leads to pods that exist no more.

    An owner of another kind that is not known, or one that exists and has no owner itself, is somebody else's: then the
    object is, too.
    """
    ends = [one for one in above(obj, known) if one["uid"] not in known or not references(known[one["uid"]])]
    return bool(ends) and all(one["kind"] == "Pod" and one["uid"] not in known for one in ends)


async def learn(api: Api, namespace: str, objects: Iterable[Object], known: MutableMapping[str, Object]) -> None:
    """Ask for the owners that are not known, and for theirs. Those that exist no more stay unknown.

    An owner that may not be read counts as one that exists. Raises ClusterError.
    """
    waiting = [reference for obj in objects for reference in references(obj)]
    asked = set(known)
    while waiting:
        reference = waiting.pop()
        if reference["uid"] in asked or reference["kind"] not in paths.KINDS:
            continue
        asked.add(reference["uid"])
        if (owner := await _owner(api, namespace, reference)) is not None:
            known[reference["uid"]] = owner
            waiting += references(owner)


async def _owner(api: Api, namespace: str, reference: Mapping[str, Any]) -> Object | None:
    try:
        found = await api.get(reference["kind"], namespace, reference["name"])
    except errors.NotFound:
        return None
    except errors.Forbidden:
        return {"metadata": {"name": reference["name"], "uid": reference["uid"]}}
    return found if found["metadata"]["uid"] == reference["uid"] else None
