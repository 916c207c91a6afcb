"""The doctor on a rehearsal's home, as a person runs it: what is found, mended, listed, explained and reported."""

from __future__ import annotations

import getpass
import json
import os
import pty
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.steps.catalogue import CATALOGUE
from tests.e2e.conftest import CHECKOUT, Ended, Tool
from tests.support.forks import Forks

SECRETS = {
    "token": "hf_PlantedTokenPlantedTokenPlantedToken",
    "bearer": "PlantedBearerPlantedBearer",
    "signature": "PlantedSignaturePlantedSignature",
    "email": "ann.planted@example.org",
    "address": "203.0.113.77",
    "home": "/Users/plantedperson",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, uv_cache: Path, loaded: Forks) -> Iterator[Tool]:
    """One home for all tests here; each leaves it healthy."""
    tool = Tool(tmp_path_factory.mktemp("doctor") / "a home", {"UV_CACHE_DIR": str(uv_cache)}, loaded=loaded)
    ended = tool.run("all", "--rehearse")
    assert ended.code == 0, ended
    yield tool
    tool.text("stop")


def troubles(ended: Ended) -> dict[str, str]:
    """Every finding above OK by its id, but for this being no Mac."""
    found = {f["id"]: f["verdict"] for step in ended.report["steps"] for f in step["findings"] if f["verdict"] != "ok"}
    known = {entry.id for entry in CATALOGUE}
    assert {f["id"] for step in ended.report["steps"] for f in step["findings"]} <= known
    return {id: verdict for id, verdict in found.items() if not id.startswith(("hw-", "mem-"))}


def assert_healthy(tool: Tool) -> None:
    ended = tool.run("doctor")
    assert ended.code == 0, ended
    assert troubles(ended) == {}


def test_a_healthy_home(made: Tool) -> None:
    assert_healthy(made)
    assert "env-leak" not in made.text("doctor").stdout
    assert "env-leak" in made.text("doctor", "-v").stdout


def test_what_is_checked_is_listed(made: Tool) -> None:
    listed: list[Any] = made.run("doctor", "--list").report["checks"]
    assert {entry["id"] for step in listed for entry in step["findings"]} == {entry.id for entry in CATALOGUE}
    text = made.text("doctor", "--list").stdout
    assert all(entry.id in text for entry in CATALOGUE)


def test_an_id_that_is_none(made: Tool) -> None:
    ended = made.run("doctor", "--only", "ckpt-truncatd")
    assert ended.code == 2
    assert ended.report["error"]["argv"][-2:] == ["--only", "ckpt-truncated"]
    assert ended.report["error"]["hint"].endswith(" --only ckpt-truncated")


def test_leftovers_and_settings_are_mended_after_a_yes(made: Tool) -> None:
    comfyui = made.home / "ComfyUI"
    checkpoints = comfyui / "models" / "checkpoints"
    (comfyui / "extra_model_paths.yaml").write_text("", encoding="utf-8")
    (comfyui / "user" / "comfyui.db").write_bytes(b"no database at all")
    (checkpoints / "._x.safetensors").write_bytes(bytes.fromhex("0005160700020000"))
    (checkpoints / "x.part").write_bytes(b"1")
    os.utime(checkpoints / "x.part", (1_000_000_000, 1_000_000_000))
    (checkpoints / "sdxl-turbo" / ".git").mkdir(parents=True)
    broken = {"yaml-bad": "blocked", "db-bad": "blocked"}
    littered = {"fs-appledouble": "warn", "partials": "warn", "ckpt-nested": "warn"}
    ended = made.run("doctor")
    assert (ended.code, troubles(ended)) == (1, broken | littered)
    asked = made.run("doctor", "--fix")  # nobody is there to say yes
    assert (asked.code, asked.step("comfyui")["verdict"]) == (1, "blocked")
    assert (comfyui / "extra_model_paths.yaml").exists()
    mended = made.run("doctor", "--fix", "--yes")
    assert (mended.code, troubles(mended)) == (0, {}), mended
    assert len(list((made.home / "moved-aside").iterdir())) == 5
    assert_healthy(made)


