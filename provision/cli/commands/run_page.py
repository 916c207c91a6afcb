"""What the page of `report` shows: the last run, read from the home."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from provision import __version__
from provision.cli.about import terms_of
from provision.command import Command, ours
from provision.core.finding import Verdict
from provision.core.image import Quality, read_picture
from provision.core.receipt_kinds import ComfyReceipt, Facts, ImageReceipt, RequirementsReceipt, TorchReceipt
from provision.core.step import Context
from provision.download.model_files import model_receipts
from provision.environment import packages
from provision.output.amounts import size_text, time_text
from provision.output.hints import HERE
from provision.output.report.bench_result import bench_sentence, chart_rows
from provision.output.report.charts import bars_chart, course_chart
from provision.output.report.page import Part, RunPage, Seen
from provision.output.report.render import Tell
from provision.output.report.run_record import Run, last_bench
from provision.output.report.timeline import Course, Transfer
from provision.system.strict import SETTINGS_MAX_BYTES, STATE_MAX_BYTES, read_head
from provision.system.visible import shell_words

PUBLIC = ("http://127.0.0.1", "http://localhost")


def run_page(ctx: Context, run: Run, tell: Tell) -> RunPage:
    """Everything that the page shows."""
    course, image = run.course, ctx.receipts.read("first_image", ImageReceipt)
    names = [step.name for step in run.steps]
    changed = [step.name for step in run.steps if step.changed]
    took = time_text(run.seconds)
    bench = last_bench(ctx.home)
    return RunPage(
        title=f"{ctx.manifest.title} in ComfyUI",
        outcome=_outcome(run.ok, changed, took),
        good=run.ok,
        about=list(_about(ctx, run, image)),
        picture=read_picture(ctx.home.first_image),
        caption=_caption(image),
        licence=(terms_of(ctx.manifest).removeprefix("licence "), ctx.manifest.license.url),
        parts=list(_parts(ctx)),
        packages=sorted(packages.installed_versions(ctx.home.venv).items()),
        course=course_chart(course, names, tell),
        course_says=_course_says(course, len(changed), took),
        transfers=[_transfer_row(each) for each in course.transfers if each.moved > 0],
        bench=bars_chart(chart_rows(bench), about="Seconds an image", tell=tell) if bench else Markup(),
        bench_says=bench_sentence(bench) if bench else "",
        seen=_seen(run),
        again=[(what, HERE.text(command)) for what, command in _again(ctx, image)],
        foot=f"Made by provision {__version__} on {ctx.machine.timestamp()[:16].replace('T', ' ')} from its records."
        " Home folders, names and tokens are removed.",
    )


def _outcome(good: bool, changed: Sequence[str], took: str) -> str:
    if not good:
        return f"Not finished after {took}; what was done is kept."
    return f"Installed and tested in {took}." if "first_image" in changed else f"Fixed in {took}: {', '.join(changed)}."


def _about(ctx: Context, run: Run, image: ImageReceipt) -> Iterator[tuple[str, str]]:
    findings = [each for step in run.steps if step.name == "hardware" for each in step.findings]
    seen: Facts = {name: value for each in reversed(findings) for name, value in each.facts.items()}
    yield "when", (run.when or image.when or "not known")[:16].replace("T", " ")
    yield "machine", str(seen.get("chip") or image.chip or ctx.machine.arch)
    system = seen.get("system", ctx.machine.system)
    says = f"macOS {seen.get('version')} ({seen['build']})" if "build" in seen else str(system)
    yield "system", f"{says}, {ctx.machine.arch}"
    if isinstance(total := seen.get("total_bytes"), int):
        yield "memory", f"{total / 2**30:.0f} GiB"
    if image.sha256:
        first, warm = time_text(image.seconds_first), time_text(image.seconds_warm)
        yield "an image", f"the first {first}, warm {warm}, on {image.device}"
    if moved := sum(each.moved for each in run.course.transfers if each.kind.over_network):
        yield "moved", f"{size_text(moved)} over the network"
    if run.rehearsal is not None:
        yield "world", "a rehearsal: everything came from this machine itself"
    yield "ComfyUI's page", ctx.manifest.comfyui.page
    if ctx.home.adopted is not None:
        yield "adopted", f"the ComfyUI in {ctx.home.base}"


def _caption(image: ImageReceipt) -> list[str]:
    if not image.sha256:
        return []
    made, seeds = image.settings, image.seeds or ("unknown",)
    settings = (
        f"{made.get('width')}x{made.get('height')}, steps {made.get('steps')}, cfg {made.get('cfg')}, "
        f"{made.get('sampler')}, {made.get('scheduler')}"
    )
    judged = [image.says] if image.verdict != Quality.OK else []
    return [str(made.get("prompt", "")), f"{settings}; seed {seeds[0]}", *judged]


def _again(ctx: Context, image: ImageReceipt) -> Iterator[tuple[str, Command]]:
    """What to do next with this install, each with its command."""
    rehearsed = ("--rehearse",) if ctx.options.rehearsal else ()
    yield "Repair it, or see that all is well", ours("all", *rehearsed)
    yield "Start ComfyUI", ours("launch")
    if image.seeds and (prompt := str(image.settings.get("prompt", ""))):
        yield "Make this image again", ours("generate", prompt, "--seed", str(image.seeds[0]))
    if ctx.home.lock_file.is_file() and not rehearsed:
        yield "Install the same on another Mac", ours("all", "--locked", ctx.home.lock_file.name)
    yield "Write this page again", ours("report")


def _parts(ctx: Context) -> Iterator[Part]:
    """What was installed, each part with its version, its origin and what proves it."""
    comfyui, torch, venv = ctx.receipts.read("comfyui", ComfyReceipt), _torch_origin(ctx), ctx.home.venv
    if comfyui.commit:
        yield Part("ComfyUI", comfyui.name, _origin(ctx, comfyui.url), f"commit {comfyui.commit}")
    for receipt in model_receipts(ctx):
        size = f"{size_text(receipt.size or 0)}, {receipt.precision}"
        where = _origin(ctx, f"{ctx.options.endpoint}/{receipt.repo}")
        yield Part(receipt.path, size, where, f"revision {receipt.asked_revision[:12]}, sha256 {receipt.sha256}")
    versions = packages.installed_versions(venv)
    for name in ("torch", "torchvision", "torchaudio"):
        if name in versions:
            yield Part(name, versions[name], torch, fingerprint(venv, name))
    if (folder := packages.site_packages(venv)) is not None:
        settings = read_head(venv / "pyvenv.cfg", SETTINGS_MAX_BYTES).decode("utf-8", "replace").splitlines()
        made_of = dict(line.partition(" = ")[::2] for line in settings).get("home", "")
        yield Part("Python", folder.parent.name.removeprefix("python"), made_of, "")
    if (asked := ctx.receipts.read("requirements", RequirementsReceipt)).until:
        proof = f"requirements.txt sha256 {asked.requirements}"
        yield Part("ComfyUI's packages", f"as of {asked.until}", "what this revision requires, torch pinned", proof)
    if text := read_head(lock := ctx.home.lock_file, STATE_MAX_BYTES):
        proof = f"sha256 {hashlib.sha256(text).hexdigest()}"
        yield Part(lock.name, "all of it, exactly", f"provision all --locked {lock.name} rebuilds it", proof)


def _origin(ctx: Context, address: str) -> str:
    """An address as a page for people; words for a rehearsal's."""
    if ctx.options.rehearsal or address.startswith(PUBLIC):
        return "the rehearsal's own host on this machine"
    return address.removesuffix(".git")


