"""What is done about drivers that a run already has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_k8s_bigdata.objects.identity import TRY, Identity
from airflow_k8s_bigdata.runs import adoption, killing
from airflow_k8s_bigdata.runs.adoption import End, Found, Standing

RUN = Identity("here", "etl", "2026-11-23", "load", epoch=3, try_number=2, retries=3)
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reference" / "exactly-once.md"


PHASES = {End.NOT_YET: "Running", End.SUCCEEDED: "Succeeded", End.FAILED: "Failed"}


def driver(
    end: End = End.NOT_YET,
    *,
    epoch: int = 3,
    generation: int = 0,
    leaving: bool = False,
    recorded: bool = False,
    try_number: int = 1,
    phase: str = "",
) -> Found:
    identity = replace(RUN, epoch=epoch, generation=generation, try_number=try_number)
    metadata: dict[str, Any] = {"name": f"d-{epoch}-{generation}"}
    metadata |= {"labels": identity.labels(), "annotations": identity.annotations()}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    return Found({"metadata": metadata, "status": {"phase": phase or PHASES[end]}}, end, recorded)


def test_a_run_without_a_driver_creates_the_first_generation() -> None:
    assert adoption.decide(RUN, []) == adoption.Create(0)


def test_a_live_driver_is_adopted_whichever_try_made_it() -> None:
    live = driver(try_number=1)
    assert adoption.decide(replace(RUN, try_number=4), [live]) == adoption.Adopt(live.driver)


def test_a_succeeded_driver_is_adopted_and_not_run_again() -> None:
    done = driver(End.SUCCEEDED)
    assert adoption.decide(RUN, [done]) == adoption.Adopt(done.driver)


def test_a_failure_that_nobody_saw_is_reported_first() -> None:
    failed = driver(End.FAILED)
    assert adoption.decide(RUN, [failed]) == adoption.Report(failed.driver)


def test_a_reported_failure_is_never_adopted_and_the_next_generation_follows_it() -> None:
    reported = [driver(End.FAILED, recorded=True), driver(End.FAILED, generation=4, recorded=True)]
    assert adoption.decide(RUN, reported) == adoption.Create(5)


def test_a_live_driver_is_adopted_beside_failed_ones() -> None:
    live = driver(generation=1)
    assert adoption.decide(RUN, [driver(End.FAILED), live]) == adoption.Adopt(live.driver)


@pytest.mark.parametrize("end", End)
def test_after_a_clear_the_old_driver_must_go_first_however_it_stands(end: End) -> None:
    old = driver(end, epoch=2)
    assert adoption.decide(RUN, [old]) == adoption.Wait(gone=(old.driver,), delete=(old.driver,))


@pytest.mark.parametrize("epoch", [1, 5], ids=["with fewer retries", "with as many"])
def test_a_worker_that_was_given_up_never_touches_the_driver_of_a_later_try(epoch: int) -> None:
    newer = driver(epoch=epoch, try_number=3)
    assert adoption.decide(RUN, [driver(), newer]) == adoption.GiveUp(newer.driver)


def test_a_worker_that_was_given_up_knows_a_clear_that_kept_the_epoch() -> None:
    newer = driver(try_number=5)
    assert adoption.decide(replace(RUN, try_number=4), [newer]) == adoption.GiveUp(newer.driver)


def test_a_driver_that_is_being_deleted_is_waited_for_and_not_deleted_again() -> None:
    leaving = driver(leaving=True)
    assert adoption.decide(RUN, [leaving]) == adoption.Wait(gone=(leaving.driver,), delete=())


def test_a_living_driver_whose_end_is_recorded_already_has_to_go() -> None:
    condemned = driver(recorded=True)
    assert adoption.decide(RUN, [condemned]) == adoption.Wait(gone=(condemned.driver,), delete=(condemned.driver,))


SIDECARS: dict[str, list[dict[str, Any]]] = {
    "the main container has ended": [{"terminated": {"exitCode": 3}}, {"running": {}}],
    "the sidecar has ended": [{"running": {}}, {"terminated": {"exitCode": 0}}],
    "the sidecar has not begun": [{"terminated": {"exitCode": 3}}, {"waiting": {}}],
}


@pytest.mark.parametrize("states", SIDECARS.values(), ids=SIDECARS)
def test_a_reported_driver_with_a_container_that_runs_on_has_to_go(states: list[dict[str, Any]]) -> None:
    sidecar = driver(End.FAILED, recorded=True, phase="Running")
    statuses = [{"name": f"c{number}", "state": state} for number, state in enumerate(states)]
    sidecar.driver["status"]["containerStatuses"] = statuses
    assert not adoption.ended(sidecar.driver)
    assert adoption.decide(RUN, [sidecar]) == adoption.Wait(gone=(sidecar.driver,), delete=(sidecar.driver,))


def test_a_pod_whose_init_container_alone_has_ended_has_not() -> None:
    pod = driver(phase="Pending").driver
    pod["status"]["initContainerStatuses"] = [{"name": "i", "state": {"terminated": {"exitCode": 0}}}]
    assert not adoption.ended(pod)


def test_a_pod_is_over_when_its_phase_says_so_whatever_its_containers() -> None:
    pod = driver(End.FAILED).driver
    pod["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    assert adoption.ended(pod)


def test_the_highest_generation_is_adopted_and_the_lowest_reported_first() -> None:
    live = [driver(generation=number) for number in (1, 2, 0)]
    failed = [driver(End.FAILED, generation=number) for number in (1, 0, 2)]
    assert adoption.decide(RUN, live) == adoption.Adopt(live[1].driver)
    assert adoption.decide(RUN, failed) == adoption.Report(failed[1].driver)


@pytest.mark.parametrize(("epoch", "number"), [("x", -1), ("-1", -1), ("7", 7), (None, -1)])
def test_an_epoch_that_is_no_number_is_none(epoch: str | None, number: int) -> None:
    assert adoption.epoch({"metadata": {"labels": {"airflow-k8s-bigdata/epoch": epoch} if epoch else None}}) == number


def test_a_reported_driver_is_not_followed_by_another_before_its_pod_is_over() -> None:
    ending = driver(End.FAILED, recorded=True, phase="Running")
    ending.driver["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": {"exitCode": 3}}}]
    assert adoption.decide(RUN, [ending]) == adoption.Look()


def test_a_try_beyond_the_last_of_its_epoch_proves_a_clear_that_kept_the_epoch() -> None:
    before = driver(try_number=4)
    assert adoption.standing(replace(RUN, try_number=5), before) is Standing.OUTDATED
    assert adoption.standing(replace(RUN, try_number=4), before) is Standing.LIVE
    assert adoption.standing(replace(RUN, try_number=6), driver(try_number=5)) is Standing.LIVE


def test_a_clear_of_anything_in_the_dag_run_is_noticed() -> None:
    assert adoption.maybe_cleared(replace(RUN, clear_number=1), driver().driver)
    assert not adoption.maybe_cleared(RUN, driver().driver)


def test_a_success_that_was_recorded_is_not_the_one_of_a_clear_that_happens_to_keep_the_epoch() -> None:
    cleared = replace(RUN, clear_number=1, retries=2)
    assert adoption.standing(cleared, driver(End.SUCCEEDED, recorded=True)) is Standing.OUTDATED
    assert adoption.standing(cleared, driver(End.SUCCEEDED)) is Standing.SUCCEEDED
    assert adoption.standing(cleared, driver()) is Standing.LIVE, "a healthy job is not killed on a suspicion"


def test_a_driver_of_the_same_try_is_no_later_ones() -> None:
    assert not adoption.newer(RUN, driver(epoch=5, try_number=2).driver)
    assert adoption.newer(RUN, driver(epoch=5, try_number=3).driver)


def test_a_driver_of_an_older_release_without_annotations_is_understood() -> None:
    bare = Found({"metadata": {"name": "d", "labels": RUN.labels()}})
    assert adoption.generation(bare.driver) == 0
    assert adoption.decide(RUN, [bare]) == adoption.Adopt(bare.driver)


DRIVERS = st.lists(
    st.builds(
        driver,
        st.sampled_from(End),
        epoch=st.integers(1, 4),
        generation=st.integers(0, 3),
        leaving=st.booleans(),
        recorded=st.booleans(),
        try_number=st.integers(1, 5),
        phase=st.sampled_from(["", "Running"]),
    ),
    max_size=5,
)
TRIES = st.integers(1, 6).map(lambda number: replace(RUN, try_number=number))


@given(TRIES, DRIVERS)
def test_nothing_is_created_while_a_driver_of_the_run_may_still_live(identity: Identity, drivers: list[Found]) -> None:
    if isinstance(adoption.decide(identity, drivers), adoption.Create):
        assert all(found.end is End.FAILED and found.recorded for found in drivers)
        assert all(found.driver["status"]["phase"] == "Failed" for found in drivers)


@given(TRIES, DRIVERS)
def test_no_worker_deletes_what_a_later_try_has_made(identity: Identity, drivers: list[Found]) -> None:
    decision = adoption.decide(identity, drivers)
    if isinstance(decision, adoption.Wait):
        mine = [found for found in drivers if found.driver in decision.delete and adoption.epoch(found.driver) != 3]
        assert all(int(found.driver["metadata"]["labels"][TRY]) <= identity.try_number for found in mine)


@given(TRIES, DRIVERS)
def test_a_created_generation_is_new(identity: Identity, drivers: list[Found]) -> None:
    decision = adoption.decide(identity, drivers)
    if isinstance(decision, adoption.Create):
        assert decision.generation not in {adoption.generation(found.driver) for found in drivers}


@given(TRIES, DRIVERS)
def test_the_first_row_of_the_table_that_fits_decides(identity: Identity, drivers: list[Found]) -> None:
    standings = {adoption.standing(identity, found) for found in drivers}
    first = next(row for row in adoption.TABLE if row.standing in standings or row.standing is None)
    assert isinstance(adoption.decide(identity, drivers), first.decision)


@pytest.mark.parametrize("table", [adoption.as_markdown(), killing.as_markdown()])
def test_the_documentation_shows_the_tables_as_they_are(table: str) -> None:
    assert table in DOCUMENTATION.read_text()
