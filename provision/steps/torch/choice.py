"""Which set of torch, torchvision and, where it is asked for, torchaudio: resolved before anything is installed.

A nightly is the newest day on which every package that is wanted has a wheel for this machine. Where the nightly index
cannot be reached or has no such day, stable torch is taken. After the first choice come those that are tried when a set
fails its proof: the nightlies of the three whole days before it, stable, and the manifest's last known good. What a
person asked for by its day or version is theirs to change, and has none.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from provision.comfyui import fallback_flags
from provision.command import ours
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.host_check import Host, troubles_of
from provision.download.web import fetch
from provision.environment import known_bad_torch, packages, wheel_index
from provision.errors import HubRefused, NetworkError, PackageError, UsageError
from provision.steps.tools import network
from provision.steps.tools.network import package_index, unreachable_because
from provision.system.bounded_http import body_of
from provision.system.mac import must_read_macos
from provision.system.strict import Unreadable

PAGE_MAX_BYTES = 32 << 20
"""Of torch's own nightlies a page has 4 MB."""
NOT_FOUND = 404
RESOLVE_TIMEOUT_S = 300
EARLIER_DAYS = 3
HOMELY = ("UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR")
"""What uv would make in the home."""
KNOWN_GOOD = "known good"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be installed, from where (empty: the configured index), and why it is not what was asked for."""

    channel: str
    pins: tuple[str, ...]
    index: str
    why: str = ""
    """Why it is another channel or day than was asked for; empty when it is not."""
    passed_over: tuple[str, ...] = ()
    """Why newer days were not taken."""

    @property
    def source(self) -> tuple[str, ...]:
        """The index as uv is told of it."""
        return ("--index", self.index, "--index-strategy", "unsafe-best-match") if self.index else ()

    @property
    def is_exact(self) -> bool:
        """Whether every package has its version."""
        return all("==" in pin for pin in self.pins)

    def line(self) -> str:
        """`torch 2.15.0, torchvision 0.30.0 (stable)`."""
        return f"{', '.join(pin.replace('==', ' ') for pin in self.pins)} ({self.channel})"

    def changes(self, versions: Mapping[str, str]) -> str:
        """`torch 2.11.0 -> 2.15.0, torchvision 0.29.2 (stable)`, of the versions that are here."""
        pins = dict(pin.split("==", 1) for pin in self.pins if "==" in pin)
        had = {name: f"{versions[name]} -> " for name in pins if name in versions}
        parts = ", ".join(f"{name} {had.get(name, '')}{pin}" for name, pin in pins.items())
        return f"{parts} ({self.channel})"

    def reasons(self) -> str:
        """Why it is this one, as the end of a sentence; empty when there is nothing to say."""
        found = [*self.passed_over[:2], *([f"and {len(more)} days more"] if (more := self.passed_over[2:]) else [])]
        return "; ".join([*([self.why] if self.why else []), *found])


def choose(ctx: Context, *, audio: bool) -> Choice:
    """What to install for the channel that is asked for. Raises PackageError."""
    return next(candidates(ctx, audio=audio))


def candidates(ctx: Context, *, audio: bool) -> Iterator[Choice]:
    """The choice, and what to try in its place, in order, when it fails its proof; never one that is known to be bad.

    Raises PackageError.
    """
    refused: list[str] = []
    offered = False
    for choice in _in_order(ctx, audio=audio):
        if why := known_bad_torch.refused(ctx.machine, choice.pins):
            refused.append(why)
            continue
        offered = True
        yield replace(choice, why="; ".join([*refused, *([choice.why] if choice.why else [])]))
    if not offered:
        raise PackageError(f"{refused[-1]}. Nothing was installed.", hint=ours("all", "--torch", "stable"))


def _in_order(ctx: Context, *, audio: bool) -> Iterator[Choice]:
    channel = ctx.manifest.torch.channel
    if channel not in ("nightly", "stable"):
        yield (
            _one_day(ctx, channel, audio=audio)
            if wheel_index.pinned_day(channel)
            else _exact(ctx, channel, audio=audio)
        )
        return
    instead = fallback_flags.stable_instead(ctx)
    if channel == "nightly" and not instead:
        days, instead = _nightlies(ctx, audio=audio)
        yield from days
    yield _stable(ctx, audio=audio, why=instead)
    known = ctx.manifest.torch.known_good
    if known is not None and (known.torchaudio or not audio):
        versions = {"torch": known.torch, "torchvision": known.torchvision, "torchaudio": known.torchaudio}
        pins = tuple(f"{name}=={version}" for name, version in versions.items() if name in _names(audio))
        yield Choice(KNOWN_GOOD, pins, ctx.manifest.torch.stable_index.rstrip("/") if not _has_cuda(ctx) else "")


def resolve(ctx: Context, choice: Choice) -> Choice:
    """The same choice with the version of every package. Raises PackageError, with uv's reason."""
    if choice.is_exact:
        return choice
    if "torchaudio" in choice.pins:
        choice = replace(choice, pins=_audio_pins(ctx))
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="provision-torch-") as folder:
        asked = Path(folder) / "torch.in"
        asked.write_text("\n".join(choice.pins), encoding="utf-8")
        quiet = ("--quiet", "--no-header", "--no-annotate")
        python = ("--python-version", packages.target_python(ctx))
        words: tuple[str | Path, ...] = ("pip", "compile", *quiet, *python, *choice.source, asked)
        # A plan makes no home.
        own = dict[str, str]() if ctx.home.state.is_dir() else {name: f"{folder}/{name}" for name in HOMELY}
        ran = packages.run_uv(ctx, *words, env=own, on_line=lines.append, timeout_s=RESOLVE_TIMEOUT_S)
    found = dict(line.strip().split("==", 1) for line in lines if re.fullmatch(r"[\w.-]+==\S+", line.strip()))
    names = [packages.normalised(re.split("[=<]", pin)[0]) for pin in choice.pins]
    if not ran.ok or not set(names) <= found.keys():
        raise packages.package_error("torch", ran)
    exact = replace(choice, pins=tuple(f"{name}=={found[name]}" for name in names))
    if why := known_bad_torch.refused(ctx.machine, exact.pins):
        raise PackageError(f"{why}. Nothing was installed.", hint=ours("all", "--torch", "VERSION"))
    return exact


