"""A program of its own: run commands in running containers, with the containers' rights and no other.

localkube starts it once, as `python -I -S entering.py DOOR`, and sends it a message over the socket DOOR for each
command. For each it forks a process that joins the container's control groups and namespaces, gives up every
capability, and starts the command there as its child. This program itself never joins a container, and never reads
what it is asked to run: no process of one container has another's secrets in its memory.

What a container sees before the command itself is a process that can't be inspected, from a sealed copy of the
interpreter (see `sealed`), with no file of the host open but the command's three.

A message is nothing but file descriptors: CONTROL, HANDLE, ORDER, the command's standard input, output and errors, and
the `cgroup.procs` of each control group. HANDLE is a pidfd of the container's PID 1, ORDER a file with what `order` has
made. CONTROL is a socket of this command alone: it gives a pidfd of the command, once that runs, and then its exit
code, in one byte. When its other end is closed for writing, the command is ended, with what it has started.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # smaller than `signal`; likewise the next
import _socket
import ctypes
import gc
import os
import resource
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # Importing these at run time would take as long as everything else here.
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

NOT_EXECUTABLE, NOT_FOUND = 126, 127
STARTED = b"started"
"""Comes with the command's pidfd; an exit code is one byte long."""
MOST_DESCRIPTORS = 32
"""In one message."""
_LEAST_DESCRIPTORS = 6
_SIGNALLED = 128
_SET_DUMPABLE, _DROP_BOUNDING, _SET_NO_NEW_PRIVILEGES, _AMBIENT = 4, 24, 38, 47
_CLEAR_AMBIENT = 4
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63
_MOUNTS, _HOST_NAME, _IPC, _USER, _PIDS = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
_SPAWN_DEFAULT_SIGNALS, _SPAWN_SESSION = 0x04, 0x80
_LARGEST_STRUCTURE = 512
"""Bytes; at least as many as any of the C library's that are used here."""
_CLOSE_RANGE = 436
"""The same number on every architecture."""


def order(
    command: Sequence[str], env: Mapping[str, str], *, workdir: str, user_namespace: bool, processes: int
) -> bytes:
    """What is to be run, as this program reads it. Raises ValueError for a NUL byte, which no process can be given.

    :param processes: how many processes and threads the container's user may have (RLIMIT_NPROC); 0 for no limit.
    """
    head = [workdir, "user" if user_namespace else "", str(processes), str(len(env))]
    words = [*head, *(f"{name}={value}" for name, value in env.items()), *command]
    if any("\0" in word for word in words):
        raise ValueError("a command, its environment and its folder must not contain NUL bytes")
    return "\0".join(words).encode(errors="surrogateescape")


def serve(door: int) -> None:
    """Start commands until the socket's other end is closed."""
    libc = ctypes.CDLL(None, use_errno=True)
    _call(libc.prctl, _SET_DUMPABLE, 0, 0, 0, 0)
    # What is forked would have memory of its own wherever a collection has looked.
    gc.disable()
    # Nobody waits for the processes that are forked here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    calls = _socket.socket(fileno=door)
    while (descriptors := _received(calls)) is not None:
        if len(descriptors) >= _LEAST_DESCRIPTORS:  # Fewer than were sent come where no more may be open.
            _start(libc, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _received(calls: _socket.socket) -> list[int] | None:
    """The descriptors of the next message; None when there will be no more."""
    size = _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS)
    data, ancillary, _, _ = calls.recvmsg(1, size, _socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    return [number for _, _, content in ancillary for number in memoryview(content).cast("i").tolist()]


def _start(libc: ctypes.CDLL, descriptors: list[int]) -> None:
    """Fork the process of one command. When that is not possible, the command's exit code says so."""
    try:
        child = os.fork()
    except OSError as error:
        os.write(2, f"a command in a container can't be started: {error.strerror}\n".encode())
        _tell(descriptors[0], NOT_EXECUTABLE)
        return
    if child == 0:
        _enter(libc, descriptors)


def _enter(libc: ctypes.CDLL, descriptors: list[int]) -> NoReturn:
    """Run one command, in a process of its own; does not return."""
    control, handle, written, *streams = descriptors
    code = NOT_EXECUTABLE
    try:
        os.setsid()
        for number, stream in enumerate(streams[:3]):
            os.dup2(stream, number)
        for group in streams[3:]:
            os.write(group, b"0")
        with open(written, "rb", buffering=0, closefd=False) as file:
            workdir, user, processes, count, *words = file.readall().decode(errors="surrogateescape").split("\0")
        _call(libc.setns, handle, _MOUNTS | _HOST_NAME | _IPC | _PIDS | (_USER if user else 0))
        _give_up_rights(libc)
        if int(processes):
            resource.setrlimit(resource.RLIMIT_NPROC, (int(processes), int(processes)))
        _close_all_but(libc, control)
        variables = dict(word.split("=", 1) for word in words[: int(count)])
        code = _run(libc, control, words[int(count) :], variables, workdir)
    except OSError as error:
        os.write(2, f"exec failed: unable to start container process: {(error.strerror or '').lower()}\n".encode())
    finally:
        # There is nothing to be tidied up, which would take its time.
        _tell(control, code)
        os._exit(0)


def _close_all_but(libc: ctypes.CDLL, kept: int) -> None:
    """Close every descriptor above the standard ones, but for one."""
    for first, last in ((3, kept - 1), (kept + 1, 0xFFFFFFFF)):
        if first <= last:
            _call(libc.syscall, _CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0))


