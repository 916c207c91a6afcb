"""Pages of a package index, read as wheels; which versions of several packages belong together. Pure.

Nightlies of one day belong together, and some days lack a package (pytorch issues 141471, 143434).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote, urlsplit

LINK = re.compile(r"""<a\b[^>]*?href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
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


def day_of(version: str) -> str:
    """The build day of a version, empty for a release."""
    found = DAY.search(version)
    return found[1] if found else ""


def parse_index_page(html: str) -> list[Wheel]:
    """The wheels of a page as PEP 503 describes it; what is no wheel is passed over."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    wheels = []
    for link in LINK.findall(html):
        filename = unquote(urlsplit(unescape(link)).path).rsplit("/", 1)[-1]
        if not filename.endswith(".whl"):
            continue
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        wheels.append(Wheel(name, str(version), frozenset(str(tag) for tag in tags)))
    return wheels


def usable(wheels: Iterable[Wheel], tags: Collection[str]) -> list[Wheel]:
    """The wheels that a Python with these tags can install."""
    wanted = set(tags)
    return [wheel for wheel in wheels if wheel.tags & wanted]


def newest_common_day(pages: Mapping[str, Iterable[Wheel]], tags: Collection[str]) -> dict[str, str] | None:
    """For each package its version of the newest day on which all have a wheel for these tags; None without one."""
    from packaging.version import Version

    by_day: dict[str, dict[str, list[str]]] = {}
    for name, wheels in pages.items():
        for wheel in usable(wheels, tags):
            if wheel.day:
                by_day.setdefault(wheel.day, {}).setdefault(name, []).append(wheel.version)
    for day in sorted(by_day, reverse=True):
        if by_day[day].keys() == pages.keys():
            return {name: max(versions, key=Version) for name, versions in by_day[day].items()}
    return None


def missing_on_newest(pages: Mapping[str, Iterable[Wheel]], tags: Collection[str]) -> str:
    """In words, why the newest day was not taken; empty when it was."""
    days = {name: max((w.day for w in usable(wheels, tags)), default="") for name, wheels in pages.items()}
    newest = max(days.values(), default="")
    lacking = [name for name, day in days.items() if day != newest]
    return f"{', '.join(lacking)} has no wheel of {newest}" if lacking and newest else ""


def target_tags(python: str, macos: tuple[int, int] | None, arch: str) -> frozenset[str]:
    """The wheel tags of a target Python (`3.12`), on macOS of a version and architecture, else on this platform."""
    from packaging.tags import compatible_tags, cpython_tags, mac_platforms, platform_tags

    version = tuple(int(part) for part in python.split(".")[:2])
    platforms = list(mac_platforms(macos, arch)) if macos is not None else list(platform_tags())
    exact = cpython_tags(version, platforms=platforms)
    pure = compatible_tags(version, f"cp{version[0]}{version[1]}", platforms)
    return frozenset(str(tag) for tags in (exact, pure) for tag in tags)


def same_build(torch: str, torchvision: str) -> bool:
    """Whether two versions may be of one build: both releases, or both nightlies of one day."""
    return day_of(torch) == day_of(torchvision)
