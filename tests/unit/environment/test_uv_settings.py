"""Of the person's settings of uv and pip the indexes count, and nothing that changes what is installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.core.step import Context
from provision.environment.packages import run_uv, uv_env
from provision.environment.uv_settings import UvFiles, default_index, index_settings, read_files
from provision.steps.tools.shell_variables import check_environment
from provision.system.local_machine import LocalMachine
from provision.system.strict import parse_toml
from tests.support.fake_machine import FakeMachine
from tests.support.hostile_node import wheel

Contexts = Callable[..., Context]
CHANGES = """\
exclude-newer = "2024-01-01T00:00:00Z"
offline = true
no-binary = true
no-build = true
resolution = "lowest"
prerelease = "disallow"
python-downloads = "never"
python-preference = "only-system"
constraint-dependencies = ["wanted<1"]
override-dependencies = ["wanted==0.1"]
torch-backend = "cu128"
[pip]
require-hashes = true
only-binary = [":all:"]
"""
VARIABLES = {
    "UV_EXCLUDE_NEWER": "2024-01-01",
    "UV_OFFLINE": "1",
    "UV_REQUIRE_HASHES": "1",
    "UV_NO_BINARY": "1",
    "UV_NO_BUILD": "1",
    "UV_CONSTRAINT": "/nowhere",
    "UV_OVERRIDE": "/nowhere",
    "UV_RESOLUTION": "lowest",
    "UV_PRERELEASE": "disallow",
    "UV_NO_INDEX": "1",
    "UV_TORCH_BACKEND": "cu128",
    "UV_SYSTEM_PYTHON": "1",
    "UV_HTTP_TIMEOUT": "ten",
    "PIP_REQUIRE_HASHES": "1",
    "PIP_NO_INDEX": "1",
    "UV_CONCURRENT_DOWNLOADS": "0",
}


def index_of(folder: Path) -> str:
    """A package index of files, with `wanted` 1.0 and 2.0 in it."""
    place = folder / "index" / "wanted"
    place.mkdir(parents=True)
    names = [wheel(place, "wanted", version).name for version in ("1.0", "2.0")]
    (place / "index.html").write_text("".join(f'<a href="{name}">{name}</a>\n' for name in names), encoding="utf-8")
    return place.parent.as_uri()


@pytest.mark.parametrize("place", [".config/uv/uv.toml", "here/uv.toml", "named.toml", ""])
def test_what_changes_an_install_elsewhere_changes_none_here(
    place: str, context: Contexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, person = index_of(tmp_path), tmp_path / "person"
    settings = person / (place or "none.toml")
    settings.parent.mkdir(parents=True)
    settings.write_text(CHANGES, encoding="utf-8")
    monkeypatch.chdir(settings.parent)
    environ = {"HOME": str(person), "PATH": os.environ["PATH"], "UV_DEFAULT_INDEX": index}
    environ |= {"UV_CONFIG_FILE": str(settings)} if place == "named.toml" else {}
    ctx = context(machine=LocalMachine(environ | (VARIABLES if not place else {})))
    (asked := tmp_path / "asked.txt").write_text("wanted", encoding="utf-8")
    ran = run_uv(ctx, "pip", "compile", "--quiet", "--no-header", "--no-annotate", asked)
    assert ran.out.split() == ["wanted==2.0"]


def files(text: str) -> UvFiles:
    return UvFiles(((Path("/home/me/.config/uv/uv.toml"), parse_toml(text)),))


def test_indexes_of_a_file_count() -> None:
    seen = files("""
index-strategy = "unsafe-best-match"
keyring-provider = "subprocess"
allow-insecure-host = ["mirror.example"]
python-install-mirror = "https://mirror.example/pythons"
https-proxy = "http://proxy.example:3128"
no-proxy = ["mirror.example", ".local"]
find-links = ["wheels", "https://links.example/"]
[[index]]
name = "corp"
url = "https://mirror.example/simple"
default = true
[[index]]
url = "https://more.example/simple"
[[index]]
name = "only-for-some"
url = "https://some.example/simple"
explicit = true
[[index]]
url = "https://flat.example/"
format = "flat"
[pip]
extra-index-url = ["https://pips.example/simple"]
""")
    assert index_settings({}, seen.read) == {
        "UV_DEFAULT_INDEX": "corp=https://mirror.example/simple",
        "UV_INDEX": "https://more.example/simple https://pips.example/simple",
        "UV_FIND_LINKS": "/home/me/.config/uv/wheels,https://links.example/,https://flat.example/",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_KEYRING_PROVIDER": "subprocess",
        "UV_INSECURE_HOST": "mirror.example",
        "UV_PYTHON_INSTALL_MIRROR": "https://mirror.example/pythons",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "NO_PROXY": "mirror.example,.local",
    }
    assert seen.unused == ()


def test_the_environment_comes_before_a_file_and_uvs_variable_before_pips() -> None:
    seen = files('index-url = "https://file.example/simple"\nhttps-proxy = "http://file.example:1"')
    given = {"UV_INDEX_URL": "https://uv.example/simple", "https_proxy": "http://given.example:1"}
    assert index_settings(given, seen.read) == {}
    assert index_settings({"PIP_INDEX_URL": "https://pip.example/simple"}, seen.read)["UV_DEFAULT_INDEX"] == (
        "https://pip.example/simple"
    )


@pytest.mark.parametrize("text", ['index = "x"', "index = [1]", "index-url = 3", 'pip = "x"', "find-links = {}"])
def test_a_setting_of_another_kind_is_none(text: str) -> None:
    assert index_settings({}, files(text).read) == {}


def test_the_index_is_named_without_its_name() -> None:
    assert default_index(FakeMachine()) == "https://pypi.org/simple"
    named = FakeMachine(environ={"UV_DEFAULT_INDEX": "corp=https://me:secret@mirror.example/simple?a=b"})
    assert default_index(named) == "https://me:secret@mirror.example/simple?a=b"
    toml = '\ufeff[[index]]\nurl = "https://file.example/simple"\ndefault = true'
    of_file = FakeMachine(environ={"HOME": "/home/me"}, files={"/home/me/.config/uv/uv.toml": toml})
    assert default_index(of_file) == "https://file.example/simple"


def test_a_file_that_is_broken_is_named_and_one_that_does_not_count_is_told(context: Contexts) -> None:
    place = "/home/me/.config/uv/uv.toml"
    for text, kind in (("wibble =", "uv-config"), (CHANGES, "uv-unused")):
        machine = FakeMachine(environ={"HOME": "/home/me"}, files={place: text})
        (finding,) = check_environment(context(machine=machine))
        assert (finding.id, finding.subject) == (kind, place)
        assert ("exclude-newer, offline" in finding.says) == (kind == "uv-unused")
        assert "UV_DEFAULT_INDEX" not in uv_env(machine, context().home)


def test_no_file_is_read_where_the_person_says_so() -> None:
    machine = FakeMachine(environ={"HOME": "/h", "UV_NO_CONFIG": "1"}, files={"/h/.config/uv/uv.toml": "wibble"})
    assert read_files(machine) == UvFiles()
