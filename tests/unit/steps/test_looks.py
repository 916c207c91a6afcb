"""What a step looks at beside its own part: the shell, scripts, a person's files, leftovers, ComfyUI's log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui import server_process
from provision.comfyui.server_process import start_server, stop_server
from provision.command import Fix, program
from provision.core.finding import Finding, Verdict
from provision.core.runner import run_step
from provision.core.step import Context, Look, Options, Step, with_looks
from provision.errors import ProvisionError
from provision.steps.comfyui.step import COMFYUI
from provision.steps.comfyui.user_files import ENGINE_FILES, check_engine_files
from provision.steps.first_image.step import make_image
from provision.steps.models.step import MODELS
from provision.steps.models.stray_files import LITTER, check_litter
from provision.steps.python_env.scripts import check_scripts
from provision.steps.server.last_run import START_LOG, check_last_prompt, check_start
from provision.steps.server.step import SERVER
from provision.steps.tools.shell_variables import check_environment
from provision.system.local_machine import LocalMachine
from tests.support.engine_home import CHECKPOINT, EngineHome, engine_home, write_checkpoint
from tests.support.findings import fixable, kind, ok, seen, warn

Contexts = Callable[..., Context]
DOUBLE = bytes.fromhex("00051607000200004d6163204f532058")


def agreeing(ctx: Context, *ids: str) -> Context:
    return replace(ctx, options=replace(ctx.options, agreed=frozenset(ids)))


def only(look: Look) -> Step:
    """A step of nothing but a look."""
    return with_looks(Step("a", (), lambda ctx: ()), look)


# -- steps and looks --------------------------------------------------------------------------------------------


def test_a_look_adds_findings_and_mends_its_own(context: Contexts) -> None:
    mended: list[str] = []

    def keep(place: str) -> Callable[[Context, Finding], None]:
        return lambda ctx, finding: mended.append(f"{place}: {finding.id}")

    look = Look(lambda ctx: [warn("more", "x", "more")], (kind("more"),), keep("look"))
    step = with_looks(Step("a", (), lambda ctx: [ok("own", "x", "own")], keep("step")), look)
    assert seen(step.check(context())) == [("own", Verdict.OK), ("more", Verdict.WARN)]
    assert step.apply is not None
    for id in ("own", "more"):
        step.apply(context(), warn(id, "x", ""))
    assert mended == ["step: own", "look: more"]


def test_what_a_look_can_mend_stands_alone(context: Contexts) -> None:
    look = Look(lambda ctx: [fixable("more", "x", "", fix=Fix(""))], (kind("more"),))
    step = with_looks(Step("a", (), lambda ctx: [fixable("own", "x", "", fix=Fix(""))]), look)
    assert seen(step.check(context())) == [("more", Verdict.FIXABLE)]


# -- the shell --------------------------------------------------------------------------------------------------


def test_hostile_variables_are_told_by_name_and_only_as_a_detail(context: Contexts) -> None:
    environ = {"PYTHONPATH": "/secret/place", "CONDA_PREFIX": "/c", "HF_TOKEN": "hf_x", "PATH": "/bin"}
    (finding,) = check_environment(context(machine=LocalMachine(environ)))
    assert (finding.id, finding.verdict, finding.detail) == ("env-leak", Verdict.OK, True)
    assert finding.says.startswith("CONDA_PREFIX, PYTHONPATH are set")
    assert "secret" not in finding.says


def test_offline_mode_is_told(context: Contexts) -> None:
    (finding,) = check_environment(context(machine=LocalMachine({"HF_HUB_OFFLINE": "1"})))
    assert (finding.id, finding.verdict, finding.detail) == ("hf-offline", Verdict.OK, False)
    assert list(check_environment(context(machine=LocalMachine({"HF_HUB_OFFLINE": "0"})))) == []


# -- scripts ----------------------------------------------------------------------------------------------------


def script(ctx: Context, name: str, text: str) -> None:
    path = ctx.home.venv / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "#!/old/venv/bin/python3.12\nimport pip\n",
        "#!/bin/sh\n'''exec' \"/old venv/bin/python\" \"$0\" \"$@\"\n' '''\n",
        "#!/bin/sh\n'''exec' /old/venv/bin/python3 \"$0\" \"$@\"\n' '''\n",
    ],
)
def test_a_script_of_another_place(context: Contexts, text: str) -> None:
    ctx = context()
    script(ctx, "idna", text)
    script(ctx, "pip3", text)
    (finding,) = check_scripts(ctx)
    assert (finding.id, finding.verdict) == ("venv-moved", Verdict.WARN)
    assert finding.says.startswith("pip3 and 1 more in venv/bin start /old")


@pytest.mark.parametrize(
    "text",
    [
        "#!{bin}/python\n",
        "#!/bin/sh\n'''exec' \"{bin}/python3\" \"$0\"\n",
        "#!/usr/bin/env python3\n",
        "\x7fELF",
        '#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")"/\'python\' "$0" "$@"\n',
        "#!/bin/sh\necho\n",
        "",
    ],
)
def test_a_script_that_is_right(context: Contexts, text: str) -> None:
    ctx = context()
    script(ctx, "pip", text.replace("{bin}", str(ctx.home.venv / "bin")))
    assert list(check_scripts(ctx)) == []


def test_a_real_environment_that_was_moved(context: Contexts, tmp_path: Path) -> None:
    ctx = context()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    (tmp_path / "v" / "bin" / "pip").write_text(f"#!{tmp_path / 'v' / 'bin' / 'python'}\n", encoding="utf-8")
    (tmp_path / "v").rename(ctx.home.venv)
    assert seen(check_scripts(ctx)) == [("venv-moved", Verdict.WARN)]


# -- extra model paths, database, folders -------------------------------------------------------------------------


def settings(ctx: Context, text: str, name: str = "extra_model_paths.yaml") -> Path:
    path: Path = ctx.home.comfyui / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        ("# all\n# of it\n", "it is empty"),
        ("a111:\n\tbase_path: /x\n", "it is not valid YAML in line 2"),
        ("a111:\n  - x\n  - y\n", "'a111' is not a section"),
        ("base_path: /x\ncheckpoints: models\n", "'base_path' is not a section"),
        ("- a\n- b\n", "it has no sections"),
        ("a111:\n  base_path: 5\n", "'base_path' in 'a111' is 5"),
        ("a111:\n  checkpoints: [a, b]\n", "'checkpoints' in 'a111' is ['a', 'b']"),
        ("a111: {checkpoints: ", "it is not valid YAML"),
    ],
)
@pytest.mark.parametrize("name", ["extra_model_paths.yaml", "extra_paths.yaml"])
def test_settings_that_comfyui_cannot_start_with(context: Contexts, text: str, says: str, name: str) -> None:
    ctx = context()
    path = settings(ctx, text, name)
    (finding,) = check_engine_files(ctx)
    assert (finding.id, finding.verdict) == ("yaml-bad", Verdict.BLOCKED)
    assert says in finding.says
    assert finding.consent
    report = run_step(only(ENGINE_FILES), agreeing(ctx, "yaml-bad"), apply=True)
    assert report.satisfied, report
    assert not path.exists()
    (moved,) = ctx.home.aside.iterdir()
    assert moved.read_text(encoding="utf-8") == text


def test_settings_that_are_no_text(context: Contexts) -> None:
    ctx = context()
    settings(ctx, "").write_bytes(b"\xff\xfe\x00")
    assert seen(check_engine_files(ctx)) == [("yaml-bad", Verdict.BLOCKED)]


def test_folders_that_are_there_and_that_are_not(context: Contexts, tmp_path: Path) -> None:
    ctx, there = context(), tmp_path / "there"
    (there / "models").mkdir(parents=True)
    settings(ctx, f"a:\n  base_path: {there}\n  is_default: true\n  checkpoints: |\n    models\n    models\nb:\n")
    assert list(check_engine_files(ctx)) == []
    settings(ctx, f"a:\n  base_path: {there}\n  checkpoints: models\n  vae: gone\n")
    (finding,) = check_engine_files(ctx)
    assert (finding.id, finding.detail) == ("yaml-deadpath", True), "of a whole list some are always missing"
    for text in (f"a:\n  base_path: {there}/gone\n  checkpoints: models\n", "a:\n  checkpoints: gone\n  vae: gone\n"):
        settings(ctx, text)
        assert seen(check_engine_files(ctx)) == [("yaml-deadpath", Verdict.WARN)]


@pytest.mark.parametrize(
    ("start", "bad"), [(b"SQLite format 3\0more", False), (b"", False), (b"<html>", True), (b"SQLite format 2\0", True)]
)
def test_the_database(context: Contexts, start: bytes, bad: bool) -> None:
    ctx = context()
    path = ctx.home.comfyui / "user" / "comfyui.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(start)
    path.with_name("comfyui.db-wal").write_bytes(b"wal")
    assert seen(check_engine_files(ctx)) == ([("db-bad", Verdict.BLOCKED)] if bad else [])
    if bad:
        assert run_step(only(ENGINE_FILES), agreeing(ctx, "db-bad"), apply=True).satisfied
        assert {kept.name.split(".")[1] for kept in ctx.home.aside.iterdir()} == {"db", "db-wal"}


def test_folders_that_cannot_be_written(context: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context()
    output = ctx.home.comfyui / "output"
    output.mkdir(parents=True)
    assert list(check_engine_files(ctx)) == []
    owner = output.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    (finding,) = check_engine_files(ctx)
    assert (finding.id, finding.verdict) == ("perms-root", Verdict.WARN)
    monkeypatch.setattr(os, "access", lambda *_: False)
    (finding,) = check_engine_files(ctx)
    assert (finding.id, finding.verdict) == ("perms-root", Verdict.BLOCKED)
    assert finding.fix is not None
    assert finding.fix.command == program("sudo", "chown", "-R", str(owner + 1), str(output))


def test_nothing_is_there_yet(context: Contexts) -> None:
    ctx = context()
    for check in (check_engine_files, check_litter, check_scripts, check_start, check_last_prompt):
        assert list(check(ctx)) == []


# -- leftovers among the models -----------------------------------------------------------------------------------


@pytest.fixture
def models(context: Contexts, tmp_path: Path) -> tuple[Context, Path]:
    """A context whose checkpoint is a few bytes large, and the folder where it belongs."""
    write_checkpoint(tmp_path / "right")
    size = (tmp_path / "right").stat().st_size
    ctx = context(f"models.0.files.0.size={size}")
    folder = ctx.home.comfyui / "models" / "checkpoints"
    folder.mkdir(parents=True)
    return ctx, folder


def old(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def test_appledouble_files(models: tuple[Context, Path]) -> None:
    ctx, folder = models
    write_checkpoint(folder / CHECKPOINT)
    double = old(folder / f"._{CHECKPOINT}", DOUBLE)
    old(folder / "._mine.safetensors", b"a person may name a model so")
    (finding,) = check_litter(ctx)
    assert (finding.id, finding.verdict) == ("fs-appledouble", Verdict.WARN)
    assert run_step(only(LITTER), agreeing(ctx, "fs-appledouble"), apply=True).satisfied
    assert not double.exists()
    assert (folder / "._mine.safetensors").exists()
    (kept,) = ctx.home.aside.iterdir()
    assert kept.read_bytes() == DOUBLE


def test_partials_are_left_alone_while_they_grow(models: tuple[Context, Path]) -> None:
    ctx, folder = models
    write_checkpoint(folder / CHECKPOINT)
    (folder / "new.crdownload").write_bytes(b"12")
    assert list(check_litter(ctx)) == []
    hub = folder / ".cache" / "huggingface" / "download" / "x.incomplete"
    stale = [old(folder / "a.safetensors.part", b"123"), old(hub, b"45")]
    (finding,) = check_litter(ctx)
    assert (finding.id, finding.verdict) == ("partials", Verdict.WARN)
    assert "5 bytes" in finding.says
    assert run_step(only(LITTER), agreeing(ctx, "partials"), apply=True).satisfied
    assert [path.exists() for path in stale] == [False, False]
    assert sorted(path.read_bytes() for path in ctx.home.aside.iterdir()) == [b"123", b"45"]


@pytest.mark.parametrize(
    ("place", "id"),
    [
        ("../unet/{}", "ckpt-wrong-dir"),
        ("../{}", "ckpt-wrong-dir"),
        ("sdxl-turbo/{}", "ckpt-nested"),
        ("turbo.safetensors", "ckpt-renamed"),
    ],
)
def test_the_checkpoint_elsewhere_is_linked_to_its_place(models: tuple[Context, Path], place: str, id: str) -> None:
    ctx, folder = models
    elsewhere = folder / place.format(CHECKPOINT)
    write_checkpoint(elsewhere)
    step = with_looks(MODELS, LITTER)
    (finding,) = step.check(ctx)
    assert (finding.id, finding.verdict, finding.cost.download_bytes) == (id, Verdict.FIXABLE, 0)
    assert step.apply is not None
    step.apply(ctx, finding)
    assert (folder / CHECKPOINT).samefile(elsewhere)
    assert seen(step.check(ctx)) == [("ckpt-unproven", Verdict.FIXABLE)]


@pytest.mark.parametrize("name", ["other.safetensors", CHECKPOINT.upper()])
def test_another_file_is_not_taken_for_it(models: tuple[Context, Path], name: str) -> None:
    ctx, folder = models
    if name == "other.safetensors":  # of the same size, and no model
        write_checkpoint(folder / name)
        (folder / name).write_bytes(bytes((folder / name).stat().st_size))
    else:
        write_checkpoint(folder / name)
    assert list(check_litter(ctx)) == []


def test_a_clone_among_the_checkpoints(models: tuple[Context, Path]) -> None:
    ctx, folder = models
    write_checkpoint(folder / CHECKPOINT)
    (folder / "sdxl-turbo" / ".git" / "lfs").mkdir(parents=True)
    write_checkpoint(folder / "sdxl-turbo" / "unet" / "model.safetensors")
    (folder / "mine").mkdir()
    (folder.parent / "LLM" / "model" / ".git").mkdir(parents=True)  # custom nodes ask for such a clone
    (finding,) = check_litter(ctx)
    assert (finding.id, finding.verdict) == ("ckpt-nested", Verdict.WARN)
    assert run_step(only(LITTER), agreeing(ctx, "ckpt-nested"), apply=True).satisfied
    (kept,) = ctx.home.aside.iterdir()
    assert (kept / "unet" / "model.safetensors").is_file()


def test_nothing_is_moved_out_of_a_folder_that_is_not_ours(models: tuple[Context, Path], tmp_path: Path) -> None:
    ctx, folder = models
    folder.rename(tmp_path / "checkpoints")
    folder.symlink_to(tmp_path / "checkpoints")
    old(folder.parent / "here.part", b"1")
    write_checkpoint(folder.parent / "unet" / CHECKPOINT)
    found = list(check_litter(agreeing(ctx, "partials")))
    assert seen(found) == [("ckpt-wrong-dir", Verdict.WARN), ("partials", Verdict.FIXABLE)]


# -- ComfyUI's log ------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EngineHome]:
    """A home whose server runs, with the fault of the test's parameter."""
    made = engine_home(tmp_path, fault=getattr(request, "param", ""))
    start_server(made.ctx)
    yield made
    stop_server(made.ctx)


