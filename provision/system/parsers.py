"""Pure parsers: what a system program printed, as a small value.

A parser raises ValueError with a sentence when the text is not what that program prints; it returns None only where
"absent" is an answer. tests/facts holds recorded outputs of each program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from provision.system.machine import Memory

KIB = 1024
GIB = 1024**3

Version = tuple[int, ...]
ToolsState = Literal["ready", "missing", "stale"]
GitTrouble = Literal["clt-missing", "clt-stale", "xcode-license"]

_SUFFIXES = {"": 1, "K": KIB, "M": 1024**2, "G": GIB, "T": 1024**4}
_LOCALE_NUMBER = r"(\d+(?:[.,]\d+)?)([KMGT]?)"  # sysctl follows LC_NUMERIC: a comma is a decimal point

SIZE = r"\d{1,9}(?:\.\d{1,9})? ?(?:[KMG]?i?B|bytes)"
"""A size as uv (`83.4MiB`) and git (`4.50 MiB`) write it."""


def parse_size(text: str) -> int:
    """The bytes of a `SIZE`."""
    number, unit = re.findall(r"[\d.]+|[A-Za-z]+", text)
    return int(float(number) * (1024 if "i" in unit else 1000) ** "BKMG".index(unit[0].upper()))


def _refuse(program: str, text: str) -> ValueError:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    seen = f"it starts with {first[:80]!r}" if first else "it is empty"
    return ValueError(f"This is not what {program} prints: {seen}.")


def parse_version(text: str) -> Version:
    """The leading numbers of a version: `14.5` -> (14, 5), `2.47.1.windows.2` -> (2, 47, 1). Raises ValueError."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    if not found:
        raise ValueError(f"{text.strip()[:40]!r} is not a version: it does not begin with a number.")
    return tuple(int(part) for part in found[0].split("."))


def _version_after(pattern: str, program: str, text: str) -> Version:
    found = re.search(rf"(?m)^{pattern}(\d+(?:\.\d+)*)", text)
    if not found:
        raise _refuse(program, text)
    return parse_version(found[1])


@dataclass(frozen=True, slots=True)
class MacOs:
    """The system's name (`macOS`; `Mac OS X` before 11), version and build."""

    name: str
    version: Version
    build: str


def parse_sw_vers(text: str) -> MacOs:
    """What `sw_vers` prints; a `ProductVersionExtra` line (rapid security responses) is ignored."""
    rows = {key.strip(): value.strip() for key, colon, value in (x.partition(":") for x in text.splitlines()) if colon}
    try:
        return MacOs(rows["ProductName"], parse_version(rows["ProductVersion"]), rows["BuildVersion"])
    except (KeyError, ValueError) as error:
        raise _refuse("sw_vers", text) from error


def parse_sysctl(text: str) -> Mapping[str, str]:
    """`name: value` lines of `sysctl NAME…`; a name that this machine lacks is missing from the result."""
    found = re.findall(r"(?m)^([A-Za-z_][\w.-]*\.[\w.-]+):[ \t]*(.*?)[ \t]*$", text)
    if not found:
        raise _refuse("sysctl", text)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Chip:
    """The processor: `Apple M1 Pro` is family `M1`, tier `Pro`, which are empty where the name has neither.

    `translated`: the process that asked runs under Rosetta. `virtual`: this Mac is a guest. `memory_bytes` is None
    when `hw.memsize` was not among the values.
    """

    name: str
    family: str
    tier: str
    apple_silicon: bool
    translated: bool
    memory_bytes: int | None
    virtual: bool


def parse_chip(values: Mapping[str, str]) -> Chip:
    """The chip, from what `parse_sysctl` gave.

    `hw.optional.arm64` decides where it is there: it is 1 under Rosetta too, where `uname -m` says x86_64;
    Intel Macs do not have it. Raises ValueError when neither the brand string nor `hw.model` is given.
    """
    model = values.get("hw.model", "")
    name = values.get("machdep.cpu.brand_string", "") or model
    if not name:
        raise ValueError("sysctl reported neither machdep.cpu.brand_string nor hw.model.")
    known = re.match(r"Apple ([AM]\d+)(?: (Pro|Max|Ultra)\b)?", name)
    memory = values.get("hw.memsize", "")
    return Chip(
        name=name,
        family=known[1] if known else "",
        tier=(known[2] or "") if known else "",
        apple_silicon=values.get("hw.optional.arm64") == "1" or name.startswith(("Apple", "VirtualApple")),
        translated=values.get("sysctl.proc_translated") == "1",
        memory_bytes=int(memory) if memory.isdecimal() else None,
        virtual=values.get("kern.hv_vmm_present") == "1" or model.startswith("VirtualMac") or "(Virtual)" in name,
    )


