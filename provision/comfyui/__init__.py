"""ComfyUI: its API, its process, its checkout, its memory, installs of others."""
