"""`provision clean`: free disk space; what is kept runs as before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.offers import offer
from provision.cli.request import ASKING
from provision.command import Fix, ours
from provision.errors import ConsentNeeded, HomeLocked, UsageError
from provision.output.result import Pairs, Result, Says, answer

if TYPE_CHECKING:
    from provision.command import Command
    from provision.core.home import Home
    from provision.steps.clean import Kind, Piece, Room

KINDS = ("cache", "parts", "generations", "previous", "logs", "doubles", "moved-aside")
ABOUT = {
    "cache": ("uv's package cache", "it is downloaded again when needed"),
    "parts": ("unfinished downloads", "they start from the beginning"),
    "generations": ("generations before the previous one", "`rollback` cannot return to them"),
    "previous": ("the previous generation", "`rollback` cannot return to it"),
    "logs": ("old logs", ""),
    "doubles": ("models that another program has too", "both names stay, with the same bytes"),
    "moved-aside": ("files that were in the way, which are yours", "they are deleted for good"),
}
"""What each kind is, and what follows when it is gone."""
LISTED = frozenset({"generations", "previous", "doubles", "moved-aside"})
"""Kinds whose parts are shown one by one."""
NAMES_MAX = 3
"""How many files of a folder are named."""


@dataclass(frozen=True, slots=True)
class CleanPiece:
    """One thing that can go, and the bytes that it takes; of a double, `other` is the file it will share bytes with."""

    path: Path
    bytes: int
    other: Path | None


@dataclass(frozen=True, slots=True)
class CleanKind:
    """What can go of one kind. `frees_bytes` are at most that much where `shares_bytes`: clones count in full."""

    kind: str
    frees_bytes: int
    shares_bytes: bool
    pieces: tuple[CleanPiece, ...]


@dataclass(frozen=True, slots=True)
class WouldFree:
    """What can go, by kind, and how many bytes that frees in all."""

    kinds: tuple[CleanKind, ...]
    frees_bytes: int


@dataclass(frozen=True, slots=True)
class Freed:
    """The kinds that went, and the bytes that are free now."""

    kinds: tuple[CleanKind, ...]
    freed_bytes: int


def clean(
    at: Session,
    *,
    only: Annotated[
        list[str] | None,
        Option("--only", metavar="KIND", help=f"Only this: {', '.join(KINDS)}.", autocompletion=offer(*KINDS)),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Show what can go, and change nothing.")] = False,
) -> Result:
    """Show what can go with its size, ask about each kind, and free it.

    Raises UsageError, HomeLocked while another command works in the folder, and what `free` raises.
    """
    from provision.cli.look import taking_long
    from provision.cli.session import hold_home
    from provision.core.ownership import is_home
    from provision.output.amounts import size_text
    from provision.steps.clean import free, frees_in_all, survey

    kinds = _named(only or ())
    home = at.ctx.home
    if not is_home(home.root):
        return answer(WouldFree((), 0), f"Nothing to clean: {home.root} is not an install folder.")
    with taking_long(at.console, "clean", "adding up the disk"):
        rooms = survey(at.ctx, kinds)
        total = frees_in_all(rooms)
    facts = WouldFree(_json(rooms), total)
    if not rooms:
        return answer(facts, "Nothing to clean.")
    _check_idle(at)
    table = Pairs([*_rows(at, rooms), ("in all", size_text(total), "")])
    if dry_run:
        return answer(facts, table, Fix("Nothing was changed. To free it:", _again(only)))
    at.console.tell(table)
    agreed = _agreed(at, rooms, named=bool(kinds))
    if agreed is None:
        return answer(facts, Fix("To free it:", _again(only, "--yes")))
    if not agreed:
        return answer(Freed((), 0), "Nothing was removed.")
    with hold_home(at):
        freed = free(at.ctx, agreed)
    return answer(Freed(_json(agreed), freed), f"Freed {size_text(freed)}.{_less(at, agreed, freed)}", changed=True)


def _named(only: list[str] | tuple[str, ...]) -> list[Kind]:
    """The kinds that were named. Raises UsageError."""
    from provision.steps.clean import Kind

    for name in only:
        if name not in KINDS:
            raise UsageError(f"Unknown kind {name!r}.", hint=Fix(f"Choose from: {', '.join(KINDS)}."))
    return [Kind(name) for name in only]


def _check_idle(at: Session) -> None:
    """Refuse before anybody is asked, where a run is in progress. Raises HomeLocked."""
    from provision.cli.run_in_progress import run_in_progress

    run = run_in_progress(at.ctx.home, at.ctx.machine)
    if run is not None:
        raise HomeLocked(
            f"`provision {run.command}` (pid {run.pid}) is working in {at.ctx.home.root}.",
            hint=Fix("Wait for it to finish:", ours("status", "--watch")),
        )


def _rows(at: Session, rooms: list[Room]) -> list[tuple[Says, ...]]:
    """Each kind with its size and what follows, and what is named of it."""
    from provision.output.amounts import size_text

    rows: list[tuple[Says, ...]] = []
    for room in rooms:
        what, then = ABOUT[room.kind]
        shares = "at most; shares bytes" if room.shares else ""
        rows.append((room.kind.value, size_text(room.frees), "; ".join(filter(None, (what, then, shares)))))
        rows += [("", *_piece(at.ctx.home, piece)) for piece in (room.pieces if room.kind in LISTED else ())]
    return rows


def _piece(home: Home, piece: Piece) -> tuple[str, str]:
    """A piece's size and name. Of a generation, most bytes are others' too."""
    from provision.environment import generations
    from provision.output.amounts import size_text

    if piece.path.parent == home.envs:
        return "", f"{piece.path.name}: {generations.left_with(piece.path).says()}"
    more = f" and {piece.other}" if piece.other is not None else _files_in(piece.path)
    return size_text(piece.size), f"{home.shown(piece.path)}{more}"


def _files_in(path: Path) -> str:
    """The names of files in a folder, the first of them."""
    if path.is_symlink() or not path.is_dir():
        return ""
    files = sorted(each.name for each in path.rglob("*") if not each.is_dir())
    rest = f" and {len(files) - NAMES_MAX} more" if len(files) > NAMES_MAX else ""
    return f" ({', '.join(files[:NAMES_MAX])}{rest})" if files else " (empty)"


def _agreed(at: Session, rooms: list[Room], *, named: bool) -> list[Room] | None:
    """Ask about each kind; None where there is no terminal. `--yes` is no answer about a person's files, unless they
    were named."""
    from provision.output.amounts import size_text
    from provision.steps.clean import PERSONS

    agreed = []
    for room in rooms:
        if room.kind in PERSONS and at.request.yes and not named:
            at.ctx.note("Your files in moved-aside stay. To delete them:", ours("clean", "--only", room.kind, "--yes"))
            continue
        what, _ = ABOUT[room.kind]
        verb = "Let share bytes" if room.kind == "doubles" else "Remove"
        with suppress(ConsentNeeded):
            if at.ctx.consent(f"{verb}: {what} ({size_text(room.frees)})?"):
                agreed.append(room)
            continue
        return None
    return agreed


def _less(at: Session, agreed: list[Room], freed: int) -> str:
    """Why less is free than was expected, on a Mac."""
    if at.ctx.machine.system != "Darwin" or freed >= sum(room.frees for room in agreed):
        return ""
    return " The rest shares bytes with files that stay, or a Time Machine snapshot holds it for up to a day."


def _again(only: list[str] | None, *flags: str) -> Command:
    named = [word for name in only or () for word in ("--only", name)]
    return ours("clean", *named, *flags)


def _json(rooms: list[Room]) -> tuple[CleanKind, ...]:
    return tuple(
        CleanKind(
            room.kind,
            room.frees,
            room.shares,
            tuple(CleanPiece(piece.path, piece.size, piece.other) for piece in room.pieces),
        )
        for room in rooms
    )


app = command("clean", clean, ASKING | {"look_in"})
