"""`--deep`: have ComfyUI import everything by its own `--quick-test-for-ci`, and read what it says.

An old release may install and not start: v0.3.64 imports `requests` and does not ask for it. Only packages that
ComfyUI is known to import are installed; of any other the user checks the name first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from provision.comfyui.log_reader import Sign, import_signs, missing_module, signs_of
from provision.comfyui.log_signatures import FAILED_NODE
from provision.comfyui.sandbox import can_fence
from provision.comfyui.server_process import engine_version
from provision.command import Fix, ours, program
from provision.core.deep_results import part_says
from provision.core.events import Work
from provision.core.finding import Finding
from provision.core.receipts import write_text
from provision.core.step import Context, Look
from provision.environment import packages
from provision.steps.catalogue import kind_of
from provision.steps.requirements import kinds
from provision.steps.requirements.install import (
    custom_nodes,
    held_packages,
    imports_ready,
    proof_facts,
    run_quick_test,
)
from provision.steps.server import kinds as server_kinds
from provision.steps.server.last_run import disable_node, failed_node, imports_now
from provision.system.machine import Ran

SAME_NAMES = """
    aiohttp alembic av blake3 einops filelock huggingface_hub kornia numpy packaging psutil pydantic requests
    safetensors scipy sentencepiece soundfile spandrel sqlalchemy tokenizers torchsde tqdm transformers yarl
