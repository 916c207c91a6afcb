"""What its file systems do."""

from __future__ import annotations

import hashlib
import os
import shutil
import time

from contrib.mac_checks.check import MIB, Bench, Skipped, answer, in_one_line, said

F_FULLFSYNC, F_NOCACHE = 51, 48
"""sys/fcntl.h of macOS."""


def clonefile(bench: Bench) -> str:
    """A clone has the same bytes, and takes no space."""
    from provision.download.local_copies import clone_file

    source, clone = bench.folder / "a", bench.folder / "b"
    source.write_bytes(os.urandom(MIB) * 64)
    os.sync()
    free, started = shutil.disk_usage(bench.folder).free, time.monotonic()
    if not clone_file(source, clone):
        raise Skipped("this volume does not clone")
    took, used = time.monotonic() - started, free - shutil.disk_usage(bench.folder).free
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in (source, clone)}
    assert len(digests) == 1, "the clone has other bytes"
    assert used < 32 * MIB, f"the clone took {used / MIB:.0f} MiB"
    return f"64 MiB cloned in {took * 1000:.1f} ms, {used / MIB:.1f} MiB less free"


def copy_of_environment(bench: Bench) -> str:
    """`cp -c`, by which an environment is copied before another torch goes into it."""
    (bench.folder / "tree").mkdir()
    (bench.folder / "tree" / "file").write_text("x")
    (bench.folder / "tree" / "link").symlink_to("file")
    said("/bin/cp", "-cpR", bench.folder / "tree", bench.folder / "copy")
    assert (bench.folder / "copy" / "link").is_symlink()
    return "cp -cpR keeps files and links"


def exchange(bench: Bench) -> str:
    """Two names swapped in one step: renameatx_np here, renameat2 on Linux."""
    from provision.environment.generations import _exchange

    one, other = bench.folder / "one", bench.folder / "other"
    one.symlink_to("first")
    other.symlink_to("second")
    if not _exchange(one, other):
        raise Skipped("this volume does not exchange names")
    assert (str(one.readlink()), str(other.readlink())) == ("second", "first")
    return "two links exchanged in one step"


def sync(bench: Bench) -> str:
    """What goes to the disk itself, and past the cache."""
    import fcntl

    with (bench.folder / "synced").open("wb") as stream:
        stream.write(b"x" * MIB)
        stream.flush()
        started = time.monotonic()
        fcntl.fcntl(stream, F_FULLFSYNC)
        took = time.monotonic() - started
        fcntl.fcntl(stream, F_NOCACHE, 1)
    return f"F_FULLFSYNC in {took * 1000:.1f} ms, F_NOCACHE taken"


def quarantine(bench: Bench) -> str:
    """What a browser's mark does to provision.command: a shell runs it all the same."""
    command = bench.folder / "provision.command"
    command.write_text("#!/bin/bash\necho ran\n")
    command.chmod(0o755)
    said("/usr/bin/xattr", "-w", "com.apple.quarantine", "0083;00000000;Safari;", command)
    ran = said("/bin/bash", command)
    assert ran == "ran"
    code, text = answer("/usr/sbin/spctl", "--assess", "-t", "open", "--context", "context:primary-signature", command)
    return f"bash runs it; spctl says {in_one_line(text)!r} ({code})"
