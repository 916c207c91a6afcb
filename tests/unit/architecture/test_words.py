"""Plain words: what stays out of every text that a person reads, each with the better word.

Texts are the string literals of the package (but docstrings, programs of their own and patterns that read what others
say), README and the pages in docs for people. What a text quotes in backticks is not ours.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.paths import CHECKOUT, PACKAGE

BETTER: tuple[tuple[str, str], ...] = (
    (r"mend(s|ed|ing)?", "fix"),
    (r"pictures?", "image"),
    (r"br(ing|ings|ought)", "download, install, contain"),
    (r"proven|proves?", "tested"),
    (r"(go|goes|going|gone|went) on(?! the\b)", "resume, continue"),
    (r"anew", "again"),
    (r"(?:was|were|is|are|been) ended|ended (it|by|from)", "stopped, exited, killed"),
    (r"seen to", "checked"),
    (r"of one build", "matching"),
    (r"(the|this|that|real|another|our|no) home(?! (folder|page|director))", "install folder"),
    (r"in (its|their|the) place|in place of", "instead"),
    (r"(is|are|was|were) taken|takes? over", "used"),
    (r"(is|are|was|were) asked for|asked (for|next|beforehand)|asks for|what (it )?asks", "wanted, requested"),
    (r"all the same|anyhow", "anyway"),
    (r"(is|are|be|was) told|tells? (of|that|what|which|the)|told by|told us", "says, reports, unknown"),
    (r"(is|are|was) none|is no (?!longer|such|more)\w+", "is not a ..."),
    (r"had again|be had|had beside", "available"),
    (r"passed over|is let|let in|lets? through", "skipped, allowed"),
    (r"nothing (is )?left( to do)?|nothing that is known of", "everything is up to date"),
    (r"no(body| one) is here|nobody|somebody|whoever|whatever|whichever", "someone, anyone; say who"),
    (r"a (person|stranger)('s)?|of ours|not known here|known here", "you, provision, unknown"),
    (r"stands? (between|in between|in it|there|for)", "is in the way"),
    (r"lies|lay|lie in", "is"),
    (r"beside", "next to, with"),
    (r"reckoned|judged|foretells?|wished|forthwith|hence", "estimated, checked, requested"),
    (r"at once|a moment ago", "immediately, just now"),
    (r"\w+\(s\)", "both forms, written out"),
    (r"so many|for less|of its own accord|as it stands", "say which"),
    (r"not here|is here|are here|is there already", "missing, installed, already exists"),
    (r"There is no (?:backend|precision|manifest|finding|folder|program|disk)", "Unknown ..., No such ..."),
    (r"did not make|we do not|that is our bug", "not made by provision"),
    (r"letters", "characters"),
    (r"what (came|comes|brings|moves|stands|was typed)", "name it"),
    (r"computes? (right|wrong)|computed right", "correctly, incorrectly"),
    (r"shall|may not be|cannot be used", "is not usable"),
    (r"unchanged since|verified on \d", "sha256 OK"),
    (r"cold|plain flags", "first, default"),
)  # fmt: skip
"""Pattern (whole words, any case) and what to say instead."""
ALLOWED = ("at once: `", "exits at once", "Somebody's")
"""Fragments in which one of them is the field's own word."""

OTHERS = ("rehearsal/", "environment/torch_probe.py", "comfyui/sandbox_program.py", "download/backends/xet_program.py")
"""Programs of their own, and the stand-ins that speak as the real ones do."""
DOCS = CHECKOUT / "docs"
PAGES = (CHECKOUT / "README.md", DOCS / "provision.1", *sorted(DOCS.glob("*.md")))
PATTERN = re.compile(r"\\[bwdsWSDZAn.]|\(\?|\[\^|\.\*")
"""What only a regular expression has: it reads what others say."""


class Text(NamedTuple):
    where: str
    says: str


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts of a source, but docstrings; an f-string as one, `{}` for what is filled in."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inner):
            yield node.lineno, node.value


def in_sources() -> Iterator[Text]:
    """Sentences and parts of them: literals with a space that are no regular expression."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(OTHERS):
            for line, says in literals(ast.parse(path.read_text(encoding="utf-8"))):
                if " " in says.strip() and not PATTERN.search(says):
                    yield Text(f"provision/{name}:{line}", says)


def in_scripts() -> Iterator[Text]:
    """What the shell scripts of the first start say: arguments of `say` and `fail`, and the lines of the short help."""
    for path in (CHECKOUT / "bin" / "provision", CHECKOUT / "install.sh"):
        for line, says in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"\s*(say |fail |\")|  [a-z]+  +[a-z]|[A-Z][a-z]+ .*\.$", says):
                yield Text(f"{path.relative_to(CHECKOUT)}:{line}", re.sub(r"\$\w+", "", says))


def in_manifests() -> Iterator[Text]:
    """The texts of the manifests, without their comments."""
    for path in sorted((CHECKOUT / "manifests").glob("*.toml")):
        for line, says in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield Text(
                f"manifests/{path.name}:{line}", " ".join(re.findall(r'"([^"]* [^"]*)"', says.partition(" #")[0]))
            )


def in_pages(path: Path) -> Iterator[Text]:
    """The lines of a page, but what stands in blocks of code."""
    inside = False
    for line, says in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        inside ^= says.startswith("```")
        if not inside and "<!--" not in says:
            yield Text(f"{path.relative_to(CHECKOUT)}:{line}", re.sub(r"\]\([^)]*\)", "]", says.replace("\\-", "-")))


def plain(says: str) -> str:
    for allowed in ALLOWED:
        says = says.replace(allowed, "")
    return re.sub(r"``.*?``|`[^`]*`", "", says)


def faults(texts: Iterator[Text]) -> list[str]:
    """Each text with a word that stays out, and what to say instead."""
    return [
        f"{text.where}: {found[0]!r} in {text.says.strip()[:100]!r}; better: {better}"
        for text in texts
        for pattern, better in BETTER
        if (found := re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", plain(text.says), re.IGNORECASE))
    ]


def test_the_program_speaks_plainly() -> None:
    assert faults(in_sources()) == []


def test_the_scripts_speak_plainly() -> None:
    assert faults(in_scripts()) == []


def test_the_manifests_speak_plainly() -> None:
    assert faults(in_manifests()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_speaks_plainly(page: Path) -> None:
    assert faults(in_pages(page)) == []


def test_a_private_word_is_found() -> None:
    said = [Text("a", "The home is mended."), Text("b", "Fixed."), Text("c", "run `mend`")]
    assert len(faults(iter(said))) == 2
