"""A manifest as the text of a file that `--manifest FILE` takes. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from provision.core.manifest import Manifest


def toml_of(manifest: Manifest) -> str:
    """Every key with its value; what is None is left out, as it is where nobody gives it."""
    return "\n".join(_table(manifest, "")).lstrip("\n") + "\n"


def _table(value: Any, name: str) -> Iterator[str]:
    """The keys of a table, then the tables in it."""
    inner = [(each.name, getattr(value, each.name)) for each in fields(value)]
    tables = [(key, item) for key, item in inner if is_dataclass(item) or (isinstance(item, tuple) and _holds(item))]
    yield from (f"{key} = {_value(item)}" for key, item in inner if (key, item) not in tables and item is not None)
    for key, item in tables:
        head = f"{name}.{key}" if name else key
        for each in item if isinstance(item, tuple) else (item,):
            yield from ("", f"[[{head}]]" if isinstance(item, tuple) else f"[{head}]")
            yield from _table(each, head)


def _holds(items: tuple[Any, ...]) -> bool:
    return any(is_dataclass(item) for item in items)


def _value(value: Any) -> str:
    """JSON's strings, numbers and lists of strings are TOML's too, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
