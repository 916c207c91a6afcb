"""The strict loader: what it takes, and every bad input that it refuses in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import provision
from provision.comfyui.workflow_graph import prompt_graph
from provision.core.manifest import (
    GIT_ADDRESS,
    INNER_PATH,
    KnownGood,
    Manifest,
    find_manifest,
    load_manifest,
    manifest_names,
    parse_manifest,
)
from provision.core.overrides import known_keys
from provision.errors import EXIT_USAGE, ManifestError
from tests.support.hints import said
from tests.support.manifests import NAME, plain, refused_set

SHA = "e869ac7d6942cb327d68d5ed83a40447aadf20e0c3358d98b2cc9e270db0da26"
ESCAPE = "\x1b]0;owned\x07"


def refused(data: dict[str, Any]) -> str:
    """The sentence with which the loader refuses `data`."""
    with pytest.raises(ManifestError) as seen:
        parse_manifest(data)
    assert said(seen.value.hint)
    assert seen.value.exit_code == EXIT_USAGE
    return seen.value.message


# -- what it takes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", manifest_names())
def test_every_manifest_that_comes_with_the_tool_loads_and_has_a_checkpoint(name: str) -> None:
    manifest = load_manifest(name)
    assert manifest.name == name, "a manifest is found by its file's name"
    assert manifest.checkpoint(manifest.usual_precision)[1].path.endswith(".safetensors")
    assert manifest.license.url.startswith("https://")


STABILITY = "its page refers to https://stability.ai/license (free below US$1M of yearly revenue)"
RAIL = "allowed, except for the uses that the licence prohibits (its Attachment A)"
TERMS = {
    "sdxl-turbo": ("sai-nc-community", STABILITY),
    "sd-turbo": ("", STABILITY),
    "sdxl-base": ("openrail++", RAIL),
    "sdxl-lightning": ("openrail++", RAIL),
    "ssd-1b": ("apache-2.0", ""),
}


@pytest.mark.parametrize("name", manifest_names())
def test_a_licence_is_what_the_models_own_page_says_and_no_verdict(name: str) -> None:
    terms = load_manifest(name).license
    assert (terms.id, terms.commercial) == TERMS[name]


@pytest.mark.parametrize(
    ("commercial", "says"),
    [
        (False, "no commercial use, by this manifest"),
        (True, "commercial use allowed, by this manifest"),
        ("ask", "ask"),
    ],
)
def test_a_manifest_of_before_still_loads_and_its_word_becomes_a_sentence(commercial: bool | str, says: str) -> None:
    data = plain()
    data["license"]["commercial"] = commercial
    assert parse_manifest(data).license.commercial == says


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://github.com/comfyanonymous/ComfyUI", "https://github.com/Comfy-Org/ComfyUI"),
        ("https://github.com/comfyanonymous/ComfyUI.git", "https://github.com/Comfy-Org/ComfyUI.git"),
        ("git@github.com:comfyanonymous/ComfyUI.git", "git@github.com:Comfy-Org/ComfyUI.git"),
        ("https://github.com/comfyanonymous/ComfyUI_examples", "https://github.com/comfyanonymous/ComfyUI_examples"),
        ("https://example.org/comfyanonymous/ComfyUI", "https://example.org/comfyanonymous/ComfyUI"),
    ],
)
def test_the_address_that_comfyui_had_is_that_which_it_has(old: str, new: str) -> None:
    data = plain()
    data["comfyui"]["url"] = old
    assert parse_manifest(data).comfyui.url == new


SETTINGS = {
    "sd-turbo": ("fp32", 5_214_561_328, 512, 1, 1.0, "euler", "sgm_uniform"),
    "sdxl-base": ("fp16", 6_938_078_334, 1024, 25, 7.0, "dpmpp_2m", "karras"),
    "sdxl-lightning": ("fp16", 6_938_040_682, 1024, 4, 1.0, "euler", "sgm_uniform"),
    "sdxl-turbo": ("fp16", 6_938_081_905, 512, 1, 1.0, "euler", "karras"),
    "ssd-1b": ("fp16", 4_465_671_322, 1024, 25, 9.0, "dpmpp_2m", "karras"),
}


def test_the_manifests_are_these_with_their_first_images_settings() -> None:
    assert manifest_names() == sorted(SETTINGS)
    for name, (precision, size, side, steps, cfg, sampler, scheduler) in SETTINGS.items():
        manifest = load_manifest(name)
        model, file = manifest.checkpoint(manifest.usual_precision)
        assert (manifest.usual_precision, file.size, len(file.sha256 or "")) == (precision, size, 64)
        assert len(model.revision) == 40
        image = manifest.first_image
        assert (image.width, image.height, image.steps, image.cfg) == (side, side, steps, cfg)
        assert (image.sampler, image.scheduler) == (sampler, scheduler)
        assert prompt_graph(image, file.name, 1)["5"]["inputs"]["scheduler"] == scheduler


def test_names_of_samplers_are_those_that_the_engine_lists() -> None:
    nodes = (Path(provision.__file__).parent / "rehearsal" / "engine" / "nodes.py").read_text(encoding="utf-8").split()
    for name in manifest_names():
        image = load_manifest(name).first_image
        assert image.sampler in nodes
        assert image.scheduler in nodes


def test_the_default_manifest_is_the_one_fp16_file() -> None:
    manifest = load_manifest(NAME)
    model, file = manifest.checkpoint("fp16")
    assert (model.repo, file.size, file.sha256) == ("stabilityai/sdxl-turbo", 6938081905, SHA)
    assert [file.name for _, file in manifest.chosen("fp16")] == ["sd_xl_turbo_1.0_fp16.safetensors"]
    image = manifest.first_image
    assert (image.steps, image.cfg, image.sampler, image.scheduler) == (1, 1.0, "euler", "karras")
    assert (image.width, image.height, manifest.comfyui.args) == (512, 512, ("--force-fp16",))


def test_a_precision_without_a_checkpoint_is_said() -> None:
    with pytest.raises(ManifestError, match="no bf16 checkpoint"):
        load_manifest(NAME).checkpoint("bf16")


def test_a_manifest_can_be_a_file_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(find_manifest(NAME).read_text(encoding="utf-8"), encoding="utf-8")
    assert load_manifest(str(file)) == load_manifest(NAME)


# -- what it refuses ------------------------------------------------------------------------------------


def test_an_unknown_manifest_names_the_nearest() -> None:
    with pytest.raises(ManifestError, match="Unknown manifest 'sdxl-turbu'") as seen:
        load_manifest("sdxl-turbu")
    assert NAME in said(seen.value.hint)


@pytest.mark.parametrize(
    "content",
    [b"schema = ", b"\xff\xfe", b"schema = " + b"1" * 5000, b"a = " + b"[" * 3000],
    ids=["not-toml", "not-utf-8", "endless-number", "endless-nesting"],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(str(file))


@pytest.mark.parametrize("source", ["~nobody-of-that-name/x.toml", "x" * 300, f"/{'x' * 300}.toml", "", "/"])
def test_a_source_that_leads_nowhere_is_refused(source: str) -> None:
    with pytest.raises(ManifestError, match="Unknown manifest"):
        load_manifest(source)


@pytest.mark.parametrize("schema", [None, 0, 2, "1"])
def test_another_schema_is_refused(schema: object) -> None:
    assert "schema" in refused(plain() | {"schema": schema})


def test_an_unknown_key_names_the_nearest_at_every_depth() -> None:
    for path, key in (((), "colour"), (("comfyui",), "urll"), (("models", 0, "files", 0), "sha-256")):
        data = node = plain()
        for part in path:
            node = node[part]  # type: ignore[index]
        node[key] = 1
        with pytest.raises(ManifestError, match=rf"{key} is not a known key") as seen:
            parse_manifest(data)
        assert "Nearest: " in said(seen.value.hint)


@pytest.mark.parametrize("key", ["name", "title", "license", "comfyui", "models", "first_image"])
def test_a_missing_key_is_named(key: str) -> None:
    data = plain()
    del data[key]
    assert refused(data) == f"{key} is missing."


WRONG_TYPES: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("comfyui.port must be int", lambda d: d["comfyui"].update(port="8188")),
    ("comfyui.port must be int", lambda d: d["comfyui"].update(port=True)),
    ("comfyui.args must be a list", lambda d: d["comfyui"].update(args="--cpu")),
    ("comfyui.args.0 must be str", lambda d: d["comfyui"].update(args=[1])),
    ("comfyui must be a table", lambda d: d.update(comfyui="here")),
    ("models must be a list", lambda d: d.update(models={})),
    ("models.0 must be a table", lambda d: d.update(models=[1])),
    ("license.commercial must be str", lambda d: d["license"].update(commercial=0)),
    ("first_image.cfg must be float", lambda d: d["first_image"].update(cfg="1.0")),
    ("first_image.cfg", lambda d: d["first_image"].update(cfg=10**400)),
    ("models.0.files.0.size must be int", lambda d: d["models"][0]["files"][0].update(size=1.5)),
]


@pytest.mark.parametrize(
    ("says", "change"), WRONG_TYPES, ids=[f"{n}-{says}" for n, (says, _) in enumerate(WRONG_TYPES)]
)
def test_a_wrong_type_is_refused_by_the_keys_full_name(says: str, change: Callable[[dict[str, Any]], object]) -> None:
    data = plain()
    change(data)
    assert refused(data).startswith(says)


BAD_PATHS = [
    "../x.safetensors",
    "a/../x.safetensors",
    "a/..",
    "/etc/x.safetensors",
    "~/x.safetensors",
    "a//x.safetensors",
    "./x.safetensors",
    "a\\b.safetensors",
    "..\\x.safetensors",
    "a\nb.safetensors",
    "a\0b.safetensors",
    "a\x7fb.safetensors",
    "a\x9bb.safetensors",
    f"{ESCAPE}.safetensors",
    "-x.safetensors",
    "a/--x.safetensors",
    "",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_climbs_out_or_is_odd_is_refused(path: str) -> None:
    assert not INNER_PATH.fullmatch(path)
    data = plain()
    data["models"][0]["files"][0]["path"] = path
    assert refused(data).startswith("models.0.files.0.path")
    data = plain()
    data["models"][0]["folder"] = path
    assert refused(data).startswith("models.0.folder")


def test_ordinary_paths_are_taken() -> None:
    for path in ("x.safetensors", "a/b/x.safetensors", "ein Bär.safetensors", "..x.safetensors"):
        assert INNER_PATH.fullmatch(path)


BAD_ADDRESSES = [
    "ext::sh -c touch% /tmp/pwned",
    "ext::sh",
    "fd::17",
    "--upload-pack=x",
    "-x",
    "-x@host:y",
    "",
    "ftp://h/x",
    "file://host/x",
    "javascript:1",
    "relative/path",
    "https://h/\nx",
    "https://h/\x1bx",
    "https://h/\x7fx",
    "ssh://-oProxyCommand=x/y",
    "git@-oProxyCommand:y",
    "ssh://git@-Fconfig/y",
]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_a_git_address_is_never_an_option_nor_a_program(url: str) -> None:
    assert not GIT_ADDRESS.fullmatch(url)
    data = plain()
    data["comfyui"]["url"] = url
    assert refused(data).startswith("comfyui.url")


def test_ordinary_git_addresses_are_taken() -> None:
    for url in (
        "https://github.com/comfyanonymous/ComfyUI",
        "http://127.0.0.1:3000/engine.git",
        "ssh://git@host:22/a/b.git",
        "git@github.com:a/b.git",
        "file:///srv/a folder/b.git",
        "/srv/a folder/b",
    ):
        assert GIT_ADDRESS.fullmatch(url), url


BAD_VALUES = [
    "models.0.files.0.sha256=",
    "models.0.files.0.sha256=abc",
    f"models.0.files.0.sha256={SHA.upper()}",
    f"models.0.files.0.sha256={SHA[:-1]}g",
    f"models.0.files.0.sha256={SHA}\n",
    "models.0.files.0.size=0",
    "models.0.files.0.size=-1",
    "models.0.files.0.precision=int3",
    "models.0.files.0.path=x.ckpt",
    "models.0.repo=x",
    "models.0.repo=../x",
    "models.0.repo=a/..",
    "models.0.repo=-x/y",
    "models.0.repo=a/b/c",
    "models.0.revision=--x",
    "models.0.revision=../x",
    "models.0.revision=",
    "comfyui.ref=--x",
    "comfyui.ref=a..b",
    "comfyui.ref=",
    "comfyui.ref=a b",
    "comfyui.port=0",
    "comfyui.port=65536",
    "comfyui.requirements_days=-1",
    "torch.channel=beta",
    "torch.channel=--pre",
    "torch.nightly_index=--index-url",
    "torch.stable_index=file:///x",
    "python.version=2.7",
    "python.version=3.12.1",
    "python.min=three",
    "machine.macos_min=Sonoma",
    "first_image.width=0",
    "first_image.width=513",
    "first_image.height=100000",
    "first_image.steps=0",
    "first_image.cfg=nan",
    "first_image.cfg=inf",
    "first_image.cfg=-1",
    "name=../x",
    "name=",
    "name=A B",
]


@pytest.mark.parametrize("override", BAD_VALUES)
def test_a_value_that_no_manifest_may_have_is_refused_by_its_key(override: str) -> None:
    key = override.partition("=")[0]
    error = refused_set(override)
    assert error.message.startswith(f"{key} ")
    assert key in said(error.hint)


@pytest.mark.parametrize("key", ["title", "license.id", "license.url", "comfyui.args.0", "first_image.prompt"])
@pytest.mark.parametrize("bad", [ESCAPE, "a\0b"], ids=["escape", "nul"])
def test_no_text_may_hold_what_would_steer_a_terminal_or_end_an_argument(key: str, bad: str) -> None:
    assert refused_set(f"{key}={bad}").message.startswith(key)


def test_a_model_without_files_is_refused() -> None:
    data = plain()
    data["models"][0]["files"] = []
    assert refused(data).startswith("models.0.files")


# -- whatever comes -------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400)
NAMES = st.sampled_from(sorted({part for key in known_keys(Manifest) for part in key.split(".")})) | st.text(max_size=5)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(data=st.dictionaries(NAMES, NESTED, max_size=6), known=st.booleans())
def test_arbitrary_data_is_a_manifest_or_a_manifest_error(data: dict[str, Any], known: bool) -> None:
    made = manifest_or_error({**plain(), **data} if known else {"schema": 1, **data})
    assert isinstance(made, Manifest) or (made.message and said(made.hint))


def manifest_or_error(data: dict[str, Any]) -> Manifest | ManifestError:
    try:
        return parse_manifest(data)
    except ManifestError as error:
        return error


def test_the_last_known_good_torch_is_exact_versions() -> None:
    good = load_manifest("sdxl-turbo").torch.known_good
    assert good is not None
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in (good.torch, good.torchvision))
    changed = load_manifest("sdxl-turbo", ["torch.known_good.torch=2.11.0", "torch.known_good.torchvision=0.26.0"])
    assert changed.torch.known_good == KnownGood("2.11.0", "0.26.0")
    for wrong in ("torch.known_good.torch=stable", "torch.known_good.torchvision=", "torch.channel=nightly@2026"):
        with pytest.raises(ManifestError, match=wrong.partition("=")[0]):
            load_manifest("sdxl-turbo", [wrong])
