"""`provision all --rehearse`: every step and backend for real, in an empty home."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, Json, Tool
from tests.support.paths import NOT_EVEN_ROOTS

BACKENDS = ("auto", "hf", "wget", "git-lfs", "http", "huggingface-cli")
FP16 = "sd_xl_turbo_1.0_fp16.safetensors"
HEADER_BYTES = 600_000
"""More than the checkpoint's header; what a look at it before the download may cost."""


def fp16_size(ended: Ended, tool: Tool) -> int:
    return (tool.home / "ComfyUI" / "models" / "checkpoints" / FP16).stat().st_size


def assert_done(ended: Ended, tool: Tool) -> None:
    assert ended.code == 0, (ended.report, ended.err)
    assert ended.report["ok"] is True
    assert (tool.home / "first-image.png").read_bytes().startswith(b"\x89PNG")
    assert not [path for path in (tool.home / "state" / "parts").iterdir() if path.stat().st_size], "parts left"


def test_from_nothing_and_again(alone: Tool) -> None:
    first = alone.run("all", "--rehearse")
    assert_done(first, alone)
    assert first.step("torch")["changed"]
    only_the_model_was_sent(first, alone)
    again = alone.run("all", "--rehearse")
    assert_done(again, alone)
    nothing_was_changed(again)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_model_by_each_backend_and_again(tool: Tool, backend: str) -> None:
    first = tool.run("download", "--rehearse", "--backend", backend)
    assert first.code == 0, (first.report, first.err)
    only_the_model_was_sent(first, tool)
    again = tool.run("download", "--rehearse", "--backend", backend)
    assert again.code == 0, (again.report, again.err)
    nothing_was_changed(again)


def only_the_model_was_sent(ended: Ended, tool: Tool) -> None:
    size = fp16_size(ended, tool)
    sent: Json = ended.report["rehearsal"]["hub_sent_by_file"]
    assert size <= sent[FP16] <= size + HEADER_BYTES
    assert not [name for name, count in sent.items() if count and name.endswith(".safetensors") and name != FP16]


def nothing_was_changed(ended: Ended) -> None:
    assert ended.report["changed"] is False
    assert ended.report["rehearsal"]["hub_sent_bytes"] == 0
    for step in ended.report["steps"]:
        assert not step["changed"]
        assert all(finding["message"] for finding in step["findings"]), step


def test_json_tells_how_far_each_download_is(tool: Tool) -> None:
    ended = tool.run("all", "--rehearse", "--stop", "-v")
    told = [line for line in ended.lines if line["type"] == "progress"]
    assert {(line["step"], line["kind"], line["subject"], line["unit"]) for line in told} >= {
        ("torch", "install", "packages", "packages"),
        ("requirements", "install", "packages", "packages"),
        ("comfyui", "clone", "ComfyUI", "objects"),
        ("models", "download", FP16, "bytes"),
    }
    said = [line["step"] for line in ended.lines if line["type"] == "output" and "Downloading " in line["line"]]
    wheels = {line["step"] for line in told if (line["kind"], line["unit"]) == ("install", "bytes")}
    assert wheels == set(said), "each size that uv says is told"
    last = {(line["step"], line["subject"]): line for line in told if line["unit"] != "steps"}
    assert not [line for line in last.values() if line["done"] != line["total"]]


def test_report_is_kept(rehearsed: Tool) -> None:
    kept = json.loads((rehearsed.home / "state" / "report.json").read_text(encoding="utf-8"))
    assert kept["ok"] is True
    assert [step["name"] for step in kept["steps"]] == [
        "hardware",
        "tools",
        "python_env",
        "torch",
        "comfyui",
        "models",
        "requirements",
        "workflow",
        "server",
        "first_image",
        "lock",
    ]


def started(step: str) -> Callable[[Json], bool]:
    def stop(event: Json) -> bool:
        return bool(event["type"] == "apply_started" and event["step"] == step)

    return stop


@pytest.mark.parametrize("step", ["comfyui", "models"])
def test_goes_on_after_a_kill(tool: Tool, step: str) -> None:
    killed = tool.until(started(step), "all", "--rehearse", "--json")
    assert killed.code == -signal.SIGKILL
    assert_done(tool.run("all", "--rehearse"), tool)


def test_goes_on_after_a_kill_in_each_step_that_waits_for_the_one_before(tool: Tool) -> None:
    for step in ("python_env", "torch", "requirements", "server", "first_image"):
        killed = tool.until(started(step), "all", "--rehearse", "--json")
        assert killed.code == -signal.SIGKILL, (step, killed.report)
    assert_done(tool.run("all", "--rehearse"), tool)


@pytest.mark.parametrize("backend", ["hf", "wget", "git-lfs", "http"])
def test_download_goes_on_after_a_kill(tool: Tool, backend: str) -> None:
    def some_bytes(event: Json) -> bool:
        return bool(event["type"] == "progress" and event["step"] == "models" and event["done"] > 1_000_000)

    tool.until(some_bytes, "download", "--rehearse", "--backend", backend, "--json")
    ended = tool.run("download", "--rehearse", "--backend", backend)
    assert ended.code == 0, ended
    assert fp16_size(ended, tool) > 1_000_000


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_politely(alone: Tool, sign: signal.Signals) -> None:
    ended = alone.until(started("torch"), "all", "--rehearse", "--json", sign=sign)
    assert ended.code == 130
    assert ended.report["error"]["code"] == "interrupted"
    assert_done(alone.run("all", "--rehearse"), alone)


