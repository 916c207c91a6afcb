"""No program is run without a limit: one door starts them, and whatever else does says for how long."""

from __future__ import annotations

import ast

from tests.unit.architecture.test_errors import PACKAGE, PROGRAMS, called, nodes, relative

STARTS = frozenset({"Popen", "run", "call", "check_call", "check_output", "getoutput", "system", "popen"})
DOOR = {
    "system/local_machine.py": "the one door: `Machine.run`, which hears a program out within its limits",
    "system/child_process.py": "`spawn`, for a server that outlives us",
    "fleet/control.py": "the driver of a fleet, which ends when its input is closed",
    "rehearsal/git_http.py": "the rehearsal's git server, which ends its own",
}
SOURCES = [path for path in PACKAGE.rglob("*.py") if not any(path.is_relative_to(each) for each in PROGRAMS)]


def starts_a_program(node: ast.AST) -> bool:
    of = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
    return isinstance(of, ast.Name) and of.id in ("subprocess", "os") and called(node) in STARTS


def test_programs_are_started_by_one_door_or_with_a_limit() -> None:
    started = {
        (relative(path), called(node) == "run" and any(word.arg == "timeout" for word in node.keywords))
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Call) and starts_a_program(node)
    }
    assert {path for path, limited in started if not limited} == DOOR.keys()


def test_nobody_waits_for_a_program_without_end() -> None:
    endless = [
        f"{relative(path)}:{node.lineno}"
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Call)
        for given in node.keywords
        if given.arg == "timeout_s" and isinstance(given.value, ast.Constant) and given.value.value is None
    ]
    assert endless == []
