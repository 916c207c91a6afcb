"""Recorded runs: what a console received and when, as NDJSON, read back as events.

To record one:  python -m tests.support.event_streams NAME all --rehearse --home DIR --limit-rate 3M
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from provision.core import events
from provision.core.events import Event, FindingSeen, Progress, Work
from provision.output.as_json import NAMES
from tests.support.findings import finding_of
from tests.support.paths import TESTS

FOLDER = TESTS / "streams"
KINDS = {kind.type: kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
Moment = tuple[float, Event]
PRIVATE = (
    (r"/\S*/\.pyenv/versions/[\d.]+", "/usr"),
    (r"(Intel\(R\)|AMD)[^,\"]*?(GHz|Processor|EPYC)[^,)\"]*", "a processor"),
    (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8080"),
)


def read_stream(name: str) -> list[Moment]:
    """The events of a recorded run, each with its second."""
    lines = (FOLDER / f"{name}.ndjson").read_text(encoding="utf-8").splitlines()
    return [(float(line.pop("at")), event_of(line)) for line in map(json.loads, lines)]


def event_of(line: dict[str, Any]) -> Event:
    """An event from its NDJSON object."""
    kind = KINDS[line.pop("type")]
    if kind is FindingSeen:
        return FindingSeen(step=line.pop("step"), finding=finding_of(line))
    named = {field.name: NAMES.get(field.name, field.name) for field in fields(kind)}
    told = {field: line[name] for field, name in named.items() if name in line}
    return kind(**({**told, "kind": Work(told["kind"])} if kind is Progress else told))


def record(words: list[str]) -> Iterator[str]:
    """Run the tool, and give its events with their seconds; what is this machine's own is taken out."""
    home = words[words.index("--home") + 1]
    with subprocess.Popen(
        [sys.executable, "-m", "provision", *words, "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        started = time.monotonic()
        for line in process.stdout:
            text = line.replace(home, "/home/you/provision")
            for pattern, plain in PRIVATE:
                text = re.sub(pattern, plain, text)
            event = json.loads(text)
            if event["type"] in KINDS:
                own = {name: value for name, value in event.items() if name not in ("schema", "run", "host")}
                yield json.dumps({**own, "at": round(time.monotonic() - started, 3)})


if __name__ == "__main__":
    (FOLDER / f"{sys.argv[1]}.ndjson").write_text("\n".join(record(sys.argv[2:])) + "\n", encoding="utf-8")
