"""`provision all`: install everything, and make the first image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import BUILDING
from provision.command import Fix, ours
from provision.output.layout import KEPT, line
from provision.output.result import Picture, Result, Says, ran

if TYPE_CHECKING:
    from provision.core.step import Report


def provision_all(
    at: Session,
    *,
    stop: Annotated[bool, Option("--stop", help="Stop the server when done.")] = False,
    open_page: Annotated[bool, Option("--open", help="Open ComfyUI's page when done.")] = False,
) -> Result:
    """Run every step, test the image, and record the run. Raises what the steps raise."""
    import webbrowser

    from provision.cli.about import introduce, keep_pace, read_pace, run_facts, usual_seconds
    from provision.cli.session import hold_home
    from provision.comfyui.server_process import stop_server
    from provision.core.image import read_picture
    from provision.core.runner import run
    from provision.output.report.run_record import keep_run
    from provision.output.report.timeline import Timeline
    from provision.steps.hardware.left_out import leave_out
    from provision.steps.lock.bundled import agree_to_replace, check_python
    from provision.steps.lock.rebuild import check_rebuildable
    from provision.steps.registry import STEPS

    introduce(at)
    if at.ctx.home.adopted is not None:
        at = _with_consent(at)
    ctx = at.ctx
    if ctx.options.locked is not None:
        check_rebuildable(ctx, ctx.options.locked)
    if ctx.options.source is not None and ctx.options.locked is not None:
        agree_to_replace(ctx, ctx.options.locked)
    with hold_home(at):
        if ctx.options.source is not None and ctx.options.locked is not None:
            check_python(ctx, ctx.options.source, ctx.options.locked)
        leave_out(ctx)
        moved = _moved(at)
        at.console.reckon_with(read_pace(ctx.home), usual_seconds(ctx))
        timeline = Timeline(ctx.machine.clock)
        report = run(STEPS, replace(ctx, emit=timeline.before(ctx.emit)), apply=True)
        keep_pace(ctx.home, at.console.state.measured_pace())
        facts = run_facts(at)
        course, when = timeline.course(), ctx.machine.timestamp()
        keep_run(ctx.home, report, course, when, at.console.invocation, rehearsal=at.world is not None)
        if stop:
            stop_server(ctx)
    if open_page and report.ok and not stop:
        webbrowser.open(ctx.manifest.comfyui.page)
    made = read_picture(ctx.home.first_image) if report.step("first_image").changed and report.ok else None
    result = ran(report, facts, *_closing(at, report, stopped=stop), before=[Picture(made)] if made else [])
    return replace(result, changed=moved or report.changed)


def _moved(at: Session) -> bool:
    """Whether a home that works was updated to another revision, as it is asked for now.

    Where that fails the home goes on wanting the one that it has. Raises what the update raises.
    """
    from provision.cli.chosen import Keeping, keep
    from provision.errors import ProvisionError
    from provision.steps.update import move

    try:
        return move(at.ctx)
    except ProvisionError:
        if at.keeping is not None:
            keep(at.ctx, Keeping(at.keeping.after, at.keeping.before))
        raise


def _with_consent(at: Session) -> Session:
    """Ask about each finding that needs consent, once and before anything is done; say which versions replace which."""
    from provision.core.mending_plan import ask_beforehand
    from provision.core.runner import run
    from provision.core.step import silent
    from provision.steps.registry import STEPS

    options = replace(at.ctx.options, planning=not at.ctx.options.yes)
    look = run(STEPS, replace(at.ctx, emit=silent, options=options), apply=False)
    agreed = ask_beforehand(look, at.ctx.consent)
    return replace(at, ctx=replace(at.ctx, options=replace(at.ctx.options, agreed=agreed)))


def _closing(at: Session, report: Report, *, stopped: bool) -> list[Says]:
    from provision.output.amounts import size_text, time_text

    lines: list[Says] = []
    if at.world is not None:
        sent = at.world.hub.sent_by_file()
        total = ", ".join(f"{name} {size_text(size)}" for name, size in sorted(sent.items()) if size)
        lines.append(f"Rehearsal: the stand-in hub sent {total or 'nothing'}.")
    seconds = time_text(report.seconds)
    if not report.ok:
        return [*lines, Fix(f"Not finished after {seconds}. Finished work is kept. After fixing it:", ours("all"))]
    if report.changed:
        lines.append(f"Done in {seconds}.")
    else:
        lines.append(f"Everything is up to date ({len(report.steps)} steps, {seconds}).")
    lines.append(line("Image: ", (str(at.ctx.home.first_image), KEPT)))
    lines.append(f"ComfyUI: {'stopped' if stopped else at.ctx.manifest.comfyui.page}")
    if at.ctx.home.adopted is not None:
        lines.append(Fix("Next time:", ours("launch")))
    elif not stopped:
        lines.append(Fix("Next:", ours("generate", "a red fox in snow")))
    return lines


app = command("all", provision_all, BUILDING | {"reset", "time_machine"})
