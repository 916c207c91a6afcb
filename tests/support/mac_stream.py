"""A run as a Mac on a line of 340 Mbit/s would tell it, to look at: what the rehearsal is too small and quick for."""

from __future__ import annotations

from dataclasses import replace

from provision.comfyui.git_remote import parse_receiving
from provision.core.events import (
    ApplyStarted,
    Event,
    Note,
    Output,
    Progress,
    RunStarted,
    StepFinished,
    StepPlanned,
    StepStarted,
    Waiting,
)
from provision.environment.uv_lines import Wheels

Moment = tuple[float, Event]
NEEDS = {
    "hardware": (),
    "tools": ("hardware",),
    "python_env": ("tools",),
    "torch": ("python_env",),
    "comfyui": ("tools",),
    "models": ("tools",),
    "requirements": ("torch", "comfyui"),
    "workflow": ("comfyui",),
    "server": ("requirements",),
    "first_image": ("server", "models", "workflow"),
}
WEIGHTS, SIZE = "sd_xl_turbo_1.0_fp16.safetensors", 6_938_081_905
PLANNED = {
    "python_env": 25_000_000,
    "torch": 165_000_000,
    "comfyui": 10_000_000,
    "models": SIZE,
    "requirements": 640_000_000,
}
RATE = 42_000_000
BUSY, STALLED, REFUSED, UNPACKING, END = 12.0, 30.0, 36.0, 60.0, 200.0
"""Moments worth a look: three at once; no byte for ten seconds; the hub refuses; late; all but the first image."""

UV = (
    (4.0, "Downloading torch (83.4MiB)"),
    (4.0, "Downloading numpy (5.2MiB)"),
    (6.0, " Downloaded numpy"),
    (40.0, " Downloaded torch"),
    (40.5, "Installed 12 packages in 36.2s"),
)


def mac_stream() -> list[Moment]:
    """The events until the first image is made."""
    moments: list[Moment] = [(0.0, RunStarted(needs=NEEDS))]
    moments += _quick("hardware", 0.0, "Apple M1 Pro in a MacBookPro18,3, Apple silicon; macOS 26.1 (25B78)")
    moments += [(0.5, StepPlanned(step=name, download_bytes=n, disk_bytes=n)) for name, n in PLANNED.items()]
    moments += _quick("tools", 0.8, "git 2.50.1; huggingface.co, github.com, download.pytorch.org, pypi.org reachable")
    moments += _begin("python_env", 1.2, "Create an environment with uv.")
    moments += [
        (3.0, StepFinished(step="python_env", verdict="ok", says="Python 3.12.11 (arm64)", changed=True, seconds=1.8))
    ]
    moments += _begin("comfyui", 1.2, "Download one revision, without history.")
    for second in range(2, 14):
        pack = f"Receiving objects:  {second * 7}% (100/1500), {second * 0.35:.2f} MiB | 350.00 KiB/s"
        moments += _said(float(second), "comfyui", pack, parse_receiving(pack, "ComfyUI"))
    moments += _begin("torch", 3.0, "Install torch with the torchvision that fits it, and test both.")
    moments.append((3.5, _note("Installing torch==2.16.0.dev20261120, torchvision ...")))
    wheels = Wheels()
    for second, line in UV:
        moments += _said(second, "torch", line, wheels.hear(line))
    moments += _begin("models", 1.2, f"Download {WEIGHTS} and verify it.")
    moments += [(t / 2, _bytes(t / 2)) for t in range(3, 40)]
    moments.append((35.0, Waiting(step="models", says="huggingface.co answers 503.", seconds=8.0)))
    moments += [(t / 2, _bytes(t / 2 - 24)) for t in range(87, 390)]
    moments.append((41.0, _note("Comparing torch's device with the CPU ...")))
    return sorted(moments, key=lambda moment: moment[0])


def _note(says: str) -> Note:
    return Note(step="torch", says=says, passing=True)


def _said(second: float, step: str, line: str, progress: Progress | None) -> list[Moment]:
    """What is told of a program's line."""
    told = [replace(progress, step=step)] if progress else []
    return [(second, event) for event in (Output(step=step, line=line), *told)]


def _bytes(second: float) -> Progress:
    return Progress(step="models", subject=WEIGHTS, done=min(SIZE, int((second - 1) * RATE)), total=SIZE)


def _quick(step: str, at: float, says: str) -> list[Moment]:
    end = StepFinished(step=step, verdict="ok", says=says, changed=False, seconds=0.3)
    return [(at, StepStarted(step=step)), (at + 0.3, end)]


def _begin(step: str, at: float, says: str) -> list[Moment]:
    return [(at, StepStarted(step=step)), (at, ApplyStarted(step=step, finding_id=f"{step}-missing", says=says))]
