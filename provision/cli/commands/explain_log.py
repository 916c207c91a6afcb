"""`doctor LOGFILE`: what a log means."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.log_reader import Sign, read_pieces
from provision.command import Fix, ours
from provision.core.finding import FixJson, Verdict
from provision.errors import ErrorJson, UsageError
from provision.output import views
from provision.output.result import Result, Words, answer
from provision.output.safe_streams import rest
from provision.steps.catalogue import CATALOGUE, known
from provision.system.strict import Unreadable, why_not
from provision.system.text_stream import STANDARD_INPUT, pieces


@dataclass(frozen=True, slots=True)
class KnownTrouble:
    """A problem that a line of a log shows; `id` is in doctor.md."""

    log: str
    line: int
    id: str
    says: str
    fix: FixJson
    text: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What is known of the trouble in some logs."""

    logs: tuple[str, ...]
    signs: tuple[KnownTrouble, ...]


def explain_log(*paths: Path) -> Result:
    """What is known of the trouble in some logs. Raises UsageError for what cannot be read, or is not text."""
    read = [(path, _read(path)) for path in paths]
    found = [(path, sign) for path, signs in read for sign in signs]
    known = tuple(
        KnownTrouble(str(path), sign.line, sign.id, sign.says, FixJson(sign.hint.says, sign.hint.command), sign.text)
        for path, sign in found
    )
    error = next((ErrorJson(sign.id, sign.says, sign.hint, sign.hint.command) for _, sign in found), None)
    view = [part for path, signs in read for part in _log_view(path, signs, named=len(read) > 1)]
    return answer(Explained(tuple(map(str, paths)), known), *view, error=error)


def _read(path: Path) -> list[Sign]:
    if path in STANDARD_INPUT and sys.stdin.isatty():
        rest()  # while somebody pastes
    try:
        return read_pieces(pieces(path), CATALOGUE)
    except (OSError, Unreadable) as error:
        raise UsageError(f"The log {path} cannot be read ({why_not(error)}).", hint=ours("logs")) from error


def _log_view(path: Path, signs: Sequence[Sign], *, named: bool) -> list[Words]:
    closing = f"{len(signs)} known problems found." if signs else "No known problem found."
    return [*([Words(f"{path}:")] if named else []), *map(_sign_words, signs), Words(closing)]


def _sign_words(sign: Sign) -> Words:
    blocks = (about := known(sign.id)) is not None and about.severity in ("blocks", "spoils")
    mark = views.MARKS[Verdict.BLOCKED if blocks else Verdict.WARN]
    says = sign.says[:1].upper() + sign.says[1:]
    head = f"{mark} line {sign.line}: {says}.  [{sign.id}]\n    {sign.text[:160]}\n  {views.ARROW}"
    return Words(Fix(f"{head} {sign.hint.says}".rstrip(), sign.hint.command))
