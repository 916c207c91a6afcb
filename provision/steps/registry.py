"""The steps, in the order in which they depend: one literal tuple."""

from __future__ import annotations

from provision.core.step import Step, with_looks
from provision.steps.comfyui.step import COMFYUI
from provision.steps.comfyui.user_files import ENGINE_FILES
from provision.steps.consent import with_care
from provision.steps.first_image.deep import DEEP_IMAGE
from provision.steps.first_image.step import FIRST_IMAGE
from provision.steps.hardware.guarded_home import GUARDED_HOME, OTHER_INSTALLS
from provision.steps.hardware.memory import MEMORY_FIT
from provision.steps.hardware.step import hardware_step
from provision.steps.lock.step import LOCK
from provision.steps.models.stray_files import CHECKPOINTS
from provision.steps.python_env.scripts import SCRIPTS
from provision.steps.python_env.step import PYTHON_ENV
from provision.steps.requirements.changed import CHANGED
from provision.steps.requirements.imports import IMPORTS
from provision.steps.requirements.nodes import NODES
from provision.steps.requirements.step import REQUIREMENTS
from provision.steps.server.always_on import ALWAYS_ON
from provision.steps.server.flags import FLAGS
from provision.steps.server.last_run import PROMPT_LOG, START_LOG
from provision.steps.server.step import SERVER
from provision.steps.tools.shell_variables import ENVIRONMENT
from provision.steps.tools.step import TOOLS
from provision.steps.torch.caveats import RESERVATIONS
from provision.steps.torch.known_bad import KNOWN_BAD_TORCH
from provision.steps.torch.native_libraries import NATIVE_LIBS
from provision.steps.torch.numpy_abi import KNOWN_PAIRS
from provision.steps.torch.step import TORCH
from provision.steps.workflow.first_page import FIRST_PAGE
from provision.steps.workflow.step import WORKFLOW

WRITERS: tuple[Step, ...] = (
    with_looks(PYTHON_ENV, SCRIPTS),
    with_looks(TORCH, KNOWN_BAD_TORCH, RESERVATIONS, NATIVE_LIBS, KNOWN_PAIRS),
    with_looks(COMFYUI, ENGINE_FILES, OTHER_INSTALLS),
    CHECKPOINTS,
    with_looks(REQUIREMENTS, NODES, IMPORTS, CHANGED),
)
"""The steps whose fixes fill the disk."""
STEPS: tuple[Step, ...] = tuple(
    with_care(step)
    for step in (
        with_looks(hardware_step(WRITERS), MEMORY_FIT, GUARDED_HOME),
        with_looks(TOOLS, ENVIRONMENT),
        *WRITERS,
        with_looks(WORKFLOW, FIRST_PAGE),
        with_looks(SERVER, FLAGS, START_LOG, ALWAYS_ON),
        with_looks(FIRST_IMAGE, DEEP_IMAGE, PROMPT_LOG),
        LOCK,
    )
)


def step_named(name: str) -> Step:
    """One of the steps, with all that it looks at. Raises StopIteration."""
    return next(step for step in STEPS if step.name == name)
