"""What is kept of pods and Events is enough for every judgement of every recorded run, and little."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from airflow_k8s_bigdata.objects import essentials, redaction
from airflow_k8s_bigdata.objects.essentials import Kept, Packed
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.workloads.base import Verdict
from airflow_k8s_bigdata.workloads.spark.judging import judge
from tests.diagnosis.recorded import Run, pod_histories, spark_runs

RUNS = {**{f"pod {name}": run for name, run in pod_histories().items()}, **spark_runs()}
LARGEST = 2000
"""Bytes of a kept pod; the recorded ones are 3000 to 9000 in the API's answers."""


def kept_pod(pod: Object) -> Kept:
    return Kept(essentials.pack_pod(msgspec.json.decode(msgspec.json.encode(pod), type=essentials.Pod)))


def kept_event(event: Object) -> Kept:
    return Kept(essentials.pack_event(msgspec.json.decode(msgspec.json.encode(event), type=essentials.Event)))


def verdicts(run: Run, *, essential: bool) -> Iterator[Verdict]:
    snapshot = run.snapshot()
    if essential:
        snapshot.events.update({uid: kept_event(event) for uid, event in snapshot.events.items()})
    for step in run.steps:
        snapshot.apply(step.type, kept_pod(step.pod) if essential else step.pod)
        yield judge(snapshot, run.time_of(step.at))


@pytest.mark.parametrize("name", RUNS)
def test_every_verdict_on_the_essentials_is_that_on_whole_objects(name: str) -> None:
    assert list(verdicts(RUNS[name], essential=True)) == list(verdicts(RUNS[name], essential=False))


@pytest.mark.parametrize("name", RUNS)
def test_a_kept_pod_is_small(name: str) -> None:
    assert max(len(kept_pod(step.pod).raw) for step in RUNS[name].steps) < LARGEST


def test_values_that_must_be_hidden_are_kept_and_no_other_environment() -> None:
    env = [{"name": "DB_PASSWORD", "value": "hunter22"}, {"name": "PATH", "value": "/bin"}]
    pod = kept_pod({"metadata": {"name": "a", "uid": "1"}, "spec": {"containers": [{"name": "main", "env": env}]}})
    assert redaction.secret_values(pod) == {"hunter22"}
    assert b"/bin" not in pod.raw


def test_a_pod_without_spec_and_status_is_kept_as_it_is() -> None:
    assert kept_pod({"metadata": {"name": "a", "uid": "1"}}) == {"metadata": {"name": "a", "uid": "1"}}


def test_packed_objects_come_back_equal_in_the_order_in_which_they_were_put() -> None:
    objects = {f"u{number}": {"metadata": {"uid": f"u{number}"}} for number in range(3)}
    packed = Packed()
    packed.update(objects)
    assert list(packed.items()) == list(objects.items())
    assert packed.pop("u1") == objects["u1"]
    assert len(packed) == 2
