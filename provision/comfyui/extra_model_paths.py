"""ComfyUI's `extra_model_paths.yaml`, whatever its name, read by ComfyUI's own rules (utils/extra_config.py): pure.

What its reader does not expect ends ComfyUI before the server starts; a path that leads nowhere is taken in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ALIASES_MAX, DEPTH_MAX, EVENTS_MAX = 20, 16, 20_000
"""Far more than the folders of models that anybody has."""
NAMES = ("extra_model_paths.yaml", "extra_paths.yaml")


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its base folder where it names one, and the folders that it adds, by kind of model; whether they
    come before all others."""

    name: str
    base: Path | None
    kinds: Mapping[str, tuple[Path, ...]]
    is_default: bool = False

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that it adds."""
        return tuple(folder for folders in self.kinds.values() for folder in folders)


def read_extra_paths(text: str, beside: Path) -> list[Section]:
    """The sections of such a file that lies in `beside`; raises ValueError with why ComfyUI cannot read it."""
    import yaml

    try:
        _check_bounds(text)
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(
            f"it is not valid YAML{where} ({getattr(error, 'problem', None) or 'it cannot be read'})"
        ) from error
    except (ValueError, RecursionError) as error:  # a date that is none, a thousand brackets
        raise ValueError(f"it is not valid YAML ({error})") from error
    if config is None:
        raise ValueError("it is empty, or all of it is commented out")
    if not isinstance(config, dict):
        raise ValueError("it has no sections")
    return [_section(str(name), value, beside) for name, value in config.items() if value is not None]


def _check_bounds(text: str) -> None:
    """Refuse what would take long to read, by its events, which are read one after the other: nothing is built of them.

    Aliases repeat what they name as often as they stand, and again where that holds aliases: a few lines can be more
    than a memory holds. Raises ValueError, YAMLError.
    """
    import yaml

    depth = aliases = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if aliases > ALIASES_MAX or depth > DEPTH_MAX or count > EVENTS_MAX:
            raise ValueError("it is built to exhaust time and memory")


def _section(name: str, value: object, beside: Path) -> Section:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name!r} is not a section: it needs indented lines KIND: FOLDER below it")
    base = None
    if "base_path" in value:
        given = _text(name, "base_path", value["base_path"])
        base = beside / os.path.expandvars(os.path.expanduser(given))  # noqa: PTH111 (an unknown ~name stays, as there)
    kinds = {
        str(kind): tuple((base or beside) / line for line in _text(name, str(kind), lines).split("\n") if line)
        for kind, lines in value.items()
        if kind not in ("base_path", "is_default")
    }
    return Section(name, base, kinds, bool(value.get("is_default")))


def folders_of(kind: str, own: Path, sections: Iterable[Section]) -> list[Path]:
    """Where ComfyUI looks for models of a kind, its `own` folder among them (folder_paths.add_model_folder_path)."""
    found = [own]
    for section in sections:
        for folder in section.kinds.get(kind, ()):
            if folder not in found:
                found.insert(0 if section.is_default else len(found), folder)
    return found


def _text(section: str, kind: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{kind!r} in {section!r} is {value!r}, but must be a folder")
    return value
