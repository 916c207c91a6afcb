"""A look at a ComfyUI whose custom node tries in every way to change packages and folders: nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui import sandbox
from provision.comfyui.server_process import quick_test_argv, stop_server
from provision.comfyui.temporary_server import brief_server
from provision.core.deep_results import Proofs
from provision.core.finding import Verdict
from provision.core.home import Adopted, Home
from provision.steps.first_image.deep import check_image
from provision.steps.python_env.step import check_python_env
from provision.steps.requirements import imports
from provision.steps.requirements.imports import check_imports
from provision.steps.requirements.install import prove, run_quick_test
from provision.steps.server import last_run
from provision.steps.server.last_run import check_start
from provision.steps.torch.proof import run_probe
from provision.system.local_machine import LocalMachine
from tests.support.engine_home import EngineHome, engine_home
from tests.support.hostile_node import BEFORE, NAME, WAYS, install
from tests.support.real_env import give_real_env
from tests.support.untouched import untouched

HAS_FENCE = sandbox.can_fence(LocalMachine())
needs_fence = pytest.mark.skipif(not HAS_FENCE, reason="this system has no fence (Linux before 6.2)")


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHome]:
    """A miniature engine with the hostile node and a real environment; no test changes it."""
    root = tmp_path_factory.mktemp("victim")
    made = engine_home(root, deep=True)
    home, wheels = made.ctx.home, root / "wheels"
    give_real_env(home, wheels)
    (home.comfyui / "requirements.txt").write_text("torch\nvictim\n", encoding="utf-8")
    for name in ("user", "output", "input", "temp"):
        (home.comfyui / name).mkdir(exist_ok=True)
    install(home.comfyui, wheels)
    yield made
    stop_server(made.ctx)


@pytest.fixture(params=["own", "adopted"])
def home(request: pytest.FixtureRequest, victim: EngineHome, tmp_path: Path) -> EngineHome:
    """It as a home of this tool's, and as an install of somebody else's."""
    ctx, events = replace(victim.ctx, proofs=Proofs()), victim.events
    events.clear()
    if request.param == "adopted":
        there = ctx.home
        adopting = Home(tmp_path / "adopting", Adopted(there.base, there.comfyui, there.venv, there.python))
        adopting.prepare()
        ctx = replace(ctx, home=adopting)
        ctx.receipts.write("torch", device="cpu")
    return EngineHome(ctx, events)


def install_of(home: EngineHome) -> tuple[Path, Path]:
    return home.ctx.home.comfyui, home.ctx.home.venv


def tried(text: str) -> dict[str, str]:
    """What the node tried, and what became of it."""
    return {name: end for end, name in re.findall(r"^(DONE|FAILED) (.+?) \w+$", text, re.MULTILINE)}


@needs_fence
def test_deep_looks_at_the_nodes_behind_a_fence(home: EngineHome) -> None:
    with untouched(*install_of(home)):
        (finding,) = check_imports(home.ctx)
    ends = tried(home.says())
    assert len(ends) == len(BEFORE) + len(WAYS)
    assert [name for name, end in ends.items() if end == "DONE"] == ["ensurepip"], "which found that all is there"
    assert (finding.id, finding.verdict) == ("imports-ready", Verdict.OK)
    assert "so did the custom nodes (1), which were not allowed to write or install" in finding.says


def test_without_a_fence_the_nodes_are_off_and_that_is_said(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "can_fence", lambda machine: False)
    monkeypatch.setattr(last_run, "can_fence", lambda machine: False)
    with untouched(*install_of(home)):
        (finding,) = check_imports(home.ctx)
    assert finding.id == "imports-ready"
    assert "custom nodes were off: see ComfyUI's log for them" in finding.says
    assert tried(home.says()) == {}
    home.ctx.home.engine_log.write_text(
        f"Cannot import /x/{NAME} module for custom nodes: no luck\nStarting server\n", encoding="utf-8"
    )
    assert [found.id for found in check_start(home.ctx)] == ["node-failed"], "the log is what is known of them"


def test_the_quick_test_the_brief_server_and_the_probes_load_no_nodes(home: EngineHome) -> None:
    with untouched(*install_of(home)):
        assert run_quick_test(home.ctx).ok
        run_probe(home.ctx)
        list(check_python_env(home.ctx))
        (image,) = check_image(home.ctx)
        assert image.id == "image-proven"
        with brief_server(home.ctx):
            pass
    assert tried(home.says()) == {}
    assert not (home.ctx.home.state / "looks").exists(), "what a look needed is thrown away"


def test_what_is_proven_for_good_loads_no_nodes_either(home: EngineHome) -> None:
    with untouched(*install_of(home), ours=lambda name: "__pycache__" in name or name == "."):
        prove(home.ctx)
    assert tried(home.says()) == {}


@needs_fence
@pytest.mark.parametrize(
    ("code", "id", "says"),
    [
        ("open(__file__ + '.cfg', 'w')", "node-refused", "The custom node {0} writes or installs when loaded"),
        (
            "import subprocess, sys; subprocess.check_call([sys.executable, '-m', 'pip', 'install', 'canary'])",
            "node-refused",
            "a check does not allow that",
        ),
        ("import of_old", "node-failed", "No module named 'of_old'"),
        ("import os; os._exit(7)", "node-refused", "ComfyUI starts, but exits with its custom nodes"),
    ],
)
def test_why_a_node_does_not_load(tmp_path: Path, code: str, id: str, says: str) -> None:
    made = engine_home(tmp_path, deep=True)
    (made.ctx.home.comfyui / "requirements.txt").write_text("torch\n", encoding="utf-8")
    node = made.ctx.home.comfyui / "custom_nodes" / "paint"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text(code, encoding="utf-8")
    with untouched(made.ctx.home.comfyui, made.ctx.home.venv):
        (finding,) = check_imports(made.ctx)
    assert (finding.id, finding.verdict) == (id, Verdict.WARN)
    assert says.format("paint") in finding.says


def test_a_flag_that_brings_nodes_back_does_not(tmp_path: Path) -> None:
    made = engine_home(tmp_path, sets=['comfyui.args=["--whitelist-custom-nodes", "paint"]'])
    node = made.ctx.home.comfyui / "custom_nodes" / "paint"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text("print('LOADED')", encoding="utf-8")
    ran = run_quick_test(made.ctx)
    assert ran.ok
    assert "LOADED" not in ran.out


def test_what_a_killed_look_left_goes_with_the_next(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path).ctx
    looks = ctx.home.state / "looks"
    (looks / "999999999-x" / "tmp").mkdir(parents=True)
    assert run_quick_test(ctx).ok
    assert not looks.exists()


def test_a_home_that_takes_no_folder_is_looked_at_all_the_same(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path).ctx
    (ctx.home.state / "looks").write_text("no folder", encoding="utf-8")
    with untouched(ctx.home.root, ours=lambda name: name == "state"):
        assert run_quick_test(ctx).ok


def test_the_page_is_not_fetched_by_a_look(tmp_path: Path) -> None:
    flag = "--front-end-version"
    made = engine_home(tmp_path, sets=[f'comfyui.args=["{flag}", "Comfy-Org/ComfyUI_frontend@1.2"]'])
    argv = quick_test_argv(made.ctx, tmp_path)
    assert argv[len(argv) - argv[::-1].index(flag)] == "comfyanonymous/ComfyUI@latest"
