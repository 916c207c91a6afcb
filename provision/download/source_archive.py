"""ComfyUI's source without git: the revisions that a git host lists, and the archive of one of them.

`GET URL/info/refs?service=git-upload-pack` is what git itself asks first (gitprotocol-http); it needs no API, and is
not limited as GitHub's is. `URL/archive/COMMIT.tar.gz` is the address of a commit's archive on GitHub, Gitea and
Forgejo. Its bytes may change with the host's program; what is in it does not, so that is what is compared
(`source_tree`).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.comfyui import git_remote
from provision.comfyui.archived_revisions import archive_of
from provision.comfyui.git_remote import LATEST, LISTING_BYTES, RemoteFile, Revision, choose_revision
from provision.comfyui.source_tree import BadArchive, read_archived, unpack
from provision.command import Fix
from provision.core.bundle import source_path
from provision.core.events import Progress, Work
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.bundle_source import fetch_file
from provision.download.retry import until_interrupted
from provision.download.web import RESUME, broken, fetch, host_of
from provision.errors import GitError, NetworkError, WrongFile
from provision.system.disk_errors import unusable
from provision.system.passing import passing_of
from provision.system.which_git import find_git

if TYPE_CHECKING:
    from requests import Response

ARCHIVE_BYTES = 200_000_000
"""ComfyUI's archive has 5 MB."""
LISTING_S, ARCHIVE_S = 60.0, 3600.0
PIECE_BYTES = 1 << 16
ADVERTISED = b"# service=git-upload-pack"
LINE = re.compile(rb"([0-9a-f]{40}(?:[0-9a-f]{24})?) (refs/[\x21-\x7e]{1,300})\n?")


def by_archive(ctx: Context, url: str) -> bool:
    """Whether ComfyUI comes as an archive: from a bundle, or where no git works and its address has archives."""
    if ctx.options.source is not None:
        return True
    return has_archives(url) and not find_git(ctx.machine).usable


def has_archives(url: str) -> bool:
    """Whether archives may be had from an address."""
    return url.startswith(("https://", "http://"))


def find_revision(ctx: Context, url: str, ref: str) -> Revision:
    """What `ref` is on the remote, by git or without; `latest` is the newest release tag.

    Raises GitError where the remote has no such revision, NetworkError, HubRefused, UsageError.
    """
    if not by_archive(ctx, url):
        return git_remote.find_revision(url, ref, ctx.machine.check_interrupted, environ=ctx.machine.environ)
    if git_remote.COMMIT.fullmatch(ref):
        return Revision(ref, "commit", ref)
    return choose_revision(list_refs(ctx, url), url, ref)


def read_remote_file(ctx: Context, url: str, ref: str, path: str) -> RemoteFile:
    """One file of a revision, by git or from its archive. Raises as `find_revision` and `fetch_archive`."""
    import tempfile

    if not by_archive(ctx, url):
        return git_remote.read_remote_file(url, ref, path, ctx.machine.environ)
    revision = find_revision(ctx, url, ref)
    with tempfile.TemporaryDirectory(prefix="provision-plan-", ignore_cleanup_errors=True) as folder:
        archive = Path(folder) / "source.tar.gz"
        fetch_archive(ctx, url, revision, archive)
        try:
            text, date = read_archived(archive, path)
            blobs = unpack(archive, Path(folder) / "files", revision.commit or "").blobs
        except (BadArchive, UnicodeDecodeError) as error:
            raise GitError(f"{path} of {revision.name} cannot be read: {error}.", hint=LATEST) from error
    return RemoteFile(text, revision.name, date, blobs)


def list_refs(ctx: Context, url: str) -> dict[str, str]:
    """The commits of a remote's revisions by their names (`refs/tags/v1`), asked without git.

    Raises GitError, NetworkError, HubRefused, UsageError.
    """
    response = _get(ctx, f"{url}/info/refs?service=git-upload-pack", f"{url} does not answer like a git server")
    content = b"".join(_pieces(response, LISTING_BYTES, LISTING_S))
    refs = parse_refs(content)
    if refs is None:
        raise GitError(
            f"{url} does not answer like a git server.",
            hint=Fix("A login page may be in the way: open the address in a browser."),
        )
    return refs


