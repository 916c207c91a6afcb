"""The `hf` backend: Xet where the hub offers it (see `xet`), else huggingface_hub in this process. Both write into
our own part, so that it can be gone on with.

Since 1.18 `hf_hub_download` cannot go on after a kill (huggingface_hub issues 4060 and 4196), so its inner `http_get`
is used where it is the one that we know, else `hf_hub_download` itself into a folder beside the part. The library
reads its settings once, from the environment of the process, which may hold `HF_HUB_OFFLINE`: they are set on it.
"""

from __future__ import annotations

import inspect
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from provision.command import Fix, ours, program
from provision.core.step import Context
from provision.download.backend import Address, Backend, HubFile
from provision.download.backends.hf_writer import HfWriter
from provision.download.backends.library_http import Answered, Head, Moved, bounded_client
from provision.download.backends.xet import PROGRAM, fetch_by_xet, usable
from provision.download.hashing import Hasher, fetch_and_hash
from provision.download.hub.api import locate_both, refusal
from provision.download.hub.token import Token, token_for
from provision.download.part_file import work_folder
from provision.download.retry import Retry, until_interrupted
from provision.download.web import REDIRECTS_MAX, RESUME, host_of, moved, redirect_loop
from provision.errors import DownloadError, NetworkError
from provision.system.address import quoted
from provision.system.disk_errors import unusable
from provision.system.machine import Machine
from provision.system.passing import passing_of
from provision.system.proxies import is_socks, proxy_for
from provision.system.visible import shell_word, shell_words

CHUNK_BYTES = None
"""As it comes from the connection, 64 KiB at most: its own 10 MiB make it twice as slow, and its memory larger."""
TIMEOUT_S = 30
SAID_EVERY_S = 0.5
"""How often progress is told, where a megabyte takes longer."""
KNOWN_VERSIONS = ("1.17", "3")
"""From and below: the versions whose `http_get` was read and tried; older ones add the whole to a part."""
NEEDED_PARAMETERS = frozenset(
    {"url", "temp_file", "resume_size", "headers", "expected_size", "_nb_retries", "_tqdm_bar"}
)


def fetch_hf(ctx: Context, file: HubFile, part: Path) -> str | None:
    """Bring `part` to its size; returns its sha256 where that is the one wanted. Raises as `Backend.fetch`."""

    def attempt(hasher: Hasher) -> Retry | None:
        address, offer = locate_both(ctx, file)
        by_socks = is_socks(proxy_for(file.endpoint, ctx.machine.environ))  # hf_xet knows no such proxy
        if offer is not None and usable(ctx.machine.environ) and not by_socks:
            return fetch_by_xet(ctx, file, part, offer)
        return until_interrupted(ctx.machine, lambda: _attempt(ctx, file, part, address, hasher))

    return fetch_and_hash(ctx, file, part, attempt)


def script(ctx: Context, file: HubFile, part: str) -> Iterator[str]:
    """With the library's own program."""
    yield '"$python" -m pip install huggingface_hub'
    words = shell_words([file.repo, file.path, "--revision", file.revision])
    yield f'HF_ENDPOINT={shell_word(file.endpoint)} "$home/venv/bin/hf" download {words} --local-dir "$home/hf"'
    yield f'mv "$home/hf"/{shell_word(file.path)} {part}'


BACKEND = Backend(
    "hf", fetch_hf, script, aliases=("huggingface-cli",), writers=(PROGRAM.name,), then="http", limited=False
)
"""Behind it stands `http`: huggingface_hub and hf_xet are large, and what fails in them may not fail in it."""


def _attempt(ctx: Context, file: HubFile, part: Path, address: Address, hasher: Hasher) -> Retry | None:
    load_library()
    from huggingface_hub.errors import HfHubHTTPError

    _settle(file)
    get = known_http_get()
    try:
        if get is None:
            _download_stock(ctx, file, part)
        else:
            with HfWriter(part, hasher, ctx.machine.clock) as writer:
                _download_into_part(ctx, get, file, writer, address)
    except Answered as error:
        return _answered(file, error.head)
    except HfHubHTTPError as error:
        response = error.response
        return _answered(file, Head(response.status_code, str(response.url), response.headers))
    except OSError as error:
        if error.errno is not None:
            raise unusable(part, error) from error
        said = str(error).partition("\n")[0].partition(": ")[0] or type(error).__name__
        return Retry(_failed(file, f"says '{quoted(said)}'"))
    except _transport_errors() as error:
        return Retry(
            NetworkError(
                f"huggingface_hub lost the connection for {file.name} ({type(error).__name__}).",
                hint=RESUME,
            )
        )
    except ValueError as error:  # numbers in headers that are none, a file that it finds too large
        return Retry(_failed(file, f"says '{quoted(str(error))}'"))
    return None


def _answered(file: HubFile, head: Head) -> Retry:
    if passing_of(head.status_code) is not None:
        return Retry(refusal(head, file, Token()))
    packed = head.status_code in (200, 206)
    return Retry(_failed(file, "received a compressed file" if packed else f"was answered with {head.status_code}"))


def load_library() -> None:
    """Import huggingface_hub, which reads its settings from the environment of the process as it is imported.

    Raises DownloadError, which names the setting that it cannot read.
    """
    try:
        from huggingface_hub import file_download  # noqa: F401
    except (ImportError, ValueError) as error:
        said = str(error)
        names = [n for n, text in os.environ.items() if n.startswith("HF_") and "TOKEN" not in n and repr(text) in said]
        if names:
            says, fix = f"{' or '.join(names)} is not a number", Fix("Unset it:", program("unset", *names))
        else:
            says, fix = quoted(said.partition("\n")[0]), Fix(command=ours("all", "--backend", "http"))
        raise DownloadError(f"huggingface_hub is not usable: {says}.", hint=fix) from error


