"""A command to paste, as a value: rendered only where it is shown, for the program and the home of who reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """The words of a command; placeholders are words in capitals, and `~` at a word's beginning is the person's folder.

    `ours`: the words follow this tool's own name. `under`: words before that name (`env -u HF_ENDPOINT`). `then`: the
    command that is run after it, if it ends well.
    """

    argv: tuple[str, ...]
    ours: bool = False
    under: tuple[str, ...] = ()
    then: Command | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do: a sentence, which may be empty, and the command that a person may paste. Data, never a callable."""

    says: str = ""
    command: Command | None = None


def as_fix(what: Fix | Command) -> Fix:
    """A command that needs no sentence, as a fix."""
    return Fix(command=what) if isinstance(what, Command) else what


def ours(*words: str, under: tuple[str, ...] = (), then: Command | None = None) -> Command:
    """A command of this tool: `ours("doctor", "--fix")`."""
    return Command(words, ours=True, under=under, then=then)


def program(*words: str) -> Command:
    """A command of another program: `program("brew", "install", "git")`."""
    return Command(words)
