"""One start at a time in an environment, and what a start changed in its packages: said, kept, put back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui.exclusive_start import one_start
from provision.comfyui.server_process import start_server, stop_server
from provision.core.events import Doing, Event
from provision.core.finding import Consent, Verdict
from provision.core.home import Adopted, Home
from provision.core.step import Context, Options
from provision.environment import changed_packages
from provision.environment.changed_packages import compare, fingerprint, says
from provision.environment.packages import installed_versions
from provision.errors import EngineError
from provision.steps.requirements.changed import CHANGED, check_changed
from provision.system.local_machine import LocalMachine
from tests.support.engine_home import EngineHome, engine_home
from tests.support.foreign_install import install_record, venv
from tests.support.paths import CHECKOUT
from tests.support.real_env import give_real_env

HOLD = """
import sys
from pathlib import Path
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.comfyui.exclusive_start import one_start
from provision.core.step import Context
from provision.system.local_machine import LocalMachine
with one_start(Context(LocalMachine(), load_manifest("sdxl-turbo", []), Home(Path(sys.argv[1])))):
    print("held", flush=True)
    sys.stdin.read()
"""


# -- one at a time ------------------------------------------------------------------------------------------------


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return engine_home(tmp_path).ctx


def listening(ctx: Context, *, deep: bool = False) -> tuple[Context, list[Event]]:
    heard: list[Event] = []
    return replace(ctx, emit=heard.append, options=Options(deep=deep)), heard


def waits(heard: list[Event]) -> bool:
    return any(isinstance(event, Doing) and "another start of ComfyUI" in event.says for event in heard)


def test_a_second_start_waits_and_says_so(ctx: Context) -> None:
    other, heard = listening(ctx)
    order, waiting = [], threading.Event()

    def tell(event: Event) -> None:
        heard.append(event)
        waiting.set()

    def second() -> None:
        with one_start(replace(other, emit=tell)):
            order.append("second")

    thread = threading.Thread(target=second)
    with one_start(ctx):
        thread.start()
        assert waiting.wait(60)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert waits(heard)


def test_the_wait_is_bounded(ctx: Context) -> None:
    refused = pytest.raises(EngineError, match=r"Another start of ComfyUI in .* has been running")
    with one_start(ctx), refused, one_start(ctx, wait_s=0):
        pass


def test_another_program_and_another_home_with_the_same_environment_wait_too(ctx: Context, tmp_path: Path) -> None:
    there, argv = ctx.home, [sys.executable, "-c", HOLD, str(ctx.home.root)]
    adopting = Home(tmp_path / "adopting", Adopted(there.base, there.comfyui, there.venv, there.python))
    with subprocess.Popen(argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == b"held\n"
        with pytest.raises(EngineError), one_start(replace(ctx, home=adopting), wait_s=0):
            pass
        held.kill()
    with one_start(ctx, wait_s=0):
        pass


def test_other_environments_do_not_wait(ctx: Context, tmp_path: Path) -> None:
    with one_start(ctx), one_start(engine_home(tmp_path / "other").ctx, wait_s=0):
        pass


def test_without_an_environment_nothing_is_guarded(ctx: Context, tmp_path: Path) -> None:
    with one_start(replace(ctx, home=Home(tmp_path / "none"))):
        pass
    assert not (tmp_path / "none").exists()


# -- what changed -------------------------------------------------------------------------------------------------


def test_what_differs_is_told(tmp_path: Path) -> None:
    prefix = venv(tmp_path / "venv")
    for name, version in (("numpy", "2.4.6"), ("tqdm", "4.1"), ("av", "16.0")):
        install_record(prefix, name, version)
    before = fingerprint(prefix)
    (site,) = prefix.glob("lib/python3*/site-packages")
    (site / "tqdm-4.1.dist-info" / "METADATA").unlink()
    (site / "av-16.0.dist-info" / "RECORD").write_text("", encoding="utf-8")
    install_record(prefix, "numpy", "1.26.4")
    install_record(prefix, "Canary_Bird", "1.0")
    changes = compare(before, fingerprint(prefix))
    assert changes == {
        "av": ("16.0", "16.0"),
        "canary-bird": ("", "1.0"),
        "numpy": ("2.4.6", "1.26.4 and 2.4.6"),
        "tqdm": ("4.1", ""),
    }
    told = "av 16.0 was reinstalled, canary-bird 1.0 is new, numpy 2.4.6 -> 1.26.4 and 2.4.6, tqdm 4.1 is gone"
    assert says(changes) == f"4 packages: {told}"
    assert says(dict.fromkeys("abcdef", ("1", "2"))).endswith(", d 1 -> 2, and 2 more")


@pytest.fixture
def meddled(tmp_path: Path) -> EngineHome:
    """A home whose custom node installs packages when ComfyUI starts, as ComfyUI-Manager does."""
    made = engine_home(tmp_path)
    wheels = tmp_path / "wheels"
    give_real_env(made.ctx.home, wheels)
    node = made.ctx.home.comfyui / "custom_nodes" / "manager"
    node.mkdir(parents=True)
    (node / "prestartup_script.py").write_text(
        "import subprocess, sys\n"
        f"words = ['install', '--no-index', '--find-links', {str(wheels)!r}, 'victim==1.0', 'canary']\n"
        "subprocess.check_call([sys.executable, '-m', 'pip', *words])\n",
        encoding="utf-8",
    )
    environ = {**os.environ, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels)}
    made.ctx = replace(made.ctx, machine=LocalMachine(environ), emit=made.events.append)
    return made


def test_what_a_start_changed_is_said_and_put_back(meddled: EngineHome) -> None:
    ctx = meddled.ctx
    before = installed_versions(ctx.home.venv)
    assert list(check_changed(ctx)) == []
    try:
        start_server(ctx)
    finally:
        stop_server(ctx)
    assert "Starting ComfyUI changed 2 packages: canary 1.0 is new, victim 2.0 -> 1.0." in meddled.says()
    (finding,) = check_changed(ctx)
    assert (finding.id, finding.verdict) == ("packages-changed", Verdict.WARN)
    assert finding.consent == Consent("Put them back?", "packages-changed")

    agreed = replace(ctx, options=Options(agreed=frozenset({"packages-changed"})))
    (finding,) = check_changed(agreed)
    assert finding.verdict is Verdict.FIXABLE
    assert CHANGED.apply is not None
    CHANGED.apply(agreed, finding)
    assert installed_versions(ctx.home.venv) == before
    assert list(check_changed(ctx)) == []


def test_what_somebody_changed_since_is_not_brought_up(ctx: Context) -> None:
    kept = {"torch": ["2.0", "1.0"], "gone": ["1", ""], "odd": "1"}
    ctx.receipts.write(changed_packages.RECEIPT, when="2026-11-25T01:02:03Z", changed=kept)
    assert changed_packages.changed(ctx) == {"gone": ("1", "")}
    assert "gone 1 is gone (on 2026-11-25" in next(iter(check_changed(ctx))).says


def test_what_two_starts_changed_is_one_change(ctx: Context) -> None:
    now = fingerprint(ctx.home.venv)
    torch, (version, _) = next(iter(now.items()))
    changed_packages.remember(ctx, {torch: ("1.0", 0)})
    changed_packages.remember(ctx, {torch: ("1.5", 0), **{name: now[name] for name in now if name != torch}})
    assert changed_packages.changed(ctx)[torch] == ("1.0", version)
