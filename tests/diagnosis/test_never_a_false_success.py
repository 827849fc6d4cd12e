"""Whatever a status says, a run succeeds only when its driver container's exit code 0 was seen."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from made_pods import DRIVER, EXECUTOR, after, disrupted, driver, executor, snapshot_of, time_after
from recorded import spark_runs

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.snapshot import Object, Snapshot
from airflow_k8s_bigdata.workloads.base import Phase
from airflow_k8s_bigdata.workloads.spark.judging import judge

TIMES = st.one_of(st.none(), st.integers(0, 200).map(after))
REASONS = st.sampled_from(
    ["", "Completed", "Error", "OOMKilled", "ContainerStatusUnknown", "StartError", "ErrImagePull"]
)
LOG = st.lists(st.sampled_from(spark_runs()["succeeds"].log + spark_runs()["executors-oom-killed"].log), max_size=30)


@st.composite
def container_states(draw: st.DrawFn) -> Object:
    kind = draw(st.sampled_from(["waiting", "running", "terminated", "none"]))
    detail: Object = {"reason": draw(REASONS), "message": draw(st.sampled_from(["", "exec: not found"]))}
    if kind == "terminated":
        code = draw(st.one_of(st.none(), st.sampled_from([0, 0, 1, 11, 52, 101, 137, 143])))
        detail |= {"startedAt": draw(TIMES), "finishedAt": draw(TIMES)} | ({} if code is None else {"exitCode": code})
    if kind == "running":
        detail |= {"startedAt": draw(TIMES)}
    return {} if kind == "none" else {kind: detail}


@st.composite
def statuses(draw: st.DrawFn, container: str) -> Object:
    states = [draw(container_states()), draw(container_states())]
    entries: list[Object] = [
        {"name": name, "state": state} for name, state in zip((container, "proxy"), states, strict=True)
    ]
    return {
        "phase": draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", None])),
        "reason": draw(st.sampled_from(["", "Evicted", "DeadlineExceeded", "OutOfcpu", "Terminated"])),
        "conditions": draw(st.sampled_from([[], disrupted("EvictionByEvictionAPI")])),
        "containerStatuses": draw(
            st.lists(st.sampled_from(entries), max_size=2, unique_by=lambda entry: str(entry["name"]))
        ),
    }


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    metadata: dict[str, Any] = {"metadata__deletionTimestamp": draw(TIMES)}
    pod = driver(None, **metadata)
    pod["status"] = draw(statuses(DRIVER))
    other = executor(1, None)
    other["status"] = draw(statuses(EXECUTOR))
    snapshot = snapshot_of(pod, other, log=draw(LOG))
    if draw(st.booleans()):
        snapshot.replace(draw(st.sampled_from([[], [other]])))
    return snapshot


def exit_code_of(snapshot: Snapshot) -> int | None:
    assert snapshot.driver is not None
    found = [one for one in snapshot.driver["status"]["containerStatuses"] if one["name"] == DRIVER]
    state: Object = found[0]["state"] if found else {}
    code: int | None = (state.get("terminated") or {}).get("exitCode")
    return code


@given(snapshot=snapshots(), seconds=st.integers(0, 100_000), limited=st.booleans())
def test_success_needs_exit_code_0(snapshot: Snapshot, seconds: int, limited: bool) -> None:
    limits = Deadlines.from_json({"queued": 60, "starting": 60, "executors": 60, "running": 60}) if limited else None
    verdict = judge(snapshot, time_after(seconds), deadlines=limits)
    if verdict.phase is Phase.SUCCEEDED:
        assert exit_code_of(snapshot) == verdict.exit_code == 0
    assert verdict.exit_code == exit_code_of(snapshot)


@given(snapshot=snapshots(), seconds=st.integers(0, 100_000))
def test_a_failure_says_why_and_a_lost_driver_is_one(snapshot: Snapshot, seconds: int) -> None:
    verdict = judge(snapshot, time_after(seconds))
    if verdict.phase is Phase.FAILED:
        assert verdict.diagnosis is not None
        assert verdict.message
    if verdict.lost:
        assert (verdict.phase, verdict.exit_code) == (Phase.FAILED, None)


@given(snapshot=snapshots(), seconds=st.integers(0, 1_000))
def test_a_deadline_lies_ahead_and_leads_somewhere(snapshot: Snapshot, seconds: int) -> None:
    limits = Deadlines.from_json({"queued": 60, "starting": 60, "executors": 60, "running": 60})
    now, verdict = time_after(seconds), judge(snapshot, time_after(seconds), deadlines=limits)
    for _ in range(5):
        if verdict.deadline is None:
            return
        assert verdict.deadline > now
        now = verdict.deadline
        verdict = judge(snapshot, now, deadlines=limits)
    assert verdict.deadline is None
