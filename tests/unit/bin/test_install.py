"""install.sh, really run by a plain sh on a PATH that has only what macOS ships, in an empty home, without a network.

What it installs is a stand-in with the project's name; uv is real, and is brought as the wheel that it asks for.
"""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.bare_checkout import INSTALL, Bare, bare_checkout
from tests.support.paths import CHECKOUT

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "comfy-provision"
version = "9.8.7"
scripts = { provision = "stand_in:main" }
"""
BACKEND = """\
import pathlib, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "comfy_provision-9.8.7-py3-none-any.whl"
    info = "comfy_provision-9.8.7.dist-info/"
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        wheel.writestr("stand_in.py", "import sys\\ndef main(): print('stand-in', *sys.argv[1:])\\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: comfy-provision\\nVersion: 9.8.7\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "entry_points.txt", "[console_scripts]\\nprovision = stand_in:main\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """A checkout of the stand-in; a curl that brings uv's wheel, and whatever else is asked for."""
    made = bare_checkout(tmp_path)
    (made.checkout / "pyproject.toml").write_text(PYPROJECT)
    (made.checkout / "backend.py").write_text(BACKEND)
    made.environ |= made.offer_uv()
    return made


def install(bare: Bare, *args: str, **environ: str) -> tuple[int, str]:
    """The exit code, and all that it said."""
    ran = bare.run(argv=["/bin/sh", str(bare.checkout / "install.sh"), *args], environ=environ)
    return ran.code, ran.out + ran.err


def root(bare: Bare) -> Path:
    return bare.root / "home" / ".local" / "share" / "comfy-provision"


def link(bare: Bare) -> Path:
    return bare.root / "home" / ".local" / "bin" / "provision"


def test_one_line_installs_updates_and_says_how_to_go_on(bare: Bare) -> None:
    code, said = install(bare)
    assert code == 0, said
    assert f"{link(bare)} all" in said
    ran = subprocess.run([link(bare), "all"], capture_output=True, text=True, check=True)
    assert ran.stdout == "stand-in all\n"
    assert sorted(path.name for path in root(bare).iterdir()) == ["bin", "tools", "uv"]

    code, said = install(bare, PATH=f"{link(bare).parent}:{bare.programs}")
    assert code == 0, said
    assert "Set everything up:  provision all\n" in said
    fetched = (bare.root / "curl.log").read_text().splitlines()
    assert len(fetched) == 1, "uv is there"
    removing = said.partition("Remove it:")[2].strip()
    subprocess.run(["/bin/sh", "-c", removing], check=True)
    assert not root(bare).exists()
    assert not link(bare).is_symlink()


def test_a_program_of_that_name_that_is_somebody_elses_stays(bare: Bare) -> None:
    link(bare).parent.mkdir(parents=True)
    link(bare).write_text("mine")
    code, said = install(bare)
    assert code == 0, said
    assert link(bare).read_text() == "mine"
    assert f"{root(bare)}/bin/provision all" in said
    assert str(link(bare)) not in said


def test_another_file_in_place_of_uv_is_not_run(bare: Bare) -> None:
    with zipfile.ZipFile(bare.root / "uv.whl", "a") as archive:
        archive.writestr("more", "changed on the way")
    code, said = install(bare)
    assert code == 1
    assert "is another file" in said
    assert list(root(bare).iterdir()) == []


def test_without_a_network_it_says_what_to_do(bare: Bare) -> None:
    bare.give("curl", "echo 'curl: (6) Could not resolve host' >&2\nexit 6")
    code, said = install(bare)
    assert code == 1
    assert "Could not resolve host" in said
    assert "export HTTPS_PROXY=" in said
    assert list(root(bare).iterdir()) == []


def test_as_another_user_it_does_nothing(bare: Bare) -> None:
    code, said = install(bare, SUDO_UID="501")
    assert code == 1
    assert "without sudo" in said
    assert not (bare.root / "home").exists()


# --- from a pipe ---


def piped(bare: Bare, script: str, **environ: str) -> tuple[int, str]:
    ran = subprocess.run(
        ["/bin/sh"],
        input=script,
        cwd=bare.root,
        env=bare.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_from_a_pipe_it_installs_what_is_published(bare: Bare) -> None:
    script = (bare.checkout / "install.sh").read_text()
    code, said = piped(bare, script, PROVISION_SOURCE=str(bare.checkout))
    assert code == 0, said
    assert link(bare).exists()

    shutil.rmtree(bare.root / "home")
    code, said = piped(bare, script)
    assert code == 1
    assert "names no place where provision is published" in said
    assert not (bare.root / "home").exists()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1])
def test_a_script_that_came_in_part_does_nothing(bare: Bare, share: float) -> None:
    script, call, _ = (bare.checkout / "install.sh").read_text().rpartition('main "$@"')
    piped(bare, (script + call[:3])[: int(share * (len(script) + 3))], PROVISION_SOURCE=str(bare.checkout))
    assert not (bare.root / "home").exists()


# --- a package index of one's own ---


@pytest.fixture
def index(bare: Bare) -> Iterator[str]:
    """An index as a company has it: a page with relative addresses, and files elsewhere on the same host."""
    script = (bare.checkout / "install.sh").read_text()
    version, tag = re.findall(r"^uv_version=(.+)$|Linux-x86_64 \S+ (\S+)", script, re.MULTILINE)
    name = f"uv-{version[0]}-py3-none-{tag[1]}.whl"
    (bare.root / "www" / "simple" / "uv").mkdir(parents=True)
    (bare.root / "www" / "files").mkdir()
    shutil.copyfile(bare.root / "uv.whl", bare.root / "www" / "files" / name)
    page = f'<a href="../../files/old-{name}#sha256=0">old</a>\n<a href="../../files/{name}#sha256=1">{name}</a>\n'
    (bare.root / "www" / "simple" / "uv" / "index.html").write_text(page)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(bare.root / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("setting", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_uv_comes_from_the_index_that_is_configured(bare: Bare, index: str, setting: str) -> None:
    bare.give("curl", f'exec {shutil.which("curl")} "$@"')
    bare.give("uname", '[ "$1" = -m ] && echo x86_64 || echo Linux')
    code, said = install(bare, "--uv", str(bare.root / "brought"), **{setting: index, "no_proxy": "*"})
    assert code == 0, said
    assert [path.name for path in (bare.root / "brought").iterdir()] == ["uv"]


def test_the_address_stands_in_one_place() -> None:
    """[project.urls]; install.sh has to know it when it comes by itself."""
    urls = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    found = re.findall(r"^repository=(\S+)", INSTALL.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == [urls["Repository"]]
    raw = urls["Repository"].replace("github.com", "raw.githubusercontent.com") + "/HEAD/install.sh"
    for page in (INSTALL, CHECKOUT / "README.md"):
        assert f"curl -fsSL {raw} | sh" in page.read_text(encoding="utf-8"), page.name
