"""Commands in running containers: what starts them, what they get of the machine, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_k8s_bigdata.localkube import sandbox
from tests.localkube import node_support as k

pytestmark = pytest.mark.real

NAMESPACES = ("mnt", "pid", "ipc", "uts", "user")


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[tuple[Any, Any]]:
    """A node and a pod that runs on it."""
    async with k.running_node(tmp_path / "node") as (store, node):
        k.create(store, "a", "sleep 900; true")
        yield node, await k.started(store, "a")


async def run(pod: tuple[Any, Any], *command: str, stdin: int = DEVNULL) -> tuple[str, int]:
    process = await pod[0].execute(pod[1], "main", list(command), stdin=stdin, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    return output.decode(), process.returncode


def entering() -> psutil.Process:
    """The process that starts commands: the one of this process's children that runs the program."""
    found = [child for child in psutil.Process().children() if any("entering" in word for word in child.cmdline())]
    assert len(found) == 1
    return found[0]


async def test_one_process_starts_all_commands(pod: Any) -> None:
    await run(pod, "true")
    first = entering().pid
    assert await run(pod, "echo", "again") == ("again\n", 0)
    assert entering().pid == first
    # Nothing of the commands is left.
    await k.happened(lambda: not entering().children())


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may look at a process that can't be inspected")
async def test_what_starts_commands_joins_no_container(pod: Any) -> None:
    await run(pod, "true")
    for name in NAMESPACES:
        assert os.readlink(f"/proc/{entering().pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}")
        assert (await run(pod, "readlink", f"/proc/self/ns/{name}"))[0].strip() != os.readlink(f"/proc/self/ns/{name}")


async def test_a_command_holds_no_file_but_its_own_streams(pod: Any) -> None:
    # The last one is that of the folder which is being listed.
    assert (await run(pod, "ls", "/proc/self/fd"))[0].split() == ["0", "1", "2", "3"]


async def test_a_command_is_in_the_container_s_control_groups(pod: Any) -> None:
    groups = Path(f"/proc/{main_pid(pod)}/cgroup")
    assert (await run(pod, "cat", "/proc/self/cgroup"))[0] == await asyncio.to_thread(groups.read_text)


def main_pid(pod: Any) -> int:
    """The host's number of the container's main process."""
    container = pod[0]._running_container(pod[1]["metadata"]["uid"], "main")
    return int(container._sandbox.pid)


async def test_commands_go_on_when_what_starts_them_has_been_killed(pod: Any) -> None:
    await run(pod, "true")
    killed = entering()
    process = await pod[0].execute(pod[1], "main", k.bash("sleep 1; exit 7"), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    await k.happened(killed.children)
    killed.kill()
    assert await process.wait() == 7
    await sandbox.cut_off(process)
    assert await run(pod, "echo", "as ever") == ("as ever\n", 0)


async def test_a_command_is_killed_when_what_waits_for_it_is(pod: Any) -> None:
    word = f"987651.{os.getpid()}"
    process = await pod[0].execute(pod[1], "main", ["sleep", word], stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    await k.happened(lambda: k.runs(word))
    entering().children()[0].kill()
    assert await process.wait() == sandbox.KILLED
    await k.happened(lambda: not k.runs(word))
    await sandbox.cut_off(process)


async def test_a_command_ends_with_its_container(pod: Any) -> None:
    process = await pod[0].execute(pod[1], "main", ["sleep", "900"], stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    await k.happened(lambda: entering().children())
    os.kill(main_pid(pod), signal.SIGKILL)
    assert await process.wait() == sandbox.KILLED
    await sandbox.cut_off(process)


async def test_many_commands_at_once_keep_their_own_streams_and_codes(pod: Any) -> None:
    found = await asyncio.gather(*(run(pod, "bash", "-c", f"echo {each}; exit {each}") for each in range(40)))
    assert found == [(f"{each}\n", each) for each in range(40)]


async def test_no_descriptor_is_left_of_a_command(pod: Any) -> None:
    await run(pod, "true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await run(pod, "cat", stdin=PIPE)
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_input_that_nobody_reads_does_not_keep_a_command_from_ending(pod: Any) -> None:
    process = await pod[0].execute(pod[1], "main", ["true"], stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    assert await process.communicate(b"x" * (1 << 20)) == (b"", b"")
    assert process.returncode == 0


@pytest.mark.parametrize("path", [None, "", "/usr/bin", "/nowhere:/usr/bin"])
async def test_a_command_is_looked_for_in_its_own_environment(tmp_path: Path, path: str | None) -> None:
    async with k.running_node(tmp_path / "node") as (store, node):
        env = [] if path is None else [{"name": "PATH", "value": path}]
        store.create(
            "pods", k.pod_object("a", ["/usr/bin/sleep", "900"], container={"env": env, "workingDir": "/usr/bin"})
        )
        assert await run((node, await k.started(store, "a")), "true") == ("", 0)
