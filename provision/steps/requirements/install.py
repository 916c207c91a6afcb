"""ComfyUI's packages with the torch that is there held fixed, and the proof that it imports with them.

Today's unpinned packages break older releases (v0.3.64 does not start with them), so the resolver is given the
commit's date plus `comfyui.requirements_days`. The proof is ComfyUI's own `--quick-test-for-ci`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
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
from provision.core.receipts import holds, same_facts
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
QUICK_TEST_TIMEOUT_S = 600
OFF = (".disabled", ".example", ".pyc")
NOT_A_PERSONS = frozenset({"__pycache__", "websocket_image_save.py", FIRST_PAGE})
"""What lies in `custom_nodes` and is ComfyUI's own or this tool's."""
HELD = ("torch", "torchvision", "torchaudio")


def packages_cost(ctx: Context, *, everything: bool = True) -> Cost:
    """What all packages but torch take, or a tenth of it where most of them are here."""
    return REHEARSED if ctx.options.rehearsal else ALL if everything else SOME


def proof_facts(ctx: Context) -> dict[str, Any]:
    """What the proof of the imports depends on, beside the packages: revision, requirements, Python."""
    return {
        "commit": ctx.receipts.read("comfyui", ComfyReceipt).commit or None,
        "requirements": _digest(ctx.home.comfyui / "requirements.txt"),
        "python": packages.target_python(ctx),
    }


def still_proven(ctx: Context, receipt: RequirementsReceipt, versions: Mapping[str, str]) -> bool:
    """Whether all that was there when ComfyUI imported still is; packages that came since change nothing."""
    return holds(versions, receipt.packages) and same_facts(receipt, proof_facts(ctx))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_proven(ctx: Context) -> bool:
    """Whether ComfyUI, as it is wanted and as it is here, was seen to import with the packages of now."""
    wanted = ctx.receipts.read("comfyui", ComfyReceipt).ref == ctx.manifest.comfyui.ref
    if not wanted or not (ctx.home.comfyui / "requirements.txt").is_file():
        return False
    return still_proven(ctx, _receipt(ctx), packages.installed_versions(ctx.home.venv))


def imported(ctx: Context) -> bool:
    """Whether some ComfyUI was seen to import with the packages of now."""
    return holds(packages.installed_versions(ctx.home.venv), _receipt(ctx).packages)


def _receipt(ctx: Context) -> RequirementsReceipt:
    return ctx.receipts.read("requirements", RequirementsReceipt)


def complete(ctx: Context) -> None:
    """Install what another torch left missing, and prove that ComfyUI imports. Raises PackageError, EngineError."""
    lines = packages.asked_packages(ctx.home.comfyui / "requirements.txt")
    if packages.unmet(lines, packages.installed_versions(ctx.home.venv), packages.target_python(ctx)):
        install(ctx)
    prove(ctx)


def install(ctx: Context) -> None:
    """Install the requirements as of the revision's date, torch held. Raises PackageError."""
    asked = ctx.home.comfyui / "requirements.txt"
    versions = packages.installed_versions(ctx.home.venv)
    held = ctx.home.state / "held.txt"
    held.write_text("".join(f"{name}=={versions[name]}\n" for name in HELD if name in versions), encoding="utf-8")
    until = resolved_until(ctx)
    dated = packages.pip_install(ctx, "-r", asked, "-c", held, "--exclude-newer", until)
    if not dated.ok and lacks_times(dated.out + dated.err):
        ctx.note(
            "The package index gives no upload times: packages are resolved as of today, not of the revision's date."
        )
        packages.must_install(ctx, "-r", asked, "-c", held, what="ComfyUI's packages")
    elif not dated.ok:
        raise packages.package_error("ComfyUI's packages", dated)


def resolved_until(ctx: Context) -> str:
    """The day after which packages are not taken: the commit's date plus the manifest's days (`2025-10-19`)."""
    days = timedelta(days=ctx.manifest.comfyui.requirements_days)
    try:
        date = datetime.fromisoformat(ctx.receipts.read("comfyui", ComfyReceipt).date) + days
    except (ValueError, OverflowError):  # none is known
        date = datetime.fromisoformat(ctx.machine.timestamp()) + days
    return date.date().isoformat()


def lacks_times(text: str) -> bool:
    """Whether uv says that the index gives no upload times, so that `--exclude-newer` left nothing (uv 16846)."""
    return "is missing an upload date" in text


def prove(ctx: Context) -> None:
    """Start ComfyUI with `--quick-test-for-ci`. Raises EngineError with what it said and what that means."""
    ctx.note("ComfyUI imports everything once (--quick-test-for-ci) ...", passing=True)
    started = ctx.machine.clock()
    ran = run_quick_test(ctx, compiled=ctx.home.adopted is None)
    if not ran.ok and forget_cut_caches(ctx.home, ran.out + ran.err):
        ran = run_quick_test(ctx, compiled=ctx.home.adopted is None)
    if not ran.ok:
        how = "took too long" if ran.code is None else f"ended with {ran.code}"
        missing = missing_module(ran.out)
        raise EngineError(
            f"ComfyUI does not start: its own quick test {how}.\n{ran.tail()}",
            hint=ours("doctor", "--deep", "--fix") if missing else ours("logs", "--tool"),
        )
    facts = proof_facts(ctx)
    versions = packages.installed_versions(ctx.home.venv)
    receipt = RequirementsReceipt(when=ctx.machine.timestamp(), until=resolved_until(ctx), packages=versions, **facts)
    ctx.receipts.write("requirements", receipt)
    if not custom_nodes(ctx) and not import_signs(ran.out + ran.err, ended_well=True):
        ctx.proofs.keep("requirements", facts, [imports_ready(ctx, ctx.machine.clock() - started)])


def custom_nodes(ctx: Context) -> list[str]:
    """The custom nodes of a person: what ComfyUI loads beside what it brings, and what this tool put there."""
    folder = ctx.home.base / "custom_nodes"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [
        name for name in names
        if not name.endswith(OFF) and name not in NOT_A_PERSONS and ((folder / name).is_dir() or name.endswith(".py"))
    ]  # fmt: skip


def imports_ready(ctx: Context, seconds: float, nodes: str = "") -> Finding:
    """That all of ComfyUI imports, seen just now; `nodes` says what that tells of custom nodes."""
    says = f"ComfyUI {engine_version(ctx)} imported everything just now, in {seconds:.1f} s{nodes}"
    return kinds.IMPORTS_READY.ok("ComfyUI", says, facts={"seconds": round(seconds, 1)})


def run_quick_test(ctx: Context, *, nodes: bool = False, compiled: bool = False) -> Ran:
    """ComfyUI's `--quick-test-for-ci`, its lines passed on as output, apart from all folders and without custom nodes.

    With `nodes` they are loaded behind a fence (see `fence`): what they try to write or install is refused. With
    `compiled` the compiled files of what is imported stay where they belong.
    """
    with look_folder(ctx) as folder, one_start(ctx):
        argv = quick_test_argv(ctx, folder, nodes=nodes)
        return ctx.machine.run(
            fenced(ctx.machine, argv, folder) if nodes else argv, cwd=ctx.home.comfyui,
            env=look_env(folder, compiled=compiled), timeout_s=QUICK_TEST_TIMEOUT_S, on_line=ctx.output,
        )  # fmt: skip
