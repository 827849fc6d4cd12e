"""The last lines of a container's log: for who goes on behind them, and for who wants to know why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_k8s_bigdata import errors
from airflow_k8s_bigdata.kube import paths
from airflow_k8s_bigdata.objects.loglines import PREFIX, STAMP, Cursor, LineFeed, Piece

if TYPE_CHECKING:
    from airflow_k8s_bigdata.kube.api import Api
    from airflow_k8s_bigdata.kube.logs import Source

_BYTES = 1 << 20


async def read(api: Api, namespace: str, source: Source, *, count: int, until: Cursor | None = None) -> list[str]:
    """The text of lines at the log's end, at most so many. Nothing when they can't be had: gone, forbidden.

    :param until: only lines that were read when the cursor was where it is.
    """
    path = paths.of("Pod", namespace, source.pod) + "/log"
    params = {"container": source.container, "timestamps": "true"}
    params |= {"tailLines": str(count), "limitBytes": str(_BYTES)}
    try:
        async with api.stream(path, params, action=f"read the end of the log of {namespace}/{source.pod}") as body:
            items = LineFeed(Cursor()).feed(await body.read())
    except errors.ClusterError:
        return []
    lines = [line for item in items if not isinstance(item, Piece) for line in item]
    if until is not None:
        lines = [line for line in lines if line[:STAMP].decode() <= until.stamp]
    return [line[PREFIX:].decode(errors="backslashreplace") for line in lines]
