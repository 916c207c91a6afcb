"""What a hub says of a file before its bytes are moved: commit, size, sha256, safetensors header, and where it lies.

The protocol of the Hugging Face hub: `HEAD /<repo>/resolve/<revision>/<path>` answers, mostly with a redirect to a
signed address on another host, and carries `X-Repo-Commit`, `X-Linked-Size` and `X-Linked-Etag` (the sha256 of a
large file); see https://huggingface.co/docs/hub and huggingface_hub's `get_hf_file_metadata`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.comfyui.safetensors import LENGTH_BYTES, NotSafetensors, describe_bytes, header_length
from provision.command import Fix, ours, program
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.download.backend import Address, HubFile
from provision.download.hub.token import HUGGING_FACE, LOGIN, Token, token_in, token_to
from provision.download.rate_limits import asked_wait_s, limit_of
from provision.download.retry import until_interrupted
from provision.download.web import (
    REDIRECTS_MAX,
    Heading,
    ask,
    fetch,
    host_of,
    origin_of,
    redirect_loop,
    redirect_of,
    unreachable,
)
from provision.errors import HubRefused, NetworkError, Passing, WrongFile
from provision.system.address import natural, quoted
from provision.system.bounded_http import beginning_of
from provision.system.passing import TOO_MANY, passing_of
from provision.system.strict import JSON_MAX_BYTES, Unreadable

if TYPE_CHECKING:
    from requests import Response

FRESH_S = 60.0
"""For so long the address that came with the hub's answer is used without asking again; signatures live for an hour."""
SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")


class HubBusy(HubRefused, NetworkError):
    """The hub is busy, has a fault of its own, or had too many requests: a download waits and asks again."""


@dataclass(frozen=True, slots=True)
class XetOffer:
    """A file that the hub also keeps in Xet: its name there, and where the key to that storage is asked for, as the
    hub says it."""

    hash: str
    key_url: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """The hub's answer to HEAD: the file as it describes it, and where its bytes are."""

    file: HubFile
    address: Address
    xet: XetOffer | None


def look_up(ctx: Context, repo: str, revision: str, path: str, endpoint: str | None = None) -> HubFile:
    """Ask a hub (the configured one) about a file; `revision` becomes the commit that it stands for now.

    What may pass is ridden out. Raises HubRefused, NetworkError, UsageError or Interrupted.
    """
    asked = HubFile((endpoint or ctx.options.endpoint).rstrip("/"), repo, revision, path, 0, "")
    answer = until_interrupted(ctx.machine, lambda: ride_out(ctx, lambda: _head(ctx, asked)))
    return replace(answer.file, address=answer.address, asked_at=ctx.machine.clock())


def address_of(ctx: Context, file: HubFile) -> Address:
    """Where the bytes are: as the hub said a moment ago, else as it says now. Raises as `locate`."""
    if file.address is not None and ctx.machine.clock() - file.asked_at < FRESH_S:
        return file.address
    return locate(ctx, file)


def locate(ctx: Context, file: HubFile) -> Address:
    """A fresh address of the bytes, by one try: it lives as long as the hub's signature does.

    Raises as `look_up`, and WrongFile when the hub now describes another file.
    """
    return locate_both(ctx, file)[0]


def locate_both(ctx: Context, file: HubFile) -> tuple[Address, XetOffer | None]:
    """As `locate`, and what the hub offers beside it by Xet."""
    answer = until_interrupted(ctx.machine, lambda: _head(ctx, file))
    if answer.file.size != file.size or (answer.file.sha256 and answer.file.sha256 != file.sha256):
        raise WrongFile(
            f"{file.name} changed on {host_of(file.endpoint)} while it was downloaded"
            f" ({file.size:,} bytes then, {answer.file.size:,} now).",
            hint=Fix("Run the same command again."),
        )
    return answer.address, answer.xet


def read_header(ctx: Context, file: HubFile) -> bytes:
    """The first bytes of a remote safetensors file, up to the end of its header (for SDXL about 400 kB).

    What may pass is ridden out. Raises WrongFile when it is no safetensors file, and as `locate`.
    """
    return until_interrupted(ctx.machine, lambda: ride_out(ctx, lambda: _read_header(ctx, file)))


