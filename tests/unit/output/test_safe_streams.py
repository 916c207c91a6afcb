"""One door to the screen: nobody else writes, and what passes it is visible, whoever wrote it."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from provision.output import safe_streams
from provision.output.console import Console
from provision.output.json_console import JsonConsole
from provision.output.outlet import Outlet
from provision.output.painter import Painter
from provision.output.safe_streams import Door
from provision.system.visible import HIDDEN
from tests.support.paths import CHECKOUT, PACKAGE

PROGRAMS = ("rehearsal/engine", "rehearsal/standin", "environment/torch_probe.py", "download/backends/xet_program.py")
"""Run by another Python, with pipes of ours for their streams."""
EVIL = "\x1b]0;title\x07 \x1b[2J \x9b1m \x9d0;t\x9c \u202egnp.exe \u2066x \u200b \u2028 \U000e0041 \x00 \x7f \ud800"


# -- nobody else writes -----------------------------------------------------------------------------------------


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if not name.startswith(PROGRAMS):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def parents_of(tree: ast.Module) -> dict[ast.AST, ast.AST]:
    return {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}


def ways_out(tree: ast.Module) -> Iterator[str]:
    """Every way to this process's own streams but for questions: `is_terminal(sys.stdout)`, an encoding."""
    parents = parents_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            to_a_stream = called != "os.write" or isinstance(node.args[0], ast.Constant)
            if called in ("print", "os.write", "os.system", "sys.displayhook", "click.echo") and to_a_stream:
                yield called
        if isinstance(node, ast.Attribute):
            word, parent = ast.unparse(node), parents[node]
            asks = isinstance(parent, ast.Call) and ast.unparse(parent.func) in ("is_terminal", "draws")
            asks |= isinstance(parent, ast.Attribute) and parent.attr == "encoding"
            if word in ("sys.stdout", "sys.stderr") and not asks:
                yield word
            if word in ("sys.__stdout__", "sys.__stderr__") or node.attr in ("bare", "canvas"):
                yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
            yield from (f"rich's {name.name}" for name in node.names if name.name == "Console")
        if isinstance(node, ast.ImportFrom) and node.module == "rich":
            yield from (f"rich's {name.name}" for name in node.names)


# Each way out there is, with who takes it: a new one is a decision.
KNOWN_WAYS = {
    "__main__.py": {"os.write"},  # its last words, where the door cannot be read
    "start.py": {"sys.stderr", "__stderr__"},  # opened as Python itself would have it
    "output/safe_streams.py": {"sys.stdout", "sys.stderr", "bare"},  # it is the door
    "output/painter.py": {"rich's Console", "canvas"},  # colours, after every text is visible
    "output/outlet.py": {"canvas"},  # likewise
    "cli/exit_codes.py": {
        "sys.stdout",
        "sys.stderr",
        "os.write",
    },  # flushed before the end; one fixed word in a signal handler
}


def test_only_the_door_writes_to_the_screen() -> None:
    found = {name: set(ways_out(tree)) for name, tree in sources()}
    assert {name: ways for name, ways in found.items() if ways} == KNOWN_WAYS


def test_the_ways_out_are_seen() -> None:
    text = (
        "print(1)\nsys.stdout.write('')\nx = sys.stderr\nos.write(1, b'')\nfrom rich.console import Console\n"
        "is_terminal(sys.stdout)\ndoor.bare.write('')\nsys.__stdout__\nfrom rich import print"
    )
    assert sorted(ways_out(ast.parse(text))) == sorted(
        [
            "print",
            "sys.stdout",
            "sys.stderr",
            "os.write",
            "rich's Console",
            "bare",
            "__stdout__",
            "rich's print",
        ]
    )


def test_the_pens_of_a_painter_and_of_the_screen_are_held_by_the_live_console_alone() -> None:
    """`Painter.file` is the stream without the door."""
    takers = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "file" and ast.unparse(node.value).startswith("self.")
    }
    assert takers == {"output/live_console.py"}


