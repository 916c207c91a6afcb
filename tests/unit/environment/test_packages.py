"""What is installed, read from metadata on the disk; what is asked and not met; what uv's failures mean."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.core.events import Event, Output
from provision.core.home import Home
from provision.core.step import Context
from provision.environment.packages import (
    asked_packages,
    configured_python,
    find_uv,
    installed_versions,
    must_install,
    normalised,
    package_error,
    run_uv,
    unmet,
    uv_env,
)
from provision.errors import CommandMissing, PackageError
from provision.system.machine import Ran
from tests.support.fake_machine import FakeMachine
from tests.support.hints import said

Contexts = Callable[..., Context]
HOME = Home(Path("/home/you/provision"))


def install(venv: Path, *infos: str, metadata: bool = True, python: str = "3.12") -> None:
    """Lay down `NAME-VERSION.dist-info` folders as an installer does."""
    for info in infos:
        folder = venv / "lib" / f"python{python}" / "site-packages" / f"{info}.dist-info"
        folder.mkdir(parents=True)
        if metadata:
            (folder / "METADATA").write_text("Metadata-Version: 2.4\n", encoding="utf-8")


# -- what is installed ----------------------------------------------------------------------------------


def test_installed_versions_come_from_dist_info(tmp_path: Path) -> None:
    install(
        tmp_path,
        "torch-2.12.0.dev20260101",
        "torchvision-0.27.0+cpu",
        "huggingface_hub-1.0.1",
        "ruamel.yaml-0.18",
        "SQLAlchemy-2.0.1",
    )
    assert installed_versions(tmp_path) == {
        "torch": "2.12.0.dev20260101",
        "torchvision": "0.27.0+cpu",
        "huggingface-hub": "1.0.1",
        "ruamel-yaml": "0.18",
        "sqlalchemy": "2.0.1",
    }


@pytest.mark.parametrize(
    ("line", "python"),
    [
        ("version_info = 3.12.7", "3.12.7"),  # as uv and virtualenv write it
        ("version = 3.13.1", "3.13.1"),  # as venv does
        ("version=3.12", "3.12"),
        ("base-version = 3.12.7", ""),
        ("version = next", ""),
    ],
)
def test_the_python_of_an_environment_is_read_from_its_configuration(tmp_path: Path, line: str, python: str) -> None:
    place = str(tmp_path / "pyvenv.cfg")
    assert configured_python(FakeMachine(files={place: f"home = /usr/bin\n{line}\n"}), tmp_path) == python
    assert configured_python(FakeMachine(), tmp_path) == ""


def test_a_package_that_was_cut_off_is_not_installed(tmp_path: Path) -> None:
    install(tmp_path, "torch-2.11.0", metadata=False)
    install(tmp_path, "~orch-2.11.0", "numpy-2.0")
    assert installed_versions(tmp_path).get("torch") is None
    assert installed_versions(tmp_path)["numpy"] == "2.0"


def test_no_environment_has_no_packages(tmp_path: Path) -> None:
    assert installed_versions(tmp_path / "venv") == {}


@pytest.mark.parametrize(
    ("name", "normal"), [("Pillow", "pillow"), ("a__b--c..d", "a-b-c-d"), ("zope.interface", "zope-interface")]
)
def test_names_are_compared_as_the_index_compares_them(name: str, normal: str) -> None:
    assert normalised(name) == normal


# -- what is asked --------------------------------------------------------------------------------------


def test_asked_packages_leaves_out_comments_and_options(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# a comment\n\ntorch\ntorchsde  # noise\n\tnumpy>=1.25.0\t# tab\n--extra-index-url https://x\n-r other.txt\n"
        "comfyui-frontend-package==1.2\n",
        encoding="utf-8",
    )
    assert asked_packages(file) == ["torch", "torchsde", "numpy>=1.25.0", "comfyui-frontend-package==1.2"]


def test_a_byte_order_mark_hides_nothing(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_bytes(b"\xef\xbb\xbftorch\r\nnumpy\r\n")
    assert asked_packages(file) == ["torch", "numpy"]


VERSIONS = {"torch": "2.12.0.dev20260101", "numpy": "1.26.4", "huggingface-hub": "1.0.1", "odd": "unknown"}


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("torch", None),
        ("torch>=2.0", None),
        ("numpy>=2", [("numpy>=2", "1.26.4")]),
        ("Huggingface_Hub[hf_xet]>=1", None),
        ("scipy", [("scipy", None)]),
        ("scipy; sys_platform == 'win32'", None),
        ("scipy; python_version < '3.11'", None),
        ("scipy; python_version >= '3.12'", [("scipy; python_version >= '3.12'", None)]),
        ("scipy; python_full_version < '3.12'", None),
        ("odd", None),
        ("odd>=1", [("odd>=1", "unknown")]),
        ("clip @ https://example.org/clip.zip", [("clip @ https://example.org/clip.zip", None)]),
        ("???", None),
    ],
)
def test_unmet_is_judged_for_the_target_python(line: str, missing: list[tuple[str, str | None]] | None) -> None:
    assert unmet([line], VERSIONS, "3.12") == (missing or [])


def test_unmet_keeps_the_order() -> None:
    assert [line for line, _ in unmet(["b", "torch", "a"], VERSIONS, "3.12")] == ["b", "a"]


# -- uv -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_own_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


@pytest.mark.usefixtures("no_own_uv")
def test_uv_is_the_tools_own_else_the_one_on_path(tmp_path: Path) -> None:
    machine = FakeMachine(programs={"uv": "/opt/homebrew/bin/uv"})
    assert find_uv(machine) == Path("/opt/homebrew/bin/uv")
    (tmp_path / "uv").touch()
    assert find_uv(machine) == tmp_path / "uv"


@pytest.mark.usefixtures("no_own_uv")
def test_without_uv_the_hint_brings_it() -> None:
    with pytest.raises(CommandMissing) as seen:
        find_uv(FakeMachine())
    assert said(seen.value.hint) == "python3 -m pip install uv"


def test_uv_keeps_everything_in_the_home_and_the_caller_wins(context: Contexts) -> None:
    ctx = context(machine=FakeMachine())
    env = uv_env(ctx.machine, ctx.home)
    assert env["UV_CACHE_DIR"] == str(ctx.home.state / "cache")
    assert env["UV_PYTHON_INSTALL_DIR"] == str(ctx.home.state / "python")
    given = {"UV_CACHE_DIR": "/cache", "UV_LINK_MODE": "copy"}
    mine = uv_env(FakeMachine(environ=given), HOME)
    assert {name: mine[name] for name in given} == given


def test_uv_trusts_whom_a_mac_trusts() -> None:
    """A company's certificate lies in the Keychain, and in no file that anybody could name."""
    env = uv_env(FakeMachine(), HOME)
    assert (env["UV_SYSTEM_CERTS"], env["UV_NATIVE_TLS"]) == ("1", "1")


