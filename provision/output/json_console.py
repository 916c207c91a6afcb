"""NDJSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from provision.core.events import Event, FindingSeen, StepFinished
from provision.core.finding import JSON
from provision.errors import OutputLost, ProvisionError
from provision.output import safe_streams
from provision.output.console import Console
from provision.output.result import Part, Result


class JsonConsole(Console):
    """One JSON object a line on standard output, the report last."""

    def show(self, event: Event) -> None:
        self.record(event.to_json())

    def emit_of_a_look(self, event: Event) -> None:
        super().emit_of_a_look(event)
        if isinstance(event, FindingSeen | StepFinished):
            self.record(event.to_json())

    def answer(self, result: Result) -> None:
        self.record(result.data)

    def tell(self, part: Part) -> None:
        """Skip it: the report has it."""

    def record(self, value: Mapping[str, JSON]) -> None:
        """Write one object."""
        with self._guard:
            safe_streams.say(
                safe_streams.out(), json.dumps(value, default=self.invocation.plain).replace("\x7f", "\\u007f")
            )

    def agrees_to(self, page: str, question: str) -> bool:
        """Ask nobody: what reads JSON is a program."""
        return True

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        if isinstance(error, OutputLost):
            super().error(error, log)
            return
        failed = {"ok": False, "changed": False, "error": error.to_json()}
        self.record({"schema": 1, "type": "report", **failed, "steps": []})
