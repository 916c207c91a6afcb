"""Every breaker of a real home."""

from __future__ import annotations

from tests.breakers import checkout, disk, hubs, image, lock, model, network, nodes, python, server
from tests.breakers.breaker import Breaker

BREAKERS: tuple[Breaker, ...] = tuple(
    breaker
    for module in (network, hubs, disk, python, checkout, model, server, nodes, image, lock)
    for breaker in module.BREAKERS
)
