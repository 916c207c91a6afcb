"""`--set KEY=VALUE`: what it takes, what it refuses, and which names are near."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.core.manifest import Manifest, load_manifest, parse_manifest
from provision.core.overrides import apply_override, known_keys
from provision.errors import ManifestError
from tests.support.hints import said
from tests.support.manifests import NAME, plain, refused_set


def test_set_takes_any_key_with_toml_values_and_plain_words() -> None:
    manifest = load_manifest(
        NAME,
        [
            "first_image.steps=2",
            "comfyui.ref=v0.3.1",
            "comfyui.args.0=--cpu",
            "license.commercial=ask them",
            "models.0.files.1.size=12",
            "first_image.cfg=2",
            "first_image.prompt=a = b # c",
        ],
    )
    assert manifest.first_image.steps == 2
    assert (manifest.comfyui.ref, manifest.comfyui.args) == ("v0.3.1", ("--cpu",))
    assert manifest.license.commercial == "ask them"
    assert manifest.models[0].files[1].size == 12
    assert (manifest.first_image.cfg, manifest.first_image.prompt) == (2.0, "a = b # c")
    assert load_manifest(NAME, ['comfyui.args=["--cpu", "--verbose"]']).comfyui.args == ("--cpu", "--verbose")


@pytest.mark.parametrize("value", ["2.11", "2", "2.10", "true", "[1]"])
def test_set_of_a_text_stays_text(value: str) -> None:
    data = plain()
    apply_override(data, f"torch.channel={value}", Manifest)
    assert data["torch"]["channel"] == value
    apply_override(data, f"models.0.files.0.sha256={value}", Manifest)
    assert data["models"][0]["files"][0]["sha256"] == value


def test_the_last_set_wins() -> None:
    assert load_manifest(NAME, ["comfyui.port=1", "comfyui.port=2"]).comfyui.port == 2


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("first_image.step", "first_image.steps"),
        ("comfyui.urls", "comfyui.url"),
        ("torch.chanel", "torch.channel"),
        ("models.0.files.0.sha265", "models.0.files.0.sha256"),
        ("zzzzzz", ""),
    ],
)
def test_set_of_an_unknown_key_names_the_nearest(key: str, near: str) -> None:
    error = refused_set(f"{key}=1")
    assert error.message == f"--set {key}: unknown key."
    assert said(error.hint).startswith("Nearest: ")
    assert near in said(error.hint)


@pytest.mark.parametrize(
    "override",
    [
        "",
        "=1",
        "first_image.steps",
        "models=1",
        "models.0=1",
        "models.x.repo=a/b",
        "comfyui=1",
        "comfyui..url=x",
        "first_image.steps.0=1",
    ],
)
def test_set_of_what_is_no_key_is_refused(override: str) -> None:
    assert refused_set(override).message.startswith("--set")


@pytest.mark.parametrize(
    "key", ["models.1.repo", "models.0.files.2.path", "comfyui.args.1", f"models.{'9' * 5000}.repo"]
)
def test_set_of_a_place_outside_the_list_says_how_long_it_is(key: str) -> None:
    message = refused_set(f"{key}=x").message
    assert re.search(r"is not an index of that list, whose length is \d\.$", message)


def test_set_through_a_value_of_the_wrong_type_is_refused() -> None:
    for data, override in (
        ({"license": 5}, "license.id=x"),
        ({"models": 5}, "models.0.repo=a/b"),
        ({"models": [5]}, "models.0.repo=a/b"),
        ({"first_image": "x"}, "first_image.steps=1"),
    ):
        with pytest.raises(ManifestError):
            apply_override(dict(data), override, Manifest)


ENDLESS = {"number": "1" * 5000, "hexadecimal": "0x" + "f" * 5000, "nesting": "[" * 3000}


@pytest.mark.parametrize("value", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("key", ["first_image.steps", "first_image.cfg"])
def test_set_of_an_endless_value_is_refused(key: str, value: str) -> None:
    assert refused_set(f"{key}={value}").message.startswith(key)


def test_a_prompt_may_have_lines_and_any_script() -> None:
    prompt = "a fox,\n\tin snow \u3000 雪の中 👩\u200d🎨"
    assert load_manifest(NAME, [f"first_image.prompt={prompt}"]).first_image.prompt == prompt


@settings(deadline=None)
@given(
    key=st.sampled_from(sorted(known_keys(Manifest))),
    value=st.text(max_size=12) | (st.integers() | st.floats() | st.booleans()).map(repr),
)
def test_an_arbitrary_set_is_taken_or_a_manifest_error(key: str, value: str) -> None:
    made = set_or_error(f"{key}={value}")
    assert isinstance(made, Manifest) or (made.message and said(made.hint))


def set_or_error(override: str) -> Manifest | ManifestError:
    data = plain()
    try:
        apply_override(data, override, Manifest)
        return parse_manifest(data)
    except ManifestError as error:
        return error
