"""The machine itself, against the manifest and what the plan will write: chip, system, memory, disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provision.command import Fix, ours, program
from provision.core.finding import JSON, Finding, Kind
from provision.core.step import Context, Step, planned_disk_bytes
from provision.errors import CommandMissing, Interrupted, ProvisionError
from provision.steps.hardware import kinds
from provision.steps.python_env import kinds as python_env_kinds
from provision.system import parsers
from provision.system.disk_errors import PLUG_IN, WRITABLE
from provision.system.disk_state import is_read_only, why_absent
from provision.system.mac import SW_VERS as SW_VERS
from provision.system.mac import SYSCTL as SYSCTL
from provision.system.mac import read_chip, read_macos, read_sysctl
from provision.system.own_environment import how_to_install_anew, is_for_intel_alone
from provision.system.parsers import GIB, KIB, Chip

AIR_BYTES = 2 * GIB
"""What stays free beside the plan: a full disk harms more than this install."""
NOMINAL = 0.93
"""A Linux kernel does not count what it keeps for itself: 15.5 GiB of "16"."""
PSUTIL_BREAKS_AT = (27,)
REAL_GB = 8
"""What torch, ComfyUI's packages and the model come to."""
VM_STAT = ("/usr/bin/vm_stat",)
PMSET = ("/usr/bin/pmset", "-g")
PRESSURES = {"2": "under pressure", "4": "under critical pressure"}


def check_hardware(ctx: Context, writers: Sequence[Step]) -> Iterable[Finding]:
    """Is this machine one that the manifest's model runs on, and is there room for what the plan writes?"""
    yield from check_machine(ctx)
    yield check_disk(ctx, writers)


def check_machine(ctx: Context) -> Iterable[Finding]:
    """Chip, system and memory, here or as they are told of another machine."""
    if ctx.machine.system == "Darwin":
        yield from _check_mac(ctx)
    else:
        yield _not_a_mac(ctx)
        yield _judge_memory(ctx, _read_linux_memory(ctx))


def _bar(ctx: Context, kind: Kind) -> Callable[..., Finding]:
    """What stops the real thing only warns the rehearsal, whose weights fit any machine."""
    return kind.warn if ctx.options.rehearsal else kind.blocked


def _said(ctx: Context, argv: Sequence[str]) -> str:
    """What a system program printed; nothing when it does not exist."""
    try:
        return ctx.machine.run(argv, timeout_s=10).out
    except CommandMissing:
        return ""


# -- a Mac ----------------------------------------------------------------------------------------------


def _check_mac(ctx: Context) -> Iterable[Finding]:
    values = read_sysctl(ctx.machine)
    chip = read_chip(values)
    system = read_macos(ctx.machine)
    yield _judge_chip(ctx, chip, values.get("hw.model", ""))
    if chip and chip.virtual and not ctx.options.rehearsal:
        yield kinds.HW_GUEST.warn(
            "virtual machine",
            "torch seldom sees the GPU in a virtual machine, and the CPU takes minutes per image. That is known only"
            f" after the download of about {REAL_GB} GB.",
            fix=Fix("Run it on the Mac itself."),
        )
    if chip and chip.apple_silicon and (chip.translated or ctx.machine.arch == "x86_64"):
        yield python_env_kinds.PY_ROSETTA.warn(
            "this process",
            "provision itself runs under Rosetta, as an Intel program; ComfyUI still gets a Python for Apple silicon.",
            fix=_out_of_rosetta(),
        )
    yield _judge_macos(ctx, system)
    memory = _read_mac_memory(ctx, chip)
    yield _judge_memory(ctx, memory)
    if system and system.version >= PSUTIL_BREAKS_AT and memory.source != "psutil":
        yield kinds.OS27_PSUTIL.warn(
            "psutil",
            f"psutil cannot read the memory of macOS {_dotted(system.version)}; "
            f"{memory.source or 'nothing else'} was used instead. ComfyUI may fail in the same way.",
        )
    yield from _judge_pressure(values)
    if _low_power(ctx):
        yield kinds.LOW_POWER.warn(
            "power",
            "Low Power Mode is on: images take longer.",
            fix=Fix("Turn it off in System Settings, Battery.", program("sudo", "pmset", "-a", "lowpowermode", "0")),
        )


def _low_power(ctx: Context) -> bool:
    try:
        return parsers.parse_pmset(_said(ctx, PMSET)) is True
    except ValueError:
        return False


def _judge_chip(ctx: Context, chip: Chip | None, model: str) -> Finding:
    if chip is None:
        return kinds.HW_CHIP.warn("chip", "sysctl does not report the chip of this Mac.")
    seen = {
        "chip": chip.name,
        "family": chip.family,
        "tier": chip.tier,
        "model": model,
        "virtual": chip.virtual,
        "memory_bytes": chip.memory_bytes,
    }
    if not chip.apple_silicon:
        return _bar(ctx, kinds.HW_INTEL)(
            "chip",
            f"This is an Intel Mac ({chip.name}): its last torch is 2.2.2, "
            "too old for ComfyUI. Apple silicon (M1 or later) or Linux is required.",
            fix=Fix("Try it with small local stand-ins.", ours("all", "--rehearse")),
            facts=seen,
        )
    where = f" in a {model}" if model and not chip.virtual else " (a virtual machine)" if chip.virtual else ""
    return kinds.HW_CHIP.ok("chip", f"{chip.name}{where}, Apple silicon.", facts=seen)


