"""Pairs of torch, macOS and chip that are known to compute wrong: data with its sources, and the judgement.

The data is `manifests/known-bad.toml`; it is asked before torch is downloaded, and of what is installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.command import Fix, ours, program
from provision.core.manifest import KNOWN_BAD, manifest_folder
from provision.core.strict_loader import build
from provision.errors import ManifestError
from provision.system.mac import read_chip, read_macos, read_sysctl
from provision.system.machine import Machine
from provision.system.parsers import Version
from provision.system.strict import read_toml

VERDICTS = ("refuse", "warn")
UPDATES = program("softwareupdate", "--list")
HINT = ours("manifests")


@dataclass(frozen=True, slots=True)
class Pair:
    """A range of torch on a range of macOS, on some families of chips (none named: on all), and what it looks like."""

    torch: str
    verdict: str
    looks: str
    source: str
    macos: str = ""
    chips: tuple[str, ...] = ()
    torch_cure: str = ""
    """A torch that is right there, where it is no newer one."""
    macos_cure: str = ""
    """The macOS from which on the same torch is right."""

    @property
    def cure(self) -> Fix:
        """What mends it: a newer torch, where the table names nothing else."""
        if self.torch_cure:
            also = f", as is macOS {self.macos_cure} or later" if self.macos_cure else ""
            return Fix(f"torch {self.torch_cure} is right there{also}.", ours("all", "--torch", self.torch_cure))
        if self.macos_cure:
            return Fix(f"macOS {self.macos_cure} and later are right. See what is offered:", UPDATES)
        return Fix("A newer torch.", ours("all", "--torch", "stable"))


@dataclass(frozen=True, slots=True)
class Limit:
    """How many values an operation may have on a Mac's GPU: from so many on it `looks` like that, by its source."""

    values: int
    looks: str
    source: str


@dataclass(frozen=True, slots=True)
class _Table:
    schema: int
    pairs: tuple[Pair, ...]
    attention: Limit | None = None


@dataclass(frozen=True, slots=True)
class Mac:
    """What a pair is about: macOS's version and the chip's family (`M5`), which nobody may know."""

    macos: Version
    chip: str = ""


def read_known_bad(path: Path | None = None) -> tuple[Pair, ...]:
    """The pairs of the table that comes with the tool, or of another. Raises ManifestError with what is wrong in it."""
    return _read(path).pairs


def read_attention_limit() -> Limit:
    """How many values one attention matrix may have. Raises ManifestError."""
    limit = _read(None).attention
    if limit is None:
        raise ManifestError(f"{KNOWN_BAD}.toml has no limit of attention.", hint=HINT)
    return limit


def _read(path: Path | None) -> _Table:
    path = path or manifest_folder() / f"{KNOWN_BAD}.toml"
    try:
        table = build(_Table, read_toml(path))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read: {error}.", hint=HINT) from error
    if table.schema != 1:
        raise ManifestError(f"{path}: schema is {table.schema}; this tool reads schema 1.", hint=HINT)
    for place, pair in enumerate(table.pairs):
        _check(pair, f"{path}: pairs.{place}")
    return table


def _check(pair: Pair, where: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    for key, text in (("torch", pair.torch), ("macos", pair.macos), ("torch_cure", f"=={pair.torch_cure or 0}")):
        try:
            SpecifierSet(text)
        except InvalidSpecifier as error:
            raise ManifestError(
                f"{where}.{key} is no range of versions: {text!r}.", hint=Fix("As in: >=2.9,<2.12")
            ) from error
    if pair.verdict not in VERDICTS:
        raise ManifestError(f"{where}.verdict is {pair.verdict!r}.", hint=Fix(f"Write {' or '.join(VERDICTS)}."))
    if not all((pair.torch, pair.looks, pair.source)):
        raise ManifestError(f"{where} lacks its torch, its looks or its source.", hint=HINT)


def pairs_for(pairs: Iterable[Pair], mac: Mac, torch: str) -> list[Pair]:
    """The pairs that a torch on a Mac is one of; those that are refused come first."""
    from packaging.specifiers import SpecifierSet

    macos = ".".join(map(str, mac.macos))
    found = [
        pair
        for pair in pairs
        if SpecifierSet(pair.torch).contains(torch, prereleases=True)
        and SpecifierSet(pair.macos).contains(macos, prereleases=True)
        and (not pair.chips or mac.chip in pair.chips)
    ]
    return sorted(found, key=lambda pair: VERDICTS.index(pair.verdict))


def refusal(found: Sequence[Pair], torch: str, mac: Mac) -> str:
    """Why a torch is not to be used on a Mac, as a sentence without its full stop; empty when it may be."""
    bad = next((pair for pair in found if pair.verdict == "refuse"), None)
    return says(bad, torch, mac) if bad else ""


def says(pair: Pair, torch: str, mac: Mac) -> str:
    """What is known of a pair, without its full stop."""
    where = f"macOS {'.'.join(map(str, mac.macos))}" + (f" on {mac.chip}" if mac.chip else "")
    return f"torch {torch} with {where} is known for this: {pair.looks} ({pair.source})"


def this_mac(machine: Machine) -> Mac | None:
    """What the table is about; None where this is no Mac, or its system cannot be told."""
    system = read_macos(machine) if machine.system == "Darwin" else None
    if system is None:
        return None
    chip = read_chip(read_sysctl(machine))
    return Mac(system.version, chip.family if chip else "")


def refused(machine: Machine, pins: Sequence[str]) -> str:
    """Why a set must not be installed on this machine, by its pin of torch (`torch==2.8.0`).

    Empty when it may, or where the index is to tell the version. Raises ManifestError.
    """
    torch, mac = _torch_in(pins), this_mac(machine)
    return refusal(pairs_for(read_known_bad(), mac, torch), torch, mac) if mac and torch else ""


def doubts(machine: Machine, pins: Sequence[str]) -> list[tuple[Pair, str]]:
    """What else is known of a set on this machine: the pairs that do not rule it out, each as a sentence.

    Raises ManifestError.
    """
    torch, mac = _torch_in(pins), this_mac(machine)
    found = pairs_for(read_known_bad(), mac, torch) if mac and torch else []
    return [(pair, f"{says(pair, torch, mac)}.") for pair in found if mac and pair.verdict == "warn"]


def _torch_in(pins: Sequence[str]) -> str:
    """The version that a pin of torch names; empty where the index is to tell it."""
    return next((pin.partition("==")[2] for pin in pins if pin.startswith("torch==")), "")
