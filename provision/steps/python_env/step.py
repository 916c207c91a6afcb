"""ComfyUI's Python: a venv in the home, made by uv for the machine's own architecture, or an adopted install's.

An adopted environment is used as it is if it fits; otherwise one of ours is made in the home and used in its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from provision.comfyui.server_process import running_environment
from provision.command import Fix, ours, program
from provision.core.bundle import uv_builds
from provision.core.finding import Cost, Finding, Kind
from provision.core.receipts import write_json
from provision.core.step import Context, Step
from provision.environment import generations
from provision.environment.packages import configured_python, env_kind, package_error, run_uv
from provision.errors import CommandMissing, PackageError
from provision.steps.python_env import kinds
from provision.system.disk_errors import unusable
from provision.system.mac import must_read_macos
from provision.system.parsers import parse_sysctl
from provision.system.strict import decode

ASK = (
    "import json,sys,platform as p;"
    "print(json.dumps([p.python_version(), p.machine(), sys.base_prefix, sys.prefix, p.mac_ver()[0]]))"
)
BAD_PATCHES = {
    "3.13.8": "cannot import torch (pytorch issue 179066)",
    "3.14.1": "breaks torchvision (vision issue 9307)",
}
TRUSTED_MACOS = (11,)
"""Only a Python built for an old macOS reports a lower one; ComfyUI's model_management.py asks for 14 and 14.5."""
LOOKING = ("-I", "-B")
"""Flags of a Python that is only looked at: isolated, and without leaving compiled files behind."""
DISK_BYTES, DOWNLOAD_BYTES = 90 * 10**6, 25 * 10**6
"""The cost of uv's Python: an archive of 15 to 25 MB, unpacked."""


def check_python_env(ctx: Context) -> Iterable[Finding]:
    """Is there a Python of the accepted versions, that runs, and of this machine's architecture?"""
    home, python, dangling = ctx.home, ctx.home.python, partial(to_make, ctx, kinds.VENV_DANGLING)
    if not python.exists() and home.venv_of_another is not None:
        yield dangling(f"The Python of {home.venv} is gone (was it upgraded?).")
    elif not home.venv.exists():
        yield to_make(ctx, kinds.VENV_MISSING, f"ComfyUI has no Python {ctx.manifest.python.version} yet.")
    elif not python.exists():
        target = python.readlink() if python.is_symlink() else python
        yield dangling(f"The environment's Python is gone ({target}; was it upgraded?).")
    elif home.venv_of_another is not None and not ctx.options.may_run:
        yield _unasked(ctx)
    else:
        ctx.doing(f"starting {python}")
        ran = ctx.machine.run([python, *LOOKING, "-c", ASK], timeout_s=30)
        if ran.ok:
            yield from _answered(ctx, ran.out)
        else:
            yield dangling(f"The environment's Python does not run: {ran.tail(1) or ran.code}.")


def _answered(ctx: Context, answer: str) -> Iterable[Finding]:
    """What a Python that runs says of itself."""
    home = ctx.home
    try:
        version, arch, base, prefix, *told = decode(answer, list[str])
        foreign = home.venv_of_another is not None and env_kind(home.venv) != "venv"
        managed = foreign and Path(prefix).samefile(home.venv)
    except (ValueError, OSError):
        yield to_make(ctx, kinds.VENV_DANGLING, "The environment's Python does not behave like a Python.")
        return
    if prefix == base and not managed:
        yield to_make(ctx, kinds.VENV_DANGLING, "The environment is broken: pyvenv.cfg is gone.")
        return
    yield _judge(ctx, version, arch, base)
    yield from _wrong_macos(ctx, version, "".join(told))


def _wrong_macos(ctx: Context, version: str, told: str) -> Iterable[Finding]:
    """A Python built for an old macOS reports 10.16 for every newer one, and ComfyUI believes it."""
    if ctx.machine.system != "Darwin" or not told or number(told) >= TRUSTED_MACOS:
        return
    real = must_read_macos(ctx.machine).version
    if real < TRUSTED_MACOS:
        return
    shown = ".".join(map(str, real))
    says = (
        f"Python {version} takes macOS {shown} for {told}: ComfyUI then skips what prevents black images"
        " on this system."
    )
    if kinds.MACVER_COMPAT.id in ctx.options.agreed:
        yield to_make(ctx, kinds.MACVER_COMPAT, says)
        return
    fix = Fix("Recreate the environment.", ours("doctor", "--fix", "--only", kinds.MACVER_COMPAT.id))
    yield kinds.MACVER_COMPAT.warn(str(ctx.home.venv), says, fix=fix, asks="Recreate it (downloads torch again)?")


