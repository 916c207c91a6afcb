"""What can go from a home, in kinds, with what each frees; and freeing it.

Nothing that a generation in use, or one before it, needs is among it. What goes loses its name first, by a rename, so
that half of it is never taken for a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from provision.comfyui.at_login import login_log
from provision.comfyui.server_process import our_process, running_environment
from provision.comfyui.switching import finish, let_go
from provision.core.ownership import LOG_NAME, SYSTEMS_OWN
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.removing import remove, take_names
from provision.core.step import Context
from provision.download.doubles import find_doubles, make_one
from provision.environment import generations
from provision.environment.kept_edits import save_the_last
from provision.environment.packages import run_uv
from provision.errors import CommandMissing, GitError
from provision.system.disk_errors import unusable
from provision.system.disk_use import Tally


class Kind(StrEnum):
    """What can go."""

    CACHE = "cache"
    PARTS = "parts"
    GENERATIONS = "generations"
    PREVIOUS = "previous"
    LOGS = "logs"
    DOUBLES = "doubles"
    ASIDE = "moved-aside"


NAMED_ONLY = frozenset({Kind.PREVIOUS})
"""Kinds that are looked for only when they are named."""
OF_GENERATIONS = frozenset({Kind.GENERATIONS, Kind.PREVIOUS})
PERSONS = frozenset({Kind.ASIDE})
"""A person's files: an answer to everything is none to these."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that can go, and the bytes that it takes; of a double, `other` is the file that stays."""

    path: Path
    size: int
    other: Path | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What can go of one kind. `frees` are the bytes that are free once it is gone; at most, where it `shares` bytes
    with what stays as clones, which nobody can tell."""

    kind: Kind
    pieces: tuple[Piece, ...]
    frees: int
    shares: bool = False


def survey(ctx: Context, kinds: Collection[Kind] = ()) -> list[Room]:
    """What can go; `kinds` are those that were named, all others are left out. Changes nothing."""
    wanted = [kind for kind in Kind if (kind in kinds if kinds else kind not in NAMED_ONLY)]
    found = [_doubles(ctx) if kind is Kind.DOUBLES else _room(ctx, kind) for kind in wanted]
    return [room for room in found if room.pieces]


def frees_in_all(rooms: Iterable[Room]) -> int:
    """The bytes that are free once all of it is gone; what two kinds share goes with the last of them."""
    tally, doubles = Tally(), 0
    for room in rooms:
        if room.kind is Kind.DOUBLES:
            doubles += room.frees
        else:
            tally.add_all(piece.path for piece in room.pieces)
    return tally.freed_bytes() + doubles


def _room(ctx: Context, kind: Kind) -> Room:
    tally = Tally()
    pieces = tuple(Piece(path, tally.add(path)) for path in LOOKS[kind](ctx))
    cloned = ctx.machine.system == "Darwin" and kind in OF_GENERATIONS | {Kind.CACHE}
    return Room(kind, pieces, tally.freed_bytes(), cloned)


# -- what there is ------------------------------------------------------------------------------------------------


def _in(folder: Path) -> Iterator[Path]:
    """What is in a folder of the home; nothing where a person's link leads elsewhere."""
    if folder.is_dir() and not folder.is_symlink():
        yield from sorted(path for path in folder.iterdir() if path.name not in SYSTEMS_OWN)


def _cache(ctx: Context) -> Iterator[Path]:
    """uv's cache, unless an environment is made of links into it (UV_LINK_MODE=symlink)."""
    cache = ctx.home.state / "cache"
    if any(_in(cache)) and not any(_links_into(env, cache) for env in _in(ctx.home.envs)):
        yield cache


def _links_into(env: Path, cache: Path) -> bool:
    real = os.path.realpath(cache)
    for folder, folders, files in os.walk(env):
        for name in (*folders, *files):
            path = os.path.join(folder, name)  # noqa: PTH118  (of a hundred thousand)
            if os.path.islink(path) and os.path.realpath(path).startswith(f"{real}/"):  # noqa: PTH114
                return True
    return False


def _parts(ctx: Context) -> Iterator[Path]:
    """The folder of unfinished downloads as a whole: a part whose record went first would be taken for another's."""
    if any(_in(ctx.home.parts)):
        yield ctx.home.parts