def planned(ctx: Context) -> Choice | None:
    """The exact choice for a plan; None where no index that it could come from answers. Raises PackageError."""
    torch = ctx.manifest.torch
    named = (torch.nightly_index if torch.channel != "stable" else "", torch.stable_index, package_index(ctx))
    hosts = [Host(index, "torch", vital=True) for index in dict.fromkeys(named) if index]
    if all(troubles_of(hosts, ctx.machine.environ, network.DEADLINE_S)):
        return None
    return resolve(ctx, choose(ctx, audio=asks_for_audio(ctx)))


def asks_for_audio(ctx: Context) -> bool:
    """Whether the revision of ComfyUI that is here asks for torchaudio; False while none is here."""
    asked = ctx.home.comfyui / "requirements.txt"
    return asked.is_file() and any(
        packages.normalised(line).startswith("torchaudio") for line in packages.asked_packages(asked)
    )


def has_nvidia(ctx: Context) -> bool:
    """Whether this machine has an NVIDIA GPU with its driver."""
    return ctx.machine.which("nvidia-smi") is not None


def target_tags(ctx: Context) -> frozenset[str]:
    """The wheel tags of the target Python on this machine."""
    macos = macos_version(ctx)
    return wheel_index.target_tags(packages.target_python(ctx), macos, "arm64" if macos else ctx.machine.arch)


def macos_version(ctx: Context) -> tuple[int, int] | None:
    """macOS's version as wheels name it; None on other systems."""
    if ctx.machine.system != "Darwin":
        return None
    version = must_read_macos(ctx.machine).version
    return version[0], version[1] if len(version) > 1 else 0


def read_pages(ctx: Context, index: str, names: Iterable[str]) -> tuple[dict[str, list[wheel_index.Wheel]], str]:
    """The index's pages of some packages; the second is why they could not be had, empty when they could."""
    if reason := unreachable_because(ctx, index):  # asked first: a name that is not resolved would be waited for
        return {}, f"cannot be reached ({reason})"
    pages: dict[str, list[wheel_index.Wheel]] = {}
    for name in names:
        try:
            with fetch(ctx, Address(f"{index}/{name}/", {}), own=True) as answer:
                if answer.status_code == NOT_FOUND:
                    return {}, f"has no {name}"
                if not answer.ok:
                    return {}, f"answers {answer.status_code}"
                page = body_of(answer, PAGE_MAX_BYTES)
        except (OSError, NetworkError, UsageError):
            return {}, "cannot be reached (the connection broke)"
        except Unreadable as error:
            return {}, f"sends {error}"
        except HubRefused as error:
            return {}, f"sends on to no page ({error.message.rstrip('.')})"
        pages[name] = wheel_index.parse_index_page(page.decode("utf-8", "replace"))
    return pages, ""


