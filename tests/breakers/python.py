"""Breakers of the environment: Python itself, torch, and the packages that ComfyUI asks for."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from provision.environment.packages import installed_versions, must_install
from provision.rehearsal.torch_wheels import STABLE
from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

PYTHON, TORCH, PACKAGES, ASKED = "python", "torch", "packages", "packages checkout"
FRONTEND = "comfyui_frontend_package"


# -- Python -----------------------------------------------------------------------------------------------------


@breaks("venv-missing", "python torch packages")
def remove_environment(at: Patient) -> None:
    """The environment is deleted, and the link `venv` that led to it."""
    shutil.rmtree(at.home.venv.resolve())
    at.home.venv.unlink()


@breaks("venv-dangling", PYTHON)
def upgrade_its_python(at: Patient) -> None:
    """Its Python is a link to a version that Homebrew has removed."""
    at.home.python.unlink()
    at.home.python.symlink_to("/opt/homebrew/Cellar/python@3.12/3.12.1/bin/python3.12")


@breaks("venv-dangling", PYTHON)
def lose_its_settings(at: Patient) -> None:
    """Its pyvenv.cfg is gone."""
    (at.home.venv / "pyvenv.cfg").unlink()


@breaks("venv-moved", PYTHON)
def move_environment(at: Patient) -> None:
    """Its pip starts the Python of the place where it was made."""
    (at.home.venv / "bin" / "pip").write_text("#!/Users/ann/ai/venv/bin/python\nimport pip\n", encoding="utf-8")


def _pretend(at: Patient, version: str, arch: str = "x86_64") -> None:
    """A Python that tells another version of itself, and whose prefix is an environment's."""
    at.home.python.unlink()
    answer = f'["{version}", "{arch}", "/usr", "{at.home.venv}"]'
    at.home.python.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    at.home.python.chmod(0o755)


@breaks("py-too-old", PYTHON)
def age_python(at: Patient) -> None:
    """Python 3.9.18."""
    _pretend(at, "3.9.18")


@breaks("py-too-new", PYTHON)
def use_a_future_python(at: Patient) -> None:
    """Python 3.15.0."""
    _pretend(at, "3.15.0")


@breaks("py-bad-patch", PYTHON)
def use_a_bad_python(at: Patient) -> None:
    """Python 3.13.8, which cannot import torch."""
    _pretend(at, "3.13.8")


# -- torch ------------------------------------------------------------------------------------------------------


def _remove(at: Patient, *packages: str) -> None:
    for package in packages:
        for path in [*at.site.glob(f"{package}-*.dist-info"), at.site / package]:
            shutil.rmtree(path)


@breaks("torch-missing", TORCH)
def uninstall_torch(at: Patient) -> None:
    """Torch and torchvision are uninstalled."""
    _remove(at, "torch", "torchvision")


def _install(at: Patient, *words: str) -> None:
    must_install(at.ctx, "--index", at.ctx.manifest.torch.stable_index, *words, what="a breaker's package")


@breaks("torch-channel", TORCH)
def wish_for_another(at: Patient) -> None:
    """Stable is asked for where nightly is installed."""
    at.sets.append("torch.channel=stable")


@breaks("torch-unproven", TORCH)
def install_torch_by_hand(at: Patient) -> None:
    """Somebody ran pip install torch torchvision."""
    _install(at, *(f"{name}=={version}" for name, version in STABLE.items()))


@breaks("tv-mismatch", TORCH)
def install_torchvision_by_hand(at: Patient) -> None:
    """Somebody ran pip install torchvision --no-deps."""
    _install(at, "--no-deps", f"torchvision=={STABLE['torchvision']}")


@breaks("ta-mismatch", TORCH)
def install_torchaudio_by_hand(at: Patient) -> None:
    """A torchaudio beside torch that is bound to another."""
    write_package(at.site, "torchaudio", "2.10.0", needs="torch==2.10.0")


