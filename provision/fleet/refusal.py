"""What is refused before a byte moves: a Mac that a lock is not for, a disk that is too small."""

from __future__ import annotations

from pathlib import Path

from provision.fleet.messages import Look, Outcome, Wants


def refusal(look: Look, wants: Wants) -> tuple[Outcome, str] | None:
    """Why nothing is sent to this Mac; None where nothing speaks against it."""
    if not look.installed and 0 < look.free_bytes < wants.free_bytes:
        free, needed = look.free_bytes / 1e9, wants.free_bytes / 1e9
        return Outcome.FULL, f"Its disk has {free:.1f} GB free; {needed:.1f} GB are needed."
    if wants.lock and (why := _not_for(look, wants.lock)):
        return Outcome.WRONG, why
    return None


def _not_for(look: Look, lock_file: str) -> str:
    """Why a lock does not fit; empty where it does, or the Mac does not say what it is."""
    from provision.core.lockfile import load_lock
    from provision.environment.wheel_index import target_tags
    from provision.steps.lock.step import file_tags

    lock = load_lock(Path(lock_file))
    made = lock.platform
    system, _, arch = look.kind.partition(" ")
    here = f"macOS {look.macos} {arch}" if look.macos else look.kind
    says = f"The lock was made on {made.version} {made.arch} with Python {made.python}; this is {here}."
    if not arch:
        return ""
    if system != "Darwin" or made.system != "Darwin":
        return "" if (system, arch) == (made.system, made.arch) else says
    numbers = [int(part) for part in look.macos.split(".")[:2] if part.isdecimal()]
    if not numbers:
        return ""
    tags = target_tags(made.python, (numbers[0], numbers[1] if len(numbers) > 1 else 0), arch)
    wheels = [package.wheel for package in lock.packages if package.wheel.endswith(".whl")]
    return "" if all(file_tags(wheel) & tags for wheel in wheels) else says
