"""Xet, the hub's chunked storage, as `hf` uses it: the key asked for here, the bytes brought by hf_xet in a child.

The protocol is https://huggingface.co/docs/xet; the headers are those that huggingface_hub's `utils/_xet.py` reads.
hf_xet's stream begins at any byte and comes in order, so that it appends to our own part: begun by another backend or
a killed run, it is gone on with exactly, and hashed while it grows. (`hf_hub_download` begins at zero each time, for
Xet too.) The child (`xet_program.py`) is never given the Hugging Face token, only the key to the storage, which the
hub gives for an hour or so: where a download takes longer, the next attempt asks for another.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

from provision.command import Fix, ours
from provision.core.step import Context
from provision.download.backend import Address, HubFile
from provision.download.backends.xet_program import ORDER
from provision.download.hub.api import XetOffer, refusal
from provision.download.hub.token import Token, token_for
from provision.download.part_file import disk_trouble, work_folder
from provision.download.retry import CONNECT_TIMEOUT_S, STALL_TIMEOUT_S, Retry, until_interrupted, watched
from provision.download.web import RESUME, address_from, fetch, host_of, is_loopback, origin_of
from provision.errors import DownloadError, HubRefused, NetworkError, Passing
from provision.system.address import natural, quoted
from provision.system.disk_errors import unusable
from provision.system.disk_use import bytes_here
from provision.system.machine import Ran
from provision.system.passing import passing_in, passing_of

PROGRAM = Path(__file__).with_name("xet_program.py")
KNOWN_VERSIONS = ("1.6", "2")
"""From and below: the hf_xet whose streams were read and tried."""
BUFFER_BYTES = 128 << 20
"""What it may hold at a time: two of its largest blocks. Its own limit is 1.5 to 6 GB."""
SLOWEST_S = 180.0
"""A block comes as a whole, and has up to 64 MiB: nothing may be seen of it for so long, at most."""
SILENT_MS = STALL_TIMEOUT_S * 500
"""A connection that is silent for so long is given up by hf_xet itself, which asks for that block again."""
RETRIES, RETRY_DELAY_MS = 2, 1000
"""How often it does so for one block, and after how long: that loses less than to begin the child anew."""
ADDRESS = re.compile(r",? (?:domain:|for url) .*")
OFF = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class _Key:
    """What opens the storage: its address, a token for it, and when that ends (seconds since the epoch)."""

    endpoint: str
    token: str
    expires: int


def usable(environ: Mapping[str, str]) -> bool:
    """Whether Xet can be used: hf_xet is one that we know, and `HF_HUB_DISABLE_XET` does not forbid it."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.version import Version

    if environ.get("HF_HUB_DISABLE_XET", "").strip().lower() not in OFF or not sys.executable:
        return False
    try:
        found = Version(version("hf-xet"))
    except PackageNotFoundError:
        return False
    first, end = map(Version, KNOWN_VERSIONS)
    return first <= found < end


