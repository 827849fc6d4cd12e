"""From a container's spec to what the sandbox is told: image, environment, user, files, command.

Whatever keeps a container from being made ready is a `NotStartable` with the kubelet's reason and words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_k8s_bigdata.localkube import environment, layout, volumes
from airflow_k8s_bigdata.localkube.cgroups import Limits
from airflow_k8s_bigdata.localkube.environment import MissingReference, PodFacts
from airflow_k8s_bigdata.localkube.images import Image, InvalidImageName, NoSuchImage
from airflow_k8s_bigdata.localkube.layout import Mount
from airflow_k8s_bigdata.localkube.machine import Machine
from airflow_k8s_bigdata.localkube.quantities import parse_quantity
from airflow_k8s_bigdata.localkube.sandbox import SandboxSpec
from airflow_k8s_bigdata.localkube.volumes import MountProblem

Object = dict[str, Any]
Report = Callable[[str, str, str], None]
"""Records an event about the container: type, reason, message."""

DEFAULT_MESSAGE_PATH = "/dev/termination-log"
_NOBODY = 65534
_RUNTIME_PREFIX = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)
_EXEC_ERROR = re.compile(r"bwrap: execvp (.*): ([^:]+)", re.DOTALL)


class NotStartable(Exception):
    """The container can't be made ready; `reason` and the text are what its waiting state says."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class PodRuntime:
    """What the containers of one pod share.

    :param pod: the pod's latest version.
    :param etc: the folder of the pod's own `hosts` and `hostname` files.
    :param volumes: volume name -> file or folder of the host.
    """

    pod: Object
    facts: PodFacts
    hostname: str
    etc: Path
    volumes: dict[str, Path] = field(default_factory=dict)
    read_only: dict[str, bool] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return str(self.pod["metadata"]["uid"])


def find_image(machine: Machine, spec: Object, report: Report) -> Image:
    """The container's image, by its pull policy. Raises NotStartable."""
    reference, policy = spec["image"], spec.get("imagePullPolicy", "IfNotPresent")
    try:
        image = machine.images.image(reference)
    except InvalidImageName as error:
        report("Warning", "InspectFailed", str(error))
        report("Warning", "Failed", "Error: InvalidImageName")
        raise NotStartable("InvalidImageName", str(error)) from error
    except NoSuchImage as error:
        raise _pull_failure(reference, policy, str(error), report) from error
    if policy == "Always":
        report("Normal", "Pulling", f'Pulling image "{reference}"')
        report("Normal", "Pulled", f'Successfully pulled image "{reference}" in 0s (0s including waiting).')
    else:
        known = "already present on machine and can be accessed by the pod"
        report("Normal", "Pulled", f'Container image "{reference}" {known}')
    return image


def _pull_failure(reference: str, policy: str, problem: str, report: Report) -> NotStartable:
    if policy == "Never":
        message = f'Container image "{reference}" is not present with pull policy of Never'
        report("Warning", "ErrImageNeverPull", message)
        report("Warning", "Failed", "Error: ErrImageNeverPull")
        return NotStartable("ErrImageNeverPull", message)
    report("Normal", "Pulling", f'Pulling image "{reference}"')
    report("Warning", "Failed", f'Failed to pull image "{reference}": {problem}')
    report("Warning", "Failed", "Error: ErrImagePull")
    return NotStartable("ErrImagePull", problem)


def limits(spec: Object) -> Limits:
    """The container's memory limit and CPU weight."""
    resources = spec.get("resources") or {}
    memory = (resources.get("limits") or {}).get("memory")
    cpu = (resources.get("requests") or {}).get("cpu", 0)
    return Limits(None if memory is None else int(parse_quantity(memory)), float(parse_quantity(cpu)))


def sandbox_spec(
    machine: Machine, runtime: PodRuntime, spec: Object, image: Image, folder: Path, report: Report
) -> SandboxSpec:
    """Everything about the sandbox of one run of a container. Raises NotStartable.

    :param folder: the run's own folder, for its scratch space and its termination message.
    """
    with ExitStack() as held:
        try:
            return _prepared(machine, runtime, spec, image, folder, held)
        except (MissingReference, MountProblem, _WrongUser, ValueError) as error:
            report("Warning", "Failed", f"Error: {error}")
            raise NotStartable("CreateContainerConfigError", str(error)) from error


