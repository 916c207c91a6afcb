"""The miniature engine as a git repository: what the rehearsal clones in place of ComfyUI's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provision.rehearsal.git_repo import Commit, make_bare

BRANCH = "master"
SOURCE = Path(__file__).with_name("engine")
SUFFIXES = frozenset({".py", ".txt", ".md", ".html", ".js"})

# Empty files that keep folders in git, under ComfyUI's own names.
PLACEHOLDERS = (
    "models/checkpoints/put_checkpoints_here",
    "models/clip/put_clip_or_text_encoder_models_here",
    "models/loras/put_loras_here",
    "models/unet/put_unet_files_here",
    "models/vae/put_vae_here",
    "output/_output_images_will_be_put_here",
)


@dataclass(frozen=True, slots=True)
class Release:
    """One commit of the history: the version that it states, its day, its tag, and a line for its README."""

    version: str
    day: datetime
    tag: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class EngineRepo:
    """The repository: its bare git directory, its tags from the oldest on, the commit at the branch's tip."""

    path: Path
    tags: tuple[str, ...]
    head: str


# Days of ComfyUI's own releases. The newest commit is no release: a tag that is not a version sits on it.
HISTORY = (
    Release("0.3.64", datetime(2025, 10, 8, 12, tzinfo=UTC), "v0.3.64"),
    Release("0.38.0", datetime(2026, 11, 3, 12, tzinfo=UTC), "v0.38.0"),
    Release("0.38.1", datetime(2026, 11, 12, 12, tzinfo=UTC), "v0.38.1"),
    Release("0.38.1", datetime(2026, 11, 18, 12, tzinfo=UTC), "latest-test", "Work that no release holds yet."),
)


def make_engine_repo(bare: Path) -> EngineRepo:
    """Make or replace the bare repository at `bare`: branch master, four commits, a tag on each.

    Raises OSError.
    """
    source = read_source()
    head = make_bare(bare, BRANCH, (_commit(release, source) for release in HISTORY))
    return EngineRepo(bare, tuple(release.tag for release in HISTORY), head)


def read_source() -> dict[str, bytes]:
    """The engine's files by their path in the repository, without what running it leaves behind."""
    files = {
        path.relative_to(SOURCE).as_posix(): path.read_bytes() for path in SOURCE.rglob("*") if path.suffix in SUFFIXES
    }
    # Under its own name it would rule in the project's repository too.
    files[".gitignore"] = (SOURCE / "gitignore").read_bytes()
    return files | dict.fromkeys(PLACEHOLDERS, b"")


def _commit(release: Release, source: Mapping[str, bytes]) -> Commit:
    files = {
        **source,
        "comfyui_version.py": f'__version__ = "{release.version}"\n'.encode(),
        "README.md": source["README.md"] + (f"\n{release.note}\n".encode() if release.note else b""),
    }
    message = release.note or f"ComfyUI {release.version}"
    return Commit(message, int(release.day.timestamp()), files, release.tag)
