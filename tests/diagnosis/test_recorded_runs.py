"""Every recorded pod history and Spark run gets the right verdict, at the right time, in any order of arrival."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import Run, last_states, pod_histories, replayed, spark_runs

from airflow_k8s_bigdata.objects.snapshot import Snapshot
from airflow_k8s_bigdata.workloads.base import Phase, Verdict
from airflow_k8s_bigdata.workloads.spark.judging import judge

DAY = 86_400

# name: (phase, category, exit code, seconds of the recording at which the verdict came)
HISTORIES = {
    "succeeds": (Phase.SUCCEEDED, None, 0, 1.29),
    "exits-3": (Phase.FAILED, "exit-code", 3, 1.32),
    "termination-message": (Phase.SUCCEEDED, None, 0, 1.35),
    "oom-killed": (Phase.FAILED, "driver-oom-killed", 137, 1.36),
    "image-never-present": (Phase.FAILED, "image-not-present", None, 1.51),
    "image-pull-fails": (Phase.FAILED, "image-registry-trouble", None, 900.51),
    "invalid-image-name": (Phase.FAILED, "image-name-invalid", None, 1.51),
    "config-map-missing": (Phase.FAILED, "config-map-missing", None, 151.51),
    "env-secret-missing": (Phase.FAILED, "secret-missing", None, 151.51),
    "command-not-found": (Phase.FAILED, "image-command-missing", 128, 1.58),
    "unschedulable-cpu": (Phase.QUEUED, "unschedulable", None, 0.51),
    "unschedulable-selector": (Phase.QUEUED, "unschedulable", None, 0.51),
    "init-container-fails": (Phase.FAILED, "init-container-failed", None, 1.62),
    "deadline-exceeded": (Phase.FAILED, "deadline-exceeded", 137, 6.8),
    "deleted-while-running": (Phase.FAILED, "driver-deleted", 143, 5.7),
    "evicted-by-api": (Phase.FAILED, "evicted", 137, 7.71),
    "sidecar-outlives-main": (Phase.SUCCEEDED, "sidecar-outlives-driver", 0, 4.79),
    # The recorded shell's `kill` failed, so it ended by itself.
    "killed-by-signal": (Phase.FAILED, "exit-code", 1, 3.8),
    "claim-missing": (Phase.FAILED, "claim-missing", None, 150.51),
}
RUNS = {
    "succeeds": (Phase.SUCCEEDED, None, 0, 33.99),
    "driver-raises": (Phase.FAILED, "app-raised", 1, 61.88),
    "task-fails": (Phase.FAILED, "app-raised", 1, 56.0),
    "driver-exits-7": (Phase.FAILED, "exit-code", 7, 39.21),
    "driver-oom-killed": (Phase.FAILED, "driver-oom-killed", 137, 39.84),
    "executors-oom-killed": (Phase.FAILED, "executors-oom-killed", 1, 49.81),
    "executor-deleted-mid-run": (Phase.SUCCEEDED, None, 0, 76.91),
    "driver-deleted-mid-run": (Phase.FAILED, "driver-deleted", 143, 35.78),
    "executors-never-scheduled": (Phase.RUNNING, "executors-never-started", None, 14.94),
    "application-file-missing": (Phase.FAILED, "main-file-missing", 2, 9.25),
    "dynamic-allocation": (Phase.SUCCEEDED, None, 0, 70.14),
}
ENDING = [(kind, name) for kind, table in (("pod", HISTORIES), ("spark", RUNS)) for name in table]


def recorded(kind: str, name: str) -> Run:
    return (pod_histories() if kind == "pod" else spark_runs())[name]


def essence(verdict: Verdict) -> tuple[Phase, str | None, int | None]:
    return verdict.phase, verdict.diagnosis.category if verdict.diagnosis else None, verdict.exit_code


def final(run: Run, snapshot: Snapshot) -> Verdict:
    """The verdict a day after the last event: nothing waits any longer."""
    return judge(snapshot, run.time_of(run.steps[-1].at + DAY))


@pytest.mark.parametrize("name", HISTORIES)
def test_a_recorded_pod_history_gets_its_verdict_in_time(name: str) -> None:
    *expected, at = HISTORIES[name]
    verdicts = list(replayed(pod_histories()[name]))
    assert essence(verdicts[-1][1]) == tuple(expected)
    assert _first(verdicts, tuple(expected)) == pytest.approx(at, abs=1.01)


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_spark_run_gets_its_verdict_in_time(name: str) -> None:
    *expected, at = RUNS[name]
    verdicts = list(replayed(spark_runs()[name]))
    assert essence(verdicts[-1][1]) == tuple(expected)
    assert _first(verdicts, tuple(expected)) == pytest.approx(at, abs=0.01)


def _first(verdicts: list[tuple[float, Verdict]], wanted: tuple[object, ...]) -> float:
    return next(at for at, verdict in verdicts if essence(verdict) == wanted)


def test_every_recorded_case_is_judged_here() -> None:
    assert set(HISTORIES) == set(pod_histories())
    assert set(RUNS) == set(spark_runs())


@pytest.mark.parametrize(("kind", "name"), ENDING)
def test_no_recorded_verdict_is_taken_back(kind: str, name: str) -> None:
    verdicts = [verdict for _, verdict in replayed(recorded(kind, name))]
    terminal = [(verdict.phase, verdict.exit_code) for verdict in verdicts if verdict.terminal]
    assert len(set(terminal)) <= 1
    assert [verdict.terminal for verdict in verdicts] == sorted(verdict.terminal for verdict in verdicts)


@pytest.mark.parametrize(("kind", "name"), ENDING)
@settings(max_examples=15)
@given(data=st.data())
def test_the_final_verdict_does_not_depend_on_the_order_of_events(kind: str, name: str, data: st.DataObject) -> None:
    run = recorded(kind, name)
    in_order, shuffled = run.snapshot(), run.snapshot()
    for step in run.steps:
        in_order.apply(step.type, step.pod)
    for step in data.draw(st.permutations(run.steps)):
        shuffled.apply(step.type, step.pod)
    assert essence(final(run, shuffled)) == essence(final(run, in_order))


@pytest.mark.parametrize(("kind", "name"), ENDING)
@settings(max_examples=15)
@given(data=st.data())
def test_watches_that_end_and_lists_that_repair_them_give_the_same_verdict(
    kind: str, name: str, data: st.DataObject
) -> None:
    run = recorded(kind, name)
    whole, broken = run.snapshot(), run.snapshot()
    seen = data.draw(st.lists(st.booleans(), min_size=len(run.steps), max_size=len(run.steps)))
    for step, heard in zip(run.steps, seen, strict=True):
        whole.apply(step.type, step.pod)
        # What shows how a deleted pod ended is gone with it: no list can bring it back.
        if heard or step.type == "DELETED":
            broken.apply(step.type, step.pod)
    broken.replace(data.draw(st.permutations(last_states(run))))
    assert essence(final(run, broken)) == essence(final(run, whole))


@pytest.mark.parametrize("name", ["deleted-while-running", "evicted-by-api"])
def test_a_driver_that_vanished_between_two_lists_is_lost(name: str) -> None:
    run = pod_histories()[name]
    snapshot = run.snapshot()
    for step in run.steps[:5]:
        snapshot.apply(step.type, step.pod)
    snapshot.replace([])
    verdict = judge(snapshot, run.time_of(60))
    assert (verdict.phase, verdict.lost, verdict.exit_code) == (Phase.FAILED, True, None)


TEAMS = {
    "succeeds": ({}, 0),
    "executors-oom-killed": ({"OOMKilled": 2}, 0),
    "executor-deleted-mid-run": ({"deleted": 1}, 0),
    "driver-raises": ({}, 0),
}


@pytest.mark.parametrize("name", TEAMS)
def test_the_executors_of_a_recorded_run_are_counted(name: str) -> None:
    verdicts = [verdict for _, verdict in replayed(spark_runs()[name])]
    last = verdicts[-1].team
    assert last is not None
    assert (last.failed, last.restarts) == TEAMS[name]
    assert max(verdict.team.running for verdict in verdicts if verdict.team) == 2
