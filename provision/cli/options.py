"""The flags that commands share, as typer reads them, and what a shell offers for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Offered = list[tuple[str, str]]
"""What a shell completes, each with a word of help."""


def offer(*names: str) -> Callable[[str], Offered]:
    """Names that are known beforehand."""
    return lambda incomplete: [(name, "") for name in names if name.startswith(incomplete)]


def offer_manifests(incomplete: str) -> Offered:
    """The manifests that come with the tool."""
    from provision.core.manifest import manifest_names

    return [(name, "") for name in manifest_names() if name.startswith(incomplete)]


def offer_findings(incomplete: str) -> Offered:
    """The ids of findings, with what is looked at."""
    from provision.core.catalogue import CATALOGUE

    return [(entry.id, entry.looks_at) for entry in CATALOGUE if entry.id.startswith(incomplete)]


def offer_keys(incomplete: str) -> Offered:
    """The keys of the usual manifest, as `--set` takes them, with their values."""
    from provision.core.manifest import load_manifest
    from provision.core.overrides import flat

    keys = ((f"{key}=", str(value)) for key, value in flat(load_manifest("sdxl-turbo")))
    return [pair for pair in keys if pair[0].startswith(incomplete)]


DEFAULT_MANIFEST = "sdxl-turbo"

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="The folder for everything (PROVISION_HOME, ~/provision)."),
]
ManifestOption = Annotated[
    str | None,
    typer.Option("--manifest", metavar="NAME|FILE", help="What to provision.", autocompletion=offer_manifests),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the manifest.", autocompletion=offer_keys),
]
JsonOption = Annotated[bool, typer.Option("--json", help="NDJSON events, then one report.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Agree to what would be asked.")]
PlainOption = Annotated[
    bool,
    typer.Option("--plain", envvar="PROVISION_PLAIN", help="Words in lines, as for a screen reader: nothing moves."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show what the programs say.")]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="auto|hf|wget|git-lfs|http",
        help="What moves the model's bytes.",
        autocompletion=offer("auto", "hf", "wget", "git-lfs", "http", "huggingface-cli"),
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="fp16|fp32",
        help="Which checkpoint (fp16 where there is one).",
        autocompletion=offer("fp16", "bf16", "fp32"),
    ),
]
TorchOption = Annotated[
    str | None,
    typer.Option(
        "--torch",
        metavar="nightly[@YYYYMMDD]|stable|VERSION",
        help="Which torch.",
        autocompletion=offer("nightly", "stable"),
    ),
]
ComfyOption = Annotated[
    str | None,
    typer.Option(
        "--comfyui", metavar="REF|DIR", help="ComfyUI's tag, branch or commit, or latest; or the folder of one to adopt"
    ),
]
InstallOption = Annotated[
    str | None, typer.Option("--comfyui", metavar="DIR", help="A ComfyUI that this tool did not make.")
]
PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="PATH|own", help="The Python of that ComfyUI, or one that this tool makes."),
]
RehearseOption = Annotated[
    bool, typer.Option("--rehearse", help="Everything real, against an embedded world on this machine.")
]
EndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint", metavar="URL", help="A hub to ask in place of the usual one; repeated: the next in turn."
    ),
]
RateOption = Annotated[
    str | None, typer.Option("--limit-rate", metavar="RATE", help="Bytes a second for the download: 5M, 500k.")
]
ConnectionsOption = Annotated[
    int | None, typer.Option("--connections", metavar="N", help="Connections of the built-in backend.")
]
LookInOption = Annotated[
    list[Path] | None, typer.Option("--look-in", metavar="DIR", help="A folder that may hold the model already.")
]
CopyOption = Annotated[
    bool | None,
    typer.Option(
        "--copy/--no-copy", help="Copy a model that is found, in place of a hard link where it cannot be cloned."
    ),
]
ShareOption = Annotated[
    bool | None,
    typer.Option(
        "--share-cache/--no-share-cache", help="Let the Hugging Face cache have the model too, without a second copy."
    ),
]
ForOption = Annotated[
    str | None,
    typer.Option(
        "--for", metavar="TARGET", help="Plan for a Mac that is not this one: macos-14-arm64-py312-16gb, m3max-24gb ..."
    ),
]
RequirementsOption = Annotated[
    Path | None,
    typer.Option("--requirements", metavar="FILE", help="With --for: ComfyUI's requirements, not those on its host."),
]
LockedOption = Annotated[
    Path | None, typer.Option("--locked", metavar="FILE", help="Rebuild exactly what this provision.lock says.")
]
