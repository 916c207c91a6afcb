"""Which custom nodes are loaded, and their `prestartup_script.py`, which runs before torch is imported."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType

import folder_paths
from cli_args import args

FOLDER = folder_paths.BASE / "custom_nodes"
ALL_OFF = args.disable_all_custom_nodes and not args.whitelist_custom_nodes


def is_off(name: str) -> bool:
    """Whether a custom node is passed over, which the log says."""
    off = args.disable_all_custom_nodes and name not in args.whitelist_custom_nodes
    if off:
        logging.info(f"Skipping {name} due to disable_all_custom_nodes and whitelist_custom_nodes")
    return off


def run_prestartup_scripts() -> None:
    """Run them all; one that fails stops nothing."""
    for script in [] if ALL_OFF else sorted(FOLDER.glob("*/prestartup_script.py")):
        if script.parent.name.endswith(".disabled") or is_off(script.parent.name):
            continue
        try:
            run_module(str(script.with_suffix("")), script)
        except Exception as error:  # noqa: BLE001 - as ComfyUI does: whatever a custom node raises
            logging.error(f"Failed to execute startup-script: {script} / {error}")


def run_module(name: str, source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
