"""Headers of real and of broken checkpoints, and of what arrives in their place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.comfyui.safetensors import (
    HEADER_LIMIT_BYTES,
    HeaderTruncated,
    NotSafetensors,
    describe_bytes,
    header_length,
    judge_precision,
    parse_safetensors_header,
)

SDXL = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.label_emb.0.0.weight",
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.1.model.ln_final.weight",
    "first_stage_model.decoder.conv_in.weight",
)
SIZES = {"F16": 2, "BF16": 2, "F32": 4, "I64": 8, "F8_E4M3": 1, "F64": 8}


def packed(header: object) -> bytes:
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw


def checkpoint(tensors: Mapping[str, tuple[str, int]], metadata: Mapping[str, str] | None = None) -> bytes:
    """The front of a file whose tensors have these dtypes and numbers of elements."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, (dtype, count) in tensors.items():
        begin, end = end, end + count * SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [begin, end]}
    return packed(header)


def test_an_sdxl_checkpoint_in_fp16() -> None:
    front = checkpoint(dict.fromkeys(SDXL, ("F16", 320)), {"format": "pt"})
    seen = parse_safetensors_header(front)
    assert (seen.architecture, seen.precision, seen.tensor_count) == ("sdxl", "fp16", 5)
    assert seen.dtypes == {"F16": 5 * 640}
    assert seen.metadata == {"format": "pt"}
    assert seen.header_bytes == len(front) - 8
    assert seen.file_size_bytes == len(front) + 5 * 640


def test_the_weights_behind_the_header_are_not_looked_at() -> None:
    front = checkpoint(dict.fromkeys(SDXL, ("F16", 8)))
    assert parse_safetensors_header(front + b"\xff" * 80) == parse_safetensors_header(front)


UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (SDXL, "sdxl"),
        (tuple(name for name in SDXL if "embedders.0" not in name), "unknown"),
        (tuple(name for name in SDXL if not name.startswith("first_stage")), "unknown"),
        ((f"{UNET}x", "cond_stage_model.transformer.text_model.x", "first_stage_model.x"), "sd1"),
        ((f"{UNET}x", "cond_stage_model.model.transformer.x", "first_stage_model.x"), "sd2"),
        ((f"{UNET}x", "conditioner.embedders.0.model.transformer.x", "first_stage_model.x"), "sd2"),
        (
            (f"{UNET}label_emb.0.x", "conditioner.embedders.0.model.transformer.x", "first_stage_model.x"),
            "sdxl-refiner",
        ),
        ((f"{UNET}joint_blocks.0.x", "first_stage_model.x"), "sd3"),
        (("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.x"), "flux"),
        ((f"{UNET}double_blocks.0.x",), "flux"),
        (("down_blocks.0.resnets.0.conv1.weight",), "unknown"),
        (("lora_unet_down_blocks_0.lora_up.weight",), "unknown"),
        ((), "unknown"),
    ],
)
def test_the_architecture_is_judged_by_names(names: tuple[str, ...], want: str) -> None:
    assert parse_safetensors_header(checkpoint(dict.fromkeys(names, ("F16", 4)))).architecture == want


@pytest.mark.parametrize(
    ("dtypes", "want"),
    [
        ({"F16": 6_937_000_000, "I64": 616}, "fp16"),
        ({"BF16": 100}, "bf16"),
        ({"F32": 100, "I64": 10_000}, "fp32"),
        ({"F8_E4M3": 50, "F8_E5M2": 50}, "fp8"),
        ({"F16": 6_600_000_000, "F32": 335_000_000}, "mixed"),
        ({"F64": 8}, "other"),
        ({"I64": 8}, "other"),
        ({}, "other"),
    ],
)
def test_the_precision_is_that_of_nearly_all_bytes(dtypes: dict[str, int], want: str) -> None:
    assert judge_precision(dtypes) == want


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"e8" * 32 + b"\nsize 6938081905\n"


