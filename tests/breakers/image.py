"""Breakers of the first image, and of the pictures that a person asks ComfyUI for."""

from __future__ import annotations

import json
from contextlib import suppress

from provision.errors import EngineError
from provision.steps.first_image.step import make_image
from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient
from tests.support.engine_faults import SAMPLER_FAILURES

PICTURE, SERVER = "picture", "server"


# -- the proof --------------------------------------------------------------------------------------------------


@breaks("first-image-missing", PICTURE)
def delete_it(at: Patient) -> None:
    """The first image is deleted."""
    at.home.first_image.unlink()


@breaks("first-image-stale", PICTURE)
def paint_over_it(at: Patient) -> None:
    """Another picture has its name."""
    at.home.first_image.write_bytes(b"another picture")


@breaks("first-image-rough", f"{PICTURE} torch checkout")
def be_in_doubt(at: Patient) -> None:
    """The first image was judged as doubtful."""
    at.receipt("first_image", verdict="warn", says="It may be noise (neighbours agree by 0.41).")


@breaks("image-rejected", "server picture", deep=True)
def make_black_pictures(at: Patient) -> None:
    """Every picture is black without --fp32-vae."""
    at.start("black:--fp32-vae")


# -- the last picture -------------------------------------------------------------------------------------------


def _ask_for_a_picture(at: Patient, fault: str) -> None:
    """A picture is asked for, and fails in a server with this fault."""
    ctx = at.start(fault)
    with suppress(EngineError):
        make_image(ctx, ctx.manifest.first_image, "a picture")
        raise AssertionError("It was made.")


@breaks("mps-oom", SERVER)
def use_up_the_gpu(at: Patient) -> None:
    """The GPU's memory is used up."""
    _ask_for_a_picture(at, "oom")


@breaks("shape-mismatch", SERVER)
def mix_kinds(at: Patient) -> None:
    """Parts of two kinds of models meet."""
    _ask_for_a_picture(at, "node_error")


@breaks("mps-op-missing", SERVER)
def lack_an_operation(at: Patient) -> None:
    """Torch lacks an operation on the GPU."""
    _ask_for_a_picture(at, "op_missing")


@breaks("fp8-fp64-mps", SERVER)
def use_a_small_format(at: Patient) -> None:
    """The model has a number format that the GPU has not."""
    _ask_for_a_picture(at, "fp8")


@breaks("engine-error", SERVER)
def fail_strangely(at: Patient) -> None:
    """A node fails with words that nobody knows."""
    _ask_for_a_picture(at, "strange")


@breaks("ckpt-damaged", SERVER)
def load_half_a_file(at: Patient) -> None:
    """ComfyUI finds the checkpoint cut short."""
    _ask_for_a_picture(at, "ckpt_error")


@breaks("mem-killed", SERVER, "server-down")
def kill_it_at_work(at: Patient) -> None:
    """The server was killed while it made a picture."""
    _ask_for_a_picture(at, "die")


def _failed_with(at: Patient, error: str) -> None:
    """The server is gone; its log ends with a prompt that failed."""
    at.stop()
    at.log(
        "got prompt",
        f"!!! Exception during processing !!! {error}",
        "Traceback (most recent call last):",
        f"RuntimeError: {error}",
        "Prompt executed in 0.10 seconds",
    )


@breaks("mem-out", SERVER, "server-down")
def run_out_of_memory(at: Patient) -> None:
    """There was not enough memory for a picture."""
    _failed_with(at, "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to")


@breaks("mps-placeholder", SERVER, "server-down")
def leave_a_part_behind(at: Patient) -> None:
    """A part of the model was left on the CPU."""
    _failed_with(at, "Placeholder storage has not been allocated on MPS device!")


@breaks("half-missing", SERVER, "server-down")
def compute_in_half(at: Patient) -> None:
    """An operation cannot be computed in fp16."""
    _failed_with(at, "\"LayerNormKernelImpl\" not implemented for 'Half'")


@breaks("node-error", SERVER, "server-down")
def fail_without_a_history(at: Patient) -> None:
    """A node failed with words that nobody knows, and the server is gone."""
    _failed_with(at, SAMPLER_FAILURES["strange"])


@breaks("mps-abort", SERVER, "server-down")
def give_up_in_the_middle(at: Patient) -> None:
    """Apple's graphics library ended the server."""
    at.stop()
    at.log(
        "got prompt",
        "(mpsFileLoc): error: 'mps.add' op requires the same element type",
        "LLVM ERROR: Failed to infer result type(s).",
    )
    record = {"pid": 2**22 - 1, "created": 1.0, "port": at.ctx.manifest.comfyui.port, "argv": []}
    (at.home.state / "server.json").write_text(json.dumps(record), encoding="utf-8")


@breaks("black-image", SERVER)
def cast_no_numbers(at: Patient) -> None:
    """The last picture was computed to no numbers."""
    at.log(
        "got prompt",
        "nodes.py:1593: RuntimeWarning: invalid value encountered in cast",
        "Prompt executed in 3.10 seconds",
    )


@breaks("ckpt-unlisted", SERVER)
def ask_for_what_is_not_there(at: Patient) -> None:
    """A workflow asked for a checkpoint that ComfyUI does not see."""
    at.log(
        "got prompt",
        "Failed to validate prompt for output 7:",
        "* CheckpointLoaderSimple 1:",
        "  - Value not in list: ckpt_name: 'sdxl.safetensors' not in []",
        "invalid prompt",
    )


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
