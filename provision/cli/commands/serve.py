"""`provision serve`: a bundle, or the model of this install, for other Macs to read over the LAN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING, Request
from provision.command import Fix, ours, program
from provision.errors import UsageError
from provision.output.result import Pairs, Result, Says, answer

if TYPE_CHECKING:
    from provision.core.events import ReaderSeen
    from provision.download.serving.offer import Offer
    from provision.download.serving.readers import Reader, Readers

PORT = 8765
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class ReaderFacts:
    """What one address read, and in which time."""

    address: str
    sent_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Served:
    """What was served, and who read it."""

    address: str
    sent_bytes: int
    readers: tuple[ReaderFacts, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where it is served: the address for other Macs, and for how long."""

    url: str
    seconds: float


def ask(
    request: Request,
    *,
    what: Annotated[
        Path | None, Argument(metavar="[DIR]", help="A bundle, or an install folder (default: this one).")
    ] = None,
) -> Request:
    """`what` as the home, where it is not a bundle. Raises UsageError."""
    from provision.download.serving.offer import is_bundle

    if what is None:
        return request
    folder = what.expanduser().absolute()
    if is_bundle(folder):
        return replace(request, bundle=folder)
    if request.home is not None:
        raise UsageError(f"{folder} is not a bundle.", hint=ours("bundle", str(folder)))
    return replace(request, home=folder)


def serve(
    at: Session,
    *,
    listen: Annotated[
        str | None, Option("--listen", metavar="ADDR:PORT", help="Address (default: the LAN's) and port (8765).")
    ] = None,
    lasting: Annotated[str, Option("--for", metavar="TIME", help="Stop after this time: 2h, 90m.")] = "2h",
) -> Result:
    """Serve until the time is over or Ctrl-C. Raises UsageError, PortTaken, ConsentNeeded, BundleError, HomeError."""
    from provision.cli.options import parse_duration
    from provision.download.serving.readers import Readers
    from provision.download.serving.server import Served as Application
    from provision.download.serving.server import serving
    from provision.system.keep_awake import kept_awake
    from provision.system.listener import listen as bind
    from provision.system.listener import url_host

    seconds, (host, port) = parse_duration(lasting), _where(at, listen)
    offer = _offer(at)
    listener = bind(host, port)
    place = _Place(f"http://{url_host(_reached_at(host))}:{listener.getsockname()[1]}", seconds)
    use, readers = _how_to_use(offer, place.url), Readers()
    app = Application(offer, readers, "".join(f"{at.typed(each)}\n" for each in use))
    with kept_awake(at.ctx.machine), serving(listener, app):
        _announce(at, offer, place, use)
        try:
            _watch(at, readers, seconds)
        finally:
            seen = readers.seen()
            for reader in seen:
                if not reader.gone:
                    at.ctx.emit(_seen(replace(reader, gone=True)))
    return _result(place.url, seen)


def _where(at: Session, listen: str | None) -> tuple[str, int]:
    """Host and port; every address of the machine only after a yes. Raises UsageError, ConsentNeeded."""
    from provision.system.listener import is_every_address, lan_address, parse_listen

    host, port = parse_listen(listen) if listen is not None else (None, None)
    if host is not None and is_every_address(host):
        question = f"{host} is every network this machine is in, not only the LAN. Serve there?"
        if not at.ctx.consent(question):
            raise UsageError("Nothing was served.", hint=Fix("One address is enough:", ours("serve")))
    return host or lan_address(), PORT if port is None else port


def _reached_at(host: str) -> str:
    from provision.system.listener import is_every_address, lan_address

    return lan_address() if is_every_address(host) else host


def _offer(at: Session) -> Offer:
    """What is served; of a rehearsal, a bundle of it that is kept with its world.

    Raises BundleError, HomeError, ManifestError, and with `--rehearse` what `bundle` raises.
    """
    from provision.cli.commands.bundle import bundle
    from provision.download.serving.offer import bundle_offer, home_offer
    from provision.rehearsal.home_marker import world_folder

    folder = at.request.bundle
    if folder is None and at.request.rehearse:
        folder = world_folder(at.ctx.home) / "bundle"
        bundle(at, folder=folder)
    return home_offer(at.ctx) if folder is None else bundle_offer(folder)


