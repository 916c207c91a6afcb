"""Seconds an image that others have published, to set what is measured here beside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure: warm, one image; `low_s` to `high_s` seconds."""

    machine: str
    size: int
    """Pixels of each side."""
    steps: int
    low_s: float
    high_s: float
    source: str

    @property
    def words(self) -> str:
        """The seconds, as a person reads them."""
        return f"{self.low_s:g} to {self.high_s:g} s" if self.high_s != self.low_s else f"{self.low_s:g} s"

    @property
    def middle_s(self) -> float:
        """One number, for a bar."""
        return (self.low_s + self.high_s) / 2


SOURCE = "the walkthrough of SDXL-Turbo on a MacBook Pro that this tool automates"
FIGURES = (
    Figure("M1 Pro, 16 GB", 512, 1, 2.0, 3.0, SOURCE),
    Figure("AWS g5 or inf2", 768, 1, 0.25, 0.25, SOURCE),
)
"""The second is of the sizes g5.8xlarge and inf2.12xlarge."""
