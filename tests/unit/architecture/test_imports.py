"""Imports go down only, and starting the command line loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from provision.cli.app import command_line
from provision.cli.contents import COMMANDS
from provision.download.backends.registry import NAMES
from tests.support.paths import CHECKOUT, PACKAGE

ENGINE = PACKAGE / "rehearsal" / "engine"
"""A program of its own, run by another Python."""
STANDIN = PACKAGE / "rehearsal" / "standin"
"""Modules that are installed elsewhere, under other names."""

ROOMS = ("cli", "fleet", "steps", "download", "comfyui", "environment", "core", "system")
"""From the top down: a room imports from those below it."""
ASIDE = ("output", "rehearsal")
"""They stand on `core`; `cli` sees them, and `fleet` sees `output`."""
BELOW_ALL = ("errors", "command")
"""Modules that every room may use, the upper first."""
CHECKING = ("all", "plan", "check", "doctor", "rollback", "launch", "stop")
"""Commands that run steps, and load them only then."""
HEAVY = ("git", "requests", "huggingface_hub", "psutil", "PIL", "rich.live", "urllib3", "packaging", "jinja2")
PROGRAMS = (
    "start",
    "comfyui.sandbox_program",
    "download.backends.xet_program",
    "environment.torch_probe",
    "fleet.driver",
    "system.log_keeper",
)
"""Run by their path, in a Python of their own."""
BY_NAME = tuple(f"download.backends.{name.replace('-', '_')}" for name in NAMES)
"""Loaded when one of that name is asked for."""
TO_WORK = ("msgspec", "provision.core", "provision.environment", "provision.comfyui", "provision.steps")
"""Loaded by every command that works, and never for help, also not for that of one command."""


@dataclass(frozen=True, slots=True)
class Import:
    """One module of the package that imports another."""

    importer: str
    imported: str
    at_load: bool
    """Whether loading the importer loads it too: not within a function, not for types only."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name without `provision.`; programs of others left out."""
    paths = [path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(ENGINE)]
    paths = [path for path in paths if not path.is_relative_to(STANDIN)]
    names = {
        path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__") for path in paths
    }
    return {name: path for path, name in names.items() if name != "__init__"}


