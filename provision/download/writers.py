"""Programs that write to a part: known by what backends say of theirs, and by the part in their words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.download.backends.registry import backends
from provision.system.machine import Machine
from provision.system.processes import Process

if TYPE_CHECKING:
    import psutil


def end_writers(machine: Machine, part: Path) -> None:
    """End the programs, of this run or a killed one, that write to a part."""
    import psutil

    for process in _writing(part, psutil.process_iter()):
        with suppress(psutil.Error):
            machine.end_process(Process(process.pid, process.create_time(), tuple(process.cmdline())))


def memory_of_writers(part: Path) -> int:
    """Bytes of memory that our own children which write to a part take together."""
    import psutil

    found = 0
    for process in _writing(part, psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            found += process.memory_info().rss
    return found


def _writing(part: Path, processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    import psutil

    names, mark = {name for each in backends() for name in each.writers}, str(part.with_suffix(""))
    for process in processes:
        with suppress(psutil.Error):
            words = process.cmdline()
            if names.isdisjoint(Path(word).name for word in words[:3]):  # a script stands behind its Python's options
                continue
            if any(mark in word for word in words) or process.cwd().startswith(mark):
                yield process