def _names(audio: bool) -> tuple[str, ...]:
    return ("torch", "torchvision", *(("torchaudio",) if audio else ()))


def _has_cuda(ctx: Context) -> bool:
    return ctx.machine.system != "Darwin" and has_nvidia(ctx)


def _nightlies(ctx: Context, *, audio: bool) -> tuple[list[Choice], str]:
    """The newest whole day and some before it; the second is why there is none."""
    index = ctx.manifest.torch.nightly_index.rstrip("/")
    if _has_cuda(ctx) and index.endswith("/cpu"):
        return [], "the nightly index that is named has no builds for NVIDIA GPUs"
    pages, trouble = read_pages(ctx, index, _names(audio))
    if trouble:
        return [], f"the nightly index {trouble}"
    tags = target_tags(ctx)
    days = wheel_index.whole_days(pages, tags)[: 1 + EARLIER_DAYS]
    if not days:
        return [], "the nightly index has no matching set for this machine"
    late = tuple(wheel_index.passed_over(pages, tags, wheel_index.day_of(days[0]["torch"])))
    return [_of_day("nightly", index, day, late if day is days[0] else ()) for day in days], ""


def _of_day(channel: str, index: str, versions: dict[str, str], late: tuple[str, ...] = ()) -> Choice:
    return Choice(channel, tuple(f"{name}=={version}" for name, version in versions.items()), index, passed_over=late)


def _one_day(ctx: Context, channel: str, *, audio: bool) -> Choice:
    """The nightly that is asked for by its day or version."""
    index, day, tags = ctx.manifest.torch.nightly_index.rstrip("/"), wheel_index.pinned_day(channel), target_tags(ctx)
    pages, trouble = read_pages(ctx, index, _names(audio))
    if trouble:
        raise PackageError(f"The nightly index {index} {trouble}.", hint=ours("all", "--torch", "stable"))
    whole = wheel_index.whole_days(pages, tags)
    for versions in whole:
        if wheel_index.day_of(versions["torch"]) == day and wheel_index.answers(channel, versions["torch"]):
            return _of_day(channel, index, versions)
    near = min(
        (wheel_index.day_of(each["torch"]) for each in whole), key=lambda it: abs(int(it) - int(day)), default=""
    )
    why = wheel_index.why_not(pages, tags, day) or "its torch has another number"
    raise PackageError(
        f"{index} has no set of torch {channel} for this machine: {why}.",
        hint=ours("all", "--torch", f"nightly{f'@{near}' if near else ''}"),
    )


def _exact(ctx: Context, version: str, *, audio: bool) -> Choice:
    return _stable(ctx, audio=audio, why="", exact=version)


def _stable(ctx: Context, *, audio: bool, why: str, exact: str = "") -> Choice:
    """Stable torch: from the manifest's index, but for an NVIDIA GPU; from the configured one where it has none."""
    index, channel = ctx.manifest.torch.stable_index.rstrip("/"), exact or "stable"
    if index and not _has_cuda(ctx):
        pages, trouble = read_pages(ctx, index, _names(audio))
        found = None if trouble else wheel_index.stable_pins(pages, target_tags(ctx), exact)
        if found:
            return Choice(channel, found, index, why)
        ctx.note(f"{index} {trouble or 'has no such set for this machine'}; the configured package index is taken.")
    pins = (f"torch=={exact}", "torchvision", *((f"torchaudio=={_plain(exact)}",) if audio else ()))
    return Choice(channel, pins if exact else _names(audio), "", why)


def _audio_pins(ctx: Context) -> tuple[str, ...]:
    """torchaudio ended at 2.11.0 and does not say which torch it was built for: it is the one of its own number."""
    ran = packages.pip_install(ctx, "--dry-run", "--no-deps", "--upgrade", "--reinstall", "torchaudio")
    found = re.search(r"[+~] torchaudio==(\S+)", ran.out + ran.err)
    if not ran.ok or found is None:
        raise PackageError(
            f"This revision of ComfyUI asks for torchaudio, and none can be had:\n{ran.tail()}",
            hint=ours("all", "--comfyui", "latest"),
        )
    version = _plain(found[1])
    return (f"torch=={version}", "torchvision", f"torchaudio=={version}")


def _plain(version: str) -> str:
    return version.partition("+")[0]