def parse_refs(content: bytes) -> dict[str, str] | None:
    """The list of a git server of the first protocol, in packets of four hexadecimal digits each; None for others'."""
    lines: list[bytes] = []
    at = 0
    while at + 4 <= len(content):
        try:
            size = int(content[at : at + 4], 16)
        except ValueError:
            return None
        if size in (1, 2, 3) or at + size > len(content):
            return None
        lines.append(content[at + 4 : at + size])
        at += max(size, 4)
    if at != len(content) or not lines or lines[0].rstrip() != ADVERTISED:
        return None
    found = (LINE.fullmatch(line.partition(b"\0")[0]) for line in lines)
    return {line[2].decode("ascii"): line[1].decode("ascii") for line in found if line is not None}


def archive_address(url: str, revision: Revision) -> str:
    """Where the archive of a revision is whose commit is known."""
    return f"{url.removesuffix('/').removesuffix('.git')}/archive/{revision.commit}.tar.gz"


def fetch_archive(ctx: Context, url: str, revision: Revision, to: Path) -> None:
    """Download the archive of a revision whose commit is known. What may pass is ridden out.

    Raises GitError, NetworkError, HubRefused, UsageError, WrongFile, DiskFull, HomeError, Interrupted.
    """
    if ctx.options.source is not None:
        fetch_file(ctx, ctx.options.source, source_path(str(revision.commit)), to)
        return
    address = archive_address(url, revision)
    ride_out(ctx, lambda: _download(ctx, address, revision, to))


def keep_archive(ctx: Context, revision: Revision) -> Path:
    """The archive of a revision whose commit is known, kept in the home; downloaded where it does not exist.

    Raises as `fetch_archive`.
    """
    assert revision.commit is not None
    kept = archive_of(ctx.home.state, revision.commit)
    if not kept.is_file():
        aside = kept.with_name(f".{kept.name}.{os.getpid()}")
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            fetch_archive(ctx, ctx.manifest.comfyui.url, revision, aside)
            aside.replace(kept)
        except OSError as error:
            raise unusable(kept.parent, error) from error
        finally:
            aside.unlink(missing_ok=True)
    return kept


def _download(ctx: Context, address: str, revision: Revision, to: Path) -> None:
    response = _get(ctx, address, f"{host_of(address)} has no archive of {revision.name}", ARCHIVE_S)
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    done = 0
    try:
        with to.open("wb") as stream:
            for piece in _pieces(response, ARCHIVE_BYTES, ARCHIVE_S):
                ctx.machine.check_interrupted()
                stream.write(piece)
                done += len(piece)
                ctx.emit(Progress(kind=Work.CLONE, subject="ComfyUI", done=done, total=total))
    except OSError as error:
        raise unusable(to, error) from error
    if total is not None and done < total:
        raise NetworkError(f"{host_of(address)} ended {total - done:,} bytes before the archive's end.", hint=RESUME)


def _get(ctx: Context, address: str, refused: str, body_s: float | None = None) -> Response:
    """A response that is a success. Raises GitError, which says `refused`, and as `fetch` of `web`."""
    response = until_interrupted(ctx.machine, lambda: fetch(ctx, Address(address, {}), own=True, body_s=body_s))
    status = response.status_code
    if status == 200:
        return response
    response.close()
    if (passing := passing_of(status)) is not None:
        raise NetworkError(f"{host_of(address)} is busy ({status}).", hint=RESUME, passing=passing)
    raise GitError(f"{refused} ({status}).", hint=LATEST)


def _pieces(response: Response, limit_bytes: int, limit_s: float) -> Iterator[bytes]:
    """A response's body. Raises NetworkError, WrongFile where it is larger than ever seen."""
    import urllib3

    started, done = time.monotonic(), 0
    try:
        for piece in response.iter_content(PIECE_BYTES):
            done += len(piece)
            if done > limit_bytes:
                raise WrongFile(f"{host_of(response.url)} sends more than {limit_bytes:,} bytes.", hint=LATEST)
            if time.monotonic() - started > limit_s:
                says = f"{host_of(response.url)} sends too slowly: {done:,} bytes in {limit_s:.0f} s."
                raise NetworkError(says, hint=RESUME)
            yield piece
    except (ValueError, urllib3.exceptions.HTTPError) as error:
        raise broken(response.url, error) from error
    except OSError as error:
        if isinstance(error, _of_requests()):
            raise broken(response.url, error) from error
        raise
    finally:
        with suppress(OSError):
            response.close()


def _of_requests() -> type[OSError]:
    from requests import RequestException

    return RequestException
