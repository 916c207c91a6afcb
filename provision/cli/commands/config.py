"""`provision config`: by which values every command goes in a home, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator

from provision.cli.commands.commands import success
from provision.cli.session import Session
from provision.core.choices import shown, source_of
from provision.core.finding import JSON
from provision.core.lockfile import without_credentials
from provision.core.overrides import flat
from provision.output import views
from provision.output.console import tabulate


def config(at: Session) -> bool:
    """Each value with its source: a flag, the environment, the home, the manifest."""
    assert at.chosen is not None
    rows = [(key, _without_password(value), str(source_of(key, at.chosen.layers))) for key, value in _values(at)]
    values: list[JSON] = [{"key": key, "value": value, "source": source} for key, value, source in rows]
    at.console.record(success(command="config", home=str(at.ctx.home.root), values=values))
    tabulate(at.console, views.pairs_table([(key, source, shown(value)) for key, value, source in rows]))
    return True


def _values(at: Session) -> Iterator[tuple[str, JSON]]:
    assert at.chosen is not None
    options = at.ctx.options
    yield "home", str(at.ctx.home.root)
    yield "manifest", at.chosen.manifest
    yield "backend", options.backend
    yield "precision", options.precision
    yield "endpoints", list(options.endpoints or (options.endpoint,))
    yield "copy", options.copy
    yield "share_cache", options.share_cache
    yield from flat(at.ctx.manifest)


def _without_password(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_without_password(each) for each in value]
    return without_credentials(value) if isinstance(value, str) and "://" in value else value
