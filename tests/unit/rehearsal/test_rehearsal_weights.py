"""The rehearsal's weights: real names and shapes, a valid file, the same bytes each time."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from provision.comfyui.safetensors import parse_safetensors_header
from provision.rehearsal.checkpoints import (
    SHRINK,
    CheckpointFile,
    Dtype,
    checkpoint_chunks,
    header,
    tensor_shapes,
    write_checkpoint,
    write_diffusers_files,
)

FULL_DATA_BYTES = 6_937_675_736


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_checkpoint(path, dtype="F16", shrink=SHRINK, seed=7)
    return path


def read_values(path: Path, name: str, code: str = "e") -> tuple[float, ...]:
    """The numbers of one tensor."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entry = json.loads(content[8 : 8 + length])[name]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    count = math.prod(entry["shape"])
    return struct.unpack(f"<{count}{code}", content[begin:end])


def test_the_tensors_are_those_of_an_sdxl_checkpoint() -> None:
    shapes = tensor_shapes()
    assert len(shapes) == 2514
    assert next(iter(shapes)) == "model.diffusion_model.time_embed.0.weight"
    assert shapes["conditioner.embedders.1.model.logit_scale"] == ()
    assert 2 * sum(map(math.prod, shapes.values())) == FULL_DATA_BYTES


def test_the_full_size_has_the_real_number_of_bytes() -> None:
    shapes = tensor_shapes()
    data_bytes = sum(map(len, checkpoint_chunks(shapes, "F16", 1))) - len(header(shapes, "F16"))
    assert data_bytes == FULL_DATA_BYTES


@pytest.mark.parametrize(("dtype", "precision", "megabytes"), [("F16", "fp16", 24), ("F32", "fp32", 49)])
def test_the_tiny_file_is_whole(tmp_path: Path, dtype: Dtype, precision: str, megabytes: int) -> None:
    path = tmp_path / "checkpoints" / "tiny.safetensors"
    written = write_checkpoint(path, dtype=dtype, shrink=SHRINK, seed=7)
    content = path.read_bytes()
    head = parse_safetensors_header(content)
    assert head.file_size_bytes == len(content) == written.size_bytes
    assert written.size_bytes // 1_000_000 == megabytes
    assert (head.architecture, head.precision, head.tensor_count) == ("sdxl", precision, 2514)
    assert head.header_bytes % 8 == 0
    assert head.metadata == {"format": "pt"}


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, tiny: Path) -> None:
    def written(seed: int) -> CheckpointFile:
        return write_checkpoint(tmp_path / f"{seed}.safetensors", dtype="F16", shrink=SHRINK, seed=seed)

    assert (written(7), (tmp_path / "7.safetensors").read_bytes()) == (written(7), tiny.read_bytes())
    assert written(7).sha256 == "bd198d8beccc0c42c9f891537fbf52d1a1490bda17e5c734bcf1eeb7ed1de27a"
    assert written(8).sha256 != written(7).sha256


def test_norms_are_one_and_biases_zero(tiny: Path) -> None:
    block = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0"
    assert set(read_values(tiny, f"{block}.norm1.weight")) == {1.0}
    assert set(read_values(tiny, f"{block}.norm1.bias")) == {0.0}
    assert set(read_values(tiny, "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias")) == {0.0}


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    ],
)
def test_values_spread_by_the_fan_in(tiny: Path, name: str) -> None:
    fan_in = math.prod(side // SHRINK for side in tensor_shapes()[name][1:])
    values = read_values(tiny, name)
    assert all(map(math.isfinite, values))
    assert pstdev(values) == pytest.approx(1 / math.sqrt(fan_in), rel=0.05)
    assert abs(fmean(values)) < 0.1 / math.sqrt(fan_in)


def test_every_value_is_a_finite_number(tiny: Path) -> None:
    content = tiny.read_bytes()
    data = memoryview(content)[8 + struct.unpack("<Q", content[:8])[0] :]
    assert all(value & 0x7C00 != 0x7C00 for value in set(data.cast("H")))


def test_rows_do_not_repeat() -> None:
    shapes = {"wide.weight": (600, 1280)}
    content = b"".join(checkpoint_chunks(shapes, "F16", 3))[len(header(shapes, "F16")) :]

    def rows() -> Iterator[bytes]:
        for begin in range(0, len(content), 2560):
            yield content[begin : begin + 2560]

    assert len(set(rows())) == 600


def test_the_diffusers_files_look_like_the_real_repository(tmp_path: Path) -> None:
    files = write_diffusers_files(tmp_path)
    assert {"README.md", "model_index.json", "unet/config.json", "vae/config.json"} <= files.keys()
    assert all(path == tmp_path / name for name, path in files.items())
    assert sorted(files) == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert json.loads(files["model_index.json"].read_text())["_class_name"] == "StableDiffusionXLPipeline"
    for name in ("unet/diffusion_pytorch_model.fp16.safetensors", "text_encoder_2/model.safetensors"):
        head = parse_safetensors_header(files[name].read_bytes())
        assert head.file_size_bytes == files[name].stat().st_size
        assert head.architecture == "unknown"
