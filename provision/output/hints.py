"""How the person calls this tool, and for which home: with it a hint can be pasted as it stands.

Hints are written as `provision doctor --fix`. Whoever called `bin/provision all --home /Volumes/Big` is told
`bin/provision doctor --home /Volumes/Big --fix`.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.system.visible import shell_word

CALLED_AS = "PROVISION_CALLED_AS"
"""What `bin/provision` was called as; it hands over to Python, which cannot know."""
REHEARSABLE = frozenset({"all", "plan", "download"})
"""The commands that have `--rehearse`."""
HOMELESS = frozenset({"manifests", "completion"})
"""The commands that have no `--home`."""
AT_HOME = frozenset({
    "all", "plan", "check", "download", "doctor", "launch", "stop", "status", "rollback", "logs", "generate", "bench",
    "report", "uninstall",
})  # fmt: skip
"""The commands that have it."""
REHEARSAL_HOME = "~/provision-rehearsal"
COMMAND = re.compile(
    rf"(?<![\w./~`-])provision (?P<name>{'|'.join([*sorted(AT_HOME | HOMELESS), '--help'])})\b"
    r"(?P<rest>(?:(?!&&|[;|\n]|, |\s#|\bprovision ).)*)"
)
"""A command of ours in a sentence, with what belongs to it; between backticks it is a name, and nothing to paste."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """How the tool was called: the program and the home as shell words, the home empty where the usual one is meant.

    `implied`: `--rehearse` means that home by itself.
    """

    program: str = "provision"
    home: str = ""
    implied: bool = False
    rehearsal: bool = False

    def said(self, text: str) -> str:
        """A text with the commands in it as this person would have to type them."""
        return COMMAND.sub(self._as_typed, text)

    def _as_typed(self, found: re.Match[str]) -> str:
        name, rest = found["name"], found["rest"]
        rehearse = self.rehearsal and name in REHEARSABLE
        words = [self.program, name]
        elsewhere = "--home" in rest or ("--rehearse" in rest and not self.rehearsal)  # never in a home of real things
        if self.home and name in AT_HOME and not elsewhere and not (self.implied and rehearse):
            words += ["--home", self.home]
        if rehearse and "--rehearse" not in rest:
            words.append("--rehearse")
        return " ".join(words) + rest


def called_as(environ: Mapping[str, str], argv0: str, orig_argv: Sequence[str]) -> str:
    """The program as shell words: `provision` where the PATH leads to the very one that was called."""
    given = environ.get(CALLED_AS) or argv0
    if Path(given).name == "__main__.py":
        return f"{shell_word(orig_argv[0])} -m provision" if orig_argv else "provision"
    on_path = shutil.which("provision", path=environ.get("PATH"))
    if Path(given).name != "provision" or "/" not in given or on_path in (given, str(Path(given).absolute())):
        return "provision"
    return shell_word(given)


def this_call(environ: Mapping[str, str], home: Path | None = None, *, rehearse: bool = False) -> Invocation:
    """The call that this process was started with; `home` and `rehearse` as they were typed."""
    program = called_as(environ, sys.argv[0], sys.orig_argv)
    if home is None and rehearse and not environ.get("PROVISION_HOME"):
        return Invocation(program, REHEARSAL_HOME, implied=True, rehearsal=True)
    return Invocation(program, "" if home is None else shell_word(str(home)), rehearsal=rehearse)
