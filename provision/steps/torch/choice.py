"""Which set of torch, torchvision and, where it is asked for, torchaudio: resolved before anything is installed.

A nightly is the newest day on which torch has a wheel, and the others have one too, or a release that serves it. Where
the nightly index cannot be reached or has no such day, stable torch is taken. After the first choice come those that
are tried when a set cannot be had or fails its proof: the nightlies of the three days before it, stable, the manifest's
last known good, and torch of torchaudio's own number. What a person asked for by its day or version is theirs to
change, and has none. `plan`, `plan --for` and `all` go through the same candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from provision.comfyui import fallback_flags
from provision.command import ours
from provision.core.patience import BRIEF_S
from provision.core.step import Context
from provision.download.host_check import Host, troubles_of
from provision.environment import known_bad_torch, packages, torch_family, wheel_index
from provision.environment.resolution import Rules, compile_wheels, name_of, newest, wheels_of
from provision.errors import GitError, NetworkError, PackageError, ProvisionError
from provision.steps.requirements.asked import read_asked, wanted_is_here
from provision.steps.tools import network
from provision.steps.tools.network import package_index
from provision.steps.torch.index_pages import read_metadata, read_pages
from provision.steps.torch.place import Place, here

EARLIER_DAYS = 3
KNOWN_GOOD = "known good"
VISION = "torchvision>=0.5"
"""Older ones name no torch: a resolver that finds nothing else would take one of 2017."""


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
    listed: bool = False
    """Whether the indexes' own pages have these very versions: they need no resolver."""

    @property
    def needs_audio(self) -> bool:
        """Whether a torchaudio that cannot be imported rules the set out; whoever names a torch has it all the same."""
        automatic = self.channel in ("nightly", "stable", KNOWN_GOOD)
        return automatic and any(name_of(pin) == "torchaudio" for pin in self.pins)

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
        found = [*self.passed_over[:2], *([f"and {len(more)} more days"] if (more := self.passed_over[2:]) else [])]
        return "; ".join([*([self.why] if self.why else []), *found])


def first(ctx: Context, place: Place, *, audio: bool, on_try: Callable[[Choice], None] = lambda _: None) -> Choice:
    """The first candidate that can be had, with the version of every package. Raises PackageError, NetworkError."""
    failed: list[tuple[Choice, PackageError]] = []
    for choice in candidates(ctx, place, audio=audio):
        why = "; ".join([*(reason(*each) for each in failed), *([choice.why] if choice.why else [])])
        tried = replace(choice, why=why)
        on_try(tried)
        try:
            return resolve(ctx, place, tried)
        except PackageError as error:
            failed.append((choice, error))
    raise failed[0][1]


def candidates(ctx: Context, place: Place, *, audio: bool) -> Iterator[Choice]:
    """The choice, and what to try in its place, in order, when it fails; never one that is known to be bad.

    Raises PackageError.
    """
    refused: list[str] = []
    offered = False
    for choice in in_order(ctx, place, audio=audio):
        if why := known_bad_torch.refused(place.machine, choice.pins):
            refused.append(why)
            continue
        offered = True
        yield replace(choice, why="; ".join([*refused, *([choice.why] if choice.why else [])]))
    if not offered:
        raise PackageError(f"{refused[-1]}. Nothing was installed.", hint=ours(*place.again, "--torch", "stable"))


def in_order(ctx: Context, place: Place, *, audio: bool) -> Iterator[Choice]:
    """All that could be taken, the one that is asked for first."""
    channel = ctx.manifest.torch.channel
    if channel not in ("nightly", "stable"):
        pinned = _one_day if wheel_index.pinned_day(channel) else _exact
        yield pinned(ctx, place, channel, audio=audio)
        return
    instead = fallback_flags.stable_instead(ctx) if place.is_here else ""
    if channel == "nightly" and not instead:
        days, instead = _nightlies(ctx, place, audio=audio)
        yield from days
    stable = _stable(ctx, place, audio=audio, why=instead)
    yield stable
    known = None if ctx.options.rehearsal else ctx.manifest.torch.known_good
    if known is not None:
        good = (f"torch=={known.torch}", f"torchvision=={known.torchvision}")
        sound = (f"torchaudio=={known.torchaudio}" if known.torchaudio else "torchaudio",) if audio else ()
        yield Choice(KNOWN_GOOD, (*good, *sound), "" if place.cuda else ctx.manifest.torch.stable_index.rstrip("/"))
    if audio and (number := _newest_audio(ctx, place, stable.index)):
        yield replace(_stable(ctx, place, audio=audio, why="", exact=number), channel="stable")


