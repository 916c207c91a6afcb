"""A real ComfyUI updated to a newer one under a server that runs, with custom nodes and an edit, and back again.

bin/test tests/live/test_update.py --live-comfyui OLD --live-comfyui NEW -q -s
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.torch_change import blocks
from provision.core.home import Home
from provision.environment import generations
from provision.environment.packages import installed_versions
from tests.live.conftest import TORCH
from tests.live.upstream import complete_clone, git
from tests.live.world import FREE_BYTES, World, world

pytestmark = pytest.mark.live
NODES = {
    "ColorTools": (
        "import cv2\nfrom comfy.utils import common_upscale\nNODE_CLASS_MAPPINGS = {}\n",
        "opencv-python-headless>=4.8\nnumpy\n",
    ),
    "PromptKit": (
        "import rich\nfrom server import PromptServer\n"
        "@PromptServer.instance.routes.get('/promptkit')\nasync def words(request):\n    pass\n"
        "NODE_CLASS_MAPPINGS = {}\n",
        "pyyaml\nrich>=13,<15\n",
    ),
}
"""Two custom nodes as people have them: one with compiled packages, one with a page in the server."""
ROLLBACK_S = 5.0
SECOND_BYTES = 300 * 10**6


@pytest.mark.skipif(shutil.disk_usage(Path.cwd()).free < FREE_BYTES, reason="needs 40 GB of free disk")
def test_updated_and_gone_back_to(comfyui_sources: tuple[str, str], tmp_path: Path) -> None:
    upstream = complete_clone(comfyui_sources[0], tmp_path / "upstream.git", comfyui_sources[1])
    with world(tmp_path, upstream.path) as at:
        tags = git("tag", "--sort=creatordate", cwd=upstream.path).split()
        first = at.tool.run("all", "--torch", TORCH, "--comfyui", tags[0], *at.words)
        assert first.code == 0, first.report
        plant(at.tool.home)
        there_and_back(at, *tags)


def plant(home: Path) -> None:
    """A person's nodes, an edit and a workflow."""
    code = home / "ComfyUI"
    for name, (source, requirements) in NODES.items():
        (code / "custom_nodes" / name).mkdir()
        (code / "custom_nodes" / name / "__init__.py").write_text(source, encoding="utf-8")
        (code / "custom_nodes" / name / "requirements.txt").write_text(requirements, encoding="utf-8")
    with (code / "nodes.py").open("a", encoding="utf-8") as stream:
        stream.write("# mine\n")
    (code / "user" / "default" / "workflows" / "mine.json").write_text("{}", encoding="utf-8")


def there_and_back(at: World, old: str, new: str) -> None:
    tool, home = at.tool, Home(at.tool.home)
    before = generations.active(home)
    told = timed(at, "update", "--comfyui", new, "--dry-run")
    assert told["packages"]
    assert set(told["nodes"]) == set(NODES)
    done = timed(at, "update", "--comfyui", new)
    assert (done["before"], done["now"]) == (old, new)
    versions = installed_versions(home.venv)
    assert {name: versions.get(name, "") for name, (_, after) in told["packages"].items()} == {
        name: after for name, (_, after) in told["packages"].items()
    }
    assert (home.comfyui / "nodes.py").read_text(encoding="utf-8").endswith("# mine\n")
    kept = tool.home / "ComfyUI" / "user" / "default" / "workflows" / "mine.json"
    assert kept.read_text(encoding="utf-8") == "{}"
    had = blocks([before])
    added = {inode: size for inode, size in blocks([generations.active(home)]).items() if inode not in had}
    new_ones = sum(sizes_of(home, [name for name, (_, after) in told["packages"].items() if after]))
    print(f"the new environment: {sum(added.values()):,} bytes of its own, {new_ones:,} of them of changed packages")
    assert sum(added.values()) - new_ones < SECOND_BYTES
    assert timed(at, "rollback")["comfyui"] == old
    assert timed(at, "rollback")["comfyui"] == new
    tool.run("stop")
    started = time.monotonic()
    assert timed(at, "rollback")["comfyui"] == old
    assert time.monotonic() - started < ROLLBACK_S
    assert (home.comfyui / "nodes.py").read_text(encoding="utf-8").endswith("# mine\n")
    again = tool.run("all")
    assert (again.code, again.step("requirements")["changed"]) == (0, False), again.report


def sizes_of(home: Home, names: list[str]) -> list[int]:
    """Bytes on the disk of installed packages, as their records list their files."""
    found = []
    (site,) = home.venv.glob("lib/python3*/site-packages")
    for record in site.glob("*.dist-info/RECORD"):
        if record.parent.name.split("-")[0].replace("_", "-").lower() in names:
            files = [site / line.split(",")[0] for line in record.read_text(encoding="utf-8").splitlines()]
            found += [path.lstat().st_blocks * 512 for path in files if path.is_file()]
    return found


def timed(at: World, *words: str) -> dict[str, Any]:
    """Run a command to its end, print its seconds, and give its report."""
    started = time.monotonic()
    ended = at.tool.run(*words)
    print(f"{' '.join(words)}: exit {ended.code}, {time.monotonic() - started:.1f} s\n{ended.err}")
    assert ended.code == 0, ended.report
    return ended.report