def _head(ctx: Context, file: HubFile) -> _Answer:
    """HEAD, redirects within the hub's own origin followed, a bad token left out."""
    has = Token() if file.anonymous else token_to(ctx, file.endpoint)
    token = has.value or None
    address, redirects = _hub_address(file.url, token), 0
    refused: HubRefused | None = None
    while True:
        response = ask(ctx, "HEAD", address)
        response.close()
        target = redirect_of(response)
        if target is not None and origin_of(target) == origin_of(file.endpoint):
            redirects += 1
            if redirects > REDIRECTS_MAX:
                raise redirect_loop(target)
            address = Address(target, address.headers)
            continue
        if response.status_code == 401 and token is not None:
            refused, token = refusal(response, file, has), None
            address = _hub_address(file.url, None)
            continue
        if target is None and response.status_code != 200:
            raise refused or refusal(response, file, has if token else replace(has, value=""))
        source = ctx.options.source
        if source is not None and source.place == file.endpoint and COMMIT.fullmatch(file.revision):
            response.headers.setdefault("X-Repo-Commit", file.revision)  # a plain web server knows no commits
        described = _described(response, file, elsewhere=target is not None)
        if refused is not None:
            ctx.note(
                f"{host_of(file.endpoint)} does not accept the Hugging Face token; {file.repo} is public,"
                " so the download continues without it (new token: hf auth login)."
            )
            described = replace(described, anonymous=True)
        return _Answer(described, Address(target, {}) if target else address, _xet_offered(response, file))


def _xet_offered(response: Response, file: HubFile) -> XetOffer | None:
    """The offer in the headers; a mirror may pass on the hub's own address for the key."""
    name = response.headers.get("X-Xet-Hash", "")
    url = response.links.get("xet-auth", {}).get("url") or response.headers.get("X-Xet-Refresh-Route", "")
    if not SHA256.fullmatch(name) or not url:
        return None
    if url.startswith(f"{HUGGING_FACE}/"):
        return XetOffer(name, file.endpoint + url.removeprefix(HUGGING_FACE))
    return XetOffer(name, url)


def _hub_address(url: str, token: str | None) -> Address:
    return Address(url, {"Authorization": f"Bearer {token}"} if token else {})


def _described(response: Heading, file: HubFile, *, elsewhere: bool) -> HubFile:
    commit = response.headers.get("X-Repo-Commit", "")
    if not COMMIT.fullmatch(commit):
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        what = "an HTML page" if kind == "text/html" else "something no hub sends"
        raise HubRefused(
            f"{host_of(file.endpoint)} sent {what} (no X-Repo-Commit) for the request for {file.name}:"
            " a login page of this network, or HF_ENDPOINT is not a hub.",
            hint=Fix(
                f"Open {file.endpoint} in a browser and log in to the network; or:",
                ours("all", under=("env", "-u", "HF_ENDPOINT")),
            ),
        )
    length = response.headers.get("X-Linked-Size") or ("" if elsewhere else response.headers.get("Content-Length", ""))
    size = natural(length)
    if not size:
        raise HubRefused(
            f"{host_of(file.endpoint)} does not say how long {file.name} is.",
            hint=Fix(
                "If HF_ENDPOINT is set, it may be an incomplete mirror:",
                ours("all", under=("env", "-u", "HF_ENDPOINT")),
            ),
        )
    etag = (response.headers.get("X-Linked-Etag") or response.headers.get("ETag") or "").removeprefix("W/").strip('"')
    sha256 = etag if SHA256.fullmatch(etag) else ""
    return replace(file, revision=commit, size=size, sha256=sha256)


def refusal(response: Heading, file: HubFile, token: Token) -> HubRefused:
    """What a status other than success means, and what to do; `token` is what it was asked with."""
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    host, login, with_token = host_of(response.url or file.endpoint), LOGIN, bool(token.value)
    page = f"{file.endpoint}/{file.repo}"
    if token.lack and (status in (401, 403) or code == "GatedRepo"):
        return HubRefused(
            f"{host} requires a token for {file.repo} ({status}), and none was sent: {token.lack}.",
            hint=token.fix or login,
        )
    if code == "GatedRepo" and with_token:
        return HubRefused(
            f"{file.repo} is gated, and the account of your token has no access ({status}).",
            hint=Fix(f"Open {page}, accept its terms, then run the same command again."),
        )
    if code == "GatedRepo":
        return HubRefused(
            f"{file.repo} is gated: {host} gives it only to accounts that have accepted its terms ({status}).",
            hint=Fix(f"Open {page}, accept its terms, then:", login),
        )
    if status == 401 and with_token:
        return HubRefused(
            f"{host} does not accept the Hugging Face token (401).", hint=Fix("Set HF_TOKEN, or log in:", login)
        )
    if status == 401:
        return HubRefused(
            f"{host} requires a login (401): {file.repo} is private or does not exist.",
            hint=Fix("Set HF_TOKEN, or log in:", login),
        )
    if status == 403:
        return HubRefused(f"{host} does not let you read {file.repo} (403).", hint=Fix(f"Open {page}, then:", login))
    if status == 404:
        return _not_found(file, host, code)
    if status == TOO_MANY:
        return _too_many(response, file, host, with_token=with_token)
    if (passing := passing_of(status)) is not None:
        return HubBusy(
            f"{host} has a problem of its own ({status}).",
            hint=Fix("Run the same command again in a few minutes: the download resumes."),
            passing=passing,
            wait_s=asked_wait_s(response.headers),
        )
    return HubRefused(f"{host} answered {status} for the request for {file.name}.", hint=ours("doctor"))


