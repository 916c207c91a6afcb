"""A lock of one package, made on a Mac."""

from __future__ import annotations

LOCK = """
schema = 1
tool = "0.1.0"
made = "2026-11-01"
manifest = "sdxl-turbo"
models = []
[platform]
system = "Darwin"
arch = "arm64"
version = "macOS 14.0"
python = "3.12.7"
[torch]
wanted = "stable"
channel = "stable"
[comfyui]
[[packages]]
name = "torch"
version = "2.9.0"
wheel = "torch-2.9.0-cp312-none-macosx_14_0_arm64.whl"
"""
