"""One system call that fails: of a program or of anything that it starts, whatever language that is written in.

A seccomp filter hands each call of one kind to a listener (seccomp_unotify(2)), which lets it pass or answers with an
error in the kernel's stead. So no library is put before another and no debugger is needed, and programs without libc
(git-lfs) and with a changed environment (git, uv) are reached as well. Linux alone; no rights are needed.

Run as a program, this file puts the filter on itself, sends the listener through a socket, and becomes another program.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        "read": 0, "pread64": 17, "readv": 19, "write": 1, "pwrite64": 18, "writev": 20, "copy_file_range": 326,
        "fallocate": 285, "fsync": 74, "fdatasync": 75, "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83,
        "mkdirat": 258, "unlink": 87, "unlinkat": 263, "rmdir": 84, "open": 2, "openat": 257, "openat2": 437,
        "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "ftruncate": 77, "truncate": 76,
    },
    "aarch64": {
        "read": 63, "pread64": 67, "readv": 65, "write": 64, "pwrite64": 68, "writev": 66, "copy_file_range": 285,
        "fallocate": 47, "fsync": 82, "fdatasync": 83, "renameat": 38, "renameat2": 276, "mkdirat": 34,
        "unlinkat": 35, "openat": 56, "openat2": 437, "linkat": 37, "symlinkat": 36, "ftruncate": 46, "truncate": 45,
    },
}  # fmt: skip
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
KINDS: Mapping[str, tuple[str, ...]] = {
    "read": ("read", "pread64", "readv"),
    "write": ("write", "pwrite64", "writev", "copy_file_range", "fallocate"),
    "fsync": ("fsync", "fdatasync"),
    "rename": ("rename", "renameat", "renameat2"),
    "mkdir": ("mkdir", "mkdirat"),
    "unlink": ("unlink", "unlinkat", "rmdir"),
    "open": ("open", "openat", "openat2"),
    "link": ("link", "linkat"),
    "symlink": ("symlink", "symlinkat"),
    "truncate": ("ftruncate", "truncate"),
}
CHANGING = tuple(kind for kind in KINDS if kind not in ("read", "fsync"))
"""The kinds that a disk which became read-only refuses."""
# Which arguments name a file: "f2" is a descriptor, "p1" a path, "d0p1" a path from the folder of a descriptor.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "copy_file_range": ("f2",),
    "rename": ("p0", "p1"),
    "renameat": ("d0p1", "d2p3"),
    "renameat2": ("d0p1", "d2p3"),
    "mkdir": ("p0",),
    "mkdirat": ("d0p1",),
    "unlink": ("p0",),
    "unlinkat": ("d0p1",),
    "rmdir": ("p0",),
    "open": ("p0",),
    "openat": ("d0p1",),
    "openat2": ("d0p1",),
    "link": ("p0", "p1"),
    "linkat": ("d2p3",),
    "symlink": ("p1",),
    "symlinkat": ("d1p2",),
    "truncate": ("p0",),
}
_RECV, _SEND = 0xC0502100, 0xC0182101
_LET_PASS = 1
_NOTE = struct.Struct("=QIIiIQ6Q")
_REPLY = struct.Struct("=QqiI")


def is_possible() -> bool:
    """Whether this kernel can do it."""
    return sys.platform == "linux" and platform.machine() in NUMBERS and Path("/proc/sys/kernel/seccomp").is_dir()


@dataclass
class Failing:
    """Which call fails: the `at`th (from 1) of a kind below a folder; with `lasting`, all of them from there on.

    `counts` says how many there were of each kind, as far as they were looked at; `failed` what was made to fail.
    """

    folder: Path
    kinds: Sequence[str]
    code: int
    at: int
    lasting: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _seen: int = 0

    def start(self, argv: Sequence[str], **popen: object) -> subprocess.Popen[str]:
        """Start a program; what it starts is under the same filter, and watched until the last of them has ended."""
        ours, theirs = socket.socketpair()
        names = [name for kind in self.kinds for name in KINDS[kind] if name in self._numbers]
        numbers = ",".join(str(self._numbers[name]) for name in names)
        words = [sys.executable, __file__, str(theirs.fileno()), numbers, *argv]
        with ours:
            child = subprocess.Popen(words, pass_fds=[theirs.fileno()], text=True, **popen)  # type: ignore[call-overload]
            theirs.close()
            _, sent, _, _ = socket.recv_fds(ours, 1, 1)
        if not sent:
            child.wait()
            raise OSError(errno.ENOSYS, "this kernel does not hand over system calls")
        threading.Thread(target=self._watch, args=(sent[0],), daemon=True).start()
        started: subprocess.Popen[str] = child
        return started

    @property
    def _numbers(self) -> Mapping[str, int]:
        return NUMBERS[platform.machine()]

    def _watch(self, listener: int) -> None:
        names = {number: name for name, number in self._numbers.items()}
        kinds = {name: kind for kind in self.kinds for name in KINDS[kind]}
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while not any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll()):
                note = bytearray(_NOTE.size)
                try:
                    fcntl.ioctl(listener, _RECV, note)
                except OSError:  # the caller was killed meanwhile
                    continue
                id_, pid, _, number, _, _, *words = _NOTE.unpack(note)
                name = names.get(number, "")
                code = self._answer(pid, name, kinds.get(name, ""), words) if self.lasting or not self.failed else 0
                reply = bytearray(_REPLY.pack(id_, 0, -code, 0 if code else _LET_PASS))
                with suppress(OSError):
                    fcntl.ioctl(listener, _SEND, reply)
        finally:
            os.close(listener)

    def _answer(self, pid: int, name: str, kind: str, words: Sequence[int]) -> int:
        """0 to let a call pass, else the error."""
        if self.lasting and kind == "open" and not self._would_change(name, words):
            return 0
        place = self._below(pid, name, words)
        if place is None:
            return 0
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._seen += 1
        if self._seen < self.at:
            return 0
        self.failed.append(f"{name} {place} ({_program(pid)})")
        return self.code

    def _would_change(self, name: str, words: Sequence[int]) -> bool:
        flags = {"open": words[1], "openat": words[2]}.get(name, 0)
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))

    def _below(self, pid: int, name: str, words: Sequence[int]) -> str | None:
        for spelled in _NAMES.get(name, ("f0",)):
            with suppress(OSError):
                place = _place(pid, spelled, words)
                if place == str(self.folder) or place.startswith(f"{self.folder}/"):
                    return place
        return None


def _place(pid: int, spelled: str, words: Sequence[int]) -> str:
    """The file that an argument names; raises OSError when the process is gone."""
    if spelled[0] == "f":
        return str(Path(f"/proc/{pid}/fd/{ctypes.c_int(words[int(spelled[1])]).value}").readlink())
    text = _text(pid, words[int(spelled[-1])])
    if text.startswith("/"):
        return os.path.normpath(text)
    folder = ctypes.c_int(words[int(spelled[1])]).value if spelled[0] == "d" else -100  # AT_FDCWD
    start = Path(f"/proc/{pid}/cwd" if folder == -100 else f"/proc/{pid}/fd/{folder}").readlink()
    return os.path.normpath(start / text)


def _text(pid: int, address: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        data = b""
        while b"\0" not in data and len(data) < 4096:
            piece = memory.read(min(256, 4096 - (address + len(data)) % 4096))
            if not piece:
                break
            data += piece
    return os.fsdecode(data.partition(b"\0")[0])


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def _listen(numbers: Sequence[int]) -> int:
    """Put a filter on this process and all that it will start; the listener, -1 where the kernel refuses."""
    load, equal, end = 0x20, 0x15, 0x06
    lines = [(load, 0, 0, 4), (equal, 1, 0, AUDIT_ARCH[platform.machine()]), (end, 0, 0, 0x7FFF0000), (load, 0, 0, 0)]
    for left, number in zip(range(len(numbers), 0, -1), numbers, strict=True):
        lines.append((equal, left, 0, number))
    lines += [(end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x7FC00000)]  # allow; hand over
    code = array.array("B", b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(lines), code.buffer_info()[0]))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    for flags in (8 | 32, 8):  # NEW_LISTENER, with WAIT_KILLABLE_RECV where it is known (Linux 5.19)
        listener = libc.syscall(number, 1, flags, program)
        if listener >= 0:
            return int(listener)
    return -1


def main() -> None:
    place, numbers, *argv = sys.argv[1:]
    with socket.socket(fileno=int(place)) as door:
        listener = _listen([int(number) for number in numbers.split(",")])
        if listener >= 0:
            socket.send_fds(door, [b"1"], [listener])
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main()
