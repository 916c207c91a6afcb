"""The wheels of a bundle: where an index has each, asked of uv, and its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from provision.command import Fix, ours
from provision.core.lockfile import Lock
from provision.core.manifest import SHA256
from provision.core.pylock import Offer, read_pylock
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.bundle_source import LONG_S, PIECE_BYTES
from provision.download.web import RESUME, fetch, host_of
from provision.environment.packages import package_error
from provision.environment.resolution import Rules, compile_wheels
from provision.errors import NetworkError, PackageError
from provision.system.passing import passing_of
from provision.system.strict import Unreadable, open_file
from provision.system.target import Target


@dataclass(frozen=True, slots=True)
class Found:
    """A wheel that an index has: its name, hash, bytes where the index tells, and where it lies."""

    name: str
    sha256: str
    size: int | None
    url: str


def locked_wheels(ctx: Context, target: Target | None, lock: Lock) -> list[Found]:
    """Each wheel of a lock, by its hash; `target` is the Mac that it is for, None for this machine.

    Raises PackageError where one is no longer there, NetworkError.
    """
    wanted = {package.sha256: package for package in lock.packages}
    if built := [package.name for package in lock.packages if not package.wheel.endswith(".whl")]:
        raise PackageError(
            f"{', '.join(built[:3])} came as source, not as a wheel: a bundle cannot hold it.",
            hint=Fix("Use another ComfyUI or Python, then:", ours("bundle", "DIR")),
        )
    groups: dict[str, list[str]] = {}
    for package in lock.packages:
        groups.setdefault(package.source, []).append(f"{package.name}=={package.version}")
    found: dict[str, Found] = {}
    for index, lines in groups.items():
        found |= {each.sha256: each for each in offered(ctx, target, lines, index) if each.sha256 in wanted}
    gone = [package for sha256, package in wanted.items() if sha256 not in found]
    if gone:
        raise PackageError(
            f"{gone[0].wheel} is no longer on its index ({gone[0].source or 'the configured one'}).",
            hint=Fix("Install what is there now, then make the bundle:", ours("update", "--torch", "stable")),
        )
    return list(found.values())


def offered(
    ctx: Context, target: Target | None, lines: Sequence[str], index: str = "", *, deps: bool = False
) -> Iterator[Found]:
    """The wheels of requirements; with `deps` the best one of each, and of all that these need.

    Raises PackageError, NetworkError.
    """
    ran = compile_wheels(ctx, target, lines, Rules(index=index), *([] if deps else ["--no-deps"]))
    if not ran.ok:
        raise package_error("The bundle's packages", ran)
    try:
        packages = read_pylock(ran.out)
    except Unreadable as error:
        raise PackageError(f"uv's answer is invalid: {error}.", hint=ours("bundle", "DIR", "-v")) from error
    for each in (wheel for package in packages for wheel in (package.wheels[:1] if deps else package.wheels)):
        if SHA256.fullmatch(sha256 := each.hashes.get("sha256", "")):
            yield Found(each.filename, sha256, each.size, _place(each))


def _place(offer: Offer) -> str:
    return offer.url or Path(offer.path).as_uri()


def bring(ctx: Context, wheel: Found) -> Iterator[bytes]:
    """The bytes of a wheel. Raises PackageError, NetworkError, HubRefused."""
    if wheel.url.startswith("file:"):
        try:
            with open_file(Path(unquote(urlsplit(wheel.url).path))) as stream:
                while piece := stream.read(PIECE_BYTES):
                    yield piece
        except (OSError, Unreadable) as error:
            raise _refused(wheel, str(error)) from error
        return
    with fetch(ctx, Address(wheel.url, {}), own=True, body_s=LONG_S) as response:
        status = response.status_code
        if (passing := passing_of(status)) is not None:
            raise NetworkError(f"{host_of(wheel.url)} is busy ({status}).", hint=RESUME, passing=passing)
        if status != 200:
            raise _refused(wheel, f"{host_of(wheel.url)} answers {status}")
        try:
            yield from response.iter_content(PIECE_BYTES)
        except OSError as error:
            raise NetworkError(f"{host_of(wheel.url)} stopped sending {wheel.name}.", hint=RESUME) from error


def _refused(wheel: Found, why: str) -> PackageError:
    return PackageError(f"{wheel.name} could not be downloaded: {why}.", hint=ours("bundle", "DIR"))


def page(wheels: Mapping[str, str]) -> str:
    """The page of a folder of wheels for uv's `--find-links`: the hash of each by its name."""
    links = (
        f'<a href="{quote(name)}#sha256={sha256}">{escape(name)}</a><br>\n' for name, sha256 in sorted(wheels.items())
    )
    return f"<!DOCTYPE html>\n<html><head><title>Wheels</title></head><body>\n{''.join(links)}</body></html>\n"