def _how_to_use(offer: Offer, url: str) -> list[Fix]:
    """What to type on another Mac."""
    from provision.core.bundle import KIT

    rehearse = ("--rehearse",) if offer.rehearsal else ()
    if not offer.digest:
        return [Fix("On another Mac, for the model:", program("provision", "all", "--endpoint", url))]
    install = f"curl -fsS {url}/{KIT}/install.sh | sh -s -- --from {url} --sha256 {offer.digest}"
    source = ("--from", url, "--from-sha256", offer.digest)
    return [
        Fix("On a Mac without provision, first:", program("sh", "-c", install)),
        Fix("On each Mac:", program("provision", "all", *rehearse, *source)),
    ]


def _announce(at: Session, offer: Offer, place: _Place, use: Sequence[Fix]) -> None:
    """Say where, what, how large, for how long, and what to type."""
    from provision.core.events import ServingStarted
    from provision.output.amounts import size_text, time_text

    parts, lacks = offer.parts, tuple(offer.lacks)
    rows: list[tuple[Says, ...]] = [
        ("address", place.url),
        ("offers", ", ".join(f"{part} {size_text(size)}" for part, size in parts.items())),
        *([("not offered", f"{', '.join(lacks)}{'' if offer.digest else ' (a bundle has them)'}")] if lacks else []),
        ("files", f"{len(offer.files)}, {size_text(offer.bytes)}"),
        ("readers", "anyone who reaches this address; nothing can be written"),
        ("until", f"{time_text(place.seconds)} from now, or Ctrl-C"),
    ]
    at.console.tell(Pairs(rows))
    for each in use:
        at.ctx.note(each.says, each.command)
    at.ctx.emit(
        ServingStarted(address=place.url, files=len(offer.files), parts=parts, lacks=lacks, seconds=place.seconds)
    )


def _watch(at: Session, readers: Readers, seconds: float) -> None:
    """Show who reads until the time is over. Raises Interrupted."""
    clock, shown = at.ctx.machine.clock, dict[str, tuple[int, bool]]()
    until = clock() + seconds
    while (left := until - clock()) > 0:
        for event in _news(readers.seen(), shown):
            at.ctx.emit(event)
        at.ctx.machine.sleep(min(LOOK_S, left))


def _news(seen: Iterable[Reader], shown: dict[str, tuple[int, bool]]) -> Iterable[ReaderSeen]:
    """What is new since it was shown last."""
    for reader in seen:
        now = reader.sent_bytes, reader.gone
        if shown.get(reader.address) != now:
            shown[reader.address] = now
            yield _seen(reader)


def _seen(reader: Reader) -> ReaderSeen:
    from provision.core.events import ReaderSeen
    from provision.output.amounts import amount_text, size_text, time_text

    pace = reader.sent_bytes / reader.seconds if reader.gone and reader.seconds >= 0.1 else reader.bytes_per_s
    rate = f", {size_text(pace)}/s" if pace else ""
    name = reader.file.rsplit("/", 1)[-1]
    moving = f"{name} {amount_text(reader.file_sent_bytes, reader.file_bytes)}; {size_text(reader.sent_bytes)} in all"
    over = f"read {size_text(reader.sent_bytes)} in {time_text(reader.seconds)}"
    return ReaderSeen(
        step=reader.address,
        says=f"{over if reader.gone else moving}{rate}",
        seconds=reader.seconds,
        over=reader.gone,
        file=reader.file,
        file_sent_bytes=reader.file_sent_bytes,
        file_bytes=reader.file_bytes,
        sent_bytes=reader.sent_bytes,
        bytes_per_s=pace,
    )


def _result(url: str, seen: Iterable[Reader]) -> Result:
    from provision.output.amounts import size_text

    facts = tuple(ReaderFacts(each.address, each.sent_bytes, each.seconds) for each in seen)
    sent = sum(each.sent_bytes for each in facts)
    readers = f"{len(facts)} reader{'' if len(facts) == 1 else 's'}"
    return answer(Served(url, sent, facts), f"Served {size_text(sent)} to {readers}.")


app = command("serve", serve, ASKING | {"rehearse"}, ask)
