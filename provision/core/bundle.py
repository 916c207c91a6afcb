"""A bundle: everything that an install needs, as one tree of files on a disk or a web server.

`SHA256SUMS` has the hash of every other file, in the format of `shasum -c`; `bundle.json` says what it is for. Models
lie at the hub's own paths, so that any web server with ranges serves them. Names are those that every disk takes,
exFAT's too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta

from provision.core.finding import JSON
from provision.core.lockfile import Lock
from provision.core.manifest import SHA256
from provision.core.strict_loader import text
from provision.system.strict import Unreadable

FORMAT = 1
SUMS, ABOUT, LOCK = "SHA256SUMS", "bundle.json", "provision.lock"
BEFORE = "SHA256SUMS.before"
"""The sums while a bundle is being written: what is listed there is ours."""
KIT, WHEELS, LICENSES = "kit", "wheels", "LICENSES"
INDEX = f"{WHEELS}/index.html"
SUMS_BYTES, ABOUT_BYTES = 4_000_000, 8_000_000
"""Some 20,000 files."""
PATH_MAX, PART_MAX = 600, 200
LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
PART = re.compile(r"[A-Za-z0-9_+!=@~(),\[\]-][A-Za-z0-9_.+!=@~(), \[\]-]*(?<![. ])")
"""What every disk takes: no colon, nothing that begins with a dot or ends with one."""
PYTHON = re.compile(r"cpython-(3\.\d{1,2}\.\d{1,3})\+(\d{8})-(\w+?)-(apple-darwin|unknown-linux-gnu)-[\w+]+\.tar\.gz")


@dataclass(frozen=True, slots=True)
class BundledFile:
    """A file: its bytes and its hash."""

    size: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, text(SHA256.pattern, "64 hexadecimal digits")]


@dataclass(frozen=True, slots=True)
class BundledLock:
    """A lock in a bundle: its path, the manifest, and the machines that it is for, in words."""

    file: str
    manifest: str
    target: str


@dataclass(frozen=True, slots=True)
class About:
    """`bundle.json`. `rehearsal`: it holds the small stand-ins of a rehearsal."""

    format: int
    tool: str
    made: str
    rehearsal: bool = False
    locks: tuple[BundledLock, ...] = ()
    files: Mapping[str, BundledFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PythonBuild:
    """A build of Python as python-build-standalone names it (`cpython-3.12.16+20261110-aarch64-apple-darwin-...`)."""

    path: str
    version: str
    day: str
    arch: str
    system: str

    def is_for(self, system: str, arch: str) -> bool:
        """Whether it runs on a machine, as Python's `platform` names that."""
        here = {"arm64": "aarch64", "aarch64": "aarch64"}.get(arch, arch)
        return self.system == system and self.arch == here


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle: `place` is the address of a folder on a web server, or the absolute path of one here."""

    place: str
    about: About

    @property
    def folder(self) -> Path | None:
        """Where it lies on a disk of this machine; None for one on a server."""
        return None if self.place.startswith(("http://", "https://")) else Path(self.place)

    def address(self, path: str) -> str:
        """The address of one of its files."""
        return Path(self.place, path).as_uri() if self.folder else f"{self.place}/{quote(path)}"

    @property
    def links(self) -> str:
        """What uv's `--find-links` takes: the folder of wheels, or the page that lists them."""
        return str(self.folder / WHEELS) if self.folder else self.address(INDEX)

    def pythons(self) -> Iterator[PythonBuild]:
        """The builds of Python that it holds."""
        return (build for path in self.about.files if (build := python_build(path)) is not None)


def python_build(path: str) -> PythonBuild | None:
    """What the path of a build of Python says; None for another file."""
    folder, _, name = path.rpartition("/")
    if not folder.startswith("python/") or not (found := PYTHON.fullmatch(name)):
        return None
    system = "Darwin" if found[4] == "apple-darwin" else "Linux"
    return PythonBuild(path, found[1], found[2], found[3], system)


def uv_builds(bundle: Bundle) -> dict[str, JSON]:
    """A bundle's builds of Python as uv's list of downloads has them (crates/uv-python/download-metadata.json)."""
    return {
        f"cpython-{build.version}-{system}-{build.arch}-{libc}": {
            "name": "cpython",
            "arch": {"family": build.arch, "variant": None},
            "os": system,
            "libc": libc,
            **dict(zip(("major", "minor", "patch"), map(int, build.version.split(".")), strict=True)),
            "prerelease": "",
            "url": bundle.address(build.path),
            "sha256": bundle.about.files[build.path].sha256,
            "variant": None,
            "build": build.day,
        }
        for build in bundle.pythons()
        for system, libc in [("darwin", "none") if build.system == "Darwin" else ("linux", "gnu")]
    }


def model_path(repo: str, revision: str, path: str) -> str:
    """Where a model's file lies: as a hub has it, below its address."""
    return f"{repo}/resolve/{revision}/{path}"


def wheel_path(name: str) -> str:
    return f"{WHEELS}/{name}"


def source_path(commit: str) -> str:
    """Where the archive of ComfyUI's source lies."""
    return f"comfyui/{commit}.tar.gz"


def needs(lock: Lock) -> dict[str, str]:
    """The files that a lock cannot do without, each with its hash; empty where the lock has none."""
    found = {wheel_path(package.wheel): package.sha256 for package in lock.packages}
    found[source_path(lock.comfyui.commit)] = ""
    return found | {model_path(each.repo, each.revision, each.path): each.sha256 for each in lock.models}


def lacks(about: About, lock: Lock) -> list[str]:
    """The files of a lock that a bundle does not have as the lock has them."""
    here = about.files
    return [path for path, sha256 in needs(lock).items() if path not in here or sha256 not in ("", here[path].sha256)]


def is_safe(path: str) -> bool:
    """Whether a path stays below the folder that it is joined to, on every kind of disk."""
    parts = path.split("/")
    return len(path) <= PATH_MAX and all(len(part) <= PART_MAX and PART.fullmatch(part) for part in parts)


def check_names(paths: Iterable[str]) -> None:
    """Refuse what is no place in a bundle, and two names that a Mac's disk takes for one. Raises Unreadable."""
    seen: set[str] = set()
    for path in paths:
        if not is_safe(path):
            raise Unreadable(f"{path[:PART_MAX]!r} is not a valid name in a bundle")
        if path.casefold() in seen:
            raise Unreadable(f"{path!r} is in it twice")
        seen.add(path.casefold())


def parse_sums(text: str) -> dict[str, str]:
    """The hash of each file in `SHA256SUMS`. Raises Unreadable."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = [LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise Unreadable("a line of it is not a hash and a name")
    named = [(line[2], line[1]) for line in found if line is not None]
    check_names(name for name, _ in named)
    return dict(named)


def write_sums(sums: Mapping[str, str]) -> str:
    """The text of `SHA256SUMS`."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(sums.items()))
