"""The target Python: found, judged, made aside and put in place. uv and the environments are real."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.core.events import Event, Note
from provision.core.finding import Verdict
from provision.core.home import Home
from provision.core.runner import run_step
from provision.core.step import Context
from provision.errors import PackageError
from provision.steps.python_env import step as python_env
from provision.steps.python_env.step import PYTHON_ENV, find_python
from provision.system.local_machine import LocalMachine
from provision.system.machine import Ran
from tests.support.fake_machine import FakeMachine
from tests.support.hints import said

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
SYSCTL = "/usr/sbin/sysctl -i hw.optional.arm64"
Make = Callable[..., Context]


@pytest.fixture
def ctx(context: Make, tmp_path: Path) -> Context:
    """This machine, without a network for uv, wanting the Python that runs the tests."""
    # The interpreter that runs the tests may lie outside PATH; nothing else may be found.
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"])
    environ = {"HOME": str(tmp_path), "PATH": path, "HTTPS_PROXY": "http://127.0.0.1:9", "UV_HTTP_RETRIES": "0"}
    return context(f"python.version={HERE}", "python.max=3.14", machine=LocalMachine(environ))


def apply(ctx: Context) -> list[str]:
    """Run the step; the ids of its last findings."""
    report = run_step(PYTHON_ENV, ctx, apply=True)
    assert report.error is None, report.error
    return [finding.id for finding in report.findings]


def only(ctx: Context) -> tuple[str, Verdict, str]:
    (finding,) = PYTHON_ENV.check(ctx)
    return finding.id, finding.verdict, finding.says


def test_it_is_made_and_the_second_run_changes_nothing(ctx: Context) -> None:
    assert only(ctx)[:2] == ("venv-missing", Verdict.FIXABLE)
    assert apply(ctx) == ["venv-ready"]
    before = ctx.home.python.lstat().st_mtime_ns
    report = run_step(PYTHON_ENV, ctx, apply=True)
    assert (report.changed, ctx.home.python.lstat().st_mtime_ns) == (False, before)
    assert HERE in report.findings[0].says
    assert not list(ctx.home.state.glob("venv.new.*"))


def test_a_dangling_one_is_moved_aside_with_its_packages(ctx: Context) -> None:
    apply(ctx)
    package = next(ctx.home.venv.glob("lib/python3*/site-packages")) / "mine.py"
    package.write_text("kept = True\n")
    ctx.home.python.unlink()
    ctx.home.python.symlink_to("/gone/python3.12")
    assert only(ctx)[0] == "venv-dangling"
    assert apply(ctx) == ["venv-ready"]
    assert [path.read_text() for path in ctx.home.aside.glob("venv-*/lib/*/site-packages/mine.py")] == ["kept = True\n"]


def test_an_environment_without_its_configuration_is_none(ctx: Context) -> None:
    apply(ctx)
    (ctx.home.venv / "pyvenv.cfg").unlink()
    assert only(ctx)[0] == "venv-dangling"


def test_a_python_that_does_not_run_is_dangling(ctx: Context) -> None:
    apply(ctx)
    ctx.home.python.unlink()
    ctx.home.python.write_text("#!/bin/sh\necho 'dyld: Library not loaded' >&2\nexit 134\n")
    ctx.home.python.chmod(0o755)
    id, _, says = only(ctx)
    assert id == "venv-dangling"
    assert "Library not loaded" in says


def test_what_a_killed_run_left_is_removed(ctx: Context) -> None:
    (ctx.home.envs / "7").mkdir(parents=True)
    apply(ctx)
    assert [path.name for path in ctx.home.envs.iterdir()] == ["1"]


def test_another_accepted_python_is_taken_when_the_wanted_cannot_be_fetched(
    context: Make, ctx: Context, events: list[Event]
) -> None:
    other = "3.13" if HERE != "3.13" else "3.12"
    wish = context(
        f"python.version={other}", f"python.min={HERE}", f"python.max={max(HERE, other)}", machine=ctx.machine
    )
    assert apply(wish) == ["venv-ready"]
    notes = " ".join(event.says for event in events if isinstance(event, Note))
    assert f"{other} could not be downloaded" in notes
    assert f"{other} is preferred" in only(wish)[2]


def test_without_any_python_the_error_says_what_to_run(context: Make, ctx: Context) -> None:
    machine = LocalMachine({**ctx.machine.environ, "PATH": "/nowhere"})
    with pytest.raises(PackageError) as error:
        find_python(context("python.version=3.9", "python.min=3.9", "python.max=3.9", machine=machine))
    assert "HTTPS_PROXY" in said(error.value.hint)


def test_a_python_of_pyenv_is_found_behind_stubs_that_fail(context: Make, tmp_path: Path) -> None:
    root = tmp_path / ".pyenv"
    version = ".".join(map(str, sys.version_info[:3]))
    (root / "shims").mkdir(parents=True)
    stub = root / "shims" / f"python{HERE}"
    stub.write_text("#!/bin/sh\nexit 127\n")
    stub.chmod(0o755)
    (root / "versions" / version).mkdir(parents=True)
    (root / "versions" / version / "bin").symlink_to(Path(sys.base_prefix) / "bin")
    machine = LocalMachine({"HOME": str(tmp_path), "PATH": f"{root / 'shims'}:/bin"})
    found = find_python(context(f"python.version={HERE}", "python.max=3.14", machine=machine))
    assert "shims" not in found


def on_mac(context: Make, home: Home, version: str, arch: str, sysctl: Ran | str = "hw.optional.arm64: 1\n") -> Context:
    """A Mac whose environment's Python says what it is."""
    home.python.parent.mkdir(parents=True)
    home.python.touch()
    answer = json.dumps([version, arch, "/opt/homebrew", str(home.venv)])
    commands = {f"{home.python} -I -B -c {python_env.ASK}": answer, SYSCTL: sysctl}
    return context(machine=FakeMachine(commands))