def resolve(ctx: Context, place: Place, choice: Choice) -> Choice:
    """The same choice with the version of every package. Raises PackageError with uv's reason, NetworkError."""
    if choice.listed:
        return choice
    found = _compile(ctx, place, choice, choice.pins)
    if "torchaudio" in found and torch_family.audio_mismatch(found["torch"], found["torchaudio"]):
        major, minor = torch_family.series(found["torch"])
        pins = [pin for pin in choice.pins if name_of(pin) not in ("torch", "torchaudio")]
        audio = f"torchaudio<{major}.{minor + 1}"
        found = _compile(ctx, place, choice, (f"torch=={found['torch']}", *pins, audio))
    exact = replace(choice, pins=tuple(f"{name}=={found[name]}" for name in map(name_of, choice.pins)))
    if why := known_bad_torch.refused(place.machine, exact.pins):
        raise PackageError(f"{why}. Nothing was installed.", hint=ours(*place.again, "--torch", "VERSION"))
    return exact


def _compile(ctx: Context, place: Place, choice: Choice, pins: tuple[str, ...]) -> Mapping[str, str]:
    # A plan makes no home, and leaves nothing in uv's usual cache either.
    apart = () if ctx.home.state.is_dir() or not place.is_here else ("--no-cache",)
    ran = compile_wheels(ctx, place.target, pins, Rules(index=choice.index), *apart)
    if not ran.ok:
        raise packages.package_error("torch", ran)
    return {wheel.name: wheel.version for wheel in wheels_of(ran)}


def reason(choice: Choice, error: ProvisionError) -> str:
    """A failure in one line: which torch, what, and the last that was said of it."""
    lines = [line.strip(" ╰─▶×│") for line in error.message.splitlines() if line.strip()]
    last = f" ({lines[-1][:200]})" if len(lines) > 1 else ""
    version = choice.pins[0].partition("==")[2] or choice.channel
    return f"torch {version}: {lines[0].rstrip(':.')}{last}"


def planned(ctx: Context) -> Choice | None:
    """The exact choice for a plan; None where no index that it could come from answers.

    Raises PackageError, NetworkError.
    """
    torch = ctx.manifest.torch
    named = (torch.nightly_index if torch.channel != "stable" else "", torch.stable_index, package_index(ctx))
    hosts = [Host(index, "torch", vital=True) for index in dict.fromkeys(named) if index]
    if all(troubles_of(hosts, ctx.machine.environ, network.DEADLINE_S)):
        return None
    return first(ctx, here(ctx), audio=_will_ask_for_audio(ctx))


def _will_ask_for_audio(ctx: Context) -> bool:
    """Whether the revision of ComfyUI that is wanted asks for torchaudio; it may not be here yet."""
    if wanted_is_here(ctx):
        return asks_for_audio(ctx)
    try:
        return read_asked(ctx, None).audio
    except GitError as error:
        ctx.note(f"{error.sentence} Without ComfyUI's requirements it is unknown whether torchaudio is required.")
        return False


def asks_for_audio(ctx: Context) -> bool:
    """Whether the revision of ComfyUI that is here asks for torchaudio; False while none is here."""
    asked = ctx.home.comfyui / "requirements.txt"
    return asked.is_file() and any(name_of(line) == "torchaudio" for line in packages.asked_packages(asked))


def _names(audio: bool) -> tuple[str, ...]:
    return torch_family.TORCH if audio else torch_family.TORCH[:2]


# -- nightlies --------------------------------------------------------------------------------------------------


def _nightlies(ctx: Context, place: Place, *, audio: bool) -> tuple[list[Choice], str]:
    """The newest day that can be had and some before it; the second is why there is none."""
    index = ctx.manifest.torch.nightly_index.rstrip("/")
    if place.cuda and index.endswith("/cpu"):
        return [], "the configured nightly index has no builds for NVIDIA GPUs"
    brief = replace(ctx, patience=ctx.patience.at_most(BRIEF_S))  # stable torch stands behind it
    pages, trouble = read_pages(brief, index, _names(audio))
    if trouble:
        return [], f"the nightly index {trouble}"
    days: list[dict[str, str]] = []
    for versions in _whole(ctx, place, pages):
        days.append(versions)
        if len(days) > EARLIER_DAYS:
            break
    if not days:
        return [], f"the nightly index has no matching set for {place.says}"
    late = tuple(wheel_index.passed_over(pages, place.tags, wheel_index.day_of(days[0]["torch"])))
    return [_of_day("nightly", index, day, late if day is days[0] else ()) for day in days], ""


