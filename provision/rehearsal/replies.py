"""What the rehearsal's servers are asked, and what they answer: a `Reply` is data, sent in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

Origin = Literal["hub", "cdn"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the hub read it; `target` as sent, header names in lower case."""

    origin: Origin
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The decoded path, without the query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> str:
        return urlsplit(self.target).query


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes `start` to `stop` (exclusive) of a file of `size` bytes."""

    path: Path
    start: int
    stop: int
    size: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `file` is the model file whose bytes it carries or which it is about, for the accounts."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | FileSlice = b""
    file: str = ""

    @property
    def length(self) -> int:
        return len(self.content)

    def pieces(self, size: int) -> Iterator[bytes]:
        """The body in pieces of about `size` bytes."""
        content = self.content
        if isinstance(content, bytes):
            yield from (content[at : at + size] for at in range(0, len(content), size))
            return
        with content.path.open("rb") as file:
            file.seek(content.start)
            left = len(content)
            while left and (piece := file.read(min(size, left))):
                yield piece
                left -= len(piece)


def refusal(status: int, message: str, code: str = "") -> Reply:
    """An error as the Hugging Face hub words it: a short text, `X-Error-Code` and `X-Error-Message`."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Error-Message": message}
    return Reply(status, headers | ({"X-Error-Code": code} if code else {}), message.encode())


def json_reply(value: object, content_type: str = "application/json; charset=utf-8", status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": content_type}, json.dumps(value).encode())
