"""The model: one file of weights under `ComfyUI/models`, whole and proven.

A file that stands there is looked at (name, size, first bytes, header) before it is trusted, and its hash is believed
from a receipt only while the file is the one that was hashed.
What stands in the way is never deleted: it is moved aside, or gone on with where it is the beginning of the right file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from provision.backends.backend import RemoteFile
from provision.backends.delivery import bring_proven, header_of, misfit, put_in_place, sha256_of
from provision.backends.part import bytes_here, bytes_waiting, part_of
from provision.backends.remote import look_up
from provision.backends.web import host_of
from provision.errors import HubRefused, WrongFile
from provision.finding import JSON, Finding, Fix, Verdict, blocked, fixable, ok
from provision.home import unusable
from provision.manifest import Model, ModelFile
from provision.receipts import file_identity, read_json, same_facts
from provision.safetensors import LENGTH_BYTES, HeaderTruncated, NotSafetensors, describe_bytes, header_length
from provision.step import Context, Step

POINTER = b"version https://git-lfs"
READS_ONLY = frozenset({"ckpt-unproven"})
"""Findings whose fix writes nothing into the models' folder."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of the manifest, where it belongs, and what is known of it: `size`, `sha256` may be the hub's to tell."""

    model: Model
    file: ModelFile
    place: Path
    size: int | None
    sha256: str
    receipt: dict[str, JSON]

    @property
    def checkpoint(self) -> bool:
        """Whether it must hold a whole model: UNet, text encoders, VAE."""
        return self.model.folder.split("/")[0] == "checkpoints"


def check_models(ctx: Context) -> Iterator[Finding]:
    """One finding a file. Reads the weights only with `--deep`, and never the network."""
    for wanted in wanted_files(ctx):
        finding = _look(ctx, wanted)
        writes = finding.verdict is Verdict.FIXABLE and finding.id not in READS_ONLY
        yield _outside(ctx, wanted, finding) if writes and not ctx.home.inside(wanted.place.parent) else finding


def apply_models(ctx: Context, finding: Finding) -> None:
    """Mend one file. Raises WrongFile, HubRefused, NetworkError, DownloadError, DiskFull, HomeError, Interrupted ..."""
    wanted = next(each for each in wanted_files(ctx) if _subject(ctx, each) == finding.subject)
    try:
        if finding.id == "ckpt-case":
            (wanted.place.parent / str(finding.facts["seen"])).rename(wanted.place)
        elif finding.id == "ckpt-unreadable":
            wanted.place.chmod(stat.S_IMODE(wanted.place.stat().st_mode) | stat.S_IRUSR)
        elif finding.id == "ckpt-unproven":
            _prove(ctx, wanted)
        else:
            _provide(ctx, wanted, go_on=finding.id == "ckpt-truncated")
    except OSError as error:
        raise unusable(wanted.place, error) from error


MODELS = Step(
    "models",
    needs=("tools",),
    check=check_models,
    apply=apply_models,
    about="the checkpoint: downloaded, verified by sha256, in place by one rename",
)


def provision_file(ctx: Context, model: Model, file: ModelFile, target: Path) -> None:
    """Bring one file to a place of the person's choice, proven; what is right there already is left alone.

    Raises WrongFile when another file has that name there, and as `apply_models`.
    """
    offered = _offered(ctx, Wanted(model, file, target, file.size, file.sha256 or "", {}))
    if target.is_file():
        if sha256_of(ctx, target, file.name) == offered.sha256:
            ctx.note(f"{target} is there already, and right.")
            return
        raise WrongFile(
            f"{target} is there and is another file; it was left as it is.", hint=f"mv {target} {target}.old"
        )
    checkpoint = model.folder.split("/")[0] == "checkpoints"
    put_in_place(bring_proven(ctx, offered, precision=file.precision, checkpoint=checkpoint), target)


def wanted_files(ctx: Context) -> list[Wanted]:
    """The manifest's files of the chosen precision. Raises ManifestError when there is none."""
    chosen = ctx.manifest.chosen(ctx.options.precision)
    return [_wanted(ctx, model, file) for model, file in chosen or [ctx.manifest.checkpoint(ctx.options.precision)]]


