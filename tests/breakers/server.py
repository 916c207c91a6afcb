"""Breakers of the server: who has the port, what runs, and what ComfyUI said when it came up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from provision.comfyui.server_process import client_of, read_record, record_path, server_argv, write_record
from provision.core.home import Home
from provision.system.machine import LOOPBACK
from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

SERVER, NODES = "server", "server nodes"
WAIT_S = 30


# -- what runs --------------------------------------------------------------------------------------------------


@breaks("server-down", SERVER)
def end_it(at: Patient) -> None:
    """The server was ended."""
    at.stop()


@breaks("server-down", SERVER)
def kill_it(at: Patient) -> None:
    """The server was killed, and its record stays."""
    record = read_record(at.ctx)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    _wait(lambda: at.ctx.machine.process(record.pid) is None)
    assert record_path(at.ctx).exists()


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


@breaks("server-starting", f"{SERVER} torch checkout")
def start_slowly(at: Patient) -> None:
    """The server was started a moment ago."""
    at.stop()
    at.environ["ENGINE_FAULT"] = "slow_start:2"
    ctx = at.ctx
    argv = server_argv(ctx)
    pid = ctx.machine.spawn(argv, cwd=at.comfyui, log=at.home.engine_log, env={})
    process = ctx.machine.process(pid)
    assert process is not None
    write_record(ctx, process, argv)


@breaks("server-stale", SERVER)
def start_with_other_flags(at: Patient) -> None:
    """The server runs with other flags than are wanted."""
    at.sets.append('comfyui.args=["--force-fp16", "--fp32-vae"]')
    at.start()
    at.sets.clear()


@breaks("server-lost", SERVER)
def lose_its_record(at: Patient) -> None:
    """The server runs, its record is gone."""
    record_path(at.ctx).unlink()


# -- the port ---------------------------------------------------------------------------------------------------


@breaks("port-busy", SERVER)
def give_the_port_away(at: Patient) -> None:
    """Another program has the port."""
    at.stop()
    program = at.later.enter_context(ThreadingHTTPServer((LOOPBACK, at.ctx.manifest.comfyui.port), NotComfyUI))
    at.later.callback(program.shutdown)
    threading.Thread(target=program.serve_forever, daemon=True).start()


class NotComfyUI(BaseHTTPRequestHandler):
    """Answers as a program that is no ComfyUI: every address is not found."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


@breaks("port-comfyui", SERVER)
def run_another_comfyui(at: Patient) -> None:
    """Another ComfyUI has the port."""
    at.stop()
    other = Home(at.home.root.parent / "other")
    shutil.rmtree(other.root, ignore_errors=True)
    shutil.copytree(at.comfyui, other.comfyui, ignore=shutil.ignore_patterns("models", ".git"))
    port = str(at.ctx.manifest.comfyui.port)
    words = (at.home.python, other.comfyui / "main.py", "--port", port, "--cpu")
    running = subprocess.Popen(words, cwd=other.comfyui, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    at.later.callback(running.wait)
    at.later.callback(running.kill)
    _wait(lambda: client_of(at.ctx).system_stats() is not None)


# -- its flags --------------------------------------------------------------------------------------------------


def _wish_for(at: Patient, *flags: str) -> None:
    at.sets.append(f"comfyui.args={json.dumps(flags)}")


@breaks("dtype-flags", "server picture", "server-stale", "first-image-stale", "lock-stale")
def give_two_precisions(at: Patient) -> None:
    """Two flags are wished for of which ComfyUI takes one."""
    _wish_for(at, "--force-fp16", "--force-fp32")


@breaks("listen-wrong", "server picture", "server-stale", "first-image-stale", "lock-stale")
def open_it_to_all(at: Patient) -> None:
    """--listen is wished for."""
    _wish_for(at, "--force-fp16", "--listen")


@breaks("flag-old", "server picture", "server-stale", "first-image-stale", "lock-stale")
def wish_for_a_deprecated_flag(at: Patient) -> None:
    """A flag is wished for that ComfyUI calls deprecated."""
    _wish_for(at, "--force-fp16", "--disable-api-nodes")


# -- what it said when it came up -------------------------------------------------------------------------------


@breaks("node-failed", NODES)
def install_a_broken_node(at: Patient) -> None:
    """A custom node imports a package that is not there."""
    node = at.comfyui / "custom_nodes" / "broken"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text("import a_package_that_is_not_here\n", encoding="utf-8")
    at.start()


@breaks("extras-failed", NODES)
def lose_an_extra(at: Patient) -> None:
    """One of ComfyUI's own nodes could not be loaded."""
    at.log_at_start("IMPORT FAILED: nodes_audio.py")


@breaks("torch-no-mps", "server checkout torch picture", "git-dirty")
def compute_on_the_cpu(at: Patient) -> None:
    """Torch has a GPU, and ComfyUI computes without."""
    program = at.comfyui / "model_management.py"
    program.write_text(program.read_text("utf-8").replace("DEVICE = get_torch_device()", 'DEVICE = "cpu"'), "utf-8")
    at.receipt("torch", device="mps")
    at.start()
    at.receipt("first_image", flags=["--force-fp16"])


@breaks("flag-unknown", SERVER, "server-down")
def start_with_a_wrong_flag(at: Patient) -> None:
    """ComfyUI was started with a flag that it does not know."""
    at.stop()
    at.home.engine_log.unlink()
    ctx = at.ctx
    pid = ctx.machine.spawn((*server_argv(ctx), "--faster"), cwd=at.comfyui, log=at.home.engine_log, env={})
    _wait(lambda: ctx.machine.process(pid) is None)


def _ended_with(at: Patient, *lines: str) -> None:
    """The server is gone, and said this last."""
    at.stop()
    at.home.engine_log.write_text("Python version: 3.12.7\n", encoding="utf-8")
    at.log(*lines)


@breaks("db-in-use", SERVER, "server-down")
def share_a_database(at: Patient) -> None:
    """Another ComfyUI holds the database."""
    _ended_with(at, "ASSETS_STARTUP_FAILED: in_use")


@breaks("tcc-folder", SERVER, "server-down")
def live_in_documents(at: Patient) -> None:
    """macOS keeps Python out of the folder Documents."""
    _ended_with(at, "PermissionError: [Errno 1] Operation not permitted: '/Users/ann/Documents/venv/pyvenv.cfg'")


@breaks("watermark-env", SERVER, "server-down")
def set_a_watermark(at: Patient) -> None:
    """ComfyUI was started by hand with a watermark that torch refuses."""
    _ended_with(at, "RuntimeError: invalid low watermark ratio 1.4")


@breaks("mixed-arch-so", SERVER, "server-down")
def mix_processors(at: Patient) -> None:
    """ComfyUI ended, and said that a library is for another processor."""
    _ended_with(at, "ImportError: dlopen(_multiarray_umath.so, 0x0002): tried: '_multiarray_umath.so' (mach-o file, "
                "but is an incompatible architecture (have 'x86_64', need 'arm64'))")  # fmt: skip


@breaks("quarantine", SERVER, "server-down")
def quarantine_a_library(at: Patient) -> None:
    """ComfyUI ended, and said that macOS holds a library back."""
    _ended_with(at, "ImportError: dlopen(libtorch.dylib): code signature invalid, library load disallowed by system "
                "policy")  # fmt: skip


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
