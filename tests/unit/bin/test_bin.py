"""bin/provision and bin/test, really run: copies of them, with a stand-in package, on a PATH of our own choosing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from provision.cli.contents import help_text
from tests.support.bare_checkout import BASH, BIN, PYPROJECT, STAND_IN, UV, Bare, bare_checkout
from tests.support.paths import CHECKOUT


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return bare_checkout(tmp_path)


def environments(bare: Bare) -> list[str]:
    return sorted(path.name for path in bare.tool.glob("env-*"))


def no_system_uv() -> None:
    for name in ("/opt/homebrew/bin/uv", "/usr/local/bin/uv"):
        if os.access(name, os.X_OK):
            pytest.skip(f"{name} is there: this machine cannot be without uv")


# --- the first start and the next ---


def test_first_start_makes_the_environment_and_the_second_uses_nothing_but_the_shell(bare: Bare) -> None:
    bare.give_uv()
    args = ("all", "a  b", "", "*", "--set=x='1'")

    first = bare.run(*args)
    assert first.said["argv"] == list(args)
    assert first.said["isolated"] == 1
    assert first.err == "Making the tool's own environment (once; about a minute) ...\n"
    assert not (bare.tool / "lock").exists()

    second = bare.run(*args, environ={"PATH": "/nowhere"})
    assert second.said == first.said
    assert second.err == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be what sudo makes of a person")
def test_sudo_in_a_persons_folder_makes_nothing_there(bare: Bare, tmp_path: Path) -> None:
    bare.give_uv()
    person = tmp_path / "person"
    person.mkdir()
    os.chown(person, 501, -1)
    ran = bare.run("all", environ={"SUDO_UID": "501", "HOME": str(person)})
    assert ran.code == 1
    assert f"as root in {person}" in ran.err
    assert environments(bare) == []
    assert bare.run("all", environ={"SUDO_UID": "0", "HOME": str(person)}).code == 0


def test_help_is_the_same_before_and_after_the_first_start_and_needs_no_python(bare: Bare) -> None:
    bare.give_uv()
    before = bare.run("--help").out
    assert bare.run("all").code == 0
    assert before == bare.run("--help").out == bare.run().out == bare.run("help").out == f"{help_text()}\n"
    assert bare.run("all", "--help").said["argv"] == ["all", "--help"]
    assert bare.run("help", "all").said["argv"] == ["help", "all"]
    assert bare.run("-V").out == bare.run("version").out == bare.run("--version").out


def test_starts_through_symlinks_and_keeps_the_current_folder(bare: Bare) -> None:
    bare.give_uv()
    (bare.root / "links").mkdir()
    (bare.root / "links" / "far").symlink_to(bare.script)
    (bare.root / "links" / "near").symlink_to("far")
    elsewhere = bare.root / "else where"
    elsewhere.mkdir()
    for start in (str(bare.root / "links" / "near"), "../links/near", "../a check out/bin/provision"):
        said = bare.run(argv=[str(BASH), start, "x"], cwd=elsewhere).said
        assert said["argv"] == ["x"]
        assert said["cwd"] == str(elsewhere)
    assert bare.run(argv=[str(BASH), "provision", "x"], cwd=bare.checkout / "bin").said["argv"] == ["x"]
    assert len([line for line in bare.uv_log if line.startswith("venv")]) == 1


def test_the_callers_python_settings_do_not_reach_the_tool(bare: Bare) -> None:
    bare.give_uv()
    hostile = bare.root / "hostile"
    hostile.mkdir()
    (hostile / "provision.py").write_text("raise SystemExit('the wrong provision')")
    environ = {"PYTHONPATH": str(hostile), "PYTHONHOME": "/nonexistent", "VIRTUAL_ENV": str(hostile)}
    for _ in range(2):
        assert bare.run("x", cwd=hostile, environ=environ).said["isolated"] == 1


def test_a_changed_pyproject_makes_a_new_environment_and_keeps_the_one_that_may_be_running(bare: Bare) -> None:
    bare.give_uv()
    prefixes = []
    for version in ("1", "2", "3"):
        (bare.checkout / "pyproject.toml").write_text(PYPROJECT + f"# {version}\n")
        prefixes.append(Path(str(bare.run("x").said["prefix"])).name)
    assert len(set(prefixes)) == 3
    assert environments(bare) == sorted(prefixes[1:])


def test_a_moved_checkout_and_a_python_that_is_gone_are_noticed(bare: Bare) -> None:
    bare.give_uv()
    bare.run("x")
    bare.checkout = bare.checkout.rename(bare.root / "moved")
    prefix = Path(str(bare.run("x").said["prefix"]))
    assert prefix.is_relative_to(bare.checkout)

    python = prefix / "bin" / "python"
    python.unlink()
    python.symlink_to("/gone/python3")
    assert bare.run("x").said["prefix"] != str(prefix)


def test_it_starts_without_the_pth_of_its_environment(bare: Bare) -> None:
    """iCloud hides what lies below `.tool`, and newer Pythons pass over a hidden .pth (cpython 113659)."""
    bare.give_uv()
    prefix = Path(str(bare.run("x").said["prefix"]))
    for path in prefix.rglob("*.pth"):
        path.unlink()
    assert bare.run("x").said["prefix"] == str(prefix)


@pytest.fixture
def real(bare: Bare) -> Bare:
    """A checkout whose entry point is the tool's own, of which the environment lacks every package."""
    bare.give_uv()
    for name in ("__main__.py", "cli/contents.py", "system/__init__.py", "system/own_environment.py"):
        place = bare.checkout / "provision" / name
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(CHECKOUT / "provision" / name, place)
    (bare.checkout / "provision" / "cli" / "app.py").write_text(
        "import os, sys\n"
        "if not os.path.exists(f'{sys.prefix}/whole'):\n"
        "    raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')\n"
        "def main():\n    print('up')\n"
    )
    return bare