def fetch_by_xet(ctx: Context, file: HubFile, part: Path, offer: XetOffer) -> Retry | None:
    """Append the rest of the file to its part. Raises HomeError, DiskFull, NetworkError or Interrupted."""
    try:
        key = until_interrupted(ctx.machine, lambda: _ask_key(ctx, file, offer))
    except HubRefused as error:  # the file may still come from its own address
        return Retry(_failed(file, error.message.rstrip("."), error.passing))
    if isinstance(key, Retry):
        return key
    folder = work_folder(part, "xet")
    argv: list[str | Path] = [sys.executable, "-I", PROGRAM, part]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with watched(ctx, file, part, partial(bytes_here, part), silence_s=silence_s):
            ran = ctx.machine.run(argv, env=_environment(ctx, file, offer, key, folder), timeout_s=inf)
    except OSError as error:
        raise unusable(folder, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None if ran.ok else _retry(ran, file, part, key)


def silence_s(grown: int, seconds: float) -> float:
    """How long a part may not grow that grew by so many bytes in so many seconds: until a full buffer came at that
    rate, and until hf_xet has noticed by itself that a connection is silent."""
    if not grown:
        return SLOWEST_S
    return min(SLOWEST_S, STALL_TIMEOUT_S + BUFFER_BYTES * seconds / grown)


def _ask_key(ctx: Context, file: HubFile, offer: XetOffer) -> _Key | Retry:
    """Ask the hub for the key; the Hugging Face token goes to the hub's own origin only."""
    key_url = address_from(file.url, offer.key_url)
    own = origin_of(key_url) == origin_of(file.endpoint) and not file.anonymous
    token = token_for(ctx, file.endpoint) if own else None
    with fetch(ctx, Address(key_url, {"Authorization": f"Bearer {token}"} if token else {})) as response:
        headers = response.headers
        storage, expires = headers.get("X-Xet-Cas-Url", ""), natural(headers.get("X-Xet-Token-Expiration", ""))
        if response.status_code == 200 and storage and expires is not None:
            endpoint = address_from(response.url, storage).rstrip("/")
            return _Key(endpoint, headers.get("X-Xet-Access-Token", ""), expires)
        if passing_of(response.status_code) is not None:
            return Retry(refusal(response, file, Token(token or "")))
        return Retry(_failed(file, f"{host_of(key_url)} gave no key to its storage ({response.status_code})"))


def _environment(ctx: Context, file: HubFile, offer: XetOffer, key: _Key, folder: Path) -> dict[str, str]:
    """The order, no proxy between us and our own machine, and nothing written to the person's own cache."""
    settings: dict[str, object] = {
        "telemetry.enabled": False,
        "client.connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        "client.read_timeout": f"{SILENT_MS}ms",
        "client.retry_max_attempts": RETRIES,
        "client.retry_base_delay": f"{RETRY_DELAY_MS}ms",
        "client.retry_max_duration": f"{STALL_TIMEOUT_S}s",
        "reconstruction.download_buffer_size": BUFFER_BYTES,
        "reconstruction.download_buffer_perfile_size": 0,
        "reconstruction.download_buffer_limit": BUFFER_BYTES,
        "chunk_cache.size_bytes": 0,  # a second copy of what is in the part
    }
    if ctx.options.connections:
        settings |= {
            f"client.ac_{which}_download_concurrency": ctx.options.connections for which in ("min", "initial", "max")
        }
    order = {
        "endpoint": key.endpoint,
        "token": key.token,
        "expires": key.expires,
        "hash": offer.hash,
        "size": file.size,
        "settings": settings,
    }
    env = {ORDER: json.dumps(order), "HF_HOME": str(folder), "HF_XET_LOG_DEST": os.devnull}
    if is_loopback(key.endpoint):
        env |= {"no_proxy": "*", "NO_PROXY": "*"}
    return env


def _retry(ran: Ran, file: HubFile, part: Path, key: _Key) -> Retry:
    """What the child ended with; raises what asking again cannot mend."""
    said = ran.tail(1)
    trouble = disk_trouble(part, said)
    if trouble is not None:
        raise trouble
    if ran.code == -signal.SIGTERM:
        return Retry(
            NetworkError(
                f"Nothing came by Xet from {host_of(key.endpoint)} for too long, so it was ended.",
                hint=RESUME,
            )
        )
    if ran.code is None or ran.code < 0:
        how = ran.stopped or f"was ended from outside (signal {-(ran.code or 0)})"
        return Retry(_failed(file, f"hf_xet {how}", Passing.NETWORK if ran.stopped else None))
    return Retry(_failed(file, reason(said) or f"hf_xet ended with {ran.code}", passing_in(said)))


def reason(said: str) -> str:
    """The last words of a library's error, without the address, in which a signature may stand."""
    return quoted(ADDRESS.sub("", said).rpartition(": ")[2].partition("://")[0].strip(" ."), 200)


def _failed(file: HubFile, why: str, passing: Passing | None = None) -> DownloadError:
    return DownloadError(
        f"Xet could not bring {file.name} from {host_of(file.endpoint)}: {why}.",
        hint=Fix("Run the same command again, or take another way:", ours("all", "--backend", "http")),
        passing=passing,
    )
