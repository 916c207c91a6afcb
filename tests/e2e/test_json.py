"""What `--json` prints is what `docs/json.md` says. `Tool` holds the lines of all other tests against it too."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from provision.cli.app import COMMANDS
from tests.e2e.conftest import Tool
from tests.support import json_lines
from tests.support.paths import CHECKOUT

PAGE = CHECKOUT / "docs" / "json.md"


def test_the_schema_is_one_and_not_everything_fits_it() -> None:
    Draft202012Validator.check_schema(json_lines.strict())
    whole = Draft202012Validator(json_lines.strict())
    assert not whole.is_valid({"type": "report", "ok": True})
    assert not whole.is_valid({})


def test_every_command_has_a_report() -> None:
    assert {name.partition(": ")[0] for name in json_lines.strict()["$defs"] if ": " in name} == set(COMMANDS)


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """The program on the page, as it stands there; `provision` on its PATH is this checkout's."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 32
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "provision").write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m provision "$@"\n')
    (folder / "provision").chmod(0o755)
    (tmp_path / "reader.py").write_text(code, encoding="utf-8")
    return tmp_path / "reader.py"


def test_a_program_written_from_the_page_follows_a_run(tool: Tool, reader: Path) -> None:
    env = {**tool.env(), "PATH": f"{reader.parent / 'bin'}:{tool.env()['PATH']}"}

    def read(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(reader), *words, "--home", str(tool.home)]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=240, check=False)

    made = read("all", "--rehearse")
    assert made.returncode == 0, made.stderr
    assert "models: sd_xl_turbo_1.0_fp16.safetensors 100 %" in made.stdout
    assert f"image {tool.home}/first-image.png, ComfyUI http://127.0.0.1:" in made.stdout
    (tool.home / "ComfyUI" / "models" / "checkpoints" / "sd_xl_turbo_1.0_fp16.safetensors").unlink()
    sick = read("doctor")
    assert sick.returncode == 1
    assert "doctor: ckpt-missing: " in sick.stdout
    refused = read("all", "--no-such-flag")
    assert (refused.returncode, "all: usage: " in refused.stdout) == (2, True), refused.stdout
    _every_other_command(tool)


def _every_other_command(tool: Tool) -> None:
    """Their lines are held against the schema by `Tool`."""
    assert tool.run("plan", "--rehearse").report["ok"] is True, "all could do it, which is what its exit code says"
    for words in (
        ("check",),
        ("check", "--hosts"),
        ("config",),
        ("doctor", "--list"),
        ("doctor", "--fix"),
        ("stop",),
        ("status",),
        ("launch",),
        ("status",),
        ("logs",),
        ("logs", "--tool"),
        ("generate", "a fox", "--size", "64"),
        ("report",),
        ("bench", "--count", "1", "--size", "64", "--steps", "1"),
        ("rollback",),
        ("download",),
        ("uninstall",),
        ("doctor", str(tool.home / "logs" / "comfyui.log")),
        ("logs", "--lines", "none"),
        ("status", "--watch"),
    ):
        tool.run(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("manifests",),
        ("manifests", "list"),
        ("manifests", "show"),
        ("manifests", "validate", "none"),
        ("completion", "zsh"),
        ("completion", "csh"),
        ("nothing",),
        ("all", "--set", "nothing"),
        ("generate",),
    ],
)
def test_commands_without_a_home_have_a_report_too(words: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "provision", *words, "--json"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    json_lines.check_all(json_lines.read(ran.stdout), ran.returncode)


def test_a_bug_is_a_report(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom provision.cli.commands import overview\nfrom provision.cli import app\n"
        "overview.overview = lambda at: 1 / 0\nsys.argv = ['provision', 'status', '--json']\napp.main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    lines = json_lines.read(ran.stdout)
    json_lines.check_all(lines, ran.returncode)
    assert (ran.returncode, lines[-1]["error"]["code"], lines[-1]["command"]) == (3, "bug", "status")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_a_report(tool: Tool, sign: signal.Signals) -> None:
    ended = tool.until(lambda line: line["type"] == "progress", "all", "--rehearse", "--json", sign=sign)
    json_lines.check_all(ended.lines, ended.code)
    assert (ended.code, ended.report["error"]["code"]) == (130, "interrupted")


def test_ctrl_c_before_anything_was_read_is_a_report() -> None:
    script = (
        "import os, signal, sys\nsys.argv = ['provision', 'all', '--json']\n"
        "import provision.__main__\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    lines = json_lines.read(ran.stdout)
    json_lines.check_all(lines, ran.returncode)
    assert (ran.returncode, lines[-1]["error"]["code"]) == (130, "interrupted")
