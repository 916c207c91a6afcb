"""Install ComfyUI's packages while torch stays as it is, and test that ComfyUI imports with them.

Today's unpinned packages break older releases (v0.3.64 does not start with them), so the resolver is given the
commit's date plus `comfyui.requirements_days`. The test is ComfyUI's own `--quick-test-for-ci`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from provision.comfyui.exclusive_start import one_start
from provision.comfyui.isolation import look_env, look_folder
from provision.comfyui.log_reader import import_signs, missing_module
from provision.comfyui.sandbox import fenced
from provision.comfyui.server_process import engine_version, quick_test_argv
from provision.command import ours
from provision.core.finding import Cost, Finding
from provision.core.receipt_kinds import ComfyReceipt, RequirementsReceipt
from provision.core.receipts import holds, same_facts, write_text
from provision.core.step import Context
from provision.environment import packages
from provision.environment.truncated_bytecode import forget_cut_caches
from provision.errors import EngineError
from provision.steps.requirements import kinds
from provision.steps.workflow.first_page import FOLDER as FIRST_PAGE
from provision.system.machine import Ran

# Measured in November 2026: macOS arm64, Python 3.12, as ComfyUI 0.38 asks; on Linux about the same.
ALL, SOME = Cost(640 * 10**6, 1_050 * 10**6), Cost(64 * 10**6, 105 * 10**6)
REHEARSED = Cost(20 * 10**6, 20 * 10**6)
NO_TIMES = "is missing an upload date"
"""uv's words where the index gives no upload times, so that `--exclude-newer` leaves nothing (uv 16846)."""
QUICK_TEST_TIMEOUT_S = 600
OFF = (".disabled", ".example", ".pyc")
NOT_A_PERSONS = frozenset({"__pycache__", "websocket_image_save.py", FIRST_PAGE})
"""Names in `custom_nodes` that are ComfyUI's own or this tool's."""


def packages_cost(ctx: Context, *, everything: bool = True) -> Cost:
    """The cost of all packages but torch, or a tenth of it where most of them are installed."""
    return REHEARSED if ctx.options.rehearsal else ALL if everything else SOME


def proof_facts(ctx: Context) -> dict[str, Any]:
    """What the test of the imports depends on beside the packages: revision, requirements, Python."""
    return {
        "commit": ctx.receipts.read("comfyui", ComfyReceipt).commit or None,
        "requirements": hashlib.sha256((ctx.home.comfyui / "requirements.txt").read_bytes()).hexdigest(),
        "python": packages.target_python(ctx),
    }


def still_proven(ctx: Context) -> bool:
    """Whether everything is as it was when ComfyUI imported; packages that came since change nothing."""
    return imported(ctx) and same_facts(ctx.receipts.read("requirements", RequirementsReceipt), proof_facts(ctx))


def is_proven(ctx: Context) -> bool:
    """Whether the wanted ComfyUI is here and was seen to import with the packages of now."""
    wanted = ctx.receipts.read("comfyui", ComfyReceipt).ref == ctx.manifest.comfyui.ref
    return wanted and (ctx.home.comfyui / "requirements.txt").is_file() and still_proven(ctx)


def imported(ctx: Context) -> bool:
    """Whether some ComfyUI was seen to import with the packages of now."""
    receipt = ctx.receipts.read("requirements", RequirementsReceipt)
    return holds(packages.installed_versions(ctx.home.venv), receipt.packages)


def complete(ctx: Context) -> None:
    """Install what another torch left missing, and test that ComfyUI imports. Raises PackageError, EngineError."""
    if packages.unmet_here(ctx):
        install(ctx)
    prove(ctx)


def held_packages(ctx: Context) -> list[str]:
    """The installed packages of torch, each at its version (`torch==2.15.0`)."""
    versions = packages.installed_versions(ctx.home.venv)
    return [f"{name}=={versions[name]}" for name in packages.TORCH_SET if name in versions]


def install(ctx: Context, also: Sequence[str] = (), *, renew: Collection[str] = (), until: str = "") -> None:
    """Install the requirements as of the revision's date (or `until`), and `also` others; torch is held.

    What is there and fits stays, except the packages in `renew`. Raises PackageError, HomeError, DiskFull.
    """
    words = _asked_words(ctx, ctx.home.comfyui / "requirements.txt", also, renew=renew)
    until = until or resolved_until(ctx)
    ran = _as_of(ctx, until, partial(packages.pip_install, ctx, *words))
    if not ran.ok:
        raise packages.package_error("ComfyUI's packages", ran)


def try_install(ctx: Context, file: Path, also: Sequence[str], *, renew: Collection[str] = (), until: str) -> Ran:
    """What uv says of installing a requirements file and `also` others; nothing is installed.

    Raises HomeError, DiskFull.
    """
    words = _asked_words(ctx, file, also, renew=renew)
    dry = ("pip", "install", "--dry-run", "--python", ctx.home.python, *words)
    return _as_of(ctx, until, partial(packages.run_uv, ctx, *dry))


