"""A Mac that is not here, from words; what uv says of it, read; what the hardware step thinks of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli.commands.target_requirements import tool_python, tool_requirements
from provision.comfyui.git_remote import read_remote_file
from provision.core.finding import Verdict
from provision.core.step import Context
from provision.environment.resolution import Wheel, culprit, first_macos, name_of, others, parse_pylock, reason
from provision.errors import CommandMissing, UsageError
from provision.rehearsal.engine_repo import make_engine_repo
from provision.steps.hardware.step import check_hardware
from provision.steps.requirements.asked import read_asked, requirement_lines
from provision.system.local_machine import LocalMachine
from provision.system.machine import LOOPBACK, Machine
from provision.system.parsers import GIB
from provision.system.target import EXAMPLE, Target, TargetMachine, parse_target
from tests.support.fake_machine import FakeMachine
from tests.support.hints import said

AV = """\
error: No solution found when resolving dependencies
  cause: Because av>=16.0.0 has no usable wheels and you require av>=16.0.0, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `av` because building from source is disabled for all packages (i.e., with `--no-build`)
"""  # noqa: E501
CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because torchvision==0.26.0 depends on torch==2.11.0 and you require torch==2.15.0, we can conclude that
             your requirements are unsatisfiable.
"""
LOCK = """\
lock-version = "1.0"
[[packages]]
name = "torch"
version = "2.11.0"
wheels = [{ url = "https://index.example/a/torch-2.11.0-cp312-cp312-macosx_11_0_arm64.whl", size = 80606338 }]
[[packages]]
name = "torch-extra"
version = "1.0+cpu"
wheels = [{ url = "https://index.example/a/torch_extra-1.0%2Bcpu-py3-none-any.whl" }]
"""


# -- words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("macos-14-arm64-py312-16gb", "macos-14-arm64-py312-16gb"),
        ("16GB py3.12 arm64 macOS 14", "macos-14-arm64-py312-16gb"),
        ("m1", "macos-14-m1-py313-16gb"),
        ("m3max-36gb", "macos-14-m3max-py313-36gb"),
        ("M3-Max, 36 GB".replace(" GB", "gb"), "macos-14-m3max-py313-36gb"),
        ("m5-macos26-cp314", "macos-26-m5-py314-16gb"),
        ("apple-silicon-macos-27", "macos-27-arm64-py313-16gb"),
        ("goldengate-m5", "macos-27-m5-py313-16gb"),
        ("macOS Golden Gate M4 Pro", "macos-27-m4pro-py313-16gb"),
        ("golden-gate", "macos-27-arm64-py313-16gb"),
        ("intel-ventura-python3.11", "macos-13-x86_64-py311-16gb"),
        ("x86_64-macos-15.7.3-8gib", "macos-15.7-x86_64-py313-8gb"),
        ("tahoe", "macos-26-arm64-py313-16gb"),
        ("m1-arm64", "macos-14-m1-py313-16gb"),
        ("arm64-m1-pro", "macos-14-m1pro-py313-16gb"),
    ],
)
def test_words_in_any_order_are_a_target_and_its_name_is_the_target_again(words: str, name: str) -> None:
    target = parse_target(words)
    assert target.name == name
    assert parse_target(target.name) == target


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("m5-foo", "'foo' in 'm5-foo' is neither"),
        ("", ""),
        ("macos-12", "macOS 12; 13, 14, 15, 26, 27 are known"),
        ("macos-16", "Apple went from 15 to 26"),
        ("py39", "Python 3.9; 3.10 to 3.14"),
        ("py315", "Python 3.15"),
        ("m1-x86_64", "a chip and another architecture"),
        ("intel-m1", "two of the same kind"),
        ("m1-m2", "two of the same kind"),
        ("macos-14-macos-15", "two of the same kind"),
        ("0gb", "without memory"),
        ("m0", "neither a macOS"),
        ("linux", "neither a macOS"),
    ],
)
def test_a_word_that_is_not_known_is_refused_with_an_example(words: str, says: str) -> None:
    if not words:
        assert parse_target(words).name == "macos-14-arm64-py313-16gb"
        return
    with pytest.raises(UsageError) as refused:
        parse_target(words)
    assert says in refused.value.message
    assert said(refused.value.hint) == said(EXAMPLE)


def test_what_is_not_said_is_the_manifests() -> None:
    target = parse_target("m2", macos_min="15.2", python="3.13")
    assert (target.macos, target.python) == ((15, 2), "3.13")


# -- the machine --------------------------------------------------------------------------------------------


def look(context: Callable[..., Context], words: str) -> dict[str, Verdict]:
    ctx = context(machine=TargetMachine(parse_target(words)))
    return {finding.id: finding.verdict for finding in check_hardware(ctx, ())}


def test_the_hardware_step_judges_the_target_as_it_judges_a_mac(context: Callable[..., Context]) -> None:
    assert look(context, "m3max-36gb")["hw-chip"] is Verdict.OK
    assert look(context, "m1-8gb")["mem-8gb"] is Verdict.WARN
    assert look(context, "m1-4gb")["mem-low"] is Verdict.BLOCKED
    assert look(context, "macos-13")["os-too-old"] is Verdict.BLOCKED
    assert look(context, "intel")["hw-intel"] is Verdict.BLOCKED


def test_a_target_has_no_disk_and_no_programs() -> None:
    machine = TargetMachine(Target((14, 0), memory_gib=24))
    assert machine.run(["/usr/bin/anything"]).code == 127
    assert machine.which("git") is None
    memory = machine.memory()
    assert memory is not None
    assert memory.total_bytes == 24 * GIB
    with pytest.raises(OSError, match="not here"):
        machine.disk_free_bytes(Path("/"))
    with pytest.raises(CommandMissing, match="another machine"):
        machine.spawn(["caffeinate"], cwd=Path("/"), log=Path("/dev/null"), env={})


