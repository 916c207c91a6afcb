"""Every backend under every fault ends with the right file or with one clear error; see `matrix`."""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from provision import download as backends
from provision.core.events import Event
from provision.core.patience import Patience
from provision.core.runner import run_step
from provision.core.step import Context, StepReport
from provision.download import retry
from provision.download.backends import http, wget
from provision.download.part_file import part_of
from provision.rehearsal.model_repo import ModelRepo
from provision.steps.models.step import MODELS
from tests.e2e.matrix import (
    CELLS,
    DOCUMENT,
    ELSEWHERE,
    OTHER_ROWS,
    OTHERS,
    XET,
    Cell,
    Outcome,
    TlsHub,
    TroubledHub,
    make_certificate,
    private_root,
    record,
    recorded,
)
from tests.support.hints import said
from tests.support.hub import Faults, Hub
from tests.support.small_model import (
    FILE,
    REPO,
    TOKEN,
    Brisk,
    Heard,
    is_one_sentence_with_hint,
    make_small_repo,
    small_context,
)
from tests.support.xet import ACCESS

WRITE = os.environ.get("PROVISION_WRITE_DOCS") == "1"
SHORTER = {
    "STALL_TIMEOUT_S": 1,
    "READ_TIMEOUT_S": 2,
    "TIMEOUT_S": 1,
    "SILENT_MS": 500,
    "RETRIES": 1,
    "RETRY_DELAY_MS": 20,
}
"""Time-outs, and how often hf_xet asks again by itself, by the names that they have in the backends."""


@dataclass
class Watching(Heard):
    """Hears what happens, and looks at the final name each time."""

    place: Path = Path()
    sizes: set[int] = field(default_factory=set)

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if self.place.exists():
            self.sizes.add(self.place.stat().st_size)


class Waiting(Brisk):
    """A machine on which waiting takes no time, and which calls once so much was waited."""

    def __init__(self, for_s: float, then: Callable[[], None], **environ: str) -> None:
        super().__init__(**environ)
        self._for_s, self._then = for_s, then

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if sum(self.slept) >= self._for_s:
            self._then()


@dataclass(frozen=True)
class World:
    """A small model on a hub's folder, and a certificate that nobody knows."""

    folder: Path
    model: ModelRepo
    certificate: Path

    @property
    def root(self) -> Path:
        return self.folder / "hub"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    return World(folder, make_small_repo(folder), make_certificate(folder))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in pkgutil.walk_packages(backends.__path__, "provision.download."):
        if found.name.endswith("_program"):  # run by itself
            continue
        module = importlib.import_module(found.name)
        for name, value in SHORTER.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(retry, "IDLE_S", 1.5)
    words = tuple("--read-timeout=1" if "read-timeout" in word else word for word in wget.OPTIONS)
    monkeypatch.setattr(wget, "OPTIONS", words)
    # Segments so small that the file has five.
    monkeypatch.setattr(http, "SETTINGS", replace(http.SETTINGS, stall_s=1, segment_bytes=1 << 20))


@pytest.fixture
def hubs() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_fault_ends_with_the_file_or_one_clear_error(
    world: World, tmp_path: Path, hubs: ExitStack, monkeypatch: pytest.MonkeyPatch, cell: Cell
) -> None:
    thief = hubs.enter_context(Hub(world.root))
    root = private_root(world.root, tmp_path / "hub") if cell.row.special == "changed" else world.root
    hub = hubs.enter_context(troubled(cell, world, root, thief))
    if cell.row.special == "trusted":
        trust(monkeypatch, world.certificate)
    ctx, heard = context(cell, world, tmp_path, hub)
    begin(ctx, world, cell.row.begun)

    started = time.monotonic()
    report = run_step(MODELS, ctx, apply=True)
    seconds = time.monotonic() - started
    share = (hub.sent_by_file().get(FILE, 0) + thief.sent_by_file().get(FILE, 0)) / size_of(world)
    outcome = Outcome(judged(report, world, heard.place), share, seconds)

    assert heard.sizes <= {size_of(world)}, "a partial file stood under the final name"
    assert leaks(hub, thief) == [], "the token left the hub"
    assert TOKEN not in heard.text
    assert outcome.what == cell.expected, report
    again(cell, world, hubs, ctx, heard)
    if WRITE:
        record(cell, outcome, Path(tempfile.gettempdir()) / "download-matrix.lock")
    else:
        assert recorded()[cell.row.name, cell.backend].split(" ")[0] == outcome.what, f"{DOCUMENT.name} is out of date"


