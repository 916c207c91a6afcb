"""`plan --for` against the real package index: a grid of Macs, each with wheels of its own tags or a reason why not.

Packages are those up to one day where the index gives upload times, so that the answers stay the same; where it
gives none the newest count, and every number here is a lower bound.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from provision.cli.commands.plan_target import behind, resolve_requirements
from provision.cli.commands.target_requirements import tool_python, tool_requirements
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context
from provision.environment.resolution import Lack, Resolved, Rules, Wheel, resolve
from provision.environment.wheel_index import target_tags
from provision.errors import NetworkError
from provision.steps.requirements.asked import Asked
from provision.system.local_machine import LocalMachine
from provision.system.target import Target, parse_target
from tests.support.paths import CHECKOUT

DAY = "2026-11-22"
# Of the kinds that ComfyUI asks for: compiled, abi3, pure, tied to torch, and `av`, which drops old macOS.
ASKED = Asked(
    (
        "numpy>=1.25.0",
        "tokenizers>=0.13.3",
        "safetensors>=0.4.2",
        "aiohttp>=3.11.8",
        "scipy",
        "psutil",
        "Pillow",
        "torchsde",
        "kornia>=0.7.1",
        "av>=16.0.0",
    ),
    "this test",
    DAY,
)
NEWEST, LAST_MACOS_13, LAST_PY_310, LAST_INTEL = "2.15.0", "2.11.0", "2.14.1", "2.2.2"
# Each target, the torch that it gets at least, and what it would have to be to get a newer one.
GRID: dict[str, tuple[str, tuple[str, ...]]] = {
    "macos-13-arm64-py310": (LAST_MACOS_13, ("macos-14-arm64-py310-16gb",)),
    "macos-13-arm64-py312": (LAST_MACOS_13, ("macos-14-arm64-py312-16gb",)),
    "macos-13-arm64-py314": (LAST_MACOS_13, ("macos-14-arm64-py314-16gb",)),
    "macos-14-arm64-py310": (LAST_PY_310, ("macos-14-arm64-py312-16gb",)),
    "macos-14-arm64-py311": (NEWEST, ()),
    "macos-14-m1-py312-8gb": (NEWEST, ()),
    "macos-15-m3max-py313": (NEWEST, ()),
    "macos-15-arm64-py314": (NEWEST, ()),
    "macos-26-arm64-py310": (LAST_PY_310, ("macos-26-arm64-py312-16gb",)),
    "macos-26-m5-py312-24gb": (NEWEST, ()),
    "macos-27-arm64-py314": (NEWEST, ()),
    "macos-14-x86_64-py310": (LAST_INTEL, ("macos-14-arm64-py310-16gb",)),
    "macos-15-x86_64-py312": (LAST_INTEL, ("macos-15-arm64-py312-16gb",)),
    "macos-26-x86_64-py313": ("", ("macos-26-x86_64-py312-16gb",)),
}


# All of ComfyUI's packages and the tool's own are asked for on these too.
WHOLE = ("macos-13-arm64-py312", "macos-14-arm64-py310", "macos-27-arm64-py314", "macos-15-x86_64-py312")


@dataclass(frozen=True)
class Seen:
    target: Target
    torch: Resolved
    behind: list[Lack]
    packages: Resolved | None = None
    tool: Resolved | None = None

    @property
    def wheels(self) -> Iterator[tuple[Wheel, str]]:
        """Every wheel, with the Python that it is for."""
        for got in (self.torch, self.packages):
            yield from ((wheel, self.target.python) for wheel in (got.wheels if got else ()))
        yield from ((wheel, tool_python(self.target)) for wheel in (self.tool.wheels if self.tool else ()))


def look(ctx: Context, name: str) -> Seen:
    target, rules = parse_target(name), Rules(until=DAY)
    torch = resolve(ctx, target, ("torch", "torchvision"), rules)
    have = torch.version("torch")
    found = Seen(target, torch, behind(ctx, target, have, rules) if have else [])
    if name not in WHOLE:
        return found
    packages = resolve_requirements(ctx, target, ASKED, torch)
    tool = resolve(ctx, replace(target, python=tool_python(target)), tool_requirements(), rules)
    return replace(found, packages=packages, tool=tool)


@pytest.fixture(scope="module")
def grid_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose cache of uv's all targets share."""
    home = Home(tmp_path_factory.mktemp("grid"))
    home.prepare()
    return home


@pytest.fixture(scope="module")
def seen(grid_home: Home) -> dict[str, Seen]:
    """Every target of the grid."""
    ctx = Context(LocalMachine(), load_manifest("sdxl-turbo"), grid_home)
    try:
        first = look(ctx, next(iter(GRID)))  # fills the cache for the others
        with ThreadPoolExecutor(4) as pool:
            rest = pool.map(lambda name: look(ctx, name), list(GRID)[1:])
            return dict(zip(GRID, (first, *rest), strict=True))
    except NetworkError as error:
        pytest.fail(f"This test needs the package index that uv is configured with. {error.message}")


def fits(wheel: Wheel, target: Target, python: str) -> bool:
    tags = {str(tag) for tag in parse_wheel_filename(wheel.filename)[3]}
    return bool(tags & target_tags(python, target.macos, target.arch))


