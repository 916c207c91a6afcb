"""Pages of a package index, read as wheels; which versions of several packages belong together. Pure.

Nightlies of one day belong together, and some days lack a package (pytorch issues 141471, 143434).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from html import unescape

from provision.system.address import file_name_of

LINK = re.compile(r"""<a\b[^<>]{0,400}?\bhref\s{0,9}=\s{0,9}["']([^"'<>]{1,2000})["']""", re.IGNORECASE)
"""Everything in it is of bounded length: a page that is all `<a <a` would take hours otherwise."""
NAME_MAX, TAGS_MAX = 255, 64
"""Letters of a wheel's name, and tags that it may stand for: of `py2.py3-none-any` there are two."""
DAY = re.compile(r"\.dev(\d{8})")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of an index: its version as it stands there, and its tags (`cp312-cp312-macosx_14_0_arm64`)."""

    name: str
    version: str
    tags: frozenset[str]

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
    for link in LINK.findall(html):
        filename = file_name_of(unescape(link))
        if not is_wheel_name(filename):
            continue
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        wheels.append(Wheel(name, str(version), frozenset(str(tag) for tag in tags)))
    return wheels


def is_wheel_name(filename: str) -> bool:
    """Whether a name may be a wheel's: packaging takes apart whatever it is given, a billion tags too."""
    tags = [part.count(".") + 1 for part in filename.removesuffix(".whl").split("-")[-3:]]
    return filename.endswith(".whl") and len(filename) <= NAME_MAX and math.prod(tags) <= TAGS_MAX


def usable(wheels: Iterable[Wheel], tags: Collection[str]) -> list[Wheel]:
    """The wheels that a Python with these tags can install."""
    wanted = set(tags)
    return [wheel for wheel in wheels if wheel.tags & wanted]


def whole_days(pages: Pages, tags: Collection[str]) -> list[dict[str, str]]:
    """For each day on which all packages have a wheel for these tags their versions, the newest day first."""
    from packaging.version import Version

    by_day: dict[str, dict[str, list[str]]] = {}
    for name, wheels in pages.items():
        for wheel in usable(wheels, tags):
            if wheel.day:
                by_day.setdefault(wheel.day, {}).setdefault(name, []).append(wheel.version)
    return [
        {name: max(versions, key=Version) for name, versions in by_day[day].items()}
        for day in sorted(by_day, reverse=True)
        if by_day[day].keys() == pages.keys()
    ]


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

    torch is pinned. torchaudio names no torch, so it is the one of torch's own number. Which torchvision fits, its
    metadata tells the resolver; it is only kept from going past this index, to one that was built for another torch.
    """
    from packaging.version import Version

    offers = {name: {Version(wheel.version) for wheel in usable(wheels, tags)} for name, wheels in pages.items()}
    audio = {version.public: version for version in sorted(offers.get("torchaudio", ()))}
    torches = [
        version
        for version in offers["torch"]
        if (is_version(str(version), exact) if exact else not version.is_prerelease)
        and ("torchaudio" not in pages or version.public in audio)
    ]
    visions = [version for version in offers["torchvision"] if not version.is_prerelease]
    if not torches or not visions:
        return None
    torch = max(torches)
    pins = (f"torch=={torch}", f"torchvision<={max(visions).public}")
    return (*pins, f"torchaudio=={audio[torch.public]}") if audio else pins


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


def vision_mismatch(torch: str, vision: str | None, metadata: str) -> str:
    """Why an installed torchvision does not belong to the torch, as a sentence; empty when it does.

    `metadata` is the text of torchvision's METADATA, which names the torch that it needs.
    """
    if vision is None:
        return "torchvision is missing"
    if day_of(torch) != day_of(vision):
        return f"torchvision {vision} is not of the same build day as torch {torch}"
    builds = {version.partition("+")[2] for version in (torch, vision)} - {""}
    if len(builds) > 1:
        return f"torchvision {vision} is built for another device than torch {torch}"
    needed = required_torch(metadata)
    if needed and not _accepts(needed, torch):
        return f"torchvision {vision} needs torch{needed}, and torch {torch} is here"
    return ""


def audio_mismatch(torch: str, audio: str) -> str:
    """Why an installed torchaudio does not belong to the torch, as a sentence; empty when it does."""
    if day_of(torch) != day_of(audio):
        return f"torchaudio {audio} is not of the same build day as torch {torch}"
    if not day_of(torch) and torch.split(".")[:2] != audio.split(".")[:2]:
        return f"torchaudio {audio} is made for torch {audio.partition('+')[0]}, and torch {torch} is here"
    return ""


def required_torch(metadata: str) -> str:
    """The versions of torch that a package's METADATA asks for (`==2.11.0`); empty when it does not say."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in metadata.splitlines():
        key, _, value = line.partition(":")
        if key.lower() != "requires-dist":
            continue
        try:
            needed = Requirement(value.strip())
        except InvalidRequirement:
            continue
        if needed.name.lower() == "torch":
            return str(needed.specifier)
    return ""


def _accepts(specifier: str, version: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)
