"""`provision manifests`: list, show and validate them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import typer

from provision.cli.command import carry_out_alone
from provision.cli.offers import offer_manifests
from provision.cli.request import AS_JSON, REHEARSED, SET
from provision.output.result import Pairs, Result, answer

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)
Name = Annotated[str, typer.Argument(metavar="NAME|FILE", autocompletion=offer_manifests)]
Sets = Annotated[list[str] | None, SET]
Json = Annotated[bool, AS_JSON]


@dataclass(frozen=True, slots=True)
class Listed:
    """A manifest that comes with the tool; `size` is that of its usual model file, null where only the hub knows."""

    name: str
    title: str
    size: int | None


@dataclass(frozen=True, slots=True)
class ManifestList:
    """`manifests list`."""

    manifests: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class ManifestValues:
    """`manifests show`: every key, as `--set` takes it, with its value."""

    manifest: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ManifestName:
    """`manifests validate`."""

    name: str


@app.callback()
def manifests(ctx: typer.Context, json: Json = False) -> None:
    """List, show and validate manifests."""
    if ctx.invoked_subcommand is None:
        carry_out_alone("manifests", listed, json=json)


@app.command("list")
def list_(json: Json = False) -> None:
    """The manifests that come with the tool."""
    carry_out_alone("manifests", listed, json=json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(autocompletion=offer_manifests)] = REHEARSED,
    set_: Sets = None,
    json: Json = False,
) -> None:
    """One manifest, with its overrides."""
    carry_out_alone("manifests", lambda: shown(name, set_ or []), json=json)


@app.command()
def validate(name: Name, set_: Sets = None, json: Json = False) -> None:
    """Read a manifest by the strict loader and say what is wrong with it."""
    carry_out_alone("manifests", lambda: validated(name, set_ or []), json=json)


def listed() -> Result:
    """The manifests that come with the tool."""
    from provision.core.manifest import load_manifest, manifest_names
    from provision.output.views import size_text

    rows, found = [], []
    for name in manifest_names():
        manifest = load_manifest(name)
        _, file = manifest.checkpoint(manifest.usual_precision)
        size = size_text(file.size) if file.size else "size from the hub"
        rows.append((name, f"{manifest.title}, {size}, licence {manifest.license.id or 'on its page'}"))
        found.append(Listed(name, manifest.title, file.size))
    return answer(ManifestList(tuple(found)), Pairs(rows))


def shown(name: str, overrides: list[str]) -> Result:
    """Every key of a manifest, as `--set` names it, with its value."""
    from provision.core.manifest import load_manifest
    from provision.core.overrides import flat

    values = flat(load_manifest(name, overrides))
    return answer(ManifestValues(dict(values)), Pairs([(key, str(value)) for key, value in values]))


def validated(name: str, overrides: list[str]) -> Result:
    """A manifest, read strictly. Raises ManifestError with what is wrong."""
    from provision.core.manifest import load_manifest

    manifest = load_manifest(name, overrides)
    return answer(ManifestName(manifest.name), f"{manifest.name} is a valid manifest: {manifest.title}.")