def judge(name: str, mac: Seen) -> Iterator[str]:
    """What is not as it must be on one target."""
    least, elsewhere = GRID[name]
    have = mac.torch.version("torch")
    yield from (
        f"{wheel.filename} is not for it" for wheel, python in mac.wheels if not fits(wheel, mac.target, python)
    )
    if not least:
        lack = mac.torch.lacks[0]
        if have or lack.asked != "torch" or lack.newest or lack.elsewhere is None:
            yield f"torch {have} where none was thought to be: {lack}"
        elif lack.elsewhere[0].name not in elsewhere:
            yield f"torch is there on {lack.elsewhere[0].name}, not on {elsewhere}"
        return
    if not have or Version(have) < Version(least):
        yield f"torch {have}, not {least} or later: {mac.torch.lacks}"
    if not mac.torch.version("torchvision"):
        yield "no torchvision"
    better = [(lack.elsewhere[0].name, lack.elsewhere[1]) for lack in mac.behind if lack.elsewhere]
    if tuple(name for name, _ in better) != elsewhere:
        yield f"a newer torch is there on {better}, not on {elsewhere}"
    yield from (
        f"{version} on {other} is not newer than {have}"
        for other, version in better
        if Version(version) <= Version(have)
    )


def test_every_target_gets_wheels_of_its_own_tags_or_is_refused_for_the_right_reason(
    seen: dict[str, Seen], grid_home: Home
) -> None:
    assert [f"{name}: {what}" for name, mac in seen.items() for what in judge(name, mac)] == []
    newest = seen["macos-14-m1-py312-8gb"].torch.version("torch")
    for name, (least, _) in GRID.items():  # the relations hold whatever the numbers have become
        have = seen[name].torch.version("torch")
        assert (have == newest) == (least == NEWEST), name

    for name in WHOLE:
        packages, tool = seen[name].packages, seen[name].tool
        assert packages is not None
        assert tool is not None
        assert tool.lacks == ()
        assert tool.version("uv")
        assert packages.size_bytes > 20 * 10**6
        assert not {"torch", "torchvision"} & {wheel.name for wheel in packages.wheels}
    old, new = seen[WHOLE[0]].packages, seen[WHOLE[2]].packages
    assert old is not None
    assert new is not None
    (lack,) = old.lacks
    assert lack.asked == "av>=16.0.0"
    assert Version("15.1.0") <= Version(lack.newest) < Version("16")
    assert old.version("av") == lack.newest
    assert lack.elsewhere is not None
    assert lack.elsewhere[0].name == "macos-14-arm64-py312-16gb"
    assert new.lacks == ()
    the_command_says_the_same(grid_home)


def the_command_says_the_same(home: Home) -> None:
    """`plan --for` for people and for programs; it changes nothing, and its exit code says whether it can be done."""
    wanted = home.root / "wanted.txt"
    wanted.write_text("\n".join(("torch", "torchvision", *ASKED.lines)))
    before = sorted(home.root.rglob("*.json"))
    words = (
        "--requirements",
        str(wanted),
        "--torch",
        "stable",
        "--set",
        "torch.stable_index=",
        "--home",
        str(home.root),
    )

    good = command("macos-14-m1-8gb", *words, "--json")
    report = json.loads(good.stdout.splitlines()[-1])
    assert good.returncode == 0, good.stdout
    assert (report["ok"], report["command"], report["target"]) == (True, "plan", "macos-14-m1-py313-8gb")
    assert report["requirements"] == str(wanted)
    torch = next(wheel for wheel in report["wheels"]["torch"] if wheel["name"] == "torch")
    assert "macosx_" in torch["filename"]
    assert report["download_bytes"] > 6.9e9 + torch["size_bytes"]
    assert [step["name"] for step in report["steps"]] == [
        "hardware",
        "python_env",
        "torch",
        "comfyui",
        "models",
        "requirements",
        "provision",
    ]

    bad = command("macos-13-m1", *words)
    said = " ".join(bad.stdout.split())
    assert bad.returncode == 1
    assert "What `provision all` would do on macOS 13, Apple M1, Python 3.13, 16 GB" in said
    assert "av>=16.0.0 has no wheel for macOS 13, Apple M1, Python 3.13: the newest with one is 15." in said
    assert "--for macos-14-m1-py313-16gb" in said
    assert "Won't work on that machine: hardware, requirements." in said
    assert sorted(home.root.rglob("*.json")) == before


def command(target: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "provision", "plan", "--for", target, *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


def test_words_that_name_no_mac_are_refused_before_anything_is_asked() -> None:
    ran = command("m5-foo", "--json")
    report = json.loads(ran.stdout.splitlines()[-1])
    assert (ran.returncode, report["error"]["code"], len(ran.stdout.splitlines())) == (2, "usage", 1)
    assert "macos-14-arm64-py312-16gb" in report["error"]["hint"]


def test_an_index_that_cannot_be_asked_is_a_sentence(grid_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    nowhere = ("--set", "torch.stable_index=", "--set", "torch.nightly_index=http://127.0.0.1:9/nightly")
    none, asked = grid_home.root.with_name("none"), f"comfyui.url=file://{grid_home.root}/x"
    ran = command("m1", "--home", str(none), "--set", asked, *nowhere)
    assert ran.returncode == 1, ran.stdout
    assert "The nightly index cannot be reached" in ran.stderr
    assert "stable torch is planned instead" in ran.stderr
    assert "error: The package index cannot be reached" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not none.exists()