def _as_of(ctx: Context, until: str, run: Callable[..., Ran]) -> Ran:
    """Run uv with packages as of a day, and as of today where the index does not say when they were uploaded."""
    ran = run("--exclude-newer", until)
    if not ran.ok and NO_TIMES in ran.out + ran.err:
        ctx.note("The package index has no upload times: resolving as of today, not the revision's date.")
        return run()
    return ran


def _asked_words(ctx: Context, file: Path, also: Sequence[str], *, renew: Collection[str]) -> list[str | Path]:
    """What uv is told of a requirements file. Raises HomeError, DiskFull."""
    held = ctx.home.state / "held.txt"
    write_text(held, "".join(f"{line}\n" for line in held_packages(ctx)))
    return ["-r", file, "-c", held, *also, *(word for name in renew for word in ("--upgrade-package", name))]


def all_but_torch(ctx: Context) -> list[str]:
    """The installed packages but torch's: what is renewed where all is resolved anew."""
    return [name for name in packages.installed_versions(ctx.home.venv) if name not in packages.TORCH_SET]


def resolved_until(ctx: Context, date: str = "") -> str:
    """The last day from which packages are taken: the commit's date plus the manifest's days (`2025-10-19`)."""
    days = timedelta(days=ctx.manifest.comfyui.requirements_days)
    try:
        until = datetime.fromisoformat(date or ctx.receipts.read("comfyui", ComfyReceipt).date) + days
    except (ValueError, OverflowError):  # none is known
        until = datetime.fromisoformat(ctx.machine.timestamp()) + days
    return until.date().isoformat()


def prove(ctx: Context) -> None:
    """Start ComfyUI with `--quick-test-for-ci`. Raises EngineError with what it said and what that means."""
    ctx.note("Test-starting ComfyUI (--quick-test-for-ci) ...", passing=True)
    started = ctx.machine.clock()
    compiled = ctx.home.adopted is None
    ran = run_quick_test(ctx, compiled=compiled)
    if not ran.ok and forget_cut_caches(ctx.home, ran.out + ran.err):
        ran = run_quick_test(ctx, compiled=compiled)
    if not ran.ok:
        raise EngineError(
            f"ComfyUI does not start: its own quick test {ran.how}.\n{ran.tail()}",
            hint=ours("doctor", "--deep", "--fix") if missing_module(ran.out) else ours("logs", "--tool"),
        )
    facts = proof_facts(ctx)
    versions = packages.installed_versions(ctx.home.venv)
    receipt = RequirementsReceipt(when=ctx.machine.timestamp(), until=resolved_until(ctx), packages=versions, **facts)
    ctx.receipts.write("requirements", receipt)
    if not custom_nodes(ctx) and not import_signs(ran.out + ran.err, ended_well=True):
        ctx.proofs.keep("requirements", facts, [imports_ready(ctx, ctx.machine.clock() - started)])


def custom_nodes(ctx: Context) -> list[str]:
    """The user's own custom nodes, without ComfyUI's and this tool's."""
    folder = ctx.home.custom_nodes
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    loaded = (path.name for path in found if path.is_dir() or path.suffix == ".py")
    return [name for name in loaded if not name.endswith(OFF) and name not in NOT_A_PERSONS]


def requirements_of(file: Path) -> list[str]:
    """The lines of a requirements file that name a package of an index, without torch's."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in packages.asked_packages(file):
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            continue
        if asked.url is None and packages.normalised(asked.name) not in packages.TORCH_SET:
            found.append(str(asked))
    return found


def imports_ready(ctx: Context, seconds: float, nodes: str = "") -> Finding:
    """The finding that all of ComfyUI imported just now; `nodes` says what that means for custom nodes."""
    says = f"ComfyUI {engine_version(ctx)} imports everything, {seconds:.1f} s{nodes}"
    return kinds.IMPORTS_READY.ok("ComfyUI", says, facts={"seconds": round(seconds, 1)})


def run_quick_test(ctx: Context, *, nodes: bool = False, compiled: bool = False) -> Ran:
    """Run ComfyUI's `--quick-test-for-ci` in a folder of its own, without custom nodes; its lines become output.

    With `nodes` they are loaded in a sandbox, which refuses what they try to write or install. With `compiled` Python
    keeps the compiled files of what is imported.
    """
    with look_folder(ctx) as folder, one_start(ctx):
        argv, env = quick_test_argv(ctx, folder, nodes=nodes), look_env(folder, compiled=compiled)
        argv = fenced(ctx.machine, argv, folder) if nodes else argv
        return ctx.machine.run(argv, cwd=ctx.home.comfyui, env=env, timeout_s=QUICK_TEST_TIMEOUT_S, on_line=ctx.output)
