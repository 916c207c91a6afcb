"""What the commands do, on a session: run steps, read receipts, return whether all is well."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from provision.cli.session import Session, Wish, hold_home
from provision.comfyui.adoption import words_for
from provision.core.estimate import REHEARSED_S, USUAL_S, Pace, believable
from provision.core.events import Event, FindingSeen, Note, Output, Progress, StepFinished, Waiting
from provision.core.finding import JSON, Verdict
from provision.core.home import Home
from provision.core.image import read_picture
from provision.core.manifest import Manifest, load_manifest, manifest_names
from provision.core.mending_plan import ask_beforehand
from provision.core.overrides import flat
from provision.core.plan import Plan, make_plan
from provision.core.receipts import read_state, write_json
from provision.core.removing import remove_temporary_home
from provision.core.runner import run
from provision.core.step import Context, Report, Step, StepReport, silent
from provision.errors import DiskFull, HomeError, UsageError
from provision.output import plan_view, views
from provision.output.console import Console, tabulate
from provision.output.report.run_record import keep_run
from provision.output.report.timeline import Timeline
from provision.output.slow_checks import SlowChecks
from provision.system.visible import shell_words


def provision_all(at: Session, *, stop: bool, open_page: bool) -> bool:
    """The main job."""
    from provision.steps.registry import STEPS

    _say_licence(at)
    _say_adopted(at)
    if at.ctx.home.adopted is not None:
        at = with_consent(at)
    ctx = at.ctx
    _check_lock(ctx)
    with hold_home(at):
        at.console.reckon_with(read_pace(ctx.home), usual_seconds(ctx))
        timeline = Timeline(ctx.machine.clock)
        report = run(STEPS, replace(ctx, emit=timeline.before(ctx.emit)), apply=True)
        write_json(pace_file(ctx.home), at.console.state.measured_pace().to_json())
        facts = _run_facts(at, report)
        keep_run(ctx.home, report, facts, timeline.course(), ctx.machine.timestamp())
        if report.step("first_image").changed and report.ok and (png := read_picture(ctx.home.first_image)):
            at.console.picture(png)
        if stop:
            _stop_server(at)
        at.console.report(report, facts, closing=_closing(at, report, stopped=stop))
    if open_page and report.ok and not stop:
        webbrowser.open(page(ctx.manifest))
    return report.ok


def with_consent(at: Session) -> Session:
    """The same session with what the person agreed to: each finding that asks is asked about once, beforehand."""
    from provision.steps.registry import STEPS

    look = run(STEPS, replace(at.ctx, emit=silent), apply=False)
    agreed = ask_beforehand(look, at.ctx.consent)
    return replace(at, ctx=replace(at.ctx, options=replace(at.ctx.options, agreed=agreed)))


def pace_file(home: Home) -> Path:
    """Where it is kept how fast the line and the steps were in this home."""
    return home.state / "pace.json"


def read_pace(home: Home) -> Pace:
    """How fast they were, as far as a run has measured it."""
    return believable(read_state(pace_file(home), Pace) or Pace())


def usual_seconds(ctx: Context) -> Mapping[str, float]:
    """What steps usually take beside their downloads; a rehearsal's take less."""
    return REHEARSED_S if ctx.options.rehearsal else USUAL_S


def _check_lock(ctx: Context) -> None:
    """Refuse a lock that cannot be rebuilt on this machine (raises LockError)."""
    from provision.steps.lock.rebuild import check_rebuildable

    if ctx.options.locked is not None:
        check_rebuildable(ctx, ctx.options.locked)


def page(manifest: Manifest) -> str:
    """The address of ComfyUI's page."""
    return f"http://127.0.0.1:{manifest.comfyui.port}"


def _say_licence(at: Session) -> None:
    manifest = at.ctx.manifest
    if not manifest.license.id:
        at.ctx.note(f"{manifest.title}: for its licence see {manifest.license.url}")
        return
    use = "commercial use allowed" if manifest.license.commercial else "no commercial use"
    at.ctx.note(f"{manifest.title}: licence {manifest.license.id} ({use}) {manifest.license.url}")


def _say_adopted(at: Session) -> None:
    """Whose ComfyUI it is, and where what is known of it lies."""
    home = at.ctx.home
    if home.adopted is not None:
        python = home.venv_of_another
        whose = f"the Python of {python}" if python is not None else "a Python that this tool makes"
        at.ctx.note(f"The ComfyUI in {home.base} is used as it is, with {whose}; the home is {home.root}.")


def adopted_json(home: Home) -> dict[str, JSON]:
    """What `--json` tells of an adopted install; nothing where the home has its own."""
    if home.adopted is None:
        return {}
    python = str(home.python) if home.venv_of_another is not None else None
    return {"adopted": {"base": str(home.base), "code": str(home.comfyui), "python": python}}


