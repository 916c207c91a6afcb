"""What is newer than the ComfyUI that is here, asked for while a look does other things; it waits for seconds only."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from provision.comfyui.git_remote import RELEASE
from provision.command import Fix, ours
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.step import Context
from provision.errors import CommandMissing, GitError, HubRefused, NetworkError, UsageError, WrongFile

ASK_S = 3.0
"""How long ComfyUI's host may take to answer, from the moment it is asked."""


@dataclass(frozen=True, slots=True)
class NewerRelease:
    """ComfyUI's newest release where it is another than the one here: its day, and about how many bytes would come.

    Null where the host did not say in time.
    """

    name: str
    date: str | None = None
    download_bytes: int | None = None


@dataclass(slots=True)
class Asked:
    """What is known by now."""

    answered: bool = False
    newer: NewerRelease | None = None


def ask_newest(ctx: Context) -> Callable[[], Asked] | None:
    """Ask in the background; the result waits for the answer, within `ASK_S`. None where nothing is ours to update."""
    here = ctx.receipts.read("comfyui", ComfyReceipt)
    if ctx.home.code_of_another is not None or not here.commit:
        return None
    found, begun = Asked(), ctx.machine.clock()
    thread = threading.Thread(target=lambda: _ask(ctx, here, found), name="newest-release", daemon=True)
    thread.start()

    def wait() -> Asked:
        thread.join(max(0.0, ASK_S - (ctx.machine.clock() - begun)))
        return found

    return wait


def _ask(ctx: Context, here: ComfyReceipt, found: Asked) -> None:
    from provision.download.source_archive import by_archive, find_revision, read_remote_file

    url = ctx.manifest.comfyui.url
    with suppress(GitError, NetworkError, HubRefused, CommandMissing, UsageError, WrongFile):
        revision = find_revision(ctx, url, "latest")
        if revision.commit != here.commit and is_later(revision.name, here.name):
            found.newer = NewerRelease(revision.name)
        found.answered = True
        if found.newer is not None and not by_archive(ctx, url):  # a whole archive is too much for a look
            asked = read_remote_file(ctx, url, revision.name, "requirements.txt")
            told = replace(found.newer, date=asked.date[:10], download_bytes=_cost(ctx, asked.text))
            found.newer = told if asked.date[:10] >= here.date[:10] else None


def is_later(name: str, here: str) -> bool:
    """Whether one release is later than another; a name that is no release's may be anything."""
    one, other = RELEASE.fullmatch(name), RELEASE.fullmatch(here)
    return one is None or other is None or _numbers(one) > _numbers(other)


def _numbers(release: re.Match[str]) -> list[int]:
    return [int(number or 0) for number in release.groups()]


def _cost(ctx: Context, requirements: str) -> int:
    """About how many bytes would come, by the share of the requirements that is not met."""
    from provision.environment.packages import asked_lines, installed_versions, target_python, unmet
    from provision.steps.comfyui.step import revision_bytes
    from provision.steps.requirements.install import packages_cost

    lines = asked_lines(requirements)
    lacks = unmet(lines, installed_versions(ctx.home.venv), target_python(ctx))
    share = len(lacks) / len(lines) if lines else 0.0
    return round(revision_bytes(ctx) + packages_cost(ctx).download_bytes * share)


def says_newer(ctx: Context, newer: NewerRelease) -> Fix:
    """A sentence on a newer release, and the command that says more."""
    from provision.output.amounts import size_text

    of = f" of {newer.date}" if newer.date else ""
    cost = f", at least {size_text(newer.download_bytes)} to download" if newer.download_bytes is not None else ""
    ref = ctx.manifest.comfyui.ref
    if ref == "latest":
        return Fix(f"ComfyUI {newer.name}{of} is out{cost}:", ours("update", "--dry-run"))
    held = f"ComfyUI is held at {ref}; {newer.name}{of} is out{cost}:"
    return Fix(held, ours("update", "--comfyui", "latest", "--dry-run"))
