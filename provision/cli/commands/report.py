"""`provision report`: what a run did, read from the home, as one page to look at, to keep and to print."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from markupsafe import Markup
from typer import Option

from provision import __version__
from provision.cli.about import terms_of
from provision.cli.command import Session, command
from provision.cli.commands.issue_report import person_of
from provision.cli.request import USUAL
from provision.command import ours
from provision.core.finding import Verdict
from provision.core.image import read_picture
from provision.core.receipt_kinds import ComfyReceipt, Facts, ImageReceipt, RequirementsReceipt, TorchReceipt
from provision.core.step import Context
from provision.download.model_files import model_receipts
from provision.environment import packages
from provision.errors import UsageError
from provision.output import views
from provision.output.report.bench_result import bench_sentence, chart_rows
from provision.output.report.charts import bars_svg, course_svg
from provision.output.report.page import Part, RunPage, Seen, html_page
from provision.output.report.redact import redact
from provision.output.report.render import Tell
from provision.output.report.run_record import Run, last_bench, last_change
from provision.output.report.timeline import Course, Transfer
from provision.output.result import Result, answer
from provision.system.disk_errors import unusable
from provision.system.strict import SETTINGS_MAX_BYTES, STATE_MAX_BYTES, read_head
from provision.system.visible import shell_words

MARK = b'<!DOCTYPE html>\n<html lang="en">'
FILE = "provision-report.html"
PUBLIC = ("http://127.0.0.1", "http://localhost")


def report(
    at: Session,
    *,
    output: Annotated[Path | None, Option("-o", "--output", metavar="FILE", help="Where the page goes.")] = None,
) -> Result:
    """Write the page of the last run that changed anything. Raises UsageError where there was none."""
    ctx = at.ctx
    run = last_change(ctx.home)
    if run is None:
        raise UsageError(f"No run of `all` is known in {ctx.home.root}.", hint=ours("all"))
    path = (output or ctx.home.root / FILE).expanduser().absolute()
    _check_place(path)
    tell = partial(redact, person=person_of(ctx))
    page = html_page(run_page(ctx, run, tell), tell)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise unusable(path, error) from error
    size = path.stat().st_size
    says = f"{path}  ({views.size_text(size)}, one file; open it in any browser)"
    return answer({"path": str(path), "size": size}, says)


def _check_place(path: Path) -> None:
    """Refuse to write over what is no page of ours. Raises UsageError."""
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", hint=ours("report", "-o", FILE))
    if path.is_dir() or (path.exists() and read_head(path, len(MARK)) != MARK):
        raise UsageError(f"{path} is there and is no report of ours.", hint=ours("report", "-o", FILE))


def run_page(ctx: Context, run: Run, tell: Tell) -> RunPage:
    """Everything that the page shows."""
    course, image = run.course, ctx.receipts.read("first_image", ImageReceipt)
    names = [step.name for step in run.steps]
    changed = [step.name for step in run.steps if step.changed]
    took = views.time_text(run.seconds)
    bench = last_bench(ctx.home)
    return RunPage(
        title=f"{ctx.manifest.title} in ComfyUI",
        outcome=_outcome(run.ok, changed, took),
        good=run.ok,
        about=list(_about(ctx, run, image)),
        picture=read_picture(ctx.home.first_image),
        caption=_caption(image),
        licence=(terms_of(ctx.manifest), ctx.manifest.license.url),
        parts=list(_parts(ctx)),
        packages=sorted(packages.installed_versions(ctx.home.venv).items()),
        course_svg=course_svg(course, names, tell),
        course_says=_course_says(course, len(changed), took),
        transfers=[_transfer_row(each) for each in course.transfers if each.moved > 0],
        bench_svg=bars_svg(chart_rows(bench), about="Seconds an image", tell=tell) if bench else Markup(),
        bench_says=bench_sentence(bench) if bench else "",
        seen=list(_seen(run)),
        foot=f"Made by provision {__version__} on {ctx.machine.timestamp()[:16].replace('T', ' ')} from what the home"
        " keeps. Home folders, names and tokens are left out.",
    )


def _outcome(good: bool, changed: Sequence[str], took: str) -> str:
    if not good:
        return f"Not finished after {took}; what was done is kept."
    return f"Set up and proven in {took}." if "first_image" in changed else f"Mended in {took}: {', '.join(changed)}."


def _about(ctx: Context, run: Run, image: ImageReceipt) -> Iterator[tuple[str, str]]:
    yield "when", (run.when or image.when or "not known")[:16].replace("T", " ")
    seen = _hardware(run)
    yield "machine", str(seen.get("chip") or image.chip or ctx.machine.arch)
    yield "system", _system(ctx, seen)
    if isinstance(total := seen.get("total_bytes"), int):
        yield "memory", f"{total / 2**30:.0f} GiB"
    if image.sha256:
        first, warm = views.time_text(image.seconds_first), views.time_text(image.seconds_warm)
        yield "an image", f"the first {first}, warm {warm}, on {image.device}"
    moved = sum(each.moved for each in run.course.transfers if each.kind.over_network)
    if moved:
        yield "moved", f"{views.size_text(moved)} over the network"
    if run.rehearsal is not None:
        yield "world", "a rehearsal: everything came from this machine itself"
    if ctx.home.adopted is not None:
        yield "adopted", f"the ComfyUI in {ctx.home.base}"


def _hardware(run: Run) -> Facts:
    """The facts of the hardware's findings, by their names; of two, what was found first."""
    told = [each.facts for step in run.steps if step.name == "hardware" for each in step.findings]
    return {name: value for each in reversed(told) for name, value in each.items()}


