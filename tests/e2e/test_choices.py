"""What a home was asked for: every command goes by it, a flag changes it and says so, a broken file is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from provision.core.choices import read_choices
from provision.core.home import Home
from provision.system.local_machine import free_port
from tests.e2e.conftest import Ended, Tool

SMALL = ("--set", "first_image.width=256", "--set", "first_image.height=256")
REHEARSE = ("all", "--rehearse")
HEAD = "# Settings of this install folder"


def told(ended: Ended) -> list[str]:
    """What was said of changes."""
    says = [line["message"] for line in ended.lines if line.get("type") == "note"]
    return [each for each in says if " is now " in each]


def config(tool: Tool, *words: str) -> dict[str, tuple[Any, str]]:
    """Each value with its source."""
    ended = tool.run("config", *words)
    assert ended.code == 0, ended.err
    return {each["key"]: (each["value"], each["source"]) for each in ended.report["values"]}


def server(tool: Tool) -> tuple[int, int]:
    record = json.loads((tool.home / "state" / "server.json").read_text(encoding="utf-8"))
    return record["pid"], record["port"]


def test_every_command_goes_by_what_was_asked_for(tool: Tool) -> None:
    port, file = free_port(), tool.home / "provision.toml"
    words = (*SMALL, "--set", f"comfyui.port={port}", "--torch", "stable", "--precision", "fp32", "--no-copy")
    first = tool.run(*REHEARSE, *words)
    assert (first.code, told(first)) == (0, [])  # in a new home nothing was otherwise
    text, up = file.read_text(encoding="utf-8"), server(tool)
    assert text.startswith(HEAD)
    assert read_choices(file) == {
        "manifest": "sdxl-turbo",
        "precision": "fp32",
        "copy": False,
        "torch.channel": "stable",
        "first_image.width": 256,
        "first_image.height": 256,
        "comfyui.port": port,
    }
    assert up[1] == port

    looked = tool.run("doctor")
    assert looked.code == 0, looked.report
    assert [step["name"] for step in looked.report["steps"] if step["verdict"] not in ("ok", "warn")] == []
    mended = tool.run("doctor", "--fix")
    assert (mended.code, mended.report["fixed"]) == (0, [])
    planned = tool.run("plan", "--rehearse")
    assert (planned.code, planned.report["download_bytes"], planned.report["disk_bytes"]) == (0, 0, 0)
    assert tool.run("status").code == 0
    made = tool.run("generate", "a fox", "-o", str(tool.home.parent / "fox.png"))
    assert made.code == 0
    assert made.report["images"][0]["judgement"].startswith("256x256")
    assert tool.run("stop").code == 0
    assert tool.run("launch").code == 0
    assert server(tool)[1] == port
    assert tool.run(*REHEARSE).report["changed"] is False
    assert file.read_text(encoding="utf-8") == text

    # What is said for one picture is not remembered; what is said to `all` is.
    tool.run("generate", "a fox", "--steps", "2", "-o", str(tool.home.parent / "fox.png"))
    assert tool.run("doctor", "--set", "first_image.steps=3").code == 1
    assert file.read_text(encoding="utf-8") == text
    again = tool.run(*REHEARSE, "--set", "first_image.steps=3", "--backend", "http", "--time-machine", "keep")
    assert told(again) == [
        "backend is now http (was auto).",
        "--time-machine is now keep (was ask).",
        "first_image.steps is now 3 (was 1).",
    ]
    assert tool.run("doctor").code == 0

    sources = config(tool, "--torch", "nightly")
    assert sources["torch.channel"] == ("nightly", "flag")
    assert sources["backend"] == ("http", "home")
    assert sources["first_image.steps"] == (3, "home")
    assert sources["comfyui.port"] == (port, "home")
    assert sources["comfyui.ref"][1] == "manifest"
    assert sources["comfyui.url"][1] == "rehearsal"
    assert sources["share_cache"] == (False, "default")
    assert sources["time_machine"] == ("keep", "home")

    reset = tool.run(*REHEARSE, "--reset", *SMALL, "--torch", "stable", "--precision", "fp32")
    assert sorted(told(reset)) == [
        "--time-machine is now ask (was keep).",
        "backend is now auto (was http).",
        f"comfyui.port is now {server(tool)[1]} (was {port}).",
        "first_image.steps is now 1 (was 3).",
    ]
    assert server(tool)[1] != port
    assert read_choices(file).keys() == {
        "manifest",
        "precision",
        "torch.channel",
        "first_image.width",
        "first_image.height",
    }


def test_what_a_lock_says_is_asked_for_too_and_rollback_goes_back_to_what_was(tool: Tool) -> None:
    file = tool.home / "provision.toml"
    assert tool.run(*REHEARSE, *SMALL).code == 0
    lock = tool.home.parent / "nightly.lock"
    lock.write_bytes((tool.home / "provision.lock").read_bytes())
    changed = tool.run(*REHEARSE, "--torch", "stable")
    assert told(changed) == ["torch is now stable (was nightly)."]
    file.unlink()  # a home from before: its receipts tell
    assert config(tool)["torch.channel"] == ("stable", "home")
    assert tool.run("doctor", "--only", "torch-channel").code == 0

    back = tool.run("rollback")
    assert told(back) == ["torch is now nightly (was stable)."]
    assert config(tool)["torch.channel"] == ("nightly", "home")
    assert tool.run(*REHEARSE, *SMALL).report["changed"] is False

    assert tool.run(*REHEARSE, "--torch", "stable").code == 0
    rebuilt = tool.run(*REHEARSE, "--locked", str(lock))
    assert rebuilt.code == 0, rebuilt.report
    assert told(rebuilt)[0].startswith("torch is now 2.16.0.dev")
    assert config(tool, "--locked", str(lock))["torch.channel"][1] == "lock"
    assert config(tool)["torch.channel"][1] == config(tool)["comfyui.ref"][1] == "home"
    assert tool.run("doctor").code == 0
    assert tool.run(*REHEARSE).report["changed"] is False


# -- a file that cannot be used -----------------------------------------------------------------------------------

BROKEN = {
    "no-toml": (b"torch.channel = stable\n", "it cannot be read"),
    "unknown": (b"[first_image]\nstep = 2\n", "first_image.step is not a known key"),
    "type": (b'first_image.steps = "2"\n', "first_image.steps must be int"),
    "value": (b"first_image.steps = 500\n", "first_image.steps is 500"),
    "backend": (b'backend = "torrent"\n', "Unknown backend 'torrent'"),
    "precision": (b'precision = "fp8"\n', "Unknown precision 'fp8'"),
    "endpoint": (b'endpoints = ["ftp://x"]\n', "not an http address"),
    "place": (b'models.7.revision = "main"\n', "is not an index of that list"),
    "manifest": (b'manifest = "sdxl-trubo"\n', "Unknown manifest 'sdxl-trubo'"),
    "large": (b"#" * 4_100_000, "4,100,000 bytes"),
    "bytes": (b"\xff\xfe\x00", "not UTF-8"),
    "deep": (b"a = " + b"[" * 50_000, "it cannot be read"),
}


@pytest.mark.parametrize("name", [*BROKEN, "folder", "fifo", "device"])
def test_a_file_that_cannot_be_used_is_one_sentence(tool: Tool, name: str) -> None:
    Home(tool.home).prepare()
    file, (data, says) = tool.home / "provision.toml", BROKEN.get(name, (None, "it cannot be read"))
    if data is not None:
        file.write_bytes(data)
    elif name == "folder":
        file.mkdir()
    elif name == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    for command in ("doctor", "config"):
        ended = tool.run(command)
        assert ended.code == 2, (ended.lines, ended.err)
        error = ended.report["error"]
        assert error["message"].startswith(f"{file}: ")
        assert says in error["message"]
        if name in ("unknown", "manifest"):
            assert error["hint"].startswith(("Nearest: first_image.steps", "Did you mean sdxl-turbo"))
        else:
            assert error["argv"][-1] == "--reset"
        assert "\n" not in error["message"]
        assert "Traceback" not in ended.err
    assert os.path.lexists(file)


def test_uninstall_takes_a_broken_file_away(tool: Tool) -> None:
    Home(tool.home).prepare()
    (tool.home / "provision.toml").write_text("this is no toml", encoding="utf-8")
    assert tool.run("uninstall", "--yes").code == 0
    assert not tool.home.exists()


def test_a_file_of_somebody_else_is_no_home(tool: Tool) -> None:
    tool.home.mkdir()
    (tool.home / "provision.toml").write_text("theirs = 1", encoding="utf-8")
    assert tool.run("status").code == 1
    ended = tool.run("all")
    assert (ended.code, "not made by provision" in ended.report["error"]["message"]) == (2, True)


def test_a_manifest_of_ones_own_is_found_from_anywhere(tool: Tool, tmp_path: Path) -> None:
    Home(tool.home).prepare()
    (tool.home / "provision.toml").write_text(f'manifest = "{tmp_path}/gone.toml"\n', encoding="utf-8")
    gone = tool.run("status")
    assert (gone.code, "gone.toml" in gone.report["error"]["message"]) == (2, True)
    assert config(tool, "--manifest", "sd-turbo")["manifest"] == ("sd-turbo", "flag")


def test_the_table_is_for_people(tool: Tool) -> None:
    Home(tool.home).prepare()
    (tool.home / "provision.toml").write_text("[first_image]\nsteps = 2\n", encoding="utf-8")
    tool.environ["HF_ENDPOINT"] = "https://hub.example"
    lines = [line.split() for line in tool.text("config").stdout.splitlines()]
    assert ["first_image.steps", "home", "2"] in lines
    assert ["endpoints", "environment", "https://hub.example"] in lines
    assert ["home", "flag"] in [line[:2] for line in lines]
