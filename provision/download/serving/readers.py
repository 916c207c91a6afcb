"""Who reads: an account of bytes for each address, written by the server and read by whoever shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from provision.core.estimate import Rate

QUIET_S = 5.0
"""Without a request for so long, a reader has gone."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What one address read in `seconds`, pauses not counted: in all, and of the file that it read last.

    `bytes_per_s` is the pace of now, None while there is none.
    """

    address: str
    sent_bytes: int
    seconds: float
    file: str
    file_sent_bytes: int
    file_bytes: int
    bytes_per_s: float | None
    gone: bool = False


@dataclass(slots=True)
class _Account:
    since: float
    last: float
    paused_s: float = 0.0
    open: int = 0
    sent_bytes: int = 0
    file: str = ""
    by_file: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes sent of each file, and its size."""
    rate: Rate = field(default_factory=Rate)

    def is_quiet(self, now: float) -> bool:
        return self.open == 0 and now - self.last >= QUIET_S


class Readers:
    """All accounts; each method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def reading(self, address: str, file: str, size: int) -> Iterator[Callable[[int], None]]:
        """While a request for a file is answered; what is called with every number of bytes sent."""
        with self._guard:
            now = self._clock()
            account = self._accounts.setdefault(address, _Account(now, now))
            if account.is_quiet(now):
                account.paused_s += now - account.last
            account.open, account.last = account.open + 1, now
            account.by_file.setdefault(file, (0, size))

        def sent(count: int) -> None:
            with self._guard:
                account.last, account.file = self._clock(), file
                account.sent_bytes += count
                account.by_file[file] = (account.by_file[file][0] + count, size)

        try:
            yield sent
        finally:
            with self._guard:
                account.open, account.last = account.open - 1, self._clock()

    def seen(self) -> list[Reader]:
        """Everyone who has read something, as it is now."""
        with self._guard:
            now = self._clock()
            return [_reader(address, each, now) for address, each in self._accounts.items() if each.sent_bytes]


def _reader(address: str, account: _Account, now: float) -> Reader:
    sent, size = account.by_file[account.file]
    account.rate.add(now, account.sent_bytes)
    return Reader(
        address,
        account.sent_bytes,
        account.last - account.since - account.paused_s,
        account.file,
        min(sent, size),
        size,
        account.rate.at(now),
        account.is_quiet(now),
    )
