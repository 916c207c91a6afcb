"""The real git and git-lfs: one object of one commit, never a checkout, moved out of git-lfs's store, not copied.

`git lfs pull` would need three times the file (object, work tree, temporary copy); `git lfs fetch` and a rename need
one. That a part named `incomplete/<oid>.part` is gone on with is how git-lfs 2 and 3 work inside
(https://github.com/git-lfs/git-lfs/issues/6320) and not documented: where it is not so, it starts over.
"""

from __future__ import annotations

import base64
import re
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from math import inf
from pathlib import Path
from urllib.parse import quote

from provision.comfyui.git_ways import protocols_for
from provision.command import Fix, ours, program
from provision.core.step import Context
from provision.download import kinds
from provision.download.backend import Backend, HubFile, Program, find_program
from provision.download.hashing import Hasher, fetch_and_hash
from provision.download.hub.api import locate
from provision.download.hub.token import token_for
from provision.download.part_file import (
    disk_errors_said,
    disk_trouble,
    lfs_pieces,
    take_over,
    work_folder,
    write_private,
)
from provision.download.retry import IDLE_S, STALL_TIMEOUT_S, Retry, watched
from provision.download.web import host_of, is_loopback
from provision.errors import DownloadError, HubRefused, NetworkError, Passing, ProvisionError, WrongFile
from provision.system.address import quoted
from provision.system.disk_errors import unusable
from provision.system.disk_use import bytes_here
from provision.system.git_program import environment
from provision.system.machine import Ran
from provision.system.parsers import parse_lfs_version
from provision.system.passing import passing_in
from provision.system.proxies import proxy_for
from provision.system.tls import named_bundle
from provision.system.visible import shell_word

NO_TRAFFIC = re.compile(r"(?:error|http|status|response)\D{0,20}\b509\b")
"""The hub's status for it; the digits alone also stand in hashes and ports."""
ASKING_S = 60.0
"""How long git may take for one commit without its history: a few kB."""
SAID_MAX = 400
NOBODY = "http://127.0.0.1:9"
"""The port on which nothing answers (RFC 863)."""
ANOTHER_OBJECT = re.compile(r"expected OID \w+, got \w+")
"""What git-lfs says of an object that has another hash than its name."""


def fetch_git_lfs(ctx: Context, file: HubFile, part: Path) -> str | None:
    """Bring `part` to its size; returns its sha256 where that is the one wanted. Raises as `Backend.fetch`."""
    git, _ = find_program(ctx.machine, "git"), find_program(ctx.machine, "git-lfs")
    wrong: list[ProvisionError] = []
    busy = False

    def attempt(_: Hasher) -> Retry | None:
        nonlocal busy
        if busy:  # git tells no waits that a server asks for: our own question does
            locate(ctx, file)
        retry = _attempt(ctx, git, file, part)
        busy = retry is not None and retry.error.passing in (Passing.RATE_LIMIT, Passing.BUSY)
        if retry is not None and isinstance(retry.error, WrongFile):
            wrong.append(retry.error)
            if len(wrong) == 2:  # once may be chance
                raise retry.error
        return retry

    return fetch_and_hash(ctx, file, part, attempt, written=lambda: _growing(part))


def script(ctx: Context, file: HubFile, part: str) -> Iterator[str]:
    """One file of the repository; the copy that git-lfs keeps in `.git` goes with the folder."""
    yield 'git init --quiet "$home/hub"'
    address = shell_word(f"{file.endpoint}/{file.repo}")
    yield f'git -C "$home/hub" remote add origin {address} || :'
    yield f'git -C "$home/hub" fetch --depth 1 origin {shell_word(file.revision)}'
    yield 'GIT_LFS_SKIP_SMUDGE=1 git -C "$home/hub" checkout --quiet FETCH_HEAD'
    yield 'git -C "$home/hub" lfs install --local'
    yield f'git -C "$home/hub" lfs pull --include {shell_word(file.path)}'
    yield f'mv "$home/hub"/{shell_word(file.path)} {part}'


