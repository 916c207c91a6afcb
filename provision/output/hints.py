"""Commands as the user has to type them: this program, this home, each word quoted for a shell.

After `bin/provision all --home /Volumes/Big`, `ours("doctor", "--fix")` is shown as
`bin/provision doctor --home /Volumes/Big --fix`.
"""

from __future__ import annotations

import os.path
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path

from provision.command import Command, Fix
from provision.output.as_json import as_object
from provision.system.visible import shell_word

CALLED_AS = "PROVISION_CALLED_AS"
"""What `bin/provision` was called as; it hands over to Python, which cannot know."""
PROGRAMS = ("provision", "comfy-provision")
"""The tool's names, as `[project.scripts]` has them."""
REHEARSABLE = frozenset({"all", "plan", "download", "bundle", "serve"})
"""The commands that have `--rehearse`."""
ADOPTING = frozenset({"all", "plan", "doctor", "config"})
"""The commands that have `--comfyui`."""
OFFLINE = frozenset({"all", "plan", "doctor"})
"""The commands that have `--from`."""
USING = frozenset({"generate", "launch", "stop", "status", "logs", "bench", "report"})
AT_HOME = REHEARSABLE | ADOPTING | USING | {"check", "rollback", "uninstall", "update", "history", "clean", "nodes"}
"""The commands that have `--home`."""
REHEARSAL_HOME = "~/provision-rehearsal"


@dataclass(frozen=True, slots=True)
class Invocation:
    """How the tool was called: the program's words, and the home, empty where the usual one is meant.

    `implied`: `--rehearse` means that home by itself. `install`: the words that name an adopted install.
    """

    program: tuple[str, ...] = ("provision",)
    home: str = ""
    implied: bool = False
    rehearsal: bool = False
    install: tuple[str, ...] = ()
    bundle: str = ""
    """What `--from` named."""

    def text(self, what: Fix | Command | None) -> str:
        """A line to read and to paste; empty for None."""
        if what is None:
            return ""
        if isinstance(what, Command):
            line = " ".join(map(_typed, self._words(what)))
            return line if what.then is None else f"{line} && {self.text(what.then)}"
        apart = " " if what.says.endswith((":", ",")) else "   "
        return apart.join(part for part in (what.says, self.text(what.command)) if part)

    def argv(self, command: Command | None) -> list[str]:
        """The same for a script to run as it stands; empty for None."""
        if command is not None and command.then is not None:
            return ["sh", "-c", self.text(command)]
        return [] if command is None else [os.path.expanduser(word) for word in self._words(command)]  # noqa: PTH111

    def plain(self, value: object) -> object:
        """What JSON has for a value that it does not know: `default` of `json.dumps`."""
        if isinstance(value, Command):
            return self.argv(value)
        if isinstance(value, Fix):
            return self.text(value)
        return as_object(value) if is_dataclass(value) or hasattr(value, "to_json") else str(value)

    def _words(self, command: Command) -> tuple[str, ...]:
        return (*command.under, *(self._of_ours(*command.argv) if command.ours else command.argv))

    def _of_ours(self, name: str = "", *rest: str) -> tuple[str, ...]:
        words = [*self.program, name] if name else [*self.program]
        rehearse = self.rehearsal and name in REHEARSABLE
        real = _has(rest, "--rehearse") and not self.rehearsal  # a rehearsal has no place in this home
        named = real or _has(rest, "--home")
        if self.home and name in AT_HOME and not named and not (self.implied and rehearse):
            words += ["--home", self.home]
        if rehearse and not _has(rest, "--rehearse"):
            words.append("--rehearse")
        flag = self.install[0] if self.install else ""
        takes = name in (ADOPTING if flag == "--comfyui" else AT_HOME) and not named
        adopted = self.install if takes and not _has(words, flag) and not _has(rest, "--comfyui") else ()
        bundled = ("--from", self.bundle) if self.bundle and name in OFFLINE and not _has(rest, "--from") else ()
        return (*words, *rest, *adopted, *bundled)


HERE = Invocation()
"""The usual home, and a program that is on the PATH."""


def _has(words: Sequence[str], flag: str) -> bool:
    return any(word.partition("=")[0] == flag for word in words)


def _typed(word: str) -> str:
    """A word for a shell, which is to find the person's folder for `~` itself."""
    head, slash, rest = word.partition("/")
    return head + slash + (shell_word(rest) if rest else "") if head == "~" else shell_word(word)


def called_as(environ: Mapping[str, str], argv0: str, orig_argv: Sequence[str]) -> tuple[str, ...]:
    """The program's words: `provision` where the PATH leads to the very one that was called."""
    given = environ.get(CALLED_AS) or argv0
    if Path(given).name == "__main__.py":
        return (orig_argv[0], "-m", "provision") if orig_argv else ("provision",)
    name = Path(given).name
    if name not in PROGRAMS:
        return ("provision",)
    on_path = shutil.which(name, path=environ.get("PATH"))
    return (name,) if "/" not in given or on_path in (given, str(Path(given).absolute())) else (given,)


def this_call(environ: Mapping[str, str], home: Path | None = None, *, rehearse: bool = False) -> Invocation:
    """The call that this process was started with; `home` and `rehearse` as they were typed."""
    program = called_as(environ, sys.argv[0], sys.orig_argv)
    if home is None and rehearse and not environ.get("PROVISION_HOME"):
        return Invocation(program, REHEARSAL_HOME, implied=True, rehearsal=True)
    return Invocation(program, "" if home is None else str(home), rehearsal=rehearse)
