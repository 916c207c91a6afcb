"""What a command goes by: what was typed, and where nothing was, what its home remembers (`core/choices.py`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace

from provision.cli.options import choose_options
from provision.cli.request import Request
from provision.core.choices import (
    DEFAULT_MANIFEST,
    DEFAULTS,
    Choices,
    Layer,
    Source,
    asked_for,
    blaming,
    changed,
    check_choices,
    choices_of,
    differences,
    flags_in,
    for_manifest,
    write_choices,
)
from provision.core.home import Home
from provision.core.manifest import Draft, Manifest, find_manifest, read_manifest
from provision.core.overrides import flat
from provision.core.ownership import is_home
from provision.core.receipts import write_text
from provision.core.step import Context
from provision.errors import ManifestError, UsageError


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a home remembered, what it is to remember, and what of that is new, in sentences."""

    before: Choices
    after: Choices
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """What each place decides of the manifest, as `--set` has it, the weakest first."""

    rehearsal: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    home: list[str] = field(default_factory=list)
    lock: list[str] = field(default_factory=list)
    flag: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """All, one after the other: the last that names a key wins."""
        return [*self.rehearsal, *self.adopted, *self.home, *self.lock, *self.flag]


# -- going by it --------------------------------------------------------------------------------------------------


def go_by_home(request: Request, home: Home, environ: Mapping[str, str]) -> tuple[Request, Draft, Choices]:
    """The request with what its home remembers, the manifest's draft, and what is remembered and holds for it.

    It is checked by itself, so that what is refused names its file. Raises UsageError, ManifestError.
    """
    found = _remembered(request, home)
    held = dict(found if request.manifest is None else for_manifest(found, _named(request.manifest)))
    if home.code_of_another is not None:  # where no other revision is checked out
        held.pop("comfyui.ref", None)
    filled = _filled(request, held, environ)
    assert filled.manifest is not None
    if not held:
        return filled, read_manifest(filled.manifest), held
    with blaming(home.choices) if request.manifest is None else nullcontext():
        draft = read_manifest(filled.manifest)
    with blaming(home.choices):
        choose_options(_filled(Request(request.command), held, {}), {})
        check_choices(held, draft)
    return filled, draft, held


def _remembered(request: Request, home: Home) -> Choices:
    """What the home remembers; of what is to be forgotten, which manifest it is of. Raises UsageError."""
    if request.command == "uninstall" or not is_home(home.root):
        return {}
    if not request.reset:
        return choices_of(home)
    with suppress(UsageError, ManifestError, KeyError):
        name = str(choices_of(home)["manifest"])
        find_manifest(name)
        return {"manifest": name}
    return {}


def _readable(home: Home) -> Choices:
    with suppress(UsageError):
        return choices_of(home)
    return {}


def _filled(request: Request, held: Choices, environ: Mapping[str, str]) -> Request:
    """The request with what is remembered where nothing was typed, and no environment decides."""
    flags = flags_in(held)
    endpoints = () if environ.get("HF_ENDPOINT", "").strip() else flags.endpoints
    return replace(
        request,
        manifest=request.manifest or flags.manifest,
        backend=request.backend or flags.backend,
        precision=request.precision or (flags.precision if request.repo is None else "") or None,
        endpoints=request.endpoints or endpoints,
        copy=flags.copy if request.copy is None else request.copy,
        share_cache=flags.share_cache if request.share_cache is None else request.share_cache,
    )


def layers_of(
    typed: Request, asked: Request, by: Decided, held: Choices, environ: Mapping[str, str]
) -> tuple[Layer, ...]:
    """Which keys each place decides, the first that is asked first; `asked` is what was typed, and what a lock says."""

    def keys(words: list[str]) -> list[str]:
        return [word.partition("=")[0] for word in words]

    variables = {"home": "PROVISION_HOME", "endpoints": "HF_ENDPOINT"}
    return (
        (Source.FLAG, [*_flags_of(typed), *keys(by.flag), *(["home"] if typed.home is not None else [])]),
        (Source.ENVIRONMENT, [key for key, name in variables.items() if environ.get(name, "").strip()]),
        (Source.LOCK, [*_flags_of(asked), *keys(by.lock)]),
        (Source.HOME, [*held]),
        (Source.ADOPTED, keys(by.adopted)),
        (Source.REHEARSAL, keys(by.rehearsal)),
    )


def _flags_of(request: Request) -> Choices:
    """The flags of a request that a home remembers, as far as it has them."""
    given = {name: getattr(request, name) for name in DEFAULTS}
    found = {name: value for name, value in given.items() if value not in (None, ())}
    if request.manifest is not None:
        found["manifest"] = _named(request.manifest)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _named(manifest: str) -> str:
    """A manifest's name, or its file as it is found from anywhere."""
    if not manifest.endswith(".toml") and "/" not in manifest:
        return manifest
    return os.path.abspath(os.path.expanduser(manifest))  # noqa: PTH100, PTH111  (which leave `~nobody` as it is)


# -- keeping it ---------------------------------------------------------------------------------------------------


def is_kept(request: Request) -> bool:
    """Whether what is asked for is remembered: a command that changes the home; of `doctor` only where it mends."""
    return request.command in ("all", "download", "doctor") and not request.passing


def keep_from_now(asked: Request, home: Home, by: Decided, draft: Draft, manifest: Manifest) -> Keeping:
    """What the home is to remember: what it did, of a lock what is not so without it, and what was typed.

    `asked` is what was typed, and what a lock says; `manifest` is what came of it all.
    """
    before, base = _readable(home), draft.manifest([*by.rehearsal, *by.adopted])
    usual, values = dict(flat(base)), dict(flat(manifest))
    lock = [each for each in by.lock if values.get(key := each.partition("=")[0]) != usual.get(key)]
    after = changed(_remembered(asked, home), asked_for(_flags_of(asked), [*lock, *by.flag], values))
    if asked.command == "all":
        after = {"manifest": DEFAULT_MANIFEST, **after}
    usual |= {**DEFAULTS, "precision": base.usual_precision}
    is_made = os.path.lexists(home.choices) or home.receipts.is_dir()
    return Keeping(before, after, tuple(differences(before, after, usual)) if is_made else ())


def keep(ctx: Context, keeping: Keeping) -> None:
    """Write it where it is new, and say what is. Raises HomeError, DiskFull."""
    if keeping.after != keeping.before:
        write_text(ctx.home.choices, write_choices(keeping.after))
    for says in keeping.told:
        ctx.note(says)


def go_by_torch(ctx: Context, channel: str) -> Context:
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
