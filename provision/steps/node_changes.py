"""Other custom nodes in a new generation: what they ask for, which packages come and go, whether all of them import."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from provision.comfyui import added_nodes
from provision.comfyui.log_reader import signs_of
from provision.comfyui.log_signatures import FAILED_NODE
from provision.comfyui.sandbox import can_fence
from provision.command import Fix, ours
from provision.core.receipt_kinds import AddedNode, NodesReceipt
from provision.core.receipts import write_bytes
from provision.core.step import Context
from provision.environment import packages
from provision.environment.resolution import name_of, reason
from provision.errors import EngineError, PackageError
from provision.steps.requirements.asked import FILE
from provision.steps.requirements.install import (
    custom_nodes,
    install,
    requirements_of,
    run_quick_test,
    try_install,
)
from provision.steps.requirements.nodes import until_of

SCRIPT = "install.py"
"""What a custom node wants to be run once, after its requirements are installed (ComfyUI-Manager's convention)."""
SCRIPT_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Change:
    """The custom nodes before and after."""

    before: NodesReceipt
    after: NodesReceipt

    @property
    def came(self) -> list[AddedNode]:
        """Those that are new, or at another commit."""
        here = {(node.name, node.commit) for node in self.before.added}
        return [node for node in self.after.added if (node.name, node.commit) not in here]

    @property
    def went(self) -> list[AddedNode]:
        """Those that are gone, or at another commit now."""
        return Change(self.after, self.before).came


def nodes_of_now(ctx: Context) -> NodesReceipt:
    """The custom nodes of the generation in use."""
    return ctx.receipts.read(added_nodes.RECEIPT, NodesReceipt)


# -- packages -----------------------------------------------------------------------------------------------------


def node_requirements(ctx: Context, without: Collection[str] = ()) -> list[str]:
    """What the custom nodes ask for by name: lines that name an address or another file are their own to install."""
    found = (_lines_of(ctx, node) for node in custom_nodes(ctx) if node not in without)
    return list(dict.fromkeys(line for lines in found for line in lines))


def node_packages(ctx: Context, node: str) -> set[str]:
    """The packages that a custom node asks for by name."""
    return set(map(name_of, _lines_of(ctx, node)))


def _lines_of(ctx: Context, node: str) -> list[str]:
    """What a custom node asks for by name."""
    return requirements_of(ctx.home.custom_nodes / node / FILE)


def check_fits(trial: Context, nodes: Change) -> None:
    """Resolve what the trial's custom nodes ask for together with ComfyUI's requirements; nothing is installed.

    Raises PackageError, in one sentence where they conflict.
    """
    file, renewed, until = trial.home.comfyui / FILE, _renewed(trial, nodes), until_of(trial, nodes.after)
    ran = try_install(trial, file, node_requirements(trial), renew=renewed, until=until)
    if ran.ok:
        return
    why = reason(ran.out + ran.err).rstrip(".")
    if not why.startswith("Because "):
        raise packages.package_error("The custom nodes' packages", ran)
    whose = ", ".join(node.name for node in nodes.came) or "the custom nodes"
    raise PackageError(
        f"The requirements of {whose} do not fit ComfyUI's: {why}. Nothing was changed.", hint=ours("nodes", "list")
    )


def fill(trial: Context, nodes: Change, scripts: Sequence[str]) -> None:
    """Install what the custom nodes ask for and remove what only a removed one needed; run the agreed `scripts`.

    The receipt then says which packages came. Raises PackageError, HomeError, DiskFull.
    """
    had = packages.installed_versions(trial.home.venv)
    trial.note("Installing the custom nodes' packages ...", passing=True)
    renewed, until = _renewed(trial, nodes), until_of(trial, nodes.after)
    install(trial, node_requirements(trial), renew=renewed, until=until)
    for name in scripts:
        _run_script(trial, name)
    brought = {name for node in nodes.went for name in node.packages}
    if left := unneeded(trial, brought):
        ran = packages.run_uv(trial, "pip", "uninstall", "--python", trial.home.python, *left)
        if not ran.ok:
            raise packages.package_error("The packages that nothing needs any more", ran)
    now = packages.installed_versions(trial.home.venv).keys()
    after = nodes.after
    for node in nodes.came:
        before = nodes.before.named(node.name)
        mine = {*(before.packages if before else ()), *(now - had.keys())} & now
        after = after.has(replace(node, packages=tuple(sorted(mine))))
    trial.receipts.write(added_nodes.RECEIPT, after)


def unneeded(ctx: Context, brought: Collection[str]) -> list[str]:
    """Those of some installed packages that neither ComfyUI, nor a custom node, nor another package asks for."""
    lines = [*packages.asked_packages(ctx.home.comfyui / FILE), *node_requirements(ctx)]
    asked = {name_of(line) for line in lines}
    asked_by = packages.requirers(ctx.home.venv)
    left = {name for name in brought if name in packages.installed_versions(ctx.home.venv)} - asked
    while needed := {name for name in left if asked_by.get(name, set()) - left - {name}}:
        left -= needed
    return sorted(left)


def _renewed(trial: Context, nodes: Change) -> list[str]:
    """The installed packages that a node which goes had a say in."""
    real = replace(trial.home, data=None)
    files = (real.custom_nodes / node.name / FILE for node in nodes.went)
    names = {name_of(line) for file in files for line in requirements_of(file)}
    return sorted(names & packages.installed_versions(trial.home.venv).keys())


# -- install scripts ----------------------------------------------------------------------------------------------


def _run_script(trial: Context, name: str) -> None:
    """Run a node's install script in the trial, with a pip that holds torch. Raises PackageError, HomeError."""
    pip, held = trial.home.trial / "pip", trial.home.state / "held.txt"
    ran = packages.run_uv(trial, "pip", "install", "--python", trial.home.python, "--target", pip, "pip")
    if not ran.ok:
        raise packages.package_error("pip", ran)
    torch = _torch_of(trial)
    trial.note(f"Running {name}/{SCRIPT} ...")
    env = {"PYTHONPATH": str(pip), "PIP_CONSTRAINT": str(held), "UV_CONSTRAINT": str(held)}
    ran = trial.machine.run(
        [trial.home.python, SCRIPT],
        cwd=trial.home.custom_nodes / name,
        env=env,
        timeout_s=SCRIPT_TIMEOUT_S,
        on_line=trial.output,
    )
    if not ran.ok:
        raise PackageError(f"{name}/{SCRIPT} {ran.how}. Nothing was changed:\n{ran.tail()}", hint=packages.LOG_HINT)
    if _torch_of(trial) != torch:
        raise PackageError(f"{name}/{SCRIPT} replaced torch. Nothing was changed.", hint=packages.LOG_HINT)


def _torch_of(ctx: Context) -> dict[str, str]:
    versions = packages.installed_versions(ctx.home.venv)
    return {name: versions[name] for name in packages.TORCH_SET if name in versions}


def keep_made(trial: Context, nodes: NodesReceipt, scripts: Sequence[str]) -> None:
    """Keep with the new generation what the install scripts wrote. Raises GitError, HomeError, DiskFull."""
    assert trial.home.env is not None
    for name in scripts:
        if (node := nodes.named(name)) is not None:
            added_nodes.keep_made(trial.home, node, trial.home.custom_nodes / name, trial.home.env / "set")


def keep_edits(trial: Context, carried: Mapping[str, bytes | None]) -> None:
    """Keep merged edits with the new generation, and what could not be merged as patches that are named."""
    assert trial.home.env is not None
    for name, edits in carried.items():
        if edits is not None:
            added_nodes.write_edits(trial.home.env / "set", name, edits)
            trial.note(f"Your changes to {name} go with it.")
            continue
        patch = trial.home.aside / f"edits of {name}.patch"
        write_bytes(patch, added_nodes.edits_of(replace(trial.home, data=None), name))
        trial.note(f"Your changes to {name} do not fit its new commit: they are kept in {trial.home.shown(patch)}.")


# -- imports ------------------------------------------------------------------------------------------------------


def prove_imports(ctx: Context, trial: Context, nodes: Change) -> None:
    """Each custom node that imports now must import then, and so must new ones.

    Raises EngineError, which names those that do not.
    """
    if not custom_nodes(trial):
        return
    if not can_fence(ctx.machine):
        ctx.note("Custom nodes were not tested: this system cannot stop them from writing meanwhile.")
        return
    ctx.note("Importing the custom nodes ...", passing=True)
    broken = failing_nodes(trial)
    before = failing_nodes(ctx) if broken and custom_nodes(ctx) else {}
    broken = {name: why for name, why in broken.items() if name not in before}
    if not broken:
        return
    if broken.keys() <= {node.name for node in nodes.came}:
        told = "; ".join(f"{name} does not import: {why}" for name, why in broken.items())
        raise EngineError(f"{told}. Nothing was changed.", hint=ours("logs", "--tool"))
    told = "\n".join(f"- {name}: {why}" for name, why in broken.items())
    words = [word for name in (*nodes.after.disabled, *broken) for word in ("--without", name)]
    raise EngineError(
        f"These custom nodes would no longer import:\n{told}\nNothing was changed.",
        hint=Fix("To update anyway, with them disabled:", ours("update", *words)),
    )


def failing_nodes(ctx: Context) -> dict[str, str]:
    """The custom nodes that do not import, each with why; they are kept from writing and installing."""
    ran = run_quick_test(ctx, nodes=True)
    return {sign.node: sign.says for sign in signs_of(ran.out + ran.err, (FAILED_NODE,)) if sign.node}
