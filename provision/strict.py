"""The one strict reader of what others wrote: state files, answers of servers, messages of programs.

Whatever comes is a value of the type that was asked for, or Unreadable: never another exception, never more bytes than
were allowed, never a wait on something that is no file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

JSON_MAX_BYTES = 16_000_000
"""More than any API answers that is asked here: ComfyUI's whole `/object_info` has 5 MB, a page of the hub's 0.3."""
STATE_MAX_BYTES = 16_000_000
DEPTH_MAX = 64


class Unreadable(ValueError):
    """What was read is not what was promised; the message says how, in words for a person."""


def decode(data: bytes | str, kind: type[T], *, max_bytes: int = JSON_MAX_BYTES) -> T:
    """JSON as a value of `kind`: a dataclass, a msgspec Struct, `dict[str, object]`. Raises Unreadable."""
    import msgspec

    if len(data) > max_bytes:
        raise Unreadable(f"{len(data):,} bytes, where at most {max_bytes:,} are expected")
    try:
        value = msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Unreadable(_said(error)) from error
    _check_depth(value)
    return value


def convert(value: object, kind: type[T]) -> T:
    """A value that was decoded before as one of `kind`. Raises Unreadable."""
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except (ValueError, RecursionError) as error:
        raise Unreadable(_said(error)) from error


def read_file(path: Path, *, max_bytes: int = STATE_MAX_BYTES) -> bytes:
    """A regular file, whole; a FIFO, a device or a folder is neither waited for nor read.

    Raises OSError, and Unreadable for what is no regular file or is too large.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(handle, "rb") as stream:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("it is not a regular file")
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise Unreadable(f"it has {about.st_size:,} bytes, where at most {max_bytes:,} are expected")
    return data


def read_json_file(path: Path, kind: type[T]) -> T:
    """A state file as a value of `kind`. Raises OSError, Unreadable."""
    return decode(read_file(path), kind)


def _check_depth(value: object) -> None:
    """Refuse what is nested deeper than anything that is written here: to walk it later could end in a crash."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise Unreadable(f"it is nested more than {DEPTH_MAX} deep")


def _inside(value: object) -> list[Any]:
    if isinstance(value, dict):
        return [inner for inner in value.values() if isinstance(inner, dict | list)]
    if isinstance(value, list):
        return [inner for inner in value if isinstance(inner, dict | list)]
    return []


def _said(error: BaseException) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
