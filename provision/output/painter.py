"""Colours and layout for a stream, by rich, with every text made visible."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from provision.output.outlet import Colour, Outlet
from provision.system.visible import visible


class Painter(Console):
    """A rich console whose escapes are all its own: texts become visible as segments, before colours are added."""

    def __init__(self, outlet: Outlet, width: int | None = None) -> None:
        door, colour = outlet.door, outlet.colour
        system: Literal["auto", "truecolor"] | None = "auto"
        if colour is not Colour.AUTO:
            system = "truecolor" if colour is Colour.ALWAYS else None
        super().__init__(
            file=io.StringIO() if door is None else door.canvas(),
            width=width,
            highlight=False,
            color_system=system,
            no_color=None if colour is Colour.AUTO else colour is Colour.NEVER,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with each text made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
