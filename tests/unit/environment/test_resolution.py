"""Resolving for a Mac that is not here, by the real uv on an index of our own: no times, no sizes, as some mirrors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from provision.cli.commands.plan_target import Answers, ask_index, behind, choose_torch, reports
from provision.command import ours
from provision.core.events import Event, Note
from provision.core.finding import Finding, Verdict
from provision.core.step import Context
from provision.environment.resolution import Resolved, Rules, Wheel, resolve
from provision.errors import NetworkError, PackageError
from provision.rehearsal.hub import Hub
from provision.rehearsal.torch_wheels import StandIn, write_wheel
from provision.steps.requirements.asked import Asked
from provision.steps.torch.choice import first
from provision.steps.torch.place import elsewhere
from provision.system.local_machine import LocalMachine
from provision.system.target import Target, parse_target

OLD, NEW = "cp312-cp312-macosx_11_0_arm64", "cp312-cp312-macosx_14_0_arm64"
STABLE = (
    (StandIn("torch", "2.11.0"), OLD),
    (StandIn("torch", "2.2.2"), "cp312-cp312-macosx_11_0_x86_64"),
    (StandIn("torch", "2.15.0"), NEW),
    (StandIn("torchvision", "0.17.2", ("torch==2.2.2",)), "cp312-cp312-macosx_11_0_x86_64"),
    (StandIn("torchvision", "0.26.0", ("torch==2.11.0",)), OLD),
    (StandIn("torchvision", "0.30.0", ("torch==2.15.0",)), NEW),
    (StandIn("torchaudio", "2.10.0", ("torch==2.10.0",)), OLD),
    (StandIn("torchaudio", "2.11.0"), OLD),
    (StandIn("av", "15.1.0"), OLD),
    (StandIn("av", "19.0.2"), NEW),
    (StandIn("needy", "1.0", ("av>=18",)), "py3-none-any"),
    (StandIn("onlylinux", "1.0"), "cp312-cp312-manylinux_2_28_x86_64"),
)
NIGHTLY = (
    (StandIn("torch", "2.16.0.dev20261121"), NEW),
    (StandIn("torch", "2.16.0.dev20261120"), NEW),
    (StandIn("torchvision", "0.31.0.dev20261120", ("torch==2.16.0.dev20261120",)), NEW),
)
SONOMA, VENTURA = parse_target("macos-14-py312"), parse_target("macos-13-py312")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("hub")
    for channel, wheels in (("stable", STABLE), ("nightly", NIGHTLY)):
        for package, tag in wheels:
            folder = root / "index" / channel / package.name
            folder.mkdir(parents=True, exist_ok=True)
            write_wheel(folder, package, tag)
    with Hub(root) as hub:
        yield f"{hub.url}/whl"


@pytest.fixture
def ctx(context: Callable[..., Context], index: str) -> Context:
    return make(context, index)


def make(context: Callable[..., Context], index: str, *overrides: str) -> Context:
    machine = LocalMachine({"PIP_INDEX_URL": f"{index}/stable", "PATH": "/usr/bin:/bin"})
    where = (f"torch.nightly_index={index}/nightly", "torch.stable_index=")
    return context(*where, *overrides, machine=machine)


def test_the_newest_wheel_for_the_targets_macos_is_taken(ctx: Context) -> None:
    assert resolve(ctx, SONOMA, ["torch", "torchvision"]).version("torch") == "2.15.0"
    assert resolve(ctx, VENTURA, ["torch", "torchvision"]).version("torch") == "2.11.0"
    assert resolve(ctx, parse_target("intel-py312"), ["torch", "torchvision"]).version("torchvision") == "0.17.2"


def test_an_index_without_times_and_sizes_is_said(ctx: Context, events: list[Event]) -> None:
    found = resolve(ctx, SONOMA, ["av"], Rules(until="2026-11-22"))
    assert (found.version("av"), found.dated, found.unsized, found.size_bytes) == ("19.0.2", False, 1, 0)
    asked = Asked(("torch", "torchvision", "av"), "this test", "2026-11-22")
    answers = ask_index(ctx, SONOMA, asked, tool=("av",))
    assert answers.packages is not None
    assert [wheel.filename for wheel in answers.packages.wheels] == ["av-19.0.2-cp312-cp312-macosx_14_0_arm64.whl"]
    assert any("no upload times" in event.says for event in events if isinstance(event, Note))


def test_what_cannot_be_had_is_named_with_what_can_and_where(ctx: Context) -> None:
    found = resolve(ctx, VENTURA, ["av>=16", "torch", "onlylinux"])
    video, linux = sorted(found.lacks, key=lambda lack: lack.asked)
    assert (video.asked, video.newest, video.why) == ("av>=16", "15.1.0", "")
    assert video.elsewhere == (Target((14, 0), python="3.12"), "19.0.2")
    assert (linux.asked, linux.newest, linux.elsewhere) == ("onlylinux", "", None)
    assert {wheel.name: wheel.version for wheel in found.wheels} == {"av": "15.1.0", "torch": "2.11.0"}


def test_a_conflict_is_uvs_reason_and_the_rest_is_resolved(ctx: Context) -> None:
    found = resolve(ctx, SONOMA, ["needy", "av<16", "torch"])
    (lack,) = found.lacks
    assert "needy" in lack.why
    assert "av" in lack.why
    assert found.version("torch") == "2.15.0"


def test_packages_need_the_torch_that_is_held_or_go_without(ctx: Context) -> None:
    held = resolve(ctx, SONOMA, ["torchvision"], Rules(held=("torch==2.11.0",)))
    assert held.version("torchvision") == "0.26.0"
    without = resolve(ctx, parse_target("macos-14-py313"), ["needy"], Rules(without=("av",)))
    assert [wheel.name for wheel in without.wheels] == ["needy"]


def test_behind_is_told_by_what_would_have_to_change(ctx: Context) -> None:
    assert behind(ctx, SONOMA, "2.15.0", Rules()) == []
    (lack,) = behind(ctx, VENTURA, "2.11.0", Rules())
    assert lack.elsewhere == (Target((14, 0), python="3.12"), "2.15.0")
    (lack,) = behind(ctx, parse_target("macos-14-intel-py312"), "2.2.2", Rules())
    assert lack.elsewhere == (Target((14, 0), python="3.12"), "2.15.0")


def test_an_index_that_is_not_there_is_a_network_error(context: Callable[..., Context]) -> None:
    machine = LocalMachine({"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"})
    with pytest.raises(NetworkError, match="cannot be reached"):
        resolve(context(machine=machine), SONOMA, ["torch"])


# -- channels -----------------------------------------------------------------------------------------------


def test_a_nightly_is_of_the_newest_day_that_is_whole_for_the_target(
    context: Callable[..., Context], index: str, events: list[Event]
) -> None:
    ctx = make(context, index, "torch.channel=nightly")
    wish = choose_torch(ctx, SONOMA, audio=False)
    assert wish.pins == ("torch==2.16.0.dev20261120", "torchvision==0.31.0.dev20261120")
    assert (wish.channel, wish.index) == ("nightly", f"{index}/nightly")
    assert "20261121" in notes(events)[-1]
    assert resolve(ctx, SONOMA, wish.pins, Rules(index=wish.index)).version("torch") == "2.16.0.dev20261120"

    old = choose_torch(ctx, VENTURA, audio=False)
    assert (old.pins, old.channel) == (("torch==2.11.0", "torchvision==0.26.0"), "stable")
    assert "stable torch is planned instead" in notes(events)[-1]


def notes(events: list[Event]) -> list[str]:
    return [event.says for event in events if isinstance(event, Note)]


def test_a_day_a_version_and_stable_are_what_they_say(
    context: Callable[..., Context], index: str, events: list[Event]
) -> None:
    day = make(context, index, "torch.channel=2.16.0.dev20261120")
    assert choose_torch(day, SONOMA, audio=False).pins[0] == "torch==2.16.0.dev20261120"
    with pytest.raises(PackageError, match=r"no torch 2\.16\.0\.dev20261120 for macOS 13"):
        choose_torch(day, VENTURA, audio=False)
    version = make(context, index, "torch.channel=2.11.0")
    pins = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
    assert choose_torch(version, SONOMA, audio=True).pins == pins
    stable = make(context, index, "torch.channel=stable", f"torch.stable_index={index}/stable")
    wish = choose_torch(stable, VENTURA, audio=False)
    assert (wish.pins[0], wish.index) == ("torch==2.11.0", f"{index}/stable")
    nowhere = make(context, index, "torch.channel=stable", "torch.stable_index=http://127.0.0.1:9/whl")
    assert choose_torch(nowhere, VENTURA, audio=False).index == ""
    assert "using the configured package index" in notes(events)[-1]


@pytest.mark.parametrize("target", [SONOMA, VENTURA])
@pytest.mark.parametrize("channel", ["nightly", "stable"])
@pytest.mark.parametrize("audio", [False, True])
def test_all_takes_on_a_mac_what_is_planned_for_it_where_pytorchs_index_is_out_of_reach(
    context: Callable[..., Context], index: str, target: Target, channel: str, audio: bool
) -> None:
    nowhere = "http://127.0.0.1:9/whl"
    lost = (f"torch.channel={channel}", f"torch.nightly_index={nowhere}", f"torch.stable_index={nowhere}")
    ctx = make(context, index, *lost)
    there = elsewhere(target)
    planned, taken = choose_torch(ctx, target, audio=audio), first(ctx, replace(there, is_here=True), audio=audio)
    assert (taken.pins, taken.channel) == (planned.pins, "stable")
    assert any(pin.startswith("torchaudio==") for pin in taken.pins) == audio


# -- the report ---------------------------------------------------------------------------------------------


def findings(ctx: Context, words: str, *lines: str) -> dict[str, Finding]:
    target = parse_target(words)
    answers = ask_index(ctx, target, Asked(("torch", "torchvision", *lines), "this test"), tool=("av",))
    found = [finding for step in reports(ctx, target, answers, None) for finding in step.findings]
    return {f"{finding.id} {finding.subject}": finding for finding in found}


def test_the_plan_of_a_good_target_is_all_that_all_would_do(ctx: Context) -> None:
    found = findings(ctx, "m2-24gb-py312", "av")
    assert {finding.verdict for finding in found.values()} == {Verdict.OK, Verdict.FIXABLE}
    assert found["wheels-found torch"].says == (
        "torch 2.16.0.dev20261120, torchvision 0.31.0.dev20261120 and what they need: 2 wheels "
        "(2 of unknown size), nothing to compile."
    )
    assert "24 GiB" in found["hw-memory memory"].says
    model = found["ckpt-missing sd_xl_turbo_1.0_fp16.safetensors"]
    assert found["hw-disk disk"].facts["needed_bytes"] > model.cost.disk_bytes > 6.9e9


def test_the_row_of_packages_does_not_say_the_contrary_of_what_follows(ctx: Context) -> None:
    found = findings(ctx, "macos-13-m1-py312", "av>=16", "needy")
    assert "wheel-missing av>=16" in found
    assert any("torch does not see the GPU" in finding.says for finding in found.values())
    assert found["wheels-found requirements"].says == (
        "1 wheels (1 of unknown size); some required packages have none."
    )


def test_the_plan_says_what_stands_in_the_way_and_what_to_type(ctx: Context) -> None:
    found = findings(ctx, "macos-13-m1-py312", "av>=16")
    lack = found["wheel-missing av>=16"]
    assert lack.verdict is Verdict.BLOCKED
    assert lack.fix
    assert lack.fix.command == ours("plan", "--for", "macos-14-m1-py312-16gb")
    assert lack.fix.says == "av 19.0.2 exists for macOS 14 and later:"
    assert found["os-too-old macOS"].verdict is Verdict.BLOCKED
    behind_it = found["torch-behind torch"]
    assert behind_it.verdict is Verdict.WARN
    assert behind_it.says == ("torch 2.11.0 is the newest for this target; 2.15.0 exists for macOS 14 and later.")


def test_without_torch_one_line_says_so_and_the_rest_is_told(ctx: Context) -> None:
    found = findings(ctx, "macos-15-intel-py313", "needy")
    assert [key for key in found if "torch" in key] == ["wheel-missing torch"]
    assert "no version of torch has" in found["wheel-missing torch"].says
    fix = found["wheel-missing torch"].fix
    assert fix
    assert fix.says == "torch 2.2.2 exists with Python 3.12:"
    assert found["hw-intel chip"].verdict is Verdict.BLOCKED


@pytest.mark.parametrize(
    ("words", "most", "id"),
    [("py314", "3.14", "venv-missing"), ("py310", "3.14", "venv-missing"), ("py314", "3.13", "py-too-new")],
)
def test_a_python_that_the_manifest_does_not_take_is_refused(
    context: Callable[..., Context], index: str, words: str, most: str, id: str
) -> None:
    ctx = make(context, index, f"python.max={most}")
    nothing = Answers(choose_torch(ctx, SONOMA, audio=False), Resolved(()), None, Resolved(()))
    found = [each for step in reports(ctx, parse_target(words), nothing, None) for each in step.findings]
    (finding,) = (each for each in found if each.subject == "Python")
    assert finding.id == id
    if "too" in id:
        assert finding.fix
        assert finding.fix.command
        assert finding.fix.command.argv[-2:] == ("--set", "python.max=3.14")


def test_a_pair_that_is_known_to_compute_wrong_is_told_before_anything_is_there(ctx: Context) -> None:
    target = parse_target("macos-27-m4-8gb")
    old = Resolved((Wheel("torch", "2.10.0", "torch-2.10.0-cp312-cp312-macosx_11_0_arm64.whl", 1),))
    answers = Answers(choose_torch(ctx, SONOMA, audio=False), old, None, Resolved(()))
    found = {each.id: each for step in reports(ctx, target, answers, None) for each in step.findings}
    assert found["torch-known-bad"].verdict is Verdict.BLOCKED
    assert "pytorch/pytorch#187280" in found["torch-known-bad"].says
    assert found["mem-swaps"].verdict is Verdict.WARN
