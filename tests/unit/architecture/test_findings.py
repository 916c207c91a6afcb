"""What steers a run stands in fields of a finding: its facts are written and shown, and nothing goes by them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import get_args

from provision.command import Fix, program
from provision.core.finding import Finding, Kind, Verdict
from provision.output.hints import HERE
from provision.steps.catalogue import CATALOGUE
from provision.system.parsers import GitTrouble
from tests.support.paths import PACKAGE

SHOWN_BY = {
    "core/finding.py": "writes them as JSON",
    "cli/commands/run_page.py": "shows the machine's on the page",
    "output/report/run_record.py": "keeps them for the page",
    "cli/look.py": "writes a crash's traceback",
}
OF_OTHERS = {"core/image.py", "steps/first_image/step.py"}
"""Where `facts` are the measures of a picture."""


def reads_of_facts() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "facts" and name not in OF_OTHERS:
                yield name


def test_facts_are_only_shown() -> None:
    assert set(reads_of_facts()) == SHOWN_BY.keys()


def test_every_field_of_a_finding_is_in_its_json() -> None:
    kind = Kind("an-id", "a step", "warns", "hint", "", "", "")
    finding = kind.warn("x", "It is so.", fix=Fix("Do.", program("do")), asks="Do it?", facts={"seen": 1})
    written = json.loads(json.dumps(finding, default=HERE.plain))
    held = set(Finding.__dataclass_fields__) - {"kind", "detail", "says"}
    assert written.keys() == {*held, "id", "message"}, "how it is shown is no data"
    assert (written["id"], written["verdict"], written["facts"]) == ("an-id", str(Verdict.WARN), {"seen": 1})
    assert written["fix"] == {"message": "Do.", "argv": ["do"]}
    assert written["consent"] == {"question": "Do it?", "agreement": "an-id"}
    assert written["cost"] == {"download_bytes": 0, "disk_bytes": 0}


def test_a_step_names_a_kind_by_its_row_and_not_by_its_id() -> None:
    ids, said = {kind.id for kind in CATALOGUE}, set[str]()
    for path in (PACKAGE / "steps").rglob("*.py"):
        if path.name != "kinds.py":
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            said |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert said & ids == set(get_args(GitTrouble)), "a parser's words are ids already"
