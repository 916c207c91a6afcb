"""`auto` measures: real backends against a hub that gives each program another rate."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.step import Context
from provision.download.backends import auto
from provision.download.backends.auto import bring
from provision.download.part_file import open_part
from provision.errors import HubRefused
from provision.rehearsal.model_repo import ModelRepo
from tests.support.faults import Fault
from tests.support.hub import Faults, Hub
from tests.support.small_model import FILE, Heard, remote_file, small_context

HTTP, HF, WGET = "provision", "unknown/None; hf_hub", "Wget"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small numbers for a small file."""
    for name, value in {"WORTH_BYTES": 1 << 20, "LOOK_S": 0.3, "TRIAL_S": 0.3, "SOON_S": 0.4, "WINDOW_S": 1.0}.items():
        monkeypatch.setattr(auto, name, value)


def brought(ctx: Context, hub: Hub, model: ModelRepo) -> int:
    """Bring the file, right; how many of its bytes came."""
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    bring(ctx, file, part)
    assert hashlib.sha256(part.read_bytes()).hexdigest() == file.sha256
    return hub.sent_bytes()


def agents(hub: Hub) -> list[str]:
    """Who asked for bytes, in order, each once."""
    asked = [seen.headers.get("user-agent", "").split("/")[0] for seen in hub.requests if seen.origin == "cdn"]
    return list(dict.fromkeys(asked))


@pytest.fixture
def ctx(tmp_path: Path, model: ModelRepo, heard: Heard) -> Context:
    return small_context(tmp_path, model, "", emit=heard, backend="auto")


def at(ctx: Context, hub: Hub) -> Context:
    return replace(ctx, options=replace(ctx.options, endpoint=hub.url))


def test_the_fastest_goes_on(world: tuple[Path, ModelRepo], ctx: Context, heard: Heard) -> None:
    with Hub(world[0], faults=Faults(rate_bytes_s=300_000, agents={HTTP: 20_000, WGET: 4_000_000})) as hub:
        moved = brought(at(ctx, hub), hub, world[1])
        assert agents(hub)[0] == HTTP
        assert agents(hub)[-1] == WGET
    assert moved < 1.2 * world[1].files[FILE][0]
    (measured,) = [note for note in heard.notes if note.startswith("Measured")]
    assert measured.endswith("Continuing with wget.")
    assert "http 0." in measured
    assert "hf 0." in measured


def test_nothing_is_tried_where_the_first_will_be_done_soon(
    world: tuple[Path, ModelRepo], ctx: Context, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "SOON_S", 60)
    with Hub(world[0], faults=Faults(rate_bytes_s=1_000_000)) as hub:
        assert brought(at(ctx, hub), hub, world[1]) == world[1].files[FILE][0]
        assert agents(hub) == [HTTP]
    assert not heard.notes


def test_of_those_that_are_about_as_fast_the_first_is_taken(
    world: tuple[Path, ModelRepo], ctx: Context, heard: Heard
) -> None:
    with Hub(world[0], faults=Faults(rate_bytes_s=1_600_000, agents={HTTP: 1_500_000})) as hub:
        brought(replace(at(ctx, hub), options=replace(at(ctx, hub).options, connections=1)), hub, world[1])
    assert [note for note in heard.notes if note.endswith("Continuing with http.")], heard.notes


def test_one_that_becomes_slow_is_left(world: tuple[Path, ModelRepo], ctx: Context, heard: Heard) -> None:
    with Hub(world[0], faults=Faults(rate_bytes_s=300_000, agents={HTTP: 20_000, WGET: 600_000})) as hub:

        def emit(event: object) -> None:
            heard(event)  # type: ignore[arg-type]
            if heard.notes and heard.notes[-1].endswith("Continuing with wget."):
                hub.faults = replace(hub.faults, agents={HTTP: 20_000, WGET: 1_000}, rate_bytes_s=2_000_000)

        brought(replace(at(ctx, hub), emit=emit), hub, world[1])
    assert any(note.startswith("wget has become slow. hf continues from ") for note in heard.notes), heard.notes


def test_one_that_fails_in_its_trial_is_out(world: tuple[Path, ModelRepo], ctx: Context, heard: Heard) -> None:
    with Hub(world[0], faults=Faults(rate_bytes_s=2_000_000, agents={HTTP: 20_000})) as hub:
        hub.arm(Fault("*", "status", times=-1, value="404", origin="cdn"))
        original = hub.answer
        hub.answer = lambda request: (
            (  # type: ignore[method-assign]
                original(request) if request.headers.get("user-agent", "") == HTTP else hub._objects.answer(request)
            )
            if request.origin == "cdn"
            else original(request)
        )
        brought(at(ctx, hub), hub, world[1])
        assert agents(hub)[0] == HTTP
    assert any(note.startswith("http failed: ") and " continues from 0 bytes." in note for note in heard.notes)


def test_no_measuring_with_a_limit_or_a_backend_of_ones_own(world: tuple[Path, ModelRepo], ctx: Context) -> None:
    with Hub(world[0], faults=Faults(agents={HTTP: 500_000})) as hub:
        options = replace(at(ctx, hub).options, backend="http", connections=8)
        brought(replace(at(ctx, hub), options=options), hub, world[1])
        assert agents(hub) == [HTTP]


def test_the_hubs_no_is_meant_for_all(world: tuple[Path, ModelRepo], ctx: Context) -> None:
    with Hub(world[0]) as hub:
        file = remote_file(hub, world[1])
        hub.arm(Fault("*", "status", times=-1, value="403", origin="hub"))
        options = replace(at(ctx, hub).options, backend="hf")
        part = open_part(ctx.machine, ctx.home, file)
        with pytest.raises(HubRefused):
            bring(replace(at(ctx, hub), options=options), file, part)
