"""`--deep`: ComfyUI is made to import everything just now, by its own `--quick-test-for-ci`, and what it says is read.

That it can be installed says little about old releases: v0.3.64 imports `requests` and does not ask for it. Only
packages that ComfyUI is known to import are installed for it; the name of any other is a person's to check first.
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
from provision.core.step import Context, Look
from provision.environment import packages
from provision.steps.catalogue import kind_of
from provision.steps.requirements import kinds
from provision.steps.requirements.install import (
    HELD,
    QUICK_TEST_TIMEOUT_S,
    custom_nodes,
    imports_ready,
    proof_facts,
    run_quick_test,
)
from provision.steps.server import kinds as server_kinds
from provision.steps.server.last_run import disable_node, failed_node, imports_now
from provision.system.disk_errors import unusable
from provision.system.machine import Ran

PACKAGES: Mapping[str, str] = {
    "PIL": "pillow", "yaml": "pyyaml", "pydantic_settings": "pydantic-settings", "comfy_kitchen": "comfy-kitchen",
    **{name: name for name in (
        "aiohttp", "alembic", "av", "blake3", "einops", "filelock", "huggingface_hub", "kornia", "numpy", "packaging",
        "psutil", "pydantic", "requests", "safetensors", "scipy", "sentencepiece", "soundfile", "spandrel",
        "sqlalchemy", "tokenizers", "torchsde", "tqdm", "transformers", "yarl",
    )},
}  # fmt: skip
"""The packages of the modules that ComfyUI imports, in any of its releases."""
REFUSED = re.compile(
    r"\[Errno (?:1|13|30)\]|Permission denied|Operation not permitted|Read-only file system|'(?:pip|uv|ensurepip)'"
)
"""How a custom node fails that was kept from writing, or whose pip was."""
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
    ctx.note("ComfyUI imports everything once ...", passing=True)
    ctx.progress("ComfyUI imports everything", 0, None, "steps", Work.PROVE)
    ctx.doing(part_says("requirements", "importing all of ComfyUI"))
    started, nodes = ctx.machine.clock(), custom_nodes(ctx)
    looks_at_nodes = bool(nodes) and can_fence(ctx.machine)
    ran = run_quick_test(ctx, nodes=looks_at_nodes)
    alone = run_quick_test(ctx) if looks_at_nodes and not ran.ok else ran
    seconds = ctx.machine.clock() - started
    _keep(ctx, ran)
    findings = list(_seen(ctx, alone))
    if looks_at_nodes:
        findings += _nodes(ctx, ran, alone)
    if findings:
        yield from findings
    elif alone.ok:
        yield imports_ready(ctx, seconds, _about_nodes(nodes, seen=looks_at_nodes))


def _about_nodes(nodes: list[str], *, seen: bool) -> str:
    """What this look can tell of a person's custom nodes."""
    if not nodes:
        return ""
    if seen:
        return f"; so did the custom nodes ({len(nodes)}), which were kept from writing and installing"
    return "; custom nodes were off: how they load is only in ComfyUI's log"


def _keep(ctx: Context, ran: Ran) -> None:
    """What it said stays in a log of its own, where the home keeps logs."""
    log = ctx.home.logs / "quick-test.log"
    if not log.parent.is_dir():
        return
    try:
        log.write_text(f"{ran.out}{ran.err}", encoding="utf-8")
    except OSError as error:
        raise unusable(log, error) from error


def _seen(ctx: Context, ran: Ran) -> Iterable[Finding]:
    """What is wrong with ComfyUI itself."""
    text = ran.out + ran.err
    module = "" if ran.ok else missing_module(text)
    if module.partition(".")[0] in HELD:  # the torch step looks at its own
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
    """What is wrong with custom nodes: `ran` loaded them, `alone` did not where that ended badly."""
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
    """What could not be looked at without letting it change what it must not."""
    fix = Fix("To see it load for real, and what it changes:", ours("launch"))
    return kinds.NODE_REFUSED.warn(subject, f"{says}; a look lets it do neither.", fix=fix)


def _missing(ctx: Context, module: str) -> Finding:
    """A module that could not be imported: of a package that is on record, that is known, or of another."""
    package, versions = PACKAGES.get(module, module), packages.installed_versions(ctx.home.venv)
    ends = f"ComfyUI ends with `No module named '{module}'`"
    if (version := versions.get(packages.normalised(package))) is not None:
        fix = Fix(
            "Its files are written anew.", program("uv", "pip", "install", "--reinstall-package", package, package)
        )
        return kinds.REQ_BROKEN.fixable(package, f"{package} {version} is on record and lacks files: {ends}.", fix=fix)
    says = f"ComfyUI {engine_version(ctx)} imports {module} and its requirements.txt does not ask for it: {ends}."
    install = program("uv", "pip", "install", "--python", str(ctx.home.python), package)
    if module in PACKAGES:
        return kinds.CU_OLD_DEPS.fixable(package, says, fix=Fix("It is installed, with torch held.", install))
    return kinds.IMPORT_FAILED.blocked(
        module, says, fix=Fix("If that is the package that you expect, install it.", install)
    )


def _failed(ran: Ran, signs: list[Sign]) -> Finding:
    if signs:
        sign = signs[-1]
        return kind_of(sign.id).blocked("ComfyUI", f"ComfyUI does not start: {sign.says}.", fix=sign.hint)
    how = f"took longer than {QUICK_TEST_TIMEOUT_S} s" if ran.code is None else f"ended with {ran.code}"
    last = ran.tail(1)
    says = f"ComfyUI does not start: its own quick test {how}{f' ({last})' if last else ''}."
    return kinds.IMPORT_FAILED.blocked("ComfyUI", says, fix=Fix("What it said: logs/quick-test.log in the home."))


def mend_imports(ctx: Context, finding: Finding) -> None:
    """Install a package, write its files anew, or rename a custom node. Raises PackageError, HomeError."""
    if finding.kind == server_kinds.NODE_FAILED:
        disable_node(ctx, finding)
        return
    versions, package = packages.installed_versions(ctx.home.venv), finding.subject
    held = [f"{name}=={versions[name]}" for name in HELD if name in versions]
    if finding.kind == kinds.REQ_BROKEN:
        exact = f"{package}=={versions[packages.normalised(package)]}"
        packages.must_install(ctx, "--no-deps", "--reinstall-package", package, exact, what=package)
    else:
        packages.must_install(ctx, package, *held, what=package)


IMPORTS = Look(check_imports, (kinds.CU_OLD_DEPS, kinds.REQ_BROKEN, server_kinds.NODE_FAILED), mend_imports)
