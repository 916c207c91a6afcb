"""What is sent to a Mac, and what is run there."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from provision.errors import CommandMissing
from provision.fleet import control
from provision.fleet.deploy import LOOK, command_line, expanded, parse_look
from provision.fleet.kit import kit_archive


def test_the_kit_is_the_installer_and_this_tool_and_always_the_same() -> None:
    made = kit_archive()
    assert made == kit_archive()
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        names = tar.getnames()
        wheel = tar.extractfile(next(name for name in names if name.endswith(".whl")))
        assert wheel is not None
        files = zipfile.ZipFile(io.BytesIO(wheel.read())).namelist()
    assert "install.sh" in names
    assert {"provision/fleet/deploy.py", "provision/_install.sh", "provision/_manifests/sdxl-turbo.toml"} <= {*files}


def test_a_look_asks_this_machine_and_changes_nothing(tmp_path: Path) -> None:
    script = LOOK.replace("@WHERE@", expanded("~/not there/provision"))
    words = ["sh", "-c", script]
    said = subprocess.run(words, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    look = parse_look(said.stdout.decode().splitlines())
    assert (look.home, look.tool, look.installed, look.kit) == (str(tmp_path), False, False, "")
    assert look.kind.count(" ") == 1
    assert look.free_bytes > 1_000_000
    assert list(tmp_path.iterdir()) == []


def test_what_a_look_says_is_taken_within_bounds() -> None:
    look = parse_look(["look home=" + "x" * 10_000, "look free_kb=" + "9" * 5000, "look odd=1", "rubbish", "look"])
    assert (len(look.home), look.free_bytes) == (200, 0)


def test_words_reach_the_tool_as_they_are() -> None:
    line = command_line(("all", "--set", "a=b c", "$(touch x)"), home="~/my lab; rm -rf /")
    assert line.endswith(""" all --set 'a=b c' '$(touch x)' --home "$HOME"'/my lab; rm -rf /'""")


def test_without_the_extra_the_command_that_adds_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    control.check_engine()
    monkeypatch.setattr(control, "find_spec", lambda name: None)
    with pytest.raises(CommandMissing) as missing:
        control.check_engine()
    command = missing.value.hint.command
    assert command is not None
    assert command.argv[1:3] == ("pip", "install")
    assert command.argv[-1] == "pyinfra>=3.10,<4"
