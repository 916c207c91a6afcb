"""When something is: `Downloading ...` for what is going on, a date only for what was done on another day."""

from __future__ import annotations

import re

VERBS = (
    "add",
    "check",
    "compare",
    "create",
    "download",
    "install",
    "link",
    "make",
    "move",
    "put",
    "record",
    "recreate",
    "reinstall",
    "remove",
    "rename",
    "restart",
    "restore",
    "save",
    "start",
    "switch",
    "test",
    "test-start",
    "try",
    "update",
    "use",
    "verify",
    "wait",
    "write",
)
"""With these begins the sentence of a fix that a step carries out."""
FIRST, NEXT = re.compile(rf"({'|'.join(VERBS)}) ", re.IGNORECASE), re.compile(rf"\b(?<=and )({'|'.join(VERBS)})\b")


def in_progress(says: str) -> str:
    """An imperative as what is going on: `Download and verify it.` is `Downloading and verifying it.`"""
    first = FIRST.match(says)
    return (
        says if first is None else f"{_going(first[1])} {NEXT.sub(lambda found: _going(found[1]), says[first.end() :])}"
    )


def _going(verb: str) -> str:
    return f"{verb.removesuffix('e')}{'t' if verb.lower() == 'put' else ''}ing"


def dated(words: str, when: str, now: str) -> str:
    """`words` and the day of `when`, both in ISO 8601; empty on that day itself: what was just done needs no date."""
    return "" if when[:10] == now[:10] else f"{words} {when[:10]}"
