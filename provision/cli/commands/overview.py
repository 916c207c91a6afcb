"""What `status` shows: what is installed, what runs, what it takes on the disk, and what is out of date."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from provision.cli.command import Session
from provision.cli.newest import Asked, NewerRelease, ask_newest, says_newer
from provision.cli.run_in_progress import run_in_progress
from provision.comfyui import at_login
from provision.comfyui.server_process import client_of, lan_page, read_record
from provision.comfyui.server_status import ServerStatus, server_status
from provision.command import Fix, ours
from provision.core.events import RunInProgress
from provision.core.finding import Verdict
from provision.core.home import AdoptedJson, Home
from provision.core.image import read_picture
from provision.core.receipt_kinds import ComfyReceipt, ImageReceipt, TorchReceipt
from provision.core.runner import run
from provision.core.step import Context, silent
from provision.download.model_files import model_receipts
from provision.environment import packages
from provision.environment.generations import before_says
from provision.errors import EngineError, PortTaken
from provision.output import views
from provision.output.amounts import size_text, time_text, with_tilde
from provision.output.layout import KEPT, Line, line
from provision.output.result import Pairs, Picture, Result, Says, answer, why
from provision.steps.registry import step_named
from provision.steps.tools.git import lost_git
from provision.system.disk_errors import PLUG_IN
from provision.system.disk_state import why_absent
from provision.system.disk_use import Tally

LOOKED_AT = ("python_env", "torch", "comfyui", "models", "requirements", "workflow")
NIGHTLY = re.compile(r"\.dev(\d{4})(\d{2})(\d{2})")
OLD_DAYS = 14
"""The age from which a nightly torch is called old."""
PICTURE_ROWS = 14
"""Most rows of the last image."""


@dataclass(frozen=True, slots=True)
class NotInstalled:
    """A home in which nothing is installed."""

    home: str
    installed: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """How many images are being made, and how many wait; null where ComfyUI does not say."""

    running: int | None
    waiting: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(ServerStatus):
    """ComfyUI: `state` is `up`, `starting`, `hung` or `down`; `lan_url` is its address for other devices."""

    at_login: bool
    lan_url: str | None
    port: int | None
    memory_bytes: int | None
    queue: Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """What is installed and what runs. `before` is what `rollback` goes back to, `in_progress` the run under way.

    Values of what is not installed are empty; `disk_bytes` are by part.
    """

    home: str
    installed: bool = True
    comfyui: ComfyReceipt
    torch: TorchReceipt
    first_image: ImageReceipt
    before: str | None
    server: Server
    in_progress: RunInProgress | None
    disk_bytes: Mapping[str, int]
    last_image: str | None
    out_of_date: tuple[Fix, ...]
    newer: NewerRelease | None
    adopted: AdoptedJson | None


def overview(at: Session) -> Result:
    """The answer of `status`."""
    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir():
        absent = why_absent(home.root)
        plug_in = Fix(f"{absent} {PLUG_IN.says}", PLUG_IN.command)
        nothing = plug_in if absent else Fix(f"Nothing is installed in {home.root}.", ours("all"))
        says = plug_in if absent else Fix(f"Nothing is installed in {at.home_shown} yet. Run:", ours("all"))
        return answer(NotInstalled(str(home.root)), says, error=why("not_installed", nothing))
    waiting = ask_newest(ctx) if not ctx.options.rehearsal else None
    under_way = run_in_progress(home, ctx.machine)
    server, disk, image = server_status(ctx), disk_parts(home), last_image(home)
    server_says, server_facts = _running(ctx, server)
    age = nightly_age(ctx.receipts.read("torch", TorchReceipt).torch, date.fromisoformat(ctx.machine.timestamp()[:10]))
    asked = waiting() if waiting is not None else Asked(answered=True)
    old = [*_mendable(ctx), *_newest(ctx, asked), *age]
    updates: list[Says] = [*old] or ["none"]
    rows: list[tuple[Says, ...]] = [
        *_installed(at),
        *(("" if place else "server", says) for place, says in enumerate(server_says.splitlines())),
        *([("in progress", views.run_text(under_way))] if under_way is not None else []),
        ("disk", _disk_says(disk)),
        *([("last image", _path(ctx, image))] if image not in (None, home.first_image) else []),
        *(("" if place else "updates", says) for place, says in enumerate(updates)),
    ]
    facts = StatusFacts(
        home=str(home.root),
        comfyui=ctx.receipts.read("comfyui", ComfyReceipt),
        torch=ctx.receipts.read("torch", TorchReceipt),
        first_image=ctx.receipts.read("first_image", ImageReceipt),
        before=before_says(home) or None,
        server=server_facts,
        in_progress=under_way,
        disk_bytes=disk,
        last_image=str(image) if image is not None else None,
        out_of_date=tuple(old),
        newer=asked.newer,
        adopted=home.adopted_json,
    )
    picture = (read_picture(image) if image is not None else None) or b""
    down = None if server.state == "up" else why(f"server_{server.state}", Fix(server.says, ours("launch")))
    return answer(facts, Pairs(rows), Picture(picture, PICTURE_ROWS), error=down)


def _path(ctx: Context, path: Path) -> Line:
    """A path to copy, with `~` for the person's folder."""
    return line((_tilde(ctx, path), KEPT))


def _tilde(ctx: Context, path: Path) -> str:
    return with_tilde(path, ctx.machine.environ.get("HOME", ""))


