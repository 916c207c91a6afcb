"""The pictures of the README, made from a real rehearsal: the live view and the plan as SVG, the report as PNG.

    python benchmarks/pictures.py [FOLDER]        # docs/pictures

The report's needs Chromium; without one it is left as it is, and that is said.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from provision.cli.commands.all import provision_all
from provision.cli.request import Request
from provision.cli.session import open_session
from provision.core.events import Event, StepFinished
from provision.output import live_view, views
from provision.output.console import Console
from provision.output.layout import painted_text
from provision.system.local_machine import LocalMachine

CHECKOUT = Path(__file__).resolve().parents[1]
HOME = Path(tempfile.gettempdir()) / "provision-rehearsal"
COLUMNS, ROWS = 110, 40
RATE = "5M"
"""Of the download, so that there is something to see on a machine that sends to itself."""
PNG_BYTES_MAX = 300_000
SINCE_S = 0.5
"""A step that is at work for less is over before a person sees it."""
THEME = TerminalTheme(
    (24, 24, 27),
    (228, 228, 231),
    [
        (63, 63, 70),
        (248, 113, 113),
        (74, 222, 128),
        (250, 204, 21),
        (96, 165, 250),
        (192, 132, 252),
        (34, 211, 238),
        (228, 228, 231),
    ],
)
CHROMIUM = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,1800",
)


class Camera(Console):
    """A console that keeps the lines that stay, and the live view of the last moment at which something moved."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[RenderableType] = []
        self.best: list[RenderableType] = []

    def show(self, event: Event) -> None:
        if isinstance(event, StepFinished):
            self.kept.append(Text.from_ansi(painted_text([views.step_line(event)], COLUMNS).rstrip()))
        now = time.monotonic()
        steps = [step for step in self.state.steps.values() if step.active and now - step.since > SINCE_S]
        moving = [task for step in steps for task in step.moving if task.at.total is not None and task.at.done]
        if len(steps) > 1 and moving:
            self.best = [*self.kept, *live_view.live_lines(self.state, now, COLUMNS, ROWS)]

    def line(self, text: str) -> None:
        """Nobody reads."""

    def data(self, text: str) -> None:
        """Nobody reads."""


def film() -> RenderableType:
    """A moment of `all --rehearse`, in an empty home that is left for the other pictures."""
    shutil.rmtree(HOME, ignore_errors=True)
    camera = Camera()
    with camera, open_session(Request("all", HOME, rehearse=True, limit_rate=RATE), camera, LocalMachine()) as at:
        assert provision_all(at).ok
    return Group(*camera.best)


def told(*words: str) -> RenderableType:
    """What a command prints, in its colours."""
    environ = {
        **os.environ,
        "FORCE_COLOR": "1",
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm-256color",
        "PROVISION_CALLED_AS": "provision",
    }
    argv = [sys.executable, "-m", "provision", *words]
    ran = subprocess.run(argv, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    return Text.from_ansi(ran.stdout)


def draw(shown: RenderableType, title: str, path: Path) -> None:
    """One window as SVG; its letters are the reader's own, so that nothing is fetched from elsewhere."""
    console = RichConsole(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(shown)
    svg = console.export_svg(title=title, theme=THEME, unique_id=path.stem)
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace, Menlo")
    path.write_text(svg.replace(str(Path.home()), "~"), encoding="utf-8")


def shoot(page: Path, path: Path) -> bool:
    """The page as a browser shows it, in few colours; False where there is no browser."""
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if program is None:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        large = Path(scratch, "page.png")
        argv = [program, *FLAGS, f"--user-data-dir={scratch}/profile", f"--screenshot={large}", page.as_uri()]
        subprocess.run(argv, capture_output=True, timeout=120, check=True)
        image = Image.open(large).convert("RGB")
    for side in (1000, 900, 800, 700):
        small = image.resize((side, image.height * side // image.width), Image.Resampling.LANCZOS)
        small.quantize(256, kmeans=1).save(path, optimize=True)
        if path.stat().st_size < PNG_BYTES_MAX:
            return True
    raise SystemExit(f"{path} is larger than {PNG_BYTES_MAX} bytes.")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    home = ("--home", str(HOME))
    try:
        draw(film(), "provision all --rehearse", folder / "live.svg")
        draw(told("bench", "--count", "2", *home), "provision bench", folder / "bench.svg")
        told("report", *home)
        if not shoot(HOME / "provision-report.html", folder / "report.png"):
            print("There is no Chromium: report.png is left as it is.")
    finally:
        told("stop", *home)
        shutil.rmtree(HOME, ignore_errors=True)
    with tempfile.TemporaryDirectory() as nothing:
        draw(told("plan", "--rehearse", "--home", f"{nothing}/provision"), "provision plan", folder / "plan.svg")
    for path in sorted(folder.iterdir()):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
