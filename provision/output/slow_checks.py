"""Checks that take long say what they wait for: a look is silent until its end, and must not seem to hang."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from provision.core.events import CheckSlow, Doing, Emit, Event, Progress, StepFinished, StepStarted

SLOW_S = 1.5
SOON_S = 0.6
"""On a terminal, where it is gone again once it is over."""
AGAIN_S = 10.0


@dataclass(slots=True)
class _Look:
    """A check at work."""

    started: float
    timer: threading.Timer
    says: str = "looking"
    shown: bool = False

    def told(self, step: str, *, over: bool = False) -> CheckSlow:
        return CheckSlow(step=step, says=self.says, seconds=time.monotonic() - self.started, over=over)


class SlowChecks:
    """Receives a look's events, and emits CheckSlow for each step whose check takes longer than `slow_s`, and again."""

    def __init__(self, emit: Emit, slow_s: float = SLOW_S, again_s: float = AGAIN_S) -> None:
        self._emit, self._slow_s, self._again_s = emit, slow_s, again_s
        self._looks: dict[str, _Look] = {}
        self._guard = threading.Lock()

    def hear(self, event: Event) -> None:
        """Receive an event, from any thread."""
        with self._guard:
            look = self._looks.get(event.step)
            match event:
                case StepStarted():
                    self._looks[event.step] = _Look(time.monotonic(), self._timer(event.step, self._slow_s))
                case Doing() if look is not None:
                    look.says = event.says
                case Progress(total=int(), unit="bytes") if look is not None:
                    look.timer.cancel()  # its bytes are shown from now on
                case StepFinished() if look is not None:
                    look.timer.cancel()
                    del self._looks[event.step]
        if isinstance(event, StepFinished) and look is not None and look.shown:
            self._emit(look.told(event.step, over=True))

    def _timer(self, step: str, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._tell, (step,))
        timer.daemon = True
        timer.start()
        return timer

    def _tell(self, step: str) -> None:
        with self._guard:
            look = self._looks.get(step)
            if look is None:
                return
            look.shown, look.timer = True, self._timer(step, self._again_s)
            event = look.told(step)
        self._emit(event)
