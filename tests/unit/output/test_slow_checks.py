"""A look that takes long says what it waits for; a fast one says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from provision.cli.look import quietly
from provision.core.events import CheckSlow, Doing, Event, Progress, StepFinished, StepStarted
from provision.core.runner import run
from provision.core.step import Context, Step
from provision.output.console import Console
from provision.output.json_console import JsonConsole
from provision.output.live_console import LiveConsole
from provision.output.slow_checks import SlowChecks
from tests.support.findings import ok

ENDED = StepFinished(step="models", verdict="ok", says="", changed=False, seconds=1)


class Listener:
    """Keeps events, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.came = threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.came.set()

    def wait(self) -> CheckSlow:
        assert self.came.wait(20)
        self.came.clear()
        event = self.events[-1]
        assert isinstance(event, CheckSlow)
        return event


def test_what_takes_long_is_said_and_said_again_and_ended() -> None:
    heard = Listener()
    slow = SlowChecks(heard, slow_s=0.02, again_s=0.02)
    slow.hear(StepStarted(step="models"))
    slow.hear(Doing(step="models", says="reading x, 6.94 GB"))
    first = heard.wait()
    assert (first.step, first.says, first.over) == ("models", "reading x, 6.94 GB", False)
    assert heard.wait().seconds > first.seconds
    slow.hear(ENDED)
    heard.came.wait(20)
    last = heard.events[-1]
    assert isinstance(last, CheckSlow)
    assert last.over


def test_what_is_fast_or_shows_its_bytes_says_nothing() -> None:
    heard = Listener()
    slow = SlowChecks(heard, slow_s=0.2)
    slow.hear(StepStarted(step="models"))
    slow.hear(ENDED)
    slow.hear(StepStarted(step="torch"))
    slow.hear(Progress(step="torch", subject="x", done=1, total=2))
    assert not heard.came.wait(0.4)
    slow.hear(Doing(step="gone", says="nobody began"))
    assert heard.events == []


@pytest.mark.parametrize("kind", [Console, JsonConsole, LiveConsole])
def test_a_slow_check_of_a_look_is_shown(
    kind: type[Console], context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    shown = threading.Event()
    monkeypatch.setattr(SlowChecks.__init__, "__defaults__", (0.02, 10.0))

    def check(ctx: Context) -> list[Any]:
        ctx.doing("reading x, 6.94 GB")
        assert shown.wait(20), "nobody told that it takes long"
        return [ok("a-id", "x", "fine")]

    with kind() as console:
        told = console.emit

        def emit(event: Event) -> None:
            told(event)
            if isinstance(event, CheckSlow):
                shown.set()

        monkeypatch.setattr(console, "emit", emit)
        assert run((Step("models", (), check),), quietly(context(), console), apply=False).ok
    captured = capsys.readouterr()
    if kind is Console:
        assert "  models       reading x, 6.94 GB ... (" in captured.err
    if kind is JsonConsole:
        assert '"check_slow"' in captured.out
