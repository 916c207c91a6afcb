"""The loop over steps: check, apply what is not satisfied, check again. It knows no concrete step."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

from provision.command import Fix, ours
from provision.core.causes import with_causes
from provision.core.events import ApplyStarted, FindingSeen, RunStarted, StepFinished, StepStarted
from provision.core.finding import Finding, Verdict
from provision.core.kinds import CHECK_CRASHED
from provision.core.sentences import in_progress
from provision.core.step import Context, Report, Step, StepReport
from provision.errors import Interrupted, NotSatisfied, ProvisionError
from provision.system.disk_errors import as_sentence

ROUNDS_MAX = 12
"""How often a run may start over from a step; the step that asks for it stops before."""

STOP_S = 0.7
"""Seconds to wait for steps that were told to stop: a little more than their children get."""
Faulty = Callable[[Collection[str]], list[str]]
"""Which of some steps, by their names, have a fault of their own."""


def run(steps: Sequence[Step], ctx: Context, *, apply: bool) -> Report:
    """Run steps in parallel, each as soon as those that it needs are satisfied.

    Without `apply` nothing is changed, nothing waits (`deep` checks one step after the other), and a check that crashes
    is a finding; a step that cannot check because of another is reported as waiting for it. With `apply` a failed step
    leaves the others running; those that need it are reported as waiting. After StartOver the step it names, and all
    that need it, run again.
    Raises Interrupted, after children were ended.
    """
    started = ctx.machine.clock()
    names = {step.name for step in steps}
    ctx.emit(RunStarted(needs={step.name: tuple(need for need in step.needs if need in names) for step in steps}))
    reports = _run_once(steps, ctx, {}, apply=apply)
    for _ in range(ROUNDS_MAX):
        begin = next((report.again_from for report in reports.values() if report.again_from), None)
        if begin not in reports:
            break
        for name, report in _run_once(_from(steps, begin), ctx, reports, apply=apply).items():
            before = reports[name]
            reports[name] = replace(
                report,
                changed=before.changed or report.changed,
                mended=(*before.mended, *report.mended),
                seconds=before.seconds + report.seconds,
            )
    return Report(tuple(reports[step.name] for step in steps), ctx.machine.clock() - started)


def _from(steps: Sequence[Step], begin: str) -> list[Step]:
    """A step and, in their order, all that need it or need what does."""
    reached = {begin}
    for step in steps:
        if reached & set(step.needs):
            reached.add(step.name)
    return [step for step in steps if step.name in reached]


def _run_once(
    steps: Sequence[Step], ctx: Context, before: Mapping[str, StepReport], *, apply: bool
) -> dict[str, StepReport]:
    """Run each step once; of those that are not among them, what was reported before counts."""
    futures: dict[str, Future[StepReport]] = {}
    alone = ctx.options.deep and not apply  # each proof has the whole machine, and those before it are known
    pool = ThreadPoolExecutor(max_workers=1 if alone else max(1, len(steps)), thread_name_prefix="step")
    try:
        for step in steps:
            known = {**{name: _settled(report) for name, report in before.items()}, **futures}
            needs = [known[name] for name in step.needs if name in known]
            faulty = partial(_faulty, known)
            futures[step.name] = pool.submit(_run_when_ready, step, needs, faulty, ctx.stamped(step.name), apply)
        done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()  # what ended badly is raised now, not when all before it have ended
        reports = {name: future.result() for name, future in futures.items()}
    except BaseException:
        ctx.machine.interrupt()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(futures.values(), timeout=STOP_S)
        raise
    pool.shutdown()
    return reports


def _settled(report: StepReport) -> Future[StepReport]:
    future: Future[StepReport] = Future()
    future.set_result(report)
    return future


def _faulty(before: Mapping[str, Future[StepReport]], names: Collection[str]) -> list[str]:
    """Which of some earlier steps have a fault of their own, in their order; waits until they were looked at."""
    return [name for name, report in before.items() if name in names and report.result().faulty]


def _run_when_ready(
    step: Step, needs: Sequence[Future[StepReport]], faulty: Faulty, ctx: Context, apply: bool
) -> StepReport:
    if apply:
        for need in needs:
            if not need.result().satisfied:
                return StepReport(step.name, (), changed=False, seconds=0, waits_for=need.result().name)
    ctx.machine.check_interrupted()
    if any(ctx.proofs.is_touched(need.result().name) for need in needs if apply):
        ctx.proofs.touch(step.name)
    report = run_step(step, ctx, apply=apply, faulty=faulty)
    if report.error is None or apply:
        return report
    missing = next((need.result() for need in needs if not need.result().satisfied), None)
    return report if missing is None else replace(report, error=None, waits_for=missing.name)


def run_step(step: Step, ctx: Context, *, apply: bool, faulty: Faulty = lambda names: []) -> StepReport:
    """Check one step and, with `apply`, fix it. Its ProvisionError becomes part of its report.

    `faulty` says which of the steps that may cause its findings have a fault.
    """
    started = ctx.machine.clock()
    findings: tuple[Finding, ...] = ()
    applied: list[Finding] = []
    mended: list[str] = []
    error: ProvisionError | None = None
    try:
        while True:  # each round mends another finding; the same one twice is refused
            ctx.emit(StepStarted(again=bool(applied)))
            if not apply:
                ctx.doing(f"checking {step.about}")
            looking = ctx.looking()
            findings = tuple(step.check(looking) if apply else _survive(step, looking))
            todo = next((finding for finding in findings if finding.verdict is Verdict.FIXABLE), None)
            if not apply or todo is None or step.apply is None:
                break
            _refuse_twice(step, todo, applied)
            ctx.emit(ApplyStarted(finding_id=todo.id, says=in_progress(todo.fix.says) if todo.fix else todo.says))
            applied.append(todo)
            ctx.proofs.touch(step.name)
            step.apply(ctx, todo)
            mended.append(todo.id)
    except Interrupted:
        raise
    except ProvisionError as failure:
        error = failure
    except OSError as failure:
        error = as_sentence(failure, ctx.home.root)
        if error is None:
            raise
    findings = with_causes(findings, faulty({name for finding in findings for name in finding.kind.follows}))
    for finding in findings:
        ctx.emit(FindingSeen(finding=finding))
    seconds = ctx.machine.clock() - started
    report = StepReport(step.name, findings, bool(applied), seconds, error=error, mended=tuple(mended))
    ctx.emit(StepFinished(verdict=report.verdict, says=_summary(report), changed=report.changed, seconds=seconds))
    return report


def _survive(step: Step, ctx: Context) -> Iterable[Finding]:
    """What a check sees before it crashes, and the crash as a finding: a look must name the other faults too."""
    try:
        yield from step.check(ctx)
    except (ProvisionError, ImportError):  # the second: the tool's own environment is broken
        raise
    except OSError as error:
        if as_sentence(error, ctx.home.root) is not None:  # the disk's, and no crash
            raise
        yield _crash(step, ctx, error)
    except Exception as error:  # noqa: BLE001  (only where nothing is changed: what is broken must not hide the rest)
        yield _crash(step, ctx, error)


def _crash(step: Step, ctx: Context, error: Exception) -> Finding:
    trace = "".join(traceback.format_exception(error))
    for line in trace.splitlines():
        ctx.output(line)
    says = f"The check of {step.name} crashed ({type(error).__name__}: {error})."
    fix = Fix("This is a bug in provision. Please report it.", ours("doctor", "--report", "report.md"))
    return CHECK_CRASHED.blocked(step.name, says, fix=fix, facts={"traceback": trace})


def _refuse_twice(step: Step, todo: Finding, applied: Sequence[Finding]) -> None:
    if any(done.id == todo.id and done.subject == todo.subject for done in applied):
        raise NotSatisfied(
            f"{step.name}: {todo.says} It was just fixed, and is still broken: this is a bug in provision.",
            hint=ours("doctor", "--json"),
        )


def _summary(report: StepReport) -> str:
    if report.error is not None:
        return report.error.message
    notable = [f for f in report.findings if f.verdict is report.verdict and not f.detail]
    return "; ".join(finding.says.rstrip(".") for finding in notable) if notable else "nothing to check"