def _judge(ctx: Context, version: str, arch: str, base: str) -> Finding:
    wanted, minor = ctx.manifest.python, number(version)[:2]
    accepted = f"{wanted.min} to {wanted.max} are accepted"
    if arch == "x86_64" and on_apple_silicon(ctx):
        says = f"The environment's Python {version} is for Intel and runs under Rosetta; "
        return to_make(ctx, kinds.PY_ROSETTA, f"{says}the newest torch for it is 2.2.2, without MPS.")
    if minor < number(wanted.min):
        return to_make(ctx, kinds.PY_TOO_OLD, f"Python {version} is too old: {accepted}.")
    if minor > number(wanted.max):
        return to_make(ctx, kinds.PY_TOO_NEW, f"Python {version} is too new: {accepted}.")
    if version in BAD_PATCHES:
        return to_make(ctx, kinds.PY_BAD_PATCH, f"Python {version} {BAD_PATCHES[version]}.")
    other = "" if minor == number(wanted.version) else f"; {wanted.version} is preferred"
    if ctx.home.venv_of_another is not None:
        return _of_another(ctx.home.venv, version, arch, other)
    says = f"Python {version} ({arch}) from {base}{other}"
    return kinds.VENV_READY.ok(str(ctx.home.venv), says, facts={"python": version, "arch": arch})


def _unasked(ctx: Context) -> Finding:
    """A Python that the user has not agreed to run, judged by its files."""
    python, version = ctx.home.python, configured_python(ctx.machine, ctx.home.venv)
    told = f"; pyvenv.cfg says Python {version}" if version else ""
    says = f"{python} was not installed by provision and has not been run: whether it works is unknown{told}."
    fix = Fix("If you trust that folder, pass its Python.", ours("all", "--python", str(python)))
    return kinds.ENV_UNASKED.blocked(str(python), says, fix=fix)


def _of_another(prefix: Path, version: str, arch: str, other: str) -> Finding:
    kind = env_kind(prefix)
    own = "--python own: a new environment instead"
    how = f"packages are installed there only after a yes ({own})" if kind == "venv" else "nothing is installed there"
    of = {"venv": "", "conda": "conda's ", "system": "the system's "}[kind]
    says = f"Python {version} ({arch}) of {of}{prefix}, not made by provision: {how}{other}"
    return kinds.ENV_FOREIGN.ok(str(prefix), says, facts={"python": version, "arch": arch})


def to_make(ctx: Context, kind: Kind, says: str) -> Finding:
    """A finding that is fixed by making an environment of ours in the home."""
    kept = " The old one is moved aside." if kind != kinds.VENV_MISSING else ""
    if ctx.home.venv_of_another is not None:
        kept = f" It goes to {ctx.home.root}; {ctx.home.venv} is not changed."
    command = program("uv", "venv", "--python", ctx.manifest.python.version, str(ctx.home.own_venv))
    cost = Cost(0, 1_000_000) if ctx.options.rehearsal else Cost(DOWNLOAD_BYTES, DISK_BYTES)
    return kind.fixable(str(ctx.home.venv), says, fix=Fix(f"Create an environment with uv.{kept}", command), cost=cost)


def number(version: str) -> tuple[int, ...]:
    """`3.12.1` as numbers."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def on_apple_silicon(ctx: Context) -> bool:
    """Whether the chip is Apple's own, whatever the tool itself runs as."""
    if ctx.machine.system != "Darwin":
        return False
    try:
        ran = ctx.machine.run(["/usr/sbin/sysctl", "-i", "hw.optional.arm64"], timeout_s=5)
        return parse_sysctl(ran.out).get("hw.optional.arm64") == "1"
    except (CommandMissing, ValueError):  # with -i, sysctl prints nothing for a name that the machine lacks
        return ctx.machine.arch == "arm64"


def apply_python_env(ctx: Context, finding: Finding) -> None:
    """Make an environment beside the current one and put it in use; a broken one is moved aside.

    Raises PackageError, HomeError, DiskFull.
    """
    home = ctx.home
    generations.move_in(home)
    generations.keep_last(home, ctx.manifest.keep, running_environment(ctx))
    old, left = generations.active(home), generations.before(home)
    new = make_environment(ctx)
    generations.enter(home, new, left)
    if old != home.venv and old.parent == home.envs and os.path.lexists(old):
        try:
            home.aside.mkdir(parents=True, exist_ok=True)
            aside = home.aside / f"venv-{int(ctx.machine.now())}"
            old.rename(aside)
        except OSError as error:
            raise unusable(old, error) from error
        ctx.note(f"The former environment is now {home.shown(aside)}.")


