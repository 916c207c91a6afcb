"""The manifest: what to provision, as data, read by one strict loader.

An unknown key, a wrong type, a path that climbs out, a hash that is none: each is one ManifestError with the key's
full name. Nothing in a manifest is ever run by a shell.
"""

from __future__ import annotations

import os
import re
import types
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from provision.core.overrides import apply_override, nearest
from provision.errors import ManifestError
from provision.system.strict import Unreadable, read_toml

T = TypeVar("T")
SHA256 = re.compile(r"[0-9a-f]{64}")
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}")
REF = re.compile(r"[A-Za-z0-9][\w./+-]{0,199}")
CHANNEL = re.compile(r"nightly(@\d{8})?|stable|\d+(\.\d+)*((a|b|rc)\d+)?(\.dev\d+)?(\+[\w.]+)?")
VERSION = re.compile(r"\d+(\.\d+)+")
PRECISIONS = ("fp16", "fp32", "bf16")
SHOWN_MAX = 200
"""Letters of a value or a name that are said."""
KNOWN_BAD = "known-bad"
"""A file among the manifests that is none: see `known_bad`."""


@dataclass(frozen=True, slots=True)
class License:
    """The licence of the weights; shown, never hidden."""

    id: str
    url: str = ""
    commercial: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What the machine should be."""

    memory_gib_min: int = 8
    memory_gib_recommended: int = 16
    macos_min: str = "14.0"


@dataclass(frozen=True, slots=True)
class Python:
    """The target Python: `version` is wanted, `min` to `max` are accepted."""

    version: str = "3.12"
    min: str = "3.10"
    max: str = "3.13"


@dataclass(frozen=True, slots=True)
class KnownGood:
    """Exact versions that belong together, taken when everything else fails its probe."""

    torch: str
    torchvision: str
    torchaudio: str = ""


@dataclass(frozen=True, slots=True)
class Torch:
    """Which torch, and from where. An empty index is the package index that uv is configured with."""

    channel: str = "nightly"
    nightly_index: str = "https://download.pytorch.org/whl/nightly/cpu"
    stable_index: str = "https://download.pytorch.org/whl/cpu"
    known_good: KnownGood | None = None


@dataclass(frozen=True, slots=True)
class ComfyUI:
    """The engine: where from, which revision, how it is started."""

    url: str
    ref: str = "latest"
    args: tuple[str, ...] = ("--force-fp16",)
    port: int = 8188
    requirements_days: int = 7
    """Requirements are resolved as of the commit's date plus these days."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of weights. Without `size` or `sha256` the hub's own are taken."""

    path: str
    precision: str = "fp16"
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's name in ComfyUI's list."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Model:
    """A repository on the hub at one revision, and the folder under `ComfyUI/models` for its files."""

    repo: str
    folder: str
    files: tuple[ModelFile, ...]
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class FirstImage:
    """The picture that proves the install."""

    prompt: str
    width: int = 512
    height: int = 512
    steps: int = 1
    cfg: float = 1.0
    sampler: str = "euler"
    scheduler: str = "karras"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What to provision."""

    schema: int
    name: str
    title: str
    license: License
    comfyui: ComfyUI
    models: tuple[Model, ...]
    first_image: FirstImage
    machine: Needs = field(default_factory=Needs)
    python: Python = field(default_factory=Python)
    torch: Torch = field(default_factory=Torch)

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
            f"The manifest {self.name} has no {precision} checkpoint.",
            hint=f"provision manifests show {self.name}",
        )

    def chosen(self, precision: str) -> list[tuple[Model, ModelFile]]:
        """The files to provision: those of the precision asked for."""
        return [(model, file) for model in self.models for file in model.files if file.precision == precision]


def load_manifest(source: str, overrides: Sequence[str] = ()) -> Manifest:
    """A manifest by name or file, with `--set` overrides.

    Raises ManifestError: no such manifest, not TOML, an unknown key, a wrong type, a value that is refused.
    """
    path = find_manifest(source)
    try:
        data = read_toml(path)
    except (OSError, Unreadable) as error:
        raise ManifestError(
            f"The manifest {path} cannot be read: {error}.", hint="provision manifests validate FILE"
        ) from error
    for override in overrides:
        apply_override(data, override, Manifest)
    return parse_manifest(data, str(path))


