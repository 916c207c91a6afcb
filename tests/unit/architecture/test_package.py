"""The package as others install it: what is in it, what it says of itself, what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import provision
from provision.cli.contents import help_text
from provision.output.hints import PROGRAMS
from tests.support.paths import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"GitPython": "git", "pillow": "PIL", "pyyaml": "yaml", "PySocks": "socks"}  # where the names differ


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def sources(folder: str, *suffixes: str) -> Iterator[Path]:
    for path in (CHECKOUT / folder).rglob("*"):
        if path.suffix in suffixes and not any(part.startswith((".", "__pycache__")) for part in path.parts):
            yield path.relative_to(CHECKOUT)


def test_the_wheel_holds_the_package_with_its_data_and_the_manifests(wheel: Path) -> None:
    held = names(wheel)
    assert {str(path) for path in sources("provision", ".py", ".json", ".j2", ".css")} <= held
    assert "provision/py.typed" in held
    assert {f"provision/_manifests/{path.name}" for path in sources("manifests", ".toml")} <= held
    own = f"comfy_provision-{provision.__version__}"
    assert {name.split("/")[0] for name in held} == {"provision", f"{own}.data", f"{own}.dist-info"}
    assert {name for name in held if ".data/" in name} == {f"{own}.data/data/share/man/man1/provision.1"}


def test_the_installed_package_finds_its_manifests(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from provision.core.manifest import load_manifest; from provision.core.manifest import manifest_folder\n"
        "print(manifest_folder()); print(load_manifest('sdxl-turbo').name)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / "provision" / "_manifests"), "sdxl-turbo"]


def test_the_wheel_says_who_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"comfy_provision-{provision.__version__}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Version"] == PROJECT["version"] == provision.__version__
    assert metadata["License-Expression"] == "MIT"
    assert set(PROJECT["scripts"]) == set(PROGRAMS)
    assert all(f"{name} = provision.__main__:main" in scripts for name in PROGRAMS)


DECLARED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["fleet"]]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    imported: set[str] = set()
    for path in sources("provision", ".py"):
        if {"engine", "standin", "torch_probe.py"} & set(path.parts):  # run by another Python, which has torch
            continue
        for node in ast.walk(ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    declared = {MODULES.get(name, name) for name in (Requirement(line).name for line in DECLARED)}
    ours = {"provision", "_typeshed"}  # the latter is the type checker's own
    assert imported - set(sys.stdlib_module_names) - ours - declared == set()
    assert declared - imported == {"socksio"}  # what huggingface_hub's client asks a SOCKS proxy with


def test_the_help_of_the_shell_is_the_real_one() -> None:
    script = (CHECKOUT / "bin" / "provision").read_text(encoding="utf-8")
    assert script.split("<<'HELP'\n")[1].split("\nHELP\n")[0] == help_text()
