"""`plan --for TARGET`: what `all` would do on another Mac, every wheel looked up in the real index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provision.cli.about import licence_says
from provision.cli.command import Session
from provision.cli.commands.target_requirements import tool_python, tool_requirements
from provision.command import Command, Fix, ours
from provision.core.estimate import USUAL_S, Pace
from provision.core.finding import Cost, Finding, Kind, Severity, Verdict, cost_of
from provision.core.home import Home
from provision.core.plan import make_plan
from provision.core.step import Context, Report, StepReport, silent
from provision.environment.resolution import (
    WIDEST,
    Lack,
    Resolved,
    Rules,
    Wheel,
    first_macos,
    name_of,
    newest,
    others,
    resolve,
)
from provision.environment.torch_family import TORCH
from provision.errors import GitError, PackageError, UsageError
from provision.output.amounts import size_text
from provision.output.result import Pairs, Planned, Result, Words
from provision.steps.hardware import kinds as hardware_kinds
from provision.steps.models import kinds as models_kinds
from provision.steps.python_env import kinds as python_env_kinds
from provision.steps.requirements.asked import Asked, read_asked
from provision.steps.torch import kinds as torch_kinds
from provision.steps.torch.choice import Choice, first, in_order
from provision.steps.torch.place import elsewhere
from provision.system.target import MACOS, Target, TargetMachine, parse_target

FOR_TARGET = "plan --for"
"""The step of findings that only a plan for another Mac has; `doctor` does not list them."""
UNPACKED = {"torch": 4.2, "requirements": 1.65, "provision": 3.0}
"""Bytes on the disk for each byte of wheels: measured in November 2026, macOS arm64, Python 3.12."""
TARGET_HOME = Home(Path("/Users/you/provision"))


def _hint(id: str, severity: Severity, looks_at: str, means: str, remedy: str) -> Kind:
    return Kind(id, FOR_TARGET, severity, "hint", looks_at, means, remedy)


COMFYUI_UNREAD = _hint(
    "comfyui-unread",
    "blocks",
    "ComfyUI's requirements.txt, at its repository",
    "its packages are unknown",
    "the network, or `--requirements FILE`",
)
WHEELS_FOUND = Kind("wheels-found", FOR_TARGET, "blocks", "auto", "wheels in the index", "nothing yet", "installed")
WHEEL_CONFLICT = _hint(
    "wheel-conflict", "blocks", "whether the packages are compatible", "nothing can be installed", "another ComfyUI"
)
WHEEL_MISSING = _hint(
    "wheel-missing",
    "blocks",
    "whether each package has a wheel",
    "it would have to be compiled",
    "another torch, ComfyUI, or target",
)
TORCH_BEHIND = _hint(
    "torch-behind", "warns", "the newest torch of other targets", "an older torch is installed", "another target"
)


@dataclass(frozen=True, slots=True)
class Answers:
    """The index's answers for torch's set, for ComfyUI's packages (None where unknown) and for this tool."""

    choice: Choice
    torch: Resolved
    packages: Resolved | None
    tool: Resolved

    @property
    def parts(self) -> dict[str, Resolved]:
        """The answers by the name of their step."""
        found = {"torch": self.torch, "requirements": self.packages, "provision": self.tool}
        return {name: got for name, got in found.items() if got is not None}


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """The plan for another Mac: ComfyUI's requirements and where they are from, each part with its wheels."""

    target: str
    requirements: str | None
    download_bytes: int
    disk_bytes: int
    wheels: Mapping[str, tuple[Wheel, ...]]


def plan_for(at: Session, words: str, requirements: Path | None) -> Result:
    """Plan for the machine that `words` name; satisfied when `all` could do it there.

    Raises UsageError, NetworkError when the index cannot be asked, PackageError.
    """
    ctx, needs = at.ctx, at.ctx.manifest
    if at.world is not None or ctx.options.rehearsal:
        raise UsageError("A rehearsal only works for this machine.", hint=Fix("Remove --rehearse or --for."))
    target = parse_target(words, macos_min=needs.machine.macos_min, python=needs.python.version)
    ctx.note(licence_says(needs))
    started, asked, unread = ctx.machine.clock(), None, None
    try:
        asked = read_asked(ctx, requirements)
    except GitError as error:
        unread = COMFYUI_UNREAD.blocked("ComfyUI", error.message, fix=error.hint)
    answers = ask_index(ctx, target, asked, tool=tool_requirements())
    report = Report(tuple(reports(ctx, target, answers, unread)), ctx.machine.clock() - started)
    return _result(at, target, report, answers, asked.source if asked else None)


