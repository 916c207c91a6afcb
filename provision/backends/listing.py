"""What a repository on the hub holds, and which of its files is the checkpoint of a precision."""

from __future__ import annotations

from urllib.parse import quote

from provision.backends.backend import RemoteFile
from provision.backends.patience import until_interrupted
from provision.backends.remote import refusal, token_of
from provision.backends.web import Address, fetch, host_of
from provision.errors import HubRefused, UsageError
from provision.step import Context


def list_files(ctx: Context, repo: str, revision: str = "main") -> list[str]:
    """The paths of all files of a repository (the hub's tree API). Raises HubRefused, NetworkError, Interrupted."""
    return until_interrupted(ctx.machine, lambda: _list(ctx, repo, revision))


def _list(ctx: Context, repo: str, revision: str) -> list[str]:
    endpoint, token = ctx.options.endpoint.rstrip("/"), token_of(ctx)
    url = f"{endpoint}/api/models/{repo}/tree/{quote(revision, safe='')}?recursive=true&expand=false"
    with fetch(ctx, Address(url, {"Authorization": f"Bearer {token}"} if token else {})) as response:
        if not response.ok:
            raise refusal(response, RemoteFile(endpoint, repo, revision, "", 0, ""), with_token=token is not None)
        try:
            entries = response.json()
            return [entry["path"] for entry in entries if entry["type"] == "file"]
        except (ValueError, KeyError, TypeError) as error:
            raise HubRefused(
                f"{host_of(endpoint)} does not answer as a hub does.", hint="If HF_ENDPOINT is set, unset it."
            ) from error


def checkpoint_of(repo: str, files: list[str], precision: str) -> str:
    """The one checkpoint at the top of a repository whose name says the precision (`..._fp16.safetensors`).

    For fp32 it is the one whose name says no other precision. Raises UsageError, naming what there is.
    """
    top = [path for path in files if path.endswith(".safetensors") and "/" not in path]
    words = {"fp16": ("fp16",), "bf16": ("bf16",)}
    named = [path for path in top if any(word in path.lower() for word in words.get(precision, ()))]
    if precision == "fp32":
        named = [path for path in top if not any(word in path.lower() for word in ("fp16", "bf16", "fp8", "lora"))]
    if len(named) == 1:
        return named[0]
    there = ", ".join(path for path in files if path.endswith(".safetensors")) or "no safetensors file"
    raise UsageError(
        f"{repo} has {'more than one' if named else 'no'} {precision} checkpoint by name. It has: {there}.",
        hint=f"provision download {repo}/FILE",
    )
