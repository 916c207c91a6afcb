"""`provision status`: what is installed, what runs, what it takes, and what is out of date, at a glance."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.about import adopted_json
from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.comfyui import git_remote
from provision.comfyui.server_process import client_of, read_record
from provision.comfyui.server_status import ServerStatus, server_status
from provision.command import Fix, ours
from provision.core.finding import JSON, Verdict
from provision.core.home import Home
from provision.core.image import read_picture
from provision.core.receipt_kinds import ComfyReceipt, ImageReceipt, TorchReceipt
from provision.core.runner import run
from provision.core.step import Context, silent
from provision.download.model_files import model_receipts
from provision.environment import packages
from provision.environment.generations import before_says
from provision.errors import EngineError, GitError, PortTaken
from provision.output import views
from provision.output.result import Drawn, Paper, Result, Words, answer
from provision.system.disk_errors import PLUG_IN
from provision.system.disk_state import why_absent
from provision.system.disk_use import Tally

if TYPE_CHECKING:
    from rich.console import RenderableType


LOOKED_AT = ("python_env", "torch", "comfyui", "models", "requirements", "workflow")
NIGHTLY = re.compile(r"\.dev(\d{4})(\d{2})(\d{2})")
OLD_DAYS = 14
"""A nightly torch of so many days ago is told as old."""
ASK_S = 3.0
"""How long ComfyUI's host may take to tell its newest release; status waits for nothing longer."""
PICTURE_COLUMNS, BESIDE_COLUMNS = 28, 100
Rows = list[tuple[str, str]]


def status(at: Session) -> Result:
    """All of it; satisfied when the server is up."""
    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir():
        absent = why_absent(home.root)
        fix = Fix(f"{absent} {PLUG_IN.says}", PLUG_IN.command) if absent else None
        says = Words(fix or Fix(f"Nothing is installed in {home.root}. To install:", ours("all")))
        return answer({"home": str(home.root), "installed": False}, says, ok=False)
    newest = _Asked(ctx)
    server, disk, image = server_status(ctx), disk_parts(home), last_image(home)
    running = _running(ctx, server)
    old = [*_mendable(ctx), *newest.says(), *nightly_age(ctx.receipts.read("torch", TorchReceipt).torch, _today(ctx))]
    rows = [
        *_installed(at),
        ("server", running.says(server)),
        ("disk", _disk_says(disk)),
        ("last image", str(image) if image is not None else "none yet"),
        ("out of date", "\n".join(map(at.typed, old)) if old else "nothing that is known of"),
    ]
    facts: dict[str, JSON] = {
        "home": str(home.root),
        "installed": True,
        **{name: ctx.receipts.read(name) for name in ("comfyui", "torch", "first_image")},
        "before": before_says(home) or None,
        "server": {**server.to_json(), **running.to_json()},
        "disk_bytes": disk,
        "last_image": str(image) if image is not None else None,
        "out_of_date": old,
        **adopted_json(home),
    }
    return answer(facts, Drawn(lambda paper: _drawn(rows, image, paper)), ok=server.state == "up")


def _drawn(rows: Rows, image: Path | None, paper: Paper) -> RenderableType:
    picture = read_picture(image) if image is not None and paper.takes_pictures else None
    return _page(rows, picture or b"", paper.width)


def _page(rows: Rows, picture: bytes, width: int) -> RenderableType:
    """The rows, and the picture beside them, or below where there is no room."""
    from rich.console import Group
    from rich.table import Table

    table = views.pairs_table(rows)
    if not picture:
        return table
    small = views.picture(picture, PICTURE_COLUMNS)
    if width < BESIDE_COLUMNS:
        return Group(table, small)
    beside = Table.grid(padding=(0, 3))
    beside.add_column(width=width - PICTURE_COLUMNS - 3)
    beside.add_row(table, small)
    return beside


# -- installed --------------------------------------------------------------------------------------------------


def _installed(at: Session) -> Iterator[tuple[str, str]]:
    ctx, home = at.ctx, at.ctx.home
    torch, comfyui = ctx.receipts.read("torch", TorchReceipt), ctx.receipts.read("comfyui", ComfyReceipt)
    image = ctx.receipts.read("first_image", ImageReceipt)
    yield "home", str(home.root)
    yield "ComfyUI", f"{comfyui.name} ({comfyui.commit[:12]})" if comfyui.commit else "not here"
    if home.adopted is not None:
        python = home.venv_of_another
        yield "adopted from", f"{home.base}, not made by this tool"
        yield "its Python", f"{python}, not made by this tool" if python is not None else f"{home.own_venv}, ours"
    yield "torch", f"{torch.torch} ({torch.got}) on {torch.device}" if torch.torch else "not here"
    if kept := before_says(home):
        yield "before", at.typed(Fix(f"{kept}; back to it:", ours("rollback")))
    versions = packages.installed_versions(home.venv)
    yield "packages", f"{len(versions)}, for Python {packages.target_python(ctx)}" if versions else "none"
    yield from _models(ctx)
    yield "first image", f"{home.first_image}, {image.seconds_warm} s warm" if image.sha256 else "none yet"


def _models(ctx: Context) -> Iterator[tuple[str, str]]:
    proven = model_receipts(ctx)
    for model, file in ctx.manifest.chosen(ctx.options.precision):
        path = ctx.home.models / model.folder / file.name
        receipt = next((each for each in proven if each.place == ctx.home.shown(path)), None)
        proof = f", sha256 {receipt.sha256[:12]}, verified {receipt.verified_at[:10]}" if receipt else ""
        yield file.name, f"{views.size_text(path.stat().st_size)}{proof}" if path.exists() else "not here"


