"""What was asked for in a home: `provision.toml`, which every command reads and a flag changes.

Its keys are those of `--set` and the fields of `Flags`, flat. Order: flag, environment, lock, home, manifest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from provision.command import Fix, ours
from provision.core.finding import JSON
from provision.core.home import Home
from provision.core.lockfile import Lock, load_lock, without_credentials
from provision.core.manifest import Draft, Manifest, load_manifest, manifest_names
from provision.core.overrides import as_overrides, in_schema, known_keys, nearest
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.receipts import Receipts
from provision.core.strict_loader import build, is_plain
from provision.errors import LockError, ManifestError, ProvisionError, UsageError
from provision.system.strict import Unreadable, read_toml, why_not

MAX_BYTES = 4_000_000
"""More than all keys with the longest values that `--set` takes."""
HEAD = """\
# Settings of this install folder, used by every command. To show them: provision config
# A flag of `provision all` changes it, and `provision all --reset` goes back to the manifest.
"""
OF_THE_MACHINE = ("torch", "comfyui", "python", "machine")
"""The tables of a manifest that say how ComfyUI runs; other choices belong to the model, so to one manifest."""
TOLD_AS = {"torch.channel": "torch", "comfyui.ref": "ComfyUI's revision", "time_machine": "--time-machine"}
FORGET = Fix("Fix that file, or discard its contents:", ours("all", "--reset"))
SHOWN_MAX = 60
"""Letters of a value in a sentence."""

DEFAULT_MANIFEST = "sdxl-turbo"
Choices = Mapping[str, JSON]
"""The value of each key that was chosen, in the order of the file."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Flags that are stored with the manifest's keys, and their defaults.

    Flags for one run (a rate, connections, folders to look in) are not stored.
    """

    manifest: str = DEFAULT_MANIFEST
    backend: str = "auto"
    precision: str = ""
    """Empty: the manifest's usual one."""
    endpoints: tuple[str, ...] = ()
    copy: bool = False
    share_cache: bool = False
    lan: bool = False
    """Whether ComfyUI listens to the network."""
    time_machine: str = "ask"


class Source(StrEnum):
    """Where a value comes from, the first that is asked first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    LOCK = "lock"
    HOME = "home"
    ADOPTED = "adopted install"
    REHEARSAL = "rehearsal"
    MANIFEST = "manifest"
    DEFAULT = "default"


DEFAULTS: Choices = {item.name: item.default for item in fields(Flags)}
Layer = tuple[Source, Collection[str]]
"""The keys that one place decides."""


# -- reading ------------------------------------------------------------------------------------------------------


def read_choices(path: Path) -> Choices:
    """What was chosen; nothing where there is no file. Raises UsageError with the file's name and the key."""
    try:
        data = read_toml(path, max_bytes=MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, Unreadable) as error:
        raise UsageError(f"{path}: it cannot be read: {why_not(error)}.", hint=FORGET) from error
    with blaming(path):
        return parse_choices(data)


def parse_choices(data: Mapping[str, object]) -> Choices:
    """Choices from plain data, in tables or with dots. Raises ManifestError for an unknown key, a flag's wrong type."""
    found, known = dict(_flattened(data)), known_keys(Flags) | known_keys(Manifest)
    for key in found:
        if in_schema(key) not in known:
            near = nearest(key, sorted(known)) or ", ".join(DEFAULTS)
            raise ManifestError(f"{key[:SHOWN_MAX]} is not a known key.", hint=Fix(f"Nearest: {near}"))
    flags_in(found)
    return found