def _result(at: Session, target: Target, report: Report, answers: Answers, source: str | None) -> Result:
    from provision.steps.registry import STEPS

    stuck = ", ".join(step.name for step in report.steps if step.verdict is Verdict.BLOCKED)
    title = f"What `provision all` would do on {target.says}"
    planned = make_plan(report, {step.name: step.needs for step in STEPS}, Pace(), USUAL_S)
    drawn = Planned(planned, title)
    wheels = Pairs([(part, _wheel_row(wheel)) for part, got in answers.parts.items() for wheel in got.wheels])
    blocked_by = f"Won't work on that machine: {stuck}.\n" if stuck else ""
    read = f" ComfyUI's requirements: {source}." if source else ""
    closing = Words(f"{blocked_by}Nothing was installed.{read}")
    wheels_of = {part: got.wheels for part, got in answers.parts.items()}
    facts = TargetPlan(target.name, source, report.cost.download_bytes, report.cost.disk_bytes, wheels_of)
    blocked = Report(tuple(step for step in report.steps if step.verdict is Verdict.BLOCKED), report.seconds)
    view = (drawn, wheels, closing) if at.request.verbose else (drawn, closing)
    return Result(facts, view, blocked.error, report=report)


def _wheel_row(wheel: Wheel) -> str:
    return f"{wheel.filename}  {size_text(wheel.size_bytes) if wheel.size_bytes is not None else '?'}"


def ask_index(ctx: Context, target: Target, asked: Asked | None, *, tool: Sequence[str]) -> Answers:
    """Resolve torch's set, then ComfyUI's packages with it held, then what the tool needs.

    Raises NetworkError, PackageError.
    """
    ctx.note(f"Looking up packages for {target.says} ...")
    choice = choose_torch(ctx, target, audio=asked is not None and asked.audio)
    torch = resolve(ctx, target, choice.pins, Rules(index=choice.index))
    packages = None if asked is None else resolve_requirements(ctx, target, asked, torch)
    return Answers(choice, torch, packages, resolve(ctx, replace(target, python=tool_python(target)), tool))


def choose_torch(ctx: Context, target: Target, *, audio: bool) -> Choice:
    """The set that `all` would take there, or where there is none, the requested one, to report what it lacks.

    Raises PackageError when the nightly of a day is asked for and not there, NetworkError.
    """
    place = elsewhere(target)
    try:
        return first(ctx, place, audio=audio, on_try=lambda choice: _tell(ctx, choice))
    except PackageError:
        return next(in_order(ctx, place, audio=audio))


def _tell(ctx: Context, choice: Choice) -> None:
    if choice.why:
        ctx.note(f"{choice.why[0].upper()}{choice.why[1:]}: {choice.channel} torch is planned instead.")
    for newer in choice.passed_over[:1]:
        ctx.note(f"{newer}; using an older version.")


def resolve_requirements(ctx: Context, target: Target, asked: Asked, torch: Resolved) -> Resolved:
    """ComfyUI's packages with torch's versions held; without a torch, the others alone."""
    held = tuple(f"{name}=={torch.version(name)}" for name in TORCH if torch.version(name))
    rules = Rules(held, () if torch.version("torch") else TORCH, asked.until)
    found = resolve(ctx, target, asked.others, rules)
    if not found.dated:
        ctx.note("The package index has no upload times: resolving as of today.")
    ours = {wheel.name for wheel in torch.wheels}
    return replace(found, wheels=tuple(wheel for wheel in found.wheels if wheel.name not in ours))


def reports(ctx: Context, target: Target, answers: Answers, unread: Finding | None) -> Iterable[StepReport]:
    """Each step's report for the target; `unread` is why ComfyUI's requirements are not known."""
    from provision.steps.comfyui.step import check_comfyui

    there = replace(ctx, machine=TargetMachine(target), home=TARGET_HOME, emit=silent)
    needed = answers.packages
    found: dict[str, list[Finding]] = {
        "python_env": [_python(there, target)],
        "torch": [
            *_wheels(target, "torch", answers.torch),
            *_known_bad(there, answers.torch),
            *_behind(ctx, target, answers),
        ],
        "comfyui": [*check_comfyui(there)],
        "models": [*_models(there)],
        "requirements": ([unread] if unread else []) + ([*_wheels(target, "requirements", needed)] if needed else []),
        "provision": [*_wheels(target, "provision", answers.tool)],
    }
    cost = cost_of(finding for findings in found.values() for finding in findings)
    for name, findings in {"hardware": _hardware(there, cost.disk_bytes), **found}.items():
        yield StepReport(name, tuple(findings), changed=False, seconds=0)


def _hardware(there: Context, disk_bytes: int) -> list[Finding]:
    """The hardware step's findings on the target, with the free space that its disk must have."""
    from provision.steps.hardware.memory import check_memory_fit
    from provision.steps.hardware.step import AIR_BYTES, check_machine

    found = [*check_machine(there), *check_memory_fit(there)]
    says = f"{size_text(disk_bytes + AIR_BYTES)} of free disk space required."
    return [*found, hardware_kinds.HW_DISK.ok("disk", says, facts={"needed_bytes": disk_bytes + AIR_BYTES})]


