"""The recorded Macs of tests/facts/macs: whole machines as data, and what the tool says on them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from provision.core.estimate import USUAL_S, Pace
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.plan import make_plan
from provision.core.runner import run
from provision.core.step import Context, Options, Report
from provision.output import views
from provision.output.layout import plain_text
from provision.output.plan_view import plan_lines
from provision.steps.registry import STEPS
from provision.system.machine import Argv, Memory, Ran
from tests.support.fake_machine import FakeMachine
from tests.support.paths import FACTS

MACS = FACTS / "macs"
NO_HOSTS = ("comfyui.url=file:///repository/ComfyUI.git", "torch.channel=stable")
"""A recorded Mac has no network: nothing that is asked for comes from a host."""


def mac_names() -> list[str]:
    return sorted(path.stem for path in MACS.glob("*.json"))


def machine_of(name: str) -> str:
    """Which Mac it is, for people."""
    return str(json.loads((MACS / f"{name}.json").read_text(encoding="utf-8"))["machine"])


class RecordedMac(FakeMachine):
    """Answers what was recorded. `sysctl -i` prints the names that it knows and passes over the others, as Apple's."""

    def __init__(self, name: str) -> None:
        self.recorded = json.loads((MACS / f"{name}.json").read_text(encoding="utf-8"))
        memory = self.recorded["memory_bytes"]
        super().__init__(
            {
                " ".join(each["command"]): Ran(tuple(each["command"]), each["code"], each["out"], each["err"])
                for each in self.recorded["commands"]
            },
            arch=self.recorded["arch"],
            environ={"UV_DEFAULT_INDEX": "file:///index"},
            programs=self.recorded["programs"],
            disk_free=self.recorded["disk_free_bytes"],
            memory=Memory(*memory) if memory else None,
        )

    def run(self, argv: Argv, **how: object) -> Ran:
        words = tuple(str(word) for word in argv)
        if words[:2] != ("/usr/sbin/sysctl", "-i"):
            return super().run(argv, **how)
        values = self.recorded["sysctl"]["values"]
        return Ran(words, 0, "".join(f"{name}: {values[name]}\n" for name in words[2:] if name in values))


def mac_context(name: str) -> Context:
    """The recorded Mac with nothing of ours on it yet."""
    home = Home(Path("/Users/you/provision"))
    return Context(RecordedMac(name), load_manifest("sdxl-turbo", NO_HOSTS), home, Options(endpoint="file:///hub"))


@cache
def planned_on(name: str) -> Report:
    """What every step sees on a recorded Mac."""
    return run(STEPS, mac_context(name), apply=False)


def said_on(name: str) -> str:
    """What `provision check` and `provision plan` say on a recorded Mac, as a person reads it."""
    plan = planned_on(name)
    check = replace(plan, steps=plan.steps[:1])
    needs = {step.name: step.needs for step in STEPS}
    table = plain_text(plan_lines(make_plan(plan, needs, Pace(), USUAL_S)), 100)
    closing = ["This machine is supported." if check.ok else "This machine is not supported."]
    checked = plain_text(views.checkup_lines(check, closing, details=True), 100)
    return f"{machine_of(name)}\n\n$ provision check\n{checked}\n\n$ provision plan\n{table}\n"
