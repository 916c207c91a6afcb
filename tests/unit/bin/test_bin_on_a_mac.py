"""bin/provision as a new Mac starts it: bash 3.2, only what macOS ships, an empty home, a space in every path.

On a Mac that is its own /bin/bash; elsewhere BASH_UNDER_TEST can name one. No package registry has bash 3.2, so without
one a newer bash is told `--posix`, and the scripts are searched for what 3.2 cannot read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.bare_checkout import BASE_PYTHON, BASH, BIN, TOOLS, Bare, bare_checkout

# In /bin and /usr/bin of macOS 14 without the Command Line Tools, and nothing else is on this PATH.
MACOS_SHIPS = frozenset(
    {
        *("cat", "chmod", "curl", "cut", "dirname", "env", "grep", "head", "id", "ln", "ls", "mkdir", "mv", "readlink"),
        *("rm", "sed", "sh", "shasum", "sleep", "tail", "tr", "unzip"),
    }
)
# What bash learned after 3.2 (its NEWS, and CHANGES), as text that would be in a script.
TOO_NEW = {
    r"\$\{[^}]*(?:\^|,,|@[QEPAaUuLK]\})": "case or @ operators in ${...} (4.0, 4.4)",
    r"\b(?:declare|local|typeset) -[a-zA-Z]*[Agnlu]": "declare -A, -g, -n, -l, -u (4.0 to 4.3)",
    r"\b(?:mapfile|readarray|coproc)\b": "mapfile, readarray, coproc (4.0)",
    r"&>>|\|&": "&>> and |& (4.0)",
    r";;&|;&": ";& and ;;& (4.0)",
    r"\[\[? -[vR] ": "-v and -R (4.2)",
    r"%\([^)]*\)T": "printf %(...)T (4.2)",
    r"\$\{?(?:BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASH_ARGV0)\b": "variables of 4.0 to 5.1",
    r"\bwait -[np]\b": "wait -n, -p (4.3, 5.1)",
    r"\$\{\w+\[-\d+\]\}|\$\{\w+: -\d+:|\$\{\w+:\d+:-": "negative places and lengths (4.2)",
    r"\{\d+\.\.\d+\.\.\d+\}|\{0\d+\.\.\d+\}": "{a..b..step} and {01..10} (4.0)",
    r"\{\w+\}[<>]": "exec {fd}> (4.1)",
    r"\bshopt -s[^\n]*(?:globstar|lastpipe|inherit_errexit|assoc_expand)": "options of 4.0 and later",
    r"\bread [^\n]*-t ?0?\.\d": "read -t with parts of a second (4.0)",
    r"\$'[^']*\\u": r"\u in $'...' (4.2)",
}


def is_old(bash: str) -> bool:
    said = subprocess.run([bash, "-c", "echo $BASH_VERSION"], capture_output=True, text=True, check=True)
    return said.stdout.startswith("3.2")


@pytest.fixture
def mac(tmp_path: Path) -> Bare:
    """A Mac out of its box, with nothing of the person's and a space in every path."""
    made = bare_checkout(tmp_path / "Macintosh HD" / "some folder")
    made.shell_options = () if is_old(str(BASH)) else ("--posix",)
    home = made.root / "the home"
    home.mkdir()
    made.environ |= {"HOME": str(home), "TMPDIR": str(made.root / "a tmp"), "UV_CACHE_DIR": str(made.root / "a cache")}
    (made.root / "a tmp").mkdir()
    made.give_macos(tools=True)
    made.give("sysctl", "echo 0")  # so that this machine's own Python is taken
    made.programs.joinpath("python3").unlink()
    return made


def scripts() -> list[Path]:
    return [BIN / "provision", BIN / "test"]


def code(script: Path) -> str:
    """The script without comments and without what it only prints."""
    text = re.sub(r"(?m)^\s*#.*$|(?<=\s)# .*$", "", script.read_text(encoding="utf-8"))
    return re.sub(r"<<'HELP'.*?\nHELP\n", "\n", text, flags=re.DOTALL)


# -- what is written there --------------------------------------------------------------------------------


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.name)
def test_nothing_is_written_that_bash_3_2_cannot_read(script: Path) -> None:
    found = [f"{what}: {hit[0]}" for words, what in TOO_NEW.items() for hit in re.finditer(words, code(script))]
    assert found == []
    subprocess.run([str(BASH), "-n", str(script)], check=True)


def test_what_bash_3_2_cannot_read_would_be_found() -> None:
    new = (
        "${x^^}", "${x,,}", "${x@Q}", "declare -A a", "local -n b", "mapfile -t a", "a &>> b", "a |& b", ";;&",
        "[ -v x ]", "printf '%(%F)T'", "$EPOCHSECONDS", "wait -n", "${a[-1]}", "${x:0:-1}", "{01..10}", "exec {fd}>x",
        "shopt -s globstar", "read -t 0.5 x", r"$'\u2713'",
    )  # fmt: skip
    for text in new:
        assert any(re.search(words, text) for words in TOO_NEW), text
    for text in ("${x#a}", "${x//a/b}", "declare -a a", "local x", "a &> b", "2>&1 | c", ";;", "[ -n x ]", "wait $!"):
        assert not any(re.search(words, text) for words in TOO_NEW), text


