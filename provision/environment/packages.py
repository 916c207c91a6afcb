"""Python environments through uv: what is installed, and installing.

What is installed is read from the metadata on the disk, without starting the target Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from provision.command import Command, Fix, as_fix, ours, program
from provision.core.home import Home
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.environment.uv_lines import Wheels
from provision.environment.uv_settings import index_settings, read_files
from provision.errors import CommandMissing, NetworkError, PackageError, Passing
from provision.system.machine import Machine, Ran
from provision.system.passing import passing_in
from provision.system.strict import SETTINGS_MAX_BYTES, read_head
from provision.system.tls import SAID_OF_TIME, certificate_fix, clock_fix, has_store
from provision.system.which_git import without_stubs

INSTALL_TIMEOUT_S = 3600
TORCH_SET = ("torch", "torchvision", "torchaudio")
"""What is installed together and held while anything else is installed."""


def find_uv(machine: Machine) -> Path:
    """The uv that came with the tool, else one on PATH. Raises CommandMissing."""
    own = Path(sys.executable).with_name("uv")
    found = own if own.is_file() else machine.which("uv")
    if found is None:
        raise CommandMissing("uv is not installed.", hint=program("python3", "-m", "pip", "install", "uv"))
    return found


def uv_env(machine: Machine, home: Home) -> dict[str, str]:
    """What uv is told: its cache and its Pythons lie in the home, so that links work and nothing stays behind.

    The person's indexes count, and no other setting of theirs (`uv_settings`); who the system trusts is trusted.
    """
    given = machine.environ
    env = {
        "UV_CACHE_DIR": str(home.state / "cache"),
        "UV_PYTHON_INSTALL_DIR": str(home.state / "python"),
        "UV_NO_PROGRESS": "1",
        "UV_NO_CONFIG": "1",
        "UV_LINK_MODE": "clone" if machine.system == "Darwin" else "hardlink",
        **index_settings(given, read_files(machine).read),
    }
    if has_store(machine.system):
        env |= {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}  # the second for a uv before 0.11.9
    return env | {
        name: given[name] for name in ("UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "UV_LINK_MODE") if name in given
    }


def run_uv(
    ctx: Context,
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = INSTALL_TIMEOUT_S,
    on_line: Callable[[str], None] | None = None,
) -> Ran:
    """Run uv, its lines passed on as output and progress, or to `on_line`. Never raises for its exit code.

    An index that does not answer is ridden out: what is in uv's cache by then need not come again.
    """
    given = {**uv_env(ctx.machine, ctx.home), **without_stubs(ctx.machine), **(env or {})}
    run = partial(
        ctx.machine.run,
        [find_uv(ctx.machine), *words],
        env=given,
        timeout_s=timeout_s,
        on_line=on_line or _heard(ctx),
    )
    try:
        return ride_out(ctx, lambda: _ran(run()))
    except _IndexDown as error:
        return error.ran


def index_words(ctx: Context, index: str) -> tuple[str, ...]:
    """uv's words for an index that stands before the configured ones; of what a rehearsal's has, no other is asked.

    From a bundle no index is asked.
    """
    if ctx.options.source is not None:
        return ()
    strategy = "first-index" if ctx.options.rehearsal else "unsafe-best-match"
    return ("--index", index, "--index-strategy", strategy) if index else ()


def bundle_words(ctx: Context) -> tuple[str, ...]:
    """uv's words for the wheels of a bundle, in place of every index; none where there is no bundle."""
    source = ctx.options.source
    return ("--no-index", "--find-links", source.links) if source is not None else ()


class _IndexDown(NetworkError):
    """uv ended for want of an answer; never shown."""

    def __init__(self, ran: Ran, passing: Passing) -> None:
        what = "is busy" if passing in (Passing.BUSY, Passing.RATE_LIMIT) else "does not answer"
        super().__init__(f"The package index {what}.", hint=NETWORK_HINT, passing=passing)
        self.ran = ran


