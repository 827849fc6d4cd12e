"""One container of a pod: from its image to its exit code, and again when it is to be restarted."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube import memorywatch, podlogs, podstatus, preparing, probes
from airflow_k8s_bigdata.localkube.cgroups import Cgroup
from airflow_k8s_bigdata.localkube.commands import Command
from airflow_k8s_bigdata.localkube.events import stamp
from airflow_k8s_bigdata.localkube.machine import Machine
from airflow_k8s_bigdata.localkube.podlogs import LogPipes, LogWriter
from airflow_k8s_bigdata.localkube.podstatus import ContainerState
from airflow_k8s_bigdata.localkube.preparing import NotStartable, PodRuntime
from airflow_k8s_bigdata.localkube.sandbox import Sandbox, SandboxSpec, StartFailed

Object = dict[str, Any]

_EPOCH = "1970-01-01T00:00:00Z"
_START_ERROR = 128
_MESSAGE_BYTES = 4096
_FALLBACK_BYTES = 2048
_PIPE_SECONDS = 5.0
_STEADY_SECONDS = 600
_MOST_DOUBLINGS = 16
_HOOK_SECONDS = 24 * 3600
"""A hook has no time of its own: what ends it is the end of its container."""
_FALLBACK_LINES = 80


class NotRunning(RuntimeError):
    """A command was to be run in a container that does not run; the text is the API's."""


