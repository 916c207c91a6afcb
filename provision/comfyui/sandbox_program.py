"""Run a program that can write only below some folders: `sandbox_program.py FOLDER ... -- PROGRAM ARGUMENT ...`.

Landlock (landlock(7)): the Linux kernel refuses the program, and all that it starts, to open for writing, truncate,
make, rename or remove anything elsewhere; modes, owners and times of files are not protected. The tool's own Python
runs this file, waits for the program and ends as it did, so that the command line stays the one that was started. On a
Mac `PROGRAM` is sandbox-exec, and this only waits.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of the system calls, the same on all architectures."""
VERSION_FLAG, PATH_BENEATH, PR_SET_NO_NEW_PRIVS = 1, 1, 38
LEAST = 3
"""The first version of Landlock that covers truncate(2) (Linux 6.2)."""
WRITES = sum(1 << bit for bit in (1, *range(4, 15)))
"""All rights of version 3 except executing, reading files and listing folders (linux/landlock.h)."""


def version() -> int:
    """The kernel's version of Landlock; 0 or less where there is none."""
    if sys.platform != "linux":
        return 0
    return int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION_FLAG))


def restrict(folders: list[str]) -> None:
    """Let this process write only below `folders` from now on. Raises OSError."""
    rules = _call(CREATE_RULESET, struct.pack("=Q", WRITES), 8, 0)
    for folder in folders:
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        _call(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", WRITES, place), 0)
        os.close(place)
    if ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError("prctl refused PR_SET_NO_NEW_PRIVS")
    _call(RESTRICT_SELF, rules, 0)
    os.close(rules)


def _call(number: int, *words: int | bytes) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_char_p(word) if isinstance(word, bytes) else ctypes.c_long(word) for word in words]
    answer = int(library.syscall(ctypes.c_long(number), *given))
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"Landlock refused system call {number}")
    return answer


def main(folders: list[str], argv: list[str]) -> None:
    """Run the program and end with its exit code or signal. Raises OSError."""
    if sys.platform == "linux":
        restrict(folders)
    child = os.posix_spawn(argv[0], argv, os.environ)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(abs(code))


if __name__ == "__main__":
    middle = sys.argv.index("--")
    main(sys.argv[1:middle], sys.argv[middle + 1 :])