def _whole(ctx: Context, place: Place, pages: wheel_index.Pages) -> Iterator[dict[str, str]]:
    """The days with a version of every package, the newest first: of that day, or the newest release that serves it."""
    stable: dict[str, tuple[str, str]] = {}
    for versions in wheel_index.days_of(pages, place.tags):
        for name in pages.keys() - versions.keys():
            if name not in stable:
                stable[name] = _newest_release(ctx, place, name)
            version, metadata = stable[name]
            if version and not torch_family.refusal(name, version, versions["torch"], metadata):
                versions[name] = version
        if versions.keys() == pages.keys():
            yield {name: versions[name] for name in pages}


def _newest_release(ctx: Context, place: Place, name: str) -> tuple[str, str]:
    """The newest release of the configured index, and its METADATA; empty where the index does not tell."""
    index = (ctx.manifest.torch.stable_index if ctx.options.rehearsal else package_index(ctx)).rstrip("/")
    wheel = wheel_index.newest_release(read_pages(ctx, index, (name,))[0].get(name, ()), place.tags)
    metadata = read_metadata(ctx, index, wheel) if wheel is not None and wheel.metadata else ""
    return (wheel.version, metadata) if wheel is not None and metadata else ("", "")


def _of_day(channel: str, index: str, versions: dict[str, str], late: tuple[str, ...] = ()) -> Choice:
    pins = tuple(f"{name}=={version}" for name, version in versions.items())
    return Choice(channel, pins, index, passed_over=late, listed=True)


def _one_day(ctx: Context, place: Place, channel: str, *, audio: bool) -> Choice:
    """The nightly that is asked for by its day or version."""
    index, day = ctx.manifest.torch.nightly_index.rstrip("/"), wheel_index.pinned_day(channel)
    pages, trouble = read_pages(ctx, index, _names(audio))
    if trouble:
        raise PackageError(f"The nightly index {index} {trouble}.", hint=ours(*place.again, "--torch", "stable"))
    whole = list(_whole(ctx, place, pages))
    for versions in whole:
        if wheel_index.day_of(versions["torch"]) == day and wheel_index.answers(channel, versions["torch"]):
            return _of_day(channel, index, versions)
    near = min(
        (wheel_index.day_of(each["torch"]) for each in whole), key=lambda it: abs(int(it) - int(day)), default=""
    )
    why = wheel_index.why_not(pages, place.tags, day) or "its torch has another number"
    raise PackageError(
        f"{index} has no torch {channel} for {place.says}: {why}.",
        hint=ours(*place.again, "--torch", f"nightly{f'@{near}' if near else ''}"),
    )


# -- releases ---------------------------------------------------------------------------------------------------


def _exact(ctx: Context, place: Place, version: str, *, audio: bool) -> Choice:
    return _stable(ctx, place, audio=audio, why="", exact=version)


def _newest_audio(ctx: Context, place: Place, index: str) -> str:
    """The newest torchaudio that can be had; empty where there is none, or no index answers."""
    try:
        found = newest(ctx, place.target, "torchaudio", Rules(index=index))
    except NetworkError:
        return ""
    return found.version.partition("+")[0] if found else ""


def _stable(ctx: Context, place: Place, *, audio: bool, why: str, exact: str = "") -> Choice:
    """Stable torch: from the manifest's index, but for an NVIDIA GPU; from the configured one where it has none."""
    index, channel = ctx.manifest.torch.stable_index.rstrip("/"), exact or "stable"
    if index and not place.cuda:
        pages, trouble = read_pages(ctx, index, _names(audio))
        found = None if trouble else wheel_index.stable_pins(pages, place.tags, exact)
        if found:
            return Choice(channel, _bounded(found, exact), index, why)
        lack = f"{index} {trouble or f'has no matching set for {place.says}'}"
        if ctx.options.rehearsal:  # which never leaves its world
            raise PackageError(f"{lack}.", hint=ours("all", "--torch", "stable"))
        ctx.note(f"{lack}; using the configured package index.")
    torch = f"torch=={exact}" if exact else "torch"
    return Choice(channel, _bounded((torch, VISION, *(("torchaudio",) if audio else ())), exact), "", why)


def _bounded(pins: tuple[str, ...], exact: str) -> tuple[str, ...]:
    """The same with torchaudio no newer than the torch that is named: METADATA of 2.11.0 rules none out."""
    if not exact:
        return pins
    major, minor = torch_family.series(exact)
    bound = f"<{major}.{minor + 1}"
    return tuple(
        f"{pin}{',' if pin != 'torchaudio' else ''}{bound}" if name_of(pin) == "torchaudio" else pin for pin in pins
    )
