"""The variables of the shell that would change what programs do: none of them reaches those that are started here."""

from __future__ import annotations

from collections.abc import Iterable

from provision.finding import Finding, ok
from provision.machine import clean_env
from provision.step import Context, Look

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
ON = frozenset({"1", "true", "yes", "on"})
HONOURED = frozenset({
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
})  # fmt: skip
"""Read by this tool itself."""


def check_environment(ctx: Context) -> Iterable[Finding]:
    """Which variables are left out, by name alone: a value may be a secret."""
    given = ctx.machine.environ
    offline = [name for name in OFFLINE if given.get(name, "").strip().lower() in ON]
    if offline:
        says = f"{' and '.join(offline)} {_are(offline)} set; this tool and what it starts do not go by that."
        yield ok("hf-offline", offline[0], says)
    leaks = sorted(given.keys() - clean_env(given).keys() - HONOURED - set(OFFLINE))
    if leaks:
        says = f"{', '.join(leaks)} {_are(leaks)} set, and not passed on to the programs that are started."
        yield ok("env-leak", "environment", says, detail=True)


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


ENVIRONMENT = Look(check_environment)
