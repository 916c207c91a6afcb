"""Lines pasted into an interactive shell in which no program runs: which words each of them would call it with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

SHELLS = {"zsh": ("-f", "-i"), "bash": ("--norc", "--noprofile", "-i")}
"""As a terminal has them, but for what a person's own files say."""
NOT_FOUND = {"zsh": "command_not_found_handler", "bash": "command_not_found_handle"}
RECORD = """printf '%s\\0' {words}"$@" "$(printf '\\1')" >>"$RECORDED\""""
"""In one write, as the commands of a pipe run at the same time."""
BY_PATH = ("bin/provision", "bin/test")
"""What is called by its path from within a checkout."""


def paste(shell: str, blocks: Sequence[str], folder: Path) -> list[list[list[str]]]:
    """Of each block, the argv of each call that it comes to; none where the shell refuses it, or waits for its end."""
    program = shutil.which(shell) or pytest.skip(f"there is no {shell} on this machine")
    for name in BY_PATH:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + RECORD.format(words=f"{name} "))
        path.chmod(0o755)
    typed = [NOT_FOUND[shell] + "() { " + RECORD.format(words="") + "; }"]
    for number, block in enumerate(blocks):
        typed += [f"next-block {number}", block]
    record = folder / "recorded"
    subprocess.run(
        [program, *SHELLS[shell]],
        input="\n".join([*typed, f"next-block {len(blocks)}", ""]),
        cwd=folder,
        env={
            "PATH": "/nowhere",
            "HOME": str(folder),
            "RECORDED": str(record),
            "TERM": "dumb",
            "LANG": os.environ.get("LANG", "C"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    parts = record.read_text(encoding="utf-8").split("next-block\0")[1:]
    found = {int(part.partition("\0")[0]): part.partition("\1\0")[2] for part in parts}
    calls = (found.get(number, "") if number + 1 in found else "" for number in range(len(blocks)))
    return [[call.split("\0")[:-1] for call in each.split("\1\0")[:-1]] for each in calls]
