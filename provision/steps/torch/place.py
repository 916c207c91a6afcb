"""Where a set of torch is to work: this machine, or a Mac that is not here. Both are planned by the same rules."""

from __future__ import annotations

from dataclasses import dataclass

from provision.core.step import Context
from provision.environment import packages, wheel_index
from provision.steps.python_env.step import on_apple_silicon
from provision.system.mac import must_read_macos
from provision.system.machine import Machine
from provision.system.target import Target, TargetMachine


@dataclass(frozen=True, slots=True)
class Place:
    """A machine, as far as the choice of torch goes.

    `target` is the Mac that wheels are for, None where this machine is none; `machine` tells its macOS and its chip.
    """

    machine: Machine
    tags: frozenset[str]
    target: Target | None = None
    is_here: bool = True
    cuda: bool = False
    """Whether it has an NVIDIA GPU with its driver; a rehearsal's torch is for none."""

    @property
    def says(self) -> str:
        """For the end of a sentence: `this machine`, or the target in words."""
        return "this machine" if self.is_here or self.target is None else self.target.says

    @property
    def again(self) -> tuple[str, ...]:
        """The words of the command that takes another torch: `all`, or `plan` for the target."""
        return ("all",) if self.is_here or self.target is None else ("plan", "--for", self.target.name)


def here(ctx: Context) -> Place:
    """This machine, with the Python that ComfyUI has or will have."""
    python, macos = packages.target_python(ctx), macos_version(ctx)
    arch = "arm64" if on_apple_silicon(ctx) else ctx.machine.arch
    tags = wheel_index.target_tags(python, macos, arch)
    target = Target(macos, arch, python=python) if macos else None
    return Place(ctx.machine, tags, target, cuda=not ctx.options.rehearsal and macos is None and has_nvidia(ctx))


def elsewhere(target: Target) -> Place:
    """A Mac that is not here."""
    tags = wheel_index.target_tags(target.python, target.macos, target.arch)
    return Place(TargetMachine(target), tags, target, is_here=False)


def has_nvidia(ctx: Context) -> bool:
    """Whether this machine has an NVIDIA GPU with its driver."""
    return ctx.machine.which("nvidia-smi") is not None


def macos_version(ctx: Context) -> tuple[int, int] | None:
    """macOS's version as wheels name it; None on other systems."""
    if ctx.machine.system != "Darwin":
        return None
    version = must_read_macos(ctx.machine).version
    return version[0], version[1] if len(version) > 1 else 0