def test_the_streams_are_guarded_before_anything_is_read() -> None:
    tree = ast.parse((PACKAGE / "cli" / "app.py").read_text(encoding="utf-8"))
    (main,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert ast.unparse(main.body[1]) == "guard()", "after its docstring the first thing that it does"


# -- what passes it ---------------------------------------------------------------------------------------------


def test_whatever_is_written_is_visible_and_bytes_have_no_way_round() -> None:
    bare = io.StringIO()
    guarded = Door(bare)
    print(EVIL, file=guarded)
    guarded.writelines([EVIL, "\n"])
    assert not HIDDEN.search(bare.getvalue())
    assert bare.getvalue().count(r"\x1b]0;title\x07") == 2
    for way in ("buffer", "detach", "reconfigure", "rich_proxied_file"):
        assert not hasattr(guarded, way)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_output_that_is_lost_is_said_and_words_that_are_lost_are_nothing(words: tuple[str, ...]) -> None:
    listed = [sys.executable, "-m", "provision", "config", *words]
    with Path("/dev/full").open("w") as full:
        lost = subprocess.run(listed, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        unsaid = subprocess.run(listed, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert (lost.returncode, lost.stderr.splitlines()[0]) == (
        1,
        "error: Standard output cannot be written (No space left on device).",
    )
    assert "Traceback" not in lost.stderr
    assert unsaid.returncode == 0
    assert "sdxl" in unsaid.stdout


class Terminal(io.StringIO):
    """A terminal that keeps what was drawn."""

    def isatty(self) -> bool:
        return True


def test_a_painter_colours_and_what_it_paints_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    painter = Painter(Outlet(Door(bare := Terminal())), width=200)
    table = Table(title=EVIL, caption=EVIL)
    table.add_column(EVIL)
    table.add_row(Text(EVIL, style="red"))
    for view in (EVIL, Text(EVIL), table):
        painter.print(view, markup=False)
    text = bare.getvalue()
    assert "\x1b[31m" in text, "our own colours"
    assert not HIDDEN.search(re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert text.count("title") >= 6


def test_json_has_nothing_raw_and_reads_back_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    JsonConsole().record("note", **{"message": EVIL, EVIL: [EVIL]})
    text = capsys.readouterr().out
    assert text.isascii()
    assert not HIDDEN.search(text)
    told = json.loads(text)
    assert (told["message"], told[EVIL]) == (EVIL, [EVIL])


def test_the_log_holds_what_the_screen_shows(tmp_path: Path) -> None:
    with Console() as console:
        console.keep_log(tmp_path / "log")
        console.log_text(f"\x1b[32m{EVIL}\x1b[0m")
    text = (tmp_path / "log").read_text(encoding="utf-8")
    assert not HIDDEN.search(text)
    assert r"\u202egnp.exe" in text


def test_streams_that_are_closed_take_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    safe_streams.guard()
    Console().line("x")
    Console().data("x")


# -- in a process of its own ------------------------------------------------------------------------------------

ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LANG": "C", "LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("environ", ENCODINGS, ids=str)
@pytest.mark.parametrize("words", [("manifests",), ("manifests", "show", "é\udcff\x1b.toml"), ("plan", "--nö\x1b")])
def test_no_encoding_ends_a_command(environ: dict[str, str], words: tuple[str, ...], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "provision", *words],
        cwd=CHECKOUT,
        capture_output=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ},
    )
    assert ran.returncode == (0 if words == ("manifests",) else 2), ran
    assert b"Traceback" not in ran.stderr
    assert b"\x1b" not in ran.stdout + ran.stderr


def test_what_libraries_and_python_itself_print_passes_the_door() -> None:
    script = (
        "import sys, threading, warnings\nfrom provision.output.safe_streams import guard\nguard()\n"
        "evil = '\\x1b]0;t\\x07\\u202e'\nwarnings.warn(evil)\n"
        "def fail(): raise ValueError(evil)\n"
        "thread = threading.Thread(target=fail)\nthread.start()\nthread.join()\n"
        "import logging\nlogging.warning(evil)\n"
        "import typer\ntyper.echo(evil)\ntyper.echo(evil, err=True)\n"
        "raise SystemExit(evil)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (1, r"\x1b]0;t\x07\u202e")
    assert ran.stderr.count(r"\x1b]0;t\x07\u202e") >= 5
    assert not HIDDEN.search(ran.stderr)
