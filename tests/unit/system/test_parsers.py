"""Every parser against every recorded output: what it gives stands here, what was seen in tests/facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.system import parsers
from provision.system.machine import Memory
from provision.system.parsers import GIB, Chip, CommandLineTools, LinuxOs, MacOs
from tests.support.paths import FACTS

MIB = 1024**2
KEYS = {"name", "command", "machine", "code", "out", "err", "source", "note"}


@dataclass(frozen=True)
class Recording:
    name: str
    command: list[str]
    machine: str
    code: int
    out: str
    err: str
    source: str
    note: str


def recordings(file: str) -> dict[str, Recording]:
    found = [Recording(**record) for record in json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8"))]
    assert len({record.name for record in found}) == len(found), f"a name stands twice in {file}.json"
    return {record.name: record for record in found}


def expected(file: str, table: Mapping[str, object]) -> list[Any]:
    """One case for each recording; the table must name each, and nothing else."""
    found = recordings(file)
    assert found.keys() == table.keys(), f"{file}.json and the expected values differ: {found.keys() ^ table.keys()}"
    return [pytest.param(found[name], want, id=f"{file}-{name}") for name, want in table.items()]


class Refused:
    """The expected value of a text that a parser must refuse."""


def check(parse: Callable[[str], object], text: str, want: object) -> None:
    if want is Refused:
        with pytest.raises(ValueError, match=r"^This is not what .+\.$"):
            parse(text)
    else:
        assert parse(text) == want


@pytest.mark.parametrize("path", sorted(FACTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recording_says_where_it_is_from(path: Path) -> None:
    for record in json.loads(path.read_text(encoding="utf-8")):
        assert record.keys() == KEYS
        assert all(record[key] for key in ("name", "command", "machine", "source", "note"))
        assert record["out"] or record["err"]


SW_VERS: dict[str, object] = {
    "intel-10.13": MacOs("Mac OS X", (10, 13, 1), "17B48"),
    "runner-12.7": MacOs("macOS", (12, 7, 3), "21H1015"),
    "m1-pro-13.0": MacOs("macOS", (13, 0, 1), "22A400"),
    "intel-13.7": MacOs("macOS", (13, 7, 8), "22H730"),
    "m1-14.0": MacOs("macOS", (14, 0), "23A344"),
    "m1-air-14.2": MacOs("macOS", (14, 2, 1), "23C71"),
    "m4-pro-15.7": MacOs("macOS", (15, 7, 3), "24G419"),
    "m4-26.3": MacOs("macOS", (26, 3), "25D125"),
    "m3-max-26.5": MacOs("macOS", (26, 5, 1), "25F80"),
    "m5-27-beta": MacOs("macOS", (27, 0), "26A5388g"),
    "m4-27": MacOs("macOS", (27, 0), "26A428"),
    "rapid-response-13.3": MacOs("macOS", (13, 3, 1), "22E772610a"),
    "not-sw-vers": Refused,
}


@pytest.mark.parametrize(("record", "want"), expected("sw_vers", SW_VERS))
def test_sw_vers(record: Recording, want: object) -> None:
    check(parsers.parse_sw_vers, record.out, want)


def chip(name: str, family: str = "", tier: str = "", gib: int | None = None, **other: bool) -> Chip:
    traits = {"apple_silicon": True, "translated": False, "virtual": False, **other}
    return Chip(name=name, family=family, tier=tier, memory_bytes=None if gib is None else gib * GIB, **traits)


def chip_in(text: str) -> Chip:
    return parsers.parse_chip(parsers.parse_sysctl(text))


NO_CHIP = object()
CHIPS: dict[str, object] = {
    "m3-max": chip("Apple M3 Max", "M3", "Max", 36),
    "m4-max": chip("Apple M4 Max", "M4", "Max", 64),
    "m5": chip("Apple M5", "M5", "", 24),
    "rosetta-m1": chip("Apple M1", "M1", "", 16),
    "rosetta-asked": chip("Apple M1", "M1", "", 16, translated=True),
    "m2": chip("Apple M2", "M2", "", 16),
    "m1-pro": chip("Apple M1 Pro", "M1", "Pro"),
    "m1-pro-asked": chip("Apple M1 Pro", "M1", "Pro", 16),
    "m4-27": chip("Apple M4", "M4", "", 16),
    "intel": chip("Intel(R) Core(TM) i7-6700K CPU @ 4.00GHz", apple_silicon=False),
    "intel-unknown-oid": Refused,
    "nameless": chip("Apple processor"),
    "guest": NO_CHIP,
    "guest-m1": chip("Apple M1 (Virtual)", "M1", "", 8, virtual=True),
    "pressure": NO_CHIP,
}


@pytest.mark.parametrize(("record", "want"), expected("sysctl", CHIPS))
def test_the_chip(record: Recording, want: object) -> None:
    if want is NO_CHIP:
        with pytest.raises(ValueError, match=r"neither machdep\.cpu\.brand_string nor hw\.model"):
            chip_in(record.out)
    else:
        check(chip_in, record.out, want)


def test_sysctl_keeps_empty_values_and_colons_in_values() -> None:
    assert parsers.parse_sysctl(recordings("sysctl")["m5"].out)["hw.osenvironment"] == ""
    values = parsers.parse_sysctl(recordings("sysctl")["pressure"].out)
    assert values["kern.memorystatus_vm_pressure_level"] == "2"
    assert parsers.parse_swapusage(values["vm.swapusage"]) == round(11625.69 * MIB)


@pytest.mark.parametrize(
    ("name", "family", "tier"),
    [
        ("Apple M1 Ultra", "M1", "Ultra"),
        ("Apple A18 Pro", "A18", "Pro"),
        ("VirtualApple @ 2.50GHz", "", ""),
        ("Apple M12 Proton", "M12", ""),
    ],
)
def test_names_of_other_chips(name: str, family: str, tier: str) -> None:
    seen = parsers.parse_chip({"machdep.cpu.brand_string": name})
    assert (seen.family, seen.tier, seen.apple_silicon) == (family, tier, True)


SWAP: dict[str, object] = {
    "in-use": int(2743.5 * MIB),
    "none": 0,
    "not-encrypted": 0,
    "comma": int(1097.75 * MIB),
}


@pytest.mark.parametrize(("record", "want"), expected("swapusage", SWAP))
def test_swapusage(record: Recording, want: object) -> None:
    check(parsers.parse_swapusage, record.out, want)


VM_STAT: dict[str, object] = {
    "apple-silicon": (3857 + 443760 + 1075) * 16384,
    "intel": (6127229 + 628646 + 430715) * 4096,
}


@pytest.mark.parametrize(("record", "want"), expected("vm_stat", VM_STAT))
def test_vm_stat(record: Recording, want: object) -> None:
    check(parsers.parse_vm_stat, record.out, want)


PMSET: dict[str, object] = {
    "monterey-off": False,
    "laptop-off": False,
    "m1-on": True,
    "intel-unknown": None,
    "powermode-automatic": False,
    "powermode-low": True,
    "powermode-high": False,
}


@pytest.mark.parametrize(("record", "want"), expected("pmset", PMSET))
def test_pmset(record: Recording, want: object) -> None:
    check(parsers.parse_pmset, record.out, want)


XCODE: dict[str, object] = {
    "command-line-tools": CommandLineTools("ready", "/Library/Developer/CommandLineTools"),
    "xcode": CommandLineTools("ready", "/Applications/Xcode.app/Contents/Developer"),
    "missing": CommandLineTools("missing", None),
    "gone": CommandLineTools("ready", "/Library/Developer/CommandLineTools"),
    "xcrun-refuses": CommandLineTools("stale", "/Applications/Xcode.app/Contents/Developer"),
}


@pytest.mark.parametrize(("record", "want"), expected("xcode_select", XCODE))
def test_xcode_select(record: Recording, want: object) -> None:
    assert parsers.parse_xcode_select(record.code, record.out, record.err) == want


def test_xcode_select_that_never_answered_is_no_tools() -> None:
    assert parsers.parse_xcode_select(None, "", "").state == "missing"


GIT: dict[str, object] = {
    "apple-154": (2, 39, 5),
    "apple-155": (2, 50, 1),
    "homebrew": (2, 53, 0),
    "debian-12": (2, 39, 5),
    "windows": (2, 47, 1),
    "stale": "clt-stale",
    "license": "xcode-license",
    "license-old": "xcode-license",
    "missing": "clt-missing",
}


@pytest.mark.parametrize(("record", "want"), expected("git", GIT))
def test_git(record: Recording, want: object) -> None:
    trouble = parsers.parse_git_trouble(record.code, record.err)
    if isinstance(want, tuple):
        assert trouble is None
        assert parsers.parse_git_version(record.out) == want
    else:
        assert trouble == want
        check(parsers.parse_git_version, record.out, Refused)


def test_git_that_fails_in_an_unknown_way_is_not_guessed_at() -> None:
    assert parsers.parse_git_trouble(1, "dyld: Library not loaded") is None


VERSIONS: list[tuple[str, Callable[[str], object], dict[str, object]]] = [
    (
        "git_lfs",
        parsers.parse_lfs_version,
        {
            "macos": (3, 7, 1),
            "macos-27": (3, 8, 0),
            "old-intel": (1, 3, 1),
            "debian-12": (3, 3, 0),
            "missing": Refused,
        },
    ),
    (
        "wget",
        parsers.parse_wget_version,
        {"macos-14": (1, 25, 0), "macos-26": (1, 25, 0), "debian-12": (1, 21, 3), "busybox": Refused},
    ),
]


@pytest.mark.parametrize(
    ("parse", "record", "want"),
    [
        pytest.param(parse, *case.values, id=case.id)
        for file, parse, table in VERSIONS
        for case in expected(file, table)
    ],
)
def test_versions_of_tools(parse: Callable[[str], object], record: Recording, want: object) -> None:
    check(parse, record.out, want)


def test_a_version_begins_with_a_number() -> None:
    assert parsers.parse_version(" 14.5\n") == (14, 5)
    assert parsers.parse_version("2.16.0.dev20261101") == (2, 16, 0)
    with pytest.raises(ValueError, match="'latest' is not a version"):
        parsers.parse_version("latest")


LINUX: dict[str, tuple[Callable[[str], object], object]] = {
    "meminfo": (parsers.parse_meminfo, Memory(24684092 * 1024, 24235180 * 1024)),
    "os-release-debian": (parsers.parse_os_release, LinuxOs("Debian GNU/Linux", "12")),
    "os-release-arch": (parsers.parse_os_release, LinuxOs("Arch Linux", "")),
    "cpuinfo-x86": (parsers.parse_cpuinfo, "AMD EPYC"),
    "cpuinfo-arm": (parsers.parse_cpuinfo, None),
}


@pytest.mark.parametrize(("record", "want"), expected("linux", LINUX))
def test_linux(record: Recording, want: tuple[Callable[[str], object], object]) -> None:
    parse, value = want
    check(parse, record.out, value)


def test_a_kernel_that_does_not_say_what_is_available() -> None:
    assert parsers.parse_meminfo("MemTotal:  1024 kB\nMemFree:  512 kB\n") == Memory(MIB, None)


PARSERS: tuple[Callable[[str], object], ...] = (
    parsers.parse_sw_vers,
    parsers.parse_sysctl,
    parsers.parse_vm_stat,
    parsers.parse_swapusage,
    parsers.parse_pmset,
    parsers.parse_git_version,
    parsers.parse_lfs_version,
    parsers.parse_wget_version,
    parsers.parse_meminfo,
    parsers.parse_os_release,
)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@pytest.mark.parametrize("text", ["", "\n", "command not found", "<html>\n<p>Not found</p>"])
def test_a_stranger_is_refused_with_a_sentence(parse: Callable[[str], object], text: str) -> None:
    check(parse, text, Refused)


RECORDED = [record.out for path in sorted(FACTS.glob("*.json")) for record in recordings(path.stem).values()]


@settings(deadline=None)
@given(text=st.sampled_from(RECORDED) | st.text(), cut=st.integers(0, 200), junk=st.text(max_size=20))
def test_no_parser_fails_in_another_way_than_it_says(text: str, cut: int, junk: str) -> None:
    torn = text[:cut] + junk + text[cut + len(junk) :]
    for parse in (*PARSERS, parsers.parse_cpuinfo, chip_in):
        try:
            parse(torn)
        except ValueError as error:
            said = str(error)
        else:
            said = "Nothing."
        assert said.endswith(".")


def test_facts_are_plain_values() -> None:
    seen = parsers.parse_sw_vers(recordings("sw_vers")["m4-27"].out)
    assert asdict(seen) == {"name": "macOS", "version": (27, 0), "build": "26A428"}
    with pytest.raises(AttributeError):
        seen.build = "0"  # type: ignore[misc]
