"""Every view that shows what others wrote, run for real in a terminal and in a pipe, with text that a terminal obeys.

A home of the rehearsal is made once, and what strangers may write in it is hostile: receipts, logs, packages, files,
ComfyUI's own words. Each view must show the text (a mark in it is looked for) and let nothing of it act.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.system.visible import HIDDEN
from tests.e2e.conftest import Tool
from tests.support.forks import Forks
from tests.support.paths import CHECKOUT

PATIENCE_S = 120.0
MARK = "EVIL"
LINE = (
    f"{MARK}\x1b]0;title\x07\x1b[8;95mhid\x1b[2J\x1b[1;1H\x9b31m\x9d0;t\x9c\x1bP0q\x1b\\\x08\x0c\x7f\u202egnp.exe\u202c"
    "\u2066iso\u2069\u200e\u200f\u061c\u200bzero\ufeff\u2060\u2028para\u2029\ufff9an\ufffb\U000e0041\U000e0001tag"
)
"""OSC and CSI in 7 and 8 bits, DCS, a hidden colour, overrides and isolates, zero widths, separators, tags."""
SEEN_WRONG = f"{MARK} \u202egnp.exe\u202c \u2066iso\u2069 \u200bzero \U000e0041tag"
"""What a manifest may hold: control characters are refused there."""
NAME = LINE.replace("/", "").replace("\x1b\\", "")
OURS = re.compile(r"\r(?=\n|\x1b\[[JK])|\x1b\[(?:(?!8;95)[0-9;]*m|\?25[hl]|\?2026h\r?|\?2026l|J|K|\d+A\r?)")
"""What the tool itself sends a terminal: colours, its live picture; and the terminal's own line ends."""


@dataclass(frozen=True)
class Said:
    """What a command said, on both streams."""

    code: int | None
    text: str


def in_pipe(tool: Tool, argv: list[str], until: str = "") -> Said:
    """With a pipe for both streams; `until`: ended by Ctrl-C once that was said."""
    return _heard(*os.pipe(), tool, argv, until)


