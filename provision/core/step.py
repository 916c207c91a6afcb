"""A step checks one part of the machine and applies what is missing; a context is what it works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from provision.command import Command, Fix
from provision.core.bundle import Bundle
from provision.core.deep_results import Proofs
from provision.core.events import Doing, Emit, Event, Note, Output, Progress, StepPlanned, Unit, Waiting, Work
from provision.core.finding import Cost, Finding, FindingJson, Kind, Verdict, cost_of, worst
from provision.core.home import Home
from provision.core.lockfile import Lock
from provision.core.manifest import Manifest
from provision.core.patience import LOOKING_S, Patience
from provision.core.receipts import Receipts
from provision.errors import ErrorJson, Passing, ProvisionError, StartOver
from provision.system.machine import Machine


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for besides the manifest."""

    backend: str = "auto"
    precision: str = "fp16"
    deep: bool = False
    yes: bool = False
    rehearsal: bool = False
    endpoint: str = "https://huggingface.co"
    """The hub: `HF_ENDPOINT`, or the rehearsal's."""
    endpoints: tuple[str, ...] = ()
    """Hubs to ask in this order in place of `endpoint`; the token goes to none that is not `endpoint`'s or its own."""
    limit_rate: int = 0
    """Bytes a second that a download may take; 0 is no limit."""
    connections: int = 0
    """How many connections the built-in backend uses; 0 lets it find out."""
    look_in: tuple[Path, ...] = ()
    """Folders that may hold the model already."""
    copy: bool = False
    """Never share a file with another program by a hard link: take a copy of it."""
    share_cache: bool = False
    """Let the Hugging Face cache have the model too, as the same bytes."""
    lan: bool = False
    """Let ComfyUI listen to the network, not only to this computer."""
    time_machine: str = "ask"
    """`exclude` leaves the home out of Time Machine and Spotlight, `keep` does not, `ask` asks once."""
    agreed: frozenset[str] = frozenset()
    """Ids of findings that may be fixed without asking again."""
    locked: Lock | None = None
    """What is to be rebuilt, exactly."""
    source: Bundle | None = None
    """Where everything comes from, in place of the internet."""
    may_run: bool = True
    """Whether the Python of an adopted install may be started; asked the first time."""
    planning: bool = False
    """Say exactly what would be installed, which costs a look at the package index."""


def never(question: str) -> bool:
    """Answer no: checks must not ask."""
    return False


def silent(event: Event) -> None:
    """Ignore the event."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a step may use. `consent` asks yes or no, and raises ConsentNeeded where nobody can answer."""

    machine: Machine
    manifest: Manifest
    home: Home
    options: Options = field(default_factory=Options)
    emit: Emit = silent
    consent: Callable[[str], bool] = never
    proofs: Proofs = field(default_factory=Proofs)
    """What `--deep` proved in this run."""
    patience: Patience = field(default_factory=Patience)
    """How long failures are ridden out that may pass."""

    @property
    def receipts(self) -> Receipts:
        return Receipts(self.home.receipts)

    def note(self, says: str, command: Command | None = None, *, passing: bool = False) -> None:
        """Say one sentence now, and the command that goes with it; `passing`: it is being done just now."""
        self.emit(Note(says=says, argv=command, passing=passing))

    def doing(self, says: str) -> None:
        """Say what comes next; shown only if it takes long."""
        self.emit(Doing(says=says))

    def output(self, line: str) -> None:
        self.emit(Output(line=line))

    def progress(
        self, subject: str, done: int, total: int | None = None, unit: Unit = "bytes", kind: Work = Work.DOWNLOAD
    ) -> None:
        self.emit(Progress(kind=kind, subject=subject, done=done, total=total, unit=unit))

    def wait(self, says: str, seconds: float, why: Passing | None = None) -> None:
        """Say what is waited for, then wait. Raises Interrupted at once when the person asks to stop."""
        self.emit(Waiting(kind=why or Passing.ANSWER, says=says, seconds=seconds))
        self.machine.sleep(seconds)

    def looking(self) -> Context:
        """The same context for a look, whose answer is what can be seen now."""
        return replace(self, patience=self.patience.at_most(LOOKING_S))

    def stamped(self, step: str) -> Context:
        """The same context, with events that carry the step's name."""
        emit = self.emit

        def stamp(event: Event) -> None:
            emit(event if event.step else replace(event, step=step))

        return replace(self, emit=stamp)


Check = Callable[[Context], Iterable[Finding]]
Apply = Callable[[Context, Finding], None]