@pytest.mark.parametrize(
    ("version", "arch", "expected"),
    [
        ("3.12.4", "arm64", "venv-ready"),
        ("3.11.9", "arm64", "venv-ready"),
        ("3.12.4", "x86_64", "py-rosetta"),
        ("3.9.6", "arm64", "py-too-old"),
        ("3.13.9", "arm64", "venv-ready"),
        ("3.14.2", "arm64", "venv-ready"),
        ("3.15.0", "arm64", "py-too-new"),
        ("3.13.8", "arm64", "py-bad-patch"),
    ],
)
def test_a_mac_python_is_judged(context: Make, home: Home, version: str, arch: str, expected: str) -> None:
    assert only(on_mac(context, home, version, arch))[0] == expected


def test_an_intel_mac_has_no_such_name_and_no_rosetta(context: Make, home: Home) -> None:
    silent = Ran((), 0)
    assert only(on_mac(context, home, "3.12.4", "x86_64", silent))[0] == "py-rosetta"  # the machine says arm64
    machine = FakeMachine({SYSCTL: silent}, arch="x86_64")
    assert python_env.on_apple_silicon(context(machine=machine)) is False


def test_apple_silicon_asks_for_its_own_architecture(context: Make) -> None:
    from provision.environment.packages import find_uv

    machine = FakeMachine(
        {SYSCTL: "hw.optional.arm64: 1\n"}, arch="x86_64", programs={"uv": shutil.which("uv") or "uv"}
    )
    ctx = context(machine=machine)
    uv = find_uv(machine)
    find = f"{uv} python find --no-project --system --no-python-downloads cpython-3.13-macos-aarch64-none"
    install = f"{uv} python install --no-bin cpython-3.13-macos-aarch64-none"
    machine.commands |= {find: Ran((), 1), install: Ran((), 1)}
    for minor in (14, 13, 12, 11, 10):
        machine.commands[find.replace("3.13", f"3.{minor}")] = Ran((), 1)
    with pytest.raises(PackageError) as refused:
        find_python(ctx)
    assert install in machine.ran
    before = machine.ran[: machine.ran.index(install)]
    tried = [line for line in before if " python find " in line][1:]  # the nearest first, and the older of two
    assert tried == [find.replace("3.13", f"3.{minor}") for minor in (13, 12, 14, 11, 10)]
    assert "python@3.13" in said(refused.value.hint)
