"""One verified file to its place: verify what lies there, take over a copy, or download it; then one rename."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors, SafetensorsHeader, parse_safetensors_header
from provision.command import Fix, ours, program
from provision.core.manifest import Model, ModelFile
from provision.core.moved_aside import make_way
from provision.core.receipt_kinds import ModelReceipt
from provision.core.step import Context
from provision.download.backend import HubFile
from provision.download.backends.auto import bring
from provision.download.hub.api import look_up, read_header
from provision.download.hub.cache import share_with_cache
from provision.download.hub.mirrors import endpoints_of, from_endpoints
from provision.download.local_copies import Sought, found_file, take_copy
from provision.download.model_files import WantedFile, keep_receipt
from provision.download.part_file import (
    adopt,
    bytes_waiting,
    disk_errors_said,
    drop_part,
    open_part,
    part_of,
    put_in_place,
)
from provision.download.verify import header_of, misfit, sha256_of
from provision.download.web import host_of, is_loopback
from provision.errors import HubRefused, WrongFile
from provision.system.disk_use import bytes_here
from provision.system.guarded import BY_HAND
from provision.system.keep_awake import kept_awake
from provision.system.metered_network import metered_because
from provision.system.strict import Unreadable

MUCH_BYTES = 100_000_000
"""What is worth a word on a network that costs by the byte."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """Verified bytes, ready for a rename."""

    path: Path
    size: int
    sha256: str
    commit: str
    """Of the repository; a branch or tag where nobody has told the commit."""


def obtain(ctx: Context, wanted: WantedFile, *, resume: bool) -> None:
    """Bring a model's file to its place; until that is verified, what stands there stays.

    `resume`: what stands there may be the beginning of it. Raises WrongFile, HubRefused, DiskFull ...
    """
    got = _get(ctx, wanted, resume=resume)
    if wanted.place.is_symlink() or wanted.place.exists():
        aside = make_way(ctx, wanted.place)
        ctx.note(f"What stood at {ctx.home.shown(wanted.place)} is now {ctx.home.shown(aside)}.")
    _place(ctx, wanted, got)
    keep_receipt(ctx, wanted, size=got.size, sha256=got.sha256, found=got.sha256, downloaded=True)


def obtain_at(ctx: Context, model: Model, file: ModelFile, target: Path) -> None:
    """Bring one file to a place of the person's choice, verified; what is right there already is left alone.

    Raises WrongFile when another file has that name there, and as `obtain`.
    """
    wanted = WantedFile(model, file, target, file.size, file.sha256, ModelReceipt())
    with disk_errors_said(target):
        if not os.path.lexists(target):
            _place(ctx, wanted, _get(ctx, wanted))
        elif target.is_file() and sha256_of(ctx, target, file.name) == _identity_of(ctx, wanted)[1]:
            ctx.note(f"{target} already exists and is correct.")
        else:
            raise WrongFile(
                f"{target} already exists and is a different file; it was not changed.",
                hint=program("mv", str(target), f"{target}.old"),
            )


def verify(ctx: Context, wanted: WantedFile) -> None:
    """Hash what lies there and keep the result, which the next check goes by."""
    size, sha256 = _identity_of(ctx, wanted)
    found = sha256_of(ctx, wanted.place, wanted.place.name)
    keep_receipt(ctx, wanted, size=size, sha256=sha256, found=found, downloaded=False)


def _identity_of(ctx: Context, wanted: WantedFile) -> tuple[int, str]:
    """The size and hash that it must have; the hub is asked where nobody has told them yet."""
    known = wanted.sought or from_endpoints(ctx, wanted.file.name, lambda at, hub: _offered(at, wanted, hub))
    return known.size, known.sha256


def _get(ctx: Context, wanted: WantedFile, *, resume: bool = False) -> _Verified:
    """A copy that is on this machine, else a download."""
    copy = _copy(ctx, wanted.sought, wanted.model.revision)
    if copy is not None:
        return copy
    if ctx.options.source is not None and ctx.options.source.folder is not None:
        raise WrongFile(
            f"{ctx.options.source.place} has no usable {wanted.file.name}; nothing was downloaded.",
            hint=Fix("To see what is wrong with it:", ours("bundle", "--check", ctx.options.source.place)),
        )
    _say_what_it_costs(ctx, wanted)
    _say_where_nobody_looked(ctx, wanted)
    with kept_awake(ctx.machine):
        return from_endpoints(ctx, wanted.file.name, lambda at, hub: _get_from(at, hub, wanted, resume=resume))


def _copy(ctx: Context, sought: Sought | None, commit: str) -> _Verified | None:
    path = take_copy(ctx, sought) if sought else None
    return _Verified(path, sought.size, sought.sha256, commit) if sought and path else None


def _say_what_it_costs(ctx: Context, wanted: WantedFile) -> None:
    size = wanted.size or 0
    if size >= MUCH_BYTES and not is_loopback(endpoints_of(ctx)[0]) and (why := metered_because(ctx.machine)):
        left_gb = (size - (bytes_waiting(ctx.home, wanted.sha256) if wanted.sha256 else 0)) / 1e9
        ctx.note(
            f"This network may be metered ({why}): {left_gb:.2f} GB to download. Ctrl-C keeps what is done;"
            " run the same command on another network to resume."
        )


def _say_where_nobody_looked(ctx: Context, wanted: WantedFile) -> None:
    if (wanted.size or 0) >= MUCH_BYTES and ctx.machine.system == "Darwin" and not ctx.options.look_in:
        ctx.note(
            f"{', '.join(BY_HAND)} and other disks were not searched for a copy, because macOS would ask you about"
            " each. To search one, name it: --look-in ~/Downloads"
        )


def _get_from(ctx: Context, endpoint: str, wanted: WantedFile, *, resume: bool) -> _Verified:
    file = _offered(ctx, wanted, endpoint)
    if not wanted.sought:  # only now it is known what to look for
        copy = _copy(ctx, replace(wanted, size=file.size, sha256=file.sha256).sought, file.revision)
        if copy is not None:
            return copy
    if resume:
        _resume_from(ctx, wanted, file)
    part = download(ctx, file, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    return _Verified(part, file.size, file.sha256, file.revision)


def _offered(ctx: Context, wanted: WantedFile, endpoint: str) -> HubFile:
    """What the hub has, held against the manifest. Raises WrongFile, HubRefused, and as `look_up`."""
    model, file = wanted.model, wanted.file
    offered = look_up(ctx, model.repo, model.revision, file.path, endpoint)
    differs = (file.size is not None and offered.size != file.size) or (
        file.sha256 and offered.sha256 and offered.sha256 != file.sha256
    )
    if differs:
        raise WrongFile(
            f"{host_of(offered.endpoint)} has a different {file.path} than the manifest lists: {offered.size:,} bytes,"
            f" sha256 {offered.sha256[:12] or 'unknown'}; the manifest says {file.size or 'any number of'} bytes,"
            f" {(file.sha256 or 'any')[:12]}.",
            hint=Fix(
                "If HF_ENDPOINT is set, unset it; else correct models.0.revision:",
                ours("manifests", "show", "sdxl-turbo"),
            ),
        )
    if not (file.sha256 or offered.sha256):
        raise HubRefused(
            f"{host_of(offered.endpoint)} does not give a sha256 for {file.path}, and the manifest has none either.",
            hint=Fix("Add it: --set models.0.files.0.sha256=..."),
        )
    return replace(offered, sha256=file.sha256 or offered.sha256)


def _resume_from(ctx: Context, wanted: WantedFile, offered: HubFile) -> None:
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
        ctx.note(f"{place.name} is incomplete; resuming at byte {bytes_here(place):,}.")
        adopt(part_of(ctx.home, offered.sha256), place)


# -- one file of one hub ----------------------------------------------------------------------------------------


def download(ctx: Context, file: HubFile, *, precision: str, checkpoint: bool) -> Path:
    """Download a file into its part and verify it; a part of a former run is resumed.

    The header is checked before the rest is moved. Bytes with a wrong hash are thrown away and fetched once more.
    Raises WrongFile and whatever the backends raise; then the part is kept.
    """
    part = open_part(ctx.machine, ctx.home, file)
    header = _header_in(part) or _header_offered(ctx, file)
    _check_header(header, file, precision=precision, checkpoint=checkpoint)
    fault = _fetch(ctx, file, part)
    if fault:
        ctx.note(f"{file.name} came with {fault}: downloading it again.")
        fault = _fetch(ctx, file, open_part(ctx.machine, ctx.home, file))
    if fault:
        raise WrongFile(
            f"{file.name} was downloaded twice, the second time with {fault}; nothing was installed.",
            hint=Fix("A proxy may be changing the file: try another network, or:", ours("all", "--backend", "git-lfs")),
        )
    return part


def _fetch(ctx: Context, file: HubFile, part: Path) -> str | None:
    """Bring a part to its size; what is wrong with it then, in words, and it is dropped; None when nothing is."""
    taken = bring(ctx, file, part)
    if (here := bytes_here(part)) != file.size:
        fault = f"{here:,} bytes instead of {file.size:,}"
    elif (found := taken or sha256_of(ctx, part, file.name)) != file.sha256:
        fault = f"a wrong sha256 ({found[:12]}, not {file.sha256[:12]})"
    else:
        return None
    with disk_errors_said(part):
        drop_part(part)
    return fault


def _check_header(header: SafetensorsHeader, file: HubFile, *, precision: str, checkpoint: bool) -> None:
    """Refuse a file whose header says that it is another one. Raises WrongFile."""
    wrong = misfit(header, file.size, precision=precision, checkpoint=checkpoint)
    if wrong:
        raise WrongFile(
            f"{file.path} of {file.repo} is not what the manifest says: {wrong}. The download was not started.",
            hint=Fix("Correct models.0.files in the manifest:", ours("manifests", "show", "sdxl-turbo")),
        )


def _header_in(part: Path) -> SafetensorsHeader | None:
    with suppress(NotSafetensors, HeaderTruncated, OSError, Unreadable):
        return header_of(part)
    return None


def _header_offered(ctx: Context, file: HubFile) -> SafetensorsHeader:
    try:
        return parse_safetensors_header(read_header(ctx, file))
    except (NotSafetensors, HeaderTruncated) as error:
        raise WrongFile(
            f"{file.path} on {host_of(file.endpoint)} is not a usable safetensors file: {error}",
            hint=Fix("Check models.0.files.0.path in the manifest:", ours("manifests", "show", "sdxl-turbo")),
        ) from error


# -- in place ---------------------------------------------------------------------------------------------------


def _place(ctx: Context, wanted: WantedFile, got: _Verified) -> None:
    """One rename; nothing of the way there is left behind."""
    put_in_place(got.path, wanted.place)
    found_file(ctx.home, got.sha256).unlink(missing_ok=True)
    drop_part(part_of(ctx.home, got.sha256))
    if ctx.options.share_cache:
        share_with_cache(
            ctx,
            wanted.place,
            repo=wanted.model.repo,
            commit=got.commit,
            path=wanted.file.path,
            sha256=got.sha256,
        )