BACKEND = Backend(
    "git-lfs",
    fetch_git_lfs,
    script,
    needs=(
        Program(
            kinds.LFS_MISSING,
            kinds.LFS_READY,
            "git-lfs",
            ("git", "lfs", "version"),
            parse_lfs_version,
            is_not="Git LFS",
        ),
    ),
    writers=("git", "git-lfs", "git-remote-http", "git-remote-https"),
    quick=False,
    limited=False,
)


def _attempt(ctx: Context, git: Path, file: HubFile, part: Path) -> Retry | None:
    folder = work_folder(part, "lfs")
    work, store, config = folder / "work", folder / "store", folder / "config"
    run = partial(ctx.machine.run, env=_environment(ctx, file, work / ".git", config), timeout_s=120)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for made in (work, store / "incomplete"):
            made.mkdir(parents=True)
        write_private(config, _configuration(ctx, file))
        # git reads what a server answers whole, however long that is.
        with watched(ctx, file, part, partial(bytes_here, part), silence_s=lambda *_: ASKING_S):
            for words in (
                ("init", "--quiet", "--template=", "."),
                ("remote", "add", "origin", f"{file.endpoint}/{quote(file.repo)}"),
                ("fetch", "--quiet", "--depth=1", "origin", file.revision),
            ):
                ran = run([git, "-C", work, *words])
                if not ran.ok:
                    return _retry(ran, file, part)
        _check_pointer(run([git, "-C", work, "cat-file", "blob", f"{file.revision}:{file.path}"]), file)
        if bytes_here(part):
            part.replace(store / "incomplete" / f"{file.sha256}.part")
        with watched(ctx, file, part, lambda: max(map(bytes_here, lfs_pieces(part)), default=0)):
            ran = run([git, "-C", work, *_fetch_words(file, store)], timeout_s=inf)
    except OSError as error:
        raise unusable(folder, error) from error
    finally:
        with disk_errors_said(folder):
            take_over(part)
    return None if ran.ok else _retry(ran, file, part)


def _growing(part: Path) -> Path:
    """The file that git-lfs writes."""
    return max(lfs_pieces(part), key=bytes_here, default=part)


def _fetch_words(file: HubFile, store: Path) -> tuple[str, ...]:
    settings = (f"lfs.storage={store}", f"lfs.activitytimeout={STALL_TIMEOUT_S}", "lfs.transfer.maxretries=1")
    options = tuple(word for setting in settings for word in ("-c", setting))
    return (*options, "lfs", "fetch", "--include", file.path, "--exclude", "", "origin", file.revision)


def _environment(ctx: Context, file: HubFile, repository: Path, config: Path) -> dict[str, str]:
    """No prompts, no configuration but ours. The token stands in that file, and in no list of processes."""
    ours = {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}
    # git keeps its headers when it follows the hub to another host.
    settings = {"http.followRedirects": "false"} if _token(ctx, file) is not None else {}
    env = environment(repository, protocols=protocols_for(file.endpoint), persons=ours, settings=settings)
    env["GOGC"] = "40"  # of git-lfs, a Go program: a third less memory, at no cost that can be measured
    if is_loopback(file.endpoint):
        env |= {"no_proxy": "*", "NO_PROXY": "*"}
        return env
    scheme = file.endpoint.partition("://")[0]
    if scheme == "https":  # what is asked for with http, after a redirect, reaches nobody
        env |= {"http_proxy": NOBODY, "HTTP_PROXY": NOBODY}
    if proxy := proxy_for(file.endpoint, ctx.machine.environ):  # git-lfs does not know ALL_PROXY
        env |= {f"{scheme}_proxy": proxy, f"{scheme}_proxy".upper(): proxy}
    return env


