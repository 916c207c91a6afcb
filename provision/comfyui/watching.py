"""Staying with a server: started again where it ended by itself, left alone where it was stopped.

`stop` and `update` forget the record before they end a server; a crash leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from provision.comfyui.server_process import read_record, record_path
from provision.core.receipts import home_lock
from provision.core.step import Context
from provision.errors import HomeLocked

LOOK_S = 1.0
AGAIN_MAX, WITHIN_S = 3, 600.0
"""How often within how many seconds a server that ends by itself is started again."""


@dataclass(slots=True)
class Watch:
    """What is known of the servers so far; `crashes` are monotonic seconds."""

    ctx: Context
    crashes: list[float] = field(default_factory=list)

    def until_over(self, start: Callable[[], bool]) -> bool:
        """Stay until the server is stopped; `start` starts one. False where it does not start, or ends again and again.

        Raises Interrupted, and what `start` raises.
        """
        while True:
            self._while_alive()
            if not record_path(self.ctx).exists():
                return True
            if not self._may_try() or not start():
                return False

    def _while_alive(self) -> None:
        """Return when no server of this home runs, and no command that may start one."""
        while read_record(self.ctx) is not None or self._is_held():
            self.ctx.machine.sleep(LOOK_S)

    def _is_held(self) -> bool:
        """Whether a command works in the home, as an update that starts the server again."""
        lock = self.ctx.home.state / "lock"
        if not lock.exists():  # the home was moved or removed, and is not to be made again
            return False
        try:
            with home_lock(lock, command="launch"):
                return False
        except HomeLocked:
            return True

    def _may_try(self) -> bool:
        now = self.ctx.machine.clock()
        self.crashes = [when for when in self.crashes if now - when < WITHIN_S] + [now]
        left = len(self.crashes) <= AGAIN_MAX
        again = "Starting it again." if left else f"It ended {AGAIN_MAX + 1} times within 10 minutes."
        self.ctx.note(f"ComfyUI exited by itself. {again}")
        return left
