"""`provision download`: the model alone, verified before it appears under its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Argument

from provision.cli.about import licence_says, run_facts
from provision.cli.command import Session, command
from provision.cli.offers import offer_manifests
from provision.cli.request import ASKING, MOVING, Request
from provision.command import ours
from provision.core.manifest import manifest_names
from provision.core.removing import remove_temporary_home
from provision.core.runner import run
from provision.core.step import Context
from provision.errors import UsageError
from provision.output.result import Result, answer, ran


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
    if request.inspect:
        request = replace(request, command="inspect")
    if what is None or what in manifest_names() or what.endswith(".toml"):
        passing = what is not None or request.to is not None
        return replace(request, manifest=what or request.manifest, passing=passing)
    parts = what.split("/")
    if len(parts) < 2:
        raise UsageError(
            f"{what!r} is neither a manifest nor a repository.",
            hint=ours("download", "stabilityai/sdxl-turbo"),
        )
    return replace(request, repo="/".join(parts[:2]), repo_file="/".join(parts[2:]) or None, passing=True)


def download(at: Session) -> Result:
    """The models step alone, or one file of any repository, with `--to` into a folder of the person's choice."""
    from provision.cli.session import hold_home

    ctx, request = at.ctx, at.request
    if request.inspect:
        from provision.cli.commands.inspect import inspect

        return inspect(at, request.repo, request.repo_file)
    ctx.note(licence_says(ctx.manifest))
    with hold_home(at):
        if request.to is not None:
            placed = [str(path) for path in _download_to(ctx, request.to.expanduser().absolute())]
            if ctx.home.root.name == ".provision" and at.world is None:
                remove_temporary_home(ctx.home.root)
            return answer({"path": placed[-1]} if placed else {}, *placed)
        from provision.steps.registry import step_named
        from provision.steps.tools.step import DOWNLOAD_TOOLS

        report = run((DOWNLOAD_TOOLS, step_named("models")), ctx, apply=True)
        return ran(report, run_facts(at), "The model is here, verified." if report.ok else "Not finished.")


def _download_to(ctx: Context, folder: Path) -> Iterator[Path]:
    from provision.download.obtain import obtain_at

    for model, file in ctx.manifest.chosen(ctx.options.precision):
        target = folder / file.name
        obtain_at(ctx.stamped("models"), model, file, target)
        yield target


app = command("download", download, ASKING | MOVING | {"backend", "precision", "rehearse", "to", "inspect"}, ask)
