"""`provision report`: what a run did, read from the home, as one page to look at, to keep and to print."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from provision import __version__, packages, views
from provision.bench_result import bench_of, bench_sentence, chart_rows
from provision.commands import success
from provision.course_chart import bars_svg, course_svg
from provision.errors import UsageError
from provision.finding import Verdict
from provision.home import unusable
from provision.issue_report import person_of
from provision.redact import redact
from provision.run_page import Part, RunPage, Seen, Tell, html_page
from provision.run_record import last_bench, last_change
from provision.session import Session
from provision.step import Context
from provision.timeline import Course, Transfer, course_of
from provision.visible import shell_words

MARK = b'<!DOCTYPE html>\n<html lang="en">'
FILE = "provision-report.html"
PUBLIC = ("http://127.0.0.1", "http://localhost")
Json = dict[str, Any]


def report(at: Session, output: Path | None) -> bool:
    """Write the page of the last run that changed anything. Raises UsageError where there was none."""
    ctx = at.ctx
    run = last_change(ctx.home)
    if run is None:
        raise UsageError(f"No run of `all` is known in {ctx.home.root}.", hint="provision all")
    path = (output or ctx.home.root / FILE).expanduser().absolute()
    _check_place(path)
    tell = partial(redact, person=person_of(ctx))
    page = html_page(run_page(ctx, run, tell), tell)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise unusable(path, error) from error
    at.console.record(success(path=str(path), size=path.stat().st_size))
    at.console.data(f"{path}  ({views.size_text(path.stat().st_size)}, one file; open it in any browser)")
    return True


def _check_place(path: Path) -> None:
    """Refuse to write over what is no page of ours. Raises UsageError."""
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.", hint=f"provision report -o {FILE}")
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(MARK)):
        raise UsageError(f"{path} is there and is no report of ours.", hint=f"provision report -o {FILE}")


def run_page(ctx: Context, run: Json, tell: Tell) -> RunPage:
    """Everything that the page shows."""
    course, image = course_of(run.get("course")), ctx.receipts.read("first_image")
    good = bool(run.get("ok"))
    names = [str(step["name"]) for step in run.get("steps", ())]
    changed = [str(step["name"]) for step in run.get("steps", ()) if step.get("changed")]
    took = views.time_text(float(run.get("seconds", 0)))
    terms = ctx.manifest.license
    allows = "commercial use allowed" if terms.commercial else "no commercial use"
    bench = bench_of(last_bench(ctx.home))
    return RunPage(
        title=f"{ctx.manifest.title} in ComfyUI",
        outcome=_outcome(good, changed, took),
        good=good,
        about=list(_about(ctx, run, image)),
        picture=ctx.home.first_image.read_bytes() if ctx.home.first_image.is_file() else None,
        caption=_caption(image),
        licence=(f"{terms.id or 'see its page'}, {allows}" if terms.id else "see its page", terms.url),
        parts=list(_parts(ctx)),
        packages=sorted(packages.installed_versions(ctx.home.venv).items()),
        course_svg=course_svg(course, names, tell),
        course_says=_course_says(course, len(changed), took),
        transfers=[_transfer_row(each) for each in course.transfers if each.moved > 0],
        bench_svg=bars_svg(chart_rows(bench), about="Seconds an image") if bench else "",
        bench_says=bench_sentence(bench) if bench else "",
        seen=list(_seen(run)),
        foot=f"Made by provision {__version__} on {ctx.machine.timestamp()[:16].replace('T', ' ')} from what the home"
        " keeps. Home folders, names and tokens are left out.",
    )


def _outcome(good: bool, changed: Sequence[str], took: str) -> str:
    if not good:
        return f"Not finished after {took}; what was done is kept."
    return f"Set up and proven in {took}." if "first_image" in changed else f"Mended in {took}: {', '.join(changed)}."


def _about(ctx: Context, run: Json, image: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "when", str(run.get("when") or image.get("when") or "not known")[:16].replace("T", " ")
    seen = _hardware(run)
    yield "machine", str(seen.get("chip") or image.get("chip") or ctx.machine.arch)
    yield "system", _system(ctx, seen)
    if isinstance(total := seen.get("total_bytes"), int):
        yield "memory", f"{total / 2**30:.0f} GiB"
    if image:
        first, warm = float(image.get("seconds_first", 0)), float(image.get("seconds_warm", 0))
        yield "an image", f"the first {views.time_text(first)}, warm {views.time_text(warm)}, on {image.get('device')}"
    moved = sum(each.moved for each in course_of(run.get("course")).transfers if _over_network(each))
    if moved:
        yield "moved", f"{views.size_text(moved)} of models over the network"
    if "rehearsal" in run:
        yield "world", "a rehearsal: everything came from this machine itself"
    if ctx.home.adopted is not None:
        yield "adopted", f"the ComfyUI in {ctx.home.base}"


def _hardware(run: Json) -> Json:
    """The facts of the hardware's findings, by their names; of two, what was found first."""
    steps = [step for step in run.get("steps", ()) if step["name"] == "hardware"]
    told = [each["facts"] for step in steps for each in step["findings"]]
    return {name: value for each in reversed(told) for name, value in each.items()}


def _system(ctx: Context, seen: Json) -> str:
    if "build" in seen:
        return f"macOS {seen.get('version')} ({seen['build']}), {ctx.machine.arch}"
    return f"{seen.get('system', ctx.machine.system)}, {ctx.machine.arch}"


