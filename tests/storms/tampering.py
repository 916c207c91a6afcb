"""What may lie in the place of a state file: forms of damage, each a function that puts itself there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEEP = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """A state file that is to be tampered with; `outside` is a folder that is a person's."""

    path: Path
    outside: Path

    def clear(self) -> None:
        """Have nothing there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        self.path.unlink(missing_ok=True)

    def put(self, data: bytes) -> None:
        self.clear()
        self.path.write_bytes(data)


def _text(place: Place) -> bytes:
    return place.path.read_bytes() if place.path.is_file() else b"{}"


def _mapped(place: Place, change: Callable[[object], object]) -> None:
    """The same JSON with each value in it changed; a text of another kind as a whole."""
    try:
        value = json.loads(_text(place))
    except ValueError:
        value = {}
    changed = {name: change(inner) for name, inner in value.items()} if isinstance(value, dict) else change(value)
    place.put(json.dumps(changed).encode())


def _words(place: Place, word: str) -> None:
    """The same JSON with each text in it, however deep, another."""

    def change(value: object) -> object:
        if isinstance(value, dict):
            return {name: change(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [change(inner) for inner in value]
        return word if isinstance(value, str) else value

    _mapped(place, change)


def _link(place: Place, target: str | Path) -> None:
    place.clear()
    place.path.symlink_to(target)


def _folder(place: Place) -> None:
    place.clear()
    (place.path / "mine").mkdir(parents=True)
    (place.path / "mine" / "kept.txt").write_text("mine", encoding="utf-8")


def _fifo(place: Place) -> None:
    place.clear()
    os.mkfifo(place.path)


def _sparse(place: Place) -> None:
    place.clear()
    with place.path.open("wb") as stream:
        stream.truncate(10 << 30)


def _unreadable(place: Place) -> None:
    place.path.chmod(0)


def _to_a_persons(place: Place) -> None:
    canary = place.outside / "canary.json"
    canary.write_bytes(_text(place))
    _link(place, canary)


def _loop(place: Place) -> None:
    _link(place, place.path.name)


def _dangling(place: Place) -> None:
    _link(place, place.outside / "not-here")


def _cut(place: Place) -> None:
    text = _text(place)
    place.put(text[: len(text) // 2])


def _not_utf8(place: Place) -> None:
    place.put(_text(place).replace(b'"', b'"\xff\xfe', 3))


FORMS: Mapping[str, Callable[[Place], None]] = {
    "empty": lambda place: place.put(b""),
    "nul": lambda place: place.put(b"\0" * 4096),
    "not utf-8": _not_utf8,
    "cut": _cut,
    "deep lists": lambda place: place.put(b"[" * DEEP),
    "deep objects": lambda place: place.put(b'{"a":' * DEEP),
    "deep within": lambda place: _mapped(place, lambda _: json.loads("[" * 500 + "]" * 500)),
    "a list": lambda place: place.put(b"[1, 2]"),
    "a number": lambda place: place.put(b"3"),
    "null": lambda place: place.put(b"null"),
    "all numbers": lambda place: _mapped(place, lambda _: 5),
    "all negative": lambda place: _mapped(place, lambda _: -5),
    "all floats": lambda place: _mapped(place, lambda _: 1e300),
    "all beyond 64 bits": lambda place: _mapped(place, lambda _: 1 << 70),
    "all texts": lambda place: _mapped(place, lambda _: "x"),
    "all null": lambda place: _mapped(place, lambda _: None),
    "all lists": lambda place: _mapped(place, lambda _: [1, "x", None]),
    "all objects": lambda place: _mapped(place, lambda _: {"a": {"b": 1}}),
    "other texts": lambda place: _words(place, "../../../x"),
    "a program's name": lambda place: _words(place, "/bin/sh"),
    "a NUL within": lambda place: _words(place, "a\0b"),
    "escapes": lambda place: _words(place, "\x1b]0;x\x07\u202e"),
    "nan": lambda place: place.put(b'{"a": NaN, "seconds": Infinity, "torch": -Infinity}'),
    "huge number": lambda place: place.put(b'{"pid": ' + b"9" * 5000 + b', "seconds": 1e99999}'),
    "surrogates": lambda place: place.put(b'{"torch": "\\ud800", "name": "\\udfff"}'),
    "folder": _folder,
    "fifo": _fifo,
    "device": lambda place: _link(place, "/dev/zero"),
    "terminal": lambda place: _link(place, "/dev/tty"),
    "sparse": _sparse,
    "unreadable": _unreadable,
    "a person's": _to_a_persons,
    "loop": _loop,
    "dangling": _dangling,
}


def state_files(home: Path) -> Iterator[str]:
    """The state files that a rehearsed home has or could have, relative to it."""
    for path in sorted((home / "state" / "receipts").glob("*.json")):
        yield str(path.relative_to(home))
    yield from (f"state/receipts/{name}.json" for name in ("ladder", "launch-flags", "torch-wish", "wrong-copies"))
    yield from (f"state/{name}.json" for name in ("pace", "run", "report", "bench", "server", "adopted"))
    yield from ("state/rehearsal/world.json", "state/lock", "state/children/1")
    for path in sorted((home / "envs").glob("*/set/before.json")):
        yield str(path.relative_to(home))
    for path in sorted((home / "state" / "receipts").glob("model-*.json")):
        sha256 = json.loads(path.read_bytes())["sha256"]
        yield from (f"state/parts/{sha256}.json", f"state/parts/{sha256}.part")
