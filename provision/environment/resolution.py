"""What a package index has for a Mac that is not here: uv resolves, wheels only, and nothing is installed.

uv takes the assumed macOS from MACOSX_DEPLOYMENT_TARGET (without it, 13.0 in uv 0.13), and lists in a pylock.toml
(PEP 751) the one wheel of each package that fits, with its size where the index tells.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provision.command import Fix, ours
from provision.core.pylock import read_pylock
from provision.core.step import Context
from provision.environment.packages import bundle_words, find_uv, index_words, normalised, target_python, uv_env
from provision.errors import NetworkError, PackageError
from provision.system.address import quoted
from provision.system.machine import Ran
from provision.system.target import MACOS, Target

TIMEOUT_S = 300
ROUNDS_MAX = 12
WIDEST = "3.12"
"""The Python that most packages have wheels for."""
FAR = "2999-01-01"
"""A day after which nothing is excluded."""
NO_WHEELS = re.compile(r"([A-Za-z0-9][\w.-]*)[^\s]* has no (?:usable )?wheels")
REQUIRED = re.compile(r"you require ([A-Za-z0-9][\w.-]*)")
NO_TIMES = "is missing an upload date"
UNREACHABLE = ("error sending request", "dns error", "timed out", "Connection refused", "Failed to fetch")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that would be installed: its file's name, and its bytes where the index tells."""

    name: str
    version: str
    filename: str
    size_bytes: int | None

    @property
    def macos(self) -> tuple[int, int] | None:
        """The oldest macOS that it is for, None where it is for any."""
        found = [(int(major), int(minor)) for major, minor in re.findall(r"macosx_(\d{1,4})_(\d{1,4})_", self.filename)]
        return min(found) if found else None


@dataclass(frozen=True, slots=True)
class Lack:
    """A requirement that cannot be had as it is asked for: `newest` is what can, empty when nothing can.

    `elsewhere` is a target that differs in one thing and has it, and the version; `why` is uv's reason where no wheel
    is missing.
    """

    asked: str
    newest: str
    elsewhere: tuple[Target, str] | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The wheels of a set of requirements, and those requirements for which there are none."""

    wheels: tuple[Wheel, ...]
    lacks: tuple[Lack, ...] = ()
    dated: bool = True
    """Whether the day that was given counted: an index without upload times has none (uv issue 16846)."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the wheels, as far as the index tells."""
        return sum(wheel.size_bytes or 0 for wheel in self.wheels)

    @property
    def unsized(self) -> int:
        """How many wheels the index gives no size of."""
        return sum(wheel.size_bytes is None for wheel in self.wheels)

    def version(self, name: str) -> str:
        """The version of a package, empty when it is not among the wheels."""
        return next((wheel.version for wheel in self.wheels if wheel.name == name), "")


@dataclass(frozen=True, slots=True)
class Rules:
    """How to resolve: packages held at a version, packages left out, a day, one more index."""

    held: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    until: str = ""
    index: str = ""


# -- reading what uv says (pure) ----------------------------------------------------------------------------


def parse_pylock(text: str) -> tuple[Wheel, ...]:
    """The wheels of a pylock.toml. Raises ValueError for what is none, or has a package without a wheel."""
    wheels = []
    for package in read_pylock(text):
        if not package.wheels:
            raise ValueError(f"{package.name} has no wheel in the lock.")
        best = package.wheels[0]
        wheels.append(Wheel(package.name, package.version, best.filename, best.size))
    return tuple(wheels)


def wheels_of(ran: Ran) -> tuple[Wheel, ...]:
    """The wheels that uv resolved. Raises PackageError where an index made it write something else."""
    try:
        return parse_pylock(ran.out)
    except ValueError as error:
        raise PackageError(f"uv's answer is invalid: {quoted(str(error))}.", hint=ours("plan", "-v")) from error


def culprit(error: str, names: Sequence[str]) -> str:
    """Which of the required `names` uv's reason speaks of first: one without wheels, else one that conflicts."""
    for pattern in (NO_WHEELS, REQUIRED):
        for found in pattern.findall(error):
            if normalised(found) in names:
                return normalised(found)
    return ""


def reason(error: str) -> str:
    """uv's reason as one line."""
    text = error.partition("hint:")[0]
    words = " ".join(line.strip(" ╰─▶×│") for line in text.splitlines()).split("cause:")[-1]
    return " ".join(words.split())[:300]


def name_of(line: str) -> str:
    """The normalised name of a requirement line."""
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)", line)
    return normalised(found[1].rstrip(".-_")) if found else ""


# -- resolving ----------------------------------------------------------------------------------------------


