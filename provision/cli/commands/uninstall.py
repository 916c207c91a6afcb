"""`provision uninstall`: remove what this tool made; what a person added is moved beside the home and named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.command import Session, command
from provision.command import ours, program
from provision.errors import ConsentNeeded, HomeError, UsageError
from provision.output.result import Data, Nothing, Result, answer

if TYPE_CHECKING:
    from provision.cli.commands.made_by_us import Sorted
    from provision.core.home import Home


def uninstall(at: Session) -> Result:
    """Remove the home after a yes; without one, say what would go and what would stay.

    Raises UsageError for a folder that is no home, HomeError for what could not be removed.
    """
    from provision.cli.commands.made_by_us import WouldRemove, sort_home
    from provision.cli.session import hold_home
    from provision.comfyui import at_login
    from provision.comfyui.server_process import stop_server
    from provision.core.ownership import is_home
    from provision.steps.hardware.left_out import take_in_again

    home = at.ctx.home
    if not os.path.lexists(home.root):
        return answer(Nothing(), f"Nothing to remove: {home.root} does not exist.")
    if not home.root.is_dir() or not is_home(home.root):
        raise UsageError(
            f"{home.root} was not made by provision; nothing was removed.", hint=program("ls", "-la", str(home.root))
        )
    found = sort_home(at.ctx)
    _show(at, found)
    if not _agreed(at):
        return answer(WouldRemove(_texts(found.ours), _texts(found.theirs), home.adopted_json))
    with hold_home(at, removing=True):
        if (item := at_login.item_of(home, at.ctx.machine)) is not None:
            at_login.remove(item, at.ctx.machine)
        stop_server(at.ctx)
        take_in_again(at.ctx)
        found = sort_home(at.ctx)  # the person may have added something since
        where, removal = _where(home), Removal(home)
        removal.run(found)
    return _what_became(home, where, removal, found)


def _show(at: Session, found: Sorted) -> None:
    """List what goes and what stays, with sizes that add up."""
    from provision.comfyui import at_login
    from provision.output.amounts import size_text
    from provision.system.disk_use import Tally

    home, tally, note = at.ctx.home, Tally(), at.ctx.note
    entries: dict[str, list[Path]] = {}
    for path in found.ours:
        entries.setdefault(path.relative_to(home.root).parts[0], []).append(path)
    sizes = {name: tally.add_all(paths) for name, paths in entries.items()}
    lines = [f"{size_text(size):>10}  {name}" for name, size in sizes.items() if size]
    lines.append(f"{size_text(sum(sizes.values())):>10}  in all, to be removed from {_where(home)}")
    at.console.tell(Data("\n".join(lines)))
    if shared := tally.shared_bytes():
        note(f"{size_text(shared)} of it is also used elsewhere (hard links) and is not freed.")
    if at_login.item_of(home, at.ctx.machine) is not None:
        note("ComfyUI starts when you log in; that is undone too.")
    if home.adopted is not None:
        stays = ", with what was added to it: the model, the workflow, images"
        note(f"The ComfyUI in {home.base} was not installed by provision and stays{stays}.")
    if found.theirs:
        tally = Tally()
        kept = [f"{size_text(tally.add(path)):>10}  {home.shown(path)}" for path in found.theirs]
        at.console.tell(Data("\n".join([f"What you added is kept, in {beside(home)}:", *kept])))


def _where(home: Home) -> str:
    """The home's path, and its target where it is a link."""
    return f"{home.root}, a link to {home.root.resolve()}" if home.root.is_symlink() else str(home.root)


def _agreed(at: Session) -> bool:
    """Ask on a terminal; elsewhere print the command that agrees."""
    with suppress(ConsentNeeded):
        return at.ctx.consent(f"Remove it from {at.ctx.home.root}?")
    at.ctx.note("To remove it:", ours("uninstall", "--yes"))
    return False


def beside(home: Home) -> Path:
    """A new folder beside the home, for what a person added."""
    real = home.root.resolve()
    names = (real.with_name(f"{real.name}-kept{f'-{n}' if n else ''}") for n in range(10_000))
    return next(path for path in names if not os.path.lexists(path))


@dataclass(slots=True)
class Removal:
    """What was removed and moved, and what could not be."""

    home: Home
    kept_in: Path | None = None
    stayed: list[Path] = field(default_factory=list)
    failed: list[OSError] = field(default_factory=list)

    def run(self, found: Sorted) -> None:
        """Remove what is ours and move what is a person's; the marker goes last, so that it can be repeated."""
        from provision.core.removing import remove, remove_empty

        root = self.home.root.resolve()
        *first, last = found.ours
        for path in first:
            self._try(self._remove_environment if path.parent == self.home.envs else remove, path)
        # After the removal, which frees the room that a full disk needs for one more folder.
        target = beside(self.home)
        for path in found.theirs:
            self._move(path, target)
        self._try(remove_empty, root)
        if not self.failed:
            self._try(remove, last)
        self._try(remove_empty, root)
        if self.home.root.is_symlink() and not self.home.root.exists():
            self._try(remove, self.home.root)

    def _remove_environment(self, env: Path) -> None:
        """Take its name first: uv takes half an environment for a whole one, and fails on it."""
        from provision.core.removing import remove

        remove(env.rename(self.home.root / f".envs.{os.getpid()}"))

    def _try(self, act: Callable[[Path], None], path: Path) -> None:
        try:
            act(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            self.failed.append(error)

    def _move(self, path: Path, target: Path) -> None:
        place = target / path.relative_to(self.home.root)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
            self.kept_in = target
        except OSError:  # another volume, or a folder that may not be written: leave it where it is
            self.stayed.append(path)


def _what_became(home: Home, where: str, removal: Removal, found: Sorted) -> Result:
    """The result of a removal. Raises HomeError for what could not be removed."""
    from provision.cli.commands.made_by_us import Removed

    if removal.failed:
        first = removal.failed[0]
        raise HomeError(
            f"{first.filename} could not be removed ({first.strerror}); fix that, then run the command again.",
            hint=ours("uninstall", "--yes"),
        )
    says = [f"Removed what provision made from {where}." if os.path.lexists(home.root) else f"Removed {where}."]
    if removal.kept_in is not None:
        says.append(f"What you added is in {removal.kept_in}.")
    says += [f"Not removed: {path}" for path in [*removal.stayed, *found.elsewhere]]
    kept_in = str(removal.kept_in) if removal.kept_in else None
    return answer(Removed(_texts(found.ours), kept_in, _texts(removal.stayed), home.adopted_json), *says, changed=True)


def _texts(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(map(str, paths))


app = command("uninstall", uninstall, frozenset({"home", "json", "yes", "verbose", "quiet", "plain", "color"}))
