"""ComfyUI answers wrong, in one thing at a time: `generate`, `status` and `doctor` end, in a sentence, and keep nothing
that is not an image."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provision.comfyui.server_process import record_path, server_argv, write_record
from provision.core.image import Quality, judge
from provision.core.manifest import load_manifest
from provision.core.step import Context
from provision.system.local_machine import LocalMachine, free_port
from tests.storms.evil import scenarios
from tests.storms.tally import HANG_S, Tally
from tests.support.engine_home import EngineHome, engine_home
from tests.support.paths import CHECKOUT

MAIN = f"""
import sys

sys.path.insert(0, {str(CHECKOUT)!r})
from tests.storms.hostile_comfyui import main

main()
"""
SHORT, USUAL_S = 6, 10
WAIT_S = 180
"""For a command that hangs; one that takes longer than HANG_S is told of too."""
MEMORY_MAX_BYTES = 400 << 20
LOOKED_AT = ("stats", "queue", "newest", "object")
"""The routes that `status` and `doctor` ask."""
SIZE = ("comfyui.port={port}", "first_image.width=256", "first_image.height=192")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EngineHome:
    """A home whose ComfyUI is the hostile one."""
    home = engine_home(tmp_path_factory.mktemp("hostile"))
    (home.ctx.home.comfyui / "main.py").write_text(MAIN, encoding="utf-8")
    return home


def at_port(home: EngineHome, port: int) -> tuple[Context, list[str]]:
    """The home, with its server on another port, and the words for the command line that say so."""
    sets = [each.format(port=port) for each in SIZE]
    manifest = load_manifest("sdxl-turbo", sets)
    ctx = Context(LocalMachine(), manifest, home.ctx.home, home.ctx.options, home.events.append)
    return ctx, [word for each in sets for word in ("--set", each)]


@contextmanager
def hostile(ctx: Context, scenario: str, old_s: float) -> Iterator[None]:
    """The server, on record as one of ours that was started so many seconds ago."""
    (ctx.home.comfyui / "scenario").write_text(scenario, encoding="utf-8")
    log = ctx.home.logs / "hostile.log"
    pid = ctx.machine.spawn(server_argv(ctx), cwd=ctx.home.comfyui, log=log, env={})
    seen = ctx.machine.process(pid)
    assert seen is not None
    process = replace(seen, argv=server_argv(ctx))  # as it will be when a Python that is a script has handed over
    try:
        while ctx.machine.port_is_free(ctx.manifest.comfyui.port):
            assert ctx.machine.process(pid) is not None, log.read_text(encoding="utf-8")
            time.sleep(0.02)
        write_record(ctx, process, server_argv(ctx))
        record = json.loads(record_path(ctx).read_text(encoding="utf-8"))
        record_path(ctx).write_text(json.dumps({**record, "started": time.time() - old_s}), encoding="utf-8")
        yield
    finally:
        ctx.machine.end_process(process)
        assert ctx.machine.process(pid) is None


def test_comfyui_that_answers_wrong(
    made: EngineHome, tmp_path: Path, tally: Callable[[str], Tally], storm_seed: int, long_storm: bool
) -> None:
    every = scenarios()
    chosen = every if long_storm else random.Random(storm_seed).sample(every, SHORT)
    found = tally("hostile ComfyUI")
    for scenario in chosen:
        found.tries += 1
        for column, what in meet(made, tmp_path, scenario):
            found.blame(column, f"{scenario}: {what}")


def meet(made: EngineHome, folder: Path, scenario: str) -> Iterator[tuple[str, str]]:
    """Each command against one scenario; what was wrong."""
    ctx, sets = at_port(made, free_port())
    route = scenario.split(" ")[0]
    looks: tuple[tuple[str, ...], ...] = (("status",), ("doctor",)) if route in LOOKED_AT else ()
    for words in (("generate", "a fox"), *looks):
        pictures = folder / "pictures"
        shutil.rmtree(pictures, ignore_errors=True)
        pictures.mkdir()
        with hostile(ctx, scenario, old_s=0):
            ended = run([*words, *sets, "--home", str(ctx.home.root)], pictures)
        yield from ((column, f"{words[0]}: {what}") for column, what in judged(ended, pictures))


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code (None where it did not), what it said, seconds, the most memory it had."""

    code: int | None
    said: str
    seconds: float
    peak_bytes: int


def run(words: list[str], folder: Path) -> Ended:
    argv, started = [sys.executable, "-m", "provision", *words], time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak_bytes, code = 0, None
        while time.monotonic() - started < WAIT_S and code is None:
            peak_bytes = max(peak_bytes, _peak_bytes(process.pid))
            time.sleep(0.01)
            code = process.poll()
        process.kill()
        process.wait()
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    return Ended(code, said, time.monotonic() - started, peak_bytes)


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far; 0 where the system does not tell (proc(5), VmHWM).

    What wait4(2) tells is at least what the process had that started it.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def judged(ended: Ended, pictures: Path) -> Iterator[tuple[str, str]]:
    """What was wrong with how a command ended."""
    if ended.code is None or ended.seconds > HANG_S + USUAL_S:
        yield "hangs", f"{ended.seconds:.0f} s: {ended.said[-300:]}"
    if ended.code not in (0, 1, None) or "Traceback" in ended.said or "check-crashed" in ended.said:
        yield "exit 3", f"{ended.code}: {ended.said[-800:]}"
    if set("\x1b\x07\x9b\u202e") & set(ended.said):
        yield "run", f"control characters: {ended.said[-300:]!r}"
    if ended.peak_bytes > MEMORY_MAX_BYTES:
        yield "hangs", f"{ended.peak_bytes >> 20} MiB of memory"
    files = sorted(pictures.iterdir())
    for path in files:
        judgement = judge(path.read_bytes(), 256, 192)
        if judgement.verdict is Quality.BAD or path.name.startswith("."):
            yield "partial", f"{path.name}: {judgement.says}"
    if ended.code != 0 and files:
        yield "litter", f"exit {ended.code} and {[path.name for path in files]}"