def make_environment(ctx: Context) -> Path:
    """A new, empty environment in `envs`, relocatable as a home may be moved.

    Raises PackageError, HomeError, DiskFull.
    """
    new = generations.new_folder(ctx.home)
    ran = run_uv(ctx, "venv", "--no-project", "--relocatable", "--python", find_python(ctx), new)
    if not ran.ok:
        generations.discard(new)
        raise package_error("The Python environment", ran)
    return new


def find_python(ctx: Context) -> str:
    """The Python to use: the wanted one of this machine, else of uv, else the nearest accepted one that is here.

    Raises PackageError when there is none.
    """
    wanted = ctx.manifest.python
    if found := local_python(ctx, wanted.version):
        return found
    ctx.note(f"Python {wanted.version} is not installed: downloading it with uv.")
    best = number(wanted.version)[1]
    accepted = range(number(wanted.min)[1], number(wanted.max)[1] + 1)
    names = (f"3.{minor}" for minor in sorted(accepted, key=lambda minor: (abs(minor - best), minor)))
    other = next(((name, found) for name in names if (found := local_python(ctx, name))), None)
    at = ctx.looking() if other else ctx  # what is here is as good as a long wait
    words = ("python", "install", "--no-bin", _request(ctx, wanted.version))
    fetched = run_uv(at, *words, env={"UV_HTTP_RETRIES": "1", **_builds(ctx)}, timeout_s=900)
    if found := local_python(ctx, wanted.version):
        return found
    if other:
        name, place = other
        why = fetched.tail(1).strip().removeprefix("cause: ") or "uv gave no reason"
        ctx.note(f"Python {wanted.version} could not be downloaded ({why}); using the installed {name}.")
        return place
    raise PackageError(
        f"Python {wanted.version} could not be downloaded, and no version from {wanted.min} to {wanted.max} is "
        "installed:\n"
        f"{fetched.tail(4)}",
        hint=Fix("Check the network or HTTPS_PROXY; or:", program("brew", "install", f"python@{wanted.version}")),
    )


def _builds(ctx: Context) -> dict[str, str]:
    """What tells uv of a bundle's builds of Python with their hashes, in place of those that it knows.

    See UV_PYTHON_DOWNLOADS_JSON_URL in https://docs.astral.sh/uv/reference/environment. Raises HomeError, DiskFull.
    """
    if ctx.options.source is None:
        return {}
    file = ctx.home.state / "pythons.json"
    write_json(file, uv_builds(ctx.options.source))
    return {"UV_PYTHON_DOWNLOADS_JSON_URL": str(file)}


def search_path(ctx: Context) -> str:
    """Where uv looks for Pythons: the places of pyenv, Homebrew and python.org, then PATH.

    pyenv's stubs come first on many a PATH; they fail for a version that is there and not active, and uv goes by
    them alone.
    """
    given = ctx.machine.environ
    person = Path(given.get("HOME", "/"))
    pyenv = Path(given.get("PYENV_ROOT", person / ".pyenv"))
    folders = [*sorted(pyenv.glob("versions/3.*/bin"), key=lambda place: number(place.parent.name), reverse=True)]
    if ctx.machine.system == "Darwin":
        folders += [Path("/opt/homebrew/bin"), *Path("/Library/Frameworks/Python.framework/Versions").glob("3.*/bin")]
    return os.pathsep.join([*map(str, folders), given.get("PATH", os.defpath)])


def _request(ctx: Context, version: str) -> str:
    return f"cpython-{version}-macos-aarch64-none" if on_apple_silicon(ctx) else version


def local_python(ctx: Context, version: str) -> str | None:
    """The path of a Python on this machine; None when uv finds none."""
    quiet: list[str] = []
    words = ("python", "find", "--no-project", "--system", "--no-python-downloads", _request(ctx, version))
    ran = run_uv(ctx, *words, env={"PATH": search_path(ctx)}, on_line=quiet.append, timeout_s=60)
    path = Path(quiet[-1].strip()) if ran.ok and quiet else None
    return str(path) if path is not None and path.is_absolute() and path.exists() else None


PYTHON_ENV = Step(
    "python_env",
    needs=("tools",),
    check=check_python_env,
    apply=apply_python_env,
    about="ComfyUI's Python",
)
