"""A Kubernetes API that fails in every way that it is known to, under a real triggerer.

One deferred job per fault, each by a proxy of its own, all at once: waiting is most of what they do. The numbers are
those of scenarios, see docs/reference/exactly-once.md.
"""

from __future__ import annotations

import re

import pytest

from tests.chaos.faults import LIMIT, TIMED, Faults
from tests.chaos.scenarios import Struck

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

PHASES = re.compile(r"^(Submitted|Queued|Starting|Running|Draining|Succeeded|Failed): ", re.MULTILINE)


@pytest.fixture(scope="module", autouse=True)
def beside(short_faults: Faults, struck: Struck) -> None:
    """The runs of `test_under_airflow` go on beside these: waiting is most of what both do."""


@pytest.mark.parametrize("fault", [name for name in Faults.NAMES if name not in ("half_open", "forbidding")])
def test_22_23_24_26_27_50_the_job_succeeds_at_once_and_its_log_is_whole(faults: Faults, fault: str) -> None:
    run = faults.ended(fault)
    assert run.lines() == faults.lines(fault)
    assert (run.instance()["try_number"], len(run.created()), run.max_live) == (1, 1, 1)


@pytest.mark.parametrize("fault", ["forgetful", "stale"])
def test_24_26_no_phase_is_told_again_after_a_new_list(faults: Faults, fault: str) -> None:
    told = PHASES.findall(faults.ended(fault).log())
    assert told == sorted(set(told), key=told.index)
    assert told[-1] == "Succeeded"


def test_22_23_the_creation_of_the_driver_was_hit_too(faults: Faults) -> None:
    posts = [path for method, path in faults.proxies["throttling"].requests if method == "POST" and "/pods" in path]
    assert len(posts) > faults.refusals
    assert [method for method, path in faults.proxies["restarting"].requests if "/pods?" in path].count("POST") > 1


def test_27_the_old_token_was_refused(faults: Faults) -> None:
    faults.ended("expiring")
    assert faults.proxies["expiring"].refused > 0


def test_28_without_rights_to_events_logs_and_watch_the_end_is_right_with_one_warning_each(faults: Faults) -> None:
    log = faults.ended("forbidding").log()
    for words in ("events can't be read", "pods can't be watched", "can't be read for now"):
        assert log.count(words) == 1, words


@pytest.mark.parametrize("fault", TIMED)
def test_50_no_deadline_passes_because_clocks_differ(faults: Faults, fault: str) -> None:
    seconds = faults.ended(fault).result()["seconds"]
    assert 0 <= seconds["Starting"] < LIMIT
    assert faults.seconds_of(fault) - 5 <= seconds["Running"] < LIMIT
