"""The contents of each receipt.

Every field has a default, so that receipts of other versions can be read: unknown fields are ignored. With values of
other types a receipt is ignored, and its work is checked again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from provision.core.manifest import CHANNEL, COMMIT, GIT_ADDRESS, NODE_FILE, ODD, REF, Index
from provision.core.strict_loader import text

Facts = Mapping[str, object]
Channel = Annotated[str, text(f"(?:{CHANNEL.pattern}|known good)?", "a channel of torch")]
Line = Annotated[str, text(rf"[^{ODD}]*", "a text without control characters")]
NODE_NAME = re.compile(r"(?!.*\.(?:disabled|example|py|pyc)\Z)[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
"""The folder of a custom node that is added; ComfyUI passes over some endings (nodes.py)."""
Device = Annotated[str, text("(?:cpu|mps|cuda|xpu)?", "a device of torch")]


@dataclass(frozen=True, slots=True)
class TorchReceipt:
    """A tested torch; `versions`, `python` and `os` are what it was tested with."""

    versions: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    os: str | None = None
    wanted: Channel = ""
    """The channel that was asked for; `got` is the one that it is of."""
    got: Channel = ""
    why: Line = ""
    index: Index | None = None
    """None in receipts older than locks."""
    passed_over: tuple[Line, ...] = ()
    torch: Line = ""
    device: Device = ""
    mps_built: bool = False
    mps_available: bool | None = None
    session: str = ""
    worst_error: float | None = None
    probe_s: float | None = None
    gflop_s: float | None = None
    skipped: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    audio_fault: Line = ""
    """Why torchaudio could not be imported beside it."""
    when: str = ""


@dataclass(frozen=True, slots=True)
class ComfyReceipt:
    """The installed revision of ComfyUI; `path` where it was adopted.

    `source` is `archive` where it came as one, and `tree` git's id of all of its files.
    """

    url: str = ""
    ref: str = ""
    name: str = ""
    commit: str = ""
    date: str = ""
    when: str = ""
    path: str = ""
    tree: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class AddedNode:
    """A custom node that was added, by the name of its folder, at a commit.

    `ref` is what it follows; empty where that is the default branch. `date` is the commit's (ISO 8601).
    """

    name: Annotated[str, text(NODE_NAME.pattern, "the name of a folder")]
    url: Annotated[str, text(GIT_ADDRESS.pattern, "an address that git may be given")]
    commit: Annotated[str, text(COMMIT.pattern, "40 hexadecimal digits")]
    ref: Annotated[str, text(f"(?:{REF.pattern})?", "a tag, branch or commit")] = ""
    date: Line = ""
    packages: tuple[Line, ...] = ()
    """The packages that came with it."""


@dataclass(frozen=True, slots=True)
class NodesReceipt:
    """The custom nodes that were added, and those that are disabled for a generation."""

    added: tuple[AddedNode, ...] = ()
    disabled: tuple[Annotated[str, text(NODE_FILE, "the name of a file or a folder")], ...] = ()

    def named(self, name: str) -> AddedNode | None:
        """The added node of that name."""
        return next((node for node in self.added if node.name == name), None)

    def has(self, node: AddedNode) -> NodesReceipt:
        """The same with a node added or replaced."""
        others = [each for each in self.added if each.name != node.name]
        return replace(self, added=tuple(sorted((*others, node), key=lambda each: each.name)))

    def lacks(self, name: str) -> NodesReceipt:
        """The same without a node."""
        return NodesReceipt(
            tuple(each for each in self.added if each.name != name),
            tuple(each for each in self.disabled if each != name),
        )


@dataclass(frozen=True, slots=True)
class RequirementsReceipt:
    """That ComfyUI was seen to import, with which packages."""

    commit: str | None = None
    requirements: str = ""
    """The sha256 of the file."""
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    until: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class WorkflowReceipt:
    """The digest of the workflow that we wrote, and of the one before it."""

    path: str = ""
    digest: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class ImageReceipt:
    """The first image: what it was made with, and the result."""

    torch: str | None = None
    torchvision: str | None = None
    comfyui: str = ""
    checkpoint: str = ""
    weights: str | Facts | None = None
    """The sha256, or the file's identity where the manifest has none."""
    flags: tuple[str, ...] = ()
    settings: Facts = field(default_factory=dict)
    sha256: str = ""
    when: str = ""
    seconds_first: float = 0.0
    seconds_warm: float = 0.0
    seeds: tuple[int, ...] = ()
    verdict: str = ""
    says: str = ""
    measures: Facts = field(default_factory=dict)
    device: str = ""
    chip: str | None = None


@dataclass(frozen=True, slots=True)
class ModelReceipt:
    """To what a file of weights was hashed, while it had this size, time and inode."""

    size: int | None = None
    mtime_ns: int | None = None
    inode: int | None = None
    sha256: str = ""
    wanted_sha256: str = ""
    wanted_size: int | None = None
    repo: str = ""
    asked_revision: str = ""
    path: str = ""
    precision: str = ""
    place: str = ""
    verified_at: str = ""
    downloaded: bool | None = None
    """Whether we downloaded it; None in older receipts."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at an image: with which torch and flags, the result, and its seconds."""

    torch: str
    flags: tuple[str, ...]
    why: str
    """A key of `ladder.LOOKS`, or `ladder.UNSTARTED` where ComfyUI did not even start."""
    says: str
    seconds: float = 0.0

    def line(self) -> str:
        return f"torch {self.torch}, {' '.join(self.flags) or 'no flags'}: {self.says} ({self.seconds:.1f} s)"


@dataclass(frozen=True, slots=True)
class LadderReceipt:
    """What was tried against a bad image, on which system."""

    tried: tuple[Attempt, ...] = ()
    comfyui: str | None = None
    os: str | None = None
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlagsReceipt:
    """The flags that help against a bad image, on which system."""

    flags: tuple[str, ...] = ()
    why: str = ""
    proven: bool = False
    when: str = ""
    seconds: float | None = None
    torch: str = ""
    comfyui: str | None = None
    os: str | None = None
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WishReceipt:
    """That stable torch is to be taken in place of a nightly, and why."""

    wanted: str = ""
    why: str = ""
    when: str = ""
    os: str | None = None
