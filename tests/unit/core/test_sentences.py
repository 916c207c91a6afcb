"""What is going on is said so, and only what is old has a date."""

from __future__ import annotations

import pytest

from provision.core.sentences import dated, in_progress


@pytest.mark.parametrize(
    ("fix", "going_on"),
    [
        ("Create an environment with uv.", "Creating an environment with uv."),
        ("Download it.", "Downloading it."),
        ("Put them back; torch is not changed.", "Putting them back; torch is not changed."),
        ("Verify the sha256.", "Verifying the sha256."),
        ("Try again with other flags.", "Trying again with other flags."),
        ("Test-start ComfyUI.", "Test-starting ComfyUI."),
        ("Download a.safetensors and verify it.", "Downloading a.safetensors and verifying it."),
        ("Install and test torch.", "Installing and testing torch."),
        ("Use it if its flags and code are right.", "Using it if its flags and code are right."),
        ("Apple's tools are gone.", "Apple's tools are gone."),
        ("", ""),
    ],
)
def test_an_imperative_becomes_what_is_going_on(fix: str, going_on: str) -> None:
    assert in_progress(fix) == going_on


def test_a_date_is_for_another_day() -> None:
    assert dated(", tested on", "2026-11-20T10:00:00+01:00", "2026-11-26T09:00:00+01:00") == ", tested on 2026-11-20"
    assert dated(", tested on", "2026-11-26T01:00:00+01:00", "2026-11-26T09:00:00+01:00") == ""