def write_package(site: Path, name: str, version: str, *, needs: str = "") -> None:
    """A package as an installer leaves it."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (site / name).mkdir()
    (site / name / "__init__.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(f"{head}Requires-Dist: {needs}\n" if needs else head, encoding="utf-8")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n", "utf-8")


def _spoil(at: Patient, defect: str) -> None:
    """The stand-in with one of its defects, in a file of its own (uv shares files with its cache)."""
    source = at.site / "torch" / "__init__.py"
    text = source.read_text(encoding="utf-8").replace('DEFECT = ""', f'DEFECT = "{defect}"')
    source.unlink()
    source.write_text(text, encoding="utf-8")


@breaks("torch-broken", TORCH, deep=True)
def lose_a_library(at: Patient) -> None:
    """Torch ends with `Symbol not found` when it is imported."""
    _spoil(at, "import")


@breaks("mps-numerics", TORCH, deep=True)
def compute_wrong(at: Patient) -> None:
    """Torch computes no numbers in fp16."""
    _spoil(at, "nan")


@breaks("gpu-hidden", TORCH)
def hide_the_gpu(at: Patient) -> None:
    """Torch was proven over SSH, where it sees no Metal device."""
    at.receipt("torch", mps_built=True, mps_available=False)


# -- packages ---------------------------------------------------------------------------------------------------


@breaks("req-missing", PACKAGES)
def uninstall_a_package(at: Patient) -> None:
    """`yarl` is uninstalled."""
    _remove(at, "yarl")


@breaks("req-unproven", PACKAGES)
def upgrade_a_package(at: Patient) -> None:
    """Somebody upgraded attrs by hand."""
    version = installed_versions(at.home.venv)["attrs"]
    (at.site / f"attrs-{version}.dist-info").rename(at.site / "attrs-99.1.dist-info")
    metadata = at.site / "attrs-99.1.dist-info" / "METADATA"
    text = metadata.read_text(encoding="utf-8").replace(f"Version: {version}", "Version: 99.1")
    metadata.unlink()
    metadata.write_text(text, encoding="utf-8")


def _ask_for_frontend(at: Patient, version: str) -> None:
    """ComfyUI's page as a package, which the miniature does not have: a wheel that uv finds in a folder."""
    wheels = at.home.root.parent / "wheels"
    wheels.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheels / f"{FRONTEND}-{version}-py3-none-any.whl", "w") as wheel:
        info = f"{FRONTEND}-{version}.dist-info"
        wheel.writestr(f"{FRONTEND}/__init__.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {FRONTEND}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{FRONTEND}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    at.environ["UV_FIND_LINKS"] = str(wheels)
    with (at.comfyui / "requirements.txt").open("a", encoding="utf-8") as asked:
        asked.write(f"\ncomfyui-frontend-package=={version}\n")


@breaks("frontend-missing", ASKED, "git-dirty")
def lose_the_page(at: Patient) -> None:
    """ComfyUI's page is not installed."""
    _ask_for_frontend(at, "1.27.10")


@breaks("frontend-old", ASKED, "git-dirty")
def keep_an_old_page(at: Patient) -> None:
    """ComfyUI's page is of an older release."""
    _ask_for_frontend(at, "1.27.10")
    write_package(at.site, FRONTEND, "1.20.0")


@breaks("req-broken", PACKAGES, deep=True)
def lose_files_of_a_package(at: Patient) -> None:
    """The files of pyyaml are gone, its record is not."""
    shutil.rmtree(at.site / "yaml")


def _import_more(at: Patient, module: str) -> None:
    program = at.comfyui / "main.py"
    text = program.read_text(encoding="utf-8")
    program.write_text(text.replace("import torchvision", f"import {module}\nimport torchvision"), encoding="utf-8")


@breaks("cu-old-deps", ASKED, "git-dirty", deep=True)
def import_what_nobody_asks_for(at: Patient) -> None:
    """ComfyUI imports requests, which its requirements.txt does not name."""
    _import_more(at, "requests")


@breaks("import-failed", ASKED, "git-dirty", deep=True)
def import_what_nobody_knows(at: Patient) -> None:
    """ComfyUI imports a module that nobody knows."""
    _import_more(at, "a_module_of_mine")


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
