"""Isolation of what a check starts: folders that are thrown away, no custom nodes, no installing by pip and uv."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.core.step import Context
from provision.system.disk_errors import unusable

NOWHERE = "/dev/null/off-during-a-look"
"""A path where nothing can be."""
NODES_OFF = "--disable-all-custom-nodes"
"""Of ComfyUI since July 2024 (comfy/cli_args.py)."""
LETS_SOME = "--whitelist-custom-nodes"
MANAGER = frozenset({"--enable-manager"})
"""Loads ComfyUI-Manager where it is a package; it may install at start (comfy/cli_args.py)."""
DATABASE = "--database-url"
FRONT_END = "--front-end-version"
PACKAGED = "comfyanonymous/ComfyUI@latest"
"""The page installed as a package; any other is downloaded into ComfyUI's folder (app/frontend_management.py)."""
KINDS = ("user", "input", "output", "temp")


@contextmanager
def look_folder(ctx: Context) -> Iterator[Path]:
    """A folder for one check, removed after it: in the home, or elsewhere where that cannot be written.

    Raises HomeError, DiskFull.
    """
    place = ctx.home.state / "looks"
    try:
        try:
            folder = _make(ctx, place if ctx.home.state.is_dir() else None)
        except OSError:
            folder = _make(ctx, None)
    except OSError as error:
        raise unusable(Path(tempfile.gettempdir()), error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another look's folder is in it, or it was never made
            place.rmdir()


def _make(ctx: Context, parent: Path | None) -> Path:
    if parent is not None:
        sweep_looks(ctx)
        parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent)).resolve()
    for kind in (*KINDS, "tmp"):
        (folder / kind).mkdir()
    return folder


def sweep_looks(ctx: Context) -> None:
    """Remove what killed checks left. What cannot be removed stays."""
    place = ctx.home.state / "looks"
    with suppress(OSError):
        for left in list(place.iterdir()):
            pid = left.name.partition("-")[0]
            if pid.isdigit() and ctx.machine.process(int(pid)) is None:
                shutil.rmtree(left, ignore_errors=True)
        place.rmdir()


def apart(ctx: Context, argv: tuple[str, ...], folder: Path, *, nodes: bool = False) -> tuple[str, ...]:
    """A server's command with folders and a database of its own and no custom nodes.

    With `nodes` they are loaded: only in a sandbox.
    """
    words = [word for word in argv if nodes or word not in MANAGER]
    for kind in KINDS:
        words += [f"--{kind}-directory", str(folder / kind)]
    if knows(ctx, DATABASE):
        words += [DATABASE, "sqlite:///:memory:"]
    if FRONT_END in words:
        words += [FRONT_END, PACKAGED]
    if not nodes and knows(ctx, NODES_OFF):
        words += [NODES_OFF, *((LETS_SOME, NOWHERE) if LETS_SOME in words else ())]
    return tuple(words)


def look_env(folder: Path | None = None, *, compiled: bool = False) -> dict[str, str]:
    """Variables for what a check starts: pip and uv end before they install; temporary files go into `folder`.

    Python keeps compiled files only with `compiled`. `PIP_PYTHON` is the Python that pip works on (22.3 and later);
    `UV_CACHE_DIR` is made by uv before anything else.
    """
    return {
        **({} if compiled else {"PYTHONDONTWRITEBYTECODE": "1"}),
        **({} if folder is None else {"TMPDIR": str(folder / "tmp")}),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_PYTHON": NOWHERE,
        "UV_CACHE_DIR": NOWHERE,
        "UV_OFFLINE": "1",
        "UV_PYTHON": NOWHERE,
    }


def knows(ctx: Context, flag: str) -> bool:
    """Whether this ComfyUI has a flag, by its cli_args.py."""
    return f'"{flag}"' in cli_args(ctx)


def cli_args(ctx: Context) -> str:
    """The text in which this ComfyUI says what flags it has; empty while it is not here."""
    places = (ctx.home.comfyui / name for name in ("comfy/cli_args.py", "cli_args.py"))
    return "".join(ctx.machine.read_text(place) or "" for place in places)
