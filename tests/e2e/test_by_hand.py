"""`plan --commands`: the script is valid, and run by hand in the rehearsal's world it makes the picture."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from provision.cli.command import Session
from provision.cli.commands.plan_script import script
from provision.cli.request import Request
from provision.cli.session import open_session
from provision.core.home import Home
from provision.core.image import Quality, judge
from provision.core.runner import run
from provision.core.step import Context
from provision.output.console import Console
from provision.steps.registry import STEPS, step_named
from provision.system.local_machine import LocalMachine

TIMEOUT_S = 300
FP16 = "sd_xl_turbo_1.0_fp16.safetensors"
BACKENDS = ("auto", "wget", "hf", "git-lfs")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session in the rehearsal's world, in a home whose name a shell would take apart; its server is ended."""
    folder = tmp_path_factory.mktemp("by-hand")
    request = Request("plan", home=folder / "a home; $(id)", rehearse=True)
    with open_session(request, Console(), LocalMachine()) as at:
        yield at
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)


def by_hand(ctx: Context) -> str:
    """The script of a look that changes nothing."""
    return script(ctx, run(STEPS, ctx, apply=False))


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a person does, from a file; what this machine's pip is told to hold or to prefer is left out."""
    path = folder / "by-hand.sh"
    path.write_text(text, encoding="utf-8")
    told = ("PIP_CONSTRAINT", "PIP_FIND_LINKS", "PIP_NO_INDEX")
    environ = {name: value for name, value in os.environ.items() if name not in told}
    environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "1"}
    return subprocess.run(
        ["/bin/sh", path],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def with_backend(ctx: Context, backend: str) -> Context:
    return replace(ctx, options=replace(ctx.options, backend=backend))


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="there is no shellcheck on this machine")
def test_shellcheck_finds_nothing(world: Session, tmp_path: Path) -> None:
    report = run(STEPS, world.ctx, apply=False)
    paths = []
    for backend in BACKENDS:
        paths.append(tmp_path / f"{backend}.sh")
        paths[-1].write_text(script(with_backend(world.ctx, backend), report), encoding="utf-8")
    # SC2016: the home's name holds a `$`, which single quotes keep as it is.
    command = ["shellcheck", "--shell", "sh", "--exclude", "SC2016", *paths]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.parametrize("backend", ["wget", "git-lfs"])
def test_the_model_by_the_program_that_was_asked_for(world: Session, tmp_path: Path, backend: str) -> None:
    ctx = replace(with_backend(world.ctx, backend), home=Home(tmp_path / "other home"))
    text = script(ctx, run((step_named("models"),), ctx, apply=False))
    ran = run_script(text, tmp_path)
    assert ran.returncode == 0, f"{text}\n{ran.stderr}"
    assert (ctx.home.comfyui / "models" / "checkpoints" / FP16).stat().st_size > 1_000_000
    assert "OK" in ran.stdout, "its sum was checked"


def test_by_hand_it_makes_the_picture_and_all_takes_it_from_there(world: Session, tmp_path: Path) -> None:
    text, home = by_hand(world.ctx), world.ctx.home
    ran = run_script(text, tmp_path)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    image = world.ctx.manifest.first_image
    assert judge(home.first_image.read_bytes(), image.width, image.height).verdict is not Quality.BAD
    assert f"Image: {home.first_image}" in ran.stdout
    again = by_hand(world.ctx)
    for step in ("python_env", "workflow"):
        assert f"# {step}: nothing to do" in again
    for word in ("clone", "curl --fail --location", "pip install"):
        assert word in text
        assert word not in again, "what was done by hand is not asked for again"