def _torch_origin(ctx: Context) -> str:
    if ctx.options.rehearsal:
        return "a stand-in of the rehearsal"
    nightly = ctx.receipts.read("torch", TorchReceipt).got == "nightly"
    return ctx.manifest.torch.nightly_index if nightly else "the Python package index"


def fingerprint(venv: Path, name: str) -> str:
    """The sha256 of an installed package's RECORD, which holds the hashes of all its files."""
    for folder in packages.package_folders(venv):
        for record in folder.glob(f"{name}-*.dist-info/RECORD"):
            return f"sha256 of its RECORD {hashlib.sha256(read_head(record, STATE_MAX_BYTES)).hexdigest()}"
    return ""


def _course_says(course: Course, changed: int, took: str) -> str:
    if not course.spans:
        return ""
    worked = sum(span.end - span.start for span in course.spans)
    many = f"{changed} steps changed something" if changed != 1 else "One step changed something"
    return f"{many}. One after the other they take {time_text(worked)}; side by side they took {took}."


def _transfer_row(transfer: Transfer) -> tuple[str, ...]:
    what, moved = transfer.kind.says(transfer.subject), size_text(transfer.moved)
    rate = f"{size_text(transfer.moved / transfer.seconds)}/s" if transfer.seconds >= 0.05 else "too fast to tell"
    return what, transfer.step, moved, time_text(transfer.seconds), rate


def _seen(run: Run) -> list[Seen]:
    """Errors and findings, the worst first."""
    rows: list[Seen] = []
    for step in run.steps:
        if step.error is not None:
            rows.append(Seen("blocked", step.name, step.error.message, step.error.code, step.error.hint))
        for finding in step.findings:
            if not finding.detail:
                todo = shell_words(finding.fix.argv) if finding.fix and finding.verdict is not Verdict.OK else ""
                rows.append(Seen(finding.verdict, step.name, finding.says, finding.id, todo))
    return sorted(rows, key=lambda row: -Verdict(row.verdict).rank)  # stable: the order of the steps stays
