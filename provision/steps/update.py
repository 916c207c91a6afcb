"""Another revision of ComfyUI, or another torch, as a generation: made beside the one in use, proven, then switched to.

Its packages are resolved whole and anew, with what custom nodes ask for. It must import all of ComfyUI and each custom
node that imports now, and, where the model is here, make a picture on a port of its own. What fails is removed, and
nothing that is in use was touched.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from provision.comfyui import added_nodes, git_checkout
from provision.comfyui.archived_revisions import ArchivedRevisions
from provision.comfyui.git_remote import Revision
from provision.comfyui.revisions import revisions_of
from provision.comfyui.server_process import stop_server
from provision.comfyui.switching import place_of_edits, switch
from provision.comfyui.temporary_server import brief_server
from provision.command import ours
from provision.core.patience import ride_out
from provision.core.receipt_kinds import ComfyReceipt, NodesReceipt, RequirementsReceipt
from provision.core.receipts import write_bytes
from provision.core.step import Context
from provision.download.source_archive import find_revision, keep_archive
from provision.environment import generations, packages
from provision.environment.kept_edits import EDITS
from provision.errors import ImageRejected, StartOver
from provision.steps.comfyui.step import follow_fetch
from provision.steps.first_image.step import make_first_image
from provision.steps.node_changes import (
    Change,
    check_fits,
    fill,
    keep_edits,
    keep_made,
    node_requirements,
    nodes_of_now,
    prove_imports,
)
from provision.steps.node_trial import has_checkpoint, prove_images
from provision.steps.requirements.install import (
    all_but_torch,
    custom_nodes,
    imported,
    install,
    prove,
)
from provision.steps.torch.choice import asks_for_audio
from provision.steps.torch.install import install_torch_set


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an update goes to: the revision as it is asked for and as it is found, and another torch or none."""

    ref: str
    revision: Revision
    torch: str = ""
    without: tuple[str, ...] = ()
    """Custom nodes that are disabled from then on."""
    nodes: NodesReceipt | None = None
    """The custom nodes that it has; None: those of now."""
    scripts: tuple[str, ...] = ()
    """Custom nodes whose install script was agreed to."""
    reason: str = ""


def newer(ctx: Context, ref: str) -> Revision | None:
    """The revision that `ref` is now; None where that is checked out. Raises GitError."""
    revision = ride_out(ctx, lambda: find_revision(ctx, ctx.manifest.comfyui.url, ref))
    return None if revision.commit == _here(ctx).commit else revision


def move(ctx: Context) -> bool:
    """Update a home that works to the revision that is asked for now, where that is another one; ends the server.

    False where there is nothing to update, or nothing yet that works. Raises as `make_generation` and `switch`.
    """
    receipt, ref = _here(ctx), ctx.manifest.comfyui.ref
    is_ours = ctx.home.code_of_another is None and ctx.options.locked is None
    if not (is_ours and receipt.ref != ref and is_proven(ctx, receipt)):
        return False
    revision = newer(ctx, ref)
    if revision is None:
        return False
    update(ctx, Wanted(ref, revision))
    return True


def update(ctx: Context, wanted: Wanted) -> None:
    """Make the generation and put it in use; ends the server. Raises as `make_generation` and `switch`."""
    new = make_generation(ctx, wanted)
    stop_server(ctx)
    switch(ctx.home, new, ctx.machine.timestamp())
    generations.keep_last(ctx.home, ctx.manifest.keep)


def is_proven(ctx: Context, receipt: ComfyReceipt) -> bool:
    """Whether the revision of a receipt is checked out, and was seen to import with the packages of now."""
    if generations.active(ctx.home).parent != ctx.home.envs:
        return False
    proven = ctx.receipts.read("requirements", RequirementsReceipt).commit == receipt.commit and imported(ctx)
    return proven and revisions_of(ctx.home).head() == receipt.commit


def make_generation(ctx: Context, wanted: Wanted) -> Path:
    """Make the generation and prove it; returns its folder. The caller holds the home, and switches to it.

    Raises GitError, PackageError, ProbeFailed, EngineError, ImageRejected, HomeError, DiskFull.
    """
    commit = _fetch(ctx, wanted.revision)
    code, data = ctx.home.trial / "ComfyUI", ctx.home.trial / "data"
    moves = commit != _here(ctx).commit
    new = None
    try:
        nodes = Change(nodes_of_now(ctx), _then(ctx, wanted))
        carried = added_nodes.lay_out(ctx.home, data, nodes.before, nodes.after)
        trial = replace(ctx, home=replace(ctx.home, data=data))
        if wanted.nodes is not None:
            check_fits(trial, nodes)
        new = generations.begin(ctx)
        if moves:
            _write_out(ctx, new, code, commit, wanted)
        trial = replace(trial, home=replace(trial.home, env=new, code=code if moves else None))
        trial.receipts.write(added_nodes.RECEIPT, nodes.after)
        keep_edits(trial, carried)
        _fill(trial, wanted, nodes)
        _prove(ctx, trial, nodes)
        keep_made(trial, nodes.after, wanted.scripts)
        what = wanted.torch if wanted.revision.commit == _here(ctx).commit else wanted.revision.name
        reason = wanted.reason or f"update to {what}"
        generations.write_about(new, generations.About(made=ctx.machine.timestamp(), reason=reason))
    except BaseException:
        if new is not None:
            generations.discard(new)
        raise
    finally:
        shutil.rmtree(ctx.home.trial, ignore_errors=True)
    return new