def imports_in(node: ast.AST, at_load: bool = True) -> Iterator[tuple[str, bool]]:
    """Names that a module imports, `a.b.c` for `from a.b import c`, and whether at load."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_load) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((f"{child.module}.{alias.name}", at_load) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from ((name, False) for name, _ in imports_in(child))
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_in(child, at_load and not inside)


@cache
def graph() -> list[Import]:
    """Every import of one module of the package by another."""
    found = modules()
    edges = []
    for importer, path in found.items():
        for name, at_load in imports_in(ast.parse(path.read_text(encoding="utf-8"))):
            inner = name.removeprefix("provision.")
            target = inner if inner in found else inner.rpartition(".")[0]
            if name.startswith("provision.") and target in found:
                edges.append(Import(importer, target, at_load))
    return edges


def may_import(importer: str, imported: str) -> bool:
    """Whether a module of one room may import a module of another."""
    above, below = importer.split(".")[0], imported.split(".")[0]
    if above in BELOW_ALL:
        return (above, below) == BELOW_ALL
    if below in BELOW_ALL or above in ("__main__", below):
        return True
    if above in ASIDE:
        return below in ("core", "system")
    if below in ASIDE:
        return above == "cli" or (above, below) == ("fleet", "output")
    return ROOMS.index(above) < ROOMS.index(below)


def test_every_file_lies_in_a_room() -> None:
    rooms = {*ROOMS, *ASIDE}
    outside = {name for name in modules() if name.split(".")[0] not in rooms}
    assert outside == {"__main__", "start", *BELOW_ALL}
    assert rooms == {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_imports_go_down_only() -> None:
    upwards = [f"{e.importer} imports {e.imported}" for e in graph() if not may_import(e.importer, e.imported)]
    assert upwards == []


def test_the_graph_is_seen() -> None:
    edges = {(edge.importer, edge.imported, edge.at_load) for edge in graph()}
    assert ("__main__", "cli.app", False) in edges
    assert ("cli.commands.all", "steps.registry", False) in edges
    assert ("core.runner", "core.step", True) in edges


def test_every_module_is_of_use_to_the_program() -> None:
    """What only tests or the docs use lies with them, and is not installed."""
    top = ["__main__", *PROGRAMS, *BY_NAME, *(f"cli.commands.{name}" for name in COMMANDS)]
    reached, waiting = set(top), [*top]
    while waiting:
        importer = waiting.pop()
        below = {edge.imported for edge in graph() if edge.importer == importer} - reached
        reached |= below
        waiting += below
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert modules().keys() - reached - packages == set()


def test_runner_and_steps_do_not_know_each_other() -> None:
    assert [edge for edge in graph() if edge.importer == "core.runner" and edge.imported.startswith("steps")] == []
    assert [edge for edge in graph() if edge.importer.startswith("steps") and edge.imported == "core.runner"] == []


def test_steps_and_the_rehearsal_do_not_know_each_other() -> None:
    for one, other in (("steps", "rehearsal"), ("rehearsal", "steps"), ("rehearsal", "core.runner")):
        assert [edge for edge in graph() if edge.importer.startswith(one) and edge.imported.startswith(other)] == []


@pytest.mark.parametrize(
    "module",
    ["cli.app", "cli.command", "cli.server", "cli.session", *(f"cli.commands.{name}" for name in CHECKING)],
)
def test_the_top_imports_steps_and_the_rehearsal_only_where_it_uses_them(module: str) -> None:
    below = ("steps", "rehearsal", "download")
    assert [e for e in graph() if e.importer == module and e.at_load and e.imported.startswith(below)] == []


def test_no_module_loads_itself_in_a_circle() -> None:
    loads: dict[str, set[str]] = {name: set() for name in modules()}
    for edge in graph():
        if edge.at_load:
            loads[edge.importer].add(edge.imported)
    while leaves := [name for name, below in loads.items() if not below]:
        for leaf in leaves:
            del loads[leaf]
        for below in loads.values():
            below.difference_update(leaves)
    assert loads == {}, "what is left imports itself by way of others"


def test_only_the_command_line_knows_typer_and_nobody_names_a_drawer_for_odds_and_ends() -> None:
    for name, path in modules().items():
        imported = [module for module, _ in imports_in(ast.parse(path.read_text(encoding="utf-8")))]
        if name.split(".")[0] != "cli":
            assert not [module for module in imported if module.split(".")[0] in ("typer", "click")], name
        assert not {"utils", "helpers", "manager", "common"} & set(name.split("."))


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import provision.cli.app", (*HEAVY, *TO_WORK)),
        ("from provision.cli import app, contents\nfor name in contents.COMMANDS: app.load(name)", (*HEAVY, *TO_WORK)),
    ],
)
def test_starting_loads_nothing_heavy(statement: str, unwanted: tuple[str, ...]) -> None:
    script = f"import sys\n{statement}\nprint(*[name for name in {unwanted!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_a_command_loads_no_pydantic() -> None:
    script = (
        "import sys\nsys.argv = ['provision', 'manifests']\nimport provision.cli.app\n"
        "try:\n    provision.cli.app.main()\nexcept SystemExit:\n    pass\n"
        "print('pydantic' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert ran.stderr.split() == ["False"]


def test_help_loads_no_command() -> None:
    script = (
        "import sys\nsys.argv = ['provision', '--help']\nimport provision.cli.app\n"
        "try:\n    provision.cli.app.main()\nexcept SystemExit:\n    pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('provision')), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert ran.stderr.split() == [
        "provision",
        "provision.cli",
        "provision.cli.app",
        "provision.cli.contents",
        "provision.cli.exit_codes",
        "provision.command",
        "provision.errors",
        "provision.output",
        "provision.output.pulse",
        "provision.output.safe_streams",
        "provision.system",
        "provision.system.visible",
    ]


@pytest.mark.parametrize("typed", ["provision d", "provision "])
def test_completing_a_command_loads_none(typed: str) -> None:
    script = (
        "import os, sys\nos.environ |= {'_PROVISION_COMPLETE': 'complete_bash', 'COMP_CWORD': '1', "
        f"'COMP_WORDS': {typed!r}}}\nimport provision.cli.app\n"
        "try:\n    provision.cli.app.main()\nexcept SystemExit:\n    pass\n"
        "print(*(name for name in sys.modules if name.startswith('provision.cli.')), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert {"download", "doctor"} <= set(ran.stdout.split())
    assert set(ran.stderr.split()) == {"provision.cli.app", "provision.cli.contents", "provision.cli.exit_codes"}


def test_each_command_is_a_file_with_its_sentence() -> None:
    files = {path.stem for path in (PACKAGE / "cli" / "commands").glob("*.py")}
    assert set(COMMANDS) <= files
    assert {name: command.help for name, command in command_line().commands.items()} == COMMANDS