def in_terminal(tool: Tool, argv: list[str], until: str = "") -> Said:
    """With a terminal for both."""
    shown = {**tool.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"}
    return _heard(*pty.openpty(), replace(tool, environ=shown), argv, until)


def _heard(ours: int, theirs: int, tool: Tool, argv: list[str], until: str) -> Said:
    with Path(os.devnull).open("rb") as nothing:
        stdin = theirs if os.isatty(theirs) else nothing.fileno()
        process = tool.start_argv(argv, (stdin, theirs, theirs))
    os.close(theirs)
    heard, deadline = b"", time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                more = os.read(ours, 1 << 16)
            except OSError:  # a terminal whose program ended
                break
            if not more:
                break
            heard += more
            if until and until.encode() in heard:
                process.send_signal(signal.SIGINT)
                until = ""
        return Said(process.wait(max(1.0, deadline - time.monotonic())), heard.decode("utf-8"))
    finally:
        process.kill()
        process.wait()
        os.close(ours)


# -- what strangers wrote ---------------------------------------------------------------------------------------


class _Hub(BaseHTTPRequestHandler):
    """A hub whose listing and headers are hostile."""

    def do_GET(self) -> None:
        if "/resolve/" in self.path:
            names = json.dumps(
                {
                    "__metadata__": {LINE: LINE, "title": LINE},
                    f"model.{LINE}": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                }
            ).encode()
            return self._answer(len(names).to_bytes(8, "little") + names + bytes(4), {"X-Repo-Commit": "a" * 40})
        if "/tree/" in self.path:
            names = (NAME, SEEN_WRONG, MARK)  # which may be refused, but for the last
            files = [{"type": "file", "path": f"{name}.safetensors", "size": 9, "oid": "1" * 40} for name in names]
            return self._answer(json.dumps(files).encode())
        if "/refs" in self.path or "/revision/" in self.path or "/api/models/" in self.path:
            return self._answer(json.dumps({"sha": "a" * 40, "id": LINE, "siblings": []}).encode())
        return self._answer(LINE.encode(), code=500)

    do_HEAD = do_GET  # noqa: N815  (http.server's name)

    def _answer(self, body: bytes, headers: dict[str, str] | None = None, code: int = 200) -> None:
        self.send_response(code, "\x1b[8;95m\x9b2J" + MARK)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"abc"', **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, uv_cache: Path, loaded: Forks) -> Tool:
    """A home in which all that others may write is hostile; its server is down, and cannot start."""
    folder = tmp_path_factory.mktemp("outside")
    tool = Tool(folder / f"home {NAME}", {"UV_CACHE_DIR": str(uv_cache)}, loaded=loaded)
    ended = tool.run("all", "--rehearse")
    assert ended.code == 0, ended
    tool.text("stop")
    for log in ("comfyui.log", "provision.log"):
        with (tool.home / "logs" / log).open("a", encoding="utf-8") as stream:
            stream.write(f"{LINE}\nCannot import /x/custom_nodes/{NAME} module for custom nodes: {LINE}\n")
    for name in ("comfyui", "torch", "first_image"):
        path = tool.home / "state" / "receipts" / f"{name}.json"
        receipt = json.loads(path.read_text(encoding="utf-8"))
        changed = {key: LINE for key in ("name", "torch", "device", "got", "commit") if key in receipt}
        path.write_text(json.dumps({**receipt, **changed}), encoding="utf-8")
    (tool.home / NAME).write_text("a stranger's", encoding="utf-8")
    (tool.home / "ComfyUI" / "output" / f"{NAME}.png").write_bytes(b"no picture")
    (site,) = (tool.home / "venv" / "lib").glob("python3*/site-packages")
    with (tool.home / "ComfyUI" / "requirements.txt").open("a", encoding="utf-8") as stream:
        stream.write(f"\n{MARK}-absent==9 # {LINE}\n")
    (site / f"evil-{NAME}.dist-info").mkdir()
    main = tool.home / "ComfyUI" / "main.py"
    main.write_text(f"import sys\nsys.stderr.write({LINE!r} + '\\n')\nraise SystemExit({LINE!r})\n", encoding="utf-8")
    version = tool.home / "ComfyUI" / "comfyui_version.py"
    version.write_text(f"__version__ = {LINE!r}\n", encoding="utf-8")
    (folder / "evil.toml").write_text(f'name = "evil"\ntitle = {_toml(LINE)}\n', encoding="utf-8")
    shipped = (CHECKOUT / "manifests" / "sdxl-turbo.toml").read_text(encoding="utf-8")
    titled = re.sub(r"(?m)^title = .*$", lambda _: f"title = {_toml(SEEN_WRONG)}", shipped)
    (folder / "titled.toml").write_text(titled, encoding="utf-8")
    (folder / "evil.log").write_text(
        f"Cannot import /x/custom_nodes/{NAME} module for custom nodes: {LINE}\n{LINE}\n", encoding="utf-8"
    )
    (folder / "evil.lock").write_text(f"{LINE}\n", encoding="utf-8")
    (folder / NAME).mkdir()
    return tool


def _toml(text: str) -> str:
    """A string of TOML, whose escapes are those of JSON but for pairs of surrogates."""
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in text) + '"'


# -- the views --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """A command as words (`{hub}`: the hub's address), the exit codes that are right, whether it shows the mark."""

    words: tuple[str, ...]
    codes: tuple[int, ...] = (0, 1)
    shows: bool = True
    home: bool = True
    until: str = ""
    environ: tuple[tuple[str, str], ...] = ()