def manifest_folder() -> Path:
    """Where the manifests lie: in the installed package, or beside it in a checkout."""
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
        raise ManifestError(f"There is no manifest {source!r}.", hint=f"provision manifests   # nearest: {close}")
    return path


def parse_manifest(data: Mapping[str, object], where: str = "manifest") -> Manifest:
    """A manifest from plain data. Raises ManifestError with the full name of the key that is wrong."""
    if data.get("schema") != 1:
        raise ManifestError(f"{where}: schema is {data.get('schema')!r}; this tool reads schema 1.", hint="schema = 1")
    manifest = build(Manifest, data, "")
    check_manifest(manifest)
    return manifest


def build(schema: type[T], data: object, where: str) -> T:
    """A dataclass from plain data, by its fields alone; `where` is put before the names of keys.

    Raises ManifestError: no table, an unknown or missing key, a wrong type, a control character.
    """
    if not isinstance(data, Mapping):
        raise ManifestError(f"{where.rstrip('.')} must be a table.", hint="provision manifests show sdxl-turbo")
    hints = get_type_hints(schema)
    names = [item.name for item in fields(schema)]  # type: ignore[arg-type]
    for key in data:
        if key not in names:
            near = nearest(str(key), names) or ", ".join(names)
            raise ManifestError(f"{where}{str(key)[:SHOWN_MAX]} is not a key that is known.", hint=f"Nearest: {near}")
    values: dict[str, object] = {}
    for item in fields(schema):  # type: ignore[arg-type]
        if item.name in data:
            values[item.name] = coerce(hints[item.name], data[item.name], f"{where}{item.name}")
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ManifestError(
                f"{where}{item.name} is missing.",
                hint="provision manifests show sdxl-turbo",
            )
    return schema(**values)


