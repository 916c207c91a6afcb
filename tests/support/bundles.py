"""Small bundles for tests: the files of one, with their sums, as `bundle` writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from provision.core.bundle import SUMS, write_sums

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = f"owner/name/resolve/{COMMIT}/model.safetensors"
FILES = {
    MODEL: bytes(range(256)) * 4096,
    "bundle.json": b'{"format": 1, "tool": "0.1.0", "made": "2026-11-26T09:30:00Z"}\n',
    "provision.lock": b"# a lock\n",
    "kit/uv": b"uv\n",
    "wheels/index.html": b"<a href='x.whl'>x</a>\n",
    "wheels/x.whl": b"wheel\n",
    "wheels/a b+c!1=2@3~4,(5)[6].whl": b"every character that a name may have\n",
    "comfyui/source.tar.gz": b"source\n",
    "python/cpython.tar.gz": b"python\n",
}


def write_bundle(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    """A bundle of these files."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    (folder / SUMS).write_text(write_sums(sums), encoding="utf-8")
    return folder
