"""Custom nodes: folders and files in `custom_nodes`, each loaded as ComfyUI does; one that fails stops nothing."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from nodes import NODE_CLASSES, Context, NodeClass, Produced
from page import EXTENSIONS
from prestartup import ALL_OFF, FOLDER, is_off, run_module


def load_custom_nodes() -> None:
    """Load all of them; what cannot be imported is logged with its traceback."""
    if ALL_OFF:
        logging.info("Skipping loading of custom nodes")
    for path in [] if ALL_OFF else sorted(candidates()):
        try:
            module = load(path)
        except Exception as error:  # noqa: BLE001 - as ComfyUI does: whatever a custom node raises
            logging.warning(traceback.format_exc())
            logging.warning(f"Cannot import {path} module for custom nodes: {error}")
            continue
        if web := getattr(module, "WEB_DIRECTORY", ""):
            EXTENSIONS[path.stem] = (path / web).resolve()
        for name, node in getattr(module, "NODE_CLASS_MAPPINGS", {}).items():
            NODE_CLASSES[name] = adapt(name, node, f"custom_nodes.{path.stem}")


def candidates() -> Iterator[Path]:
    """What looks like a custom node and is not disabled."""
    for path in FOLDER.iterdir() if FOLDER.is_dir() else ():
        is_code = path.suffix == ".py" or (path / "__init__.py").is_file()
        if is_code and not path.name.endswith(".disabled") and not is_off(path.name):
            yield path


def load(path: Path) -> ModuleType:
    return run_module(f"custom_nodes.{path.stem}", path / "__init__.py" if path.is_dir() else path)


def adapt(name: str, node: Any, module: str) -> NodeClass:
    """A class as custom nodes write it (INPUT_TYPES, RETURN_TYPES, FUNCTION) as one of ours."""

    def run(context: Context, **inputs: Any) -> Produced:
        return tuple(getattr(node(), node.FUNCTION)(**inputs)), {}

    def inputs() -> dict[str, dict[str, Any]]:
        asked = node.INPUT_TYPES().get("required", {})
        return {"required": {key: (entry[0], entry[1] if len(entry) > 1 else {}) for key, entry in asked.items()}}

    return NodeClass(name, name, inputs, run, tuple(node.RETURN_TYPES), python_module=module)
