"""The manifest: what to provision, as data, read by one strict loader.

Whatever is wrong is a ManifestError with the key's full name. Nothing in a manifest is ever run by a shell.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from msgspec import Meta, to_builtins

from provision.command import Fix, ours
from provision.core.overrides import apply_override, nearest, set_key
from provision.core.strict_loader import build, text
from provision.errors import ManifestError
from provision.system.strict import Unreadable, read_toml

SHA256 = re.compile(r"[0-9a-f]{64}")
CHANNEL = re.compile(r"nightly(@\d{8})?|stable|\d+(\.\d+)*((a|b|rc)\d+)?(\.dev\d+)?(\+[\w.]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
REF = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w./+-]{0,199}")
REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,199}")
REPO = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
HTTP = re.compile(r"https?://.*")
ODD = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""What would steer a terminal or end an argument."""
PART = rf"(?!\.\.?(?:/|\Z))(?![-~])[^/\\{ODD}]+"
NODE_FILE = rf"(?!\.)[^/\\{ODD}]+"
"""The name of a custom node: of a folder, or of a file."""
INNER_PATH = re.compile(rf"{PART}(?:/{PART})*")
"""A path that stays where it is put: relative, no `..`, no odd characters, no part that is an option."""
HOST = rf"(?!-)[^-/@\s{ODD}][^/@\s{ODD}]*"
GIT_ADDRESS = re.compile(
    rf"(?:file://)?/[^{ODD}]*"
    rf"|(?:https?|ssh)://{HOST}(?:@{HOST})*(?:/[^\s{ODD}]*)?"
    r"|(?!-)[\w.-]+@(?!-)[\w.-]+:[\w./~-]+"
)
"""What git may be given: never an option, for ssh neither (CVE-2017-1000117), never a transport that runs a program."""
MOVED = re.compile(r"(?<=github\.com[/:])comfyanonymous(?=/ComfyUI(?:\.git)?/?\Z)", re.IGNORECASE)
"""Who had ComfyUI's repository until January 2026 (ComfyUI's pull request 11858): GitHub leads on from there for as
long as nobody makes a repository of that name."""
OLD_TERMS: Mapping[str, str] = {
    "true": "commercial use allowed, by this manifest",
    "false": "no commercial use, by this manifest",
}
"""What manifests said of commercial use before they had a sentence for it."""
KNOWN_BAD = "known-bad"
"""The file of known bad torch builds among the manifests (see `environment/known_bad_torch.py`)."""

Minor = Annotated[str, text(r"3\.\d{1,2}", "like 3.12")]
Exact = Annotated[str, text(r"\d+(\.\d+)+", "an exact version")]
Index = Annotated[str, text(rf"(?:{HTTP.pattern})?", "an http or https address")]
Side = Annotated[int, Meta(ge=64, le=4096, multiple_of=8, description="64 to 4096, a multiple of 8")]


@dataclass(frozen=True, slots=True)
class License:
    """The licence of the weights; shown, never hidden, and never judged: what its page says, and where that stands."""

    id: str
    """How the model's page names it; empty where it names none."""
    url: str = ""
    commercial: str = ""
    """What its page says of commercial use, as half a sentence with a link; empty where that was not read."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the machine should be."""

    memory_gib_min: int = 8
    memory_gib_recommended: int = 16
    macos_min: Annotated[str, text(r"\d+(\.\d+)*", "like 14.0")] = "14.0"


@dataclass(frozen=True, slots=True)
class Python:
    """The target Python: `version` is wanted, `min` to `max` are accepted."""

    version: Minor = "3.13"
    min: Minor = "3.10"
    max: Minor = "3.14"


@dataclass(frozen=True, slots=True)
class KnownGood:
    """Exact versions that belong together, taken when everything else fails its probe."""

    torch: Exact
    torchvision: Exact
    torchaudio: Annotated[str, text(r"(?:\d+(\.\d+)+)?", "an exact version")] = ""