def resolve(ctx: Context, target: Target, lines: Sequence[str], rules: Rules = Rules()) -> Resolved:
    """The wheels of all `lines` for the target. What cannot be had is named, and the rest resolved without it.

    Raises NetworkError when the index cannot be reached, PackageError when uv gives a reason that names no package.
    """
    left, dated = list(lines), True
    lacks: list[Lack] = []
    for _ in range(ROUNDS_MAX):
        ran = compile_wheels(ctx, target, left, rules)
        if ran.ok:
            return Resolved(wheels_of(ran), tuple(lacks), dated)
        if rules.until and NO_TIMES in ran.err:
            rules, dated = replace(rules, until=""), False
            continue
        guilty = culprit(ran.err, [name_of(line) for line in left])
        if not guilty:
            raise PackageError(f"uv cannot resolve for {target.name}: {reason(ran.err)}", hint=ours("plan"))
        asked = next(line for line in left if name_of(line) == guilty)
        left.remove(asked)
        if any(name_of(each.asked) == guilty for each in lacks):  # not even what was taken in its place
            continue
        lacks.append(find_lack(ctx, target, asked, rules, reason(ran.err)))
        if lacks[-1].newest:
            left.append(f"{guilty}=={lacks[-1].newest}")
    raise PackageError(
        f"Too many packages are unavailable for {target.name}: {', '.join(each.asked for each in lacks)}.",
        hint=ours("plan", "--for", "macos-14-arm64"),
    )


def find_lack(ctx: Context, target: Target, asked: str, rules: Rules, why: str) -> Lack:
    """What can be had in the place of a requirement that cannot, here or on a target that differs in one thing."""
    if newest(ctx, target, asked, rules):  # the wheel is there: something else that is asked for forbids it
        return Lack(asked, "", why=why)
    here = newest(ctx, target, name_of(asked), rules)
    for other in others(target):
        wheel = newest(ctx, other, asked, rules)
        if wheel is not None:
            there = first_macos(target, other, wheel), wheel.version
            return Lack(asked, here.version if here else "", there)
    return Lack(asked, here.version if here else "")


def first_macos(target: Target, other: Target, wheel: Wheel) -> Target:
    """`other` with the oldest macOS that the wheel is for, where it was another macOS that made the difference."""
    if other.macos == target.macos or wheel.macos is None:
        return other
    known = [major for major in MACOS if (major, 0) >= wheel.macos]
    return replace(other, macos=(known[0], 0)) if known else other


def others(target: Target) -> list[Target]:
    """The target with the newest macOS, with another Python, with Apple silicon: whichever it has not."""
    changes = (
        replace(target, macos=(MACOS[-1], 0)),
        replace(target, python=WIDEST),
        replace(target, arch="arm64"),
    )
    return [other for other in changes if other != target]


def newest(ctx: Context, target: Target | None, line: str, rules: Rules) -> Wheel | None:
    """The newest wheel for one requirement, whatever it needs itself; None when there is none."""
    ran = compile_wheels(ctx, target, [line], replace(rules, held=()), "--no-deps")
    return next(iter(wheels_of(ran)), None) if ran.ok else None


def compile_wheels(ctx: Context, target: Target | None, lines: Iterable[str], rules: Rules, *more: str) -> Ran:
    """`uv pip compile` for the target (None: this machine, which is no Mac), as pylock.toml.

    Nothing is installed and no Python is fetched: the tool's own stands in for the target's. Raises NetworkError; its
    other failures are in what it said.
    """
    env = uv_env(ctx.machine, ctx.home)
    if not ctx.home.state.is_dir():  # a plan makes no home: uv's usual cache is taken
        env.pop("UV_CACHE_DIR", None)
    python = target.python if target else target_python(ctx)
    words: list[str | Path] = [find_uv(ctx.machine), "pip", "compile", "--format", "pylock.toml"]
    words += ["--no-header", "--no-annotate", "--only-binary", ":all:"]
    words += ["--no-python-downloads", "--python", sys.executable, "--python-version", python, *more]
    if target is not None:
        env["MACOSX_DEPLOYMENT_TARGET"] = ".".join(map(str, target.macos))
        words += ["--python-platform", target.platform]
    words += [*bundle_words(ctx), *index_words(ctx, rules.index)]
    if rules.until:
        words += ["--exclude-newer", rules.until]
        for line in rules.held:  # what is held is installed already, of whatever day
            words += ["--exclude-newer-package", f"{name_of(line)}={FAR}"]
    with tempfile.TemporaryDirectory(prefix="provision-plan-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for option, given in (("--constraints", rules.held), ("--excludes", rules.without)):
            if given:
                file = Path(folder) / f"{option.strip('-')}.txt"
                file.write_text("".join(f"{line}\n" for line in given), encoding="utf-8")
                words += [option, file]
        ran = ctx.machine.run([*words, wanted], cwd=Path(folder), env=env, timeout_s=TIMEOUT_S)
    if not ran.ok and any(word in ran.err for word in UNREACHABLE):
        raise NetworkError(
            f"The package index cannot be reached:\n{ran.tail(3)}",
            hint=Fix(
                "Check the network or HTTPS_PROXY, or set a mirror with UV_DEFAULT_INDEX=URL; then run "
                "the command again."
            ),
        )
    return ran
