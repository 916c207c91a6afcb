"""One result, rendered once: for people by its parts, for programs as one report."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from provision.command import Fix, ours
from provision.core.events import Note
from provision.core.step import Report, StepReport
from provision.errors import UsageError
from provision.output.as_json import Run
from provision.output.console import Console
from provision.output.hints import Invocation
from provision.output.json_console import JsonConsole
from provision.output.result import Pairs, Result, Words, answer, looked, ran, why
from tests.support.findings import warn
from tests.support.paths import PACKAGE

REPORT = Report((StepReport("models", (warn("ckpt-old", "x", "It is old."),), True, 0.5),), 0.5)


@dataclass
class Facts:
    path: str


WRONG = why("gone", Fix("It is gone.", ours("doctor")))
ANSWER = answer(Facts("/x"), "/x", Words(Fix("To fix it:", ours("doctor"))), Pairs([("name", "value")]), error=WRONG)


def test_people_get_the_parts_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.invocation = Invocation(("bin/provision",), "/h")
    console.answer(ANSWER)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["/x", "To fix it: bin/provision doctor --home /h", "name  value"]


def test_programs_get_one_report(capsys: pytest.CaptureFixture[str]) -> None:
    JsonConsole(Run("stop", "1234", "a-mac")).answer(ANSWER)
    report = json.loads(capsys.readouterr().out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", report.pop("at"))
    assert report.pop("seconds") < 60
    error = {"code": "gone", "message": "It is gone.", "hint": "provision doctor", "argv": ["provision", "doctor"]}
    assert report == {
        "schema": 2,
        "type": "report",
        "run": "1234",
        "host": "a-mac",
        "command": "stop",
        "ok": False,
        "error": error,
        "changed": False,
        "steps": [],
        "path": "/x",
    }


def test_nothing_comes_after_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonConsole() as console:
        console.answer(answer(Facts("/x")))
        console.emit(Note(says="too late"))
        console.error(UsageError("too late", hint=ours("all")))
    assert [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()] == ["report"]


@pytest.mark.parametrize("made", [ran, looked])
def test_the_report_of_steps_comes_with_facts(made: Callable[..., Result], capsys: pytest.CaptureFixture[str]) -> None:
    result = made(REPORT, Facts("/x"), "Done.")
    assert (result.ok, result.report) == (True, REPORT)
    JsonConsole().answer(result)
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["changed"], report["path"]) == (True, True, "/x")
    [step] = report["steps"]
    assert (step["name"], step["fixed"], step["findings"][0]["message"]) == ("models", [], "It is old.")
    Console().answer(result)
    out = capsys.readouterr().out
    assert ("It is old." in out) is (made is looked), "a run has said it where the step ended"
    assert out.splitlines()[-1] == "Done."


def test_a_command_asks_no_console_of_what_kind_it_is_and_writes_no_answer_by_itself() -> None:
    used = {
        node.attr
        for path in (PACKAGE / "cli" / "commands").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "at.console"
    }
    assert used == {"agrees_to", "invocation", "page", "reckon_with", "state", "tell"}
