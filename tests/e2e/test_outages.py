"""What else is asked of a network rides an outage out as downloads do: ComfyUI's git server, and the package index."""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provision.comfyui.git_checkout import fetch
from provision.comfyui.git_remote import find_revision
from provision.core.events import Waiting
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.environment.packages import run_uv
from provision.errors import GitError, Passing
from tests.e2e.matrix import DEAD, OTHER_ROWS, OTHERS, Cell, Outcome, Row, record, recorded
from tests.e2e.test_download_matrix import WRITE
from tests.support.faults import Fault
from tests.support.hub import Hub
from tests.support.small_model import REPO, Brisk, Heard, make_small_repo, small_context

FAULTS = {"rate limit": (Fault("*", "rate_limit", -1, 25), 26), "503 for 60 s": (Fault("*", "status", -1, "503"), 60)}
PASSING = {
    "rate limit": Passing.RATE_LIMIT,
    "503 for 60 s": Passing.BUSY,
    "host dead": Passing.NETWORK,
}
PACKAGE = "provision_made_up"


@dataclass
class Ground:
    """A hub that has git and an index, and a context whose waits take no time and end its faults."""

    ctx: Context
    heard: Heard
    url: str

    @property
    def kinds(self) -> set[Passing]:
        return {event.kind for event in self.heard.events if isinstance(event, Waiting)}


class Until(Brisk):
    """A machine on which an outage of so many seconds ends while it waits."""

    def __init__(self, hub: Hub, for_s: float) -> None:
        super().__init__(UV_HTTP_RETRIES="0")
        self._hub, self._for_s = hub, for_s

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if sum(self.slept) >= self._for_s:
            self._hub.disarm()


def by_git(at: Ground) -> bool:
    """ComfyUI's revision and its files, as the step `comfyui` brings them."""
    url, folder = f"{at.url}/{REPO}", at.ctx.home.comfyui
    try:
        revision = ride_out(at.ctx, lambda: find_revision(url, "main"))
        commit = ride_out(at.ctx, lambda: fetch(folder, url, revision, lambda _: None))
    except GitError:
        return False
    return commit == revision.commit


def by_uv(at: Ground) -> bool:
    """A package, as every step that installs asks for it."""
    words = ("pip", "install", "--no-deps", "--target", at.ctx.home.root / "packages", PACKAGE)
    return run_uv(at.ctx, *words, "--default-index", f"{at.url}/whl").ok


WAYS: dict[str, Callable[[Ground], bool]] = {"git": by_git, "packages": by_uv}


def make_wheel(folder: Path) -> None:
    folder.mkdir(parents=True)
    about = f"{PACKAGE}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{PACKAGE}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{PACKAGE}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.mark.parametrize("way", OTHERS)
@pytest.mark.parametrize("row", OTHER_ROWS, ids=lambda row: row.name)
def test_an_outage_is_ridden_out_or_ends_with_one_error(tmp_path: Path, row: Row, way: str) -> None:
    model = make_small_repo(tmp_path)
    make_wheel(tmp_path / "hub" / "index" / PACKAGE.replace("_", "-"))
    fault, for_s = FAULTS.get(row.name, (None, 0))
    with Hub(tmp_path / "hub") as hub:
        if fault is not None:
            hub.arm(fault)
        machine, heard = Until(hub, for_s), Heard()
        ctx = small_context(tmp_path, model, hub.url, machine=machine, emit=heard)
        at = Ground(ctx, heard, hub.url)
        if fault is None:
            at = Ground(replace(ctx, patience=ctx.patience.at_most(7)), heard, DEAD)
        began = time.monotonic()
        came = WAYS[way](at)
    assert came == (fault is not None)
    assert at.kinds == {PASSING[row.name]}
    outcome = Outcome("file" if came else "error", float(came), time.monotonic() - began)
    cell = Cell(row, way)
    if WRITE:
        record(cell, outcome, Path(tempfile.gettempdir()) / "download-matrix.lock")
    else:
        assert recorded()[row.name, way].split(" ")[0] == outcome.what
