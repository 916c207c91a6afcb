"""install.sh, really run by a plain sh on a PATH that has only what macOS ships, in an empty home, without a network.

What it installs is a stand-in with the project's name; uv is real, and is brought as the wheel that it asks for.
"""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from provision.system.child_process import KEPT_NAMES, KEPT_NUMBERS, clean_env
from tests.support.bare_checkout import BIN, INSTALL, UV, UV_VERSION, Bare, bare_checkout
from tests.support.processes import eventually

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
REAL_UV = f'exec "{UV}" "$@"'
BACKEND = """\
import pathlib, zipfile

STAND_IN = '''\\
import sys

def main():
    print("provision 9.8.7" if sys.argv[1:] == ["--version"] else " ".join(["stand-in", *sys.argv[1:]]))
'''

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "comfy_provision-9.8.7-py3-none-any.whl"
    info = "comfy_provision-9.8.7.dist-info/"
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        wheel.writestr("stand_in.py", STAND_IN)
        wheel.writestr("provision/__init__.py", "")
        wheel.writestr("provision/__main__.py", "from stand_in import main; main()")
        wheel.write("provision/start.py")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: comfy-provision\\nVersion: 9.8.7\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "entry_points.txt", "[console_scripts]\\nprovision = stand_in:main\\n")
        wheel.writestr(name.replace("-py3-none-any.whl", ".data/data/share/man/man1/provision.1"), "man")
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


SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "zsh": ["zsh", "--emulate", "sh"],
}


def shell_called(name: str) -> list[str]:
    program, *options = SHELLS[name]
    return [shutil.which(program) or pytest.skip(f"there is no {name} on this machine"), *options]


def install(bare: Bare, *args: str, shell: Sequence[str] = ("/bin/sh",), **environ: str) -> tuple[int, str]:
    """The exit code, and all that it said."""
    ran = bare.run(argv=[*shell, str(bare.checkout / "install.sh"), *args], environ=environ)
    return ran.code, ran.out + ran.err


def root(bare: Bare) -> Path:
    return Path(bare.environ["HOME"]) / ".local" / "share" / "comfy-provision"


def link(bare: Bare) -> Path:
    return Path(bare.environ["HOME"]) / ".local" / "bin" / "provision"


def held(bare: Bare) -> list[str]:
    """What lies in the folder, without the numbers of the runs that made it."""
    return sorted(re.sub(r"-\d+$", "", path.name) for path in root(bare).iterdir())


def pasted(bare: Bare, line: str, shell: str = "/bin/sh") -> str:
    """What a line of what was said does, in a shell of the person's."""
    ran = subprocess.run(
        [shell, "-c", line], env=bare.environ | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    return ran.stdout


def line_after(said: str, label: str) -> str:
    return said.partition(label)[2].splitlines()[0].strip()


@pytest.mark.parametrize("name", SHELLS)
def test_it_installs_says_how_to_go_on_and_how_to_remove_it(bare: Bare, name: str) -> None:
    code, said = install(bare, shell=shell_called(name))
    assert code == 0, said
    assert "Installed provision 9.8.7 in ~/.local/share/comfy-provision." in said
    assert pasted(bare, line_after(said, "Set everything up:")) == "stand-in all\n"
    assert held(bare) == ["bin", "env", "uv"]
    assert (link(bare).parents[1] / "share" / "man" / "man1" / "provision.1").read_text() == "man"
    pasted(bare, line_after(said, "Remove it:"))
    assert [path for path in (bare.root / "home").rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize("name", ["a home", "O'Brien's $HOME", "Jürgen"])
def test_lines_can_be_pasted_in_every_home(bare: Bare, name: str) -> None:
    bare.environ["HOME"] = str(bare.root / name)
    code, said = install(bare, XDG_DATA_HOME=str(bare.root / name / "my data"))
    assert code == 0, said
    assert pasted(bare, line_after(said, "Set everything up:")) == "stand-in all\n"
    pasted(bare, line_after(said, "Remove it:"))
    assert [path for path in (bare.root / name).rglob("*") if not path.is_dir()] == []


@pytest.mark.parametrize("shell", ["zsh", "bash", "fish"])
def test_the_line_for_the_path_makes_it_a_word(bare: Bare, shell: str) -> None:
    program = shutil.which(shell) or pytest.skip(f"there is no {shell} on this machine")
    code, said = install(bare, SHELL=program)
    assert code == 0, said
    line = line_after(said, "paste this line once:\n\n")
    environ = bare.environ | {"PATH": "/usr/bin:/bin", "TERM": "dumb"}
    for typed in (f"{line}\nprovision from here\n", "provision from here\n"):
        ran = subprocess.run(
            [program, "-i"], input=typed, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert "stand-in from here" in ran.stdout, ran.stdout + ran.stderr


def test_again_it_updates_and_the_one_before_may_go_on(bare: Bare) -> None:
    install(bare)
    before = (root(bare) / "bin" / "provision").resolve()
    path = f"{link(bare).parent}:{bare.programs}"
    code, said = install(bare, PATH=path)
    assert code == 0, said
    assert "Reinstalled provision 9.8.7" in said
    assert "Set everything up:  provision all\n" in said
    assert "paste this line" not in said
    assert before.exists(), "it may be running"
    assert len((bare.root / "curl.log").read_text().splitlines()) == 1, "uv is there"

    for name in ("pyproject.toml", "backend.py"):
        changed = (bare.checkout / name).read_text().replace("9.8.7", "9.9.0")
        (bare.checkout / name).write_text(changed)
        os.utime(bare.checkout / name, (2_000_000_000, 2_000_000_000))  # Python goes by whole seconds and the size
    code, said = install(bare, PATH=path)
    assert code == 0, said
    assert "Updated provision 9.8.7 to provision 9.9.0" in said
    assert not before.exists()
    assert held(bare) == ["bin", "env", "env", "uv"]


def test_a_ctrl_c_before_the_first_package_is_read_is_no_traceback(bare: Bare) -> None:
    """What Python reads first of all is slow here, and a person impatient."""
    assert install(bare)[0] == 0
    reached = bare.root / "reached"
    (site,) = root(bare).glob("env-*/lib/python*/site-packages")
    (site / "slow.pth").write_text(f"import time; open({str(reached)!r}, 'w').close(); time.sleep(60)\n")
    argv, pipe = [link(bare), "check"], subprocess.PIPE
    running = subprocess.Popen(argv, env=bare.environ, stdout=pipe, stderr=subprocess.STDOUT)
    try:
        assert eventually(reached.exists)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=30)
    finally:
        running.kill()
    assert (running.returncode, said) == (-signal.SIGINT, b""), "130 for a shell"


def test_a_program_of_that_name_that_is_somebody_elses_stays(bare: Bare) -> None:
    link(bare).parent.mkdir(parents=True)
    link(bare).write_text("mine")
    code, said = install(bare)
    assert code == 0, said
    assert link(bare).read_text() == "mine"
    assert pasted(bare, line_after(said, "Set everything up:")) == "stand-in all\n"
    assert "/.local/bin/provision" not in line_after(said, "Remove it:")


def test_a_program_of_that_name_that_comes_first_is_not_called(bare: Bare) -> None:
    bare.give("provision", "echo another")
    code, said = install(bare, PATH=f"{bare.programs}:{link(bare).parent}")
    assert code == 0, said
    assert line_after(said, "Set everything up:") == "~/.local/bin/provision all"


def test_as_another_user_it_does_nothing(bare: Bare) -> None:
    code, said = install(bare, SUDO_UID="501")
    assert code == 1
    assert "without sudo" in said
    assert not (bare.root / "home").exists()


# --- what goes wrong ---


def test_another_file_in_place_of_uv_is_not_run(bare: Bare) -> None:
    with zipfile.ZipFile(bare.root / "uv.whl", "a") as archive:
        archive.writestr("more", "changed on the way")
    code, said = install(bare)
    assert code == 1
    assert "is another file" in said
    assert held(bare) == ["bin"]


def test_without_a_network_it_says_what_to_do(bare: Bare) -> None:
    bare.give("curl", "echo 'curl: (6) Could not resolve host' >&2\nexit 6")
    code, said = install(bare)
    assert code == 1
    assert "Could not resolve host" in said
    assert "export HTTPS_PROXY=" in said
    assert held(bare) == ["bin"]


@pytest.mark.parametrize("full", ["curl", "uv"])
def test_a_full_disk_is_named(bare: Bare, full: str) -> None:
    install(bare)
    before = (root(bare) / "bin" / "provision").resolve()
    if full == "curl":
        (root(bare) / "uv").unlink()
        bare.give("curl", "exit 23")
    else:
        bare.give(
            "uv", f'[ "$1" != pip ] || {{ echo "No space left on device (os error 28)" >&2; exit 2; }}\n{REAL_UV}'
        )
        (root(bare) / "uv").write_text((bare.programs / "uv").read_text())
    code, said = install(bare)
    assert code == 1
    assert "No space left in ~/.local/share/comfy-provision." in said
    assert "df -h ~/.local/share/comfy-provision" in said
    assert set(root(bare).glob("*-*")) == {before.parents[1]}
    assert (root(bare) / "bin" / "provision").resolve() == before


def test_what_uv_says_is_shown(bare: Bare) -> None:
    code, said = install(bare, PROVISION_SOURCE="/nothing/there")
    assert code == 1
    assert "/nothing/there" in said
    assert "Then run the same line again." in said
    assert held(bare) == ["bin", "uv"]


def test_a_home_that_cannot_be_written_is_named(bare: Bare) -> None:
    (bare.root / "home").write_text("a file, since root may write every folder")
    code, said = install(bare)
    assert code == 1
    assert "~/.local/share/comfy-provision cannot be written" in said
    assert "export XDG_DATA_HOME=" in said


def test_where_only_the_links_cannot_be_written_the_program_is_called_by_its_place(bare: Bare) -> None:
    link(bare).parents[1].mkdir(parents=True)
    link(bare).parent.write_text("a file")
    code, said = install(bare)
    assert code == 0, said
    assert line_after(said, "Set everything up:") == "~/.local/share/comfy-provision/bin/provision all"
    assert pasted(bare, line_after(said, "Set everything up:")) == "stand-in all\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_while_it_installs_it_leaves_nothing_that_counts(bare: Bare, number: signal.Signals) -> None:
    os.mkfifo(bare.root / "installing")
    stalled = f'[ "$1" != pip ] || {{ echo >"{bare.root}/installing"; exec sleep 60; }}\n{REAL_UV}'
    with zipfile.ZipFile(bare.root / "uv.whl", "w") as archive:
        archive.writestr(f"uv-{UV_VERSION}.data/scripts/uv", f"#!/bin/sh\n{stalled}\n")
    environ = bare.environ | bare.trust_uv()
    script = str(bare.checkout / "install.sh")
    with subprocess.Popen(["/bin/sh", script], env=environ, stderr=subprocess.PIPE, start_new_session=True) as running:
        with (bare.root / "installing").open():  # opens when uv does
            running.send_signal(number)
            said = running.communicate(timeout=30)[1].decode() if number == signal.SIGTERM else ""
            running.wait(timeout=30)
        if number == signal.SIGKILL:
            os.killpg(running.pid, signal.SIGKILL)  # uv, which nobody could stop
    if number == signal.SIGTERM:
        assert running.returncode == 130
        assert "Stopped. Nothing is lost" in said
        assert held(bare) == ["bin", "uv"]
    assert list((root(bare) / "bin").iterdir()) == []
    assert not link(bare).parent.exists()

    (root(bare) / "uv").unlink()
    bare.environ |= bare.offer_uv()
    code, said = install(bare)
    assert code == 0, said
    assert held(bare) == ["bin", "env", "uv"]


# --- uv's settings ---


def rule(script: Path) -> str:
    (found,) = re.findall(
        r"^leave_indexes\(\) \{\n.*?^\}\n", script.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return str(found)


def test_one_rule_says_which_settings_of_uv_count() -> None:
    assert rule(INSTALL) == rule(BIN / "provision")
    numbers = dict.fromkeys(KEPT_NUMBERS, "7")
    kept = dict.fromkeys(
        [*(name for name in KEPT_NAMES if name.startswith("UV_")), "UV_INDEX_ME_PASSWORD"], "x\nUV_y=1"
    )
    dropped = {"UV_OFFLINE": "1", "UV_EXCLUDE_NEWER": "2020", "UV_PYTHON": "3.9", "UV_SYSTEM_PYTHON": "1"}
    for given, left in ((numbers | kept | dropped, numbers | kept), (dict.fromkeys(KEPT_NUMBERS, "soon"), {})):
        assert clean_env(given) == left
        shell = ["/bin/sh", "-euc", f"{rule(INSTALL)}leave_indexes; env -0"]
        environ = given | {"PATH": "/usr/bin:/bin"}
        ran = subprocess.run(shell, env=environ, capture_output=True, text=True, check=True)
        found = dict(line.split("=", 1) for line in ran.stdout.split("\0") if line.startswith("UV_"))
        assert found == left


def test_a_fault_in_uv_toml_does_not_count(bare: Bare) -> None:
    (settings := bare.root / "uv.toml").write_text("wibble =", encoding="utf-8")
    code, said = install(bare, UV_CONFIG_FILE=str(settings))
    assert code == 0, said


# --- from a pipe ---


def piped(bare: Bare, script: str, shell: Sequence[str] = ("/bin/sh",), **environ: str) -> tuple[int, str]:
    ran = subprocess.run(
        shell,
        input=script,
        cwd=bare.root,
        env=bare.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", SHELLS)
def test_from_a_pipe_it_installs_what_is_named(bare: Bare, name: str) -> None:
    script = (bare.checkout / "install.sh").read_text()
    code, said = piped(bare, script, shell_called(name), PROVISION_SOURCE=str(bare.checkout))
    assert code == 0, said
    assert link(bare).exists()


def test_from_a_pipe_it_does_nothing_before_it_is_published(bare: Bare) -> None:
    code, said = piped(bare, (bare.checkout / "install.sh").read_text())
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
