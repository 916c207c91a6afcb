"""What killed runs left in a home, swept by the next one that holds it.

By name only, and only what this tool makes for a moment: whatever else lies there is a person's, or another finding's.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from provision import environments
from provision.apart import sweep_looks
from provision.engine import our_process, running_environment
from provision.home import Home
from provision.step import Context
from provision.torn import forget_torn

HALF_WRITTEN = re.compile(r"\.(?P<name>.+?)\.(?P<pid>[1-9]\d{0,8})(\.\d+)?")
"""A file that is written beside its place, by which process (and which of its threads)."""
TRIAL = re.compile(r"\.write-(?P<pid>[1-9]\d{0,8})")
AT_THE_TOP = frozenset({"first-image.png", "first-image.rejected.png", "provision.lock"})
"""Of the files in the home's own folder, those that are written so."""


def sweep_home(ctx: Context) -> None:
    """Remove it. What cannot be removed stays: it harms nobody."""
    home = ctx.home
    for path in _half_written(home):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        (home.state / "locked.txt").unlink(missing_ok=True)
    if not _is_at_work(home):  # a look holds no lock
        shutil.rmtree(home.state / "quick-test", ignore_errors=True)
    sweep_looks(ctx)
    forget_torn(home)
    _sweep_environments(ctx)


def _is_at_work(home: Home) -> bool:
    with suppress(OSError):
        return any(home.children.iterdir())
    return False


def _half_written(home: Home) -> Iterator[Path]:
    ours = [home.state, home.receipts, home.parts]
    for folder in (*ours, *home.envs.glob("*/set"), *home.envs.glob("*/set/receipts"), home.root):
        with suppress(OSError):
            for path in list(folder.iterdir()):
                found = TRIAL.fullmatch(path.name) or HALF_WRITTEN.fullmatch(path.name)
                at_the_top = folder == home.root and (found is None or found.groupdict().get("name") not in AT_THE_TOP)
                if found is not None and not at_the_top and not _lives(int(found["pid"])):
                    yield path


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _sweep_environments(ctx: Context) -> None:
    """Environments that nothing points to: of changes that were cut short."""
    home, running = ctx.home, running_environment(ctx)
    if home.adopted is not None or not os.path.lexists(home.own_venv):
        return
    left = environments.left_over(home, running)
    if left and running is None and our_process(ctx) is not None:
        return  # a server that no record tells of: it may run from any of them
    for env in left:
        environments.discard(env)
