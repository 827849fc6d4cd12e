"""One deferred job for each way in which a Kubernetes API fails, all of them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.chaos.proxy import Proxy, Rule
from tests.chaos.runs_of_airflow import Begin, Run, counted, counting

LIMIT = 180
"""Deadline of starting and running, in seconds, in the DAG `deferred_in_time`: for jobs whose clocks differ by more."""
RESTART = 40
"""Seconds that an API needs at most to be there again: what creates a driver waits for little more than that."""
TIMED = ("ahead", "behind")


@dataclass
class Faults:
    """The jobs, by the name of what befalls them, which is also that of the Airflow connection to their proxy.

    :param outage: for how many seconds the API is away or throttles.
    :param seconds: how long each driver runs; it prints a line every second.
    """

    NAMES: ClassVar = (
        *("restarting", "throttling", "forgetful", "half_open", "stale", "expiring", "forbidding", "ahead", "behind"),
    )

    proxies: Mapping[str, Proxy]
    kubeconfigs: Mapping[str, Path]
    namespace: str
    outage: float
    seconds: int
    refusals: int = 7
    runs: dict[str, Run] = field(default_factory=dict)

    def seconds_of(self, name: str) -> int:
        """How long its driver runs: less than its deadline, where that is what is tried."""
        return min(self.seconds, LIMIT // 2) if name in TIMED else self.seconds

    def lines(self, name: str) -> list[str]:
        return counted(self.seconds_of(name))

    def begin(self, begin: Begin) -> None:
        """Start the jobs, and strike each as soon as it is followed; some things befall them from the start."""
        proxies, restart = self.proxies, min(self.outage, RESTART)
        proxies["restarting"].rules.append(
            Rule(method="POST", path="/pods", drop="before", call=lambda: proxies["restarting"].go_down(restart))
        )
        slower = {"status": 429, "headers": {"Retry-After": "1"}}
        proxies["throttling"].rules.append(Rule(method="POST", path="/pods", times=self.refusals, **slower))
        for path in ("/events", "/log", "watch=true"):
            proxies["forbidding"].rules.append(Rule(method="GET", path=path, times=None, status=403))
        for name in self.NAMES:
            dag_id = "deferred_in_time" if name in TIMED else "deferred_once"
            command = counting(self.seconds_of(name), held=name not in TIMED)
            self.runs[name] = begin(dag_id, command, by=name)
        with ThreadPoolExecutor(len(self.NAMES)) as threads:
            for struck in [threads.submit(self._strike, name) for name in self.NAMES if name not in TIMED]:
                struck.result()

    def _strike(self, name: str) -> None:
        """Do to it what befalls it while it is followed, and let its driver go on."""
        proxy, run = self.proxies[name], self.runs[name].running().followed_by_trigger()
        match name:
            case "restarting":
                proxy.go_down(self.outage)
            case "throttling":
                proxy.hit_for(self.outage, Rule(times=None, status=429, headers={"Retry-After": "1"}))
            case "forgetful":
                proxy.rules.append(Rule(path="watch=true", times=3, status=410))
            case "half_open":
                proxy.go_silent(self.outage)
            case "stale":
                proxy.rules.append(Rule(path="watch=true", times=1, status=410))
                proxy.rules.append(Rule(path="watch=true", times=1, before=outdated(run.driver())))
            case "expiring":
                proxy.renew(self.kubeconfigs[name], namespace=self.namespace)
        if name in ("throttling", "forgetful", "stale", "expiring"):
            proxy.cut()
        run.let_go()

    def ended(self, name: str) -> Run:
        """The job, at its good end."""
        run = self.runs[name]
        assert run.until("success", "failed", seconds=self.seconds + 900) == "success", f"{name}: {run.log()}"
        return run


def outdated(driver: dict[str, Any]) -> bytes:
    """What a watch tells that lags behind: that the driver had not started, and that there was none."""
    old = {**driver, "metadata": {**driver["metadata"], "resourceVersion": "1"}, "status": {"phase": "Pending"}}
    return b"".join(json.dumps({"type": type_, "object": old}).encode() + b"\n" for type_ in ("MODIFIED", "DELETED"))
