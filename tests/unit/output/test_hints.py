"""Hints name the commands as this person has to type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.cli.app import command_line
from provision.output.hints import (
    AT_HOME,
    CALLED_AS,
    HOMELESS,
    REHEARSABLE,
    REHEARSAL_HOME,
    Invocation,
    called_as,
    this_call,
)

PLAIN = Invocation()
ELSEWHERE = Invocation("bin/provision", "'/Volumes/Big Disk'")
REHEARSED = Invocation("bin/provision", "/tmp/r", rehearsal=True)
USUAL_REHEARSAL = Invocation("bin/provision", "~/provision-rehearsal", implied=True, rehearsal=True)


@pytest.mark.parametrize(
    ("call", "text", "said"),
    [
        (PLAIN, "provision doctor --fix", "provision doctor --fix"),
        (ELSEWHERE, "provision doctor --fix", "bin/provision doctor --home '/Volumes/Big Disk' --fix"),
        (ELSEWHERE, "To mend: provision doctor",
         "To mend: bin/provision doctor --home '/Volumes/Big Disk'"),
        (ELSEWHERE, "provision all --home ~/provision", "bin/provision all --home ~/provision"),
        (ELSEWHERE, "provision manifests show sdxl-turbo", "bin/provision manifests show sdxl-turbo"),
        (ELSEWHERE, "provision all --rehearse", "bin/provision all --rehearse"),
        (REHEARSED, "provision all --rehearse", "bin/provision all --home /tmp/r --rehearse"),
        (ELSEWHERE, "provision --help", "bin/provision --help"),
        (ELSEWHERE, "A provision of the law", "A provision of the law"),
        (ELSEWHERE, "see ~/provision all", "see ~/provision all"),
        (ELSEWHERE, "What `provision all` does", "What `provision all` does"),
        (REHEARSED, "provision all", "bin/provision all --home /tmp/r --rehearse"),
        (REHEARSED, "provision all --rehearse --home DIR", "bin/provision all --rehearse --home DIR"),
        (REHEARSED, "provision stop && provision launch",
         "bin/provision stop --home /tmp/r && bin/provision launch --home /tmp/r"),
        (REHEARSED, "provision stop, then: provision launch --home x",
         "bin/provision stop --home /tmp/r, then: bin/provision launch --home x"),
        (REHEARSED, "provision all   # not --rehearse",
         "bin/provision all --home /tmp/r --rehearse   # not --rehearse"),
        (USUAL_REHEARSAL, "provision all", "bin/provision all --rehearse"),
        (USUAL_REHEARSAL, "provision logs", "bin/provision logs --home ~/provision-rehearsal"),
    ],
)  # fmt: skip
def test_a_hint_can_be_pasted(call: Invocation, text: str, said: str) -> None:
    assert call.said(text) == said
    assert call.said(said) == said, "it stays as it is when it is said again"


def test_the_flags_are_those_of_the_commands() -> None:
    groups = getattr(command_line(), "commands")  # noqa: B009
    flags = {name: {flag for param in command.params for flag in param.opts} for name, command in groups.items()}
    assert {name for name, known in flags.items() if "--rehearse" in known} == REHEARSABLE
    assert {name for name, known in flags.items() if "--home" in known} == AT_HOME
    assert set(flags) == AT_HOME | HOMELESS


def test_the_program_as_it_was_called(tmp_path: Path) -> None:
    on_path = tmp_path / "provision"
    on_path.write_text("#!/bin/sh\n")
    on_path.chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert called_as({CALLED_AS: "bin/provision"}, "/x/__main__.py", ["python"]) == "bin/provision"
    assert called_as({CALLED_AS: "/My Apps/bin/provision"}, "", []) == "'/My Apps/bin/provision'"
    assert called_as({CALLED_AS: str(on_path), **path}, "", []) == "provision"
    assert called_as(path, str(on_path), []) == "provision"
    assert called_as({"PATH": ""}, "/v/bin/provision", []) == "/v/bin/provision"
    assert called_as({}, "/p/provision/__main__.py", ["python3", "-m", "provision"]) == "python3 -m provision"
    assert called_as({}, "/usr/bin/pytest", []) == "provision"
    assert called_as({}, "", []) == "provision"


def test_the_home_as_it_was_given() -> None:
    assert this_call({}).home == ""
    assert this_call({}, Path("/a b")).home == "'/a b'"
    assert this_call({}, rehearse=True) == Invocation(home=REHEARSAL_HOME, implied=True, rehearsal=True)
    assert this_call({"PROVISION_HOME": "/h"}, rehearse=True) == Invocation(rehearsal=True)
    assert this_call({}, Path("/h"), rehearse=True) == Invocation(home="/h", rehearsal=True)
