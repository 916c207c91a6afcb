"""Every error that the sources make, with its text and hint: what an example on a page is held to."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import provision
from provision.errors import ERRORS, ProvisionError

PACKAGE = Path(provision.__file__).parent
OTHERS = ("rehearsal/engine", "rehearsal/standin", "environment/torch_probe.py")
"""Programs of their own, which raise nothing of ours."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An error as a source makes it: the class's name, its sentence, its hint."""

    name: str
    message: str
    hint: str


def raised() -> list[Raised]:
    """Every error that the package makes, in the order of its files."""
    paths = [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith((*OTHERS, "errors"))
    ]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    everywhere = {name: value for tree in trees for name, value in constants(tree).items()}
    return list(dict.fromkeys(error for tree in trees for error in raised_in(tree, everywhere)))


def constants(tree: ast.AST) -> dict[str, ast.expr]:
    """What a module names."""
    found = [node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in found for target in node.targets if isinstance(target, ast.Name)}


def raised_in(tree: ast.AST, everywhere: Mapping[str, ast.expr]) -> Iterator[Raised]:
    """The errors that a source makes; a text that is chosen between two gives two of them.

    `everywhere`: constants of all modules, which this one may import.
    """
    classes: tuple[type[ProvisionError], ...] = (ProvisionError, *ERRORS)
    names = {error.__name__ for error in classes}
    named = {**everywhere, **constants(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in names and node.args:
            hints = [word.value for word in node.keywords if word.arg == "hint"]
            for message in texts(node.args[0]):
                for hint in hint_texts(hints[0], named) if hints else ():
                    yield Raised(_called(node), message, hint)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def texts(node: ast.expr) -> list[str]:
    """What an expression may say: what is filled in, in braces."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.IfExp):
        return [*texts(node.body), *texts(node.orelse)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(_piece(part) for part in node.values)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [left + right for left in texts(node.left) for right in texts(node.right)]
    return ["{" + _shown(node) + "}"]


def hint_texts(node: ast.expr, named: Mapping[str, ast.expr]) -> list[str]:
    """What a hint may say: a sentence, a command, or both; `named` are the constants of its module."""
    if isinstance(node, ast.Name) and isinstance(named.get(node.id), ast.Call):
        return hint_texts(named[node.id], named)
    if isinstance(node, ast.IfExp):
        return [*hint_texts(node.body, named), *hint_texts(node.orelse, named)]
    if not isinstance(node, ast.Call) or _called(node) not in ("Fix", "ours", "program"):
        return texts(node)
    if _called(node) == "Fix":
        says, *command = [*node.args, *(word.value for word in node.keywords)]
        return [" ".join([*texts(says), *(line for each in command for line in hint_texts(each, named))])]
    under = [each for word in node.keywords if isinstance(word.value, ast.Tuple) for each in word.value.elts]
    name = ["provision"] if _called(node) == "ours" else []
    given = [word.value if isinstance(word, ast.Starred) else word for word in node.args]
    words = [*(texts(word)[0] for word in under), *name, *(texts(word)[0] for word in given)]
    return [" ".join(f"'{word}'" if " " in word else word for word in words)]


def _piece(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "{" + _shown(getattr(part, "value", part)) + "}"


def _shown(node: ast.expr) -> str:
    """A filled-in value by its last names: `error.message` for `setback.error.message`."""
    if isinstance(node, ast.Name | ast.Attribute):
        return ".".join(ast.unparse(node).split(".")[-2:])
    inner = [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and not name.id[0].isupper()]
    return inner[-1] if inner else "..."
