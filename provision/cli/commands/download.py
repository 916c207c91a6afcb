"""`provision download`: only the model, verified before it appears under its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from provision.cli.command import Session, command
from provision.cli.offers import offer_manifests
from provision.cli.request import ASKING, MOVING, Request
from provision.command import ours
from provision.errors import UsageError
from provision.output.result import Data, Result, answer, ran

if TYPE_CHECKING:
    from provision.core.step import Report


def ask(
    request: Request,
    *,
    what: Annotated[
        str | None,
        Argument(
            metavar="MANIFEST | REPO[/FILE]",
            help="A manifest, or a repository on the hub.",
            autocompletion=offer_manifests,
        ),
    ] = None,
) -> Request:
    """`what` as a manifest's name or file, or as a repository with or without a file. Raises UsageError."""
    from provision.core.manifest import manifest_names

    if request.inspect:
        request = replace(request, command="inspect")
    if what is None or what in manifest_names() or what.endswith(".toml"):
        passing = what is not None or request.to is not None
        return replace(request, manifest=what or request.manifest, passing=passing)
    parts = what.split("/")
    if len(parts) < 2:
        raise UsageError(
            f"{what!r} is not a manifest or a repository.",
            hint=ours("download", "stabilityai/sdxl-turbo"),
        )
    return replace(request, repo="/".join(parts[:2]), repo_file="/".join(parts[2:]) or None, passing=True)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where `--to` put the files."""

    paths: tuple[str, ...]


def download(at: Session) -> Result:
    """Run only the models step, or with `--to` put the files into any folder."""
    from provision.cli.about import introduce_licence, licence_says, run_facts
    from provision.cli.session import hold_home
    from provision.core.removing import remove_temporary_home
    from provision.core.runner import run
    from provision.download.obtain import obtain_at
    from provision.steps.consent import with_care
    from provision.steps.models.stray_files import CHECKPOINTS
    from provision.steps.tools.step import DOWNLOAD_TOOLS

    ctx, request = at.ctx, at.request
    if request.inspect:
        from provision.cli.commands.inspect import inspect

        return inspect(at, request.repo, request.repo_file)
    with hold_home(at):
        if request.to is None:
            introduce_licence(ctx)
            report = run((DOWNLOAD_TOOLS, with_care(CHECKPOINTS)), ctx, apply=True)
            return ran(report, run_facts(at), _what_came(at, report) if report.ok else "Not finished.")
        ctx.note(licence_says(ctx.manifest))
        folder, placed = request.to.expanduser().absolute(), []
        for model, file in ctx.manifest.chosen(ctx.options.precision):
            started, there = ctx.machine.clock(), (folder / file.name).exists()
            obtain_at(ctx.stamped("models"), model, file, folder / file.name)
            placed.append(str(folder / file.name))
            if not there:
                ctx.note(_came(file.name, (folder / file.name).stat().st_size, ctx.machine.clock() - started))
        if ctx.home.root.name == ".provision" and at.world is None:
            remove_temporary_home(ctx.home.root)
        return answer(Placed(tuple(placed)), *map(Data, placed), changed=True)


def _what_came(at: Session, report: Report) -> str:
    """What was downloaded just now, or that it was there already."""
    ctx, models = at.ctx, report.step("models")
    files = [ctx.home.models / model.folder / file.name for model, file in ctx.manifest.chosen(ctx.options.precision)]
    names, size = ", ".join(path.name for path in files), sum(path.stat().st_size for path in files)
    return _came(names, size, models.seconds) if models.changed else f"Already there: {names}, sha256 OK."


def _came(name: str, size: int, seconds: float) -> str:
    from provision.output.amounts import size_text, time_text

    return f"Downloaded {name}: {size_text(size)} in {time_text(seconds)}, sha256 OK."


app = command("download", download, ASKING | MOVING | {"backend", "precision", "rehearse", "to", "inspect"}, ask)