def _run_facts(at: Session, report: Report) -> dict[str, JSON]:
    ctx = at.ctx
    facts: dict[str, JSON] = {"command": at.command, "home": str(ctx.home.root), "url": page(ctx.manifest)}
    facts |= adopted_json(ctx.home)
    if ctx.home.first_image.exists():
        receipt = ctx.receipts.read("first_image")
        facts["image"] = {"path": str(ctx.home.first_image), **receipt}
    if at.world is not None:
        facts["rehearsal"] = at.world.sent_json()
    return facts


def _closing(at: Session, report: Report, *, stopped: bool) -> str:
    lines = []
    if at.world is not None:
        sent = at.world.hub.sent_by_file()
        total = ", ".join(f"{name} {views.size_text(size)}" for name, size in sorted(sent.items()) if size)
        lines.append(f"Rehearsal: the hub sent {total or 'nothing'}.")
    seconds = views.time_text(report.seconds)
    if not report.ok:
        lines.append(f"Not finished after {seconds}. What is done is kept; run `provision all` again after the fix.")
    elif not report.changed:
        lines.append(f"Nothing left to do: all {len(report.steps)} steps are satisfied ({seconds}).")
    else:
        changed = ", ".join(step.name for step in report.steps if step.changed)
        lines.append(f"Done in {seconds}: {changed}.")
    if report.ok:
        where = "stopped" if stopped else page(at.ctx.manifest)
        lines.append(f"Picture: {at.ctx.home.first_image}\nComfyUI: {where}")
        if at.ctx.home.adopted is not None:
            lines.append(f"Next time: {pasted('provision launch', at.ctx.home)}")
    return "\n".join(lines)


def plan(at: Session, target: str | None = None, requirements: Path | None = None, *, commands: bool = False) -> bool:
    """The dry run: satisfied when `all` could do the rest by itself, here or on another target.

    With `commands`, as a script to run by hand. Raises UsageError.
    """
    from provision.steps.registry import STEPS

    if requirements is not None and target is None:
        raise UsageError("--requirements goes with --for.", hint="provision plan --for m1-16gb --requirements FILE")
    if target is not None:
        from provision.cli.commands.plan_target import plan_for, read_target

        there = read_target(at, target)
        _say_licence(at)
        return plan_for(at, there, requirements)
    _check_lock(at.ctx)
    _say_licence(at)
    _say_adopted(at)
    ctx = replace(at.ctx, options=replace(at.ctx.options, planning=True))
    report = run(STEPS, quietly(ctx, at.console), apply=False)
    keep_crashes(at, report)
    blocked = [step.name for step in report.steps if step.verdict is Verdict.BLOCKED and not _will_ask(at.ctx, step)]
    needs = {step.name: step.needs for step in STEPS}
    planned = make_plan(report, needs, read_pace(at.ctx.home), usual_seconds(at.ctx))
    facts = {**_plan_facts(planned), **adopted_json(at.ctx.home)}
    if commands:
        from provision.cli.commands.plan_script import script

        facts["commands"] = script(at.ctx, report)
        at.console.data(str(facts["commands"]).rstrip())
    elif at.console.plain:
        at.console.data(plan_view.plan_text(planned))
    else:
        tabulate(at.console, lambda width: plan_view.plan_view(planned, width))
    at.console.record({**report.to_json(), **facts})
    if not commands:
        at.console.advise(_plan_closing(at, planned, blocked, report))
    return not blocked


def _will_ask(ctx: Context, step: StepReport) -> bool:
    """Whether all that is in the way of a step is a yes, which `all` asks for where the install is adopted."""
    stopped = [finding for finding in step.findings if finding.verdict is Verdict.BLOCKED]
    return ctx.home.adopted is not None and bool(stopped) and all("asks" in finding.facts for finding in stopped)


def pasted(command: str, home: Home) -> str:
    """A command with the words that name an adopted install, to be pasted."""
    return shell_words([*command.split(), *words_for(home)])


def _plan_facts(planned: Plan) -> dict[str, JSON]:
    return {
        "command": "plan",
        "download_bytes": planned.download_bytes,
        "disk_bytes": planned.disk_bytes,
        "peak_bytes": planned.peak_bytes,
        "expected_s": round(planned.seconds, 1),
        "bytes_per_s": planned.bytes_per_s,
        "bytes_per_s_measured": planned.measured,
    }


def _plan_closing(at: Session, planned: Plan, blocked: list[str], report: Report) -> str:
    if blocked:
        return f"Blocked by {', '.join(blocked)}: a person must act first."
    if report.ok:
        return "Nothing left to do."
    lines = [plan_view.reckoned_with(planned)]
    lines.append(f"Nothing was changed. To do it: {pasted('provision all', at.ctx.home)}")
    if any(_will_ask(at.ctx, step) for step in report.steps):
        lines.append("It asks before it changes what this tool did not make; --yes agrees.")
    return "\n".join(line for line in lines if line)


