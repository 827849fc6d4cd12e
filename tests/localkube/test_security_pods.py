"""What a pod that means harm can't do to the machine: attacks on a node of the test's own, and on copies of programs.

All of it as the user who runs the tests and, where that is root, again as one without rights.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import pytest

from airflow_k8s_bigdata.localkube import entering, layout, pythonfolders, sandbox, volumes
from airflow_k8s_bigdata.localkube.layout import Mount
from airflow_k8s_bigdata.localkube.pythonfolders import PrivatePlace, python_folders
from airflow_k8s_bigdata.localkube.sealed import SealedProgram
from airflow_k8s_bigdata.localkube.volumes import MountProblem
from tests.localkube import node_support as k
from tests.localkube.ordinary_user import as_ordinary_user

pytestmark = pytest.mark.real

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = ("nsenter", "bwrap")
CATCH = """
import errno, os, sys, time
# Looks at the program of each process that comes by, and tries to change it when it is one of the copies.
copies, seen = sys.argv[1], set()
print("looking", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            place = os.readlink(f"/proc/{pid}/exe")
            caught = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
        except OSError:
            continue
        if place in seen:
            os.close(caught)
            continue
        seen.add(place)
        print("caught", place, flush=True)
        if not place.startswith((copies, "/memfd:")):
            continue
        while time.monotonic() < end:
            try:
                os.write(os.open(f"/proc/self/fd/{caught}", os.O_WRONLY), b"#!/bin/sh\\n")
                print("changed", place, flush=True)
                break
            except OSError as error:
                if error.errno != errno.ETXTBSY:
                    print("refused", errno.errorcode[error.errno], flush=True)
                    break
                time.sleep(0.01)
print("done", flush=True)
"""


@pytest.fixture
async def cluster(tmp_path: Path) -> Any:
    async with k.running_node(tmp_path / "node") as (store, node):
        yield store, node


async def run(node: Any, pod: Any, *command: str, stdin: bytes = b"") -> tuple[str, int]:
    process = await node.execute(pod, "main", list(command), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate(stdin)
    return (output + errors).decode(), process.returncode


# The host's programs


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's programs that localkube may use, as copies that an attack may change."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in PROGRAMS:
        shutil.copy(str(shutil.which(program)), folder / program)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


async def test_a_pod_cannot_change_the_programs_that_enter_it(copies: Path, tmp_path: Path) -> None:
    before = {name: (copies / name).read_bytes() for name in PROGRAMS}
    path = {"name": "PATH", "value": f"{copies}:/usr/bin:/bin"}
    held = "import time; time.sleep(1)"
    async with k.running_node(tmp_path / "node") as (store, node):
        command = [sys.executable, "-I", "-c", CATCH, str(copies), "8"]
        store.create("pods", k.pod_object("a", command, container={"image": "python", "env": [path]}))
        pod = await k.started(store, "a")
        await k.said(node, pod, "looking")
        fifo = await run(node, pod, "mkfifo", "/tmp/hold")
        assert fifo[1] == 0
        # Whatever program enters the container is asked to start itself once more and to stay.
        waits = asyncio.ensure_future(run(node, pod, "/proc/self/exe", "--mount=/tmp/hold", "true"))
        await run(node, pod, "/proc/self/exe", "-I", "-c", held)
        await run(node, pod, "bash", "-c", "exec 3<>/tmp/hold; sleep 0.5")
        await waits
        log = await k.output(store, node, "a")
        await run_again(store, node)
    assert "changed" not in log
    assert {name: (copies / name).read_bytes() for name in PROGRAMS} == before


async def run_again(store: Any, node: Any) -> None:
    """The next command, which would run what an attacker has put in place."""
    k.create(store, "b", "sleep 900; true")
    assert await run(node, await k.started(store, "b"), "echo", "as ever") == ("as ever\n", 0)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_sealed_program_can_be_run_and_not_be_written_to(program: str) -> None:
    sealed = SealedProgram.of(Path(str(shutil.which(program))))
    assert subprocess.run([sealed.executable, "--version"], capture_output=True, check=False).returncode == 0
    with pytest.raises(PermissionError):
        os.write(sealed.descriptor, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(sealed.descriptor, 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(sealed.descriptor, fcntl.F_ADD_SEALS, 0)
    sealed.close()


RIGHTS = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status | tr -d '\\n\\t'"
NONE = "".join(f"Cap{kind}:{0:016x}" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")) + "NoNewPrivs:1"


@pytest.mark.parametrize("user", [0, 1234])
async def test_neither_containers_nor_commands_in_them_have_a_capability(cluster: Any, user: int) -> None:
    store, node = cluster
    k.create(store, "a", f"{RIGHTS}; echo; sleep 900", securityContext={"runAsUser": user})
    pod = await k.started(store, "a")
    await k.said(node, pod, NONE)
    assert await run(node, pod, "bash", "-c", RIGHTS) == (NONE, 0)


async def test_root_in_a_command_cannot_make_a_read_only_mount_writable(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "sleep 900; true")
    pod = await k.started(store, "a")
    _, code = await run(node, pod, "bash", "-c", "mount -o remount,rw,bind /usr || mount -t tmpfs x /tmp")
    assert code != 0


async def test_the_container_s_environment_is_not_that_of_a_program_of_the_host(cluster: Any, tmp_path: Path) -> None:
    store, node = cluster
    # The dynamic loader writes where this says, and would do so on the host, too.
    env = [{"name": "LD_DEBUG", "value": "libs"}, {"name": "LD_DEBUG_OUTPUT", "value": str(tmp_path / "loader")}]
    store.create("pods", k.pod_object("a", ["sleep", "900"], container={"env": env}))
    await run(node, await k.started(store, "a"), "true")
    assert not [name for name in os.listdir(tmp_path) if name.startswith("loader")]


async def test_containers_have_shared_memory_of_their_own(cluster: Any) -> None:
    store, node = cluster
    k.create(store, "a", "readlink /proc/self/ns/ipc; sleep 900")
    pod = await k.started(store, "a")
    assert (await run(node, pod, "readlink", "/proc/self/ns/ipc"))[0].strip() != os.readlink("/proc/self/ns/ipc")


async def test_commands_get_input_give_output_and_exit_codes(cluster: Any) -> None:
    store, node = cluster
    env = [{"name": "WHO", "value": "a=b\nc"}]
    spec = {"env": env, "workingDir": "/work"}
    store.create("pods", k.pod_object("a", ["sleep", "900"], container=spec))
    pod = await k.started(store, "a")
    assert await run(node, pod, "bash", "-c", 'cat; echo "$WHO"; pwd; exit 7', stdin=b"x\n") == (
        "x\na=b\nc\n/work\n",
        7,
    )
    assert (await run(node, pod, "bash", "-c", "kill -9 $$"))[1] == 137
    assert await run(node, pod, "ghost") == (
        'exec failed: unable to start container process: exec: "ghost": executable file not found in $PATH\n',
        entering.NOT_FOUND,
    )
    assert (await run(node, pod, "/etc"))[1] == entering.NOT_EXECUTABLE
    # The interpreter that enters a container ignores it.
    assert (await run(node, pod, "bash", "-c", "grep SigIgn /proc/self/status"))[0].split() == ["SigIgn:", "0" * 16]


async def test_a_command_that_is_cut_off_ends_in_the_container_too(cluster: Any) -> None:
    store, node = cluster
    word = f"987650.{os.getpid()}"
    k.create(store, "a", "sleep 900; true")
    pod = await k.started(store, "a")
    process = await node.execute(pod, "main", k.bash(f"sleep {word}; true"), stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    await k.happened(lambda: k.runs(word))
    await sandbox.cut_off(process)
    await k.happened(lambda: not k.runs(word))


async def test_a_probe_that_says_too_much_is_cut_short(cluster: Any) -> None:
    store, _ = cluster
    probe = {"exec": {"command": k.bash("head -c 50000000 /dev/zero | tr '\\0' x; exit 1")}, "timeoutSeconds": 60}
    k.create(store, "a", "sleep 900; true", container={"readinessProbe": probe})
    await k.happened(lambda: "Unhealthy" in k.reasons(store, "a"))
    told = [event["message"] for event in store.list("events", k.NAMESPACE) if event["reason"] == "Unhealthy"]
    assert len(told[0]) < 11_000


# Words that become arguments


@pytest.mark.parametrize(
    "container",
    [
        {"env": [{"name": "A", "value": "x\0--bind\0/\0/host"}]},
        {"env": [{"name": "A\0B", "value": "x"}]},
        {"workingDir": "/tmp\0--bind\0/\0/host"},
        {"terminationMessagePath": "/tmp/x\0--bind\0/\0/host"},
        {"volumeMounts": [{"name": "v", "mountPath": "/data\0--bind\0/\0/host"}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/data", "subPath": "a\0b"}]},
        {"volumeMounts": [{"name": "v", "mountPath": "/data", "subPathExpr": "a\0b"}]},
        {"command": ["bash", "-c", "true\0false"]},
        {"args": ["a\0b"]},
    ],
)
async def test_a_nul_byte_adds_no_argument_to_a_sandbox(cluster: Any, container: Any) -> None:
    store, _ = cluster
    pod = k.pod_object(
        "a", k.bash("ls /host && sleep 900"), container=container, volumes=[{"name": "v", "emptyDir": {}}]
    )
    store.create("pods", pod)
    assert await waiting(store) == "CreateContainerConfigError"


async def waiting(store: Any, name: str = "a") -> str:
    """Why the pod's container waits."""

    def reason(pod: Any) -> str:
        state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        return str((state.get("waiting") or {}).get("reason", "")).replace("ContainerCreating", "")

    found = await k.until(store, name, lambda pod: bool(reason(pod)) or pod["status"]["phase"] != "Pending", 30)
    return reason(found)


@pytest.mark.parametrize(("kind", "source"), [("ConfigMap", "configMapRef"), ("Secret", "secretRef")])
async def test_binary_data_in_the_environment_adds_no_argument(cluster: Any, kind: str, source: str) -> None:
    store, node = cluster
    data = {"A": base64.b64encode(b"x\0--bind\0/\0/host").decode()}
    meta = {"name": "c", "namespace": k.NAMESPACE}
    field = "binaryData" if kind == "ConfigMap" else "data"
    store.create({"ConfigMap": "configmaps", "Secret": "secrets"}[kind], {"kind": kind, "metadata": meta, field: data})
    k.create(store, "a", "ls /host; echo $A.", container={"envFrom": [{source: {"name": "c"}}]})
    if kind == "Secret":
        assert await waiting(store) == "CreateContainerConfigError"
    else:
        # As the kubelet, which puts a config map's binary data into files alone.
        # Its two streams come in any order.
        assert "." in (await k.output(store, node, "a")).splitlines()


@pytest.mark.parametrize("words", [["--setenv", "A", "x\0--bind\0/\0/host"], ["\0"]])
def test_the_list_of_arguments_itself_takes_no_nul_byte(words: list[str]) -> None:
    with pytest.raises(ValueError, match="must not contain NUL bytes"):
        sandbox.joined(words)
    with pytest.raises(ValueError, match="must not contain NUL bytes"):
        entering.order(words, {}, workdir="/", user_namespace=True, processes=0)


# Paths

ODD_PATHS = ["/../oldroot{}/made", "/proc/self/root/oldroot{}/made", "/dev/fd/../../oldroot{}/made"]


@pytest.mark.parametrize("path", [*ODD_PATHS, "/dev/fd/9/made", "/" + "a" * 300, "relative/../x"])
@pytest.mark.parametrize("field", ["workingDir", "terminationMessagePath", "mountPath"])
async def test_odd_paths_make_nothing_on_the_host_and_keep_the_pod_from_starting(
    cluster: Any, tmp_path: Path, path: str, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, _ = cluster
    place = path.format(tmp_path)
    container = {"volumeMounts": [{"name": "v", "mountPath": place}]} if field == "mountPath" else {field: place}
    store.create("pods", k.pod_object("a", ["true"], container=container, volumes=[{"name": "v", "emptyDir": {}}]))
    # A working directory that is not there is found missing at the start itself.
    pod = await k.until(store, "a", settled, 30)
    assert pod["status"]["phase"] != "Succeeded"
    assert not (tmp_path / "made").exists()
    assert "Traceback" not in caplog.text


def settled(pod: Any) -> bool:
    state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
    return "terminated" in state or str((state.get("waiting") or {}).get("reason")).startswith("CreateContainer")


@pytest.mark.parametrize("field", ["workingDir", "mountPath", "subPath"])
async def test_a_link_in_a_volume_leads_nowhere_on_the_host(cluster: Any, tmp_path: Path, field: str) -> None:
    store, _ = cluster
    (tmp_path / "volume").mkdir()
    for name, target in (("host", f"/oldroot{tmp_path}"), ("up", "../"), ("far", str(tmp_path))):
        (tmp_path / "volume" / name).symlink_to(target)
    volume = {"name": "v", "hostPath": {"path": str(tmp_path / "volume")}}
    for number, link in enumerate(("host", "up", "far")):
        outer: Any = {"name": "v", "mountPath": "/data"}
        place = f"/data/{link}/made"
        container: Any = {"volumeMounts": [outer]}
        if field == "workingDir":
            container["workingDir"] = place
        elif field == "mountPath":
            container["volumeMounts"] = [outer, {"name": "e", "mountPath": place}]
        else:
            outer["subPath"] = f"{link}/made"
        pod = k.pod_object(f"p{number}", ["true"], container=container, volumes=[volume, {"name": "e", "emptyDir": {}}])
        store.create("pods", pod)
        await k.until(store, f"p{number}", settled, 30)
    assert not (tmp_path / "made").exists()


async def test_a_volume_may_be_mounted_within_another(cluster: Any) -> None:
    store, node = cluster
    mounts = [{"name": "v", "mountPath": "/data"}, {"name": "e", "mountPath": "/data/deep/er"}]
    container = {"volumeMounts": mounts, "workingDir": "/data/work"}
    two = [{"name": name, "emptyDir": {}} for name in ("v", "e")]
    k.create(store, "a", "touch /data/deep/er/x; find /data | sort; pwd", container=container, volumes=two)
    assert (await k.output(store, node, "a")).split() == [
        "/data", "/data/deep", "/data/deep/er", "/data/deep/er/x", "/data/work", "/data/work",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["a", "link/../a", "link", "deep/link"])
def test_a_sub_path_is_opened_where_it_is_and_not_where_it_leads_later(tmp_path: Path, path: str) -> None:
    (tmp_path / "v/deep").mkdir(parents=True)
    (tmp_path / "v/link").symlink_to(tmp_path)
    (tmp_path / "v/deep/link").symlink_to("../../")
    try:
        found = volumes.sub_path(tmp_path / "v", path)
    except MountProblem:
        assert path != "a"
    else:
        assert os.readlink(f"/proc/self/fd/{found}") == str(tmp_path / "v/a")
        os.close(found)


@pytest.mark.parametrize("path", ["../x", "..", "..data/x", "/x", "a\0b", "a/" * 3000, ""])
def test_a_path_in_a_volume_s_items_ends_as_a_mount_problem(tmp_path: Path, path: str) -> None:
    pod = {"metadata": {"name": "a", "namespace": "n", "uid": "u"}, "spec": {"containers": []}}
    item = {"path": path, "fieldRef": {"fieldPath": "metadata.name"}}
    own = volumes.PodVolumes(
        pod, tmp_path, lookup=lambda *_: None, claims=lambda _: None, token=str, private=tmp_path / "private"
    )
    with pytest.raises(MountProblem):
        own.prepare({"name": "v", "downwardAPI": {"items": [item]}}, k_facts())


def k_facts() -> Any:
    from airflow_k8s_bigdata.localkube.environment import PodFacts

    return PodFacts("127.1.2.3", "127.0.0.1", 4, 8 << 30)


# What a pod may read


@pytest.mark.parametrize("inside", ["", "keys", "deep/er"])
async def test_a_host_path_into_localkube_s_own_folder_is_refused(cluster: Any, tmp_path: Path, inside: str) -> None:
    store, _ = cluster
    (tmp_path / "link").symlink_to(tmp_path / "node")
    for number, path in enumerate((tmp_path / "node" / inside, tmp_path / "link" / inside)):
        k.create(store, f"p{number}", "true", **k.with_volume({"hostPath": {"path": str(path)}}))
        await k.happened(lambda name=f"p{number}": "FailedMount" in k.reasons(store, name))


@pytest.mark.parametrize("write", [False, True])
async def test_a_host_path_around_localkube_s_own_folder_does_not_show_it(
    cluster: Any, tmp_path: Path, write: bool
) -> None:
    store, node = cluster
    secret = tmp_path / "node" / "owner-token"
    secret.write_text("hunter2")
    script = "cat /data/node/owner-token; ls -A /data/node; touch /data/node/x; umount /data/node; echo end"
    k.create(store, "a", script, **k.with_volume({"hostPath": {"path": str(tmp_path)}}, readOnly=not write))
    output = await k.output(store, node, "a")
    assert "hunter2" not in output
    assert output.endswith("end\n")
    assert not (tmp_path / "node" / "x").exists()


def test_a_python_in_a_home_gives_its_program_and_prefix_alone(tmp_path: Path) -> None:
    home, prefix = tmp_path / "me", tmp_path / "me/.local/share/uv/python/cpython-3.11"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python3.11").touch()
    (home / ".local/bin").mkdir()
    (home / ".local/bin/python3.11").symlink_to(prefix / "bin/python3.11")
    (home / "venv/bin").mkdir(parents=True)
    (home / "venv/bin/python").symlink_to(home / ".local/bin/python3.11")
    found = python_folders(home / "venv/bin/python", [home / "venv", prefix], [], [home])
    assert found.folders == (prefix, home / "venv")
    assert found.links == {f"{home}/.local/bin/python3.11": str(prefix / "bin/python3.11")}


@pytest.mark.parametrize("prefix", [".local", ""])
def test_a_prefix_that_is_a_home_gives_its_programs_and_libraries_alone(tmp_path: Path, prefix: str) -> None:
    place = tmp_path / "me" / prefix
    for name in ("bin", "lib", "share/keyrings"):
        (place / name).mkdir(parents=True)
    (place / "bin/python").touch()
    assert python_folders(place / "bin/python", [place], [], [tmp_path / "me"]).folders == (
        place / "bin",
        place / "lib",
    )


@pytest.mark.parametrize("source", ["", "me"])
def test_sources_that_are_a_home_are_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(PrivatePlace, match="holds a home folder"):
        python_folders(Path("/usr/bin/python3"), [], [tmp_path / source], [tmp_path / "me"])


async def test_links_of_an_image_are_there_in_the_container(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, node = cluster
    python = pythonfolders.PythonFolders((), {"/me/.local/bin/tool": "/usr/bin/env"})
    monkeypatch.setattr("airflow_k8s_bigdata.localkube.images.this_python", lambda: python)
    store.create("pods", k.pod_object("a", k.bash("readlink /me/.local/bin/tool"), container={"image": "python"}))
    assert await k.output(store, node, "a") == "/usr/bin/env\n"


def test_what_is_hidden_is_covered_in_every_mount_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "a/b/secret").mkdir(parents=True)
    mounts = [Mount(tmp_path, "/one"), Mount(tmp_path / "a", "/two", writable=True), Mount(Path("/usr"), "/usr")]
    words = layout.arguments([], mounts, hidden=tmp_path / "a/b/secret")
    covered = [word for flag, word in itertools.pairwise(words) if flag == "--tmpfs"]
    assert covered == ["/one/a/b/secret", "/two/b/secret"]


# What a pod may use up


async def test_a_huge_termination_message_is_not_read_whole(cluster: Any) -> None:
    store, _ = cluster
    script = "echo why > /dev/termination-log; truncate -s 2G /dev/termination-log"
    k.create(store, "a", f"{script}; exit 3")
    before = peak()
    assert k.ended(await k.finished(store, "a"))["message"].startswith("why\n")
    assert peak() - before < 200 << 20


def peak() -> int:
    """Bytes of memory that this process has used at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) << 10


async def test_a_fork_bomb_ends_at_a_number(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, node = cluster
    for module in ("cgroups", "sandbox"):
        monkeypatch.setattr(f"airflow_k8s_bigdata.localkube.{module}.MOST_PROCESSES", 60)
    script = "for i in $(seq 200); do sleep 900 & done; ls -d /proc/[0-9]* | wc -l"
    k.create(store, "a", f"({script}) 2>&1; echo end; sleep 900", container={})
    pod = await k.started(store, "a")
    k.create(store, "other", "echo runs")
    assert await k.output(store, node, "other") == "runs\n"
    await k.happened(lambda: "Resource temporarily unavailable" in tail(node, pod), 60)


def tail(node: Any, pod: Any) -> str:
    path = node._machine.log_path(pod["metadata"]["uid"], "main", 0)
    return str(path.read_text()) if path.exists() else ""


async def test_folders_without_permissions_go_with_their_pod(cluster: Any, tmp_path: Path) -> None:
    store, _ = cluster
    script = "mkdir -p /data/a/b/c; touch /data/a/b/c/f; ln -s / /data/a/l; chmod 000 /data/a/b/c /data/a/b /data/a"
    pod = k.create(store, "a", script, **k.with_volume({"emptyDir": {}}))
    await k.finished(store, "a")
    store.remove("pods", k.NAMESPACE, "a")
    await k.happened(lambda: not (tmp_path / "node/pods" / pod["metadata"]["uid"]).exists())


# The same as a user without rights


@pytest.mark.skipif(
    os.geteuid() != 0 or bool(os.environ.get("LOCALKUBE_TESTS_AGAIN")), reason="it is that user already"
)
def test_all_of_this_holds_for_an_ordinary_user(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path}/again",
        __file__,
    ]
    words = as_ordinary_user(command, writable=tmp_path, folder=REPOSITORY)
    environment = os.environ | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    found = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-1000:]
