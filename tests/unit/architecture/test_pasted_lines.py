"""Every line of the pages and of the help that a person may paste: a shell takes it, and so does our parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provision.cli.app import command_line
from provision.output.hints import PROGRAMS
from tests.support.parsing import refused
from tests.support.pasting import SHELLS, paste
from tests.support.paths import CHECKOUT

PAGES = sorted(
    path
    for path in (*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("packaging/**/*.md"))
    if path.name != "CHANGELOG.md"
)
OURS = {*PROGRAMS, *(f"bin/{name}" for name in PROGRAMS)}
BUILTINS = {"export", "unset"}
OTHERS = {
    *BUILTINS,
    *("bin/test", "brew", "curl", "df", "env", "git", "grep", "man", "pip", "pipx", "python", "python3"),
    *("perl", "rm", "sh", "softwareupdate", "sudo", "uv", "uvx", "xargs", "xattr"),
    "xcode-select",
}
FENCED = re.compile(r"^ *```(?:sh|bash|zsh|shell)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
SYNOPSIS = re.compile(r"\.\.\.|\{|\[OPTIONS\]")
"""What shows the form of a command, and is no line to paste."""


@dataclass(frozen=True, slots=True)
class Line:
    where: str
    text: str
    is_whole: bool = True
    """Not a mention of a command within a sentence, which may leave out what the command wants."""


def quoted(where: str, text: str) -> Iterator[Line]:
    """The code in a text that begins with a program's name and has words after it."""
    for code in QUOTED.findall(text):
        words = code.split()
        if len(words) > 1 and words[0] in OURS | OTHERS and not SYNOPSIS.search(code):
            yield Line(where, code, is_whole=False)


def lines_of(page: Path) -> Iterator[Line]:
    text = page.read_text(encoding="utf-8")
    where = str(page.relative_to(CHECKOUT))
    for block in FENCED.findall(text):
        yield from (Line(where, line) for line in block.replace("\\\n", "").splitlines() if line.strip())
    yield from quoted(where, FENCE.sub("", text))


def lines_of_help(command: Any, name: str = "provision") -> Iterator[Line]:
    """Of a command, its options and its commands: quoted code, and lines of examples."""
    texts = [command.help, command.epilog, *(getattr(param, "help", None) for param in command.params)]
    for text in filter(None, texts):
        yield from quoted(f"{name} --help", text)
        for line in map(str.strip, text.splitlines()):
            if line.split()[:1] == ["provision"]:
                yield Line(f"{name} --help", line)
    for inner in getattr(command, "commands", {}).values():
        yield from lines_of_help(inner, f"{name} {inner.name}")


LINES = sorted({*(line for page in PAGES for line in lines_of(page)), *lines_of_help(command_line())}, key=str)


def test_the_lines_are_seen() -> None:
    assert Line("README.md", "provision all") in LINES
    assert Line("docs/install.md", "bin/provision all") in LINES
    assert len(LINES) > 30


def faults(line: Line, calls: list[list[str]]) -> Iterator[str]:
    """What is wrong with what a line comes to."""
    if not calls and line.text.split()[0] not in BUILTINS:
        yield f"{line.where}: {line.text!r} is refused by the shell"
    for call in calls:
        if call[0] not in OURS | OTHERS or any(word.startswith("#") for word in call):
            yield f"{line.where}: {line.text!r} calls {call}"
        ours = next((place for place, word in enumerate(call) if word in OURS), None)
        if ours is None or call[0] not in OURS | {"env", "uvx"}:
            continue
        words = call[ours + 1 :]
        why = refused(words)
        if why and not (why.startswith("Missing argument") and not line.is_whole):
            yield f"{line.where}: {line.text!r}: {why}"


@pytest.mark.parametrize("shell", SHELLS)
def test_each_can_be_pasted(shell: str, tmp_path: Path) -> None:
    """No comment behind a command, no word that a shell takes for another thing, no command that there is not."""
    pasted = paste(shell, [line.text for line in LINES], tmp_path)
    assert [fault for line, calls in zip(LINES, pasted, strict=True) for fault in faults(line, calls)] == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("provision all    # from whatever is here", "unexpected extra argument"),
        ("provision al", "no command"),
        ("provision all --no-such-flag", "No such option"),
        ("provision bench --count soon", "soon"),
        ("provision all --home", "requires an argument"),
    ],
)
def test_what_cannot_be_pasted_is_found(line: str, says: str, tmp_path: Path) -> None:
    ((call,),) = paste("zsh", [line], tmp_path)
    assert says in refused(call[1:])


@pytest.mark.parametrize("line", ["provision generate 'a fox", "provision download me/it[/file]"])
@pytest.mark.parametrize("next_one", ["provision all", "provision stop"])
def test_what_a_shell_refuses_is_found(line: str, next_one: str, tmp_path: Path) -> None:
    assert paste("zsh", [line, next_one], tmp_path)[0] == []