def _too_many(response: Heading, file: HubFile, host: str, *, with_token: bool) -> HubBusy:
    """A rate limit: whose it is, when it is lifted, and what a token changes."""
    wait_s, limit = asked_wait_s(response.headers), limit_of(response.headers)
    counted = f" ({limit.says})" if limit and limit.says else ""
    of_hub = origin_of(response.url or file.endpoint) == origin_of(file.endpoint)
    again = f"Run the same command again in {_about(wait_s) if wait_s else 'a few minutes'}"
    if with_token:
        says, hint = f"your account (429): its limit is used up{counted}", Fix(f"{again}.")
    elif of_hub:
        says = f"this network's address (429), a limit shared by all computers behind it{counted}"
        says, hint = (
            f"{says}, and with a token your account has its own",
            Fix(f"{again}; with a token, your account's own, higher limit applies:", program("hf", "auth", "login")),
        )
    else:
        says, hint = (
            f"this network's address (429), a limit shared by all computers behind it{counted}",
            Fix(f"{again}."),
        )
    return HubBusy(
        f"{host} received too many requests from {says}.", hint=hint, passing=Passing.RATE_LIMIT, wait_s=wait_s
    )


def _about(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _not_found(file: HubFile, host: str, code: str) -> HubRefused:
    if code == "RepoNotFound":
        hint = Fix("Check the name; if the repository is private, log in:", program("hf", "auth", "login"))
        return HubRefused(f"{host} has no repository {file.repo} (404).", hint=hint)
    missing = f"no file {file.path} in {file.repo} at {file.revision[:12]}"
    if code == "RevisionNotFound":
        missing = f"no revision {file.revision} of {file.repo}"
    return HubRefused(
        f"{host} has {missing} (404).",
        hint=Fix(
            f"See {file.endpoint}/{file.repo}/tree/main, then:", ours("all", "--set", "models.0.files.0.path=...")
        ),
    )


def _read_header(ctx: Context, file: HubFile) -> bytes:
    address = address_of(ctx, file)
    start = _first_bytes(ctx, file, address, LENGTH_BYTES)
    try:
        length = header_length(start)
    except NotSafetensors as error:
        # The first 512 bytes tell better what it is than the first eight do.
        seen = _first_bytes(ctx, file, address, min(512, file.size))
        raise WrongFile(
            f"What {host_of(address.url)} sends for {file.name} is not a safetensors file;"
            f" it is {describe_bytes(seen)}.",
            hint=Fix("If HF_ENDPOINT is set, unset it; check models.0.files.0.path in the manifest."),
        ) from error
    if length > JSON_MAX_BYTES:
        raise WrongFile(
            f"What {host_of(address.url)} sends for {file.name} has a header of {length:,} bytes; those of checkpoints"
            " have a thousandth of that.",
            hint=Fix("If HF_ENDPOINT is set, unset it; check models.0.files.0.path in the manifest."),
        )
    return _first_bytes(ctx, file, address, min(LENGTH_BYTES + length, file.size))


def _first_bytes(ctx: Context, file: HubFile, address: Address, count: int) -> bytes:
    """The first `count` bytes or fewer; a server without ranges (200) is read so far and hung up on."""
    with fetch(ctx, address, extra={"Range": f"bytes=0-{count - 1}"}) as response:
        if response.status_code not in (200, 206):
            raise refusal(response, file, token_in(address))
        begun = response.headers.get("Content-Range", "bytes 0-")
        if response.status_code == 206 and not begun.startswith("bytes 0-"):
            raise HubRefused(
                f"{host_of(address.url)} sent a part of {file.name} that was not requested ({quoted(begun)}).",
                hint=Fix("Run the same command again; if a proxy is set, try without it."),
            )
        try:
            return beginning_of(response, count)
        except Unreadable as error:
            raise HubRefused(
                f"{host_of(address.url)} sent {error} for the request for {file.name}.",
                hint=Fix("Run the same command again; if a proxy is set, try without it."),
            ) from error
        except OSError as error:
            raise unreachable(address.url, error) from error
