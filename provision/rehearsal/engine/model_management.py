"""The device: chosen once, at import, as the real engine does, with the lines that it logs."""

from __future__ import annotations

import logging
import os
import platform

import torch
from cli_args import args


def get_torch_device() -> str:
    """`cpu` where it was asked for, `mps` on a Mac that has it, else CUDA, or torch's own error."""
    if args.cpu:
        return "cpu"
    if torch.backends.mps.is_available():
        return "mps"
    if not torch.cuda.is_available():
        raise AssertionError("Torch not compiled with CUDA enabled")
    return "cuda"


def total_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def free_memory_bytes() -> int:
    """What the system calls available; half of it all where it does not say (macOS)."""
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total_memory_bytes() // 2


def describe_device() -> dict[str, object]:
    """The device as /system_stats shows it: on MPS and CPU, video memory is the machine's memory."""
    total, free = total_memory_bytes(), free_memory_bytes()
    return {
        "name": DEVICE,
        "type": DEVICE,
        "index": 0 if DEVICE == "cuda" else None,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": total,
        "torch_vram_free": free,
    }


DEVICE = get_torch_device()
MEGABYTES = total_memory_bytes() / 2**20
logging.info(f"Total VRAM {MEGABYTES:0.0f} MB, total RAM {MEGABYTES:0.0f} MB")
logging.info(f"pytorch version: {torch.__version__}")
if platform.mac_ver()[0]:
    logging.info(f"Mac Version {tuple(int(part) for part in platform.mac_ver()[0].split('.'))}")
if args.force_fp32:
    logging.info("Forcing FP32, if this improves things please report it.")
logging.info("Set vram state to: " + {"cpu": "DISABLED", "mps": "SHARED", "cuda": "NORMAL_VRAM"}[DEVICE])
logging.info(f"Device: {DEVICE}")
