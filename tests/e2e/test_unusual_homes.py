"""Homes that are healthy and unusual: nothing is wrong with them, the doctor says so, and `--fix` changes nothing.

All of them lie in a folder whose path has spaces, Korean and a picture in it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from provision.rehearsal.checkpoints import write_safetensors
from provision.system.local_machine import free_port
from tests.breakers.checkout import git
from tests.breakers.network import NOBODY
from tests.breakers.patient import Patient
from tests.breakers.python import write_package


def path_with_spaces_and_korean(at: Patient) -> None:
    assert at.home.root.name == "우리 집 🏠"


def models_on_another_disk(at: Patient) -> None:
    elsewhere = at.home.root.parent / "models elsewhere"
    (at.comfyui / "models").rename(elsewhere)
    (at.comfyui / "models").symlink_to(elsewhere)
    at.later.callback(shutil.rmtree, elsewhere)
    at.start()


def detached_on_a_tag(at: Patient) -> None:
    git(at, "checkout", "--quiet", "--detach", git(at, "describe", "--tags"))


def custom_nodes(at: Patient) -> None:
    node = at.comfyui / "custom_nodes" / "ComfyUI-Mine"
    node.mkdir()
    (node / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n", encoding="utf-8")
    subprocess.run(("git", "init", "--quiet"), cwd=node, check=True)
    off = at.comfyui / "custom_nodes" / "old.disabled"
    off.mkdir()
    (off / "__init__.py").write_text("import a_package_that_is_not_here\n", encoding="utf-8")
    at.start()


def extra_model_paths(at: Patient) -> None:
    models = at.home.root.parent / "sd webui"
    for name in ("Stable-diffusion", "Lora"):
        (models / name).mkdir(parents=True, exist_ok=True)
    text = f"a111:\n  base_path: {models}\n  checkpoints: Stable-diffusion\n  loras: |\n    Lora\n"
    (at.comfyui / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    at.start()


def read_only_model(at: Patient) -> None:
    at.checkpoint.chmod(0o444)
    at.apart = {}


def other_models(at: Patient) -> None:
    folder = at.checkpoint.parent
    write_safetensors(folder / "flux dev.safetensors", {"model.diffusion_model.x": (4, 4)}, dtype="F16", seed=1)
    (folder / "old.ckpt").write_bytes(b"\x80\x02pickle")
    (folder / "favourites").mkdir()
    write_safetensors(folder / "favourites" / "xl.safetensors", {"x": (8, 8)}, dtype="F32", seed=2)
    (at.comfyui / "models" / "loras" / "now.safetensors.part").write_bytes(b"being downloaded now")


def another_port(at: Patient) -> None:
    at.stop()
    at.sets.append(f"comfyui.port={free_port()}")
    at.start()


def no_network(at: Patient) -> None:
    at.environ["HF_ENDPOINT"] = NOBODY
    at.apart = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), NOBODY)


def more_packages(at: Patient) -> None:
    write_package(at.site, "rembg", "2.0.1")
    write_package(at.site, "opencv_python", "4.9.0")


def edited_workflow(at: Patient) -> None:
    (workflow,) = (at.comfyui / "user" / "default" / "workflows").glob("SDXL*.json")
    workflow.write_text('{"nodes": [], "mine": true}', encoding="utf-8")


def pictures_on_another_disk(at: Patient) -> None:
    outputs = at.home.root.parent / "pictures"
    (at.comfyui / "output").rename(outputs)
    (at.comfyui / "output").symlink_to(outputs)
    at.later.callback(shutil.rmtree, outputs)


HOMES: tuple[Callable[[Patient], None], ...] = (
    path_with_spaces_and_korean,
    models_on_another_disk,
    detached_on_a_tag,
    custom_nodes,
    extra_model_paths,
    read_only_model,
    other_models,
    another_port,
    no_network,
    more_packages,
    edited_workflow,
    pictures_on_another_disk,
)


@pytest.mark.parametrize("make", HOMES, ids=lambda make: make.__name__)
def test_nothing_is_wrong_with_it(sick: Patient, make: Callable[[Patient], None]) -> None:
    make(sick)
    seen = sick.doctor()
    assert (seen.ok, seen.troubles, seen.errors) == (True, {}, ()), seen.says()
    fixed = sick.doctor(fix=True)
    assert (fixed.ok, fixed.troubles, fixed.changed) == (True, {}, False), fixed.says()
    assert not sick.home.aside.exists()
