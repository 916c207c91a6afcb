"""Updates of ComfyUI, and the way back: seconds, bytes that come, and the disk that each generation adds.

    python benchmarks/update.py                     # the rehearsal: four releases in which only ComfyUI changes
    python benchmarks/update.py --home DIR REF...   # a home that works, which is updated to each of these in turn

Bytes are what git's objects and uv's cache grow by. Disk is blocks with hard links counted once, of the new environment
and of git's objects, that nothing had before; where clones are made (APFS, Btrfs) that is the upper bound. The way back
is measured without a server: starting it takes as long as ComfyUI takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.torch_change import blocks
from provision.core.home import Home
from provision.environment import generations
from provision.output.amounts import size_text
from provision.rehearsal.engine_repo import Release, _commit, read_source
from provision.rehearsal.git_repo import add_commit

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEPT = 5


@dataclass(frozen=True, slots=True)
class Tool:
    """Commands in one home, and where uv's cache is."""

    home: Home
    cache: Path

    def run(self, *words: str) -> tuple[float, dict[str, object]]:
        """Run to the end; seconds of the whole process, and its report."""
        argv = [sys.executable, "-m", "provision", *words, "--json", "--home", str(self.home.root)]
        started = time.monotonic()
        ran = subprocess.run(
            argv, env={**os.environ, "UV_CACHE_DIR": str(self.cache)}, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - started
        report: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
        if ran.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {report['error'] or report}")
        return seconds, report

    def places(self) -> list[Path]:
        """Where what an update brings lies."""
        return [path for path in (self.home.envs, self.cache, self.home.comfyui / ".git") if path.is_dir()]


@contextmanager
def rehearsed() -> Iterator[tuple[Tool, list[str]]]:
    """A home of the rehearsal at the first of some releases, and the tags of the others."""
    with tempfile.TemporaryDirectory(prefix="update-") as folder:
        tool = Tool(Home(Path(folder).resolve() / "home"), Path(folder).resolve() / "cache")
        tool.run("all", "--rehearse", "--stop")
        (bare,) = tool.home.root.glob("state/**/git/*/ComfyUI.git")
        tags = []
        for number in range(1, KEPT):
            source = {**read_source(), "nodes.py": read_source()["nodes.py"] + f"# release {number}\n".encode()}
            commit = _commit(Release(f"0.40.{number}", DAY + timedelta(days=number), f"v0.40.{number}"), source)
            add_commit(bare, commit, commit.files)
            tags.append(commit.tag)
        yield tool, tags


def measure(tool: Tool, tags: Sequence[str]) -> None:
    """Update to each, then go back from the last to the first."""
    print(f"{'update to':<12}{'seconds':>9}{'bytes':>12}{'disk':>12}{'packages':>10}")
    for tag in tags:
        before = blocks(tool.places())
        brought = sum(blocks(tool.places()[1:]).values())
        _, told = tool.run("update", "--comfyui", tag, "--dry-run")
        seconds, _ = tool.run("update", "--comfyui", tag)
        came = sum(blocks(tool.places()[1:]).values()) - brought
        added = sum(size for inode, size in blocks(tool.places()).items() if inode not in before)
        changed = len(told["packages"]) if isinstance(told["packages"], dict) else 0
        print(f"{tag:<12}{seconds:>9.1f}{size_text(came):>12}{size_text(added):>12}{changed:>10}", flush=True)
    tool.run("stop")
    back = [tool.run("rollback")[0] for _ in range(4)]
    print("rollback, there and back, without a server: " + ", ".join(f"{seconds:.2f} s" for seconds in back))
    kept = [each.env for each in generations.kept(tool.home)]
    first = sum(blocks(kept[-1:]).values())
    print(f"disk of {len(kept)} generations: {size_text(sum(blocks(kept).values()))}; of the first: {size_text(first)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    parser.add_argument("refs", nargs="*", metavar="REF")
    words = parser.parse_args()
    if words.home is None:
        with rehearsed() as (tool, tags):
            measure(tool, tags)
        return
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    measure(Tool(Home(words.home.resolve()), cache), words.refs)


if __name__ == "__main__":
    main()
