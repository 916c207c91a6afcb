"""The table of findings, the code that yields them, and the page that documents them say the same."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator

import pytest

from docs.generate.doctor import LEFT_OUT, doctor_page
from provision.comfyui.error_explanations import SIGNATURES
from provision.comfyui.log_reader import LOG_SIGNATURES
from provision.core.catalogue import CATALOGUE, known, must_know
from provision.core.finding_kind import ANY_STEP, ONLY_IN_LOGS
from provision.errors import UsageError
from provision.steps.registry import STEPS
from tests.support.paths import CHECKOUT, PACKAGE

PAGE = CHECKOUT / "docs" / "doctor.md"
SOURCES = (*sorted((PACKAGE / "steps").rglob("*.py")), *sorted((PACKAGE / "download").rglob("*.py")),
           PACKAGE / "core" / "runner.py")  # fmt: skip
ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+|partials|quarantine|captive|proxy")
MAKERS = {"ok", "warn", "fixable", "blocked", "Trouble"}
NOT_IDS = {"git-lfs", "utf-8", "nvidia-smi", "apt-get", "wrong-copies", "cat-file"}
"""Names of programs and the like, where an id could stand."""


def literals(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may be: itself, or either side of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)
    elif isinstance(node, ast.Tuple):
        for element in node.elts:
            yield from literals(element)


def ids_in(tree: ast.AST) -> Iterator[str]:
    """What is given as an id: to a maker of findings, to a private helper, as `id`, from a function of ids."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in MAKERS or isinstance(node.func, ast.Call):
                yield from literals(node.args[0] if node.args else None)
            elif name.startswith(("_", "to_")):
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                    yield from literals(argument) if not isinstance(argument, ast.Tuple) else ()
        elif isinstance(node, ast.Assign):
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            yield from literals(node.value) if "id" in names else ()
        elif isinstance(node, ast.FunctionDef):
            if node.name.endswith("_id"):
                for inner in ast.walk(node):
                    yield from literals(inner.value) if isinstance(inner, ast.Return) else ()
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                yield from literals(default)


def ids_of_the_code() -> set[str]:
    found = {id for path in SOURCES for id in ids_in(ast.parse(path.read_text(encoding="utf-8")))}
    yielded = {id for id in found if ID.fullmatch(id)} - NOT_IDS
    log = ast.parse((PACKAGE / "comfyui" / "log_reader.py").read_text(encoding="utf-8"))
    called = {id for node in ast.walk(log) if isinstance(node, ast.Call) for arg in node.args for id in literals(arg)}
    return yielded | {row[0] for row in (*SIGNATURES, *LOG_SIGNATURES)} | (called & {entry.id for entry in CATALOGUE})


def test_every_finding_of_the_code_stands_in_the_catalogue_and_the_other_way_round() -> None:
    code, table = ids_of_the_code(), {entry.id for entry in CATALOGUE}
    assert code - table == set(), (
        "add them to provision/core/catalogue.py (or, if they are no findings, to NOT_IDS here)"
    )
    assert table - code == set(), "nothing yields them"


def test_ids_are_of_one_form_and_stand_once() -> None:
    ids = [entry.id for entry in CATALOGUE]
    assert len(ids) == len(set(ids))
    assert all(ID.fullmatch(id) for id in ids)
    assert {entry.step for entry in CATALOGUE} == {step.name for step in STEPS} | {ANY_STEP, ONLY_IN_LOGS}
    assert not {id for id, _ in LEFT_OUT} & set(ids)


def test_what_is_mended_says_how() -> None:
    for entry in CATALOGUE:
        assert all((entry.looks_at, entry.means, entry.remedy)), entry.id
        assert (entry.fix == "none") == (entry.remedy == "nothing to do"), entry.id


def test_the_page_is_made_from_the_catalogue() -> None:
    if os.environ.get("PROVISION_WRITE_DOCS"):
        PAGE.write_text(doctor_page(), encoding="utf-8")
    again = "make it again: PROVISION_WRITE_DOCS=1 bin/test tests/unit/core/test_catalogue.py"
    assert PAGE.is_file(), again
    assert PAGE.read_text(encoding="utf-8") == doctor_page(), again


def test_the_page_has_every_id_and_no_broken_row() -> None:
    page = doctor_page()
    for id in [*(entry.id for entry in CATALOGUE), *(id for id, _ in LEFT_OUT)]:
        assert f"`{id}`" in page
    rows = [
        re.sub(r"\\\|", "", line).count("|") for line in page.splitlines() if line.startswith("| `") and " | " in line
    ]
    assert set(rows) <= {3, 5}


@pytest.mark.parametrize(("typed", "meant"), [("ckpt-truncatd", "ckpt-truncated"), ("tv-missmatch", "tv-mismatch"),
                                              ("CKPT-CASE", "ckpt-case")])  # fmt: skip
def test_an_unknown_id_is_refused_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        must_know(["git-ready", typed])
    assert typed in refused.value.message
    assert refused.value.hint == f"provision doctor --only {meant}"


def test_an_id_like_no_other_points_to_the_list() -> None:
    with pytest.raises(UsageError) as refused:
        must_know(["?"])
    assert refused.value.hint == "provision doctor --list"
    assert known("?") is None
