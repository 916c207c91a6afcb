"""What was typed: the flags that commands share. Loaded for help and completion, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from provision.cli.contents import GLOBAL
from provision.cli.offers import Offered, offer, offer_backends, offer_keys, offer_manifests
from provision.download.backends.registry import CHOICES

PRECISIONS = ("fp16", "bf16", "fp32")
TIME_MACHINE = ("ask", "exclude", "keep")
REHEARSED = "sdxl-turbo"
"""The default manifest, whose repository the embedded world has."""

USUAL = frozenset({"home", "manifest", "overrides", "json", "verbose", "quiet", "plain", "color"})
"""Flags of almost every command, as fields of a request."""
ASKING = USUAL | {"yes"}
"""Flags of a command that may ask."""
MOVING = frozenset({"endpoints", "limit_rate", "connections", "look_in", "copy", "share_cache"})
"""Flags of a command that downloads the model."""
OFFLINE = frozenset({"source", "source_sha256"})
"""Flags of a command that may take everything from a bundle."""
BUILDING = ASKING | MOVING | OFFLINE | {"backend", "precision", "torch", "comfyui", "python", "rehearse", "locked"}
"""Flags of a command that makes or plans a whole home."""


def flag(name: str, metavar: str, help: str, offered: Callable[[str], Offered] | None = None) -> Any:
    """A flag with a value, and its completion."""
    return Option(name, metavar=metavar, help=help, autocompletion=offered)


SET = flag("--set", "KEY=VALUE", GLOBAL["--set KEY=VALUE"], offer_keys)
AS_JSON = Option("--json", help=GLOBAL["--json"])
HOME = flag("--home", "DIR", GLOBAL["--home DIR"])
MANIFEST = flag("--manifest", "NAME|FILE", GLOBAL["--manifest NAME|FILE"], offer_manifests)
PLAIN = Option("--plain", envvar="PROVISION_PLAIN", help=GLOBAL["--plain"])
YES = Option("--yes", "-y", help=GLOBAL["-y, --yes"])
VERBOSE = Option("--verbose", "-v", help=GLOBAL["-v, --verbose"])
QUIET = Option("--quiet", "-q", help=GLOBAL["-q, --quiet"])
COLOR = flag("--color", "WHEN", GLOBAL["--color WHEN"], offer("auto", "always", "never"))
BACKEND = flag("--backend", "|".join(CHOICES), "What downloads the model (default: auto, the fastest).", offer_backends)
PRECISION = flag(
    "--precision", "fp16|fp32", "Precision of the checkpoint (default: fp16 where available).", offer(*PRECISIONS)
)
TORCH = flag(
    "--torch", "nightly[@YYYYMMDD]|stable|VERSION", "torch version (default: nightly).", offer("nightly", "stable")
)
COMFYUI = "ComfyUI's tag, branch or commit (default: latest); or the folder of an install to adopt."
PYTHON = "The Python of that ComfyUI, or own for a new environment."
REHEARSE = Option("--rehearse", help="Try the whole install against local stand-ins.")
ENDPOINT = "A hub to use instead of huggingface.co; repeat it to add fallbacks."
COPY = Option(
    "--copy/--no-copy", help="Copy a model found on this disk where it cannot be cloned, instead of a hard link."
)
SHARE = Option(
    "--share-cache/--no-share-cache", help="Add the model to the Hugging Face cache too, without a second copy."
)
LAN = Option("--lan/--no-lan", help="Let other devices in your network use ComfyUI, or no longer.")
LEFT_OUT = flag(
    "--time-machine",
    "|".join(TIME_MACHINE),
    "Exclude the folder from Time Machine and Spotlight, or keep it there (default: ask once).",
    offer(*TIME_MACHINE),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for, unchecked; a field with an option is a flag, in this order. None: not given."""

    command: str
    home: Annotated[Path | None, HOME] = None
    manifest: Annotated[str | None, MANIFEST] = None
    overrides: Annotated[Sequence[str], SET] = ()
    json: Annotated[bool, AS_JSON] = False
    yes: Annotated[bool, YES] = False
    verbose: Annotated[bool, VERBOSE] = False
    quiet: Annotated[bool, QUIET] = False
    plain: Annotated[bool, PLAIN] = False
    color: Annotated[str | None, COLOR] = None
    backend: Annotated[str | None, BACKEND] = None
    precision: Annotated[str | None, PRECISION] = None
    torch: Annotated[str | None, TORCH] = None
    comfyui: Annotated[str | None, flag("--comfyui", "REF|DIR", COMFYUI)] = None
    python: Annotated[str | None, flag("--python", "PATH|own", PYTHON)] = None
    rehearse: Annotated[bool, REHEARSE] = False
    endpoints: Annotated[Sequence[str], flag("--endpoint", "URL", ENDPOINT)] = ()
    limit_rate: Annotated[
        str | None, flag("--limit-rate", "RATE", "Limit the download's speed, in bytes per second: 5M, 500k.")
    ] = None
    connections: Annotated[int | None, flag("--connections", "N", "Number of connections of the built-in backend.")] = (
        None
    )
    look_in: Annotated[Sequence[Path], flag("--look-in", "DIR", "A folder that may contain the model already.")] = ()
    copy: Annotated[bool | None, COPY] = None
    share_cache: Annotated[bool | None, SHARE] = None
    lan: Annotated[bool | None, LAN] = None
    time_machine: Annotated[str | None, LEFT_OUT] = None
    locked: Annotated[Path | None, flag("--locked", "FILE", "Rebuild exactly what this provision.lock lists.")] = None
    source: Annotated[str | None, flag("--from", "DIR|URL", "Take everything from this bundle, without internet.")] = (
        None
    )
    source_sha256: Annotated[
        str | None, flag("--from-sha256", "HEX", "The digest that `provision bundle` printed for it.")
    ] = None
    reset: Annotated[bool, Option("--reset", help="Forget the remembered flags, except the manifest.")] = False
    deep: Annotated[bool, Option("--deep", help="Test everything again: hash, torch, imports, image.")] = False
    to: Annotated[Path | None, flag("--to", "DIR", "Put the file here instead of into ComfyUI.")] = None
    inspect: Annotated[bool, Option("--inspect", help="Show what the file is, by its header; download nothing.")] = (
        False
    )
    bundle: Path | None = None
    """`serve DIR`: a bundle instead of the install folder."""
    repo: str | None = None
    """`download OWNER/NAME`: a repository instead of the manifest's models."""
    repo_file: str | None = None
    passing: bool = False
    """Whether the home forgets the request."""

    @property
    def revision(self) -> str | None:
        """`--comfyui REF`, None where it names a folder. Raises UsageError where it could be either."""
        from provision.comfyui.adoption import as_path

        return self.comfyui if as_path(self.comfyui) is None else None

    def manifest_keys(self) -> list[str]:
        """The typed keys of the manifest as `--set` takes them, which comes last and wins. Raises UsageError."""
        named = {"comfyui.ref": self.revision, "torch.channel": self.torch}
        return [*(f"{key}={value}" for key, value in named.items() if value is not None), *self.overrides]
