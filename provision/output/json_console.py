"""NDJSON for programs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from provision.core.events import Event, FindingSeen, Note, Output, StepFinished
from provision.core.finding import JSON
from provision.errors import ErrorJson, OutputLost, ProvisionError
from provision.output import safe_streams
from provision.output.as_json import Run, as_object
from provision.output.console import Console
from provision.output.result import Part, Result

HEARTBEAT_S = 10.0


class JsonConsole(Console):
    """One JSON object a line on standard output, the report last."""

    def __init__(self, run: Run | None = None, *, verbose: bool = False, yes: bool = False) -> None:
        super().__init__(run, verbose=verbose, yes=yes)
        self._began, self._over, self._reported = time.monotonic(), threading.Event(), False

    def __enter__(self) -> JsonConsole:
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
        super().__exit__(*details)

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            self.show(self.heartbeat())

    def show(self, event: Event) -> None:
        if not isinstance(event, Output) or self.verbose:
            self.record(event.type, step=event.step, **_fields(event))

    def emit_of_a_look(self, event: Event) -> None:
        super().emit_of_a_look(event)
        if isinstance(event, FindingSeen | StepFinished):
            self.show(event)

    def answer(self, result: Result) -> None:
        steps = result.report.steps if result.report is not None else ()
        self._report(result.error, result.changed, [as_object(step) for step in steps], as_object(result.data))

    def _report(self, error: ErrorJson | None, changed: bool, steps: list[JSON], facts: Mapping[str, JSON]) -> None:
        with self._guard:
            self.record(
                "report",
                command=self.run.command,
                ok=error is None,
                error=error,
                changed=changed,
                seconds=round(time.monotonic() - self._began, 3),
                steps=steps,
                **facts,
            )
            self._reported = True

    def tell(self, part: Part) -> None:
        """Skip it: the report has it."""

    def record(self, type: str, **values: JSON) -> None:
        """Write one line, unless the report was written."""
        with self._guard:
            if not self._reported:
                line = json.dumps(self.run.line(type, **values), default=self.invocation.plain)
                safe_streams.say(safe_streams.out(), line.replace("\x7f", "\\u007f"))

    def agrees_to(self, page: str, question: str) -> bool:
        """Ask nobody: what reads JSON is a program."""
        return True

    def page(self, text: str) -> None:
        self.show(Note(says=text))

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        if isinstance(error, OutputLost):
            super().error(error, log)
            return
        self._report(error.to_json(), False, [], {})


def _fields(event: Event) -> dict[str, JSON]:
    told = event.finding if isinstance(event, FindingSeen) else event
    return {name: value for name, value in as_object(told).items() if name != "step"}
