"""The settings of a command: what was typed, then what its home remembers (`core/choices.py`)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace

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
    """What a home remembered, what it will remember, and a sentence for each change."""

    before: Choices
    after: Choices
    told: tuple[str, ...] = ()


Decided = Mapping[Source, list[str]]
"""The manifest's keys that each source decides, as `--set KEY=VALUE`."""


def in_order(by: Decided) -> list[str]:
    """All overrides, the weakest source first: the last that names a key wins."""
    return [word for source in reversed(Source) for word in by.get(source, ())]


def go_by_home(request: Request, home: Home, environ: Mapping[str, str]) -> tuple[Request, Draft, Choices]:
    """The request with what its home remembers, the manifest's draft, and the choices that hold for it.

    Choices are checked by themselves, so that an error names their file. Raises UsageError, ManifestError.
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
    """What the home remembers; after `--reset` only its manifest. Raises UsageError."""
    if request.command == "uninstall" or not is_home(home.root):
        return {}
    if not request.reset:
        return choices_of(home)
    with suppress(UsageError, ManifestError, KeyError):
        name = str(choices_of(home)["manifest"])
        find_manifest(name)
        return {"manifest": name}
    return {}


def _filled(request: Request, held: Choices, environ: Mapping[str, str]) -> Request:
    """The request, with what is remembered where neither flag nor environment decides."""
    flags = asdict(flags_in(held))
    if environ.get("HF_ENDPOINT", "").strip():
        del flags["endpoints"]
    if request.repo is not None or not flags["precision"]:
        del flags["precision"]
    return replace(request, **{name: flags[name] for name in flags if getattr(request, name) in (None, (), [])})


def layers_of(
    typed: Request, asked: Request, by: Decided, held: Choices, environ: Mapping[str, str]
) -> tuple[Layer, ...]:
    """The keys that each source decides, the strongest first; `asked` is `typed` with the lock's values."""

    def keys(source: Source) -> list[str]:
        return [word.partition("=")[0] for word in by.get(source, ())]

    variables = {"home": "PROVISION_HOME", "endpoints": "HF_ENDPOINT"}
    return (
        (Source.FLAG, [*_flags_of(typed), *keys(Source.FLAG), *(["home"] if typed.home is not None else [])]),
        (Source.ENVIRONMENT, [key for key, name in variables.items() if environ.get(name, "").strip()]),
        (Source.LOCK, [*_flags_of(asked), *keys(Source.LOCK)]),
        (Source.HOME, [*held]),
        (Source.ADOPTED, keys(Source.ADOPTED)),
        (Source.REHEARSAL, keys(Source.REHEARSAL)),
    )


def _flags_of(request: Request) -> Choices:
    """The flags of a request that a home remembers."""
    given = {name: getattr(request, name) for name in DEFAULTS}
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if request.manifest is not None:
        found["manifest"] = _named(request.manifest)
    return {name: value for name, value in found.items() if value not in (None, [])}


def _named(manifest: str) -> str:
    """A manifest's name, or the absolute path of its file."""
    if not manifest.endswith(".toml") and "/" not in manifest:
        return manifest
    return os.path.abspath(os.path.expanduser(manifest))  # noqa: PTH100, PTH111  (which leave `~nobody` as it is)


def is_kept(request: Request) -> bool:
    """Whether the home remembers the request: only commands that hold it write, `doctor` where it mends, `launch` where
    it opens or closes the server to the network."""
    opens = request.command == "launch" and request.lan is not None
    return opens or (request.command in ("all", "download", "doctor") and not request.passing)


def keep_from_now(asked: Request, home: Home, by: Decided, draft: Draft, manifest: Manifest) -> Keeping:
    """What the home will remember: its earlier choices, the lock's unusual values, and what was typed.

    `asked` is what was typed, with the lock's values; `manifest` is the result of all sources.
    """
    before: Choices = {}
    with suppress(UsageError):
        before = choices_of(home)
    base = draft.manifest(in_order({name: by[name] for name in (Source.REHEARSAL, Source.ADOPTED)}))
    usual, values = dict(flat(base)), dict(flat(manifest))
    lock = [each for each in by[Source.LOCK] if values.get(key := each.partition("=")[0]) != usual.get(key)]
    after = changed(_remembered(asked, home), asked_for(_flags_of(asked), [*lock, *by[Source.FLAG]], values))
    if asked.command == "all":
        after = {"manifest": DEFAULT_MANIFEST, **after}
    usual |= {**DEFAULTS, "precision": base.usual_precision}
    is_made = os.path.lexists(home.choices) or home.receipts.is_dir()
    return Keeping(before, after, tuple(differences(before, after, usual)) if is_made else ())


def keep(ctx: Context, keeping: Keeping) -> None:
    """Write it where it is new, and print the changes. Raises HomeError, DiskFull."""
    if keeping.after != keeping.before:
        write_text(ctx.home.choices, write_choices(keeping.after))
    for says in keeping.told:
        ctx.note(says)


@contextmanager
def told_changes(ctx: Context) -> Iterator[None]:
    """Say afterwards what the home remembers otherwise than before. Raises UsageError."""
    before = choices_of(ctx.home)
    yield
    usual = {**DEFAULTS, "torch.channel": "nightly", "comfyui.ref": "latest"}
    for says in differences(before, choices_of(ctx.home), usual):
        ctx.note(says)
