"""One resolver: what `plan --for` says of a Mac, what `plan` says on that Mac, fresh, what `all` takes there, and what
uv itself resolves, agree.

The grid is of Macs, torches and ComfyUI's requirements. The ordinary test goes through a part of it on an index of our
own, whose packages have the real ones' METADATA; `--real-index` goes through all of it on the index that uv is
configured with (about 15 minutes).
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.cli.commands.plan_target import ask_index
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context
from provision.environment.packages import find_uv
from provision.environment.torch_family import TORCH
from provision.errors import PackageError
from provision.rehearsal.git_repo import Commit, make_bare
from provision.rehearsal.torch_wheels import StandIn, write_wheel
from provision.steps.requirements.asked import Asked, requirement_lines
from provision.steps.torch.choice import first, planned
from provision.steps.torch.place import here
from provision.system.local_machine import LocalMachine
from provision.system.machine import Argv, Ran
from provision.system.target import Target, TargetMachine, parse_target
from tests.support.hub import Hub
from tests.support.paths import FACTS

MACS = ("macos-13-m1-py312", "macos-14-m1-py313", "macos-15-m3-py310", "macos-26-m5-py313", "macos-27-m4-py314")
TORCHES = ("stable", "2.15.0", "2.13.0", "2.11.0", "2.10.0")
REQUIREMENTS = ("0.3.64", "0.8.0", "0.33.0")
"""ComfyUI's, whose requirements.txt lie in tests/facts."""
FEW = "torch\ntorchvision\ntorchaudio\nav>=14.2.0\n"
REFUSED = {("macos-27-m4-py314", "2.11.0"), ("macos-27-m4-py314", "2.10.0"), ("macos-26-m5-py313", "2.11.0"),
           ("macos-26-m5-py313", "2.10.0")}  # fmt: skip
"""Known to compute wrong there: `all` refuses them, and `plan --for` says so beside the wheels."""
OLD, NEW = "macosx_11_0_arm64", "macosx_14_0_arm64"
PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314")
# The wheels for Macs on PyPI in November 2026, with the torch that their METADATA names.
FAMILY = (
    ("torch", "2.15.0", "", NEW), ("torch", "2.13.0", "", NEW),
    ("torch", "2.11.0", "", OLD), ("torch", "2.10.0", "", OLD),
    ("torchvision", "0.29.2", "torch>=2.14.0", NEW), ("torchvision", "0.28.0", "torch==2.13.0", NEW),
    ("torchvision", "0.26.0", "torch==2.11.0", OLD), ("torchvision", "0.25.0", "torch==2.10.0", OLD),
    ("torchaudio", "2.11.0", "", OLD), ("torchaudio", "2.10.0", "torch==2.10.0", OLD),
)  # fmt: skip


class ThatMac(LocalMachine):
    """This machine, which says of itself what a Mac of that kind would: `all` takes it for one."""

    def __init__(self, target: Target, environ: dict[str, str]) -> None:
        super().__init__(environ)
        self.target, self.system, self.arch = target, "Darwin", target.arch

    def run(self, argv: Argv, **how: object) -> Ran:
        if Path(str(argv[0])).name in ("sysctl", "sw_vers"):
            return TargetMachine(self.target).run(argv)
        return super().run(argv, **how)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Index:
    """An index, the home whose cache of uv all share, and the environment that names them."""

    home: Home
    environ: dict[str, str]

    def ctx(self, target: Target, torch: str, requirements: str) -> Context:
        """A fresh home on that Mac: what its ComfyUI will ask for is at the git host alone."""
        bare = self.home.root / f"{hashlib.sha256(requirements.encode()).hexdigest()}.git"
        if not bare.is_dir():
            make_bare(
                bare, "master", [Commit("One", 1_760_000_000, {"requirements.txt": requirements.encode()}, "v1.0.0")]
            )
        sets = (
            f"comfyui.url=file://{bare}",
            "torch.stable_index=",
            "torch.nightly_index=",
            f"torch.channel={torch}",
            f"python.version={target.python}",
        )
        return Context(ThatMac(target, self.environ), load_manifest("sdxl-turbo", sets), self.home)

    def oracle(self, target: Target, torch: str, lines: tuple[str, ...]) -> dict[str, str]:
        """What `uv pip compile` makes of the requirements; empty where it finds nothing.

        It is told what METADATA of torchaudio 2.11.0 leaves out, and later ones say: torch 2.11 or later.
        """
        series = re.match(r"2\.(\d+)", torch)
        old = series is not None and int(series[1]) < 11
        more = ([f"torch=={torch}"] if series else []) + (["torchaudio<2.11"] if old else [])
        asked = self.home.root / "oracle.txt"
        asked.write_text("\n".join((*lines, *more)), encoding="utf-8")
        platform = ("--python-platform", target.platform, "--python-version", target.python)
        argv = [
            find_uv(LocalMachine(self.environ)), "pip", "compile", "-q", "--no-header", "--no-annotate",
            "--only-binary", ":all:", "--no-python-downloads", "--python", sys.executable, *platform, asked,
        ]  # fmt: skip
        env = {**self.environ, "UV_CACHE_DIR": str(self.home.state / "cache"),
               "MACOSX_DEPLOYMENT_TARGET": ".".join(map(str, target.macos))}  # fmt: skip
        ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
        pairs = (line.partition("==") for line in ran.stdout.splitlines() if "==" in line)
        return {name: version.strip() for name, _, version in pairs} if ran.returncode == 0 else {}


