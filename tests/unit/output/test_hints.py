"""Commands are shown as this person has to type them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provision.cli.app import command_line
from provision.command import Command, Fix, ours, program
from provision.output.hints import (
    ADOPTING,
    AT_HOME,
    CALLED_AS,
    REHEARSABLE,
    REHEARSAL_HOME,
    Invocation,
    called_as,
    this_call,
)

PLAIN = Invocation()
ELSEWHERE = Invocation(("bin/provision",), "/Volumes/Big Disk")
REHEARSED = Invocation(("bin/provision",), "/tmp/r", rehearsal=True)
USUAL_REHEARSAL = Invocation(("bin/provision",), "~/provision-rehearsal", implied=True, rehearsal=True)
ADOPTED = Invocation(install=("--comfyui", "/opt/Comfy UI"))
RECORDED = Invocation(install=("--home", "/h"))
AGAIN = ours("stop", then=ours("launch"))


@pytest.mark.parametrize(
    ("call", "command", "text"),
    [
        (PLAIN, ours("doctor", "--fix"), "provision doctor --fix"),
        (ELSEWHERE, ours("doctor", "--fix"), "bin/provision doctor --home '/Volumes/Big Disk' --fix"),
        (ELSEWHERE, ours("all", "--home", "~/provision"), "bin/provision all --home ~/provision"),
        (ELSEWHERE, ours("all", "--home=~/provision"), "bin/provision all '--home=~/provision'"),
        (ELSEWHERE, ours("manifests", "show", "sdxl-turbo"), "bin/provision manifests show sdxl-turbo"),
        (ELSEWHERE, ours("all", "--rehearse"), "bin/provision all --rehearse"),
        (ELSEWHERE, ours("--help"), "bin/provision --help"),
        (ELSEWHERE, program("brew", "install", "git"), "brew install git"),
        (
            ELSEWHERE,
            ours("all", under=("env", "-u", "HF_ENDPOINT")),
            "env -u HF_ENDPOINT bin/provision all --home '/Volumes/Big Disk'",
        ),
        (PLAIN, ours("all", "--set", 'comfyui.args=["--cpu"]'), "provision all --set 'comfyui.args=[\"--cpu\"]'"),
        (PLAIN, program("df", "-h", "~"), "df -h ~"),
        (PLAIN, program("df", "-h", "~/a b"), "df -h ~/'a b'"),
        (REHEARSED, ours("all", "--rehearse"), "bin/provision all --home /tmp/r --rehearse"),
        (REHEARSED, ours("all"), "bin/provision all --home /tmp/r --rehearse"),
        (REHEARSED, ours("all", "--rehearse", "--home", "DIR"), "bin/provision all --rehearse --home DIR"),
        (REHEARSED, AGAIN, "bin/provision stop --home /tmp/r && bin/provision launch --home /tmp/r"),
        (USUAL_REHEARSAL, ours("all"), "bin/provision all --rehearse"),
        (USUAL_REHEARSAL, ours("logs"), "bin/provision logs --home ~/provision-rehearsal"),
        (ADOPTED, ours("doctor", "--fix"), "provision doctor --fix --comfyui '/opt/Comfy UI'"),
        (ADOPTED, ours("launch"), "provision launch"),
        (ADOPTED, ours("all", "--comfyui", "DIR"), "provision all --comfyui DIR"),
        (ADOPTED, ours("all", "--rehearse"), "provision all --rehearse"),
        (RECORDED, ours("launch"), "provision launch --home /h"),
        (RECORDED, ours("all", "--comfyui", "DIR"), "provision all --comfyui DIR"),
        (Invocation(home="/x", install=("--home", "/x")), ours("launch"), "provision launch --home /x"),
        (
            Invocation(home="/x", rehearsal=True, install=("--home", "/x")),
            ours("all"),
            "provision all --home /x --rehearse",
        ),
    ],
)
def test_a_command_can_be_pasted(call: Invocation, command: Command, text: str) -> None:
    assert call.text(command) == text


def test_a_hint_is_a_sentence_and_a_command() -> None:
    assert PLAIN.text(None) == ""
    assert PLAIN.text(Fix("Look at it.")) == "Look at it."
    assert PLAIN.text(Fix(command=ours("logs"))) == "provision logs"
    assert PLAIN.text(Fix("Wait for it, then:", ours("all"))) == "Wait for it, then: provision all"
    assert PLAIN.text(Fix("Look at it.", ours("logs"))) == "Look at it.   provision logs", "it can be told apart"


def test_a_script_is_given_words_that_it_can_run(tmp_path: Path) -> None:
    assert ELSEWHERE.argv(ours("doctor")) == ["bin/provision", "doctor", "--home", "/Volumes/Big Disk"]
    assert PLAIN.argv(program("df", "-h", "~/x")) == ["df", "-h", os.path.expanduser("~/x")]  # noqa: PTH111
    assert PLAIN.argv(None) == []
    made = tmp_path / "a b"
    both = Command(("mkdir", str(made)), then=program("touch", str(made / "c")))
    subprocess.run(PLAIN.argv(both), check=True)
    assert (made / "c").is_file()


def test_what_json_does_not_know_is_said_plainly() -> None:
    assert ELSEWHERE.plain(ours("logs")) == ["bin/provision", "logs", "--home", "/Volumes/Big Disk"]
    assert PLAIN.plain(Fix("Then:", ours("logs"))) == "Then: provision logs"
    assert PLAIN.plain(Path("/x")) == "/x"


def test_the_flags_are_those_of_the_commands() -> None:
    groups = getattr(command_line(), "commands")  # noqa: B009
    flags = {name: {flag for param in command.params for flag in param.opts} for name, command in groups.items()}
    assert {name for name, known in flags.items() if "--rehearse" in known} == REHEARSABLE
    assert {name for name, known in flags.items() if "--home" in known} == AT_HOME
    assert {name for name, known in flags.items() if "--comfyui" in known} == ADOPTING | {"update"}, (
        "its names no folder"
    )
    assert set(flags) == AT_HOME | {"manifests", "completion", "fleet"}, "the others have no home"


def test_the_program_as_it_was_called(tmp_path: Path) -> None:
    on_path = tmp_path / "provision"
    on_path.write_text("#!/bin/sh\n")
    on_path.chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert called_as({CALLED_AS: "bin/provision"}, "/x/__main__.py", ["python"]) == ("bin/provision",)
    assert called_as({CALLED_AS: "/My Apps/bin/provision"}, "", []) == ("/My Apps/bin/provision",)
    assert called_as({CALLED_AS: str(on_path), **path}, "", []) == ("provision",)
    assert called_as(path, str(on_path), []) == ("provision",)
    assert called_as({"PATH": ""}, "/v/bin/provision", []) == ("/v/bin/provision",)
    assert called_as({}, "/p/provision/__main__.py", ["python3", "-m", "provision"]) == ("python3", "-m", "provision")
    assert called_as({"PATH": ""}, "/v/bin/comfy-provision", []) == ("/v/bin/comfy-provision",)
    assert called_as({}, "/usr/bin/pytest", []) == ("provision",)
    assert called_as({}, "", []) == ("provision",)


def test_the_home_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["provision"])
    assert this_call({}).home == ""
    assert this_call({}, Path("/a b")).home == "/a b"
    assert this_call({}, rehearse=True) == Invocation(home=REHEARSAL_HOME, implied=True, rehearsal=True)
    assert this_call({"PROVISION_HOME": "/h"}, rehearse=True) == Invocation(rehearsal=True)
    assert this_call({}, Path("/h"), rehearse=True) == Invocation(home="/h", rehearsal=True)
