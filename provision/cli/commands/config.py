"""`provision config`: every setting of a home with its value, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass

from provision.cli.command import Session, command
from provision.cli.request import REHEARSED, USUAL
from provision.output.result import Pairs, Result, answer


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, and where its value comes from."""

    key: str
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a home."""

    home: str
    values: tuple[Setting, ...]


def config(at: Session) -> Result:
    """Each value with its source: a flag, the environment, a lock, the home, the manifest."""
    from provision.core.choices import shown, source_of
    from provision.core.overrides import flat

    home, options = str(at.ctx.home.root), at.ctx.options
    held: list[tuple[str, object]] = [
        ("home", home),
        ("manifest", at.request.manifest or REHEARSED),
        ("backend", options.backend),
        ("precision", options.precision),
        ("endpoints", list(options.endpoints or (options.endpoint,))),
        ("copy", options.copy),
        ("share_cache", options.share_cache),
        ("lan", options.lan),
        ("time_machine", options.time_machine),
        *flat(at.ctx.manifest),
    ]
    rows = [(key, str(source_of(key, at.layers)), _without_password(value)) for key, value in held]
    values = tuple(Setting(key, value, source) for key, source, value in rows)
    table = Pairs([(key, source, at.home_shown if key == "home" else shown(value)) for key, source, value in rows])
    return answer(Settings(home, values), table)


def _without_password(value: object) -> object:
    from provision.core.lockfile import without_credentials

    if isinstance(value, list):
        return [_without_password(each) for each in value]
    return without_credentials(value) if isinstance(value, str) and "://" in value else value


SHOWN = {
    "backend",
    "precision",
    "torch",
    "comfyui",
    "python",
    "locked",
    "endpoints",
    "copy",
    "share_cache",
    "time_machine",
}

app = command("config", config, USUAL | SHOWN)
