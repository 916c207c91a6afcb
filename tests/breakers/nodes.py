"""Breakers by custom nodes that change what is not theirs when ComfyUI loads them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

INSTALLS = """
import sys
from pathlib import Path

site = next(Path(path) for path in sys.path if path.startswith(sys.prefix) and path.endswith("site-packages"))
info = site / "canary-1.0.dist-info"
info.mkdir(exist_ok=True)
(info / "METADATA").write_text("Metadata-Version: 2.1\\nName: canary\\nVersion: 1.0\\n")
(info / "RECORD").write_text("canary-1.0.dist-info/METADATA,,\\ncanary-1.0.dist-info/RECORD,,\\n")
"""


def _node(at: Patient, file: str, code: str) -> Path:
    node = at.comfyui / "custom_nodes" / "meddler"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n", encoding="utf-8")
    (node / file).write_text(code, encoding="utf-8")
    return node


@breaks("packages-changed", "server nodes packages")
def start_with_a_node_that_installs(at: Patient) -> None:
    """A custom node installed a package when ComfyUI started, and was deleted since."""
    node = _node(at, "prestartup_script.py", INSTALLS)
    at.start()
    shutil.rmtree(node)


@breaks("node-refused", "nodes", deep=True)
def add_a_node_that_writes(at: Patient) -> None:
    """A custom node writes its settings into its folder when it is loaded."""
    _node(at, "__init__.py", "from pathlib import Path\nPath(__file__).with_name('settings.json').write_text('{}')\n")


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
