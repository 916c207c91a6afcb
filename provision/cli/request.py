"""What was typed: the flags that commands share, each once. Loaded for their help and completion, so nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from provision.cli.offers import Offered, offer, offer_backends, offer_keys, offer_manifests
from provision.download.backends.registry import CHOICES

PRECISIONS = ("fp16", "bf16", "fp32")
REHEARSED = "sdxl-turbo"
"""The manifest whose repository the embedded world has, and that which is taken where none is named."""

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
BACKEND = flag("--backend", "|".join(CHOICES), "What moves the model's bytes.", offer_backends)
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
        from provision.comfyui.adoption import as_path

        return self.comfyui if as_path(self.comfyui) is None else None

    def manifest_keys(self) -> list[str]:
        """What was typed of the manifest, as `--set` has it, which wins. Raises UsageError."""
        named = {"comfyui.ref": self.revision, "torch.channel": self.torch}
        return [*(f"{key}={value}" for key, value in named.items() if value is not None), *self.overrides]
