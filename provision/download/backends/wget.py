"""The real wget: told by a private file what to fetch, so that neither address nor token stands in a process list.

Its options are described at https://www.gnu.org/software/wget/manual/wget.html. It knows neither `If-Range` nor
hashes, saves whatever comes with status 200, and passes headers on to the target of a redirect: so it is given the
last address, the token only where the hub itself is asked, and its result is judged by others.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path

from provision.command import ours, program
from provision.core.step import Context
from provision.download import kinds
from provision.download.backend import Address, Backend, HubFile, Program, find_program
from provision.download.backends.library_http import Head
from provision.download.hashing import fetch_and_hash
from provision.download.hub.api import locate, refusal
from provision.download.hub.token import token_in
from provision.download.part_file import disk_trouble, work_folder, write_private
from provision.download.retry import CONNECT_TIMEOUT_S, STALL_TIMEOUT_S, Retry, until_interrupted, watched
from provision.download.web import RESUME, fetch, host_of, is_loopback, moved
from provision.errors import CommandFailed, DownloadError, HubRefused, NetworkError, Passing, ProvisionError, lasting
from provision.system.address import quoted
from provision.system.disk_errors import unusable
from provision.system.disk_use import bytes_here
from provision.system.machine import Ran
from provision.system.parsers import parse_wget_version
from provision.system.passing import passing_of
from provision.system.proxies import is_socks, proxy_for
from provision.system.tls import SAID_OF_TIME, certificate_fix, clock_fix, named_bundle
from provision.system.visible import shell_word

EXIT_FILE, EXIT_NETWORK, EXIT_TLS, EXIT_AUTH, EXIT_PROTOCOL, EXIT_SERVER = 3, 4, 5, 6, 7, 8
"""wget's manual, section "Exit Status"."""
TIME_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s*")
OPTIONS = (
    "--no-verbose", "--server-response", "--continue", "--tries=1", "--no-hsts", "--no-netrc", "--max-redirect=0",
    f"--connect-timeout={CONNECT_TIMEOUT_S}", f"--read-timeout={STALL_TIMEOUT_S}",
)  # fmt: skip
"""One try: the patience is ours, with a fresh address each time; and so are redirects."""
SAID_MAX = 400
STATUS_LINE = re.compile(r"  HTTP/\d\.\d (\d{3})\b.*")
HEADER_LINE = re.compile(r"  (\S{1,80}): (.*)|  HTTP/.*")
REDIRECTED = "redirections exceeded"


def fetch_wget(ctx: Context, file: HubFile, part: Path) -> str | None:
    """Bring `part` to its size; returns its sha256 where that is the one wanted. Raises as `Backend.fetch`."""
    wget = find_program(ctx.machine, "wget")
    return fetch_and_hash(ctx, file, part, lambda _: _attempt(ctx, wget, file, part))


def script(ctx: Context, file: HubFile, part: str) -> Iterator[str]:
    """As people type it."""
    yield f"wget --continue --output-document={part} {shell_word(file.url)}"


BACKEND = Backend(
    "wget",
    fetch_wget,
    script,
    needs=(
        Program(
            kinds.WGET_MISSING, kinds.WGET_READY, "wget", ("wget", "--version"), parse_wget_version, is_not="GNU's"
        ),
    ),
    writers=("wget",),
)


def _attempt(ctx: Context, wget: Path, file: HubFile, part: Path) -> Retry | None:
    address = locate(ctx, file)
    if is_socks(proxy_for(address.url, ctx.machine.environ)):
        raise DownloadError("wget does not speak to SOCKS proxies.", hint=ours("all", "--backend", "http"))
    ran = _run(ctx, wget, file, part, address)
    if ran.code == EXIT_SERVER and REDIRECTED in ran.err:
        address = until_interrupted(ctx.machine, lambda: _last_address(ctx, address))
        ran = _run(ctx, wget, file, part, address)
    return None if ran.ok else _retry(ran, file, part, address)


def _run(ctx: Context, wget: Path, file: HubFile, part: Path, address: Address) -> Ran:
    with _orders(ctx, part, address) as (config, addresses), watched(ctx, file, part, partial(bytes_here, part)):
        argv: list[str | Path] = [
            wget,
            *OPTIONS,
            *([f"--limit-rate={ctx.options.limit_rate}"] if ctx.options.limit_rate else []),
            f"--config={config}",
            f"--output-document={part}",
            f"--input-file={addresses}",
        ]
        return ctx.machine.run(argv, env=_environment(ctx, address), timeout_s=inf)


