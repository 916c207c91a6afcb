"""What is published: one address everywhere, a formula that goes with pyproject.toml, a window of the Finder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from tests.support.paths import CHECKOUT
from tests.support.scripts import load

PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
RAW = REPOSITORY.replace("github.com", "raw.githubusercontent.com")
WRITTEN = {".md", ".py", ".toml", ".sh", ".rb", ".yml", ".command", ""}


def pages() -> list[Path]:
    """The files that may name the address, as a checkout without git has them too."""
    made = {".git", ".tool", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "pictures"}
    found = (path for path in CHECKOUT.rglob("*") if path.is_file() and path.suffix in WRITTEN)
    return [path for path in found if not made & set(path.relative_to(CHECKOUT).parts)]


def test_one_address_is_everywhere() -> None:
    owned = re.compile(r"https://(?:github|raw\.githubusercontent)\.com/[\w.-]+/provision\b")
    named = {path: set(owned.findall(path.read_text(encoding="utf-8", errors="replace"))) for path in pages()}
    used = {path.relative_to(CHECKOUT).as_posix(): found for path, found in named.items() if found}
    assert {address for found in used.values() for address in found} == {REPOSITORY, RAW}
    assert {"install.sh", "README.md", "docs/install.md", "packaging/homebrew/comfy-provision.rb"} <= set(used)
    assert all(url.startswith(REPOSITORY) for url in PROJECT["urls"].values())
    for page in ("install.sh", "README.md", "docs/install.md"):
        assert f"curl -fsSL {RAW}/HEAD/install.sh | sh" in (CHECKOUT / page).read_text(encoding="utf-8"), page


# --- Homebrew ---


FORMULA = load(CHECKOUT / "packaging" / "homebrew_formula.py")
WRITTEN_FORMULA = FORMULA.FORMULA.read_text(encoding="utf-8")
RESOURCES = [
    FORMULA.Resource(*found)
    for found in re.findall(r'resource "(\S+)" do\n    url "(\S+)"\n    sha256 "([0-9a-f]{64})"\n', WRITTEN_FORMULA)
]


def version_of(url: str) -> tuple[str, Any]:
    name = url.rpartition("/")[2]
    return (parse_sdist_filename if name.endswith(".tar.gz") else parse_wheel_filename)(name)[:2]


def test_the_formula_is_as_the_script_writes_it() -> None:
    (release,) = re.findall(r'^  sha256 "(\w{64})"$', WRITTEN_FORMULA, re.MULTILINE)
    assert FORMULA.render(PROJECT, RESOURCES, release) == WRITTEN_FORMULA


def test_the_formula_holds_what_the_package_needs() -> None:
    held = dict(version_of(each.url) for each in RESOURCES)
    assert [canonicalize_name(each.name) for each in RESOURCES] == sorted(held)
    assert all(each.url.startswith("https://files.pythonhosted.org/packages/") for each in RESOURCES)
    for line in PROJECT["dependencies"]:
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        assert name in FORMULA.BREWED or held[name] in wanted.specifier, line
    assert f'depends_on "python@{FORMULA.PYTHON}"' in WRITTEN_FORMULA
    assert f"Programming Language :: Python :: {FORMULA.PYTHON}" in PROJECT["classifiers"]


def test_a_package_that_is_not_on_pypi_is_refused() -> None:
    sdist = {"url": "https://mirror.example/a-1.tar.gz", "hashes": {"sha256": "0"}}
    with pytest.raises(ValueError, match="a 1 has no source"):
        list(FORMULA.resources_of({"packages": [{"name": "a", "version": "1", "sdist": sdist}]}))
    with pytest.raises(ValueError, match="b 2 has no source"):
        list(FORMULA.resources_of({"packages": [{"name": "b", "version": "2"}]}))


def test_the_formula_goes_by_homebrews_rules() -> None:
    """Of `brew audit` and `brew style`, what can be had without brew (Homebrew/rubocops)."""
    desc = PROJECT["description"]
    assert len(desc) < 80
    assert re.fullmatch(r"(?!(?:An?|The) )[A-Z].*[^.\s]", desc)
    assert max(len(line) for line in WRITTEN_FORMULA.splitlines() if not line.lstrip().startswith("url ")) <= 118
    linked = re.findall(r'^  depends_on "(\S+)"(?!.*:build)', WRITTEN_FORMULA, re.MULTILINE)
    assert linked == sorted(linked)
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("there is no ruby on this machine: the formula was not parsed")
    parsed = subprocess.run([ruby, "-wc", FORMULA.FORMULA], capture_output=True, text=True, check=False)
    assert parsed.stdout == "Syntax OK\n", parsed.stderr


# --- the source distribution ---


def test_the_source_distribution_builds_and_holds_no_tests(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as unpacked:
        names = {name.partition("/")[2] for name in unpacked.getnames()}
    assert {"install.sh", "bin/provision", "docs/provision.1", "manifests/sdxl-turbo.toml"} <= names
    assert "provision/py.typed" in names
    assert not [name for name in names if name.startswith((".", "tests/")) and name != ".gitignore"]
