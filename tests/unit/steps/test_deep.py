"""`--deep` on the miniature engine: ComfyUI is imported, an image is made, and things are left as they were."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui import server_process
from provision.comfyui.server_process import our_process, quick_test_argv, record_path, start_server, stop_server
from provision.comfyui.temporary_server import any_server, brief_server
from provision.command import Fix
from provision.core.deep_results import PARTS, part_says
from provision.core.events import Note, Progress
from provision.core.finding import Finding, Verdict
from provision.core.runner import run
from provision.core.step import Context, Step, planned_disk_bytes, with_looks
from provision.environment import packages
from provision.errors import EngineError
from provision.steps.first_image.deep import DEEP_IMAGE, check_image
from provision.steps.first_image.step import FIRST_IMAGE
from provision.steps.registry import STEPS
from provision.steps.requirements import imports
from provision.steps.requirements.imports import IMPORTS, check_imports, mend_imports
from provision.steps.server.last_run import check_start
from provision.steps.server.step import SERVER, check_server
from provision.system.child_notes import read_note
from provision.system.local_machine import LocalMachine
from provision.system.machine import Ran
from provision.system.processes import mark_of
from tests.support.engine_home import EngineHome, engine_home
from tests.support.fake_machine import FakeMachine
from tests.support.findings import fixable, ok, seen

UPCAST = "--force-upcast-attention"


@contextmanager
def home_of(root: Path, fault: str = "", *, deep: bool = True) -> Iterator[EngineHome]:
    home = engine_home(root, fault=fault, deep=deep)
    (home.ctx.home.comfyui / "requirements.txt").write_text("torch\n", encoding="utf-8")
    home.ctx.machine.children_folder = home.ctx.home.children
    try:
        yield home
    finally:
        stop_server(home.ctx)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[EngineHome]:
    with home_of(tmp_path) as made:
        yield made


def quick_logs(ctx: Context) -> str:
    return (ctx.home.logs / "quick-test.log").read_text(encoding="utf-8")


# -- the imports ----------------------------------------------------------------------------------------------


def test_all_is_imported_beside_a_server_that_runs(home: EngineHome) -> None:
    ctx = home.ctx
    start_server(ctx)
    temp = ctx.home.comfyui / "temp" / "preview.png"
    temp.write_bytes(b"shown in a page")
    (finding,) = check_imports(ctx)
    assert (finding.id, finding.verdict) == ("imports-ready", Verdict.OK)
    assert "imported everything just now, in" in finding.says
    assert temp.exists(), "the server's own temporary files"
    assert not (ctx.home.state / "quick-test").exists()
    assert "ComfyUI version" in quick_logs(ctx)
    assert any(isinstance(event, Progress) for event in home.events)
    assert any(isinstance(event, Note) for event in home.events)


def test_the_database_of_a_server_that_runs_is_not_asked_for(home: EngineHome) -> None:
    (home.ctx.home.comfyui / "comfyui_version.py").write_text('__version__ = "0.38.1"\n', encoding="utf-8")
    assert "--disable-assets" not in quick_test_argv(home.ctx, Path("/look"))
    start_server(home.ctx)
    assert "--disable-assets" in quick_test_argv(home.ctx, Path("/look"))
    assert seen(check_imports(home.ctx)) == [("imports-ready", Verdict.OK)]


def test_only_deep_imports_and_only_what_is_whole(home: EngineHome) -> None:
    ctx = home.ctx
    assert list(check_imports(replace(ctx, options=replace(ctx.options, deep=False)))) == []
    (ctx.home.comfyui / "requirements.txt").write_text("torch\nnot-here\n", encoding="utf-8")
    assert list(check_imports(ctx)) == []


def test_custom_nodes_are_seen_as_they_are_now(home: EngineHome) -> None:
    ctx = home.ctx
    node = ctx.home.comfyui / "custom_nodes" / "paint"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text("import cv2_of_old\n", encoding="utf-8")
    (finding,) = check_imports(ctx)
    assert (finding.id, finding.verdict, finding.subject) == ("node-failed", Verdict.WARN, "paint")
    assert "No module named 'cv2_of_old'" in finding.says
    assert list(check_start(ctx)) == [], "told once"
    agreed = replace(ctx, options=replace(ctx.options, agreed=frozenset({"node-failed"})))
    step = with_looks(Step("a", (), lambda ctx: ()), IMPORTS)
    assert run((step,), agreed, apply=True).ok
    assert node.with_name("paint.disabled").is_dir()


@pytest.mark.parametrize(
    ("module", "recorded", "id", "verdict"),
    [
        ("sqlalchemy", False, "cu-old-deps", Verdict.FIXABLE),
        ("sqlalchemy", True, "req-broken", Verdict.FIXABLE),
        ("nobody_knows_this.part", False, "import-failed", Verdict.BLOCKED),
    ],
)
def test_what_cannot_be_imported_is_named(
    home: EngineHome, module: str, recorded: bool, id: str, verdict: Verdict
) -> None:
    ctx = home.ctx
    name = module.partition(".")[0]
    main = ctx.home.comfyui / "main.py"
    said = f"raise ModuleNotFoundError(\"No module named '{module}'\")"
    main.write_text(main.read_text().replace("import model_management", f"{said}\nimport model_management"))
    if recorded:
        folder = packages.site_packages(ctx.home.venv)
        assert folder is not None
        (folder / f"{name}-2.0.dist-info").mkdir()
        (folder / f"{name}-2.0.dist-info" / "METADATA").write_text("Name: x\n", encoding="utf-8")
    (finding,) = check_imports(ctx)
    assert (finding.id, finding.verdict, finding.subject) == (id, verdict, name)
    assert f"No module named '{name}'" in finding.says
    assert finding.fix is not None
    assert finding.fix.command.argv[:3] == ("uv", "pip", "install")


@pytest.mark.parametrize(
    ("spoil", "id", "says"),
    [
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "tv-mismatch",
            "torchvision does not fit this torch",
        ),
        ("raise SystemExit(3)", "import-failed", "its own quick test ended with 3"),
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", "", ""),
    ],
)
def test_other_ends_are_told_by_their_words(home: EngineHome, spoil: str, id: str, says: str) -> None:
    main = home.ctx.home.comfyui / "main.py"
    main.write_text(main.read_text().replace("import model_management", f"{spoil}\nimport model_management"))
    found = list(check_imports(home.ctx))
    assert seen(found) == ([(id, Verdict.BLOCKED)] if id else []), "torch is looked at by its own step"
    assert all(says in finding.says for finding in found)


def test_a_quick_test_that_hangs(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "run_quick_test", lambda ctx, **_: Ran(("main.py",), None, "importing ...\n", ""))
    (finding,) = check_imports(home.ctx)
    assert (finding.id, finding.verdict) == ("import-failed", Verdict.BLOCKED)
    assert "took longer than 600 s (importing ...)" in finding.says


@pytest.mark.parametrize("id", ["cu-old-deps", "req-broken"])
def test_a_package_is_installed_with_torch_held(home: EngineHome, monkeypatch: pytest.MonkeyPatch, id: str) -> None:
    asked: list[tuple[str, ...]] = []

    def install(ctx: Context, *words: str, what: str) -> Ran:
        asked.append(words)
        return Ran((), 0)

    monkeypatch.setattr(packages, "must_install", install)
    package = "requests" if id == "cu-old-deps" else "torch"
    mend_imports(home.ctx, fixable(id, package, "", fix=Fix("")))
    held = "torch==2.16.0.dev20261101"
    assert asked == [("requests", held) if id == "cu-old-deps" else ("--no-deps", "--reinstall-package", "torch", held)]


# -- an image -------------------------------------------------------------------------------------------------


def test_the_server_that_runs_makes_an_image(home: EngineHome) -> None:
    start_server(home.ctx)
    before = our_process(home.ctx)
    (finding,) = check_image(home.ctx)
    assert (finding.id, finding.verdict) == ("image-proven", Verdict.OK)
    assert "was started for it" not in finding.says
    assert our_process(home.ctx) == before
    assert not home.ctx.home.first_image.exists(), "the proof is another matter"


def test_a_server_is_started_for_it_and_everything_left_as_it_was(home: EngineHome) -> None:
    ctx = home.ctx
    ctx.home.engine_log.write_text("what the last run said\n", encoding="utf-8")
    (finding,) = check_image(ctx)
    assert (finding.id, finding.verdict) == ("image-proven", Verdict.OK)
    assert "one was started for it and ended again" in finding.says
    assert our_process(ctx) is None
    assert not record_path(ctx).exists()
    assert ctx.home.engine_log.read_text(encoding="utf-8") == "what the last run said\n"
    assert next(iter(check_server(ctx))).id == "server-down"
    assert list(ctx.home.children.iterdir()) == []


def test_a_brief_server_is_noted_while_it_lives(home: EngineHome) -> None:
    ctx = home.ctx
    with any_server(ctx) as (at, was_started):
        assert was_started
        (note,) = ctx.home.children.iterdir()
        assert at.manifest.comfyui.port != ctx.manifest.comfyui.port
        noted = read_note(note)
        assert noted is not None
        assert noted.parent.pid == os.getpid()
        assert noted.child is not None
        assert mark_of(noted.child.pid) == noted.mark == note.name
    assert ctx.machine.process(noted.child.pid) is None


def test_a_brief_server_that_does_not_start(home: EngineHome) -> None:
    (home.ctx.home.comfyui / "main.py").write_text("raise SystemExit('no such luck')\n", encoding="utf-8")
    with pytest.raises(EngineError, match="no such luck"), brief_server(home.ctx):
        pass


@pytest.mark.parametrize(("fault", "id"), [("oom", "mps-oom"), ("strange", "engine-error"), ("die", "mem-killed")])
def test_an_image_that_fails_says_why(tmp_path: Path, fault: str, id: str) -> None:
    with home_of(tmp_path, fault) as home:
        (finding,) = check_image(home.ctx)
    assert (finding.id, finding.verdict) == (id, Verdict.BLOCKED)


def test_without_a_model_nothing_is_tried(home: EngineHome) -> None:
    shutil.rmtree(home.ctx.home.comfyui / "models")
    assert list(check_image(home.ctx)) == []


def test_a_black_image_is_mended_by_the_ladder(tmp_path: Path) -> None:
    steps = (Step("requirements", (), lambda ctx: ()), SERVER, with_looks(FIRST_IMAGE, DEEP_IMAGE))
    with home_of(tmp_path, f"black:{UPCAST}") as home:
        (finding,) = check_image(home.ctx)
        assert (finding.id, finding.verdict) == ("image-rejected", Verdict.FIXABLE)
        assert "It is black" in finding.says
        report = run(steps, home.ctx, apply=True)
        assert report.ok, report
        assert ("image-proven", Verdict.OK) in seen(report.step("first_image").findings)
        assert UPCAST in server_process.engine_flags(home.ctx)


def test_a_plan_adds_up_without_deep_looks(home: EngineHome) -> None:
    deeps: list[bool] = []

    def check(ctx: Context) -> Iterable[Finding]:
        deeps.append(ctx.options.deep)
        yield ok("x", "x", "")

    assert planned_disk_bytes(home.ctx, (Step("a", (), check),)) == 0
    assert deeps == [False]


def test_a_look_knows_the_device_without_a_receipt(home: EngineHome) -> None:
    home.ctx.receipts.drop("torch")
    no_gpu, mac = FakeMachine(system="Linux"), FakeMachine()
    nvidia = FakeMachine(system="Linux", programs={"nvidia-smi": "/usr/bin/nvidia-smi"})
    cpu = [server_process.on_cpu(replace(home.ctx, machine=machine)) for machine in (no_gpu, mac, nvidia)]
    assert cpu == [True, False, False]
    home.ctx.proofs.device = "cpu"
    assert server_process.on_cpu(replace(home.ctx, machine=mac)), "as torch was seen to compute a moment ago"
    home.ctx.proofs.device = ""
    assert "--cpu" in quick_test_argv(replace(home.ctx, machine=LocalMachine({"PATH": "/nowhere"})), home.ctx.home.root)


def test_each_part_of_deep_says_how_many_there_are() -> None:
    assert part_says("torch", "x") == "x, part 1 of 4, usually 20 s"
    assert part_says("first_image", "x") == "x, part 4 of 4, usually 60 s"
    assert [step.name for step in STEPS if step.name in PARTS] == [*PARTS], "they are looked at in this order"
