"""Who updates a ComfyUI that this tool did not make: the app that installed it, git, or a person by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.desktop import is_managed
from provision.command import Command, Fix, ours, program

STABILITY_MATRIX, PINOKIO = "Packages", "pinokio"
"""The folders of these apps in which installs lie: `Data/Packages/ComfyUI`, `pinokio/api/comfy.git/app`."""


@dataclass(frozen=True, slots=True)
class Updater:
    """What updates an install: `says` names it, `fix` is what to do."""

    says: str
    fix: Fix


def updater_of(code: Path, environ: Mapping[str, str]) -> Updater:
    """Known by where the install lies, and by the app's own records."""
    app = _app(code, environ)
    if app:
        return Updater(f"{app} updates it", Fix(f"Update it in {app}, then check it:", ours("doctor")))
    if os.path.lexists(code / ".git"):
        pull: Command = program("git", "-C", str(code), "pull")
        return Updater("git updates it", Fix("Afterwards install its requirements.txt and run `doctor`:", pull))
    says = f"Unpack the newer release over {code} and install its requirements.txt, then check it:"
    return Updater("it was unpacked by hand", Fix(says, ours("doctor")))


def _app(code: Path, environ: Mapping[str, str]) -> str:
    if is_managed(code, environ):
        return "Comfy Desktop"
    if code.parent.name == STABILITY_MATRIX:
        return "Stability Matrix"
    return "Pinokio" if any(part.casefold() == PINOKIO for part in code.parts) else ""
