"""`doctor LOGFILE`: what a log means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provision.comfyui.log_reader import Sign, read_pieces
from provision.command import Fix, ours
from provision.core.finding import JSON, Verdict
from provision.errors import UsageError
from provision.output import views
from provision.output.result import Result, Words, answer
from provision.steps.catalogue import CATALOGUE, known
from provision.system.strict import Unreadable, why_not
from provision.system.text_stream import pieces


def explain_log(*paths: Path) -> Result:
    """What is known of the trouble in some logs. Raises UsageError for what cannot be read, or is not text."""
    read = [(path, _read(path)) for path in paths]
    found: list[JSON] = [
        {"log": str(path), "line": sign.line, "id": sign.id, "says": sign.says, "fix": sign.hint, "text": sign.text}
        for path, signs in read
        for sign in signs
    ]
    view = [part for path, signs in read for part in _log_view(path, signs, named=len(read) > 1)]
    return answer({"log": str(paths[0]), "signs": found}, *view, ok=not found)


def _read(path: Path) -> list[Sign]:
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
