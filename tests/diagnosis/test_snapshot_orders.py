"""The snapshot keeps the newest state of each pod, in whatever order and by whatever way it comes."""

from __future__ import annotations

from made_pods import DRIVER, driver, ended, executor, running, snapshot_of, waiting
from recorded import make_event

from airflow_k8s_bigdata.objects import pods
from airflow_k8s_bigdata.objects.snapshot import EVENTS_KEPT

OLD, NEW = driver(waiting("ContainerCreating"), version=1), driver(running(), version=2)
SOMEBODY_ELSE_S = [{"kind": "Pod", "uid": "another-driver", "name": "x"}]


def test_an_older_state_does_not_replace_a_newer_one() -> None:
    snapshot = snapshot_of(NEW, OLD)
    assert snapshot.driver is NEW


def test_a_state_that_says_nothing_new_is_no_change() -> None:
    snapshot = snapshot_of(NEW)
    assert not snapshot.apply("MODIFIED", NEW)
    assert snapshot.apply("MODIFIED", driver(ended(0), version=3))


def test_a_successor_of_the_same_name_is_not_the_driver() -> None:
    successor = driver(running(), version=9)
    successor["metadata"]["uid"] = "another"
    assert not snapshot_of(NEW).apply("MODIFIED", successor)


def test_executors_of_another_driver_are_left_out() -> None:
    snapshot = snapshot_of(NEW, executor(1, running(), metadata__ownerReferences=SOMEBODY_ELSE_S))
    assert not snapshot.executors_seen


def test_how_a_vanished_executor_ended_may_be_told_later() -> None:
    snapshot = snapshot_of(NEW, executor(1, running()))
    snapshot.replace([NEW])
    assert snapshot.apply("DELETED", executor(1, ended(137, "OOMKilled"), version=5))
    assert [pods.phase_of(pod) for pod in snapshot.ended] == ["Failed"]


def test_a_driver_that_is_back_on_the_list_is_not_gone() -> None:
    snapshot = snapshot_of(OLD)
    snapshot.replace([])
    assert snapshot.driver_gone
    snapshot.apply("MODIFIED", NEW)
    assert not snapshot.driver_gone


def test_events_about_executors_make_room_for_those_about_the_driver() -> None:
    snapshot = snapshot_of(NEW, events=[make_event(NEW, number=-1, reason="Scheduled")])
    for number in range(EVENTS_KEPT + 10):
        snapshot.add_event(make_event(executor(1), number=number, reason="Pulled"))
    assert len(snapshot.events) == EVENTS_KEPT
    assert pods.events_about(NEW, snapshot.events.values())


def test_the_container_s_status_is_read_by_name() -> None:
    found = pods.container(driver(ended(3)), DRIVER)
    assert found is not None
    assert (found.state, found.exit_code, found.reason) == (pods.State.TERMINATED, 3, "Error")
