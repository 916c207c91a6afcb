"""Which torchvision and torchaudio belong to a torch: what their METADATA says, and where it is silent. Pure.

Up to torchvision 0.29.0 and torchaudio 2.10 each is built for one torch and says so (`torch==2.14.0`). Later ones use
torch's stable ABI and serve every torch in a range: torchvision 0.29.1 says `torch>=2.14.0`, torchaudio 2.11.1 says
`torch>=2.11`. torchaudio 2.11.0 says nothing; by its page it serves "PyTorch 2.11 and every future PyTorch release"
(docs.pytorch.org/audio/2.11.0/installation.html).
"""

from __future__ import annotations

import re

from provision.environment.wheel_index import day_of

TORCH = ("torch", "torchvision", "torchaudio")
CUDA = re.compile(r"cu(\d+)\d")
"""CUDA's major number in a build's name: 13 in `cu132`."""


def vision_mismatch(torch: str, vision: str | None, metadata: str) -> str:
    """Why an installed torchvision does not belong to the torch, as a sentence; empty when it does.

    `metadata` is the text of torchvision's METADATA. It loads with any CUDA of the same major number
    (`_check_cuda_version` in torchvision/extension.py).
    """
    if vision is None:
        return "torchvision is missing"
    builds = {CUDA.sub(r"cu\1", build) for build in (_build(torch), _build(vision)) if build}
    if len(builds) > 1:
        return f"torchvision {vision} is built for another device than torch {torch}"
    if required_torch(metadata):
        return refusal("torchvision", vision, torch, metadata)
    if day_of(torch) != day_of(vision):
        return f"torchvision {vision} is not from the same day as torch {torch}"
    return ""


def audio_mismatch(torch: str, audio: str, metadata: str = "") -> str:
    """Why an installed torchaudio does not belong to the torch, as a sentence; empty when it does.

    It loads only with the very CUDA of torch (`_check_cuda_version` in torchaudio/_extension/utils.py).
    """
    if len({_build(torch), _build(audio)} - {""}) > 1:
        return f"torchaudio {audio} is built for another device than torch {torch}"
    return refusal("torchaudio", audio, torch, metadata)


def refusal(name: str, version: str, torch: str, metadata: str) -> str:
    """Why a package's METADATA rules out a torch, as a sentence; empty when it does not.

    A torchaudio that names no torch serves those of its own number and later.
    """
    from packaging.specifiers import SpecifierSet

    needed = required_torch(metadata)
    what = f"needs torch{needed}"
    if not needed and name == "torchaudio":
        own = ".".join(map(str, series(version)))
        needed, what = f">={own}.dev0", f"is made for torch {own} and later"
    if SpecifierSet(needed).contains(torch, prereleases=True):
        return ""
    return f"{name} {version} {what}, but torch {torch} is installed"


def required_torch(metadata: str) -> str:
    """The versions of torch that a package's METADATA asks for (`==2.11.0`); empty when it does not say."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import SpecifierSet

    asked = SpecifierSet()
    for line in metadata.splitlines():
        key, _, value = line.partition(":")
        if key.lower() != "requires-dist":
            continue
        try:
            needed = Requirement(value.strip())
        except InvalidRequirement:
            continue
        if needed.name.lower() == "torch" and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
            asked &= needed.specifier
    return str(asked)


def series(version: str) -> tuple[int, int]:
    """A version's first two numbers: (2, 11) of `2.11.0+cpu`."""
    from packaging.version import Version

    number = Version(version)
    return number.major, number.minor


def _build(version: str) -> str:
    return version.partition("+")[2]