def test_the_document_has_these_cells_and_no_others() -> None:
    others = {(row.name, column) for row in OTHER_ROWS for column in OTHERS}
    assert set(recorded()) == {(cell.row.name, cell.backend) for cell in CELLS} | others


def troubled(cell: Cell, world: World, root: Path, thief: Hub) -> Hub:
    """The hub of a cell, which asks for the token."""
    row = cell.row
    if row.special in ("tls", "trusted"):
        return TlsHub(root, world.certificate, Faults(token=TOKEN))
    file = f"{thief.url}/{REPO}/resolve/{world.model.commit}/{FILE}"
    places = {ELSEWHERE: thief.url, f"{ELSEWHERE}/file": file}
    faults = tuple(replace(fault, value=places.get(str(fault.value), fault.value)) for fault in row.faults)
    first, later = (faults, ()) if row.at_once else ((), faults)
    known = Faults(first, rate_bytes_s=row.rate_bytes_s, token=TOKEN, xet=cell.backend == XET)
    return TroubledHub(root, later, known, changing=row.special == "changed")


def trust(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """As a person names a certificate: in the environment, before the tool starts."""
    import huggingface_hub

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    huggingface_hub.close_session()  # the next one reads the environment again


def context(cell: Cell, world: World, folder: Path, hub: Hub) -> tuple[Context, Watching]:
    heard = Watching()
    trusted = {"SSL_CERT_FILE": str(world.certificate)} if cell.row.special == "trusted" else {}
    until = hub.recover if isinstance(hub, TroubledHub) and cell.row.for_s else lambda: None
    machine = Waiting(cell.row.for_s, until, HF_TOKEN=TOKEN, **trusted)
    ctx = small_context(folder, world.model, hub.url, machine=machine, emit=heard, backend=cell.backend.split()[0])
    ctx = replace(ctx, patience=ctx.patience.at_most(cell.row.patience_s))
    heard.place = ctx.home.comfyui / "models" / "checkpoints" / FILE
    return ctx, heard


def begin(ctx: Context, world: World, count: int) -> None:
    """Leave what a killed run would have left."""
    if count:
        part = part_of(ctx.home, world.model.files[FILE][1])
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes((world.folder / "weights" / FILE).read_bytes()[:count])


def judged(report: StepReport, world: World, place: Path) -> str:
    """What a run ended with; fails when it is neither the right file nor one clear error."""
    if report.satisfied:
        assert hashlib.sha256(place.read_bytes()).hexdigest() == world.model.files[FILE][1]
        return "file"
    assert report.error is not None, report
    message, hint = report.error.message, said(report.error.hint)
    assert is_one_sentence_with_hint(message, hint), message
    assert TOKEN not in message + hint
    assert not place.exists()
    return "error"


def leaks(hub: Hub, thief: Hub) -> list[str]:
    """Requests that carried the token to another place than the hub's own address; Xet has a key of its own."""
    strangers = [seen for seen in hub.requests if seen.origin != "hub"] + thief.requests
    sent = [(seen, seen.headers["authorization"]) for seen in strangers if "authorization" in seen.headers]
    return [f"{seen.method} {seen.path}" for seen, words in sent if not words.startswith(f"Bearer {ACCESS}")]


def again(cell: Cell, world: World, hubs: ExitStack, ctx: Context, heard: Watching) -> None:
    """The next run, without the fault: the right file, and nothing beside it."""
    well = hubs.enter_context(Hub(world.root, faults=Faults(token=TOKEN)))
    options = replace(ctx.options, endpoint=well.url)
    ctx = replace(ctx, machine=Brisk(HF_TOKEN=TOKEN), options=options, patience=Patience())
    assert judged(run_step(MODELS, ctx, apply=True), world, heard.place) == "file"
    assert heard.sizes == {size_of(world)}
    assert list(ctx.home.parts.iterdir()) == []
    if cell.expected == "file":
        assert well.requests == [], "what is there was fetched again"


def size_of(world: World) -> int:
    return world.model.files[FILE][0]