def test_a_checkpoint_in_another_folder_is_not_downloaded_again(made: Tool) -> None:
    models = made.home / "ComfyUI" / "models"
    (place,) = models.glob("checkpoints/*.safetensors")
    (models / "unet").mkdir(exist_ok=True)
    place.rename(models / "unet" / place.name)
    ended = made.run("doctor")
    assert troubles(ended)["ckpt-wrong-dir"] == "fixable"
    mended = made.run("doctor", "--fix")
    assert mended.code == 0, mended
    assert place.samefile(models / "unet" / place.name)
    (models / "unet" / place.name).unlink()
    assert_healthy(made)


def place_of_model(tool: Tool) -> Path:
    (place,) = (tool.home / "ComfyUI" / "models" / "checkpoints").glob("*.safetensors")
    return place


def test_what_will_be_done_is_said_first_and_what_is_left_last(made: Tool) -> None:
    """In the order of the steps, with bytes and questions; the rehearsal's hub is gone, and comes up by itself."""
    checkpoint = place_of_model(made)
    whole = checkpoint.stat().st_size
    os.truncate(checkpoint, 20_000_000)
    settings = made.home / "ComfyUI" / "extra_model_paths.yaml"
    settings.write_text("", encoding="utf-8")
    lock = made.home / "ComfyUI" / ".git" / "index.lock"
    lock.write_bytes(b"")
    os.utime(lock, (1_000_000_000, 1_000_000_000))
    ended = made.run("doctor", "--fix")  # nobody is there to say yes
    (planned,) = [line for line in ended.lines if line["type"] == "fixes_planned"]
    assert [(mend["step"], mend["id"], bool(mend["question"])) for mend in planned["fixes"]] == [
        ("comfyui", "git-lock", False),
        ("comfyui", "yaml-bad", True),
        ("models", "ckpt-truncated", False),
    ]
    assert planned["fixes"][2]["download_bytes"] == whole - 20_000_000
    assert planned["then"] == ["torch", "requirements", "workflow", "server", "first_image", "lock"]
    assert ended.lines.index(planned) < next(i for i, e in enumerate(ended.lines) if e["type"] == "apply_started")
    assert (ended.code, ended.report["fixed"]) == (1, ["git-lock", "ckpt-truncated"])
    assert [(left["id"], left["verdict"]) for left in ended.report["left"]][:1] == [("yaml-bad", "blocked")]
    assert settings.exists()
    text = made.text("doctor", "--fix", "--yes")
    assert text.returncode == 0
    assert " 1. comfyui: extra_model_paths.yaml: it is empty" in text.stderr
    assert text.stdout.splitlines()[-1] == "Fixed: yaml-bad.", "no problem is left, as the exit code says"
    assert_healthy(made)


def test_one_finding_is_mended_alone(made: Tool) -> None:
    node = made.home / "ComfyUI" / "user" / "default" / "workflows" / "SDXL-Turbo 1.0.json"
    node.unlink()
    checkpoint = place_of_model(made)
    os.truncate(checkpoint, 20_000_000)
    ended = made.run("doctor", "--fix", "--only", "workflow-missing", "--only", "venv-moved")
    assert (ended.code, ended.report["fixed"]) == (0, ["workflow-missing"])
    assert checkpoint.stat().st_size == 20_000_000
    text = made.text("doctor", "--fix", "--only", "workflow-missing").stdout
    assert text == "workflow-missing was not found: nothing to fix.\n"
    (made.home / "first-image.png").unlink()
    ended = made.run("doctor", "--fix", "--only", "first-image-missing")  # which needs the model
    assert (ended.code, ended.report["fixed"]) == (0, ["ckpt-truncated", "first-image-missing"])
    assert_healthy(made)


def test_the_world_of_a_rehearsal_comes_up_again_even_when_it_was_deleted(made: Tool) -> None:
    shutil.rmtree(made.home / "state" / "rehearsal" / "root")
    place_of_model(made).unlink()
    assert made.run("doctor", "--fix").report["fixed"] == ["ckpt-missing"]
    assert_healthy(made)