def parse_vm_stat(text: str) -> int:
    """Bytes of memory that are available, from `vm_stat`: free, speculative and inactive, as psutil counts on macOS.

    A page is 16 KiB on Apple silicon and 4 KiB on Intel, as the first line says; "free" excludes speculative pages.
    """
    size = re.search(r"page size of (\d+) bytes", text)
    rows = dict(re.findall(r"(?m)^Pages (free|speculative|inactive):\s+(\d+)\.", text))
    if size is None or len(rows) < 3:
        raise _refuse("vm_stat", text)
    return sum(map(int, rows.values())) * int(size[1])


def parse_swapusage(text: str) -> int:
    """Bytes in use: `total = 3072.00M  used = 2280.94M  free = 791.06M  (encrypted)`, with or without the name."""
    found = re.search(rf"\bused = {_LOCALE_NUMBER}\b", text)
    if found is None:
        raise _refuse("sysctl vm.swapusage", text)
    return round(float(found[1].replace(",", ".")) * _SUFFIXES[found[2]])


def parse_pmset(text: str) -> bool | None:
    """Whether Low Power Mode is on, from `pmset -g`; None on Macs that have no such setting.

    It is `lowpowermode` (0, 1) on some Macs, and `powermode` (0 automatic, 1 low, 2 high) on others.
    """
    _, found, now = text.partition("Currently in use:")
    if not found:
        raise _refuse("pmset -g", text)
    modes = re.findall(r"(?m)^\s*(?:low)?powermode\s+(\d+)", now)
    return "1" in modes if modes else None


@dataclass(frozen=True, slots=True)
class CommandLineTools:
    """Apple's developer tools. `path` is the active developer directory, None when there is none."""

    state: ToolsState
    path: str | None


def parse_xcode_select(code: int | None, out: str, err: str) -> CommandLineTools:
    """What `xcode-select -p` said.

    It prints its path even when nothing is left there (after an upgrade of macOS, or with Xcode deleted): "ready"
    holds only while `usr/bin/xcrun` exists below it, which the caller must check.
    """
    path = out.strip()
    if parse_git_trouble(code, err) == "clt-stale":
        found = re.search(r"developer path \(\"?([^\")]+)", err)
        return CommandLineTools("stale", found[1] if found else path or None)
    if code == 0 and path.startswith("/"):
        return CommandLineTools("ready", path)
    if code != 0:
        return CommandLineTools("missing", None)
    raise _refuse("xcode-select -p", out)


def parse_git_trouble(code: int | None, err: str) -> GitTrouble | None:
    """Why Apple's `git` (a stub before the real one) failed; None when it is not one of its three ways."""
    if code == 0:
        return None
    if code == 69 or re.search(r"not agreed to the Xcode|Agreeing to the Xcode", err):
        return "xcode-license"
    if re.search(r"invalid active developer path|active developer path \(.*\) does not exist", err):
        return "clt-stale"
    if re.search(r"(?i)no developer tools were found|unable to get active developer directory", err):
        return "clt-missing"
    return None


def parse_git_version(text: str) -> Version:
    """`git version 2.39.5 (Apple Git-154)` -> (2, 39, 5)."""
    return _version_after("git version ", "git --version", text)


def parse_lfs_version(text: str) -> Version:
    """`git-lfs/3.7.1 (GitHub; darwin arm64; go 1.25.3)` -> (3, 7, 1)."""
    return _version_after("git-lfs/", "git lfs version", text)


def parse_wget_version(text: str) -> Version:
    """`GNU Wget 1.25.0 built on darwin23.6.0.` -> (1, 25, 0); Wget2 is taken too, BusyBox is not."""
    return _version_after("GNU Wget2? ", "wget --version", text)


def parse_meminfo(text: str) -> Memory:
    """`/proc/meminfo`, whose kB are KiB; kernels before 3.14 do not say what is available."""
    rows = {name: int(count) * KIB for name, count in re.findall(r"(?m)^(\w+):\s+(\d+) kB$", text)}
    if "MemTotal" not in rows:
        raise _refuse("/proc/meminfo", text)
    return Memory(rows["MemTotal"], rows.get("MemAvailable"))


@dataclass(frozen=True, slots=True)
class LinuxOs:
    """A distribution: `Debian GNU/Linux`, `12`; the version is empty for rolling ones."""

    name: str
    version: str


def parse_os_release(text: str) -> LinuxOs:
    """`/etc/os-release`: shell assignments, per os-release(5)."""
    rows: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith("#"):
            try:
                rows[key.strip()] = " ".join(shlex.split(value))
            except ValueError as error:
                raise _refuse("/etc/os-release", line) from error
    if "NAME" not in rows:
        raise _refuse("/etc/os-release", text)
    return LinuxOs(rows["NAME"], rows.get("VERSION_ID", ""))


def parse_cpuinfo(text: str) -> str | None:
    """The model name in `/proc/cpuinfo`; None where the kernel gives none (most ARM machines)."""
    found = re.search(r"(?m)^model name\s*:\s*(\S.*?)\s*$", text)
    return found[1] if found else None
