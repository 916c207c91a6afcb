"""`provision.lock`: what a home holds, exactly, as TOML to read and to rebuild from.

Every package has its version, its index (without credentials), its wheel and that wheel's sha256; the rest is
ComfyUI's commit, the weights by their hash, and the flags. It is checked as strictly as a manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from provision.command import Fix, ours
from provision.core.finding import JSON
from provision.core.manifest import COMMIT, GIT_ADDRESS, HTTP, INNER_PATH, NODE_FILE, REF, SHA256, Manifest
from provision.core.overrides import as_overrides
from provision.core.strict_loader import build, text
from provision.errors import LockError, ManifestError
from provision.system.strict import Unreadable, parse_toml, read_text

SCHEMA = 1
MAX_BYTES = 4_000_000
"""A package takes 300 bytes: more than 10,000 of them."""
HINT = Fix("`provision all` writes the lock; use it unchanged:", ours("all", "--locked", "provision.lock"))
HEAD = "# Exactly what is installed. To rebuild it on another machine: provision all --locked provision.lock\n"


@dataclass(frozen=True, slots=True)
class Platform:
    """The machine that it was made on, as far as wheels depend on it."""

    system: str
    arch: str
    version: str
    """Of macOS; elsewhere the name of the system again."""
    python: Annotated[str, text(r"3\.\d{1,2}(\.\d{1,3})?", "like 3.12.7")]
    """The target Python, all three numbers where they are known."""

    @property
    def minor(self) -> str:
        """Its Python's minor version, which wheels go by: `3.12`."""
        return ".".join(self.python.split(".")[:2])


@dataclass(frozen=True, slots=True)
class LockedTorch:
    """Which torch was asked for, its channel and its index (empty: the configured one).

    `why` is why it is not the one asked for, `passed_over` why newer nightlies were skipped.
    """

    wanted: str
    channel: str
    index: Annotated[str, text(rf"(?:{HTTP.pattern})?", "an http address")] = ""
    why: str = ""
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedEngine:
    """ComfyUI: where from, the commit (both empty where it is no checkout), and the flags that it is given.

    `tree` is git's id of all files of the commit: an archive of it has that content, however it was packed.
    """

    url: Annotated[str, text(rf"(?:{GIT_ADDRESS.pattern})?", "an address that git may be given")] = ""
    commit: Annotated[str, text(rf"(?:{COMMIT.pattern})?", "40 hexadecimal digits")] = ""
    flags: tuple[str, ...] = ()
    tree: Annotated[str, text(rf"(?:{COMMIT.pattern})?", "40 hexadecimal digits")] = ""


@dataclass(frozen=True, slots=True)
class LockedModel:
    """A file of weights."""

    repo: str
    revision: Annotated[str, text(REF.pattern, "a commit")]
    path: Annotated[str, text(INNER_PATH.pattern, "a path inside the repository")]
    precision: str
    size: int
    sha256: Annotated[str, text(SHA256.pattern, "64 hexadecimal digits")]


