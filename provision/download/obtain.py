"""Mending a model's file: prove it, take over a copy that is here, or download it; then one rename."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors
from provision.command import Fix, ours, program
from provision.core.manifest import Model, ModelFile
from provision.core.moved_aside import make_way
from provision.core.receipt_kinds import ModelReceipt
from provision.core.step import Context
from provision.download.backend import RemoteFile
from provision.download.delivery import bring_proven, header_of, put_in_place, sha256_of
from provision.download.hub.api import look_up
from provision.download.hub.cache import share_with_cache
from provision.download.hub.mirrors import endpoints_of, from_endpoints
from provision.download.local_copies import found_file, take_copy
from provision.download.model_files import Wanted, keep_receipt
from provision.download.part_file import adopt, bytes_here, bytes_waiting, disk_errors_said, drop_part, part_of
from provision.download.web import host_of, is_loopback
from provision.errors import HubRefused, WrongFile
from provision.system.keep_awake import kept_awake
from provision.system.metered_network import metered_because

MUCH_BYTES = 100_000_000
"""What is worth a word on a network that costs by the byte."""


def provision_file(ctx: Context, model: Model, file: ModelFile, target: Path) -> None:
    """Bring one file to a place of the person's choice, proven; what is right there already is left alone.

    Raises WrongFile when another file has that name there, and as `apply_models`.
    """
    wanted = Wanted(model, file, target, file.size, file.sha256 or "", ModelReceipt())
    with disk_errors_said(target):
        if not os.path.lexists(target):
            _place(ctx, wanted, _bring(ctx, wanted))
        elif target.is_file() and (
            sha256_of(ctx, target, file.name) == (wanted if wanted.sought else _asked(ctx, wanted)).sha256
        ):
            ctx.note(f"{target} is there already, and right.")
        else:
            raise WrongFile(
                f"{target} is there and is another file; it was left as it is.",
                hint=program("mv", str(target), f"{target}.old"),
            )


def prove(ctx: Context, wanted: Wanted) -> None:
    """Hash what lies there and keep the result: the next check judges it."""
    sha256, size = wanted.sha256, wanted.size
    if not sha256 or size is None:
        offered = _asked(ctx, wanted)
        sha256, size = offered.sha256, offered.size
    found = sha256_of(ctx, wanted.place, wanted.place.name)
    keep_receipt(ctx, replace(wanted, size=size, sha256=sha256), found, downloaded=False)


def provide(ctx: Context, wanted: Wanted, *, go_on: bool) -> None:
    """Bring, prove, make way, put in place. Until the new file is proven the old one stays where it is."""
    brought = _bring(ctx, wanted, go_on=go_on)
    if wanted.place.is_symlink() or wanted.place.exists():
        aside = make_way(ctx, wanted.place)
        ctx.note(f"What stood at {ctx.home.shown(wanted.place)} is now {ctx.home.shown(aside)}.")
    _place(ctx, wanted, brought)
    keep_receipt(ctx, replace(wanted, size=brought.size, sha256=brought.sha256), brought.sha256, downloaded=True)


@dataclass(frozen=True, slots=True)
class _Brought:
    """Proven bytes, ready for a rename."""

    path: Path
    size: int
    sha256: str
    commit: str
    """Of the repository; a branch or tag where nobody has told the commit."""


def _bring(ctx: Context, wanted: Wanted, *, go_on: bool = False) -> _Brought:
    """A copy that is on this machine, else a download."""
    copy = _copy_of(ctx, wanted)
    if copy is not None:
        return copy
    _say_what_it_costs(ctx, wanted)
    with kept_awake(ctx.machine):
        return from_endpoints(ctx, wanted.file.name, lambda at, endpoint: _download(at, endpoint, wanted, go_on=go_on))


def _say_what_it_costs(ctx: Context, wanted: Wanted) -> None:
    size = wanted.size or 0
    if size >= MUCH_BYTES and not is_loopback(endpoints_of(ctx)[0]) and (why := metered_because(ctx.machine)):
        left_gb = (size - bytes_waiting(ctx.home, wanted.sha256)) / 1e9
        ctx.note(
            f"This network may cost by the byte ({why}): {left_gb:.2f} GB come over it. Ctrl-C keeps what is here;"
            " on another network the same command goes on."
        )


def _copy_of(ctx: Context, wanted: Wanted) -> _Brought | None:
    sought = wanted.sought
    copy = take_copy(ctx, sought) if sought else None
    return _Brought(copy, sought.size, sought.sha256, wanted.model.revision) if sought and copy else None


def _download(ctx: Context, endpoint: str, wanted: Wanted, *, go_on: bool) -> _Brought:
    offered = _offered(ctx, wanted, endpoint)
    if not wanted.sought:  # only now it is known what to look for
        copy = _copy_of(ctx, replace(wanted, size=offered.size, sha256=offered.sha256))
        if copy is not None:
            return replace(copy, commit=offered.revision)
    if go_on:
        _go_on_with(ctx, wanted, offered)
    part = bring_proven(ctx, offered, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    return _Brought(part, offered.size, offered.sha256, offered.revision)


def _place(ctx: Context, wanted: Wanted, brought: _Brought) -> None:
    """One rename; nothing of the way there is left behind."""
    put_in_place(brought.path, wanted.place)
    found_file(ctx.home, brought.sha256).unlink(missing_ok=True)
    drop_part(part_of(ctx.home, brought.sha256))
    if ctx.options.share_cache:
        share_with_cache(
            ctx, wanted.place, repo=wanted.model.repo, commit=brought.commit, path=wanted.file.path,
            sha256=brought.sha256,
        )  # fmt: skip


def _asked(ctx: Context, wanted: Wanted) -> RemoteFile:
    return from_endpoints(ctx, wanted.file.name, lambda at, endpoint: _offered(at, wanted, endpoint))


def _offered(ctx: Context, wanted: Wanted, endpoint: str) -> RemoteFile:
    """What the hub has, held against the manifest. Raises WrongFile, HubRefused, and as `look_up`."""
    model, file = wanted.model, wanted.file
    offered = look_up(ctx, model.repo, model.revision, file.path, endpoint)
    differs = (file.size is not None and offered.size != file.size) or (
        file.sha256 and offered.sha256 and offered.sha256 != file.sha256
    )
    if differs:
        raise WrongFile(
            f"{host_of(offered.endpoint)} offers another {file.path} than the manifest names: {offered.size:,} bytes,"
            f" sha256 {offered.sha256[:12] or 'unknown'}; the manifest says {file.size or 'any number of'} bytes,"
            f" {(file.sha256 or 'any')[:12]}.",
            hint=Fix(
                "If HF_ENDPOINT is set, unset it; else correct models.0.revision:",
                ours("manifests", "show", "sdxl-turbo"),
            ),
        )
    if not (file.sha256 or offered.sha256):
        raise HubRefused(
            f"{host_of(offered.endpoint)} does not tell the sha256 of {file.path}, and the manifest has none either.",
            hint=Fix("Add it: --set models.0.files.0.sha256=..."),
        )
    return replace(offered, sha256=file.sha256 or offered.sha256)


def _go_on_with(ctx: Context, wanted: Wanted, offered: RemoteFile) -> None:
    """A file that ended too early becomes the part, where it is the longer beginning of the file that is wanted."""
    place = wanted.place
    if place.is_symlink() or bytes_here(place) <= bytes_waiting(ctx.home, offered.sha256):
        return
    if place.stat().st_nlink > 1:  # another program's file too: only what is ours alone is written to
        return
    try:
        right = header_of(place).file_size_bytes == offered.size
    except (NotSafetensors, HeaderTruncated):
        right = False
    if right:
        ctx.note(f"{place.name} ended too early; it is gone on with from byte {bytes_here(place):,}.")
        adopt(part_of(ctx.home, offered.sha256), place)