def compare(index: Index, name: str, torch: str, requirements: str) -> Iterator[str]:
    """Where the four do not agree on one point of the grid; `requirements` is a text."""
    target, lines = parse_target(name), requirement_lines(requirements)
    ctx = index.ctx(target, torch, requirements)
    where, expected = f"{name}, torch {torch}", index.oracle(target, torch, lines)
    answers = ask_index(ctx, target, Asked(lines, "this test"), tool=())
    there = {wheel.name: wheel.version for got in answers.parts.values() for wheel in got.wheels}
    lacks = [lack.asked for got in answers.parts.values() for lack in got.lacks]
    if bool(expected) == bool(lacks):
        yield f"{where}: uv says {expected or 'nothing fits'}, and plan --for lacks {lacks}"
    elif expected and there != expected:
        odd = {each: (expected.get(each), there.get(each)) for each in expected.keys() | there.keys()}
        yield f"{where}: uv and plan --for differ: { {each: two for each, two in odd.items() if two[0] != two[1]} }"
    family = {each: there[each] for each in TORCH if each in there}
    refused, lacking = (name, torch) in REFUSED, bool(answers.torch.lacks)
    try:
        taken = dict(pin.split("==") for pin in first(ctx, here(ctx), audio="torchaudio" in lines).pins)
    except PackageError as error:
        if not (refused or lacking) or refused != ("is known for this" in error.message):
            yield f"{where}: all says {error.message}, plan --for {family}"
    else:
        if refused or lacking or taken != family:
            yield f"{where}: all takes {taken}, plan --for {family}, without {lacks}"
        if (said := planned(ctx)) is None or dict(pin.split("==") for pin in said.pins) != taken:
            yield f"{where}: all takes {taken}, plan says {said}"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index with torch's family and one package that drops old macOS."""
    root = tmp_path_factory.mktemp("world")
    others = (("av", "15.1.0", "", OLD), ("av", "19.0.2", "", NEW))
    for name, version, needs, platform in (*FAMILY, *others):
        folder = root / "index" / "all" / name
        folder.mkdir(parents=True, exist_ok=True)
        package = StandIn(name, version, (needs,) if needs else (), module="none")
        for python in PYTHONS:
            write_wheel(folder, package, f"{python}-{python}-{platform}")
    home = Home(tmp_path_factory.mktemp("home"))
    home.prepare()
    with Hub(root) as hub:
        yield Index(home, {"PATH": os.environ["PATH"], "UV_DEFAULT_INDEX": f"{hub.url}/whl/all"})


@pytest.mark.parametrize(
    ("name", "torch", "expected"),
    [
        ("macos-14-m1-py313", "stable", ("2.15.0", "0.29.2", "2.11.0")),
        ("macos-27-m4-py314", "2.13.0", ("2.13.0", "0.28.0", "2.11.0")),
        ("macos-14-m1-py313", "2.10.0", ("2.10.0", "0.25.0", "2.10.0")),
        ("macos-13-m1-py312", "stable", ("2.11.0", "0.26.0", "2.11.0")),
        ("macos-13-m1-py312", "2.13.0", ()),
    ],
)
def test_plan_for_all_and_uv_agree(local: Index, name: str, torch: str, expected: tuple[str, ...]) -> None:
    assert list(compare(local, name, torch, FEW)) == []
    ctx = local.ctx(parse_target(name), torch, FEW)
    if expected:
        pins = first(ctx, here(ctx), audio=True).pins
        assert pins == tuple(f"{each}=={version}" for each, version in zip(TORCH, expected, strict=True))


@pytest.mark.parametrize("name", MACS)
def test_all_of_the_grid_agrees_on_the_real_index(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    if not request.config.getoption("--real-index"):
        pytest.skip("asks the package index some hundred times: --real-index")
    home = Home(tmp_path / "home")
    home.prepare()
    names = ("PATH", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "HTTPS_PROXY")
    index = Index(home, {each: os.environ[each] for each in names if each in os.environ})
    wrong = []
    for torch in TORCHES:
        for requirements in REQUIREMENTS:
            text = (FACTS / "requirements" / f"{requirements}.txt").read_text(encoding="utf-8")
            found = list(compare(index, name, torch, text))
            print(name, torch, requirements, found or "agree", flush=True)
            wrong += found
    assert wrong == []