DEEP_NOTES = ("Comparing torch's device", "Test-starting ComfyUI", "Making an image")


def test_what_was_proven_in_this_run_is_not_proven_again(made: Tool) -> None:
    (made.home / "ComfyUI" / "user" / "default" / "workflows" / "SDXL-Turbo 1.0.json").unlink()
    ended = made.run("doctor", "--deep", "--fix", "--only", "workflow-missing")
    assert (ended.code, ended.report["fixed"]) == (0, ["workflow-missing"])
    ended = made.run("doctor", "--deep", "--fix")
    assert ended.code == 0
    said = [line["message"] for line in ended.lines if line["type"] == "note"]
    assert [sum(note.startswith(one) for note in said) for one in DEEP_NOTES] == [1, 1, 1]
    read = [line for line in ended.lines if line["type"] == "progress" and line["step"] == "models"]
    done = [line["done"] for line in read]
    assert done, "it was read through"
    assert done == sorted(done), "and once: a second reading begins at 0"
    assert "sha256 OK" in ended.step("models")["findings"][0]["message"]


def test_what_was_touched_is_proven_again(made: Tool) -> None:
    checkpoint = place_of_model(made)
    with checkpoint.open("r+b") as stream:  # damage that only the hash shows
        stream.seek(-9, os.SEEK_END)
        stream.write(b"rot")
    ended = made.run("doctor", "--deep", "--fix")
    assert (ended.code, ended.report["fixed"]) == (0, ["ckpt-bitrot"]), ended.report
    assert "image-proven" in [finding["id"] for finding in ended.step("first_image")["findings"]]
    said = [line["message"] for line in ended.lines if line["type"] == "note"]
    assert [sum(note.startswith(one) for note in said) for one in DEEP_NOTES] == [1, 1, 2]
    read = [line for line in ended.lines if line["type"] == "progress" and line["step"] == "models"]
    through = [line["done"] for line in read if line["kind"] == "verify"]
    assert through == sorted(through), "the look read it through, and the download was hashed as it came"
    assert_healthy(made)


BUG = """
import provision.environment.packages
def broken(requirements):
    raise RuntimeError("a bug on purpose")
provision.environment.packages.asked_packages = broken
"""


def test_a_check_that_crashes_hides_nothing(made: Tool, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BUG)
    planted = Tool(made.home, {**made.environ, "PYTHONPATH": f"{CHECKOUT}:{tmp_path}"})
    ended = planted.run("doctor")
    assert ended.code == 1
    assert [finding["id"] for finding in ended.step("requirements")["findings"]] == ["check-crashed"]
    assert ended.step("server")["findings"][0]["id"] == "server-up"
    assert "a bug on purpose" in (made.home / "logs" / "provision.log").read_text(encoding="utf-8")
    assert_healthy(made)


def test_a_requirements_file_that_is_no_text_ends_nothing(made: Tool) -> None:
    asked = made.home / "ComfyUI" / "requirements.txt"
    right = asked.read_bytes()
    asked.write_bytes(b"\xff\xfe not text\nfoo; os_name ~= 'x'\n")
    try:
        ended = made.run("doctor")
    finally:
        asked.write_bytes(right)
    assert ended.code == 1
    assert [finding["id"] for finding in ended.step("requirements")["findings"]] == ["req-unproven"]
    assert_healthy(made)


def test_a_log_is_explained(made: Tool, tmp_path: Path) -> None:
    log = tmp_path / "sent.log"
    log.write_text("one\nRuntimeError: MPS backend out of memory (max allowed: 9.07 GB)\n" * 3, encoding="utf-8")
    ended = made.run("doctor", str(log))
    (sign,) = ended.report["signs"]
    assert (sign["log"], sign["line"], sign["id"]) == (str(log), 2, "mps-oom")
    assert (ended.code, ended.report["ok"]) == (1, False)
    text = made.text("doctor", str(log)).stdout
    assert "line 2: The GPU is out of memory.  [mps-oom]" in text
    assert "1 known problems found." in text
    assert made.run("doctor", str(tmp_path / "none.log")).code == 2
    assert made.run("doctor", str(made.home / "logs" / "comfyui.log")).report["signs"] == []
    assert made.run("doctor", str(made.home / "logs" / "provision.log")).code == 0


