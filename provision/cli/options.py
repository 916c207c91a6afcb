"""The options of the steps, from the request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provision.cli.request import PRECISIONS, REHEARSED, TIME_MACHINE, Request
from provision.command import Command, Fix, ours, program
from provision.core.manifest import manifest_names
from provision.core.step import Options
from provision.download.backends.registry import backend_name
from provision.errors import UsageError

HUB = "https://huggingface.co"
CONNECTIONS_MAX = 32
RATE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def choose_options(request: Request, environ: Mapping[str, str]) -> Options:
    """Checked options. Raises UsageError."""
    backend = backend_name(request.backend or "auto")
    if request.precision not in (None, *PRECISIONS):
        raise UsageError(
            f"Unknown precision {request.precision!r}.", hint=Fix(f"Choose from: {', '.join(PRECISIONS)}.")
        )
    if request.time_machine not in (None, *TIME_MACHINE):
        raise UsageError(
            f"Unknown --time-machine {request.time_machine!r}.", hint=Fix(f"Choose from: {', '.join(TIME_MACHINE)}.")
        )
    if request.rehearse and request.manifest in manifest_names() and request.manifest != REHEARSED:
        raise UsageError(
            f"The rehearsal only has the model of {REHEARSED}, not of {request.manifest}.",
            hint=ours("all", "--rehearse"),
        )
    if request.rehearse and request.endpoints and request.source is None:
        raise UsageError("A rehearsal uses its own hub.", hint=Fix("Remove --endpoint or --rehearse."))
    if request.connections is not None and not 1 <= request.connections <= CONNECTIONS_MAX:
        raise UsageError(
            f"--connections {request.connections} is not between 1 and {CONNECTIONS_MAX}.",
            hint=Fix("As in: --connections 4"),
        )
    usual = environ.get("HF_ENDPOINT", "").strip() or HUB
    named = dict.fromkeys(_address("--endpoint", each, Fix(f"As in: --endpoint {HUB}")) for each in request.endpoints)
    return Options(
        backend=backend,
        precision=request.precision or "fp16",
        deep=request.deep,
        yes=request.yes,
        endpoint=_address("HF_ENDPOINT", usual, program("unset", "HF_ENDPOINT")),
        endpoints=tuple(named),
        limit_rate=parse_rate(request.limit_rate) if request.limit_rate is not None else 0,
        connections=request.connections or 0,
        look_in=tuple(request.look_in),
        copy=bool(request.copy),
        share_cache=bool(request.share_cache),
        lan=bool(request.lan),
        time_machine=request.time_machine or "ask",
    )


def _address(name: str, text: str, hint: Fix | Command) -> str:
    address = text.strip()
    if "://" not in address:
        address = f"https://{address}"
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address):
        raise UsageError(f"{name} is {text!r}, which is not an http address.", hint=hint)
    return address.rstrip("/")


def parse_duration(text: str) -> float:
    """Seconds: `2h`, `90m`, `1h30m`, `45s`. Raises UsageError."""
    found = re.fullmatch(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?", text.strip().lower())
    seconds = (
        sum(int(each or 0) * unit for each, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if not seconds:
        raise UsageError(f"Invalid --for {text!r}.", hint=Fix("As in: --for 2h, --for 90m"))
    return float(seconds)


def parse_rate(text: str) -> int:
    """Bytes a second: `5M`, `500k`, `1.5 MB/s` or a plain number; units are decimal. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmg]?)(?:b?/s|b)?", text.strip().lower())
    rate = int(float(found[1]) * RATE_UNITS[found[2]]) if found else 0
    if rate < 1000:
        raise UsageError(
            f"--limit-rate {text!r} is not a rate of at least 1k (bytes per second).",
            hint=Fix("As in: --limit-rate 5M"),
        )
    return rate
