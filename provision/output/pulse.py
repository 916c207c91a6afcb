"""A sign of life on a terminal where nothing was written for a while; gone again before the next text."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

SILENT_S = 0.7
TURNS_PER_S = 8
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
STILL = frozenset({"--json", "--plain", "--quiet", "-q"})
"""Flags with which nothing moves."""
ERASE = "\r\x1b[K"


class Pulse:
    """A line that turns below what was written, from `start` to `rest`, whenever all is silent.

    Who writes to the terminal does so within `aside`.
    """

    def __init__(self, stream: TextIO, silent_s: float = SILENT_S) -> None:
        self._stream, self._silent_s = stream, silent_s
        self._guard = threading.RLock()
        self._over = threading.Event()
        self._began = self._wrote = time.monotonic()
        self._shown = self._within_line = False

    def start(self) -> None:
        """Turn from now on."""
        threading.Thread(target=self._turn, name="pulse", daemon=True).start()

    def rest(self) -> None:
        """Show nothing any more: a person or another program has the terminal."""
        self._over.set()
        with self._guard:
            self._erase()

    @contextmanager
    def aside(self, text: str = "") -> Iterator[None]:
        """Make room for a text, which is written meanwhile."""
        with self._guard:
            self._erase()
            yield
            self._wrote = time.monotonic()
            if text:
                self._within_line = not text.endswith("\n")

    def _turn(self) -> None:
        wait = self._silent_s
        while not self._over.wait(wait):
            with self._guard:
                now = time.monotonic()
                silent = now - self._wrote
                wait = 1 / TURNS_PER_S if silent >= self._silent_s else self._silent_s - silent
                if silent >= self._silent_s and not self._within_line and not self._over.is_set():
                    turn = SPINNER[int(now * TURNS_PER_S) % len(SPINNER)]
                    self._write(f"{ERASE}{turn} Working ... {now - self._began:.0f} s")
                    self._shown = True

    def _erase(self) -> None:
        if self._shown:
            self._shown = False
            self._write(ERASE)

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone ends the turning, not the work
            self._stream.write(text)
            self._stream.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether this stream is a terminal; it may be closed or missing."""
    return stream is not None and not stream.closed and stream.isatty()


def draws(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether this is a terminal on which something can move."""
    if stream is None or not is_terminal(stream):
        return False
    return (stream.encoding or "utf-8").lower().startswith("utf") and environ.get("TERM", "") not in ("", "dumb")


def moves(words: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether this command line lets something move."""
    return not STILL & {*words} and not environ.get("PROVISION_PLAIN")