def _then(ctx: Context, wanted: Wanted) -> NodesReceipt:
    """The custom nodes that a generation is to have."""
    nodes = wanted.nodes or nodes_of_now(ctx)
    still = [name for name in nodes.disabled if name not in custom_nodes(ctx)]
    return replace(nodes, disabled=tuple(dict.fromkeys((*still, *wanted.without))))


def edited(ctx: Context) -> tuple[str, ...]:
    """The files of ComfyUI that a person changed. Raises GitError."""
    return revisions_of(ctx.home).edited()


def _here(ctx: Context) -> ComfyReceipt:
    return ctx.receipts.read("comfyui", ComfyReceipt)


def _fetch(ctx: Context, revision: Revision) -> str:
    """Bring the commit into the repository; the files of the checkout stay as they are."""
    if isinstance(revisions_of(ctx.home), ArchivedRevisions):
        here = _here(ctx)
        for each in (revision, Revision(here.name, "commit", here.commit)):  # to go back without a network
            keep_archive(ctx, each)
        return str(revision.commit)
    folder, url, alive = ctx.home.comfyui, ctx.manifest.comfyui.url, ctx.machine.check_interrupted
    if revision.commit and git_checkout.has_commit_of(folder, revision.commit) == revision.commit:
        return revision.commit
    ctx.note(f"Fetching ComfyUI {revision.name} ...", passing=True)
    on_line, environ = follow_fetch(ctx), ctx.machine.environ
    return ride_out(ctx, lambda: git_checkout.fetch(folder, url, revision, on_line, alive, environ=environ))


def _write_out(ctx: Context, new: Path, code: Path, commit: str, wanted: Wanted) -> None:
    """The revision's files, with a person's edits where git can merge them, and its receipt."""
    home, comfy, when = ctx.home, ctx.manifest.comfyui, ctx.machine.timestamp()
    receipt = ComfyReceipt(comfy.url, wanted.ref, wanted.revision.name, commit, when=when)
    revisions = revisions_of(home)
    edits = revisions.edits()
    written = revisions.write_out(commit, code, edits)
    receipt = replace(receipt, date=written.date, tree=written.tree, source=written.source)
    write_bytes(new / "set" / EDITS, written.edits or b"")
    if written.edits is None:
        kept = home.shown(revisions.save(edits, place_of_edits(home, _here(ctx).commit, edits)))
        ctx.note(f"Your changes to ComfyUI do not fit {wanted.revision.name}: they are kept in {kept}.")
    elif edits:
        ctx.note("Your changes to ComfyUI go with it.")
    generations.inside(ctx, new).receipts.write("comfyui", receipt)


def _fill(trial: Context, wanted: Wanted, nodes: Change) -> None:
    """The packages: torch as it is or as it is asked for, all others resolved anew; of other custom nodes, theirs."""
    if wanted.nodes is not None:
        fill(trial, nodes, wanted.scripts)
        return
    lacks_audio = asks_for_audio(trial) and "torchaudio" not in packages.installed_versions(trial.home.venv)
    if wanted.torch:
        channel = replace(trial.manifest.torch, channel=wanted.torch)
        trial = replace(trial, manifest=replace(trial.manifest, torch=channel))
    if wanted.torch or lacks_audio:
        install_torch_set(trial, audio=asks_for_audio(trial))
    trial.note("Installing its packages ...", passing=True)
    install(trial, node_requirements(trial), renew=all_but_torch(trial))


def _prove(ctx: Context, trial: Context, nodes: Change) -> None:
    prove(trial)
    prove_imports(ctx, trial, nodes)
    if not has_checkpoint(ctx):
        ctx.note("The model is missing, so no image was made with it.")
    else:
        ctx.note("Making an image with it ...", passing=True)
        with brief_server(trial) as brief:
            try:
                make_first_image(brief)
            except StartOver as bad:
                raise ImageRejected(bad.message, hint=ours("logs", "--tool")) from bad
    prove_images(ctx, trial)
