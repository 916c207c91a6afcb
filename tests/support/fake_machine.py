"""A Machine for what Linux cannot be: scripted commands, scripted quantities. An unscripted command fails."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from provision.system.machine import Argv, Machine, Memory, Ran
from provision.system.processes import Process, Running


class FakeMachine(Machine):
    """Answers from `commands` (words joined by one space -> Ran, or text for exit code 0)."""

    def __init__(
        self,
        commands: Mapping[str, Ran | str] | None = None,
        *,
        system: str = "Darwin",
        arch: str = "arm64",
        environ: Mapping[str, str] | None = None,
        programs: Mapping[str, str] | None = None,
        disk_free: int = 500 * 10**9,
        memory: Memory | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.environ: Mapping[str, str] = environ or {}
        self.system, self.arch = system, arch
        self.stopping = threading.Event()
        self.commands = {"/bin/launchctl managername": "Aqua\n", **(commands or {})}
        self.programs = dict(programs or {})
        self.disk_free = disk_free
        self.scripted_memory = memory
        self.files = dict(files or {})
        self.ran: list[str] = []
        self.refused: dict[str, int] = {}
        """Paths that the system refuses to open, with its errno."""
        self.flags: dict[str, int] = {}
        """macOS's flags of files, by their names."""

    def sleep(self, seconds: float) -> None:
        self.check_interrupted()

    def which(self, name: str) -> Path | None:
        return Path(self.programs[name]) if name in self.programs else None

    def run(self, argv: Argv, **how: object) -> Ran:
        self.check_interrupted()
        words = tuple(str(word) for word in argv)
        line = " ".join(words)
        self.ran.append(line)
        if line not in self.commands:
            raise AssertionError(f"unscripted command: {line}")
        answer = self.commands[line]
        return Ran(words, 0, answer) if isinstance(answer, str) else answer

    def attended(self) -> bool:
        return True

    def spawn(self, argv: Argv, **how: object) -> int:
        raise AssertionError(f"unscripted program: {argv}")

    def process(self, pid: int) -> Process | None:
        return None

    def end_process(self, process: Process, **how: object) -> None:
        raise AssertionError(f"nothing runs here: {process}")

    def running(self, script: str) -> list[Running]:
        return []

    def listener(self, port: int) -> Process | None:
        return None

    def port_is_free(self, port: int) -> bool:
        return True

    def lan_address(self) -> str | None:
        return None

    def disk_free_bytes(self, path: Path) -> int:
        return self.disk_free

    def memory(self) -> Memory | None:
        return self.scripted_memory

    def resident_bytes(self, pid: int) -> int | None:
        return None

    def read_text(self, path: str | Path) -> str | None:
        return self.files.get(str(path))

    def refusal(self, path: Path) -> int:
        return self.refused.get(str(path), 0)

    def file_flags(self, path: Path) -> int:
        return self.flags.get(path.name, 0)
