"""Every kind of finding there is, collected from the rooms that yield them.

The ids are stable: people search for them, scripts test them. `docs/doctor.md` is made from it (see `doctor_page`).
"""

from __future__ import annotations

from collections.abc import Iterable

from provision.comfyui import kinds as logs
from provision.command import ours
from provision.core import kinds as core
from provision.core.finding import Kind
from provision.download import kinds as download
from provision.errors import UsageError
from provision.steps.comfyui import kinds as comfyui
from provision.steps.first_image import kinds as first_image
from provision.steps.hardware import kinds as hardware
from provision.steps.lock import kinds as lock
from provision.steps.models import kinds as models
from provision.steps.python_env import kinds as python_env
from provision.steps.requirements import kinds as requirements
from provision.steps.server import kinds as server
from provision.steps.tools import kinds as tools
from provision.steps.torch import kinds as torch
from provision.steps.workflow import kinds as workflow

ROOMS = (
    core,
    hardware,
    tools,
    download,
    python_env,
    torch,
    comfyui,
    models,
    requirements,
    workflow,
    server,
    first_image,
    lock,
    logs,
)
CATALOGUE = tuple(kind for room in ROOMS for kind in vars(room).values() if isinstance(kind, Kind))


def known(id: str) -> Kind | None:
    """A kind by its id, None when there is none."""
    return next((kind for kind in CATALOGUE if kind.id == id), None)


def kind_of(id: str) -> Kind:
    """The kind that a sign of a log names. Raises KeyError when there is none."""
    if (kind := known(id)) is None:
        raise KeyError(id)
    return kind


def must_know(ids: Iterable[str]) -> None:
    """Raise UsageError for an id that is none, with the nearest."""
    import difflib

    names = [kind.id for kind in CATALOGUE]
    for id in ids:
        if id not in names:
            near = difflib.get_close_matches(id.lower(), names, n=1)
            rest = ("--only", near[0]) if near else ("--list",)
            raise UsageError(f"Unknown finding {id!r}.", hint=ours("doctor", *rest))


def steps_with_findings() -> list[str]:
    """The steps in the order of the catalogue."""
    return list(dict.fromkeys(kind.step for kind in CATALOGUE))