def _wanted(ctx: Context, model: Model, file: ModelFile) -> Wanted:
    place = ctx.home.comfyui / "models" / model.folder / file.name
    receipt = _receipt(ctx, model, file)
    size, sha256 = receipt.get("wanted_size"), receipt.get("wanted_sha256")
    return Wanted(
        model, file, place,
        file.size or (size if isinstance(size, int) else None),
        file.sha256 or (sha256 if isinstance(sha256, str) else ""),
        receipt,
    )  # fmt: skip


def _receipt(ctx: Context, model: Model, file: ModelFile) -> dict[str, JSON]:
    """The proof of a file: named after its hash, or, where the manifest has none, found by where it came from."""
    if file.sha256:
        return ctx.receipts.read(_receipt_name(file.sha256))
    origin = {"repo": model.repo, "asked_revision": model.revision, "path": file.path}
    receipts = (read_json(path) or {} for path in sorted(ctx.receipts.folder.glob("model-*.json")))
    return next((receipt for receipt in receipts if same_facts(receipt, origin)), {})


def _receipt_name(sha256: str) -> str:
    return f"model-{sha256[:12]}"


def _subject(ctx: Context, wanted: Wanted) -> str:
    return ctx.home.shown(wanted.place)


# -- looking ------------------------------------------------------------------------------------------------


def _look(ctx: Context, wanted: Wanted) -> Finding:
    place = wanted.place
    try:
        names = [entry.name for entry in place.parent.iterdir()]
    except OSError:
        names = []
    if place.name not in names:
        return _absent(ctx, wanted, names)
    if place.is_symlink() and not place.exists():
        says = f"{place.name} is a link to {place.readlink()}, which is not there."
        return _to_fetch(ctx, wanted, "ckpt-deadlink", says)
    if not place.is_file():
        return _to_fetch(ctx, wanted, "ckpt-other", f"{place.name} is a folder, not a file.")
    trusted = same_facts(wanted.receipt, file_identity(place)) and "sha256" in wanted.receipt
    if not os.access(place, os.R_OK):
        return _unreadable(ctx, wanted)
    if trusted and not ctx.options.deep:
        return _as_proven(ctx, wanted)
    try:
        return _look_inside(ctx, wanted)
    except PermissionError:  # the system may refuse what the permissions allow
        return _unreadable(ctx, wanted)


def _absent(ctx: Context, wanted: Wanted, names: list[str]) -> Finding:
    name = wanted.place.name
    twin = next((seen for seen in names if seen.casefold() == name.casefold()), None)
    if twin is not None:
        return fixable(
            "ckpt-case", _subject(ctx, wanted), f"The file is called {twin}; ComfyUI's list knows only {name}.",
            fix=Fix(f"Rename {twin} to {name}."), seen=twin,
        )  # fmt: skip
    here = bytes_waiting(ctx.home, wanted.sha256) if wanted.sha256 else 0
    if wanted.size is None:
        says = f"{name} is not there; its size is the hub's to tell."
    elif here:
        says = f"{name} is not there; {here:,} of {wanted.size:,} bytes have been downloaded."
    else:
        says = f"{name} is not there: {wanted.size:,} bytes."
    return _to_fetch(ctx, wanted, "ckpt-missing", says, here=here)


def _unreadable(ctx: Context, wanted: Wanted) -> Finding:
    place, subject = wanted.place, _subject(ctx, wanted)
    says = f"{place.name} cannot be read: its permissions are {stat.filemode(place.stat().st_mode)}."
    if place.stat().st_uid == os.geteuid():
        return fixable(
            "ckpt-unreadable", subject, says, fix=Fix("Let its owner read it.", ("chmod", "u+r", str(place)))
        )
    return blocked(
        "ckpt-unreadable", subject, says + " It belongs to another user.",
        fix=Fix("Make it yours.", ("sudo", "chown", str(os.geteuid()), str(place))),
    )  # fmt: skip


def _as_proven(ctx: Context, wanted: Wanted) -> Finding:
    when = str(wanted.receipt.get("verified_at", ""))[:10]
    found = str(wanted.receipt["sha256"])
    if found != wanted.sha256:
        return _bitrot(ctx, wanted, found)
    return ok(
        "ckpt-ready", _subject(ctx, wanted),
        f"{wanted.place.name} ({wanted.size or 0:,} bytes): sha256 verified on {when}, unchanged since.",
        sha256=found, size=wanted.size,
    )  # fmt: skip