def test_the_path_of_these_tests_has_only_what_macos_ships() -> None:
    assert set(TOOLS) <= MACOS_SHIPS


# -- started ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["", "uv", "python3 brew", "uv python3 brew"])
def test_whatever_is_there_the_first_start_leads_to_the_tool(mac: Bare, there: str) -> None:
    uv, python, brew = (name in there for name in ("uv", "python3", "brew"))
    if brew:
        mac.give("brew", 'echo "$*" >>"$ROOT/brew.log"\nexit 1')
    offered = {"UV_PYTHON_SEARCH_PATH": str(BASE_PYTHON.parent)}
    if uv:
        mac.give_uv()
    else:
        need_no_uv()
        offered |= mac.offer_uv()
    if python:
        mac.programs.joinpath("python3").symlink_to(BASE_PYTHON)
    first = mac.run("all", "--home", "/Volumes/my disk/a home", environ=offered)
    assert first.said["argv"] == ["all", "--home", "/Volumes/my disk/a home"]
    assert ("Bringing uv" in first.err) == (not uv)
    assert not (mac.root / "brew.log").exists()
    assert list((mac.root / "the home").iterdir()) == []
    again = mac.run("plan", environ={"PATH": "/nowhere"})
    assert (again.said["argv"], again.err) == (["plan"], "")


def need_no_uv() -> None:
    for name in ("/opt/homebrew/bin/uv", "/usr/local/bin/uv"):
        if os.access(name, os.X_OK):
            pytest.skip(f"{name} is there: this machine cannot be without uv")


@pytest.mark.parametrize("uv", [False, True], ids=["", "uv"])
def test_without_the_command_line_tools_the_tool_starts_and_touches_no_stub(mac: Bare, uv: bool) -> None:
    shutil.rmtree(mac.root / "clt")
    apples = mac.root / "usr bin"
    stubs = ("git", "python3", "python", "install_name_tool", "clang")
    for name in stubs:
        mac.give(name, f'echo {name} >>"$ROOT/stub.log"; exit 1', apples)
    mac.programs.joinpath("xcode-select").rename(apples / "xcode-select")
    if uv:
        mac.give("uv", 'echo "$PATH" >>"$ROOT/uv.log"\nexec "$REAL_UV" "$@"')
        mac.environ["UV_PYTHON_SEARCH_PATH"] = str(BASE_PYTHON.parent)
    else:
        need_no_uv()
        mac.environ |= mac.offer_uv()
    mac.environ["PATH"] = f"{apples}:{mac.environ['PATH']}:{apples}"
    ran = mac.run("check", "--home", "a home")
    assert ran.said["argv"] == ["check", "--home", "a home"]
    assert (mac.root / "xcode.log").read_text().split() == ["-p"] * len((mac.root / "xcode.log").read_text().split())
    assert not (mac.root / "stub.log").exists()
    assert "Command Line Tools" not in ran.err
    assert all(str(apples) not in line for line in mac.uv_log[1:])


def test_with_the_command_line_tools_uv_has_the_whole_path(mac: Bare) -> None:
    mac.give("uv", 'echo "$PATH" >>"$ROOT/uv.log"\nexec "$REAL_UV" "$@"')
    assert mac.run("plan", environ={"UV_PYTHON_SEARCH_PATH": str(BASE_PYTHON.parent)}).said["argv"] == ["plan"]
    assert set(mac.uv_log) == {mac.environ["PATH"]}


def test_the_tests_take_a_stub_of_git_for_none(mac: Bare) -> None:
    shutil.rmtree(mac.root / "clt")
    mac.give("git", 'echo STUB >>"$ROOT/stub.log"; exit 1')
    body = (BIN / "test").read_text(encoding="utf-8")
    missing = body[body.index("missing_tools() {") :].partition("\n}\n")[0] + "\n}"
    words = f". '{mac.script}'\nsystem_tools='git curl'\n{missing}\nmissing_tools"
    mac.programs.joinpath("curl").symlink_to(str(shutil.which("curl") or "/bin/true"))
    assert mac.run(argv=[str(BASH), "-c", words]).out.split() == ["git", "curl"]
    mac.give("git", "exit 0", mac.root / "clt" / "usr" / "bin")
    assert mac.run(argv=[str(BASH), "-c", words]).out == ""
    assert not (mac.root / "stub.log").exists()


def test_help_needs_neither_git_nor_python_nor_uv(mac: Bare) -> None:
    shutil.rmtree(mac.root / "clt")
    ran = mac.run("--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Usage: provision COMMAND")
