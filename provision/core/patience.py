"""How long a failure is ridden out that may be over in a while, and when to try again: one policy for every request.

It goes by time: huggingface.co's limit is lifted within five minutes (https://huggingface.co/docs/hub/rate-limits),
and a network or a server that comes back mostly does so sooner. What stays as it is (401, 403, 404, a certificate
that is refused) is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

from provision.command import program
from provision.errors import Passing, ProvisionError, UsageError
from provision.system.address import quoted

if TYPE_CHECKING:
    from provision.core.step import Context

T = TypeVar("T")

FIRST_S, LONGEST_S = 1.0, 30.0
"""Between two tries: twice as long each time, unless the server names a time."""
LIMIT_S = 310.0
"""As long as a server may ask to wait: the hub counts over 300 s. What asks for more is not waited for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a failure is ridden out, by why it may pass."""

    outage_s: float = 300.0
    """Busy servers, rate limits, connections that break or are silent."""
    name_s: float = 60.0
    """A host that the resolver does not know; one that was reached before has an outage."""
    answer_s: float = 15.0
    limit_s: float = LIMIT_S

    def seconds(self, passing: Passing) -> float:
        """How long this kind of failure is ridden out."""
        return {Passing.NAME: self.name_s, Passing.ANSWER: self.answer_s}.get(passing, self.outage_s)

    def at_most(self, seconds: float) -> Patience:
        """No more than so many seconds for anything."""
        return Patience(*(min(getattr(self, each.name), max(0.0, seconds)) for each in fields(self)))


LOOKING_S = 3.0
"""The patience of a look: its answer is what can be seen now."""
BRIEF_S = 15.0
"""The patience with a server that has another behind it."""
VARIABLE = "PROVISION_PATIENCE"
DAY_S = 86_400.0


def patience_of(environ: Mapping[str, str]) -> Patience:
    """The usual patience, or that of `PROVISION_PATIENCE`: seconds for an outage, 0 for none. Raises UsageError."""
    text = environ.get(VARIABLE, "").strip()
    if not text:
        return Patience()
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= DAY_S):
        raise UsageError(
            f"{VARIABLE} is {quoted(text)!r}, not a number of seconds between 0 and {DAY_S:.0f}.",
            hint=program("unset", VARIABLE),
        )
    seconds = float(text)
    usual = Patience()
    return replace(usual.at_most(seconds), outage_s=seconds, limit_s=max(seconds, usual.limit_s) if seconds else 0.0)


class Outage:
    """Failures of one piece of work, with nothing new between them."""

    def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
        self._patience, self._clock = patience, clock
        self._since: float | None = None
        self._waited_s = 0.0
        self._next_s = FIRST_S
        self._worked = False

    def over(self) -> None:
        """Something new came: whatever fails next is another outage."""
        self._since, self._waited_s, self._next_s, self._worked = None, 0.0, FIRST_S, True

    def wait_s(self, error: ProvisionError, asked_s: float | None = None) -> float:
        """How long to wait before the next try; `asked_s` is what the server asks for, in place of the error's.

        Raises the error where it does not pass, or has been ridden out for long enough.
        """
        first = self._since is None
        if self._since is None:
            self._since = self._clock()
        passed_s = max(self._clock() - self._since, self._waited_s)  # a clock may stand still while a Mac sleeps
        passing = Passing.NETWORK if self._worked and error.passing is Passing.NAME else error.passing
        asked_s = error.wait_s if asked_s is None else asked_s
        if passing is None or (asked_s or 0) > self._patience.limit_s:
            raise error
        left_s = self._patience.seconds(passing) - passed_s
        if left_s <= 0:
            raise error
        if (asked_s and asked_s >= FIRST_S) or (asked_s is not None and first):
            seconds = asked_s
        else:
            seconds = min(self._next_s, left_s)
            self._next_s = min(2 * self._next_s, LONGEST_S)
        self._waited_s += seconds
        return seconds


def ride_out(ctx: Context, work: Callable[[], T]) -> T:
    """What `work` returns. Its failures that may pass are waited out, and told; raises all others, and the last one."""
    outage = Outage(ctx.patience, ctx.machine.clock)
    while True:
        try:
            return work()
        except ProvisionError as error:
            ctx.wait(error.message, outage.wait_s(error), error.passing)