def _bitrot(ctx: Context, wanted: Wanted, found: str) -> Finding:
    says = f"{wanted.place.name} has the right size and a wrong sha256 ({found[:12]}, not {wanted.sha256[:12]})."
    return _to_fetch(ctx, wanted, "ckpt-bitrot", says)


def _look_inside(ctx: Context, wanted: Wanted) -> Finding:
    """What the first bytes, the header and the size tell; with `--deep` the hash too."""
    place, name, size = wanted.place, wanted.place.name, bytes_here(wanted.place)
    with place.open("rb") as stream:
        start = stream.read(512)
    try:
        header_length(start)
    except NotSafetensors as error:
        return _to_fetch(ctx, wanted, _stranger_id(start), f"{name} ({size:,} bytes): {error}")
    try:
        header = header_of(place)
    except HeaderTruncated:
        return _to_fetch(ctx, wanted, "ckpt-truncated", f"{name} ends within its header, after {size:,} bytes.")
    except NotSafetensors as error:
        damaged = start[LENGTH_BYTES : LENGTH_BYTES + 1] in (b"{", b"\0")
        return _to_fetch(ctx, wanted, "ckpt-zeroed" if damaged else _stranger_id(start), f"{name}: {error}")
    if size < header.file_size_bytes:
        says = f"{name} has {size:,} of the {header.file_size_bytes:,} bytes that its header tells."
        begun = size if header.file_size_bytes == wanted.size and not place.is_symlink() else 0
        return _to_fetch(ctx, wanted, "ckpt-truncated", says, here=begun)
    wrong = misfit(header, size, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    if not wrong and wanted.size is not None and size != wanted.size:
        wrong = f"it has {size:,} bytes, and the manifest's has {wanted.size:,}"
    if wrong:
        return _to_fetch(ctx, wanted, "ckpt-other", f"{name} is another file: {wrong}.")
    if ctx.options.deep and wanted.sha256:
        return _look_through(ctx, wanted)
    return fixable(
        "ckpt-unproven", _subject(ctx, wanted), f"{name} has the right size; its sha256 has not been verified here.",
        fix=Fix(f"Verify the sha256 of {name}; nothing is downloaded if it is right."),
    )  # fmt: skip


def _stranger_id(start: bytes) -> str:
    if start.startswith(POINTER):
        return "lfs-pointer"
    if not start.strip(b"\0"):
        return "ckpt-zeroed"
    textual = describe_bytes(start).startswith(("an HTML", "an XML", "a JSON", "text"))
    return "html-body" if textual else "ckpt-other"


def _look_through(ctx: Context, wanted: Wanted) -> Finding:
    found = sha256_of(ctx, wanted.place, wanted.place.name)
    if found != wanted.sha256:
        return _bitrot(ctx, wanted, found)
    return ok(
        "ckpt-ready", _subject(ctx, wanted), f"{wanted.place.name}: sha256 verified just now ({found[:12]}).",
        sha256=found, size=wanted.size,
    )  # fmt: skip


def _to_fetch(ctx: Context, wanted: Wanted, id: str, says: str, *, here: int = 0) -> Finding:
    """A finding whose fix is a download, with what it will move."""
    facts: dict[str, JSON] = {"sha256": wanted.sha256} if wanted.sha256 else {}
    if wanted.size is not None:
        waiting = bytes_waiting(ctx.home, wanted.sha256) if wanted.sha256 else 0
        rest = max(0, wanted.size - max(here, waiting))
        facts |= {"size": wanted.size, "download_bytes": rest, "disk_bytes": rest}
    source = f"{wanted.model.repo} at {wanted.model.revision[:12]}"
    aside = "" if id == "ckpt-missing" else " What stands there is kept aside."
    fix = Fix(f"Download {wanted.file.path} of {source} and verify it.{aside}", ("provision", "download"))
    return fixable(id, _subject(ctx, wanted), says, fix=fix, **facts)


def _outside(ctx: Context, wanted: Wanted, finding: Finding) -> Finding:
    folder = wanted.place.parent
    return blocked(
        "ckpt-outside", _subject(ctx, wanted),
        f"{finding.says} {ctx.home.shown(folder)} leads out of the home to {folder.resolve()}; we do not write there.",
        fix=Fix(f"Put {wanted.place.name} there yourself, or remove the link.", ("rm", str(folder))),
    )  # fmt: skip


# -- mending ------------------------------------------------------------------------------------------------


def _prove(ctx: Context, wanted: Wanted) -> None:
    """Hash what lies there and keep the result: the next check judges it."""
    sha256, size = wanted.sha256, wanted.size
    if not sha256 or size is None:
        offered = _offered(ctx, wanted)
        sha256, size = offered.sha256, offered.size
    found = sha256_of(ctx, wanted.place, wanted.place.name)
    _keep_receipt(ctx, replace(wanted, size=size, sha256=sha256), found)


def _provide(ctx: Context, wanted: Wanted, *, go_on: bool) -> None:
    """Download, prove, make way, put in place. Until the new file is proven the old one stays where it is."""
    offered = _offered(ctx, wanted)
    if go_on:
        _go_on_with(ctx, wanted, offered)
    part = bring_proven(ctx, offered, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    if wanted.place.is_symlink() or wanted.place.exists():
        _move_aside(ctx, wanted.place)
    put_in_place(part, wanted.place)
    _keep_receipt(ctx, replace(wanted, size=offered.size, sha256=offered.sha256), offered.sha256)


def _offered(ctx: Context, wanted: Wanted) -> RemoteFile:
    """What the hub has, held against the manifest. Raises WrongFile, HubRefused, and as `look_up`."""
    model, file = wanted.model, wanted.file
    offered = look_up(ctx, model.repo, model.revision, file.path)
    differs = (file.size is not None and offered.size != file.size) or (
        file.sha256 and offered.sha256 and offered.sha256 != file.sha256
    )
    if differs:
        raise WrongFile(
            f"{host_of(offered.endpoint)} offers another {file.path} than the manifest names: {offered.size:,} bytes,"
            f" sha256 {offered.sha256[:12] or 'unknown'}; the manifest says {file.size or 'any number of'} bytes,"
            f" {(file.sha256 or 'any')[:12]}.",
            hint="If HF_ENDPOINT is set, unset it; else correct models.0.revision: provision manifests show sdxl-turbo",
        )
    if not (file.sha256 or offered.sha256):
        raise HubRefused(
            f"{host_of(offered.endpoint)} does not tell the sha256 of {file.path}, and the manifest has none either.",
            hint="Add it: --set models.0.files.0.sha256=...",
        )
    return replace(offered, sha256=file.sha256 or offered.sha256)


def _go_on_with(ctx: Context, wanted: Wanted, offered: RemoteFile) -> None:
    """A file that ended too early becomes the part, where it is the longer beginning of the file that is wanted."""
    place = wanted.place
    if place.is_symlink() or bytes_here(place) <= bytes_waiting(ctx.home, offered.sha256):
        return
    try:
        right = header_of(place).file_size_bytes == offered.size
    except (NotSafetensors, HeaderTruncated):
        right = False
    if right:
        ctx.note(f"{place.name} ended too early; it is gone on with from byte {bytes_here(place):,}.")
        ctx.home.parts.mkdir(parents=True, exist_ok=True)
        place.replace(part_of(ctx.home, offered.sha256))


def _move_aside(ctx: Context, place: Path) -> None:
    ctx.home.aside.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromtimestamp(ctx.machine.now(), UTC).strftime("%Y%m%d-%H%M%S")
    aside, count = ctx.home.aside / f"{place.stem}.{stamp}{place.suffix}", 1
    while aside.is_symlink() or aside.exists():
        aside, count = aside.with_name(f"{place.stem}.{stamp}-{count}{place.suffix}"), count + 1
    place.rename(aside)
    ctx.note(f"What stood at {ctx.home.shown(place)} is now {ctx.home.shown(aside)}.")


def _keep_receipt(ctx: Context, wanted: Wanted, found: str) -> None:
    ctx.receipts.write(
        _receipt_name(wanted.sha256),
        **file_identity(wanted.place),
        sha256=found,
        wanted_sha256=wanted.sha256,
        wanted_size=wanted.size,
        repo=wanted.model.repo,
        asked_revision=wanted.model.revision,
        path=wanted.file.path,
        precision=wanted.file.precision,
        place=ctx.home.shown(wanted.place),
        verified_at=datetime.fromtimestamp(ctx.machine.now(), UTC).isoformat(timespec="seconds"),
    )
