"""The registry of errors is true: every code once, every class raised somewhere, every error with a hint."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from provision import errors
from provision.command import Fix, ours
from provision.errors import (
    ERRORS,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_UNSATISFIED,
    EXIT_USAGE,
    Interrupted,
    ProvisionError,
)
from tests.support.paths import PACKAGE

PROGRAMS = tuple(PACKAGE / name for name in ("rehearsal/engine", "rehearsal/standin", "environment/torch_probe.py"))
"""Programs of their own, run by another Python: their log is their output."""
SOURCES = sorted(
    path for path in PACKAGE.rglob("*.py") if not any(path.is_relative_to(program) for program in PROGRAMS)
)
ALL: tuple[type[ProvisionError], ...] = (ProvisionError, *ERRORS)
NAMES = {error.__name__ for error in ALL}


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def called(node: ast.AST) -> str:
    """The last name of what a call calls: `run` for `machine.run(...)`."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def where(path: Path, node: ast.AST) -> str:
    return f"{relative(path)}:{getattr(node, 'lineno', '?')}"


# -- the registry ---------------------------------------------------------------------------------------


def test_no_code_stands_twice() -> None:
    codes = [error.code for error in ALL]
    assert len(codes) == len(set(codes))
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_every_error_is_registered() -> None:
    defined = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ProvisionError)
    }
    assert defined == set(ALL)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_registered_error_is_raised_somewhere(error: type[ProvisionError]) -> None:
    made = [
        where(path, node)
        for path in SOURCES
        if path.name != "errors.py"
        for node in nodes(path)
        if called(node) == error.__name__
    ]
    assert made, f"nothing makes a {error.__name__}"


def test_exit_codes_are_those_of_the_design() -> None:
    assert {error.exit_code for error in ERRORS} == {EXIT_UNSATISFIED, EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED}
    assert Interrupted.exit_code == EXIT_INTERRUPTED == 130
    assert [error.code for error in ERRORS if error.exit_code == EXIT_USAGE] == ["usage", "manifest", "lock", "bundle"]


def test_an_error_keeps_its_sentence_and_its_hint() -> None:
    error = ProvisionError("It broke.", hint=ours("all"))
    assert (str(error), error.message, error.hint) == ("It broke.", "It broke.", Fix("", ours("all")))
    assert ProvisionError("It broke.", hint=Fix("Wait.")).hint == Fix("Wait.")


# -- how errors are raised ------------------------------------------------------------------------------


def test_every_error_is_made_with_a_hint_that_says_something() -> None:
    without = []
    for path in SOURCES:
        for node in nodes(path):
            if isinstance(node, ast.Call) and called(node) in NAMES:
                hints = [word.value for word in node.keywords if word.arg == "hint"]
                if not hints or ast.unparse(hints[0]) in ("Fix()", "Fix('')"):
                    without.append(where(path, node))
    assert without == []


def test_an_error_is_never_raised_bare_of_its_words() -> None:
    bare = [
        where(path, node)
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id in NAMES
    ]
    assert bare == []


def swallows_everything(node: ast.AST) -> bool:
    """Whether this handler takes any error whatever and does not raise it again."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"BaseException"}
    end = node.body[-1]
    raises_again = isinstance(end, ast.Raise) and end.exc is None
    return bool({"Exception", "BaseException"} & names) and not raises_again


def test_one_place_turns_everything_into_words() -> None:
    """And a look, where a check that crashes must not hide what the others find; and one Mac of a fleet."""
    swallowing = {relative(path) for path in SOURCES for node in nodes(path) if swallows_everything(node)}
    assert swallowing == {"cli/exit_codes.py", "core/runner.py", "fleet/driver.py"}


# -- what no part of the package may do -----------------------------------------------------------------

FORBIDDEN = {
    "print": {"output/console.py", "output/live_console.py"},
    "chdir": set[str](),
    "putenv": set[str](),
    "_exit": {"cli/exit_codes.py", "__main__.py"},
    "system": set[str](),
    "eval": set[str](),
    "exec": set[str](),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_nothing_calls_what_is_forbidden(name: str) -> None:
    calls = [
        where(path, node)
        for path in SOURCES
        if relative(path) not in FORBIDDEN[name]
        for node in nodes(path)
        if called(node) == name and not (name == "system" and "platform" in ast.dump(node))
    ]
    assert calls == []


def test_only_the_command_line_ends_the_process() -> None:
    exits = {
        relative(path)
        for path in SOURCES
        for node in nodes(path)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "os._exit", "exit", "quit"))
        or (isinstance(node, ast.Raise) and "SystemExit" in ast.dump(node))
    }
    assert exits == {"cli/app.py", "cli/exit_codes.py", "comfyui/sandbox_program.py"}  # the last is a program


def test_nothing_runs_through_a_shell_or_changes_our_own_environment() -> None:
    found = []
    for path in SOURCES:
        for node in nodes(path):
            words = node.keywords if isinstance(node, ast.Call) and called(node) != "get_completion_script" else []
            if any(word.arg == "shell" for word in words):
                found.append(where(path, node))
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
            if any(ast.unparse(target).startswith("os.environ") for target in targets):
                found.append(where(path, node))
    assert found == []