class Container:
    """Runs one container and keeps its `state` true.

    :param changed: called after each change of the state that others should see.
    """

    def __init__(
        self, machine: Machine, runtime: PodRuntime, state: ContainerState, changed: Callable[[], None]
    ) -> None:
        self._machine = machine
        self._runtime = runtime
        self._changed = changed
        self.state = state
        self.stopping = False
        self.writer: LogWriter | None = None
        self._sandbox: Sandbox | None = None
        self._probing: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[None] | None = None
        self._pipes: LogPipes | None = None
        self._cgroup = Cgroup([])
        self._over_limit = False
        self._variables: Mapping[str, str] = {}
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._started_at = machine.now()
        self._waits = 0
        kind = "initContainers" if state.init else "containers"
        self._field = f"spec.{kind}{{{state.name}}}"

    # Starting

    async def start(self) -> None:
        """Try once to start; the state says how it went. Nothing is started once the container is to stop."""
        if self.stopping:
            return
        try:
            image = preparing.find_image(self._machine, self.state.spec, self._event)
            spec = preparing.sandbox_spec(
                self._machine, self._runtime, self.state.spec, image, self._folder(), self._event
            )
            self._variables = spec.env
            self.state.image_id = image.id
            self.state.container_id = "containerd://" + secrets.token_hex(32)
            self._event("Normal", "Created", "Container created")
            await self._launch(spec)
        except NotStartable as problem:
            self.state.state = podstatus.waiting(problem.reason, str(problem))
        except OSError as problem:
            # The machine's own trouble, such as a full disk: said, and tried again.
            self._event("Warning", "Failed", f"Error: {problem}")
            self.state.state = podstatus.waiting("CreateContainerError", str(problem))

    def _folder(self) -> Path:
        folder = self._machine.pod_folder(self._runtime.uid) / "containers" / self.state.name / str(self.state.restarts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _launch(self, spec: SandboxSpec) -> None:
        name, uid = self.state.name, self._runtime.uid
        # As the kubelet: of earlier runs only the last keeps its log.
        self._machine.log_path(uid, name, self.state.restarts - 2).unlink(missing_ok=True)
        self._cgroup = self._machine.cgroups.create(
            f"{uid}_{name}_{self.state.restarts}", preparing.limits(self.state.spec)
        )
        self.writer = LogWriter(self._machine.log_path(uid, name, self.state.restarts))
        self._pipes = LogPipes(self.writer)
        self._started_at = self._machine.now()
        try:
            self._sandbox = await self._machine.bubblewrap.start(spec, self._cgroup, *self._pipes.ends)
        except StartFailed as error:
            self._start_failed(spec, str(error), self._pipes.rest().decode(errors="replace"))
            return
        except BaseException:
            self._pipes.rest()
            self.writer.close()
            raise
        self._pipes.release()
        self._pipes.start()
        self._ended.clear()
        self.state.state = podstatus.running(stamp(self._started_at))
        self._event("Normal", "Started", "Container started")
        self._begin_probing()
        await self._post_start(self._sandbox)

    def _start_failed(self, spec: SandboxSpec, error: str, said: str) -> None:
        message = preparing.start_error(spec.command[0], said or error)
        if self.writer is not None:
            self.writer.close()
        self._cgroup.remove()
        self._event("Warning", "Failed", f"Error: {message}")
        self.state.state = podstatus.terminated(
            _START_ERROR, "StartError", message=message, started_at=_EPOCH,
            finished_at=stamp(self._machine.now()), container_id=self.state.container_id,
        )  # fmt: skip

    # Running

    async def supervise(self) -> None:
        """See the container through to its end, with all its restarts. Call `start` before."""
        while True:
            if self._sandbox is not None:
                await self._wait(self._sandbox)
            if self.stopping or not self._wanted_again():
                self.state.finished = "terminated" in self.state.state
                self._changed()
                return
            self._changed()
            has_run = "terminated" in self.state.state
            if not await self._back_off():
                self.state.finished = "terminated" in self.state.state
                self._changed()
                return
            self.state.restarts += 1 if has_run else 0
            await self.start()
            self._changed()

    async def _wait(self, sandbox: Sandbox) -> None:
        code = await self._watched(sandbox)
        self._sandbox = None
        self._stop_probing()
        await _over(self._probing)
        if self._pipes is not None:
            await self._pipes.ended(_PIPE_SECONDS)
        killed_by_limit = self._over_limit or self._cgroup.out_of_memory_kills() > 0
        self._cgroup.remove()
        reason = "OOMKilled" if killed_by_limit else "Completed" if code == 0 else "Error"
        self.state.state = podstatus.terminated(
            code, reason, message=self._last_words(code), started_at=stamp(self._started_at),
            finished_at=stamp(self._machine.now()), container_id=self.state.container_id,
        )  # fmt: skip
        self._ended.set()

    async def _watched(self, sandbox: Sandbox) -> int:
        """Wait for the end; where the kernel enforces no memory limit, watch over it meanwhile."""
        limit = preparing.limits(self.state.spec).memory
        self._over_limit = False
        if limit is None or self._machine.cgroups.enforces_memory:
            return await sandbox.wait()
        watch = asyncio.create_task(memorywatch.exceeded(sandbox.pid, limit))

        def kill(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self._over_limit = True
                sandbox.kill()

        watch.add_done_callback(kill)
        try:
            return await sandbox.wait()
        finally:
            watch.cancel()

    def _last_words(self, code: int) -> str:
        # The container may have made it as large as the disk.
        with open(self._folder() / "message", "rb") as file:
            said = file.read(_MESSAGE_BYTES)
        fall_back = self.state.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not said and fall_back and code != 0 and self.writer is not None:
            said = podlogs.last_lines(self.writer.path, _FALLBACK_LINES)[-_FALLBACK_BYTES:]
        return said.decode(errors="replace")

    def _wanted_again(self) -> bool:
        if "terminated" not in self.state.state:
            return True
        policy = self._runtime.pod["spec"].get("restartPolicy", "Always")
        if self.state.sidecar:
            return True
        if self.state.init and policy == "Always":
            policy = "OnFailure"
        return policy == "Always" or (policy == "OnFailure" and self.state.exit_code != 0)

    async def _back_off(self) -> bool:
        """Wait before the next attempt, as long as its kind asks for. False when the container is to stop."""
        pace = self._machine.pace
        if "terminated" in self.state.state:
            return await self._restart_pause()
        reason = self.state.state["waiting"]["reason"]
        if reason != "ErrImagePull":
            return await self._pause(pace.config_retry)
        image, problem = self.state.spec["image"], self.state.state["waiting"].get("message", "")
        seconds = self._next_wait(pace.pull_retry)
        if not await self._pause(pace.pull_told):
            return False
        self._pull_back_off(image)
        if not await self._pause(max(0.0, seconds - pace.pull_told)):
            return False
        self.state.state = podstatus.waiting(
            "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {problem}'
        )
        self._changed()
        self._pull_back_off(image)
        return await self._pause(seconds)

    def _pull_back_off(self, image: str) -> None:
        self._event("Normal", "BackOff", f'Back-off pulling image "{image}"')
        self._event("Warning", "Failed", "Error: ImagePullBackOff")

    async def _restart_pause(self) -> bool:
        """The first restart comes at once, later ones after growing pauses in CrashLoopBackOff."""
        ran = (self._machine.now() - self._started_at).total_seconds()
        self._waits = 0 if ran > _STEADY_SECONDS else self._waits
        self.state.last_state = self.state.state
        if self._waits:
            seconds = self._next_wait(self._machine.pace.restart / 2)
            meta = self._runtime.pod["metadata"]
            place = f"container {self.state.name} in pod {meta['name']}_{meta['namespace']}({meta['uid']})"
            self._event("Warning", "BackOff", f"Back-off restarting failed {place}")
            told = f"back-off {seconds:g}s restarting failed container={self.state.name} "
            told += f"pod={meta['name']}_{meta['namespace']}({meta['uid']})"
            self.state.state = podstatus.waiting("CrashLoopBackOff", told)
            self._changed()
            return await self._pause(seconds)
        self._waits = 1
        return not self.stopping

    def _next_wait(self, first: float) -> float:
        seconds = min(first * float(1 << self._waits), self._machine.pace.longest)
        self._waits = min(self._waits + 1, _MOST_DOUBLINGS)
        return seconds

    async def _pause(self, seconds: float) -> bool:
        stopped = asyncio.ensure_future(self._stop.wait())
        slept = asyncio.ensure_future(self._machine.sleep(seconds))
        try:
            await asyncio.wait((stopped, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            slept.cancel()
        return not self.stopping

    # Probing

    @property
    def _probed(self) -> probes.Probed:
        """What probes and hooks see of the container."""
        address, sleep = self._runtime.facts.pod_ip, self._machine.sleep
        return probes.Probed(self.state.spec, address, self.execute, self._unhealthy, self._found, sleep)

    def _begin_probing(self) -> None:
        spec, state = self.state.spec, self.state
        state.started, state.answering = "startupProbe" not in spec, "readinessProbe" not in spec
        if any(kind in spec for kind in probes.KINDS):
            self._probing = asyncio.create_task(self._probed.run())

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()

    def _unhealthy(self, text: str) -> None:
        self._event("Warning", "Unhealthy", text)

    def _found(self, kind: str, good: bool) -> None:
        """A probe's verdict has changed: tell it, and end a container that has not started or lives no more."""
        if kind == "readinessProbe":
            self.state.answering = good
        elif good:
            self.state.started = True
        elif self._sandbox is not None:
            told = f"Container {self.state.name} failed {kind.removesuffix('Probe')} probe, will be restarted"
            self._event("Normal", "Killing", told)
            seconds = self.state.spec[kind].get("terminationGracePeriodSeconds")
            grace = self._runtime.pod["spec"].get("terminationGracePeriodSeconds", 30) if seconds is None else seconds
            kill_at = asyncio.get_running_loop().time() + float(grace)
            self._killing = asyncio.create_task(self._end(self._sandbox, lambda: kill_at))
        self._changed()

    # Stopping

    async def stop(self, kill_at: Callable[[], float]) -> None:
        """End the container: hook, SIGTERM, and SIGKILL for the whole sandbox when the time is up.

        :param kill_at: the loop's time at which patience ends; asked again and again, because it may move.
        """
        self.stopping = True
        self._stop.set()
        self._stop_probing()
        sandbox = self._sandbox
        if sandbox is None:
            return
        self._event("Normal", "Killing", f"Stopping container {self.state.name}")
        await self._end(sandbox, kill_at)

    async def _end(self, sandbox: Sandbox, kill_at: Callable[[], float]) -> None:
        await self._pre_stop(kill_at)
        sandbox.signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        while self._sandbox is sandbox and not self._ended.is_set():
            left = kill_at() - loop.time()
            if left <= 0:
                sandbox.kill()
                left = 1.0
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), min(left, 0.25))

    async def _pre_stop(self, kill_at: Callable[[], float]) -> None:
        left = kill_at() - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left)):
                problem = await self._run_hook("preStop")
                if problem is not None:
                    self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {problem}".rstrip(": "))

    async def _post_start(self, sandbox: Sandbox) -> None:
        problem = await self._run_hook("postStart")
        if problem is not None:
            self._event("Warning", "FailedPostStartHook", f"PostStartHook failed: {problem}".rstrip(": "))
            sandbox.kill()

    async def _run_hook(self, name: str) -> str | None:
        """Run one of the container's hooks; None when it succeeds or there is none, else why it failed."""
        hook = (self.state.spec.get("lifecycle") or {}).get(name) or {}
        if hook.get("sleep"):
            await self._machine.sleep(float(hook["sleep"]["seconds"]))
            return None
        return await probes.check(hook | {"timeoutSeconds": _HOOK_SECONDS}, self._probed)

    async def execute(self, command: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> Command:
        """Start a command in the running container, with its environment. Raises NotRunning.

        :param stdin: a file descriptor or one of the constants of `subprocess`, likewise stdout and stderr.
        """
        if self._sandbox is None:
            raise NotRunning(f'container not found ("{self.state.name}")')
        return await self._sandbox.spawn(command, self._variables, stdin=stdin, stdout=stdout, stderr=stderr)

    def kill(self) -> None:
        """Kill every process of the container at once."""
        self.stopping = True
        self._stop.set()
        self._stop_probing()
        if self._sandbox is not None:
            self._sandbox.kill()

    async def close(self) -> None:
        """After `kill`: see off the processes and close the log."""
        if self._sandbox is not None:
            await self._sandbox.wait()
        if self._killing is not None:
            self._killing.cancel()
        await _over(self._probing, self._killing)
        if self._pipes is not None:
            await self._pipes.ended(_PIPE_SECONDS)
        self._cgroup.remove()

    def _event(self, type_: str, reason: str, message: str) -> None:
        self._machine.events.record(self._runtime.pod, type_, reason, message, field=self._field)


async def _over(*tasks: asyncio.Task[None] | None) -> None:
    """Wait until tasks that were cancelled have seen off the processes that they had started in the container."""
    begun = [task for task in tasks if task is not None]
    if begun:
        await asyncio.wait(begun)
