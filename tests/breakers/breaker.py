"""What a breaker is: a function that breaks a healthy home in one way, and the id by which doctor must name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provision.steps.catalogue import known
from tests.breakers.patient import Patient


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which something breaks: the finding that names it, and what is done."""

    id: str
    what: str

    @property
    def name(self) -> str:
        """Its row: the id and the way."""
        return f"{self.id}: {self.what}"

    @property
    def mends(self) -> bool:
        """Whether `doctor --fix --yes` must bring back what was whole."""
        about = known(self.id)
        assert about is not None, self.id
        return about.fix in ("auto", "consent")


@dataclass(frozen=True, slots=True)
class Breaker(Way):
    """One way in which a home breaks.

    `things` is what it breaks: two breakers of one thing exclude each other. `beside` are other findings that this
    rightly brings with it. `kept` says why `--fix` does not mend it although the catalogue says that it does.
    """

    things: frozenset[str]
    break_it: Callable[[Patient], None]
    beside: frozenset[str] = frozenset()
    deep: bool = False
    kept: str = ""
    root: bool = False
    """Only root can break it so."""

    @property
    def mends(self) -> bool:
        """Whether `doctor --fix --yes` must bring the home back."""
        return not self.kept and Way.mends.__get__(self)


def breaks(
    id: str, things: str, *beside: str, deep: bool = False, kept: str = "", root: bool = False
) -> Callable[[Callable[[Patient], None]], Breaker]:
    """Make a function a breaker of `things` (words); its docstring is what it does."""

    def make(function: Callable[[Patient], None]) -> Breaker:
        what = what_it_does(function)
        return Breaker(id, what, frozenset(things.split()), function, frozenset(beside), deep, kept, root)

    return make


def what_it_does(function: Callable[..., None]) -> str:
    """Its docstring, as a row has it."""
    assert function.__doc__, function
    return function.__doc__.strip().rstrip(".")