def test_two_at_once(tool: Tool) -> None:
    second: list[subprocess.CompletedProcess[str]] = []

    def try_another(event: Json) -> bool:
        if not second and event["type"] == "apply_started":
            second.append(tool.text("doctor", "--fix"))
        return False

    first = tool.until(try_another, "all", "--rehearse", "--json")
    assert_done(first, tool)
    assert second[0].returncode == 1
    assert "in use by `provision all` (pid " in second[0].stderr


def test_what_a_person_reads(alone: Tool) -> None:
    first = alone.text("all", "--rehearse")
    assert first.returncode == 0, first.stderr
    assert "licence" in first.stderr
    assert f"Image: {alone.home / 'first-image.png'}" in first.stdout
    again = alone.text("all", "--rehearse", "--stop")
    assert "Everything is up to date" in again.stdout
    assert alone.text("status").returncode == 1  # the server was stopped
    up = alone.text("generate", "a lighthouse at night", "--seed", "5", "-o", str(alone.home.parent / "o.png"))
    assert up.returncode == 0, up.stderr
    assert (alone.home.parent / "o.png").read_bytes().startswith(b"\x89PNG")
    assert "seed 5" in up.stdout
    nowhere = alone.text("generate", "a fox", "-o", str(NOT_EVEN_ROOTS / "o.png"))
    assert nowhere.returncode == 1  # a place that cannot be written is the person's, not our bug
    assert "bug" not in nowhere.stderr
    assert "is not usable" in nowhere.stderr
    assert alone.text("status").returncode == 0
    assert "Starting server" in alone.text("logs").stdout
    assert alone.text("doctor").returncode == 0
    assert alone.text("stop").stdout.startswith("ComfyUI is stopped")


def test_plan_changes_nothing(tool: Tool, tmp_path: Path) -> None:
    ended = tool.run("plan", "--rehearse")
    assert ended.code == 0, ended
    assert ended.report["download_bytes"] > 20_000_000
    assert not (tool.home / "ComfyUI").exists()
    assert not (tool.home / "venv").exists()


def test_a_rehearsal_never_touches_a_real_home(tool: Tool) -> None:
    (tool.home / "state" / "receipts").mkdir(parents=True)
    (tool.home / "state" / "receipts" / "torch.json").write_text("{}", encoding="utf-8")
    ended = tool.run("all", "--rehearse")
    assert ended.code == 2
    assert "real install folder" in ended.report["error"]["message"]


def test_a_real_run_never_uses_a_rehearsals_home(tool: Tool) -> None:
    tool.run("plan", "--rehearse")
    ended = tool.run("all")
    assert ended.code == 2
    assert "rehearsal's install folder" in ended.report["error"]["message"]


def test_pictures_from_prompts_and_seconds_for_the_report(tool: Tool) -> None:
    none = tool.run("report")
    assert (none.code, none.report["error"]["code"]) == (2, "usage")
    assert tool.run("all", "--rehearse", "--stop").code == 0
    prompts = subprocess.run(
        tool.argv("generate", "-", "--seed", "5", "--size", "256", "--json"),
        input="a fox\n\na ../cat\n",
        text=True,
        env=tool.env(),
        cwd=tool.home.parent,
        capture_output=True,
        timeout=120,
        check=True,
    )
    made: list[Json] = json.loads(prompts.stdout.splitlines()[-1])["images"]
    assert [Path(each["path"]) for each in made] == [tool.home.parent / name for name in ("a-fox.png", "a----cat.png")]
    assert [each["seed"] for each in made] == [5, 5]
    assert Path(made[0]["path"]).read_bytes() != Path(made[1]["path"]).read_bytes()

    two = tool.run("generate", "a fox", "--seed", "5", "--size", "256", "--count", "2").report["images"]
    assert [each["seed"] for each in two] == [5, 6]
    assert Path(two[0]["path"]).name == "a-fox-1.png"

    bench = tool.run("bench", "--size", "256", "--steps", "1", "--steps", "2", "--count", "2").report
    assert [(case["width"], case["steps"], len(case["warm_s"])) for case in bench["cases"]] == [
        (256, 1, 2),
        (256, 2, 2),
    ]
    assert bench["peak_bytes"] > 10_000_000
    assert 0 < bench["start_s"] < 120

    assert tool.run("all", "--rehearse").report["changed"] is False
    ended = tool.run("report")
    page = Path(ended.report["path"]).read_text(encoding="utf-8")
    assert Path(ended.report["path"]).parent == tool.home
    assert "Installed and tested in" in page
    assert json.loads((tool.home / "state" / "receipts" / "comfyui.json").read_text())["commit"] in page
    drawn = [line for line in page.splitlines() if line.startswith('<rect class="mend"')]
    assert {line.split("<title>")[1].split(":")[0] for line in drawn if "<title>" in line} >= {
        "torch",
        "models",
        "server",
    }
    assert str(Path.home()) not in page
    assert "How fast it is" in page
    assert "256x256, 2 steps" in page

    (mine := tool.home.parent / "mine.html").write_text("<!DOCTYPE html><p>mine")
    refused = tool.run("report", "-o", str(mine))
    assert (refused.code, mine.read_text()) == (2, "<!DOCTYPE html><p>mine")