@dataclass(frozen=True, slots=True)
class Step:
    """A named part of the machine. `apply` is None where we can fix nothing."""

    name: str
    needs: tuple[str, ...]
    check: Check
    apply: Apply | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """A further check of a step; `mends` are the kinds of findings that its own `apply` fixes."""

    check: Check
    mends: tuple[Kind, ...] = ()
    apply: Apply | None = None


def with_looks(step: Step, *looks: Look) -> Step:
    """A step with further checks. What they can fix comes first, without the rest: it may be the cause."""

    def check(ctx: Context) -> Iterable[Finding]:
        more = [finding for look in looks for finding in look.check(ctx)]
        if not any(finding.verdict is Verdict.FIXABLE for finding in more):
            yield from step.check(ctx)
        yield from more

    def apply(ctx: Context, finding: Finding) -> None:
        chosen = next((look.apply for look in looks if finding.kind in look.mends), step.apply)
        if chosen is not None:
            chosen(ctx, finding)

    return replace(step, check=check, apply=apply)


@dataclass(frozen=True, slots=True)
class StepJson:
    """What one step saw and did; `blocked_by` is the step that it waits for."""

    name: str
    ok: bool
    verdict: Verdict
    changed: bool
    fixed: tuple[str, ...]
    seconds: float
    findings: tuple[FindingJson, ...]
    error: ErrorJson | None
    blocked_by: str | None


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step saw in the end, and whether it changed anything."""

    name: str
    findings: tuple[Finding, ...]
    changed: bool
    seconds: float
    error: ProvisionError | None = None
    waits_for: str | None = None
    mended: tuple[str, ...] = ()
    """The ids of the findings that were fixed, in the order of the work."""

    @property
    def again_from(self) -> str | None:
        """The step from which the run must be done again."""
        return self.error.step if isinstance(self.error, StartOver) else None

    @property
    def faulty(self) -> bool:
        """Whether it has a fault of its own that must be fixed."""
        return self.error is not None or any(
            finding.verdict in (Verdict.FIXABLE, Verdict.BLOCKED) and not finding.caused_by for finding in self.findings
        )

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings; BLOCKED when it failed or never ran."""
        if self.error is not None or self.waits_for is not None:
            return Verdict.BLOCKED
        return worst(self.findings)

    @property
    def satisfied(self) -> bool:
        return self.verdict in (Verdict.OK, Verdict.WARN)

    def to_json(self) -> StepJson:
        """The step in the report of `--json`."""
        return StepJson(
            self.name,
            self.satisfied,
            self.verdict,
            self.changed,
            self.mended,
            self.seconds,
            tuple(finding.to_json() for finding in self.findings),
            None if self.error is None else self.error.to_json(),
            self.waits_for,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a whole run saw and did."""

    steps: tuple[StepReport, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        return all(step.satisfied for step in self.steps)

    @property
    def changed(self) -> bool:
        return any(step.changed for step in self.steps)

    def step(self, name: str) -> StepReport:
        return {step.name: step for step in self.steps}[name]

    @property
    def cost(self) -> Cost:
        """The cost of fixing everything."""
        return cost_of(finding for step in self.steps for finding in step.findings)

    @property
    def error(self) -> ErrorJson | None:
        """Why it is not ok: the first error, else the worst finding that follows from no other; None where it is ok."""
        wrong = [step for step in self.steps if not step.satisfied]
        failed = [step.error.to_json() for step in wrong if step.error is not None]
        found = [each for step in wrong for each in step.findings if each.verdict in (Verdict.FIXABLE, Verdict.BLOCKED)]
        found.sort(key=lambda finding: (bool(finding.caused_by), -finding.verdict.rank))
        waiting = [
            ErrorJson("blocked", f"{step.name} waits for {step.waits_for}.", Fix(), None)
            for step in wrong
            if step.waits_for
        ]
        return next(iter([*failed, *(finding.to_error() for finding in found), *waiting]), None)


def planned_disk_bytes(ctx: Context, writers: Sequence[Step]) -> int:
    """Bytes that the fixes of `writers` will add to the disk, from a quick check; emits a StepPlanned for each."""
    exactly = ctx.options.planning and ctx.machine.system != "Darwin"  # there torch's size depends on its index
    quiet = replace(ctx, emit=silent, options=replace(ctx.options, deep=False, planning=exactly))
    disk_bytes = 0
    for step in writers:
        todo = [finding for finding in step.check(quiet) if finding.verdict is Verdict.FIXABLE]
        if todo:
            cost = cost_of(todo)
            ctx.emit(StepPlanned(step=step.name, **asdict(cost)))
            disk_bytes += cost.disk_bytes
    return disk_bytes
