"""The steps, in the order in which they depend: one literal tuple."""

from __future__ import annotations

from provision.step import Step
from provision.steps.comfyui import COMFYUI
from provision.steps.first_image import FIRST_IMAGE
from provision.steps.hardware import HARDWARE
from provision.steps.models import MODELS
from provision.steps.python_env import PYTHON_ENV
from provision.steps.requirements import REQUIREMENTS
from provision.steps.server import SERVER
from provision.steps.tools import TOOLS
from provision.steps.torch import TORCH
from provision.steps.workflow import WORKFLOW

STEPS: tuple[Step, ...] = (
    HARDWARE, TOOLS, PYTHON_ENV, TORCH, COMFYUI, MODELS, REQUIREMENTS, WORKFLOW, SERVER, FIRST_IMAGE
)  # fmt: skip
