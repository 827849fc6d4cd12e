"""The pure parts of the API server, each by itself: selectors, patches, field owners, quantities, watches, times."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.localkube import applying
from airflow_k8s_bigdata.localkube.patching import merge_patch, strategic_merge
from airflow_k8s_bigdata.localkube.protobuf import decode_protobuf
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.registry import Target
from airflow_k8s_bigdata.localkube.requests import parse_request
from airflow_k8s_bigdata.localkube.resources import PODS
from airflow_k8s_bigdata.localkube.schemas import canonical_quantity
from airflow_k8s_bigdata.localkube.selectors import parse_fields, parse_labels
from airflow_k8s_bigdata.localkube.statuses import ApiError
from airflow_k8s_bigdata.localkube.store import Store, copied
from airflow_k8s_bigdata.localkube.times import human_duration, parse_time
from airflow_k8s_bigdata.localkube.views import Shape, Views
from airflow_k8s_bigdata.localkube.watching import Watcher, watch_request

Object = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.dictionaries(WORDS, inner, min_size=1, max_size=3),
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=4)


def accepts(selector: str, labels: dict[str, str]) -> bool:
    return all(term.accepts(labels) for term in parse_labels(selector))


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("app=spark", True),
        ("app==spark,role!=driver", True),
        ("app in (spark, flink)", True),
        ("app notin (spark)", False),
        ("missing notin (x)", True),
        ("missing!=x", True),
        ("size>3", True),
        ("size<3", False),
        ("empty=", True),
        ("example.com/app", False),
    ],
)
def test_a_label_selector_takes_what_kubernetes_takes(selector: str, taken: bool) -> None:
    assert accepts(selector, {"app": "spark", "size": "5", "empty": ""}) is taken


@pytest.mark.parametrize("selector", ["=x", "a=b,", "a in x", "a in (b", "a b", "a=b c", "a>x", "-a", "a=-b", "in("])
def test_a_broken_label_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_labels(selector)
    assert refused.value.code == 400


@given(st.text(alphabet="ab=!,()<> in/", max_size=20))
def test_a_label_selector_is_parsed_or_refused_and_nothing_else(selector: str) -> None:
    with contextlib.suppress(ApiError):
        assert isinstance(parse_labels(selector), list)


@pytest.mark.parametrize("selector", ["spec.image=x", "metadata.name", "metadata.labels.app=x"])
def test_a_field_that_is_not_indexed_cannot_be_selected_by(selector: str) -> None:
    with pytest.raises(ApiError):
        parse_fields(selector, "pods")


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_from_one_object_to_another_arrives(old: Object, new: Object) -> None:
    assert merge_patch(old, difference(old, new)) == new


def difference(old: Object, new: Object) -> Object:
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = difference(old[key], value)
        else:
            patch[key] = value
    return patch


@given(OBJECTS, OBJECTS)
def test_a_strategic_merge_without_lists_is_a_merge_patch(target: Object, patch: Object) -> None:
    assert strategic_merge(target, patch) == merge_patch(target, patch)


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ([{"name": "a", "v": 1}], [{"name": "b"}], [{"name": "a", "v": 1}, {"name": "b"}]),
        ([{"name": "a"}, {"name": "b"}], [{"name": "a", "$patch": "delete"}], [{"name": "b"}]),
        ([{"name": "a"}], [{"name": "b"}, {"$patch": "replace"}], [{"name": "b"}]),
    ],
)
def test_a_strategic_merge_follows_its_directives(target: Any, patch: Any, merged: Any) -> None:
    assert strategic_merge({"env": target}, {"env": patch}) == {"env": merged}


def test_a_strategic_merge_replaces_lists_without_keys() -> None:
    assert strategic_merge({"args": ["a"]}, {"args": ["b"]}) == {"args": ["b"]}


@given(OBJECTS, OBJECTS)
def test_what_is_applied_is_in_the_result_and_owned(live: Object, wanted: Object) -> None:
    manager = applying.Manager("m", "Apply", "v1")
    result = applying.apply({"metadata": {}, **live}, wanted, manager, force=True, now="now")
    mine = applying.leaves(wanted)
    assert {path: value for path, value in applying.leaves(result).items() if path in mine} == mine
    assert applying.owners(result).get(manager, set()) == set(mine)


@given(OBJECTS, OBJECTS)
def test_applying_less_takes_away_what_only_the_manager_owned(first: Object, second: Object) -> None:
    manager = applying.Manager("m", "Apply", "v1")
    once = applying.apply({"metadata": {}}, first, manager, force=False, now="now")
    twice = applying.apply(once, second, manager, force=False, now="now")
    assert set(applying.leaves(twice)) - set(applying.leaves(second)) <= {(f"f:{key}",) for key in first}


@given(OBJECTS, OBJECTS)
def test_what_an_update_changed_is_found(old: Object, new: Object) -> None:
    changed, gone = applying.changes({"metadata": {}, **old}, {"metadata": {}, **new})
    before, after = applying.leaves(old), applying.leaves(new)
    assert changed == {path for path in after if path not in before or before[path] != after[path]}
    assert gone <= set(before) - set(after)


@given(st.integers(0, 10**12), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "u"]))
def test_a_canonical_quantity_is_the_same_amount(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert parse_quantity(canonical_quantity(text)) == parse_quantity(text)
    assert canonical_quantity(canonical_quantity(text)) == canonical_quantity(text)


@pytest.mark.parametrize(
    ("given_as", "canonical"),
    [("1024Mi", "1Gi"), ("0.5", "500m"), ("1000m", "1"), ("1.5Gi", "1536Mi"), ("1433Mi", "1433Mi"), ("2000", "2k")],
)
def test_quantities_are_written_as_kubernetes_writes_them(given_as: str, canonical: str) -> None:
    assert canonical_quantity(given_as) == canonical


@given(st.decimals(min_value=0, max_value=10**6, places=12))
def test_tiny_fractions_are_rounded_up(amount: Decimal) -> None:
    assert amount <= parse_quantity(canonical_quantity(f"{amount:f}")) <= amount + Decimal("1e-9")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(11, "11s"), (119, "119s"), (330, "5m30s"), (3600, "60m"), (10800, "3h"), (100000, "27h"), (400000, "4d15h")],
)
def test_ages_are_shown_as_kubectl_shows_them(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def test_a_time_with_nine_digits_keeps_six() -> None:
    assert parse_time("2026-01-01T00:00:00.123456789Z") == NOW.replace(microsecond=123456)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    with contextlib.suppress(ApiError):
        assert isinstance(decode_protobuf(b"k8s\x00" + data), dict)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p/log", ("get", "pods", "n", "p", "log")),
        ("GET", "/api/v1/namespaces/n", ("get", "namespaces", "n", "n", "")),
        ("PUT", "/api/v1/namespaces/n/finalize", ("update", "namespaces", "n", "n", "finalize")),
        ("DELETE", "/apis/apps/v1/namespaces/n/deployments", ("deletecollection", "deployments", "n", "", "")),
        ("GET", "/api/v1/watch/namespaces/n/pods", ("watch", "pods", "n", "", "")),
    ],
)
def test_a_path_tells_verb_and_resource(method: str, path: str, expected: tuple[str, ...]) -> None:
    info = parse_request(method, path, {})
    assert (info.verb, info.plural, info.namespace, info.name, info.subresource) == expected


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still, and jumps to the next timer when nothing else is to do."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


async def bookmark_times(**query: str) -> list[int]:
    """When a watch on which nothing happens gets bookmarks, in seconds since its start."""
    clock = asyncio.get_running_loop().time
    watcher = Watcher(Store(revision=5), Views(lambda: NOW), clock)
    request = watch_request(Target(PODS, "n"), Shape.WHOLE, {"resourceVersion": "5", **query})
    began = clock()
    return [round(clock() - began) async for batch in watcher.run(request) if b'"BOOKMARK"' in batch[0]]


@pytest.mark.parametrize(
    ("query", "times"),
    [
        ({"timeoutSeconds": "200", "allowWatchBookmarks": "true"}, [60, 120, 180, 198]),
        ({"timeoutSeconds": "75", "allowWatchBookmarks": "true"}, [60, 73]),
        ({"timeoutSeconds": "3", "allowWatchBookmarks": "true"}, []),
        ({"timeoutSeconds": "200"}, []),
    ],
)
def test_a_quiet_watch_gets_a_bookmark_every_minute_and_one_before_its_end(query: Object, times: list[int]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        assert runner.run(bookmark_times(**query)) == times


def test_a_past_list_is_what_it_was() -> None:
    store = Store(now=lambda: NOW)
    states = []
    for number in range(6):
        store.create("pods", {"metadata": {"namespace": "n", "name": f"p{number}"}})
        if number % 2:
            store.remove("pods", "n", f"p{number - 1}")
        states.append((store.revision, copied(store.list("pods", "n"))))
    assert [store.list_at("pods", "n", revision) for revision, _ in states] == [found for _, found in states]


def test_every_state_of_an_object_keeps_its_own_version() -> None:
    store = Store(now=lambda: NOW)
    store.create("pods", {"metadata": {"namespace": "n", "name": "p"}, "status": {"step": 0}})
    for step in (1, 2, 3):
        store.change("pods", "n", "p", lambda pod, step=step: pod["status"].update(step=step))
    versions = [int(event.object["metadata"]["resourceVersion"]) for event in store.events_since(0)]
    assert versions == [event.revision for event in store.events_since(0)] == [1, 2, 3, 4]


def test_pods_share_what_is_alike_and_nothing_else() -> None:
    store = Store(now=lambda: NOW)
    names = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    first, second = (
        store.create("pods", {"metadata": {"namespace": "n", "name": name}, "spec": {"env": names, "of": name}})
        for name in ("p", "q")
    )
    assert second["spec"]["env"] is first["spec"]["env"]
    assert (first["spec"]["of"], second["spec"]["of"]) == ("p", "q")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]


def test_a_stored_object_shares_what_did_not_change_with_its_past() -> None:
    store = Store(now=lambda: NOW)
    first = store.create("pods", {"metadata": {"namespace": "n", "name": "p"}, "spec": {"big": [1, 2]}})
    second = store.replace("pods", first | {"status": {"phase": "Running"}})
    assert second["spec"] is first["spec"]
