"""A program of its own: run one command in a running container, with the container's rights and no other.

It is started as `python -I -S entering.py HANDLE ORDER GATE`, three file descriptors: a pidfd of the container's PID 1,
the order (see `order`), and a pipe that says when the control groups are ready. It joins the container's namespaces,
gives up every capability, and starts the command there as its child. What the container sees of it before the command
itself is a process that can't be inspected, from a sealed copy of the interpreter (see `sealed`).

SIGTERM ends the command and what it has started. Only the standard library's smallest modules are imported: this is
run for each probe.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` itself takes as long to import as all the rest
import ctypes
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # Importing these at run time would take as long as everything else here.
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_SIGNALLED = 128
_SET_DUMPABLE, _SET_DEATH_SIGNAL, _DROP_BOUNDING, _SET_NO_NEW_PRIVILEGES, _AMBIENT = 4, 1, 24, 38, 47
_CLEAR_AMBIENT = 4
_CONTROLLING_TERMINAL = 0x540E
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63
_MOUNTS, _HOST_NAME, _IPC, _USER, _PIDS = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000


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


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code, 128 plus the number of a signal that ended it."""
    handle, written, gate = map(int, arguments)
    if not os.read(gate, 1):
        return NOT_EXECUTABLE
    with open(written, "rb") as file:
        workdir, user, processes, count, *words = file.read().decode(errors="surrogateescape").split("\0")
    libc = ctypes.CDLL(None, use_errno=True)
    _call(libc.prctl, _SET_DUMPABLE, 0, 0, 0, 0)
    _call(libc.setns, handle, _MOUNTS | _HOST_NAME | _IPC | _PIDS | (_USER if user else 0))
    _give_up_rights(libc)
    if int(processes):
        resource.setrlimit(resource.RLIMIT_NPROC, (int(processes), int(processes)))
    os.closerange(3, 64)
    child = -1

    def end(_number: int, _frame: object) -> None:
        _end(child)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.signal(signal.SIGTERM, end)
    child = os.fork()
    if child == 0:
        variables = dict(word.split("=", 1) for word in words[: int(count)])
        _become(libc, words[int(count) :], variables, workdir)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return _SIGNALLED - code if code < 0 else code


def _give_up_rights(libc: ctypes.CDLL) -> None:
    """Joining a user namespace has given this process every capability in it."""
    _call(libc.prctl, _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    for number in range(_LAST_CAPABILITY + 1):
        if libc.prctl(_DROP_BOUNDING, number, 0, 0, 0):
            break
    _call(libc.prctl, _AMBIENT, _CLEAR_AMBIENT, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _call(libc.capset, header, (ctypes.c_uint32 * 6)())


def _become(libc: ctypes.CDLL, command: list[str], env: dict[str, str], workdir: str) -> NoReturn:
    """Turn into the command; does not return."""
    try:
        os.setsid()
        if os.isatty(0):
            # Without a controlling terminal Ctrl-C would reach nobody.
            libc.ioctl(0, _CONTROLLING_TERMINAL, 0)
        # Should this program be killed, then not without the command.
        libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        # The interpreter ignores these, and the command would inherit that.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.chdir(workdir)
        _execute(command, env)
    except OSError as error:
        os.write(2, _problem(command[0], error).encode(errors="replace"))
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def _execute(command: list[str], env: dict[str, str]) -> NoReturn:
    """Execute the command as a shell finds it. Raises OSError.

    The standard library's own search imports a module, and here that would be one of the container's.
    """
    word = command[0]
    folders = [""] if "/" in word else [f"{folder or '.'}/" for folder in env.get("PATH", os.defpath).split(":")]
    problem: OSError = FileNotFoundError(2, "No such file or directory")
    for folder in folders:
        try:
            os.execve(folder + word, command, env)  # noqa: S606 - no shell is wanted
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            problem = error
    raise problem


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


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> None:
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


if __name__ == "__main__":
    # There is nothing to be tidied up, which would take its time.
    os._exit(main(sys.argv[1:]))
