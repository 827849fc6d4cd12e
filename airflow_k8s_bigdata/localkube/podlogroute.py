"""GET pods/<name>/log: the parameters as the API server checks them, and the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web

from airflow_k8s_bigdata.localkube.defaults import containers_of
from airflow_k8s_bigdata.localkube.podlogs import LogOptions, LogUnavailable
from airflow_k8s_bigdata.localkube.requests import is_true
from airflow_k8s_bigdata.localkube.statuses import Cause, bad_request, bad_value, forbidden_field, invalid
from airflow_k8s_bigdata.localkube.store import Object
from airflow_k8s_bigdata.localkube.times import parse_time

LogSource = Callable[[Object, str, LogOptions], AsyncIterator[bytes]]


def log_options(name: str, query: Mapping[str, str]) -> LogOptions:
    """The options of a log request for the pod `name`. Raises ApiError: 400, 422."""
    causes: list[Cause] = []
    if query.get("stream", "All") != "All":
        # Kubernetes knows the option, behind a feature gate that is off where the recordings were made.
        causes.append(forbidden_field("stream", "may not be specified"))
    tail = _integer(query, "tailLines")
    since = _integer(query, "sinceSeconds")
    limit = _integer(query, "limitBytes")
    if tail is not None and tail < 0:
        causes.append(bad_value("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(bad_value("limitBytes", limit, "must be greater than 0"))
    if since is not None and query.get("sinceTime"):
        causes.append(forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since is not None and since < 1:
        causes.append(bad_value("sinceSeconds", since, "must be greater than 0"))
    if causes:
        raise invalid("PodLogOptions", name, causes)
    moment = None
    if query.get("sinceTime"):
        try:
            # The API's times have whole seconds: what is smaller is dropped (recorded).
            moment = parse_time(query["sinceTime"]).replace(microsecond=0)
        except ValueError as error:
            raise bad_request(f"sinceTime: {error}") from None
    return LogOptions(
        follow=is_true(query.get("follow")),
        timestamps=is_true(query.get("timestamps")),
        since_time=moment,
        since_seconds=since,
        tail_lines=tail,
        limit_bytes=limit,
        previous=is_true(query.get("previous")),
    )


def _integer(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name)
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


def chosen_container(pod: Object, asked: str) -> str:
    """The container whose log is meant: the one asked for, or the only one. Raises ApiError (400)."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [each["name"] for each in spec["containers"]]
    if asked:
        if asked not in {each["name"] for each in containers_of(spec)}:
            raise bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if len(names) == 1:
        return str(names[0])
    if annotated in names:
        return str(annotated)
    choices = f"[{' '.join(names)}]"
    initial = [each["name"] for each in spec.get("initContainers") or ()]
    if initial:
        choices += f" or one of the init containers: [{' '.join(initial)}]"
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: {choices}")


async def stream_log(request: web.Request, pod: Object, source: LogSource) -> web.StreamResponse:
    """Answer a log request. Raises ApiError: 400, 422."""
    options = log_options(pod["metadata"]["name"], request.query)
    container = chosen_container(pod, request.query.get("container", ""))
    try:
        chunks = source(pod, container, options)
    except LogUnavailable as error:
        raise bad_request(str(error)) from None
    response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for chunk in chunks:
        if chunk:
            await response.write(chunk)
    await response.write_eof()
    return response