def known_http_get() -> Callable[..., None] | None:
    """huggingface_hub's `http_get` where it is the one that we know, else None."""
    import huggingface_hub
    from huggingface_hub import file_download
    from packaging.version import Version

    get = getattr(file_download, "http_get", None)
    first, end = map(Version, KNOWN_VERSIONS)
    if get is None or not first <= Version(huggingface_hub.__version__) < end:
        return None
    return get if set(inspect.signature(get).parameters) >= NEEDED_PARAMETERS else None


def _settle(file: HubFile) -> None:
    """Settings that the library took from the environment, as this download needs them."""
    from huggingface_hub import constants
    from huggingface_hub.utils.logging import set_verbosity

    constants.HF_HUB_OFFLINE = False
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES  # type: ignore[assignment]
    constants.HF_HUB_DOWNLOAD_TIMEOUT = TIMEOUT_S
    constants.HF_HUB_DISABLE_UPDATE_CHECK = True
    set_verbosity(logging.ERROR)  # its warnings would go to the terminal, signed addresses in them


def _download_into_part(
    ctx: Context, get: Callable[..., None], file: HubFile, writer: HfWriter, address: Address
) -> None:
    for _ in range(REDIRECTS_MAX):
        try:
            with bounded_client(address.url, ctx.machine.environ, TIMEOUT_S) as watch:
                return get(
                    address.url,
                    _Kept(writer, file.size, watch.heard),
                    resume_size=writer.tell(),
                    # gzip, which it asks for by itself, makes some servers ignore the range (huggingface_hub PR 3778).
                    headers={"Accept-Encoding": "identity", **address.headers},
                    expected_size=file.size,
                    _nb_retries=0,  # they would go to the same address; ours get a fresh one each time
                    _tqdm_bar=_bar(ctx, file)(initial=writer.tell()),
                )
        except _Whole:
            return None
        except Moved as error:
            address = moved(address, error.target)
    raise redirect_loop(address.url)


class _Whole(Exception):
    """All is here, and the server goes on sending."""


class _Kept:
    """A part that can only grow, to its size at most; raises _Whole for more.

    Where `http_get` starts over, because a server sends the whole in place of the rest, what is there already is
    passed over in place of being thrown away.
    """

    def __init__(self, writer: HfWriter, size: int, heard: Callable[[], None]) -> None:
        self._appender = writer
        self._size = size
        self._heard = heard
        self._skip = 0

    def tell(self) -> int:
        return self._appender.tell()

    def seek(self, place: int) -> int:
        return place

    def truncate(self) -> int:
        self._skip = self._appender.tell()
        return 0

    def write(self, data: bytes) -> int:
        self._heard()
        passed = min(self._skip, len(data))
        self._skip -= passed
        room = self._size - self._appender.tell()
        self._appender.write(memoryview(data)[passed : passed + room])
        if len(data) - passed > room:
            raise _Whole
        return len(data)


def _download_stock(ctx: Context, file: HubFile, part: Path) -> None:
    """For versions that we do not know: all anew, in a folder on the same volume, and never two copies."""
    from huggingface_hub import hf_hub_download

    shown: dict[str, Any] = (
        {"tqdm_class": _bar(ctx, file)} if "tqdm_class" in inspect.signature(hf_hub_download).parameters else {}
    )
    folder = work_folder(part, "hf")
    shutil.rmtree(folder, ignore_errors=True)
    part.unlink(missing_ok=True)
    token: str | bool = False if file.anonymous else (token_for(ctx, file.endpoint) or False)
    try:
        got = hf_hub_download(
            file.repo,
            file.path,
            revision=file.revision,
            local_dir=folder,
            endpoint=file.endpoint,
            token=token,
            **shown,
        )
        Path(got).replace(part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _transport_errors() -> tuple[type[Exception], ...]:
    """The errors of the HTTP library that this huggingface_hub uses: httpx2 since 2.0, httpx before."""
    import importlib

    found: list[type[Exception]] = []
    for name in ("httpx2", "httpx"):
        try:
            found.append(importlib.import_module(name).HTTPError)
        except ImportError:
            continue
    return tuple(found)


def _failed(file: HubFile, why: str) -> DownloadError:
    return DownloadError(
        f"huggingface_hub could not download {file.name} from {host_of(file.endpoint)}: it {why}.",
        hint=Fix("Run the same command again, or use another backend:", ours("all", "--backend", "http")),
    )


def _bar(ctx: Context, file: HubFile) -> type[Any]:
    """A progress bar in tqdm's manner that tells us instead of drawing, and stops when it should."""
    machine: Machine = ctx.machine

    class Bar:
        def __init__(self, *args: Any, initial: int = 0, **options: Any) -> None:
            self.n, self.said_at = initial, machine.clock()

        def update(self, count: float | None = 1) -> None:
            machine.check_interrupted()
            before, self.n = self.n, self.n + int(count or 0)
            if before >> 20 != self.n >> 20 or machine.clock() - self.said_at > SAID_EVERY_S:
                self.said_at = machine.clock()
                ctx.progress(file.name, min(self.n, file.size), file.size)

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            ctx.progress(file.name, min(self.n, file.size), file.size)

    return Bar
