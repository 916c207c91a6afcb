"""One result, rendered once: for people by its parts, for programs as one report."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable

import pytest

from provision.command import Fix, ours
from provision.core.step import Report, StepReport
from provision.output.console import Console
from provision.output.hints import Invocation
from provision.output.json_console import JsonConsole
from provision.output.result import Pairs, Result, Words, answer, looked, ran
from tests.support.findings import warn
from tests.support.paths import PACKAGE

REPORT = Report((StepReport("models", (warn("ckpt-old", "x", "It is old."),), True, 0.5),), 0.5)
ANSWER = answer({"path": "/x"}, "/x", Words(Fix("To fix it:", ours("doctor"))), Pairs([("name", "value")]), ok=False)


def test_people_get_the_parts_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.invocation = Invocation(("bin/provision",), "/h")
    console.answer(ANSWER)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["/x", "To fix it: bin/provision doctor --home /h", "name  value"]


def test_programs_get_one_report(capsys: pytest.CaptureFixture[str]) -> None:
    JsonConsole().answer(ANSWER)
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "type": "report",
        "ok": False,
        "changed": False,
        "steps": [],
        "path": "/x",
    }


@pytest.mark.parametrize("made", [ran, looked])
def test_the_report_of_steps_comes_with_facts(made: Callable[..., Result], capsys: pytest.CaptureFixture[str]) -> None:
    result = made(REPORT, {"command": "all"}, "Done.")
    assert (result.ok, result.report) == (True, REPORT)
    JsonConsole().answer(result)
    assert json.loads(capsys.readouterr().out) == {**REPORT.to_json(), "command": "all"}
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
    assert used == {"agrees_to", "invocation", "line", "reckon_with", "state", "tell"}
