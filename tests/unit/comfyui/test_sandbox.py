"""What is fenced can write below its folder alone, and ends as it would without."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from provision.comfyui.sandbox import PROFILE, SANDBOX, can_fence, fenced
from provision.system.local_machine import LocalMachine
from tests.support.fake_machine import FakeMachine
from tests.support.untouched import untouched

needs_fence = pytest.mark.skipif(not can_fence(LocalMachine()), reason="this system has no fence (Linux before 6.2)")


@needs_fence
def test_it_writes_in_its_folder_alone(tmp_path: Path) -> None:
    machine, inside, outside = LocalMachine(), tmp_path / "a b" / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        (folder / "x").write_text("x", encoding="utf-8")
    ways = "echo y >$1/y && rm $1/x && mkdir $1/d && mv $1/y $1/d/z && ln -s x $1/l && echo >/dev/null"
    script = ways.replace("$1", '"$1"')
    assert machine.run(fenced(machine, ("/bin/sh", "-c", script, "sh", str(inside)), inside)).ok
    with untouched(outside):
        for way in (*ways.split(" && ")[:-1], f"cp {inside}/d/z $1/n", "echo y >>$1/x"):
            words = ("/bin/sh", "-c", way.replace("$1", '"$1"'), "sh", str(outside))
            assert not machine.run(fenced(machine, words, inside)).ok, way


@needs_fence
@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -signal.SIGKILL)])
def test_it_ends_as_it_would_without(tmp_path: Path, script: str, code: int) -> None:
    machine = LocalMachine()
    assert machine.run(fenced(machine, ("/bin/sh", "-c", f"echo said; {script}"), tmp_path)).code == code


def test_on_a_mac_it_is_macos_sandbox(tmp_path: Path) -> None:
    machine = FakeMachine({"/usr/bin/getconf DARWIN_USER_CACHE_DIR": "/var/folders/x/C/\n"}, system="Darwin")
    argv = fenced(machine, ("python", "main.py"), tmp_path)
    place = argv.index(SANDBOX)
    assert argv[place - 1] == "--"
    assert argv[place + 1 :] == (
        "-D",
        f"OPEN={tmp_path.resolve()}",
        "-D",
        "CACHE=/var/folders/x/C",
        "-p",
        PROFILE,
        "python",
        "main.py",
    )
    assert not can_fence(machine), "there is no sandbox-exec here"
