"""Fills in the report's templates: every text is redacted by `tell`, made visible and escaped; markup stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup, escape

from provision.system.visible import visible

Tell = Callable[[str], str]


def render(template: str, tell: Tell, **values: object) -> Markup:
    """The template of this name, filled in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def told(value: object) -> object:
        return escape(visible(tell(value))) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=told,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["told"] = told
    return Markup(environment.get_template(template).render(values))  # noqa: S704 - escaped by the template
