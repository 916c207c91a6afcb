"""Finding a ComfyUI that this tool did not make: its folder, its Python, its server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from provision.comfyui.desktop import APP_CODE, models_settings
from provision.comfyui.foreign_install import find_environment, find_install, named_environment, port_of, servers_of
from provision.environment.packages import env_kind, installed_versions, package_folders
from provision.errors import UsageError
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine
from provision.system.processes import Running
from tests.support.fake_machine import FakeMachine
from tests.support.foreign_install import conda, desktop, install_record, unzipped, venv
from tests.support.hints import said


@pytest.fixture
def machine() -> Machine:
    """This machine with nothing active in the shell, and no Python on PATH."""
    return LocalMachine({"PATH": "/nowhere", "HOME": "/nowhere"})


class Serving(FakeMachine):
    """A machine on which one server runs."""

    def __init__(self, server: Running, environ: dict[str, str] | None = None) -> None:
        super().__init__(environ=environ)
        self.server = server

    def running(self, script: str) -> list[Running]:
        return [self.server] if script == "main.py" else []


# -- its folder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["ComfyUI", ".", "ComfyUI/main.py"])
def test_a_checkout_by_any_of_its_names(tmp_path: Path, machine: Machine, named: str) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    found = find_install(tmp_path / named, machine)
    assert (found.base, found.code) == (code, code)


def test_stability_matrix_keeps_it_deeper(tmp_path: Path, machine: Machine) -> None:
    code = unzipped(tmp_path / "Data" / "Packages" / "ComfyUI")
    assert find_install(tmp_path, machine).code == code


def test_a_checkout_that_has_lost_files_is_one(tmp_path: Path, machine: Machine) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    (code / "main.py").unlink()
    assert find_install(code, machine).code == code


def test_the_desktop_app_has_its_code_elsewhere(tmp_path: Path) -> None:
    base, person = tmp_path / "Documents" / "ComfyUI", tmp_path / "person"
    for name in ("models", "user", "custom_nodes", ".venv"):
        (base / name).mkdir(parents=True)
    machine = FakeMachine(environ={"HOME": str(person)})
    assert find_install(base, machine).code is None
    code = unzipped(person / "Applications" / "ComfyUI.app" / "Contents" / "Resources" / "ComfyUI")
    found = find_install(base, machine)
    assert (found.base, found.code) == (base, code)


@pytest.mark.parametrize("named", ["ComfyUI-Installs", "ComfyUI-Installs/mine", "ComfyUI-Installs/mine/ComfyUI"])
def test_comfy_desktop_has_an_install_in_a_folder_of_its_own(tmp_path: Path, named: str) -> None:
    made, machine = desktop(tmp_path, "mine"), LocalMachine({"PATH": "/nowhere", "HOME": str(tmp_path)})
    prefix = venv(made.code / ".venv")
    found = find_install(tmp_path / named, machine)
    assert (found.base, found.code) == (made.code, made.code)
    env = find_environment(found, machine)
    assert env is not None
    assert env.prefix == prefix, "not standalone-env, from which that was made"
    assert models_settings(made.code, machine.environ) == made.settings / "shared_model_paths.yaml"


def test_an_install_that_comfy_desktop_took_over_keeps_its_folder(tmp_path: Path) -> None:
    made, base = desktop(tmp_path), tmp_path / "Documents" / "ComfyUI"
    for name in ("models", "user", "custom_nodes"):
        (base / name).mkdir(parents=True)
    prefix = venv(base / ".venv")
    made.record(adopted=True, adoptedBaseDir=str(base), adoptedPythonPath=str(prefix / "bin" / "python"))
    machine = LocalMachine({"PATH": "/nowhere", "HOME": str(tmp_path)})
    for named in (base, made.install):
        found = find_install(named, machine)
        assert (found.base, found.code) == (base, made.code), named
        env = find_environment(found, machine)
        assert env is not None
        assert env.prefix == prefix


def test_an_install_with_models_of_its_own_is_given_those(tmp_path: Path) -> None:
    made, environ = desktop(tmp_path), {"HOME": str(tmp_path)}
    own = made.settings / "instance-model-paths" / "inst-1781000000000.yaml"
    own.write_text("mine:\n  checkpoints: /srv/x\n", encoding="utf-8")
    assert models_settings(made.code, environ) == made.settings / "shared_model_paths.yaml"
    made.record(useSharedModels=False)
    assert models_settings(made.code, environ) == own
    own.unlink()
    assert models_settings(made.code, environ) is None
    made.record(useSharedModels=False, id="../../shared_model_paths")
    assert models_settings(made.code, environ) is None, "an id is no way to another file"
    assert models_settings(unzipped(tmp_path / "other"), environ) is None


def test_an_install_that_is_on_no_record_shares_the_models(tmp_path: Path) -> None:
    made = desktop(tmp_path)
    for broken in ("", "{}", '[{"installPath": 5}]', "[" * 5000):
        (made.settings / "installations.json").write_text(broken, encoding="utf-8")
        assert models_settings(made.code, {"HOME": str(tmp_path)}) == made.settings / "shared_model_paths.yaml"


def test_the_app_of_before_gives_its_own_settings(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "Applications" / APP_CODE)
    settings = tmp_path / "Library" / "Application Support" / "ComfyUI" / "extra_models_config.yaml"
    settings.parent.mkdir(parents=True)
    assert models_settings(code, {"HOME": str(tmp_path)}) is None
    settings.touch()
    assert models_settings(code, {"HOME": str(tmp_path)}) == settings


def test_what_is_none_is_said(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(UsageError, match="No ComfyUI in"):
        find_install(tmp_path, machine)
    with pytest.raises(UsageError, match="No such folder"):
        find_install(tmp_path / "gone", machine)


def test_two_are_both_named(tmp_path: Path, machine: Machine) -> None:
    one, other = unzipped(tmp_path / "one"), unzipped(tmp_path / "other")
    with pytest.raises(UsageError) as refused:
        find_install(tmp_path, machine)
    assert str(one) in refused.value.message
    assert str(other) in refused.value.message
    assert said(refused.value.hint) == f"provision doctor --comfyui {one}"


# -- its Python ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["venv", ".venv", "env"])
def test_the_environment_in_its_folder(tmp_path: Path, machine: Machine, name: str) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(code / name)
    found = find_environment(find_install(code, machine), machine)
    assert found is not None
    assert (found.prefix, found.python) == (prefix, prefix / "bin" / "python")


def test_one_beside_it_counts_when_it_has_torch(tmp_path: Path, machine: Machine) -> None:
    install = find_install(unzipped(tmp_path / "ComfyUI"), machine)
    prefix = venv(tmp_path / "venv")
    assert find_environment(install, machine) is None
    install_record(prefix, "torch", "2.9.1")
    found = find_environment(install, machine)
    assert found is not None
    assert found.prefix == prefix


def test_what_is_active_in_the_shell(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = conda(tmp_path / "envs" / "comfy")
    for environ, expected in (
        ({"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": "comfy"}, prefix),
        ({"VIRTUAL_ENV": str(prefix)}, prefix),
        ({"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": "base"}, None),  # it always is, and torch is not in it
        ({"VIRTUAL_ENV": sys.prefix}, None),  # this tool's own
    ):
        machine = LocalMachine({"PATH": "/nowhere", **environ})
        found = find_environment(find_install(code, machine), machine)
        assert (found.prefix if found else None) == expected, environ


def test_the_python_of_the_server_that_runs_from_it(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(tmp_path / "elsewhere")
    by_path = Running(7, (str(prefix / "bin" / "python"), "main.py"), code)
    by_shell = Running(7, ("python", "main.py"), code, (prefix,))
    for server in (by_path, by_shell):
        machine = Serving(server)
        found = find_environment(find_install(code, machine), machine)
        assert found is not None
        assert found.prefix == prefix


def test_one_that_lost_its_python_is_named_still(tmp_path: Path, machine: Machine) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(code / "venv")
    for python in (prefix / "bin").glob("python*"):
        python.unlink()
    found = find_environment(find_install(code, machine), machine)
    assert found is not None
    assert found.prefix == prefix


def test_a_python_that_is_named(tmp_path: Path, machine: Machine) -> None:
    prefix = venv(tmp_path / "venv")
    assert named_environment(prefix, machine).prefix == prefix
    assert named_environment(prefix / "bin" / "python", machine).prefix == prefix


def test_a_python_that_cannot_be_run(tmp_path: Path, machine: Machine) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    for trouble in ("No such program", "does not behave like a Python"):
        with pytest.raises(UsageError, match=trouble):
            named_environment(broken, machine)
        broken.chmod(0o755)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="No Python in"):
        named_environment(tmp_path / "empty", machine)


def test_packages_of_conda_and_of_the_system(tmp_path: Path) -> None:
    prefix = conda(tmp_path / "conda")
    install_record(prefix, "torch", "2.9.1")
    assert (env_kind(prefix), installed_versions(prefix)) == ("conda", {"torch": "2.9.1"})
    assert [folder.parent.name for folder in package_folders(prefix)] != ["python3.1"]
    debian = tmp_path / "usr"
    for folder, version in (("lib/python3/dist-packages", "1"), ("local/lib/python3.11/dist-packages", "2")):
        info = debian / folder / f"numpy-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Name: numpy\n", encoding="utf-8")
    assert (env_kind(debian), installed_versions(debian)) == ("system", {"numpy": "2"})


# -- its server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "port"),
    [
        (["python", "main.py", "--port", "8000"], 8000),
        (["--port=9"], 9),
        (["python", "main.py"], 8188),
        (["--port"], 8188),
    ],
)
def test_the_port_of_a_command_line(words: list[str], port: int) -> None:
    assert port_of(words) == port


def test_a_server_of_another_folder_is_none_of_it(tmp_path: Path) -> None:
    one, other = unzipped(tmp_path / "one"), unzipped(tmp_path / "other")
    machine = Serving(Running(7, ("python", "-B", "main.py", "--port", "8001"), one))
    assert [(server.pid, server.port) for server in servers_of(machine, one)] == [(7, 8001)]
    assert servers_of(machine, other) == []
