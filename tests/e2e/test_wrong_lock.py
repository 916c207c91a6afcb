"""A lock or a manifest with a wrong hash or commit: refused with a sentence, and what is in use stays as it is."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from provision.core.lockfile import load_lock
from tests.e2e.conftest import Ended, Tool


def test_what_is_not_as_it_should_be_is_not_installed(rehearsed: Tool) -> None:
    """In one home: it is whole before each try and after it."""
    tool = rehearsed
    place, wrong = tool.home / "provision.lock", tool.home.parent / "wrong.lock"
    lock, text, before = load_lock(place), place.read_text(encoding="utf-8"), installed(tool)
    package = next(each for each in lock.packages if each.name == "attrs")
    tries = {
        "models": lock.models[0].sha256,
        "comfyui": lock.comfyui.commit,
        "torch": package.sha256,
    }
    for step, right in tries.items():
        wrong.write_text(text.replace(right, other(right)), encoding="utf-8")
        ended = tool.run("all", "--rehearse", "--locked", str(wrong))
        assert refused(ended) == step
        assert installed(tool) == before

    ended = tool.run("all", "--rehearse", "--set", f"models.0.files.0.sha256={other(lock.models[0].sha256)}")
    assert refused(ended) == "models"
    assert installed(tool) == before
    assert tool.run("all", "--rehearse", "--locked", str(place)).code == 0


def other(digits: str) -> str:
    return "".join("fedcba9876543210"[int(digit, 16)] for digit in digits)


def refused(ended: Ended) -> str:
    """The step that refused, with a sentence and a hint."""
    assert ended.code in (1, 2), ended.lines
    assert "Traceback" not in ended.err
    failed = [step for step in ended.report["steps"] if step["error"]]
    assert len(failed[0]["error"]["message"].split()) > 5
    assert failed[0]["error"]["hint"]
    return str(failed[0]["name"])


def installed(tool: Tool) -> dict[str, str]:
    """What is in use: the environment, the checkout's commit, the model's bytes."""
    comfyui = tool.home / "ComfyUI"
    ran = subprocess.run(("git", "-C", comfyui, "rev-parse", "HEAD"), capture_output=True, text=True, check=True)
    files = sorted((comfyui / "models" / "checkpoints").glob("*.safetensors"))
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {"venv": str((tool.home / "venv").readlink()), "commit": ran.stdout.strip(), **hashes, **environments(tool)}


def environments(tool: Tool) -> dict[str, str]:
    """The packages of each environment."""
    found = {}
    for folder in sorted(Path(tool.home / "envs").iterdir()):
        names = sorted(each.name for each in folder.glob("lib/python3*/site-packages/*.dist-info"))
        found[f"envs/{folder.name}"] = " ".join(names)
    return found
