"""`generate` as a command, beside others of its kind and beside those that hold the home or end the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.comfyui.api import Comfy
from provision.comfyui.server_process import read_record, start_server, stop_server
from provision.core.receipts import home_lock
from tests.support.engine_home import EngineHome, engine_home
from tests.support.paths import CHECKOUT

TIMEOUT_S = 240
LONG = ("--size", "1024", "--steps", "100")
"""An image that is not done before something happens to it."""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[EngineHome]:
    home = engine_home(tmp_path)
    (tmp_path / "pictures").mkdir()
    yield home
    stop_server(home.ctx)


def argv(home: EngineHome, *words: str) -> list[str]:
    sets = (f"comfyui.port={home.ctx.manifest.comfyui.port}", "first_image.width=256", "first_image.height=192")
    told = [word for each in sets for word in ("--set", each)]
    return [sys.executable, "-m", "provision", *words, "--home", str(home.ctx.home.root), *told]


def begin(home: EngineHome, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv(home, *words),
        cwd=home.ctx.home.root.parent / "pictures",
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


def until_it_samples(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert any('"sampling"' in line or ": sampling" in line for line in process.stdout)


def error_in(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.splitlines()[-1])["error"]
    return found


def pictures(home: EngineHome) -> list[str]:
    return sorted(path.name for path in (home.ctx.home.root.parent / "pictures").iterdir())


def test_four_at_once_start_one_server_and_make_four_pictures(made: EngineHome) -> None:
    ended = [end(process) for process in [begin(made, "generate", "a fox") for _ in range(4)]]
    assert [code for code, _, _ in ended] == [0] * 4, ended
    assert pictures(made) == ["a-fox-1.png", "a-fox-2.png", "a-fox-3.png", "a-fox.png"]
    assert sorted(Path(out.split("  ")[0]).name for _, out, _ in ended) == pictures(made), "each says which is its own"
    assert sum("Starting ComfyUI on port" in err for _, _, err in ended) == 1


def test_a_server_that_is_up_is_used_while_another_command_holds_the_home(made: EngineHome) -> None:
    start_server(made.ctx, timeout_s=60)
    with home_lock(made.ctx.home.state / "lock", command="all"):
        code, _, err = end(begin(made, "generate", "a fox"))
    assert (code, pictures(made)) == (0, ["a-fox.png"]), err


def test_while_another_command_holds_the_home_it_is_waited_for(made: EngineHome) -> None:
    with home_lock(made.ctx.home.state / "lock", command="all"):
        process = begin(made, "generate", "a fox")
        assert process.stderr is not None
        told = next(line for line in process.stderr if "in use" in line)
    assert "`provision all`" in told
    assert "Waiting until it finishes, or ComfyUI answers." in told
    code, _, err = end(process)
    assert (code, pictures(made)) == (0, ["a-fox.png"]), err


def test_who_stops_the_server_is_not_told_of_the_memory(made: EngineHome) -> None:
    process = begin(made, "generate", "a fox", *LONG, "--json")
    until_it_samples(process)
    assert stop_server(made.ctx)
    code, out, _ = end(process)
    assert (code, error_in(out)["message"]) == (1, "ComfyUI was stopped while making the image.")
    assert error_in(out)["argv"][-3:] == ["launch", "--home", str(made.ctx.home.root)]
    assert pictures(made) == []


def test_a_server_that_is_killed_may_have_had_too_little_memory(made: EngineHome) -> None:
    process = begin(made, "generate", "a fox", *LONG, "--json")
    until_it_samples(process)
    record = read_record(made.ctx)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    code, out, _ = end(process)
    says = "ComfyUI exited while making the image: its log does not say why: out of memory, or someone stopped it."
    assert (code, error_in(out)["message"]) == (1, says)


def test_ctrl_c_keeps_and_names_what_was_made_and_ends_what_is_being_made(made: EngineHome) -> None:
    process = begin(made, "generate", "-", *LONG[2:], "--size", "1024")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("one\n")
    process.stdin.flush()
    first = process.stdout.readline()
    process.stdin.write("two\nthree\n")
    process.stdin.flush()
    comfy = Comfy(made.ctx.manifest.comfyui.port, check=lambda: None)
    while not comfy.queue().running:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130, err
    assert Path(first.split("  ")[0]).name == "one.png"
    assert "one.png" in err
    assert "Traceback" not in err
    assert "three.png" not in pictures(made)
    assert not [name for name in pictures(made) if name.startswith(".")]
    deadline = time.monotonic() + TIMEOUT_S
    while comfy.queue().running:  # it is ended at its next step
        assert time.monotonic() < deadline
    assert comfy.queue().pending == ()


def test_a_prompt_that_is_no_text_is_refused(made: EngineHome) -> None:
    start_server(made.ctx, timeout_s=60)
    for words, typed in (((os.fsdecode(b"a \xff fox"),), ""), (("-",), os.fsdecode(b"\xff\xfe\n"))):
        process = begin(made, "generate", *words)
        assert process.stdin is not None
        process.stdin.buffer.write(os.fsencode(typed))  # type: ignore[attr-defined]
        code, _, err = end(process)
        assert code == 2, err
        assert "not text (UTF-8)" in err
    assert pictures(made) == []