def _give_up_rights(libc: ctypes.CDLL) -> None:
    """Joining a user namespace has given this process every capability in it."""
    _call(libc.prctl, _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    for number in range(_LAST_CAPABILITY + 1):
        if libc.prctl(_DROP_BOUNDING, number, 0, 0, 0):
            break
    _call(libc.prctl, _AMBIENT, _CLEAR_AMBIENT, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _call(libc.capset, header, (ctypes.c_uint32 * 6)())


def _run(libc: ctypes.CDLL, control: int, command: list[str], env: dict[str, str], workdir: str) -> int:
    """Start the command and wait for it; returns its exit code, 128 plus the number of a signal that ended it."""
    try:
        os.chdir(workdir)
        child = _spawned(libc, command, env)
    except OSError as error:
        os.write(2, _problem(command[0], error).encode(errors="replace"))
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    handle = os.pidfd_open(child)
    rights = _socket.SOL_SOCKET, _socket.SCM_RIGHTS, handle.to_bytes(4, sys.byteorder)
    _socket.socket(fileno=os.dup(control)).sendmsg([STARTED], [rights])
    # Its output ends with the command, not with this process.
    for number in range(3):
        os.close(number)
    waiting = select.poll()
    for descriptor in (control, handle):
        waiting.register(descriptor, select.POLLIN)
    if any(descriptor == control for descriptor, _ in waiting.poll()):
        _end(child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return _SIGNALLED - code if code < 0 else code


def _spawned(libc: ctypes.CDLL, command: list[str], env: dict[str, str]) -> int:
    """Execute the command in a new process, as a shell finds it; returns its number. Raises OSError.

    A second fork would copy this process, which costs more than all the rest. `os.posix_spawn` would leave the two
    signals ignored that the C library keeps to itself, so that it is called here.
    """
    if "PATH" in env:  # Where to look is a matter of this process's own environment.
        os.putenv("PATH", env["PATH"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    attributes, child = ctypes.create_string_buffer(_LARGEST_STRUCTURE), ctypes.c_int()
    libc.posix_spawnattr_init(attributes)
    libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SPAWN_DEFAULT_SIGNALS | _SPAWN_SESSION))
    every = ctypes.create_string_buffer(b"\xff" * _LARGEST_STRUCTURE)
    libc.posix_spawnattr_setsigdefault(attributes, every)
    actions = ctypes.create_string_buffer(_LARGEST_STRUCTURE)
    libc.posix_spawn_file_actions_init(actions)
    if os.isatty(0):
        # Without a controlling terminal Ctrl-C would reach nobody; the first that a session opens becomes that.
        libc.posix_spawn_file_actions_addopen(actions, 0, b"/proc/self/fd/1", os.O_RDWR, 0)
    words, variables = _strings(command), _strings([f"{name}={value}" for name, value in env.items()])
    problem = libc.posix_spawnp(ctypes.byref(child), words[0], actions, attributes, words, variables)
    if problem:
        raise OSError(problem, os.strerror(problem))
    return child.value


def _strings(words: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    """As C takes them; the last one is none."""
    return (ctypes.c_char_p * (len(words) + 1))(*map(os.fsencode, words), None)


def _problem(word: str, error: OSError) -> str:
    why = (error.strerror or str(error)).lower()
    if isinstance(error, FileNotFoundError):
        why = f"stat {word}: {why}" if "/" in word else "executable file not found in $PATH"
    return f'exec failed: unable to start container process: exec: "{word}": {why}\n'


def _end(child: int) -> None:
    """Kill the command and its process group."""
    if child <= 0:  # To kill these numbers is to kill everything.
        return
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _tell(control: int, code: int) -> None:
    try:
        os.write(control, bytes([code]))
    except OSError:  # Nobody wants to know it any more.
        return


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
    os._exit(0)
