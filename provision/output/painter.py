"""Colours and layout for a stream, by rich, with every text made visible."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from provision.output.safe_streams import Door
from provision.system.visible import visible


class Painter(Console):
    """A rich console whose escapes are all its own: texts become visible as segments, before colours are added."""

    def __init__(self, door: Door | None, width: int | None = None) -> None:
        super().__init__(file=io.StringIO() if door is None else door.canvas(), width=width, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with each text made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
