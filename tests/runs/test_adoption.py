"""What is done about drivers that a run already has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects.identity import Identity
from airflow_k8s_bigdata.runs import adoption

RUN = Identity("here", "etl", "2026-11-23", "load", epoch=3)


def driver(phase: str = "Running", *, epoch: int = 3, generation: int = 0, leaving: bool = False) -> dict[str, Any]:
    identity = replace(RUN, epoch=epoch, generation=generation)
    metadata = {"name": f"d-{epoch}-{generation}", "labels": identity.labels(), "annotations": identity.annotations()}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    return {"metadata": metadata, "status": {"phase": phase}}


def test_a_run_without_a_driver_creates_the_first_generation() -> None:
    assert adoption.decide(RUN, []) == adoption.Create(0)


def test_a_live_driver_is_adopted() -> None:
    live = driver("Pending")
    assert adoption.decide(RUN, [live]) == adoption.Adopt(live)


def test_a_succeeded_driver_is_adopted_and_not_run_again() -> None:
    done = driver("Succeeded")
    assert adoption.decide(RUN, [done]) == adoption.Adopt(done)


def test_a_failed_driver_is_never_adopted_and_the_next_generation_follows_it() -> None:
    assert adoption.decide(RUN, [driver("Failed"), driver("Failed", generation=4)]) == adoption.Create(5)


def test_a_live_driver_is_adopted_beside_failed_ones() -> None:
    live = driver("Running", generation=1)
    assert adoption.decide(RUN, [driver("Failed"), live]) == adoption.Adopt(live)


def test_after_a_clear_the_old_driver_must_go_first_whatever_its_phase() -> None:
    for phase in ("Pending", "Running", "Succeeded", "Failed"):
        old = driver(phase, epoch=2)
        assert adoption.decide(RUN, [old]) == adoption.Wait(gone=(old,), delete=(old,))


def test_a_driver_that_is_being_deleted_is_waited_for_and_not_deleted_again() -> None:
    leaving = driver("Running", leaving=True)
    assert adoption.decide(RUN, [leaving]) == adoption.Wait(gone=(leaving,), delete=())


DRIVERS = st.lists(
    st.builds(
        driver,
        st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        epoch=st.integers(1, 4),
        generation=st.integers(0, 3),
        leaving=st.booleans(),
    ),
    max_size=5,
)


@given(DRIVERS)
def test_nothing_is_created_while_a_driver_of_the_run_may_still_live(drivers: list[dict[str, Any]]) -> None:
    if isinstance(adoption.decide(RUN, drivers), adoption.Create):
        assert all(found["status"]["phase"] == "Failed" for found in drivers)


@given(DRIVERS)
def test_a_created_generation_is_new(drivers: list[dict[str, Any]]) -> None:
    decision = adoption.decide(RUN, drivers)
    if isinstance(decision, adoption.Create):
        assert decision.generation not in {adoption.generation(found) for found in drivers}
