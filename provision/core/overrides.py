"""`--set KEY=VALUE`: one key of plain manifest data, named with dots, checked against the schema."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from provision.command import Fix, ours
from provision.core.finding import JSON
from provision.errors import ManifestError
from provision.system.strict import Unreadable, parse_toml

WORD_MAX = 100
VALUE_MAX = 20_000
"""Letters of a value: more than any prompt has, and few enough for TOML's reader."""


def apply_override(data: dict[str, Any], override: str, schema: type) -> None:
    """Set one key of plain manifest data from `KEY=VALUE`; lists by index (`models.0.revision=main`).

    Raises ManifestError for a key that the schema does not have, with the nearest that it has.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ManifestError(f"--set {override!r} is not KEY=VALUE.", hint=Fix("As in: --set first_image.steps=2"))
    if len(override) > VALUE_MAX:
        raise ManifestError(
            f"--set {override[:40]!r} ... is {len(override):,} characters long.", hint=Fix("Give --set KEY=VALUE.")
        )
    known = known_keys(schema)
    kind = known.get(in_schema(key))
    if kind is None:
        near = nearest(key, sorted(known)) or ", ".join(sorted(known)[:8])
        raise ManifestError(f"--set {key[:WORD_MAX]}: unknown key.", hint=Fix(f"Nearest: {near}"))
    set_key(data, key, text if kind is str else _parsed(text))


def as_overrides(values: Mapping[str, JSON]) -> list[str]:
    """Keys with their values, as `--set` takes them."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for key, value in values.items()
    }
    return [f"{key}={text}" for key, text in texts.items()]


def in_schema(key: str) -> str:
    """A key as `known_keys` has it: each place in a list is 0."""
    return re.sub(r"\.\d+(?=\.|$)", ".0", key)


def set_key(data: dict[str, Any], key: str, value: object) -> None:
    """Set a known key of plain manifest data. Raises ManifestError where the data has no such place."""
    node: Any = data
    *path, last = key.split(".")
    for name in path:
        node = _descend(node, name, key)
    if not isinstance(node, list | dict):
        raise ManifestError(f"--set {key}: what holds {last} is not a table in this manifest.", hint=ours("manifests"))
    if isinstance(node, list):
        _descend(node, last, key)
        node[int(last)] = value
    else:
        node[last] = value


def known_keys(schema: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of the schema with its type; dots between, list places as `0`."""
    keys: dict[str, Any] = {}
    hints = get_type_hints(schema)
    for item in fields(schema):
        kind, name = hints[item.name], f"{prefix}{item.name}"
        if get_origin(kind) is UnionType:  # a table that may be left out has keys all the same
            kind = next((one for one in get_args(kind) if is_dataclass(one)), kind)
        if get_origin(kind) is tuple and is_dataclass(get_args(kind)[0]):
            keys |= known_keys(get_args(kind)[0], f"{name}.0.")
        elif is_dataclass(kind):
            keys |= known_keys(kind, f"{name}.")
        elif get_origin(kind) is tuple:
            keys |= {name: kind, f"{name}.0": get_args(kind)[0]}
        else:
            keys[name] = kind if get_origin(kind) is None else next(iter(get_args(kind)))
    return keys


def _descend(node: Any, name: str, key: str) -> Any:
    if isinstance(node, list):
        if not re.fullmatch(r"\d{1,4}", name) or int(name) >= len(node):
            raise ManifestError(
                f"--set {key}: {name!r} is not an index of that list, whose length is {len(node)}.",
                hint=Fix("Indexes start at 0: --set models.0.revision=main"),
            )
        return node[int(name)]
    if not isinstance(node, dict):
        raise ManifestError(f"--set {key}: what holds {name} is not a table in this manifest.", hint=ours("manifests"))
    return node.setdefault(name, {})


def _parsed(text: str) -> JSON:
    """A TOML value; plain words stay text, so that nobody must quote twice in a shell."""
    with suppress(Unreadable):
        return parse_toml(f"value = {text}")["value"]
    return text


def nearest(word: str, known: Sequence[str]) -> str:
    """The known words that are most like a word, with commas between; empty when none is, or it is no word at all."""
    if len(word) > WORD_MAX:  # the look takes as many steps as the two have letters, multiplied
        return ""
    return ", ".join(difflib.get_close_matches(word, known, n=3, cutoff=0.5))


def flat(value: object, prefix: str = "") -> list[tuple[str, JSON]]:
    """A manifest's keys with dots, as `--set` takes them, with their values and in order."""
    if is_dataclass(value):
        inner = [(item.name, getattr(value, item.name)) for item in fields(value)]
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        inner = [(str(place), item) for place, item in enumerate(value)]
    else:
        return [(prefix, list(value) if isinstance(value, tuple) else value)]
    return [pair for name, item in inner for pair in flat(item, f"{prefix}.{name}".lstrip("."))]
