"""When something is: `Downloading ...` for what is going on, a date only for what was done on another day."""

from __future__ import annotations

VERBS = (
    "Add", "Compare", "Create", "Download", "Install", "Link", "Make", "Move", "Put", "Record", "Recreate", "Reinstall",
    "Remove", "Rename", "Restart", "Restore", "Start", "Try", "Update", "Use", "Verify", "Wait", "Write",
)  # fmt: skip
"""With these the sentence of a fix begins that a step carries out."""
DOUBLED = ("Put",)


def in_progress(says: str) -> str:
    """An imperative as what is going on: `Create an environment.` is `Creating an environment.`"""
    verb, space, rest = says.partition(" ")
    if verb not in VERBS:
        return says
    stem = verb.removesuffix("e") if not verb.endswith("ee") else verb
    return f"{stem}{verb[-1] if verb in DOUBLED else ''}ing{space}{rest}"


def dated(words: str, when: str, now: str) -> str:
    """`words` and the day of `when`, both in ISO 8601; empty on that day itself: what was just done needs no date."""
    return "" if when[:10] == now[:10] else f"{words} {when[:10]}"
