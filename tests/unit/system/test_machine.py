"""The one door to the computer, on real programs, processes and ports."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from provision.errors import CommandFailed, CommandMissing, Interrupted
from provision.system.child_process import clean_env
from provision.system.listening import Limits
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine, Ran
from tests.support.hints import said
from tests.support.processes import PATIENCE_S, eventually, gone

"""Longer than any test may take: who waits so long has hung."""


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


# -- the environment of children ------------------------------------------------------------------------


def test_a_childs_environment_is_built_clean() -> None:
    kept = {"PATH": "/bin", "HOME": "/h", "HTTPS_PROXY": "p", "NO_PROXY": "n", "SSL_CERT_FILE": "c", "LANG": "C",
            "UV_DEFAULT_INDEX": "i", "PIP_CERT": "c", "GIT_SSL_CAINFO": "c"}  # fmt: skip
    left_out = {"PYTHONPATH": "x", "PYTHONHOME": "x", "VIRTUAL_ENV": "x", "CONDA_PREFIX": "x", "HF_HUB_OFFLINE": "1",
                "HF_TOKEN": "hf_secret", "HUGGING_FACE_HUB_TOKEN": "hf_secret", "GIT_DIR": "x", "LD_PRELOAD": "x",
                "DYLD_INSERT_LIBRARIES": "x", "PYTORCH_ENABLE_MPS_FALLBACK": "1", "PIP_REQUIRE_VIRTUALENV": "1",
                "UV_PRERELEASE": "allow", "UV_OFFLINE": "1"}  # fmt: skip
    assert clean_env(kept | left_out) == kept


def test_a_child_sees_the_clean_environment_and_what_it_is_given() -> None:
    machine = LocalMachine({"PATH": os.defpath, "HF_TOKEN": "hf_secret", "PYTHONPATH": "/x"})
    ran = machine.run(["env"], env={"GIT_LFS_SKIP_SMUDGE": "1"})
    seen = dict(line.split("=", 1) for line in ran.out.splitlines())
    assert seen["GIT_LFS_SKIP_SMUDGE"] == "1"
    assert not {"HF_TOKEN", "PYTHONPATH"} & seen.keys()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"])
def test_every_child_trusts_the_certificates_that_the_environment_names(name: str, tmp_path: Path) -> None:
    (there := tmp_path / "ca.pem").touch()
    machine = LocalMachine({"PATH": os.defpath, name: str(there)})
    assert f"SSL_CERT_FILE={there}" in machine.run(["env"]).out.splitlines()


def test_no_child_is_told_of_certificates_that_are_not_there(tmp_path: Path) -> None:
    machine = LocalMachine({"PATH": os.defpath, "SSL_CERT_FILE": str(tmp_path / "gone.pem")})
    seen = dict(line.split("=", 1) for line in machine.run(["env"]).out.splitlines())
    assert Path(seen["SSL_CERT_FILE"]).is_file()
    assert "SSL_CERT_FILE" not in LocalMachine({"PATH": os.defpath}).run(["env"]).out


def test_a_child_reads_nothing_from_our_standard_input() -> None:
    assert LocalMachine().run(["cat"]).out == ""


# -- running to the end ---------------------------------------------------------------------------------


def test_a_child_starts_though_the_current_folder_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert LocalMachine().run(("pwd",)).out == "/\n"


def test_run_returns_both_streams_and_the_exit_code(tmp_path: Path) -> None:
    ran = LocalMachine().run(shell("pwd; echo bad >&2; exit 3"), cwd=tmp_path)
    assert (ran.code, ran.out.strip(), ran.err) == (3, str(tmp_path), "bad\n")
    assert not ran.ok
    assert ran.tail() == "bad"
    assert LocalMachine().run(shell("kill -KILL $$")).code == -signal.SIGKILL


def test_bytes_that_are_not_text_do_not_stop_anything() -> None:
    assert LocalMachine().run(["printf", r"a\377b"]).out == "a\ufffdb"


def test_on_line_gets_each_line_of_both_streams_in_order() -> None:
    lines: list[str] = []
    ran = LocalMachine().run(shell("echo one; echo two >&2; printf 'three\\rfour\\nfive'"), on_line=lines.append)
    assert lines == ["one", "two", "three", "four", "five"]
    assert (ran.ok, ran.err) == (True, "")
    assert ran.out.split() == lines


def test_on_line_gets_a_line_while_the_program_still_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    opened: list[str] = []

    def open_gate(line: str) -> None:
        opened.append(line)
        if line == "first":
            (tmp_path / "gate").write_text("go", encoding="utf-8")  # the program waits for this

    ran = LocalMachine().run(shell("echo first; cat gate"), cwd=tmp_path, on_line=open_gate, timeout_s=PATIENCE_S)
    assert ran.ok
    assert opened == ["first", "go"]


def test_a_broken_on_line_ends_the_program_and_leaves_no_timer() -> None:
    pids: list[int] = []

    def breaks(line: str) -> None:
        pids.append(int(line))
        raise ZeroDivisionError

    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        LocalMachine().run(shell(f"echo $$; sleep {PATIENCE_S}"), on_line=breaks, timeout_s=PATIENCE_S)
    assert gone(pids[0])
    left = [thread for thread in threading.enumerate() if thread not in before and not thread.finished.is_set()]  # type: ignore[attr-defined]
    assert left == [], "a timer that fires later would kill whoever has the pid by then"


def test_check_says_what_the_program_said_last() -> None:
    with pytest.raises(CommandFailed, match="ended with 4:\nno such branch") as seen:
        LocalMachine().run(shell("echo no such branch >&2; exit 4")).check()
    assert said(seen.value.hint)
    with pytest.raises(CommandFailed, match=r"sleep [\d.]+ timed out after 1 seconds:\n"):
        LocalMachine().run(["sleep", str(PATIENCE_S)], timeout_s=1).check()
    assert LocalMachine().run(["true"]).check().ok


def test_tail_is_the_last_lines() -> None:
    assert Ran((), 1, "\n".join("abcdef")).tail(2) == "e\nf"


@pytest.mark.parametrize("merged", [False, True], ids=["quiet", "on_line"])
@pytest.mark.parametrize("grandchild", ["sleep 30", "(trap '' TERM; sleep 30)"], ids=["polite", "ignores-TERM"])
def test_a_timeout_ends_the_whole_group(tmp_path: Path, merged: bool, grandchild: str) -> None:
    # The grandchild holds the pipe: unless it ends too, nobody can read to the end of the output.
    script = f"echo started; {grandchild} & echo $! > pid; wait"
    started = time.monotonic()
    on_line = (lambda line: None) if merged else None
    ran = LocalMachine().run(shell(script), cwd=tmp_path, timeout_s=0.5, on_line=on_line)
    assert (ran.code, ran.out) == (None, "started\n")
    assert time.monotonic() - started < PATIENCE_S / 2
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert eventually(lambda: gone(pid))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> LocalMachine:
    """A machine that takes a second of silence for the end."""
    monkeypatch.setattr("provision.system.local_machine.Limits", partial(Limits, silence_s=1))
    return LocalMachine()


@pytest.mark.parametrize("merged", [False, True], ids=["quiet", "on_line"])
@pytest.mark.parametrize("asks", ["sleep 600", "exec >&- 2>&-; sleep 600", "(trap '' TERM; sleep 600) & wait"])
def test_a_program_that_says_and_does_nothing_is_ended(impatient: LocalMachine, asks: str, merged: bool) -> None:
    ran = impatient.run(shell(f"echo up; {asks}"), timeout_s=math.inf, on_line=(lambda line: None) if merged else None)
    assert (ran.code, ran.out, ran.stopped) == (None, "up\n", "said nothing for 1 seconds")


@pytest.mark.parametrize("how", ["print('.', flush=True); time.sleep(0.2)", "pass"], ids=["it talks", "it works"])
def test_a_program_that_is_at_work_is_left_alone(impatient: LocalMachine, how: str) -> None:
    script = f"import time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: {how}"
    assert impatient.run([sys.executable, "-c", script], timeout_s=math.inf).ok


def test_what_a_program_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    ran = LocalMachine().run(shell("echo done; sleep 60 & echo $! > pid"), cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "done\n")
    assert time.monotonic() - started < PATIENCE_S / 2
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)


def unrunnable(tmp_path: Path) -> dict[str, Path]:
    """Programs that are none: absent, not executable, a folder, below a file, for another kind of machine."""
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.write_text("echo", encoding="utf-8")
    other.write_bytes(b"\xca\xfe\xba\xbe\0\0\0\2")  # the first bytes of a universal binary of macOS
    other.chmod(0o755)
    return {"absent": tmp_path / "no", "plain": plain, "folder": tmp_path, "below": plain / "x", "other": other}


@pytest.mark.parametrize("kind", ["absent", "plain", "folder", "below", "other"])
def test_a_program_that_cannot_be_run_is_named(tmp_path: Path, kind: str) -> None:
    program = unrunnable(tmp_path)[kind]
    with pytest.raises(CommandMissing, match=str(program)):
        LocalMachine().run([program])
    with pytest.raises(CommandMissing, match=str(program)):
        LocalMachine().spawn([program], cwd=tmp_path, log=tmp_path / "log", env={})


def test_which_looks_on_the_path_that_was_given(tmp_path: Path) -> None:
    program = tmp_path / "provision-test-program"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    assert LocalMachine({"PATH": str(tmp_path)}).which(program.name) is None, "not executable"
    program.chmod(0o755)
    assert LocalMachine({"PATH": str(tmp_path)}).which(program.name) == program


# -- interruption ---------------------------------------------------------------------------------------


def interrupted_run(machine: Machine, argv: list[str]) -> tuple[float, Exception | None]:
    """Interrupt `argv` once it said something; seconds until its `run` is over, and what that raised."""
    speaks, raised = threading.Event(), list[Exception]()

    def work() -> None:
        try:
            machine.run(argv, on_line=lambda line: speaks.set(), timeout_s=PATIENCE_S)
        except Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert speaks.wait(PATIENCE_S)
    started = time.monotonic()
    machine.interrupt()
    thread.join(PATIENCE_S)
    return time.monotonic() - started, raised[0] if raised else None


def test_interrupt_ends_children_within_a_second() -> None:
    seconds, error = interrupted_run(LocalMachine(), shell(f"echo up; sleep {PATIENCE_S}"))
    assert isinstance(error, Interrupted)
    assert seconds < 1


def test_interrupt_ends_a_child_that_will_not_hear() -> None:
    seconds, error = interrupted_run(LocalMachine(), shell(f"trap '' TERM; echo up; sleep {PATIENCE_S}; sleep 9"))
    assert isinstance(error, Interrupted)
    assert seconds < PATIENCE_S / 4


def test_a_child_that_starts_just_as_we_are_interrupted_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = LocalMachine()

    class Late(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **words: object) -> None:
            super().__init__(*args, **words)  # type: ignore[call-overload]
            machine.interrupt()  # between the start and the moment when the machine knows of the child

    monkeypatch.setattr("provision.system.local_machine.subprocess.Popen", Late)
    started = time.monotonic()
    with pytest.raises(Interrupted):
        machine.run(["sleep", str(PATIENCE_S)])
    assert time.monotonic() - started < PATIENCE_S / 2


def test_an_interrupted_machine_starts_and_waits_for_nothing(tmp_path: Path) -> None:
    machine = LocalMachine()
    machine.interrupt()
    assert machine.stopping.is_set()
    for work in (lambda: machine.run(["true"]), lambda: machine.sleep(PATIENCE_S), machine.check_interrupted,
                 lambda: machine.spawn(["true"], cwd=tmp_path, log=tmp_path / "log", env={})):  # fmt: skip
        with pytest.raises(Interrupted):
            work()
