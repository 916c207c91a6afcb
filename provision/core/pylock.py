"""A pylock.toml (PEP 751) as uv writes it: which files a package index offers for a set of requirements."""

from __future__ import annotations

from dataclasses import dataclass, field

from provision.system.address import file_name_of
from provision.system.strict import Unreadable, convert


@dataclass(frozen=True, slots=True)
class Offer:
    """A wheel or a source; `hashes` by algorithm, as far as the index has them."""

    name: str = ""
    url: str = ""
    path: str = ""
    size: int | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        return self.name.rpartition("/")[2] or file_name_of(self.url or self.path)


@dataclass(frozen=True, slots=True)
class Package:
    """A package at one version."""

    name: str
    version: str = ""
    wheels: list[Offer] = field(default_factory=list)
    sdist: Offer | None = None


@dataclass(frozen=True, slots=True)
class _Pylock:
    packages: list[Package] = field(default_factory=list)


def read_pylock(text: str) -> list[Package]:
    """The packages. Raises Unreadable: what an index says of a file comes through uv as it is."""
    import tomllib

    try:
        return convert(tomllib.loads(text), _Pylock).packages
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Unreadable(str(error) or "it is nested too deep") from error
