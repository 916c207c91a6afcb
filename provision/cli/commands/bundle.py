"""`provision bundle DIR`: everything that an install needs, on a disk, for Macs without internet."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from provision.cli.command import Session, command
from provision.cli.offers import offer_manifests
from provision.cli.request import ASKING
from provision.command import Fix, ours
from provision.errors import ConsentNeeded, DiskFull
from provision.output.layout import KEPT, line
from provision.output.result import Pairs, Result, answer, why

if TYPE_CHECKING:
    from provision.cli.commands.bundle_contents import Contents
    from provision.core.bundle import BundledFile
    from provision.download.bundling.writing import Wanted

MUCH_BYTES = 2 * 10**9
"""More than this is asked about, on a terminal."""
AIR_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Bundled:
    """A bundle that was written: `digest` is the sha256 of its SHA256SUMS, which `--from-sha256` takes."""

    path: str
    digest: str
    targets: tuple[str, ...]
    files: int
    bytes: int
    written_bytes: int


def bundle(
    at: Session,
    *,
    folder: Annotated[Path, Argument(metavar="DIR", help="The bundle's folder, as on an external disk.")],
    targets: Annotated[
        list[str] | None,
        Option("--for", metavar="TARGET", help="For another Mac, as `plan --for` takes it; may be repeated."),
    ] = None,
    manifests: Annotated[
        list[str] | None,
        Option(
            "--manifest",
            metavar="NAME|FILE",
            help="With these models; may be repeated (default: the installed one's).",
            autocompletion=offer_manifests,
        ),
    ] = None,
    check: Annotated[bool, Option("--check", help="Only verify the bundle that is there.")] = False,
) -> Result:
    """Write what this install consists of, or what `all` would install on other Macs; verify it with `check`.

    Raises UsageError, BundleError, LockError and what downloads raise.
    """
    import os

    from provision.cli.commands.bundle_contents import contents_of
    from provision.cli.session import hold_home
    from provision.download.bundling import writing

    place = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  (which keeps links)
    if check:
        return _checked(at, place)
    writing.check_folder(place)
    with nullcontext() if targets else hold_home(at):
        found = contents_of(at, place, targets or [], manifests or [])
        before = writing.read_sums(place)
        todo = found.todo(before)
        old = writing.read_about(place)
        if not todo and old is not None and found.about(old.files) == replace(old, made=found.when):
            return _told(found, old.files, [], writing.digest_of(place))
        writing.check_fat(writing.file_system_of(place), place, found.wanted)
        _ask(at, place, todo)
        writing.begin(place)
        made = {each.path: writing.write(at.ctx.stamped("bundle"), place, each) for each in todo}
        files = writing.all_of(place, found.wanted, made, before)
        writing.drop(place, before.keys() - files.keys())
        return _told(found, files, todo, writing.finish(place, found.about(files)), changed=True)


def _ask(at: Session, place: Path, todo: list[Wanted]) -> None:
    """Say what will be written, and ask where it is much. Raises ConsentNeeded, DiskFull."""
    from provision.output.amounts import size_text

    size = sum(each.size or 0 for each in todo)
    rows = [
        (group, f"{len(files)} file{'s' * (len(files) != 1)}", size_text(sum(each.size or 0 for each in files)))
        for group in dict.fromkeys(each.group for each in todo)
        for files in [[each for each in todo if each.group == group]]
    ]
    at.console.tell(Pairs(rows))
    at.ctx.note(f"{size_text(size)} will be written to {place}.")
    free = at.ctx.machine.disk_free_bytes(place)
    if free < size + AIR_BYTES:
        raise DiskFull(
            f"The disk of {place} has {size_text(free)} free; the bundle needs {size_text(size + AIR_BYTES)}.",
            hint=Fix("Free some space there, or use another disk."),
        )
    if size > MUCH_BYTES and not at.console.agrees_to("", f"Write {size_text(size)} to {place}?"):
        raise ConsentNeeded("Nothing was written.", hint=ours("bundle", str(place), "--yes"))


def _told(
    found: Contents, files: Mapping[str, BundledFile], todo: list[Wanted], digest: str, *, changed: bool = False
) -> Result:
    from provision.output.amounts import size_text

    size = sum(file.size for file in files.values())
    written = sum(files[each.path].size for each in todo)
    facts = Bundled(str(found.place), digest, found.targets, len(files) + 2, size, written)
    return answer(
        facts,
        f"Wrote {size_text(written)}." if changed else "Nothing to do: the bundle is up to date.",
        line("Bundle: ", (str(found.place), KEPT), f" ({size_text(size)}, for {'; '.join(found.targets)})"),
        f"Digest: {digest}",
        Fix("On a Mac without internet, first:", found.install),
        Fix("Then:", found.use),
        changed=changed,
    )


def _checked(at: Session, place: Path) -> Result:
    from provision.download.bundle_source import open_bundle
    from provision.download.bundling.checking import check
    from provision.output.amounts import size_text

    facts = check(at.ctx.stamped("bundle"), open_bundle(at.ctx, str(place)))
    wrong = [*(f"{path} is missing" for path in facts.missing), *(f"{path} is damaged" for path in facts.damaged)]
    if wrong:
        fix = Fix(f"{len(wrong)} of {facts.files} files are wrong. To write them again:", ours("bundle", str(place)))
        return answer(facts, *(f"{says}." for says in wrong[:20]), fix, error=why("bundle", fix))
    return answer(facts, f"{facts.files} files, {size_text(facts.bytes)}: all OK.", f"Digest: {facts.digest}")


app = command("bundle", bundle, (ASKING - {"manifest"}) | {"rehearse"})