def paint(ctx: Context) -> None:
    with suppress(ProvisionError):
        make_image(ctx, ctx.manifest.first_image, "an image")


def test_a_healthy_server_says_nothing(served: EngineHome) -> None:
    paint(served.ctx)
    assert "Prompt executed" in server_process.log_tail(served.ctx.home)
    assert [*check_start(served.ctx), *check_last_prompt(served.ctx)] == []


@pytest.mark.parametrize(
    ("served", "id"),
    [
        ("oom", "mps-oom"),
        ("black", "black-image"),
        ("node_error", "shape-mismatch"),
        ("ckpt_error", "ckpt-damaged"),
        ("die", "mem-killed"),
    ],
    indirect=["served"],
)
def test_why_the_last_picture_failed(served: EngineHome, id: str) -> None:
    paint(served.ctx)
    found = list(check_last_prompt(served.ctx))
    assert seen(found) == [(id, Verdict.WARN)]
    assert found[0].fix is not None


def test_a_custom_node_that_failed_is_disabled_after_a_yes(served: EngineHome) -> None:
    ctx = served.ctx
    node = ctx.home.comfyui / "custom_nodes" / "paint"
    node.mkdir(parents=True)
    log = ctx.home.engine_log
    said = f"Cannot import {node} module for custom nodes: No module named 'cv2'\n"
    log.write_text(said + log.read_text(encoding="utf-8"), encoding="utf-8")
    (finding,) = check_start(ctx)
    assert (finding.id, finding.verdict, finding.subject) == ("node-failed", Verdict.WARN, "paint")
    report = run_step(with_looks(SERVER, START_LOG), agreeing(ctx, "node-failed"), apply=True)
    assert report.satisfied, report
    assert node.with_name("paint.disabled").is_dir()
    assert seen(report.findings) == [("server-up", Verdict.OK)]


def test_a_server_that_did_not_start_is_explained(served: EngineHome) -> None:
    ctx = served.ctx
    stop_server(ctx)
    words = "Traceback (most recent call last):\nRuntimeError: operator torchvision::nms does not exist\n"
    ctx.home.engine_log.write_text(words, encoding="utf-8")
    assert seen(check_start(ctx)) == [("tv-mismatch", Verdict.WARN)]


def test_the_registry_looks_at_more() -> None:
    from provision.steps.registry import STEPS

    checks = {step.name: step.check for step in STEPS}
    assert checks["comfyui"] is not COMFYUI.check
    assert checks["models"] is not MODELS.check
    assert Options().agreed == frozenset()
