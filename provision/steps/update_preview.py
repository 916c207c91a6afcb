"""What an update would change and cost, before anything is downloaded or installed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.git_remote import RemoteFile
from provision.comfyui.revisions import revisions_of
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.step import Context
from provision.download.source_archive import read_remote_file
from provision.environment import packages
from provision.environment.resolution import Rules, compile_wheels, wheels_of
from provision.steps.comfyui.step import revision_bytes
from provision.steps.node_changes import node_packages, node_requirements
from provision.steps.requirements.install import (
    all_but_torch,
    custom_nodes,
    resolved_until,
    try_install,
)
from provision.steps.update import Wanted
from provision.system.machine import Ran

CHANGE = re.compile(r"^ ([+-]) ([\w.-]+)==(\S+)", re.MULTILINE)
TO_COME = re.compile(r"^Would download (\d+) packages?", re.MULTILINE)
WORK = ("requirements", "server", "server", "first_image")
"""The steps whose work an update does beside the download: it tests with and without nodes, and makes an image."""
Changes = Mapping[str, tuple[str, str]]
"""Packages with their versions before and after; empty where a package is not there."""


@dataclass(frozen=True, slots=True)
class Preview:
    """An update's revision (its date in ISO 8601), changed packages, and most bytes that come.

    `unsized` packages have no size in the index. Of the files that a person `edited`, `both` are changed by the
    revision too. `nodes` are the custom nodes that are tested, each with the changed packages that it uses.
    """

    date: str
    packages: Changes
    download_bytes: int
    unsized: int
    edited: tuple[str, ...]
    both: tuple[str, ...]
    nodes: Mapping[str, tuple[str, ...]]


def preview(ctx: Context, wanted: Wanted) -> Preview:
    """Ask git and the package index. Raises GitError, NetworkError, PackageError."""
    asked = read_remote_file(ctx, ctx.manifest.comfyui.url, wanted.revision.name, "requirements.txt")
    changes, comes = package_changes(ctx, asked, wanted.without)
    size_bytes, unsized = _sizes(ctx, asked.date, changes) if comes else (0, 0)
    if wanted.revision.commit != ctx.receipts.read("comfyui", ComfyReceipt).commit:
        size_bytes += revision_bytes(ctx)
    revisions = revisions_of(ctx.home)
    edited, blobs = revisions.edited(), revisions.blobs()
    both = tuple(name for name in edited if asked.blobs.get(name) != blobs.get(name))
    nodes = {
        node: tuple(sorted(node_packages(ctx, node) & changes.keys()))
        for node in custom_nodes(ctx)
        if node not in wanted.without
    }
    return Preview(asked.date, changes, size_bytes, unsized, edited, both, nodes)


def package_changes(ctx: Context, asked: RemoteFile, without: Sequence[str] = ()) -> tuple[Changes, int]:
    """The packages that would change with these requirements, and how many come; torch is held, nothing is installed.

    Raises PackageError.
    """
    with tempfile.TemporaryDirectory(prefix="provision-update-") as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(asked.text, encoding="utf-8")
        also, until = node_requirements(ctx, without), resolved_until(ctx, asked.date)
        ran = try_install(ctx, file, also, renew=all_but_torch(ctx), until=until)
    if not ran.ok:
        raise packages.package_error("ComfyUI's packages", ran)
    text = _said(ran)
    to_come = TO_COME.search(text)
    return parse_changes(text), int(to_come[1]) if to_come else 0


def parse_changes(text: str) -> Changes:
    """The lines ` - NAME==VERSION` and ` + NAME==VERSION` of uv, by name: the version before and the one after."""
    found: dict[str, list[str]] = {}
    for sign, name, version in CHANGE.findall(text):
        found.setdefault(name, ["", ""])[sign == "+"] = version
    return {name: (old, new) for name, (old, new) in sorted(found.items())}


def _said(ran: Ran) -> str:
    """uv's lines, of whichever stream."""
    return f"{ran.out}\n{ran.err}"


def _sizes(ctx: Context, date: str, changes: Changes) -> tuple[int, int]:
    """Bytes of the new versions' wheels, and how many have no size; what is in uv's cache is counted too."""
    lines = [f"{name}=={new}" for name, (_, new) in changes.items() if new]
    ran = compile_wheels(ctx, None, lines, Rules(), "--no-deps")
    if not ran.ok:
        return 0, len(lines)
    wheels = wheels_of(ran)
    return sum(wheel.size_bytes or 0 for wheel in wheels), sum(wheel.size_bytes is None for wheel in wheels)
