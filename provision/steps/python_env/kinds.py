"""The kinds of findings of the step `python_env`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
VENV_READY = Kind("venv-ready", "python_env", "informs", "none", "version and processor of ComfyUI's Python", FINE,
    NOTHING)
VENV_MISSING = Kind("venv-missing", "python_env", "blocks", "auto", "whether ComfyUI has a Python of its own",
    "ComfyUI cannot start", "uv makes one")
VENV_DANGLING = Kind("venv-dangling", "python_env", "blocks", "auto",
    "whether that Python runs, and is an environment",
    "`bad interpreter` or `Library not loaded`, as after an upgrade by Homebrew", "it is moved aside and recreated")
VENV_MOVED = Kind("venv-moved", "python_env", "warns", "hint", "which Python the scripts in venv/bin start",
    "`bad interpreter` from pip and other scripts; ComfyUI itself starts", "`venv/bin/python -m pip`")
PY_ROSETTA = Kind("py-rosetta", "python_env", "blocks", "auto", "whether Python is for Intel on Apple silicon",
    "`No matching distribution found for torch`, or a torch that sees no GPU", "it is moved aside and recreated")
PY_TOO_OLD = Kind("py-too-old", "python_env", "blocks", "auto", "Python's version against the manifest",
    "packages cannot be resolved", "it is moved aside and recreated")
PY_TOO_NEW = Kind("py-too-new", "python_env", "blocks", "auto", "Python's version against the manifest",
    "packages are compiled from source, and fail", "it is moved aside and recreated")
PY_BAD_PATCH = Kind("py-bad-patch", "python_env", "blocks", "auto", "Python 3.13.8 and 3.14.1", "`import torch` fails",
    "it is moved aside and recreated")
ENV_FOREIGN = Kind("env-foreign", "python_env", "informs", "none",
    "the Python of an install that this tool did not make",
    "nothing: it is used as it is, and packages are installed there only after a yes", NOTHING)
ENV_UNASKED = Kind("env-unasked", "python_env", "blocks", "hint",
    "whether the Python of an install that this tool did not make may be run", "nothing that needs it is looked at",
    "`--python PATH` or `--yes`, if you trust that folder")
ENV_MANAGED = Kind("env-managed", "python_env", "blocks", "auto",
    "whether something must be installed into an adopted environment of conda or of the system",
    "packages of other programs would change; `error: externally-managed-environment`",
    "an environment of ours is made in the home and used in its place")
MACVER_COMPAT = Kind("macver-compat", "python_env", "warns", "consent",
    "which macOS Python tells, against the real one", "black pictures: ComfyUI leaves out what newer systems need",
    "recreated after a yes, with another Python")
