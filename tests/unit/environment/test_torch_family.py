"""Which torchvision and torchaudio belong to a torch, by what the real METADATA of each says."""

from __future__ import annotations

import pytest

from provision.environment.torch_family import audio_mismatch, required_torch, vision_mismatch

# The lines that the wheels on PyPI have (macOS arm64, November 2026).
PINNED, RANGE = "Requires-Dist: torch (==2.13.0)", "Requires-Dist: numpy\nRequires-Dist: torch (>=2.14.0)"


@pytest.mark.parametrize(
    ("torch", "vision", "metadata", "says"),
    [
        ("2.15.0", None, "", "missing"),
        ("2.15.0", "0.30.0", "Requires-Dist: torch (==2.15.0)", ""),
        ("2.15.0+cpu", "0.30.0+cpu", "Requires-Dist: numpy\nRequires-Dist: torch==2.15.0", ""),
        ("2.15.0", "0.29.2", RANGE, ""),
        ("2.14.0", "0.29.2", RANGE, ""),
        ("2.13.0", "0.29.2", RANGE, "needs torch>=2.14.0, but torch 2.13.0 is installed"),
        ("2.16.0.dev20261120", "0.29.2", RANGE, ""),
        ("2.15.0", "0.28.0", PINNED, "needs torch==2.13.0"),
        ("2.16.0.dev20261120", "0.28.0", PINNED, "needs torch==2.13.0"),
        ("2.16.0.dev20261120", "0.31.0.dev20261119", "", "is not from the same day"),
        ("2.16.0.dev20261120", "0.31.0.dev20261119", "Requires-Dist: torch==2.16.0.dev20261119", "needs torch=="),
        ("2.16.0.dev20261120+cpu", "0.31.0.dev20261120", "Requires-Dist: torch==2.16.0.dev20261120", ""),
        ("2.16.0.dev20261120", "0.30.0", "", "is not from the same day"),
        ("2.15.0+cpu", "0.30.0+cu130", "", "another device"),
        ("2.15.0+cu132", "0.29.2+cu130", RANGE, ""),
        ("2.15.0+cu130", "0.29.2+cu128", RANGE, "another device"),
    ],
)
def test_which_torchvision_belongs_to_a_torch(torch: str, vision: str | None, metadata: str, says: str) -> None:
    found = vision_mismatch(torch, vision, metadata)
    assert says in found if says else found == ""


@pytest.mark.parametrize(
    ("torch", "audio", "metadata", "says"),
    [
        ("2.11.0+cu130", "2.11.0", "", ""),
        ("2.15.0", "2.11.0", "Name: torchaudio", ""),
        ("2.16.0.dev20261120", "2.11.0", "Name: torchaudio", ""),
        ("2.15.0", "2.11.1", "Requires-Dist: torch>=2.11", ""),
        ("2.11.0", "2.11.1", "", ""),
        ("2.11.0.dev20260101", "2.11.0", "", ""),
        ("2.10.0", "2.11.0", "", "is made for torch 2.11 and later, but torch 2.10.0 is installed"),
        ("2.15.0", "2.10.0", "Requires-Dist: torch==2.10.0", "needs torch==2.10.0"),
        ("2.10.0", "2.10.0", "Requires-Dist: torch==2.10.0", ""),
        ("2.15.0+cu132", "2.11.0+cu130", "", "another device"),
    ],
)
def test_which_torchaudio_belongs_to_a_torch(torch: str, audio: str, metadata: str, says: str) -> None:
    found = audio_mismatch(torch, audio, metadata)
    assert says in found if says else found == ""


def test_what_an_extra_asks_for_does_not_count_and_several_lines_all_do() -> None:
    lines = (
        "Requires-Dist: torchaudio",
        "Requires-Dist: torch==1.0 ; extra == 'old'",
        "Requires-Dist: torch>=2.11",
        "Requires-Dist: torch<3",
        "Requires-Dist: torch @@ nonsense",
    )
    assert sorted(required_torch("\n".join(lines)).split(",")) == ["<3", ">=2.11"]
    assert required_torch("Requires-Dist: torch") == ""