@pytest.mark.parametrize(
    ("front", "looks"),
    [
        (b"", "empty (0 bytes)"),
        (
            b"<!DOCTYPE html>\n<html><title>Log in</title>",
            "an HTML page: “<!DOCTYPE html> <html><title>Log in",
        ),
        (b"  <html>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML answer"),
        (b'{"error":"Repository not found"}', "a JSON answer: “{"),
        (POINTER, "a Git LFS pointer"),
        (b"PK\x03\x04\x14\0\0\0\0\0archive/data.pkl", "a zip archive"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a Python pickle"),
        (b"GGUF\x03\0\0\0\x10\0\0\0", "a GGUF file"),
        (bytes(1024), "only zeros"),
        (b"Entry not found", "text: “Entry not found”"),
        ("Zugriff verweigert: größer".encode()[:-3], "text: “Zugriff verweigert"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "an AppleDouble file"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\3junk", "a gzip archive"),
        (b"\xde\xad\xbe\xef\xff\xff\xff\xff\xff", "something else (first bytes de ad be ef"),
    ],
)
def test_a_stranger_is_called_what_it_looks_like(front: bytes, looks: str) -> None:
    assert describe_bytes(front).startswith(looks)
    with pytest.raises(NotSafetensors) as caught:
        parse_safetensors_header(front)
    assert looks in str(caught.value)


def test_the_length_has_bounds() -> None:
    assert header_length((2).to_bytes(8, "little")) == 2
    assert header_length(HEADER_LIMIT_BYTES.to_bytes(8, "little")) == HEADER_LIMIT_BYTES
    for length in (0, 1, HEADER_LIMIT_BYTES + 1, 2**64 - 1):
        with pytest.raises(NotSafetensors):
            header_length(length.to_bytes(8, "little"))


def entry(shape: object = (2,), place: object = (0, 4), dtype: object = "F16") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ([1], "not a safetensors file"),
        ({"a": 1}, "is not an object"),
        ({"a": {}}, "lacks a dtype"),
        ({"a": entry(dtype=5)}, "lacks a dtype"),
        ({"a": entry(shape="2")}, "lacks a dtype"),
        ({"a": entry(shape=[True])}, "lacks a dtype"),
        ({"a": entry(place=[0])}, "lacks a dtype"),
        ({"a": entry(place=[-4, 0])}, "lacks a dtype"),
        ({"a": entry(place=[4, 0])}, "does not match its shape"),
        ({"a": entry(shape=[3])}, "does not match its shape"),
        ({"a": entry(place=[4, 8])}, "leave a hole at byte 0"),
        ({"a": entry(), "b": entry()}, "overlap at byte 4"),
        ({"a": entry(), "b": entry(place=[8, 12])}, "leave a hole at byte 4"),
        ({"__metadata__": 5}, "metadata is not an object"),
    ],
)
def test_a_damaged_header_says_how(header: object, why: str) -> None:
    with pytest.raises(NotSafetensors, match=why):
        parse_safetensors_header(packed(header))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{" + b" " * 30, "not valid JSON"),
        (b'{"a":' + b"\0" * 64 + b"}", "it contains zeros instead of text"),
        (bytes(64), "it contains zeros instead of text"),
        (b'{"\xff":1}', "not valid JSON"),
        (b'{"a":' + b"[" * 200_000 + b"}", "not valid JSON"),
        (b'{"a":1,"a":2}', "it contains a name twice"),
    ],
)
def test_a_header_that_is_no_json_says_so(raw: bytes, why: str) -> None:
    with pytest.raises(NotSafetensors, match=why):
        parse_safetensors_header(len(raw).to_bytes(8, "little") + raw)


def test_a_dtype_of_the_future_is_taken_on_trust() -> None:
    seen = parse_safetensors_header(packed({"a": entry(dtype="F4_NEW", shape=[100], place=[0, 7])}))
    assert (seen.dtypes, seen.precision) == ({"F4_NEW": 7}, "other")


@settings(deadline=None)
@given(cut=st.integers(8, 400))
@example(cut=8)
def test_a_truncated_front_says_how_many_bytes_it_needs(cut: int) -> None:
    front = checkpoint(dict.fromkeys(SDXL, ("F16", 8)))
    assert cut < len(front)
    with pytest.raises(HeaderTruncated) as caught:
        parse_safetensors_header(front[:cut])
    assert (caught.value.needed_bytes, caught.value.seen_bytes) == (len(front), cut)
    assert f"{len(front):,} bytes" in str(caught.value)
    parse_safetensors_header(front[: caught.value.needed_bytes])


@settings(deadline=None)
@given(front=st.binary(max_size=400))
def test_any_bytes_are_a_header_or_refused(front: bytes) -> None:
    with suppress(NotSafetensors, HeaderTruncated):
        parse_safetensors_header(front)
    assert describe_bytes(front)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(header=st.dictionaries(st.sampled_from([*SDXL, "__metadata__", "a"]), ANY_JSON, max_size=4))
def test_any_object_is_a_header_or_refused(header: dict[str, object]) -> None:
    try:
        seen = parse_safetensors_header(packed(header))
    except NotSafetensors:
        return
    assert seen.file_size_bytes >= 8 + seen.header_bytes


@settings(deadline=None)
@given(
    tensors=st.dictionaries(
        st.text(min_size=1, max_size=30).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(SIZES)), st.integers(0, 10_000)),
        max_size=12,
    )
)
def test_what_is_written_is_read(tensors: dict[str, tuple[str, int]]) -> None:
    front = checkpoint(tensors)
    seen = parse_safetensors_header(front)
    total = sum(SIZES[dtype] * count for dtype, count in tensors.values())
    assert (seen.tensor_count, seen.data_bytes) == (len(tensors), total)
    assert sum(seen.dtypes.values()) == total
    assert seen.file_size_bytes == len(front) + total


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[' + "[]," * 1_000_000 + "1]}",
        '{"a":{"dtype":"F16","data_offsets":[0,4],"shape":[' + ",".join(["9223372036854775807"] * 200_000) + "]}}",
        '{"a":{"dtype":"F16","data_offsets":[0,4],"shape":[' + "9" * 5000 + "]}}",
        '{"__metadata__":{"a":"\\ud800"}}',
        '{"\\udfff":{"dtype":"F16","data_offsets":[0,4],"shape":[2]}}',
        '{"__metadata__":{"a":' + '{"b":' * 500 + "1" + "}" * 500 + "}}",
        '{"__metadata__":{"a":' + "[" * 100_000,
    ],
    ids=["millions", "many dimensions", "long number", "surrogate", "surrogate in a name", "deep metadata", "deep"],
)
def test_a_hostile_header_is_refused(text: str) -> None:
    raw = text.encode()
    with pytest.raises(NotSafetensors) as refused:
        parse_safetensors_header(len(raw).to_bytes(8, "little") + raw)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