def _ran(ran: Ran) -> Ran:
    """What uv did; raises _IndexDown where it may do better in a while."""
    passing = None if ran.ok else passing_in(ran.out + ran.err)
    if passing is not None:
        raise _IndexDown(ran, passing)
    return ran


def _heard(ctx: Context) -> Callable[[str], None]:
    """Passes uv's lines on, and what they tell of the packages' progress."""
    wheels = Wheels()

    def on_line(line: str) -> None:
        ctx.output(line)
        if progress := wheels.hear(line):
            ctx.emit(progress)

    return on_line


def pip_install(ctx: Context, *words: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    """`uv pip install` into the target environment, noted until it is done (see `torn`).

    Never raises for its exit code.
    """
    from provision.environment.generations import active

    with suppress(OSError):
        ctx.home.installing.write_text(str(active(ctx.home)), encoding="utf-8")
    ran = run_uv(ctx, "pip", "install", "--python", ctx.home.python, *bundle_words(ctx), *words, env=env)
    if ran.ok:
        with suppress(OSError):
            ctx.home.installing.unlink()
    return ran


def must_install(ctx: Context, *words: str | Path, what: str) -> Ran:
    """As `pip_install`; raises PackageError with uv's last words."""
    ran = pip_install(ctx, *words)
    if not ran.ok:
        raise package_error(what, ran)
    return ran


LOG_HINT = Fix("Full output:", ours("logs", "--tool"))
FREE_HINT = Fix("Free some disk space, then run the same command again.")
NETWORK_HINT = Fix(
    "Check the network or HTTPS_PROXY, or set a mirror with UV_DEFAULT_INDEX=URL; then run the command again."
)
# (what uv says, what it comes down to, what to do): the first that fits is taken.
CAUSES: tuple[tuple[str, str, Fix | Command], ...] = (
    (r"No space left|os error 28\b", "the disk is full", FREE_HINT),
    (SAID_OF_TIME, "the package index's certificate is not valid at this computer's current time", clock_fix()),
    (r"[Ii]nvalid peer certificate|certificate", "the package index's certificate is not trusted", certificate_fix()),
    (r"dns error|failed to lookup", "the package index's host was not found", NETWORK_HINT),
    (r"timed out", "the package index did not answer in time", NETWORK_HINT),
    (r"error sending request|Failed to fetch|Connection refused", "the package index cannot be reached", NETWORK_HINT),
    (r"No solution found", "no matching set of versions", LOG_HINT),
    (r"Permission denied|os error 13\b", "a file belongs to another user", ours("doctor", "--only", "perms-root")),
)


def package_error(what: str, ran: Ran) -> PackageError:
    """What a failed uv means: the cause where its words tell one, then what it said last."""
    import re

    text = ran.out + ran.err
    found = ((why, hint) for pattern, why, hint in CAUSES if re.search(pattern, text))
    why, hint = next(found, ("", as_fix(LOG_HINT)))
    why = f"uv {ran.stopped}" if ran.stopped else why
    because = f": {why}" if why else ""
    return PackageError(f"{what} could not be installed{because}. uv's last output:\n{ran.tail()}", hint=hint)


def env_kind(prefix: Path) -> str:
    """`venv`, `conda`, or `system`: the last two hold more than one program's packages, and are not written to."""
    if (prefix / "conda-meta").is_dir():
        return "conda"
    return "venv" if (prefix / "pyvenv.cfg").is_file() else "system"


def site_packages(venv: Path) -> Path | None:
    """The folder of installed packages of an environment, None when there is none."""
    return next(iter(package_folders(venv)), None)


def package_folders(venv: Path) -> list[Path]:
    """The folders in which an environment's packages lie; Debian's own Python has two, called otherwise.

    conda's `lib/python3.1` is a link to `lib/python3.12` beside it, for programs that cut the version short.
    """
    names = ("lib/python3*/site-packages", "local/lib/python3.*/dist-packages", "lib/python3*/dist-packages")
    return [found for name in names for found in sorted(venv.glob(name)) if not found.parent.is_symlink()]


def target_python(ctx: Context) -> str:
    """The target Python's `3.12`, from the environment's folder; the manifest's where there is none yet."""
    folder = site_packages(ctx.home.venv)
    version = folder.parent.name.removeprefix("python") if folder else ""
    return version if "." in version else ctx.manifest.python.version


def configured_python(machine: Machine, prefix: Path) -> str:
    """The Python that an environment's pyvenv.cfg names (`3.12.7`), read without starting it; empty where none does."""
    import re

    found = re.search(
        r"^version(?:_info)? *= *(\d+(?:\.\d+){1,2})", machine.read_text(prefix / "pyvenv.cfg") or "", re.MULTILINE
    )
    return found[1] if found else ""


def installed_versions(venv: Path) -> dict[str, str]:
    """Installed packages, normalised name -> version, from their `*.dist-info` folder names.

    One whose version is none (PEP 440) is passed over, as pip has done since 24.1.
    """
    versions: dict[str, str] = {}
    for info in (info for folder in reversed(package_folders(venv)) for info in folder.glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        if name and _is_version(version) and (info / "METADATA").is_file():
            versions[normalised(name)] = version
    return versions


def torch_version(venv: Path) -> str:
    """The torch that is installed; empty where there is none."""
    return installed_versions(venv).get("torch", "")


def _is_version(text: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def metadata(ctx: Context, package: str, version: str, file: str) -> str:
    """A file of an installed package's `*.dist-info` (`WHEEL`, `direct_url.json`); empty where it does not exist."""
    ending = f"-{version}.dist-info"
    for info in (info for folder in package_folders(ctx.home.venv) for info in folder.glob(f"*{ending}")):
        if normalised(info.name.removesuffix(ending)) == package:
            return ctx.machine.read_text(info / file) or ""
    return ""


def requirers(venv: Path) -> dict[str, set[str]]:
    """For each package that an installed one asks for, under whatever condition, which ones ask for it."""
    import re

    folder, found = site_packages(venv), dict[str, set[str]]()
    for info in folder.glob("*.dist-info") if folder else ():
        asker = normalised(info.name.removesuffix(".dist-info").rpartition("-")[0])
        text = read_head(info / "METADATA", SETTINGS_MAX_BYTES).decode("utf-8", "replace")
        for name in re.findall(r"^Requires-Dist:\s*([\w.-]+)", text, re.MULTILINE | re.IGNORECASE):
            found.setdefault(normalised(name), set()).add(asker)
    return found


def normalised(name: str) -> str:
    """A package's name as the index compares it (PEP 503)."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower()


def asked_packages(requirements: Path) -> list[str]:
    """The requirement lines of a requirements file, without comments and options."""
    return asked_lines(read_head(requirements, SETTINGS_MAX_BYTES).decode("utf-8-sig", "replace"))


def asked_lines(text: str) -> list[str]:
    """The same of a file's text."""
    import re

    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def unmet_here(ctx: Context) -> list[tuple[str, str | None]]:
    """As `unmet`, the lines of ComfyUI's requirements.txt against what is installed; none where there is no file."""
    lines = asked_packages(ctx.home.comfyui / "requirements.txt")
    return unmet(lines, installed_versions(ctx.home.venv), target_python(ctx))


def unmet(lines: Sequence[str], versions: Mapping[str, str], python: str) -> list[tuple[str, str | None]]:
    """The requirement lines that are not met by `versions` in a Python `python` (`3.12`).

    Each with the version that is there (None: missing).
    """
    from packaging.requirements import Requirement

    missing: list[tuple[str, str | None]] = []
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    for line in lines:
        try:
            wanted = Requirement(line)
            is_asked = wanted.marker is None or wanted.marker.evaluate(here)
        except ValueError:  # a line or a condition that packaging does not understand
            continue
        have = versions.get(normalised(wanted.name))
        if is_asked and (have is None or not wanted.specifier.contains(have, prereleases=True)):
            missing.append((line, have))
    return missing
