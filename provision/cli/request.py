"""What was typed: the flags that commands share, each once, and the options that steps read, made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from provision.cli.offers import Offered, offer, offer_keys, offer_manifests
from provision.comfyui.adoption import as_path
from provision.command import Command, Fix, ours, program
from provision.core.choices import DEFAULT_MANIFEST
from provision.core.manifest import manifest_names
from provision.core.step import Options
from provision.errors import UsageError

HUB = "https://huggingface.co"
BACKENDS = ("auto", "hf", "wget", "git-lfs", "http")
BACKEND_NAMES = {"huggingface-cli": "hf", **{name: name for name in BACKENDS}}
PRECISIONS = ("fp16", "bf16", "fp32")
CONNECTIONS_MAX = 32
RATE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
REHEARSED = DEFAULT_MANIFEST
"""The manifest whose repository the embedded world has."""

USUAL = frozenset({"home", "manifest", "overrides", "json", "verbose", "plain"})
"""The flags of almost every command, by the names of the fields of a request."""
ASKING = USUAL | {"yes"}
"""Those of a command that may ask."""
MOVING = frozenset({"endpoints", "limit_rate", "connections", "look_in", "copy", "share_cache"})
"""Those of a command that moves the model's bytes."""
BUILDING = ASKING | MOVING | {"backend", "precision", "torch", "comfyui", "python", "rehearse", "locked"}
"""Those of a command that makes, or plans, a whole home."""


def flag(name: str, metavar: str, help: str, offered: Callable[[str], Offered] | None = None) -> Any:
    """A flag with a value, and what a shell offers for it."""
    return Option(name, metavar=metavar, help=help, autocompletion=offered)


SET = flag("--set", "KEY=VALUE", "Override a key of the manifest.", offer_keys)
AS_JSON = Option("--json", help="NDJSON events, then one report.")
PLAIN = Option("--plain", envvar="PROVISION_PLAIN", help="Words in lines, as for a screen reader: nothing moves.")
BACKEND = flag("--backend", "|".join(BACKENDS), "What moves the model's bytes.", offer(*BACKENDS, "huggingface-cli"))
PRECISION = flag("--precision", "fp16|fp32", "Which checkpoint (fp16 where there is one).", offer(*PRECISIONS))
TORCH = flag("--torch", "nightly[@YYYYMMDD]|stable|VERSION", "Which torch.", offer("nightly", "stable"))
COMFYUI = "ComfyUI's tag, branch or commit, or latest; or the folder of one to adopt"
PYTHON = "The Python of that ComfyUI, or one that this tool makes."
REHEARSE = Option("--rehearse", help="Everything real, against an embedded world on this machine.")
ENDPOINT = "A hub to ask in place of the usual one; repeated: the next in turn."
COPY = Option("--copy/--no-copy", help="Copy a model that is found, in place of a hard link where it cannot be cloned.")
SHARE = Option(
    "--share-cache/--no-share-cache", help="Let the Hugging Face cache have the model too, without a second copy."
)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for, not yet looked at; a field with an option is a flag, in this order.

    None is what was not said.
    """

    command: str
    home: Annotated[Path | None, flag("--home", "DIR", "The folder for everything (PROVISION_HOME, ~/provision).")] = (
        None
    )
    manifest: Annotated[str | None, flag("--manifest", "NAME|FILE", "What to provision.", offer_manifests)] = None
    overrides: Annotated[Sequence[str], SET] = ()
    json: Annotated[bool, AS_JSON] = False
    yes: Annotated[bool, Option("--yes", "-y", help="Agree to what would be asked.")] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Show what the programs say.")] = False
    plain: Annotated[bool, PLAIN] = False
    backend: Annotated[str | None, BACKEND] = None
    precision: Annotated[str | None, PRECISION] = None
    torch: Annotated[str | None, TORCH] = None
    comfyui: Annotated[str | None, flag("--comfyui", "REF|DIR", COMFYUI)] = None
    install: Annotated[str | None, flag("--comfyui", "DIR", "A ComfyUI that this tool did not make.")] = None
    """`doctor --comfyui`: a folder, and never a revision."""
    python: Annotated[str | None, flag("--python", "PATH|own", PYTHON)] = None
    rehearse: Annotated[bool, REHEARSE] = False
    endpoints: Annotated[Sequence[str], flag("--endpoint", "URL", ENDPOINT)] = ()
    limit_rate: Annotated[str | None, flag("--limit-rate", "RATE", "Bytes a second for the download: 5M, 500k.")] = None
    connections: Annotated[int | None, flag("--connections", "N", "Connections of the built-in backend.")] = None
    look_in: Annotated[Sequence[Path], flag("--look-in", "DIR", "A folder that may hold the model already.")] = ()
    copy: Annotated[bool | None, COPY] = None
    share_cache: Annotated[bool | None, SHARE] = None
    locked: Annotated[Path | None, flag("--locked", "FILE", "Rebuild exactly what this provision.lock says.")] = None
    reset: Annotated[bool, Option("--reset", help="Forget what the home remembers of flags, but its manifest.")] = False
    deep: Annotated[bool, Option("--deep", help="Prove it all again: hash, torch, imports, image.")] = False
    to: Annotated[Path | None, flag("--to", "DIR", "Put the file here, not into ComfyUI.")] = None
    inspect: Annotated[bool, Option("--inspect", help="Show what it is by its header; move nothing.")] = False
    repo: str | None = None
    """`download OWNER/NAME`: a repository in the place of the manifest's models."""
    repo_file: str | None = None
    passing: bool = False
    """Whether nothing of it is to be remembered."""

    @property
    def revision(self) -> str | None:
        """`--comfyui REF`, None where it names a folder. Raises UsageError where it could be either."""
        return self.comfyui if as_path(self.comfyui) is None else None

    def manifest_keys(self) -> list[str]:
        """What was typed of the manifest, as `--set` has it, which wins. Raises UsageError."""
        named = {"comfyui.ref": self.revision, "torch.channel": self.torch}
        return [*(f"{key}={value}" for key, value in named.items() if value is not None), *self.overrides]


