"""Programs that write to a part: found by their names and by the part in their words, measured, and ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.system.machine import Machine, Process

if TYPE_CHECKING:
    import psutil


def end_writers(machine: Machine, part: Path, programs: Collection[str]) -> None:
    """End those of some programs, of this run or a killed one, that write to a part."""
    import psutil

    for process in _writing(part, programs, psutil.process_iter()):
        with suppress(psutil.Error):
            machine.end_process(Process(process.pid, process.create_time(), tuple(process.cmdline())))


def memory_of_writers(part: Path, programs: Collection[str]) -> int:
    """Bytes of memory that our own children which write to a part take together."""
    import psutil

    found = 0
    for process in _writing(part, programs, psutil.Process().children(recursive=True)):
        with suppress(psutil.Error):
            found += process.memory_info().rss
    return found


def _writing(part: Path, programs: Collection[str], processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """A script's name stands behind its Python's options."""
    import psutil

    mark = str(part.with_suffix(""))
    for process in processes:
        with suppress(psutil.Error):
            words = process.cmdline()
            if not any(Path(word).name in programs for word in words[:3]):
                continue
            if any(mark in word for word in words) or process.cwd().startswith(mark):
                yield process
