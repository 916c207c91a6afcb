"""Write homebrew/comfy-provision.rb: the formula of a release, with the packages that uv resolves for it.

    python packaging/homebrew_formula.py provision-0.1.0.tar.gz

The archive is what `url` of the formula leads to; without one its sha256 stays a row of zeros. The packages are the
newest that pyproject.toml accepts, as https://docs.brew.sh/Python-for-Formula-Authors wants them: sources, by their
address on PyPI.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
FORMULA = CHECKOUT / "packaging" / "homebrew" / "comfy-provision.rb"
PYPI = "https://files.pythonhosted.org/packages/"
PYTHON = "3.14"
BREWED = ("certifi", "pillow", "uv")
"""The packages that Homebrew has formulae of; the tool looks for the program uv on the PATH too."""
UNKNOWN = "0" * 64

TEMPLATE = """\
class ComfyProvision < Formula
  include Language::Python::Virtualenv

  desc "{desc}"
  homepage "{repository}"
  url "{repository}/archive/refs/tags/v{version}.tar.gz"
  sha256 "{sha256}"
  license "{license}"
  head "{repository}.git", branch: "main"

  livecheck do
    url :stable
    strategy :github_latest
  end

  depends_on "rust" => :build # for hf-xet
  depends_on "certifi" => :no_linkage
  depends_on "libyaml"
  depends_on "pillow" => :no_linkage
  depends_on "python@{python}"
  depends_on "uv"

  on_linux do
    depends_on "openssl@3"
  end

  pypi_packages exclude_packages: %w[{brewed}]

{resources}
  def install
    virtualenv_install_with_resources
    generate_completions_from_executable(bin/"provision", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/provision --version")
    assert_match "sdxl-turbo", shell_output("#{{bin}}/provision manifests list")
  end
end
"""
RESOURCE = """\
  resource "{name}" do
    url "{url}"
    sha256 "{sha256}"
  end
"""


@dataclass(frozen=True, slots=True)
class Resource:
    """A package's source, or its wheel where there is no source."""

    name: str
    url: str
    sha256: str


def render(project: Mapping[str, Any], resources: Sequence[Resource], sha256: str) -> str:
    """The formula of the release that `[project]` describes."""
    return TEMPLATE.format(
        desc=project["description"],
        repository=project["urls"]["Repository"],
        version=project["version"],
        license=project["license"],
        sha256=sha256,
        python=PYTHON,
        brewed=" ".join(BREWED),
        resources="\n".join(
            RESOURCE.format(name=each.name, url=each.url, sha256=each.sha256)
            for each in sorted(resources, key=lambda each: each.name)
        ),
    )


def resources_of(pylock: Mapping[str, Any]) -> Iterator[Resource]:
    """The packages of a lock (PEP 751). Raises ValueError for one that is not PyPI's, or has nothing that fits."""
    for package in pylock["packages"]:
        if package["name"] in BREWED:
            continue
        whole = [wheel for wheel in package.get("wheels", ()) if wheel["url"].endswith("py3-none-any.whl")]
        files = [package["sdist"]] if "sdist" in package else whole
        if not files or not files[0]["url"].startswith(PYPI):
            raise ValueError(f"{package['name']} {package['version']} has no source on {PYPI}")
        yield Resource(package["name"], files[0]["url"], files[0]["hashes"]["sha256"])


def resolve() -> dict[str, Any]:
    """What uv chooses for a Mac, as a lock."""
    words = f"uv pip compile --quiet --no-header --format pylock.toml --python-version {PYTHON}"
    compiled = subprocess.run(
        [*words.split(), "--python-platform", "aarch64-apple-darwin", "pyproject.toml"],
        cwd=CHECKOUT,
        env=os.environ | {"UV_DEFAULT_INDEX": "https://pypi.org/simple", "UV_NO_CONFIG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return tomllib.loads(compiled.stdout)


def main() -> None:
    """Write the formula."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    release = hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest() if sys.argv[1:] else UNKNOWN
    FORMULA.write_text(render(project, list(resources_of(resolve())), release), encoding="utf-8")


if __name__ == "__main__":
    main()
