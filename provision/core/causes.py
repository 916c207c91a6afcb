"""Steps whose faults bring about findings of later ones."""

from __future__ import annotations

BARE: tuple[str, ...] = ("python_env",)
PACKED: tuple[str, ...] = (*BARE, "torch", "comfyui")
RUN: tuple[str, ...] = (*PACKED, "requirements")
