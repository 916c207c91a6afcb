"""The libraries of the environment on a Mac: for this processor, let in by macOS, and no two of one kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from provision.command import Fix, ours, program
from provision.core.finding import Cost, Finding
from provision.core.step import Context, Look
from provision.environment import packages
from provision.steps.python_env.step import apply_python_env
from provision.steps.torch import kinds
from provision.steps.torch.choice import asks_for_audio
from provision.steps.torch.download_size import COSTS
from provision.steps.torch.install import install_torch_set
from provision.system.macho import HEAD_BYTES, processors_of
from provision.system.strict import read_head

LIBRARIES = {
    "torch": ("torch/lib/libtorch_cpu.dylib",),
    "numpy": ("numpy/_core/_multiarray_umath*.so", "numpy/core/_multiarray_umath*.so"),
    "pillow": ("PIL/_imaging.*.so",),
    "safetensors": ("safetensors/_safetensors_rust*.so",),
    "tokenizers": ("tokenizers/tokenizers*.so",),
    "av": ("av/_core*.so",),
}
"""Packages that ComfyUI starts with, and a library of each."""
XATTR = "/usr/bin/xattr"
QUARANTINE = "com.apple.quarantine"
OPENMPS = ("libiomp5.dylib", "libomp.dylib")
"""Intel's OpenMP and LLVM's: whichever is loaded second ends the process, of one kind or not."""
OPENMP_FOLDERS = (
    "lib",
    "lib/python3*/site-packages/*",
    "lib/python3*/site-packages/*/lib*",
    "lib/python3*/site-packages/*/.dylibs",
)
"""Where conda keeps one, and wheels (sklearn, faiss) that bring their own."""
OF_TORCH = frozenset({"torch", "functorch"})
"""The folders of torch's own wheel."""


def check_native_libs(ctx: Context) -> Iterable[Finding]:
    """Reads the first bytes of a few libraries; asks macOS about the largest."""
    folder = packages.site_packages(ctx.home.venv)
    if ctx.machine.system != "Darwin" or folder is None:
        return
    yield from _other_processor(ctx, folder)
    library = folder / LIBRARIES["torch"][0]
    if library.is_file() and ctx.machine.run([XATTR, "-p", QUARANTINE, library], timeout_s=10).ok:
        yield _quarantined(ctx, library)
    second = next(_other_openmps(ctx.home.venv), None)
    if second is not None and (folder / "torch" / "lib" / "libomp.dylib").exists():
        yield _two_openmps(ctx, second)


def _other_openmps(venv: Path) -> Iterator[Path]:
    """Those that torch did not bring."""
    for place in OPENMP_FOLDERS:
        for found in sorted(path for name in OPENMPS for path in venv.glob(f"{place}/{name}")):
            if OF_TORCH.isdisjoint(found.relative_to(venv).parts):
                yield found


def _other_processor(ctx: Context, folder: Path) -> Iterator[Finding]:
    needed = _processors(ctx.home.python)
    if "arm64" not in needed:  # an Intel Python is a finding of its own
        return
    versions = packages.installed_versions(ctx.home.venv)
    for name, patterns in LIBRARIES.items():
        library = next((found for pattern in patterns for found in folder.glob(pattern)), None)
        built_for = _processors(library) if library is not None else frozenset()
        if library is not None and built_for and "arm64" not in built_for and name in versions:
            says = (
                f"{library.name} of {name} is built for {' and '.join(built_for)}, and Python is for arm64: ComfyUI"
                " ends with `incompatible architecture`."
            )
            size = COSTS["mac"].download_bytes if name == "torch" else library.stat().st_size
            fix = Fix(f"{name} {versions[name]} is installed again, for this processor.")
            yield kinds.MIXED_ARCH_SO.fixable(name, says, fix=fix, cost=Cost(size, size))


def _processors(path: Path) -> frozenset[str]:
    return processors_of(read_head(path, HEAD_BYTES))


def _quarantined(ctx: Context, library: Path) -> Finding:
    shown = ctx.home.shown(library)
    says = f"macOS holds {shown} in quarantine, as what a browser brought: `library load disallowed by system policy`."
    if kinds.QUARANTINE.id in ctx.options.agreed:
        return kinds.QUARANTINE.fixable(shown, says, fix=Fix("The mark is taken off the environment's files."))
    fix = Fix("Take the mark off.", program(XATTR, "-dr", QUARANTINE, str(ctx.home.venv)))
    return kinds.QUARANTINE.blocked(shown, says, fix=fix, asks="Take the mark off the environment's files?")


def _two_openmps(ctx: Context, second: Path) -> Finding:
    shown = ctx.home.shown(second)
    says = f"{shown} is a second OpenMP beside torch's libomp.dylib: ComfyUI may end with `OMP: Error #15`."
    if kinds.OMP_DUP.id in ctx.options.agreed:
        return kinds.OMP_DUP.fixable(shown, says, fix=Fix("The environment is made anew; what is there is kept aside."))
    fix = Fix("Make the environment again.", ours("doctor", "--fix", "--only", kinds.OMP_DUP.id))
    return kinds.OMP_DUP.warn(shown, says, fix=fix, asks="Make the environment anew (torch is downloaded again)?")


def apply_native_libs(ctx: Context, finding: Finding) -> None:
    """Install a package again, take the mark off, or make the environment anew. Raises PackageError, CommandFailed."""
    if finding.kind == kinds.QUARANTINE:
        ctx.machine.run([XATTR, "-dr", QUARANTINE, ctx.home.venv], timeout_s=120).check()
    elif finding.kind == kinds.OMP_DUP:
        apply_python_env(ctx, finding)
    elif finding.subject == "torch":
        install_torch_set(ctx, audio=asks_for_audio(ctx), reinstall=True)
    else:
        name = finding.subject
        exact = f"{name}=={packages.installed_versions(ctx.home.venv)[name]}"
        packages.must_install(ctx, "--no-deps", "--reinstall-package", name, exact, what=name)


NATIVE_LIBS = Look(check_native_libs, (kinds.MIXED_ARCH_SO, kinds.QUARANTINE, kinds.OMP_DUP), apply_native_libs)