def test_pips_index_is_honoured_where_uv_has_none() -> None:
    pip = {"PIP_INDEX_URL": "https://mirror/simple", "PIP_EXTRA_INDEX_URL": "https://extra/simple"}
    env = uv_env(FakeMachine(environ=pip), HOME)
    assert (env["UV_DEFAULT_INDEX"], env["UV_INDEX"]) == ("https://mirror/simple", "https://extra/simple")
    own = {"UV_INDEX_URL": "https://own/simple", "UV_EXTRA_INDEX_URL": "https://own-extra/simple"}
    env = uv_env(FakeMachine(environ=pip | own), HOME)
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX"} & env.keys(), "the caller's own uv settings reach it by themselves"


def test_run_uv_passes_lines_on(context: Contexts, events: list[Event]) -> None:
    ran = run_uv(context(), "--version")
    assert ran.ok
    assert [event.line.startswith("uv ") for event in events if isinstance(event, Output)] == [True]


def test_must_install_says_uvs_last_words(context: Contexts) -> None:
    ctx = context()
    argv = (str(find_uv(ctx.machine)), "pip", "install", "--python", str(ctx.home.python), "torch")
    machine = FakeMachine({" ".join(argv): Ran(argv, 1, "Resolved\n× No solution found: torch", "")})
    with pytest.raises(PackageError, match=r"(?s)torch could not be installed:.*No solution found"):
        must_install(context(machine=machine), "torch", what="torch")


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("error: failed to write: No space left on device (os error 28)", "Free some disk space"),
        ("error: error sending request for url (https://pypi.org/simple/torch/)", "Check the network"),
        ("Caused by: dns error: failed to lookup address", "Check the network"),
        ("operation timed out", "Check the network"),
        ("× No solution found when resolving dependencies", "provision logs --tool"),
    ],
)
@pytest.mark.parametrize("stream", ["out", "err"])
def test_the_hint_fits_what_uv_said(output: str, hint: str, stream: str) -> None:
    ran = Ran(("uv",), 2, output if stream == "out" else "", output if stream == "err" else "")
    error = package_error("torch", ran)
    assert hint in said(error.hint)
    assert output in error.message
