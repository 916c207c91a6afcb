"""The kinds of findings of the step `python_env`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
VENV_READY = Kind("venv-ready", "python_env", "informs", "none", "version and processor of ComfyUI's Python", FINE,
    NOTHING)
VENV_MISSING = Kind("venv-missing", "python_env", "blocks", "auto", "whether ComfyUI has its own Python",
    "ComfyUI cannot start", "uv creates one")
VENV_DANGLING = Kind("venv-dangling", "python_env", "blocks", "auto",
    "whether that Python runs and is an environment",
    "`bad interpreter` or `Library not loaded` (after a Homebrew upgrade)", "it is moved aside and recreated")
VENV_MOVED = Kind("venv-moved", "python_env", "warns", "hint", "which Python the scripts in venv/bin use",
    "`bad interpreter` from pip and other scripts; ComfyUI itself starts", "`venv/bin/python -m pip`")
PY_ROSETTA = Kind("py-rosetta", "python_env", "blocks", "auto", "whether Python is for Intel on Apple silicon",
    "`No matching distribution found for torch`, or torch does not see the GPU", "it is moved aside and recreated")
PY_TOO_OLD = Kind("py-too-old", "python_env", "blocks", "auto", "Python's version against the manifest",
    "packages cannot be resolved", "it is moved aside and recreated")
PY_TOO_NEW = Kind("py-too-new", "python_env", "blocks", "auto", "Python's version against the manifest",
    "packages must be compiled from source, which fails", "it is moved aside and recreated")
PY_BAD_PATCH = Kind("py-bad-patch", "python_env", "blocks", "auto", "Python 3.13.8 and 3.14.1", "`import torch` fails",
    "it is moved aside and recreated")
ENV_FOREIGN = Kind("env-foreign", "python_env", "informs", "none",
    "the Python of an install not made by provision",
    "nothing: it is used as is; packages are installed there only after a yes", NOTHING)
ENV_UNASKED = Kind("env-unasked", "python_env", "blocks", "hint",
    "whether the Python of an install not made by provision may be run", "nothing that needs it is checked",
    "`--python PATH` or `--yes`, if you trust that folder")
ENV_MANAGED = Kind("env-managed", "python_env", "blocks", "auto",
    "whether an adopted conda or system environment needs packages",
    "packages of other programs would change; `error: externally-managed-environment`",
    "an environment is created in the install folder and used instead")
MACVER_COMPAT = Kind("macver-compat", "python_env", "warns", "consent",
    "the macOS version Python reports, against the real one", "black images: ComfyUI skips what newer systems need",
    "recreated after a yes, with another Python")
