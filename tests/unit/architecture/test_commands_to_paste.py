"""Every command that the sources propose: it parses in a shell, and names a command and flags that there are."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.cli.app import command_line
from provision.comfyui.error_signatures import SIGNATURES
from provision.comfyui.log_signatures import LOG_SIGNATURES
from provision.command import Command
from provision.environment.packages import CAUSES
from provision.output.hints import HERE, Invocation
from tests.support.parsing import refused
from tests.support.pasting import SHELLS, paste
from tests.support.paths import PACKAGE

FILLED = "it's $HOME; <b> `x` \\ * [y] # !z"
"""What stands for a word that is filled in when it happens: all that a shell could take otherwise."""
BUILTINS = {"cd", "exec", "export", "kill", "unset"}
CALLS = (
    HERE,
    Invocation(("/My Apps/bin/provision",), "/Volumes/Big Disk"),
    Invocation(("bin/provision",), "~/provision-rehearsal", implied=True, rehearsal=True),
    Invocation(install=("--comfyui", "/opt/Comfy UI")),
)


def literal(node: ast.expr) -> str:
    """A word as it is written; what is filled in is `FILLED`."""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else FILLED


def proposed() -> Iterator[tuple[str, Command]]:
    """Every command in the sources, with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ("ours", "program") and node.args:
                words = tuple(map(literal, node.args))  # of a star, which may begin with the command, one word
                where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                yield where, Command(words, ours=name == "ours")


PROPOSED = list(proposed())
OURS = [(where, command.argv) for where, command in PROPOSED if command.ours and command.argv[0] != FILLED]


def test_the_commands_are_seen() -> None:
    assert len(OURS) > 100
    assert ("core/runner.py", ("doctor", "--json")) in [(where.partition(":")[0], words) for where, words in OURS]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_each_can_be_pasted_into_a_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    lines = [call.text(command) for call in CALLS for _, command in PROPOSED]
    ran = subprocess.run([shell, "-n"], input="\n".join(lines), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_is_typed_into_gives_each_word_back(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    calls = (HERE, Invocation(home="/Volumes/Big Disk!"), Invocation(("bin/provision",), "~/provision-rehearsal"))
    pairs = [(call, command) for call in calls for _, command in PROPOSED if command.argv[0] not in BUILTINS]
    pasted = paste(shell, [call.text(command) for call, command in pairs], tmp_path)
    assert pasted == [[call.argv(command)] for call, command in pairs]


def test_a_shell_finds_what_does_not_parse() -> None:
    ran = subprocess.run(["bash", "-n"], input=f"provision {FILLED}", capture_output=True, text=True, check=False)
    assert ran.returncode != 0


def test_our_parser_takes_what_is_written_out() -> None:
    whole = [(where, words) for where, words in OURS if not any(FILLED in word for word in words)]
    assert [(where, why) for where, words in whole if (why := refused(words))] == []


def unknown(words: tuple[str, ...]) -> list[str]:
    """What of the words of a command of ours is no command and no flag of it."""
    command: Any = command_line()
    rest = list(words)
    while (commands := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        if rest[0] not in commands:
            return rest[:1]
        command = commands[rest.pop(0)]
    flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
    return [word for word in rest if word.startswith("-") and word.partition("=")[0] not in flags]


@pytest.mark.parametrize(("where", "words"), OURS, ids=[f"{where} {words[0]}" for where, words in OURS])
def test_each_of_ours_names_a_command_and_flags_that_there_are(where: str, words: tuple[str, ...]) -> None:
    assert unknown(words) == [], where


def test_what_there_is_not_is_found() -> None:
    assert unknown(("al",)) == ["al"]
    assert unknown(("all", "--fix", "--yes")) == ["--fix"]
    assert unknown(("manifests", "shw")) == ["shw"]
    assert unknown(("doctor", "--only", "ckpt-truncated")) == []


def test_what_a_log_or_uv_says_leads_to_a_sentence_or_a_command() -> None:
    for hint in (*(row.hint for row in (*SIGNATURES, *LOG_SIGNATURES)), *(row[-1] for row in CAUSES)):
        assert HERE.text(hint).strip(), hint
