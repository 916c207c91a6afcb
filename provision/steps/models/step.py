"""The model: a file of weights under `ComfyUI/models`, whole and verified.

A file is checked (name, size, first bytes, header) before it is trusted, and a receipt's hash is believed only while
the file is the one that was hashed. Nothing that is in the way is deleted: it is moved aside, or resumed where it is
the beginning of the right file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from provision.comfyui.safetensors import (
    LENGTH_BYTES,
    POINTER,
    HeaderTruncated,
    NotSafetensors,
    describe_bytes,
    header_length,
)
from provision.command import Fix, ours, program
from provision.core.deep_results import part_says
from provision.core.finding import JSON, Cost, Finding, Kind, Verdict
from provision.core.receipts import file_identity, same_facts
from provision.core.sentences import dated
from provision.core.step import Context, Step
from provision.download.local_copies import SF_DATALESS, find_copies, takes_bytes
from provision.download.model_files import WantedFile, subject_of, wanted_files
from provision.download.obtain import obtain, verify
from provision.download.part_file import bytes_waiting
from provision.download.retry import POLL_S
from provision.download.verify import header_of, misfit, sha256_of
from provision.steps.models import kinds
from provision.system.disk_errors import unusable
from provision.system.disk_use import bytes_here
from provision.system.strict import open_file

AT_ONCE = 2
"""Files downloaded at the same time: one alone already fills most lines."""


def check_models(ctx: Context) -> Iterator[Finding]:
    """One finding a file. Reads all of the weights only with `--deep`; never uses the network."""
    for wanted in wanted_files(ctx):
        finding = _look(ctx, wanted)
        writes = finding.verdict is Verdict.FIXABLE and finding.kind != kinds.CKPT_UNPROVEN
        yield _outside(ctx, wanted, finding) if writes and not _may_write(ctx, wanted) else finding


def apply_models(ctx: Context, finding: Finding) -> None:
    """Fix one file, or download all that are missing, two at a time.

    Raises WrongFile, HubRefused, NetworkError, DownloadError, DiskFull, HomeError, Interrupted ...
    """
    files = wanted_files(ctx)
    wanted = next(each for each in files if subject_of(ctx, each) == finding.subject)
    others = _also_missing(ctx, wanted, files) if finding.kind == kinds.CKPT_MISSING else []
    if others:
        _at_once(ctx, [wanted, *others])
    else:
        _mend(ctx, wanted, finding)


def _also_missing(ctx: Context, wanted: WantedFile, files: list[WantedFile]) -> list[WantedFile]:
    """The other missing files; of two with the same content, which would share a part, only one."""
    contents = {wanted.sha256}
    found = []
    for each in files:
        names = {name.casefold() for name in _names(each.place.parent)}
        if each is wanted or each.place.name.casefold() in names or not _may_write(ctx, each):
            continue
        if not each.sha256 or each.sha256 not in contents:
            contents.add(each.sha256)
            found.append(each)
    return found


def _at_once(ctx: Context, files: list[WantedFile]) -> None:
    """Download several files; one that fails does not stop the others. Raises the first failure, or Interrupted."""
    pool = ThreadPoolExecutor(1 if ctx.options.limit_rate else AT_ONCE, thread_name_prefix="model")
    try:
        jobs = [pool.submit(_mend, ctx, each, None) for each in files]
        while wait(jobs, timeout=POLL_S).not_done:
            ctx.machine.check_interrupted()
        for job in jobs:
            job.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _mend(ctx: Context, wanted: WantedFile, finding: Finding | None) -> None:
    """Do what a finding asks for; without one, download the file."""
    try:
        if finding is None:
            obtain(ctx, wanted, resume=False)
        elif finding.kind == kinds.CKPT_CASE:
            finding.paths[0].rename(wanted.place)
        elif finding.kind == kinds.CKPT_UNREADABLE:
            wanted.place.chmod(stat.S_IMODE(wanted.place.stat().st_mode) | stat.S_IRUSR)
        elif finding.kind == kinds.CKPT_UNPROVEN:
            verify(ctx, wanted)
        else:
            obtain(ctx, wanted, resume=finding.kind == kinds.CKPT_TRUNCATED)
        if ctx.options.deep:
            _remember(ctx, wanted)
    except OSError as error:
        raise unusable(wanted.place, error) from error


def _look(ctx: Context, wanted: WantedFile) -> Finding:
    place, names = wanted.place, _names(wanted.place.parent)
    if place.name not in names:
        return _absent(ctx, wanted, names)
    if place.is_symlink() and not place.exists():
        says = f"{place.name} is a link to {place.readlink()}, which does not exist."
        return _to_fetch(ctx, wanted, kinds.CKPT_DEADLINK, says)
    if not place.is_file():
        return _to_fetch(ctx, wanted, kinds.CKPT_OTHER, f"{place.name} is a folder, not a file.")
    trusted = bool(wanted.receipt.sha256) and same_facts(wanted.receipt, file_identity(place))
    if ctx.machine.file_flags(place) & SF_DATALESS:
        return _in_the_cloud(ctx, wanted)
    if not os.access(place, os.R_OK):
        return _unreadable(ctx, wanted)
    if trusted and not ctx.options.deep:
        when = dated(", verified on", wanted.receipt.verified_at, ctx.machine.timestamp())
        says = f" ({wanted.size or 0:,} bytes): sha256 OK{when}"
        return _hashed(ctx, wanted, wanted.receipt.sha256, says)
    try:
        return _look_inside(ctx, wanted)
    except PermissionError:  # the system may refuse what the permissions allow
        return _unreadable(ctx, wanted)


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _absent(ctx: Context, wanted: WantedFile, names: list[str]) -> Finding:
    name = wanted.place.name
    twin = next((seen for seen in names if seen.casefold() == name.casefold()), None)
    if twin is not None:
        says, fix = f"The file is called {twin}; ComfyUI only lists {name}.", Fix(f"Rename {twin} to {name}.")
        twins = (wanted.place.with_name(twin),)
        return kinds.CKPT_CASE.fixable(subject_of(ctx, wanted), says, fix=fix, paths=twins)
    here = bytes_waiting(ctx.home, wanted.sha256) if wanted.sha256 else 0
    if wanted.size is None:
        says = f"{name} is missing (size unknown until the hub is asked)."
    elif here:
        says = f"{name} is missing; {here:,} of {wanted.size:,} bytes have been downloaded."
    else:
        says = f"{name} is missing: {wanted.size:,} bytes."
    return _to_fetch(ctx, wanted, kinds.CKPT_MISSING, says, here=here)


def _unreadable(ctx: Context, wanted: WantedFile) -> Finding:
    place, subject = wanted.place, subject_of(ctx, wanted)
    says = f"{place.name} cannot be read: its permissions are {stat.filemode(place.stat().st_mode)}."
    if place.stat().st_uid == os.geteuid():
        fix = Fix("Fix the permissions.", program("chmod", "u+r", str(place)))
        return kinds.CKPT_UNREADABLE.fixable(subject, says, fix=fix)
    fix = Fix("Make it yours.", program("sudo", "chown", str(os.geteuid()), str(place)))
    return kinds.CKPT_UNREADABLE.blocked(subject, f"{says} It belongs to another user.", fix=fix)


def _in_the_cloud(ctx: Context, wanted: WantedFile) -> Finding:
    """The bytes are in iCloud, and reading them here would fetch them."""
    says = f"{wanted.place.name} was moved to iCloud to save space: ComfyUI hangs until it is downloaded again."
    fetch = program("brctl", "download", str(wanted.place))
    fix = Fix("Download it (Finder: Download Now), and keep the folder out of iCloud Drive.", fetch)
    return kinds.ICLOUD_DATALESS.blocked(subject_of(ctx, wanted), says, fix=fix)


def _hashed(ctx: Context, wanted: WantedFile, found: str, says: str) -> Finding:
    """A file of the right size that was hashed: `found` is its sha256, `says` when."""
    if found == wanted.sha256:
        facts: dict[str, JSON] = {"sha256": found, "size": wanted.size}
        return kinds.CKPT_READY.ok(subject_of(ctx, wanted), f"{wanted.place.name}{says}.", facts=facts)
    due = (wanted.sha256 or "none")[:12]
    says = f"{wanted.place.name} has the right size but a wrong sha256 ({found[:12]}, not {due})."
    return _to_fetch(ctx, wanted, kinds.CKPT_BITROT, says)


def _look_inside(ctx: Context, wanted: WantedFile) -> Finding:
    """A file by its first bytes, its header and its size; with `--deep` by its hash too."""
    place, name, size = wanted.place, wanted.place.name, bytes_here(wanted.place)
    with open_file(place) as stream:
        start = stream.read(512)
    try:
        header_length(start)
    except NotSafetensors as error:
        return _to_fetch(ctx, wanted, _stranger(start), f"{name} ({size:,} bytes): {error}")
    try:
        header = header_of(place)
    except HeaderTruncated:
        return _to_fetch(
            ctx, wanted, kinds.CKPT_TRUNCATED, f"{name} is cut off inside its header, after {size:,} bytes."
        )
    except NotSafetensors as error:
        damaged = start[LENGTH_BYTES : LENGTH_BYTES + 1] in (b"{", b"\0")
        return _to_fetch(ctx, wanted, kinds.CKPT_ZEROED if damaged else _stranger(start), f"{name}: {error}")
    if size < header.file_size_bytes:
        says = f"{name} has {size:,} of the {header.file_size_bytes:,} bytes that its header describes."
        begun = size if header.file_size_bytes == wanted.size and not place.is_symlink() else 0
        return _to_fetch(ctx, wanted, kinds.CKPT_TRUNCATED, says, here=begun)
    wrong = misfit(header, size, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    if not wrong and wanted.size is not None and size != wanted.size:
        wrong = f"it has {size:,} bytes; the manifest lists {wanted.size:,}"
    if wrong:
        return _to_fetch(ctx, wanted, kinds.CKPT_OTHER, f"{name} is a different file: {wrong}.")
    if ctx.options.deep and wanted.sha256:
        if seen := ctx.proofs.recall("models", _identity(ctx, wanted)):
            return seen[0]
        ctx.doing(part_says("models", f"reading {name}, {size / 10**9:.2f} GB"))
        return _keep(ctx, wanted, sha256_of(ctx, place, name))
    says = f"{name} has the right size; its sha256 is not verified yet."
    fix = Fix(f"Verify the sha256 of {name}; nothing is downloaded if it matches.")
    return kinds.CKPT_UNPROVEN.fixable(subject_of(ctx, wanted), says, fix=fix)


def _stranger(start: bytes) -> Kind:
    if start.startswith(POINTER):
        return kinds.LFS_POINTER
    if not start.strip(b"\0"):
        return kinds.CKPT_ZEROED
    textual = describe_bytes(start).startswith(("an HTML", "an XML", "a JSON", "text"))
    return kinds.HTML_BODY if textual else kinds.CKPT_OTHER


def _identity(ctx: Context, wanted: WantedFile) -> dict[str, JSON]:
    """What a hash of this run is believed for."""
    return {"subject": subject_of(ctx, wanted), "sha256": wanted.sha256, **file_identity(wanted.place)}


def _keep(ctx: Context, wanted: WantedFile, found: str) -> Finding:
    """Believe a hash for the rest of this run."""
    finding = _hashed(ctx, wanted, found, f": sha256 OK ({found[:12]})")
    return ctx.proofs.keep("models", _identity(ctx, wanted), [finding])[0]


def _remember(ctx: Context, mended: WantedFile) -> None:
    """Believe the hash of a file that was downloaded or verified a moment ago."""
    for wanted in wanted_files(ctx):
        found = wanted.receipt.sha256
        fresh = wanted.place == mended.place and same_facts(wanted.receipt, file_identity(wanted.place))
        if fresh and found == wanted.sha256:
            _keep(ctx, wanted, found)


def _to_fetch(ctx: Context, wanted: WantedFile, kind: Kind, says: str, *, here: int = 0) -> Finding:
    """A finding that is fixed by getting the file again, with the bytes that this moves."""
    facts: dict[str, JSON] = {"sha256": wanted.sha256} if wanted.sha256 else {}
    aside = "" if kind == kinds.CKPT_MISSING else " The old file is moved aside."
    if kind == kinds.CKPT_TRUNCATED and here:
        aside = " The download resumes where it ends."
    fetch = ours("download") if ctx.home.adopted is None else ours("all")  # `download` knows of no adopted install
    sought = wanted.sought
    copies = find_copies(ctx, sought) if sought else []
    if sought and copies:
        disk = takes_bytes(ctx, copies[0], sought)
        how = "copied" if disk else "cloned or linked"
        facts["size"] = sought.size
        fix = Fix(f"Verify {copies[0]} and use it; nothing is downloaded.{aside}", fetch)
        says = f"{says} Found a copy, {copies[0]}; it will be verified and {how}."
        return kind.fixable(subject_of(ctx, wanted), says, fix=fix, cost=Cost(0, disk), paths=(copies[0],), facts=facts)
    cost = Cost()
    if wanted.size is not None:
        waiting = bytes_waiting(ctx.home, wanted.sha256) if wanted.sha256 else 0
        rest = max(0, wanted.size - max(here, waiting))
        facts["size"], cost = wanted.size, Cost(rest, rest)
    source = f"{wanted.model.repo} at {wanted.model.revision[:12]}"
    fix = Fix(f"Download {wanted.file.path} of {source} and verify it.{aside}", fetch)
    return kind.fixable(subject_of(ctx, wanted), says, fix=fix, cost=cost, facts=facts)


def _may_write(ctx: Context, wanted: WantedFile) -> bool:
    """Whether the file's folder is the home's; of an adopted install any in which its ComfyUI looks, after a yes."""
    return ctx.home.adopted is not None or ctx.home.inside(wanted.place.parent)


def _outside(ctx: Context, wanted: WantedFile, finding: Finding) -> Finding:
    folder = wanted.place.parent
    where = (
        f"{ctx.home.shown(folder)} is a link out of the install folder, to {folder.resolve()}; provision does "
        "not write there."
    )
    fix = Fix(f"Put {wanted.place.name} there yourself, or remove the link.", program("rm", str(folder)))
    return kinds.CKPT_OUTSIDE.blocked(subject_of(ctx, wanted), f"{finding.says} {where}", fix=fix)


MODELS = Step(
    "models",
    needs=("tools",),
    check=check_models,
    apply=apply_models,
    about="the model",
)