def _system(ctx: Context, seen: Facts) -> str:
    if "build" in seen:
        return f"macOS {seen.get('version')} ({seen['build']}), {ctx.machine.arch}"
    return f"{seen.get('system', ctx.machine.system)}, {ctx.machine.arch}"


def _caption(image: ImageReceipt) -> list[str]:
    if not image.sha256:
        return []
    made, seeds = image.settings, image.seeds or ("unknown",)
    settings = (
        f"{made.get('width')}x{made.get('height')}, {made.get('steps')} step(s), cfg {made.get('cfg')}, "
        f"{made.get('sampler')}, {made.get('scheduler')}"
    )
    return [str(made.get("prompt", "")), f"{settings}; seed {seeds[0]}", image.says]


# -- what was installed -----------------------------------------------------------------------------------------


def _parts(ctx: Context) -> Iterator[Part]:
    comfyui, torch = ctx.receipts.read("comfyui", ComfyReceipt), ctx.receipts.read("torch", TorchReceipt)
    if comfyui.commit:
        yield Part("ComfyUI", comfyui.name, _origin(ctx, comfyui.url), f"commit {comfyui.commit}")
    for receipt in model_receipts(ctx):
        size = f"{views.size_text(receipt.size or 0)}, {receipt.precision}"
        where = _origin(ctx, f"{ctx.options.endpoint}/{receipt.repo}")
        yield Part(receipt.path, size, where, f"revision {receipt.asked_revision[:12]}, sha256 {receipt.sha256}")
    versions = packages.installed_versions(ctx.home.venv)
    for name in ("torch", "torchvision", "torchaudio"):
        if name in versions:
            yield Part(name, versions[name], _index(ctx, torch), fingerprint(ctx.home.venv, name))
    folder = packages.site_packages(ctx.home.venv)
    if folder is not None:
        yield Part("Python", folder.parent.name.removeprefix("python"), _python_origin(ctx.home.venv), "")
    if (asked := ctx.receipts.read("requirements", RequirementsReceipt)).until:
        yield Part(
            "ComfyUI's packages", f"as of {asked.until}", "what this revision asks for, torch held",
            f"requirements.txt sha256 {asked.requirements}",
        )  # fmt: skip
    if text := read_head(lock := ctx.home.lock_file, STATE_MAX_BYTES):
        proof = f"sha256 {hashlib.sha256(text).hexdigest()}"
        yield Part(lock.name, "all of it, exactly", f"provision all --locked {lock.name} rebuilds it", proof)


def _origin(ctx: Context, address: str) -> str:
    """An address as a page for people; a rehearsal's own are words."""
    if ctx.options.rehearsal or address.startswith(PUBLIC):
        return "the rehearsal's own host on this machine"
    return address.removesuffix(".git")


def _index(ctx: Context, torch: TorchReceipt) -> str:
    if ctx.options.rehearsal:
        return "a stand-in of the rehearsal"
    return ctx.manifest.torch.nightly_index if torch.got == "nightly" else "the Python package index"


def _python_origin(venv: Path) -> str:
    lines = read_head(venv / "pyvenv.cfg", SETTINGS_MAX_BYTES).decode("utf-8", "replace").splitlines()
    told = dict(line.partition(" = ")[::2] for line in lines)
    return told.get("home", "")


def fingerprint(venv: Path, name: str) -> str:
    """What tells an installed package from any other: the sha256 of its RECORD, which holds those of all its files."""
    for folder in packages.package_folders(venv):
        for record in folder.glob(f"{name}-*.dist-info/RECORD"):
            return f"sha256 of its RECORD {hashlib.sha256(read_head(record, STATE_MAX_BYTES)).hexdigest()}"
    return ""


# -- how it went ------------------------------------------------------------------------------------------------


def _course_says(course: Course, changed: int, took: str) -> str:
    if not course.spans:
        return ""
    worked = sum(span.end - span.start for span in course.spans)
    many = f"{changed} steps changed something" if changed != 1 else "One step changed something"
    return f"{many}. One after the other they take {views.time_text(worked)}; side by side they took {took}."


def _transfer_row(transfer: Transfer) -> tuple[str, ...]:
    what, moved = transfer.kind.says(transfer.subject), views.size_text(transfer.moved)
    rate = f"{views.size_text(transfer.moved / transfer.seconds)}/s" if transfer.seconds >= 0.05 else "too fast to tell"
    return what, transfer.step, moved, views.time_text(transfer.seconds), rate


def _seen(run: Run) -> Iterator[Seen]:
    rows: list[Seen] = []
    for step in run.steps:
        if step.error is not None:
            rows.append(Seen("blocked", step.name, step.error.message, step.error.code, step.error.hint))
        for finding in step.findings:
            if finding.detail:
                continue
            todo = shell_words(finding.fix.argv) if finding.fix and finding.verdict is not Verdict.OK else ""
            rows.append(Seen(finding.verdict, step.name, finding.says, finding.id, todo))
    yield from sorted(rows, key=lambda row: -Verdict(row.verdict).rank)  # stable: the order of the steps stays


app = command("report", report, USUAL)
