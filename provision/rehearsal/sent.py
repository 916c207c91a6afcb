"""What the rehearsal's hub sent, for who reads the run's facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes of model files that the rehearsal's hub sent, in all and by file."""

    hub_sent_bytes: int
    hub_sent_by_file: Mapping[str, int]
