"""The hardware step on machines that are not here: every verdict with the numbers that it must say."""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from provision.command import Fix, ours
from provision.core.finding import Cost, Finding, Verdict, worst
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context, Options, Step
from provision.errors import Interrupted, NetworkError
from provision.steps.hardware import step as hardware
from provision.system.machine import Memory, Ran
from provision.system.parsers import GIB
from tests.support.fake_machine import FakeMachine
from tests.support.findings import fixable, ok
from tests.support.hints import said
from tests.support.paths import FACTS

SYSCTL, SW_VERS, VM_STAT, PMSET = (
    " ".join(argv) for argv in (hardware.SYSCTL, hardware.SW_VERS, hardware.VM_STAT, hardware.PMSET)
)
M1_PRO = "sysctl/m1-pro-asked"
GB = 10**9


def recorded(name: str) -> str:
    file, record = name.split("/")
    return next(
        str(found["out"])
        for found in json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8"))
        if found["name"] == record
    )


def mac(
    chip: str = M1_PRO,
    system: str = "sw_vers/m4-pro-15.7",
    pmset: str = "pmset/laptop-off",
    *,
    gib: int | None = 16,
    **other: object,
) -> FakeMachine:
    memory = None if gib is None else Memory(gib * GIB, gib * GIB // 2)
    commands = {SYSCTL: recorded(chip), SW_VERS: recorded(system), PMSET: recorded(pmset)}
    return FakeMachine(commands, memory=memory, **other)  # type: ignore[arg-type]


def linux(gib: float | None = 24, **other: object) -> FakeMachine:
    memory = None if gib is None else Memory(int(gib * GIB), int(gib * GIB / 2))
    files = {
        "/etc/os-release": recorded("linux/os-release-debian"),
        "/proc/cpuinfo": recorded("linux/cpuinfo-x86"),
        "/proc/meminfo": recorded("linux/meminfo"),
    }
    return FakeMachine(system="Linux", arch="x86_64", memory=memory, files=files, **other)  # type: ignore[arg-type]


def writer(size_bytes: int, name: str = "models") -> Step:
    def check(ctx: Context) -> list[Finding]:
        if not size_bytes:
            return [ok("there", name, "It is there.", cost=Cost(disk_bytes=9 * GB))]
        return [fixable("missing", name, "It is missing.", fix=Fix("Get it."), cost=Cost(disk_bytes=size_bytes))]

    return Step(name, (), check)


def failing(error: Exception, name: str = "torch") -> Step:
    def check(ctx: Context) -> list[Finding]:
        raise error

    return Step(name, (), check)


def context(machine: FakeMachine, tmp_path: Path, *, rehearsal: bool = False) -> Context:
    manifest = load_manifest("sdxl-turbo")
    return Context(machine, manifest, Home(tmp_path / "home"), Options(rehearsal=rehearsal))


@pytest.fixture
def look(tmp_path: Path) -> Looker:
    return Looker(tmp_path)


def plan() -> tuple[Step, ...]:
    """Steps that would write 10 GB."""
    return writer(7 * GB), writer(3 * GB, "torch")


class Looker:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def __call__(self, machine: FakeMachine, *, rehearsal: bool = False) -> dict[str, Finding]:
        found = list(hardware.check_hardware(context(machine, self.tmp_path, rehearsal=rehearsal), plan()))
        assert len({finding.id for finding in found}) == len(found)
        assert all(finding.fix is not None for finding in found if finding.verdict is Verdict.BLOCKED)
        return {finding.id: finding for finding in found}


def test_a_good_mac_is_told_with_its_numbers(look: Looker) -> None:
    found = look(mac())
    assert list(found) == ["hw-chip", "hw-os", "hw-memory", "hw-disk"]
    assert worst(found.values()) is Verdict.OK
    assert found["hw-chip"].says == "Apple M1 Pro in a MacBookPro18,3, Apple silicon."
    assert (found["hw-chip"].facts["family"], found["hw-chip"].facts["tier"]) == ("M1", "Pro")
    assert found["hw-os"].says == "macOS 15.7.3 (24G419); 14.0 or later is required."
    assert found["hw-memory"].says == "16 GiB of memory, 8.0 available now; 16 are recommended."
    assert found["hw-disk"].says.startswith("500.0 GB are free on the disk of ")
    assert found["hw-disk"].says.endswith("; 10.0 GB will be written.")


@pytest.mark.parametrize("chip", ["m2", "m3-max", "m4-max", "m5", "m4-27"])
def test_every_recorded_apple_chip_is_welcome(look: Looker, chip: str) -> None:
    assert look(mac(f"sysctl/{chip}"))["hw-chip"].verdict is Verdict.OK


def test_a_virtual_mac_says_so(look: Looker) -> None:
    found = look(mac("sysctl/guest-m1"))["hw-chip"]
    assert found.says == "Apple M1 (Virtual) (a virtual machine), Apple silicon."
    assert found.facts["virtual"] is True


def test_a_guest_is_told_before_the_download_that_its_gpu_is_seldom_seen(look: Looker) -> None:
    found = look(mac("sysctl/guest-m1"))["hw-guest"]
    assert found.verdict is Verdict.WARN
    assert "8 GB" in found.says
    assert "hw-guest" not in look(mac("sysctl/guest-m1"), rehearsal=True)
    assert "hw-guest" not in look(mac())


def test_an_intel_mac_is_blocked(look: Looker) -> None:
    found = look(mac("sysctl/intel", arch="x86_64"))["hw-intel"]
    assert found.verdict is Verdict.BLOCKED
    assert "i7-6700K" in found.says
    assert found.fix
    assert found.fix.command == ours("all", "--rehearse")


@pytest.mark.parametrize(("chip", "arch"), [("rosetta-asked", "arm64"), ("rosetta-m1", "x86_64")])
def test_rosetta_is_a_warning_about_this_process_only(look: Looker, chip: str, arch: str) -> None:
    found = look(mac(f"sysctl/{chip}", arch=arch))
    assert found["hw-chip"].verdict is Verdict.OK
    assert found["py-rosetta"].verdict is Verdict.WARN
    assert "arch -arm64 provision all" in said(found["py-rosetta"].fix)


INTEL, BOTH = struct.pack("<II", 0xFEEDFACF, 0x01000007), struct.pack(">7I", 0xCAFEBABE, 2, 0x01000007, 0, 0, 0, 0)


@pytest.mark.parametrize(("head", "installs"), [(INTEL, True), (BOTH + struct.pack(">I", 0x0100000C), False)])
def test_a_python_for_intel_alone_is_to_be_installed_again(
    look: Looker, head: bytes, installs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`arch -arm64` would end with "Bad CPU type in executable"."""
    (tmp_path / "python3.12").write_bytes(head)
    (tmp_path / "python").symlink_to("python3.12")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    fix = said(look(mac("sysctl/rosetta-m1", arch="x86_64"))["py-rosetta"].fix)
    assert ("install provision again" in fix, "arch -arm64" in fix) == (installs, not installs)


@pytest.mark.parametrize("system", ["intel-10.13", "runner-12.7", "intel-13.7"])
def test_an_old_macos_is_blocked_with_both_versions(look: Looker, system: str) -> None:
    found = look(mac(system=f"sw_vers/{system}"))["os-too-old"]
    assert found.verdict is Verdict.BLOCKED
    assert f"{found.facts['version']}; 14.0 or later" in found.says
    assert found.fix
    assert f"--set machine.macos_min={found.facts['version']}" in found.fix.says


@pytest.mark.parametrize("system", ["m1-14.0", "m4-26.3", "m4-27"])
def test_a_current_macos_is_welcome(look: Looker, system: str) -> None:
    assert look(mac(system=f"sw_vers/{system}"))["hw-os"].verdict is Verdict.OK


def test_a_mac_whose_programs_say_nothing_is_not_stopped(look: Looker) -> None:
    machine = mac()
    machine.commands |= dict.fromkeys((SYSCTL, SW_VERS, PMSET), Ran((), 127, "", "not found"))
    found = look(machine)
    assert (found["hw-chip"].verdict, found["hw-os"].verdict) == (Verdict.WARN, Verdict.WARN)
    assert found["hw-memory"].verdict is Verdict.OK


# -- memory ---------------------------------------------------------------------------------------------


def test_psutil_failing_on_macos_27_stops_nothing(look: Looker) -> None:
    machine = mac(system="sw_vers/m4-27", gib=None)
    machine.commands[VM_STAT] = recorded("vm_stat/apple-silicon")
    found = look(machine)
    assert found["hw-memory"].says == "16 GiB of memory, 6.8 available now; 16 are recommended."
    assert found["hw-memory"].facts["source"] == "sysctl"
    assert found["os27-psutil"].verdict is Verdict.WARN


def test_psutil_failing_on_another_macos_is_no_finding(look: Looker) -> None:
    machine = mac(gib=None)
    machine.commands[VM_STAT] = Ran((), 1)
    found = look(machine)
    assert found["hw-memory"].says == "16 GiB of memory; 16 are recommended."
    assert "os27-psutil" not in found


def test_memory_that_nobody_tells_is_a_warning(look: Looker) -> None:
    machine = mac("sysctl/m1-pro", gib=None)
    machine.commands[VM_STAT] = Ran((), 1)
    assert look(machine)["hw-memory"].verdict is Verdict.WARN


def test_8_gib_are_enough_and_few(look: Looker) -> None:
    found = look(mac(gib=8))["mem-8gb"]
    assert found.verdict is Verdict.WARN
    assert found.says.startswith("8 GiB of memory; 16 are recommended")


def test_less_than_the_minimum_is_blocked_with_the_way_round(look: Looker) -> None:
    found = look(mac(gib=4))["mem-low"]
    assert found.verdict is Verdict.BLOCKED
    assert found.says == "4 GiB of memory; 8 are required, 16 are recommended."
    assert found.fix
    assert found.fix.command == ours("all", "--set", "machine.memory_gib_min=4")


def test_the_way_round_leads_through(tmp_path: Path) -> None:
    ctx = context(mac(gib=4), tmp_path)
    ctx = replace(ctx, manifest=load_manifest("sdxl-turbo", ("machine.memory_gib_min=4",)))
    found = {finding.id: finding.verdict for finding in hardware.check_hardware(ctx, plan())}
    assert found["mem-8gb"] is Verdict.WARN


def test_what_linux_keeps_for_itself_is_forgiven(look: Looker) -> None:
    assert look(linux(15.4))["hw-memory"].verdict is Verdict.OK
    assert look(linux(7.6))["mem-8gb"].verdict is Verdict.WARN


def test_pressure_is_told_with_the_swap(look: Looker) -> None:
    machine = mac()
    machine.commands[SYSCTL] = recorded(M1_PRO) + recorded("sysctl/pressure")
    found = look(machine)["mem-pressure"]
    assert found.verdict is Verdict.WARN
    assert "under pressure now, 11.4 GiB swapped out" in found.says


def test_low_power_is_told_only_when_it_is_on(look: Looker) -> None:
    assert look(mac(pmset="pmset/m1-on"))["low-power"].verdict is Verdict.WARN
    assert look(mac(pmset="pmset/powermode-low"))["low-power"].verdict is Verdict.WARN
    for off in ("laptop-off", "intel-unknown", "powermode-high"):
        assert "low-power" not in look(mac(pmset=f"pmset/{off}"))


# -- not a Mac ------------------------------------------------------------------------------------------


def test_linux_is_a_warning_and_nothing_else(look: Looker) -> None:
    found = look(linux())
    assert list(found) == ["hw-not-mac", "hw-memory", "hw-disk"]
    assert found["hw-not-mac"].verdict is Verdict.WARN
    assert found["hw-not-mac"].says == (
        "Not a Mac (Debian GNU/Linux 12, AMD EPYC): using the CPU, expect minutes per image."
    )
    assert found["hw-not-mac"].facts["device"] == "cpu"


def test_linux_with_an_nvidia_gpu_uses_it(look: Looker) -> None:
    machine = linux(programs={"nvidia-smi": "/usr/bin/nvidia-smi"})
    machine.commands["/usr/bin/nvidia-smi -L"] = "GPU 0: NVIDIA A10G (UUID: GPU-1)\n"
    assert look(machine)["hw-not-mac"].facts["device"] == "cuda"
    machine.commands["/usr/bin/nvidia-smi -L"] = Ran((), 9, "", "couldn't communicate with the driver")
    assert look(machine)["hw-not-mac"].facts["device"] == "cpu"


def test_linux_without_psutil_reads_meminfo(look: Looker) -> None:
    found = look(linux(None))["hw-memory"]
    assert found.says == "23.5 GiB of memory, 23.1 available now; 16 are recommended."
    assert found.facts["source"] == "/proc/meminfo"


def test_an_unknown_system_is_not_stopped(look: Looker) -> None:
    found = look(FakeMachine(system="FreeBSD", arch="amd64"))
    assert found["hw-not-mac"].says.startswith("Not a Mac (FreeBSD, amd64)")
    assert found["hw-memory"].verdict is Verdict.WARN


# -- disk -----------------------------------------------------------------------------------------------


def test_too_little_disk_is_blocked_with_both_numbers(look: Looker) -> None:
    found = look(mac(disk_free=11 * GB))["disk-low"]
    assert found.verdict is Verdict.BLOCKED
    assert (
        "has 11.0 GB free; 12.1 GB are needed: 10.0 GB to write and 2.1 GB to spare. 1.1 GB are missing." in found.says
    )
    assert found.facts["needed_bytes"] == 10 * GB + 2 * GIB
    assert found.fix
    assert "--home" in found.fix.says


def test_exactly_enough_disk_is_enough(look: Looker) -> None:
    assert look(mac(disk_free=10 * GB + 2 * GIB))["hw-disk"].verdict is Verdict.OK
    assert look(mac(disk_free=10 * GB + 2 * GIB - 1))["disk-low"].verdict is Verdict.BLOCKED


def test_a_full_disk_does_not_block_what_writes_nothing(tmp_path: Path) -> None:
    found = hardware.check_disk(context(mac(disk_free=GB), tmp_path), (writer(0),))
    assert (found.id, found.verdict) == ("disk-low", Verdict.WARN)


def test_nothing_left_to_write_is_said(tmp_path: Path) -> None:
    found = hardware.check_disk(context(mac(), tmp_path), (writer(0),))
    assert found.says.endswith("; nothing large to write.")


def test_a_writer_that_cannot_tell_hides_only_its_own_number(tmp_path: Path) -> None:
    ctx = context(mac(disk_free=20 * GB), tmp_path)
    silent = failing(NetworkError("No network.", hint=ours("doctor")))
    found = hardware.check_disk(ctx, (silent, writer(7 * GB)))
    assert (found.id, found.verdict) == ("hw-disk", Verdict.WARN)
    assert "what torch will write is unknown" in found.says
    assert hardware.check_disk(ctx, (silent, writer(19 * GB))).verdict is Verdict.BLOCKED


def test_an_interruption_while_planning_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        hardware.check_disk(context(mac(), tmp_path), (failing(Interrupted("Stopped.", hint=Fix("again"))),))


def test_a_disk_that_cannot_be_asked_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = mac()

    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine, "disk_free_bytes", refuse)
    found = hardware.check_disk(context(machine, tmp_path), ())
    assert (found.id, found.verdict) == ("hw-disk", Verdict.WARN)


# -- the rehearsal --------------------------------------------------------------------------------------


def test_the_rehearsal_is_stopped_by_the_disk_only(look: Looker) -> None:
    found = look(mac("sysctl/intel", "sw_vers/intel-13.7", gib=4, disk_free=GB), rehearsal=True)
    verdicts = {name: str(finding.verdict) for name, finding in found.items()}
    assert verdicts == {"hw-intel": "warn", "os-too-old": "warn", "mem-low": "warn", "disk-low": "blocked"}


def test_the_rehearsal_does_not_recommend_the_memory_of_the_real_thing(look: Looker) -> None:
    says = look(mac(), rehearsal=True)["hw-memory"].says
    assert says == "16 GiB of memory, 8.0 available now; the rehearsal needs little."


def test_the_step_only_reads(look: Looker) -> None:
    machine = mac()
    look(machine)
    assert set(machine.ran) == {SYSCTL, SW_VERS, PMSET}
    step = hardware.hardware_step(plan())
    assert step.apply is None
    assert step.needs == ()