def _installed(at: Session) -> Iterator[tuple[Says, ...]]:
    ctx, home = at.ctx, at.ctx.home
    torch, comfyui = ctx.receipts.read("torch", TorchReceipt), ctx.receipts.read("comfyui", ComfyReceipt)
    image = ctx.receipts.read("first_image", ImageReceipt)
    yield "home", _path(ctx, home.root)
    yield "ComfyUI", f"{comfyui.name} ({comfyui.commit[:12]})" if comfyui.commit else "not installed"
    if home.adopted is not None:
        python = home.venv_of_another
        yield "adopted from", _path(ctx, home.base)
        yield "its Python", _path(ctx, python if python is not None else home.own_venv)
    yield "torch", f"{torch.torch} ({torch.got}) on {torch.device}" if torch.torch else "not installed"
    if kept := before_says(home):
        yield "before", Fix(f"{kept}; back to it:", ours("rollback"))
    versions = packages.installed_versions(home.venv)
    yield "packages", f"{len(versions)}, for Python {packages.target_python(ctx)}" if versions else "none"
    receipts = {receipt.place: receipt for receipt in reversed(model_receipts(ctx))}
    for model, file in ctx.manifest.chosen(ctx.options.precision):
        path = home.models / model.folder / file.name
        receipt = receipts.get(home.shown(path))
        proof = f", sha256 {receipt.sha256[:12]}, verified {receipt.verified_at[:10]}" if receipt else ""
        yield "model", file.name if path.exists() else f"{file.name} (not installed)"
        if path.exists():
            yield "", f"{size_text(path.stat().st_size)}{proof}"
    yield "first image", _path(ctx, home.first_image) if image.sha256 else "none yet"
    if image.sha256:
        yield "", f"{time_text(image.seconds_warm)} warm"


def _running(ctx: Context, server: ServerStatus) -> tuple[str, Server]:
    """A running server, for people and for programs."""
    port = memory = runs = waits = None
    if server.pid is not None:
        record = read_record(ctx)
        port = record.port if record is not None else ctx.manifest.comfyui.port
        memory = ctx.machine.resident_bytes(server.pid)
        if server.state == "up":
            with suppress(EngineError, PortTaken):
                queue = client_of(ctx, port).queue()
                runs, waits = len(queue.running), len(queue.pending)
    starts, open_at = at_login.item_of(ctx.home, ctx.machine) is not None, lan_page(ctx)
    parts = [
        f"pid {server.pid}, port {port}" if server.pid is not None else "",
        f"{size_text(memory)} of memory" if memory else "",
        f"{runs} running, {waits} waiting" if runs or waits else "",
    ]
    always = ["starts when you log in"] if starts else []
    always += [f"open to your network: {open_at}"] if open_at else []
    says = "\n".join(filter(None, [server.says.rstrip("."), ", ".join(filter(None, parts)), *always]))
    return says, Server(
        **asdict(server), at_login=starts, lan_url=open_at, port=port, memory_bytes=memory, queue=Queue(runs, waits)
    )


def disk_parts(home: Home) -> dict[str, int]:
    """Bytes on the disk by part, without empty ones and what an adopted install holds.

    A file with several names counts once, in the first part.
    """
    code = home.root / "ComfyUI"
    places = {
        "models": [code / "models"],
        "images": [code / "output", home.first_image],
        "ComfyUI": [code],
        "environments": [home.own_venv, home.envs],
        "caches": [home.state / "cache"],
        "moved aside": [home.aside],
        "the rehearsal's world": [home.state / "rehearsal"],
        "records": [home.root],
    }
    tally = Tally()
    sizes = {part: tally.add_all(paths) for part, paths in places.items()}
    return {part: size for part, size in sizes.items() if size}


def _disk_says(disk: dict[str, int]) -> str:
    parts = sorted(disk.items(), key=lambda part: -part[1])
    each = ", ".join(f"{name} {size_text(size)}" for name, size in parts)
    return f"{size_text(sum(disk.values()))}: {each}"


def last_image(home: Home) -> Path | None:
    """The newest image that ComfyUI saved, else the first image; None where there is none."""
    saved = [path for path in (home.base / "output").glob("*.png") if path.is_file()]
    newest = max(saved, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest or (home.first_image if home.first_image.is_file() else None)


def _mendable(ctx: Context) -> Iterable[Fix]:
    """What `all` would change, found by a quick look that needs no network."""
    steps = tuple(step_named(name) for name in LOOKED_AT)
    if (lack := lost_git(ctx)) is not None:
        yield Fix(f"tools: {lack.says} [{lack.id}]")
    report = run(steps, replace(ctx, emit=silent, options=replace(ctx.options, deep=False)), apply=False)
    for step in report.steps:
        for finding in step.findings:
            if finding.verdict in (Verdict.FIXABLE, Verdict.BLOCKED):
                yield Fix(f"{step.name}: {finding.says}")


def _newest(ctx: Context, asked: Asked) -> list[Fix]:
    if asked.newer is not None:
        return [says_newer(ctx, asked.newer)]
    return [] if asked.answered else [Fix("ComfyUI's newest release is not known: its host did not answer.")]


def nightly_age(torch: str, today: date) -> Iterator[Fix]:
    """A sentence where a nightly torch is old."""
    found = NIGHTLY.search(torch)
    try:
        made = date(*map(int, found.groups())) if found else today
    except ValueError:  # no such day
        return
    days = (today - made).days
    if days >= OLD_DAYS:
        newer = (today - timedelta(days=1)).strftime("%Y%m%d")
        yield Fix(f"torch is the nightly of {days} days ago; a newer one:", ours("all", "--torch", f"nightly@{newer}"))
