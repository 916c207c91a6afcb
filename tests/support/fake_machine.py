"""A Machine for what Linux cannot be: scripted commands, scripted quantities. An unscripted command fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from provision.system.machine import Machine, Memory, Process, Ran
from provision.system.running import Running


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
        super().__init__(environ or {})
        self.system, self.arch = system, arch
        self.commands = dict(commands or {})
        self.programs = dict(programs or {})
        self.disk_free = disk_free
        self.scripted_memory = memory
        self.files = dict(files or {})
        self.ran: list[str] = []
        self.refused: dict[str, int] = {}
        """Paths that the system refuses to open, with its errno."""
        self.flags: dict[str, int] = {}
        """macOS's flags of files, by their names."""

    def which(self, name: str) -> Path | None:
        return Path(self.programs[name]) if name in self.programs else None

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = 60,
        on_line: Callable[[str], None] | None = None,
    ) -> Ran:
        self.check_interrupted()
        words = tuple(str(word) for word in argv)
        line = " ".join(words)
        self.ran.append(line)
        if line not in self.commands:
            raise AssertionError(f"unscripted command: {line}")
        answer = self.commands[line]
        return Ran(words, 0, answer) if isinstance(answer, str) else answer

    def disk_free_bytes(self, path: Path) -> int:
        return self.disk_free

    def memory(self) -> Memory | None:
        return self.scripted_memory

    def read_text(self, path: str | Path) -> str | None:
        return self.files.get(str(path))

    def refusal(self, path: Path) -> int:
        return self.refused.get(str(path), 0)

    def file_flags(self, path: Path) -> int:
        return self.flags.get(path.name, 0)

    def process(self, pid: int) -> Process | None:
        return None

    def running(self, script: str) -> list[Running]:
        return []

    def listener(self, port: int) -> Process | None:
        return None
