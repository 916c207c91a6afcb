"""What a state file says is data: it opens no file elsewhere, runs no program, and a disk that fails is no bug."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli.commands.made_by_us import _downloaded
from provision.comfyui.adoption import recorded
from provision.core.finding import Finding
from provision.core.home import Home
from provision.core.receipt_kinds import ModelReceipt
from provision.core.receipts import file_identity, write_json
from provision.core.runner import run_step
from provision.core.step import Context, Step
from provision.environment import generations
from provision.errors import DiskFull, HomeError
from provision.rehearsal.home_marker import read_world, world_folder
from provision.system.disk_errors import as_sentence
from tests.support.engine_home import engine_home
from tests.support.paths import PACKAGE

DOORS = {
    "system/strict.py": "the reader itself",
    "core/image.py": "a picture in memory",
    "core/receipts.py": "writes",
    "cli/exit_codes.py": "writes the log",
    "system/local_machine.py": "a program's log, written; whether a file can be opened",
    "download/local_copies.py": "a copy, which was seen to be a file",
    "download/verify.py": "the weights, which were seen to be a file",
    "download/hashing.py": "a part",
    "download/retry.py": "a part",
    "download/http/disk_writer.py": "a part",
    "output/safe_streams.py": "/dev/null, in place of a stream that takes no more",
    "download/backends/http.py": "a part",
    "download/backends/xet_program.py": "a part, in a program of its own",
    "steps/requirements/install.py": "ComfyUI's requirements, which were seen to be a file",
    "steps/lock/step.py": "what uv wrote a moment ago",
    "cli/commands/made_by_us.py": "files of the checkout, which were seen to be files",
    "download/part_file.py": "writes what only we may read",
    "comfyui/sandbox_program.py": "a folder, for the kernel's rule",
    "comfyui/git_stand_in.py": "writes a repository's stand-in",
    "system/disk_use.py": "a model, for its place on the disk",
    "system/log_files.py": "logs, regular files alone",
    "system/log_keeper.py": "a log, in a program of its own",
    "comfyui/saved_pictures.py": "writes",
    "comfyui/exclusive_start.py": "a folder, to lock it",
    "comfyui/source_tree.py": "an archive in a folder of our own; files of the checkout, which were seen to be files",
    "comfyui/archived_revisions.py": "archives that are kept, and files of the checkout that were seen to be files",
    "download/source_archive.py": "writes",
    "download/bundle_source.py": "writes",
    "download/bundling/contents.py": "an archive that git made a moment ago; writes",
    "download/bundling/tool_wheel.py": "this tool's own files",
    "download/bundling/writing.py": "writes",
    "fleet/driver.py": "the kit, which this run made; /dev/null",
    "fleet/image.py": "an image on another Mac, within bounds",
    "fleet/kit.py": "this tool's own files; an archive in memory",
    "start.py": "standard error, by its number",
    "system/git_objects.py": "a file whose kind and size its caller has seen",
    "cli/commands/manifests.py": "a manifest that was read a moment ago",
    "cli/shell_setup.py": "a person's file of settings, which was seen to be a file",
}
"""Who opens files beside the one reader, and why it may."""


def _opens(path: Path) -> bool:
    """Whether a module opens a file by itself."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            if (
                name in ("read_text", "read_bytes")
                and owner not in ("machine", "")
                and "machine" not in ast.dump(node.func)
            ):
                return True
            if name == "open" and owner != "webbrowser":
                return True
    return False


def test_files_are_read_through_one_door() -> None:
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    beside = {str(path) for path in modules if path.parts[0] != "rehearsal" and _opens(PACKAGE / path)}
    assert beside - DOORS.keys() == set(), "read it by provision.system.strict, or say here why not"


@pytest.mark.parametrize("name", ["../../x", "/bin", "1/../../x", "", "1\0", "\u0663"])
def test_the_environment_before_is_one_of_ours(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "home")
    (home.envs / "2" / "set").mkdir(parents=True)
    home.own_venv.symlink_to("envs/2")
    for place in (tmp_path / "x", home.envs / "x"):
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python").touch()
    write_json(home.envs / "2" / "set" / "before.json", {"name": name})
    assert generations.before(home) is None


