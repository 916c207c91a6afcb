"""The table of bad pairs of torch, macOS and chip: its loader is strict, and what it refuses is never downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.command import ours, program
from provision.core.finding import Finding, Verdict
from provision.core.home import Home
from provision.core.manifest import find_manifest, manifest_names
from provision.core.step import Context
from provision.environment import known_bad_torch
from provision.environment.known_bad_torch import Mac, Pair, pairs_for, read_known_bad, refusal
from provision.errors import ManifestError, PackageError
from provision.steps.torch.choice import Choice, candidates
from provision.steps.torch.known_bad import check_known_bad
from provision.steps.torch.place import Place, here
from provision.system.mac import SW_VERS, SYSCTL
from tests.support.fake_machine import FakeMachine

Make = Callable[..., Context]
GOOD = """schema = 1
[[pairs]]
torch = "<2.13"
verdict = "refuse"
looks = "noise"
source = "an issue"
"""


def machine(macos: str = "15.5", chip: str = "Apple M4") -> FakeMachine:
    system = f"ProductName:\tmacOS\nProductVersion:\t{macos}\nBuildVersion:\t24F74\n"
    sysctl = f"hw.memsize: 17179869184\nhw.optional.arm64: 1\nmachdep.cpu.brand_string: {chip}\nhw.model: Mac16,10\n"
    silicon = "/usr/sbin/sysctl -i hw.optional.arm64"
    return FakeMachine({" ".join(SW_VERS): system, " ".join(SYSCTL): sysctl, silicon: "hw.optional.arm64: 1\n"})


def installed(home: Home, torch: str) -> None:
    info = home.venv / "lib" / "python3.12" / "site-packages" / f"torch-{torch}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: torch\n")


def look(context: Make, channel: str, **about: str) -> list[Finding]:
    return list(check_known_bad(context(f"torch.channel={channel}", machine=machine(**about))))


@pytest.mark.parametrize(
    ("torch", "macos", "chip", "verdict"),
    [
        ("2.10.0", "27.0", "M4", "refuse"),
        ("2.12.1", "27.0.1", "M1", "refuse"),
        ("2.13.0", "27.0", "M4", ""),
        ("2.14.0.dev20260624", "27.0", "M4", ""),
        ("2.12.1", "26.5", "M4", ""),
        ("2.8.0", "15.5", "M1", "refuse"),
        ("2.8.0+cpu", "15.5", "M1", "refuse"),
        ("2.7.1", "15.5", "M1", ""),
        ("2.11.0", "26.2", "M5", "refuse"),
        ("2.11.0", "26.2", "M4", "warn"),
        ("2.11.0", "26.2", "", "warn"),
        ("2.12.0", "26.3", "M5", "warn"),
        ("2.12.0", "26.3", "M4", ""),
        ("2.2.2", "14.4.1", "M1", "refuse"),
        ("2.2.2", "14.3", "M1", ""),
        ("2.3.0", "14.4.1", "M1", ""),
        ("2.10.0", "13.7", "M1", "warn"),
        ("2.15.0", "26.0", "M4", "warn"),
        ("2.15.0", "26.2.1", "M1", "warn"),
        ("2.15.0", "26.3", "M4", ""),
        ("2.15.0", "25.9", "M4", ""),
        ("2.14.0.dev20260802", "26.4", "M4", "refuse"),
        ("2.14.0.dev20260803", "26.4", "M4", ""),
        ("2.14.0.dev20260802", "27.0", "M4", ""),
        ("2.14.0", "26.4", "M4", ""),
        ("2.16.0.dev20261120", "27.1", "M5", "warn"),
        ("2.16.0.dev20261120", "27.1", "M4", ""),
    ],
)
def test_the_table_says_what_its_sources_say(torch: str, macos: str, chip: str, verdict: str) -> None:
    mac = Mac(tuple(map(int, macos.split("."))), chip)
    found = pairs_for(read_known_bad(), mac, torch)
    assert (found[0].verdict if found else "") == verdict
    assert bool(refusal(found, torch, mac)) == (verdict == "refuse")


def test_each_pair_names_an_issue() -> None:
    for pair in read_known_bad():
        assert "#" in pair.source, pair


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('verdict = "maybe"', "pairs.0.verdict"),
        ('torch = "2.13 or so"', "pairs.0.torch"),
        ('macos = "Sequoia"', "pairs.0.macos"),
        ('looks = ""', "lacks"),
        ('torch_cure = "the one before"', "pairs.0.torch_cure"),
        ("colour = 1", "colour"),
        ('chips = "M5"', "chips"),
        ("schema = 2", "schema"),
        ("= =", "cannot be read"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_key(tmp_path: Path, change: str, words: str) -> None:
    path, key = tmp_path / "bad.toml", change.partition(" ")[0]
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key} ")]
    path.write_text("\n".join([change, *lines] if key == "schema" else [*lines, change]))
    with pytest.raises(ManifestError) as refused:
        read_known_bad(path)
    assert words in refused.value.message
    path.write_text(GOOD)
    assert read_known_bad(path) == (Pair("<2.13", "refuse", "noise", "an issue"),)


def test_it_is_no_manifest() -> None:
    assert "known-bad" not in manifest_names()
    with pytest.raises(ManifestError, match="no manifest"):
        find_manifest("known-bad")


def test_a_version_that_is_asked_for_is_refused_before_anything_is_downloaded(context: Make) -> None:
    (finding,) = look(context, "2.8.0")
    assert (finding.id, finding.verdict) == ("torch-known-bad", Verdict.BLOCKED)
    assert "pytorch/pytorch#163597" in finding.says
    assert finding.fix is not None
    assert "stable" in finding.fix.command.argv
    assert look(context, "2.15.0") == []


def test_what_is_installed_is_looked_at_each_time(context: Make, home: Home) -> None:
    installed(home, "2.12.1")
    assert look(context, "nightly", macos="26.4") == []
    (finding,) = look(context, "nightly", macos="27.0")  # after an update of macOS
    assert (finding.id, finding.verdict) == ("torch-known-bad", Verdict.FIXABLE)


def test_a_doubtful_one_is_said(context: Make, home: Home) -> None:
    installed(home, "2.11.0")
    (finding,) = look(context, "2.11.0")
    assert (finding.id, finding.verdict) == ("torch-doubtful", Verdict.WARN)
    assert look(context, "2.11.0", chip="Apple M5")[0].verdict is Verdict.BLOCKED


def test_what_only_macos_mends_names_it(context: Make, home: Home) -> None:
    installed(home, "2.15.0")
    (finding,) = look(context, "stable", macos="26.1")
    assert finding.verdict is Verdict.WARN
    assert finding.fix is not None
    assert (finding.fix.command, "26.3" in finding.fix.says) == (program("softwareupdate", "--list"), True)


def test_what_an_older_torch_mends_names_it(context: Make, home: Home) -> None:
    installed(home, "2.11.0")
    (finding, *_) = [each for each in look(context, "stable", macos="13.7.8") if "164943" in each.says]
    assert finding.fix is not None
    assert finding.fix.says == "torch 2.9.1 is right there, as is macOS 14 or later."
    assert finding.fix.command == ours("all", "--torch", "2.9.1")


def test_no_cure_is_one_of_its_own_pair() -> None:
    for pair in read_known_bad():
        if pair.torch_cure:
            assert pairs_for((pair,), Mac((13, 0), "M1"), pair.torch_cure) == []
        if pair.macos_cure:
            assert pairs_for((pair,), Mac(tuple(map(int, pair.macos_cure.split("."))), "M1"), "2.15.0") == []


def test_doubts_are_told_before_anything_is_there() -> None:
    told = [says for _, says in known_bad_torch.doubts(machine(macos="13.7.8"), ("torch==2.11.0", "torchvision"))]
    assert any("the GPU is not seen" in says for says in told)
    assert known_bad_torch.doubts(machine(), ("torch", "torchvision")) == []


def test_linux_has_no_such_pairs(context: Make, home: Home) -> None:
    installed(home, "2.8.0")
    linux = FakeMachine(system="Linux", arch="x86_64")
    assert list(check_known_bad(context("torch.channel=2.8.0", machine=linux))) == []
    assert known_bad_torch.refused(linux, ("torch==2.8.0",)) == ""
    assert known_bad_torch.refused(machine(), ("torch", "torchvision")) == ""


def test_what_is_resolved_is_asked_too(context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"nightly": "2.12.0.dev20260401", "stable": "2.15.0"}

    def in_order(ctx: Context, place: Place, *, audio: bool) -> Iterator[Choice]:
        for channel, torch in chosen.items():
            yield Choice(channel, (f"torch=={torch}", "torchvision"), "")

    monkeypatch.setattr("provision.steps.torch.choice.in_order", in_order)
    ctx = context(machine=machine(macos="27.0"))
    choice = next(candidates(ctx, here(ctx), audio=False))
    assert (choice.channel, choice.pins[0]) == ("stable", "torch==2.15.0")
    assert "#187280" in choice.why
    older = context(machine=machine(macos="26.0"))
    assert next(candidates(older, here(older), audio=False)).channel == "nightly"
    chosen["stable"] = "2.11.0"
    with pytest.raises(PackageError, match="Nothing was installed"):
        next(candidates(ctx, here(ctx), audio=False))
