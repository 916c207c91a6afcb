"""The pages on commands and errors and the man page are made from the code; what a shell completes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate.errors import PARAGRAPHS, Paragraph, errors_page
from docs.generate.json_page import json_page, schema_text
from docs.generate.manual import commands_page, entries, man_page
from docs.generate.networks import networks_page
from provision.cli.app import command_line
from provision.core.manifest import manifest_names
from provision.errors import ERRORS, ProvisionError
from provision.steps.catalogue import CATALOGUE
from tests.support.paths import CHECKOUT
from tests.support.raised_errors import raised

PAGES = {
    "docs/commands.md": commands_page(command_line()),
    "docs/provision.1": man_page(command_line()),
    "docs/errors.md": errors_page(),
    "docs/networks.md": networks_page(),
    "docs/json.md": json_page(),
    "docs/schema/provision-2.schema.json": schema_text(),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_made_from_the_code(name: str) -> None:
    if os.environ.get("PROVISION_WRITE_DOCS"):
        (CHECKOUT / name).write_text(PAGES[name], encoding="utf-8")
    again = "make it again: PROVISION_WRITE_DOCS=1 bin/test tests/unit/architecture/test_manual.py"
    assert (CHECKOUT / name).is_file(), again
    assert (CHECKOUT / name).read_text(encoding="utf-8") == PAGES[name], again


def test_every_command_and_flag_is_in_both() -> None:
    found = list(entries(command_line()))
    assert {"provision all", "provision completion", "provision manifests show"} <= {entry.name for entry in found}
    man = PAGES["docs/provision.1"].replace("\\-", "-")
    for entry in found[1:]:
        assert entry.about, f"{entry.name} says nothing of itself"
        assert f"## {entry.name}\n" in PAGES["docs/commands.md"]
        for flags, says in entry.parameters:
            assert says or flags.isupper(), f"{entry.name} {flags} says nothing of itself"
            assert f".B {flags}" in man


def test_every_link_of_the_commands_leads_somewhere() -> None:
    page = PAGES["docs/commands.md"]
    heads = {line[3:].replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= heads


@pytest.mark.skipif(shutil.which("man") is None, reason="there is no man on this machine")
def test_man_shows_the_page() -> None:
    page = str(CHECKOUT / "docs" / "provision.1")
    environ = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "PAGER": "cat"}
    shown = subprocess.run(["man", page], capture_output=True, text=True, env=environ, check=True)
    assert shown.stderr == ""
    text = re.sub(r".\x08", "", shown.stdout)
    assert re.search(r"provision doctor \[OPTIONS\] .*LOGFILE", text)
    assert "--limit-rate RATE" in text


def template(text: str) -> re.Pattern[str]:
    """What a text with filled-in values in braces may come out as."""
    parts = re.split(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", " ".join(text.split()))
    return re.compile(".*?".join(map(re.escape, parts)))


def test_every_error_has_a_hint() -> None:
    found = raised()
    assert {each.name for each in found} == {error.__name__ for error in ERRORS} | {"ProvisionError"}
    assert all(each.message.strip() and each.hint.strip() for each in found)


@pytest.mark.parametrize("each", PARAGRAPHS, ids=lambda each: each.error.code)
def test_an_example_is_what_the_code_says(each: Paragraph) -> None:
    """Message and hint of one place that raises the error, whose own words are at least a quarter of the message."""
    message, hint = " ".join(each.message.split()), " ".join(each.hint.split())
    own = [
        made
        for made in raised()
        if made.name == each.error.__name__
        and template(made.message).fullmatch(message)
        and template(made.hint).fullmatch(hint)
    ]
    assert any(4 * len(re.sub(r"\{.*?\}", "", made.message)) > len(message) for made in own)


def test_every_code_of_an_error_has_its_paragraph() -> None:
    assert {each.error for each in PARAGRAPHS} == {*ERRORS, ProvisionError}
    assert re.findall(r"\{|\}", PAGES["docs/errors.md"]) == []


# -- completion -----------------------------------------------------------------------------------------

ASKED = {
    "provision do": ["doctor", "download"],
    "provision all --backend g": ["git-lfs"],
    "provision doctor --only ckpt-t": [entry.id for entry in CATALOGUE if entry.id.startswith("ckpt-t")],
    "provision plan --manifest ": manifest_names(),
    "provision manifests show sd-": ["sd-turbo"],
    "provision plan --set first_image.st": ["first_image.steps="],
    "provision completion ": ["bash", "zsh", "fish"],
}


@pytest.mark.parametrize("line", ASKED)
def test_a_shell_is_offered_what_fits(line: str) -> None:
    words = line.split(" ")
    asks = {"_PROVISION_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ran = subprocess.run(
        [sys.executable, "-m", "provision"],
        env={**os.environ, **asks, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == ASKED[line], ran.stderr


def test_offering_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom provision.cli import offers\n"
        "offers.offer_manifests(''), offers.offer_findings(''), offers.offer_keys('')\n"
        "print(*[name for name in ('rich', 'requests', 'huggingface_hub', 'psutil', 'git', 'PIL', 'packaging',"
        " 'provision.output.console', 'provision.core.step', 'provision.steps.registry') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


@pytest.mark.parametrize(
    ("shell", "says"),
    [("bash", "complete -o default"), ("zsh", "#compdef provision"), ("fish", "complete --command provision")],
)
def test_the_script_of_a_shell(shell: str, says: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "provision", "completion", shell],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert says in ran.stdout
    assert "_PROVISION_COMPLETE=complete_" in ran.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_text(ran.stdout, encoding="utf-8")
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


@pytest.fixture
def on_path(tmp_path: Path) -> Path:
    """A folder for PATH in which `provision` is this checkout's."""
    program = tmp_path / "provision"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m provision "$@"\n')
    program.chmod(0o755)
    return tmp_path


def test_bash_completes_by_the_script(on_path: Path) -> None:
    script = (
        f'PATH="{on_path}:$PATH"; eval "$(provision completion bash)"\n'
        "COMP_WORDS=(provision doctor --only ckpt-tr); COMP_CWORD=3; _provision_completion provision\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ran = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "ckpt-truncated\n"


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish on this machine")
def test_fish_completes_by_the_script(on_path: Path) -> None:
    script = (
        f"set PATH '{on_path}' $PATH; provision completion fish | source\n"
        "complete -C 'provision doctor --only ckpt-tr'; complete -C 'provision all --backend w'"
    )
    ran = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == ["ckpt-truncated", "wget"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh on this machine")
def test_zsh_completes_by_the_script(on_path: Path) -> None:
    """zsh completes in a terminal only: it is given one, and a Tab."""
    script = f"""
        PATH="{on_path}:$PATH"
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell 'autoload -Uz compinit; compinit -u -D; eval "$(provision completion zsh)"; print READY$((1 + 1))'
        zpty -r shell said '*READY2*'
        zpty -w -n shell $'provision doctor --only ckpt-tr\t'
        zpty -r shell said '*ckpt-truncated*'
        print -r -- "$said"
    """
    ran = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert "provision doctor --only ckpt-truncated" in ran.stdout