def _last_address(ctx: Context, address: Address) -> Address:
    """Where the storage's own redirects lead to; wget would follow them wherever they go. Raises as `fetch`."""
    with fetch(ctx, address, extra={"Range": "bytes=0-0"}) as response:
        return moved(address, response.url)


@contextmanager
def _orders(ctx: Context, part: Path, address: Address) -> Iterator[tuple[Path, Path]]:
    """wget's configuration and its list of addresses, as files that only we can read, gone afterwards.

    The person's own ~/.wgetrc is not read: it could hold headers, a proxy's password, another output.
    """
    folder = work_folder(part, "wget")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
        config, addresses = folder / "wgetrc", folder / "addresses"
        write_private(config, _configuration(ctx, address))
        write_private(addresses, address.url + "\n")
        yield config, addresses
    except OSError as error:
        raise unusable(folder, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configuration(ctx: Context, address: Address) -> str:
    lines = [f"header = {name}: {value}" for name, value in address.headers.items()]
    if bundle := named_bundle(ctx.machine.environ):
        lines.append(f"ca_certificate = {bundle}")
    return "".join(f"{line}\n" for line in lines)


def _environment(ctx: Context, address: Address) -> dict[str, str]:
    """English messages, and no proxy between us and our own machine."""
    env = {"LC_ALL": "C"}
    if is_loopback(address.url):
        env |= {"no_proxy": "*", "http_proxy": "", "https_proxy": ""}
    elif proxy := proxy_for(address.url, ctx.machine.environ):  # wget does not know ALL_PROXY
        env |= {"http_proxy": proxy, "https_proxy": proxy}
    return env


def parse_answer(said: str, url: str) -> Head | None:
    """The head of the last answer, from what wget says with --server-response; None where there was none."""
    status, headers = 0, dict[str, str]()
    for line in said.splitlines():
        if found := STATUS_LINE.fullmatch(line):
            status, headers = int(found[1]), {}
        elif (found := HEADER_LINE.fullmatch(line)) and found[1]:
            headers[found[1]] = found[2]
    return Head(status, url, headers) if status else None


def _retry(ran: Ran, file: HubFile, part: Path, address: Address) -> Retry:
    """What wget's exit code means; raises what asking again cannot mend."""
    answer = parse_answer(ran.err, address.url)
    if ran.code == EXIT_SERVER and answer is not None and passing_of(answer.status_code) is not None:
        return Retry(refusal(answer, file, token_in(address)))
    words = "\n".join([line for line in ran.err.splitlines() if not HEADER_LINE.match(line)][-3:])
    said, host = quoted(words, SAID_MAX), host_of(address.url)
    last = quoted(_last_line(words), SAID_MAX)
    if ran.code == EXIT_FILE:
        trouble = disk_trouble(part, said)
        raise trouble or CommandFailed(
            f"wget could not write {part.name}: {said}", hint=program("df", "-h", str(part.parent))
        )
    errors: dict[int | None, ProvisionError] = {
        EXIT_NETWORK: NetworkError(f"wget lost the connection to {host}, or found none.", hint=RESUME),
        EXIT_PROTOCOL: NetworkError(
            f"wget did not understand what {host} sent for {file.name}.", hint=RESUME, passing=Passing.ANSWER
        ),
        EXIT_SERVER: DownloadError(f"{host} answered wget with an error: {last}.", hint=RESUME),
        EXIT_TLS: lasting(
            NetworkError(
                f"wget cannot verify the certificate of {host}.",
                hint=clock_fix() if re.search(SAID_OF_TIME, said) else certificate_fix(),
            )
        ),
        EXIT_AUTH: HubRefused(
            f"{host} does not accept what wget was given to log in.", hint=program("hf", "auth", "login")
        ),
    }
    if ran.code in errors:
        return Retry(errors[ran.code])
    if ran.code is None or ran.code < 0:
        how = ran.stopped or f"was ended from outside (signal {-(ran.code or 0)})"
        return Retry(DownloadError(f"wget {how}.", hint=RESUME, passing=Passing.NETWORK))
    raise CommandFailed(f"wget ended with {ran.code}: {said}", hint=ours("all", "--backend", "http"))


def _last_line(said: str) -> str:
    """wget's last words without the address, in which a signature may stand, and without the time of day."""
    lines = [line for line in said.splitlines() if "://" not in line or "ERROR" in line]
    return TIME_STAMP.sub("", lines[-1].split("://")[0]).rstrip(". ") if lines else "no reason given"
