"""Pages of a package index, read as wheels; which days and releases they offer. Pure.

Nightlies of one day belong together, and some days lack a package (pytorch issues 141471, 143434).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from html import unescape

from provision.system.address import file_name_of

LINK = re.compile(
    r"""<a\b([^<>]{0,400}?)\bhref\s{0,9}=\s{0,9}["']([^"'<>]{1,2000})["']([^<>]{0,2000})""", re.IGNORECASE
)
"""Everything in it is of bounded length: a page that is all `<a <a` would take hours otherwise."""
TELLS = re.compile(r"\bdata-(?:core|dist-info)-metadata\b", re.IGNORECASE)
NAME_MAX, TAGS_MAX = 255, 64
"""Letters of a wheel's name, and tags that it may stand for: of `py2.py3-none-any` there are two."""
DAY = re.compile(r"\.dev(\d{8})")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of an index: its version as it stands there, and its tags (`cp312-cp312-macosx_14_0_arm64`)."""

    name: str
    version: str
    tags: frozenset[str]
    href: str = ""
    """Where it is, as the page says it: an address, or relative to the page's own."""
    metadata: bool = False
    """Whether its METADATA can be had beside it, at its address with `.metadata` (PEP 658)."""

    @property
    def day(self) -> str:
        """The day of a nightly (`20261120`), empty for a release."""
        return day_of(self.version)


Pages = Mapping[str, list[Wheel]]
"""The wheels that an index offers, by package."""


def pinned_day(channel: str) -> str:
    """The day that a channel asks for (`nightly@20261120`, `2.16.0.dev20261120`), empty when it asks for none."""
    return channel.partition("@")[2] or day_of(channel)


def day_of(version: str) -> str:
    """The build day of a version, empty for a release."""
    found = DAY.search(version)
    return found[1] if found else ""


def parse_index_page(html: str) -> list[Wheel]:
    """The wheels of a page as PEP 503 describes it; what is no wheel is passed over."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    wheels = []
    for before, link, after in LINK.findall(html):
        filename = file_name_of(unescape(link))
        if not is_wheel_name(filename):
            continue
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        tells = TELLS.search(f"{before} {after}") is not None
        wheels.append(Wheel(name, str(version), frozenset(str(tag) for tag in tags), unescape(link), tells))
    return wheels


def is_wheel_name(filename: str) -> bool:
    """Whether a name may be a wheel's: packaging takes apart whatever it is given, a billion tags too."""
    tags = [part.count(".") + 1 for part in filename.removesuffix(".whl").split("-")[-3:]]
    return filename.endswith(".whl") and len(filename) <= NAME_MAX and math.prod(tags) <= TAGS_MAX


def usable(wheels: Iterable[Wheel], tags: Collection[str]) -> list[Wheel]:
    """The wheels that a Python with these tags can install."""
    wanted = set(tags)
    return [wheel for wheel in wheels if wheel.tags & wanted]


def days_of(pages: Pages, tags: Collection[str]) -> list[dict[str, str]]:
    """For each day on which torch has a wheel for these tags the packages' versions of that day, the newest first.

    A package that has none of a day is not in it.
    """
    from packaging.version import Version

    by_day: dict[str, dict[str, list[str]]] = {}
    for name, wheels in pages.items():
        for wheel in usable(wheels, tags):
            if wheel.day:
                by_day.setdefault(wheel.day, {}).setdefault(name, []).append(wheel.version)
    return [
        {name: max(versions, key=Version) for name, versions in by_day[day].items()}
        for day in sorted(by_day, reverse=True)
        if "torch" in by_day[day]
    ]


def newest_release(wheels: Iterable[Wheel], tags: Collection[str]) -> Wheel | None:
    """The wheel of the newest version that is no pre-release and can be installed; None without one."""
    from packaging.version import Version

    releases = [wheel for wheel in usable(wheels, tags) if not Version(wheel.version).is_prerelease]
    return max(releases, key=lambda wheel: Version(wheel.version), default=None)


def why_not(pages: Pages, tags: Collection[str], day: str) -> str:
    """In words, why a day has no set for these tags (`torchvision has no wheel of 20261121`); empty when it has one."""
    lacking = []
    for name, wheels in pages.items():
        of_day = [wheel for wheel in wheels if wheel.day == day]
        if not of_day:
            lacking.append(f"{name} has no wheel of {day}")
        elif not usable(of_day, tags):
            lacking.append(f"{name} of {day} has no wheel for this Python and system")
    return ", ".join(lacking)


def passed_over(pages: Pages, tags: Collection[str], chosen: str) -> list[str]:
    """Why each day after the chosen one was not taken, the newest first."""
    days = {wheel.day for wheels in pages.values() for wheel in wheels if wheel.day > chosen}
    return [reason for day in sorted(days, reverse=True) if (reason := why_not(pages, tags, day))]


def target_tags(python: str, macos: tuple[int, int] | None, arch: str) -> frozenset[str]:
    """The wheel tags of a target Python (`3.12`), on macOS of a version and architecture, else on this platform."""
    from packaging.tags import compatible_tags, cpython_tags, mac_platforms, platform_tags

    version = tuple(int(part) for part in python.split(".")[:2])
    platforms = list(mac_platforms(macos, arch)) if macos is not None else list(platform_tags())
    exact = cpython_tags(version, platforms=platforms)
    pure = compatible_tags(version, f"cp{version[0]}{version[1]}", platforms)
    return frozenset(str(tag) for tags in (exact, pure) for tag in tags)


def stable_pins(pages: Pages, tags: Collection[str], exact: str = "") -> tuple[str, ...] | None:
    """What to ask of the resolver for the newest stable set of an index, or that of `exact`; None without one.

    Which of them belong together, METADATA tells the resolver; they are only kept from going past this index, to
    builds for another device (PyPI has torch for CUDA where this one has it for the CPU).
    """
    from packaging.version import Version

    newest = {name: newest_release(wheels, tags) for name, wheels in pages.items()}
    torches = [wheel.version for wheel in usable(pages["torch"], tags) if exact and is_version(wheel.version, exact)]
    if exact and not torches:
        return None
    pins = {name: f"{name}<={Version(wheel.version).public}" for name, wheel in newest.items() if wheel is not None}
    if exact:
        pins["torch"] = f"torch=={max(torches, key=Version)}"
    return tuple(pins[name] for name in pages) if pins.keys() == pages.keys() else None


def is_version(version: str, wanted: str) -> bool:
    """Whether a version is the one asked for: `2.11.0` takes `2.11.0+cpu` too, as PEP 440 has it."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(f"=={wanted}").contains(version, prereleases=True)


def answers(wanted: str, version: str) -> bool:
    """Whether a torch is what a channel (`nightly`, `nightly@20261120`, `stable`) or a version asks for."""
    if "@" in wanted:
        return day_of(version) == pinned_day(wanted)
    if wanted in ("nightly", "stable"):
        return (wanted == "nightly") == bool(day_of(version))
    return is_version(version, wanted)