def choose_options(request: Request, environ: Mapping[str, str]) -> Options:
    """Options that hold together. Raises UsageError."""
    backend = request.backend or "auto"
    if backend not in BACKEND_NAMES:
        raise UsageError(f"There is no backend {backend!r}.", hint=Fix(f"Take one of {', '.join(BACKENDS)}."))
    if request.precision not in (None, *PRECISIONS):
        raise UsageError(
            f"There is no precision {request.precision!r}.", hint=Fix(f"Take one of {', '.join(PRECISIONS)}.")
        )
    if request.rehearse and request.manifest in manifest_names() and request.manifest != REHEARSED:
        raise UsageError(
            f"The rehearsal has the model of {REHEARSED} alone, not that of {request.manifest}.",
            hint=ours("all", "--rehearse"),
        )
    if request.rehearse and request.endpoints:
        raise UsageError("A rehearsal has a hub of its own.", hint=Fix("Leave out --endpoint, or --rehearse."))
    if request.connections is not None and not 1 <= request.connections <= CONNECTIONS_MAX:
        raise UsageError(
            f"--connections {request.connections} is not between 1 and {CONNECTIONS_MAX}.",
            hint=Fix("As in: --connections 4"),
        )
    usual = environ.get("HF_ENDPOINT", "").strip() or HUB
    named = dict.fromkeys(_address("--endpoint", each, Fix(f"As in: --endpoint {HUB}")) for each in request.endpoints)
    return Options(
        backend=BACKEND_NAMES[backend],
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
    )


def _address(name: str, text: str, hint: Fix | Command) -> str:
    address = text.strip()
    if "://" not in address:
        address = f"https://{address}"
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address):
        raise UsageError(f"{name} is {text!r}, which is no http address.", hint=hint)
    return address.rstrip("/")


def parse_rate(text: str) -> int:
    """Bytes a second: `5M`, `500k`, `1.5 MB/s` or a plain number; units are decimal. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmg]?)(?:b?/s|b)?", text.strip().lower())
    rate = int(float(found[1]) * RATE_UNITS[found[2]]) if found else 0
    if rate < 1000:
        raise UsageError(
            f"--limit-rate {text!r} is no rate of at least 1k (bytes a second).", hint=Fix("As in: --limit-rate 5M")
        )
    return rate
