"""Reading a bundle, from a disk or a web server: nothing in it is believed before its hash is.

`SHA256SUMS` vouches for `bundle.json` and the locks, a lock for wheels, models and source. Who gives the bundle is
trusted with these lists, or the person names the digest of `SHA256SUMS`, which covers all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from provision.command import Fix, ours, program
from provision.core.bundle import (
    ABOUT,
    ABOUT_BYTES,
    BEFORE,
    FORMAT,
    SUMS,
    SUMS_BYTES,
    About,
    Bundle,
    BundledFile,
    check_names,
    parse_sums,
)
from provision.core.events import Work
from provision.core.lockfile import MAX_BYTES, Lock, parse_lock
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.retry import until_interrupted
from provision.download.web import RESUME, fetch, host_of
from provision.errors import BundleError, NetworkError
from provision.system.bounded_http import body_of
from provision.system.disk_errors import unusable
from provision.system.passing import passing_of
from provision.system.strict import Unreadable, decode, open_file, read_file, why_not

PIECE_BYTES = 1 << 20
LONG_S = 3600.0
AGAIN = ours("bundle", "DIR")


def open_bundle(ctx: Context, place: str, digest: str = "") -> Bundle:
    """The bundle at a folder or an address, its lists verified; `digest` is the sha256 that SHA256SUMS must have.

    Raises BundleError, NetworkError, HubRefused, UsageError.
    """
    is_address = place.startswith(("http://", "https://"))
    at = place.rstrip("/") if is_address else os.path.abspath(Path(place).expanduser())  # noqa: PTH100
    bundle = Bundle(at, About(FORMAT, "", ""))
    with explained(at):
        listed = _read(ctx, bundle, SUMS, SUMS_BYTES)
        if digest and hashlib.sha256(listed).hexdigest() != digest.lower():
            raise BundleError(f"{at} is not the bundle with that digest.", hint=Fix("Ask who gave you the digest."))
        sums = parse_sums(listed.decode("utf-8"))
        about = decode(_verified(ctx, bundle, ABOUT, ABOUT_BYTES, sums.get(ABOUT, "")), About)
        if about.format != FORMAT:
            raise BundleError(
                f"{at} has format {about.format}; this provision reads format {FORMAT}.",
                hint=Fix("Install the one that comes with it:", program("sh", f"{at}/kit/install.sh")),
            )
        check_names(about.files)
        if any(sums.get(path) != file.sha256 for path, file in about.files.items()):
            raise Unreadable(f"{SUMS} and {ABOUT} differ")
    return replace(bundle, about=about)


def read_lock(ctx: Context, bundle: Bundle, path: str) -> Lock:
    """One of its locks. Raises BundleError, LockError, and as `open_bundle`."""
    with explained(bundle.place):
        held = _verified(ctx, bundle, path, MAX_BYTES, _listed(bundle, path).sha256)
        return parse_lock(held.decode("utf-8"), f"{bundle.place}/{path}")


def fetch_file(ctx: Context, bundle: Bundle, path: str, to: Path) -> None:
    """Copy or download one of its files, verified. Raises BundleError, DiskFull, HomeError, and as `open_bundle`."""
    wanted = _listed(bundle, path)
    try:
        with explained(bundle.place):
            ride_out(ctx, lambda: until_interrupted(ctx.machine, lambda: _copy(ctx, bundle, path, wanted, to)))
    except BundleError:
        to.unlink(missing_ok=True)
        raise


def missing_here(bundle: Bundle) -> list[str]:
    """The files of a bundle on a disk that are not there, or have another size."""
    folder = bundle.folder
    return [
        path for path, file in bundle.about.files.items() if folder is not None and size_at(folder / path) != file.size
    ]


def size_at(path: Path) -> int:
    """The bytes of a plain file; -1 for anything else."""
    with suppress(OSError):
        if path.is_file():
            return path.stat().st_size
    return -1


@contextmanager
def explained(place: str) -> Iterator[None]:
    """What is wrong with a bundle, as BundleError."""
    try:
        yield
    except (Unreadable, UnicodeDecodeError) as error:
        raise BundleError(
            f"{place} is not a complete bundle: {error}.", hint=Fix("Check it, or make it again:", AGAIN)
        ) from error


def _listed(bundle: Bundle, path: str) -> BundledFile:
    if path not in bundle.about.files:
        raise BundleError(f"{bundle.place} has no {path}.", hint=Fix("Make it again:", AGAIN))
    return bundle.about.files[path]


def _verified(ctx: Context, bundle: Bundle, path: str, limit: int, sha256: str) -> bytes:
    held = _read(ctx, bundle, path, limit)
    if hashlib.sha256(held).hexdigest() != sha256:
        raise Unreadable(f"the sha256 of {path} is not the one in {SUMS}")
    return held


def _read(ctx: Context, bundle: Bundle, path: str, limit: int) -> bytes:
    """A small file. Raises Unreadable, NetworkError, HubRefused, UsageError."""
    if bundle.folder is None:
        return ride_out(ctx, lambda: until_interrupted(ctx.machine, lambda: _get(ctx, bundle, path, limit)))
    try:
        return read_file(bundle.folder / path, max_bytes=limit)
    except FileNotFoundError as error:
        begun = path == SUMS and (bundle.folder / BEFORE).exists()
        raise Unreadable("it was not finished" if begun else f"there is no {path}") from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({why_not(error)})") from error


def _get(ctx: Context, bundle: Bundle, path: str, limit: int) -> bytes:
    address = bundle.address(path)
    with fetch(ctx, Address(address, {}), own=True) as response:
        _check_status(response.status_code, address)
        try:
            return body_of(response, limit)
        except OSError as error:
            raise NetworkError(f"{host_of(address)} stopped sending {path}.", hint=RESUME) from error


def _check_status(status: int, address: str) -> None:
    if status == 200:
        return
    if (passing := passing_of(status)) is not None:
        raise NetworkError(f"{host_of(address)} is busy ({status}).", hint=RESUME, passing=passing)
    raise Unreadable(f"{address} answers {status}")


def _copy(ctx: Context, bundle: Bundle, path: str, wanted: BundledFile, to: Path) -> None:
    hashed, done = hashlib.sha256(), 0
    try:
        with to.open("wb") as stream:
            for piece in _pieces(ctx, bundle, path):
                ctx.machine.check_interrupted()
                done += len(piece)
                if done > wanted.size:
                    break
                hashed.update(piece)
                stream.write(piece)
                ctx.progress(path.rpartition("/")[2], done, wanted.size, kind=Work.COPY)
    except OSError as error:
        raise unusable(to, error) from error
    if done < wanted.size and bundle.folder is None:
        raise NetworkError(f"{host_of(bundle.place)} ended before {path} did.", hint=RESUME)
    if (done, hashed.hexdigest()) != (wanted.size, wanted.sha256):
        raise Unreadable(f"{path} is damaged")


def _pieces(ctx: Context, bundle: Bundle, path: str) -> Iterator[bytes]:
    """The bytes of a file. Raises Unreadable, NetworkError, HubRefused, UsageError."""
    if bundle.folder is not None:
        try:
            with open_file(bundle.folder / path) as stream:
                yield from _blocks(stream)
        except FileNotFoundError as error:
            raise Unreadable(f"there is no {path}") from error
        except OSError as error:
            raise Unreadable(f"{path} cannot be read ({why_not(error)})") from error
        return
    address = bundle.address(path)
    with fetch(ctx, Address(address, {}), own=True, body_s=LONG_S) as response:
        _check_status(response.status_code, address)
        try:
            yield from response.iter_content(PIECE_BYTES)
        except OSError as error:
            raise NetworkError(f"{host_of(address)} stopped sending {path}.", hint=RESUME) from error


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(PIECE_BYTES):
        yield block