"""
OTHER_NAMES = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "pydantic_settings": "pydantic-settings",
    "comfy_kitchen": "comfy-kitchen",
}
PACKAGES: Mapping[str, str] = {name: name for name in SAME_NAMES.split()} | OTHER_NAMES
"""The packages of the modules that any release of ComfyUI imports."""
REFUSED = re.compile(
    r"\[Errno (?:1|13|30)\]|Permission denied|Operation not permitted|Read-only file system|'(?:pip|uv|ensurepip)'"
)
"""The errors of a custom node that could not write, or run pip."""
WHEN = "When ComfyUI was imported just now"


def check_imports(ctx: Context) -> Iterable[Finding]:
    """Does all of ComfyUI import? Only where `--deep` asks for it, and its packages are on record."""
    if not imports_now(ctx):
        return
    facts = proof_facts(ctx)
    seen = ctx.proofs.recall("requirements", facts)
    if seen is not None and any(finding.kind == server_kinds.NODE_FAILED for finding in seen):
        seen = None  # it may have been agreed to since
    yield from ctx.proofs.keep("requirements", facts, _import(ctx)) if seen is None else seen


def _import(ctx: Context) -> Iterable[Finding]:
    ctx.note("Test-starting ComfyUI ...", passing=True)
    ctx.progress("ComfyUI imports everything", 0, None, "steps", Work.PROVE)
    ctx.doing(part_says("requirements", "importing all of ComfyUI"))
    started, nodes = ctx.machine.clock(), custom_nodes(ctx)
    looks_at_nodes = bool(nodes) and can_fence(ctx.machine)
    ran = run_quick_test(ctx, nodes=looks_at_nodes)
    alone = run_quick_test(ctx) if looks_at_nodes and not ran.ok else ran
    seconds = ctx.machine.clock() - started
    if ctx.home.logs.is_dir():
        write_text(ctx.home.logs / "quick-test.log", f"{ran.out}{ran.err}")
    findings = list(_seen(ctx, alone))
    if looks_at_nodes:
        findings += _nodes(ctx, ran, alone)
    if findings:
        yield from findings
    elif alone.ok:
        about = f"; so did the custom nodes ({len(nodes)}), which were kept from writing and installing"
        if not looks_at_nodes:
            about = "; custom nodes were off: how they load is only in ComfyUI's log" if nodes else ""
        yield imports_ready(ctx, seconds, about)


def _seen(ctx: Context, ran: Ran) -> Iterable[Finding]:
    """Faults of ComfyUI itself."""
    text = ran.out + ran.err
    module = "" if ran.ok else missing_module(text)
    if module.partition(".")[0] in packages.TORCH_SET:  # the torch step looks at its own
        return
    if module:
        yield _missing(ctx, module.partition(".")[0])
        return
    signs = [sign for sign in import_signs(text, ended_well=ran.ok) if sign.id != server_kinds.NODE_FAILED.id]
    for sign in signs if ran.ok else ():
        yield kind_of(sign.id).warn("ComfyUI", f"{WHEN}: {sign.says}.", fix=sign.hint, facts={"line": sign.text})
    if not ran.ok:
        yield _failed(ran, signs)


def _nodes(ctx: Context, ran: Ran, alone: Ran) -> Iterable[Finding]:
    """Faults of custom nodes: `ran` loaded them; `alone`, run where that ended badly, did not."""
    for sign in signs_of(ran.out + ran.err, (FAILED_NODE,)):
        if REFUSED.search(sign.says):
            yield _refused(sign.node, f"The custom node {sign.node} writes or installs when it is loaded")
        else:
            yield from failed_node(ctx, sign)
    if alone.ok and not ran.ok:
        last = ran.tail(1)
        yield _refused(
            "custom nodes", f"ComfyUI starts, and with its custom nodes it ended{f' ({last})' if last else ''}"
        )


def _refused(subject: str, says: str) -> Finding:
    """A custom node that could only be tested by letting it change what it must not."""
    fix = Fix("To see it load for real, and what it changes:", ours("launch"))
    return kinds.NODE_REFUSED.warn(subject, f"{says}; a look lets it do neither.", fix=fix)


def _missing(ctx: Context, module: str) -> Finding:
    """A module that could not be imported: of a package on record, of a known one, or of another."""
    package, versions = PACKAGES.get(module, module), packages.installed_versions(ctx.home.venv)
    ends = f"ComfyUI ends with `No module named '{module}'`"
    if (version := versions.get(packages.normalised(package))) is not None:
        again = program("uv", "pip", "install", "--reinstall-package", package, package)
        fix = Fix("Write its files again.", again)
        return kinds.REQ_BROKEN.fixable(package, f"{package} {version} is on record and lacks files: {ends}.", fix=fix)
    says = f"ComfyUI {engine_version(ctx)} imports {module} and its requirements.txt does not ask for it: {ends}."
    install = program("uv", "pip", "install", "--python", str(ctx.home.python), package)
    if module in PACKAGES:
        return kinds.CU_OLD_DEPS.fixable(package, says, fix=Fix("Install it; torch stays as it is.", install))
    fix = Fix("If that is the package that you expect, install it.", install)
    return kinds.IMPORT_FAILED.blocked(module, says, fix=fix)


def _failed(ran: Ran, signs: list[Sign]) -> Finding:
    if signs:
        sign = signs[-1]
        return kind_of(sign.id).blocked("ComfyUI", f"ComfyUI does not start: {sign.says}.", fix=sign.hint)
    last = ran.tail(1)
    says = f"ComfyUI does not start: its own quick test {ran.how}{f' ({last})' if last else ''}."
    return kinds.IMPORT_FAILED.blocked("ComfyUI", says, fix=Fix("What it said: logs/quick-test.log in the home."))


def mend_imports(ctx: Context, finding: Finding) -> None:
    """Install a package, write its files again, or disable a custom node. Raises PackageError, HomeError."""
    package = finding.subject
    if finding.kind == server_kinds.NODE_FAILED:
        disable_node(ctx, finding)
    elif finding.kind == kinds.REQ_BROKEN:
        exact = f"{package}=={packages.installed_versions(ctx.home.venv)[packages.normalised(package)]}"
        packages.must_install(ctx, "--no-deps", "--reinstall-package", package, exact, what=package)
    else:
        packages.must_install(ctx, package, *held_packages(ctx), what=package)


IMPORTS = Look(check_imports, (kinds.CU_OLD_DEPS, kinds.REQ_BROKEN, server_kinds.NODE_FAILED), mend_imports)
