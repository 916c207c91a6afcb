"""A change of torch: its seconds with a warm cache, and the disk that the second environment really adds.

    python benchmarks/torch_change.py                                   # the rehearsal's stand-ins, from loopback
    python benchmarks/torch_change.py --real 2.11.0 2.10.0 [--in DIR]   # real ones, from the configured package index

From one version to the other and back, twice, each through the torch step: copy, install, probe, rename. The first two
installs fill the cache. Disk is blocks on the volume with hard links counted once; clones (APFS, Btrfs) cannot be told
from copies by that number, so that it is the upper bound there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.core.events import ApplyStarted, Event, Note
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.runner import run_step
from provision.core.step import Context, Options
from provision.environment import generations
from provision.environment.packages import installed_versions
from provision.output.amounts import size_text
from provision.rehearsal.hub import Hub
from provision.rehearsal.torch_wheels import STABLE, make_wheels
from provision.steps.python_env.step import PYTHON_ENV
from provision.steps.torch.step import TORCH
from provision.system.local_machine import LocalMachine

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: to which torch, how long it took, and what the home then holds on the disk."""

    torch: str
    seconds: float
    added_bytes: int
    """Blocks of the new environment that neither the old one nor uv's cache has."""
    whole_bytes: int
    """Blocks of the new environment by itself."""


def blocks(folders: Iterable[Path]) -> dict[int, int]:
    """Bytes on the disk by inode; links are not followed."""
    found: dict[int, int] = {}
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            stat = path.lstat()
            found[stat.st_ino] = stat.st_blocks * 512
    return found


def say(event: Event) -> None:
    if isinstance(event, ApplyStarted | Note):
        print(f"  {event.says}", file=sys.stderr, flush=True)


def change(ctx: Context, torch: str) -> Change:
    """Put a torch in use, as `all` does."""
    old = generations.active(ctx.home)
    started = time.monotonic()
    report = run_step(TORCH, ctx, apply=True)
    seconds = time.monotonic() - started
    if report.error is not None:
        raise SystemExit(str(report.error["message"]))
    new = generations.active(ctx.home)
    # As if ComfyUI had been seen to import: only what worked is kept beside the next.
    ctx.receipts.write("requirements", packages=installed_versions(ctx.home.venv))
    cache = ctx.home.state / "cache"
    shared = blocks(folder for folder in (cache, old) if folder != new and folder.is_dir())
    own = blocks([new])
    added = sum(size for inode, size in own.items() if inode not in shared)
    return Change(torch, seconds, added, sum(own.values()))


@contextmanager
def index(folder: Path, real: list[str] | None) -> Iterator[tuple[list[str], list[str]]]:
    """The two channels to change between, and the manifest's keys for where they come from."""
    if real:
        yield real, ["torch.stable_index="]
        return
    make_wheels(folder / "world")
    with Hub(folder / "world") as hub:
        sets = [f"torch.nightly_index={hub.url}/whl/nightly", f"torch.stable_index={hub.url}/whl/stable"]
        yield [STABLE["torch"], "nightly"], sets


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", nargs=2, metavar="VERSION")
    parser.add_argument("--in", dest="folder", type=Path)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torch-change-", dir=words.folder) as folder:
        home = Home(Path(folder).resolve() / "home")
        home.prepare()
        with index(Path(folder), words.real) as (channels, sets):
            print(f"{'torch':<24}{'cache':<8}{'seconds':>9}{'new environment':>18}{'really added':>14}")
            for turn in range(4):
                wanted = channels[turn % 2]
                manifest = load_manifest(
                    "sdxl-turbo", [f"python.version={HERE}", "python.max=3.14", *sets, f"torch.channel={wanted}"]
                )
                ctx = Context(LocalMachine(), manifest, home, Options(), say)
                if turn == 0 and (error := run_step(PYTHON_ENV, ctx, apply=True).error):
                    raise SystemExit(str(error["message"]))
                done = change(ctx, wanted)
                kind = "cold" if turn < 2 else "warm"
                print(
                    f"{done.torch:<24}{kind:<8}{done.seconds:>9.1f}{size_text(done.whole_bytes):>18}"
                    f"{size_text(done.added_bytes):>14}",
                    flush=True,
                )
        print(
            f"environments kept: {len(list(home.envs.iterdir()))}; cache, home and both: "
            f"{size_text(sum(blocks([home.root]).values()))}"
        )


if __name__ == "__main__":
    main()
