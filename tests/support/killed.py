"""Code that ends in the middle, as by SIGKILL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Killed(BaseException):
    """In place of SIGKILL: nothing handles it, and nothing that follows is done."""


@contextmanager
def killed_at(module: Any, name: str, *, before: bool) -> Iterator[None]:
    """The block must end at its first call of `module.name`: before that does anything, or right after it."""
    real = getattr(module, name)

    def end(*words: Any, **named: Any) -> None:
        if not before:
            real(*words, **named)
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, name, end)
        with pytest.raises(Killed):
            yield