@pytest.mark.parametrize(
    ("prefix", "python", "believed"),
    [
        ("{0}/venv", "{0}/venv/bin/python", True),
        ("{0}/venv", "{0}/elsewhere/python3", True),
        ("{0}/venv", "{0}/venv/bin/python3.12", True),
        (None, None, True),
        ("{0}/venv", "/bin/sh", False),
        ("{0}/venv", "{0}/venv/../evil/python", False),
        ("{0}/venv", "{0}/venv/bin/evil", False),
        (None, "{0}/venv/bin/python", False),
        ("{0}/venv", "venv/bin/python", False),
        ("{0}/venv", "{0}/venv/bin/python\0", False),
    ],
)
def test_an_adopted_python_is_one_of_its_environment(
    tmp_path: Path, prefix: str | None, python: str | None, believed: bool
) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python3").touch()
    told = {name: text and text.format(tmp_path) for name, text in (("prefix", prefix), ("python", python))}
    write_json(tmp_path / "state" / "adopted.json", {"base": str(tmp_path / "ComfyUI"), **told})
    assert (recorded(tmp_path) is not None) is believed


def test_a_receipt_names_no_file_elsewhere_for_removal(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path / "home").ctx
    thesis, inside = tmp_path / "thesis.md", ctx.home.models / "checkpoints" / "x.safetensors"
    for path in (thesis, inside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine", encoding="utf-8")
    climbing = os.path.relpath(thesis, ctx.home.root)
    for number, place in enumerate(
        (str(thesis), climbing, f"ComfyUI/models/../../{climbing}", ctx.home.shown(inside), "\0")
    ):
        path = inside if place == ctx.home.shown(inside) else thesis
        receipt = ModelReceipt(**file_identity(path), sha256="a" * 64, place=place, downloaded=True)
        ctx.receipts.write(f"model-{number}", receipt)
    assert list(_downloaded(ctx)) == [inside]


@pytest.mark.parametrize("port", [0, -1, 99_999_999])
def test_a_world_is_served_on_ports_that_there_are(tmp_path: Path, port: int) -> None:
    home = Home(tmp_path)
    made = {
        name: {"size": 1, "sha256": "a" * 64}
        for name in ("sd_xl_turbo_1.0_fp16.safetensors", "sd_xl_turbo_1.0.safetensors")
    }
    record = {"ports": {"hub": port, "cdn": 2, "engine": 3}, "made": {"commit": "a" * 40, "checkpoints": made}}
    write_json(world_folder(home) / "world.json", record)
    assert read_world(home) is None


# -- a disk that fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EIO, "Input/output error"), HomeError),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EDQUOT, "Quota exceeded"), DiskFull),
        (OSError(errno.EROFS, "Read-only file system", "/x/y"), HomeError),
        (IsADirectoryError(errno.EISDIR, "Is a directory", b"/x/y"), HomeError),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), type(None)),
        (OSError("something"), type(None)),
    ],
)
def test_what_a_disk_does_is_told_and_what_a_socket_does_is_not(error: OSError, kind: type) -> None:
    said = as_sentence(error, Path("/home-of-it"))
    assert isinstance(said, kind)
    if said is not None:
        assert (os.fsdecode(error.filename) if error.filename else "/home-of-it") in said.message


@pytest.mark.parametrize("apply", [True, False])
def test_a_check_that_meets_a_failing_disk_fails_and_does_not_crash(tmp_path: Path, apply: bool) -> None:
    def check(ctx: Context) -> list[Finding]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    report = run_step(Step("torch", (), check), engine_home(tmp_path).ctx, apply=apply)
    assert report.error is not None
    assert report.error.code == "home"
    assert str(tmp_path) in report.error.message


def test_a_record_that_cannot_be_read_is_met_by_a_handler(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "state").mkdir(parents=True)
    (home / "state" / "adopted.json").write_text('{"a":' * 100_000, encoding="utf-8")
    for command, code in (("plan", 1), ("status", 1), ("logs", 2)):
        argv = [sys.executable, "-m", "provision", command, "--home", home]
        ran = subprocess.run(
            argv, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(tmp_path)}
        )
        assert (ran.returncode, "Traceback" in ran.stdout + ran.stderr) == (code, False), ran.stderr
        assert ("adopted.json cannot be read" in ran.stderr) is (command == "plan")
