"""The steps, in the order in which they depend: one literal tuple."""

from __future__ import annotations

from provision.step import Step, with_looks
from provision.steps.adopted import with_care
from provision.steps.changed import CHANGED
from provision.steps.comfyui import COMFYUI
from provision.steps.deep_image import DEEP_IMAGE
from provision.steps.engine_files import ENGINE_FILES
from provision.steps.engine_log import PROMPT_LOG, START_LOG
from provision.steps.environment import ENVIRONMENT
from provision.steps.first_image import FIRST_IMAGE
from provision.steps.first_page import FIRST_PAGE
from provision.steps.flags import FLAGS
from provision.steps.hardware import hardware_step
from provision.steps.imports import IMPORTS
from provision.steps.known_bad import KNOWN_BAD_TORCH
from provision.steps.known_pairs import KNOWN_PAIRS
from provision.steps.litter import LITTER
from provision.steps.lock_file import LOCK
from provision.steps.memory import MEMORY_FIT
from provision.steps.models import MODELS
from provision.steps.native_libs import NATIVE_LIBS
from provision.steps.python_env import PYTHON_ENV
from provision.steps.requirements import REQUIREMENTS
from provision.steps.server import SERVER
from provision.steps.tools import TOOLS
from provision.steps.torch import TORCH
from provision.steps.torch_reservations import RESERVATIONS
from provision.steps.venv_scripts import SCRIPTS
from provision.steps.whereabouts import GUARDED_HOME, OTHER_INSTALLS
from provision.steps.workflow import WORKFLOW

WRITERS: tuple[Step, ...] = (
    with_looks(PYTHON_ENV, SCRIPTS),
    with_looks(TORCH, KNOWN_BAD_TORCH, RESERVATIONS, NATIVE_LIBS, KNOWN_PAIRS),
    with_looks(COMFYUI, ENGINE_FILES, OTHER_INSTALLS),
    with_looks(MODELS, LITTER),
    with_looks(REQUIREMENTS, IMPORTS, CHANGED),
)
"""The steps whose fixes fill the disk."""
STEPS: tuple[Step, ...] = tuple(
    with_care(step)
    for step in (
        with_looks(hardware_step(WRITERS), MEMORY_FIT, GUARDED_HOME),
        with_looks(TOOLS, ENVIRONMENT),
        *WRITERS,
        with_looks(WORKFLOW, FIRST_PAGE),
        with_looks(SERVER, FLAGS, START_LOG),
        with_looks(FIRST_IMAGE, DEEP_IMAGE, PROMPT_LOG),
        LOCK,
    )
)


def step_named(name: str) -> Step:
    """One of the steps, with all that it looks at. Raises StopIteration."""
    return next(step for step in STEPS if step.name == name)