@dataclass(frozen=True, slots=True)
class LockedNode:
    """A custom node. `ref` is what it follows; without address or commit it cannot be had again.

    `changed` are the files of its commit that are not as the commit has them.
    """

    name: Annotated[str, text(NODE_FILE, "the name of a file or a folder")]
    url: Annotated[str, text(rf"(?:{GIT_ADDRESS.pattern})?", "an address that git may be given")] = ""
    commit: Annotated[str, text(rf"(?:{COMMIT.pattern})?", "40 hexadecimal digits")] = ""
    ref: Annotated[str, text(f"(?:{REF.pattern})?", "a tag, branch or commit")] = ""
    added: bool = False
    """Whether it was added by `provision nodes add`."""
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """An installed package. Without `sha256` it came from no index, and cannot be had again."""

    name: Annotated[str, text("[a-z0-9]([a-z0-9-]*[a-z0-9])?", "the name of a package")]
    version: Annotated[str, text("[0-9][0-9A-Za-z.+!_-]*", "a version")]
    source: str = ""
    wheel: str = ""
    sha256: Annotated[str, text(f"(?:{SHA256.pattern})?", "64 hexadecimal digits")] = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """A whole lock."""

    schema: int
    tool: str
    made: str
    manifest: str
    platform: Platform
    torch: LockedTorch
    comfyui: LockedEngine
    models: tuple[LockedModel, ...]
    packages: tuple[LockedPackage, ...]
    nodes: tuple[LockedNode, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        return {package.name: package.version for package in self.packages}

    @property
    def unhashed(self) -> list[str]:
        """Names of the packages without a hash."""
        return [package.name for package in self.packages if not package.sha256]

    @property
    def hashes(self) -> dict[tuple[str, str], str]:
        """The hash of each package's file, by name and version, where it has one."""
        return {(package.name, package.version): package.sha256 for package in self.packages if package.sha256}


def load_lock(path: Path) -> Lock:
    """Read a lock strictly. Raises LockError with what is wrong."""
    try:
        return parse_lock(read_text(path, max_bytes=MAX_BYTES), str(path))
    except (OSError, Unreadable) as error:
        raise LockError(f"The lock {path} cannot be read: {error}.", hint=HINT) from error


def parse_lock(content: str, path: str) -> Lock:
    """A lock from its text; `path` is how errors name it. Raises LockError."""
    try:
        data = parse_toml(content)
    except Unreadable as error:
        raise LockError(f"The lock {path} cannot be read: {error}.", hint=HINT) from error
    if data.get("schema") != SCHEMA:
        raise LockError(f"{path}: schema is {data.get('schema')!r}; this tool reads schema {SCHEMA}.", hint=HINT)
    try:
        lock = build(Lock, data)
    except ManifestError as error:
        raise LockError(f"{path}: {error.message}", hint=HINT) from error
    for package in lock.packages:
        if package.sha256 and package.source and not HTTP.match(package.source):
            raise LockError(
                f"{path}: {package.name} is from {package.source!r}, which is not an http address.", hint=HINT
            )
    return lock


def manifest_overrides(lock: Lock, manifest: Manifest) -> list[str]:
    """What a lock decides of a manifest, as `--set` has it. Raises LockError for a file that the manifest lacks."""
    minor = lock.platform.minor
    torch = lock.versions.get("torch")
    values: dict[str, JSON] = {
        "comfyui.url": lock.comfyui.url,
        "comfyui.ref": lock.comfyui.commit,
        "comfyui.args": list(lock.comfyui.flags),
        **{f"python.{key}": minor for key in ("version", "min", "max")},
        **({"torch.channel": torch} if torch else {}),
    }
    for locked in lock.models:
        values |= _values_of(locked, manifest)
    return as_overrides(values)


def _values_of(locked: LockedModel, manifest: Manifest) -> dict[str, JSON]:
    for place, model in enumerate(manifest.models):
        for number, file in enumerate(model.files):
            if (model.repo, file.path, file.precision) == (locked.repo, locked.path, locked.precision):
                key = f"models.{place}"
                inner = f"{key}.files.{number}"
                return {
                    f"{key}.revision": locked.revision,
                    f"{inner}.sha256": locked.sha256,
                    f"{inner}.size": locked.size,
                }
    raise LockError(
        f"The lock lists {locked.path} of {locked.repo}, which the manifest {manifest.name} does not have.",
        hint=Fix("Use the manifest it was made from:", ours("all", "--locked", "FILE", "--manifest", "MANIFEST")),
    )


def write_lock(lock: Lock) -> str:
    """A lock as TOML; a package a line or two, so that two locks can be compared by eye and by `diff`."""
    return HEAD + "".join(f"{line}\n" for line in _table(lock, ""))


def _table(value: object, name: str) -> Iterator[str]:
    """Plain keys first, then the tables in it. JSON's strings, numbers and lists of strings are TOML's too."""
    assert is_dataclass(value)
    held = {item.name: getattr(value, item.name) for item in fields(value)}
    inner = {
        key: each for key, each in held.items() if any(map(is_dataclass, each if type(each) is tuple else (each,)))
    }
    for key, each in held.items():
        if key not in inner and each != "" and (key, each) != ("nodes", ()):
            yield f"{key} = {json.dumps(each, ensure_ascii=False)}"
    for key, each in inner.items():
        for one in each if isinstance(each, tuple) else (each,):
            yield ""
            yield f"[[{name}{key}]]" if isinstance(each, tuple) else f"[{name}{key}]"
            yield from _table(one, f"{name}{key}.")


def without_credentials(url: str) -> str:
    """An address without name, password, query and fragment: what may stand in a file that is passed on."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
