"""Programs that run on this machine now, found by what they run; those of other users are passed over."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
WORDS = 5
"""How many words of a command line may name the program: `python -s -B main.py`."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running program: its command, the folder that it runs in, the environments that its shell had active."""

    pid: int
    argv: tuple[str, ...]
    folder: Path
    active: tuple[Path, ...] = ()

    def path(self, word: str) -> Path:
        """What a word of its command line names, as a path."""
        return self.folder / word


def running(script: str) -> list[Running]:
    """The programs of this user that run a script of that name (`main.py`), the oldest first."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            argv = tuple(process.cmdline())
            if any(Path(word).name == script for word in argv[1:WORDS]):
                environ = process.environ()
                active = tuple(Path(environ[name]) for name in ACTIVE if environ.get(name))
                found.append((process.create_time(), Running(process.pid, argv, Path(process.cwd()), active)))
    return [seen for _, seen in sorted(found, key=lambda pair: pair[0])]
