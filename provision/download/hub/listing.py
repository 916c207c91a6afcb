"""What a repository on the hub holds, and which of its files is the checkpoint of a precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors, SafetensorsHeader, parse_safetensors_header
from provision.command import Fix, ours
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.download.backend import Address, HubFile
from provision.download.hub.api import look_up, read_header, refusal
from provision.download.hub.mirrors import from_endpoints
from provision.download.hub.token import Token, token_to
from provision.download.retry import until_interrupted
from provision.download.web import address_from, fetch, host_of, origin_of, unreachable
from provision.errors import HubRefused, UsageError, WrongFile
from provision.system.bounded_http import json_of
from provision.system.strict import Unreadable

if TYPE_CHECKING:
    from requests import Response

LOOKED_INTO = 8
"""Headers that are read to find the one file of a precision; a repository with more checkpoints needs a choice."""
OTHER_WORDS = ("fp16", "bf16", "fp8", "lora")
"""What in its name keeps a file from being the fp32 checkpoint."""
PAGES_MAX, PAGE_MAX_BYTES = 100, 4 << 20
"""Of a list; the hub's pages have 0.3 MB."""
ENTRIES_MAX, LISTING_S = 50_000, 120.0
NAME_MAX_BYTES = 255
SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a repository, as the hub lists it; `size` is 0 where it does not tell."""

    path: str
    size: int

    @property
    def checkpoint(self) -> bool:
        """Whether it may be a whole checkpoint: safetensors, and at the top, where parts and variants are not."""
        return self.path.endswith(SUFFIX) and "/" not in self.path


def list_entries(ctx: Context, repo: str, revision: str = "main") -> list[Entry]:
    """All files of a repository (the hub's tree API). Raises HubRefused, NetworkError, Interrupted."""
    return from_endpoints(
        ctx, repo, lambda at, endpoint: until_interrupted(at.machine, lambda: _list(at, endpoint, repo, revision))
    )


@dataclass(frozen=True, slots=True)
class _Listed:
    """An entry of the hub's tree API."""

    type: str
    path: str
    size: int | None = None


def _list(ctx: Context, endpoint: str, repo: str, revision: str) -> list[Entry]:
    """Page after page, as the answers' `Link: <...>; rel="next"` tells (RFC 8288); the hub gives 1,000 files a page."""
    endpoint, token = endpoint.rstrip("/"), token_to(ctx, endpoint)
    url = f"{endpoint}/api/models/{repo}/tree/{quote(revision, safe='')}?recursive=true&expand=false"
    found: list[Entry] = []
    took_s, left_out = 0.0, 0
    for _ in range(PAGES_MAX):
        kept = token if origin_of(url) == origin_of(endpoint) else Token()
        address = Address(url, {"Authorization": f"Bearer {kept.value}"} if kept.value else {})
        files, following, seconds = ride_out(
            ctx, partial(_page, ctx, address, HubFile(endpoint, repo, revision, "", 0, ""), kept)
        )
        took_s += seconds
        named = [each for each in files if can_be_a_file(each.path)]
        left_out += len(files) - len(named)
        found += [Entry(each.path, max(0, each.size or 0)) for each in named]
        if not following:
            if left_out:
                ctx.note(f"{left_out:,} entries of {repo} are not valid file names; they were skipped.")
            return found
        url = following
        if len(found) > ENTRIES_MAX or took_s > LISTING_S:
            break
    raise HubRefused(
        f"{repo} has more than {len(found):,} files, and the list does not end.",
        hint=Fix("Name the file:", ours("download", f"{repo}/FILE")),
    )


def _page(ctx: Context, address: Address, repo: HubFile, token: Token) -> tuple[list[_Listed], str, float]:
    """The files of a page, where the next one is (empty after the last), and the seconds that it took."""
    began = ctx.machine.clock()
    with fetch(ctx, address) as response:
        if not response.ok:
            raise refusal(response, repo, token)
        files = [each for each in _read_page(response, repo.endpoint) if each.type == "file"]
        following = response.links.get("next", {}).get("url")
        url = address_from(response.url, following) if following else ""
        return files, url, ctx.machine.clock() - began


def _read_page(response: Response, endpoint: str) -> list[_Listed]:
    try:
        return json_of(response, list[_Listed], PAGE_MAX_BYTES)
    except Unreadable as error:
        raise HubRefused(
            f"{host_of(endpoint)} does not answer like a hub ({error}).",
            hint=Fix("If HF_ENDPOINT is set, unset it."),
        ) from error
    except OSError as error:
        raise unreachable(response.url, error) from error


def can_be_a_file(path: str) -> bool:
    """Whether a name from a list may be used: of visible letters, below the repository, no longer than a disk takes."""
    names = path.split("/")
    return path.isprintable() and all(
        name not in ("", ".", "..") and len(name.encode()) <= NAME_MAX_BYTES for name in names
    )


def find_checkpoint(ctx: Context, repo: str, precision: str) -> str:
    """The one checkpoint of a precision at the top of a repository: by its name, else by its header.

    Raises UsageError, naming what there is, and as `list_entries`.
    """
    tops = [entry for entry in list_entries(ctx, repo) if entry.checkpoint]
    named = [entry for entry in tops if says(entry.path, precision)]
    if len(named) == 1:
        return named[0].path
    maybe = (named or tops)[:LOOKED_INTO]
    headers = {entry.path: header for entry in maybe if (header := _header(ctx, repo, entry.path))}
    fits = [
        path for path, header in headers.items() if header.precision == precision and header.architecture != "unknown"
    ]
    if len(fits) == 1:
        ctx.note(f"No single file of {repo} has {precision} in its name; using {fits[0]}, by its header.")
        return fits[0]
    many = "more than one" if fits else "no"
    raise UsageError(
        f"{repo} has {many} {precision} checkpoint. It has: {_described(tops, headers)}.",
        hint=Fix(f"Name one, {repo}/FILE. To see them:", ours("download", repo, "--inspect")),
    )


def says(path: str, precision: str) -> bool:
    """Whether a name says the precision; for fp32, whether it says no other."""
    name = path.lower()
    return not any(word in name for word in OTHER_WORDS) if precision == "fp32" else precision in name


def _header(ctx: Context, repo: str, path: str) -> SafetensorsHeader | None:
    """A file's header, None where it is none that can be read."""
    try:
        return read_remote_header(ctx, repo, path)[1]
    except (WrongFile, NotSafetensors, HeaderTruncated):
        return None


def read_remote_header(ctx: Context, repo: str, path: str, revision: str = "main") -> tuple[HubFile, SafetensorsHeader]:
    """What the hub and its header say of a file, by two range requests. Raises NotSafetensors, and as `read_header`."""

    def read(at: Context, endpoint: str) -> tuple[HubFile, SafetensorsHeader]:
        file = look_up(at, repo, revision, path, endpoint)
        return file, parse_safetensors_header(read_header(at, file))

    return from_endpoints(ctx, path, read)


def _described(entries: Sequence[Entry], headers: dict[str, SafetensorsHeader]) -> str:
    told = [
        f"{entry.path} ({headers[entry.path].architecture}, {headers[entry.path].precision})"
        if entry.path in headers
        else entry.path
        for entry in entries
    ]
    return ", ".join(told) or "no safetensors file at its top"
