"""provision: from a bare Mac to its first SDXL-Turbo image in ComfyUI."""

__version__ = "0.1.0"
