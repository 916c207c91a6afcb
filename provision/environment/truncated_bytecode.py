"""Compiled files that a full disk cut short: Python 3.11 does not see that it wrote only a part, and then reads that.

They are caches: without them Python compiles anew.
"""

from __future__ import annotations

import re
import shutil

from provision.core.home import Home

SIGN = re.compile(r"EOFError: marshal data too short|ValueError: bad marshal data|EOFError: EOF read where object")
"""How Python says that a compiled file is not whole (marshal, and importlib around it)."""


def forget_cut_caches(home: Home, said: str) -> bool:
    """Remove all compiled files from code and environment of our own where a program `said` that one is cut short.

    Whether that is worth another start.
    """
    if not SIGN.search(said):
        return False
    ours = [
        folder
        for folder, another in ((home.comfyui, home.code_of_another), (home.venv, home.venv_of_another))
        if another is None
    ]
    for folder in ours:
        for cache in list(folder.rglob("__pycache__")):
            shutil.rmtree(cache, ignore_errors=True)
    return bool(ours)