def _prepared(
    machine: Machine, runtime: PodRuntime, spec: Object, image: Image, folder: Path, held: ExitStack
) -> SandboxSpec:
    given = _variables(machine, runtime, spec)
    mounts = volumes.container_mounts(spec, runtime.volumes, runtime.read_only, given, held)
    if not machine.bubblewrap.binds_descriptors:
        mounts = [replace(mount, descriptor=-1) for mount in mounts]
    uid, gid = _user(runtime.pod, spec, image)
    home = "/root" if uid == 0 else f"/home/{_user_name(uid, image)}"
    own = [*_scratch(image, home, folder), *_etc(runtime, folder, _passwd(uid, image, home))]
    message = spec.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH
    own.append(Mount(folder / "message", message, writable=True))
    workdir = spec.get("workingDir") or image.workdir
    base = [*layout.host_mounts(), *layout.image_mounts(image.binds)]
    root = layout.arguments(base, [*own, *mounts], image_links=image.links, hidden=machine.settings.private_folder)
    prepared = SandboxSpec(
        command=_command(spec, image, given),
        env={"HOSTNAME": runtime.hostname, "HOME": home, **image.env, **given},
        root=[*root, *layout.make_folder([*own, *mounts], workdir)],
        hostname=runtime.hostname,
        workdir=workdir,
        uid=uid,
        gid=gid,
        # The init process belongs to the image's entry point; a pod's own command replaces both.
        init=image.init and not spec.get("command"),
        held=held.pop_all(),
    )
    _refuse_nul(prepared)
    return prepared


def _refuse_nul(spec: SandboxSpec) -> None:
    """Raise ValueError for what no process can be given; secrets and config maps may hold it."""
    for name, value in spec.env.items():
        if "\0" in name or "\0" in value:
            raise ValueError(f"environment variable {name!r} contains nul byte")
    for word in (*spec.command, spec.workdir, *spec.root):
        if "\0" in word:
            raise ValueError(f"{word!r} contains nul byte")


def _variables(machine: Machine, runtime: PodRuntime, spec: Object) -> dict[str, str]:
    namespace = runtime.pod["metadata"]["namespace"]
    return environment.container_variables(
        runtime.pod,
        spec,
        facts=runtime.facts,
        lookup=lambda resource, name: machine.store.find(resource, namespace, name),
        services=machine.service_variables(),
    )


class _WrongUser(Exception):
    """The user that the pod's security context forbids."""


def _user(pod: Object, spec: Object, image: Image) -> tuple[int, int]:
    context = {**(pod["spec"].get("securityContext") or {}), **(spec.get("securityContext") or {})}
    wanted = context.get("runAsUser")
    uid = image.user if wanted is None else int(wanted)
    if context.get("runAsNonRoot") and uid == 0:
        meta = pod["metadata"]
        place = f'(pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {spec["name"]})'
        raise _WrongUser(f"container has runAsNonRoot and image will run as root {place}")
    return uid, int(context.get("runAsGroup") or 0)


def _user_name(uid: int, image: Image) -> str:
    return image.user_name if uid == image.user else "user"


def _passwd(uid: int, image: Image, home: str) -> str:
    lines = ["root:x:0:0:root:/root:/bin/bash", f"nobody:x:{_NOBODY}:{_NOBODY}:nobody:/nonexistent:/bin/false"]
    if uid not in (0, _NOBODY):
        name = _user_name(uid, image)
        lines.append(f"{name}:x:{uid}:0:{name}:{home}:/bin/bash")
    return "\n".join([*lines, ""])


def _scratch(image: Image, home: str, folder: Path) -> list[Mount]:
    """Writable folders on disk, which a container's own file layer would give; memory is not charged for them."""
    mounts = []
    for number, target in enumerate(dict.fromkeys([*image.scratch, home])):
        source = folder / "scratch" / str(number)
        source.mkdir(parents=True, exist_ok=True)
        source.chmod(0o1777)
        mounts.append(Mount(source, target, writable=True))
    return mounts


def _etc(runtime: PodRuntime, folder: Path, passwd: str) -> list[Mount]:
    (folder / "passwd").write_text(passwd)
    (folder / "group").write_text(f"root:x:0:\nnogroup:x:{_NOBODY}:\n")
    (folder / "message").write_text("")
    mounts = [Mount(folder / name, f"/etc/{name}", writable=True) for name in ("passwd", "group")]
    return mounts + [Mount(runtime.etc / name, f"/etc/{name}", writable=True) for name in ("hosts", "hostname")]


def _command(spec: Object, image: Image, variables: Mapping[str, str]) -> list[str]:
    """The words to run: `command` replaces the image's entry point and its command, `args` the command alone."""
    command = [environment.expand(word, variables) for word in spec.get("command") or ()]
    arguments = [environment.expand(word, variables) for word in spec.get("args") or ()]
    if command:
        return command + arguments
    return [*image.entrypoint, *(arguments or image.command)] or ["sh"]


def start_error(command: str, said: str) -> str:
    """What a container runtime says for a command that can't be executed.

    :param said: what bubblewrap said.
    """
    match = _EXEC_ERROR.fullmatch(said.strip())
    if match is None:
        return _RUNTIME_PREFIX + said.strip()
    problem = match[2].lower()
    if problem == "no such file or directory":
        problem = f"stat {command}: {problem}" if "/" in command else "executable file not found in $PATH"
    return f'{_RUNTIME_PREFIX}exec: "{command}": {problem}: unknown'
