"""Which folders may be homes: those with our marker, new ones and empty ones.

Homes made before there was a marker are recognised by their receipts.
"""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision import __version__
from provision.command import ours
from provision.core.receipts import read_state, write_json
from provision.errors import HomeError, UsageError
from provision.system.disk_errors import unusable

MARKER = Path("state", "home.json")
NEVER_INDEX = ".metadata_never_index"
"""The file that Spotlight heeds, and passes over the folder that it lies in."""
IMAGES = ("first-image.png", "first-image.rejected.png")
FILES = ("provision.lock", "provision.toml", NEVER_INDEX, *IMAGES)
ROOT_NAMES = frozenset((*FILES, "ComfyUI", "venv", "envs", "logs", "moved-aside", "state", ".venv.next"))
RECORDS = (
    *("home", "pace", "report", "run", "bench", "server", "adopted", "comfyui-files"),
    *("switching", "in-progress", "pythons"),
)
STATE_FOLDERS = (
    *("receipts", "parts", "cache", "python", "children", "rehearsal", "looks", "quick-test"),
    *("comfyui-archives", "comfyui-new", "trial", "nodes"),
)
STATE_FILES = ("lock", "held.txt", "locked.txt", "checkout-unfinished", "installing")
STATE_NAMES = frozenset((*STATE_FOLDERS, *STATE_FILES, *(f"{name}.json" for name in RECORDS)))
LOG_NAME = re.compile(r"(provision|comfyui|brief-server|quick-test|login)\.log(\.\d+)?")
RECEIPT_NAME = re.compile(
    r"(torch|comfyui|requirements|first_image|workflow|python_env|nodes|model-[0-9a-f]{12})\.json"
)
HALF_WRITTEN = re.compile(r"\.(?P<name>.+?)\.(?P<pid>[1-9]\d{0,8})(\.\d+)?")
"""A file that is written beside its place: by which process, and which of its threads."""
TRIAL = re.compile(r"\.write-(?P<pid>[1-9]\d{0,8})")
FINDERS_OWN = (".DS_Store", ".localized", "Icon\r")
VOLUMES_OWN = (".Spotlight-V100", ".Trashes", ".fseventsd", ".TemporaryItems", "lost+found")
SYSTEMS_OWN = frozenset((*FINDERS_OWN, *VOLUMES_OWN))
"""What macOS and file systems put into a folder by themselves."""
NAMES_SHOWN = 3
SHARED = Path("/Users/Shared" if sys.platform == "darwin" else "/var/tmp")  # noqa: S108  (proposed, never used unasked)
"""Where everybody may have a folder."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What makes a folder a home of this tool."""

    id: str
    made_by: str = ""


def read_marker(root: Path) -> Marker | None:
    """The marker of a home, None where there is none."""
    found = read_state(root / MARKER, Marker)
    return found if found is not None and found.id else None


def write_marker(root: Path) -> None:
    """Mark a folder as a home; an older home that cannot be written stays unmarked. Raises HomeError, DiskFull."""
    if read_marker(root) is not None:
        return
    try:
        write_json(root / MARKER, {"id": str(uuid.uuid4()), "made_by": f"provision {__version__}"})
    except HomeError:
        if not _has_receipts(root):
            raise


def is_home(root: Path) -> bool:
    """Whether a folder was made by this tool, in whole or as far as a killed run came."""
    return read_marker(root) is not None or _has_receipts(root) or _was_begun(root)


def is_state(name: str) -> bool:
    """Whether a name in a home's `state` is one of ours."""
    return name in STATE_NAMES or TRIAL.fullmatch(name) is not None or HALF_WRITTEN.fullmatch(name) is not None


def is_at_the_top(name: str) -> bool:
    """Whether a name in a home's own folder is one of ours, or of a file being written."""
    found = HALF_WRITTEN.fullmatch(name)
    return name in ROOT_NAMES or (found is not None and found["name"] in ROOT_NAMES)


def strangers(root: Path) -> list[str]:
    """The names in a folder that is not a home; empty where it is missing. Raises OSError."""
    try:
        return sorted(entry.name for entry in os.scandir(root) if entry.name not in SYSTEMS_OWN)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _has_receipts(root: Path) -> bool:
    try:
        return any(RECEIPT_NAME.fullmatch(path.name) for path in (root / "state" / "receipts").iterdir())
    except OSError:
        return False


