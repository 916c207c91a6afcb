"""The strict reader of what others wrote: state files, answers of servers, messages of programs.

The result is a value of the type that was asked for, or Unreadable: never another exception, never more bytes than
allowed, never a wait on what is not a file.
"""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

JSON_MAX_BYTES = 16_000_000
"""ComfyUI's whole `/object_info` has 5 MB, a page of the hub 0.3."""
STATE_MAX_BYTES = 16_000_000
SETTINGS_MAX_BYTES = 1_000_000
"""For files written by hand: a manifest, a list of requirements, settings of ComfyUI."""
DEPTH_MAX = 64
DOTS_MAX = 16
QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|#.*""")
"""The parts of a line of TOML that are not keys: strings and a comment."""


class Unreadable(ValueError):
    """What was read is not what was expected; the message says why, for a person."""


def decode(data: bytes | str, kind: type[T], *, max_bytes: int = JSON_MAX_BYTES) -> T:
    """JSON as a value of `kind`: a dataclass, a msgspec Struct, `dict[str, object]`. Raises Unreadable."""
    import msgspec

    if len(data) > max_bytes:
        raise Unreadable(f"{len(data):,} bytes, at most {max_bytes:,} are expected")
    try:
        value = msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Unreadable(_said(error)) from error
    _check_depth(value)
    return value


def convert(value: object, kind: type[T]) -> T:
    """A decoded value as one of `kind`. Raises Unreadable."""
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except (ValueError, RecursionError) as error:
        raise Unreadable(_said(error)) from error


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file, without waiting for a FIFO or a device. Raises OSError, and Unreadable for anything else."""
    try:
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb")
    except ValueError as error:  # a NUL in its name
        raise Unreadable("its name is not a valid file name") from error
    except IsADirectoryError as error:
        raise Unreadable("it is a folder") from error
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise Unreadable("it is not a regular file")


def read_file(path: Path, *, max_bytes: int = STATE_MAX_BYTES) -> bytes:
    """The content of a regular file. Raises OSError, and Unreadable for what is not one, or is too large."""
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(max_bytes + 1) if size <= max_bytes else b""
    if max(size, len(data)) > max_bytes:
        raise Unreadable(f"it has {max(size, len(data)):,} bytes, at most {max_bytes:,} are expected")
    return data


def read_text(path: Path, *, max_bytes: int = SETTINGS_MAX_BYTES) -> str:
    """The content of a UTF-8 file, with or without a byte order mark. Raises OSError, Unreadable."""
    try:
        return read_file(path, max_bytes=max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8 text") from error


def read_toml(path: Path, *, max_bytes: int = SETTINGS_MAX_BYTES) -> dict[str, Any]:
    """A file of TOML as plain data. Raises OSError, Unreadable."""
    return parse_toml(read_text(path, max_bytes=max_bytes))


def parse_toml(text: str) -> dict[str, Any]:
    """TOML as plain data, with or without the mark of UTF-8 before it. Raises Unreadable."""
    import tomllib

    text = text.removeprefix("\ufeff")
    # tomllib takes quadratic time for a dotted key: one of 400,000 names would take a day.
    if any(QUOTED.sub("", line).count(".") > DOTS_MAX for line in text.split("\n") if line.count(".") > DOTS_MAX):
        raise Unreadable("its tables are nested too deep")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, or a number without end
        raise Unreadable(_said(error)) from error


def read_tail(path: Path, max_bytes: int) -> str:
    """The last bytes of a log as text, by whole lines; invalid UTF-8 is replaced. Raises OSError, Unreadable."""
    with open_file(path) as stream:
        before = max(0, os.fstat(stream.fileno()).st_size - max_bytes)
        stream.seek(before)
        text = stream.read(max_bytes).decode("utf-8", "replace")
    return text.partition("\n")[2] if before else text


def read_head(path: Path, count: int) -> bytes:
    """The first bytes of a regular file; empty where it cannot be read."""
    try:
        with open_file(path) as stream:
            return stream.read(count)
    except (OSError, Unreadable):
        return b""


def why_not(error: OSError | Unreadable) -> str:
    """The reason of an error, for a sentence."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def read_json_file(path: Path, kind: type[T]) -> T:
    """A state file as a value of `kind`. Raises OSError, Unreadable."""
    return decode(read_file(path), kind)


def _check_depth(value: object) -> None:
    """Refuse a value nested deeper than DEPTH_MAX: walking it could crash later."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    raise Unreadable(f"it is nested more than {DEPTH_MAX} deep")


def _said(error: BaseException) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error).partition("\n")[0]