def _out_of_rosetta() -> Fix:
    """Another terminal, where this Python is for Apple silicon too; else another Python for the tool."""
    if is_for_intel_alone(Path(sys.executable)):
        says = "Its Python is for Intel alone. In a terminal that was not opened with Rosetta, install provision again:"
        return Fix(says, how_to_install_anew())
    return Fix("Use a terminal that was not opened with Rosetta.", ours("all", under=("arch", "-arm64")))


def _judge_macos(ctx: Context, system: parsers.MacOs | None) -> Finding:
    needed = ctx.manifest.machine.macos_min
    if system is None:
        return kinds.HW_OS.warn("macOS", f"sw_vers does not report the version of macOS; {needed} is required.")
    seen = _dotted(system.version)
    if _padded(system.version) >= _padded(parsers.parse_version(needed)):
        says = f"{system.name} {seen} ({system.build}); {needed} or later is required."
        return kinds.HW_OS.ok("macOS", says, facts={"version": seen, "build": system.build})
    return _bar(ctx, kinds.OS_TOO_OLD)(
        "macOS",
        f"This is {system.name} {seen}; {needed} or later is needed: current torch does not support older systems.",
        fix=Fix(
            f"Update in System Settings, General, Software Update; to try anyway, add --set machine.macos_min={seen}.",
            program("softwareupdate", "--list"),
        ),
        facts={"version": seen, "needed": needed},
    )


def _dotted(version: parsers.Version) -> str:
    return ".".join(map(str, version))


def _padded(version: parsers.Version) -> parsers.Version:
    return (*version, 0, 0, 0)[:3]


def _judge_pressure(values: Mapping[str, str]) -> Iterable[Finding]:
    pressure = PRESSURES.get(values.get("kern.memorystatus_vm_pressure_level", ""))
    if pressure is None:
        return
    try:
        swapped = parsers.parse_swapusage(values.get("vm.swapusage", ""))
    except ValueError:
        swapped = 0
    swap = f", {swapped / GIB:.1f} GiB swapped out" if swapped else ""
    yield kinds.MEM_PRESSURE.warn(
        "memory",
        f"Memory is {pressure} now{swap}: the first image may take minutes.",
        fix=Fix("Close what you do not need, browsers and other models first."),
        facts={"swap_used_bytes": swapped},
    )


# -- not a Mac ------------------------------------------------------------------------------------------


def _not_a_mac(ctx: Context) -> Finding:
    machine = ctx.machine
    try:
        release = parsers.parse_os_release(machine.read_text("/etc/os-release") or "")
        system = f"{release.name} {release.version}".strip()
    except ValueError:
        system = machine.system or "an unknown system"
    processor = parsers.parse_cpuinfo(machine.read_text("/proc/cpuinfo") or "") or machine.arch
    cuda = _sees_nvidia(ctx)
    used = "using its Nvidia GPU (CUDA)" if cuda else "using the CPU, expect minutes per image"
    if ctx.options.rehearsal:
        used = "fine for a rehearsal"
    says = f"Not a Mac ({system}, {processor}): {used}."
    return kinds.HW_NOT_MAC.warn(
        "system", says, facts={"system": system, "chip": processor, "device": "cuda" if cuda else "cpu"}
    )


def _sees_nvidia(ctx: Context) -> bool:
    smi = ctx.machine.which("nvidia-smi")
    return smi is not None and "GPU 0" in _said(ctx, (str(smi), "-L"))


# -- memory ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    """Memory in bytes, None for what nobody told, and who told it."""

    total_bytes: int | None
    available_bytes: int | None
    source: str


def _read_mac_memory(ctx: Context, chip: Chip | None) -> _Seen:
    memory = ctx.machine.memory()
    if memory is not None:
        return _Seen(memory.total_bytes, memory.available_bytes, "psutil")
    total = chip.memory_bytes if chip else None
    try:
        available: int | None = parsers.parse_vm_stat(_said(ctx, VM_STAT))
    except ValueError:
        available = None
    return _Seen(total, available, "sysctl" if total else "")


def _read_linux_memory(ctx: Context) -> _Seen:
    memory = ctx.machine.memory()
    if memory is not None:
        return _Seen(memory.total_bytes, memory.available_bytes, "psutil")
    try:
        told = parsers.parse_meminfo(ctx.machine.read_text("/proc/meminfo") or "")
    except ValueError:
        return _Seen(None, None, "")
    return _Seen(told.total_bytes, told.available_bytes, "/proc/meminfo")