@dataclass(frozen=True, slots=True)
class Torch:
    """Which torch, and from where. An empty index is the package index that uv is configured with."""

    channel: Annotated[str, text(CHANNEL.pattern, "nightly, nightly@YYYYMMDD, stable or a version")] = "nightly"
    nightly_index: Index = "https://download.pytorch.org/whl/nightly/cpu"
    stable_index: Index = "https://download.pytorch.org/whl/cpu"
    known_good: KnownGood | None = None


@dataclass(frozen=True, slots=True)
class ComfyUI:
    """The engine: where from, which revision, how it is started."""

    url: Annotated[str, text(GIT_ADDRESS.pattern, "an https, http, ssh or file address, or a path")]
    ref: Annotated[str, text(REF.pattern, "a tag, branch or commit")] = "latest"
    args: tuple[str, ...] = ("--force-fp16",)
    port: Annotated[int, Meta(ge=1, le=65535, description="between 1 and 65535")] = 8188
    requirements_days: Annotated[int, Meta(ge=0, le=3650, description="0 to 3650 days")] = 7
    """Requirements are resolved as of the commit's date plus these days."""

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of weights. Without `size` or `sha256` the hub's own are taken."""

    path: Annotated[
        str, text(rf"(?=.*\.safetensors\Z){INNER_PATH.pattern}", "a .safetensors file, a path inside the repository")
    ]
    precision: Annotated[str, text("fp16|fp32|bf16", "one of fp16, fp32, bf16")] = "fp16"
    size: Annotated[int, Meta(gt=0, description="a number of bytes")] | None = None
    sha256: Annotated[str, text(SHA256.pattern, "64 lower-case hexadecimal digits")] | None = None

    @property
    def name(self) -> str:
        """The file's name in ComfyUI's list."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Model:
    """A repository on the hub at one revision, and the folder under `ComfyUI/models` for its files."""

    repo: Annotated[str, text(REPO.pattern, "owner/name")]
    folder: Annotated[str, text(INNER_PATH.pattern, "a folder inside ComfyUI/models")]
    files: Annotated[tuple[ModelFile, ...], Meta(min_length=1, description="at least one file")]
    revision: Annotated[str, text(REVISION.pattern, "a branch, tag or commit")] = "main"


@dataclass(frozen=True, slots=True)
class FirstImage:
    """The first image, which tests the install."""

    prompt: str
    width: Side = 512
    height: Side = 512
    steps: Annotated[int, Meta(ge=1, le=100, description="between 1 and 100")] = 1
    cfg: Annotated[float, Meta(ge=0, le=100, description="between 0 and 100")] = 1.0
    sampler: str = "euler"
    scheduler: str = "karras"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What to provision."""

    schema: int
    name: Annotated[str, text("[a-z0-9][a-z0-9._-]*", "lower-case characters")]
    title: str
    license: License
    comfyui: ComfyUI
    models: tuple[Model, ...]
    first_image: FirstImage
    machine: Needs = field(default_factory=Needs)
    python: Python = field(default_factory=Python)
    torch: Torch = field(default_factory=Torch)
    keep: Annotated[int, Meta(ge=2, le=99, description="2 to 99")] = 5
    """How many generations are kept, with the one in use."""

    @property
    def usual_precision(self) -> str:
        """The precision that is taken where none is asked for: fp16, or that of the first file where none is fp16."""
        found = [file.precision for model in self.models for file in model.files]
        return "fp16" if "fp16" in found or not found else found[0]

    def checkpoint(self, precision: str) -> tuple[Model, ModelFile]:
        """The checkpoint of the first image: the first file of that precision in a `checkpoints` folder.

        Raises ManifestError when there is none.
        """
        for model, file in self.chosen(precision):
            if model.folder.split("/")[0] == "checkpoints":
                return model, file
        raise ManifestError(
            f"The manifest {self.name} has no {precision} checkpoint.", hint=ours("manifests", "show", self.name)
        )

    def chosen(self, precision: str) -> list[tuple[Model, ModelFile]]:
        """The files to provision: those of the precision asked for."""
        return [(model, file) for model in self.models for file in model.files if file.precision == precision]


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest's file as it was read, for keys to be set before it is looked at."""

    path: Path
    data: Mapping[str, Any]

    def check(self, values: Mapping[str, object]) -> None:
        """Hold values of known keys, as they stand in a file, to the rules of a manifest. Raises ManifestError."""
        data = deepcopy(dict(self.data))
        for key, value in values.items():
            set_key(data, key, value)
        parse_manifest(data, str(self.path))

    def manifest(self, overrides: Sequence[str] = ()) -> Manifest:
        """The manifest with `KEY=VALUE`s set, the last of a key holds.

        Raises ManifestError: an unknown key, a wrong type, a value that is refused.
        """
        data = deepcopy(dict(self.data))
        for override in overrides:
            apply_override(data, override, Manifest)
        return parse_manifest(data, str(self.path))


