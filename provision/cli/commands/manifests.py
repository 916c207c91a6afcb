"""`provision manifests`: list, show, write and validate them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from provision.cli.app import Flagged, Manual
from provision.cli.command import carry_out_alone
from provision.cli.offers import offer_manifests
from provision.cli.request import AS_JSON, REHEARSED, SET
from provision.command import Fix, ours
from provision.output.result import Data, Pairs, Result, answer

HEAD = """\
# What `provision all --manifest {file}` installs. Change what you like; keys that you leave out have the values that
# `provision manifests show` prints. A model is a repository on the Hugging Face hub with the files to take from it;
# without a size or sha256 the hub's own are used. To check it: provision manifests validate {file}
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True, cls=Flagged)
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


@dataclass(frozen=True, slots=True)
class NewManifest:
    """`manifests new`: the manifest's name, and its file."""

    name: str
    path: str


@app.callback()
def manifests(ctx: typer.Context, json: Json = False) -> None:
    """List, show, write and validate manifests."""
    if ctx.invoked_subcommand is None:
        carry_out_alone("manifests", listed, json=json)


@app.command("list", cls=Manual)
def list_(json: Json = False) -> None:
    """List the manifests that come with the tool; * is the default."""
    carry_out_alone("manifests", listed, json=json)


@app.command(cls=Manual)
def show(name: Name = REHEARSED, set_: Sets = None, json: Json = False) -> None:
    """Print a manifest as TOML, which --manifest FILE takes."""
    carry_out_alone("manifests", lambda: shown(name, set_ or []), json=json)


@app.command(cls=Manual)
def new(
    file: Annotated[Path, typer.Argument(metavar="NAME", help="The new manifest; NAME.toml is written here.")],
    source: Annotated[
        str, typer.Option("--from", metavar="NAME|FILE", help="What to begin with.", autocompletion=offer_manifests)
    ] = REHEARSED,
    json: Json = False,
) -> None:
    """Write a manifest to edit, with comments; never over a file."""
    carry_out_alone("manifests", lambda: written(file, source), json=json)


@app.command(cls=Manual)
def validate(name: Name, set_: Sets = None, json: Json = False) -> None:
    """Check a manifest, and say what is wrong with it."""
    carry_out_alone("manifests", lambda: validated(name, set_ or []), json=json)


def listed() -> Result:
    """The manifests that come with the tool."""
    from provision.core.manifest import load_manifest, manifest_names
    from provision.output.amounts import size_text

    rows, found = [("  NAME", "SIZE", "WHAT")], []
    for name in manifest_names():
        manifest = load_manifest(name)
        _, file = manifest.checkpoint(manifest.usual_precision)
        size, star = size_text(file.size) if file.size else "", "*" if name == REHEARSED else " "
        rows.append((f"{star} {name}", size, f"{manifest.title}; licence {manifest.license.id or 'on its page'}"))
        found.append(Listed(name, manifest.title, file.size))
    return answer(ManifestList(tuple(found)), Pairs(rows), Fix("To use one:", ours("all", "--manifest", "NAME")))


def shown(name: str, overrides: list[str]) -> Result:
    """A manifest as the text of its file, and for programs each key as `--set` names it."""
    from provision.core.manifest import read_manifest
    from provision.core.manifest_toml import toml_of
    from provision.core.overrides import flat

    draft = read_manifest(name)
    manifest = draft.manifest(overrides)
    text = toml_of(manifest) if overrides else draft.path.read_text(encoding="utf-8")
    return answer(ManifestValues(dict(flat(manifest))), Data(text.rstrip("\n")))


def written(file: Path, source: str) -> Result:
    """A new file with the text of a manifest, under its own name. Raises UsageError, ManifestError, HomeError."""
    import re

    from provision.core.manifest import parse_manifest, read_manifest
    from provision.errors import UsageError
    from provision.output.layout import KEPT, line
    from provision.system.disk_errors import unusable
    from provision.system.strict import parse_toml

    path = (file if file.suffix == ".toml" else Path(f"{file}.toml")).expanduser().absolute()
    text = read_manifest(source).path.read_text(encoding="utf-8")
    named = re.sub(r'^name = "[^"]*"', f'name = "{path.stem}"', text, count=1, flags=re.MULTILINE)
    named = HEAD.format(file=path.name) + "\n" + named
    manifest = parse_manifest(parse_toml(named), path.name)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(named)
    except FileExistsError as error:
        raise UsageError(f"{path} already exists.", hint=ours("manifests", "new", "NAME")) from error
    except OSError as error:
        raise unusable(path, error) from error
    says = line("Wrote ", (str(path), KEPT), f", begun from {source}. Edit it, then:")
    use = Fix("", ours("all", "--manifest", str(path)))
    return answer(NewManifest(manifest.name, str(path)), says, use, changed=True)


def validated(name: str, overrides: list[str]) -> Result:
    """A manifest, read strictly. Raises ManifestError with what is wrong."""
    from provision.core.manifest import load_manifest

    manifest = load_manifest(name, overrides)
    return answer(ManifestName(manifest.name), f"{manifest.name} is a valid manifest: {manifest.title}.")