def _judge_memory(ctx: Context, memory: _Seen) -> Finding:
    needs = ctx.manifest.machine
    if memory.total_bytes is None:
        says = f"The amount of memory is unknown; {needs.memory_gib_min} GiB are required."
        return kinds.HW_MEMORY.warn("memory", says)
    total = memory.total_bytes
    seen = {"total_bytes": total, "available_bytes": memory.available_bytes, "source": memory.source}
    gib = f"{total / GIB:.0f}" if total % GIB == 0 else f"{total / GIB:.1f}"
    if total < needs.memory_gib_min * GIB * NOMINAL:
        return _bar(ctx, kinds.MEM_LOW)(
            "memory",
            f"{gib} GiB of memory; {needs.memory_gib_min} are required, "
            f"{needs.memory_gib_recommended} are recommended.",
            fix=Fix(
                "To try anyway (slow, if it works at all), lower the minimum.",
                ours("all", "--set", f"machine.memory_gib_min={max(1, int(total / GIB))}"),
            ),
            facts=seen,
        )
    if total < needs.memory_gib_recommended * GIB * NOMINAL:
        return kinds.MEM_8GB.warn(
            "memory",
            f"{gib} GiB of memory; {needs.memory_gib_recommended} are "
            "recommended: with less the Mac swaps, and images are slow.",
            fix=Fix("Close other programs, and make one 512x512 image at a time."),
            facts=seen,
        )
    available = memory.available_bytes
    free = "" if available is None else f", {available / GIB:.1f} available now"
    wanted = f"{needs.memory_gib_recommended} are recommended"
    says = f"{gib} GiB of memory{free}; {'the rehearsal needs little' if ctx.options.rehearsal else wanted}."
    return kinds.HW_MEMORY.ok("memory", says, facts=seen)


# -- disk -----------------------------------------------------------------------------------------------


def check_disk(ctx: Context, writers: Sequence[Step]) -> Finding:
    """Is there room for what `writers` will write, and some air, on the home's volume and on an adopted install's?"""
    home = ctx.home.root
    if absent := why_absent(home):
        return kinds.HOME_GONE.blocked(str(home), absent, fix=PLUG_IN)
    if is_read_only(home):
        return kinds.HOME_READ_ONLY.blocked(str(home), f"The disk of {home} is read-only.", fix=WRITABLE)
    try:
        home = min((home, *_of_another(ctx)), key=ctx.machine.disk_free_bytes)
        free = ctx.machine.disk_free_bytes(home)
    except OSError as error:
        return kinds.HW_DISK.warn(str(home), f"The free disk space is unknown ({error.strerror}).")
    ctx.doing("adding up what will be written")
    planned, silent = _planned(ctx, writers)
    needed = planned + AIR_BYTES
    seen: dict[str, JSON] = {"free_bytes": free, "planned_bytes": planned, "needed_bytes": needed}
    if free < needed and not planned:
        says = f"Only {_gb(free)} are free on the disk of {home}; everything large is installed already."
        return kinds.DISK_LOW.warn(str(home), says, fix=_find_room(ctx), facts=seen)
    if free < needed:
        says = (
            f"The disk of {home} has {_gb(free)} free; {_gb(needed)} are needed: {_gb(planned)} to write "
            f"and {_gb(AIR_BYTES)} to spare. {_gb(needed - free)} are missing."
        )
        return kinds.DISK_LOW.blocked(str(home), says, fix=_find_room(ctx), facts=seen)
    free_here = f"{_gb(free)} are free on the disk of {home}"
    if silent:
        says = f"{free_here}; what {' and '.join(silent)} will write is unknown."
        return kinds.HW_DISK.warn(str(home), says, fix=Fix("See why.", ours("plan")), facts=seen)
    write = f"{_gb(planned)} will be written" if planned else "nothing large to write"
    return kinds.HW_DISK.ok(str(home), f"{free_here}; {write}.", facts=seen)


def _of_another(ctx: Context) -> tuple[Path, ...]:
    return () if ctx.home.adopted is None else (ctx.home.models,)


def _planned(ctx: Context, writers: Sequence[Step]) -> tuple[int, list[str]]:
    """What the writers will write, and the names of those that cannot tell (their own reports say why)."""
    planned, silent = 0, []
    for step in writers:
        try:
            planned += planned_disk_bytes(ctx, (step,))
        except Interrupted:
            raise
        except ProvisionError:
            silent.append(step.name)
    return planned, silent


def _find_room(ctx: Context) -> Fix:
    where = "System Settings, General, Storage" if ctx.machine.system == "Darwin" else "see df -h"
    says = f"Free some space ({where}), or use a folder on another disk (--home)."
    if ctx.home.state.is_dir():
        return Fix(f"{says} What provision can remove:", ours("clean"))
    return Fix(f"{says} What is large:", ours("plan"))


def _gb(size_bytes: int) -> str:
    """Decimal, as disks are sold and as Finder counts; rounded to what a person compares."""
    if size_bytes < 10**9:
        return f"{size_bytes / 10**6:.0f} MB" if size_bytes >= 10**6 else f"{size_bytes / KIB:.0f} KiB"
    return f"{size_bytes / 10**9:.1f} GB"


def hardware_step(writers: Sequence[Step]) -> Step:
    """The step, told which steps fill the disk: their findings are the plan that must fit."""
    check = partial(check_hardware, writers=writers)
    return Step("hardware", needs=(), check=check, apply=None, about="chip, system, memory, disk")
