"""TOML that people wrote, as a value of a type, by msgspec.

The rules are in the types: `Annotated[str, text("pattern", "what it must be")]`, or a msgspec `Meta` with bounds and a
description. An error names the key, the value as it was written, and what it must be.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from provision.command import Fix, ours
from provision.core.overrides import known_keys, nearest
from provision.errors import ManifestError

T = TypeVar("T")
SHOWN_MAX = 200
"""Letters of a value or a name that are said."""
HINT = ours("manifests", "show", "sdxl-turbo")
NAMES = {"array": "a list", "object": "a table"}
"""msgspec's words for types, where TOML has others."""


def text(pattern: str, wanted: str) -> Meta:
    """A rule for a text: the whole of it fits the pattern; `wanted` says so to people."""
    return Meta(pattern=rf"^(?:{pattern})\Z", description=wanted)


def build(schema: type[T], data: Mapping[str, object]) -> T:
    """A value of `schema`, a dataclass, from plain data.

    Raises ManifestError: an unknown or missing key, a wrong type, a control character, a value that a rule refuses.
    """
    _check_names(data, known_keys(schema), "", "")
    try:
        return msgspec.convert(data, schema)
    except msgspec.ValidationError as error:
        raise _complaint(str(error), data, schema) from error


def _check_names(value: object, known: Mapping[str, object], where: str, shape: str) -> None:
    """Refuse unknown keys and control characters; `shape` is `where` with each place in a list as 0."""
    if isinstance(value, str) and not is_plain(re.sub(r"[\n\t]", "", value)):
        raise _refused(where[:-1], f"holds a control character: {shortened(value)}.")
    if type(value) is int and abs(value) >= 2**63:  # more than TOML knows, and than Python would write out
        raise _refused(where[:-1], "is too large a number.")
    if isinstance(value, list):
        for place, inner in enumerate(value):
            _check_names(inner, known, f"{where}{place}.", f"{shape}0.")
    names = dict.fromkeys(key.removeprefix(shape).split(".")[0] for key in known if key.startswith(shape))
    for key, inner in value.items() if isinstance(value, dict) and names else ():
        if key not in names:
            near = nearest(key, list(names)) or ", ".join(names)
            raise ManifestError(f"{where}{key[:SHOWN_MAX]} is not a known key.", hint=Fix(f"Nearest: {near}"))
        _check_names(inner, known, f"{where}{key}.", f"{shape}{key}.")


def _complaint(says: str, data: Mapping[str, object], schema: type) -> ManifestError:
    """msgspec's message with the key as `--set` has it, and what stands there."""
    said, _, path = says.rpartition(" - at `$") if says.endswith("`") and " - at `$" in says else (says, "", "")
    key = re.sub(r"\[(\d+)\]", r".\1", path.removesuffix("`")).lstrip(".")
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", said):
        return ManifestError(f"{f'{key}.{missing[1]}'.lstrip('.')} is missing.", hint=HINT)
    kind, value = _rule_at(schema, data, key)
    if wrong := re.fullmatch(r"Expected `(\w+)( \| null)?`, got `.*`", said):
        wanted = NAMES.get(wrong[1], wrong[1])
        return ManifestError(f"{key} must be {wanted}, and is {shortened(value)} ({type(value).__name__}).", hint=HINT)
    return _refused(key, f"is {shortened(value)}; it must be {kind.description if kind else said}.")


def _rule_at(schema: Any, data: Any, key: str) -> tuple[Meta | None, Any]:
    """The rule of a key and the value that stands there."""
    kind, rule = schema, None
    for name in key.split("."):
        kind = get_args(kind)[0] if name.isdigit() else get_type_hints(kind, include_extras=True)[name]
        data = data[int(name) if name.isdigit() else name]
        if type(None) in get_args(kind):
            kind = next(one for one in get_args(kind) if one is not type(None))
        rule = None
        if get_origin(kind) is Annotated:
            kind, rule = get_args(kind)
    return rule, data


def _refused(key: str, says: str) -> ManifestError:
    return ManifestError(f"{key} {says}", hint=Fix(f"Give --set {key}=VALUE."))


def shortened(value: object) -> str:
    """A value as it was written, cut to a readable length."""
    whole = repr(value[: 2 * SHOWN_MAX] if isinstance(value, str | list) else value)
    return whole if len(whole) <= SHOWN_MAX else f"{whole[:SHOWN_MAX]} ..."


def is_plain(text: str) -> bool:
    """Whether a text holds nothing that would steer a terminal or end an argument."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
