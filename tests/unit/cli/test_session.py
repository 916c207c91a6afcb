"""A command opens its session once, and what was typed reaches it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli.request import Request
from provision.cli.session import open_session
from provision.errors import ManifestError
from provision.output.console import Console
from provision.system.local_machine import LocalMachine
from tests.support.paths import CHECKOUT

ONCE = ("check_usable", "find_manifest", "home_for", "make_console")
"""What makes the home, the manifest and the console of a command."""
COUNTING = f"""
import json, os, sys
seen = dict.fromkeys({ONCE!r}, 0)
def count(frame, event, _):
    name = frame.f_code.co_name
    if event == "call" and name in seen and "/provision/" in frame.f_code.co_filename:
        seen[name] += 1
sys.setprofile(count)
from provision.cli.app import main
try:
    main()
finally:
    sys.setprofile(None)
    print(json.dumps(seen), file=open(os.environ["COUNTED"], "w"))
"""


@pytest.mark.parametrize("words", [("status",), ("doctor", "--only", "hw-arch"), ("check",), ("plan",), ("all",)])
def test_home_and_manifest_are_made_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    counted = tmp_path / "counted.json"
    nobody = "http://127.0.0.1:9"
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(CHECKOUT),
        "COUNTED": str(counted),
        "HF_ENDPOINT": nobody,
        "UV_DEFAULT_INDEX": nobody,
    }
    words += ("--home", str(tmp_path / "home"), f"--set=comfyui.url={tmp_path}", "--set=torch.channel=stable")
    subprocess.run(
        [sys.executable, "-c", COUNTING, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert json.loads(counted.read_text(encoding="utf-8")) == dict.fromkeys(ONCE, 1)


def test_what_is_wrong_with_the_manifest_is_said_before_a_world_is_made(tmp_path: Path) -> None:
    request = Request("all", tmp_path / "home", overrides=["comfyui.port=http"], rehearse=True)
    with pytest.raises(ManifestError), open_session(request, Console(), LocalMachine(dict(os.environ))):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_flag_of_the_manifest_is_a_key_and_set_wins() -> None:
    request = Request("all", comfyui="v1.2", torch="stable", overrides=["torch.channel=2.9.1"])
    assert request.manifest_keys() == ["comfyui.ref=v1.2", "torch.channel=stable", "torch.channel=2.9.1"]
    assert Request("all", comfyui="/somebody/ComfyUI").manifest_keys() == []
    assert Request("doctor", comfyui="v1.2").manifest_keys() == ["comfyui.ref=v1.2"], "as every command takes it"
