"""The command line as a program: exit codes, the JSON envelope, and one sentence with a hint for every refusal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision import __version__
from provision.cli.contents import ALIASES, COMMANDS, EXAMPLES, arranged, help_text
from provision.core.home import Home
from provision.core.manifest import load_manifest, manifest_names
from provision.system.machine import LOOPBACK
from tests.support.paths import CHECKOUT

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a person whose hub and package index are this machine's closed ports."""
    (tmp_path / "person").mkdir()
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        nobody = f"http://{LOOPBACK}:{trial.getsockname()[1]}"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "person"),
        "TMPDIR": str(tmp_path),
        "NO_COLOR": "1",
        "HF_ENDPOINT": nobody,
        "UV_DEFAULT_INDEX": nobody,
        "PYTHONPATH": str(CHECKOUT),
        "COLUMNS": "100",
    }


@pytest.fixture
def provision(tmp_path: Path, environ: dict[str, str]) -> Run:
    """Run `python -m provision WORDS...` as that person, without a terminal."""

    def run(*words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "provision", *map(str, words)],
            cwd=tmp_path / "person",
            env={**environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def last_line(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The report at the end of `--json`; every line before it must be an object too."""
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    assert lines, ran.stderr
    report: dict[str, Any] = lines[-1]
    assert (report["schema"], report["type"]) == (2, "report")
    assert [line["type"] for line in lines].count("report") == 1
    return report


# -- what answers without doing anything ----------------------------------------------------------------


def test_help_names_every_command(provision: Run, tmp_path: Path) -> None:
    for words in (("--help",), ("-h",)):
        ran = provision(*words)
        assert ran.returncode == 0
        for command in (
            "all",
            "plan",
            "check",
            "download",
            "doctor",
            "launch",
            "stop",
            "status",
            "logs",
            "generate",
            "bench",
            "report",
            "manifests",
            "uninstall",
            "completion",
        ):
            assert f"\n  {command} " in ran.stdout
    assert list((tmp_path / "person").iterdir()) == []


def test_all_has_the_flags_of_the_design(provision: Run) -> None:
    ran = provision("all", "--help")
    for flag in (
        "--home",
        "--manifest",
        "--set",
        "--json",
        "--yes",
        "--verbose",
        "--backend",
        "--precision",
        "--torch",
        "--comfyui",
        "--rehearse",
        "--stop",
        "--open",
        "--plain",
    ):
        assert flag in ran.stdout


@pytest.mark.parametrize("words", [("--version",), ("-V",), ("version",)])
def test_version(provision: Run, words: tuple[str, ...]) -> None:
    ran = provision(*words)
    assert (ran.returncode, ran.stdout) == (0, f"provision {__version__}\n")


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",), ("help",)])
def test_help_is_one_text(provision: Run, words: tuple[str, ...]) -> None:
    ran = provision(*words)
    assert (ran.returncode, ran.stdout) == (0, f"{help_text()}\n")


@pytest.mark.parametrize("command", [*COMMANDS, "manifests new"])
def test_the_help_of_a_command_is_cut_nowhere_and_says_its_flags_and_examples(provision: Run, command: str) -> None:
    ran = provision("help", *command.split())
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == provision(*command.split(), "--help").stdout
    for cut in ("...", "<int", "<path", "None"):
        assert cut not in ran.stdout.replace("COMMAND [ARGS]...", "").replace("NAME...", ""), cut
    for example in EXAMPLES.get(command, ()):
        assert f"\n  {example}\n" in ran.stdout


@pytest.mark.parametrize("alias", ALIASES)
def test_what_people_type_first_is_all(provision: Run, alias: str) -> None:
    assert provision(alias, "--help").stdout == provision("all", "--help").stdout


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("instal", "all"),
        ("Install", "all"),
        ("statsu", "status"),
        ("doctr", "doctor"),
        ("unistall", "--help"),
        ("uninstal", "--help"),
        ("remove", "--help"),
    ],
)
def test_a_typo_is_never_answered_with_uninstall(provision: Run, typed: str, meant: str) -> None:
    ran = provision(typed)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].endswith(f"provision {meant}")
    assert "uninstall" not in ran.stderr.replace(repr(typed), "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--json status", "status --json"),
        ("--home /x --json -y all --stop", "all --home /x --json -y --stop"),
        ("--home=/x --set a=b plan", "plan --home=/x --set a=b"),
        ("-q --color never generate -- --json", "generate -q --color never -- --json"),
        ("--json", ""),
        ("--version", "--version"),
        ("--json --version", "--version --json"),
    ],
)
def test_flags_of_all_commands_may_stand_before_them(typed: str, meant: str) -> None:
    assert arranged(typed.split()) == meant.split()


def test_flags_before_a_command_count(provision: Run, tmp_path: Path) -> None:
    ran = provision("--json", "--home", tmp_path / "new", "status")
    assert last_line(ran)["home"] == str(tmp_path / "new")
    assert last_line(provision("--json", "manifests", "list"))["manifests"]


def test_colours_are_written_where_they_are_wanted(provision: Run, tmp_path: Path) -> None:
    def shown(*words: str, **env: str) -> str:
        return provision("check", "--home", tmp_path / "new", *words, env=env).stdout

    assert "\x1b[" not in shown()
    assert "\x1b[" in shown("--color", "always")
    assert "\x1b[" not in shown("--color=never")
    assert provision("check", "--color", "blue").returncode == 2


def test_quiet_says_the_answer_alone(provision: Run, tmp_path: Path) -> None:
    ran = provision("-q", "plan", "--rehearse", "--home", tmp_path / "new")
    assert ran.stderr == ""
    assert "total" in ran.stdout


def test_manifests_are_listed_shown_and_validated(provision: Run) -> None:
    for words in (("manifests",), ("manifests", "list")):
        ran = provision(*words)
        assert ran.returncode == 0
        assert "* sdxl-turbo" in ran.stdout
        assert "6.94 GB" in ran.stdout
    ran = provision("manifests", "show", "--set", "first_image.prompt=[/b] :fire: [red]")
    assert ran.returncode == 0, ran.stderr
    assert "[/b] :fire: [red]" in ran.stdout
    assert provision("manifests", "validate", "sdxl-turbo").returncode == 0


def test_what_is_shown_of_a_manifest_is_a_manifest(provision: Run, tmp_path: Path) -> None:
    odd = ['first_image.prompt=[/b] "x" \\ \N{CHIPMUNK}', "models.0.files.0.size=1", "comfyui.args=['--a', '--b c']"]
    for name in manifest_names():
        for sets in ([], odd):
            words = [word for each in sets for word in ("--set", each)]
            (file := tmp_path / "mine.toml").write_text(provision("manifests", "show", name, *words).stdout)
            assert load_manifest(str(file)) == load_manifest(name, sets)


def test_a_new_manifest_is_one_to_edit_and_replaces_no_file(provision: Run, tmp_path: Path) -> None:
    ran = provision("manifests", "new", "mine", "--from", "sd-turbo")
    file = tmp_path / "person" / "mine.toml"
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"provision all --manifest {file}" in ran.stdout
    assert load_manifest(str(file)) == replace(load_manifest("sd-turbo"), name="mine")
    assert file.read_text().count("#") > 3
    before = file.read_bytes()
    again = provision("manifests", "new", file)
    assert (again.returncode, file.read_bytes()) == (2, before)
    assert "already exists" in again.stderr
    assert provision("manifests", "new", "No Such Folder/x").returncode == 1
    assert provision("manifests", "new", "Not A Name").returncode == 2


@pytest.mark.parametrize("words", [("list",), ("show",), ("validate", "sdxl-turbo")])
def test_the_json_of_a_success_ends_with_a_report(provision: Run, words: tuple[str, ...]) -> None:
    ran = provision("manifests", *words, "--json")
    assert ran.returncode == 0
    assert last_line(ran)["ok"] is True
    assert ran.stderr == ""


# -- words that cannot be used: exit 2 ------------------------------------------------------------------

USAGE: list[tuple[tuple[str, ...], str]] = [
    (("all", "--nope"), "--nope"),
    (("nope",), "nope"),
    (("plan", "--manifest", "sdxl-turbu"), "sdxl-turbo"),
    (("plan", "--manifest", "~nobody-of-that-name/x.toml"), "~nobody-of-that-name/x.toml"),
    (("plan", "--set", "first_image.step=2"), "first_image.steps"),
    (("plan", "--set", "comfyui.port=http"), "comfyui.port"),
    (("plan", "--set", "comfyui.url=ext::sh -c id"), "comfyui.url"),
    (("plan", "--torch", "beta"), "torch.channel"),
    (("plan", "--backend", "rsync"), "rsync"),
    (("plan", "--precision", "int4"), "int4"),
    (("download", "nonsense"), "nonsense"),
    (("generate", "a fox", "--size", "big"), "big"),
    (("generate", "a fox", "--size", "513"), "first_image.width"),
    (("manifests", "show", "nope"), "nope"),
    (("manifests", "validate", "/no/such.toml"), "/no/such.toml"),
]


@pytest.mark.parametrize(("words", "says"), USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_words_that_cannot_be_used(provision: Run, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    ran = provision(*words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    ran = provision(*words, "--json")
    assert ran.returncode == 2
    report = last_line(ran)
    assert (report["ok"], report["changed"], report["steps"]) == (False, False, [])
    assert report["error"].keys() == {"code", "message", "hint", "argv"}
    assert says in f"{report['error']['message']} {report['error']['hint']}"
    assert list((tmp_path / "person").iterdir()) == [], "nothing was written"


def test_an_endpoint_that_is_no_address(provision: Run) -> None:
    ran = provision("plan", env={"HF_ENDPOINT": "ftp://hub"})
    assert ran.returncode == 2
    assert "HF_ENDPOINT" in ran.stderr


# -- a home that cannot be used: exit 1 -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "below a file", "of nobody", "too long"])
@pytest.mark.parametrize("command", ["all", "status"])
def test_a_home_that_cannot_be_used(provision: Run, tmp_path: Path, kind: str, command: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    homes = {"file": file, "below a file": file / "x", "of nobody": "~nobody-of-that-name/x", "too long": "x" * 300}
    home = homes[kind]
    ran = provision(command, "--home", home)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "bug" not in ran.stderr
    assert file.read_text(encoding="utf-8") == "mine"
    if command == "all":
        report = last_line(provision("all", "--json", env={"PROVISION_HOME": str(home)}))
        assert (report["ok"], report["error"]["code"]) == (False, "home")
        assert report["error"]["hint"].startswith("provision ") or "provision all" in report["error"]["hint"]


# -- commands on a bare machine -------------------------------------------------------------------------


def test_check_and_plan_change_nothing(provision: Run, tmp_path: Path) -> None:
    for words in (("check",), ("plan", "--set", f"comfyui.url={tmp_path}", "--torch", "stable")):
        ran = provision(*words, "--json")
        report = last_line(ran)
        assert report["changed"] is False
        assert ran.returncode in (0, 1)
        assert {step["name"] for step in report["steps"]} >= {"hardware"}
        assert provision(*words).stdout
    assert not (tmp_path / "person" / "provision").exists()


@pytest.mark.parametrize(
    ("words", "code"), [(("status",), 1), (("stop",), 0), (("uninstall",), 0), (("doctor", "--list"), 0)]
)
def test_commands_without_a_home_end_with_a_report(
    provision: Run, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    ran = provision(*words, "--json")
    assert ran.returncode == code, ran.stderr
    assert last_line(ran)["ok"] is (code == 0)
    assert provision(*words).stdout
    assert list((tmp_path / "person").iterdir()) == []


def test_launching_what_is_not_installed_says_what_to_run(provision: Run) -> None:
    ran = provision("launch")
    assert ran.returncode == 1
    assert f"→ {sys.executable} -m provision all\n" in ran.stderr, "as it was called"
    ran = provision("launch", "--home", "of mine")
    assert f"→ {sys.executable} -m provision all --home 'of mine'\n" in ran.stderr


def test_uninstall_removes_only_what_the_tool_made(provision: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    assert provision("uninstall", "--yes", "--home", mine).returncode == 2
    assert mine.is_dir()
    home = Home(tmp_path / "home")
    home.prepare()
    (home.state / "lock").touch()
    ran = provision("uninstall", "--home", home.root)
    assert (ran.returncode, home.root.is_dir()) == (0, True)
    assert "--yes" in ran.stderr
    assert last_line(provision("uninstall", "--yes", "--json", "--home", home.root))["ok"]
    assert not home.root.exists()


# -- how it ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_from_outside_it_ends_with_130(tmp_path: Path, environ: dict[str, str], sign: signal.Signals) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.engine_log.write_text("up\n", encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "provision", "logs", "-f", "--home", str(home.root)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(sign)
        try:
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.splitlines()[0] == "Stopped. Nothing is lost."
    assert f"provision logs -f --home {home.root}" in err, "the command that goes on can be pasted"
    assert "Traceback" not in err


def test_a_reader_that_goes_away_gets_no_traceback(environ: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "provision", "manifests", "show"],
        env=environ,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, "")


def test_our_own_bug_is_exit_3_with_a_log(tmp_path: Path, environ: dict[str, str]) -> None:
    broken = (
        "import provision.cli.app, provision.cli.commands.manifests\n"
        "provision.cli.commands.manifests.listed = lambda: 1 / 0\n"
        "provision.cli.app.main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", broken, "manifests", "list", "--json"],
        env=environ,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 3
    error = last_line(ran)["error"]
    assert "ZeroDivisionError" in error["message"]
    (log,) = tmp_path.glob("provision-bug-*.log")
    assert str(log) in error["hint"]
    assert "Traceback" in log.read_text(encoding="utf-8")