def check_choices(choices: Choices, draft: Draft) -> None:
    """Hold the keys of the manifest among them to its rules. Raises ManifestError."""
    draft.check({key: value for key, value in choices.items() if key not in DEFAULTS})


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Name this file in errors raised inside, as UsageError."""
    try:
        yield
    except ProvisionError as error:
        hint = error.hint if error.hint.says.startswith(("Nearest", "Did you mean")) else FORGET
        raise UsageError(f"{path}: {error.message}", hint=hint) from error


def _flattened(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def choices_of(home: Home) -> Choices:
    """What was chosen in a home; read from receipts and the lock in homes made before there was this file.

    Raises UsageError.
    """
    if os.path.lexists(home.choices):
        return read_choices(home.choices)
    try:
        lock = load_lock(home.lock_file)
    except LockError:
        lock = None
    receipts = Receipts(home.receipts)
    torch = receipts.read("torch", TorchReceipt) if home.adopted is None else TorchReceipt()
    return from_before(torch, receipts.read("comfyui", ComfyReceipt), lock)


def from_before(torch: TorchReceipt, comfyui: ComfyReceipt, lock: Lock | None) -> Choices:
    """Choices that differ from the defaults, from receipts and a lock."""
    name = lock.manifest if lock is not None else DEFAULT_MANIFEST
    told = {
        "manifest": name,
        "precision": lock.models[0].precision if lock is not None and lock.models else "",
        "torch.channel": torch.wanted,
        "comfyui.ref": comfyui.ref if not comfyui.path else "",
    }
    if name not in manifest_names() or not any(told[key] for key in ("precision", "torch.channel", "comfyui.ref")):
        return {}
    manifest = load_manifest(name)
    usual = {
        "manifest": DEFAULT_MANIFEST,
        "precision": manifest.usual_precision,
        "torch.channel": manifest.torch.channel,
        "comfyui.ref": manifest.comfyui.ref,
    }
    return {key: value for key, value in told.items() if value not in ("", usual[key])}


# -- going by it --------------------------------------------------------------------------------------------------


def for_manifest(choices: Choices, name: str) -> Choices:
    """The choices that stay valid with another manifest: how ComfyUI runs, and how files are downloaded."""
    if choices.get("manifest", DEFAULT_MANIFEST) == name:
        return choices
    stays = (*OF_THE_MACHINE, *(flag for flag in DEFAULTS if flag != "precision"))
    return {key: value for key, value in choices.items() if key.partition(".")[0] in stays}


def flags_in(choices: Choices) -> Flags:
    """The flags among them; what was not chosen is as usual."""
    return build(Flags, {key: value for key, value in choices.items() if key in DEFAULTS})


def of_manifest(choices: Choices) -> list[str]:
    """The manifest's keys among them, as `--set` takes them."""
    return as_overrides({key: value for key, value in choices.items() if key not in DEFAULTS})


def source_of(key: str, layers: Sequence[Layer]) -> Source:
    """The first place that decides a key, or a part of it."""
    for source, keys in layers:
        if key in keys or any(each.startswith(f"{key}.") for each in keys):
            return source
    return Source.DEFAULT if key in DEFAULTS else Source.MANIFEST


# -- changing it --------------------------------------------------------------------------------------------------


def asked_for(flags: Choices, overrides: Sequence[str], values: Mapping[str, JSON]) -> Choices:
    """What to store of flags and `--set`; `values` has the whole manifest's values.

    A place in a list stores the whole list. Passwords and control characters are not stored.
    """
    named = [re.sub(r"\.0+(?=\d)", ".", override.partition("=")[0]) for override in overrides]
    keys = [key if key in values else key.rpartition(".")[0] for key in named]
    chosen = {**flags, **{key: values[key] for key in keys if key in values}}
    return {key: value for key, value in chosen.items() if _may_be_kept(value)}


def _may_be_kept(value: JSON) -> bool:
    texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    return all(
        is_plain(re.sub(r"[\n\t]", "", text)) and ("://" not in text or without_credentials(text) == text)
        for text in texts
    )


def changed(held: Choices, asked: Choices) -> Choices:
    """The choices to store: those held that are still valid, and those asked for now."""
    kept = for_manifest(held, str(asked["manifest"])) if "manifest" in asked else held
    return {**kept, **asked}


def differences(before: Choices, after: Choices, usual: Choices) -> list[str]:
    """A sentence for each value that changed; `usual` has the defaults."""
    keys = dict.fromkeys([*after, *before])
    pairs = ((key, before.get(key, usual.get(key)), after.get(key, usual.get(key))) for key in keys)
    return [
        f"{TOLD_AS.get(key, key)} is now {shown(now, SHOWN_MAX)} (was {shown(was, SHOWN_MAX)})."
        for key, was, now in pairs
        if was != now
    ]


def shown(value: JSON, most: int | None = None) -> str:
    """A value in a sentence or a table, cut after `most` characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value if value is not None else "")
    text = " ".join(text.split()) or "none"
    return text if most is None or len(text) <= most else f"{text[:most]} ..."


def write_choices(choices: Choices) -> str:
    """The text of the file. JSON's strings, numbers and lists of strings are TOML's too."""
    return HEAD + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in choices.items())