USAGE = (2,)
VIEWS = {
    "status": View(("status",)),
    "status-plain": View(("status", "--plain")),
    "doctor": View(("doctor",)),
    "doctor-verbose": View(("doctor", "--verbose")),
    "doctor-plain": View(("doctor", "--plain")),
    "doctor-only": View(("doctor", "--only", NAME), USAGE),
    "doctor-log": View(("doctor", "evil.log")),
    "doctor-no-log": View(("doctor", f"{NAME}.log"), USAGE),
    "doctor-foreign": View(("doctor", "--comfyui", NAME), (1, 2)),
    "doctor-python": View(("doctor", "--comfyui", ".", "--python", NAME), (1, 2), shows=False),
    "doctor-fix": View(("doctor", "--fix", "--only", "server-down", "--verbose"), (0, 1, 2)),
    "doctor-report-place": View(("doctor", "--report", f"{NAME}/none/x.md"), USAGE),
    "plan": View(("plan", "--rehearse")),
    "plan-plain": View(("plan", "--rehearse", "--plain")),
    "plan-commands": View(("plan", "--rehearse", "--commands")),
    "plan-for": View(("plan", "--for", NAME), USAGE),
    "plan-requirements": View(("plan", "--for", "m3max-24gb", "--requirements", NAME), (1, 2)),
    "plan-locked": View(("plan", "--locked", "evil.lock"), (1, 2), shows=False),
    "plan-locked-none": View(("plan", "--locked", f"{NAME}.lock"), (1, 2)),
    "plan-manifest": View(("plan", "--manifest", NAME), USAGE),
    "plan-set": View(("plan", "--set", f"{NAME}=1"), USAGE),
    "plan-set-value": View(("plan", "--set", f"comfyui.url={LINE}"), USAGE),
    "plan-torch": View(("plan", "--torch", NAME), USAGE),
    "plan-comfyui": View(("plan", "--rehearse", "--comfyui", NAME), (1, 2)),
    "plan-backend": View(("plan", "--backend", NAME), USAGE),
    "plan-precision": View(("plan", "--precision", NAME), USAGE),
    "plan-rate": View(("plan", "--limit-rate", NAME), USAGE),
    "plan-endpoint": View(("plan", "--endpoint", NAME), (1, 2)),
    "plan-connections": View(("plan", "--connections", NAME), USAGE),
    "plan-look-in": View(("plan", "--look-in", NAME), (0, 1, 2), shows=False),
    "logs": View(("logs",), (0,)),
    "logs-tool": View(("logs", "--tool"), (0,)),
    "logs-follow": View(("logs", "-f"), (130,), until="tag"),
    "logs-number": View(("logs", "-n", NAME), USAGE),
    "launch": View(("launch",), (1,)),
    "launch-verbose": View(("launch", "--verbose"), (1,)),
    "all": View(("all", "--rehearse", "--verbose", "--comfyui", NAME), (1, 2)),
    "generate": View(("generate", LINE), (1, 2)),
    "generate-place": View(("generate", "fox", "-o", f"{NAME}/none/x.png"), (1, 2)),
    "generate-size": View(("generate", "fox", "--size", NAME), USAGE),
    "bench": View(("bench",), (1, 2)),
    "bench-size": View(("bench", "--size", NAME), USAGE),
    "rollback": View(("rollback",), (0, 1, 2)),
    "report": View(("report", "-o", f"{NAME}/page.html"), (0,)),
    "report-place": View(("report", "-o", f"{NAME}/none/page.html"), USAGE),
    "uninstall": View(("uninstall",), (0, 1, 2)),
    "stop": View(("stop",), (0,), shows=False),
    "check": View(("check",), (0, 1), shows=False),
    "check-home": View(("check", "--home", f"{NAME}/{NAME}/x"), (0, 1, 2), shows=False, home=False),
    "status-home": View(("status", "--home", f"{NAME}/none"), (1, 2), home=False),
    "environment": View(("status",), (1, 2), home=False, environ=(("PROVISION_HOME", f"/tmp/none-{NAME}"),)),
    "download-what": View(("download", NAME), USAGE),
    "download-manifest": View(("download", f"{NAME}.toml"), USAGE),
    "download-to": View(("download", "--rehearse", "--to", f"{NAME}/none"), (0, 1, 2)),
    "inspect-repo": View(("download", "a/b", "--inspect"), (0, 1, 2), environ=(("HF_ENDPOINT", "{hub}"),)),
    "inspect-file": View(
        ("download", f"a/b/{NAME}.safetensors", "--inspect"), (0, 1, 2), environ=(("HF_ENDPOINT", "{hub}"),)
    ),
    "download-hostile": View(("download", "a/b", "--endpoint", "{hub}", "--to", "."), (1, 2)),
    "manifests": View(("manifests",), (0,), shows=False, home=False),
    "manifest-show": View(("manifests", "show", "titled.toml"), (0,), home=False),
    "manifest-validate": View(("manifests", "validate", "titled.toml"), (0,), home=False),
    "manifest-broken": View(("manifests", "validate", "evil.toml"), USAGE, home=False, shows=False),
    "manifest-none": View(("manifests", "show", f"{NAME}.toml"), USAGE, home=False),
    "no-command": View((NAME,), USAGE, home=False),
    "no-option": View(("plan", f"--{NAME}"), USAGE, home=False),
    "too-many": View(("stop", NAME), USAGE, home=False),
    "completion": View(("completion", NAME), USAGE, home=False),
    "help-of-none": View((NAME, "--help"), USAGE, home=False),
    "completing": View(
        (),
        (0, 1),
        shows=False,
        home=False,
        environ=(
            ("_PROVISION_COMPLETE", "complete_zsh"),
            ("_TYPER_COMPLETE_ARGS", f"provision plan --manifest {NAME}"),
        ),
    ),
}
RUNS: dict[str, Callable[..., Said]] = {"terminal": in_terminal, "pipe": in_pipe}