def _caption(image: Mapping[str, Any]) -> list[str]:
    if not image:
        return []
    made = image.get("settings") or {}
    seeds = image.get("seeds") or ["unknown"]
    settings = (
        f"{made.get('width')}x{made.get('height')}, {made.get('steps')} step(s), cfg {made.get('cfg')}, "
        f"{made.get('sampler')}, {made.get('scheduler')}"
    )
    return [str(made.get("prompt", "")), f"{settings}; seed {seeds[0]}", str(image.get("says", ""))]


# -- what was installed -----------------------------------------------------------------------------------------


def _parts(ctx: Context) -> Iterator[Part]:
    comfyui, torch = ctx.receipts.read("comfyui"), ctx.receipts.read("torch")
    if comfyui:
        yield Part(
            "ComfyUI", str(comfyui.get("name")), _origin(ctx, str(comfyui.get("url", ""))),
            f"commit {comfyui.get('commit')}",
        )  # fmt: skip
    for receipt in _models(ctx):
        size = f"{views.size_text(int(receipt['size']))}, {receipt.get('precision')}"
        where = _origin(ctx, f"{ctx.options.endpoint}/{receipt.get('repo')}")
        revision = str(receipt.get("asked_revision", ""))[:12]
        yield Part(str(receipt["path"]), size, where, f"revision {revision}, sha256 {receipt['sha256']}")
    versions = packages.installed_versions(ctx.home.venv)
    for name in ("torch", "torchvision", "torchaudio"):
        if name in versions:
            yield Part(name, versions[name], _index(ctx, torch), fingerprint(ctx.home.venv, name))
    folder = packages.site_packages(ctx.home.venv)
    if folder is not None:
        yield Part("Python", folder.parent.name.removeprefix("python"), _python_origin(ctx.home.venv), "")
    if (asked := ctx.receipts.read("requirements")) and asked.get("until"):
        yield Part(
            "ComfyUI's packages", f"as of {asked['until']}", "what this revision asks for, torch held",
            f"requirements.txt sha256 {asked.get('requirements')}",
        )  # fmt: skip
    if (lock := ctx.home.lock_file).is_file():
        proof = f"sha256 {hashlib.sha256(lock.read_bytes()).hexdigest()}"
        yield Part(lock.name, "all of it, exactly", f"provision all --locked {lock.name} rebuilds it", proof)


def _models(ctx: Context) -> Iterator[Json]:
    for path in sorted(ctx.receipts.folder.glob("model-*.json")):
        receipt = ctx.receipts.read(path.stem)
        if {"path", "size", "sha256"} <= receipt.keys():
            yield receipt


def _origin(ctx: Context, address: str) -> str:
    """An address as a page for people; a rehearsal's own are words."""
    if ctx.options.rehearsal or address.startswith(PUBLIC):
        return "the rehearsal's own host on this machine"
    return address.removesuffix(".git")


def _index(ctx: Context, torch: Mapping[str, Any]) -> str:
    if ctx.options.rehearsal:
        return "a stand-in of the rehearsal"
    return ctx.manifest.torch.nightly_index if torch.get("got") == "nightly" else "the Python package index"


def _python_origin(venv: Path) -> str:
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    told = dict(line.partition(" = ")[::2] for line in lines)
    return told.get("home", "")


def fingerprint(venv: Path, name: str) -> str:
    """What tells an installed package from any other: the sha256 of its RECORD, which holds those of all its files."""
    for folder in packages.package_folders(venv):
        for record in folder.glob(f"{name}-*.dist-info/RECORD"):
            return f"sha256 of its RECORD {hashlib.sha256(record.read_bytes()).hexdigest()}"
    return ""


# -- how it went ------------------------------------------------------------------------------------------------


def _over_network(transfer: Transfer) -> bool:
    return not transfer.subject.startswith("verifying ")


def _course_says(course: Course, changed: int, took: str) -> str:
    if not course.spans:
        return ""
    worked = sum(span.end - span.start for span in course.spans)
    many = f"{changed} steps changed something" if changed != 1 else "One step changed something"
    return f"{many}. One after the other they take {views.time_text(worked)}; side by side they took {took}."


def _transfer_row(transfer: Transfer) -> tuple[str, ...]:
    rate = f"{views.size_text(transfer.moved / transfer.seconds)}/s" if transfer.seconds >= 0.05 else "too fast to tell"
    return (
        transfer.subject, transfer.step, views.size_text(transfer.moved), views.time_text(transfer.seconds), rate,
    )  # fmt: skip


def _seen(run: Json) -> Iterator[Seen]:
    rows: list[Seen] = []
    for step in run.get("steps", ()):
        if error := step.get("error"):
            rows.append(Seen("blocked", step["name"], error["message"], error["code"], error["hint"]))
        for finding in step.get("findings", ()):
            if finding["verdict"] == Verdict.OK and finding["facts"].get("detail") is True:
                continue
            fix = finding.get("fix") or {}
            todo = shell_words(fix.get("argv") or ()) if finding["verdict"] != Verdict.OK else ""
            rows.append(Seen(finding["verdict"], step["name"], finding["says"], finding["id"], todo))
    yield from sorted(rows, key=lambda row: -Verdict(row.verdict).rank)  # stable: the order of the steps stays
