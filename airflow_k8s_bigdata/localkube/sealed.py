"""Copies of programs that nobody can change, for what runs beside containers.

A process inside a container reaches the program of any process that it sees, through /proc/PID/exe, and can have it
run once more as `/proc/self/exe`. Where localkube and its containers have the same user, it could then write into the
program's file. A copy in memory whose content is sealed can only be read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_EXECUTABLE = 0x10
"""MFD_EXEC of Linux 6.3: says that the copy is to be executed, which a machine may have made a matter of asking."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class CannotSeal(Exception):
    """The machine does not let copies in memory be executed, and the program's own file is in danger."""


@dataclass(frozen=True, slots=True)
class SealedProgram:
    """A program to be executed by `executable`, which other processes of this user may open as long as this one lives.

    :param descriptor: the copy, or -1 where the file itself is used.
    """

    executable: str
    descriptor: int = -1

    @classmethod
    def of(cls, program: Path) -> SealedProgram:
        """Make a copy of a program. Raises CannotSeal, OSError.

        A program that runs with its owner's rights (setuid) stays a file: a copy would not have them. So does one that
        can't be copied and does not belong to this user, who then can't write to it either.
        """
        found = program.stat()
        if found.st_mode & stat.S_ISUID:
            return cls(str(program))
        try:
            descriptor = _copy(program)
        except PermissionError as error:
            if found.st_uid == os.geteuid():
                raise CannotSeal(
                    f"{program} can't be protected from containers: programs in memory can't be executed here "
                    "(sysctl vm.memfd_noexec=2); set it to 1, or run localkube as a user who does not own the program"
                ) from error
            return cls(str(program))
        return cls(f"/proc/{os.getpid()}/fd/{descriptor}", descriptor)

    def close(self) -> None:
        """Forget the copy; what runs from it goes on."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


def _copy(program: Path) -> int:
    descriptor = _memory_file(program.name)
    try:
        with open(program, "rb") as source:
            while os.sendfile(descriptor, source.fileno(), None, 1 << 24):
                pass
        os.fchmod(descriptor, 0o555)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def in_memory(name: str, data: bytes) -> int:
    """An open file in memory, at its beginning, for a program to read once."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(descriptor, "wb", buffering=0, closefd=False) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        file.seek(0)
    return descriptor


def _memory_file(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _EXECUTABLE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)