def run_view(view: View, how: str, tool: Tool, hub: str, *more: str) -> Said:
    words = [word.replace("{hub}", hub) for word in (*view.words, *more)]
    argv = tool.argv(*words) if view.home else tool.argv(*words)[:-2]
    given = {name: value.replace("{hub}", hub) for name, value in view.environ}
    return RUNS[how](replace(tool, environ={**tool.environ, **given}), argv, view.until)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_what_others_wrote_and_lets_nothing_of_it_act(
    name: str, hostile: Tool, hub: str, request: pytest.FixtureRequest
) -> None:
    """In a terminal or in a pipe, in turn; with `--storms` in both."""
    view, both = VIEWS[name], request.config.getoption("--storms", default=False)
    for how in RUNS if both else [list(RUNS)[list(VIEWS).index(name) % 2]]:
        said = run_view(view, how, hostile, hub)
        left = OURS.sub("", said.text) if how == "terminal" else said.text
        assert not (found := HIDDEN.findall(left)), ascii([found, left])
        assert said.code in view.codes, said
        assert "Traceback" not in said.text
        assert "a bug in provision" not in said.text
        assert (MARK in said.text) or not view.shows, said.text


@pytest.mark.parametrize("name", ["status", "doctor", "plan", "inspect-file", "launch"])
def test_json_holds_what_others_wrote_exactly_and_nothing_raw(name: str, hostile: Tool, hub: str) -> None:
    said = run_view(VIEWS[name], "pipe", hostile, hub, "--json")
    assert said.text.isascii()
    assert not HIDDEN.search(said.text)
    read = [json.loads(line) for line in said.text.splitlines()]
    assert any(MARK + "\x1b]0;title\x07" in word for word in words_of(read)), said
    assert read[-1]["type"] == "report"


def test_a_script_names_a_hostile_home_exactly_and_has_nothing_hidden_in_it(hostile: Tool, hub: str) -> None:
    said = run_view(VIEWS["plan-commands"], "pipe", hostile, hub)
    (line,) = [line for line in said.text.splitlines() if line.startswith("home=")]
    asked = subprocess.run(["sh", "-c", f'{line}\nprintf %s "$home"'], capture_output=True, check=True)
    assert asked.stdout == os.fsencode(hostile.home)


def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(hostile: Tool, hub: str) -> None:
    log = hostile.home / "logs" / "comfyui.log"
    log.rename(log.with_suffix(".kept"))
    try:
        os.mkfifo(log)
        assert run_view(VIEWS["logs"], "pipe", hostile, hub).code == 2
    finally:
        log.unlink()
        log.with_suffix(".kept").rename(log)


def words_of(value: object) -> Iterator[str]:
    """Every string in JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from words_of(inner)