def _older(ctx: Context) -> Iterator[Path]:
    """The generations before the previous one."""
    if ctx.home.venv != ctx.home.own_venv or not ctx.home.envs.is_dir():
        return
    running = running_environment(ctx)
    if running is None and our_process(ctx) is not None:
        return  # a server without a record may run from any of them
    spared = {os.path.realpath(env) for env in (_active(ctx), generations.before(ctx.home), running) if env}
    yield from (each.env for each in generations.kept(ctx.home) if os.path.realpath(each.env) not in spared)


def _previous(ctx: Context) -> Iterator[Path]:
    """The generation that `rollback` returns to, unless a server runs from it."""
    found, running = generations.before(ctx.home), running_environment(ctx)
    if found is None or (running is None and our_process(ctx) is not None):
        return
    if os.path.realpath(found) not in {os.path.realpath(env) for env in (_active(ctx), running) if env}:
        yield found


def _active(ctx: Context) -> Path:
    return generations.active(ctx.home)


def _logs(ctx: Context) -> Iterator[Path]:
    """The logs that nothing is written to any more."""
    now = (ctx.home.tool_log, ctx.home.engine_log, login_log(ctx.home))
    yield from (path for path in _in(ctx.home.logs) if LOG_NAME.fullmatch(path.name) and path not in now)


def _aside(ctx: Context) -> Iterator[Path]:
    return _in(ctx.home.aside)


LOOKS: dict[Kind, Callable[[Context], Iterable[Path]]] = {
    Kind.CACHE: _cache,
    Kind.PARTS: _parts,
    Kind.GENERATIONS: _older,
    Kind.PREVIOUS: _previous,
    Kind.LOGS: _logs,
    Kind.ASIDE: _aside,
}


def _doubles(ctx: Context) -> Room:
    found = list(find_doubles(ctx))
    pieces = tuple(Piece(each.wanted.place, each.sought.size, each.copy) for each in found)
    return Room(Kind.DOUBLES, pieces, sum(piece.size for piece in pieces))


# -- freeing it ---------------------------------------------------------------------------------------------------


def free(ctx: Context, agreed: Iterable[Room]) -> int:
    """Free what was agreed to, as far as it is still there; returns the bytes that are free now.

    On a Mac they are measured, since clones share theirs; elsewhere they are counted. Raises HomeError, DiskFull,
    GitError, Interrupted.
    """
    finish(ctx.home)  # a switch of generations that was begun
    before, freed = ctx.machine.disk_free_bytes(ctx.home.root), 0
    for room in agreed:
        ctx.machine.check_interrupted()
        paths = {piece.path for piece in room.pieces}
        if room.kind is Kind.DOUBLES:
            freed += _make_one(ctx, paths)
            continue
        try:
            freed += _remove(ctx, room.kind, [path for path in LOOKS[room.kind](ctx) if path in paths])
        except OSError as error:
            raise unusable(Path(error.filename or ctx.home.root), error) from error
    if ctx.machine.system == "Darwin":
        return max(0, ctx.machine.disk_free_bytes(ctx.home.root) - before)
    return freed


def _remove(ctx: Context, kind: Kind, paths: list[Path]) -> int:
    away, tally = take_names(ctx.home.state, ()), Tally()
    for path in paths:
        if kind in OF_GENERATIONS and (kept := save_the_last(path)) is not None:
            ctx.note(f"Your edits of ComfyUI's files in generation {path.name} are now in {ctx.home.shown(kept)}.")
        take_names(ctx.home.state, [path])
    tally.add_all(away.iterdir())
    if kind is Kind.CACHE:
        for path in away.iterdir():
            with suppress(CommandMissing):
                run_uv(ctx, "cache", "clean", "--force", env={"UV_CACHE_DIR": str(path)})
    remove(away)
    if kind in OF_GENERATIONS and ctx.home.code_of_another is None:
        with suppress(GitError):  # a checkout that is damaged: the next update lets go of them
            let_go(ctx.home, ctx.receipts.read(generations.REVISION, ComfyReceipt).commit)
    return tally.freed_bytes()


def _make_one(ctx: Context, places: Collection[Path]) -> int:
    doubles = (each for each in find_doubles(ctx) if each.wanted.place in places)
    return sum(each.sought.size for each in doubles if make_one(ctx, each))
