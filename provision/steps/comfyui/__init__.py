"""The step `comfyui`."""