def test_a_broken_environment_is_made_anew_at_once(real: Bare) -> None:
    """Once in one start: what is broken after that is said as it is."""
    ended = real.run("status")
    assert ended.code == 1
    assert ended.err.count("Making the tool's own environment") == 2
    assert "its own environment is broken (No module named 'typer')" in ended.err
    assert "ModuleNotFoundError" in ended.err


def test_an_environment_that_is_whole_again_goes_on(real: Bare) -> None:
    real.give(
        "uv", 'for env in "$ROOT"/*/.tool/env-*; do [ ! -d "$env" ] || : >"$env/whole"; done\nexec "$REAL_UV" "$@"'
    )
    first = real.run("status")
    assert (first.code, first.out) == (0, "up\n")
    for path in real.tool.glob("env-*/whole"):
        path.unlink()
    again = real.run("status")
    assert (again.code, again.out) == (0, "up\n")
    assert "Making the tool's own environment" in again.err


@pytest.mark.parametrize(
    "python",
    [
        "#!/bin/sh\necho 'dyld[7]: Library not loaded: @rpath/libpython3.13.dylib' >&2\nexit 134\n",
        "#!/gone/loader\n",
        "\x7fELF of another processor",
        "#!/bin/sh\necho \"Fatal Python error: init_fs_encoding: No module named 'encodings'\" >&2\nexit 1\n",
    ],
    ids=["a library is gone", "its loader is gone", "another processor's", "its modules are gone"],
)
def test_a_python_that_does_not_start_is_said_with_what_makes_it_again(bare: Bare, python: str) -> None:
    bare.give_uv()
    place = Path(str(bare.run("x").said["prefix"])) / "bin" / "python"
    place.unlink()
    place.write_text(python)
    place.chmod(0o755)
    ended = bare.run("doctor", "a log.txt")
    assert ended.code != 0
    assert f"provision: Python does not start ({place})." in ended.err
    again = subprocess.run(
        [str(BASH), "-c", ended.err.splitlines()[-1]],
        cwd=bare.root,
        env=bare.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(again.stdout)["argv"] == ["doctor", "a log.txt"]


def test_an_empty_python_is_none(bare: Bare) -> None:
    bare.give_uv()
    place = Path(str(bare.run("x").said["prefix"])) / "bin" / "python"
    place.unlink()
    place.touch(mode=0o755)
    assert bare.run("x").said["prefix"] != str(place.parents[1])


def test_a_checkout_that_cannot_be_written_uses_the_cache(bare: Bare) -> None:
    bare.give_uv()
    bare.tool.write_text("in the way")
    cache = bare.root / "xdg"
    first = bare.run("x", environ={"XDG_CACHE_HOME": str(cache)})
    assert Path(str(first.said["prefix"])).is_relative_to(cache / "provision")
    assert bare.run("x", environ={"XDG_CACHE_HOME": str(cache), "PATH": "/nowhere"}).said == first.said

    cache.joinpath("file").touch()
    neither = bare.run("x", environ={"XDG_CACHE_HOME": str(cache / "file")})
    assert neither.code == 1
    assert "is writable" in neither.err


def test_a_copy_of_the_script_says_that_it_needs_its_checkout(bare: Bare) -> None:
    (bare.checkout / "pyproject.toml").unlink()
    ran = bare.run("x")
    assert ran.code == 1
    assert "pyproject.toml is missing" in ran.err


# --- interruptions and company ---


def stop_in_the_middle(bare: Bare, sent: signal.Signals, *, group: bool) -> int:
    """Starts, waits until uv installs, sends the signal; returns the exit code."""
    started = bare.root / "installing"
    os.mkfifo(started)
    bare.give("uv", '[ "$1" != pip ] || { echo >"$ROOT/installing"; exec sleep 60; }\nexec "$REAL_UV" "$@"')
    process = subprocess.Popen(bare.argv("x"), env=bare.environ, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        with started.open():  # opens when uv does
            pass
        (os.killpg if group else os.kill)(process.pid, sent)
        return process.wait(30)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a zombie
            os.killpg(process.pid, signal.SIGKILL)
        started.unlink()


def test_a_kill_in_the_middle_leaves_nothing_that_the_next_start_trusts(bare: Bare) -> None:
    assert stop_in_the_middle(bare, signal.SIGKILL, group=False) == -signal.SIGKILL
    assert (bare.tool / "lock" / "pid").exists()
    assert len(environments(bare)) == 1

    bare.give_uv()
    prefix = Path(str(bare.run("x").said["prefix"]))
    assert environments(bare) == [prefix.name]
    assert not (bare.tool / "lock").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("group", [True, False], ids=["group", "alone"])
def test_an_interrupt_cleans_up_behind_itself(bare: Bare, sent: signal.Signals, group: bool) -> None:
    assert stop_in_the_middle(bare, sent, group=group) == 130
    assert environments(bare) == []
    assert not (bare.tool / "lock").exists()
    assert not (bare.tool / "env.stamp").exists()


def test_two_starts_at_once_make_one_environment(bare: Bare) -> None:
    bare.give_uv()
    starts = [
        subprocess.Popen(bare.argv("x"), env=bare.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    prefixes = set()
    for start in starts:
        out, err = start.communicate(timeout=60)
        assert start.returncode == 0, err
        prefixes.add(json.loads(out)["prefix"])
    assert len(prefixes) == 1
    assert len([line for line in bare.uv_log if line.startswith("venv")]) == 1


@pytest.mark.parametrize("holder", ["gone", "nobody"])
def test_a_lock_left_behind_is_broken(bare: Bare, holder: str) -> None:
    bare.give_uv()
    gone = subprocess.Popen(["true"])
    gone.wait()
    (bare.tool / "lock").mkdir(parents=True)
    if holder == "gone":
        (bare.tool / "lock" / "pid").write_text(f"{gone.pid}\n")
    assert bare.run("x").said["argv"] == ["x"]


# --- uv ---


def test_a_shim_that_stands_for_nothing_and_an_old_uv_are_passed_over(bare: Bare) -> None:
    bare.give_broken_uv()
    old = bare.give("uv", "echo uv 0.6.17", bare.root / "old")
    good = bare.give("uv", 'exec "$REAL_UV" "$@"', bare.root / "home" / ".local" / "bin")
    assert bare.run("x", environ={"PATH": f"{bare.programs}:{old.parent}"}).said["argv"] == ["x"]
    assert bare.uv_log == ["--version"]
    assert good.exists()


def test_provision_uv_names_the_uv_and_must_work(bare: Bare) -> None:
    bare.give_broken_uv()
    ran = bare.run("x", environ={"PROVISION_UV": str(bare.programs / "uv")})
    assert ran.code == 1
    assert "unset PROVISION_UV" in ran.err
    assert bare.run("x", environ={"PROVISION_UV": UV}).said["argv"] == ["x"]


def test_without_uv_one_is_brought(bare: Bare) -> None:
    no_system_uv()
    ran = bare.run("x", environ=bare.offer_uv())
    assert ran.said["argv"] == ["x"]
    assert "Downloading uv into" in ran.err
    assert sorted(path.name.split("-")[0] for path in bare.tool.iterdir()) == ["env", "env.stamp", "uv"]


def test_why_uv_cannot_be_brought_is_said(bare: Bare) -> None:
    no_system_uv()
    bare.give("curl", "echo 'curl: (6) Could not resolve host' >&2\nexit 6")
    ran = bare.run("x")
    assert ran.code == 1
    assert "Could not resolve host" in ran.err
    assert "export PROVISION_UV=FILE" in ran.err
    assert "export HTTPS_PROXY=" in ran.err
    assert list(bare.tool.glob("uv*")) == []


def test_what_uv_says_is_shown_when_it_fails(bare: Bare) -> None:
    bare.give("uv", 'case $1 in --version) echo uv 0.9.0;; *) echo "error: no route" >&2; exit 2;; esac')
    ran = bare.run("x")
    assert ran.code == 1
    assert ran.out == ""
    assert "error: no route" in ran.err
    assert "export UV_DEFAULT_INDEX=URL" in ran.err
    assert not (bare.tool / "lock").exists()
    assert environments(bare) == []


def test_pips_index_is_uvs_unless_uv_has_its_own(bare: Bare) -> None:
    bare.give("uv", 'echo "$UV_DEFAULT_INDEX $UV_INDEX" >>"$ROOT/uv.log"\nexec "$REAL_UV" "$@"')
    pip = {"PIP_INDEX_URL": "https://a.example/simple", "PIP_EXTRA_INDEX_URL": "https://b.example/simple"}
    bare.run("x", environ=pip)
    assert bare.uv_log[-1] == "https://a.example/simple https://b.example/simple"
    shutil.rmtree(bare.tool)
    bare.run("x", environ=pip | {"UV_DEFAULT_INDEX": "https://c.example/simple"})
    assert bare.uv_log[-1] == "https://c.example/simple https://b.example/simple"


def test_a_companys_certificate_is_looked_for_in_the_system(bare: Bare) -> None:
    bare.give(
        "uv",
        'if [ "$1" = pip ] && [ -z "$UV_NATIVE_TLS" ]; then echo "invalid peer certificate" >&2; exit 2; fi\n'
        'exec "$REAL_UV" "$@"',
    )
    ran = bare.run("x")
    assert ran.said["argv"] == ["x"]
    assert "certificate" not in ran.err


def test_what_uvs_settings_say_of_other_programs_does_not_count(bare: Bare) -> None:
    bare.give("uv", 'echo "$UV_OFFLINE$UV_EXCLUDE_NEWER $UV_INDEX_URL" >>"$ROOT/uv.log"\nexec "$REAL_UV" "$@"')
    (settings := bare.root / "uv.toml").write_text("wibble =", encoding="utf-8")
    given = {"UV_OFFLINE": "1", "UV_EXCLUDE_NEWER": "2001-01-01", "UV_INDEX_URL": "i", "UV_CONFIG_FILE": str(settings)}
    ran = bare.run("x", environ=given)
    assert ran.said["argv"] == ["x"]
    assert bare.uv_log[-1] == " i"


# --- macOS ---


def test_on_a_mac_the_python_is_native(bare: Bare) -> None:
    bare.give_macos(tools=True)
    bare.give("uv", 'echo "$*" >>"$ROOT/uv.log"\n[ "$1" = --version ] && echo uv 0.9.0')
    assert bare.run("x").code == 1
    assert "--python cpython->=3.11,<3.15-macos-aarch64-none" in bare.uv_log[1]


# --- before anything is there ---


@pytest.mark.parametrize("args", [(), ("help",), ("--help",), ("-h",), ("all", "--help"), ("help", "all")])
def test_help_needs_nothing(bare: Bare, args: tuple[str, ...]) -> None:
    bare.give_broken_uv()
    ran = bare.run(*args)
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.startswith("Usage: provision COMMAND")
    assert max(map(len, ran.out.splitlines())) <= 120
    assert bare.uv_log == []
    assert not bare.tool.exists()


# --- bin/test ---


def test_bin_test_installs_what_is_missing_and_hands_its_arguments_to_pytest(bare: Bare) -> None:
    bare.give_uv()
    bare.give("sudo", 'shift; exec "$@"')
    bare.give("apt-get", 'echo "$*" >>"$ROOT/apt.log"\necho E: no network >&2; exit 100')
    (bare.checkout / "pytest.py").write_text(STAND_IN)
    script = str(bare.checkout / "bin" / "test")
    ran = bare.run(argv=[str(BASH), script, "-k", "a b"])
    assert ran.said["argv"] == ["-k", "a b"]
    assert ran.said["cwd"] == str(bare.checkout)
    assert "Could not install git wget git-lfs shellcheck tmux zsh fish. What needs them is skipped" in ran.err
    assert (bare.root / "apt.log").read_text() == "-qq update\n" * 3  # the tools, then a browser of two names
    assert "ComfyUI's page is not looked at" in ran.err


def test_bin_test_goes_on_after_a_failure_and_fails(bare: Bare) -> None:
    bare.give_uv()
    for name in ("git", "wget", "git-lfs", "shellcheck"):
        bare.give(name, "exit 0")
    for name, code in (("ruff", 1), ("mypy", 0), ("pytest", 0)):
        (bare.checkout / f"{name}.py").write_text(f"print('{name} ran')\nraise SystemExit({code})\n")
    ran = bare.run(argv=[str(BASH), str(bare.checkout / "bin" / "test")])
    assert ran.code == 1
    assert "pytest ran" in ran.out
    assert re.search(r"^Failed: ruff format \(\d+ s\)$", ran.out, re.MULTILINE)


# What bash 3.2 and BSD tools do not know.
NEWER = re.compile(
    r"declare -[A-Zgln]|local -n|mapfile|readarray|coproc|readlink -f|sed -i|date -d|&>>|\|&|;;&|wait -n"
    r"|\$\{[^}]*(,,|\^\^|@[A-Z])|BASHPID|EPOCH|globstar|\[\[ -v|printf '%\("
)


@pytest.mark.parametrize("name", ["provision", "test"])
def test_nothing_newer_than_bash_3_2_is_used(name: str) -> None:
    lines = [line for line in (BIN / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in lines if NEWER.search(line)] == []
