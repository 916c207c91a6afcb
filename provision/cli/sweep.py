"""Remove what killed runs left in a home: temporary files of this tool alone, known by their names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from provision.comfyui.added_nodes import forget_unused
from provision.comfyui.isolation import sweep_looks
from provision.comfyui.server_process import our_process, running_environment
from provision.comfyui.switching import held_nodes
from provision.core.home import Home
from provision.core.ownership import HALF_WRITTEN, TRIAL, is_at_the_top
from provision.core.removing import remove
from provision.core.step import Context
from provision.environment import generations
from provision.environment.half_installed import forget_torn
from provision.errors import ProvisionError


def sweep_home(ctx: Context) -> None:
    """Remove the leftovers; those that cannot be removed are harmless."""
    home = ctx.home
    for path in (*_half_written(home), *_without_a_part(home)):
        with suppress(OSError):
            remove(path)
    with suppress(OSError):
        (home.state / "locked.txt").unlink(missing_ok=True)
    shutil.rmtree(home.trial, ignore_errors=True)
    if not _is_at_work(home):  # a look holds no lock
        shutil.rmtree(home.state / "quick-test", ignore_errors=True)
    sweep_looks(ctx)
    forget_torn(home)
    _sweep_environments(ctx)
    if home.nodes.is_dir() and os.path.lexists(home.own_venv):
        with suppress(ProvisionError, OSError):
            forget_unused(home, held_nodes(home))


def _is_at_work(home: Home) -> bool:
    with suppress(OSError):
        return any(home.children.iterdir())
    return False


def _half_written(home: Home) -> Iterator[Path]:
    from psutil import pid_exists

    ours = [home.state, home.receipts, home.parts]
    for folder in (*ours, *home.envs.glob("*/set"), *home.envs.glob("*/set/receipts"), home.root):
        with suppress(OSError):
            for path in list(folder.iterdir()):
                found = TRIAL.fullmatch(path.name) or HALF_WRITTEN.fullmatch(path.name)
                is_ours = folder != home.root or is_at_the_top(path.name)
                if found is not None and is_ours and not pid_exists(int(found["pid"])):
                    yield path


def _without_a_part(home: Home) -> list[Path]:
    """Records of downloads whose part file is gone."""
    with suppress(OSError):
        names = {path.name for path in home.parts.iterdir()}
        stems = {name.partition(".")[0] for name in names if not name.endswith(".json")}
        return [home.parts / name for name in names if name.endswith(".json") and name.partition(".")[0] not in stems]
    return []


def _sweep_environments(ctx: Context) -> None:
    """Remove environments of interrupted changes, to which nothing points."""
    home, running = ctx.home, running_environment(ctx)
    if home.adopted is not None or not os.path.lexists(home.own_venv):
        return
    left = generations.left_over(home, ctx.manifest.keep, running)
    if left and running is None and our_process(ctx) is not None:
        return  # an unrecorded server may run from any of them
    for env in left:
        generations.discard(env)
