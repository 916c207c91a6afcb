"""Completion as a person has it: installed once into the shell, undone, and used by pressing TAB in a real shell."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli.shell_setup import SCRIPTS, Place, place_for
from provision.errors import HomeError
from tests.support.paths import CHECKOUT

PATIENCE_S = 60.0
Person = dict[str, str]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with `provision` on the PATH."""
    folder = tmp_path / "a person"
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "provision"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m provision "$@"\n')
    program.chmod(0o755)
    return {"HOME": str(folder), "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "xterm", "PS1": "$ "}


def provision(person: Person, *words: str, code: int = 0) -> str:
    ran = subprocess.run(["provision", *words], env=person, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == code, ran.stderr
    return ran.stdout + ran.stderr


def after_tab(argv: list[str], person: Person, typed: str, ends: Callable[[str], bool]) -> str:
    """What a shell shows after these keys, as soon as it is what is waited for."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, person)
    shown, deadline, sent = "", time.monotonic() + PATIENCE_S, False
    try:
        while time.monotonic() < deadline and not (sent and ends(shown)):
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    shown += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    break
            if not sent and "READY" in shown:
                sent, shown = True, ""
                os.write(terminal, typed.encode())
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return shown


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_parses(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, timeout=60, check=True)


@pytest.mark.parametrize("autoloaded", [True, False])
def test_the_first_tab_in_zsh_shows_the_commands_with_their_sentences(person: Person, *, autoloaded: bool) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh on this machine")
    home = Path(person["HOME"])
    rc = home / ".zshrc"
    if autoloaded:
        (home / ".zfunc").mkdir()
        (home / ".zfunc" / "_provision").write_text(provision(person, "completion", "zsh"))
        rc.write_text("fpath=(~/.zfunc $fpath)\nautoload -Uz compinit && compinit -u\n")
    else:
        provision(person, "completion", "zsh", "--install")
    with rc.open("a") as stream:
        stream.write("\nprint RE''ADY\n")
    shown = after_tab(["zsh", "-i"], person, "provision l\t", lambda text: "Show ComfyUI's log." in text)
    assert "launch" in shown
    assert "Show ComfyUI's log." in shown, "an apostrophe stays"


def test_the_first_tab_in_bash_completes(person: Person) -> None:
    provision(person, "completion", "bash", "--install")
    with (Path(person["HOME"]) / (".bash_profile" if sys.platform == "darwin" else ".bashrc")).open("a") as stream:
        stream.write("echo RE''ADY\n")
    login = ["--login"] if sys.platform == "darwin" else []
    shown = after_tab(["bash", *login, "-i"], person, "provision statu\t", lambda text: "status" in text)
    assert "provision status" in shown


def test_fish_completes(person: Person) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish on this machine")
    provision(person, "completion", "fish", "--install")
    asked = ["fish", "-c", "complete --do-complete 'provision lo'"]
    ran = subprocess.run(asked, env=person, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "logs\tShow ComfyUI's log.\n"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_installing_twice_changes_nothing_and_removing_leaves_all_as_it_was(person: Person, shell: str) -> None:
    place = place_for(shell, person, mac=False)
    before = b"export A=1\xff\nalias x=y"  # neither UTF-8 nor with a newline at its end
    if place.rc is not None:
        (dotfiles := Path(person["HOME"]) / "dotfiles").write_bytes(before)
        place.rc.symlink_to(dotfiles)
    said = provision({**person, "SHELL": f"/bin/{shell}"}, "completion", "--install")
    assert f"exec {shell}" in said
    assert f"completion {shell} --remove" in said
    once = place.rc.read_bytes() if place.rc else b""
    assert "Already there" in provision(person, "completion", shell, "--install")
    assert (place.rc.read_bytes() if place.rc else b"") == once
    assert once.startswith(before) or place.rc is None
    provision(person, "completion", shell, "--remove")
    assert not place.script.exists()
    if place.rc is not None:
        assert place.rc.is_symlink()
        assert place.rc.read_bytes() == before + b"\n"
    assert "Not there" in provision(person, "completion", shell, "--remove")


def test_an_rc_file_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (rc := tmp_path / "rc").mkdir()
    with pytest.raises(HomeError):
        Place(tmp_path / "script", rc).install("x")


def test_a_shell_that_is_not_known_is_refused(person: Person) -> None:
    assert "bash, zsh or fish" in provision(person, "completion", "tcsh", code=2)
    assert "Which shell?" in provision(person, "completion", code=2)
