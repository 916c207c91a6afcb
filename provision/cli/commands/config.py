"""`provision config`: by which values every command goes in a home, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterator

from provision.cli.command import Session, command
from provision.cli.request import REHEARSED, USUAL
from provision.core.finding import JSON
from provision.output.result import Result, answer, pairs


def config(at: Session) -> Result:
    """Each value with its source: a flag, the environment, a lock, the home, the manifest."""
    from provision.core.choices import shown, source_of

    rows = [(key, str(source_of(key, at.layers)), _without_password(value)) for key, value in _values(at)]
    values: list[JSON] = [{"key": key, "value": value, "source": source} for key, source, value in rows]
    facts: dict[str, JSON] = {"command": "config", "home": str(at.ctx.home.root), "values": values}
    return answer(facts, pairs([(key, source, shown(value)) for key, source, value in rows]))


def _values(at: Session) -> Iterator[tuple[str, JSON]]:
    from provision.core.overrides import flat

    options = at.ctx.options
    yield "home", str(at.ctx.home.root)
    yield "manifest", at.request.manifest or REHEARSED
    yield "backend", options.backend
    yield "precision", options.precision
    yield "endpoints", list(options.endpoints or (options.endpoint,))
    yield "copy", options.copy
    yield "share_cache", options.share_cache
    yield from flat(at.ctx.manifest)


def _without_password(value: JSON) -> JSON:
    from provision.core.lockfile import without_credentials

    if isinstance(value, list):
        return [_without_password(each) for each in value]
    return without_credentials(value) if isinstance(value, str) and "://" in value else value


SHOWN = {"backend", "precision", "torch", "comfyui", "python", "locked", "endpoints", "copy", "share_cache"}

app = command("config", config, USUAL | SHOWN)
