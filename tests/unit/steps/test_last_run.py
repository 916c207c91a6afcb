"""What ComfyUI's history says of the last prompt: named with its node, in the words that `generate` ends with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from provision.comfyui.answers import Ended
from provision.comfyui.api import Comfy
from provision.comfyui.error_explanations import custom_node_in, failed_in, failure_of
from provision.comfyui.server_process import client_of, start_server, stop_server
from provision.command import Fix, program
from provision.core.finding import Finding, Verdict
from provision.errors import EngineError
from provision.steps.first_image.step import make_image
from provision.steps.server.last_run import check_last_prompt
from provision.system.strict import convert
from tests.support.engine_home import CHECKPOINT, EngineHome, engine_home, write_checkpoint
from tests.support.hints import said

PLACEHOLDER = """
class Paint:
    RETURN_TYPES = ("LATENT",)
    FUNCTION = "paint"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"latent": ("LATENT",)}}

    def paint(self, latent):
        raise RuntimeError("Placeholder storage has not been allocated on MPS device!")

NODE_CLASS_MAPPINGS = {"Paint It": Paint}
"""


def silent(self: Comfy, timeout_s: float = 0) -> None:
    """A history that does not answer."""
    raise EngineError("busy", hint=Fix("wait"))


@contextmanager
def running(root: Path, fault: str = "") -> Iterator[EngineHome]:
    home = engine_home(root, fault=fault)
    node = home.ctx.home.comfyui / "custom_nodes" / "paint-it"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text(PLACEHOLDER, encoding="utf-8")
    start_server(home.ctx)
    try:
        yield home
    finally:
        stop_server(home.ctx)


def paint(home: EngineHome) -> str:
    """Make an image; what it failed with, empty where it came out."""
    try:
        make_image(home.ctx, home.ctx.manifest.first_image, "an image")
    except EngineError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("fault", "id", "node"),
    [
        ("oom", "mps-oom", "KSampler"),
        ("op_missing", "mps-op-missing", "KSampler"),
        ("fp8", "fp8-fp64-mps", "KSampler"),
        ("node_error", "shape-mismatch", "KSampler"),
        ("ckpt_error", "ckpt-damaged", "CheckpointLoaderSimple"),
        ("strange", "engine-error", "KSampler"),
    ],
)
def test_the_last_error_is_a_finding_in_the_words_of_generate(tmp_path: Path, fault: str, id: str, node: str) -> None:
    with running(tmp_path, fault) as home:
        assert list(check_last_prompt(home.ctx)) == []
        said = paint(home)
        home.ctx.home.engine_log.write_text("got prompt\n", encoding="utf-8")  # the history alone must tell
        (finding,) = check_last_prompt(home.ctx)
    assert (finding.id, finding.verdict, finding.subject) == (id, Verdict.WARN, node)
    assert finding.says == said
    assert said.startswith(f"ComfyUI failed in {node} (node ")
    if fault == "strange":
        assert said.endswith("with RuntimeError: the moon is in the wrong house")


def test_a_node_that_is_not_comfyuis_own_is_named_with_its_folder(tmp_path: Path) -> None:
    with running(tmp_path) as home:
        client = client_of(home.ctx)
        assert client.node_module("Paint It") == "custom_nodes.paint-it"
        assert client.node_module("KSampler") == "nodes"
        assert client.node_module("none of them") == ""
        with suppress(EngineError):
            client.generate(with_paint(home), on_progress=lambda stage, done, total: None)
        (finding,) = check_last_prompt(home.ctx)
        folder = home.ctx.home.comfyui / "custom_nodes" / "paint-it"
    assert (finding.id, finding.subject) == ("mps-placeholder", "Paint It")
    assert "of the custom node paint-it: a part of the model was left on the CPU" in finding.says
    assert finding.fix is not None
    assert finding.fix.command == program("mv", str(folder), f"{folder}.disabled")


def with_paint(home: EngineHome) -> dict[str, Any]:
    """A prompt whose latent goes through the custom node."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_turbo_1.0_fp16.safetensors"}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "3": {"class_type": "Paint It", "inputs": {"latent": ["2", 0]}},
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
    }


def test_a_picture_that_came_out_since_ends_the_matter(tmp_path: Path) -> None:
    with running(tmp_path) as home:
        with suppress(EngineError):
            client_of(home.ctx).generate(with_paint(home), on_progress=lambda stage, done, total: None)
        assert len(list(check_last_prompt(home.ctx))) == 1
        assert paint(home) == ""
        assert list(check_last_prompt(home.ctx)) == []


@pytest.mark.parametrize("answers", [True, False])
def test_a_checkpoint_that_came_since_ends_what_was_wrong_with_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    with running(tmp_path, "ckpt_error") as home:
        paint(home)
        if not answers:
            monkeypatch.setattr(Comfy, "newest", silent)
        assert [finding.id for finding in check_last_prompt(home.ctx)] == ["ckpt-damaged"]
        place = home.ctx.home.comfyui / "models" / "checkpoints" / CHECKPOINT
        write_checkpoint(place.with_suffix(".part"))
        place.with_suffix(".part").replace(place)
        assert list(check_last_prompt(home.ctx)) == []


def test_a_new_checkpoint_does_not_end_what_was_wrong_with_the_memory(tmp_path: Path) -> None:
    with running(tmp_path, "oom") as home:
        paint(home)
        write_checkpoint(home.ctx.home.comfyui / "models" / "checkpoints" / CHECKPOINT)
        assert [finding.id for finding in check_last_prompt(home.ctx)] == ["mps-oom"]


def test_a_server_that_was_killed_is_told_in_the_same_words(tmp_path: Path) -> None:
    with running(tmp_path, "die") as home:
        said = paint(home)
        (finding,) = check_last_prompt(home.ctx)
    assert (finding.id, finding.says) == ("mem-killed", said)


def test_a_history_that_does_not_answer_leaves_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, "oom") as home:
        paint(home)
        monkeypatch.setattr(Comfy, "newest", silent)
        found: list[Finding] = list(check_last_prompt(home.ctx))
    assert [finding.id for finding in found] == ["mps-oom"]
    assert found[0].says.startswith("ComfyUI's last image: ")


def test_the_words_of_a_failure() -> None:
    trace = ['  File "/h/ComfyUI/custom_nodes/Fast-Nodes/nodes.py", line 3, in go\n', "  File x\n"]
    data = {"node_type": "Go", "node_id": "7", "exception_message": "odd\nmore", "exception_type": "OddError"}
    failure = failure_of({**data, "traceback": trace})
    assert failure.says == "ComfyUI failed in Go (node 7) of the custom node Fast-Nodes with OddError: odd"
    assert (failure.id, failure.custom_node) == ("engine-error", "Fast-Nodes")
    assert failure_of(data, "custom_nodes.Slow").custom_node == "Slow"
    assert failure_of(data, "comfy_extras.nodes_x").custom_node == ""
    assert custom_node_in('File "/h/custom_nodes/one.py", line 1') == "one.py"
    assert failure_of({}).says == "ComfyUI failed in a node (node None) with an error: nothing"
    oom = failure_of({**data, "exception_message": "MPS backend out of memory", "traceback": trace})
    assert oom.id == "mps-oom"
    assert "disabled" not in said(oom.hint), "its node is named, and memory is the fault"
    assert failed_in(convert({"status": None}, Ended)) is None
    failed = failed_in(convert({"status": {"messages": [["execution_error", data]]}}, Ended))
    assert failed is not None
    assert failed.data == data