def read_manifest(source: str) -> Draft:
    """A manifest's file, by name or path. Raises ManifestError: no such manifest, not TOML."""
    path = find_manifest(source)
    try:
        return Draft(path, read_toml(path))
    except (OSError, Unreadable) as error:
        raise ManifestError(
            f"The manifest {path} cannot be read: {error}.", hint=ours("manifests", "validate", "FILE")
        ) from error


def load_manifest(source: str, overrides: Sequence[str] = ()) -> Manifest:
    """A manifest by name or file, with `--set` overrides. Raises ManifestError."""
    return read_manifest(source).manifest(overrides)


def manifest_folder() -> Path:
    """The folder of manifests: in the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_manifests"
    return packaged if packaged.is_dir() else package.parent / "manifests"


def manifest_names() -> list[str]:
    """The names of the manifests that come with the tool."""
    return sorted(path.stem for path in manifest_folder().glob("*.toml") if path.stem != KNOWN_BAD)


def find_manifest(source: str) -> Path:
    """The file of a manifest that is named, or given as a file. Raises ManifestError."""
    if source.endswith(".toml") or "/" in source:
        path = Path(os.path.expanduser(source))  # noqa: PTH111  (which leaves `~nobody` as it is)
    else:
        path = manifest_folder() / f"{source}.toml"
    if source == KNOWN_BAD or not os.path.isfile(path):  # noqa: PTH113  (which takes a name that is too long for none)
        close = nearest(source, manifest_names()) or ", ".join(manifest_names())
        raise ManifestError(
            f"Unknown manifest {source!r}.", hint=Fix(f"Did you mean {close}? To list all:", ours("manifests"))
        )
    return path


def parse_manifest(data: Mapping[str, object], where: str = "manifest") -> Manifest:
    """A manifest from plain data. Raises ManifestError with the full name of the key that is wrong."""
    if data.get("schema") != 1:
        raise ManifestError(
            f"{where}: schema is {data.get('schema')!r}; this tool reads schema 1.",
            hint=Fix("Its first line: schema = 1"),
        )
    manifest = build(Manifest, _with_terms(data))
    return replace(manifest, comfyui=replace(manifest.comfyui, url=MOVED.sub("Comfy-Org", manifest.comfyui.url)))


def _with_terms(data: Mapping[str, object]) -> Mapping[str, object]:
    """The data with a sentence where a manifest of before says only whether there may be commercial use."""
    terms = data.get("license")
    if not isinstance(terms, Mapping) or not isinstance(given := terms.get("commercial"), bool | str):
        return data
    return {**data, "license": {**terms, "commercial": OLD_TERMS.get(str(given).lower(), given)}}


def check_manifest(manifest: Manifest) -> Manifest:
    """A manifest that was made otherwise, held to the same rules. Raises ManifestError."""
    return parse_manifest(to_builtins(manifest))
