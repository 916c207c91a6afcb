"""What a command goes by: what was typed, and where nothing was, what its home remembers (`core/choices.py`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.core.choices import (
    DEFAULT_MANIFEST,
    DEFAULTS,
    Choices,
    Layer,
    Source,
    asked_for,
    blaming,
    changed,
    choices_of,
    differences,
    flags_in,
    for_manifest,
    of_manifest,
    write_choices,
)
from provision.core.home import Home
from provision.core.manifest import Manifest, load_manifest
from provision.core.overrides import flat
from provision.core.ownership import is_home
from provision.core.receipts import write_text
from provision.core.step import Context
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.cli.session import Wish

KEEP = ("all", "download", "doctor")
"""The commands that change a home, and so what it remembers; `doctor` only where it mends."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the home remembered, what it is to remember, and what of that is new, in sentences."""

    before: Choices
    after: Choices
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a session goes by: the manifest by its name or file, who decided each key, and what is to be kept."""

    manifest: str
    layers: tuple[Layer, ...]
    keeping: Keeping | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What each place decides of the manifest, as `--set` takes it, the weakest first."""

    rehearsal: list[str]
    adopted: list[str]
    home: list[str]
    lock: list[str]
    flag: list[str]

    def all(self) -> list[str]:
        """One after the other: the last that names a key wins."""
        return [*self.rehearsal, *self.adopted, *self.home, *self.lock, *self.flag]


def remembered(command: str, home: Home, *, reset: bool) -> Choices:
    """What the home remembers; of what is to be forgotten, or cannot be read then, which manifest it is of.

    Raises UsageError.
    """
    if command == "uninstall" or not is_home(home.root):
        return {}
    if not reset:
        return choices_of(home)
    return {key: value for key, value in _readable(home).items() if key == "manifest"}


def check_held(command: str, home: Home, wish: Wish, environ: Mapping[str, str]) -> Choices:
    """What is remembered and goes with the wish, checked by itself, so that what is refused names its file.

    Raises UsageError, ManifestError.
    """
    from provision.cli.session import Wish, choose_options

    found = remembered(command, home, reset=wish.reset)
    name = wish.manifest or str(found.get("manifest", DEFAULT_MANIFEST))
    held = dict(for_manifest(found, name))
    if home.code_of_another is not None or (wish.comfyui is not None and home.adopted is not None):
        held.pop("comfyui.ref", None)
    if held:
        with blaming(home.choices):
            choose_options(filled(Wish(), held, {}), {})
            load_manifest(name, of_manifest(held))
    return held


def layers_of(typed: Wish, asked: Wish, by: Decided, held: Choices, environ: Mapping[str, str]) -> tuple[Layer, ...]:
    """Which keys each place decides, the first that is asked first. `asked` is what was typed, and what a lock says."""

    def keys(words: list[str]) -> list[str]:
        return [word.partition("=")[0] for word in words]

    variables = {"home": "PROVISION_HOME", "endpoints": "HF_ENDPOINT"}
    return (
        (Source.FLAG, [*flags_of(typed), *keys(by.flag), *(["home"] if typed.home is not None else [])]),
        (Source.ENVIRONMENT, [key for key, name in variables.items() if environ.get(name, "").strip()]),
        (Source.LOCK, [*flags_of(asked), *keys(by.lock)]),
        (Source.HOME, [*held]),
        (Source.ADOPTED, keys(by.adopted)),
        (Source.REHEARSAL, keys(by.rehearsal)),
    )


def filled(wish: Wish, held: Choices, environ: Mapping[str, str]) -> Wish:
    """The wish with what is remembered where nothing was typed, and no environment decides."""
    moving, flags = wish.moving, flags_in(held)
    endpoints = () if environ.get("HF_ENDPOINT", "").strip() else flags.endpoints
    return replace(
        wish,
        manifest=wish.manifest or flags.manifest,
        backend=wish.backend or flags.backend,
        precision=wish.precision or (flags.precision if wish.repo is None else "") or None,
        moving=replace(
            moving,
            endpoints=moving.endpoints or endpoints,
            copy=flags.copy if moving.copy is None else moving.copy,
            share_cache=flags.share_cache if moving.share_cache is None else moving.share_cache,
        ),
    )


def flags_of(wish: Wish) -> Choices:
    """The flags of a wish that a home remembers, as far as it has them."""
    moving = wish.moving
    found: Choices = {
        "manifest": None if wish.manifest is None else _named(wish.manifest),
        "backend": wish.backend,
        "precision": wish.precision,
        "endpoints": list(moving.endpoints) or None,
        "copy": moving.copy,
        "share_cache": moving.share_cache,
    }
    return {key: value for key, value in found.items() if value is not None}


def _named(manifest: str) -> str:
    """A manifest's name, or its file as it is found from anywhere."""
    if not manifest.endswith(".toml") and "/" not in manifest:
        return manifest
    return os.path.abspath(os.path.expanduser(manifest))  # noqa: PTH100, PTH111  (which leave `~nobody` as it is)


def keeping(command: str, home: Home, wish: Wish, decided: Decided, manifest: Manifest, name: str) -> Keeping:
    """What the home is to remember from now on: what it did, of a lock what is not so without it, and what was typed.

    `wish` is as it was typed or as a lock has it, `manifest` what came of it all, `name` what that is called.
    """
    before = remembered(command, home, reset=False) if not wish.reset else _readable(home)
    base = load_manifest(name, [*decided.rehearsal, *decided.adopted])
    usual, values = dict(flat(base)), dict(flat(manifest))
    lock = [each for each in decided.lock if values.get(key := each.partition("=")[0]) != usual.get(key)]
    asked = asked_for(flags_of(wish), [*lock, *decided.flag], values)
    after = changed(remembered(command, home, reset=wish.reset), asked)
    if command == "all":
        after = {"manifest": _named(name), **after}
    usual |= {**DEFAULTS, "precision": base.usual_precision}
    is_made = os.path.lexists(home.choices) or home.receipts.is_dir()
    return Keeping(before, after, tuple(differences(before, after, usual)) if is_made else ())


def _readable(home: Home) -> Choices:
    with suppress(UsageError):
        return choices_of(home)
    return {}


def keep(ctx: Context, keeping: Keeping) -> None:
    """Write it where it is new, and say what is. Raises HomeError, DiskFull."""
    if keeping.after != keeping.before:
        write_text(ctx.home.choices, write_choices(keeping.after))
    for says in keeping.told:
        ctx.note(says)


def goes_by_torch(ctx: Context, channel: str) -> Context:
    """The same context, and from now on its home, with torch of this channel.

    Raises UsageError, HomeError, DiskFull.
    """
    manifest, was = ctx.manifest, ctx.manifest.torch.channel
    if channel == was:
        return ctx
    before = choices_of(ctx.home)
    asked: Choices = {"torch.channel": channel}
    keep(ctx, Keeping(before, {**before, **asked}, tuple(differences({"torch.channel": was}, asked, {}))))
    return replace(ctx, manifest=replace(manifest, torch=replace(manifest.torch, channel=channel)))