def quietly(ctx: Context, console: Console) -> Context:
    """The same context for a look, whose findings are shown at its end: before, only what moves or takes long."""
    slow = SlowChecks(console.emit)

    def emit(event: Event) -> None:
        slow.hear(event)
        if isinstance(event, Note | Progress | Output | Waiting):
            console.emit(event)
        elif isinstance(event, FindingSeen | StepFinished):
            console.record(event.to_json())

    return replace(ctx, emit=emit)


def check(at: Session) -> bool:
    """The hardware step alone."""
    from provision.steps.registry import step_named

    return _look_and_report(at, (step_named("hardware"),), closing="This machine will do.")


def keep_crashes(at: Session, report: Report) -> None:
    """Write the tracebacks of checks that crashed into the log, where there is a home to keep one."""
    crashed = [finding for step in report.steps for finding in step.findings if finding.id == "check-crashed"]
    if crashed and at.ctx.home.logs.is_dir():
        with suppress(HomeError, DiskFull):
            at.console.keep_log(at.log)
        for finding in crashed:
            at.console.log_text(str(finding.facts["traceback"]))


def download(at: Session, to: Path | None) -> bool:
    """The models step alone, or one file of any repository, with `to` into a folder of the person's choice."""
    ctx = at.ctx
    _say_licence(at)
    with hold_home(at):
        if to is not None:
            done = _download_to(at, to.expanduser().absolute())
            if ctx.home.root.name == ".provision" and at.world is None:
                remove_temporary_home(ctx.home.root)
            return done
        from provision.steps.registry import step_named
        from provision.steps.tools.step import DOWNLOAD_TOOLS

        report = run((DOWNLOAD_TOOLS, step_named("models")), ctx, apply=True)
        facts = _run_facts(at, report)
        at.console.report(report, facts, closing="The model is here, verified." if report.ok else "Not finished.")
    return report.ok


def _download_to(at: Session, folder: Path) -> bool:
    from provision.download.obtain import obtain_at

    for model, file in at.ctx.manifest.chosen(at.ctx.options.precision):
        target = folder / file.name
        obtain_at(at.ctx.stamped("models"), model, file, target)
        at.console.record(success(path=str(target)))
        at.console.data(str(target))
    return True


def wish_for_download(wish: Wish, what: str | None) -> Wish:
    """`download`'s argument as manifest: a manifest's name or file, or a repository with or without a file.

    Raises UsageError.
    """
    if what is None or what in manifest_names() or what.endswith(".toml"):
        return replace(wish, manifest=what or wish.manifest)
    parts = what.split("/")
    if len(parts) < 2:
        raise UsageError(
            f"{what!r} is neither a manifest nor a repository.",
            hint="provision download stabilityai/sdxl-turbo",
        )
    repo, path = "/".join(parts[:2]), "/".join(parts[2:])
    return replace(wish, repo=repo, repo_file=path or None)


def _look_and_report(at: Session, steps: tuple[Step, ...], *, closing: str) -> bool:
    report = run(steps, quietly(at.ctx, at.console), apply=False)
    keep_crashes(at, report)
    at.console.checkup(report, {"command": at.command}, closing=closing if report.ok else "This machine will not do.")
    return report.ok


def _stop_server(at: Session) -> bool:
    from provision.steps.server.step import stop_server

    return stop_server(at.ctx)


def list_manifests(console: Console) -> None:
    """The manifests that come with the tool."""
    rows: list[tuple[str, str]] = []
    found: list[JSON] = []
    for name in manifest_names():
        manifest = load_manifest(name)
        _, file = manifest.checkpoint(manifest.usual_precision)
        size = views.size_text(file.size) if file.size else "size from the hub"
        rows.append((name, f"{manifest.title}, {size}, licence {manifest.license.id}"))
        found.append({"name": name, "title": manifest.title, "size": file.size})
    console.record(success(manifests=found))
    tabulate(console, views.pairs_table(rows))


def show_manifest(console: Console, name: str, overrides: list[str]) -> None:
    """Every key of a manifest, as `--set` names it, with its value."""
    values = flat(load_manifest(name, overrides))
    console.record(success(manifest=dict(values)))
    tabulate(console, views.pairs_table([(key, str(value)) for key, value in values]))


def validate_manifest(console: Console, name: str, overrides: list[str]) -> None:
    """Read a manifest strictly. Raises ManifestError with what is wrong."""
    manifest = load_manifest(name, overrides)
    console.record(success(name=manifest.name))
    console.data(f"{manifest.name} is a valid manifest: {manifest.title}.")


def success(**facts: JSON) -> dict[str, JSON]:
    """The last line of `--json` for a command that runs no steps."""
    return {"schema": 1, "type": "report", "ok": True, "changed": False, "steps": [], **facts}
