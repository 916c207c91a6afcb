"""Every state, in the order of the page."""

from __future__ import annotations

from tests.states.network import NETWORK
from tests.states.places import PLACES
from tests.states.settings import GIT, OTHERS, UV
from tests.states.shell import SHELL
from tests.states.state import State

PARTS: tuple[tuple[str, tuple[State, ...]], ...] = (
    ("Places", PLACES),
    ("The shell", SHELL),
    ("Settings of git", GIT),
    ("Settings of uv", UV),
    ("Settings of others", OTHERS),
    ("The network, the clock, a port", NETWORK),
)
STATES = tuple(state for _, states in PARTS for state in states)
