"""A driver that does not run yet, and one that runs without executors: what it waits for, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from made_pods import (
    driver,
    ended,
    executor,
    normal,
    queued,
    running,
    time_after,
    unbound,
    verdict_of,
    waiting,
    warning,
)

from airflow_k8s_bigdata.objects.deadlines import Deadlines
from airflow_k8s_bigdata.objects.snapshot import Object
from airflow_k8s_bigdata.workloads.base import Phase, Verdict

MINUTE = timedelta(minutes=1)
NO_ROOM = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available."
NOT_FOUND = 'failed to resolve reference "docker.io/acme/ghost:1": docker.io/acme/ghost:1: not found'
DENIED = "failed to pull: pull access denied, repository does not exist or may require authorization"
LIMITED = "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit, access denied"
STOPPED = "26/11/23 16:54:32 INFO SparkContext: Successfully stopped SparkContext (Uptime: 22391 ms)"

QUEUED = {
    "unschedulable": queued("Unschedulable", NO_ROOM),
    "queue-waiting": queued("SchedulingGated", "gated", spec__schedulingGates=[{"name": "kueue.x-k8s.io/admission"}]),
    "claim-not-bound": queued(
        "Unschedulable", "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    ),
    "claim-missing": queued("Unschedulable", 'persistentvolumeclaim "data" not found'),
}
SKIPPED = queued("SchedulingSkipped", "the pod group has no quota yet")


@pytest.mark.parametrize("category", QUEUED)
def test_waiting_for_a_node_is_queued_and_not_failed(category: str) -> None:
    verdict = verdict_of(QUEUED[category], seconds=5)
    assert (verdict.phase, _category(verdict)) == (Phase.QUEUED, category)


@pytest.mark.parametrize(
    "text", ["pod group is not ready, 1 Pending, 2 minAvailable", "queue resource quota insufficient"]
)
def test_gang_schedulers_are_understood(text: str) -> None:
    assert _category(verdict_of(queued("Unschedulable", text))) == "queue-waiting"


def test_the_message_says_what_is_lacking_and_what_is_asked_for() -> None:
    message = verdict_of(QUEUED["unschedulable"]).message
    assert "3 Insufficient memory" in message
    assert "it asks for cpu 0.2, memory 984Mi" in message
    assert "(since 16:54:04Z)" in message


def test_the_message_does_not_change_while_nothing_does() -> None:
    assert (
        verdict_of(QUEUED["unschedulable"], seconds=5).message
        == verdict_of(QUEUED["unschedulable"], seconds=500).message
    )


def test_the_limit_for_queueing_ends_the_wait_with_what_it_waited_for() -> None:
    limits = Deadlines(queued=MINUTE)
    before = verdict_of(QUEUED["unschedulable"], seconds=59, deadlines=limits)
    after = verdict_of(QUEUED["unschedulable"], seconds=60, deadlines=limits)
    assert (before.phase, after.phase, _category(after)) == (Phase.QUEUED, Phase.FAILED, "unschedulable")
    assert "gave up after 0:01:00 (Deadlines.queued)" in after.message


def test_a_limit_tells_when_to_judge_again() -> None:
    verdict = verdict_of(QUEUED["unschedulable"], seconds=10, deadlines=Deadlines(queued=MINUTE))
    assert verdict.deadline is not None
    assert verdict_of(QUEUED["unschedulable"], seconds=60, deadlines=Deadlines(queued=MINUTE)).terminal


NO_WORD = {
    "queued-too-long": unbound(driver(None, status__conditions=[])),
    "starting-too-long": driver(waiting("ContainerCreating")),
}


@pytest.mark.parametrize("category", NO_WORD)
def test_a_limit_that_passes_without_a_known_cause_has_its_own_category(category: str) -> None:
    verdict = verdict_of(NO_WORD[category], deadlines=Deadlines(queued=MINUTE, starting=MINUTE))
    assert (verdict.phase, _category(verdict)) == (Phase.FAILED, category)


STARTING = {
    "image-name-invalid": (waiting("InvalidImageName", "couldn't parse image name"), 0),
    "image-not-present": (waiting("ErrImageNeverPull", "not present with pull policy of Never"), 0),
    "image-not-found": (waiting("ErrImagePull", NOT_FOUND), 20),
    "image-pull-denied": (waiting("ImagePullBackOff", DENIED), 20),
    "secret-missing": (waiting("CreateContainerConfigError", "couldn't find key password in Secret spark/db"), 150),
    "config-map-missing": (waiting("CreateContainerConfigError", 'configmap "settings" not found'), 150),
    "container-not-created": (waiting("CreateContainerConfigError", "container has runAsNonRoot"), 150),
    "claim-missing": (waiting("CreateContainerError", 'persistentvolumeclaim "data" not found'), 150),
    "image-command-missing": (waiting("RunContainerError", 'exec: "tini": executable file not found in $PATH'), 150),
}


@pytest.mark.parametrize("category", STARTING)
def test_a_hopeless_start_fails_after_its_grace(category: str) -> None:
    state, grace = STARTING[category]
    fails = verdict_of(driver(state), seconds=grace)
    assert (fails.phase, _category(fails), fails.lost) == (Phase.FAILED, category, False)
    if grace:
        waits = verdict_of(driver(state), seconds=grace - 1)
        assert (waits.phase, _category(waits)) == (Phase.STARTING, category)


@pytest.mark.parametrize("category", [word for word in STARTING if word.startswith("image-n")])
def test_a_wrong_image_fails_in_less_than_30_seconds(category: str) -> None:
    verdict = verdict_of(driver(STARTING[category][0]), seconds=29)
    assert (verdict.phase, _category(verdict)) == (Phase.FAILED, category)


IMAGE = "registry.acme.example/" + "data-platform/" * 12 + "orders:1"
PULL = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
FORBIDDEN = "unexpected status from HEAD request to https://registry.acme.example/v2/manifests/1: 403 Forbidden"


def _pull_events(pod: Object, reason: str = FORBIDDEN, *, tries: int = 3) -> list[Object]:
    """What the kubelet says of so many tries: the same three events, counted up."""
    failed = warning(pod, "Failed", f'Failed to pull image "{IMAGE}": {PULL}{reason}', first=2, last=2 + 20 * tries)
    error = warning(pod, "Failed", "Error: ErrImagePull", first=3, last=3 + 20 * tries)
    back_off = warning(pod, "BackOff", f'Back-off pulling image "{IMAGE}"', first=5, last=1 + 20 * tries)
    for number, event in enumerate((failed, error, back_off)):
        event["metadata"] = {**event["metadata"], "uid": f"pull-{number}", "name": f"pull-{number}"}
    return [failed, error, {**back_off, "type": "Normal"}]


STATES = {
    "trying": waiting("ErrImagePull", f"rpc error: code = Unknown desc = {PULL}{FORBIDDEN}"),
    "backing off": waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": ErrImagePull: {PULL}{FORBIDDEN}'),
    "backing off, before 1.32": waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"'),
    "between": waiting("ContainerCreating"),
    "without a word": {},
}


@pytest.mark.parametrize("tries", [1, 2, 5])
@pytest.mark.parametrize("state", STATES)
def test_an_image_that_can_not_be_pulled_is_one_trouble_at_every_try(state: str, tries: int) -> None:
    pod = driver(STATES[state])
    verdict = verdict_of(pod, events=_pull_events(pod, tries=tries), seconds=15)
    assert (verdict.phase, _category(verdict)) == (Phase.STARTING, "image-pull-denied")
    assert verdict.message.endswith("403 Forbidden (since 16:54:06Z)")
    assert verdict.deadline == time_after(22)


def test_a_pod_that_has_lost_its_container_statuses_between_two_tries_still_waits_for_its_image() -> None:
    pod = driver(None)
    assert _category(verdict_of(pod, events=_pull_events(pod), seconds=15)) == "image-pull-denied"


@pytest.mark.parametrize(("reason", "seconds"), [("Pulled", 70), ("Created", 70), ("Started", 70), ("Pulled", 63)])
def test_an_image_that_came_at_last_is_no_trouble(reason: str, seconds: float) -> None:
    pod = driver(waiting("ContainerCreating"))
    pulled = normal(pod, reason, "Successfully pulled image", last=seconds)
    assert verdict_of(pod, events=[*_pull_events(pod), pulled], seconds=71).diagnosis is None


def test_an_image_that_has_to_be_pulled_again_is_trouble_again() -> None:
    pod = driver(waiting("ContainerCreating"))
    verdict = verdict_of(pod, events=[normal(pod, "Pulled", last=1), *_pull_events(pod)], seconds=15)
    assert _category(verdict) == "image-pull-denied"


@pytest.mark.parametrize("reason", ["Failed", "BackOff", "ErrImagePull", "ImagePullBackOff", "FailedPull"])
def test_any_event_of_a_failed_pull_tells_of_it(reason: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    event = warning(pod, reason, f'Back-off pulling image "x": ErrImagePull: {NOT_FOUND}')
    assert _category(verdict_of(pod, events=[event], seconds=15)) == "image-not-found"


def test_an_event_that_is_of_no_failed_pull_is_no_trouble() -> None:
    pod = driver(waiting("ContainerCreating"))
    events = [normal(pod, "Pulling", 'Pulling image "x"'), warning(pod, "Failed", "Error: no such device")]
    assert verdict_of(pod, events=events, seconds=15).diagnosis is None


def test_another_container_s_image_is_not_confused_with_the_driver_s() -> None:
    pod = driver(waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"'))
    other = warning(pod, "Failed", f"Failed to pull image: {NOT_FOUND}", last=300, container="proxy", number=9)
    verdict = verdict_of(pod, events=[*_pull_events(pod), other], seconds=15)
    assert (_category(verdict), "403 Forbidden" in verdict.message) == ("image-pull-denied", True)
    assert NOT_FOUND not in str(verdict.diagnosis)


def test_a_container_that_has_done_its_work_is_waited_for_no_more() -> None:
    pod = driver(
        waiting("ContainerCreating"),
        spec__initContainers=[{"name": "before"}],
        status__initContainerStatuses=[{"name": "before", "state": ended(0)}],
    )
    verdict = verdict_of(pod, seconds=600)
    assert (verdict.phase, verdict.diagnosis) == (Phase.STARTING, None)


def test_the_port_of_a_try_makes_no_new_message() -> None:
    text = "dial tcp: lookup r.example on 10.96.0.10:53: read udp 10.244.0.3:{}->10.96.0.10:53: i/o timeout"
    one, two = (verdict_of(driver(waiting("ErrImagePull", text.format(port))), seconds=5) for port in (43678, 51234))
    assert one.message == two.message


def test_an_init_container_that_takes_long_is_no_trouble() -> None:
    pod = driver(
        waiting("PodInitializing"),
        spec__initContainers=[{"name": "before"}],
        status__initContainerStatuses=[{"name": "before", "state": running()}],
    )
    verdict = verdict_of(pod, seconds=600)
    assert (verdict.phase, verdict.diagnosis) == (Phase.STARTING, None)


def test_an_image_of_another_architecture_is_named_before_it_has_run() -> None:
    state = waiting(
        "RunContainerError", 'failed to create containerd task: exec "/opt/entrypoint.sh": exec format error'
    )
    assert _category(verdict_of(driver(state), seconds=150)) == "image-architecture-mismatch"


@pytest.mark.parametrize("text", [LIMITED, "503 Service Unavailable", "dial tcp: lookup r.example: no such host", ""])
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"])
def test_registry_trouble_is_waited_for(text: str, reason: str) -> None:
    verdict = verdict_of(driver(waiting(reason, text)), seconds=600)
    assert (verdict.phase, _category(verdict)) == (Phase.STARTING, "image-registry-trouble")
    assert f"its image can't be pulled: {text or reason} (since" in verdict.message


def test_a_back_off_that_says_nothing_is_explained_by_its_event() -> None:
    pod = driver(waiting("ImagePullBackOff", 'Back-off pulling image "acme/ghost:1"'))
    verdict = verdict_of(pod, events=[warning(pod, "Failed", f"Failed to pull image: {NOT_FOUND}")], seconds=15)
    assert _category(verdict) == "image-not-found"


def test_trying_and_backing_off_read_the_same() -> None:
    trying = verdict_of(driver(waiting("ErrImagePull", NOT_FOUND)), seconds=5)
    backing = verdict_of(
        driver(waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {NOT_FOUND}')), seconds=5
    )
    assert trying.message == backing.message


IN_EVENTS = {
    "config-map-missing": ("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "ghost" not found'),
    "secret-missing": ("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "ghost" not found'),
    "claim-missing": ("FailedMount", 'persistentvolumeclaim "ghost" not found'),
    "volume-not-mounted": ("FailedAttachVolume", "Multi-Attach error for volume pvc-1"),
    "sandbox-not-created": ("FailedCreatePodSandBox", "failed to setup network for sandbox"),
}


@pytest.mark.parametrize("category", IN_EVENTS)
def test_troubles_that_only_events_tell_are_found(category: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    verdict = verdict_of(pod, events=[warning(pod, *IN_EVENTS[category])], seconds=20)
    assert (verdict.phase, _category(verdict)) == (Phase.STARTING, category)


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume", "FailedMapVolume"])
def test_a_volume_fails_in_several_ways(reason: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    assert _category(verdict_of(pod, events=[warning(pod, reason, "device is busy")])) == "volume-not-mounted"


@pytest.mark.parametrize("category", ["config-map-missing", "secret-missing", "claim-missing"])
def test_what_is_missing_is_waited_for_only_so_long(category: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    failed = warning(pod, *IN_EVENTS[category])
    assert verdict_of(pod, events=[failed], seconds=149).phase is Phase.STARTING
    assert verdict_of(pod, events=[failed], seconds=150).phase is Phase.FAILED
    assert (verdict_of(QUEUED["claim-missing"], seconds=149).phase) is Phase.QUEUED
    assert (verdict_of(QUEUED["claim-missing"], seconds=150).phase) is Phase.FAILED


MISSING = {
    'configmap "ghost" not found': "config-map-missing",
    "couldn't find key k in ConfigMap etl/ghost": "config-map-missing",
    "configmap references non-existent config key: ghost": "config-map-missing",
    'secret "ghost" not found': "secret-missing",
    "couldn't find key k in Secret etl/ghost": "secret-missing",
    "references non-existent secret key: ghost": "secret-missing",
    'persistentvolumeclaim "ghost" not found': "claim-missing",
}


@pytest.mark.parametrize("words", MISSING)
def test_what_is_missing_is_named_however_the_kubelet_words_it(words: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    mount = verdict_of(pod, events=[warning(pod, "FailedMount", f"MountVolume.SetUp failed: {words}")])
    start = verdict_of(driver(waiting("CreateContainerConfigError", words)))
    assert (_category(mount), _category(start)) == (MISSING[words], MISSING[words])
    assert "ghost" in mount.message
    assert "ghost" in start.message


def test_a_config_map_that_the_submitter_is_about_to_make_is_no_trouble() -> None:
    pod = driver(waiting("ContainerCreating"))
    text = 'MountVolume.SetUp failed for volume "spark-conf-volume-driver" : configmap "c" not found'
    assert verdict_of(pod, events=[warning(pod, "FailedMount", text, last=9)], seconds=10).diagnosis is None
    assert verdict_of(pod, events=[warning(pod, "FailedMount", text, last=10)], seconds=10).diagnosis is not None
    late = verdict_of(pod, events=[warning(pod, "FailedMount", text, last=600)], seconds=600)
    assert (late.phase, _category(late)) == (Phase.STARTING, "config-map-missing")


@pytest.mark.parametrize("reason", ["Pulling", "Pulled", "Created", "Started"])
def test_a_mount_that_failed_before_the_image_s_turn_came_is_over(reason: str) -> None:
    pod = driver(waiting("ContainerCreating"))
    failed = warning(pod, *IN_EVENTS["config-map-missing"], last=6)
    for seconds, over in ((5, False), (6, True), (7, True)):
        verdict = verdict_of(pod, events=[failed, normal(pod, reason, last=seconds)], seconds=20)
        assert (verdict.diagnosis is None) is over


WAITING_EXECUTOR = executor(
    1, None, status__conditions=QUEUED["unschedulable"]["status"]["conditions"], spec__nodeName=""
)


def test_a_driver_without_executors_runs_with_a_word_about_it() -> None:
    verdict = verdict_of(driver(running()), WAITING_EXECUTOR, instances=2)
    assert (verdict.phase, _category(verdict)) == (Phase.RUNNING, "executors-never-started")
    assert "0 of 2 executors running, 1 pending" in verdict.message
    assert "Insufficient memory" in verdict.message


def test_the_limit_for_executors_releases_the_driver() -> None:
    verdict = verdict_of(driver(running()), WAITING_EXECUTOR, deadlines=Deadlines(executors=MINUTE))
    assert (verdict.phase, _category(verdict)) == (Phase.FAILED, "executors-never-started")


def test_the_limit_for_executors_is_for_the_first_one_only() -> None:
    gone = [executor(2, ended(0))]
    verdict = verdict_of(driver(running()), WAITING_EXECUTOR, gone=gone, deadlines=Deadlines(executors=MINUTE))
    assert (verdict.phase, _category(verdict)) == (Phase.RUNNING, "unschedulable")


def test_executors_that_were_never_even_created_count_as_never_started() -> None:
    limits = Deadlines(executors=MINUTE)
    verdict = verdict_of(driver(running()), instances=2, deadlines=limits)
    assert _category(verdict) == "executors-never-started"
    assert verdict_of(driver(running()), instances=0, deadlines=limits).phase is Phase.RUNNING


CREATION = {
    "service-account-lacks-verb": 'WARN X: pods is forbidden: User "u" cannot create resource "pods"',
    "namespace-terminating": "unable to create new content in namespace etl because it is being terminated",
    "quota-too-small": 'pods "a-exec-1" is forbidden: exceeded quota: q, requested: cpu=4, used: cpu=0, limited: cpu=2',
    "quota-exceeded": 'pods "a-exec-1" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2',
}


@pytest.mark.parametrize("category", CREATION)
def test_executors_that_the_driver_may_not_create_are_explained_by_its_log(category: str) -> None:
    verdict = verdict_of(driver(running()), log=[CREATION[category]])
    assert (verdict.phase, _category(verdict)) == (Phase.RUNNING, category)


def test_a_queue_that_skips_a_pod_is_waited_for() -> None:
    assert _category(verdict_of(SKIPPED, seconds=5)) == "queue-waiting"


def test_an_old_warning_about_resources_does_not_stay() -> None:
    line = "26/11/23 16:54:33 WARN TaskSchedulerImpl: Initial job has not accepted any resources; check your cluster UI"
    log = [line, *(f"26/11/23 16:54:4{second} INFO DAGScheduler: line" for second in range(5))]
    assert verdict_of(driver(running()), executor(1, running()), log=log).diagnosis is None


def test_a_driver_in_phase_unknown_is_on_a_silent_node() -> None:
    assert _category(verdict_of(driver(running(), status__phase="Unknown"))) == "node-lost"


def test_a_jvm_that_hangs_at_its_limit_for_running_is_called_that() -> None:
    gone = [executor(1, ended(0, at=30))]
    verdict = verdict_of(driver(running()), gone=gone, log=[STOPPED], deadlines=Deadlines(running=MINUTE))
    assert (verdict.phase, _category(verdict)) == (Phase.FAILED, "driver-hangs")


def test_executors_that_run_unused_are_reported() -> None:
    line = "26/11/23 16:54:33 WARN TaskSchedulerImpl: Initial job has not accepted any resources; check your cluster UI"
    verdict = verdict_of(driver(running()), executor(1, running()), log=[line])
    assert _category(verdict) == "no-resources-accepted"


def test_a_driver_on_a_silent_node_is_reported() -> None:
    ready = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
    verdict = verdict_of(driver(running(), status__conditions=[ready]))
    assert (verdict.phase, _category(verdict)) == (Phase.RUNNING, "node-lost")


def test_the_limit_for_running_ends_a_run() -> None:
    verdict = verdict_of(driver(running()), deadlines=Deadlines(running=MINUTE))
    assert (verdict.phase, _category(verdict)) == (Phase.FAILED, "deadline-exceeded")


def test_a_jvm_that_goes_on_after_its_context_is_reported() -> None:
    verdict = verdict_of(driver(running()), gone=[executor(1, ended(0, at=30))], log=[STOPPED])
    assert (verdict.phase, _category(verdict)) == (Phase.RUNNING, "driver-hangs")


def test_a_jvm_that_hangs_is_ended_by_its_limit() -> None:
    limits = Deadlines(stopped=timedelta(seconds=65))
    verdict = verdict_of(driver(running()), gone=[executor(1, ended(0, at=30))], log=[STOPPED], deadlines=limits)
    assert (verdict.phase, _category(verdict)) == (Phase.FAILED, "driver-hangs")


def test_a_driver_that_has_just_stopped_its_context_does_not_hang() -> None:
    verdict = verdict_of(driver(running()), gone=[executor(1, ended(0, at=99))], log=[STOPPED])
    assert (verdict.phase, verdict.diagnosis) == (Phase.RUNNING, None)


def test_limits_survive_json() -> None:
    limits = Deadlines(queued=MINUTE, starting=None, stopped=timedelta(seconds=1.5))
    assert Deadlines.from_json(limits.to_json()) == limits


def _category(verdict: Verdict) -> str:
    assert verdict.diagnosis is not None
    return verdict.diagnosis.category
