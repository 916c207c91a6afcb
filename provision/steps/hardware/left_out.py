"""The home left out of Time Machine's backups and Spotlight's index, where the person agrees: it can be had again.

`--time-machine` decides, or the person is asked once, by a command that fills the home. Both marks are on the
home's own folder (an attribute, see tmutil(8), and a file that Spotlight heeds), and go with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from provision.core.ownership import NEVER_INDEX
from provision.core.receipts import forget, write_text
from provision.core.step import Context
from provision.errors import CommandMissing, ConsentNeeded

RECEIPT = "left-out"
TMUTIL = "/usr/bin/tmutil"
QUESTION = "Leave {} out of Time Machine and Spotlight? All its gigabytes can be downloaded again."


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the person decided; None: nothing yet."""

    agreed: bool | None = None


def leave_out(ctx: Context) -> None:
    """Do what `--time-machine` says; without it ask, where nobody has decided yet. Raises HomeError, DiskFull."""
    if ctx.machine.system != "Darwin" or ctx.options.rehearsal:
        return
    before, wanted = _decided(ctx).agreed, ctx.options.time_machine
    if wanted == "ask":
        if before is not None:
            return
        try:
            agreed = ctx.consent(QUESTION.format(ctx.home.root))
        except ConsentNeeded:  # nobody is here: another run asks
            return
    else:
        agreed = wanted == "exclude"
    if agreed and not before:
        _tell_time_machine(ctx, "addexclusion")
        write_text(ctx.home.root / NEVER_INDEX, "")
    elif before and not agreed:
        take_in_again(ctx)
    if agreed is not before:
        ctx.receipts.write(RECEIPT, LeftOut(agreed))


def take_in_again(ctx: Context) -> None:
    """Undo it, also before the home is removed: what a person added may stay there. Raises HomeError, DiskFull."""
    if ctx.machine.system == "Darwin" and _decided(ctx).agreed:
        _tell_time_machine(ctx, "removeexclusion")
        forget(ctx.home.root / NEVER_INDEX)


def _decided(ctx: Context) -> LeftOut:
    return ctx.receipts.read(RECEIPT, LeftOut)


def _tell_time_machine(ctx: Context, verb: str) -> None:
    try:
        ran = ctx.machine.run([TMUTIL, verb, ctx.home.root], timeout_s=20)
        why = "" if ran.ok else ran.tail(1)
    except CommandMissing as error:
        why = error.message
    if why:
        ctx.note(f"Time Machine was not told ({why}).")
