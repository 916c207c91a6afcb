"""A compiled file that a full disk cut short is compiled anew, and what is a person's stays."""

from __future__ import annotations

import compileall
from pathlib import Path

import pytest

from provision.comfyui.server_process import start_server, stop_server
from provision.core.home import Adopted, Home
from provision.environment.truncated_bytecode import forget_cut_caches
from tests.support.engine_home import engine_home

SAID = '  File "<frozen importlib>", line 729, in _compile_bytecode\nEOFError: marshal data too short\n'


def test_a_server_starts_in_spite_of_it(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path).ctx
    compileall.compile_dir(ctx.home.comfyui, quiet=1)
    (compiled,) = (ctx.home.comfyui / "__pycache__").glob("execution.*.pyc")
    compiled.write_bytes(compiled.read_bytes()[:200])
    try:
        assert start_server(ctx, timeout_s=60).pid
    finally:
        stop_server(ctx)


@pytest.mark.parametrize("said", ["", "EOFError: Ran out of input", "ModuleNotFoundError: No module named 'torch'"])
def test_nothing_is_removed_for_another_reason(home: Home, said: str) -> None:
    (home.comfyui / "__pycache__").mkdir(parents=True)
    assert not forget_cut_caches(home, said)
    assert (home.comfyui / "__pycache__").is_dir()


def test_what_is_adopted_is_left_alone(home: Home, tmp_path: Path) -> None:
    code, prefix = tmp_path / "code", tmp_path / "prefix"
    for folder in (code, prefix):
        (folder / "__pycache__").mkdir(parents=True)
    adopted = Home(home.root, Adopted(code, code, prefix, prefix / "bin" / "python"))
    assert not forget_cut_caches(adopted, SAID)
    assert (code / "__pycache__").is_dir()
    assert (prefix / "__pycache__").is_dir()