def test_a_report_tells_what_is_wrong_and_not_who_asks(made: Tool, tmp_path: Path) -> None:
    user, host = getpass.getuser(), socket.gethostname()
    person = tmp_path / "plantedperson home"
    person.mkdir()
    planted = "\n".join(
        (
            f"401 for token {SECRETS['token']}",
            f"> Authorization: Bearer {SECRETS['bearer']}",
            f"GET https://cdn.example.org/f?X-Amz-Signature={SECRETS['signature']}&Expires=9",
            SECRETS["email"],
            f"from {SECRETS['address']}:4444 by {user} on {host} and plantedname",
            f"{SECRETS['home']}/x",
            f'"{person}/models"',
            "x" * 395 + SECRETS["token"],
        )
    )
    for log in ("comfyui.log", "provision.log"):
        path = made.home / "logs" / log
        path.write_text(f"{path.read_text(encoding='utf-8')}{planted}\n", encoding="utf-8")
    token = "PlantedInTheEnvironment"
    environ = {
        **made.environ,
        "HOME": str(person),
        "HF_TOKEN": token,
        "MY_SECRET": "PlantedElsewhere",
        "USER": "plantedname",
    }
    ended = replace(made, environ=environ).run("doctor", "--report", str(tmp_path / "report.md"))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert ended.code == 0, ended
    assert [secret for secret in (*SECRETS.values(), token, "PlantedElsewhere") if secret in text] == []
    assert "planted" not in text.lower()
    if user != "root":
        assert user not in text
    assert host not in text
    for part in (
        "# Report of `provision doctor`",
        "| ComfyUI | v0.38.1",
        "| ok | torch | torch-ready |",
        '"device": "cpu"',
        "Starting server",
        "~/models",
        "[token]",
        "[email]",
        "[address]:4444",
    ):
        assert part in text, part
    assert json.dumps(str(made.home)) not in text or not str(made.home).startswith(str(person))


def test_a_report_never_overwrites_what_is_no_report(made: Tool, tmp_path: Path) -> None:
    letter = tmp_path / "letter.md"
    letter.write_text("Dear Ann", encoding="utf-8")
    assert made.run("doctor", "--report", str(letter)).code == 2
    assert letter.read_text(encoding="utf-8") == "Dear Ann"
    assert made.run("doctor", "--report", str(tmp_path / "none" / "r.md")).code == 2
    for _ in range(2):
        assert made.run("doctor", "--report", str(tmp_path / "r.md")).code == 0


@pytest.mark.parametrize(("answer", "written"), [("y", True), ("n", False)])
def test_what_goes_into_a_report_is_shown_before_it_is_written(
    made: Tool, tmp_path: Path, answer: str, written: bool
) -> None:
    report = tmp_path / "report.md"
    with (made.home / "logs" / "comfyui.log").open("a", encoding="utf-8") as log:
        log.write(f"token {SECRETS['token']}\n")
    ours, theirs = pty.openpty()
    environ = {**made.env(), "TERM": "dumb", "COLUMNS": "10000"}
    process = subprocess.Popen(
        made.argv("doctor", "--report", str(report)),
        env=environ,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    heard, answered = "", False
    with suppress(OSError):  # a terminal whose program ended
        while more := os.read(ours, 1 << 16):
            heard += more.decode("utf-8", "replace")
            if not answered and heard.endswith("[y/N] "):
                assert not report.exists(), "asked before"
                os.write(ours, f"{answer}\n".encode())
                answered = True
    os.close(ours)
    assert (process.wait(60), report.exists()) == (0, written), heard
    shown = heard.replace("\r\n", "\n").partition("Write this to ")[0]
    assert "# Report of `provision doctor`" in shown
    assert "token [token]" in shown
    assert SECRETS["token"] not in heard
    if written:
        assert report.read_text(encoding="utf-8") in shown, "all of it, and as it was written"
        assert "It holds: Machine and versions (" in heard
    else:
        assert "No report was written." in heard
