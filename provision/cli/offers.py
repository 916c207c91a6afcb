"""Shell completions for flags and arguments."""

from __future__ import annotations

from collections.abc import Callable

Offered = list[tuple[str, str]]
"""Completions, each with a word of help."""


def offer(*names: str) -> Callable[[str], Offered]:
    """A completion from fixed names."""
    return lambda incomplete: [(name, "") for name in names if name.startswith(incomplete)]


def offer_backends(incomplete: str) -> Offered:
    """The backends and their aliases."""
    from provision.download.backends.registry import CHOICES, backends

    return offer(*CHOICES, *(alias for each in backends() for alias in each.aliases))(incomplete)


def offer_manifests(incomplete: str) -> Offered:
    """The manifests that come with the tool."""
    from provision.core.manifest import manifest_names

    return offer(*manifest_names())(incomplete)


def offer_findings(incomplete: str) -> Offered:
    """The ids of findings, with what is looked at."""
    from provision.steps.catalogue import CATALOGUE

    return [(entry.id, entry.looks_at) for entry in CATALOGUE if entry.id.startswith(incomplete)]


def offer_keys(incomplete: str) -> Offered:
    """The keys of the usual manifest, as `--set` takes them, with their values."""
    from provision.core.manifest import load_manifest
    from provision.core.overrides import flat

    keys = ((f"{key}=", str(value)) for key, value in flat(load_manifest("sdxl-turbo")))
    return [pair for pair in keys if pair[0].startswith(incomplete)]