def _was_begun(root: Path) -> bool:
    """Whether it holds only what a run makes before it marks the folder."""
    try:
        names = set(strangers(root))
        state, logs = (
            {path.name for path in (root / name).iterdir()} if name in names else set() for name in ("state", "logs")
        )
    except OSError:
        return False
    is_early = names <= {"state", "logs"} and all(map(LOG_NAME.fullmatch, logs)) and bool(logs or "state" in names)
    return all(map(is_state, state)) and (is_early or ("lock" in state and all(map(is_at_the_top, names))))


# -- refusing -----------------------------------------------------------------------------------------------------


def check_claim(root: Path, environ: Mapping[str, str]) -> None:
    """Refuse a folder that is not a home and cannot safely become one; writes nothing.

    Raises UsageError, which says what is in it and proposes another folder, and HomeError where it cannot be read.
    """
    trouble = _trouble(root, environ)
    if trouble:
        usual = _person(environ) / "provision"
        candidates = (root / "provision", usual, usual.with_name("provision-home"))
        free = (each for each in candidates if each.parent != Path(each.anchor) and not _trouble(each, environ))
        best = next(free, SHARED / "provision")
        raise UsageError(f"provision cannot use {root}: {trouble}.", hint=ours("all", "--home", str(best)))


def check_contents(root: Path) -> None:
    """Refuse a folder that holds what this tool did not make. Raises UsageError, HomeError."""
    names = _contents(root)
    if names:
        raise UsageError(
            f"provision cannot use {root}: it holds {names}.", hint=ours("all", "--home", str(root / "provision"))
        )


def _trouble(root: Path, environ: Mapping[str, str]) -> str:
    """Why a folder cannot be a home, in words; nothing where it can."""
    try:
        real = root.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise HomeError(f"{root} is not usable ({error}).", hint=ours("all", "--home", "~/provision")) from error
    if ends := _is_no_place(real, environ):
        return ends
    if read_marker(real) is not None:
        return ""
    if os.path.ismount(real):
        return "it is an entire volume"
    if tree := _work_tree(real, environ, only_itself=is_home(real)):
        return f"{tree} is a git repository"
    if other := next((parent for parent in real.parents if read_marker(parent) is not None), None):
        return f"it is inside {other}, another install folder"
    names = _contents(real)
    return f"it holds {names}" if names else ""


def _is_no_place(real: Path, environ: Mapping[str, str]) -> str:
    person, tool = _person(environ), Path(__file__).resolve().parents[2]
    if real == Path(real.anchor):
        return "it is the root of the file system"
    if _same(real, person):
        return "it is your home folder"
    if (tool / "pyproject.toml").is_file() and _lies_in(real, tool):
        return f"provision itself runs from {tool}"
    if sys.prefix != sys.base_prefix and _lies_in(real, Path(sys.prefix)):
        return f"provision itself is installed in {sys.prefix}"
    return ""


def _contents(root: Path) -> str:
    """What a folder that is not a home holds, in words; empty where it is new, empty or a home."""
    try:
        names = [] if is_home(root) else strangers(root)
    except OSError as error:
        raise unusable(root, error) from error
    shown = ", ".join(names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{shown}{more}, not made by provision" if names else ""


def _work_tree(real: Path, environ: Mapping[str, str], *, only_itself: bool) -> Path | None:
    """The git work tree of a folder, except for dotfiles in the home folder."""
    for folder in [real] if only_itself else [real, *real.parents]:
        if os.path.lexists(folder / ".git") and not _same(folder, _person(environ)):
            return folder
    return None


def _lies_in(path: Path, folder: Path) -> bool:
    return any(_same(each, folder) for each in (path, *path.parents))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths name one folder, however they are spelled (macOS has several spellings for each)."""
    try:
        return os.path.samestat(one.stat(), other.stat())
    except OSError:
        return one == other


def _person(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home()).resolve()


def owned_state(root: Path) -> Iterator[Path]:
    """The entries of a home's `state` that are ours, lock and marker last, so that a killed removal can resume."""
    owned = (path for path in (root / "state").iterdir() if is_state(path.name))
    yield from sorted(owned, key=lambda path: (path.name == MARKER.name, path.name == "lock", path.name))