def coerce(kind: Any, value: object, where: str) -> object:
    """A value of plain data as one of a type of the schema; `where` names its key. Raises ManifestError."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        kind = next(option for option in get_args(kind) if option is not type(None))
        return coerce(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong_type(where, "a list", value)
        return tuple(coerce(get_args(kind)[0], item, f"{where}.{place}") for place, item in enumerate(value))
    if is_dataclass(kind) and isinstance(kind, type):
        return build(kind, value, f"{where}.")
    if type(value) is int and abs(value) >= 2**63:  # more than TOML knows, and than Python would write out
        raise ManifestError(f"{where} is too large a number.", hint=f"--set {where}=...")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _wrong_type(where, kind.__name__, value)
    if isinstance(value, str) and not is_plain(re.sub(r"[\n\t]", "", value)):
        raise ManifestError(f"{where} holds a control character: {shortened(value)}.", hint=f"--set {where}=...")
    return value


def shortened(value: object) -> str:
    """A value as it was written, so much of it as a person looks at."""
    text = repr(value[: 2 * SHOWN_MAX] if isinstance(value, str | list) else value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]} ..."


def _wrong_type(where: str, wanted: str, value: object) -> ManifestError:
    return ManifestError(
        f"{where} must be {wanted}, and is {shortened(value)} ({type(value).__name__}).",
        hint="provision manifests show sdxl-turbo",
    )


def check_manifest(manifest: Manifest) -> None:
    """Refuse values that no manifest may have. Raises ManifestError with the key's full name."""
    image, comfy = manifest.first_image, manifest.comfyui
    _require(
        bool(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", manifest.name)),
        "name",
        manifest.name,
        "lower-case letters",
    )
    _require(bool(CHANNEL.fullmatch(manifest.torch.channel)), "torch.channel", manifest.torch.channel,
             "nightly, nightly@YYYYMMDD, stable or a version")  # fmt: skip
    for key in ("torch", "torchvision", "torchaudio") if manifest.torch.known_good else ():
        value = getattr(manifest.torch.known_good, key)
        _require(bool(VERSION.fullmatch(value)) or (key, value) == ("torchaudio", ""), f"torch.known_good.{key}", value,
                 "an exact version")  # fmt: skip
    for key, url in (("torch.nightly_index", manifest.torch.nightly_index),
                     ("torch.stable_index", manifest.torch.stable_index)):  # fmt: skip
        _require(url == "" or url.startswith(("https://", "http://")), key, url, "an http or https address")
    _require(is_git_address(comfy.url), "comfyui.url", comfy.url, "an https, http, ssh or file address, or a path")
    _require(
        bool(REF.fullmatch(comfy.ref)) and ".." not in comfy.ref,
        "comfyui.ref",
        comfy.ref,
        "a tag, branch or commit",
    )
    _require(1 <= comfy.port <= 65535, "comfyui.port", comfy.port, "between 1 and 65535")
    _require(
        0 <= comfy.requirements_days <= 3650,
        "comfyui.requirements_days",
        comfy.requirements_days,
        "0 or more days",
    )
    for key in ("version", "min", "max"):
        value = getattr(manifest.python, key)
        _require(bool(re.fullmatch(r"3\.\d{1,2}", value)), f"python.{key}", value, "like 3.12")
    _require(bool(re.fullmatch(r"\d+(\.\d+)*", manifest.machine.macos_min)), "machine.macos_min",
             manifest.machine.macos_min, "like 14.0")  # fmt: skip
    for key, size in (("width", image.width), ("height", image.height)):
        _require(64 <= size <= 4096 and size % 8 == 0, f"first_image.{key}", size, "64 to 4096, a multiple of 8")
    _require(1 <= image.steps <= 100, "first_image.steps", image.steps, "between 1 and 100")
    _require(0 <= image.cfg <= 100, "first_image.cfg", image.cfg, "between 0 and 100")
    for place, model in enumerate(manifest.models):
        _check_model(model, f"models.{place}")


def _check_model(model: Model, where: str) -> None:
    _require(bool(REPO.fullmatch(model.repo)) and ".." not in model.repo, f"{where}.repo", model.repo, "owner/name")
    _require(bool(REVISION.fullmatch(model.revision)) and ".." not in model.revision, f"{where}.revision",
             model.revision, "a branch, tag or commit")  # fmt: skip
    _require(is_inner_path(model.folder), f"{where}.folder", model.folder, "a folder inside ComfyUI/models")
    _require(bool(model.files), f"{where}.files", [], "at least one file")
    for place, file in enumerate(model.files):
        key = f"{where}.files.{place}"
        _require(is_inner_path(file.path), f"{key}.path", file.path, "a path inside the repository")
        _require(file.path.endswith(".safetensors"), f"{key}.path", file.path, "a .safetensors file")
        _require(
            file.precision in PRECISIONS,
            f"{key}.precision",
            file.precision,
            "one of " + ", ".join(PRECISIONS),
        )
        _require(file.size is None or file.size > 0, f"{key}.size", file.size, "a number of bytes")
        _require(file.sha256 is None or bool(SHA256.fullmatch(file.sha256)), f"{key}.sha256", file.sha256,
                 "64 lower-case hexadecimal digits")  # fmt: skip


def is_inner_path(text: str) -> bool:
    """Whether a path from a manifest or a server stays where it is put: relative, no `..`, no odd characters."""
    path = PurePosixPath(text)
    odd = "\\" in text or not is_plain(text)
    plain = all(part not in ("", ".", "..") and not part.startswith(("-", "~")) for part in text.split("/"))
    return bool(text) and not path.is_absolute() and not odd and plain


def is_git_address(url: str) -> bool:
    """Whether git may be given this address: never an option, never a transport that runs a program."""
    if not is_plain(url) or "::" in url.split("/")[0]:
        return False
    if url.startswith(("file:///", "/")):
        return True
    if re.search(r"\s", url):
        return False
    remote = re.match(r"(?:https?|ssh)://([^/]+)/", f"{url}/") or re.fullmatch(r"([\w.-]+@[\w.-]+):[\w./~-]+", url)
    # A host that begins with a dash would be an option for ssh (CVE-2017-1000117).
    return remote is not None and not any(part.startswith("-") for part in remote[1].split("@"))


def is_plain(text: str) -> bool:
    """Whether a text holds nothing that would steer a terminal or end an argument."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _require(holds: bool, key: str, value: object, wanted: str) -> None:
    if not holds:
        raise ManifestError(f"{key} is {value!r}; it must be {wanted}.", hint=f"--set {key}=...")
