"""What a look starts is kept apart: its folders are thrown away, custom nodes are off, pip and uv refuse to install."""

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
"""A path that nothing can be at."""
NODES_OFF = "--disable-all-custom-nodes"
"""Of ComfyUI since July 2024 (comfy/cli_args.py)."""
LETS_SOME = "--whitelist-custom-nodes"
MANAGER = frozenset({"--enable-manager"})
"""What brings in ComfyUI-Manager where it is a package, which may install at start (comfy/cli_args.py)."""
FRONT_END = "--front-end-version"
PACKAGED = "comfyanonymous/ComfyUI@latest"
"""The page that is installed as a package; any other is fetched into ComfyUI's folder (app/frontend_management.py)."""
KINDS = ("user", "input", "output", "temp")


@contextmanager
def look_folder(ctx: Context) -> Iterator[Path]:
    """A folder for one look, which is gone after it: in the home, or where that takes none, as a full disk, elsewhere.

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
    """Remove what killed looks left. What cannot be removed stays."""
    place = ctx.home.state / "looks"
    with suppress(OSError):
        for left in list(place.iterdir()):
            pid = left.name.partition("-")[0]
            if pid.isdigit() and ctx.machine.process(int(pid)) is None:
                shutil.rmtree(left, ignore_errors=True)
        place.rmdir()


def apart(ctx: Context, argv: tuple[str, ...], folder: Path, *, nodes: bool = False) -> tuple[str, ...]:
    """The command of a server, as a look gives it: with folders and a database of its own, without custom nodes.

    With `nodes` they are loaded: only behind a fence (see `fence`).
    """
    words = [word for word in argv if nodes or word not in MANAGER]
    for kind in KINDS:
        words += [f"--{kind}-directory", str(folder / kind)]
    if names_database(ctx):
        words += ["--database-url", "sqlite:///:memory:"]
    if FRONT_END in words:
        words += [FRONT_END, PACKAGED]
    if not nodes and knows(ctx, NODES_OFF):
        words += [NODES_OFF, *((LETS_SOME, NOWHERE) if LETS_SOME in words else ())]
    return tuple(words)


def look_env(folder: Path | None = None, *, compiled: bool = False) -> dict[str, str]:
    """Variables for what a look starts: pip and uv end before they install; temporary files go into `folder`.

    Compiled files are left behind with `compiled` alone. `PIP_PYTHON` is the Python that pip works on (22.3 and later),
    `UV_CACHE_DIR` what uv makes before anything else.
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


def names_database(ctx: Context) -> bool:
    """Whether this ComfyUI can be told where its database lies."""
    return knows(ctx, "--database-url")


def knows(ctx: Context, flag: str) -> bool:
    """Whether this ComfyUI has a flag, by its cli_args.py."""
    places = (ctx.home.comfyui / name for name in ("comfy/cli_args.py", "cli_args.py"))
    return any(f'"{flag}"' in (ctx.machine.read_text(place) or "") for place in places)