# -- running ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Running:
    """What is asked of a server that runs."""

    port: int | None = None
    memory_bytes: int | None = None
    runs: int | None = None
    waits: int | None = None

    def says(self, server: ServerStatus) -> str:
        """The server in one line."""
        parts = [server.says.rstrip(".")]
        if server.pid is not None:
            parts.append(f"pid {server.pid}, port {self.port}")
        if self.memory_bytes:
            parts.append(f"{views.size_text(self.memory_bytes)} of memory")
        if self.runs is not None:
            parts.append(f"queue: {self.runs} running, {self.waits} waiting")
        return "\n".join([parts[0], ", ".join(parts[1:])]).rstrip("\n")

    def to_json(self) -> dict[str, JSON]:
        """Beside what the server tells of itself."""
        return {"port": self.port, "memory_bytes": self.memory_bytes, "queue": [self.runs, self.waits]}


def _running(ctx: Context, server: ServerStatus) -> _Running:
    if server.pid is None:
        return _Running()
    record = read_record(ctx)
    port = record.port if record is not None else ctx.manifest.comfyui.port
    memory = ctx.machine.resident_bytes(server.pid)
    if server.state == "up":
        with suppress(EngineError, PortTaken):
            queue = client_of(ctx, port).queue()
            return _Running(port, memory, len(queue.running), len(queue.pending))
    return _Running(port, memory)


# -- disk -------------------------------------------------------------------------------------------------------


def disk_parts(home: Home) -> dict[str, int]:
    """Bytes on the disk by part, without the empty ones; a file with several names counts once, in the first part.

    What an adopted install holds is not the tool's, and is left out.
    """
    tally = Tally()
    code = home.root / "ComfyUI"
    places = {
        "models": [code / "models"], "pictures": [code / "output", home.first_image], "ComfyUI": [code],
        "environments": [home.own_venv, home.envs], "caches": [home.state / "cache"],
        "moved aside": [home.aside], "the rehearsal's world": [home.state / "rehearsal"], "the rest": [home.root],
    }  # fmt: skip
    sizes = {part: tally.add_all(paths) for part, paths in places.items()}
    return {part: size for part, size in sizes.items() if size}


def _disk_says(disk: dict[str, int]) -> str:
    parts = sorted(disk.items(), key=lambda part: -part[1])
    each = ", ".join(f"{name} {views.size_text(size)}" for name, size in parts)
    return f"{views.size_text(sum(disk.values()))}: {each}"


def last_image(home: Home) -> Path | None:
    """The newest picture that ComfyUI saved, else the first image; None where there is none."""
    saved = [path for path in (home.base / "output").glob("*.png") if path.is_file()]
    newest = max(saved, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest or (home.first_image if home.first_image.is_file() else None)


# -- out of date ------------------------------------------------------------------------------------------------


def _mendable(ctx: Context) -> Iterable[Fix]:
    """What `all` would change, by a quick look at what needs no network."""
    from provision.steps.registry import step_named

    steps = tuple(step_named(name) for name in LOOKED_AT)
    report = run(steps, replace(ctx, emit=silent, options=replace(ctx.options, deep=False)), apply=False)
    for step in report.steps:
        for finding in step.findings:
            if finding.verdict in (Verdict.FIXABLE, Verdict.BLOCKED):
                yield Fix(f"{step.name}: {finding.says}")


def nightly_age(torch: str, today: date) -> Iterator[Fix]:
    """A sentence on a nightly torch that is old; nothing of others."""
    found = NIGHTLY.search(torch)
    try:
        made = date(*map(int, found.groups())) if found else today
    except ValueError:  # no day of any calendar
        return
    days = (today - made).days
    if days >= OLD_DAYS:
        newer = (today - timedelta(days=1)).strftime("%Y%m%d")
        yield Fix(f"torch is the nightly of {days} days ago; a newer one:", ours("all", "--torch", f"nightly@{newer}"))


def _today(ctx: Context) -> date:
    return date.fromisoformat(ctx.machine.timestamp()[:10])


class _Asked:
    """ComfyUI's newest release, asked for while the rest is looked at, and not waited for longer than `ASK_S`."""

    def __init__(self, ctx: Context) -> None:
        self.here = ctx.receipts.read("comfyui", ComfyReceipt).name
        self.found = ""
        self._url, self._environ = ctx.manifest.comfyui.url, ctx.machine.environ
        self._thread: threading.Thread | None = None
        asked = ctx.manifest.comfyui.ref == "latest" and ctx.home.code_of_another is None and self.here
        if asked and not ctx.options.rehearsal:
            self._thread = threading.Thread(target=self._ask, name="newest-release", daemon=True)
            self._thread.start()

    def _ask(self) -> None:
        with suppress(GitError):
            self.found = git_remote.find_revision(self._url, "latest", environ=self._environ).name

    def says(self) -> Iterator[Fix]:
        """A sentence where there is a newer one, or where nobody told."""
        if self._thread is None:
            return
        self._thread.join(ASK_S)
        if not self.found:
            yield Fix("ComfyUI's newest release is not known: its host did not answer.")
        elif self.found != self.here:
            yield Fix(f"ComfyUI {self.found} is out; to take it:", ours("all", "--comfyui", self.found))


app = command("status", status, USUAL)
