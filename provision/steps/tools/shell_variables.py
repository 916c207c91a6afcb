"""The variables of the shell that would change what programs do: none of them reaches those that are started here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provision.command import Fix, program
from provision.core.finding import Finding
from provision.core.step import Context, Look
from provision.download import kinds as download_kinds
from provision.download.hub.token import read_token
from provision.environment.uv_settings import read_files
from provision.steps.tools import kinds
from provision.system.address import quoted
from provision.system.child_process import clean_env
from provision.system.tls import NAMES as CERTIFICATES

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
LOW_WATERMARK = 1.4
"""PYTORCH_MPS_LOW_WATERMARK_RATIO's default; the other must not be lower, but for 0 (PyTorch's MPS variables)."""
ON = frozenset({"1", "true", "yes", "on"})
HONOURED = frozenset(
    {
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HF_ENDPOINT",
        "HF_HOME",
        "HF_HUB_CACHE",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_TRUSTED_HOST",
        "UV_CONFIG_FILE",
        "UV_NO_CONFIG",
        "GIT_CONFIG_GLOBAL",
    }
)
"""Read by this tool itself."""


def check_environment(ctx: Context) -> Iterable[Finding]:
    """Which variables are left out, by name alone: a value may be a secret."""
    given = ctx.machine.environ
    offline = [name for name in OFFLINE if given.get(name, "").strip().lower() in ON]
    if offline:
        says = f"{' and '.join(offline)} {_are(offline)} set; provision ignores that."
        yield kinds.HF_OFFLINE.ok(offline[0], says)
    yield from _watermark(given.get("PYTORCH_MPS_HIGH_WATERMARK_RATIO", ""))
    for name in CERTIFICATES:
        bundle = given.get(name, "")
        if bundle and not Path(bundle).is_file():
            says = f"{name} names {bundle}, which does not exist: other programs trust no certificate with it."
            yield download_kinds.TLS_STORE.warn(name, says, fix=Fix("Unset it.", program("unset", name)))
    token = read_token(ctx.machine)
    if token.subject:
        says = f"{token.lack}: the token is not used."
        yield download_kinds.HF_BADTOKEN.warn(token.subject, says, fix=token.fix)
    yield from _uv_files(ctx)
    leaks = sorted(given.keys() - clean_env(given).keys() - HONOURED - set(OFFLINE))
    if leaks:
        says = f"{', '.join(leaks)} {_are(leaks)} set, but not passed on to the programs that provision starts."
        yield kinds.ENV_LEAK.ok("environment", says, detail=True)


def _uv_files(ctx: Context) -> Iterable[Finding]:
    """What uv's own files of settings say that does not count here, and those that nobody can read."""
    files = read_files(ctx.machine)
    for path, why in files.broken:
        says = f"{path} cannot be read ({why}): its package indexes are not used."
        yield kinds.UV_CONFIG.warn(
            str(path), says, fix=Fix("Correct it, or move it away:", program("mv", str(path), f"{path}.broken"))
        )
    for path in dict.fromkeys(path for path, _ in files.unused):
        keys = ", ".join(dict.fromkeys(key for place, key in files.unused if place == path))
        says = f"{path} sets {quoted(keys)}, which is ignored: only indexes and proxies of uv's settings are used."
        yield kinds.UV_UNUSED.ok(str(path), says)


def _watermark(ratio: str) -> Iterable[Finding]:
    """A share of the memory below torch's own low mark (1.4), which it then refuses."""
    try:
        refused = bool(ratio) and 0 < float(ratio) < LOW_WATERMARK
    except ValueError:
        refused = True
    if refused:
        says = (
            f"PYTORCH_MPS_HIGH_WATERMARK_RATIO is {ratio}: torch refuses it (`invalid low watermark ratio`) where"
            " you start ComfyUI by hand; provision does not pass it on."
        )
        yield kinds.WATERMARK_ENV.ok("environment", says)


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


ENVIRONMENT = Look(check_environment)
