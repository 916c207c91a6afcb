"""The table of findings, the code that yields them, and the page that documents them say the same."""

from __future__ import annotations

import ast
import os
import re
from typing import get_args

import pytest

from docs.generate.doctor import LEFT_OUT, doctor_page
from provision.cli.commands.plan_script import WRITERS
from provision.comfyui.error_signatures import SIGNATURES
from provision.comfyui.log_signatures import LOG_SIGNATURES
from provision.core.finding import ANY_STEP, ONLY_IN_LOGS, Kind
from provision.errors import UsageError
from provision.steps.catalogue import CATALOGUE, ROOMS, kind_of, known, must_know
from provision.steps.registry import STEPS
from provision.system.parsers import GitTrouble
from tests.support.hints import said
from tests.support.paths import CHECKOUT, PACKAGE

PAGE = CHECKOUT / "docs" / "doctor.md"
ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+|partials|quarantine|captive|proxy")
SIGNS = {row.id for row in (*SIGNATURES, *LOG_SIGNATURES)} | {"node-error", "engine-error", "unknown-error"}
"""What a log's words can name."""


def rows() -> dict[Kind, str]:
    """Each kind with the name by which the code yields it."""
    return {kind: name for room in ROOMS for name, kind in vars(room).items() if isinstance(kind, Kind)}


def names_in_use() -> set[str]:
    """What is taken from the modules of kinds, anywhere in the package."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py") if path.name != "kinds.py"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    taken = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    return taken | {name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}


def test_every_row_is_used() -> None:
    """By its name where a check yields it, by its id where a log's words do."""
    named = names_in_use()
    assert [kind.id for kind, name in rows().items() if name not in named and kind.id not in SIGNS] == []


def test_a_row_has_the_name_of_its_id_and_stands_once() -> None:
    assert all(name == kind.id.upper().replace("-", "_") for kind, name in rows().items())
    assert set(CATALOGUE) == rows().keys()


def test_every_sign_of_a_log_has_a_row() -> None:
    assert {id for id in SIGNS if known(id) is None} == set()
    assert set(get_args(GitTrouble)) <= {kind.id for kind in CATALOGUE}


def test_every_room_with_rows_is_collected() -> None:
    modules = {path.relative_to(CHECKOUT).with_suffix("").as_posix() for path in PACKAGE.rglob("kinds.py")}
    assert {room.__name__.replace(".", "/") for room in ROOMS} == modules


def test_a_script_writes_for_findings_that_there_are() -> None:
    assert {id for id in WRITERS if known(id) is None} == set()


def test_a_kind_that_no_row_knows_is_an_error() -> None:
    with pytest.raises(KeyError):
        kind_of("no-such-finding")


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


def test_the_page_has_every_fault_once_and_nothing_that_is_no_fault() -> None:
    rows = [
        re.sub(r"\\\|", "", line) for line in doctor_page().splitlines() if re.search(r" \| `[a-z0-9-]+` \|$", line)
    ]
    shown = [re.findall(r"`([^`]+)`", row)[-1] for row in rows]
    assert sorted(shown) == sorted(kind.id for kind in CATALOGUE if kind.severity != "informs")
    assert {row.count("|") for row in rows} == {5}, "no row is broken"


def test_the_page_begins_with_what_is_seen() -> None:
    """Error messages first, in the order of the alphabet."""
    messages = re.findall(
        r"^\| `+([^`]+)`", doctor_page().partition("## Error messages")[2].partition("##")[0], re.MULTILINE
    )
    assert len(messages) > 50
    assert [message.casefold() for message in messages] == sorted(message.casefold() for message in messages)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("ckpt-truncatd", "ckpt-truncated"), ("tv-missmatch", "tv-mismatch"), ("CKPT-CASE", "ckpt-case")],
)
def test_an_unknown_id_is_refused_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        must_know(["git-ready", typed])
    assert typed in refused.value.message
    assert said(refused.value.hint) == f"provision doctor --only {meant}"


def test_an_id_like_no_other_points_to_the_list() -> None:
    with pytest.raises(UsageError) as refused:
        must_know(["?"])
    assert said(refused.value.hint) == "provision doctor --list"
    assert known("?") is None