def _configuration(ctx: Context, file: HubFile) -> str:
    """git's configuration: the token as a header for the hub's own address only.

    Basic, with the token for a password, is what the hub takes from git (https://huggingface.co/docs/hub/security-tokens).
    """
    settings = {"credential.helper": "", "core.askPass": "true"}
    if (token := _token(ctx, file)) is not None:
        basic = base64.b64encode(f"hf:{token}".encode()).decode()
        settings[f"http.{file.endpoint}/.extraHeader"] = f"Authorization: Basic {basic}"
    if bundle := named_bundle(ctx.machine.environ):
        settings["http.sslCAInfo"] = bundle
    return "".join(map(_line, settings.items()))


def _token(ctx: Context, file: HubFile) -> str | None:
    return None if file.anonymous else token_for(ctx, file.endpoint)


def _line(setting: tuple[str, str]) -> str:
    """A setting as git's configuration has it (git-config(1), "Syntax")."""
    section, _, rest = setting[0].partition(".")
    subsection, _, name = rest.rpartition(".")
    title = f"{section} {_in_quotes(subsection)}" if subsection else section
    return f"[{title}]\n{name} = {_in_quotes(setting[1])}\n"


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check_pointer(ran: Ran, file: HubFile) -> None:
    """The pointer in the commit must name the very object that is wanted, before a byte of it moves."""
    words = dict(line.split(" ", 1) for line in ran.out.splitlines() if " " in line) if ran.ok else {}
    if words.get("oid") == f"sha256:{file.sha256}" and words.get("size") == str(file.size):
        return
    seen = f"{words['oid']}, {words.get('size')} bytes" if "oid" in words else "no Git LFS pointer"
    seen = quoted(seen, SAID_MAX)
    raise WrongFile(
        f"{file.path} in commit {file.revision[:12]} of {file.repo} is {seen}; wanted is {file.sha256[:12]},"
        f" {file.size:,} bytes.",
        hint=ours("all", "--backend", "http"),
    )


def _retry(ran: Ran, file: HubFile, part: Path) -> Retry:
    """What git or git-lfs said, as an error; raises what asking again cannot mend."""
    said, host = "\n".join(quoted(line, SAID_MAX) for line in ran.tail(6).splitlines()), host_of(file.endpoint)
    trouble = disk_trouble(part, said)
    if trouble is not None:
        raise trouble
    low = said.lower()
    if ran.code is None:
        return Retry(NetworkError(f"git {ran.how} ({host}).", hint=Fix("Run the same command again.")))
    if any(sign in low for sign in ("could not read username", "authentication failed", "error: 401", "error: 403")):
        raise HubRefused(
            f"{host} did not let git read {file.repo}.",
            hint=Fix("Set HF_TOKEN, or log in:", program("hf", "auth", "login")),
        )
    if "bandwidth" in low or "quota" in low or NO_TRAFFIC.search(low):
        raise HubRefused(f"{host} has no traffic left for Git LFS.", hint=ours("all", "--backend", "http"))
    if ANOTHER_OBJECT.search(said):
        return Retry(
            WrongFile(
                f"git-lfs got other bytes from {host} than {file.name} has, and threw them away.",
                hint=Fix(
                    "A proxy may change it on the way: try another network, or:", ours("all", "--backend", "http")
                ),
                passing=Passing.ANSWER,
            )
        )
    again = Fix("Run the same command again, or take another way:", ours("all", "--backend", "http"))
    if ran.code is not None and ran.code < 0:
        return Retry(
            NetworkError(f"Nothing came from {host} for {IDLE_S:.0f} seconds, so git-lfs was ended.", hint=again)
            if -ran.code in (signal.SIGTERM, signal.SIGKILL)
            else DownloadError(f"git-lfs ended by itself (signal {-ran.code}).", hint=again)
        )
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "no reason given")
    return Retry(
        DownloadError(
            f"git-lfs could not fetch {file.name} from {host}: {last.split('?')[0].strip().rstrip('.')}.",
            hint=again,
            passing=passing_in(said),
        )
    )