def _python(there: Context, target: Target) -> Finding:
    from provision.steps.python_env.step import DISK_BYTES, DOWNLOAD_BYTES, number

    wanted = there.manifest.python
    if not number(wanted.min) <= number(target.python) <= number(wanted.max):
        too_new = number(target.python) > number(wanted.max)
        kind, end = (python_env_kinds.PY_TOO_NEW, "max") if too_new else (python_env_kinds.PY_TOO_OLD, "min")
        says = f"Python {target.python} is not accepted: the manifest requires {wanted.min} to {wanted.max}."
        again = _again(target, "--set", f"python.{end}={target.python}")
        return kind.blocked("Python", says, fix=Fix("To use it anyway:", again))
    says, fix = f"Python {target.python} is missing.", Fix("Create an environment with uv.")
    return python_env_kinds.VENV_MISSING.fixable("Python", says, fix=fix, cost=Cost(DOWNLOAD_BYTES, DISK_BYTES))


def _models(there: Context) -> Iterator[Finding]:
    for model, file in there.manifest.chosen(there.options.precision):
        says, fix = f"{file.name} is missing.", Fix(f"Download it from {model.repo} and verify it.")
        yield models_kinds.CKPT_MISSING.fixable(file.name, says, fix=fix, cost=Cost(file.size or 0, file.size or 0))


def _again(target: Target, *more: str) -> Command:
    return ours("plan", "--for", target.name, *more)


def _wheels(target: Target, part: str, got: Resolved) -> Iterable[Finding]:
    """The wheels of one part, then what is missing."""
    if got.wheels:
        names = [f"{wheel.name} {wheel.version}" for wheel in got.wheels if wheel.name in TORCH and part == "torch"]
        told = f"{', '.join(names)} and what they need: " if names else ""
        unsized = f" ({got.unsized} of unknown size)" if got.unsized else ""
        end = "; some required packages have none" if got.lacks else ", nothing to compile"
        says = f"{told}{len(got.wheels)} wheels{unsized}{end}."
        cost = Cost(got.size_bytes, int(got.size_bytes * UNPACKED[part]))
        yield WHEELS_FOUND.fixable(part, says, fix=Fix("Install them with uv."), cost=cost)
    needed = [lack for lack in got.lacks if lack.asked.startswith("torch") and part == "torch"][:1]  # all need torch
    for lack in needed or got.lacks:
        yield _lacking(target, lack)


def _lacking(target: Target, lack: Lack) -> Finding:
    if lack.why:
        says = f"{lack.asked} conflicts with the rest: {lack.why}"
        return WHEEL_CONFLICT.blocked(lack.asked, says, fix=Fix("Use another ComfyUI: --comfyui REF"))
    name = name_of(lack.asked)
    newest_here = f"the newest with one is {lack.newest}" if lack.newest else f"no version of {name} has one"
    says = f"{lack.asked} has no wheel for {target.says.rpartition(',')[0]}: {newest_here}."
    fix = Fix(f"Choose another {'torch (--torch)' if name == 'torch' else 'ComfyUI (--comfyui)'}.")
    if lack.elsewhere is not None:
        there, version = lack.elsewhere
        fix = Fix(f"{name} {version} exists {difference(target, there)}:", _again(there))
    return WHEEL_MISSING.blocked(lack.asked, says, fix=fix, facts={"newest": lack.newest})


def difference(target: Target, other: Target) -> str:
    """The one thing in which another target differs, in words."""
    if other.macos != target.macos:
        return f"for macOS {other.macos[0]} and later"
    if other.arch != target.arch:
        return "for Apple silicon"
    return f"with Python {other.python}"


def _known_bad(there: Context, torch: Resolved) -> Iterable[Finding]:
    """What is known of that torch on the target: that it computes wrong, or what else it is to be doubted for."""
    from provision.environment import known_bad_torch

    pins = [f"torch=={torch.version('torch')}"] if torch.wheels else []
    if why := known_bad_torch.refused(there.machine, pins):
        yield torch_kinds.TORCH_KNOWN_BAD.blocked("torch", f"{why}.", fix=Fix("Choose another torch: --torch VERSION"))
    for pair, says in known_bad_torch.doubts(there.machine, pins):
        yield torch_kinds.TORCH_DOUBTFUL.warn("torch", says, fix=pair.cure)


def _behind(ctx: Context, target: Target, answers: Answers) -> Iterable[Finding]:
    """Warn where other Macs have a newer torch, once for each reason."""
    have = answers.torch.version("torch")
    if answers.choice.channel != "stable" or not have:
        return
    for lack in behind(ctx, target, have, Rules(index=answers.choice.index)):
        assert lack.elsewhere is not None
        there, version = lack.elsewhere
        says = f"torch {have} is the newest for this target; {version} exists {difference(target, there)}."
        facts = {"newest": have, "elsewhere": version, "target": there.name}
        yield TORCH_BEHIND.warn("torch", says, fix=Fix("For that target:", _again(there)), facts=facts)


def behind(ctx: Context, target: Target, have: str, rules: Rules) -> list[Lack]:
    """Targets that differ in one thing and have a newer torch than `have`."""
    from packaging.version import Version

    best = newest(ctx, Target((MACOS[-1], 0), python=WIDEST), "torch", rules)
    if best is None or Version(best.version) <= Version(have):
        return []
    found = []
    for other in others(target):
        wheel = newest(ctx, other, "torch", rules)
        if wheel is not None and Version(wheel.version) > Version(have):
            found.append(Lack("torch", have, (first_macos(target, other, wheel), wheel.version)))
    return found