def test_a_target_answers_nothing_for_the_machine_that_asks(tmp_path: Path) -> None:
    machine = TargetMachine(Target((14, 0)))
    assert (machine.process(os.getpid()), machine.resident_bytes(os.getpid()), machine.environ) == (None, None, {})
    (locked := tmp_path / "locked").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert LocalMachine().refusal(tmp_path / "loop"), "here it is refused"
    assert machine.refusal(tmp_path / "loop") == machine.refusal(locked) == machine.file_flags(locked) == 0
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not LocalMachine().port_is_free(port)
        assert machine.port_is_free(port)
        assert machine.listener(port) is None


@pytest.mark.parametrize("kind", [TargetMachine, FakeMachine])
def test_only_this_machine_answers_for_this_machine(kind: type[Machine]) -> None:
    assert not issubclass(kind, LocalMachine)
    assert Machine.__abstractmethods__ <= vars(kind).keys(), "each answer is its own"  # type: ignore[attr-defined]


# -- what uv says -------------------------------------------------------------------------------------------


def test_a_lock_is_read_as_wheels_with_their_bytes() -> None:
    torch, extra = parse_pylock(LOCK)
    assert torch == Wheel("torch", "2.11.0", "torch-2.11.0-cp312-cp312-macosx_11_0_arm64.whl", 80606338)
    assert torch.macos == (11, 0)
    assert (extra.filename, extra.size_bytes, extra.macos) == ("torch_extra-1.0+cpu-py3-none-any.whl", None, None)
    with pytest.raises(ValueError, match="numpy has no wheel"):
        parse_pylock('[[packages]]\nname = "numpy"\nsdist = { url = "numpy.tar.gz" }\n')


def test_the_one_without_wheels_is_found_before_the_one_that_conflicts() -> None:
    assert culprit(AV, ["numpy", "av"]) == "av"
    assert culprit(CONFLICT, ["torch", "torchvision"]) == "torch"
    assert culprit(CONFLICT, ["numpy"]) == ""
    assert reason(AV).startswith("Because av>=16.0.0 has no usable wheels")
    assert "hint" not in reason(AV)


def test_a_requirement_line_has_a_name() -> None:
    assert [name_of(line) for line in ("SQLAlchemy>=2", "comfy_kitchen==0.2", "uv ; python_version>'3'", "# no")] == [
        "sqlalchemy", "comfy-kitchen", "uv", "",
    ]  # fmt: skip


def test_others_differ_in_one_thing_and_the_wheel_tells_the_first_macos() -> None:
    target = parse_target("macos-13-intel-py310")
    assert [other.name for other in others(target)] == [
        "macos-27-x86_64-py310-16gb", "macos-13-x86_64-py312-16gb", "macos-13-arm64-py310-16gb",
    ]  # fmt: skip
    wheel = Wheel("torch", "2.15.0", "torch-2.15.0-cp312-cp312-macosx_14_0_arm64.whl", 1)
    assert first_macos(target, others(target)[0], wheel).macos == (14, 0)
    assert first_macos(target, others(target)[1], wheel).macos == (13, 0)


# -- what is asked for --------------------------------------------------------------------------------------


def test_requirements_are_lines_of_an_index_and_nothing_else() -> None:
    text = "torch\n\n# no\n--index-url https://x\n-r more.txt\nav>=16 # video\nx @ https://x/x.whl\n"
    assert requirement_lines(text) == ("torch", "av>=16")


def test_the_tool_names_what_it_needs_and_has_a_python_of_its_own() -> None:
    assert "rich" in {name_of(line) for line in tool_requirements()}
    assert [tool_python(parse_target(f"py{minor}")) for minor in (310, 312, 314)] == ["3.11", "3.12", "3.14"]


def test_requirements_come_from_a_file_the_host_or_the_checkout_and_it_is_said(
    context: Callable[..., Context], tmp_path: Path
) -> None:
    repository = tmp_path / "engine.git"
    make_engine_repo(repository)
    ctx = context(f"comfyui.url=file://{repository}")
    found = read_asked(ctx, None)
    assert "torch" in found.lines
    assert found.source == f"v0.38.1 of file://{repository}, packages as of {found.until}"

    file = tmp_path / "mine.txt"
    file.write_text("numpy\n")
    assert read_asked(ctx, file).source == str(file)
    with pytest.raises(UsageError):
        read_asked(ctx, tmp_path / "none.txt")


def test_without_a_host_the_checkout_is_read_and_without_that_the_file_is_asked_for(
    context: Callable[..., Context], tmp_path: Path
) -> None:
    from provision.errors import GitError

    ctx = context(f"comfyui.url=file://{tmp_path}/none.git")
    with pytest.raises(GitError) as failed:
        read_asked(ctx, None)
    assert "--requirements FILE" in said(failed.value.hint)
    ctx.home.comfyui.mkdir()
    (ctx.home.comfyui / "requirements.txt").write_text("torch\ntorchaudio\nav\n")
    found = read_asked(ctx, None)
    assert (found.audio, found.others) == (True, ("av",))
    assert str(ctx.home.comfyui) in found.source


def test_a_file_of_a_revision_is_read_without_a_checkout(tmp_path: Path) -> None:
    from provision.errors import GitError

    repository = tmp_path / "engine.git"
    make_engine_repo(repository)
    found = read_remote_file(f"file://{repository}", "latest", "comfyui_version.py")
    assert "__version__" in found.text
    assert found.date
    with pytest.raises(GitError, match=r"none\.txt"):
        read_remote_file(f"file://{repository}", "latest", "none.txt")
